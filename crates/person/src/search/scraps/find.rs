//! The queries behind the scraps: some ranges of one index, each to a limit; then the few registrations that are left.

use std::collections::HashMap;

use chrono::NaiveDate;
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

use super::keep::{TAIL, filling, short};
use super::keys::telephone;
use super::question::{Fit, Question, Seen, fit};
use crate::care::{Carer, VISIT_HOLDS};
use crate::sealed::{ADDRESS, CITIZEN, CONTACT_PHONE, PHONE, Seal, open, open_option};
use crate::search::PersonFound;

/// Entries looked at in one step, under all of its keys together.
const LOOKED_AT: i64 = 5_000;
/// Registrations that are read and compared.
const COMPARED: i64 = 200;
/// People with whom a step is content.
const ENOUGH: usize = 10;
/// People that are shown.
pub const SHOWN: usize = 30;

/// Somebody who may be the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who. Unmasked.
    pub person: PersonFound,
    /// How well the best of the person's registrations fits.
    pub fit: Fit,
}

/// What a question found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrapbook {
    /// The best first.
    pub candidates: Vec<Candidate>,
    /// Whether a limit was reached: somebody who fits may be missing.
    pub capped: bool,
    /// Whether keys of older registrations are still being written.
    pub filling: bool,
}

/// What a viewer reaches, as numbers of the index: institutions, ranges of divisions, registrations of own patients.
struct Within {
    institutions: Option<Vec<i32>>,
    divisions: String,
    patterns: Vec<String>,
    own: Vec<i64>,
}

const OWN: &str = "
    select id from identity_record where person_id = any($1)
    union
    select o.id from care_relation c join identity_record i on i.id = c.identity_id
        join identity_record o on o.person_id = i.person_id
    where ((c.institution_id = $2 and c.staff_no = $3 and $3 <> '') or (c.team_id <> 0 and c.team_id = any($4)))
      and case c.kind when 'visit' then c.until >= $5
                      else c.since <= $6 and (c.until is null or c.until >= $6) end
    limit 20000";

impl Within {
    async fn of(tx: &mut Gated<'_>, reach: &Reach, institutions: &dyn Institutions) -> Result<Self> {
        let scope = reach.scope();
        if reach.covers_region(&RegionCode::NATION) {
            return Ok(Self {
                institutions: None,
                divisions: "{}".to_owned(),
                patterns: Vec::new(),
                own: Vec::new(),
            });
        }
        let all = institutions.all();
        let mine = all.iter().filter(|c| reach.covers(c.id, &c.region)).map(|c| c.id.get() as i32).collect();
        let edge = |prefix: &String, fill: char| -> i32 {
            let nine: String = prefix.chars().chain(std::iter::repeat(fill)).take(9).collect();
            nine.parse().unwrap_or(0)
        };
        // A multirange is looked into by halving; a list of ranges would be gone through for every entry.
        let ranges: Vec<String> =
            scope.region_prefixes.iter().map(|p| format!("[{},{}]", edge(p, '0'), edge(p, '9'))).collect();
        let today = tx.now().map_or(NaiveDate::default(), |now| kernel::clock::to_china(now).date());
        let carer = tx.now().map_or_else(Carer::default, |_| Carer::of(&scope));
        let own = sqlx::query_scalar(OWN)
            .bind(&scope.persons)
            .bind(carer.institution)
            .bind(&carer.staff_no)
            .bind(&carer.teams)
            .bind(today.checked_sub_signed(VISIT_HOLDS).unwrap_or(today))
            .bind(today)
            .fetch_all(&mut ***tx)
            .await
            .db("find registrations of own patients")?;
        Ok(Self {
            institutions: Some(mine),
            divisions: format!("{{{}}}", ranges.join(",")),
            patterns: scope.region_prefixes.iter().map(|p| format!("{p}%")).collect(),
            own,
        })
    }
}

// Each key's range is read in the index alone and ends at a limit; only what is in reach is ranked. A year of birth that
// is unknown fits every age.
const RANGES: &str = "
    with looked as materialized (
        select r.*, p.key from unnest($1::bigint[]) as p (key) cross join lateral (
            (select k.identity_id, k.birth, k.sex, k.region, k.institution, k.tail from search_key k
             where k.key = p.key and k.birth between $2 and $3 order by k.birth limit $4)
            union all
            (select k.identity_id, k.birth, k.sex, k.region, k.institution, k.tail from search_key k
             where k.key = p.key and k.birth = 0 and $2 > 0 limit $4 / 8)
        ) r
    ), hit as (
        select identity_id, count(*) as keys, min(birth) as birth, min(sex) as sex, min(region) as region,
               bool_or(tail = $7 and $7 <> 0) as called
        from looked l
        where $5::int[] is null or l.institution = any($5)
            or l.region <@ $6::text::int4multirange
            or l.identity_id = any($12)
        group by identity_id
    )
    select identity_id, (select max(n) from (select count(*) as n from looked group by key) as k) as longest from hit
    order by called desc, keys desc,
        (case when $8 = 0 then 0 else abs(birth - $8) end
         + case when $9 <> 0 and sex in (1, 2) and sex <> $9 then 14 else 0 end
         - case when region between $10 and $11 then 8 else 0 end),
        identity_id desc
    limit $13";

const RECORDS: &str = "
    select i.id, i.person_id, i.name, i.sex, i.birth_date, i.region, i.phone, i.contact_phone
    from identity_record i
    where i.id = any($1)
      and ($2::int[] is null or i.institution_id = any($2) or i.region like any($3) or i.id = any($4))";

const PEOPLE: &str = "
    select p.id, p.name, p.sex, p.birth_date, p.citizen_id, p.phone, p.region, p.address, p.died_on,
           (select count(*) from identity_record i where i.person_id = p.id) as records
    from person p where p.id = any($1)";

/// Finds who may be the patient, within a reach. The caller writes the audit entry (through `Db::personal`).
pub async fn scraps(
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    question: &Question,
    today: NaiveDate,
) -> Result<Scrapbook> {
    let within = Within::of(tx, reach, institutions).await?;
    let mut book = Scrapbook { filling: filling(tx).await?, ..Scrapbook::default() };
    let mut steps = question.steps();
    let mut called = 0;
    if let Some(digits) = &question.phone {
        let last: String = digits.chars().skip(digits.len() - 4).collect();
        if let Some(blind) = Seal::of(tx)?.blind(TAIL, &last) {
            called = short(&blind);
            steps.insert(0, vec![telephone(&blind)]);
        }
    }
    let mut fits: HashMap<i64, Fit> = HashMap::new();
    for (at, keys) in steps.iter().enumerate() {
        let by_phone = at == 0 && question.phone.is_some();
        let (identities, capped) = ranges(tx, &within, question, keys, (by_phone, called), today).await?;
        book.capped |= capped;
        for (person, found) in compared(tx, &within, question, &identities, today).await? {
            let better = fits.get(&person).is_none_or(|known| known.score < found.score);
            if better {
                fits.insert(person, found);
            }
        }
        // Who was called by name and telephone is the one; the names are looked at whatever the telephone found.
        let good = fits.values().filter(|fit| fit.score >= 20 && fit.against.is_empty()).count();
        if good >= ENOUGH && !by_phone {
            break;
        }
    }
    let mut best: Vec<(i64, Fit)> = fits.into_iter().collect();
    best.sort_by(|(a, x), (b, y)| y.score.cmp(&x.score).then(a.cmp(b)));
    book.capped |= best.len() > SHOWN;
    best.truncate(SHOWN);
    book.candidates = people(tx, best).await?;
    Ok(book)
}

async fn ranges(
    tx: &mut Gated<'_>,
    within: &Within,
    question: &Question,
    keys: &[i64],
    (by_phone, called): (bool, i32),
    today: NaiveDate,
) -> Result<(Vec<i64>, bool)> {
    let guessed = question.births(today);
    let middle = guessed.map_or(0, |(from, to)| (i32::from(from) + i32::from(to)) / 2);
    // Few share the end of a telephone: there a wrong guess of the age only ranks.
    let (from, to) = guessed.filter(|_| !by_phone).unwrap_or((0, i16::MAX));
    let sex: i16 = question.sex.as_deref().and_then(|s| s.parse().ok()).unwrap_or(0);
    let prefix = question.region.as_ref().map_or("", RegionCode::prefix);
    let edge = |fill: char| -> i32 {
        let nine: String = prefix.chars().chain(std::iter::repeat(fill)).take(9).collect();
        if prefix.is_empty() { -1 } else { nine.parse().unwrap_or(-1) }
    };
    let range = LOOKED_AT / i64::try_from(keys.len().max(1)).unwrap_or(1);
    let rows = sqlx::query(RANGES)
        .bind(keys)
        .bind(from)
        .bind(to)
        .bind(range)
        .bind(&within.institutions)
        .bind(&within.divisions)
        .bind(called)
        .bind(middle)
        .bind(sex)
        .bind(edge('0'))
        .bind(edge('9'))
        .bind(&within.own)
        .bind(COMPARED)
        .fetch_all(&mut ***tx)
        .await
        .db("look for registrations by scraps")?;
    let read = || {
        let mut ids = Vec::with_capacity(rows.len());
        let mut looked = 0_i64;
        for row in &rows {
            ids.push(row.try_get(0)?);
            looked = row.try_get(1)?;
        }
        Ok::<_, sqlx::Error>((ids, looked))
    };
    let (ids, looked): (Vec<i64>, i64) = read().db("read registrations")?;
    let capped = looked >= range || ids.len() as i64 >= COMPARED;
    Ok((ids, capped))
}

/// The people of these registrations with how well each fits.
async fn compared(
    tx: &mut Gated<'_>,
    within: &Within,
    question: &Question,
    identities: &[i64],
    today: NaiveDate,
) -> Result<Vec<(i64, Fit)>> {
    if identities.is_empty() {
        return Ok(Vec::new());
    }
    let doing = "read registrations that may fit";
    let rows = sqlx::query(RECORDS)
        .bind(identities)
        .bind(&within.institutions)
        .bind(&within.patterns)
        .bind(&within.own)
        .fetch_all(&mut ***tx)
        .await
        .db(doing)?;
    let opener = tx.keyring().opener();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let text = |at: usize| row.try_get::<String, _>(at).db(doing);
        let (name, sex, region) = (text(2)?, text(3)?, text(5)?);
        let phones = question.phone.is_some();
        let opened = |what, at| if phones { open(&opener, what, text(at)?) } else { Ok(String::new()) };
        let (phone, contact) = (opened(PHONE, 6)?, opened(CONTACT_PHONE, 7)?);
        let seen = Seen {
            name: &name,
            sex: &sex,
            birth_date: row.try_get(4).db(doing)?,
            region: &region,
            phone: &phone,
            contact_phone: &contact,
        };
        if let Some(fit) = fit(question, &seen, today) {
            found.push((row.try_get(1).db(doing)?, fit));
        }
    }
    Ok(found)
}

/// The people as the list shows them.
async fn people(tx: &mut Gated<'_>, best: Vec<(i64, Fit)>) -> Result<Vec<Candidate>> {
    let ids: Vec<i64> = best.iter().map(|(id, _)| *id).collect();
    let rows = sqlx::query(PEOPLE).bind(&ids).fetch_all(&mut ***tx).await.db("read people who may fit")?;
    let opener = tx.keyring().opener();
    let mut by_id = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut person = person(row).db("read people who may fit")?;
        person.citizen_id = open_option(&opener, CITIZEN, person.citizen_id.take())?;
        person.phone = open(&opener, PHONE, std::mem::take(&mut person.phone))?;
        person.address = open(&opener, ADDRESS, std::mem::take(&mut person.address))?;
        by_id.insert(person.person_id, person);
    }
    Ok(best
        .into_iter()
        .filter_map(|(id, fit)| by_id.remove(&id).map(|person| Candidate { person, fit }))
        .collect())
}

fn person(row: &PgRow) -> Result<PersonFound, sqlx::Error> {
    Ok(PersonFound {
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
    })
}
