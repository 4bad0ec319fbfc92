//! Learning the parameters from unlabelled data: expectation and maximisation over counted patterns.
//!
//! All pairs of records are the data, not only the candidates: what is no candidate counts as two people. The shares
//! among strangers (u) come from random pairs and from exact counts of equal values, less the share that pairs of one
//! person have in them; the shares within a person (m), how many registrations a person has, and how many pairs are
//! relatives come from the candidates, each weighed by how probably it is one person.

use serde::{Deserialize, Serialize};

use crate::model::{Like, Model, level};
use crate::score::log_sum;

/// Learnt parameters, to be kept and put in force with [`Model::with_trained`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trained {
    /// Name of this version; decisions record it.
    pub version: String,
    /// Of an average registration: how many others are of the same person.
    pub matches_per_record: f64,
    /// By field.
    pub fields: Vec<TrainedField>,
    /// How common the related are.
    pub relations: Vec<TrainedRelation>,
    /// Registrations learnt from.
    pub records: u64,
    /// Rounds until nothing changed.
    pub rounds: u32,
}

/// Parameters of a field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainedField {
    /// Name of the field.
    pub name: String,
    /// Its levels, best first.
    pub levels: Vec<TrainedLevel>,
}

/// Parameters of a level.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainedLevel {
    /// Name of the level.
    pub name: String,
    /// Its share among pairs of one person.
    pub m: f64,
    /// Its share among pairs of strangers.
    pub u: f64,
}

/// How common a kind of relatives is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainedRelation {
    /// Name of the relation.
    pub name: String,
    /// Registrations of such relatives for each registration.
    pub per_record: f64,
}

impl Trained {
    /// The parameters of a model as they stand.
    pub(crate) fn of(model: &Model) -> Self {
        Self {
            version: model.version.clone(),
            matches_per_record: model.matches_per_record,
            fields: (model.fields.iter())
                .map(|f| TrainedField {
                    name: f.name.clone(),
                    levels: (f.levels.iter())
                        .map(|l| TrainedLevel { name: l.name.clone(), m: l.m, u: l.u })
                        .collect(),
                })
                .collect(),
            relations: (model.relations.iter())
                .map(|r| TrainedRelation { name: r.name.clone(), per_record: r.per_record })
                .collect(),
            records: 0,
            rounds: 0,
        }
    }
}

/// What is counted before training.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// Registrations.
    pub records: u64,
    /// Candidates by pattern and frequency bits (rounded), each with how many pairs it stands for.
    pub patterns: Vec<(u64, f64, f64)>,
    /// By field: pairs of registrations that both have a value.
    pub filled: Vec<f64>,
    /// By field and level: share among those pairs.
    pub shares: Vec<Vec<f64>>,
    /// By field and level: the least that a share can be told from nothing.
    pub least: Vec<Vec<f64>>,
}

const MOST_ROUNDS: u32 = 200;
/// Bits of what cannot be.
const NEVER: f64 = -300.0;
/// Weight of the editor's guess beside the data, in pairs.
const GUESS: f64 = 8.0;

/// Learns from counts.
pub(crate) fn learn(model: &Model, counted: &Counted, version: &str) -> Trained {
    let fields = model.fields.len();
    let guess: Vec<Vec<f64>> = model.fields.iter().map(|f| f.levels.iter().map(|l| l.m).collect()).collect();
    let mut m = guess.clone();
    let mut u: Vec<Vec<f64>> = model.fields.iter().map(|f| f.levels.iter().map(|l| l.u).collect()).collect();
    // The frequency bits of equal values were taken against these shares: they go with them while learning.
    let reference: Vec<f64> = u.iter().map(|levels| levels[0]).collect();
    let mut matches = model.matches_per_record;
    let mut related: Vec<f64> = model.relations.iter().map(|r| r.per_record).collect();
    let records = counted.records.max(2) as f64;
    let mut rounds = 0;
    while rounds < MOST_ROUNDS {
        rounds += 1;
        let logs = |table: &[Vec<f64>]| -> Vec<[f64; 16]> {
            table
                .iter()
                .map(|levels| {
                    let mut row = [0.0; 16];
                    for (slot, p) in row.iter_mut().skip(1).zip(levels) {
                        *slot = p.max(1e-12).log2();
                    }
                    row
                })
                .collect()
        };
        let (log_m, mut log_u) = (logs(&m), logs(&u));
        for ((row, field), share) in log_u.iter_mut().zip(&model.fields).zip(&reference) {
            if field.frequency {
                row[1] = share.max(1e-12).log2();
            }
        }
        let log_related: Vec<Vec<[f64; 16]>> = (model.relations.iter())
            .map(|r| {
                let table: Vec<Vec<f64>> = (r.fields.iter().enumerate())
                    .map(|(at, like)| match like {
                        Like::Strangers => u[at].clone(),
                        Like::Same => m[at].clone(),
                        Like::Own(own) => own.clone(),
                    })
                    .collect();
                logs(&table)
            })
            .collect();
        let prior = (matches.max(1e-9) / records).log2();
        let mut sums: Vec<Vec<f64>> = m.iter().map(|l| vec![0.0; l.len()]).collect();
        let mut total = 0.0;
        let mut related_sums = vec![0.0; related.len()];
        let mut bits = vec![0.0; related.len()];
        for (pattern, frequency, count) in &counted.patterns {
            let (mut same, mut apart) = (prior, -frequency);
            for at in 0..fields {
                let l = level(*pattern, at);
                same += log_m[at][l];
                apart += log_u[at][l];
            }
            if model.vetoes.iter().any(|v| v.holds(*pattern)) {
                same = NEVER;
            }
            let mut all = log_sum(same, apart);
            for ((bits, table), share) in bits.iter_mut().zip(&log_related).zip(&related) {
                *bits = (share.max(1e-9) / records).log2()
                    + (0..fields).map(|at| table[at][level(*pattern, at)]).sum::<f64>();
                all = log_sum(all, *bits);
            }
            let one = (same - all).exp2() * count;
            total += one;
            for (sum, bits) in related_sums.iter_mut().zip(&bits) {
                *sum += (bits - all).exp2() * count;
            }
            if one > 1e-12 {
                for (at, sums) in sums.iter_mut().enumerate() {
                    if let Some(sum) = level(*pattern, at).checked_sub(1).and_then(|l| sums.get_mut(l)) {
                        *sum += one;
                    }
                }
            }
        }
        let before = (m.clone(), matches);
        matches = (2.0 * total / records).clamp(1e-6, records);
        for (share, sum) in related.iter_mut().zip(&related_sums) {
            *share = (2.0 * sum / records).clamp(1e-6, 50.0);
        }
        for at in 0..fields {
            let filled: f64 = sums[at].iter().sum();
            for l in 0..m[at].len() {
                m[at][l] = ((sums[at][l] + GUESS * guess[at][l]) / (filled + GUESS)).max(1e-6);
                if counted.filled[at] > 0.0 {
                    let pairs = counted.filled[at];
                    let apart = counted.shares[at][l] * pairs - sums[at][l];
                    u[at][l] = (apart / (pairs - filled).max(1.0)).max(counted.least[at][l]).min(1.0);
                }
            }
        }
        let change = (m.iter().flatten().zip(before.0.iter().flatten()))
            .map(|(x, y)| (x - y).abs())
            .fold((matches - before.1).abs() / matches, f64::max);
        if change < 1e-5 {
            break;
        }
    }
    let mut out = Trained::of(model);
    version.clone_into(&mut out.version);
    out.matches_per_record = matches;
    for (at, field) in out.fields.iter_mut().enumerate() {
        for (l, level) in field.levels.iter_mut().enumerate() {
            level.m = m[at][l];
            level.u = u[at][l];
        }
    }
    for (relation, share) in out.relations.iter_mut().zip(related) {
        relation.per_record = share;
    }
    out.records = counted.records;
    out.rounds = rounds;
    out
}
