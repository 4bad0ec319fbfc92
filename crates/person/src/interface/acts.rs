//! Acts on the index by programs: one order as JSON, its undo, and `POST /fhir/Patient/$merge` (FHIR R5). The same rules,
//! reasons, audit and undo as on the review desk.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use contracts::PersonCard;
use kernel::{Purpose, Refusal, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web::{Allowed, Reply};

use super::{Interface, result};
use crate::operations::{Done, Order, Preview, Wished};

/// An order with its reason.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(flatten)]
    order: Order,
    #[serde(default)]
    reason: String,
}

/// Why an operation is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DoneJson {
    /// For the undo.
    operation: i64,
    /// Whom to look at next.
    person: i64,
    /// Records that changed their person.
    moved: Vec<i64>,
}

fn told(done: &Done) -> DoneJson {
    DoneJson {
        operation: done.operation,
        person: done.person,
        moved: done.change.links.keys().copied().collect(),
    }
}

/// `POST /api/v1/index/operations`: e.g. `{"kind": "merge", "into": 1, "from": 2, "reason": "…"}`.
pub(super) async fn operate(
    State(interface): State<Interface>,
    allowed: Allowed,
    Json(asked): Json<Asked>,
) -> Reply<Json<DoneJson>> {
    let reach = allowed.reach(Purpose::of("identity"))?;
    let now = interface.clock.now();
    let done =
        interface.index.operate(&reach, &*interface.institutions, &asked.order, &asked.reason, now).await?;
    Ok(Json(told(&done)))
}

/// `POST /api/v1/index/operations/{id}/undo`.
pub(super) async fn undo(
    State(interface): State<Interface>,
    allowed: Allowed,
    Path(operation): Path<i64>,
    Json(why): Json<Why>,
) -> Reply<Json<DoneJson>> {
    let reach = allowed.reach(Purpose::of("identity"))?;
    let now = interface.clock.now();
    let done = interface.index.undo(&reach, &*interface.institutions, operation, &why.reason, now).await?;
    Ok(Json(told(&done)))
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid("fhir.merge", message)
}

/// What a `$merge` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    from: i64,
    into: i64,
    reason: String,
    /// Only say what would happen.
    preview: bool,
    /// How the target shall be shown afterwards.
    result: Option<Wished>,
}

/// Understands a `$merge`.
fn wanted(body: &[u8]) -> Result<Wanted, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|e| invalid(format!("请求不是合格的 JSON：{e}。")))?;
    if body["resourceType"] != "Parameters" {
        return Err(invalid("请求应是 Parameters 资源，含参数 source-patient 和 target-patient。"));
    }
    let named = |name: &str| body["parameter"].as_array().into_iter().flatten().find(|p| p["name"] == name);
    let preview = match named("preview").map(|p| &p["valueBoolean"]) {
        None => false,
        Some(Value::Bool(yes)) => *yes,
        // Merging because a flag could not be read would be the worse of the two mistakes.
        Some(_) => return Err(invalid("参数 preview 应是 valueBoolean，值为 true 或 false。")),
    };
    let person = |name: &str| {
        named(name)
            .and_then(|p| p["valueReference"]["reference"].as_str())
            .and_then(|reference| reference.rsplit('/').next())
            .and_then(|id| id.parse::<i64>().ok())
            .filter(|id| *id > 0)
            .ok_or_else(|| invalid(format!("缺少参数 {name}，应形如 {{\"reference\": \"Patient/42\"}}。")))
    };
    let (from, into) = (person("source-patient")?, person("target-patient")?);
    let result = named("result-patient").map(|p| result::wished(&p["resource"], into, from)).transpose()?;
    let reason = named("reason").and_then(|p| p["valueString"].as_str()).unwrap_or_default();
    Ok(Wanted { from, into, reason: reason.to_owned(), preview, result })
}

fn issue(text: String) -> Value {
    json!({ "severity": "information", "code": "informational", "diagnostics": text })
}

/// What would happen, as FHIR says it: the outcome in words, and the patient as it would be. The citizen number is masked;
/// telephone and address are left out.
fn foretold(interface: &Interface, from: i64, preview: &Preview) -> Value {
    let mut issues = vec![issue(format!("预览，没有合并。将有 {} 条登记移入。", preview.change.links.len()))];
    if preview.change.numbers.get(&preview.person).is_some_and(|s| s.before.is_none() && s.after.is_some()) {
        issues.push(issue("合并后将持有对方的公民身份号码。".to_owned()));
    }
    if preview.tasks > 0 {
        issues.push(issue(format!("将有 {} 项待核对随之办结。", preview.tasks)));
    }
    let outcome = json!({ "resourceType": "OperationOutcome", "issue": issues });
    let mut parameters = vec![json!({ "name": "outcome", "resource": outcome })];
    parameters.extend(
        preview
            .card
            .as_ref()
            .map(|card| json!({ "name": "result", "resource": patient(interface, from, card) })),
    );
    json!({ "resourceType": "Parameters", "parameter": parameters })
}

/// A person as the merge would leave it.
fn patient(interface: &Interface, from: i64, card: &PersonCard) -> Value {
    let number = card.citizen_id.as_deref().map(web::mask::credential);
    let official =
        number.map(|n| json!({ "use": "official", "system": contracts::CITIZEN_SYSTEM, "value": n }));
    let local = card.identities.iter().map(|identity| {
        let at = interface.institutions.by_id(identity.institution);
        let (code, name) = at.map(|c| (c.code.clone(), c.name.clone())).unwrap_or_default();
        json!({
            "use": "secondary",
            "system": contracts::local_no_system(&code),
            "value": identity.local_no,
            "assigner": { "display": name },
        })
    });
    let mut out = json!({
        "resourceType": "Patient",
        "id": card.person_id.to_string(),
        "active": true,
        "identifier": official.into_iter().chain(local).collect::<Vec<Value>>(),
        "gender": match card.sex.as_str() {
            "1" => "male",
            "2" => "female",
            "9" => "other",
            _ => "unknown",
        },
        "link": [{ "other": { "reference": format!("Patient/{from}") }, "type": "replaces" }],
    });
    if !card.name.is_empty() {
        out["name"] = json!([{ "use": "official", "text": card.name }]);
    }
    for (field, day) in [("birthDate", card.birth_date), ("deceasedDateTime", card.died_on)] {
        if let Some(day) = day {
            out[field] = json!(day.to_string());
        }
    }
    out
}

/// `POST /fhir/Patient/$merge`: the records of `source-patient` go to `target-patient`. `reason` (valueString) is required,
/// but for a `preview`, which says what would happen and does nothing. `result-patient` chooses among the values that the
/// registrations of both have.
pub(super) async fn merge(
    State(interface): State<Interface>,
    allowed: Allowed,
    body: axum::body::Bytes,
) -> Reply<Response> {
    let Wanted { from, into, reason, preview, result } = wanted(&body)?;
    let reach = allowed.reach(Purpose::of("identity"))?;
    let order = Order::Merge { into, from };
    let now = interface.clock.now();
    if preview {
        let why = if reason.trim().is_empty() { "接口预览合并" } else { &reason };
        let seen = interface
            .index
            .preview(&reach, &*interface.institutions, &order, result.as_ref(), why, now)
            .await?;
        return Ok(fhir(&foretold(&interface, from, &seen)));
    }
    let at = &*interface.institutions;
    let done = interface.index.operate_as(&reach, at, &order, result.as_ref(), &reason, now).await?;
    let told = issue(format!("已合并，操作编号 {}，可以撤销。", done.operation));
    let outcome = json!({ "resourceType": "OperationOutcome", "issue": [told] });
    let answer = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "outcome", "resource": outcome },
        { "name": "result", "valueReference": { "reference": format!("Patient/{}", done.person) } },
        { "name": "operation", "valueInteger": done.operation },
    ] });
    Ok(fhir(&answer))
}

fn fhir(answer: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], answer.to_string()).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_names_two_persons() {
        let reference = |name: &str, id: &str| json!({ "name": name, "valueReference": { "reference": id } });
        let ask =
            |parameter: Value| json!({ "resourceType": "Parameters", "parameter": parameter }).to_string();
        let good = ask(json!([
            reference("source-patient", "Patient/2"),
            reference("target-patient", "https://a/fhir/Patient/1"),
            { "name": "reason", "valueString": "同一人两次建档" },
        ]));
        let asked =
            Wanted {
                from: 2, into: 1, reason: "同一人两次建档".to_owned(), preview: false, result: None
            };
        assert_eq!(wanted(good.as_bytes()).unwrap(), asked);
        let with = |preview: Value| {
            ask(json!([
                reference("source-patient", "Patient/2"),
                reference("target-patient", "Patient/1"),
                preview
            ]))
        };
        let foresee = with(json!({ "name": "preview", "valueBoolean": true }));
        assert!(wanted(foresee.as_bytes()).unwrap().preview);
        for bad in [
            String::new(),
            "[]".to_owned(),
            ask(json!([reference("source-patient", "Patient/2")])),
            ask(json!([reference("source-patient", "Patient/x"), reference("target-patient", "Patient/1")])),
            with(json!({ "name": "preview", "valueString": "true" })),
            with(json!({ "name": "result-patient", "resource": {} })),
        ] {
            assert!(wanted(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
