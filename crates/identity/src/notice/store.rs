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
    let (account, line, act, region) = match to {
        NoticeTo::Account(account) => (Some(account.get()), None, None, None),
        NoticeTo::Holders(need, region) => {
            (None, Some(word(&need.line)), Some(word(&need.act)), Some(region.as_str().to_owned()))
        }
    };
    sqlx::query(
        "insert into notice (account_id, line, act, region, title, link, urgent, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(account)
    .bind(line)
    .bind(act)
    .bind(region)
    .bind(&notice.title)
    .bind(&notice.link)
    .bind(notice.urgent)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("send a notice")?;
    Ok(())
}

fn word<T: serde::Serialize>(value: &T) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

/// The caller's rights over divisions, as parallel arrays for SQL: line, act, pattern of division codes.
fn rights(caller: &Caller) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut rights = (Vec::new(), Vec::new(), Vec::new());
    for grant in &caller.grants {
        if let Span::Region(region) = grant.span {
            rights.0.push(word(&grant.line));
            rights.1.push(word(&grant.act));
            rights.2.push(format!("{}%", region.prefix()));
        }
    }
    rights
}

const MINE: &str = "
    select n.id, n.title, n.link, n.urgent, n.at, r.account_id is not null as read
    from notice n left join notice_read r on r.notice_id = n.id and r.account_id = $1
    where n.at > $2 and (n.account_id = $1 or n.account_id is null and exists (
        select from unnest($3::text[], $4::text[], $5::text[]) as held (line, act, region)
        where held.line = n.line and held.act = n.act and n.region like held.region))
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
    let (lines, acts, regions) = rights(caller);
    sqlx::query_as(MINE)
        .bind(account.get())
        .bind(now - KEPT)
        .bind(lines)
        .bind(acts)
        .bind(regions)
        .bind(limit)
        .bind(offset)
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
