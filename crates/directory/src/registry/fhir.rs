//! The registers as FHIR R4: Organization (机构), Practitioner (卫生人员), PractitionerRole (岗位), HealthcareService (科室).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use catalog::Register;
use contracts::Institutions;
use kernel::{Refusal, Result};
use serde_json::{Value, json};
use web::route::Allowed;
use web::ui::Here;
use web::{Access, Reply, Routes};

use super::Registries;
use super::model::{Entry, State as Standing};
use super::pages::{READ, reach};
use super::read::Filter;

/// Entries in one bundle.
const COUNT: i64 = 50;
/// At most.
const MOST: i64 = 500;

/// Systems of identifiers and codes. Those without an official one are named by their standard.
const USCC: &str = "urn:cn:gb32100";
const WS218: &str = "urn:cn:ws218";
const STAFF_NO: &str = "urn:cn:minkang:staff-no";
const LICENCE: &str = "urn:cn:minkang:practice-licence";

/// A resource type over a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Organization,
    Practitioner,
    Role,
    Service,
}

impl Kind {
    const fn resource(self) -> &'static str {
        match self {
            Kind::Organization => "Organization",
            Kind::Practitioner => "Practitioner",
            Kind::Role => "PractitionerRole",
            Kind::Service => "HealthcareService",
        }
    }
    const fn register(self) -> &'static str {
        match self {
            Kind::Organization => "institution",
            Kind::Practitioner | Kind::Role => "staff",
            Kind::Service => "department",
        }
    }
}

#[derive(Clone)]
struct Place {
    registries: Registries,
    kind: Kind,
}

/// The routes of the interface.
pub(crate) fn routes(registries: &Registries) -> Routes<()> {
    [Kind::Organization, Kind::Practitioner, Kind::Role, Kind::Service].into_iter().fold(
        Routes::new(),
        |routes, kind| {
            let place = Place { registries: registries.clone(), kind };
            let base = format!("/fhir/{}", kind.resource());
            routes.merge(
                Routes::new()
                    .get(&base, Access::Needs(READ), search)
                    .get(&format!("{base}/{{id}}"), Access::Needs(READ), read)
                    .with_state(place),
            )
        },
    )
}

fn answer(body: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")], Json(body).into_response().into_body())
        .into_response()
}

impl Registries {
    fn concept(&self, register: &Register, entry: &Entry, field: &str) -> Option<Value> {
        let code = entry.text(field);
        if code.is_empty() {
            return None;
        }
        let at = register.field(field)?;
        let system = match &register.dataset.fields[at].kind {
            catalog::FieldKind::Code { table, .. } => format!("urn:cn:minkang:codes:{table}"),
            _ => return Some(json!({ "text": code })),
        };
        let name = self.shown(register, at, &code);
        Some(json!({ "coding": [{ "system": system, "code": code, "display": name }], "text": name }))
    }

    fn resource(&self, kind: Kind, register: &Register, entry: &Entry) -> Value {
        let body = match kind {
            Kind::Organization => self.organization(register, entry),
            Kind::Practitioner => self.practitioner(register, entry),
            Kind::Role => self.role(register, entry),
            Kind::Service => self.service(register, entry),
        };
        let id = if kind == Kind::Organization { entry.institution.get() } else { entry.id };
        let mut whole = json!({
            "resourceType": kind.resource(),
            "id": id.to_string(),
            "meta": { "versionId": entry.version.to_string(), "lastUpdated": entry.updated_at.to_rfc3339() },
            "active": entry.state == Standing::Active,
        });
        if let (Value::Object(whole), Value::Object(body)) = (&mut whole, body) {
            whole.extend(body.into_iter().filter(|(_, v)| !empty(v)));
        }
        whole
    }

    fn organization(&self, register: &Register, entry: &Entry) -> Value {
        let mut identifiers = vec![json!({ "use": "official", "system": USCC, "value": entry.key })];
        for (field, system) in [("ws218_code", WS218), ("nhsa_code", "urn:cn:nhsa"), ("licence_no", LICENCE)]
        {
            let value = entry.text(field);
            if !value.is_empty() {
                identifiers.push(json!({ "system": system, "value": value }));
            }
        }
        let part_of = [Some(entry.text("parent")).filter(|p| !p.is_empty()), None::<String>]
            .into_iter()
            .flatten()
            .find_map(|code| self.directory.by_code(&code));
        let phone = entry.text("phone");
        let short = entry.text("short_name");
        let region = self.directory.by_id(entry.institution).map(|c| self.directory.region_name(&c.region));
        json!({
            "identifier": identifiers,
            "type": self.concept(register, entry, "class").map(|c| vec![c]),
            "name": entry.name,
            "alias": (!short.is_empty() && short != entry.name).then(|| vec![short]),
            "telecom": (!phone.is_empty()).then(|| json!([{ "system": "phone", "value": phone }])),
            "address": [{ "country": "CN", "district": region, "text": Some(entry.text("address")).filter(|a| !a.is_empty()) }],
            "partOf": part_of.map(|c| reference("Organization", c.id.get(), &c.name)),
        })
    }

    fn practitioner(&self, register: &Register, entry: &Entry) -> Value {
        let sex = match entry.text("sex").as_str() {
            "1" => "male",
            "2" => "female",
            "9" => "other",
            _ => "unknown",
        };
        let birth = entry.text("birth_date");
        let (licence, until) = (entry.text("licence_no"), entry.text("licence_valid_until"));
        let qualification = (!licence.is_empty()).then(|| {
            json!([{
                "identifier": [{ "system": LICENCE, "value": licence }],
                "code": self.concept(register, entry, "licence_kind").unwrap_or_else(|| json!({ "text": "执业证书" })),
                "period": (!until.is_empty()).then(|| json!({ "end": until })),
            }])
        });
        json!({
            "identifier": [{ "system": STAFF_NO, "value": entry.key, "assigner": self.owner(entry) }],
            "name": [{ "use": "official", "text": entry.name }],
            "gender": sex,
            "birthDate": (!birth.is_empty()).then_some(birth),
            "qualification": qualification,
        })
    }

    fn role(&self, register: &Register, entry: &Entry) -> Value {
        let codes: Vec<Value> =
            ["category", "title"].iter().filter_map(|field| self.concept(register, entry, field)).collect();
        let department = entry.text("department");
        let from = entry.text("entered_on");
        json!({
            "practitioner": reference("Practitioner", entry.id, &entry.name),
            "organization": self.owner(entry),
            "code": codes,
            "specialty": (!department.is_empty()).then(|| json!([{ "text": department }])),
            "period": (!from.is_empty()).then(|| json!({ "start": from })),
        })
    }

    fn service(&self, register: &Register, entry: &Entry) -> Value {
        let phone = entry.text("phone");
        json!({
            "identifier": [{ "system": "urn:cn:minkang:department", "value": entry.text("code") }],
            "providedBy": self.owner(entry),
            "name": entry.name,
            "specialty": self.concept(register, entry, "subject").map(|c| vec![c]),
            "telecom": (!phone.is_empty()).then(|| json!([{ "system": "phone", "value": phone }])),
            "comment": Some(entry.text("introduction")).filter(|t| !t.is_empty()),
        })
    }

    fn owner(&self, entry: &Entry) -> Value {
        let name = self.directory.by_id(entry.institution).map(|c| c.name.clone()).unwrap_or_default();
        reference("Organization", entry.institution.get(), &name)
    }
}

fn reference(kind: &str, id: i64, display: &str) -> Value {
    json!({ "reference": format!("{kind}/{id}"), "display": display })
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

async fn read(State(place): State<Place>, allowed: Allowed, Path(id): Path<String>) -> Reply<Response> {
    let registries = &place.registries;
    let register = registries.register(place.kind.register())?.clone();
    let number = id.parse().map_err(|_| {
        Refusal::not_found("fhir.not_found", format!("没有编号为“{id}”的 {}。", place.kind.resource()))
    })?;
    let entry = registries.entry(&register, &reach(&allowed)?, number).await?;
    Ok(answer(registries.resource(place.kind, &register, &entry)))
}

/// Search parameters that are understood; others are refused rather than silently widening the answer.
fn filter(registries: &Registries, kind: Kind, register: &Register, here: &Here) -> Result<Filter> {
    let mut filter = Filter::of(register, &Here::new("", "state=all"), registries.clock.local().date());
    for (name, value) in here.pairs() {
        let token = value.rsplit('|').next().unwrap_or(value);
        match (name.as_str(), kind) {
            ("_count" | "_offset" | "_format", _) => {}
            ("name", _) => filter.text = standards::width::fold(value).trim().to_lowercase(),
            ("identifier", Kind::Organization) => {
                let found = registries.directory.by_code(token);
                filter.institution = Some(found.map_or(0, |c| c.id.get()));
            }
            ("identifier", _) => filter.text = token.to_lowercase(),
            ("type", Kind::Organization) => {
                filter.equal.insert("class".to_owned(), json!(token));
            }
            ("specialty", Kind::Service) => {
                filter.equal.insert("subject".to_owned(), json!(token));
            }
            ("role", Kind::Role) => {
                filter.equal.insert("category".to_owned(), json!(token));
            }
            ("active", _) => {
                filter.state = if value == "true" { "active".to_owned() } else { String::new() };
            }
            ("organization", Kind::Role | Kind::Service) => {
                filter.institution = Some(value.trim_start_matches("Organization/").parse().unwrap_or(0));
            }
            (other, _) => {
                return Err(Refusal::invalid(
                    "fhir.parameter",
                    format!("{} 不支持查询参数“{other}”。", kind.resource()),
                )
                .into());
            }
        }
    }
    Ok(filter)
}

async fn search(State(place): State<Place>, allowed: Allowed, here: Here) -> Reply<Response> {
    let (registries, kind) = (&place.registries, place.kind);
    let register: Arc<Register> = registries.register(kind.register())?.clone();
    let reach = reach(&allowed)?;
    let filter = filter(registries, kind, &register, &here)?;
    let count = here.get("_count").and_then(|n| n.parse().ok()).unwrap_or(COUNT).clamp(0, MOST);
    let offset: i64 = here.get("_offset").and_then(|n| n.parse().ok()).unwrap_or(0i64).max(0);
    let total = registries.count(&register, &reach, &filter).await?;
    let entries = registries.page(&register, &reach, &filter, count, offset).await?;
    let mut links = vec![json!({ "relation": "self", "url": here.href() })];
    if offset + count < total && count > 0 {
        let next = here.with(&[("_offset", (offset + count).to_string().as_str())]);
        links.push(json!({ "relation": "next", "url": next.href() }));
    }
    let found: Vec<Value> = entries
        .iter()
        .map(|e| {
            let resource = registries.resource(kind, &register, e);
            let id = resource.get("id").and_then(Value::as_str).unwrap_or_default();
            json!({
                "fullUrl": format!("/fhir/{}/{id}", kind.resource()), "search": { "mode": "match" }, "resource": resource,
            })
        })
        .collect();
    Ok(answer(json!({
        "resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": found,
    })))
}
