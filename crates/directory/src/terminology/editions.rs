//! Editions (版本) of code tables: what the operator loads over the shipped tables, from when to when each is in force,
//! what was in force on a day, and what differs between two of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use catalog::{Code, CodeTable, CodeTables, Retired};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Caller, Purpose, Refusal, Result};
use serde_json::json;
use sqlx::Row;
use standards::pinyin::initials;
use store::audit::{self, AuditEntry};
use store::copy::CopyRows;
use store::{Db, DbDoing, Tx};

use super::reader::CodeRow;
use crate::{Directory, Registry};

/// An edition of a code table to be loaded.
#[derive(Debug, Clone, Default)]
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
    /// First day in force; none: today, or as it was when the edition in force is loaded again.
    pub valid_from: Option<NaiveDate>,
}

/// An edition of a table as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Edition {
    /// Number.
    pub id: i32,
    /// Label.
    pub edition: String,
    /// Standard.
    pub standard: String,
    /// Where it came from.
    pub source: String,
    /// Whether it holds all codes of its standard.
    pub complete: bool,
    /// How many codes.
    pub code_count: i32,
    /// When it was loaded.
    pub loaded_at: DateTime<Utc>,
    /// By whom.
    pub loaded_by: String,
    /// First day in force.
    pub valid_from: NaiveDate,
    /// First day no longer in force.
    pub valid_to: Option<NaiveDate>,
}

impl Edition {
    /// Whether it is in force on a day, unless a later one stands before it.
    pub fn covers(&self, day: NaiveDate) -> bool {
        self.valid_from <= day && self.valid_to.is_none_or(|to| day < to)
    }
}

/// What differs between two editions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// In the later one only: code and name.
    pub added: Vec<(String, String)>,
    /// In the earlier one only.
    pub gone: Vec<(String, String)>,
    /// In both with another name: code, earlier name, later name.
    pub renamed: Vec<(String, String, String)>,
    /// The same in both.
    pub unchanged: usize,
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
        let caller = Caller::system(&import.loaded_by);
        self.import_codes_by(import, &caller, now).await
    }

    /// The same, on behalf of somebody.
    pub async fn import_codes_by(
        &self,
        import: CodeImport,
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<ImportReport> {
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
        let detail = json!({ "edition": import.edition, "added": report.added.count,
            "removed": report.removed.count, "renamed": report.renamed.count, "codes": rows.len() });
        self.db
            .transaction(async |tx| {
                write(tx, &import, &name, &standard, &rows, now).await?;
                let entry = AuditEntry {
                    act: "codes.import",
                    object_kind: "code_table",
                    object_label: import.table_id.clone(),
                    detail: Some(detail.clone()),
                    ..AuditEntry::default()
                };
                audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await
            })
            .await?;
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
fn clean<'r>(rows: &'r [CodeRow], problems: &mut Sample) -> Vec<&'r CodeRow> {
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
            kept.push(row);
        }
    }
    kept
}

/// Compares with the table in force. What stays under a partial edition (`base`, the shipped table) is not removed.
fn compare(
    current: Option<&CodeTable>,
    base: Option<&CodeTable>,
    rows: &[&CodeRow],
    report: &mut ImportReport,
) {
    for CodeRow { code, name, .. } in rows {
        match current.and_then(|t| t.name_of(code)) {
            None => report.added.push(|| format!("{code} {name}")),
            Some(old) if old != name => report.renamed.push(|| format!("{code} {old} → {name}")),
            Some(_) => report.unchanged += 1,
        }
    }
    let Some(table) = current else { return };
    let new: HashSet<&str> = rows.iter().map(|row| row.code.as_str()).collect();
    let stays = |code: &str| new.contains(code) || base.is_some_and(|b| b.contains(code));
    for code in table.codes.iter().filter(|c| !stays(&c.code)) {
        report.removed.push(|| format!("{} {}", code.code, code.name));
    }
}

async fn write(
    tx: &mut Tx<'_>,
    import: &CodeImport,
    name: &str,
    standard: &str,
    rows: &[&CodeRow],
    now: DateTime<Utc>,
) -> Result<()> {
    let today = kernel::clock::to_china(now).date();
    // The edition in force that is loaded again keeps the day from which it holds.
    let kept: Option<NaiveDate> = sqlx::query_scalar(
        "delete from code_edition where table_id = $1 and edition = $2
         returning case when valid_from <= $3 and (valid_to is null or valid_to > $3) then valid_from end",
    )
    .bind(&import.table_id)
    .bind(&import.edition)
    .bind(today)
    .fetch_optional(&mut **tx)
    .await
    .db("replace an edition")?
    .flatten();
    let from = import.valid_from.or(kept).unwrap_or(today);
    // What held on that day ends there; an edition that begins later ends this one.
    let to: Option<NaiveDate> = sqlx::query_scalar(
        "with ended as (
            update code_edition set valid_to = $2
            where table_id = $1 and valid_from <= $2 and (valid_to is null or valid_to > $2))
         select min(valid_from) from code_edition where table_id = $1 and valid_from > $2",
    )
    .bind(&import.table_id)
    .bind(from)
    .fetch_one(&mut **tx)
    .await
    .db("end an edition")?;
    let edition: i32 = sqlx::query_scalar(
        "insert into code_edition
            (table_id, name, standard, edition, source, complete, code_count, loaded_at, loaded_by, valid_from, valid_to)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id",
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
    .bind(from)
    .bind(to)
    .fetch_one(&mut **tx)
    .await
    .db("add an edition")?;
    let mut copy = CopyRows::new(9, rows.len());
    for (position, row) in rows.iter().enumerate() {
        copy.row();
        copy.int4(edition);
        copy.text(&row.code);
        copy.text(&row.name);
        copy.text(&initials(&row.name));
        copy.int4(position as i32);
        for text in [&row.parent, &row.replaced_by] {
            if text.is_empty() { copy.null() } else { copy.text(text) }
        }
        copy.boolean(row.retired);
        if row.aliases.is_empty() { copy.null() } else { copy.text(&row.aliases.join("|")) }
    }
    copy.send(
        tx,
        "copy code_entry (edition_id, code, name, initials, position, parent, replaced_by, retired, aliases)
         from stdin (format binary)",
    )
    .await
}

const EDITION: &str =
    "select id, table_id, name, standard, edition, source, complete, code_count, valid_from, valid_to
    from code_edition where id = any($1)";

/// The shipped tables with the editions in force on a day laid over them: a complete edition stands for the whole
/// table, a partial one adds to what is shipped. Tables whose edition is the one of `before` are taken over. Also the
/// next day on which another edition begins or ends.
pub(crate) async fn in_force(
    db: &Db,
    shipped: &CodeTables,
    day: NaiveDate,
) -> Result<(CodeTables, Option<NaiveDate>)> {
    let (ids, next): (Vec<i32>, Option<NaiveDate>) = sqlx::query_as(
        "select array(select distinct on (table_id) id from code_edition
                where valid_from <= $1 and (valid_to is null or valid_to > $1)
                order by table_id, valid_from desc, id desc),
            (select min(day) from (select valid_from as day from code_edition union all
                select valid_to from code_edition) as days where day > $1)",
    )
    .bind(day)
    .fetch_one(db.pool())
    .await
    .db("find editions in force")?;
    let mut tables = shipped.clone();
    for table in read(db, shipped, &ids).await? {
        tables.tables.insert(table.id.clone(), Arc::new(table));
    }
    Ok((tables, next))
}

/// Reads editions whole, two queries for all of them.
async fn read(db: &Db, shipped: &CodeTables, ids: &[i32]) -> Result<Vec<CodeTable>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let heads =
        sqlx::query(EDITION).bind(ids).fetch_all(db.pool()).await.db("read editions of code tables")?;
    let mut tables = HashMap::with_capacity(heads.len());
    for row in &heads {
        let (id, table) = head(row, shipped).db("read editions of code tables")?;
        tables.insert(id, table);
    }
    let entries = sqlx::query(
        "select edition_id, code, name, parent, retired, replaced_by, aliases from code_entry
         where edition_id = any($1) order by edition_id, position",
    )
    .bind(ids)
    .fetch_all(db.pool())
    .await
    .db("read a code table")?;
    for entry in &entries {
        add(&mut tables, entry).db("read a code table")?;
    }
    Ok(tables.into_values().map(|table| overlaid(table, shipped)).collect())
}

fn add(tables: &mut HashMap<i32, CodeTable>, entry: &sqlx::postgres::PgRow) -> Result<(), sqlx::Error> {
    let Some(table) = tables.get_mut(&entry.try_get::<i32, _>(0)?) else { return Ok(()) };
    let position = table.codes.len() as u32;
    let (code, name): (&str, &str) = (entry.try_get(1)?, entry.try_get(2)?);
    table.codes.push(Code { code: code.into(), name: name.into() });
    if let Some(parent) = entry.try_get::<Option<&str>, _>(3)? {
        table.parents.push((position, parent.into()));
    }
    if entry.try_get::<bool, _>(4)? {
        let replaced_by = entry.try_get::<Option<&str>, _>(5)?.unwrap_or_default().into();
        table.retired.insert(position, Retired { replaced_by });
    }
    if let Some(aliases) = entry.try_get::<Option<&str>, _>(6)? {
        table.aliases.extend(aliases.split('|').map(|alias| (position, alias.into())));
    }
    Ok(())
}

/// Adds what is shipped to a partial edition. Other names of shipped codes go on holding under any edition.
fn overlaid(mut table: CodeTable, shipped: &CodeTables) -> CodeTable {
    if let Some(base) = shipped.get(&table.id) {
        let mut own: HashMap<Box<str>, u32> =
            table.codes.iter().zip(0..).map(|(code, at)| (code.code.clone(), at)).collect();
        for (code, at) in base.codes.iter().zip(0..) {
            let position = match own.get(&code.code) {
                Some(position) => *position,
                None if table.complete => continue,
                None => {
                    let position = table.codes.len() as u32;
                    table.codes.push(code.clone());
                    own.insert(code.code.clone(), position);
                    position
                }
            };
            table.aliases.extend(base.aliases_of(at).map(|alias| (position, alias.into())));
            if let Some(retired) = base.retired.get(&at) {
                table.retired.entry(position).or_insert_with(|| retired.clone());
            }
        }
    }
    table.index();
    table
}

fn head(row: &sqlx::postgres::PgRow, shipped: &CodeTables) -> Result<(i32, CodeTable), sqlx::Error> {
    let id: String = row.try_get(1)?;
    let base = shipped.get(&id);
    let table = CodeTable {
        name: row.try_get(2)?,
        standard: row.try_get(3)?,
        edition: row.try_get(4)?,
        source: row.try_get(5)?,
        complete: row.try_get(6)?,
        codes: Vec::with_capacity(row.try_get::<i32, _>(7)?.unsigned_abs() as usize),
        valid_from: row.try_get(8)?,
        valid_to: row.try_get(9)?,
        url: base.map(|b| b.url.clone()).unwrap_or_default(),
        oids: base.map(|b| b.oids.clone()).unwrap_or_default(),
        hierarchy: base.map(|b| b.hierarchy).unwrap_or_default(),
        groups: base.map(|b| b.groups.clone()).unwrap_or_default(),
        local_codes: base.is_some_and(|b| b.local_codes),
        id,
        ..CodeTable::default()
    };
    Ok((row.try_get(0)?, table))
}

impl Directory {
    /// The editions of a table that were loaded, the latest first.
    pub async fn editions(&self, table: &str) -> Result<Vec<Edition>> {
        sqlx::query_as(
            "select id, edition, standard, source, complete, code_count, loaded_at, loaded_by, valid_from, valid_to
             from code_edition where table_id = $1 order by valid_from desc, id desc",
        )
        .bind(table)
        .fetch_all(self.db.pool())
        .await
        .db("list editions of a code table")
    }

    /// A table as it was in force on a day; the shipped one where none was loaded for that day.
    pub async fn table_on(&self, table: &str, day: NaiveDate) -> Result<Option<Arc<CodeTable>>> {
        let now = self.tables_now();
        let current = now.get(table);
        if day == self.today() {
            return Ok(current.cloned());
        }
        let id: Option<i32> = sqlx::query_scalar(
            "select id from code_edition where table_id = $1 and valid_from <= $2 and (valid_to is null or valid_to > $2)
             order by valid_from desc, id desc limit 1",
        )
        .bind(table)
        .bind(day)
        .fetch_optional(self.db.pool())
        .await
        .db("find the edition of a day")?;
        match id {
            Some(id) => self.edition(id).await.map(Some),
            None => Ok(self.shipped.get(table).cloned()),
        }
    }

    /// A table by the label of its edition.
    pub async fn table_of_edition(&self, table: &str, edition: &str) -> Result<Option<Arc<CodeTable>>> {
        if let Some(current) = self.tables_now().get(table).filter(|t| t.edition == edition) {
            return Ok(Some(Arc::clone(current)));
        }
        let id: Option<i32> =
            sqlx::query_scalar("select id from code_edition where table_id = $1 and edition = $2")
                .bind(table)
                .bind(edition)
                .fetch_optional(self.db.pool())
                .await
                .db("find an edition")?;
        match id {
            Some(id) => self.edition(id).await.map(Some),
            None => Ok(self.shipped.get(table).filter(|t| t.edition == edition).cloned()),
        }
    }

    /// An edition read whole; the last few are remembered.
    async fn edition(&self, id: i32) -> Result<Arc<CodeTable>> {
        if let Some(table) = self.terms.remembered(id) {
            return Ok(table);
        }
        let Some(table) = read(&self.db, &self.shipped, &[id]).await?.pop() else {
            return Err(Refusal::not_found("codes.unknown_edition", "没有这个版本。").into());
        };
        Ok(self.terms.remember(id, Arc::new(table)))
    }

    /// Changes from when to when an edition is in force.
    pub async fn set_validity(
        &self,
        table: &str,
        edition: i32,
        (from, to): (NaiveDate, Option<NaiveDate>),
        caller: &Caller,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if to.is_some_and(|to| to < from) {
            return Err(Refusal::invalid("codes.validity", "停用日期不能早于启用日期。").into());
        }
        self.db
            .transaction(async |tx| {
                let label: Option<String> = sqlx::query_scalar(
                    "update code_edition set valid_from = $3, valid_to = $4 where id = $1 and table_id = $2
                     returning edition",
                )
                .bind(edition)
                .bind(table)
                .bind(from)
                .bind(to)
                .fetch_optional(&mut **tx)
                .await
                .db("change the validity of an edition")?;
                let Some(label) = label else {
                    return Err(Refusal::not_found("codes.unknown_edition", "没有这个版本。").into());
                };
                let entry = AuditEntry {
                    act: "codes.validity",
                    object_kind: "code_table",
                    object_label: table.to_owned(),
                    detail: Some(json!({ "edition": label, "from": from, "to": to })),
                    ..AuditEntry::default()
                };
                audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await
            })
            .await?;
        self.terms.forget_editions();
        self.reload(Registry::Codes).await?;
        self.announce(Registry::Codes).await
    }

    /// In which editions a code stands and under which name, the latest first.
    pub async fn code_history(&self, table: &str, code: &str) -> Result<Vec<(Edition, String)>> {
        let rows = sqlx::query(
            "select e.id, e.edition, e.standard, e.source, e.complete, e.code_count, e.loaded_at, e.loaded_by,
                e.valid_from, e.valid_to, c.name as code_name
             from code_edition e join code_entry c on c.edition_id = e.id and c.code = $2
             where e.table_id = $1 order by e.valid_from desc, e.id desc",
        )
        .bind(table)
        .bind(code)
        .fetch_all(self.db.pool())
        .await
        .db("read the history of a code")?;
        rows.iter()
            .map(|row| Ok((sqlx::FromRow::from_row(row)?, row.try_get("code_name")?)))
            .collect::<Result<_, sqlx::Error>>()
            .db("read the history of a code")
    }
}

/// What differs between two tables.
pub fn difference(earlier: &CodeTable, later: &CodeTable) -> Difference {
    let mut out = Difference::default();
    for code in &later.codes {
        match earlier.name_of(&code.code) {
            None => out.added.push((code.code.to_string(), code.name.to_string())),
            Some(name) if *name != *code.name => {
                out.renamed.push((code.code.to_string(), name.to_owned(), code.name.to_string()));
            }
            Some(_) => out.unchanged += 1,
        }
    }
    let gone = earlier.codes.iter().filter(|c| !later.contains(&c.code));
    out.gone = gone.map(|c| (c.code.to_string(), c.name.to_string())).collect();
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<CodeRow> {
        pairs
            .iter()
            .zip(1..)
            .map(|((code, name), number)| CodeRow {
                number,
                code: (*code).into(),
                name: (*name).into(),
                ..CodeRow::default()
            })
            .collect()
    }

    #[test]
    fn rows_without_code_or_name_and_repeated_codes_are_left_out_and_named() {
        let rows =
            rows(&[("A", "甲"), ("", "无编码"), ("B", ""), ("A", "又一个"), ("", ""), ("C\u{1}", "丙")]);
        let mut problems = Sample::default();
        let kept: Vec<(&str, &str)> =
            clean(&rows, &mut problems).into_iter().map(|r| (r.code.as_str(), r.name.as_str())).collect();
        assert_eq!(kept, [("A", "甲")]);
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
        let new = rows(&[("A", "甲"), ("B", "乙二"), ("D", "丁")]);
        compare(Some(&table), None, &new.iter().collect::<Vec<_>>(), &mut report);
        assert_eq!(report.added.first, ["D 丁"]);
        assert_eq!(report.renamed.first, ["B 乙 → 乙二"]);
        assert_eq!(report.removed.first, ["C 丙"]);
        assert_eq!(report.unchanged, 1);
        let mut partial = ImportReport::default();
        compare(Some(&table), Some(&table), &rows(&[("D", "丁")]).iter().collect::<Vec<_>>(), &mut partial);
        assert_eq!((partial.added.count, partial.removed.count), (1, 0));
    }
}
