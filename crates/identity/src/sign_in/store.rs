//! The tables `sign_in_guard` and `sign_in_failure`, and what sign-in reads of `account`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use super::rules::{self, Guard, Limits};
use crate::row::row;
use crate::secret;

/// An account as sign-in needs it.
#[derive(Debug, Clone)]
pub struct SignInAccount {
    /// Identifier.
    pub id: i64,
    /// Login name.
    pub login: String,
    /// PHC string.
    pub password_hash: String,
    /// Whether the password must be changed first.
    pub must_change: bool,
    /// When it was last changed.
    pub password_changed_at: DateTime<Utc>,
    /// When the account was last signed in to.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Real name.
    pub name: String,
    /// Role code.
    pub role: String,
    /// Institution.
    pub institution_id: Option<i32>,
    /// Division.
    pub region: String,
    /// `open` or `closed`.
    pub state: String,
}
row!(SignInAccount {
    id,
    login,
    password_hash,
    must_change,
    password_changed_at,
    last_sign_in_at,
    name,
    role,
    institution_id,
    region,
    state
});

/// The account of a login name.
pub async fn account_of(pool: &PgPool, login: &str) -> Result<Option<SignInAccount>> {
    sqlx::query_as(
        "select id, login, password_hash, must_change, password_changed_at, last_sign_in_at, name, role,
            institution_id, region, state
         from account where login = $1",
    )
    .bind(login)
    .fetch_optional(pool)
    .await
    .db("look up a login name")
}

/// The account of a number.
pub async fn account_by_id(pool: &PgPool, account: i64) -> Result<Option<SignInAccount>> {
    sqlx::query_as(
        "select id, login, password_hash, must_change, password_changed_at, last_sign_in_at, name, role,
            institution_id, region, state
         from account where id = $1",
    )
    .bind(account)
    .fetch_optional(pool)
    .await
    .db("look up an account")
}

/// Keeps something begun for some minutes: what kind, and whose if that is known. The token finds it again.
pub async fn begin(
    tx: &mut Tx<'_>,
    kind: &'static str,
    account: Option<i64>,
    now: DateTime<Utc>,
) -> Result<String> {
    sqlx::query("delete from sign_in_ticket where expires_at <= $1")
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("forget what was begun and not finished")?;
    let token = secret::random_token()?;
    sqlx::query(
        "insert into sign_in_ticket (token_digest, kind, account_id, expires_at) values ($1, $2, $3, $4)",
    )
    .bind(secret::digest(&token).as_slice())
    .bind(kind)
    .bind(account)
    .bind(now + rules::TICKET)
    .execute(&mut **tx)
    .await
    .db("begin a sign-in of several steps")?;
    Ok(token)
}

/// The account of something begun; it stays.
pub async fn begun(
    pool: &PgPool,
    kind: &'static str,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<i64>> {
    let found: Option<Option<i64>> = sqlx::query_scalar(
        "select account_id from sign_in_ticket where token_digest = $1 and kind = $2 and expires_at > $3",
    )
    .bind(secret::digest(token).as_slice())
    .bind(kind)
    .bind(now)
    .fetch_optional(pool)
    .await
    .db("look up what was begun")?;
    Ok(found.flatten())
}

/// Finishes something begun: it serves once. Its account, if it has one; `None` when there is no such thing any more.
pub async fn finish(
    tx: &mut Tx<'_>,
    kind: &'static str,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Option<i64>>> {
    sqlx::query_scalar(
        "delete from sign_in_ticket where token_digest = $1 and kind = $2 and expires_at > $3 returning account_id",
    )
    .bind(secret::digest(token).as_slice())
    .bind(kind)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("finish what was begun")
}

/// Notes that an account is used with a browser; whether it is a new one. The first browser of an account is none.
pub async fn note_device(
    tx: &mut Tx<'_>,
    account: i64,
    key: &str,
    address: &str,
    agent: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let (known, others): (bool, bool) = sqlx::query_as(
        "select exists (select 1 from account_device where account_id = $1 and key_digest = $2),
            exists (select 1 from account_device where account_id = $1)",
    )
    .bind(account)
    .bind(secret::digest(key).as_slice())
    .fetch_one(&mut **tx)
    .await
    .db("look up a browser")?;
    sqlx::query(
        "insert into account_device (account_id, key_digest, first_seen_at, last_seen_at, address, agent)
         values ($1, $2, $3, $3, $4, $5)
         on conflict (account_id, key_digest) do update
            set last_seen_at = excluded.last_seen_at, address = excluded.address, agent = excluded.agent",
    )
    .bind(account)
    .bind(secret::digest(key).as_slice())
    .bind(now)
    .bind(address)
    .bind(agent.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    .execute(&mut **tx)
    .await
    .db("note a browser")?;
    Ok(!known && others)
}

/// Counts an attempt for a login name; `Err` when it is locked until then.
pub async fn count_attempt(
    tx: &mut Tx<'_>,
    login: &str,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<Result<Guard, DateTime<Utc>>> {
    // Makes sure that there is a row to lock, so that attempts at once are counted one after the other.
    sqlx::query(
        "insert into sign_in_guard (login, failures, last_at) values ($1, 0, $2) on conflict do nothing",
    )
    .bind(login)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("prepare the guard of a login name")?;
    let (failures, last_at, locked_until): (i32, DateTime<Utc>, Option<DateTime<Utc>>) = sqlx::query_as(
        "select failures, last_at, locked_until from sign_in_guard where login = $1 for update",
    )
    .bind(login)
    .fetch_one(&mut **tx)
    .await
    .db("read the guard of a login name")?;
    let admitted = rules::attempt(Some(Guard { failures, last_at, locked_until }), limits, now);
    if let Ok(guard) = &admitted {
        sqlx::query(
            "update sign_in_guard set failures = $2, last_at = $3, locked_until = $4 where login = $1",
        )
        .bind(login)
        .bind(guard.failures)
        .bind(guard.last_at)
        .bind(guard.locked_until)
        .execute(&mut **tx)
        .await
        .db("count an attempt to sign in")?;
    }
    Ok(admitted)
}

/// Takes back one counted attempt: the password was right, and the second factor counts for itself. What it did not
/// count itself stays, so that the right password does not clear the failures of guessed codes.
pub async fn uncount(tx: &mut Tx<'_>, login: &str, guard: &Guard) -> Result<()> {
    sqlx::query(
        "update sign_in_guard set failures = greatest(failures - 1, 0),
            locked_until = case when locked_until is not distinct from $2 then null else locked_until end
         where login = $1",
    )
    .bind(login)
    .bind(guard.locked_until)
    .execute(&mut **tx)
    .await
    .db("take back a counted attempt")?;
    Ok(())
}

/// Forgets the failures of a login name.
pub async fn clear_guard(tx: &mut Tx<'_>, login: &str) -> Result<()> {
    sqlx::query("delete from sign_in_guard where login = $1")
        .bind(login)
        .execute(&mut **tx)
        .await
        .db("clear the guard of a login name")?;
    Ok(())
}

/// Failures of an address since then.
pub async fn failures_of_address(pool: &PgPool, address: &str, since: DateTime<Utc>) -> Result<i64> {
    sqlx::query_scalar("select count(*) from sign_in_failure where address = $1 and at > $2")
        .bind(address)
        .bind(since)
        .fetch_one(pool)
        .await
        .db("count failures of an address")
}

/// Counts a failure of an address.
pub async fn count_address(tx: &mut Tx<'_>, address: &str, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("insert into sign_in_failure (address, at) values ($1, $2)")
        .bind(address)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("count a failure of an address")?;
    Ok(())
}

/// Deletes what counts no more, so that a guesser cannot fill the tables.
pub async fn forget_old(tx: &mut Tx<'_>, limits: &Limits, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("delete from sign_in_failure where at < $1")
        .bind(now - limits.address_window)
        .execute(&mut **tx)
        .await
        .db("forget old failures of addresses")?;
    sqlx::query(
        "delete from sign_in_guard where last_at < $1 and (locked_until is null or locked_until < $2)",
    )
    .bind(now - rules::FORGET_AFTER)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("forget old guards")?;
    Ok(())
}

/// Writes down a sign-in; `false` when the account was closed or its password changed while the password was verified.
pub async fn note_sign_in(
    tx: &mut Tx<'_>,
    account: &SignInAccount,
    must_change: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "update account set last_sign_in_at = $3, must_change = $4
         where id = $1 and password_hash = $2 and state = 'open'",
    )
    .bind(account.id)
    .bind(&account.password_hash)
    .bind(now)
    .bind(must_change)
    .execute(&mut **tx)
    .await
    .db("write down a sign-in")?;
    Ok(done.rows_affected() == 1)
}
