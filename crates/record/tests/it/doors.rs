//! Who may open whose record: reach, care, purpose, audit.

use axum::http::StatusCode;
use chrono::TimeDelta;

use crate::browser::{get, part, post};
use crate::city::{City, city};
use crate::people::{LI, WANG, ZHANG, ZHAO};

async fn audit(city: &City) -> Vec<(String, i64, String, String, String, String)> {
    sqlx::query_as("select act, person_id, object_label, purpose, note, outcome from audit_entry order by id")
        .fetch_all(city.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn reach_and_care_decide_what_is_shown() {
    let city = city().await;
    city.seed_zhang().await;
    // Caller, person, status, whether content is shown.
    for (who, person, status, shown) in [
        ("township", ZHANG, StatusCode::OK, true),
        ("hospital", ZHANG, StatusCode::OK, true),
        ("workstation", ZHANG, StatusCode::OK, true),
        // Address unknown, registered at an institution in reach, not at the caller's own.
        ("township", LI, StatusCode::OK, false),
        ("hospital", LI, StatusCode::OK, true),
        // Of another city.
        ("township", WANG, StatusCode::NOT_FOUND, false),
        // Of another county of the city.
        ("township", ZHAO, StatusCode::OK, false),
        // A right that reaches one institution: its own patients only.
        ("own", ZHAO, StatusCode::OK, true),
        ("own", ZHANG, StatusCode::NOT_FOUND, false),
        ("own", LI, StatusCode::NOT_FOUND, false),
        // No clinical right; nobody; no such person.
        ("manager", ZHANG, StatusCode::FORBIDDEN, false),
        ("township", 99, StatusCode::NOT_FOUND, false),
    ] {
        for path in ["", "?tab=laboratory", "/print", "/result?item=1558-6"] {
            // A signed link opens the embedded pages and nothing beside them.
            let root = if who == "workstation" { "/embed" } else { "" };
            let answer = get(&city, who, &format!("{root}/record/{person}{path}")).await;
            assert_eq!(answer.status, status, "{who} {person} {path}");
            let asked = answer.body.contains("填写使用目的");
            assert_eq!(asked, status == StatusCode::OK && !shown, "{who} {person} {path}");
            if !shown {
                answer.lacks(&["张建国", "李秀兰", "王外乡", "赵长命", "青霉素"]);
            }
        }
    }
    for path in ["/record/x", "/record/-1", "/record/1/event/nothing/1", "/record/1/event/patient/1"] {
        assert_eq!(get(&city, "township", path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_purpose_opens_the_record_for_two_hours_and_is_in_the_audit_trail() {
    let city = city().await;
    city.write(
        "outpatient_visit",
        1,
        21,
        &[("visit_no", "V1"), ("visit_time", "2025-05-01 08:00"), ("department_name", "妇产科")],
    )
    .await;
    let page = format!("/record/{LI}");
    let form = format!("{page}/purpose");
    get(&city, "township", &format!("{page}?tab=visit"))
        .await
        .has(&["李**", "女", "填写使用目的"])
        .lacks(&["妇产科"]);

    let bad = post(&city, "township", &form, &[("code", "emergency"), ("note", "")]).await;
    assert_eq!(bad.status, StatusCode::OK);
    bad.has(&["请填写事由"]).lacks(&["妇产科"]);

    let good = post(
        &city,
        "township",
        &form,
        &[("code", "emergency"), ("note", "昏迷送入急诊"), ("back", "/record/2?tab=visit")],
    )
    .await;
    assert_eq!((good.status, good.location.as_str()), (StatusCode::SEE_OTHER, "/record/2?tab=visit"));
    get(&city, "township", &page).await.has(&["李秀兰", "妇产科"]);
    // It opens the door to nobody else, and to no other person.
    get(&city, "township", &format!("/record/{ZHAO}")).await.has(&["填写使用目的"]);
    // Nor beyond the reach.
    let beyond = post(
        &city,
        "township",
        &format!("/record/{WANG}/purpose"),
        &[("code", "care"), ("note", "会诊病人")],
    )
    .await;
    assert_eq!(beyond.status, StatusCode::NOT_FOUND);

    city.clock.advance(TimeDelta::minutes(121));
    get(&city, "township", &page).await.has(&["填写使用目的"]);

    let trail = audit(&city).await;
    let short: Vec<String> = trail
        .iter()
        .map(|(act, person, _, purpose, note, outcome)| format!("{act} {person} {purpose} {note} {outcome}"))
        .collect();
    assert_eq!(
        short,
        [
            "record.view 2 care  purpose_needed",
            "record.view 2 care  purpose_needed",
            "record.purpose 2 emergency 昏迷送入急诊 ok",
            "record.view 2 emergency 昏迷送入急诊 ok",
            "record.view 4 care  purpose_needed",
            "record.view 2 care  purpose_needed",
        ]
    );
    assert!(trail.iter().all(|(_, person, label, ..)| (*person == LI) == (label == "李秀兰")));
}

#[tokio::test]
async fn an_event_belongs_to_its_person_and_every_look_is_written() {
    let city = city().await;
    let fact = city
        .write(
            "outpatient_visit",
            2,
            12,
            &[("visit_no", "V1"), ("visit_time", "2025-05-01 08:00"), ("doctor_name", "王秀英")],
        )
        .await
        .unwrap();
    let other = city
        .write("outpatient_visit", 3, 41, &[("visit_no", "V1"), ("visit_time", "2025-05-01 08:00")])
        .await
        .unwrap();
    part(&city, "township", &format!("/record/{ZHANG}/event/outpatient_visit/{fact}"))
        .await
        .has(&["王秀英"])
        .lacks(&["<html"]);
    // Somebody else's fact under this person's address.
    let wrong = get(&city, "township", &format!("/record/{ZHANG}/event/outpatient_visit/{other}")).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    get(&city, "township", &format!("/record/{ZHANG}/print")).await;
    let acts: Vec<String> = audit(&city).await.into_iter().map(|entry| entry.0).collect();
    assert_eq!(acts, ["record.event", "record.print"]);
}
