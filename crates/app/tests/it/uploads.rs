//! A hospital's data engineer sends data, and what comes of it.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::city::{city, counts};
use crate::rows::{VISIT_HEADINGS, gb18030, gzip, patients, visit, visits};

#[tokio::test]
async fn the_same_rows_in_every_dress_are_the_same_rows() {
    let city = city().await;
    let mut his = city.program(0).await;
    let receipt = his.upload("patient", "", patients(0..20)).await.good();
    assert_eq!(counts(&receipt), [20, 20, 0, 0, 0, 0], "{receipt}");

    let plain = visits(0..30, 20, 80);
    let chinese = plain.replacen(
        VISIT_HEADINGS,
        "门诊就诊流水号,患者编号,患者姓名,患者类型代码,就诊日期时间,就诊科室名称,接诊医师姓名,主诉,主要诊断代码,主要诊断名称,\
         门诊费用金额,医保支付金额,个人承担费用",
        1,
    );
    let customary = plain.replacen(
        VISIT_HEADINGS,
        "JZLSH,CISID,HZXM,JZLX,JZKSRQ,JZKSMC,ZZYSXM,ZS,JZZDBM,JZZDSM,ZFY,YBZF,GRZF",
        1,
    );
    let receipt = his.upload("outpatient_visit", "file_name=visits.csv", plain.clone()).await.good();
    assert_eq!(counts(&receipt), [30, 30, 0, 0, 0, 0], "{receipt}");
    assert_eq!(
        (receipt["state"].as_str(), receipt["file_name"].as_str()),
        (Some("done"), Some("visits.csv"))
    );
    for (dress, body) in [
        ("again", plain.clone().into_bytes()),
        ("gzip", gzip(plain.as_bytes())),
        ("Chinese headings", chinese.clone().into_bytes()),
        ("customary headings", customary.into_bytes()),
        ("gb18030", gb18030(&chinese)),
        ("gb18030, gzip", gzip(&gb18030(&chinese))),
    ] {
        let receipt = his.upload("outpatient_visit", "", body).await.good();
        assert_eq!(counts(&receipt), [30, 0, 30, 0, 0, 0], "{dress}: {receipt}");
    }
    let receipt = his.upload("TB_YL_MZ_Medical_Record", "", plain).await.good();
    assert_eq!(counts(&receipt), [30, 0, 30, 0, 0, 0], "by the customary name: {receipt}");
    assert_eq!(city.count("select count(*) from fact_outpatient_visit").await, 30);
    assert_eq!(city.count("select count(*) from record_entry where timeline").await, 30);
    assert_eq!(city.count("select count(*) from fact_history").await, 0);
}

#[tokio::test]
async fn a_correction_replaces_and_a_withdrawal_removes_and_history_keeps_both() {
    let city = city().await;
    let mut his = city.program(0).await;
    his.upload("outpatient_visit", "", visits(0..3, 3, 80)).await.good();
    let receipt = his.upload("outpatient_visit", "", visits(0..3, 3, 80).replace("头晕2天", "头痛2天")).await;
    assert_eq!(counts(&receipt.good()), [3, 0, 2, 1, 0, 0]);
    let (version, old): (i32, String) = sqlx::query_as(
        "select f.version, h.content ->> 'chief_complaint' from fact_outpatient_visit f
         join fact_history h on h.fact_id = f.id and not h.withdrawn where f.visit_no = 'V0000001'",
    )
    .fetch_one(city.db.pool())
    .await
    .unwrap();
    assert_eq!((version, old.as_str()), (2, "头晕2天"));

    let withdrawal = format!("{VISIT_HEADINGS},revision_mark\n{},2\n", visit(1, 1, 80));
    let receipt = his.upload("outpatient_visit", "", withdrawal.clone()).await;
    assert_eq!(counts(&receipt.good()), [1, 0, 0, 0, 1, 0]);
    let receipt = his.upload("outpatient_visit", "", withdrawal).await;
    assert_eq!(counts(&receipt.good()), [1, 0, 1, 0, 0, 0], "withdrawn twice changes nothing");
    assert_eq!(city.count("select count(*) from fact_outpatient_visit").await, 2);
    assert_eq!(city.count("select count(*) from record_entry where timeline").await, 2);
    assert_eq!(city.count("select count(*) from fact_history where withdrawn").await, 1);
    assert_eq!(city.count("select count(*) from fact_history").await, 2);
}

#[tokio::test]
async fn a_bad_row_stops_no_good_one_unless_the_sender_wants_all_or_nothing() {
    let city = city().await;
    let mut his = city.program(0).await;
    let good = visits(0..6, 3, 80);
    // The third row has no visit number, the fifth no time that could be read.
    let bad = good.replace("V0000002", "").replace("2025-05-05 12:04:00", "上周四");
    let receipt = his.upload("outpatient_visit", "mode=all", bad.clone()).await;
    assert_eq!(receipt.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", receipt.text());
    let receipt = receipt.json();
    assert_eq!(counts(&receipt)[1..5], [0, 0, 0, 0], "{receipt}");
    let failure = receipt["failure"].as_str().unwrap();
    assert!(failure.contains("6 行中有 2 行不合格") && failure.contains("没有保存任何一行"), "{failure}");
    assert_eq!(city.count("select count(*) from fact_outpatient_visit").await, 0);
    assert_eq!(city.count("select count(*) from identity_record").await, 0);
    let issues = his.get(receipt["links"]["issues"].as_str().unwrap()).await.good();
    let listed: Vec<(i64, &str)> = issues["issues"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["rejected"] == true)
        .map(|i| (i["row"].as_i64().unwrap(), i["column"].as_str().unwrap()))
        .collect();
    assert_eq!(listed, [(3, "visit_no"), (5, "visit_time")], "{issues}");

    let receipt = his.upload("outpatient_visit", "", bad).await.good();
    assert_eq!(counts(&receipt), [6, 4, 0, 0, 0, 2], "{receipt}");
    let issues = his.get(receipt["links"]["issues"].as_str().unwrap()).await.good();
    let issue =
        issues["issues"].as_array().unwrap().iter().find(|i| i["row"] == 5 && i["rejected"] == true).unwrap();
    assert_eq!(issue["value"], "上周四", "{issue}");
    for part in ["title", "message", "hint"] {
        assert!(!issue[part].as_str().unwrap().is_empty(), "{part}: {issue}");
    }
    let receipt = his.upload("outpatient_visit", "mode=all", good).await.good();
    assert_eq!(counts(&receipt), [6, 2, 4, 0, 0, 0], "{receipt}");
}

#[tokio::test]
async fn an_institution_writes_and_sees_only_its_own() {
    let city = city().await;
    let (mut mine, mut other) = (city.program(0).await, city.program(2).await);
    let receipt =
        mine.upload("outpatient_visit", "", visits(0..3, 3, 80).replace("V0000002", "")).await.good();
    let links = receipt["links"].as_object().unwrap().values().filter_map(|l| l.as_str());
    for path in links.chain([format!("/api/v1/batches/{}/original", receipt["batch"]).as_str()]) {
        assert_eq!(other.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(mine.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(other.get("/api/v1/batches").await.good()["batches"].as_array().unwrap().len(), 0);
    assert_eq!(mine.get("/api/v1/batches").await.good()["batches"].as_array().unwrap().len(), 1);

    let query = format!("institution={}", crate::city::INSTITUTIONS[0][0]);
    let answer = other.upload("outpatient_visit", &query, visits(10..12, 3, 80)).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (StatusCode::NOT_FOUND, "institution.unknown"));
    let answer = mine.upload("outpatient_visit", &query, visits(10..12, 3, 80)).await;
    assert_eq!(counts(&answer.good()), [2, 2, 0, 0, 0, 0]);
    // The same numbers from another institution are other facts of other patients.
    let answer = other.upload("outpatient_visit", "", visits(0..2, 3, 80)).await;
    assert_eq!(counts(&answer.good()), [2, 2, 0, 0, 0, 0]);
    assert_eq!(city.count("select count(distinct institution_id) from identity_record").await, 2);
}

#[tokio::test]
async fn a_repeated_request_gives_the_first_receipt() {
    let city = city().await;
    let (mut his, mut other) = (city.program(0).await, city.program(2).await);
    let send = async |program: &mut crate::city::Browser, body: String| {
        let request = Request::post("/api/v1/datasets/outpatient_visit/batches")
            .header("idempotency-key", "2025-05-15/1");
        program.send(request, Body::from(body)).await.good()
    };
    let first = send(&mut his, visits(0..3, 3, 80)).await;
    let again = send(&mut his, visits(0..9, 3, 99)).await;
    assert_eq!((&first, city.count("select count(*) from fact_outpatient_visit").await), (&again, 3));
    let theirs = send(&mut other, visits(0..2, 3, 80)).await;
    assert_ne!(first["batch"], theirs["batch"], "a key belongs to its institution");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let city = city().await;
    let mut his = city.program(0).await;
    // Another writer of the same data set holds the lock: nothing accepted can be finished.
    let dataset = city.platform.catalog.dataset("outpatient_visit").unwrap().number;
    let mut held = city.db.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock($1, $2)")
        .bind(city.institutions[0].get() as i32)
        .bind(i32::from(dataset))
        .execute(&mut *held)
        .await
        .unwrap();
    let mut accepted: u32 = 0;
    let answer = loop {
        let n = accepted;
        let answer = his.upload("outpatient_visit", "wait=false", visits(n..n + 1, 3, 80)).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 200, "no limit");
    };
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| (1..=60).contains(&s)));
    assert!(answer.error().1.contains("没有被接收"), "{}", answer.text());
    assert_eq!(city.count("select count(*) from batch").await, i64::from(accepted));
    held.rollback().await.unwrap();
    let done = async || city.count("select count(*) from batch where state = 'done'").await;
    crate::city::until("all are done", async || done().await == i64::from(accepted)).await;
    assert_eq!(city.count("select count(*) from fact_outpatient_visit").await, i64::from(accepted));
    let answer = his.upload("outpatient_visit", "", visits(500..501, 3, 80)).await;
    assert_eq!(counts(&answer.good()), [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn the_same_new_patient_from_two_institutions_at_once_is_one_person() {
    let city = city().await;
    let (one, two) = (city.program(0).await, city.program(2).await);
    // In opposite orders, so that the two meet in the middle.
    let forward = patients(0..60);
    let mut lines: Vec<&str> = forward.lines().skip(1).collect();
    lines.reverse();
    let backward = format!("{}\n{}\n", forward.lines().next().unwrap(), lines.join("\n"));
    for round in 0..3 {
        let (mut one, mut two) = (one.clone(), two.clone());
        let (a, b) = tokio::join!(
            one.upload("patient", "", forward.clone()),
            two.upload("patient", "", backward.clone())
        );
        let stored = if round == 0 { [60, 60, 0, 0, 0, 0] } else { [60, 0, 60, 0, 0, 0] };
        assert_eq!((counts(&a.good()), counts(&b.good())), (stored, stored));
    }
    assert_eq!(city.count("select count(*) from identity_record").await, 120);
    assert_eq!(city.count("select count(distinct person_id) from identity_record").await, 60);
    assert_eq!(
        city.count("select count(*) from person p where not exists (select from identity_record i where i.person_id = p.id)").await,
        0,
        "nobody is left without a record"
    );
}

#[tokio::test]
async fn exports_are_safe_to_open_in_a_spreadsheet() {
    let city = city().await;
    let mut his = city.program(0).await;
    let attack = r#"=HYPERLINK(""http://evil"",""点"")"#;
    let body = format!(
        "{VISIT_HEADINGS}\n\"{attack}\",P1,@SUM(1),1,-2+3+cmd|'/c calc'!A0,+86,全科,头晕,I10,高血压,x,0,0\n"
    );
    let receipt = his.upload("outpatient_visit", "", body).await.good();
    for link in ["issues_csv", "repair_csv"] {
        let csv = his.get(receipt["links"][link].as_str().unwrap()).await;
        assert_eq!(csv.status, StatusCode::OK);
        let text = csv.text();
        let mut reader = csv_cells(&text);
        assert!(reader.any(|cell| cell.contains("cmd|")), "{text}");
        for cell in csv_cells(&text) {
            // A plain number with its sign stays a number.
            let number = cell.parse::<f64>().is_ok();
            assert!(number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{link}: {cell}");
        }
    }
}

fn csv_cells(text: &str) -> impl Iterator<Item = String> {
    let text = text.trim_start_matches('\u{feff}').to_owned();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(std::io::Cursor::new(text));
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    records.into_iter().flat_map(|r| r.iter().map(str::to_owned).collect::<Vec<_>>())
}
