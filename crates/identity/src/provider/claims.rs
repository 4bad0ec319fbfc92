//! What applications are told of a person: identity tokens and the answer of userinfo.

use ::store::DbDoing;
use kernel::{Id, RegionCode, Result};
use serde_json::{Value, json};

use super::scope;
use super::store::Grant;
use crate::Identity;
use crate::grants;
use crate::jose;
use crate::row::row;
use crate::secret;

/// A person as claims need them.
#[derive(Debug, Clone)]
struct PersonRow {
    login: String,
    name: String,
    staff_no: String,
    institution_id: Option<i32>,
    region: String,
    staff_id: Option<i64>,
}
row!(PersonRow { login, name, staff_no, institution_id, region, staff_id });

/// The name of an account in tokens. It never changes and says nothing.
pub fn subject(account: i64) -> String {
    format!("mk-{account}")
}

/// The level of assurance (`acr`): 1 one factor, 2 two, 3 a certificate or key held by the person.
pub fn acr(factor: &str) -> &'static str {
    match factor {
        "certificate" => "urn:minkang:acr:3",
        "second" => "urn:minkang:acr:2",
        _ => "urn:minkang:acr:1",
    }
}

/// How it was reached (RFC 8176).
pub fn amr(factor: &str) -> &'static [&'static str] {
    match factor {
        "certificate" => &["pop"],
        "second" => &["pwd", "mfa"],
        _ => &["pwd"],
    }
}

impl Identity {
    /// The claims about the person of a sign-in that its scopes open.
    pub(super) async fn person_claims(&self, grant: &Grant) -> Result<Value> {
        let mut claims = json!({ "sub": subject(grant.account_id) });
        let (profile, fhir) = (scope::has(&grant.scopes, "profile"), scope::has(&grant.scopes, "fhirUser"));
        if !profile && !fhir {
            return Ok(claims);
        }
        let person: PersonRow = sqlx::query_as(
            "select login, name, staff_no, institution_id, region, staff_id from account where id = $1",
        )
        .bind(grant.account_id)
        .fetch_one(self.db.pool())
        .await
        .db("read the person of a token")?;
        let institution =
            person.institution_id.and_then(|id| self.institutions.by_id(Id::new(i64::from(id))));
        if profile {
            let region = RegionCode::parse(&person.region).unwrap_or(RegionCode::NATION);
            claims["name"] = json!(person.name);
            claims["preferred_username"] = json!(person.login);
            claims["staff_no"] = json!(person.staff_no);
            let account = Id::new(grant.account_id);
            let standing = grants::standing(self.db.pool(), &self.catalog, account, self.clock.now()).await?;
            claims["roles"] = json!(standing.roles);
            claims["role_name"] = json!(standing.title);
            claims["region"] = json!(person.region);
            claims["region_name"] = json!(self.institutions.region_name(&region));
            if let Some(card) = &institution {
                claims["institution"] = json!(card.code);
                claims["institution_name"] = json!(card.name);
            }
        }
        if let Some(staff) = person.staff_id.filter(|_| fhir) {
            claims["fhirUser"] = json!(format!("{}/fhir/Practitioner/{staff}", self.issuer()));
        }
        Ok(claims)
    }

    /// An identity token for a sign-in. `nonce` only in the first one.
    pub(super) async fn identity_token(&self, grant: &Grant, access: &str, first: bool) -> Result<String> {
        let now = self.clock.now();
        let ring = self.sso_ring().await?;
        let mut claims = self.person_claims(grant).await?;
        claims["iss"] = json!(self.issuer());
        claims["aud"] = json!(grant.client_id);
        claims["azp"] = json!(grant.client_id);
        claims["iat"] = json!(now.timestamp());
        claims["exp"] = json!((now + self.options.minutes("sso.access_minutes")).timestamp());
        claims["auth_time"] = json!(grant.auth_time.timestamp());
        claims["acr"] = json!(acr(&grant.factor));
        claims["amr"] = json!(amr(&grant.factor));
        claims["sid"] = json!(grant.sid);
        claims["at_hash"] = json!(jose::encode(&secret::digest(access)[..16]));
        if first && let Some(nonce) = &grant.nonce {
            claims["nonce"] = json!(nonce);
        }
        ring.signing.sign("JWT", &claims)
    }
}
