//! Asking the master index whom a description means.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::Result;
use store::Gated;

use crate::Demographics;

/// A person whom a description may mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The person.
    pub person_id: i64,
    /// How sure: 0 to 1, given the whole registry.
    pub probability: f64,
    /// Whether registering the description would link it to this person without asking anybody.
    pub certain: bool,
}

/// Port of `person`: whom a description means, by the same comparison that links registrations. Nothing is written.
pub trait PersonMatcher: Send + Sync + 'static {
    /// Persons in the order of probability, those that are improbable left out. Not limited to the reach: who asks
    /// shows only those within it.
    fn matches<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        described: &'a Demographics,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<Match>>>
    where
        'c: 'a;
}
