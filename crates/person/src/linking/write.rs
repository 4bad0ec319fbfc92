//! Carrying a plan out: persons, records, numbers, keys, time line, events, review tasks. Set by set.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kernel::Result;
use kernel::access::InstitutionId;
use store::{DbDoing, Tx};

use super::decide::{Doubt, OF_PERSON, Plan};
use super::nearby::Nearby;
use super::put::{Joined, Made, put};
use super::{CITIZEN_ID, CONFLICT, Item, LOCAL_NO, MODEL, NEW};
use crate::engine::Engine;
use crate::events::{self, Entry};
use crate::operations::rules::{Change, PersonId, RecordId};
use crate::operations::{BY_HAND, free_numbers, links, merged, waiting};
use crate::sealed::{CITIZEN, Seal, hex};
use crate::{MasterIndex, recompute, review};

/// Where and when a chunk is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub institution: i64,
    pub batch: i64,
    pub now: DateTime<Utc>,
}

/// Persons that exist and that the plan changes, with the count of changes that it was made from.
fn touched(plan: &Plan, items: &[Item<'_>], nearby: &Nearby) -> BTreeMap<PersonId, i32> {
    let mut persons: BTreeSet<PersonId> = plan.change.persons();
    for (at, item) in items.iter().enumerate() {
        persons.extend(item.before.as_ref().map(|b| b.person_id));
        persons.extend(plan.next.records.get(&id_of(at, item)).map(|r| r.person));
    }
    persons.into_iter().filter_map(|id| Some((id, *nearby.versions.get(&id)?))).collect()
}

/// The number of a record of the chunk in the plan.
pub(super) fn id_of(at: usize, item: &Item<'_>) -> RecordId {
    item.before.as_ref().map_or(-(at as i64) - 1, |b| b.id)
}

/// Locks persons in order, others with them; whether all but the others are as they were read.
async fn unchanged(
    tx: &mut Tx<'_>,
    versions: &BTreeMap<PersonId, i32>,
    others: impl Iterator<Item = PersonId>,
) -> Result<bool> {
    let all: BTreeSet<PersonId> = versions.keys().copied().chain(others).collect();
    if all.is_empty() {
        return Ok(true);
    }
    let rows: Vec<(i64, i32)> = sqlx::query_as(
        "select id, version from person where id = any((select $1::bigint[])::bigint[])
             order by id for no key update",
    )
    .bind(all.into_iter().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("lock persons")?;
    let found: BTreeMap<PersonId, i32> = rows.into_iter().collect();
    Ok(versions.iter().all(|(id, version)| found.get(id) == Some(version)))
}

/// Locks the records of the chunk that exist; whether all are as they were read. Not every change of a record counts its
/// person's version up: divisions move beneath them.
async fn unwritten(tx: &mut Tx<'_>, items: &[Item<'_>]) -> Result<bool> {
    let read: BTreeMap<RecordId, i64> =
        items.iter().filter_map(|i| i.before.as_ref()).map(|b| (b.id, b.written)).collect();
    if read.is_empty() {
        return Ok(true);
    }
    let rows: Vec<(RecordId, i64)> = sqlx::query_as(
        "select id, xmin::text::bigint from identity_record where id = any((select $1::bigint[])::bigint[])
         order by id for no key update",
    )
    .bind(read.keys().copied().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("lock identity records")?;
    Ok(rows.into_iter().collect::<BTreeMap<_, _>>() == read)
}

/// Writes everything; from local number to the number of the identity record for those that are new. `None`, and nothing
/// is written, when a person that the plan touches is not as it was read.
pub(super) async fn write(
    index: &MasterIndex,
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &mut [Item<'_>],
    nearby: &Nearby,
    mut plan: Plan,
    place: Place,
) -> Result<Option<HashMap<String, i64>>> {
    let simple = simple(&plan, items, nearby);
    let freed = waiting::freed(&plan.change);
    if !simple {
        // Who waits for a number is locked with the others, so that all are locked in one order.
        let ahead = waiting::first(tx, &freed, &BTreeSet::new()).await?;
        let ahead = ahead.into_iter().map(|(_, person)| person);
        if !unchanged(tx, &touched(&plan, items, nearby), ahead).await? || !unwritten(tx, items).await? {
            return Ok(None);
        }
    }
    let new = items.iter().filter(|i| i.before.is_none()).count();
    let (persons, records) = index.numbers.draw(tx, plan.made.len(), new).await?;
    let drawn: BTreeMap<PersonId, PersonId> = plan.made.iter().rev().copied().zip(persons).collect();
    let real = |person: PersonId| drawn.get(&person).copied().unwrap_or(person);
    rename(&mut plan.change, &drawn);
    for (at, item) in items.iter_mut().enumerate() {
        let id = id_of(at, item);
        let Some(linked) = plan.next.records.get(&id) else { continue };
        item.person = real(linked.person);
        let holder = plan.next.persons.get(&linked.person).and_then(|p| p.number.as_deref());
        item.claim = linked.number.as_deref().filter(|n| holder == Some(*n)).map(str::to_owned);
        // That of a disowned number is kept: the decision may be taken back.
        item.own = match item.next.own_number() {
            Some(number) if item.disowned() => Seal::of(tx)?.blind(CITIZEN, number).as_deref().map(hex),
            _ => linked.number.clone(),
        };
        item.weight = plan.evidence.get(&id).copied();
        item.rule = rule(item, plan.conflicts.contains(&id)).to_owned();
    }

    let new: Vec<(RecordId, &Item<'_>)> =
        records.into_iter().zip(items.iter().filter(|i| i.before.is_none())).collect();
    let made = made(&new, nearby, &plan, &drawn);
    let model = engine.model.version();
    if simple {
        let joined = joined(index, &Seal::of(tx)?, &new, nearby, place)?;
        let Some(inserted) = put(tx, &new, &made, joined, model, place).await? else { return Ok(None) };
        doubts(index, tx, engine, items, nearby, plan.doubts, &inserted, place).await?;
        return Ok(Some(inserted));
    }
    free_numbers(tx, &plan.change).await?;
    give_numbers(tx, items, nearby, &plan, &drawn).await?;
    let inserted = put(tx, &new, &made, Joined::default(), model, place).await?.unwrap_or_default();
    let old: Vec<&Item<'_>> = items.iter().filter(|i| i.before.is_some()).collect();
    events::update(tx, place.institution, place.now, &old).await?;
    let chunk: BTreeSet<RecordId> = items.iter().enumerate().map(|(at, i)| id_of(at, i)).collect();
    let mut others = plan.change.clone();
    others.links.retain(|id, _| !chunk.contains(id));
    links(tx, &others, MODEL).await?;
    merged(tx, &plan.change).await?;
    let nearer = others.links.values().map(|s| s.after).chain(items.iter().map(|i| i.person)).collect();
    let given = waiting::hand_over(tx, &freed, &nearer).await?;

    // A person made for one new record has its values already.
    let whole: BTreeSet<PersonId> = made.iter().filter(|m| m.of.is_some()).map(|m| m.person).collect();
    let crowded: BTreeSet<PersonId> = crowded(items, &others);
    let touched = plan.change.persons().into_iter().chain(items.iter().map(|i| i.person));
    let before = items.iter().filter_map(|i| i.before.as_ref()).map(|b| b.person_id);
    let persons: BTreeSet<PersonId> = touched
        .chain(before)
        .filter(|p| !whole.contains(p) || crowded.contains(p))
        .chain(given.iter().copied())
        .collect();
    let persons: Vec<PersonId> = persons.into_iter().collect();
    if !plan.change.numbers.is_empty() || !others.links.is_empty() {
        recompute::settle_claims(tx, &persons).await?;
    }
    recompute::recompute(tx, &persons, &|at| index.trust(at)).await?;
    keys(tx, engine, items).await?;
    tell(tx, engine, items, &others, place).await?;
    let disputes = waiting::disputes(tx, &given, None, place.now).await?;
    let entries: Vec<Entry<'_>> = disputes.into_iter().map(waiting::entry).collect();
    events::trail(tx, &entries, Some(place.batch), place.now).await?;
    doubts(index, tx, engine, items, nearby, plan.doubts, &inserted, place).await?;
    let moved: Vec<i64> =
        plan.change.links.keys().chain(plan.evidence.keys()).copied().filter(|id| *id > 0).collect();
    review::close_gone(tx, &moved, place.now).await?;
    Ok(Some(inserted))
}

/// Whether the plan is to write new records, each to a person of its own or to one that is there and known whole. Most
/// are: everything is then written by one statement.
fn simple(plan: &Plan, items: &[Item<'_>], nearby: &Nearby) -> bool {
    let known = |id: PersonId| nearby.rows.get(&id).is_some_and(|rows| rows.len() < OF_PERSON);
    let mut records: BTreeMap<PersonId, usize> = BTreeMap::new();
    for record in plan.next.records.values() {
        *records.entry(record.person).or_default() += 1;
    }
    let change = &plan.change;
    items.iter().all(|i| i.before.is_none())
        && change.links.is_empty()
        && change.merged.is_empty()
        && change.numbers.keys().all(|id| *id < 0)
        && plan.made.iter().all(|id| records.get(id) == Some(&1))
        && (0..items.len()).all(|at| {
            let person = plan.next.records.get(&id_of(at, &items[at])).map(|r| r.person);
            person.is_some_and(|id| id < 0 || (known(id) && !nearby.plain.contains(&id)))
        })
}

/// The persons that new records join, with what is known of them then.
fn joined(
    index: &MasterIndex,
    seal: &Seal,
    new: &[(RecordId, &Item<'_>)],
    nearby: &Nearby,
    place: Place,
) -> Result<Joined> {
    let trust = |at| index.trust(at);
    let mut joined = Joined::default();
    let mut said: BTreeMap<PersonId, Vec<recompute::Said>> = BTreeMap::new();
    for (id, item) in new {
        let Some(version) = nearby.versions.get(&item.person) else { continue };
        joined.versions.insert(item.person, *version);
        let of = said.entry(item.person).or_default();
        of.push(recompute::of_new(*id, item, place.institution, place.now, seal, &trust)?);
    }
    for (person, of) in &mut said {
        for row in nearby.rows.get(person).into_iter().flatten() {
            of.push(recompute::read(row, &trust).db("read a record of a person")?.1);
        }
    }
    joined.best = said.into_iter().map(|(person, of)| recompute::Best::of(person, of)).collect();
    Ok(joined)
}

/// Persons with more than one record among these.
fn crowded(items: &[Item<'_>], others: &Change) -> BTreeSet<PersonId> {
    let mut seen = BTreeSet::new();
    let all = items.iter().map(|i| i.person).chain(others.links.values().map(|s| s.after));
    all.filter(|p| !seen.insert(*p)).collect()
}

fn rename(change: &mut Change, drawn: &BTreeMap<PersonId, PersonId>) {
    let real = |person: &mut PersonId| {
        if let Some(id) = drawn.get(person) {
            *person = *id;
        }
    };
    for step in change.links.values_mut() {
        real(&mut step.after);
    }
    for step in change.merged.values_mut() {
        step.after.as_mut().map(real);
    }
    change.numbers = std::mem::take(&mut change.numbers)
        .into_iter()
        .map(|(mut id, step)| {
            real(&mut id);
            (id, step)
        })
        .collect();
}

/// Why a record is linked where it is.
fn rule<'i>(item: &'i Item<'_>, conflict: bool) -> &'i str {
    let stays = item.before.as_ref().is_some_and(|b| b.person_id == item.person);
    match &item.before {
        Some(before) if stays && before.rule == BY_HAND => BY_HAND,
        _ if conflict || (item.next.citizen_id.is_some() && item.own.is_none() && !item.disowned()) => {
            CONFLICT
        }
        _ if item.claim.is_some() => CITIZEN_ID,
        _ if item.weight.is_some() => MODEL,
        Some(before) if stays && before.rule != CONFLICT && before.rule != CITIZEN_ID => &before.rule,
        _ => NEW,
    }
}

/// The persons that are made: with the values of their first new record.
fn made<'a>(
    new: &[(RecordId, &Item<'_>)],
    nearby: &'a Nearby,
    plan: &Plan,
    drawn: &BTreeMap<PersonId, PersonId>,
) -> Vec<Made<'a>> {
    let mut firsts: BTreeMap<PersonId, RecordId> = BTreeMap::new();
    for (id, item) in new {
        firsts.entry(item.person).or_insert(*id);
    }
    drawn
        .iter()
        .map(|(planned, person)| {
            let number = plan.next.persons.get(planned).and_then(|p| p.number.as_ref());
            Made {
                person: *person,
                of: firsts.get(person).copied(),
                number: number.and_then(|n| nearby.numbers.get(n)).map(String::as_str),
            }
        })
        .collect()
}

/// Gives persons that exist the numbers that they hold from now on.
async fn give_numbers(
    tx: &mut Tx<'_>,
    items: &[Item<'_>],
    nearby: &Nearby,
    plan: &Plan,
    drawn: &BTreeMap<PersonId, PersonId>,
) -> Result<()> {
    let made: BTreeSet<PersonId> = drawn.values().copied().collect();
    let mut given: BTreeMap<PersonId, &str> = plan
        .change
        .numbers
        .iter()
        .filter(|(id, _)| !made.contains(id))
        .filter_map(|(id, step)| Some((*id, nearby.numbers.get(step.after.as_ref()?)?.as_str())))
        .collect();
    // Who still has a plain number gets it encrypted now: records claim it by its blind index.
    for person in items.iter().map(|i| i.person).filter(|p| nearby.plain.contains(p)) {
        let number = plan.next.persons.get(&person).and_then(|p| p.number.as_ref());
        given.extend(number.and_then(|n| nearby.numbers.get(n)).map(|n| (person, n.as_str())));
    }
    if given.is_empty() {
        return Ok(());
    }
    let seal = Seal::of(tx)?;
    sqlx::query(
        "update person p set citizen_id = t.number, citizen_blind = t.blind
         from unnest($1::bigint[], $2::text[], $3::bytea[]) as t (id, number, blind) where p.id = t.id",
    )
    .bind(given.keys().copied().collect::<Vec<_>>())
    .bind(seal.texts(CITIZEN, given.values().copied())?)
    .bind(seal.blinds(CITIZEN, given.values().copied()))
    .execute(&mut **tx)
    .await
    .db("give citizen numbers")?;
    Ok(())
}

/// Writes of the keys of changed records what changed.
async fn keys(tx: &mut Tx<'_>, engine: &Engine, items: &[Item<'_>]) -> Result<()> {
    let (mut gone, mut come): (Vec<(i64, i64)>, Vec<(i64, i64)>) = (Vec::new(), Vec::new());
    for (item, before) in items.iter().filter_map(|i| Some((i, i.before.as_ref()?))) {
        let id = before.id;
        let had = engine.keys(&engine.prepare(&before.known, before.disowned));
        let had: BTreeSet<i64> = had.into_iter().map(|(key, _)| key).collect();
        let has: BTreeSet<i64> = item.keys.iter().map(|(k, _)| *k).collect();
        gone.extend(had.difference(&has).map(|k| (*k, id)));
        // All of them: those of an old record may not have been written yet.
        come.extend(has.iter().map(|k| (*k, id)));
    }
    take_keys(tx, &gone).await?;
    put_keys(tx, come).await
}

/// Takes keys away.
pub(crate) async fn take_keys(tx: &mut Tx<'_>, gone: &[(i64, i64)]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from link_key l using unnest($1::bigint[], $2::bigint[]) as t (key, id)
         where l.key = t.key and l.identity_id = t.id",
    )
    .bind(gone.iter().map(|(k, _)| *k).collect::<Vec<_>>())
    .bind(gone.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("take keys away")?;
    Ok(())
}

/// Writes keys; those that are there already are left.
pub(crate) async fn put_keys(tx: &mut Tx<'_>, mut keys: Vec<(i64, i64)>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    keys.sort_unstable();
    sqlx::query(
        "insert into link_key (key, identity_id) select * from unnest($1::bigint[], $2::bigint[])
         on conflict do nothing",
    )
    .bind(keys.iter().map(|(k, _)| *k).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("write keys")?;
    Ok(())
}

/// The time line of records that were there, and the events for others.
async fn tell(
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &[Item<'_>],
    others: &Change,
    place: Place,
) -> Result<()> {
    let mut entries = Vec::with_capacity(items.len() + others.links.len());
    let version = engine.model.version();
    for (item, before) in items.iter().filter_map(|i| Some((i, i.before.as_ref()?))) {
        let moved = before.person_id != item.person;
        let linked = moved || before.rule != item.rule;
        let (kind, rule) = if linked { ("linked", item.rule.as_str()) } else { ("updated", LOCAL_NO) };
        let from = Some(before.person_id).filter(|_| moved);
        entries.push(Entry {
            from_person: from,
            kind,
            model_version: version,
            weight: item.weight,
            ..Entry::of(before.id, item.person, rule)
        });
    }
    for (id, step) in &others.links {
        entries.push(Entry {
            from_person: Some(step.before),
            kind: "linked",
            model_version: version,
            ..Entry::of(*id, step.after, MODEL)
        });
    }
    events::trail(tx, &entries, Some(place.batch), place.now).await?;
    events::tell(tx, &entries).await
}

/// Opens review tasks.
#[allow(clippy::too_many_arguments)]
async fn doubts(
    index: &MasterIndex,
    tx: &mut Tx<'_>,
    engine: &Engine,
    items: &[Item<'_>],
    nearby: &Nearby,
    doubts: Vec<Doubt>,
    inserted: &HashMap<String, i64>,
    place: Place,
) -> Result<()> {
    if doubts.is_empty() {
        return Ok(());
    }
    // From a record to its institution, division and person.
    let mut about: HashMap<RecordId, (i64, &str, PersonId)> = HashMap::new();
    let mut of_person: BTreeMap<PersonId, Vec<RecordId>> = BTreeMap::new();
    let mut written: HashMap<RecordId, RecordId> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let planned = id_of(at, item);
        let Some(id) = item.before.as_ref().map(|b| b.id).or_else(|| inserted.get(item.local_no).copied())
        else {
            continue;
        };
        written.insert(planned, id);
        about.insert(id, (place.institution, &item.next.region, item.person));
        of_person.entry(item.person).or_default().push(id);
    }
    for (id, record) in &nearby.records {
        written.insert(*id, *id);
        about.insert(*id, (record.institution, &record.known.region, record.person_id));
        of_person.entry(record.person_id).or_default().push(*id);
    }
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for doubt in doubts {
        let (Some(a), Some(b)) = (written.get(&doubt.a), written.get(&doubt.b)) else { continue };
        let (a, b) = (*a.min(b), *a.max(b));
        let (Some(one), Some(other)) = (about.get(&a), about.get(&b)) else { continue };
        if one.2 == other.2 || !seen.insert((one.2.min(other.2), one.2.max(other.2))) {
            continue;
        }
        let county = index.county(InstitutionId::new(other.0), other.1);
        let identities = [one.2, other.2].iter().flat_map(|p| of_person[p].iter().copied()).collect();
        tasks.push(review::NewTask {
            kind: doubt.kind,
            a,
            b,
            identities,
            weight: doubt.weight,
            probability: doubt.probability,
            parts: doubt.parts,
            priority: review::priority(doubt.kind, doubt.probability),
            county,
            institutions: [one.0, other.0].iter().map(|i| *i as i32).collect(),
        });
    }
    review::open(tx, &tasks, engine.model.version(), place.now).await?;
    Ok(())
}
