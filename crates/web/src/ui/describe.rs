//! Description lists: names and values of one thing.

use maud::{Markup, html};

/// One name and value. An empty value shows as a dash, so that "not recorded" is seen.
pub fn fact(name: &str, value: &str) -> (String, Markup) {
    (
        name.to_owned(),
        if value.trim().is_empty() {
            html! { span.mk-muted { "—" } }
        } else {
            html! { (value) }
        },
    )
}

/// A description list in as many columns as fit; values longer than 40 characters take a whole row.
pub fn describe(facts: &[(String, Markup)]) -> Markup {
    html! {
        dl.mk-facts {
            @for (name, value) in facts {
                div.mk-wide[value.0.chars().count() > 40 && !value.0.starts_with('<')] { dt { (name) } dd { (value) } }
            }
        }
    }
}
