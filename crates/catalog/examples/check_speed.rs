//! How many rows a second one core checks: `cargo run --release -p minkang-catalog --example check_speed`.
//!
//! Rows of a shipped-like data set with 25 fields of all types, all filled; every twentieth row has a mistake. Also prints
//! the same loop without checking (copying the texts only), which is the least that typing rows can cost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use catalog::load::load;
use catalog::{Checker, RawRow, RuleCounts, Value};

const FIELDS: &str = r#"
number = 1
code = "speed"
name = "速度"
key = ["visit_no"]
occurred = "visit_time"
fields = [
  { name = "visit_no", title = "流水号", type = "text", max = 50, required = true },
  { name = "patient_no", title = "患者编号", type = "text", max = 50, required = true },
  { name = "patient_name", title = "姓名", type = "text", max = 50, recommended = true },
  { name = "sex", title = "性别", type = "code", table = "sex", recommended = true },
  { name = "birth_date", title = "出生日期", type = "date", recommended = true },
  { name = "credential_kind", title = "证件类别", type = "code", table = "kind" },
  { name = "credential_no", title = "证件号码", type = "text", max = 32 },
  { name = "phone", title = "电话", type = "text", max = 30 },
  { name = "visit_time", title = "就诊时间", type = "datetime", required = true },
  { name = "ended_at", title = "结束时间", type = "datetime" },
  { name = "department_code", title = "科室代码", type = "text", max = 20 },
  { name = "department_name", title = "科室名称", type = "text", max = 50 },
  { name = "doctor_no", title = "医师工号", type = "text", max = 30 },
  { name = "doctor_name", title = "医师姓名", type = "text", max = 50 },
  { name = "complaint", title = "主诉", type = "text", max = 500 },
  { name = "temperature", title = "体温", type = "decimal", scale = 1, min = 30, max_value = 45 },
  { name = "systolic", title = "收缩压", type = "integer", min = 40, max_value = 300 },
  { name = "diastolic", title = "舒张压", type = "integer", min = 20, max_value = 200 },
  { name = "diagnosis_code", title = "诊断代码", type = "text", max = 20 },
  { name = "diagnosis_name", title = "诊断名称", type = "text", max = 200 },
  { name = "drug_fee", title = "药费", type = "decimal", scale = 2, min = 0 },
  { name = "other_fee", title = "其他费", type = "decimal", scale = 2, min = 0 },
  { name = "total_fee", title = "总费用", type = "decimal", scale = 2, min = 0 },
  { name = "first_visit", title = "初诊", type = "boolean" },
  { name = "revision_mark", title = "修改标志", type = "code", table = "mark" },
]
[person]
local_no = "patient_no"
phone = "phone"
[[rules]]
check = "not_future"
field = "visit_time"
[[rules]]
check = "date_order"
earlier = "visit_time"
later = "ended_at"
[[rules]]
check = "citizen_id"
field = "credential_no"
kind = "credential_kind"
[[rules]]
check = "agrees_with_citizen_id"
number = "credential_no"
sex = "sex"
birth = "birth_date"
[[rules]]
check = "format"
field = "diagnosis_code"
pattern = "icd10"
[[rules]]
check = "format"
field = "patient_name"
pattern = "person_name"
[[rules]]
check = "sum_equals"
field = "total_fee"
parts = ["drug_fee", "other_fee"]
[[rules]]
check = "timely"
days = 3
"#;

const ROW: [&str; 25] = [
    "MZ20250304000123",
    "P00012345",
    "张建国",
    "2",
    "1949-12-31",
    "01",
    "11010519491231002X",
    "13800138000",
    "2025-03-03 08:15:30",
    "2025-03-03 08:40:00",
    "0301",
    "心血管内科",
    "D1024",
    "李明",
    "头晕、头痛3天，加重1天",
    "36.5",
    "148",
    "92",
    "I10.x00",
    "高血压病",
    "86.40",
    "25.00",
    "111.40",
    "1",
    "0",
];

fn main() {
    let table = |id: &str, codes: &str| format!("# id: {id}\n# name: {id}\ncode\tname\n{codes}");
    let (sex, kind, mark) = (
        table("sex", "1\t男性\n2\t女性\n9\t未说明\n"),
        table("kind", "01\t居民身份证\n03\t护照\n"),
        table("mark", "0\t新增\n1\t修改\n2\t撤销\n"),
    );
    let definition = FIELDS.replace("occurred = ", "revision = \"revision_mark\"\noccurred = ");
    let catalog = load([
        ("datasets/speed.toml", definition.as_str()),
        ("codes/sex.tsv", &sex),
        ("codes/kind.tsv", &kind),
        ("codes/mark.tsv", &mark),
    ])
    .expect("the definition is sound");
    let dataset = &catalog.datasets[0];
    let rows: Vec<RawRow> = (0..2000)
        .map(|number| {
            let mut cells: Vec<Option<Box<str>>> = ROW.iter().map(|text| Some((*text).into())).collect();
            cells[0] = Some(format!("MZ2025030400{number:04}").into());
            if number % 20 == 0 {
                cells[22] = Some("999".into());
            }
            RawRow { number, cells }
        })
        .collect();
    let now = chrono::NaiveDate::from_ymd_opt(2025, 3, 4).and_then(|d| d.and_hms_opt(12, 0, 0)).unwrap();
    let checker = Checker::new(dataset, Arc::new(catalog.tables.clone()));

    const ROUNDS: usize = 500;
    let total = (ROUNDS * rows.len()) as f64;
    let mut counts = RuleCounts::new(dataset.rules.len());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for row in &rows {
            let checked = black_box(checker.check(row, now));
            counts.add(&checked);
        }
    }
    let checking = total / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for row in &rows {
            let values: Vec<Value> =
                row.cells.iter().map(|c| c.clone().map_or(Value::Null, Value::Text)).collect();
            black_box(values);
        }
    }
    let copying = total / start.elapsed().as_secs_f64();
    let failed: u64 = counts.failed.iter().sum();
    println!(
        "{} fields, {} rules: {checking:.0} rows/s checked, {copying:.0} rows/s only copied, ratio {:.2}; {failed} issues",
        dataset.fields.len(),
        dataset.rules.len(),
        checking / copying
    );
}
