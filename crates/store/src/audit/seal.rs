//! The sealer: puts what was committed since it last looked into segments, one process at a time.
//!
//! Numbers are not drawn in the order of commits, so "everything after the last number" would miss entries of slow
//! transactions. Each entry carries the number of its transaction, each segment the snapshot in which it was made: what
//! is visible now and was not visible in the last segment's snapshot is new. That is exact, needs no mark on the
//! entries, and a slow transaction holds nobody up.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Clock, Result};

use super::anchors::{Anchor, AnchorFile};
use super::content::{Content, columns};
use super::keys::Keys;
use super::segment::{BEGINNING, Line, Segment, encode, instant, segment_columns};
use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// Held while sealing.
const LOCK: i64 = 0x6d69_6e6b_616e_670b;
/// Entries in a segment at most.
const MOST: usize = 5000;
/// After a restore into a new server, how far back entries are compared with segments by number.
const LOOK_BACK: i64 = 1_000_000;

/// Makes segments and anchors.
#[derive(Clone)]
pub struct Sealer {
    db: Db,
    keys: Keys,
    file: AnchorFile,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Segments made.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Of those, how many were not written by this program: their MAC is wrong or absent.
    pub foreign: u64,
}

/// The end of the chain.
#[derive(sqlx::FromRow)]
struct Tail {
    number: i64,
    total: i64,
    hash: Vec<u8>,
    snapshot: String,
    floor_id: i64,
    max_id: i64,
    /// The server counts transactions from further back than when the segment was made: a restored database.
    restored: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub id: i64,
    #[sqlx(flatten)]
    pub content: Content,
    pub mac: Option<Vec<u8>>,
}

impl Sealer {
    /// Puts a sealer together.
    pub fn new(db: Db, keys: Keys, file: AnchorFile, clock: Arc<dyn Clock>) -> Self {
        Self { db, keys, file, clock }
    }

    /// The keys, for verification.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The file of anchors.
    pub fn file(&self) -> &AnchorFile {
        &self.file
    }

    /// Seals everything committed and not sealed yet. Nothing when another process is at it.
    pub async fn pass(&self) -> Result<Sealed> {
        let now = self.clock.now();
        let sealed = self.db.transaction(async |tx| self.seal(tx, now).await).await?;
        if sealed.foreign > 0 {
            tracing::error!(
                entries = sealed.foreign,
                "entries of the audit trail were not written by this program; run `minkang audit verify`"
            );
        }
        Ok(sealed)
    }

    /// Anchors the last segment unless the last anchor is younger than `every`. Gives whether it did.
    pub async fn anchor(&self, every: TimeDelta) -> Result<bool> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                if !lock(tx).await? {
                    return Ok(false);
                }
                let last: Option<(i64, DateTime<Utc>)> =
                    sqlx::query_as("select segment, at from audit_anchor order by segment desc limit 1")
                        .fetch_optional(&mut **tx)
                        .await
                        .db("read the last anchor")?;
                if last.as_ref().is_some_and(|(_, at)| now < *at + every) {
                    return Ok(false);
                }
                let segment: Option<Segment> = sqlx::query_as(concat!(
                    "select ",
                    segment_columns!(),
                    " from audit_segment where number > $1 order by number desc limit 1"
                ))
                .bind(last.map_or(0, |(segment, _)| segment))
                .fetch_optional(&mut **tx)
                .await
                .db("read the last segment")?;
                let Some(segment) = segment else { return Ok(false) };
                let line = Anchor::of(&segment).line()?;
                sqlx::query("insert into audit_anchor (segment, at, line) values ($1, $2, $3)")
                    .bind(segment.number)
                    .bind(now)
                    .bind(&line)
                    .execute(&mut **tx)
                    .await
                    .db("write an anchor")?;
                // The file first: an anchor that stands there and not in the table harms nobody.
                if self.file.last()?.is_none_or(|last| last < segment.number) {
                    self.file.append(&[line])?;
                }
                Ok(true)
            })
            .await
    }

    async fn seal(&self, tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<Sealed> {
        sqlx::query("set transaction isolation level repeatable read")
            .execute(&mut **tx)
            .await
            .db("begin to seal")?;
        if !lock(tx).await? {
            return Ok(Sealed::default());
        }
        let tail: Option<Tail> = sqlx::query_as(
            "select number, total, hash, snapshot, floor_id, max_id,
                pg_snapshot_xmin(snapshot::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()) as restored
             from audit_segment order by number desc limit 1",
        )
        .fetch_optional(&mut **tx)
        .await
        .db("read the end of the chain")?;
        let snapshot: String = sqlx::query_scalar("select pg_current_snapshot()::text")
            .fetch_one(&mut **tx)
            .await
            .db("ask for the snapshot")?;
        let mut known = HashSet::new();
        let mut floor = tail.as_ref().map_or(0, |t| t.floor_id);
        match &tail {
            None => sqlx::query(concat!(
                "declare unsealed no scroll cursor for select id, ",
                columns!(),
                ", mac from audit_entry order by id"
            ))
            .execute(&mut **tx)
            .await
            .map(drop),
            Some(tail) if tail.restored => {
                tracing::warn!("this database was restored into another server; sealing goes on by number");
                let since = tail.max_id - LOOK_BACK;
                known = sealed_since(tx, since).await?;
                floor = sqlx::query_scalar("select coalesce(max(id), 0) from audit_entry")
                    .fetch_one(&mut **tx)
                    .await
                    .db("look for the last entry")?;
                sqlx::query(concat!(
                    "declare unsealed no scroll cursor for select id, ",
                    columns!(),
                    ", mac from audit_entry where id > $1 order by id"
                ))
                .bind(since)
                .execute(&mut **tx)
                .await
                .map(drop)
            }
            Some(tail) => sqlx::query(concat!(
                "declare unsealed no scroll cursor for select id, ",
                columns!(),
                ", mac from audit_entry
                   where id > $1 and xid >= pg_snapshot_xmin($2::text::pg_snapshot)
                     and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
                   order by id"
            ))
            .bind(tail.floor_id)
            .bind(&tail.snapshot)
            .execute(&mut **tx)
            .await
            .map(drop),
        }
        .db("look for entries to seal")?;

        let first_pass = tail.is_none();
        let mut done = Sealed::default();
        let mut end = tail.map_or((0, 0, BEGINNING.to_vec()), |t| (t.number, t.total, t.hash));
        loop {
            let rows: Vec<Row> = sqlx::query_as("fetch 5000 from unsealed")
                .fetch_all(&mut **tx)
                .await
                .db("fetch entries to seal")?;
            let more = rows.len() == MOST;
            let mut lines = Vec::with_capacity(rows.len());
            for row in rows.iter().filter(|row| !known.contains(&row.id)) {
                let ours = row
                    .mac
                    .as_deref()
                    .is_some_and(|mac| self.keys.mac().accepts(&row.content.canonical(), mac));
                // What the first pass finds was written before there were keys.
                done.foreign += u64::from(!(ours || first_pass && row.mac.is_none()));
                lines.push(Line {
                    id: row.id,
                    at: row.content.at.timestamp_micros(),
                    digest: row.content.digest(row.mac.as_deref()),
                });
            }
            if !lines.is_empty() {
                done.segments += 1;
                done.entries += lines.len() as u64;
                end = self.write(tx, end, &lines, &snapshot, floor, now).await?;
            }
            if !more {
                break;
            }
        }
        Ok(done)
    }

    async fn write(
        &self,
        tx: &mut Tx<'_>,
        (number, total, previous): (i64, i64, Vec<u8>),
        lines: &[Line],
        snapshot: &str,
        floor_id: i64,
        now: DateTime<Utc>,
    ) -> Result<(i64, i64, Vec<u8>)> {
        let signer = self.keys.signer()?;
        let bound = |pick: fn(&Line) -> i64, greatest: bool| {
            let numbers = lines.iter().map(pick);
            (if greatest { numbers.max() } else { numbers.min() }).unwrap_or_default()
        };
        let mut segment = Segment {
            number: number + 1,
            // What is hashed must be what the table gives back: microseconds.
            sealed_at: instant(now.timestamp_micros())?,
            entry_count: i32::try_from(lines.len()).unwrap_or(i32::MAX),
            total: total + lines.len() as i64,
            first_at: instant(bound(|l| l.at, false))?,
            last_at: instant(bound(|l| l.at, true))?,
            min_id: bound(|l| l.id, false),
            max_id: bound(|l| l.id, true),
            floor_id,
            snapshot: snapshot.to_owned(),
            entries: encode(lines),
            previous,
            hash: Vec::new(),
            key_id: signer.key_id(),
            algorithm: signer.algorithm().to_owned(),
            signature: Vec::new(),
        };
        segment.hash = segment.computed_hash().to_vec();
        segment.signature = signer.sign(&Segment::message(&segment.hash))?;
        sqlx::query(concat!(
            "insert into audit_segment (",
            segment_columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
        ))
        .bind(segment.number)
        .bind(segment.sealed_at)
        .bind(segment.entry_count)
        .bind(segment.total)
        .bind(segment.first_at)
        .bind(segment.last_at)
        .bind(segment.min_id)
        .bind(segment.max_id)
        .bind(segment.floor_id)
        .bind(&segment.snapshot)
        .bind(&segment.entries)
        .bind(&segment.previous)
        .bind(&segment.hash)
        .bind(&segment.key_id)
        .bind(&segment.algorithm)
        .bind(&segment.signature)
        .execute(&mut **tx)
        .await
        .db("write a segment")?;
        Ok((segment.number, segment.total, segment.hash))
    }
}

/// Whether this transaction may seal; another process may be at it.
async fn lock(tx: &mut Tx<'_>) -> Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut **tx)
        .await
        .db("take the sealer's lock")
}

async fn sealed_since(tx: &mut Tx<'_>, since: i64) -> Result<HashSet<i64>> {
    let segments: Vec<Segment> = sqlx::query_as(concat!(
        "select ",
        segment_columns!(),
        " from audit_segment where max_id > $1 order by number"
    ))
    .bind(since)
    .fetch_all(&mut **tx)
    .await
    .db("read the last segments")?;
    Ok(segments.iter().flat_map(Segment::lines).map(|line| line.id).collect())
}
