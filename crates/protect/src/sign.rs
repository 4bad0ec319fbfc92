//! Signatures: SM2 with SM3 (GB/T 32918.2, curve of GB/T 32918.5) and Ed25519 (RFC 8032).

use ed25519_dalek::{Signer as _, Verifier as _};
use kernel::{Error, Result};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::sec1::ToSec1Point;
use zeroize::Zeroizing;

use crate::hash::Hash;
use crate::random;

/// Name of SM2 with SM3 in tables and settings.
pub const SM2_SM3: &str = "sm2-sm3";
/// Name of Ed25519 in tables and settings.
pub const ED25519: &str = "ed25519";
/// The identifier that SM2 signatures carry where nothing else was agreed (GM/T 0009).
pub const DEFAULT_ID: &str = "1234567812345678";

/// A key that signs.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// `sm2-sm3` or `ed25519`.
    fn algorithm(&self) -> &str;
    /// What the key is recognised by: 16 hexadecimal digits.
    fn key_id(&self) -> String;
    /// The key to verify with: 65 bytes (uncompressed point) for SM2, 32 bytes for Ed25519.
    fn public_key(&self) -> Vec<u8>;
    /// Signs a message. 64 bytes: r‖s for SM2.
    ///
    /// # Errors
    /// When the key cannot sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// What became of something that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it was when it was signed.
    Intact,
    /// Content, signature or key are not what they were.
    Altered,
    /// Nothing here knows the key.
    UnknownKey,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Intact => "完好",
            Verdict::Altered => "已被改动",
            Verdict::UnknownKey => "签名密钥未知",
        }
    }
}

/// What a public key is recognised by.
pub fn key_id(algorithm: &str, public_key: &[u8]) -> String {
    let hash = if algorithm == SM2_SM3 { Hash::Sm3 } else { Hash::Sha256 };
    hex::encode(&hash.digest(public_key)[..8])
}

/// A signing key held in memory.
pub struct LocalKey {
    kind: Kind,
}

enum Kind {
    Sm2(Box<SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.algorithm(), self.key_id())
    }
}

impl LocalKey {
    /// The key of an algorithm from its 32 secret bytes.
    ///
    /// # Errors
    /// An algorithm that is not known, or bytes that are no key of it.
    pub fn new(algorithm: &str, secret: &[u8]) -> Result<Self> {
        let wrong = || Error::fault("set up a signing key", format!("{algorithm}: no such key"));
        let kind = match algorithm {
            SM2_SM3 => Kind::Sm2(Box::new(SigningKey::from_slice(DEFAULT_ID, secret).map_err(|_| wrong())?)),
            ED25519 => Kind::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(
                secret.try_into().map_err(|_| wrong())?,
            ))),
            other => return Err(Error::fault("find a signature algorithm", other.to_owned())),
        };
        Ok(Self { kind })
    }

    /// Secret bytes for a new key.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn generate(algorithm: &str) -> Result<Zeroizing<Vec<u8>>> {
        // A random number is a scalar of SM2 with odds of one minus 2^-32; draw until it is.
        loop {
            let secret = Zeroizing::new(random::<32>()?.to_vec());
            match Self::new(algorithm, &secret) {
                Ok(_) => return Ok(secret),
                Err(_) if algorithm == SM2_SM3 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Signer for LocalKey {
    fn algorithm(&self) -> &str {
        match self.kind {
            Kind::Sm2(_) => SM2_SM3,
            Kind::Ed25519(_) => ED25519,
        }
    }
    fn key_id(&self) -> String {
        key_id(self.algorithm(), &self.public_key())
    }
    fn public_key(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Sm2(key) => key.verifying_key().as_affine().to_sec1_point(false).as_bytes().to_vec(),
            Kind::Ed25519(key) => key.verifying_key().to_bytes().to_vec(),
        }
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.kind {
            Kind::Sm2(key) => {
                let signature: Signature =
                    key.try_sign(message).map_err(|e| Error::fault("sign with SM2", e.to_string()))?;
                Ok(signature.to_bytes().to_vec())
            }
            Kind::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
        }
    }
}

/// Whether a signature is of this message and key. Anything malformed is no.
pub fn verify(algorithm: &str, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match algorithm {
        SM2_SM3 => sm2_verify(DEFAULT_ID, public_key, message, signature),
        ED25519 => {
            let (Ok(key), Ok(signature)) = (public_key.try_into(), signature.try_into()) else {
                return false;
            };
            ed25519_dalek::VerifyingKey::from_bytes(key).is_ok_and(|key| {
                key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
            })
        }
        _ => false,
    }
}

/// An SM2 signature made under another identifier than the usual one; r‖s or, as some partners send it, ASN.1 DER.
pub fn sm2_verify(id: &str, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let parsed = if signature.len() == 64 {
        Signature::from_slice(signature)
    } else {
        match Signature::from_der(signature) {
            Ok(signature) => Ok(signature),
            Err(_) => return false,
        }
    };
    match (VerifyingKey::from_sec1_bytes(id, public_key), parsed) {
        (Ok(key), Ok(signature)) => key.verify(message, &signature).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    // GB/T 32918.5-2017, annex A.2: the example signature over the recommended curve.
    #[test]
    fn sm2_standard_vector() {
        let secret = bytes("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8");
        let public = bytes(concat!(
            "04",
            "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020",
            "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
        ));
        let signature = bytes(concat!(
            "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
            "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
        ));
        let key = LocalKey::new(SM2_SM3, &secret).unwrap();
        assert_eq!(key.public_key(), public);
        assert!(verify(SM2_SM3, &public, b"message digest", &signature));
        assert!(!verify(SM2_SM3, &public, b"message digesu", &signature));
        assert!(!sm2_verify("ALICE123@YAHOO.COM", &public, b"message digest", &signature));
        let der = Signature::from_slice(&signature).unwrap().to_der();
        assert!(sm2_verify(DEFAULT_ID, &public, b"message digest", der.as_bytes()));
    }

    // RFC 8032, section 7.1, test 2.
    #[test]
    fn ed25519_standard_vector() {
        let secret = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = LocalKey::new(ED25519, &secret).unwrap();
        assert_eq!(
            hex::encode(key.public_key()),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        let signature = key.sign(&[0x72]).unwrap();
        assert_eq!(
            hex::encode(&signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert!(verify(ED25519, &key.public_key(), &[0x72], &signature));
    }

    #[test]
    fn what_was_altered_does_not_verify() {
        for algorithm in [SM2_SM3, ED25519] {
            let key = LocalKey::new(algorithm, &LocalKey::generate(algorithm).unwrap()).unwrap();
            let other = LocalKey::new(algorithm, &LocalKey::generate(algorithm).unwrap()).unwrap();
            let signature = key.sign("处方".as_bytes()).unwrap();
            assert_eq!(signature.len(), 64);
            assert!(verify(algorithm, &key.public_key(), "处方".as_bytes(), &signature));
            assert!(!verify(algorithm, &other.public_key(), "处方".as_bytes(), &signature));
            assert!(!verify(algorithm, &key.public_key(), "处万".as_bytes(), &signature));
            let mut altered = signature.clone();
            altered[40] ^= 1;
            assert!(!verify(algorithm, &key.public_key(), "处方".as_bytes(), &altered));
            assert!(!verify(algorithm, &[], "处方".as_bytes(), &signature));
            assert!(!verify(algorithm, &key.public_key(), "处方".as_bytes(), &[]));
            assert!(!verify("rsa", &key.public_key(), "处方".as_bytes(), &signature));
            assert_eq!(key.key_id().len(), 16);
            assert_ne!(key.key_id(), other.key_id());
        }
    }
}
