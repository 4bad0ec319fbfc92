//! Nothing that identifies a person can be read out of the database, whatever door it came by; what an earlier version
//! wrote plain is read, linked and found meanwhile, and encrypted in the background.

use axum::body::Body;
use axum::http::Request;
use protect::Domain;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use store::keys::SETTLE;
use testkit::settle;

use crate::city::{City, city, counts};
use crate::rows::{VISIT_HEADINGS, citizen_of, name};

const HEADINGS: &str = "patient_no,patient_name,sex,birth_date,credential_kind,credential_no,card_no,phone,address,region,\
    contact_name,contact_phone,household_address,employer,registered_at";

fn phone(n: u32) -> String {
    format!("1390761{n:04}")
}
fn address(n: u32) -> String {
    format!("平桥区明港镇柳河路{n}号院")
}

/// One patient as a line, with everything that must not be found in the database.
fn patient(n: u32, address: &str) -> String {
    let id = citizen_of(n);
    format!(
        "P{n:05},{},{},{}-{}-{},01,{id},HC7788{n:05},{},{address},411503102,{},1380376{n:04},信阳市老城{n}巷,信阳茶厂{n}车间,\
         2025-05-10 08:30:00",
        name(n),
        if n % 2 == 1 { 1 } else { 2 },
        &id[6..10],
        &id[10..12],
        &id[12..14],
        phone(n),
        name(n + 900),
    )
}

/// Everything in every table, as text, with the table it stands in.
async fn dump(city: &City) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c
         where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' order by 1",
    )
    .fetch_all(city.platform.owner.pool())
    .await
    .unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    let mut all = Vec::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("select t::text from {table} t")))
            .fetch_all(city.platform.owner.pool())
            .await
            .unwrap();
        all.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    all
}

async fn assert_hidden(city: &City, secrets: &[String]) {
    let dump = dump(city).await;
    assert!(dump.iter().any(|(_, row)| row.contains("P00001")), "local numbers are plain: the dump is one");
    for (table, row) in &dump {
        for secret in secrets {
            assert!(!row.contains(secret.as_str()), "{secret} stands in {table}: {row}");
        }
    }
}

fn secrets(range: std::ops::Range<u32>) -> Vec<String> {
    let mut all = Vec::new();
    for n in range {
        all.extend([citizen_of(n), phone(n), address(n), format!("HC7788{n:05}")]);
        all.extend([format!("1380376{n:04}"), format!("信阳市老城{n}巷"), format!("信阳茶厂{n}车间")]);
    }
    all
}

#[tokio::test]
async fn the_database_gives_nobody_away() {
    let city = city().await;
    let mut his = city.program(0).await;
    let rows: Vec<String> = (0..30).map(|n| patient(n, &address(n))).collect();
    let receipt = his.upload("patient", "", format!("{HEADINGS}\n{}\n", rows.join("\n"))).await.good();
    assert_eq!(counts(&receipt), [30, 30, 0, 0, 0, 0], "{receipt}");
    // Corrections go to history; broken numbers become issues that quote them; a telephone in the wrong column, too.
    let mut moved: Vec<String> = (0..9).map(|n| patient(n, &format!("平桥区五里镇新村{n}组"))).collect();
    moved.push(patient(40, &address(40)).replace(&citizen_of(40), "411503196001010000"));
    moved.push(patient(41, &address(41)).replace(&phone(41), "13907610041转8"));
    moved.push(patient(42, &address(42)).replace("2025-05-10 08:30:00", "13907610042"));
    let receipt = his.upload("patient", "", format!("{HEADINGS}\n{}\n", moved.join("\n"))).await.good();
    assert!(receipt["issues"].as_i64().unwrap() >= 3, "{receipt}");
    let visits: Vec<String> =
        (0..5).map(|n| format!("{},{}", crate::rows::visit(n, n, 80), phone(n))).collect();
    let visits = format!("{VISIT_HEADINGS},phone\n{}\n", visits.join("\n"));
    his.upload("outpatient_visit", "", visits).await.good();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": {"resourceType": "Patient", "id": "f1", "name": [{"text": "郑某"}], "gender": "male",
            "birthDate": "1960-01-01", "telecom": [{"system": "phone", "value": "13607610001"}],
            "identifier": [{"system": "urn:local", "value": "F00001"}], "address": [{"text": "浉河区茶都路77号"}]},
         "request": {"method": "PUT", "url": "Patient/f1"}},
        {"resource": {"resourceType": "RelatedPerson", "id": "r1", "patient": {"reference": "Patient/f1"},
            "telecom": [{"system": "phone", "value": "13607610002"}]},
         "request": {"method": "PUT", "url": "RelatedPerson/r1"}}]});
    let request = Request::post("/fhir").header("content-type", "application/fhir+json");
    let answer = his.send(request, Body::from(bundle.to_string())).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(city.count("select count(*) from kept_resource").await, 1);

    let mut doctor = city.staff("doctor").await;
    let found = doctor.get(&format!("/api/v1/persons?q={}", phone(3))).await;
    assert!(found.text().contains(&name(3)), "{}", found.text());
    settle(&city.platform.jobs).await;

    let mut hidden = secrets(0..30);
    hidden.extend((0..9).map(|n| format!("平桥区五里镇新村{n}组")));
    hidden.extend(
        ["411503196001010000", "13907610041转8", "13907610042", "13607610001", "13607610002"]
            .map(String::from),
    );
    hidden.push("浉河区茶都路77号".to_owned());
    assert_hidden(&city, &hidden).await;

    // Those who may see it still do: the sender its issues and its own rows.
    let batch = receipt["batch"].as_i64().unwrap();
    let issues = his.get(&format!("/api/v1/batches/{batch}/issues.csv")).await.text();
    assert!(issues.contains("411503196001010000") && issues.contains("13907610042"), "{issues}");
}

/// What an earlier version left: every value plain, no blind index, nothing swept.
async fn as_before(city: &City) {
    // Whose a number is was not kept then.
    sqlx::query("update identity_record set own_blind = null, claim_blind = null")
        .execute(city.db.pool())
        .await
        .unwrap();
    let opener = city.db.keyring().opener();
    for part in city.platform.resealer.parts.iter().filter(|p| p.table != "fact_history") {
        for column in part.columns.iter().filter(|c| c.form == store::reseal::Form::Text) {
            let sql = format!("select ctid::text, {0} from {1} where {0} <> ''", column.name, part.table);
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(city.db.pool()).await.unwrap() {
                let plain = opener.text(&column.place, row.get(1)).unwrap().into_owned();
                let sql =
                    format!("update {} set {} = $2 where ctid = $1::text::tid", part.table, column.name);
                let place: String = row.get(0);
                sqlx::query(AssertSqlSafe(sql))
                    .bind(place)
                    .bind(plain)
                    .execute(city.db.pool())
                    .await
                    .unwrap();
            }
            if let Some((blind, _)) = column.blind {
                let sql = format!("update {} set {blind} = null", part.table);
                sqlx::query(AssertSqlSafe(sql)).execute(city.db.pool()).await.unwrap();
            }
        }
    }
    sqlx::query("delete from protect_sweep").execute(city.db.pool()).await.unwrap();
}

#[tokio::test]
async fn a_database_of_an_earlier_version_goes_on_and_is_encrypted() {
    let city = city().await;
    let mut his = city.program(0).await;
    let rows: Vec<String> = (0..30).map(|n| patient(n, &address(n))).collect();
    let csv = format!("{HEADINGS}\n{}\n", rows.join("\n"));
    his.upload("patient", "", csv.clone()).await.good();
    as_before(&city).await;
    assert!(dump(&city).await.iter().any(|(_, row)| row.contains(&phone(3))));

    // Meanwhile: found by number, linked to who is there, the same again is the same.
    let mut doctor = city.staff("doctor").await;
    let mut other = city.program(1).await;
    for wanted in [phone(3), citizen_of(3), "HC778800003".to_owned()] {
        let found = doctor.get(&format!("/api/v1/persons?q={wanted}")).await;
        assert!(found.text().contains(&name(3)), "{wanted}: {}", found.text());
    }
    assert_eq!(counts(&his.upload("patient", "", csv.clone()).await.good()), [30, 0, 30, 0, 0, 0]);
    other.upload("patient", "", csv.clone()).await.good();
    assert_eq!(
        city.count("select count(*) from person").await,
        30,
        "the second institution's are the same people"
    );

    assert!(city.platform.resealer.request_if_needed().await.unwrap());
    city.clock.advance(SETTLE);
    settle(&city.platform.jobs).await;
    assert_hidden(&city, &secrets(0..30)).await;
    for wanted in [phone(3), citizen_of(3), "HC7788-00003".to_owned()] {
        let found = doctor.get(&format!("/api/v1/persons?q={wanted}")).await;
        assert!(found.text().contains(&name(3)), "{wanted}: {}", found.text());
    }
    other.upload("patient", "", csv.clone()).await.good();
    assert_eq!(city.count("select count(*) from person").await, 30);
    let plain = "select count(*) from identity_record where phone_blind is null or citizen_blind is null";
    assert_eq!(city.count(plain).await, 0);

    // Another key takes over while uploads go on.
    let vault = &city.platform.vault;
    let old = vault.keyring().active(Domain::Facts).unwrap();
    for domain in [Domain::Identity, Domain::Facts] {
        vault.rotate(domain, kernel::Clock::now(&*city.clock)).await.unwrap();
    }
    his.upload("patient", "", csv.replace("柳河路", "柳河北路")).await.good();
    city.platform.resealer.request().await.unwrap();
    city.clock.advance(SETTLE);
    settle(&city.platform.jobs).await;
    let dump = dump(&city).await;
    let left: Vec<_> = dump.iter().filter(|(_, row)| row.contains(&format!("~{old}."))).collect();
    assert!(left.is_empty(), "{left:?}");
    let found = doctor.get(&format!("/api/v1/persons?q={}", phone(3))).await;
    assert!(found.text().contains(&name(3)), "{}", found.text());
}

#[tokio::test]
async fn a_receipt_carries_a_signature_that_tells_whether_it_was_altered() {
    use protect::Verdict::{Altered, Intact, UnknownKey};
    let city = city().await;
    let mut his = city.program(0).await;
    let rows: Vec<String> = (0..3).map(|n| patient(n, &address(n))).collect();
    let receipt = his.upload("patient", "", format!("{HEADINGS}\n{}\n", rows.join("\n"))).await.good();
    let ring = city.platform.vault.keyring();
    let check = |document: &serde_json::Value| {
        store::signature::check_document(document, &exchange::batch::SIGNED, |id| ring.public_key(id))
            .unwrap()
    };
    assert_eq!(check(&receipt), Intact);
    let nobody = |_: &str| None;
    let unknown = store::signature::check_document(&receipt, &exchange::batch::SIGNED, nobody).unwrap();
    assert_eq!(unknown, UnknownKey);
    for (key, value) in [
        ("batch", json!(77)),
        ("score", json!(100.0)),
        ("rows", json!({"received": 3, "stored": 300})),
        ("finished_at", json!("2020-01-01T00:00:00Z")),
        ("file_name", json!("other.csv")),
    ] {
        let mut altered = receipt.clone();
        altered[key] = value;
        // Whoever alters it may also claim that less was signed.
        altered["signature"]["covers"] = json!(["dataset"]);
        assert_eq!(check(&altered), Altered, "{key}");
    }
    let published = city.visitor().get("/api/v1/signing-keys").await.good();
    assert_eq!(published["keys"][0]["key_id"], receipt["signature"]["key_id"]);
    assert_eq!(published["keys"][0]["public_key"], receipt["signature"]["public_key"]);

    let page = format!("/batches/{}", receipt["batch"]);
    let mut engineer = city.staff("engineer").await;
    let shown = engineer.get(&page).await.text();
    assert!(shown.contains("完好") && !shown.contains("已被改动"), "{shown}");
    sqlx::query("update batch set rows_stored = 300").execute(city.db.pool()).await.unwrap();
    assert!(engineer.get(&page).await.text().contains("已被改动"));
}

#[tokio::test]
async fn an_extract_tells_cases_and_nobody() {
    let city = city().await;
    let mut his = city.program(0).await;
    let rows: Vec<String> = (0..40).map(|n| patient(n, &address(n))).collect();
    his.upload("patient", "", format!("{HEADINGS}\n{}\n", rows.join("\n"))).await.good();
    let visits: Vec<String> = (0..80)
        .map(|n| {
            crate::rows::visit(n, n % 40, 80)
                .replace("头晕", &format!("{}来诉，电话{}，头晕", name(n % 40), phone(n)))
        })
        .collect();
    his.upload("outpatient_visit", "", format!("{VISIT_HEADINGS}\n{}\n", visits.join("\n"))).await.good();

    let platform = &city.platform;
    let reach = kernel::Caller::system("命令行")
        .decide(exchange::extract::NEED, kernel::Purpose::of("statistics"))
        .unwrap();
    let asked = |project: &str, reason: &str| exchange::extract::Asked {
        dataset: platform.catalog.dataset("outpatient_visit").unwrap().clone(),
        project: project.to_owned(),
        reason: reason.to_owned(),
        from: "2025-05-01".parse().unwrap(),
        to: "2025-05-31".parse().unwrap(),
    };
    let make = async |project: &str| {
        let asked = asked(project, "课题 2025-17 号批复");
        exchange::extract::make(&platform.exchange, &reach, &asked, "extract.report").await.unwrap()
    };
    let first = make("高血压课题").await;
    // All were born in 1960 in one county: 20 women and 20 men.
    assert_eq!((first.report.rows, first.report.people, first.report.classes), (80, 40, 2));
    assert_eq!((first.report.k, first.report.suppressed_rows, first.report.l), (20, 0, Some(1)));
    assert_eq!(first.rows.len(), 80);
    let whole = first.rows.iter().flatten().cloned().collect::<Vec<_>>().join("\n");
    for n in 0..40 {
        for secret in [phone(n), citizen_of(n), name(n), format!("P{n:05}"), format!("V{n:07}")] {
            assert!(!whole.contains(&secret), "{secret}: {whole}");
        }
    }
    let at = |title: &str| {
        first.heads.iter().position(|h| h == title).unwrap_or_else(|| panic!("{:?}", first.heads))
    };
    let one = &first.rows[0];
    assert!(one[at("主诉")].contains("头晕"), "{one:?}");
    assert_eq!((one[at("出生年份")].as_str(), one[at("现住县（区）代码")].as_str()), ("1960", "411503"));
    assert_eq!(one[at("主要诊断代码")], "I10.x00");
    // Two visits of one person: the same pseudonym, dates as far apart as they were.
    let days = |row: &[String]| -> chrono::NaiveDateTime {
        chrono::NaiveDateTime::parse_from_str(&row[at("就诊日期时间")], "%Y-%m-%d %H:%M:%S").unwrap()
    };
    let own: Vec<&Vec<String>> = first.rows.iter().filter(|r| r[0] == one[0]).collect();
    assert_eq!(own.len(), 2);
    let day = |n: u32| i64::from(n % 13);
    assert_eq!((days(own[1]) - days(own[0])).num_days().abs(), (day(40) - day(0)).abs());

    // Another project cannot be joined with it; the same one can.
    let (again, other) = (make("高血压课题").await, make("糖尿病课题").await);
    let people = |e: &exchange::extract::Extract| -> std::collections::BTreeSet<String> {
        e.rows.iter().map(|r| r[0].clone()).collect()
    };
    assert_eq!(people(&first), people(&again));
    assert!(people(&first).is_disjoint(&people(&other)));
    for wrong in [asked("x", "课题批复"), asked("高血压课题", " ")] {
        assert!(exchange::extract::make(&platform.exchange, &reach, &wrong, "extract.report").await.is_err());
    }
    let told = "select count(*) from audit_entry where act = 'extract.report' and detail ->> 'project' = '高血压课题'
         and detail ->> 'reason' = '课题 2025-17 号批复'";
    assert_eq!(city.count(told).await, 2);

    let query = "dataset=outpatient_visit&project=k1&reason=r-2025-17&from=2025-05-01&to=2025-05-31";
    for (login, status) in [("doctor", 403), ("engineer", 403)] {
        let answer = city.staff(login).await.get(&format!("/extracts?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{login}: {}", answer.text());
    }
}
