//! Entries as FHIR R4 AuditEvent: `GET /fhir/AuditEvent?date=ge2025-05-01&patient=42&agent=7`.

use ::store::AuditEntry;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, NaiveDate, SecondsFormat, Utc};
use kernel::{Purpose, Refusal};
use serde_json::{Value, json};
use web::Reply;
use web::route::Allowed;
use web::ui::Here;

use super::store::{self, Entry, Search, Sight};
use super::{atna, pages, words};
use crate::Identity;

/// Resources of a page when `_count` does not say, and at most.
const PAGE: i64 = 100;
const MOST: i64 = 1000;

pub(super) async fn search(
    State(identity): State<Identity>,
    allowed: Allowed,
    headers: HeaderMap,
    here: Here,
) -> Reply<Response> {
    let search = asked(&here)?;
    let count = here.get("_count").and_then(|c| c.parse().ok()).unwrap_or(PAGE).clamp(1, MOST);
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let mut found = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let found = store::search(tx, &sight, &search, count + 1).await?;
            let entry = AuditEntry {
                act: "audit.export",
                object_kind: "audit",
                object_label: "FHIR AuditEvent".to_owned(),
                person_id: search.person,
                rows: i32::try_from(found.entries.len().min(count as usize)).ok(),
                detail: Some(json!({ "query": here.pairs() })),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    let more = found.entries.len() as i64 > count;
    found.entries.truncate(count as usize);
    let next = match (found.entries.last(), found.reached) {
        (Some(last), _) if more => Some(last.key()),
        (_, Some(reached)) => Some(store::key(reached, 0)),
        _ => None,
    };
    let next = next.map(|key| here.with(&[("_after", &key)]).href());
    let resources: Vec<Value> = found.entries.iter().map(resource).collect();
    let lines = here.get("_format").is_some_and(|f| f.contains("ndjson"))
        || headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("ndjson"));
    if lines {
        let mut text = String::new();
        for resource in &resources {
            text.push_str(&resource.to_string());
            text.push('\n');
        }
        let link = next.map(|href| format!("<{href}>; rel=\"next\"")).unwrap_or_default();
        return Ok((
            [
                (header::CONTENT_TYPE, "application/fhir+ndjson; charset=utf-8".to_owned()),
                (header::LINK, link),
            ],
            text,
        )
            .into_response());
    }
    let mut links = vec![json!({ "relation": "self", "url": here.href() })];
    links.extend(next.map(|url| json!({ "relation": "next", "url": url })));
    let entries: Vec<Value> = resources
        .into_iter()
        .map(|r| {
            json!({ "fullUrl": format!("/fhir/AuditEvent/{}", r["id"].as_str().unwrap_or_default()),
                "resource": r, "search": { "mode": "match" } })
        })
        .collect();
    Ok(answer(&json!({ "resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries })))
}

pub(super) async fn read(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(key): Path<String>,
) -> Reply<Response> {
    let nothing = || Refusal::not_found("audit.no_entry", "没有找到这条审计记录。");
    let place = store::place(&key).ok_or_else(nothing)?;
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let entry = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let (found, _) = store::one(tx, &sight, place).await?.ok_or_else(nothing)?;
            let entry = AuditEntry {
                act: "audit.view",
                object_kind: "audit_entry",
                object_id: Some(found.id),
                person_id: found.content.person_id,
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    Ok(answer(&resource(&entry)))
}

fn answer(resource: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], resource.to_string()).into_response()
}

/// The search parameters: `date` (with eq, ge, gt, le, lt; a day or an instant), `patient`, `agent`, `subtype`, `outcome`.
fn asked(here: &Here) -> Result<Search, Refusal> {
    let mut search = Search { after: here.get("_after").and_then(store::place), ..Search::default() };
    for (name, value) in here.pairs() {
        match name.as_str() {
            "date" => date(&mut search, value)?,
            "patient" | "entity" => {
                let id = value.trim_start_matches("Patient/").parse().map_err(|_| wrong(name, value))?;
                search.person = Some(id);
            }
            "agent" => match value.rsplit(['/', ':', '|']).next().and_then(|v| v.parse().ok()) {
                Some(account) => search.account = Some(account),
                None => search.actor.clone_from(value),
            },
            "subtype" => search.act = value.rsplit('|').next().unwrap_or_default().to_owned(),
            "outcome" => search.outcome = if value == "0" { "ok" } else { "failed" }.to_owned(),
            "address" => search.address.clone_from(value),
            _ => {}
        }
    }
    Ok(search)
}

fn wrong(name: &str, value: &str) -> Refusal {
    Refusal::invalid("fhir.parameter", format!("查询参数 {name}={value} 无法识别。"))
}

fn date(search: &mut Search, value: &str) -> Result<(), Refusal> {
    let (sign, rest) = match value.get(..2) {
        Some(sign @ ("eq" | "ge" | "gt" | "le" | "lt")) => (sign, &value[2..]),
        _ => ("eq", value),
    };
    let (begin, end) = match rest.parse::<NaiveDate>() {
        Ok(day) => (pages::start_of(day), pages::start_of(day) + Duration::days(1)),
        Err(_) => {
            let at: DateTime<Utc> =
                DateTime::parse_from_rfc3339(rest).map_err(|_| wrong("date", value))?.to_utc();
            (at, at + Duration::microseconds(1))
        }
    };
    match sign {
        "ge" => search.from = Some(begin),
        "gt" => search.from = Some(end),
        "le" => search.until = Some(end),
        "lt" => search.until = Some(begin),
        _ => (search.from, search.until) = (Some(begin), Some(end)),
    }
    Ok(())
}

/// The resource.
pub(super) fn resource(entry: &Entry) -> Value {
    let e = &entry.content;
    let (code, meaning, action) = atna::event(&e.act);
    let mut entities = Vec::new();
    if let Some(person) = e.person_id {
        entities.push(json!({
            "what": { "reference": format!("Patient/{person}") },
            "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1", "display": "Person" },
            "role": { "system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1", "display": "Patient" },
        }));
    }
    let mut details = Vec::new();
    let mut more = |kind: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            details.push(json!({ "type": kind, "valueString": value }));
        }
    };
    more("entry", Some(entry.id.to_string()));
    more("rows", e.row_count.map(|n| n.to_string()));
    more("note", Some(e.note.clone()));
    more("duration_ms", e.duration_ms.map(|n| n.to_string()));
    more("detail", e.detail.clone());
    let mut object = json!({
        "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2", "display": "System Object" },
        "detail": details,
    });
    if !e.object_kind.is_empty() {
        object["what"] = json!({ "identifier": {
            "system": format!("urn:minkang:{}", e.object_kind),
            "value": e.object_id.map(|id| id.to_string()).unwrap_or_default(),
        } });
        if let Some(identifier) = object["what"]["identifier"].as_object_mut() {
            identifier.retain(|_, v| v.as_str().is_some_and(|v| !v.is_empty()));
        }
    }
    if !e.object_label.is_empty() {
        object["name"] = json!(e.object_label);
    }
    entities.push(object);
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "id": entry.key(),
        "type": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": code, "display": meaning },
        "subtype": [{ "system": "urn:minkang:act", "code": e.act, "display": words::act(&e.act) }],
        "action": action,
        "recorded": e.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "outcome": atna::indicator(&e.outcome),
        "agent": [{
            "role": [{ "text": e.role }],
            "who": {
                "identifier": { "system": "urn:minkang:user", "value": atna::user_id(e) },
                "display": e.actor,
            },
            "name": e.actor,
            "requestor": true,
            "network": { "address": e.address, "type": "2" },
        }],
        "source": { "observer": { "display": "民康" } },
        "entity": entities,
    });
    if e.outcome != "ok" {
        resource["outcomeDesc"] = json!(words::outcome(&e.outcome));
    }
    if !e.purpose.is_empty() {
        resource["purposeOfEvent"] = json!([{ "coding": [{ "system": "urn:minkang:purpose", "code": e.purpose }], "text": words::purpose(&e.purpose) }]);
    }
    if !e.institution_name.is_empty() {
        resource["source"]["site"] = json!(e.institution_name);
    }
    resource
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_signs() {
        let search = |query| asked(&Here::new("/fhir/AuditEvent", query)).unwrap();
        let both = search("date=ge2025-05-01&date=lt2025-06-01&patient=Patient%2F42&agent=account:7");
        assert_eq!(both.from.unwrap().to_rfc3339(), "2025-04-30T16:00:00+00:00");
        assert_eq!(both.until.unwrap().to_rfc3339(), "2025-05-31T16:00:00+00:00");
        assert_eq!((both.person, both.account), (Some(42), Some(7)));
        let day = search("date=2025-05-01");
        assert_eq!((day.until.unwrap() - day.from.unwrap()).num_hours(), 24);
        assert_eq!(search("agent=%E7%8E%8B").actor, "王");
        assert!(asked(&Here::new("/x", "date=heute")).is_err());
        assert!(asked(&Here::new("/x", "patient=abc")).is_err());
    }

    #[test]
    fn an_entry_is_an_audit_event() {
        let content = ::store::audit::Content {
            act: "record.view".into(),
            actor: "王丽华".into(),
            account_id: Some(7),
            object_kind: "person".into(),
            person_id: Some(42),
            object_id: Some(42),
            outcome: "purpose_needed".into(),
            purpose: "care".into(),
            ..Default::default()
        };
        let event = resource(&Entry { id: 5, content });
        assert_eq!(event["type"]["code"], "110110");
        assert_eq!(event["outcome"], "4");
        assert_eq!(event["entity"][0]["what"]["reference"], "Patient/42");
        assert_eq!(event["agent"][0]["who"]["identifier"]["value"], "account:7");
        assert_eq!(event["agent"][0]["requestor"], true);
        // What R4 demands.
        for field in ["type", "recorded", "agent", "source"] {
            assert!(!event[field].is_null(), "{field}");
        }
        assert!(event["source"]["observer"].is_object());
    }
}
