//! The audit trail: who did what to whom, why, with what result; sealed into a signed chain so that a change is found.
//!
//! ```text
//! record ── in the transaction of the act ──► audit_entry (MAC over the content)
//! Sealer ── every second ──► audit_segment (order, digests, hash of the segment before, signature)
//!        └─ every minute ──► audit_anchor and a file outside of the database
//! verify ── recomputes all of it and says which entry was altered, is missing, was put in or re-ordered
//! ```
//! docs/audit.md says what this proves and what it does not.

mod anchors;
mod archive;
mod content;
mod keys;
mod read;
mod seal;
mod segment;
mod verify;

use kernel::error::Doing;
use kernel::{Caller, CallerKind, Factor, Purpose, RegionCode, Result};

use crate::db::Tx;

pub use anchors::AnchorFile;
pub use archive::{Archived, archive, archives, partitions_ahead};
pub use content::Content;
pub use keys::{Keys, MacKey};
pub use read::{Read, begin_at_end, move_mark, next_segments};
pub use seal::{Sealed, Sealer};
pub use segment::{Line, Segment};
pub use verify::{Fault, FaultKind, Report, Span, latest_verification, note_verification, verify};

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
    /// How many rows were shown, taken out or changed, where that says something.
    pub rows: Option<i32>,
    /// SHA-256 of the object before a change ([`digest_of`]).
    pub before: Option<[u8; 32]>,
    /// SHA-256 of the object after it.
    pub after: Option<[u8; 32]>,
    /// How long the act took, in milliseconds, where known.
    pub duration_ms: Option<i32>,
    /// What the browser or program calls itself; kept for sign-ins, whose session later entries name.
    pub agent: String,
}

/// What an object looked like, as a digest for [`AuditEntry::before`] and [`AuditEntry::after`].
pub fn digest_of(object: &serde_json::Value) -> [u8; 32] {
    content::sha256(&[object.to_string().as_bytes()])
}

/// Writes an entry in the transaction of what it records.
pub async fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    purpose: &Purpose,
    now: chrono::DateTime<chrono::Utc>,
    entry: &AuditEntry,
) -> Result<()> {
    let content = content_of(caller, purpose, now, entry);
    let mac = tx.trail_key().map(|key| key.mac(&content.canonical()));
    sqlx::query(
        "insert into audit_entry (at, account_id, staff_id, session_id, kind, assurance, actor, role, institution_id,
            institution_name, region, address, agent, act, object_kind, object_id, object_label, person_id, row_count,
            purpose, note, outcome, before_digest, after_digest, duration_ms, detail, mac)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26::text::json, $27)",
    )
    .bind(content.at)
    .bind(content.account_id)
    .bind(content.staff_id)
    .bind(content.session_id)
    .bind(&content.kind)
    .bind(&content.assurance)
    .bind(&content.actor)
    .bind(&content.role)
    .bind(content.institution_id)
    .bind(&content.institution_name)
    .bind(&content.region)
    .bind(&content.address)
    .bind(&content.agent)
    .bind(&content.act)
    .bind(&content.object_kind)
    .bind(content.object_id)
    .bind(&content.object_label)
    .bind(content.person_id)
    .bind(content.row_count)
    .bind(&content.purpose)
    .bind(&content.note)
    .bind(&content.outcome)
    .bind(&content.before_digest)
    .bind(&content.after_digest)
    .bind(content.duration_ms)
    .bind(&content.detail)
    .bind(mac)
    .execute(&mut **tx)
    .await
    .doing("write the audit trail")?;
    Ok(())
}

fn content_of(
    caller: &Caller,
    purpose: &Purpose,
    now: chrono::DateTime<chrono::Utc>,
    entry: &AuditEntry,
) -> Content {
    // The database keeps no NUL, and a text that it refuses must not make an act unrecordable.
    let text = |text: &str| if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() };
    Content {
        at: now,
        account_id: caller.account.map(kernel::Id::get),
        staff_id: caller.staff.map(kernel::Id::get),
        session_id: caller.session,
        kind: kind_word(caller.kind).to_owned(),
        assurance: assurance_word(caller),
        actor: text(&caller.name),
        role: text(&caller.role),
        institution_id: caller.institution.and_then(|i| i32::try_from(i.get()).ok()),
        institution_name: text(&caller.institution_name),
        region: if caller.region == RegionCode::NATION {
            String::new()
        } else {
            caller.region.as_str().to_owned()
        },
        address: text(&caller.address),
        agent: text(&entry.agent).chars().take(300).collect(),
        act: entry.act.to_owned(),
        object_kind: entry.object_kind.to_owned(),
        object_id: entry.object_id,
        object_label: text(&entry.object_label),
        person_id: entry.person_id,
        row_count: entry.rows,
        purpose: text(&purpose.code),
        note: text(&purpose.note),
        outcome: if entry.outcome.is_empty() { "ok" } else { entry.outcome }.to_owned(),
        before_digest: entry.before.map(|d| d.to_vec()),
        after_digest: entry.after.map(|d| d.to_vec()),
        duration_ms: entry.duration_ms,
        detail: entry.detail.as_ref().map(ToString::to_string),
    }
}

/// The stable word for a kind of caller.
pub const fn kind_word(kind: CallerKind) -> &'static str {
    match kind {
        CallerKind::Staff => "staff",
        CallerKind::Client => "client",
        CallerKind::Embedded => "embedded",
        CallerKind::Resident => "resident",
        CallerKind::System => "system",
    }
}

fn assurance_word(caller: &Caller) -> String {
    let word = match caller.assurance.factor {
        Factor::Single => "single",
        Factor::Second => "second",
        Factor::Certificate => "certificate",
    };
    if caller.assurance.fresh { format!("{word}+") } else { word.to_owned() }
}
