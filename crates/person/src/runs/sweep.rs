//! Keys that no record makes any more: of blocking rules that are gone, and of values that changed while other rules were
//! in force. After the keys of the rules in force are written, the table is gone through in the order in which it lies
//! on disk, where the keys of a record lie together; a short transaction for each part, the place is kept.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::Result;
use store::db::Retry;
use store::{DbDoing, Tx};

use super::compare::of_ids;
use crate::engine::Engine;
use crate::linking::take_keys;
use crate::{MasterIndex, gather};

/// Blocks of the table that are looked at in one transaction; some 150 keys lie in each.
const BLOCKS: i64 = 128;
/// Records that are read at once.
const AT_ONCE: usize = 5_000;

/// A part of the table was looked at.
enum Swept {
    /// There is nothing (more) to look at.
    Clean,
    /// So many keys were taken away.
    Gone(u64),
}

impl MasterIndex {
    /// Takes away the keys that no record makes by the rules in force; how many. Does nothing before everybody has the
    /// keys of these rules, nor a second time.
    pub fn sweep_keys<'a>(&'a self, now: DateTime<Utc>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut gone = 0;
            loop {
                let mut retry = Retry::default();
                let swept = loop {
                    let part = self
                        .db
                        .transaction(async |tx| {
                            let engine = self.engine.get(tx, now).await?;
                            part(tx, &engine, now).await
                        })
                        .await;
                    match part {
                        Err(error) if retry.again(&error).await => {}
                        part => break part?,
                    }
                };
                store::crash::point("person.swept");
                match swept {
                    Swept::Clean => return Ok(gone),
                    Swept::Gone(n) => gone += n,
                }
            }
        })
    }
}

async fn part(tx: &mut Tx<'_>, engine: &Engine, now: DateTime<Utc>) -> Result<Swept> {
    let place: Option<(i64, i64)> = sqlx::query_as(
        "select swept, pg_relation_size('link_key') / current_setting('block_size')::int from link_keyed
         where blocking = $1 and done and not clean for update",
    )
    .bind(&engine.blocking)
    .fetch_optional(&mut **tx)
    .await
    .db("look how far keys are swept")?;
    let Some((from, blocks)) = place else { return Ok(Swept::Clean) };
    let upto = from + BLOCKS;
    // First the keys, then the records: whatever a record gets in between is not among these keys.
    let keys: Vec<(i64, i64)> = sqlx::query_as(
        "select key, identity_id from link_key
         where ctid >= ('(' || $1::text || ',0)')::tid and ctid < ('(' || $2::text || ',0)')::tid",
    )
    .bind(from)
    .bind(upto)
    .fetch_all(&mut **tx)
    .await
    .db("read keys as they lie")?;
    let odd = unmade(tx, engine, &keys).await?;
    // Once more with the records locked: none of them is being changed by somebody else, who could make the key again.
    let records: Vec<i64> = odd.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>().into_iter().collect();
    let mut gone = Vec::new();
    for some in records.chunks(AT_ONCE) {
        gather::lock(tx, some).await?;
    }
    if !odd.is_empty() {
        gone = unmade(tx, engine, &odd).await?;
    }
    take_keys(tx, &gone).await?;
    if upto >= blocks {
        frequent(tx, engine).await?;
    }
    sqlx::query("update link_keyed set swept = $2, clean = $3, updated_at = $4 where blocking = $1")
        .bind(&engine.blocking)
        .bind(upto)
        .bind(upto >= blocks)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("note how far keys are swept")?;
    Ok(Swept::Gone(gone.len() as u64))
}

/// Those of the keys that their records do not make.
async fn unmade(tx: &mut Tx<'_>, engine: &Engine, keys: &[(i64, i64)]) -> Result<Vec<(i64, i64)>> {
    let ids: Vec<i64> = keys.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>().into_iter().collect();
    let mut made: HashMap<i64, HashSet<i64>> = HashMap::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        for (id, record) in of_ids(tx, some).await? {
            let prepared = engine.prepare(&record.known, record.disowned);
            made.insert(id, engine.keys(&prepared).into_iter().map(|(key, _)| key).collect());
        }
    }
    Ok(keys.iter().filter(|(key, id)| !made.get(id).is_some_and(|m| m.contains(key))).copied().collect())
}

/// Forgets that keys are frequent which nobody makes any more.
async fn frequent(tx: &mut Tx<'_>, engine: &Engine) -> Result<()> {
    sqlx::query(
        "delete from link_frequent f where f.rule <> all($1) or not exists (select from link_key k where k.key = f.key)",
    )
    .bind(engine.model.blocks().map(|(name, _)| name.to_owned()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("forget frequent keys")?;
    Ok(())
}
