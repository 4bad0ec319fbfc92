//! Writing identity records, their time line and the best known values of persons, set by set.

use chrono::{DateTime, Utc};
use contracts::PersonLinked;
use kernel::Result;
use sqlx::Row;
use standards::pinyin::initials;
use store::{DbDoing, Tx};

use crate::linking::Item;
use crate::sealed::{ADDRESS, CARD, CITIZEN, CREDENTIAL, PHONE, Seal};

const INSERT: &str = "
    insert into identity_record (institution_id, local_no, person_id, name, initials, sex, birth_date,
        credential_kind, credential_no, citizen_id, card_no, phone, address, region, blood_abo, blood_rh,
        registered, link_rule, citizen_blind, credential_blind, card_blind, phone_blind, updated_at)
    select $1, t.* , $2
    from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::boolean[],
        $19::text[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[]) as t
    on conflict (institution_id, local_no) do nothing
    returning id, local_no";

const UPDATE: &str = "
    update identity_record i
    set person_id = t.person_id, name = t.name, initials = t.initials, sex = t.sex, birth_date = t.birth_date,
        credential_kind = t.credential_kind, credential_no = t.credential_no, citizen_id = t.citizen_id,
        card_no = t.card_no, phone = t.phone, address = t.address, region = t.region, blood_abo = t.blood_abo,
        blood_rh = t.blood_rh, registered = t.registered, link_rule = t.link_rule, updated_at = $2,
        citizen_blind = t.citizen_blind, credential_blind = t.credential_blind, card_blind = t.card_blind,
        phone_blind = t.phone_blind
    from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::date[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::boolean[],
        $19::text[], $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[])
        as t (local_no, person_id, name, initials, sex, birth_date, credential_kind, credential_no, citizen_id,
              card_no, phone, address, region, blood_abo, blood_rh, registered, link_rule, citizen_blind,
              credential_blind, card_blind, phone_blind)
    where i.institution_id = $1 and i.local_no = t.local_no
    returning i.id, i.local_no";

/// Inserts (or, for records that exist, updates) identity records; returns identifier and local number of each one
/// written. A record that another transaction inserted meanwhile is left out.
async fn write(
    tx: &mut Tx<'_>,
    statement: &'static str,
    institution: i64,
    now: DateTime<Utc>,
    items: &[&Item<'_>],
) -> Result<Vec<(i64, String)>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let text = |get: fn(&Item<'_>) -> String| items.iter().map(|i| get(i)).collect::<Vec<String>>();
    let seal = Seal::of(tx)?;
    let citizens = || items.iter().map(|i| i.next.citizen_id.as_deref());
    let credentials = || items.iter().map(|i| i.next.credential_no.as_str());
    let cards = || items.iter().map(|i| i.next.card_no.as_str());
    let phones = || items.iter().map(|i| i.next.phone.as_str());
    let addresses = items.iter().map(|i| i.next.address.as_str());
    let rows = sqlx::query(statement)
        .bind(institution as i32)
        .bind(now)
        .bind(items.iter().map(|i| i.local_no).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.person).collect::<Vec<_>>())
        .bind(text(|i| i.next.name.clone()))
        .bind(text(|i| initials(&i.next.name)))
        .bind(text(|i| i.next.sex.clone()))
        .bind(items.iter().map(|i| i.next.birth_date).collect::<Vec<_>>())
        .bind(text(|i| i.next.credential_kind.clone()))
        .bind(seal.texts(CREDENTIAL, credentials())?)
        .bind(seal.options(CITIZEN, citizens())?)
        .bind(seal.texts(CARD, cards())?)
        .bind(seal.texts(PHONE, phones())?)
        .bind(seal.texts(ADDRESS, addresses)?)
        .bind(text(|i| i.next.region.clone()))
        .bind(text(|i| i.next.blood_abo.clone()))
        .bind(text(|i| i.next.blood_rh.clone()))
        .bind(items.iter().map(|i| i.next.registered).collect::<Vec<_>>())
        .bind(text(|i| i.rule.clone()))
        .bind(seal.blinds(CITIZEN, citizens().map(Option::unwrap_or_default)))
        .bind(seal.blinds(CREDENTIAL, credentials()))
        .bind(seal.blinds(CARD, cards()))
        .bind(seal.blinds(PHONE, phones()))
        .fetch_all(&mut **tx)
        .await
        .db("write identity records")?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()
        .db("read identifiers of identity records")
}

/// Inserts new identity records.
pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    institution: i64,
    now: DateTime<Utc>,
    items: &[&Item<'_>],
) -> Result<Vec<(i64, String)>> {
    write(tx, INSERT, institution, now, items).await
}

/// Updates identity records that exist and are locked.
pub(crate) async fn update(
    tx: &mut Tx<'_>,
    institution: i64,
    now: DateTime<Utc>,
    items: &[&Item<'_>],
) -> Result<()> {
    write(tx, UPDATE, institution, now, items).await.map(drop)
}

/// An entry of the identity time line.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub identity_id: i64,
    pub from_person: Option<i64>,
    pub to_person: i64,
    pub kind: &'static str,
    pub rule: &'a str,
    pub operation_id: Option<i64>,
    pub actor: &'a str,
    pub reason: &'a str,
    pub model_version: &'a str,
    /// Bits of the evidence that linked it.
    pub weight: Option<f32>,
}

impl<'a> Entry<'a> {
    /// A change of its values, by nobody in particular.
    pub(crate) const fn of(identity_id: i64, to_person: i64, rule: &'a str) -> Self {
        Self {
            identity_id,
            from_person: None,
            to_person,
            kind: "updated",
            rule,
            operation_id: None,
            actor: "",
            reason: "",
            model_version: "",
            weight: None,
        }
    }
}

/// Writes the time line.
pub(crate) async fn trail(
    tx: &mut Tx<'_>,
    entries: &[Entry<'_>],
    batch: Option<i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into identity_event (identity_id, from_person, to_person, kind, rule, operation_id, actor, reason,
            model_version, weight, at, batch_id)
         select t.*, $11, $12 from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
            $6::bigint[], $7::text[], $8::text[], $9::text[], $10::real[]) as t",
    )
    .bind(entries.iter().map(|e| e.identity_id).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.from_person).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.to_person).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.kind).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.rule).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.operation_id).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.actor).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.reason).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.model_version).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.weight).collect::<Vec<_>>())
    .bind(now)
    .bind(batch)
    .execute(&mut **tx)
    .await
    .db("write the identity time line")?;
    Ok(())
}

/// Tells the other contexts which records changed their person.
pub(crate) async fn tell(tx: &mut Tx<'_>, entries: &[Entry<'_>]) -> Result<()> {
    let moves: Vec<(String, PersonLinked)> = entries
        .iter()
        .filter_map(|e| {
            let from_person = e.from_person?;
            let event = PersonLinked { identity_id: e.identity_id, from_person, to_person: e.to_person };
            Some((e.identity_id.to_string(), event))
        })
        .collect();
    let events: Vec<(&str, &PersonLinked)> = moves.iter().map(|(id, event)| (id.as_str(), event)).collect();
    store::outbox::emit_all(tx, PersonLinked::TOPIC, &events).await
}

// Field by field the newest registration that has a value; records known only from facts come last.
const RECOMPUTE: &str = "
    with latest as (
        select person_id, name, sex, birth_date, phone, address, region, blood_abo, blood_rh,
               row_number() over (partition by person_id order by registered desc, updated_at desc, id desc) as n
        from identity_record where person_id = any($1)
    ), best as (
        select person_id,
            coalesce((array_agg(name order by n) filter (where name <> ''))[1], '') as name,
            coalesce((array_agg(sex order by n) filter (where sex in ('1', '2')))[1], min(sex), '0') as sex,
            (array_agg(birth_date order by n) filter (where birth_date is not null))[1] as birth_date,
            coalesce((array_agg(phone order by n) filter (where phone <> ''))[1], '') as phone,
            coalesce((array_agg(address order by n) filter (where address <> ''))[1], '') as address,
            coalesce((array_agg(region order by n) filter (where region <> '000000000000'))[1], '000000000000')
                as region,
            coalesce((array_agg(blood_abo order by n) filter (where blood_abo <> ''))[1], '') as blood_abo,
            coalesce((array_agg(blood_rh order by n) filter (where blood_rh <> ''))[1], '') as blood_rh
        from latest group by person_id
    )
    update person p
    set name = b.name, sex = b.sex, birth_date = b.birth_date, phone = b.phone, address = b.address,
        region = b.region, blood_abo = b.blood_abo, blood_rh = b.blood_rh
    from best b
    where p.id = b.person_id
      and (p.name, p.sex, p.birth_date, p.phone, p.address, p.region, p.blood_abo, p.blood_rh)
          is distinct from
          (b.name, b.sex, b.birth_date, b.phone, b.address, b.region, b.blood_abo, b.blood_rh)";

/// Recomputes the best known values of persons. They are locked in order first, so that of two transactions the
/// second sees what the first did.
pub(crate) async fn recompute(tx: &mut Tx<'_>, persons: &[i64]) -> Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query("select id from person where id = any($1) order by id for no key update")
        .bind(persons)
        .execute(&mut **tx)
        .await
        .db("lock persons")?;
    sqlx::query(RECOMPUTE).bind(persons).execute(&mut **tx).await.db("recompute persons")?;
    Ok(())
}

/// A person whose last record with the person's citizen number has gone no longer holds that number.
pub(crate) async fn release_numbers(tx: &mut Tx<'_>, persons: &[i64]) -> Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(
        // Of an encrypted number and one that is still plain nobody can tell here whether they are equal: it stays.
        "update person p set citizen_id = null, citizen_blind = null
         where p.id = any($1) and p.citizen_id is not null and not exists (
             select from identity_record i where i.person_id = p.id and i.citizen_id is not null
                and (i.citizen_blind = p.citizen_blind or i.citizen_id = p.citizen_id
                     or (i.citizen_blind is null) <> (p.citizen_blind is null)))",
    )
    .bind(persons)
    .execute(&mut **tx)
    .await
    .db("release citizen numbers")?;
    Ok(())
}
