//! The whole registry in memory for training and re-evaluation: records stream from the database to a thread that keeps
//! them in the compact form of `linkage::Batch`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use kernel::{Error, Result};
use linkage::Record;
use store::Db;

use crate::engine::Engine;
use crate::known::Traits;
use crate::{gather, operations};

/// Records read at once.
const AT_ONCE: i64 = 5_000;

/// A record on its way to the thread.
pub(super) struct Sent {
    pub id: i64,
    pub person: i64,
    pub prepared: Record,
    /// Its own citizen number and its name, to tell borrowed numbers.
    pub number: Option<(u64, String)>,
}

/// Reads every record in the order of numbers and hands them to `work` on a thread of its own; `progress` is told how
/// many were read.
pub(super) async fn everyone<T: Send + 'static>(
    db: &Db,
    engine: &Arc<Engine>,
    work: impl FnOnce(Receiver<Vec<Sent>>) -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = sync_channel::<Vec<Sent>>(4);
    let thread = tokio::task::spawn_blocking(move || work(receiver));
    let mut upto = 0;
    loop {
        let records = db.transaction(async |tx| gather::range(tx, upto, AT_ONCE).await).await?;
        let Some(last) = records.last() else { break };
        upto = last.id;
        let engine = engine.clone();
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
    }
    drop(sender);
    thread.await.map_err(|e| Error::fault("work on all records", e))
}

/// Decisions of people on pairs, by the positions of records: apart, together.
pub(super) type Pairs = (Vec<(u32, u32)>, Vec<(u32, u32)>);

/// Every decision on a pair of records: numbers of records, and whether they are apart.
pub(super) async fn decisions(db: &Db) -> Result<Vec<(i64, i64, bool)>> {
    db.transaction(async |tx| operations::all_pairs(tx).await).await
}

/// Decisions by position.
pub(super) fn positions(decisions: &[(i64, i64, bool)], ids: &[i64]) -> Pairs {
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
pub(super) fn borrowed(
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
