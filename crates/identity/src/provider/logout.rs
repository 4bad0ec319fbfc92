//! Leaving: RP-initiated logout (an application sends the person here to sign out) and back-channel logout (the
//! platform tells applications that a session has ended).

use ::store::{DbDoing, jobs};
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Duration;
use kernel::{CallerKind, Refusal, Result};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row;
use web::{Frame, Reply};

use super::application;
use super::authorize::onward;
use super::claims::subject;
use super::{Parameters, with_query};
use crate::{Identity, cookie, jose, outbound, secret};

/// The job that tells one application.
pub(crate) const TELL: &str = "sso.tell";

/// What it carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tell {
    grant: i64,
}

/// Whom an identity token names; it may have expired, but it must be ours.
struct Hint {
    client_id: String,
    sid: String,
}

impl Identity {
    async fn hint(&self, token: Option<&str>) -> Result<Option<Hint>> {
        let Some(token) = token else { return Ok(None) };
        let ring = self.sso_ring().await?;
        let Ok(claims) = jose::verify(token, &ring.shown) else { return Ok(None) };
        if claims["iss"].as_str() != Some(&self.issuer()) {
            return Ok(None);
        }
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        Ok(Some(Hint { client_id: text("aud"), sid: text("sid") }))
    }

    /// Where to go after signing out: only to an address that is registered for the application that asks.
    async fn after(&self, params: &Parameters, hint: Option<&Hint>) -> Result<Option<String>> {
        let (Some(to), Some(client_id)) = (
            params.get("post_logout_redirect_uri"),
            hint.map(|h| h.client_id.as_str()).or(params.get("client_id")),
        ) else {
            return Ok(None);
        };
        let app = application::load_open(self.db.pool(), client_id).await?;
        let known = app.is_some_and(|app| app.logout_uris.iter().any(|one| one == to));
        Ok(known.then(|| with_query(to, &[("state", params.get("state").unwrap_or_default())])))
    }

    /// Whether a sign-in at an application belongs to this session.
    async fn belongs(&self, sid: &str, session: i64) -> Result<bool> {
        sqlx::query_scalar("select exists (select 1 from sso_grant where sid = $1 and session_id = $2)")
            .bind(sid)
            .bind(session)
            .fetch_one(self.db.pool())
            .await
            .db("compare a sign-in with a session")
    }

    async fn leave(&self, headers: &HeaderMap, frame: &Frame) -> Result<()> {
        if let Some(token) = cookie::token(headers, cookie::SESSION, self.settings.tls) {
            self.sign_out(token, frame.caller.as_deref()).await?;
        }
        self.sso_after_sessions().await
    }

    /// Ends the sign-ins at applications whose session is gone and writes the jobs that tell the applications. Called
    /// after a sign-out and every few seconds, for sessions that ended in any other way.
    pub async fn sso_after_sessions(&self) -> Result<()> {
        let now = self.clock.now();
        let ended = self
            .db
            .transaction(async |tx| {
                let rows = sqlx::query(
                    "update sso_grant g set told_at = $1,
                        ended_at = case when g.online then coalesce(g.ended_at, $1) else g.ended_at end,
                        end_reason = case when g.online and g.ended_at is null then 'session' else g.end_reason end
                     from application p
                     where g.told_at is null and p.id = g.application_id
                       and (g.session_id is null
                            or exists (select 1 from session s where s.id = g.session_id and s.expires_at <= $1))
                     returning g.id, p.backchannel_uri <> '' and p.state = 'open'",
                )
                .bind(now)
                .fetch_all(&mut **tx)
                .await
                .db("end the sign-ins of ended sessions")?;
                for row in &rows {
                    let (grant, tells): (i64, bool) =
                        (row.try_get(0).db("read an ended sign-in")?, row.try_get(1).db("read an ended sign-in")?);
                    if tells {
                        jobs::enqueue(tx, TELL, "", &Tell { grant }, None).await?;
                    }
                }
                Ok(rows.len())
            })
            .await?;
        if ended > 0 {
            self.gatekeeper.forget_tokens();
        }
        Ok(())
    }

    /// Tells an application that a session has ended (OpenID Connect Back-Channel Logout).
    pub(crate) async fn sso_tell(&self, tell: &Tell) -> Result<()> {
        let now = self.clock.now();
        let found: Option<(String, i64, String, String)> = sqlx::query_as(
            "select g.sid, g.account_id, p.client_id, p.backchannel_uri
             from sso_grant g join application p on p.id = g.application_id where g.id = $1 and p.state = 'open'",
        )
        .bind(tell.grant)
        .fetch_optional(self.db.pool())
        .await
        .db("read an ended sign-in")?;
        let Some((sid, account, client_id, address)) = found.filter(|(.., address)| !address.is_empty())
        else {
            return Ok(());
        };
        let claims = json!({
            "iss": self.issuer(), "sub": subject(account), "aud": client_id, "sid": sid,
            "iat": now.timestamp(), "exp": (now + Duration::minutes(2)).timestamp(),
            "jti": secret::random_suffix(32)?,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let token = self.sso_ring().await?.signing.sign("logout+jwt", &claims)?;
        outbound::post_form(&address, &[("logout_token", &token)], None, "").await.map(|_| ())
    }
}

/// `GET /oauth/logout`: leaves at once when the application shows that it means this very session; asks otherwise,
/// so that no other site's link signs anybody out.
pub(super) async fn ask(
    State(identity): State<Identity>,
    headers: HeaderMap,
    uri: Uri,
    frame: Frame,
) -> Reply<Response> {
    let params = Parameters::of(&uri).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let hint = identity.hint(params.get("id_token_hint")).await?;
    let after = identity.after(&params, hint.as_ref()).await?;
    let signed_in = frame.caller.as_ref().is_some_and(|c| c.kind == CallerKind::Staff);
    let session = match cookie::token(&headers, cookie::SESSION, identity.settings.tls)
        .map(secret::digest)
        .filter(|_| signed_in)
    {
        Some(token) => identity.session_facts(&token).await?,
        None => None,
    };
    let agreed = match (&session, &hint) {
        (None, _) => true,
        (Some(session), Some(hint)) => identity.belongs(&hint.sid, session.id).await?,
        (Some(_), None) => false,
    };
    if !agreed {
        return Ok(frame.lone("退出登录", confirm(&params)).into_response());
    }
    if session.is_some() {
        identity.leave(&headers, &frame).await?;
    }
    let mut response = Redirect::to(after.as_deref().unwrap_or("/sign-in")).into_response();
    cookie::clear(response.headers_mut(), cookie::SESSION, identity.settings.tls);
    Ok(response)
}

fn confirm(params: &Parameters) -> Markup {
    html! {
        p { "要退出平台吗？通过平台登录的其他应用也会一起退出。" }
        form method="post" action="/oauth/logout" {
            @for name in ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"] {
                @if let Some(value) = params.get(name) { input type="hidden" name=(name) value=(value); }
            }
            button class="btn btn-primary w-100" type="submit" { "退出登录" }
        }
        p.mk-muted { a href="/desk" { "不退出，回到工作台" } }
    }
}

/// `POST /oauth/logout`: the person agreed.
pub(super) async fn leave(
    State(identity): State<Identity>,
    headers: HeaderMap,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let params = Parameters::read(&body).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let hint = identity.hint(params.get("id_token_hint")).await?;
    let after = identity.after(&params, hint.as_ref()).await?;
    identity.leave(&headers, &frame).await?;
    let mut response = match after {
        Some(to) => onward(&frame, &to),
        None => Redirect::to("/sign-in").into_response(),
    };
    cookie::clear(response.headers_mut(), cookie::SESSION, identity.settings.tls);
    Ok(response)
}
