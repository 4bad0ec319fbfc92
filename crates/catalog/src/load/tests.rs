//! Tests of the loader: a sound catalogue, and broken ones with every problem on its line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::load;
use crate::model::{Check, Dimension, EntryKind, TitlePart};
use crate::problem::Problem;
use crate::role::RoleSpan;

const SEX: &str =
    "# id: sex\n# name: 性别代码\n# standard: GB/T 2261.1\n# complete: yes\ncode\tname\n1\t男性\n2\t女性\n";

const VISIT: &str = r#"
number = 2
code = "visit"
name = "就诊"
aliases = ["TB_VISIT"]
key = ["visit_no"]
occurred = "visit_time"
fields = [
  { name = "visit_no", title = "流水号", type = "text", max = 20, required = true },
  { name = "patient_no", title = "患者编号", type = "text", max = 20, required = true },
  { name = "sex", title = "性别", type = "code", table = "sex", recommended = true },
  { name = "visit_time", title = "就诊时间", type = "datetime", required = true },
  { name = "fee", title = "费用", type = "decimal", scale = 2, min = 0, max_value = 1000 },
]
[person]
local_no = "patient_no"
[record]
section = "visit"
label = "门诊"
title = "{sex} 就诊"
[[rules]]
check = "not_future"
field = "visit_time"
weight = 3
[[rules]]
check = "range"
field = "fee"
max = 500
reject = true
[[rules]]
check = "sum_of_children"
field = "fee"
child = "item"
child_field = "amount"
"#;

const ITEM: &str = r#"
number = 3
code = "item"
name = "明细"
key = ["visit_no", "item_no"]
occurred = "made_on"
fields = [
  { name = "visit_no", title = "流水号", type = "text", max = 20, required = true },
  { name = "item_no", title = "序号", type = "integer", required = true },
  { name = "made_on", title = "日期", type = "date", required = true },
  { name = "amount", title = "金额", type = "decimal", scale = 2 },
]
[parent]
dataset = "visit"
fields = ["visit_no"]
[[rules]]
check = "belongs_to"
"#;

fn problems(files: &[(&str, &str)]) -> Vec<Problem> {
    load(files.iter().copied()).map(|_| ()).expect_err("should have problems")
}

#[test]
fn a_sound_catalogue_is_compiled() {
    let role = "code = \"doctor\"\nname = \"医生\"\ngrants = [{ line = \"medical\", acts = [\"read\", \"export\"], span = \"region\" }]";
    let menu = "[[item]]\ntitle = \"居民\"\npath = \"/persons\"\nneed = { line = \"medical\", act = \"read\" }\n[[item]]\ntitle = \"首页\"\npath = \"/\"\n";
    let catalog = load([
        ("datasets/visit.toml", VISIT),
        ("datasets/item.toml", ITEM),
        ("codes/sex.tsv", SEX),
        ("roles/doctor.toml", role),
        ("menu.toml", menu),
        ("quality.toml", "completeness = 30\ncorrectness = 30\ntimeliness = 20\nlogic = 20"),
    ])
    .map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>())
    .unwrap();
    let visit = catalog.dataset("tb_visit").unwrap();
    assert_eq!((visit.number, visit.table().as_str()), (2, "fact_visit"));
    assert_eq!(catalog.dataset_by_number(3).unwrap().code, "item");
    let codes: Vec<&str> = visit.rules.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "visit_no.length",
            "visit_no.required",
            "patient_no.length",
            "patient_no.required",
            "sex.length",
            "sex.in_table",
            "sex.required",
            "visit_time.type",
            "visit_time.required",
            "fee.type",
            "fee.range",
            "visit_time.not_future",
            "fee.sum_of_children",
        ]
    );
    let rule = |code: &str| visit.rules.iter().find(|r| r.code == code).unwrap();
    assert_eq!(rule("fee.range").check, Check::Range { min: Some(0.0), max: Some(500.0) });
    assert!(rule("fee.range").reject && rule("visit_no.required").reject && !rule("sex.required").reject);
    assert_eq!(
        (rule("visit_time.not_future").weight, rule("visit_time.not_future").dimension),
        (3.0, Dimension::Logic)
    );
    assert!(visit.rules.iter().all(|r| !r.message.is_empty() && !r.hint.is_empty()));
    assert_eq!(rule("sex.in_table").hint, "请使用“性别代码”（GB/T 2261.1）的代码或名称：1 男性，2 女性");
    let record = visit.record.as_ref().unwrap();
    assert_eq!(record.entry, EntryKind::Timeline);
    assert_eq!(record.title, [TitlePart::Field(2), TitlePart::Text(" 就诊".into())]);
    assert_eq!(catalog.roles[0].grants.len(), 2);
    assert_eq!(catalog.roles[0].grants[0].span, RoleSpan::Region);
    assert_eq!(catalog.menu.len(), 2);
    assert!(catalog.menu[0].need.is_some() && catalog.menu[1].need.is_none());
    assert_eq!(catalog.quality.weights, [30.0, 30.0, 20.0, 20.0]);
}

#[test]
fn every_problem_of_a_broken_data_set_is_found_with_its_line() {
    let broken = r#"number = 0
code = "Broken"
name = "坏"
key = ["no", "nothing"]
occurred = "fee"
colour = "red"
fields = [
  { name = "no", title = "号", type = "text" },
  { name = "id", title = "标识", type = "integer", required = true },
  { name = "Fee", title = "费用", type = "money" },
  { name = "fee", title = "费用", type = "decimal", scale = 9, max = 3 },
  { name = "sex", title = "性别", type = "code", table = "gender", size = 3 },
  { name = "secret", title = "秘密", type = "text", max = 5, sensitivity = "restricted" },
  { name = "order", title = "顺序", type = "text", max = "5" },
]
[person]
local_no = "nobody"
[record]
section = "visits"
label = "坏"
title = "{secret} {who}"
[expect]
senders = ["moon"]
[parent]
dataset = "nowhere"
fields = ["no"]
[[rules]]
check = "not_future"
field = "no"
[[rules]]
check = "guess"
weight = -1
[[rules]]
check = "timely"
days = 1
reject = true
[[rules]]
check = "required_if"
field = "no"
other = "fee"
equals = ["many"]
extra = 1
[[rules]]
check = "belongs_to"
code = "a"
[[rules]]
check = "required"
field = "secret"
code = "a"
"#;
    let found = problems(&[("datasets/broken.toml", broken), ("codes/sex.tsv", SEX)]);
    for (line, part) in [
        (1, "number"),
        (2, "code"),
        (4, "nothing"),
        (5, "occurred"),
        (6, "colour"),
        (8, "缺少“max”"),
        (8, "业务主键"),
        (9, "系统列名"),
        (10, "money"),
        (10, "Fee"),
        (11, "scale"),
        (11, "不能有“max”"),
        (11, "已是字段"),
        (12, "gender"),
        (12, "size"),
        (14, "保留字"),
        (14, "max"),
        (17, "nobody"),
        (19, "visits"),
        (21, "受限字段“secret”"),
        (21, "who"),
        (23, "moon"),
        (24, "nowhere"),
        (29, "不是日期或时间类型"),
        (31, "guess"),
        (33, "不能拒收"),
        (41, "many"),
        (42, "extra"),
    ] {
        assert!(
            found.iter().any(|p| p.line == line && p.message.contains(part)),
            "line {line} should say {part}; found:\n{}",
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
    }
    assert!(found.iter().any(|p| p.message.contains("规则代码“a”重复")));
    assert!(found.iter().all(|p| p.file == "datasets/broken.toml"));
    assert!(found.is_sorted());
}

#[test]
fn data_sets_must_agree_with_each_other() {
    let twin = VISIT.replace("\"visit\"\nname", "\"twin\"\nname");
    let child = ITEM
        .replace("fields = [\"visit_no\"]", "fields = [\"item_no\", \"visit_no\"]")
        .replace("name = \"amount\"", "name = \"price\"");
    let found = problems(&[
        ("codes/sex.tsv", SEX),
        ("datasets/a_visit.toml", VISIT),
        ("datasets/b_twin.toml", &twin),
        ("datasets/c_item.toml", &child),
    ]);
    let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "datasets/b_twin.toml:2: 编号 2 已用于数据集“visit”",
        "datasets/b_twin.toml:5: “TB_VISIT”已是数据集“visit”的代码或别名",
        "没有字段“amount”",
        "主键有 1 个字段，这里写了 2 个",
        "“item”的 [parent] 不是本数据集",
        "类型不同",
    ] {
        assert!(text.contains(part), "{part} not in:\n{text}");
    }
    let ring = VISIT.replacen(
        "[[rules]]",
        "[parent]\ndataset = \"item\"\nfields = [\"visit_no\", \"patient_no\"]\n[[rules]]",
        1,
    );
    let found =
        problems(&[("codes/sex.tsv", SEX), ("datasets/visit.toml", &ring), ("datasets/item.toml", ITEM)]);
    assert!(found.iter().any(|p| p.message.contains("成环")), "{found:?}");
}

#[test]
fn problems_of_other_files() {
    let table = "# id: sexes\n# nam: 性别\n# complete: maybe\ncode\tname\n1\t男\n1\t女\n2\n3\t\n4\t丁\t戊\n";
    let found = problems(&[
        ("codes/sex.tsv", table),
        ("codes/empty.tsv", ""),
        ("quality.toml", "completeness = 50\ncorrectness = 20\ntimeliness = 20\nlogic = 20\nluck = 1"),
        (
            "roles/a.toml",
            "code = \"x\"\nname = \"甲\"\ngrants = [\n{ line = \"magic\", acts = [\"fly\"], span = \"moon\" }]",
        ),
        ("roles/b.toml", "code = \"y\"\nname = "),
        ("menu.toml", "[[item]]\ntitle = \"x\"\npath = \"persons\"\nneed = { line = \"medical\" }"),
        ("notes.toml", ""),
    ]);
    let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "codes/sex.tsv:2: 不认识的表头项“nam”",
        "codes/sex.tsv:3: complete",
        "codes/sex.tsv:6: 代码“1”与第 5 行重复",
        "codes/sex.tsv:7:",
        "codes/sex.tsv:8: 代码和名称都不能为空",
        "codes/sex.tsv:9:",
        "codes/empty.tsv:1: 没有任何代码",
        "quality.toml:1: 四个维度的权重之和应为 100，现为 110",
        "quality.toml:5: 不认识的项“luck”",
        "roles/a.toml:4: 不认识的 line“magic”",
        "roles/a.toml:4: 不认识的 act“fly”",
        "roles/a.toml:4: 不认识的 span“moon”",
        "roles/b.toml:2: TOML 语法错误",
        "menu.toml:3: “path”应以 / 开头",
        "menu.toml:4: 缺少“act”",
        "notes.toml:1: 不认识的文件",
    ] {
        assert!(text.contains(part), "{part} not in:\n{text}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_is_a_problem_and_never_a_panic(text in "\\PC{0,200}", cut in 0usize..1500) {
        let _ = load([("datasets/x.toml", text.as_str()), ("codes/x.tsv", text.as_str()), ("menu.toml", text.as_str())]);
        let mut broken: String = VISIT.chars().take(cut).collect();
        broken.push_str(&text);
        let _ = load([("datasets/x.toml", broken.as_str()), ("codes/sex.tsv", SEX)]);
    }
}
