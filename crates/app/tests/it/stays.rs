//! Stays that two hospitals in two cities upload for one person end up on the list of people who look wrong.

use axum::http::StatusCode;
use contracts::{Institutions, NewInstitution};
use identity::{NewAccount, Persona};
use kernel::RegionCode;

use crate::city::{PASSWORD, city};
use crate::rows::patients;

#[tokio::test]
async fn who_lies_in_two_cities_in_one_night_is_listed() {
    let mut city = city().await;
    let away = NewInstitution {
        code: "12410100MB1A00004X".to_owned(),
        name: "郑州医院（虚构）".to_owned(),
        class: "A100".to_owned(),
        sender_class: "hospital".to_owned(),
        region: RegionCode::parse("410105").unwrap(),
        invented: true,
    };
    let away = city.platform.directory.register(away).await.unwrap();
    city.institutions.push(away);
    let stays = |from: &str, until: &str| {
        format!("stay_no,patient_no,admitted_at,discharged_at\nS1,P00000,{from} 09:00:00,{until} 10:00:00\n")
    };
    for (institution, from, until) in [(0, "2025-05-01", "2025-05-08"), (3, "2025-05-05", "2025-05-09")] {
        let mut his = city.program(institution).await;
        his.upload("patient", "", patients(0..2)).await.good();
        his.upload("inpatient_stay", "", stays(from, until)).await.good();
    }
    let found = city.platform.person.look(city.platform.now()).await.unwrap();
    assert_eq!(found.new, 1);

    let account = NewAccount {
        login: "suoyin".to_owned(),
        name: "索主管".to_owned(),
        staff_no: "suoyin-1".to_owned(),
        role: "index_supervisor".to_owned(),
        institution: None,
        region: RegionCode::parse("4115").unwrap(),
    };
    let persona = Persona { account, password: PASSWORD.to_owned() };
    city.platform.identity.ensure_persona(&persona).await.unwrap();
    let mut browser = city.visitor();
    let answer = browser.form("/sign-in", &[("login", "suoyin"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let page = browser.get("/index/suspects?kind=two_places").await.text();
    for words in [
        "同时住院两地",
        "平桥县医院（虚构） 2025-05-01 至 2025-05-08",
        "郑州医院（虚构） 2025-05-05 至 2025-05-09",
    ] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    let csv = browser.get("/index/suspects.csv?kind=two_places").await.text();
    assert!(csv.contains("郑州医院（虚构） 2025-05-05 至 2025-05-09"), "{csv}");
    // The hospital corrects the day: it was a transfer, and the suspicion is gone.
    let corrected =
        stays("2025-05-01", "2025-05-05").replace("discharged_at\n", "discharged_at,revision_mark\n");
    let corrected = corrected.replace("10:00:00\n", "10:00:00,1\n");
    city.program(0).await.upload("inpatient_stay", "", corrected).await.good();
    let later = city.platform.now() + chrono::Duration::days(1);
    assert_eq!(city.platform.person.look(later).await.unwrap().gone, 1);
    let page = browser.get("/index/suspects?kind=two_places").await.text();
    assert!(page.contains("没有可疑的人员"), "{page}");
}
