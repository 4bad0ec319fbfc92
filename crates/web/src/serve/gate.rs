//! The gate that every request passes once: address, forgery check, who is calling, the handler, error pages, headers
//! and the access log. One layer, so that a page costs little beyond its handler.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use kernel::{Caller, Error, RefusalKind, Result};
use tracing::Instrument;

use super::explain::explain;
use super::origin::{ClientAddress, client_address, forged, share, shared};
use super::panicked;
use crate::Failure;
use crate::frame::{Face, Frame};
use crate::policy::Policy;
use crate::route::{Asking, Authenticator, PeerCertificate};

/// What the gate needs to know.
pub(super) struct Gate {
    pub authenticator: Arc<dyn Authenticator>,
    pub face: Arc<Face>,
    pub policy: Arc<Policy>,
    pub trusted_proxies: Vec<IpAddr>,
    pub by_tls_only: bool,
    pub page_policy: HeaderValue,
    pub embed_policy: HeaderValue,
}

/// The content-security policy: everything from ourselves, nothing inline, frames only where allowed. Tabler's style
/// sheet draws check marks with `data:` images.
pub(super) fn policy(ancestors: &str) -> HeaderValue {
    let text = format!(
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors {ancestors}"
    );
    HeaderValue::from_str(&text)
        .unwrap_or(HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"))
}

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// Lets one request through.
pub(super) async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let address = client_address(peer, request.headers(), &gate.trusted_proxies);

    // A browser asks beforehand whether a script of another site may; it sends no credential with that.
    if request.method() == Method::OPTIONS && shared(request.uri().path()) {
        let mut answer = StatusCode::NO_CONTENT.into_response();
        share(answer.headers_mut());
        return answer;
    }
    let admitted = match forged(request.method(), request.uri().path(), request.headers()) {
        Some(refusal) => Err(refusal.into()),
        None => {
            let asking = Asking {
                method: request.method(),
                path: request.uri().path(),
                headers: request.headers(),
                address: &address,
                certificate: request.extensions().get::<PeerCertificate>(),
            };
            who(&gate, asking).await
        }
    };
    let extensions = request.extensions_mut();
    extensions.insert(ClientAddress(address.clone()));
    extensions.insert(gate.face.clone());
    extensions.insert(gate.policy.clone());
    let account = match &admitted {
        Ok(Some(caller)) => {
            extensions.insert(caller.clone());
            caller.account
        }
        _ => None,
    };

    // What an error page or the log needs, before the handler takes the request.
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    let response = match admitted {
        Ok(_) => AssertUnwindSafe(next.run(Request::from_parts(parts, body)))
            .catch_unwind()
            .instrument(tracing::info_span!("request", number))
            .await
            .unwrap_or_else(|cause: Box<dyn Any + Send>| panicked(cause.as_ref())),
        Err(error) => Failure(error).into_response(),
    };
    let mut response = explain(&asked, response);
    finish(&gate, asked.embedded(), response.headers_mut());
    if shared(asked.path()) {
        share(response.headers_mut());
    }
    if response.status() == StatusCode::UNAUTHORIZED
        && (under(asked.path(), "/api") || under(asked.path(), "/fhir"))
        && !response.headers().contains_key(header::WWW_AUTHENTICATE)
    {
        let told = if asked.parts.headers.contains_key(header::AUTHORIZATION) {
            "Bearer realm=\"minkang\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"minkang\""
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(told));
    }

    // The template of the path, never the path or the query: those may name a person.
    tracing::info!(
        target: "access",
        number,
        method = %asked.parts.method,
        route = asked.route.as_ref().map_or("-", MatchedPath::as_str),
        status = response.status().as_u16(),
        ms = started.elapsed().as_millis() as u64,
        address,
        account = account.map(kernel::Id::get),
    );
    response
}

/// The caller. A session that has ended is nobody, so that the sign-in page can be reached; a wrong client credential
/// is refused.
async fn who(gate: &Gate, asking: Asking<'_>) -> Result<Option<Arc<Caller>>> {
    match gate.authenticator.authenticate(asking).await {
        Err(Error::Refused(refusal))
            if refusal.kind == RefusalKind::Unauthenticated
                && !asking.headers.contains_key(header::AUTHORIZATION) =>
        {
            Ok(None)
        }
        other => other,
    }
}

/// What was asked for, kept for error pages and the log.
pub(super) struct Asked {
    /// The request without its body.
    pub parts: Parts,
    route: Option<MatchedPath>,
}

impl Asked {
    fn of(parts: &Parts) -> Self {
        Asked { parts: parts.clone(), route: parts.extensions.get::<MatchedPath>().cloned() }
    }
    /// The frame of an error page.
    pub fn frame(&self) -> Frame {
        Frame::of(&self.parts)
    }
    /// The path.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }
    fn embedded(&self) -> bool {
        under(self.path(), "/embed")
    }
}

/// Whether a path is this one or lies under it.
pub(super) fn under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Security headers; nothing dynamic is stored unless the handler says so.
fn finish(gate: &Gate, embedded: bool, headers: &mut HeaderMap) {
    let policy = if embedded { &gate.embed_policy } else { &gate.page_policy };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    if gate.by_tls_only {
        let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if !embedded {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Whether a response is an error that nobody has explained yet: the framework's own bare texts.
pub(super) fn unexplained(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}
