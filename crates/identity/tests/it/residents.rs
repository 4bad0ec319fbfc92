//! Residents are another realm: nothing of a staff session serves there, and the other way round.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use futures::future::BoxFuture;
use kernel::{Caller, CallerKind};
use tower::ServiceExt;
use web::serve::Site;
use web::{Access, Asking, Authenticator};

use crate::city::{PASSWORD, city};

/// Takes everybody for a resident with every right there is.
struct Portal;

impl Authenticator for Portal {
    fn authenticate<'a>(&'a self, _: Asking<'a>) -> BoxFuture<'a, kernel::Result<Option<Arc<Caller>>>> {
        let caller = Caller { kind: CallerKind::Resident, ..Caller::system("居民") };
        Box::pin(async move { Ok(Some(Arc::new(caller))) })
    }
}

#[tokio::test]
async fn no_page_of_staff_opens_to_a_resident_whatever_rights_are_made_up() {
    let city = city().await;
    let routes = city.identity.routes();
    let list = routes.list().to_vec();
    let app = web::serve::build_app(routes, Site::new(Arc::new(Portal)));
    let mut tried = 0;
    for route in list.iter().filter(|route| !matches!(route.access, Access::Open(_))) {
        let path: Vec<&str> =
            route.path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        let request = Request::builder()
            .method(route.method.clone())
            .uri(path.join("/"))
            .header("host", "minkang.test")
            .header("sec-fetch-site", "same-origin")
            .header("accept", "text/html")
            .body(Body::empty())
            .unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let away = answer.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let refused = answer.status() == 401 || (route.method == Method::GET && away.starts_with("/sign-in"));
        assert!(refused, "{} {}: {}", route.method, route.path, answer.status());
        tried += 1;
    }
    assert!(tried > 40, "{tried} routes");
}

#[tokio::test]
async fn a_session_token_serves_in_no_other_cookie() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    browser.sign_in("wang.li", PASSWORD).await;
    let token = browser.cookies.remove("minkang_session").unwrap();
    for other in ["minkang_resident", "minkang_embed", "minkang_ticket", "minkang_device"] {
        let mut elsewhere = city.browser();
        elsewhere.cookies.insert(other.into(), token.clone());
        assert_ne!(elsewhere.get("/medical").await.status, 200, "{other}");
    }
}
