//! The audit trail: who did what to whom, why, with what result.

use kernel::error::Doing;
use kernel::{Caller, Purpose, Result};

use crate::db::Tx;

/// What an act was done to.
#[derive(Debug, Clone, Default)]
pub struct AuditEntry {
    /// The act, e.g. `record.view`.
    pub act: &'static str,
    /// Kind of object, e.g. `person`.
    pub object_kind: &'static str,
    /// The object's identifier.
    pub object_id: Option<i64>,
    /// How a person would name it.
    pub object_label: String,
    /// The person whose data it was.
    pub person_id: Option<i64>,
    /// `ok`, or why not.
    pub outcome: &'static str,
    /// Anything more.
    pub detail: Option<serde_json::Value>,
}

/// Writes an entry in the transaction of what it records.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    purpose: &Purpose,
    now: chrono::DateTime<chrono::Utc>,
    entry: &AuditEntry,
) -> Result<()> {
    sqlx::query(
        "insert into audit_entry (at, account_id, actor, role, institution_id, institution_name, address, act,
            object_kind, object_id, object_label, person_id, purpose, note, outcome, detail)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(now)
    .bind(caller.account.map(kernel::Id::get))
    .bind(&caller.name)
    .bind(&caller.role)
    .bind(caller.institution.map(|i| i.get() as i32))
    .bind(&caller.institution_name)
    .bind(&caller.address)
    .bind(entry.act)
    .bind(entry.object_kind)
    .bind(entry.object_id)
    .bind(&entry.object_label)
    .bind(entry.person_id)
    .bind(&purpose.code)
    .bind(&purpose.note)
    .bind(if entry.outcome.is_empty() { "ok" } else { entry.outcome })
    .bind(&entry.detail)
    .execute(&mut **tx)
    .await
    .doing("write the audit trail")?;
    Ok(())
}
