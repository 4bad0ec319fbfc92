//! Tabs (parts of one thing), chips (filters over one list) and steps (where a process stands).

use maud::{Markup, html};

use super::icon::icon;

/// A tab or chip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tab {
    /// Title.
    pub title: String,
    /// Link.
    pub href: String,
    /// How many are behind it.
    pub count: Option<u64>,
    /// Whether it is the one shown.
    pub current: bool,
}

fn link(tab: &Tab) -> Markup {
    html! {
        a href=(tab.href) aria-current=[tab.current.then_some("page")] {
            (tab.title) @if let Some(count) = tab.count { small { (count) } }
        }
    }
}

/// Tabs: plain links, so that each part has an address.
pub fn tabs(items: &[Tab]) -> Markup {
    html! { nav aria-label="分类" { ul.mk-tabs { @for tab in items { li { (link(tab)) } } } } }
}

/// Chips.
pub fn chips(items: &[Tab]) -> Markup {
    html! { ul.mk-chips { @for tab in items { li { (link(tab)) } } } }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Behind us.
    Done,
    /// Where it is.
    Now,
    /// To come.
    Next,
}

/// A step of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Title.
    pub title: String,
    /// Who and when, in a few words.
    pub note: String,
    /// How it stands.
    pub state: StepState,
}

/// The steps in a row.
pub fn steps(items: &[Step]) -> Markup {
    html! {
        ol.mk-steps {
            @for step in items {
                @let (class, sign) = match step.state {
                    StepState::Done => ("mk-done", "circle-check"),
                    StepState::Now => ("mk-now", "progress-check"),
                    StepState::Next => ("", "circle"),
                };
                li class=(class) aria-current=[(step.state == StepState::Now).then_some("step")] {
                    (icon(sign)) (step.title) @if !step.note.is_empty() { small.mk-muted { (step.note) } }
                }
            }
        }
    }
}
