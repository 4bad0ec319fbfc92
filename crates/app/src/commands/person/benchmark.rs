//! `minkang person benchmark`: the Chinese benchmark of the person index, made or scored.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use benchmark::{Kind, Level, Plan, Rates, Score, Truth};
use clap::Args;

/// The list of divisions that is embedded in the program.
const DIVISIONS: &str = "divisions.tsv.gz";

/// 生成中文基准数据，或给分组结果打分
#[derive(Debug, Clone, Args)]
pub struct BenchmarkArgs {
    /// 登记条数；人数约为其六成
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..=100_000_000))]
    pub records: u64,
    /// 难度：easy、middle、hard
    #[arg(long, default_value = "hard")]
    pub level: String,
    /// 随机种子：同样的种子得到同样的数据
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// 区划代码：市（4 位）或县（6 位）
    #[arg(long, default_value = "4115")]
    pub prefix: String,
    /// 写出的登记文件；真值写在旁边的 .truth.csv
    #[arg(long, value_name = "FILE.csv", default_value = "benchmark.csv")]
    pub out: PathBuf,
    /// 不生成，而给这份分组结果打分（两列：登记编号、分组编号）
    #[arg(long, value_name = "CLUSTERS.csv", requires = "truth")]
    pub score: Option<PathBuf>,
    /// 打分所用的真值文件
    #[arg(long, value_name = "FILE.truth.csv")]
    pub truth: Option<PathBuf>,
    /// 待复核的登记对（两列登记编号），一并打分
    #[arg(long, value_name = "REVIEW.csv", requires = "score")]
    pub review: Option<PathBuf>,
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("不能打开 {}", path.display()))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("不能写入 {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub fn run(args: &BenchmarkArgs) -> Result<()> {
    let Some(level) = Level::parse(&args.level) else {
        bail!("--level 应为 easy、middle 或 hard，而不是“{}”。", args.level);
    };
    let rates = Rates::shipped(level)?;
    if let (Some(clusters), Some(truth)) = (&args.score, &args.truth) {
        let truth = Truth::read(open(truth)?)?;
        let review = args.review.as_deref().map(open).transpose()?;
        let score = Score::of(&truth, open(clusters)?, review)?;
        print!("{}", score.report(&rates));
        return Ok(());
    }
    if !matches!(args.prefix.len(), 4 | 6) || !args.prefix.bytes().all(|b| b.is_ascii_digit()) {
        bail!("--prefix 应为 4 位（市）或 6 位（县）的区划代码，例如信阳市是 4115。");
    }
    let list = web::assets::embedded(DIVISIONS)
        .context("程序中没有行政区划清单。请先运行 scripts/assets.sh 再构建。")?;
    let plan = Plan { records: args.records, level, seed: args.seed, prefix: args.prefix.clone() };
    let divisions = demo::read_divisions(&*list, &plan.prefix)?;
    let truth = args.out.with_extension("truth.csv");
    let summary = benchmark::generate(&plan, &divisions, create(&args.out)?, create(&truth)?)?;
    println!(
        "已写出 {} 条登记（{} 人，{} 个真实登记对）：{}；真值：{}",
        summary.records,
        summary.people,
        summary.pairs,
        args.out.display(),
        truth.display()
    );
    println!("差错\t占登记");
    for kind in Kind::ALL {
        let share = 100.0 * summary.kinds[*kind as usize] as f64 / summary.records.max(1) as f64;
        println!("{}\t{share:.3}%", rates.title(*kind));
    }
    Ok(())
}
