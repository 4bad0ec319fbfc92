//! Role templates: `roles/*.toml`.

use std::collections::HashMap;

use kernel::{Act, Line, Tier};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use super::settings::word;
use crate::role::{Role, RoleGrant, RoleSpan};
use crate::source::{Source, Table};

/// The kinds of unit at which a post may be held.
const UNITS: [&str; 9] = [
    "authority",
    "hospital",
    "township",
    "village",
    "maternal_child",
    "cdc",
    "supervision",
    "emergency",
    "blood",
];

/// A role as read from its own file, with where what must be compared with other files stands.
pub(super) struct Draft {
    pub role: Role,
    code_at: usize,
    conflicts: Vec<(String, usize)>,
    categories: Vec<(String, usize)>,
}

/// One role; `None` without a code.
pub(super) fn read(root: Table<'_>) -> Option<Draft> {
    let code = root.needed("code");
    let mut role = Role {
        code: code.value.to_owned(),
        name: root.needed("name").value.to_owned(),
        description: root.string("description"),
        group: root.string("group"),
        administrator: root.flag("administrator").unwrap_or(false),
        ..Role::default()
    };
    for tier in root.texts("tiers") {
        match tier_of(tier.value) {
            Some(tier) => role.tiers.push(tier),
            None => root.report(
                tier.at,
                format!("不认识的 tier“{}”：应为 province city county township village 之一", tier.value),
            ),
        }
    }
    for unit in root.texts("units") {
        if UNITS.contains(&unit.value) {
            role.units.push(unit.value.to_owned());
        } else {
            root.report(unit.at, format!("不认识的 unit“{}”：应为 {} 之一", unit.value, UNITS.join(" ")));
        }
    }
    for grant in root.tables("grants") {
        read_grant(&grant, &mut role);
        grant.finish();
    }
    let named = |key| -> Vec<(String, usize)> {
        root.texts(key).iter().map(|word| (word.value.to_owned(), word.at)).collect()
    };
    let (conflicts, categories) = (named("conflicts_with"), named("categories"));
    role.conflicts_with = conflicts.iter().map(|(code, _)| code.clone()).collect();
    role.categories = categories.iter().map(|(code, _)| code.clone()).collect();
    root.finish();
    (!role.code.is_empty()).then_some(Draft { role, code_at: code.at, conflicts, categories })
}

fn read_grant(grant: &Table<'_>, role: &mut Role) {
    let line: Option<Line> = word(grant, "line");
    let span_text = grant.needed("span");
    let span = RoleSpan::ALL.into_iter().find(|span| span.code() == span_text.value);
    if span.is_none() {
        let known: Vec<&str> = RoleSpan::ALL.iter().map(|span| span.code()).collect();
        grant.report(
            span_text.at,
            format!("不认识的 span“{}”：应为 {} 之一", span_text.value, known.join(" ")),
        );
    }
    let acts = grant.texts("acts");
    if acts.is_empty() {
        grant.report(grant.at, "“acts”不能为空");
    }
    for word in acts {
        let Ok(act) = Act::deserialize(StrDeserializer::<Error>::new(word.value)) else {
            grant.report(
                word.at,
                format!(
                    "不认识的 act“{}”：应为 read write export manage approve grant reveal 之一",
                    word.value
                ),
            );
            continue;
        };
        let Some((line, span)) = line.zip(span) else { continue };
        if line.clinical() && act.is_use() && (role.administrator || role.duty().is_some()) {
            grant.report(
                word.at,
                format!("管理员角色不能查看或改动诊疗内容：“{}·{}”", line.name(), act.name()),
            );
        }
        if line.is_duty() && role.duty().is_some_and(|duty| duty != line) {
            grant.report(word.at, "系统管理、安全管理、安全审计须由三个角色分别承担，不能合在一个角色里");
        }
        if line.is_duty() && role.grants.iter().any(|g| g.line.clinical() && g.act.is_use()) {
            grant.report(word.at, "诊疗角色不能兼有系统管理、安全管理或安全审计的权限");
        }
        if act == Act::Grant && matches!(span, RoleSpan::Team | RoleSpan::OwnPatients) {
            grant.report(word.at, "授权的范围应为机构或行政区划");
        }
        role.grants.push(RoleGrant { line, act, span });
    }
}

fn tier_of(word: &str) -> Option<Tier> {
    match word {
        "province" => Some(Tier::Province),
        "city" => Some(Tier::City),
        "county" => Some(Tier::County),
        "township" => Some(Tier::Township),
        "village" => Some(Tier::Village),
        _ => None,
    }
}

/// Compares roles with each other and with the sensitive categories.
pub(super) fn check(roles: &[(Source, Draft)], categories: &[&str]) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (source, draft) in roles {
        if let Some(other) = seen.insert(&draft.role.code, source.file()) {
            source.report(draft.code_at, format!("角色代码“{}”已用于 {other}", draft.role.code));
        }
    }
    for (source, draft) in roles {
        for (code, at) in &draft.conflicts {
            if *code == draft.role.code {
                source.report(*at, "角色不能与自己冲突");
            } else if !seen.contains_key(code.as_str()) {
                source.report(*at, format!("conflicts_with 中没有角色“{code}”"));
            }
        }
        for (code, at) in &draft.categories {
            if !categories.contains(&code.as_str()) {
                source.report(*at, format!("categories 中没有敏感类别“{code}”（见 sensitivity.toml）"));
            } else if draft.role.administrator || draft.role.duty().is_some() {
                source.report(*at, "管理员角色不能开放敏感类别");
            }
        }
        let wide = draft.role.grants.iter().any(|g| matches!(g.span, RoleSpan::City | RoleSpan::Province));
        let low = |tier: &Tier| *tier > Tier::City;
        if wide && (draft.role.tiers.is_empty() || draft.role.tiers.iter().any(low)) {
            source.report(
                draft.code_at,
                "权限达到全市或全省的角色，其 tiers 只能是 province、city：县以下的任职不能越出本县",
            );
        }
    }
}
