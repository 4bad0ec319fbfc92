//! `minkang settings`: the settings that the platform heeds while it runs.

use std::path::PathBuf;

use clap::Subcommand;
use directory::settings;
use kernel::{Caller, Clock, Refusal, SystemClock};

use crate::Common;
use crate::commands::with_platform;

/// 系统设置
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// 列出全部设置（TOML；以 # 开头的是默认值）
    List,
    /// 显示一项设置及其变更记录
    Get {
        /// 代码，如 sign_in.idle_minutes
        code: String,
    },
    /// 修改一项设置；不给值则恢复默认
    Set {
        /// 代码
        code: String,
        /// 值
        value: Option<String>,
        /// 原因
        #[arg(long)]
        reason: String,
    },
    /// 从 TOML 文件导入
    Import {
        /// 文件
        file: PathBuf,
        /// 原因
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: SettingsCommand) -> anyhow::Result<()> {
    with_platform(common, async |platform| {
        let (options, db) = (&platform.options, &platform.db);
        let find = |code: &str| {
            let found = options.definitions().iter().find(|s| s.code == code);
            found.ok_or_else(|| {
                kernel::Error::from(Refusal::not_found(
                    "setting.none",
                    "没有这个设置项。可用 minkang settings list 查看全部。",
                ))
            })
        };
        let caller = Caller::system("命令行");
        match command {
            SettingsCommand::List => print!("{}", settings::export(options)),
            SettingsCommand::Get { code } => {
                let setting = find(&code)?;
                let value = options.value(&code).unwrap_or_else(|| setting.default.clone());
                println!("{}（{code}）：{}", setting.title, settings::with_unit(setting, &value));
                println!("默认 {}。{}", settings::with_unit(setting, &setting.default), setting.description);
                for change in options.history(db, Some(&code), 20).await? {
                    let value = change
                        .value
                        .as_ref()
                        .map_or("默认".to_owned(), |v| settings::with_unit(setting, v));
                    let at = kernel::clock::to_china(change.at).format("%Y-%m-%d %H:%M");
                    println!("  {at}　{}　改为 {value}　{}", change.by, change.reason);
                }
            }
            SettingsCommand::Set { code, value, reason } => {
                let setting = find(&code)?;
                let value = value
                    .map(|text| settings::parse(setting, &text))
                    .transpose()
                    .map_err(kernel::Error::from)?;
                options.set(db, &caller, SystemClock.now(), &code, value, &reason).await?;
                let note = if setting.restart { "，平台重启后生效" } else { "，已生效" };
                println!(
                    "{}：{}{note}。",
                    setting.title,
                    options.value(&code).map_or_else(String::new, |v| settings::with_unit(setting, &v))
                );
            }
            SettingsCommand::Import { file, reason } => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|e| anyhow::anyhow!("不能读取 {}：{e}", file.display()))?;
                let proposed = settings::read(options, &text)?;
                for one in &proposed {
                    options
                        .set(db, &caller, SystemClock.now(), &one.code, Some(one.value.clone()), &reason)
                        .await?;
                    println!("{}：已修改", one.code);
                }
                println!("共修改 {} 项。", proposed.len());
            }
        }
        Ok(())
    })
    .await
}
