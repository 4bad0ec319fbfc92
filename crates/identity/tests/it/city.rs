//! A city of two counties with three institutions, and browsers and programs that call on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use contracts::{
    InstitutionCard, Institutions, NewInstitution, NewStaff, PersonLookup, StaffCard, StaffRegister,
};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use identity::{Identity, NewAccount, Persona};
use kernel::access::InstitutionId;
use kernel::{Caller, Id, Need, RegionCode, Result, StaffId};
use testkit::{TestClock, TestDb};
use tower::ServiceExt;
use web::serve::Site;
use web::{Access, Routes};

pub const PASSWORD: &str = "Xy7#kPq2wLm";

/// Two counties of one city: a hospital and a township centre in the first, a hospital in the second.
struct Register(Vec<Arc<InstitutionCard>>);

impl Register {
    fn new() -> Self {
        let card = |id, name: &str, class: &str, region: &str| {
            Arc::new(InstitutionCard {
                id: Id::new(id),
                code: format!("1241150000000000{id}X"),
                name: name.to_owned(),
                short_name: name.to_owned(),
                sender_class: class.to_owned(),
                region: RegionCode::parse(region).unwrap(),
                invented: true,
            })
        };
        Self(vec![
            card(1, "平桥县医院（虚构）", "hospital", "411503"),
            card(2, "明港卫生院（虚构）", "township", "411503102"),
            card(3, "浉河医院（虚构）", "hospital", "411502"),
        ])
    }
}

impl Institutions for Register {
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>> {
        self.0.iter().find(|card| card.id == id).cloned()
    }
    fn by_code(&self, code: &str) -> Option<Arc<InstitutionCard>> {
        self.0.iter().find(|card| card.code == code).cloned()
    }
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        Arc::new(self.0.clone())
    }
    fn region_name(&self, code: &RegionCode) -> String {
        format!("{code}辖区")
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        unreachable!("nothing is registered in these stories")
    }
}

/// Knows one patient of the first hospital.
struct People;

impl PersonLookup for People {
    fn by_local_no<'a>(
        &'a self,
        institution: InstitutionId,
        no: &'a str,
    ) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async move { Ok((institution.get() == 1 && no == "P001").then_some(42)) })
    }
    fn by_citizen_id<'a>(&'a self, number: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(async move { Ok((number == "41150319900307123X").then_some(43)) })
    }
}

/// A register of staff in memory.
#[derive(Default)]
pub struct Staff(pub Mutex<Vec<StaffCard>>);

impl StaffRegister for Staff {
    fn by_id<'a>(&'a self, id: StaffId) -> BoxFuture<'a, Result<Option<StaffCard>>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().iter().find(|c| c.id == id).cloned()) })
    }
    fn by_number<'a>(
        &'a self,
        institution: InstitutionId,
        staff_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<StaffCard>>> {
        Box::pin(async move {
            let all = self.0.lock().unwrap();
            Ok(all.iter().find(|c| c.institution == institution && c.staff_no == staff_no).cloned())
        })
    }
    fn find<'a>(
        &'a self,
        _: Option<InstitutionId>,
        _: &'a str,
        _: i64,
    ) -> BoxFuture<'a, Result<Vec<StaffCard>>> {
        Box::pin(async move { Ok(Vec::new()) })
    }
    fn register<'a, 'c>(
        &'a self,
        _: &'a mut store::Tx<'c>,
        staff: &'a NewStaff,
        _: chrono::DateTime<chrono::Utc>,
    ) -> BoxFuture<'a, Result<StaffId>>
    where
        'c: 'a,
    {
        Box::pin(async move {
            let mut all = self.0.lock().unwrap();
            if let Some(card) =
                all.iter().find(|c| c.institution == staff.institution && c.staff_no == staff.staff_no)
            {
                return Ok(card.id);
            }
            let id = StaffId::new(all.len() as i64 + 1);
            all.push(StaffCard {
                id,
                name: staff.name.clone(),
                staff_no: staff.staff_no.clone(),
                institution: staff.institution,
                department: String::new(),
                title: String::new(),
                practises_at: Vec::new(),
                in_post: true,
            });
            Ok(id)
        })
    }
}

pub struct City {
    pub options: store::Settings,
    pub staff: Arc<Staff>,
    pub db: TestDb,
    pub clock: Arc<TestClock>,
    pub identity: Identity,
    app: Router,
}

fn catalog() -> catalog::Catalog {
    catalog::shipped().expect("the shipped definitions are good")
}

/// Shows who is calling and with which rights: stands for every page of other contexts.
async fn who(caller: axum::Extension<Arc<Caller>>) -> String {
    let grants: Vec<String> =
        caller.grants.iter().map(|g| format!("{:?} {:?} {:?}", g.line, g.act, g.span)).collect();
    format!(
        "{:?}|{}|{}|{}|{}",
        caller.kind,
        caller.name,
        caller.role,
        caller.institution_name,
        grants.join(",")
    )
}

pub async fn city() -> City {
    city_at("http://127.0.0.1:8686").await
}

/// The same, reached at another address.
pub async fn city_at(base_url: &str) -> City {
    let settings = identity::Settings { tls: false, base_url: base_url.to_owned() };
    city_with(|identity| identity.with_settings(settings)).await
}

/// What was sent, for a sensitive act.
async fn sensitive(body: String) -> String {
    format!("done with {body}")
}

/// The same with the context set up in another way.
pub async fn city_with(set_up: impl FnOnce(Identity) -> Identity) -> City {
    let migrations: Vec<store::Migration> =
        store::migrate::MIGRATIONS.iter().chain(identity::MIGRATIONS).copied().collect();
    let db = TestDb::create(&migrations, &[]).await;
    let clock = testkit::clock();
    let catalog = Arc::new(catalog());
    // Administrators sign in by password alone, but in the stories about second factors.
    let none = serde_json::to_value(catalog::SettingValue::Text("none".into())).unwrap();
    sqlx::query("insert into setting (code, value) values ('sign_in.second_factor', $1)")
        .bind(none)
        .execute(db.pool())
        .await
        .unwrap();
    let options = store::Settings::open(db.db(), catalog.clone()).await.unwrap();
    let staff = Arc::new(Staff::default());
    let identity = Identity::new(db.db().clone(), catalog, clock.clone(), Arc::new(Register::new()))
        .unwrap()
        .with_options(options.clone())
        .with_staff(staff.clone())
        .with_people(Arc::new(People));
    let identity = set_up(identity);
    let others = Routes::new()
        .get("/api/v1/who", Access::SignedIn("test"), who)
        .get(
            "/api/v1/own-datasets",
            Access::SignedIn("test"),
            async |caller: axum::Extension<Arc<Caller>>| format!("{:?}", caller.datasets),
        )
        .get("/fhir/who", Access::SignedIn("test"), who)
        .get("/fhir/medical", Access::Needs(Need::new(kernel::Line::Medical, kernel::Act::Read)), who)
        .get("/fhir/Patient", Access::SignedIn("test"), who)
        .get("/fhir/Patient/{id}", Access::SignedIn("test"), who)
        .get("/fhir/Patient/{id}/$everything", Access::SignedIn("test"), who)
        .get("/medical", Access::Needs(Need::new(kernel::Line::Medical, kernel::Act::Read)), who)
        .get(
            "/embed/record/{person}",
            Access::Needs(Need::new(kernel::Line::Medical, kernel::Act::Read)),
            who,
        )
        .get("/sensitive", Access::Fresh(identity_manage()), who)
        .post("/sensitive", Access::Fresh(identity_manage()), sensitive)
        .get("/api/v1/sensitive", Access::Fresh(identity_manage()), who)
        .with_state(());
    let site = Site { policy: identity.policy(), ..Site::new(identity.authenticator()) };
    let app = web::serve::build_app(
        identity.routes().merge(others).around(|router| identity::audit::watched(&identity, router)),
        site,
    );
    City { options, staff, db, clock, identity, app }
}

fn identity_manage() -> Need {
    Need::new(kernel::Line::Administration, kernel::Act::Manage)
}

impl City {
    /// The pages, to listen with.
    pub fn app(&self) -> Router {
        self.app.clone()
    }

    /// The account of a login name.
    pub async fn account(&self, login: &str) -> kernel::AccountId {
        let id: i64 = sqlx::query_scalar("select id from account where login = $1")
            .bind(login)
            .fetch_one(self.db.pool())
            .await
            .unwrap();
        Id::new(id)
    }

    /// Changes a setting.
    pub async fn set(&self, code: &str, value: catalog::SettingValue) {
        let now = kernel::Clock::now(&*self.clock);
        let by = Caller::system("运维");
        self.options.set(self.db.db(), &by, now, code, Some(value), "测试").await.unwrap();
    }

    /// Opens an account with [`PASSWORD`].
    pub async fn person(
        &self,
        login: &str,
        name: &str,
        role: &str,
        institution: Option<i64>,
        region: &str,
    ) -> i64 {
        let account = NewAccount {
            login: login.to_owned(),
            name: name.to_owned(),
            staff_no: format!("{login}-1"),
            role: role.to_owned(),
            institution: institution.map(Id::new),
            region: RegionCode::parse(region).unwrap(),
        };
        let persona = Persona { account, password: PASSWORD.to_owned() };
        self.identity.ensure_persona(&persona).await.unwrap().get()
    }

    pub async fn doctor(&self) -> i64 {
        self.person("wang.li", "王丽华", "township_doctor", Some(2), "411503102").await
    }
    pub async fn county_administrator(&self) -> i64 {
        self.person("county", "陈县管", "county_administrator", None, "411503").await
    }

    pub fn browser(&self) -> Browser {
        self.browser_at("10.1.1.1")
    }
    pub fn browser_at(&self, address: &str) -> Browser {
        Browser {
            app: self.app.clone(),
            address: format!("{address}:50000").parse().unwrap(),
            cookies: BTreeMap::new(),
            basic: None,
            bearer: None,
            certificate: None,
            site: "same-origin",
            accept: "text/html",
        }
    }

    /// Outcomes in the audit trail of an act, oldest first.
    pub async fn outcomes(&self, act: &str) -> Vec<String> {
        sqlx::query_scalar("select outcome from audit_entry where act = $1 order by id")
            .bind(act)
            .fetch_all(self.db.pool())
            .await
            .unwrap()
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub cookies: Vec<String>,
    pub text: String,
    /// Whether the browser is told to forget what it keeps of our pages.
    pub clears: bool,
}

/// Somebody's browser, with its cookies; or a program, with its credential.
#[derive(Clone)]
pub struct Browser {
    app: Router,
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub basic: Option<String>,
    pub bearer: Option<String>,
    pub certificate: Option<Vec<u8>>,
    pub site: &'static str,
    pub accept: &'static str,
}

impl Browser {
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = fields.iter().map(|(k, v)| format!("{k}={}", escape(v))).collect::<Vec<_>>().join("&");
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(body)).await
    }

    /// Posts JSON as the passkey script does.
    pub async fn post_json(
        &mut self,
        path: &str,
        body: &serde_json::Value,
    ) -> (StatusCode, serde_json::Value) {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let before = std::mem::replace(&mut self.accept, "application/json");
        let answer = self.send(request, Body::from(body.to_string())).await;
        self.accept = before;
        (answer.status, serde_json::from_str(&answer.text).unwrap_or_default())
    }

    /// Sends a file as a form does.
    pub async fn post_file(&mut self, path: &str, bytes: &[u8]) -> Answer {
        let mut body =
            b"--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n".to_vec();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n--x--\r\n");
        let request = Request::post(path).header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        self.send(request, Body::from(body)).await
    }

    pub async fn sign_in(&mut self, login: &str, password: &str) -> Answer {
        self.post("/sign-in", &[("login", login), ("password", password)]).await
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Answer {
        let mut request = request
            .header(header::HOST, "minkang.test")
            .header("sec-fetch-site", self.site)
            .header(header::ACCEPT, self.accept)
            .header(header::USER_AGENT, "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0 Safari/537.36");
        if !self.cookies.is_empty() {
            let line: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(header::COOKIE, line.join("; "));
        }
        if let Some(basic) = &self.basic {
            use base64::Engine;
            let credential = base64::engine::general_purpose::STANDARD.encode(basic);
            request = request.header(header::AUTHORIZATION, format!("Basic {credential}"));
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(self.address));
        if let Some(der) = &self.certificate {
            request.extensions_mut().insert(web::PeerCertificate { der: der.as_slice().into() });
        }
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let text_of = |value: &header::HeaderValue| value.to_str().unwrap().to_owned();
        let location = response.headers().get(header::LOCATION).map(text_of).unwrap_or_default();
        let cookies: Vec<String> =
            response.headers().get_all(header::SET_COOKIE).iter().map(text_of).collect();
        for cookie in &cookies {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let clears = response.headers().contains_key("clear-site-data");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, location, cookies, text: String::from_utf8_lossy(&bytes).into_owned(), clears }
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
