//! `/audit/chain`: how the chain of the trail stands, and verifying it as a job with progress.

use std::sync::{Arc, Mutex, PoisonError};

use ::store::audit::{self as trail, Span, latest_verification};
use ::store::jobs::{self, Job, Jobs};
use ::store::{AuditEntry, DbDoing};
use axum::extract::State;
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use kernel::{Caller, Purpose, Result};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use web::route::Allowed;
use web::ui::{
    Figure, Progress, Tone, card, card_with, describe, fact, figures, notice, page_head, progress, thousands,
};
use web::{Frame, Reply};

use super::parts;
use crate::{Identity, page};

/// The kind of job.
const JOB: &str = "audit.verify";

#[derive(Serialize, Deserialize)]
struct Wanted {
    by: String,
    address: String,
}

#[derive(Serialize, Deserialize, Default, Clone, Copy)]
struct Far {
    done: u64,
    total: u64,
}

/// Registers the job.
pub(super) fn register(identity: &Identity, jobs: &mut Jobs) {
    let identity = identity.clone();
    jobs.on(JOB, move |job| {
        let identity = identity.clone();
        async move { run(&identity, &job).await }
    });
}

async fn run(identity: &Identity, job: &Job) -> Result<()> {
    let Some(sealer) = &identity.trail.sealer else { return Ok(()) };
    let wanted: Wanted = job.read()?;
    let far = Arc::new(Mutex::new(Far::default()));
    let report = {
        let told = far.clone();
        let tell = move |done, total| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Far { done, total };
        };
        let work = trail::verify(&identity.db, sealer.keys(), sealer.file(), Span::default(), &tell);
        tokio::pin!(work);
        loop {
            tokio::select! {
                report = &mut work => break report?,
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {
                    let now = *far.lock().unwrap_or_else(PoisonError::into_inner);
                    job.progress(&now).await?;
                }
            }
        }
    };
    let now = identity.clock.now();
    let caller =
        Caller { name: wanted.by.clone(), address: wanted.address, ..Caller::system("审计校验") };
    let entry = AuditEntry {
        act: "audit.verify",
        object_kind: "audit",
        outcome: if report.sound() { "ok" } else { "faults" },
        detail: Some(serde_json::json!({ "segments": report.segments, "faults": report.fault_count })),
        ..AuditEntry::default()
    };
    identity
        .db
        .transaction(async |tx| {
            trail::note_verification(tx, now, &wanted.by, &report).await?;
            trail::record(tx, &caller, &Purpose::of("audit"), now, &entry).await?;
            job.finish_in(tx).await
        })
        .await
}

pub(super) async fn verify(State(identity): State<Identity>, allowed: Allowed) -> Reply<Redirect> {
    let caller = allowed.caller();
    let wanted = Wanted { by: caller.name.clone(), address: caller.address.clone() };
    let now = identity.clock.now();
    identity
        .db
        .transaction(async |tx| {
            jobs::enqueue(tx, JOB, JOB, &wanted, Some(JOB)).await?;
            let entry =
                AuditEntry { act: "audit.verify_start", object_kind: "audit", ..AuditEntry::default() };
            trail::record(tx, caller, &Purpose::of("audit"), now, &entry).await
        })
        .await?;
    Ok(Redirect::to("/audit/chain"))
}

/// The job that waits or runs.
async fn under_way(identity: &Identity) -> Result<Option<Far>> {
    let found: Option<Option<serde_json::Value>> = sqlx::query_scalar(
        "select progress from job where kind = $1 and state <> 'dead' order by id limit 1",
    )
    .bind(JOB)
    .fetch_optional(identity.db.pool())
    .await
    .db("look for the verification")?;
    Ok(found.map(|far| far.and_then(|f| serde_json::from_value(f).ok()).unwrap_or_default()))
}

fn bar(far: Option<Far>) -> Markup {
    match far {
        Some(far) => progress(&Progress {
            title: "正在校验",
            done: far.done,
            total: (far.total > 0).then_some(far.total),
            unit: "段",
            rate: None,
            again: Some("/audit/chain/progress"),
        }),
        None => html! { p { a.btn href="/audit/chain" { "校验已结束，查看结果" } } },
    }
}

pub(super) async fn progress_piece(State(identity): State<Identity>) -> Reply<Markup> {
    Ok(bar(under_way(&identity).await?))
}

#[derive(Debug, Default, sqlx::FromRow)]
struct Standing {
    segment: i64,
    total: i64,
    sealed_at: Option<DateTime<Utc>>,
    hash: String,
    algorithm: String,
    key_id: String,
    anchor: Option<i64>,
    anchored_at: Option<DateTime<Utc>>,
}

async fn standing(identity: &Identity) -> Result<Standing> {
    let found: Option<Standing> = sqlx::query_as(
        "select s.number as segment, s.total, s.sealed_at, encode(s.hash, 'hex') as hash, s.algorithm, s.key_id,
            a.segment as anchor, a.at as anchored_at
         from (select * from audit_segment order by number desc limit 1) s
         left join (select * from audit_anchor order by segment desc limit 1) a on true",
    )
    .fetch_optional(identity.db.pool())
    .await
    .db("read the end of the chain")?;
    Ok(found.unwrap_or_default())
}

#[derive(Debug, Deserialize)]
struct Told {
    kind: String,
    segment: Option<i64>,
    at: Option<DateTime<Utc>>,
    text: String,
}

pub(super) async fn page(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let standing = standing(&identity).await?;
    let far = under_way(&identity).await?;
    let last = latest_verification(&identity.db).await?;
    let faults: Option<serde_json::Value> =
        sqlx::query_scalar("select detail from audit_verification order by id desc limit 1")
            .fetch_optional(identity.db.pool())
            .await
            .db("read the last verification")?
            .flatten();
    let faults: Vec<Told> = faults.and_then(|f| serde_json::from_value(f).ok()).unwrap_or_default();
    let separate = ::store::role::is_separate(&identity.db).await?;
    let archives = trail::archives(&identity.db).await?;
    let anchors = identity.trail.sealer.as_ref().map(|s| s.file().path().display().to_string());
    let when = |at: Option<DateTime<Utc>>| at.map(page::time_exact).unwrap_or_else(|| "尚无".to_owned());
    let body = html! {
        (page_head(&[("审计日志", "/audit")], "日志链", "每条记录写入时带校验码，每秒封存成段、逐段相连并签名，锚点另存于数据库之外。", html! {
            form method="post" action="/audit/chain/verify" {
                button.btn.btn-primary type="submit" disabled[far.is_some()] { "校验" }
            }
        }))
        (parts("/audit/chain"))
        @if far.is_some() { (card("校验进度", bar(far))) }
        @if !separate {
            (notice(Tone::Warn, "平台以数据库属主身份运行",
                "审计表只受触发器和签名链保护，数据库层面没有收回修改权限。请给平台一个普通数据库角色，并用 --database-owner-url 升级表结构。"))
        }
        (figures(&[
            Figure { label: "已封存记录".into(), value: thousands(standing.total.unsigned_abs()), ..Figure::default() },
            Figure { label: "日志段".into(), value: thousands(standing.segment.unsigned_abs()), ..Figure::default() },
            Figure { label: "最近封存".into(), value: when(standing.sealed_at), ..Figure::default() },
            Figure { label: "最近锚点".into(), value: when(standing.anchored_at), note: standing.anchor.map(|n| format!("第 {n} 段")).unwrap_or_default(), href: None },
        ]))
        @match &last {
            None => (notice(Tone::Info, "还没有校验过", "按“校验”重新计算整条日志链。")),
            Some((at, by, segments, entries, 0)) => (notice(Tone::Good, "最近一次校验没有发现改动",
                &format!("{}，{by}：{} 段、{} 条记录。", page::time(*at), thousands(segments.unsigned_abs()), thousands(entries.unsigned_abs())))),
            Some((at, by, _, _, n)) => (notice(Tone::Bad, &format!("最近一次校验发现 {n} 处不符"),
                &format!("{}，{by}。请保留现场，按运维手册处置。", page::time(*at)))),
        }
        @if !faults.is_empty() {
            (card_with("不符之处", html! { "最多列出 100 处" }, page::table(&["类别", "日志段", "记录时间", "说明"], &faults.iter().map(|f| vec![
                html! { (fault_name(&f.kind)) },
                html! { @if let Some(n) = f.segment { "第 " (n) " 段" } },
                html! { span.mk-date { (f.at.map(page::time_exact).unwrap_or_default()) } },
                html! { (f.text) },
            ]).collect::<Vec<_>>())))
        }
        (card("链的末端", describe(&[
            fact("末段哈希值（SHA-256）", &standing.hash),
            fact("签名算法", &standing.algorithm),
            fact("签名密钥", &standing.key_id),
            fact("锚点文件", anchors.as_deref().unwrap_or("")),
        ])))
        @if !archives.is_empty() {
            (card_with("已归档的月份", html! {}, page::table(&["月份", "条数", "文件", "归档时间", "操作人"], &archives.iter().map(|a| vec![
                html! { (a.part.trim_start_matches("audit_entry_")) },
                html! { (thousands(a.entry_count.unsigned_abs())) },
                html! { (a.file) },
                html! { span.mk-date { (page::time(a.at)) } },
                html! { (a.by_whom) },
            ]).collect::<Vec<_>>())))
        }
    };
    Ok(frame.page("日志链", body))
}

/// The stored word of a kind of fault, in Chinese.
fn fault_name(kind: &str) -> &str {
    use trail::FaultKind::{
        Altered, AnchorLost, AnchorMismatch, BadSignature, ChainBroken, Foreign, Inserted, Missing,
        Reordered, SegmentAltered, SegmentMissing, Truncated,
    };
    match kind {
        "altered" => Altered.name(),
        "missing" => Missing.name(),
        "inserted" => Inserted.name(),
        "reordered" => Reordered.name(),
        "foreign" => Foreign.name(),
        "segment_missing" => SegmentMissing.name(),
        "segment_altered" => SegmentAltered.name(),
        "chain_broken" => ChainBroken.name(),
        "bad_signature" => BadSignature.name(),
        "anchor_mismatch" => AnchorMismatch.name(),
        "truncated" => Truncated.name(),
        "anchor_lost" => AnchorLost.name(),
        other => other,
    }
}
