//! Forms in which partners (省平台、医保、商保网关) want SM4 and digests: padding, initial vector, encoding and case are
//! options of the partner, because software development kits differ in them.

use aes_gcm::aead::KeyInit;
use aes_gcm::aead::array::Array;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Error, Refusal, Result};
use serde::Deserialize;
use sm4::Sm4;
use sm4::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};

use crate::hash::Hash;
use crate::random;

const BLOCK: usize = 16;

/// How the last block is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// PKCS#7: n bytes of value n.
    #[default]
    Pkcs7,
    /// ISO/IEC 7816-4: 0x80 and zeros, as some Java kits do.
    Iso7816,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64 with padding.
    #[default]
    Base64,
    /// Hexadecimal, small letters.
    Hex,
    /// Hexadecimal, capitals.
    HexUpper,
}

/// A partner's form of SM4-CBC and SM3.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartnerForm {
    /// Padding of SM4-CBC.
    pub padding: Padding,
    /// Encoding of ciphertext.
    pub cipher_text: Encoding,
    /// Encoding of digests.
    pub digest: Encoding,
    /// A fixed initial vector (32 hexadecimal digits) that the partner insists on; otherwise a random one stands
    /// before the ciphertext.
    pub fixed_iv: Option<String>,
}

impl Encoding {
    /// Bytes as text.
    pub fn write(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Hex => hex::encode(bytes),
            Encoding::HexUpper => hex::encode_upper(bytes),
        }
    }

    /// Text as bytes; hexadecimal digits in either case.
    pub fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Encoding::Base64 => STANDARD.decode(text).ok(),
            Encoding::Hex | Encoding::HexUpper => hex::decode(text).ok(),
        }
    }
}

impl PartnerForm {
    fn iv(&self) -> Result<Option<[u8; BLOCK]>> {
        let Some(text) = &self.fixed_iv else { return Ok(None) };
        let iv = hex::decode(text).ok().and_then(|v| v.try_into().ok());
        Ok(Some(iv.ok_or_else(|| Refusal::invalid("partner.iv", "固定初始向量应为 32 位十六进制。"))?))
    }

    /// Encrypts with SM4-CBC in this form. The partner's protocol must authenticate it: CBC alone does not.
    ///
    /// # Errors
    /// Refuses an initial vector of another form; a key that is not of 16 bytes.
    pub fn encrypt(&self, key: &[u8], plain: &[u8]) -> Result<String> {
        let cipher = Sm4::new_from_slice(key).map_err(|e| Error::fault("set up SM4", e.to_string()))?;
        let fixed = self.iv()?;
        let iv = match fixed {
            Some(iv) => iv,
            None => *random::<BLOCK>()?,
        };
        let mut body = plain.to_vec();
        let missing = BLOCK - body.len() % BLOCK;
        match self.padding {
            Padding::Pkcs7 => body.extend(std::iter::repeat_n(missing as u8, missing)),
            Padding::Iso7816 => {
                body.push(0x80);
                body.extend(std::iter::repeat_n(0, missing - 1));
            }
        }
        let mut before = iv;
        for block in body.chunks_exact_mut(BLOCK) {
            for (byte, mask) in block.iter_mut().zip(before) {
                *byte ^= mask;
            }
            let mut one = Array::try_from(&*block).unwrap_or_default();
            cipher.encrypt_block(&mut one);
            block.copy_from_slice(&one);
            before.copy_from_slice(block);
        }
        let mut out = if fixed.is_some() { Vec::new() } else { iv.to_vec() };
        out.append(&mut body);
        Ok(self.cipher_text.write(&out))
    }

    /// Decrypts what [`PartnerForm::encrypt`] of the partner made; `None` when it is no such thing.
    ///
    /// # Errors
    /// Refuses an initial vector of another form; a key that is not of 16 bytes.
    pub fn decrypt(&self, key: &[u8], text: &str) -> Result<Option<Vec<u8>>> {
        let cipher = Sm4::new_from_slice(key).map_err(|e| Error::fault("set up SM4", e.to_string()))?;
        let fixed = self.iv()?;
        let Some(bytes) = self.cipher_text.read(text) else { return Ok(None) };
        let (iv, body) = match fixed {
            Some(iv) => (iv, bytes.as_slice()),
            None => match bytes.split_first_chunk::<BLOCK>() {
                Some((iv, body)) => (*iv, body),
                None => return Ok(None),
            },
        };
        if body.is_empty() || body.len() % BLOCK != 0 {
            return Ok(None);
        }
        let mut plain = Vec::with_capacity(body.len());
        let mut before = iv;
        for block in body.chunks_exact(BLOCK) {
            let mut one = Array::try_from(block).unwrap_or_default();
            cipher.decrypt_block(&mut one);
            plain.extend(one.iter().zip(before).map(|(byte, mask)| byte ^ mask));
            before.copy_from_slice(block);
        }
        let kept = match self.padding {
            Padding::Pkcs7 => {
                let n = usize::from(plain.last().copied().unwrap_or(0));
                let fine =
                    (1..=BLOCK).contains(&n) && plain[plain.len() - n..].iter().all(|b| usize::from(*b) == n);
                fine.then(|| plain.len() - n)
            }
            Padding::Iso7816 => plain.iter().rposition(|b| *b != 0).filter(|at| plain[*at] == 0x80),
        };
        Ok(kept.map(|length| {
            plain.truncate(length);
            plain
        }))
    }

    /// The SM3 digest of bytes in this form.
    pub fn sm3(&self, bytes: &[u8]) -> String {
        self.digest.write(&Hash::Sm3.digest(bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips_and_differs() {
        let key = hex::decode("0123456789abcdeffedcba9876543210").unwrap();
        for padding in [Padding::Pkcs7, Padding::Iso7816] {
            for cipher_text in [Encoding::Base64, Encoding::Hex, Encoding::HexUpper] {
                for fixed_iv in [None, Some("00112233445566778899aabbccddeeff".to_owned())] {
                    let form = PartnerForm { padding, cipher_text, digest: Encoding::HexUpper, fixed_iv };
                    for length in [0, 1, 15, 16, 17, 100] {
                        let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
                        let text = form.encrypt(&key, &plain).unwrap();
                        assert_eq!(form.decrypt(&key, &text).unwrap(), Some(plain));
                        if cipher_text == Encoding::HexUpper {
                            assert_eq!(text, text.to_uppercase());
                        }
                    }
                    assert_eq!(form.decrypt(&key, "!").unwrap(), None);
                }
            }
        }
        let pkcs = PartnerForm::default();
        let iso = PartnerForm { padding: Padding::Iso7816, ..PartnerForm::default() };
        let text = iso.encrypt(&key, b"abc").unwrap();
        assert_eq!(pkcs.decrypt(&key, &text).unwrap(), None, "the trap: the other padding does not open");
        let fixed = PartnerForm { fixed_iv: Some("00".into()), ..PartnerForm::default() };
        assert!(fixed.encrypt(&key, b"abc").is_err());
    }

    // One block under a zero vector is the standard vector of GB/T 32907 A.1; the second block chains on it.
    #[test]
    fn the_first_block_is_the_standard_vector() {
        let key = hex::decode("0123456789abcdeffedcba9876543210").unwrap();
        let form = PartnerForm {
            cipher_text: Encoding::Hex,
            fixed_iv: Some("00".repeat(16)),
            ..PartnerForm::default()
        };
        assert!(form.encrypt(&key, &key).unwrap().starts_with("681edf34d206965e86b3e94f536e4246"));
    }

    #[test]
    fn digests_in_the_case_asked_for() {
        let upper = PartnerForm { digest: Encoding::HexUpper, ..PartnerForm::default() };
        assert_eq!(upper.sm3(b"abc"), "66C7F0F462EEEDD9D1F2D46BDC10E4E24167C4875CF2F7A2297DA02B8F4BA8E0");
    }
}
