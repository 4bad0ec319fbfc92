//! Operations as they are filed: asked for, decided, listed; and why one can or cannot be undone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::{Notice, NoticeTo};
use kernel::error::Doing;
use kernel::{Caller, Purpose, Reach, Refusal, RegionCode, Result, Tier};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::audit::{self, AuditEntry};
use store::{DbDoing, Tx, jobs};

use super::plan::{self, Plan, Request, kind_name};
use super::{APPROVE, Divisions, edition, run};

/// What a part of the platform holds of the divisions that an operation touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `institutions`, `people` …
    pub part: String,
    /// Its Chinese name.
    pub title: String,
    /// By code, those without rows left out.
    pub by_code: Vec<(String, i64)>,
}

impl Held {
    /// In all.
    pub fn total(&self) -> i64 {
        self.by_code.iter().map(|(_, n)| n).sum()
    }
}

/// An operation planned and weighed, before anybody has asked for it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What is done to the edition.
    pub plan: Plan,
    /// What moves, by part.
    pub held: Vec<Held>,
    /// The least division that holds everything it touches.
    pub region: RegionCode,
}

/// An operation as it is filed.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Number.
    pub id: i64,
    /// The edition it changes.
    pub year: i16,
    /// `rename`, `merge` …
    pub kind: String,
    /// In one line, e.g. `拆分平桥区`.
    pub title: String,
    /// Why, e.g. the document of the province that orders it.
    pub reason: String,
    /// The least division that holds everything it touches.
    pub region: RegionCode,
    /// What is done.
    pub plan: Plan,
    /// `asked`, `rejected`, `approved`, `moving`, `done`, `undoing`, `undone`, `failed`.
    pub state: String,
    /// Who asked.
    pub asked_by: String,
    /// Their account.
    pub asked_account: Option<i64>,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// Who decided.
    pub decided_by: String,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// What they noted; or why it failed.
    pub decided_note: String,
    /// When everything had followed.
    pub ended_at: Option<DateTime<Utc>>,
}

/// The Chinese name of a state.
pub fn state_name(state: &str) -> &'static str {
    match state {
        "asked" => "待审批",
        "rejected" => "已退回",
        "approved" => "待执行",
        "moving" => "执行中",
        "done" => "已完成",
        "undoing" => "撤回中",
        "undone" => "已撤回",
        _ => "未能执行",
    }
}

const SELECT: &str =
    "select id, year, kind, title, reason, region, plan, state, asked_by, asked_account, asked_at,
    decided_by, decided_at, decided_note, ended_at from division_operation";

fn operation(row: &PgRow) -> Result<Operation> {
    let plan: serde_json::Value = row.try_get(6).db("read an operation")?;
    let plan = serde_json::from_value(plan).doing("read the plan of an operation")?;
    (|| {
        Ok::<_, sqlx::Error>(Operation {
            id: row.try_get(0)?,
            year: row.try_get(1)?,
            kind: row.try_get(2)?,
            title: row.try_get(3)?,
            reason: row.try_get(4)?,
            region: RegionCode::parse(row.try_get(5)?).unwrap_or(RegionCode::NATION),
            plan,
            state: row.try_get(7)?,
            asked_by: row.try_get(8)?,
            asked_account: row.try_get(9)?,
            asked_at: row.try_get(10)?,
            decided_by: row.try_get(11)?,
            decided_at: row.try_get(12)?,
            decided_note: row.try_get(13)?,
            ended_at: row.try_get(14)?,
        })
    })()
    .db("read an operation")
}

/// The least division that holds all of these.
fn common(codes: impl IntoIterator<Item = RegionCode>) -> RegionCode {
    let mut codes = codes.into_iter();
    let Some(mut all) = codes.next() else { return RegionCode::NATION };
    for code in codes {
        while !all.contains(&code) {
            all = plan::parent(&all).unwrap_or(RegionCode::NATION);
        }
    }
    all
}

pub(crate) fn out_of_reach() -> Refusal {
    Refusal::not_found(
        "divisions.out_of_reach",
        "没有这个区划，或它不在您的管辖范围内。请由管辖它的上级办理。",
    )
}

impl Divisions {
    /// Plans an operation on the newest edition and counts what it would move. Nothing is changed.
    ///
    /// # Errors
    /// Refuses what is outside the reach, what cannot be done, and an edition that is not the newest.
    pub async fn preview(&self, reach: &Reach, year: i16, request: &Request) -> Result<Preview> {
        let known = self.directory.regions_now();
        if known.edition(year).is_none() {
            return Err(Refusal::invalid("divisions.year", format!("没有 {year} 年版的区划。")).into());
        }
        if let Some(newest) = known.newest().filter(|newest| *newest > year) {
            return Err(Refusal::conflict(
                "divisions.not_newest",
                format!("已有 {newest} 年版的区划，调整应在最新的一版上进行。"),
            )
            .into());
        }
        let mut work = edition::working(self.db(), year, request).await?;
        let codes: Vec<String> = work.units.keys().map(|c| c.as_str().to_owned()).collect();
        if let Some(people) = self.holdings.iter().find(|h| h.part() == "people") {
            let counted = people.count(&codes).await?;
            work.weights =
                counted.iter().filter_map(|(c, n)| Some((RegionCode::parse(c).ok()?, *n))).collect();
        }
        let plan = plan::plan(request, &mut work)?;
        let touched = plan.touched();
        let new_parents = plan.added.iter().filter_map(|u| plan::parent(&u.code));
        // A division may keep itself; whoever divides it or moves it must cover both ends.
        if touched.iter().copied().chain(new_parents).any(|c| !reach.covers_region(&c)) {
            return Err(out_of_reach().into());
        }
        let mut sources = plan.sources();
        let ending = plan.removed.iter().map(|u| u.code.as_str().to_owned());
        sources.extend(ending.filter(|c| !plan.moves.iter().any(|(f, _)| f.as_str() == c)));
        let held = self.held(&sources).await?;
        let stuck: Vec<_> =
            plan.removed.iter().filter(|u| !plan.moves.iter().any(|(f, _)| *f == u.code)).collect();
        if let Some(held) = held
            .iter()
            .find(|h| h.by_code.iter().any(|(code, _)| stuck.iter().any(|u| u.code.as_str() == code)))
        {
            return Err(Refusal::conflict(
                "divisions.held",
                format!("它名下还有{} {}。请选择接收它的区划。", held.title, held.total()),
            )
            .into());
        }
        Ok(Preview { region: common(touched), plan, held })
    }

    /// What every part holds in these codes.
    pub async fn held(&self, codes: &[String]) -> Result<Vec<Held>> {
        let own: Vec<(String, i64)> = sqlx::query_as(
            "select region, count(*) from institution where region = any($1) group by 1 order by 1",
        )
        .bind(codes)
        .fetch_all(self.db().pool())
        .await
        .db("count institutions by division")?;
        let mut held =
            vec![Held {
                part: run::INSTITUTIONS.to_owned(), title: "机构（家）".to_owned(), by_code: own
            }];
        for part in &self.holdings {
            let by_code = part.count(codes).await?;
            held.push(Held { part: part.part().to_owned(), title: part.title().to_owned(), by_code });
        }
        Ok(held)
    }

    /// Files an operation for somebody else to approve; its number.
    ///
    /// # Errors
    /// As [`Divisions::preview`]; and while another operation on the same divisions is under way.
    pub async fn ask(&self, reach: &Reach, year: i16, request: &Request, reason: &str) -> Result<i64> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Refusal::invalid("divisions.reason", "请填写调整的依据，例如批复文号。").into());
        }
        let preview = self.preview(reach, year, request).await?;
        let title = self.title(request, year);
        let (caller, now) = (reach.caller(), self.now());
        let request = serde_json::to_value(request).doing("write an operation")?;
        let plan = serde_json::to_value(&preview.plan).doing("write the plan of an operation")?;
        self.db()
            .transaction(async |tx| {
                lock(tx).await?;
                if let Some(other) = under_way(tx, &preview.plan, 0).await? {
                    return Err(Refusal::conflict(
                        "divisions.under_way",
                        format!("“{other}”正在办理，涉及同样的区划。请等它完成或退回后再提交。"),
                    )
                    .into());
                }
                let id: i64 = sqlx::query_scalar(
                    "insert into division_operation (year, kind, title, reason, region, request, plan, asked_by,
                         asked_account, asked_at)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id",
                )
                .bind(year)
                .bind(request["kind"].as_str().unwrap_or_default())
                .bind(&title)
                .bind(reason)
                .bind(preview.region.as_str())
                .bind(&request)
                .bind(&plan)
                .bind(&caller.name)
                .bind(caller.account.map(kernel::Id::get))
                .bind(now)
                .fetch_one(&mut **tx)
                .await
                .db("file an operation")?;
                if let Some(notices) = &self.notices {
                    let notice = Notice {
                        title: format!("区划调整待审批：{title}"),
                        link: format!("/divisions/operations/{id}"),
                        urgent: false,
                    };
                    notices.send(tx, NoticeTo::Holders(APPROVE, preview.region), &notice, now).await?;
                }
                note(tx, caller, now, "division.ask", id, &title, serde_json::json!({ "request": request, "reason": reason }))
                    .await?;
                Ok(id)
            })
            .await
    }

    fn title(&self, request: &Request, year: i16) -> String {
        let known = self.directory.regions_now();
        let name = |code: &RegionCode| known.full_name_in(code, year);
        let kind = kind_name(request.kind());
        match request {
            Request::Rename { code, name: to } => format!("{kind}：{}改为“{to}”", name(code)),
            Request::Merge { from, name: to, .. } => {
                let names: Vec<String> = from.iter().map(name).collect();
                format!("{kind}：{}合并为“{to}”", names.join("、"))
            }
            Request::Split { code, parts, .. } => {
                let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
                format!("{kind}：{}分为{}", name(code), names.join("、"))
            }
            Request::Move { codes, to } => {
                let names: Vec<String> = codes.iter().map(name).collect();
                format!("{kind}：{}划归{}", names.join("、"), name(to))
            }
            Request::Abolish { code, into: Some(into) } => {
                format!("{kind}：{}并入{}", name(code), name(into))
            }
            Request::Abolish { code, into: None } => format!("{kind}：{}", name(code)),
        }
    }

    /// Approves or rejects an operation that somebody else asked for. An approved one is carried out at once, or on
    /// the day from which its edition is in force.
    ///
    /// # Errors
    /// Refuses who asked for it themselves, and one that is no longer waiting.
    pub async fn decide(&self, reach: &Reach, id: i64, approve: bool, words: &str) -> Result<()> {
        let (caller, now) = (reach.caller(), self.now());
        let operation = self.operation(reach, id).await?;
        if caller.account.is_some() && caller.account.map(kernel::Id::get) == operation.asked_account {
            return Err(Refusal::forbidden(
                "divisions.own",
                "申请人不能审批自己的申请，请由另一位有审批权限的人员办理。",
            )
            .into());
        }
        let begins = self.directory.regions_now().edition(operation.year).map(|e| e.in_force_from);
        let begins = begins.filter(|day| *day > self.clock.today()).and_then(|day| {
            // Midnight in China.
            Some((day.and_hms_opt(0, 0, 0)? - chrono::TimeDelta::hours(8)).and_utc())
        });
        self.db()
            .transaction(async |tx| {
                let changed = sqlx::query(
                    "update division_operation set state = $2, decided_by = $3, decided_at = $4, decided_note = $5,
                            ended_at = case when $2 = 'rejected' then $4 end
                     where id = $1 and state = 'asked'",
                )
                .bind(id)
                .bind(if approve { "approved" } else { "rejected" })
                .bind(&caller.name)
                .bind(now)
                .bind(words.trim())
                .execute(&mut **tx)
                .await
                .db("decide about an operation")?;
                if changed.rows_affected() == 0 {
                    return Err(Refusal::conflict("divisions.decided", "这项申请已经有人处理过了。").into());
                }
                if approve {
                    let at = begins.unwrap_or(DateTime::<Utc>::MIN_UTC);
                    jobs::enqueue_at(tx, run::CARRY_OUT, &id.to_string(), &id, None, at).await?;
                }
                let act = if approve { "division.approve" } else { "division.reject" };
                note(tx, caller, now, act, id, &operation.title, serde_json::json!({ "note": words })).await
            })
            .await
    }

    /// Undoes an operation that is done.
    ///
    /// # Errors
    /// Refuses with the reason while something later depends on it, see [`Divisions::why_not_undo`].
    pub async fn undo(&self, reach: &Reach, id: i64, reason: &str) -> Result<()> {
        let (caller, now) = (reach.caller(), self.now());
        let operation = self.operation(reach, id).await?;
        if reason.trim().is_empty() {
            return Err(Refusal::invalid("divisions.reason", "请填写撤回的原因。").into());
        }
        self.db()
            .transaction(async |tx| {
                lock(tx).await?;
                if let Some(why) = self.why_not(tx, &operation).await?.first() {
                    return Err(Refusal::conflict("divisions.no_undo", format!("不能撤回：{why}")).into());
                }
                let changed = sqlx::query(
                    "update division_operation set state = 'undoing', ended_at = null where id = $1 and state = 'done'",
                )
                .bind(id)
                .execute(&mut **tx)
                .await
                .db("undo an operation")?;
                if changed.rows_affected() == 0 {
                    return Err(Refusal::conflict("divisions.decided", "这项调整的状态已变化，请刷新页面。").into());
                }
                jobs::enqueue(tx, run::UNDO, &id.to_string(), &id, None).await?;
                note(tx, caller, now, "division.undo", id, &operation.title, serde_json::json!({ "reason": reason })).await
            })
            .await
    }

    /// Why an operation cannot be undone, in sentences; empty when it can.
    pub async fn why_not_undo(&self, operation: &Operation) -> Result<Vec<String>> {
        self.db().transaction(async |tx| self.why_not(tx, operation).await).await
    }

    async fn why_not(&self, tx: &mut Tx<'_>, operation: &Operation) -> Result<Vec<String>> {
        let mut why = Vec::new();
        if operation.state != "done" {
            why.push(format!("它{}，只有已完成的调整才能撤回。", state_name(&operation.state)));
            return Ok(why);
        }
        let newest: Option<i16> = sqlx::query_scalar("select max(year) from division_year")
            .fetch_one(&mut **tx)
            .await
            .db("read editions of divisions")?;
        if let Some(newest) = newest.filter(|n| *n > operation.year) {
            why.push(format!("{newest} 年版的区划是在它之后建立的。请在新的一版上再做一次相反的调整。"));
        }
        if let Some(later) = under_way(tx, &operation.plan, operation.id).await? {
            why.push(format!("后来的“{later}”涉及同样的区划，请先撤回那一次。"));
        }
        let homeless: Vec<String> = operation
            .plan
            .added
            .iter()
            .filter(|u| !operation.plan.homes.iter().any(|(code, _)| *code == u.code))
            .map(|u| u.code.as_str().to_owned())
            .collect();
        if !homeless.is_empty() {
            let held = self.held(&homeless).await?;
            why.extend(
                held.iter()
                    .filter(|h| h.total() > 0)
                    .map(|h| format!("增设的区划名下已有{} {}，请先把它们划到别处。", h.title, h.total())),
            );
        }
        let added: Vec<&str> = operation.plan.added.iter().map(|u| u.code.as_str()).collect();
        let known: Vec<&str> = operation.plan.added.iter().map(|u| u.name.as_str()).collect();
        let altered: Option<String> = sqlx::query_scalar(
            "select coalesce(r.name, a.name) from unnest($2::text[], $3::text[]) as a (code, name)
             full join (select code, name, parent from region
                        where year = $1 and (code = any($2) or parent = any($2))) r using (code)
             where r.name is distinct from a.name limit 1",
        )
        .bind(operation.year)
        .bind(&added)
        .bind(&known)
        .fetch_optional(&mut **tx)
        .await
        .db("look for later changes of divisions")?;
        if let Some(name) = altered {
            why.push(format!("之后又在新区划中增减或更名了“{name}”。请先恢复它。"));
        }
        Ok(why)
    }

    /// An operation in reach.
    pub async fn operation(&self, reach: &Reach, id: i64) -> Result<Operation> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} where id = $1")))
            .bind(id)
            .fetch_optional(self.db().pool())
            .await
            .db("read an operation")?;
        let found = row.as_ref().map(operation).transpose()?;
        let within = found.filter(|o| within(reach, &o.region));
        within.ok_or_else(|| {
            Refusal::not_found("divisions.no_operation", "没有这次区划调整，或它不在您的管辖范围内。").into()
        })
    }

    /// The newest operations in reach; of one state, if one is named.
    pub async fn operations(&self, reach: &Reach, state: &str, limit: i64) -> Result<Vec<Operation>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} where $1 = '' or state = $1 order by id desc limit $2"
        )))
        .bind(state)
        .bind(limit)
        .fetch_all(self.db().pool())
        .await
        .db("list operations")?;
        let all: Vec<Operation> = rows.iter().map(operation).collect::<Result<_>>()?;
        Ok(all.into_iter().filter(|o| within(reach, &o.region)).collect())
    }

    /// What each part has done of an operation: part, whether of the undo, rows, when.
    pub async fn parts(&self, id: i64) -> Result<Vec<(String, bool, i64, DateTime<Utc>)>> {
        sqlx::query_as(
            "select part, undo, moved, ended_at from division_operation_part where operation_id = $1 order by ended_at",
        )
        .bind(id)
        .fetch_all(self.db().pool())
        .await
        .db("read what has followed an operation")
    }

    /// How far each part is that still works on an operation, as its job tells.
    pub async fn under_way(&self, id: i64) -> Result<BTreeMap<String, i64>> {
        let rows = jobs::of_event(self.db(), contracts::DivisionsMoved::TOPIC, &id.to_string()).await?;
        Ok(rows.into_iter().map(|(kind, progress)| (kind, progress["moved"].as_i64().unwrap_or(0))).collect())
    }
}

/// Operations are seen by whoever manages a division that they touch, and by those above.
fn within(reach: &Reach, region: &RegionCode) -> bool {
    reach.covers_region(region) || region.tier().is_none() && reach.covers_region(&RegionCode::NATION)
}

/// One at a time files, carries out and undoes operations.
pub(super) async fn lock(tx: &mut Tx<'_>) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(0x6d69_6e6b_616e_6710_i64)
        .execute(&mut **tx)
        .await
        .db("wait for the divisions")?;
    Ok(())
}

/// The title of an operation after `after` that is open or done and touches what this plan touches.
async fn under_way(tx: &mut Tx<'_>, plan: &Plan, after: i64) -> Result<Option<String>> {
    let touched: Vec<String> = plan.touched().iter().map(|c| c.as_str().to_owned()).collect();
    let states: &[&str] = if after == 0 {
        &["asked", "approved", "moving", "undoing"]
    } else {
        &["asked", "approved", "moving", "undoing", "done"]
    };
    sqlx::query_scalar(
        "select title from division_operation o
         where id > $1 and state = any($2) and exists (
             select from jsonb_array_elements((plan -> 'removed') || (plan -> 'added')
                 || jsonb_path_query_array(plan, '$.changed[*][0]')) as u
             where u ->> 'code' = any($3))
         order by id limit 1",
    )
    .bind(after)
    .bind(states)
    .bind(&touched)
    .fetch_optional(&mut **tx)
    .await
    .db("look for operations on the same divisions")
}

pub(super) async fn note(
    tx: &mut Tx<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
    act: &'static str,
    id: i64,
    label: &str,
    detail: serde_json::Value,
) -> Result<()> {
    let entry = AuditEntry {
        act,
        object_kind: "division",
        object_id: Some(id),
        object_label: label.to_owned(),
        detail: Some(detail),
        ..AuditEntry::default()
    };
    audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await
}

/// The Chinese name of a tier in the singular, e.g. `县级`.
pub fn tier_name(code: &RegionCode) -> &'static str {
    code.tier().map_or("全国", Tier::name)
}
