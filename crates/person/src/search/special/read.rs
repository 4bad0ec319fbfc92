//! What the pages of special registrations read, within the reach.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use contracts::Institutions;
use kernel::{Reach, Result};
use store::{DbDoing, Gated};

/// The reach in the shape of the queries: institutions, and patterns of division codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub institutions: Vec<i32>,
    regions: Vec<String>,
}

impl Place {
    pub(super) fn of(reach: &Reach, institutions: &dyn Institutions) -> Self {
        let all = institutions.all();
        let inside = all.iter().filter(|card| reach.covers(card.id, &card.region));
        Place {
            institutions: inside.filter_map(|card| i32::try_from(card.id.get()).ok()).collect(),
            regions: reach.scope().region_prefixes.iter().map(|p| format!("{p}%")).collect(),
        }
    }
}

/// A special registration. Unmasked.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Special {
    pub id: i64,
    pub special: String,
    pub local_no: String,
    pub name: String,
    pub sex: String,
    pub birth_date: Option<NaiveDate>,
    pub born_at: Option<NaiveDateTime>,
    pub birth_order: Option<i16>,
    pub institution_id: i32,
    pub person_id: i64,
    pub special_by: String,
    pub special_at: Option<DateTime<Utc>>,
    pub special_note: String,
    /// The person's name as the best record shows it.
    pub called: String,
    pub died_on: Option<NaiveDate>,
    /// Whether the person has a citizen number, or the registration another credential.
    pub papers: bool,
    /// Other registrations of the person that are not special.
    pub others: i64,
    pub mother_name: Option<String>,
    pub mother_person: Option<i64>,
}

impl Special {
    /// Whether it is known who this is.
    pub(super) fn settled(&self) -> bool {
        self.papers || self.others > 0
    }

    /// How it became known, in a word or two; what is missing where it is not.
    pub(super) fn standing(&self) -> &'static str {
        match (self.special.as_str(), self.others > 0, self.papers) {
            (_, true, _) => "已归入本人名下",
            ("newborn" | "undocumented" | "unknown", _, true) => "已有本人证件",
            (_, _, true) => "有有效证件",
            ("newborn", ..) => "待孩子本人的证件",
            ("unknown", ..) => "待查明身份",
            _ => "待补证件",
        }
    }
}

/// What the list asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Empty for all.
    pub kind: String,
    /// `open`, `settled`, `all`.
    pub state: String,
    /// Beginning of the name or of the mother's, or the temporary number.
    pub text: String,
    /// 0 for all.
    pub institution: i32,
    pub from: Option<NaiveDate>,
    pub until: Option<NaiveDate>,
    /// Registrations before this one.
    pub before: Option<i64>,
}

/// Newborns of a mother that are shown.
const CHILDREN: i64 = 20;

macro_rules! special {
    ($where:literal) => {
        concat!(
            "select i.id, i.special, i.local_no, i.name, i.sex, i.birth_date, i.born_at, i.birth_order, i.institution_id,
                    i.person_id, i.special_by, i.special_at, i.special_note, p.name as called, p.died_on,
                    p.citizen_blind is not null or p.citizen_id is not null or i.credential_no <> '' as papers, o.others,
                    m.name as mother_name, m.person_id as mother_person
             from identity_record i join person p on p.id = i.person_id
             left join identity_record m on m.id = i.mother_id
             cross join lateral (select count(*) as others from identity_record x
                                 where x.person_id = i.person_id and x.id <> i.id and x.special = '') o
             where i.special <> '' and ",
            $where
        )
    };
}

// The newest first, by the index on special registrations; a page ends at its limit.
const LIST: &str = special!(
    "(i.institution_id = any($1) or i.region like any($2))
     and ($3 = '' or i.special = $3) and ($4 = 0 or i.institution_id = $4)
     and ($5 = '' or starts_with(i.name, $5) or starts_with(m.name, $5) or i.local_no = $5)
     and ($6::date is null or (i.special_at at time zone 'Asia/Shanghai')::date >= $6)
     and ($7::date is null or (i.special_at at time zone 'Asia/Shanghai')::date <= $7)
     and ($8::bigint is null or i.id < $8)
     and ($9 = 'all' or ($9 = 'settled') =
          (p.citizen_blind is not null or p.citizen_id is not null or i.credential_no <> '' or o.others > 0))
     order by i.id desc limit $10"
);

const ONE: &str = special!("i.id = $3 and (i.institution_id = any($1) or i.region like any($2))");

// Who was born with a child: the same mother's, within two days.
const BORN_TOGETHER: &str = special!(
    "i.mother_id in (select r.id from identity_record r where r.person_id = $3)
     and (i.institution_id = any($1) or i.region like any($2)) order by i.birth_date desc, i.birth_order limit $4"
);

/// A page of the list.
pub(super) async fn list(
    tx: &mut Gated<'_>,
    place: &Place,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Special>> {
    sqlx::query_as(LIST)
        .bind(&place.institutions)
        .bind(&place.regions)
        .bind(&filter.kind)
        .bind(filter.institution)
        .bind(&filter.text)
        .bind(filter.from)
        .bind(filter.until)
        .bind(filter.before)
        .bind(&filter.state)
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("list special registrations")
}

/// One of them.
pub(super) async fn one(tx: &mut Gated<'_>, place: &Place, id: i64) -> Result<Option<Special>> {
    sqlx::query_as(ONE)
        .bind(&place.institutions)
        .bind(&place.regions)
        .bind(id)
        .fetch_optional(&mut ***tx)
        .await
        .db("read a special registration")
}

/// The children of a mother that were registered as newborns, the youngest first.
pub(super) async fn children(tx: &mut Gated<'_>, place: &Place, mother: i64) -> Result<Vec<Special>> {
    sqlx::query_as(BORN_TOGETHER)
        .bind(&place.institutions)
        .bind(&place.regions)
        .bind(mother)
        .bind(CHILDREN)
        .fetch_all(&mut ***tx)
        .await
        .db("read the newborns of a mother")
}

/// Review tasks that wait on a registration.
pub(super) async fn waiting(tx: &mut Gated<'_>, record: i64) -> Result<i64> {
    sqlx::query_scalar(
        "select count(*) from review_task t
         where (t.a = $1 or t.b = $1) and t.state in ('open', 'asked', 'second')",
    )
    .bind(record)
    .fetch_one(&mut ***tx)
    .await
    .db("count the tasks of a registration")
}

/// A woman who may be the mother: her record for the tie, name, sex, date of birth. Unmasked.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Mother {
    pub record: i64,
    pub person_id: i64,
    pub name: String,
    pub sex: String,
    pub birth_date: Option<NaiveDate>,
    pub died_on: Option<NaiveDate>,
}

/// A person within reach as a mother; her registration at the own institution where there is one.
pub(super) async fn mother(
    tx: &mut Gated<'_>,
    place: &Place,
    person: i64,
    own: i64,
) -> Result<Option<Mother>> {
    sqlx::query_as(
        "select i.id as record, p.id as person_id, p.name, p.sex, p.birth_date, p.died_on
         from person p join identity_record i on i.person_id = p.id
         where p.id = $3 and (p.region like any($2) or exists (
             select from identity_record r where r.person_id = p.id
               and (r.institution_id = any($1) or r.region like any($2))))
         order by i.institution_id = $4 desc, i.registered desc, i.id limit 1",
    )
    .bind(&place.institutions)
    .bind(&place.regions)
    .bind(person)
    .bind(own as i32)
    .fetch_optional(&mut ***tx)
    .await
    .db("read a mother")
}
