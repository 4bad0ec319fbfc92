//! The table `session`.

use chrono::{DateTime, Utc};
use kernel::{AccountId, Id, Result};
use sqlx::PgPool;
use store::DbDoing;
use store::Tx;

use super::rules;
use crate::row::row;
use crate::secret::{self, SecretDigest};

/// A session with its account, as authentication needs it.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// The account.
    pub account_id: i64,
    /// Real name.
    pub name: String,
    /// Number in the institution.
    pub staff_no: String,
    /// Institution.
    pub institution_id: Option<i32>,
    /// Division.
    pub region: String,
    /// Whether the password must be changed first.
    pub must_change: bool,
    /// Last request that was written down.
    pub last_seen_at: DateTime<Utc>,
    /// Absolute end.
    pub expires_at: DateTime<Utc>,
}
row!(LiveSession {
    account_id,
    name,
    staff_no,
    institution_id,
    region,
    must_change,
    last_seen_at,
    expires_at
});

/// A session on its owner's page.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Names it on the page.
    pub id: i64,
    /// Digest of its token, to mark the present one.
    pub token_digest: Vec<u8>,
    /// Sign-in.
    pub created_at: DateTime<Utc>,
    /// Last request that was written down.
    pub last_seen_at: DateTime<Utc>,
    /// Where from.
    pub address: String,
    /// Browser.
    pub agent: String,
}
row!(SessionRow { id, token_digest, created_at, last_seen_at, address, agent });

/// Opens a session; the token for the cookie.
pub async fn create(
    tx: &mut Tx<'_>,
    account: AccountId,
    address: &str,
    agent: &str,
    now: DateTime<Utc>,
) -> Result<String> {
    let token = secret::random_token()?;
    sqlx::query(
        "insert into session (token_digest, account_id, created_at, last_seen_at, expires_at, address, agent)
         values ($1, $2, $3, $3, $4, $5, $6)",
    )
    .bind(secret::digest(&token).as_slice())
    .bind(account.get())
    .bind(now)
    .bind(now + rules::ABSOLUTE)
    .bind(address)
    .bind(agent.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    .execute(&mut **tx)
    .await
    .db("open a session")?;
    Ok(token)
}

/// The session of a token with its open account, whether still alive or not.
pub async fn load(pool: &PgPool, token: &SecretDigest) -> Result<Option<LiveSession>> {
    sqlx::query_as(
        "select s.account_id, a.name, a.staff_no, a.institution_id, a.region, a.must_change, s.last_seen_at, s.expires_at
         from session s join account a on a.id = s.account_id
         where s.token_digest = $1 and a.state = 'open'",
    )
    .bind(token.as_slice())
    .fetch_optional(pool)
    .await
    .db("look up a session")
}

/// Writes down the time of the last request.
pub async fn touch(pool: &PgPool, token: &SecretDigest, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update session set last_seen_at = $2 where token_digest = $1 and last_seen_at < $2")
        .bind(token.as_slice())
        .bind(now)
        .execute(pool)
        .await
        .db("write down the last request of a session")?;
    Ok(())
}

/// Ends the session of a token.
pub async fn end(tx: &mut Tx<'_>, token: &SecretDigest) -> Result<()> {
    sqlx::query("delete from session where token_digest = $1")
        .bind(token.as_slice())
        .execute(&mut **tx)
        .await
        .db("end a session")?;
    Ok(())
}

/// Ends all sessions of an account.
pub async fn end_all_of(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    sqlx::query("delete from session where account_id = $1")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("end the sessions of an account")?;
    Ok(())
}

/// Ends one session of an account by its number; whether there was one.
pub async fn end_one_of(tx: &mut Tx<'_>, account: AccountId, session: i64) -> Result<bool> {
    let done = sqlx::query("delete from session where account_id = $1 and id = $2")
        .bind(account.get())
        .bind(session)
        .execute(&mut **tx)
        .await
        .db("revoke a session")?;
    Ok(done.rows_affected() > 0)
}

/// The sessions of an account that are alive, newest request first.
pub async fn list_of(pool: &PgPool, account: AccountId, now: DateTime<Utc>) -> Result<Vec<SessionRow>> {
    sqlx::query_as(
        "select id, token_digest, created_at, last_seen_at, address, agent from session
         where account_id = $1 and expires_at > $2 and last_seen_at > $3 order by last_seen_at desc, id desc limit 50",
    )
    .bind(account.get())
    .bind(now)
    .bind(now - rules::IDLE)
    .fetch_all(pool)
    .await
    .db("list the sessions of an account")
}

/// Deletes sessions that have ended by themselves.
pub async fn purge(tx: &mut Tx<'_>, account: AccountId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("delete from session where account_id = $1 and (expires_at <= $2 or last_seen_at <= $3)")
        .bind(account.get())
        .bind(now)
        .bind(now - rules::IDLE)
        .execute(&mut **tx)
        .await
        .db("clear away ended sessions")?;
    Ok(())
}

impl LiveSession {
    /// The account's identifier.
    pub fn account(&self) -> AccountId {
        Id::new(self.account_id)
    }
}
