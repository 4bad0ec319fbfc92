//! The table `account`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{AccountId, Id, Reach, Result};
use sqlx::PgPool;

use super::NewAccount;
use crate::grants;
use crate::row::row;

/// Rows on one page of the list.
pub const PAGE: i64 = 50;
/// Rows of an export at most.
pub const EXPORT: i64 = 50_000;

/// An account.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// Identifier.
    pub id: i64,
    /// Login name.
    pub login: String,
    /// PHC string.
    pub password_hash: String,
    /// Whether the password must be changed first.
    pub must_change: bool,
    /// Real name.
    pub name: String,
    /// Staff number.
    pub staff_no: String,
    /// Role code.
    pub role: String,
    /// Institution.
    pub institution_id: Option<i32>,
    /// Division.
    pub region: String,
    /// `open` or `closed`.
    pub state: String,
    /// Last change of the password.
    pub password_changed_at: DateTime<Utc>,
    /// Last sign-in.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Who opened it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Locked after failed sign-ins until then.
    pub locked_until: Option<DateTime<Utc>>,
}
row!(AccountRow {
    id,
    login,
    password_hash,
    must_change,
    name,
    staff_no,
    role,
    institution_id,
    region,
    state,
    password_changed_at,
    last_sign_in_at,
    created_by,
    created_at,
    locked_until
});

impl AccountRow {
    /// The institution.
    pub fn institution(&self) -> Option<InstitutionId> {
        self.institution_id.map(|id| Id::new(i64::from(id)))
    }
}

/// What the list is filtered by; empty texts filter nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of login, name or staff number.
    pub text: String,
    /// Role code.
    pub role: String,
    /// `open`, `closed` or `locked`.
    pub state: String,
    /// Only accounts with a smaller identifier: the next page.
    pub before: Option<i64>,
}

/// Opens an account; `None` when the login name is taken.
pub async fn insert(
    tx: &mut Tx<'_>,
    login: &str,
    new: &NewAccount,
    hash: &str,
    must_change: bool,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<AccountId>> {
    let id: Option<i64> = sqlx::query_scalar(
        "insert into account (login, password_hash, must_change, name, staff_no, role, institution_id, region,
            password_changed_at, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9) on conflict (login) do nothing returning id",
    )
    .bind(login)
    .bind(hash)
    .bind(must_change)
    .bind(new.name.trim())
    .bind(new.staff_no.trim())
    .bind(&new.role)
    .bind(new.institution.map(|id| id.get() as i32))
    .bind(new.region.as_str())
    .bind(now)
    .bind(by)
    .fetch_optional(&mut **tx)
    .await
    .db("open an account")?;
    let id = id.map(AccountId::new);
    if let Some(id) = id {
        appoint(tx, id, new, by, now).await?;
    }
    Ok(id)
}

/// Sets an account to what a persona says.
pub async fn overwrite(
    tx: &mut Tx<'_>,
    login: &str,
    new: &NewAccount,
    hash: &str,
    now: DateTime<Utc>,
) -> Result<AccountId> {
    let id = sqlx::query_scalar(
        "update account set password_hash = $2, must_change = false, name = $3, staff_no = $4, role = $5,
            institution_id = $6, region = $7, state = 'open', password_changed_at = $8
         where login = $1 returning id",
    )
    .bind(login)
    .bind(hash)
    .bind(new.name.trim())
    .bind(new.staff_no.trim())
    .bind(&new.role)
    .bind(new.institution.map(|id| id.get() as i32))
    .bind(new.region.as_str())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .map(AccountId::new)
    .db("set a demonstration account")?;
    appoint(tx, id, new, "系统", now).await?;
    Ok(id)
}

/// The role that an account is opened with, at its own unit.
async fn appoint(
    tx: &mut Tx<'_>,
    account: AccountId,
    new: &NewAccount,
    by: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let post = grants::Post { institution: new.institution, region: new.region };
    let giving = grants::store::Giving { by: None, by_name: by, reason: "开通账号", now, until: None };
    grants::store::appoint(tx, account, &new.role, &post, giving).await
}

/// The identifier of a login name.
pub async fn id_of(pool: &PgPool, login: &str) -> Result<Option<AccountId>> {
    let id: Option<i64> = sqlx::query_scalar("select id from account where login = $1")
        .bind(login)
        .fetch_optional(pool)
        .await
        .db("look up a login name")?;
    Ok(id.map(Id::new))
}

/// An account by its identifier.
pub async fn by_id(pool: &PgPool, account: AccountId) -> Result<Option<AccountRow>> {
    sqlx::query_as(
        "select a.*, g.locked_until from account a left join sign_in_guard g on g.login = a.login where a.id = $1",
    )
    .bind(account.get())
    .fetch_optional(pool)
    .await
    .db("read an account")
}

/// An account in reach.
pub async fn in_reach(pool: &PgPool, reach: &Reach, account: AccountId) -> Result<Option<AccountRow>> {
    let (regions, institutions) = spans(reach);
    sqlx::query_as(
        "select a.*, g.locked_until from account a left join sign_in_guard g on g.login = a.login
         where a.id = $1 and (a.region like any ($2) or a.institution_id = any ($3))",
    )
    .bind(account.get())
    .bind(regions)
    .bind(institutions)
    .fetch_optional(pool)
    .await
    .db("read an account")
}

/// Accounts in reach, newest first.
pub async fn list(
    pool: &PgPool,
    reach: &Reach,
    filter: &Filter,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<AccountRow>> {
    let (regions, institutions) = spans(reach);
    sqlx::query_as(
        "select a.*, g.locked_until from account a left join sign_in_guard g on g.login = a.login
         where (a.region like any ($1) or a.institution_id = any ($2))
           and ($3 = '' or a.login like $3 or a.name like $3 or a.staff_no like $3)
           and ($4 = '' or a.role = $4)
           and ($5 = '' or a.state = $5 or ($5 = 'locked' and g.locked_until > $6))
           and ($7::bigint is null or a.id < $7)
         order by a.id desc limit $8",
    )
    .bind(regions)
    .bind(institutions)
    .bind(contains(&filter.text))
    .bind(&filter.role)
    .bind(&filter.state)
    .bind(now)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(pool)
    .await
    .db("list accounts")
}

/// How many accounts in reach the filter finds.
pub async fn count(pool: &PgPool, reach: &Reach, filter: &Filter, now: DateTime<Utc>) -> Result<i64> {
    let (regions, institutions) = spans(reach);
    sqlx::query_scalar(
        "select count(*) from account a left join sign_in_guard g on g.login = a.login
         where (a.region like any ($1) or a.institution_id = any ($2))
           and ($3 = '' or a.login like $3 or a.name like $3 or a.staff_no like $3)
           and ($4 = '' or a.role = $4)
           and ($5 = '' or a.state = $5 or ($5 = 'locked' and g.locked_until > $6))",
    )
    .bind(regions)
    .bind(institutions)
    .bind(contains(&filter.text))
    .bind(&filter.role)
    .bind(&filter.state)
    .bind(now)
    .fetch_one(pool)
    .await
    .db("count accounts")
}

/// Opens or closes an account; its login name.
pub async fn set_state(tx: &mut Tx<'_>, account: AccountId, state: &'static str) -> Result<String> {
    sqlx::query_scalar("update account set state = $2 where id = $1 returning login")
        .bind(account.get())
        .bind(state)
        .fetch_one(&mut **tx)
        .await
        .db("open or close an account")
}

/// The login name of an account.
pub async fn login_of(tx: &mut Tx<'_>, account: AccountId) -> Result<String> {
    sqlx::query_scalar("select login from account where id = $1")
        .bind(account.get())
        .fetch_one(&mut **tx)
        .await
        .db("read a login name")
}

/// Sets the password; the login name.
pub async fn set_password(
    tx: &mut Tx<'_>,
    account: AccountId,
    hash: &str,
    must_change: bool,
    now: DateTime<Utc>,
) -> Result<String> {
    sqlx::query_scalar(
        "update account set password_hash = $2, must_change = $3, password_changed_at = $4 where id = $1
         returning login",
    )
    .bind(account.get())
    .bind(hash)
    .bind(must_change)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("set a password")
}

/// The spans of a reach as `like` patterns and institution numbers.
pub(crate) fn spans(reach: &Reach) -> (Vec<String>, Vec<i32>) {
    let scope = reach.scope();
    let regions = scope.region_prefixes.into_iter().map(|prefix| format!("{prefix}%")).collect();
    (regions, scope.institutions.into_iter().filter_map(|id| i32::try_from(id).ok()).collect())
}

/// A `like` pattern for a part of a text; empty for no text.
pub(crate) fn contains(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}
