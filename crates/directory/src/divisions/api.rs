//! The JSON interface: editions, one division with its children, changes, and the mapping between years. Names only: they
//! are a public standard.

use axum::Json;
use axum::extract::{Path, State};
use kernel::{Refusal, RegionCode, Result};
use serde_json::{Value, json};
use sqlx::Row;
use store::DbDoing;
use web::Reply;
use web::ui::Here;

use super::edition::{self, Wanted};
use super::pages::{code_of, unknown};
use super::plan::{Unit, parent};
use super::{Divisions, operation};

/// The most rows of one answer.
const MOST: i64 = 1_000;

fn unit(unit: &Unit, year: i16) -> Value {
    json!({
        "code": unit.code, "name": unit.name, "tier": unit.code.tier(), "tierName": operation::tier_name(&unit.code),
        "parent": parent(&unit.code), "class": unit.class, "origin": unit.origin, "year": year,
    })
}

/// `GET /api/v1/divisions?year=&q=&within=&tier=&offset=`
pub(super) async fn list(State(desk): State<Divisions>, here: Here) -> Reply<Json<Value>> {
    let year = desk.year_of(here.get("year"), here.get("on"))?;
    let wanted = Wanted {
        text: here.get("q").unwrap_or_default().to_owned(),
        within: here.get("within").map(code_of).transpose()?,
        tier: here.get("tier").and_then(|t| serde_json::from_value(json!(t)).ok()),
        ..Wanted::default()
    };
    let offset = here.get("offset").and_then(|o| o.parse().ok()).unwrap_or(0_i64).max(0);
    let (units, total) = edition::find(desk.db(), year, &wanted, MOST, offset).await?;
    let items: Vec<Value> = units.iter().map(|u| unit(u, year)).collect();
    Ok(Json(json!({ "year": year, "total": total, "offset": offset, "items": items })))
}

/// `GET /api/v1/divisions/years`
pub(super) async fn years(State(desk): State<Divisions>) -> Reply<Json<Value>> {
    let known = desk.directory.regions_now();
    let in_force = known.edition_on(desk.clock.today()).map(|e| e.year);
    let items: Vec<Value> = known
        .editions
        .iter()
        .rev()
        .map(|e| json!({ "year": e.year, "inForceFrom": e.in_force_from, "inForce": Some(e.year) == in_force, "source": e.source }))
        .collect();
    Ok(Json(json!({ "items": items })))
}

/// `GET /api/v1/divisions/{code}?year=`: the division, the way to it and its children.
pub(super) async fn one(
    State(desk): State<Divisions>,
    Path(code): Path<String>,
    here: Here,
) -> Reply<Json<Value>> {
    let code = code_of(&code)?;
    let year = desk.year_of(here.get("year"), here.get("on"))?;
    let found = edition::one(desk.db(), year, &code).await?.ok_or_else(unknown)?;
    let children = edition::children(desk.db(), year, &code).await?;
    let mut value = unit(&found, year);
    value["fullName"] = json!(desk.directory.regions_now().full_name_in(&code, year));
    value["children"] = children.iter().map(|u| unit(u, year)).collect();
    Ok(Json(value))
}

/// `GET /api/v1/divisions/changes?from=&to=`: what became of codes after the edition `from` up to `to`.
pub(super) async fn changes(State(desk): State<Divisions>, here: Here) -> Reply<Json<Value>> {
    let to = desk.year_of(here.get("to"), None)?;
    let from = here.get("from").and_then(|y| y.parse().ok()).unwrap_or(to - 1);
    let rows = sqlx::query(
        "select year, kind, from_code, to_code, share, back_share from division_change
         where year > $1 and year <= $2 order by year, operation_id nulls first, id limit 100000",
    )
    .bind(from)
    .bind(to)
    .fetch_all(desk.db().pool())
    .await
    .db("read changes of divisions")?;
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            Ok(json!({
                "year": row.try_get::<i16, _>(0)?, "kind": row.try_get::<&str, _>(1)?, "from": row.try_get::<&str, _>(2)?,
                "to": row.try_get::<&str, _>(3)?, "share": row.try_get::<f64, _>(4)?, "backShare": row.try_get::<f64, _>(5)?,
            }))
        })
        .collect::<Result<_, sqlx::Error>>()
        .db("read changes of divisions")?;
    Ok(Json(json!({ "from": from, "to": to, "items": items })))
}

/// `GET /api/v1/divisions/mapping?code=&own=&asked=`: where codes of one year lie in another, with shares.
pub(super) async fn mapping(State(desk): State<Divisions>, here: Here) -> Reply<Json<Value>> {
    let year = |key: &str| {
        here.get(key).and_then(|y| y.parse::<i16>().ok()).ok_or_else(|| {
            Refusal::invalid("divisions.year", format!("请给出 {key}：区划的年份，例如 2024。"))
        })
    };
    let (own, asked) = (year("own")?, year("asked")?);
    let codes: Vec<RegionCode> = here
        .get("code")
        .unwrap_or_default()
        .split(',')
        .filter(|c| !c.is_empty())
        .map(code_of)
        .collect::<Result<_>>()?;
    if codes.is_empty() || codes.len() > MOST as usize {
        return Err(
            Refusal::invalid("divisions.code", "请给出 code：1 到 1000 个区划代码，用逗号分开。").into()
        );
    }
    let known = desk.directory.regions_now();
    let items: Vec<Value> = codes
        .iter()
        .map(|code| {
            let to: Vec<Value> = known
                .mapping
                .translate(*code, own, asked)
                .into_iter()
                .map(|(code, share)| json!({ "code": code, "name": known.full_name_in(&code, asked), "share": share }))
                .collect();
            json!({ "code": code, "to": to })
        })
        .collect();
    Ok(Json(json!({ "own": own, "asked": asked, "items": items })))
}
