//! Counting: rows by day of occurrence, and weights checked and broken in each dimension of quality.
//!
//! A day's score in a dimension is `1 − Σ weight broken / Σ weight checked` over its rows. Both sums simply add
//! up, so days, data sets and institutions can be joined to any total without looking at rows again.

use std::collections::BTreeMap;

use catalog::score::Weighed;
use catalog::{Checked, Dataset};
use chrono::NaiveDate;
use kernel::Result;
use store::facts::Outcome;
use store::{DbDoing, Tx};

use super::chunk::BatchRef;

/// What became of the rows of a chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows received, readable or not.
    pub received: i64,
    /// New.
    pub stored: i64,
    /// There already with the same content.
    pub unchanged: i64,
    /// Replaced an earlier version.
    pub replaced: i64,
    /// Withdrew a fact.
    pub withdrawn: i64,
    /// Broke a rule that rejects.
    pub rejected: i64,
    /// Issues found, listed or not.
    pub issues: i64,
}

impl Totals {
    /// Adds another chunk's.
    pub fn add(&mut self, other: Totals) {
        self.received += other.received;
        self.stored += other.stored;
        self.unchanged += other.unchanged;
        self.replaced += other.replaced;
        self.withdrawn += other.withdrawn;
        self.rejected += other.rejected;
        self.issues += other.issues;
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    totals: Totals,
    weighed: Weighed,
}

/// The counts of one chunk by day.
#[derive(Debug)]
pub struct DayTally<'a> {
    dataset: &'a Dataset,
    days: BTreeMap<NaiveDate, Day>,
    received_on: NaiveDate,
}

impl<'a> DayTally<'a> {
    /// Nothing counted yet. Rows whose day cannot be read or has not come yet count on the day of receipt.
    pub fn new(dataset: &'a Dataset, received_on: NaiveDate) -> Self {
        Self { dataset, days: BTreeMap::new(), received_on }
    }

    /// Counts a row that could be read.
    pub fn checked(&mut self, row: &Checked) {
        let day = self.day_of(row.values[self.dataset.occurred].date());
        let day = self.days.entry(day).or_default();
        day.totals.received += 1;
        day.totals.issues += row.issues.len() as i64;
        if row.rejected {
            day.totals.rejected += 1;
        }
        day.weighed.add_row(&self.dataset.rules, row);
    }

    fn day_of(&self, occurred: Option<NaiveDate>) -> NaiveDate {
        occurred.filter(|day| *day <= self.received_on).unwrap_or(self.received_on)
    }

    /// Counts a row that could not be read: rejected, and a breach of correctness.
    pub fn unreadable(&mut self) {
        let day = self.days.entry(self.received_on).or_default();
        day.totals.received += 1;
        day.totals.rejected += 1;
        day.totals.issues += 1;
        day.weighed.checked[catalog::Dimension::Correctness as usize] += 1.0;
        day.weighed.failed[catalog::Dimension::Correctness as usize] += 1.0;
    }

    /// Counts what became of a row that was not rejected.
    pub fn outcome(&mut self, day: NaiveDate, outcome: &Outcome) {
        let totals = &mut self.days.entry(self.day_of(Some(day))).or_default().totals;
        match outcome {
            Outcome::Stored { .. } => totals.stored += 1,
            Outcome::Unchanged | Outcome::Absent => totals.unchanged += 1,
            Outcome::Replaced { .. } => totals.replaced += 1,
            Outcome::Withdrawn { .. } => totals.withdrawn += 1,
        }
    }

    /// All days together.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for day in self.days.values() {
            sum.add(day.totals);
        }
        sum
    }

    /// Adds the counts to `quality_day`, and notes in `batch_day` which days the batch brought.
    pub async fn save(&self, tx: &mut Tx<'_>, batch: BatchRef, dataset: i16) -> Result<()> {
        if self.days.is_empty() {
            return Ok(());
        }
        let count =
            |pick: fn(&Totals) -> i64| -> Vec<i64> { self.days.values().map(|d| pick(&d.totals)).collect() };
        let sums = |pick: fn(&Day) -> [f64; 4], n: usize| -> Vec<f64> {
            self.days.values().map(|d| pick(d)[n]).collect()
        };
        let mut query = sqlx::query(
            "insert into quality_day as q (institution_id, dataset, day, received, stored, unchanged, replaced,
                withdrawn, rejected, checked_1, checked_2, checked_3, checked_4, failed_1, failed_2, failed_3, failed_4)
             select $1, $2, * from unnest($3::date[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::float8[], $11::float8[], $12::float8[], $13::float8[],
                $14::float8[], $15::float8[], $16::float8[], $17::float8[])
             on conflict (day, institution_id, dataset) do update set
                received = q.received + excluded.received, stored = q.stored + excluded.stored,
                unchanged = q.unchanged + excluded.unchanged, replaced = q.replaced + excluded.replaced,
                withdrawn = q.withdrawn + excluded.withdrawn, rejected = q.rejected + excluded.rejected,
                checked_1 = q.checked_1 + excluded.checked_1, checked_2 = q.checked_2 + excluded.checked_2,
                checked_3 = q.checked_3 + excluded.checked_3, checked_4 = q.checked_4 + excluded.checked_4,
                failed_1 = q.failed_1 + excluded.failed_1, failed_2 = q.failed_2 + excluded.failed_2,
                failed_3 = q.failed_3 + excluded.failed_3, failed_4 = q.failed_4 + excluded.failed_4",
        )
        .bind(batch.institution.get() as i32)
        .bind(dataset)
        .bind(self.days.keys().copied().collect::<Vec<NaiveDate>>())
        .bind(count(|t| t.received))
        .bind(count(|t| t.stored))
        .bind(count(|t| t.unchanged))
        .bind(count(|t| t.replaced))
        .bind(count(|t| t.withdrawn))
        .bind(count(|t| t.rejected));
        for n in 0..4 {
            query = query.bind(sums(|d| d.weighed.checked, n));
        }
        for n in 0..4 {
            query = query.bind(sums(|d| d.weighed.failed, n));
        }
        query.execute(&mut **tx).await.db("count rows by day")?;
        sqlx::query(
            "insert into batch_day as b (institution_id, dataset, batch_id, day, received, rejected)
             select $1, $2, $3, * from unnest($4::date[], $5::bigint[], $6::bigint[])
             on conflict (institution_id, day, dataset, batch_id) do update set
                received = b.received + excluded.received, rejected = b.rejected + excluded.rejected",
        )
        .bind(batch.institution.get() as i32)
        .bind(dataset)
        .bind(batch.id)
        .bind(self.days.keys().copied().collect::<Vec<NaiveDate>>())
        .bind(count(|t| t.received))
        .bind(count(|t| t.rejected))
        .execute(&mut **tx)
        .await
        .db("note the days of a batch")?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use catalog::Value;

    #[test]
    fn days_that_have_not_come_count_on_the_day_of_receipt() {
        let catalog = catalog::shipped().unwrap();
        let dataset = catalog.dataset("outpatient_visit").unwrap();
        let received = NaiveDate::from_ymd_opt(2025, 3, 4).unwrap();
        let mut tally = DayTally::new(dataset, received);
        for day in [Some("2025-03-01"), Some("2027-01-01"), None] {
            let mut values = vec![Value::Null; dataset.fields.len()];
            if let Some(day) = day {
                values[dataset.occurred] = Value::Date(day.parse().unwrap());
            }
            tally.checked(&Checked { values, ..Checked::default() });
        }
        let days: Vec<(String, i64)> =
            tally.days.iter().map(|(day, d)| (day.to_string(), d.totals.received)).collect();
        assert_eq!(days, [("2025-03-01".to_owned(), 1), ("2025-03-04".to_owned(), 2)]);
    }
}
