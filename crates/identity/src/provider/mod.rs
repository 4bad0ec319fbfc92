//! The single sign-on of the city (单点登录): an OpenID Connect provider for the applications of its institutions, with
//! SMART App Launch for those that open the record. Also the token endpoint of machine clients.
//!
//! ```text
//! application → GET /oauth/authorize ─ signed in? ─ no → /sign-in → back
//!                                        └ yes → code (one minute, once, bound to client, address and PKCE)
//! application → POST /oauth/token ─ code + verifier → access token, identity token, refresh token
//!                                   refresh → the next pair; an old one coming again ends the whole family
//! ```
//!
//! | term | Chinese | here |
//! |---|---|---|
//! | application | 应用 | [`application`] |
//! | sign-in at an application (grant) | 应用登录 | [`store::Grant`] |
//! | signing key | 签名密钥 | [`keys`] |
//! | scope | 授权范围 | [`scope`] |
//!
//! After RFC 6749, 7636, 7009, 7662, 8414, 8705, 9207, 9700, OpenID Connect Core, RP-Initiated and Back-Channel Logout,
//! SMART App Launch 2. Not offered: the implicit and password grants, request objects, dynamic registration. Access tokens are
//! opaque and looked up, so that revoking one holds at once.

pub mod application;
mod application_pages;
mod authorize;
mod claims;
pub mod credential;
mod discovery;
mod inspect;
mod keep;
pub mod keys;
mod keys_pages;
mod launch;
mod logout;
mod own_pages;
mod refusal;
pub mod scope;
pub mod store;
mod token;

use axum::http::Uri;
use chrono::Duration;
use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Identity;

pub use application::{Application, NewApplication};
pub(crate) use application_pages::credentials_card;
pub use keys::{Ring, Turn};
pub use refusal::OAuthError;

/// Administering applications and signing keys.
pub(crate) const MANAGE: Need = Need::new(Line::System, Act::Manage);
/// Opening an application from the record.
const LAUNCH: Need = Need::new(Line::Medical, Act::Read);

/// Where applications send people.
pub const AUTHORIZE: &str = "/oauth/authorize";
/// Where programs get tokens.
pub const TOKEN: &str = "/oauth/token";

/// A code lives so long.
const CODE_LIFE: Duration = Duration::seconds(60);
/// A launch from the record lives so long.
const LAUNCH_LIFE: Duration = Duration::minutes(5);

/// The routes.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let described = Access::Open("what the provider can do and its public keys are for everybody");
    let program = Access::Open("the program proves who it is by a credential in the request");
    let person = Access::Open("asks for sign-in by itself, as the protocol wants it");
    let own = Access::SignedIn("everybody sees and ends their own sign-ins at applications");
    let (manage, change) = (Access::Needs(MANAGE), Access::Fresh(MANAGE));
    Routes::new()
        .get("/.well-known/openid-configuration", described, discovery::openid)
        .get("/.well-known/oauth-authorization-server", described, discovery::openid)
        .get("/fhir/.well-known/smart-configuration", described, discovery::smart)
        .get("/oauth/jwks", described, discovery::jwks)
        .get(AUTHORIZE, person, authorize::authorize)
        .post("/oauth/authorize/again", person, authorize::again)
        .post("/oauth/authorize/person", own, launch::choose)
        .post(TOKEN, program, token::token)
        .post("/oauth/revoke", program, inspect::revoke)
        .post("/oauth/introspect", program, inspect::introspect)
        .get("/oauth/userinfo", Access::Open("answers the bearer of an access token"), inspect::userinfo)
        .post("/oauth/userinfo", Access::Open("answers the bearer of an access token"), inspect::userinfo)
        .get("/oauth/logout", person, logout::ask)
        .post("/oauth/logout", person, logout::leave)
        .get("/account/applications", own, own_pages::list)
        .post("/account/applications/{application}/end", own, own_pages::end)
        .get("/launch", Access::Needs(LAUNCH), launch::page)
        .post("/launch/{application}", Access::Needs(LAUNCH), launch::start)
        .get("/applications", manage, application_pages::list)
        .get("/applications.csv", manage, application_pages::csv)
        .get("/applications/new", manage, application_pages::blank)
        .post("/applications", change, application_pages::create)
        .get("/applications/keys", manage, keys_pages::list)
        .post("/applications/keys/rotate", change, keys_pages::rotate)
        .post("/applications/keys/{kid}/withdraw", change, keys_pages::withdraw)
        .get("/applications/{application}", manage, application_pages::show)
        .post("/applications/{application}", change, application_pages::change)
        .post("/applications/{application}/close", change, application_pages::close)
        .post("/applications/{application}/secret", change, application_pages::secret)
        .post("/applications/{application}/credential", change, application_pages::credential)
        .post(
            "/applications/{application}/credential/{credential}/end",
            change,
            application_pages::end_credential,
        )
        .with_state(identity.clone())
}

impl Identity {
    /// The name of this provider in tokens and documents: the platform's own address.
    pub(crate) fn issuer(&self) -> String {
        self.settings.base_url.clone()
    }

    /// Where people reach the platform.
    pub fn base_url(&self) -> String {
        self.settings.base_url.clone()
    }
}

/// The parameters of a protocol request: each at most once, as RFC 6749, 3.1 wants it; empty ones count as absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query or form.
    pub fn read(text: &[u8]) -> Result<Self, OAuthError> {
        let mut out: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if value.is_empty() {
                continue;
            }
            // RFC 8707 lets `resource` come more than once; everything else is ambiguous then.
            if name != "resource" && out.iter().any(|(n, _)| *n == name) {
                return Err(OAuthError::invalid_request(&format!("parameter {name} is repeated")));
            }
            out.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(out))
    }
    /// Reads the query of an address.
    pub fn of(uri: &Uri) -> Result<Self, OAuthError> {
        Self::read(uri.query().unwrap_or_default().as_bytes())
    }
    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
    /// The same without some parameters, as a query.
    pub fn without(&self, names: &[&str]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(n, _)| !names.contains(&n.as_str())));
        query.finish()
    }
}

/// An address with more parameters behind it.
pub(crate) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() {
        return address.to_owned();
    }
    let between = if address.contains('?') { '&' } else { '?' };
    format!("{address}{between}{query}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_once() {
        let read = Parameters::read(b"a=1&b=&c=%E5%BC%A0+x").unwrap();
        assert_eq!((read.get("a"), read.get("b"), read.get("c")), (Some("1"), None, Some("张 x")));
        assert!(Parameters::read(b"a=1&a=1").is_err());
        assert_eq!(read.without(&["a"]), "c=%E5%BC%A0+x");
    }

    #[test]
    fn a_query_is_added_behind_the_one_there_is() {
        assert_eq!(with_query("https://a/cb", &[("code", "x y"), ("state", "")]), "https://a/cb?code=x+y");
        assert_eq!(with_query("https://a/cb?k=1", &[("code", "x")]), "https://a/cb?k=1&code=x");
    }
}
