//! Where a request comes from: the client's address, and whether another site's page made the browser send it.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use kernel::Refusal;

/// The address of the client, as an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress(pub String);

/// The client's address: the peer's, or, when the peer is a trusted proxy, the last address of `X-Forwarded-For` that
/// is not itself a trusted proxy.
pub(super) fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpAddr]) -> String {
    let Some(peer) = peer.map(|p| p.to_canonical()) else { return "unknown".to_owned() };
    if !trusted.contains(&peer) {
        return peer.to_string();
    }
    let mut client = peer;
    let chain: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in chain.iter().rev() {
        // What is not an address was written by somebody we do not know; go no further.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !trusted.contains(&client) {
            break;
        }
    }
    client.to_string()
}

/// Refuses a changing request that another site's page made the browser send.
///
/// Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`; a request with a cookie and neither is refused, a
/// program's request (no cookie, neither header) passes. So does what no page can make a browser send by itself: a
/// bearer token, and the addresses where a program's credential is in the request.
pub(super) fn forged(method: &Method, path: &str, headers: &HeaderMap) -> Option<Refusal> {
    if method.is_safe() || by_program(path, headers) {
        return None;
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let ours =
        match (headers.get("sec-fetch-site").map(|v| v.as_bytes()), headers.contains_key(header::ORIGIN)) {
            (Some(site), _) => site == b"same-origin" || site == b"none",
            (None, true) => {
                let origin =
                    text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
                origin.is_some() && origin == text(header::HOST)
            }
            (None, false) => !headers.contains_key(header::COOKIE),
        };
    (!ours).then(|| {
        Refusal::forbidden(
            "request.cross_site",
            "这次提交来自别的网站，或浏览器没有说明来源，为保护您的账号已被拒绝。请从本平台的页面重新操作。",
        )
    })
}

/// Where programs bring their own credential; a session there means nothing.
const PROGRAM_PATHS: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];

fn by_program(path: &str, headers: &HeaderMap) -> bool {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer || PROGRAM_PATHS.contains(&path)
}

/// Whether scripts of other sites may read the answer: interfaces that applications in a browser use, never with
/// cookies (SMART App Launch, public clients). What is read there is opened by a token alone.
pub(super) fn shared(path: &str) -> bool {
    PROGRAM_PATHS.contains(&path)
        || matches!(path, "/oauth/jwks" | "/oauth/userinfo")
        || path.starts_with("/.well-known/")
        || path == "/fhir"
        || path.starts_with("/fhir/")
}

/// Lets scripts of other sites read the answer. Without `Access-Control-Allow-Credentials`, so no cookie opens anything.
pub(super) fn share(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, accept, x-purpose"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "www-authenticate"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn forged_requests() {
        let host = ("host", "mk.example:8686");
        let cookie = ("cookie", "session=1");
        // what the browser sends, refused?
        let table: &[(&[(&'static str, &'static str)], bool)] = &[
            (&[host, cookie, ("sec-fetch-site", "same-origin")], false),
            (&[host, cookie, ("sec-fetch-site", "none")], false),
            (&[host, cookie, ("sec-fetch-site", "same-site")], true),
            (&[host, cookie, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, cookie, ("sec-fetch-site", "cross-site"), ("origin", "http://mk.example:8686")], true),
            (&[host, cookie, ("origin", "http://mk.example:8686")], false),
            (&[host, cookie, ("origin", "http://evil.example")], true),
            (&[host, cookie, ("origin", "http://mk.example:8687")], true),
            (&[host, cookie, ("origin", "null")], true),
            (&[host, cookie], true),
            (&[host], false),
            (&[host, ("authorization", "Bearer x")], false),
            (&[host, ("authorization", "bearer x"), ("sec-fetch-site", "cross-site")], false),
            (&[host, ("authorization", "Basic x"), ("sec-fetch-site", "cross-site")], true),
        ];
        for (pairs, refused) in table {
            assert_eq!(forged(&Method::POST, "/x", &headers(pairs)).is_some(), *refused, "{pairs:?}");
            assert!(forged(&Method::GET, "/x", &headers(pairs)).is_none());
            assert!(forged(&Method::POST, "/oauth/token", &headers(pairs)).is_none());
        }
    }

    #[test]
    fn only_interfaces_are_shared_with_other_sites() {
        for (path, open) in [
            ("/fhir/Patient", true),
            ("/.well-known/openid-configuration", true),
            ("/oauth/token", true),
            ("/oauth/authorize", false),
            ("/oauth/tokens", false),
            ("/fhirx", false),
            ("/record/7", false),
            ("/api/v1/datasets", false),
            ("/", false),
        ] {
            assert_eq!(shared(path), open, "{path}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let second: IpAddr = "10.0.0.2".parse().unwrap();
        let forwarded = headers(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2")]);
        let table = [
            (Some(proxy), vec![proxy, second], "203.0.113.9"),
            (Some(proxy), vec![proxy], "10.0.0.2"),
            (Some(proxy), vec![], "10.0.0.1"),
            (Some("::ffff:192.0.2.7".parse().unwrap()), vec![proxy], "192.0.2.7"),
            (None, vec![proxy], "unknown"),
        ];
        for (peer, trusted, expected) in table {
            assert_eq!(client_address(peer, &forwarded, &trusted), expected, "{peer:?} {trusted:?}");
        }
        let nonsense = headers(&[("x-forwarded-for", "1.2.3.4, <script>")]);
        assert_eq!(client_address(Some(proxy), &nonsense, &[proxy]), "10.0.0.1");
    }
}
