//! Acts on the index by programs: one order as JSON, its undo, and `POST /fhir/Patient/$merge` (FHIR R5). The same rules,
//! reasons, audit and undo as on the review desk.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kernel::{Purpose, Refusal, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web::{Allowed, Reply};

use super::Interface;
use crate::operations::{Done, Order};

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

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid("fhir.merge", message)
}

/// The two persons and the reason of a `$merge`.
fn wanted(body: &[u8]) -> Result<(i64, i64, String), Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|e| invalid(format!("请求不是合格的 JSON：{e}。")))?;
    if body["resourceType"] != "Parameters" {
        return Err(invalid("请求应是 Parameters 资源，含参数 source-patient 和 target-patient。"));
    }
    let named = |name: &str| body["parameter"].as_array().into_iter().flatten().find(|p| p["name"] == name);
    if named("preview").is_some_and(|p| p["valueBoolean"] == true) {
        return Err(invalid(
            "本接口不做预览。合并随时可以撤销；要先比较两人的登记，请到平台的主索引核对台。",
        ));
    }
    if named("result-patient").is_some() {
        return Err(invalid("不接受 result-patient：合并后显示哪个值由平台按来源选取，可在平台上指定。"));
    }
    let person = |name: &str| {
        named(name)
            .and_then(|p| p["valueReference"]["reference"].as_str())
            .and_then(|reference| reference.rsplit('/').next())
            .and_then(|id| id.parse::<i64>().ok())
            .filter(|id| *id > 0)
            .ok_or_else(|| invalid(format!("缺少参数 {name}，应形如 {{\"reference\": \"Patient/42\"}}。")))
    };
    let reason = named("reason").and_then(|p| p["valueString"].as_str()).unwrap_or_default();
    Ok((person("source-patient")?, person("target-patient")?, reason.to_owned()))
}

/// `POST /fhir/Patient/$merge`: the records of `source-patient` go to `target-patient`. `reason` (valueString) is required.
pub(super) async fn merge(
    State(interface): State<Interface>,
    allowed: Allowed,
    body: axum::body::Bytes,
) -> Reply<Response> {
    let (from, into, reason) = wanted(&body)?;
    let reach = allowed.reach(Purpose::of("identity"))?;
    let order = Order::Merge { into, from };
    let now = interface.clock.now();
    let done = interface.index.operate(&reach, &*interface.institutions, &order, &reason, now).await?;
    let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{
        "severity": "information", "code": "informational",
        "diagnostics": format!("已合并，操作编号 {}，可以撤销。", done.operation),
    }] });
    let answer = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "outcome", "resource": outcome },
        { "name": "result", "valueReference": { "reference": format!("Patient/{}", done.person) } },
        { "name": "operation", "valueInteger": done.operation },
    ] });
    Ok(([(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], answer.to_string()).into_response())
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
        assert_eq!(wanted(good.as_bytes()).unwrap(), (2, 1, "同一人两次建档".to_owned()));
        for bad in [
            String::new(),
            "[]".to_owned(),
            ask(json!([reference("source-patient", "Patient/2")])),
            ask(json!([reference("source-patient", "Patient/x"), reference("target-patient", "Patient/1")])),
            ask(json!([
                reference("source-patient", "Patient/2"),
                reference("target-patient", "Patient/1"),
                { "name": "preview", "valueBoolean": true },
            ])),
        ] {
            assert!(wanted(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
