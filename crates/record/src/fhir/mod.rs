//! Reading the record as FHIR R4 (C1): Patient search and read, `$everything`, and what this interface can do. The
//! same facts as the browser's, through the same door, with the same audit trail.

mod bundle;
mod cross;
mod matching;
mod patient;
mod resources;
#[cfg(test)]
mod tests;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use contracts::PersonCard;
use kernel::{Caller, Purpose, Refusal, Result};
use serde_json::{Value, json};
use store::{AuditEntry, Gated};
use web::ui::Here;
use web::{Access, Allowed, Reply, Routes};

use crate::Ports;
use crate::door::{Look, NEED, Opened, PURPOSES, nobody};
use crate::facts;
use crate::guard::Barrier;

pub use patient::{patient, replaced};
pub use resources::{Links, MAPPED, resources};

/// Facts of one data set that `$everything` reads at most.
const FACTS: i64 = 5000;
/// Resources of one page when `_count` does not say, and at most.
const PAGE: usize = 500;
const MOST: usize = 2000;
/// People that a search gives at most.
const PEOPLE: i64 = 50;

/// The header by which a program states why it reads the record of a person not in its institution's care.
pub const PURPOSE_HEADER: &str = "x-purpose";

/// The interface.
pub fn routes(ports: Ports) -> Routes<()> {
    let need = Access::Needs(NEED);
    Routes::new()
        .get("/fhir/metadata", Access::Open("what an interface can do is no secret"), metadata)
        .get("/fhir/Patient", need, search)
        .get("/fhir/Patient/$ihe-pix", need, cross::fhir)
        .post("/fhir/Patient/$match", need, matching::find)
        .get("/api/v1/cross-reference", need, cross::json)
        .get("/fhir/Patient/{id}", need, read)
        .get("/fhir/Patient/{id}/$everything", need, everything)
        .with_state(ports)
}

fn answer(resource: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], resource.to_string()).into_response()
}

fn purpose(headers: &HeaderMap) -> Result<Option<Purpose>, Refusal> {
    let Some(value) = headers.get(PURPOSE_HEADER) else { return Ok(None) };
    match value.to_str().ok().filter(|v| PURPOSES.iter().any(|(code, _)| code == v)) {
        Some(code) => Ok(Some(Purpose { code: code.to_owned(), note: "接口调阅时声明".to_owned() })),
        None => {
            let codes: Vec<&str> = PURPOSES.iter().map(|(code, _)| *code).collect();
            Err(Refusal::invalid(
                "record.unknown_purpose",
                format!("请求头 X-Purpose 只能是 {} 之一。", codes.join("、")),
            ))
        }
    }
}

fn barred(barrier: Barrier) -> Refusal {
    match barrier {
        Barrier::Purpose => Refusal::forbidden(
            "record.purpose_needed",
            "这位居民没有在贵机构就诊或建档。请在请求头 X-Purpose 中声明使用目的：care、consultation、emergency、public_health 或 quality。",
        ),
        Barrier::Restricted => Refusal::forbidden(
            "record.restricted",
            "这份健康档案已封存，或居民本人拒绝调阅，接口不能读取。紧急情况请由医生在平台页面上紧急调阅。",
        ),
    }
}

fn number(id: &str) -> Result<i64, Refusal> {
    id.parse().ok().filter(|n| *n > 0).ok_or_else(nobody)
}

/// `GET /fhir/metadata`; with `?mode=terminology`, what the terminology of this server can do.
async fn metadata(State(ports): State<Ports>, here: Here) -> Response {
    let now = ports.clock.now();
    match here.get("mode") {
        Some("terminology") => answer(&bundle::terminology(now, &ports.terminology.tables())),
        _ => answer(&bundle::capabilities(now)),
    }
}

async fn search(State(ports): State<Ports>, allowed: Allowed, here: Here) -> Reply<Response> {
    let text = wanted(&here)?;
    let born = here.get("birthdate").map(|d| d.trim_start_matches("eq").to_owned());
    let reach = allowed.reach(Purpose::of("care"))?;
    let cards = ports
        .db
        .personal(&reach, ports.clock.now(), async |tx, reach| {
            let found = ports.persons.find(tx, reach, &*ports.institutions, &text, PEOPLE).await?;
            let mut cards = ports.persons.cards(tx, &found).await?;
            cards.retain(|card| {
                born.as_ref().is_none_or(|b| card.birth_date.is_some_and(|d| d.to_string() == *b))
            });
            let mut within_reach = Vec::new();
            for card in cards {
                let standing = ports.place_of(tx, reach, &card).await?;
                if standing.care || standing.within {
                    within_reach.push(card);
                }
            }
            let mut cards = within_reach;
            // In the order in which they were found.
            cards.sort_by_key(|card| found.iter().position(|person| *person == card.person_id));
            let entry = AuditEntry {
                act: "fhir.search",
                object_kind: "search",
                object_label: masked(&text),
                detail: Some(json!({ "found": cards.len() })),
                ..AuditEntry::default()
            };
            Ok((cards, entry))
        })
        .await?;
    let tables = ports.terminology.tables();
    // Whoever is only looked for is not told in full: the record itself has the whole numbers.
    let resources: Vec<Value> =
        cards.iter().map(|card| patient(&hidden(card, allowed.caller()), &ports, &tables)).collect();
    Ok(answer(&bundle::searchset(&resources, resources.len(), &here.href(), None)))
}

/// What to look for, as the search of people understands it.
fn wanted(here: &Here) -> Result<String, Refusal> {
    if let Some(identifier) = here.get("identifier") {
        let value = identifier.rsplit('|').next().unwrap_or_default().trim();
        if !value.is_empty() {
            return Ok(value.to_owned());
        }
    }
    match (here.get("name"), here.get("birthdate")) {
        (Some(name), Some(birth)) => Ok(format!("{name} {}", birth.trim_start_matches("eq"))),
        (Some(name), None) => Ok(name.to_owned()),
        _ => Err(Refusal::invalid(
            "fhir.search_too_vague",
            "请用 identifier 或 name（可加 birthdate）查找 Patient；只给出生日期会找出太多居民。",
        )),
    }
}

/// A text of a search for the audit trail: digits in the middle are hidden, as on screens.
fn masked(text: &str) -> String {
    if text.chars().any(|c| c.is_ascii_digit()) { web::mask::credential(text) } else { text.to_owned() }
}

// Where else somebody is a patient tells of their health: that needs the record opened, with its purpose.
fn hidden(card: &PersonCard, caller: &Caller) -> PersonCard {
    let own = card.identities.iter().filter(|i| caller.institution == Some(i.institution));
    PersonCard {
        identities: own.cloned().collect(),
        citizen_id: card.citizen_id.as_deref().map(web::mask::credential),
        phone: web::mask::phone(&card.phone),
        address: String::new(),
        ..card.clone()
    }
}

async fn read(
    State(ports): State<Ports>,
    allowed: Allowed,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Reply<Response> {
    let look = Look { act: "fhir.read", detail: None };
    let opened = ports
        .open(&allowed, number(&id)?, purpose(&headers)?, look, async |_, card| Ok(card.clone()))
        .await?;
    match opened {
        Opened::Shown(card) if card.person_id.to_string() != id => Ok(answer(&replaced(&id, card.person_id))),
        Opened::Shown(card) => Ok(answer(&patient(&card, &ports, &ports.terminology.tables()))),
        Opened::Barred(_, barrier) => Err(barred(barrier).into()),
    }
}

async fn everything(
    State(ports): State<Ports>,
    allowed: Allowed,
    headers: HeaderMap,
    here: Here,
    Path(id): Path<String>,
) -> Reply<Response> {
    let count = here.get("_count").and_then(|c| c.parse().ok()).unwrap_or(PAGE).clamp(1, MOST);
    let offset = here.get("_offset").and_then(|o| o.parse::<usize>().ok()).unwrap_or(0);
    let types: Vec<&str> = here.get("_type").map(|t| t.split(',').collect()).unwrap_or_default();
    let look = Look { act: "fhir.everything", detail: Some(json!({ "offset": offset })) };
    let opened = ports
        .open(&allowed, number(&id)?, purpose(&headers)?, look, async |tx, card| all(&ports, tx, card).await)
        .await?;
    let mut found = match opened {
        Opened::Shown(found) => found,
        Opened::Barred(_, barrier) => return Err(barred(barrier).into()),
    };
    found.retain(|r| types.is_empty() || r["resourceType"].as_str().is_some_and(|t| types.contains(&t)));
    let total = found.len();
    let page: Vec<Value> = found.into_iter().skip(offset).take(count).collect();
    let next = (offset + page.len() < total && !page.is_empty())
        .then(|| here.with(&[("_offset", &(offset + page.len()).to_string())]).href());
    Ok(answer(&bundle::searchset(&page, total, &here.href(), next)))
}

/// The patient and every resource made of the facts.
async fn all(ports: &Ports, tx: &mut Gated<'_>, card: &PersonCard) -> Result<Vec<Value>> {
    let identities: Vec<i64> = card.identities.iter().map(|i| i.identity_id).collect();
    let tables = ports.terminology.tables();
    let mut read = Vec::new();
    for dataset in ports.catalog.datasets.iter().filter(|d| MAPPED.contains(&d.code.as_str())) {
        let found = facts::latest(tx, dataset, &facts::all(dataset), &identities, FACTS).await?;
        read.push((dataset.clone(), found));
    }
    let name = |id| ports.institutions.by_id(id).map(|c| c.name.clone()).unwrap_or_default();
    let links = Links::new(card.person_id, &read, &name);
    let mut out = vec![patient(card, ports, &tables)];
    for (dataset, found) in &read {
        out.extend(found.iter().flat_map(|fact| resources(dataset, fact, &links, &tables)));
    }
    Ok(out)
}
