//! `minkang import`: a file through the same intake as every other door.

use std::path::PathBuf;

use clap::Args;
use contracts::Institutions;
use exchange::intake::{Door, Submission};
use kernel::{Act, Caller, Line, Need, Purpose};

use crate::Common;
use crate::commands::with_platform;

/// 从文件导入一个数据集
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// 数据集代码，如 outpatient_visit；FHIR 资源用 fhir
    pub dataset: String,
    /// 文件（CSV、NDJSON，可 gzip）
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// 机构编码（统一社会信用代码）
    #[arg(long)]
    pub institution: String,
    /// 整批提交：有一行不合格就都不入库
    #[arg(long)]
    pub all_or_nothing: bool,
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, args: ImportArgs) -> anyhow::Result<()> {
    with_platform(common, async |platform| {
        let card = platform
            .directory
            .by_code(&args.institution)
            .ok_or_else(|| anyhow::anyhow!("没有编码为“{}”的机构", args.institution))?;
        let need = Need::new(Line::Exchange, Act::Write);
        let reach = Caller::system("命令行").decide(need, Purpose::of("upload"))?;
        for path in &args.files {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|e| anyhow::anyhow!("不能打开 {}：{e}", path.display()))?;
            let submission = Submission {
                institution: card.id,
                dataset: (args.dataset != "fhir").then(|| args.dataset.clone()),
                door: Door::Command,
                file_name: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
                request_key: None,
                atomic: args.all_or_nothing,
                received_at: None,
            };
            let accepted = platform.exchange.intake.accept(&reach, submission, file).await?;
            let id = platform.exchange.intake.finish(accepted).await?;
            let receipt = platform.exchange.receipt(&reach, id).await?;
            println!(
                "{}：批次 {id}，收到 {} 行，新入库 {}，未变 {}，更正 {}，撤销 {}，拒收 {}，得分 {}。{}",
                path.display(),
                receipt.rows_received,
                receipt.rows_stored,
                receipt.rows_unchanged,
                receipt.rows_replaced,
                receipt.rows_withdrawn,
                receipt.rows_rejected,
                receipt.score.map_or("—".to_owned(), |s| format!("{s:.1}")),
                receipt.failure.unwrap_or_default(),
            );
        }
        Ok(())
    })
    .await
}
