//! `minkang person`: work on the person index from the command line.

pub mod benchmark;

use anyhow::Result;
use clap::Subcommand;

/// 患者主索引
#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// 生成中文基准数据（虚构的登记及其真值），或给一份分组结果打分
    Benchmark(benchmark::BenchmarkArgs),
}

/// Runs the command.
pub fn run(command: PersonCommand) -> Result<()> {
    match command {
        PersonCommand::Benchmark(args) => benchmark::run(&args),
    }
}
