//! Cross reference (交叉索引): all identifiers of a person, found by any one of them, as JSON and as FHIR `$ihe-pix` (IHE
//! ITI-83, PIXm). Where somebody is a patient tells of their health, so it is given through the door of the record.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use contracts::{IdentityRef, PersonCard};
use kernel::access::InstitutionId;
use kernel::{Purpose, Refusal, Result};
use serde::Serialize;
use serde_json::{Value, json};
use store::AuditEntry;
use web::ui::Here;
use web::{Allowed, Reply};

use super::{answer, barred, purpose};
use crate::Ports;
use crate::door::{Look, Opened};

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

fn nobody() -> Refusal {
    Refusal::not_found(
        "index.nobody",
        "没有找到这个标识对应的居民，或者不在您的权限范围内。请核对机构代码和患者编号。",
    )
}

fn institution(ports: &Ports, code: &str) -> Result<InstitutionId, Refusal> {
    ports
        .institutions
        .by_code(code)
        .map(|card| card.id)
        .ok_or_else(|| Refusal::invalid("index.institution", format!("没有机构代码为“{code}”的机构。")))
}

/// The person of an identifier; `None` if there is none in reach, or two who share a card.
async fn person_of(ports: &Ports, allowed: &Allowed, source: &Source) -> Reply<Option<i64>> {
    Ok(match source {
        Source::Person(person) => Some(*person),
        Source::Local { institution, local_no } => ports.lookup.by_local_no(*institution, local_no).await?,
        Source::Number(number) => {
            let reach = allowed.reach(Purpose::of("care"))?;
            let found = ports
                .db
                .personal(&reach, ports.clock.now(), async |tx, reach| {
                    let found = ports.persons.find(tx, reach, &*ports.institutions, number, 2).await?;
                    let entry = AuditEntry {
                        act: "index.cross",
                        object_kind: "search",
                        object_label: super::masked(number),
                        detail: Some(json!({ "found": found.len() })),
                        ..AuditEntry::default()
                    };
                    Ok((found, entry))
                })
                .await?;
            if let [person] = found[..] { Some(person) } else { None }
        }
    })
}

async fn look(ports: &Ports, allowed: &Allowed, headers: &HeaderMap, source: Source) -> Reply<PersonCard> {
    let person = person_of(ports, allowed, &source).await?.ok_or_else(nobody)?;
    let look = Look { act: "index.cross", detail: None };
    let opened =
        ports.open(allowed, person, purpose(headers)?, look, async |_, card| Ok(card.clone())).await?;
    match opened {
        Opened::Shown(card) => Ok(card),
        Opened::Barred(_, barrier) => Err(barred(barrier).into()),
    }
}

#[derive(Debug, Serialize)]
struct IdentifierJson {
    /// Upload code.
    institution: String,
    institution_name: String,
    local_no: String,
}

#[derive(Debug, Serialize)]
pub(super) struct CrossJson {
    /// The platform's number of the person.
    person: i64,
    identifiers: Vec<IdentifierJson>,
}

/// `?institution=&local_no=`, `?number=` or `?person=`; `&target=` names the one institution that is asked about.
pub(super) async fn json(
    State(ports): State<Ports>,
    allowed: Allowed,
    headers: HeaderMap,
    here: Here,
) -> Reply<Json<CrossJson>> {
    let given = |key: &str| here.get(key).map(str::trim).filter(|text| !text.is_empty());
    let source = match (given("institution"), given("local_no"), given("number"), given("person")) {
        (Some(code), Some(local_no), None, None) => {
            Source::Local { institution: institution(&ports, code)?, local_no: local_no.to_owned() }
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
    let target = given("target").map(|code| institution(&ports, code)).transpose()?;
    let card = look(&ports, &allowed, &headers, source).await?;
    let identifiers = card
        .identities
        .into_iter()
        .filter(|i| target.is_none_or(|wanted| wanted == i.institution))
        .map(|i| {
            let issuer = ports.institutions.by_id(i.institution);
            IdentifierJson {
                institution: issuer.as_ref().map(|c| c.code.clone()).unwrap_or_default(),
                institution_name: issuer.map(|c| c.name.clone()).unwrap_or_default(),
                local_no: i.local_no,
            }
        })
        .collect();
    Ok(Json(CrossJson { person: card.person_id, identifiers }))
}

/// `GET /fhir/Patient/$ihe-pix?sourceIdentifier=system|value[&targetSystem=system]`.
pub(super) async fn fhir(
    State(ports): State<Ports>,
    allowed: Allowed,
    headers: HeaderMap,
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
        Source::Local { institution: institution(&ports, code)?, local_no: value.to_owned() }
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
    let card = look(&ports, &allowed, &headers, source).await?;
    let mut parameter: Vec<Value> = card
        .identities
        .iter()
        .filter_map(|identity| target_identifier(&ports, identity, target, (system, value)))
        .collect();
    parameter.push(json!({
        "name": "targetId", "valueReference": { "reference": format!("Patient/{}", card.person_id) },
    }));
    Ok(answer(&json!({ "resourceType": "Parameters", "parameter": parameter })))
}

/// An identifier for the answer; `None` for the one that was asked with, and for those of other systems than the target.
fn target_identifier(
    ports: &Ports,
    identity: &IdentityRef,
    target: Option<&str>,
    (system, value): (&str, &str),
) -> Option<Value> {
    let issuer = ports.institutions.by_id(identity.institution)?;
    let own = contracts::local_no_system(&issuer.code);
    if target.is_some_and(|wanted| wanted != own) || (own == system && identity.local_no == value) {
        return None;
    }
    Some(json!({ "name": "targetIdentifier", "valueIdentifier": {
        "use": "official", "system": own, "value": identity.local_no, "assigner": { "display": issuer.name },
    } }))
}
