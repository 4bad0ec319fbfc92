//! The head of a page: where it is, what it is, what can be done here.

use maud::{Markup, html};

/// A step of the way to this page: title and link.
pub type Crumb<'a> = (&'a str, &'a str);

/// The way to this page; the page itself is not among them.
pub fn crumbs(way: &[Crumb]) -> Markup {
    html! {
        @if !way.is_empty() {
            nav aria-label="位置" { ol.mk-crumbs { @for (title, href) in way { li { a href=(href) { (title) } } } } }
        }
    }
}

/// Breadcrumbs, the page's title, a line below it, and its actions at the right.
pub fn page_head(way: &[Crumb], title: &str, line: &str, actions: Markup) -> Markup {
    html! {
        (crumbs(way))
        header.mk-head {
            div { h1 { (title) } @if !line.is_empty() { p { (line) } } }
            @if !actions.0.is_empty() { div.mk-acts { (actions) } }
        }
    }
}
