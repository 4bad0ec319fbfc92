//! The record as FHIR, over HTTP.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::city::{City, city};
use crate::people::{LI, WANG, ZHANG};

async fn ask(city: &City, who: &str, purpose: &str, path: &str) -> (StatusCode, Value) {
    let mut request = Request::get(path).header("x-caller", who);
    if !purpose.is_empty() {
        request = request.header("x-purpose", purpose);
    }
    let response = city.app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/fhir+json"), "{kind}");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

fn kinds(bundle: &Value) -> Vec<&str> {
    let entries = bundle["entry"].as_array().unwrap();
    entries.iter().map(|e| e["resource"]["resourceType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_may_read_what() {
    let city = city().await;
    for (who, purpose, path, status) in [
        ("", "", "/fhir/metadata".to_owned(), 200),
        ("township", "", format!("/fhir/Patient/{ZHANG}"), 200),
        ("township", "", format!("/fhir/Patient/{LI}"), 403),
        ("township", "consultation", format!("/fhir/Patient/{LI}"), 200),
        ("township", "curiosity", format!("/fhir/Patient/{LI}"), 422),
        ("township", "emergency", format!("/fhir/Patient/{WANG}"), 404),
        ("township", "", "/fhir/Patient/x".to_owned(), 404),
        ("township", "", "/fhir/Patient".to_owned(), 422),
        ("township", "", "/fhir/Patient?birthdate=1957-03-12".to_owned(), 422),
        ("manager", "", format!("/fhir/Patient/{ZHANG}"), 403),
        ("", "", format!("/fhir/Patient/{ZHANG}/$everything"), 401),
    ] {
        let (got, body) = ask(&city, who, purpose, &path).await;
        assert_eq!(got.as_u16(), status, "{who} {purpose} {path}: {body}");
        if status >= 400 {
            assert_eq!(body["resourceType"], "OperationOutcome", "{path}");
        }
    }
    let trail: Vec<(String, i64, String)> =
        sqlx::query_as("select act, person_id, purpose from audit_entry order by id")
            .fetch_all(city.db.pool())
            .await
            .unwrap();
    let acts: Vec<String> =
        trail.into_iter().map(|(act, person, purpose)| format!("{act} {person} {purpose}")).collect();
    assert_eq!(acts, ["fhir.read 1 care", "fhir.read 2 care", "fhir.read 2 consultation"]);
}

#[tokio::test]
async fn a_search_tells_who_but_hides_numbers() {
    let city = city().await;
    let (_, bundle) = ask(&city, "township", "", "/fhir/Patient?name=%E5%BC%A0&birthdate=1957-03-12").await;
    assert_eq!((bundle["resourceType"].as_str(), bundle["total"].as_i64()), (Some("Bundle"), Some(1)));
    let found = &bundle["entry"][0]["resource"];
    assert_eq!((found["name"][0]["text"].as_str(), found["id"].as_str()), (Some("张建国"), Some("1")));
    assert_eq!(found["identifier"][0]["value"], "411503********123X");
    // Of the institutions that know the person, a search tells the asker's own at most.
    let township = "明港镇卫生院（虚构）";
    let told: Vec<&str> = found["identifier"].as_array().unwrap()[1..]
        .iter()
        .filter_map(|i| i["assigner"]["display"].as_str())
        .collect();
    assert!(told.iter().all(|name| *name == township), "{told:?}");
    let (_, other) = ask(&city, "township", "", "/fhir/Patient?name=%E5%BC%A0&birthdate=1957-03-13").await;
    assert_eq!(other["total"], 0);
    // Of another city.
    let (_, beyond) = ask(&city, "township", "", "/fhir/Patient?name=%E7%8E%8B").await;
    assert_eq!(beyond["total"], 0);
    let (_, by_number) =
        ask(&city, "township", "", "/fhir/Patient?identifier=urn:oid:2.16.156.10011.1.3|41150319570312123X")
            .await;
    assert_eq!(by_number["total"], 1);
}

#[tokio::test]
async fn everything_is_there_page_by_page_and_refers_to_itself() {
    let city = city().await;
    city.seed_zhang().await;
    let (status, bundle) =
        ask(&city, "township", "", &format!("/fhir/Patient/{ZHANG}/$everything?_count=2000")).await;
    assert_eq!(status, StatusCode::OK);
    let all = kinds(&bundle);
    for (kind, count) in [
        ("Patient", 1),
        ("Encounter", 7),
        ("Condition", 10),
        ("MedicationRequest", 19),
        ("DiagnosticReport", 7),
        ("AllergyIntolerance", 2),
        ("Immunization", 2),
        ("Procedure", 1),
    ] {
        assert_eq!(all.iter().filter(|k| **k == kind).count(), count, "{kind}");
    }
    assert!(all.iter().filter(|k| **k == "Observation").count() >= 36 + 6 + 10);
    // Every reference leads to a resource of the bundle.
    let entries = bundle["entry"].as_array().unwrap();
    let known: std::collections::HashSet<&str> =
        entries.iter().map(|e| e["fullUrl"].as_str().unwrap()).collect();
    let text = bundle.to_string();
    let mut references = 0;
    for piece in text.split("\"reference\":\"").skip(1) {
        let reference = &piece[..piece.find('"').unwrap()];
        assert!(known.contains(reference), "{reference}");
        references += 1;
    }
    assert!(references > 80, "{references}");
    // Page by page the same.
    let mut path = Some(format!("/fhir/Patient/{ZHANG}/$everything?_count=20"));
    let mut seen = Vec::new();
    while let Some(here) = path {
        let (_, page) = ask(&city, "township", "", &here).await;
        seen.extend(
            page["entry"].as_array().unwrap().iter().map(|e| e["fullUrl"].as_str().unwrap().to_owned()),
        );
        let next = page["link"].as_array().unwrap().iter().find(|l| l["relation"] == "next");
        path = next.map(|l| l["url"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), entries.len());
    let (_, only) =
        ask(&city, "township", "", &format!("/fhir/Patient/{ZHANG}/$everything?_type=Immunization")).await;
    assert_eq!(kinds(&only), ["Immunization", "Immunization"]);
}
