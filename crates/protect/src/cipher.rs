//! Authenticated encryption with AES-256-GCM (NIST SP 800-38D) and SM4-GCM (GB/T 32907, RFC 8998).

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use kernel::{Error, Result};
use sm4::Sm4;

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;

type Aes256Gcm = AesGcm<Aes256, aes_gcm::aead::consts::U12>;
type Sm4Gcm = AesGcm<Sm4, aes_gcm::aead::consts::U12>;

/// A cipher with its key.
#[derive(Clone)]
pub enum Cipher {
    /// AES-256-GCM.
    Aes(Box<Aes256Gcm>),
    /// SM4-GCM.
    Sm4(Box<Sm4Gcm>),
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cipher::Aes(_) => "AES-256-GCM",
            Cipher::Sm4(_) => "SM4-GCM",
        })
    }
}

/// Name of AES-256-GCM in tables and settings.
pub const AES_256_GCM: &str = "aes-256-gcm";
/// Name of SM4-GCM in tables and settings.
pub const SM4_GCM: &str = "sm4-gcm";

/// How many bytes the key of an algorithm has.
///
/// # Errors
/// An algorithm that is not known.
pub fn key_length(algorithm: &str) -> Result<usize> {
    match algorithm {
        AES_256_GCM => Ok(32),
        SM4_GCM => Ok(16),
        other => Err(Error::fault("find a cipher", format!("unknown algorithm {other}"))),
    }
}

impl Cipher {
    /// The cipher of an algorithm with this key.
    ///
    /// # Errors
    /// An algorithm that is not known, or a key of the wrong length.
    pub fn new(algorithm: &str, key: &[u8]) -> Result<Self> {
        let wrong = |_| Error::fault("set up a cipher", format!("{algorithm}: key of {} bytes", key.len()));
        match algorithm {
            AES_256_GCM => {
                Ok(Cipher::Aes(Box::new(Aes256Gcm::new_from_slice(key).map_err(|e| wrong(e.to_string()))?)))
            }
            SM4_GCM => {
                Ok(Cipher::Sm4(Box::new(Sm4Gcm::new_from_slice(key).map_err(|e| wrong(e.to_string()))?)))
            }
            other => Err(Error::fault("find a cipher", format!("unknown algorithm {other}"))),
        }
    }

    /// Encrypts `buffer[from..]` in place and appends the tag.
    ///
    /// # Errors
    /// Only for more than 64 GB.
    pub fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], buffer: &mut Vec<u8>, from: usize) -> Result<()> {
        let nonce = Nonce::from(*nonce);
        let body = &mut buffer[from..];
        let tag = match self {
            Cipher::Aes(c) => c.encrypt_inout_detached(&nonce, aad, body.into()),
            Cipher::Sm4(c) => c.encrypt_inout_detached(&nonce, aad, body.into()),
        }
        .map_err(|_| Error::fault("encrypt", "too long"))?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts ciphertext with its tag; `None` when the key, the context or a byte of it is not what it was.
    pub fn open(&self, nonce: &[u8; NONCE], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        let mut body = body.to_vec();
        let nonce = Nonce::from(*nonce);
        match self {
            Cipher::Aes(c) => c.decrypt_inout_detached(&nonce, aad, body.as_mut_slice().into(), &tag.into()),
            Cipher::Sm4(c) => c.decrypt_inout_detached(&nonce, aad, body.as_mut_slice().into(), &tag.into()),
        }
        .ok()?;
        Some(body)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aes_gcm::aead::array::Array;
    use sm4::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace([' ', '\n'], "")).unwrap()
    }

    // GB/T 32907-2016, annex A.1 and A.2.
    #[test]
    fn sm4_standard_vectors() {
        let key = bytes("0123456789abcdeffedcba9876543210");
        let cipher = Sm4::new_from_slice(&key).unwrap();
        let mut block = Array::try_from(key.as_slice()).unwrap();
        cipher.encrypt_block(&mut block);
        assert_eq!(hex::encode(block), "681edf34d206965e86b3e94f536e4246");
        for _ in 1..1_000_000 {
            cipher.encrypt_block(&mut block);
        }
        assert_eq!(hex::encode(block), "595298c7c6fd271f0402f804c33d3f66");
        cipher.decrypt_block(&mut block);
        cipher.encrypt_block(&mut block);
        assert_eq!(hex::encode(block), "595298c7c6fd271f0402f804c33d3f66");
    }

    // RFC 8998, appendix A.1.
    #[test]
    fn sm4_gcm_standard_vector() {
        let cipher = Cipher::new(SM4_GCM, &bytes("0123456789ABCDEFFEDCBA9876543210")).unwrap();
        let nonce: [u8; 12] = bytes("00001234567800000000ABCD").try_into().unwrap();
        let aad = bytes("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2");
        let plain = bytes(
            "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD
             EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA",
        );
        let mut buffer = plain.clone();
        cipher.seal(&nonce, &aad, &mut buffer, 0).unwrap();
        assert_eq!(
            buffer,
            bytes(
                "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735
                 D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D
                 83DE3541E4C2B58177E065A9BF7B62EC"
            )
        );
        assert_eq!(cipher.open(&nonce, &aad, &buffer), Some(plain));
    }

    // NIST SP 800-38D validation, AES-256, test case 14 of the GCM specification.
    #[test]
    fn aes_gcm_standard_vector() {
        let cipher = Cipher::new(AES_256_GCM, &[0; 32]).unwrap();
        let mut buffer = vec![0; 16];
        cipher.seal(&[0; 12], &[], &mut buffer, 0).unwrap();
        assert_eq!(hex::encode(&buffer), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    }

    #[test]
    fn what_was_altered_does_not_open() {
        for algorithm in [AES_256_GCM, SM4_GCM] {
            let cipher = Cipher::new(algorithm, &vec![7; key_length(algorithm).unwrap()]).unwrap();
            let mut sealed = b"..13800138000".to_vec();
            cipher.seal(&[1; 12], b"a.b", &mut sealed, 2).unwrap();
            let sealed = &sealed[2..];
            assert_eq!(cipher.open(&[1; 12], b"a.b", sealed).as_deref(), Some(&b"13800138000"[..]));
            for at in 0..sealed.len() {
                let mut other = sealed.to_vec();
                other[at] ^= 1;
                assert_eq!(cipher.open(&[1; 12], b"a.b", &other), None);
            }
            assert_eq!(cipher.open(&[1; 12], b"a.c", sealed), None);
            assert_eq!(cipher.open(&[2; 12], b"a.b", sealed), None);
            assert_eq!(cipher.open(&[1; 12], b"a.b", &sealed[..3]), None);
        }
        assert!(Cipher::new(AES_256_GCM, &[0; 16]).is_err());
        assert!(Cipher::new("des", &[0; 8]).is_err());
    }
}
