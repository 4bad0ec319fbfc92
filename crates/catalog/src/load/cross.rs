//! What several data sets must agree on: numbers, codes, parents and children.

use std::collections::{HashMap, HashSet};
use std::mem::discriminant;

use crate::model::FieldKind;

use super::{Draft, Link};

/// Checks the data sets against each other; gives the index by upper-cased code and alias.
pub(super) fn check(drafts: &[Draft]) -> HashMap<String, usize> {
    let mut numbers: HashMap<i16, usize> = HashMap::new();
    let mut by_code: HashMap<String, usize> = HashMap::new();
    for (position, draft) in drafts.iter().enumerate() {
        let dataset = &draft.dataset;
        if dataset.number > 0
            && let Some(other) = numbers.insert(dataset.number, position)
        {
            let other = &drafts[other].dataset.code;
            draft.source.report(draft.number_at, format!("编号 {} 已用于数据集“{other}”", dataset.number));
        }
        let names = std::iter::once((&dataset.code, draft.code_at))
            .chain(dataset.aliases.iter().zip(draft.alias_at.iter().copied()));
        for (name, at) in names.filter(|(name, _)| !name.is_empty()) {
            if let Some(other) = by_code.insert(name.to_uppercase(), position) {
                let other = &drafts[other].dataset.code;
                draft.source.report(at, format!("“{name}”已是数据集“{other}”的代码或别名"));
            }
        }
    }
    let find = |code: &str| drafts.iter().find(|d| d.dataset.code == code);
    for draft in drafts {
        for link in &draft.links {
            match link {
                Link::Parent { at } => check_parent(draft, *at, find),
                Link::BelongsTo { at } => {
                    if draft.dataset.parent.is_none() {
                        draft.source.report(*at, "belongs_to 需要 [parent]");
                    }
                }
                Link::Child { at, child, child_field } => {
                    let Some(found) = find(child) else {
                        draft.source.report(*at, format!("没有数据集“{child}”"));
                        continue;
                    };
                    let parent = found.dataset.parent.as_ref().map(|p| p.dataset.as_str());
                    if parent != Some(draft.dataset.code.as_str()) {
                        draft.source.report(*at, format!("数据集“{child}”的 [parent] 不是本数据集"));
                    }
                    match found.dataset.fields.iter().find(|f| f.name == *child_field) {
                        None => draft.source.report(*at, format!("数据集“{child}”没有字段“{child_field}”")),
                        Some(f) if !matches!(f.kind, FieldKind::Integer | FieldKind::Decimal { .. }) => {
                            draft.source.report(*at, format!("“{child}”的字段“{child_field}”不是数值"));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
    by_code
}

fn check_parent<'a>(draft: &'a Draft, at: usize, find: impl Fn(&str) -> Option<&'a Draft>) {
    let Some(parent) = &draft.dataset.parent else { return };
    if parent.dataset.is_empty() {
        return;
    }
    let Some(found) = find(&parent.dataset) else {
        draft.source.report(at, format!("没有上级数据集“{}”", parent.dataset));
        return;
    };
    let key = &found.dataset.key;
    if key.len() != parent.fields.len() {
        draft.source.report(
            at,
            format!(
                "上级“{}”的主键有 {} 个字段，这里写了 {} 个",
                parent.dataset,
                key.len(),
                parent.fields.len()
            ),
        );
    }
    for (own, theirs) in parent.fields.iter().zip(key) {
        let (own, theirs) = (&draft.dataset.fields[*own], &found.dataset.fields[*theirs]);
        if discriminant(&own.kind) != discriminant(&theirs.kind) {
            draft.source.report(
                at,
                format!("字段“{}”与上级“{}”的主键字段“{}”类型不同", own.name, parent.dataset, theirs.name),
            );
        }
    }
    let mut seen = HashSet::from([draft.dataset.code.as_str()]);
    let mut next = Some(found);
    while let Some(ancestor) = next {
        if !seen.insert(&ancestor.dataset.code) {
            draft.source.report(at, "上级关系成环");
            return;
        }
        next = ancestor.dataset.parent.as_ref().and_then(|p| find(&p.dataset));
    }
}
