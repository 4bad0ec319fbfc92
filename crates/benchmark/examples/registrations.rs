//! Writes a benchmark without the whole program: `registrations DIVISIONS.tsv.gz LEVEL RECORDS SEED OUT.csv`, with the truth
//! beside it in `OUT.truth.csv`. The list of divisions is `web/dist/divisions.tsv.gz`.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::BufWriter;

use benchmark::{Kind, Level, Plan, Rates, Score, Truth};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [score, truth, clusters, rest @ ..] = words.as_slice()
        && score == "score"
    {
        let truth = Truth::read(File::open(truth)?)?;
        let review = rest.first().map(File::open).transpose()?;
        let score = Score::of(&truth, File::open(clusters)?, review)?;
        println!("{}", score.report(&Rates::shipped(Level::Hard)?));
        return Ok(());
    }
    let [divisions, level, records, seed, out] = words.as_slice() else {
        return Err(
            "registrations DIVISIONS LEVEL RECORDS SEED OUT.csv | score TRUTH CLUSTERS [REVIEW]".into()
        );
    };
    let plan = Plan {
        records: records.parse()?,
        level: Level::parse(level).ok_or("level: easy, middle or hard")?,
        seed: seed.parse()?,
        ..Plan::default()
    };
    let divisions = demo::read_divisions(File::open(divisions)?, &plan.prefix)?;
    let truth = out.replace(".csv", ".truth.csv");
    let (rows, truth) = (BufWriter::new(File::create(out)?), BufWriter::new(File::create(truth)?));
    let summary = benchmark::generate(&plan, &divisions, rows, truth)?;
    println!("registrations {}, people {}, pairs {}", summary.records, summary.people, summary.pairs);
    for kind in Kind::ALL {
        let share = summary.kinds[*kind as usize] as f64 / summary.records as f64;
        println!("{:<22} {:.5}", kind.code(), share);
    }
    Ok(())
}
