//! What a partner publishes (discovery document, keys), kept for some minutes, and whether an identity token of it is
//! to be believed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use kernel::error::Doing;
use kernel::{Refusal, Result};
use serde_json::Value;

use super::store::Partner;
use crate::Identity;
use crate::jose::{self, Jwks, Wrong};
use crate::outbound;
use crate::provider::application::good_address;

/// Documents are read again after so long.
const KEEP: Duration = Duration::minutes(10);
/// Keys are read again for an unknown one at most so often.
const PAUSE: Duration = Duration::minutes(1);
/// The partner's clock may differ by so much.
const LEEWAY: Duration = Duration::seconds(60);

/// What is known of a partner's provider.
#[derive(Debug, Clone)]
pub struct Documents {
    /// Where people are sent.
    pub authorization: String,
    /// Where codes are exchanged.
    pub token: String,
    /// Its public keys.
    pub keys: Jwks,
    read_at: DateTime<Utc>,
}

/// Documents by partner.
pub(crate) type Cache = Arc<Mutex<HashMap<i64, Arc<Documents>>>>;

fn wrong(why: &str) -> Refusal {
    Refusal::invalid(
        "partner.documents",
        format!("对方的认证系统配置有误，暂时不能登录（{why}）。请联系贵单位信息科；也可改用登录名和密码。"),
    )
}

impl Identity {
    /// The documents of a partner; read again when old.
    pub(super) async fn partner_documents(
        &self,
        partner: &Partner,
        least: Option<Duration>,
    ) -> Result<Arc<Documents>> {
        let now = self.clock.now();
        let kept = self.partners.lock().unwrap_or_else(PoisonError::into_inner).get(&partner.id).cloned();
        if let Some(kept) = kept.filter(|kept| now - kept.read_at < least.unwrap_or(KEEP)) {
            return Ok(kept);
        }
        let at = format!("{}/.well-known/openid-configuration", partner.issuer.trim_end_matches('/'));
        let document = outbound::get_json(&at, &partner.authority).await?;
        if document["issuer"].as_str() != Some(&partner.issuer) {
            return Err(wrong("issuer").into());
        }
        let address = |name: &'static str| {
            let found = document[name].as_str().filter(|address| good_address(address));
            found.map(str::to_owned).ok_or_else(|| wrong(name))
        };
        let (authorization, token) = (address("authorization_endpoint")?, address("token_endpoint")?);
        let keys = outbound::get_json(&address("jwks_uri")?, &partner.authority).await?;
        let keys = serde_json::from_value(keys).map_err(|_| wrong("jwks"))?;
        let documents = Arc::new(Documents { authorization, token, keys, read_at: now });
        self.partners.lock().unwrap_or_else(PoisonError::into_inner).insert(partner.id, documents.clone());
        Ok(documents)
    }

    /// The claims of an identity token, if it is the partner's, for us, alive, and of this sign-in.
    pub(super) async fn partner_claims(&self, partner: &Partner, token: &str, nonce: &str) -> Result<Value> {
        let documents = self.partner_documents(partner, None).await?;
        let claims = match jose::verify(token, &documents.keys) {
            // The partner has changed its keys since.
            Err(Wrong::Key) => {
                let again = self.partner_documents(partner, Some(PAUSE)).await?;
                jose::verify(token, &again.keys)
            }
            claims => claims,
        };
        let claims = claims.map_err(|wrong| refused(&wrong.to_string()))?;
        check(&claims, &partner.issuer, &partner.client_id, nonce, self.clock.now()).map_err(refused)?;
        Ok(claims)
    }

    /// Exchanges a code at a partner; the identity token.
    pub(super) async fn partner_token(
        &self,
        partner: &Partner,
        code: &str,
        verifier: &str,
        back: &str,
    ) -> Result<String> {
        let documents = self.partner_documents(partner, None).await?;
        let secret = match &partner.sealed_secret {
            None => None,
            Some(sealed) => {
                let bytes = self.db.keyring().open(super::SEALED, sealed)?;
                Some(String::from_utf8(bytes).doing("read the secret of a partner")?)
            }
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", back),
            ("code_verifier", verifier),
        ];
        if secret.is_none() {
            fields.push(("client_id", &partner.client_id));
        }
        let basic = secret.as_deref().map(|secret| (partner.client_id.as_str(), secret));
        let answer = outbound::post_form(&documents.token, &fields, basic, &partner.authority).await?;
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|_| refused("no JSON"))?;
        answer["id_token"].as_str().map(str::to_owned).ok_or_else(|| refused("no id_token").into())
    }
}

fn refused(why: &str) -> Refusal {
    tracing::warn!(why, "an identity token of a partner was refused");
    Refusal::forbidden(
        "partner.token",
        "对方认证系统的答复不能通过核验，没有登录。请重试；若反复出现，请联系贵单位信息科。",
    )
}

/// OpenID Connect Core, 3.1.3.7.
fn check(
    claims: &Value,
    issuer: &str,
    client_id: &str,
    nonce: &str,
    now: DateTime<Utc>,
) -> std::result::Result<(), &'static str> {
    if claims["iss"].as_str() != Some(issuer) {
        return Err("another issuer");
    }
    let many = claims["aud"].as_array().map(Vec::len);
    let ours = claims["aud"].as_str() == Some(client_id)
        || claims["aud"].as_array().is_some_and(|all| all.iter().any(|a| a.as_str() == Some(client_id)));
    if !ours {
        return Err("for another application");
    }
    let party = claims["azp"].as_str();
    if party.is_some_and(|azp| azp != client_id) || (many.is_some_and(|n| n > 1) && party.is_none()) {
        return Err("issued to another application");
    }
    let at = |name: &str| claims[name].as_i64().and_then(|s| DateTime::from_timestamp(s, 0));
    if at("exp").is_none_or(|end| end + LEEWAY <= now) {
        return Err("expired");
    }
    if at("iat").is_none_or(|begin| begin > now + LEEWAY) {
        return Err("from the future");
    }
    if claims["nonce"].as_str() != Some(nonce) {
        return Err("of another sign-in");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_that_are_believed() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let good = json!({ "iss": "https://sso.h.cn", "aud": "mk", "exp": 1_700_000_300, "iat": 1_700_000_000,
            "nonce": "n" });
        let fine = |claims: &Value| check(claims, "https://sso.h.cn", "mk", "n", now).is_ok();
        assert!(fine(&good));
        for (name, value, expected) in [
            ("iss", json!("https://sso.h.cn/"), false),
            ("aud", json!("other"), false),
            ("aud", json!(["mk"]), true),
            ("aud", json!(["mk", "other"]), false),
            ("azp", json!("other"), false),
            ("azp", json!("mk"), true),
            ("exp", json!(1_699_999_940), false),
            ("exp", json!(1_699_999_941), true),
            ("exp", Value::Null, false),
            ("iat", json!(1_700_000_061), false),
            ("iat", Value::Null, false),
            ("nonce", json!("m"), false),
            ("nonce", Value::Null, false),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert_eq!(fine(&claims), expected, "{name} {value}");
        }
        let mut both = good;
        (both["aud"], both["azp"]) = (json!(["mk", "other"]), json!("mk"));
        assert!(fine(&both));
    }
}
