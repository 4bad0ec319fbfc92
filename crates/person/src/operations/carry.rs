//! Operations in the database: reads the part of the index that an order touches, locked, asks the rules what changes,
//! writes it with time line, event and best records, and closes the review tasks that it answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use contracts::Institutions;
use kernel::access::InstitutionId;
use kernel::error::Doing;
use kernel::{Reach, Refusal, RegionCode, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated, Tx};

use super::rules::{By, Change, Decision, Holder, Linked, Order, PersonId, RecordId, State, Verdict, plan};
use super::waiting::{self, load_with_waiting};
use super::{Done, kind_name};
use crate::events::{self, Entry};
use crate::recompute::Trust;
use crate::{MasterIndex, linking, recompute, review};

/// Records linked by hand.
pub(crate) const BY_HAND: &str = "manual";

/// Who acts.
struct Actor<'a> {
    account: Option<i64>,
    name: String,
    reason: &'a str,
    now: DateTime<Utc>,
}

impl<'a> Actor<'a> {
    fn of(reach: &Reach, reason: &'a str, now: DateTime<Utc>) -> Self {
        let caller = reach.caller();
        Self { account: caller.account.map(|id| id.get()), name: caller.name.clone(), reason, now }
    }
    fn by(&self) -> By<'_> {
        By { actor: &self.name, reason: self.reason, at: self.now }
    }
}

/// An operation of the past, for pages.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its number.
    pub id: i64,
    /// What kind; [`kind_name`] gives the Chinese word.
    pub kind: String,
    /// Persons it touched.
    pub persons: Vec<PersonId>,
    /// Records it touched.
    pub identities: Vec<RecordId>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What changed.
    pub change: Change,
    /// The operation that it takes back.
    pub undoes: Option<i64>,
    /// The operation that took it back.
    pub undone_by: Option<i64>,
    /// The review task that it answers.
    pub task_id: Option<i64>,
}

impl Past {
    /// The Chinese word of its kind.
    pub fn kind_name(&self) -> &'static str {
        kind_name(&self.kind)
    }
}

fn past(row: &PgRow) -> Result<Past, sqlx::Error> {
    let change: sqlx::types::Json<Change> = row.try_get("change")?;
    Ok(Past {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        persons: row.try_get("persons")?,
        identities: row.try_get("identities")?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        at: row.try_get("at")?,
        change: change.0,
        undoes: row.try_get("undoes")?,
        undone_by: row.try_get("undone_by")?,
        task_id: row.try_get("task_id")?,
    })
}

/// The operations that touched a person, newest first.
pub async fn history(tx: &mut Gated<'_>, person: PersonId, limit: i64) -> Result<Vec<Past>> {
    let rows = sqlx::query(
        "select id, kind, persons, identities, actor, reason, at, change, undoes, undone_by, task_id
         from person_operation where persons @> array[$1]::bigint[] order by id desc limit $2",
    )
    .bind(person)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("read the operations on a person")?;
    rows.iter().map(past).collect::<Result<_, _>>().db("read an operation")
}

/// One operation; `None` when there is none.
pub async fn of_id(tx: &mut Gated<'_>, id: i64) -> Result<Option<Past>> {
    operation(tx, id).await
}

async fn operation(tx: &mut Tx<'_>, id: i64) -> Result<Option<Past>> {
    let row = sqlx::query(
        "select id, kind, persons, identities, actor, reason, at, change, undoes, undone_by, task_id
         from person_operation where id = $1 for update",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
    .db("read an operation")?;
    row.as_ref().map(past).transpose().db("read an operation")
}

fn not_found() -> Refusal {
    Refusal::not_found("index.unknown", "没有找到这个人或这条登记，或不在您的管辖范围内。")
}

/// The persons of these records now.
async fn persons_of(tx: &mut Tx<'_>, records: &[RecordId]) -> Result<BTreeMap<RecordId, PersonId>> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("select id, person_id from identity_record where id = any($1)")
            .bind(records)
            .fetch_all(&mut **tx)
            .await
            .db("read the persons of records")?;
    Ok(rows.into_iter().collect())
}

/// Reads this part of the index, its persons locked in order. What [`State`] is for the rules.
pub(crate) async fn load(tx: &mut Tx<'_>, persons: &BTreeSet<PersonId>) -> Result<State> {
    let ids: Vec<i64> = persons.iter().copied().collect();
    let mut state = State::default();
    // In the order of the linker: claims, persons, records. Whoever registers one of these numbers at this moment waits, or
    // is waited for.
    let held: BTreeSet<i64> = sqlx::query_scalar::<_, String>(
        "select encode(own_blind, 'hex') from identity_record where person_id = any($1) and own_blind is not null",
    )
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await
    .db("read the numbers of records")?
    .iter()
    .map(|number| linking::claim_of_number(number))
    .collect();
    linking::hold(tx, &held).await?;
    let rows = sqlx::query(
        "select id, encode(citizen_blind, 'hex') as number, merged_into from person where id = any($1)
         order by id for no key update",
    )
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await
    .db("lock persons")?;
    (|| {
        for row in &rows {
            let holder = Holder { number: row.try_get("number")?, merged_into: row.try_get("merged_into")? };
            state.persons.insert(row.try_get("id")?, holder);
        }
        Ok::<_, sqlx::Error>(())
    })()
    .db("read persons")?;
    let rows = sqlx::query(
        "select id, person_id, encode(own_blind, 'hex') as number, number_disowned from identity_record
         where person_id = any($1) order by id for no key update",
    )
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await
    .db("lock records")?;
    (|| {
        for row in &rows {
            let any_number: Option<String> = row.try_get("number")?;
            let disowned: bool = row.try_get("number_disowned")?;
            let linked = Linked {
                person: row.try_get("person_id")?,
                number: any_number.clone().filter(|_| !disowned),
                any_number,
                disowned,
            };
            state.records.insert(row.try_get("id")?, linked);
        }
        Ok::<_, sqlx::Error>(())
    })()
    .db("read records")?;
    let records: Vec<i64> = state.records.keys().copied().collect();
    for (a, b, decision) in pairs(tx, &records).await? {
        state.pairs.insert((a, b), decision);
    }
    let pins: Vec<(i64, String)> =
        sqlx::query_as("select identity_id, field from person_pin where identity_id = any($1)")
            .bind(&records)
            .fetch_all(&mut **tx)
            .await
            .db("read pins")?;
    state.pins = pins.into_iter().collect();
    let numbers: BTreeSet<&String> = state.records.values().filter_map(|r| r.any_number.as_ref()).collect();
    // Those that came in between, rarely.
    let claims: BTreeSet<i64> = numbers.iter().map(|n| linking::claim_of_number(n)).collect();
    linking::hold(tx, &claims.difference(&held).copied().collect()).await?;
    state.held_elsewhere = sqlx::query_scalar::<_, String>(
        "select encode(citizen_blind, 'hex') from person
         where citizen_blind in (select decode(n, 'hex') from unnest($1::text[]) as n) and id <> all($2)",
    )
    .bind(numbers.into_iter().cloned().collect::<Vec<_>>())
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await
    .db("look who holds numbers")?
    .into_iter()
    .collect();
    Ok(state)
}

/// Decisions among these records, the latest first: where decisions contradict through a third record, that counts.
pub(crate) async fn pairs(
    tx: &mut Tx<'_>,
    records: &[RecordId],
) -> Result<Vec<(RecordId, RecordId, Decision)>> {
    let rows = sqlx::query(
        "select a, b, verdict, actor, reason, at from identity_pair where a = any($1) and b = any($1)
         order by at desc, a, b",
    )
    .bind(records)
    .fetch_all(&mut **tx)
    .await
    .db("read decisions")?;
    rows.iter()
        .map(|row| {
            let verdict: String = row.try_get(2)?;
            let decision = Decision {
                verdict: Verdict::of_code(&verdict).unwrap_or(Verdict::Apart),
                actor: row.try_get(3)?,
                reason: row.try_get(4)?,
                at: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, row.try_get(1)?, decision))
        })
        .collect::<Result<_, sqlx::Error>>()
        .db("read decisions")
}

/// All decisions there are, the latest first: records, and whether they are apart.
pub(crate) async fn all_pairs(tx: &mut Tx<'_>) -> Result<Vec<(RecordId, RecordId, bool)>> {
    sqlx::query_as("select a, b, verdict = 'apart' from identity_pair order by at desc, a, b")
        .fetch_all(&mut **tx)
        .await
        .db("read decisions")
}

/// Whether each of these persons is within the reach: by one of the institutions, by residence, or by name. A person
/// without records is nowhere: those who took the records answer for it.
async fn within(
    tx: &mut Tx<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    persons: &BTreeSet<PersonId>,
) -> Result<bool> {
    if reach.covers_region(&RegionCode::NATION) {
        return Ok(true);
    }
    let rows: Vec<(i64, String, Vec<i32>)> = sqlx::query_as(
        "select p.id, p.region, array(select distinct institution_id from identity_record i where i.person_id = p.id)
         from person p where p.id = any($1)",
    )
    .bind(persons.iter().copied().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("read where persons are known")?;
    let mut known = rows.iter().filter(|(_, _, at)| !at.is_empty()).peekable();
    Ok(known.peek().is_some()
        && known.all(|(id, region, at)| {
            reach.covers_person(*id)
                || RegionCode::parse(region).is_ok_and(|r| reach.covers_region(&r))
                || at
                    .iter()
                    .filter_map(|i| institutions.by_id(InstitutionId::new(i64::from(*i))))
                    .any(|card| reach.covers(card.id, &card.region))
        }))
}

/// Whether one side of a review task is within the reach: those who are asked about a pair may answer, though the other
/// side is another county's. As the review desk shows it: by the institution that registered, or by where the patient lives.
async fn asked_here(
    tx: &mut Tx<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    task: i64,
) -> Result<bool> {
    let sides: Vec<(i32, String)> = sqlx::query_as(
        "select i.institution_id, i.region from review_task t join identity_record i on i.id in (t.a, t.b)
         where t.id = $1",
    )
    .bind(task)
    .fetch_all(&mut **tx)
    .await
    .db("read where a task is asked")?;
    Ok(sides.iter().any(|(institution, region)| {
        RegionCode::parse(region).is_ok_and(|r| r != RegionCode::NATION && reach.covers_region(&r))
            || institutions
                .by_id(InstitutionId::new(i64::from(*institution)))
                .is_some_and(|card| reach.covers(card.id, &card.region))
    }))
}

pub(super) async fn carry_out(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    order: &Order,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Done> {
    carry_out_for(index, tx, reach, institutions, order, why, now, None).await
}

/// Carries an order out, as the answer to a review task where there is one.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn carry_out_for(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    order: &Order,
    why: &str,
    now: DateTime<Utc>,
    task: Option<i64>,
) -> Result<Done> {
    let (mut persons, records): (BTreeSet<i64>, Vec<i64>) = match order {
        Order::Merge { into, from } | Order::MergeShowing { into, from, .. } => {
            ([*into, *from].into(), Vec::new())
        }
        Order::Split { person, .. } => ([*person].into(), Vec::new()),
        Order::Link { record, person } => ([*person].into(), vec![*record]),
        Order::Apart { a, b } => (BTreeSet::new(), vec![*a, *b]),
        Order::Unlink { record }
        | Order::Disown { record }
        | Order::Pin { record, .. }
        | Order::Unpin { record, .. } => (BTreeSet::new(), vec![*record]),
    };
    let found = persons_of(tx, &records).await?;
    persons.extend(found.values());
    let may = match task {
        Some(task) if asked_here(tx, reach, institutions, task).await? => true,
        _ => within(tx, reach, institutions, &persons).await?,
    };
    if found.len() < records.len() || !may {
        return Err(not_found().into());
    }
    let state = load_with_waiting(tx, &persons).await?;
    if persons.iter().any(|id| !state.persons.contains_key(id)) {
        return Err(not_found().into());
    }
    let actor = Actor::of(reach, why, now);
    let new_person = match order {
        Order::Split { .. } | Order::Unlink { .. } => Some(recompute::fresh(tx, now).await?),
        _ => None,
    };
    let change = plan(&state, order, new_person.unwrap_or_default(), &actor.by())?;
    let person = match order {
        Order::Merge { into, .. } | Order::MergeShowing { into, .. } => *into,
        Order::Link { person, .. } => *person,
        Order::Apart { a, .. } => found.get(a).copied().unwrap_or_default(),
        _ => new_person.or_else(|| persons.first().copied()).unwrap_or_default(),
    };
    let of = Of { task, ..Of::default() };
    let operation = write(tx, order.kind(), &state, &change, &actor, of, &|at| index.trust(at)).await?;
    Ok(Done { operation, change, person })
}

pub(super) async fn take_back(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    id: i64,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Done> {
    let past = operation(tx, id).await?.ok_or_else(not_found)?;
    if past.undone_by.is_some() {
        return Err(Refusal::conflict("index.undone", "这次操作已经撤销过了。").into());
    }
    // Who got a number that was freed answers for nothing.
    let mut persons: BTreeSet<i64> = past.change.moved();
    let records: Vec<i64> = past.change.records().into_iter().collect();
    persons.extend(persons_of(tx, &records).await?.values());
    let may = match past.task_id {
        Some(task) if asked_here(tx, reach, institutions, task).await? => true,
        _ => within(tx, reach, institutions, &persons).await?,
    };
    if !may {
        return Err(not_found().into());
    }
    persons.extend(past.change.persons());
    let state = load_with_waiting(tx, &persons).await?;
    let mut next = state.clone();
    next.apply(&past.change.inverse())?;
    let change = state.difference(&next);
    let actor = Actor::of(reach, why, now);
    let of = Of { undoes: Some(id), task: past.task_id, run: None };
    let operation = write(tx, "undo", &state, &change, &actor, of, &|at| index.trust(at)).await?;
    let person = past.change.links.values().next().map(|s| s.before);
    Ok(Done { operation, change, person: person.or_else(|| persons.first().copied()).unwrap_or_default() })
}

/// Writes a chunk of a run as an operation of its own.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn write_run(
    tx: &mut Tx<'_>,
    run: i64,
    state: &State,
    change: &Change,
    actor: &str,
    why: &str,
    trust: Trust<'_>,
    now: DateTime<Utc>,
) -> Result<i64> {
    let actor = Actor { account: None, name: actor.to_owned(), reason: why, now };
    write(tx, "run", state, change, &actor, Of { run: Some(run), ..Of::default() }, trust).await
}

/// Takes an operation of a run back.
pub(crate) async fn take_back_run(
    tx: &mut Tx<'_>,
    id: i64,
    run: i64,
    why: &str,
    trust: Trust<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(past) = operation(tx, id).await?.filter(|p| p.undone_by.is_none()) else { return Ok(()) };
    let mut persons = past.change.persons();
    let records: Vec<i64> = past.change.records().into_iter().collect();
    persons.extend(persons_of(tx, &records).await?.values());
    let state = load_with_waiting(tx, &persons).await?;
    let mut next = state.clone();
    next.apply(&past.change.inverse())?;
    let change = state.difference(&next);
    let actor = Actor { account: None, name: past.actor.clone(), reason: why, now };
    let of = Of { undoes: Some(id), task: None, run: Some(run) };
    write(tx, "undo", &state, &change, &actor, of, trust).await.map(drop)
}

/// What an operation belongs to: one that it undoes, a review task that it answers, a run.
#[derive(Debug, Clone, Copy, Default)]
struct Of {
    undoes: Option<i64>,
    task: Option<i64>,
    run: Option<i64>,
}

/// Writes a change.
async fn write(
    tx: &mut Tx<'_>,
    kind: &'static str,
    state: &State,
    change: &Change,
    actor: &Actor<'_>,
    Of { undoes, task, run }: Of,
    trust: Trust<'_>,
) -> Result<i64> {
    let mut persons = change.persons();
    persons.extend(change.records().iter().filter_map(|r| state.records.get(r)).map(|r| r.person));
    let records: Vec<i64> = change.records().into_iter().collect();
    let persons: Vec<i64> = persons.into_iter().collect();
    let written = serde_json::to_value(change).doing("write a change as JSON")?;
    let operation: i64 = sqlx::query_scalar(
        "insert into person_operation (kind, persons, identities, actor_account, actor, reason, at, change, undoes, task_id,
            run_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id",
    )
    .bind(kind)
    .bind(&persons)
    .bind(&records)
    .bind(actor.account)
    .bind(&actor.name)
    .bind(actor.reason)
    .bind(actor.now)
    .bind(written)
    .bind(undoes)
    .bind(task)
    .bind(run)
    .fetch_one(&mut **tx)
    .await
    .db("write an operation")?;
    if let Some(undoes) = undoes {
        sqlx::query("update person_operation set undone_by = $2 where id = $1")
            .bind(undoes)
            .bind(operation)
            .execute(&mut **tx)
            .await
            .db("mark an operation as undone")?;
    }
    let rule = if run.is_some() { linking::MODEL } else { BY_HAND };
    links(tx, change, rule).await?;
    decisions(tx, change, operation).await?;
    marks(tx, change, actor, operation).await?;
    numbers(tx, change).await?;
    merged(tx, change).await?;
    recompute::settle_claims(tx, &persons).await?;
    recompute::recompute(tx, &persons, trust).await?;
    let by =
        |entry| Entry { operation_id: Some(operation), actor: &actor.name, reason: actor.reason, ..entry };
    let mut entries: Vec<Entry<'_>> = change
        .links
        .iter()
        .map(|(record, step)| Entry {
            kind: "linked",
            from_person: Some(step.before),
            ..by(Entry::of(*record, step.after, rule))
        })
        .collect();
    // After those whose answer was undone are open again.
    review::after_operation(tx, change, operation, undoes, actor.now).await?;
    let numbered: Vec<i64> = change.numbers.keys().copied().collect();
    let disputes = waiting::disputes(tx, &numbered, Some(operation), actor.now).await?;
    entries.extend(disputes.into_iter().map(|dispute| by(waiting::entry(dispute))));
    events::trail(tx, &entries, None, actor.now).await?;
    events::tell(tx, &entries).await?;
    Ok(operation)
}

/// Moves records.
pub(crate) async fn links(tx: &mut Tx<'_>, change: &Change, rule: &str) -> Result<()> {
    if change.links.is_empty() {
        return Ok(());
    }
    let moved = sqlx::query(
        "update identity_record i set person_id = t.after, claim_blind = null, link_rule = $4
         from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as t (id, before, after)
         where i.id = t.id and i.person_id = t.before",
    )
    .bind(change.links.keys().copied().collect::<Vec<_>>())
    .bind(change.links.values().map(|s| s.before).collect::<Vec<_>>())
    .bind(change.links.values().map(|s| s.after).collect::<Vec<_>>())
    .bind(rule)
    .execute(&mut **tx)
    .await
    .db("move records")?;
    if moved.rows_affected() != change.links.len() as u64 {
        return Err(Refusal::conflict("index.gone", "登记刚刚被别人改动，请刷新页面后重试。").into());
    }
    Ok(())
}

async fn decisions(tx: &mut Tx<'_>, change: &Change, operation: i64) -> Result<()> {
    let ended: Vec<&(i64, i64, _)> = change.pairs.iter().filter(|(_, _, s)| s.after.is_none()).collect();
    if !ended.is_empty() {
        sqlx::query(
            "delete from identity_pair p using unnest($1::bigint[], $2::bigint[]) as t (a, b)
             where p.a = t.a and p.b = t.b",
        )
        .bind(ended.iter().map(|p| p.0).collect::<Vec<_>>())
        .bind(ended.iter().map(|p| p.1).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("take decisions back")?;
    }
    let made: Vec<(i64, i64, &Decision)> =
        change.pairs.iter().filter_map(|(a, b, s)| Some((*a, *b, s.after.as_ref()?))).collect();
    if !made.is_empty() {
        sqlx::query(
            "insert into identity_pair (a, b, verdict, actor, reason, at, operation_id)
             select t.*, $7 from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[],
                $6::timestamptz[]) as t
             on conflict (a, b) do update set verdict = excluded.verdict, actor = excluded.actor,
                reason = excluded.reason, at = excluded.at, operation_id = excluded.operation_id",
        )
        .bind(made.iter().map(|p| p.0).collect::<Vec<_>>())
        .bind(made.iter().map(|p| p.1).collect::<Vec<_>>())
        .bind(made.iter().map(|p| p.2.verdict.code()).collect::<Vec<_>>())
        .bind(made.iter().map(|p| p.2.actor.as_str()).collect::<Vec<_>>())
        .bind(made.iter().map(|p| p.2.reason.as_str()).collect::<Vec<_>>())
        .bind(made.iter().map(|p| p.2.at).collect::<Vec<_>>())
        .bind(operation)
        .execute(&mut **tx)
        .await
        .db("write decisions")?;
    }
    Ok(())
}

/// Pins and disowned numbers.
async fn marks(tx: &mut Tx<'_>, change: &Change, actor: &Actor<'_>, operation: i64) -> Result<()> {
    for (record, field, step) in &change.pins {
        let statement = if step.after {
            "insert into person_pin (identity_id, field, actor, reason, at, operation_id)
             values ($1, $2, $3, $4, $5, $6)"
        } else {
            "delete from person_pin where identity_id = $1 and field = $2
                and $3::text is not null and $4::text is not null and $5::timestamptz is not null and $6::bigint is not null"
        };
        sqlx::query(statement)
            .bind(record)
            .bind(field)
            .bind(&actor.name)
            .bind(actor.reason)
            .bind(actor.now)
            .bind(operation)
            .execute(&mut **tx)
            .await
            .db("write a pin")?;
    }
    if !change.disowned.is_empty() {
        sqlx::query(
            "update identity_record i set number_disowned = t.disowned
             from unnest($1::bigint[], $2::boolean[]) as t (id, disowned) where i.id = t.id",
        )
        .bind(change.disowned.keys().copied().collect::<Vec<_>>())
        .bind(change.disowned.values().map(|s| s.after).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("disown numbers")?;
    }
    Ok(())
}

/// Frees the numbers of persons that are about to hold another or none: two persons may exchange one.
pub(crate) async fn free_numbers(tx: &mut Tx<'_>, change: &Change) -> Result<()> {
    let held: Vec<i64> =
        change.numbers.iter().filter(|(_, s)| s.before.is_some()).map(|(id, _)| *id).collect();
    if held.is_empty() {
        return Ok(());
    }
    sqlx::query("update person set citizen_id = null, citizen_blind = null where id = any($1)")
        .bind(held)
        .execute(&mut **tx)
        .await
        .db("free citizen numbers")?;
    Ok(())
}

/// Gives persons the numbers that they hold from now on. Claims of their records must be empty or settled afterwards.
async fn numbers(tx: &mut Tx<'_>, change: &Change) -> Result<()> {
    if change.numbers.is_empty() {
        return Ok(());
    }
    free_numbers(tx, change).await?;
    let given: Vec<(String, i64)> =
        change.numbers.iter().filter_map(|(id, s)| Some((s.after.clone()?, *id))).collect();
    waiting::give(tx, &given).await
}

/// Says of persons without records where these went.
pub(crate) async fn merged(tx: &mut Tx<'_>, change: &Change) -> Result<()> {
    if change.merged.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update person p set merged_into = t.into_person, version = version + 1
         from unnest($1::bigint[], $2::bigint[]) as t (id, into_person) where p.id = t.id",
    )
    .bind(change.merged.keys().copied().collect::<Vec<_>>())
    .bind(change.merged.values().map(|s| s.after).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("say where records went")?;
    Ok(())
}
