//! The provider's documents: OpenID Connect Discovery (the same serves for RFC 8414), SMART configuration, key set.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use web::Reply;

use super::scope::OFFERED;
use super::{AUTHORIZE, TOKEN};
use crate::{Identity, jose};

/// How long programs may keep a document.
const KEPT: &str = "public, max-age=300";

const METHODS: [&str; 5] =
    ["none", "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"];

fn document(value: &Value) -> Response {
    ([(header::CACHE_CONTROL, KEPT)], axum::Json(value)).into_response()
}

fn scopes(program: bool) -> Vec<&'static str> {
    OFFERED.iter().filter(|s| program || !s.program).map(|s| s.name).collect()
}

pub(super) async fn openid(State(identity): State<Identity>) -> Reply<Response> {
    let issuer = identity.issuer();
    let at = |path: &str| format!("{issuer}{path}");
    Ok(document(&json!({
        "issuer": issuer,
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": at(TOKEN),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "jwks_uri": at("/oauth/jwks"),
        "introspection_endpoint": at("/oauth/introspect"),
        "revocation_endpoint": at("/oauth/revoke"),
        "end_session_endpoint": at("/oauth/logout"),
        "scopes_supported": scopes(true),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": jose::ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": &METHODS[1..],
        "revocation_endpoint_auth_methods_supported": METHODS,
        "acr_values_supported": ["urn:minkang:acr:1", "urn:minkang:acr:2", "urn:minkang:acr:3"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "name",
            "preferred_username", "staff_no", "roles", "role_name", "institution", "institution_name", "region",
            "region_name", "fhirUser"],
        "ui_locales_supported": ["zh-CN"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "tls_client_certificate_bound_access_tokens": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })))
}

pub(super) async fn smart(State(identity): State<Identity>) -> Reply<Response> {
    let issuer = identity.issuer();
    let at = |path: &str| format!("{issuer}{path}");
    Ok(document(&json!({
        "issuer": issuer,
        "jwks_uri": at("/oauth/jwks"),
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": at(TOKEN),
        "introspection_endpoint": at("/oauth/introspect"),
        "revocation_endpoint": at("/oauth/revoke"),
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": jose::ALGORITHMS,
        "scopes_supported": scopes(true),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": [
            "launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric",
            "client-confidential-asymmetric", "sso-openid-connect", "context-banner", "context-ehr-patient",
            "context-ehr-encounter", "context-standalone-patient", "permission-offline", "permission-online",
            "permission-patient", "permission-user", "permission-v1", "permission-v2",
        ],
    })))
}

pub(super) async fn jwks(State(identity): State<Identity>) -> Reply<Response> {
    let ring = identity.sso_ring().await?;
    Ok(([(header::CACHE_CONTROL, KEPT)], axum::Json(&ring.shown)).into_response())
}
