//! Writing entries with their versions, events and the columns that other contexts read. Always in batches.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::{InstitutionChanged, StaffMoved};
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Refusal, Result};
use serde_json::{Value, json};
use sqlx::Row;
use standards::pinyin::initials;
use store::audit::{self, AuditEntry};
use store::{DbDoing, Tx, outbox};

use super::examine::Draft;
use super::{LOCK, Registries};

/// In whose name, when and why something is written.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who.
    pub by: String,
    /// Their account.
    pub account: Option<i64>,
    /// When it is written.
    pub at: DateTime<Utc>,
    /// From which day on it holds.
    pub valid_from: NaiveDate,
    /// Why.
    pub reason: String,
    /// The request that led to it.
    pub request: Option<i64>,
    /// The import that it is part of.
    pub import: Option<i64>,
}

impl Act {
    /// What a caller does now, holding from today.
    pub fn now(registries: &Registries, caller: &Caller, reason: &str) -> Self {
        Self {
            by: caller.name.clone(),
            account: caller.account.map(kernel::Id::get),
            at: registries.clock.now(),
            valid_from: registries.clock.local().date(),
            reason: reason.to_owned(),
            request: None,
            import: None,
        }
    }
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// The entry.
    pub entry: i64,
    /// Its version.
    pub version: i32,
    /// The institution that it belongs to now.
    pub institution: i32,
    /// Where it belonged before, when it moved.
    pub from: Option<i32>,
}

/// Writes entries, in the order given. All of it or nothing: an entry that somebody else changed since it was read, or
/// whose key is taken, refuses the whole.
pub(crate) async fn write(tx: &mut Tx<'_>, drafts: &[Draft], act: &Act) -> Result<Vec<Written>> {
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut **tx)
        .await
        .db("wait for the registers")?;
    let institutions = new_institutions(tx, drafts).await?;
    let mut done: Vec<Option<Written>> = vec![None; drafts.len()];
    insert(tx, drafts, &institutions, act, &mut done).await?;
    update(tx, drafts, &institutions, act, &mut done).await?;
    let done: Vec<Written> = done
        .into_iter()
        .zip(drafts)
        .map(|(written, draft)| written.ok_or_else(|| taken(draft)))
        .collect::<Result<_, Refusal>>()?;
    versions(tx, drafts, &done, act).await?;
    let touched: Vec<i64> = drafts
        .iter()
        .zip(&done)
        .filter(|(draft, _)| draft.register.code() == "institution")
        .map(|(_, written)| written.entry)
        .collect();
    project(tx, &touched).await?;
    events(tx, drafts, &done).await?;
    Ok(done)
}

fn taken(draft: &Draft) -> Refusal {
    match draft.entry {
        Some(_) => Refusal::conflict(
            "registry.changed_since",
            format!("“{}”在您打开之后已被他人修改，没有保存。请重新打开，核对后再改。", draft.name),
        ),
        None => Refusal::conflict(
            "registry.taken",
            format!("{}“{}”已经登记过了，请打开原来的条目修改。", draft.register.dataset.name, draft.name),
        ),
    }
}

/// Makes the rows of institutions that do not exist yet; their numbers, in the order of the drafts.
async fn new_institutions(tx: &mut Tx<'_>, drafts: &[Draft]) -> Result<Vec<i32>> {
    let new: Vec<(usize, &Draft)> =
        drafts.iter().enumerate().filter(|(_, draft)| draft.institution.is_none()).collect();
    let mut numbers: Vec<i32> = drafts.iter().map(|d| d.institution.unwrap_or(0)).collect();
    if new.is_empty() {
        return Ok(numbers);
    }
    let text = |field: &str| -> Vec<String> {
        new.iter()
            .map(|(_, d)| d.content.get(field).and_then(Value::as_str).unwrap_or("").to_owned())
            .collect()
    };
    let rows = sqlx::query(
        "insert into institution (code, name, short_name, class, sender_class, region, initials)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
         on conflict (code) do update set closed_on = null
            where exists (select 1 from registry_entry e where e.institution_id = institution.id
                and e.kind = 'institution' and e.state = 'removed')
              and not exists (select 1 from registry_entry e where e.institution_id = institution.id
                and e.kind = 'institution' and e.state <> 'removed')
         returning id, code",
    )
    .bind(text("code"))
    .bind(text("name"))
    .bind(text("short_name"))
    .bind(text("class"))
    .bind(text("sender_class"))
    .bind(text("region"))
    .bind(new.iter().map(|(_, d)| initials(&d.name)).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await
    .db("open institutions")?;
    for (at, draft) in new {
        let row = rows.iter().find(|row| row.get::<&str, _>(1) == draft.key).ok_or_else(|| taken(draft))?;
        numbers[at] = row.try_get(0).db("open institutions")?;
    }
    Ok(numbers)
}

async fn insert(
    tx: &mut Tx<'_>,
    drafts: &[Draft],
    institutions: &[i32],
    act: &Act,
    done: &mut [Option<Written>],
) -> Result<()> {
    let new: Vec<usize> = (0..drafts.len()).filter(|at| drafts[*at].entry.is_none()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let each = |get: &dyn Fn(&Draft) -> String| new.iter().map(|at| get(&drafts[*at])).collect::<Vec<_>>();
    let rows = sqlx::query(
        "insert into registry_entry (kind, institution_id, parent_id, key, name, initials, state, content, guarded,
            expires_on, score, updated_at)
         select kind, institution_id, nullif(parent_id, 0), key, name, initials, state, content, guarded, expires_on,
            score, $12
         from unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[],
            $9::jsonb[], $10::date[], $11::smallint[]) with ordinality
            as n (kind, institution_id, parent_id, key, name, initials, state, content, guarded, expires_on, score, at)
         order by at
         on conflict do nothing
         returning id, kind, institution_id, coalesce(parent_id, 0), key",
    )
    .bind(each(&|d| d.register.code().to_owned()))
    .bind(new.iter().map(|at| institutions[*at]).collect::<Vec<_>>())
    .bind(new.iter().map(|at| drafts[*at].parent.unwrap_or(0)).collect::<Vec<_>>())
    .bind(each(&|d| d.key.clone()))
    .bind(each(&|d| d.name.clone()))
    .bind(each(&|d| initials(&d.name)))
    .bind(each(&|d| d.state.to_owned()))
    .bind(new.iter().map(|at| Value::Object(drafts[*at].content.clone())).collect::<Vec<_>>())
    .bind(new.iter().map(|at| Value::Object(drafts[*at].guarded.clone())).collect::<Vec<_>>())
    .bind(new.iter().map(|at| drafts[*at].expires_on).collect::<Vec<_>>())
    .bind(new.iter().map(|at| drafts[*at].score).collect::<Vec<_>>())
    .bind(act.at)
    .fetch_all(&mut **tx)
    .await
    .db("write entries of a register")?;
    let mut found = std::collections::HashMap::with_capacity(rows.len());
    for row in &rows {
        let key: (String, i32, i64, String) = (row.get(1), row.get(2), row.get(3), row.get(4));
        found.insert(key, row.get::<i64, _>(0));
    }
    for at in new {
        let draft = &drafts[at];
        let key = (
            draft.register.code().to_owned(),
            institutions[at],
            draft.parent.unwrap_or(0),
            draft.key.clone(),
        );
        done[at] = found.remove(&key).map(|entry| Written {
            entry,
            version: 1,
            institution: institutions[at],
            from: None,
        });
    }
    Ok(())
}

async fn update(
    tx: &mut Tx<'_>,
    drafts: &[Draft],
    institutions: &[i32],
    act: &Act,
    done: &mut [Option<Written>],
) -> Result<()> {
    let old: Vec<usize> = (0..drafts.len()).filter(|at| drafts[*at].entry.is_some()).collect();
    if old.is_empty() {
        return Ok(());
    }
    let each = |get: &dyn Fn(&Draft) -> String| old.iter().map(|at| get(&drafts[*at])).collect::<Vec<_>>();
    let ids: Vec<i64> = old.iter().filter_map(|at| drafts[*at].entry).collect();
    let taken: Option<String> = sqlx::query_scalar(
        "select n.name from unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
            as n (id, institution_id, parent_id, key, name, kind, state)
         join registry_entry e on e.kind = n.kind and e.institution_id = n.institution_id
            and coalesce(e.parent_id, 0) = n.parent_id and e.key = n.key and e.id <> n.id and e.state <> 'removed'
            and n.state <> 'removed' and e.id <> all($1) limit 1",
    )
    .bind(&ids)
    .bind(old.iter().map(|at| institutions[*at]).collect::<Vec<_>>())
    .bind(old.iter().map(|at| drafts[*at].parent.unwrap_or(0)).collect::<Vec<_>>())
    .bind(each(&|d| d.key.clone()))
    .bind(each(&|d| d.name.clone()))
    .bind(each(&|d| d.register.code().to_owned()))
    .bind(each(&|d| d.state.to_owned()))
    .fetch_optional(&mut **tx)
    .await
    .db("look for keys that are taken")?;
    if let Some(name) = taken {
        return Err(Refusal::conflict(
            "registry.key_taken",
            format!("保存“{name}”时发现编号与同一机构的另一条目重复（可能是已停用的条目）。请换一个编号，或恢复原条目。"),
        )
        .into());
    }
    let rows = sqlx::query(
        "with n as (
            select * from unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::jsonb[], $9::jsonb[], $10::date[], $11::smallint[], $12::int[])
            as n (id, base, institution_id, key, name, initials, state, content, guarded, expires_on, score, merged_into)),
         was as (
            select e.id, e.institution_id from registry_entry e join n on n.id = e.id
            where n.base = 0 or e.version = n.base for update of e)
         update registry_entry e
         set institution_id = n.institution_id, key = n.key, name = n.name, initials = n.initials, state = n.state,
            content = n.content, guarded = n.guarded, expires_on = n.expires_on, score = n.score,
            merged_into = n.merged_into, version = e.version + 1, updated_at = $13
         from n join was on was.id = n.id
         where e.id = n.id
         returning e.id, e.version, e.institution_id, was.institution_id as was",
    )
    .bind(&ids)
    .bind(old.iter().map(|at| drafts[*at].base_version.unwrap_or(0)).collect::<Vec<_>>())
    .bind(old.iter().map(|at| institutions[*at]).collect::<Vec<_>>())
    .bind(each(&|d| d.key.clone()))
    .bind(each(&|d| d.name.clone()))
    .bind(each(&|d| initials(&d.name)))
    .bind(each(&|d| d.state.to_owned()))
    .bind(old.iter().map(|at| Value::Object(drafts[*at].content.clone())).collect::<Vec<_>>())
    .bind(old.iter().map(|at| Value::Object(drafts[*at].guarded.clone())).collect::<Vec<_>>())
    .bind(old.iter().map(|at| drafts[*at].expires_on).collect::<Vec<_>>())
    .bind(old.iter().map(|at| drafts[*at].score).collect::<Vec<_>>())
    .bind(old.iter().map(|at| drafts[*at].merged_into).collect::<Vec<_>>())
    .bind(act.at)
    .fetch_all(&mut **tx)
    .await
    .db("change entries of a register")?;
    for row in &rows {
        let entry: i64 = row.get(0);
        let (institution, was): (i32, i32) = (row.get(2), row.get(3));
        if let Some(at) = old.iter().find(|at| drafts[**at].entry == Some(entry)) {
            done[*at] = Some(Written {
                entry,
                version: row.get(1),
                institution,
                from: (institution != was).then_some(was),
            });
        }
    }
    Ok(())
}

async fn versions(tx: &mut Tx<'_>, drafts: &[Draft], done: &[Written], act: &Act) -> Result<()> {
    sqlx::query(
        "insert into registry_version (entry_id, version, kind, institution_id, change, name, key, state, content, guarded,
            merged_into, valid_from, recorded_at, recorded_by, account_id, reason, request_id, import_id)
         select e.id, e.version, e.kind, e.institution_id, n.change, e.name, e.key, e.state, e.content, e.guarded,
            e.merged_into, $3, $4, $5, $6, $7, $8, $9
         from unnest($1::bigint[], $2::text[]) with ordinality as n (id, change, at) join registry_entry e on e.id = n.id
         order by n.at",
    )
    .bind(done.iter().map(|w| w.entry).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.change.to_owned()).collect::<Vec<_>>())
    .bind(act.valid_from)
    .bind(act.at)
    .bind(&act.by)
    .bind(act.account)
    .bind(&act.reason)
    .bind(act.request)
    .bind(act.import)
    .execute(&mut **tx)
    .await
    .db("write versions of a register")?;
    Ok(())
}

/// Brings the columns of `institution` and its identifiers, which other contexts read, in step with the entries.
async fn project(tx: &mut Tx<'_>, entries: &[i64]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update institution i
         set code = e.key, name = e.name, initials = e.initials,
            short_name = coalesce(e.content ->> 'short_name', e.name), class = coalesce(e.content ->> 'class', i.class),
            sender_class = coalesce(e.content ->> 'sender_class', i.sender_class),
            region = coalesce(e.content ->> 'region', i.region),
            parent_id = (select p.id from institution p where p.code = e.content ->> 'parent'),
            address = coalesce(e.content ->> 'address', ''), phone = coalesce(e.content ->> 'phone', ''),
            opened_on = (e.content ->> 'opened_on')::date,
            closed_on = case when e.state = 'active' then null
                else coalesce(i.closed_on, (e.updated_at at time zone 'Asia/Shanghai')::date) end
         from registry_entry e where e.id = any($1) and i.id = e.institution_id",
    )
    .bind(entries)
    .execute(&mut **tx)
    .await
    .db("bring institutions in step")?;
    // 执业许可证登记号 and the like may be shared by branches in practice: whoever comes first keeps it.
    sqlx::query(
        "delete from institution_identifier n using registry_entry e
         where e.id = any($1) and n.institution_id = e.institution_id
            and n.kind in ('ws218_code', 'nhsa_code', 'licence_no', 'local_code')",
    )
    .bind(entries)
    .execute(&mut **tx)
    .await
    .db("renew identifiers")?;
    sqlx::query(
        "insert into institution_identifier (kind, value, institution_id)
         select k.kind, e.content ->> k.kind, e.institution_id
         from registry_entry e, unnest(array['ws218_code', 'nhsa_code', 'licence_no', 'local_code']) as k (kind)
         where e.id = any($1) and e.content ->> k.kind <> '' on conflict do nothing",
    )
    .bind(entries)
    .execute(&mut **tx)
    .await
    .db("renew identifiers")?;
    Ok(())
}

async fn events(tx: &mut Tx<'_>, drafts: &[Draft], done: &[Written]) -> Result<()> {
    let mut institutions: Vec<(String, InstitutionChanged)> = Vec::new();
    let mut staff: Vec<(String, StaffMoved)> = Vec::new();
    for (draft, written) in drafts.iter().zip(done) {
        match draft.register.code() {
            "institution" => institutions.push((
                written.institution.to_string(),
                InstitutionChanged {
                    institution_id: written.institution.into(),
                    change: match draft.change {
                        "registered" => "opened",
                        "removed" => "closed",
                        "restored" => "reopened",
                        other => other,
                    }
                    .to_owned(),
                    into: draft.merged_into.map(i64::from),
                },
            )),
            "staff" if written.from.is_some() || matches!(draft.change, "left" | "removed" | "returned") => {
                let gone = matches!(draft.change, "left" | "removed");
                staff.push((
                    written.entry.to_string(),
                    StaffMoved {
                        staff_id: written.entry,
                        from_institution: written.from.unwrap_or(written.institution).into(),
                        to_institution: (!gone).then_some(written.institution.into()),
                    },
                ));
            }
            _ => {}
        }
    }
    let institutions: Vec<(&str, &InstitutionChanged)> =
        institutions.iter().map(|(s, e)| (s.as_str(), e)).collect();
    let staff: Vec<(&str, &StaffMoved)> = staff.iter().map(|(s, e)| (s.as_str(), e)).collect();
    for (subject, event) in institutions {
        outbox::emit(tx, InstitutionChanged::TOPIC, subject, event).await?;
    }
    for (subject, event) in staff {
        outbox::emit(tx, StaffMoved::TOPIC, subject, event).await?;
    }
    Ok(())
}

/// The job that follows institutions to other divisions.
pub(crate) const FOLLOW: &str = "registry.divisions";

/// Notes in the register what an operation on divisions did to institutions: their division, as a version.
pub(crate) async fn follow_divisions(registries: &Registries, job: &store::Job) -> Result<()> {
    let moved: Vec<(i64, String)> = sqlx::query_as(
        "select e.id, i.region from registry_entry e join institution i on i.id = e.institution_id
         where e.kind = 'institution' and e.state <> 'removed' and e.content ->> 'region' is distinct from i.region
         order by e.id",
    )
    .fetch_all(registries.db.pool())
    .await
    .db("look for institutions whose division changed")?;
    let regions: std::collections::HashMap<i64, String> = moved.into_iter().collect();
    let ids: Vec<i64> = regions.keys().copied().collect();
    let mut drafts = Vec::with_capacity(ids.len());
    for entry in registries.by_ids(&ids).await? {
        let mut draft = registries.draft_of(&entry)?;
        draft.content.insert("region".to_owned(), json!(regions[&entry.id]));
        drafts.push(draft);
    }
    let act = Act::now(registries, &Caller::system("系统"), "行政区划调整");
    registries
        .db
        .transaction(async |tx| {
            write(tx, &drafts, &act).await?;
            job.finish_in(tx).await
        })
        .await?;
    registries.directory.institutions_changed().await
}

/// Brings the register in step with an institution that the port or a command of the operator wrote.
pub(crate) async fn record_institution(tx: &mut Tx<'_>, institution: i32) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut **tx)
        .await
        .db("wait for the registers")?;
    let row = sqlx::query(
        "with told as (
            select id, code, name, initials, jsonb_build_object('code', code, 'name', name, 'short_name', short_name,
                'class', class, 'sender_class', sender_class, 'region', region) as content
            from institution where id = $1),
         changed as (
            update registry_entry e
            set key = told.code, name = told.name, initials = told.initials, content = e.content || told.content,
                version = e.version + 1, updated_at = now()
            from told where e.kind = 'institution' and e.institution_id = told.id returning e.id, e.version),
         new as (
            insert into registry_entry (kind, institution_id, key, name, initials, content, updated_at)
            select 'institution', id, code, name, initials, jsonb_strip_nulls(content), now() from told
            where not exists (select 1 from registry_entry e where e.kind = 'institution' and e.institution_id = told.id)
            returning id, version)
         select id, version from changed union all select id, version from new",
    )
    .bind(institution)
    .fetch_one(&mut **tx)
    .await
    .db("bring the register in step")?;
    let (entry, version): (i64, i32) = (row.get(0), row.get(1));
    sqlx::query(
        "insert into registry_version (entry_id, version, kind, institution_id, change, name, key, state, content, guarded,
            merged_into, valid_from, recorded_at, recorded_by, reason)
         select id, version, kind, institution_id, $2, name, key, state, content, guarded, merged_into,
            (now() at time zone 'Asia/Shanghai')::date, now(), '系统', '由命令或接口登记'
         from registry_entry where id = $1",
    )
    .bind(entry)
    .bind(if version == 1 { "registered" } else { "changed" })
    .execute(&mut **tx)
    .await
    .db("write a version of an institution")?;
    let event = InstitutionChanged {
        institution_id: institution.into(),
        change: if version == 1 { "opened" } else { "changed" }.to_owned(),
        into: None,
    };
    outbox::emit(tx, InstitutionChanged::TOPIC, &institution.to_string(), &event).await
}

/// Writes one act into the audit trail, in its transaction.
pub(crate) async fn audit_act(
    tx: &mut Tx<'_>,
    caller: &Caller,
    at: DateTime<Utc>,
    act: &'static str,
    object: (&'static str, Option<i64>, &str),
    detail: Value,
) -> Result<()> {
    let entry = AuditEntry {
        act,
        object_kind: object.0,
        object_id: object.1,
        object_label: object.2.to_owned(),
        detail: Some(detail),
        ..AuditEntry::default()
    };
    audit::record(tx, caller, &Purpose::of("registry"), at, &entry).await
}

impl Registries {
    /// Writes one draft in its own transaction, with the audit entry, and brings this process's memory in step.
    pub async fn save(
        &self,
        caller: &Caller,
        draft: &Draft,
        act: &Act,
        before: Option<Value>,
    ) -> Result<Written> {
        let written = self
            .db
            .transaction(async |tx| {
                let mut written = write(tx, std::slice::from_ref(draft), act).await?;
                let Some(written) = written.pop() else {
                    return Err(kernel::Error::fault("write an entry", "nothing was written"));
                };
                let detail = json!({
                    "register": draft.register.code(), "change": draft.change, "version": written.version,
                    "reason": act.reason, "before": before, "after": draft.content,
                });
                let object = ("registry_entry", Some(written.entry), draft.name.as_str());
                audit_act(tx, caller, act.at, "registry.change", object, detail).await?;
                Ok(written)
            })
            .await?;
        if draft.register.code() == "institution" {
            self.directory.institutions_changed().await?;
        }
        Ok(written)
    }

    /// The institution that an entry belongs to, as lists name it.
    pub(crate) fn institution_name(&self, id: InstitutionId) -> String {
        contracts::Institutions::by_id(self.directory.as_ref(), id)
            .map(|card| card.short_name.clone())
            .unwrap_or_default()
    }
}
