//! Carrying an import out, and undoing one: chunk by chunk. What is done is marked in the transaction that does it, so
//! that a job that starts again goes on where it stopped.

use std::collections::HashMap;
use std::sync::Arc;

use catalog::Register;
use kernel::{Caller, Need, Purpose, Reach, Result};
use serde_json::json;
use sqlx::Row;
use store::jobs::Job;
use store::{DbDoing, Tx};

use super::super::Registries;
use super::super::examine::Draft;
use super::super::guard::Guard;
use super::super::model::{Entry, Version};
use super::super::write::{Act, write};
use super::{Author, CHUNK, Kept, texts_of_row};

/// The job that carries an import out.
pub(super) const APPLY: &str = "registry.import";
/// The job that undoes one.
pub(super) const UNDO: &str = "registry.undo";

/// What both jobs need.
struct Work {
    id: i64,
    register: Arc<Register>,
    author: Caller,
    reason: String,
}

async fn work(registries: &Registries, job: &Job) -> Result<Work> {
    let id = job.body.get("import").and_then(serde_json::Value::as_i64).unwrap_or_default();
    let import = registries.import(id).await?;
    let author: serde_json::Value = sqlx::query_scalar("select caller from registry_import where id = $1")
        .bind(id)
        .fetch_one(registries.db.pool())
        .await
        .db("read in whose name an import works")?;
    let author: Author = serde_json::from_value(author)
        .map_err(|e| kernel::Error::fault("read in whose name an import works", e))?;
    Ok(Work {
        id,
        register: registries.register(&import.kind)?.clone(),
        author: author.caller(),
        reason: import.reason,
    })
}

/// What was in reach was decided at the dry run; the rows name entries and institutions that were.
fn reach(author: &Caller) -> Result<Reach> {
    let need = Need::new(kernel::Line::Administration, kernel::Act::Manage);
    Ok(Caller::system(&author.name).decide(need, Purpose::of("registry"))?)
}

pub(super) async fn apply(registries: &Registries, job: &Job) -> Result<()> {
    let work = work(registries, job).await?;
    let reach = reach(&work.author)?;
    let reason = if work.reason.is_empty() { format!("导入 {}", work.id) } else { work.reason.clone() };
    let brought = brought(registries, &work).await?;
    loop {
        let rows = sqlx::query(
            "select row_no, verdict, cells, entry_id, base_version from registry_import_row
             where import_id = $1 and outcome = '' and verdict in ('add', 'change') order by row_no limit $2",
        )
        .bind(work.id)
        .bind(CHUNK)
        .fetch_all(registries.db.pool())
        .await
        .db("read rows of an import")?;
        if rows.is_empty() {
            break;
        }
        let kept: Vec<Kept> =
            rows.iter().map(Kept::of).collect::<Result<_, _>>().db("read rows of an import")?;
        let (drafts, lost) = drafts(registries, &work, &reach, &kept, &brought).await?;
        let act = Act { import: Some(work.id), ..Act::now(registries, &work.author, &reason) };
        let numbers: Vec<i32> = drafts.iter().map(|(number, _)| *number).collect();
        let drafts: Vec<Draft> = drafts.into_iter().map(|(_, draft)| draft).collect();
        registries
            .db
            .transaction(async |tx| {
                let written = write(tx, &drafts, &act).await?;
                let entries: Vec<i64> = written.iter().map(|w| w.entry).collect();
                mark(tx, work.id, &numbers, &entries, "done", &vec![String::new(); numbers.len()]).await?;
                let (gone, why): (Vec<i32>, Vec<String>) = lost.iter().cloned().unzip();
                mark(tx, work.id, &gone, &vec![0; gone.len()], "lost", &why).await?;
                count(tx, work.id, kept.len()).await
            })
            .await?;
        job.progress(&json!({ "import": work.id, "chunk": kept.len() })).await?;
    }
    finish(registries, job, &work, "applied").await
}

/// Codes of the institutions that an import brings along: its rows may name each other, in whatever order.
async fn brought(registries: &Registries, work: &Work) -> Result<Vec<String>> {
    if work.register.code() != "institution" {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "select cells ->> 'code' from registry_import_row
         where import_id = $1 and verdict in ('add', 'change') and outcome in ('', 'done') and cells ? 'code'",
    )
    .bind(work.id)
    .fetch_all(registries.db.pool())
    .await
    .db("read the institutions of an import")
}

/// The drafts of kept rows, and the rows that no longer fit what is registered now.
async fn drafts(
    registries: &Registries,
    work: &Work,
    reach: &Reach,
    kept: &[Kept],
    brought: &[String],
) -> Result<(Vec<(i32, Draft)>, Vec<(i32, String)>)> {
    let register = &work.register;
    let guard = Guard::new(registries.db.keyring());
    let texts =
        kept.iter().map(|row| texts_of_row(register, &guard, &row.cells)).collect::<Result<Vec<_>>>()?;
    let slices: Vec<&[String]> = texts.iter().map(Vec::as_slice).collect();
    let staff = registries.staff_index(register, &slices).await?;
    let examiner = registries.examiner(register, &staff).beside(brought.iter().map(String::as_str));
    let ids: Vec<i64> = kept.iter().filter_map(|row| row.entry).collect();
    let entries: HashMap<i64, Entry> =
        registries.by_ids(&ids).await?.into_iter().map(|entry| (entry.id, entry)).collect();
    let places: Vec<_> = texts.iter().map(|row| examiner.place(reach, row)).collect();
    let taken = registries.known(register, places.iter().flatten()).await?;
    let (mut drafts, mut lost) = (Vec::new(), Vec::new());
    for ((row, texts), place) in kept.iter().zip(&texts).zip(&places) {
        let before = row.entry.and_then(|id| entries.get(&id));
        if row.verdict == "change" && before.is_none_or(|entry| entry.version != row.base) {
            lost.push((row.number, "预检之后，这个条目已被他人修改，没有覆盖；请重新导入核对".to_owned()));
            continue;
        }
        if row.verdict == "add" && place.as_ref().is_some_and(|p| taken.contains_key(p)) {
            lost.push((row.number, "预检之后，他人已登记了同一个条目，没有重复登记".to_owned()));
            continue;
        }
        let full = match before {
            Some(entry) => registries.overlay(register, entry, texts)?,
            None => texts.clone(),
        };
        let examined = examiner.examine(reach, &full, before)?;
        let reasons = examined.reasons();
        match examined.draft {
            Some(draft) => drafts.push((row.number, draft)),
            None => lost.push((row.number, reasons)),
        }
    }
    Ok((drafts, lost))
}

async fn mark(
    tx: &mut Tx<'_>,
    import: i64,
    numbers: &[i32],
    entries: &[i64],
    outcome: &str,
    messages: &[String],
) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update registry_import_row r
         set outcome = $5, entry_id = coalesce(nullif(n.entry, 0), r.entry_id),
            message = case when n.message = '' then r.message else n.message end
         from unnest($2::int[], $3::bigint[], $4::text[]) as n (row_no, entry, message)
         where r.import_id = $1 and r.row_no = n.row_no",
    )
    .bind(import)
    .bind(numbers)
    .bind(entries)
    .bind(messages)
    .bind(outcome)
    .execute(&mut **tx)
    .await
    .db("mark rows of an import")?;
    Ok(())
}

async fn count(tx: &mut Tx<'_>, import: i64, rows: usize) -> Result<()> {
    sqlx::query("update registry_import set done = done + $2 where id = $1")
        .bind(import)
        .bind(rows as i32)
        .execute(&mut **tx)
        .await
        .db("count rows of an import")?;
    Ok(())
}

/// Links institutions of an import to those above them that came with a later row.
async fn above(tx: &mut Tx<'_>, import: i64) -> Result<()> {
    sqlx::query(
        "update institution c set parent_id = p.id
         from registry_import_row r join registry_entry d on d.id = r.entry_id
         join institution p on p.code = d.content ->> 'parent'
         where r.import_id = $1 and r.outcome = 'done' and c.id = d.institution_id and c.parent_id is null",
    )
    .bind(import)
    .execute(&mut **tx)
    .await
    .db("link institutions to those above them")?;
    Ok(())
}

async fn finish(registries: &Registries, job: &Job, work: &Work, state: &str) -> Result<()> {
    let now = registries.clock.now();
    registries
        .db
        .transaction(async |tx| {
            sqlx::query(
                "update registry_import
                 set state = $2, applied_at = case when $2 = 'applied' then $3 else applied_at end,
                    undone_at = case when $2 = 'undone' then $3 else undone_at end
                 where id = $1",
            )
            .bind(work.id)
            .bind(state)
            .bind(now)
            .execute(&mut **tx)
            .await
            .db("finish an import")?;
            if work.register.code() == "institution" {
                above(tx, work.id).await?;
            }
            job.finish_in(tx).await
        })
        .await?;
    if work.register.code() == "institution" {
        registries.directory.institutions_changed().await?;
    }
    Ok(())
}

pub(super) async fn undo(registries: &Registries, job: &Job) -> Result<()> {
    let work = work(registries, job).await?;
    let reason = format!("撤销导入 {}", work.id);
    loop {
        // Last rows first, as they came.
        let rows = sqlx::query(
            "select row_no, verdict, cells, entry_id, base_version from registry_import_row
             where import_id = $1 and outcome = 'done' order by row_no desc limit $2",
        )
        .bind(work.id)
        .bind(CHUNK)
        .fetch_all(registries.db.pool())
        .await
        .db("read rows of an import")?;
        if rows.is_empty() {
            break;
        }
        let kept: Vec<Kept> =
            rows.iter().map(Kept::of).collect::<Result<_, _>>().db("read rows of an import")?;
        let ids: Vec<i64> = kept.iter().filter_map(|row| row.entry).collect();
        let entries: HashMap<i64, Entry> =
            registries.by_ids(&ids).await?.into_iter().map(|entry| (entry.id, entry)).collect();
        let earlier = earlier(registries, work.id, &ids).await?;
        let (mut numbers, mut drafts, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for row in &kept {
            let entry = row.entry.and_then(|id| entries.get(&id));
            match entry.and_then(|entry| Some((entry, earlier.get(&entry.id)?))) {
                Some((entry, (version, before))) if entry.version == *version => {
                    drafts.push(back(registries, entry, before.as_ref())?);
                    numbers.push(row.number);
                }
                _ => left.push((row.number, "导入之后又有修改，没有撤销；请在条目页面上核对".to_owned())),
            }
        }
        let act = Act { import: Some(work.id), ..Act::now(registries, &work.author, &reason) };
        registries
            .db
            .transaction(async |tx| {
                write(tx, &drafts, &act).await?;
                mark(
                    tx,
                    work.id,
                    &numbers,
                    &vec![0; numbers.len()],
                    "undone",
                    &vec![String::new(); numbers.len()],
                )
                .await?;
                let (gone, why): (Vec<i32>, Vec<String>) = left.iter().cloned().unzip();
                mark(tx, work.id, &gone, &vec![0; gone.len()], "kept", &why).await?;
                count(tx, work.id, kept.len()).await
            })
            .await?;
        job.progress(&json!({ "import": work.id, "chunk": kept.len() })).await?;
    }
    finish(registries, job, &work, "undone").await
}

/// For each entry the version that the import wrote, and the one before it.
async fn earlier(
    registries: &Registries,
    import: i64,
    ids: &[i64],
) -> Result<HashMap<i64, (i32, Option<Version>)>> {
    let written: Vec<(i64, i32)> = sqlx::query_as(
        "select entry_id, max(version) from registry_version where import_id = $1 and entry_id = any($2) group by entry_id",
    )
    .bind(import)
    .bind(ids)
    .fetch_all(registries.db.pool())
    .await
    .db("read what an import wrote")?;
    let rows = sqlx::query(
        "select v.seq, v.entry_id, v.version, v.kind, v.institution_id, v.change, v.name, v.state, v.content, v.guarded,
            v.valid_from, v.recorded_at, v.recorded_by, v.reason, v.import_id, v.request_id, v.key
         from unnest($1::bigint[], $2::int[]) as n (entry_id, version)
         join registry_version v on v.entry_id = n.entry_id and v.version = n.version - 1",
    )
    .bind(written.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(written.iter().map(|(_, version)| *version).collect::<Vec<_>>())
    .fetch_all(registries.db.pool())
    .await
    .db("read what was before an import")?;
    let mut before: HashMap<i64, Version> = HashMap::with_capacity(rows.len());
    for row in &rows {
        before.insert(row.get("entry_id"), Version::of(row).db("read what was before an import")?);
    }
    Ok(written.into_iter().map(|(id, version)| (id, (version, before.remove(&id)))).collect())
}

/// The draft that takes an entry back to what it was; one that was not there is taken out.
fn back(registries: &Registries, entry: &Entry, before: Option<&Version>) -> Result<Draft> {
    let mut draft = registries.draft_of(entry)?;
    match before {
        None => (draft.state, draft.change) = ("removed", "removed"),
        Some(version) => {
            draft.content.clone_from(&version.content);
            draft.guarded.clone_from(&version.guarded);
            draft.name.clone_from(&version.name);
            draft.state = version.state.word();
            draft.institution = Some(version.institution.get() as i32);
            let register = &draft.register;
            draft.expires_on = register
                .expires
                .and_then(|at| version.content.get(&register.dataset.fields[at].name))
                .and_then(|day| catalog::parse::date(day.as_str()?));
            draft.score = super::super::examine::completeness(register, |field| {
                version.content.contains_key(field) || version.guarded.contains_key(field)
            });
        }
    }
    Ok(draft)
}
