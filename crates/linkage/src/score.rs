//! Weights and decisions: what the levels of two records say together.

use std::sync::Arc;

use crate::compare::outcome;
use crate::model::{Like, Model, level};
use crate::value::Record;
use crate::{Frequencies, Trained};

/// Most bits that the frequency of one value may add to or take from its agreement.
const MOST_FREQUENCY_BITS: f64 = 12.0;

/// Bits of a pair that must not be linked.
pub(crate) const VETO: f64 = -60.0;
/// Bits of a pair that a deterministic rule links, at least.
const RULE: f64 = 20.0;

/// What comparing two records says.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Bits of evidence: log2 of how much likelier this agreement is for one person than for two.
    pub weight: f64,
    /// Probability that both are one person, given also how many people there are.
    pub probability: f64,
    /// What each field adds to the weight, missing values left out. `关系` stands for what agreement is worth less
    /// because relatives share it. The weights add up to `weight`.
    pub contributions: Vec<Contribution>,
    /// The veto that forbids the link whatever the weight, by name.
    pub veto: Option<Arc<str>>,
    /// The doubt that leaves the link to people whatever the weight (a veto goes before), by name.
    pub doubt: Option<Arc<str>>,
    /// The deterministic rule that links whatever the weight (vetoes and doubts go before), by name.
    pub rule: Option<Arc<str>>,
}

/// What one field says.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Name of the field; empty for the discount of relatives.
    pub field: Arc<str>,
    /// Name of the level of agreement.
    pub level: Arc<str>,
    /// Bits, negative against.
    pub weight: f64,
}

/// What follows from a comparison of two records alone; the last word has [`crate::cluster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// One person.
    Link,
    /// People should look.
    Review,
    /// Two people, or not enough known.
    Apart,
}

/// Logarithms of the model's parameters, ready to be added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights {
    /// By field and level: log2 m and log2 u; level 0 (missing) is 0.
    pub m: Vec<[f64; 16]>,
    pub u: Vec<[f64; 16]>,
    /// By relation: its parameters by field and level.
    pub relations: Vec<Vec<[f64; 16]>>,
    /// Names of fields and levels, shared by all explanations.
    names: Vec<(Arc<str>, Vec<Arc<str>>)>,
    vetoes: Vec<Arc<str>>,
    rules: Vec<Arc<str>>,
    doubts: Vec<Arc<str>>,
    related: Vec<Arc<str>>,
}

fn logs(levels: impl Iterator<Item = f64>) -> [f64; 16] {
    let mut out = [0.0; 16];
    for (slot, p) in out.iter_mut().skip(1).zip(levels) {
        *slot = p.max(1e-12).log2();
    }
    out
}

impl Weights {
    pub(crate) fn of(model: &Model) -> Self {
        let relations = (model.relations.iter())
            .map(|r| {
                (r.fields.iter().zip(&model.fields))
                    .map(|(like, field)| match like {
                        Like::Strangers => logs(field.levels.iter().map(|l| l.u)),
                        Like::Same => logs(field.levels.iter().map(|l| l.m)),
                        Like::Own(shares) => logs(shares.iter().copied()),
                    })
                    .collect()
            })
            .collect();
        Self {
            m: model.fields.iter().map(|f| logs(f.levels.iter().map(|l| l.m))).collect(),
            u: model.fields.iter().map(|f| logs(f.levels.iter().map(|l| l.u))).collect(),
            relations,
            names: (model.fields.iter())
                .map(|f| (Arc::from(&*f.name), f.levels.iter().map(|l| Arc::from(&*l.name)).collect()))
                .collect(),
            vetoes: model.vetoes.iter().map(|v| Arc::from(&*v.name)).collect(),
            rules: model.rules.iter().map(|v| Arc::from(&*v.name)).collect(),
            doubts: model.doubts.iter().map(|v| Arc::from(&*v.name)).collect(),
            related: model.relations.iter().map(|r| Arc::from(&*r.name)).collect(),
        }
    }
}

/// log2(2^a + 2^b) without overflow.
pub(crate) fn log_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    high + (1.0 + (low - high).exp2()).log2()
}

/// The probability of bits.
#[must_use]
pub(crate) fn probability(bits: f64) -> f64 {
    1.0 / (1.0 + (-bits).exp2())
}

/// The bits of a probability.
#[must_use]
pub(crate) fn bits(probability: f64) -> f64 {
    let p = probability.clamp(1e-15, 1.0 - 1e-15);
    (p / (1.0 - p)).log2()
}

impl Model {
    /// Levels of all fields of two records, packed four bits each.
    pub(crate) fn pattern(&self, a: &Record, b: &Record) -> u64 {
        let mut pattern = 0_u64;
        for (at, field) in self.fields.iter().enumerate() {
            if let (Some(x), Some(y)) = (a.value(at), b.value(at)) {
                let outcome = if x.hash == y.hash { x.equal_outcome() } else { outcome(field.kind, x, y) };
                if let Some(outcome) = outcome {
                    pattern |= u64::from(field.level_of[usize::from(outcome)]) << (4 * at);
                }
            }
        }
        self.swapped(pattern, |at| a.value(at).map(|v| v.group), |at| b.value(at).map(|v| v.group))
    }

    /// Replaces the levels of two exchanged fields by their level `swapped`.
    pub(crate) fn swapped(
        &self,
        mut pattern: u64,
        a: impl Fn(usize) -> Option<u64>,
        b: impl Fn(usize) -> Option<u64>,
    ) -> u64 {
        for (at, field) in self.fields.iter().enumerate() {
            let Some(other) = field.swap else { continue };
            let swapped = |f: usize| {
                self.fields[f].levels.iter().position(|l| l.name == "swapped").map(|p| p as u64 + 1)
            };
            if level(pattern, at) == 1 || level(pattern, other) == 1 {
                continue;
            }
            let same = |x: Option<u64>, y: Option<u64>| x.is_some() && x == y;
            let (over, back) = (same(a(at), b(other)), same(a(other), b(at)));
            // One name in the wrong place and nothing in the other: Robyn, – and –, Robyn.
            let half = (over && (a(other).is_none() || b(at).is_none()))
                || (back && (a(at).is_none() || b(other).is_none()));
            let Some((here, there)) = swapped(at).zip(swapped(other)) else { continue };
            if over && back {
                pattern &= !(15 << (4 * at) | 15 << (4 * other));
                pattern |= here << (4 * at) | there << (4 * other);
            } else if half && at < other {
                pattern &= !(15 << (4 * at) | 15 << (4 * other));
                pattern |= here << (4 * at);
            }
        }
        pattern
    }

    /// Bits that the frequency of a shared value adds (rare) or takes (common): `seen` of `filled` registrations.
    pub(crate) fn frequency_bits(&self, field: usize, seen: f64, filled: f64) -> f64 {
        // Of those seen, the pair itself and what the same people registered elsewhere are not other people. Among
        // rare values the number of others is less than can be counted: the average of the field stands in.
        let average = self.fields[field].levels[0].u;
        let others = (seen - 1.0 - 2.0 * self.matches_per_record).max(0.0);
        let share = (others + (average * filled).min(1.0)) / filled.max(1.0);
        (average / share.max(1e-12)).log2().clamp(-MOST_FREQUENCY_BITS, MOST_FREQUENCY_BITS)
    }

    /// The bits of a pattern, prior left out, with the frequency bits of its agreements.
    pub(crate) fn bits_of(&self, pattern: u64, frequency: f64, records: f64) -> f64 {
        let (mut same, mut strangers) = (0.0, -frequency);
        for at in 0..self.fields.len() {
            let l = level(pattern, at);
            same += self.weights.m[at][l];
            strangers += self.weights.u[at][l];
        }
        let mut apart = strangers;
        for (relation, weights) in self.relations.iter().zip(&self.weights.relations) {
            let share = relation.per_record / records.max(2.0);
            if share > 0.0 {
                let sum: f64 = (0..self.fields.len()).map(|at| weights[at][level(pattern, at)]).sum();
                apart = log_sum(apart, share.log2() + sum);
            }
        }
        same - apart
    }

    /// log2 of the odds that two registrations, nothing known of them, are of one person.
    #[must_use]
    pub fn prior_bits(&self, records: u64) -> f64 {
        (self.matches_per_record.max(1e-6) / (records as f64).max(2.0)).log2()
    }

    /// Weighs two records. `frequencies` are those of the whole registry, in which both have been counted.
    #[must_use]
    pub fn compare(&self, a: &Record, b: &Record, frequencies: &Frequencies) -> Comparison {
        let pattern = self.pattern(a, b);
        let mut contributions = Vec::with_capacity(self.fields.len() + 1);
        let mut frequency = 0.0;
        for (at, field) in self.fields.iter().enumerate() {
            let l = level(pattern, at);
            if l == 0 {
                continue;
            }
            let mut weight = self.weights.m[at][l] - self.weights.u[at][l];
            if field.frequency
                && l <= self.same_levels(at)
                && let (Some(x), Some(y)) = (a.value(at), b.value(at))
                && x.group == y.group
            {
                let (seen, filled) = frequencies.count(&field.name, x.group);
                let more = self.frequency_bits(at, seen as f64, filled as f64);
                weight += more;
                frequency += more;
            }
            let (name, levels) = &self.weights.names[at];
            contributions.push(Contribution { field: name.clone(), level: levels[l - 1].clone(), weight });
        }
        let records = frequencies.records();
        let weight = self.bits_of(pattern, frequency, records as f64);
        let discount = weight - contributions.iter().map(|c| c.weight).sum::<f64>();
        if let Some(level) = self.weights.related.first()
            && discount < -0.05
        {
            contributions.push(Contribution { field: Arc::from(""), level: level.clone(), weight: discount });
        }
        let named = |list: &[crate::model::When], names: &[Arc<str>]| {
            list.iter().position(|w| w.holds(pattern)).map(|at| names[at].clone())
        };
        let veto = named(&self.vetoes, &self.weights.vetoes);
        let doubt = if veto.is_some() { None } else { named(&self.doubts, &self.weights.doubts) };
        let rule =
            if veto.is_some() || doubt.is_some() { None } else { named(&self.rules, &self.weights.rules) };
        let score = self.judged(pattern, weight + self.prior_bits(records));
        let probability = if veto.is_some() { 0.0 } else { probability(score) };
        Comparison { weight, probability, contributions, veto, doubt, rule }
    }

    /// The bits of a pattern (with prior) after vetoes, doubts and rules have had their say.
    pub(crate) fn judged(&self, pattern: u64, score: f64) -> f64 {
        let any = |list: &[crate::model::When]| list.iter().any(|w| w.holds(pattern));
        if any(&self.vetoes) {
            VETO
        } else if any(&self.doubts) {
            score.min(bits(self.link) - 0.1)
        } else if any(&self.rules) {
            score.max(RULE)
        } else {
            score
        }
    }

    /// How many of a field's best levels mean that the values are the same (by [`crate::Model::counted`]).
    pub(crate) fn same_levels(&self, at: usize) -> usize {
        if self.fields[at].levels.get(1).is_some_and(|l| l.name == "variant") { 2 } else { 1 }
    }

    /// The band into which a comparison falls.
    #[must_use]
    pub fn decide(&self, comparison: &Comparison) -> Decision {
        if comparison.veto.is_some() {
            Decision::Apart
        } else if comparison.probability >= self.link {
            Decision::Link
        } else if comparison.probability >= self.review {
            Decision::Review
        } else {
            Decision::Apart
        }
    }

    /// The score that [`crate::cluster`] wants for a pair: bits with the prior; great for a deterministic rule, very
    /// small for a veto.
    #[must_use]
    pub fn edge_score(&self, comparison: &Comparison, records: u64) -> f32 {
        if comparison.veto.is_some() {
            return VETO as f32;
        }
        let score = comparison.weight + self.prior_bits(records);
        let score = match (&comparison.doubt, &comparison.rule) {
            (Some(_), _) => score.min(bits(self.link) - 0.1),
            (None, Some(_)) => score.max(RULE),
            (None, None) => score,
        };
        score as f32
    }

    /// The learnable parameters as they stand.
    #[must_use]
    pub fn parameters(&self) -> Trained {
        Trained::of(self)
    }
}
