//! Code tables: sex, ethnicity, ICD-10 … with standard, edition and source.

use std::collections::HashMap;
use std::sync::Arc;

/// One code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The code.
    pub code: Box<str>,
    /// Its Chinese name.
    pub name: Box<str>,
}

/// A code table.
#[derive(Debug, Clone, Default)]
pub struct CodeTable {
    /// Identifier used by definitions, e.g. `gbt2261_1_sex`.
    pub id: String,
    /// Chinese name.
    pub name: String,
    /// Standard, e.g. `GB/T 2261.1-2003`.
    pub standard: String,
    /// Edition or version label.
    pub edition: String,
    /// Where the content came from.
    pub source: String,
    /// Whether the table holds all codes of its standard; codes missing from a partial table only warn.
    pub complete: bool,
    /// Codes in order.
    pub codes: Vec<Code>,
    /// From code to position.
    pub by_code: HashMap<Box<str>, u32>,
    /// From exact name to position.
    pub by_name: HashMap<Box<str>, u32>,
}

impl CodeTable {
    /// Builds the indexes over the codes.
    pub fn index(&mut self) {
        self.by_code = self.codes.iter().enumerate().map(|(i, c)| (c.code.clone(), i as u32)).collect();
        self.by_name = self.codes.iter().enumerate().map(|(i, c)| (c.name.clone(), i as u32)).collect();
    }
    /// The name of a code.
    pub fn name_of(&self, code: &str) -> Option<&str> {
        self.by_code.get(code).map(|i| &*self.codes[*i as usize].name)
    }
    /// The canonical code for a code or an exact name.
    pub fn resolve(&self, text: &str) -> Option<&str> {
        self.by_code.get(text).or_else(|| self.by_name.get(text)).map(|i| &*self.codes[*i as usize].code)
    }
}

/// All code tables by identifier. Cheap to clone; replaced as a whole when a table is imported.
#[derive(Debug, Clone, Default)]
pub struct CodeTables {
    /// The tables.
    pub tables: HashMap<String, Arc<CodeTable>>,
}

impl CodeTables {
    /// A table.
    pub fn get(&self, id: &str) -> Option<&Arc<CodeTable>> {
        self.tables.get(id)
    }
    /// The name of a code, or the code itself where the table does not know it.
    pub fn display<'a>(&'a self, table: &str, code: &'a str) -> &'a str {
        self.tables.get(table).and_then(|t| t.name_of(code)).unwrap_or(code)
    }
}
