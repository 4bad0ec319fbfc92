//! `minkang account`: the first administrator's account; the others are made on the accounts page.

use clap::Subcommand;
use contracts::Institutions;
use kernel::{Caller, RegionCode};

use crate::Common;
use crate::commands::with_platform;

/// 账号
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// 建立账号；初始密码从环境变量 MINKANG_PASSWORD 读取
    Create {
        /// 登录名
        #[arg(long)]
        login: String,
        /// 姓名
        #[arg(long)]
        name: String,
        /// 角色代码，如 platform_operator
        #[arg(long)]
        role: String,
        /// 区划代码
        #[arg(long)]
        region: String,
        /// 所属机构编码
        #[arg(long)]
        institution: Option<String>,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: AccountCommand) -> anyhow::Result<()> {
    let AccountCommand::Create { login, name, role, region, institution } = command;
    let password = std::env::var("MINKANG_PASSWORD")
        .map_err(|_| anyhow::anyhow!("请用环境变量 MINKANG_PASSWORD 给出初始密码（首次登录须修改）。"))?;
    with_platform(common, async |platform| {
        let card = match &institution {
            None => None,
            Some(code) => Some(
                platform
                    .directory
                    .by_code(code)
                    .ok_or_else(|| anyhow::anyhow!("没有编码为“{code}”的机构"))?,
            ),
        };
        let new = identity::NewAccount {
            login: login.clone(),
            name,
            staff_no: String::new(),
            role,
            institution: card.map(|c| c.id),
            region: RegionCode::parse(&region)?,
        };
        platform.identity.create_account(&new, &password, true, &Caller::system("命令行")).await?;
        println!("已建立账号 {login}，首次登录须修改密码。");
        Ok(())
    })
    .await
}
