//! Quality for machines: days and ranking as JSON, in the reach of the client.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use catalog::Dimension;
use catalog::score::Score;
use contracts::InstitutionCard;
use kernel::{Purpose, Refusal, Result};
use serde_json::{Value, json};
use web::ui::Here;
use web::{Allowed, Reply};

use super::counts::{self, Asked, Count};
use super::scope::{self, Span};
use super::{ranking, words};
use crate::Exchange;

/// The most days that one request reads.
const MOST_DAYS: i64 = 62;

fn scores(score: &Score) -> Value {
    let of = |d: Dimension| score.of(d).map(rounded);
    json!({
        "total": score.total.map(rounded),
        "completeness": of(Dimension::Completeness), "correctness": of(Dimension::Correctness),
        "timeliness": of(Dimension::Timeliness), "logic": of(Dimension::Logic),
    })
}

// Two digits, cut: 99.999 is not 100.
fn rounded(score: f64) -> f64 {
    (score * 100.0 + 1e-9).floor() / 100.0
}

fn rows(count: &Count) -> Value {
    json!({
        "received": count.received, "stored": count.stored, "unchanged": count.unchanged,
        "replaced": count.replaced, "withdrawn": count.withdrawn, "rejected": count.rejected,
    })
}

fn bad_day(name: &str) -> Refusal {
    Refusal::invalid("quality.day", format!("参数 {name} 须是 2025-03-04 这样的日期。"))
}

/// `GET /api/v1/quality/days?from=&to=&institution=&dataset=`
pub(super) async fn days(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Value>> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let catalog = exchange.catalog();
    let today = exchange.intake.parts().clock.today();
    let day = |name: &str| -> Result<Option<chrono::NaiveDate>> {
        Ok(here.get(name).map(|d| d.parse().map_err(|_| bad_day(name))).transpose()?)
    };
    let to = day("to")?.unwrap_or(today);
    let from = day("from")?.unwrap_or(Span::last(14, to).from);
    if from > to || (to - from).num_days() >= MOST_DAYS {
        return Err(Refusal::invalid(
            "quality.span",
            format!("from 不能晚于 to，一次最多查询 {MOST_DAYS} 天。请缩短日期范围后分几次查询。"),
        )
        .into());
    }
    let dataset =
        match here.get("dataset") {
            None => None,
            Some(code) => Some(catalog.dataset(code).map(|d| d.number).ok_or_else(|| {
                Refusal::not_found("dataset.unknown", format!("没有名为“{code}”的数据集。"))
            })?),
        };
    let cards: Vec<Arc<InstitutionCard>> = match here.get("institution") {
        Some(code) => vec![scope::one(exchange.institutions().as_ref(), &reach, code)?],
        None => scope::in_reach(exchange.institutions().as_ref(), &reach),
    };
    let numbers = scope::numbers(&cards);
    let asked = Asked { institutions: &numbers, dataset, from, to };
    let counted = counts::by_dataset(exchange.db(), catalog, asked).await?;
    let found: Vec<Value> = counted
        .iter()
        .filter_map(|c| {
            let card = cards.iter().find(|card| card.id.get() == c.institution)?;
            let dataset = catalog.dataset_by_number(*c.came.first()?)?;
            Some(json!({
                "day": c.day, "institution": card.code, "dataset": dataset.code,
                "rows": rows(&c.count), "score": scores(&c.count.score(catalog)),
            }))
        })
        .collect();
    Ok(Json(json!({ "from": from, "to": to, "days": found })))
}

/// `GET /api/v1/quality/ranking?day_from=&day_to=&dataset=&county=&class=`
pub(super) async fn ranking(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Value>> {
    let found = ranking::gather(&exchange, &allowed, &here).await?;
    let ranked: Vec<Value> = found
        .ranked
        .iter()
        .map(|r| {
            json!({
                "rank": r.rank, "institution": r.line.card.code, "name": r.line.card.name,
                "class": r.line.card.sender_class, "region": r.line.card.region.as_str(),
                "rows": rows(&r.line.total), "score": scores(&r.score),
                "blank_days": r.line.blank_days(), "missing": r.line.missing(),
            })
        })
        .collect();
    let weights: serde_json::Map<String, Value> = Dimension::ALL
        .iter()
        .zip(exchange.catalog().quality.weights)
        .map(|(d, w)| (words::key(*d).to_owned(), json!(w)))
        .collect();
    Ok(Json(json!({ "from": found.span.from, "to": found.span.to, "weights": weights, "ranking": ranked })))
}
