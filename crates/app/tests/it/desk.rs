//! What staff see: the doctor with a purpose, the administrator of one county, and the audit trail of both.

use axum::http::StatusCode;

use crate::city::{City, city, counts};
use crate::rows::{citizen_of, name, patients, visits};

async fn person_of(city: &City, local_no: &str) -> i64 {
    sqlx::query_scalar("select person_id from identity_record where local_no = $1")
        .bind(local_no)
        .fetch_one(city.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_doctor_finds_the_patient_says_why_and_reads_the_record() {
    let city = city().await;
    let mut his = city.program(0).await;
    his.upload("patient", "", patients(0..3)).await.good();
    let began = std::time::Instant::now();
    his.upload("outpatient_visit", "", visits(0..6, 3, 80)).await.good();
    let mut doctor = city.staff("doctor").await;
    let found = doctor.get(&format!("/persons?q={}", citizen_of(1))).await;
    let person = person_of(&city, "P00001").await;
    let record = format!("/record/{person}");
    assert!(found.text().contains(&record), "{}", found.text());

    let asked = doctor.get(&record).await;
    assert!(asked.text().contains("填写使用目的"), "not in care: {}", asked.text());
    assert!(
        !asked.text().contains("全科门诊") && !asked.text().contains(&name(1)),
        "nothing is shown before"
    );
    let refused = doctor.form(&format!("{record}/purpose"), &[("code", "consultation"), ("note", "")]).await;
    assert!(refused.text().contains("请填写事由"));
    let given = [("code", "consultation"), ("note", "外院转来会诊"), ("back", record.as_str())];
    let answer = doctor.form(&format!("{record}/purpose"), &given).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, record.as_str()));
    let page = doctor.get(&record).await;
    assert_eq!(page.status, StatusCode::OK);
    for part in ["全科门诊", "平桥县医院", &name(1)] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    eprintln!("from upload to the open record: {} ms (debug build)", began.elapsed().as_millis());
    let citizen = citizen_of(1);
    assert!(!page.text().contains(&citizen), "the credential is masked");

    let (who, why, note, whom): (String, String, String, Option<i64>) = sqlx::query_as(
        "select actor, purpose, note, person_id from audit_entry where act = 'record.view'
         order by id desc limit 1",
    )
    .fetch_one(city.db.pool())
    .await
    .unwrap();
    assert_eq!(
        (who.as_str(), why.as_str(), note.as_str(), whom),
        ("王丽华", "consultation", "外院转来会诊", Some(person))
    );
    // A purpose holds for two hours, a session for half an hour without a request.
    city.clock.advance(chrono::TimeDelta::minutes(31));
    assert!(doctor.get(&record).await.header("location").starts_with("/sign-in?next="));
    let mut doctor = city.staff("doctor").await;
    assert!(doctor.get(&record).await.text().contains("全科门诊"));
    city.clock.advance(chrono::TimeDelta::minutes(100));
    let mut doctor = city.staff("doctor").await;
    assert!(doctor.get(&record).await.text().contains("填写使用目的"));

    let mut auditor = city.staff("auditor").await;
    let trail = auditor.get("/audit").await;
    assert_eq!(trail.status, StatusCode::OK);
    for part in ["王丽华", "外院转来会诊"] {
        assert!(trail.text().contains(part), "{part}");
    }
    assert_eq!(auditor.get(&record).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_was_withdrawn_is_gone_from_the_page() {
    let city = city().await;
    let mut township = city.program(1).await;
    township.upload("patient", "", patients(0..2)).await.good();
    township.upload("outpatient_visit", "", visits(0..4, 2, 80)).await.good();
    let mut doctor = city.staff("doctor").await;
    let record = format!("/record/{}", person_of(&city, "P00001").await);
    let page = doctor.get(&record).await.text();
    assert!(page.contains("头晕4天"), "in care, no purpose is asked: {page}");
    let gone = visits(3..4, 2, 80).replacen("personal_fee\n", "personal_fee,revision_mark\n", 1);
    let gone = format!("{},2\n", gone.trim_end());
    let receipt = township.upload("outpatient_visit", "", gone).await.good();
    assert_eq!(counts(&receipt), [1, 0, 0, 0, 1, 0], "{receipt}");
    let page = doctor.get(&record).await.text();
    assert!(!page.contains("头晕4天") && page.contains("头晕2天"), "{page}");
}

#[tokio::test]
async fn an_administrator_sees_the_own_county_and_no_clinical_content() {
    let city = city().await;
    let (mut here, mut there) = (city.program(0).await, city.program(2).await);
    let mine = here.upload("outpatient_visit", "", visits(0..3, 3, 80)).await.good();
    let theirs = there.upload("outpatient_visit", "", visits(0..3, 3, 80)).await.good();
    let (mine, theirs) = (mine["batch"].as_i64().unwrap(), theirs["batch"].as_i64().unwrap());
    let mut county = city.staff("county").await;
    for (batch, status) in [(mine, StatusCode::OK), (theirs, StatusCode::NOT_FOUND)] {
        for path in [format!("/batches/{batch}"), format!("/api/v1/batches/{batch}/issues.csv")] {
            assert_eq!(county.get(&path).await.status, status, "{path}");
        }
    }
    let month = "2025-05";
    for path in ["/batches".to_owned(), "/quality".to_owned(), format!("/quality/ranking?month={month}")] {
        let page = county.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.text().contains("浉河医院"), "{path} shows another county");
    }
    assert!(county.get("/batches").await.text().contains("平桥县医院"));
    let page = city.staff("city").await.get("/batches").await.text();
    assert!(page.contains("浉河医院") && page.contains("平桥县医院"), "the city sees both");

    let person = person_of(&city, "P00001").await;
    for login in ["county", "city", "engineer", "operator"] {
        let answer = city.staff(login).await.get(&format!("/record/{person}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{login}");
        assert!(answer.text().contains("医疗服务") && !answer.text().contains("全科门诊"), "{login}");
    }
    assert_eq!(city.count("select count(*) from audit_entry where act = 'record.view'").await, 0);
}
