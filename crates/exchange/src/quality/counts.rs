//! Counts of rows and weights by institution, data set and day, with the findings between data sets laid in.
//!
//! Everything here reads `quality_day` by a range of its primary key and `cross_finding` by its index, never facts.

use std::collections::HashMap;

use catalog::score::{Score, Weighed};
use catalog::{Catalog, Dimension};
use chrono::NaiveDate;
use kernel::Result;
use sqlx::FromRow;
use store::{Db, DbDoing};

/// What came, and how good it was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Rows received, readable or not.
    pub received: i64,
    /// Stored anew.
    pub stored: i64,
    /// There already with the same content.
    pub unchanged: i64,
    /// Replaced an earlier version.
    pub replaced: i64,
    /// Withdrew a fact.
    pub withdrawn: i64,
    /// Rejected.
    pub rejected: i64,
    /// Weights checked and broken.
    pub weighed: Weighed,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: &Count) {
        self.received += other.received;
        self.stored += other.stored;
        self.unchanged += other.unchanged;
        self.replaced += other.replaced;
        self.withdrawn += other.withdrawn;
        self.rejected += other.rejected;
        for d in 0..4 {
            self.weighed.checked[d] += other.weighed.checked[d];
            self.weighed.failed[d] += other.weighed.failed[d];
        }
    }

    /// The scores.
    pub fn score(&self, catalog: &Catalog) -> Score {
        self.weighed.score(&catalog.quality)
    }

    /// Rejected rows as a share of those received, in percent; nothing when nothing came.
    pub fn rejected_share(&self) -> Option<f64> {
        (self.received > 0).then(|| self.rejected as f64 * 100.0 / self.received as f64)
    }
}

/// An institution's day, of one data set or of all together.
#[derive(Debug, Clone, PartialEq)]
pub struct DayCount {
    /// Institution.
    pub institution: i64,
    /// Day of occurrence.
    pub day: NaiveDate,
    /// Data sets of which something came.
    pub came: Vec<i16>,
    /// The counts.
    pub count: Count,
}

#[derive(Debug, FromRow)]
struct DbRow {
    institution_id: i32,
    day: NaiveDate,
    came: Vec<i16>,
    received: i64,
    stored: i64,
    unchanged: i64,
    replaced: i64,
    withdrawn: i64,
    rejected: i64,
    checked: Vec<f64>,
    failed: Vec<f64>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Institutions, all within reach of the caller.
    pub institutions: &'a [i32],
    /// One data set, or all.
    pub dataset: Option<i16>,
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
}

/// Weights of the rules between data sets: a row that was stored is checked by each of its data set's rules.
struct CrossWeights {
    /// Sum for each data set.
    sums: Vec<(i16, f64)>,
    /// Data set, rule, weight.
    rules: Vec<(i16, i16, f64)>,
}

impl CrossWeights {
    fn of(catalog: &Catalog) -> Self {
        let rules: Vec<(i16, i16, f64)> = catalog
            .datasets
            .iter()
            .flat_map(|d| {
                let of = |(n, r): (usize, &catalog::Rule)| (d.number, n as i16, r.weight);
                d.rules.iter().enumerate().filter(|(_, r)| r.check.is_cross()).map(of)
            })
            .collect();
        let mut sums: Vec<(i16, f64)> = Vec::new();
        for (dataset, _, weight) in &rules {
            match sums.last_mut() {
                Some((last, sum)) if last == dataset => *sum += weight,
                _ => sums.push((*dataset, *weight)),
            }
        }
        Self { sums, rules }
    }
}

/// By institution and day, all data sets together (or the one asked for).
pub async fn by_day(db: &Db, catalog: &Catalog, asked: Asked<'_>) -> Result<Vec<DayCount>> {
    read(db, catalog, asked, false).await
}

/// By institution, day and data set; `came` holds the data set.
pub async fn by_dataset(db: &Db, catalog: &Catalog, asked: Asked<'_>) -> Result<Vec<DayCount>> {
    read(db, catalog, asked, true).await
}

async fn read(db: &Db, catalog: &Catalog, asked: Asked<'_>, apart: bool) -> Result<Vec<DayCount>> {
    let cross = CrossWeights::of(catalog);
    let rows: Vec<DbRow> = sqlx::query_as(
        "select q.institution_id, q.day,
            coalesce(array_agg(q.dataset) filter (where q.received > 0 or $7), '{}') as came,
            sum(q.received)::bigint as received, sum(q.stored)::bigint as stored,
            sum(q.unchanged)::bigint as unchanged, sum(q.replaced)::bigint as replaced,
            sum(q.withdrawn)::bigint as withdrawn, sum(q.rejected)::bigint as rejected,
            array[sum(q.checked_1), sum(q.checked_2), sum(q.checked_3),
                sum(q.checked_4 + coalesce(w.weight, 0) * greatest(q.stored - q.withdrawn, 0))] as checked,
            array[sum(q.failed_1), sum(q.failed_2), sum(q.failed_3), sum(q.failed_4)] as failed
         from quality_day q
         join unnest($3::int[]) i (id) on i.id = q.institution_id
         left join unnest($5::smallint[], $6::float8[]) w (dataset, weight) on w.dataset = q.dataset
         where q.day between $1 and $2 and ($4::smallint is null or q.dataset = $4)
         group by q.day, q.institution_id, case when $7 then q.dataset end",
    )
    .bind(asked.from)
    .bind(asked.to)
    .bind(asked.institutions)
    .bind(asked.dataset)
    .bind(cross.sums.iter().map(|s| s.0).collect::<Vec<_>>())
    .bind(cross.sums.iter().map(|s| s.1).collect::<Vec<_>>())
    .bind(apart)
    .fetch_all(db.pool())
    .await
    .db("read quality by day")?;
    let found = findings(db, &cross, asked).await?;
    let mut by_key: HashMap<(i32, NaiveDate, i16), f64> = HashMap::new();
    for (institution, day, dataset, weight) in found {
        *by_key.entry((institution, day, if apart { dataset } else { 0 })).or_default() += weight;
    }
    let logic = Dimension::Logic as usize;
    // Sorted here: the database would sort wide rows before it groups them.
    let mut counts: Vec<DayCount> = rows
        .into_iter()
        .map(|row| {
            let mut weighed = Weighed::default();
            for d in 0..4 {
                weighed.checked[d] = row.checked.get(d).copied().unwrap_or_default();
                weighed.failed[d] = row.failed.get(d).copied().unwrap_or_default();
            }
            let dataset = if apart { row.came.first().copied().unwrap_or_default() } else { 0 };
            weighed.failed[logic] +=
                by_key.get(&(row.institution_id, row.day, dataset)).copied().unwrap_or(0.0);
            DayCount {
                institution: i64::from(row.institution_id),
                day: row.day,
                came: row.came,
                count: Count {
                    received: row.received,
                    stored: row.stored,
                    unchanged: row.unchanged,
                    replaced: row.replaced,
                    withdrawn: row.withdrawn,
                    rejected: row.rejected,
                    weighed,
                },
            }
        })
        .collect();
    counts.sort_by(|a, b| (a.day, a.institution, &a.came).cmp(&(b.day, b.institution, &b.came)));
    Ok(counts)
}

// Weight of the findings by institution, day and data set.
async fn findings(
    db: &Db,
    cross: &CrossWeights,
    asked: Asked<'_>,
) -> Result<Vec<(i32, NaiveDate, i16, f64)>> {
    sqlx::query_as(
        "select f.institution_id, f.day, f.dataset, sum(w.weight)
         from cross_finding f
         join unnest($5::smallint[], $6::smallint[], $7::float8[]) w (dataset, rule, weight)
            on w.dataset = f.dataset and w.rule = f.rule
         where f.institution_id = any($3) and f.day between $1 and $2 and ($4::smallint is null or f.dataset = $4)
         group by f.institution_id, f.day, f.dataset",
    )
    .bind(asked.from)
    .bind(asked.to)
    .bind(asked.institutions)
    .bind(asked.dataset)
    .bind(cross.rules.iter().map(|r| r.0).collect::<Vec<_>>())
    .bind(cross.rules.iter().map(|r| r.1).collect::<Vec<_>>())
    .bind(cross.rules.iter().map(|r| r.2).collect::<Vec<_>>())
    .fetch_all(db.pool())
    .await
    .db("read findings between data sets")
}
