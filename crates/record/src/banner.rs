//! The person banner of the record, and the few words about a person that may be shown before a purpose is given.

use catalog::CodeTables;
use chrono::{Datelike, NaiveDate};
use contracts::PersonCard;
use kernel::RegionCode;
use web::mask;
use web::ui::{Alert, Allergies, PersonBanner};

/// `男`, `女`, `性别未知`.
pub fn sex(code: &str) -> &'static str {
    match code {
        "1" => "男",
        "2" => "女",
        _ => "性别未知",
    }
}

/// Age in years; in months below one year, in days below one month; empty for a birth yet to come.
pub fn age(birth: NaiveDate, on: NaiveDate) -> String {
    if on < birth {
        return String::new();
    }
    let mut months = (on.year() - birth.year()) * 12 + on.month() as i32 - birth.month() as i32;
    if on.day() < birth.day() {
        months -= 1;
    }
    match months {
        0 => format!("{} 天", (on - birth).num_days()),
        1..12 => format!("{months} 月龄"),
        12..36 => format!("{} 岁 {} 月", months / 12, months % 12),
        _ => format!("{} 岁", months / 12),
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

/// The banner. `region` is the name of the division; `href` leads to the record.
pub fn banner(
    card: &PersonCard,
    today: NaiveDate,
    tables: &CodeTables,
    region: String,
    href: Option<String>,
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
        credential: card.citizen_id.as_deref().map(mask::credential).unwrap_or_default(),
        phone: mask::phone(&card.phone),
        region,
        blood: blood(card, tables),
        doctor: String::new(),
        allergies,
        alerts,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (birth, on, expected) in [
            ("2025-05-01", "2025-05-15", "14 天"),
            ("2025-04-15", "2025-05-15", "1 月龄"),
            ("2024-05-16", "2025-05-15", "11 月龄"),
            ("2024-05-15", "2025-05-15", "1 岁 0 月"),
            ("2022-05-16", "2025-05-15", "2 岁 11 月"),
            ("1958-02-28", "2025-02-27", "66 岁"),
            ("2025-05-16", "2025-05-15", ""),
        ] {
            assert_eq!(age(day(birth), day(on)), expected, "{birth} {on}");
        }
    }
}
