//! The part of a large registry on which models are compared: one registration in so many, chosen by a hash of its
//! number, with everybody who shares a blocking key with it and all registrations of its present person. So both sides of
//! every candidate pair of a chosen registration are there, and what is counted over the chosen ones holds for all:
//! a pair with a chosen side is met with a probability that is known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kernel::Result;
use linkage::{Frequencies, Key, Model};
use store::Db;

use super::everyone::{Progress, everyone};
use crate::engine::Engine;

/// A sample comes to about so many registrations for each chosen one: those nearby, and the other registrations of
/// its person.
const WITH_NEIGHBOURS: u64 = 5;

/// Times that the registry is read for a sample, for each way of preparing it, before it is linked.
pub(super) const PASSES: u64 = 3;

/// Which part: every one, or one in so many.
pub(super) fn one_in(records: u64, limit: u64) -> u64 {
    if records <= limit { 1 } else { (records * WITH_NEIGHBOURS).div_ceil(limit.max(1)) }
}

/// Whether a registration is one of those that a sample begins with.
pub fn chosen(id: i64, one_in: u64) -> bool {
    one_in <= 1 || super::scramble(id as u64).is_multiple_of(one_in)
}

/// What one way of preparing the registry says about the sample.
#[derive(Debug, Default, Clone)]
pub(super) struct Blocks {
    /// The keys of the chosen, with the number of registrations that have each.
    keys: HashMap<u64, u32>,
    /// Counts of values in the whole registry.
    pub frequencies: Frequencies,
}

impl Blocks {
    /// The keys under which a registration is a candidate in the whole registry.
    pub(super) fn usable(&self, model: &Model, keys: Vec<Key>) -> Vec<Key> {
        let caps: Vec<u32> = model.blocks().map(|(_, cap)| cap).collect();
        let cap = |key: &Key| caps.get(usize::from(key.rule)).copied().unwrap_or(u32::MAX);
        keys.into_iter().filter(|k| self.keys.get(&k.hash).is_none_or(|n| *n <= cap(k))).collect()
    }
}

/// The sample: which registrations, and what each way of preparing says.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub ids: HashSet<i64>,
    pub blocks: Vec<Arc<Blocks>>,
}

/// Draws the sample; `ways` has one engine for each way of preparing.
pub(super) async fn draw(db: &Db, ways: &[Arc<Engine>], one_in: u64, progress: &Progress) -> Result<Sample> {
    let mut sample = Sample::default();
    for way in ways {
        let own = way.clone();
        let (keys, persons) = everyone(db, way, progress, move |receiver| {
            let (mut keys, mut persons) = (HashMap::new(), HashSet::new());
            while let Ok(records) = receiver.recv() {
                for sent in records.iter().filter(|s| chosen(s.id, one_in)) {
                    persons.insert(sent.person);
                    keys.extend(own.model.keys(&sent.prepared).into_iter().map(|k| (k.hash, 0_u32)));
                }
            }
            (keys, persons)
        })
        .await?;
        let own = way.clone();
        let blocks = everyone(db, way, progress, move |receiver| {
            let mut blocks = Blocks { keys, ..Blocks::default() };
            while let Ok(records) = receiver.recv() {
                for sent in &records {
                    for key in own.model.keys(&sent.prepared) {
                        if let Some(count) = blocks.keys.get_mut(&key.hash) {
                            *count += 1;
                        }
                    }
                    blocks.frequencies.add(&own.model, &sent.prepared);
                }
            }
            // What is not listed counts as seen once.
            blocks.frequencies.shrink(2);
            blocks
        })
        .await?;
        let blocks = Arc::new(blocks);
        let (own, known) = (way.clone(), blocks.clone());
        let ids = everyone(db, way, progress, move |receiver| {
            let mut ids = Vec::new();
            while let Ok(records) = receiver.recv() {
                for sent in &records {
                    let near = || {
                        let keys = own.model.keys(&sent.prepared);
                        known.usable(&own.model, keys).iter().any(|k| known.keys.contains_key(&k.hash))
                    };
                    if chosen(sent.id, one_in) || persons.contains(&sent.person) || near() {
                        ids.push(sent.id);
                    }
                }
            }
            ids
        })
        .await?;
        sample.ids.extend(ids);
        sample.blocks.push(blocks);
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_within_the_limit_is_compared_as_a_whole() {
        assert_eq!((one_in(0, 10), one_in(10, 10), one_in(11, 10)), (1, 1, 6));
        assert!((1..500).all(|id| chosen(id, 1)));
        let part = (1..100_000).filter(|id| chosen(*id, 10)).count();
        assert!((9_500..10_500).contains(&part), "{part}");
    }
}
