//! `minkang registry`: divisions and institutions.

use std::path::PathBuf;

use clap::Subcommand;
use contracts::{Institutions, NewInstitution};
use kernel::RegionCode;

use crate::Common;
use crate::commands::with_platform;

/// 机构与行政区划
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// 载入一个地区（及其上级）的行政区划
    Regions {
        /// 区划前缀，如 4115
        #[arg(long)]
        prefix: String,
        /// 清单文件的区划年份
        #[arg(long, default_value_t = directory::divisions::load::SHIPPED_YEAR)]
        year: i16,
        /// 清单文件；缺省用随程序发布的清单
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// 登记一个机构
    Institution {
        /// 统一社会信用代码
        #[arg(long)]
        code: String,
        /// 名称
        #[arg(long)]
        name: String,
        /// WS 218 类别代码，如 A100
        #[arg(long)]
        class: String,
        /// 上报类别：hospital、township、village、maternal_child、cdc
        #[arg(long)]
        sender_class: String,
        /// 12 位区划代码
        #[arg(long)]
        region: String,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: RegistryCommand) -> anyhow::Result<()> {
    with_platform(common, async |platform| match command {
        RegistryCommand::Regions { prefix, year, file } => {
            let report = match &file {
                None => platform.directory.load_shipped_regions(&prefix).await?,
                Some(path) => {
                    let list = std::fs::File::open(path)
                        .map_err(|e| anyhow::anyhow!("不能读取 {}：{e}", path.display()))?;
                    platform.directory.load_regions(list, year, &prefix).await?
                }
            };
            println!("行政区划：共 {} 个，新增 {}，改名 {}。", report.found, report.added, report.renamed);
            Ok(())
        }
        RegistryCommand::Institution { code, name, class, sender_class, region } => {
            let new = NewInstitution {
                code,
                name,
                class,
                sender_class,
                region: RegionCode::parse(&region)?,
                invented: false,
            };
            platform.directory.register(new).await?;
            println!("已登记。");
            Ok(())
        }
    })
    .await
}
