//! The authorization endpoint: from an application's request, by way of the person's session, to a code.
//!
//! Nothing is sent to an address that is not registered for the application, character by character. A person who is
//! not signed in goes to the sign-in page and comes back. There is no consent page: applications are registered by
//! the platform's administrators; the person sees and ends them under 我的账号 → 登录过的应用.

use ::store::{AuditEntry, audit};
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Duration, Utc};
use kernel::access::Factor;
use kernel::{Caller, CallerKind, Purpose, Refusal, Result};
use maud::{Markup, html};
use serde_json::json;
use web::{Frame, Reply};

use super::application::{self, Application};
use super::refusal::OAuthError;
use super::{AUTHORIZE, CODE_LIFE, Parameters, launch, scope, store, with_query};
use crate::page::Visitor;
use crate::secret::{self, SecretDigest};
use crate::{Identity, actor, cookie, grants, session};

/// Marks a request that comes straight from the sign-in form. The page's policy forbids a form to end at another
/// site, so such a request is answered with a page that goes on by itself.
const CONTINUED: &str = "continued";

/// The session behind a request, as tokens need it.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// Identifier.
    pub id: i64,
    /// Whose.
    pub account_id: i64,
    /// When the person proved who they are.
    pub auth_time: DateTime<Utc>,
    /// Absolute end.
    pub expires_at: DateTime<Utc>,
    /// Where the person must go before anything else: a password to change, a second factor to add.
    pub first: Option<&'static str>,
}

impl Identity {
    /// The session of a browser that the gate found to be alive.
    pub(crate) async fn session_facts(&self, token: &SecretDigest) -> Result<Option<SessionFacts>> {
        let pool = self.db.pool();
        let Some(live) = session::load(pool, token).await? else { return Ok(None) };
        let now = self.clock.now();
        let standing = grants::standing(pool, &self.catalog, live.account(), now).await?;
        let must_enrol = !live.has_second
            && live.factor == "single"
            && crate::factor::required(&self.options, &self.catalog, &standing.roles);
        Ok(Some(SessionFacts {
            id: live.id,
            account_id: live.account_id,
            auth_time: live.proved_at.unwrap_or(live.last_seen_at),
            expires_at: live.expires_at,
            first: match (live.must_change, must_enrol) {
                (true, _) => Some("/account"),
                (false, true) => Some("/account/code"),
                (false, false) => None,
            },
        }))
    }
}

/// How surely somebody was recognised, as stored.
pub(super) fn factor_code(factor: Factor) -> &'static str {
    match factor {
        Factor::Single => "single",
        Factor::Second => "second",
        Factor::Certificate => "certificate",
    }
}

fn rank(code: &str) -> u8 {
    match code {
        "certificate" => 2,
        "second" => 1,
        _ => 0,
    }
}

/// What a good request asks for.
struct Asked {
    scopes: Vec<String>,
    challenge: String,
    nonce: Option<String>,
    launch: Option<String>,
}

/// What becomes of a request.
enum Turn {
    /// An error for the application.
    Refused(OAuthError),
    /// The person must do something first.
    Page(Markup),
    /// Somewhere else on the platform first.
    Elsewhere(String),
    /// A code for the application.
    Code(String),
}

pub(super) async fn authorize(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    uri: Uri,
    frame: Frame,
) -> Reply<Response> {
    let params = match Parameters::of(&uri) {
        Ok(params) => params,
        Err(error) => return Ok(unusable(&frame, &error.description)),
    };
    if params.get(CONTINUED).is_some() {
        let on = format!("{AUTHORIZE}?{}", params.without(&[CONTINUED]));
        return Ok(onward(&frame, &on));
    }
    let found = match params.get("client_id") {
        Some(client_id) => application::load_open(identity.db.pool(), client_id).await?,
        None => None,
    };
    let Some(app) = found else {
        return Ok(unusable(&frame, "应用没有在平台登记，或已经停用（client_id）。"));
    };
    let Some(redirect) = params.get("redirect_uri").filter(|r| app.redirect_uris.iter().any(|one| one == r))
    else {
        let caller = frame.caller.as_deref().cloned().unwrap_or_else(|| actor::nobody("", &visitor.address));
        identity.audit_authorize(&caller, &app, "redirect_uri", None).await?;
        return Ok(unusable(&frame, "回调地址与应用登记的不一致（redirect_uri）。"));
    };
    let turn = match examine(&params, &app) {
        Ok(asked) => identity.proceed(&params, &app, redirect, asked, &headers, &frame).await?,
        Err(error) => Turn::Refused(error),
    };
    let state = params.get("state").unwrap_or_default();
    let issuer = identity.issuer();
    Ok(match turn {
        Turn::Code(code) => {
            Redirect::to(&with_query(redirect, &[("code", &code), ("state", state), ("iss", &issuer)]))
                .into_response()
        }
        Turn::Refused(error) => {
            if error.code != "login_required" {
                let caller =
                    frame.caller.as_deref().cloned().unwrap_or_else(|| actor::nobody("", &visitor.address));
                identity.audit_authorize(&caller, &app, error.code, None).await?;
            }
            let pairs = [
                ("error", error.code),
                ("error_description", error.description.as_str()),
                ("state", state),
                ("iss", issuer.as_str()),
            ];
            Redirect::to(&with_query(redirect, &pairs)).into_response()
        }
        Turn::Elsewhere(to) => Redirect::to(&to).into_response(),
        Turn::Page(body) => frame.lone("登录", body).into_response(),
    })
}

/// Reads what can be judged without knowing who is there.
fn examine(params: &Parameters, app: &Application) -> Result<Asked, OAuthError> {
    if params.get("request").is_some() {
        return Err(OAuthError::new("request_not_supported", "request objects are not supported"));
    }
    if params.get("request_uri").is_some() {
        return Err(OAuthError::new("request_uri_not_supported", "request objects are not supported"));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(OAuthError::new("unsupported_response_type", "only response_type=code")),
        None => return Err(OAuthError::invalid_request("response_type is missing")),
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OAuthError::invalid_request("only response_mode=query"));
    }
    let challenge = params.get("code_challenge").unwrap_or_default();
    let s256 = params.get("code_challenge_method") == Some("S256");
    let good =
        challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !s256 || !good {
        return Err(OAuthError::invalid_request(
            "PKCE is required: code_challenge with code_challenge_method=S256",
        ));
    }
    if params.get("nonce").is_some_and(|n| n.len() > 500)
        || params.get("state").is_some_and(|s| s.len() > 1000)
    {
        return Err(OAuthError::invalid_request("nonce or state is too long"));
    }
    let scopes = scope::narrowed(params.get("scope").unwrap_or_default(), &app.scopes);
    if scopes.is_empty() {
        return Err(OAuthError::new("invalid_scope", "none of the scopes is allowed for this application"));
    }
    Ok(Asked {
        scopes,
        challenge: challenge.to_owned(),
        nonce: params.get("nonce").map(str::to_owned),
        launch: params.get("launch").map(str::to_owned),
    })
}

impl Identity {
    async fn proceed(
        &self,
        params: &Parameters,
        app: &Application,
        redirect: &str,
        asked: Asked,
        headers: &HeaderMap,
        frame: &Frame,
    ) -> Result<Turn> {
        let now = self.clock.now();
        let prompts: Vec<&str> = params.get("prompt").unwrap_or_default().split_ascii_whitespace().collect();
        let silent = prompts.contains(&"none");
        if silent && prompts.len() > 1 {
            return Ok(Turn::Refused(OAuthError::invalid_request("prompt=none stands alone")));
        }
        let caller = frame.caller.as_deref().filter(|c| c.kind == CallerKind::Staff);
        let token = cookie::token(headers, cookie::SESSION, self.settings.tls).map(secret::digest);
        let session = match (caller, &token) {
            (Some(_), Some(token)) => self.session_facts(token).await?,
            _ => None,
        };
        let (Some(caller), Some(session)) = (caller, session) else {
            if silent {
                return Ok(Turn::Refused(OAuthError::new("login_required", "nobody is signed in")));
            }
            // Signing in is what `login` asks for; it is not asked for again on the way back.
            let query = params.without(&["prompt", CONTINUED]);
            let next = format!("{AUTHORIZE}?{query}&{CONTINUED}=1");
            return Ok(Turn::Elsewhere(with_query("/sign-in", &[("next", &next)])));
        };
        let max_age = match params.get("max_age").map(str::parse::<i64>) {
            None => None,
            Some(Ok(seconds)) if seconds >= 0 => Some(Duration::seconds(seconds.min(86_400 * 366))),
            Some(_) => {
                return Ok(Turn::Refused(OAuthError::invalid_request("max_age is no number of seconds")));
            }
        };
        let stale = max_age.is_some_and(|most| now - session.auth_time > most);
        if stale || prompts.contains(&"login") || prompts.contains(&"select_account") {
            if silent {
                return Ok(Turn::Refused(OAuthError::new(
                    "login_required",
                    "the sign-in is older than max_age",
                )));
            }
            return Ok(Turn::Page(again_page(app, caller, &params.without(&["prompt"]))));
        }
        if let Some(first) = session.first {
            if silent {
                let why = "the person must look after the account first";
                return Ok(Turn::Refused(OAuthError::new("interaction_required", why)));
            }
            return Ok(Turn::Elsewhere(first.to_owned()));
        }
        let factor = factor_code(caller.assurance.factor);
        if rank(factor) < rank(&app.factor) {
            let error = "unmet_authentication_requirements";
            let why = "this application wants a stronger way of signing in (second factor or certificate)";
            return Ok(Turn::Refused(OAuthError::new(error, why)));
        }
        if asked.launch.is_none() && scope::wants_person(&asked.scopes) {
            if silent {
                return Ok(Turn::Refused(OAuthError::new("interaction_required", "a person must be chosen")));
            }
            if !scope::has(&asked.scopes, "launch/patient") {
                let why = "patient scopes want a launch from the record, or launch/patient";
                return Ok(Turn::Refused(OAuthError::invalid_request(why)));
            }
            return Ok(Turn::Page(launch::choose_page(app, &params.without(&["prompt"]), None)));
        }
        self.issue_code(app, redirect, asked, &session, caller, factor, now).await
    }

    #[allow(clippy::too_many_arguments)] // what a code is bound to
    async fn issue_code(
        &self,
        app: &Application,
        redirect: &str,
        asked: Asked,
        session: &SessionFacts,
        caller: &Caller,
        factor: &'static str,
        now: DateTime<Utc>,
    ) -> Result<Turn> {
        let code = secret::random_token()?;
        let offline = scope::has(&asked.scopes, "offline_access");
        let offline_until = now + Duration::days(self.options.whole("sso.offline_days"));
        let mut new = store::NewGrant {
            sid: secret::random_suffix(32)?,
            application: app.id,
            account: session.account_id,
            session: session.id,
            online: !offline,
            scopes: asked.scopes,
            factor,
            auth_time: session.auth_time,
            nonce: asked.nonce,
            person: None,
            encounter: String::new(),
            expires_at: if offline { offline_until } else { session.expires_at },
        };
        let done = self
            .db
            .transaction(async |tx| {
                if let Some(launch) = &asked.launch {
                    let digest = secret::digest(launch);
                    let taken = store::take_launch(tx, &digest, app.id, session.account_id, now).await?;
                    let Some((person, encounter)) = taken else { return Ok(false) };
                    (new.person, new.encounter) = (Some(person), encounter);
                }
                let grant = store::insert_grant(tx, &new, now).await?;
                let end = now + CODE_LIFE;
                store::insert_code(tx, &secret::digest(&code), grant, redirect, &asked.challenge, end)
                    .await?;
                application::touch(tx, app.id, now).await?;
                let entry = AuditEntry {
                    act: "sso.authorize",
                    object_kind: "application",
                    object_id: Some(app.id),
                    object_label: app.name.clone(),
                    person_id: new.person,
                    detail: Some(json!({ "client_id": app.client_id, "scopes": new.scopes, "grant": grant })),
                    ..AuditEntry::default()
                };
                audit::record(tx, caller, &Purpose::of(""), now, &entry).await?;
                Ok(true)
            })
            .await?;
        if !done {
            return Ok(Turn::Refused(OAuthError::invalid_request("launch is unknown, used or expired")));
        }
        Ok(Turn::Code(code))
    }

    pub(super) async fn audit_authorize(
        &self,
        caller: &Caller,
        app: &Application,
        outcome: &'static str,
        detail: Option<serde_json::Value>,
    ) -> Result<()> {
        let entry = AuditEntry {
            act: "sso.authorize",
            object_kind: "application",
            object_id: Some(app.id),
            object_label: app.name.clone(),
            outcome,
            detail,
            ..AuditEntry::default()
        };
        let now = self.clock.now();
        self.db.transaction(async |tx| audit::record(tx, caller, &Purpose::of(""), now, &entry).await).await
    }
}

/// `POST /oauth/authorize/again`: the person agreed to sign in again for an application.
pub(super) async fn again(
    State(identity): State<Identity>,
    headers: HeaderMap,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let form = Parameters::read(&body).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let query = form.get("query").unwrap_or_default().to_owned();
    if let Some(token) = cookie::token(&headers, cookie::SESSION, identity.settings.tls) {
        identity.sign_out(token, frame.caller.as_deref()).await?;
    }
    let next = format!("{AUTHORIZE}?{query}&{CONTINUED}=1");
    let mut response = Redirect::to(&with_query("/sign-in", &[("next", &next)])).into_response();
    cookie::clear(response.headers_mut(), cookie::SESSION, identity.settings.tls);
    Ok(response)
}

fn again_page(app: &Application, caller: &Caller, query: &str) -> Markup {
    html! {
        p { "应用“" b { (app.name) } "”要求重新登录，以确认正在操作的是您本人。" }
        p.mk-muted { "当前登录：" (caller.name) "（" (caller.institution_name) "）" }
        form method="post" action="/oauth/authorize/again" {
            input type="hidden" name="query" value=(query);
            button class="btn btn-primary w-100" type="submit" { "重新登录" }
        }
        p.mk-muted { a href="/desk" { "不登录，回到工作台" } }
    }
}

/// A page that goes on by itself: for ways that a form must not end in.
pub(super) fn onward(frame: &Frame, to: &str) -> Response {
    let body = html! {
        p { "正在进入应用…" }
        p { a class="btn btn-primary w-100" href=(to) { "没有自动打开？点这里继续" } }
    };
    let mut response = frame.lone("正在进入", body).into_response();
    if let Ok(value) = format!("0;url={to}").parse() {
        response.headers_mut().insert(header::REFRESH, value);
    }
    response
}

/// A request that cannot be answered to the application, because it is not known who or where that is.
fn unusable(frame: &Frame, why: &str) -> Response {
    let body = html! {
        div class="alert alert-danger" role="alert" { "这个登录请求不能使用：" (why) }
        p.mk-muted { "请回到应用重新进入；若反复出现，请联系应用的提供方核对在平台登记的信息。" }
        p { a href="/desk" { "回到工作台" } }
    };
    (StatusCode::BAD_REQUEST, frame.lone("不能登录", body)).into_response()
}
