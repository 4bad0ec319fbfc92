//! Learning without labels: parameters of simulated data are found again; public truth sets are linked as they should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use linkage::{Batch, Column, Model, Options, Trained, evaluate, guess_model};

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// 3,000 persons, half of them registered twice, each field of the second changed with a chance of its own.
fn simulated() -> (Vec<[String; 4]>, Vec<usize>) {
    let mut dice = Dice(42);
    let (mut rows, mut truth) = (Vec::new(), Vec::new());
    for person in 0..3000 {
        let row = [
            format!("fore{}", dice.roll(300)),
            format!("family{}", dice.roll(500)),
            format!("{:04}-{:02}-{:02}", 1930 + dice.roll(80), 1 + dice.roll(12), 1 + dice.roll(28)),
            format!("town{}", dice.roll(40)),
        ];
        rows.push(row.clone());
        truth.push(person);
        if person % 2 == 0 {
            let other = [
                if dice.roll(100) < 10 { format!("quite{}", dice.roll(300)) } else { row[0].clone() },
                if dice.roll(100) < 20 { format!("unlike{}", dice.roll(500)) } else { row[1].clone() },
                if dice.roll(100) < 5 {
                    format!("{:04}-06-15", 1900 + dice.roll(25))
                } else {
                    row[2].clone()
                },
                if dice.roll(100) < 30 { format!("elsewhere{}", dice.roll(40)) } else { row[3].clone() },
            ];
            rows.push(other);
            truth.push(person);
        }
    }
    (rows, truth)
}

const SIMPLE: &str = r#"
version = "simple"
[thresholds]
link = 0.9
review = 0.3
[[field]]
name = "fore"
kind = "category"
[[field]]
name = "family"
kind = "category"
[[field]]
name = "birth"
kind = "category"
[[field]]
name = "town"
kind = "category"
[[block]]
name = "fore"
on = ["fore", "town"]
[[block]]
name = "family"
on = ["family"]
[[block]]
name = "birth"
on = ["birth"]
"#;

#[test]
fn parameters_of_simulated_data_are_found_again() {
    let model = Model::parse(SIMPLE).unwrap();
    let (rows, truth) = simulated();
    let mut batch = Batch::new(&model, rows.len());
    for row in &rows {
        batch.push(model.prepare_in_order(&[&row[0], &row[1], &row[2], &row[3]]));
    }
    let trained = batch.train("simple-1", &Options::default());
    let m = |name: &str| trained.fields.iter().find(|f| f.name == name).unwrap().levels[0].m;
    let u = |name: &str| trained.fields.iter().find(|f| f.name == name).unwrap().levels[0].u;
    for (field, right, strangers) in [
        ("fore", 0.9, 1.0 / 300.0),
        ("family", 0.8, 1.0 / 500.0),
        ("birth", 0.95, 1.0 / 26_880.0),
        ("town", 0.7, 1.0 / 40.0),
    ] {
        assert!((m(field) - right).abs() < 0.03, "m of {field}: {}", m(field));
        assert!((u(field) / strangers).log2().abs() < 0.6, "u of {field}: {} {strangers}", u(field));
    }
    // 1,500 of 4,500 records have one other each: two thirds of a match for each record.
    assert!((trained.matches_per_record - 2.0 / 3.0).abs() < 0.03, "{}", trained.matches_per_record);
    let linked = batch.link(&model.clone().with_trained(&trained), &Options::default());
    let scores = evaluate(&truth, &linked.assignment);
    assert!(scores.pairs.precision > 0.97 && scores.pairs.recall > 0.9, "{scores:?}");
    assert_eq!(trained.version, "simple-1");
    let kept: Trained = serde_json::from_str(&serde_json::to_string(&trained).unwrap()).unwrap();
    let in_force = model.clone().with_trained(&kept).parameters();
    for (field, learnt) in in_force.fields.iter().zip(&trained.fields) {
        for (a, b) in field.levels.iter().zip(&learnt.levels) {
            assert!((a.m - b.m).abs() < 1e-9 && (a.u - b.u).abs() < 1e-9, "{} {}", field.name, a.name);
        }
    }
    // The same data in another order, on another number of threads, teaches the same.
    let mut again = Batch::new(&model, rows.len());
    again.push_all(&rows, 3, |model, row| model.prepare_in_order(&[&row[0], &row[1], &row[2], &row[3]]));
    assert_eq!(again.train("simple-1", &Options { threads: 3, ..Options::default() }), trained);
}

fn sample(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MINKANG_SAMPLE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let file = folder.join(path);
    if !file.exists() {
        eprintln!("left out: no {} (set MINKANG_SAMPLE_DATA)", file.display());
        return None;
    }
    Some(file)
}

/// Links a public set with a model guessed from its columns.
fn public(
    path: &str,
    truth: impl Fn(&csv::StringRecord) -> String,
    leave: &[&str],
) -> Option<linkage::Scores> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(sample(path)?).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let labels: Vec<String> = rows.iter().map(truth).collect();
    let columns: Vec<Column<'_>> = (header.iter().enumerate())
        .filter(|(_, name)| !leave.contains(name))
        .map(|(at, name)| Column { name, values: rows.iter().map(|r| r.get(at).unwrap_or("")).collect() })
        .collect();
    let model = guess_model(&columns).unwrap();
    let mut batch = Batch::new(&model, rows.len());
    for row in &rows {
        batch.push(model.prepare(header.iter().zip(row.iter()).filter(|(name, _)| !leave.contains(name))));
    }
    let options = Options::default();
    let trained = batch.train("learnt", &options);
    let linked = batch.link(&model.clone().with_trained(&trained), &options);
    Some(evaluate(&labels, &linked.assignment))
}

#[test]
fn german_names_and_births() {
    let Some(scores) = public("empi-rldata/RLdata500.csv", |r| r[7].to_owned(), &["ident"]) else { return };
    assert!(scores.pairs.precision >= 0.98 && scores.pairs.recall >= 0.94, "{scores:?}");
}

#[test]
fn australian_registrations() {
    let person = |r: &csv::StringRecord| r[0].split('-').nth(1).unwrap().to_owned();
    let Some(scores) = public("empi-febrl/dataset1.csv", person, &["rec_id"]) else { return };
    assert!(scores.pairs.f1 >= 0.999, "{scores:?}");
}
