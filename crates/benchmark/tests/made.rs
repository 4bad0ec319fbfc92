//! What the generator makes: the same for the same seed, at the rates that its definition names, and true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{HashMap, HashSet};

use benchmark::{Kind, Kinds, Level, Plan, Rates, Summary};
use standards::identifiers::CitizenId;

struct Files {
    summary: Summary,
    rows: Vec<HashMap<String, String>>,
    truth: Vec<HashMap<String, String>>,
    bytes: (Vec<u8>, Vec<u8>),
}

fn table(bytes: &[u8]) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let headings = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        headings.iter().zip(record.iter()).map(|(h, c)| (h.to_owned(), c.to_owned())).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn files(level: Level, records: u64, seed: u64) -> Files {
    let plan = Plan { records, level, seed, prefix: "4199".to_owned() };
    let (mut rows, mut truth) = (Vec::new(), Vec::new());
    let summary = benchmark::generate(&plan, &common::divisions(), &mut rows, &mut truth).unwrap();
    Files { summary, rows: table(&rows), truth: table(&truth), bytes: (rows, truth) }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (one, again, other) =
        (files(Level::Hard, 3_000, 1), files(Level::Hard, 3_000, 1), files(Level::Hard, 3_000, 2));
    assert_eq!(one.bytes, again.bytes);
    assert_eq!(one.summary, again.summary);
    assert_ne!(one.bytes.0, other.bytes.0);
}

#[test]
fn both_files_tell_of_the_same_registrations() {
    let made = files(Level::Middle, 5_000, 3);
    assert_eq!((made.rows.len(), made.truth.len(), made.summary.records), (5_000, 5_000, 5_000));
    let mut people: HashMap<&str, u64> = HashMap::new();
    for (row, truth) in made.rows.iter().zip(&made.truth) {
        assert_eq!(row["record_id"], truth["record_id"]);
        assert_eq!(row["truth_person"], truth["person"]);
        *people.entry(&truth["person"]).or_default() += 1;
    }
    assert_eq!(people.len() as u64, made.summary.people);
    assert_eq!(people.values().map(|n| n * (n - 1) / 2).sum::<u64>(), made.summary.pairs);
    let share = made.summary.people as f64 / 5_000.0;
    assert!((0.55..0.68).contains(&share), "about six people for ten registrations: {share}");
    // No institution gives a local number twice.
    let local: HashSet<(&str, &str)> =
        made.rows.iter().map(|r| (r["institution"].as_str(), r["local_no"].as_str())).collect();
    assert_eq!(local.len(), 5_000);
}

/// A registration without any kind says the truth; what a kind says happened did happen.
#[test]
fn kinds_tell_what_is_wrong_with_a_row() {
    let made = files(Level::Hard, 20_000, 5);
    let mut seen: HashMap<Kind, u64> = HashMap::new();
    let mut numbers: HashMap<String, String> = HashMap::new();
    for (row, truth) in made.rows.iter().zip(&made.truth) {
        let kinds = Kinds::parse(&truth["errors"]);
        kinds.iter().for_each(|kind| *seen.entry(kind).or_default() += 1);
        let any = |list: &[Kind]| list.iter().any(|kind| kinds.has(*kind));
        if !any(&[
            Kind::NewbornRegistered,
            Kind::UnknownPatient,
            Kind::NameChanged,
            Kind::NameHomophone,
            Kind::NameShape,
            Kind::NamePinyin,
            Kind::RareCharacter,
            Kind::DotVariant,
            Kind::Transliteration,
            Kind::NameTraditional,
            Kind::ChildNickname,
            Kind::NameCut,
            Kind::ForeignOrder,
        ]) {
            assert_eq!(row["name"], truth["true_name"], "{row:?}");
        }
        let births = [
            Kind::BirthSwapped,
            Kind::BirthYear,
            Kind::BirthDay,
            Kind::BirthLunar,
            Kind::BirthDefault,
            Kind::BirthMissing,
        ];
        if !any(&births) && !kinds.has(Kind::UnknownPatient) {
            assert_eq!(row["birth_date"], truth["true_birth_date"]);
        } else if !kinds.has(Kind::UnknownPatient) {
            assert_ne!(row["birth_date"], truth["true_birth_date"]);
        }
        let number = &row["citizen_id"];
        let foreign = any(&[Kind::NewbornUnderMother, Kind::ChildUnderParent, Kind::BorrowedCard]);
        if any(&[Kind::CitizenDigit, Kind::CitizenTransposed]) && !foreign {
            // One in eleven wrong numbers would pass the check digit by chance; a transposition or single digit never does.
            assert!(CitizenId::parse(number).is_err(), "{number}");
        } else if !number.is_empty() && !foreign {
            let id = CitizenId::parse(number).unwrap();
            assert_eq!(id.birth().to_string(), truth["true_birth_date"]);
            let owner = numbers.entry(id.as_str().to_owned()).or_insert_with(|| truth["person"].clone());
            assert_eq!(*owner, truth["person"], "a number belongs to one person");
        }
        assert_eq!(kinds.has(Kind::CitizenOld), number.len() == 15);
        assert_eq!(kinds.has(Kind::AddressMissing), row["address"].is_empty());
        assert!(
            row["registered_on"].as_str() >= truth["true_birth_date"].as_str(),
            "registered before birth: {row:?}"
        );
    }
    for kind in Kind::ALL {
        let rare = [Kind::BirthSwapped, Kind::UnknownPatient, Kind::Namesake, Kind::ForeignOrder];
        assert!(seen.contains_key(kind) || rare.contains(kind), "{kind:?} never happened");
    }
}

#[test]
fn rates_are_kept() {
    for level in [Level::Easy, Level::Hard] {
        let rates = Rates::shipped(level).unwrap();
        let made = files(level, 20_000, 7);
        for (kind, tolerance) in [
            (Kind::CitizenMissing, 0.2),
            (Kind::PhoneMissing, 0.15),
            (Kind::AddressMissing, 0.15),
            (Kind::Duplicate, 0.35),
            (Kind::PhoneShared, 0.35),
            (Kind::AddressShort, 0.3),
        ] {
            let share = made.summary.kinds[kind as usize] as f64 / made.summary.records as f64;
            let wanted = rates.of(kind);
            assert!(
                (share / wanted - 1.0).abs() < tolerance,
                "{level:?} {kind:?}: {share} instead of {wanted}"
            );
        }
        // Typing errors happen where nothing was read from a card: fewer than the rate among all, some all the same.
        let typed = made.summary.kinds[Kind::NameHomophone as usize] as f64 / made.summary.records as f64;
        assert!(
            typed < rates.of(Kind::NameHomophone) && typed > 0.2 * rates.of(Kind::NameHomophone),
            "{typed}"
        );
    }
}

/// The names are drawn as the country's are, as far as the published counts go (compared in place, never copied).
#[test]
fn surnames_are_as_frequent_as_in_the_country() {
    let folder = std::env::var("MINKANG_SAMPLE_DATA").map_or_else(
        |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        std::path::PathBuf::from,
    );
    let Ok(mut reader) = csv::Reader::from_path(folder.join("cn-names/familyname.csv")) else {
        eprintln!("left out: no cn-names under {}", folder.display());
        return;
    };
    let mut country: HashMap<String, f64> = HashMap::new();
    for record in reader.records().map(Result::unwrap) {
        country.insert(record[0].to_owned(), record[4].parse().unwrap());
    }
    let whole: f64 = country.values().sum();
    let names = demo::names::Names::new();
    let mut dice = demo::random::Random::new(11);
    let mut drawn: HashMap<&str, f64> = HashMap::new();
    let many = 200_000;
    for _ in 0..many {
        *drawn.entry(names.surname(&mut dice)).or_default() += 1.0;
    }
    // The chance that two people have the same surname, which is what a weight by frequency lives on.
    let same =
        |counts: &mut dyn Iterator<Item = f64>, whole: f64| counts.map(|n| (n / whole).powi(2)).sum::<f64>();
    let ours = same(&mut drawn.values().copied(), f64::from(many));
    let theirs = same(&mut country.values().copied(), whole);
    assert!((ours / theirs - 1.0).abs() < 0.25, "{ours} instead of {theirs}");
    for name in ["王", "李", "张", "刘", "陈"] {
        let (a, b) = (drawn[name] / f64::from(many), country[name] / whole);
        assert!((a / b - 1.0).abs() < 0.25, "{name}: {a} instead of {b}");
    }
}
