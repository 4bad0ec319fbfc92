//! A city of two counties with three institutions in a database of its own, its people, their browsers and the
//! hospitals' programs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use base64::Engine;
use contracts::{Institutions, NewInstitution};
use http_body_util::BodyExt;
use identity::{NewAccount, Persona};
use kernel::access::InstitutionId;
use kernel::{Caller, RegionCode};
use minkang::platform::{Platform, Settings, migrations, read_catalog};
use serde_json::Value;
use sqlx::ConnectOptions;
use store::Db;
use testkit::{TestClock, TestDb};
use tower::ServiceExt;
use web::serve::Site;

pub const PASSWORD: &str = "Xy7#kPq2wLm";

/// Code, name, WS 218 class, class of sender, division.
pub const INSTITUTIONS: [[&str; 5]; 3] = [
    ["12411500MB1A00001X", "平桥县医院（虚构）", "A100", "hospital", "411503"],
    ["12411500MB1A00002X", "明港镇卫生院（虚构）", "B100", "township", "411503102"],
    ["12411500MB1A00003X", "浉河医院（虚构）", "A100", "hospital", "411502"],
];

/// Login, name, role, index of the institution, division: one for each role.
pub const STAFF: [(&str, &str, &str, Option<usize>, &str); 6] = [
    ("city", "周市管", "city_data_manager", None, "4115"),
    ("county", "陈县管", "county_administrator", None, "411503"),
    ("engineer", "赵工", "hospital_engineer", Some(0), "411503"),
    ("doctor", "王丽华", "township_doctor", Some(1), "411503102"),
    ("auditor", "孙审计", "auditor", None, "4115"),
    ("operator", "钱运维", "platform_operator", None, "4115"),
];

/// The city: everything in this process, requests go straight to the application.
pub struct City {
    pub db: Db,
    pub clock: Arc<TestClock>,
    pub platform: Platform,
    pub institutions: Vec<InstitutionId>,
    app: Router,
    /// The data folder; goes away with the city.
    pub folder: tempfile::TempDir,
    _cloned: Option<TestDb>,
}

/// A city in a database cloned from a template, with its institutions and nobody in it.
pub async fn city() -> City {
    let catalog = read_catalog(None).unwrap();
    let facts: Vec<String> =
        catalog.datasets.iter().map(|d| store::fact_schema::create_table(d, &d.table())).collect();
    let cloned = TestDb::create(&migrations(), &facts).await;
    // As in earnest: the owner makes the schema, and the platform serves as a role that owns nothing.
    store::role::ensure_serving(cloned.db()).await.unwrap();
    let serving = cloned.connect_options().username(store::role::SERVING).to_url_lossy().to_string();
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings { database_owner_url: Some(cloned.url()), ..settings(folder.path(), Some(serving)) };
    City { _cloned: Some(cloned), ..open(folder, &settings).await }
}

/// A city in somebody's database, or in a local cluster of its own.
pub async fn city_at(database_url: Option<String>) -> City {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), database_url);
    open(folder, &settings).await
}

async fn open(folder: tempfile::TempDir, settings: &Settings) -> City {
    let clock = testkit::clock();
    let platform = Platform::open(settings, clock.clone(), &|_: &str| {}).await.unwrap();
    // Administrators sign in by password alone; second factors have stories of their own in `identity`.
    let none = serde_json::to_value(catalog::SettingValue::Text("none".into())).unwrap();
    sqlx::query(
        "insert into setting (code, value) values ('sign_in.second_factor', $1) on conflict do nothing",
    )
    .bind(none)
    .execute(platform.db.pool())
    .await
    .unwrap();
    platform.options.refresh(&platform.db).await.unwrap();
    let institutions = register(&platform).await;
    let site = Site { policy: platform.identity.policy(), ..Site::new(platform.identity.authenticator()) };
    let app = web::serve::build_app(platform.routes(), site);
    City { db: platform.db.clone(), clock, platform, institutions, app, folder, _cloned: None }
}

pub fn settings(data: &Path, database_url: Option<String>) -> Settings {
    Settings {
        data: data.to_owned(),
        database_url,
        database_owner_url: None,
        catalog_dir: None,
        master_key: None,
        connections: 12,
        base_url: "http://minkang.test".to_owned(),
    }
}

/// Registers [`INSTITUTIONS`].
pub async fn register(platform: &Platform) -> Vec<InstitutionId> {
    let mut institutions = Vec::new();
    for [code, name, class, sender_class, region] in INSTITUTIONS {
        let new = NewInstitution {
            code: code.to_owned(),
            name: name.to_owned(),
            class: class.to_owned(),
            sender_class: sender_class.to_owned(),
            region: RegionCode::parse(region).unwrap(),
            invented: true,
        };
        institutions.push(platform.directory.register(new).await.unwrap());
    }
    institutions
}

impl City {
    /// Somebody who has not signed in.
    pub fn visitor(&self) -> Browser {
        Browser {
            app: self.app.clone(),
            address: "10.1.1.1:50000".parse().unwrap(),
            cookies: BTreeMap::new(),
            basic: None,
        }
    }

    /// One of [`STAFF`], signed in.
    pub async fn staff(&self, login: &str) -> Browser {
        let (login, name, role, institution, region) = *STAFF.iter().find(|s| s.0 == login).unwrap();
        let account = NewAccount {
            login: login.to_owned(),
            name: name.to_owned(),
            staff_no: format!("{login}-1"),
            role: role.to_owned(),
            institution: institution.map(|i| self.institutions[i]),
            region: RegionCode::parse(region).unwrap(),
        };
        let persona = Persona { account, password: PASSWORD.to_owned() };
        self.platform.identity.ensure_persona(&persona).await.unwrap();
        let mut browser = self.visitor();
        let answer = browser.form("/sign-in", &[("login", login), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        browser
    }

    /// The program of an institution, with a client credential.
    pub async fn program(&self, institution: usize) -> Browser {
        let issued = self
            .platform
            .identity
            .create_client(self.institutions[institution], "HIS 上传", &Caller::system("运维"))
            .await
            .unwrap();
        let mut browser = self.visitor();
        browser.basic = Some(format!("{}:{}", issued.client_id, issued.secret));
        browser
    }

    /// A doctor's workstation in an institution that opened the record of one of its patients by a signed link.
    pub async fn workstation(&self, institution: usize, patient: &str) -> Browser {
        let identity = &self.platform.identity;
        let operator = Caller::system("运维");
        let issued =
            identity.create_client(self.institutions[institution], "工作站", &operator).await.unwrap();
        let link = identity.make_embed_link(&issued.client_id, "D007", "李大夫", patient).await.unwrap();
        let mut browser = self.visitor();
        let answer = browser.get(link.strip_prefix("http://minkang.test").unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        browser
    }

    /// A number out of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }
    /// The JSON of an answer with status 200.
    pub fn good(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    /// The error's code and sentence.
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let part = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
        (part("code"), part("message"))
    }
}

/// Rows of a receipt: received, stored, unchanged, replaced, withdrawn, rejected.
pub fn counts(receipt: &Value) -> [i64; 6] {
    ["received", "stored", "unchanged", "replaced", "withdrawn", "rejected"]
        .map(|name| receipt["rows"][name].as_i64().unwrap_or_else(|| panic!("no receipt: {receipt}")))
}

/// Somebody's browser, with its cookies; or a program, with its credential.
#[derive(Clone)]
pub struct Browser {
    app: Router,
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub basic: Option<String>,
}

impl Browser {
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = fields.iter().map(|(k, v)| format!("{k}={}", escape(v))).collect::<Vec<_>>().join("&");
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(body)).await
    }

    /// Uploads a file of a data set; `query` as in `mode=all`.
    pub async fn upload(&mut self, dataset: &str, query: &str, body: impl Into<Body>) -> Answer {
        let path = format!("/api/v1/datasets/{dataset}/batches?{query}");
        self.send(Request::post(path), body.into()).await
    }

    pub async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Answer {
        self.send_as(request, body, Some("same-origin")).await
    }

    /// Sends with this `Sec-Fetch-Site`, or with none of its own.
    pub async fn send_as(
        &mut self,
        request: axum::http::request::Builder,
        body: Body,
        site: Option<&str>,
    ) -> Answer {
        let mut request = request
            .header(header::HOST, "minkang.test")
            .header(header::USER_AGENT, "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0 Safari/537.36");
        if let Some(basic) = &self.basic {
            let credential = base64::engine::general_purpose::STANDARD.encode(basic);
            request = request.header(header::AUTHORIZATION, format!("Basic {credential}"));
        } else if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if !self.cookies.is_empty() {
            let line: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(header::COOKIE, line.join("; "));
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(self.address));
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Waits for something that happens in the background; fails after half a minute.
pub async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !happened().await {
        assert!(std::time::Instant::now() < deadline, "{what}: not within 30 s");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
