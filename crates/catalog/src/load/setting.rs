//! Settings that an operator may change while the program runs: `settings/*.toml`.

use std::collections::HashMap;

use crate::model::{Setting, SettingKind, SettingValue};
use crate::problem::Problem;
use crate::source::Table;

/// The settings of a file, each with the path of its file.
pub(super) fn read(root: Table<'_>) -> Vec<(String, Setting)> {
    let file = root.source.file().to_owned();
    let group = root.needed("group").value.to_owned();
    let mut settings = Vec::new();
    for table in root.tables("setting") {
        let at = table.at;
        let code = table.needed("code");
        if !code.value.is_empty() && !well_formed(code.value) {
            table.report(code.at, "“code”应为 部分.名称，由小写字母、数字和下划线组成");
        }
        let kind = kind(&table);
        let default = match &kind {
            Some(SettingKind::Flag) => table.flag("default").map(SettingValue::Flag),
            Some(SettingKind::Whole { .. }) => table.number("default").map(|n| SettingValue::Whole(n as i64)),
            _ => Some(SettingValue::Text(table.string("default"))),
        };
        let setting = kind.zip(default).map(|(kind, default)| Setting {
            code: code.value.to_owned(),
            title: table.needed("title").value.to_owned(),
            description: table.string("description"),
            group: group.clone(),
            kind,
            default,
            unit: table.string("unit"),
            restart: table.flag("restart").unwrap_or(false),
            source: table.string("source"),
        });
        match setting {
            Some(setting) => {
                if let Err(why) = setting.accepts(&setting.default) {
                    table.report(at, format!("“default”{why}"));
                }
                settings.push((file.clone(), setting));
                table.finish();
            }
            None => table.report(at, "设置项缺少 kind 或 default"),
        }
    }
    root.finish();
    settings
}

fn kind(table: &Table<'_>) -> Option<SettingKind> {
    let kind = table.needed("kind");
    match kind.value {
        "flag" => Some(SettingKind::Flag),
        "whole" => Some(SettingKind::Whole {
            min: table.number("min").unwrap_or(0.0) as i64,
            max: table.number("max").unwrap_or(1_000_000_000.0) as i64,
        }),
        "text" => Some(SettingKind::Text { max: table.number("max").unwrap_or(200.0) as usize }),
        "choice" => {
            let words = table
                .texts("choices")
                .iter()
                .map(|word| match word.value.split_once('=') {
                    Some((word, name)) => (word.to_owned(), name.to_owned()),
                    None => (word.value.to_owned(), word.value.to_owned()),
                })
                .collect();
            Some(SettingKind::Choice(words))
        }
        other => {
            table.report(kind.at, format!("不认识的 kind“{other}”：应为 flag whole text choice 之一"));
            None
        }
    }
}

fn well_formed(code: &str) -> bool {
    code.split_once('.').is_some_and(|(part, name)| !part.is_empty() && !name.is_empty())
        && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.'))
}

/// Codes of settings must differ.
pub(super) fn check(settings: &[(String, Setting)], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (file, setting) in settings {
        if let Some(other) = seen.insert(&setting.code, file) {
            problems.push(Problem::new(file, 1, format!("设置项“{}”已在 {other} 中定义", setting.code)));
        }
    }
}
