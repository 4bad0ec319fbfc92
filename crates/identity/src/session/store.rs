//! The table `session`.

use chrono::{DateTime, Utc};
use kernel::{AccountId, Factor, Id, Result};
use sqlx::PgPool;
use store::DbDoing;
use store::Tx;

use super::rules::{self, Lives};
use crate::row::row;
use crate::secret::{self, SecretDigest};

/// A session with its account, as authentication needs it.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// Number of the session.
    pub id: i64,
    /// The account.
    pub account_id: i64,
    /// The registered member of staff.
    pub staff_id: Option<i64>,
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
    /// Whether the account has a second factor: one-time codes or a passkey.
    pub has_second: bool,
    /// The strongest proof of this session.
    pub factor: String,
    /// The last proof of identity.
    pub proved_at: Option<DateTime<Utc>>,
    /// Last request that was written down.
    pub last_seen_at: DateTime<Utc>,
    /// Absolute end.
    pub expires_at: DateTime<Utc>,
}
row!(LiveSession {
    id,
    account_id,
    staff_id,
    name,
    staff_no,
    institution_id,
    region,
    must_change,
    has_second,
    factor,
    proved_at,
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
    /// How surely.
    pub factor: String,
    /// Whether it came from a browser not used before, and its owner has not said that this is fine.
    pub new_device: bool,
}
row!(SessionRow { id, token_digest, created_at, last_seen_at, address, agent, factor, new_device });

/// What a session is opened with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Where from.
    pub address: &'a str,
    /// Browser.
    pub agent: &'a str,
    /// How surely.
    pub factor: Factor,
    /// Whether the browser has not been used by this account before.
    pub new_device: bool,
}

/// Opens a session and ends the longest unused ones beyond the number allowed; the token for the cookie.
pub async fn create(
    tx: &mut Tx<'_>,
    account: AccountId,
    opening: &Opening<'_>,
    lives: &Lives,
    now: DateTime<Utc>,
) -> Result<String> {
    let token = secret::random_token()?;
    sqlx::query(
        "insert into session (token_digest, account_id, created_at, last_seen_at, expires_at, address, agent, factor,
            proved_at, new_device)
         values ($1, $2, $3, $3, $4, $5, $6, $7, $3, $8)",
    )
    .bind(secret::digest(&token).as_slice())
    .bind(account.get())
    .bind(now)
    .bind(now + lives.absolute)
    .bind(opening.address)
    .bind(opening.agent.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    .bind(rules::word(opening.factor))
    .bind(opening.new_device)
    .execute(&mut **tx)
    .await
    .db("open a session")?;
    sqlx::query(
        "delete from session where account_id = $1 and id in
            (select id from session where account_id = $1 order by last_seen_at desc, id desc offset $2)",
    )
    .bind(account.get())
    .bind(lives.at_once)
    .execute(&mut **tx)
    .await
    .db("end sessions beyond the number allowed")?;
    Ok(token)
}

/// Gives a session another token and notes a fresh proof of identity: step-up. `None` when it has ended meanwhile.
pub async fn rotate(
    tx: &mut Tx<'_>,
    session: i64,
    factor: Factor,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let token = secret::random_token()?;
    let done = sqlx::query(
        "update session set token_digest = $2, proved_at = $3,
            factor = case when factor = 'single' then $4 else factor end
         where id = $1",
    )
    .bind(session)
    .bind(secret::digest(&token).as_slice())
    .bind(now)
    .bind(rules::word(factor))
    .execute(&mut **tx)
    .await
    .db("renew the token of a session")?;
    Ok((done.rows_affected() == 1).then_some(token))
}

/// The session of a token with its open account, whether still alive or not.
pub async fn load(pool: &PgPool, token: &SecretDigest) -> Result<Option<LiveSession>> {
    sqlx::query_as(
        "select s.id, s.account_id, a.staff_id, a.name, a.staff_no, a.institution_id, a.region, a.must_change,
            s.factor, s.proved_at, s.last_seen_at, s.expires_at,
            exists (select 1 from totp t where t.account_id = a.id and t.confirmed_at is not null)
                or exists (select 1 from passkey p where p.account_id = a.id) as has_second
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

/// Ends all sessions of an account but one.
pub async fn end_others_of(tx: &mut Tx<'_>, account: AccountId, kept: i64) -> Result<()> {
    sqlx::query("delete from session where account_id = $1 and id <> $2")
        .bind(account.get())
        .bind(kept)
        .execute(&mut **tx)
        .await
        .db("end the other sessions of an account")?;
    Ok(())
}

/// Takes back the notice about new browsers: the owner has seen it.
pub async fn acknowledge(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    sqlx::query("update session set new_device = false where account_id = $1 and new_device")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("acknowledge new browsers")?;
    Ok(())
}

/// The sessions of an account that are alive, newest request first.
pub async fn list_of(
    pool: &PgPool,
    account: AccountId,
    lives: &Lives,
    now: DateTime<Utc>,
) -> Result<Vec<SessionRow>> {
    sqlx::query_as(
        "select id, token_digest, created_at, last_seen_at, address, agent, factor, new_device from session
         where account_id = $1 and expires_at > $2 and last_seen_at > $3 order by last_seen_at desc, id desc limit 50",
    )
    .bind(account.get())
    .bind(now)
    .bind(now - lives.idle)
    .fetch_all(pool)
    .await
    .db("list the sessions of an account")
}

/// Deletes sessions that have ended by themselves.
pub async fn purge(tx: &mut Tx<'_>, account: AccountId, lives: &Lives, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("delete from session where account_id = $1 and (expires_at <= $2 or last_seen_at <= $3)")
        .bind(account.get())
        .bind(now)
        .bind(now - lives.idle)
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
