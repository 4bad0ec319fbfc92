//! `minkang audit`: verifying and archiving the audit trail; and the loop that seals it while the platform serves.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::Subcommand;
use kernel::clock::{CHINA_OFFSET_SECONDS, to_china};
use kernel::{Caller, Clock, Purpose, SystemClock};
use store::AuditEntry;
use store::audit::{self, AnchorFile, Report, Span, verify};
use tokio_util::sync::CancellationToken;

use crate::Common;
use crate::commands::with_platform;
use crate::platform::Platform;

/// 审计日志
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// 校验日志链：重新计算每条记录、每一段和每个锚点；有任何不符时以失败结束，并逐条指出
    Verify {
        /// 从这一天（中国时间）起，如 2025-05-01；缺省为全部
        #[arg(long)]
        from: Option<NaiveDate>,
        /// 到这一天（含）为止
        #[arg(long)]
        to: Option<NaiveDate>,
        /// 锚点文件的另一副本；缺省为数据目录下的 audit/anchors.log
        #[arg(long)]
        anchors: Option<PathBuf>,
        /// 以 JSON 输出结果
        #[arg(long)]
        json: bool,
    },
    /// 把一个月的审计日志写到归档文件，然后从数据库移出（须有属主权限；在线保存期内的月份不能归档）
    Archive {
        /// 月份，如 2025-05
        #[arg(long)]
        month: String,
        /// 归档目录；缺省为数据目录下的 audit/archive
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: AuditCommand) -> anyhow::Result<()> {
    with_platform(common, async |platform| match &command {
        AuditCommand::Verify { from, to, anchors, json } => {
            let span =
                Span { from: from.map(begin_of), until: to.map(|day| begin_of(day + TimeDelta::days(1))) };
            let file = match anchors {
                Some(path) => AnchorFile::at(path),
                None => platform.sealer.file().clone(),
            };
            let report = check(platform, &file, span, *json).await?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                tell(&report);
            }
            match report.sound() {
                true => Ok(()),
                false => anyhow::bail!("审计日志有 {} 处不符", report.fault_count),
            }
        }
        AuditCommand::Archive { month, folder } => {
            let month = format!("{month}-01")
                .parse::<NaiveDate>()
                .map_err(|_| anyhow::anyhow!("月份应形如 2025-05"))?;
            let folder = folder.clone().unwrap_or_else(|| common.data.join("audit").join("archive"));
            let now = SystemClock.now();
            // What is asked for is itself sealed before anything leaves.
            let caller = Caller::system("运维");
            let entry = AuditEntry {
                act: "audit.archive",
                object_kind: "audit",
                object_label: format!("{}-{:02}", month.year(), month.month()),
                ..AuditEntry::default()
            };
            let db = &platform.db;
            db.transaction(async |tx| audit::record(tx, &caller, &Purpose::of("audit"), now, &entry).await)
                .await?;
            platform.sealer.pass().await?;
            platform.sealer.anchor(TimeDelta::zero()).await?;
            let keep = u32::try_from(platform.options.whole("audit.months_online")).unwrap_or(6).max(6);
            let archived = audit::archive(&platform.owner, month, &folder, keep, now, "运维").await?;
            println!(
                "已归档 {} 条到 {}。请把该文件与锚点文件一起另存。",
                archived.entry_count, archived.file
            );
            Ok(())
        }
    })
    .await
}

/// Seals what is there, verifies, writes down that it was done.
async fn check(platform: &Platform, file: &AnchorFile, span: Span, quiet: bool) -> anyhow::Result<Report> {
    let bar = if quiet { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
    let report = verify(&platform.db, platform.sealer.keys(), file, span, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    let now = SystemClock.now();
    let caller = Caller::system("运维");
    let entry = AuditEntry {
        act: "audit.verify",
        object_kind: "audit",
        outcome: if report.sound() { "ok" } else { "faults" },
        detail: Some(serde_json::json!({ "segments": report.segments, "faults": report.fault_count })),
        ..AuditEntry::default()
    };
    platform
        .db
        .transaction(async |tx| {
            audit::note_verification(tx, now, &caller.name, &report).await?;
            audit::record(tx, &caller, &Purpose::of("audit"), now, &entry).await
        })
        .await?;
    Ok(report)
}

#[allow(clippy::print_stdout)] // the command's output
fn tell(report: &Report) {
    println!(
        "校验了 {} 段、{} 条记录、{} 个锚点；尚未封存 {} 条，已归档未查 {} 条。",
        report.segments, report.entries, report.anchors, report.unsealed, report.archived
    );
    for fault in &report.faults {
        let at = fault.at.map(|at| to_china(at).format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
        let segment = fault.segment.map(|n| format!("第 {n} 段")).unwrap_or_default();
        println!("【{}】{segment} {at} {}", fault.kind.name(), fault.text);
    }
    if report.fault_count > report.faults.len() as u64 {
        println!("……共 {} 处，只列出前 {} 处。", report.fault_count, report.faults.len());
    }
    if report.sound() {
        println!("没有发现改动。");
    }
}

/// The instant at which a day begins in China.
fn begin_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() - TimeDelta::seconds(i64::from(CHINA_OFFSET_SECONDS))
}

/// How often new entries are sealed; after a long pass, the pause grows with it.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How often new entries are looked at for alerts and forwarded.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often the months ahead are looked at.
const MONTHS_EVERY: Duration = Duration::from_secs(3600);

/// Seals until told to stop, and once more then.
pub fn keep_sealing(
    platform: &Platform,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let (sealer, options, db) = (platform.sealer.clone(), platform.options.clone(), platform.db.clone());
    let identity = platform.identity.clone();
    async move {
        let mut looked: Option<std::time::Instant> = None;
        let mut months = std::time::Instant::now();
        loop {
            let began = std::time::Instant::now();
            if let Err(error) = sealer.pass().await {
                tracing::warn!(%error, "seal the audit trail");
            }
            let every = if stop.is_cancelled() {
                TimeDelta::zero()
            } else {
                TimeDelta::seconds(options.whole("audit.anchor_seconds"))
            };
            if let Err(error) = sealer.anchor(every).await {
                tracing::warn!(%error, "anchor the audit trail");
            }
            if looked.is_none_or(|at| at.elapsed() > LOOK_EVERY) {
                looked = Some(std::time::Instant::now());
                if let Err(error) = identity::audit::tick(&identity).await {
                    tracing::warn!(%error, "ask for alerts on the audit trail");
                }
            }
            if months.elapsed() > MONTHS_EVERY {
                months = std::time::Instant::now();
                if let Err(error) = audit::partitions_ahead(&db, SystemClock.now()).await {
                    tracing::warn!(%error, "make the months of the audit trail ahead");
                }
            }
            if stop.is_cancelled() {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SEAL_EVERY.max(began.elapsed() * 5)) => {}
            }
        }
    }
}
