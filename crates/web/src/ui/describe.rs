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

/// Whether a value needs a whole row: it is longer than 40 characters, or has a word that would be cut in the middle.
fn wide(value: &str) -> bool {
    const WORD: usize = 22;
    !value.starts_with('<')
        && (value.chars().count() > 40
            || value.split(|c: char| !c.is_ascii_graphic()).any(|w| w.len() > WORD))
}

/// A description list in as many columns as fit; long values take a whole row.
pub fn describe(facts: &[(String, Markup)]) -> Markup {
    html! {
        dl.mk-facts {
            @for (name, value) in facts {
                div.mk-wide[wide(&value.0)] { dt { (name) } dd { (value) } }
            }
        }
    }
}
