//! Code tables: sex, ethnicity, ICD-10 … with standard, edition, hierarchy, retired codes and other names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::hierarchy::Hierarchy;
use crate::problem::Problem;

/// One code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The code.
    pub code: Box<str>,
    /// Its Chinese name.
    pub name: Box<str>,
}

/// A code that is no longer to be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retired {
    /// The code that stands for it now; empty where there is none.
    pub replaced_by: Box<str>,
}

/// A code table.
///
/// Indexes hold positions, not texts: a national table of 34,000 codes costs little beyond its codes and names.
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
    /// Canonical address as FHIR names the table; empty: [`CodeTable::canonical`] makes one.
    pub url: String,
    /// Object identifiers by which documents name it, without `urn:oid:`; the first is the usual one.
    pub oids: Vec<String>,
    /// How broader codes are found.
    pub hierarchy: Hierarchy,
    /// Identifier of the table whose codes are ranges of this one's (chapters, blocks); empty: none.
    pub groups: String,
    /// Whether institutions usually have codes of their own for it, so that coverage is counted.
    pub local_codes: bool,
    /// First day in force, if known.
    pub valid_from: Option<NaiveDate>,
    /// First day no longer in force, if known.
    pub valid_to: Option<NaiveDate>,
    /// Whether the table holds all codes of its standard; codes missing from a partial table only warn.
    pub complete: bool,
    /// Codes in order.
    pub codes: Vec<Code>,
    /// Explicit broader codes: position of the narrower one and the broader code, in order of position.
    pub parents: Vec<(u32, Box<str>)>,
    /// Codes no longer to be used, by position.
    pub retired: HashMap<u32, Retired>,
    /// Other names: position and name, in order of position.
    pub aliases: Vec<(u32, Box<str>)>,
    /// Made by [`CodeTable::index`].
    pub lookup: Lookup,
}

/// From code and name to position.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    by_code: HashTable<u32>,
    /// Positions; those with [`ALIAS`] are of `aliases`.
    by_name: HashTable<u32>,
}

/// Marks a position in `aliases`.
const ALIAS: u32 = 1 << 31;

impl CodeTable {
    /// Builds the indexes over the codes. A name that several codes share identifies none of them; a name proper goes
    /// before an alias.
    pub fn index(&mut self) {
        self.aliases.sort_by_key(|(position, _)| *position);
        self.parents.sort_by_key(|(position, _)| *position);
        let codes = &self.codes;
        let mut by_code = HashTable::with_capacity(codes.len());
        let mut by_name: HashTable<u32> = HashTable::with_capacity(codes.len());
        let mut shared: HashSet<&str> = HashSet::new();
        let code_hash = |at: &u32| hash(&codes[*at as usize].code);
        let name_hash = |at: &u32| hash(&codes[*at as usize].name);
        for (position, code) in codes.iter().enumerate() {
            by_code.insert_unique(hash(&code.code), position as u32, code_hash);
            let hashed = hash(&code.name);
            if by_name.find(hashed, |at| codes[*at as usize].name == code.name).is_some() {
                shared.insert(&code.name);
            } else {
                by_name.insert_unique(hashed, position as u32, name_hash);
            }
        }
        by_name.retain(|at| !shared.contains(&*codes[*at as usize].name));
        let aliases = &self.aliases;
        for (number, (position, alias)) in aliases.iter().enumerate() {
            if *position as usize >= codes.len() {
                continue;
            }
            let hashed = hash(alias);
            if by_name.find(hashed, |at| name_at(codes, aliases, *at) == &**alias).is_none() {
                by_name.insert_unique(hashed, number as u32 | ALIAS, |at| hash(name_at(codes, aliases, *at)));
            }
        }
        self.lookup = Lookup { by_code, by_name };
    }
    /// Where a code stands.
    pub fn position(&self, code: &str) -> Option<u32> {
        self.lookup.by_code.find(hash(code), |at| &*self.codes[*at as usize].code == code).copied()
    }
    /// Whether the table has a code.
    pub fn contains(&self, code: &str) -> bool {
        self.position(code).is_some()
    }
    /// The name of a code.
    pub fn name_of(&self, code: &str) -> Option<&str> {
        self.position(code).map(|at| &*self.codes[at as usize].name)
    }
    /// The canonical code for a code or an exact name.
    pub fn resolve(&self, text: &str) -> Option<&str> {
        self.position(text).or_else(|| self.named(text)).map(|at| &*self.codes[at as usize].code)
    }
    /// Where the code with an exact name or alias stands.
    pub fn named(&self, name: &str) -> Option<u32> {
        let at =
            *self.lookup.by_name.find(hash(name), |at| name_at(&self.codes, &self.aliases, *at) == name)?;
        Some(if at & ALIAS == 0 { at } else { self.aliases[(at & !ALIAS) as usize].0 })
    }
    /// The other names of the code at a position.
    pub fn aliases_of(&self, position: u32) -> impl Iterator<Item = &str> {
        let from = self.aliases.partition_point(|(at, _)| *at < position);
        self.aliases[from..].iter().take_while(move |(at, _)| *at == position).map(|(_, alias)| &**alias)
    }
    /// The next broader code of the table, if it has one.
    pub fn parent(&self, position: u32) -> Option<u32> {
        if let Ok(at) = self.parents.binary_search_by_key(&position, |(at, _)| *at) {
            return self.position(&self.parents[at].1).filter(|at| *at != position);
        }
        let code = &self.codes.get(position as usize)?.code;
        self.hierarchy
            .broader(code)
            .into_iter()
            .find_map(|broader| self.position(&broader).filter(|at| *at != position))
    }
    /// Whether the code `broad` is `narrow` or a broader one of it.
    pub fn subsumes(&self, broad: &str, narrow: &str) -> bool {
        if broad == narrow || self.hierarchy.subsumes(broad, narrow) {
            return true;
        }
        let (Some(broad), Some(mut at)) = (self.position(broad), self.position(narrow)) else { return false };
        // A table with a circle in its explicit parents must not hold us.
        for _ in 0..32 {
            match self.parent(at) {
                Some(parent) if parent == broad => return true,
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    }
    /// The canonical address of the code system.
    pub fn canonical(&self) -> String {
        match (self.url.as_str(), self.oids.first()) {
            ("", Some(oid)) => format!("urn:oid:{oid}"),
            ("", None) => format!("urn:minkang:codes:{}", self.id),
            (url, _) => url.to_owned(),
        }
    }
    /// Whether an address names this code system: its canonical address, one of its object identifiers, its own.
    pub fn is_called(&self, system: &str) -> bool {
        if !self.url.is_empty() && self.url == system {
            return true;
        }
        match system.strip_prefix("urn:oid:") {
            Some(oid) => self.oids.iter().any(|own| own == oid),
            None => system.strip_prefix("urn:minkang:codes:").is_some_and(|id| id == self.id),
        }
    }
    /// Bytes that codes, names and indexes take, about: for the figures of the terminology page.
    pub fn bytes(&self) -> usize {
        let text = |text: &str| size_of::<Box<str>>() + text.len().next_multiple_of(16);
        self.codes.iter().map(|c| text(&c.code) + text(&c.name)).sum::<usize>()
            + self.aliases.iter().map(|(_, a)| 8 + text(a)).sum::<usize>()
            + self.parents.iter().map(|(_, p)| 8 + text(p)).sum::<usize>()
            + (self.lookup.by_code.capacity() + self.lookup.by_name.capacity()) * 8 / 7 * 5
    }
}

fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

fn name_at<'t>(codes: &'t [Code], aliases: &'t [(u32, Box<str>)], at: u32) -> &'t str {
    if at & ALIAS == 0 { &codes[at as usize].name } else { &aliases[(at & !ALIAS) as usize].1 }
}

/// An institution's own codes that have an approved standard code (院内码对照), by table.
#[derive(Debug, Clone, Default)]
pub struct LocalMaps {
    /// By identifier of the table: local code to standard code.
    pub tables: HashMap<String, Arc<LocalMap>>,
}

/// Local code to standard code.
pub type LocalMap = HashMap<Box<str>, Box<str>>;

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
    /// The table that a canonical address, `urn:oid:…` or identifier names.
    pub fn called(&self, system: &str) -> Option<&Arc<CodeTable>> {
        self.tables.get(system).or_else(|| self.tables.values().find(|table| table.is_called(system)))
    }
    /// The name of a code, or the code itself where the table does not know it.
    pub fn display<'a>(&'a self, table: &str, code: &'a str) -> &'a str {
        self.tables.get(table).and_then(|t| t.name_of(code)).unwrap_or(code)
    }
}

/// Reads a code table in the form of `docs/catalog.md`: a head of `# key: value` lines, a heading line, then one
/// tab-separated code and name a line. A column `aliases` holds other names separated by `|`, `parent` the broader
/// code, `status` the word `retired`, `replaced_by` the code that stands for it now; further columns are for readers
/// and other programs and are not loaded.
///
/// # Errors
/// Every problem of the file, with its line.
pub fn parse_table(file: &str, text: &str) -> Result<CodeTable, Vec<Problem>> {
    let mut table = CodeTable { complete: true, ..CodeTable::default() };
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    // Columns of the heading line; 0 before it.
    let mut columns = 0;
    let [mut aliases, mut parent, mut status, mut replaced_by] = [None; 4];
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
                "url" => table.url = value,
                "oid" => {
                    table.oids =
                        value.split([' ', ',']).filter(|o| !o.is_empty()).map(str::to_owned).collect()
                }
                "groups" => table.groups = value,
                "hierarchy" => match Hierarchy::named(&value) {
                    Some(hierarchy) => table.hierarchy = hierarchy,
                    None => wrong(format!("hierarchy 只能是 {}，现为“{value}”", Hierarchy::NAMES.join("、"))),
                },
                "local-codes" => match value.as_str() {
                    "expected" => table.local_codes = true,
                    other => wrong(format!("local-codes 只能是 expected，现为“{other}”")),
                },
                "valid-from" => match value.parse() {
                    Ok(day) => table.valid_from = Some(day),
                    Err(_) => wrong(format!("valid-from 应为日期，例如 2021-01-01，现为“{value}”")),
                },
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
            let column = |name: &str| cells.iter().position(|c| *c == name);
            (aliases, parent) = (column("aliases"), column("parent"));
            (status, replaced_by) = (column("status"), column("replaced_by"));
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
            let cell = |column: Option<usize>| column.and_then(|c| cells.get(c)).copied().unwrap_or_default();
            let others = cell(aliases).split('|').map(str::trim).filter(|a| !a.is_empty());
            table.aliases.extend(others.map(|alias| (position, alias.into())));
            if !cell(parent).is_empty() {
                table.parents.push((position, cell(parent).into()));
            }
            if cell(status) == "retired" {
                table.retired.insert(position, Retired { replaced_by: cell(replaced_by).into() });
            }
        }
    }
    if table.id.is_empty() || table.name.is_empty() {
        problems.push(Problem::new(file, 1, "表头缺少 # id 或 # name".to_owned()));
    }
    if table.codes.is_empty() {
        problems.push(Problem::new(file, 1, "没有任何代码".to_owned()));
    }
    table.index();
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
