//! What the rules look at, read in a few queries for all that is new; and the tables of alerts.

use std::collections::{HashMap, HashSet};

use ::store::audit::{Content, Read};
use ::store::{DbDoing, Tx};
use catalog::{AlertRule, Severity};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kernel::access::InstitutionId;
use kernel::error::Doing;
use kernel::{Caller, Id, Purpose, Reach, Result};

use super::rules::{Export, Happened, Known, Look, Raised, SignIn};
use crate::Identity;
use crate::audit::READ;
use crate::audit::store::{Entry, Sight};

/// Acts that show somebody's record.
const VIEWS: [&str; 8] = [
    "record.view",
    "record.event",
    "record.result",
    "record.history",
    "record.print",
    "fhir.read",
    "fhir.everything",
    "embed.view",
];
/// The longest that a rule about looks may look back.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// Looks of the past that are read for one step at most.
const MOST: i64 = 50_000;
/// Sign-ins of the past of one account at most.
const SIGN_INS: i64 = 200;
/// Days that the baseline is made of.
const BASELINE_DAYS: i64 = 14;

fn viewer(content: &Content) -> String {
    match content.account_id {
        Some(account) => format!("account:{account}"),
        None => {
            format!("{}:{}:{}", content.kind, content.institution_id.unwrap_or_default(), content.actor)
        }
    }
}

fn look(id: i64, content: &Content) -> Look {
    let care = content
        .detail
        .as_deref()
        .and_then(|d| serde_json::from_str::<serde_json::Value>(d).ok())
        .and_then(|d| d.get("care").and_then(serde_json::Value::as_bool));
    Look {
        id,
        at: content.at,
        viewer: viewer(content),
        account: content.account_id,
        name: content.actor.clone(),
        role: content.role.clone(),
        institution: content.institution_id.map(i64::from),
        region: content.region.clone(),
        person: content.person_id.unwrap_or_default(),
        label: content.object_label.clone(),
        care,
    }
}

fn is_look(content: &Content) -> bool {
    content.person_id.is_some() && content.outcome == "ok" && VIEWS.contains(&content.act.as_str())
}

/// Gathers everything that the rules need about some segments.
pub(super) async fn gather(identity: &Identity, read: &[Read]) -> Result<Happened> {
    let mut happened = Happened::default();
    let (mut accounts, mut names, mut people) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut signed_in = HashSet::new();
    let mut span: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
    for (id, content) in read.iter().flat_map(|r| &r.entries) {
        happened.new.insert(*id);
        let (from, until) = span.get_or_insert((content.at, content.at));
        (*from, *until) = ((*from).min(content.at), (*until).max(content.at));
        if is_look(content) {
            people.extend(content.person_id);
            match content.account_id {
                Some(account) => accounts.insert(account),
                None => names.insert(content.actor.clone()),
            };
        }
        if let Some(rows) = content.row_count.filter(|_| takes_out(&content.act)) {
            happened.exports.push(Export { look: look(*id, content), rows: i64::from(rows) });
        }
        if content.act == "sign_in" && content.object_kind == "account" && content.outcome == "ok" {
            signed_in.extend(content.object_id);
        }
    }
    let Some((from, until)) = span else { return Ok(happened) };
    if !people.is_empty() {
        looks(identity, &mut happened, from - LONGEST, until, accounts, names, people).await?;
        traits(identity, &mut happened).await?;
        happened.baseline = baseline(identity).await?;
    }
    if !signed_in.is_empty() {
        sign_ins(identity, &mut happened, signed_in, until).await?;
    }
    Ok(happened)
}

/// Whether an act takes rows out of the platform.
fn takes_out(act: &str) -> bool {
    act.ends_with(".export")
        || act.ends_with(".repair")
        || act.ends_with(".original")
        || act == "fhir.everything"
}

async fn looks(
    identity: &Identity,
    happened: &mut Happened,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    accounts: HashSet<i64>,
    names: HashSet<String>,
    people: HashSet<i64>,
) -> Result<()> {
    // Two index scans each; the newest first, as a bound must cut off the oldest.
    let found: Vec<Entry> = sqlx::query_as(
        "select id, at, account_id, staff_id, session_id, kind, assurance, actor, role, institution_id,
            institution_name, region, address, agent, act, object_kind, object_id, object_label, person_id, row_count,
            purpose, note, outcome, before_digest, after_digest, duration_ms, detail::text as detail
         from audit_entry
         where at > $1 and at <= $2 and outcome = 'ok' and act = any($3) and person_id is not null
           and (account_id = any($4) or (account_id is null and actor = any($5)) or person_id = any($6))
         order by at desc, id desc limit $7",
    )
    .bind(from)
    .bind(until)
    .bind(VIEWS.as_slice())
    .bind(accounts.iter().copied().collect::<Vec<_>>())
    .bind(names.iter().cloned().collect::<Vec<_>>())
    .bind(people.iter().copied().collect::<Vec<_>>())
    .bind(MOST)
    .persistent(false)
    .fetch_all(identity.db.pool())
    .await
    .db("read the looks of a day")?;
    for entry in found.iter().rev() {
        let look = look(entry.id, &entry.content);
        if people.contains(&look.person) {
            happened.by_person.entry(look.person).or_default().push(look.clone());
        }
        let active = look.account.map_or_else(|| names.contains(&look.name), |a| accounts.contains(&a));
        if active {
            happened.by_viewer.entry(look.viewer.clone()).or_default().push(look);
        }
    }
    Ok(())
}

/// What other contexts know of the people and of the viewers' colleagues.
async fn traits(identity: &Identity, happened: &mut Happened) -> Result<()> {
    let people: HashSet<i64> = happened.by_viewer.values().flatten().map(|l| l.person).collect();
    if let Some(port) = &identity.trail.people {
        let people: Vec<i64> = people.into_iter().collect();
        for known in port.traits(&people).await? {
            let village = known.region.as_str();
            let village = if village.ends_with("000") { String::new() } else { village.to_owned() };
            let local_nos = known.local_nos.into_iter().map(|(i, no)| (i.get(), no)).collect();
            happened.known.insert(known.person_id, Known { village, local_nos });
        }
    }
    if let Some(port) = &identity.trail.staff {
        let pairs: HashSet<(i64, String)> = happened
            .by_viewer
            .values()
            .flatten()
            .filter(|l| l.care == Some(false) && happened.new.contains(&l.id) && !l.label.is_empty())
            .filter_map(|l| Some((l.institution?, l.label.clone())))
            .collect();
        let pairs: Vec<(InstitutionId, String)> =
            pairs.into_iter().map(|(i, name)| (InstitutionId::new(i), name)).collect();
        let there = if pairs.is_empty() { Vec::new() } else { port.in_post(&pairs).await? };
        happened.colleagues = pairs
            .into_iter()
            .zip(there)
            .filter(|(_, there)| *there)
            .map(|((i, name), _)| (i.get(), name))
            .collect();
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Attempt {
    id: i64,
    at: DateTime<Utc>,
    object_id: i64,
    object_label: String,
    address: String,
    outcome: String,
    institution_id: Option<i32>,
    region: String,
}

async fn sign_ins(
    identity: &Identity,
    happened: &mut Happened,
    accounts: HashSet<i64>,
    until: DateTime<Utc>,
) -> Result<()> {
    let longest = identity
        .catalog
        .alerts
        .iter()
        .filter(|r| matches!(r.kind, catalog::AlertKind::NewAddress | catalog::AlertKind::FailedThenIn))
        .map(|r| r.window_minutes)
        .max()
        .unwrap_or(0);
    let found: Vec<Attempt> = sqlx::query_as(
        "select e.id, e.at, e.object_id, e.object_label, e.address, e.outcome, e.institution_id, e.region
         from unnest($1::bigint[]) as w (account), lateral (
            select * from audit_entry e
            where e.object_kind = 'account' and e.object_id = w.account and e.act = 'sign_in' and e.at > $2 and e.at <= $3
            order by e.at desc limit $4) e
         order by e.at, e.id",
    )
    .bind(accounts.into_iter().collect::<Vec<_>>())
    .bind(until - TimeDelta::minutes(longest))
    .bind(until)
    .bind(SIGN_INS)
    .persistent(false)
    .fetch_all(identity.db.pool())
    .await
    .db("read sign-ins of the past")?;
    for attempt in found {
        happened.sign_ins.entry(attempt.object_id).or_default().push(SignIn {
            id: attempt.id,
            at: attempt.at,
            account: attempt.object_id,
            login: attempt.object_label,
            address: attempt.address,
            ok: attempt.outcome == "ok",
            institution: attempt.institution_id.map(i64::from),
            region: attempt.region,
        });
    }
    Ok(())
}

async fn baseline(identity: &Identity) -> Result<HashMap<String, (f64, f64)>> {
    let rows: Vec<(String, f64, f64)> =
        sqlx::query_as("select role, mean, deviation from trail_baseline where days >= 10")
            .fetch_all(identity.db.pool())
            .await
            .db("read the baseline")?;
    Ok(rows.into_iter().map(|(role, mean, deviation)| (role, (mean, deviation))).collect())
}

/// Computes the baseline of the last two weeks, once a day.
pub(super) async fn refresh_baseline(identity: &Identity) -> Result<()> {
    let today = identity.clock.today();
    let done: bool = sqlx::query_scalar(
        "select exists (select from trail_cursor where reader = 'audit.baseline' and segment = $1)",
    )
    .bind(days(today))
    .fetch_one(identity.db.pool())
    .await
    .db("ask for the baseline's day")?;
    if done {
        return Ok(());
    }
    let until = crate::audit::pages::start_of(today);
    identity
        .db
        .transaction(async |tx| {
            sqlx::query(
                "insert into trail_baseline (role, mean, deviation, days, computed_on)
                 select role, avg(n), coalesce(stddev_samp(n), 0), count(*), $4
                 from (select role, account_id, (at at time zone 'Asia/Shanghai')::date as day,
                        count(distinct person_id) as n
                     from audit_entry
                     where at >= $1 and at < $2 and act = any($3) and account_id is not null and person_id is not null
                     group by 1, 2, 3) d
                 group by role
                 on conflict (role) do update set mean = excluded.mean, deviation = excluded.deviation,
                    days = excluded.days, computed_on = excluded.computed_on",
            )
            .bind(until - TimeDelta::days(BASELINE_DAYS))
            .bind(until)
            .bind(VIEWS.as_slice())
            .bind(today)
            .execute(&mut **tx)
            .await
            .db("compute the baseline")?;
            ::store::audit::move_mark(tx, "audit.baseline", days(today)).await
        })
        .await
}

/// A day as a number that grows.
fn days(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_days()
}

/// Writes alerts; which of them are new (an alert of a rule about a subject is raised once a day).
pub(super) async fn raise(
    tx: &mut Tx<'_>,
    found: &[(&AlertRule, Raised)],
    now: DateTime<Utc>,
) -> Result<Vec<usize>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<serde_json::Value> = found
        .iter()
        .enumerate()
        .map(|(n, (rule, alert))| {
            let evidence: Vec<(i64, i64)> =
                alert.evidence.iter().map(|(at, id)| (at.timestamp_micros(), *id)).collect();
            serde_json::json!({
                "n": n, "rule": rule.code, "severity": rule.severity.code(), "subject": alert.subject,
                "day": alert.day, "first_at": alert.evidence.first().map(|e| e.0),
                "last_at": alert.evidence.last().map(|e| e.0), "account_id": alert.account,
                "person_id": alert.person, "institution_id": alert.institution, "region": alert.region,
                "title": alert.title, "figure": alert.figure, "evidence": evidence,
            })
        })
        .collect();
    let fresh: Vec<(String, String, NaiveDate)> = sqlx::query_as(
        "insert into audit_alert (rule, severity, subject, day, raised_at, first_at, last_at, account_id, person_id,
            institution_id, region, title, figure, evidence)
         select distinct on (rule, subject, day) rule, severity, subject, day, $2, coalesce(first_at, $2),
            coalesce(last_at, $2), account_id, person_id, institution_id, region, title, figure, evidence
         from jsonb_to_recordset($1) as r (n int, rule text, severity text, subject text, day date, first_at timestamptz,
            last_at timestamptz, account_id bigint, person_id bigint, institution_id int, region text, title text,
            figure int, evidence jsonb)
         order by rule, subject, day, figure desc
         on conflict (rule, subject, day) do nothing
         returning rule, subject, day",
    )
    .bind(serde_json::to_value(rows).doing("write alerts")?)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
    .db("raise alerts")?;
    let fresh: HashSet<(String, String, NaiveDate)> = fresh.into_iter().collect();
    let mut told = HashSet::new();
    Ok(found
        .iter()
        .enumerate()
        .filter(|(_, (rule, alert))| {
            let key = (rule.code.clone(), alert.subject.clone(), alert.day);
            fresh.contains(&key) && told.insert(key)
        })
        .map(|(n, _)| n)
        .collect())
}

/// An alert and how it stands.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Alert {
    pub id: i64,
    pub rule: String,
    pub severity: String,
    pub raised_at: DateTime<Utc>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub account_id: Option<i64>,
    pub person_id: Option<i64>,
    pub title: String,
    pub figure: i32,
    pub evidence: serde_json::Value,
    /// `open` until somebody does something.
    pub state: String,
}

/// A step in dealing with an alert.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Step {
    pub state: String,
    pub note: String,
    pub by_whom: String,
    pub at: DateTime<Utc>,
}

const ALERTS: &str = "
    select a.id, a.rule, a.severity, a.raised_at, a.first_at, a.last_at, a.account_id, a.person_id, a.title,
        a.figure, a.evidence, coalesce(s.state, 'open') as state
    from audit_alert a left join lateral (
        select state from audit_alert_step s where s.alert_id = a.id order by s.id desc limit 1) s on true
    where ($1 or a.institution_id = any ($2) or a.region like any ($3)
           or ($4 and a.institution_id is null and a.region = ''))
      and ($5 = '' or coalesce(s.state, 'open') = $5) and ($6 = '' or a.severity = $6) and ($7 = '' or a.rule = $7)
      and ($8::bigint is null or a.id < $8) and ($9::bigint is null or a.id = $9)
    order by a.id desc limit $10";

/// What alerts are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub state: String,
    pub severity: String,
    pub rule: String,
    pub before: Option<i64>,
    pub id: Option<i64>,
}

/// Alerts in sight, newest first.
pub(super) async fn alerts(
    tx: &mut Tx<'_>,
    sight: &Sight,
    wanted: &Wanted,
    limit: i64,
) -> Result<Vec<Alert>> {
    sqlx::query_as(ALERTS)
        .bind(sight.all)
        .bind(&sight.institutions)
        .bind(&sight.regions)
        .bind(sight.nobody)
        .bind(&wanted.state)
        .bind(&wanted.severity)
        .bind(&wanted.rule)
        .bind(wanted.before)
        .bind(wanted.id)
        .bind(limit)
        .persistent(false)
        .fetch_all(&mut **tx)
        .await
        .db("read alerts")
}

/// The steps of an alert, oldest first.
pub(super) async fn steps(tx: &mut Tx<'_>, alert: i64) -> Result<Vec<Step>> {
    sqlx::query_as("select state, note, by_whom, at from audit_alert_step where alert_id = $1 order by id")
        .bind(alert)
        .fetch_all(&mut **tx)
        .await
        .db("read the steps of an alert")
}

/// Writes a step.
pub(super) async fn step(
    tx: &mut Tx<'_>,
    alert: i64,
    state: &str,
    note: &str,
    by: &Caller,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into audit_alert_step (alert_id, state, note, by_whom, account_id, at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(alert)
    .bind(state)
    .bind(note)
    .bind(&by.name)
    .bind(by.account.map(Id::get))
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("write a step of an alert")?;
    Ok(())
}

/// The entries of an alert's evidence, oldest first.
pub(super) async fn evidence(tx: &mut Tx<'_>, alert: &Alert) -> Result<Vec<Entry>> {
    let places: Vec<(i64, i64)> = serde_json::from_value(alert.evidence.clone()).unwrap_or_default();
    let ats: Vec<DateTime<Utc>> =
        places.iter().filter_map(|(at, _)| DateTime::from_timestamp_micros(*at)).collect();
    let (Some(from), Some(until)) = (ats.iter().min(), ats.iter().max()) else { return Ok(Vec::new()) };
    sqlx::query_as(
        "select e.id, e.at, e.account_id, e.staff_id, e.session_id, e.kind, e.assurance, e.actor, e.role,
            e.institution_id, e.institution_name, e.region, e.address, e.agent, e.act, e.object_kind, e.object_id,
            e.object_label, e.person_id, e.row_count, e.purpose, e.note, e.outcome, e.before_digest, e.after_digest,
            e.duration_ms, e.detail::text as detail
         from audit_entry e
         where e.at >= $1 and e.at <= $2 and e.at = any($3) and e.id = any($4) order by e.at, e.id",
    )
    .bind(from)
    .bind(until)
    .bind(&ats)
    .bind(places.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .persistent(false)
    .fetch_all(&mut **tx)
    .await
    .db("read the evidence of an alert")
}

/// How many alerts of each severity wait for this caller, gravest first.
pub(super) async fn open_counts(identity: &Identity, caller: &Caller) -> Result<Vec<(Severity, i64)>> {
    let reach: Reach = caller.decide(READ, Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select a.severity, count(*) from audit_alert a
         where ($1 or a.institution_id = any ($2) or a.region like any ($3)
                or ($4 and a.institution_id is null and a.region = ''))
           and not exists (select from audit_alert_step s where s.alert_id = a.id)
         group by 1",
    )
    .bind(sight.all)
    .bind(&sight.institutions)
    .bind(&sight.regions)
    .bind(sight.nobody)
    .fetch_all(identity.db.pool())
    .await
    .db("count alerts")?;
    let mut counts: Vec<(Severity, i64)> =
        rows.into_iter().filter_map(|(word, n)| Some((Severity::from_code(&word)?, n))).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.0));
    Ok(counts)
}
