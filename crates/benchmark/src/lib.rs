//! The Chinese benchmark of the person index: registrations as the institutions of a city make them, with the truth.
//!
//! Pure but for the writers it is given: no database, no network, no clock. The same [`Plan`] gives the same bytes on any
//! machine. The city and its institutions are those of the demonstration ([`demo`]); the people are its own, because
//! here families, namesakes and what changes in a life matter more than illnesses. What goes wrong, and how often, is
//! data with reasons: `catalog/person-index/benchmark.toml`. Nobody in it lives: numbers have serials from 500 up,
//! institutions have codes of an authority that does not exist.
//!
//! [`score`] compares what a program found with the truth, by kind of mistake. `docs/person-index.md` tells how to run it.

mod lunar;
mod names;
mod people;
mod rates;
mod register;
mod score;
mod spelling;
mod write;

use std::io::Write;

use demo::{City, Division};

pub use lunar::lunar;
pub use people::{Household, Papers, Person, Population};
pub use rates::{Kind, Kinds, Level, Rates};
pub use register::{Desk, Registration};
pub use score::{Agreement, Mistaken, OfKind, Review, Score, Truth};
pub use write::{COLUMNS, Files, TRUTH_COLUMNS};

use names::Given;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Registrations; people are about six for every ten.
    pub records: u64,
    /// How dirty.
    pub level: Level,
    /// Seed of the dice.
    pub seed: u64,
    /// Division code of the city (4 digits) or county (6).
    pub prefix: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self { records: 1_000_000, level: Level::Hard, seed: 1, prefix: "4115".to_owned() }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Registrations.
    pub records: u64,
    /// People with a registration.
    pub people: u64,
    /// Pairs of registrations of one person.
    pub pairs: u64,
    /// How many registrations have each kind of oddity, in the order of [`Kind::ALL`].
    pub kinds: Vec<u64>,
}

/// Why a benchmark cannot be made or scored. The text is for the user.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The definition of rates.
    #[error("基准数据的差错定义有误：{0}")]
    Rates(String),
    /// The divisions.
    #[error(transparent)]
    City(#[from] demo::Fault),
    /// A file.
    #[error("文件读写失败：{0}")]
    File(#[from] std::io::Error),
    /// What a file holds.
    #[error("{0}")]
    Content(String),
}

/// The city of a plan, for [`generate`]. Ten people for each six thousand make a village, as in the demonstration.
pub fn lay_out(plan: &Plan, divisions: &[Division]) -> Result<City, Fault> {
    let until = people::first_day() + chrono::TimeDelta::days(i64::from(people::DAYS));
    let plan = demo::Plan {
        people: (plan.records as usize * 6 / 10).max(200),
        years: 1,
        seed: plan.seed,
        prefix: plan.prefix.clone(),
        until: until.and_time(chrono::NaiveTime::MIN),
        mistakes: false,
    };
    Ok(demo::lay_out(&plan, divisions)?)
}

/// Makes registrations and hands each to `take` with its household, until there are as many as planned.
pub fn make(
    plan: &Plan,
    rates: &Rates,
    city: &City,
    mut take: impl FnMut(&Household, &Registration) -> Result<(), Fault>,
) -> Result<Summary, Fault> {
    let names = Given::new();
    let mut population = Population::new(rates, city, &names, plan.seed);
    let mut desk = Desk::new(rates, city, plan.seed);
    let mut summary = Summary { records: 0, people: 0, pairs: 0, kinds: vec![0; Kind::ALL.len()] };
    let mut rows = Vec::new();
    while summary.records < plan.records {
        let household = population.household();
        rows.clear();
        desk.registrations(&household, &mut rows);
        rows.truncate((plan.records - summary.records) as usize);
        let mut last = None;
        let mut of_person = 0;
        for row in &rows {
            if last != Some(row.person) {
                (last, of_person) = (Some(row.person), 0);
                summary.people += 1;
            }
            summary.pairs += of_person;
            of_person += 1;
            summary.records += 1;
            for kind in row.kinds.iter() {
                summary.kinds[kind as usize] += 1;
            }
            take(&household, row)?;
        }
    }
    Ok(summary)
}

/// Writes a benchmark: registrations to `rows`, the truth to `truth`.
pub fn generate(
    plan: &Plan,
    divisions: &[Division],
    rows: impl Write,
    truth: impl Write,
) -> Result<Summary, Fault> {
    let rates = Rates::shipped(plan.level)?;
    let city = lay_out(plan, divisions)?;
    let mut files = Files::new(rows, truth, plan.seed)?;
    let summary = make(plan, &rates, &city, |household, row| {
        let person = household.people.iter().find(|person| person.number == row.person);
        let (name, birth) = person.map_or_else(Default::default, |p| (p.name.as_str(), p.birth.to_string()));
        files.add(row, name, &birth)
    })?;
    files.finish()?;
    Ok(summary)
}
