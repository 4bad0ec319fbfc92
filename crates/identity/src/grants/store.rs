//! The table `account_role`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{AccountId, Id, RegionCode, Result};
use sqlx::PgPool;

use super::rules::Post;
use crate::row::row;

/// A role that an account holds or held.
#[derive(Debug, Clone)]
pub struct HeldRow {
    /// Names it.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// Role code.
    pub role: String,
    /// The post's institution.
    pub institution_id: Option<i32>,
    /// The post's division.
    pub region: String,
    /// From when.
    pub since: DateTime<Utc>,
    /// Until when; `None`: without end.
    pub until: Option<DateTime<Utc>>,
    /// Who gave it.
    pub granted_by_name: String,
    /// When.
    pub granted_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// When it was taken away.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// By whom.
    pub withdrawn_by: String,
    /// Why.
    pub withdraw_reason: String,
}
row!(HeldRow {
    id,
    account_id,
    role,
    institution_id,
    region,
    since,
    until,
    granted_by_name,
    granted_at,
    reason,
    withdrawn_at,
    withdrawn_by,
    withdraw_reason
});

impl HeldRow {
    /// The institution of the post.
    pub fn institution(&self) -> Option<InstitutionId> {
        self.institution_id.map(|id| Id::new(i64::from(id)))
    }
    /// Where it is held.
    pub fn post(&self) -> Post {
        Post {
            institution: self.institution(),
            region: RegionCode::parse(&self.region).unwrap_or(RegionCode::NATION),
        }
    }
    /// Whether it holds at this moment.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.withdrawn_at.is_none() && self.since <= now && self.until.is_none_or(|until| until > now)
    }
}

/// Who gives a role, why and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Giving<'a> {
    /// The giver's account; `None`: the program or its operator.
    pub by: Option<AccountId>,
    /// The giver's name.
    pub by_name: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Now.
    pub now: DateTime<Utc>,
    /// Its end; `None`: without.
    pub until: Option<DateTime<Utc>>,
}

/// Gives a role at a post; `None` when the account holds it there already.
pub async fn give(
    tx: &mut Tx<'_>,
    account: AccountId,
    role: &str,
    post: &Post,
    giving: Giving<'_>,
) -> Result<Option<i64>> {
    // One that ran out makes room for the new one.
    sqlx::query(
        "update account_role set withdrawn_at = until, withdrawn_by = '', withdraw_reason = '到期'
         where account_id = $1 and role = $2 and withdrawn_at is null and until <= $3",
    )
    .bind(account.get())
    .bind(role)
    .bind(giving.now)
    .execute(&mut **tx)
    .await
    .db("put away a role that ran out")?;
    sqlx::query_scalar(
        "insert into account_role (account_id, role, institution_id, region, since, until, granted_by, granted_by_name,
            granted_at, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $5, $9)
         on conflict (account_id, role, coalesce(institution_id, 0), region) where withdrawn_at is null do nothing
         returning id",
    )
    .bind(account.get())
    .bind(role)
    .bind(post.institution.and_then(|id| i32::try_from(id.get()).ok()))
    .bind(post.region.as_str())
    .bind(giving.now)
    .bind(giving.until)
    .bind(giving.by.map(Id::get))
    .bind(giving.by_name)
    .bind(giving.reason)
    .fetch_optional(&mut **tx)
    .await
    .db("give a role")
}

/// Makes an account hold exactly this role at this post: when it is opened, and when a demonstration account is set to
/// what its persona says.
pub async fn appoint(
    tx: &mut Tx<'_>,
    account: AccountId,
    role: &str,
    post: &Post,
    giving: Giving<'_>,
) -> Result<()> {
    sqlx::query(
        "update account_role set withdrawn_at = $5, withdrawn_by = $6, withdraw_reason = '任职变更'
         where account_id = $1 and withdrawn_at is null
           and not (role = $2 and institution_id is not distinct from $3 and region = $4 and until is null)",
    )
    .bind(account.get())
    .bind(role)
    .bind(post.institution.and_then(|id| i32::try_from(id.get()).ok()))
    .bind(post.region.as_str())
    .bind(giving.now)
    .bind(giving.by_name)
    .execute(&mut **tx)
    .await
    .db("take other roles away")?;
    give(tx, account, role, post, giving).await?;
    Ok(())
}

/// Takes a role away; whether it was still held.
pub async fn withdraw(
    tx: &mut Tx<'_>,
    held: i64,
    by_name: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "update account_role set withdrawn_at = $2, withdrawn_by = $3, withdraw_reason = $4
         where id = $1 and withdrawn_at is null",
    )
    .bind(held)
    .bind(now)
    .bind(by_name)
    .bind(reason)
    .execute(&mut **tx)
    .await
    .db("take a role away")?;
    Ok(done.rows_affected() > 0)
}

/// Takes every role of an account away, when its holder leaves or moves to another unit. How many.
pub async fn withdraw_all(
    tx: &mut Tx<'_>,
    account: AccountId,
    by_name: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    let done = sqlx::query(
        "update account_role set withdrawn_at = $2, withdrawn_by = $3, withdraw_reason = $4
         where account_id = $1 and withdrawn_at is null",
    )
    .bind(account.get())
    .bind(now)
    .bind(by_name)
    .bind(reason)
    .execute(&mut **tx)
    .await
    .db("take all roles away")?;
    Ok(done.rows_affected())
}

/// The roles of an account, those that hold first, then the newest.
pub async fn of_account(pool: &PgPool, account: AccountId) -> Result<Vec<HeldRow>> {
    sqlx::query_as(
        "select * from account_role where account_id = $1 order by withdrawn_at desc nulls first, id desc",
    )
    .bind(account.get())
    .fetch_all(pool)
    .await
    .db("read the roles of an account")
}

/// The codes of roles that the holder of an account holds by any account of theirs: accounts of the same registered member
/// of staff, or of the same unit and staff number, are the same person's.
pub async fn of_same_person(tx: &mut Tx<'_>, account: AccountId, now: DateTime<Utc>) -> Result<Vec<String>> {
    // The lock makes two administrators who give conflicting roles at the same moment follow one another.
    sqlx::query("select id from account where id = $1 for update")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("lock an account")?;
    sqlx::query_scalar(
        "select distinct r.role from account_role r
         where r.withdrawn_at is null and (r.until is null or r.until > $2) and r.account_id in (
            select $1 union all
            select o.id from account a join account o on o.state <> 'closed' and (o.staff_id = a.staff_id
                or (o.institution_id is not distinct from a.institution_id and o.staff_no = a.staff_no
                    and o.region = a.region and a.staff_no <> ''))
            where a.id = $1)",
    )
    .bind(account.get())
    .bind(now)
    .fetch_all(&mut **tx)
    .await
    .db("read the roles of a person")
}

/// How many open accounts hold each role.
pub async fn counts(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "select r.role, count(distinct r.account_id) from account_role r join account a on a.id = r.account_id
         where r.withdrawn_at is null and (r.until is null or r.until > $1) and a.state = 'open' group by r.role",
    )
    .bind(now)
    .fetch_all(pool)
    .await
    .db("count who holds each role")
}
