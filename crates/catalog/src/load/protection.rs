//! `sensitivity.toml` and `masks.toml`.

use std::collections::HashSet;

use super::Draft as DatasetDraft;
use crate::protection::{
    CodeSpan, FieldMask, FileClass, MASKED_KINDS, MaskLevel, MaskSight, Masks, Protection, ProtectionLevel,
    Recognise, SensitiveCategory,
};
use crate::source::{Source, Table};

/// Sensitivity as read, with where what must be compared with data sets stands.
pub(super) struct Sensitivity {
    protection: Protection,
    datasets: Vec<(String, usize)>,
    fields: Vec<(String, String, usize)>,
}

pub(super) fn sensitivity(root: Table<'_>) -> Sensitivity {
    let mut protection = Protection::default();
    for table in root.tables("level") {
        let number = table.whole::<u8>("number").map_or(0, |n| n.value);
        if !(1..=3).contains(&number) || protection.levels.iter().any(|l| l.number == number) {
            table.report(table.at, "“number”应为 1、2、3，各一次");
        }
        let flag = |key| table.flag(key).unwrap_or(false);
        protection.levels.push(ProtectionLevel {
            number,
            name: table.needed("name").value.to_owned(),
            description: table.string("description"),
            needs_purpose: flag("needs_purpose"),
            needs_category: flag("needs_category"),
            needs_second_factor: flag("needs_second_factor"),
            notifies: flag("notifies"),
            break_glass: flag("break_glass"),
        });
        table.finish();
    }
    if protection.levels.len() != 3 {
        root.report(0, "应有三个保护级别（[[level]]）");
    }
    let (mut datasets, mut fields) = (Vec::new(), Vec::new());
    if let Some(table) = root.table("recognise") {
        protection.recognise = Recognise {
            diagnosis_tables: words(&table, "diagnosis_tables"),
            operation_tables: words(&table, "operation_tables"),
            diagnosis_names: words(&table, "diagnosis_names"),
            drug_names: words(&table, "drug_names"),
            items: words(&table, "items"),
            departments: words(&table, "departments"),
            titles: words(&table, "titles"),
        };
        table.finish();
    }
    for table in root.tables("category") {
        let category = category(&table, &protection, &mut datasets, &mut fields);
        protection.categories.push(category);
        table.finish();
    }
    for table in root.tables("file_class") {
        let category = table.text("category");
        if let Some(word) = &category
            && protection.category(word.value).is_none()
        {
            table.report(word.at, format!("没有敏感类别“{}”", word.value));
        }
        let class = FileClass {
            code: table.needed("code").value.to_owned(),
            name: table.needed("name").value.to_owned(),
            level: level(&table),
            kinds: words(&table, "kinds"),
            words: words(&table, "words"),
            category: category.map(|word| word.value.to_owned()).unwrap_or_default(),
        };
        if protection.file_classes.iter().any(|c| c.code == class.code) {
            table.report(table.at, format!("文件类别“{}”重复", class.code));
        }
        protection.file_classes.push(class);
        table.finish();
    }
    root.finish();
    Sensitivity { protection, datasets, fields }
}

fn category(
    table: &Table<'_>,
    so_far: &Protection,
    datasets: &mut Vec<(String, usize)>,
    fields: &mut Vec<(String, String, usize)>,
) -> SensitiveCategory {
    let code = table.needed("code");
    if so_far.category(code.value).is_some() {
        table.report(code.at, format!("敏感类别“{}”重复", code.value));
    }
    let mut category = SensitiveCategory {
        code: code.value.to_owned(),
        name: table.needed("name").value.to_owned(),
        description: table.string("description"),
        level: level(table),
        source: table.needed("source").value.to_owned(),
        marks_person: table.flag("marks_person").unwrap_or(false),
        icd10: spans(table, "icd10"),
        operations: spans(table, "operations"),
        datasets: words(table, "datasets"),
        fields: Vec::new(),
        drugs: words(table, "drugs"),
        items: words(table, "items"),
        words: words(table, "words"),
        departments: words(table, "departments"),
    };
    datasets.extend(table.texts("datasets").iter().map(|word| (word.value.to_owned(), word.at)));
    for word in table.texts("fields") {
        match word.value.split_once('.') {
            Some((dataset, field)) => {
                category.fields.push((dataset.to_owned(), field.to_owned()));
                fields.push((dataset.to_owned(), field.to_owned(), word.at));
            }
            None => table.report(word.at, "“fields”的每一项应为 数据集.字段"),
        }
    }
    let recognised = category.icd10.len()
        + category.operations.len()
        + category.datasets.len()
        + category.fields.len()
        + category.drugs.len()
        + category.items.len()
        + category.words.len()
        + category.departments.len();
    if recognised == 0 && !category.marks_person {
        table.report(table.at, "没有写明如何识别（icd10、datasets、fields、drugs、items、words …）");
    }
    category
}

fn level(table: &Table<'_>) -> u8 {
    match table.whole::<u8>("level") {
        Some(level) if (1..=3).contains(&level.value) => level.value,
        Some(level) => {
            table.report(level.at, "“level”应为 1（普通）、2（敏感）或 3（严格限制）");
            3
        }
        None => {
            table.report(table.at, "缺少“level”");
            3
        }
    }
}

fn words(table: &Table<'_>, key: &'static str) -> Vec<String> {
    let list = table.texts(key);
    for word in list.iter().filter(|word| word.value.trim().is_empty()) {
        // An empty word would be found in every text.
        table.report(word.at, format!("“{key}”中有空的一项"));
    }
    list.iter().map(|word| word.value.to_owned()).collect()
}

fn spans(table: &Table<'_>, key: &'static str) -> Vec<CodeSpan> {
    table
        .texts(key)
        .iter()
        .filter_map(|word| {
            let span = CodeSpan::parse(word.value);
            if span.is_none() {
                table.report(word.at, format!("“{}”应为编码前缀（Z21）或范围（B20-B24）", word.value));
            }
            span
        })
        .collect()
}

impl Sensitivity {
    /// Compares with the data sets; without any (a part of a catalogue in a test) there is nothing to compare with.
    pub(super) fn check(self, source: &Source, drafts: &[DatasetDraft]) -> Protection {
        if drafts.is_empty() {
            return self.protection;
        }
        let find = |code: &str| drafts.iter().map(|d| &d.dataset).find(|d| d.code == code);
        for (code, at) in &self.datasets {
            if find(code).is_none() {
                source.report(*at, format!("没有数据集“{code}”"));
            }
        }
        for (code, field, at) in &self.fields {
            if !find(code).is_some_and(|d| d.fields.iter().any(|f| f.name == *field)) {
                source.report(*at, format!("没有字段“{code}.{field}”"));
            }
        }
        let named = |name: &String| drafts.iter().any(|d| d.dataset.fields.iter().any(|f| f.name == *name));
        let recognise = &self.protection.recognise;
        for name in [
            &recognise.diagnosis_names,
            &recognise.drug_names,
            &recognise.items,
            &recognise.departments,
            &recognise.titles,
        ]
        .into_iter()
        .flatten()
        .filter(|name| !named(name))
        {
            source.report(0, format!("[recognise]：没有一个数据集有字段“{name}”"));
        }
        self.protection
    }
}

/// Masks as read, with where roles stand.
pub(super) struct MaskDraft {
    masks: Masks,
    roles: Vec<(String, usize)>,
}

pub(super) fn masks(root: Table<'_>) -> MaskDraft {
    let mut masks = Masks::default();
    let mut roles = Vec::new();
    for table in root.tables("field") {
        let kind = table.needed("kind");
        if !MASKED_KINDS.contains(&kind.value) {
            table.report(
                kind.at,
                format!("不认识的 kind“{}”：应为 {} 之一", kind.value, MASKED_KINDS.join(" ")),
            );
        }
        masks.fields.push(FieldMask {
            kind: kind.value.to_owned(),
            title: table.needed("title").value.to_owned(),
            first: table.whole::<usize>("first").map_or(0, |n| n.value),
            last: table.whole::<usize>("last").map_or(0, |n| n.value),
            up_to: words(&table, "up_to"),
        });
        table.finish();
    }
    let described: HashSet<String> = masks.fields.iter().map(|f| f.kind.clone()).collect();
    for kind in MASKED_KINDS.iter().filter(|kind| !described.contains(**kind)) {
        root.report(0, format!("没有写明“{kind}”如何脱敏（[[field]]）"));
    }
    for table in root.tables("sight") {
        let mut sight = MaskSight {
            code: table.needed("code").value.to_owned(),
            name: table.needed("name").value.to_owned(),
            ..MaskSight::default()
        };
        for word in table.texts("roles") {
            sight.roles.push(word.value.to_owned());
            roles.push((word.value.to_owned(), word.at));
        }
        for (key, level) in [("whole", MaskLevel::Whole), ("part", MaskLevel::Part)] {
            for kind in table.texts(key) {
                if !MASKED_KINDS.contains(&kind.value) {
                    table.report(kind.at, format!("不认识的 kind“{}”", kind.value));
                } else if sight.levels.iter().any(|(known, _)| known == kind.value) {
                    table.report(kind.at, format!("“{}”写了两次", kind.value));
                } else {
                    sight.levels.push((kind.value.to_owned(), level));
                }
            }
        }
        masks.sights.push(sight);
        table.finish();
    }
    if masks.sights.iter().filter(|s| s.roles.is_empty()).count() != 1 {
        root.report(0, "应有且只有一个不写 roles 的 [[sight]]，用于其余所有角色");
    }
    root.finish();
    MaskDraft { masks, roles }
}

impl MaskDraft {
    /// Compares with the roles; without any there is nothing to compare with.
    pub(super) fn check(self, source: &Source, roles: &[String]) -> Masks {
        for (code, at) in self.roles.iter().filter(|_| !roles.is_empty()) {
            if !roles.contains(code) && !crate::protection::WITHOUT_ROLE.contains(&code.as_str()) {
                source.report(*at, format!("没有角色“{code}”"));
            }
        }
        self.masks
    }
}
