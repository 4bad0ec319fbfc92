//! What programs of institutions ask: what changed.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use kernel::access::InstitutionId;
use kernel::{Act, Caller, CallerKind, Grant, Line, Span};
use person::interface::{Interface, routes};
use serde_json::{Value, json};
use testkit::TestDb;
use tower::ServiceExt;

use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

fn program(institution: InstitutionId) -> Caller {
    let span = Span::Institution(institution);
    Caller {
        kind: CallerKind::Client,
        grants: vec![Grant { line: Line::Exchange, act: Act::Read, span }],
        institution: Some(institution),
        ..Caller::system("程序")
    }
}

fn app(db: &TestDb) -> Router {
    let interface = Interface {
        index: Arc::new(person::MasterIndex::new(db.db().clone())),
        db: db.db().clone(),
        institutions: Arc::new(Two),
        clock: testkit::clock(),
    };
    routes(interface).into_router()
}

/// Waits for the transactions of other tests on the same server that hold the feed back.
pub async fn settled(db: &TestDb) {
    loop {
        let settled: bool = sqlx::query_scalar(
            "select pg_snapshot_xmin(pg_current_snapshot()) > (select max(xid) from identity_event)",
        )
        .fetch_one(db.pool())
        .await
        .unwrap();
        if settled {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn get(app: &Router, institution: InstitutionId, path: &str) -> (StatusCode, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    send(app, program(institution), request).await
}

async fn post(app: &Router, caller: Caller, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(path).header("content-type", "application/json");
    send(app, caller, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn send(app: &Router, caller: Caller, mut request: Request<Body>) -> (StatusCode, Value) {
    request.extensions_mut().insert(Arc::new(caller));
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// 李四 at both institutions, 张伟 at the county hospital alone.
async fn people() -> TestDb {
    let (db, index) = city().await;
    let li = |local: &str| registration(local, "李四", "2", "1990-01-01", &number("1990-01-01", 2));
    let zhang = registration("H1", "张伟", "1", "1965-03-08", &number("1965-03-08", 1));
    link(&db, &index, COUNTY_HOSPITAL, &[zhang, li("H4")]).await.unwrap();
    link(&db, &index, TOWNSHIP, &[li("T2")]).await.unwrap();
    db
}

#[tokio::test]
async fn the_feed_goes_on_from_where_one_was() {
    let db = people().await;
    let app = app(&db);
    let path = "/api/v1/identity-changes";
    settled(&db).await;
    let (status, first) = get(&app, TOWNSHIP, &format!("{path}?limit=1")).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    // 张伟 concerns the hospital alone; 李四 both, as a record of hers is theirs.
    let locals = |feed: &Value| -> Vec<String> {
        feed["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["local_no"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((locals(&first), first["more"].as_bool()), (vec!["H4".to_owned()], Some(true)));
    let next = first["next"].as_str().unwrap();
    let (_, second) = get(&app, TOWNSHIP, &format!("{path}?after={next}")).await;
    assert_eq!((locals(&second), second["more"].as_bool()), (vec!["T2".to_owned()], Some(false)));
    let next = second["next"].as_str().unwrap();
    let (_, last) = get(&app, TOWNSHIP, &format!("{path}?after={next}")).await;
    assert_eq!((locals(&last), last["next"].as_str()), (vec![], Some(next)));
    assert_eq!(locals(&get(&app, COUNTY_HOSPITAL, path).await.1).len(), 3);
    assert_eq!(
        get(&app, TOWNSHIP, &format!("{path}?after=yesterday")).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

/// What commits late is not passed over: a transaction that drew its place first and ends last comes after all.
#[tokio::test]
async fn a_late_commit_is_not_passed_over() {
    let db = people().await;
    let app = app(&db);
    let path = "/api/v1/identity-changes";
    settled(&db).await;
    let (_, all) = get(&app, COUNTY_HOSPITAL, path).await;
    let next = all["next"].as_str().unwrap();
    let index = person::MasterIndex::new(db.db().clone());
    let slow = registration("H8", "赵六", "1", "1970-01-01", "");
    let quick = registration("H9", "孙七", "1", "1971-01-01", "");
    db.db()
        .transaction(async |tx| {
            contracts::Linker::link(
                &index,
                tx,
                COUNTY_HOSPITAL,
                &[slow],
                7,
                kernel::Clock::now(&*testkit::clock()),
            )
            .await?;
            link(&db, &index, COUNTY_HOSPITAL, &[quick]).await?;
            let (_, during) = get(&app, COUNTY_HOSPITAL, &format!("{path}?after={next}")).await;
            assert_eq!(
                during["next"].as_str(),
                Some(next),
                "nothing may be given out past one that still runs"
            );
            Ok(())
        })
        .await
        .unwrap();
    settled(&db).await;
    let (_, after) = get(&app, COUNTY_HOSPITAL, &format!("{path}?after={next}")).await;
    assert_eq!(after["changes"].as_array().unwrap().len(), 2);
}

/// Two persons become one by `$merge`, the old number leads on, and the operation is taken back by its number.
#[tokio::test]
async fn a_merge_by_a_program_is_undone_by_its_number() {
    let db = people().await;
    let app = app(&db);
    let person = async |local_no: &str| -> i64 {
        sqlx::query_scalar("select person_id from identity_record where local_no = $1")
            .bind(local_no)
            .fetch_one(db.pool())
            .await
            .unwrap()
    };
    let index = person::MasterIndex::new(db.db().clone());
    let child = registration("H7", "张小伟", "1", "2015-03-08", "");
    link(&db, &index, COUNTY_HOSPITAL, &[child]).await.unwrap();
    let (zhang, child) = (person("H1").await, person("H7").await);
    assert_ne!(zhang, child);
    let steward = |code: &str| {
        let span = Span::Region(kernel::RegionCode::parse(code).unwrap());
        Caller { grants: vec![Grant { line: Line::PersonIndex, act: Act::Write, span }], ..program(TOWNSHIP) }
    };
    let ask = |reason: &str| {
        json!({ "resourceType": "Parameters", "parameter": [
            { "name": "source-patient", "valueReference": { "reference": format!("Patient/{child}") } },
            { "name": "target-patient", "valueReference": { "reference": format!("Patient/{zhang}") } },
            { "name": "reason", "valueString": reason },
        ] })
    };
    let path = "/fhir/Patient/$merge";
    assert_eq!(post(&app, program(COUNTY_HOSPITAL), path, ask("同一人")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(post(&app, steward("4115"), path, ask("")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(&app, steward("42"), path, ask("同一人")).await.0, StatusCode::NOT_FOUND);
    // First what would happen: the same refusals, the patient as it would be, and nothing done.
    let foresee = |from: i64, into: i64| {
        json!({ "resourceType": "Parameters", "parameter": [
            { "name": "source-patient", "valueReference": { "reference": format!("Patient/{from}") } },
            { "name": "target-patient", "valueReference": { "reference": format!("Patient/{into}") } },
            { "name": "preview", "valueBoolean": true },
        ] })
    };
    let counts = async || -> (i64, i64, i64) {
        sqlx::query_as(
            "select (select count(*) from person_operation), (select count(*) from identity_event),
                    (select count(*) from outbox)",
        )
        .fetch_one(db.pool())
        .await
        .unwrap()
    };
    let before = counts().await;
    assert_eq!(post(&app, program(TOWNSHIP), path, foresee(child, zhang)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(post(&app, steward("42"), path, foresee(child, zhang)).await.0, StatusCode::NOT_FOUND);
    let same = post(&app, steward("4115"), path, foresee(zhang, zhang)).await;
    assert_eq!(same.0, StatusCode::UNPROCESSABLE_ENTITY);
    let li = person("H4").await;
    let (status, two) = post(&app, steward("4115"), path, foresee(li, zhang)).await;
    assert!(status.is_client_error(), "two citizen numbers: {two}");
    let (status, seen) = post(&app, steward("4115"), path, foresee(child, zhang)).await;
    assert_eq!(status, StatusCode::OK, "{seen}");
    let patient = &seen["parameter"][1]["resource"];
    assert_eq!(patient["id"], zhang.to_string());
    assert_eq!(patient["link"][0]["other"]["reference"], format!("Patient/{child}"));
    let numbers: Vec<&str> =
        patient["identifier"].as_array().unwrap().iter().filter_map(|i| i["value"].as_str()).collect();
    assert!(numbers.contains(&"H1") && numbers.contains(&"H7"), "{numbers:?}");
    assert!(numbers[0].contains('*'), "the citizen number is masked: {numbers:?}");
    assert!(
        seen["parameter"][0]["resource"]["issue"][0]["diagnostics"].as_str().unwrap().contains("1 条登记")
    );
    assert_eq!((person("H7").await, counts().await), (child, before), "nothing was done");
    let acts: Vec<String> = sqlx::query_scalar("select act from audit_entry order by id desc limit 1")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(acts, ["person.merge_preview"]);
    let (status, done) = post(&app, steward("4115"), path, ask("同一人，家长登记的小名")).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(done["parameter"][1]["valueReference"]["reference"], format!("Patient/{zhang}"));
    assert_eq!(person("H7").await, zhang);
    let name: String = sqlx::query_scalar("select name from person where id = $1")
        .bind(zhang)
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(patient["name"][0]["text"], name, "as it was foretold");
    let undo = format!("/api/v1/index/operations/{}/undo", done["parameter"][2]["valueInteger"]);
    let (status, undone) = post(&app, steward("4115"), &undo, json!({ "reason": "看错了" })).await;
    assert_eq!((status, undone["moved"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{undone}");
    assert_eq!(person("H7").await, child);
    let order = json!({ "kind": "merge", "into": zhang, "from": child, "reason": "同一人" });
    let (status, done) = post(&app, steward("4115"), "/api/v1/index/operations", order).await;
    assert_eq!((status, done["person"].as_i64()), (StatusCode::OK, Some(zhang)), "{done}");
}

/// `result-patient` chooses among what the registrations of both say, in the one operation that its undo takes back whole.
#[tokio::test]
async fn a_merge_shows_the_person_as_wished_or_is_refused() {
    let db = people().await;
    let app = app(&db);
    let index = person::MasterIndex::new(db.db().clone());
    let child = contracts::Demographics {
        phone: "13900001111".into(),
        ..registration("H7", "张小伟", "1", "2015-03-08", "")
    };
    link(&db, &index, COUNTY_HOSPITAL, &[child]).await.unwrap();
    let person = async |local_no: &str| -> i64 {
        sqlx::query_scalar("select person_id from identity_record where local_no = $1")
            .bind(local_no)
            .fetch_one(db.pool())
            .await
            .unwrap()
    };
    let (zhang, child) = (person("H1").await, person("H7").await);
    let steward = |code: &str| {
        let span = Span::Region(kernel::RegionCode::parse(code).unwrap());
        Caller { grants: vec![Grant { line: Line::PersonIndex, act: Act::Write, span }], ..program(TOWNSHIP) }
    };
    let ask = |preview: bool, wished: Value| {
        let mut patient = json!({
            "resourceType": "Patient", "id": zhang.to_string(),
            "link": [{ "type": "replaces", "other": { "reference": format!("Patient/{child}") } }],
        });
        patient.as_object_mut().unwrap().extend(wished.as_object().unwrap().clone());
        json!({ "resourceType": "Parameters", "parameter": [
            { "name": "source-patient", "valueReference": { "reference": format!("Patient/{child}") } },
            { "name": "target-patient", "valueReference": { "reference": format!("Patient/{zhang}") } },
            { "name": "reason", "valueString": "家长登记的小名" },
            { "name": "preview", "valueBoolean": preview },
            { "name": "result-patient", "resource": patient },
        ] })
    };
    let path = "/fhir/Patient/$merge";
    let shown = async || -> (String, Option<chrono::NaiveDate>) {
        sqlx::query_as("select name, birth_date from person where id = $1")
            .bind(zhang)
            .fetch_one(db.pool())
            .await
            .unwrap()
    };
    let before = shown().await;
    let number = number("1965-03-08", 1);
    let local = |no: &str| json!({ "system": "urn:minkang:patient-no:1", "value": no });
    for wished in [
        json!({ "name": [{ "text": "张三" }] }),
        json!({ "birthDate": "2015-03-09" }),
        json!({ "identifier": [local("H9")] }),
        json!({ "identifier": [{ "system": "urn:oid:2.16.156.10011.1.3", "value": "1" }] }),
        json!({ "maritalStatus": {} }),
    ] {
        for preview in [true, false] {
            let (status, _) = post(&app, steward("4115"), path, ask(preview, wished.clone())).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wished}");
        }
        // Whoever cannot see the two learns nothing of what their registrations say.
        let (status, _) = post(&app, steward("42"), path, ask(false, wished.clone())).await;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY));
    }
    let (status, _) =
        post(&app, steward("42"), path, ask(false, json!({ "name": [{ "text": "张三" }] }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!((person("H7").await, shown().await), (child, before.clone()));

    // By itself the platform would show the newer name.
    let (_, seen) = post(&app, steward("4115"), path, ask(true, json!({}))).await;
    assert_eq!(seen["parameter"][1]["resource"]["name"][0]["text"], "张小伟");
    let wished = json!({
        "name": [{ "text": "张伟" }],
        "birthDate": "1965-03-08",
        "gender": "male",
        "telecom": [{ "system": "phone", "value": "13900001111" }],
        "identifier": [{ "system": "urn:oid:2.16.156.10011.1.3", "value": number }, local("H1"), local("H7")],
    });
    let (status, seen) = post(&app, steward("4115"), path, ask(true, wished.clone())).await;
    assert_eq!(status, StatusCode::OK, "{seen}");
    assert_eq!(seen["parameter"][1]["resource"]["name"][0]["text"], "张伟");
    assert_eq!((person("H7").await, shown().await), (child, before.clone()), "nothing was done");
    let (status, done) = post(&app, steward("4115"), path, ask(false, wished)).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!((person("H7").await, shown().await), (zhang, before.clone()));
    let pins: Vec<String> =
        sqlx::query_scalar("select field from person_pin").fetch_all(db.pool()).await.unwrap();
    assert_eq!(pins, ["name"], "only what would have been shown otherwise");
    let operations: i64 =
        sqlx::query_scalar("select count(*) from person_operation").fetch_one(db.pool()).await.unwrap();
    assert_eq!(operations, 1);
    let undo = format!("/api/v1/index/operations/{}/undo", done["parameter"][2]["valueInteger"]);
    let (status, undone) = post(&app, steward("4115"), &undo, json!({ "reason": "看错了" })).await;
    assert_eq!(status, StatusCode::OK, "{undone}");
    assert_eq!((person("H7").await, shown().await), (child, before));
    let pins: i64 = sqlx::query_scalar("select count(*) from person_pin").fetch_one(db.pool()).await.unwrap();
    assert_eq!(pins, 0);

    // What somebody else registered is found out by nobody who cannot see it.
    let elsewhere = contracts::Demographics {
        phone: "13700002222".into(),
        ..registration("T1", "张伟", "1", "1965-03-08", &number)
    };
    link(&db, &index, TOWNSHIP, std::slice::from_ref(&elsewhere)).await.unwrap();
    // Two say another number, so that the township's is not the one that is shown.
    for local_no in ["H8", "H9"] {
        let again = contracts::Demographics {
            local_no: local_no.into(),
            phone: "13900001111".into(),
            ..elsewhere.clone()
        };
        link(&db, &index, COUNTY_HOSPITAL, &[again]).await.unwrap();
    }
    let span = Span::Institution(COUNTY_HOSPITAL);
    let hospital = Caller {
        grants: vec![Grant { line: Line::PersonIndex, act: Act::Write, span }],
        ..program(TOWNSHIP)
    };
    let phone = |no: &str| json!({ "telecom": [{ "system": "phone", "value": no }] });
    for (caller, no, expected) in [
        (steward("4115"), "13700002222", StatusCode::OK),
        (hospital.clone(), "13700002222", StatusCode::UNPROCESSABLE_ENTITY),
        (hospital.clone(), "13700003333", StatusCode::UNPROCESSABLE_ENTITY),
        (hospital, "13900001111", StatusCode::OK),
    ] {
        let (status, answer) = post(&app, caller, path, ask(true, phone(no))).await;
        assert_eq!(status, expected, "{no} {answer}");
    }
}
