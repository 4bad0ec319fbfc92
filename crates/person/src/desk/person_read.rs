//! What the page of a person's identity reads.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::Result;
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

use super::read::Within;
use crate::sealed::{ADDRESS, CITIZEN, PHONE, open, open_option};

/// A person as the best record shows it. Unmasked.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub id: i64,
    pub name: String,
    pub sex: String,
    pub birth_date: Option<NaiveDate>,
    pub citizen_id: String,
    pub phone: String,
    pub address: String,
    pub region: String,
    pub blood_abo: String,
    pub blood_rh: String,
    pub died_on: Option<NaiveDate>,
    /// Field → registration from which its value comes.
    pub sources: BTreeMap<String, i64>,
    pub records: i64,
}

impl Person {
    /// The value of a field of the best record.
    pub(super) fn value(&self, field: &str) -> String {
        let day = |d: Option<NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
        match field {
            "name" => self.name.clone(),
            "sex" => self.sex.clone(),
            "birth_date" => day(self.birth_date),
            "phone" => self.phone.clone(),
            "address" => self.address.clone(),
            "region" => self.region.clone(),
            "blood_abo" => self.blood_abo.clone(),
            "blood_rh" => self.blood_rh.clone(),
            "died_on" => day(self.died_on),
            _ => String::new(),
        }
    }
}

/// Where the records of a person went in the end: itself where it still has them. `None`: there is no such person.
pub(super) async fn living(tx: &mut Gated<'_>, person: i64) -> Result<Option<i64>> {
    // No way is longer than the merges of one person; the limit keeps a fault from turning in a circle.
    sqlx::query_scalar(
        "with recursive way (id, next, step) as (
             select id, merged_into, 0 from person where id = $1
             union all
             select p.id, p.merged_into, step + 1 from way join person p on p.id = way.next where step < 100
         ) select id from way order by step desc limit 1",
    )
    .bind(person)
    .fetch_optional(&mut ***tx)
    .await
    .db("follow a person")
}

/// A person within reach: by where they live, or by an institution that registered them.
pub(super) async fn person(tx: &mut Gated<'_>, within: &Within, id: i64) -> Result<Option<Person>> {
    let row = sqlx::query(
        "select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.address, p.region, p.blood_abo, p.blood_rh,
                p.died_on, p.sources, (select count(*) from identity_record i where i.person_id = p.id)
         from person p where p.id = $1 and (p.region like any($3) or exists (
             select from identity_record i where i.person_id = p.id
               and (i.institution_id = any($2) or i.region like any($3))))",
    )
    .bind(id)
    .bind(&within.institutions)
    .bind(&within.regions)
    .fetch_optional(&mut ***tx)
    .await
    .db("read a person")?;
    let read = |row: &PgRow| {
        let sources: sqlx::types::Json<BTreeMap<String, i64>> = row.try_get(11)?;
        Ok::<_, sqlx::Error>(Person {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            sex: row.try_get(2)?,
            birth_date: row.try_get(3)?,
            citizen_id: row.try_get::<Option<String>, _>(4)?.unwrap_or_default(),
            phone: row.try_get(5)?,
            address: row.try_get(6)?,
            region: row.try_get(7)?,
            blood_abo: row.try_get(8)?,
            blood_rh: row.try_get(9)?,
            died_on: row.try_get(10)?,
            sources: sources.0,
            records: row.try_get(12)?,
        })
    };
    let Some(mut person) = row.as_ref().map(read).transpose().db("read a person")? else { return Ok(None) };
    let opener = tx.keyring().opener();
    let take = std::mem::take::<String>;
    person.citizen_id =
        open_option(&opener, CITIZEN, Some(take(&mut person.citizen_id)))?.unwrap_or_default();
    person.phone = open(&opener, PHONE, take(&mut person.phone))?;
    person.address = open(&opener, ADDRESS, take(&mut person.address))?;
    Ok(Some(person))
}

/// An entry of the identity time line.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Event {
    pub identity_id: i64,
    pub from_person: Option<i64>,
    pub to_person: i64,
    pub kind: String,
    pub rule: String,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub reason: String,
    pub model_version: String,
    pub weight: Option<f32>,
    pub institution_id: i32,
    pub local_no: String,
}

/// The time line of a person, newest first: what came, what went, and what happened to the registrations meanwhile.
pub(super) async fn events(tx: &mut Gated<'_>, person: i64, limit: i64) -> Result<Vec<Event>> {
    sqlx::query_as(
        "select e.identity_id, e.from_person, e.to_person, e.kind, e.rule, e.at, e.actor, e.reason, e.model_version,
                e.weight, i.institution_id, i.local_no
         from (select * from (select * from identity_event where to_person = $1 order by id desc limit $2) as came
               union select * from (select * from identity_event where from_person = $1 order by id desc limit $2) as went) e
         join identity_record i on i.id = e.identity_id
         order by e.at desc, e.id desc limit $2",
    )
    .bind(person)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("read the identity time line")
}

/// Values that somebody fixed: registration, field, who, why, when.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Pin {
    pub identity_id: i64,
    pub field: String,
    pub actor: String,
    pub reason: String,
    pub at: DateTime<Utc>,
}

/// The pins on a person's registrations.
pub(super) async fn pins(tx: &mut Gated<'_>, person: i64) -> Result<Vec<Pin>> {
    sqlx::query_as(
        "select p.identity_id, p.field, p.actor, p.reason, p.at
         from person_pin p join identity_record i on i.id = p.identity_id where i.person_id = $1",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read pinned values")
}

/// Tasks of a person that wait: number, kind.
pub(super) async fn waiting(tx: &mut Gated<'_>, person: i64) -> Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "select t.id, t.kind from review_task t where t.state in ('open', 'second', 'asked') and (
             t.a in (select id from identity_record where person_id = $1)
             or t.b in (select id from identity_record where person_id = $1)) order by t.priority, t.id limit 20",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read the tasks of a person")
}
