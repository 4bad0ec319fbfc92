//! Who waits for a citizen number: a person with an undisputed record that bears it, while somebody else holds it. When
//! the holder loses it, the first who waits gets it in the same transaction, whoever freed it: an act of people or the
//! linker.
//!
//! Whatever changes the holder of a number, or writes a record that bears it, holds the claim of the number until its
//! transaction ends; so nobody begins to wait unseen while a number is freed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use kernel::{Refusal, Result};
use store::{DbDoing, Tx};

use super::carry::load;
use super::rules::{Change, Number, PersonId, RecordId, State};
use crate::events::Entry;
use crate::linking::{CITIZEN_ID, CONFLICT};

/// How often it is looked again who waits because another transaction moved records meanwhile.
const ROUNDS: usize = 8;

fn busy() -> Refusal {
    Refusal::conflict("index.busy", "有关登记正在被别人处理，请稍后重试。")
}

/// For each number that one of these persons holds, the first beside them who waits for it.
async fn behind(tx: &mut Tx<'_>, persons: &BTreeSet<PersonId>) -> Result<Vec<PersonId>> {
    sqlx::query_scalar(
        "select w.person_id from person p cross join lateral (
             select i.person_id from identity_record i join person o on o.id = i.person_id
             where i.citizen_blind = p.citizen_blind and i.own_blind = p.citizen_blind and not i.number_disowned
               and o.citizen_id is null and o.id <> all((select $1::bigint[])::bigint[])
             order by i.person_id limit 1) w
         where p.id = any((select $1::bigint[])::bigint[]) and p.citizen_blind is not null",
    )
    .bind(persons.iter().copied().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("look who waits for the numbers of persons")
}

/// The part of the index that an order on these persons touches: themselves, and whoever would get a number that they
/// lose. Locked, as [`load`] does; those who wait are looked for first, so that all are locked in one order.
pub(crate) async fn load_with_waiting(tx: &mut Tx<'_>, persons: &BTreeSet<PersonId>) -> Result<State> {
    let mut all = persons.clone();
    all.extend(behind(tx, persons).await?);
    for _ in 0..ROUNDS {
        let mut state = load(tx, &all).await?;
        let now = behind(tx, persons).await?;
        if now.iter().all(|id| all.contains(id)) {
            state.waiting = all.difference(persons).copied().collect();
            return Ok(state);
        }
        all.extend(now);
    }
    Err(busy().into())
}

/// Numbers that somebody held before a change and nobody after it.
pub(crate) fn freed(change: &Change) -> BTreeSet<Number> {
    let given: BTreeSet<&Number> = change.numbers.values().filter_map(|s| s.after.as_ref()).collect();
    let lost = change.numbers.values().filter_map(|s| s.before.as_ref());
    lost.filter(|n| !given.contains(n)).cloned().collect()
}

/// The first who bears each of these numbers and holds none: of `nearer` before others.
pub(crate) async fn first(
    tx: &mut Tx<'_>,
    numbers: &BTreeSet<Number>,
    nearer: &BTreeSet<PersonId>,
) -> Result<Vec<(Number, PersonId)>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "select w.number, f.person_id
         from (select n as number, decode(n, 'hex') as blind from unnest((select $1::text[])) as n) w
         cross join lateral (
             select i.person_id from identity_record i join person o on o.id = i.person_id
             where i.citizen_blind = w.blind and i.own_blind = w.blind and not i.number_disowned
               and o.citizen_id is null
             order by i.person_id = any((select $2::bigint[])::bigint[]) desc, i.person_id limit 1) f",
    )
    .bind(numbers.iter().cloned().collect::<Vec<_>>())
    .bind(nearer.iter().copied().collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("look who waits for citizen numbers")
}

/// Gives numbers that the linker has freed to those who wait for them. Their claims and best records are still to be
/// settled; whom it gave one.
pub(crate) async fn hand_over(
    tx: &mut Tx<'_>,
    numbers: &BTreeSet<Number>,
    nearer: &BTreeSet<PersonId>,
) -> Result<Vec<PersonId>> {
    let mut found = first(tx, numbers, nearer).await?;
    for _ in 0..ROUNDS {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let persons: BTreeSet<PersonId> = found.iter().map(|(_, id)| *id).collect();
        sqlx::query("select id from person where id = any($1) order by id for no key update")
            .bind(persons.iter().copied().collect::<Vec<_>>())
            .execute(&mut **tx)
            .await
            .db("lock who waits for citizen numbers")?;
        // While this one waited for the lock, records may have gone to somebody else.
        let now = first(tx, numbers, nearer).await?;
        if now == found {
            give(tx, &found).await?;
            return Ok(persons.into_iter().collect());
        }
        found = now;
    }
    Err(busy().into())
}

/// Writes numbers into persons, as their records have them.
pub(crate) async fn give(tx: &mut Tx<'_>, numbers: &[(Number, PersonId)]) -> Result<()> {
    sqlx::query(
        "update person p set citizen_id = i.citizen_id, citizen_blind = i.own_blind
         from unnest($1::bigint[], $2::text[]) as t (id, number) cross join lateral (
             select r.citizen_id, r.own_blind from identity_record r
             where r.person_id = t.id and r.own_blind = decode(t.number, 'hex')
               and (r.citizen_blind is null or r.citizen_blind = r.own_blind) limit 1) i
         where p.id = t.id",
    )
    .bind(numbers.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(numbers.iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("give citizen numbers")?;
    Ok(())
}

/// After the claims of these persons were settled: writes into their records whether the number is in dispute, and closes
/// the review tasks about disputes that are over. Records for which that changed, with their person, and whether they bear
/// the number of their person now.
pub(crate) async fn disputes(
    tx: &mut Tx<'_>,
    persons: &[PersonId],
    operation: Option<i64>,
    now: DateTime<Utc>,
) -> Result<Vec<(RecordId, PersonId, bool)>> {
    if persons.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<(RecordId, PersonId, bool)> = sqlx::query_as(
        "update identity_record set link_rule = case when claim_blind is null then $3 else $2 end
         where person_id = any($1) and own_blind is not null and not number_disowned
           and link_rule = case when claim_blind is null then $2 else $3 end
         returning id, person_id, claim_blind is not null",
    )
    .bind(persons)
    .bind(CITIZEN_ID)
    .bind(CONFLICT)
    .fetch_all(&mut **tx)
    .await
    .db("write which numbers are in dispute")?;
    sqlx::query(
        "update review_task t set state = 'closed', outcome = 'gone', operation_id = $2, updated_at = $3
         from identity_record w, identity_record a, identity_record b
         where w.person_id = any($1) and w.claim_blind is not null and (t.a = w.id or t.b = w.id)
           and t.kind = 'number' and t.state in ('open', 'asked', 'second') and a.id = t.a and b.id = t.b
           and (a.own_blind is null or a.number_disowned or b.own_blind is null or b.number_disowned
                or a.own_blind <> b.own_blind)",
    )
    .bind(persons)
    .bind(operation)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("close review tasks about numbers")?;
    Ok(changed)
}

/// Their entry on the time line.
pub(crate) fn entry<'a>((record, person, bears): (RecordId, PersonId, bool)) -> Entry<'a> {
    let rule = if bears { CITIZEN_ID } else { CONFLICT };
    Entry { kind: "number", ..Entry::of(record, person, rule) }
}
