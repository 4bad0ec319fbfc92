//! Reads the table `audit_entry`, which belongs to the store.

use ::store::{DbDoing, Gated};
use chrono::{DateTime, Utc};
use kernel::{Reach, Result, Tier};

use crate::account::store::{contains, spans};
use crate::row::row;

/// Rows on one page.
pub const PAGE: i64 = 50;
/// Rows of an export at most.
pub const EXPORT: i64 = 50_000;

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Number; grows with time.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Real name.
    pub actor: String,
    /// Role at that time.
    pub role: String,
    /// Unit at that time.
    pub institution_name: String,
    /// Where from.
    pub address: String,
    /// What.
    pub act: String,
    /// To whom or what.
    pub object_label: String,
    /// Why, as a code.
    pub purpose: String,
    /// Why, in the caller's words.
    pub note: String,
    /// `ok`, or why not.
    pub outcome: String,
}
row!(Entry { id, at, actor, role, institution_name, address, act, object_label, purpose, note, outcome });

/// What is looked for; empty texts look for everything.
#[derive(Debug, Clone)]
pub struct Search {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Before then.
    pub until: DateTime<Utc>,
    /// Part of the actor's name.
    pub actor: String,
    /// Act code.
    pub act: String,
    /// Part of the name of what it was done to.
    pub object: String,
    /// `ok` or `failed`.
    pub outcome: String,
    /// Only entries with a smaller number: the next page.
    pub before: Option<i64>,
}

/// Entries in reach, newest first. An entry is in reach when its institution or its account's division is, or when
/// it is about an account of the division (attempts to sign in); entries without any (unknown logins, the program itself) are for those whose reach is a city or more.
///
/// `institutions` are all institutions in the reach's divisions.
pub async fn search(
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &[i32],
    search: &Search,
    limit: i64,
) -> Result<Vec<Entry>> {
    let (regions, own) = spans(reach);
    let whole = reach.covers_region(&reach.caller().region.at(Tier::City));
    sqlx::query_as(
        "select e.id, e.at, e.actor, e.role, e.institution_name, e.address, e.act, e.object_label, e.purpose, e.note,
                e.outcome
         from audit_entry e
         where e.at >= $1 and e.at < $2
           and (e.institution_id = any ($3) or e.institution_id = any ($4)
                or exists (select 1 from account a where a.id = e.account_id and a.region like any ($5))
                or (e.object_kind = 'account' and exists (
                    select 1 from account a where a.id = e.object_id and a.region like any ($5)))
                or ($6 and e.institution_id is null and e.account_id is null))
           and ($7 = '' or e.actor like $7)
           and ($8 = '' or e.act = $8)
           and ($9 = '' or e.object_label like $9)
           and ($10 = '' or ($10 = 'ok') = (e.outcome = 'ok'))
           and ($11::bigint is null or e.id < $11)
         order by e.id desc limit $12",
    )
    .bind(search.from)
    .bind(search.until)
    .bind(institutions)
    .bind(own)
    .bind(regions)
    .bind(whole)
    .bind(contains(&search.actor))
    .bind(&search.act)
    .bind(contains(&search.object))
    .bind(&search.outcome)
    .bind(search.before)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("search the audit trail")
}
