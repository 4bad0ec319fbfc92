//! `minkang catalog check`: reads every definition and reports every problem with file and line.

use clap::Subcommand;

use crate::Common;
use crate::platform::read_catalog;

/// 目录定义
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// 检查全部定义，列出每一处错误的文件和行号
    Check,
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub fn run(common: &Common, command: CatalogCommand) -> anyhow::Result<()> {
    let CatalogCommand::Check = command;
    let catalog = read_catalog(common.catalog_dir.as_deref())?;
    let (fields, rules) =
        catalog.datasets.iter().fold((0, 0), |(f, r), d| (f + d.fields.len(), r + d.rules.len()));
    println!(
        "目录定义没有错误：数据集 {} 个（字段 {fields} 个，规则 {rules} 条），代码表 {} 个，角色 {} 个。",
        catalog.datasets.len(),
        catalog.tables.tables.len(),
        catalog.roles.len()
    );
    Ok(())
}
