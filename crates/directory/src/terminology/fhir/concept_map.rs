//! `ConceptMap`: the approved local codes of an institution for a table, and `$translate` by them, both ways.
//!
//! The code system of an institution's own codes is `urn:minkang:institution:{upload code}:{table}`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use contracts::InstitutionCard;
use kernel::{Caller, Purpose};
use serde_json::{Value, json};
use store::DbDoing;

use super::params::Params;
use super::{Done, Outcome, finish, paged, parameters, resource_id, searchset, table_id};
use crate::Directory;
use crate::terminology::pages::LOOK;

type Server = State<Arc<Directory>>;
type Asker = Extension<Arc<Caller>>;

/// Lines that a map is shown with at most.
const LINES: i64 = 20_000;

/// A map: whose, and to which table.
struct Map {
    card: Arc<InstitutionCard>,
    table: String,
}

impl Map {
    fn id(&self) -> String {
        format!("{}.{}", self.card.id, resource_id(&self.table))
    }
    fn url(&self) -> String {
        format!("urn:minkang:conceptmap:{}:{}", self.card.code, self.table)
    }
    fn source(&self) -> String {
        format!("urn:minkang:institution:{}:{}", self.card.code, self.table)
    }
}

/// The institutions whose maps a caller may see: the own one, and those that they look after.
fn seen(directory: &Directory, caller: &Caller) -> Vec<Arc<InstitutionCard>> {
    let reach = caller.decide(LOOK, Purpose::of("administration")).ok();
    let all = Arc::clone(&directory.institutions_now().all);
    all.iter()
        .filter(|c| {
            caller.institution == Some(c.id) || reach.as_ref().is_some_and(|r| r.covers(c.id, &c.region))
        })
        .cloned()
        .collect()
}

/// Every map with an approved line that the caller may see, in one query.
async fn maps(directory: &Directory, caller: &Caller) -> Done<Vec<Map>> {
    let cards = seen(directory, caller);
    let ids: Vec<i32> = cards.iter().map(|c| c.id.get() as i32).collect();
    let rows: Vec<(i32, String)> = sqlx::query_as(
        "select distinct institution_id, table_id from code_map where state = 'approved' and institution_id = any($1)
         order by 1, 2",
    )
    .bind(&ids)
    .fetch_all(directory.db.pool())
    .await
    .db("list concept maps")?;
    let map = |(id, table): (i32, String)| {
        let card = cards.iter().find(|c| c.id.get() == i64::from(id))?;
        Some(Map { card: Arc::clone(card), table })
    };
    Ok(rows.into_iter().filter_map(map).collect())
}

async fn by_id(directory: &Directory, caller: &Caller, id: &str) -> Done<Map> {
    let unknown = || Outcome::not_found(format!("没有标识为“{id}”的编码对照。"));
    let (institution, table) = id.split_once('.').ok_or_else(unknown)?;
    let found = maps(directory, caller).await?;
    let table = table_id(table);
    let map = found.into_iter().find(|m| m.card.id.to_string() == institution && m.table == table);
    Ok(map.ok_or_else(unknown)?)
}

/// A line as it is told.
type Line = (String, String, String, String, String);

async fn lines(directory: &Directory, map: &Map) -> Done<Vec<Line>> {
    let rows = sqlx::query_as(
        "select local_code, local_name, standard_code, standard_name, relation from code_map
         where state = 'approved' and institution_id = $1 and table_id = $2 order by local_code limit $3",
    )
    .bind(map.card.id.get() as i32)
    .bind(&map.table)
    .bind(LINES)
    .fetch_all(directory.db.pool())
    .await
    .db("read a concept map")?;
    Ok(rows)
}

/// The lines of some maps for some codes (map by position, code), in one query.
async fn matching(
    directory: &Directory,
    maps: &[Map],
    wanted: &[(usize, &str)],
    reverse: bool,
) -> Done<Vec<(usize, Line)>> {
    type Row = (i64, String, String, String, String, String);
    let rows: Vec<Row> = sqlx::query_as(
        "select n.map, m.local_code, m.local_name, m.standard_code, m.standard_name, m.relation
         from unnest($1::bigint[], $2::int[], $3::text[], $4::text[]) with ordinality
             as n (map, institution_id, table_id, code, at)
         join code_map m on m.state = 'approved' and m.institution_id = n.institution_id
            and m.table_id = n.table_id and case when $5 then m.standard_code else m.local_code end = n.code
         order by n.at, m.local_code limit $6",
    )
    .bind(wanted.iter().map(|(at, _)| *at as i64).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(at, _)| maps[*at].card.id.get() as i32).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(at, _)| maps[*at].table.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, code)| *code).collect::<Vec<_>>())
    .bind(reverse)
    .bind(LINES)
    .fetch_all(directory.db.pool())
    .await
    .db("translate codes")?;
    Ok(rows.into_iter().map(|(map, a, b, c, d, e)| (map as usize, (a, b, c, d, e))).collect())
}

fn describe(directory: &Directory, map: &Map, lines: Option<&[Line]>) -> Value {
    let now = directory.tables_now();
    let target = now.get(&map.table).map(|t| t.canonical()).unwrap_or_default();
    let version = now.get(&map.table).map(|t| t.edition.clone()).unwrap_or_default();
    let mut out = json!({
        "resourceType": "ConceptMap",
        "id": map.id(),
        "url": map.url(),
        "title": format!("{} 院内码对照：{}", map.card.name, now.get(&map.table).map_or(map.table.as_str(), |t| &t.name)),
        "status": "active",
        "sourceUri": map.source(),
        "targetUri": target,
    });
    if let Some(lines) = lines {
        let element = |(local, name, standard, display, relation): &Line| {
            json!({ "code": local, "display": name,
                "target": [{ "code": standard, "display": display, "equivalence": relation }] })
        };
        out["group"] = json!([{ "source": map.source(), "target": target, "targetVersion": version,
            "element": lines.iter().map(element).collect::<Vec<_>>() }]);
    }
    out
}

/// `GET /fhir/ConceptMap?url=&source-system=&target-system=`
pub(super) async fn search(
    State(directory): Server,
    Extension(caller): Asker,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::query(query.as_deref());
    finish(found(&directory, &caller, &params).await)
}

async fn found(directory: &Directory, caller: &Caller, params: &Params) -> Done<String> {
    let now = directory.tables_now();
    let found: Vec<Map> = maps(directory, caller)
        .await?
        .into_iter()
        .filter(|m| {
            params.get("_id").is_none_or(|id| m.id() == id)
                && params.get("url").is_none_or(|u| m.url() == u)
                && params.get("source-system").or(params.get("source")).is_none_or(|s| m.source() == s)
                && params
                    .get("target-system")
                    .or(params.get("target"))
                    .is_none_or(|s| now.get(&m.table).is_some_and(|t| t.is_called(s)))
        })
        .collect();
    let total = found.len();
    let shown = paged(found, params).iter().map(|map| describe(directory, map, None)).collect();
    Ok(searchset("ConceptMap", shown, total, params))
}

/// `GET /fhir/ConceptMap/{id}`
pub(super) async fn read(
    State(directory): Server,
    Extension(caller): Asker,
    Path(id): Path<String>,
) -> Response {
    finish(whole(&directory, &caller, &id).await)
}

async fn whole(directory: &Directory, caller: &Caller, id: &str) -> Done<String> {
    let map = by_id(directory, caller, id).await?;
    let lines = lines(directory, &map).await?;
    Ok(describe(directory, &map, Some(&lines)).to_string())
}

async fn translate(directory: &Directory, caller: &Caller, id: Option<&str>, params: Params) -> Done<String> {
    let codings = params.asked("system")?;
    let reverse = params.flag("reverse");
    let now = directory.tables_now();
    let target = params.get("targetsystem").or(params.get("target"));
    // Which side of a map a system must be on turns with `reverse`.
    let fits = |map: &Map, system: &str| {
        let standard = |s: &str| now.get(&map.table).is_some_and(|t| t.is_called(s));
        let own = |s: &str| map.source() == s;
        let from = |s: &str| if reverse { standard(s) } else { own(s) };
        let to = |s: &str| if reverse { own(s) } else { standard(s) };
        (system.is_empty() || from(system)) && target.is_none_or(to)
    };
    let candidates = match (id, params.get("url")) {
        (Some(id), _) => vec![by_id(directory, caller, id).await?],
        (None, Some(url)) => {
            let found: Vec<Map> =
                maps(directory, caller).await?.into_iter().filter(|m| m.url() == url).collect();
            if found.is_empty() {
                return Err(Outcome::not_found(format!("没有编码对照“{url}”，或不在您的权限范围内。")).into());
            }
            found
        }
        (None, None) => {
            if codings.iter().any(|c| c.system.is_empty()) {
                return Err(Outcome::required("请给出 url，或在 code 之外给出 system。").into());
            }
            maps(directory, caller).await?
        }
    };
    let mut wanted: Vec<(usize, &str)> = Vec::new();
    for coding in &codings {
        let fitting = candidates.iter().enumerate().filter(|(_, map)| fits(map, &coding.system));
        wanted.extend(fitting.map(|(at, _)| (at, coding.code.as_str())));
    }
    let mut matches = Vec::new();
    for (at, (local, name, standard, display, relation)) in
        matching(directory, &candidates, &wanted, reverse).await?
    {
        let map = &candidates[at];
        let Some(table) = now.get(&map.table) else { continue };
        let (equivalence, concept) = if reverse {
            let turned = match relation.as_str() {
                "wider" => "narrower",
                "narrower" => "wider",
                other => other,
            };
            (turned.to_owned(), json!({ "system": map.source(), "code": local, "display": name }))
        } else {
            let concept = json!({ "system": table.canonical(), "version": table.edition,
                "code": standard, "display": display });
            (relation, concept)
        };
        matches.push(json!({ "name": "match", "part": [
            { "name": "equivalence", "valueCode": equivalence },
            { "name": "concept", "valueCoding": concept },
            { "name": "source", "valueUri": map.url() },
        ] }));
    }
    let mut out = vec![json!({ "name": "result", "valueBoolean": !matches.is_empty() })];
    if matches.is_empty() {
        let codes: Vec<&str> = codings.iter().map(|c| c.code.as_str()).collect();
        out.push(
            json!({ "name": "message", "valueString": format!("没有“{}”的已批准对照。", codes.join("、")) }),
        );
    }
    out.extend(matches);
    Ok(parameters(out))
}

pub(super) async fn translate_get(
    State(directory): Server,
    Extension(caller): Asker,
    RawQuery(query): RawQuery,
) -> Response {
    finish(translate(&directory, &caller, None, Params::query(query.as_deref())).await)
}
pub(super) async fn translate_post(
    State(directory): Server,
    Extension(caller): Asker,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => translate(&directory, &caller, None, params).await,
        Err(ended) => Err(ended),
    })
}
pub(super) async fn translate_one_get(
    State(directory): Server,
    Extension(caller): Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    finish(translate(&directory, &caller, Some(&id), Params::query(query.as_deref())).await)
}
pub(super) async fn translate_one_post(
    State(directory): Server,
    Extension(caller): Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => translate(&directory, &caller, Some(&id), params).await,
        Err(ended) => Err(ended),
    })
}
