//! Facts as FHIR R4 resources. Pure: a fact in, resources out. Restricted fields are left out, as in the browser.

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{CodeTables, Dataset, FieldKind, Sensitivity};
use chrono::NaiveDateTime;
use kernel::access::InstitutionId;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};

use crate::facts::Fact;

/// Data sets that become resources.
pub const MAPPED: [&str; 15] = [
    "outpatient_visit",
    "inpatient_stay",
    "visit_diagnosis",
    "prescription_item",
    "inpatient_order",
    "lab_report",
    "lab_result",
    "exam_report",
    "physical_exam",
    "allergy",
    "immunization",
    "operation",
    "hypertension_followup",
    "diabetes_followup",
    "discharge_summary",
];

const ICD10: &str = "http://hl7.org/fhir/sid/icd-10";
const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";

/// How resources of one person refer to each other.
#[derive(Debug, Default)]
pub struct Links {
    person: i64,
    encounters: HashMap<(InstitutionId, String), String>,
    results: HashMap<(InstitutionId, String), Vec<String>>,
    institutions: HashMap<InstitutionId, String>,
}

impl Links {
    /// Reads all facts once for who refers to whom.
    pub fn new(
        person: i64,
        read: &[(Arc<Dataset>, Vec<Fact>)],
        institution: &dyn Fn(InstitutionId) -> String,
    ) -> Self {
        let mut links = Links { person, ..Links::default() };
        for (dataset, facts) in read {
            for fact in facts {
                links.institutions.entry(fact.institution).or_insert_with(|| institution(fact.institution));
                match dataset.code.as_str() {
                    "outpatient_visit" => links.encounter(dataset, fact, "visit_no"),
                    "inpatient_stay" => links.encounter(dataset, fact, "stay_no"),
                    "lab_result" => {
                        let key = (fact.institution, fact.text(dataset, "report_no").to_owned());
                        links.results.entry(key).or_default().push(id_of(dataset, fact));
                    }
                    _ => {}
                }
            }
        }
        links
    }

    fn encounter(&mut self, dataset: &Dataset, fact: &Fact, key: &str) {
        self.encounters.insert((fact.institution, fact.text(dataset, key).to_owned()), id_of(dataset, fact));
    }

    fn encounter_of(&self, dataset: &Dataset, fact: &Fact) -> Option<Value> {
        ["visit_no", "stay_no"].iter().find_map(|key| {
            let id = self.encounters.get(&(fact.institution, fact.text(dataset, key).to_owned()))?;
            Some(json!({ "reference": format!("Encounter/{id}") }))
        })
    }
}

/// The identifier of the resource of a fact; the same as long as the fact is there.
fn id_of(dataset: &Dataset, fact: &Fact) -> String {
    format!("{}-{}", dataset.code.replace('_', "-"), fact.id)
}

/// A time in China.
fn time(at: NaiveDateTime) -> String {
    format!("{}+08:00", at.format("%Y-%m-%dT%H:%M:%S"))
}

// One fact being mapped.
struct Source<'a> {
    dataset: &'a Dataset,
    fact: &'a Fact,
    links: &'a Links,
    tables: &'a CodeTables,
}

impl Source<'_> {
    fn text(&self, field: &str) -> &str {
        match self.dataset.field(field) {
            Some(f) if self.dataset.fields[f].sensitivity != Sensitivity::Restricted => {
                self.fact.text(self.dataset, field)
            }
            _ => "",
        }
    }
    fn some(&self, field: &str) -> Option<&str> {
        Some(self.text(field)).filter(|t| !t.is_empty())
    }
    fn number(&self, field: &str) -> Option<f64> {
        self.fact.number(self.dataset, field).and_then(|d| d.to_f64())
    }
    fn time(&self, field: &str) -> Option<String> {
        self.fact.value(self.dataset, field).and_then(catalog::Value::datetime).map(time)
    }
    fn day(&self, field: &str) -> Option<String> {
        self.fact.value(self.dataset, field).and_then(catalog::Value::date).map(|d| d.to_string())
    }
    /// A code by its name.
    fn named(&self, field: &str) -> Option<&str> {
        let position = self.dataset.field(field)?;
        let code = self.some(field)?;
        Some(match &self.dataset.fields[position].kind {
            FieldKind::Code { table, .. } => {
                self.tables.get(table).and_then(|t| t.name_of(code)).unwrap_or(code)
            }
            _ => code,
        })
    }
    /// A concept: a code of a system with its words; words alone where there is no code.
    fn concept(&self, system: &str, code: &str, words: &str) -> Option<Value> {
        let words = self.named(words).or_else(|| self.named(code));
        let mut concept = json!({ "text": words? });
        if let Some(code) = self.some(code) {
            let mut coding = json!({ "code": code, "display": words });
            if !system.is_empty() {
                coding["system"] = json!(system);
            }
            concept["coding"] = json!([coding]);
        }
        Some(concept)
    }
    fn unit(&self, field: &str) -> &str {
        self.dataset.field(field).map_or("", |f| self.dataset.fields[f].unit.as_str())
    }

    /// A resource with what all have.
    fn resource(&self, kind: &str, subject: &str, fields: Vec<(&str, Option<Value>)>) -> Value {
        self.resource_with_id(kind, id_of(self.dataset, self.fact), subject, fields)
    }
    fn resource_with_id(
        &self,
        kind: &str,
        id: String,
        subject: &str,
        fields: Vec<(&str, Option<Value>)>,
    ) -> Value {
        let mut out = Map::new();
        out.insert("resourceType".to_owned(), json!(kind));
        out.insert("id".to_owned(), json!(id));
        let mut meta = json!({ "versionId": self.fact.version.to_string() });
        if let Some(name) = self.links.institutions.get(&self.fact.institution).filter(|n| !n.is_empty()) {
            meta["extension"] = json!([{ "url": "urn:minkang:source", "valueString": name }]);
        }
        out.insert("meta".to_owned(), meta);
        out.insert(subject.to_owned(), json!({ "reference": format!("Patient/{}", self.links.person) }));
        out.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(out)
    }
    fn encounter(&self) -> Option<Value> {
        self.links.encounter_of(self.dataset, self.fact)
    }
    fn performer(&self, field: &str) -> Option<Value> {
        self.some(field).map(|name| json!([{ "display": name }]))
    }
    fn organization(&self) -> Option<Value> {
        let name = self.links.institutions.get(&self.fact.institution)?;
        Some(json!({ "display": name }))
    }
    fn occurred(&self) -> Value {
        json!(time(self.fact.occurred_at))
    }
}

/// The resources of a fact; none for data sets that have no mapping.
pub fn resources(dataset: &Dataset, fact: &Fact, links: &Links, tables: &CodeTables) -> Vec<Value> {
    let source = Source { dataset, fact, links, tables };
    match dataset.code.as_str() {
        "outpatient_visit" => {
            let mut out = vec![encounter(&source, "AMB", "ambulatory", "visit_time", "ended_at")];
            out.extend(blood_pressure(&source));
            out
        }
        "inpatient_stay" => {
            let mut out =
                vec![encounter(&source, "IMP", "inpatient encounter", "admitted_at", "discharged_at")];
            out.extend(stay_condition(&source));
            out
        }
        "visit_diagnosis" => vec![condition(&source)],
        "prescription_item" => vec![medication(&source, "drug_name", "prescribed_at")],
        "inpatient_order" if source.text("item_kind") == "01" || source.some("drug_code").is_some() => {
            vec![medication(&source, "content", "ordered_at")]
        }
        "lab_report" => vec![laboratory_report(&source)],
        "lab_result" => laboratory_result(&source).into_iter().collect(),
        "exam_report" => vec![examination(&source)],
        "physical_exam" | "hypertension_followup" | "diabetes_followup" => {
            blood_pressure(&source).into_iter().chain(measures(&source)).collect()
        }
        "allergy" => vec![allergy(&source)],
        "immunization" => vec![immunization(&source)],
        "operation" => vec![procedure(&source)],
        "discharge_summary" => vec![discharge(&source)],
        _ => Vec::new(),
    }
}

fn encounter(s: &Source, class: &str, display: &str, from: &str, until: &str) -> Value {
    let mut period = json!({ "start": s.time(from) });
    if let Some(end) = s.time(until) {
        period["end"] = json!(end);
    }
    let finished = class == "AMB" || period["end"].is_string();
    s.resource(
        "Encounter",
        "subject",
        vec![
            ("status", Some(json!(if finished { "finished" } else { "in-progress" }))),
            (
                "class",
                Some(json!({ "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class, "display": display })),
            ),
            ("period", Some(period)),
            ("serviceType", s.some("department_name").map(|t| json!({ "text": t }))),
            ("participant", s.some("doctor_name").map(|n| json!([{ "individual": { "display": n } }]))),
            ("reasonCode", s.concept(ICD10, "diagnosis_code", "diagnosis_name").map(|c| json!([c]))),
            ("serviceProvider", s.organization()),
        ],
    )
}

fn condition(s: &Source) -> Value {
    let resolved = s.day("resolved_on");
    let clinical = if resolved.is_some() { "resolved" } else { "active" };
    s.resource(
        "Condition",
        "subject",
        vec![
            (
                "clinicalStatus",
                Some(coded("http://terminology.hl7.org/CodeSystem/condition-clinical", clinical)),
            ),
            (
                "category",
                Some(json!([coded(
                    "http://terminology.hl7.org/CodeSystem/condition-category",
                    "encounter-diagnosis"
                )])),
            ),
            ("code", s.concept(ICD10, "diagnosis_code", "diagnosis_name")),
            ("encounter", s.encounter()),
            ("onsetDateTime", s.day("onset_on").map(Value::from)),
            ("abatementDateTime", resolved.map(Value::from)),
            ("recordedDate", Some(s.occurred())),
            ("recorder", s.some("doctor_name").map(|n| json!({ "display": n }))),
        ],
    )
}

/// The main diagnosis of a stay, which has no row of its own.
fn stay_condition(s: &Source) -> Option<Value> {
    let code = s.concept(ICD10, "diagnosis_code", "diagnosis_name")?;
    Some(s.resource_with_id(
        "Condition",
        format!("{}-diagnosis", id_of(s.dataset, s.fact)),
        "subject",
        vec![
            (
                "category",
                Some(json!([coded(
                    "http://terminology.hl7.org/CodeSystem/condition-category",
                    "encounter-diagnosis"
                )])),
            ),
            ("code", Some(code)),
            ("encounter", s.encounter()),
            ("recordedDate", s.time("discharged_at").or_else(|| s.time("admitted_at")).map(Value::from)),
        ],
    ))
}

fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

fn medication(s: &Source, name: &str, written: &str) -> Value {
    let words = [s.text(name), s.text("specification")].join(" ");
    let mut concept = json!({ "text": words.trim() });
    if let Some(code) = s.some("drug_code") {
        concept["coding"] = json!([{ "code": code, "display": s.named("drug_code") }]);
    }
    let usage: Vec<String> = [s.named("frequency"), s.named("route"), s.some("usage")]
        .into_iter()
        .flatten()
        .map(ToOwned::to_owned)
        .collect();
    let mut dosage = Map::new();
    if !usage.is_empty() {
        dosage.insert("text".to_owned(), json!(usage.join(" ")));
    }
    if let Some(route) = s.named("route") {
        dosage.insert("route".to_owned(), json!({ "text": route }));
    }
    if let Some(dose) = s.number("dose") {
        dosage.insert(
            "doseAndRate".to_owned(),
            json!([{ "doseQuantity": { "value": dose, "unit": s.text("dose_unit") } }]),
        );
    }
    let mut supply = Map::new();
    if let Some(quantity) = s.number("quantity") {
        supply.insert("quantity".to_owned(), json!({ "value": quantity, "unit": s.text("quantity_unit") }));
    }
    if let Some(days) = s.number("days") {
        supply.insert(
            "expectedSupplyDuration".to_owned(),
            json!({ "value": days, "unit": "天", "system": UCUM, "code": "d" }),
        );
    }
    let cancelled = s.time("cancelled_at").is_some();
    s.resource(
        "MedicationRequest",
        "subject",
        vec![
            ("status", Some(json!(if cancelled { "cancelled" } else { "completed" }))),
            ("intent", Some(json!("order"))),
            ("medicationCodeableConcept", Some(concept)),
            ("encounter", s.encounter()),
            ("authoredOn", s.time(written).map(Value::from)),
            ("requester", s.some("doctor_name").map(|n| json!({ "display": n }))),
            ("dosageInstruction", (!dosage.is_empty()).then(|| json!([dosage]))),
            ("dispenseRequest", (!supply.is_empty()).then_some(Value::Object(supply))),
        ],
    )
}

fn laboratory_report(s: &Source) -> Value {
    let key = (s.fact.institution, s.text("report_no").to_owned());
    let results: Option<Vec<Value>> = s
        .links
        .results
        .get(&key)
        .map(|ids| ids.iter().map(|id| json!({ "reference": format!("Observation/{id}") })).collect());
    s.resource(
        "DiagnosticReport",
        "subject",
        vec![
            ("status", Some(json!("final"))),
            ("category", Some(json!([coded("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")]))),
            (
                "code",
                s.some("report_name")
                    .map(|t| json!({ "text": t }))
                    .or_else(|| Some(json!({ "text": "检验报告" }))),
            ),
            ("encounter", s.encounter()),
            ("effectiveDateTime", s.time("collected_at").map(Value::from)),
            ("issued", Some(s.occurred())),
            ("performer", s.organization().map(|o| json!([o]))),
            ("resultsInterpreter", s.performer("reviewer_name")),
            ("result", results.map(Value::from)),
            ("conclusion", s.some("conclusion").map(Value::from)),
        ],
    )
}

fn laboratory_result(s: &Source) -> Option<Value> {
    let row = crate::laboratory::row(s.dataset, s.fact, s.tables)?;
    let mut code = json!({ "text": row.item });
    // Codes that begin with X- are the product's own: LOINC has none for them.
    if let Some(loinc) = s.some("loinc_code") {
        let mut coding = json!({ "code": loinc, "display": row.item });
        if !loinc.starts_with("X-") {
            coding["system"] = json!(LOINC);
        }
        code["coding"] = json!([coding]);
    }
    let quantity = row.number.filter(|_| s.number("result_number").is_some()).map(|value| {
        let mut quantity = json!({ "value": value });
        if !row.unit.is_empty() {
            quantity["unit"] = json!(row.unit);
        }
        quantity
    });
    let text = quantity.is_none().then(|| row.value.clone()).filter(|v| !v.is_empty());
    let range = (!row.reference.is_empty()).then(|| {
        let mut range = json!({ "text": row.reference });
        if let Some((low, high)) = row.band {
            range["low"] = json!({ "value": low });
            range["high"] = json!({ "value": high });
        }
        json!([range])
    });
    let flag = (!row.flag.is_empty()).then(|| {
        json!([coded("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", &row.flag)])
    });
    Some(s.resource(
        "Observation",
        "subject",
        vec![
            ("status", Some(json!("final"))),
            (
                "category",
                Some(json!([coded(
                    "http://terminology.hl7.org/CodeSystem/observation-category",
                    "laboratory"
                )])),
            ),
            ("code", Some(code)),
            ("effectiveDateTime", Some(json!(s.time("tested_at").unwrap_or_else(|| time(row.at))))),
            ("valueQuantity", quantity),
            ("valueString", text.map(Value::from)),
            ("interpretation", flag),
            ("referenceRange", range),
        ],
    ))
}

fn examination(s: &Source) -> Value {
    let conclusion: Vec<&str> = [s.some("findings"), s.some("conclusion")].into_iter().flatten().collect();
    s.resource(
        "DiagnosticReport",
        "subject",
        vec![
            ("status", Some(json!("final"))),
            ("category", s.named("exam_kind").map(|kind| json!([{ "text": kind }]))),
            (
                "code",
                s.some("report_name")
                    .map(|t| json!({ "text": t }))
                    .or_else(|| Some(json!({ "text": "检查报告" }))),
            ),
            ("encounter", s.encounter()),
            ("effectiveDateTime", s.time("examined_at").map(Value::from)),
            ("issued", Some(s.occurred())),
            ("performer", s.organization().map(|o| json!([o]))),
            ("resultsInterpreter", s.performer("reporter_name")),
            ("conclusion", (!conclusion.is_empty()).then(|| json!(conclusion.join("\n")))),
        ],
    )
}

fn vital(s: &Source, suffix: &str, loinc: &str, words: &str, rest: (&str, Value)) -> Value {
    s.resource_with_id(
        "Observation",
        format!("{}-{suffix}", id_of(s.dataset, s.fact)),
        "subject",
        vec![
            ("status", Some(json!("final"))),
            ("category", Some(json!([coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")]))),
            ("code", Some(json!({ "coding": [{ "system": LOINC, "code": loinc, "display": words }], "text": words }))),
            ("encounter", s.encounter()),
            ("effectiveDateTime", Some(s.occurred())),
            (rest.0, Some(rest.1)),
        ],
    )
}

/// Systolic and diastolic pressure as one panel; nothing when neither was measured.
fn blood_pressure(s: &Source) -> Option<Value> {
    let part = |field: &str, loinc: &str, words: &str| {
        let value = s.number(field)?;
        Some(json!({
            "code": { "coding": [{ "system": LOINC, "code": loinc, "display": words }], "text": words },
            "valueQuantity": { "value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]" },
        }))
    };
    let parts: Vec<Value> = [part("systolic", "8480-6", "收缩压"), part("diastolic", "8462-4", "舒张压")]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| vital(s, "bp", "85354-9", "血压", ("component", json!(parts))))
}

/// Single measures of follow-ups and examinations: field, LOINC, words.
const MEASURES: [(&str, &str, &str); 8] = [
    ("height", "8302-2", "身高"),
    ("weight", "29463-7", "体重"),
    ("bmi", "39156-5", "体质指数"),
    ("heart_rate", "8867-4", "心率"),
    ("temperature", "8310-5", "体温"),
    ("fasting_glucose", "1558-6", "空腹血糖"),
    ("hba1c", "4548-4", "糖化血红蛋白"),
    ("waist", "8280-0", "腰围"),
];

fn measures(s: &Source) -> Vec<Value> {
    MEASURES
        .iter()
        .filter_map(|(field, loinc, words)| {
            let value = s.number(field)?;
            let quantity = json!({ "value": value, "unit": s.unit(field) });
            Some(vital(s, &field.replace('_', "-"), loinc, words, ("valueQuantity", quantity)))
        })
        .collect()
}

fn allergy(s: &Source) -> Value {
    // 2: ruled out.
    let status = if s.text("status") == "2" { "refuted" } else { "unconfirmed" };
    let severity = match s.text("severity") {
        "1" => Some("mild"),
        "2" => Some("moderate"),
        "3" => Some("severe"),
        _ => None,
    };
    let reaction = s.some("reaction").map(|words| {
        let mut reaction = json!({ "manifestation": [{ "text": words }] });
        if let Some(severity) = severity {
            reaction["severity"] = json!(severity);
        }
        json!([reaction])
    });
    let verification = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
    let clinical = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
    s.resource(
        "AllergyIntolerance",
        "patient",
        vec![
            ("clinicalStatus", (status != "refuted").then(|| coded(clinical, "active"))),
            ("verificationStatus", Some(coded(verification, status))),
            ("code", s.some("allergen_name").map(|t| json!({ "text": t }))),
            ("onsetDateTime", s.day("onset_on").map(Value::from)),
            ("recordedDate", Some(s.occurred())),
            ("recorder", s.some("doctor_name").map(|n| json!({ "display": n }))),
            ("reaction", reaction),
        ],
    )
}

fn immunization(s: &Source) -> Value {
    s.resource(
        "Immunization",
        "patient",
        vec![
            ("status", Some(json!("completed"))),
            ("vaccineCode", s.concept("", "vaccine_code", "vaccine_name")),
            ("occurrenceDateTime", Some(s.occurred())),
            ("lotNumber", s.some("batch_no").map(Value::from)),
            ("expirationDate", s.day("expires_on").map(Value::from)),
            ("manufacturer", s.some("manufacturer").map(|n| json!({ "display": n }))),
            ("site", s.named("site").map(|t| json!({ "text": t }))),
            ("route", s.named("route").map(|t| json!({ "text": t }))),
            (
                "performer",
                s.some("doctor_name")
                    .map(|n| json!([{ "actor": { "display": n } }]))
                    .or_else(|| s.organization().map(|o| json!([{ "actor": o }]))),
            ),
            (
                "protocolApplied",
                s.number("dose_no")
                    .filter(|n| *n >= 1.0)
                    .map(|n| json!([{ "doseNumberPositiveInt": n as u32 }])),
            ),
        ],
    )
}

fn procedure(s: &Source) -> Value {
    let mut period = json!({ "start": s.time("started_at") });
    if let Some(end) = s.time("ended_at") {
        period["end"] = json!(end);
    }
    s.resource(
        "Procedure",
        "subject",
        vec![
            ("status", Some(json!("completed"))),
            ("code", s.concept("", "operation_code", "operation_name")),
            ("encounter", s.encounter()),
            ("performedPeriod", Some(period)),
            ("performer", s.some("doctor_name").map(|n| json!([{ "actor": { "display": n } }]))),
            ("bodySite", s.some("site").map(|t| json!([{ "text": t }]))),
            ("reasonCode", s.concept(ICD10, "diagnosis_code", "diagnosis_name").map(|c| json!([c]))),
        ],
    )
}

/// A discharge summary: its course and advice as the narrative of a clinical impression.
fn discharge(s: &Source) -> Value {
    let parts = ["admission_condition", "course", "discharge_condition", "advice"];
    let words: Vec<String> = parts
        .iter()
        .filter_map(|field| {
            let title = &s.dataset.fields[s.dataset.field(field)?].title;
            Some(format!("{title}：{}", s.some(field)?))
        })
        .collect();
    s.resource(
        "ClinicalImpression",
        "subject",
        vec![
            ("status", Some(json!("completed"))),
            ("description", Some(json!("出院小结"))),
            ("encounter", s.encounter()),
            ("date", Some(s.occurred())),
            ("assessor", s.some("doctor_name").map(|n| json!({ "display": n }))),
            ("summary", (!words.is_empty()).then(|| json!(words.join("\n")))),
        ],
    )
}
