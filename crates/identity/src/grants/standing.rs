//! From an account to what its holder may do at this moment.

use catalog::Catalog;
use chrono::{DateTime, Utc};
use kernel::{AccountId, Grant, Id, RegionCode, Result, TeamId};
use sqlx::{PgPool, Row};
use store::DbDoing;

use super::rules::{self, Post};

/// What an account's holder may do, and until when that is sure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The names of the roles, for the top bar and the trail.
    pub title: String,
    /// Their codes, the oldest first.
    pub roles: Vec<String>,
    /// The rights of all roles and of exceptions that hold.
    pub grants: Vec<Grant>,
    /// Sensitive categories that the roles open.
    pub categories: Vec<String>,
    /// When a role or exception begins or ends next: nobody may remember the standing for longer.
    pub until: Option<DateTime<Utc>>,
}

/// One query for everything: roles at posts, exceptions, teams. What is over is left out; what is to come is kept for
/// its beginning.
const STANDING: &str = "
    select 'role' as kind, r.role as line, '' as act, r.institution_id as institution, r.region, null::bigint as number,
           r.since, r.until
    from account_role r where r.account_id = $1 and r.withdrawn_at is null and (r.until is null or r.until > $2)
    union all
    select 'exception.' || e.target, e.line, e.act, e.institution_id, e.region, coalesce(e.person_id, e.team_id),
           e.since, e.until
    from access_exception e where e.account_id = $1 and e.state = 'approved' and e.until > $2
    union all
    select 'team', '', '', null, null, t.id, m.since, m.until
    from account a
    join team_member m on m.institution_id = a.institution_id and m.staff_no = a.staff_no and m.until is null
    join team t on t.id = m.team_id and t.state = 'open'
    where a.id = $1 and a.staff_no <> ''
    order by 1, 7, 2";

/// What the holder of an account may do now.
pub async fn standing(
    pool: &PgPool,
    catalog: &Catalog,
    account: AccountId,
    now: DateTime<Utc>,
) -> Result<Standing> {
    let rows = sqlx::query(STANDING)
        .bind(account.get())
        .bind(now)
        .fetch_all(pool)
        .await
        .db("read what an account holds")?;
    let mut parts = Vec::with_capacity(rows.len());
    for row in &rows {
        parts.push(Part::of(row).db("read what an account holds")?);
    }
    Ok(together(catalog, &parts, now))
}

struct Part {
    kind: String,
    word: String,
    act: String,
    institution: Option<i32>,
    region: RegionCode,
    number: Option<i64>,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

impl Part {
    fn of(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let region: Option<String> = row.try_get(4)?;
        Ok(Self {
            kind: row.try_get(0)?,
            word: row.try_get(1)?,
            act: row.try_get(2)?,
            institution: row.try_get(3)?,
            region: region.and_then(|r| RegionCode::parse(&r).ok()).unwrap_or(RegionCode::NATION),
            number: row.try_get(5)?,
            since: row.try_get(6)?,
            until: row.try_get(7)?,
        })
    }
}

fn together(catalog: &Catalog, parts: &[Part], now: DateTime<Utc>) -> Standing {
    let mut out = Standing::default();
    let teams: Vec<TeamId> =
        parts.iter().filter(|p| p.kind == "team").filter_map(|p| p.number.map(Id::new)).collect();
    let mut names = Vec::new();
    for part in parts {
        let turns = if part.since > now { Some(part.since) } else { part.until };
        out.until = match (out.until, turns) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if part.since > now {
            continue;
        }
        let institution = part.institution.map(|id| Id::new(i64::from(id)));
        if part.kind == "role" {
            // A role that the catalogue no longer has gives no rights.
            let Some(role) = catalog.role(&part.word) else { continue };
            let post = Post { institution, region: part.region };
            out.grants.extend(of(role, &post, &teams));
            if !out.roles.contains(&role.code) {
                out.roles.push(role.code.clone());
                names.push(role.name.as_str());
            }
            for category in role.categories.iter().filter(|c| !out.categories.contains(c)).collect::<Vec<_>>()
            {
                out.categories.push(category.clone());
            }
        } else if let Some(target) = part.kind.strip_prefix("exception.") {
            out.grants.extend(rules::of_exception(
                &part.word,
                &part.act,
                target,
                institution,
                &part.region,
                part.number,
            ));
        }
    }
    out.title = names.join("、");
    out
}

fn of(role: &catalog::Role, post: &Post, teams: &[TeamId]) -> Vec<Grant> {
    rules::of_role(role, post, teams)
}
