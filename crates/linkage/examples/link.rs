//! Links a CSV file without being told anything of it and scores the result:
//! `cargo run --release -p minkang-linkage --example link -- FILE.csv --id COL --truth COL|febrl [--model FILE] [--show]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use linkage::{Batch, Column, Model, Options, evaluate, guess_model};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned();
    let files: Vec<&String> = args.iter().take_while(|a| !a.starts_with("--")).collect();
    let (id, truth) = (option("--id"), option("--truth").expect("--truth COL or febrl"));
    let show = args.iter().any(|a| a == "--show");
    let start = Instant::now();
    if let (Some(path), false) = (option("--model"), show) {
        lean(&files, &path, id.as_deref(), &truth, start);
        return;
    }
    let (mut header, mut rows) = (Vec::new(), Vec::new());
    for file in &files {
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_path(file).unwrap();
        header = reader.headers().unwrap().iter().map(str::to_owned).collect::<Vec<_>>();
        rows.extend(reader.records().map(Result::unwrap));
    }
    let column =
        |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
    let label: Vec<String> = if truth == "febrl" {
        rows.iter().map(|r| r[0].split('-').nth(1).unwrap().to_owned()).collect()
    } else {
        let at = column(&truth);
        rows.iter().map(|r| r[at].to_owned()).collect()
    };
    let skip: Vec<usize> =
        (option("--skip").unwrap_or_default().split(',').filter(|s| !s.is_empty()).map(column))
            .chain(id.as_deref().map(column))
            .chain((truth != "febrl").then(|| column(&truth)))
            .chain((truth == "febrl").then_some(0))
            .collect();
    let used: Vec<usize> = (0..header.len()).filter(|c| !skip.contains(c)).collect();
    let columns: Vec<Column<'_>> = (used.iter())
        .map(|c| Column { name: &header[*c], values: rows.iter().map(|r| r.get(*c).unwrap_or("")).collect() })
        .collect();
    let model = match option("--model") {
        Some(path) => Model::parse(&std::fs::read_to_string(path).unwrap()).unwrap(),
        None => guess_model(&columns).unwrap(),
    };
    println!("read {:.2}s", start.elapsed().as_secs_f64());
    let mut batch = Batch::new(&model, rows.len());
    for row in &rows {
        let values = used.iter().map(|c| (header[*c].as_str(), row.get(*c).unwrap_or("")));
        batch.push(model.prepare(values));
    }
    println!("prepared {:.2}s", start.elapsed().as_secs_f64());
    let options = Options::default();
    let trained = batch.train("trained", &options);
    println!("trained {:.2}s, {} rounds", start.elapsed().as_secs_f64(), trained.rounds);
    let mut model = model.clone().with_trained(&trained);
    if let Some(link) = option("--link") {
        let link: f64 = link.parse().unwrap();
        model = model.with_thresholds(link, link.min(0.3));
    }
    let linked = batch.link(&model, &options);
    println!("linked {:.2}s", start.elapsed().as_secs_f64());
    if show {
        println!("matches per record {:.3}", trained.matches_per_record);
        for f in &trained.fields {
            let levels: Vec<String> = f
                .levels
                .iter()
                .map(|l| format!("{} {:.4}/{:.6} {:+.1}", l.name, l.m, l.u, (l.m / l.u).log2()))
                .collect();
            println!("{:>14} {}", f.name, levels.join("  "));
        }
        for r in &trained.relations {
            println!("relation {} {:.4}", r.name, r.per_record);
        }
        println!("{:?}", linked.report);
        let mut shown = 0;
        for h in &linked.holds {
            if label[h.a as usize] == label[h.b as usize] && shown < 20 {
                shown += 1;
                println!(
                    "held {:?} {:.1}: {:?} | {:?}",
                    h.reason, h.score, rows[h.a as usize], rows[h.b as usize]
                );
            }
        }
        let mut wrong = 0;
        for (r, p) in linked.assignment.iter().enumerate() {
            if label[r] != label[*p as usize] && wrong < 20 {
                wrong += 1;
                println!(
                    "wrong: {:?} | {:?} {:?}",
                    rows[r],
                    rows[*p as usize],
                    batch.levels(&model, r as u32, *p)
                );
            }
        }
        let mut missed = 0;
        let mut firsts = std::collections::HashMap::new();
        for (r, l) in label.iter().enumerate() {
            let first = *firsts.entry(l.clone()).or_insert(r);
            if linked.assignment[first] != linked.assignment[r] && missed < 25 {
                missed += 1;
                println!(
                    "missed: {:?} | {:?} {:?}",
                    rows[r],
                    rows[first],
                    batch.levels(&model, r as u32, first as u32)
                );
            }
        }
    }
    let scores = evaluate(&label, &linked.assignment);
    // What a review desk would add: every held pair that is right, merged.
    let mut merged = linked.assignment.clone();
    let mut right = 0;
    for h in linked.holds.iter().filter(|h| label[h.a as usize] == label[h.b as usize]) {
        let (keep, gone) = (merged[h.a as usize], merged[h.b as usize]);
        right += 1;
        for m in merged.iter_mut().filter(|m| **m == gone) {
            *m = keep;
        }
    }
    let after = evaluate(&label, &merged);
    println!(
        "{right} of {} holds right; with them recall {:.4}: {:.2} of the rest",
        linked.holds.len(),
        after.pairs.recall,
        (after.pairs.recall - scores.pairs.recall) / (1.0 - scores.pairs.recall).max(1e-9)
    );
    println!(
        "{} records, {} persons, {} holds | pairs P {:.4} R {:.4} F1 {:.4} | clusters P {:.4} R {:.4} F1 {:.4}",
        rows.len(),
        linked.report.persons,
        linked.holds.len(),
        scores.pairs.precision,
        scores.pairs.recall,
        scores.pairs.f1,
        scores.clusters.precision,
        scores.clusters.recall,
        scores.clusters.f1
    );
}

/// As the program does it: rows are forgotten once prepared.
fn lean(files: &[&String], model: &str, id: Option<&str>, truth: &str, start: Instant) {
    let model = Model::parse(&std::fs::read_to_string(model).unwrap()).unwrap();
    let mut batch = Batch::new(&model, 1_000_000);
    let mut labels: Vec<Box<str>> = Vec::new();
    for file in files {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).unwrap();
        let header = reader.headers().unwrap().clone();
        let place = |name: &str| header.iter().position(|h| h == name);
        let (id, truth) = (id.and_then(place), place(truth).unwrap());
        let columns: Vec<Option<usize>> = (model.fields())
            .map(|(name, _)| place(name).filter(|at| Some(*at) != id && *at != truth))
            .collect();
        let mut chunk = Vec::new();
        let mut rows = reader.records().map(Result::unwrap);
        loop {
            chunk.extend(rows.by_ref().take(50_000));
            if chunk.is_empty() {
                break;
            }
            labels.extend(chunk.iter().map(|row: &csv::StringRecord| Box::from(&row[truth])));
            batch.push_all(&chunk, 0, |model, row| {
                let values: Vec<&str> = columns.iter().map(|at| at.map_or("", |at| &row[at])).collect();
                model.prepare_in_order(&values)
            });
            chunk.clear();
        }
    }
    println!("prepared {:.2}s", start.elapsed().as_secs_f64());
    let options = Options::default();
    let trained = batch.train("trained", &options);
    println!("trained {:.2}s, {} rounds", start.elapsed().as_secs_f64(), trained.rounds);
    let model = model.clone().with_trained(&trained);
    let linked = batch.link(&model, &options);
    println!("linked {:.2}s: {:?}", start.elapsed().as_secs_f64(), linked.report);
    let scores = evaluate(&labels, &linked.assignment);
    println!("{} holds, {scores:?}", linked.holds.len());
}
