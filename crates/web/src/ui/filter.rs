//! The row of filters above a list. A plain GET form: what is chosen stands in the address.

use maud::{Markup, html};

use super::address::Here;
use super::icon::icon;

/// One filter.
#[derive(Debug, Clone)]
pub enum Filter<'a> {
    /// A text to look for.
    Text {
        /// Field in the address.
        name: &'a str,
        /// Label.
        label: &'a str,
        /// Example of what to type.
        hint: &'a str,
    },
    /// A choice; the first entry is "all".
    Choice {
        /// Field in the address.
        name: &'a str,
        /// Label.
        label: &'a str,
        /// Values and their names.
        options: &'a [(String, String)],
    },
    /// A choice that always holds, e.g. how many days; without a value in the address the first entry does.
    Pick {
        /// Field in the address.
        name: &'a str,
        /// Label.
        label: &'a str,
        /// Values and their names; the first is what holds when nothing is chosen.
        options: &'a [(String, String)],
    },
    /// One day, of the field `name`.
    Day {
        /// Field in the address.
        name: &'a str,
        /// Label.
        label: &'a str,
    },
    /// A span of days; fields `{name}_from` and `{name}_to`.
    Days {
        /// Stem of the fields in the address.
        name: &'a str,
        /// Label.
        label: &'a str,
    },
}

impl Filter<'_> {
    fn names(&self) -> Vec<String> {
        match self {
            Filter::Text { name, .. }
            | Filter::Choice { name, .. }
            | Filter::Pick { name, .. }
            | Filter::Day { name, .. } => {
                vec![(*name).to_owned()]
            }
            Filter::Days { name, .. } => vec![format!("{name}_from"), format!("{name}_to")],
        }
    }
}

/// The filters in one row. Choosing applies at once; fields of the address that are no filter (the sort order) are
/// kept, the page number is not.
pub fn filter_form(here: &Here, filters: &[Filter]) -> Markup {
    let names: Vec<String> = filters.iter().flat_map(Filter::names).collect();
    let filtered = names.iter().any(|name| here.get(name).is_some());
    let kept = here
        .pairs()
        .iter()
        .filter(|(key, _)| !names.contains(key) && !matches!(key.as_str(), "page" | "after" | "before"));
    let clear: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), ""))
        .chain([("page", ""), ("after", ""), ("before", "")])
        .collect();
    html! {
        form.mk-filters method="get" action=(here.path()) data-autosubmit role="search" {
            @for (key, value) in kept { input type="hidden" name=(key) value=(value); }
            @for filter in filters { (one(here, filter)) }
            button.btn.btn-primary type="submit" { (icon("search")) "查询" }
            @if filtered { a.btn href=(here.with(&clear).href()) { "清除条件" } }
        }
    }
}

fn one(here: &Here, filter: &Filter) -> Markup {
    match filter {
        Filter::Text { name, label, hint } => html! {
            label.mk-filter-wide {
                (label)
                input.form-control type="search" name=(name) value=(here.get(name).unwrap_or("")) placeholder=(hint);
            }
        },
        Filter::Day { name, label } => html! {
            label {
                (label)
                input.form-control type="date" name=(name) value=(here.get(name).unwrap_or(""));
            }
        },
        Filter::Choice { name, label, options } => html! {
            label {
                (label)
                select.form-select name=(name) {
                    option value="" { "全部" }
                    @for (value, title) in *options {
                        option value=(value) selected[here.get(name) == Some(value)] { (title) }
                    }
                }
            }
        },
        Filter::Pick { name, label, options } => html! {
            label {
                (label)
                select.form-select name=(name) {
                    @for (value, title) in *options {
                        option value=(value) selected[here.get(name) == Some(value)] { (title) }
                    }
                }
            }
        },
        Filter::Days { name, label } => {
            let (from, to) = (format!("{name}_from"), format!("{name}_to"));
            html! {
                label {
                    (label)
                    span.mk-filter-pair {
                        input.form-control type="date" name=(from) value=(here.get(&from).unwrap_or(""))
                            aria-label={ (label) "从" };
                        "至"
                        input.form-control type="date" name=(to) value=(here.get(&to).unwrap_or(""))
                            aria-label={ (label) "到" };
                    }
                }
            }
        }
    }
}
