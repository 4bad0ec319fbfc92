//! The assembled application, asked over its own interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures::future::BoxFuture;
use kernel::{Act, Caller, CallerKind, Line, Need, RefusalKind};
use maud::html;
use std::time::Duration;
use tower::ServiceExt;

use crate::{Access, Asking, Frame, Reply};

/// `session=staff` is a member of staff, `session=old` has ended, a bearer token is wrong.
struct Door;

impl Authenticator for Door {
    fn authenticate<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        let headers = asking.headers;
        let cookie = headers.get(header::COOKIE).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let token = headers.contains_key(header::AUTHORIZATION);
        Box::pin(async move {
            if token || cookie == "session=old" {
                return Err(
                    Refusal::new(RefusalKind::Unauthenticated, "credential.wrong", "凭证不对。").into()
                );
            }
            let mut caller = Caller::system("王医生");
            caller.kind = CallerKind::Staff;
            caller.grants.retain(|grant| grant.line == Line::Medical);
            Ok((cookie == "session=staff").then(|| Arc::new(caller)))
        })
    }
}

const OPEN: Access = Access::Open("test");

fn app() -> Router {
    let routes = Routes::<()>::new()
        .get("/sign-in", OPEN, async |frame: Frame| frame.lone("登录", html! { "登录" }))
        .get("/record", Access::Needs(Need::new(Line::Medical, Act::Read)), async |frame: Frame| {
            frame.page("档案", html! { p { "档案正文" (" 很长".repeat(2000)) } })
        })
        .get("/audit", Access::Needs(Need::new(Line::Audit, Act::Read)), async || "审计")
        .get("/embed/record", OPEN, async |frame: Frame| frame.bare("档案", html! {}))
        .get("/boom", OPEN, async || -> &'static str { panic!("secret detail") })
        .get("/fault", OPEN, async || -> Reply<()> { Err(Error::fault("x", "secret detail").into()) })
        .get("/busy", OPEN, async || -> Reply<()> {
            Err(Refusal::new(RefusalKind::Busy { retry_after: 7 }, "busy", "稍后再来。").into())
        })
        .get("/api/v1/thing", Access::SignedIn("test"), async || "{}")
        .get("/fhir/Patient", Access::SignedIn("test"), async || "{}")
        .post("/save", OPEN, async |body: String| body.len().to_string())
        .post_stream("/upload", OPEN, async |request: Request| {
            to_bytes(request.into_body(), usize::MAX).await.map(|b| b.len().to_string()).unwrap_or_default()
        });
    build_app(
        routes,
        Site {
            policy: Arc::default(),
            authenticator: Arc::new(Door),
            face: Face::default(),
            embed_ancestors: vec!["https://his.example".into(), "https://bad.example; script-src *".into()],
            trusted_proxies: vec![],
            by_tls_only: false,
        },
    )
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[tokio::test]
async fn a_visitor_is_led_to_sign_in_and_back() {
    let answer = ask("GET", "/record?person=7&tab=lab", &[], "").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/sign-in?next=%2Frecord%3Fperson%3D7%26tab%3Dlab")
    );
    // An ended session reaches the sign-in page instead of going round in a circle.
    assert_eq!(ask("GET", "/sign-in", &[("cookie", "session=old")], "").await.status, 200);
    let answer = ask("GET", "/record", &[("hx-request", "true")], "").await;
    assert_eq!((answer.status, answer.header("hx-redirect")), (401, "/sign-in"));
}

#[tokio::test]
async fn errors_speak_the_askers_language() {
    let staff = ("cookie", "session=staff");
    let html = ask("GET", "/audit", &[staff], "").await;
    assert_eq!(html.status, 403);
    assert!(
        html.body.starts_with("<!DOCTYPE html>")
            && html.body.contains("mk-rail")
            && html.body.contains("安全审计")
    );
    let part = ask("GET", "/audit", &[staff, ("hx-request", "true")], "").await;
    assert_eq!((part.status, part.header("hx-retarget")), (403, "#notices"));
    assert!(part.body.starts_with("<div class=\"mk-notice"));
    let api = ask("GET", "/api/v1/thing", &[("authorization", "Bearer wrong")], "").await;
    let json: serde_json::Value = serde_json::from_str(&api.body).unwrap();
    assert_eq!((api.status, json["error"]["code"].as_str()), (401, Some("credential.wrong")));
    let fhir = ask("GET", "/fhir/Patient", &[], "").await;
    let json: serde_json::Value = serde_json::from_str(&fhir.body).unwrap();
    assert_eq!((fhir.status, json["resourceType"].as_str()), (401, Some("OperationOutcome")));
    assert_eq!(json["issue"][0]["code"], "login");
    assert!(fhir.header("content-type").starts_with("application/fhir+json"));
}

#[tokio::test]
async fn unknown_pages_and_methods_have_pages() {
    for (method, path, status) in
        [("GET", "/nothing", 404), ("DELETE", "/sign-in", 405), ("GET", "/assets/nothing", 404)]
    {
        let answer = ask(method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        if !path.starts_with("/assets") {
            assert!(answer.body.contains("<!DOCTYPE html>"), "{path}: {}", answer.body);
        }
    }
    assert!(ask("GET", "/api/nothing", &[], "").await.body.starts_with("{\"error\""));
}

#[tokio::test]
async fn faults_and_panics_show_a_number_and_nothing_else() {
    for path in ["/boom", "/fault"] {
        let answer = ask("GET", path, &[], "").await;
        assert_eq!(answer.status, 500);
        assert!(answer.body.contains("事件编号") && !answer.body.contains("secret"), "{path}");
    }
    let busy = ask("GET", "/busy", &[], "").await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, "7"));
}

#[tokio::test]
async fn other_sites_cannot_post() {
    let answer =
        ask("POST", "/save", &[("cookie", "session=staff"), ("sec-fetch-site", "cross-site")], "x").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("别的网站"));
    let answer =
        ask("POST", "/save", &[("cookie", "session=staff"), ("sec-fetch-site", "same-origin")], "x").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "1"));
}

#[tokio::test]
async fn bodies_are_small_unless_the_route_streams() {
    let big = vec![b'x'; 3 * 1024 * 1024];
    assert_eq!(ask("POST", "/save", &[], big.clone()).await.status, 413);
    let chunked = Body::from_stream(futures::stream::iter(
        big.chunks(65536).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    ));
    let answer = ask("POST", "/save", &[], chunked).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("2 MB"), "{}", answer.body);
    assert_eq!(ask("POST", "/upload", &[], big).await.body, (3 * 1024 * 1024).to_string());
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    for path in ["/sign-in", "/nothing", "/boom", "/record"] {
        let answer = ask("GET", path, &[], "").await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let embed = ask("GET", "/embed/record", &[], "").await;
    assert!(embed.header("content-security-policy").ends_with("frame-ancestors https://his.example"));
    assert_eq!(embed.header("x-frame-options"), "");
}

#[tokio::test]
async fn long_pages_are_compressed_and_assets_are_not_compressed_twice() {
    let staff = ("cookie", "session=staff");
    let page = ask("GET", "/record", &[staff, ("accept-encoding", "gzip, br")], "").await;
    assert_eq!((page.status, page.header("content-encoding")), (200, "gzip"));
    assert!(page.body.len() < 6000, "{}", page.body.len());
    assert!(ask("GET", "/record", &[staff], "").await.body.contains("档案正文"));
    let css = ask("GET", crate::asset_url("app.css"), &[("accept-encoding", "gzip, br")], "").await;
    assert_eq!(
        (css.header("content-encoding"), css.header("cache-control")),
        ("br", "public, max-age=31536000, immutable")
    );
}

#[tokio::test]
async fn serving_ends_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, app(), async {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
}
