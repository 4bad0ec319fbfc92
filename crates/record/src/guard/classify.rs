//! Bringing the sensitivity category of index entries up to date when `catalog/sensitivity.toml` has changed: a job
//! that goes through the facts in batches and can be interrupted at any point.

use std::sync::Arc;

use ::store::jobs::{Job, Jobs};
use ::store::{Db, DbDoing};
use catalog::{Catalog, Dataset, EntryKind};
use kernel::Result;

use crate::facts;

/// Kind of the job.
pub const JOB: &str = "record.classify";

/// Facts looked at in one transaction.
const BATCH: i64 = 4000;

/// What categories are told by: changes when the definitions do.
fn digest(catalog: &Catalog) -> String {
    blake3::hash(format!("{:?}", catalog.protection).as_bytes()).to_hex().to_string()
}

/// Data sets with entries of their own and fields that tell.
fn datasets(catalog: &Catalog) -> impl Iterator<Item = &Arc<Dataset>> {
    catalog
        .datasets
        .iter()
        .filter(|d| d.person.is_some() && d.record.as_ref().is_some_and(|view| view.entry != EntryKind::Part))
}

/// Asks for the job when the definitions differ from those that the entries were made by.
pub(crate) async fn request(db: &Db, catalog: &Catalog) -> Result<()> {
    let digest = digest(catalog);
    let known: Vec<i16> =
        sqlx::query_scalar("select dataset from record_classified where digest = $1 and done")
            .bind(&digest)
            .fetch_all(db.pool())
            .await
            .db("look which entries are classified")?;
    if datasets(catalog).all(|d| known.contains(&d.number)) {
        return Ok(());
    }
    db.transaction(async |tx| ::store::jobs::enqueue(tx, JOB, JOB, &(), Some(JOB)).await).await?;
    Ok(())
}

/// Registers the handler.
pub(crate) fn register(jobs: &mut Jobs, db: Db, catalog: Arc<Catalog>) {
    jobs.on(JOB, move |job: Job| {
        let (db, catalog) = (db.clone(), catalog.clone());
        async move { run(&db, &catalog, &job).await }
    });
}

async fn run(db: &Db, catalog: &Catalog, job: &Job) -> Result<()> {
    let digest = digest(catalog);
    let mut looked_at = 0;
    for dataset in datasets(catalog) {
        loop {
            let count = step(db, dataset, &digest).await?;
            let Some(count) = count else { break };
            looked_at += count;
            job.progress(&serde_json::json!({ "dataset": dataset.name, "rows": looked_at })).await?;
        }
    }
    Ok(())
}

/// One batch of one data set; `None` when it is done.
async fn step(db: &Db, dataset: &Dataset, digest: &str) -> Result<Option<usize>> {
    db.background("classify entries", async |tx| {
        let (after, done): (i64, bool) = sqlx::query_as(
            "insert into record_classified (dataset, digest, after, done) values ($1, $2, 0, false)
             on conflict (dataset) do update set digest = excluded.digest,
                after = case when record_classified.digest = excluded.digest then record_classified.after else 0 end,
                done = record_classified.digest = excluded.digest and record_classified.done
             returning after, done",
        )
        .bind(dataset.number)
        .bind(digest)
        .fetch_one(&mut ***tx)
        .await
        .db("look how far entries are classified")?;
        if done {
            return Ok(None);
        }
        let facts = facts::scan(tx, dataset, after, BATCH).await?;
        let hung: Vec<_> = facts.iter().filter_map(|f| Some((f, f.identity_id?))).collect();
        sqlx::query(
            "update record_entry e set category = told.category
             from unnest($2::bigint[], $3::timestamp[], $4::bigint[], $5::text[])
                as told (identity_id, occurred_at, fact_id, category)
             where e.identity_id = told.identity_id and e.occurred_at = told.occurred_at and e.dataset = $1
                and e.fact_id = told.fact_id and e.category <> told.category",
        )
        .bind(dataset.number)
        .bind(hung.iter().map(|(_, identity)| *identity).collect::<Vec<_>>())
        .bind(hung.iter().map(|(fact, _)| fact.occurred_at).collect::<Vec<_>>())
        .bind(hung.iter().map(|(fact, _)| fact.id).collect::<Vec<_>>())
        .bind(hung.iter().map(|(fact, _)| dataset.probe.category(&fact.values)).collect::<Vec<_>>())
        .execute(&mut ***tx)
        .await
        .db("classify entries")?;
        let last = facts.iter().map(|f| f.id).max();
        sqlx::query("update record_classified set after = coalesce($2, after), done = $3 where dataset = $1")
            .bind(dataset.number)
            .bind(last)
            .bind((facts.len() as i64) < BATCH)
            .execute(&mut ***tx)
            .await
            .db("keep how far entries are classified")?;
        Ok(Some(facts.len()))
    })
    .await
}
