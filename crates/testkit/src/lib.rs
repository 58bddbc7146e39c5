//! What the tests share: the store suite, a simulated world, a server under test
