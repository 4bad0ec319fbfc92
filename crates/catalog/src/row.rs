//! A row before and after checking.

use crate::value::Value;

/// A row as a door parsed it: texts in the order of the data set's fields.
#[derive(Debug, Clone, Default)]
pub struct RawRow {
    /// Number of the row in its source, from 1 (the heading is not counted).
    pub number: u64,
    /// One cell for each field of the data set; `None` and empty text both mean no value.
    pub cells: Vec<Option<Box<str>>>,
}

/// A breach of one rule by one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// Position in [`crate::Dataset::rules`].
    pub rule: u16,
    /// The field it points to.
    pub field: Option<u16>,
    /// The offending value as it came, at most 200 characters.
    pub value: String,
}

/// A code of the sender's own that was translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalValue {
    /// The field.
    pub field: u16,
    /// The code as it came.
    pub code: Box<str>,
}

/// A row after checking.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The row's number in its source.
    pub number: u64,
    /// Typed values in the order of the data set's fields; canonical codes.
    pub values: Vec<Value>,
    /// The rules that had something to check in this row; those that failed are in `issues`.
    pub applicable: RuleSet,
    /// What is wrong with it, in the order of the rules; at most one issue for each rule.
    pub issues: Vec<Issue>,
    /// Codes of the sender's own that were translated; empty for nearly every row.
    pub local: Vec<LocalValue>,
    /// Whether one of the issues rejects it.
    pub rejected: bool,
    /// Whether the row withdraws an earlier one (revision mark 2). Such a row is checked only for its key
    /// and time of occurrence, for readable values and for length; everything else may be missing.
    pub withdrawn: bool,
    /// 128-bit digest of the canonical values (not of the revision mark).
    pub digest: u128,
}

/// A set of rules of one data set, by position. Small and `Copy`: one is made for every row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleSet([u64; 8]);

impl RuleSet {
    /// The greatest number of rules that a data set may have.
    pub const CAPACITY: usize = 512;

    /// Puts a rule in; positions beyond the capacity are ignored.
    #[inline]
    pub fn insert(&mut self, rule: u16) {
        if let Some(word) = self.0.get_mut(usize::from(rule >> 6)) {
            *word |= 1 << (rule & 63);
        }
    }
    /// Takes a rule out.
    pub fn remove(&mut self, rule: u16) {
        if let Some(word) = self.0.get_mut(usize::from(rule >> 6)) {
            *word &= !(1 << (rule & 63));
        }
    }
    /// Whether a rule is in it.
    #[inline]
    pub fn contains(&self, rule: u16) -> bool {
        self.0.get(usize::from(rule >> 6)).is_some_and(|word| word >> (rule & 63) & 1 == 1)
    }
    /// How many rules are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 8]
    }
    /// The rules in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                if word == 0 {
                    return None;
                }
                let bit = word.trailing_zeros();
                word &= word - 1;
                Some((index as u32 * 64 + bit) as u16)
            })
        })
    }
}
