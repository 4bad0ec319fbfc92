//! People follow their divisions: when a registry of divisions moves codes, the division of each person and identity
//! record moves with them, in chunks, each row once, noted so that the undo is exact.

use std::sync::Arc;

use contracts::{DivisionHoldings, DivisionsFollowed, DivisionsMoved};
use futures::future::BoxFuture;
use kernel::{Clock, RegionCode, Result};
use serde_json::json;
use sqlx::Row;
use store::db::Retry;
use store::jobs::{Job, Jobs};
use store::{Db, DbDoing, Tx, outbox};

use crate::{MasterIndex, sealed};

/// The word for this part of the platform.
const PART: &str = "people";
/// Job: follows one operation on divisions.
const FOLLOW: &str = "person.follow_divisions";
/// Rows moved in one transaction.
const AT_ONCE: i64 = 5_000;

/// The statements of one table.
struct Table {
    kind: i16,
    move_noted: &'static str,
    move_plain: &'static str,
    put_back: &'static str,
    read_addresses: &'static str,
    move_some: &'static str,
}

/// One table's statements; `$name` is the table, `$counted` what else is set.
macro_rules! table {
    ($kind:literal, $name:literal, $counted:literal) => {
        Table {
            kind: $kind,
            move_noted: concat!(
                "with picked as (
                     select r.id, s.from_code, s.to_code
                     from unnest($2::text[], $3::text[]) as s (from_code, to_code)
                     cross join lateral (
                         select t.id from ",
                $name,
                " t where t.region = s.from_code order by t.id limit $4 for update
                     ) r limit $4
                 ), noted as (
                     insert into person_division_note (operation_id, kind, row_id, from_code, to_code)
                     select $1, ",
                $kind,
                ", id, from_code, to_code from picked on conflict do nothing
                 )
                 update ",
                $name,
                " t set region = p.to_code",
                $counted,
                " from picked p where t.id = p.id"
            ),
            move_plain: concat!(
                "with picked as (
                     select r.id, s.to_code from unnest($1::text[], $2::text[]) as s (from_code, to_code)
                     cross join lateral (
                         select t.id from ",
                $name,
                " t where t.region = s.from_code order by t.id limit $3 for update
                     ) r limit $3
                 )
                 update ",
                $name,
                " t set region = p.to_code",
                $counted,
                " from picked p where t.id = p.id"
            ),
            put_back: concat!(
                "with picked as (
                     delete from person_division_note n
                     where (n.operation_id, n.kind, n.row_id) in (
                         select operation_id, kind, row_id from person_division_note
                         where operation_id = $1 and kind = ",
                $kind,
                " order by row_id limit $2
                     ) returning n.row_id, n.from_code, n.to_code
                 ), put as (
                     update ",
                $name,
                " t set region = p.from_code",
                $counted,
                " from picked p
                     where t.id = p.row_id and t.region = p.to_code returning 1
                 )
                 select (select count(*) from picked), (select count(*) from put)"
            ),
            read_addresses: concat!(
                "select id, address from ",
                $name,
                " where region = $1 and id > $2 order by id limit $3"
            ),
            move_some: concat!(
                "with picked as (
                     select t.id, s.to_code from unnest($3::bigint[], $4::text[]) as s (id, to_code)
                     join ",
                $name,
                " t using (id) where t.region = $2 for update of t
                 ), noted as (
                     insert into person_division_note (operation_id, kind, row_id, from_code, to_code)
                     select $1, ",
                $kind,
                ", id, $2, to_code from picked on conflict do nothing
                 )
                 update ",
                $name,
                " t set region = p.to_code",
                $counted,
                " from picked p where t.id = p.id"
            ),
        }
    };
}

/// Records first: a person's best known division is recomputed from them when they change.
const TABLES: [Table; 2] = [
    table!(2, "identity_record", ""),
    // Whoever chose the best values before reads them again.
    table!(1, "person", ", version = t.version + 1"),
];

impl MasterIndex {
    /// Registers the job that follows operations on divisions, and those of the index itself.
    pub fn register_jobs(self: &Arc<Self>, jobs: &mut Jobs, clock: &Arc<dyn Clock>) {
        self.register_runs(jobs, clock);
        let db = self.db.clone();
        jobs.on(FOLLOW, move |job| {
            let db = db.clone();
            async move { follow(&db, &job).await }
        });
        jobs.subscribe(DivisionsMoved::TOPIC, FOLLOW);
    }
}

async fn follow(db: &Db, job: &Job) -> Result<()> {
    let event: DivisionsMoved = job.read()?;
    let mut moved = 0;
    for table in &TABLES {
        if event.undo {
            moved += chunks(db, job, moved, table, Way::Back, &event).await?;
            moved += chunks(db, job, moved, table, Way::Out, &event).await?;
        } else {
            moved += by_address(db, table, &event).await?;
            moved += chunks(db, job, moved, table, Way::On, &event).await?;
        }
    }
    let moved = people_moved(db, &event, moved).await?;
    let followed = DivisionsFollowed {
        operation_id: event.operation_id,
        part: PART.to_owned(),
        undo: event.undo,
        moved,
    };
    db.transaction(async |tx| {
        outbox::emit(tx, DivisionsFollowed::TOPIC, &event.operation_id.to_string(), &followed).await?;
        job.finish_in(tx).await
    })
    .await
}

/// What one transaction did: rows looked at (none: done) and rows moved.
type Step = (i64, i64);

/// Which way rows go.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// On, noted.
    On,
    /// Back to where they were noted.
    Back,
    /// Out of codes that vanish when an operation is undone.
    Out,
}

/// Repeats a step, each in its own transaction, until it finds nothing more; the rows moved.
async fn chunks(
    db: &Db,
    job: &Job,
    before: i64,
    table: &Table,
    way: Way,
    event: &DivisionsMoved,
) -> Result<i64> {
    let mut moved = 0;
    loop {
        let mut retry = Retry::default();
        let (seen, done) = loop {
            let step = db.transaction(async |tx| match way {
                Way::On => move_noted(tx, table, event).await,
                Way::Back => put_back(tx, table, event.operation_id).await,
                Way::Out => move_plain(tx, table, event).await,
            });
            match step.await {
                Err(error) if retry.again(&error).await => {}
                out => break out?,
            }
        };
        moved += done;
        if seen == 0 {
            return Ok(moved);
        }
        job.progress(&json!({ "moved": before + moved })).await?;
    }
}

fn sides(event: &DivisionsMoved) -> (Vec<&str>, Vec<&str>) {
    event.moves.iter().map(|(from, to)| (from.as_str(), to.as_str())).unzip()
}

async fn move_noted(tx: &mut Tx<'_>, table: &Table, event: &DivisionsMoved) -> Result<Step> {
    let (from, to) = sides(event);
    let done = sqlx::query(table.move_noted)
        .bind(event.operation_id)
        .bind(from)
        .bind(to)
        .bind(AT_ONCE)
        .execute(&mut **tx)
        .await
        .db("move people to other divisions")?
        .rows_affected() as i64;
    Ok((done, done))
}

async fn move_plain(tx: &mut Tx<'_>, table: &Table, event: &DivisionsMoved) -> Result<Step> {
    let (from, to) = sides(event);
    let done = sqlx::query(table.move_plain)
        .bind(from)
        .bind(to)
        .bind(AT_ONCE)
        .execute(&mut **tx)
        .await
        .db("move people out of divisions that vanish")?
        .rows_affected() as i64;
    Ok((done, done))
}

async fn put_back(tx: &mut Tx<'_>, table: &Table, operation: i64) -> Result<Step> {
    sqlx::query_as(table.put_back)
        .bind(operation)
        .bind(AT_ONCE)
        .fetch_one(&mut **tx)
        .await
        .db("move people back to their divisions")
}

/// A village that is split: who lives where is told by the words of the address.
async fn by_address(db: &Db, table: &Table, event: &DivisionsMoved) -> Result<i64> {
    let mut moved = 0;
    let mut from: Vec<&str> = event.addresses.iter().map(|rule| rule.from.as_str()).collect();
    from.dedup();
    for from in from {
        let rules: Vec<_> = event.addresses.iter().filter(|rule| rule.from == from).collect();
        let mut last = Some(0_i64);
        while let Some(after) = last {
            let step = db.transaction(async |tx| {
                let doing = "read addresses in a division that is split";
                let rows = sqlx::query(table.read_addresses)
                    .bind(from)
                    .bind(after)
                    .bind(AT_ONCE)
                    .fetch_all(&mut **tx)
                    .await
                    .db(doing)?;
                let opener = tx.keyring().opener();
                let (mut ids, mut targets, mut end) = (Vec::new(), Vec::new(), None);
                for row in &rows {
                    let id: i64 = row.try_get(0).db(doing)?;
                    let address = sealed::open(&opener, sealed::ADDRESS, row.try_get(1).db(doing)?)?;
                    if let Some(rule) = rules.iter().find(|rule| address.contains(&rule.contains))
                        && rule.to != from
                    {
                        ids.push(id);
                        targets.push(rule.to.as_str());
                    }
                    end = Some(id);
                }
                let done = sqlx::query(table.move_some)
                    .bind(event.operation_id)
                    .bind(from)
                    .bind(&ids)
                    .bind(&targets)
                    .execute(&mut **tx)
                    .await
                    .db("move people to the parts of a division")?;
                Ok((end, done.rows_affected() as i64))
            });
            let (end, done) = step.await?;
            last = end;
            moved += done;
        }
    }
    Ok(moved)
}

/// What is reported: people, not their records; of an undo, the rows put back.
async fn people_moved(db: &Db, event: &DivisionsMoved, rows: i64) -> Result<i64> {
    if event.undo {
        return Ok(rows);
    }
    sqlx::query_scalar("select count(*) from person_division_note where operation_id = $1 and kind = $2")
        .bind(event.operation_id)
        .bind(TABLES[1].kind)
        .fetch_one(db.pool())
        .await
        .db("count the people who were moved")
}

impl DivisionHoldings for MasterIndex {
    fn part(&self) -> &'static str {
        PART
    }

    fn title(&self) -> &'static str {
        "居民（人）"
    }

    fn count<'a>(&'a self, codes: &'a [String]) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as("select region, count(*) from person where region = any($1) group by 1 order by 1")
                .bind(codes)
                .fetch_all(self.db.pool())
                .await
                .db("count people by division")
        })
    }

    fn count_all<'a>(&'a self) -> BoxFuture<'a, Result<Vec<(String, i64)>>> {
        Box::pin(async move {
            sqlx::query_as("select region, count(*) from person where died_on is null group by 1")
                .fetch_all(self.db.pool())
                .await
                .db("count people by division")
        })
    }

    fn rows_of(&self, _: &RegionCode) -> Option<String> {
        // The search for a person wants more than a division.
        None
    }
}
