//! The signed link (签名链接) by which a hospital workstation opens a record. Pure.
//!
//! `/embed/record?client=…&staff_no=…&staff_name=…&patient=…&at=…&nonce=…&sig=…` where `sig` is HMAC-SHA256, in hexadecimal,
//! with the client's link key, over the *canonical query*: the six parameters in the order of the alphabet,
//! `at client nonce patient staff_name staff_no`, each `name=value` with every byte of the UTF-8 value outside
//! `A–Z a–z 0–9 - . _ ~` written as `%XX` in upper case, joined by `&`.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use kernel::Refusal;
use serde::Deserialize;
use sha2::Sha256;

use crate::secret;

/// A link serves for so many seconds after `at`.
pub const VALID_SECONDS: i64 = 60;
/// Clocks of hospital servers may be ahead by so many seconds.
pub const AHEAD_SECONDS: i64 = 60;

/// The parameters of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LinkRequest {
    /// The machine client whose key signs.
    pub client: String,
    /// Staff number of whoever sits at the workstation.
    pub staff_no: String,
    /// Real name.
    pub staff_name: String,
    /// The institution's own number of the patient, or an 18-character citizen number.
    pub patient: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub at: String,
    /// Random text of 16 to 64 letters and digits, never used before.
    pub nonce: String,
    /// The signature.
    pub sig: String,
}

impl LinkRequest {
    /// What is signed.
    pub fn canonical(&self) -> String {
        let pairs = [
            ("at", &self.at),
            ("client", &self.client),
            ("nonce", &self.nonce),
            ("patient", &self.patient),
            ("staff_name", &self.staff_name),
            ("staff_no", &self.staff_no),
        ];
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            encode(value, &mut text);
        }
        text
    }

    /// The same with its signature.
    #[must_use]
    pub fn signed(mut self, key: &[u8]) -> Self {
        self.sig = secret::hex(&sign(key, &self.canonical()));
        self
    }

    /// As a path with query, for the end of the platform's address.
    pub fn path(&self) -> String {
        format!("/embed/record?{}&sig={}", self.canonical(), self.sig)
    }

    /// Checks form, time and signature. A wrong signature is told apart from a wrong client by nobody.
    pub fn verify(&self, key: Option<&[u8]>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let given = secret::unhex(&self.sig).unwrap_or_default();
        // Signed for unknown clients as well, so that both take as long.
        let expected = sign(key.unwrap_or(&[0; 32]), &self.canonical());
        if !secret::same(&given, &expected) || key.is_none() {
            return Err(Refusal::forbidden(
                "embed.bad_signature",
                "链接的签名不正确，无法打开健康档案。请从医院工作站重新进入；若反复出现，请信息科核对客户端编号、签名密钥和参数编码。",
            ));
        }
        let Ok(at) = self.at.parse::<i64>() else {
            return Err(malformed("at"));
        };
        let age = now.timestamp().saturating_sub(at);
        if !(-AHEAD_SECONDS..=VALID_SECONDS).contains(&age) {
            return Err(Refusal::forbidden(
                "embed.expired",
                "链接已过期或时间不对，无法打开健康档案。请从医院工作站重新进入；若反复出现，请信息科校准服务器时钟。",
            ));
        }
        let plain = |text: &str, least: usize, most: usize| {
            (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let nonce = plain(&self.nonce, 16, 64) && self.nonce.bytes().all(|b| b.is_ascii_alphanumeric());
        for (name, good) in [
            ("nonce", nonce),
            ("staff_no", plain(&self.staff_no, 1, 50)),
            ("staff_name", plain(self.staff_name.trim(), 1, 50)),
            ("patient", plain(&self.patient, 1, 64)),
        ] {
            if !good {
                return Err(malformed(name));
            }
        }
        Ok(())
    }
}

fn malformed(parameter: &str) -> Refusal {
    Refusal::invalid(
        "embed.malformed",
        format!("链接的参数 {parameter} 缺失或不合要求，请信息科核对接入代码。"),
    )
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        // HMAC takes keys of every length; an empty result equals no signature of ours.
        Err(_) => Vec::new(),
    }
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&secret::hex(&[byte]).to_uppercase());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn link() -> LinkRequest {
        LinkRequest {
            client: "c-1".into(),
            staff_no: "D 007".into(),
            staff_name: "王力".into(),
            patient: "P+1/2".into(),
            at: "1735689600".into(),
            nonce: "abcdefghijklmnop".into(),
            sig: String::new(),
        }
        .signed(&KEY)
    }
    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_735_689_600 + seconds, 0).unwrap()
    }

    #[test]
    fn the_canonical_query_is_written_one_way_only() {
        assert_eq!(
            link().canonical(),
            "at=1735689600&client=c-1&nonce=abcdefghijklmnop&patient=P%2B1%2F2&staff_name=%E7%8E%8B%E5%8A%9B&staff_no=D%20007"
        );
        // Computed with `openssl dgst -sha256 -mac HMAC` over the line above.
        assert_eq!(link().sig, "17b0f11faece4c582b610b998c55919280917bbed82a43a1464c1b041c894028");
    }

    #[test]
    fn a_link_serves_for_a_minute() {
        for (seconds, good) in [(-61, false), (-60, true), (0, true), (60, true), (61, false)] {
            assert_eq!(link().verify(Some(&KEY), at(seconds)).is_ok(), good, "{seconds}");
        }
        for at_text in ["", "x", "9223372036854775807", "-9223372036854775808"] {
            let odd = LinkRequest { at: at_text.into(), ..link() }.signed(&KEY);
            assert!(odd.verify(Some(&KEY), at(0)).is_err(), "{at_text}");
        }
    }

    #[test]
    fn every_parameter_is_under_the_signature() {
        let changes: [fn(&mut LinkRequest); 7] = [
            |l| l.client.push('2'),
            |l| l.staff_no.push('8'),
            |l| l.staff_name = "李强".into(),
            |l| l.patient.push('3'),
            |l| l.at = "1735689601".into(),
            |l| l.nonce.push('q'),
            |l| l.sig.replace_range(0..1, if l.sig.starts_with('0') { "1" } else { "0" }),
        ];
        for change in changes {
            let mut tampered = link();
            change(&mut tampered);
            assert_eq!(tampered.verify(Some(&KEY), at(0)).unwrap_err().code, "embed.bad_signature");
        }
        assert!(link().verify(Some(&[8; 32]), at(0)).is_err());
        let zero = LinkRequest { sig: String::new(), ..link() }.signed(&[0; 32]);
        assert!(zero.verify(None, at(0)).is_err(), "the stand-in key of unknown clients opens nothing");
    }

    #[test]
    fn signed_nonsense_is_still_nonsense() {
        let changes: [fn(&mut LinkRequest); 6] = [
            |l| l.nonce = "short".into(),
            |l| l.nonce = "abcdefghijklmno!".into(),
            |l| l.staff_no.clear(),
            |l| l.staff_name = " ".into(),
            |l| l.patient = "a\nb".into(),
            |l| l.patient = "9".repeat(65),
        ];
        for change in changes {
            let mut odd = link();
            change(&mut odd);
            assert_eq!(odd.signed(&KEY).verify(Some(&KEY), at(0)).unwrap_err().code, "embed.malformed");
        }
    }
}
