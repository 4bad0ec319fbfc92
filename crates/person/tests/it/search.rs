//! Finding people: what is found by what, within which reach, and what the audit trail keeps.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use contracts::{InstitutionCard, Institutions, NewInstitution};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Grant, Line, Purpose, RegionCode, Result, Span};
use person::search::{Query, SearchPages, routes, search};
use sqlx::Row;
use testkit::TestDb;
use tower::ServiceExt;

use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

/// Two institutions in two counties.
pub struct Two;

fn region(code: &str) -> RegionCode {
    RegionCode::parse(code).unwrap()
}

impl Institutions for Two {
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>> {
        self.all().iter().find(|c| c.id == id).cloned()
    }
    fn by_code(&self, code: &str) -> Option<Arc<InstitutionCard>> {
        self.all().iter().find(|c| c.code == code).cloned()
    }
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>> {
        let card = |id: InstitutionId, code: &str| {
            Arc::new(InstitutionCard {
                id,
                code: id.to_string(),
                name: format!("机构{id}"),
                short_name: format!("机构{id}"),
                sender_class: "hospital".into(),
                region: region(code),
                invented: true,
            })
        };
        Arc::new(vec![card(COUNTY_HOSPITAL, "411503"), card(TOWNSHIP, "411521")])
    }
    fn region_name(&self, code: &RegionCode) -> String {
        format!("区划{code}")
    }
    fn register<'a>(&'a self, _: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>> {
        Box::pin(async { Err(kernel::Error::fault("register", "not here")) })
    }
}

fn doctor(span: Span) -> Caller {
    let grants = vec![Grant { line: Line::Medical, act: Act::Read, span }];
    Caller {
        name: "王医生".into(),
        grants,
        kind: kernel::CallerKind::Staff,
        roles: vec!["township_doctor".into()],
        ..Caller::system("测试")
    }
}

/// 张伟 born 1965 and 张伟 born 1980 at the county hospital, 张卫国 at the township, 李四 at both.
async fn people() -> TestDb {
    let (db, index) = city().await;
    let mut zhang = registration("H1", "张伟", "1", "1965-03-08", &number("1965-03-08", 1));
    zhang.phone = "13800138000".into();
    zhang.card_no = "C-77".into();
    let li = |local: &str| registration(local, "李四", "2", "1990-01-01", &number("1990-01-01", 2));
    let mut passport = registration("H3", "Tom Lee", "1", "1970-01-01", "");
    passport.credential_kind = "03".into();
    passport.credential_no = "G1234567".into();
    let county = [zhang, registration("H2", "张伟", "1", "1980-01-01", ""), passport, li("H4")];
    link(&db, &index, COUNTY_HOSPITAL, &county).await.unwrap();
    let mut guo = registration("T1", "张卫国", "1", "1950-05-05", "");
    guo.phone = "13800138000".into();
    guo.region = "411521002003".into();
    link(&db, &index, TOWNSHIP, &[guo, li("T2")]).await.unwrap();
    db
}

async fn names(db: &TestDb, span: Span, text: &str) -> Vec<String> {
    let reach = doctor(span).decide(person::search::NEED, Purpose::of("care")).unwrap();
    let query = Query::parse(text).unwrap();
    let found =
        db.background("a test", async |tx| search(tx, &reach, &Two, &query, 30, 0).await).await.unwrap();
    assert_eq!(found.total, found.people.len() as u64);
    let year = |p: &person::search::PersonFound| p.birth_date.unwrap().format("%Y").to_string();
    found.people.iter().map(|p| format!("{}{}", p.name, year(p))).collect()
}

#[tokio::test]
async fn one_box_finds_by_everything() {
    let db = people().await;
    let everywhere = Span::Region(RegionCode::NATION);
    let id = number("1965-03-08", 1);
    let old = format!("{}{}", &id[..6], &id[8..17]);
    let table: &[(&str, &[&str])] = &[
        (&id, &["张伟1965"]),
        (&old, &["张伟1965"]),
        (&id.to_lowercase(), &["张伟1965"]),
        ("张伟", &["张伟1965", "张伟1980"]),
        ("张伟 1980", &["张伟1980"]),
        ("张卫", &["张卫国1950"]),
        ("zw", &["张伟1965", "张伟1980", "张卫国1950"]),
        ("ZWG", &["张卫国1950"]),
        ("zw 1950-05", &["张卫国1950"]),
        ("tom l", &["Tom Lee1970"]),
        ("138 0013 8000", &["张伟1965", "张卫国1950"]),
        ("C-77", &["张伟1965"]),
        ("G1234567", &["Tom Lee1970"]),
        ("H4", &["李四1990"]),
        ("李四", &["李四1990"]),
        ("王五", &[]),
        ("张_", &[]),
        ("张%", &[]),
        ("999999", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(names(&db, everywhere, text).await, *expected, "{text}");
    }
}

#[tokio::test]
async fn out_of_reach_looks_like_not_found() {
    let db = people().await;
    let table: &[(Span, &str, &[&str])] = &[
        (Span::Region(region("4115")), "zw", &["张伟1965", "张伟1980", "张卫国1950"]),
        (Span::Region(region("411503")), "zw", &["张伟1965", "张伟1980"]),
        (Span::Region(region("411521")), "zw", &["张卫国1950"]),
        (Span::Region(region("411521")), "13800138000", &["张卫国1950"]),
        (Span::Institution(TOWNSHIP), "zw", &["张卫国1950"]),
        // The village of residence is in reach, the institution is not.
        (Span::Region(region("411521002003")), "zw", &["张卫国1950"]),
        (Span::Region(region("42")), "zw", &[]),
        (Span::Region(region("42")), "13800138000", &[]),
        // Known to both institutions.
        (Span::Institution(TOWNSHIP), "H4", &["李四1990"]),
    ];
    for (span, text, expected) in table {
        assert_eq!(names(&db, *span, text).await, *expected, "{span:?} {text}");
    }
}

#[tokio::test]
async fn a_search_is_audited_without_the_number_and_a_vague_one_is_none() {
    let db = people().await;
    let pages = SearchPages {
        db: db.db().clone(),
        institutions: Arc::new(Two),
        clock: testkit::clock(),
        masks: catalog::shipped().unwrap().masks,
        index: Arc::new(person::MasterIndex::new(db.db().clone())),
    };
    let app = routes(pages).into_router();
    let get = |path: String, caller: Option<Caller>| {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(caller) = caller {
            request.extensions_mut().insert(Arc::new(caller));
        }
        let app = app.clone();
        async move {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    let caller = || Some(doctor(Span::Region(region("4115"))));
    let id = number("1965-03-08", 1);

    let (status, page) = get(format!("/persons?q={id}"), caller()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("张伟") && page.contains("60 岁") && !page.contains("13800138000"));
    let (status, json) = get("/api/v1/persons?q=zw".into(), caller()).await;
    assert_eq!(status, StatusCode::OK);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["total"].as_u64(), json["persons"].as_array().map(Vec::len)), (Some(3), Some(3)));
    assert_eq!(get("/persons".into(), caller()).await.0, StatusCode::OK);
    assert_eq!(get("/api/v1/persons?q=z".into(), caller()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get("/persons?q=zw".into(), None).await.0, StatusCode::UNAUTHORIZED);
    let mut engineer = doctor(Span::Region(region("4115")));
    engineer.grants[0].line = Line::Exchange;
    assert_eq!(get("/persons?q=zw".into(), Some(engineer)).await.0, StatusCode::FORBIDDEN);

    let entries = sqlx::query("select act, object_label, actor, purpose from audit_entry order by id")
        .fetch_all(db.pool())
        .await
        .unwrap();
    let labels: Vec<String> = entries.iter().map(|e| e.get::<String, _>("object_label")).collect();
    assert_eq!(labels, [web::mask::credential(&id), "zw".to_owned()]);
    assert!(!labels[0].contains("19650308"));
    assert!(entries.iter().all(|e| e.get::<String, _>("act") == "person.search"));
}
