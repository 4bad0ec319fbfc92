//! One file of `registry/`.

use std::collections::HashMap;

use crate::codes::CodeTables;
use crate::model::{Check, Dataset, Expectation, FieldKind};
use crate::problem::Problem;
use crate::register::{Owner, Pick, Register};
use crate::source::Table;

use super::dataset::{Fields, check_headings, is_identifier, read_field, read_template};
use super::rules;

/// Checks that reject an entry: a register is kept by people who can mend at once what they typed.
fn rejects(check: &Check) -> bool {
    !matches!(check, Check::Required | Check::Timely { .. })
}

/// Reads a register and the path of its file; problems go to the source of `root`.
pub(super) fn read(root: Table<'_>, tables: &CodeTables) -> (String, Register) {
    let code = root.needed("code");
    if !code.value.is_empty() && !is_identifier(code.value, 30) {
        root.report(code.at, "“code”应为小写字母开头，只含小写字母、数字和下划线，不超过 30 个字符");
    }
    let name = root.needed("name").value.to_owned();
    let (mut fields, mut implied, mut field_at) = (Vec::new(), Vec::new(), Vec::new());
    for table in root.tables("fields") {
        field_at.push(table.at);
        let (field, extra) = read_field(table, tables);
        fields.push(field);
        implied.push(extra);
    }
    if fields.is_empty() {
        root.report(root.at, "没有任何字段（fields）");
    }
    check_headings(&root, &fields, &field_at);
    let find = Fields { list: &fields };
    let key = find.several(&root, "key");
    if key.is_empty() {
        root.report(root.at, "缺少“key”（在所属机构或人员之内区分条目的字段）");
    }
    for position in &key {
        if !fields[*position].required {
            root.report(
                field_at[*position],
                format!("字段“{}”是主键，必须写 required = true", fields[*position].name),
            );
        }
    }
    let owner_text = root.needed("owner");
    let owner = match owner_text.value {
        "itself" => Owner::Itself,
        "institution" => Owner::Institution,
        "staff" => Owner::Staff,
        other => {
            root.report(
                owner_text.at,
                format!("不认识的 owner“{other}”：应为 itself institution staff 之一"),
            );
            Owner::Institution
        }
    };
    for wanted in match owner {
        Owner::Itself => &["code", "name", "region"][..],
        Owner::Institution => &["institution"],
        Owner::Staff => &["institution", "staff_no"],
    } {
        if !fields.iter().any(|f| f.name == *wanted && f.required) {
            root.report(
                root.at,
                format!("owner = \"{}\" 的注册库必须有必填字段“{wanted}”", owner_text.value),
            );
        }
    }
    let mut sections = Vec::new();
    let mut placed = vec![false; fields.len()];
    for table in root.tables("sections") {
        let title = table.needed("title").value.to_owned();
        let list = find.several(&table, "fields");
        for position in &list {
            if std::mem::replace(&mut placed[*position], true) {
                table.report(table.at, format!("字段“{}”已在另一组（sections）中", fields[*position].name));
            }
        }
        table.finish();
        sections.push((title, list));
    }
    for (position, _) in placed.iter().enumerate().filter(|(_, placed)| !**placed) {
        root.report(field_at[position], format!("字段“{}”不在任何一组（sections）中", fields[position].name));
    }
    let of_sort = |key: &'static str, sort: &str, fits: fn(&FieldKind) -> bool| {
        let list = find.several(&root, key);
        for position in list.iter().filter(|p| !fits(&fields[**p].kind)) {
            root.report(
                field_at[*position],
                format!("“{key}”中的“{}”应为{sort}字段", fields[*position].name),
            );
        }
        list
    };
    let is_code = |kind: &FieldKind| matches!(kind, FieldKind::Code { .. });
    let filters = of_sort("filters", "代码", is_code);
    let statistics = of_sort("statistics", "代码", is_code);
    let measures =
        of_sort("measures", "数值", |kind| matches!(kind, FieldKind::Integer | FieldKind::Decimal { .. }));
    let expires = find.optional(&root, "expires");
    if let Some(position) = expires.filter(|p| fields[*p].kind != FieldKind::Date) {
        root.report(field_at[position], "“expires”应为 date 字段");
    }
    let mut picks = vec![None; fields.len()];
    for (key, pick) in [
        ("pick_institution", Pick::Institution),
        ("pick_region", Pick::Region),
        ("pick_department", Pick::Department),
    ] {
        for position in find.several(&root, key) {
            picks[position] = Some(pick);
        }
    }
    let file = root.source.file().to_owned();
    let mut register = Register {
        owner,
        unit: root.needed("unit").value.to_owned(),
        icon: root.string("icon"),
        title: read_template(&root, &find, "title"),
        sections,
        list: find.several(&root, "list"),
        filters,
        statistics,
        measures,
        expires,
        commission: find.several(&root, "commission"),
        own: find.several(&root, "own"),
        identifiers: find.several(&root, "identifiers"),
        picks,
        ended: root.text("ended").map_or("停用", |t| t.value).to_owned(),
        order: root.whole::<i32>("order").map_or(1000, |n| n.value),
        listed: root.flag("listed").unwrap_or(true),
        dataset: Dataset {
            number: 0,
            code: code.value.to_owned(),
            name,
            aliases: Vec::new(),
            standard: root.string("standard"),
            group: root.string("group"),
            description: root.string("description"),
            fields: Vec::new(),
            occurred: key.first().copied().unwrap_or(0),
            key,
            person: None,
            revision: None,
            parent: None,
            rules: Vec::new(),
            record: None,
            expect: Expectation { daily: false, senders: Vec::new() },
            probe: Default::default(),
        },
    };
    if register.title.is_empty() {
        root.report(root.at, "缺少“title”（条目在列表中的名称）");
    }
    let written = root.tables("rules");
    let softened: Vec<(String, bool)> = written
        .iter()
        .filter_map(|table| Some((table.text("code")?.value.to_owned(), table.flag("reject")?)))
        .collect();
    let mut links = Vec::new();
    let mut made = rules::read(&root, written, &register.dataset, &fields, &implied, tables, &mut links);
    if !links.is_empty() {
        root.report(root.at, "注册库的规则只看本条目，不能用 belongs_to 或 sum_of_children");
    }
    for rule in &mut made {
        if let Some((_, reject)) = softened.iter().find(|(code, _)| *code == rule.code) {
            rule.reject = *reject;
        } else if rejects(&rule.check) {
            rule.reject = true;
        }
    }
    register.dataset.rules = made;
    register.dataset.fields = fields;
    root.finish();
    (file, register)
}

/// Codes of registers must differ.
pub(super) fn check(registers: &[(String, Register)], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (file, register) in registers {
        if let Some(other) = seen.insert(register.code(), file) {
            problems.push(Problem::new(file, 1, format!("注册库代码“{}”已用于 {other}", register.code())));
        }
    }
}
