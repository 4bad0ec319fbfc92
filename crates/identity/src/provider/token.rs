//! The token endpoint: code and verifier, refresh token, or a machine client's own credential become tokens.
//!
//! Whatever is refused is audited with the reason; a code or a refresh token that comes a second time ends everything
//! that hangs on the same sign-in, because one of the two who hold it is not the application.

use ::store::{AuditEntry, Tx, audit};
use axum::extract::{RawForm, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use kernel::{Caller, CallerKind, Purpose, Result};
use serde_json::{Value, json};
use web::Reply;
use web::route::PeerCertificate;

use super::application::Application;
use super::credential::Party;
use super::refusal::{OAuthError, unstored};
use super::store::{self, Grant, NewToken};
use super::{Parameters, scope};
use crate::client::LiveClient;
use crate::page::Visitor;
use crate::secret::{self, SecretDigest};
use crate::{Identity, certificate, grants, jose};

/// A refusal, and the sign-in that was ended because of it.
type Refused = OAuthError;

pub(super) async fn token(
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
    let peer = peer.map(|p| certificate::digest(&p.0.der));
    let party = match identity.authenticate_program(&headers, &form, peer.as_ref()).await? {
        Ok(party) => party,
        Err(error) => {
            let label: String = form.get("client_id").unwrap_or_default().chars().take(64).collect();
            identity
                .audit_token(&program(&label, &visitor.address), None, error.code, &error.description)
                .await?;
            return Ok(error.into_response());
        }
    };
    let outcome = match (form.get("grant_type"), &party) {
        (Some("authorization_code"), Party::Application(app)) => {
            identity.by_code(app, &form, &visitor).await?
        }
        (Some("refresh_token"), Party::Application(app)) => identity.by_refresh(app, &form, &visitor).await?,
        (Some("client_credentials"), Party::Machine(client)) => {
            identity.by_credential(client, &form, peer, &visitor).await?
        }
        (Some("authorization_code" | "refresh_token" | "client_credentials"), _) => {
            Err(OAuthError::new("unauthorized_client", "this grant type is not for this kind of client"))
        }
        (Some(_), _) => Err(OAuthError::new("unsupported_grant_type", "unknown grant_type")),
        (None, _) => Err(OAuthError::invalid_request("grant_type is missing")),
    };
    match outcome {
        Ok(body) => {
            let mut response = axum::Json(body).into_response();
            unstored(&mut response);
            Ok(response)
        }
        Err(error) => {
            let caller = program(party.name(), &visitor.address);
            identity.audit_token(&caller, Some(party.client_id()), error.code, &error.description).await?;
            Ok(error.into_response())
        }
    }
}

/// A program, as the trail names it.
pub(super) fn program(name: &str, address: &str) -> Caller {
    Caller {
        name: name.to_owned(),
        role: "应用".to_owned(),
        address: address.to_owned(),
        ..Caller::blank(CallerKind::Client)
    }
}

/// Whether a verifier belongs to a challenge (RFC 7636, S256).
fn proves(verifier: &str, challenge: &str) -> bool {
    let formed = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let expected = jose::encode(&secret::digest(verifier));
    formed && secret::same(expected.as_bytes(), challenge.as_bytes())
}

impl Identity {
    async fn by_code(
        &self,
        app: &Application,
        form: &Parameters,
        visitor: &Visitor,
    ) -> Result<Result<Value, Refused>> {
        let (Some(code), Some(verifier)) = (form.get("code"), form.get("code_verifier")) else {
            return Ok(Err(OAuthError::invalid_request("code and code_verifier are required")));
        };
        let now = self.clock.now();
        let digest = secret::digest(code);
        let bad = |why: &str| Ok(Err(OAuthError::invalid_grant(why)));
        // What is decided here is kept also when it is a refusal, so refusals leave the transaction as values.
        let issued = self
            .db
            .transaction(async |tx| {
                let Some(found) = store::take_code(tx, &digest).await? else {
                    return bad("the code is unknown");
                };
                let Some(grant) = store::grant(tx, found.grant_id, now).await? else {
                    return bad("the code is unknown");
                };
                if grant.application_id != app.id {
                    return bad("the code was issued to another client");
                }
                if found.used_at.is_some() {
                    self.end_family(tx, &grant, "code_reuse", &visitor.address, now).await?;
                    return bad("the code was used before; everything issued for it is revoked");
                }
                store::use_code(tx, &digest, now).await?;
                if found.expires_at <= now {
                    return bad("the code has expired");
                }
                if form.get("redirect_uri") != Some(&found.redirect_uri) {
                    return bad("redirect_uri is not the one of the authorization request");
                }
                if !proves(verifier, &found.challenge) {
                    return bad("code_verifier does not fit");
                }
                if !grant.alive {
                    return bad("the sign-in has ended");
                }
                Ok(Ok(self.issue(tx, grant, None, "code", visitor, now).await?))
            })
            .await?;
        match issued {
            Ok(issued) => Ok(Ok(self.answer(issued, true).await?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn by_refresh(
        &self,
        app: &Application,
        form: &Parameters,
        visitor: &Visitor,
    ) -> Result<Result<Value, Refused>> {
        let Some(given) = form.get("refresh_token") else {
            return Ok(Err(OAuthError::invalid_request("refresh_token is required")));
        };
        let now = self.clock.now();
        let digest = secret::digest(given);
        let bad = |why: &str| Ok(Err(OAuthError::invalid_grant(why)));
        let issued = self
            .db
            .transaction(async |tx| {
                let Some(found) = store::take_refresh(tx, &digest).await? else {
                    return bad("the refresh token is unknown");
                };
                let grant = match found.grant_id {
                    Some(id) => store::grant(tx, id, now).await?,
                    None => None,
                };
                let Some(mut grant) = grant.filter(|grant| grant.application_id == app.id) else {
                    return bad("the refresh token was issued to another client");
                };
                if found.used_at.is_some() {
                    self.end_family(tx, &grant, "refresh_reuse", &visitor.address, now).await?;
                    return bad("the refresh token was used before; everything issued with it is revoked");
                }
                if !grant.alive || found.expires_at <= now {
                    return bad("the sign-in has ended");
                }
                // What an administrator took from the application is not given again.
                grant.scopes.retain(|s| app.scopes.contains(s));
                let wanted = match form.get("scope") {
                    None => None,
                    Some(asked) => {
                        let narrowed = scope::narrowed(asked, &grant.scopes);
                        if narrowed.len() != asked.split_ascii_whitespace().count() {
                            let why = "a refresh may narrow the scope, not widen it";
                            return Ok(Err(OAuthError::new("invalid_scope", why)));
                        }
                        Some(narrowed)
                    }
                };
                store::use_refresh(tx, &digest, grant.id, now).await?;
                Ok(Ok(self.issue(tx, grant, wanted, "refresh", visitor, now).await?))
            })
            .await?;
        match issued {
            Ok(issued) => Ok(Ok(self.answer(issued, false).await?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn by_credential(
        &self,
        client: &LiveClient,
        form: &Parameters,
        peer: Option<SecretDigest>,
        visitor: &Visitor,
    ) -> Result<Result<Value, Refused>> {
        let now = self.clock.now();
        let allowed = grants::scopes_of_client(client.reads_records);
        let scopes = match form.get("scope") {
            None => allowed,
            Some(asked) => scope::narrowed(asked, &allowed),
        };
        if scopes.is_empty() {
            return Ok(Err(OAuthError::new(
                "invalid_scope",
                "none of the scopes is allowed for this client",
            )));
        }
        let access = secret::random_token()?;
        let life = self.options.minutes("sso.access_minutes");
        // Whoever proves themselves by a certificate gets a token that serves with that certificate only.
        let certificate = peer.filter(|_| client.auth_method == "tls_client_auth");
        let token = NewToken {
            digest: secret::digest(&access),
            kind: "access",
            grant: None,
            client: Some(client.id),
            scopes: &scopes,
            certificate,
            expires_at: now + life,
        };
        let institution = kernel::Id::new(i64::from(client.institution_id));
        let caller = Caller {
            institution: Some(institution),
            institution_name: self
                .institutions
                .by_id(institution)
                .map(|c| c.name.clone())
                .unwrap_or_default(),
            ..program(&client.name, &visitor.address)
        };
        self.db
            .transaction(async |tx| {
                store::insert_token(tx, &token, now).await?;
                let entry = AuditEntry {
                    act: "sso.token",
                    object_kind: "client",
                    object_id: Some(client.id),
                    object_label: client.client_id.clone(),
                    detail: Some(json!({ "grant": "client_credentials", "scopes": scopes, "method": client.auth_method })),
                    ..AuditEntry::default()
                };
                audit::record(tx, &caller, &Purpose::of(""), now, &entry).await?;
                crate::client::touch_in(tx, client.id, now).await
            })
            .await?;
        Ok(Ok(json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": life.num_seconds(),
            "scope": scopes.join(" "),
        })))
    }

    /// New tokens for a sign-in, in the transaction that used up what they were given for.
    async fn issue(
        &self,
        tx: &mut Tx<'_>,
        grant: Grant,
        narrowed: Option<Vec<String>>,
        how: &'static str,
        visitor: &Visitor,
        now: DateTime<Utc>,
    ) -> Result<Issued> {
        let access = secret::random_token()?;
        let life = self.options.minutes("sso.access_minutes").min(grant.expires_at - now);
        let scopes = narrowed.unwrap_or_else(|| grant.scopes.clone());
        let token = |digest, kind, expires_at| NewToken {
            digest,
            kind,
            grant: Some(grant.id),
            client: None,
            scopes: &scopes,
            certificate: None,
            expires_at,
        };
        store::insert_token(tx, &token(secret::digest(&access), "access", now + life), now).await?;
        let keeps = ["offline_access", "online_access"].iter().any(|s| scope::has(&grant.scopes, s));
        let refresh = if keeps {
            let refresh = secret::random_token()?;
            // The refresh token keeps the whole scope: narrowing is for one access token.
            let whole = NewToken {
                scopes: &grant.scopes,
                ..token(secret::digest(&refresh), "refresh", grant.expires_at)
            };
            store::insert_token(tx, &whole, now).await?;
            Some(refresh)
        } else {
            None
        };
        let entry = AuditEntry {
            act: "sso.token",
            object_kind: "application",
            object_id: Some(grant.application_id),
            object_label: grant.application.clone(),
            person_id: grant.person_id,
            detail: Some(
                json!({ "grant": how, "scopes": scopes, "account": grant.account_id, "sign_in": grant.id }),
            ),
            ..AuditEntry::default()
        };
        audit::record(tx, &program(&grant.application, &visitor.address), &Purpose::of(""), now, &entry)
            .await?;
        Ok(Issued { grant, scopes, access, refresh, life })
    }

    async fn answer(&self, issued: Issued, first: bool) -> Result<Value> {
        let Issued { grant, scopes, access, refresh, life } = issued;
        let mut body = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": life.num_seconds(),
            "scope": scopes.join(" "),
        });
        if let Some(refresh) = refresh {
            body["refresh_token"] = json!(refresh);
        }
        if scope::has(&scopes, "openid") {
            body["id_token"] = json!(self.identity_token(&grant, &access, first).await?);
        }
        if let Some(person) = grant.person_id {
            body["patient"] = json!(person.to_string());
            body["need_patient_banner"] = json!(true);
            if !grant.encounter.is_empty() {
                body["encounter"] = json!(grant.encounter);
            }
        }
        Ok(body)
    }

    /// Ends a sign-in whose code or refresh token came twice.
    async fn end_family(
        &self,
        tx: &mut Tx<'_>,
        grant: &Grant,
        reason: &'static str,
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if store::end_grant(tx, grant.id, reason, now).await? {
            tracing::warn!(reason, grant = grant.id, "a sign-in at an application was ended");
        }
        let entry = AuditEntry {
            act: "sso.revoke",
            object_kind: "application",
            object_id: Some(grant.application_id),
            object_label: grant.application.clone(),
            outcome: reason,
            detail: Some(json!({ "account": grant.account_id, "sign_in": grant.id })),
            ..AuditEntry::default()
        };
        audit::record(tx, &program(&grant.application, address), &Purpose::of(""), now, &entry).await?;
        self.gatekeeper.forget_tokens();
        Ok(())
    }

    async fn audit_token(
        &self,
        caller: &Caller,
        client_id: Option<&str>,
        outcome: &'static str,
        why: &str,
    ) -> Result<()> {
        let entry = AuditEntry {
            act: "sso.token",
            object_kind: "application",
            object_label: client_id.unwrap_or_default().to_owned(),
            outcome,
            detail: Some(json!({ "why": why })),
            ..AuditEntry::default()
        };
        let now = self.clock.now();
        self.db.transaction(async |tx| audit::record(tx, caller, &Purpose::of(""), now, &entry).await).await
    }
}

/// Tokens that were written.
struct Issued {
    grant: Grant,
    scopes: Vec<String>,
    access: String,
    refresh: Option<String>,
    life: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(proves(verifier, challenge));
        assert!(!proves(verifier, &challenge.replace('E', "F")));
        assert!(!proves(&verifier.replace('d', "e"), challenge));
        assert!(!proves("short", &jose::encode(&secret::digest("short"))), "too short to be a secret");
    }
}
