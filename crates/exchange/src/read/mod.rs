//! Readers of upload files: CSV and JSON, plain or gzip, in the character sets that hospitals use.
//!
//! Everything streams: the memory needed is that of one record (at most 16 MB), whatever the size of the file.
//! The readers are synchronous and are meant for a blocking thread.
//!
//! A row that cannot be read is reported by number and does not stop the rows around it. What cannot be passed over
//! (a truncated gzip, a quote that is never closed) ends the file with a [`ReadError`] after the good rows before it.

mod bytes;
mod cells;
mod csv;
mod error;
mod json;
mod original;
mod reader;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod tests;
mod window;

pub use bytes::Charset;
pub use cells::neutralise;
pub use csv::Dialect;
pub use error::{ReadError, RowError};
pub use json::MAX_DEPTH;
pub use original::{OriginalRow, Originals, rows_by_number};
pub use reader::{Format, MAX_COLUMNS, ReadRow, RowReader, open};
pub use window::MAX_RECORD;
