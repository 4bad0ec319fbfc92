//! Titles of the record browser where fields are empty.
#![allow(clippy::unwrap_used)]

use catalog::{Value, check, load, title};

const WAY: &str = "# id: way\n# name: 随访方式\n# complete: yes\ncode\tname\n1\t门诊\n2\t家庭\n";

/// A data set whose title is the template under test.
fn followup(template: &str) -> String {
    format!(
        r#"
number = 1
code = "followup"
name = "随访"
key = ["no"]
occurred = "day"
fields = [
  {{ name = "no", title = "编号", type = "text", max = 20, required = true }},
  {{ name = "day", title = "日期", type = "date", required = true }},
  {{ name = "way", title = "方式", type = "code", table = "way" }},
  {{ name = "systolic", title = "收缩压", type = "integer" }},
  {{ name = "diastolic", title = "舒张压", type = "integer" }},
  {{ name = "drug", title = "药物", type = "text", max = 50 }},
  {{ name = "dose", title = "剂量", type = "decimal", scale = 4 }},
  {{ name = "amount", title = "金额", type = "decimal", scale = 2 }},
]
[person]
local_no = "no"
[record]
section = "public_health"
label = "随访"
title = "{template}"
"#
    )
}

#[test]
fn an_empty_field_vanishes_with_what_is_written_beside_it() {
    for (template, filled, expected) in [
        ("{drug} 第{systolic}次", &[("drug", "甲"), ("systolic", "2")][..], "甲 第2次"),
        ("{drug} 第{systolic}次", &[("drug", "甲")], "甲"),
        ("随访 {systolic}/{diastolic}mmHg", &[("systolic", "138"), ("diastolic", "86")], "随访 138/86mmHg"),
        ("随访 {systolic}/{diastolic}mmHg", &[("systolic", "138")], "随访 138"),
        ("随访 {systolic}/{diastolic}mmHg", &[], "随访"),
        ("{way}（{drug}） 复诊", &[("way", "2")], "家庭 复诊"),
        ("{drug} {dose}g", &[("drug", " 氨氯  地平 "), ("dose", "0.5")], "氨氯 地平 0.5g"),
        ("{amount}元", &[("amount", "12.5")], "12.50元"),
        ("{drug}", &[], ""),
    ] {
        let dataset = followup(template);
        let catalog = load::load([("codes/way.tsv", WAY), ("datasets/followup.toml", &*dataset)]).unwrap();
        let dataset = catalog.dataset("followup").unwrap();
        let mut values = vec![Value::Null; dataset.fields.len()];
        for (name, text) in filled {
            let position = dataset.field(name).unwrap();
            values[position] = check::read_value(&dataset.fields[position].kind, text).unwrap();
        }
        let parts = &dataset.record.as_ref().unwrap().title;
        assert_eq!(
            title::render(parts, dataset, &values, &catalog.tables),
            expected,
            "{template} {filled:?}"
        );
    }
}
