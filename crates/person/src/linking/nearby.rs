//! What lies near the records of a chunk: who else is being registered at this moment, which records share a key, and
//! all records of their persons. A handful of queries whatever the size of the chunk, bounded work for each record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::postgres::PgRow;
use standards::pinyin::initials;
use store::{DbDoing, Tx};

use super::Item;
use super::decide::{Neighbourhood, Node, OF_PERSON};
use crate::engine::Engine;
use crate::gather::{self, Record};
use crate::known::{Known, Traits};
use crate::operations::pairs;
use crate::operations::rules::Holder;
use crate::sealed::{CITIZEN, Seal, hex};

/// Candidates that one record is compared with at most: those it shares most keys with.
const COMPARED: usize = 48;

/// What was found, with what writing needs of it.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    pub around: Neighbourhood,
    /// Records that are not of the chunk, by number.
    pub records: HashMap<i64, Record>,
    /// All records of persons nearby as they were read, by person.
    pub rows: BTreeMap<i64, Vec<PgRow>>,
    /// Counts of changes of the persons, as read together with their records.
    pub versions: BTreeMap<i64, i32>,
    /// Plain citizen numbers by their blind index.
    pub numbers: HashMap<String, String>,
    /// Persons whose number was written before numbers were encrypted.
    pub plain: BTreeSet<i64>,
}

/// What is there at the beginning of a chunk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Local numbers of new records that somebody registered meanwhile.
    pub meanwhile: HashSet<String>,
    /// Records by blocking key, one more than are looked at.
    by_key: HashMap<i64, Vec<i64>>,
}

/// The claims of a chunk, sorted, so that two chunks cannot wait for each other.
pub(super) fn claims(tx: &Tx<'_>, institution: i64, items: &[Item<'_>]) -> Result<BTreeSet<i64>> {
    let blinder = tx.keyring().blinder(protect::Domain::Identity)?;
    let claim = |kind: &str, text: &str| {
        let digest = blinder.blind(kind, text);
        digest[..8].iter().fold(0_i64, |n, byte| n << 8 | i64::from(*byte))
    };
    let mut keys = BTreeSet::new();
    for item in items {
        if item.before.is_none() {
            keys.insert(claim("claim.local", &format!("{institution}号{}", item.local_no)));
        }
        // The number that it loses, too: nobody begins to wait for it unseen.
        let before = item.before.as_ref().and_then(|b| b.known.own_number());
        for number in item.next.own_number().into_iter().chain(before) {
            keys.insert(claim_of_number(&hex(&blinder.blind(CITIZEN.kind, number))));
        }
        if let (false, Some(birth)) = (Traits::nameless(&item.next.name), item.next.birth_date) {
            keys.insert(claim("claim.name", &format!("{}{birth}", initials(&item.next.name))));
        }
    }
    Ok(keys)
}

/// Takes part in the table of claims and looks who shares a key. Whoever registers the same person at this moment waits
/// here until this transaction ends, and then sees what it did. The rows of the claims are gone again at once; what makes
/// others wait is that they were written by a transaction that has not ended.
pub(super) async fn look(
    tx: &mut Tx<'_>,
    institution: i64,
    items: &[Item<'_>],
    claims: &BTreeSet<i64>,
    cap: i64,
) -> Result<Found> {
    let new: Vec<&str> = items.iter().filter(|i| i.before.is_none()).map(|i| i.local_no).collect();
    let keys: BTreeSet<i64> = items.iter().flat_map(|i| i.keys.iter().map(|(key, _)| *key)).collect();
    // A key with too many records tells nobody apart: narrower ones find the same person.
    let rows: Vec<(Option<String>, Option<i64>, Option<i64>)> =
        sqlx::query_as("select local_no, key, identity_id from person_look($1, $2, $3, $4, $5)")
            .bind(claims.iter().copied().collect::<Vec<_>>())
            .bind(institution as i32)
            .bind(&new)
            .bind(keys.into_iter().collect::<Vec<_>>())
            .bind(cap as i32 + 1)
            .fetch_all(&mut **tx)
            .await
            .db("claim who is being registered and find records by their keys")?;
    let mut found = Found::default();
    for row in rows {
        match row {
            (Some(local_no), ..) => drop(found.meanwhile.insert(local_no)),
            (None, Some(key), Some(id)) => found.by_key.entry(key).or_default().push(id),
            _ => {}
        }
    }
    Ok(found)
}

/// Holds claims until the transaction ends.
pub(crate) async fn hold(tx: &mut Tx<'_>, keys: &BTreeSet<i64>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query("select person_look($1, 0, '{}', '{}', 0)")
        .bind(keys.iter().copied().collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("claim citizen numbers")?;
    Ok(())
}

/// The claim of a citizen number, from its blind index.
pub(crate) fn claim_of_number(blind: &str) -> i64 {
    i64::from_str_radix(blind.get(..15).unwrap_or_default(), 16).unwrap_or_default()
}

/// Records that share a key with records of the chunk; those that share most keys first, so many as are compared.
async fn sharing(
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &[Item<'_>],
    found: &Found,
    cap: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Vec<Shared>>> {
    let mut holders: BTreeMap<i64, (u16, Vec<usize>)> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        for (key, rule) in &item.keys {
            holders.entry(*key).or_insert_with(|| (*rule, Vec::new())).1.push(at);
        }
    }
    let mut frequent = Vec::new();
    let mut shared: Vec<HashMap<Shared, u32>> = items.iter().map(|_| HashMap::new()).collect();
    for (key, (rule, at)) in &holders {
        let there = found.by_key.get(key).map_or(&[][..], Vec::as_slice);
        if there.len() as i64 > cap {
            frequent.push((*key, *rule));
            continue;
        }
        if (there.len() + at.len()) as i64 > cap + 1 {
            continue;
        }
        for a in at {
            for id in there.iter().filter(|id| items[*a].before.as_ref().is_none_or(|b| b.id != **id)) {
                *shared[*a].entry(Shared::Record(*id)).or_default() += 1;
            }
            for b in at.iter().filter(|b| *b != a) {
                *shared[*a].entry(Shared::Item(*b)).or_default() += 1;
            }
        }
    }
    note_frequent(tx, engine, &frequent, now).await?;
    Ok(shared
        .into_iter()
        .map(|of| {
            let mut of: Vec<(Shared, u32)> = of.into_iter().collect();
            of.sort_by_key(|(who, n)| (std::cmp::Reverse(*n), *who));
            of.truncate(COMPARED);
            of.into_iter().map(|(who, _)| who).collect()
        })
        .collect())
}

/// Who shares a key: a record of the chunk (by position), or one that is written (by number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shared {
    Item(usize),
    Record(i64),
}

async fn note_frequent(
    tx: &mut Tx<'_>,
    engine: &Engine,
    keys: &[(i64, u16)],
    now: DateTime<Utc>,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into link_frequent (key, rule, found_at) select t.*, $3 from unnest($1::bigint[], $2::text[]) as t
         on conflict do nothing",
    )
    .bind(keys.iter().map(|k| k.0).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| engine.rule_name(k.1)).collect::<Vec<_>>())
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("note frequent keys")?;
    Ok(())
}

fn traits(known: &Known) -> (String, String, Option<chrono::NaiveDate>) {
    (known.name.clone(), known.sex.clone(), known.birth_date)
}

/// Reads the neighbourhood of a chunk.
pub(super) async fn read(
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &[Item<'_>],
    found: &Found,
    cap: i64,
    now: DateTime<Utc>,
) -> Result<Nearby> {
    let shared = sharing(tx, engine, items, found, cap, now).await?;
    let seal = Seal::of(tx)?;
    let mut nearby = Nearby::default();
    let mut number_of = |known: &Known, disowned: bool| -> Option<String> {
        let number = known.own_number().filter(|_| !disowned)?;
        let blind = hex(&seal.blind(CITIZEN, number)?);
        nearby.numbers.insert(blind.clone(), number.to_owned());
        Some(blind)
    };
    let mut at_of: HashMap<i64, usize> = HashMap::new();
    let mut nodes = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let id = item.before.as_ref().map_or(-(at as i64) - 1, |b| b.id);
        at_of.insert(id, at);
        nodes.push(Node {
            id,
            person: item.before.as_ref().map(|b| b.person_id),
            prepared: item.prepared.clone(),
            number: number_of(&item.next, item.disowned()),
            traits: traits(&item.next),
            newborn: item.before.as_ref().is_some_and(|b| b.newborn),
            moving: true,
        });
    }
    let candidates: BTreeSet<i64> = shared
        .iter()
        .flatten()
        .filter_map(|s| if let Shared::Record(id) = s { Some(*id) } else { None })
        .collect();
    let before: Vec<i64> = items.iter().filter_map(|i| i.before.as_ref()).map(|b| b.id).collect();
    let mut persons: BTreeSet<i64> =
        items.iter().filter_map(|i| i.before.as_ref()).map(|b| b.person_id).collect();
    persons.extend(gather::decided_with(tx, &before).await?);
    let numbers: Vec<String> = items.iter().filter_map(|i| i.next.own_number()).map(str::to_owned).collect();
    let there = gather::neighbours(tx, &candidates, &persons, &numbers, OF_PERSON as i32).await?;
    for (id, holder) in there.persons {
        nearby.versions.insert(id, holder.version);
        let number = holder.citizen_blind.as_deref().map(hex).or_else(|| {
            let plain = holder.plain.as_deref().and_then(|plain| seal.blind(CITIZEN, plain));
            nearby.plain.extend(plain.is_some().then_some(id));
            plain.as_deref().map(hex)
        });
        nearby.around.persons.insert(id, Holder { number, merged_into: holder.merged_into });
    }
    let mut of_chunk = 0;
    for (record, row) in there.records.into_iter().zip(there.rows) {
        nearby.rows.entry(record.person_id).or_default().push(row);
        of_chunk += usize::from(at_of.get(&record.id).is_some_and(|at| *at < items.len()));
        if at_of.contains_key(&record.id) {
            continue;
        }
        at_of.insert(record.id, nodes.len());
        nodes.push(Node {
            id: record.id,
            person: Some(record.person_id),
            prepared: engine.prepare(&record.known, record.disowned),
            number: number_of(&record.known, record.disowned),
            traits: traits(&record.known),
            newborn: record.newborn,
            moving: false,
        });
        nearby.records.insert(record.id, record);
    }
    // Whoever holds the number of a record is compared with it whatever the keys.
    let mut by_number: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Some(number) = &node.number {
            by_number.entry(number).or_default().push(at);
        }
    }
    for (at, of) in shared.iter().enumerate() {
        let mut others: BTreeSet<usize> = of
            .iter()
            .filter_map(|s| match s {
                Shared::Item(other) => Some(*other),
                Shared::Record(id) => at_of.get(id).copied(),
            })
            .collect();
        if let Some(number) = &nodes[at].number {
            others.extend(by_number[number.as_str()].iter().take(COMPARED).filter(|other| **other != at));
        }
        nearby.around.candidates.insert(at, others);
    }
    let ids: Vec<i64> = nodes.iter().map(|n| n.id).filter(|id| *id > 0).collect();
    // A record of the chunk may lie beyond those of its person that were read.
    let unseen = items.iter().filter(|i| i.before.is_some()).count() > of_chunk;
    if ids.len() > 1 && (there.decided || unseen) {
        nearby.around.pairs = pairs(tx, &ids).await?;
    }
    nearby.around.nodes = nodes;
    Ok(nearby)
}
