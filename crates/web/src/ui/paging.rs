//! Paging: by number where the count is small, by cursor where the list is deep.

use maud::{Markup, html};

use super::address::Here;

/// Where in a list this page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paging {
    /// Everything is on this page.
    Whole,
    /// Page `page` (from 1) of `total` rows; address field `page`.
    Numbered {
        /// This page, from 1.
        page: u64,
        /// Rows on a page.
        per_page: u64,
        /// Rows in all.
        total: u64,
    },
    /// Before and after by key, equally fast at any depth; address fields `before` and `after`.
    Cursor {
        /// Key of the page before, if there is one.
        before: Option<String>,
        /// Key of the page after, if there is one.
        after: Option<String>,
    },
}

/// The row below a list; nothing when everything is on one page.
pub fn paging(here: &Here, state: &Paging) -> Markup {
    match state {
        Paging::Whole => html! {},
        Paging::Numbered { total, per_page, .. } if total <= per_page => html! {},
        Paging::Numbered { page, per_page, total } => {
            let last = total.div_ceil((*per_page).max(1)).max(1);
            let page = (*page).clamp(1, last);
            html! {
                nav.mk-paging aria-label="分页" {
                    span { "第 " (page) " / " (last) " 页，每页 " (per_page) " 条" }
                    ul {
                        li { (step(here, "page", (page > 1).then(|| (page - 1).to_string()), "上一页")) }
                        @for number in shown(page, last) {
                            li {
                                @match number {
                                    None => span aria-hidden="true" { "…" },
                                    Some(n) if n == page => a href=(here.href()) aria-current="page" { (n) },
                                    Some(n) => a href=(here.with(&[("page", &n.to_string())]).href()) { (n) },
                                }
                            }
                        }
                        li { (step(here, "page", (page < last).then(|| (page + 1).to_string()), "下一页")) }
                    }
                }
            }
        }
        Paging::Cursor { before: None, after: None } => html! {},
        Paging::Cursor { before, after } => html! {
            nav.mk-paging aria-label="分页" {
                span {}
                ul {
                    li { (step(&here.with(&[("after", "")]), "before", before.clone(), "上一页")) }
                    li { (step(&here.with(&[("before", "")]), "after", after.clone(), "下一页")) }
                }
            }
        },
    }
}

fn step(here: &Here, field: &str, value: Option<String>, label: &str) -> Markup {
    match value {
        Some(value) => html! { a href=(here.with(&[(field, &value)]).href()) { (label) } },
        None => html! { span.mk-off aria-disabled="true" { (label) } },
    }
}

/// First, last, and two on either side of the page; `None` stands for a gap.
fn shown(page: u64, last: u64) -> Vec<Option<u64>> {
    let mut numbers = Vec::new();
    for n in (1..=last.min(1)).chain(page.saturating_sub(2).max(2)..=(page + 2).min(last)).chain([last]) {
        match numbers.last() {
            Some(Some(previous)) if *previous >= n => {}
            Some(Some(previous)) if previous + 1 < n => numbers.extend([None, Some(n)]),
            _ => numbers.push(Some(n)),
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_shown_around_the_page() {
        let text = |page, last| {
            shown(page, last)
                .into_iter()
                .map(|n| n.map_or("…".to_owned(), |n| n.to_string()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(text(1, 1), "1");
        assert_eq!(text(1, 2), "1 2");
        assert_eq!(text(1, 9), "1 2 3 … 9");
        assert_eq!(text(5, 9), "1 … 3 4 5 6 7 … 9");
        assert_eq!(text(9, 9), "1 … 7 8 9");
        assert_eq!(text(4, 5), "1 2 3 4 5");
    }

    #[test]
    fn cursor_links_replace_one_another() {
        let here = Here::new("/audit", "after=9&q=x");
        let html = paging(&here, &Paging::Cursor { before: Some("5".into()), after: Some("12".into()) })
            .into_string();
        assert!(
            html.contains("/audit?q=x&amp;before=5") && html.contains("/audit?q=x&amp;after=12"),
            "{html}"
        );
    }
}
