//! `minkang person`: work on the person index from the command line.

pub mod benchmark;
pub mod link;

use anyhow::Result;
use clap::Subcommand;

/// 患者主索引
#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// 生成中文基准数据（虚构的登记及其真值），或给一份分组结果打分
    Benchmark(benchmark::BenchmarkArgs),
    /// 把一个登记文件中同属一人的记录归为一组（无需真值，参数由数据自身学得）
    Link(link::LinkArgs),
}

/// Runs the command.
pub fn run(command: PersonCommand) -> Result<()> {
    match command {
        PersonCommand::Benchmark(args) => benchmark::run(&args),
        PersonCommand::Link(args) => link::run(&args),
    }
}
