//! Deferred work: jobs written in the transaction that wants them, carried out afterwards at least once.
//!
//! A worker claims a job by a lease, which it renews while it works. When its process dies, the lease runs out and
//! another worker starts the job again; the number of starts tells the two apart, so that a late finish has no
//! effect. A job that fails is tried again after growing pauses and in the end put aside as dead, for a person to
//! look at. Handlers must therefore be idempotent, or finish the job in their own transaction ([`Job::finish_in`]).

mod queue;
mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kernel::error::Doing;
use kernel::{Clock, Error, Refusal, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::{Db, Tx};
use crate::failure::DbDoing;

pub use queue::{DeadJob, dead, of_event, revive};
pub use runner::Idle;

/// Starts of a job before it is put aside as dead; with the pauses between them about half an hour.
pub const MAX_ATTEMPTS: i32 = 10;
/// How long a claim lasts unless renewed.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);

/// Writes a job. Jobs of one kind and subject run one by one in the order written; with an empty subject, in any
/// order. With a `dedup_key`, a job of that kind and key that has not started yet takes the new body instead (use it
/// for "bring up to date" jobs). Returns the job's number.
pub async fn enqueue(
    tx: &mut Tx<'_>,
    kind: &str,
    subject: &str,
    body: &(impl Serialize + Sync),
    dedup_key: Option<&str>,
) -> Result<i64> {
    enqueue_at(tx, kind, subject, body, dedup_key, DateTime::<Utc>::MIN_UTC).await
}

/// The same for a job that is not to start before `run_at`.
pub async fn enqueue_at(
    tx: &mut Tx<'_>,
    kind: &str,
    subject: &str,
    body: &(impl Serialize + Sync),
    dedup_key: Option<&str>,
    run_at: DateTime<Utc>,
) -> Result<i64> {
    let body = serde_json::to_value(body).doing("write a job as JSON")?;
    // Updating the waiting job also locks it: it cannot start before what this transaction did can be seen.
    let id = sqlx::query_scalar(
        "insert into job (kind, subject, body, dedup_key, run_at)
         values ($1, $2, $3, $4, coalesce($5, '-infinity'::timestamptz))
         on conflict (kind, dedup_key)
             do update set body = excluded.body, run_at = least(job.run_at, excluded.run_at)
         returning id",
    )
    .bind(kind)
    .bind(subject)
    .bind(body)
    .bind(dedup_key)
    .bind((run_at != DateTime::<Utc>::MIN_UTC).then_some(run_at))
    .fetch_one(&mut **tx)
    .await
    .db("write a job")?;
    wake(tx).await?;
    Ok(id)
}

/// Tells all workers of all processes that there is something to do, once the transaction commits.
pub(crate) async fn wake(tx: &mut Tx<'_>) -> Result<()> {
    sqlx::query("select pg_notify('minkang_job', '')").execute(&mut **tx).await.db("wake the workers")?;
    Ok(())
}

/// A job as its handler gets it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Number.
    pub id: i64,
    /// Kind: which handler.
    pub kind: String,
    /// What it is about, as given when it was written.
    pub subject: String,
    /// Topic of the event that caused it; empty for a job written directly.
    pub topic: String,
    /// What it carries.
    pub body: serde_json::Value,
    /// Which start this is, from 1.
    pub attempt: i32,
    db: Db,
    finished: Arc<AtomicBool>,
}

impl Job {
    /// The body as a type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.body).doing("read a job's body")
    }

    /// Notes how far the work has come, for whoever waits for it.
    pub async fn progress(&self, progress: &(impl Serialize + Sync)) -> Result<()> {
        let progress = serde_json::to_value(progress).doing("write progress as JSON")?;
        queue::progress(&self.db, self, &progress).await
    }

    /// Finishes the job in the handler's own transaction, so that its effect happens exactly once. Refused when
    /// the lease has run out and another worker has taken over: the transaction must then be rolled back.
    pub async fn finish_in(&self, tx: &mut Tx<'_>) -> Result<()> {
        if !queue::finish(&mut *tx, self).await? {
            return Err(Refusal::conflict("job.lost", "这项后台任务已由另一个进程接手。").into());
        }
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

type Handler = Arc<dyn Fn(Job) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// The handlers and subscriptions of this program, and the workers that serve them.
///
/// Every process that runs workers must know all subscriptions: an event is given to the subscribers that the
/// process which dispatches it knows.
#[derive(Clone)]
pub struct Jobs {
    db: Db,
    clock: Arc<dyn Clock>,
    handlers: BTreeMap<&'static str, Handler>,
    subscriptions: Vec<(&'static str, &'static str)>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("kinds", &self.handlers.keys()).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Without handlers yet.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, handlers: BTreeMap::new(), subscriptions: Vec::new() }
    }

    /// Registers the handler of a kind of job.
    pub fn on<F>(
        &mut self,
        kind: &'static str,
        handler: impl Fn(Job) -> F + Send + Sync + 'static,
    ) -> &mut Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.handlers.insert(kind, Arc::new(move |job| Box::pin(handler(job))));
        self
    }

    /// Subscribes a kind of job to a topic: every event of the topic becomes one job of that kind with the event's
    /// subject and body.
    pub fn subscribe(&mut self, topic: &'static str, kind: &'static str) -> &mut Self {
        self.subscriptions.push((topic, kind));
        self
    }
}

/// What is written down about a failure.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.chars().take(2000).collect()
}

/// The pause before the next start after `attempts` starts: 4 s, 8 s, 16 s … up to ten minutes.
fn pause_after(attempts: i32) -> TimeDelta {
    let seconds = 2i64.pow(u32::try_from(attempts.clamp(1, 10)).unwrap_or(1) + 1);
    TimeDelta::seconds(seconds.min(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for (attempts, seconds) in
            [(-3, 4), (0, 4), (1, 4), (2, 8), (5, 64), (9, 600), (10, 600), (i32::MAX, 600)]
        {
            assert_eq!(pause_after(attempts).num_seconds(), seconds, "after {attempts}");
        }
    }

    #[test]
    fn failures_are_described_with_their_cause_and_bounded() {
        let error = Error::fault("read", std::io::Error::other("gone"));
        assert_eq!(describe(&error), "read: gone");
        assert_eq!(describe(&Refusal::conflict("a.b", "长".repeat(3000)).into()).chars().count(), 2000);
    }
}
