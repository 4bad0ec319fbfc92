//! Laboratory results as rows: value, mark, reference, and the key by which results of one item are followed over
//! time. Pure; works for every data set that contributes `result` to the summary.

use catalog::{CodeTables, Dataset};
use chrono::NaiveDateTime;
use kernel::access::InstitutionId;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::facts::{Fact, positions};

/// The fields of a result, by the names that the definition of laboratory results uses.
pub const FIELDS: [&str; 11] = [
    "report_no",
    "item_code",
    "loinc_code",
    "item_name",
    "result_text",
    "result_number",
    "unit",
    "reference_low",
    "reference_high",
    "reference_text",
    "abnormal_flag",
];

/// One result of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// What the item is followed by: its standard code, or its name where it has none.
    pub key: String,
    /// The item's name.
    pub item: String,
    /// The result as text.
    pub value: String,
    /// The result as a number, for charts.
    pub number: Option<f64>,
    /// Unit.
    pub unit: String,
    /// `H`, `L`, `HH`, `LL`, `A`, `N` or empty.
    pub flag: String,
    /// Reference interval as text.
    pub reference: String,
    /// Reference interval as numbers, where both ends are known.
    pub band: Option<(f64, f64)>,
    /// When.
    pub at: NaiveDateTime,
    /// Who sent it.
    pub institution: InstitutionId,
}

impl ResultRow {
    /// Whether it is marked as abnormal.
    pub fn is_abnormal(&self) -> bool {
        !matches!(self.flag.as_str(), "" | "N")
    }
}

/// The positions of [`FIELDS`] in a data set.
pub fn fields(dataset: &Dataset) -> Vec<usize> {
    positions(dataset, &FIELDS)
}

/// Reads a fact; `None` where it names no item.
pub fn row(dataset: &Dataset, fact: &Fact, tables: &CodeTables) -> Option<ResultRow> {
    let loinc = fact.text(dataset, "loinc_code");
    let item = match fact.text(dataset, "item_name") {
        "" if loinc.is_empty() => return None,
        "" => tables.display("lab_item", loinc),
        name => name,
    };
    let number = fact.number(dataset, "result_number");
    let text = fact.text(dataset, "result_text");
    let value = match (text, number) {
        ("", Some(number)) => number.normalize().to_string(),
        (text, _) => text.to_owned(),
    };
    let low = fact.number(dataset, "reference_low");
    let high = fact.number(dataset, "reference_high");
    let as_f64 = |d: Decimal| d.to_f64();
    let reference = match (fact.text(dataset, "reference_text"), low, high) {
        ("", Some(low), Some(high)) => format!("{}–{}", low.normalize(), high.normalize()),
        ("", Some(low), None) => format!("≥{}", low.normalize()),
        ("", None, Some(high)) => format!("≤{}", high.normalize()),
        (text, ..) => text.to_owned(),
    };
    Some(ResultRow {
        key: if loinc.is_empty() { item.to_owned() } else { loinc.to_owned() },
        item: item.to_owned(),
        number: number.and_then(as_f64).or_else(|| text.trim().parse().ok()).filter(|n: &f64| n.is_finite()),
        value,
        unit: fact.text(dataset, "unit").to_owned(),
        flag: fact.text(dataset, "abnormal_flag").to_owned(),
        reference,
        band: low.and_then(as_f64).zip(high.and_then(as_f64)).filter(|(low, high)| low < high),
        at: fact.occurred_at,
        institution: fact.institution,
    })
}

/// Results of one item, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Results, newest first; never empty.
    pub rows: Vec<ResultRow>,
}

impl Item {
    /// The newest.
    pub fn last(&self) -> Option<&ResultRow> {
        self.rows.first()
    }
}

/// Groups results (newest first) by item; items whose newest result is abnormal first, then by date.
pub fn by_item(rows: Vec<ResultRow>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for row in rows {
        match places.get(&row.key) {
            Some(place) => {
                let item: &mut Item = &mut items[*place];
                item.rows.push(row);
            }
            None => {
                places.insert(row.key.clone(), items.len());
                items.push(Item { rows: vec![row] });
            }
        }
    }
    items.sort_by_key(|item| {
        let last = item.last();
        (!last.is_some_and(ResultRow::is_abnormal), std::cmp::Reverse(last.map(|r| r.at.date())))
    });
    items
}

/// The newest result of each item, those that are abnormal. Give rows newest first.
pub fn latest_abnormal(rows: &[ResultRow]) -> Vec<&ResultRow> {
    let mut seen = std::collections::HashSet::new();
    rows.iter().filter(|row| seen.insert(row.key.as_str()) && row.is_abnormal()).collect()
}
