//! The tables `certificate_authority`, `revoked_certificate` and `account_certificate`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::{AccountId, Result};
use sqlx::PgPool;

use super::x509::{Certificate, Revoked};
use crate::row::row;
use crate::{certificate, secret};

/// An authority.
#[derive(Debug, Clone)]
pub struct AuthorityRow {
    /// Names it.
    pub id: i64,
    /// As people call it.
    pub name: String,
    /// Its certificate.
    pub der: Vec<u8>,
    /// Whom that names.
    pub subject: String,
    /// Whether its key is an SM2 key.
    pub sm2: bool,
    /// Its end.
    pub not_after: DateTime<Utc>,
    /// When its revocation list was made.
    pub crl_at: Option<DateTime<Utc>>,
    /// When the next one is due.
    pub crl_next: Option<DateTime<Utc>>,
}
row!(AuthorityRow { id, name, der, subject, sm2, not_after, crl_at, crl_next });

/// A certificate of an account.
#[derive(Debug, Clone)]
pub struct BoundRow {
    /// Names it.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// The authority; `None` when it is believed no more.
    pub authority_id: Option<i64>,
    /// Whom it names.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Its number at the issuer, hexadecimal.
    pub serial: String,
    /// Whether its key is an SM2 key.
    pub sm2: bool,
    /// Its end.
    pub not_after: DateTime<Utc>,
    /// Last sign-in by it.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether the authority has revoked it.
    pub revoked: bool,
}
row!(BoundRow {
    id,
    account_id,
    authority_id,
    subject,
    issuer,
    serial,
    sm2,
    not_after,
    last_used_at,
    revoked
});

/// Every authority, by name.
pub async fn authorities(pool: &PgPool) -> Result<Vec<AuthorityRow>> {
    sqlx::query_as("select * from certificate_authority order by name, id")
        .fetch_all(pool)
        .await
        .db("list authorities")
}

/// A bound certificate by its SHA-256.
pub async fn by_fingerprint(pool: &PgPool, digest: &[u8; 32]) -> Result<Option<BoundRow>> {
    sqlx::query_as(
        "select c.*, exists (select 1 from revoked_certificate r where r.authority_id = c.authority_id
            and r.serial = decode(c.serial, 'hex')) as revoked
         from account_certificate c where c.fingerprint = $1",
    )
    .bind(digest.as_slice())
    .fetch_optional(pool)
    .await
    .db("look up a certificate")
}

/// The certificates of an account.
pub async fn of_account(pool: &PgPool, account: AccountId) -> Result<Vec<BoundRow>> {
    sqlx::query_as(
        "select c.*, exists (select 1 from revoked_certificate r where r.authority_id = c.authority_id
            and r.serial = decode(c.serial, 'hex')) as revoked
         from account_certificate c where c.account_id = $1 order by c.id",
    )
    .bind(account.get())
    .fetch_all(pool)
    .await
    .db("list the certificates of an account")
}

/// Whether an authority has revoked a number.
pub async fn is_revoked(tx: &mut Tx<'_>, authority: i64, serial: &[u8]) -> Result<bool> {
    sqlx::query_scalar(
        "select exists (select 1 from revoked_certificate where authority_id = $1 and serial = $2)",
    )
    .bind(authority)
    .bind(serial)
    .fetch_one(&mut **tx)
    .await
    .db("look into a revocation list")
}

/// Binds a certificate; `false` when it is bound already.
pub async fn bind(
    tx: &mut Tx<'_>,
    account: AccountId,
    certificate: &Certificate,
    authority: i64,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "insert into account_certificate (account_id, fingerprint, authority_id, subject, issuer, serial, sm2, not_after,
            bound_by, bound_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing",
    )
    .bind(account.get())
    .bind(certificate::digest(&certificate.der).as_slice())
    .bind(authority)
    .bind(&certificate.subject)
    .bind(&certificate.issuer)
    .bind(secret::hex(&certificate.serial))
    .bind(certificate.sm2)
    .bind(certificate.not_after)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("bind a certificate")?;
    Ok(done.rows_affected() == 1)
}

/// Takes a certificate off an account; whom it named.
pub async fn unbind(tx: &mut Tx<'_>, account: AccountId, bound: i64) -> Result<Option<String>> {
    sqlx::query_scalar("delete from account_certificate where account_id = $1 and id = $2 returning subject")
        .bind(account.get())
        .bind(bound)
        .fetch_optional(&mut **tx)
        .await
        .db("take a certificate off an account")
}

/// Notes a sign-in.
pub async fn note_use(tx: &mut Tx<'_>, bound: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("update account_certificate set last_used_at = $2 where id = $1")
        .bind(bound)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("note the use of a certificate")?;
    Ok(())
}

/// Enters an authority; `false` when it is known already.
pub async fn add_authority(
    tx: &mut Tx<'_>,
    name: &str,
    certificate: &Certificate,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "insert into certificate_authority (name, der, fingerprint, subject, sm2, not_after, added_by, added_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(name)
    .bind(&certificate.der)
    .bind(certificate::digest(&certificate.der).as_slice())
    .bind(&certificate.subject)
    .bind(certificate.sm2)
    .bind(certificate.not_after)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("enter an authority")?;
    Ok(done.rows_affected() == 1)
}

/// Replaces the revocation list of an authority; the accounts whose sessions ended because a certificate of theirs is on
/// it.
pub async fn set_list(tx: &mut Tx<'_>, authority: i64, list: &Revoked) -> Result<Vec<i64>> {
    sqlx::query("update certificate_authority set crl_at = $2, crl_next = $3 where id = $1")
        .bind(authority)
        .bind(list.at)
        .bind(list.next)
        .execute(&mut **tx)
        .await
        .db("take up a revocation list")?;
    sqlx::query("delete from revoked_certificate where authority_id = $1")
        .bind(authority)
        .execute(&mut **tx)
        .await
        .db("take up a revocation list")?;
    sqlx::query(
        "insert into revoked_certificate (authority_id, serial) select distinct $1, unnest($2::bytea[])",
    )
    .bind(authority)
    .bind(&list.serials)
    .execute(&mut **tx)
    .await
    .db("take up a revocation list")?;
    sqlx::query_scalar(
        "delete from session s using account_certificate c, revoked_certificate r
         where s.account_id = c.account_id and s.factor = 'certificate' and c.authority_id = $1
           and r.authority_id = $1 and r.serial = decode(c.serial, 'hex') returning s.account_id",
    )
    .bind(authority)
    .fetch_all(&mut **tx)
    .await
    .db("end the sessions of revoked certificates")
}

/// Takes an authority away; what it was called.
pub async fn remove_authority(tx: &mut Tx<'_>, authority: i64) -> Result<Option<String>> {
    sqlx::query_scalar("delete from certificate_authority where id = $1 returning name")
        .bind(authority)
        .fetch_optional(&mut **tx)
        .await
        .db("take an authority away")
}
