//! Reading entries: one page of a list, one entry, its versions. Everything is limited to the reach.

use catalog::Register;
use chrono::NaiveDate;
use contracts::Institutions;
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, Result};
use serde_json::{Map, Value};
use sqlx::Row;
use store::DbDoing;
use web::ui::Here;

use super::Registries;
use super::model::{Entry, Version};

/// What a list is limited to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of the name, its initials, or the beginning of the key.
    pub text: String,
    /// One institution.
    pub institution: Option<i64>,
    /// One member of staff.
    pub parent: Option<i64>,
    /// Leading digits of the division.
    pub region: String,
    /// How it stands; empty: any.
    pub state: String,
    /// Values that the fields must have.
    pub equal: Map<String, Value>,
    /// Fields that must have no value.
    pub without: Vec<String>,
    /// Runs out on or before this day.
    pub expires_until: Option<NaiveDate>,
    /// Birth dates, for age bands.
    pub born: Option<(NaiveDate, NaiveDate)>,
    /// Completeness below this.
    pub below: Option<i16>,
    /// `name`, `score`, `expires`, `updated`.
    pub sort: String,
}

/// Entries by what texts say of them: institution, member of staff (0 for none), key.
pub(crate) type Known = std::collections::HashMap<(i32, i64, String), Entry>;

/// The mark in an address for "no value".
pub const NONE: &str = "-";

impl Filter {
    /// What an address asks for.
    pub fn of(register: &Register, here: &Here, today: NaiveDate) -> Self {
        let mut filter = Filter {
            text: standards::width::fold(here.get("q").unwrap_or("")).trim().to_lowercase(),
            institution: here.get("institution").and_then(|i| i.parse().ok()),
            parent: here.get("parent").and_then(|i| i.parse().ok()),
            region: here
                .get("county")
                .and_then(|c| kernel::RegionCode::parse(c).ok())
                .map(|c| c.prefix().to_owned())
                .unwrap_or_default(),
            state: match here.get("state") {
                Some("all") => String::new(),
                Some(state) => state.to_owned(),
                None => "active".to_owned(),
            },
            expires_until: here
                .get("expires")
                .and_then(|d| d.parse::<u32>().ok())
                .and_then(|days| today.checked_add_days(chrono::Days::new(days.into()))),
            born: here.get("age").and_then(|band| born_in(band, today)),
            below: here.get("below").and_then(|n| n.parse().ok()),
            sort: here.get("sort").unwrap_or("name").to_owned(),
            ..Filter::default()
        };
        if here.get("age") == Some(NONE) {
            filter.without.push("birth_date".to_owned());
        }
        for field in &register.dataset.fields {
            match here.get(&field.name) {
                Some(NONE) if field.name != "institution" => filter.without.push(field.name.clone()),
                Some(value) if field.name != "institution" => {
                    filter.equal.insert(field.name.clone(), Value::from(value));
                }
                _ => {}
            }
        }
        filter
    }
}

/// The bands in which ages are counted.
pub const AGES: [(&str, &str); 6] = [
    ("0-24", "25 岁以下"),
    ("25-34", "25～34 岁"),
    ("35-44", "35～44 岁"),
    ("45-54", "45～54 岁"),
    ("55-59", "55～59 岁"),
    ("60-120", "60 岁及以上"),
];

/// The first and last day of birth of an age band on a day.
pub(crate) fn born_in(band: &str, today: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let (from, to) = band.split_once('-')?;
    let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    let last = today.checked_sub_months(chrono::Months::new(from.checked_mul(12)?))?;
    let first = today.checked_sub_months(chrono::Months::new((to + 1).checked_mul(12)?))?.succ_opt()?;
    Some((first, last))
}

macro_rules! limits {
    () => {
        "from registry_entry e join institution i on i.id = e.institution_id
         left join registry_entry p on p.id = e.parent_id
         where e.kind = $1 and e.state <> 'removed'
            and (i.region like any($2) or e.institution_id = any($3))
            and ($4 = '' or strpos(lower(e.name), $4) > 0 or strpos(e.initials, $4) > 0
                 or starts_with(lower(e.key), $4) or starts_with(lower(p.name), $4) or starts_with(p.initials, $4))
            and ($5::int is null or e.institution_id = $5)
            and ($6::bigint is null or e.parent_id = $6)
            and ($7 = '' or starts_with(i.region, $7))
            and ($8 = '' or e.state = $8)
            and e.content @> $9
            and ($10::text[] = '{}' or not (e.content ?| $10 or e.guarded ?| $10))
            and ($11::date is null or e.expires_on <= $11)
            and ($12::date is null or (e.content ->> 'birth_date' between $12::text and $13::text))
            and ($14::smallint is null or e.score < $14)"
    };
}
pub(crate) use limits;

const COUNT: &str = concat!("select count(*) ", limits!());
const PAGE: &str = concat!(
    "select e.id, e.kind, e.institution_id, e.parent_id, p.key as parent_key, p.name as parent_name, e.key, e.name,
        e.state, e.content, e.guarded, e.expires_on, e.score, e.version, e.merged_into, e.updated_at ",
    limits!(),
    " order by case $15 when 'score' then e.score when '-score' then -e.score end,
        case $15 when 'expires' then e.expires_on end,
        case $15 when 'updated' then e.updated_at end desc,
        i.region, e.institution_id, e.name, e.id limit $16 offset $17"
);
const BY_IDS: &str = "
    select e.id, e.kind, e.institution_id, e.parent_id, p.key as parent_key, p.name as parent_name, e.key, e.name,
        e.state, e.content, e.guarded, e.expires_on, e.score, e.version, e.merged_into, e.updated_at
    from registry_entry e left join registry_entry p on p.id = e.parent_id
    where e.id = any($1) and e.state <> 'removed' order by e.id";
const OF_INSTITUTION: &str = "
    select e.id, e.kind, e.institution_id, e.parent_id, null::text as parent_key, null::text as parent_name, e.key,
        e.name, e.state, e.content, e.guarded, e.expires_on, e.score, e.version, e.merged_into, e.updated_at
    from registry_entry e where e.kind = 'institution' and e.institution_id = $1 and e.state <> 'removed'";
const VERSIONS: &str = "
    select seq, entry_id, version, kind, institution_id, change, name, state, content, guarded, valid_from, recorded_at,
        recorded_by, reason, import_id, request_id
    from registry_version where entry_id = $1 order by version desc limit 500";

/// Binds the parameters of `limits!()`.
macro_rules! bind_limits {
    ($query:expr, $kind:expr, $reach:expr, $filter:expr) => {{
        let scope = $reach.scope();
        let regions: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
        let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
        $query
            .bind($kind)
            .bind(regions)
            .bind(institutions)
            .bind($filter.text.clone())
            .bind($filter.institution.map(|i| i as i32))
            .bind($filter.parent)
            .bind($filter.region.clone())
            .bind($filter.state.clone())
            .bind(serde_json::Value::Object($filter.equal.clone()))
            .bind($filter.without.clone())
            .bind($filter.expires_until)
            .bind($filter.born.map(|(first, _)| first))
            .bind($filter.born.map(|(_, last)| last))
            .bind($filter.below)
    }};
}
pub(crate) use bind_limits;

impl Registries {
    /// How many entries a filter finds.
    pub async fn count(&self, register: &Register, reach: &Reach, filter: &Filter) -> Result<i64> {
        bind_limits!(sqlx::query_scalar(COUNT), register.code(), reach, filter)
            .fetch_one(self.db.pool())
            .await
            .db("count entries of a register")
    }

    /// A page of entries.
    pub async fn page(
        &self,
        register: &Register,
        reach: &Reach,
        filter: &Filter,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Entry>> {
        let rows = bind_limits!(sqlx::query(PAGE), register.code(), reach, filter)
            .bind(filter.sort.clone())
            .bind(limit)
            .bind(offset)
            .fetch_all(self.db.pool())
            .await
            .db("read entries of a register")?;
        rows.iter().map(Entry::of).collect::<Result<_, _>>().db("read entries of a register")
    }

    /// Entries by their identifiers, without regard to reach.
    pub(crate) async fn by_ids(&self, ids: &[i64]) -> Result<Vec<Entry>> {
        let rows =
            sqlx::query(BY_IDS).bind(ids).fetch_all(self.db.pool()).await.db("read entries of a register")?;
        rows.iter().map(Entry::of).collect::<Result<_, _>>().db("read entries of a register")
    }

    /// One entry of a register in reach; for institutions by the number of the institution.
    pub async fn entry(&self, register: &Register, reach: &Reach, id: i64) -> Result<Entry> {
        let unknown = || {
            Refusal::not_found(
                "registry.unknown",
                format!("没有这个{}，或它不在您的管辖范围内。请从列表进入。", register.dataset.name),
            )
        };
        let found = match register.code() {
            "institution" => {
                let id = i32::try_from(id).map_err(|_| unknown())?;
                let row = sqlx::query(OF_INSTITUTION)
                    .bind(id)
                    .fetch_optional(self.db.pool())
                    .await
                    .db("read an institution")?;
                row.map(|row| Entry::of(&row)).transpose().db("read an institution")?
            }
            code => self.by_ids(&[id]).await?.pop().filter(|e| e.kind == code),
        };
        let found = found.filter(|e| self.covers(reach, e.institution));
        Ok(found.ok_or_else(unknown)?)
    }

    /// Whether an institution is in reach.
    pub(crate) fn covers(&self, reach: &Reach, institution: InstitutionId) -> bool {
        self.directory.by_id(institution).is_some_and(|card| reach.covers(card.id, &card.region))
    }

    /// The entry of an institution itself.
    pub(crate) async fn of_institution(&self, id: InstitutionId) -> Result<Option<Entry>> {
        let row = sqlx::query(OF_INSTITUTION)
            .bind(id.get() as i32)
            .fetch_optional(self.db.pool())
            .await
            .db("read an institution")?;
        row.map(|row| Entry::of(&row)).transpose().db("read an institution")
    }

    /// The versions of an entry, newest first.
    pub async fn versions(&self, entry: i64) -> Result<Vec<Version>> {
        let rows = sqlx::query(VERSIONS)
            .bind(entry)
            .fetch_all(self.db.pool())
            .await
            .db("read versions of an entry")?;
        rows.iter().map(Version::of).collect::<Result<_, _>>().db("read versions of an entry")
    }

    /// How many entries each register has of an institution (or of a member of staff).
    pub(crate) async fn counts_of(
        &self,
        institution: Option<InstitutionId>,
        parent: Option<i64>,
    ) -> Result<Vec<(String, i64)>> {
        let rows = match parent {
            Some(parent) => sqlx::query(
                "select kind, count(*) from registry_entry where parent_id = $1 and state = 'active' group by kind",
            )
            .bind(parent),
            None => sqlx::query(
                "select kind, count(*) from registry_entry where institution_id = $1 and state = 'active' group by kind",
            )
            .bind(institution.map_or(0, |i| i.get() as i32)),
        }
        .fetch_all(self.db.pool())
        .await
        .db("count what belongs to an institution")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

/// The version in force on a day: the newest of those that hold from then or before.
pub fn as_on(versions: &[Version], day: NaiveDate) -> Option<&Version> {
    versions.iter().filter(|v| v.valid_from <= day).max_by_key(|v| v.version)
}
