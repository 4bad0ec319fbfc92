//! Sign-in by certificate: of the connection, and SM2 by a signed challenge; bound, revoked, out of time.

use axum::http::StatusCode;
use chrono::TimeDelta;
use sm2::dsa::SigningKey;
use sm2::dsa::signature::Signer;

use crate::city::{Browser, City, PASSWORD, city};

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        n @ 0..=127 => out.push(u8::try_from(n).unwrap()),
        n @ 128..=255 => out.extend_from_slice(&[0x81, u8::try_from(n).unwrap()]),
        n => out.extend_from_slice(&[0x82, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 255).unwrap()]),
    }
    out.extend_from_slice(&content);
    out
}

const SM2_WITH_SM3: [u8; 10] = [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75];
const EC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SM2_CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
const CA: [u8; 16] =
    [0x30, 0x0e, 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff];

fn name(text: &str) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&COMMON_NAME, &tlv(0x0c, &[text.as_bytes()])])])])
}

fn der_signature(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: sm2::dsa::Signature = key.sign(message);
    let bytes = signature.to_bytes();
    let number = |half: &[u8]| {
        let pad: &[u8] = if half[0] >= 0x80 { &[0] } else { &[] };
        tlv(0x02, &[pad, half])
    };
    tlv(0x30, &[&number(&bytes[..32]), &number(&bytes[32..])])
}

fn sealed(tbs: &[u8], key: &SigningKey) -> Vec<u8> {
    let algorithm = tlv(0x30, &[&SM2_WITH_SM3]);
    tlv(0x30, &[tbs, &algorithm, &tlv(0x03, &[&[0], &der_signature(key, tbs)])])
}

/// An SM2 certificate, valid through 2024 to 2029.
fn certificate(
    subject: &str,
    key: &SigningKey,
    issuer: &str,
    by: &SigningKey,
    serial: u8,
    ca: bool,
) -> Vec<u8> {
    let algorithm = tlv(0x30, &[&SM2_WITH_SM3]);
    let validity = tlv(0x30, &[&tlv(0x17, &[b"240101000000Z"]), &tlv(0x17, &[b"291231235959Z"])]);
    let point = key.verifying_key().to_sec1_bytes();
    let public = tlv(0x30, &[&tlv(0x30, &[&EC_KEY, &SM2_CURVE]), &tlv(0x03, &[&[0], &point])]);
    let extensions = if ca { tlv(0xa3, &[&CA]) } else { Vec::new() };
    let tbs = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&[0x02, 0x01, 0x02]]),
            &[0x02, 0x01, serial],
            &algorithm,
            &name(issuer),
            &validity,
            &name(subject),
            &public,
            &extensions,
        ],
    );
    sealed(&tbs, by)
}

fn list(issuer: &str, by: &SigningKey, serial: u8) -> Vec<u8> {
    let one = tlv(0x30, &[&[0x02, 0x01, serial], &tlv(0x17, &[b"250101000000Z"])]);
    let tbs = tlv(
        0x30,
        &[
            &[0x02, 0x01, 0x01],
            &tlv(0x30, &[&SM2_WITH_SM3]),
            &name(issuer),
            &tlv(0x17, &[b"250101000000Z"]),
            &tlv(0x17, &[b"350101000000Z"]),
            &tlv(0x30, &[&one]),
        ],
    );
    sealed(&tbs, by)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn key(seed: u8) -> SigningKey {
    let secret = sm2::SecretKey::from_slice(&[seed; 32]).unwrap();
    SigningKey::new("1234567812345678", &secret).unwrap()
}

async fn administrators(city: &City) -> (Browser, Browser) {
    city.county_administrator().await;
    city.person("safe", "周安全", "security_administrator", None, "4115").await;
    let (mut county, mut safe) = (city.browser(), city.browser());
    county.sign_in("county", PASSWORD).await;
    safe.sign_in("safe", PASSWORD).await;
    (county, safe)
}

fn challenge(page: &str) -> String {
    page.split("name=\"challenge\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_sm2_key_signs_in_by_a_challenge_until_it_is_revoked() {
    let city = city().await;
    let doctor = city.doctor().await;
    let (mut county, mut safe) = administrators(&city).await;
    let (root, own, thief) = (key(3), key(5), key(7));
    let ca = certificate("省 CA", &root, "省 CA", &root, 1, true);
    let card = certificate("王丽华", &own, "省 CA", &root, 9, false);
    let bind = format!("/accounts/{doctor}/certificates");
    let pasted = pem("CERTIFICATE", &card);
    let early = county.post(&bind, &[("pem", &pasted)]).await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY, "no authority yet: {}", early.text);
    let own_ca =
        [("name", "省卫生健康 CA"), ("pem", &pem("CERTIFICATE", &ca))].map(|(k, v)| (k, v.to_owned()));
    let fields: Vec<(&str, &str)> = own_ca.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(county.post("/certificate-authorities", &fields).await.status, StatusCode::FORBIDDEN);
    let entered = safe.post("/certificate-authorities", &fields).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text);
    assert!(safe.get("/certificate-authorities").await.text.contains("国密 SM2"));
    let forged = certificate("王丽华", &own, "省 CA", &thief, 9, false);
    let refused = county.post(&bind, &[("pem", &pem("CERTIFICATE", &forged))]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "signed by somebody else");
    let bound = county.post(&bind, &[("pem", &pasted)]).await;
    assert_eq!(bound.status, StatusCode::SEE_OTHER, "{}", bound.text);
    assert!(county.get(&format!("/accounts/{doctor}")).await.text.contains("序列号 09"));

    let sign_in = async |by: &SigningKey, card: &[u8], hex: bool| {
        let mut browser = city.browser();
        let word = challenge(&browser.get("/sign-in/certificate").await.text);
        let signature: sm2::dsa::Signature = by.sign(word.as_bytes());
        let plain = identity::secret::hex(&signature.to_bytes());
        let der = identity::secret::hex(&der_signature(by, word.as_bytes()));
        let given = if hex { plain } else { der };
        let certificate = pem("CERTIFICATE", card);
        let fields = [("challenge", word.as_str()), ("certificate", &certificate), ("signature", &given)];
        let answer = browser.post("/sign-in/certificate/sm2", &fields).await;
        let again = city.browser().post("/sign-in/certificate/sm2", &fields).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED, "a challenge serves once");
        (answer.status, browser)
    };
    let (status, mut browser) = sign_in(&own, &card, true).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK);
    assert!(browser.get("/account").await.text.contains("数字证书"));
    assert_eq!(sign_in(&own, &card, false).await.0, StatusCode::SEE_OTHER, "DER as well");
    assert_eq!(sign_in(&thief, &card, true).await.0, StatusCode::UNAUTHORIZED, "without its key");
    assert_eq!(sign_in(&own, &forged, true).await.0, StatusCode::UNAUTHORIZED, "not bound");

    let crl = pem("X509 CRL", &list("省 CA", &thief, 9));
    let id: i64 =
        sqlx::query_scalar("select id from certificate_authority").fetch_one(city.db.pool()).await.unwrap();
    let path = format!("/certificate-authorities/{id}/crl");
    assert_eq!(safe.post(&path, &[("pem", &crl)]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let crl = pem("X509 CRL", &list("省 CA", &root, 9));
    let taken = safe.post(&path, &[("pem", &crl)]).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER, "{}", taken.text);
    assert_ne!(browser.get("/medical").await.status, StatusCode::OK, "its session ends");
    assert_eq!(sign_in(&own, &card, true).await.0, StatusCode::UNAUTHORIZED, "revoked");
    assert!(county.get(&format!("/accounts/{doctor}")).await.text.contains("已吊销"));
}

#[tokio::test]
async fn the_certificate_of_the_connection_signs_in() {
    let city = city().await;
    let doctor = city.doctor().await;
    let (mut county, mut safe) = administrators(&city).await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "院内 CA");
    let ca = params.self_signed(&pair).unwrap();
    let issuer = rcgen::Issuer::new(params, pair);
    let own = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::new(Vec::new()).unwrap();
    wanted.not_before = rcgen::date_time_ymd(2024, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(2027, 1, 1);
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "王丽华");
    let card = wanted.signed_by(&own, &issuer).unwrap();
    safe.post("/certificate-authorities", &[("name", ""), ("pem", &ca.pem())]).await;
    let bound = county.post(&format!("/accounts/{doctor}/certificates"), &[("pem", &card.pem())]).await;
    assert_eq!(bound.status, StatusCode::SEE_OTHER, "{}", bound.text);
    let private = own.serialize_pem();
    let leaked = county.post(&format!("/accounts/{doctor}/certificates"), &[("pem", &private)]).await;
    assert!(leaked.text.contains("含有私钥"));

    assert_eq!(city.browser().post("/sign-in/certificate", &[]).await.status, StatusCode::UNAUTHORIZED);
    let mut browser = city.browser();
    browser.certificate = Some(card.der().to_vec());
    assert!(browser.get("/sign-in/certificate").await.text.contains("王丽华"));
    assert_eq!(browser.post("/sign-in/certificate", &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/medical").await.status, StatusCode::OK);
    let mut stranger = city.browser();
    stranger.certificate = Some(ca.der().to_vec());
    assert_eq!(stranger.post("/sign-in/certificate", &[]).await.status, StatusCode::UNAUTHORIZED);
    city.clock.advance(TimeDelta::days(1500));
    assert_eq!(browser.post("/sign-in/certificate", &[]).await.status, StatusCode::UNAUTHORIZED, "expired");
}
