//! Small pieces that several pages of this context share.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use contracts::InstitutionCard;
use kernel::error::Doing;
use maud::{Markup, html};
use web::serve::ClientAddress;
use web::ui::{self, Field, brief};

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

/// So many institutions and more, and a form searches instead of listing them.
const MANY: usize = 60;

/// The field of a form that asks for an institution: a few are listed, many are looked up by name, initials or code.
pub fn institution_field(field: &Field<'_>, within: &[Arc<InstitutionCard>]) -> Markup {
    if within.len() < MANY {
        let listed: Vec<(String, String)> =
            within.iter().map(|card| (card.code.clone(), card.name.clone())).collect();
        return ui::select_field(field, &listed);
    }
    let hint = format!("输入名称、拼音首字母或代码查找。{}", field.hint);
    ui::field(&Field { pick: "/registry/pick/institution", hint: &hint, ..field.clone() })
}

/// The institution that was chosen or typed there: its code, or its name where only one bears it.
pub fn institution_named<'a>(
    text: &str,
    within: &'a [Arc<InstitutionCard>],
) -> Option<&'a Arc<InstitutionCard>> {
    let text = text.trim();
    within.iter().find(|card| card.code.eq_ignore_ascii_case(text)).or_else(|| {
        let mut named = within.iter().filter(|card| card.name == text);
        named.next().filter(|_| named.next().is_none())
    })
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

#[cfg(test)]
mod tests {
    use kernel::{Id, RegionCode};

    use super::*;

    fn cards(many: i64) -> Vec<Arc<InstitutionCard>> {
        (1..=many)
            .map(|n| {
                Arc::new(InstitutionCard {
                    id: Id::new(n),
                    code: format!("1241150000{n:08}"),
                    name: format!("第{}卫生室", n % 99),
                    short_name: String::new(),
                    sender_class: "village".to_owned(),
                    region: RegionCode::parse("411503").unwrap(),
                    invented: false,
                })
            })
            .collect()
    }

    #[test]
    fn a_few_institutions_are_listed_and_many_are_searched() {
        let field = Field { name: "institution", label: "机构", ..Field::default() };
        assert!(institution_field(&field, &cards(3)).into_string().contains("<select"));
        let many = institution_field(&field, &cards(3000)).into_string();
        assert!(many.contains("data-pick=\"/registry/pick/institution\"") && many.len() < 2000, "{many}");
    }

    #[test]
    fn an_institution_is_named_by_code_or_by_a_name_of_its_own() {
        let cards = cards(100);
        let named = |text: &str| institution_named(text, &cards).map(|card| card.id.get());
        assert_eq!(named(" 124115000000000007 "), Some(7));
        assert_eq!(named("第50卫生室"), Some(50));
        assert_eq!(named("第1卫生室"), None, "two bear it");
        assert_eq!((named(""), named("第")), (None, None));
    }
}
