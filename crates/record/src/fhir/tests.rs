//! The shape of resources, over every mapped data set of the shipped catalogue.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use catalog::{Dataset, FieldKind, Value};
use chrono::NaiveDate;
use kernel::Id;
use rust_decimal::Decimal;

use super::{Links, MAPPED, resources};
use crate::facts::Fact;

// A fact of a data set with something in every field, or with its required fields only.
fn fact(dataset: &Dataset, id: i64, full: bool) -> Fact {
    let day = NaiveDate::from_ymd_opt(2025, 3, 4).unwrap();
    let at = day.and_hms_opt(14, 5, 6).unwrap();
    let values = dataset
        .fields
        .iter()
        .map(|field| match &field.kind {
            _ if !full && !field.required => Value::Null,
            FieldKind::Text { .. } => Value::Text(format!("{}值", field.title).into()),
            FieldKind::Code { .. } => Value::Text("01".into()),
            FieldKind::Integer => Value::Integer(3),
            FieldKind::Decimal { .. } => Value::Decimal(Decimal::new(425, 2)),
            FieldKind::Date => Value::Date(day),
            FieldKind::DateTime => Value::DateTime(at),
            FieldKind::Boolean => Value::Boolean(true),
        })
        .collect();
    Fact {
        id,
        identity_id: Some(1),
        batch_id: 1,
        occurred_at: at,
        institution: Id::new(1),
        version: 2,
        values,
    }
}

#[test]
fn every_mapped_data_set_gives_resources_with_type_id_and_patient() {
    let catalog = catalog::shipped().expect("the shipped definitions are good");
    let mut read: Vec<(Arc<Dataset>, Vec<Fact>)> = Vec::new();
    for (number, code) in MAPPED.iter().enumerate() {
        let dataset = catalog.dataset(code).unwrap_or_else(|| panic!("{code} is defined")).clone();
        let id = number as i64 * 10;
        let facts = vec![fact(&dataset, id, true), fact(&dataset, id + 1, false)];
        read.push((dataset, facts));
    }
    let links = Links::new(42, &read, &|_| "某医院".to_owned());
    let mut seen = std::collections::BTreeSet::new();
    for (dataset, facts) in &read {
        let made: Vec<_> =
            facts.iter().flat_map(|f| resources(dataset, f, &links, &catalog.tables)).collect();
        assert!(!made.is_empty(), "{}", dataset.code);
        for resource in made {
            let text = resource.to_string();
            assert!(resource["resourceType"].is_string() && resource["id"].is_string(), "{text}");
            let whose =
                if resource["patient"].is_null() { &resource["subject"] } else { &resource["patient"] };
            assert_eq!(whose["reference"], "Patient/42", "{text}");
            let kind = resource["resourceType"].as_str().unwrap();
            let id = resource["id"].as_str().unwrap();
            assert!(
                id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.'),
                "{id}"
            );
            assert!(seen.insert(format!("{kind}/{id}")), "{kind}/{id} twice");
            // FHIR has no null and no empty text, list or object.
            assert!(
                !text.contains("null")
                    && !text.contains("\"\"")
                    && !text.contains("[]")
                    && !text.contains("{}"),
                "{text}"
            );
            assert!(!text.contains("乙型肝炎表面抗原"), "{text}");
        }
    }
    let kinds: std::collections::BTreeSet<&str> = seen.iter().map(|s| s.split('/').next().unwrap()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [
            "AllergyIntolerance",
            "ClinicalImpression",
            "Condition",
            "DiagnosticReport",
            "Encounter",
            "Immunization",
            "MedicationRequest",
            "Observation",
            "Procedure"
        ]
    );
}

#[test]
fn a_laboratory_result_is_a_quantity_or_a_text() {
    let catalog = catalog::shipped().expect("the shipped definitions are good");
    let dataset = catalog.dataset("lab_result").unwrap();
    let links = Links::new(1, &[], &|_| String::new());
    let field = |name: &str| dataset.field(name).unwrap();
    let mut quantitative = fact(dataset, 1, false);
    quantitative.values[field("item_name")] = Value::Text("葡萄糖".into());
    quantitative.values[field("loinc_code")] = Value::Text("1558-6".into());
    quantitative.values[field("result_text")] = Value::Text("9.40".into());
    quantitative.values[field("result_number")] = Value::Decimal(Decimal::new(94, 1));
    quantitative.values[field("unit")] = Value::Text("mmol/L".into());
    quantitative.values[field("reference_low")] = Value::Decimal(Decimal::new(39, 1));
    quantitative.values[field("reference_high")] = Value::Decimal(Decimal::new(61, 1));
    quantitative.values[field("abnormal_flag")] = Value::Text("H".into());
    let made = &resources(dataset, &quantitative, &links, &catalog.tables)[0];
    assert_eq!(made["valueQuantity"], serde_json::json!({ "value": 9.4, "unit": "mmol/L" }));
    assert_eq!(made["code"]["coding"][0]["system"], "http://loinc.org");
    assert_eq!(made["referenceRange"][0]["low"]["value"], 3.9);
    assert_eq!(made["interpretation"][0]["coding"][0]["code"], "H");
    assert_eq!(made["effectiveDateTime"], "2025-03-04T14:05:06+08:00");
    let mut qualitative = fact(dataset, 2, false);
    qualitative.values[field("item_name")] = Value::Text("尿蛋白".into());
    qualitative.values[field("loinc_code")] = Value::Text("X-1".into());
    qualitative.values[field("result_text")] = Value::Text("阴性".into());
    let made = &resources(dataset, &qualitative, &links, &catalog.tables)[0];
    assert_eq!(made["valueString"], "阴性");
    assert!(made.get("valueQuantity").is_none() && made["code"]["coding"][0].get("system").is_none());
}
