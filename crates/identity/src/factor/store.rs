//! The tables `totp` and `recovery_code`.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::{AccountId, Result};
use sqlx::PgPool;

use super::{code, sealed};
use crate::row::row;
use crate::secret;

/// Recovery codes given at once.
pub const RECOVERY_CODES: usize = 10;

/// What an account has beside its password.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factors {
    /// One-time codes, confirmed.
    pub code: bool,
    /// Number of passkeys.
    pub passkeys: i64,
    /// Recovery codes left.
    pub recovery: i64,
    /// Number of certificates.
    pub certificates: i64,
}
row!(Factors { code, passkeys, recovery, certificates });

impl Factors {
    /// Whether sign-in asks for more than the password.
    pub fn second(&self) -> bool {
        self.code || self.passkeys > 0
    }
}

/// What an account has.
pub async fn of(pool: &PgPool, account: AccountId) -> Result<Factors> {
    sqlx::query_as(
        "select exists (select 1 from totp where account_id = $1 and confirmed_at is not null) as code,
            (select count(*) from passkey where account_id = $1) as passkeys,
            (select count(*) from recovery_code where account_id = $1 and used_at is null) as recovery,
            (select count(*) from account_certificate where account_id = $1) as certificates",
    )
    .bind(account.get())
    .fetch_one(pool)
    .await
    .db("look up the factors of an account")
}

/// The secret of an enrolment under way; begins one when there is none. `None` when codes are in use already.
pub async fn begin(tx: &mut Tx<'_>, account: AccountId, now: DateTime<Utc>) -> Result<Option<Vec<u8>>> {
    let fresh = secret::random_key()?;
    let fresh = sealed::seal(tx.keyring(), fresh.get(..code::SECRET_BYTES).unwrap_or(&fresh))?;
    sqlx::query(
        "insert into totp (account_id, secret, created_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(account.get())
    .bind(fresh)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("begin the enrolment of one-time codes")?;
    let kept: Option<String> =
        sqlx::query_scalar("select secret from totp where account_id = $1 and confirmed_at is null")
            .bind(account.get())
            .fetch_optional(&mut **tx)
            .await
            .db("read the enrolment of one-time codes")?;
    kept.map(|kept| sealed::open(tx.keyring(), &kept)).transpose()
}

/// Uses up a code of confirmed one-time codes (or, with `enrolling`, of an enrolment under way and confirms it); whether
/// it was right. A code serves once: the row is locked while it is looked at.
pub async fn use_code(
    tx: &mut Tx<'_>,
    account: AccountId,
    given: &str,
    enrolling: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let kept: Option<(String, i64)> = sqlx::query_as(
        "select secret, last_step from totp where account_id = $1 and (confirmed_at is null) = $2 for update",
    )
    .bind(account.get())
    .bind(enrolling)
    .fetch_optional(&mut **tx)
    .await
    .db("read the secret of one-time codes")?;
    let Some((kept, last)) = kept else { return Ok(false) };
    let Some(step) = code::matching(&sealed::open(tx.keyring(), &kept)?, given, last, now) else {
        return Ok(false);
    };
    sqlx::query(
        "update totp set last_step = $2, confirmed_at = coalesce(confirmed_at, $3) where account_id = $1",
    )
    .bind(account.get())
    .bind(step)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("use up a one-time code")?;
    Ok(true)
}

/// Takes one-time codes and recovery codes away.
pub async fn remove(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
    sqlx::query("delete from totp where account_id = $1")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("take one-time codes away")?;
    sqlx::query("delete from recovery_code where account_id = $1")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("take recovery codes away")?;
    Ok(())
}

/// New recovery codes in place of the former ones; shown once.
pub async fn new_recovery(tx: &mut Tx<'_>, account: AccountId, now: DateTime<Utc>) -> Result<Vec<String>> {
    sqlx::query("delete from recovery_code where account_id = $1")
        .bind(account.get())
        .execute(&mut **tx)
        .await
        .db("replace recovery codes")?;
    let codes = (0..RECOVERY_CODES).map(|_| secret::random_code()).collect::<Result<Vec<_>>>()?;
    let digests: Vec<Vec<u8>> = codes.iter().map(|code| secret::digest(&plain(code)).to_vec()).collect();
    sqlx::query(
        "insert into recovery_code (account_id, digest, created_at) select $1, unnest($2::bytea[]), $3",
    )
    .bind(account.get())
    .bind(digests)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("keep recovery codes")?;
    Ok(codes)
}

/// Uses up a recovery code; whether it was one that had not been used.
pub async fn use_recovery(
    tx: &mut Tx<'_>,
    account: AccountId,
    given: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        "update recovery_code set used_at = $3 where account_id = $1 and digest = $2 and used_at is null",
    )
    .bind(account.get())
    .bind(secret::digest(&plain(given)).as_slice())
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("use up a recovery code")?;
    Ok(done.rows_affected() == 1)
}

/// A recovery code as it is digested: people leave out hyphens and write capitals.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}
