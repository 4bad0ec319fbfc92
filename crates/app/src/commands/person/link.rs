//! `minkang person link`: groups the registrations of a file by person, learning from the file itself.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use csv::StringRecord;
use linkage::{Batch, Column, Linked, Model, Options, Phase, Reason, evaluate, guess_model};

/// Rows that are read before they are prepared together.
const CHUNK: usize = 50_000;

/// 把登记文件中同属一人的记录归为一组
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// CSV 文件，首行为列名
    pub file: PathBuf,
    /// 比对模型：china（本平台的居民模型）或模型文件；缺省按各列的名称和内容推断
    #[arg(long)]
    pub model: Option<String>,
    /// 登记编号所在列；缺省为第一列
    #[arg(long)]
    pub id: Option<String>,
    /// 真值所在列：不参与比对，只用来打分
    #[arg(long)]
    pub truth: Option<String>,
    /// 不参与比对的列，可重复
    #[arg(long, value_name = "COLUMN")]
    pub ignore: Vec<String>,
    /// 分组结果（两列：登记编号、分组编号）
    #[arg(long, value_name = "CLUSTERS.csv")]
    pub out: PathBuf,
    /// 待人工复核的登记对
    #[arg(long, value_name = "REVIEW.csv")]
    pub review: Option<PathBuf>,
    /// 学得的参数（JSON）
    #[arg(long, value_name = "PARAMETERS.json")]
    pub parameters: Option<PathBuf>,
    /// 线程数；0 为全部核
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

type Reader = csv::Reader<File>;

fn open(path: &Path) -> Result<Reader> {
    let file = File::open(path).with_context(|| format!("不能打开 {}", path.display()))?;
    Ok(csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(1 << 20)
        .from_reader(file))
}

fn create(path: &Path) -> Result<csv::Writer<BufWriter<File>>> {
    let file = File::create(path).with_context(|| format!("不能写入 {}", path.display()))?;
    Ok(csv::Writer::from_writer(BufWriter::with_capacity(1 << 20, file)))
}

fn place(header: &StringRecord, name: &str) -> Result<usize> {
    header.iter().position(|h| h == name).with_context(|| {
        format!("文件没有“{name}”这一列，有的是：{}。", header.iter().collect::<Vec<_>>().join("、"))
    })
}

/// The model that the arguments name, or one made from the columns of the file.
fn model(args: &LinkArgs, header: &StringRecord, used: &[usize]) -> Result<Model> {
    match args.model.as_deref() {
        Some("china") => Ok(Model::china()?),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("不能读取比对模型 {path}"))?;
            Ok(Model::parse(&text)?)
        }
        None => {
            let rows = open(&args.file)?.into_records().collect::<Result<Vec<_>, _>>()?;
            let columns: Vec<Column<'_>> = (used.iter())
                .map(|at| Column {
                    name: header.get(*at).unwrap_or(""),
                    values: rows.iter().map(|row| row.get(*at).unwrap_or("")).collect(),
                })
                .collect();
            Ok(guess_model(&columns)?)
        }
    }
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub fn run(args: &LinkArgs) -> Result<()> {
    let mut reader = open(&args.file)?;
    let header = reader.headers()?.clone();
    let id = args.id.as_deref().map_or(Ok(0), |name| place(&header, name))?;
    let truth = args.truth.as_deref().map(|name| place(&header, name)).transpose()?;
    let ignored = args.ignore.iter().map(|name| place(&header, name)).collect::<Result<Vec<_>>>()?;
    let used: Vec<usize> =
        (0..header.len()).filter(|at| *at != id && Some(*at) != truth && !ignored.contains(at)).collect();
    let model = model(args, &header, &used)?;
    // Columns in the order of the model's fields; a field without a column is missing everywhere.
    let columns: Vec<Option<usize>> = model
        .fields()
        .map(|(name, _)| used.iter().copied().find(|at| header.get(*at) == Some(name)))
        .collect();
    if columns.iter().all(Option::is_none) {
        bail!(
            "文件中没有比对模型的任何一个字段。模型的字段是：{}。",
            model.fields().map(|f| f.0).collect::<Vec<_>>().join("、")
        );
    }
    let bytes = std::fs::metadata(&args.file).map_or(0, |m| m.len());
    let mut batch = Batch::new(&model, (bytes / 160) as usize);
    let (mut ids, mut labels): (Vec<Box<str>>, Vec<Box<str>>) = (Vec::new(), Vec::new());
    let mut chunk: Vec<StringRecord> = Vec::with_capacity(CHUNK);
    let mut push = |chunk: &mut Vec<StringRecord>| {
        batch.push_all(chunk, args.threads, |model, row| {
            let values: Vec<&str> =
                columns.iter().map(|at| at.and_then(|at| row.get(at)).unwrap_or("")).collect();
            model.prepare_in_order(&values)
        });
        chunk.clear();
    };
    for row in reader.into_records() {
        let row = row?;
        ids.push(row.get(id).unwrap_or("").into());
        if let Some(truth) = truth {
            labels.push(row.get(truth).unwrap_or("").into());
        }
        chunk.push(row);
        if chunk.len() == CHUNK {
            push(&mut chunk);
        }
    }
    push(&mut chunk);
    drop(chunk);
    if batch.is_empty() {
        bail!("{} 中没有登记。", args.file.display());
    }
    let bar = indicatif::ProgressBar::new(0);
    let progress = |phase: Phase, done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(match phase {
            Phase::Blocking => "查找候选",
            Phase::Counting => "统计",
            Phase::Learning => "学习参数",
            Phase::Scoring => "打分",
            Phase::Clustering => "归组",
        });
    };
    let options = Options { threads: args.threads, progress: &progress, ..Options::default() };
    let trained = batch.train(model.version(), &options);
    let in_force = model.clone().with_trained(&trained);
    let linked = batch.link(&in_force, &options);
    bar.finish_and_clear();
    drop(batch);
    write(args, &ids, &linked)?;
    if let Some(path) = &args.parameters {
        std::fs::write(path, serde_json::to_string_pretty(&trained)?)
            .with_context(|| format!("不能写入 {}", path.display()))?;
    }
    println!(
        "{} 条登记归为 {} 人，比对 {} 对，待复核 {} 对：{}",
        linked.report.records,
        linked.report.persons,
        linked.report.pairs,
        linked.holds.len(),
        args.out.display()
    );
    for (rule, count) in &linked.report.passed_over {
        println!("候选规则“{rule}”有 {count} 个取值的登记过多，已略过（由更窄的规则查找）");
    }
    if truth.is_some() {
        let scores = evaluate(&labels, &linked.assignment);
        println!(
            "登记对：精确率 {:.4}，召回率 {:.4}，F1 {:.4}；人：精确率 {:.4}，召回率 {:.4}，F1 {:.4}",
            scores.pairs.precision,
            scores.pairs.recall,
            scores.pairs.f1,
            scores.clusters.precision,
            scores.clusters.recall,
            scores.clusters.f1
        );
    }
    Ok(())
}

/// Writes the groups and the pairs for review.
fn write(args: &LinkArgs, ids: &[Box<str>], linked: &Linked) -> Result<()> {
    let name = |record: u32| ids.get(record as usize).map_or("", |id| &**id);
    let mut out = create(&args.out)?;
    out.write_record(["record_id", "cluster_id"])?;
    for (record, group) in linked.assignment.iter().enumerate() {
        out.write_record([name(record as u32), name(*group)])?;
    }
    out.flush()?;
    if let Some(path) = &args.review {
        let mut out = create(path)?;
        out.write_record(["record_id_a", "record_id_b", "probability", "reason"])?;
        for hold in &linked.holds {
            let reason = match hold.reason {
                Reason::Unsure => "证据不足以定",
                Reason::Ambiguous => "与两人都相符",
                Reason::Contradicted => "与其他登记矛盾",
                Reason::Exclusive => "两个有效证件号",
            };
            let probability = format!("{:.4}", Linked::probability(hold.score));
            out.write_record([name(hold.a), name(hold.b), &probability, reason])?;
        }
        out.flush()?;
    }
    Ok(())
}
