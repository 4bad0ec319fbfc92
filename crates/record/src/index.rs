//! The index of the lifelong record (C2): one entry for each fact that is an event or a point of the summary.
//!
//! Titles are written when the fact is stored, codes already turned into names, so that a record page is one
//! index look-up and joins nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{CodeTables, Dataset, EntryKind};
use chrono::NaiveDate;
use contracts::{CareKind, CareRelations, EndedFact, NewCareRelation, RecordIndex, StoredFact, Terminology};
use futures::future::BoxFuture;
use kernel::Result;
use kernel::access::InstitutionId;
use store::copy::CopyRows;
use store::{DbDoing, Tx};

/// Longest title and detail kept, in characters: a line on a screen.
const LINE: usize = 160;

/// Keeps index entries in step with facts.
pub struct Index {
    terminology: Arc<dyn Terminology>,
    care: Arc<dyn CareRelations>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index")
    }
}

impl Index {
    /// An index that names codes by the tables in force.
    pub fn new(terminology: Arc<dyn Terminology>, care: Arc<dyn CareRelations>) -> Self {
        Self { terminology, care }
    }

    /// A row that names who saw the patient makes that member of staff one who cares for them. What a withdrawn row
    /// once said is kept: the visit may have been corrected, and the relation ends by itself.
    async fn note_care(
        &self,
        tx: &mut Tx<'_>,
        cared_by: usize,
        institution: InstitutionId,
        stored: &[StoredFact<'_>],
    ) -> Result<()> {
        let mut days: BTreeMap<(i64, &str), (NaiveDate, NaiveDate)> = BTreeMap::new();
        for fact in stored {
            let staff_no = text_of(fact, cared_by).trim();
            if staff_no.is_empty() {
                continue;
            }
            let day = fact.occurred_at.date();
            let span = days.entry((fact.identity_id, staff_no)).or_insert((day, day));
            *span = (span.0.min(day), span.1.max(day));
        }
        let relations: Vec<NewCareRelation> = days
            .into_iter()
            .map(|((identity_id, staff_no), (since, until))| NewCareRelation {
                identity_id,
                institution,
                staff_no: staff_no.to_owned(),
                team: None,
                kind: CareKind::Visit,
                since,
                until: Some(until),
            })
            .collect();
        self.care.note(tx, &relations).await
    }

    async fn write(
        &self,
        tx: &mut Tx<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
        stored: &[StoredFact<'_>],
        ended: &[EndedFact],
    ) -> Result<()> {
        let Some(view) = dataset.record.as_ref().filter(|view| view.entry != EntryKind::Part) else {
            return Ok(());
        };
        if !ended.is_empty() {
            sqlx::query(
                "delete from record_entry e
                 using unnest($2::bigint[], $3::timestamp[], $4::bigint[]) as gone (identity_id, occurred_at, fact_id)
                 where e.identity_id = gone.identity_id and e.occurred_at = gone.occurred_at
                    and e.dataset = $1 and e.fact_id = gone.fact_id",
            )
            .bind(dataset.number)
            .bind(ended.iter().map(|e| e.identity_id).collect::<Vec<_>>())
            .bind(ended.iter().map(|e| e.occurred_at).collect::<Vec<_>>())
            .bind(ended.iter().map(|e| e.fact_id).collect::<Vec<_>>())
            .execute(&mut **tx)
            .await
            .db("take ended facts out of the record")?;
        }
        if let Some(field) = view.cared_by {
            self.note_care(tx, field, institution, stored).await?;
        }
        let tables = self.terminology.tables();
        let mut copy = CopyRows::new(12, stored.len());
        for fact in stored {
            copy.row();
            copy.int8(fact.identity_id);
            copy.timestamp(fact.occurred_at);
            copy.int2(dataset.number);
            copy.int8(fact.fact_id);
            copy.int4(institution.get() as i32);
            copy.boolean(view.entry == EntryKind::Timeline);
            copy.boolean(is_abnormal(view, fact));
            copy.text(view.department.map_or("", |f| text_of(fact, f)));
            copy.text(view.disease.map_or("", |f| text_of(fact, f)));
            copy.text(&line(&view.title, dataset, fact, &tables));
            copy.text(&line(&view.detail, dataset, fact, &tables));
            copy.text(dataset.probe.category(fact.values));
        }
        copy.send(
            tx,
            "copy record_entry (identity_id, occurred_at, dataset, fact_id, institution_id, timeline, abnormal,
                department, disease, title, detail, category) from stdin (format binary)",
        )
        .await
    }
}

impl RecordIndex for Index {
    fn index<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        dataset: &'a Dataset,
        institution: InstitutionId,
        stored: &'a [StoredFact<'a>],
        ended: &'a [EndedFact],
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(self.write(tx, dataset, institution, stored, ended))
    }
}

fn text_of<'a>(fact: &StoredFact<'a>, field: usize) -> &'a str {
    fact.values[field].text().unwrap_or_default()
}

fn is_abnormal(view: &catalog::RecordView, fact: &StoredFact<'_>) -> bool {
    view.abnormal.as_ref().is_some_and(|(field, codes)| {
        fact.values[*field].text().is_some_and(|v| codes.iter().any(|c| c == v))
    })
}

fn line(
    parts: &[catalog::TitlePart],
    dataset: &Dataset,
    fact: &StoredFact<'_>,
    tables: &CodeTables,
) -> String {
    let text = catalog::title::render(parts, dataset, fact.values, tables);
    match text.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
