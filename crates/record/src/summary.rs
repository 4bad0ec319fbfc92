//! What matters now, told from index entries: problems, current medicines, latest measures, alerts. Pure.

use std::collections::{BTreeMap, HashMap};

use catalog::{Catalog, CodeTables};
use chrono::{Duration, NaiveDate};
use contracts::PersonCard;
use kernel::access::InstitutionId;
use web::ui::{Alert, Tone};

use crate::entries::Entry;

/// Medicines prescribed within so many days before the latest event count as current.
const CURRENT_DAYS: i64 = 90;

/// A problem: diagnoses of one ICD-10 category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Three characters, e.g. `I10`.
    pub category: String,
    /// The newest diagnosis in words.
    pub name: String,
    /// Whether it is one that stays.
    pub chronic: bool,
    /// First seen.
    pub first: NaiveDate,
    /// Last seen.
    pub last: NaiveDate,
    /// On how many days.
    pub days: usize,
}

/// A medicine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medicine {
    /// Name and specification.
    pub name: String,
    /// How it is taken, as prescribed last.
    pub usage: String,
    /// First prescribed.
    pub first: NaiveDate,
    /// Last prescribed.
    pub last: NaiveDate,
    /// How often.
    pub count: usize,
    /// Where it was prescribed last.
    pub institution: InstitutionId,
}

/// A measure out of the newest follow-up or examination of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// In words, e.g. `高血压随访 150/95mmHg`.
    pub text: String,
    /// When.
    pub day: NaiveDate,
    /// Whether it was judged abnormal.
    pub abnormal: bool,
    /// Number of its data set.
    pub dataset: i16,
    /// The fact.
    pub fact_id: i64,
}

/// The data sets of the catalogue by what they contribute.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// Diagnoses, one a row.
    pub problems: Vec<i16>,
    /// Events that carry a main diagnosis.
    pub visits: Vec<i16>,
    /// Medicines.
    pub medicines: Vec<i16>,
    /// Allergies.
    pub allergies: Vec<i16>,
    /// Deaths.
    pub deaths: Vec<i16>,
    /// Follow-ups and examinations.
    pub measures: Vec<i16>,
}

impl Kinds {
    /// Sorts the data sets.
    pub fn of(catalog: &Catalog) -> Self {
        let mut kinds = Kinds::default();
        for dataset in &catalog.datasets {
            let Some(view) = &dataset.record else { continue };
            match view.summary.as_str() {
                "problem" => kinds.problems.push(dataset.number),
                "medicine" => kinds.medicines.push(dataset.number),
                "allergy" => kinds.allergies.push(dataset.number),
                "death" => kinds.deaths.push(dataset.number),
                _ if view.section == "visit" && view.disease.is_some() => kinds.visits.push(dataset.number),
                _ if view.section == "public_health" && view.abnormal.is_some() && view.disease.is_none() => {
                    kinds.measures.push(dataset.number);
                }
                _ => {}
            }
        }
        kinds
    }
}

/// ICD-10 categories of diseases that stay: hypertension, diabetes, heart, stroke, lung, tumours, kidney, psychosis …
pub fn is_chronic(category: &str) -> bool {
    let Some((letter, number)) = category.split_at_checked(1) else { return false };
    let Ok(number) = number.parse::<u32>() else { return false };
    match letter {
        "A" => matches!(number, 15..=19),
        "B" => matches!(number, 18 | 20..=24),
        "C" => true,
        "D" => matches!(number, 45..=47 | 50..=64 | 66..=69),
        "E" => matches!(number, 0..=7 | 10..=14 | 20..=27 | 66 | 70..=90),
        "F" => matches!(number, 0..=3 | 10..=39),
        "G" => matches!(number, 10..=13 | 20..=26 | 30..=37 | 40 | 41 | 70..=73 | 80..=83),
        "H" => matches!(number, 25 | 26 | 35 | 36 | 40 | 42),
        "I" => matches!(number, 5..=15 | 20..=25 | 27 | 34..=39 | 42 | 44..=51 | 60..=73),
        "J" => matches!(number, 41..=47 | 60..=65 | 84),
        "K" => matches!(number, 50 | 51 | 70..=74),
        "M" => matches!(number, 5..=9 | 10 | 15..=19 | 30..=36 | 45 | 80..=82),
        "N" => matches!(number, 1..=5 | 18 | 40),
        "Q" => true,
        _ => false,
    }
}

/// The category of a disease code; `None` where it is no ICD-10 code or only says that somebody was examined.
fn category(code: &str) -> Option<&str> {
    let category = code.get(..3)?;
    let mut letters = category.chars();
    let good = letters.next().is_some_and(|c| c.is_ascii_uppercase()) && letters.all(|c| c.is_ascii_digit());
    // Z00–Z13: examination and screening of healthy people.
    let healthy = category.strip_prefix('Z').and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| n <= 13);
    (good && !healthy).then_some(category)
}

/// Problems, those that stay first, then the latest.
pub fn problems(entries: &[&Entry], kinds: &Kinds, tables: &CodeTables) -> Vec<Problem> {
    struct Group<'a> {
        name: Option<&'a str>,
        named_on: NaiveDate,
        days: Vec<NaiveDate>,
    }
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for entry in entries {
        let diagnosis = kinds.problems.contains(&entry.dataset);
        if !diagnosis && !kinds.visits.contains(&entry.dataset) {
            continue;
        }
        let Some(category) = category(&entry.disease) else { continue };
        let group = groups.entry(category).or_insert(Group {
            name: None,
            named_on: NaiveDate::MIN,
            days: Vec::new(),
        });
        group.days.push(entry.day());
        // The words of the diagnosis itself, not of a visit whose title begins with the department.
        if diagnosis && !entry.title.is_empty() && (group.name.is_none() || entry.day() > group.named_on) {
            group.name = Some(&entry.title);
            group.named_on = entry.day();
        } else if group.name.is_none()
            && let Some(known) = tables.get("icd10").and_then(|t| t.name_of(&entry.disease))
        {
            group.name = Some(known);
        }
    }
    let mut list: Vec<Problem> = groups
        .into_iter()
        .map(|(category, mut group)| {
            group.days.sort_unstable();
            group.days.dedup();
            Problem {
                name: group.name.unwrap_or_else(|| tables.display("icd10", category)).to_owned(),
                chronic: is_chronic(category),
                first: group.days.first().copied().unwrap_or_default(),
                last: group.days.last().copied().unwrap_or_default(),
                days: group.days.len(),
                category: category.to_owned(),
            }
        })
        .collect();
    list.sort_by(|a, b| b.chronic.cmp(&a.chronic).then(b.last.cmp(&a.last)).then(b.days.cmp(&a.days)));
    list
}

/// Medicines by name and specification, latest first. Give entries newest first.
pub fn medicines<'a>(entries: impl IntoIterator<Item = &'a Entry>, kinds: &Kinds) -> Vec<Medicine> {
    let mut list: Vec<Medicine> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        if !kinds.medicines.contains(&entry.dataset) || entry.title.is_empty() {
            continue;
        }
        match places.get(entry.title.as_str()) {
            Some(place) => {
                let medicine = &mut list[*place];
                medicine.count += 1;
                medicine.first = medicine.first.min(entry.day());
            }
            None => {
                places.insert(&entry.title, list.len());
                list.push(Medicine {
                    name: entry.title.clone(),
                    usage: entry.detail.clone(),
                    first: entry.day(),
                    last: entry.day(),
                    count: 1,
                    institution: entry.institution,
                });
            }
        }
    }
    list
}

/// Those of them that were prescribed shortly before the latest event.
pub fn current<'a>(medicines: &'a [Medicine], entries: &[Entry]) -> Vec<&'a Medicine> {
    let Some(latest) = entries.iter().map(Entry::day).max() else { return Vec::new() };
    medicines.iter().filter(|m| latest - m.last <= Duration::days(CURRENT_DAYS)).collect()
}

/// The newest follow-up or examination of each kind. Give entries newest first.
pub fn measures(entries: &[Entry], kinds: &Kinds) -> Vec<Measure> {
    let mut seen: Vec<i16> = Vec::new();
    let mut list = Vec::new();
    for entry in entries.iter().filter(|e| kinds.measures.contains(&e.dataset)) {
        if !seen.contains(&entry.dataset) {
            seen.push(entry.dataset);
            list.push(Measure {
                text: entry.title.clone(),
                day: entry.day(),
                abnormal: entry.abnormal,
                dataset: entry.dataset,
                fact_id: entry.fact_id,
            });
        }
    }
    list
}

/// Alerts beside the name, told from problems and the card.
pub fn alerts(
    card: &PersonCard,
    problems: &[Problem],
    entries: &[&Entry],
    kinds: &Kinds,
    today: NaiveDate,
) -> Vec<Alert> {
    let mut list = Vec::new();
    let death = entries.iter().find(|e| kinds.deaths.contains(&e.dataset)).map(|e| e.day());
    if let Some(day) = card.died_on.or(death) {
        list.push(Alert { tone: Tone::Neutral, text: format!("已故 {day}") });
    }
    let has = |wanted: &[&str]| problems.iter().any(|p| wanted.iter().any(|w| p.category.starts_with(w)));
    let recent = |wanted: &[&str], days: i64| {
        problems.iter().any(|p| {
            wanted.iter().any(|w| p.category.starts_with(w)) && today - p.last <= Duration::days(days)
        })
    };
    // A pregnancy and childbed last at most a year together.
    if card.sex != "1" && recent(&["O", "Z33", "Z34", "Z35"], 300) {
        list.push(Alert { tone: Tone::Warn, text: "孕产期".to_owned() });
    }
    if has(&["I10", "I11", "I12", "I13", "I15"]) {
        list.push(Alert { tone: Tone::Warn, text: "高血压".to_owned() });
    }
    if has(&["E10", "E11", "E12", "E13", "E14"]) {
        list.push(Alert { tone: Tone::Warn, text: "糖尿病".to_owned() });
    }
    if has(&["F20", "F22", "F25", "F31"]) {
        list.push(Alert { tone: Tone::Warn, text: "严重精神障碍".to_owned() });
    }
    if recent(&["A15", "A16", "A17", "A18", "A19"], 365) {
        list.push(Alert { tone: Tone::Bad, text: "结核病".to_owned() });
    }
    list
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DIAGNOSIS: i16 = 3;
    const VISIT: i16 = 2;
    const MEDICINE: i16 = 5;

    fn kinds() -> Kinds {
        Kinds {
            problems: vec![DIAGNOSIS],
            visits: vec![VISIT],
            medicines: vec![MEDICINE],
            ..Kinds::default()
        }
    }

    fn entry(dataset: i16, day: &str, disease: &str, title: &str) -> Entry {
        Entry {
            occurred_at: day.parse::<NaiveDate>().unwrap().and_hms_opt(8, 0, 0).unwrap(),
            dataset,
            fact_id: 1,
            institution: InstitutionId::new(1),
            timeline: dataset == VISIT,
            abnormal: false,
            department: String::new(),
            disease: disease.to_owned(),
            title: title.to_owned(),
            detail: String::new(),
            category: String::new(),
        }
    }

    #[test]
    fn diseases_that_stay() {
        for (category, chronic) in [
            ("I10", true),
            ("E11", true),
            ("J44", true),
            ("C34", true),
            ("I63", true),
            ("N18", true),
            ("J06", false),
            ("K29", false),
            ("S52", false),
            ("O80", false),
            ("", false),
            ("高血压", false),
            ("I1x", false),
        ] {
            assert_eq!(is_chronic(category), chronic, "{category}");
        }
    }

    #[test]
    fn problems_are_grouped_by_category_and_those_that_stay_come_first() {
        let entries = [
            entry(DIAGNOSIS, "2025-05-01", "J06.900", "急性上呼吸道感染"),
            entry(VISIT, "2025-03-01", "I10.x00", "全科门诊 高血压"),
            entry(DIAGNOSIS, "2025-03-01", "I10.x00x002", "高血压"),
            entry(DIAGNOSIS, "2024-01-01", "I10.x05", "高血压3级"),
            entry(VISIT, "2023-01-01", "Z00.000", "体检"),
            entry(DIAGNOSIS, "2023-01-01", "不详", "腰痛"),
            entry(MEDICINE, "2025-05-02", "E11", "二甲双胍"),
        ];
        let all: Vec<&Entry> = entries.iter().collect();
        let found = problems(&all, &kinds(), &CodeTables::default());
        let short: Vec<_> = found
            .iter()
            .map(|p| (p.category.as_str(), p.name.as_str(), p.days, p.first.to_string()))
            .collect();
        assert_eq!(
            short,
            [
                ("I10", "高血压", 2, "2024-01-01".to_owned()),
                ("J06", "急性上呼吸道感染", 1, "2025-05-01".to_owned())
            ]
        );
        assert!(problems(&[], &kinds(), &CodeTables::default()).is_empty());
    }

    #[test]
    fn a_medicine_is_current_for_ninety_days_before_the_latest_event() {
        let entries = [
            entry(VISIT, "2025-05-01", "", ""),
            entry(MEDICINE, "2025-02-01", "", "氨氯地平 5mg"),
            entry(MEDICINE, "2025-01-30", "", "阿司匹林 100mg"),
            entry(MEDICINE, "2024-11-01", "", "氨氯地平 5mg"),
        ];
        let all = medicines(&entries, &kinds());
        assert_eq!((all.len(), all[0].count, all[0].first.to_string()), (2, 2, "2024-11-01".to_owned()));
        let names: Vec<&str> = current(&all, &entries).iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["氨氯地平 5mg"]);
        assert!(current(&all, &[]).is_empty());
    }

    #[test]
    fn alerts_follow_problems_sex_and_time() {
        let card = |sex: &str| PersonCard {
            person_id: 1,
            name: String::new(),
            sex: sex.to_owned(),
            birth_date: None,
            citizen_id: None,
            phone: String::new(),
            address: String::new(),
            region: kernel::RegionCode::NATION,
            blood_abo: String::new(),
            blood_rh: String::new(),
            died_on: None,
            identities: Vec::new(),
        };
        let today = "2025-05-15".parse().unwrap();
        for (sex, category, last, expected) in [
            ("2", "O24", "2025-03-01", "孕产期"),
            ("2", "Z34", "2024-06-01", ""),
            ("1", "O24", "2025-03-01", ""),
            ("1", "I11", "2015-03-01", "高血压"),
            ("2", "E11", "2015-03-01", "糖尿病"),
            ("1", "F20", "2015-03-01", "严重精神障碍"),
            ("1", "A16", "2025-01-01", "结核病"),
            ("1", "A16", "2020-01-01", ""),
            ("1", "J06", "2025-05-01", ""),
        ] {
            let problem = Problem {
                category: category.to_owned(),
                name: String::new(),
                chronic: false,
                first: last.parse().unwrap(),
                last: last.parse().unwrap(),
                days: 1,
            };
            let texts: Vec<String> =
                alerts(&card(sex), &[problem], &[], &kinds(), today).into_iter().map(|a| a.text).collect();
            assert_eq!(texts.join(""), expected, "{sex} {category} {last}");
        }
        let dead = PersonCard { died_on: "2024-01-01".parse().ok(), ..card("1") };
        assert_eq!(alerts(&dead, &[], &[], &kinds(), today)[0].text, "已故 2024-01-01");
    }
}
