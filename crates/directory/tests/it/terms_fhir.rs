//! Terminology as FHIR R4: the operations after their definitions, with what each answers to good and bad questions.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::terms::{SYSTEM, parameter, world};

#[tokio::test]
async fn code_systems_and_their_operations() {
    let w = world().await;
    let (status, all) = w.fhir(&format!("CodeSystem?url={SYSTEM}")).await;
    assert_eq!((status, all["total"].clone(), all["type"].clone()), (200, json!(1), json!("searchset")));
    let (_, system) = w.fhir("CodeSystem/icd10").await;
    assert_eq!(system["url"], SYSTEM);
    assert_eq!(system["content"], "fragment");
    assert_eq!(system["hierarchyMeaning"], "is-a");
    assert_eq!(system["concept"].as_array().map(Vec::len), Some(8));
    assert_eq!(system["identifier"][0]["value"], "urn:oid:2.16.156.10011.2.3.3.11");
    assert_eq!(w.fhir("CodeSystem/icd10-chapter").await.0, 200);
    let (status, outcome) = w.fhir("CodeSystem/nothing").await;
    assert_eq!((status, outcome["resourceType"].clone()), (404, json!("OperationOutcome")));
    assert_eq!(w.get("", "/fhir/CodeSystem").await.0, StatusCode::UNAUTHORIZED);

    // $lookup
    let (status, found) = w.fhir(&format!("CodeSystem/$lookup?system={SYSTEM}&code=I21.401")).await;
    assert_eq!(status, 200);
    assert_eq!(parameter(&found, "name"), "疾病分类与代码");
    assert_eq!(parameter(&found, "version"), "2.0");
    assert_eq!(parameter(&found, "display"), "急性非ST段抬高型心肌梗死");
    let text = found.to_string();
    assert!(
        text.contains("designation") && text.contains("NSTEMI") && text.contains("\"valueCode\":\"I21.400\"")
    );
    let (_, children) = w.fhir(&format!("CodeSystem/$lookup?system={SYSTEM}&code=I21&property=child")).await;
    assert!(children.to_string().contains("I21.400") && !children.to_string().contains("inactive"));
    for (query, status, code) in [
        ("system=urn:oid:2.16.156.10011.2.3.3.11&code=I10", 200, ""),
        ("coding=http://hl7.org/fhir/sid/icd-10|I10", 200, ""),
        ("system=http://hl7.org/fhir/sid/icd-10&code=NO", 404, "not-found"),
        ("system=urn:nothing&code=I10", 404, "not-found"),
        ("system=http://hl7.org/fhir/sid/icd-10&code=I10&version=9", 404, "not-found"),
        ("system=http://hl7.org/fhir/sid/icd-10&code=I10&version=2.0", 200, ""),
        ("system=http://hl7.org/fhir/sid/icd-10&code=I10&date=soon", 400, "invalid"),
        ("system=http://hl7.org/fhir/sid/icd-10", 400, "required"),
        ("code=I10", 400, "required"),
    ] {
        let (found, answer) = w.fhir(&format!("CodeSystem/$lookup?{query}")).await;
        assert_eq!(found, status, "{query}: {answer}");
        assert_eq!(answer["issue"][0]["code"].as_str().unwrap_or_default(), code, "{query}");
    }

    // $validate-code: an unknown code is an answer, an unknown system is not.
    let name = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    for (query, status, result, display) in [
        ("code=I10.x00".to_owned(), 200, json!(true), "高血压"),
        ("code=I99.999".to_owned(), 200, json!(false), ""),
        (format!("code=I10.x00&display={}", name("高血压")), 200, json!(true), "高血压"),
        (format!("code=I10.x00&display={}", name("高血压病")), 200, json!(true), "高血压"),
        (format!("code=I10.x00&display={}", name("糖尿病")), 200, json!(false), "高血压"),
        ("code=E11.901".to_owned(), 200, json!(true), "旧糖尿病码"),
        (String::new(), 400, Value::Null, ""),
    ] {
        let (found, answer) = w.fhir(&format!("CodeSystem/$validate-code?url={SYSTEM}&{query}")).await;
        assert_eq!((found, parameter(&answer, "result")), (status, result.clone()), "{query}");
        assert_eq!(parameter(&answer, "display").as_str().unwrap_or(""), display, "{query}");
        assert_eq!(
            parameter(&answer, "message").is_string(),
            result == json!(false) || query.ends_with("901"),
            "{query}"
        );
    }
    assert_eq!(w.fhir("CodeSystem/$validate-code?url=urn:nothing&code=1").await.0, 404);
    assert_eq!(parameter(&w.fhir("CodeSystem/icd10/$validate-code?code=I10").await.1, "result"), json!(true));
    let concept = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "url", "valueUri": SYSTEM },
        { "name": "codeableConcept", "valueCodeableConcept": { "coding": [
            { "system": "urn:other", "code": "x" }, { "system": SYSTEM, "code": "K29.500", "display": "慢性胃炎" } ] } } ] });
    let (status, answer) = w.fhir_post("doctor", "CodeSystem/$validate-code", &concept).await;
    assert_eq!((status, parameter(&answer, "result")), (200, json!(true)));
    assert_eq!(
        w.fhir_post("doctor", "CodeSystem/$validate-code", &json!({ "resourceType": "Patient" })).await.0,
        400
    );
    let whole = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "codeSystem", "resource": { "resourceType": "CodeSystem" } }, { "name": "code", "valueCode": "1" } ] });
    assert_eq!(w.fhir_post("doctor", "CodeSystem/$validate-code", &whole).await.0, 422);

    // $subsumes
    for (a, b, outcome) in [
        ("I21", "I21.401", "subsumes"),
        ("I21.401", "I21", "subsumed-by"),
        ("I10", "I10.x00", "equivalent"),
        ("I10", "I10", "equivalent"),
        ("I10", "I21", "not-subsumed"),
        ("I00-I99", "I21.400", "subsumes"),
        ("E00-E90", "I21.400", "not-subsumed"),
    ] {
        let (status, answer) =
            w.fhir(&format!("CodeSystem/$subsumes?system={SYSTEM}&codeA={a}&codeB={b}")).await;
        assert_eq!((status, parameter(&answer, "outcome")), (200, json!(outcome)), "{a} {b}");
    }
    assert_eq!(w.fhir(&format!("CodeSystem/$subsumes?system={SYSTEM}&codeA=I10&codeB=NO")).await.0, 404);
    assert_eq!(w.fhir(&format!("CodeSystem/$subsumes?system={SYSTEM}&codeA=I10")).await.0, 400);
    let ask = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "codingA", "valueCoding": { "system": SYSTEM, "code": "I21" } },
        { "name": "codingB", "valueCoding": { "system": SYSTEM, "code": "I21.400" } } ] });
    let (_, answer) = w.fhir_post("doctor", "CodeSystem/$subsumes", &ask).await;
    assert_eq!(parameter(&answer, "outcome"), json!("subsumes"));
}

#[tokio::test]
async fn value_sets_are_expanded_and_validated() {
    let w = world().await;
    let url = "urn:minkang:valueset:icd10";
    let codes = |answer: &Value| -> String {
        let all = answer["expansion"]["contains"].as_array().cloned().unwrap_or_default();
        all.iter().map(|c| c["code"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>().join(" ")
    };
    let (status, set) = w.fhir("ValueSet/icd10").await;
    assert_eq!((status, set["url"].clone()), (200, json!(url)));
    assert_eq!(set["compose"]["include"][0]["system"], SYSTEM);
    assert_eq!(w.fhir(&format!("ValueSet?url={url}")).await.1["total"], 1);
    for (query, expected, total) in [
        ("filter=gxy".to_owned(), "I10.x00 I10", 2),
        ("filter=tnb".to_owned(), "E11.900 E11.901", 2),
        ("filter=tnb&activeOnly=true".to_owned(), "E11.900", 1),
        ("offset=1&count=2".to_owned(), "I10.x00 I21", 8),
        ("count=0".to_owned(), "", 8),
    ] {
        let (status, answer) = w.fhir(&format!("ValueSet/$expand?url={url}&{query}")).await;
        assert_eq!(status, 200, "{query}");
        assert_eq!(
            (codes(&answer).as_str(), answer["expansion"]["total"].clone()),
            (expected, json!(total)),
            "{query}"
        );
        assert!(
            answer["expansion"]["timestamp"].is_string() && answer["expansion"]["identifier"].is_string()
        );
    }
    let isa = format!("{SYSTEM}?fhir_vs=isa/I21").replace('?', "%3F").replace('=', "%3D");
    let (status, answer) = w.fhir(&format!("ValueSet/$expand?url={isa}&includeDesignations=true")).await;
    assert_eq!((status, codes(&answer).as_str()), (200, "I21 I21.400 I21.401"));
    assert_eq!(answer["expansion"]["contains"][2]["designation"][0]["value"], "NSTEMI");
    let (_, inactive) = w.fhir(&format!("ValueSet/$expand?url={url}&filter=E11.901")).await;
    assert_eq!(inactive["expansion"]["contains"][0]["inactive"], true);
    assert_eq!(w.fhir("ValueSet/icd10/$expand?count=1").await.1["expansion"]["contains"][0]["code"], "I10");
    let post = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "url", "valueUri": url }, { "name": "filter", "valueString": "胃炎" }, { "name": "count", "valueInteger": 5 } ] });
    assert_eq!(codes(&w.fhir_post("doctor", "ValueSet/$expand", &post).await.1), "K29.500");
    for (query, status) in [("", 400), ("?url=urn:no", 404), (&*format!("?url={url}&count=-1"), 400)] {
        assert_eq!(w.fhir(&format!("ValueSet/$expand{query}")).await.0, status, "{query}");
    }

    for (query, status, result) in [
        (format!("url={url}&system={SYSTEM}&code=I21"), 200, json!(true)),
        (format!("url={isa}&system={SYSTEM}&code=I21.401"), 200, json!(true)),
        (format!("url={isa}&system={SYSTEM}&code=I10"), 200, json!(false)),
        (format!("url={url}&system=urn:nothing&code=I21"), 200, json!(false)),
        (format!("url={url}&system={SYSTEM}&code=NO"), 200, json!(false)),
        (format!("url={url}&code=I21"), 400, Value::Null),
        (format!("url=urn:no&system={SYSTEM}&code=I21"), 404, Value::Null),
    ] {
        let (found, answer) = w.fhir(&format!("ValueSet/$validate-code?{query}")).await;
        assert_eq!((found, parameter(&answer, "result")), (status, result), "{query}");
    }
}
