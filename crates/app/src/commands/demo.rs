//! `minkang demo`: being written.

use clap::Args;

use crate::Common;

/// 建立演示城市并启动平台
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {}

/// Runs the command.
pub async fn run(_: &Common, _: DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("being written")
}
