//! `minkang divisions`: editions of the divisions from lists.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Subcommand;
use directory::divisions::edition::difference_name;
use directory::divisions::import::read;
use kernel::{Caller, RegionCode};

use crate::Common;
use crate::commands::with_platform;

/// Differences that are printed.
const SHOWN: usize = 40;

/// 行政区划的各年版本
#[derive(Debug, Subcommand)]
pub enum DivisionsCommand {
    /// 列出各年版本
    Years,
    /// 从清单导入一年的区划（缺省试运行，只出报告）
    Import {
        /// 年份
        #[arg(long)]
        year: i16,
        /// 执行日期；缺省为当年 1 月 1 日
        #[arg(long)]
        from: Option<NaiveDate>,
        /// 只导入这个区划之下，如 4115；缺省为全国
        #[arg(long)]
        prefix: Option<String>,
        /// 正式导入
        #[arg(long)]
        apply: bool,
        /// 清单文件（CSV 或“代码<TAB>名称”，可为 gzip），可多个
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: DivisionsCommand) -> anyhow::Result<()> {
    with_platform(common, async |platform| match command {
        DivisionsCommand::Years => {
            let in_force = platform.divisions.in_force().ok();
            for edition in platform.divisions.editions() {
                let mark = if Some(edition.year) == in_force { "（现行）" } else { "" };
                println!("{} 年版{mark}　自 {} 起　{}", edition.year, edition.in_force_from, edition.source);
            }
            Ok(())
        }
        DivisionsCommand::Import { year, from, prefix, apply, files } => {
            let mut bytes = Vec::new();
            for path in &files {
                bytes.push(
                    std::fs::read(path).map_err(|e| anyhow::anyhow!("不能读取 {}：{e}", path.display()))?,
                );
            }
            let prefix = prefix.as_deref().map_or(Ok(RegionCode::NATION), RegionCode::parse)?;
            let caller = Caller::system("命令行");
            let report =
                platform.divisions.import(&caller, year, from, read(&bytes)?, &prefix, !apply).await?;
            println!(
                "{} 年版：区划 {}，新增 {}，撤销 {}，更名 {}，变更代码 {}，沿用上一版 {}，读不懂 {} 行{}。",
                report.year,
                report.found,
                report.count("added"),
                report.count("gone"),
                report.count("renamed"),
                report.count("moved"),
                report.carried,
                report.unread_count,
                report.base.map(|b| format!("（与 {b} 年版相比）")).unwrap_or_default()
            );
            let unit = |u: Option<&directory::divisions::plan::Unit>| {
                u.map_or_else(|| "—".to_owned(), |u| format!("{} {}", u.code, u.name))
            };
            for d in report.differences.iter().take(SHOWN) {
                println!(
                    "  {}：{} → {}",
                    difference_name(d.kind),
                    unit(d.before.as_ref()),
                    unit(d.after.as_ref())
                );
            }
            if report.differences.len() > SHOWN {
                println!("  其余 {} 处从略，导入后见“两年对比”页面。", report.differences.len() - SHOWN);
            }
            for held in &report.left_behind {
                println!("注意：被撤销的区划名下还有{} {}。", held.title, held.total());
            }
            match (apply, report.operation) {
                (false, _) => println!("这是试运行，没有改动任何数据；加 --apply 正式导入。"),
                (true, Some(id)) => println!("已导入。代码的变更待审批后生效：/divisions/operations/{id}"),
                (true, None) => println!("已导入。"),
            }
            Ok(())
        }
    })
    .await
}
