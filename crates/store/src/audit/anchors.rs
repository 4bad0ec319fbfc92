//! Anchors: the last segment's hash and signature, appended to a file outside of the database, so that even a trail
//! that was rewritten or cut off as a whole is found.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use kernel::error::Doing;
use kernel::{Refusal, RefusalKind, Result};
use serde::{Deserialize, Serialize};

use super::keys::{append, hex};
use super::segment::Segment;

/// The file of anchors, one JSON object on each line, only ever appended to.
#[derive(Debug, Clone)]
pub struct AnchorFile {
    path: PathBuf,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub segment: i64,
    pub sealed_at: chrono::DateTime<chrono::Utc>,
    pub entries: i64,
    pub hash: String,
    pub key: String,
    pub algorithm: String,
    pub signature: String,
}

impl Anchor {
    pub fn of(segment: &Segment) -> Self {
        Self {
            segment: segment.number,
            sealed_at: segment.sealed_at,
            entries: segment.total,
            hash: hex(&segment.hash),
            key: segment.key_id.clone(),
            algorithm: segment.algorithm.clone(),
            signature: hex(&segment.signature),
        }
    }
    pub fn line(&self) -> Result<String> {
        serde_json::to_string(self).doing("write an anchor")
    }
}

impl AnchorFile {
    /// The file at a path; it need not exist yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines and waits until the disk has them.
    pub(super) fn append(&self, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).doing("make the folder of the anchors")?;
        }
        append(&self.path, lines).doing("append to the file of anchors")
    }

    /// All anchors by segment; empty when there is no file. One anchor a minute: half a million a year, 100 MiB read
    /// as a stream, of which a hash each stays.
    pub(super) fn read(&self) -> Result<BTreeMap<i64, Anchor>> {
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(unreadable(&self.path, &e.to_string())),
        };
        let mut anchors = BTreeMap::new();
        for (n, line) in std::io::BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| unreadable(&self.path, &e.to_string()))?;
            if line.is_empty() {
                continue;
            }
            let anchor: Anchor = serde_json::from_str(&line)
                .map_err(|_| unreadable(&self.path, &format!("第 {} 行不是锚点", n + 1)))?;
            anchors.insert(anchor.segment, anchor);
        }
        Ok(anchors)
    }

    /// The last anchor's segment number, read from the end.
    pub(super) fn last(&self) -> Result<Option<i64>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(&self.path, &e.to_string())),
        };
        let length = file.metadata().doing("look at the file of anchors")?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096))).doing("read the file of anchors")?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).doing("read the file of anchors")?;
        let text = String::from_utf8_lossy(&tail);
        let last = text.lines().rev().find_map(|l| serde_json::from_str::<Anchor>(l).ok());
        Ok(last.map(|a| a.segment))
    }
}

fn unreadable(path: &Path, why: &str) -> kernel::Error {
    Refusal::new(
        RefusalKind::Unavailable,
        "audit.anchors",
        format!("锚点文件 {} 无法读取：{why}。请用另行保存的副本（--anchors）校验。", path.display()),
    )
    .into()
}
