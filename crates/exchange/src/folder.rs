//! The watched folder (前置目录): files put into `inbox/<institution code>/<data set>/` are taken in by themselves.
//!
//! A file is taken once its size and time have stood still for one round, so that a copy in progress is not read
//! half. Afterwards it stands in `done/` (or `failed/`) beside its receipt, never deleted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kernel::error::Doing;
use kernel::{Act, Caller, Error, Line, Need, Purpose, Refusal, Result};
use tokio::fs;

use crate::Exchange;
use crate::batch;
use crate::intake::{Door, Submission};

/// How often the folder is looked at.
pub const ROUND: Duration = Duration::from_secs(2);

/// Watches one folder.
#[derive(Debug)]
pub struct Inbox {
    root: PathBuf,
    seen: HashMap<PathBuf, (u64, SystemTime)>,
}

impl Inbox {
    /// Watches `root/inbox`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), seen: HashMap::new() }
    }

    /// Creates the folders.
    pub async fn prepare(&self) -> Result<()> {
        for folder in ["inbox", "done", "failed"] {
            fs::create_dir_all(self.root.join(folder)).await.doing("create the watched folder")?;
        }
        Ok(())
    }

    /// Looks for ever, until the future is dropped.
    pub async fn watch(mut self, exchange: Exchange) {
        loop {
            if let Err(error) = self.round(&exchange).await {
                tracing::warn!(%error, "watched folder");
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// One look: takes in every file that stood still since the last one; how many.
    pub async fn round(&mut self, exchange: &Exchange) -> Result<usize> {
        let mut now_seen = HashMap::new();
        let mut taken = 0;
        for (institution, dataset, path) in self.files().await? {
            let Ok(meta) = fs::metadata(&path).await else { continue };
            let stamp = (meta.len(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            if self.seen.get(&path) != Some(&stamp) {
                now_seen.insert(path, stamp);
                continue;
            }
            match self.take(exchange, &institution, &dataset, &path, stamp).await {
                Ok(true) => taken += 1,
                Ok(false) => {
                    now_seen.insert(path, stamp);
                }
                Err(Error::Refused(refusal)) if !may_pass(refusal.kind) => {
                    tracing::warn!(%refusal, file = %path.display(), "file of the watched folder");
                    self.put_away("failed", &institution, &dataset, &path, &refusal.message).await?;
                }
                // Busy or out of order: the file stays and is tried again. If it was accepted already, its request
                // key leads to the same batch.
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "file of the watched folder waits");
                    now_seen.insert(path, stamp);
                }
            }
        }
        self.seen = now_seen;
        Ok(taken)
    }

    // Whether the file is done with; not yet while its batch is not.
    async fn take(
        &self,
        exchange: &Exchange,
        institution: &str,
        dataset: &str,
        path: &Path,
        (bytes, modified): (u64, SystemTime),
    ) -> Result<bool> {
        let card = exchange.institutions().by_code(institution).ok_or_else(|| {
            Refusal::not_found(
                "institution.unknown",
                format!("没有编码为“{institution}”的机构，请检查目录名。"),
            )
        })?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let reach = Caller::system("前置目录")
            .decide(Need::new(Line::Exchange, Act::Write), Purpose::of("upload"))?;
        let file = fs::File::open(path).await.doing("open a file of the watched folder")?;
        let submission = Submission {
            institution: card.id,
            dataset: (dataset != "fhir").then(|| dataset.to_owned()),
            door: Door::Folder,
            request_key: Some(format!("folder/{dataset}/{name}/{bytes}/{}", since_1970(modified))),
            file_name: name,
            atomic: false,
            received_at: None,
        };
        let accepted = exchange.intake.accept(&reach, submission, file).await?;
        let id = exchange.intake.finish(accepted).await?;
        let receipt = batch::read(exchange, &reach, id).await?;
        if !receipt.is_final() {
            return Ok(false);
        }
        let text = serde_json::to_string_pretty(&batch::whole(exchange, &receipt).await?)
            .doing("write a receipt")?;
        let folder = if receipt.state == "failed" { "failed" } else { "done" };
        self.put_away(folder, institution, dataset, path, &text).await?;
        Ok(true)
    }

    async fn put_away(
        &self,
        to: &str,
        institution: &str,
        dataset: &str,
        path: &Path,
        receipt: &str,
    ) -> Result<()> {
        let folder = self.root.join(to).join(institution).join(dataset);
        fs::create_dir_all(&folder).await.doing("put a file away")?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut target = folder.join(&name);
        let mut copy = 1;
        while fs::try_exists(&target).await.unwrap_or(false) {
            copy += 1;
            target = folder.join(format!("{copy}-{name}"));
        }
        fs::write(target.with_extension("receipt.json"), receipt).await.doing("write a receipt")?;
        fs::rename(path, &target).await.doing("put a file away")
    }

    // Institution, data set and path of every plain file two folders deep.
    async fn files(&self) -> Result<Vec<(String, String, PathBuf)>> {
        let mut found = Vec::new();
        for institution in entries(&self.root.join("inbox")).await? {
            for dataset in entries(&institution).await? {
                for file in entries(&dataset).await? {
                    let hidden = last(&file).starts_with('.') || last(&file).ends_with(".part");
                    if !hidden && fs::metadata(&file).await.is_ok_and(|m| m.is_file()) {
                        found.push((last(&institution), last(&dataset), file));
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether the reason may go away by itself.
fn may_pass(kind: kernel::RefusalKind) -> bool {
    matches!(kind, kernel::RefusalKind::Busy { .. } | kernel::RefusalKind::Unavailable)
}

fn since_1970(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}

fn last(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

async fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    if !fs::metadata(folder).await.is_ok_and(|m| m.is_dir()) {
        return Ok(out);
    }
    let mut reader = fs::read_dir(folder).await.doing("look into the watched folder")?;
    while let Some(entry) = reader.next_entry().await.doing("look into the watched folder")? {
        out.push(entry.path());
    }
    Ok(out)
}
