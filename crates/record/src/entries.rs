//! Reading the index of the record. One index look-up per identity record, newest first, however long the life.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use kernel::Result;
use kernel::access::InstitutionId;
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{DbDoing, Gated};

/// An entry of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened.
    pub occurred_at: NaiveDateTime,
    /// Number of its data set.
    pub dataset: i16,
    /// The fact.
    pub fact_id: i64,
    /// Who sent it.
    pub institution: InstitutionId,
    /// Whether it is an event; otherwise a point of the summary.
    pub timeline: bool,
    /// Whether the fact says that something is abnormal.
    pub abnormal: bool,
    /// Department, or empty.
    pub department: String,
    /// ICD-10 code, or empty.
    pub disease: String,
    /// What it was.
    pub title: String,
    /// Second line.
    pub detail: String,
    /// Sensitivity category; empty for ordinary content.
    pub category: String,
}

impl Entry {
    /// The day.
    pub fn day(&self) -> NaiveDate {
        self.occurred_at.date()
    }
    /// `14:05`; empty where only the day is known.
    pub fn time(&self) -> String {
        clock_time(self.occurred_at)
    }
}

/// `14:05`; empty at midnight, which is how a day without a time is kept.
pub fn clock_time(at: NaiveDateTime) -> String {
    if at.time() == NaiveTime::MIN { String::new() } else { at.format("%H:%M").to_string() }
}

/// The place of an entry in the order of the time line, for the page after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it happened.
    pub occurred_at: NaiveDateTime,
    /// The fact.
    pub fact_id: i64,
}

impl Cursor {
    /// The place of an entry.
    pub fn of(entry: &Entry) -> Self {
        Self { occurred_at: entry.occurred_at, fact_id: entry.fact_id }
    }
    /// As it stands in an address.
    pub fn write(self) -> String {
        format!("{}_{}", self.occurred_at.format("%Y%m%dT%H%M%S%.f"), self.fact_id)
    }
    /// Out of an address; `None` when it is no such thing.
    pub fn read(text: &str) -> Option<Self> {
        let (time, fact) = text.split_once('_')?;
        let occurred_at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%.f").ok()?;
        Some(Self { occurred_at, fact_id: fact.parse().ok()? })
    }
}

/// Which events a time line shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these data sets; `None` for all.
    pub datasets: Option<Vec<i16>>,
    /// Of this institution.
    pub institution: Option<InstitutionId>,
    /// Of this department.
    pub department: Option<String>,
    /// With a disease code that begins so.
    pub disease: Option<String>,
    /// Older than this place.
    pub after: Option<Cursor>,
}

impl Filter {
    /// Whether an entry passes; the same as [`events`] asks of the database.
    pub fn passes(&self, entry: &Entry) -> bool {
        entry.timeline
            && self.datasets.as_ref().is_none_or(|list| list.contains(&entry.dataset))
            && self.institution.is_none_or(|i| entry.institution == i)
            && self.department.as_ref().is_none_or(|d| entry.department == *d)
            && self.disease.as_ref().is_none_or(|d| entry.disease.starts_with(d.as_str()))
            && self.after.is_none_or(|c| (entry.occurred_at, entry.fact_id) < (c.occurred_at, c.fact_id))
    }
}

fn read(row: &PgRow) -> Result<Entry, sqlx::Error> {
    Ok(Entry {
        occurred_at: row.try_get(0)?,
        dataset: row.try_get(1)?,
        fact_id: row.try_get(2)?,
        institution: InstitutionId::new(row.try_get::<i32, _>(3)?.into()),
        timeline: row.try_get(4)?,
        abnormal: row.try_get(5)?,
        department: row.try_get(6)?,
        disease: row.try_get(7)?,
        title: row.try_get(8)?,
        detail: row.try_get(9)?,
        category: row.try_get(10)?,
    })
}

fn read_all(rows: &[PgRow]) -> Result<Vec<Entry>> {
    rows.iter().map(read).collect::<Result<_, _>>().db("read the record")
}

/// The newest entries of a record and how many protected ones are among them that the reach does not see.
#[derive(Debug, Clone, Default)]
pub struct Newest {
    /// Those that may be shown.
    pub entries: Vec<Entry>,
    /// How many may not, by sensitivity category.
    pub hidden: BTreeMap<String, usize>,
    /// Whether these are all that the record has.
    pub whole: bool,
}

// What the reach opens, as parameters: categories shown anywhere, the own institution, categories shown of it.
fn opened(tx: &Gated<'_>) -> (Vec<String>, Option<i32>, Vec<String>) {
    let (anywhere, at_home) = tx.reach().opened();
    let own = tx.reach().caller().institution.map(|i| i.get() as i32);
    (anywhere.to_vec(), own, at_home.to_vec())
}

/// The newest entries of these identity records, events and points of the summary, newest first.
pub async fn latest(tx: &mut Gated<'_>, identities: &[i64], limit: i64) -> Result<Newest> {
    let rows = sqlx::query(
        "select e.* from unnest($1::bigint[]) as whose (identity)
         cross join lateral (
            select occurred_at, dataset, fact_id, institution_id, timeline, abnormal, department, disease, title, detail,
                category
            from record_entry where identity_id = whose.identity order by occurred_at desc limit $2
         ) e order by e.occurred_at desc, e.fact_id desc limit $2",
    )
    .bind(identities)
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("read the record")?;
    let mut found = Newest { whole: (rows.len() as i64) < limit, ..Newest::default() };
    for entry in read_all(&rows)? {
        if tx.reach().sees(&entry.category, entry.institution) {
            found.entries.push(entry);
        } else {
            *found.hidden.entry(entry.category).or_default() += 1;
        }
    }
    Ok(found)
}

/// Points of the summary from data sets, each title once with its newest entry: what a very long life keeps beyond
/// the newest entries.
pub async fn points(tx: &mut Gated<'_>, identities: &[i64], datasets: &[i16]) -> Result<Vec<Entry>> {
    let (anywhere, own, at_home) = opened(tx);
    let rows = sqlx::query(
        "select distinct on (dataset, disease, title) occurred_at, dataset, fact_id, institution_id, timeline, abnormal,
            department, disease, title, detail, category
         from record_entry where identity_id = any($1) and dataset = any($2)
            and (category = '' or category = any($3) or institution_id = $4 and category = any($5))
         order by dataset, disease, title, occurred_at desc limit 400",
    )
    .bind(identities)
    .bind(datasets)
    .bind(anywhere)
    .bind(own)
    .bind(at_home)
    .fetch_all(&mut ***tx)
    .await
    .db("read the summary of a long record")?;
    read_all(&rows)
}

/// Every entry of some data sets, newest first.
pub async fn of_datasets(
    tx: &mut Gated<'_>,
    identities: &[i64],
    datasets: &[i16],
    limit: i64,
) -> Result<Vec<Entry>> {
    let (anywhere, own, at_home) = opened(tx);
    let rows = sqlx::query(
        "select occurred_at, dataset, fact_id, institution_id, timeline, abnormal, department, disease, title, detail,
            category
         from record_entry where identity_id = any($1) and dataset = any($2)
            and (category = '' or category = any($4) or institution_id = $5 and category = any($6))
         order by occurred_at desc, fact_id desc limit $3",
    )
    .bind(identities)
    .bind(datasets)
    .bind(limit)
    .bind(anywhere)
    .bind(own)
    .bind(at_home)
    .fetch_all(&mut ***tx)
    .await
    .db("read entries of a kind")?;
    read_all(&rows)
}

/// Events that pass a filter, newest first.
pub async fn events(
    tx: &mut Gated<'_>,
    identities: &[i64],
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Entry>> {
    let (anywhere, own, at_home) = opened(tx);
    let rows = sqlx::query(
        "select e.* from unnest($1::bigint[]) as whose (identity)
         cross join lateral (
            select occurred_at, dataset, fact_id, institution_id, timeline, abnormal, department, disease, title, detail,
                category
            from record_entry where identity_id = whose.identity and timeline
               and ($3::smallint[] is null or dataset = any($3))
               and ($4::int is null or institution_id = $4)
               and ($5::text is null or department = $5)
               and ($6::text is null or starts_with(disease, $6))
               and ($7::timestamp is null or (occurred_at, fact_id) < ($7, $8))
               and (category = '' or category = any($9) or institution_id = $10 and category = any($11))
            order by occurred_at desc, fact_id desc limit $2
         ) e order by e.occurred_at desc, e.fact_id desc limit $2",
    )
    .bind(identities)
    .bind(limit)
    .bind(&filter.datasets)
    .bind(filter.institution.map(|i| i.get() as i32))
    .bind(&filter.department)
    .bind(&filter.disease)
    .bind(filter.after.map(|c| c.occurred_at))
    .bind(filter.after.map(|c| c.fact_id))
    .bind(anywhere)
    .bind(own)
    .bind(at_home)
    .fetch_all(&mut ***tx)
    .await
    .db("read the time line")?;
    read_all(&rows)
}

/// Events of one identity record's institution on one day, for what happened beside an opened event.
pub async fn same_day(tx: &mut Gated<'_>, identity: i64, day: NaiveDate) -> Result<Vec<Entry>> {
    let (anywhere, own, at_home) = opened(tx);
    let from = day.and_time(NaiveTime::MIN);
    let rows = sqlx::query(
        "select occurred_at, dataset, fact_id, institution_id, timeline, abnormal, department, disease, title, detail,
            category
         from record_entry
         where identity_id = $1 and occurred_at >= $2 and occurred_at < $2 + interval '1 day' and timeline
            and (category = '' or category = any($3) or institution_id = $4 and category = any($5))
         order by occurred_at, fact_id limit 20",
    )
    .bind(identity)
    .bind(from)
    .bind(anywhere)
    .bind(own)
    .bind(at_home)
    .fetch_all(&mut ***tx)
    .await
    .db("read a day of the record")?;
    read_all(&rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_address() {
        for time in ["2025-03-04 14:05:06", "2025-03-04 00:00:00", "1999-12-31 23:59:59.250"] {
            let occurred_at = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").unwrap();
            let cursor = Cursor { occurred_at, fact_id: 42 };
            assert_eq!(Cursor::read(&cursor.write()), Some(cursor), "{time}");
        }
        for text in ["", "x", "20250304T140506", "20250304T140506_x", "2025_1", "_"] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }
}
