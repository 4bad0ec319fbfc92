//! The table `account`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Duration, Utc};
use kernel::access::InstitutionId;
use kernel::{AccountId, Id, Reach, RegionCode, Result, StaffId};
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
    /// The registered member of staff.
    pub staff_id: Option<i64>,
    /// Role code.
    pub role: String,
    /// Institution.
    pub institution_id: Option<i32>,
    /// Division.
    pub region: String,
    /// `open`, `locked`, `moved`, `dormant` or `closed`.
    pub state: String,
    /// Since when it is in this state, where a step led to it.
    pub state_since: Option<DateTime<Utc>>,
    /// Why.
    pub state_reason: String,
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
    /// Whether it has one-time codes or a passkey.
    pub has_second: bool,
}
row!(AccountRow {
    id,
    login,
    password_hash,
    must_change,
    name,
    staff_no,
    staff_id,
    role,
    institution_id,
    region,
    state,
    state_since,
    state_reason,
    password_changed_at,
    last_sign_in_at,
    created_by,
    created_at,
    locked_until,
    has_second
});

impl AccountRow {
    /// The institution.
    pub fn institution(&self) -> Option<InstitutionId> {
        self.institution_id.map(|id| Id::new(i64::from(id)))
    }
    /// The division.
    pub fn region(&self) -> RegionCode {
        RegionCode::parse(&self.region).unwrap_or(RegionCode::NATION)
    }
}

/// What the list is filtered by; empty texts filter nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of login, name or staff number.
    pub text: String,
    /// Role code.
    pub role: String,
    /// A state, `guarded` (locked after failures) or `first` (first password not changed yet).
    pub state: String,
    /// Institutions; `None`: all.
    pub units: Option<Vec<i32>>,
    /// `yes` or `no`.
    pub second: String,
    /// Last sign-in: days ago at most, or `never`.
    pub seen: String,
    /// Only accounts with a smaller identifier: the next page.
    pub before: Option<i64>,
}

/// The beginning of every query that gives [`AccountRow`]s.
macro_rules! rows {
    ($rest:literal) => {
        concat!(
            "select a.*, g.locked_until,
                exists (select 1 from totp t where t.account_id = a.id and t.confirmed_at is not null)
                    or exists (select 1 from passkey p where p.account_id = a.id) as has_second
             from account a left join sign_in_guard g on g.login = a.login ",
            $rest
        )
    };
}

/// What the list and its count have in common: parameters 1 to 10.
macro_rules! filtered {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "where (a.region like any ($1) or a.institution_id = any ($2))
               and ($3 = '' or a.login like $3 or a.name like $3 or a.staff_no like $3)
               and ($4 = '' or a.role = $4)
               and ($5 = '' or a.state = $5 or ($5 = 'guarded' and g.locked_until > $6)
                    or ($5 = 'first' and a.state = 'open' and a.must_change))
               and ($7::int[] is null or a.institution_id = any ($7))
               and ($8 = '' or ($8 = 'yes') = (exists (select 1 from totp t where t.account_id = a.id
                        and t.confirmed_at is not null) or exists (select 1 from passkey p where p.account_id = a.id)))
               and ($9::timestamptz is null or a.last_sign_in_at >= $9)
               and (not $10 or a.last_sign_in_at is null) ",
            $after
        )
    };
}

const LIST: &str = filtered!(
    "select a.*, g.locked_until,
        exists (select 1 from totp t where t.account_id = a.id and t.confirmed_at is not null)
            or exists (select 1 from passkey p where p.account_id = a.id) as has_second
     from account a left join sign_in_guard g on g.login = a.login ",
    "and ($11::bigint is null or a.id < $11) order by a.id desc limit $12"
);
const COUNT: &str =
    filtered!("select count(*) from account a left join sign_in_guard g on g.login = a.login ", "");

/// Opens an account; `None` when the login name is taken.
#[allow(clippy::too_many_arguments)] // the columns of a row
pub async fn insert(
    tx: &mut Tx<'_>,
    login: &str,
    new: &NewAccount,
    staff: Option<StaffId>,
    hash: &str,
    must_change: bool,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<AccountId>> {
    let id: Option<i64> = sqlx::query_scalar(
        "insert into account (login, password_hash, must_change, name, staff_no, role, institution_id, region,
            password_changed_at, created_by, created_at, staff_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $11) on conflict (login) do nothing returning id",
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
    .bind(staff.map(Id::get))
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
            institution_id = $6, region = $7, state = 'open', state_since = $8, password_changed_at = $8
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

/// Those of some login names that are taken.
pub async fn taken(pool: &PgPool, logins: &[String]) -> Result<Vec<String>> {
    sqlx::query_scalar("select login from account where login = any ($1)")
        .bind(logins)
        .fetch_all(pool)
        .await
        .db("look up login names")
}

/// An account by its identifier.
pub async fn by_id(pool: &PgPool, account: AccountId) -> Result<Option<AccountRow>> {
    sqlx::query_as(rows!("where a.id = $1"))
        .bind(account.get())
        .fetch_optional(pool)
        .await
        .db("read an account")
}

/// Accounts by their numbers, in no order.
pub async fn by_ids(pool: &PgPool, accounts: &[i64]) -> Result<Vec<AccountRow>> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(rows!("where a.id = any($1)")).bind(accounts).fetch_all(pool).await.db("read accounts")
}

/// An account in reach.
pub async fn in_reach(pool: &PgPool, reach: &Reach, account: AccountId) -> Result<Option<AccountRow>> {
    let (regions, institutions) = spans(reach);
    sqlx::query_as(rows!("where a.id = $1 and (a.region like any ($2) or a.institution_id = any ($3))"))
        .bind(account.get())
        .bind(regions)
        .bind(institutions)
        .fetch_optional(pool)
        .await
        .db("read an account")
}

/// Since when an account must have signed in, and whether it must never have.
fn seen(text: &str, now: DateTime<Utc>) -> (Option<DateTime<Utc>>, bool) {
    match text {
        "never" => (None, true),
        days => {
            (days.parse().ok().and_then(Duration::try_days).and_then(|d| now.checked_sub_signed(d)), false)
        }
    }
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
    let (since, never) = seen(&filter.seen, now);
    sqlx::query_as(LIST)
        .bind(regions)
        .bind(institutions)
        .bind(contains(&filter.text))
        .bind(&filter.role)
        .bind(&filter.state)
        .bind(now)
        .bind(&filter.units)
        .bind(&filter.second)
        .bind(since)
        .bind(never)
        .bind(filter.before)
        .bind(limit)
        .fetch_all(pool)
        .await
        .db("list accounts")
}

/// How many accounts in reach the filter finds.
pub async fn count(pool: &PgPool, reach: &Reach, filter: &Filter, now: DateTime<Utc>) -> Result<i64> {
    let (regions, institutions) = spans(reach);
    let (since, never) = seen(&filter.seen, now);
    sqlx::query_scalar(COUNT)
        .bind(regions)
        .bind(institutions)
        .bind(contains(&filter.text))
        .bind(&filter.role)
        .bind(&filter.state)
        .bind(now)
        .bind(&filter.units)
        .bind(&filter.second)
        .bind(since)
        .bind(never)
        .fetch_one(pool)
        .await
        .db("count accounts")
}

/// Takes an account from one of some states to another; its login name, `None` when it is in none of them.
pub async fn set_state(
    tx: &mut Tx<'_>,
    account: AccountId,
    from: &[&str],
    to: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    sqlx::query_scalar(
        "update account set state = $3, state_since = case when state = $3 then state_since else $5 end,
            state_reason = $4
         where id = $1 and state = any ($2) returning login",
    )
    .bind(account.get())
    .bind(from)
    .bind(to)
    .bind(reason)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("change the state of an account")
}

/// Gives an account another role at its own unit, in place of all others.
pub async fn set_role(
    tx: &mut Tx<'_>,
    account: AccountId,
    role: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let (institution, region): (Option<i32>, String) =
        sqlx::query_as("update account set role = $2 where id = $1 returning institution_id, region")
            .bind(account.get())
            .bind(role)
            .fetch_one(&mut **tx)
            .await
            .db("change the role of an account")?;
    let post = grants::Post {
        institution: institution.map(|id| Id::new(i64::from(id))),
        region: RegionCode::parse(&region).unwrap_or(RegionCode::NATION),
    };
    let giving = grants::store::Giving { by: None, by_name: by, reason: "确认调入", now, until: None };
    grants::store::appoint(tx, account, role, &post, giving).await
}

/// The registered member of staff of an account.
pub async fn staff_of(tx: &mut Tx<'_>, account: AccountId) -> Result<Option<StaffId>> {
    let staff: Option<i64> = sqlx::query_scalar("select staff_id from account where id = $1")
        .bind(account.get())
        .fetch_one(&mut **tx)
        .await
        .db("read whose account it is")?;
    Ok(staff.map(Id::new))
}

/// The login name of the account that somebody on the register has, beside one of them.
pub async fn login_of_staff(
    tx: &mut Tx<'_>,
    staff: StaffId,
    beside: Option<AccountId>,
) -> Result<Option<String>> {
    sqlx::query_scalar(
        "select login from account where staff_id = $1 and state <> 'closed' and id is distinct from $2",
    )
    .bind(staff.get())
    .bind(beside.map(Id::get))
    .fetch_optional(&mut **tx)
    .await
    .db("look for an account of a member of staff")
}

/// Moves the account of somebody on the register to another unit, to be confirmed there; `None` when there is none that
/// is not there already.
pub async fn move_to(
    tx: &mut Tx<'_>,
    staff: i64,
    institution: InstitutionId,
    region: &RegionCode,
    now: DateTime<Utc>,
) -> Result<Option<(AccountId, String)>> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "update account set institution_id = $2, region = $3, state_since = $4, state_reason = '调动',
            state = case when state = 'open' then 'moved' else state end
         where staff_id = $1 and state <> 'closed' and institution_id is distinct from $2 returning id, login",
    )
    .bind(staff)
    .bind(institution.get() as i32)
    .bind(region.as_str())
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("move an account to another unit")?;
    Ok(found.map(|(id, login)| (Id::new(id), login)))
}

/// Closes the account of somebody who has left.
pub async fn close_of_staff(
    tx: &mut Tx<'_>,
    staff: i64,
    now: DateTime<Utc>,
) -> Result<Option<(AccountId, String)>> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "update account set state = 'closed', state_since = $2, state_reason = '离岗'
         where staff_id = $1 and state <> 'closed' returning id, login",
    )
    .bind(staff)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("close the account of somebody who left")?;
    Ok(found.map(|(id, login)| (Id::new(id), login)))
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
