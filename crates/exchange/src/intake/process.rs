//! Carrying a batch to its end: reading and checking in a thread, writing chunk by chunk.

use std::sync::Arc;
use std::time::Duration;

use catalog::check::Checker;
use catalog::score::{RuleCounts, Weighed};
use catalog::{Checked, Dataset};
use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Error, RefusalKind, Result};
use sqlx::Row;
use store::db::Retry;
use store::{DbDoing, Tx};
use tokio::sync::mpsc;

use super::chunk::{BatchRef, Chunk, Unreadable};
use super::tally::Totals;
use super::{CHUNK_ROWS, Inner, Intake};
use crate::read::{self, ReadError};

/// Chunks read ahead of the writer: enough to keep both busy, few enough to keep memory flat.
const READ_AHEAD: usize = 2;

/// How long a chunk waits for a database that is away before the batch is left for later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a batch is begun before it is given up: only a fault of ours or a kill ends an attempt early.
const ATTEMPTS: i32 = 8;

/// A batch as processing needs it.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) reference: BatchRef,
    pub(super) dataset: Option<Arc<Dataset>>,
    pub(super) original: String,
    pub(super) atomic: bool,
    pub(super) rows_done: i64,
}

/// What the reading thread hands over.
pub(super) enum Parcel {
    /// Rows up to a number in the source.
    Rows { chunk: Chunk, last_row: i64 },
    /// The end, with everything counted on the way.
    End { ending: Box<Ending> },
}

/// How the reading ended.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) counts: Vec<(Arc<Dataset>, RuleCounts)>,
    pub(super) media: String,
    pub(super) notes: Vec<String>,
    pub(super) failure: Option<String>,
}

impl Intake {
    /// Processes one batch unless it is finished already or another process works on it. An error leaves it where
    /// its last chunk ended. `false`: other work in this process has it in hand.
    pub(super) async fn process(&self, id: i64) -> Result<bool> {
        let inner = &self.inner;
        let Some(_held) = inner.hold(id) else { return Ok(false) };
        let _turn = inner.processing.acquire().await.map_err(|e| Error::fault("wait for a turn", e))?;
        let Some(claim) = Claim::take(&inner.parts.db, id).await? else { return Ok(true) };
        let outcome = self.process_claimed(id).await;
        if let Err(Error::Refused(refusal)) = &outcome
            && refusal.kind == RefusalKind::Unavailable
            // The store answers but has lost the original: no waiting brings it back.
            && refusal.code != "objects.missing"
        {
            inner.forgive(id).await;
        }
        claim.release().await;
        outcome.map(|()| true)
    }

    async fn process_claimed(&self, id: i64) -> Result<()> {
        let inner = &self.inner;
        let Some(batch) = inner.begin(id).await? else { return Ok(()) };
        store::crash::point("intake.begun");
        let file = inner.parts.objects.open(&batch.original).await?;
        let Some(dataset) = batch.dataset.clone() else {
            return inner.process_bundles(batch, file).await;
        };
        if batch.atomic && !inner.all_good(&batch, &dataset).await? {
            return Ok(());
        }
        let (send, parcels) = mpsc::channel(READ_AHEAD);
        let checking = inner.checking(&batch);
        let skip = batch.rows_done;
        let reading =
            tokio::task::spawn_blocking(move || read_tabular(file, dataset, &checking, skip, &send));
        let written = inner.write_parcels(&batch, parcels).await;
        // Why the reader stopped explains more than that the writer missed its end.
        reading.await.map_err(|e| Error::fault("read a batch", e))??;
        written
    }
}

/// A session lock on a batch, so that two processes on one database never work on the same one. The server lets go
/// of it by itself when the process dies.
struct Claim {
    /// `None` once released.
    connection: Option<sqlx::pool::PoolConnection<sqlx::Postgres>>,
    batch: i64,
}

impl Drop for Claim {
    // Dropped without release (a panic, a lost connection): the connection must not go back to the pool with the lock.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// Keeps the locks of batches apart from other advisory locks with one number.
const CLAIMS: i64 = 0x6d6b_0000_0000_0000;

impl Claim {
    async fn take(db: &store::Db, batch: i64) -> Result<Option<Self>> {
        let mut connection = db.pool().acquire().await.db("claim a batch")?;
        let taken: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(CLAIMS | batch)
            .fetch_one(&mut *connection)
            .await
            .db("claim a batch")?;
        Ok(taken.then_some(Self { connection: Some(connection), batch }))
    }

    async fn release(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let released = sqlx::query("select pg_advisory_unlock($1)")
            .bind(CLAIMS | self.batch)
            .execute(&mut *connection)
            .await;
        if released.is_err() {
            // Lost, and the lock with it.
            drop(connection.detach());
        }
    }
}

/// What rows are checked against.
pub(super) struct Checking {
    pub(super) tables: Arc<catalog::CodeTables>,
    pub(super) maps: Option<Arc<catalog::LocalMaps>>,
    pub(super) received_at: NaiveDateTime,
}

/// Repeats a transaction while it loses against another one, or while the database is away, up to a limit. Safe
/// because each transaction checks where the batch stands.
#[derive(Debug, Default)]
pub(super) struct Patience {
    waited: Duration,
    lost: Retry,
}

impl Patience {
    /// Whether to try again after this error; waits before it says yes.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        match error {
            Error::Refused(refusal) if refusal.kind == RefusalKind::Unavailable && self.waited < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
                self.waited += PAUSE;
                true
            }
            other => self.lost.again(other).await,
        }
    }
}

impl Inner {
    pub(super) fn checking(&self, batch: &Batch) -> Checking {
        Checking {
            tables: self.parts.terminology.tables(),
            maps: self.parts.terminology.local_maps(batch.reference.institution),
            received_at: kernel::clock::to_china(batch.reference.received_at),
        }
    }

    // What is not the batch's fault (a database or disk that is away) does not count as an attempt.
    async fn forgive(&self, id: i64) {
        let forgiven = sqlx::query("update batch set attempts = greatest(attempts - 1, 0) where id = $1")
            .bind(id)
            .execute(self.parts.db.pool())
            .await;
        if let Err(error) = forgiven {
            tracing::debug!(batch = id, %error, "attempt not forgiven");
        }
    }

    async fn begin(&self, id: i64) -> Result<Option<Batch>> {
        let row = sqlx::query(
            "update batch set state = case when attempts < $2 then 'processing' else 'failed' end,
                attempts = attempts + 1,
                failure = case when attempts < $2 then failure else $3 end,
                finished_at = case when attempts < $2 then null else $4::timestamptz end
             where id = $1 and state in ('accepted', 'processing')
             returning institution_id, dataset, original_digest, atomic, rows_done, received_at, state",
        )
        .bind(id)
        .bind(ATTEMPTS)
        .bind("系统多次尝试处理本批次均出错，已停止。原始文件已保存，请联系平台管理员查看日志后重新处理。")
        .bind(self.parts.clock.now())
        .fetch_optional(self.parts.db.pool())
        .await
        .db("begin a batch")?;
        let Some(row) = row else { return Ok(None) };
        let state: String = row.try_get(6).db("begin a batch")?;
        if state == "failed" {
            tracing::error!(batch = id, "batch given up after {ATTEMPTS} attempts");
            return Ok(None);
        }
        let number: Option<i16> = row.try_get(1).db("begin a batch")?;
        let dataset = match number {
            None => None,
            Some(n) => Some(self.parts.catalog.dataset_by_number(n).cloned().ok_or_else(|| {
                Error::fault("begin a batch", format!("data set {n} is no longer in the catalogue"))
            })?),
        };
        let institution: i32 = row.try_get(0).db("begin a batch")?;
        Ok(Some(Batch {
            reference: BatchRef {
                id,
                institution: InstitutionId::new(i64::from(institution)),
                received_at: row.try_get(5).db("begin a batch")?,
            },
            dataset,
            original: row.try_get(2).db("begin a batch")?,
            atomic: row.try_get(3).db("begin a batch")?,
            rows_done: row.try_get(4).db("begin a batch")?,
        }))
    }

    async fn write_parcels(&self, batch: &Batch, mut parcels: mpsc::Receiver<Parcel>) -> Result<()> {
        let Some(dataset) = batch.dataset.clone() else { return Ok(()) };
        let mut listed = 0;
        if batch.atomic {
            return self
                .parts
                .db
                .transaction(async |tx| {
                    let mut done = batch.rows_done;
                    while let Some(parcel) = parcels.recv().await {
                        match parcel {
                            Parcel::Rows { chunk, last_row } => {
                                let totals = self
                                    .write_chunk(tx, batch.reference, &dataset, &chunk, &mut listed)
                                    .await?;
                                if totals.rejected > 0 {
                                    // A code table changed since the first pass: the next attempt sees it there.
                                    return Err(incomplete("a row is rejected that was good before"));
                                }
                                advance(tx, batch.reference.id, done, last_row, totals).await?;
                                done = last_row;
                            }
                            Parcel::End { ending } if ending.failure.is_none() => {
                                return self.close(tx, batch, &ending).await;
                            }
                            Parcel::End { .. } => return Err(incomplete("the file could not be read again")),
                        }
                    }
                    Err(incomplete("the reader stopped before the end"))
                })
                .await;
        }
        let mut done = batch.rows_done;
        while let Some(parcel) = parcels.recv().await {
            match parcel {
                Parcel::Rows { chunk, last_row } => {
                    let mut patience = Patience::default();
                    loop {
                        let mut now_listed = listed;
                        let written = self
                            .parts
                            .db
                            .transaction(async |tx| {
                                let totals = self
                                    .write_chunk(tx, batch.reference, &dataset, &chunk, &mut now_listed)
                                    .await?;
                                advance(tx, batch.reference.id, done, last_row, totals).await?;
                                store::crash::point("intake.chunk_written");
                                Ok(())
                            })
                            .await;
                        match written {
                            Err(error) if patience.again(&error).await => {}
                            other => {
                                other?;
                                store::crash::point("intake.chunk_committed");
                                listed = now_listed;
                                break;
                            }
                        }
                    }
                    done = last_row;
                }
                Parcel::End { ending } => self.close_patiently(batch, &ending).await?,
            }
        }
        Ok(())
    }

    // First pass of an all-or-nothing batch: reads and checks everything and writes nothing but, if a row is
    // rejected, its issues and the end of the batch.
    async fn all_good(&self, batch: &Batch, dataset: &Arc<Dataset>) -> Result<bool> {
        let file = self.parts.objects.open(&batch.original).await?;
        let (send, mut parcels) = mpsc::channel(READ_AHEAD);
        let checking = self.checking(batch);
        let of = dataset.clone();
        let reading = tokio::task::spawn_blocking(move || read_tabular(file, of, &checking, 0, &send));
        let (mut received, mut rejected) = (0i64, 0i64);
        let mut bad: Vec<Chunk> = Vec::new();
        let mut kept = 0usize;
        let mut ending = None;
        while let Some(parcel) = parcels.recv().await {
            match parcel {
                Parcel::Rows { mut chunk, .. } => {
                    received += (chunk.rows.len() + chunk.unreadable.len()) as i64;
                    chunk.rows.retain(|r| r.rejected);
                    rejected += (chunk.rows.len() + chunk.unreadable.len()) as i64;
                    // The list is for repair; a file that is wrong throughout needs only its beginning.
                    if kept < 10_000 {
                        kept += chunk.rows.len() + chunk.unreadable.len();
                        bad.push(chunk);
                    }
                }
                Parcel::End { ending: end } => ending = Some(end),
            }
        }
        reading.await.map_err(|e| Error::fault("read a batch", e))??;
        let Some(mut ending) = ending else { return Err(incomplete("the reader stopped before the end")) };
        if rejected == 0 && ending.failure.is_none() {
            return Ok(true);
        }
        ending.failure = Some(match ending.failure.take() {
            Some(failure) => format!("{failure}（整批提交：没有保存任何一行。）"),
            None => format!(
                "整批提交：{received} 行中有 {rejected} 行不合格，没有保存任何一行。请改正后重新上传整个文件。"
            ),
        });
        self.parts
            .db
            .transaction(async |tx| {
                let mut listed = 0;
                for chunk in &bad {
                    self.list_issues(tx, batch.reference.id, dataset, chunk, &mut listed).await?;
                }
                let totals = Totals { received, rejected: received, issues: listed, ..Totals::default() };
                advance(tx, batch.reference.id, 0, received, totals).await?;
                self.close(tx, batch, &ending).await
            })
            .await?;
        Ok(false)
    }

    /// Ends a batch, waiting for a database that is away.
    pub(super) async fn close_patiently(&self, batch: &Batch, ending: &Ending) -> Result<()> {
        store::crash::point("intake.closing");
        let mut patience = Patience::default();
        loop {
            match self.parts.db.transaction(async |tx| self.close(tx, batch, ending).await).await {
                Err(error) if patience.again(&error).await => {}
                other => {
                    store::crash::point("intake.closed");
                    return other;
                }
            }
        }
    }

    /// Ends a batch: rule counts, score, notes.
    async fn close(&self, tx: &mut Tx<'_>, batch: &Batch, ending: &Ending) -> Result<()> {
        let month = kernel::clock::to_china(batch.reference.received_at).date();
        let month = month.with_day(1).unwrap_or(month);
        let (mut rules, mut numbers, mut checked, mut failed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut weighed = Weighed::default();
        for (dataset, counts) in &ending.counts {
            for (rule, (c, f)) in counts.checked.iter().zip(&counts.failed).enumerate() {
                if *c > 0 {
                    numbers.push(dataset.number);
                    rules.push(rule as i16);
                    checked.push(*c as i64);
                    failed.push(*f as i64);
                }
            }
            weighed.add_counts(&dataset.rules, counts);
        }
        let score = weighed.score(&self.parts.catalog.quality);
        sqlx::query(
            "with counted as (
                 select * from unnest($2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[])
                     as c (dataset, rule, checked, failed)),
             batches as (
                 insert into batch_rule (batch_id, dataset, rule, checked, failed)
                 select $1, dataset, rule, checked, failed from counted)
             insert into quality_rule_month as q (institution_id, month, dataset, rule, checked, failed)
             select $6, $7, dataset, rule, checked, failed from counted
             on conflict (institution_id, month, dataset, rule) do update
                 set checked = q.checked + excluded.checked, failed = q.failed + excluded.failed",
        )
        .bind(batch.reference.id)
        .bind(&numbers)
        .bind(&rules)
        .bind(&checked)
        .bind(&failed)
        .bind(batch.reference.institution.get() as i32)
        .bind(month)
        .execute(&mut **tx)
        .await
        .db("count rules")?;
        let dimensions: Vec<Option<f32>> = score.dimensions.iter().map(|d| d.map(|v| v as f32)).collect();
        let total = score.total.map(|v| v as f32);
        let now: DateTime<Utc> = self.parts.clock.now();
        let state = if ending.failure.is_some() { "failed" } else { "done" };
        let ended = sqlx::query(
            "update batch set state = $2, media = $3, notes = $4, failure = $5, score = $6, dimension_scores = $7,
                finished_at = $8
             where id = $1 and state = 'processing'",
        )
        .bind(batch.reference.id)
        .bind(state)
        .bind(&ending.media)
        .bind(serde_json::Value::from(ending.notes.clone()))
        .bind(&ending.failure)
        .bind(total)
        .bind(&dimensions)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("end a batch")?;
        if ended.rows_affected() != 1 {
            return Err(Error::fault("end a batch", "another process ended it"));
        }
        crate::batch::sign(tx, &self.parts.catalog, batch.reference.id, now).await?;
        for (dataset, _) in &ending.counts {
            crate::quality::cross::request(tx, batch.reference, dataset).await?;
        }
        store::crash::point("intake.close_written");
        Ok(())
    }
}

// Rolls an all-or-nothing batch back: nothing of it may be kept unless its end was reached.
fn incomplete(why: &'static str) -> Error {
    Error::fault("write an all-or-nothing batch", why)
}

/// Moves the mark of what is committed. Refuses when the mark is not where this process left it, so that two
/// processes can never both count a chunk.
pub(super) async fn advance(tx: &mut Tx<'_>, batch: i64, from: i64, to: i64, totals: Totals) -> Result<()> {
    let moved = sqlx::query(
        // Progress: the attempts before it no longer tell of a batch that cannot be processed.
        "update batch set attempts = 0, rows_done = $3, rows_received = rows_received + $4, rows_stored = rows_stored + $5,
            rows_unchanged = rows_unchanged + $6, rows_replaced = rows_replaced + $7,
            rows_withdrawn = rows_withdrawn + $8, rows_rejected = rows_rejected + $9, issue_count = issue_count + $10
         where id = $1 and rows_done = $2 and state = 'processing'",
    )
    .bind(batch)
    .bind(from)
    .bind(to)
    .bind(totals.received)
    .bind(totals.stored)
    .bind(totals.unchanged)
    .bind(totals.replaced)
    .bind(totals.withdrawn)
    .bind(totals.rejected)
    .bind(totals.issues)
    .execute(&mut **tx)
    .await
    .db("move the mark of a batch")?;
    if moved.rows_affected() != 1 {
        return Err(Error::fault("move the mark of a batch", "another process is working on it"));
    }
    Ok(())
}

/// Reads and checks a tabular file in its own thread. Rows up to `skip` are counted for the rules but not sent:
/// an earlier process committed them.
fn read_tabular(
    file: std::fs::File,
    dataset: Arc<Dataset>,
    checking: &Checking,
    skip: i64,
    send: &mpsc::Sender<Parcel>,
) -> Result<()> {
    let checker = Checker::with_maps(&dataset, checking.tables.clone(), checking.maps.as_deref());
    let mut counts = RuleCounts::new(dataset.rules.len());
    let mut ending = Ending::default();
    match read::open(file, &dataset, None) {
        Err(error) => ending.failure = Some(fault_of_sender(error)?),
        Ok(mut reader) => {
            let mut raw = Vec::with_capacity(CHUNK_ROWS);
            loop {
                raw.clear();
                let read = reader.next_rows(CHUNK_ROWS, &mut raw);
                store::crash::point("intake.read");
                let (chunk, last_row) = check_rows(&raw, &checker, checking.received_at, &mut counts, skip);
                let some = !chunk.rows.is_empty() || !chunk.unreadable.is_empty();
                if some && send.blocking_send(Parcel::Rows { chunk, last_row }).is_err() {
                    // The writer gave up; it says why.
                    return Ok(());
                }
                match read {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        ending.failure = Some(fault_of_sender(error)?);
                        break;
                    }
                }
            }
            ending.media = reader.media();
            ending.notes = reader.notes();
        }
    }
    ending.counts.push((dataset, counts));
    let _ = send.blocking_send(Parcel::End { ending: Box::new(ending) });
    Ok(())
}

/// What is wrong with the file, for its sender. A disk of ours that cannot be read is no fault of the file: the batch
/// stays where it is and is tried again.
fn fault_of_sender(error: ReadError) -> Result<String> {
    if error.code == "source_failed" {
        tracing::error!(%error, "an original cannot be read from the object store");
        return Err(objects_unreadable());
    }
    Ok(error.message)
}

pub(super) fn objects_unreadable() -> Error {
    kernel::Refusal::new(
        RefusalKind::Unavailable,
        "objects.unreadable",
        "平台的文件存储暂时读不出来，批次已接收并保存，恢复后会自动继续处理。",
    )
    .into()
}

fn check_rows(
    raw: &[read::ReadRow],
    checker: &Checker,
    now: NaiveDateTime,
    counts: &mut RuleCounts,
    skip: i64,
) -> (Chunk, i64) {
    let mut chunk = Chunk { rows: Vec::with_capacity(raw.len()), unreadable: Vec::new() };
    let mut last_row = skip;
    for row in raw {
        match row {
            Ok(row) => {
                let checked: Checked = checker.check(row, now);
                counts.add(&checked);
                if row.number as i64 > skip {
                    last_row = row.number as i64;
                    chunk.rows.push(checked);
                }
            }
            Err(error) if error.number as i64 > skip => {
                last_row = error.number as i64;
                chunk.unreadable.push(Unreadable { number: error.number, message: error.message.clone() });
            }
            Err(_) => {}
        }
    }
    (chunk, last_row)
}
