//! Reading TOML by hand with positions, so that every problem of a file is found at once and has its line.

use std::cell::RefCell;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::Problem;

/// A value and where it stands (byte offset in its file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At<T> {
    /// The value.
    pub value: T,
    /// Byte offset.
    pub at: usize,
}

/// One definition file: its name, its lines and the problems found so far.
#[derive(Debug)]
pub(crate) struct Source {
    file: String,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.to_owned(), line_starts, problems: RefCell::default() }
    }
    pub fn report(&self, at: usize, message: impl Into<String>) {
        let line = self.line_starts.partition_point(|start| *start <= at);
        self.problems.borrow_mut().push(Problem::new(&self.file, line, message));
    }
    pub fn file(&self) -> &str {
        &self.file
    }
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
    /// Parses the file; syntax errors become problems.
    pub fn parse<'i>(&self, text: &'i str) -> Spanned<DeTable<'i>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.report(at, format!("TOML 语法错误：{}", error.message()));
        }
        table
    }
}

/// A table being read; [`Table::finish`] reports the keys that nobody asked for.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub source: &'a Source,
    pub at: usize,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub fn new(source: &'a Source, table: &'a DeTable<'a>, at: usize) -> Self {
        Self { source, at, table, asked: RefCell::default() }
    }

    pub fn report(&self, at: usize, message: impl Into<String>) {
        self.source.report(at, message);
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        self.report(value.span().start, format!("“{key}”应为{wanted}"));
    }

    /// Whether the table has a key.
    pub fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(k, _)| k.get_ref() == key)
    }

    /// Lets a key pass without reading it.
    pub fn skip(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    pub fn text(&self, key: &'static str) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text, at: value.span().start }),
            _ => {
                self.wrong_type(key, value, "文本");
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub fn needed(&self, key: &'static str) -> At<&'a str> {
        let present = self.has(key);
        match self.text(key) {
            Some(text) if !text.value.trim().is_empty() => text,
            Some(text) => {
                self.report(text.at, format!("“{key}”不能为空"));
                text
            }
            None => {
                if !present {
                    self.report(self.at, format!("缺少“{key}”"));
                }
                At { value: "", at: self.at }
            }
        }
    }

    pub fn string(&self, key: &'static str) -> String {
        self.text(key).map(|t| t.value.to_owned()).unwrap_or_default()
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong_type(key, value, " true 或 false");
                None
            }
        }
    }

    /// A whole number that fits the type.
    pub fn whole<T: FromStr>(&self, key: &'static str) -> Option<At<T>> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong_type(key, value, "整数，且在允许范围内");
        }
        number.map(|number| At { value: number, at: value.span().start })
    }

    pub fn number(&self, key: &'static str) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse::<f64>().ok(),
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|n| n.is_finite());
        if number.is_none() {
            self.wrong_type(key, value, "数值");
        }
        number
    }

    /// A list of texts; absent means empty.
    pub fn texts(&self, key: &'static str) -> Vec<At<&'a str>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "文本列表");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: &**text, at: item.span().start }),
                _ => self.wrong_type(key, item, "文本列表"),
            }
        }
        texts
    }

    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(self.source, table, value.span().start)),
            _ => {
                self.wrong_type(key, value, "表");
                None
            }
        }
    }

    pub fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "表的列表");
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(Table::new(self.source, table, item.span().start)),
                _ => self.wrong_type(key, item, "表的列表"),
            }
        }
        tables
    }

    /// Reports the keys that were never asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            if !asked.iter().any(|a| key.get_ref() == a) {
                self.report(key.span().start, format!("不认识的项“{}”", key.get_ref()));
            }
        }
    }
}
