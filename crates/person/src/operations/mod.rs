//! Acts of people on the index (合并、拆分、关联、解除、撤销): each one at once, whole, with reason and actor, in the audit
//! trail, and with its exact inverse. What may be done and what it changes: [`rules`]; the database: `carry.rs`.

mod carry;
mod preview;
mod result;
pub mod rules;
pub(crate) mod waiting;

use chrono::{DateTime, Utc};
use contracts::Institutions;
use futures::future::BoxFuture;
use kernel::{Reach, Refusal, Result};
use store::AuditEntry;
use store::db::Retry;

pub(crate) use carry::{
    BY_HAND, all_pairs, carry_out_for, free_numbers, links, merged, pairs, take_back_run, write_run,
};
pub use carry::{Past, history, of_id};
pub use preview::Preview;
pub use result::Wished;
pub use rules::{Change, Decision, Order, PersonId, RecordId, Verdict, kind_name};
pub(crate) use waiting::load_with_waiting;

use crate::MasterIndex;

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its number, for the undo.
    pub operation: i64,
    /// What changed.
    pub change: Change,
    /// The person to look at next: who stays, or who was split off.
    pub person: PersonId,
}

/// Shortest reason that is taken, in characters.
const REASON: usize = 2;

/// A reason that says something.
///
/// # Errors
/// Refused when it is too short.
pub fn reason(text: &str) -> Result<&str, Refusal> {
    let text = text.trim();
    if text.chars().count() < REASON {
        return Err(Refusal::invalid("index.reason", "请填写理由：以后查到这次处理的人要靠它明白为什么。"));
    }
    Ok(text)
}

impl MasterIndex {
    /// Carries an order out. All persons that it touches must be within the reach; others look like not found.
    pub fn operate<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        order: &'a Order,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Done>> {
        self.operate_as(reach, institutions, order, None, why, now)
    }

    /// The same; after a merge the person is shown as wished, or the merge is refused.
    pub fn operate_as<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        order: &'a Order,
        wished: Option<&'a Wished>,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Done>> {
        Box::pin(async move {
            let why = reason(why)?;
            let mut retry = Retry::default();
            loop {
                let done = self
                    .db
                    .personal(reach, now, async |tx, reach| {
                        let order =
                            result::order(self, tx, reach, institutions, order, wished, why, now).await?;
                        let done = carry::carry_out(self, tx, reach, institutions, &order, why, now).await?;
                        let entry = audit(order.kind(), &done, why);
                        Ok((done, entry))
                    })
                    .await;
                match done {
                    Err(error) if retry.again(&error).await => {}
                    done => return done,
                }
            }
        })
    }

    /// Takes an operation back. Refused when something it touched has changed since.
    pub fn undo<'a>(
        &'a self,
        reach: &'a Reach,
        institutions: &'a dyn Institutions,
        operation: i64,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Done>> {
        Box::pin(async move {
            let why = reason(why)?;
            let mut retry = Retry::default();
            loop {
                let done = self
                    .db
                    .personal(reach, now, async |tx, reach| {
                        let done =
                            carry::take_back(self, tx, reach, institutions, operation, why, now).await?;
                        let entry = audit("undo", &done, why);
                        Ok((done, entry))
                    })
                    .await;
                match done {
                    Err(error) if retry.again(&error).await => {}
                    done => return done,
                }
            }
        })
    }
}

/// The act of a kind of operation in the audit trail.
pub const fn act(kind: &str) -> &'static str {
    match kind.as_bytes() {
        b"merge" => "person.merge",
        b"split" => "person.split",
        b"link" => "person.link",
        b"unlink" => "person.unlink",
        b"apart" => "person.apart",
        b"disown" => "person.disown",
        b"pin" | b"unpin" => "person.pin",
        _ => "person.undo",
    }
}

pub(crate) fn audit(kind: &str, done: &Done, why: &str) -> AuditEntry {
    let change = &done.change;
    AuditEntry {
        act: act(kind),
        object_kind: "person",
        object_id: Some(done.person),
        object_label: format!("操作 {}：{}", done.operation, why),
        person_id: Some(done.person),
        outcome: "ok",
        rows: i32::try_from(change.links.len()).ok(),
        detail: Some(serde_json::json!({
            "operation": done.operation,
            "persons": change.persons(),
            "records": change.records(),
        })),
        ..AuditEntry::default()
    }
}
