//! Keeping the keys of registrations in step: rounds that write those of registrations that are new or changed, and
//! of all that were there before.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate};
use kernel::Result;
use sqlx::Row;
use store::{Db, DbDoing, Tx};

use super::keys::{of_record, tail, telephone};
use crate::sealed::{CONTACT_PHONE, PHONE, Protected, Seal, open};

/// Registrations of one round.
const ROUND: i64 = 2_000;
/// Held by the one process that writes keys.
const LOCK: i64 = 0x6d69_6e6b_7365_6172;
/// The last digits of a telephone; found by their keyed hash only.
pub(crate) const TAIL: Protected = Protected { place: "", kind: "phone_tail" };

/// What one registration is found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub identity: i64,
    pub keys: Vec<i64>,
    pub birth: i16,
    pub sex: i16,
    pub region: i32,
    pub institution: i32,
    pub tail: i32,
}

/// Writes the keys of registrations that wait; whether there may be more. One process at a time does it, others find
/// nothing to do.
pub async fn round(db: &Db) -> Result<bool> {
    db.transaction(async |tx| {
        let mine: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut **tx)
            .await
            .db("take the keys of the search")?;
        if !mine {
            return Ok(false);
        }
        let waiting: Vec<i64> = sqlx::query_scalar(
            "delete from search_pending where id in (select id from search_pending order by id limit $1)
             returning identity_id",
        )
        .bind(ROUND)
        .fetch_all(&mut **tx)
        .await
        .db("take registrations that wait for their keys")?;
        if !waiting.is_empty() {
            write(tx, &waiting).await?;
            return Ok(waiting.len() as i64 == ROUND);
        }
        fill(tx).await
    })
    .await
}

/// The next of those that were there before there were keys.
async fn fill(tx: &mut Tx<'_>) -> Result<bool> {
    let (upto, done): (i64, bool) = sqlx::query_as("select upto, done from search_filled")
        .fetch_one(&mut **tx)
        .await
        .db("read how far the keys of the search have come")?;
    if done {
        return Ok(false);
    }
    let next: Vec<i64> =
        sqlx::query_scalar("select id from identity_record where id > $1 order by id limit $2")
            .bind(upto)
            .bind(ROUND)
            .fetch_all(&mut **tx)
            .await
            .db("find registrations without keys")?;
    write(tx, &next).await?;
    let done = (next.len() as i64) < ROUND;
    sqlx::query("update search_filled set upto = $1, done = $2")
        .bind(next.last().copied().unwrap_or(upto))
        .bind(done)
        .execute(&mut **tx)
        .await
        .db("note how far the keys of the search have come")?;
    Ok(!done)
}

/// Whether registrations that were there before still lack their keys.
pub async fn filling(tx: &mut Tx<'_>) -> Result<bool> {
    sqlx::query_scalar("select not done from search_filled")
        .fetch_one(&mut **tx)
        .await
        .db("read how far the keys of the search have come")
}

/// What is read of a registration.
const READ: &str = "
    select id, name, birth_date, sex, region, institution_id, phone, contact_phone
    from identity_record where id = any($1)";

async fn write(tx: &mut Tx<'_>, identities: &[i64]) -> Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(READ)
        .bind(identities)
        .fetch_all(&mut **tx)
        .await
        .db("read registrations for their keys")?;
    let seal = Seal::of(tx)?;
    let opener = tx.keyring().opener();
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let doing = "read registrations for their keys";
        let text = |at: usize| row.try_get::<String, _>(at).db(doing);
        let born: Option<NaiveDate> = row.try_get(2).db(doing)?;
        let region = text(4)?;
        let mut entry = Entry {
            identity: row.try_get(0).db(doing)?,
            keys: of_record(&text(1)?, &region),
            birth: born.and_then(|b| i16::try_from(b.year()).ok()).unwrap_or(0),
            sex: text(3)?.parse().unwrap_or(0),
            region: nine(&region),
            institution: row.try_get(5).db(doing)?,
            tail: 0,
        };
        for (what, at) in [(PHONE, 6), (CONTACT_PHONE, 7)] {
            let number = open(&opener, what, text(at)?)?;
            let Some(blind) = tail(&number).and_then(|digits| seal.blind(TAIL, &digits)) else { continue };
            entry.keys.push(telephone(&blind));
            if at == 6 {
                entry.tail = short(&blind);
            }
        }
        entry.keys.sort_unstable();
        entry.keys.dedup();
        entries.push(entry);
    }
    replace(tx, identities, &entries).await
}

/// The first nine digits of a division: province to township.
pub(crate) fn nine(region: &str) -> i32 {
    region.get(..9).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// As much of a keyed hash as ranks candidates; never 0.
pub(crate) fn short(blind: &[u8]) -> i32 {
    let four: Vec<u8> = blind.iter().skip(8).take(4).copied().collect();
    <[u8; 4]>::try_from(four).map_or(1, i32::from_le_bytes).max(i32::MIN + 1) | 1
}

async fn replace(tx: &mut Tx<'_>, identities: &[i64], entries: &[Entry]) -> Result<()> {
    let doing = "write keys of registrations";
    sqlx::query(
        "with gone as (delete from search_entry where identity_id = any($1) returning identity_id, birth, keys)
         delete from search_key k using (select identity_id, birth, unnest(keys) as key from gone) g
         where k.key = g.key and k.birth = g.birth and k.identity_id = g.identity_id",
    )
    .bind(identities)
    .execute(&mut **tx)
    .await
    .db(doing)?;
    let mut rows: HashMap<(i64, i64), &Entry> = HashMap::new();
    for entry in entries {
        rows.extend(entry.keys.iter().map(|key| ((*key, entry.identity), entry)));
    }
    let mut rows: Vec<(i64, &Entry)> = rows.into_iter().map(|((key, _), entry)| (key, entry)).collect();
    // In the order of the index: neighbours share its pages.
    rows.sort_unstable_by_key(|(key, entry)| (*key, entry.birth, entry.identity));
    sqlx::query(
        "insert into search_key (key, identity_id, region, institution, tail, birth, sex)
         select * from unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::smallint[], $7::smallint[])
         on conflict do nothing",
    )
    .bind(rows.iter().map(|(key, _)| *key).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.identity).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.region).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.institution).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.tail).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.birth).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, e)| e.sex).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db(doing)?;
    // Arrays of different lengths travel as text.
    let keys = |e: &Entry| {
        let all: Vec<String> = e.keys.iter().map(ToString::to_string).collect();
        format!("{{{}}}", all.join(","))
    };
    sqlx::query(
        "insert into search_entry (identity_id, birth, keys)
         select identity_id, birth, keys::bigint[] from unnest($1::bigint[], $2::smallint[], $3::text[])
            as t (identity_id, birth, keys) where keys <> '{}'",
    )
    .bind(entries.iter().map(|e| e.identity).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.birth).collect::<Vec<_>>())
    .bind(entries.iter().map(keys).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db(doing)?;
    Ok(())
}
