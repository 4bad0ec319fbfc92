//! The table `passkey`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::{AccountId, Result};
use sqlx::PgPool;

use super::verify::{Registered, Used};
use crate::row::row;
use crate::secret;

/// Passkeys that an account may have.
pub const MOST: usize = 10;

/// A passkey.
#[derive(Debug, Clone)]
pub struct PasskeyRow {
    /// Names it on its owner's page.
    pub id: i64,
    /// Whose it is.
    pub account_id: i64,
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// Public key as COSE.
    pub public_key: Vec<u8>,
    /// The owner's name for it.
    pub name: String,
    /// Whether the maker's cloud keeps a copy.
    pub synced: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Last sign-in by it.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(PasskeyRow { id, account_id, credential_id, public_key, name, synced, created_at, last_used_at });

/// The passkeys of an account, oldest first.
pub async fn of(pool: &PgPool, account: AccountId) -> Result<Vec<PasskeyRow>> {
    sqlx::query_as("select * from passkey where account_id = $1 order by id")
        .bind(account.get())
        .fetch_all(pool)
        .await
        .db("list passkeys")
}

/// A passkey by the authenticator's name for it, with what passkeys know its account by.
pub async fn by_credential(
    pool: &PgPool,
    credential: &[u8],
) -> Result<Option<(PasskeyRow, Option<Vec<u8>>)>> {
    let found: Option<PasskeyRow> = sqlx::query_as("select * from passkey where credential_id = $1")
        .bind(credential)
        .fetch_optional(pool)
        .await
        .db("look up a passkey")?;
    let Some(found) = found else { return Ok(None) };
    let handle = sqlx::query_scalar("select handle from account where id = $1")
        .bind(found.account_id)
        .fetch_one(pool)
        .await
        .db("look up the handle of an account")?;
    Ok(Some((found, handle)))
}

/// What passkeys know an account by; drawn at the first time.
pub async fn handle(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<u8>> {
    sqlx::query_scalar("update account set handle = coalesce(handle, $2) where id = $1 returning handle")
        .bind(account.get())
        .bind(secret::random_key()?.as_slice())
        .fetch_one(&mut **tx)
        .await
        .db("draw the handle of an account")
}

/// Keeps a new passkey; `false` when the authenticator's name for it is known already.
pub async fn insert(
    tx: &mut Tx<'_>,
    account: AccountId,
    made: &Registered,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "insert into passkey (account_id, credential_id, public_key, sign_count, name, synced, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
    )
    .bind(account.get())
    .bind(&made.credential_id)
    .bind(&made.public_key)
    .bind(i64::from(made.count))
    .bind(name)
    .bind(made.synced)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("keep a passkey")?;
    Ok(done.rows_affected() == 1)
}

/// Notes a use; `false` when the count did not grow though the authenticator counts: there is a copy of it.
pub async fn note_use(tx: &mut Tx<'_>, passkey: i64, used: &Used, now: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query(
        "update passkey set sign_count = $2, synced = $3, last_used_at = $4
         where id = $1 and (sign_count < $2 or (sign_count = 0 and $2 = 0))",
    )
    .bind(passkey)
    .bind(i64::from(used.count))
    .bind(used.synced)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("note the use of a passkey")?;
    Ok(done.rows_affected() == 1)
}

/// Gives a passkey of an account another name; whether there was one.
pub async fn rename(tx: &mut Tx<'_>, account: AccountId, passkey: i64, name: &str) -> Result<bool> {
    let done = sqlx::query("update passkey set name = $3 where account_id = $1 and id = $2")
        .bind(account.get())
        .bind(passkey)
        .bind(name)
        .execute(&mut **tx)
        .await
        .db("rename a passkey")?;
    Ok(done.rows_affected() == 1)
}

/// Takes a passkey of an account away; whether there was one.
pub async fn remove(tx: &mut Tx<'_>, account: AccountId, passkey: i64) -> Result<bool> {
    let done = sqlx::query("delete from passkey where account_id = $1 and id = $2")
        .bind(account.get())
        .bind(passkey)
        .execute(&mut **tx)
        .await
        .db("take a passkey away")?;
    Ok(done.rows_affected() == 1)
}

/// Takes all passkeys of an account away.
pub async fn remove_all(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    sqlx::query("delete from passkey where account_id = $1")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("take passkeys away")?;
    Ok(())
}
