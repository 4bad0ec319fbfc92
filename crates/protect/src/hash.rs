//! SHA-256 and SM3 (GB/T 32905), plain and keyed; the normal form of values that are looked for by equality.

use hmac::{Hmac, KeyInit, Mac};
use kernel::{Error, Result};
use sha2::{Digest, Sha256};
use sm3::Sm3;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SM3.
    Sm3,
}

impl Hash {
    /// The digest of bytes.
    pub fn digest(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            Hash::Sha256 => Sha256::digest(bytes).into(),
            Hash::Sm3 => Sm3::digest(bytes).into(),
        }
    }

    /// The keyed digest of bytes.
    ///
    /// # Errors
    /// None in practice: keys of every length are taken.
    pub fn keyed(self, key: &[u8], bytes: &[u8]) -> Result<[u8; 32]> {
        let algorithm = match self {
            Hash::Sha256 => HMAC_SHA_256,
            Hash::Sm3 => HMAC_SM3,
        };
        Ok(Keyed::new(algorithm, key)?.digest(&[bytes]))
    }
}

/// Name of HMAC with SHA-256 in tables.
pub const HMAC_SHA_256: &str = "hmac-sha-256";
/// Name of HMAC with SM3 in tables.
pub const HMAC_SM3: &str = "hmac-sm3";

/// A keyed hash whose key is set up once.
#[derive(Clone)]
pub(crate) enum Keyed {
    Sha256(Hmac<Sha256>),
    Sm3(Hmac<Sm3>),
}

impl Keyed {
    pub(crate) fn new(algorithm: &str, key: &[u8]) -> Result<Self> {
        let wrong = |e: hmac::digest::InvalidLength| Error::fault("set up a keyed hash", e.to_string());
        match algorithm {
            HMAC_SHA_256 => Ok(Keyed::Sha256(Hmac::new_from_slice(key).map_err(wrong)?)),
            HMAC_SM3 => Ok(Keyed::Sm3(Hmac::new_from_slice(key).map_err(wrong)?)),
            other => Err(Error::fault("find a keyed hash", format!("unknown algorithm {other}"))),
        }
    }

    pub(crate) fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        fn run<M: Mac + Clone>(mac: &M, parts: &[&[u8]]) -> M {
            let mut mac = mac.clone();
            for part in parts {
                mac.update(part);
            }
            mac
        }
        let mut out = [0; 32];
        match self {
            Keyed::Sha256(mac) => out.copy_from_slice(&run(mac, parts).finalize().into_bytes()),
            Keyed::Sm3(mac) => out.copy_from_slice(&run(mac, parts).finalize().into_bytes()),
        }
        out
    }
}

/// The form in which a number is looked for: letters and digits only, half-width, capitals. `138-0013 8000` and
/// `１３８００１３８０００` are the same telephone.
pub fn normal(value: &str) -> String {
    value
        .chars()
        .map(|c| match c {
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
            c => c,
        })
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // GB/T 32905-2016, annex A.
    #[test]
    fn sm3_standard_vectors() {
        for (text, digest) in [
            ("abc".to_owned(), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
            ("abcd".repeat(16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
        ] {
            assert_eq!(hex::encode(Hash::Sm3.digest(text.as_bytes())), digest);
        }
    }

    // RFC 4231 case 2; FIPS 180 "abc".
    #[test]
    fn sha_standard_vectors() {
        assert_eq!(
            hex::encode(Hash::Sha256.digest(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex::encode(Hash::Sha256.keyed(b"Jefe", b"what do ya want for nothing?").unwrap()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    // RFC 2104 written out with SM3: the inner and outer pad over a block of 64 bytes.
    #[test]
    fn hmac_sm3_is_hmac_over_sm3() {
        let (key, text) = ([3u8; 20], b"13800138000");
        let pad =
            |byte: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ byte).collect() };
        let inner = Hash::Sm3.digest(&[pad(0x36), text.to_vec()].concat());
        let outer = Hash::Sm3.digest(&[pad(0x5c), inner.to_vec()].concat());
        assert_eq!(Hash::Sm3.keyed(&key, text).unwrap(), outer);
    }

    #[test]
    fn one_form_for_one_number() {
        for (value, form) in [
            ("138-0013 8000", "13800138000"),
            ("１３８００１３８０００", "13800138000"),
            ("34052419800101001x", "34052419800101001X"),
            ("军字第0017号", "军字第0017号"),
            (" - ", ""),
        ] {
            assert_eq!(normal(value), form);
        }
    }
}
