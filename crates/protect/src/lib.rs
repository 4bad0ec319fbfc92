//! Protection of data (数据保护): keys, encryption of fields, blind indexes, signatures, de-identification.
//! No database and no network: where keys are kept is the business of `store::keys`.
//!
//! - [`Keyring`]: the keys of this process, unwrapped. `seal`/`open` for bytes, `seal_text`/`open_text` for columns,
//!   `blind` for searching by equality, `signer` for signatures.
//! - [`provider`]: the master key that wraps them all: a file, an environment variable, a hardware module.
//! - [`sign`]: SM2 with SM3 and Ed25519.
//! - [`partner`]: the forms in which partners want SM4 and digests written.
//! - [`deidentify`]: rules after GB/T 37964 and GB/T 39725, and the k-anonymity report.

pub mod cipher;
pub mod deidentify;
pub mod hash;
mod keyring;
mod nonce;
pub mod partner;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod provider;
pub mod sign;

pub use cipher::Cipher;
pub use hash::{Hash, normal};
pub use keyring::{Blinder, Domain, Key, KeyState, Keyring, Opener, Purpose, Sealer, is_sealed, sealed_with};
pub use provider::KeyProvider;
pub use sign::{Signer, Verdict, verify};

use kernel::{Error, Result};
use zeroize::Zeroizing;

/// Random bytes of the operating system.
///
/// # Errors
/// When the operating system has none to give.
pub fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|e| Error::fault("draw random bytes", e.to_string()))?;
    Ok(bytes)
}
