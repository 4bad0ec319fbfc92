//! Rules between data sets, evaluated set-based after a batch is stored.
//!
//! Each evaluation looks at the rows of one batch, and at the findings of earlier ones that this batch may have
//! settled (a parent that came later). It never scans a whole fact table.

use catalog::{Catalog, Check, Dataset};
use chrono::{DateTime, Utc};
use kernel::{Error, Result};
use serde_json::json;
use sqlx::AssertSqlSafe;
use store::{Db, DbDoing, Tx};

use crate::Exchange;
use crate::intake::BatchRef;

/// Kind of the job that evaluates the rules a batch touches.
pub const JOB: &str = "exchange.cross_rules";

/// Asks for the evaluation of the rules that the batch's rows of this data set touch.
pub async fn request(tx: &mut Tx<'_>, batch: BatchRef, dataset: &Dataset) -> Result<()> {
    let body =
        json!({ "batch": batch.id, "institution": batch.institution.get(), "dataset": dataset.number });
    let subject = format!("{}/{}", batch.institution, dataset.code);
    store::jobs::enqueue(tx, JOB, &subject, &body, None).await?;
    Ok(())
}

/// Registers the job's handler.
pub fn register(jobs: &mut store::jobs::Jobs, exchange: Exchange) {
    jobs.on(JOB, move |job: store::jobs::Job| {
        let exchange = exchange.clone();
        async move {
            let asked: Asked = job.read()?;
            let parts = exchange.intake.parts();
            evaluate(
                &parts.db,
                &parts.catalog,
                asked.institution,
                asked.batch,
                asked.dataset,
                parts.clock.now(),
            )
            .await
        }
    });
}

#[derive(Debug, serde::Deserialize)]
struct Asked {
    batch: i64,
    institution: i32,
    dataset: i16,
}

/// Evaluates every rule that rows of `dataset` in `batch` touch, as child or as parent.
pub async fn evaluate(
    db: &Db,
    catalog: &Catalog,
    institution: i32,
    batch: i64,
    dataset: i16,
    now: DateTime<Utc>,
) -> Result<()> {
    let statements = statements_for(catalog, dataset)?;
    if statements.is_empty() {
        return Ok(());
    }
    db.transaction(async |tx| {
        sqlx::query(
            "select set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)",
        )
        .execute(&mut **tx)
        .await
        .db("prepare the rules between data sets")?;
        for (owner, rule, sql) in &statements {
            sqlx::query(AssertSqlSafe(sql.settle.as_str()))
                .bind(institution)
                .bind(owner)
                .bind(rule)
                .execute(&mut **tx)
                .await
                .db("settle findings between data sets")?;
            sqlx::query(AssertSqlSafe(sql.find.as_str()))
                .bind(institution)
                .bind(owner)
                .bind(rule)
                .bind(batch)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("find breaches between data sets")?;
        }
        Ok(())
    })
    .await
}

struct CrossSql {
    settle: String,
    find: String,
}

// The statements for every rule whose owner or counterpart is the data set.
fn statements_for(catalog: &Catalog, number: i16) -> Result<Vec<(i16, i16, CrossSql)>> {
    let subject = catalog
        .dataset_by_number(number)
        .ok_or_else(|| Error::fault("evaluate rules between data sets", format!("no data set {number}")))?;
    let mut all = Vec::new();
    for owner in &catalog.datasets {
        for (position, rule) in owner.rules.iter().enumerate() {
            let sql = match &rule.check {
                Check::BelongsTo => {
                    let Some(parent) = owner.parent.as_ref().and_then(|p| catalog.dataset(&p.dataset)) else {
                        continue;
                    };
                    if parent.number != number && owner.number != number {
                        continue;
                    }
                    belongs_to(owner, parent, subject)
                }
                Check::SumOfChildren { child, child_field, tolerance } => {
                    let (Some(child), Some(total)) = (catalog.dataset(child), rule.field) else { continue };
                    if child.number != number && owner.number != number {
                        continue;
                    }
                    sum_of_children(owner, child, &owner.fields[total].name, child_field, *tolerance, subject)
                }
                _ => continue,
            };
            all.push((owner.number, position as i16, sql));
        }
    }
    Ok(all)
}

/// `c.visit_no = p.visit_no and …` between a child and its parent.
fn join(child: &Dataset, parent: &Dataset) -> String {
    let fields = child.parent.as_ref().map(|p| p.fields.as_slice()).unwrap_or_default();
    let pairs: Vec<String> = fields
        .iter()
        .zip(&parent.key)
        .map(|(c, p)| format!("c.{} = p.{}", child.fields[*c].name, parent.fields[*p].name))
        .collect();
    format!("c.institution_id = p.institution_id and {}", pairs.join(" and "))
}

fn belongs_to(child: &Dataset, parent: &Dataset, subject: &Dataset) -> CrossSql {
    let (c, p, on) = (child.table(), parent.table(), join(child, parent));
    let fields = child.parent.as_ref().map(|x| x.fields.as_slice()).unwrap_or_default();
    let names: Vec<String> = fields.iter().map(|f| format!("c.{}", child.fields[*f].name)).collect();
    let present: Vec<String> = names.iter().map(|n| format!("{n} is not null")).collect();
    let settle = format!(
        "delete from cross_finding f where f.institution_id = $1 and f.dataset = $2 and f.rule = $3 and not exists (
             select 1 from {c} c where c.id = f.fact_id and not exists (select 1 from {p} p where {on}))"
    );
    // A batch of parents settles findings but makes none.
    let of_batch =
        if subject.number == child.number { "c.batch_id = $4" } else { "false and $4::bigint is not null" };
    let find = format!(
        "insert into cross_finding (institution_id, dataset, rule, fact_id, day, value, found_at)
         select $1, $2, $3, c.id, c.occurred_at::date, concat_ws(' / ', {}), $5
         from {c} c where {of_batch} and c.institution_id = $1 and {}
             and not exists (select 1 from {p} p where {on})
         on conflict (dataset, rule, fact_id) do update set day = excluded.day, value = excluded.value",
        names.join(", "),
        present.join(" and "),
    );
    CrossSql { settle, find }
}

fn sum_of_children(
    parent: &Dataset,
    child: &Dataset,
    total: &str,
    part: &str,
    tolerance: f64,
    subject: &Dataset,
) -> CrossSql {
    let (c, p, on) = (child.table(), parent.table(), join(child, parent));
    // A parent without any child is not a wrong sum: the children may not have come yet.
    let wrong =
        format!("abs(p.{total} - (select sum(c.{part}) from {c} c where {on})) > {tolerance}::numeric");
    let settle = format!(
        "delete from cross_finding f where f.institution_id = $1 and f.dataset = $2 and f.rule = $3 and not exists (
             select 1 from {p} p where p.id = f.fact_id and {wrong})"
    );
    let touched = if subject.number == parent.number {
        "p.batch_id = $4".to_owned()
    } else {
        format!(
            "p.id in (select p.id from {c} c join {p} p on {on} where c.batch_id = $4 and c.institution_id = $1)"
        )
    };
    let find = format!(
        "insert into cross_finding (institution_id, dataset, rule, fact_id, day, value, found_at)
         select $1, $2, $3, p.id, p.occurred_at::date, p.{total}::text, $5
         from {p} p where {touched} and p.institution_id = $1 and {wrong}
         on conflict (dataset, rule, fact_id) do update set day = excluded.day, value = excluded.value"
    );
    CrossSql { settle, find }
}
