//! Code tables (代码表): editions that the operator loads over the shipped tables, and what is in force.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use catalog::{Code, CodeTable, CodeTables};
use chrono::{DateTime, Utc};
use kernel::{Refusal, Result};
use sqlx::Row;
use standards::pinyin::initials;
use store::copy::CopyRows;
use store::{Db, DbDoing, Tx};

use crate::reader::CodeRow;
use crate::{Directory, Registry};

/// An edition of a code table to be loaded.
#[derive(Debug, Clone)]
pub struct CodeImport {
    /// Identifier of the table as definitions name it, e.g. `icd10`.
    pub table_id: String,
    /// Chinese name; empty: as the table in force.
    pub name: String,
    /// Standard; empty: as the table in force.
    pub standard: String,
    /// Label of the edition, e.g. `国家临床版 2.0`.
    pub edition: String,
    /// Where the file came from.
    pub source: String,
    /// Whether it holds all codes of its standard.
    pub complete: bool,
    /// The codes.
    pub rows: Vec<CodeRow>,
    /// Only say what would change.
    pub dry_run: bool,
    /// Who loads it.
    pub loaded_by: String,
}

/// How many, and the first few of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    /// How many there are.
    pub count: usize,
    /// The first ones, for people.
    pub first: Vec<String>,
}

/// How many examples a report shows.
const EXAMPLES: usize = 20;

impl Sample {
    fn push(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < EXAMPLES {
            self.first.push(text());
        }
    }
}

/// What an import changes (or would change) against the table in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ImportReport {
    /// Codes that were not there.
    pub added: Sample,
    /// Codes that are there no longer.
    pub removed: Sample,
    /// Codes whose name changed.
    pub renamed: Sample,
    /// Codes that stay as they are.
    pub unchanged: usize,
    /// Rows left out, and why.
    pub problems: Sample,
    /// Whether something was written.
    pub applied: bool,
}

impl Directory {
    /// Loads an edition and puts it in force. An edition loaded before is replaced; one that changes nothing writes
    /// nothing.
    pub async fn import_codes(&self, import: CodeImport, now: DateTime<Utc>) -> Result<ImportReport> {
        check(&import)?;
        let mut report = ImportReport::default();
        let rows = clean(&import.rows, &mut report.problems);
        if rows.is_empty() {
            return Err(Refusal::invalid(
                "codes.empty",
                "文件里没有可用的代码：每一行都缺少编码或名称。请检查所选的列是否正确。",
            )
            .into());
        }
        let tables = self.tables_now();
        let current = tables.get(&import.table_id);
        let base = self.shipped.get(&import.table_id).filter(|_| !import.complete);
        compare(current.map(AsRef::as_ref), base.map(AsRef::as_ref), &rows, &mut report);
        let same = current.is_some_and(|t| {
            t.edition == import.edition
                && t.complete == import.complete
                && (import.name.is_empty() || t.name == import.name)
                && (import.standard.is_empty() || t.standard == import.standard)
        });
        let changes = report.added.count + report.removed.count + report.renamed.count;
        if import.dry_run || (same && changes == 0) {
            return Ok(report);
        }
        let or = |own: &str, get: fn(&CodeTable) -> &String| match (own.is_empty(), current) {
            (true, Some(table)) => get(table).clone(),
            _ => own.to_owned(),
        };
        let (name, standard) = (or(&import.name, |t| &t.name), or(&import.standard, |t| &t.standard));
        self.db.transaction(async |tx| write(tx, &import, &name, &standard, &rows, now).await).await?;
        self.reload(Registry::Codes).await?;
        self.announce(Registry::Codes).await?;
        report.applied = true;
        Ok(report)
    }
}

fn check(import: &CodeImport) -> Result<(), Refusal> {
    let good = !import.table_id.is_empty()
        && import.table_id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !good {
        return Err(Refusal::invalid(
            "codes.bad_table",
            format!("“{}”不是代码表标识。标识由小写字母、数字和下划线组成，例如 icd10。", import.table_id),
        ));
    }
    if import.edition.trim().is_empty() {
        return Err(Refusal::invalid(
            "codes.no_edition",
            "请写明版本（例如“国家临床版 2.0”），以便日后查对。",
        ));
    }
    Ok(())
}

/// Rows that can be used: with code and name, each code once.
fn clean<'r>(rows: &'r [CodeRow], problems: &mut Sample) -> Vec<(&'r str, &'r str)> {
    let mut seen = HashSet::with_capacity(rows.len());
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        let number = row.number;
        if row.code.is_empty() && row.name.is_empty() {
            continue;
        }
        if row.code.is_empty() {
            problems.push(|| format!("第 {number} 行：没有编码（名称“{}”）", row.name));
        } else if row.name.is_empty() {
            problems.push(|| format!("第 {number} 行：编码 {} 没有名称", row.code));
        } else if row.code.chars().count() > 50 || row.code.chars().any(char::is_control) {
            problems.push(|| format!("第 {number} 行：编码超过 50 个字符或含有控制字符"));
        } else if !seen.insert(row.code.as_str()) {
            problems.push(|| format!("第 {number} 行：编码 {} 重复，保留第一次出现的", row.code));
        } else {
            kept.push((row.code.as_str(), row.name.as_str()));
        }
    }
    kept
}

/// Compares with the table in force. What stays under a partial edition (`base`, the shipped table) is not removed.
fn compare(
    current: Option<&CodeTable>,
    base: Option<&CodeTable>,
    rows: &[(&str, &str)],
    report: &mut ImportReport,
) {
    for (code, name) in rows {
        match current.and_then(|t| t.name_of(code)) {
            None => report.added.push(|| format!("{code} {name}")),
            Some(old) if old != *name => report.renamed.push(|| format!("{code} {old} → {name}")),
            Some(_) => report.unchanged += 1,
        }
    }
    let Some(table) = current else { return };
    let new: HashSet<&str> = rows.iter().map(|(code, _)| *code).collect();
    let stays = |code: &str| new.contains(code) || base.is_some_and(|b| b.by_code.contains_key(code));
    for code in table.codes.iter().filter(|c| !stays(&c.code)) {
        report.removed.push(|| format!("{} {}", code.code, code.name));
    }
}

async fn write(
    tx: &mut Tx<'_>,
    import: &CodeImport,
    name: &str,
    standard: &str,
    rows: &[(&str, &str)],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("delete from code_edition where table_id = $1 and edition = $2")
        .bind(&import.table_id)
        .bind(&import.edition)
        .execute(&mut **tx)
        .await
        .db("replace an edition")?;
    sqlx::query("update code_edition set in_force = false where table_id = $1 and in_force")
        .bind(&import.table_id)
        .execute(&mut **tx)
        .await
        .db("retire an edition")?;
    let edition: i32 = sqlx::query_scalar(
        "insert into code_edition
            (table_id, name, standard, edition, source, complete, code_count, loaded_at, loaded_by, in_force)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, true) returning id",
    )
    .bind(&import.table_id)
    .bind(name)
    .bind(standard)
    .bind(&import.edition)
    .bind(&import.source)
    .bind(import.complete)
    .bind(rows.len() as i32)
    .bind(now)
    .bind(&import.loaded_by)
    .fetch_one(&mut **tx)
    .await
    .db("add an edition")?;
    let mut copy = CopyRows::new(5, rows.len());
    for (position, (code, name)) in rows.iter().enumerate() {
        copy.row();
        copy.int4(edition);
        copy.text(code);
        copy.text(name);
        copy.text(&initials(name));
        copy.int4(position as i32);
    }
    copy.send(tx, "copy code_entry (edition_id, code, name, initials, position) from stdin (format binary)")
        .await
}

/// The shipped tables with the editions in force laid over them: a complete edition stands for the whole table, a
/// partial one adds to what is shipped.
pub(crate) async fn in_force(db: &Db, shipped: &CodeTables) -> Result<CodeTables> {
    let editions = sqlx::query(
        "select id, table_id, name, standard, edition, source, complete, code_count from code_edition where in_force",
    )
    .fetch_all(db.pool())
    .await
    .db("read editions of code tables")?;
    let mut tables = shipped.clone();
    for row in &editions {
        let (id, mut table) = edition(row).db("read editions of code tables")?;
        let entries =
            sqlx::query("select code, name from code_entry where edition_id = $1 order by position")
                .bind(id)
                .fetch_all(db.pool())
                .await
                .db("read a code table")?;
        for entry in &entries {
            let (code, name): (&str, &str) =
                (|| Ok((entry.try_get(0)?, entry.try_get(1)?)))().db("read a code table")?;
            table.codes.push(Code { code: code.into(), name: name.into() });
        }
        if let Some(base) = shipped.get(&table.id).filter(|_| !table.complete) {
            let own: HashMap<&str, ()> = table.codes.iter().map(|c| (&*c.code, ())).collect();
            let rest: Vec<Code> =
                base.codes.iter().filter(|c| !own.contains_key(&*c.code)).cloned().collect();
            table.codes.extend(rest);
        }
        table.index();
        tables.tables.insert(table.id.clone(), Arc::new(table));
    }
    Ok(tables)
}

fn edition(row: &sqlx::postgres::PgRow) -> Result<(i32, CodeTable), sqlx::Error> {
    let table = CodeTable {
        id: row.try_get(1)?,
        name: row.try_get(2)?,
        standard: row.try_get(3)?,
        edition: row.try_get(4)?,
        source: row.try_get(5)?,
        complete: row.try_get(6)?,
        codes: Vec::with_capacity(row.try_get::<i32, _>(7)?.unsigned_abs() as usize),
        ..CodeTable::default()
    };
    Ok((row.try_get(0)?, table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<CodeRow> {
        pairs
            .iter()
            .zip(1..)
            .map(|((code, name), number)| CodeRow { number, code: (*code).into(), name: (*name).into() })
            .collect()
    }

    #[test]
    fn rows_without_code_or_name_and_repeated_codes_are_left_out_and_named() {
        let rows =
            rows(&[("A", "甲"), ("", "无编码"), ("B", ""), ("A", "又一个"), ("", ""), ("C\u{1}", "丙")]);
        let mut problems = Sample::default();
        assert_eq!(clean(&rows, &mut problems), [("A", "甲")]);
        assert_eq!(problems.count, 4);
        assert!(problems.first[2].contains("第 4 行") && problems.first[2].contains("重复"));
    }

    #[test]
    fn a_report_tells_added_removed_renamed_and_unchanged() {
        let mut table = CodeTable {
            codes: [("A", "甲"), ("B", "乙"), ("C", "丙")]
                .map(|(code, name)| Code { code: code.into(), name: name.into() })
                .into(),
            ..CodeTable::default()
        };
        table.index();
        let mut report = ImportReport::default();
        compare(Some(&table), None, &[("A", "甲"), ("B", "乙二"), ("D", "丁")], &mut report);
        assert_eq!(report.added.first, ["D 丁"]);
        assert_eq!(report.renamed.first, ["B 乙 → 乙二"]);
        assert_eq!(report.removed.first, ["C 丙"]);
        assert_eq!(report.unchanged, 1);
        let mut partial = ImportReport::default();
        compare(Some(&table), Some(&table), &[("D", "丁")], &mut partial);
        assert_eq!((partial.added.count, partial.removed.count), (1, 0));
    }
}
