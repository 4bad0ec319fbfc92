//! Intake: outpatient visits and laboratory results, validated, linked, stored and indexed, beside raw binary COPY of
//! the same rows into identical indexed tables in the same run.
//!
//! `cargo bench -p minkang --bench intake`; `MINKANG_BENCH_ROWS` sets the number of rows (default 1,000,000).

#![allow(clippy::print_stdout)] // its figures are its output

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::{Institutions, NewInstitution};
use exchange::intake::{Door, Submission};
use futures::TryStreamExt;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Clock, Line, Need, Purpose, RegionCode, SystemClock};
use minkang::platform::{Platform, Settings};
use sqlx::AssertSqlSafe;

const PATIENTS: u64 = 50_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rows: u64 =
        std::env::var("MINKANG_BENCH_ROWS").ok().and_then(|r| r.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        data: folder.path().to_owned(),
        database_url: None,
        database_owner_url: None,
        catalog_dir: None,
        master_key: None,
        connections: 8,
        base_url: String::new(),
    };
    let platform = Platform::open(&settings, Arc::new(SystemClock), &|_: &str| {}).await?;
    let outcome = measure(&platform, folder.path(), rows).await;
    platform.close().await?;
    outcome
}

async fn measure(platform: &Platform, folder: &Path, rows: u64) -> anyhow::Result<()> {
    let institution = platform
        .directory
        .register(NewInstitution {
            code: "12411500MB1A000010".to_owned(),
            name: "基准测试医院".to_owned(),
            class: "A100".to_owned(),
            sender_class: "hospital".to_owned(),
            region: RegionCode::parse("411503")?,
            invented: true,
        })
        .await?;
    let (patients, visits, results) =
        (folder.join("patient.csv"), folder.join("visit.csv"), folder.join("result.csv"));
    write(&patients, write_patients)?;
    write(&visits, |out| write_visits(out, rows / 2))?;
    write(&results, |out| write_results(out, rows / 2))?;

    load(platform, institution, "patient", &patients).await?;
    println!("rows {rows}, patients {PATIENTS}");
    println!("{:<20} {:>10} {:>12} {:>12} {:>8}", "data set", "rows", "intake /s", "COPY /s", "ratio");
    let (mut taken, mut limit) = (Duration::ZERO, Duration::ZERO);
    for (dataset, file) in [("outpatient_visit", &visits), ("lab_result", &results)] {
        let (count, spent) = load(platform, institution, dataset, file).await?;
        let raw = raw_copy(platform, folder, dataset).await?;
        report(dataset, count, spent, raw);
        taken += spent;
        limit += raw;
    }
    report("together", rows / 2 * 2, taken, limit);
    println!("greatest memory of the program: {} MiB", peak_memory()?);
    Ok(())
}

fn report(name: &str, rows: u64, intake: Duration, raw: Duration) {
    let rate = |d: Duration| rows as f64 / d.as_secs_f64();
    println!(
        "{name:<20} {rows:>10} {:>12.0} {:>12.0} {:>8.2}",
        rate(intake),
        rate(raw),
        raw.as_secs_f64() / intake.as_secs_f64()
    );
}

async fn load(
    platform: &Platform,
    institution: InstitutionId,
    dataset: &str,
    file: &Path,
) -> anyhow::Result<(u64, Duration)> {
    let reach =
        Caller::system("bench").decide(Need::new(Line::Exchange, Act::Write), Purpose::of("upload"))?;
    let submission = Submission {
        institution,
        dataset: Some(dataset.to_owned()),
        door: Door::Command,
        file_name: String::new(),
        request_key: None,
        atomic: false,
        received_at: None,
    };
    let body = tokio::fs::File::open(file).await?;
    let began = Instant::now();
    let accepted = platform.exchange.intake.accept(&reach, submission, body).await?;
    let id = platform.exchange.intake.finish(accepted).await?;
    let spent = began.elapsed();
    let receipt = platform.exchange.receipt(&reach, id).await?;
    anyhow::ensure!(
        receipt.rows_stored == receipt.rows_received && receipt.failure.is_none(),
        "{dataset}: {} of {} rows stored, {:?}",
        receipt.rows_stored,
        receipt.rows_received,
        receipt.failure
    );
    Ok((receipt.rows_stored.unsigned_abs(), spent))
}

// The same rows, in the order of storage, from a file in COPY's own format into an identical indexed table.
async fn raw_copy(platform: &Platform, folder: &Path, dataset: &str) -> anyhow::Result<Duration> {
    let definition =
        platform.catalog.dataset(dataset).ok_or_else(|| anyhow::anyhow!("no data set {dataset}"))?;
    let (table, copy) = (definition.table(), format!("limit_{dataset}"));
    let file = folder.join("rows.copy");
    let mut connection = platform.owner.pool().acquire().await?;
    {
        let statement = format!("copy {table} to stdout (format binary)");
        let mut out = BufWriter::new(std::fs::File::create(&file)?);
        let mut rows = connection.copy_out_raw(&statement).await?;
        while let Some(bytes) = rows.try_next().await? {
            out.write_all(&bytes)?;
        }
        out.flush()?;
    }
    for statement in store::fact_schema::create_table(definition, &copy).split_inclusive(";\n") {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    sqlx::query("checkpoint").execute(&mut *connection).await?;
    let began = Instant::now();
    let mut sink = connection.copy_in_raw(&format!("copy {copy} from stdin (format binary)")).await?;
    sink.read_from(tokio::fs::File::open(&file).await?).await?;
    sink.finish().await?;
    Ok(began.elapsed())
}

fn write(
    path: &Path,
    rows: impl FnOnce(&mut BufWriter<std::fs::File>) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    rows(&mut out)?;
    out.flush()?;
    Ok(())
}

const SURNAMES: [&str; 10] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴"];

fn name(patient: u64) -> String {
    let given = char::from_u32(0x4e00 + (patient * 7919 % 6000) as u32).unwrap_or('安');
    format!("{}{given}", SURNAMES[(patient % 10) as usize])
}

fn birth(patient: u64) -> String {
    format!("{}-{:02}-{:02}", 1940 + patient % 70, patient % 12 + 1, patient % 28 + 1)
}

fn write_patients(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "patient_no,patient_name,sex,birth_date,phone,registered_at")?;
    let today = SystemClock.today();
    for p in 0..PATIENTS {
        writeln!(out, "P{p:07},{},{},{},138{p:08},{today}", name(p), p % 2 + 1, birth(p))?;
    }
    Ok(())
}

fn day(row: u64, rows: u64) -> chrono::NaiveDate {
    // Two years that end yesterday, in order, as uploads come.
    SystemClock.today() - chrono::Days::new(1 + 730 - (row * 730 / rows.max(1)))
}

fn write_visits(out: &mut impl Write, rows: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "visit_no,patient_no,patient_name,sex,birth_date,visit_kind,visit_time,department_code,department_name,\
         doctor_no,doctor_name,chief_complaint,diagnosis_code,diagnosis_name,total_fee"
    )?;
    let diagnoses =
        [("I10.x00", "特发性(原发性)高血压"), ("J06.900", "急性上呼吸道感染"), ("E11.900", "2型糖尿病")];
    for row in 0..rows {
        let p = row * 31 % PATIENTS;
        let (code, text) = diagnoses[(row % 3) as usize];
        writeln!(
            out,
            "V{row:010},P{p:07},{},{},{},1,{} {:02}:{:02}:00,0301,内科门诊,D{:03},医师{},头晕乏力{}天,{code},{text},{}.{:02}",
            name(p),
            p % 2 + 1,
            birth(p),
            day(row, rows),
            8 + row % 9,
            row % 60,
            row % 40,
            row % 40,
            row % 9 + 1,
            20 + row % 300,
            row % 100
        )?;
    }
    Ok(())
}

fn write_results(out: &mut impl Write, rows: u64) -> std::io::Result<()> {
    writeln!(
        out,
        "report_no,item_no,patient_no,item_code,loinc_code,item_name,result_text,result_number,unit,reference_low,\
         reference_high,abnormal_flag,reported_at"
    )?;
    let items = [
        ("6690-2", "白细胞计数", "10^9/L", 3.5, 9.5),
        ("789-8", "红细胞计数", "10^12/L", 3.8, 5.8),
        ("718-7", "血红蛋白", "g/L", 115.0, 175.0),
        ("777-3", "血小板计数", "10^9/L", 125.0, 350.0),
        ("14749-6", "葡萄糖", "mmol/L", 3.9, 6.1),
    ];
    for row in 0..rows {
        let (report, item) = (row / 5, (row % 5) as usize);
        let p = report * 17 % PATIENTS;
        let (loinc, text, unit, low, high) = items[item];
        let value = low + (high - low) * ((row * 37 % 130) as f64 / 100.0 - 0.1);
        let flag = if value < low {
            "L"
        } else if value > high {
            "H"
        } else {
            "N"
        };
        writeln!(
            out,
            "R{report:010},{},P{p:07},X{item},{loinc},{text},{value:.2},{value:.2},{unit},{low},{high},{flag},{} {:02}:{:02}:00",
            item + 1,
            day(row, rows),
            8 + row % 9,
            row % 60
        )?;
    }
    Ok(())
}

fn peak_memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024)
}
