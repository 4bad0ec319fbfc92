//! Review tasks (待核对): pairs of records that may be one person and that people look at. Opened by linking and by runs,
//! answered here; the answer is an operation, is kept on the records, and is never asked for again.

use chrono::{DateTime, Utc};
use contracts::Institutions;
use futures::future::BoxFuture;
use kernel::{Reach, Refusal, Result};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use store::db::Retry;
use store::{AuditEntry, DbDoing, Gated, Tx};

use crate::MasterIndex;
use crate::operations::{Change, Order, Verdict};

/// What a field adds to the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Field of the model; empty for what all agreement is worth less because relatives share it.
    pub field: String,
    /// Level of agreement.
    pub level: String,
    /// Bits; negative against.
    pub weight: f64,
}

impl Part {
    /// The parts of a comparison.
    pub(crate) fn of(comparison: &linkage::Comparison) -> Vec<Self> {
        let part = |c: &linkage::Contribution| Part {
            field: c.field.to_string(),
            level: c.level.to_string(),
            weight: c.weight,
        };
        comparison.contributions.iter().map(part).collect()
    }
}

/// A pair to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct NewTask {
    pub kind: &'static str,
    pub a: i64,
    pub b: i64,
    pub identities: Vec<i64>,
    pub weight: f64,
    pub probability: f64,
    pub parts: Vec<Part>,
    pub priority: i16,
    pub county: String,
    pub institutions: Vec<i32>,
}

/// What somebody concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 是同一人
    Same,
    /// 不是同一人
    Apart,
}

impl Outcome {
    /// The code in the database.
    pub const fn code(self) -> &'static str {
        match self {
            Outcome::Same => "same",
            Outcome::Apart => "apart",
        }
    }

    /// The Chinese words.
    pub const fn title(self) -> &'static str {
        match self {
            Outcome::Same => "是同一人",
            Outcome::Apart => "不是同一人",
        }
    }
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Done; the operation that was carried out, for the undo.
    Done(i64),
    /// Waits for somebody else to agree.
    Second,
    /// Two people disagree: open again.
    Disputed,
    /// There was nothing left to decide: both belong to one person by now.
    Gone,
}

/// How urgent a task is, 1 to 5: two people under one number first, then what is nearly sure.
pub(crate) fn priority(kind: &str, probability: f64) -> i16 {
    match kind {
        "number" | "two_numbers" => 2,
        _ if probability >= 0.95 => 2,
        _ if probability >= 0.6 => 3,
        _ => 4,
    }
}

/// Opens tasks; one whose pair of persons has an open one already is left out.
pub(crate) async fn open(
    tx: &mut Tx<'_>,
    tasks: &[NewTask],
    version: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    if tasks.is_empty() {
        return Ok(0);
    }
    let texts: Vec<serde_json::Value> =
        tasks.iter().map(|t| serde_json::to_value(&t.parts).unwrap_or_default()).collect();
    let lists: Vec<serde_json::Value> =
        tasks.iter().map(|t| serde_json::json!({"i": t.identities, "o": t.institutions})).collect();
    let done = sqlx::query(
        "insert into review_task (kind, a, b, weight, probability, contributions, priority, county, identities,
            institutions, model_version, opened_at, updated_at)
         select t.kind, t.a, t.b, t.weight, t.probability, t.parts, t.priority, t.county,
            array(select jsonb_array_elements_text(t.lists -> 'i')::bigint),
            array(select jsonb_array_elements_text(t.lists -> 'o')::int), $10, $11, $11
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::real[], $5::real[], $6::jsonb[], $7::smallint[],
            $8::text[], $9::jsonb[]) as t (kind, a, b, weight, probability, parts, priority, county, lists)
         where not exists (
             select from review_task o where o.state in ('open', 'asked', 'second')
               and o.a in (select jsonb_array_elements_text(t.lists -> 'i')::bigint)
               and o.b in (select jsonb_array_elements_text(t.lists -> 'i')::bigint))
         on conflict do nothing",
    )
    .bind(tasks.iter().map(|t| t.kind).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.a).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.b).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.weight as f32).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.probability as f32).collect::<Vec<_>>())
    .bind(texts)
    .bind(tasks.iter().map(|t| t.priority).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.county.as_str()).collect::<Vec<_>>())
    .bind(lists)
    .bind(version)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("open review tasks")?;
    Ok(done.rows_affected())
}

/// Closes tasks whose two records have come into one person by themselves.
pub(crate) async fn close_gone(tx: &mut Tx<'_>, records: &[i64], now: DateTime<Utc>) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update review_task t set state = 'closed', outcome = 'gone', updated_at = $2
         from identity_record a, identity_record b
         where t.state in ('open', 'asked', 'second') and (t.a = any($1) or t.b = any($1))
           and a.id = t.a and b.id = t.b and a.person_id = b.person_id",
    )
    .bind(records)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("close review tasks")?;
    Ok(())
}

/// Answers the tasks that an operation answers, and opens those again whose answer was undone.
pub(crate) async fn after_operation(
    tx: &mut Tx<'_>,
    change: &Change,
    operation: i64,
    undoes: Option<i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    if let Some(undone) = undoes {
        sqlx::query(
            "update review_task t set state = 'open', outcome = '', operation_id = null, first_by = null,
                first_name = '', first_outcome = '', first_at = null, decided_by = null, decided_name = '',
                decided_at = null, updated_at = $2
             where t.operation_id = $1 and not exists (
                 select from review_task o where o.a = t.a and o.b = t.b and o.state in ('open', 'asked', 'second'))",
        )
        .bind(undone)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("open review tasks again")?;
    }
    let pairs: Vec<(i64, i64, Verdict)> =
        change.pairs.iter().filter_map(|(a, b, s)| Some((*a, *b, s.after.as_ref()?.verdict))).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update review_task t set state = 'done', outcome = p.outcome, operation_id = $4, decided_at = $5,
            updated_at = $5
         from unnest($1::bigint[], $2::bigint[], $3::text[]) as p (a, b, outcome)
         where t.a = p.a and t.b = p.b and t.state in ('open', 'asked', 'second')",
    )
    .bind(pairs.iter().map(|p| p.0).collect::<Vec<_>>())
    .bind(pairs.iter().map(|p| p.1).collect::<Vec<_>>())
    .bind(pairs.iter().map(|p| if p.2 == Verdict::Apart { "apart" } else { "same" }).collect::<Vec<_>>())
    .bind(operation)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("answer review tasks")?;
    Ok(())
}

/// A task as deciding needs it.
struct Open {
    a: i64,
    b: i64,
    parts: Vec<Part>,
    kind: String,
    first_by: Option<i64>,
    first_outcome: String,
    second: bool,
}

async fn locked(tx: &mut Tx<'_>, task: i64) -> Result<Open> {
    let row = sqlx::query(
        "select a, b, contributions, kind, first_by, first_outcome, state = 'second' as second from review_task
         where id = $1 and state in ('open', 'asked', 'second') for update",
    )
    .bind(task)
    .fetch_optional(&mut **tx)
    .await
    .db("read a review task")?
    .ok_or_else(|| {
        Refusal::conflict("review.decided", "这一项已由别人处理，或两边已经归为一人。请看下一项。")
    })?;
    (|| {
        let parts: sqlx::types::Json<Vec<Part>> = row.try_get(2)?;
        Ok::<_, sqlx::Error>(Open {
            a: row.try_get(0)?,
            b: row.try_get(1)?,
            parts: parts.0,
            kind: row.try_get(3)?,
            first_by: row.try_get(4)?,
            first_outcome: row.try_get(5)?,
            second: row.try_get(6)?,
        })
    })()
    .db("read a review task")
}

/// Whether linking in spite of this evidence wants a second pair of eyes: sex, birth or number speak against it.
pub fn risky(kind: &str, parts: &[Part]) -> bool {
    matches!(kind, "number" | "two_numbers")
        || parts
            .iter()
            .any(|p| p.weight < 0.0 && matches!(p.field.as_str(), "sex" | "birth_date" | "citizen_id"))
}

impl MasterIndex {
    /// Answers a task. A risky link waits for a second person where the setting says so.
    pub fn decide<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        task: i64,
        outcome: Outcome,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Decided>> {
        Box::pin(async move {
            let mut retry = Retry::default();
            loop {
                let decided = self
                    .db
                    .personal(reach, now, async |tx, reach| {
                        let decided =
                            decide(self, tx, reach, institutions, task, outcome, why.trim(), now).await?;
                        let entry = AuditEntry {
                            act: "person.review",
                            object_kind: "review_task",
                            object_id: Some(task),
                            object_label: format!("{}：{}", outcome.title(), why.trim()),
                            outcome: "ok",
                            ..AuditEntry::default()
                        };
                        Ok((decided, entry))
                    })
                    .await;
                match decided {
                    Err(error) if retry.again(&error).await => {}
                    decided => return decided,
                }
            }
        })
    }
}

#[allow(clippy::too_many_arguments)]
async fn decide(
    index: &MasterIndex,
    tx: &mut Gated<'_>,
    reach: &Reach,
    institutions: &dyn Institutions,
    id: i64,
    outcome: Outcome,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Decided> {
    let task = locked(tx, id).await?;
    let caller = reach.caller();
    let account = caller.account.map(|a| a.get());
    let persons: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select i.id, i.person_id, (select count(*) from identity_record o where o.person_id = i.person_id)
         from identity_record i where i.id in ($1, $2) order by (i.id = $1) desc",
    )
    .bind(task.a)
    .bind(task.b)
    .fetch_all(&mut ***tx)
    .await
    .db("read the persons of a review task")?;
    let [(_, one, ones), (_, other, others)] = persons[..] else {
        return Err(Refusal::not_found("review.unknown", "没有找到这一项。").into());
    };
    if one == other {
        close_gone(tx, &[task.a], now).await?;
        return Ok(Decided::Gone);
    }
    if task.second {
        if task.first_by == account {
            return Err(Refusal::conflict(
                "review.same_eyes",
                "这一项由您先作了结论，须由另一人复核。请处理下一项。",
            )
            .into());
        }
        if task.first_outcome != outcome.code() {
            mark(tx, id, "open", None, "", "", why, now).await?;
            return Ok(Decided::Disputed);
        }
    } else if outcome == Outcome::Same && index.wants_second() && risky(&task.kind, &task.parts) {
        mark(tx, id, "second", account, &caller.name, outcome.code(), why, now).await?;
        return Ok(Decided::Second);
    }
    let order = match outcome {
        Outcome::Same if ones >= others => Order::Merge { into: one, from: other },
        Outcome::Same => Order::Merge { into: other, from: one },
        Outcome::Apart => Order::Apart { a: task.a, b: task.b },
    };
    let default = if outcome == Outcome::Same { "核对为同一人" } else { "核对为不同的人" };
    let why = if why.is_empty() { default } else { why };
    let done =
        crate::operations::carry_out_for(index, tx, reach, institutions, &order, why, now, Some(id)).await?;
    sqlx::query(
        "update review_task set state = 'done', outcome = $2, decided_by = $3, decided_name = $4, decided_at = $5,
            updated_at = $5, note = $6, operation_id = $7 where id = $1",
    )
    .bind(id)
    .bind(outcome.code())
    .bind(account)
    .bind(&caller.name)
    .bind(now)
    .bind(why)
    .bind(done.operation)
    .execute(&mut ***tx)
    .await
    .db("answer a review task")?;
    Ok(Decided::Done(done.operation))
}

#[allow(clippy::too_many_arguments)]
async fn mark(
    tx: &mut Tx<'_>,
    id: i64,
    state: &str,
    by: Option<i64>,
    name: &str,
    outcome: &str,
    note: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "update review_task set state = $2, first_by = $3, first_name = $4, first_outcome = $5,
            first_at = case when $5 = '' then null else $6 end, note = $7, updated_at = $6 where id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(by)
    .bind(name)
    .bind(outcome)
    .bind(now)
    .bind(note)
    .execute(&mut **tx)
    .await
    .db("mark a review task")?;
    Ok(())
}
