//! How fast the generator is: `cargo run --release -p minkang-demo --example speed -- <divisions.tsv.gz> [people]`.

#![allow(clippy::print_stdout)] // the example's output

use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let list = args.next().ok_or("give the list of divisions")?;
    let people = args.next().map_or(Ok(20_000), |p| p.parse())?;
    let plan = demo::Plan {
        people,
        years: 2,
        seed: 1,
        prefix: "4115".to_owned(),
        until: "2025-03-18T16:40:00".parse()?,
        mistakes: true,
    };
    let catalog = catalog::shipped().map_err(|problems| format!("{problems:?}"))?;
    let divisions = demo::read_divisions(std::fs::File::open(list)?, &plan.prefix)?;
    let city = demo::lay_out(&plan, &divisions)?;
    for institution in &city.institutions {
        println!("{} {} {}", institution.code, institution.name, institution.carelessness);
    }
    let folder = std::env::temp_dir().join("minkang-demo-speed");
    let began = Instant::now();
    let manifest = demo::generate(&plan, &city, &catalog, &folder, |_| ())?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} people, {} rows, {} files in {seconds:.1} s: {:.0} rows/s; {:?}",
        manifest.people,
        manifest.rows,
        manifest.uploads.len(),
        manifest.rows as f64 / seconds,
        manifest.mistakes
    );
    let mut sets = std::collections::BTreeMap::<_, u64>::new();
    for upload in &manifest.uploads {
        *sets.entry(upload.dataset.as_str()).or_default() += upload.rows;
    }
    println!("{sets:?}");
    Ok(())
}
