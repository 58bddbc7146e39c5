//! The functions as AWS runs them: behind a double of API Gateway and Lambda, on a real DynamoDB.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod life;
mod load;
mod mishaps;
mod services;
mod support;
mod transcripts;
