//! What an event leads to, for the shell that brought it.

use ambo_core::{Grant, Notice, Refusal, Reply};

/// What an event leads to. The change it made, if any, is committed already; what is left is to
/// write the answer, then seat the grant, then deliver the notices, in this order.
#[derive(Debug)]
pub struct Outcome {
    /// The answer to the one who asked, or the refusal.
    pub answer: Result<Option<Reply>, Refusal>,
    /// What others are to be told.
    pub notices: Vec<Notice>,
    /// What the connection may do with audio from here on.
    pub grant: Option<Grant>,
}

impl Outcome {
    /// A refusal changes nothing and tells nobody else.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { answer: Err(refusal), notices: Vec::new(), grant: None }
    }
}
