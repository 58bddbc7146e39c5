//! The serverless runtime: five AWS Lambda handlers round the walk.
#![cfg_attr(test, allow(clippy::unwrap_used))]
