//! The outbox: events written in the transaction that causes them, turned into jobs of their subscribers afterwards.

use kernel::Result;
use kernel::error::Doing;
use serde::Serialize;
use sqlx::Row;

use crate::db::{Db, Tx};
use crate::failure::DbDoing;
use crate::jobs::wake;

/// Held while dispatching: one dispatcher at a time keeps the order of events.
const LOCK: i64 = 0x6d69_6e6b_616e_6703;
/// Events turned into jobs in one transaction.
const AT_ONCE: i64 = 500;

/// Writes an event. Events of one `subject` (e.g. a person's number) reach each subscriber one by one in order;
/// with an empty subject, in any order.
pub async fn emit(tx: &mut Tx<'_>, topic: &str, subject: &str, body: &(impl Serialize + Sync)) -> Result<()> {
    emit_all(tx, topic, &[(subject, body)]).await
}

/// Writes several events of one topic, each with its subject.
pub async fn emit_all(
    tx: &mut Tx<'_>,
    topic: &str,
    events: &[(&str, &(impl Serialize + Sync))],
) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut subjects = Vec::with_capacity(events.len());
    let mut bodies = Vec::with_capacity(events.len());
    for (subject, body) in events {
        subjects.push(*subject);
        bodies.push(serde_json::to_value(body).doing("write an event as JSON")?);
    }
    sqlx::query(
        "insert into outbox (topic, subject, body)
         select $1, subject, body from unnest($2::text[], $3::jsonb[]) with ordinality as e (subject, body, n)
         order by n",
    )
    .bind(topic)
    .bind(subjects)
    .bind(bodies)
    .execute(&mut **tx)
    .await
    .db("write events")?;
    wake(tx).await
}

/// Turns the oldest events into one job for each of their subscribers (`subscriptions`: topic and kind of job) and
/// removes them, in one transaction. Returns how many events there were; an event without subscribers just goes.
pub(crate) async fn dispatch(db: &Db, subscriptions: &[(&'static str, &'static str)]) -> Result<usize> {
    db.transaction(async |tx| {
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut **tx)
            .await
            .db("wait for the dispatcher's lock")?;
        let events = sqlx::query("select id, topic, subject, body from outbox order by id limit $1")
            .bind(AT_ONCE)
            .fetch_all(&mut **tx)
            .await
            .db("read events")?;
        if events.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = events.iter().map(|e| e.get(0)).collect();
        let (mut kinds, mut topics, mut subjects, mut bodies) = (vec![], vec![], vec![], vec![]);
        for event in &events {
            let topic: String = event.get(1);
            for (_, kind) in subscriptions.iter().filter(|(of, _)| *of == topic) {
                kinds.push(*kind);
                topics.push(topic.clone());
                subjects.push(event.get::<String, _>(2));
                bodies.push(event.get::<serde_json::Value, _>(3));
            }
        }
        sqlx::query(
            "insert into job (kind, topic, subject, body)
             select kind, topic, subject, body
             from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])
                 with ordinality as j (kind, topic, subject, body, n)
             order by n",
        )
        .bind(kinds)
        .bind(topics)
        .bind(subjects)
        .bind(bodies)
        .execute(&mut **tx)
        .await
        .db("turn events into jobs")?;
        sqlx::query("delete from outbox where id = any($1)")
            .bind(ids)
            .execute(&mut **tx)
            .await
            .db("remove dispatched events")?;
        wake(tx).await?;
        Ok(events.len())
    })
    .await
}
