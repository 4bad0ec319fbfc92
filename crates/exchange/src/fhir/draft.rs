//! A row being filled by field names.

use catalog::{Dataset, FieldKind};
use serde_json::Value;

use super::view;

/// A row being filled. What had to be changed to fit is noted.
pub(super) struct Draft<'a> {
    code: &'static str,
    dataset: &'a Dataset,
    cells: Vec<Option<Box<str>>>,
    notes: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(code: &'static str, dataset: &'a Dataset) -> Self {
        Self { code, dataset, cells: vec![None; dataset.fields.len()], notes: Vec::new() }
    }

    pub(super) fn finish(self) -> (&'static str, Vec<Option<Box<str>>>, Vec<String>) {
        (self.code, self.cells, self.notes)
    }

    /// Whether the data set has such a field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dataset.field(name).is_some()
    }

    pub(super) fn is_empty(&self, name: &str) -> bool {
        self.dataset.field(name).is_none_or(|f| self.cells[f].is_none())
    }

    /// Notes a change in general.
    pub(super) fn note(&mut self, what: &str) {
        self.notes.push(format!("{}：{what}", self.dataset.name));
    }

    fn field(&mut self, name: &str) -> Option<usize> {
        let field = self.dataset.field(name);
        if field.is_none() {
            self.note(&format!("没有字段 {name}，其内容只在原文中"));
        }
        field
    }

    /// Sets a text or code. A text longer than its field is cut, except in the key, where it is refused by the rules.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value.map(str::trim).filter(|v| !v.is_empty()) else { return };
        let Some(field) = self.field(name) else { return };
        let of_key = self.dataset.key.contains(&field)
            || self.dataset.person.as_ref().is_some_and(|p| p.local_no == field)
            || self.dataset.parent.as_ref().is_some_and(|p| p.fields.contains(&field));
        if let FieldKind::Text { max } = self.dataset.fields[field].kind
            && !of_key
            && let Some((end, _)) = value.char_indices().nth(max as usize)
        {
            let title = self.dataset.fields[field].title.clone();
            self.note(&format!("“{title}”超过 {max} 字，已截断，全文见原文"));
            // The last character gives way to the mark of omission.
            let last = value[..end].char_indices().last().map_or(0, |(i, _)| i);
            self.cells[field] = Some(format!("{}…", &value[..last]).into());
            return;
        }
        self.cells[field] = Some(value.into());
    }

    /// Sets a code that does not fit as text would: an over-long one is left out.
    pub(super) fn code(&mut self, name: &str, value: Option<&str>) {
        if value.is_some_and(|v| v.chars().count() <= 50) {
            self.set(name, value);
        }
    }

    /// Sets a number: rounded to what the field holds.
    pub(super) fn number(&mut self, name: &str, value: Option<&Value>) {
        let Some(value) = value.and_then(Value::as_f64).filter(|v| v.is_finite() && v.abs() < 1e15) else {
            return;
        };
        let Some(field) = self.field(name) else { return };
        let written = match self.dataset.fields[field].kind {
            FieldKind::Integer => format!("{value:.0}"),
            FieldKind::Decimal { scale } => format!("{value:.*}", scale as usize),
            _ => value.to_string(),
        };
        self.cells[field] = Some(written.into());
    }

    /// Sets a date or time.
    pub(super) fn when(&mut self, name: &str, written: Option<&str>) {
        let Some(written) = written else { return };
        let Some(field) = self.field(name) else { return };
        let (moment, completed) = view::moment(written);
        if completed {
            let title = self.dataset.fields[field].title.clone();
            self.note(&format!("“{title}”只有年或年月，按其首日记录"));
        }
        let moment = match (&self.dataset.fields[field].kind, moment.get(..10)) {
            (FieldKind::Date, Some(day)) => day,
            _ => &moment,
        };
        self.cells[field] = Some(moment.into());
    }
}
