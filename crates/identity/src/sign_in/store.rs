//! The tables `sign_in_guard` and `sign_in_failure`, and what sign-in reads of `account`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use super::rules::{self, Guard};
use crate::row::row;

/// An account as sign-in needs it.
#[derive(Debug, Clone)]
pub struct SignInAccount {
    /// Identifier.
    pub id: i64,
    /// PHC string.
    pub password_hash: String,
    /// Whether the password must be changed first.
    pub must_change: bool,
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
row!(SignInAccount { id, password_hash, must_change, name, role, institution_id, region, state });

/// The account of a login name.
pub async fn account_of(pool: &PgPool, login: &str) -> Result<Option<SignInAccount>> {
    sqlx::query_as(
        "select id, password_hash, must_change, name, role, institution_id, region, state from account where login = $1",
    )
    .bind(login)
    .fetch_optional(pool)
    .await
    .db("look up a login name")
}

/// Counts an attempt for a login name; `Err` when it is locked until then.
pub async fn count_attempt(
    tx: &mut Tx<'_>,
    login: &str,
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
    let admitted = rules::attempt(Some(Guard { failures, last_at, locked_until }), now);
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
pub async fn forget_old(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("delete from sign_in_failure where at < $1")
        .bind(now - rules::ADDRESS_WINDOW)
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
pub async fn note_sign_in(tx: &mut Tx<'_>, account: &SignInAccount, now: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query(
        "update account set last_sign_in_at = $3 where id = $1 and password_hash = $2 and state = 'open'",
    )
    .bind(account.id)
    .bind(&account.password_hash)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("write down a sign-in")?;
    Ok(done.rows_affected() == 1)
}
