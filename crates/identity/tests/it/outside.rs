//! A city that listens on a port, and programs and browsers outside that call on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::provider::NewApplication;
use kernel::{Caller, Id};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::city::{City, PASSWORD, city_with};

pub const REDIRECT: &str = "https://pacs.example.cn/cb";

/// A city whose pages listen on a port of their own, so that its addresses are true.
pub struct Online {
    pub city: City,
    pub base: String,
    _server: tokio::task::JoinHandle<()>,
}

pub async fn online() -> Online {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let settings = identity::Settings { tls: false, base_url: base.clone() };
    let city = city_with(|identity| identity.with_settings(settings)).await;
    let app = city.app().into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Online { city, base, _server: server }
}

/// What came back over the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub location: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.location.split_once('?')?;
        query
            .split('&')
            .filter_map(|p| p.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.to_owned())
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into()
}

/// A program or browser outside, with its cookies.
#[derive(Clone, Default)]
pub struct Outside {
    pub cookies: BTreeMap<String, String>,
    pub authorization: Option<String>,
}

impl Outside {
    pub async fn get(&mut self, url: &str) -> Reply {
        self.send(url, None).await
    }
    pub async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(url, Some(form)).await
    }
    async fn send(&mut self, url: &str, form: Option<String>) -> Reply {
        let cookies: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let (url, cookies, authorization) = (url.to_owned(), cookies.join("; "), self.authorization.clone());
        let (reply, set) = tokio::task::spawn_blocking(move || {
            let mut headers = vec![("accept", "text/html".to_owned())];
            if !cookies.is_empty() {
                headers.extend([("cookie", cookies), ("sec-fetch-site", "same-origin".to_owned())]);
            }
            if let Some(value) = authorization {
                headers.push(("authorization", value));
            }
            let mut response = match form {
                None => {
                    let mut request = agent().get(&url);
                    for (name, value) in headers {
                        request = request.header(name, value);
                    }
                    request.call()
                }
                Some(form) => {
                    let mut request =
                        agent().post(&url).header("content-type", "application/x-www-form-urlencoded");
                    for (name, value) in headers {
                        request = request.header(name, value);
                    }
                    request.send(form.as_bytes())
                }
            }
            .unwrap();
            let text = |v: &ureq::http::HeaderValue| v.to_str().unwrap().to_owned();
            let set: Vec<String> = response.headers().get_all("set-cookie").iter().map(text).collect();
            let headers: BTreeMap<String, String> =
                response.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
            let reply = Reply {
                status: response.status().as_u16(),
                location: headers.get("location").cloned().unwrap_or_default(),
                headers,
                body: response.body_mut().read_to_string().unwrap(),
            };
            (reply, set)
        })
        .await
        .unwrap();
        for cookie in set {
            let (name, rest) = cookie.split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        reply
    }
}

impl Online {
    pub async fn application(&self, change: impl FnOnce(&mut NewApplication)) -> (String, String) {
        let mut new = NewApplication {
            name: "影像云阅片".to_owned(),
            institution: Some(Id::new(1)),
            auth_method: "secret".to_owned(),
            redirect_uris: vec![REDIRECT.to_owned()],
            scopes: ["openid", "profile", "online_access", "user/*.rs"].map(str::to_owned).to_vec(),
            factor: "single".to_owned(),
            ..NewApplication::default()
        };
        change(&mut new);
        let registered =
            self.city.identity.register_application(&new, &Caller::system("运维")).await.unwrap();
        (registered.client_id, registered.secret.unwrap_or_default())
    }

    /// A doctor's browser, signed in.
    pub async fn doctor(&self) -> Outside {
        self.city.doctor().await;
        self.browser("wang.li").await
    }

    pub async fn browser(&self, login: &str) -> Outside {
        let mut browser = Outside::default();
        let form = [("login", login), ("password", PASSWORD)];
        let answer = browser.post(&format!("{}/sign-in", self.base), &form).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of an authorization request; `more` replaces what is usual.
    pub fn authorize(&self, client_id: &str, more: &[(&str, &str)]) -> String {
        let mut pairs: BTreeMap<&str, &str> = BTreeMap::from([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile online_access user/*.rs"),
            ("state", "s-1"),
            ("nonce", "n-1"),
            ("code_challenge_method", "S256"),
        ]);
        let challenge = challenge(VERIFIER);
        pairs.insert("code_challenge", &challenge);
        pairs.extend(more.iter().copied());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.iter().filter(|(_, v)| !v.is_empty()))
            .finish();
        format!("{}/oauth/authorize?{query}", self.base)
    }

    /// A code for the signed-in doctor.
    pub async fn code(&self, browser: &mut Outside, client_id: &str, more: &[(&str, &str)]) -> String {
        let answer = browser.get(&self.authorize(client_id, more)).await;
        answer.query("code").unwrap_or_else(|| panic!("no code: {answer:?}"))
    }

    pub async fn exchange(&self, client_id: &str, secret: &str, code: &str) -> Reply {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", client_id),
            ("client_secret", secret),
        ];
        Outside::default().post(&self.at("/oauth/token"), &form).await
    }

    pub async fn refresh(&self, client_id: &str, secret: &str, token: &str) -> Reply {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client_id),
            ("client_secret", secret),
        ];
        Outside::default().post(&self.at("/oauth/token"), &form).await
    }

    /// What an interface says to the bearer of a token.
    pub async fn bearer(&self, path: &str, token: &str) -> Reply {
        let mut program = Outside { authorization: Some(format!("Bearer {token}")), ..Outside::default() };
        program.get(&self.at(path)).await
    }
}

pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}
