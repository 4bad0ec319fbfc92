//! Counting how coded values fared: standard, translated by an approved map, or unknown; by table and day. Rows that
//! changed nothing are not counted again. Handed to the terminology in the chunk's transaction.

use std::collections::HashMap;

use catalog::{Check, Checked, Dataset, FieldKind};
use chrono::NaiveDate;
use contracts::{CodeCounts, CodeDay, KeptCode, LocalSeen};
use kernel::Result;
use store::Tx;
use store::facts::{FactRow, Outcome};

use super::Inner;
use super::chunk::{BatchRef, Chunk};

/// The longest code of its own that an institution may have; longer texts are counted but not listed.
const LONGEST: usize = 50;
/// The longest name that is kept of one.
const NAME: usize = 100;

/// A code field of a data set.
struct Coded<'d> {
    field: usize,
    table: &'d str,
    name: Option<usize>,
    /// Whether its values are counted, or only those that are unknown.
    counted: bool,
}

#[derive(Default)]
struct Seen<'c> {
    name: &'c str,
    rows: i64,
}

/// The counts of one chunk.
struct Tally<'c> {
    dataset: &'c Dataset,
    fields: Vec<Coded<'c>>,
    received_on: NaiveDate,
    days: HashMap<(usize, NaiveDate), CodeDay>,
    unmapped: HashMap<(usize, NaiveDate, &'c str), Seen<'c>>,
    mapped: HashMap<(usize, NaiveDate, &'c str), Seen<'c>>,
    used: HashMap<(usize, &'c str), i64>,
    counts: CodeCounts,
}

impl Inner {
    pub(super) async fn count_codes(
        &self,
        tx: &mut Tx<'_>,
        batch: BatchRef,
        dataset: &Dataset,
        chunk: &Chunk,
        rows: &[FactRow<'_>],
        outcomes: &[Outcome],
    ) -> Result<()> {
        let terminology = &self.parts.terminology;
        let tables = terminology.tables();
        let fields: Vec<Coded<'_>> = dataset
            .fields
            .iter()
            .enumerate()
            .filter_map(|(field, definition)| match &definition.kind {
                FieldKind::Code { table, .. } => Some(Coded {
                    field,
                    table,
                    name: dataset.name_beside(field),
                    counted: tables.get(table).is_some_and(|t| t.local_codes),
                }),
                _ => None,
            })
            .collect();
        if fields.is_empty() {
            return Ok(());
        }
        let received_on = kernel::clock::to_china(batch.received_at).date();
        let counts = CodeCounts { dataset: dataset.number, ..CodeCounts::default() };
        let mut tally = Tally {
            dataset,
            fields,
            received_on,
            days: HashMap::new(),
            unmapped: HashMap::new(),
            mapped: HashMap::new(),
            used: HashMap::new(),
            counts,
        };
        for row in chunk.rows.iter().filter(|row| row.rejected) {
            tally.row(row, None);
        }
        for (row, outcome) in rows.iter().zip(outcomes) {
            match outcome {
                Outcome::Stored { fact_id } => tally.row(row.checked, Some(*fact_id)),
                Outcome::Replaced { fact_id, .. } => {
                    tally.counts.ended.push(*fact_id);
                    tally.row(row.checked, Some(*fact_id));
                }
                Outcome::Withdrawn { fact_id, .. } => tally.counts.ended.push(*fact_id),
                Outcome::Unchanged | Outcome::Absent => {}
            }
        }
        let counts = tally.finish();
        terminology.count_codes(tx, batch.institution, &counts).await
    }
}

impl<'c> Tally<'c> {
    fn row(&mut self, row: &'c Checked, fact: Option<i64>) {
        let day = row.values[self.dataset.occurred].date();
        let day = day.filter(|day| *day <= self.received_on).unwrap_or(self.received_on);
        let unknown = |field: usize| {
            row.issues.iter().any(|issue| {
                issue.field == Some(field as u16)
                    && self.dataset.rules[usize::from(issue.rule)].check == Check::InTable
            })
        };
        for (number, coded) in self.fields.iter().enumerate() {
            let Some(value) = row.values[coded.field].text() else { continue };
            let own = row.local.iter().find(|local| usize::from(local.field) == coded.field);
            let unmapped = own.is_none() && !row.issues.is_empty() && unknown(coded.field);
            if coded.counted {
                let counted = self.days.entry((number, day)).or_default();
                counted.coded += 1;
                counted.mapped += i64::from(own.is_some());
                counted.unmapped += i64::from(unmapped);
            }
            let name = || coded.name.and_then(|f| row.values[f].text()).unwrap_or_default();
            if let Some(own) = own {
                let seen = self.mapped.entry((number, day, &own.code)).or_default();
                seen.rows += 1;
                seen.name = if seen.name.is_empty() { name() } else { seen.name };
                if let Some(fact_id) = fact {
                    self.counts.kept.push(KeptCode {
                        fact_id,
                        field: self.dataset.fields[coded.field].name.clone(),
                        code: own.code.to_string(),
                        name: name().chars().take(NAME).collect(),
                    });
                }
            }
            if unmapped {
                if value.chars().count() <= LONGEST {
                    let seen = self.unmapped.entry((number, day, value)).or_default();
                    seen.rows += 1;
                    seen.name = if seen.name.is_empty() { name() } else { seen.name };
                }
            } else if coded.counted && fact.is_some() {
                *self.used.entry((number, value)).or_default() += 1;
            }
        }
    }

    /// Fields that share a table are joined.
    fn finish(self) -> CodeCounts {
        let mut counts = self.counts;
        let mut days: HashMap<(&str, NaiveDate), CodeDay> = HashMap::new();
        for ((number, day), counted) in self.days {
            let table = self.fields[number].table;
            let sum = days.entry((table, day)).or_insert_with(|| CodeDay {
                table: table.to_owned(),
                day,
                ..CodeDay::default()
            });
            sum.coded += counted.coded;
            sum.mapped += counted.mapped;
            sum.unmapped += counted.unmapped;
        }
        counts.days = days.into_values().collect();
        let fields = &self.fields;
        let join = |found: HashMap<(usize, NaiveDate, &'c str), Seen<'c>>| -> Vec<LocalSeen> {
            let mut joined: HashMap<(&str, NaiveDate, &str), LocalSeen> = HashMap::new();
            for ((number, day, code), seen) in found {
                let table = fields[number].table;
                let sum = joined.entry((table, day, code)).or_insert_with(|| LocalSeen {
                    table: table.to_owned(),
                    day,
                    code: code.to_owned(),
                    ..LocalSeen::default()
                });
                sum.rows += seen.rows;
                if sum.name.is_empty() {
                    sum.name = seen.name.chars().take(NAME).collect();
                }
            }
            joined.into_values().collect()
        };
        counts.unmapped = join(self.unmapped);
        counts.mapped = join(self.mapped);
        let mut used: HashMap<(&str, &str), i64> = HashMap::new();
        for ((number, code), rows) in self.used {
            *used.entry((fields[number].table, code)).or_default() += rows;
        }
        counts.used = used.into_iter().map(|((t, c), rows)| (t.to_owned(), c.to_owned(), rows)).collect();
        // Rows of the same codes are locked in one order by every chunk.
        counts.unmapped.sort_by(|a, b| (&a.table, &a.code, a.day).cmp(&(&b.table, &b.code, b.day)));
        counts.mapped.sort_by(|a, b| (&a.table, &a.code, a.day).cmp(&(&b.table, &b.code, b.day)));
        counts
    }
}
