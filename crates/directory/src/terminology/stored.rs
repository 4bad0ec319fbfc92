//! Stored rows follow the maps: a decision asks for a run through the rows of the institution, in its own transaction;
//! whoever owns the rows carries it out ([`contracts::StoredCodes`]). Here is what is asked, how far it is, and what
//! senders wrote and coverage make of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::{
    KeptCode, STORED_CODES, StoredChange, StoredCode, StoredCodes, StoredCodesAsked, StoredEnd, StoredPlace,
    StoredRun, StoredStep,
};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Result};
use serde_json::json;
use store::audit::{self, AuditEntry};
use store::{DbDoing, Tx, jobs};

use crate::Directory;

/// The longest code that is listed as unknown, as intake lists them.
const LONGEST: usize = 50;

/// A run that nobody worked on for so long needs somebody: longer than the longest pause before a job is tried again.
const STALLED: TimeDelta = TimeDelta::minutes(15);

/// One that has not begun stands in a queue, after an upgrade behind those of hundreds of institutions, one a minute.
const QUEUED: TimeDelta = TimeDelta::hours(24);

/// A run as the pages show it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Run {
    /// Number.
    pub id: i64,
    /// Whose rows.
    pub institution_id: i32,
    /// `waiting`, `running`, `failed`, `done`.
    pub state: String,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// By whom.
    pub asked_by: String,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was last worked on.
    pub stepped_at: Option<DateTime<Utc>>,
    /// Since when it waits for uploads that were checked by the maps before.
    pub waits_since: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows to look at; none: not counted yet.
    pub rows_total: Option<i64>,
    /// Rows looked at.
    pub rows_seen: i64,
    /// Values translated.
    pub translated: i64,
    /// Values put back to what the sender wrote.
    pub restored: i64,
    /// Why it stopped.
    pub failure: Option<String>,
    /// Whether it is not tried again by itself.
    pub gave_up: bool,
    /// Lines of maps that it is about.
    pub lines: i64,
}

impl Run {
    /// Whether nothing goes on with it by itself, as far as one can tell.
    pub fn stalled(&self, now: DateTime<Utc>) -> bool {
        let last = self.stepped_at.unwrap_or(self.asked_at).max(self.asked_at);
        let patience = if self.state == "waiting" { QUEUED } else { STALLED };
        self.state != "done" && (self.gave_up || now - last > patience)
    }

    /// How much of it is done, in percent; a run that is not over never shows 100.
    pub fn percent(&self) -> Option<i64> {
        if self.state == "done" {
            return Some(100);
        }
        self.rows_total.map(|total| if total > 0 { (self.rows_seen * 100 / total).min(99) } else { 99 })
    }
}

/// The latest run of a line of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct LineRun {
    /// The run.
    pub run: Run,
    /// Values that it changed because of this line.
    pub changed: i64,
}

/// Asks for runs because of lines of maps: joins those that wait, in the transaction of the decision.
pub(super) async fn ask(tx: &mut Tx<'_>, lines: &[(i64, i32)], by: &str, now: DateTime<Utc>) -> Result<()> {
    let institutions: BTreeSet<i32> = lines.iter().map(|(_, institution)| *institution).collect();
    let institutions: Vec<i32> = institutions.into_iter().collect();
    if institutions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "with asked as (
            insert into code_translation (institution_id, state, asked_at, asked_by)
            select i.id, 'waiting', $4, $5 from unnest($1::int[]) as i (id) order by i.id
            on conflict (institution_id) where state = 'waiting'
                do update set asked_at = excluded.asked_at, asked_by = excluded.asked_by
            returning id, institution_id)
         insert into code_translation_line (translation_id, map_id)
         select a.id, l.map_id from unnest($2::bigint[], $3::int[]) as l (map_id, institution_id)
         join asked a on a.institution_id = l.institution_id
         on conflict do nothing",
    )
    .bind(&institutions)
    .bind(lines.iter().map(|(line, _)| *line).collect::<Vec<_>>())
    .bind(lines.iter().map(|(_, institution)| *institution).collect::<Vec<_>>())
    .bind(now)
    .bind(by)
    .execute(&mut **tx)
    .await
    .db("ask for stored rows to follow maps")?;
    // One job for each institution: there are as many as one decision is about, mostly one.
    for institution in institutions {
        let body = StoredCodesAsked { institution: institution.into() };
        let subject = institution.to_string();
        jobs::enqueue(tx, STORED_CODES, &subject, &body, Some(&subject)).await?;
    }
    Ok(())
}

/// Goes on with what was given up or lost for an institution; false when nothing is left to do.
async fn go_on(tx: &mut Tx<'_>, institution: i32, caller: &Caller, now: DateTime<Utc>) -> Result<bool> {
    let found = sqlx::query(
        "update code_translation set asked_at = $2, gave_up = false, waits_since = null
         where institution_id = $1 and state <> 'done'",
    )
    .bind(institution)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("go on with runs through stored rows")?;
    if found.rows_affected() == 0 {
        return Ok(false);
    }
    let (body, subject) = (StoredCodesAsked { institution: institution.into() }, institution.to_string());
    jobs::enqueue(tx, STORED_CODES, &subject, &body, Some(&subject)).await?;
    let entry = AuditEntry {
        act: "codes.map_stored_again",
        object_kind: "institution",
        object_id: Some(institution.into()),
        ..AuditEntry::default()
    };
    audit::record(tx, caller, &Purpose::of("administration"), now, &entry).await?;
    Ok(true)
}

const RUN: &str = "t.id, t.institution_id, t.state, t.asked_at, t.asked_by, t.started_at, t.stepped_at,
    t.waits_since, t.finished_at, t.rows_total,
    t.rows_seen, t.translated, t.restored, t.failure, t.gave_up,
    (select count(*) from code_translation_line n where n.translation_id = t.id) as lines";

impl Directory {
    /// The runs of these institutions: those that are not over first, then the latest.
    pub async fn stored_runs(&self, institutions: &[i32], limit: i64) -> Result<Vec<Run>> {
        let sql = sqlx::AssertSqlSafe(format!(
            "select {RUN} from code_translation t where t.institution_id = any($1)
             order by t.state = 'done', t.id desc limit $2"
        ));
        sqlx::query_as(sql)
            .bind(institutions)
            .bind(limit)
            .fetch_all(self.db.pool())
            .await
            .db("list runs through stored rows")
    }

    /// The latest run of each of these lines of maps.
    pub async fn stored_of_lines(&self, lines: &[i64]) -> Result<HashMap<i64, LineRun>> {
        if lines.is_empty() {
            return Ok(HashMap::new());
        }
        let latest: Vec<(i64, i64, i64)> = sqlx::query_as(
            "select distinct on (map_id) map_id, translation_id, changed from code_translation_line
             where map_id = any($1) order by map_id, translation_id desc",
        )
        .bind(lines)
        .fetch_all(self.db.pool())
        .await
        .db("find the runs of lines of maps")?;
        let sql = sqlx::AssertSqlSafe(format!("select {RUN} from code_translation t where t.id = any($1)"));
        let ids: BTreeSet<i64> = latest.iter().map(|(_, run, _)| *run).collect();
        let runs: Vec<Run> = sqlx::query_as(sql)
            .bind(ids.into_iter().collect::<Vec<_>>())
            .fetch_all(self.db.pool())
            .await
            .db("read the runs of lines of maps")?;
        let runs: HashMap<i64, Run> = runs.into_iter().map(|run| (run.id, run)).collect();
        let line = |(line, run, changed): (i64, i64, i64)| {
            Some((line, LineRun { run: runs.get(&run)?.clone(), changed }))
        };
        Ok(latest.into_iter().filter_map(line).collect())
    }

    /// Goes on where the work on an institution's stored rows stopped.
    pub async fn follow_again(&self, institution: i32, caller: &Caller, now: DateTime<Utc>) -> Result<bool> {
        self.db.transaction(async |tx| go_on(tx, institution, caller, now).await).await
    }

    async fn take_run(
        &self,
        tx: &mut Tx<'_>,
        institution: InstitutionId,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredRun>> {
        type Taken = (
            i64,
            DateTime<Utc>,
            DateTime<Utc>,
            Option<DateTime<Utc>>,
            Option<i16>,
            Option<Vec<String>>,
            Option<i64>,
        );
        let run: Option<Taken> = sqlx::query_as(
            "with next as (
                select id from code_translation where institution_id = $1 and state <> 'done' and not gave_up
                order by waits_since is not null, id limit 1 for update)
             update code_translation t set state = 'running', started_at = coalesce(t.started_at, $2),
                pass_at = coalesce(t.pass_at, $2), stepped_at = $2, failure = null
             from next where t.id = next.id
             returning t.id, t.asked_at, t.pass_at, t.waits_since, t.dataset, t.after_key, t.rows_total",
        )
        .bind(institution.get() as i32)
        .bind(now)
        .fetch_optional(&mut **tx)
        .await
        .db("take a run through stored rows")?;
        let Some((id, asked_at, pass_at, waits_since, dataset, after, total)) = run else { return Ok(None) };
        let codes = self.codes_of_run(tx, institution, id, now).await?;
        Ok(Some(StoredRun {
            id,
            asked_at,
            pass_at,
            waits_since,
            place: dataset.map(|dataset| StoredPlace { dataset, after }),
            counted: total.is_some(),
            codes,
        }))
    }

    /// The codes that a run is about, each with what is in force for it now. Rows hold what was sent in half width, so
    /// that two lines that differ in width only are one code; as intake has it, the line in half width comes first.
    async fn codes_of_run(
        &self,
        tx: &mut Tx<'_>,
        institution: InstitutionId,
        run: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredCode>> {
        let lines: Vec<(String, String)> = sqlx::query_as(
            "select distinct m.table_id, m.local_code from code_translation_line l join code_map m on m.id = l.map_id
             where l.translation_id = $1",
        )
        .bind(run)
        .fetch_all(&mut **tx)
        .await
        .db("read the lines of a run")?;
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        for (table, local) in lines {
            wanted.insert((table.clone(), standards::width::fold(&local).into_owned()));
            wanted.insert((table, local));
        }
        type Line = (i64, String, String, Option<String>, Vec<String>);
        let lines: Vec<Line> = sqlx::query_as(
            "select coalesce(max(l.map_id), max(m.id)), m.table_id, m.local_code,
                max(m.standard_code) filter (where m.state = 'approved' and coalesce(m.valid_from, '-infinity') <= $2),
                array_agg(distinct m.standard_code)
             from unnest($3::text[], $4::text[]) as w (table_id, local_code)
             join code_map m on m.institution_id = $1 and m.table_id = w.table_id and m.local_code = w.local_code
                and m.state in ('approved', 'ended')
             left join code_translation_line l on l.translation_id = $5 and l.map_id = m.id
             group by m.table_id, m.local_code",
        )
        .bind(institution.get() as i32)
        .bind(kernel::clock::to_china(now).date())
        .bind(wanted.iter().map(|(table, _)| table.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, local)| local.as_str()).collect::<Vec<_>>())
        .bind(run)
        .fetch_all(&mut **tx)
        .await
        .db("read the codes of a run")?;
        Ok(one_by_code(&self.tables_now(), lines))
    }

    async fn end_run(&self, tx: &mut Tx<'_>, run: i64, end: StoredEnd, now: DateTime<Utc>) -> Result<()> {
        let other = match &end {
            StoredEnd::Done => None,
            StoredEnd::Again => Some(sqlx::query(
                "update code_translation set dataset = null, after_key = null, pass = pass + 1, pass_at = null,
                    waits_since = null, rows_seen = 0 where id = $1",
            )),
            StoredEnd::Waits => Some(sqlx::query(
                "update code_translation set waits_since = coalesce(waits_since, $2) where id = $1",
            )),
            StoredEnd::GaveUp(_) => Some(sqlx::query(
                "update code_translation set state = 'failed', gave_up = true, failure = $2 where id = $1",
            )),
        };
        if let Some(query) = other {
            let query = match &end {
                StoredEnd::Waits => query.bind(run).bind(now),
                StoredEnd::GaveUp(why) => query.bind(run).bind(why),
                StoredEnd::Again | StoredEnd::Done => query.bind(run),
            };
            query.execute(&mut **tx).await.db("note that a run is not over")?;
            return Ok(());
        }
        let (institution, by, seen, translated, restored): (i32, String, i64, i64, i64) = sqlx::query_as(
            "update code_translation set state = 'done', finished_at = $2 where id = $1
             returning institution_id, asked_by, rows_seen, translated, restored",
        )
        .bind(run)
        .bind(now)
        .fetch_one(&mut **tx)
        .await
        .db("end a run through stored rows")?;
        let entry = AuditEntry {
            act: "codes.map_stored",
            object_kind: "institution",
            object_id: Some(institution.into()),
            detail: Some(json!({ "run": run, "rows": seen, "translated": translated, "restored": restored })),
            ..AuditEntry::default()
        };
        audit::record(tx, &Caller::system(&by), &Purpose::of("administration"), now, &entry).await
    }
}

/// Lines of maps as codes: one for each code in half width, that which intake would take.
fn one_by_code(
    tables: &catalog::CodeTables,
    lines: Vec<(i64, String, String, Option<String>, Vec<String>)>,
) -> Vec<StoredCode> {
    // First what is in force, then the line in half width: the first of a code stays.
    let mut of_code: BTreeMap<(String, String), Vec<(bool, bool, StoredCode)>> = BTreeMap::new();
    for (line, table_id, raw, standard, became) in lines {
        let Some(table) = tables.get(&table_id) else { continue };
        // As intake has it: what the table knows needs no map, and a map to a code that is gone does not hold.
        let local = standards::width::fold(&raw).into_owned();
        if table.resolve(&raw).or_else(|| table.resolve(&local)).is_some() {
            continue;
        }
        let standard = standard.filter(|code| table.contains(code));
        let order = (standard.is_none(), raw != local);
        let of = of_code.entry((table_id.clone(), local.clone())).or_default();
        of.push((order.0, order.1, StoredCode { line, table: table_id, local, standard, became }));
    }
    let one = |mut same: Vec<(bool, bool, StoredCode)>| {
        same.sort_by_key(|of| (of.0, of.1, of.2.line));
        let became: BTreeSet<String> = same.iter().flat_map(|(_, _, code)| code.became.clone()).collect();
        let (_, _, code) = same.into_iter().next()?;
        Some(StoredCode { became: became.into_iter().collect(), ..code })
    };
    of_code.into_values().filter_map(one).collect()
}

/// Notes how far a run is and what each line changed.
async fn note(tx: &mut Tx<'_>, step: &StoredStep) -> Result<()> {
    let restored = step.changes.iter().filter(|c| c.is_local).count() as i64;
    sqlx::query(
        "update code_translation set dataset = $2, after_key = $3, rows_seen = rows_seen + $4,
            translated = translated + $5, restored = restored + $6 where id = $1",
    )
    .bind(step.run)
    .bind(step.place.dataset)
    .bind(&step.place.after)
    .bind(step.seen)
    .bind(step.changes.len() as i64 - restored)
    .bind(restored)
    .execute(&mut **tx)
    .await
    .db("note how far a run is")?;
    let mut lines: BTreeMap<i64, i64> = BTreeMap::new();
    for change in &step.changes {
        *lines.entry(change.line).or_default() += 1;
    }
    if !lines.is_empty() {
        sqlx::query(
            "update code_translation_line l set changed = l.changed + n.rows
             from unnest($2::bigint[], $3::bigint[]) as n (map_id, rows)
             where l.translation_id = $1 and l.map_id = n.map_id",
        )
        .bind(step.run)
        .bind(lines.keys().copied().collect::<Vec<_>>())
        .bind(lines.values().copied().collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("note what a line of a map changed")?;
    }
    Ok(())
}

/// What senders wrote is kept beside facts that were translated, and forgotten of those that hold it again or of which it
/// cannot be true.
async fn keep(
    tx: &mut Tx<'_>,
    dataset: i16,
    changes: &[StoredChange],
    stale: &[(i64, String)],
) -> Result<()> {
    let back = changes.iter().filter(|c| c.is_local).map(|c| (c.fact_id, c.field.as_str()));
    let back: Vec<(i64, &str)> =
        stale.iter().map(|(fact, field)| (*fact, field.as_str())).chain(back).collect();
    if !back.is_empty() {
        sqlx::query(
            "delete from code_kept k using unnest($2::bigint[], $3::text[]) as b (fact_id, field)
             where k.dataset = $1 and k.fact_id = b.fact_id and k.field = b.field",
        )
        .bind(dataset)
        .bind(back.iter().map(|(fact, _)| *fact).collect::<Vec<_>>())
        .bind(back.iter().map(|(_, field)| *field).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("forget local codes of facts that hold them again")?;
    }
    let new: Vec<&StoredChange> = changes.iter().filter(|c| c.was_local && !c.is_local).collect();
    if !new.is_empty() {
        sqlx::query(
            "insert into code_kept (fact_id, dataset, field, local_code, local_name)
             select n.fact_id, $1, n.field, n.code, n.name
             from unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) as n (fact_id, field, code, name)
             on conflict (fact_id, dataset, field) do update
                 set local_code = excluded.local_code, local_name = excluded.local_name",
        )
        .bind(dataset)
        .bind(new.iter().map(|c| c.fact_id).collect::<Vec<_>>())
        .bind(new.iter().map(|c| c.field.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|c| c.local.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|c| c.local_name.as_str()).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("keep local codes of translated facts")?;
    }
    Ok(())
}

/// Coverage follows: a translated value is no longer without standard code on the day of its row, one put back is again.
async fn count(tx: &mut Tx<'_>, institution: i32, dataset: i16, changes: &[StoredChange]) -> Result<()> {
    let mut days: BTreeMap<(NaiveDate, &str), i64> = BTreeMap::new();
    let mut codes: BTreeMap<(&str, NaiveDate, &str), i64> = BTreeMap::new();
    for change in changes.iter().filter(|c| c.was_local != c.is_local) {
        let more = if change.is_local { 1 } else { -1 };
        *days.entry((change.day, &change.table)).or_default() += more;
        if change.local.chars().count() <= LONGEST {
            *codes.entry((&change.table, change.day, &change.local)).or_default() += more;
        }
    }
    if days.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update code_day d set unmapped = greatest(d.unmapped + n.more, 0), mapped = greatest(d.mapped - n.more, 0)
         from unnest($3::date[], $4::text[], $5::bigint[]) as n (day, table_id, more)
         where d.institution_id = $1 and d.dataset = $2 and d.day = n.day and d.table_id = n.table_id",
    )
    .bind(institution)
    .bind(dataset)
    .bind(days.keys().map(|(day, _)| *day).collect::<Vec<_>>())
    .bind(days.keys().map(|(_, table)| *table).collect::<Vec<_>>())
    .bind(days.values().copied().collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("let coverage follow")?;
    // Days that had none are not listed: what would fall below one row goes, what is put back comes again.
    sqlx::query(
        "with n as (
            select * from unnest($3::text[], $4::date[], $5::text[], $6::bigint[]) as n (table_id, day, code, more)),
         gone as (
            delete from code_unmapped_day d using n where d.institution_id = $1 and d.dataset = $2
                and d.table_id = n.table_id and d.day = n.day and d.code = n.code and d.row_count + n.more <= 0),
         less as (
            update code_unmapped_day d set row_count = d.row_count + n.more from n
            where d.institution_id = $1 and d.dataset = $2 and d.table_id = n.table_id and d.day = n.day
                and d.code = n.code and n.more < 0 and d.row_count + n.more > 0)
         insert into code_unmapped_day as d (institution_id, table_id, day, dataset, code, row_count)
         select $1, n.table_id, n.day, $2, n.code, n.more from n where n.more > 0
         on conflict (institution_id, table_id, day, dataset, code) do update
             set row_count = d.row_count + excluded.row_count",
    )
    .bind(institution)
    .bind(dataset)
    .bind(codes.keys().map(|(table, _, _)| *table).collect::<Vec<_>>())
    .bind(codes.keys().map(|(_, day, _)| *day).collect::<Vec<_>>())
    .bind(codes.keys().map(|(_, _, code)| *code).collect::<Vec<_>>())
    .bind(codes.values().copied().collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .db("let the list of unknown codes follow")?;
    Ok(())
}

impl StoredCodes for Directory {
    fn due<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        institution: InstitutionId,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<StoredRun>>>
    where
        'c: 'a,
    {
        Box::pin(self.take_run(tx, institution, now))
    }

    fn counted<'a, 'c>(&'a self, tx: &'a mut Tx<'c>, run: i64, rows: i64) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(async move {
            sqlx::query("update code_translation set rows_total = $2 where id = $1")
                .bind(run)
                .bind(rows)
                .execute(&mut **tx)
                .await
                .db("note how many rows a run goes through")?;
            Ok(())
        })
    }

    fn kept<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        dataset: i16,
        facts: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<KeptCode>>>
    where
        'c: 'a,
    {
        Box::pin(async move {
            let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
                "select fact_id, field, local_code, local_name from code_kept
                 where fact_id = any($1) and dataset = $2",
            )
            .bind(facts)
            .bind(dataset)
            .fetch_all(&mut **tx)
            .await
            .db("read what senders wrote")?;
            let kept = |(fact_id, field, code, name)| KeptCode { fact_id, field, code, name };
            Ok(rows.into_iter().map(kept).collect())
        })
    }

    fn stepped<'a, 'c>(&'a self, tx: &'a mut Tx<'c>, step: &'a StoredStep) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(async move {
            note(tx, step).await?;
            keep(tx, step.place.dataset, &step.changes, &step.stale).await?;
            count(tx, step.institution.get() as i32, step.place.dataset, &step.changes).await
        })
    }

    fn ended<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        run: i64,
        end: StoredEnd,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(self.end_run(tx, run, end, now))
    }

    fn failed<'a>(
        &'a self,
        institution: InstitutionId,
        why: &'a str,
        gave_up: bool,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.db
                .transaction(async |tx| note_failure(tx, institution.get() as i32, why, gave_up).await)
                .await
        })
    }
}

async fn note_failure(tx: &mut Tx<'_>, institution: i32, why: &str, gave_up: bool) -> Result<()> {
    // The run that a step takes next is the one that it failed at.
    sqlx::query(
        "update code_translation set state = 'failed', failure = $2, gave_up = $3
         where id = (select id from code_translation where institution_id = $1 and state <> 'done' and not gave_up
            order by waits_since is not null, id limit 1)",
    )
    .bind(institution)
    .bind(why)
    .bind(gave_up)
    .execute(&mut **tx)
    .await
    .db("note why a run stopped")?;
    if !gave_up {
        return Ok(());
    }
    // The job may have been that of later decisions as well: they get one of their own.
    let left: bool = sqlx::query_scalar(
        "select exists (select from code_translation where institution_id = $1 and state <> 'done' and not gave_up)",
    )
    .bind(institution)
    .fetch_one(&mut **tx)
    .await
    .db("look for what else is asked")?;
    if left {
        let (body, subject) = (StoredCodesAsked { institution: institution.into() }, institution.to_string());
        jobs::enqueue(tx, STORED_CODES, &subject, &body, Some(&subject)).await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn codes_that_differ_in_width_only_are_one_by_the_line_that_intake_takes() {
        let mut table = catalog::CodeTable { id: "t".into(), ..catalog::CodeTable::default() };
        for code in ["I10", "I20"] {
            table.codes.push(catalog::Code { code: code.into(), name: "".into() });
        }
        table.index();
        let tables = catalog::CodeTables { tables: HashMap::from([("t".to_owned(), Arc::new(table))]) };
        let line = |id: i64, raw: &str, standard: Option<&str>, became: &str| {
            (id, "t".to_owned(), raw.to_owned(), standard.map(str::to_owned), vec![became.to_owned()])
        };
        let got = |lines: Vec<_>| {
            let all = one_by_code(&tables, lines).into_iter();
            all.map(|c| (c.line, c.local, c.standard.unwrap_or_default(), c.became.join(" ")))
                .collect::<Vec<_>>()
        };
        let both = |standard: &str, line: i64| {
            vec![(line, "B1".to_owned(), standard.to_owned(), "I10 I20".to_owned())]
        };
        let (half, full) = (line(1, "B1", Some("I10"), "I10"), line(2, "Ｂ１", Some("I20"), "I20"));
        assert_eq!(got(vec![half.clone(), full.clone()]), both("I10", 1));
        assert_eq!(got(vec![full.clone(), half]), both("I10", 1));
        assert_eq!(
            got(vec![line(1, "B1", None, "I10"), full]),
            both("I20", 2),
            "only one of them is in force"
        );
        assert_eq!(got(vec![line(3, "Ｉ10", Some("I20"), "I20")]), [], "what the table knows needs no map");
    }
}
