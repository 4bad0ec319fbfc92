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

/// A row after checking.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The row's number in its source.
    pub number: u64,
    /// Typed values in the order of the data set's fields; canonical codes.
    pub values: Vec<Value>,
    /// What is wrong with it.
    pub issues: Vec<Issue>,
    /// Whether one of the issues rejects it.
    pub rejected: bool,
    /// Whether the revision mark withdraws the row.
    pub withdrawn: bool,
    /// 128-bit digest of the canonical values (not of the revision mark).
    pub digest: u128,
}
