//! What an API is made of.

use std::collections::HashMap;
use std::time::Duration;

use super::Rate;

/// An API: its routes and limits.
pub struct Plan {
    pub(super) stage: String,
    pub(super) routes: HashMap<String, String>,
    pub(super) authorizer: Option<Authorizer>,
    pub(super) ages: Ages,
    pub(super) handshakes: Rate,
    pub(super) posts: Rate,
}

pub(super) struct Authorizer {
    pub(super) function: String,
    pub(super) identity_sources: Vec<String>,
}

/// How old connections get.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Without a message either way.
    pub idle: Duration,
    /// In any case.
    pub maximum: Duration,
}

impl Plan {
    /// An API without routes, at this stage, with the limits of AWS.
    pub fn new(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            routes: HashMap::new(),
            authorizer: None,
            ages: Ages {
                idle: Duration::from_secs(10 * 60),
                maximum: Duration::from_secs(2 * 60 * 60),
            },
            handshakes: Rate { per_second: 500.0, burst: 500.0 },
            posts: Rate { per_second: 10_000.0, burst: 5_000.0 },
        }
    }

    /// Sends what has this route key to that function.
    #[must_use]
    pub fn route(mut self, key: &str, function: &str) -> Self {
        self.routes.insert(key.to_owned(), function.to_owned());
        self
    }

    /// Asks this function about each handshake, if the sources are there: such as
    /// `route.request.querystring.token`.
    #[must_use]
    pub fn authorizer(mut self, function: &str, identity_sources: &[&str]) -> Self {
        let identity_sources = identity_sources.iter().map(|&source| source.to_owned()).collect();
        self.authorizer = Some(Authorizer { function: function.to_owned(), identity_sources });
        self
    }

    /// Lets connections get so old.
    #[must_use]
    pub fn ages(mut self, ages: Ages) -> Self {
        self.ages = ages;
        self
    }

    /// Lets in so many handshakes.
    #[must_use]
    pub fn handshakes(mut self, rate: Rate) -> Self {
        self.handshakes = rate;
        self
    }

    /// Lets in so many calls of `@connections`.
    #[must_use]
    pub fn posts(mut self, rate: Rate) -> Self {
        self.posts = rate;
        self
    }
}
