//! Routes that state what they need. A route cannot be added without saying who may use it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures::StreamExt;
use futures::future::BoxFuture;
use kernel::{Caller, CallerKind, Need, Purpose, Reach, Refusal, RefusalKind};
use tokio::sync::Mutex;

use crate::failure::Failure;
use crate::policy::Policy;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Callers that hold this right.
    Needs(Need),
    /// Callers that hold this right and have proved who they are within the last minutes (step-up), for sensitive
    /// acts. Others are sent to prove it again.
    Fresh(Need),
    /// Anybody who has signed in, with the reason why no right is needed.
    SignedIn(&'static str),
    /// Anybody at all, with the reason.
    Open(&'static str),
}

/// The code of the refusal that sends somebody to prove their identity again.
pub const STEP_UP: &str = "access.step_up";

/// What the permission grid lists.
#[derive(Debug, Clone)]
pub struct RouteInfo {
    /// Method.
    pub method: Method,
    /// Path template, e.g. `/record/{person}`.
    pub path: String,
    /// Who may use it.
    pub access: Access,
}

/// A context's routes.
pub struct Routes<S = ()> {
    router: Router<S>,
    list: Vec<RouteInfo>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    pub fn new() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }

    /// Adds a route.
    pub fn add<H, T>(self, method: Method, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.put(method, path, access, Body::Small, handler)
    }

    fn put<H, T>(mut self, method: Method, path: &str, access: Access, body: Body, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        // Every method used in this program has a filter; an unknown one would match nothing.
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
        let name: Arc<str> = crate::policy::key(&method, path).into();
        let mut guarded: MethodRouter<S> =
            on(filter, handler).layer(middleware::from_fn(move |request: Request, next: Next| {
                let name = name.clone();
                async move { guard(access, body, &name, request, next).await }
            }));
        if body == Body::Stream {
            guarded = guarded.layer(DefaultBodyLimit::disable());
        }
        self.router = self.router.route(path, guarded);
        self.list.push(RouteInfo { method, path: path.to_owned(), access });
        self
    }

    /// Adds a GET route.
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
        self.add(Method::GET, path, access, handler)
    }

    /// Adds a POST route.
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
        self.add(Method::POST, path, access, handler)
    }

    /// Adds a POST route whose body may be of any size and take any time: uploads, read as a stream.
    pub fn post_stream<H: Handler<T, S>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
        self.put(Method::POST, path, access, Body::Stream, handler)
    }

    /// Gives the handlers their state.
    pub fn with_state(self, state: S) -> Routes<()> {
        Routes { router: self.router.with_state(state), list: self.list }
    }
}

impl Routes<()> {
    /// Joins the routes of another context.
    pub fn merge(mut self, other: Routes<()>) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }
    /// Puts something around every route: it sees each request after the caller is known, and each answer.
    #[must_use]
    pub fn around(mut self, wrap: impl FnOnce(Router) -> Router) -> Self {
        self.router = wrap(self.router);
        self
    }
    /// The routes and their needs, for the permission grid.
    pub fn list(&self) -> &[RouteInfo] {
        &self.list
    }
    /// The router.
    pub fn into_router(self) -> Router {
        self.router
    }
}

/// Tells who is calling. Implemented by `identity`, wired in `app`.
pub trait Authenticator: Send + Sync + 'static {
    /// The caller behind the session cookie, client credential, token or client certificate; `None` for nobody. A
    /// credential that is present but wrong is a refusal.
    fn authenticate<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, kernel::Result<Option<Arc<Caller>>>>;
}

/// What a request brings to be recognised by.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path, without the query.
    pub path: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from.
    pub address: &'a str,
    /// The client certificate of the connection, when there is one that the TLS layer has verified.
    pub certificate: Option<&'a PeerCertificate>,
}

/// A client certificate that the TLS layer has verified against the configured authorities. A request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate in DER.
    pub der: Arc<[u8]>,
}

/// The most bytes a body may have, unless the route streams.
pub const BODY_LIMIT: u64 = 2 * 1024 * 1024;

/// The longest an ordinary request may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// At most [`BODY_LIMIT`], answered within [`PATIENCE`].
    Small,
    /// An upload.
    Stream,
}

async fn guard(access: Access, body: Body, name: &str, mut request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    // A signed link opens the embedded record and nothing beside it.
    if caller.as_ref().is_some_and(|c| c.kind == CallerKind::Embedded)
        && matches!(access, Access::Needs(_) | Access::Fresh(_))
        && !request.uri().path().starts_with("/embed/")
    {
        let refusal = Refusal::forbidden(
            "access.embedded",
            "没有权限：从医院工作站打开的健康档案不能转到平台的其他页面。如需使用，请用平台账号登录。",
        );
        return Failure(refusal.into()).into_response();
    }
    match access {
        Access::Open(_) => {}
        Access::Needs(_) | Access::Fresh(_) | Access::SignedIn(_)
            if caller.as_ref().is_none_or(|c| c.kind == CallerKind::Resident) =>
        {
            return Failure(
                Refusal::new(RefusalKind::Unauthenticated, "access.sign_in", "请先登录。").into(),
            )
            .into_response();
        }
        Access::Needs(need) if caller.as_ref().is_some_and(|c| c.may(need)) => {}
        Access::Fresh(need) if caller.as_ref().is_some_and(|c| c.may(need)) => {
            if !caller.as_ref().is_some_and(|c| c.assurance.fresh) {
                return step_up(request).await;
            }
        }
        Access::Needs(need) | Access::Fresh(need) => {
            let refusal = caller
                .as_ref()
                .and_then(|c| c.decide(need, Purpose::of("")).err())
                .unwrap_or_else(|| Refusal::forbidden("access.no_right", "没有权限。"));
            return Failure(refusal.into()).into_response();
        }
        Access::SignedIn(_) => {}
    }
    // What operators narrowed; it never opens what the route declares.
    if let Some(policy) = request.extensions().get::<Arc<Policy>>()
        && let Err(refusal) = policy.passes(caller.as_deref(), name)
    {
        return Failure(refusal.into()).into_response();
    }
    if let (Some(caller), Access::Needs(need) | Access::Fresh(need)) = (caller, access) {
        request.extensions_mut().insert(Allowed { caller, need });
    }
    if body == Body::Stream {
        return stream(request, next).await;
    }
    if request.body().size_hint().lower() > BODY_LIMIT {
        return too_large().into_response();
    }
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure(
            Refusal::new(
                RefusalKind::Unavailable,
                "request.too_slow",
                "这一步用时过长，已经停止，没有改动任何数据。请缩小查询范围，或稍后再试。",
            )
            .into(),
        )
        .into_response(),
    }
}

/// The most bytes of a form that go along to the proof of identity.
const HELD_LIMIT: usize = 256 * 1024;

/// What a form was sending when a fresh proof of identity was wanted; an extension of the refusal, so that its page can
/// send it on and nothing typed is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held(pub String);

/// Refuses what wants a fresh proof of identity; a form's fields go along.
async fn step_up(request: Request) -> Response {
    let refusal =
        Refusal::forbidden(STEP_UP, "这一步涉及敏感操作，需要先重新验证您的身份。验证后请再试一次。");
    let mut response = Failure(refusal.into()).into_response();
    let form = request.method() == Method::POST
        && request
            .headers()
            .get(axum::http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if form
        && let Ok(bytes) = axum::body::to_bytes(request.into_body(), HELD_LIMIT).await
        && let Ok(text) = String::from_utf8(bytes.to_vec())
    {
        response.extensions_mut().insert(Held(text));
    }
    response
}

/// The most that is read of an upload that was answered before its end, and for how long.
const REMAINDER: (usize, Duration) = (64 * 1024 * 1024, Duration::from_secs(10));

/// Runs the handler of an upload. When it answers early (a repeated request, a full queue), the rest of the body is
/// read and dropped: a connection closed with bytes unread is reset, and the sender would never see the answer.
async fn stream(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let source = Arc::new(Mutex::new(body.into_data_stream()));
    let pieces = futures::stream::unfold(source.clone(), |source| async move {
        let piece = source.lock().await.next().await?;
        Some((piece, source))
    });
    let response = next.run(Request::from_parts(parts, axum::body::Body::from_stream(pieces))).await;
    let remainder = async {
        let mut source = source.lock().await;
        let mut dropped = 0;
        while dropped < REMAINDER.0
            && let Some(Ok(piece)) = source.next().await
        {
            dropped += piece.len();
        }
    };
    if tokio::time::timeout(REMAINDER.1, remainder).await.is_err() {
        tracing::debug!("the sender of an upload that is answered already is slow; not waiting for its end");
    }
    response
}

/// What a body beyond [`BODY_LIMIT`] is answered.
pub(crate) fn too_large() -> Failure {
    Failure(
        Refusal::new(
            RefusalKind::TooLarge,
            "request.too_large",
            "提交的内容超过 2 MB。成批数据请用“数据上传”页面或上传接口。",
        )
        .into(),
    )
}

/// The caller of a route that needs a right, and that right. The way to a [`Reach`].
#[derive(Debug, Clone)]
pub struct Allowed {
    caller: Arc<Caller>,
    need: Need,
}

impl Allowed {
    /// Who is calling.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
    /// The reach of this route's right, for a purpose.
    pub fn reach(&self, purpose: Purpose) -> Result<Reach, Refusal> {
        self.caller.decide(self.need, purpose)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Allowed {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Allowed>().cloned().ok_or_else(|| {
            Failure(kernel::Error::fault("take the caller of a route", "the route declares no need"))
        })
    }
}
