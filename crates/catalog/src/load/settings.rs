//! The menu and the weights of quality.

use kernel::{Act, Line, Need};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use crate::model::{Dimension, MenuItem, QualityWeights};
use crate::source::Table;

/// Reads a word of a closed set (`medical`, `read`) from `key`.
pub(super) fn word<T: for<'de> Deserialize<'de>>(table: &Table<'_>, key: &'static str) -> Option<T> {
    let text = table.needed(key);
    if text.value.is_empty() {
        return None;
    }
    let parsed = T::deserialize(StrDeserializer::<Error>::new(text.value)).ok();
    if parsed.is_none() {
        table.report(text.at, format!("不认识的 {key}“{}”", text.value));
    }
    parsed
}

/// `menu.toml`.
pub(super) fn menu(root: Table<'_>) -> Vec<MenuItem> {
    let mut items = Vec::new();
    for item in root.tables("item") {
        let path = item.needed("path");
        if !path.value.is_empty() && !path.value.starts_with('/') {
            item.report(path.at, "“path”应以 / 开头");
        }
        let need = item.table("need").and_then(|need| {
            let parsed = word::<Line>(&need, "line").zip(word::<Act>(&need, "act"));
            need.finish();
            parsed.map(|(line, act)| Need::new(line, act))
        });
        items.push(MenuItem {
            title: item.needed("title").value.to_owned(),
            icon: item.string("icon"),
            path: path.value.to_owned(),
            need,
            group: item.string("group"),
        });
        item.finish();
    }
    root.finish();
    items
}

/// `quality.toml`.
pub(super) fn quality(root: Table<'_>) -> QualityWeights {
    let weights = Dimension::ALL.map(|dimension| {
        let key = match dimension {
            Dimension::Completeness => "completeness",
            Dimension::Correctness => "correctness",
            Dimension::Timeliness => "timeliness",
            Dimension::Logic => "logic",
        };
        let weight = root.number(key).unwrap_or(0.0);
        if weight < 0.0 {
            root.report(0, format!("“{key}”不能为负"));
        }
        weight
    });
    let sum: f64 = weights.iter().sum();
    if (sum - 100.0).abs() > 0.001 {
        root.report(0, format!("四个维度的权重之和应为 100，现为 {sum}"));
    }
    root.finish();
    QualityWeights { weights }
}
