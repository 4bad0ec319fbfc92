//! On-line linking, behind the seam of `contracts::Linker`: a chunk of rows at a time, set by set.
//!
//! 1. Most rows name a local number that is known and say nothing new: answered from memory or by one look-up.
//! 2. New and changed records take part in the claims (`nearby`), so that of two transactions that register the same
//!    person at once the second waits for the first.
//! 3. Their neighbourhood is read: records that share a blocking key or hold their citizen number, with all records of
//!    those persons. Over-frequent keys are passed over.
//! 4. The neighbourhood is clustered anew under the decisions of people (`decide`, pure); the difference to what is there
//!    is written (`write`), after the persons it touches were locked and found unchanged.
//!
//! A citizen number that disagrees with its holder, or with the birth it tells itself, links nothing and is left on the
//! time line as `citizen_id_conflict`, with a review task.

mod ask;
mod decide;
mod nearby;
mod put;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use contracts::{Demographics, Linker};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Error, Refusal, Result};
use store::Tx;

use crate::MasterIndex;
use crate::engine::Engine;
use crate::gather::{self, Record};
use crate::known::{Known, says_something};

pub(crate) use nearby::{claim_of_number, hold};
pub(crate) use put::Numbers;
pub(crate) use write::{put_keys, take_keys};

/// Linked by a citizen number that agrees.
pub const CITIZEN_ID: &str = "citizen_id";
/// Linked by the weight of evidence.
pub const MODEL: &str = "model";
/// The record was found by institution and local number.
pub const LOCAL_NO: &str = "local_no";
/// Nothing to link by: a person of its own.
pub const NEW: &str = "new";
/// A citizen number that disagrees with its holder or with itself: for review.
pub const CONFLICT: &str = "citizen_id_conflict";

/// Registrations that are taken for new ones until the database says otherwise: more would be a list that is sent again.
const FEW: usize = 4;

/// How often a chunk is looked at again because another transaction changed what it was decided from.
const ROUNDS: usize = 8;

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Item<'r> {
    pub local_no: &'r str,
    /// What it will hold.
    pub next: Known,
    /// What is there; `None` for a new one.
    pub before: Option<Record>,
    /// Prepared for comparison, and its blocking keys with their rule.
    pub prepared: linkage::Record,
    pub keys: Vec<(i64, u16)>,
    /// The person it will be linked to.
    pub person: i64,
    /// Why, and with how many bits of evidence.
    pub rule: String,
    pub weight: Option<f32>,
    /// Blind index of its own citizen number, and the same where its person holds that number.
    pub own: Option<String>,
    pub claim: Option<String>,
}

impl<'r> Item<'r> {
    fn new(engine: &Engine, local_no: &'r str, next: Known, before: Option<Record>) -> Self {
        let prepared = engine.prepare(&next, before.as_ref().is_some_and(|b| b.disowned));
        let keys = engine.keys(&prepared);
        Self {
            local_no,
            next,
            before,
            prepared,
            keys,
            person: 0,
            rule: String::new(),
            weight: None,
            own: None,
            claim: None,
        }
    }

    /// Whether somebody decided that the citizen number is not the patient's.
    pub(crate) fn disowned(&self) -> bool {
        self.before.as_ref().is_some_and(|b| b.disowned)
    }
}

/// The rows of each local number that are still to be answered.
type Open<'r> = BTreeMap<&'r str, Vec<&'r Demographics>>;

impl Linker for MasterIndex {
    fn link<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        institution: InstitutionId,
        rows: &'a [Demographics],
        batch: i64,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a,
    {
        Box::pin(self.link_rows(tx, institution.get(), rows, batch, now))
    }
}

impl MasterIndex {
    async fn link_rows(
        &self,
        tx: &mut Tx<'_>,
        institution: i64,
        rows: &[Demographics],
        batch: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let mut ids = vec![0; rows.len()];
        let mut open: Open<'_> = BTreeMap::new();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, row) in ids.iter_mut().zip(rows) {
                match seen.settled(institution, row) {
                    Some(known) => *id = known,
                    None => open.entry(row.local_no.as_str()).or_default().push(row),
                }
            }
        }
        if open.contains_key("") {
            return Err(Refusal::invalid(
                "link.no_local_no",
                "数据行没有患者编号，无法归入任何居民档案。请补全患者编号后重新上传。",
            )
            .into());
        }
        let mut answers: HashMap<&str, i64> = HashMap::with_capacity(open.len());
        let mut rounds = 0;
        while !open.is_empty() {
            if rounds == ROUNDS {
                return Err(Error::fault(
                    "link rows",
                    "other transactions kept registering the same patients",
                ));
            }
            let expected = rounds == 0 && self.expected(institution, &open);
            rounds += 1;
            let mut found = self.round(tx, institution, &open, expected, batch, now).await?;
            open.retain(|local_no, _| match found.remove(*local_no) {
                Some(id) => {
                    answers.insert(local_no, id);
                    false
                }
                None => true,
            });
        }
        for (id, row) in ids.iter_mut().zip(rows).filter(|(id, _)| **id == 0) {
            *id = answers.get(row.local_no.as_str()).copied().unwrap_or_default();
        }
        Ok(ids)
    }

    /// Whether these are likely registrations of patients whom their institution has not registered before.
    fn expected(&self, institution: i64, open: &Open<'_>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        open.len() <= FEW
            && open.iter().all(|(local_no, rows)| {
                rows.iter().all(|r| r.registration && !r.withdrawn) && !seen.knows(institution, local_no)
            })
    }

    /// Answers what can be answered; a local number that another transaction registered meanwhile is left out.
    async fn round(
        &self,
        tx: &mut Tx<'_>,
        institution: i64,
        open: &Open<'_>,
        expected: bool,
        batch: i64,
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, i64>> {
        let mut answers = HashMap::with_capacity(open.len());
        let engine = self.engine.get(tx, now).await?;
        if expected {
            let items = open.iter().map(|(local_no, rows)| newcomer(&engine, local_no, rows)).collect();
            self.place(tx, &engine, institution, items, true, &mut answers, batch, now).await?;
            return Ok(answers);
        }
        let mut items: Vec<Item<'_>> = Vec::new();
        let mut to_read: Vec<&str> = Vec::new();

        let facts: Vec<&str> =
            open.iter().filter(|(_, rows)| !rows.iter().any(|r| r.registration)).map(|(no, _)| *no).collect();
        let briefs = gather::briefs(tx, institution, &facts).await?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (local_no, rows) in open {
                match briefs.get(*local_no) {
                    Some(brief)
                        if !rows.iter().any(|r| r.withdrawn || r.died_on.is_some())
                            && (brief.registered || !rows.iter().any(|row| says_something(row))) =>
                    {
                        answers.insert((*local_no).to_owned(), brief.id);
                        if brief.settled {
                            let rows = rows.iter().copied().filter(|_| !brief.registered);
                            seen.remember(institution, local_no, brief.id, brief.registered, rows);
                        }
                    }
                    None if !rows.iter().any(|r| r.registration || r.withdrawn) => {
                        items.push(newcomer(&engine, local_no, rows));
                    }
                    _ => to_read.push(local_no),
                }
            }
        }

        let mut records = gather::records(tx, institution, &to_read).await?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for local_no in to_read {
                let rows = &open[local_no];
                let Some(record) = records.remove(local_no) else {
                    if rows.iter().all(|r| r.withdrawn) {
                        answers.insert(local_no.to_owned(), 0);
                    } else {
                        items.push(newcomer(&engine, local_no, rows));
                    }
                    continue;
                };
                if let Some(next) = changed_by(&record.known, rows) {
                    items.push(Item::new(&engine, local_no, next, Some(record)));
                } else {
                    answers.insert(local_no.to_owned(), record.id);
                    if record.settled {
                        let registered = record.known.registered;
                        seen.remember(institution, local_no, record.id, registered, rows.iter().copied());
                    }
                }
            }
        }
        if !items.is_empty() {
            items.sort_by_key(|item| item.local_no);
            self.place(tx, &engine, institution, items, false, &mut answers, batch, now).await?;
        }
        Ok(answers)
    }

    /// Links records and writes them. What somebody else registered or changed meanwhile is left for the next round.
    #[allow(clippy::too_many_arguments)]
    async fn place(
        &self,
        tx: &mut Tx<'_>,
        engine: &Engine,
        institution: i64,
        mut items: Vec<Item<'_>>,
        expected: bool,
        answers: &mut HashMap<String, i64>,
        batch: i64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let cap = self.candidates_per_key();
        let mut claims = nearby::claims(tx, institution, &items)?;
        for _ in 0..ROUNDS {
            let found = nearby::look(tx, institution, &items, &claims, cap).await?;
            if expected && !found.meanwhile.is_empty() {
                return Ok(());
            }
            items.retain(|item| item.before.is_some() || !found.meanwhile.contains(item.local_no));
            if items.is_empty() {
                return Ok(());
            }
            // They are held until the transaction ends.
            claims.clear();
            let around = nearby::read(tx, engine, &items, &found, cap, now).await?;
            let plan = decide::decide(engine, &around.around);
            store::crash::point("person.decided");
            let place = write::Place { institution, batch, now };
            let known: Vec<(String, i64)> =
                items.iter().filter_map(|i| Some((i.local_no.to_owned(), i.before.as_ref()?.id))).collect();
            match write::write(self, tx, engine, &mut items, &around, plan, place).await? {
                Some(inserted) => {
                    store::crash::point("person.linked");
                    answers.extend(inserted.into_iter().chain(known));
                    return Ok(());
                }
                // A record that somebody else may have changed is read again.
                None if !known.is_empty() => return Ok(()),
                None => {}
            }
        }
        Err(Error::fault("link records", "other transactions kept changing the persons nearby"))
    }
}

fn newcomer<'r>(engine: &Engine, local_no: &'r str, rows: &[&Demographics]) -> Item<'r> {
    let mut next = Known::default();
    for row in rows {
        next.apply(row);
    }
    Item::new(engine, local_no, next, None)
}

/// What the rows make of what is known; `None` when nothing changes.
fn changed_by(known: &Known, rows: &[&Demographics]) -> Option<Known> {
    let mut next = known.clone();
    for row in rows {
        next.apply(row);
    }
    (next != *known).then_some(next)
}
