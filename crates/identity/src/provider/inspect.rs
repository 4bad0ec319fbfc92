//! What is asked about tokens: whose is it (userinfo), is it good (introspection, RFC 7662), end it (revocation,
//! RFC 7009).

use ::store::{AuditEntry, audit};
use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::{Purpose, Result};
use serde_json::json;
use web::Reply;
use web::route::PeerCertificate;

use super::claims::{self, subject};
use super::credential::Party;
use super::refusal::{OAuthError, unstored};
use super::store::{self, Grant, Token};
use super::token::program;
use super::{Parameters, scope};
use crate::page::Visitor;
use crate::secret::{self, SecretDigest};
use crate::{Identity, certificate};

/// The token in an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// What an interface answers to a bearer whose token is not good (RFC 6750).
fn challenge(error: &str, status: StatusCode) -> Response {
    let body = json!({ "error": error });
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer realm=\"minkang\", error=\"{error}\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

pub(super) async fn userinfo(State(identity): State<Identity>, headers: HeaderMap) -> Reply<Response> {
    let Some(token) = bearer(&headers) else {
        let mut response = challenge("invalid_token", StatusCode::UNAUTHORIZED);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"minkang\""));
        return Ok(response);
    };
    let Some((token, Some(grant))) = identity.live_token(&secret::digest(token)).await? else {
        return Ok(challenge("invalid_token", StatusCode::UNAUTHORIZED));
    };
    if !scope::has(&token.scopes, "openid") {
        return Ok(challenge("insufficient_scope", StatusCode::FORBIDDEN));
    }
    let mut response = axum::Json(identity.person_claims(&grant).await?).into_response();
    unstored(&mut response);
    Ok(response)
}

impl Identity {
    /// An access token that is alive, with the sign-in it belongs to unless it is a program's.
    pub(super) async fn live_token(&self, digest: &SecretDigest) -> Result<Option<(Token, Option<Grant>)>> {
        let now = self.clock.now();
        let token = store::token(self.db.pool(), digest).await?;
        let Some(token) = token.filter(|t| t.kind == "access" && t.expires_at > now) else { return Ok(None) };
        let Some(id) = token.grant_id else { return Ok(Some((token, None))) };
        let grant = self.db.transaction(async |tx| store::grant(tx, id, now).await).await?;
        Ok(grant.filter(|grant| grant.alive).map(|grant| (token, Some(grant))))
    }

    async fn program_of(
        &self,
        headers: &HeaderMap,
        form: &Parameters,
        peer: Option<axum::Extension<PeerCertificate>>,
    ) -> Result<Result<Party, OAuthError>> {
        let peer = peer.map(|p| certificate::digest(&p.0.der));
        self.authenticate_program(headers, form, peer.as_ref()).await
    }
}

pub(super) async fn introspect(
    State(identity): State<Identity>,
    peer: Option<axum::Extension<PeerCertificate>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let form = match Parameters::read(&body) {
        Ok(form) => form,
        Err(error) => return Ok(error.into_response()),
    };
    let party = match identity.program_of(&headers, &form, peer).await? {
        Ok(party) => party,
        Err(error) => return Ok(error.into_response()),
    };
    // A public client proves nothing: it must not try tokens here.
    if matches!(&party, Party::Application(app) if app.kind == "public") {
        return Ok(
            OAuthError::invalid_client("introspection wants a client that proves who it is").into_response()
        );
    }
    let Some(given) = form.get("token") else {
        return Ok(OAuthError::invalid_request("token is required").into_response());
    };
    let found = identity.live_token(&secret::digest(given)).await?;
    // Each sees its own only: others' tokens look like unknown ones.
    let answer = match (&party, found) {
        (Party::Application(app), Some((token, Some(grant)))) if grant.application_id == app.id => json!({
            "active": true, "token_type": "Bearer", "client_id": app.client_id, "sub": subject(grant.account_id),
            "scope": token.scopes.join(" "), "iss": identity.issuer(), "iat": token.created_at.timestamp(),
            "exp": token.expires_at.timestamp(), "sid": grant.sid, "acr": claims::acr(&grant.factor),
            "patient": grant.person_id.map(|p| p.to_string()),
        }),
        (Party::Machine(client), Some((token, None))) if token.client_id == Some(client.id) => json!({
            "active": true, "token_type": "Bearer", "client_id": client.client_id, "sub": client.client_id,
            "scope": token.scopes.join(" "), "iss": identity.issuer(), "iat": token.created_at.timestamp(),
            "exp": token.expires_at.timestamp(),
        }),
        _ => json!({ "active": false }),
    };
    let mut response = axum::Json(answer).into_response();
    unstored(&mut response);
    Ok(response)
}

pub(super) async fn revoke(
    State(identity): State<Identity>,
    visitor: Visitor,
    peer: Option<axum::Extension<PeerCertificate>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let form = match Parameters::read(&body) {
        Ok(form) => form,
        Err(error) => return Ok(error.into_response()),
    };
    let party = match identity.program_of(&headers, &form, peer).await? {
        Ok(party) => party,
        Err(error) => return Ok(error.into_response()),
    };
    let Some(given) = form.get("token") else {
        return Ok(OAuthError::invalid_request("token is required").into_response());
    };
    let now = identity.clock.now();
    let digest = secret::digest(given);
    let Some(token) = store::token(identity.db.pool(), &digest).await? else {
        // RFC 7009: an unknown token is as good as revoked.
        return Ok(StatusCode::OK.into_response());
    };
    identity
        .db
        .transaction(async |tx| {
            let grant = match token.grant_id {
                Some(id) => store::grant(tx, id, now).await?,
                None => None,
            };
            let (kind, object) = match (&party, &grant) {
                (Party::Application(app), Some(grant)) if grant.application_id == app.id => {
                    ("application", app.id)
                }
                (Party::Machine(client), None) if token.client_id == Some(client.id) => ("client", client.id),
                _ => return Ok(()),
            };
            // A refresh token takes all of its sign-in with it, an access token goes alone.
            match grant.filter(|_| token.kind == "refresh") {
                Some(grant) => {
                    store::end_grant(tx, grant.id, "revoked", now).await?;
                }
                None => store::delete_token(tx, &digest).await?,
            }
            let entry = AuditEntry {
                act: "sso.revoke",
                object_kind: kind,
                object_id: Some(object),
                object_label: party.client_id().to_owned(),
                detail: Some(json!({ "kind": token.kind, "sign_in": token.grant_id })),
                ..AuditEntry::default()
            };
            audit::record(tx, &program(party.name(), &visitor.address), &Purpose::of(""), now, &entry).await
        })
        .await?;
    identity.gatekeeper.forget_tokens();
    Ok(StatusCode::OK.into_response())
}
