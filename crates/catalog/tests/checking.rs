//! Tables of cases for the checks, headings, titles and digests, over one small data set that has every kind of rule.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use catalog::load::load;
use catalog::{Catalog, Checked, Checker, Dataset, RawRow, Value, map_headings, title};
use chrono::{NaiveDate, NaiveDateTime};
use proptest::prelude::*;

const SEX: &str = "# id: sex\n# name: 性别\ncode\tname\n1\t男性\n2\t女性\n9\t未说明\n";
const KIND: &str = "# id: kind\n# name: 证件\n# complete: no\ncode\tname\n01\t居民身份证\n03\t护照（外国）\n";

const STAY: &str = r#"
number = 1
code = "stay"
name = "住院"
key = ["no"]
occurred = "admitted"
revision = "mark"
fields = [
  { name = "no", title = "住院号", element = "DE01", type = "text", max = 5, required = true, aliases = ["ZYH"] },
  { name = "patient", title = "患者编号", type = "text", max = 20, required = true },
  { name = "kind", title = "证件类型", type = "code", table = "kind" },
  { name = "id_no", title = "证件号码", type = "text", max = 20 },
  { name = "sex", title = "性别", type = "code", table = "sex", recommended = true },
  { name = "birth", title = "出生日期", element = "DE02", type = "date" },
  { name = "admitted", title = "入院时间", element = "DE02", type = "datetime", required = true },
  { name = "discharged", title = "出院日期", type = "date" },
  { name = "bed_fee", title = "床位费", type = "decimal", scale = 2 },
  { name = "drug_fee", title = "药费", type = "decimal", scale = 2 },
  { name = "total_fee", title = "总费用", type = "decimal", scale = 2, unit = "元", min = 0, max_value = 10000 },
  { name = "days", title = "天数", type = "integer" },
  { name = "price", title = "单价", type = "decimal", scale = 2 },
  { name = "phone", title = "电话", type = "text", max = 20 },
  { name = "diagnosis", title = "诊断", type = "text", max = 20 },
  { name = "died", title = "死亡", type = "boolean" },
  { name = "cause", title = "死因", type = "text", max = 50 },
  { name = "mark", title = "修改标志", type = "integer" },
]
[person]
local_no = "patient"
phone = "phone"
[[rules]]
check = "format"
field = "phone"
pattern = "phone"
[[rules]]
check = "format"
field = "diagnosis"
pattern = "icd10"
[[rules]]
check = "required_if"
field = "cause"
other = "died"
equals = ["是"]
[[rules]]
check = "required_if"
field = "price"
other = "bed_fee"
[[rules]]
check = "any_of"
fields = ["id_no", "phone"]
[[rules]]
check = "date_order"
earlier = "admitted"
later = "discharged"
[[rules]]
check = "not_future"
field = "admitted"
[[rules]]
check = "sum_equals"
field = "total_fee"
parts = ["bed_fee", "drug_fee"]
[[rules]]
check = "product_equals"
field = "bed_fee"
factors = ["days", "price"]
tolerance = 1
[[rules]]
check = "citizen_id"
field = "id_no"
kind = "kind"
[[rules]]
check = "agrees_with_citizen_id"
number = "id_no"
sex = "sex"
birth = "birth"
[[rules]]
check = "timely"
days = 3
"#;

struct Fixture {
    catalog: Catalog,
    checker: Checker,
}

fn fixture() -> Fixture {
    let files = [("datasets/stay.toml", STAY), ("codes/sex.tsv", SEX), ("codes/kind.tsv", KIND)];
    let catalog = load(files).map_err(|p| format!("{p:?}")).unwrap();
    let checker = Checker::new(&catalog.datasets[0], Arc::new(catalog.tables.clone()));
    Fixture { catalog, checker }
}

fn now() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2025, 3, 4).unwrap().and_hms_opt(12, 0, 0).unwrap()
}

impl Fixture {
    fn dataset(&self) -> &Dataset {
        &self.catalog.datasets[0]
    }
    /// A row that breaks no rule, with some cells changed.
    fn row(&self, changes: &[(&str, &str)]) -> RawRow {
        let mut cells: Vec<Option<Box<str>>> = vec![None; self.dataset().fields.len()];
        let sound = [
            ("no", "Z1"),
            ("patient", "P1"),
            ("kind", "01"),
            ("id_no", "11010519491231002X"),
            ("sex", "2"),
            ("admitted", "2025-03-03 08:00"),
        ];
        for (name, text) in sound.iter().chain(changes) {
            cells[self.dataset().field(name).unwrap()] = Some((*text).into());
        }
        RawRow { number: 7, cells }
    }
    fn check(&self, changes: &[(&str, &str)]) -> Checked {
        self.checker.check(&self.row(changes), now())
    }
    fn broken(&self, checked: &Checked) -> Vec<&str> {
        checked.issues.iter().map(|i| self.dataset().rules[usize::from(i.rule)].code.as_str()).collect()
    }
    fn value<'a>(&self, checked: &'a Checked, name: &str) -> &'a Value {
        &checked.values[self.dataset().field(name).unwrap()]
    }
}

#[test]
fn each_rule_fails_passes_and_stands_aside() {
    let f = fixture();
    // Changes to a sound row, the rules broken, whether it is rejected.
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str], bool);
    let cases: &[Case] = &[
        (&[], &[], false),
        (&[("no", "")], &["no.required"], true),
        (&[("no", " \u{3000} ")], &["no.required"], true),
        (&[("no", "123456")], &["no.length"], true),
        (&[("no", "一二三四五")], &[], false),
        (&[("no", "一二三四五六")], &["no.length"], true),
        (&[("sex", "")], &["sex.required"], false),
        (&[("sex", "3")], &["sex.in_table"], false),
        (&[("sex", "女性")], &[], false),
        (&[("sex", "２")], &[], false),
        (&[("kind", "88"), ("id_no", "X")], &["kind.in_table"], false),
        (&[("admitted", "昨天")], &["admitted.type"], true),
        (&[("admitted", "")], &["admitted.required"], true),
        (&[("admitted", "2025-03-04 12:09")], &[], false),
        (&[("admitted", "2025-03-04 12:11")], &["admitted.not_future"], true),
        (&[("admitted", "2025-03-01 12:00")], &[], false),
        (&[("admitted", "2025-03-01 11:59")], &["admitted.timely"], false),
        (&[("discharged", "2025-03-03")], &[], false),
        (&[("discharged", "2025-03-02")], &["discharged.date_order"], false),
        (&[("total_fee", "-1")], &["total_fee.range"], false),
        (&[("total_fee", "10000")], &[], false),
        (&[("total_fee", "10000.01")], &["total_fee.range"], false),
        (&[("total_fee", "一百")], &["total_fee.type"], true),
        (&[("total_fee", "30"), ("drug_fee", "30.01")], &[], false),
        (&[("total_fee", "30"), ("drug_fee", "30.02")], &["total_fee.sum_equals"], false),
        (&[("drug_fee", "30")], &[], false),
        (&[("bed_fee", "100"), ("days", "3"), ("price", "33.33")], &[], false),
        (&[("bed_fee", "100"), ("days", "3"), ("price", "30")], &["bed_fee.product_equals"], false),
        (&[("bed_fee", "100"), ("days", "3")], &["price.required_if"], false),
        (&[("days", "2.5")], &["days.type"], true),
        (&[("phone", "13800138000")], &[], false),
        (&[("phone", "１３８００１３８０００")], &[], false),
        (&[("phone", "无")], &["phone.format"], false),
        (&[("diagnosis", "I10.x00")], &[], false),
        (&[("diagnosis", "高血压")], &["diagnosis.format"], false),
        (&[("died", "是")], &["cause.required_if"], false),
        (&[("died", "1"), ("cause", "肺炎")], &[], false),
        (&[("died", "否")], &[], false),
        (&[("died", "maybe")], &["died.type"], true),
        (&[("id_no", "")], &["id_no.any_of"], false),
        (&[("id_no", ""), ("phone", "13800138000")], &[], false),
        (&[("id_no", "110105194912310021")], &["id_no.citizen_id"], false),
        (&[("id_no", "110105194912310021"), ("kind", "03")], &[], false),
        (&[("id_no", "110105194912310021"), ("kind", "")], &["id_no.citizen_id"], false),
        (&[("id_no", "E12345678"), ("kind", "")], &[], false),
        (&[("sex", "1")], &["id_no.agrees_with_citizen_id"], false),
        (&[("sex", "9")], &[], false),
        (&[("birth", "1949-12-31")], &[], false),
        (&[("birth", "1949-12-30")], &["id_no.agrees_with_citizen_id"], false),
        (&[("mark", "修改")], &[], false),
        (&[("mark", "5")], &["mark.type"], true),
        (&[("mark", "2"), ("sex", ""), ("patient", ""), ("id_no", ""), ("total_fee", "-1")], &[], false),
        (&[("mark", "2"), ("admitted", "")], &["admitted.required"], true),
        (&[("mark", "撤销"), ("no", "")], &["no.required"], true),
        (&[("mark", "2"), ("admitted", "昨天")], &["admitted.type"], true),
    ];
    for (changes, rules, rejected) in cases {
        let checked = f.check(changes);
        assert_eq!(&f.broken(&checked), rules, "{changes:?}");
        assert_eq!(checked.rejected, *rejected, "{changes:?}");
        assert_eq!(checked.number, 7);
        for issue in &checked.issues {
            assert!(checked.applicable.contains(issue.rule), "a broken rule applied: {changes:?}");
        }
    }
}

#[test]
fn values_are_typed_and_canonical() {
    let f = fixture();
    let checked = f.check(&[
        ("sex", " 女性 "),
        ("kind", "护照（外国）"),
        ("id_no", "11010519491231002x"),
        ("bed_fee", "1,234.5"),
        ("birth", "1949年12月31日"),
        ("died", "N"),
        ("phone", "１３８"),
        ("diagnosis", "Ａ\u{0}B"),
        ("mark", "新增"),
    ]);
    assert_eq!(f.value(&checked, "sex").text(), Some("2"));
    assert_eq!(f.value(&checked, "kind").text(), Some("03"));
    assert_eq!(f.value(&checked, "id_no").text(), Some("11010519491231002X"));
    assert_eq!(f.value(&checked, "bed_fee").decimal().unwrap().to_string(), "1234.50");
    assert_eq!(f.value(&checked, "birth").date(), NaiveDate::from_ymd_opt(1949, 12, 31));
    assert_eq!(f.value(&checked, "died"), &Value::Boolean(false));
    assert_eq!(f.value(&checked, "phone").text(), Some("138"));
    assert_eq!(f.value(&checked, "diagnosis").text(), Some("ＡB"));
    assert_eq!(f.value(&checked, "mark"), &Value::Integer(0));
    assert!(!checked.withdrawn && f.check(&[("mark", "2")]).withdrawn);
}

#[test]
fn what_applied_is_told_for_every_row() {
    let f = fixture();
    let checked = f.check(&[]);
    let applied: Vec<&str> =
        checked.applicable.iter().map(|r| f.dataset().rules[usize::from(r)].code.as_str()).collect();
    assert!(applied.contains(&"sex.required") && applied.contains(&"id_no.citizen_id"));
    for absent in
        ["total_fee.range", "phone.format", "discharged.date_order", "cause.required_if", "price.required_if"]
    {
        assert!(!applied.contains(&absent), "{absent}");
    }
}

#[test]
fn issues_point_to_the_cell_that_is_wrong() {
    let f = fixture();
    let long = "长".repeat(500);
    for (name, text, field, value) in [
        ("birth", "1949-12-30", "birth", "1949-12-30".to_owned()),
        ("sex", "1", "sex", "1".to_owned()),
        ("admitted", " 昨天 ", "admitted", " 昨天 ".to_owned()),
        ("no", long.as_str(), "no", "长".repeat(200)),
    ] {
        let checked = f.check(&[(name, text)]);
        assert_eq!(checked.issues[0].field, f.dataset().field(field).map(|p| p as u16));
        assert_eq!(checked.issues[0].value, value);
    }
}

#[test]
fn the_digest_is_of_the_content() {
    let f = fixture();
    let digest = |changes: &[(&str, &str)]| f.check(changes).digest;
    let base = digest(&[("bed_fee", "5"), ("birth", "1949-12-31")]);
    // The same content written otherwise, and the revision mark, change nothing.
    assert_eq!(base, digest(&[("bed_fee", "5.00"), ("birth", "19491231"), ("sex", "女性"), ("mark", "1")]));
    assert_eq!(base, digest(&[("bed_fee", "5"), ("birth", "1949-12-31"), ("id_no", " 11010519491231002x ")]));
    for changes in [
        &[("bed_fee", "5.01"), ("birth", "1949-12-31")][..],
        &[("bed_fee", ""), ("birth", "1949-12-31")],
        &[("drug_fee", "5"), ("birth", "1949-12-31")],
        &[("bed_fee", "5"), ("birth", "1949-12-31"), ("cause", "x")],
    ] {
        assert_ne!(base, digest(changes), "{changes:?}");
    }
    assert_ne!(
        digest(&[("diagnosis", "AB"), ("cause", "C")]),
        digest(&[("diagnosis", "A"), ("cause", "BC")])
    );
    // A new field in the middle of the definition leaves old rows as they were.
    let wider = STAY.replace(
        "  { name = \"phone\"",
        "  { name = \"bed\", title = \"床号\", type = \"text\", max = 5 },\n  { name = \"phone\"",
    );
    let files = [("datasets/stay.toml", wider.as_str()), ("codes/sex.tsv", SEX), ("codes/kind.tsv", KIND)];
    let catalog = load(files).map_err(|p| format!("{p:?}")).unwrap();
    let checker = Checker::new(&catalog.datasets[0], Arc::new(catalog.tables.clone()));
    let wide = Fixture { catalog, checker };
    let changes = [("phone", "13800138000"), ("bed_fee", "5")];
    assert_eq!(digest(&changes), wide.check(&changes).digest);
}

#[test]
fn headings_lead_to_fields() {
    let f = fixture();
    let headings = ["\u{feff}ＺＹＨ", " 患者编号 ", "ADMITTED", "备注", "性别", "\"birth\"", ""];
    let mapping = map_headings(f.dataset(), &headings).unwrap();
    let at = |name: &str| mapping.columns[f.dataset().field(name).unwrap()];
    assert_eq!(
        (at("no"), at("patient"), at("admitted"), at("sex"), at("birth"), at("phone")),
        (Some(0), Some(1), Some(2), Some(4), Some(5), None)
    );
    assert_eq!(mapping.fields[4], f.dataset().field("sex"));
    assert_eq!(mapping.unknown, ["备注"]);
    for (headings, parts) in [
        (&["DE01", "patient", "admitted", "no"][..], &["第 1 列“DE01”与第 4 列“no”都是“住院号”"][..]),
        (
            &["no", "patient", "de02"],
            &["共用的数据元标识", "出生日期（birth）、入院时间（admitted）", "缺少必需的列：“入院时间”"],
        ),
        (&[], &["“住院号”（no）、“患者编号”（patient）、“入院时间”（admitted）"]),
    ] {
        let error = map_headings(f.dataset(), headings).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part} not in {error}");
        }
    }
}

#[test]
fn titles_show_codes_by_name_and_empties_vanish() {
    let f = fixture();
    let checked = f.check(&[("total_fee", "12.5"), ("discharged", "20250304"), ("died", "0")]);
    let render = |template: &str| {
        let text = STAY.replace("[[rules]]\ncheck = \"format\"\nfield = \"phone\"", &format!(
            "[record]\nsection = \"visit\"\nlabel = \"住院\"\ntitle = \"{template}\"\n[[rules]]\ncheck = \"format\"\nfield = \"phone\""
        ));
        let catalog =
            load([("datasets/stay.toml", text.as_str()), ("codes/sex.tsv", SEX), ("codes/kind.tsv", KIND)])
                .unwrap();
        let parts = &catalog.datasets[0].record.as_ref().unwrap().title;
        title::render(parts, &catalog.datasets[0], &checked.values, &catalog.tables)
    };
    for (template, expected) in [
        ("{sex}", "女性"),
        (" {cause}  {sex} {phone} ", "女性"),
        ("{sex}·{total_fee}元 {discharged}", "女性·12.50元 2025-03-04"),
        ("{admitted} {died}", "2025-03-03 08:00 否"),
        ("{cause}", ""),
    ] {
        assert_eq!(render(template), expected, "{template}");
    }
}

proptest! {
    #[test]
    fn arbitrary_cells_never_panic(cells in prop::collection::vec(prop::option::of("[\\PC\u{0}]{0,40}"), 0..30)) {
        let f = fixture();
        let raw = RawRow { number: 1, cells: cells.into_iter().map(|c| c.map(String::into_boxed_str)).collect() };
        let checked = f.checker.check(&raw, now());
        prop_assert_eq!(checked.values.len(), f.dataset().fields.len());
        prop_assert_eq!(checked.digest, f.checker.check(&raw, now()).digest);
    }

    #[test]
    fn number_and_date_like_cells_never_panic(text in "[0-9,.:TZ+ -]{0,40}") {
        let f = fixture();
        let cells = vec![Some(text.into_boxed_str()); f.dataset().fields.len()];
        let _ = f.checker.check(&RawRow { number: 1, cells }, NaiveDateTime::MAX);
    }
}
