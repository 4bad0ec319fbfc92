//! Bringing entries in by the operator's commands (a demonstration city, a first load): checked like any other, known
//! ones left as they are, so that a run that was interrupted can be begun again.

use std::sync::Arc;

use catalog::{Owner, Register};
use kernel::{Caller, Need, Purpose, Reach, Refusal, Result};

use super::Registries;
use super::examine::{Draft, Texts};
use super::read::Known;
use super::write::{Act, audit_act, write};

/// Entries written in one transaction.
const CHUNK: usize = 1_000;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// New entries.
    pub added: usize,
    /// Entries that were there and say something else now. Only institutions: others are left as they are.
    pub changed: usize,
    /// Entries that were there.
    pub known: usize,
}

impl Registries {
    /// Brings entries of one register in, as texts by field name.
    ///
    /// # Errors
    /// Refuses the first row that the register would not take, with what is wrong; what came before it stays.
    pub async fn bring(
        &self,
        caller: &Caller,
        code: &str,
        rows: &[Vec<(&'static str, String)>],
        reason: &str,
    ) -> Result<Brought> {
        let register = self.register(code)?.clone();
        let need = Need::new(kernel::Line::Administration, kernel::Act::Manage);
        let reach = caller.decide(need, Purpose::of("registry"))?;
        let mut brought = Brought::default();
        for part in rows.chunks(CHUNK) {
            let texts: Vec<Texts> = part.iter().map(|row| texts(&register, row)).collect();
            let drafts = self.new_drafts(&register, &reach, &texts, &mut brought).await?;
            let act = Act::now(self, caller, reason);
            self.db
                .transaction(async |tx| {
                    write(tx, &drafts, &act).await?;
                    let detail =
                        serde_json::json!({ "register": code, "rows": drafts.len(), "reason": reason });
                    audit_act(
                        tx,
                        caller,
                        act.at,
                        "registry.bring",
                        ("registry", None, &register.dataset.name),
                        detail,
                    )
                    .await
                })
                .await?;
        }
        if register.owner == Owner::Itself {
            self.directory.institutions_changed().await?;
        }
        Ok(brought)
    }

    async fn new_drafts(
        &self,
        register: &Arc<Register>,
        reach: &Reach,
        texts: &[Texts],
        brought: &mut Brought,
    ) -> Result<Vec<Draft>> {
        let slices: Vec<&[String]> = texts.iter().map(Vec::as_slice).collect();
        let staff = self.staff_index(register, &slices).await?;
        let examiner = self.examiner(register, &staff);
        let places: Vec<_> = texts.iter().map(|row| examiner.place(reach, row)).collect();
        let known: Known = self.known(register, places.iter().flatten()).await?;
        let mut drafts = Vec::with_capacity(texts.len());
        for (row, place) in texts.iter().zip(&places) {
            let before = place.as_ref().and_then(|p| known.get(p));
            if before.is_some() && register.owner != Owner::Itself {
                brought.known += 1;
                continue;
            }
            let examined = examiner.examine(reach, row, before)?;
            let reasons = examined.reasons();
            let draft = examined.draft.ok_or_else(|| {
                Refusal::invalid(
                    "registry.bring",
                    format!("{}“{}”不能登记：{reasons}", register.dataset.name, row.join(" ")),
                )
            })?;
            match before {
                Some(entry) if entry.content == draft.content => brought.known += 1,
                Some(_) => {
                    brought.changed += 1;
                    drafts.push(draft);
                }
                None => {
                    brought.added += 1;
                    drafts.push(draft);
                }
            }
        }
        Ok(drafts)
    }
}

fn texts(register: &Register, row: &[(&'static str, String)]) -> Texts {
    register
        .dataset
        .fields
        .iter()
        .map(|f| {
            row.iter().find(|(name, _)| *name == f.name).map(|(_, text)| text.clone()).unwrap_or_default()
        })
        .collect()
}
