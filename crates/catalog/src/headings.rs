//! Which field stands behind each column heading of an upload.

use std::collections::HashMap;

use standards::width;

use crate::model::Dataset;

/// The fields of a data set found in a heading line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// For each field of the data set the position of its column.
    pub columns: Vec<Option<usize>>,
    /// For each column the position of its field.
    pub fields: Vec<Option<usize>>,
    /// Headings that belong to no field, as they came.
    pub unknown: Vec<String>,
}

/// Why a heading line cannot be used; its text is Chinese and names every reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .reasons.join("；"))]
pub struct HeadingError {
    /// The reasons.
    pub reasons: Vec<String>,
}

/// The form in which headings are compared: trimmed, half-width, lower case, no byte-order mark.
fn canonical(heading: &str) -> String {
    width::fold(heading.trim_start_matches('\u{feff}')).trim().trim_matches('"').trim().to_lowercase()
}

/// Every name under which the fields of a data set may be headed.
#[derive(Debug, Clone)]
pub struct HeadingNames {
    known: HashMap<String, usize>,
    /// Data-element identifiers that several fields share.
    shared: HashMap<String, Vec<usize>>,
}

impl HeadingNames {
    /// Collects the names of a data set's fields.
    #[must_use]
    pub fn new(dataset: &Dataset) -> Self {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut shared: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, field) in dataset.fields.iter().enumerate() {
            if !field.element.is_empty() {
                shared.entry(canonical(&field.element)).or_default().push(position);
            }
        }
        shared.retain(|element, fields| {
            if let &[only] = fields.as_slice() {
                known.insert(element.clone(), only);
            }
            fields.len() > 1
        });
        // Names last: what is closest to the definition wins.
        for (position, field) in dataset.fields.iter().enumerate() {
            for alias in &field.aliases {
                known.insert(canonical(alias), position);
            }
        }
        for (position, field) in dataset.fields.iter().enumerate() {
            known.insert(canonical(&field.title), position);
        }
        for (position, field) in dataset.fields.iter().enumerate() {
            known.insert(canonical(&field.name), position);
        }
        Self { known, shared }
    }

    /// The field that one heading stands for.
    #[must_use]
    pub fn field(&self, heading: &str) -> Option<usize> {
        self.known.get(&canonical(heading)).copied()
    }
}

/// Finds the fields behind headings, which may be field names, Chinese titles, data-element identifiers or aliases.
///
/// # Errors
/// Two columns of one field, an identifier shared by several fields, or no column for a field of the key, the
/// patient's number or the time of occurrence.
pub fn map_headings(dataset: &Dataset, headings: &[&str]) -> Result<Mapping, HeadingError> {
    let HeadingNames { known, shared } = HeadingNames::new(dataset);
    let mut mapping = Mapping {
        columns: vec![None; dataset.fields.len()],
        fields: vec![None; headings.len()],
        unknown: Vec::new(),
    };
    let mut reasons = Vec::new();
    for (column, heading) in headings.iter().enumerate() {
        let canonical = canonical(heading);
        if canonical.is_empty() {
            continue;
        }
        if let Some(&field) = known.get(&canonical) {
            if let Some(earlier) = mapping.columns[field] {
                reasons.push(format!(
                    "第 {} 列“{}”与第 {} 列“{}”都是“{}”，请只保留一列",
                    earlier + 1,
                    headings[earlier].trim(),
                    column + 1,
                    heading.trim(),
                    dataset.fields[field].title
                ));
            } else {
                mapping.columns[field] = Some(column);
                mapping.fields[column] = Some(field);
            }
        } else if let Some(fields) = shared.get(&canonical) {
            let choices: Vec<String> = fields
                .iter()
                .map(|f| format!("{}（{}）", dataset.fields[*f].title, dataset.fields[*f].name))
                .collect();
            reasons.push(format!(
                "第 {} 列“{}”是多个字段共用的数据元标识，请改用字段名：{}",
                column + 1,
                heading.trim(),
                choices.join("、")
            ));
        } else {
            mapping.unknown.push(heading.trim().trim_start_matches('\u{feff}').to_owned());
        }
    }

    let mut needed = dataset.key.clone();
    needed.push(dataset.occurred);
    needed.extend(dataset.person.as_ref().map(|p| p.local_no));
    needed.sort_unstable();
    needed.dedup();
    let missing: Vec<String> = needed
        .into_iter()
        .filter(|f| mapping.columns.get(*f).is_some_and(Option::is_none))
        .map(|f| format!("“{}”（{}）", dataset.fields[f].title, dataset.fields[f].name))
        .collect();
    if !missing.is_empty() {
        reasons.push(format!("缺少必需的列：{}", missing.join("、")));
    }
    if reasons.is_empty() { Ok(mapping) } else { Err(HeadingError { reasons }) }
}
