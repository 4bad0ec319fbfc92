//! The shipped data sets: the conventions that other parts rely on, and rows that are sound or broken in one way.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use catalog::{Catalog, Checker, Dimension, EntryKind, RawRow};
use chrono::NaiveDateTime;

/// Codes in the order of their numbers.
const DATASETS: [&str; 24] = [
    "patient",
    "outpatient_visit",
    "visit_diagnosis",
    "prescription",
    "prescription_item",
    "outpatient_fee_item",
    "inpatient_stay",
    "inpatient_order",
    "inpatient_fee_item",
    "case_front_page",
    "operation",
    "discharge_summary",
    "lab_report",
    "lab_result",
    "exam_report",
    "physical_exam",
    "allergy",
    "immunization",
    "hypertension_followup",
    "diabetes_followup",
    "birth",
    "death",
    "infectious_card",
    "report_file",
];

const PERSON: &[(&str, &str)] = &[
    ("patient_no", "P1"),
    ("patient_name", "王秀英"),
    ("sex", "2"),
    ("birth_date", "1949-12-31"),
    ("credential_kind", "01"),
    ("credential_no", "11010519491231002X"),
    ("phone", "13800000000"),
];

const VISIT: &[(&str, &str)] = &[
    ("visit_no", "V1"),
    ("visit_kind", "1"),
    ("visit_time", "2025-03-04 09:30:00"),
    ("department_name", "内科"),
    ("doctor_name", "李强"),
    ("chief_complaint", "头晕三天"),
    ("diagnosis_code", "I10"),
    ("diagnosis_name", "高血压"),
    ("systolic", "150"),
    ("diastolic", "95"),
    ("total_fee", "120.50"),
    ("insurance_fee", "80"),
    ("personal_fee", "40.5"),
];

const FRONT_PAGE: &[(&str, &str)] = &[
    ("stay_no", "S1"),
    ("case_no", "B1"),
    ("admitted_at", "2025-02-20 10:00"),
    ("discharged_at", "2025-03-03 09:00"),
    ("days", "11"),
    ("diagnosis_code", "I63.900"),
    ("diagnosis_name", "脑梗死"),
    ("diagnosis_poa", "1"),
    ("other_diagnosis_1_code", "I10.x00"),
    ("other_diagnosis_1_name", "特发性高血压"),
    ("other_diagnosis_1_poa", "1"),
    ("discharge_way", "1"),
    ("allergy_flag", "1"),
    ("total_fee", "8000"),
    ("nursing_fee", "1000"),
    ("laboratory_fee", "2500"),
    ("western_drug_fee", "4500"),
    ("antibiotic_fee", "300"),
];

const FEE: &[(&str, &str)] = &[
    ("fee_no", "F1"),
    ("visit_no", "V1"),
    ("patient_no", "P1"),
    ("charge_kind", "1"),
    ("charged_at", "2025-03-04 10:00"),
    ("fee_class", "09"),
    ("item_code", "X1"),
    ("item_name", "苯磺酸氨氯地平片"),
    ("unit_price", "12.5"),
    ("quantity", "2"),
    ("amount", "25"),
];

const RESULT: &[(&str, &str)] = &[
    ("report_no", "L1"),
    ("item_no", "1"),
    ("patient_no", "P1"),
    ("item_code", "GLU"),
    ("item_name", "葡萄糖"),
    ("result_number", "6.8"),
    ("unit", "mmol/L"),
    ("reference_low", "3.9"),
    ("reference_high", "6.1"),
    ("abnormal_flag", "H"),
    ("reported_at", "2025-03-04 11:00"),
];

const DOSE: &[(&str, &str)] = &[
    ("immunization_no", "J1"),
    ("vaccine_code", "0201"),
    ("vaccine_name", "乙肝疫苗"),
    ("dose_no", "1"),
    ("vaccinated_at", "2025-03-04"),
    ("expires_on", "2026-03-04"),
    ("reaction", "1"),
];

const CARD: &[(&str, &str)] = &[
    ("card_report_no", "K1"),
    ("report_kind", "1"),
    ("crowd", "16"),
    ("case_class", "3"),
    ("onset_on", "2025-03-01"),
    ("diagnosed_at", "2025-03-04 08:00"),
    ("disease_code", "3500"),
    ("filled_at", "2025-03-04 09:00"),
];

type Cells = &'static [(&'static str, &'static str)];
/// Data set, sound row, whether the person's fields go with it, change, broken rules, rejected.
type Case = (&'static str, Cells, bool, Cells, &'static [&'static str], bool);

fn received() -> NaiveDateTime {
    "2025-03-04T18:00:00".parse().unwrap()
}

/// The codes of the rules that a row breaks, those of missing recommended fields left out; and whether it is rejected.
fn broken(catalog: &Catalog, dataset: &str, cells: &[(&str, &str)]) -> (Vec<String>, bool) {
    let dataset = catalog.dataset(dataset).unwrap();
    let mut raw = RawRow { number: 1, cells: vec![None; dataset.fields.len()] };
    for (name, text) in cells {
        let position = dataset.field(name).unwrap();
        raw.cells[position] = Some((*text).into());
    }
    let checked = Checker::new(dataset, Arc::new(catalog.tables.clone())).check(&raw, received());
    let rules = checked.issues.iter().map(|issue| &dataset.rules[usize::from(issue.rule)]);
    let codes =
        rules.filter(|r| r.check != catalog::Check::Required || r.reject).map(|r| r.code.clone()).collect();
    (codes, checked.rejected)
}

#[test]
fn data_sets_keep_the_conventions() {
    let catalog = catalog::shipped().unwrap();
    assert_eq!(catalog.datasets.len(), DATASETS.len());
    for (number, code) in (1..).zip(DATASETS) {
        let dataset = catalog.dataset(code).unwrap();
        assert_eq!(dataset.number, number, "{code}");
        let person = dataset.person.as_ref().unwrap();
        assert_eq!(dataset.field("patient_no"), Some(person.local_no), "{code}");
        assert_eq!(person.registration, code == "patient");
        assert_eq!(dataset.field("revision_mark"), dataset.revision, "{code}");
        assert!(!dataset.standard.is_empty() && !dataset.description.is_empty(), "{code}");
        assert_eq!(dataset.record.is_none(), code == "patient", "{code}");
        // A score has all its dimensions only where each is looked at.
        for dimension in Dimension::ALL {
            assert!(dataset.rules.iter().any(|r| r.dimension == dimension), "{code} {dimension:?}");
        }
        if let Some(parent) = &dataset.parent {
            assert!(dataset.rules.iter().any(|r| r.check == catalog::Check::BelongsTo), "{code} {parent:?}");
        }
        if dataset.record.as_ref().is_some_and(|r| r.entry == EntryKind::Part) {
            assert!(dataset.parent.is_some(), "{code}: a part needs something to be part of");
        }
    }
}

#[test]
fn rows_break_the_rules_they_should() {
    let catalog = catalog::shipped().unwrap();
    let cases: &[Case] = &[
        ("outpatient_visit", VISIT, true, &[], &[], false),
        ("outpatient_visit", VISIT, true, &[("personal_fee", "50")], &["total_fee.sum_equals"], false),
        ("outpatient_visit", VISIT, true, &[("systolic", "1500")], &["systolic.range"], false),
        ("outpatient_visit", VISIT, true, &[("diastolic", "")], &["diastolic.required_if"], false),
        ("outpatient_visit", VISIT, true, &[("diagnosis_name", "")], &["diagnosis_name.required_if"], false),
        (
            "outpatient_visit",
            VISIT,
            true,
            &[("visit_time", "2025-03-05 09:00")],
            &["visit_time.not_future"],
            true,
        ),
        (
            "outpatient_visit",
            VISIT,
            true,
            &[("visit_time", "2025-03-01 09:00")],
            &["visit_time.timely"],
            false,
        ),
        (
            "outpatient_visit",
            VISIT,
            true,
            &[("credential_no", "110105194912310021")],
            &["credential_no.citizen_id"],
            false,
        ),
        ("outpatient_visit", VISIT, true, &[("sex", "1")], &["credential_no.agrees_with_citizen_id"], false),
        ("outpatient_visit", VISIT, true, &[("patient_name", "不详")], &["patient_name.format"], false),
        ("case_front_page", FRONT_PAGE, true, &[], &[], false),
        ("case_front_page", FRONT_PAGE, true, &[("nursing_fee", "900")], &["total_fee.sum_equals"], false),
        ("case_front_page", FRONT_PAGE, true, &[("allergy_flag", "2")], &["allergy_drug.required_if"], false),
        (
            "case_front_page",
            FRONT_PAGE,
            true,
            &[("discharge_way", "2")],
            &["receiving_institution.required_if"],
            false,
        ),
        (
            "case_front_page",
            FRONT_PAGE,
            true,
            &[("other_diagnosis_1_name", "")],
            &["other_diagnosis_1_name.required_if"],
            false,
        ),
        (
            "case_front_page",
            FRONT_PAGE,
            true,
            &[("admitted_at", "2025-03-03 10:00")],
            &["discharged_at.not_before_admitted_at"],
            false,
        ),
        ("outpatient_fee_item", FEE, false, &[], &[], false),
        ("outpatient_fee_item", FEE, false, &[("quantity", "3")], &["amount.product_equals"], false),
        (
            "outpatient_fee_item",
            FEE,
            false,
            &[("charge_kind", "2"), ("quantity", "-2"), ("amount", "-25")],
            &[],
            false,
        ),
        ("lab_result", RESULT, false, &[], &[], false),
        ("lab_result", RESULT, false, &[("abnormal_flag", "偏高")], &[], false),
        ("lab_result", RESULT, false, &[("unit", "")], &["unit.required_if"], false),
        (
            "lab_result",
            RESULT,
            false,
            &[("result_number", "阳性")],
            &["result_number.type", "result_text.any_of"],
            true,
        ),
        ("immunization", DOSE, true, &[], &[], false),
        (
            "immunization",
            DOSE,
            true,
            &[("expires_on", "2025-03-01")],
            &["expires_on.not_before_vaccinated_at"],
            false,
        ),
        (
            "immunization",
            DOSE,
            true,
            &[("birth_date", "2025-03-05")],
            &["credential_no.agrees_with_citizen_id", "vaccinated_at.not_before_birth_date"],
            false,
        ),
        ("infectious_card", CARD, true, &[], &[], false),
        ("infectious_card", CARD, true, &[("crowd", "3")], &["employer.required_if"], false),
        (
            "infectious_card",
            CARD,
            true,
            &[("onset_on", "2025-03-04"), ("diagnosed_at", "2025-03-02 08:00")],
            &["diagnosed_at.not_before_onset_on", "diagnosed_at.timely"],
            false,
        ),
    ];
    for (dataset, base, with_person, change, rules, rejected) in cases {
        let person = if *with_person { PERSON } else { &[] };
        let cells = [person, base, change].concat();
        let (mut codes, was_rejected) = broken(&catalog, dataset, &cells);
        codes.sort();
        assert_eq!(codes, *rules, "{dataset} {change:?}");
        assert_eq!(was_rejected, *rejected, "{dataset} {change:?}");
    }
}
