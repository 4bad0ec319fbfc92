//! Port of `directory`: what is to become of stored rows when the maps of an institution's own codes change. The register
//! keeps what is asked, how far it is and what the sender once wrote; whoever owns the rows carries it out.

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use serde::{Deserialize, Serialize};
use store::Tx;

use crate::KeptCode;

/// Kind of the job that lets stored rows follow the maps; its subject is the institution, its body [`StoredCodesAsked`].
pub const STORED_CODES: &str = "exchange.stored_codes";

/// What the job carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCodesAsked {
    /// Whose rows.
    pub institution: i64,
}

/// A run through the stored rows of an institution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// Its number.
    pub id: i64,
    /// When it was asked for the last time.
    pub asked_at: DateTime<Utc>,
    /// When this pass began.
    pub pass_at: DateTime<Utc>,
    /// Since when a pass that is over waits for uploads under way; none: it does not.
    pub waits_since: Option<DateTime<Utc>>,
    /// The data set and business key of the last row that was looked at.
    pub place: Option<StoredPlace>,
    /// Whether the rows that it goes through are counted.
    pub counted: bool,
    /// The codes that it is about.
    pub codes: Vec<StoredCode>,
}

/// How far a run has come: everything up to and including this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlace {
    /// Number of the data set.
    pub dataset: i16,
    /// Business key; none: the data set is done.
    pub after: Option<Vec<String>>,
}

/// A code of the institution's own and what it stands for at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCode {
    /// Number of the line of the map that this is because of.
    pub line: i64,
    /// The table.
    pub table: String,
    /// The institution's own code.
    pub local: String,
    /// The standard code in force for it; none: it is kept as it was sent.
    pub standard: Option<String>,
    /// Every standard code that it may have become since it was sent.
    pub became: Vec<String>,
}

/// What a step did, noted in its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStep {
    /// The run.
    pub run: i64,
    /// Whose rows.
    pub institution: InstitutionId,
    /// How far it is now.
    pub place: StoredPlace,
    /// Rows looked at.
    pub seen: i64,
    /// Values changed.
    pub changes: Vec<StoredChange>,
    /// Facts and fields of which something is kept that cannot be what their sender wrote: to be forgotten.
    pub stale: Vec<(i64, String)>,
}

/// A value that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// The fact.
    pub fact_id: i64,
    /// The line of the map.
    pub line: i64,
    /// The field's name.
    pub field: String,
    /// The table.
    pub table: String,
    /// What the sender wrote.
    pub local: String,
    /// The sender's name of it.
    pub local_name: String,
    /// The day on which coverage counts the row.
    pub day: NaiveDate,
    /// Whether the fact held the sender's own code before.
    pub was_local: bool,
    /// Whether it holds it now.
    pub is_local: bool,
}

/// How a run ends or waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredEnd {
    /// Everything was looked at.
    Done,
    /// Once more from the beginning: a batch under way may have stored rows by the maps before.
    Again,
    /// Everything was looked at, and a batch is under way that may still store rows by the maps before.
    Waits,
    /// It is not tried again by itself; why, in words for the page.
    GaveUp(String),
}

/// The register of what stored rows have to follow.
pub trait StoredCodes: Send + Sync + 'static {
    /// The oldest run of an institution that is not over and was not given up, locked and marked as running; those that
    /// wait for uploads come last. None when nothing is asked.
    fn due<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        institution: InstitutionId,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<StoredRun>>>
    where
        'c: 'a;
    /// How many rows it goes through.
    fn counted<'a, 'c>(&'a self, tx: &'a mut Tx<'c>, run: i64, rows: i64) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;
    /// What the senders of these facts wrote where it was translated.
    fn kept<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        dataset: i16,
        facts: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<KeptCode>>>
    where
        'c: 'a;
    /// Notes a step: how far it is, what was changed; what senders wrote and coverage follow.
    fn stepped<'a, 'c>(&'a self, tx: &'a mut Tx<'c>, step: &'a StoredStep) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;
    /// Ends a run or begins it again.
    fn ended<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        run: i64,
        end: StoredEnd,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;
    /// Notes why the work on an institution's rows stopped, and whether it is tried again by itself. What was asked later
    /// is gone on with.
    fn failed<'a>(
        &'a self,
        institution: InstitutionId,
        why: &'a str,
        gave_up: bool,
    ) -> BoxFuture<'a, Result<()>>;
}
