//! Values as people read them, and titles such as `{department_name} {diagnosis_name}` made of them.

use std::borrow::Cow;

use crate::codes::CodeTables;
use crate::model::{Dataset, FieldKind, TitlePart};
use crate::value::Value;

/// A value as text: codes by name, times to the minute, yes and no in Chinese; empty for no value.
#[must_use]
pub fn display<'a>(kind: &'a FieldKind, value: &'a Value, tables: &'a CodeTables) -> Cow<'a, str> {
    match (kind, value) {
        (_, Value::Null) => Cow::Borrowed(""),
        (FieldKind::Code { table, .. }, Value::Text(code)) => Cow::Borrowed(tables.display(table, code)),
        (_, Value::Text(text)) => Cow::Borrowed(text),
        (_, Value::Integer(number)) => Cow::Owned(number.to_string()),
        (_, Value::Decimal(number)) => Cow::Owned(number.to_string()),
        (_, Value::Date(date)) => Cow::Owned(date.format("%Y-%m-%d").to_string()),
        (_, Value::DateTime(time)) => Cow::Owned(time.format("%Y-%m-%d %H:%M").to_string()),
        (_, Value::Boolean(true)) => Cow::Borrowed("是"),
        (_, Value::Boolean(false)) => Cow::Borrowed("否"),
    }
}

/// Fills a template: codes by name, empty fields vanish, white space is collapsed.
#[must_use]
pub fn render(parts: &[TitlePart], dataset: &Dataset, values: &[Value], tables: &CodeTables) -> String {
    let mut out = String::new();
    for part in parts {
        let text = match part {
            TitlePart::Text(text) => Cow::Borrowed(text.as_str()),
            TitlePart::Field(position) => match (dataset.fields.get(*position), values.get(*position)) {
                (Some(field), Some(value)) => display(&field.kind, value, tables),
                _ => continue,
            },
        };
        for c in text.chars() {
            if !c.is_whitespace() {
                out.push(c);
            } else if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Reads a template; `position` finds fields by name. `Err` holds every piece that names no field, or the template
/// itself where its braces do not match.
pub(crate) fn parse(
    template: &str,
    position: impl Fn(&str) -> Option<usize>,
) -> Result<Vec<TitlePart>, Vec<String>> {
    let mut parts = Vec::new();
    let mut unknown = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let Some(close) = rest[open..].find('}').filter(|_| rest[open..].starts_with('{')) else {
            return Err(vec![rest.to_owned()]);
        };
        if open > 0 {
            parts.push(TitlePart::Text(rest[..open].to_owned()));
        }
        let name = &rest[open + 1..open + close];
        match position(name.trim()) {
            Some(field) => parts.push(TitlePart::Field(field)),
            None => unknown.push(name.to_owned()),
        }
        rest = &rest[open + close + 1..];
    }
    if !rest.is_empty() {
        parts.push(TitlePart::Text(rest.to_owned()));
    }
    if unknown.is_empty() { Ok(parts) } else { Err(unknown) }
}
