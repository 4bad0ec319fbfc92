//! Code tables: sex, ethnicity, ICD-10 … with standard, edition and source.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::problem::Problem;

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
    /// From exact name or alias to position.
    pub by_name: HashMap<Box<str>, u32>,
}

impl CodeTable {
    /// Builds the indexes over the codes. A name that several codes share identifies none of them.
    pub fn index(&mut self) {
        self.by_code = self.codes.iter().enumerate().map(|(i, c)| (c.code.clone(), i as u32)).collect();
        self.by_name = HashMap::with_capacity(self.codes.len());
        let mut shared = HashSet::new();
        for (position, code) in self.codes.iter().enumerate() {
            if self.by_name.insert(code.name.clone(), position as u32).is_some() {
                shared.insert(code.name.clone());
            }
        }
        self.by_name.retain(|name, _| !shared.contains(name));
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

/// Reads a code table in the form of `docs/catalog.md`: a head of `# key: value` lines, a heading line, then one
/// tab-separated code and name a line. A column `aliases` holds other names separated by `|`; further columns are for
/// readers and other programs and are not loaded.
///
/// # Errors
/// Every problem of the file, with its line.
pub fn parse_table(file: &str, text: &str) -> Result<CodeTable, Vec<Problem>> {
    let mut table = CodeTable { complete: true, ..CodeTable::default() };
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    // Columns of the heading line; 0 before it.
    let mut columns = 0;
    let mut alias_column = None;
    let mut aliases: Vec<(&str, u32)> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let mut wrong = |message: String| problems.push(Problem::new(file, index + 1, message));
        if line.trim().is_empty() {
            continue;
        }
        if let Some(head) = line.strip_prefix('#') {
            if columns > 0 {
                continue;
            }
            let Some((key, value)) = head.split_once(':') else { continue };
            let value = value.trim().to_owned();
            match key.trim() {
                "id" => table.id = value,
                "name" => table.name = value,
                "standard" => table.standard = value,
                "edition" => table.edition = value,
                "source" => table.source = value,
                "note" | "columns" => {}
                "complete" => match value.as_str() {
                    "yes" => table.complete = true,
                    "no" => table.complete = false,
                    other => wrong(format!("complete 只能是 yes 或 no，现为“{other}”")),
                },
                other => wrong(format!("不认识的表头项“{other}”")),
            }
            continue;
        }
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        let (code, name, others) = (cells[0], cells.get(1).copied(), cells.len().saturating_sub(2));
        if columns == 0 {
            columns = 2 + others;
            alias_column = cells.iter().position(|c| *c == "aliases");
            if code != "code" || name != Some("name") {
                wrong("第一行数据前应有列名行：code<制表符>name".to_owned());
            }
            continue;
        }
        let Some(name) = name.filter(|_| 2 + others <= columns) else {
            wrong(format!(
                "应为代码、名称等 {columns} 列，用制表符分隔；现有 {} 列",
                1 + usize::from(name.is_some()) + others
            ));
            continue;
        };
        if code.is_empty() || name.is_empty() {
            wrong("代码和名称都不能为空".to_owned());
        } else if let Some(first) = seen.insert(code, index + 1) {
            wrong(format!("代码“{code}”与第 {first} 行重复"));
        } else {
            let position = table.codes.len() as u32;
            table.codes.push(Code { code: code.into(), name: name.into() });
            let others = alias_column.and_then(|c| cells.get(c)).copied().unwrap_or_default();
            aliases.extend(others.split('|').map(str::trim).filter(|a| !a.is_empty()).map(|a| (a, position)));
        }
    }
    if table.id.is_empty() || table.name.is_empty() {
        problems.push(Problem::new(file, 1, "表头缺少 # id 或 # name".to_owned()));
    }
    if table.codes.is_empty() {
        problems.push(Problem::new(file, 1, "没有任何代码".to_owned()));
    }
    table.index();
    for (alias, position) in aliases {
        table.by_name.entry(alias.into()).or_insert(position);
    }
    if problems.is_empty() { Ok(table) } else { Err(problems) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_by_code_name_and_alias() {
        let text = "# id: sex\n# name: 性别\ncode\tname\taliases\n1\t男性\t男|M\n2\t女性\t女\n3\t男\t\n";
        let table = parse_table("sex.tsv", text).unwrap();
        let cases = [
            ("1", Some("1")),
            ("男性", Some("1")),
            ("M", Some("1")),
            ("女", Some("2")),
            ("男", Some("3")),
            ("x", None),
        ];
        for (asked, found) in cases {
            assert_eq!(table.resolve(asked), found, "{asked}");
        }
    }
}
