//! One-time codes after RFC 6238 (TOTP): six digits of HMAC-SHA1 over 30-second steps, as every authenticator app knows
//! them. Pure.

use chrono::{DateTime, Utc};
use ring::hmac;

use crate::secret;

/// Seconds of a step.
pub const STEP: i64 = 30;
/// Clocks of telephones may be so many steps off.
pub const SKEW: i64 = 1;
/// Bytes of a secret: as long as the hash (RFC 4226, 4 R6).
pub const SECRET_BYTES: usize = 20;

/// The code of a step.
pub fn at(key: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or(0) & 15);
    let number = tag
        .get(offset..offset + 4)
        .map_or(0, |four| four.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The step of an instant.
pub fn step(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(STEP)
}

/// The step whose code this is, if it is one of now, a step before or after, and later than `last`: a code serves once.
/// Every step is looked at, whichever fits.
pub fn matching(key: &[u8], given: &str, last: i64, now: DateTime<Utc>) -> Option<i64> {
    let given: String = given.chars().filter(char::is_ascii_digit).collect();
    let present = step(now);
    let mut found = None;
    for step in present - SKEW..=present + SKEW {
        let same = secret::same(at(key, step).as_bytes(), given.as_bytes());
        if same && step > last {
            found = Some(step);
        }
    }
    found
}

/// Base32 (RFC 4648) without padding, as apps take a secret.
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(LETTERS[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(LETTERS[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// The address that the QR code carries (Key URI Format of authenticator apps).
pub fn address(issuer: &str, login: &str, key: &[u8]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.push_str(&secret::hex(&[byte]).to_uppercase());
            }
            out
        })
    };
    let issuer = escape(issuer);
    format!("otpauth://totp/{issuer}:{}?secret={}&issuer={issuer}", escape(login), base32(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    fn second(seconds: i64) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH + chrono::Duration::seconds(seconds)
    }

    #[test]
    fn the_examples_of_rfc_6238() {
        // Appendix B, SHA-1, the last six of eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(at(KEY, step(second(seconds))), code, "{seconds}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_code_serves_twice() {
        let now = second(1_111_111_111);
        let present = step(now);
        for (offset, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let code = at(KEY, present + offset);
            assert_eq!(matching(KEY, &code, 0, now), good.then_some(present + offset), "{offset}");
        }
        let code = at(KEY, present);
        assert_eq!(matching(KEY, &code, present, now), None, "used");
        assert_eq!(matching(KEY, &at(KEY, present - 1), present, now), None, "older than the last used");
        assert_eq!(matching(KEY, "050 471", 0, now), Some(present), "spaces are how people read it");
        for wrong in ["", "050472", "50471", "0504710", "abcdef"] {
            assert_eq!(matching(KEY, wrong, 0, now), None, "{wrong}");
        }
    }

    #[test]
    fn base32_as_in_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let address = address("健康平台", "wang.li", KEY);
        assert!(
            address.starts_with("otpauth://totp/%E5%81%A5") && address.contains(":wang.li?secret=GEZDGNBV")
        );
    }
}
