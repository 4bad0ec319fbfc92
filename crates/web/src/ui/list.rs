//! Lists: filters, count, sortable columns under a sticky head, paging, export, and what to do when empty.

use maud::{Markup, html};

use super::address::Here;
use super::card::empty;
use super::filter::{Filter, filter_form};
use super::icon::icon;
use super::paging::{Paging, paging};

/// A column.
#[derive(Debug, Clone, Copy, Default)]
pub struct Column<'a> {
    /// Heading.
    pub title: &'a str,
    /// Value of the address field `sort` that sorts by it (`-` before it: downwards); empty if it cannot.
    pub sort: &'a str,
    /// Whether it holds numbers, which stand at the right.
    pub number: bool,
}

impl<'a> Column<'a> {
    /// A column of words.
    pub const fn text(title: &'a str) -> Self {
        Column { title, sort: "", number: false }
    }
    /// A column of numbers.
    pub const fn number(title: &'a str) -> Self {
        Column { title, sort: "", number: true }
    }
    /// The same column, sortable under this name.
    #[must_use]
    pub const fn by(self, sort: &'a str) -> Self {
        Column { sort, ..self }
    }
}

/// What stands in a cell.
pub type Cell = Markup;

/// A row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Where the row leads; its first cell becomes the link.
    pub href: Option<String>,
    /// A class that marks it: `mk-row-bad`, `mk-row-warn`.
    pub mark: &'static str,
    /// One per column.
    pub cells: Vec<Cell>,
}

impl Row {
    /// A row that leads nowhere.
    pub fn plain(cells: Vec<Cell>) -> Self {
        Row { cells, ..Row::default() }
    }
    /// A row that opens a detail.
    pub fn to(href: impl Into<String>, cells: Vec<Cell>) -> Self {
        Row { href: Some(href.into()), cells, mark: "" }
    }
}

/// A download of exactly what is filtered.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// E.g. `导出 XLSX`.
    pub label: &'a str,
    /// Path that takes the same query as the list.
    pub path: &'a str,
}

/// A list page's matter.
#[derive(Debug, Clone)]
pub struct List<'a> {
    /// Filters in one row.
    pub filters: &'a [Filter<'a>],
    /// Rows in all, when it is known and cheap.
    pub total: Option<u64>,
    /// What a row is counted as, e.g. `个批次`.
    pub unit: &'a str,
    /// Columns.
    pub columns: &'a [Column<'a>],
    /// The rows of this page.
    pub rows: Vec<Row>,
    /// Where this page is.
    pub paging: Paging,
    /// Downloads.
    pub exports: &'a [Export<'a>],
    /// Shown when there are no rows: why, what to do next.
    pub empty: (&'a str, &'a str),
    /// A next step for the empty list: label and link.
    pub empty_action: Option<(&'a str, &'a str)>,
}

/// Renders a list as a card.
pub fn list(here: &Here, list: &List) -> Markup {
    html! {
        section.mk-card.mk-list {
            @if !list.filters.is_empty() { (filter_form(here, list.filters)) }
            div.mk-list-bar {
                span {
                    @match list.total {
                        Some(total) => { "共 " b { (thousands(total)) } " " (list.unit) },
                        None if !list.rows.is_empty() => { "本页 " b { (list.rows.len()) } " " (list.unit) },
                        None => {},
                    }
                }
                @if !list.rows.is_empty() {
                    nav aria-label="导出" {
                        @for export in list.exports {
                            a href=(here.with(&[("page", ""), ("after", ""), ("before", "")]).at(export.path).href()) download {
                                (icon("download")) " " (export.label)
                            }
                        }
                    }
                }
            }
            @if list.rows.is_empty() {
                (empty(list.empty.0, list.empty.1, list.empty_action))
            } @else {
                (table(here, list.columns, &list.rows))
            }
            (paging(here, &list.paging))
        }
    }
}

/// The table alone, for cards that are no list; scrolls sideways where it is too wide.
pub fn table(here: &Here, columns: &[Column], rows: &[Row]) -> Markup {
    let sorted = here.get("sort").unwrap_or("");
    html! {
        div.mk-scroll {
            table.mk-table {
                thead { tr { @for column in columns { (heading(here, column, sorted)) } } }
                tbody {
                    @for row in rows {
                        tr class=[(!row.mark.is_empty()).then_some(row.mark)] data-href=[row.href.as_deref()] {
                            @for (index, cell) in row.cells.iter().enumerate() {
                                @let column = columns.get(index).copied().unwrap_or_default();
                                td.mk-num[column.number].mk-nowrap[!column.number && brief(cell)] data-label=(column.title) {
                                    @match (&row.href, index) {
                                        (Some(href), 0) => a href=(href) { (cell) },
                                        _ => (cell),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(here: &Here, column: &Column, sorted: &str) -> Markup {
    if column.sort.is_empty() {
        return html! { th.mk-num[column.number] scope="col" { (column.title) } };
    }
    let (order, next, sign) = if sorted == column.sort {
        (Some("ascending"), format!("-{}", column.sort), "arrow-up")
    } else if sorted.strip_prefix('-') == Some(column.sort) {
        (Some("descending"), column.sort.to_owned(), "arrow-down")
    } else {
        (None, column.sort.to_owned(), "arrows-sort")
    };
    let href = here.with(&[("sort", &next), ("page", ""), ("after", ""), ("before", "")]).href();
    html! {
        th.mk-num[column.number] scope="col" aria-sort=[order] { a href=(href) { (column.title) (icon(sign)) } }
    }
}

/// Whether what a cell shows is so short that it should stay in one line: dates, addresses, codes, a word or two.
/// Counted in half-widths over each of its lines, so that a name over a small second line is short when both are.
pub fn brief(cell: &Markup) -> bool {
    /// Twenty half-widths, ten Chinese characters: a moment to the second fits.
    const MOST: usize = 20;
    let (mut line, mut tag) = (0, None::<String>);
    for letter in cell.0.chars() {
        match (&mut tag, letter) {
            (None, '<') => tag = Some(String::new()),
            (None, _) => line += if letter.is_ascii() { 1 } else { 2 },
            (Some(name), '>') => {
                // What begins a new line in a cell.
                let name = name.trim_start_matches('/');
                if ["br", "small", "div", "p"].iter().any(|b| name.split(' ').next() == Some(*b)) {
                    line = 0;
                }
                tag = None;
            }
            (Some(name), _) => name.push(letter),
        }
        if line > MOST {
            return false;
        }
    }
    true
}

/// A count with separators: `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn short_cells_stay_in_one_line() {
        for (cell, short) in [
            (html! { "2026-11-23 04:34:59" }, true),
            (html! { "龚程 " small { "医院数据工程师" } }, true),
            (html! { a href="/a/very/long/address/of/a/page" { "批次 8032" } br; "第 1 行" }, true),
            (html! { "（演示）平桥区明港镇中心卫生院" }, false),
            (html! { "短" small { "这一行说明比一格该有的长得多了" } }, false),
        ] {
            assert_eq!(brief(&cell), short, "{}", cell.0);
        }
    }

    #[test]
    fn a_heading_turns_the_order_round_and_goes_back_to_the_first_page() {
        let column = Column::text("日期").by("date");
        let html = |query| {
            heading(&Here::new("/x", query), &column, Here::new("/x", query).get("sort").unwrap_or(""))
                .into_string()
        };
        assert!(html("page=3").contains("href=\"/x?sort=date\""));
        assert!(
            html("sort=date&page=3").contains("href=\"/x?sort=-date\"")
                && html("sort=date").contains("ascending")
        );
        assert!(
            html("sort=-date").contains("href=\"/x?sort=date\"") && html("sort=-date").contains("descending")
        );
    }
}
