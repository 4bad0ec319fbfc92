//! The tables `partner` and `partner_attempt`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::PgPool;

use super::NewPartner;
use crate::row::row;
use crate::secret::SecretDigest;

/// A partner.
#[derive(Debug, Clone)]
pub struct Partner {
    /// Identifier.
    pub id: i64,
    /// Whose staff it knows.
    pub institution_id: i32,
    /// On the sign-in page.
    pub name: String,
    /// Its name in tokens.
    pub issuer: String,
    /// The platform's name there.
    pub client_id: String,
    /// The platform's secret there, sealed.
    pub sealed_secret: Option<Vec<u8>>,
    /// The claim that holds the staff number.
    pub staff_claim: String,
    /// Who signs its server's certificate.
    pub authority: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who entered it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last sign-in through it.
    pub last_used_at: Option<DateTime<Utc>>,
}
row!(Partner {
    id,
    institution_id,
    name,
    issuer,
    client_id,
    sealed_secret,
    staff_claim,
    authority,
    state,
    created_by,
    created_at,
    last_used_at,
});

/// Partners by part of the name, newest first; only open ones where `open`.
pub async fn list(pool: &PgPool, text: &str, open: bool, limit: i64) -> Result<Vec<Partner>> {
    sqlx::query_as(
        "select id, institution_id, name, issuer, client_id, sealed_secret, staff_claim, authority, state, created_by,
                created_at, last_used_at
         from partner where (name ilike $1 or issuer ilike $1) and (not $2 or state = 'open') order by id desc limit $3",
    )
    .bind(format!("%{}%", text.trim().replace(['%', '_', '\\'], "")))
    .bind(open)
    .bind(limit)
    .fetch_all(pool)
    .await
    .db("list partners")
}

/// An open partner.
pub async fn open(pool: &PgPool, id: i64) -> Result<Option<Partner>> {
    sqlx::query_as(
        "select id, institution_id, name, issuer, client_id, sealed_secret, staff_claim, authority, state, created_by,
                created_at, last_used_at
         from partner where id = $1 and state = 'open'",
    )
    .bind(id)
    .fetch_optional(pool)
    .await
    .db("look up a partner")
}

/// Enters a partner.
pub async fn insert(
    tx: &mut Tx<'_>,
    new: &NewPartner,
    sealed: Option<&[u8]>,
    by: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    sqlx::query_scalar(
        "insert into partner (institution_id, name, issuer, client_id, sealed_secret, staff_claim, authority, created_by,
            created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(i32::try_from(new.institution.get()).unwrap_or(0))
    .bind(new.name.trim())
    .bind(&new.issuer)
    .bind(new.client_id.trim())
    .bind(sealed)
    .bind(new.staff_claim.trim())
    .bind(new.authority.trim())
    .bind(by)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("enter a partner")
}

/// Closes a partner; its name if it was open.
pub async fn close(tx: &mut Tx<'_>, id: i64) -> Result<Option<String>> {
    sqlx::query_scalar("update partner set state = 'closed' where id = $1 and state = 'open' returning name")
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
        .db("close a partner")
}

/// A sign-in under way.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// At which partner.
    pub partner_id: i64,
    /// What the identity token must repeat.
    pub nonce: String,
    /// PKCE.
    pub verifier: String,
    /// Where the person wanted to go.
    pub next: String,
}
row!(Attempt { partner_id, nonce, verifier, next });

/// Keeps a sign-in under way.
pub async fn begin(
    pool: &PgPool,
    state: &SecretDigest,
    attempt: &Attempt,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into partner_attempt (digest, partner_id, nonce, verifier, next, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(state.as_slice())
    .bind(attempt.partner_id)
    .bind(&attempt.nonce)
    .bind(&attempt.verifier)
    .bind(&attempt.next)
    .bind(expires_at)
    .execute(pool)
    .await
    .db("begin a sign-in at a partner")?;
    Ok(())
}

/// Takes a sign-in under way; it serves once.
pub async fn take(pool: &PgPool, state: &SecretDigest, now: DateTime<Utc>) -> Result<Option<Attempt>> {
    sqlx::query_as(
        "delete from partner_attempt where digest = $1 and expires_at > $2
         returning partner_id, nonce, verifier, next",
    )
    .bind(state.as_slice())
    .bind(now)
    .fetch_optional(pool)
    .await
    .db("take up a sign-in at a partner")
}

/// The accounts of an institution's staff number that are not closed, and writes down the use of the partner.
pub async fn accounts(
    pool: &PgPool,
    partner: &Partner,
    staff_no: &str,
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    sqlx::query("update partner set last_used_at = $2 where id = $1")
        .bind(partner.id)
        .bind(now)
        .execute(pool)
        .await
        .db("write down the last use of a partner")?;
    sqlx::query_scalar(
        "select id from account where institution_id = $1 and staff_no = $2 and state <> 'closed' order by id limit 2",
    )
    .bind(partner.institution_id)
    .bind(staff_no)
    .fetch_all(pool)
    .await
    .db("look up the account of a staff number")
}
