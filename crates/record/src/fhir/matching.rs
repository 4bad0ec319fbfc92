//! `POST /fhir/Patient/$match` (FHIR R4): whom a description means, ranked, with grades; by the same comparison that links
//! registrations. Nothing is registered by asking.

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use contracts::{Demographics, Match, PersonCard};
use kernel::{Purpose, Refusal, Result};
use serde_json::{Value, json};
use store::AuditEntry;
use web::{Allowed, Reply};

use super::{answer, hidden, patient};
use crate::Ports;

/// How sure a match is, in FHIR's words.
const GRADE: &str = "http://hl7.org/fhir/StructureDefinition/match-grade";
/// From here a match is probable, in FHIR's words; below it is possible.
const PROBABLE: f64 = 0.5;
/// Persons of an answer when `count` does not say, and at most.
const USUAL: usize = 10;
const MOST: usize = 50;

struct Question {
    described: Demographics,
    certain_only: bool,
    count: usize,
}

fn invalid(message: &str) -> Refusal {
    Refusal::invalid("fhir.match", message)
}

fn question(body: &[u8]) -> Result<Question, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|e| invalid(&format!("请求不是合格的 JSON：{e}。")))?;
    if body["resourceType"] != "Parameters" {
        return Err(invalid("请求应是 Parameters 资源，其中参数 resource 是要匹配的 Patient。"));
    }
    let named = |name: &str| {
        body["parameter"].as_array().into_iter().flatten().find(|parameter| parameter["name"] == name)
    };
    let resource = named("resource")
        .map(|parameter| &parameter["resource"])
        .filter(|resource| resource["resourceType"] == "Patient")
        .ok_or_else(|| invalid("缺少参数 resource（一个 Patient 资源）。"))?;
    let described = described(resource);
    let says = [&described.name, &described.credential_no, &described.card_no, &described.phone];
    if says.iter().all(|text| text.is_empty()) {
        return Err(invalid("请至少给出姓名、证件号码、卡号或电话之一，只凭性别和出生日期无法匹配。"));
    }
    let count = named("count").and_then(|p| p["valueInteger"].as_u64()).unwrap_or(USUAL as u64);
    Ok(Question {
        described,
        certain_only: named("onlyCertainMatches").is_some_and(|p| p["valueBoolean"] == true),
        count: usize::try_from(count).unwrap_or(MOST).clamp(1, MOST),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}

/// What a Patient says of somebody.
fn described(resource: &Value) -> Demographics {
    let mut out = Demographics { registration: true, ..Demographics::default() };
    let name = &resource["name"][0];
    out.name = text(&name["text"]);
    if out.name.is_empty() {
        let given: String = name["given"].as_array().into_iter().flatten().map(text).collect();
        out.name = format!("{}{given}", text(&name["family"]));
    }
    out.sex = match resource["gender"].as_str() {
        Some("male") => "1",
        Some("female") => "2",
        _ => "",
    }
    .to_owned();
    out.birth_date = NaiveDate::parse_from_str(&text(&resource["birthDate"]), "%Y-%m-%d").ok();
    for identifier in resource["identifier"].as_array().into_iter().flatten() {
        let (system, value) = (text(&identifier["system"]), text(&identifier["value"]));
        if system == contracts::CITIZEN_SYSTEM {
            (out.credential_kind, out.credential_no) = ("01".to_owned(), value);
        } else if contracts::institution_of_system(&system).is_none() && out.card_no.is_empty() {
            out.card_no = value;
        }
    }
    for telecom in resource["telecom"].as_array().into_iter().flatten() {
        if telecom["system"] == "phone" && out.phone.is_empty() {
            out.phone = text(&telecom["value"]);
        }
    }
    out.address = text(&resource["address"][0]["text"]);
    out.contact_name = text(&resource["contact"][0]["name"]["text"]);
    out
}

/// The operation.
pub(super) async fn find(
    State(ports): State<Ports>,
    allowed: Allowed,
    body: axum::body::Bytes,
) -> Reply<Response> {
    let question = question(&body)?;
    let reach = allowed.reach(Purpose::of("care"))?;
    let now = ports.clock.now();
    let found = ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let mut matches = ports.matcher.matches(tx, &question.described, now).await?;
            matches.retain(|m| m.certain || !question.certain_only);
            matches.truncate(MOST);
            let wanted: Vec<i64> = matches.iter().map(|m| m.person_id).collect();
            let cards = ports.persons.cards(tx, &wanted).await?;
            let mut found: Vec<(Match, PersonCard)> = Vec::new();
            for this in matches {
                let Some(card) = cards.iter().find(|card| card.person_id == this.person_id) else { continue };
                let standing = ports.place_of(tx, reach, card).await?;
                if standing.care || standing.within {
                    found.push((this, card.clone()));
                }
            }
            found.truncate(question.count);
            let entry = AuditEntry {
                act: "fhir.match",
                object_kind: "search",
                object_label: question.described.name.clone(),
                rows: i32::try_from(found.len()).ok(),
                detail: Some(json!({ "found": found.len() })),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    // Several who are certain are none: a program must not choose one of them by itself.
    let several = found.iter().filter(|(m, _)| m.certain).count() > 1;
    let tables = ports.terminology.tables();
    let entries: Vec<Value> = found
        .iter()
        .filter(|_| !(several && question.certain_only))
        .map(|(m, card)| {
            let grade = match (m.certain && !several, m.probability >= PROBABLE) {
                (true, _) => "certain",
                (false, true) => "probable",
                (false, false) => "possible",
            };
            json!({
                "fullUrl": format!("/fhir/Patient/{}", card.person_id),
                "resource": patient(&hidden(card, allowed.caller()), &ports, &tables),
                "search": {
                    "mode": "match",
                    "score": (m.probability * 1e4).round() / 1e4,
                    "extension": [{ "url": GRADE, "valueCode": grade }],
                },
            })
        })
        .collect();
    Ok(answer(&json!({
        "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "entry": entries,
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_becomes_a_description() {
        let body = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "count", "valueInteger": 3 },
            { "name": "onlyCertainMatches", "valueBoolean": true },
            { "name": "resource", "resource": {
                "resourceType": "Patient", "gender": "female", "birthDate": "1990-01-01",
                "name": [{ "family": "李", "given": ["四"] }],
                "identifier": [
                    { "system": "urn:minkang:patient-no:1", "value": "H4" },
                    { "system": "urn:oid:2.16.156.10011.1.3", "value": "34052419800101001X" },
                    { "value": "C-7" },
                ],
                "telecom": [{ "system": "email", "value": "a@b" }, { "system": "phone", "value": "138" }],
            } },
        ] });
        let question = question(body.to_string().as_bytes()).unwrap();
        let said = &question.described;
        assert_eq!((question.count, question.certain_only), (3, true));
        assert_eq!((said.name.as_str(), said.sex.as_str(), said.phone.as_str()), ("李四", "2", "138"));
        assert_eq!((said.credential_no.as_str(), said.card_no.as_str()), ("34052419800101001X", "C-7"));
        assert_eq!(said.birth_date, NaiveDate::from_ymd_opt(1990, 1, 1));
    }

    #[test]
    fn a_question_that_says_nothing_is_refused() {
        for body in [
            "",
            "[]",
            "{\"resourceType\":\"Patient\"}",
            "{\"resourceType\":\"Parameters\",\"parameter\":[]}",
            "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"resource\",\"resource\":{\"resourceType\":\"Patient\",\"gender\":\"male\"}}]}",
        ] {
            assert!(question(body.as_bytes()).is_err(), "{body}");
        }
    }
}
