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

/// Before a cookie's name: browsers take it by TLS only, from this very host and for all of it, so that neither a
/// neighbouring host nor a page without TLS can plant one (RFC 6265bis, cookie name prefixes).
const HOST: &str = "__Host-";

/// Browsers keep no cookie for longer.
const LONG: i64 = 400 * 24 * 3600;

/// The value of a cookie, if it looks like one of our tokens. By TLS it must have come under its guarded name; only
/// the two that open nothing by themselves are still taken under the name they had before.
pub fn token<'a>(headers: &'a HeaderMap, name: &str, tls: bool) -> Option<&'a str> {
    let plain = !tls || matches!(name, DEVICE | WORKSTATION);
    let guarded = if tls { named(headers, &full(name, true)) } else { None };
    guarded.or_else(|| if plain { named(headers, name) } else { None })
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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

/// The name a browser knows a cookie by.
fn full(name: &str, tls: bool) -> String {
    if tls { format!("{HOST}{name}") } else { name.to_owned() }
}

/// Sets the session cookie; it lives until the browser closes, the server says how long at most.
pub fn set_session(headers: &mut HeaderMap, token: &str, tls: bool) {
    append(headers, SESSION, token, None, tls);
}

/// Sets the cookie of an embedded session. By TLS it may live inside the hospital system's own page, in a jar of
/// that page alone.
pub fn set_embed(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    append(headers, EMBED, token, Some(seconds), tls);
}

/// Sets the cookie of a sign-in that waits for its second factor.
pub fn set_ticket(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    append(headers, TICKET, token, Some(seconds), tls);
}

/// Sets the cookie of a sign-in under way at a hospital's own provider.
pub fn set_partner(headers: &mut HeaderMap, token: &str, seconds: i64, tls: bool) {
    append(headers, PARTNER, token, Some(seconds), tls);
}

/// Sets the long-lived cookie that tells one browser from another.
pub fn set_device(headers: &mut HeaderMap, token: &str, tls: bool) {
    append(headers, DEVICE, token, Some(LONG), tls);
}

/// Sets the long-lived cookie that tells one workstation from another.
pub fn set_workstation(headers: &mut HeaderMap, token: &str, tls: bool) {
    append(headers, WORKSTATION, token, Some(LONG), tls);
}

/// Takes a cookie away.
pub fn clear(headers: &mut HeaderMap, name: &str, tls: bool) {
    append(headers, name, "", Some(0), tls);
}

fn append(headers: &mut HeaderMap, name: &str, value: &str, seconds: Option<i64>, tls: bool) {
    let site = match (name, tls) {
        (EMBED | WORKSTATION, true) => "SameSite=None; Secure; Partitioned",
        (_, true) => "SameSite=Lax; Secure",
        (_, false) => "SameSite=Lax",
    };
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    // Only tokens and fixed text go in: always a valid header.
    let text = format!("{}={value}; Path=/; HttpOnly{age}; {site}", full(name, tls));
    if let Ok(value) = HeaderValue::from_str(&text) {
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
            assert_eq!(token(&headers, SESSION, false).is_some(), found, "{line}");
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

    #[test]
    fn by_tls_only_guarded_names_count() {
        let good = "a".repeat(64);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("{SESSION}={good}; {DEVICE}={good}").parse().unwrap());
        assert_eq!(token(&headers, SESSION, true), None, "a neighbouring host may have planted it");
        assert_eq!(token(&headers, DEVICE, true), Some(good.as_str()), "opens nothing, kept from before");
        let other = "b".repeat(64);
        let line = format!("{SESSION}={good}; {HOST}{SESSION}={other}");
        headers.insert(header::COOKIE, line.parse().unwrap());
        assert_eq!(token(&headers, SESSION, true), Some(other.as_str()));
        assert_eq!(token(&headers, SESSION, false), Some(good.as_str()));
        let mut answer = HeaderMap::new();
        clear(&mut answer, SESSION, true);
        let line = answer[header::SET_COOKIE].to_str().unwrap();
        assert!(line.starts_with("__Host-minkang_session=; Path=/;") && line.contains("Secure"), "{line}");
    }
}
