//! What every route shares: requests that another site's page makes the browser send, methods that a route does not
//! have, headers that try to be another method, and the headers that protect what is answered.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode};

use super::{Findings, ask, filled, is_html, probers, who};
use crate::city::{Browser, city};

/// Addresses where a session means nothing, because the program's credential is in the request itself.
const BY_CREDENTIAL: [&str; 3] = ["/oauth/token", "/oauth/revoke", "/oauth/introspect"];

/// What browsers say about a request that another site's page started. The first header replaces the browser's own.
const FOREIGN: [&[(&str, &str)]; 5] = [
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("sec-fetch-site", "cross-site"), ("origin", "http://minkang.test")],
];

/// A request as the browser of another site's page sends it: with the session's cookie, without our own headers.
async fn foreign(
    browser: &Browser,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
) -> crate::city::Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.clone().send_as(request, Body::from("back=%2Fdesk"), None).await
}

#[tokio::test]
async fn no_other_site_makes_a_browser_change_anything() {
    let city = city().await;
    let mut probers = probers(&city, "csrf", "4115", 0, false).await;
    let mut findings = Findings::default();
    for route in city.platform.routes().list().iter().filter(|r| !r.method.is_safe()) {
        let path = filled(&route.path, "1");
        let Some(prober) = who(&mut probers, route) else { continue };
        for headers in FOREIGN {
            let answer = foreign(&prober.browser, &route.method, &path, headers).await;
            let refused = answer.status == StatusCode::FORBIDDEN
                && (answer.text().contains("别的网站") || answer.text().contains("request.cross_site"));
            let excused = BY_CREDENTIAL.contains(&route.path.as_str());
            findings.expect(
                refused != excused,
                format!("{} {path} with {headers:?}: {}", route.method, answer.status),
            );
            // Where the session means nothing it must also not be what lets the request pass.
            findings.expect(
                !excused || !answer.status.is_success() || route.path == "/oauth/revoke",
                format!("{path} answers a session: {}", answer.text()),
            );
        }
        // No reading of another site's answers with this session either.
        let answer = foreign(&prober.browser, &route.method, &path, FOREIGN[2]).await;
        findings.expect(
            answer.headers.get("access-control-allow-credentials").is_none()
                && answer.header("access-control-allow-origin") != "https://evil.example",
            format!("{path} lets another site read with cookies"),
        );
    }
    findings.close(500);
}

#[tokio::test]
async fn a_safe_method_changes_nothing_and_unknown_ones_are_refused() {
    let city = city().await;
    let mut probers = probers(&city, "verbs", "4115", 0, false).await;
    let mut findings = Findings::default();
    let routes = city.platform.routes();
    let mut paths: Vec<&str> = routes.list().iter().map(|r| r.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    let verbs =
        ["TRACE", "OPTIONS", "CONNECT", "PROPFIND", "PUT", "DELETE", "PATCH", "GET", "POST", "MINKANG"];
    for path in paths {
        let own: Vec<&Method> = routes.list().iter().filter(|r| r.path == path).map(|r| &r.method).collect();
        let route = routes.list().iter().find(|r| r.path == path).unwrap();
        let Some(prober) = who(&mut probers, route) else { continue };
        for verb in verbs {
            let method = Method::from_bytes(verb.as_bytes()).unwrap();
            if own.contains(&&method) {
                continue;
            }
            let answer = ask(&prober.browser, &method, &filled(path, "1"), &[]).await;
            let preflight = verb == "OPTIONS"
                && answer.status == StatusCode::NO_CONTENT
                && answer.header("access-control-allow-origin") == "*"
                && answer.headers.get("access-control-allow-credentials").is_none();
            // A more general template may have the method: it answers in its own right.
            findings.expect(
                preflight || answer.status.is_client_error() || answer.status.is_redirection(),
                format!("{verb} {path}: {}", answer.status),
            );
            findings.expect(
                answer.status != StatusCode::INTERNAL_SERVER_ERROR
                    && !answer.text().contains("minkang_session"),
                format!("{verb} {path} echoes or fails"),
            );
        }
        // A form that claims to be another method is the form that it is.
        if own.contains(&&Method::GET) && !own.contains(&&Method::POST) {
            for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
                let answer = ask(&prober.browser, &Method::POST, &filled(path, "1"), &[(name, "GET")]).await;
                findings.expect(
                    answer.status.is_client_error(),
                    format!("POST {path} as GET by {name}: {}", answer.status),
                );
            }
        }
    }
    let out =
        ask(&probers[0].browser, &Method::GET, "/sign-out", &[("x-http-method-override", "POST")]).await;
    findings.expect(out.status == StatusCode::METHOD_NOT_ALLOWED, format!("GET /sign-out: {}", out.status));
    findings.close(1000);
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers() {
    let city = city().await;
    let mut probers = probers(&city, "heads", "4115", 0, false).await;
    let visitor = city.visitor();
    let mut findings = Findings::default();
    for route in city.platform.routes().list().iter().filter(|r| r.method == Method::GET) {
        let path = filled(&route.path, "1");
        let Some(prober) = who(&mut probers, route) else { continue };
        for (whose, browser) in [("signed in", &prober.browser), ("nobody", &visitor)] {
            let answer = ask(browser, &Method::GET, &path, &[]).await;
            let at = format!("GET {path} ({whose}, {})", answer.status);
            findings.expect(answer.status.as_u16() < 500, format!("{at}: fails"));
            findings
                .expect(answer.header("x-content-type-options") == "nosniff", format!("{at}: no nosniff"));
            findings.expect(
                answer.header("referrer-policy") == "same-origin",
                format!("{at}: no referrer policy"),
            );
            findings.expect(
                answer.header("cache-control").contains("no-store")
                    || matches!(route.access, web::Access::Open(_)),
                format!("{at}: may be kept: {:?}", answer.headers.get("cache-control")),
            );
            let csp = answer.header("content-security-policy");
            findings.expect(
                csp.contains("default-src 'self'")
                    && csp.contains("object-src 'none'")
                    && csp.contains("base-uri 'none'")
                    && csp.contains("form-action 'self'")
                    && csp.contains("frame-ancestors 'none'")
                    && !csp.contains("unsafe")
                    && !csp.contains("http:"),
                format!("{at}: policy {csp}"),
            );
            findings.expect(
                path.starts_with("/embed/") || answer.header("x-frame-options") == "DENY",
                format!("{at}: may be framed"),
            );
            for name in ["server", "x-powered-by"] {
                findings.expect(answer.headers.get(name).is_none(), format!("{at}: tells its {name}"));
            }
            if is_html(&answer) {
                findings.expect(
                    answer.headers.get("content-type")
                        == Some(&HeaderValue::from_static("text/html; charset=utf-8")),
                    format!("{at}: no character set"),
                );
            }
        }
    }
    findings.close(1000);
}
