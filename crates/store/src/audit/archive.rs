//! Months of the trail: made ahead, and taken out into a file by command, never silently.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use futures::TryStreamExt;
use kernel::clock::{CHINA_OFFSET_SECONDS, to_china};
use kernel::error::Doing;
use kernel::{Refusal, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::content::columns;
use super::keys::hex;
use super::seal::Row;
use crate::db::Db;
use crate::failure::DbDoing;

/// Months that are made ahead.
const AHEAD: i32 = 3;

/// Makes the partitions of this month and of the next three; gives how many are new.
pub async fn partitions_ahead(db: &Db, now: DateTime<Utc>) -> Result<i32> {
    db.transaction(async |tx| {
        // Whoever holds the table longer than this is worth waiting for at the next round, not now.
        sqlx::query("set local lock_timeout = '3s'").execute(&mut **tx).await.db("limit the wait")?;
        sqlx::query_scalar("select audit_partitions($1, $2)")
            .bind(now)
            .bind(AHEAD)
            .fetch_one(&mut **tx)
            .await
            .db("make the partitions of the audit trail")
    })
    .await
}

/// A month that lies in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Archived {
    /// Name of the partition, e.g. `audit_entry_202505`.
    pub part: String,
    /// Entries in it.
    pub entry_count: i64,
    /// The file.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: Vec<u8>,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by_whom: String,
}

/// The months that lie in files.
pub async fn archives(db: &Db) -> Result<Vec<Archived>> {
    sqlx::query_as("select part, entry_count, file, sha256, at, by_whom from audit_archive order by part")
        .fetch_all(db.pool())
        .await
        .db("read the archives")
}

#[derive(Serialize)]
struct Archival<'a> {
    id: i64,
    #[serde(flatten)]
    content: &'a super::Content,
    mac: Option<String>,
}

/// Writes a month's entries to a file (JSON lines), then detaches and drops the partition. Needs the database's
/// owner. `keep` months before the present one must stay; entries not sealed yet must stay as well.
pub async fn archive(
    owner: &Db,
    month: NaiveDate,
    folder: &Path,
    keep: u32,
    now: DateTime<Utc>,
    by: &str,
) -> Result<Archived> {
    let month = month.with_day(1).unwrap_or(month);
    let today = to_china(now).date();
    let age = (today.year() - month.year()) * 12 + today.month() as i32 - month.month() as i32;
    if age <= keep as i32 {
        return Err(Refusal::invalid(
            "audit.too_young",
            format!("{} 的审计日志还在 {keep} 个月的在线保存期内，不能归档。", month.format("%Y-%m")),
        )
        .into());
    }
    let part = format!("audit_entry_{}", month.format("%Y%m"));
    let begin = |day: NaiveDate| {
        day.and_time(chrono::NaiveTime::MIN).and_utc()
            - chrono::TimeDelta::seconds(i64::from(CHINA_OFFSET_SECONDS))
    };
    let (since, until) = (begin(month), begin(month + chrono::Months::new(1)));
    std::fs::create_dir_all(folder).doing("make the archive folder")?;
    let file = folder.join(format!("{part}.jsonl"));
    let mut out = std::io::BufWriter::new(
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(|e| {
            Refusal::conflict("audit.archive_file", format!("不能新建归档文件 {}：{e}", file.display()))
        })?,
    );
    let mut hasher = Sha256::new();
    let mut count = 0i64;
    {
        let mut rows = sqlx::query_as::<_, Row>(concat!(
            "select id, ",
            columns!(),
            ", mac from audit_entry where at >= $1 and at < $2 order by at, id"
        ))
        .bind(since)
        .bind(until)
        .fetch(owner.pool());
        while let Some(row) = rows.try_next().await.db("read a month of the audit trail")? {
            let archival = Archival { id: row.id, content: &row.content, mac: row.mac.as_deref().map(hex) };
            let mut line = serde_json::to_vec(&archival).doing("write an archived entry")?;
            line.push(b'\n');
            hasher.update(&line);
            out.write_all(&line).doing("write the archive")?;
            count += 1;
        }
    }
    out.into_inner().doing("write the archive")?.sync_all().doing("write the archive")?;
    let archived = Archived {
        part: part.clone(),
        entry_count: count,
        file: file.to_string_lossy().into_owned(),
        sha256: hasher.finalize().to_vec(),
        at: now,
        by_whom: by.to_owned(),
    };
    owner
        .transaction(async |tx| {
            let same: i64 = sqlx::query_scalar("select count(*) from audit_entry where at >= $1 and at < $2")
                .bind(since)
                .bind(until)
                .fetch_one(&mut **tx)
                .await
                .db("count a month of the audit trail")?;
            let sealed: bool = sqlx::query_scalar(
                "select not exists (select from audit_entry e, (select snapshot, floor_id from audit_segment
                    order by number desc limit 1) s
                 where e.at >= $1 and e.at < $2 and e.id > s.floor_id
                   and not pg_visible_in_snapshot(e.xid, s.snapshot::pg_snapshot))
                 and exists (select from audit_segment)",
            )
            .bind(since)
            .bind(until)
            .fetch_one(&mut **tx)
            .await
            .db("ask whether a month is sealed")?;
            if same != count || !sealed {
                return Err(Refusal::conflict(
                    "audit.not_sealed",
                    "这个月的审计日志还有未封存的记录，请在平台运行一会儿之后再归档。",
                )
                .into());
            }
            sqlx::query(
                "insert into audit_archive (part, since, until, entry_count, file, sha256, at, by_whom)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(&archived.part)
            .bind(since)
            .bind(until)
            .bind(count)
            .bind(&archived.file)
            .bind(&archived.sha256)
            .bind(now)
            .bind(by)
            .execute(&mut **tx)
            .await
            .db("note an archive")?;
            // The name is digits that we made ourselves.
            for sql in
                [format!("alter table audit_entry detach partition {part}"), format!("drop table {part}")]
            {
                sqlx::query(AssertSqlSafe(sql))
                    .execute(&mut **tx)
                    .await
                    .db("detach a month of the audit trail")?;
            }
            Ok(())
        })
        .await?;
    Ok(archived)
}
