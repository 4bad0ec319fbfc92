//! Role templates, the menu and the weights of quality.

use std::collections::HashMap;

use kernel::{Act, Line, Need};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use crate::model::{Dimension, MenuItem, QualityWeights, Role, RoleGrant, RoleSpan};
use crate::problem::Problem;
use crate::source::Table;

/// Reads a word of a closed set (`medical`, `read`) from `key`.
fn word<T: for<'de> Deserialize<'de>>(table: &Table<'_>, key: &'static str) -> Option<T> {
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

/// A role and the path of its file.
pub(super) fn role(root: Table<'_>) -> Option<(String, Role)> {
    let code = root.needed("code").value.to_owned();
    let name = root.needed("name").value.to_owned();
    let description = root.string("description");
    let mut grants = Vec::new();
    for grant in root.tables("grants") {
        let line: Option<Line> = word(&grant, "line");
        let span_text = grant.needed("span");
        let span = match span_text.value {
            "institution" => Some(RoleSpan::Institution),
            "region" => Some(RoleSpan::Region),
            "city" => Some(RoleSpan::City),
            other => {
                grant.report(
                    span_text.at,
                    format!("不认识的 span“{other}”：应为 institution region city 之一"),
                );
                None
            }
        };
        let acts = grant.texts("acts");
        if acts.is_empty() {
            grant.report(grant.at, "“acts”不能为空");
        }
        for act in acts {
            match Act::deserialize(StrDeserializer::<Error>::new(act.value)) {
                Ok(act) => grants.extend(line.zip(span).map(|(line, span)| RoleGrant { line, act, span })),
                Err(_) => grant.report(
                    act.at,
                    format!(
                        "不认识的 act“{}”：应为 read write export manage approve grant reveal 之一",
                        act.value
                    ),
                ),
            }
        }
        grant.finish();
    }
    let file = root.source.file().to_owned();
    root.finish();
    (!code.is_empty()).then_some((file, Role { code, name, description, grants }))
}

/// Codes of roles must differ.
pub(super) fn check_roles(roles: &[(String, Role)], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (file, role) in roles {
        if let Some(other) = seen.insert(&role.code, file) {
            problems.push(Problem::new(file, 1, format!("角色代码“{}”已用于 {other}", role.code)));
        }
    }
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
