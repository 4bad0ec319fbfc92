//! The FHIR door: `POST /fhir` takes R4 `transaction` and `batch` bundles, or NDJSON of resources.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use kernel::{Act, Line, Need, Purpose, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row;
use store::DbDoing;
use tokio_util::io::StreamReader;
use web::{Access, Allowed, Reply, Routes};

use crate::Exchange;
use crate::batch::{self, Receipt, sender};
use crate::intake::{Door, NO_RESOURCE, Submission};

const SEND: Access = Access::Needs(Need::new(Line::Exchange, Act::Write));

/// Entries listed in an answer; a longer batch answers with its receipt alone.
const LISTED: i64 = 5_000;

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes.post_stream("/fhir", SEND, take)
}

#[derive(Debug, Deserialize, Default)]
struct TakeQuery {
    institution: Option<String>,
    file_name: Option<String>,
}

/// Takes a bundle in whole before answering: what the answer calls stored can be searched already.
async fn take(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Query(query): Query<TakeQuery>,
    headers: axum::http::HeaderMap,
    body: Body,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("upload"))?;
    let submission = Submission {
        institution: sender(&exchange, allowed.caller(), query.institution.as_deref())?,
        dataset: None,
        door: Door::Fhir,
        file_name: query.file_name.unwrap_or_default(),
        request_key: batch::request_key(&headers)?,
        atomic: false,
        received_at: None,
    };
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let accepted = exchange.intake.accept(&reach, submission, StreamReader::new(stream)).await?;
    let id = exchange.intake.finish(accepted).await?;
    let receipt = batch::read(&exchange, &reach, id).await?;
    let number = [(HeaderName::from_static("x-minkang-batch"), id.to_string())];
    if receipt.state == "failed" {
        let outcome = outcome("error", "structure", receipt.failure.as_deref().unwrap_or_default());
        return Ok((StatusCode::BAD_REQUEST, number, Json(outcome)).into_response());
    }
    if !receipt.is_final() {
        // A repeated request whose first one is still at work: nothing may be called stored yet.
        let text = format!("批次 {id} 已接收，正在处理；稍后用同一请求再查，或查看批次回执。");
        let outcome = outcome("information", "incomplete", &text);
        return Ok((StatusCode::ACCEPTED, number, Json(outcome)).into_response());
    }
    let answer = answer(&exchange, &receipt).await?;
    Ok((StatusCode::OK, number, Json(answer)).into_response())
}

fn outcome(severity: &str, code: &str, text: &str) -> Value {
    json!({ "resourceType": "OperationOutcome",
        "issue": [{ "severity": severity, "code": code, "diagnostics": text }] })
}

/// One entry per resource, in order: stored, rejected (with why) or kept but not mapped; the receipt first.
async fn answer(exchange: &Exchange, receipt: &Receipt) -> Result<Value> {
    let summary = batch::whole(exchange, receipt).await?;
    let resources: i64 = sqlx::query_scalar("select rows_done from batch where id = $1")
        .bind(receipt.id)
        .fetch_one(exchange.db().pool())
        .await
        .db("count the resources of a batch")?;
    let mut entries: Vec<Value> = Vec::new();
    if resources <= LISTED {
        entries = (0..resources).map(|_| json!({ "response": { "status": "200 OK" } })).collect();
        let unmapped = sqlx::query("select position, kind, reason from kept_resource where batch_id = $1")
            .bind(receipt.id)
            .fetch_all(exchange.db().pool())
            .await
            .db("read what a batch kept unmapped")?;
        for row in unmapped {
            let (position, kind, reason): (i32, String, String) = (
                row.try_get(0).db("read a kept resource")?,
                row.try_get(1).db("read a kept resource")?,
                row.try_get(2).db("read a kept resource")?,
            );
            if kind == NO_RESOURCE {
                if let Some(entry) = usize::try_from(position - 1).ok().and_then(|p| entries.get_mut(p)) {
                    *entry = json!({ "response": { "status": "422 Unprocessable Entity",
                        "outcome": outcome("error", "structure", &reason) } });
                }
                continue;
            }
            let text = format!("{kind}：{reason}。原文已保留，未映射。");
            if let Some(entry) = usize::try_from(position - 1).ok().and_then(|p| entries.get_mut(p)) {
                *entry = json!({ "response": { "status": "202 Accepted",
                    "outcome": outcome("information", "not-supported", &text) } });
            }
        }
        for issue in batch::rejections(exchange.db(), receipt.id).await? {
            let why = batch::explain(exchange.catalog(), &issue);
            let text = format!("{}：{}。{}", why.title, why.message, why.hint);
            if let Some(entry) = usize::try_from(issue.row_no - 1).ok().and_then(|p| entries.get_mut(p)) {
                *entry = json!({ "response": { "status": "422 Unprocessable Entity",
                    "outcome": outcome("error", "business-rule", &text) } });
            }
        }
    }
    Ok(json!({
        "resourceType": "Bundle",
        "type": "transaction-response",
        "meta": { "tag": [{ "system": "urn:minkang:batch", "code": receipt.id.to_string() }] },
        "extension": [{ "url": "urn:minkang:receipt", "valueString": summary.to_string() }],
        "entry": entries,
    }))
}
