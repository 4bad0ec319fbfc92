//! `Location`: a division as FHIR sees it, a jurisdiction that is part of another one.

use axum::extract::{Path, State};
use axum::response::Response;
use kernel::RegionCode;
use serde_json::{Value, json};
use web::ui::Here;
use web::{Access, Reply, Routes};

use super::{answer, searchset, window};
use crate::divisions::edition::{self, Wanted};
use crate::divisions::pages::{code_of, unknown};
use crate::divisions::plan::{Unit, parent};
use crate::divisions::{Divisions, operation};

/// The name space of 12-digit division codes.
const CODES: &str = "urn:cn:division:12";
/// That of urban-rural classes.
const CLASSES: &str = "urn:cn:division:urban-rural-class";
const PHYSICAL: &str = "http://terminology.hl7.org/CodeSystem/location-physical-type";

/// The routes of divisions as locations.
pub fn routes(divisions: Divisions) -> Routes<()> {
    let public = Access::SignedIn("行政区划是公开标准，接入程序核对地址时都要查阅");
    Routes::new()
        .get("/fhir/Location", public, search)
        .get("/fhir/Location/{id}", public, read)
        .with_state(divisions)
}

fn location(desk: &Divisions, unit: &Unit, year: i16) -> Value {
    let known = desk.directory.regions_now();
    let in_force = known.edition_on(desk.clock.today()).is_some_and(|e| e.year == year);
    let begins = known.edition(year).map(|e| e.in_force_from);
    let mut resource = json!({
        "resourceType": "Location",
        "id": unit.code,
        "meta": { "versionId": year.to_string() },
        "identifier": [{ "system": CODES, "value": unit.code, "period": { "start": begins } }],
        "status": if in_force { "active" } else { "inactive" },
        "name": unit.name,
        "alias": [known.full_name_in(&unit.code, year)],
        "mode": "instance",
        "physicalType": { "coding": [{ "system": PHYSICAL, "code": "jdn", "display": "Jurisdiction" }],
                          "text": operation::tier_name(&unit.code) },
    });
    if !unit.class.is_empty() {
        resource["type"] = json!([{ "coding": [{ "system": CLASSES, "code": unit.class }] }]);
    }
    if let Some(above) = parent(&unit.code) {
        resource["partOf"] =
            json!({ "reference": format!("Location/{above}"), "display": known.own_name_in(&above, year) });
    }
    resource
}

/// `GET /fhir/Location/{id}`; `date` picks the edition that was in force on a day.
async fn read(State(desk): State<Divisions>, Path(id): Path<String>, here: Here) -> Reply<Response> {
    let code = code_of(&id)?;
    let year = desk.year_of(here.get("year"), here.get("date"))?;
    let unit = edition::one(desk.db(), year, &code).await?.ok_or_else(unknown)?;
    Ok(answer(&location(&desk, &unit, year)))
}

/// `GET /fhir/Location?name=&identifier=&partof=&date=&_count=&_offset=`
async fn search(State(desk): State<Divisions>, here: Here) -> Reply<Response> {
    let year = desk.year_of(here.get("year"), here.get("date"))?;
    let (count, offset) = window(&here);
    let exact = here.get("_id").or_else(|| here.get("identifier"));
    let (units, total) = if let Some(exact) = exact {
        let code = exact.rsplit('|').next().unwrap_or(exact);
        let found = match RegionCode::parse(code) {
            Ok(code) => edition::one(desk.db(), year, &code).await?,
            Err(_) => None,
        };
        let total = usize::from(found.is_some());
        (found.into_iter().collect(), total)
    } else if let Some(above) = here.get("partof") {
        let above = code_of(above.trim_start_matches("Location/"))?;
        let children = edition::children(desk.db(), year, &above).await?;
        let total = children.len();
        (children.into_iter().skip(offset).take(count).collect::<Vec<_>>(), total)
    } else {
        let wanted = Wanted { text: here.get("name").unwrap_or_default().to_owned(), ..Wanted::default() };
        let (units, total) = edition::find(desk.db(), year, &wanted, count as i64, offset as i64).await?;
        (units, usize::try_from(total).unwrap_or_default())
    };
    let resources: Vec<Value> = units.iter().map(|u| location(&desk, u, year)).collect();
    Ok(answer(&searchset(&resources, total, &here)))
}
