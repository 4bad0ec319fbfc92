//! The first linker, behind the seam of `contracts::Linker`: a chunk of rows at a time, set by set.
//!
//! - equal institution and local number: the same identity record;
//! - the same valid citizen number and nothing known that disagrees (name, sex, birth): the same person;
//! - otherwise a new person. A citizen number that disagrees with its holder, or with the sex and birth it tells
//!   itself, links nothing and is left on the time line as `citizen_id_conflict` for review.
//!
//! Rows are processed in the order of local numbers and citizen numbers, so that two calls at once wait for each
//! other instead of blocking each other; who comes second finds what the first one made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use contracts::{Demographics, Linker};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Error, Refusal, Result};
use store::Tx;

use crate::MasterIndex;
use crate::events::{self, Entry};
use crate::gather::{self, Record};
use crate::known::{Known, says_something};
use crate::places;

/// Linked by a citizen number that agrees.
pub const CITIZEN_ID: &str = "citizen_id";
/// The record was found by institution and local number.
pub const LOCAL_NO: &str = "local_no";
/// Nothing to link by: a person of its own.
pub const NEW: &str = "new";
/// A citizen number that disagrees with its holder or with itself: not linked, for review.
pub const CONFLICT: &str = "citizen_id_conflict";

/// How often a chunk is looked at again because another transaction registered one of its patients first.
const ROUNDS: usize = 5;

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Item<'r> {
    pub local_no: &'r str,
    /// What it will hold.
    pub next: Known,
    /// What is there; `None` for a new one.
    pub before: Option<Record>,
    /// The person it will be linked to.
    pub person: i64,
    /// Why.
    pub rule: String,
}

impl Item<'_> {
    /// Whether its citizen number decides anew where it belongs.
    pub(crate) fn decides(&self) -> bool {
        self.next.citizen_id.is_some()
            && self.before.as_ref().is_none_or(|before| {
                before.known.citizen_id != self.next.citizen_id || before.rule == CONFLICT
            })
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
            rounds += 1;
            let mut found = self.round(tx, institution, &open, batch, now).await?;
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

    /// Answers what can be answered; a local number that another transaction registered meanwhile is left out.
    async fn round(
        &self,
        tx: &mut Tx<'_>,
        institution: i64,
        open: &Open<'_>,
        batch: i64,
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, i64>> {
        let mut answers = HashMap::with_capacity(open.len());
        let mut items: Vec<Item<'_>> = Vec::new();
        let mut to_read: Vec<&str> = Vec::new();

        let facts: Vec<&str> =
            open.iter().filter(|(_, rows)| !rows.iter().any(|r| r.registration)).map(|(no, _)| *no).collect();
        let briefs = gather::briefs(tx, institution, &facts).await?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (local_no, rows) in open {
                match briefs.get(*local_no) {
                    Some(brief) if brief.registered || !rows.iter().any(|row| says_something(row)) => {
                        answers.insert((*local_no).to_owned(), brief.id);
                        if brief.settled {
                            let rows = rows.iter().copied().filter(|_| !brief.registered);
                            seen.remember(institution, local_no, brief.id, brief.registered, rows);
                        }
                    }
                    None if !rows.iter().any(|r| r.registration) => items.push(newcomer(local_no, rows)),
                    _ => to_read.push(local_no),
                }
            }
        }

        let mut records = gather::records(tx, institution, &to_read).await?;
        let mut changed: Vec<(&str, i64)> = Vec::new();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for local_no in to_read {
                let rows = &open[local_no];
                let Some(record) = records.remove(local_no) else {
                    items.push(newcomer(local_no, rows));
                    continue;
                };
                if changed_by(&record.known, rows).is_some() {
                    changed.push((local_no, record.id));
                } else {
                    answers.insert(local_no.to_owned(), record.id);
                    if record.settled {
                        let registered = record.known.registered;
                        seen.remember(institution, local_no, record.id, registered, rows.iter().copied());
                    }
                }
            }
        }
        if !changed.is_empty() {
            // Somebody else may have changed them since: lock, read again, compare again.
            let ids: Vec<i64> = changed.iter().map(|(_, id)| *id).collect();
            gather::lock(tx, &ids).await?;
            let local_nos: Vec<&str> = changed.iter().map(|(no, _)| *no).collect();
            let mut records = gather::records(tx, institution, &local_nos).await?;
            for (local_no, id) in changed {
                answers.insert(local_no.to_owned(), id);
                let Some(record) = records.remove(local_no) else { continue };
                if let Some(next) = changed_by(&record.known, &open[local_no]) {
                    items.push(Item { local_no, next, before: Some(record), person: 0, rule: String::new() });
                }
            }
        }
        if !items.is_empty() {
            items.sort_by_key(|item| item.local_no);
            store(tx, institution, &mut items, &mut answers, batch, now).await?;
        }
        Ok(answers)
    }
}

fn newcomer<'r>(local_no: &'r str, rows: &[&Demographics]) -> Item<'r> {
    let mut next = Known::default();
    for row in rows {
        next.apply(row);
    }
    Item { local_no, next, before: None, person: 0, rule: String::new() }
}

/// What the rows make of what is known; `None` when nothing changes.
fn changed_by(known: &Known, rows: &[&Demographics]) -> Option<Known> {
    let mut next = known.clone();
    for row in rows {
        next.apply(row);
    }
    (next != *known).then_some(next)
}

/// Writes records, links, time line and the persons' best values.
async fn store(
    tx: &mut Tx<'_>,
    institution: i64,
    items: &mut [Item<'_>],
    answers: &mut HashMap<String, i64>,
    batch: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let made: BTreeSet<i64> = places::place(tx, items, now).await?.into_iter().collect();
    let (old, new): (Vec<&Item<'_>>, Vec<&Item<'_>>) = items.iter().partition(|item| item.before.is_some());

    let inserted: HashMap<String, i64> =
        events::insert(tx, institution, now, &new).await?.into_iter().map(|(id, no)| (no, id)).collect();
    // Before the persons without records go: a record that exists may have moved to one of those made here.
    events::update(tx, institution, now, &old).await?;
    if inserted.len() < new.len() {
        places::drop_empty(tx, &made).await?;
    }

    let mut entries = Vec::with_capacity(items.len());
    let mut touched = BTreeSet::new();
    let mut left = BTreeSet::new();
    let mut first_of = BTreeSet::new();
    for item in &new {
        let Some(id) = inserted.get(item.local_no) else { continue };
        entries.push(Entry { kind: "registered", ..Entry::of(*id, item.person, &item.rule) });
        // A person made for this record alone already has its values.
        if !made.contains(&item.person) || !first_of.insert(item.person) {
            touched.insert(item.person);
        }
    }
    for item in &old {
        let Some(before) = &item.before else { continue };
        let moved = before.person_id != item.person;
        let linked = moved || before.rule != item.rule;
        entries.push(Entry {
            from_person: Some(before.person_id).filter(|_| moved),
            kind: if linked { "linked" } else { "updated" },
            ..Entry::of(before.id, item.person, if linked { &item.rule } else { LOCAL_NO })
        });
        touched.extend([before.person_id, item.person]);
        if before.known.citizen_id.is_some() {
            left.insert(before.person_id);
        }
    }
    events::trail(tx, &entries, Some(batch), now).await?;
    events::tell(tx, &entries).await?;
    let touched: Vec<i64> = touched.into_iter().collect();
    events::recompute(tx, &touched).await?;
    let left: Vec<i64> = left.into_iter().collect();
    events::release_numbers(tx, &left).await?;
    answers.extend(inserted);
    Ok(())
}
