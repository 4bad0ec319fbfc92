//! The keys of the trail: a MAC for every entry, a signature for every segment. Both come from the platform's keyring,
//! whose master key lies outside of the database; so whoever can write to the database can still not make an entry or
//! a segment of their own.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use kernel::{Error, Result};
use protect::{Domain, Keyring, Signer};
use sha2::Sha256;

use crate::db::Db;
use crate::failure::DbDoing;

/// Bytes of a MAC that are kept.
const MAC_LENGTH: usize = 16;
/// The place for which the MAC keys are sealed.
const CONTEXT: &str = "audit.mac";
/// Name of the signing key in the keyring.
const SIGNER: &str = "audit";

/// The key of the entries' MACs, with the earlier ones for verification.
#[derive(Clone)]
pub struct MacKey {
    generation: u8,
    keys: Arc<Vec<(u8, [u8; 32])>>,
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MacKey({})", self.generation)
    }
}

impl MacKey {
    /// The MAC over an entry's canonical form: number of the key, then 16 bytes.
    pub fn mac(&self, form: &[u8]) -> Vec<u8> {
        self.under(self.generation, form).unwrap_or_default()
    }

    /// Whether a MAC was made with one of our keys over this form.
    pub fn accepts(&self, form: &[u8], mac: &[u8]) -> bool {
        let Some(generation) = mac.first() else { return false };
        self.under(*generation, form).is_some_and(|own| own.as_slice() == mac)
    }

    fn under(&self, generation: u8, form: &[u8]) -> Option<Vec<u8>> {
        let (_, key) = self.keys.iter().find(|(g, _)| *g == generation)?;
        let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        hmac.update(form);
        let mut mac = Vec::with_capacity(1 + MAC_LENGTH);
        mac.push(generation);
        mac.extend_from_slice(&hmac.finalize().into_bytes()[..MAC_LENGTH]);
        Some(mac)
    }
}

/// All keys of the trail.
#[derive(Debug, Clone)]
pub struct Keys {
    mac: MacKey,
    keyring: Keyring,
}

impl Keys {
    /// Opens the MAC keys with the keyring of `db`; makes the first one in a database that has none.
    pub async fn open(db: &Db, now: DateTime<Utc>) -> Result<Self> {
        let keyring = db.keyring().clone();
        let mut rows = stored(db).await?;
        if rows.is_empty() {
            let fresh = protect::random::<32>()?;
            let sealed = keyring.seal(Domain::Secrets, CONTEXT, &*fresh)?;
            // Of two processes that start at once, one wins.
            sqlx::query(
                "insert into audit_key (generation, sealed, at) values (1, $1, $2) on conflict do nothing",
            )
            .bind(sealed)
            .bind(now)
            .execute(db.pool())
            .await
            .db("keep the key of the audit trail")?;
            rows = stored(db).await?;
        }
        let mut keys = Vec::with_capacity(rows.len());
        for (generation, sealed) in rows {
            let secret = keyring.open(CONTEXT, &sealed)?;
            let secret: [u8; 32] = secret
                .try_into()
                .map_err(|_| Error::fault("open the key of the audit trail", "it has another length"))?;
            keys.push((u8::try_from(generation).unwrap_or(u8::MAX), secret));
        }
        let generation = keys.last().map_or(1, |(generation, _)| *generation);
        Ok(Self { mac: MacKey { generation, keys: Arc::new(keys) }, keyring })
    }

    /// The key of the entries' MACs.
    pub fn mac(&self) -> &MacKey {
        &self.mac
    }

    /// Who signs new segments.
    pub fn signer(&self) -> Result<Arc<dyn Signer>> {
        self.keyring.signer(SIGNER)
    }

    /// Whether a signature is of one of the platform's keys; `None`: nobody knows the key.
    pub fn genuine(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (algorithm, public) = self.keyring.public_key(key_id)?;
        Some(protect::verify(&algorithm, &public, message, signature))
    }
}

async fn stored(db: &Db) -> Result<Vec<(i16, Vec<u8>)>> {
    sqlx::query_as("select generation, sealed from audit_key order by generation")
        .fetch_all(db.pool())
        .await
        .db("read the keys of the audit trail")
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Appends lines to a file that only its owner may read, and waits until the disk has them.
pub(super) fn append(file: &Path, lines: &[String]) -> std::io::Result<()> {
    let mut out = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_of_one_content_and_one_key() {
        let key = |generation, keys: &[(u8, [u8; 32])]| MacKey { generation, keys: Arc::new(keys.to_vec()) };
        let first = key(1, &[(1, [7; 32])]);
        let mac = first.mac(b"entry");
        assert_eq!((mac.len(), mac[0]), (17, 1));
        assert!(first.accepts(b"entry", &mac) && !first.accepts(b"other", &mac));
        assert!(!first.accepts(b"entry", &[]) && !first.accepts(b"entry", &[9; 17]));
        // A new generation makes other MACs and still knows the earlier ones.
        let second = key(2, &[(1, [7; 32]), (2, [8; 32])]);
        assert!(second.accepts(b"entry", &mac) && second.mac(b"entry") != mac);
        assert!(!key(1, &[(1, [9; 32])]).accepts(b"entry", &mac));
    }
}
