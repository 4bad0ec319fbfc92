//! The time line of a person: newest first, one line per event, years as anchors; an event opens in place.

use std::borrow::Cow;

use maud::{Markup, html};

use super::icon::icon;

/// One event. Give them newest first.
#[derive(Debug, Clone, Default)]
pub struct TimelineEvent {
    /// `2025-03-04`.
    pub date: String,
    /// `14:05`; empty when only the day is known.
    pub time: String,
    /// Icon of the kind.
    pub icon: Cow<'static, str>,
    /// Kind in a word, e.g. `门诊`.
    pub kind: String,
    /// Title.
    pub title: String,
    /// Result in a few words.
    pub result: Option<Markup>,
    /// Institution.
    pub institution: String,
    /// The event's own page.
    pub href: Option<String>,
    /// Address of its detail as a part of a page, fetched when it is opened in place. Goes before `href`.
    pub detail: Option<String>,
}

/// Renders it. Identifiers `y2025` are the year anchors.
pub fn timeline(events: &[TimelineEvent]) -> Markup {
    html! {
        ol.mk-time {
            @for year in events.chunk_by(|a, b| year_of(a) == year_of(b)) {
                li.mk-year id={ "y" (year_of(&year[0])) } { (year_of(&year[0])) " 年" }
                @for event in year { li.mk-event { (one(event)) } }
            }
        }
    }
}

fn year_of(event: &TimelineEvent) -> &str {
    event.date.get(..4).unwrap_or("")
}

fn line(event: &TimelineEvent) -> Markup {
    html! {
        time datetime=(event.date) {
            (event.date) @if !event.time.is_empty() { " " small { (event.time) } }
        }
        (icon(&event.icon))
        span {
            @if !event.kind.is_empty() { span.mk-muted { (event.kind) " " } }
            strong { (event.title) }
            @if let Some(result) = &event.result { (result) }
        }
        span.mk-where { (event.institution) }
    }
}

fn one(event: &TimelineEvent) -> Markup {
    match (&event.detail, &event.href) {
        (Some(detail), _) => html! {
            details hx-get=(detail) hx-trigger="toggle once" hx-target="find .mk-event-body" {
                summary { (line(event)) }
                div.mk-event-body { span.mk-muted { "正在读取…" } }
            }
        },
        (None, Some(href)) => html! { a href=(href) { (line(event)) } },
        (None, None) => html! { details { summary { (line(event)) } } },
    }
}
