//! In-patient stays as the master index compares them: nobody lies in hospital in two cities at once.

use chrono::NaiveDateTime;
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use store::Gated;

/// An in-patient stay (住院), local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Whose.
    pub identity_id: i64,
    /// Where.
    pub institution: InstitutionId,
    /// Admission.
    pub admitted_at: NaiveDateTime,
    /// Discharge; `None` while none was reported.
    pub discharged_at: Option<NaiveDateTime>,
}

/// Read port of `exchange`, for background work of the master index.
pub trait Stays: Send + Sync + 'static {
    /// All stays of these identity records, in no order.
    fn of<'a, 'c>(&'a self, tx: &'a mut Gated<'c>, identities: &'a [i64]) -> BoxFuture<'a, Result<Vec<Stay>>>
    where
        'c: 'a;

    /// Identity records with stays that were stored or corrected after a place, each once, and the place from which to
    /// go on the next time; some may come again then, none is passed over. Without a place: only the place of now.
    fn stored_after<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        place: Option<i64>,
    ) -> BoxFuture<'a, Result<(Vec<i64>, i64)>>
    where
        'c: 'a;
}
