//! Ambo's nouns and rules: values in, a decision out
