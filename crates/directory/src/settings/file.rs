//! Settings as a TOML file: what is set, with the explanation of every setting; and back.

use std::fmt::Write as _;

use catalog::{SettingKind, SettingValue};
use kernel::{Refusal, Result};
use store::Settings;

/// A value that a file proposes.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The setting.
    pub code: String,
    /// Its value from then on.
    pub value: SettingValue,
}

fn literal(value: &SettingValue) -> String {
    match value {
        SettingValue::Flag(on) => on.to_string(),
        SettingValue::Whole(n) => n.to_string(),
        SettingValue::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
    }
}

/// Every setting: those that somebody set as values, the others as comments with their defaults.
pub fn export(options: &Settings) -> String {
    let mut text = String::from(
        "# 系统设置。以 # 开头的是默认值；去掉 # 并修改后，可在“系统设置”页面或用 minkang settings import 导入。\n",
    );
    let mut part = "";
    let mut definitions: Vec<_> = options.definitions().iter().collect();
    definitions.sort_by(|a, b| a.code.cmp(&b.code));
    for setting in definitions {
        let Some((own, name)) = setting.code.split_once('.') else { continue };
        if own != part {
            part = own;
            let _ = write!(text, "\n# {}\n[{own}]\n", setting.group);
        }
        let limits = match &setting.kind {
            SettingKind::Flag => "true 或 false".to_owned(),
            SettingKind::Whole { min, max } => format!("{min} 到 {max} {}", setting.unit),
            SettingKind::Text { max } => format!("不超过 {max} 个字"),
            SettingKind::Choice(words) => {
                words.iter().map(|(w, n)| format!("{w}（{n}）")).collect::<Vec<_>>().join("、")
            }
        };
        let _ = writeln!(text, "# {}：{}（{limits}）", setting.title, setting.description.replace('\n', " "));
        let value = options.value(&setting.code).unwrap_or_else(|| setting.default.clone());
        let mark = if options.is_set(&setting.code) { "" } else { "# " };
        let _ = writeln!(text, "{mark}{name} = {}", literal(&value));
    }
    text
}

/// Reads a file: every value that differs from the one in force.
///
/// # Errors
/// Names everything that is wrong at once: no TOML, unknown settings, values that are not accepted.
pub fn read(options: &Settings, text: &str) -> Result<Vec<Proposed>> {
    let table: toml::Table =
        text.trim_start_matches('\u{feff}').parse().map_err(|error: toml::de::Error| {
            Refusal::invalid("setting.file", format!("不是正确的 TOML 文件：{}", error.message()))
        })?;
    let (mut proposed, mut wrong) = (Vec::new(), Vec::new());
    for (part, values) in &table {
        let Some(values) = values.as_table() else {
            wrong.push(format!("“{part}”应写在 [部分] 之下"));
            continue;
        };
        for (name, value) in values {
            let code = format!("{part}.{name}");
            let Some(setting) = options.definitions().iter().find(|s| s.code == code) else {
                wrong.push(format!("没有设置项 {code}"));
                continue;
            };
            let value = match value {
                toml::Value::Boolean(on) => SettingValue::Flag(*on),
                toml::Value::Integer(n) => SettingValue::Whole(*n),
                toml::Value::String(text) => SettingValue::Text(text.clone()),
                _ => {
                    wrong.push(format!("{code} 的值应为文字、整数或 true/false"));
                    continue;
                }
            };
            match setting.accepts(&value) {
                Err(why) => wrong.push(format!("{code}（{}）{why}", setting.title)),
                Ok(()) if options.value(&code).as_ref() != Some(&value) => {
                    proposed.push(Proposed { code, value })
                }
                Ok(()) => {}
            }
        }
    }
    if wrong.is_empty() {
        Ok(proposed)
    } else {
        Err(Refusal::invalid(
            "setting.file",
            format!("有 {} 处错误，没有改动任何设置：{}。", wrong.len(), wrong.join("；")),
        )
        .into())
    }
}
