//! Coverage (编码覆盖率): how many coded values of an institution are standard, translated or unknown, by table and day.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use contracts::{CodeCounts, LocalSeen};
use kernel::Result;
use kernel::access::InstitutionId;
use store::{DbDoing, Tx};

use crate::Directory;

/// Writes the counts of a chunk in its transaction: at most five statements, none of which grows with the tables.
pub(super) async fn count(
    directory: &Directory,
    tx: &mut Tx<'_>,
    institution: InstitutionId,
    counts: &CodeCounts,
) -> Result<()> {
    let id = institution.get() as i32;
    if !counts.days.is_empty() {
        let mut days: Vec<_> = counts.days.iter().collect();
        days.sort_by(|a, b| (a.day, &a.table).cmp(&(b.day, &b.table)));
        sqlx::query(
            "insert into code_day as d (day, institution_id, table_id, dataset, coded, mapped, unmapped)
             select n.day, $1, n.table_id, $2, n.coded, n.mapped, n.unmapped
             from unnest($3::date[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
                 as n (day, table_id, coded, mapped, unmapped)
             on conflict (day, institution_id, table_id, dataset) do update set coded = d.coded + excluded.coded,
                 mapped = d.mapped + excluded.mapped, unmapped = d.unmapped + excluded.unmapped",
        )
        .bind(id)
        .bind(counts.dataset)
        .bind(days.iter().map(|d| d.day).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.table.as_str()).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.coded).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.mapped).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.unmapped).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("count coded values by day")?;
    }
    if !counts.unmapped.is_empty() {
        let seen = &counts.unmapped;
        sqlx::query(
            "insert into code_unmapped_day as d (institution_id, table_id, day, dataset, code, row_count)
             select $1, n.table_id, n.day, $2, n.code, n.rows
             from unnest($3::text[], $4::date[], $5::text[], $6::bigint[]) as n (table_id, day, code, rows)
             on conflict (institution_id, table_id, day, dataset, code) do update
                 set row_count = d.row_count + excluded.row_count",
        )
        .bind(id)
        .bind(counts.dataset)
        .bind(seen.iter().map(|s| s.table.as_str()).collect::<Vec<_>>())
        .bind(seen.iter().map(|s| s.day).collect::<Vec<_>>())
        .bind(seen.iter().map(|s| s.code.as_str()).collect::<Vec<_>>())
        .bind(seen.iter().map(|s| s.rows).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("count unknown codes by day")?;
    }
    list_local(tx, id, counts).await?;
    // Also when no map is in force any more: what was kept of a replaced row is not what its sender wrote last.
    if !counts.ended.is_empty() {
        sqlx::query("delete from code_kept where fact_id = any($1) and dataset = $2")
            .bind(&counts.ended)
            .bind(counts.dataset)
            .execute(&mut **tx)
            .await
            .db("forget local codes of replaced facts")?;
    }
    if !counts.kept.is_empty() {
        let kept = &counts.kept;
        sqlx::query(
            "insert into code_kept (fact_id, dataset, field, local_code, local_name)
             select distinct on (n.fact_id, n.field) n.fact_id, $1, n.field, n.code, n.name
             from unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) with ordinality
                 as n (fact_id, field, code, name, at)
             order by n.fact_id, n.field, n.at desc
             on conflict (fact_id, dataset, field) do update
                 set local_code = excluded.local_code, local_name = excluded.local_name",
        )
        .bind(counts.dataset)
        .bind(kept.iter().map(|k| k.fact_id).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.field.as_str()).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.code.as_str()).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.name.as_str()).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("keep local codes of facts")?;
    }
    write_uses(directory, tx, institution, counts).await
}

/// Lists the codes of their own that an institution sends, mapped or not.
async fn list_local(tx: &mut Tx<'_>, institution: i32, counts: &CodeCounts) -> Result<()> {
    let mut codes: BTreeMap<(&str, &str), (NaiveDate, NaiveDate, &str, i64)> = BTreeMap::new();
    for LocalSeen { table, day, code, name, rows } in counts.unmapped.iter().chain(&counts.mapped) {
        let seen = codes.entry((table, code)).or_insert((*day, *day, name, 0));
        seen.0 = seen.0.min(*day);
        seen.1 = seen.1.max(*day);
        if seen.2.is_empty() {
            seen.2 = name;
        }
        seen.3 += rows;
    }
    if codes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into local_code as l (institution_id, table_id, code, name, first_seen, last_seen, row_count)
         select $1, n.* from unnest($2::text[], $3::text[], $4::text[], $5::date[], $6::date[], $7::bigint[]) as n
         on conflict (institution_id, table_id, code) do update set
             name = case when excluded.name = '' then l.name else excluded.name end,
             first_seen = least(l.first_seen, excluded.first_seen),
             last_seen = greatest(l.last_seen, excluded.last_seen), row_count = l.row_count + excluded.row_count",
    )
    .bind(institution)
    .bind(codes.keys().map(|(table, _)| *table).collect::<Vec<_>>())
    .bind(codes.keys().map(|(_, code)| *code).collect::<Vec<_>>())
    .bind(codes.values().map(|seen| seen.2).collect::<Vec<_>>())
    .bind(codes.values().map(|seen| seen.0).collect::<Vec<_>>())
    .bind(codes.values().map(|seen| seen.1).collect::<Vec<_>>())
    .bind(codes.values().map(|seen| seen.3).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("list local codes")?;
    Ok(())
}

async fn write_uses(
    directory: &Directory,
    tx: &mut Tx<'_>,
    institution: InstitutionId,
    counts: &CodeCounts,
) -> Result<()> {
    if counts.used.is_empty() {
        return Ok(());
    }
    let Some(gathered) = directory.gather(institution, counts) else { return Ok(()) };
    let mut lines: Vec<(i32, &str, &str, i64)> = Vec::new();
    for ((institution, table), codes) in &gathered.counts {
        lines.extend(codes.iter().map(|(code, n)| (*institution as i32, table.as_str(), code.as_str(), *n)));
    }
    lines.sort_unstable();
    sqlx::query(
        "insert into code_use as u (institution_id, table_id, code, uses)
         select * from unnest($1::int[], $2::text[], $3::text[], $4::bigint[])
         on conflict (institution_id, table_id, code) do update set uses = u.uses + excluded.uses",
    )
    .bind(lines.iter().map(|l| l.0).collect::<Vec<_>>())
    .bind(lines.iter().map(|l| l.1).collect::<Vec<_>>())
    .bind(lines.iter().map(|l| l.2).collect::<Vec<_>>())
    .bind(lines.iter().map(|l| l.3).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("count the use of codes")?;
    Ok(())
}

/// Values counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Values that were not empty.
    pub coded: i64,
    /// Translated by an approved map.
    pub mapped: i64,
    /// Neither standard nor translated.
    pub unmapped: i64,
}

impl Counted {
    /// Adds another count.
    pub fn add(&mut self, other: Counted) {
        self.coded += other.coded;
        self.mapped += other.mapped;
        self.unmapped += other.unmapped;
    }
    /// The share without standard code, in percent; `None` when nothing was coded.
    pub fn percent_unmapped(&self) -> Option<f64> {
        (self.coded > 0).then(|| 100.0 * self.unmapped as f64 / self.coded as f64)
    }
}

/// What a coverage page looks at.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Institutions in reach.
    pub institutions: &'a [i32],
    /// One table, or all.
    pub table: Option<&'a str>,
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
}

/// Counts by institution and table, with those of each day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CoverageLine {
    /// Institution.
    pub institution: i32,
    /// Table.
    pub table: String,
    /// All days together.
    pub total: Counted,
    /// By day.
    pub days: BTreeMap<NaiveDate, Counted>,
}

/// An unknown code.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Unmapped {
    /// Institution.
    pub institution_id: i32,
    /// Table.
    pub table_id: String,
    /// The code.
    pub code: String,
    /// Its name, as last sent.
    pub name: String,
    /// Rows within the days asked for.
    pub rows: i64,
    /// The last day within them.
    pub last_day: NaiveDate,
    /// State of the latest line that maps it, if there is one.
    pub state: Option<String>,
}

impl Directory {
    /// Coverage by institution and table.
    pub async fn coverage(&self, asked: &Asked<'_>) -> Result<Vec<CoverageLine>> {
        type Row = (NaiveDate, i32, String, i64, i64, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "select day, institution_id, table_id, sum(coded)::bigint, sum(mapped)::bigint, sum(unmapped)::bigint
             from code_day where day between $1 and $2 and institution_id = any($3)
                and ($4::text is null or table_id = $4)
             group by day, institution_id, table_id",
        )
        .bind(asked.from)
        .bind(asked.to)
        .bind(asked.institutions)
        .bind(asked.table)
        .fetch_all(self.db.pool())
        .await
        .db("read coverage")?;
        let mut lines: HashMap<(i32, String), CoverageLine> = HashMap::new();
        for (day, institution, table, coded, mapped, unmapped) in rows {
            let counted = Counted { coded, mapped, unmapped };
            let line = lines.entry((institution, table.clone())).or_insert_with(|| CoverageLine {
                institution,
                table,
                ..CoverageLine::default()
            });
            line.total.add(counted);
            line.days.entry(day).or_default().add(counted);
        }
        Ok(lines.into_values().collect())
    }

    /// The unknown codes of some days, those with most rows first.
    pub async fn unmapped(
        &self,
        asked: &Asked<'_>,
        text: &str,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Unmapped>> {
        sqlx::query_as(
            "select u.institution_id, u.table_id, u.code, coalesce(l.name, '') as name,
                u.rows, u.last_day,
                (select m.state from code_map m where m.institution_id = u.institution_id and m.table_id = u.table_id
                    and m.local_code = u.code order by m.id desc limit 1) as state
             from (select institution_id, table_id, code, sum(row_count)::bigint as rows, max(day) as last_day
                   from code_unmapped_day
                   where institution_id = any($1) and day between $2 and $3 and ($4::text is null or table_id = $4)
                   group by institution_id, table_id, code) u
             left join local_code l using (institution_id, table_id, code)
             where $5 = '' or u.code ilike $5 || '%' or l.name ilike '%' || $5 || '%'
             order by u.rows desc, u.institution_id, u.table_id, u.code limit $6 offset $7",
        )
        .bind(asked.institutions)
        .bind(asked.from)
        .bind(asked.to)
        .bind(asked.table)
        .bind(text.replace(['%', '_', '\\'], ""))
        .bind(limit)
        .bind(offset)
        .fetch_all(self.db.pool())
        .await
        .db("read unknown codes")
    }

    /// On which days and in which data sets an institution sent a code, the last first: day, data set, rows.
    pub async fn days_of_code(
        &self,
        institution: InstitutionId,
        table: &str,
        code: &str,
    ) -> Result<Vec<(NaiveDate, i16, i64)>> {
        sqlx::query_as(
            "select day, dataset, row_count from code_unmapped_day
             where institution_id = $1 and table_id = $2 and code = $3 order by day desc, dataset limit 60",
        )
        .bind(institution.get() as i32)
        .bind(table)
        .bind(code)
        .fetch_all(self.db.pool())
        .await
        .db("read the days of an unknown code")
    }
}
