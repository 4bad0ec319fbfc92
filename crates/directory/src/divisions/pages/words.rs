//! Words of the division pages: urban-rural classes, tiers, figures.

use kernel::Tier;
use maud::{Markup, html};
use web::ui::{Tone, badge, thousands};

use super::super::operation::state_name;

/// 统计用城乡划分代码.
pub const CLASSES: [(&str, &str); 7] = [
    ("111", "主城区"),
    ("112", "城乡结合区"),
    ("121", "镇中心区"),
    ("122", "镇乡结合区"),
    ("123", "特殊区域"),
    ("210", "乡中心区"),
    ("220", "村庄"),
];

/// The name of an urban-rural class with its code; empty for none.
pub fn class_name(class: &str) -> String {
    let known = CLASSES.iter().find(|(code, _)| *code == class);
    known.map_or_else(|| class.to_owned(), |(code, name)| format!("{name}（{code}）"))
}

/// Classes for a filter or a choice.
pub fn classes() -> Vec<(String, String)> {
    CLASSES.iter().map(|(code, name)| ((*code).to_owned(), format!("{name}（{code}）"))).collect()
}

/// Tiers for a filter.
pub fn tiers() -> Vec<(String, String)> {
    [Tier::Province, Tier::City, Tier::County, Tier::Township, Tier::Village]
        .map(|t| ((t as i16 + 1).to_string(), t.name().to_owned()))
        .into()
}

/// A tier from a filter.
pub fn tier(text: &str) -> Option<Tier> {
    [Tier::Province, Tier::City, Tier::County, Tier::Township, Tier::Village]
        .into_iter()
        .find(|t| (*t as i16 + 1).to_string() == text)
}

/// Where a division came from.
pub fn origin_name(origin: &str) -> &'static str {
    match origin {
        "local" => "本地增设",
        "operation" => "区划调整",
        _ => "国家清单",
    }
}

/// A count; a dash for none.
pub fn count(number: Option<&i64>) -> Markup {
    match number {
        Some(n) if *n > 0 => html! { (thousands((*n).cast_unsigned())) },
        _ => html! { span.mk-muted { "—" } },
    }
}

/// The badge of an operation's state.
pub fn state(state: &str) -> Markup {
    let tone = match state {
        "done" => Tone::Good,
        "asked" | "approved" => Tone::Warn,
        "moving" | "undoing" => Tone::Info,
        "failed" => Tone::Bad,
        _ => Tone::Neutral,
    };
    badge(tone, state_name(state))
}

/// An instant in China, to the minute.
pub fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}
