//! The generator as a whole: same bytes, clean rows, sums, numbers, rates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;

use catalog::{Catalog, Checker, RawRow};
use chrono::NaiveDateTime;
use demo::mistakes::{Mistake, rate};
use demo::{Division, Manifest, Plan, generate, lay_out, read_divisions};
use kernel::RegionCode;

/// Two counties with invented towns and villages.
fn divisions() -> Vec<Division> {
    let mut list = vec![
        ("410000", "河南省".to_owned()),
        ("411500", "信阳市".to_owned()),
        ("411501", "市辖区".to_owned()),
    ]
    .into_iter()
    .map(|(code, name)| (code.to_owned(), name))
    .collect::<Vec<_>>();
    for (county, name) in [("411502", "浉河区"), ("411503", "平桥区")] {
        list.push((county.to_owned(), name.to_owned()));
        for town in 1..=3 {
            list.push((format!("{county}{town:03}"), format!("试{}镇", ["甲", "乙", "丙"][town - 1])));
            for village in 200..205 {
                list.push((format!("{county}{town:03}{village}"), format!("演{village}村村民委员会")));
            }
        }
    }
    list.into_iter().map(|(code, name)| Division { code: RegionCode::parse(&code).unwrap(), name }).collect()
}

fn plan(people: usize, mistakes: bool) -> Plan {
    let until = "2025-03-18T16:40:00".parse().unwrap();
    Plan { people, years: 2, seed: 1, prefix: "4115".to_owned(), until, mistakes }
}

fn make(plan: &Plan, folder: &Path) -> (Manifest, Catalog) {
    let catalog = catalog::shipped().unwrap();
    let city = lay_out(plan, &divisions()).unwrap();
    let manifest = generate(plan, &city, &catalog, folder, |_| ()).unwrap();
    (manifest, catalog)
}

fn read(path: &Path, gb18030: bool) -> String {
    let mut bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        bytes = plain;
    }
    if gb18030 {
        let (text, _, wrong) = encoding_rs::GB18030.decode(&bytes);
        assert!(!wrong, "{}", path.display());
        text.into_owned()
    } else {
        String::from_utf8(bytes).unwrap()
    }
}

/// Every row of every file, mapped to the fields of its data set.
fn each_row(
    plan: &Plan,
    manifest: &Manifest,
    catalog: &Catalog,
    folder: &Path,
    mut look: impl FnMut(&str, usize, RawRow, NaiveDateTime),
) {
    let city = lay_out(plan, &divisions()).unwrap();
    for upload in &manifest.uploads {
        let sender = city.institutions.iter().position(|i| i.code == upload.institution).unwrap();
        let text = read(&folder.join(&upload.file), city.institutions[sender].style.gb18030);
        let dataset = catalog.dataset(&upload.dataset).unwrap();
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let headings: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mapping = catalog::map_headings(dataset, &headings).unwrap();
        assert!(mapping.unknown.is_empty(), "{}: {:?}", upload.file, mapping.unknown);
        let mut rows = 0;
        for record in reader.records() {
            let record = record.unwrap();
            let cells = mapping.columns.iter().map(|c| record.get(c.unwrap()).map(Into::into)).collect();
            rows += 1;
            look(&upload.dataset, sender, RawRow { number: rows, cells }, upload.received_at);
        }
        assert_eq!(rows, upload.rows, "{}", upload.file);
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = plan(150, true);
    let (first, _) = make(&plan, a.path());
    let (second, _) = make(&plan, b.path());
    assert_eq!(first, second);
    for upload in &first.uploads {
        assert!(
            fs::read(a.path().join(&upload.file)).unwrap() == fs::read(b.path().join(&upload.file)).unwrap(),
            "{}",
            upload.file
        );
    }
    // Beside the uploads only the mark and the manifest, by which a later run knows its work.
    assert_eq!(fs::read_dir(a.path()).unwrap().count(), first.uploads.len() + 2);
    assert_eq!(demo::written(&plan, a.path()), Some(first.clone()));
    assert_eq!(demo::written(&Plan { years: 1, ..plan.clone() }, a.path()), None);
    let other = Plan { seed: 2, ..plan };
    assert_ne!(make(&other, b.path()).0, first);
}

#[test]
fn clean_rows_pass_every_check_and_all_data_sets_occur() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(1_500, false);
    let (manifest, catalog) = make(&plan, folder.path());
    let tables = std::sync::Arc::new(catalog.tables.clone());
    let checkers: HashMap<&str, Checker> =
        catalog.datasets.iter().map(|d| (d.code.as_str(), Checker::new(d, tables.clone()))).collect();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut issues: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let (mut citizens, mut fees): (BTreeSet<String>, HashMap<String, i64>) = Default::default();
    let mut totals: HashMap<String, i64> = HashMap::new();
    let fen = |text: &str| (text.parse::<f64>().unwrap() * 100.0).round() as i64;
    each_row(&plan, &manifest, &catalog, folder.path(), |code, sender, row, received| {
        let dataset = catalog.dataset(code).unwrap();
        *seen.entry(code.to_owned()).or_default() += 1;
        let checked = checkers[code].check(&row, received);
        for issue in &checked.issues {
            let rule = &dataset.rules[usize::from(issue.rule)];
            if rule.dimension != catalog::Dimension::Timeliness {
                let entry = issues.entry(format!("{code}.{}", rule.code)).or_default();
                entry.0 += 1;
                entry.1.clone_from(&issue.value);
            }
        }
        assert!(!checked.rejected, "{code} row {} {:?}", row.number, checked.issues);
        let cell = |name: &str| {
            let at = dataset.fields.iter().position(|f| f.name == name).unwrap();
            row.cells[at].as_deref().unwrap_or_default().to_owned()
        };
        match code {
            "patient" => {
                let number = cell("credential_no");
                if !number.is_empty() {
                    standards::identifiers::CitizenId::parse(&number).unwrap();
                    citizens.insert(number);
                }
            }
            "outpatient_visit" => {
                totals.insert(format!("{sender}{}", cell("visit_no")), fen(&cell("total_fee")));
            }
            "outpatient_fee_item" => {
                *fees.entry(format!("{sender}{}", cell("visit_no"))).or_default() += fen(&cell("amount"));
            }
            "inpatient_stay" if !cell("total_fee").is_empty() => {
                totals.insert(format!("{sender}{}", cell("stay_no")), fen(&cell("total_fee")));
            }
            "inpatient_fee_item" => {
                *fees.entry(format!("{sender}{}", cell("stay_no"))).or_default() += fen(&cell("amount"));
            }
            _ => {}
        }
    });
    eprintln!(
        "{} people, {} rows, {} files, {seen:?}",
        manifest.people,
        manifest.rows,
        manifest.uploads.len()
    );
    assert_eq!(
        seen.len(),
        24,
        "missing data sets: {:?}",
        catalog.datasets.iter().filter(|d| !seen.contains_key(&d.code)).map(|d| &d.code).collect::<Vec<_>>()
    );
    assert_eq!(fees, totals);
    assert!(citizens.len() as u64 > manifest.people / 2);
    assert!(manifest.mistakes.is_empty());
    // Recommended fields may be empty (people without telephone or citizen number); nothing else may be wrong.
    let wrong: Vec<_> =
        issues.iter().filter(|(rule, _)| !EMPTY_IN_LIFE.iter().any(|e| rule.contains(e))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is empty in the life of a clean city.
const EMPTY_IN_LIFE: &[&str] = &[
    "phone.",
    "credential_no.required",
    "credential_kind.required",
    "contact_name.required",
    "contact_relation.required",
];

#[test]
fn mistakes_keep_their_rates() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(1_500, true);
    let (manifest, catalog) = make(&plan, folder.path());
    let rows = manifest.rows as f64;
    for (mistake, least, most) in [
        (Mistake::MissingField, 0.4, 2.0),
        (Mistake::WrongCode, 0.3, 2.0),
        (Mistake::SwappedDates, 0.02, 1.5),
        (Mistake::WrongSum, 0.1, 1.5),
        (Mistake::WrongCheckDigit, 0.02, 1.5),
        (Mistake::FutureDate, 0.2, 2.5),
        (Mistake::Duplicate, 0.4, 2.0),
        (Mistake::Withdrawal, 0.3, 2.0),
    ] {
        let share =
            manifest.mistakes.get(&mistake).copied().unwrap_or_default() as f64 / rows / rate(mistake);
        assert!((least..most).contains(&share), "{mistake:?}: {share:.2} times its rate");
    }
    assert!(
        manifest.mistakes.contains_key(&Mistake::Correction)
            && manifest.mistakes.contains_key(&Mistake::LateFile)
    );
    // Rejected rows stay few, and nothing arrives from the future.
    let tables = std::sync::Arc::new(catalog.tables.clone());
    let checkers: HashMap<&str, Checker> =
        catalog.datasets.iter().map(|d| (d.code.as_str(), Checker::new(d, tables.clone()))).collect();
    let (mut rejected, mut all) = (0u64, 0u64);
    each_row(&plan, &manifest, &catalog, folder.path(), |code, _, row, received| {
        assert!(received <= plan.until);
        rejected += u64::from(checkers[code].check(&row, received).rejected);
        all += 1;
    });
    let share = rejected as f64 / all as f64;
    assert!(share > 0.0 && share < 0.005, "{share}");
}

#[test]
fn a_list_without_the_prefix_is_an_error_that_says_so() {
    let error = lay_out(&Plan { prefix: "4401".to_owned(), ..plan(10, true) }, &divisions()).unwrap_err();
    assert!(error.to_string().contains("4401"), "{error}");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(
        &mut packed,
        "110000000000\t北京市\n410000000000\t河南省\n411500000000\t信阳市\n411503000000\t平桥区\n".as_bytes(),
    )
    .unwrap();
    let read = read_divisions(&packed.finish().unwrap()[..], "4115").unwrap();
    assert_eq!(read.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["河南省", "信阳市", "平桥区"]);
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("theses.txt"), "mine").unwrap();
    let plan = plan(10, true);
    let city = lay_out(&plan, &divisions()).unwrap();
    let error = generate(&plan, &city, &catalog::shipped().unwrap(), folder.path(), |_| ()).unwrap_err();
    assert!(error.to_string().contains("不是空的"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("theses.txt")).unwrap(), "mine");
}

#[test]
fn institutions_are_marked_as_invented_with_valid_codes() {
    let city = lay_out(&plan(20_000, true), &divisions()).unwrap();
    let mut codes = BTreeSet::new();
    for institution in &city.institutions {
        assert!(institution.name.starts_with("（演示）"));
        assert!(standards::identifiers::is_credit_code(&institution.code), "{}", institution.code);
        assert!(codes.insert(institution.code.clone()));
    }
    assert!(city.institutions.iter().any(|i| i.name == "（演示）平桥区试甲镇中心卫生院"));
}

#[test]
fn nobody_is_given_what_their_record_says_they_are_allergic_to() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(1_500, false);
    let (manifest, catalog) = make(&plan, folder.path());
    // What is written of one patient at one institution: allergens, and medicines prescribed or ordered.
    let mut allergens: HashMap<(usize, String), String> = HashMap::new();
    let mut given: Vec<(usize, String, String)> = Vec::new();
    each_row(&plan, &manifest, &catalog, folder.path(), |code, sender, row, _| {
        let dataset = catalog.dataset(code).unwrap();
        let cell =
            |name: &str| row.cells[dataset.field(name).unwrap()].as_deref().unwrap_or_default().to_owned();
        match code {
            "allergy" => {
                allergens.insert((sender, cell("patient_no")), cell("allergen_name"));
            }
            "prescription_item" => given.push((sender, cell("patient_no"), cell("drug_name"))),
            "inpatient_order" => given.push((sender, cell("patient_no"), cell("content"))),
            _ => {}
        }
    });
    let mut looked_at = 0;
    for (sender, patient, medicine) in given {
        let Some(allergen) = allergens.get(&(sender, patient)) else { continue };
        looked_at += 1;
        let family: &[&str] = match allergen.as_str() {
            "青霉素" => &["青霉素", "西林"],
            "头孢类抗生素" => &["头孢"],
            "磺胺类药物" => &["磺胺"],
            _ => &[],
        };
        assert!(!family.iter().any(|f| medicine.contains(f)), "allergic to {allergen}, given {medicine}");
    }
    assert!(looked_at > 50, "{looked_at}");
}
