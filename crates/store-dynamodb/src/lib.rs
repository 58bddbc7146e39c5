//! The store of the serverless runtime, on Amazon DynamoDB.
#![cfg_attr(test, allow(clippy::unwrap_used))]
