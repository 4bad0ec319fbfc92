//! A person as a FHIR Patient. Pure.

use catalog::CodeTables;
use contracts::PersonCard;
use kernel::RegionCode;
use serde_json::{Value, json};

use crate::Ports;

pub use contracts::CITIZEN_SYSTEM as CITIZEN_ID;

/// The resource.
pub fn patient(card: &PersonCard, ports: &Ports, _tables: &CodeTables) -> Value {
    let region = (card.region != RegionCode::NATION).then(|| ports.institutions.region_name(&card.region));
    let organization =
        |id| ports.institutions.by_id(id).map(|c| (c.code.clone(), c.name.clone())).unwrap_or_default();
    shape(card, region, &organization)
}

/// The resource out of the card, the name of its division, the codes and names of institutions.
pub fn shape(
    card: &PersonCard,
    region: Option<String>,
    organization: &dyn Fn(kernel::access::InstitutionId) -> (String, String),
) -> Value {
    let mut identifiers: Vec<Value> = card
        .citizen_id
        .iter()
        .map(|number| json!({ "use": "official", "system": CITIZEN_ID, "value": number }))
        .collect();
    identifiers.extend(card.identities.iter().map(|identity| {
        let (code, name) = organization(identity.institution);
        json!({
            "use": "secondary",
            "type": { "text": "患者编号" },
            "system": contracts::local_no_system(&code),
            "value": identity.local_no,
            "assigner": { "display": name },
        })
    }));
    let mut out = json!({
        "resourceType": "Patient",
        "id": card.person_id.to_string(),
        "identifier": identifiers,
        "gender": match card.sex.as_str() {
            "1" => "male",
            "2" => "female",
            "9" => "other",
            _ => "unknown",
        },
    });
    if !card.name.is_empty() {
        out["name"] = json!([{ "use": "official", "text": card.name }]);
    }
    if let Some(birth) = card.birth_date {
        out["birthDate"] = json!(birth.to_string());
    }
    if !card.phone.is_empty() {
        out["telecom"] = json!([{ "system": "phone", "value": card.phone }]);
    }
    if let Some(died) = card.died_on {
        out["deceasedDateTime"] = json!(died.to_string());
    }
    if !card.address.is_empty() || region.is_some() {
        let mut address = json!({ "country": "CN" });
        if !card.address.is_empty() {
            address["text"] = json!(card.address);
        }
        if let Some(region) = region {
            address["district"] = json!(region);
        }
        out["address"] = json!([address]);
    }
    out
}

/// What stands at the number of a person who was merged into another (FHIR R4 Patient.link, `replaced-by`).
pub fn replaced(old: &str, by: i64) -> Value {
    json!({
        "resourceType": "Patient",
        "id": old,
        "active": false,
        "link": [{ "other": { "reference": format!("Patient/{by}") }, "type": "replaced-by" }],
    })
}
