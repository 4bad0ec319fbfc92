//! One chunk of one data set in one transaction: link, store, index, list issues, count by day.

use catalog::{Checked, Dataset, PersonFields, Value};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::{Demographics, EndedFact, StoredFact};
use kernel::Result;
use kernel::access::InstitutionId;
use store::Tx;
use store::copy::CopyRows;
use store::facts::{FactRow, Outcome, Target};

use super::Inner;
use super::tally::{DayTally, Totals};

/// Number that stands for "the row could not be read" where a rule's number would.
pub const UNREADABLE: i16 = -1;

/// The place that quoted values are bound to.
pub const ISSUE_VALUE: &str = "batch_issue.value";

/// A row that could not be read at all.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Its number in the source.
    pub number: u64,
    /// Why.
    pub message: String,
}

/// Checked rows that are written together.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Rows that could be read.
    pub rows: Vec<Checked>,
    /// Rows that could not.
    pub unreadable: Vec<Unreadable>,
}

/// The batch that a chunk belongs to.
#[derive(Debug, Clone, Copy)]
pub struct BatchRef {
    /// Its number.
    pub id: i64,
    /// Who sent it.
    pub institution: InstitutionId,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

impl Inner {
    /// Writes a chunk; what became of its rows. The caller's transaction makes it atomic.
    pub(super) async fn write_chunk(
        &self,
        tx: &mut Tx<'_>,
        batch: BatchRef,
        dataset: &Dataset,
        chunk: &Chunk,
        listed: &mut i64,
    ) -> Result<Totals> {
        let now = self.parts.clock.now();
        let target = Target { dataset, institution: batch.institution, batch: batch.id, now };
        self.facts.begin_chunk(tx, target).await?;

        let good: Vec<&Checked> = chunk.rows.iter().filter(|r| !r.rejected).collect();
        let identities = self.link(tx, batch, dataset, &good, now).await?;
        store::crash::point("intake.linked");
        let rows: Vec<FactRow<'_>> = good
            .iter()
            .zip(&identities)
            .filter_map(|(checked, identity_id)| {
                let occurred_at = checked.values[dataset.occurred].datetime()?;
                Some(FactRow { checked, identity_id: *identity_id, occurred_at })
            })
            .collect();
        let outcomes = self.facts.write(tx, target, &rows).await?;
        store::crash::point("intake.facts_written");
        self.index(tx, batch, dataset, &rows, &outcomes).await?;
        store::crash::point("intake.indexed");

        let mut tally = DayTally::new(dataset, kernel::clock::to_china(batch.received_at).date());
        for row in &chunk.rows {
            tally.checked(row);
        }
        for _ in &chunk.unreadable {
            tally.unreadable();
        }
        for (row, outcome) in rows.iter().zip(&outcomes) {
            tally.outcome(row.occurred_at.date(), outcome);
        }
        self.list_issues(tx, batch.id, dataset, chunk, listed).await?;
        tally.save(tx, batch, dataset.number).await?;
        self.count_codes(tx, batch, dataset, chunk, &rows, &outcomes).await?;
        Ok(tally.totals())
    }

    // What a withdrawn row ends has its own identity record; a withdrawn registration or death has to be taken back there.
    async fn link(
        &self,
        tx: &mut Tx<'_>,
        batch: BatchRef,
        dataset: &Dataset,
        good: &[&Checked],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<i64>>> {
        let Some(person) = &dataset.person else { return Ok(vec![None; good.len()]) };
        let takes_back = person.registration || person.died_on.is_some();
        let told = |i: &usize| {
            let row = &good[*i];
            !row.withdrawn
                || (takes_back && row.values[person.local_no].text().is_some_and(|no| !no.is_empty()))
        };
        let told: Vec<usize> = (0..good.len()).filter(told).collect();
        let demographics: Vec<Demographics> = told
            .iter()
            .map(|i| Demographics { withdrawn: good[*i].withdrawn, ..demographics(person, &good[*i].values) })
            .collect();
        let ids = self.parts.linker.link(tx, batch.institution, &demographics, batch.id, now).await?;
        let mut identities = vec![None; good.len()];
        for (i, id) in told.into_iter().zip(ids).filter(|(i, _)| !good[*i].withdrawn) {
            identities[i] = Some(id);
        }
        Ok(identities)
    }

    async fn index(
        &self,
        tx: &mut Tx<'_>,
        batch: BatchRef,
        dataset: &Dataset,
        rows: &[FactRow<'_>],
        outcomes: &[Outcome],
    ) -> Result<()> {
        let (mut stored, mut ended) = (Vec::new(), Vec::new());
        for (row, outcome) in rows.iter().zip(outcomes) {
            match outcome {
                Outcome::Replaced { fact_id, old_identity: Some(identity_id), old_occurred }
                | Outcome::Withdrawn { fact_id, old_identity: Some(identity_id), old_occurred } => {
                    ended.push(EndedFact {
                        fact_id: *fact_id,
                        identity_id: *identity_id,
                        occurred_at: *old_occurred,
                    });
                }
                _ => {}
            }
            if let (Outcome::Stored { fact_id } | Outcome::Replaced { fact_id, .. }, Some(identity_id)) =
                (outcome, row.identity_id)
            {
                stored.push(StoredFact {
                    fact_id: *fact_id,
                    identity_id,
                    occurred_at: row.occurred_at,
                    values: &row.checked.values,
                });
            }
        }
        // A key that came twice in the chunk was stored and then replaced: only its last version is indexed.
        if !ended.is_empty() {
            let mut seen = std::collections::HashSet::new();
            stored.reverse();
            stored.retain(|fact| seen.insert(fact.fact_id));
            stored.reverse();
            let withdrawn: std::collections::HashSet<i64> = outcomes
                .iter()
                .filter_map(
                    |o| if let Outcome::Withdrawn { fact_id, .. } = o { Some(*fact_id) } else { None },
                )
                .collect();
            stored.retain(|fact| !withdrawn.contains(&fact.fact_id));
        }
        if stored.is_empty() && ended.is_empty() {
            return Ok(());
        }
        self.parts.index.index(tx, dataset, batch.institution, &stored, &ended).await
    }

    /// Lists the issues of a chunk, up to a limit for the batch.
    pub(super) async fn list_issues(
        &self,
        tx: &mut Tx<'_>,
        batch: i64,
        dataset: &Dataset,
        chunk: &Chunk,
        listed: &mut i64,
    ) -> Result<()> {
        let mut copy = CopyRows::new(7, chunk.unreadable.len() + 16);
        // A wrong value may be a right telephone in the wrong column: every quoted value is sealed.
        let sealer = tx.keyring().sealer(protect::Domain::Facts)?;
        let most = self.parts.options.whole("exchange.listed_issues");
        let mut put = |row: u64, rule: i16, field: Option<u16>, rejected: bool, value: &str| -> Result<()> {
            if *listed >= most {
                return Ok(());
            }
            *listed += 1;
            copy.row();
            copy.int8(batch);
            copy.int2(dataset.number);
            copy.int8(i64::try_from(row).unwrap_or(i64::MAX));
            copy.int2(rule);
            match field {
                Some(field) => copy.int2(field as i16),
                None => copy.null(),
            }
            copy.boolean(rejected);
            copy.text(&sealer.text(ISSUE_VALUE, value)?);
            Ok(())
        };
        for row in &chunk.unreadable {
            put(row.number, UNREADABLE, None, true, &row.message)?;
        }
        for row in &chunk.rows {
            for issue in &row.issues {
                let rejected = dataset.rules[usize::from(issue.rule)].reject;
                put(row.number, issue.rule as i16, issue.field, rejected, &issue.value)?;
            }
        }
        copy.send(
            tx,
            "copy batch_issue (batch_id, dataset, row_no, rule, field, rejected, value) from stdin (format binary)",
        )
        .await
    }
}

/// What a row says about whose it is.
pub(super) fn demographics(person: &PersonFields, values: &[Value]) -> Demographics {
    let text =
        |field: Option<usize>| field.and_then(|f| values[f].text()).map(str::to_owned).unwrap_or_default();
    let date = |field: Option<usize>| -> Option<NaiveDate> { field.and_then(|f| values[f].date()) };
    Demographics {
        local_no: text(Some(person.local_no)),
        name: text(person.name),
        sex: text(person.sex),
        birth_date: date(person.birth_date),
        credential_kind: text(person.credential_kind),
        credential_no: text(person.credential_no),
        card_no: text(person.card_no),
        phone: text(person.phone),
        address: text(person.address),
        region: text(person.region),
        blood_abo: text(person.blood_abo),
        blood_rh: text(person.blood_rh),
        ethnicity: text(person.ethnicity),
        contact_name: text(person.contact_name),
        contact_relation: text(person.contact_relation),
        contact_phone: text(person.contact_phone),
        died_on: date(person.died_on),
        withdrawn: false,
        registration: person.registration,
    }
}
