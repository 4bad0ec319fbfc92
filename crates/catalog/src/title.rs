//! Values as people read them, and titles such as `{department_name} {diagnosis_name}` made of them.

use std::borrow::Cow;

use crate::codes::CodeTables;
use crate::model::{Dataset, FieldKind, TitlePart};
use crate::value::Value;

/// A value as text: codes by name, numbers of more than two places without idle zeros, times to the minute, yes and no in Chinese; empty for no value.
#[must_use]
pub fn display<'a>(kind: &'a FieldKind, value: &'a Value, tables: &'a CodeTables) -> Cow<'a, str> {
    match (kind, value) {
        (_, Value::Null) => Cow::Borrowed(""),
        (FieldKind::Code { table, .. }, Value::Text(code)) => Cow::Borrowed(tables.display(table, code)),
        (_, Value::Text(text)) => Cow::Borrowed(text),
        (_, Value::Integer(number)) => Cow::Owned(number.to_string()),
        // Up to two places are money or a measured precision; more are only the room that the column leaves.
        (FieldKind::Decimal { scale: 3.. }, Value::Decimal(number)) => {
            Cow::Owned(number.normalize().to_string())
        }
        (_, Value::Decimal(number)) => Cow::Owned(number.to_string()),
        (_, Value::Date(date)) => Cow::Owned(date.format("%Y-%m-%d").to_string()),
        (_, Value::DateTime(time)) => Cow::Owned(time.format("%Y-%m-%d %H:%M").to_string()),
        (_, Value::Boolean(true)) => Cow::Borrowed("是"),
        (_, Value::Boolean(false)) => Cow::Borrowed("否"),
    }
}

/// Fills a template: codes by name, white space is collapsed. An empty field vanishes together with the characters
/// written directly beside it: of `第{dose_no}剂 {site}` only the site is left where the dose is not known.
#[must_use]
pub fn render(parts: &[TitlePart], dataset: &Dataset, values: &[Value], tables: &CodeTables) -> String {
    let filled: Vec<Cow<'_, str>> = parts
        .iter()
        .map(|part| match part {
            TitlePart::Text(text) => Cow::Borrowed(text.as_str()),
            TitlePart::Field(position) => match (dataset.fields.get(*position), values.get(*position)) {
                (Some(field), Some(value)) => display(&field.kind, value, tables),
                _ => Cow::Borrowed(""),
            },
        })
        .collect();
    let empty = |index: Option<usize>| {
        index.is_some_and(|i| {
            matches!(parts.get(i), Some(TitlePart::Field(_))) && filled.get(i).is_some_and(|t| t.is_empty())
        })
    };
    let mut out = String::new();
    for (index, text) in filled.iter().enumerate() {
        let mut text: &str = text;
        if matches!(parts[index], TitlePart::Text(_)) {
            if empty(index.checked_sub(1)) {
                text = &text[text.find(char::is_whitespace).unwrap_or(text.len())..];
            }
            if empty(Some(index + 1)) {
                text = &text[..text.trim_end_matches(|c: char| !c.is_whitespace()).len()];
            }
        }
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

/// Reads a template; `position` finds fields by name. The second list holds every piece that names no field, and the
/// rest of the template from where its braces do not match.
pub(crate) fn parse(
    template: &str,
    position: impl Fn(&str) -> Option<usize>,
) -> (Vec<TitlePart>, Vec<String>) {
    let mut parts = Vec::new();
    let mut unknown = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let Some(close) = rest[open..].find('}').filter(|close| *close > 0) else {
            unknown.push(rest.to_owned());
            return (parts, unknown);
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
    (parts, unknown)
}
