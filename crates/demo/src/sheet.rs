//! Rows under construction: columns by field name, so that a renamed field is noticed.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use catalog::{Catalog, Check, Dataset};

/// A data set as the generator writes it.
#[derive(Debug)]
pub struct Sheet {
    /// Its definition.
    pub dataset: Arc<Dataset>,
    columns: HashMap<String, usize>,
    /// Code fields.
    pub codes: Vec<usize>,
    /// Recommended fields.
    pub recommended: Vec<usize>,
    /// Pairs of fields that must be in order of time.
    pub orders: Vec<(usize, usize)>,
    /// Fields that must equal a sum or product of others.
    pub sums: Vec<usize>,
    /// The field with a citizen number.
    pub citizen: Option<usize>,
}

impl Sheet {
    fn new(dataset: &Arc<Dataset>) -> Self {
        let columns = dataset.fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        let person = dataset.person.as_ref();
        let fixed = |i: usize| {
            dataset.key.contains(&i)
                || dataset.occurred == i
                || dataset.revision == Some(i)
                || person.is_some_and(|p| p.local_no == i)
        };
        let of = |test: &dyn Fn(usize) -> bool| {
            (0..dataset.fields.len()).filter(|i| !fixed(*i) && test(*i)).collect::<Vec<_>>()
        };
        let rule = |test: &dyn Fn(&Check) -> bool| {
            dataset.rules.iter().filter(|r| test(&r.check)).filter_map(|r| r.field).collect::<Vec<_>>()
        };
        Self {
            codes: of(&|i| {
                matches!(dataset.fields[i].kind, catalog::FieldKind::Code { .. })
                    && !dataset.fields[i].required
            }),
            recommended: of(&|i| dataset.fields[i].recommended),
            orders: dataset
                .rules
                .iter()
                .filter_map(|r| match r.check {
                    Check::DateOrder { earlier, later } if !fixed(earlier) || !fixed(later) => {
                        Some((earlier, later))
                    }
                    _ => None,
                })
                .collect(),
            sums: rule(&|c| matches!(c, Check::SumEquals { .. } | Check::ProductEquals { .. })),
            citizen: rule(&|c| matches!(c, Check::CitizenId { .. })).first().copied(),
            columns,
            dataset: dataset.clone(),
        }
    }

    /// The column of a field.
    #[must_use]
    pub fn column(&self, field: &str) -> Option<usize> {
        self.columns.get(field).copied()
    }
}

/// Every data set.
#[derive(Debug)]
pub struct Sheets {
    /// In the order of their numbers.
    pub list: Vec<Sheet>,
    by_code: HashMap<String, usize>,
}

impl Sheets {
    /// The sheets of a catalogue.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let mut list: Vec<Sheet> = catalog.datasets.iter().map(Sheet::new).collect();
        list.sort_by_key(|s| s.dataset.number);
        let by_code = list.iter().enumerate().map(|(i, s)| (s.dataset.code.clone(), i)).collect();
        Self { list, by_code }
    }

    /// A new row of a data set.
    #[must_use]
    pub fn row(&self, dataset: &'static str) -> Row<'_> {
        let set = self.by_code.get(dataset).copied();
        let sheet = set.and_then(|set| self.list.get(set));
        Row {
            set: set.unwrap_or(usize::MAX),
            sheet,
            text: String::with_capacity(512),
            cells: vec![(0, 0); sheet.map_or(0, |s| s.dataset.fields.len())],
            unknown: match sheet {
                Some(_) => Vec::new(),
                None => vec![("", dataset)],
            },
        }
    }
}

/// A row: texts by column.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Position in [`Sheets::list`].
    pub set: usize,
    /// Its sheet; `None` when the catalogue has no such data set.
    pub sheet: Option<&'a Sheet>,
    text: String,
    cells: Vec<(u32, u32)>,
    /// Fields that the definition does not have, with what should have stood in them.
    pub unknown: Vec<(&'static str, &'static str)>,
}

impl Row<'_> {
    /// Writes a field.
    pub fn put(&mut self, field: &'static str, value: impl Display) -> &mut Self {
        match self.sheet.and_then(|s| s.column(field)) {
            Some(column) => self.set_cell(column, value),
            None => self.unknown.push((field, self.sheet.map_or("", |_| "field"))),
        }
        self
    }

    /// Writes a field if there is something to write.
    pub fn put_some(&mut self, field: &'static str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.put(field, value);
        }
        self
    }

    /// Writes a column.
    pub fn set_cell(&mut self, column: usize, value: impl Display) {
        let from = self.text.len() as u32;
        let _ = write!(self.text, "{value}");
        if let Some(cell) = self.cells.get_mut(column) {
            *cell = (from, self.text.len() as u32);
        }
    }

    /// What stands in a column.
    #[must_use]
    pub fn cell(&self, column: usize) -> &str {
        self.cells
            .get(column)
            .and_then(|(from, to)| self.text.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }

    /// How many columns it has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.cells.len()
    }
}

/// An amount of money in fen, written as yuan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fen(pub i64);

impl Display for Fen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}.{:02}", if self.0 < 0 { "-" } else { "" }, self.0.abs() / 100, self.0.abs() % 100)
    }
}

/// A time as uploads write it.
#[derive(Debug, Clone, Copy)]
pub struct At(pub chrono::NaiveDateTime);

impl Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use chrono::{Datelike, Timelike};
        let t = self.0;
        let (y, m, d) = (t.year(), t.month(), t.day());
        write!(f, "{y:04}-{m:02}-{d:02} {:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
    }
}

/// A date as uploads write it.
#[derive(Debug, Clone, Copy)]
pub struct On(pub chrono::NaiveDate);

impl Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use chrono::Datelike;
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}
