//! Finding a patient by scraps: who is found by what, in which order, within which reach, and that keys follow.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kernel::{Act, Caller, Clock, Grant, Line, Purpose, RegionCode, Span};
use person::MasterIndex;
use person::search::scraps::{NEED, Question, round, scraps};
use person::search::{SearchPages, routes};
use store::Db;
use testkit::TestDb;
use tower::ServiceExt;

use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

fn region(code: &str) -> Span {
    Span::Region(RegionCode::parse(code).unwrap())
}

/// A doctor on duty, whose masks are those of a township doctor.
fn doctor(span: Span) -> Caller {
    let grant = |line| Grant { line, act: Act::Read, span };
    Caller {
        name: "急诊医生".into(),
        grants: vec![grant(Line::Emergency), grant(Line::Medical)],
        kind: kernel::CallerKind::Staff,
        roles: vec!["township_doctor".into()],
        ..Caller::system("测试")
    }
}

async fn keep(db: &Db) {
    while round(db).await.unwrap() {}
}

/// Seven people; who is who is told by the year of birth.
async fn people() -> (TestDb, MasterIndex) {
    let (db, index) = city().await;
    let mut zhang = registration("H1", "张建国", "1", "1962-03-08", &number("1962-03-08", 1));
    zhang.phone = "13800138000".into();
    zhang.region = "411503102001".into();
    let mut other = registration("H2", "张建国", "1", "1985-01-01", "");
    other.region = "411502001001".into();
    let mut sound = registration("H3", "章健国", "1", "1961-01-01", "");
    sound.region = "411503001001".into();
    let mut woman = registration("H4", "李建国", "2", "1964-05-05", "");
    woman.region = "411503102002".into();
    let mut uighur = registration("H5", "阿依古丽·买买提", "2", "1990-01-01", "");
    uighur.phone = "15900008000".into();
    link(&db, &index, COUNTY_HOSPITAL, &[zhang, other, sound, woman, uighur]).await.unwrap();
    let mut unborn = registration("T1", "王建国", "1", "", "");
    unborn.region = "411521002003".into();
    link(&db, &index, TOWNSHIP, &[unborn, registration("T2", "Tom Lee", "1", "1970-01-01", "")])
        .await
        .unwrap();
    keep(&db).await;
    (db, index)
}

/// Name, year of birth and reasons of who is found: `name age sex region phone`, `-` for nothing.
async fn found(db: &TestDb, span: Span, boxes: &str) -> Vec<String> {
    let boxes: Vec<&str> = boxes.split('|').map(|b| if b == "-" { "" } else { b }).collect();
    let question = Question::of(boxes[0], boxes[1], "", boxes[2], boxes[3], boxes[4]).unwrap();
    let reach = doctor(span).decide(NEED, Purpose::of("emergency")).unwrap();
    let today = testkit::clock().today();
    let book =
        db.background("a test", async |tx| scraps(tx, &reach, &Two, &question, today).await).await.unwrap();
    assert!(!book.capped && !book.filling);
    let year = |born: Option<chrono::NaiveDate>| born.map_or("?".to_owned(), |b| b.format("%Y").to_string());
    book.candidates.iter().map(|c| format!("{}{}", c.person.name, year(c.person.birth_date))).collect()
}

#[tokio::test]
async fn scraps_find_and_rank() {
    let (db, _) = people().await;
    let all = Span::Region(RegionCode::NATION);
    for (boxes, expected) in [
        ("张建国|63|1|411503|-", "张建国1962 章健国1961"),
        ("张建国|-|-|-|-", "张建国1962 张建国1985 章健国1961"),
        ("建国|60|-|-|-", "李建国1964 张建国1962 王建国? 章健国1961"),
        ("jianguo|60|2|-|-", "李建国1964 张建国1962 章健国1961 王建国?"),
        ("zjg|-|-|-|-", "张建国1962 张建国1985 章健国1961"),
        ("zhangj|-|-|411503|-", "张建国1962 章健国1961"),
        ("章|-|-|411503|-", "章健国1961 张建国1962"),
        ("张|-|-|-|8000", "张建国1962 阿依古丽·买买提1990"),
        ("-|-|-|-|38000", "张建国1962"),
        ("-|30|2|-|8000", "阿依古丽·买买提1990 张建国1962"),
        ("古丽|-|-|-|-", "阿依古丽·买买提1990"),
        ("ayiguli|-|-|-|-", "阿依古丽·买买提1990"),
        ("tom lee|-|-|-|-", "Tom Lee1970"),
        ("赵六|-|-|-|-", ""),
        ("-|-|-|-|9999", ""),
    ] {
        assert_eq!(found(&db, all, boxes).await.join(" "), expected, "{boxes}");
    }
}

#[tokio::test]
async fn scraps_out_of_reach_find_nobody() {
    let (db, _) = people().await;
    for (span, boxes, expected) in [
        (region("4115"), "建国|-|-|-|-", "张建国1962 李建国1964 张建国1985 王建国? 章健国1961"),
        // Where somebody lives, or the institution that registered them.
        (region("411521"), "建国|-|-|-|-", "王建国?"),
        (region("411521002003"), "建国|-|-|-|-", "王建国?"),
        (region("411502001"), "建国|-|-|-|-", "张建国1985"),
        (Span::Institution(TOWNSHIP), "建国|-|-|-|-", "王建国?"),
        (region("42"), "建国|-|-|-|-", ""),
        (region("42"), "-|-|-|-|8000", ""),
    ] {
        let mut shown = found(&db, span, boxes).await;
        let mut expected: Vec<&str> = expected.split(' ').filter(|n| !n.is_empty()).collect();
        shown.sort();
        expected.sort_unstable();
        assert_eq!(shown, expected, "{span:?} {boxes}");
    }
}

#[tokio::test]
async fn keys_follow_registrations() {
    let (db, index) = people().await;
    let all = Span::Region(RegionCode::NATION);
    let mut renamed = registration("H2", "赵爱军", "1", "1986-01-01", "");
    renamed.phone = "13700007777".into();
    renamed.region = "411502001001".into();
    link(&db, &index, COUNTY_HOSPITAL, &[renamed]).await.unwrap();
    keep(&db).await;
    assert_eq!(found(&db, all, "张建国|-|-|-|-").await.join(" "), "张建国1962 章健国1961");
    assert_eq!(found(&db, all, "aijun|-|-|-|-").await, ["赵爱军1986"]);
    assert_eq!(found(&db, all, "-|-|-|-|7777").await, ["赵爱军1986"]);

    // What stands there after a change is what a filling of an earlier database would have written.
    let rows = async || -> Vec<(i64, i64, i16, i32, i32)> {
        sqlx::query_as("select key, identity_id, birth, region, tail from search_key order by 1, 3, 2")
            .fetch_all(db.pool())
            .await
            .unwrap()
    };
    let before = rows().await;
    for sql in [
        "delete from search_key",
        "delete from search_entry",
        "update search_filled set upto = 0, done = false",
    ] {
        sqlx::query(sql).execute(db.pool()).await.unwrap();
    }
    keep(&db).await;
    assert_eq!(rows().await, before);
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from search_pending").fetch_one(db.pool()).await.unwrap();
    assert_eq!(waiting, 0);
    assert!(before.len() > 30, "{}", before.len());
}

#[tokio::test]
async fn a_range_of_one_index_answers() {
    let (db, _) = people().await;
    // With as many rows as a city has, the planner's choice is not a matter of taste.
    sqlx::query(
        "insert into search_key select n % 50, -n, 411503102, 1, 0, 1930 + n % 90, 1 + n % 2
         from generate_series(1, 60000) n",
    )
    .execute(db.pool())
    .await
    .unwrap();
    sqlx::query("vacuum analyze search_key").execute(db.pool()).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select k.identity_id, k.birth, k.sex, k.region, k.institution, k.tail from search_key k
         where k.key = 7 and k.birth between 1955 and 1965 order by k.birth limit 8000",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Only Scan using search_key_pkey") && !plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn the_page_tells_why_and_masks() {
    let (db, _) = people().await;
    let pages = SearchPages {
        db: db.db().clone(),
        institutions: Arc::new(Two),
        clock: testkit::clock(),
        masks: catalog::shipped().unwrap().masks,
        index: Arc::new(MasterIndex::new(db.db().clone())),
    };
    let app = routes(pages).into_router();
    let get = |path: &str, typing: bool, caller: Caller| {
        let mut request = Request::get(path);
        if typing {
            request = request.header("hx-request", "true");
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Arc::new(caller));
        let app = app.clone();
        async move {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    let caller = || doctor(region("4115"));
    let question = "name=%E5%BC%A0%E5%BB%BA%E5%9B%BD&age=62&sex=1&region=411503&phone=38000";
    let (status, page) = get(&format!("/persons/scraps?{question}"), false, caller()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("姓名相同 · 电话尾号相同 · 年龄相差 1 岁 · 性别相符 · 住在所选地区"), "{page}");
    assert!(page.contains("href=\"/record/") && !page.contains("13800138000") && page.contains("<form"));
    let (_, list) = get(&format!("/persons/scraps?{question}"), true, caller()).await;
    assert!(list.contains("姓名相同") && !list.contains("<form"), "typing ahead asks for the list alone");
    let (_, empty) = get("/persons/scraps?name=%E8%B5%B5%E5%85%AD", false, caller()).await;
    assert!(empty.contains("没有找到符合的居民"));
    let (_, vague) = get("/persons/scraps?age=60&sex=1", false, caller()).await;
    assert!(vague.contains("线索不够"));
    let (status, json) = get(&format!("/api/v1/persons/scraps?{question}"), false, caller()).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(json["candidates"][0]["reasons"][0], "姓名相同");
    assert_eq!(
        get("/api/v1/persons/scraps?sex=1", false, caller()).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // The dispatcher finds out who it is, and opens no record; who has no such right finds nobody.
    let mut dispatcher = caller();
    dispatcher.grants.retain(|g| g.line == Line::Emergency);
    let (_, page) = get(&format!("/persons/scraps?{question}"), false, dispatcher).await;
    assert!(page.contains("姓名相同") && !page.contains("href=\"/record/"));
    let mut engineer = caller();
    engineer.grants[0].line = Line::Exchange;
    assert_eq!(get("/persons/scraps", false, engineer).await.0, StatusCode::FORBIDDEN);

    let labels: Vec<String> = sqlx::query_scalar("select object_label from audit_entry order by id")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(labels.len(), 5, "what is too vague is not looked for: {labels:?}");
    assert!(labels.iter().all(|l| !l.contains("8000")) && labels[0].starts_with("张建国 约 62 岁"));
}

#[tokio::test]
async fn whom_nobody_knows_gets_a_number() {
    let (db, _) = people().await;
    let pages =
        SearchPages {
            db: db.db().clone(),
            institutions: Arc::new(Two),
            clock: testkit::clock(),
            masks: catalog::shipped().unwrap().masks,
            index: Arc::new(MasterIndex::new(db.db().clone()).with_options(
                store::Settings::defaults(Arc::new(catalog::shipped().unwrap())),
                Arc::new(Two),
            )),
        };
    let app = routes(pages).into_router();
    let post = |body: &'static str, institution| {
        let mut request = Request::post("/persons/unknown")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        let span = Span::Institution(COUNTY_HOSPITAL);
        let grants = vec![Grant { line: Line::Medical, act: Act::Write, span }];
        let caller = Caller { grants, institution, ..doctor(region("411503")) };
        request.extensions_mut().insert(Arc::new(caller));
        let app = app.clone();
        async move {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    // sex 1, age 60, "found at the station"
    let good = "sex=1&age=60&circumstances=%E7%81%AB%E8%BD%A6%E7%AB%99%E6%99%95%E5%80%92";
    let (status, page) = post(good, Some(COUNTY_HOSPITAL)).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let number: String = sqlx::query_scalar(
        "select local_no from identity_record where special = 'unknown' and institution_id = $1",
    )
    .bind(COUNTY_HOSPITAL.get() as i32)
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert!(page.contains(&number) && page.contains("href=\"/record/"), "{page}");
    for (body, institution, words) in [
        ("sex=1&age=60&circumstances=x", Some(COUNTY_HOSPITAL), "请写明"),
        ("age=300&circumstances=xxxxx", Some(COUNTY_HOSPITAL), "估计年龄"),
        (good, None, "不属于任何医疗机构"),
        (good, Some(TOWNSHIP), "没有找到这家机构"),
    ] {
        let (status, page) = post(body, institution).await;
        assert!(!status.is_success() && page.contains(words), "{body}: {status} {page}");
    }
}
