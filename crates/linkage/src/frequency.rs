//! How often values occur: 张伟 says less than a rare name, a phone of the village doctor nothing.

use serde::{Deserialize, Serialize};

use crate::keys::ByHash;
use crate::{Model, Record};

/// Counts of values by field, kept by the registry and given to every comparison.
///
/// Values are hashes (keyed when the model has a secret, see [`Model::with_secret`]); a value that is not listed was
/// seen once. Registrations are added and taken away one by one; nothing is recounted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frequencies {
    /// Registrations counted.
    records: u64,
    /// By the name of the field: how many registrations have a value there.
    fields: std::collections::BTreeMap<String, Counts>,
}

/// Counts of one field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    filled: u64,
    values: ByHash<u32>,
}

impl Frequencies {
    /// Registrations counted.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Adds one registration.
    pub fn add(&mut self, model: &Model, record: &Record) {
        self.records += 1;
        for (name, group) in model.counted(record) {
            let counts = self.field(name);
            counts.filled += 1;
            *counts.values.entry(group).or_insert(0) += 1;
        }
    }

    /// Takes one registration away that was added before.
    pub fn remove(&mut self, model: &Model, record: &Record) {
        self.records = self.records.saturating_sub(1);
        for (name, group) in model.counted(record) {
            let counts = self.field(name);
            counts.filled = counts.filled.saturating_sub(1);
            if let Some(count) = counts.values.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    counts.values.remove(&group);
                }
            }
        }
    }

    /// Sets the count of one value, as read from a database (`group` of [`Model::counted`]).
    pub fn set(&mut self, field: &str, group: u64, count: u32) {
        let counts = self.field(field);
        let before = counts.values.insert(group, count).unwrap_or(0);
        counts.filled = (counts.filled + u64::from(count)).saturating_sub(u64::from(before));
    }

    /// Sets how many registrations there are in all.
    pub const fn set_records(&mut self, records: u64) {
        self.records = records;
    }

    /// All counts of at least `least`: field, value, count; for keeping them in a database.
    pub fn iter(&self, least: u32) -> impl Iterator<Item = (&str, u64, u32)> {
        self.fields.iter().flat_map(move |(name, counts)| {
            counts.values.iter().filter(move |(_, n)| **n >= least).map(|(v, n)| (name.as_str(), *v, *n))
        })
    }

    /// Drops values seen less often than `least`: they count as seen once. Keeps a large registry's table small.
    pub fn shrink(&mut self, least: u32) {
        for counts in self.fields.values_mut() {
            counts.values.retain(|_, n| *n >= least);
            counts.values.shrink_to_fit();
        }
    }

    /// How many registrations have this value, and how many have any.
    #[must_use]
    pub fn count(&self, field: &str, group: u64) -> (u64, u64) {
        self.fields
            .get(field)
            .map_or((1, 1), |c| (c.values.get(&group).map_or(1, |n| u64::from(*n)), c.filled.max(1)))
    }

    fn field(&mut self, name: &str) -> &mut Counts {
        if !self.fields.contains_key(name) {
            self.fields.insert(name.to_owned(), Counts::default());
        }
        self.fields.entry(name.to_owned()).or_default()
    }
}
