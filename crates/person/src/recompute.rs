//! Writing the best record of persons: reads their records, chooses ([`crate::best`]), writes what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use kernel::Result;
use kernel::access::InstitutionId;
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Tx};

use crate::best::{Choice, Field, Source, choose};
use crate::known::Traits;
use crate::linking::Item;
use crate::sealed::{ADDRESS, PHONE, Seal, hex};

/// Records of one person that are looked at: the newest registrations. More than this is a person gone wrong.
const LOOKED_AT: i32 = 200;

/// How far institutions are trusted.
pub(crate) type Trust<'a> = &'a (dyn Fn(InstitutionId) -> i64 + Sync);

// Sub-selects so that it is planned once, as in `gather`. Encrypted values are compared by their blind index and copied
// as they are.
const RECORDS: &str = "
    select i.id, i.person_id, i.institution_id, i.registered, i.updated_at, i.name, i.sex, i.birth_date, i.phone,
           coalesce(encode(i.phone_blind, 'hex'), i.phone) as phone_key, i.address, i.region, i.blood_abo, i.blood_rh,
           i.died_on, i.claim_blind is not null as claims,
           coalesce((select array_agg(p.field) from person_pin p where p.identity_id = i.id), '{}') as pins
    from unnest((select $1::bigint[])) as w (id) cross join lateral (
        select * from identity_record r where r.person_id = w.id
        order by r.registered desc, r.updated_at desc, r.id desc limit $2) i";

const WRITE: &str = "
    update person p
    set name = t.name, sex = t.sex, birth_date = t.birth_date, phone = t.phone, address = t.address,
        region = t.region, blood_abo = t.blood_abo, blood_rh = t.blood_rh, died_on = t.died_on, sources = t.sources,
        version = p.version + 1
    from unnest((select $1::person_best[])) as t
    where p.id = t.id";

/// The values of one record, as written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
    phone: String,
    address: String,
    region: String,
    blood_abo: String,
    blood_rh: String,
    died_on: Option<NaiveDate>,
}

/// What one record says of its person, and the values as they are written.
pub(crate) type Said = (Source, Values);

/// Of a record that is written, from a row with the columns of `RECORDS`.
pub(crate) fn read(row: &PgRow, trust: Trust<'_>) -> Result<(i64, Said), sqlx::Error> {
    let values = Values {
        name: row.try_get("name")?,
        sex: row.try_get("sex")?,
        birth_date: row.try_get("birth_date")?,
        phone: row.try_get("phone")?,
        address: row.try_get("address")?,
        region: row.try_get("region")?,
        blood_abo: row.try_get("blood_abo")?,
        blood_rh: row.try_get("blood_rh")?,
        died_on: row.try_get("died_on")?,
    };
    let said = said(&values, row.try_get("phone_key")?);
    let institution: i32 = row.try_get("institution_id")?;
    let pins: Vec<String> = row.try_get("pins")?;
    let claims: bool = row.try_get("claims")?;
    let updated_at: DateTime<Utc> = row.try_get("updated_at")?;
    let source = Source {
        identity_id: row.try_get("id")?,
        trust: trust(InstitutionId::new(institution.into())),
        registered: row.try_get("registered")?,
        updated_at,
        values: said,
        pinned: pins.iter().filter_map(|p| Field::of_code(p)).collect(),
        vouched: vouched(claims),
    };
    Ok((row.try_get("person_id")?, (source, values)))
}

/// Of a new record that is about to be written.
pub(crate) fn of_new(
    id: i64,
    item: &Item<'_>,
    institution: i64,
    now: DateTime<Utc>,
    seal: &Seal,
    trust: Trust<'_>,
) -> Result<Said> {
    let known = &item.next;
    let values = Values {
        name: known.name.clone(),
        sex: known.sex.clone(),
        birth_date: known.birth_date,
        phone: seal.text(PHONE, &known.phone)?,
        address: seal.text(ADDRESS, &known.address)?,
        region: known.region.clone(),
        blood_abo: known.blood_abo.clone(),
        blood_rh: known.blood_rh.clone(),
        died_on: known.died_on,
    };
    let phone_key = seal.blind(PHONE, &known.phone).as_deref().map(hex).unwrap_or_default();
    let source = Source {
        identity_id: id,
        trust: trust(InstitutionId::new(institution)),
        registered: known.registered,
        updated_at: now,
        values: said(&values, &phone_key),
        pinned: BTreeSet::new(),
        vouched: vouched(item.claim.is_some()),
    };
    Ok((source, values))
}

fn vouched(claims: bool) -> BTreeSet<Field> {
    if claims { BTreeSet::from([Field::Sex, Field::BirthDate]) } else { BTreeSet::new() }
}

fn said(values: &Values, phone_key: &str) -> BTreeMap<Field, String> {
    let mut said = BTreeMap::new();
    let mut say = |field, text: &str, silent: &str| {
        if text != silent && !text.is_empty() {
            said.insert(field, text.to_owned());
        }
    };
    if !Traits::nameless(&values.name) {
        say(Field::Name, &values.name, "");
    }
    if matches!(values.sex.as_str(), "1" | "2") {
        say(Field::Sex, &values.sex, "");
    }
    say(Field::Phone, phone_key, "");
    // Nothing is found by an address; each one stands for itself.
    say(Field::Address, &values.address, "");
    say(Field::Region, &values.region, "000000000000");
    say(Field::BloodAbo, &values.blood_abo, "");
    say(Field::BloodRh, &values.blood_rh, "");
    for (field, day) in [(Field::BirthDate, values.birth_date), (Field::DiedOn, values.died_on)] {
        if let Some(day) = day {
            say(field, &day.to_string(), "");
        }
    }
    said
}

fn written(choice: &Choice, values: &HashMap<i64, Values>) -> Values {
    let of = |field| choice.get(&field).and_then(|id| values.get(id)).cloned().unwrap_or_default();
    // What nobody knows keeps the code of "not said".
    let sex = if choice.contains_key(&Field::Sex) {
        of(Field::Sex).sex
    } else {
        values
            .values()
            .map(|v| v.sex.clone())
            .min()
            .filter(|s| !s.is_empty())
            .unwrap_or_else(|| "0".to_owned())
    };
    let region = if choice.contains_key(&Field::Region) {
        of(Field::Region).region
    } else {
        "000000000000".to_owned()
    };
    Values {
        name: of(Field::Name).name,
        sex,
        birth_date: of(Field::BirthDate).birth_date,
        phone: of(Field::Phone).phone,
        address: of(Field::Address).address,
        region,
        blood_abo: of(Field::BloodAbo).blood_abo,
        blood_rh: of(Field::BloodRh).blood_rh,
        died_on: of(Field::DiedOn).died_on,
    }
}

/// Recomputes the best record of persons, which the caller has locked, and counts their version up.
pub(crate) async fn recompute(tx: &mut Tx<'_>, persons: &[i64], trust: Trust<'_>) -> Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(RECORDS)
        .bind(persons)
        .bind(LOOKED_AT)
        .fetch_all(&mut **tx)
        .await
        .db("read the records of persons")?;
    let mut by_person: BTreeMap<i64, Vec<Said>> = BTreeMap::new();
    for row in &rows {
        let (person, said) = read(row, trust).db("read a record of a person")?;
        by_person.entry(person).or_default().push(said);
    }
    let best: Vec<Best> = by_person.into_iter().map(|(person, said)| Best::of(person, said)).collect();
    sqlx::query(WRITE).bind(best).execute(&mut **tx).await.db("write the best records of persons")?;
    Ok(())
}

/// The best record of a person as it is sent to be written.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "person_best")]
pub(crate) struct Best {
    id: i64,
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
    phone: String,
    address: String,
    region: String,
    blood_abo: String,
    blood_rh: String,
    died_on: Option<NaiveDate>,
    sources: serde_json::Value,
}

impl Best {
    /// Of all that is said of a person.
    pub(crate) fn of(person: i64, said: Vec<Said>) -> Self {
        let (sources, values): (Vec<Source>, HashMap<i64, Values>) =
            said.into_iter().map(|(source, values)| (source.clone(), (source.identity_id, values))).unzip();
        let choice = choose(&sources);
        // Of a single record there is nothing to choose; an empty object says that.
        let origin: serde_json::Map<String, serde_json::Value> = if sources.len() == 1 {
            serde_json::Map::new()
        } else {
            choice.iter().map(|(f, id)| (f.code().to_owned(), (*id).into())).collect()
        };
        let best = written(&choice, &values);
        Self {
            id: person,
            name: best.name,
            sex: best.sex,
            birth_date: best.birth_date,
            phone: best.phone,
            address: best.address,
            region: best.region,
            blood_abo: best.blood_abo,
            blood_rh: best.blood_rh,
            died_on: best.died_on,
            sources: serde_json::Value::Object(origin),
        }
    }
}

/// A person without records or values, for records that become somebody of their own.
pub(crate) async fn fresh(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<i64> {
    sqlx::query_scalar("insert into person (created_at) values ($1) returning id")
        .bind(now)
        .fetch_one(&mut **tx)
        .await
        .db("make a person")
}

/// Brings the claims of the records of persons into agreement with the numbers that the persons hold.
pub(crate) async fn settle_claims(tx: &mut Tx<'_>, persons: &[i64]) -> Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update identity_record i
         set claim_blind = case when i.own_blind = p.citizen_blind and not i.number_disowned then i.own_blind end
         from person p
         where i.person_id = any($1) and p.id = i.person_id
           and i.claim_blind is distinct from
               case when i.own_blind = p.citizen_blind and not i.number_disowned then i.own_blind end",
    )
    .bind(persons)
    .execute(&mut **tx)
    .await
    .db("settle claims of numbers")?;
    Ok(())
}
