//! Recognising sensitive content in the rows of a data set: which fields tell, compiled once from `sensitivity.toml`.

use std::sync::Arc;

use crate::model::{Dataset, FieldKind};
use crate::protection::{Protection, Recognise, SensitiveCategory};
use crate::value::Value;

/// How a field tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    DiagnosisCode,
    DiagnosisName,
    OperationCode,
    DrugName,
    Item,
    Department,
    Title,
}

/// Tells the category of a row.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    protection: Arc<Protection>,
    /// Category of all rows of the data set, by position; the strictest one.
    whole: Option<usize>,
    signs: Vec<(usize, Sign)>,
}

impl Probe {
    /// The probe of a data set.
    pub fn of(protection: &Arc<Protection>, dataset: &Dataset) -> Self {
        let Recognise {
            diagnosis_tables,
            operation_tables,
            diagnosis_names,
            drug_names,
            items,
            departments,
            titles,
        } = &protection.recognise;
        let mut signs = Vec::new();
        for (position, field) in dataset.fields.iter().enumerate() {
            let named = |names: &[String]| names.contains(&field.name);
            if let FieldKind::Code { table, .. } = &field.kind {
                if diagnosis_tables.contains(table) {
                    signs.push((position, Sign::DiagnosisCode));
                } else if operation_tables.contains(table) {
                    signs.push((position, Sign::OperationCode));
                }
                continue;
            }
            for (names, sign) in [
                (diagnosis_names, Sign::DiagnosisName),
                (drug_names, Sign::DrugName),
                (items, Sign::Item),
                (departments, Sign::Department),
                (titles, Sign::Title),
            ] {
                if named(names) {
                    signs.push((position, sign));
                }
            }
        }
        let of_dataset = |c: &SensitiveCategory| c.datasets.contains(&dataset.code);
        let whole = strictest(protection.categories.iter().enumerate().filter(|(_, c)| of_dataset(c)));
        Self { protection: protection.clone(), whole, signs }
    }

    /// The fields that must be read to tell a row's category.
    pub fn fields(&self) -> impl Iterator<Item = usize> + '_ {
        self.signs.iter().map(|(position, _)| *position)
    }

    /// The category of a row, by its values in the order of the data set's fields: the strictest where several fit;
    /// empty for ordinary content.
    pub fn category(&self, values: &[Value]) -> &str {
        let mut found = self.whole;
        for (position, sign) in &self.signs {
            let Some(text) = values.get(*position).and_then(Value::text).filter(|t| !t.is_empty()) else {
                continue;
            };
            found = strictest(found.map(|at| (at, &self.protection.categories[at])).into_iter().chain(
                self.protection.categories.iter().enumerate().filter(|(_, c)| self.fits(c, *sign, text)),
            ));
        }
        found.map_or("", |at| self.protection.categories[at].code.as_str())
    }

    fn fits(&self, category: &SensitiveCategory, sign: Sign, text: &str) -> bool {
        let has = |words: &[String]| words.iter().any(|word| text.contains(word.as_str()));
        match sign {
            Sign::DiagnosisCode => category.icd10.iter().any(|span| span.contains(text)),
            Sign::OperationCode => category.operations.iter().any(|span| span.contains(text)),
            Sign::DiagnosisName => has(&category.words),
            Sign::DrugName => has(&category.drugs),
            Sign::Item => has(&category.items),
            Sign::Department => has(&category.departments),
            Sign::Title => {
                self.protection.file_class("", text).is_some_and(|class| class.category == category.code)
            }
        }
    }
}

fn strictest<'a>(among: impl Iterator<Item = (usize, &'a SensitiveCategory)>) -> Option<usize> {
    // The first of equals, so that the order of the file decides.
    among
        .fold(None, |best: Option<(usize, u8)>, (at, category)| match best {
            Some((_, level)) if level >= category.level => best,
            _ => Some((at, category.level)),
        })
        .map(|(at, _)| at)
}
