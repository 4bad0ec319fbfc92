//! Terminology as FHIR R4 (4.0.1): `CodeSystem`, `ValueSet`, `ConceptMap` with the operations of the terminology module.
//!
//! A code table is a `CodeSystem` and, whole or below one of its codes (`…?fhir_vs=isa/I21`), a `ValueSet`. The approved
//! local codes of an institution for a table are a `ConceptMap`, seen by that institution and those who look after it.
//! Errors are `OperationOutcome`: 400 for what is asked wrongly, 404 for what does not exist, 422 for what is too much.

mod code_system;
mod concept_map;
mod params;
mod value_set;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use catalog::CodeTable;
use chrono::NaiveDate;
use kernel::Error;
use serde_json::{Value, json};
use web::{Access, Routes};

use crate::Directory;
use params::Params;

/// The routes.
pub fn routes(directory: Arc<Directory>) -> Routes<()> {
    let open = Access::SignedIn("代码表是公开标准，任何登录用户和接入程序都要查阅；院内码对照另按机构限制");
    Routes::new()
        .get("/fhir/CodeSystem", open, code_system::search)
        .get("/fhir/CodeSystem/{id}", open, code_system::read)
        .get("/fhir/CodeSystem/$lookup", open, code_system::lookup_get)
        .post("/fhir/CodeSystem/$lookup", open, code_system::lookup_post)
        .get("/fhir/CodeSystem/$validate-code", open, code_system::validate_get)
        .post("/fhir/CodeSystem/$validate-code", open, code_system::validate_post)
        .get("/fhir/CodeSystem/{id}/$validate-code", open, code_system::validate_one_get)
        .post("/fhir/CodeSystem/{id}/$validate-code", open, code_system::validate_one_post)
        .get("/fhir/CodeSystem/$subsumes", open, code_system::subsumes_get)
        .post("/fhir/CodeSystem/$subsumes", open, code_system::subsumes_post)
        .get("/fhir/CodeSystem/{id}/$subsumes", open, code_system::subsumes_one_get)
        .post("/fhir/CodeSystem/{id}/$subsumes", open, code_system::subsumes_one_post)
        .get("/fhir/ValueSet", open, value_set::search)
        .get("/fhir/ValueSet/{id}", open, value_set::read)
        .get("/fhir/ValueSet/$expand", open, value_set::expand_get)
        .post("/fhir/ValueSet/$expand", open, value_set::expand_post)
        .get("/fhir/ValueSet/{id}/$expand", open, value_set::expand_one_get)
        .post("/fhir/ValueSet/{id}/$expand", open, value_set::expand_one_post)
        .get("/fhir/ValueSet/$validate-code", open, value_set::validate_get)
        .post("/fhir/ValueSet/$validate-code", open, value_set::validate_post)
        .get("/fhir/ValueSet/{id}/$validate-code", open, value_set::validate_one_get)
        .post("/fhir/ValueSet/{id}/$validate-code", open, value_set::validate_one_post)
        .get("/fhir/ConceptMap", open, concept_map::search)
        .get("/fhir/ConceptMap/{id}", open, concept_map::read)
        .get("/fhir/ConceptMap/$translate", open, concept_map::translate_get)
        .post("/fhir/ConceptMap/$translate", open, concept_map::translate_post)
        .get("/fhir/ConceptMap/{id}/$translate", open, concept_map::translate_one_get)
        .post("/fhir/ConceptMap/{id}/$translate", open, concept_map::translate_one_post)
        .with_state(directory)
}

const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// An error of an operation, as an OperationOutcome.
#[derive(Debug)]
struct Outcome {
    status: StatusCode,
    /// The issue type of FHIR.
    code: &'static str,
    text: String,
}

impl Outcome {
    /// What is asked wrongly.
    fn invalid(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid", text: text.into() }
    }
    /// A parameter that is needed.
    fn required(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "required", text: text.into() }
    }
    /// What does not exist.
    fn not_found(text: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not-found", text: text.into() }
    }
    /// What this server does not do.
    fn not_supported(text: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "not-supported", text: text.into() }
    }
    /// What would be too much.
    fn too_costly(text: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "too-costly", text: text.into() }
    }
    fn into_response(self) -> Response {
        let body = json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": self.code, "details": { "text": self.text }, "diagnostics": self.text }],
        });
        resource(self.status, body.to_string())
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Fault(error)
    }
}
impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Ended::Outcome(outcome)
    }
}

/// How an operation ended without an answer.
#[derive(Debug)]
enum Ended {
    Outcome(Outcome),
    /// The gate explains it.
    Fault(Error),
}

type Done<T> = Result<T, Ended>;

/// A resource or an outcome as a response.
fn finish(done: Done<String>) -> Response {
    match done {
        Ok(body) => resource(StatusCode::OK, body),
        Err(Ended::Outcome(outcome)) => outcome.into_response(),
        Err(Ended::Fault(error)) => axum::response::IntoResponse::into_response(web::Failure(error)),
    }
}

fn resource(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(FHIR_JSON));
    response
}

/// The table that a system, version and date name.
async fn table_for(
    directory: &Directory,
    system: &str,
    version: Option<&str>,
    date: Option<&str>,
) -> Done<Arc<CodeTable>> {
    let now = directory.tables_now();
    // `system|version`, as canonical references may be written.
    let (system, pinned) = system.split_once('|').map_or((system, None), |(s, v)| (s, Some(v)));
    let current =
        now.called(system).ok_or_else(|| Outcome::not_found(format!("没有代码系统“{system}”。")))?;
    dated(directory, current, version.or(pinned).filter(|v| !v.is_empty()), date).await
}

/// The table by its identifier, as a resource is addressed.
async fn table_by_id(
    directory: &Directory,
    id: &str,
    version: Option<&str>,
    date: Option<&str>,
) -> Done<Arc<CodeTable>> {
    let now = directory.tables_now();
    let current =
        now.get(&table_id(id)).ok_or_else(|| Outcome::not_found(format!("没有标识为“{id}”的代码系统。")))?;
    dated(directory, current, version, date).await
}

async fn dated(
    directory: &Directory,
    current: &Arc<CodeTable>,
    version: Option<&str>,
    date: Option<&str>,
) -> Done<Arc<CodeTable>> {
    if let Some(version) = version {
        if current.edition == version {
            return Ok(Arc::clone(current));
        }
        return directory
            .table_of_edition(&current.id, version)
            .await?
            .ok_or_else(|| Outcome::not_found(format!("“{}”没有版本“{version}”。", current.name)).into());
    }
    let Some(date) = date else { return Ok(Arc::clone(current)) };
    // A dateTime may be as short as a year.
    let day: NaiveDate = match date.len() {
        4 => format!("{date}-01-01").parse(),
        7 => format!("{date}-01").parse(),
        _ => date.get(..10).unwrap_or(date).parse(),
    }
    .map_err(|_| Outcome::invalid(format!("date“{date}”不是日期。")))?;
    directory
        .table_on(&current.id, day)
        .await?
        .ok_or_else(|| Outcome::not_found(format!("“{}”在 {day} 没有施行的版本。", current.name)).into())
}

/// Resource identifiers may not hold an underscore: the table's identifier with hyphens, and back.
fn resource_id(table: &str) -> String {
    table.replace('_', "-")
}
fn table_id(id: &str) -> String {
    id.replace('-', "_")
}

/// A `Parameters` resource from named values.
fn parameters(values: Vec<Value>) -> String {
    json!({ "resourceType": "Parameters", "parameter": values }).to_string()
}

/// The answer of `$validate-code`, written by hand: it is asked ten thousands of times a second.
fn validated(result: bool, message: Option<&str>, display: Option<&str>) -> String {
    let mut out = String::with_capacity(160 + message.map_or(0, str::len) + display.map_or(0, str::len));
    out.push_str(r#"{"resourceType":"Parameters","parameter":[{"name":"result","valueBoolean":"#);
    out.push_str(if result { "true}" } else { "false}" });
    for (name, text) in [("message", message), ("display", display)] {
        if let Some(text) = text {
            out.push_str(r#",{"name":""#);
            out.push_str(name);
            out.push_str(r#"","valueString":"#);
            push_json(&mut out, text);
            out.push('}');
        }
    }
    out.push_str("]}");
    out
}

/// A text as a JSON string.
fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => {
                use std::fmt::Write;
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a display is a name of the code: its own or another one, without regard to case, width and spaces.
fn is_name(table: &CodeTable, at: u32, display: &str) -> bool {
    let plain = |text: &str| -> String {
        standards::width::fold(text)
            .chars()
            .filter(|c| !c.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let own = &*table.codes[at as usize].name;
    if own == display {
        return true;
    }
    let wanted = plain(display);
    std::iter::once(own).chain(table.aliases_of(at)).any(|name| plain(name) == wanted)
}

/// Whether a code with a display is one of a table: the answer of `$validate-code`.
fn validate(table: &CodeTable, code: &str, display: Option<&str>, within: impl Fn(&str) -> bool) -> String {
    let Some(at) = table.position(code) else {
        let message = format!("“{}”（版本 {}）中没有代码“{code}”。", table.name, table.edition);
        return validated(false, Some(&message), None);
    };
    let name = &*table.codes[at as usize].name;
    if !within(code) {
        let message = format!("代码“{code}”属于“{}”，但不在这个值集中。", table.name);
        return validated(false, Some(&message), Some(name));
    }
    match display.filter(|d| !d.is_empty()) {
        Some(display) if !is_name(table, at, display) => {
            let message = format!("代码“{code}”的名称是“{name}”，不是“{display}”。");
            validated(false, Some(&message), Some(name))
        }
        _ => match table.retired.get(&at) {
            Some(retired) if retired.replaced_by.is_empty() => {
                validated(true, Some(&format!("代码“{code}”已停用。")), Some(name))
            }
            Some(retired) => {
                let message = format!("代码“{code}”已停用，改用“{}”。", retired.replaced_by);
                validated(true, Some(&message), Some(name))
            }
            None => validated(true, None, Some(name)),
        },
    }
}

/// What every resource of terminology says of itself.
fn head(kind: &str, id: &str, url: &str, table: &CodeTable) -> Value {
    json!({
        "resourceType": kind,
        "id": id,
        "url": url,
        "version": table.edition,
        "name": table.id,
        "title": table.name,
        "status": "active",
        "experimental": false,
        "description": table.standard,
    })
}

/// A searchset.
fn searchset(kind: &str, resources: Vec<Value>, total: usize, params: &Params) -> String {
    let entries: Vec<Value> = resources
        .into_iter()
        .map(|r| json!({ "fullUrl": format!("{kind}/{}", r["id"].as_str().unwrap_or_default()), "resource": r, "search": { "mode": "match" } }))
        .collect();
    json!({
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": [{ "relation": "self", "url": params.address(kind) }],
        "entry": entries,
    })
    .to_string()
}

/// Tables that a search asks for: by identifier, address, version, name or title.
fn searched(
    directory: &Directory,
    params: &Params,
    url: impl Fn(&CodeTable) -> String,
) -> Vec<Arc<CodeTable>> {
    let now = directory.tables_now();
    let has =
        |text: &str, part: Option<&str>| part.is_none_or(|p| text.to_lowercase().contains(&p.to_lowercase()));
    let mut found: Vec<Arc<CodeTable>> = now
        .tables
        .values()
        .filter(|t| {
            params.get("_id").is_none_or(|id| table_id(id) == t.id)
                && params.get("url").is_none_or(|u| url(t) == u || t.is_called(u))
                && params.get("system").is_none_or(|u| t.is_called(u))
                && params.get("version").is_none_or(|v| t.edition == v)
                && has(&t.id, params.get("name"))
                && has(&t.name, params.get("title"))
                && params.get("code").is_none_or(|c| t.contains(c.rsplit('|').next().unwrap_or(c)))
        })
        .cloned()
        .collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// The page of a search: `_count` and `_offset`.
fn paged<T>(found: Vec<T>, params: &Params) -> Vec<T> {
    let number = |name: &str, usual: usize| params.get(name).and_then(|n| n.parse().ok()).unwrap_or(usual);
    found.into_iter().skip(number("_offset", 0)).take(number("_count", 50).min(500)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_written_by_hand_are_json() {
        let text = validated(false, Some("引号\" 反斜线\\ 换行\n"), Some("名称"));
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(json["parameter"][0]["valueBoolean"], false);
        assert_eq!(json["parameter"][1]["valueString"], "引号\" 反斜线\\ 换行\n");
        assert_eq!(json["parameter"][2]["valueString"], "名称");
        let short: Value = serde_json::from_str(&validated(true, None, None)).unwrap_or_default();
        assert_eq!(short["parameter"].as_array().map(Vec::len), Some(1));
    }
}
