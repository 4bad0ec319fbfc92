//! Refusals of the protocol as its standards word them (RFC 6749, OpenID Connect): for programs, in English.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    /// E.g. `invalid_grant`.
    pub code: &'static str,
    /// For the developer of the application.
    pub description: String,
}

impl OAuthError {
    /// Any of them.
    pub fn new(code: &'static str, description: &str) -> Self {
        Self { code, description: description.to_owned() }
    }
    /// The request is missing something, has it twice or in a form that cannot be read.
    pub fn invalid_request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }
    /// Who asks is not known, or did not prove it.
    pub fn invalid_client(description: &str) -> Self {
        Self::new("invalid_client", description)
    }
    /// The code or token is not good, or not for this client.
    pub fn invalid_grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let status =
            if self.code == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = (status, axum::Json(body)).into_response();
        unstored(&mut response);
        if status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"minkang\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

/// RFC 6749, 5.1: what carries tokens is not stored by anybody.
pub fn unstored(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
