//! The statements on the table of jobs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use kernel::Result;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row};

use super::{Job, LEASE, MAX_ATTEMPTS, pause_after, wake};
use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// Claims the oldest job that is due, or whose worker has gone, and that no earlier unfinished job of its kind and
/// subject precedes.
pub async fn claim(db: &Db, kinds: &[&'static str], now: DateTime<Utc>) -> Result<Option<Job>> {
    let row = sqlx::query(
        "update job set state = 'running', attempts = attempts + 1, leased_until = $3, dedup_key = null
         where id = (
             select id from job j
             where kind = any($1)
               and ((state = 'ready' and run_at <= $2)
                    or (state = 'running' and leased_until <= $2 and attempts < $4))
               and (subject = '' or not exists (
                   select from job e
                   where e.kind = j.kind and e.subject = j.subject and e.subject <> '' and e.id < j.id
                     and e.state <> 'dead'))
             order by id
             limit 1
             for update skip locked)
         returning id, kind, subject, topic, body, attempts",
    )
    .bind(kinds)
    .bind(now)
    .bind(now + LEASE)
    .bind(MAX_ATTEMPTS)
    .fetch_optional(db.pool())
    .await
    .db("claim a job")?;
    Ok(row.map(|row| read(&row, db)))
}

fn read(row: &PgRow, db: &Db) -> Job {
    Job {
        id: row.get(0),
        kind: row.get(1),
        subject: row.get(2),
        topic: row.get(3),
        body: row.get(4),
        attempt: row.get(5),
        db: db.clone(),
        finished: Arc::new(AtomicBool::new(false)),
    }
}

/// Removes a finished job; `false` if it is no longer the claimant's.
pub async fn finish(connection: &mut PgConnection, job: &Job) -> Result<bool> {
    let done = sqlx::query("delete from job where id = $1 and attempts = $2 and state = 'running'")
        .bind(job.id)
        .bind(job.attempt)
        .execute(connection)
        .await
        .db("finish a job")?;
    Ok(done.rows_affected() == 1)
}

/// Puts a failed job back to be tried again after a pause, or aside as dead. Returns whether it is dead now.
pub async fn fail(db: &Db, job: &Job, error: &str, now: DateTime<Utc>) -> Result<bool> {
    let dead = job.attempt >= MAX_ATTEMPTS;
    sqlx::query(
        "update job set state = $3, run_at = $4, last_error = $5, leased_until = null
         where id = $1 and attempts = $2 and state = 'running'",
    )
    .bind(job.id)
    .bind(job.attempt)
    .bind(if dead { "dead" } else { "ready" })
    .bind(now + pause_after(job.attempt))
    .bind(error)
    .execute(db.pool())
    .await
    .db("note a failed job")?;
    Ok(dead)
}

/// Extends the lease; `false` if it is no longer the claimant's.
pub async fn renew(db: &Db, job: &Job, now: DateTime<Utc>) -> Result<bool> {
    let done =
        sqlx::query("update job set leased_until = $3 where id = $1 and attempts = $2 and state = 'running'")
            .bind(job.id)
            .bind(job.attempt)
            .bind(now + LEASE)
            .execute(db.pool())
            .await
            .db("renew a job's lease")?;
    Ok(done.rows_affected() == 1)
}

/// Gives a claimed job back at once: its worker is being stopped.
pub async fn release(db: &Db, id: i64, attempt: i32) -> Result<()> {
    sqlx::query(
        "update job set state = 'ready', leased_until = null where id = $1 and attempts = $2 and state = 'running'",
    )
    .bind(id)
    .bind(attempt)
    .execute(db.pool())
    .await
    .db("give a job back")?;
    Ok(())
}

/// Notes how far a job has come.
pub async fn progress(db: &Db, job: &Job, progress: &serde_json::Value) -> Result<()> {
    sqlx::query("update job set progress = $3 where id = $1 and attempts = $2 and state = 'running'")
        .bind(job.id)
        .bind(job.attempt)
        .bind(progress)
        .execute(db.pool())
        .await
        .db("note a job's progress")?;
    Ok(())
}

/// Puts aside the jobs whose last permitted start ended with the death of the worker.
pub async fn bury(db: &Db, now: DateTime<Utc>) -> Result<u64> {
    let done = sqlx::query(
        "update job set state = 'dead', leased_until = null,
             last_error = coalesce(last_error || E'\\n', '') || '任务每次执行都使进程中断，已停止重试'
         where state = 'running' and leased_until <= $1 and attempts >= $2",
    )
    .bind(now)
    .bind(MAX_ATTEMPTS)
    .execute(db.pool())
    .await
    .db("put dead jobs aside")?;
    Ok(done.rows_affected())
}

/// How many events and jobs are unfinished, and how many jobs dead.
pub async fn left(db: &Db) -> Result<(i64, i64)> {
    let row = sqlx::query(
        "select (select count(*) from outbox) + (select count(*) from job where state <> 'dead'),
                (select count(*) from job where state = 'dead')",
    )
    .fetch_one(db.pool())
    .await
    .db("count what is left to do")?;
    Ok((row.get(0), row.get(1)))
}

/// The jobs that an event caused and that are not over: kind and progress, by topic and subject.
pub async fn of_event(db: &Db, topic: &str, subject: &str) -> Result<Vec<(String, serde_json::Value)>> {
    sqlx::query_as(
        "select kind, coalesce(progress, '{}') from job where topic = $1 and subject = $2 and subject <> ''",
    )
    .bind(topic)
    .bind(subject)
    .fetch_all(db.pool())
    .await
    .db("read the jobs of an event")
}

/// A job that was given up.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct DeadJob {
    /// Number.
    pub id: i64,
    /// Kind.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What it carries.
    pub body: serde_json::Value,
    /// How often it was started.
    pub attempts: i32,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// The latest dead jobs, newest first.
pub async fn dead(db: &Db, limit: i64) -> Result<Vec<DeadJob>> {
    sqlx::query_as(
        "select id, kind, subject, body, attempts, last_error, created_at from job
         where state = 'dead' order by id desc limit $1",
    )
    .bind(limit)
    .fetch_all(db.pool())
    .await
    .db("list dead jobs")
}

/// Lets a dead job start anew; `false` if there is no such one.
pub async fn revive(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    let done = sqlx::query(
        "update job set state = 'ready', attempts = 0, run_at = '-infinity' where id = $1 and state = 'dead'",
    )
    .bind(id)
    .execute(&mut **tx)
    .await
    .db("revive a job")?;
    wake(tx).await?;
    Ok(done.rows_affected() == 1)
}
