//! The cookies of sign-in: reading them from a request and writing them to a response.

use axum::http::{HeaderMap, HeaderValue, header};

/// Staff who signed in.
pub const SESSION: &str = "minkang_session";
/// A hospital workstation that came in by a signed link.
pub const EMBED: &str = "minkang_embed";

/// A sign-in that waits for its second factor.
pub const TICKET: &str = "minkang_ticket";
/// Tells one browser of a person from another; opens nothing.
pub const DEVICE: &str = "minkang_device";
/// Tells one hospital workstation from another; opens nothing by itself.
pub const WORKSTATION: &str = "minkang_workstation";

/// A sign-in under way at a hospital's own provider.
pub const PARTNER: &str = "minkang_partner";

/// Browsers keep no cookie for longer.
const LONG: i64 = 400 * 24 * 3600;

/// The value of a cookie, if it looks like one of our tokens.
pub fn token<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .filter(|value| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Sets the session cookie; it lives until the browser closes, the server says how long at most.
pub fn set_session(headers: &mut HeaderMap, token: &str, tls: bool) {
    let secure = if tls { "; Secure" } else { "" };
    append(headers, &format!("{SESSION}={token}; Path=/; HttpOnly; SameSite=Lax{secure}"));
}

/// Sets the cookie of an embedded session. By TLS it may live inside the hospital system's own page, in a jar of
/// that page alone.
pub fn set_embed(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    let site = if tls { "SameSite=None; Secure; Partitioned" } else { "SameSite=Lax" };
    append(headers, &format!("{EMBED}={token}; Path=/; HttpOnly; Max-Age={seconds}; {site}"));
}

/// Sets the cookie of a sign-in that waits for its second factor.
pub fn set_ticket(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    let secure = if tls { "; Secure" } else { "" };
    append(headers, &format!("{TICKET}={token}; Path=/; HttpOnly; Max-Age={seconds}; SameSite=Lax{secure}"));
}

/// Sets the cookie of a sign-in under way at a hospital's own provider.
pub fn set_partner(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    let secure = if tls { "; Secure" } else { "" };
    append(headers, &format!("{PARTNER}={token}; Path=/; HttpOnly; Max-Age={seconds}; SameSite=Lax{secure}"));
}

/// Sets the long-lived cookie that tells one browser from another.
pub fn set_device(headers: &mut HeaderMap, token: &str, tls: bool) {
    let secure = if tls { "; Secure" } else { "" };
    append(headers, &format!("{DEVICE}={token}; Path=/; HttpOnly; Max-Age={LONG}; SameSite=Lax{secure}"));
}

/// Sets the long-lived cookie that tells one workstation from another.
pub fn set_workstation(headers: &mut HeaderMap, token: &str, tls: bool) {
    let site = if tls { "SameSite=None; Secure; Partitioned" } else { "SameSite=Lax" };
    append(headers, &format!("{WORKSTATION}={token}; Path=/; HttpOnly; Max-Age={LONG}; {site}"));
}

/// Takes a cookie away.
pub fn clear(headers: &mut HeaderMap, name: &str, tls: bool) {
    let site = match (name, tls) {
        (EMBED, true) => "SameSite=None; Secure; Partitioned",
        (_, true) => "SameSite=Lax; Secure",
        (_, false) => "SameSite=Lax",
    };
    append(headers, &format!("{name}=; Path=/; HttpOnly; Max-Age=0; {site}"));
}

fn append(headers: &mut HeaderMap, value: &str) {
    // Only tokens and fixed text go in: always a valid header.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_among_other_cookies_and_must_look_like_one() {
        let good = "a".repeat(64);
        let cases = [
            (format!("minkang_session={good}"), true),
            (format!("x=1; minkang_session={good}; y=2"), true),
            (format!("not_minkang_session={good}"), false),
            ("minkang_session=".to_owned(), false),
            (format!("minkang_session={}", "z".repeat(64)), false),
            (format!("minkang_session={good}a"), false),
        ];
        for (line, found) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, line.parse().unwrap());
            assert_eq!(token(&headers, SESSION).is_some(), found, "{line}");
        }
    }

    #[test]
    fn cookies_are_closed_to_scripts_and_secure_by_tls() {
        let mut headers = HeaderMap::new();
        set_session(&mut headers, "t", true);
        set_embed(&mut headers, "t", 1200, true);
        set_embed(&mut headers, "t", 1200, false);
        let lines: Vec<&str> =
            headers.get_all(header::SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert!(lines.iter().all(|l| l.contains("HttpOnly")));
        assert!(lines[0].contains("SameSite=Lax") && lines[0].contains("Secure"));
        assert!(lines[1].contains("SameSite=None") && lines[1].contains("Secure"));
        assert!(lines[2].contains("SameSite=Lax") && !lines[2].contains("Secure"));
    }
}
