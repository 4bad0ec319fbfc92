//! The whole registry in memory for training, re-evaluation and the comparison of models: records stream from the
//! database to a thread that keeps them in the compact form of `linkage::Batch`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use kernel::{Error, Result};
use linkage::{Batch, Forest, Key, Linked, Model, Options, Phase, Record};
use store::{Db, DbDoing};

use crate::engine::Engine;
use crate::known::Traits;
use crate::{gather, operations};

/// Records read at once.
const AT_ONCE: i64 = 5_000;
/// How often it is written down how far a run is.
const TELL: Duration = Duration::from_secs(1);

/// How far a run is, in registrations: each is read, and weighed by every model.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

impl Progress {
    /// Sets how much there is to do.
    pub(super) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    fn step(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }
}

/// Does the work of a run, and writes down every second how far it is.
pub(super) async fn watched<T>(
    db: &Db,
    run: i64,
    progress: &Progress,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            out = &mut work => return out,
            _ = tick.tick() => {
                let (done, total) = (progress.done.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
                let told = sqlx::query("update index_run set done = $2, total = $3 where id = $1 and state = 'running'")
                    .bind(run)
                    .bind(done.min(total) as i64)
                    .bind(total as i64)
                    .execute(db.pool())
                    .await
                    .db("tell how far a run is");
                if let Err(error) = told {
                    tracing::warn!(run, %error, "the progress of a run could not be written");
                }
            }
        }
    }
}

/// How many registrations there are.
pub(super) async fn how_many(db: &Db) -> Result<u64> {
    let records: i64 = sqlx::query_scalar("select count(*) from identity_record")
        .fetch_one(db.pool())
        .await
        .db("count registrations")?;
    Ok(records.unsigned_abs())
}

/// A record on its way to the thread.
pub(super) struct Sent {
    pub id: i64,
    pub person: i64,
    pub prepared: Record,
    /// Its own citizen number and its name, to tell borrowed numbers.
    pub number: Option<(u64, String)>,
}

/// Reads every record in the order of numbers and hands them to `work` on a thread of its own.
pub(super) async fn everyone<T: Send + 'static>(
    db: &Db,
    engine: &Arc<Engine>,
    progress: &Progress,
    work: impl FnOnce(Receiver<Vec<Sent>>) -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = sync_channel::<Vec<Sent>>(4);
    let thread = tokio::task::spawn_blocking(move || work(receiver));
    let mut upto = 0;
    loop {
        let records = db.transaction(async |tx| gather::range(tx, upto, AT_ONCE).await).await?;
        let Some(last) = records.last() else { break };
        upto = last.id;
        let (engine, read) = (engine.clone(), records.len() as u64);
        let sent = tokio::task::spawn_blocking(move || {
            records
                .into_iter()
                .map(|record| {
                    let prepared = engine.prepare(&record.known, record.disowned);
                    let number = engine.model.exclusive(&prepared);
                    Sent {
                        id: record.id,
                        person: record.person_id,
                        prepared,
                        number: number.map(|n| (n, Traits::letters_of(&record.known.name))),
                    }
                })
                .collect::<Vec<_>>()
        })
        .await
        .map_err(|e| Error::fault("prepare records", e))?;
        let full = sender.clone();
        let taken = tokio::task::spawn_blocking(move || full.send(sent).is_ok())
            .await
            .map_err(|e| Error::fault("hand records over", e))?;
        if !taken {
            break;
        }
        progress.step(read);
    }
    drop(sender);
    thread.await.map_err(|e| Error::fault("work on all records", e))
}

/// Registrations in memory, as re-evaluation links them.
pub(super) struct Filled<'m> {
    model: &'m Model,
    pub batch: Batch<'m>,
    /// Numbers of the records, in order.
    pub ids: Vec<i64>,
    /// The persons they belong to now.
    pub persons: Vec<i64>,
    numbers: HashMap<u64, Vec<(u32, String)>>,
}

impl<'m> Filled<'m> {
    /// None yet.
    pub(super) fn new(model: &'m Model) -> Self {
        Self {
            model,
            batch: Batch::new(model, 1024),
            ids: Vec::new(),
            persons: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Everybody.
    pub(super) fn all(model: &'m Model, receiver: &Receiver<Vec<Sent>>) -> Self {
        let mut filled = Self::new(model);
        while let Ok(records) = receiver.recv() {
            for sent in records {
                let keys = model.keys(&sent.prepared);
                filled.push(sent, &keys);
            }
        }
        filled
    }

    /// Adds a registration with its blocking keys.
    pub(super) fn push(&mut self, sent: Sent, keys: &[Key]) {
        let at = self.batch.push_with_keys(sent.prepared, keys);
        self.ids.push(sent.id);
        self.persons.push(sent.person);
        if let Some((number, name)) = sent.number {
            self.numbers.entry(number).or_default().push((at, name));
        }
    }

    /// Links them by a model of the same fields, under the decisions of people.
    pub(super) fn link(
        &mut self,
        model: &Model,
        decided: &[(i64, i64, bool)],
        progress: &Progress,
    ) -> Linked {
        let (mut apart, together) = positions(decided, &self.ids);
        let borrowed = borrowed(&self.numbers, |a, b| {
            self.batch.levels(self.model, a, b).iter().any(|(field, level)| {
                field == "name" && matches!(level.as_str(), "different" | "surname" | "given")
            })
        });
        // Whom people have joined, be it through others, no guess parts.
        let mut joined = Forest::new(self.ids.len());
        for (a, b) in &together {
            joined.join(*a, *b);
        }
        apart.extend(borrowed.into_iter().filter(|(a, b)| joined.root(*a) != joined.root(*b)));
        let (begun, records) = (progress.done.load(Ordering::Relaxed), self.ids.len() as u64);
        let told = |phase: Phase, done: usize, all: usize| {
            if phase == Phase::Scoring {
                let part = records * done as u64 / (all as u64).max(1);
                progress.done.store(begun + part, Ordering::Relaxed);
            }
        };
        let options = Options { apart: &apart, together: &together, progress: &told, ..Options::default() };
        let linked = self.batch.link(model, &options);
        progress.done.store(begun + records, Ordering::Relaxed);
        linked
    }
}

/// Decisions of people on pairs, by the positions of records: apart, together.
pub(super) type Pairs = (Vec<(u32, u32)>, Vec<(u32, u32)>);

/// Every decision on a pair of records: numbers of records, and whether they are apart.
pub(super) async fn decisions(db: &Db) -> Result<Vec<(i64, i64, bool)>> {
    db.transaction(async |tx| operations::all_pairs(tx).await).await
}

/// Decisions by position.
fn positions(decisions: &[(i64, i64, bool)], ids: &[i64]) -> Pairs {
    let at = |id: i64| ids.binary_search(&id).ok().map(|p| p as u32);
    let mut out = Pairs::default();
    for (a, b, apart) in decisions {
        if let (Some(a), Some(b)) = (at(*a), at(*b)) {
            if *apart { out.0.push((a, b)) } else { out.1.push((a, b)) }
        }
    }
    out
}

/// Pairs with one citizen number under plainly two names: as on-line, people have to ask; they are not linked.
fn borrowed(
    numbers: &HashMap<u64, Vec<(u32, String)>>,
    other_name: impl Fn(u32, u32) -> bool,
) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for holders in numbers.values().filter(|h| h.len() > 1 && h.len() < 100) {
        for (i, (a, name)) in holders.iter().enumerate() {
            for (b, other) in &holders[i + 1..] {
                if name != other && !name.is_empty() && !other.is_empty() && other_name(*a, *b) {
                    out.push((*a, *b));
                }
            }
        }
    }
    out
}
