//! The person banner of the record, and the few words about a person that may be shown before a purpose is given.

use catalog::CodeTables;
use chrono::NaiveDate;
use contracts::PersonCard;
use kernel::RegionCode;
use web::ui::{Alert, Allergies, PersonBanner, age};

/// `男`, `女`, `性别未知`.
pub fn sex(code: &str) -> &'static str {
    match code {
        "1" => "男",
        "2" => "女",
        _ => "性别未知",
    }
}

/// A name to show; people without one are told so.
pub fn name(card: &PersonCard) -> &str {
    if card.name.is_empty() { "（未登记姓名）" } else { &card.name }
}

/// Blood type such as `A型 Rh阳性`; empty where neither is known.
fn blood(card: &PersonCard, tables: &CodeTables) -> String {
    let abo = match card.blood_abo.as_str() {
        known @ ("1" | "2" | "3" | "4") => tables.display("cv04_50_005_abo", known),
        _ => "",
    };
    let rh = match card.blood_rh.as_str() {
        "1" => "Rh阴性",
        "2" => "Rh阳性",
        _ => "",
    };
    [abo, rh].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The banner of a card whose values are masked already. `region` is the name of the division; `href` leads to the
/// record, `reveal` to what is masked.
pub fn banner(
    card: &PersonCard,
    today: NaiveDate,
    tables: &CodeTables,
    region: String,
    href: Option<String>,
    reveal: Option<String>,
    allergies: Allergies,
    alerts: Vec<Alert>,
) -> PersonBanner {
    let region = if card.region == RegionCode::NATION { card.address.clone() } else { region };
    PersonBanner {
        name: name(card).to_owned(),
        href,
        sex: sex(&card.sex).to_owned(),
        age: card.birth_date.map(|b| age(b, card.died_on.unwrap_or(today))).unwrap_or_default(),
        birth: card.birth_date.map(|b| b.to_string()).unwrap_or_default(),
        credential: card.citizen_id.clone().unwrap_or_default(),
        phone: card.phone.clone(),
        reveal,
        region,
        blood: blood(card, tables),
        doctor: String::new(),
        allergies,
        alerts,
    }
}

/// A card as this caller sees it: name, number, telephone and address masked by role (`catalog/masks.toml`).
pub fn masked(card: &PersonCard, masks: &catalog::Masks, caller: &kernel::Caller) -> PersonCard {
    let shown = |kind: &str, value: &str| masks.shown_to(caller, kind, value);
    PersonCard {
        name: shown("name", &card.name),
        citizen_id: card.citizen_id.as_deref().map(|number| shown("citizen_id", number)),
        phone: shown("phone", &card.phone),
        address: shown("address", &card.address),
        ..card.clone()
    }
}
