//! Imports from spreadsheets (成批导入): a dry run says row by row what would be added, changed or refused; applying and
//! undoing are jobs that work in chunks, each chunk in one transaction, and go on where they stopped.

mod job;
pub mod pages;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use catalog::{Register, map_headings};
use chrono::{DateTime, Utc};
use contracts::Institutions;
use kernel::{Caller, Reach, Refusal, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::Row;
use store::jobs::Jobs;
use store::{DbDoing, Tx, jobs};

use super::Registries;
use super::examine::{Draft, Texts};
use super::guard::Guard;
use super::model::Entry;
use super::read::Known;
use super::requests::needs_commission;
use super::sheet;
use super::write::audit_act;

/// Rows written in one transaction.
const CHUNK: i64 = 500;

/// An import.
#[derive(Debug, Clone, sqlx::FromRow, serde::Serialize)]
pub struct Import {
    /// Number.
    pub id: i64,
    /// Code of the register.
    pub kind: String,
    /// The file.
    pub file_name: String,
    /// `checked`, `applying`, `applied`, `undoing`, `undone`, `failed`.
    pub state: String,
    /// Who brought it.
    pub made_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub made_at: DateTime<Utc>,
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
    /// When it was undone.
    pub undone_at: Option<DateTime<Utc>>,
    /// Rows that add.
    pub added: i32,
    /// Rows that change.
    pub changed: i32,
    /// Rows that say what is there already.
    pub same: i32,
    /// Rows that are refused.
    pub refused: i32,
    /// Rows carried out.
    pub done: i32,
    /// Anything to be said at the end.
    pub note: String,
}

/// The Chinese name of a state.
pub fn state_name(state: &str) -> &str {
    match state {
        "checked" => "已预检，待执行",
        "applying" => "正在导入",
        "applied" => "已导入",
        "undoing" => "正在撤销",
        "undone" => "已撤销",
        "failed" => "失败",
        other => other,
    }
}

/// In whose name a job writes; kept with the import.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Author {
    name: String,
    role: String,
    account: Option<i64>,
    institution: Option<i64>,
    institution_name: String,
    address: String,
}

impl Author {
    fn of(caller: &Caller) -> Self {
        Self {
            name: caller.name.clone(),
            role: caller.role.clone(),
            account: caller.account.map(kernel::Id::get),
            institution: caller.institution.map(kernel::Id::get),
            institution_name: caller.institution_name.clone(),
            address: caller.address.clone(),
        }
    }
    fn caller(&self) -> Caller {
        Caller {
            account: self.account.map(kernel::Id::new),
            role: self.role.clone(),
            institution: self.institution.map(kernel::Id::new),
            institution_name: self.institution_name.clone(),
            address: self.address.clone(),
            ..Caller::system(&self.name)
        }
    }
}

/// What the dry run says of one row.
#[derive(Debug, Clone)]
struct Checked {
    number: u32,
    verdict: &'static str,
    label: String,
    message: String,
    texts: Map<String, Value>,
    institution: Option<i32>,
    entry: Option<i64>,
    base: i32,
}

const SELECT: &str = "
    select id, kind, file_name, state, made_by, reason, made_at, applied_at, undone_at, added, changed, same, refused, done,
        note
    from registry_import where id = $1";

impl Registries {
    /// Checks a file row by row without writing any entry; the number of the import.
    ///
    /// # Errors
    /// Refuses a file that cannot be read, and headings without the key.
    pub async fn dry_run(
        &self,
        caller: &Caller,
        reach: &Reach,
        register: &Arc<Register>,
        file_name: &str,
        bytes: &[u8],
        reason: &str,
    ) -> Result<i64> {
        let table = sheet::read(bytes)?;
        let heads: Vec<&str> = table.heads.iter().map(String::as_str).collect();
        let mapping = map_headings(&register.dataset, &heads).map_err(|error| {
            Refusal::invalid("registry.headings", format!("表头不能使用：{error}。请用下载的模板填写。"))
        })?;
        let rows: Vec<(u32, Texts)> = table
            .rows
            .iter()
            .map(|(number, cells)| {
                let texts = mapping
                    .columns
                    .iter()
                    .map(|column| column.and_then(|c| cells.get(c)).cloned().unwrap_or_default())
                    .collect();
                (*number, texts)
            })
            .collect();
        let checked = self.check_rows(caller, reach, register, rows).await?;
        let ignored = match mapping.unknown.is_empty() {
            true => String::new(),
            false => format!("没有用到的列：{}", mapping.unknown.join("、")),
        };
        self.keep(caller, register, file_name, bytes, reason, &ignored, &checked).await
    }

    async fn check_rows(
        &self,
        caller: &Caller,
        reach: &Reach,
        register: &Arc<Register>,
        mut rows: Vec<(u32, Texts)>,
    ) -> Result<Vec<Checked>> {
        // A unit's own file need not repeat its code.
        if let (Some(at), Some(own)) = (register.field("institution"), caller.institution)
            && let Some(card) = self.directory.by_id(own)
        {
            for (_, texts) in rows.iter_mut().filter(|(_, texts)| texts[at].is_empty()) {
                texts[at].clone_from(&card.code);
            }
        }
        let slices: Vec<&[String]> = rows.iter().map(|(_, texts)| texts.as_slice()).collect();
        let staff = self.staff_index(register, &slices).await?;
        let code = register.field("code");
        let examiner = self
            .examiner(register, &staff)
            .beside(code.iter().flat_map(|at| slices.iter().map(|texts| texts[*at].as_str())));
        let places: Vec<Option<(i32, i64, String)>> =
            rows.iter().map(|(_, texts)| examiner.place(reach, texts)).collect();
        let known = self.known(register, places.iter().flatten()).await?;
        let mut seen: HashMap<(i32, i64, String), u32> = HashMap::new();
        let mut guard = Guard::new(self.db.keyring());
        let mut all = Vec::with_capacity(rows.len());
        for ((number, texts), place) in rows.into_iter().zip(places) {
            let before = place.as_ref().and_then(|p| known.get(p));
            let mut row = Checked {
                number,
                verdict: "refused",
                label: label(register, &texts),
                message: String::new(),
                texts: Map::new(),
                institution: None,
                entry: before.map(|e| e.id),
                base: before.map_or(0, |e| e.version),
            };
            for (at, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
                let name = &register.dataset.fields[at].name;
                let value = if register.is_guarded(at) { guard.seal(name, text)? } else { json!(text) };
                row.texts.insert(name.clone(), value);
            }
            let key = place
                .clone()
                .map(|(i, p, k)| if register.code() == "institution" { (0, p, k) } else { (i, p, k) });
            if let Some(earlier) = key.and_then(|key| seen.insert(key, number)) {
                row.message =
                    format!("与第 {earlier} 行重复，是同一个{}；请只保留一行", register.dataset.name);
                all.push(row);
                continue;
            }
            let full = match before {
                Some(entry) => self.overlay(register, entry, &texts)?,
                None => texts,
            };
            let examined = examiner.examine(reach, &full, before)?;
            row.message = examiner.sentence(&full, &examined.findings);
            if let Some(draft) = examined.draft {
                self.judge(reach, &draft, before, &mut row);
            }
            all.push(row);
        }
        if register.code() == "institution" {
            self.refuse_below(&mut all);
        }
        Ok(all)
    }

    /// Institutions under one that the file was to bring along and cannot: they are refused with it, and so are theirs.
    fn refuse_below(&self, rows: &mut [Checked]) {
        fn code(row: &Checked, field: &str) -> String {
            let text = row.texts.get(field).and_then(Value::as_str).unwrap_or_default();
            standards::width::fold(text.trim()).to_uppercase()
        }
        let mut refused: HashSet<String> = HashSet::new();
        let mut brought: HashSet<String> = HashSet::new();
        let mut below: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            let (own, above) = (code(row, "code"), code(row, "parent"));
            if row.verdict == "refused" { &mut refused } else { &mut brought }.insert(own);
            if row.verdict != "refused" && !above.is_empty() && self.directory.by_code(&above).is_none() {
                below.entry(above).or_default().push(at);
            }
        }
        let mut gone: Vec<String> = refused.difference(&brought).cloned().collect();
        while let Some(above) = gone.pop() {
            for at in below.remove(&above).unwrap_or_default() {
                let row = &mut rows[at];
                let why = format!("主管机构“{above}”在本文件中，但那一行不能导入");
                row.message = if row.message.is_empty() { why } else { format!("{why}；{}", row.message) };
                row.verdict = "refused";
                gone.push(code(row, "code"));
            }
        }
    }

    fn judge(&self, reach: &Reach, draft: &Draft, before: Option<&Entry>, row: &mut Checked) {
        let same = before.is_some_and(|e| {
            e.content == draft.content
                && e.guarded == draft.guarded
                && e.key == draft.key
                && e.name == draft.name
        });
        row.institution = draft.institution;
        let at =
            before.map(|e| e.institution).or_else(|| draft.institution.map(|i| kernel::Id::new(i.into())));
        let commission = match at {
            Some(at) => self.is_commission(reach, at),
            None => draft
                .content
                .get("region")
                .and_then(Value::as_str)
                .and_then(|region| kernel::RegionCode::parse(region).ok())
                .is_some_and(|region| self.is_commission_of(reach, &region)),
        };
        row.verdict = match before {
            _ if same => "same",
            _ if !commission && needs_commission(&draft.register, draft, before) => {
                row.message = "改动了要由主管部门审核的内容；请在页面上逐条申请修改".to_owned();
                "refused"
            }
            Some(_) => "change",
            None => "add",
        };
    }

    /// An entry's texts with those of a file over them; an empty cell changes nothing, nor does one that is masked.
    fn overlay(&self, register: &Register, entry: &Entry, texts: &Texts) -> Result<Texts> {
        let mut full = self.texts_of(register, entry, true)?;
        let masked = self.texts_of(register, entry, false)?;
        for (at, text) in texts.iter().enumerate() {
            let untouched = register.is_guarded(at) && *text == masked[at];
            if !text.is_empty() && !untouched {
                full[at].clone_from(text);
            }
        }
        Ok(full)
    }

    pub(super) async fn known(
        &self,
        register: &Register,
        places: impl Iterator<Item = &(i32, i64, String)>,
    ) -> Result<Known> {
        let (mut institutions, mut parents, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (institution, parent, key) in places {
            institutions.push(*institution);
            parents.push(*parent);
            keys.push(key.clone());
        }
        let rows = sqlx::query(
            "select e.id, e.kind, e.institution_id, e.parent_id, p.key as parent_key, p.name as parent_name, e.key, e.name,
                e.state, e.content, e.guarded, e.expires_on, e.score, e.version, e.merged_into, e.updated_at
             from unnest($2::int[], $3::bigint[], $4::text[]) as n (institution_id, parent_id, key)
             join registry_entry e on e.kind = $1 and e.institution_id = n.institution_id
                and coalesce(e.parent_id, 0) = n.parent_id and e.key = n.key and e.state <> 'removed'
             left join registry_entry p on p.id = e.parent_id",
        )
        .bind(register.code())
        .bind(institutions)
        .bind(parents)
        .bind(keys)
        .fetch_all(self.db.pool())
        .await
        .db("look for entries that a file names")?;
        rows.iter()
            .map(|row| {
                let entry = Entry::of(row)?;
                let place = (entry.institution.get() as i32, entry.parent.unwrap_or(0), entry.key.clone());
                Ok((place, entry))
            })
            .collect::<Result<_, sqlx::Error>>()
            .db("look for entries that a file names")
    }

    #[allow(clippy::too_many_arguments)] // one row of one table
    async fn keep(
        &self,
        caller: &Caller,
        register: &Register,
        file_name: &str,
        bytes: &[u8],
        reason: &str,
        note: &str,
        rows: &[Checked],
    ) -> Result<i64> {
        let count = |verdict: &str| rows.iter().filter(|r| r.verdict == verdict).count() as i32;
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let id: i64 = sqlx::query_scalar(
                    "insert into registry_import (kind, file_name, digest, state, made_by, account_id, caller, reason, made_at,
                        added, changed, same, refused, note)
                     values ($1, $2, $3, 'checked', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id",
                )
                .bind(register.code())
                .bind(file_name)
                .bind(blake3::hash(bytes).to_hex().to_string())
                .bind(&caller.name)
                .bind(caller.account.map(kernel::Id::get))
                .bind(json!(Author::of(caller)))
                .bind(reason.trim())
                .bind(now)
                .bind(count("add"))
                .bind(count("change"))
                .bind(count("same"))
                .bind(count("refused"))
                .bind(note)
                .fetch_one(&mut **tx)
                .await
                .db("keep an import")?;
                for part in rows.chunks(5_000) {
                    keep_rows(tx, id, part).await?;
                }
                let detail = json!({ "register": register.code(), "file": file_name, "rows": rows.len() });
                audit_act(tx, caller, now, "registry.import_check", ("registry_import", Some(id), file_name), detail).await?;
                Ok(id)
            })
            .await
    }

    /// An import by its number; of others' only in the same register.
    pub async fn import(&self, id: i64) -> Result<Import> {
        let found: Option<Import> =
            sqlx::query_as(SELECT).bind(id).fetch_optional(self.db.pool()).await.db("read an import")?;
        Ok(found
            .ok_or_else(|| Refusal::not_found("registry.no_import", "没有这次导入。请从导入列表进入。"))?)
    }

    /// Starts carrying an import out, or undoing it, as a job.
    pub async fn start(&self, caller: &Caller, id: i64, undo: bool) -> Result<()> {
        let import = self.import(id).await?;
        let (from, to, kind, act) = match undo {
            false => ("checked", "applying", job::APPLY, "registry.import_apply"),
            true => ("applied", "undoing", job::UNDO, "registry.import_undo"),
        };
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let moved = sqlx::query(
                    "update registry_import set state = $3, caller = $4, done = 0 where id = $1 and state = $2",
                )
                .bind(id)
                .bind(from)
                .bind(to)
                .bind(json!(Author::of(caller)))
                .execute(&mut **tx)
                .await
                .db("start an import")?;
                if moved.rows_affected() == 0 {
                    return Err(Refusal::conflict(
                        "registry.import_state",
                        format!("这次导入的状态是“{}”，不能这样操作。请刷新页面。", state_name(&import.state)),
                    )
                    .into());
                }
                jobs::enqueue(tx, kind, &id.to_string(), &json!({ "import": id }), None).await?;
                let detail = json!({ "register": import.kind, "added": import.added, "changed": import.changed });
                audit_act(tx, caller, now, act, ("registry_import", Some(id), &import.file_name), detail).await
            })
            .await
    }

    /// Registers the jobs of this part.
    pub fn register_jobs(&self, jobs: &mut Jobs) {
        let registries = self.clone();
        jobs.on(job::APPLY, move |job| {
            let registries = registries.clone();
            async move { job::apply(&registries, &job).await }
        });
        let registries = self.clone();
        jobs.on(super::write::FOLLOW, move |job| {
            let registries = registries.clone();
            async move { super::write::follow_divisions(&registries, &job).await }
        });
        jobs.subscribe(contracts::DivisionsMoved::TOPIC, super::write::FOLLOW);
        let registries = self.clone();
        jobs.on(job::UNDO, move |job| {
            let registries = registries.clone();
            async move { job::undo(&registries, &job).await }
        });
    }
}

/// What a row is about, for people: the texts of the title, or of the key.
fn label(register: &Register, texts: &Texts) -> String {
    let named = register.title.iter().filter_map(|part| match part {
        catalog::TitlePart::Field(at) => Some(texts[*at].as_str()),
        catalog::TitlePart::Text(_) => None,
    });
    let all: Vec<&str> = named.chain(register.dataset.key.iter().map(|at| texts[*at].as_str())).collect();
    let mut text = String::new();
    for part in all.into_iter().filter(|p| !p.is_empty()) {
        if !text.contains(part) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part);
        }
    }
    text
}

async fn keep_rows(tx: &mut Tx<'_>, id: i64, rows: &[Checked]) -> Result<()> {
    sqlx::query(
        "insert into registry_import_row (import_id, row_no, verdict, label, message, cells, institution_id, entry_id,
            base_version)
         select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::int[], $8::bigint[],
            $9::int[])",
    )
    .bind(id)
    .bind(rows.iter().map(|r| r.number as i32).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.verdict.to_owned()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.label.clone()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.message.clone()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| Value::Object(r.texts.clone())).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.institution).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.entry).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.base).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("keep the rows of an import")?;
    Ok(())
}

/// The texts of a kept row.
fn texts_of_row(register: &Register, guard: &Guard, cells: &Map<String, Value>) -> Result<Texts> {
    register
        .dataset
        .fields
        .iter()
        .enumerate()
        .map(|(at, field)| match cells.get(&field.name) {
            Some(value) if register.is_guarded(at) => guard.open(&field.name, value),
            Some(value) => Ok(super::model::as_text(value)),
            None => Ok(String::new()),
        })
        .collect()
}

/// The state of a kept row.
struct Kept {
    number: i32,
    verdict: String,
    cells: Map<String, Value>,
    entry: Option<i64>,
    base: i32,
}

impl Kept {
    fn of(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.try_get("row_no")?,
            verdict: row.try_get("verdict")?,
            cells: super::model::object(row.try_get("cells")?),
            entry: row.try_get("entry_id")?,
            base: row.try_get("base_version")?,
        })
    }
}
