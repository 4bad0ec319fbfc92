//! Bundles and the CapabilityStatement. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// A searchset. `here`, `next`: addresses relative to this server.
pub fn searchset(resources: &[Value], total: usize, here: &str, next: Option<String>) -> Value {
    let mut links = vec![json!({ "relation": "self", "url": here })];
    links.extend(next.map(|url| json!({ "relation": "next", "url": url })));
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let kind = resource["resourceType"].as_str().unwrap_or_default();
            let id = resource["id"].as_str().unwrap_or_default();
            json!({ "fullUrl": format!("{kind}/{id}"), "resource": resource, "search": { "mode": "match" } })
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries })
}

/// What this interface can do.
pub fn capabilities(now: DateTime<Utc>) -> Value {
    let parameter =
        |name: &str, kind: &str, text: &str| json!({ "name": name, "type": kind, "documentation": text });
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now.to_rfc3339(),
        "kind": "instance",
        "software": { "name": "Minkang", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "全民健康信息平台：健康档案查询与数据上传" },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "documentation": "Reading the record of a person who is not in the caller's institution's care needs the header X-Purpose.",
            "security": {
                "cors": true,
                "service": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                }] }],
                "description": "OAuth 2.0 bearer tokens; the addresses are at .well-known/smart-configuration below this base.",
            },
            "interaction": [{ "code": "transaction" }, { "code": "batch" }],
            "resource": [{
                "type": "Patient",
                "interaction": [{ "code": "read" }, { "code": "search-type" }],
                "searchParam": [
                    parameter("identifier", "token", "Citizen number, card number, telephone or local number; the system is ignored."),
                    parameter("name", "string", "The beginning of the name, or pinyin initials."),
                    parameter("birthdate", "date", "A day; only together with name or identifier."),
                ],
                "operation": [{
                    "name": "everything",
                    "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                }],
            }],
        }],
    })
}
