//! Comparison models: learnt from the registry, kept with their report, compared, put in force by a person.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::error::Doing;
use kernel::{Error, Reach, Refusal, Result};
use linkage::{Batch, Frequencies, Options, Trained};
use sqlx::Row;
use store::jobs::enqueue;
use store::{AuditEntry, DbDoing};

use super::everyone::{Progress, everyone, how_many, watched};
use super::{KEYS, counts};
use crate::MasterIndex;
use crate::engine::Engine;

/// The shipped definition, which is trained.
pub(super) const DEFINITION: &str = include_str!("../../../../catalog/person-index/china.toml");

/// The number of the model that comes with the platform.
pub const SHIPPED: i64 = 0;

/// The name of the model that comes with the platform.
pub(crate) fn shipped_version() -> Result<String> {
    let model = linkage::Model::china().map_err(|e| Error::fault("read the comparison model", e))?;
    Ok(model.version().to_owned())
}

/// A model as pages show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// Its number.
    pub id: i64,
    /// Its name; every decision records it.
    pub version: String,
    /// Learnt parameters, and what the registry would look like with it.
    pub report: serde_json::Value,
    /// Records it was learnt from.
    pub trained_on: i64,
    /// When.
    pub trained_at: DateTime<Utc>,
    /// Who asked for it.
    pub actor: String,
    /// Whether it decides now.
    pub in_force: bool,
    /// Since when.
    pub in_force_at: Option<DateTime<Utc>>,
}

/// What learning came to.
struct Learnt {
    trained: Trained,
    frequencies: Frequencies,
    records: usize,
    figures: serde_json::Value,
}

impl MasterIndex {
    /// Models, newest first.
    pub async fn models(&self) -> Result<Vec<ModelRow>> {
        let rows = sqlx::query(
            "select id, version, report, trained_on, trained_at, actor, in_force, in_force_at from person_model
             order by id desc",
        )
        .fetch_all(self.db.pool())
        .await
        .db("read models")?;
        rows.iter()
            .map(|row| {
                Ok(ModelRow {
                    id: row.try_get(0)?,
                    version: row.try_get(1)?,
                    report: row.try_get(2)?,
                    trained_on: row.try_get(3)?,
                    trained_at: row.try_get(4)?,
                    actor: row.try_get(5)?,
                    in_force: row.try_get(6)?,
                    in_force_at: row.try_get(7)?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .db("read models")
    }

    /// Learns from the whole registry; the number of the new model, which is not in force yet. `run` is a row of
    /// `index_run` with the kind `train`.
    pub fn learn<'a>(&'a self, run: i64, now: DateTime<Utc>) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let model = linkage::Model::parse(DEFINITION).map_err(|e| Error::fault("read the model", e))?;
            let engine = Arc::new(Engine::new(0, model, Frequencies::default(), self.db.keyring())?);
            let version = format!("registry-{run}");
            let (own, name) = (engine.clone(), version.clone());
            let progress = Progress::default();
            progress.expect(how_many(&self.db).await?);
            let work = everyone(&self.db, &engine, &progress, move |receiver| {
                let mut batch = Batch::new(&own.model, 1024);
                while let Ok(records) = receiver.recv() {
                    for record in records {
                        batch.push(record.prepared);
                    }
                }
                let options = Options::default();
                let records = batch.len();
                let trained = batch.train(&name, &options);
                let frequencies = batch.frequencies();
                let model = own.model.clone().with_trained(&trained);
                let linked = batch.link(&model, &options);
                let found: HashMap<&str, u64> =
                    linked.report.found_by.iter().map(|(rule, n)| (rule.as_str(), *n)).collect();
                let figures = serde_json::json!({
                    "records": records,
                    "persons": linked.report.persons,
                    "edges": linked.report.edges,
                    "doubts": linked.holds.len(),
                    "pairs": linked.report.pairs,
                    "found_by": found,
                    "passed_over": linked.report.passed_over,
                });
                Learnt { trained, frequencies, records, figures }
            });
            let learnt = watched(&self.db, run, &progress, work).await?;
            if learnt.records < 2 {
                return Err(
                    Refusal::conflict("index.too_few", "登记太少，无法训练。请先上传患者登记。").into()
                );
            }
            let parameters = serde_json::to_value(&learnt.trained).doing("write parameters as JSON")?;
            let report = serde_json::json!({ "parameters": parameters, "figures": learnt.figures });
            self.db
                .transaction(async |tx| {
                    let id: i64 = sqlx::query_scalar(
                        "insert into person_model (version, definition, parameters, frequencies, report, blocking,
                            trained_on, trained_at, actor)
                         select $1, $2, $3, $4, $5, $6, $7, $8, actor from index_run where id = $9
                         on conflict (version) do update set parameters = excluded.parameters,
                            frequencies = excluded.frequencies, report = excluded.report
                         returning id",
                    )
                    .bind(&version)
                    .bind(DEFINITION)
                    .bind(&parameters)
                    .bind(counts::encode(&learnt.frequencies))
                    .bind(&report)
                    .bind(&engine.blocking)
                    .bind(learnt.records as i64)
                    .bind(now)
                    .bind(run)
                    .fetch_one(&mut **tx)
                    .await
                    .db("write a model")?;
                    sqlx::query(
                        "update index_run set state = 'done', model_version = $2, statistics = $3, total = $4,
                            done = $4, finished_at = $5 where id = $1",
                    )
                    .bind(run)
                    .bind(&version)
                    .bind(&learnt.figures)
                    .bind(learnt.records as i64)
                    .bind(now)
                    .execute(&mut **tx)
                    .await
                    .db("finish a run")?;
                    Ok(id)
                })
                .await
        })
    }

    /// Lets a model ([`SHIPPED`]: the one that comes with the platform) decide from now on; keys are written anew where its blocking rules are others.
    pub fn put_in_force<'a>(
        &'a self,
        reach: &'a Reach,
        model: i64,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let why = crate::operations::reason(why)?;
            self.db
                .personal(reach, now, async |tx, _| {
                    sqlx::query("update person_model set in_force = false where in_force and id <> $1")
                        .bind(model)
                        .execute(&mut ***tx)
                        .await
                        .db("take a model out of force")?;
                    let version: Option<String> = sqlx::query_scalar(
                        "update person_model set in_force = true, in_force_at = $2 where id = $1 returning version",
                    )
                    .bind(model)
                    .bind(now)
                    .fetch_optional(&mut ***tx)
                    .await
                    .db("put a model in force")?;
                    let version = match version {
                        Some(version) => version,
                        None if model == SHIPPED => shipped_version()?,
                        None => {
                            return Err(Refusal::not_found("index.no_model", "没有这个比对模型。").into());
                        }
                    };
                    // Everything that links stands still with a model that cannot be read.
                    crate::engine::read(tx, model).await.map_err(|error| {
                        tracing::warn!(model, %error, "a comparison model cannot be read");
                        Refusal::invalid("index.broken_model", "这个比对模型无法读取，不能启用。请重新训练一个模型。")
                    })?;
                    enqueue(tx, KEYS, "", &serde_json::json!({}), Some("all")).await?;
                    let entry = AuditEntry {
                        act: "index.model",
                        object_kind: "person_model",
                        object_id: Some(model),
                        object_label: format!("{version} 启用：{why}"),
                        outcome: "ok",
                        ..AuditEntry::default()
                    };
                    Ok(((), entry))
                })
                .await?;
            self.engine.forget();
            Ok(())
        })
    }
}
