//! A socket whose room the test decides.
