//! `minkang codes`: complete national code tables, loaded from the files that authorities publish.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use directory::terminology::editions::{CodeImport, Sample};
use directory::terminology::reader::{Columns, read_codes};
use kernel::Clock;

use crate::Common;
use crate::commands::with_platform;

/// 代码表
#[derive(Debug, Subcommand)]
pub enum CodesCommand {
    /// 从文件导入一个代码表的新版本（CSV、TSV 或 XLSX）
    Import(ImportArgs),
}

/// 导入代码表
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// 代码表标识，如 icd10
    pub table: String,
    /// 文件
    pub file: PathBuf,
    /// 版本，如 医保2.0
    #[arg(long)]
    pub edition: String,
    /// 来源
    #[arg(long, default_value = "")]
    pub source: String,
    /// 中文名（新表必填）
    #[arg(long, default_value = "")]
    pub name: String,
    /// 标准
    #[arg(long, default_value = "")]
    pub standard: String,
    /// 这一版只是标准的一部分：不在表中的代码只计分，不算错
    #[arg(long)]
    pub partial: bool,
    /// 代码所在列；缺省按列名识别
    #[arg(long)]
    pub code_column: Option<String>,
    /// 名称所在列；缺省按列名识别
    #[arg(long)]
    pub name_column: Option<String>,
    /// 从哪一天起施行（如 2025-01-01）；缺省为今天
    #[arg(long)]
    pub valid_from: Option<chrono::NaiveDate>,
    /// 只报告会有什么变化，不写入
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: CodesCommand) -> anyhow::Result<()> {
    let CodesCommand::Import(args) = command;
    let bytes =
        std::fs::read(&args.file).map_err(|e| anyhow::anyhow!("不能读取 {}：{e}", args.file.display()))?;
    let rows =
        read_codes(&bytes, &Columns { code: args.code_column.clone(), name: args.name_column.clone() })?;
    let file_name = args.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    with_platform(common, async |platform| {
        let began = std::time::Instant::now();
        let import = CodeImport {
            table_id: args.table.clone(),
            name: args.name.clone(),
            standard: args.standard.clone(),
            edition: args.edition.clone(),
            source: if args.source.is_empty() { file_name } else { args.source.clone() },
            complete: !args.partial,
            rows,
            dry_run: args.dry_run,
            loaded_by: "命令行".to_owned(),
            valid_from: args.valid_from,
        };
        let report = platform.directory.import_codes(import, kernel::SystemClock.now()).await?;
        println!(
            "{}：新增 {}，停用 {}，改名 {}，未变 {}，用时 {:.1} 秒{}",
            args.table,
            shown(&report.added),
            shown(&report.removed),
            shown(&report.renamed),
            report.unchanged,
            began.elapsed().as_secs_f64(),
            if args.dry_run { "（试运行，没有写入）" } else { "" },
        );
        if report.problems.count > 0 {
            println!("未读入 {} 行：{}", report.problems.count, report.problems.first.join("；"));
        }
        Ok(())
    })
    .await
}

fn shown(sample: &Sample) -> String {
    match sample.first.as_slice() {
        [] => "0".to_owned(),
        first => {
            format!("{}（{} …）", sample.count, first.iter().take(3).cloned().collect::<Vec<_>>().join("、"))
        }
    }
}
