//! The single sign-on, seen by an independent client library over a listening server, and by those who cheat.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use identity::Identity;
use identity::jose::SigningKey;
use identity::provider::Turn;
use kernel::Caller;
use openidconnect::core::{
    CoreClient, CoreIdTokenVerifier, CoreProviderMetadata, CoreResponseType, CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope,
    TokenResponse,
};
use serde_json::{Value, json};

use crate::city::PASSWORD;
use crate::outside::{Outside, REDIRECT, VERIFIER, agent, online};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The HTTP client that the library is given.
fn http(request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let (parts, body) = request.into_parts();
    let request = ureq::http::Request::from_parts(parts, body);
    let response = agent().run(request)?;
    let (parts, mut body) = response.into_parts();
    Ok(HttpResponse::from_parts(parts, body.read_to_vec()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_library_signs_a_doctor_in() {
    let online = online().await;
    let (client_id, secret) = online.application(|_| {}).await;
    let base = online.base.clone();

    // Discovery and the request.
    let metadata = tokio::task::spawn_blocking(move || {
        CoreProviderMetadata::discover(&IssuerUrl::new(base).unwrap(), &http).unwrap()
    })
    .await
    .unwrap();
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(client_id.clone()),
        Some(ClientSecret::new(secret.clone())),
    )
    .set_redirect_uri(RedirectUrl::new(REDIRECT.to_owned()).unwrap());
    let (pkce, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("profile".into()))
        .add_scope(Scope::new("online_access".into()))
        .set_pkce_challenge(pkce)
        .url();

    // The browser: not signed in, signs in, comes back, goes to the application with a code.
    online.city.doctor().await;
    let mut browser = Outside::default();
    let answer = browser.get(url.as_str()).await;
    assert!(answer.location.starts_with("/sign-in?next=%2Foauth%2Fauthorize"), "{answer:?}");
    let next = form_urlencoded::parse(answer.location.split_once('?').unwrap().1.as_bytes())
        .find(|(n, _)| n == "next")
        .unwrap()
        .1
        .into_owned();
    let form = [("login", "wang.li"), ("password", PASSWORD), ("next", &next)];
    let answer = browser.post(&online.at("/sign-in"), &form).await;
    assert_eq!(answer.location, next);
    let bridge = browser.get(&online.at(&answer.location)).await;
    assert_eq!(bridge.status, 200, "a form must not end at another site: a page goes on by itself");
    let on = bridge.headers["refresh"].strip_prefix("0;url=").unwrap().to_owned();
    let answer = browser.get(&online.at(&on)).await;
    assert!(answer.location.starts_with(REDIRECT), "{answer:?}");
    assert_eq!(answer.query("state").as_ref(), Some(state.secret()));
    let iss = form_urlencoded::parse(answer.location.split_once('?').unwrap().1.as_bytes())
        .find(|(n, _)| n == "iss")
        .unwrap()
        .1
        .into_owned();
    assert_eq!(iss, online.base, "RFC 9207");
    let code = answer.query("code").unwrap();

    // The library: code, identity token, userinfo, refresh.
    let done = tokio::task::spawn_blocking(move || {
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .unwrap()
            .set_pkce_verifier(verifier)
            .request(&http)
            .unwrap();
        // The clock of these tests stands still: expiry is judged by it.
        let now = || chrono::DateTime::from_timestamp(1_747_272_600, 0).unwrap();
        let id_verifier: CoreIdTokenVerifier =
            client.id_token_verifier().set_time_fn(now).set_issue_time_verifier_fn(|_| Ok(()));
        let id_token = tokens.id_token().unwrap();
        let claims = id_token.claims(&id_verifier, &nonce).unwrap();
        let hash = AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg().unwrap(),
            id_token.signing_key(&id_verifier).unwrap(),
        )
        .unwrap();
        assert_eq!(Some(&hash), claims.access_token_hash());
        assert!(id_token.claims(&id_verifier, &Nonce::new("another".into())).is_err());
        let info: CoreUserInfoClaims = client
            .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
            .unwrap()
            .request(&http)
            .unwrap();
        assert_eq!(info.name().and_then(|n| n.get(None)).map(|n| n.as_str()), Some("王丽华"));
        assert_eq!(info.preferred_username().map(|n| n.as_str()), Some("wang.li"));
        let renewed =
            client.exchange_refresh_token(tokens.refresh_token().unwrap()).unwrap().request(&http).unwrap();
        assert_ne!(renewed.access_token().secret(), tokens.access_token().secret());
        assert_ne!(renewed.refresh_token().unwrap().secret(), tokens.refresh_token().unwrap().secret());
        let again = renewed.id_token().unwrap().claims(&id_verifier, |_: Option<&Nonce>| Ok(())).unwrap();
        assert_eq!(again.subject(), claims.subject());
        assert_eq!(again.auth_time(), claims.auth_time());
        claims.subject().to_string()
    })
    .await
    .unwrap();
    assert!(done.starts_with("mk-"));
    assert_eq!(online.city.outcomes("sso.token").await, ["ok", "ok"]);
    assert_eq!(online.city.outcomes("sso.authorize").await, ["ok"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_serves_once_and_only_whom_it_was_given_to() {
    let online = online().await;
    let (client_id, secret) = online.application(|_| {}).await;
    let (other_id, other_secret) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    let token = online.at("/oauth/token");
    let mut program = Outside::default();

    let usual = |code: &str| {
        BTreeMap::from(
            [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
                ("client_id", &client_id),
                ("client_secret", &secret),
            ]
            .map(|(n, v)| (n.to_owned(), v.to_owned())),
        )
    };
    let wrong_verifier = "0".repeat(43);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16);
    let cases: [Case; 12] = [
        ("another verifier", &[("code_verifier", &wrong_verifier)], "invalid_grant", 400),
        ("no verifier", &[("code_verifier", "")], "invalid_request", 400),
        ("another address", &[("redirect_uri", "https://pacs.example.cn/cb2")], "invalid_grant", 400),
        ("no address", &[("redirect_uri", "")], "invalid_grant", 400),
        (
            "another client",
            &[("client_id", &other_id), ("client_secret", &other_secret)],
            "invalid_grant",
            400,
        ),
        ("another client's name", &[("client_id", &other_id)], "invalid_client", 401),
        ("wrong secret", &[("client_secret", "wrong")], "invalid_client", 401),
        ("no secret", &[("client_secret", "")], "invalid_client", 401),
        ("unknown client", &[("client_id", "app-x")], "invalid_client", 401),
        ("unknown grant", &[("grant_type", "password")], "unsupported_grant_type", 400),
        ("another kind", &[("grant_type", "client_credentials")], "unauthorized_client", 400),
        ("invented code", &[("code", "x")], "invalid_grant", 400),
    ];
    for (what, changes, error, status) in cases {
        let code = online.code(&mut browser, &client_id, &[]).await;
        let mut form = usual(&code);
        for (name, value) in changes {
            form.insert((*name).to_owned(), (*value).to_owned());
        }
        let fields: Vec<(&str, &str)> =
            form.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let answer = program.post(&token, &fields).await;
        assert_eq!((answer.status, text(&answer.json(), "error")), (status, error), "{what}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    // A failed try with the right client burns the code.
    let code = online.code(&mut browser, &client_id, &[]).await;
    let mut form = usual(&code);
    form.insert("code_verifier".into(), "0".repeat(43));
    let fields: Vec<(&str, &str)> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    program.post(&token, &fields).await;
    assert_eq!(online.exchange(&client_id, &secret, &code).await.status, 400);

    // Late by a second.
    let code = online.code(&mut browser, &client_id, &[]).await;
    online.city.clock.advance(TimeDelta::seconds(60));
    assert_eq!(text(&online.exchange(&client_id, &secret, &code).await.json(), "error"), "invalid_grant");

    // Twice: the tokens of the first time are revoked as well.
    let code = online.code(&mut browser, &client_id, &[]).await;
    let first = online.exchange(&client_id, &secret, &code).await.json();
    assert_eq!(online.bearer("/fhir/who", text(&first, "access_token")).await.status, 200);
    let second = online.exchange(&client_id, &secret, &code).await;
    assert_eq!((second.status, text(&second.json(), "error")), (400, "invalid_grant"));
    assert_eq!(online.bearer("/fhir/who", text(&first, "access_token")).await.status, 401);
    assert_eq!(online.refresh(&client_id, &secret, text(&first, "refresh_token")).await.status, 400);
    // The burnt one came again as well.
    assert_eq!(online.city.outcomes("sso.revoke").await, ["code_reuse", "code_reuse"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_comes_again_ends_the_family() {
    let online = online().await;
    let (client_id, secret) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    let code = online.code(&mut browser, &client_id, &[]).await;
    let first = online.exchange(&client_id, &secret, &code).await.json();
    let second = online.refresh(&client_id, &secret, text(&first, "refresh_token")).await.json();
    let third = online.refresh(&client_id, &secret, text(&second, "refresh_token")).await.json();
    assert_eq!(online.bearer("/fhir/who", text(&third, "access_token")).await.status, 200);
    // Somebody comes with the first one.
    let stolen = online.refresh(&client_id, &secret, text(&first, "refresh_token")).await;
    assert_eq!((stolen.status, text(&stolen.json(), "error")), (400, "invalid_grant"));
    assert_eq!(online.refresh(&client_id, &secret, text(&third, "refresh_token")).await.status, 400);
    assert_eq!(online.bearer("/fhir/who", text(&third, "access_token")).await.status, 401);
    assert_eq!(online.city.outcomes("sso.revoke").await, ["refresh_reuse"]);

    // A refresh may narrow, not widen.
    let code = online.code(&mut browser, &client_id, &[("scope", "openid online_access")]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
        ("client_id", &client_id),
        ("client_secret", &secret),
        ("scope", "openid user/*.rs"),
    ];
    let wider = Outside::default().post(&online.at("/oauth/token"), &form).await;
    assert_eq!(text(&wider.json(), "error"), "invalid_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_goes_to_no_foreign_address() {
    let online = online().await;
    let (client_id, _) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    for (name, value) in [
        ("client_id", "app-x"),
        ("redirect_uri", "https://pacs.example.cn/cb/"),
        ("redirect_uri", "https://pacs.example.cn/cb?x=1"),
        ("redirect_uri", "https://evil.example/cb"),
        ("redirect_uri", "http://pacs.example.cn/cb"),
        ("redirect_uri", ""),
    ] {
        let answer = browser.get(&online.authorize(&client_id, &[(name, value)])).await;
        assert_eq!((answer.status, answer.location.as_str()), (400, ""), "{name}={value}");
    }
    let twice = format!("{}&state=s-2", online.authorize(&client_id, &[]));
    assert_eq!(browser.get(&twice).await.status, 400, "a parameter comes once");
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("scope", "admin", "invalid_scope"),
        ("scope", "", "invalid_scope"),
        ("request", "x", "request_not_supported"),
        ("max_age", "soon", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("launch", "invented", "invalid_request"),
    ] {
        let answer = browser.get(&online.authorize(&client_id, &[(name, value)])).await;
        assert!(answer.location.starts_with(REDIRECT), "{name}={value}: {answer:?}");
        assert_eq!(answer.query("error").as_deref(), Some(error), "{name}={value}");
        assert_eq!(answer.query("state").as_deref(), Some("s-1"));
        assert_eq!(answer.query("code"), None);
    }
    let nobody = Outside::default().get(&online.authorize(&client_id, &[("prompt", "none")])).await;
    assert_eq!(nobody.query("error").as_deref(), Some("login_required"));
    let (strong, _) = online.application(|new| new.factor = "certificate".to_owned()).await;
    let weak = browser.get(&online.authorize(&strong, &[])).await;
    assert_eq!(weak.query("error").as_deref(), Some("unmet_authentication_requirements"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sign_in_is_made_anew() {
    let online = online().await;
    let (client_id, _) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    online.city.clock.advance(TimeDelta::minutes(5));
    assert!(browser.get(&online.authorize(&client_id, &[("max_age", "600")])).await.query("code").is_some());
    let stale = browser.get(&online.authorize(&client_id, &[("max_age", "60"), ("prompt", "none")])).await;
    assert_eq!(stale.query("error").as_deref(), Some("login_required"));
    for more in [("max_age", "60"), ("prompt", "login")] {
        let mut browser = online.browser("wang.li").await;
        online.city.clock.advance(TimeDelta::minutes(5));
        let asked = browser.get(&online.authorize(&client_id, &[more])).await;
        assert!(asked.status == 200 && asked.body.contains("要求重新登录"), "{asked:?}");
        let query = asked.body.split("name=\"query\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let query = query.replace("&amp;", "&");
        let away = browser.post(&online.at("/oauth/authorize/again"), &[("query", &query)]).await;
        assert!(away.location.starts_with("/sign-in?next="), "{away:?}");
        assert!(!browser.cookies.contains_key("minkang_session"));
        browser = online.browser("wang.li").await;
        let back = browser.get(&format!("{}?{query}", online.at("/oauth/authorize"))).await;
        assert!(back.query("code").is_some(), "{back:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_interfaces_within_its_scopes_and_the_rights_of_its_person() {
    let online = online().await;
    let (client_id, secret) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    let code = online.code(&mut browser, &client_id, &[("scope", "openid user/*.rs")]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    let access = text(&tokens, "access_token");
    assert!(tokens.get("refresh_token").is_none(), "not asked for");
    let who = online.bearer("/fhir/who", access).await;
    assert!(who.body.contains("王丽华|") && who.body.contains("经应用“影像云阅片”"), "{who:?}");
    let grants = who.body.rsplit('|').next().unwrap();
    assert!(grants.split(',').all(|g| g.starts_with("Medical Read")) && !grants.is_empty(), "{grants}");
    // Never for pages, and a cookie beside it does not help.
    assert!(online.bearer("/desk", access).await.location.starts_with("/sign-in"));
    browser.authorization = Some(format!("Bearer {access}"));
    assert!(browser.get(&online.at("/desk")).await.location.starts_with("/sign-in"));
    browser.authorization = None;

    let code = online.code(&mut browser, &client_id, &[("scope", "openid profile")]).await;
    let bare = online.exchange(&client_id, &secret, &code).await.json();
    assert_eq!(online.bearer("/fhir/medical", text(&bare, "access_token")).await.status, 403);
    assert_eq!(online.bearer("/fhir/medical", access).await.status, 200);
    let wrong = online.bearer("/fhir/medical", &"0".repeat(64)).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.headers["www-authenticate"].contains("invalid_token"));
    assert_eq!(wrong.headers["access-control-allow-origin"], "*");

    // Introspection shows an application its own tokens; revocation ends them.
    let (other, other_secret) = online.application(|_| {}).await;
    let ask = async |id: &str, secret: &str| {
        let form = [("token", access), ("client_id", id), ("client_secret", secret)];
        Outside::default().post(&online.at("/oauth/introspect"), &form).await.json()
    };
    assert_eq!(ask(&client_id, &secret).await["active"], true);
    assert_eq!(ask(&other, &other_secret).await, json!({ "active": false }));
    let form = [("token", access), ("client_id", other.as_str()), ("client_secret", &other_secret)];
    Outside::default().post(&online.at("/oauth/revoke"), &form).await;
    assert_eq!(online.bearer("/fhir/medical", access).await.status, 200, "not theirs to revoke");
    let form = [("token", access), ("client_id", client_id.as_str()), ("client_secret", &secret)];
    assert_eq!(Outside::default().post(&online.at("/oauth/revoke"), &form).await.status, 200);
    assert_eq!(online.bearer("/fhir/medical", access).await.status, 401);

    // Lifetimes, and an account that is closed.
    let code = online.code(&mut browser, &client_id, &[]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    online.city.clock.advance(TimeDelta::minutes(15));
    assert_eq!(online.bearer("/fhir/who", text(&tokens, "access_token")).await.status, 401, "15 minutes");
    let tokens = online.refresh(&client_id, &secret, text(&tokens, "refresh_token")).await.json();
    let account = online.city.account("wang.li").await;
    let change = identity::account::Change::Close;
    online.city.identity.change_account(account, &change, "离岗", &Caller::system("运维")).await.unwrap();
    assert_eq!(online.bearer("/fhir/who", text(&tokens, "access_token")).await.status, 401);
    assert_eq!(online.refresh(&client_id, &secret, text(&tokens, "refresh_token")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_announced_used_retired_and_withdrawn() {
    let online = online().await;
    let (client_id, secret) = online.application(|_| {}).await;
    let mut browser = online.doctor().await;
    let kids = async || -> Vec<String> {
        let set = Outside::default().get(&online.at("/oauth/jwks")).await.json();
        assert!(set["keys"].as_array().unwrap().iter().all(|k| k.get("d").is_none()));
        set["keys"].as_array().unwrap().iter().map(|k| text(k, "kid").to_owned()).collect()
    };
    let signed_by = async |browser: &mut Outside| -> String {
        let code = online.code(browser, &client_id, &[]).await;
        let tokens = online.exchange(&client_id, &secret, &code).await.json();
        let head = text(&tokens, "id_token").split('.').next().unwrap().to_owned();
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
        assert_eq!(text(&head, "alg"), "ES256");
        text(&head, "kid").to_owned()
    };
    let first = signed_by(&mut browser).await;
    assert_eq!(kids().await, std::slice::from_ref(&first));
    let sealed: Vec<u8> =
        sqlx::query_scalar("select sealed from sso_key").fetch_one(online.city.db.pool()).await.unwrap();
    assert!(SigningKey::open(&sealed).is_err(), "the private half is sealed at rest");

    let identity: &Identity = &online.city.identity;
    let by = Caller::system("运维");
    identity.sso_rotate(&by, Turn::Announced).await.unwrap();
    assert_eq!(kids().await.len(), 2, "announced");
    assert_eq!(signed_by(&mut browser).await, first, "not in use yet");
    online.city.clock.advance(TimeDelta::hours(24));
    let mut browser = online.browser("wang.li").await;
    let second = signed_by(&mut browser).await;
    assert_ne!(second, first);
    assert_eq!(kids().await.len(), 2, "the earlier one is still shown");
    online.city.clock.advance(TimeDelta::hours(49));
    identity.sso_round().await.unwrap();
    assert_eq!(kids().await, std::slice::from_ref(&second), "and gone when what it signed has expired");

    // By itself after its time, and at once when a key may be known.
    online.city.clock.advance(TimeDelta::days(90));
    identity.sso_round().await.unwrap();
    identity.sso_round().await.unwrap();
    assert_eq!(kids().await.len(), 2, "one successor, not two");
    identity.sso_rotate(&by, Turn::AtOnce).await.unwrap();
    let mut browser = online.browser("wang.li").await;
    let third = signed_by(&mut browser).await;
    assert!(third != second && kids().await.contains(&second), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_the_platform_leaves_the_applications() {
    let online = online().await;
    let logout = "https://pacs.example.cn/bye";
    let (client_id, secret) = online
        .application(|new| {
            new.logout_uris = vec![logout.to_owned()];
            new.scopes.push("offline_access".to_owned());
        })
        .await;
    let mut browser = online.doctor().await;
    let code = online.code(&mut browser, &client_id, &[]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    let code = online.code(&mut browser, &client_id, &[("scope", "openid offline_access user/*.rs")]).await;
    let offline = online.exchange(&client_id, &secret, &code).await.json();

    // Without proof that this very session is meant, the person is asked.
    let asked = browser.get(&online.at("/oauth/logout")).await;
    assert!(asked.status == 200 && asked.body.contains("要退出平台吗"));
    assert_eq!(browser.get(&online.at("/desk")).await.status, 200, "still there");
    let hint = text(&tokens, "id_token");
    let tampered = format!("{}x", &hint[..hint.len() - 1]);
    for (hint, back, expected) in [
        (tampered.as_str(), logout, None),
        (hint, "https://evil.example/", Some("/sign-in")),
        (hint, logout, Some("https://pacs.example.cn/bye?state=z")),
    ] {
        let mut browser = browser.clone();
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("id_token_hint", hint), ("post_logout_redirect_uri", back), ("state", "z")])
            .finish();
        let answer = browser.get(&format!("{}?{query}", online.at("/oauth/logout"))).await;
        assert_eq!((!answer.location.is_empty()).then_some(answer.location.as_str()), expected, "{answer:?}");
    }
    assert_eq!(browser.get(&online.at("/desk")).await.status, 303);
    assert_eq!(online.bearer("/fhir/who", text(&tokens, "access_token")).await.status, 401);
    assert_eq!(online.refresh(&client_id, &secret, text(&tokens, "refresh_token")).await.status, 400);
    assert_eq!(
        online.bearer("/fhir/who", text(&offline, "access_token")).await.status,
        200,
        "offline access stays"
    );

    // The person sees it and ends it.
    let mut browser = online.browser("wang.li").await;
    let page = browser.get(&online.at("/account/applications")).await.body;
    assert!(page.contains("影像云阅片") && page.contains("离线访问"), "{page}");
    let id = page.split("/account/applications/").nth(1).unwrap().split('/').next().unwrap();
    browser.post(&online.at(&format!("/account/applications/{id}/end")), &[]).await;
    assert_eq!(online.bearer("/fhir/who", text(&offline, "access_token")).await.status, 401);
    assert_eq!(online.refresh(&client_id, &secret, text(&offline, "refresh_token")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_that_a_session_ended() {
    let online = online().await;
    // The application's own server keeps what it is told.
    let told: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/bye", listener.local_addr().unwrap());
    let keep = told.clone();
    let app = axum::Router::new().route(
        "/bye",
        axum::routing::post(move |body: String| async move {
            keep.lock().unwrap().push(body);
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (client_id, secret) = online.application(|new| new.backchannel_uri = address).await;
    let mut browser = online.doctor().await;
    let code = online.code(&mut browser, &client_id, &[]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    browser.post(&online.at("/sign-out"), &[]).await;
    online.city.identity.sso_round().await.unwrap();
    let mut jobs = store::jobs::Jobs::new(online.city.db.db().clone(), online.city.clock.clone());
    online.city.identity.register_sso(&mut jobs);
    jobs.run_until_idle().await.unwrap();
    let body = told.lock().unwrap()[0].clone();
    assert_eq!(told.lock().unwrap().len(), 1);
    let token = body.strip_prefix("logout_token=").unwrap();
    let set = Outside::default().get(&online.at("/oauth/jwks")).await.json();
    let claims = identity::jose::verify(token, &serde_json::from_value(set).unwrap()).unwrap();
    assert_eq!(text(&claims, "aud"), client_id);
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(claims.get("nonce").is_none());
    let id: Value = serde_json::from_slice(
        &URL_SAFE_NO_PAD.decode(text(&tokens, "id_token").split('.').nth(1).unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!(claims["sid"], id["sid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_opens_one_persons_record() {
    let online = online().await;
    let (client_id, secret) = online
        .application(|new| {
            new.launch_uri = "https://pacs.example.cn/launch".to_owned();
            new.scopes = ["openid", "launch", "launch/patient", "patient/*.rs"].map(str::to_owned).to_vec();
        })
        .await;
    let mut browser = online.doctor().await;
    let page = browser.get(&online.at("/launch?person=42")).await;
    assert!(page.body.contains("影像云阅片"), "{page:?}");
    let id = page.body.split("action=\"/launch/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = [("person", "42"), ("encounter", "E-1")];
    let bridge = browser.post(&online.at(&format!("/launch/{id}")), &form).await;
    let to = bridge.headers["refresh"].strip_prefix("0;url=").unwrap().to_owned();
    assert!(to.starts_with("https://pacs.example.cn/launch?iss="), "{to}");
    let launch = to.split("launch=").nth(1).unwrap().to_owned();

    let scope = ("scope", "openid launch patient/*.rs");
    let code = online.code(&mut browser, &client_id, &[scope, ("launch", &launch)]).await;
    let tokens = online.exchange(&client_id, &secret, &code).await.json();
    assert_eq!((text(&tokens, "patient"), text(&tokens, "encounter")), ("42", "E-1"));
    let access = text(&tokens, "access_token");
    for (path, status) in [
        ("/fhir/Patient/42", 200),
        ("/fhir/Patient/42/$everything", 200),
        ("/fhir/Patient/43", 403),
        ("/fhir/Patient/42x", 403),
        ("/fhir/Patient", 403),
        ("/fhir/who", 403),
        ("/api/v1/who", 403),
    ] {
        for _ in 0..2 {
            assert_eq!(online.bearer(path, access).await.status, status, "{path}");
        }
    }
    let again = browser.get(&online.authorize(&client_id, &[scope, ("launch", &launch)])).await;
    assert_eq!(again.query("error").as_deref(), Some("invalid_request"), "a launch serves once");

    // Standalone: the person names whom.
    let asked =
        browser.get(&online.authorize(&client_id, &[("scope", "openid launch/patient patient/*.rs")])).await;
    assert!(asked.body.contains("患者编号"), "{asked:?}");
    let query = asked.body.split("name=\"query\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let query = query.replace("&amp;", "&");
    let choose = online.at("/oauth/authorize/person");
    let unknown = browser.post(&choose, &[("query", &query), ("patient", "nobody")]).await;
    assert!(unknown.body.contains("没有找到这位患者"));
    let chosen = browser.post(&choose, &[("query", &query), ("patient", "41150319900307123X")]).await;
    let bridge = browser.get(&online.at(&chosen.location)).await;
    let on = bridge.headers["refresh"].strip_prefix("0;url=").unwrap().to_owned();
    let code = browser.get(&online.at(&on)).await.query("code").unwrap();
    assert_eq!(text(&online.exchange(&client_id, &secret, &code).await.json(), "patient"), "43");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_say_what_there_is() {
    let online = online().await;
    let openid = Outside::default().get(&online.at("/.well-known/openid-configuration")).await;
    let document = openid.json();
    assert_eq!(text(&document, "issuer"), online.base);
    assert_eq!(document["response_types_supported"], json!(["code"]));
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
    for endpoint in ["authorization_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"] {
        let answer = Outside::default().get(text(&document, endpoint)).await;
        assert_ne!(answer.status, 404, "{endpoint}");
    }
    let smart = Outside::default().get(&online.at("/fhir/.well-known/smart-configuration")).await.json();
    assert!(smart["capabilities"].as_array().unwrap().contains(&json!("launch-ehr")));
    assert_eq!(openid.headers["access-control-allow-origin"], "*");
    assert_eq!(StatusCode::OK.as_u16(), openid.status);
}
