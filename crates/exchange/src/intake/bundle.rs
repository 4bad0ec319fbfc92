//! FHIR batches: bundles and NDJSON of resources, mapped to rows of several data sets and written together.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use catalog::Dataset;
use catalog::check::Checker;
use catalog::score::RuleCounts;
use kernel::{Error, Result};
use store::{DbDoing, Tx};
use tokio::sync::mpsc;

use super::Inner;
use super::chunk::Chunk;
use super::process::{Batch, Checking, Ending, Patience, advance, objects_unreadable};
use super::resources::{Resources, Trouble};
use super::tally::Totals;
use crate::fhir::{Kept, Mapped};

/// The place that kept resources are bound to.
pub const KEPT_CONTENT: &str = "kept_resource.content";

/// Remarks kept for the receipt.
const NOTES: usize = 200;

/// What the reading thread hands over: the rows of one bundle, or of a run of NDJSON resources.
enum Parcel {
    Group(Box<Group>),
    End(Box<Ending>),
}

struct Group {
    /// In the order of data-set numbers: patients before what hangs on them.
    sets: Vec<(Arc<Dataset>, Chunk)>,
    kept: Vec<Kept>,
    /// Position of the last resource, from 1.
    last: i64,
}

impl Inner {
    /// Processes a FHIR batch. Each bundle (or run of resources) is one transaction.
    pub(super) async fn process_bundles(&self, batch: Batch, file: std::fs::File) -> Result<()> {
        let (send, mut parcels) = mpsc::channel(2);
        let checking = self.checking(&batch);
        let catalog = self.parts.catalog.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader =
                Reading { catalog: &catalog, checking: &checking, checkers: BTreeMap::new(), send: &send };
            let mut ending = Ending::default();
            match reader.read(file, &mut ending) {
                Ok(()) => {}
                Err(Trouble::File(message)) => ending.failure = Some(message),
                Err(Trouble::Storage(error)) => {
                    tracing::error!(%error, "an original cannot be read from the object store");
                    return Err(objects_unreadable());
                }
            }
            ending.counts = reader.checkers.into_values().map(|(d, _, c)| (d, c)).collect();
            let _ = send.blocking_send(Parcel::End(Box::new(ending)));
            Ok(())
        });
        let (mut done, mut listed) = (batch.rows_done, 0);
        let mut outcome = Ok(());
        while let Some(parcel) = parcels.recv().await {
            outcome = match parcel {
                // Resources committed before a crash are counted for the rules but not written again.
                Parcel::Group(group) if group.last <= done => Ok(()),
                Parcel::Group(group) => {
                    let written = self.write_group_patiently(&batch, &group, done, &mut listed).await;
                    done = group.last;
                    written
                }
                Parcel::End(ending) => self.close_patiently(&batch, &ending).await,
            };
            if outcome.is_err() {
                break;
            }
        }
        drop(parcels);
        reading.await.map_err(|e| Error::fault("read a FHIR batch", e))??;
        outcome
    }

    async fn write_group_patiently(
        &self,
        batch: &Batch,
        group: &Group,
        done: i64,
        listed: &mut i64,
    ) -> Result<()> {
        let mut patience = Patience::default();
        loop {
            let mut now_listed = *listed;
            let written = self
                .parts
                .db
                .transaction(async |tx| self.write_group(tx, batch, group, done, &mut now_listed).await);
            match written.await {
                Err(error) if patience.again(&error).await => {}
                other => {
                    store::crash::point("intake.chunk_committed");
                    *listed = now_listed;
                    return other;
                }
            }
        }
    }

    async fn write_group(
        &self,
        tx: &mut Tx<'_>,
        batch: &Batch,
        group: &Group,
        done: i64,
        listed: &mut i64,
    ) -> Result<()> {
        let mut totals = Totals::default();
        for (dataset, chunk) in &group.sets {
            totals.add(self.write_chunk(tx, batch.reference, dataset, chunk, listed).await?);
        }
        if !group.kept.is_empty() {
            // A JSON text that holds the sealed resource; earlier ones are the resource itself.
            let sealer = tx.keyring().sealer(protect::Domain::Facts)?;
            let contents = group
                .kept
                .iter()
                .map(|k| sealer.text(KEPT_CONTENT, &k.content.to_string()).map(serde_json::Value::String))
                .collect::<Result<Vec<_>>>()?;
            sqlx::query(
                "insert into kept_resource (batch_id, position, kind, local_id, reason, content)
                 select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::jsonb[])",
            )
            .bind(batch.reference.id)
            .bind(group.kept.iter().map(|k| k.position as i32).collect::<Vec<_>>())
            .bind(group.kept.iter().map(|k| k.kind.clone()).collect::<Vec<_>>())
            .bind(group.kept.iter().map(|k| k.id.clone()).collect::<Vec<_>>())
            .bind(group.kept.iter().map(|k| k.reason).collect::<Vec<_>>())
            .bind(contents)
            .execute(&mut **tx)
            .await
            .db("keep unmapped resources")?;
        }
        advance(tx, batch.reference.id, done, group.last, totals).await?;
        store::crash::point("intake.chunk_written");
        Ok(())
    }
}

struct Reading<'a> {
    catalog: &'a catalog::Catalog,
    checking: &'a Checking,
    checkers: BTreeMap<i16, (Arc<Dataset>, Checker, RuleCounts)>,
    send: &'a mpsc::Sender<Parcel>,
}

impl Reading<'_> {
    fn read(
        &mut self,
        file: impl Read + Send + 'static,
        ending: &mut Ending,
    ) -> std::result::Result<(), Trouble> {
        let mut source = Resources::open(file)?;
        let mut last = 0;
        while let Some(run) = source.next(self.catalog)? {
            for problem in &run.mapped.problems {
                if ending.notes.len() < NOTES && !ending.notes.contains(problem) {
                    ending.notes.push(problem.clone());
                }
            }
            last += run.resources as i64;
            let group = self.check(run.mapped, last)?;
            ending.media = source.media();
            if self.send.blocking_send(Parcel::Group(Box::new(group))).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn check(&mut self, mapped: Mapped, last: i64) -> std::result::Result<Group, Trouble> {
        let mut sets: BTreeMap<i16, (Arc<Dataset>, Chunk)> = BTreeMap::new();
        for row in mapped.rows {
            let dataset = self.catalog.dataset(row.dataset).ok_or_else(|| {
                Trouble::File(format!("目录中没有数据集 {}，无法保存 {} 资源。", row.dataset, row.kind))
            })?;
            let (_, checker, counts) = self.checkers.entry(dataset.number).or_insert_with(|| {
                let checker =
                    Checker::with_maps(dataset, self.checking.tables.clone(), self.checking.maps.as_deref());
                (dataset.clone(), checker, RuleCounts::new(dataset.rules.len()))
            });
            let checked = checker.check(&row.row, self.checking.received_at);
            counts.add(&checked);
            let (_, chunk) =
                sets.entry(dataset.number).or_insert_with(|| (dataset.clone(), Chunk::default()));
            chunk.rows.push(checked);
        }
        Ok(Group { sets: sets.into_values().collect(), kept: mapped.kept, last })
    }
}
