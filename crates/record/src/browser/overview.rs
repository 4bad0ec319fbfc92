//! The person's page: banner, tabs, what is always visible, and the chosen tab. Pure views.

use std::borrow::Cow;

use maud::{Markup, html};
use web::ui::{
    Here, TimelineEvent, Tone, abnormal, badge, card_with, chips, empty, icon, person_banner, tabs, timeline,
};

use super::load::RecordView;
use super::sections::{self, Choices};
use super::{Place, Section};
use crate::laboratory::ResultRow;
use crate::summary::{Measure, Medicine, Problem};

/// Lines of a side card shown before the rest is folded away.
const SIDE: usize = 7;

/// A line of the time line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// `2025-03-04`.
    pub date: String,
    /// `14:05`, or empty.
    pub time: String,
    /// Icon of the kind.
    pub icon: String,
    /// Kind in a word.
    pub kind: String,
    /// Title.
    pub title: String,
    /// Second line.
    pub detail: String,
    /// Whether something is abnormal.
    pub abnormal: bool,
    /// Institution.
    pub institution: String,
    /// The event's page.
    pub href: String,
}

/// Lines with what narrows them and what comes after.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// Newest first.
    pub events: Vec<Line>,
    /// The page after these.
    pub next: Option<Here>,
    /// What the time line can be narrowed to.
    pub choices: Choices,
}

/// What is always visible beside the chosen tab.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Problems, those that stay first.
    pub problems: Vec<Problem>,
    /// Current medicines.
    pub medicines: Vec<Medicine>,
    /// Allergies: substance and reaction.
    pub allergies: Vec<(String, String)>,
    /// The newest result of items where it is abnormal.
    pub abnormal: Vec<ResultRow>,
    /// Newest follow-ups: code of the data set and what was measured.
    pub measures: Vec<(String, Measure)>,
}

/// Renders the page.
pub fn page(place: &Place, view: &RecordView) -> Markup {
    html! {
        (person_banner(&view.banner))
        @if !view.hidden.is_empty() {
            div.mk-notice.mk-protected role="note" {
                (icon("lock")) span { (view.hidden) "。" }
                a href={ (place.base) "/purpose" } { "说明事由" }
                a href={ (place.base) "/glass" } { "紧急调阅" }
            }
        }
        div.mk-record-bar {
            (tabs(&view.tabs))
            @if view.may_restrict && !place.embedded {
                a.btn.mk-no-print href={ "/restrictions/new?person=" (place.person) } { (icon("lock")) "调阅限制" }
            }
            @if view.may_record_death && !place.embedded {
                a.btn.mk-no-print href={ "/persons/death/" (place.person) } { (icon("ribbon-health")) "死亡登记" }
            }
            @if !place.embedded {
                a.btn.mk-no-print href={ "/launch?person=" (place.person) } { (icon("plug-connected")) "应用" }
            }
            a.btn.mk-no-print href={ (place.base) "/print" } { (icon("printer")) "打印" }
        }
        div.mk-side.mk-record.mk-side-last[place.section != Section::Overview] {
            aside.mk-stack aria-label="要点" { (side(place, &view.side)) }
            div.mk-stack { (sections::content(place, &view.content)) }
        }
    }
}

fn folded(rows: &[Markup]) -> Markup {
    html! {
        ul.mk-points { @for row in rows.iter().take(SIDE) { (row) } }
        @if rows.len() > SIDE {
            details.mk-fold {
                summary { "其余 " (rows.len() - SIDE) " 项" }
                ul.mk-points { @for row in rows.iter().skip(SIDE) { (row) } }
            }
        }
    }
}

fn none(text: &str) -> Markup {
    html! { p.mk-points-none { (text) } }
}

fn side(place: &Place, side: &Side) -> Markup {
    let problems: Vec<Markup> = side.problems.iter().map(|p| problem(place, p)).collect();
    let medicines: Vec<Markup> = side.medicines.iter().map(medicine).collect();
    let results: Vec<Markup> = side.abnormal.iter().map(|r| result(place, r)).collect();
    html! {
        @if !side.allergies.is_empty() {
            (card_with("过敏", html! {}, html! {
                ul.mk-points {
                    @for (name, reaction) in &side.allergies {
                        li { span.mk-text-bad { (name) } @if !reaction.is_empty() { small { (reaction) } } }
                    }
                }
            }))
        }
        (card_with("主要问题", html! { small { "按诊断归并" } }, html! {
            @if problems.is_empty() { (none("档案中没有诊断。")) } @else { (folded(&problems)) }
        }))
        (card_with("在用药品", html! { small { "末次记录前 90 天处方" } }, html! {
            @if medicines.is_empty() { (none("近期没有处方药品。")) } @else { (folded(&medicines)) }
        }))
        @if !side.measures.is_empty() {
            (card_with("近期随访", html! {}, html! {
                ul.mk-points {
                    @for (dataset, measure) in &side.measures {
                        li {
                            a href=(place.event(dataset, measure.fact_id)) { (measure.text) }
                            small { (measure.day) @if measure.abnormal { " " (badge(Tone::Warn, "异常")) } }
                        }
                    }
                }
            }))
        }
        (card_with("近期异常结果", html! { a.mk-link href=(place.tab(Section::Laboratory)) { "全部检验" } }, html! {
            @if results.is_empty() { (none("最近的检验没有异常提示。")) } @else { (folded(&results)) }
        }))
    }
}

fn problem(place: &Place, p: &Problem) -> Markup {
    html! {
        li {
            a href=(place.disease(&p.category)) title={ "只看与“" (p.name) "”有关的记录" } {
                @if p.chronic { b { (p.name) } } @else { (p.name) }
            }
            small {
                @if p.first == p.last { (p.last) } @else { span.mk-nowrap { (p.first) " 至 " (p.last) } "，共 " (p.days) " 天" }
            }
        }
    }
}

fn medicine(m: &Medicine) -> Markup {
    html! { li { span { (m.name) } small { @if !m.usage.is_empty() { (m.usage) " · " } span.mk-nowrap { (m.last) } } } }
}

fn result(place: &Place, r: &ResultRow) -> Markup {
    html! {
        li {
            a href=(place.result(&r.key)) { (r.item) } " "
            (abnormal(&r.value, &r.flag)) " " span.mk-muted { (r.unit) }
            small { (r.at.date()) @if !r.reference.is_empty() { " · 参考 " (r.reference) } }
        }
    }
}

/// The lines, and the button that fetches the next ones in place.
pub fn lines(lines: &Lines) -> Markup {
    let events: Vec<TimelineEvent> = lines.events.iter().map(event).collect();
    html! {
        (timeline(&events))
        @if let Some(next) = &lines.next {
            p.mk-more {
                a.btn href=(next.href()) hx-get=(next.with(&[("part", "more")]).href()) hx-target="closest .mk-more"
                    hx-swap="outerHTML" { "更早的记录" }
            }
        }
    }
}

fn event(line: &Line) -> TimelineEvent {
    let result = (line.abnormal || !line.detail.is_empty()).then(|| {
        html! {
            @if line.abnormal { (badge(Tone::Warn, "异常")) " " }
            span.mk-muted { (line.detail) }
        }
    });
    TimelineEvent {
        date: line.date.clone(),
        time: line.time.clone(),
        icon: Cow::Owned(line.icon.clone()),
        // A title that begins with its kind says it already.
        kind: if line.title.starts_with(&line.kind) { String::new() } else { line.kind.clone() },
        title: line.title.clone(),
        result,
        institution: line.institution.clone(),
        href: None,
        detail: Some(line.href.clone()),
    }
}

/// The time line as a card with its chips.
pub fn timeline_card(place: &Place, title: &str, shown: &Lines) -> Markup {
    let choices = &shown.choices;
    let beside = html! {
        @if !choices.years.is_empty() {
            nav.mk-years aria-label="年份" {
                @for year in &choices.years { a href=(place.filtered_after_year(*year)) { (year) } }
            }
        }
    };
    card_with(
        title,
        beside,
        html! {
            @let narrow = sections::narrow(place, choices);
            @if choices.kinds.len() > 2 || !narrow.0.is_empty() {
                div.mk-record-filters {
                    @if choices.kinds.len() > 2 { (chips(&choices.kind_chips(place))) }
                    (narrow)
                }
            }
            @if shown.events.is_empty() {
                @if place.is_filtered() {
                    (empty("没有符合条件的记录", "换一个条件，或清除条件看全部记录。", Some(("清除条件", &place.tab(place.section)))))
                } @else {
                    (empty("还没有记录", "各机构尚未上传这位居民的这类记录。", None))
                }
            } @else {
                (lines(shown))
            }
        },
    )
}
