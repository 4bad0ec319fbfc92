//! `minkang person`: work on the person index from the command line.

pub mod benchmark;
pub mod link;

use anyhow::{Result, bail};
use clap::Subcommand;
use kernel::{Act, Caller, Line, Need, Purpose, Reach};

use person::runs::Asked;

use crate::Common;
use crate::commands::with_platform;
use crate::platform::Platform;

/// 患者主索引
#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// 生成中文基准数据（虚构的登记及其真值），或给一份分组结果打分
    Benchmark(benchmark::BenchmarkArgs),
    /// 把一个登记文件中同属一人的记录归为一组（无需真值，参数由数据自身学得）
    Link(link::LinkArgs),
    /// 从本库的登记中学习比对参数，存为新模型（不启用）
    Train,
    /// 列出比对模型
    Models,
    /// 在本库的登记上比较几个模型各自会作出的结论（不改动数据），结果可在“批量关联”页面查看
    Compare {
        /// 模型编号，见 models；0 为随平台发布的模型
        #[arg(required = true, num_args = 2..=4)]
        models: Vec<i64>,
        /// 每多少条登记抽取一条；不写则按登记总数决定
        #[arg(long, default_value_t = 0)]
        one_in: u64,
    },
    /// 启用一个比对模型
    Force {
        /// 模型编号，见 models；0 为随平台发布的模型
        model: i64,
        /// 理由
        #[arg(long)]
        reason: String,
    },
    /// 用现行模型重新评估全部登记，写出变更建议（不改动数据）
    Relink {
        /// 直接批准并执行
        #[arg(long)]
        apply: bool,
        /// 理由；与 --apply 同用
        #[arg(long, default_value = "命令行执行")]
        reason: String,
    },
    /// 列出批量任务
    Runs,
    /// 撤销一次已执行的批量关联
    UndoRun {
        /// 任务编号，见 runs
        run: i64,
        /// 理由
        #[arg(long)]
        reason: String,
    },
    /// 检查全部人员，列出可疑的
    Look,
}

fn reach() -> Result<Reach> {
    Ok(Caller::system("命令行").decide(Need::new(Line::System, Act::Manage), Purpose::of("background"))?)
}

/// Runs the command.
pub async fn run(common: &Common, command: PersonCommand) -> Result<()> {
    match command {
        PersonCommand::Benchmark(args) => benchmark::run(&args),
        PersonCommand::Link(args) => link::run(&args),
        other => with_platform(common, async |platform| on(platform, other).await).await,
    }
}

#[allow(clippy::print_stdout)] // the command's output
async fn on(platform: &Platform, command: PersonCommand) -> Result<()> {
    let (index, now) = (&platform.person, platform.now());
    match command {
        PersonCommand::Benchmark(_) | PersonCommand::Link(_) => {}
        PersonCommand::Train => {
            let run = index.start_run("train", "命令行", now).await?;
            let model = index.learn(run, now).await?;
            let Some(row) = index.models().await?.into_iter().find(|m| m.id == model) else {
                bail!("没有写成模型")
            };
            println!("模型 {}（{}），学自 {} 条登记，未启用。", row.id, row.version, row.trained_on);
            println!("{}", serde_json::to_string_pretty(&row.report["figures"])?);
            println!("启用：minkang person force {} --reason …", row.id);
        }
        PersonCommand::Models => {
            for m in index.models().await? {
                let mark = if m.in_force { "（现行）" } else { "" };
                println!("{} {}{mark}　学自 {} 条　{}", m.id, m.version, m.trained_on, m.trained_at);
            }
        }
        PersonCommand::Compare { models, one_in } => {
            let run = index.start_comparison(&Asked { models, one_in }, "命令行", now).await?;
            let compared = match index.compare_models(run, now).await {
                Ok(compared) => compared,
                Err(error) => {
                    index.fail_run(run, &error.to_string(), now).await?;
                    return Err(error.into());
                }
            };
            println!("任务 {run}：比较了 {} 条登记中的 {} 条。", compared.records, compared.linked);
            println!("{}", serde_json::to_string_pretty(&compared)?);
            println!("没有改动数据。样例见“批量关联”页面；启用：minkang person force 编号 --reason …");
        }
        PersonCommand::Force { model, reason } => {
            index.put_in_force(&reach()?, model, &reason, now).await?;
            let keyed = index.write_keys(now).await?;
            let gone = index.sweep_keys(now).await?;
            println!("已启用；重写了 {keyed} 条登记的比对键，清除了 {gone} 个不再使用的键。");
        }
        PersonCommand::Relink { apply, reason } => {
            index.write_keys(now).await?;
            let run = index.start_run("relink", "命令行", now).await?;
            let moves = index.propose(run, now).await?;
            let Some(proposed) = index.run(run).await? else { bail!("没有这次任务") };
            println!("任务 {run}：建议移动 {moves} 条登记。");
            println!("{}", serde_json::to_string_pretty(&proposed.statistics)?);
            if apply {
                index.decide_run(&reach()?, run, true, &reason, now).await?;
                index.apply_run(run, now).await?;
                println!("已执行。撤销：minkang person undo-run {run} --reason …");
            } else {
                println!("没有改动数据。在“批量关联”页面批准，或加 --apply 执行。");
            }
        }
        PersonCommand::Runs => {
            for r in index.runs(50).await? {
                println!(
                    "{} {} {} {}/{}　{}　{}",
                    r.id, r.kind, r.state, r.done, r.total, r.model_version, r.started_at
                );
            }
        }
        PersonCommand::UndoRun { run, reason } => {
            index.undo_run(&reach()?, run, &reason, now).await?;
            index.undo_run_now(run, now).await?;
            println!("已撤销。");
        }
        PersonCommand::Look => {
            let found = index.look(now).await?;
            println!("新列入 {} 人，移出 {} 人。", found.new, found.gone);
        }
    }
    Ok(())
}
