//! Small bundles with their rows, the whole of the Synthea sample, arbitrary JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use catalog::{Catalog, Checker};
use chrono::NaiveDate;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn shipped() -> Catalog {
    catalog::shipped().unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Rows as `dataset{field=value …}` with only the named fields, and kept resources as `kind!position`.
fn told(mapped: &Mapped, catalog: &Catalog, fields: &[&str]) -> Vec<String> {
    let rows = mapped.rows.iter().map(|r| {
        let dataset = catalog.dataset(r.dataset).unwrap();
        let cells: Vec<String> = fields
            .iter()
            .filter_map(|f| {
                let value = r.row.cells[dataset.field(f)?].as_deref()?;
                Some(format!("{f}={value}"))
            })
            .collect();
        format!("{} {}", r.dataset, cells.join(" "))
    });
    rows.chain(mapped.kept.iter().map(|k| format!("{}!{}", k.kind, k.position))).collect()
}

fn bundle(resources: Value) -> Value {
    let entries: Vec<Value> = resources
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let id = r["id"].as_str().unwrap_or("none");
            json!({"fullUrl": format!("urn:uuid:{id}"), "resource": r, "request": {"method": "POST"}})
        })
        .collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p", "name": [{"family": "张", "given": ["三"]}], "gender": "male",
        "birthDate": "1980-02-03", "meta": {"lastUpdated": "2025-01-01T00:00:00Z"},
        "identifier": [
            {"type": {"coding": [{"code": "MR"}]}, "value": "M1"},
            {"system": "urn:oid:2.16.156.10011.1.3", "value": "11010519491231002X"}]})
}

fn encounter(class: &str) -> Value {
    json!({"resourceType": "Encounter", "id": "e", "class": {"code": class}, "status": "finished",
        "subject": {"reference": "urn:uuid:p"}, "participant": [{"individual": {"reference": "Practitioner?identifier=s|9"}}],
        "serviceProvider": {"reference": "Organization/o"},
        "period": {"start": "2025-03-04T20:30:00Z", "end": "2025-03-05T01:00:00+08:00"}})
}

fn staff() -> [Value; 2] {
    [
        json!({"resourceType": "Practitioner", "id": "d", "identifier": [{"system": "s", "value": "9"}],
            "name": [{"text": "王医生"}]}),
        json!({"resourceType": "Organization", "id": "o", "name": "内科"}),
    ]
}

#[test]
fn a_visit_with_all_that_belongs_to_it() {
    let catalog = shipped();
    let [d, o] = staff();
    let of = |kind: &str, id: &str, mut more: Value| {
        let r = more.as_object_mut().unwrap();
        r.insert("resourceType".into(), kind.into());
        r.insert("id".into(), id.into());
        r.insert("subject".into(), json!({"reference": "urn:uuid:p"}));
        r.insert("patient".into(), json!({"reference": "Patient/p"}));
        r.insert("encounter".into(), json!({"reference": "urn:uuid:e"}));
        more
    };
    let quantity = |value: f64, unit: &str| json!({"value": value, "unit": unit});
    let code = |system: &str, code: &str, display: &str| json!({"coding": [{"system": system, "code": code, "display": display}]});
    let cases: Vec<(Value, &[&str], &str)> = vec![
        (
            of(
                "Condition",
                "c1",
                json!({"code": code("http://hl7.org/fhir/sid/icd-10", "I10", "高血压"), "recordedDate": "2025-03-04"}),
            ),
            &["visit_no", "diagnosis_code", "diagnosis_name", "diagnosed_at", "doctor_name"],
            "visit_diagnosis visit_no=e diagnosis_code=I10 diagnosis_name=高血压 diagnosed_at=2025-03-04 doctor_name=王医生",
        ),
        (
            of(
                "Condition",
                "c2",
                json!({"code": code("http://snomed.info/sct", "38341003", "Hypertension"), "onsetDateTime": "2024-05"}),
            ),
            &["diagnosis_code", "diagnosis_name", "onset_on"],
            "visit_diagnosis diagnosis_name=Hypertension onset_on=2024-05-01",
        ),
        (
            of(
                "Observation",
                "v1",
                json!({"category": [code("", "vital-signs", "")], "code": code("http://loinc.org", "8302-2", "Height"),
                "valueQuantity": quantity(171.25, "cm"), "effectiveDateTime": "2025-03-04T20:31:00Z"}),
            ),
            &["exam_no", "exam_date", "height", "department_name"],
            "physical_exam exam_no=e exam_date=2025-03-05 height=171.2 department_name=内科",
        ),
        (
            of(
                "Observation",
                "l1",
                json!({"category": [code("", "laboratory", "")], "code": code("http://loinc.org", "2345-7", "葡萄糖"),
                "valueQuantity": quantity(0.00000125, "mol/L"), "effectiveDateTime": "2025-03-04T20:31:00Z",
                "interpretation": [code("", "H", "")], "referenceRange": [{"low": quantity(3.9, ""), "high": quantity(6.1, "")}]}),
            ),
            &[
                "report_no",
                "item_no",
                "loinc_code",
                "result_text",
                "result_number",
                "unit",
                "reference_high",
                "abnormal_flag",
            ],
            "lab_report report_no=e-202503050431\nlab_result report_no=e-202503050431 item_no=l1 loinc_code=2345-7 result_text=0.00000125 unit=mol/L reference_high=6.1000 abnormal_flag=H",
        ),
        (
            of(
                "MedicationRequest",
                "m1",
                json!({"intent": "order", "authoredOn": "2025-03-04",
                "contained": [{"resourceType": "Medication", "id": "x", "code": {"text": "阿司匹林"}}],
                "medicationReference": {"reference": "#x"},
                "dosageInstruction": [{"timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [{"doseQuantity": quantity(1.5, "片")}]}]}),
            ),
            &["prescription_no", "item_no", "drug_name", "usage", "dose", "dose_unit"],
            "prescription prescription_no=m1\nprescription_item prescription_no=m1 item_no=m1 drug_name=阿司匹林 usage=每 1 天 2 次 dose=1.5000 dose_unit=片",
        ),
        (
            of(
                "Immunization",
                "i1",
                json!({"status": "completed", "vaccineCode": code("http://hl7.org/fhir/sid/cvx", "140", "流感疫苗"), "occurrenceDateTime": "2025-03-04"}),
            ),
            &["vaccine_code", "vaccine_name", "vaccinated_at", "unit_name", "credential_no"],
            "immunization vaccine_name=流感疫苗 vaccinated_at=2025-03-04 unit_name=内科 credential_no=11010519491231002X",
        ),
        (
            of(
                "AllergyIntolerance",
                "a1",
                json!({"code": {"text": "青霉素"}, "category": ["medication"], "recordedDate": "2025-03-04",
                "reaction": [{"manifestation": [{"text": "皮疹"}], "severity": "mild"}, {"manifestation": [{"text": "休克"}], "severity": "severe"}]}),
            ),
            &["patient_no", "allergen_kind", "allergen_name", "reaction", "severity"],
            "allergy patient_no=M1 allergen_kind=1 allergen_name=青霉素 reaction=皮疹；休克 severity=3",
        ),
        (
            of(
                "Claim",
                "f1",
                json!({"created": "2025-03-04", "total": {"value": 100.1, "currency": "CNY"}, "item": [
                {"sequence": 1, "productOrService": {"text": "诊察费"}, "encounter": [{"reference": "urn:uuid:e"}]},
                {"sequence": 2, "productOrService": {"text": "胸片"}, "net": {"value": 80.05}},
                {"sequence": 3, "productOrService": {"text": "高血压"}, "diagnosisSequence": [1]}]}),
            ),
            &["fee_no", "visit_no", "item_name", "amount"],
            "outpatient_fee_item fee_no=f1-1 visit_no=e item_name=诊察费 amount=20.05\noutpatient_fee_item fee_no=f1-2 visit_no=e item_name=胸片 amount=80.05",
        ),
        (
            of(
                "ImagingStudy",
                "s1",
                json!({"started": "2025-03-04T01:00:00Z", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
                "series": [{"modality": {"code": "CT", "display": "CT"}, "bodySite": {"display": "胸部"}}]}),
            ),
            &["report_no", "exam_kind", "report_name", "study_uid", "reported_at"],
            "exam_report report_no=s1 exam_kind=CT report_name=CT 胸部 study_uid=1.2.3 reported_at=2025-03-04 09:00:00",
        ),
        (
            of(
                "DocumentReference",
                "t1",
                json!({"date": "2025-03-04T01:00:00Z", "type": code("http://loinc.org", "18842-5", "出院小结"),
                "content": [{"attachment": {"contentType": "application/pdf", "url": "https://h/1.pdf"}}]}),
            ),
            &["file_no", "kind", "title", "content_ref"],
            "report_file file_no=t1 kind=07 title=出院小结 content_ref=https://h/1.pdf",
        ),
        (
            of(
                "Procedure",
                "o1",
                json!({"status": "entered-in-error", "code": {"text": "阑尾切除术"}, "performedPeriod": {"start": "2025-03-04T01:00:00Z"}}),
            ),
            &["operation_no", "visit_no", "started_at", "revision_mark"],
            "operation operation_no=o1 visit_no=e started_at=2025-03-04 09:00:00 revision_mark=2",
        ),
        (of("CarePlan", "k", json!({})), &[], "CarePlan!5"),
        (
            of(
                "CarePlan",
                "cp",
                json!({"status": "active", "category": [{"text": "糖尿病自我管理"}], "period": {"start": "2025-03-04T01:00:00Z"},
                    "activity": [{"detail": {"code": {"text": "糖尿病饮食"}}}, {"detail": {"code": {"text": "规律运动"}}}]}),
            ),
            &["file_no", "kind", "title", "recorded_at", "summary"],
            "report_file file_no=cp kind=11 title=诊疗计划：糖尿病自我管理 recorded_at=2025-03-04 09:00:00 summary=糖尿病饮食；规律运动",
        ),
        (
            of("Observation", "k", json!({"category": [code("", "survey", "")], "code": {"text": "x"}})),
            &[],
            "Observation!5",
        ),
        (of("ExplanationOfBenefit", "k", json!({"total": []})), &[], "ExplanationOfBenefit!5"),
        (
            json!({"resourceType": "Condition", "id": "k", "subject": {"reference": "Patient/9"}}),
            &[],
            "Condition!5",
        ),
        (json!({"resourceType": 7}), &[], "!5"),
    ];
    for (resource, fields, expected) in cases {
        let whole = bundle(json!([d, o, patient(), encounter("AMB"), resource]));
        let mapped = map_bundle(&whole, &catalog).unwrap();
        assert_eq!(mapped.mapped + mapped.kept.len(), mapped.entries);
        let rows = told(&mapped, &catalog, fields);
        let rows: Vec<&String> = rows
            .iter()
            .filter(|r| {
                !["patient ", "outpatient_visit ", "Practitioner!", "Organization!"]
                    .iter()
                    .any(|k| r.starts_with(k))
            })
            .collect();
        assert_eq!(rows, expected.lines().collect::<Vec<_>>(), "{}", mapped.problems.join(" "));
    }
}

#[test]
fn patients_and_visits() {
    let catalog = shipped();
    let [d, o] = staff();
    let map =
        |class: &str| map_bundle(&bundle(json!([patient(), encounter(class), d, o])), &catalog).unwrap();
    let fields = [
        "patient_no",
        "patient_name",
        "sex",
        "credential_kind",
        "visit_no",
        "stay_no",
        "visit_kind",
        "visit_time",
        "admitted_at",
        "doctor_name",
    ];
    assert_eq!(
        told(&map("EMER"), &catalog, &fields),
        [
            "patient patient_no=M1 patient_name=张三 sex=1 credential_kind=01",
            "outpatient_visit patient_no=M1 patient_name=张三 sex=1 credential_kind=01 visit_no=e visit_kind=2 visit_time=2025-03-05 04:30:00 doctor_name=王医生",
            "Practitioner!3",
            "Organization!4",
        ]
    );
    assert_eq!(
        told(&map("IMP"), &catalog, &fields)[1],
        "inpatient_stay patient_no=M1 patient_name=张三 sex=1 credential_kind=01 stay_no=e admitted_at=2025-03-05 04:30:00 doctor_name=王医生"
    );
}

#[test]
fn lines_of_single_resources() {
    let catalog = shipped();
    let line = json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/77", "display": "李四"},
        "encounter": {"reference": "https://h/fhir/Encounter/88/_history/2"}, "code": {"text": "感冒"}, "recordedDate": "2025-01-01"});
    let mapped = map_resources(&[(12, line)], &catalog);
    assert_eq!(
        told(&mapped, &catalog, &["visit_no", "patient_no", "patient_name"]),
        ["visit_diagnosis visit_no=88 patient_no=77 patient_name=李四"]
    );
    assert_eq!(mapped.rows[0].row.number, 12);
}

#[test]
fn what_is_no_bundle() {
    let catalog = shipped();
    for (value, code) in [
        (json!([]), "fhir_not_bundle"),
        (json!({"resourceType": "Patient"}), "fhir_not_bundle"),
        (json!({"resourceType": "Bundle", "type": "history"}), "fhir_bundle_type"),
        (json!({"resourceType": "Bundle", "type": "batch", "entry": 3}), "fhir_entry"),
    ] {
        assert_eq!(map_bundle(&value, &catalog).unwrap_err().code, code);
    }
    let deep = "[".repeat(10_000);
    for (text, code) in [
        ("{\"a\":", "fhir_invalid_json"),
        (deep.as_str(), "fhir_invalid_json"),
        ("{\"a\":\"\\u0000\"}", "fhir_nul"),
        ("\u{fffe}", "fhir_invalid_json"),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err().code, code);
    }
    assert!(parse(b"\xEF\xBB\xBF{\"a\":\"\\\\u0000\"}").is_ok());
    assert!(parse(b"{\"a\":\"\xFF\"}").is_err());
}

#[test]
fn delete_requests_are_kept() {
    let catalog = shipped();
    let whole = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "DELETE", "url": "Patient/1"}},
        {"resource": patient(), "request": {"method": "PATCH"}}]});
    let mapped = map_bundle(&whole, &catalog).unwrap();
    assert_eq!(told(&mapped, &catalog, &[]), ["!1", "Patient!2"]);
}

fn sample(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MINKANG_SAMPLE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join(folder);
    path.is_dir().then_some(path)
}

fn unpacked(path: &std::path::Path) -> Value {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    parse(&bytes).unwrap()
}

#[test]
fn the_synthea_sample_goes_in_whole() {
    let Some(folder) = sample("synthea-r4-dev") else {
        eprintln!("skipped: no synthea-r4-dev under MINKANG_SAMPLE_DATA or ../shared/data");
        return;
    };
    let catalog = shipped();
    let tables = Arc::new(catalog.tables.clone());
    let checkers: BTreeMap<&str, Checker> =
        catalog.datasets.iter().map(|d| (d.code.as_str(), Checker::new(d, tables.clone()))).collect();
    let now = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut sets: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = BTreeSet::new();
    let (mut entries, mut rejected) = (0, Vec::new());
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "gz"));
    paths.sort();
    for path in paths {
        let whole = unpacked(&path);
        let mapped = map_bundle(&whole, &catalog).unwrap();
        assert_eq!(mapped.entries, whole["entry"].as_array().unwrap().len());
        assert_eq!(mapped.mapped + mapped.kept.len(), mapped.entries);
        entries += mapped.entries;
        let kept: BTreeSet<u64> = mapped.kept.iter().map(|k| k.position).collect();
        for (i, entry) in whole["entry"].as_array().unwrap().iter().enumerate() {
            let count =
                kinds.entry(entry["resource"]["resourceType"].as_str().unwrap().to_owned()).or_default();
            if kept.contains(&(i as u64 + 1)) {
                count.1 += 1;
            } else {
                count.0 += 1;
            }
        }
        let mut keys = BTreeSet::new();
        for row in &mapped.rows {
            *sets.entry(row.dataset).or_default() += 1;
            let dataset = catalog.dataset(row.dataset).unwrap();
            let key: Vec<&str> = dataset.key.iter().map(|k| row.row.cells[*k].as_deref().unwrap()).collect();
            assert!(keys.insert((row.dataset, key)), "one key twice in {}", row.dataset);
            let checked = checkers[row.dataset].check(&row.row, now);
            if checked.rejected {
                let rules: Vec<&str> =
                    checked.issues.iter().map(|i| dataset.rules[usize::from(i.rule)].code.as_str()).collect();
                rejected.push(format!("{} {} {rules:?}", row.dataset, row.id));
            }
        }
        problems.extend(mapped.problems.iter().filter_map(|p| Some(p.rsplit_once('（')?.0.to_owned())));
    }
    for (kind, (mapped, kept)) in &kinds {
        println!("{kind:24} mapped {mapped:6} kept {kept:6}");
    }
    println!("{sets:?}");
    println!("{problems:#?}");
    assert!(entries > 20_000, "only {entries}");
    assert!(!problems.iter().any(|p| p.contains("没有字段")), "{problems:?}");
    assert!(
        rejected.is_empty(),
        "{} rejected, e.g. {:?}",
        rejected.len(),
        &rejected[..rejected.len().min(5)]
    );
    for kind in [
        "Patient",
        "Encounter",
        "Condition",
        "DiagnosticReport",
        "Procedure",
        "MedicationRequest",
        "Immunization",
        "AllergyIntolerance",
        "Claim",
        "ImagingStudy",
    ] {
        assert_eq!(kinds[kind].1, 0, "all of {kind} are mapped");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9:/|#张-]{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("urn:uuid:p"),
            Just("Patient/p"),
            Just("2025"),
            Just("2025-03-04T01:00:00Z"),
            Just("é025-1-11"),
            Just("laboratory"),
            Just("vital-signs"),
            Just("8302-2"),
            Just("cm"),
            Just("#x"),
            Just("Practitioner?identifier=a"),
        ]
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("subject"),
        Just("encounter"),
        Just("reference"),
        Just("code"),
        Just("coding"),
        Just("category"),
        Just("display"),
        Just("valueQuantity"),
        Just("value"),
        Just("unit"),
        Just("period"),
        Just("start"),
        Just("item"),
        Just("total"),
        Just("net"),
        Just("effectiveDateTime"),
        Just("issued"),
        Just("result"),
        Just("name"),
        Just("text"),
        Just("identifier"),
        Just("component"),
        Just("content"),
        Just("attachment"),
        Just("dosageInstruction"),
        Just("id"),
        Just("authoredOn"),
        Just("created"),
    ];
    leaf.prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn arbitrary_resources_are_mapped_or_kept(parts in proptest::collection::vec((0..16usize, any_json()), 0..12)) {
        const KINDS: [&str; 16] = [
            "Patient", "Encounter", "Condition", "Procedure", "Observation", "DiagnosticReport", "ImagingStudy", "DocumentReference",
            "MedicationRequest", "Immunization", "AllergyIntolerance", "Claim", "ExplanationOfBenefit", "Practitioner", "CarePlan", "X",
        ];
        thread_local!(static CATALOG: Catalog = shipped());
        let resources: Vec<Value> = parts.into_iter().map(|(kind, mut value)| {
            if let Some(members) = value.as_object_mut() {
                members.insert("resourceType".into(), KINDS[kind].into());
            }
            value
        }).collect();
        let entries: Vec<Value> = resources.iter().map(|r| json!({"fullUrl": "urn:uuid:p", "resource": r})).collect();
        let whole = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        CATALOG.with(|catalog| {
            let mapped = map_bundle(&whole, catalog).unwrap();
            prop_assert_eq!(mapped.mapped + mapped.kept.len(), resources.len());
            prop_assert_eq!(mapped.entries, resources.len());
            Ok(())
        })?;
    }

    #[test]
    fn arbitrary_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse(&bytes);
    }
}

#[test]
fn the_official_examples_are_mapped_or_kept() {
    let Some(folder) = sample("fhir-r4-examples/loose") else {
        eprintln!("skipped: no fhir-r4-examples under MINKANG_SAMPLE_DATA or ../shared/data");
        return;
    };
    let catalog = shipped();
    let tables = Arc::new(catalog.tables.clone());
    let now = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
    let (mut resources, mut mapped, mut rejected) = (0, 0, Vec::new());
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let value = parse(&std::fs::read(&path).unwrap()).unwrap();
        resources += 1;
        let out = map_resources(&[(1, value)], &catalog);
        assert_eq!(out.mapped + out.kept.len(), 1, "{path:?}");
        mapped += out.mapped;
        for row in &out.rows {
            let dataset = catalog.dataset(row.dataset).unwrap();
            let checked = Checker::new(dataset, tables.clone()).check(&row.row, now);
            if checked.rejected {
                let rules: Vec<&str> =
                    checked.issues.iter().map(|i| dataset.rules[usize::from(i.rule)].code.as_str()).collect();
                rejected.push(format!("{path:?} {} {rules:?}", row.dataset));
            }
        }
    }
    println!("{resources} examples, {mapped} mapped, {} rows rejected", rejected.len());
    assert!(mapped > 50);
    // Two examples are patients without a name.
    assert!(rejected.iter().all(|r| r.contains("patient_name.required")), "{rejected:#?}");
}
