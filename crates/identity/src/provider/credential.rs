//! How programs prove who they are at the token endpoint: shared secret, signed assertion (RFC 7523), client
//! certificate (RFC 8705). The same for machine clients of institutions and for applications.

use ::store::{DbDoing, Tx};
use axum::http::{HeaderMap, header};
use base64::Engine;
use chrono::{DateTime, Duration, Utc};
use kernel::Result;
use serde_json::Value;
use sqlx::PgPool;

use super::application::{self, Application};
use super::refusal::OAuthError;
use super::store;
use crate::client::{self, LiveClient};
use crate::jose::{self, Jwk, Jwks};
use crate::row::row;
use crate::secret::{self, SecretDigest};
use crate::{Identity, provider};

/// The one type of client assertion.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion may live so long at most: it is kept until then, so that it cannot come twice.
const ASSERTION_LIFE: Duration = Duration::minutes(10);
/// Clocks of others may differ by so much.
pub const LEEWAY: Duration = Duration::seconds(60);

/// Who asks for a token.
#[derive(Debug, Clone)]
pub enum Party {
    /// An application of the single sign-on.
    Application(Box<Application>),
    /// An institution's machine client.
    Machine(Box<LiveClient>),
}

impl Party {
    /// Its name for protocols.
    pub fn client_id(&self) -> &str {
        match self {
            Party::Application(application) => &application.client_id,
            Party::Machine(client) => &client.client_id,
        }
    }
    /// Its name for people.
    pub fn name(&self) -> &str {
        match self {
            Party::Application(application) => &application.name,
            Party::Machine(client) => &client.name,
        }
    }
    fn method(&self) -> &str {
        match self {
            Party::Application(application) => &application.auth_method,
            Party::Machine(client) => &client.auth_method,
        }
    }
    fn owner(&self) -> Owner {
        match self {
            Party::Application(application) => Owner::Application(application.id),
            Party::Machine(client) => Owner::Client(client.id),
        }
    }
}

/// Whose credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A machine client's.
    Client(i64),
    /// An application's.
    Application(i64),
}

impl Owner {
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Owner::Client(id) => (Some(id), None),
            Owner::Application(id) => (None, Some(id)),
        }
    }
}

/// A credential.
#[derive(Debug, Clone)]
pub struct CredentialRow {
    /// Identifier.
    pub id: i64,
    /// `secret`, `key` or `certificate`.
    pub kind: String,
    /// SHA-256 of a secret or certificate.
    pub digest: Option<Vec<u8>>,
    /// A public key.
    pub jwk: Option<Value>,
    /// What people tell it by.
    pub label: String,
    /// Who entered it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Its end, if it has one.
    pub expires_at: Option<DateTime<Utc>>,
}
row!(CredentialRow { id, kind, digest, jwk, label, created_by, created_at, expires_at });

/// The credentials of a program that are alive, newest first.
pub async fn of(pool: &PgPool, owner: Owner, now: DateTime<Utc>) -> Result<Vec<CredentialRow>> {
    let (client, application) = owner.columns();
    sqlx::query_as(
        "select id, kind, digest, jwk, label, created_by, created_at, expires_at from program_credential
         where (client_id = $1 or application_id = $2) and (expires_at is null or expires_at > $3)
         order by id desc limit 20",
    )
    .bind(client)
    .bind(application)
    .bind(now)
    .fetch_all(pool)
    .await
    .db("read the credentials of a program")
}

/// A credential about to be written.
#[derive(Debug, Clone)]
pub enum NewCredential {
    /// A secret, by its digest.
    Secret(SecretDigest),
    /// A public key.
    Key(Box<Jwk>),
    /// A certificate: its digest, its subject and its end.
    Certificate(SecretDigest, String, DateTime<Utc>),
}

/// Writes credentials of one kind. The newest of the earlier ones serves until `others_until`, those before it end now:
/// a change overlaps with what it replaces, and with nothing older.
pub async fn add(
    tx: &mut Tx<'_>,
    owner: Owner,
    new: &[NewCredential],
    by: &str,
    now: DateTime<Utc>,
    others_until: DateTime<Utc>,
) -> Result<()> {
    let (client, application) = owner.columns();
    let kind = match new.first() {
        Some(NewCredential::Secret(_)) => "secret",
        Some(NewCredential::Key(_)) => "key",
        Some(NewCredential::Certificate(..)) => "certificate",
        None => return Ok(()),
    };
    sqlx::query(
        "update program_credential c set expires_at = least(c.expires_at,
            case when c.created_at = (select max(n.created_at) from program_credential n
                                      where (n.client_id = $1 or n.application_id = $2) and n.kind = $3)
            then $4 else $5 end)
         where (c.client_id = $1 or c.application_id = $2) and c.kind = $3
           and (c.expires_at is null or c.expires_at > $5)",
    )
    .bind(client)
    .bind(application)
    .bind(kind)
    .bind(others_until)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("let earlier credentials run out")?;
    let (mut digests, mut jwks, mut labels, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in new {
        let (digest, jwk, label, end) = match one {
            NewCredential::Secret(digest) => (Some(digest.to_vec()), None, String::new(), None),
            NewCredential::Key(key) => {
                (None, serde_json::to_value(key).ok(), key.kid.clone().unwrap_or_default(), None)
            }
            NewCredential::Certificate(digest, subject, end) => {
                (Some(digest.to_vec()), None, subject.clone(), Some(*end))
            }
        };
        digests.push(digest);
        jwks.push(jwk);
        labels.push(label);
        ends.push(end);
    }
    sqlx::query(
        "insert into program_credential (client_id, application_id, kind, digest, jwk, label, created_by, created_at,
            expires_at)
         select $1, $2, $3, d, j, l, $8, $9, e
         from unnest($4::bytea[], $5::jsonb[], $6::text[], $7::timestamptz[]) as n (d, j, l, e)",
    )
    .bind(client)
    .bind(application)
    .bind(kind)
    .bind(digests)
    .bind(jwks)
    .bind(labels)
    .bind(ends)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("keep credentials")?;
    Ok(())
}

/// Ends a credential at once; whether there was one.
pub async fn end(tx: &mut Tx<'_>, owner: Owner, credential: i64, now: DateTime<Utc>) -> Result<bool> {
    let (client, application) = owner.columns();
    let done = sqlx::query(
        "update program_credential set expires_at = $4
         where id = $3 and (client_id = $1 or application_id = $2) and (expires_at is null or expires_at > $4)",
    )
    .bind(client)
    .bind(application)
    .bind(credential)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("end a credential")?;
    Ok(done.rows_affected() > 0)
}

/// Whether one of the credentials is this secret. Compares in constant time, also when there is none.
pub fn is_secret(credentials: &[CredentialRow], given: &str) -> bool {
    let digest = secret::digest(given);
    let nothing = vec![0; 32];
    let known = credentials.iter().filter(|c| c.kind == "secret").filter_map(|c| c.digest.as_ref());
    let mut right = secret::same(&digest, &nothing);
    for one in known {
        right |= secret::same(&digest, one);
    }
    right
}

/// Whether one of the credentials is the certificate of this digest.
pub fn is_certificate(credentials: &[CredentialRow], given: &SecretDigest) -> bool {
    credentials.iter().any(|c| c.kind == "certificate" && c.digest.as_deref() == Some(given.as_slice()))
}

/// What a request brings.
#[derive(Debug, Default)]
struct Brought {
    client_id: String,
    secret: Option<String>,
    assertion: Option<String>,
}

fn brought(headers: &HeaderMap, form: &super::Parameters) -> Result<Brought, OAuthError> {
    let mut out = Brought {
        client_id: form.get("client_id").unwrap_or_default().to_owned(),
        secret: form.get("client_secret").map(str::to_owned),
        assertion: form.get("client_assertion").map(str::to_owned),
    };
    if out.assertion.is_some() && form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(OAuthError::invalid_client("client_assertion_type is not supported"));
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let pair = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, rest)| base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.split_once(':').map(|(id, secret)| (plain(id), plain(secret))));
        let Some((id, given)) = pair else {
            return Err(OAuthError::invalid_client("unreadable Authorization header"));
        };
        // RFC 6749, 2.3: one way of authentication in a request.
        if out.secret.is_some() || (!out.client_id.is_empty() && out.client_id != id) {
            return Err(OAuthError::invalid_request("more than one client authentication"));
        }
        out.client_id = id;
        out.secret = Some(given);
    }
    if out.secret.is_some() && out.assertion.is_some() {
        return Err(OAuthError::invalid_request("more than one client authentication"));
    }
    Ok(out)
}

/// RFC 6749, 2.3.1: identifier and secret are form-encoded inside the header.
fn plain(text: &str) -> String {
    form_urlencoded::parse(format!("x={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl Identity {
    /// The program behind a request to the token endpoint, or why not. `certificate`: digest of the client certificate
    /// of the connection.
    pub(crate) async fn authenticate_program(
        &self,
        headers: &HeaderMap,
        form: &super::Parameters,
        certificate: Option<&SecretDigest>,
    ) -> Result<Result<Party, OAuthError>> {
        let now = self.clock.now();
        let brought = match brought(headers, form) {
            Ok(brought) => brought,
            Err(error) => return Ok(Err(error)),
        };
        let mut client_id = brought.client_id.clone();
        if client_id.is_empty()
            && let Some(assertion) = &brought.assertion
        {
            client_id = unverified_subject(assertion).unwrap_or_default();
        }
        let pool = self.db.pool();
        let party = match application::load_open(pool, &client_id).await? {
            Some(application) => Some(Party::Application(Box::new(application))),
            None => client::load_open(pool, &client_id).await?.map(|c| Party::Machine(Box::new(c))),
        };
        let credentials = match &party {
            Some(party) => of(pool, party.owner(), now).await?,
            None => Vec::new(),
        };
        let unknown = || OAuthError::invalid_client("unknown client or wrong credential");
        let right = match (party.as_ref().map(Party::method), &brought.secret, &brought.assertion) {
            (Some("secret"), Some(given), None) => is_secret(&credentials, given),
            (Some("none"), None, None) => true,
            (Some("tls_client_auth"), None, None) => {
                certificate.is_some_and(|digest| is_certificate(&credentials, digest))
            }
            (Some("private_key_jwt"), None, Some(assertion)) => {
                match self.check_assertion(assertion, &client_id, &credentials, now).await? {
                    Ok(()) => true,
                    Err(error) => return Ok(Err(error)),
                }
            }
            // Compared for unknown clients as well, so that both take as long.
            (_, given, _) => {
                let _ = is_secret(&credentials, given.as_deref().unwrap_or_default());
                false
            }
        };
        Ok(party.filter(|_| right).ok_or_else(unknown))
    }

    async fn check_assertion(
        &self,
        assertion: &str,
        client_id: &str,
        credentials: &[CredentialRow],
        now: DateTime<Utc>,
    ) -> Result<Result<(), OAuthError>> {
        let keys = credentials
            .iter()
            .filter_map(|c| c.jwk.clone())
            .filter_map(|jwk| serde_json::from_value(jwk).ok())
            .collect();
        let claims = match jose::verify(assertion, &Jwks { keys }) {
            Ok(claims) => claims,
            Err(wrong) => return Ok(Err(OAuthError::invalid_client(&format!("client_assertion: {wrong}")))),
        };
        let issuer = self.issuer();
        let audiences = [issuer.clone(), format!("{issuer}{}", provider::TOKEN)];
        let expires = match check_claims(&claims, client_id, &audiences, now) {
            Ok(expires) => expires,
            Err(why) => return Ok(Err(OAuthError::invalid_client(&format!("client_assertion: {why}")))),
        };
        let jti = claims["jti"].as_str().unwrap_or_default();
        if !store::use_assertion(self.db.pool(), client_id, jti, expires + LEEWAY).await? {
            return Ok(Err(OAuthError::invalid_client("client_assertion: used before")));
        }
        Ok(Ok(()))
    }
}

/// Whom an assertion names, before its signature is known to be right: only to find the keys.
fn unverified_subject(assertion: &str) -> Option<String> {
    let body = assertion.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    claims["sub"].as_str().filter(|s| s.len() <= 100).map(str::to_owned)
}

/// Checks the claims of a client assertion; when it expires.
fn check_claims(
    claims: &Value,
    client_id: &str,
    audiences: &[String],
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, &'static str> {
    if claims["iss"].as_str() != Some(client_id) || claims["sub"].as_str() != Some(client_id) {
        return Err("iss and sub must be the client_id");
    }
    let ours = |value: &Value| value.as_str().is_some_and(|a| audiences.iter().any(|o| o == a));
    let aud = &claims["aud"];
    // RFC 7523 with a list: nobody else may be named beside us, who could pass it on.
    if !(ours(aud) || aud.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(ours))) {
        return Err("aud must be the issuer or the token endpoint, and nobody else");
    }
    let at = |name: &str| claims[name].as_i64().and_then(|s| DateTime::from_timestamp(s, 0));
    let expires = at("exp").ok_or("exp is missing")?;
    if expires + LEEWAY <= now {
        return Err("expired");
    }
    if expires > now + ASSERTION_LIFE + LEEWAY {
        return Err("exp lies more than ten minutes ahead");
    }
    if ["nbf", "iat"].iter().any(|name| at(name).is_some_and(|t| t > now + LEEWAY)) {
        return Err("not valid yet; check the clock");
    }
    if !claims["jti"].as_str().is_some_and(|jti| (1..=200).contains(&jti.len())) {
        return Err("jti is missing");
    }
    Ok(expires)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_of_an_assertion() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let audiences = ["https://mk.example".to_owned(), "https://mk.example/oauth/token".to_owned()];
        let good = json!({ "iss": "c-1", "sub": "c-1", "aud": "https://mk.example/oauth/token",
            "exp": 1_700_000_060, "iat": 1_700_000_000, "jti": "j1" });
        assert!(check_claims(&good, "c-1", &audiences, now).is_ok());
        let list = json!(["https://mk.example"]);
        for (name, value, fine) in [
            ("aud", list, true),
            ("aud", json!(["https://mk.example", "https://other.example"]), false),
            ("aud", json!([]), false),
            ("aud", json!("https://mk.example/"), false),
            ("iss", json!("c-2"), false),
            ("sub", json!("c-2"), false),
            ("exp", json!(1_699_999_941), true),
            ("exp", json!(1_699_999_940), false),
            ("exp", json!(1_700_000_661), false),
            ("exp", Value::Null, false),
            ("iat", json!(1_700_000_061), false),
            ("nbf", json!(1_700_000_061), false),
            ("jti", json!(""), false),
            ("jti", Value::Null, false),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert_eq!(check_claims(&claims, "c-1", &audiences, now).is_ok(), fine, "{name} {value}");
        }
    }

    #[test]
    fn identifiers_in_the_header_are_form_encoded() {
        assert_eq!(plain("a%3Ab%20c+d"), "a:b c d");
        assert_eq!(plain("c-3f9a"), "c-3f9a");
    }
}
