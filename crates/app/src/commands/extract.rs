//! `minkang extract`: a de-identified extract of a data set as a file, with its k-anonymity report.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;
use exchange::extract::{Asked, NEED, make};
use kernel::{Caller, Purpose};

use crate::Common;
use crate::commands::with_platform;

/// 去标识化提取一个数据集（GB/T 37964、GB/T 39725），附 k-匿名报告
#[derive(Debug, Clone, Args)]
pub struct ExtractArgs {
    /// 数据集代码，如 outpatient_visit
    #[arg(long)]
    pub dataset: String,
    /// 项目名称：同一项目的提取可按假名关联
    #[arg(long)]
    pub project: String,
    /// 用途和批准文号，记入审计日志
    #[arg(long)]
    pub reason: String,
    /// 业务发生日期，从
    #[arg(long)]
    pub from: NaiveDate,
    /// 到
    #[arg(long)]
    pub to: NaiveDate,
    /// 写到这个文件（CSV）；不给出时只看报告
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, args: ExtractArgs) -> anyhow::Result<()> {
    with_platform(common, async |platform| {
        let dataset = platform
            .catalog
            .dataset(&args.dataset)
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("没有数据集“{}”", args.dataset))?;
        let asked =
            Asked { dataset, project: args.project, reason: args.reason, from: args.from, to: args.to };
        let reach = Caller::system("命令行").decide(NEED, Purpose::of("statistics"))?;
        let act = if args.out.is_some() { "extract.download" } else { "extract.report" };
        let extract = make(&platform.exchange, &reach, &asked, act).await?;
        let report = &extract.report;
        println!(
            "{} 行、{} 人；k = {}（要求 {}），未提供 {} 行、{} 人；l = {}；最大重识别风险 {:.1}%。",
            report.rows,
            report.people,
            report.k,
            report.threshold,
            report.suppressed_rows,
            report.suppressed_people,
            report.l.map_or("—".to_owned(), |l| l.to_string()),
            report.greatest_risk * 100.0,
        );
        for (people, classes) in &report.distribution {
            println!("  组内 {people} 人：{classes} 组");
        }
        if let Some(path) = &args.out {
            let heads: Vec<&str> = extract.heads.iter().map(String::as_str).collect();
            let (_, text) = web::download::csv("extract.csv", &heads, extract.rows);
            tokio::fs::write(path, text)
                .await
                .map_err(|e| anyhow::anyhow!("不能写 {}：{e}", path.display()))?;
            println!("已写入 {}。", path.display());
        }
        Ok(())
    })
    .await
}
