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

/// A resource of the terminology with its operations, which `directory` answers.
fn terms(kind: &str, operations: &[&str]) -> Value {
    let operation = |name: &&str| json!({ "name": name, "definition": format!("http://hl7.org/fhir/OperationDefinition/{kind}-{name}") });
    json!({
        "type": kind,
        "interaction": [{ "code": "read" }, { "code": "search-type" }],
        "searchParam": [{ "name": "url", "type": "uri" }],
        "operation": operations.iter().map(operation).collect::<Vec<_>>(),
    })
}

/// The code systems of this server and what may be asked of them (`TerminologyCapabilities`).
pub fn terminology(now: DateTime<Utc>, tables: &catalog::CodeTables) -> Value {
    let mut systems: Vec<_> = tables.tables.values().collect();
    systems.sort_by(|a, b| a.id.cmp(&b.id));
    let system = |t: &&std::sync::Arc<catalog::CodeTable>| {
        json!({ "uri": t.canonical(), "version": [{ "code": t.edition, "isDefault": true }],
            "subsumption": t.hierarchy != catalog::Hierarchy::Flat || !t.parents.is_empty() })
    };
    json!({
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": now.to_rfc3339(),
        "kind": "instance",
        "software": { "name": "Minkang", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "全民健康信息平台：术语服务" },
        "codeSystem": systems.iter().map(system).collect::<Vec<_>>(),
        "expansion": { "hierarchical": false, "paging": true, "incomplete": false,
            "parameter": [{ "name": "filter" }, { "name": "offset" }, { "name": "count" }, { "name": "activeOnly" },
                { "name": "includeDesignations" }, { "name": "date" }] },
        "codeSearch": "all",
        "validateCode": { "translations": false },
        "translation": { "needsMap": false },
    })
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
            }, terms("CodeSystem", &["lookup", "validate-code", "subsumes"]),
               terms("ValueSet", &["expand", "validate-code"]),
               terms("ConceptMap", &["translate"])],
        }],
    })
}
