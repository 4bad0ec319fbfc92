//! Blocking keys of records that were there before: after an upgrade, and when a model with other rules is put in force.
//! By ranges of numbers, a short transaction each; a process that dies goes on where the last one ended.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::Result;
use store::{DbDoing, Tx};

use crate::engine::Engine;
use crate::linking::put_keys;
use crate::sealed::{CITIZEN, Seal};
use crate::{MasterIndex, gather};

/// Records of one transaction.
const AT_ONCE: i64 = 2_000;

impl MasterIndex {
    /// Gives every record its keys and notes whose number is its own. How many records were looked at.
    pub fn write_keys<'a>(&'a self, now: DateTime<Utc>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            // Another process may have put another model in force a moment ago.
            self.engine.forget();
            let mut done = 0;
            loop {
                let some = self
                    .db
                    .transaction(async |tx| {
                        let engine = self.engine.get(tx, now).await?;
                        some(tx, &engine, now).await
                    })
                    .await?;
                store::crash::point("person.keyed");
                match some {
                    0 => return Ok(done),
                    n => done += n,
                }
            }
        })
    }
}

async fn some(tx: &mut Tx<'_>, engine: &Engine, now: DateTime<Utc>) -> Result<u64> {
    sqlx::query(
        "insert into link_keyed (blocking, upto, total, updated_at)
         select $1, 0, coalesce(max(id), 0), $2 from identity_record on conflict do nothing",
    )
    .bind(&engine.blocking)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("begin to write keys")?;
    let upto: Option<i64> =
        sqlx::query_scalar("select upto from link_keyed where blocking = $1 and not done for update")
            .bind(&engine.blocking)
            .fetch_optional(&mut **tx)
            .await
            .db("look how far keys are written")?;
    let Some(upto) = upto else { return Ok(0) };
    if upto == 0 {
        // What is registered from now on gets no keys of the other ways any more: who goes back to one begins anew.
        sqlx::query("delete from link_keyed where blocking <> $1")
            .bind(&engine.blocking)
            .execute(&mut **tx)
            .await
            .db("forget other ways of blocking")?;
    }
    let records = gather::range(tx, upto, AT_ONCE).await?;
    let last = records.last().map_or(upto, |r| r.id);
    let seal = Seal::of(tx)?;
    let mut keys = Vec::with_capacity(records.len() * 12);
    let (mut ids, mut blinds) = (Vec::new(), Vec::new());
    for record in &records {
        let prepared = engine.prepare(&record.known, record.disowned);
        keys.extend(engine.keys(&prepared).into_iter().map(|(key, _)| (key, record.id)));
        if let Some(blind) = record.known.own_number().and_then(|n| seal.blind(CITIZEN, n)) {
            ids.push(record.id);
            blinds.push(blind);
        }
    }
    put_keys(tx, keys).await?;
    sqlx::query(
        "update identity_record i set own_blind = t.blind,
            claim_blind = case when p.citizen_blind = t.blind and not i.number_disowned then t.blind end
         from unnest($1::bigint[], $2::bytea[]) as t (id, blind), person p
         where i.id = t.id and p.id = i.person_id and i.own_blind is distinct from t.blind
           -- not what was changed since it was read
           and (i.citizen_blind is null or i.citizen_blind = t.blind)",
    )
    .bind(&ids)
    .bind(&blinds)
    .execute(&mut **tx)
    .await
    .db("note whose numbers are their own")?;
    sqlx::query("update link_keyed set upto = $2, done = $3, updated_at = $4 where blocking = $1")
        .bind(&engine.blocking)
        .bind(last)
        .bind(records.is_empty())
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("note how far keys are written")?;
    Ok(records.len() as u64)
}
