//! Sealing the secrets of second factors at rest: the one place that does it.

use kernel::{Error, Result};
use protect::{Domain, Keyring};
use store::reseal::{Part, PartColumn};

use crate::secret;

/// What the ciphertext is bound to.
const PLACE: &str = "totp.secret";

/// Seals a secret for its column.
pub fn seal(keys: &Keyring, plain: &[u8]) -> Result<String> {
    keys.seal_text(Domain::Secrets, PLACE, &secret::hex(plain))
}

/// Opens what [`seal`] made.
pub fn open(keys: &Keyring, sealed: &str) -> Result<Vec<u8>> {
    let text = keys.open_text(PLACE, sealed)?;
    secret::unhex(&text).ok_or_else(|| Error::fault("open the secret of a second factor", "not hexadecimal"))
}

/// The sealed columns, for the job that writes them anew under another key.
pub fn parts() -> Vec<Part> {
    vec![Part {
        table: "totp".to_owned(),
        domain: Domain::Secrets,
        columns: vec![PartColumn::text("secret", PLACE)],
    }]
}
