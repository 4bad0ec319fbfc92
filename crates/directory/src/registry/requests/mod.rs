//! Requests for changes (变更申请): a member of staff asks for the own entry, an institution for what is its own; the unit
//! passes it on, the commission decides, and what is approved is written like any other change.
//!
//! ```text
//! asked by staff ──▶ unit ──▶ approved                 (nothing that the commission decides about)
//!                     └────▶ commission ──▶ approved
//! asked by the institution ──▶ commission ──▶ approved
//! any of them ──▶ returned (with the reason) · withdrawn (by who asked)
//! ```

pub mod pages;

use std::sync::Arc;

use catalog::Register;
use chrono::{DateTime, Utc};
use contracts::Institutions;
use kernel::access::InstitutionId;
use kernel::{Caller, Reach, Refusal, RegionCode, Result, Tier};
use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Tx};

use super::Registries;
use super::examine::{Draft, Texts};
use super::guard::Guard;
use super::model::{Entry, State, object};
use super::write::{Act, Written, audit_act, write};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Number.
    pub id: i64,
    /// Code of the register.
    pub kind: String,
    /// The entry to be changed; `None`: a new one.
    pub entry: Option<i64>,
    /// Whose.
    pub institution: InstitutionId,
    /// The member of staff, for parts of staff.
    pub parent: Option<i64>,
    /// What it is about.
    pub name: String,
    /// The values asked for.
    pub content: Map<String, Value>,
    /// The sealed values asked for.
    pub guarded: Map<String, Value>,
    /// Names of the fields that differ.
    pub changed: Vec<String>,
    /// `unit`, `commission`, `approved`, `returned`, `withdrawn`.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// Their account.
    pub account: Option<i64>,
    /// When.
    pub asked_at: DateTime<Utc>,
}

/// What the approver decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Approve,
    /// It goes back, with the reason.
    Return,
}

/// The Chinese name of a stage.
pub fn stage_name(stage: &str) -> &str {
    match stage {
        "unit" => "待单位审核",
        "commission" => "待主管部门审核",
        "approved" => "已通过",
        "returned" => "已退回",
        "withdrawn" => "已撤回",
        other => other,
    }
}

const SELECT: &str = "
    select id, kind, entry_id, institution_id, parent_id, name, content, guarded, changed, stage, reason, asked_by,
        account_id, asked_at
    from registry_request where id = $1";

impl Request {
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            entry: row.try_get("entry_id")?,
            institution: InstitutionId::new(row.try_get::<i32, _>("institution_id")?.into()),
            parent: row.try_get("parent_id")?,
            name: row.try_get("name")?,
            content: object(row.try_get("content")?),
            guarded: object(row.try_get("guarded")?),
            changed: row.try_get("changed")?,
            stage: row.try_get("stage")?,
            reason: row.try_get("reason")?,
            asked_by: row.try_get("asked_by")?,
            account: row.try_get("account_id")?,
            asked_at: row.try_get("asked_at")?,
        })
    }

    /// Whether somebody still has to decide.
    pub fn is_open(&self) -> bool {
        matches!(self.stage.as_str(), "unit" | "commission")
    }
}

/// Names of the fields in which two contents differ.
fn changed(register: &Register, draft: &Draft, before: Option<&Entry>) -> Vec<String> {
    register
        .dataset
        .fields
        .iter()
        .map(|f| f.name.as_str())
        .filter(|name| {
            let was = before.and_then(|e| e.content.get(*name).or_else(|| e.guarded.get(*name)));
            draft.content.get(*name).or_else(|| draft.guarded.get(*name)) != was
        })
        .map(str::to_owned)
        .collect()
}

/// Whether the commission has to decide about a change.
pub(crate) fn needs_commission(register: &Register, draft: &Draft, before: Option<&Entry>) -> bool {
    let names = changed(register, draft, before);
    let field = |at: &usize| names.iter().any(|n| *n == register.dataset.fields[*at].name);
    match before {
        Some(_) => register.commission.iter().any(field),
        // A new entry is the unit's own affair unless what it is told by is the commission's.
        None => register.dataset.key.iter().any(|at| register.commission.contains(at)),
    }
}

impl Registries {
    /// Whether a reach is that of the commission over an institution, not only of the institution itself.
    pub(crate) fn is_commission(&self, reach: &Reach, institution: InstitutionId) -> bool {
        self.directory.by_id(institution).is_some_and(|card| self.is_commission_of(reach, &card.region))
    }

    /// The same for a division: who reaches the whole county (or more). A township's own registrar does not.
    pub(crate) fn is_commission_of(&self, reach: &Reach, region: &RegionCode) -> bool {
        reach.covers_region(&region.at(Tier::County))
    }

    /// Asks for a change; the number of the request. `own`: a member of staff asks for the own entry.
    pub async fn ask(
        &self,
        caller: &Caller,
        draft: &Draft,
        before: Option<&Entry>,
        reason: &str,
        own: bool,
    ) -> Result<i64> {
        let register = &draft.register;
        let Some(institution) = draft.institution else {
            return Err(Refusal::forbidden(
                "registry.ask_new",
                "新机构由所在县（市、区）的管理员登记。请联系当地卫生健康行政部门。",
            )
            .into());
        };
        let names = changed(register, draft, before);
        if names.is_empty() {
            return Err(Refusal::invalid("registry.nothing", "没有改动任何内容，不需要提交申请。").into());
        }
        let now = self.clock.now();
        let waiting: Option<i64> = match before {
            Some(entry) => sqlx::query_scalar(
                "select id from registry_request where entry_id = $1 and stage in ('unit', 'commission') limit 1",
            )
            .bind(entry.id)
            .fetch_optional(self.db.pool())
            .await
            .db("look for open requests")?,
            None => None,
        };
        if let Some(waiting) = waiting {
            return Err(Refusal::conflict(
                "registry.waiting",
                format!("这个条目已有一份待审核的申请（编号 {waiting}）。请等审核结果，或先撤回那份申请。"),
            )
            .into());
        }
        self.db
            .transaction(async |tx| {
                let id: i64 = sqlx::query_scalar(
                    "insert into registry_request (kind, entry_id, base_version, institution_id, parent_id, name, content,
                        guarded, changed, stage, reason, asked_by, account_id, staff_id, asked_at)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) returning id",
                )
                .bind(register.code())
                .bind(draft.entry)
                .bind(draft.base_version.unwrap_or(0))
                .bind(institution)
                .bind(draft.parent)
                .bind(&draft.name)
                .bind(Value::Object(draft.content.clone()))
                .bind(Value::Object(draft.guarded.clone()))
                .bind(&names)
                .bind(if own { "unit" } else { "commission" })
                .bind(reason.trim())
                .bind(&caller.name)
                .bind(caller.account.map(kernel::Id::get))
                .bind(caller.staff.map(kernel::Id::get))
                .bind(now)
                .fetch_one(&mut **tx)
                .await
                .db("write a request")?;
                step(tx, id, "asked", caller, now, reason.trim()).await?;
                let detail = json!({ "register": register.code(), "fields": names });
                audit_act(tx, caller, now, "registry.ask", ("registry_request", Some(id), &draft.name), detail).await?;
                Ok(id)
            })
            .await
    }

    /// A request by its number.
    pub async fn request(&self, id: i64) -> Result<Request> {
        let row = sqlx::query(SELECT).bind(id).fetch_optional(self.db.pool()).await.db("read a request")?;
        let request = row.map(|row| Request::of(&row)).transpose().db("read a request")?;
        Ok(request.ok_or_else(unknown)?)
    }

    /// Whether a caller with this reach may decide about a request now.
    pub(crate) fn may_decide(&self, caller: &Caller, reach: &Reach, request: &Request) -> bool {
        let own = request.account.is_some() && request.account == caller.account.map(kernel::Id::get);
        !own && match request.stage.as_str() {
            "unit" => self.covers(reach, request.institution),
            "commission" => self.is_commission(reach, request.institution),
            _ => false,
        }
    }

    /// Decides; the stage afterwards.
    ///
    /// # Errors
    /// Refuses who may not, what is settled, and a return without reason; also what can no longer be written because the
    /// entry has changed.
    pub async fn decide(
        &self,
        caller: &Caller,
        reach: &Reach,
        id: i64,
        verdict: Verdict,
        note: &str,
    ) -> Result<&'static str> {
        let request = self.request(id).await?;
        if !self.covers(reach, request.institution) {
            return Err(unknown().into());
        }
        if !request.is_open() {
            return Err(settled(&request).into());
        }
        if !self.may_decide(caller, reach, &request) {
            return Err(Refusal::forbidden(
                "registry.not_yours",
                "这份申请不由您审核：本人不能审核自己的申请，执业注册等事项由主管部门审核。",
            )
            .into());
        }
        if verdict == Verdict::Return && note.trim().is_empty() {
            return Err(
                Refusal::invalid("registry.no_note", "退回时请写明原因，让申请人知道怎样修改。").into()
            );
        }
        let register = self.register(&request.kind)?.clone();
        let further = request.stage == "unit"
            && register
                .commission
                .iter()
                .any(|at| request.changed.contains(&register.dataset.fields[*at].name))
            && !self.is_commission(reach, request.institution);
        let draft = match verdict {
            Verdict::Approve if !further => Some(self.draft_of_request(&register, reach, &request).await?),
            _ => None,
        };
        let (stage, act) = match (verdict, further) {
            (Verdict::Return, _) => ("returned", "returned"),
            (_, true) => ("commission", "passed"),
            _ => ("approved", "approved"),
        };
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let moved = sqlx::query(
                    "update registry_request set stage = $2, settled_at = case when $2 = 'commission' then null else $3 end
                     where id = $1 and stage = $4",
                )
                .bind(id)
                .bind(stage)
                .bind(now)
                .bind(&request.stage)
                .execute(&mut **tx)
                .await
                .db("settle a request")?;
                if moved.rows_affected() == 0 {
                    return Err(settled(&request).into());
                }
                step(tx, id, act, caller, now, note.trim()).await?;
                if let Some(draft) = &draft {
                    let reason = format!("{}（申请 {id}，{} 提出）", request.reason, request.asked_by);
                    let written = Act { request: Some(id), ..Act::now(self, caller, &reason) };
                    let _: Vec<Written> = write(tx, std::slice::from_ref(draft), &written).await?;
                }
                let detail = json!({ "verdict": act, "note": note.trim(), "fields": request.changed });
                audit_act(tx, caller, now, "registry.decide", ("registry_request", Some(id), &request.name), detail).await
            })
            .await?;
        if draft.is_some() && request.kind == "institution" {
            self.directory.institutions_changed().await?;
        }
        Ok(stage)
    }

    /// Takes one's own request back.
    pub async fn withdraw(&self, caller: &Caller, id: i64) -> Result<()> {
        let request = self.request(id).await?;
        if request.account.is_none() || request.account != caller.account.map(kernel::Id::get) {
            return Err(unknown().into());
        }
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let moved = sqlx::query(
                    "update registry_request set stage = 'withdrawn', settled_at = $2
                     where id = $1 and stage in ('unit', 'commission')",
                )
                .bind(id)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("withdraw a request")?;
                if moved.rows_affected() == 0 {
                    return Err(settled(&request).into());
                }
                step(tx, id, "withdrawn", caller, now, "").await?;
                audit_act(
                    tx,
                    caller,
                    now,
                    "registry.withdraw",
                    ("registry_request", Some(id), &request.name),
                    json!({}),
                )
                .await
            })
            .await
    }

    /// The texts that a request asks for, over those of the entry as it is now: what others changed meanwhile stays.
    pub(crate) async fn texts_of_request(
        &self,
        register: &Arc<Register>,
        request: &Request,
    ) -> Result<(Texts, Option<Entry>)> {
        let before = match request.entry {
            Some(id) => self.by_ids(&[id]).await?.pop(),
            None => None,
        };
        let parent = match request.parent {
            Some(id) => self.by_ids(&[id]).await?.pop(),
            None => None,
        };
        let asked = Entry {
            id: 0,
            kind: request.kind.clone(),
            institution: before.as_ref().map_or(request.institution, |e| e.institution),
            parent: request.parent,
            parent_key: parent.as_ref().map(|p| p.key.clone()).unwrap_or_default(),
            parent_name: parent.map(|p| p.name).unwrap_or_default(),
            key: String::new(),
            name: request.name.clone(),
            state: State::Active,
            content: request.content.clone(),
            guarded: request.guarded.clone(),
            expires_on: None,
            score: 0,
            version: 0,
            merged_into: None,
            updated_at: request.asked_at,
        };
        let wanted = self.texts_of(register, &asked, true)?;
        let Some(entry) = &before else { return Ok((wanted, None)) };
        let mut texts = self.texts_of(register, entry, true)?;
        for (at, field) in register.dataset.fields.iter().enumerate() {
            if request.changed.contains(&field.name) {
                texts[at].clone_from(&wanted[at]);
            }
        }
        Ok((texts, before))
    }

    async fn draft_of_request(
        &self,
        register: &Arc<Register>,
        reach: &Reach,
        request: &Request,
    ) -> Result<Draft> {
        let (texts, before) = self.texts_of_request(register, request).await?;
        let examined = self.examine(register, reach, &texts, before.as_ref()).await?;
        let reasons = examined.reasons();
        Ok(examined.draft.ok_or_else(|| {
            Refusal::conflict(
                "registry.outdated",
                format!("现在不能按申请修改：{reasons}。请退回申请人重新填写。"),
            )
        })?)
    }

    /// What a request changes, as people read it; identifying fields stay masked.
    pub(crate) fn request_differences(
        &self,
        register: &Register,
        request: &Request,
        before: Option<&Entry>,
    ) -> Result<Vec<(String, String, String)>> {
        let guard = Guard::new(self.db.keyring());
        let mut all = Vec::new();
        for (at, field) in
            register.dataset.fields.iter().enumerate().filter(|(_, f)| request.changed.contains(&f.name))
        {
            let name = field.name.as_str();
            let text = |content: &Map<String, Value>, guarded: &Map<String, Value>| -> Result<String> {
                match guarded.get(name) {
                    Some(sealed) => guard.masked(name, sealed),
                    None => {
                        let text = content.get(name).map(super::model::as_text).unwrap_or_default();
                        Ok(self.shown(register, at, &text))
                    }
                }
            };
            let was = before.map(|e| text(&e.content, &e.guarded)).transpose()?.unwrap_or_default();
            all.push((field.title.clone(), was, text(&request.content, &request.guarded)?));
        }
        Ok(all)
    }
}

fn unknown() -> Refusal {
    Refusal::not_found("registry.no_request", "没有这份申请，或它不在您的管辖范围内。请从申请列表进入。")
}

fn settled(request: &Request) -> Refusal {
    Refusal::conflict(
        "registry.settled",
        format!("这份申请已经处理过了（{}），请刷新页面。", stage_name(&request.stage)),
    )
}

async fn step(
    tx: &mut Tx<'_>,
    request: i64,
    act: &str,
    caller: &Caller,
    now: DateTime<Utc>,
    note: &str,
) -> Result<()> {
    sqlx::query(
        "insert into registry_request_step (request_id, act, by_name, account_id, at, note) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(request)
    .bind(act)
    .bind(&caller.name)
    .bind(caller.account.map(kernel::Id::get))
    .bind(now)
    .bind(note)
    .execute(&mut **tx)
    .await
    .db("write a step of a request")?;
    Ok(())
}
