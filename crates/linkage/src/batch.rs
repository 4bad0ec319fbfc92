//! A whole file or registry in memory: blocking by sorting, scoring on all cores, training, clustering.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Frequencies;
use crate::blocks::{Blocks, blocks};
use crate::cluster::{Clustering, Constraints, Edge, Hold, cluster};
use crate::compare::outcome;
use crate::keys::{ByHash, mix};
use crate::model::{Model, level};
use crate::score::{VETO, bits, probability};
use crate::train::{Counted, Trained, learn};
use crate::value::{Record, Value};

/// Random pairs from which the shares among strangers are taken.
const RANDOM_PAIRS: usize = 800_000;
/// Candidate pairs from which is learnt at most; of more, a random part.
const TRAINING_PAIRS: u64 = 4_000_000;
/// A mark for a value that is missing.
const NONE: u32 = u32::MAX;

/// What a batch is doing, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Sorting the blocking keys.
    Blocking,
    /// Counting patterns of candidates.
    Counting,
    /// Estimating parameters.
    Learning,
    /// Scoring all candidates.
    Scoring,
    /// Deciding who is one person.
    Clustering,
}

/// How a batch is linked.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads to use; 0 for as many as the machine has.
    pub threads: usize,
    /// Pairs of records that people have decided to be two persons.
    pub apart: &'a [(u32, u32)],
    /// Pairs of records that people have decided to be one person.
    pub together: &'a [(u32, u32)],
    /// Called with what is being done, how much of it is done, and how much there is.
    pub progress: &'a (dyn Fn(Phase, usize, usize) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { threads: 0, apart: &[], together: &[], progress: &|_, _, _| {} }
    }
}

impl Options<'_> {
    fn threads(&self) -> usize {
        if self.threads > 0 {
            self.threads
        } else {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Registrations.
    pub records: usize,
    /// Persons found.
    pub persons: usize,
    /// Candidate pairs that were compared.
    pub pairs: u64,
    /// Pairs good enough to matter.
    pub edges: usize,
    /// Keys with more registrations than their rule allows, by rule: they were passed over.
    pub passed_over: Vec<(String, usize)>,
    /// Pairs by rule that this rule was the first to find.
    pub found_by: Vec<(String, u64)>,
}

/// The result of linking a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Linked {
    /// By record: the smallest record of its person.
    pub assignment: Vec<u32>,
    /// Pairs that people should look at, best first; `probability` of a score: [`Linked::probability`].
    pub holds: Vec<Hold>,
    /// Figures of the run.
    pub report: Report,
}

impl Linked {
    /// The probability that belongs to the score of a hold.
    #[must_use]
    pub fn probability(score: f32) -> f64 {
        probability(f64::from(score))
    }
}

/// Registrations in memory, ready to be learnt from and linked. Values are kept once each.
#[derive(Debug)]
pub struct Batch<'m> {
    model: &'m Model,
    columns: Vec<Column>,
    /// By record and field: the value's place in its column.
    rows: Vec<u32>,
    /// Blocking keys: the two halves of the key, the record.
    entries: Vec<[u32; 3]>,
    blocks: Option<Blocks>,
    /// By record: its exclusive value or 0.
    exclusive: Vec<u64>,
    /// By record: a hash of all its values.
    order: Vec<u64>,
    records: usize,
    /// Counts of the registry that the batch is a part of; `None`: it is the whole of it.
    part_of: Option<Frequencies>,
}

#[derive(Debug, Default)]
struct Column {
    index: ByHash<u32>,
    values: Vec<Value>,
    /// By value: registrations that have its group.
    counts: Vec<u32>,
    /// By value: registrations that have itself.
    uses: Vec<u32>,
    filled: u64,
}

impl<'m> Batch<'m> {
    /// An empty batch, with room for an expected number of records.
    #[must_use]
    pub fn new(model: &'m Model, expected: usize) -> Self {
        let fields = model.fields.len();
        Self {
            model,
            columns: (0..fields).map(|_| Column::default()).collect(),
            rows: Vec::with_capacity(expected * fields),
            entries: Vec::with_capacity(expected * model.blocks.len()),
            blocks: None,
            exclusive: Vec::with_capacity(expected),
            order: Vec::with_capacity(expected),
            records: 0,
            part_of: None,
        }
    }

    /// Links as the registry would that the batch is a sample of: with its counts of values and its number of
    /// registrations. To be said before [`Batch::link`]; not for learning.
    pub fn part_of(&mut self, registry: Frequencies) {
        self.part_of = Some(registry);
    }

    /// Registrations of the registry.
    fn registry(&self) -> u64 {
        self.part_of.as_ref().map_or(self.records as u64, Frequencies::records)
    }

    /// Adds a registration prepared by the same model; gives its number.
    pub fn push(&mut self, record: Record) -> u32 {
        let keys = self.model.keys(&record);
        self.push_with_keys(record, &keys)
    }

    /// Adds a registration whose keys have been made (on another thread).
    pub fn push_with_keys(&mut self, record: Record, keys: &[crate::Key]) -> u32 {
        let number = self.records as u32;
        self.records += 1;
        self.blocks = None;
        self.exclusive.push(self.model.exclusive(&record).unwrap_or(0));
        for key in keys {
            self.entries.push([(key.hash >> 32) as u32, key.hash as u32, number]);
        }
        let mut order = 0;
        for (column, value) in self.columns.iter_mut().zip(record.into_values()) {
            let Some(value) = value else {
                self.rows.push(NONE);
                order = mix(order, 0);
                continue;
            };
            order = mix(order, value.hash);
            column.filled += 1;
            let at = *column.index.entry(value.hash).or_insert_with(|| {
                column.values.push(value);
                column.uses.push(0);
                column.values.len() as u32 - 1
            });
            column.uses[at as usize] += 1;
            self.rows.push(at);
        }
        self.order.push(order);
        number
    }

    /// Adds many registrations, prepared on all threads.
    pub fn push_all<R: Sync>(
        &mut self,
        rows: &[R],
        threads: usize,
        read: impl Fn(&Model, &R) -> Record + Sync,
    ) {
        let threads = Options { threads, ..Options::default() }.threads();
        let model = self.model;
        let parts: Vec<Vec<(Record, Vec<crate::Key>)>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (rows.chunks(rows.len().div_ceil(threads).max(1)))
                .map(|part| {
                    let read = &read;
                    let prepare = move |row| {
                        let record = read(model, row);
                        let keys = model.keys(&record);
                        (record, keys)
                    };
                    scope.spawn(move || part.iter().map(prepare).collect())
                })
                .collect();
            handles.into_iter().filter_map(|h| h.join().ok()).collect()
        });
        for (record, keys) in parts.into_iter().flatten() {
            self.push_with_keys(record, &keys);
        }
    }

    /// Registrations in the batch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Counts of the values whose frequency matters, for a registry that goes on linking one by one.
    #[must_use]
    pub fn frequencies(&self) -> Frequencies {
        let mut out = Frequencies::default();
        out.set_records(self.records as u64);
        for (field, column) in self.model.fields.iter().zip(&self.columns).filter(|(f, _)| f.frequency) {
            let mut groups: ByHash<u32> = ByHash::default();
            for (value, uses) in column.values.iter().zip(&column.uses) {
                *groups.entry(value.group).or_default() += uses;
            }
            for (group, count) in groups {
                out.set(&field.name, group, count);
            }
        }
        out
    }

    /// Counts and blocks, made once when the last record is in.
    fn settle(&mut self, options: &Options<'_>) {
        if self.blocks.is_some() {
            return;
        }
        (options.progress)(Phase::Blocking, 0, 1);
        for (field, column) in self.model.fields.iter().zip(&mut self.columns) {
            if let Some(registry) = self.part_of.as_ref().filter(|_| field.frequency) {
                let count = |v: &Value| registry.count(&field.name, v.group);
                column.counts =
                    column.values.iter().map(|v| u32::try_from(count(v).0).unwrap_or(u32::MAX)).collect();
                column.filled = registry.count(&field.name, 0).1;
                continue;
            }
            let mut groups: ByHash<u32> = ByHash::default();
            for (value, uses) in column.values.iter().zip(&column.uses) {
                *groups.entry(value.group).or_default() += uses;
            }
            column.counts =
                column.values.iter().map(|v| groups.get(&v.group).copied().unwrap_or(1)).collect();
        }
        let caps: Vec<u32> = self.model.blocks.iter().map(|b| b.cap).collect();
        let entries = std::mem::take(&mut self.entries);
        self.blocks = Some(blocks(entries, &caps, self.records, options.threads()));
        (options.progress)(Phase::Blocking, 1, 1);
    }

    fn row(&self, record: u32) -> &[u32] {
        let fields = self.columns.len();
        let from = record as usize * fields;
        &self.rows[from..from + fields]
    }

    /// Whether a field excludes that two records are one person.
    fn excluded(&self, a: u32, b: u32) -> bool {
        let (p, q) = (self.exclusive[a as usize], self.exclusive[b as usize]);
        p != 0 && q != 0 && p != q
    }

    /// The levels of two records.
    fn pattern(&self, model: &Model, a: u32, b: u32) -> u64 {
        let (x, y) = (self.row(a), self.row(b));
        let mut pattern = 0_u64;
        for (at, field) in model.fields.iter().enumerate() {
            if x[at] == NONE || y[at] == NONE {
                continue;
            }
            let column = &self.columns[at];
            let left = &column.values[x[at] as usize];
            let result = if x[at] == y[at] {
                left.equal_outcome()
            } else {
                outcome(field.kind, left, &column.values[y[at] as usize])
            };
            if let Some(result) = result {
                pattern |= u64::from(field.level_of[usize::from(result)]) << (4 * at);
            }
        }
        model.swapped(pattern, |at| self.group(x, at), |at| self.group(y, at))
    }

    fn group(&self, row: &[u32], at: usize) -> Option<u64> {
        (row[at] != NONE).then(|| self.columns[at].values[row[at] as usize].group)
    }

    /// The levels of two records and the frequency bits of their agreements.
    fn compare(&self, model: &Model, a: u32, b: u32) -> (u64, f64) {
        let (x, y) = (self.row(a), self.row(b));
        let pattern = self.pattern(model, a, b);
        let mut frequency = 0.0;
        for (at, field) in model.fields.iter().enumerate() {
            let l = level(pattern, at);
            if field.frequency
                && l > 0
                && l <= model.same_levels(at)
                && self.group(x, at) == self.group(y, at)
            {
                let seen = self.columns[at].counts[x[at] as usize];
                frequency += model.frequency_bits(at, f64::from(seen), self.columns[at].filled as f64);
            }
        }
        (pattern, frequency)
    }

    /// Bits with the prior of two records, or what a veto or rule makes of them.
    fn score(&self, model: &Model, a: u32, b: u32) -> f32 {
        if self.excluded(a, b) {
            return VETO as f32;
        }
        let (pattern, frequency) = self.compare(model, a, b);
        self.score_of(model, pattern, frequency)
    }

    fn score_of(&self, model: &Model, pattern: u64, frequency: f64) -> f32 {
        let records = self.registry();
        let score = model.bits_of(pattern, frequency, records as f64) + model.prior_bits(records);
        model.judged(pattern, score) as f32
    }

    /// Learns parameters from the batch.
    pub fn train(&mut self, version: &str, options: &Options<'_>) -> Trained {
        self.settle(options);
        let mut counted = self.strangers(options.threads());
        // Frequency bits are taken against the share of equal values, which must be known first.
        let mut model = self.model.clone();
        for (at, field) in model.fields.iter_mut().enumerate() {
            for (l, level) in field.levels.iter_mut().enumerate() {
                if counted.filled[at] > 0.0 {
                    level.u = counted.shares[at][l].max(counted.least[at][l]).min(1.0);
                }
            }
        }
        let model = Model::assemble(model);
        // The first round learns how many registrations a person has and what strangers share once the pairs of one
        // person are taken off; with that the frequency bits of the second are right.
        counted.patterns = self.patterns(&model, options);
        (options.progress)(Phase::Learning, 0, 2);
        let first = model.clone().with_trained(&learn(&model, &counted, version));
        counted.patterns = self.patterns(&first, options);
        (options.progress)(Phase::Learning, 1, 2);
        let trained = learn(&first, &counted, version);
        (options.progress)(Phase::Learning, 2, 2);
        trained
    }

    /// Shares of the levels among random pairs; of equal values exactly.
    fn strangers(&self, threads: usize) -> Counted {
        let fields = self.columns.len();
        let n = self.records as u64;
        let all = n * n.saturating_sub(1) / 2;
        let wanted = all.min(RANDOM_PAIRS as u64);
        let levels: Vec<usize> = self.model.fields.iter().map(|f| f.levels.len()).collect();
        let part = |from: u64, to: u64| -> Vec<[u64; 16]> {
            let mut counts = vec![[0_u64; 16]; fields];
            for k in from..to {
                // All pairs of a small file, hashed ones of a large one.
                let (a, b) = if wanted == all {
                    pair_number(k)
                } else {
                    let a = mix(0x51_7c_c1, k) % n;
                    let b = mix(0x27_22_0a, k ^ a.rotate_left(32)) % (n - 1);
                    (a, if b >= a { b + 1 } else { b })
                };
                self.count_levels(a as u32, b as u32, &mut counts);
            }
            counts
        };
        let threads = threads.max(1) as u64;
        let parts: Vec<Vec<[u64; 16]>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|t| {
                    let part = &part;
                    scope.spawn(move || part(wanted * t / threads, wanted * (t + 1) / threads))
                })
                .collect();
            handles.into_iter().filter_map(|h| h.join().ok()).collect()
        });
        let mut counted = Counted { records: n, ..Counted::default() };
        for at in 0..fields {
            let column = &self.columns[at];
            let filled = column.filled as f64 * (column.filled as f64 - 1.0).max(0.0) / 2.0;
            let mut counts = vec![0_u64; levels[at]];
            for part in &parts {
                for (sum, count) in counts.iter_mut().zip(&part[at][1..]) {
                    *sum += count;
                }
            }
            let seen = counts.iter().sum::<u64>().max(1) as f64;
            let mut shares: Vec<f64> = counts.iter().map(|c| *c as f64 / seen).collect();
            let mut least = vec![0.5 / seen; levels[at]];
            let equal: f64 = column.uses.iter().map(|u| f64::from(*u) * (f64::from(*u) - 1.0) / 2.0).sum();
            let best = usize::from(self.model.fields[at].level_of[0]) - 1;
            // Where equality is a level of its own it is counted exactly.
            if self.model.fields[at].level_of[1] != self.model.fields[at].level_of[0] && filled > 0.0 {
                shares[best] = equal / filled;
                least[best] = 0.5 / filled.max(1.0);
            }
            counted.filled.push(filled);
            counted.shares.push(shares);
            counted.least.push(least);
        }
        counted
    }

    fn count_levels(&self, a: u32, b: u32, counts: &mut [[u64; 16]]) {
        let pattern = self.pattern(self.model, a, b);
        for (at, counts) in counts.iter_mut().enumerate() {
            counts[level(pattern, at)] += u64::from(level(pattern, at) > 0);
        }
    }

    /// Patterns of the candidates with their frequency bits, counted.
    fn patterns(&self, model: &Model, options: &Options<'_>) -> Vec<(u64, f64, f64)> {
        let total = self.blocks.as_ref().map_or(0, |b| b.pairs);
        let every = total.div_ceil(TRAINING_PAIRS).max(1);
        let parts =
            self.on_pairs(options, Phase::Counting, HashMap::<(u64, i16), u64>::new, |counts, a, b, _| {
                if !mix(u64::from(a), u64::from(b)).is_multiple_of(every) {
                    return;
                }
                // Pairs that a veto keeps apart are not of one person, but tell how common relatives and namesakes are.
                let (pattern, frequency) = self.compare(model, a, b);
                *counts.entry((pattern, (frequency * 2.0).round() as i16)).or_default() += 1;
            });
        let mut all: HashMap<(u64, i16), u64> = HashMap::new();
        for part in parts {
            for (key, count) in part {
                *all.entry(key).or_default() += count;
            }
        }
        let mut out: Vec<(u64, f64, f64)> = (all.into_iter())
            .map(|((pattern, frequency), count)| {
                (pattern, f64::from(frequency) / 2.0, (count * every) as f64)
            })
            .collect();
        // Sums of floats depend on the order.
        out.sort_unstable_by(|p, q| p.0.cmp(&q.0).then(p.1.total_cmp(&q.1)));
        out
    }

    /// Runs a visitor on every candidate pair once, on all threads; gives each thread's result.
    fn on_pairs<S: Send>(
        &self,
        options: &Options<'_>,
        phase: Phase,
        start: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, u32, u32, u8) + Sync,
    ) -> Vec<S> {
        let Some(blocks) = &self.blocks else { return Vec::new() };
        let count = blocks.rules.len();
        let next = AtomicUsize::new(0);
        const STEP: usize = 512;
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..options.threads())
                .map(|thread| {
                    let (next, start, visit) = (&next, &start, &visit);
                    scope.spawn(move || {
                        let mut state = start();
                        loop {
                            let from = next.fetch_add(STEP, Ordering::Relaxed);
                            if from >= count {
                                return state;
                            }
                            if thread == 0 {
                                (options.progress)(phase, from, count);
                            }
                            for block in from..(from + STEP).min(count) {
                                blocks.visit(block, |a, b| visit(&mut state, a, b, blocks.rules[block]));
                            }
                        }
                    })
                })
                .collect();
            handles.into_iter().filter_map(|h| h.join().ok()).collect()
        })
    }

    /// Links the batch with a model of the same fields (usually `model.with_trained(..)`).
    pub fn link(&mut self, model: &Model, options: &Options<'_>) -> Linked {
        self.settle(options);
        let link = bits(model.link) as f32;
        let review = bits(model.review) as f32;
        let floor = review.min(link);
        let parts = self.on_pairs(
            options,
            Phase::Scoring,
            || (Vec::new(), vec![0_u64; model.blocks.len()]),
            |(edges, found), a, b, rule| {
                found[usize::from(rule)] += 1;
                let score = self.score(model, a, b);
                if score >= floor {
                    edges.push(Edge { a, b, score });
                }
            },
        );
        let mut edges = Vec::with_capacity(parts.iter().map(|p| p.0.len()).sum());
        let mut found_by = vec![0_u64; model.blocks.len()];
        for (part, found) in parts {
            edges.extend(part);
            for (sum, n) in found_by.iter_mut().zip(found) {
                *sum += n;
            }
        }
        edges.sort_unstable_by_key(|e| (e.a, e.b));
        (options.progress)(Phase::Clustering, 0, 1);
        let constraints = Constraints {
            apart: options.apart,
            together: options.together,
            exclusive: &self.exclusive,
            order: &self.order,
            link,
            review,
            prior: model.prior_bits(self.registry()) as f32,
        };
        let Clustering { assignment, holds } =
            cluster(self.records, &edges, &constraints, &|a, b| self.score(model, a, b));
        (options.progress)(Phase::Clustering, 1, 1);
        let persons = assignment.iter().enumerate().filter(|(r, p)| *r as u32 == **p).count();
        let named = |at: usize| model.blocks[at].name.clone();
        let report = Report {
            records: self.records,
            persons,
            pairs: found_by.iter().sum(),
            edges: edges.len(),
            passed_over: (self.blocks.iter().flat_map(|b| b.passed_over.iter().enumerate()))
                .filter(|(_, n)| **n > 0)
                .map(|(at, n)| (named(at), *n))
                .collect(),
            found_by: found_by.iter().enumerate().map(|(at, n)| (named(at), *n)).collect(),
        };
        Linked { assignment, holds, report }
    }

    /// Explains a pair of the batch as [`Model::compare`] does; for looking at results.
    #[must_use]
    pub fn levels(&self, model: &Model, a: u32, b: u32) -> Vec<(String, String)> {
        let pattern = self.pattern(model, a, b);
        (model.fields.iter().enumerate())
            .filter_map(|(at, f)| {
                level(pattern, at).checked_sub(1).map(|l| (f.name.clone(), f.levels[l].name.clone()))
            })
            .collect()
    }
}

/// The k-th pair of all pairs (a < b), counted by b.
fn pair_number(k: u64) -> (u64, u64) {
    let mut b = ((1.0 + (1.0 + 8.0 * k as f64).sqrt()) / 2.0) as u64;
    while b * (b - 1) / 2 > k {
        b -= 1;
    }
    while (b + 1) * b / 2 <= k {
        b += 1;
    }
    (k - b * (b - 1) / 2, b)
}
