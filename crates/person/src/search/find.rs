//! The queries behind the search. Each follows one index and stops at a limit, however large the city.

use chrono::NaiveDate;
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

use super::query::{BirthSpan, Query};
use crate::care::{Carer, VISIT_HOLDS};
use crate::sealed::{ADDRESS, CARD, CITIZEN, CREDENTIAL, PHONE, Seal, open, open_option};

/// Records looked at for one search; who finds more is asked to say more.
const LOOKED_AT: i64 = 1000;

/// A person as the list of results shows it: enough to tell namesakes apart. Unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonFound {
    /// The person.
    pub person_id: i64,
    /// Name.
    pub name: String,
    /// Sex code.
    pub sex: String,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// Citizen number.
    pub citizen_id: Option<String>,
    /// Telephone.
    pub phone: String,
    /// Division of the address.
    pub region: RegionCode,
    /// Address.
    pub address: String,
    /// Date of death.
    pub died_on: Option<NaiveDate>,
    /// Identity records linked to the person.
    pub records: i64,
}

/// A page of results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The people of this page.
    pub people: Vec<PersonFound>,
    /// How many there are in all, among the records looked at.
    pub total: u64,
    /// Whether the limit was reached: there may be more.
    pub capped: bool,
}

// A record is in reach by its institution, by where the resident lives, by a care relation or by naming the person.
const BY_NAME: &str = "
    with cared_for as materialized (
        select i.person_id from care_relation c join identity_record i on i.id = c.identity_id
        where ((c.institution_id = $11 and c.staff_no = $12 and $12 <> '') or (c.team_id <> 0 and c.team_id = any($13)))
          and case c.kind when 'visit' then c.until >= $14
                          else c.since <= $15 and (c.until is null or c.until >= $15) end
    ), hit as materialized (
        select person_id, name as key from identity_record
        where name ~>=~ $1 and name ~<~ $2
          and ($3::date is null or birth_date between $3 and $4)
          and ($5::int[] is null or institution_id = any($5) or region like any($6)
               or person_id = any($10) or person_id in (select person_id from cared_for))
        order by name using ~<~ limit $7
    ), people as (select person_id, min(key collate \"C\") as key from hit group by person_id)
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.region, p.address, p.died_on,
           (select count(*) from identity_record i where i.person_id = p.id) as records,
           count(*) over () as total, (select count(*) from hit) as looked_at
    from people join person p on p.id = people.person_id
    order by people.key collate \"C\", p.birth_date nulls last, p.id
    limit $8 offset $9";

const BY_INITIALS: &str = "
    with cared_for as materialized (
        select i.person_id from care_relation c join identity_record i on i.id = c.identity_id
        where ((c.institution_id = $11 and c.staff_no = $12 and $12 <> '') or (c.team_id <> 0 and c.team_id = any($13)))
          and case c.kind when 'visit' then c.until >= $14
                          else c.since <= $15 and (c.until is null or c.until >= $15) end
    ), hit as materialized (
        select person_id, initials as key from identity_record
        where initials ~>=~ $1 and initials ~<~ $2
          and ($3::date is null or birth_date between $3 and $4)
          and ($5::int[] is null or institution_id = any($5) or region like any($6)
               or person_id = any($10) or person_id in (select person_id from cared_for))
        order by initials using ~<~ limit $7
    ), people as (select person_id, min(key collate \"C\") as key from hit group by person_id)
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.region, p.address, p.died_on,
           (select count(*) from identity_record i where i.person_id = p.id) as records,
           count(*) over () as total, (select count(*) from hit) as looked_at
    from people join person p on p.id = people.person_id
    order by people.key collate \"C\", p.name collate \"C\", p.birth_date nulls last, p.id
    limit $8 offset $9";

const BY_NUMBER: &str = "
    with cared_for as materialized (
        select i.person_id from care_relation c join identity_record i on i.id = c.identity_id
        where ((c.institution_id = $13 and c.staff_no = $14 and $14 <> '') or (c.team_id <> 0 and c.team_id = any($15)))
          and case c.kind when 'visit' then c.until >= $16
                          else c.since <= $17 and (c.until is null or c.until >= $17) end
    ), hit as materialized (
        (select person_id, 0 as rank from identity_record where citizen_blind = $8 limit $5)
        union all (select person_id, 1 from identity_record
            where credential_blind = $9 and citizen_blind is null limit $5)
        union all (select person_id, 2 from identity_record where card_blind = $10 limit $5)
        union all (select person_id, 3 from identity_record where phone_blind = $11 limit $5)
        union all (select person_id, 4 from identity_record where local_no = $1 limit $5)
        -- what is still plain; the index of these is empty once everything is encrypted
        union all (select person_id, 0 from identity_record
            where citizen_id = $2 and citizen_id is not null and citizen_blind is null limit $5)
        union all (select person_id, 1 from identity_record
            where credential_no = $1 and credential_no <> '' and credential_blind is null limit $5)
        union all (select person_id, 2 from identity_record
            where card_no = $1 and card_no <> '' and card_blind is null limit $5)
        union all (select person_id, 3 from identity_record
            where phone = $1 and phone <> '' and phone_blind is null limit $5)
    ), people as (
        select person_id, min(rank) as rank from hit
        where $3::int[] is null or exists (
            select from identity_record i
            where i.person_id = hit.person_id and (i.institution_id = any($3) or i.region like any($4)))
            or person_id = any($12) or person_id in (select person_id from cared_for)
        group by person_id
    )
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.region, p.address, p.died_on,
           (select count(*) from identity_record i where i.person_id = p.id) as records,
           count(*) over () as total, (select count(*) from hit) as looked_at
    from people join person p on p.id = people.person_id
    order by people.rank, p.name collate \"C\", p.birth_date nulls last, p.id
    limit $6 offset $7";

/// Finds people within a reach. The caller writes the audit entry (through `Db::personal`).
pub async fn search(
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    query: &Query,
    limit: i64,
    offset: i64,
) -> Result<Found> {
    let everywhere = reach.covers_region(&RegionCode::NATION);
    let within: Option<Vec<i32>> = (!everywhere).then(|| {
        let all = institutions.all();
        all.iter().filter(|c| reach.covers(c.id, &c.region)).map(|c| c.id.get() as i32).collect()
    });
    let scope = reach.scope();
    let regions: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    // Own patients and people of the team, wherever they live. Relations hold on a day; background work needs none.
    let carer = tx.now().map_or_else(Carer::default, |_| Carer::of(&scope));
    let today = tx.now().map_or(NaiveDate::default(), |now| kernel::clock::to_china(now).date());
    let since = today.checked_sub_signed(VISIT_HOLDS).unwrap_or(today);
    let (statement, prefix, born) = match query {
        Query::Number { text, citizen_id } => {
            let seal = Seal::of(tx)?;
            let rows = sqlx::query(BY_NUMBER)
                .bind(text)
                .bind(citizen_id)
                .bind(&within)
                .bind(&regions)
                .bind(LOOKED_AT)
                .bind(limit)
                .bind(offset)
                .bind(citizen_id.as_deref().and_then(|number| seal.blind(CITIZEN, number)))
                .bind(seal.blind(CREDENTIAL, text))
                .bind(seal.blind(CARD, text))
                .bind(seal.blind(PHONE, text))
                .bind(&scope.persons)
                .bind(carer.institution)
                .bind(&carer.staff_no)
                .bind(&carer.teams)
                .bind(since)
                .bind(today)
                .fetch_all(&mut ***tx)
                .await
                .db("find persons by number")?;
            return found(tx, &rows);
        }
        Query::Name { prefix, born } => (BY_NAME, prefix, born),
        Query::Initials { prefix, born } => (BY_INITIALS, prefix, born),
    };
    let rows = sqlx::query(statement)
        .bind(prefix)
        // Nothing that begins with the prefix comes after this.
        .bind(format!("{prefix}{}", char::MAX))
        .bind(born.map(|BirthSpan { from, .. }| from))
        .bind(born.map(|BirthSpan { to, .. }| to))
        .bind(&within)
        .bind(&regions)
        .bind(LOOKED_AT)
        .bind(limit)
        .bind(offset)
        .bind(&scope.persons)
        .bind(carer.institution)
        .bind(&carer.staff_no)
        .bind(&carer.teams)
        .bind(since)
        .bind(today)
        .fetch_all(&mut ***tx)
        .await
        .db("find persons by name")?;
    found(tx, &rows)
}

fn found(tx: &Gated<'_>, rows: &[PgRow]) -> Result<Found> {
    let read = || {
        let mut found = Found::default();
        for row in rows {
            found.total = row.try_get::<i64, _>("total")?.unsigned_abs();
            found.capped = row.try_get::<i64, _>("looked_at")? >= LOOKED_AT;
            found.people.push(PersonFound {
                person_id: row.try_get(0)?,
                name: row.try_get(1)?,
                sex: row.try_get(2)?,
                birth_date: row.try_get(3)?,
                citizen_id: row.try_get(4)?,
                phone: row.try_get(5)?,
                region: RegionCode::parse(row.try_get(6)?).unwrap_or(RegionCode::NATION),
                address: row.try_get(7)?,
                died_on: row.try_get(8)?,
                records: row.try_get("records")?,
            });
        }
        Ok::<_, sqlx::Error>(found)
    };
    let mut found = read().db("read persons")?;
    let opener = tx.keyring().opener();
    for person in &mut found.people {
        person.citizen_id = open_option(&opener, CITIZEN, person.citizen_id.take())?;
        person.phone = open(&opener, PHONE, std::mem::take(&mut person.phone))?;
        person.address = open(&opener, ADDRESS, std::mem::take(&mut person.address))?;
    }
    Ok(found)
}
