//! What programs ask of people's identifiers, over HTTP: cross reference and `$match`, through the door of the record.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::city::{City, city};
use crate::people::{LI, WANG, ZHANG};

async fn ask(city: &City, who: &str, purpose: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut request = Request::builder().method(method).uri(path).header("x-caller", who);
    if !purpose.is_empty() {
        request = request.header("x-purpose", purpose);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = request
        .header("host", "minkang.test")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/fhir+json")
        .body(body)
        .unwrap();
    let response = city.app().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn code(institution: i64) -> String {
    format!("1241150000000000{institution}X")
}

#[tokio::test]
async fn any_identifier_leads_to_all_of_them_through_the_door() {
    let city = city().await;
    let local = |institution: i64, no: &str| {
        format!("/api/v1/cross-reference?institution={}&local_no={no}", code(institution))
    };
    let locals = |json: &Value| -> Vec<String> {
        let identifiers = json["identifiers"].as_array().unwrap();
        identifiers.iter().map(|i| i["local_no"].as_str().unwrap().to_owned()).collect()
    };
    for path in [local(2, "P12"), local(1, "P11"), format!("/api/v1/cross-reference?person={ZHANG}")] {
        let (status, json) = ask(&city, "township", "", &path, None).await;
        assert_eq!((status, json["person"].as_i64()), (StatusCode::OK, Some(ZHANG)), "{path} {json}");
        assert_eq!(locals(&json), ["P11", "P12"], "{path}");
    }
    let target = format!("{}&target={}", local(2, "P12"), code(1));
    assert_eq!(locals(&ask(&city, "township", "", &target, None).await.1), ["P11"]);
    // 李秀兰 is a patient of the hospital alone: in reach of the township, but not in its care.
    assert_eq!(ask(&city, "township", "", &local(1, "P21"), None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(&city, "township", "consultation", &local(1, "P21"), None).await.0, StatusCode::OK);
    // 王外乡 is out of reach, and so is a number that nobody has: they look alike.
    for path in [local(4, "P31"), local(1, "P99"), format!("/api/v1/cross-reference?person={WANG}")] {
        let (status, json) = ask(&city, "township", "emergency", &path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path} {json}");
    }
    for bad in ["", "?institution=1", "?institution=9&local_no=H1", "?number=1&person=2", "?person=x"] {
        let (status, _) = ask(&city, "township", "", &format!("/api/v1/cross-reference{bad}"), None).await;
        assert!(status.is_client_error(), "{bad}: {status}");
    }
    let looks: i64 =
        sqlx::query_scalar("select count(*) from audit_entry where act = 'index.cross' and person_id = $1")
            .bind(LI)
            .fetch_one(city.db.pool())
            .await
            .unwrap();
    assert_eq!(looks, 2, "what was barred is in the trail too");
}

#[tokio::test]
async fn the_fhir_form_answers_with_parameters() {
    let city = city().await;
    let system = |institution: i64| format!("urn:minkang:patient-no:{}", code(institution));
    let path = format!("/fhir/Patient/$ihe-pix?sourceIdentifier={}%7CP12", system(2));
    let (status, json) = ask(&city, "township", "", &path, None).await;
    assert_eq!((status, json["resourceType"].as_str()), (StatusCode::OK, Some("Parameters")), "{json}");
    let parameters = json["parameter"].as_array().unwrap();
    assert_eq!(parameters[0]["valueIdentifier"]["system"], system(1));
    assert_eq!(parameters[0]["valueIdentifier"]["value"], "P11");
    assert_eq!(parameters[1]["valueReference"]["reference"], format!("Patient/{ZHANG}"));
    let none = format!("{path}&targetSystem=urn:minkang:patient-no:7");
    let (_, none) = ask(&city, "township", "", &none, None).await;
    assert_eq!(none["parameter"].as_array().unwrap().len(), 1);
    for bad in ["", "?sourceIdentifier=P12", "?sourceIdentifier=urn:oid:1%7CP12"] {
        let (status, _) = ask(&city, "township", "", &format!("/fhir/Patient/$ihe-pix{bad}"), None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
}

#[tokio::test]
async fn a_match_is_ranked_and_graded_within_the_reach() {
    let city = city().await;
    let question = |name: &str, certain: bool| {
        json!({ "resourceType": "Parameters", "parameter": [
            { "name": "resource", "resource": { "resourceType": "Patient", "name": [{ "text": name }] } },
            { "name": "onlyCertainMatches", "valueBoolean": certain },
        ] })
    };
    let path = "/fhir/Patient/$match";
    let (status, bundle) = ask(&city, "township", "", path, Some(question("张建国", false))).await;
    assert_eq!((status, bundle["total"].as_i64()), (StatusCode::OK, Some(1)), "{bundle}");
    let entry = &bundle["entry"][0];
    assert_eq!(entry["search"]["extension"][0]["valueCode"], "certain");
    assert_eq!(entry["resource"]["identifier"][0]["value"], "411503********123X", "numbers stay masked");
    let (_, possible) = ask(&city, "township", "", path, Some(question("张三", false))).await;
    assert_eq!(possible["entry"][0]["search"]["extension"][0]["valueCode"], "possible");
    let (_, certain) = ask(&city, "township", "", path, Some(question("张三", true))).await;
    assert_eq!(certain["total"], 0);
    // Of another city.
    let (_, beyond) = ask(&city, "township", "", path, Some(question("王外乡", false))).await;
    assert_eq!(beyond["total"], 0);
    for (who, status) in [("", StatusCode::UNAUTHORIZED), ("manager", StatusCode::FORBIDDEN)] {
        assert_eq!(ask(&city, who, "", path, Some(question("张建国", false))).await.0, status, "{who}");
    }
    let (status, outcome) =
        ask(&city, "township", "", path, Some(json!({ "resourceType": "Patient" }))).await;
    assert_eq!(
        (status, outcome["resourceType"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("OperationOutcome"))
    );
}
