//! Work on the whole index: keys of records that have none yet, training, re-evaluation with a change set that is looked
//! at before it is applied, and the nightly look for people who look wrong.

pub(crate) mod compare;
pub(crate) mod counts;
mod everyone;
mod keyed;
mod look;
mod models;
pub(crate) mod places;
mod relink;
mod sample;
mod sweep;

use std::sync::Arc;

use chrono::{DateTime, Duration, NaiveTime, Utc};
use kernel::{Clock, Error, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::jobs::{Job, Jobs, MAX_ATTEMPTS, enqueue, enqueue_at};
use store::{DbDoing, Tx};

pub use compare::{Asked, Compared, Says, Would};
pub use look::Found;
pub(crate) use models::shipped_version;
pub use models::{ModelRow, SHIPPED};
pub use sample::chosen;

use crate::MasterIndex;

/// Job: gives records their blocking keys.
pub(crate) const KEYS: &str = "person.keys";
/// Job: looks through everybody.
pub(crate) const LOOK: &str = "person.look";
/// Job: re-evaluates the registry and writes a proposal.
pub(crate) const RELINK: &str = "person.relink";
/// Job: learns from the registry.
pub(crate) const TRAIN: &str = "person.train";
/// Job: applies an approved proposal.
pub(crate) const APPLY: &str = "person.apply_run";
/// Job: takes an applied proposal back.
pub(crate) const UNDO: &str = "person.undo_run";

/// Job: compares models by what each would decide.
pub(crate) const COMPARE: &str = "person.compare";

/// A number without order, made of one with order.
pub(crate) const fn scramble(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A run as pages show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// `relink`, `train`, `compare` or `audit`.
    pub kind: String,
    /// `running`, `proposed`, `rejected`, `applying`, `applied`, `undoing`, `undone`, `failed` or `done`.
    pub state: String,
    /// The model that decided.
    pub model_version: String,
    /// Figures.
    pub statistics: serde_json::Value,
    /// How much there is to do, and how much is done.
    pub total: i64,
    /// Done.
    pub done: i64,
    /// Who asked for it.
    pub actor: String,
    /// Who approved or rejected it.
    pub decided_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// When it was through.
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub failure: String,
}

pub(crate) const RUN: &str =
    "select id, kind, state, model_version, statistics, total, done, actor, decided_by, reason,
    started_at, finished_at, failure from index_run where id = $1";

fn run(row: &PgRow) -> Result<Run, sqlx::Error> {
    Ok(Run {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        state: row.try_get(2)?,
        model_version: row.try_get(3)?,
        statistics: row.try_get(4)?,
        total: row.try_get(5)?,
        done: row.try_get(6)?,
        actor: row.try_get(7)?,
        decided_by: row.try_get(8)?,
        reason: row.try_get(9)?,
        started_at: row.try_get(10)?,
        finished_at: row.try_get(11)?,
        failure: row.try_get(12)?,
    })
}

/// Begins a run.
pub(crate) async fn begin(tx: &mut Tx<'_>, kind: &str, actor: &str, now: DateTime<Utc>) -> Result<i64> {
    sqlx::query_scalar(
        "insert into index_run (kind, state, actor, started_at) values ($1, 'running', $2, $3) returning id",
    )
    .bind(kind)
    .bind(actor)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("begin a run")
}

impl MasterIndex {
    /// The runs, newest first.
    pub async fn runs(&self, limit: i64) -> Result<Vec<Run>> {
        let rows = sqlx::query(
            "select id, kind, state, model_version, statistics, total, done, actor, decided_by, reason, started_at,
                finished_at, failure from index_run order by id desc limit $1",
        )
        .bind(limit)
        .fetch_all(self.db.pool())
        .await
        .db("read runs")?;
        rows.iter().map(run).collect::<Result<_, _>>().db("read runs")
    }

    /// One run.
    pub async fn run(&self, id: i64) -> Result<Option<Run>> {
        let row = sqlx::query(RUN).bind(id).fetch_optional(self.db.pool()).await.db("read a run")?;
        row.as_ref().map(run).transpose().db("read a run")
    }

    /// Asks for a run by a job: `relink` or `train`. Its number.
    pub async fn request_run(&self, kind: &'static str, actor: &str, now: DateTime<Utc>) -> Result<i64> {
        self.db
            .transaction(async |tx| {
                let id = begin(tx, kind, actor, now).await?;
                let job = if kind == "train" { TRAIN } else { RELINK };
                enqueue(tx, job, &id.to_string(), &id, None).await?;
                Ok(id)
            })
            .await
    }

    /// Begins a run whose work the caller does.
    pub async fn start_run(&self, kind: &'static str, actor: &str, now: DateTime<Utc>) -> Result<i64> {
        self.db.transaction(async |tx| begin(tx, kind, actor, now).await).await
    }

    /// Asks for what should happen by itself: the keys of records that have none, and the nightly look. Safe to repeat
    /// at every start.
    pub async fn schedule(&self, now: DateTime<Utc>) -> Result<()> {
        self.db
            .transaction(async |tx| {
                enqueue(tx, KEYS, "", &serde_json::json!({}), Some("all")).await?;
                enqueue_at(tx, LOOK, "", &serde_json::json!({}), Some("nightly"), self.next_look(now))
                    .await?;
                Ok(())
            })
            .await
    }

    /// The next time that the hour of the setting strikes, in China.
    fn next_look(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let hour = self.options.as_ref().map_or(2, |o| o.whole("person_index.check_hour"));
        let local = kernel::clock::to_china(now);
        let at = NaiveTime::from_hms_opt(u32::try_from(hour).unwrap_or(2), 0, 0).unwrap_or_default();
        let today = local.date().and_time(at);
        let wait = if today > local { today - local } else { today + Duration::days(1) - local };
        now + wait
    }

    pub(crate) fn register_runs(self: &Arc<Self>, jobs: &mut Jobs, clock: &Arc<dyn Clock>) {
        let on = |jobs: &mut Jobs, kind: &'static str, work: Work| {
            let (index, clock) = (self.clone(), clock.clone());
            jobs.on(kind, move |job| {
                let (index, clock) = (index.clone(), clock.clone());
                async move { index.work(work, &job, clock.now()).await }
            });
        };
        on(jobs, KEYS, Work::Keys);
        on(jobs, LOOK, Work::Look);
        on(jobs, RELINK, Work::Relink);
        on(jobs, TRAIN, Work::Train);
        on(jobs, COMPARE, Work::Compare);
        on(jobs, APPLY, Work::Apply);
        on(jobs, UNDO, Work::Undo);
    }

    async fn work(&self, work: Work, job: &Job, now: DateTime<Utc>) -> Result<()> {
        match work {
            Work::Keys => {
                self.write_keys(now).await?;
                self.sweep_keys(now).await.map(drop)
            }
            Work::Look => {
                self.look(now).await?;
                let next = self.next_look(now);
                self.db
                    .transaction(async |tx| {
                        enqueue_at(tx, LOOK, "", &serde_json::json!({}), Some("nightly"), next)
                            .await
                            .map(drop)
                    })
                    .await
            }
            Work::Relink => {
                let done = self.propose(job.read()?, now).await;
                self.or_failed(job, now, done.map(drop)).await
            }
            Work::Train => {
                let done = self.learn(job.read()?, now).await;
                self.or_failed(job, now, done.map(drop)).await
            }
            Work::Compare => {
                let done = self.compare_models(job.read()?, now).await;
                self.or_failed(job, now, done.map(drop)).await
            }
            Work::Apply => self.apply_run(job.read()?, now).await,
            Work::Undo => self.undo_run_now(job.read()?, now).await,
        }
    }
}

impl MasterIndex {
    /// A run that is refused has failed, for people to read why; trying again would not help. One that fails by a fault is
    /// tried again, until the job is given up.
    async fn or_failed(&self, job: &Job, now: DateTime<Utc>, done: Result<()>) -> Result<()> {
        match done {
            Err(Error::Refused(refusal)) => self.fail_run(job.read()?, &refusal.message, now).await,
            Err(error) if job.attempt >= MAX_ATTEMPTS => {
                self.fail_run(job.read()?, "多次尝试都没有成功，请联系运维人员查看日志。", now).await?;
                Err(error)
            }
            done => done,
        }
    }

    /// Notes that a run under way has failed, and why.
    pub async fn fail_run(&self, run: i64, why: &str, now: DateTime<Utc>) -> Result<()> {
        sqlx::query(
            "update index_run set state = 'failed', failure = $2, finished_at = $3 where id = $1 and state = 'running'",
        )
        .bind(run)
        .bind(why)
        .bind(now)
        .execute(self.db.pool())
        .await
        .db("note that a run failed")?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Keys,
    Look,
    Relink,
    Train,
    Compare,
    Apply,
    Undo,
}
