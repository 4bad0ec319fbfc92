//! Secrets: random tokens, their digests, hexadecimal text and comparison in constant time.

use kernel::{Error, Result};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a token or secret; what the database and the cache know of it.
pub type SecretDigest = [u8; 32];

/// 256 random bits.
pub fn random_key() -> Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::fault("draw random bytes", error.to_string()))?;
    Ok(bytes)
}

/// 256 random bits as 64 hexadecimal digits: session tokens and client secrets.
pub fn random_token() -> Result<String> {
    Ok(hex(&random_key()?))
}

/// Letters and digits that cannot be taken for one another when read aloud or copied from paper.
const PLAIN: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789A";

/// A first password for a person: 20 characters out of 32 in four groups (100 bits), e.g. `k7mfp-…`.
pub fn random_password() -> Result<String> {
    let key = random_key()?;
    let mut text = String::with_capacity(23);
    for (position, byte) in key.iter().take(20).enumerate() {
        if position > 0 && position % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(PLAIN[usize::from(byte % 32)]));
    }
    Ok(text)
}

/// A recovery code: 16 characters out of 32 in four groups (80 bits), e.g. `k7mf-…`.
pub fn random_code() -> Result<String> {
    let key = random_key()?;
    let mut text = String::with_capacity(19);
    for (position, byte) in key.iter().take(16).enumerate() {
        if position > 0 && position % 4 == 0 {
            text.push('-');
        }
        // Without the one capital, so that a code may be typed in either case.
        text.push(char::from(PLAIN[usize::from(byte % 32)]).to_ascii_lowercase());
    }
    Ok(text)
}

/// A short random name part: `digits` hexadecimal digits.
pub fn random_suffix(digits: usize) -> Result<String> {
    let mut text = random_token()?;
    text.truncate(digits);
    Ok(text)
}

/// SHA-256.
pub fn digest(text: &str) -> SecretDigest {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Bytes from hexadecimal digits of either case; `None` when it is not that.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_64_digits_and_never_repeat() {
        let tokens: std::collections::HashSet<String> = (0..1000).map(|_| random_token().unwrap()).collect();
        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn hexadecimal_goes_there_and_back() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
        assert_eq!(unhex("000FfF"), Some(vec![0, 15, 255]));
        for wrong in ["0", "0g", "中文"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_first_password_has_four_groups() {
        let password = random_password().unwrap();
        assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
    }
}
