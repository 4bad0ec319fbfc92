//! National identifiers and notations, and readers and writers of exchange standards. Pure: no IO.

pub mod identifiers;
pub mod pinyin;
pub mod width;

pub use identifiers::{CitizenId, Gender};
