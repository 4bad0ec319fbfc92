//! Small pieces that several pages of this context share.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use kernel::error::Doing;
use maud::{Markup, html};
use web::serve::ClientAddress;
use web::ui::brief;

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Address, empty when unknown.
    pub address: String,
    /// What the browser calls itself.
    pub agent: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = match parts.extensions.get::<ClientAddress>() {
            Some(address) => address.0.clone(),
            None => String::new(),
        };
        let agent = parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Ok(Self { address, agent: agent.to_owned() })
    }
}

/// An instant as people read it: `2025-03-04 14:05`.
pub fn time(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

/// An instant with seconds, for the audit trail.
pub fn time_exact(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A labelled control of a form, with a hint below it.
pub fn control(label: &str, id: &str, hint: &str, control: &Markup) -> Markup {
    html! {
        div.mk-field {
            label for=(id) { (label) }
            div.mk-field-line { (control) }
            @if !hint.is_empty() { small { (hint) } }
        }
    }
}

/// A one-button form.
pub fn act_button(action: &str, label: &str, class: &str) -> Markup {
    html! { form method="post" action=(action) { button class={ "btn " (class) } type="submit" { (label) } } }
}

/// A one-button form that asks before it is sent.
pub fn asked_button(action: &str, label: &str, class: &str, question: &str) -> Markup {
    html! {
        form method="post" action=(action) data-confirm=(question) { button class={ "btn " (class) } type="submit" { (label) } }
    }
}

/// A table inside a frame that scrolls when the screen is narrow.
pub fn table(heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.mk-scroll {
            table.mk-table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (cell, head) in row.iter().zip(heads) { td.mk-nowrap[brief(cell)] data-label=(head) { (cell) } } }
                    }
                }
            }
        }
    }
}

/// The bar above a list: how many there are and what can be done with them.
pub fn list_bar(count: &str, acts: &Markup) -> Markup {
    html! { div.mk-list-bar { span { (count) } nav { (acts) } } }
}

/// A download of bytes.
pub type FileOut = ([(HeaderName, String); 3], Vec<u8>);

/// A spreadsheet with one sheet; every cell is a text, so that nothing is taken for a formula or loses its zeros.
pub fn xlsx(file: &str, sheet: &str, heads: &[&str], rows: &[Vec<String>]) -> kernel::Result<FileOut> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let bold = rust_xlsxwriter::Format::new().set_bold();
    let page = book.add_worksheet();
    page.set_name(sheet).doing("name a sheet")?;
    for (column, head) in (0u16..).zip(heads) {
        page.write_string_with_format(0, column, *head, &bold).doing("write a sheet")?;
        page.set_column_width(column, 18).doing("write a sheet")?;
    }
    for (line, row) in (1u32..).zip(rows) {
        for (column, cell) in (0u16..).zip(row) {
            page.write_string(line, column, cell.as_str()).doing("write a sheet")?;
        }
    }
    page.set_freeze_panes(1, 0).doing("write a sheet")?;
    let bytes = book.save_to_buffer().doing("write a spreadsheet")?;
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".to_owned(),
        ),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes))
}
