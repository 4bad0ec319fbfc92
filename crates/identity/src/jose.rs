//! Signed JSON: compact JWS (RFC 7515) and JSON Web Keys (RFC 7517) over ring, for the tokens that the platform issues
//! and those it is given (client assertions, identity tokens of a hospital's own provider).
//!
//! The algorithm is taken from a closed list and must fit the key; `none` and the shared-secret family do not exist
//! here, so that no token can choose them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Refusal, Result};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::secret;

/// Signature algorithms that are understood; tokens of ours are ES256.
pub const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "RS256", "PS256", "EdDSA"];

/// Tokens longer than this are not looked at.
const LONGEST: usize = 16 * 1024;

/// A public key as JSON (RFC 7517), the kinds that are understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `EC`, `RSA` or `OKP`.
    pub kty: String,
    /// Curve, of `EC` and `OKP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// First coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Second coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// RSA modulus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RSA exponent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// Names the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The one algorithm it serves, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, if it says so.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

/// A set of public keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys; those of kinds that are not understood were left out.
    #[serde(deserialize_with = "understood")]
    pub keys: Vec<Jwk>,
}

// One key of a kind that nobody here knows must not make the others unusable.
fn understood<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Vec<Jwk>, D::Error> {
    let all = Vec::<Value>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect())
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is no compact JWS of JSON.
    Form,
    /// Its algorithm is not in [`ALGORITHMS`].
    Algorithm,
    /// No key fits; perhaps the key set is out of date.
    Key,
    /// The signature does not fit.
    Signature,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::Form => "not a signed token",
            Wrong::Algorithm => "algorithm not allowed",
            Wrong::Key => "no such key",
            Wrong::Signature => "wrong signature",
        })
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a token signed by one of `keys`. Time and audience are the caller's to check.
pub fn verify(token: &str, keys: &Jwks) -> std::result::Result<Value, Wrong> {
    if token.len() > LONGEST {
        return Err(Wrong::Form);
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(sig), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Wrong::Form);
    };
    let json = |part| decode(part).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let header = json(head).ok_or(Wrong::Form)?;
    // An extension that must be understood is not.
    if !header.is_object() || header.get("crit").is_some() {
        return Err(Wrong::Form);
    }
    let alg = header["alg"].as_str().filter(|a| ALGORITHMS.contains(a)).ok_or(Wrong::Algorithm)?;
    let kid = header["kid"].as_str();
    let claims = json(body).filter(Value::is_object).ok_or(Wrong::Form)?;
    let sig = decode(sig).ok_or(Wrong::Form)?;
    let signed = token.rsplit_once('.').map_or("", |(start, _)| start).as_bytes();
    let mut fitting = false;
    for key in &keys.keys {
        let named = kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid;
        if !named || key.usage.as_deref().is_some_and(|u| u != "sig") {
            continue;
        }
        if key.alg.as_deref().is_some_and(|a| a != alg) {
            continue;
        }
        match key.check(alg, signed, &sig) {
            None => {}
            Some(true) => return Ok(claims),
            Some(false) => fitting = true,
        }
    }
    Err(if fitting { Wrong::Signature } else { Wrong::Key })
}

impl Jwk {
    /// Whether the signature is right; `None` when the key is not one for this algorithm.
    fn check(&self, alg: &str, signed: &[u8], sig: &[u8]) -> Option<bool> {
        let part = |text: &Option<String>| text.as_deref().and_then(decode);
        match (alg, self.kty.as_str(), self.crv.as_deref()) {
            ("ES256", "EC", Some("P-256")) | ("ES384", "EC", Some("P-384")) => {
                let mut point = vec![4];
                point.extend(part(&self.x)?);
                point.extend(part(&self.y)?);
                let way: &dyn signature::VerificationAlgorithm = if alg == "ES256" {
                    &signature::ECDSA_P256_SHA256_FIXED
                } else {
                    &signature::ECDSA_P384_SHA384_FIXED
                };
                Some(UnparsedPublicKey::new(way, point).verify(signed, sig).is_ok())
            }
            ("EdDSA", "OKP", Some("Ed25519")) => {
                let key = UnparsedPublicKey::new(&signature::ED25519, part(&self.x)?);
                Some(key.verify(signed, sig).is_ok())
            }
            ("RS256" | "PS256", "RSA", _) => {
                let key = RsaPublicKeyComponents { n: part(&self.n)?, e: part(&self.e)? };
                // Both refuse moduli below 2048 bits.
                let way = if alg == "RS256" {
                    &signature::RSA_PKCS1_2048_8192_SHA256
                } else {
                    &signature::RSA_PSS_2048_8192_SHA256
                };
                Some(key.verify(way, signed, sig).is_ok())
            }
            _ => None,
        }
    }

    /// The key's thumbprint (RFC 7638), which names it wherever its owner gave it no name.
    pub fn thumbprint(&self) -> String {
        let canonical = match self.kty.as_str() {
            "EC" => json!({ "crv": self.crv, "kty": "EC", "x": self.x, "y": self.y }),
            "OKP" => json!({ "crv": self.crv, "kty": "OKP", "x": self.x }),
            _ => json!({ "e": self.e, "kty": "RSA", "n": self.n }),
        };
        // Members in alphabetical order: a map of serde_json keeps them so unless told otherwise.
        let mut pairs: Vec<(String, Value)> =
            canonical.as_object().map(|o| o.clone().into_iter().collect()).unwrap_or_default();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let text = pairs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect::<Vec<_>>().join(",");
        encode(&secret::digest(&format!("{{{text}}}")))
    }

    /// Whether it is of a kind that [`verify`] can use.
    fn usable(&self) -> bool {
        let length = |text: &Option<String>| text.as_deref().and_then(decode).map_or(0, |b| b.len());
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => length(&self.x) == 32 && length(&self.y) == 32,
            ("EC", Some("P-384")) => length(&self.x) == 48 && length(&self.y) == 48,
            ("OKP", Some("Ed25519")) => length(&self.x) == 32,
            ("RSA", _) => length(&self.n) >= 256 && length(&self.e) >= 1,
            _ => false,
        }
    }
}

/// The public keys in what an administrator pasted: a JWKS, a single JWK, or a public key or certificate in PEM.
/// Each has a name afterwards.
pub fn public_keys(pasted: &str) -> Result<Vec<Jwk>, Refusal> {
    let unreadable = || {
        Refusal::invalid(
            "key.unreadable",
            "读不出公钥。请粘贴 JWKS（JSON），或 PEM 格式的公钥或证书；支持 RSA（2048 位以上）、P-256、P-384 和 Ed25519。",
        )
    };
    let pasted = pasted.trim();
    if pasted.contains("PRIVATE KEY") || pasted.contains("\"d\"") {
        return Err(Refusal::invalid(
            "key.private",
            "粘贴的内容含有私钥，没有保存。私钥只应留在贵方系统里：请立即更换这对密钥，只把公钥交给平台。",
        ));
    }
    let mut keys = if pasted.starts_with('{') {
        let value: Value = serde_json::from_str(pasted).map_err(|_| unreadable())?;
        let one_or_more = if value.get("keys").is_some() { value } else { json!({ "keys": [value] }) };
        serde_json::from_value::<Jwks>(one_or_more).map_err(|_| unreadable())?.keys
    } else {
        vec![of_pem(pasted).ok_or_else(unreadable)?]
    };
    keys.retain(Jwk::usable);
    if keys.is_empty() || keys.len() > 10 {
        return Err(unreadable());
    }
    for key in &mut keys {
        if key.kid.as_deref().is_none_or(str::is_empty) {
            key.kid = Some(key.thumbprint());
        }
    }
    Ok(keys)
}

fn of_pem(text: &str) -> Option<Jwk> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).ok()?;
    if pem.label == "CERTIFICATE" {
        let certificate = pem.parse_x509().ok()?;
        return of_spki(certificate.public_key());
    }
    let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
    of_spki(&info)
}

fn of_spki(info: &SubjectPublicKeyInfo<'_>) -> Option<Jwk> {
    let blank = Jwk {
        kty: String::new(),
        crv: None,
        x: None,
        y: None,
        n: None,
        e: None,
        kid: None,
        alg: None,
        usage: None,
    };
    if info.algorithm.algorithm.to_id_string() == "1.3.101.112" {
        let x = Some(encode(&info.subject_public_key.data));
        return Some(Jwk { kty: "OKP".into(), crv: Some("Ed25519".into()), x, ..blank });
    }
    match info.parsed().ok()? {
        PublicKey::RSA(key) => {
            let bare = |bytes: &[u8]| {
                let start = bytes.iter().position(|b| *b != 0).unwrap_or(0);
                encode(&bytes[start..])
            };
            Some(Jwk { kty: "RSA".into(), n: Some(bare(key.modulus)), e: Some(bare(key.exponent)), ..blank })
        }
        PublicKey::EC(_) => {
            // The point of an SM2 key looks like one of P-256: the curve is told by its name.
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
            let (crv, half) = match curve.as_str() {
                "1.2.840.10045.3.1.7" => ("P-256", 32),
                "1.3.132.0.34" => ("P-384", 48),
                _ => return None,
            };
            let point = &info.subject_public_key.data;
            if point.len() != 1 + 2 * half || point[0] != 4 {
                return None;
            }
            let (x, y) = (encode(&point[1..=half]), encode(&point[1 + half..]));
            Some(Jwk { kty: "EC".into(), crv: Some(crv.into()), x: Some(x), y: Some(y), ..blank })
        }
        _ => None,
    }
}

/// A private key of ours, for ES256.
pub struct SigningKey {
    /// Names it: the thumbprint of its public half.
    pub kid: String,
    pair: EcdsaKeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Draws a new key; PKCS #8, to be sealed before it is stored.
    pub fn draw() -> Result<Vec<u8>> {
        EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| Error::fault("draw a signing key", "the random source failed"))
    }

    /// The key of a PKCS #8 document.
    pub fn open(pkcs8: &[u8]) -> Result<Self> {
        let way = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(way, pkcs8, &SystemRandom::new())
            .map_err(|error| Error::fault("read a signing key", error.to_string()))?;
        let mut key = Self { kid: String::new(), pair };
        key.kid = key.public().thumbprint();
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> Jwk {
        let point = self.pair.public_key().as_ref();
        Jwk {
            kty: "EC".into(),
            crv: Some("P-256".into()),
            x: point.get(1..33).map(encode),
            y: point.get(33..65).map(encode),
            n: None,
            e: None,
            kid: Some(self.kid.clone()).filter(|kid| !kid.is_empty()),
            alg: Some("ES256".into()),
            usage: Some("sig".into()),
        }
    }

    /// Signs claims; `typ` as RFC 8725 wants it, so that one kind of token is not taken for another.
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String> {
        let header = json!({ "alg": "ES256", "kid": self.kid, "typ": typ });
        let mut token =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let sig = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| Error::fault("sign a token", "the random source failed"))?;
        token.push('.');
        token.push_str(&encode(sig.as_ref()));
        Ok(token)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::open(&SigningKey::draw().unwrap()).unwrap()
    }
    fn set(keys: &[&SigningKey]) -> Jwks {
        Jwks { keys: keys.iter().map(|k| k.public()).collect() }
    }

    #[test]
    fn what_is_signed_is_read_back_and_nothing_else() {
        let (ours, other) = (key(), key());
        let claims = json!({ "sub": "mk-1", "n": 7 });
        let token = ours.sign("JWT", &claims).unwrap();
        assert_eq!(verify(&token, &set(&[&other, &ours])), Ok(claims));
        assert_eq!(verify(&token, &set(&[&other])), Err(Wrong::Key));
        let mut same_name = other.public();
        same_name.kid = Some(ours.kid.clone());
        assert_eq!(verify(&token, &Jwks { keys: vec![same_name] }), Err(Wrong::Signature));

        let parts: Vec<&str> = token.split('.').collect();
        let body = encode(json!({ "sub": "mk-2", "n": 7 }).to_string().as_bytes());
        assert_eq!(
            verify(&format!("{}.{body}.{}", parts[0], parts[2]), &set(&[&ours])),
            Err(Wrong::Signature)
        );
    }

    #[test]
    fn no_token_chooses_a_weaker_algorithm() {
        let ours = key();
        let token = ours.sign("JWT", &json!({})).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let with =
            |header: Value| format!("{}.{}.{}", encode(header.to_string().as_bytes()), parts[1], parts[2]);
        for (header, wrong) in [
            (json!({ "alg": "none" }), Wrong::Algorithm),
            (json!({ "alg": "None" }), Wrong::Algorithm),
            (json!({ "alg": "HS256" }), Wrong::Algorithm),
            (json!({}), Wrong::Algorithm),
            (json!({ "alg": "RS256" }), Wrong::Key),
            (json!({ "alg": "ES384" }), Wrong::Key),
            (json!({ "alg": "ES256", "crit": ["exp"] }), Wrong::Form),
            (json!([]), Wrong::Form),
        ] {
            assert_eq!(verify(&with(header.clone()), &set(&[&ours])), Err(wrong), "{header}");
        }
        let unsigned = format!("{}.{}.", encode(b"{\"alg\":\"none\"}"), parts[1]);
        assert_eq!(verify(&unsigned, &set(&[&ours])), Err(Wrong::Algorithm));
        for nonsense in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30.", "中.文.字"] {
            assert!(verify(nonsense, &set(&[&ours])).is_err(), "{nonsense}");
        }
        assert_eq!(verify(&"a".repeat(LONGEST + 1), &set(&[&ours])), Err(Wrong::Form));
    }

    #[test]
    fn a_thumbprint_is_that_of_the_standard() {
        // The example of RFC 7638, section 3.1.
        let jwk: Jwk = serde_json::from_value(json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        }))
        .unwrap();
        assert_eq!(jwk.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn pasted_keys_are_read_and_private_ones_refused() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let keys = public_keys(&pair.public_key_pem()).unwrap();
        assert_eq!((keys[0].kty.as_str(), keys[0].crv.as_deref()), ("EC", Some("P-256")));
        let signing = SigningKey::open(&pair.serialize_der()).unwrap();
        assert_eq!(keys[0].x, signing.public().x);
        let set = json!({ "keys": [signing.public(), { "kty": "oct", "k": "AAAA" }] }).to_string();
        assert_eq!(public_keys(&set).unwrap().len(), 1, "the kinds that are not understood are left out");
        assert_eq!(public_keys(&pair.serialize_pem()).unwrap_err().code, "key.private");
        for wrong in ["", "{}", "{\"keys\":[]}", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
        {
            assert_eq!(public_keys(wrong).unwrap_err().code, "key.unreadable", "{wrong}");
        }
    }
}
