//! Stored rows follow an institution's maps of its own codes (院内码对照).
//!
//! A run asked for in the register of terminology goes through the data sets that use the tables concerned, page by page
//! in the order of the business keys. Each page is a transaction: it takes the lock that intake takes, reads the rows with
//! the codes concerned, writes those that say something else than the maps make of what was sent, and notes how far it
//! is. What a row is to say depends only on what its sender wrote and on the map in force, so that a page done twice, or
//! begun again after a crash, changes nothing more; and undoing a map is the same work as approving one.
//!
//! This holds for the rows and their identity records, not for all that was made of them: the record of a person known
//! from such rows only follows as it follows any later row, which fills what is empty and seldom overwrites. After an undo
//! a person may keep a sex, blood group or the like that was translated.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{Dataset, FieldKind, Value};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::{
    Demographics, EndedFact, KeptCode, STORED_CODES, StoredChange, StoredCode, StoredCodes, StoredCodesAsked,
    StoredEnd, StoredFact, StoredPlace, StoredRun, StoredStep,
};
use kernel::access::InstitutionId;
use kernel::{Error, Result};
use store::db::Retry;
use store::facts::{Correction, Held, Looking, Target};
use store::jobs::{Job, Jobs, MAX_ATTEMPTS};
use store::{DbDoing, Gated};

use super::chunk::demographics;
use super::{Inner, Intake};

/// Rows that one transaction looks at.
const PAGE: i64 = 2_000;
/// How long one job goes on before others get their turn.
const TURN: Duration = Duration::from_secs(5);
/// After this a run looks again whether batches are under way.
const WAIT: TimeDelta = TimeDelta::seconds(60);
/// How long a run waits for batches under way before somebody has to look at them.
const PATIENCE: TimeDelta = TimeDelta::hours(24);
/// A batch received so long after a decision may still have been checked by the maps before: clocks differ, and a process
/// reads the maps again when it is told.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// The longest name of a local code that is kept.
const NAME: usize = 100;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// There may be more to do.
    More,
    /// A batch is under way that may still store rows by the maps before: to be gone on with later.
    Later,
    /// Nothing is asked.
    Nothing,
}

/// A code field of a data set with the codes that are looked for in it.
type Concerned<'r> = (usize, Vec<&'r StoredCode>);

/// A row with its new values and what was changed.
struct Changed<'h> {
    held: &'h Held,
    identity_id: Option<i64>,
    values: Vec<Value>,
    reason: String,
}

/// What a page came to.
struct Outcome<'h> {
    changed: Vec<Changed<'h>>,
    changes: Vec<StoredChange>,
    /// What is kept and cannot be what was sent.
    stale: Vec<(i64, String)>,
}

/// Registers the job.
pub(crate) fn register(jobs: &mut Jobs, intake: Intake, codes: Arc<dyn StoredCodes>) {
    jobs.on(STORED_CODES, move |job| {
        let (intake, codes) = (intake.clone(), codes.clone());
        async move { run(&intake, &*codes, &job).await }
    });
}

async fn run(intake: &Intake, codes: &dyn StoredCodes, job: &Job) -> Result<()> {
    let institution = InstitutionId::new(job.read::<StoredCodesAsked>()?.institution);
    match intake.follow_for(codes, institution, TURN).await {
        Err(error) => {
            codes.failed(institution, &told(&error), job.attempt >= MAX_ATTEMPTS).await?;
            Err(error)
        }
        done => done,
    }
}

/// Why it stopped, for the page: a refusal says it in words, a fault is for the log.
fn told(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => refusal.message.to_string(),
        _ => "平台内部出错，详细原因见系统日志".to_owned(),
    }
}

impl Intake {
    /// Goes on with what is asked for an institution for so long, at least by a page, and leaves a job for what remains:
    /// it stands behind what others wait for, and its attempts are counted from the beginning.
    pub async fn follow_for(
        &self,
        codes: &dyn StoredCodes,
        institution: InstitutionId,
        turn: Duration,
    ) -> Result<()> {
        let began = Instant::now();
        let at = loop {
            match self.follow_maps(codes, institution, PAGE).await? {
                Followed::Nothing => return Ok(()),
                Followed::More if began.elapsed() < turn => {}
                Followed::More => break self.parts().clock.now(),
                Followed::Later => break self.parts().clock.now() + WAIT,
            }
        };
        let (subject, body) = (institution.to_string(), StoredCodesAsked { institution: institution.get() });
        let next = async |tx: &mut store::Tx<'_>| {
            store::jobs::enqueue_at(tx, STORED_CODES, &subject, &body, Some(&subject), at).await
        };
        self.parts().db.transaction(next).await?;
        Ok(())
    }

    /// One step of what is asked for an institution: a page of at most `rows` rows, in a transaction of its own.
    pub async fn follow_maps(
        &self,
        codes: &dyn StoredCodes,
        institution: InstitutionId,
        rows: i64,
    ) -> Result<Followed> {
        let inner = &self.inner;
        let mut retry = Retry::default();
        loop {
            let done = inner
                .parts
                .db
                .background("let stored rows follow the maps of codes", async |tx| {
                    inner.step(tx, codes, institution, rows).await
                })
                .await;
            match done {
                Err(error) if retry.again(&error).await => {}
                done => return done,
            }
        }
    }
}

impl Inner {
    async fn step(
        &self,
        tx: &mut Gated<'_>,
        codes: &dyn StoredCodes,
        institution: InstitutionId,
        rows: i64,
    ) -> Result<Followed> {
        let now = self.parts.clock.now();
        let Some(run) = codes.due(tx, institution, now).await? else { return Ok(Followed::Nothing) };
        let concerned = self.concerned(&run);
        if !run.counted {
            let mut all = 0;
            for (dataset, _) in &concerned {
                all += self.facts.count(tx, dataset, institution).await?;
            }
            codes.counted(tx, run.id, all).await?;
        }
        let at = run.place.as_ref();
        let here = concerned.iter().find(|(dataset, _)| match at {
            Some(place) if place.after.is_some() => dataset.number >= place.dataset,
            Some(place) => dataset.number > place.dataset,
            None => true,
        });
        let Some((dataset, fields)) = here else { return self.over(tx, codes, institution, &run, now).await };
        let after =
            at.filter(|place| place.dataset == dataset.number).and_then(|place| place.after.as_deref());

        let target = Target { dataset, institution, batch: 0, now };
        self.facts.begin_chunk(tx, target).await?;
        let having: Vec<(usize, Vec<&str>)> = fields.iter().map(|(f, codes)| (*f, texts(codes))).collect();
        let page =
            self.facts.page(tx, dataset, institution, Looking { having: &having, after, rows }).await?;
        let ids: Vec<i64> = page.found.iter().map(|held| held.fact_id).collect();
        let kept = match ids.is_empty() {
            true => Vec::new(),
            false => codes.kept(tx, dataset.number, &ids).await?,
        };
        let received = self.received(tx, &page.found).await?;
        let Outcome { mut changed, changes, stale } = changed(dataset, fields, &page.found, &kept, &received);
        self.relink(tx, dataset, institution, &mut changed, now).await?;
        let corrections: Vec<Correction<'_>> = changed
            .iter()
            .map(|c| Correction {
                held: c.held,
                identity_id: c.identity_id,
                values: &c.values,
                reason: &c.reason,
            })
            .collect();
        self.facts.correct(tx, dataset, institution, &corrections, now).await?;
        self.reindex(tx, dataset, institution, &changed).await?;
        store::crash::point("stored_codes.written");

        // A page that is not full was the last of its data set.
        let more = page.last.filter(|_| page.seen >= rows);
        let step = StoredStep {
            run: run.id,
            institution,
            place: StoredPlace { dataset: dataset.number, after: more },
            seen: page.seen,
            changes,
            stale,
        };
        codes.stepped(tx, &step).await?;
        Ok(Followed::More)
    }

    /// The data sets that use the tables of a run, with the fields and the codes looked for in each. A business key is
    /// what it is: a field of it does not follow.
    fn concerned<'r>(&self, run: &'r StoredRun) -> Vec<(&Dataset, Vec<Concerned<'r>>)> {
        let mut of_table: HashMap<&str, Vec<&StoredCode>> = HashMap::new();
        for code in &run.codes {
            of_table.entry(&code.table).or_default().push(code);
        }
        // They are searched by what the sender wrote.
        for codes in of_table.values_mut() {
            codes.sort_by(|a, b| a.local.cmp(&b.local));
        }
        let mut all: Vec<(&Dataset, Vec<Concerned<'r>>)> = Vec::new();
        for dataset in &self.parts.catalog.datasets {
            let field = |(at, field): (usize, &catalog::Field)| match &field.kind {
                FieldKind::Code { table, .. }
                    if !dataset.key.contains(&at) && dataset.revision != Some(at) =>
                {
                    of_table.get(table.as_str()).map(|codes| (at, codes.clone()))
                }
                _ => None,
            };
            let fields: Vec<Concerned<'r>> = dataset.fields.iter().enumerate().filter_map(field).collect();
            if !fields.is_empty() {
                all.push((dataset, fields));
            }
        }
        all.sort_by_key(|(dataset, _)| dataset.number);
        all
    }

    /// Ends a run, or begins it once more for batches that were checked by the maps before.
    async fn over(
        &self,
        tx: &mut Gated<'_>,
        codes: &dyn StoredCodes,
        institution: InstitutionId,
        run: &StoredRun,
        now: DateTime<Utc>,
    ) -> Result<Followed> {
        let (under_way, meanwhile): (bool, bool) = sqlx::query_as(
            "select coalesce(bool_or(finished_at is null), false), coalesce(bool_or(finished_at > $3), false) from batch
             where institution_id = $1 and received_at <= $2 and (finished_at is null or finished_at > $3)",
        )
        .bind(institution.get() as i32)
        .bind(run.asked_at + MARGIN)
        .bind(run.pass_at)
        .fetch_one(&mut ***tx)
        .await
        .db("look for batches under way")?;
        let end = match (under_way, run.waits_since) {
            (true, Some(since)) if now - since >= PATIENCE => StoredEnd::GaveUp(
                "有上传批次 24 小时仍未处理完，其中可能还有按旧对照检查的数据。请先在批次列表中处理这些批次，再从中断处继续。"
                    .to_owned(),
            ),
            (true, _) => StoredEnd::Waits,
            (false, Some(_)) => StoredEnd::Again,
            (false, None) if meanwhile => StoredEnd::Again,
            (false, None) => StoredEnd::Done,
        };
        let waits = end == StoredEnd::Waits;
        codes.ended(tx, run.id, end, now).await?;
        Ok(if waits { Followed::Later } else { Followed::More })
    }

    /// The day on which each batch of these rows was received.
    async fn received(&self, tx: &mut Gated<'_>, rows: &[Held]) -> Result<HashMap<i64, NaiveDate>> {
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let mut batches: Vec<i64> = rows.iter().map(|held| held.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        let rows: Vec<(i64, DateTime<Utc>)> =
            sqlx::query_as("select id, received_at from batch where id = any($1)")
                .bind(batches)
                .fetch_all(&mut ***tx)
                .await
                .db("read when batches were received")?;
        Ok(rows.into_iter().map(|(id, at)| (id, kernel::clock::to_china(at).date())).collect())
    }

    /// Rows whose own description of the patient changed are linked again, as when they were uploaded.
    async fn relink(
        &self,
        tx: &mut Gated<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
        changed: &mut [Changed<'_>],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Some(person) = &dataset.person else { return Ok(()) };
        let mut rows: Vec<(&mut Changed<'_>, Demographics)> = Vec::new();
        for row in changed {
            let told = demographics(person, &row.values);
            if told != demographics(person, &row.held.values) {
                rows.push((row, told));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let batch = rows.iter().map(|(row, _)| row.held.batch).max().unwrap_or_default();
        let told: Vec<Demographics> = rows.iter().map(|(_, told)| told.clone()).collect();
        let ids = self.parts.linker.link(tx, institution, &told, batch, now).await?;
        for ((row, _), id) in rows.iter_mut().zip(ids) {
            row.identity_id = Some(id);
        }
        Ok(())
    }

    async fn reindex(
        &self,
        tx: &mut Gated<'_>,
        dataset: &Dataset,
        institution: InstitutionId,
        changed: &[Changed<'_>],
    ) -> Result<()> {
        let ended: Vec<EndedFact> = changed
            .iter()
            .filter_map(|c| {
                let (fact_id, occurred_at) = (c.held.fact_id, c.held.occurred_at);
                Some(EndedFact { fact_id, identity_id: c.held.identity_id?, occurred_at })
            })
            .collect();
        let stored: Vec<StoredFact<'_>> = changed
            .iter()
            .filter_map(|c| {
                let (fact_id, occurred_at) = (c.held.fact_id, c.held.occurred_at);
                Some(StoredFact { fact_id, identity_id: c.identity_id?, occurred_at, values: &c.values })
            })
            .collect();
        if ended.is_empty() && stored.is_empty() {
            return Ok(());
        }
        self.parts.index.index(tx, dataset, institution, &stored, &ended).await
    }
}

/// The texts that a field may hold and that may be wrong because of some codes: what was sent, and what it may have become
/// other than what it is to be.
fn texts<'r>(codes: &[&'r StoredCode]) -> Vec<&'r str> {
    let mut texts: Vec<&str> = Vec::new();
    for code in codes {
        texts.push(&code.local);
        let other = |standard: &&String| code.standard.as_ref() != Some(*standard);
        texts.extend(code.became.iter().filter(other).map(String::as_str));
    }
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn find<'c>(codes: &[&'c StoredCode], local: &str) -> Option<&'c StoredCode> {
    let at = codes.binary_search_by(|code| code.local.as_str().cmp(local)).ok()?;
    codes.get(at).copied()
}

/// Whether what is kept cannot be what the present value was sent as: no map of that code ever led to this value, or the
/// value is itself a code of the institution's own. Earlier versions of the program left such entries behind.
fn stale(now: &str, kept: &KeptCode, codes: &[&StoredCode]) -> bool {
    match find(codes, &kept.code) {
        Some(code) => !code.became.iter().any(|standard| standard == now),
        None => find(codes, now).is_some(),
    }
}

/// What a value is to be, where it is to be another: from what the sender wrote and the map in force.
fn wanted<'c>(
    now: &str,
    kept: Option<&KeptCode>,
    codes: &[&'c StoredCode],
) -> Option<(&'c StoredCode, String)> {
    let sent = kept.map_or(now, |kept| kept.code.as_str());
    let code = find(codes, sent)?;
    let value = code.standard.as_deref().unwrap_or(sent);
    (value != now).then(|| (code, value.to_owned()))
}

/// The rows that say something else than they should, and each value changed.
fn changed<'h>(
    dataset: &Dataset,
    fields: &[Concerned<'_>],
    rows: &'h [Held],
    kept: &[KeptCode],
    received: &HashMap<i64, NaiveDate>,
) -> Outcome<'h> {
    let kept: HashMap<(i64, &str), &KeptCode> =
        kept.iter().map(|k| ((k.fact_id, k.field.as_str()), k)).collect();
    let (mut out, mut changes, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
    for held in rows {
        let mut values: Option<Vec<Value>> = None;
        let mut reasons: BTreeMap<i64, String> = BTreeMap::new();
        for (field, codes) in fields {
            let name = &dataset.fields[*field].name;
            let Some(now) = held.values[*field].text() else { continue };
            let mut kept = kept.get(&(held.fact_id, name.as_str())).copied();
            if kept.is_some_and(|kept| stale(now, kept, codes)) {
                forgotten.push((held.fact_id, name.clone()));
                kept = None;
            }
            let Some((code, value)) = wanted(now, kept, codes) else { continue };
            let reason = match &code.standard {
                Some(standard) => format!("编码映射批准：{} → {standard}（对照 {}）", code.local, code.line),
                None => format!("编码映射停用：恢复 {}（对照 {}）", code.local, code.line),
            };
            reasons.insert(code.line, reason);
            let beside = dataset.name_beside(*field).and_then(|f| held.values[f].text()).unwrap_or_default();
            let day = held.occurred_at.date();
            let received = received.get(&held.batch).copied().unwrap_or(day);
            changes.push(StoredChange {
                fact_id: held.fact_id,
                line: code.line,
                field: name.clone(),
                table: code.table.clone(),
                local: code.local.clone(),
                local_name: beside.chars().take(NAME).collect(),
                day: day.min(received),
                was_local: kept.is_none(),
                is_local: code.standard.is_none(),
            });
            values.get_or_insert_with(|| held.values.clone())[*field] = Value::Text(value.into());
        }
        if let Some(values) = values {
            let reason = reasons.into_values().collect::<Vec<_>>().join("；");
            out.push(Changed { held, identity_id: held.identity_id, values, reason });
        }
    }
    Outcome { changed: out, changes, stale: forgotten }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code(local: &str, standard: Option<&str>) -> StoredCode {
        StoredCode {
            line: 1,
            table: "icd10".into(),
            local: local.into(),
            standard: standard.map(str::to_owned),
            became: vec!["I10".into(), "I20".into()],
        }
    }

    fn kept(local: &str) -> KeptCode {
        KeptCode { fact_id: 1, field: "f".into(), code: local.into(), name: String::new() }
    }

    #[test]
    fn a_value_follows_what_was_sent_and_the_map_in_force() {
        let (on, off) = (code("B1", Some("I10")), code("B2", None));
        let codes = [&on, &off];
        let cases = [
            ("B1", None, Some("I10")),
            ("I10", Some("B1"), None),
            ("I20", Some("B1"), Some("I10")),
            ("I10", None, None),
            ("B2", None, None),
            ("I10", Some("B2"), Some("B2")),
            ("I10", Some("B3"), None),
        ];
        for (now, sent, expected) in cases {
            let sent = sent.map(kept);
            let got = wanted(now, sent.as_ref(), &codes).map(|(_, value)| value);
            assert_eq!(got.as_deref(), expected, "{now} sent as {sent:?}");
        }
        assert_eq!(texts(&codes), ["B1", "B2", "I10", "I20"]);
    }

    #[test]
    fn what_no_map_led_to_is_not_believed() {
        let (on, off) = (code("B1", Some("I10")), code("B2", None));
        let codes = [&on, &off];
        let cases = [
            ("I10", "B1", false),
            ("I30", "B1", true),
            ("B2", "B1", true),
            ("B1", "B3", true),
            ("I10", "B3", false),
        ];
        for (now, sent, expected) in cases {
            assert_eq!(stale(now, &kept(sent), &codes), expected, "{now} sent as {sent}");
        }
    }
}
