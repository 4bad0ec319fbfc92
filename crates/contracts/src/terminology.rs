//! Port of `directory`: code tables, the maps of institutions' own codes, how coded values fared.

use std::sync::Arc;

use chrono::NaiveDate;
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use store::Tx;

/// The code tables in force: shipped ones with the operator's editions laid over them.
pub trait Terminology: Send + Sync + 'static {
    /// A snapshot; taking it is cheap.
    fn tables(&self) -> Arc<catalog::CodeTables>;
    /// The codes of its own that an institution's approved maps translate at present; `None` for most.
    fn local_maps(&self, _: InstitutionId) -> Option<Arc<catalog::LocalMaps>> {
        None
    }
    /// Notes how the coded values of stored rows fared, in the transaction that stores them.
    fn count_codes<'a, 'c>(
        &'a self,
        _: &'a mut Tx<'c>,
        _: InstitutionId,
        _: &'a CodeCounts,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(async { Ok(()) })
    }
}

/// How coded values of some rows of one data set fared against their tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeCounts {
    /// Number of the data set.
    pub dataset: i16,
    /// Values by table and day, for tables for which institutions usually have codes of their own.
    pub days: Vec<CodeDay>,
    /// Codes that are neither standard nor mapped.
    pub unmapped: Vec<LocalSeen>,
    /// Codes of the sender's own that were translated.
    pub mapped: Vec<LocalSeen>,
    /// What a fact's sender wrote where its code was translated.
    pub kept: Vec<KeptCode>,
    /// Standard codes and how often they came: table, code, rows.
    pub used: Vec<(String, String, i64)>,
    /// Facts whose earlier version ended: what was kept of it no longer holds.
    pub ended: Vec<i64>,
}

/// Coded values of one table on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeDay {
    /// The table.
    pub table: String,
    /// When the rows happened.
    pub day: NaiveDate,
    /// Values that were not empty.
    pub coded: i64,
    /// Those translated.
    pub mapped: i64,
    /// Those neither standard nor translated.
    pub unmapped: i64,
}

/// A code of the sender's own on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalSeen {
    /// The table.
    pub table: String,
    /// When the rows happened.
    pub day: NaiveDate,
    /// The code.
    pub code: String,
    /// Its name, where the row gives one.
    pub name: String,
    /// Rows.
    pub rows: i64,
}

/// What a fact's sender wrote in a field whose code was translated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptCode {
    /// The fact.
    pub fact_id: i64,
    /// The field's name.
    pub field: String,
    /// The sender's code.
    pub code: String,
    /// The sender's name of it.
    pub name: String,
}
