//! A segment of the chain: which entries in which order with which content, after which segment.

use chrono::{DateTime, Utc};
use kernel::{Error, Result};

use super::content::sha256;

/// Bytes of one entry in a segment.
const LINE: usize = 32;
/// What the first segment names as the one before it.
pub(super) const BEGINNING: [u8; 32] = [0; 32];

/// One entry as a segment keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Number of the entry.
    pub id: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Beginning of the SHA-256 over content and MAC.
    pub digest: [u8; 16],
}

/// A segment as it stands in the table.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Segment {
    /// 1, 2, 3 … without gaps.
    pub number: i64,
    /// When it was sealed.
    pub sealed_at: DateTime<Utc>,
    /// Entries in it.
    pub entry_count: i32,
    /// Entries in it and all before it.
    pub total: i64,
    /// Time of its earliest entry.
    pub first_at: DateTime<Utc>,
    /// Time of its latest entry.
    pub last_at: DateTime<Utc>,
    /// Smallest number of an entry.
    pub min_id: i64,
    /// Greatest number of an entry.
    pub max_id: i64,
    /// Up to here, later segments do not look for entries by transaction.
    pub floor_id: i64,
    /// What had been committed.
    pub snapshot: String,
    /// [`Line`]s.
    pub entries: Vec<u8>,
    /// Hash of the segment before.
    pub previous: Vec<u8>,
    /// Hash of this one.
    pub hash: Vec<u8>,
    /// Which key signed it.
    pub key_id: String,
    /// By which algorithm.
    pub algorithm: String,
    /// Over `hash`, with a preamble.
    pub signature: Vec<u8>,
}

/// The columns of [`Segment`].
macro_rules! segment_columns {
    () => {
        "number, sealed_at, entry_count, total, first_at, last_at, min_id, max_id, floor_id, snapshot, entries,
         previous, hash, key_id, algorithm, signature"
    };
}
pub(super) use segment_columns;

impl Segment {
    /// The hash that this segment's content must have.
    pub fn computed_hash(&self) -> [u8; 32] {
        let head = format!(
            "minkang audit segment 1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.number,
            self.sealed_at.timestamp_micros(),
            self.entry_count,
            self.total,
            self.first_at.timestamp_micros(),
            self.last_at.timestamp_micros(),
            self.min_id,
            self.max_id,
            self.floor_id,
            self.snapshot,
            self.key_id,
        );
        sha256(&[head.as_bytes(), &self.previous, &self.entries])
    }

    /// What is signed.
    pub fn message(hash: &[u8]) -> Vec<u8> {
        let mut message = b"minkang audit segment signature 1\n".to_vec();
        message.extend_from_slice(hash);
        message
    }

    /// Its entries.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.entries.as_chunks::<LINE>().0.iter().filter_map(|chunk| {
            Some(Line {
                id: i64::from_be_bytes(chunk[..8].try_into().ok()?),
                at: i64::from_be_bytes(chunk[8..16].try_into().ok()?),
                digest: chunk[16..].try_into().ok()?,
            })
        })
    }
}

/// The bytes of some entries.
pub(super) fn encode(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.len() * LINE);
    for line in lines {
        bytes.extend_from_slice(&line.id.to_be_bytes());
        bytes.extend_from_slice(&line.at.to_be_bytes());
        bytes.extend_from_slice(&line.digest);
    }
    bytes
}

/// The instant of a line.
pub(super) fn instant(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| Error::fault("read a segment", "a time out of range"))
}
