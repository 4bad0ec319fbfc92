//! A city with institutions, people who look at its quality, and the pipeline over fakes of the other contexts.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use catalog::{Catalog, CodeTables, Dataset};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::{
    Demographics, EndedFact, InstitutionCard, Institutions, Linker, NewInstitution, RecordIndex, StoredFact,
    Terminology,
};
use exchange::Exchange;
use exchange::intake::{Door, Intake, Parts, Submission};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, CallerKind, Clock, Grant, Id, Line, Need, Purpose, RegionCode, Result, Span};
use store::{Objects, Tx};
use testkit::{TestClock, TestDb};
use tower::ServiceExt;
use web::serve::Site;
use web::{Authenticator, build_app};

/// The register, in memory.
pub struct Register(pub Vec<Arc<InstitutionCard>>);

/// An invented institution.
pub fn card(id: i64, name: &str, class: &str, region: &str) -> Arc<InstitutionCard> {
    Arc::new(InstitutionCard {
        id: Id::new(id),
        code: format!("12411500MB{id:07}X"),
        name: format!("{name}（虚构）"),
        short_name: name.to_owned(),
        sender_class: class.to_owned(),
        region: RegionCode::parse(region).unwrap(),
        invented: true,
    })
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
        let county = code.at(kernel::Tier::County);
        match &county.as_str()[..6] {
            "411502" => "浉河区".to_owned(),
            "411503" => "平桥区".to_owned(),
            "411521" => "罗山县".to_owned(),
            "411522" => "光山县".to_owned(),
            other => other.to_owned(),
        }
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        unreachable!("nothing is registered in these stories")
    }
}

/// Every local number is an identity record of its own.
struct Plain(Arc<Catalog>);

impl Linker for Plain {
    fn link<'a, 'c>(
        &'a self,
        _: &'a mut Tx<'c>,
        _: InstitutionId,
        rows: &'a [Demographics],
        _: i64,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a,
    {
        let id = |no: &str| no.bytes().fold(1i64, |sum, b| sum * 31 % 1_000_003 + i64::from(b));
        Box::pin(async move { Ok(rows.iter().map(|r| id(&r.local_no)).collect()) })
    }
}

impl RecordIndex for Plain {
    fn index<'a, 'c>(
        &'a self,
        _: &'a mut Tx<'c>,
        _: &'a Dataset,
        _: InstitutionId,
        _: &'a [StoredFact<'a>],
        _: &'a [EndedFact],
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(async { Ok(()) })
    }
}

impl Terminology for Plain {
    fn tables(&self) -> Arc<CodeTables> {
        Arc::new(self.0.tables.clone())
    }
}

/// Who somebody is stands in the header `x-persona`; nobody without it. In a browser, one persona for all.
pub struct Personas(pub Option<&'static str>);

impl Authenticator for Personas {
    fn authenticate<'a>(&'a self, asking: web::Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        let headers = asking.headers;
        let asked = headers.get("x-persona").and_then(|v| v.to_str().ok()).or(self.0);
        let caller = asked.map(|name| Arc::new(persona(name)));
        Box::pin(async move { Ok(caller) })
    }
}

fn grants(line: Line, acts: &[Act], span: Span) -> Vec<Grant> {
    acts.iter().map(|act| Grant { line, act: *act, span }).collect()
}

/// One of the people of the stories.
pub fn persona(name: &str) -> Caller {
    use Act::{Export, Read, Write};
    let city = Span::Region(RegionCode::parse("4115").unwrap());
    let county = Span::Region(RegionCode::parse("411503").unwrap());
    let hospital = Span::Institution(Id::new(1));
    let (title, institution, grants) = match name {
        "manager" => (
            "市数据管理员",
            None,
            [grants(Line::Administration, &[Read, Export], city), grants(Line::Exchange, &[Read], city)]
                .concat(),
        ),
        "county" => (
            "县（区）管理员",
            None,
            [grants(Line::Administration, &[Read], county), grants(Line::Exchange, &[Read], county)].concat(),
        ),
        "engineer" => (
            "医院数据工程师",
            Some(Id::new(1)),
            [
                grants(Line::Administration, &[Read], hospital),
                grants(Line::Exchange, &[Read, Write], hospital),
            ]
            .concat(),
        ),
        "operator" => ("平台管理员", None, grants(Line::Administration, &[Read], city)),
        "doctor" => ("乡镇医生", Some(Id::new(2)), grants(Line::Medical, &[Read], city)),
        other => panic!("nobody is called {other}"),
    };
    Caller {
        account: Some(Id::new(7)),
        name: name.to_owned(),
        role: title.to_owned(),
        institution,
        institution_name: "信阳市卫生健康委（虚构）".to_owned(),
        region: RegionCode::parse("4115").unwrap(),
        address: "10.0.0.1".to_owned(),
        grants,
        ..Caller::blank(CallerKind::Staff)
    }
}

/// The city.
pub struct City {
    pub db: TestDb,
    pub clock: Arc<TestClock>,
    pub catalog: Arc<Catalog>,
    pub exchange: Exchange,
    pub jobs: store::Jobs,
    objects: tempfile::TempDir,
}

/// Two counties: a hospital and a township centre in the first, a hospital in the second.
pub async fn city() -> City {
    city_of(vec![
        card(1, "平桥区人民医院", "hospital", "411503"),
        card(2, "明港中心卫生院", "township", "411503102"),
        card(3, "浉河区中医院", "hospital", "411502"),
    ])
    .await
}

/// A city of these institutions.
pub async fn city_of(cards: Vec<Arc<InstitutionCard>>) -> City {
    let catalog = Arc::new(catalog::shipped().expect("the shipped catalogue is good"));
    let migrations: Vec<store::Migration> = [store::MIGRATIONS, exchange::MIGRATIONS].concat();
    let tables: Vec<String> =
        catalog.datasets.iter().map(|d| store::fact_schema::create_table(d, &d.table())).collect();
    let db = TestDb::create(&migrations, &tables).await;
    let clock = testkit::clock();
    let objects = tempfile::tempdir().unwrap();
    let plain = Arc::new(Plain(catalog.clone()));
    let exchange = Exchange::new(Intake::new(Parts {
        db: db.db().clone(),
        objects: Objects::folder(objects.path()).await.unwrap(),
        catalog: catalog.clone(),
        terminology: plain.clone(),
        institutions: Arc::new(Register(cards)),
        linker: plain.clone(),
        index: plain,
        clock: clock.clone(),
        options: store::Settings::defaults(catalog.clone()),
    }));
    let mut jobs = store::Jobs::new(db.db().clone(), clock.clone());
    exchange.register_jobs(&mut jobs);
    City { db, clock, catalog, exchange, jobs, objects }
}

/// A seeded day: rows received, of them rejected, and the share of broken weight in each dimension.
pub struct Seed {
    pub institution: i64,
    pub dataset: &'static str,
    pub day: NaiveDate,
    pub received: i64,
    pub rejected: i64,
    pub broken: [f64; 4],
}

impl City {
    pub fn app(&self, browser: Option<&'static str>) -> Router {
        let mut site = Site::new(Arc::new(Personas(browser)));
        site.face.place = "信阳市".to_owned();
        site.face.menu = self.catalog.menu.clone();
        build_app(self.exchange.routes(), site)
    }

    pub fn today(&self) -> NaiveDate {
        self.clock.today()
    }

    /// So many days ago.
    pub fn ago(&self, days: u64) -> NaiveDate {
        self.today() - chrono::Days::new(days)
    }

    /// Writes counts by day as intake would.
    pub async fn seed(&self, seeds: &[Seed]) {
        for s in seeds {
            let dataset = self.catalog.dataset(s.dataset).unwrap();
            let checked = s.received as f64 * 10.0;
            sqlx::query(
                "insert into quality_day values ($1, $2, $3, $4, $5, 0, 0, 0, $6, $7, $7, $7, $7, $8, $9, $10, $11)",
            )
            .bind(s.institution as i32)
            .bind(dataset.number)
            .bind(s.day)
            .bind(s.received)
            .bind(s.received - s.rejected)
            .bind(s.rejected)
            .bind(checked)
            .bind(checked * s.broken[0])
            .bind(checked * s.broken[1])
            .bind(checked * s.broken[2])
            .bind(checked * s.broken[3])
            .execute(self.db.pool())
            .await
            .unwrap();
        }
    }

    /// Sends every daily data set of a class on a day, without faults.
    pub async fn seed_whole(&self, institution: i64, class: &str, day: NaiveDate) {
        let daily: Vec<&'static str> = self
            .catalog
            .datasets
            .iter()
            .filter(|d| d.expect.daily && d.expect.senders.iter().any(|s| s == class))
            .map(|d| -> &'static str { d.code.clone().leak() })
            .collect();
        let seeds: Vec<Seed> = daily
            .into_iter()
            .map(|dataset| Seed { institution, dataset, day, received: 10, rejected: 0, broken: [0.0; 4] })
            .collect();
        self.seed(&seeds).await;
    }

    /// Sends a CSV file through the pipeline, as the hospital, and does the work that follows.
    pub async fn send(&self, dataset: &str, csv: &str) -> i64 {
        let caller = persona("engineer");
        let reach = caller.decide(Need::new(Line::Exchange, Act::Write), Purpose::of("upload")).unwrap();
        let submission = Submission {
            institution: Id::new(1),
            dataset: Some(dataset.to_owned()),
            door: Door::Api,
            file_name: format!("{dataset}.csv"),
            request_key: None,
            atomic: false,
            received_at: None,
        };
        let accepted = self.exchange.intake.accept(&reach, submission, csv.as_bytes()).await.unwrap();
        let id = self.exchange.intake.finish(accepted).await.unwrap();
        testkit::settle(&self.jobs).await;
        assert!(self.objects.path().exists());
        id
    }

    /// The page or answer at a path, as somebody sees it.
    pub async fn get(&self, who: &str, path: &str) -> (StatusCode, String) {
        let (status, bytes) = self.get_bytes(who, path).await;
        (status, String::from_utf8(bytes).unwrap())
    }

    pub async fn get_bytes(&self, who: &str, path: &str) -> (StatusCode, Vec<u8>) {
        let mut request = Request::get(path)
            .header(header::HOST, "minkang.test")
            .header("sec-fetch-site", "same-origin")
            .header(header::ACCEPT, "text/html");
        if !who.is_empty() {
            request = request.header("x-persona", who);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request
            .extensions_mut()
            .insert(ConnectInfo("10.0.0.1:5000".parse::<std::net::SocketAddr>().unwrap()));
        let response = self.app(None).oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// A page that must be there.
    pub async fn page(&self, who: &str, path: &str) -> String {
        let (status, text) = self.get(who, path).await;
        assert_eq!(status, StatusCode::OK, "{path} as {who}: {text}");
        text
    }
}
