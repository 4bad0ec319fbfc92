//! Cards, rows of figures, and what stands where there is nothing.

use maud::{Markup, PreEscaped, html};

use super::icon::icon;

/// A card with a title and a padded body.
pub fn card(title: &str, body: Markup) -> Markup {
    card_with(title, PreEscaped(String::new()), html! { div.mk-card-body { (body) } })
}

/// A card with a title, something beside it (a hint, a link), and a body without padding (tables, time lines).
pub fn card_with(title: &str, beside: Markup, body: Markup) -> Markup {
    html! {
        section.mk-card {
            div.mk-card-head { h2 { (title) } @if !beside.0.is_empty() { div { (beside) } } }
            (body)
        }
    }
}

/// Why it is empty and what to do next.
pub fn empty(title: &str, hint: &str, action: Option<(&str, &str)>) -> Markup {
    html! {
        div.mk-empty {
            (icon("folder"))
            strong { (title) }
            @if !hint.is_empty() { p { (hint) } }
            @if let Some((label, href)) = action { a.btn href=(href) { (label) } }
        }
    }
}

/// One of a row of figures. A figure with a link leads to the rows behind it.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    /// What it counts.
    pub label: String,
    /// The number, already formatted.
    pub value: String,
    /// Unit or comparison beside it.
    pub note: String,
    /// Where its rows are.
    pub href: Option<String>,
}

/// A row of figures.
pub fn figures(items: &[Figure]) -> Markup {
    let inside = |item: &Figure| {
        html! { span { (item.label) } b { (item.value) } @if !item.note.is_empty() { small { (item.note) } } }
    };
    html! {
        div.mk-figures {
            @for item in items {
                @match &item.href {
                    Some(href) => a.mk-figure href=(href) { (inside(item)) },
                    None => div.mk-figure { (inside(item)) },
                }
            }
        }
    }
}
