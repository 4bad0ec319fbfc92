//! Small readings of resources: texts, codings, quantities, names, times.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

/// Minutes by which China is ahead of UTC.
const CHINA: i32 = 8 * 60;

/// A text member that is not blank.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().map(str::trim).filter(|t| !t.is_empty())
}

/// The first member of an array member, or the member itself where it is no array.
pub(super) fn first<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value.get(name)? {
        Value::Array(items) => items.first(),
        other => Some(other),
    }
}

/// The members of an array member.
pub(super) fn all<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    match value.get(name) {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

/// A coding of a concept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding<'a> {
    pub(super) system: &'a str,
    pub(super) code: &'a str,
    pub(super) display: Option<&'a str>,
}

/// The codings of a CodeableConcept.
pub(super) fn codings(concept: &Value) -> impl Iterator<Item = Coding<'_>> {
    all(concept, "coding").iter().map(|c| Coding {
        system: text(c, "system").unwrap_or_default(),
        code: text(c, "code").unwrap_or_default(),
        display: text(c, "display"),
    })
}

/// What a CodeableConcept is called: its text, a display, at last a code.
pub(super) fn name_of(concept: &Value) -> Option<&str> {
    text(concept, "text")
        .or_else(|| codings(concept).find_map(|c| c.display))
        .or_else(|| codings(concept).map(|c| c.code).find(|c| !c.is_empty()))
}

/// Whether one of the codings has one of these codes.
pub(super) fn has_code(concept: &Value, codes: &[&str]) -> bool {
    codings(concept).any(|c| codes.contains(&c.code))
}

/// The code in the first system whose name contains one of `marks` (lower case).
pub(super) fn code_in<'a>(concept: &'a Value, marks: &[&str]) -> Option<&'a str> {
    codings(concept)
        .find(|c| {
            let system = c.system.to_ascii_lowercase();
            !c.code.is_empty() && marks.iter().any(|m| system.contains(m))
        })
        .map(|c| c.code)
}

/// Marks of the coding systems for ICD-10, the second being the object identifier used in China.
pub(super) const ICD10: &[&str] = &["icd-10", "icd10", "2.16.156.10011.2.3.3.11"];
/// Marks of ICD-9-CM-3.
pub(super) const ICD9: &[&str] = &["icd-9-cm", "icd9", "2.16.156.10011.2.3.3.12"];
/// Marks of LOINC.
pub(super) const LOINC: &[&str] = &["loinc", "2.16.840.1.113883.6.1"];

/// A number as text, without exponent.
pub(super) fn number(value: &Value) -> Option<String> {
    let n = value.as_number()?;
    match (n.as_i64(), n.as_f64()) {
        (Some(whole), _) => Some(whole.to_string()),
        (None, Some(float)) if float.is_finite() => Some(float.to_string()),
        _ => None,
    }
}

/// The value of a quantity as text.
pub(super) fn quantity(value: &Value) -> Option<String> {
    number(value.get("value")?)
}

/// The unit of a quantity: as written, or its code.
pub(super) fn unit(value: &Value) -> Option<&str> {
    text(value, "unit").or_else(|| text(value, "code"))
}

/// A FHIR date or time as China's wall-clock: `2025-03-04` or `2025-03-04 14:05:06`. Whether it had to be completed
/// because it names a year or a month only.
pub(super) fn moment(written: &str) -> (Cow<'_, str>, bool) {
    match written.len() {
        4 => (Cow::Owned(format!("{written}-01-01")), true),
        7 => (Cow::Owned(format!("{written}-01")), true),
        n if n > 10 => match (DateTime::parse_from_rfc3339(written), FixedOffset::east_opt(CHINA * 60)) {
            (Ok(time), Some(china)) => {
                (Cow::Owned(time.with_timezone(&china).format("%Y-%m-%d %H:%M:%S").to_string()), false)
            }
            _ => (Cow::Borrowed(written), false),
        },
        _ => (Cow::Borrowed(written), false),
    }
}

/// The first of these members that is a time: a text, or a period or timing that begins.
pub(super) fn time<'a>(value: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| match value.get(*name)? {
        Value::String(t) => Some(t.trim()).filter(|t| !t.is_empty()),
        period @ Value::Object(_) => {
            text(period, "start").or_else(|| all(period, "event").first().and_then(Value::as_str))
        }
        _ => None,
    })
}

/// A person's name. Chinese names are written without a space, family name first.
pub(super) fn person_name(resource: &Value) -> Option<String> {
    let names = all(resource, "name");
    let name = names.iter().find(|n| text(n, "use") == Some("official")).or_else(|| names.first())?;
    if let Some(whole) = text(name, "text") {
        return Some(whole.to_owned());
    }
    let family = text(name, "family").unwrap_or_default();
    let given: Vec<&str> = all(name, "given").iter().filter_map(Value::as_str).map(str::trim).collect();
    let whole = if family.chars().chain(given.iter().flat_map(|g| g.chars())).any(|c| c > '\u{2e7f}') {
        format!("{family}{}", given.concat())
    } else {
        format!("{} {family}", given.join(" ")).trim().to_owned()
    };
    Some(whole).filter(|n| !n.is_empty())
}

/// An address in one line.
pub(super) fn address(value: &Value) -> Option<String> {
    if let Some(whole) = text(value, "text") {
        return Some(whole.to_owned());
    }
    let lines: Vec<&str> = all(value, "line").iter().filter_map(Value::as_str).collect();
    let parts = ["state", "city", "district"].map(|n| text(value, n));
    let chinese = parts.iter().flatten().chain(&lines).any(|p| p.chars().any(|c| c > '\u{2e7f}'));
    let whole = if chinese {
        parts.into_iter().flatten().chain(lines).collect::<Vec<_>>().concat()
    } else {
        lines.into_iter().chain(parts.into_iter().rev().flatten()).collect::<Vec<_>>().join(", ")
    };
    Some(whole).filter(|a| !a.is_empty())
}

/// The value of the identifier with this type code (HL7 v2 table 0203).
pub(super) fn identifier<'a>(resource: &'a Value, kind: &str) -> Option<&'a str> {
    all(resource, "identifier")
        .iter()
        .find(|i| i.get("type").is_some_and(|t| has_code(t, &[kind])))
        .and_then(|i| text(i, "value"))
}

/// The value of the identifier of this system (without `urn:oid:`).
pub(super) fn identifier_of<'a>(resource: &'a Value, system: &str) -> Option<&'a str> {
    all(resource, "identifier")
        .iter()
        .find(|i| text(i, "system").is_some_and(|s| s.strip_prefix("urn:oid:").unwrap_or(s) == system))
        .and_then(|i| text(i, "value"))
}
