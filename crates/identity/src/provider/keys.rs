//! Keys that sign identity tokens (签名密钥): drawn, announced, in use, retired.
//!
//! ```text
//! announced ──(sso.key_notice_hours)──► in use ──(a successor begins)──► retired, still shown ──► gone
//! ```
//! A key is shown in the key set before it signs, so that applications which keep the set know it in time, and after
//! it has ceased to sign, until what it signed has expired. The very first key signs at once.

use std::sync::Arc;

use ::store::{AuditEntry, DbDoing, Tx, audit};
use chrono::{DateTime, Duration, Utc};
use kernel::error::Doing;
use kernel::{Caller, Error, Purpose, Result};
use protect::Domain;
use serde_json::json;

use crate::Identity;
use crate::jose::{Jwk, Jwks, SigningKey};
use crate::row::row;

/// How long a key is shown after its successor has begun: longer than any token lives, and than key sets are kept.
const SHOWN_AFTER: Duration = Duration::hours(48);
/// How long the keys of this process are kept before the table is asked again.
const KEEP: Duration = Duration::seconds(60);

/// What a sealed key is bound to.
const SEALED: &str = "sso_key.sealed";

/// A key in the table.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Names it.
    pub kid: String,
    /// The private half, sealed.
    pub sealed: Vec<u8>,
    /// The public half.
    pub public_jwk: serde_json::Value,
    /// Who drew it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it begins to sign.
    pub signs_from: DateTime<Utc>,
    /// Until when it is shown, once a successor has begun.
    pub shown_until: Option<DateTime<Utc>>,
}
row!(KeyRow { kid, sealed, public_jwk, created_by, created_at, signs_from, shown_until });

/// The keys as this process knows them.
#[derive(Debug, Clone)]
pub struct Ring {
    /// The one that signs.
    pub signing: Arc<SigningKey>,
    /// All that are shown.
    pub shown: Jwks,
    read_at: DateTime<Utc>,
}

/// How a key comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The very first; nothing when somebody else was faster.
    First,
    /// Announced, then in use.
    Announced,
    /// In use at once, for when a key may have become known.
    AtOnce,
}

impl Identity {
    /// Every key that is shown, newest first.
    pub(crate) async fn sso_keys(&self) -> Result<Vec<KeyRow>> {
        sqlx::query_as(
            "select kid, sealed, public_jwk, created_by, created_at, signs_from, shown_until from sso_key
             where shown_until is null or shown_until > $1 order by signs_from desc, kid",
        )
        .bind(self.clock.now())
        .fetch_all(self.db.pool())
        .await
        .db("read the signing keys")
    }

    /// The keys in force; draws the first one if there is none.
    pub(crate) async fn sso_ring(&self) -> Result<Arc<Ring>> {
        let now = self.clock.now();
        let kept = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(ring) = kept.filter(|ring| now - ring.read_at < KEEP && now >= ring.read_at) {
            return Ok(ring);
        }
        let mut rows = self.sso_keys().await?;
        if rows.is_empty() {
            self.sso_rotate(&Caller::system("系统"), Turn::First).await?;
            rows = self.sso_keys().await?;
        }
        let in_use = rows
            .iter()
            .find(|key| key.signs_from <= now)
            .or(rows.last())
            .ok_or_else(|| Error::fault("sign a token", "there is no key"))?;
        let signing = SigningKey::open(&self.db.keyring().open(SEALED, &in_use.sealed)?)?;
        let keys = rows
            .iter()
            .map(|key| serde_json::from_value::<Jwk>(key.public_jwk.clone()).doing("read a public key"))
            .collect::<Result<_>>()?;
        let ring = Arc::new(Ring { signing: Arc::new(signing), shown: Jwks { keys }, read_at: now });
        *self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(ring.clone());
        Ok(ring)
    }

    /// Draws a key.
    pub async fn sso_rotate(&self, by: &Caller, turn: Turn) -> Result<()> {
        let now = self.clock.now();
        let pkcs8 = SigningKey::draw()?;
        let key = SigningKey::open(&pkcs8)?;
        let sealed = self.db.keyring().seal(Domain::Secrets, SEALED, &pkcs8)?;
        let public = serde_json::to_value(key.public()).doing("write a public key")?;
        let notice = Duration::hours(self.options.whole("sso.key_notice_hours"));
        self.db
            .transaction(async |tx| {
                lock(tx).await?;
                let others: i64 = sqlx::query_scalar(
                    "select count(*) from sso_key where shown_until is null or shown_until > $1",
                )
                .bind(now)
                .fetch_one(&mut **tx)
                .await
                .db("count the signing keys")?;
                // Two processes that start together must not both draw the first key.
                if others > 0 && turn == Turn::First {
                    return Ok(());
                }
                if turn == Turn::AtOnce {
                    sqlx::query("delete from sso_key where signs_from > $1")
                        .bind(now)
                        .execute(&mut **tx)
                        .await
                        .db("drop signing keys that were only announced")?;
                }
                let signs_from = if others > 0 && turn == Turn::Announced { now + notice } else { now };
                sqlx::query(
                    "insert into sso_key (kid, sealed, public_jwk, created_by, created_at, signs_from)
                     values ($1, $2, $3, $4, $5, $6)",
                )
                .bind(&key.kid)
                .bind(&sealed)
                .bind(&public)
                .bind(&by.name)
                .bind(now)
                .bind(signs_from)
                .execute(&mut **tx)
                .await
                .db("keep a signing key")?;
                sqlx::query("update sso_key set shown_until = $2 where kid <> $1 and shown_until is null")
                    .bind(&key.kid)
                    .bind(signs_from + SHOWN_AFTER)
                    .execute(&mut **tx)
                    .await
                    .db("retire the earlier signing keys")?;
                let entry = AuditEntry {
                    act: "sso.key",
                    object_kind: "sso_key",
                    object_label: key.kid.clone(),
                    detail: Some(json!({ "signs_from": signs_from, "at_once": turn == Turn::AtOnce })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await
            })
            .await?;
        *self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(())
    }

    /// Takes a retired key out of the key set at once: what it signed is believed by nobody any more.
    pub(crate) async fn sso_withdraw(&self, kid: &str, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let done = sqlx::query(
                    "update sso_key set shown_until = $2 where kid = $1 and shown_until > $2 and signs_from <= $2",
                )
                .bind(kid)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("withdraw a signing key")?;
                if done.rows_affected() == 0 {
                    return Err(kernel::Refusal::conflict(
                        "sso.key_in_use",
                        "这把密钥仍在使用或已撤下。请先“立即更换”，再撤下旧密钥。",
                    )
                    .into());
                }
                let entry = AuditEntry {
                    act: "sso.key_withdraw",
                    object_kind: "sso_key",
                    object_label: kid.to_owned(),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await
            })
            .await?;
        *self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(())
    }

    /// Draws a successor when the newest key has served its time; removes keys that are shown no more.
    pub(crate) async fn sso_rotate_if_due(&self) -> Result<()> {
        let now = self.clock.now();
        let keys = self.sso_keys().await?;
        let days = Duration::days(self.options.whole("sso.key_days"));
        if keys.first().is_some_and(|key| now - key.signs_from >= days) {
            self.sso_rotate(&Caller::system("系统"), Turn::Announced).await?;
        }
        sqlx::query("delete from sso_key where shown_until < $1")
            .bind(now)
            .execute(self.db.pool())
            .await
            .db("remove old signing keys")?;
        Ok(())
    }
}

/// One at a time draws keys.
async fn lock(tx: &mut Tx<'_>) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('minkang.sso_key', 0))")
        .execute(&mut **tx)
        .await
        .db("wait for the signing keys")?;
    Ok(())
}
