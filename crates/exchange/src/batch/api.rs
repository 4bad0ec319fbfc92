//! The upload interface of institutions.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Line, Need, Purpose, Refusal};
use serde::Deserialize;
use tokio_util::io::StreamReader;
use web::{Access, Allowed, Reply, Routes};

use super::{export, receipt, shown};
use crate::Exchange;
use crate::intake::{Door, Submission};

const SEND: Access = Access::Needs(Need::new(Line::Exchange, Act::Write));
const LOOK: Access = Access::Needs(Need::new(Line::Exchange, Act::Read));

pub(super) fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes
        .get(
            "/api/v1/signing-keys",
            Access::Open("public keys are for everybody who checks a signature"),
            signing_keys,
        )
        .post_stream("/api/v1/datasets/{dataset}/batches", SEND, upload)
        .get("/api/v1/batches", LOOK, list)
        .get("/api/v1/batches/{batch}", LOOK, one)
        .get("/api/v1/batches/{batch}/issues", LOOK, issues)
        .get("/api/v1/batches/{batch}/issues.csv", LOOK, export::issues_csv)
        .get("/api/v1/batches/{batch}/issues.xlsx", LOOK, export::issues_xlsx)
        // Whole rows are clinical content: only for whoever sends them, not for those who watch quality.
        .get("/api/v1/batches/{batch}/repair.csv", SEND, export::repair_csv)
        .get("/api/v1/batches/{batch}/original", SEND, export::original)
}

#[derive(Debug, Deserialize, Default)]
struct UploadQuery {
    /// `all` makes the batch all-or-nothing.
    mode: Option<String>,
    /// `false` answers 202 as soon as the bytes are safe.
    wait: Option<bool>,
    file_name: Option<String>,
    /// For callers that may write for several institutions.
    institution: Option<String>,
}

/// `POST /api/v1/datasets/{dataset}/batches?mode=all&wait=false&file_name=…`
///
/// The body is the file: CSV or NDJSON, plain or gzip, UTF-8 or GB18030. An `Idempotency-Key` header makes a
/// repeated request answer with the first receipt.
async fn upload(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(dataset): Path<String>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("upload"))?;
    let submission = Submission {
        institution: sender(&exchange, allowed.caller(), query.institution.as_deref())?,
        dataset: Some(dataset),
        door: Door::Api,
        file_name: query.file_name.unwrap_or_default(),
        request_key: request_key(&headers)?,
        atomic: mode(query.mode.as_deref())?,
        received_at: None,
    };
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let accepted = exchange.intake.accept(&reach, submission, StreamReader::new(stream)).await?;
    let id = accepted.batch;
    if query.wait == Some(false) {
        exchange.intake.finish_later(accepted);
        let answer = serde_json::json!({ "batch": id, "state": "accepted",
            "links": { "self": format!("/api/v1/batches/{id}") } });
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    exchange.intake.finish(accepted).await?;
    let found = receipt::read(&exchange, &reach, id).await?;
    // A file that could not be read to its end is the sender's to mend; the receipt says how.
    let status = match found.state.as_str() {
        "failed" => StatusCode::UNPROCESSABLE_ENTITY,
        "done" => StatusCode::OK,
        // A repeated request whose first one is still at work.
        _ => StatusCode::ACCEPTED,
    };
    Ok((status, Json(whole(&exchange, &found).await?)).into_response())
}

pub(crate) fn sender(
    exchange: &Exchange,
    caller: &Caller,
    named: Option<&str>,
) -> Result<InstitutionId, Refusal> {
    match named {
        Some(code) => {
            exchange.institutions().by_code(code).map(|card| card.id).ok_or_else(|| {
                Refusal::not_found("institution.unknown", "没有这个机构，或不在您的权限范围内。")
            })
        }
        None => caller.institution.ok_or_else(|| {
            Refusal::invalid(
                "batch.no_institution",
                "您的账号不属于任何机构，请用参数 institution 指明机构编码。",
            )
        }),
    }
}

pub(super) fn mode(text: Option<&str>) -> Result<bool, Refusal> {
    match text {
        None | Some("" | "rows") => Ok(false),
        Some("all") => Ok(true),
        Some(other) => Err(Refusal::invalid(
            "batch.mode",
            format!("参数 mode 只能是 rows（逐行，默认）或 all（整批），收到“{other}”。"),
        )),
    }
}

pub(crate) fn request_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=200).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(Refusal::invalid("batch.key", "Idempotency-Key 须为 1 至 200 个可打印字符。")),
    }
}

async fn whole(exchange: &Exchange, found: &receipt::Receipt) -> kernel::Result<serde_json::Value> {
    receipt::whole(exchange, found).await
}

/// `GET /api/v1/signing-keys`: the public keys with which receipts are checked.
async fn signing_keys(State(exchange): State<Exchange>) -> Reply<Json<serde_json::Value>> {
    let mut keys: Vec<_> = store::keys::public_keys(exchange.db(), "platform")
        .await?
        .into_iter()
        .map(|(id, (algorithm, key))| {
            serde_json::json!({ "key_id": id, "algorithm": algorithm, "public_key": hex::encode(key) })
        })
        .collect();
    keys.sort_by_key(|key| key["key_id"].to_string());
    Ok(Json(serde_json::json!({ "keys": keys })))
}

async fn one(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
) -> Reply<Json<serde_json::Value>> {
    let found = receipt::read(&exchange, &allowed.reach(Purpose::of("quality"))?, batch).await?;
    Ok(Json(whole(&exchange, &found).await?))
}

#[derive(Debug, Deserialize, Default)]
struct ListQuery {
    dataset: Option<String>,
    state: Option<String>,
    day: Option<chrono::NaiveDate>,
    before: Option<i64>,
    limit: Option<i64>,
}

async fn list(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Query(query): Query<ListQuery>,
) -> Reply<Json<serde_json::Value>> {
    let dataset = query.dataset.as_deref().and_then(|d| exchange.catalog().dataset(d)).map(|d| d.number);
    let filter = receipt::Filter {
        institution: None,
        dataset,
        state: query.state,
        day: query.day,
        before: query.before,
    };
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let found = receipt::list(&exchange, &allowed.reach(Purpose::of("quality"))?, &filter, limit).await?;
    let next = if found.len() as i64 == limit { found.last().map(|r| r.id) } else { None };
    let batches: Vec<_> = found.iter().map(|r| receipt::json(r, exchange.catalog(), &[], &[])).collect();
    Ok(Json(serde_json::json!({ "batches": batches, "next_before": next })))
}

#[derive(Debug, Deserialize, Default)]
struct IssueQuery {
    offset: Option<i64>,
    limit: Option<i64>,
}

async fn issues(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    Path(batch): Path<i64>,
    Query(query): Query<IssueQuery>,
) -> Reply<Response> {
    let found = receipt::read(&exchange, &allowed.reach(Purpose::of("quality"))?, batch).await?;
    let (offset, limit) = (query.offset.unwrap_or(0).max(0), query.limit.unwrap_or(200).clamp(1, 5_000));
    let rows = shown::issues(&exchange, &allowed, &found, offset, limit).await?;
    let explained: Vec<_> = rows.iter().map(|r| receipt::explain(exchange.catalog(), r)).collect();
    let answer = serde_json::json!({ "batch": batch, "total": found.issue_count, "offset": offset, "issues": explained });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
