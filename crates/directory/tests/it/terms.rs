//! Terminology: editions in force by day, institutions' own codes from proposal to end, coverage.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use catalog::codes::parse_table;
use catalog::{CodeTables, Retired};
use chrono::NaiveDate;
use contracts::{CodeCounts, CodeDay, Institutions, KeptCode, LocalSeen, NewInstitution, Terminology};
use directory::Directory;
use directory::pages::routes;
use directory::terminology::coverage::Asked;
use directory::terminology::editions::CodeImport;
use directory::terminology::reader::{Columns, read_codes};
use kernel::access::InstitutionId;
use kernel::{Act, Caller, CallerKind, Clock, Grant, Id, Line, RegionCode, Span};
use serde_json::{Value, json};
use testkit::{TestClock, TestDb};
use tower::ServiceExt;

const ICD: &str = "# id: icd10\n# name: 疾病分类与代码\n# standard: GB/T 14396\n# edition: 2.0\n# complete: no
# url: http://hl7.org/fhir/sid/icd-10\n# oid: 2.16.156.10011.2.3.3.11\n# hierarchy: icd10\n# groups: icd10_chapter
# local-codes: expected
code\tname\taliases\tstatus\treplaced_by
I10\t特发性（原发性）高血压\t\t\t
I10.x00\t高血压\t高血压病|原发性高血压\t\t
I21\t急性心肌梗死\t\t\t
I21.400\t急性心内膜下心肌梗死\t\t\t
I21.401\t急性非ST段抬高型心肌梗死\tNSTEMI\t\t
E11.900\t2型糖尿病\t非胰岛素依赖型糖尿病\t\t
E11.901\t旧糖尿病码\t\tretired\tE11.900
K29.500\t慢性胃炎\t\t\t
";
const CHAPTERS: &str = "# id: icd10_chapter\n# name: 章\n# complete: no\ncode\tname\nE00-E90\t内分泌疾病\nI00-I99\t循环系统疾病\nK00-K93\t消化系统疾病\n";
pub const SYSTEM: &str = "http://hl7.org/fhir/sid/icd-10";

/// Two hospitals, a small table of diagnoses, a clock.
pub struct World {
    db: TestDb,
    clock: Arc<TestClock>,
    directory: Arc<Directory>,
    hospital: InstitutionId,
    other: InstitutionId,
}

pub async fn world() -> World {
    let migrations: Vec<_> = [store::migrate::MIGRATIONS, directory::MIGRATIONS].concat();
    let db = TestDb::create(&migrations, &[]).await;
    let mut shipped = CodeTables::default();
    for text in [ICD, CHAPTERS] {
        let table = parse_table("t.tsv", text).unwrap();
        shipped.tables.insert(table.id.clone(), Arc::new(table));
    }
    let clock = testkit::clock();
    let directory = Directory::open(db.db().clone(), shipped).await.unwrap().with_clock(clock.clone());
    directory.refresh().await.unwrap();
    let directory = Arc::new(directory);
    let register = async |code: &str, region: &str| {
        let new = NewInstitution {
            code: code.into(),
            name: format!("{code}医院"),
            class: "A100".into(),
            sender_class: "hospital".into(),
            region: RegionCode::parse(region).unwrap(),
            invented: true,
        };
        directory.register(new).await.unwrap()
    };
    let (hospital, other) = (register("H1", "411503").await, register("H2", "411502").await);
    World { db, clock, directory, hospital, other }
}

impl World {
    fn persona(&self, who: &str) -> Caller {
        let city = Span::Region(RegionCode::parse("4115").unwrap());
        let county = Span::Region(RegionCode::parse("411502").unwrap());
        let (institution, span, acts): (Option<InstitutionId>, Span, &[(Line, Act)]) = match who {
            "engineer" => (
                Some(self.hospital),
                Span::Institution(self.hospital),
                &[(Line::Administration, Act::Read), (Line::Exchange, Act::Write)],
            ),
            "stranger" => (
                Some(self.other),
                Span::Institution(self.other),
                &[(Line::Administration, Act::Read), (Line::Exchange, Act::Write)],
            ),
            "officer" => {
                (None, city, &[(Line::Administration, Act::Read), (Line::Administration, Act::Approve)])
            }
            "county" => {
                (None, county, &[(Line::Administration, Act::Read), (Line::Administration, Act::Approve)])
            }
            "director" => (
                Some(self.hospital),
                Span::Institution(self.hospital),
                &[(Line::Administration, Act::Read), (Line::Administration, Act::Approve)],
            ),
            "loader" => (None, city, &[(Line::System, Act::Manage)]),
            "doctor" => (Some(self.hospital), city, &[(Line::Medical, Act::Read)]),
            other => panic!("nobody is called {other}"),
        };
        let number = who.bytes().map(i64::from).sum();
        Caller {
            account: Some(Id::new(number)),
            name: who.to_owned(),
            institution,
            region: RegionCode::parse("4115").unwrap(),
            grants: acts.iter().map(|(line, act)| Grant { line: *line, act: *act, span }).collect(),
            ..Caller::blank(CallerKind::Staff)
        }
    }

    async fn ask(&self, who: &str, request: Request<Body>) -> (StatusCode, String, String) {
        let mut request = request;
        if !who.is_empty() {
            request.extensions_mut().insert(Arc::new(self.persona(who)));
        }
        let response = routes(Arc::clone(&self.directory)).into_router().oneshot(request).await.unwrap();
        let status = response.status();
        let place =
            response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let body = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned(), place)
    }

    pub async fn get(&self, who: &str, path: &str) -> (StatusCode, String) {
        let (status, body, _) = self.ask(who, Request::get(path).body(Body::empty()).unwrap()).await;
        (status, body)
    }

    async fn page(&self, who: &str, path: &str) -> String {
        let (status, body) = self.get(who, path).await;
        assert_eq!(status, StatusCode::OK, "{path} as {who}");
        body
    }

    async fn post(&self, who: &str, path: &str, form: &str) -> (StatusCode, String) {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        let (status, _, place) = self.ask(who, request).await;
        (status, place)
    }

    async fn file(
        &self,
        who: &str,
        path: &str,
        fields: &[(&str, &str)],
        file: &[u8],
    ) -> (StatusCode, String) {
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend(
                format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        body.extend(b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.csv\"\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n--X--\r\n");
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X")
            .body(Body::from(body))
            .unwrap();
        let (status, body, _) = self.ask(who, request).await;
        (status, body)
    }

    pub async fn fhir(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get("doctor", &format!("/fhir/{path}")).await;
        (status.as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub async fn fhir_post(&self, who: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::post(format!("/fhir/{path}"))
            .header(header::CONTENT_TYPE, "application/fhir+json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let (status, body, _) = self.ask(who, request).await;
        (status.as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Codes of their own that came with rows, as intake tells.
    async fn seen(&self, institution: InstitutionId, day: &str, codes: &[(&str, &str, i64)], coded: i64) {
        let day: NaiveDate = day.parse().unwrap();
        let unmapped: Vec<LocalSeen> = codes
            .iter()
            .map(|(code, name, rows)| LocalSeen {
                table: "icd10".into(),
                day,
                code: (*code).into(),
                name: (*name).into(),
                rows: *rows,
            })
            .collect();
        let sum = codes.iter().map(|c| c.2).sum();
        let counts = CodeCounts {
            dataset: 3,
            days: vec![CodeDay { table: "icd10".into(), day, coded, mapped: 0, unmapped: sum }],
            unmapped,
            ..CodeCounts::default()
        };
        self.db
            .db()
            .transaction(async |tx| self.directory.count_codes(tx, institution, &counts).await)
            .await
            .unwrap();
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn edition(label: &str, from: Option<&str>, text: &str) -> CodeImport {
    CodeImport {
        table_id: "icd10".into(),
        edition: label.into(),
        complete: true,
        rows: read_codes(text.as_bytes(), &Columns::default()).unwrap(),
        loaded_by: "测试".into(),
        valid_from: from.map(day),
        ..CodeImport::default()
    }
}

/// The value of a named parameter.
pub fn parameter(answer: &Value, name: &str) -> Value {
    let all = answer["parameter"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|p| p["name"] == name).unwrap_or(Value::Null);
    found
        .as_object()
        .into_iter()
        .flatten()
        .find(|(k, _)| k.starts_with("value"))
        .map_or(Value::Null, |(_, v)| v.clone())
}

#[tokio::test]
async fn an_edition_holds_from_its_day_and_earlier_ones_are_kept() {
    let w = world().await;
    let now = w.clock.now();
    let old = "编码,名称,上级编码,状态,替代编码,别名\nI10.x00,高血压,,,,高血压病\nE11.900,2型糖尿病,,,,\nZ01,旧码,,停用,I10.x00,\n";
    w.directory.import_codes(edition("2019", Some("2019-01-01"), old), now).await.unwrap();
    let new = "code,name\nI10.x00,原发性高血压\nE11.900,2型糖尿病\nU07.100,新冠\n";
    w.directory.import_codes(edition("2026", Some("2026-01-01"), new), now).await.unwrap();

    // 15 May 2025: the later edition is loaded but does not hold yet.
    let table = w.directory.tables().get("icd10").unwrap().clone();
    assert_eq!((table.edition.as_str(), table.name_of("I10.x00")), ("2019", Some("高血压")));
    assert_eq!(table.retired.values().next(), Some(&Retired { replaced_by: "I10.x00".into() }));
    assert_eq!(table.resolve("高血压病"), Some("I10.x00"));
    assert!(w.page("doctor", "/codes/icd10/editions").await.contains("未施行"));
    let on = async |day_text: &str| {
        w.directory.table_on("icd10", day(day_text)).await.unwrap().unwrap().edition.clone()
    };
    assert_eq!(on("2018-12-31").await, "2.0", "the shipped table before the first edition");
    assert_eq!(on("2025-12-31").await, "2019");
    assert_eq!(on("2026-01-01").await, "2026");
    assert!(w.page("doctor", "/codes/icd10?on=2026-03-01").await.contains("新冠"));
    let (status, answer) =
        w.fhir(&format!("CodeSystem/$validate-code?url={SYSTEM}&code=U07.100&date=2026-02-01")).await;
    assert_eq!((status, parameter(&answer, "result")), (200, json!(true)));
    let (_, answer) = w.fhir(&format!("CodeSystem/$validate-code?url={SYSTEM}&code=U07.100")).await;
    assert_eq!(parameter(&answer, "result"), json!(false));

    // The day comes.
    w.clock.set("2026-01-02T00:00:00Z".parse().unwrap());
    w.directory.refresh().await.unwrap();
    assert_eq!(w.directory.tables().get("icd10").unwrap().edition, "2026");

    let page = w.page("doctor", "/codes/icd10/compare?from=2019&to=2026").await;
    assert!(page.contains("U07.100") && page.contains("Z01") && page.contains("原发性高血压"));
    let csv = w.page("doctor", "/codes/icd10/compare.csv?from=2019&to=2026&kind=renamed").await;
    assert!(csv.contains("\"改名\",\"I10.x00\",\"高血压\",\"原发性高血压\"") && !csv.contains("U07"));
    let code = w.page("doctor", "/codes/icd10/code?code=Z01").await;
    assert!(code.contains("现行版本中没有这个代码") && code.contains("2019"));
    assert_eq!(w.get("doctor", "/codes/icd10/code?code=nothing").await.0, StatusCode::NOT_FOUND);

    // Ending the later edition puts the earlier one out of force as well; its dates can be mended.
    let id: i32 = sqlx::query_scalar("select id from code_edition where edition = '2019'")
        .fetch_one(w.db.pool())
        .await
        .unwrap();
    assert_eq!(w.post("doctor", "/codes/icd10/validity", "").await.0, StatusCode::FORBIDDEN);
    let form = format!("edition={id}&from=2019-01-01&to=2018-01-01");
    assert_eq!(w.post("loader", "/codes/icd10/validity", &form).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let form = format!("edition={id}&from=2020-01-01&to=2026-01-01");
    assert_eq!(w.post("loader", "/codes/icd10/validity", &form).await.0, StatusCode::SEE_OTHER);
    assert_eq!(
        w.number("select count(*) from audit_entry where act in ('codes.import', 'codes.validity')").await,
        3
    );
}

#[tokio::test]
async fn an_edition_is_loaded_from_a_page_after_a_dry_run() {
    let w = world().await;
    let csv = "编码,名称\nI10.x00,高血压病\nQ99.900,新码\n".as_bytes();
    let fields = [("edition", "2025"), ("dry_run", "1")];
    let (status, page) = w.file("loader", "/codes/icd10/import", &fields, csv).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("没有写入") && page.contains("新增 1，停用 7，改名 1"), "{page}");
    assert_eq!(w.number("select count(*) from code_edition").await, 0);
    assert_eq!(w.file("loader", "/codes/icd10/import", &fields[..1], csv).await.0, StatusCode::SEE_OTHER);
    assert_eq!(w.directory.tables().get("icd10").unwrap().codes.len(), 2);
    assert_eq!(w.file("doctor", "/codes/icd10/import", &fields[..1], csv).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        w.file("loader", "/codes/icd10/import", &fields[..1], b"").await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn the_tree_leads_from_chapters_to_codes_and_the_search_knows_what_is_used() {
    let w = world().await;
    let top = w.page("doctor", "/codes/icd10?view=tree").await;
    assert!(top.contains("循环系统疾病") && top.contains("I00-I99"));
    let chapter = w.page("doctor", "/codes/icd10?view=tree&under=I00-I99").await;
    assert!(chapter.contains("急性心肌梗死") && !chapter.contains("E11"));
    let category = w.page("doctor", "/codes/icd10?view=tree&under=I21").await;
    assert!(category.contains("I21.400") && !category.contains("I10"));
    assert!(w.page("doctor", "/codes/icd10/code?code=I21").await.contains("下级代码"));
    sqlx::query("insert into code_use values ($1, 'icd10', 'I21.401', 90)")
        .bind(w.hospital.get() as i32)
        .execute(w.db.pool())
        .await
        .unwrap();
    let search = async |who: &str, q: &str| -> String {
        let json: Value =
            serde_json::from_str(&w.page(who, &format!("/api/v1/codes/icd10/search?q={q}&limit=3")).await)
                .unwrap();
        json["codes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["code"].as_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(search("doctor", "jx").await, "I21.401 I21 I21.400", "what this hospital uses most");
    assert_eq!(search("officer", "jx").await, "I21 I21.400 I21.401");
    assert_eq!(search("officer", "nstemi").await, "I21.401");
    let request = Request::get("/api/v1/codes/icd10/search?q=gxy").header("hx-request", "true");
    let (_, part, _) = w.ask("doctor", request.body(Body::empty()).unwrap()).await;
    assert!(part.contains("role=\"option\"") && part.contains("data-code=\"I10.x00\""));
    let xlsx = w.get("doctor", "/codes/icd10/export.xlsx?q=tnb").await;
    assert_eq!(xlsx.0, StatusCode::OK);
}

#[tokio::test]
async fn a_map_is_proposed_decided_used_and_ended() {
    let w = world().await;
    let codes = [("B001", "高血压病", 30), ("B002", "慢性胃炎（本院）", 20), ("B003", "说不清的病", 10)];
    w.seen(w.hospital, "2025-05-14", &codes, 100).await;
    assert!(w.directory.local_maps(w.hospital).is_none());

    // The engineer sees the codes with suggestions; another hospital's engineer sees nothing of them.
    let open = w.page("engineer", "/code-maps?state=open&table=icd10").await;
    assert!(open.contains("B001") && open.contains("I10.x00") && open.contains("别名相同"));
    assert!(!w.page("stranger", "/code-maps?state=open&table=icd10").await.contains("B001"));
    let theirs = "institution=H1&table=icd10&local_code=B001&standard_code=I10.x00";
    assert_eq!(w.post("stranger", "/code-maps/propose", theirs).await.0, StatusCode::NOT_FOUND);
    assert_eq!(w.post("officer", "/code-maps/propose", theirs).await.0, StatusCode::FORBIDDEN);

    let (status, place) = w.post("engineer", "/code-maps/propose", "institution=H1&table=icd10&all=1").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(place.contains("done=proposed") && place.contains("n=1"), "only what is sure: {place}");
    for (form, good) in [
        ("table=icd10&local_code=B002&standard_code=K29.500", true),
        ("table=icd10&local_code=B003&standard_code=X", false),
        ("table=icd10&local_code=I10&standard_code=I10.x00", false),
        ("table=icd10&local_code=B003&standard_code=E11.901", false),
        ("table=icd10&local_code=B003&standard_code=E11.900&relation=wider", true),
    ] {
        let (status, _) = w.post("engineer", "/code-maps/propose", form).await;
        assert_eq!(status == StatusCode::SEE_OTHER, good, "{form}");
    }

    // The officer of the other county neither sees nor decides them; nobody may decide on their own.
    assert!(!w.page("county", "/code-maps?state=proposed").await.contains("B001"));
    let list = w.page("officer", "/code-maps?state=proposed").await;
    assert!(list.contains("B001") && list.contains("B003") && list.contains("标准码较宽"));
    assert_eq!(w.post("engineer", "/code-maps/decide", "act=approve&id=1").await.0, StatusCode::FORBIDDEN);
    for who in ["county", "director"] {
        w.post(who, "/code-maps/decide", "act=approve&id=1").await;
    }
    assert_eq!(w.number("select count(*) from code_map where state <> 'proposed'").await, 0);
    let mut own = w.persona("officer");
    own.account = w.persona("engineer").account;
    let all = [w.hospital.get() as i32];
    let decision = directory::terminology::maps::Decision { approve: true, ..Default::default() };
    let decided = w.directory.decide_maps(&all, &[1], decision, &own, w.clock.now()).await.unwrap();
    assert_eq!((decided.done, decided.own), (0, 1));

    let (_, place) = w.post("officer", "/code-maps/decide", "act=approve_all&least=0.9&state=proposed").await;
    assert!(place.contains("done=approved") && place.contains("n=1"), "{place}");
    let rest: Vec<i64> = sqlx::query_scalar("select id from code_map where state = 'proposed' order by id")
        .fetch_all(w.db.pool())
        .await
        .unwrap();
    let reject = format!("act=reject&id={}", rest[1]);
    assert_eq!(w.post("officer", "/code-maps/decide", &reject).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    w.post("officer", "/code-maps/decide", &format!("{reject}&note=too+vague")).await;
    w.post("officer", "/code-maps/decide", &format!("act=approve&id={}", rest[0])).await;
    let rejected = w.page("engineer", "/code-maps?state=rejected").await;
    assert!(rejected.contains("too vague") && rejected.contains("B003"));

    // In force at once, for this hospital only.
    let maps = w.directory.local_maps(w.hospital).unwrap();
    let map = &maps.tables["icd10"];
    assert_eq!((map.len(), map.get("B001").map(|s| &**s)), (2, Some("I10.x00")));
    assert!(w.directory.local_maps(w.other).is_none());

    // The other hospital's same name is suggested with their evidence.
    w.seen(w.other, "2025-05-14", &[("Z9", "高血压病", 5)], 10).await;
    assert!(w.page("stranger", "/code-maps?state=open&table=icd10").await.contains("1 家机构同样对照"));

    // FHIR: seen by its own people, not by another hospital's.
    let own = "urn:minkang:institution:H1:icd10";
    let ask = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "coding", "valueCoding": { "system": own, "code": "B001" } },
        { "name": "targetsystem", "valueUri": "urn:oid:2.16.156.10011.2.3.3.11" } ] });
    let (status, answer) = w.fhir_post("engineer", "ConceptMap/$translate", &ask).await;
    assert_eq!((status, parameter(&answer, "result")), (200, json!(true)));
    let found = answer["parameter"].as_array().unwrap().iter().find(|p| p["name"] == "match").unwrap();
    assert_eq!(found["part"][0]["valueCode"], "equivalent");
    assert_eq!(found["part"][1]["valueCoding"]["code"], "I10.x00");
    assert_eq!(found["part"][1]["valueCoding"]["system"], SYSTEM);
    let (status, answer) = w.fhir_post("stranger", "ConceptMap/$translate", &ask).await;
    assert_eq!((status, parameter(&answer, "result")), (200, json!(false)));
    let id = format!("{}.icd10", w.hospital);
    for (who, expected) in [("engineer", 200), ("officer", 200), ("stranger", 404), ("county", 404)] {
        assert_eq!(w.get(who, &format!("/fhir/ConceptMap/{id}")).await.0.as_u16(), expected, "{who}");
    }
    let (_, back) = w
        .get("engineer", &format!("/fhir/ConceptMap/$translate?code=K29.500&system={SYSTEM}&reverse=true"))
        .await;
    assert!(back.contains("B002"));
    assert_eq!(w.get("engineer", "/fhir/ConceptMap/$translate?code=B001").await.0, StatusCode::BAD_REQUEST);
    let (_, none) =
        w.get("engineer", &format!("/fhir/ConceptMap/$translate?code=nothing&system={own}")).await;
    assert!(none.contains("\"valueBoolean\":false") && none.contains("message"));

    // Undone: no longer translated, still in the history.
    let first = format!("id={}", 1);
    w.post("officer", "/code-maps/undo", &first).await;
    assert_eq!(w.directory.local_maps(w.hospital).unwrap().tables["icd10"].len(), 1);
    assert!(w.page("engineer", "/code-maps?state=ended").await.contains("B001"));
    assert!(w.number("select count(*) from audit_entry where act like 'codes.map_%'").await >= 6);

    // A standard code that is gone no longer translates.
    w.directory
        .import_codes(edition("3.0", None, "code,name\nI10.x00,高血压\n"), w.clock.now())
        .await
        .unwrap();
    assert!(w.directory.local_maps(w.hospital).is_none());
    let csv = w.page("engineer", "/code-maps.csv?state=approved").await;
    assert!(csv.contains("B002") && csv.contains("K29.500"));
}

#[tokio::test]
async fn a_map_is_imported_from_a_file() {
    let w = world().await;
    let csv = "院内编码,院内名称,标准编码,关系\nA1,高血压,I10.x00,等同\nA2,胃炎,K29.500,标准码较窄\nA3,错,NO,\nA1,重复,I10.x00,\n".as_bytes();
    let (status, page) =
        w.file("engineer", "/code-maps/import", &[("table", "icd10"), ("dry_run", "1")], csv).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("可提交 2 条") && page.contains("有问题 2 条"), "{page}");
    assert_eq!(w.number("select count(*) from code_map").await, 0);
    let (status, _) = w.file("engineer", "/code-maps/import", &[("table", "icd10")], csv).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(w.number("select count(*) from code_map where state = 'proposed'").await, 2);
    assert_eq!(w.number("select count(*) from code_map where relation = 'narrower'").await, 1);
    // The same again changes nothing; another standard code takes the proposal's place.
    w.file("engineer", "/code-maps/import", &[("table", "icd10")], csv).await;
    assert_eq!(w.number("select count(*) from code_map").await, 2);
    w.post("engineer", "/code-maps/propose", "table=icd10&local_code=A1&standard_code=I10").await;
    assert_eq!(w.number("select count(*) from code_map where state = 'withdrawn'").await, 1);
    let bad = w.file("engineer", "/code-maps/import", &[("table", "icd10")], b"a,b\n1,2\n").await;
    assert_eq!(bad.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn coverage_says_what_has_no_standard_code() {
    let w = world().await;
    w.seen(w.hospital, "2025-05-14", &[("B001", "高血压病", 10), ("B002", "胃炎", 2)], 100).await;
    w.seen(w.hospital, "2025-05-13", &[("B001", "高血压病", 5)], 50).await;
    w.seen(w.hospital, "2025-05-14", &[("B001", "", 3)], 25).await;
    w.seen(w.other, "2025-05-14", &[("Z9", "别家的", 4)], 8).await;
    let ids = [w.hospital.get() as i32, w.other.get() as i32];
    let asked =
        Asked { institutions: &ids[..1], table: None, from: day("2025-05-13"), to: day("2025-05-14") };
    let lines = w.directory.coverage(&asked).await.unwrap();
    let total = lines[0].total;
    assert_eq!((lines.len(), total.coded, total.unmapped), (1, 175, 20));
    assert_eq!(lines[0].days[&day("2025-05-14")].percent_unmapped(), Some(12.0));
    let codes = w.directory.unmapped(&asked, "", 10, 0).await.unwrap();
    let codes: HashMap<&str, (i64, &str)> =
        codes.iter().map(|u| (u.code.as_str(), (u.rows, u.name.as_str()))).collect();
    assert_eq!(codes, HashMap::from([("B001", (18, "高血压病")), ("B002", (2, "胃炎"))]));

    let page = w.page("engineer", "/code-coverage?day_from=2025-05-14&day_to=2025-05-14").await;
    assert!(page.contains("12.0%") && page.contains("H1医院") && !page.contains("H2医院"));
    assert!(w.page("officer", "/code-coverage").await.contains("H2医院"));
    let csv = w.page("officer", "/code-coverage.csv?institution=H1").await;
    assert!(csv.contains("\"2025-05-14\"") && csv.contains("\"125\",\"0\",\"15\",\"12.00\""), "{csv}");
    assert_eq!(w.get("engineer", "/code-coverage?institution=H2").await.0, StatusCode::NOT_FOUND);
    let list = w.page("engineer", "/code-coverage/codes").await;
    assert!(list.contains("B001") && list.contains("I10.x00") && !list.contains("Z9"));
    let one = w.page("engineer", "/code-coverage/code?institution=H1&table=icd10&code=B001").await;
    assert!(one.contains("/quality/rows?institution=H1") && one.contains("2025-05-13"));
    assert_eq!(
        w.get("engineer", "/code-coverage/code?institution=H1&table=icd10&code=Z9").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(w.get("doctor", "/code-coverage").await.0, StatusCode::FORBIDDEN);

    // The desk tells the engineer, and the officer what waits.
    let card =
        directory::terminology::panel(&w.directory).card(&w.persona("engineer")).await.unwrap().unwrap();
    assert!(
        card.lines.iter().any(|l| l.text.contains("疾病分类") && l.figure.starts_with("12.0%")),
        "{card:?}"
    );
    w.post("engineer", "/code-maps/propose", "table=icd10&local_code=B001&standard_code=I10.x00").await;
    let card =
        directory::terminology::panel(&w.directory).card(&w.persona("officer")).await.unwrap().unwrap();
    assert!(card.lines.iter().any(|l| l.text.contains("待审批") && l.figure == "1 条"), "{card:?}");
    assert!(directory::terminology::panel(&w.directory).card(&w.persona("doctor")).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_translated_is_kept_beside_the_fact_and_forgotten_with_it() {
    let w = world().await;
    let map = directory::terminology::maps::NewMap {
        table: "icd10".into(),
        local_code: "B001".into(),
        standard_code: "I10.x00".into(),
        ..Default::default()
    };
    w.directory.propose_maps(w.hospital, &[map], false, &w.persona("engineer"), w.clock.now()).await.unwrap();
    w.post("officer", "/code-maps/decide", "act=approve&id=1").await;
    let kept =
        |fact_id: i64| KeptCode {
            fact_id, field: "f".into(), code: "B001".into(), name: "高血压病".into()
        };
    let mut counts =
        CodeCounts { dataset: 3, kept: vec![kept(1), kept(2), kept(2)], ..CodeCounts::default() };
    let write = async |counts: &CodeCounts| {
        w.db.db()
            .transaction(async |tx| w.directory.count_codes(tx, w.hospital, counts).await)
            .await
            .unwrap();
    };
    write(&counts).await;
    assert_eq!(w.number("select count(*) from code_kept where local_code = 'B001'").await, 2);
    counts.kept.clear();
    counts.ended = vec![2];
    write(&counts).await;
    assert_eq!(w.number("select fact_id from code_kept").await, 1);
}

#[tokio::test]
async fn decisions_ask_for_stored_rows_to_follow_and_join_the_run_that_waits() {
    let w = world().await;
    let propose = async |local: &str| {
        let form = format!("table=icd10&local_code={local}&standard_code=I10.x00");
        w.post("engineer", "/code-maps/propose", &form).await;
        w.number("select max(id) from code_map").await
    };
    let waiting = "select count(*) from code_translation where state = 'waiting'";
    let jobs = "select count(*) from job where kind = 'exchange.stored_codes'";
    let (first, second, third) = (propose("A1").await, propose("A2").await, propose("A3").await);
    w.post("officer", "/code-maps/decide", &format!("act=reject&note=x&id={third}")).await;
    assert_eq!((w.number(waiting).await, w.number(jobs).await), (0, 0), "a refusal changes no row");
    w.post("officer", "/code-maps/decide", &format!("act=approve&id={first}")).await;
    w.post("officer", "/code-maps/decide", &format!("act=approve&id={second}")).await;
    assert_eq!((w.number(waiting).await, w.number(jobs).await), (1, 1), "one run, one job");
    assert_eq!(w.number("select count(*) from code_translation_line").await, 2);
    // One under way takes no more lines: another one waits behind it.
    sqlx::query("update code_translation set state = 'running'").execute(w.db.db().pool()).await.unwrap();
    w.post("officer", "/code-maps/undo", &format!("id={first}")).await;
    assert_eq!((w.number(waiting).await, w.number("select count(*) from code_translation").await), (1, 2));
    let page = w.page("engineer", "/code-maps?state=approved").await;
    assert!(page.contains("存量数据转换") && page.contains("进行中") && page.contains("等待开始"), "{page}");
    assert!(!w.page("stranger", "/code-maps?state=approved").await.contains("存量数据转换"));

    // Going on is for who approves maps of the region, and only of institutions there.
    sqlx::query("update code_translation set state = 'failed', gave_up = true, failure = '磁盘已满'")
        .execute(w.db.db().pool())
        .await
        .unwrap();
    let page = w.page("officer", "/code-maps?state=approved").await;
    assert!(page.contains("磁盘已满") && page.contains("从中断处继续"), "{page}");
    assert!(!w.page("engineer", "/code-maps?state=approved").await.contains("从中断处继续"));
    let go_on = "act=follow&institution=H1&state=approved";
    for (who, expected) in [
        ("engineer", StatusCode::FORBIDDEN),
        ("county", StatusCode::NOT_FOUND),
        ("director", StatusCode::NOT_FOUND),
        ("officer", StatusCode::SEE_OTHER),
    ] {
        let (status, place) = w.post(who, "/code-maps/decide", go_on).await;
        assert_eq!(status, expected, "{who}");
        if expected == StatusCode::SEE_OTHER {
            assert!(w.page("officer", &place).await.contains("已安排继续转换"), "{place}");
        }
    }
    assert_eq!(w.number("select count(*) from code_translation where gave_up").await, 0);
    assert_eq!(w.number("select count(*) from audit_entry where act = 'codes.map_stored_again'").await, 1);
}

#[tokio::test]
async fn maps_approved_before_the_upgrade_are_followed_after_it() {
    let before: Vec<_> = directory::MIGRATIONS.iter().filter(|m| m.name < "0006").copied().collect();
    let db = TestDb::create(&[store::migrate::MIGRATIONS, &before].concat(), &[]).await;
    sqlx::query(
        "insert into code_map (institution_id, table_id, local_code, standard_code, standard_name, state, proposed_at,
            proposed_by)
         select i, 'icd10', c, 'I10', '', s, now(), 'x'
         from (values (1, 'A', 'approved'), (1, 'B', 'approved'), (2, 'A', 'approved'), (3, 'A', 'ended')) v (i, c, s)",
    )
    .execute(db.db().pool())
    .await
    .unwrap();
    let all = [store::migrate::MIGRATIONS, directory::MIGRATIONS].concat();
    store::migrate(db.db().pool(), &all).await.unwrap();
    let asked: Vec<(i32, i64, i64)> = sqlx::query_as(
        "select t.institution_id, count(l.map_id),
            (select count(*) from job j where j.subject = t.institution_id::text and j.kind = $1
                and j.body = jsonb_build_object('institution', t.institution_id))
         from code_translation t join code_translation_line l on l.translation_id = t.id
         where t.state = 'waiting' group by 1 order by 1",
    )
    .bind(contracts::STORED_CODES)
    .fetch_all(db.db().pool())
    .await
    .unwrap();
    assert_eq!(asked, [(1, 2, 1), (2, 1, 1)]);
    let apart = "select extract(epoch from max(run_at) - min(run_at))::bigint from job";
    let apart: i64 = sqlx::query_scalar(apart).fetch_one(db.db().pool()).await.unwrap();
    assert_eq!(apart, 60, "other work is not to stand behind hundreds of them");
}
