//! What an entry says, and the bytes that stand for it in MACs and digests.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// Everything in an entry that is sealed; the number is not, it is sealed by the segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)] // the columns of audit_entry, explained in the migration
pub struct Content {
    pub at: DateTime<Utc>,
    pub account_id: Option<i64>,
    pub staff_id: Option<i64>,
    pub session_id: Option<i64>,
    pub kind: String,
    pub assurance: String,
    pub actor: String,
    pub role: String,
    pub institution_id: Option<i32>,
    pub institution_name: String,
    pub region: String,
    pub address: String,
    pub agent: String,
    pub act: String,
    pub object_kind: String,
    pub object_id: Option<i64>,
    pub object_label: String,
    pub person_id: Option<i64>,
    pub row_count: Option<i32>,
    pub purpose: String,
    pub note: String,
    pub outcome: String,
    pub before_digest: Option<Vec<u8>>,
    pub after_digest: Option<Vec<u8>>,
    pub duration_ms: Option<i32>,
    pub detail: Option<String>,
}

/// The columns of [`Content`] in a `select`.
macro_rules! columns {
    () => {
        "at, account_id, staff_id, session_id, kind, assurance, actor, role, institution_id, institution_name, region,
         address, agent, act, object_kind, object_id, object_label, person_id, row_count, purpose, note, outcome,
         before_digest, after_digest, duration_ms, detail::text as detail"
    };
}
pub(super) use columns;

impl Content {
    /// The canonical form: a version, then every field with its length, so that no two contents share a form.
    pub fn canonical(&self) -> Vec<u8> {
        let mut form = Form(Vec::with_capacity(512));
        form.0.extend_from_slice(b"minkang audit entry 1\n");
        form.number(Some(self.at.timestamp_micros()));
        form.number(self.account_id);
        form.number(self.staff_id);
        form.number(self.session_id);
        form.text(&self.kind);
        form.text(&self.assurance);
        form.text(&self.actor);
        form.text(&self.role);
        form.number(self.institution_id.map(i64::from));
        form.text(&self.institution_name);
        form.text(&self.region);
        form.text(&self.address);
        form.text(&self.agent);
        form.text(&self.act);
        form.text(&self.object_kind);
        form.number(self.object_id);
        form.text(&self.object_label);
        form.number(self.person_id);
        form.number(self.row_count.map(i64::from));
        form.text(&self.purpose);
        form.text(&self.note);
        form.text(&self.outcome);
        form.bytes(self.before_digest.as_deref());
        form.bytes(self.after_digest.as_deref());
        form.number(self.duration_ms.map(i64::from));
        form.bytes(self.detail.as_deref().map(str::as_bytes));
        form.0
    }

    /// The beginning of the SHA-256 over content and MAC, as a segment keeps it.
    pub fn digest(&self, mac: Option<&[u8]>) -> [u8; 16] {
        let full = sha256(&[&self.canonical(), mac.unwrap_or_default()]);
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        short
    }
}

struct Form(Vec<u8>);

impl Form {
    fn bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.0.extend_from_slice(&u32::MAX.to_be_bytes()),
            Some(bytes) => {
                // A length of 4 GiB cannot be: the database keeps at most one in a field.
                self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_be_bytes());
                self.0.extend_from_slice(bytes);
            }
        }
    }
    fn text(&mut self, text: &str) {
        self.bytes(Some(text.as_bytes()));
    }
    fn number(&mut self, number: Option<i64>) {
        self.bytes(number.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }
}

/// SHA-256 over several pieces.
pub(super) fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_contents_share_a_form() {
        let base = Content { actor: "王丽华".into(), role: "医生".into(), ..Content::default() };
        let others = [
            Content { actor: "王丽华医".into(), role: "生".into(), ..base.clone() },
            Content { account_id: Some(0), ..base.clone() },
            Content { detail: Some(String::new()), ..base.clone() },
            Content { person_id: Some(1), ..base.clone() },
            Content { object_id: Some(1), ..base.clone() },
        ];
        for (n, other) in others.iter().enumerate() {
            assert_ne!(base.canonical(), other.canonical(), "case {n}");
        }
        assert_ne!(base.digest(None), base.digest(Some(&[1])), "the MAC is sealed as well");
        assert_eq!(base.digest(None), base.clone().digest(None));
    }
}
