//! The life of entries: institutions close, open again and merge; staff move, leave and come back; parts end.

use chrono::NaiveDate;
use contracts::Institutions;
use kernel::access::InstitutionId;
use kernel::{Caller, Reach, Refusal, Result};
use serde_json::json;

use super::Registries;
use super::examine::Draft;
use super::model::{Entry, State};
use super::read::Filter;
use super::write::{Act, Written, audit_act, write};

/// What can be done with an entry as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An institution closes (注销), a member of staff leaves (离职), a part is no longer used.
    End,
    /// It is in use again.
    Resume,
    /// An institution becomes part of another one (合并).
    Merge {
        /// The one that carries on.
        into: InstitutionId,
        /// Whether its staff move there.
        with_staff: bool,
    },
    /// A member of staff changes the place of work (调动).
    Move {
        /// Where to.
        to: InstitutionId,
        /// The number there.
        staff_no: String,
        /// The department there.
        department: String,
    },
}

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Entries written, the first of them the one asked for.
    pub written: usize,
    /// Staff who could not move because their number is taken there.
    pub stayed: Vec<String>,
}

impl Registries {
    /// The draft that changes nothing of an entry; steps change it from there.
    pub(crate) fn draft_of(&self, entry: &Entry) -> Result<Draft> {
        Ok(Draft {
            register: self.register(&entry.kind)?.clone(),
            entry: Some(entry.id),
            base_version: Some(entry.version),
            institution: Some(entry.institution.get() as i32),
            parent: entry.parent,
            key: entry.key.clone(),
            name: entry.name.clone(),
            content: entry.content.clone(),
            guarded: entry.guarded.clone(),
            expires_on: entry.expires_on,
            score: entry.score,
            state: entry.state.word(),
            change: "changed",
            merged_into: entry.merged_into.map(|i| i.get() as i32),
        })
    }

    /// Carries out a step from a day on.
    ///
    /// # Errors
    /// Refuses what does not fit how the entry stands, and targets out of reach.
    pub async fn step(
        &self,
        caller: &Caller,
        reach: &Reach,
        entry: &Entry,
        step: &Step,
        day: NaiveDate,
        reason: &str,
    ) -> Result<Outcome> {
        if reason.trim().is_empty() {
            return Err(
                Refusal::invalid("registry.no_reason", "请写明原因（例如批准文号），以便日后查对。").into()
            );
        }
        let mut draft = self.draft_of(entry)?;
        let mut drafts = Vec::new();
        let mut outcome = Outcome::default();
        match step {
            Step::End => {
                let (state, change) = match entry.kind.as_str() {
                    "institution" => ("closed", "closed"),
                    "staff" => ("left", "left"),
                    _ => ("ended", "ended"),
                };
                self.must_be(entry, State::Active)?;
                (draft.state, draft.change) = (state, change);
            }
            Step::Resume => {
                if entry.state == State::Active {
                    return Err(
                        Refusal::conflict("registry.active", "它现在就是正常状态，不需要恢复。").into()
                    );
                }
                draft.change = match entry.kind.as_str() {
                    "institution" => "reopened",
                    "staff" => "returned",
                    _ => "restored",
                };
                (draft.state, draft.merged_into) = ("active", None);
            }
            Step::Merge { into, with_staff } => {
                self.must_be(entry, State::Active)?;
                let target = self.merge_target(reach, entry, *into).await?;
                (draft.state, draft.change) = ("merged", "merged");
                draft.merged_into = Some(target.get() as i32);
                if *with_staff {
                    (drafts, outcome.stayed) = self.staff_to(reach, entry.institution, target).await?;
                }
            }
            Step::Move { to, staff_no, department } => {
                self.must_be(entry, State::Active)?;
                let number = staff_no.trim();
                if number.is_empty() {
                    return Err(Refusal::invalid("registry.no_number", "请填写在新单位的工号。").into());
                }
                self.directory.by_id(*to).filter(|_| self.covers(reach, *to)).ok_or_else(|| {
                    Refusal::not_found(
                        "registry.no_target",
                        "没有要调入的机构，或它不在您的管辖范围内。跨县调动请由市级管理员办理。",
                    )
                })?;
                draft.institution = Some(to.get() as i32);
                draft.key = number.to_owned();
                draft.change = "moved";
                draft.content.insert("staff_no".to_owned(), json!(number));
                match department.trim() {
                    "" => draft.content.remove("department"),
                    name => draft.content.insert("department".to_owned(), json!(name)),
                };
            }
        }
        drafts.insert(0, draft);
        let act = Act { valid_from: day, ..Act::now(self, caller, reason.trim()) };
        let written: Vec<Written> = self
            .db
            .transaction(async |tx| {
                let written = write(tx, &drafts, &act).await?;
                let detail = json!({
                    "change": drafts[0].change, "from": day.to_string(), "reason": act.reason,
                    "into": drafts[0].merged_into, "entries": drafts.len(), "stayed": outcome.stayed,
                });
                let object = ("registry_entry", Some(entry.id), entry.name.as_str());
                audit_act(tx, caller, act.at, "registry.step", object, detail).await?;
                Ok(written)
            })
            .await?;
        if entry.kind == "institution" {
            self.directory.institutions_changed().await?;
        }
        outcome.written = written.len();
        Ok(outcome)
    }

    fn must_be(&self, entry: &Entry, state: State) -> Result<(), Refusal> {
        if entry.state == state {
            return Ok(());
        }
        Err(Refusal::conflict(
            "registry.state",
            format!("“{}”现在的状态是“{}”，不能这样操作。请刷新页面后再看。", entry.name, entry.state.name()),
        ))
    }

    async fn merge_target(&self, reach: &Reach, entry: &Entry, into: InstitutionId) -> Result<InstitutionId> {
        let refuse = |why: &str| Refusal::invalid("registry.merge_target", why.to_owned());
        if into == entry.institution {
            return Err(refuse("机构不能并入它自己，请选择另一家机构。").into());
        }
        let target = self
            .of_institution(into)
            .await?
            .filter(|_| self.covers(reach, into))
            .ok_or_else(|| refuse("没有要并入的机构，或它不在您的管辖范围内。"))?;
        if target.state != State::Active {
            return Err(refuse("要并入的机构已经注销或并入别处，请选择正常开办的机构。").into());
        }
        Ok(into)
    }

    /// Everybody in post at one institution, as moved to another; and who stays because the number is taken there.
    async fn staff_to(
        &self,
        reach: &Reach,
        from: InstitutionId,
        to: InstitutionId,
    ) -> Result<(Vec<Draft>, Vec<String>)> {
        let register = self.register("staff")?.clone();
        let at = |institution: InstitutionId, state: &str| Filter {
            institution: Some(institution.get()),
            state: state.to_owned(),
            ..Filter::default()
        };
        let taken: std::collections::HashSet<String> = self
            .page(&register, reach, &at(to, ""), i64::from(i32::MAX), 0)
            .await?
            .into_iter()
            .map(|e| e.key)
            .collect();
        let (mut drafts, mut stayed) = (Vec::new(), Vec::new());
        for entry in self.page(&register, reach, &at(from, "active"), i64::from(i32::MAX), 0).await? {
            if taken.contains(&entry.key) {
                stayed.push(format!("{}（{}）", entry.name, entry.key));
                continue;
            }
            let mut draft = self.draft_of(&entry)?;
            (draft.institution, draft.change) = (Some(to.get() as i32), "moved");
            drafts.push(draft);
        }
        Ok((drafts, stayed))
    }
}
