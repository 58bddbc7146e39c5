//! Who a speaker is: JWT verification, key sets and the built-in issuer
