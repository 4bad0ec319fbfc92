//! JSON of the registers: entries by filter, one entry (also as it was on a day), and the feed of changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use catalog::Register;
use contracts::Institutions;
use kernel::Result;
use serde_json::{Map, Value, json};
use sqlx::Row;
use store::DbDoing;
use web::route::Allowed;
use web::ui::Here;
use web::{Access, Reply, Routes};

use super::Registries;
use super::model::{Entry, State as Standing, Version};
use super::pages::{Place, READ, day, id, reach};
use super::read::{Filter, as_on};

/// Entries in one answer.
const LIMIT: i64 = 200;

/// The routes of the interface.
pub(crate) fn routes(registries: &Registries) -> Routes<()> {
    Routes::new()
        .merge(of("/api/v1/institutions", Place::of(registries, Some("institution"))))
        .merge(of("/api/v1/staff", Place::of(registries, Some("staff"))))
        .merge(of("/api/v1/registry/{kind}", Place::of(registries, None)))
        .merge(
            Routes::new()
                .get("/api/v1/registry/changes", Access::Needs(READ), changes)
                .with_state(registries.clone()),
        )
}

fn of(base: &str, place: Place) -> Routes<()> {
    Routes::new()
        .get(base, Access::Needs(READ), many)
        .get(&format!("{base}/{{id}}"), Access::Needs(READ), one)
        .with_state(place)
}

impl Registries {
    /// An entry as JSON; identifying fields masked.
    pub(crate) fn json(&self, register: &Register, entry: &Entry) -> Result<Value> {
        let texts = self.texts_of(register, entry, false)?;
        let mut values = Map::new();
        for (at, field) in register.dataset.fields.iter().enumerate() {
            let value = match entry.content.get(&field.name) {
                Some(value) => value.clone(),
                None if texts[at].is_empty() => continue,
                None => json!(texts[at]),
            };
            let name = self.shown(register, at, &texts[at]);
            if name != texts[at] {
                values.insert(format!("{}_name", field.name), json!(name));
            }
            values.insert(field.name.clone(), value);
        }
        let institution = self.directory.by_id(entry.institution);
        Ok(json!({
            "id": if register.code() == "institution" { entry.institution.get() } else { entry.id },
            "register": register.code(),
            "name": entry.name,
            "state": entry.state.word(),
            "institution": institution.map(|c| json!({ "code": c.code, "name": c.name })),
            "merged_into": entry.merged_into.and_then(|i| self.directory.by_id(i)).map(|c| c.code.clone()),
            "version": entry.version,
            "completeness": entry.score,
            "updated_at": entry.updated_at,
            "values": values,
        }))
    }
}

async fn many(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Value>> {
    let registries = &place.registries;
    let register: Arc<Register> = place.register(&params)?;
    let reach = reach(&allowed)?;
    let filter = Filter::of(&register, &here, registries.clock.local().date());
    let limit = here.get("limit").and_then(|n| n.parse().ok()).unwrap_or(50).clamp(1, LIMIT);
    let offset = here.get("offset").and_then(|n| n.parse().ok()).unwrap_or(0i64).max(0);
    let total = registries.count(&register, &reach, &filter).await?;
    let entries = registries.page(&register, &reach, &filter, limit, offset).await?;
    let items = entries.iter().map(|e| registries.json(&register, e)).collect::<Result<Vec<_>>>()?;
    Ok(Json(json!({ "total": total, "offset": offset, "items": items })))
}

async fn one(
    State(place): State<Place>,
    params: RawPathParams,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<Value>> {
    let registries = &place.registries;
    let register = place.register(&params)?;
    let mut entry = registries.entry(&register, &reach(&allowed)?, id(&params)?).await?;
    if let Some(on) = here.get("on") {
        let on = day(on, registries.clock.local().date())?;
        let versions = registries.versions(entry.id).await?;
        let version = as_on(&versions, on).ok_or_else(|| {
            kernel::Refusal::not_found(
                "registry.not_yet",
                format!("{on} 当日还没有登记。请选择登记之后的日期。"),
            )
        })?;
        past(&mut entry, version);
    }
    Ok(Json(registries.json(&register, &entry)?))
}

fn past(entry: &mut Entry, version: &Version) {
    entry.content.clone_from(&version.content);
    entry.guarded.clone_from(&version.guarded);
    entry.name.clone_from(&version.name);
    entry.state = version.state;
    entry.institution = version.institution;
    entry.version = version.version;
    entry.updated_at = version.recorded_at;
}

/// `GET /api/v1/registry/changes?since=<cursor>`: what changed in reach after a cursor, oldest first. Ask again with
/// `next` until nothing comes.
async fn changes(State(registries): State<Registries>, allowed: Allowed, here: Here) -> Reply<Json<Value>> {
    let scope = reach(&allowed)?.scope();
    let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
    let since: i64 = here.get("since").and_then(|n| n.parse().ok()).unwrap_or(0);
    let limit = here.get("limit").and_then(|n| n.parse().ok()).unwrap_or(100).clamp(1, 1000);
    let rows = sqlx::query(
        "select v.seq, v.entry_id, v.version, v.kind, v.institution_id, v.change, v.name, v.state, v.valid_from,
            v.recorded_at, v.merged_into
         from registry_version v join institution i on i.id = v.institution_id
         where v.seq > $1 and (i.region like any($2) or v.institution_id = any($3)) and ($4 = '' or v.kind = $4)
         order by v.seq limit $5",
    )
    .bind(since)
    .bind(prefixes)
    .bind(institutions)
    .bind(here.get("register").unwrap_or(""))
    .bind(limit)
    .fetch_all(registries.db.pool())
    .await
    .db("read the feed of changes")?;
    let changes: Vec<Value> = rows
        .iter()
        .map(|row| {
            let institution: i32 = row.get("institution_id");
            let kind: String = row.get("kind");
            let entry: i64 = row.get("entry_id");
            let card = registries.directory.by_id(kernel::Id::new(institution.into()));
            json!({
                "cursor": row.get::<i64, _>("seq"),
                "register": kind,
                "id": if kind == "institution" { i64::from(institution) } else { entry },
                "version": row.get::<i32, _>("version"),
                "change": row.get::<String, _>("change"),
                "name": row.get::<String, _>("name"),
                "state": Standing::parse(row.get("state")).word(),
                "institution": card.map(|c| c.code.clone()),
                "valid_from": row.get::<chrono::NaiveDate, _>("valid_from"),
                "recorded_at": row.get::<chrono::DateTime<chrono::Utc>, _>("recorded_at"),
            })
        })
        .collect();
    let next = rows.last().map_or(since, |row| row.get::<i64, _>("seq"));
    Ok(Json(json!({ "changes": changes, "next": next })))
}
