//! Verification: recomputes every segment and every entry as a stream and names what does not fit.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use kernel::Result;
use kernel::error::Doing;
use serde::Serialize;

use super::anchors::{Anchor, AnchorFile};
use super::content::columns;
use super::keys::{Keys, hex};
use super::seal::Row;
use super::segment::{BEGINNING, Segment, segment_columns};
use crate::db::{Db, Tx};
use crate::failure::DbDoing;

/// Segments read at once.
const AT_ONCE: i64 = 16;
/// Faults that are listed; all are counted.
const LISTED: usize = 1000;
/// Numbers that are counted together when looking for entries that nobody sealed.
const BUCKET: i64 = 100_000;

/// What is looked at; without bounds, everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// Segments with entries from then on.
    pub from: Option<DateTime<Utc>>,
    /// And before then.
    pub until: Option<DateTime<Utc>>,
}

/// What sort of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An entry says something else than when it was sealed.
    Altered,
    /// An entry is gone.
    Missing,
    /// An entry that no segment knows.
    Inserted,
    /// Two entries have changed places.
    Reordered,
    /// An entry that the program did not write (its MAC is wrong).
    Foreign,
    /// A segment is gone.
    SegmentMissing,
    /// A segment's content does not give its hash.
    SegmentAltered,
    /// A segment does not follow from the one before.
    ChainBroken,
    /// A segment's signature is not of a key of ours.
    BadSignature,
    /// A segment is another one than was anchored.
    AnchorMismatch,
    /// The trail ends before the last anchor.
    Truncated,
    /// The file of anchors lacks what it once had.
    AnchorLost,
}

impl FaultKind {
    /// In Chinese.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Altered => "记录被改动",
            FaultKind::Missing => "记录缺失",
            FaultKind::Inserted => "多出记录",
            FaultKind::Reordered => "记录顺序被调换",
            FaultKind::Foreign => "非本程序写入的记录",
            FaultKind::SegmentMissing => "日志段缺失",
            FaultKind::SegmentAltered => "日志段被改动",
            FaultKind::ChainBroken => "日志链断裂",
            FaultKind::BadSignature => "签名不符",
            FaultKind::AnchorMismatch => "与锚点不符",
            FaultKind::Truncated => "末尾被截断",
            FaultKind::AnchorLost => "锚点文件不完整",
        }
    }
}

/// One fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What sort.
    pub kind: FaultKind,
    /// In which segment.
    pub segment: Option<i64>,
    /// Which entry.
    pub entry: Option<i64>,
    /// Of what time.
    pub at: Option<DateTime<Utc>>,
    /// In words.
    pub text: String,
}

/// What came of a verification.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Segments recomputed.
    pub segments: u64,
    /// Entries recomputed.
    pub entries: u64,
    /// Entries that the next pass of the sealer will take.
    pub unsealed: u64,
    /// Entries that lie in archive files and were not looked at.
    pub archived: u64,
    /// Anchors compared.
    pub anchors: u64,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first thousand of them.
    pub faults: Vec<Fault>,
}

impl Report {
    fn add(
        &mut self,
        kind: FaultKind,
        segment: Option<i64>,
        entry: Option<(i64, Option<DateTime<Utc>>)>,
        text: String,
    ) {
        self.fault_count += 1;
        if self.faults.len() < LISTED {
            let (entry, at) = entry.map_or((None, None), |(id, at)| (Some(id), at));
            self.faults.push(Fault { kind, segment, entry, at, text });
        }
    }
    /// Whether everything fits.
    pub fn sound(&self) -> bool {
        self.fault_count == 0
    }
}

/// Recomputes the chain in one consistent view of the database. `progress` is told segments done and in all.
pub async fn verify(
    db: &Db,
    keys: &Keys,
    file: &AnchorFile,
    span: Span,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Report> {
    let anchors = file.read()?;
    db.transaction(async |tx| {
        sqlx::query("set transaction isolation level repeatable read, read only")
            .execute(&mut **tx)
            .await
            .db("begin to verify")?;
        Check {
            keys,
            anchors: &anchors,
            report: Report::default(),
            found: HashMap::new(),
            missing: Vec::new(),
        }
        .run(tx, span, progress)
        .await
    })
    .await
}

struct Check<'a> {
    keys: &'a Keys,
    anchors: &'a BTreeMap<i64, Anchor>,
    report: Report,
    /// Entries found as sealed, by bucket of their numbers.
    found: HashMap<i64, i64>,
    /// Entries not found under their time: segment, number, time.
    missing: Vec<(i64, i64, DateTime<Utc>)>,
}

/// The segment before the one that is looked at.
struct Before {
    number: i64,
    total: i64,
    hash: Vec<u8>,
}

impl Check<'_> {
    async fn run(
        mut self,
        tx: &mut Tx<'_>,
        span: Span,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Report> {
        let whole = span.from.is_none() && span.until.is_none();
        let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(
            "select min(number), max(number) from audit_segment
             where ($1::timestamptz is null or last_at >= $1) and ($2::timestamptz is null or first_at < $2)",
        )
        .bind(span.from)
        .bind(span.until)
        .fetch_one(&mut **tx)
        .await
        .db("look for the segments")?;
        let end: Option<Segment> = sqlx::query_as(concat!(
            "select ",
            segment_columns!(),
            " from audit_segment order by number desc limit 1"
        ))
        .fetch_optional(&mut **tx)
        .await
        .db("read the last segment")?;
        let beginning: Option<String> =
            sqlx::query_scalar("select snapshot from audit_segment where number = 1")
                .fetch_optional(&mut **tx)
                .await
                .db("read the first segment")?;
        if let (Some(first), Some(last)) = (first, last) {
            let first = if whole { 1 } else { first };
            let mut before = self.before(tx, first).await?;
            loop {
                let segments: Vec<Segment> = sqlx::query_as(concat!(
                    "select ",
                    segment_columns!(),
                    " from audit_segment where number > $1 and number <= $2 order by number limit $3"
                ))
                .bind(before.number)
                .bind(last)
                .bind(AT_ONCE)
                .fetch_all(&mut **tx)
                .await
                .db("read segments")?;
                if segments.is_empty() {
                    break;
                }
                for segment in segments {
                    self.link(&segment, &before);
                    self.entries(tx, &segment, beginning.as_deref() == Some(&segment.snapshot)).await?;
                    before = Before { number: segment.number, total: segment.total, hash: segment.hash };
                    self.report.segments += 1;
                }
                progress(self.report.segments, (last - first + 1).unsigned_abs());
            }
        }
        self.gone(tx).await?;
        self.anchored(tx, end.as_ref()).await?;
        if whole {
            self.strangers(tx, end.as_ref()).await?;
        }
        Ok(self.report)
    }

    /// What comes before a segment; zeros before the first one.
    async fn before(&self, tx: &mut Tx<'_>, number: i64) -> Result<Before> {
        let found: Option<(i64, i64, Vec<u8>)> =
            sqlx::query_as("select number, total, hash from audit_segment where number = $1")
                .bind(number - 1)
                .fetch_optional(&mut **tx)
                .await
                .db("read the segment before")?;
        Ok(match found {
            Some((number, total, hash)) => Before { number, total, hash },
            None => Before { number: number - 1, total: 0, hash: BEGINNING.to_vec() },
        })
    }

    /// Number, hash, link and signature of a segment, and its anchor.
    fn link(&mut self, segment: &Segment, before: &Before) {
        let number = segment.number;
        let when = kernel::clock::to_china(segment.sealed_at).format("%Y-%m-%d %H:%M:%S");
        let adjoins = number == before.number + 1;
        for gone in (before.number + 1..number).take(LISTED) {
            self.report.add(
                FaultKind::SegmentMissing,
                Some(gone),
                None,
                format!("第 {gone} 段不见了（在 {when} 封存的第 {number} 段之前）"),
            );
        }
        let mut fault = |kind, text: String| self.report.add(kind, Some(number), None, text);
        if segment.computed_hash().as_slice() != segment.hash {
            fault(FaultKind::SegmentAltered, format!("{when} 封存的第 {number} 段的内容与其哈希值不符"));
        }
        if adjoins && segment.previous != before.hash {
            fault(FaultKind::ChainBroken, format!("第 {number} 段不接在现在的第 {} 段之后", before.number));
        }
        if adjoins && segment.total != before.total + i64::from(segment.entry_count) {
            fault(FaultKind::ChainBroken, format!("第 {number} 段的累计条数与上一段接不上"));
        }
        match self.keys.genuine(&segment.key_id, &Segment::message(&segment.hash), &segment.signature) {
            None => fault(
                FaultKind::BadSignature,
                format!("{when} 封存的第 {number} 段由未知密钥 {} 签名", segment.key_id),
            ),
            Some(false) => fault(
                FaultKind::BadSignature,
                format!("{when} 封存的第 {number} 段的签名不是本平台审计密钥所签：该段起可能被整体改写"),
            ),
            Some(true) => {}
        }
        if let Some(anchor) = self.anchors.get(&number) {
            self.report.anchors += 1;
            if anchor.hash != hex(&segment.hash) {
                let text = format!("第 {number} 段与数据库之外的锚点不同，锚点说 {}", anchor.hash);
                self.report.add(FaultKind::AnchorMismatch, Some(number), None, text);
            }
        }
    }

    /// The entries of a segment.
    async fn entries(&mut self, tx: &mut Tx<'_>, segment: &Segment, first_pass: bool) -> Result<()> {
        let ids: Vec<i64> = segment.lines().map(|l| l.id).collect();
        let rows: Vec<Row> = sqlx::query_as(concat!(
            "select id, ",
            columns!(),
            ", mac from audit_entry where at >= $1 and at <= $2 and id = any($3)"
        ))
        .bind(segment.first_at)
        .bind(segment.last_at)
        .bind(&ids)
        .persistent(false)
        .fetch_all(&mut **tx)
        .await
        .db("read the entries of a segment")?;
        let sealed: HashMap<[u8; 16], i64> = segment.lines().map(|l| (l.digest, l.id)).collect();
        let rows: HashMap<i64, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
        for line in segment.lines() {
            self.report.entries += 1;
            let Some(row) = rows.get(&line.id) else {
                let at = DateTime::from_timestamp_micros(line.at).unwrap_or_default();
                self.missing.push((segment.number, line.id, at));
                continue;
            };
            *self.found.entry(line.id / BUCKET).or_default() += 1;
            let form = row.content.canonical();
            let digest = row.content.digest(row.mac.as_deref());
            let place = Some((line.id, Some(row.content.at)));
            if digest != line.digest {
                let (kind, text) = match sealed.get(&digest) {
                    Some(other) => {
                        (FaultKind::Reordered, format!("记录 {} 的位置上现在是记录 {other} 的内容", line.id))
                    }
                    None => (FaultKind::Altered, format!("记录 {} 的内容与封存时不同", line.id)),
                };
                self.report.add(kind, Some(segment.number), place, text);
            } else if !(first_pass && row.mac.is_none()
                || row.mac.as_deref().is_some_and(|mac| self.keys.mac().accepts(&form, mac)))
            {
                let text = format!("记录 {} 没有本程序的校验码：不是经本程序写入的", line.id);
                self.report.add(FaultKind::Foreign, Some(segment.number), place, text);
            }
        }
        Ok(())
    }

    /// What was not found under its time: archived, moved to another time, or gone.
    async fn gone(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let archives: Vec<(DateTime<Utc>, DateTime<Utc>)> =
            sqlx::query_as("select since, until from audit_archive")
                .fetch_all(&mut **tx)
                .await
                .db("read the archives")?;
        let missing = std::mem::take(&mut self.missing);
        let (archived, missing): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|(_, _, at)| archives.iter().any(|(since, until)| since <= at && at < until));
        self.report.archived = archived.len() as u64;
        let ids: Vec<i64> = missing.iter().take(LISTED).map(|(_, id, _)| *id).collect();
        let moved: Vec<(i64, DateTime<Utc>)> = if ids.is_empty() {
            Vec::new()
        } else {
            sqlx::query_as("select id, at from audit_entry where id = any($1)")
                .bind(&ids)
                .fetch_all(&mut **tx)
                .await
                .db("look for entries under other times")?
        };
        let moved: HashMap<i64, DateTime<Utc>> = moved.into_iter().collect();
        for (segment, id, at) in missing {
            match moved.get(&id) {
                Some(now) => {
                    *self.found.entry(id / BUCKET).or_default() += 1;
                    let text = format!("记录 {id} 的时间被改为 {}", now.format("%Y-%m-%d %H:%M:%S UTC"));
                    self.report.add(FaultKind::Altered, Some(segment), Some((id, Some(at))), text);
                }
                None => {
                    let text = format!("记录 {id} 不见了");
                    self.report.add(FaultKind::Missing, Some(segment), Some((id, Some(at))), text);
                }
            }
        }
        Ok(())
    }

    /// The end of the chain and the file of anchors.
    async fn anchored(&mut self, tx: &mut Tx<'_>, end: Option<&Segment>) -> Result<()> {
        let last = end.map_or(0, |s| s.number);
        for (number, anchor) in self.anchors.range(last + 1..) {
            let text = format!(
                "锚点文件记有 {} 封存的第 {number} 段（累计 {} 条），数据库的日志链只到第 {last} 段",
                kernel::clock::to_china(anchor.sealed_at).format("%Y-%m-%d %H:%M:%S"),
                anchor.entries
            );
            self.report.add(FaultKind::Truncated, Some(*number), None, text);
        }
        for (number, anchor) in self.anchors.iter() {
            let bytes = |text: &str| -> Vec<u8> {
                text.as_bytes()
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                    .collect()
            };
            let message = Segment::message(&bytes(&anchor.hash));
            if self.keys.genuine(&anchor.key, &message, &bytes(&anchor.signature)) != Some(true) {
                let text = format!("锚点文件中第 {number} 段的锚点不是本平台审计密钥所签");
                self.report.add(FaultKind::BadSignature, Some(*number), None, text);
            }
        }
        let handed: Vec<i64> = sqlx::query_scalar("select segment from audit_anchor order by segment")
            .fetch_all(&mut **tx)
            .await
            .db("read the anchors")?;
        let lost: Vec<i64> = handed.into_iter().filter(|n| !self.anchors.contains_key(n)).collect();
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            let text = format!("锚点文件缺少 {} 个锚点（第 {first} 段至第 {last} 段之间）", lost.len());
            self.report.add(FaultKind::AnchorLost, Some(*first), None, text);
        }
        Ok(())
    }

    /// Entries that stand in the table and in no segment.
    async fn strangers(&mut self, tx: &mut Tx<'_>, end: Option<&Segment>) -> Result<()> {
        let (snapshot, floor) = end.map_or(("1:1:", 0), |s| (s.snapshot.as_str(), s.floor_id));
        // What the next pass of the sealer will take.
        let waiting: Vec<Row> = sqlx::query_as(concat!(
            "select id, ",
            columns!(),
            ", mac from audit_entry
             where id > $1 and xid >= pg_snapshot_xmin($2::text::pg_snapshot)
               and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot)"
        ))
        .bind(floor)
        .bind(snapshot)
        .persistent(false)
        .fetch_all(&mut **tx)
        .await
        .db("read entries that are not sealed yet")?;
        let mut expected = std::mem::take(&mut self.found);
        let mut unsealed = HashSet::new();
        for row in &waiting {
            unsealed.insert(row.id);
            *expected.entry(row.id / BUCKET).or_default() += 1;
            let ours =
                row.mac.as_deref().is_some_and(|mac| self.keys.mac().accepts(&row.content.canonical(), mac));
            if !ours && end.is_some() {
                let text = format!("记录 {} 没有本程序的校验码（尚未封存）", row.id);
                self.report.add(FaultKind::Foreign, None, Some((row.id, Some(row.content.at))), text);
            }
        }
        self.report.unsealed = waiting.len() as u64;
        let counted: Vec<(i64, i64)> =
            sqlx::query_as("select id / $1 as bucket, count(*) from audit_entry group by 1")
                .bind(BUCKET)
                .fetch_all(&mut **tx)
                .await
                .db("count the entries")?;
        for (bucket, count) in counted {
            if count > expected.get(&bucket).copied().unwrap_or(0) {
                self.name_strangers(tx, bucket, &unsealed).await?;
            }
        }
        Ok(())
    }

    async fn name_strangers(&mut self, tx: &mut Tx<'_>, bucket: i64, unsealed: &HashSet<i64>) -> Result<()> {
        let (low, high) = (bucket * BUCKET, (bucket + 1) * BUCKET);
        let segments: Vec<Segment> = sqlx::query_as(concat!(
            "select ",
            segment_columns!(),
            " from audit_segment where max_id >= $1 and min_id < $2 order by number"
        ))
        .bind(low)
        .bind(high)
        .fetch_all(&mut **tx)
        .await
        .db("read the segments of some numbers")?;
        let sealed: HashSet<i64> = segments.iter().flat_map(Segment::lines).map(|l| l.id).collect();
        let present: Vec<(i64, DateTime<Utc>)> =
            sqlx::query_as("select id, at from audit_entry where id >= $1 and id < $2 order by id, at")
                .bind(low)
                .bind(high)
                .fetch_all(&mut **tx)
                .await
                .db("read the entries of some numbers")?;
        let mut seen = HashSet::new();
        for (id, at) in present {
            // A number that stands twice is a stranger the second time.
            let again = !seen.insert(id);
            if again || (!sealed.contains(&id) && !unsealed.contains(&id)) {
                let near = segments.iter().find(|s| s.first_at <= at && at <= s.last_at).map(|s| s.number);
                let text = if again {
                    format!("记录 {id} 出现了两次")
                } else {
                    format!("记录 {id} 不在任何日志段中：是封存之后放进去的")
                };
                self.report.add(FaultKind::Inserted, near, Some((id, Some(at))), text);
            }
        }
        Ok(())
    }
}

/// Writes down that the chain was verified.
pub async fn note_verification(tx: &mut Tx<'_>, now: DateTime<Utc>, by: &str, report: &Report) -> Result<()> {
    let detail =
        serde_json::to_value(&report.faults[..report.faults.len().min(100)]).doing("write a report")?;
    sqlx::query(
        "insert into audit_verification (at, by_whom, segments, entries, faults, detail) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(now)
    .bind(by)
    .bind(report.segments as i64)
    .bind(report.entries as i64)
    .bind(report.fault_count as i64)
    .bind(detail)
    .execute(&mut **tx)
    .await
    .db("write down a verification")?;
    Ok(())
}

/// When the chain was last verified, by whom, and how many faults there were.
pub async fn latest_verification(db: &Db) -> Result<Option<(DateTime<Utc>, String, i64, i64, i64)>> {
    sqlx::query_as(
        "select at, by_whom, segments, entries, faults from audit_verification order by id desc limit 1",
    )
    .fetch_optional(db.pool())
    .await
    .db("read the last verification")
}
