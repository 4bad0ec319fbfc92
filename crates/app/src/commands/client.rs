//! `minkang client`: machine clients of institutions.

use clap::Subcommand;
use contracts::Institutions;
use kernel::Caller;

use crate::Common;
use crate::commands::with_platform;

/// 机构的接入客户端
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// 为机构建立一个接入客户端；密钥只显示这一次
    Create {
        /// 机构编码
        #[arg(long)]
        institution: String,
        /// 名称，例如“HIS 上传”
        #[arg(long)]
        name: String,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, command: ClientCommand) -> anyhow::Result<()> {
    let ClientCommand::Create { institution, name } = command;
    with_platform(common, async |platform| {
        let card = platform
            .directory
            .by_code(&institution)
            .ok_or_else(|| anyhow::anyhow!("没有编码为“{institution}”的机构"))?;
        let issued = platform.identity.create_client(card.id, &name, &Caller::system("命令行")).await?;
        println!("机构        {}", card.name);
        println!("客户端      {}", issued.client_id);
        println!("密钥        {}", issued.secret);
        println!("链接签名键  {}", issued.link_key);
        println!("密钥只显示这一次，请妥善保存。");
        Ok(())
    })
    .await
}
