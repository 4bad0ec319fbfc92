//! The tables of sign-ins at applications: `sso_grant`, `sso_code`, `sso_token`, `sso_assertion`, `sso_launch`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use crate::row::row;
use crate::secret::SecretDigest;

/// A sign-in at an application, about to be written.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Names it to the application.
    pub sid: String,
    /// The application.
    pub application: i64,
    /// Who signed in.
    pub account: i64,
    /// Their session here.
    pub session: i64,
    /// Whether it ends with the session.
    pub online: bool,
    /// Scopes.
    pub scopes: Vec<String>,
    /// How surely the person was recognised.
    pub factor: &'static str,
    /// When they proved who they are.
    pub auth_time: DateTime<Utc>,
    /// The application's nonce.
    pub nonce: Option<String>,
    /// The person whose record it is bound to.
    pub person: Option<i64>,
    /// The encounter it was opened from.
    pub encounter: String,
    /// Its end at the latest.
    pub expires_at: DateTime<Utc>,
}

/// A sign-in at an application with everything that tokens depend on.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Identifier.
    pub id: i64,
    /// Names it to the application.
    pub sid: String,
    /// The application.
    pub application_id: i64,
    /// Its name for protocols.
    pub client_id: String,
    /// Its name for people.
    pub application: String,
    /// Who signed in.
    pub account_id: i64,
    /// Scopes.
    pub scopes: Vec<String>,
    /// How surely the person was recognised.
    pub factor: String,
    /// When they proved who they are.
    pub auth_time: DateTime<Utc>,
    /// The application's nonce.
    pub nonce: Option<String>,
    /// The person whose record it is bound to.
    pub person_id: Option<i64>,
    /// The encounter it was opened from.
    pub encounter: String,
    /// Its end at the latest.
    pub expires_at: DateTime<Utc>,
    /// Whether it is alive: not ended, its session alive where it depends on it, account and application open.
    pub alive: bool,
}
row!(Grant {
    id,
    sid,
    application_id,
    client_id,
    application,
    account_id,
    scopes,
    factor,
    auth_time,
    nonce,
    person_id,
    encounter,
    expires_at,
    alive,
});

/// Writes a sign-in at an application.
pub async fn insert_grant(tx: &mut Tx<'_>, new: &NewGrant, now: DateTime<Utc>) -> Result<i64> {
    sqlx::query_scalar(
        "insert into sso_grant (sid, application_id, account_id, session_id, online, scopes, factor, auth_time, nonce,
            person_id, encounter, created_at, last_used_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13) returning id",
    )
    .bind(&new.sid)
    .bind(new.application)
    .bind(new.account)
    .bind(new.session)
    .bind(new.online)
    .bind(&new.scopes)
    .bind(new.factor)
    .bind(new.auth_time)
    .bind(&new.nonce)
    .bind(new.person)
    .bind(&new.encounter)
    .bind(now)
    .bind(new.expires_at)
    .fetch_one(&mut **tx)
    .await
    .db("write a sign-in at an application")
}

/// A sign-in at an application.
pub async fn grant(tx: &mut Tx<'_>, id: i64, now: DateTime<Utc>) -> Result<Option<Grant>> {
    sqlx::query_as(
        "select g.id, g.sid, g.application_id, p.client_id, p.name as application, g.account_id, g.scopes, g.factor,
                g.auth_time, g.nonce, g.person_id, g.encounter, g.expires_at,
                g.ended_at is null and g.expires_at > $2 and a.state = 'open' and p.state = 'open'
                    and (not g.online or s.expires_at > $2) is true as alive
         from sso_grant g join application p on p.id = g.application_id join account a on a.id = g.account_id
         left join session s on s.id = g.session_id
         where g.id = $1",
    )
    .bind(id)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("look up a sign-in at an application")
}

/// Ends a sign-in at an application with all its codes and tokens; whether it was alive.
pub async fn end_grant(tx: &mut Tx<'_>, id: i64, reason: &str, now: DateTime<Utc>) -> Result<bool> {
    let done =
        sqlx::query("update sso_grant set ended_at = $2, end_reason = $3 where id = $1 and ended_at is null")
            .bind(id)
            .bind(now)
            .bind(reason)
            .execute(&mut **tx)
            .await
            .db("end a sign-in at an application")?;
    sqlx::query("delete from sso_token where grant_id = $1 and kind = 'access'")
        .bind(id)
        .execute(&mut **tx)
        .await
        .db("end the access tokens of a sign-in")?;
    Ok(done.rows_affected() > 0)
}

/// Keeps a code.
pub async fn insert_code(
    tx: &mut Tx<'_>,
    digest: &SecretDigest,
    grant: i64,
    redirect_uri: &str,
    challenge: &str,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into sso_code (digest, grant_id, redirect_uri, challenge, expires_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(digest.as_slice())
    .bind(grant)
    .bind(redirect_uri)
    .bind(challenge)
    .bind(expires_at)
    .execute(&mut **tx)
    .await
    .db("keep an authorization code")?;
    Ok(())
}

/// A code as it is presented.
#[derive(Debug, Clone)]
pub struct Code {
    /// What it belongs to.
    pub grant_id: i64,
    /// Where it was sent.
    pub redirect_uri: String,
    /// PKCE.
    pub challenge: String,
    /// Its end.
    pub expires_at: DateTime<Utc>,
    /// When it was exchanged.
    pub used_at: Option<DateTime<Utc>>,
}
row!(Code { grant_id, redirect_uri, challenge, expires_at, used_at });

/// A code, locked: two that come with it at once come one after the other.
pub async fn take_code(tx: &mut Tx<'_>, digest: &SecretDigest) -> Result<Option<Code>> {
    sqlx::query_as(
        "select grant_id, redirect_uri, challenge, expires_at, used_at from sso_code where digest = $1 for update",
    )
    .bind(digest.as_slice())
    .fetch_optional(&mut **tx)
    .await
    .db("look up an authorization code")
}

/// Uses a code up.
pub async fn use_code(tx: &mut Tx<'_>, digest: &SecretDigest, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update sso_code set used_at = $2 where digest = $1 and used_at is null")
        .bind(digest.as_slice())
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("use up an authorization code")?;
    Ok(())
}

/// A token about to be written.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// SHA-256.
    pub digest: SecretDigest,
    /// `access` or `refresh`.
    pub kind: &'static str,
    /// The sign-in it belongs to.
    pub grant: Option<i64>,
    /// Or the machine client.
    pub client: Option<i64>,
    /// Scopes.
    pub scopes: &'a [String],
    /// The certificate that it is bound to.
    pub certificate: Option<SecretDigest>,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

/// Keeps a token.
pub async fn insert_token(tx: &mut Tx<'_>, new: &NewToken<'_>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query(
        "insert into sso_token (digest, kind, grant_id, client_id, scopes, certificate, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.digest.as_slice())
    .bind(new.kind)
    .bind(new.grant)
    .bind(new.client)
    .bind(new.scopes)
    .bind(new.certificate.as_ref().map(|d| d.to_vec()))
    .bind(now)
    .bind(new.expires_at)
    .execute(&mut **tx)
    .await
    .db("keep a token")?;
    Ok(())
}

/// A token as it is presented.
#[derive(Debug, Clone)]
pub struct Token {
    /// `access` or `refresh`.
    pub kind: String,
    /// The sign-in it belongs to.
    pub grant_id: Option<i64>,
    /// Or the machine client.
    pub client_id: Option<i64>,
    /// Scopes.
    pub scopes: Vec<String>,
    /// The certificate that it is bound to.
    pub certificate: Option<Vec<u8>>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// Its end.
    pub expires_at: DateTime<Utc>,
    /// When it was exchanged for its successor.
    pub used_at: Option<DateTime<Utc>>,
}
row!(Token { kind, grant_id, client_id, scopes, certificate, created_at, expires_at, used_at });

/// A token.
pub async fn token(pool: &PgPool, digest: &SecretDigest) -> Result<Option<Token>> {
    sqlx::query_as(
        "select kind, grant_id, client_id, scopes, certificate, created_at, expires_at, used_at from sso_token
         where digest = $1",
    )
    .bind(digest.as_slice())
    .fetch_optional(pool)
    .await
    .db("look up a token")
}

/// A refresh token, locked.
pub async fn take_refresh(tx: &mut Tx<'_>, digest: &SecretDigest) -> Result<Option<Token>> {
    sqlx::query_as(
        "select kind, grant_id, client_id, scopes, certificate, created_at, expires_at, used_at from sso_token
         where digest = $1 and kind = 'refresh' for update",
    )
    .bind(digest.as_slice())
    .fetch_optional(&mut **tx)
    .await
    .db("look up a refresh token")
}

/// Marks a refresh token as exchanged, and its sign-in as used.
pub async fn use_refresh(
    tx: &mut Tx<'_>,
    digest: &SecretDigest,
    grant: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("update sso_token set used_at = $2 where digest = $1")
        .bind(digest.as_slice())
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("exchange a refresh token")?;
    sqlx::query("update sso_grant set last_used_at = $2 where id = $1")
        .bind(grant)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("write down the last use of a sign-in")?;
    Ok(())
}

/// Deletes a token.
pub async fn delete_token(tx: &mut Tx<'_>, digest: &SecretDigest) -> Result<()> {
    sqlx::query("delete from sso_token where digest = $1")
        .bind(digest.as_slice())
        .execute(&mut **tx)
        .await
        .db("revoke a token")?;
    Ok(())
}

/// Uses a client assertion up; `false` when it was used before.
pub async fn use_assertion(
    pool: &PgPool,
    issuer: &str,
    jti: &str,
    expires_at: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "insert into sso_assertion (issuer, jti, expires_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(issuer)
    .bind(jti)
    .bind(expires_at)
    .execute(pool)
    .await
    .db("use up a client assertion")?;
    Ok(done.rows_affected() == 1)
}

/// Keeps a launch.
pub async fn insert_launch(
    tx: &mut Tx<'_>,
    digest: &SecretDigest,
    application: i64,
    account: i64,
    person: i64,
    encounter: &str,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into sso_launch (digest, application_id, account_id, person_id, encounter, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(digest.as_slice())
    .bind(application)
    .bind(account)
    .bind(person)
    .bind(encounter)
    .bind(expires_at)
    .execute(&mut **tx)
    .await
    .db("keep a launch")?;
    Ok(())
}

/// The person and encounter of a launch of this application by this account, used up.
pub async fn take_launch(
    tx: &mut Tx<'_>,
    digest: &SecretDigest,
    application: i64,
    account: i64,
    now: DateTime<Utc>,
) -> Result<Option<(i64, String)>> {
    sqlx::query_as(
        "delete from sso_launch where digest = $1 and application_id = $2 and account_id = $3 and expires_at > $4
         returning person_id, encounter",
    )
    .bind(digest.as_slice())
    .bind(application)
    .bind(account)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
    .db("look up a launch")
}

/// Deletes what has expired. A used refresh token is kept as long as its sign-in, to notice when it comes again.
pub async fn purge(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<()> {
    for (sql, doing) in [
        ("delete from sso_code where expires_at < $1 - interval '1 day'", "purge codes"),
        ("delete from sso_token where kind = 'access' and expires_at < $1", "purge access tokens"),
        (
            "delete from sso_token where kind = 'refresh' and expires_at < $1 - interval '1 day'",
            "purge refresh tokens",
        ),
        ("delete from sso_assertion where expires_at < $1", "purge client assertions"),
        ("delete from sso_launch where expires_at < $1", "purge launches"),
        ("delete from partner_attempt where expires_at < $1", "purge sign-ins under way at partners"),
        (
            "delete from program_credential where expires_at < $1 - interval '30 days'",
            "purge replaced credentials",
        ),
        (
            "delete from sso_grant where expires_at < $1 - interval '90 days'",
            "purge sign-ins at applications",
        ),
    ] {
        sqlx::query(sql).bind(now).execute(&mut **tx).await.db(doing)?;
    }
    Ok(())
}
