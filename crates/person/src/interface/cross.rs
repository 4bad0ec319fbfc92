//! Cross reference (交叉索引): all identifiers of a person, found by any one of them.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use kernel::access::InstitutionId;
use kernel::{Purpose, Reach, Refusal, RegionCode, Result};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use store::{AuditEntry, DbDoing, Gated};
use web::ui::Here;
use web::{Allowed, Reply};

use super::Interface;
use crate::sealed::{CARD, CITIZEN, CREDENTIAL, Seal};
use crate::{card, care};

/// An identifier by which a person is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// An institution's own number.
    Local { institution: InstitutionId, local_no: String },
    /// A citizen number, other credential or card number.
    Number(String),
    /// The platform's own number of the person.
    Person(i64),
}

/// One identifier of a person.
#[derive(Debug, Clone)]
struct Identifier {
    institution: InstitutionId,
    region: RegionCode,
    local_no: String,
    registered: bool,
}

struct Found {
    person: i64,
    identifiers: Vec<Identifier>,
}

fn nobody() -> Refusal {
    Refusal::not_found(
        "index.nobody",
        "没有找到这个标识对应的居民，或者不在您的权限范围内。请核对机构代码和患者编号。",
    )
}

fn institution(interface: &Interface, code: &str) -> Result<InstitutionId, Refusal> {
    interface
        .institutions
        .by_code(code)
        .map(|card| card.id)
        .ok_or_else(|| Refusal::invalid("index.institution", format!("没有机构代码为“{code}”的机构。")))
}

const BY_NUMBER: &str = "
    select person_id from identity_record where citizen_blind = $1
    union select person_id from identity_record where credential_blind = $2
    union select person_id from identity_record where card_blind = $3
    limit 2";

/// The person of an identifier; `None` if there is none, or two who share a card.
async fn person_of(tx: &mut Gated<'_>, source: &Source) -> Result<Option<i64>> {
    let found: Vec<i64> = match source {
        Source::Person(person) => Ok(vec![card::moved_to(tx, *person).await?.unwrap_or(*person)]),
        Source::Local { institution, local_no } => {
            sqlx::query_scalar(
                "select person_id from identity_record where institution_id = $1 and local_no = $2",
            )
            .bind(i32::try_from(institution.get()).unwrap_or(0))
            .bind(local_no)
            .fetch_all(&mut ***tx)
            .await
        }
        Source::Number(number) => {
            let seal = Seal::of(tx)?;
            let citizen = crate::known::citizen_id("", number);
            sqlx::query_scalar(BY_NUMBER)
                .bind(citizen.and_then(|number| seal.blind(CITIZEN, &number)))
                .bind(seal.blind(CREDENTIAL, number))
                .bind(seal.blind(CARD, number))
                .fetch_all(&mut ***tx)
                .await
        }
    }
    .db("find a person by an identifier")?;
    Ok(if let [person] = found[..] { Some(person) } else { None })
}

async fn identifiers(tx: &mut Gated<'_>, person: i64) -> Result<Vec<Identifier>> {
    let rows = sqlx::query(
        "select institution_id, region, local_no, registered from identity_record where person_id = $1 order by id limit 1000",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read the identifiers of a person")?;
    rows.iter()
        .map(|row| {
            let institution: i32 = row.try_get(0)?;
            Ok(Identifier {
                institution: InstitutionId::new(institution.into()),
                region: RegionCode::parse(row.try_get(1)?).unwrap_or(RegionCode::NATION),
                local_no: row.try_get(2)?,
                registered: row.try_get(3)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .db("read an identifier")
}

/// Whether the person is on the books of an institution in reach, lives in a division in reach, or is in care.
async fn within(tx: &mut Gated<'_>, reach: &Reach, found: &Found, today: NaiveDate) -> Result<bool> {
    let near = found.identifiers.iter().any(|i| reach.covers(i.institution, &i.region));
    Ok(near || care::reaches(tx, found.person, today).await?)
}

async fn look(interface: &Interface, allowed: &Allowed, source: Source) -> Result<Found> {
    let reach = allowed.reach(Purpose::of("care"))?;
    let today = interface.clock.today();
    let found = interface
        .db
        .personal(&reach, interface.clock.now(), async |tx, reach| {
            let mut found = None;
            if let Some(person) = person_of(tx, &source).await? {
                let all = Found { person, identifiers: identifiers(tx, person).await? };
                found = within(tx, reach, &all, today).await?.then_some(all);
            }
            let entry = AuditEntry {
                act: "index.cross",
                object_kind: "person",
                object_id: found.as_ref().map(|f| f.person),
                person_id: found.as_ref().map(|f| f.person),
                outcome: if found.is_some() { "ok" } else { "not_found" },
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    Ok(found.ok_or_else(nobody)?)
}

#[derive(Debug, Serialize)]
struct IdentifierJson {
    /// Upload code.
    institution: String,
    institution_name: String,
    local_no: String,
    /// Whether the institution registered the patient; otherwise only its facts name the number.
    registered: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct CrossJson {
    /// The platform's number of the person.
    person: i64,
    identifiers: Vec<IdentifierJson>,
}

/// `?institution=&local_no=`, `?number=` or `?person=`; `&target=` names the one institution that is asked about.
pub(super) async fn json(
    State(interface): State<Interface>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<CrossJson>> {
    let given = |key: &str| here.get(key).map(str::trim).filter(|text| !text.is_empty());
    let source = match (given("institution"), given("local_no"), given("number"), given("person")) {
        (Some(code), Some(local_no), None, None) => {
            Source::Local { institution: institution(&interface, code)?, local_no: local_no.to_owned() }
        }
        (None, None, Some(number), None) => Source::Number(number.to_owned()),
        (None, None, None, Some(person)) => Source::Person(person.parse().map_err(|_| nobody())?),
        _ => {
            return Err(Refusal::invalid(
                "index.source",
                "请给出一种标识：institution（机构代码）和 local_no（患者编号），或 number（证件号、卡号），或 person（平台居民编号）。",
            )
            .into());
        }
    };
    let target = given("target").map(|code| institution(&interface, code)).transpose()?;
    let found = look(&interface, &allowed, source).await?;
    let identifiers = found
        .identifiers
        .into_iter()
        .filter(|i| target.is_none_or(|wanted| wanted == i.institution))
        .map(|i| {
            let known = interface.institutions.by_id(i.institution);
            IdentifierJson {
                institution: known.as_ref().map(|c| c.code.clone()).unwrap_or_default(),
                institution_name: known.map(|c| c.name.clone()).unwrap_or_default(),
                local_no: i.local_no,
                registered: i.registered,
            }
        })
        .collect();
    Ok(Json(CrossJson { person: found.person, identifiers }))
}

/// `GET /fhir/Patient/$ihe-pix?sourceIdentifier=system|value[&targetSystem=system]` (IHE ITI-83, PIXm 3).
pub(super) async fn fhir(
    State(interface): State<Interface>,
    allowed: Allowed,
    here: Here,
) -> Reply<Response> {
    let wanted = here.get("sourceIdentifier").unwrap_or_default();
    let (system, value) = wanted.split_once('|').unwrap_or_default();
    if value.is_empty() {
        return Err(Refusal::invalid(
            "index.source",
            "参数 sourceIdentifier 应形如 标识体系|标识，例如 urn:minkang:patient-no:机构代码|患者编号。",
        )
        .into());
    }
    let source = if system == contracts::CITIZEN_SYSTEM {
        Source::Number(value.to_owned())
    } else if let Some(code) = contracts::institution_of_system(system) {
        Source::Local { institution: institution(&interface, code)?, local_no: value.to_owned() }
    } else {
        return Err(Refusal::invalid(
            "index.system",
            format!(
                "不认识的标识体系“{system}”。可用：居民身份号码 {}，机构患者编号 {}机构代码。",
                contracts::CITIZEN_SYSTEM,
                contracts::LOCAL_NO_SYSTEM
            ),
        )
        .into());
    };
    let target = here.get("targetSystem").filter(|text| !text.is_empty());
    let found = look(&interface, &allowed, source).await?;
    Ok((
        [(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")],
        parameters(&interface, &found, target, (system, value)).to_string(),
    )
        .into_response())
}

fn parameters(
    interface: &Interface,
    found: &Found,
    target: Option<&str>,
    (system, value): (&str, &str),
) -> Value {
    let mut parameter: Vec<Value> = found
        .identifiers
        .iter()
        .filter_map(|i| {
            let issuer = interface.institutions.by_id(i.institution)?;
            Some((contracts::local_no_system(&issuer.code), i, issuer))
        })
        .filter(|(own, i, _)| target.is_none_or(|t| t == own) && !(own == system && i.local_no == value))
        .map(|(own, i, issuer)| {
            json!({ "name": "targetIdentifier", "valueIdentifier": {
                "use": "official", "system": own, "value": i.local_no, "assigner": { "display": issuer.name },
            } })
        })
        .collect();
    parameter.push(json!({
        "name": "targetId", "valueReference": { "reference": format!("Patient/{}", found.person) },
    }));
    json!({ "resourceType": "Parameters", "parameter": parameter })
}
