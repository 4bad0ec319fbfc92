//! Passkeys with an authenticator in software: adding, signing in without a login name, proving again, taking away.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use chrono::TimeDelta;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::city::{Browser, City, PASSWORD, city, city_at};

const ORIGIN: &str = "http://localhost:8686";

/// An authenticator with one key.
struct Authenticator {
    pair: EcdsaKeyPair,
    count: u32,
    user: String,
    origin: &'static str,
    flags: u8,
}

impl Authenticator {
    fn new() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            document.as_ref(),
            &SystemRandom::new(),
        )
        .unwrap();
        Self { pair, count: 0, user: String::new(), origin: ORIGIN, flags: 0x05 }
    }

    fn client(&self, kind: &str, challenge: &str) -> Vec<u8> {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn data(&self, more: u8) -> Vec<u8> {
        let mut data = Sha256::digest(b"localhost").to_vec();
        data.push(self.flags | more);
        data.extend_from_slice(&self.count.to_be_bytes());
        data
    }

    fn make(&mut self, begun: &Value) -> Value {
        self.user = begun["user"]["id"].as_str().unwrap().to_owned();
        let mut data = self.data(0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&[0, 4, b'k', b'e', b'y', b'1']);
        let point = self.pair.public_key().as_ref();
        data.extend_from_slice(&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend_from_slice(&point[1..33]);
        data.extend_from_slice(&[0x22, 0x58, 32]);
        data.extend_from_slice(&point[33..]);
        let mut object = vec![0xa3, 0x63, b'f', b'm', b't', 0x64, b'n', b'o', b'n', b'e', 0x67];
        object.extend_from_slice(b"attStmt");
        object.extend_from_slice(&[0xa0, 0x68]);
        object.extend_from_slice(b"authData");
        object.extend_from_slice(&[0x58, u8::try_from(data.len()).unwrap()]);
        object.extend_from_slice(&data);
        let client = self.client("webauthn.create", begun["challenge"].as_str().unwrap());
        json!({ "name": "办公室电脑", "client": B64.encode(client), "attestation": B64.encode(object) })
    }

    fn sign(&mut self, begun: &Value) -> Value {
        self.count += 1;
        let client = self.client("webauthn.get", begun["challenge"].as_str().unwrap());
        let data = self.data(0);
        let message = [data.clone(), Sha256::digest(&client).to_vec()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": B64.encode(b"key1"), "client": B64.encode(client), "authenticator": B64.encode(data),
            "signature": B64.encode(signature.as_ref()), "user": self.user, "next": "/persons",
        })
    }
}

async fn added(city: &City, browser: &mut Browser) -> Authenticator {
    city.doctor().await;
    browser.sign_in("wang.li", PASSWORD).await;
    let mut key = Authenticator::new();
    let (status, begun) = browser.post_json("/account/passkeys/begin", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    assert_eq!(begun["rp"]["id"], "localhost");
    let made = key.make(&begun);
    let (status, told) = browser.post_json("/account/passkeys", &made).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let (again, _) = browser.post_json("/account/passkeys", &made).await;
    assert_eq!(again, StatusCode::UNPROCESSABLE_ENTITY, "a challenge serves once");
    key
}

async fn signed_in(browser: &mut Browser, key: &mut Authenticator) -> (StatusCode, Value) {
    let (_, begun) = browser.post_json("/sign-in/passkey/begin", &json!({})).await;
    let given = key.sign(&begun);
    browser.post_json("/sign-in/passkey", &given).await
}

#[tokio::test]
async fn a_passkey_signs_in_without_a_login_name() {
    let city = city_at(ORIGIN).await;
    let mut browser = city.browser();
    let mut key = added(&city, &mut browser).await;
    assert!(browser.get("/account").await.text.contains("办公室电脑"));
    let mut other = city.browser();
    let (status, told) = signed_in(&mut other, &mut key).await;
    assert_eq!((status, told["to"].as_str()), (StatusCode::OK, Some("/persons")), "{told}");
    assert_eq!(other.get("/medical").await.status, StatusCode::OK);
    assert!(other.get("/account").await.text.contains("双因素"));
    // The password alone opens nothing any more.
    assert_eq!(city.browser().sign_in("wang.li", PASSWORD).await.location, "/sign-in/code?next=%2Fdesk");

    let id: i64 = sqlx::query_scalar("select id from passkey").fetch_one(city.db.pool()).await.unwrap();
    other.post(&format!("/account/passkeys/{id}/rename"), &[("name", "家里的手机")]).await;
    assert!(other.get("/account").await.text.contains("家里的手机"));
    other.post(&format!("/account/passkeys/{id}/remove"), &[]).await;
    let (status, _) = signed_in(&mut city.browser(), &mut key).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "taken away");
}

#[tokio::test]
async fn what_is_replayed_copied_or_from_elsewhere_is_not_believed() {
    let city = city_at(ORIGIN).await;
    let mut browser = city.browser();
    let mut key = added(&city, &mut browser).await;
    let mut thief = city.browser();
    let (_, begun) = thief.post_json("/sign-in/passkey/begin", &json!({})).await;
    let good = key.sign(&begun);
    assert_eq!(thief.post_json("/sign-in/passkey", &good).await.0, StatusCode::OK);
    assert_eq!(thief.post_json("/sign-in/passkey", &good).await.0, StatusCode::UNAUTHORIZED, "replayed");

    key.count -= 1;
    assert_eq!(
        signed_in(&mut thief, &mut key).await.0,
        StatusCode::UNAUTHORIZED,
        "a copy with an old counter"
    );
    key.count += 5;
    key.origin = "http://evil.example";
    assert_eq!(signed_in(&mut thief, &mut key).await.0, StatusCode::UNAUTHORIZED, "a look-alike site");
    key.origin = ORIGIN;
    key.flags = 0x01;
    assert_eq!(signed_in(&mut thief, &mut key).await.0, StatusCode::UNAUTHORIZED, "not unlocked by its user");
    key.flags = 0x05;
    let user = std::mem::replace(&mut key.user, B64.encode([9; 32]));
    assert_eq!(signed_in(&mut thief, &mut key).await.0, StatusCode::UNAUTHORIZED, "names another account");
    key.user = user;
    let (_, begun) = thief.post_json("/sign-in/passkey/begin", &json!({})).await;
    city.clock.advance(TimeDelta::minutes(6));
    let late = key.sign(&begun);
    assert_eq!(thief.post_json("/sign-in/passkey", &late).await.0, StatusCode::UNAUTHORIZED, "too late");
    // A challenge of one ceremony serves in no other.
    let (_, begun) = browser.post_json("/step-up/passkey/begin", &json!({})).await;
    let crossed = key.sign(&begun);
    assert_eq!(thief.post_json("/sign-in/passkey", &crossed).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(signed_in(&mut thief, &mut key).await.0, StatusCode::OK, "its owner still gets in");
    let closed: i64 = sqlx::query_scalar("select id from account").fetch_one(city.db.pool()).await.unwrap();
    let operator = kernel::Caller::system("运维");
    let change = identity::account::Change::Lock;
    city.identity.change_account(kernel::Id::new(closed), &change, "待查", &operator).await.unwrap();
    assert_eq!(signed_in(&mut thief, &mut key).await.0, StatusCode::UNAUTHORIZED, "a locked account");
}

#[tokio::test]
async fn a_passkey_proves_again() {
    let city = city_at(ORIGIN).await;
    let mut browser = city.browser();
    let mut key = added(&city, &mut browser).await;
    city.clock.advance(TimeDelta::minutes(11));
    let before = browser.cookies["minkang_session"].clone();
    let (status, told) = browser.post_json("/account/passkeys/begin", &json!({})).await;
    assert_eq!((status, told["error"]["step_up"].as_str()), (StatusCode::FORBIDDEN, Some("/step-up")));
    let (_, begun) = browser.post_json("/step-up/passkey/begin", &json!({})).await;
    let given = key.sign(&begun);
    let (status, told) = browser.post_json("/step-up/passkey", &given).await;
    assert_eq!((status, told["to"].as_str()), (StatusCode::OK, Some("/persons")));
    assert_ne!(browser.cookies["minkang_session"], before, "another token");
    assert_eq!(browser.post_json("/account/passkeys/begin", &json!({})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn without_a_name_or_tls_there_are_no_passkeys() {
    let city = city().await;
    city.doctor().await;
    let mut browser = city.browser();
    assert_eq!(browser.post_json("/sign-in/passkey/begin", &json!({})).await.0, StatusCode::CONFLICT);
    browser.sign_in("wang.li", PASSWORD).await;
    assert!(browser.get("/account").await.text.contains("浏览器不支持通行密钥"));
}
