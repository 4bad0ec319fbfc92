//! Machine clients at the token endpoint, and the platform as an application of a hospital's own provider.

use axum::http::StatusCode;
use chrono::TimeDelta;
use identity::NewPartner;
use identity::client::NewClient;
use identity::jose::{Jwks, SigningKey};
use kernel::{Caller, Id};
use serde_json::{Value, json};

use crate::city::{City, PASSWORD, city};
use crate::outside::{Outside, online};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN: &str = "/oauth/token";

fn by() -> Caller {
    Caller::system("运维")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

async fn who(city: &City, path: &str, token: &str, certificate: Option<Vec<u8>>) -> (StatusCode, String) {
    let mut program = city.browser();
    program.bearer = Some(token.to_owned());
    program.certificate = certificate;
    let answer = program.get(path).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn a_secret_becomes_a_short_lived_token_and_changes_with_overlap() {
    let city = city().await;
    let new = NewClient { reads_records: true, ..NewClient::simple(Id::new(1), "HIS 数据上传") };
    let issued = city.identity.open_client(&new, &by()).await.unwrap();
    let ask = async |secret: &str, scope: &str| {
        let mut program = city.browser();
        program.site = "none";
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", issued.client_id.as_str()),
            ("client_secret", secret),
            ("scope", scope),
        ];
        let answer = program.post(TOKEN, &form).await;
        (answer.status, json_of(&answer.text))
    };
    let (status, tokens) = ask(&issued.secret, "").await;
    assert_eq!((status, tokens["expires_in"].as_i64()), (StatusCode::OK, Some(900)), "{tokens}");
    let token = tokens["access_token"].as_str().unwrap();
    let (_, text) = who(&city, "/api/v1/who", token, None).await;
    assert!(text.starts_with("Client|HIS 数据上传|接入客户端|平桥县医院（虚构）|"), "{text}");
    assert!(text.ends_with("Medical Read Institution(#1)"), "{text}");
    assert_eq!(who(&city, "/fhir/medical", token, None).await.0, StatusCode::OK);
    let (_, less) = ask(&issued.secret, "api:exchange.write system/*.rs invented").await;
    assert_eq!(less["scope"], "api:exchange.write system/*.rs");
    let (_, text) = who(&city, "/api/v1/who", less["access_token"].as_str().unwrap(), None).await;
    assert!(!text.contains("Exchange Read"), "{text}");
    assert_eq!(ask(&issued.secret, "user/*.rs").await.1["error"], "invalid_scope");
    assert_eq!(ask("wrong", "").await.1["error"], "invalid_client");

    // Two secrets hold while one replaces the other; then one.
    let client = city.identity.clients_of(Id::new(1)).await.unwrap().remove(0);
    city.clock.advance(TimeDelta::seconds(1));
    let second = city.identity.renew_client_secret(&client, &by()).await.unwrap();
    assert_eq!(ask(&issued.secret, "").await.0, StatusCode::OK, "the earlier one still serves");
    assert_eq!(ask(&second, "").await.0, StatusCode::OK);
    city.clock.advance(TimeDelta::hours(1));
    let third = city.identity.renew_client_secret(&client, &by()).await.unwrap();
    assert_eq!(ask(&issued.secret, "").await.0, StatusCode::UNAUTHORIZED, "never three");
    assert_eq!(ask(&second, "").await.0, StatusCode::OK);
    city.clock.advance(TimeDelta::hours(73));
    assert_eq!(ask(&second, "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        who(&city, "/api/v1/who", token, None).await.0,
        StatusCode::UNAUTHORIZED,
        "tokens are short-lived"
    );

    // Closed: the token ends at once.
    let (_, tokens) = ask(&third, "").await;
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(who(&city, "/api/v1/who", token, None).await.0, StatusCode::OK);
    city.identity.close_client(client.id, &by()).await.unwrap();
    assert_eq!(who(&city, "/api/v1/who", token, None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_signs_once_for_us_and_not_for_long() {
    let city = city().await;
    let (key, other) = (
        SigningKey::open(&SigningKey::draw().unwrap()).unwrap(),
        SigningKey::open(&SigningKey::draw().unwrap()).unwrap(),
    );
    let pasted = serde_json::to_string(&Jwks { keys: vec![key.public()] }).unwrap();
    let new = NewClient {
        auth_method: "private_key_jwt".to_owned(),
        pasted,
        datasets: Some(vec!["outpatient_visit".to_owned()]),
        ..NewClient::simple(Id::new(1), "LIS 上传")
    };
    let issued = city.identity.open_client(&new, &by()).await.unwrap();
    assert_eq!(issued.secret, "", "there is no secret to lose");
    let ask = async |assertion: &str| {
        let mut program = city.browser();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        let answer = program.post(TOKEN, &form).await;
        (answer.status, json_of(&answer.text))
    };
    let now = 1_747_272_600;
    let id = issued.client_id.clone();
    let claims = |jti: &str| json!({ "iss": id, "sub": id, "aud": "http://127.0.0.1:8686/oauth/token", "exp": now + 60, "iat": now, "jti": jti });
    let good = key.sign("JWT", &claims("1")).unwrap();
    let (status, tokens) = ask(&good).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(ask(&good).await.1["error"], "invalid_client", "replayed");
    for (what, change) in [
        ("another audience", json!({ "aud": "https://other.example/token" })),
        ("expired", json!({ "exp": now - 61 })),
        ("too long", json!({ "exp": now + 3600 })),
        ("another client", json!({ "sub": "c-0" })),
        ("no jti", json!({ "jti": null })),
    ] {
        let mut odd = claims("2");
        for (name, value) in change.as_object().unwrap() {
            odd[name] = value.clone();
        }
        let (status, answer) = ask(&key.sign("JWT", &odd).unwrap()).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_client")),
            "{what}"
        );
    }
    assert_eq!(
        ask(&other.sign("JWT", &claims("3")).unwrap()).await.0,
        StatusCode::UNAUTHORIZED,
        "another key"
    );
    let body = good.split('.').nth(1).unwrap();
    assert_eq!(ask(&format!("eyJhbGciOiJub25lIn0.{body}.")).await.0, StatusCode::UNAUTHORIZED, "alg none");
    // No other way in for this client.
    let mut basic = city.browser();
    basic.basic = Some(format!("{}:", issued.client_id));
    assert_eq!(basic.get("/api/v1/who").await.status, StatusCode::UNAUTHORIZED);

    let mut program = city.browser();
    program.bearer = tokens["access_token"].as_str().map(str::to_owned);
    assert!(program.get("/api/v1/own-datasets").await.text.contains("outpatient_visit"));
}

#[tokio::test]
async fn a_certificate_binds_its_tokens() {
    let city = city().await;
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert;
    let (mine, other) = (made("his"), made("other"));
    let new = NewClient {
        auth_method: "tls_client_auth".to_owned(),
        pasted: mine.pem(),
        ..NewClient::simple(Id::new(1), "PACS 上传")
    };
    let issued = city.identity.open_client(&new, &by()).await.unwrap();
    let ask = async |certificate: Option<Vec<u8>>| {
        let mut program = city.browser();
        program.certificate = certificate;
        let form = [("grant_type", "client_credentials"), ("client_id", issued.client_id.as_str())];
        let answer = program.post(TOKEN, &form).await;
        (answer.status, json_of(&answer.text))
    };
    let (mine, other) = (mine.der().to_vec(), other.der().to_vec());
    assert_eq!(ask(None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Some(other.clone())).await.0, StatusCode::UNAUTHORIZED);
    let (status, tokens) = ask(Some(mine.clone())).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let token = tokens["access_token"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(who(&city, "/api/v1/who", token, Some(mine.clone())).await.0, StatusCode::OK);
        assert_eq!(who(&city, "/api/v1/who", token, Some(other.clone())).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(who(&city, "/api/v1/who", token, None).await.0, StatusCode::UNAUTHORIZED, "stolen");
    }
    // The certificate alone opens interfaces, never pages.
    let mut program = city.browser();
    program.certificate = Some(mine);
    assert!(program.get("/api/v1/who").await.text.starts_with("Client|PACS 上传|"));
    assert!(program.get("/desk").await.location.starts_with("/sign-in"));
    program.certificate = Some(other);
    assert_eq!(program.get("/api/v1/who").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospitals_own_provider_signs_its_staff_in() {
    let (hospital, platform) = (online().await, online().await);
    let back = platform.at("/sign-in/partner-return");
    let (client_id, secret) = hospital
        .application(|new| {
            new.redirect_uris = vec![back.clone()];
            new.scopes = ["openid", "profile"].map(str::to_owned).to_vec();
        })
        .await;
    let new = NewPartner {
        institution: Id::new(2),
        name: "明港卫生院统一认证".to_owned(),
        issuer: hospital.base.clone(),
        client_id,
        secret: secret.clone(),
        staff_claim: "staff_no".to_owned(),
        authority: String::new(),
    };
    let partner = platform.city.identity.enter_partner(&new, &by()).await.unwrap();
    let sealed: Vec<u8> = sqlx::query_scalar("select sealed_secret from partner")
        .fetch_one(platform.city.db.pool())
        .await
        .unwrap();
    assert!(!sealed.windows(16).any(|w| secret.as_bytes().windows(16).any(|s| s == w)), "sealed at rest");

    // In the hospital the doctor is signed in already; the platform knows the staff number.
    let mut there = hospital.doctor().await;
    let mut here = Outside::default();
    let page = here.get(&platform.at("/sign-in/partners?next=/account")).await.body;
    assert!(page.contains("明港卫生院统一认证"), "{page}");
    let go = platform.at(&format!("/sign-in/partner/{partner}?next=/account"));
    let away = here.get(&go).await;
    assert!(away.location.starts_with(&hospital.base), "{away:?}");
    let returned = there.get(&away.location).await;
    assert!(returned.location.starts_with(&back), "{returned:?}");

    // Nobody on the platform has that number yet: a clear word, and no account is made.
    let unknown = here.get(&returned.location).await;
    assert!(
        unknown.status == 403 && unknown.body.contains("没有贵单位工号为“wang.li-1”的账号"),
        "{unknown:?}"
    );
    let accounts: i64 =
        sqlx::query_scalar("select count(*) from account").fetch_one(platform.city.db.pool()).await.unwrap();
    assert_eq!(accounts, 0);

    platform.city.doctor().await;
    let away = here.get(&go).await;
    let returned = there.get(&away.location).await;
    let stranger = Outside::default().get(&returned.location).await;
    assert_eq!(stranger.status, 403, "not the browser that began it");
    let inside = here.get(&returned.location).await;
    assert_eq!(inside.location, "/account", "{inside:?}");
    assert!(here.get(&platform.at("/account")).await.body.contains("王丽华"));
    let again = here.get(&returned.location).await;
    assert_eq!(again.status, 403, "once");
    let outcomes = platform.city.outcomes("sign_in").await;
    assert_eq!(outcomes, ["unknown_staff", "ok"]);

    // A code of another sign-in, and a closed partner.
    let (first, second) = (here.get(&go).await, here.get(&go).await);
    let (one, two) = (there.get(&first.location).await, there.get(&second.location).await);
    let swapped = two.location.replace(&two.query("code").unwrap(), &one.query("code").unwrap());
    assert_ne!(here.get(&swapped).await.status, 303, "the verifier does not fit");
    platform.city.identity.close_partner(partner, &by()).await.unwrap();
    assert_eq!(here.get(&go).await.status, 404);
}

#[tokio::test]
async fn an_administrator_changes_a_clients_secret_on_its_page() {
    let city = city().await;
    city.county_administrator().await;
    city.identity.create_client(Id::new(1), "HIS 上传", &by()).await.unwrap();
    city.identity.create_client(Id::new(3), "外县上传", &by()).await.unwrap();
    let ours = city.identity.clients_of(Id::new(1)).await.unwrap().remove(0);
    let theirs = city.identity.clients_of(Id::new(3)).await.unwrap().remove(0);
    let mut county = city.browser();
    county.sign_in("county", PASSWORD).await;
    let csv = county.get("/clients.csv").await.text;
    assert!(csv.contains("HIS 上传") && !csv.contains("外县上传"));
    assert_eq!(county.get(&format!("/clients/{}", theirs.id)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        county.post(&format!("/clients/{}/secret", theirs.id), &[]).await.status,
        StatusCode::NOT_FOUND
    );
    assert!(county.get(&format!("/clients/{}", ours.id)).await.text.contains("更换密钥"));
    let told = county.post(&format!("/clients/{}/secret", ours.id), &[]).await;
    let secret =
        told.text.split("mk-secret\">").nth(1).unwrap_or_else(|| panic!("{told:?}"))[..64].to_owned();
    let mut program = city.browser();
    program.basic = Some(format!("{}:{secret}", ours.client_id));
    assert_eq!(program.get("/api/v1/who").await.status, StatusCode::OK);
    // The step-up has worn off.
    city.clock.advance(TimeDelta::minutes(11));
    let stale = county.post(&format!("/clients/{}/secret", ours.id), &[]).await;
    assert_ne!(stale.status, StatusCode::OK);
    assert_eq!(city.outcomes("client.secret").await, ["ok"]);
}
