//! What can be wrong with a file as a whole, and with one row of it.

/// A fault that ends the reading of a file. Rows before it have been delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// Stable code, e.g. `gzip_truncated`.
    pub code: &'static str,
    /// What happened, where, and what to do; in Chinese.
    pub message: String,
    /// The row that could not be read any more (from 1, heading not counted); `None` where no row was begun.
    pub row: Option<u64>,
    /// Position in the uncompressed file, in bytes from 1, where known.
    pub byte: Option<u64>,
}

impl ReadError {
    /// A fault of the file as a whole.
    pub(crate) fn file(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), row: None, byte: None }
    }

    /// The same, at a row.
    pub(crate) fn at_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// The same, at a byte of the uncompressed file (from 1).
    pub(crate) fn at_byte(mut self, byte: u64) -> Self {
        self.byte = Some(byte);
        self
    }
}

/// A row that could not be read; the rows around it are not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowError {
    /// Number of the row in its source, from 1 (the heading is not counted).
    pub number: u64,
    /// Stable code, e.g. `column_count`.
    pub code: &'static str,
    /// What is wrong and how to mend it; in Chinese.
    pub message: String,
}

impl RowError {
    pub(crate) fn new(number: u64, code: &'static str, message: impl Into<String>) -> Self {
        Self { number, code, message: message.into() }
    }
}
