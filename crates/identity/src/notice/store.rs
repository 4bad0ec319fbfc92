//! Notices in the database. Those for holders of a right are stored once and found by whoever holds it when looking.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Duration, Utc};
use contracts::{Notice, NoticeTo};
use kernel::{AccountId, Caller, Result, Span};
use serde_json::json;
use sqlx::postgres::PgPool;

/// Notices older than this are not shown any more.
pub(super) const KEPT: Duration = Duration::days(90);

/// A notice as somebody sees it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Seen {
    pub id: i64,
    pub title: String,
    pub link: String,
    pub urgent: bool,
    pub at: DateTime<Utc>,
    pub read: bool,
}

pub(super) async fn send(tx: &mut Tx<'_>, to: NoticeTo, notice: &Notice, now: DateTime<Utc>) -> Result<()> {
    let (account, need, region, institution) = match to {
        NoticeTo::Account(account) => (Some(account.get()), None, None, None),
        NoticeTo::Holders(need, region) => (None, Some(need), Some(region.as_str().to_owned()), None),
        NoticeTo::Unit(need, institution) => (None, Some(need), None, Some(institution.get() as i32)),
    };
    sqlx::query(
        "insert into notice (account_id, line, act, region, title, link, urgent, at, institution_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(account)
    .bind(need.map(|n| word(&n.line)))
    .bind(need.map(|n| word(&n.act)))
    .bind(region)
    .bind(&notice.title)
    .bind(&notice.link)
    .bind(notice.urgent)
    .bind(now)
    .bind(institution)
    .execute(&mut **tx)
    .await
    .db("send a notice")?;
    Ok(())
}

fn word<T: serde::Serialize>(value: &T) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

/// The caller's rights over divisions and at institutions, as parallel arrays for SQL.
#[derive(Default)]
struct Rights {
    lines: Vec<String>,
    acts: Vec<String>,
    /// Pattern of division codes; empty, which no code is like, for a right at an institution.
    regions: Vec<String>,
    /// Institution; 0 for a right over a division.
    institutions: Vec<i32>,
}

fn rights(caller: &Caller) -> Rights {
    let mut rights = Rights::default();
    for grant in &caller.grants {
        let (region, institution) = match grant.span {
            Span::Region(region) => (format!("{}%", region.prefix()), 0),
            Span::Institution(institution) => (String::new(), institution.get() as i32),
            _ => continue,
        };
        rights.lines.push(word(&grant.line));
        rights.acts.push(word(&grant.act));
        rights.regions.push(region);
        rights.institutions.push(institution);
    }
    rights
}

const MINE: &str = "
    select n.id, n.title, n.link, n.urgent, n.at, r.account_id is not null as read
    from notice n left join notice_read r on r.notice_id = n.id and r.account_id = $1
    where n.at > $2 and (n.account_id = $1 or n.account_id is null and exists (
        select from unnest($3::text[], $4::text[], $5::text[], $8::int[]) as held (line, act, region, institution)
        where held.line = n.line and held.act = n.act
          and (n.region like held.region or n.institution_id = held.institution)))
    order by n.id desc limit $6 offset $7";

/// The notices of an account, newest first.
pub(super) async fn mine(
    pool: &PgPool,
    account: AccountId,
    caller: &Caller,
    now: DateTime<Utc>,
    limit: i64,
    offset: i64,
) -> Result<Vec<Seen>> {
    let rights = rights(caller);
    sqlx::query_as(MINE)
        .bind(account.get())
        .bind(now - KEPT)
        .bind(rights.lines)
        .bind(rights.acts)
        .bind(rights.regions)
        .bind(limit)
        .bind(offset)
        .bind(rights.institutions)
        .fetch_all(pool)
        .await
        .db("read notices")
}

/// Marks notices as read by this account.
pub(super) async fn mark(tx: &mut Tx<'_>, account: AccountId, ids: &[i64], now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "insert into notice_read (notice_id, account_id, at)
         select id, $1, $3 from unnest($2::bigint[]) as wanted (id) on conflict do nothing",
    )
    .bind(account.get())
    .bind(ids)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("mark notices as read")?;
    Ok(())
}
