//! Assembling the application: every route behind one gate, assets beside it, compression around both; and serving it
//! until it is told to stop.

mod explain;
mod gate;
mod listen;
mod origin;
mod tls;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use kernel::{Error, Refusal, Result};
use tokio::net::TcpListener;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, DefaultPredicate, NotForContentType, Predicate, SizeAbove};

use crate::assets;
use crate::frame::Face;
use crate::policy::Policy;
use crate::route::{Authenticator, Routes};

pub use listen::{redirect_to, serve_with};
pub use origin::ClientAddress;
pub use tls::{Tls, TlsFiles};

/// What the application is assembled from, beside its routes.
pub struct Site {
    /// Tells who is calling.
    pub authenticator: Arc<dyn Authenticator>,
    /// What the frame of every page shows.
    pub face: Face,
    /// What operators changed of pages and menus.
    pub policy: Arc<Policy>,
    /// Origins that may show `/embed/…` in a frame, e.g. `https://his.example.org`; none: nobody may.
    pub embed_ancestors: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether browsers are told to come by TLS only from now on (HSTS).
    pub by_tls_only: bool,
}

impl Site {
    /// A site with the plain face: nobody may embed it, no proxy is trusted.
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Site {
            authenticator,
            face: Face::default(),
            policy: Arc::default(),
            embed_ancestors: Vec::new(),
            trusted_proxies: Vec::new(),
            by_tls_only: false,
        }
    }
}

/// The routes behind the gate (address, forgery check, authentication, error pages, headers, access log), the assets,
/// compression.
pub fn build_app(routes: Routes<()>, site: Site) -> Router {
    site.policy.learn(routes.list());
    let gate = Arc::new(gate::Gate {
        policy: site.policy,
        authenticator: site.authenticator,
        face: Arc::new(site.face),
        trusted_proxies: site.trusted_proxies,
        by_tls_only: site.by_tls_only,
        page_policy: gate::policy("'none'"),
        embed_policy: gate::policy(&ancestors(&site.embed_ancestors)),
    });
    let pages = routes
        .into_router()
        .fallback(|| async { crate::Failure(no_such_page().into()) })
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED })
        .layer(middleware::from_fn_with_state(gate, gate::pass));
    Router::new()
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.ico", get(|| async { Redirect::permanent(assets::asset_url("favicon.svg")) }))
        .merge(pages)
        .layer(
            CompressionLayer::new()
                .gzip(true)
                .quality(CompressionLevel::Fastest)
                .compress_when(worth_compressing()),
        )
}

/// What is worth compressing: more than a kilobyte, and not what is compressed already.
fn worth_compressing() -> impl Predicate {
    let text: And<SizeAbove, NotForContentType> =
        SizeAbove::new(1024).and(NotForContentType::const_new("application/zip"));
    DefaultPredicate::new()
        .and(text)
        .and(NotForContentType::const_new("application/gzip"))
        .and(NotForContentType::const_new("application/vnd.openxmlformats"))
        .and(NotForContentType::const_new("application/pdf"))
}

/// Origins as the policy wants them; what could not stand in a header is left out.
fn ancestors(origins: &[String]) -> String {
    let usable: Vec<&str> = origins
        .iter()
        .map(|origin| origin.trim())
        .filter(|origin| {
            !origin.is_empty()
                && !origin.contains([';', ',', ' ', '\'', '"'])
                && HeaderValue::from_str(origin).is_ok()
        })
        .collect();
    if usable.is_empty() { "'none'".to_owned() } else { usable.join(" ") }
}

fn no_such_page() -> Refusal {
    Refusal::not_found(
        "page.not_found",
        "没有这个页面。地址可能输错，或内容已被移走；也可能不在您的权限范围内。",
    )
}

/// Serves in the clear until `stop` ends, then lets open requests finish, at most ten seconds.
pub async fn serve<F>(listener: TcpListener, app: Router, stop: F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    serve_with(listener, None, app, stop).await
}

/// A fault that a handler's panic becomes.
fn panicked(cause: &(dyn std::any::Any + Send)) -> Response {
    let text = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    crate::Failure(Error::fault("answer a request (panic)", text)).into_response()
}

#[cfg(test)]
mod tests;
