//! Intake: the one way in. Every door hands its rows to this pipeline.
//!
//! ```text
//! keep the original → read → check → link → store facts, index entries, issues, counts (one transaction
//! for each chunk) → receipt
//! ```
//!
//! A batch is *accepted* once its original bytes and its row in `batch` are safe; from then on it is carried to
//! the end, by this process or the next one. Each chunk commits together with `batch.rows_done`, so that after a
//! crash the batch goes on where the last committed chunk ended. Sending the same rows again changes nothing.

mod accept;
pub(crate) mod bundle;
pub mod chunk;
mod coding;
mod process;
mod resources;
pub mod stored;
mod tally;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use catalog::Catalog;
use contracts::{Institutions, Linker, RecordIndex, Terminology};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Clock, Error, Refusal, RefusalKind, Result};
use store::facts::Facts;
use store::objects::Objects;
use store::{Db, DbDoing};
use tokio::sync::{Notify, Semaphore};

pub use accept::{Accepted, Door, Submission};
pub use chunk::BatchRef;
pub(crate) use resources::NO_RESOURCE;

/// Rows that are checked, linked and stored together.
pub const CHUNK_ROWS: usize = 4_000;

/// The most batches that may ever wait, whatever is set.
const MOST_WAITING: usize = 500;

/// The pipeline and what it stands on. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

/// The ports and stores that intake uses.
pub struct Parts {
    /// Database.
    pub db: Db,
    /// Object store for originals.
    pub objects: Objects,
    /// The catalogue.
    pub catalog: Arc<Catalog>,
    /// Code tables in force.
    pub terminology: Arc<dyn Terminology>,
    /// Institutions.
    pub institutions: Arc<dyn Institutions>,
    /// The master index.
    pub linker: Arc<dyn Linker>,
    /// The index of the record.
    pub index: Arc<dyn RecordIndex>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What an operator changes while the program runs: how many batches wait and are processed.
    pub options: store::Settings,
}

struct Inner {
    parts: Parts,
    facts: Facts,
    processing: Semaphore,
    waiting: Arc<Semaphore>,
    in_hand: Mutex<HashSet<i64>>,
    let_go: Notify,
}

/// A batch that this process is working on; let go when dropped.
struct Held<'a> {
    inner: &'a Inner,
    batch: i64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Ok(mut in_hand) = self.inner.in_hand.lock() {
            in_hand.remove(&self.batch);
        }
        self.inner.let_go.notify_waiters();
    }
}

impl Inner {
    // `None` when this process is working on the batch already.
    fn hold(&self, batch: i64) -> Option<Held<'_>> {
        let fresh = self.in_hand.lock().is_ok_and(|mut in_hand| in_hand.insert(batch));
        // Made only when it holds: dropping one lets the batch go.
        fresh.then(|| Held { inner: self, batch })
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intake")
    }
}

impl Intake {
    /// Builds the pipeline.
    pub fn new(parts: Parts) -> Self {
        let facts = Facts::new(parts.db.clone(), &parts.catalog);
        let processing =
            usize::try_from(parts.options.whole("exchange.processing_batches")).unwrap_or(2).max(1);
        let inner = Inner {
            parts,
            facts,
            processing: Semaphore::new(processing),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            in_hand: Mutex::new(HashSet::new()),
            let_go: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What it stands on.
    pub fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// Carries an accepted batch to the end and returns when its receipt is final. The work goes on if the
    /// caller stops waiting.
    pub fn finish(&self, accepted: Accepted) -> BoxFuture<'static, Result<i64>> {
        let this = self.clone();
        Box::pin(async move {
            let id = accepted.batch;
            if accepted.repeated {
                return Ok(id);
            }
            tokio::spawn(async move {
                let _place = accepted.place;
                // Work left by an earlier attempt may be going on with this batch: its end is waited for.
                loop {
                    let let_go = this.inner.let_go.notified();
                    if this.process(id).await? {
                        return Ok::<(), Error>(());
                    }
                    let_go.await;
                }
            })
            .await
            .map_err(|e| Error::fault("process a batch", e))??;
            Ok(id)
        })
    }

    /// Carries an accepted batch to the end in the background.
    pub fn finish_later(&self, accepted: Accepted) {
        if accepted.repeated {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _place = accepted.place;
            if let Err(error) = this.process(accepted.batch).await {
                tracing::error!(batch = accepted.batch, %error, "batch left for the next start");
            }
        });
    }

    /// Goes on with every batch that was accepted but not finished, oldest first; how many. Called at start and
    /// after the database or the object store came back.
    pub fn resume(&self) -> BoxFuture<'_, Result<usize>> {
        Box::pin(self.resume_all())
    }

    async fn resume_all(&self) -> Result<usize> {
        let ids: Vec<i64> =
            sqlx::query_scalar("select id from batch where state in ('accepted', 'processing') order by id")
                .fetch_all(self.inner.parts.db.pool())
                .await
                .db("find unfinished batches")?;
        for id in &ids {
            if let Err(error) = self.process(*id).await {
                tracing::error!(batch = id, %error, "batch left for the next attempt");
            }
        }
        Ok(ids.len())
    }

    fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let most = self.inner.parts.options.whole("exchange.waiting_batches");
        let busy = || {
            Refusal::new(
                RefusalKind::Busy { retry_after: 10 },
                "intake.busy",
                format!("正在处理的批次已满（上限 {most} 个）。您的数据没有被接收，请 10 秒后重新发送。"),
            )
        };
        // The limit is read each time, so that a change holds at once; two that come together may pass it by one.
        let waiting = MOST_WAITING - self.inner.waiting.available_permits();
        if waiting >= usize::try_from(most).unwrap_or(MOST_WAITING) {
            return Err(busy().into());
        }
        self.inner.waiting.clone().try_acquire_owned().map_err(|_| busy().into())
    }

    /// The institution behind an identifier; a refusal if it is not registered.
    pub fn institution(&self, id: InstitutionId) -> Result<Arc<contracts::InstitutionCard>> {
        self.inner.parts.institutions.by_id(id).ok_or_else(|| {
            Refusal::not_found("institution.unknown", "该机构没有注册，请联系平台管理员。").into()
        })
    }
}
