//! What the review desk reads: tasks of the queue, registrations side by side, and who is within reach.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use contracts::Institutions;
use kernel::{Reach, RegionCode, Result, Tier};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

use crate::review::Part;
use crate::sealed::{ADDRESS, CARD, CITIZEN, CONTACT_PHONE, CREDENTIAL, PHONE, open, open_option};

/// How long a task that somebody has opened is left to them.
const HELD: Duration = Duration::minutes(15);
/// Tasks that are counted; more are "more than".
pub(super) const COUNTED: i64 = 10_000;
/// Registrations of the two persons that are read for the comparison.
pub(super) const SIDE_BY_SIDE: i64 = 12;

/// The reach in the shape of the desk's queries: institutions, and patterns of division codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Within {
    pub institutions: Vec<i32>,
    pub regions: Vec<String>,
    /// The counties of those institutions, by six digits.
    pub counties: Vec<(i32, String)>,
}

impl Within {
    /// Whether a registration is within reach.
    pub(super) fn has(&self, institution: i32, region: &str) -> bool {
        let inside = |pattern: &String| region.starts_with(pattern.trim_end_matches('%'));
        self.institutions.contains(&institution) || self.regions.iter().any(inside)
    }

    pub(super) fn of(reach: &Reach, institutions: &dyn Institutions) -> Self {
        let all = institutions.all();
        let inside: Vec<(i32, RegionCode)> = all
            .iter()
            .filter(|card| reach.covers(card.id, &card.region))
            .filter_map(|card| Some((i32::try_from(card.id.get()).ok()?, card.region)))
            .collect();
        let in_county = inside.iter().filter(|(_, region)| region.tier() >= Some(Tier::County));
        Within {
            institutions: inside.iter().map(|(id, _)| *id).collect(),
            counties: in_county.map(|(id, region)| (*id, region.as_str()[..6].to_owned())).collect(),
            regions: reach.scope().region_prefixes.iter().map(|p| format!("{p}%")).collect(),
        }
    }
}

/// What the list asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// `open`, `second`, `asked`, `done`; empty for all that waits.
    pub state: String,
    pub kind: String,
    /// 0: any.
    pub priority: i16,
    /// Six digits; empty: any.
    pub county: String,
    /// The institutions of that county.
    pub of_county: Vec<i32>,
    /// Beginning of a name.
    pub name: String,
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    fn states(&self) -> Vec<&'static str> {
        match self.state.as_str() {
            "open" => vec!["open"],
            "second" => vec!["second"],
            "asked" => vec!["asked"],
            "done" => vec!["done", "closed"],
            _ => vec!["open", "second", "asked"],
        }
    }
}

/// A side of a task in the list.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    pub name: String,
    pub sex: String,
    pub birth_date: Option<NaiveDate>,
    pub institution: i32,
}

/// A task in the list.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub id: i64,
    pub kind: String,
    pub weight: f32,
    pub probability: f32,
    pub priority: i16,
    pub county: String,
    pub state: String,
    pub outcome: String,
    pub assignee_name: String,
    pub first_name: String,
    pub decided_name: String,
    pub decided_at: Option<DateTime<Utc>>,
    pub opened_at: DateTime<Utc>,
    pub a: Side,
    pub b: Side,
}

// One side must be within reach, by the institution that registered or by where the patient lives: of a pair in two counties
// both see it. A county's filter takes in what lies there with either side, or is looked at there.
macro_rules! list {
    ($order:literal) => {
        concat!(
            "select t.id, t.kind, t.weight, t.probability, t.priority, t.county, t.state, t.outcome, t.assignee_name,
                    t.first_name, t.decided_name, t.decided_at, t.opened_at, a.name, a.sex, a.birth_date,
                    a.institution_id, b.name, b.sex, b.birth_date, b.institution_id
             from review_task t join identity_record a on a.id = t.a join identity_record b on b.id = t.b
             where t.state = any($1)
               and (a.institution_id = any($2) or a.region like any($3)
                 or b.institution_id = any($2) or b.region like any($3))
               and ($4 = '' or t.kind = $4) and ($5 = 0 or t.priority = $5) and ($6 = '' or t.county = $6 or t.institutions && $12)
               and ($7 = '' or starts_with(a.name, $7) or starts_with(b.name, $7))
               and ($8::timestamptz is null or t.opened_at >= $8) and ($9::timestamptz is null or t.opened_at < $9)
             order by ",
            $order,
            " limit $10 offset $11"
        )
    };
}
const WAITING: &str = list!("t.priority, t.id");
const DONE: &str = list!("t.updated_at desc, t.id desc");

const COUNT: &str = "
    select count(*) from (select from review_task t
        join identity_record a on a.id = t.a join identity_record b on b.id = t.b
        where t.state = any($1)
          and (a.institution_id = any($2) or a.region like any($3)
            or b.institution_id = any($2) or b.region like any($3))
          and ($4 = '' or t.kind = $4) and ($5 = 0 or t.priority = $5) and ($6 = '' or t.county = $6 or t.institutions && $11)
          and ($7 = '' or starts_with(a.name, $7) or starts_with(b.name, $7))
          and ($8::timestamptz is null or t.opened_at >= $8) and ($9::timestamptz is null or t.opened_at < $9)
        limit $10) as found";

fn side(row: &PgRow, at: usize) -> Result<Side, sqlx::Error> {
    Ok(Side {
        name: row.try_get(at)?,
        sex: row.try_get(at + 1)?,
        birth_date: row.try_get(at + 2)?,
        institution: row.try_get(at + 3)?,
    })
}

fn task(row: &PgRow) -> Result<Task, sqlx::Error> {
    Ok(Task {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        weight: row.try_get(2)?,
        probability: row.try_get(3)?,
        priority: row.try_get(4)?,
        county: row.try_get(5)?,
        state: row.try_get(6)?,
        outcome: row.try_get(7)?,
        assignee_name: row.try_get(8)?,
        first_name: row.try_get(9)?,
        decided_name: row.try_get(10)?,
        decided_at: row.try_get(11)?,
        opened_at: row.try_get(12)?,
        a: side(row, 13)?,
        b: side(row, 17)?,
    })
}

/// A page of the queue, the most urgent first; of what is done the newest first.
pub(super) async fn tasks(
    tx: &mut Gated<'_>,
    within: &Within,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<Vec<Task>> {
    let rows = sqlx::query(if filter.state == "done" { DONE } else { WAITING })
        .bind(filter.states())
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(&filter.kind)
        .bind(filter.priority)
        .bind(&filter.county)
        .bind(&filter.name)
        .bind(filter.from)
        .bind(filter.until)
        .bind(limit)
        .bind(offset)
        .bind(&filter.of_county)
        .fetch_all(&mut ***tx)
        .await
        .db("list review tasks")?;
    rows.iter().map(task).collect::<Result<_, _>>().db("read review tasks")
}

/// How many tasks there are, up to [`COUNTED`].
pub(super) async fn count(tx: &mut Gated<'_>, within: &Within, filter: &Filter) -> Result<u64> {
    let counted: i64 = sqlx::query_scalar(COUNT)
        .bind(filter.states())
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(&filter.kind)
        .bind(filter.priority)
        .bind(&filter.county)
        .bind(&filter.name)
        .bind(filter.from)
        .bind(filter.until)
        .bind(COUNTED)
        .bind(&filter.of_county)
        .fetch_one(&mut ***tx)
        .await
        .db("count review tasks")?;
    Ok(counted.unsigned_abs())
}

// Forward from a place in the order of the queue, or backward; then from the other end.
const NEXT: &str = "
    select t.id from review_task t join identity_record a on a.id = t.a join identity_record b on b.id = t.b
    where t.state in ('open', 'second') and t.id <> $1
      and (a.institution_id = any($2) or a.region like any($3) or b.institution_id = any($2) or b.region like any($3))
      and (t.state = 'open' or t.first_by is distinct from $4)
      and (t.assignee is null or t.assignee = $4 or t.updated_at < $5)
    order by (t.priority, t.id) <= ((select p.priority from review_task p where p.id = $1), $1), t.priority, t.id limit 1";

const BEFORE: &str = "
    select t.id from review_task t join identity_record a on a.id = t.a join identity_record b on b.id = t.b
    where t.state in ('open', 'second') and t.id <> $1
      and (a.institution_id = any($2) or a.region like any($3) or b.institution_id = any($2) or b.region like any($3))
      and (t.state = 'open' or t.first_by is distinct from $4)
      and (t.assignee is null or t.assignee = $4 or t.updated_at < $5)
    order by (t.priority, t.id) >= ((select p.priority from review_task p where p.id = $1), $1),
        t.priority desc, t.id desc limit 1";

/// The next task for somebody after this one (0: from the beginning), or the one before; tasks that somebody else has
/// open, and those where they may not be the second pair of eyes, are passed over.
pub(super) async fn next(
    tx: &mut Gated<'_>,
    within: &Within,
    after: i64,
    account: Option<i64>,
    backward: bool,
    now: DateTime<Utc>,
) -> Result<Option<i64>> {
    sqlx::query_scalar(if backward { BEFORE } else { NEXT })
        .bind(after)
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(account)
        .bind(now - HELD)
        .fetch_optional(&mut ***tx)
        .await
        .db("find the next review task")
}

/// A task with everything that deciding about it needs.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub task: Task,
    pub a: i64,
    pub b: i64,
    pub parts: Vec<Part>,
    pub model_version: String,
    pub note: String,
    pub first_by: Option<i64>,
    pub first_outcome: String,
    pub operation: Option<i64>,
    /// The operation was taken back.
    pub undone: bool,
    pub held_by: Option<String>,
}

/// One task that is within reach.
pub(super) async fn whole(
    tx: &mut Gated<'_>,
    within: &Within,
    id: i64,
    account: Option<i64>,
    now: DateTime<Utc>,
) -> Result<Option<Whole>> {
    let row = sqlx::query(
        "select t.id, t.kind, t.weight, t.probability, t.priority, t.county, t.state, t.outcome, t.assignee_name,
                t.first_name, t.decided_name, t.decided_at, t.opened_at, a.name, a.sex, a.birth_date, a.institution_id,
                b.name, b.sex, b.birth_date, b.institution_id,
                t.a, t.b, t.contributions, t.model_version, t.note, t.first_by, t.first_outcome,
                t.operation_id, coalesce(o.undone_by is not null, false),
                case when t.assignee is distinct from $4 and t.updated_at >= $5 then nullif(t.assignee_name, '') end
         from review_task t join identity_record a on a.id = t.a join identity_record b on b.id = t.b
         left join person_operation o on o.id = t.operation_id
         where t.id = $1 and (a.institution_id = any($2) or a.region like any($3)
           or b.institution_id = any($2) or b.region like any($3))",
    )
    .bind(id)
    .bind(&within.institutions)
    .bind(&within.regions)
    .bind(account)
    .bind(now - HELD)
    .fetch_optional(&mut ***tx)
    .await
    .db("read a review task")?;
    let read = |row: &PgRow| {
        let parts: sqlx::types::Json<Vec<Part>> = row.try_get(23)?;
        Ok::<_, sqlx::Error>(Whole {
            task: task(row)?,
            a: row.try_get(21)?,
            b: row.try_get(22)?,
            parts: parts.0,
            model_version: row.try_get(24)?,
            note: row.try_get(25)?,
            first_by: row.try_get(26)?,
            first_outcome: row.try_get(27)?,
            operation: row.try_get(28)?,
            undone: row.try_get(29)?,
            held_by: row.try_get(30)?,
        })
    };
    row.as_ref().map(read).transpose().db("read a review task")
}

/// Says who has a task open, so that two people do not work on it at once.
pub(super) async fn hold(
    tx: &mut Gated<'_>,
    id: i64,
    account: Option<i64>,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "update review_task set assignee = $2, assignee_name = $3, updated_at = $4
         where id = $1 and state in ('open', 'second')
           and (assignee is null or assignee = $2 or updated_at < $5)",
    )
    .bind(id)
    .bind(account)
    .bind(name)
    .bind(now)
    .bind(now - HELD)
    .execute(&mut ***tx)
    .await
    .db("hold a review task")?;
    Ok(())
}

/// A registration as it came, opened. Unmasked.
#[derive(Debug, Clone, Default)]
pub(super) struct Registration {
    pub id: i64,
    pub person: i64,
    pub institution: i32,
    pub local_no: String,
    pub name: String,
    pub sex: String,
    pub birth_date: Option<NaiveDate>,
    pub credential_no: String,
    pub citizen_id: String,
    pub number_disowned: bool,
    pub card_no: String,
    pub phone: String,
    pub contact_name: String,
    pub contact_phone: String,
    pub address: String,
    pub region: String,
    pub ethnicity: String,
    pub blood_abo: String,
    pub blood_rh: String,
    pub died_on: Option<NaiveDate>,
    pub special: String,
    pub registered: bool,
    pub link_rule: String,
    pub updated_at: DateTime<Utc>,
    /// First heard of.
    pub first_at: Option<DateTime<Utc>>,
    /// Entries of its time line: registered, corrected, moved.
    pub events: i64,
}

fn registration(row: &PgRow) -> Result<Registration, sqlx::Error> {
    Ok(Registration {
        id: row.try_get("id")?,
        person: row.try_get("person_id")?,
        institution: row.try_get("institution_id")?,
        local_no: row.try_get("local_no")?,
        name: row.try_get("name")?,
        sex: row.try_get("sex")?,
        birth_date: row.try_get("birth_date")?,
        credential_no: row.try_get("credential_no")?,
        citizen_id: row.try_get::<Option<String>, _>("citizen_id")?.unwrap_or_default(),
        number_disowned: row.try_get("number_disowned")?,
        card_no: row.try_get("card_no")?,
        phone: row.try_get("phone")?,
        contact_name: row.try_get("contact_name")?,
        contact_phone: row.try_get("contact_phone")?,
        address: row.try_get("address")?,
        region: row.try_get("region")?,
        ethnicity: row.try_get("ethnicity")?,
        blood_abo: row.try_get("blood_abo")?,
        blood_rh: row.try_get("blood_rh")?,
        died_on: row.try_get("died_on")?,
        special: row.try_get("special")?,
        registered: row.try_get("registered")?,
        link_rule: row.try_get("link_rule")?,
        updated_at: row.try_get("updated_at")?,
        first_at: row.try_get("first_at")?,
        events: row.try_get("events")?,
    })
}

async fn registrations(tx: &mut Gated<'_>, rows: &[PgRow]) -> Result<Vec<Registration>> {
    let mut all: Vec<Registration> =
        rows.iter().map(registration).collect::<Result<_, _>>().db("read registrations")?;
    let opener = tx.keyring().opener();
    for one in &mut all {
        let take = std::mem::take::<String>;
        one.citizen_id = open_option(&opener, CITIZEN, Some(take(&mut one.citizen_id)))?.unwrap_or_default();
        one.credential_no = open(&opener, CREDENTIAL, take(&mut one.credential_no))?;
        one.card_no = open(&opener, CARD, take(&mut one.card_no))?;
        one.phone = open(&opener, PHONE, take(&mut one.phone))?;
        one.contact_phone = open(&opener, CONTACT_PHONE, take(&mut one.contact_phone))?;
        one.address = open(&opener, ADDRESS, take(&mut one.address))?;
    }
    Ok(all)
}

/// The registrations of a pair: its two first, then the others of the two persons.
pub(super) async fn side_by_side(tx: &mut Gated<'_>, a: i64, b: i64) -> Result<Vec<Registration>> {
    let rows = sqlx::query(
        "select i.*, e.first_at, coalesce(e.events, 0) as events from identity_record i
         left join lateral (select min(at) as first_at, count(*) as events from identity_event v
                            where v.identity_id = i.id) e on true
         where i.person_id in (select person_id from identity_record where id in ($1, $2))
         order by i.id = $1 desc, i.id = $2 desc,
                  i.person_id = (select person_id from identity_record where id = $1) desc, i.registered desc, i.id
         limit $3",
    )
    .bind(a)
    .bind(b)
    .bind(SIDE_BY_SIDE)
    .fetch_all(&mut ***tx)
    .await
    .db("read the registrations of a review task")?;
    registrations(tx, &rows).await
}

/// The registrations of a person, registered ones first, the newest first.
pub(super) async fn of_person(tx: &mut Gated<'_>, person: i64, limit: i64) -> Result<Vec<Registration>> {
    let rows = sqlx::query(
        "select i.*, e.first_at, coalesce(e.events, 0) as events from identity_record i
         left join lateral (select min(at) as first_at, count(*) as events from identity_event v
                            where v.identity_id = i.id) e on true
         where i.person_id = $1 order by i.registered desc, i.updated_at desc, i.id limit $2",
    )
    .bind(person)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("read the registrations of a person")?;
    registrations(tx, &rows).await
}

/// One registration of an institution, for the question put to it.
pub(super) async fn one(tx: &mut Gated<'_>, id: i64) -> Result<Option<Registration>> {
    let rows = sqlx::query(
        "select i.*, e.first_at, coalesce(e.events, 0) as events from identity_record i
         left join lateral (select min(at) as first_at, count(*) as events from identity_event v
                            where v.identity_id = i.id) e on true
         where i.id = $1",
    )
    .bind(id)
    .fetch_all(&mut ***tx)
    .await
    .db("read a registration")?;
    Ok(registrations(tx, &rows).await?.pop())
}

/// A question to an institution.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Question {
    pub id: i64,
    pub task_id: i64,
    pub identity_id: i64,
    pub institution_id: i32,
    pub question: String,
    pub asked_name: String,
    pub asked_at: DateTime<Utc>,
    pub answer: String,
    pub note: String,
    pub answered_name: String,
    pub answered_at: Option<DateTime<Utc>>,
}

/// The questions that a task gave rise to, the oldest first.
pub(super) async fn questions_of(tx: &mut Gated<'_>, task: i64) -> Result<Vec<Question>> {
    sqlx::query_as(
        "select id, task_id, identity_id, institution_id, question, asked_name, asked_at, answer, note, answered_name,
                answered_at
         from review_question where task_id = $1 order by id",
    )
    .bind(task)
    .fetch_all(&mut ***tx)
    .await
    .db("read questions to institutions")
}
