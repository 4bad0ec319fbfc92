//! Deciding to which person each record belongs: who holds a citizen number, and who agrees with the holder.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Error, Result};
use sqlx::{Acquire, Row};
use store::{DbDoing, Tx};

use crate::known::{Known, Traits};
use crate::linking::{CITIZEN_ID, CONFLICT, Item, NEW};
use crate::sealed::{ADDRESS, CITIZEN, PHONE, Seal};

/// The person who holds a citizen number, as far as agreement needs it.
#[derive(Debug, Clone)]
struct Holder {
    person_id: i64,
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
}

impl Holder {
    fn of(person_id: i64, known: &Known) -> Self {
        Self { person_id, name: known.name.clone(), sex: known.sex.clone(), birth_date: known.birth_date }
    }
    fn traits(&self) -> Traits<'_> {
        Traits { name: &self.name, sex: &self.sex, birth_date: self.birth_date }
    }
}

async fn holders(tx: &mut Tx<'_>, numbers: &[String]) -> Result<Vec<(String, Holder)>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let seal = Seal::of(tx)?;
    let blinds: HashMap<Vec<u8>, &String> =
        numbers.iter().filter_map(|n| Some((seal.blind(CITIZEN, n)?, n))).collect();
    let rows = sqlx::query(HOLDERS)
        .bind(blinds.keys().map(Vec::as_slice).collect::<Vec<_>>())
        .bind(numbers)
        .fetch_all(&mut **tx)
        .await
        .db("find persons by citizen number")?;
    rows.iter()
        .map(|row| {
            let holder = Holder {
                person_id: row.try_get(1)?,
                name: row.try_get(2)?,
                sex: row.try_get(3)?,
                birth_date: row.try_get(4)?,
            };
            let blind: Option<Vec<u8>> = row.try_get(5)?;
            let number = match blind.and_then(|b| blinds.get(&b)) {
                Some(number) => (*number).clone(),
                None => row.try_get(0)?,
            };
            Ok((number, holder))
        })
        .collect::<Result<_, sqlx::Error>>()
        .db("read persons")
}

// The second part finds numbers that were written before they were encrypted; its index is empty afterwards.
const HOLDERS: &str = "
    select citizen_id, id, name, sex, birth_date, citizen_blind from person where citizen_blind = any($1)
    union all
    select citizen_id, id, name, sex, birth_date, citizen_blind from person
    where citizen_id is not null and citizen_blind is null and citizen_id = any($2)";

/// Sets `person` and `rule` of every item, making persons where none fits. Returns the persons that were made.
pub(crate) async fn place(tx: &mut Tx<'_>, items: &mut [Item<'_>], now: DateTime<Utc>) -> Result<Vec<i64>> {
    let numbers: BTreeSet<String> =
        items.iter().filter(|i| i.decides()).filter_map(|i| i.next.citizen_id.clone()).collect();
    let numbers: Vec<String> = numbers.into_iter().collect();
    let mut held: HashMap<String, Holder> = holders(tx, &numbers).await?.into_iter().collect();
    let mut made = Vec::new();
    if numbers.len() > held.len() {
        claim(tx, items, &mut held, &mut made, now).await?;
    }

    let mut alone = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        if let (true, Some(number)) = (item.decides(), item.next.citizen_id.as_deref()) {
            let holder = held
                .get(number)
                .filter(|h| item.next.own_number().is_some() && item.next.traits().agree(&h.traits()));
            if let Some(holder) = holder {
                item.person = holder.person_id;
                item.rule = CITIZEN_ID.to_owned();
                continue;
            }
            item.rule = CONFLICT.to_owned();
            match &item.before {
                // Its person holds another number: it cannot stay there.
                Some(before) if before.person_number.as_deref().is_some_and(|n| n != number) => {
                    alone.push(index)
                }
                Some(before) => item.person = before.person_id,
                None => alone.push(index),
            }
        } else if let Some(before) = &item.before {
            item.person = before.person_id;
            item.rule.clone_from(&before.rule);
        } else {
            item.rule = NEW.to_owned();
            alone.push(index);
        }
    }
    let ids = draw(tx, alone.len()).await?;
    let persons: Vec<(i64, &Known)> =
        ids.iter().copied().zip(alone.iter().map(|i| &items[*i].next)).collect();
    insert_persons(tx, &persons, now).await?;
    for (index, id) in alone.into_iter().zip(&ids) {
        items[index].person = *id;
    }
    made.extend(ids);
    Ok(made)
}

/// Gives each number that nobody holds to the person of the first record that brings it. The unique index on the
/// number makes two transactions agree: the second waits for the first and then finds the holder.
async fn claim(
    tx: &mut Tx<'_>,
    items: &[Item<'_>],
    held: &mut HashMap<String, Holder>,
    made: &mut Vec<i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut fresh: BTreeMap<String, &Item<'_>> = BTreeMap::new();
    let mut own: BTreeMap<String, (i64, &Item<'_>)> = BTreeMap::new();
    let mut owners = BTreeSet::new();
    for item in items.iter().filter(|i| i.decides() && i.next.own_number().is_some()) {
        let Some(number) = item.next.citizen_id.clone() else { continue };
        if held.contains_key(&number) || fresh.contains_key(&number) || own.contains_key(&number) {
            continue;
        }
        match &item.before {
            // A patient known without a number so far: the person stays and gets it.
            Some(before) if before.person_number.is_none() && owners.insert(before.person_id) => {
                own.insert(number, (before.person_id, item));
            }
            _ => {
                fresh.insert(number, item);
            }
        }
    }

    let ids = draw(tx, fresh.len()).await?;
    let persons: Vec<(i64, &Known)> = ids.iter().copied().zip(fresh.values().map(|i| &i.next)).collect();
    let won = insert_claiming(tx, &persons, now).await?;
    let mut missing = Vec::new();
    for (number, item) in fresh {
        match won.get(&number) {
            Some(id) => {
                made.push(*id);
                held.insert(number, Holder::of(*id, &item.next));
            }
            None => missing.push(number),
        }
    }
    held.extend(holders(tx, &missing).await?);

    // An update cannot step aside as an insert can, so it is tried inside a savepoint.
    for _ in 0..10 {
        if own.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(i64, String)> = own.iter().map(|(n, (id, _))| (*id, n.clone())).collect();
        if give_numbers(tx, &wanted).await? {
            for (number, (id, item)) in own {
                held.insert(number, Holder::of(id, &item.next));
            }
            return Ok(());
        }
        let numbers: Vec<String> = own.keys().cloned().collect();
        for (number, holder) in holders(tx, &numbers).await? {
            own.remove(&number);
            held.insert(number, holder);
        }
    }
    Err(Error::fault("claim citizen numbers", "others kept claiming them"))
}

/// Identifiers for so many new persons.
async fn draw(tx: &mut Tx<'_>, count: usize) -> Result<Vec<i64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select nextval(pg_get_serial_sequence('person', 'id')) from generate_series(1, $1)")
        .bind(count as i32)
        .fetch_all(&mut **tx)
        .await
        .db("draw identifiers of persons")
}

const INSERT_CLAIMING: &str = "
    insert into person (id, citizen_id, name, sex, birth_date, phone, address, region, blood_abo, blood_rh,
        citizen_blind, created_at)
    overriding system value
    select t.*, $1 from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::date[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::bytea[]) as t
    on conflict (citizen_blind) where citizen_blind is not null do nothing
    returning citizen_blind, id";

/// Inserts persons with their citizen numbers (in the order given: sorted by number, against deadlocks); from number
/// to identifier for those whose number was free.
async fn insert_claiming(
    tx: &mut Tx<'_>,
    persons: &[(i64, &Known)],
    now: DateTime<Utc>,
) -> Result<HashMap<String, i64>> {
    if persons.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers: Vec<Option<String>> = persons.iter().map(|(_, k)| k.citizen_id.clone()).collect();
    let seal = Seal::of(tx)?;
    let by_blind: HashMap<Vec<u8>, String> =
        numbers.iter().flatten().filter_map(|n| Some((seal.blind(CITIZEN, n)?, n.clone()))).collect();
    let rows = write(tx, persons, numbers, now).await?;
    let mut won = HashMap::with_capacity(rows.len());
    for row in rows {
        let (blind, id): (Option<Vec<u8>>, i64) =
            (|| Ok((row.try_get(0)?, row.try_get(1)?)))().db("read identifiers of persons")?;
        if let Some(number) = blind.and_then(|b| by_blind.get(&b)) {
            won.insert(number.clone(), id);
        }
    }
    Ok(won)
}

/// Inserts persons that hold no number.
async fn insert_persons(tx: &mut Tx<'_>, persons: &[(i64, &Known)], now: DateTime<Utc>) -> Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    write(tx, persons, vec![None; persons.len()], now).await.map(drop)
}

async fn write(
    tx: &mut Tx<'_>,
    persons: &[(i64, &Known)],
    numbers: Vec<Option<String>>,
    now: DateTime<Utc>,
) -> Result<Vec<sqlx::postgres::PgRow>> {
    let text =
        |get: fn(&Known) -> &String| persons.iter().map(|(_, k)| get(k).clone()).collect::<Vec<String>>();
    let seal = Seal::of(tx)?;
    let given = || numbers.iter().map(Option::as_deref);
    sqlx::query(INSERT_CLAIMING)
        .bind(now)
        .bind(persons.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(seal.options(CITIZEN, given())?)
        .bind(text(|k| &k.name))
        .bind(text(|k| &k.sex))
        .bind(persons.iter().map(|(_, k)| k.birth_date).collect::<Vec<_>>())
        .bind(seal.texts(PHONE, persons.iter().map(|(_, k)| k.phone.as_str()))?)
        .bind(seal.texts(ADDRESS, persons.iter().map(|(_, k)| k.address.as_str()))?)
        .bind(text(|k| &k.region))
        .bind(text(|k| &k.blood_abo))
        .bind(text(|k| &k.blood_rh))
        .bind(seal.blinds(CITIZEN, given().map(Option::unwrap_or_default)))
        .fetch_all(&mut **tx)
        .await
        .db("write persons")
}

/// Gives numbers to persons that have none; `false`, and nothing done, when one of the numbers is taken.
async fn give_numbers(tx: &mut Tx<'_>, wanted: &[(i64, String)]) -> Result<bool> {
    let seal = Seal::of(tx)?;
    let numbers = || wanted.iter().map(|(_, n)| n.as_str());
    let (sealed, blinds) = (seal.texts(CITIZEN, numbers())?, seal.blinds(CITIZEN, numbers()));
    let mut savepoint = (**tx).begin().await.db("set a savepoint")?;
    let outcome = sqlx::query(
        "update person p set citizen_id = t.number, citizen_blind = t.blind
         from unnest($1::bigint[], $2::text[], $3::bytea[]) as t (id, number, blind)
         where p.id = t.id and p.citizen_id is null",
    )
    .bind(wanted.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(sealed)
    .bind(blinds)
    .execute(&mut *savepoint)
    .await;
    match outcome {
        Ok(_) => {
            savepoint.commit().await.db("release a savepoint")?;
            Ok(true)
        }
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            savepoint.rollback().await.db("roll back to a savepoint")?;
            Ok(false)
        }
        Err(error) => Err(store::db_error("give citizen numbers", error)),
    }
}

/// Removes persons made by this call whose record another transaction registered first.
pub(crate) async fn drop_empty(tx: &mut Tx<'_>, made: &BTreeSet<i64>) -> Result<()> {
    sqlx::query(
        "delete from person p where p.id = any($1)
         and not exists (select from identity_record i where i.person_id = p.id)",
    )
    .bind(made.iter().copied().collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("remove persons without records")?;
    Ok(())
}
