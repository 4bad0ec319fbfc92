//! The person banner: the same on every page about a person.

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};

use super::badge::{Tone, badge};
use super::icon::icon;

/// What is known of allergies. "Not recorded" and "denied" are different things.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allergies {
    /// Nothing is recorded.
    #[default]
    Unrecorded,
    /// The person was asked and has none.
    Denied,
    /// Substances, with reaction where known.
    Known(Vec<String>),
}

/// An alert beside the name: pregnant, severe disorder, infectious, deceased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// How serious.
    pub tone: Tone,
    /// In words.
    pub text: String,
}

/// What the banner shows. Texts are ready to be shown: masked, with names for codes. Empty ones are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonBanner {
    /// Name.
    pub name: String,
    /// The person's record.
    pub href: Option<String>,
    /// `男`, `女`, …
    pub sex: String,
    /// E.g. `67 岁` or `3 月龄`.
    pub age: String,
    /// Date of birth.
    pub birth: String,
    /// Masked credential, see [`crate::mask`].
    pub credential: String,
    /// Masked telephone number.
    pub phone: String,
    /// Place of residence.
    pub region: String,
    /// Blood type, e.g. `A 型 Rh(+)`.
    pub blood: String,
    /// Contracted doctor.
    pub doctor: String,
    /// Where what is masked is shown in full, as an audited act; `None` for who may not.
    pub reveal: Option<String>,
    /// Allergies.
    pub allergies: Allergies,
    /// Alerts.
    pub alerts: Vec<Alert>,
}

/// Age in years; in months below one year, in days below one month; empty for a birth yet to come.
pub fn age(birth: NaiveDate, on: NaiveDate) -> String {
    if on < birth {
        return String::new();
    }
    let mut months = (on.year() - birth.year()) * 12 + on.month() as i32 - birth.month() as i32;
    if on.day() < birth.day() {
        months -= 1;
    }
    match months {
        0 => format!("{} 天", (on - birth).num_days()),
        1..12 => format!("{months} 月龄"),
        12..36 => format!("{} 岁 {} 月", months / 12, months % 12),
        _ => format!("{} 岁", months / 12),
    }
}

/// Renders the banner.
pub fn person_banner(person: &PersonBanner) -> Markup {
    let facts = [
        ("证件", &person.credential),
        ("出生", &person.birth),
        ("电话", &person.phone),
        ("住址", &person.region),
        ("血型", &person.blood),
        ("签约医生", &person.doctor),
    ];
    html! {
        section.mk-person aria-label="居民" {
            span.mk-person-name {
                @match &person.href { Some(href) => a href=(href) { (person.name) }, None => (person.name) }
            }
            span.mk-person-main {
                (person.sex) @if !person.sex.is_empty() && !person.age.is_empty() { " · " } (person.age)
            }
            dl {
                @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                    div { dt { (name) } dd { (value) } }
                }
                @if let Some(reveal) = &person.reveal {
                    div.mk-no-print {
                        form method="post" action=(reveal) hx-post=(reveal) hx-target="closest dl" hx-swap="outerHTML" {
                            button.mk-linklike.mk-reveal type="submit" title="每次查看都会记入审计日志" {
                                (icon("eye")) "显示完整信息"
                            }
                        }
                    }
                }
            }
            div.mk-person-alerts {
                @match &person.allergies {
                    Allergies::Known(list) if !list.is_empty() => span.mk-allergy {
                        (icon("alert-triangle")) "过敏：" (list.join("、"))
                    },
                    Allergies::Denied => span.mk-badge { "否认过敏史" },
                    _ => span.mk-badge { "过敏史未记录" },
                }
                @for alert in &person.alerts { (badge(alert.tone, &alert.text)) }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (birth, on, expected) in [
            ("2025-05-01", "2025-05-15", "14 天"),
            ("2025-04-15", "2025-05-15", "1 月龄"),
            ("2024-05-16", "2025-05-15", "11 月龄"),
            ("2024-05-15", "2025-05-15", "1 岁 0 月"),
            ("2022-05-16", "2025-05-15", "2 岁 11 月"),
            ("1958-02-28", "2025-02-27", "66 岁"),
            ("2025-05-16", "2025-05-15", ""),
        ] {
            assert_eq!(age(day(birth), day(on)), expected, "{birth} {on}");
        }
    }
}
