//! Sealing the secrets of second factors at rest: the one place that does it.

use kernel::{Error, Result};

/// Says how what follows was sealed, so that it can be told apart and sealed anew later.
const PLAIN: u8 = 0;

/// Seals a secret for the database.
pub fn seal(secret: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = Vec::with_capacity(secret.len() + 1);
    sealed.push(PLAIN);
    sealed.extend_from_slice(secret);
    Ok(sealed)
}

/// Opens what [`seal`] made.
pub fn open(sealed: &[u8]) -> Result<Vec<u8>> {
    match sealed.split_first() {
        Some((&PLAIN, secret)) => Ok(secret.to_vec()),
        _ => Err(Error::fault("open the secret of a second factor", "sealed in an unknown way")),
    }
}
