//! Searches the table `audit_entry`, which belongs to the store: by anything, newest first, a page at a time.
//!
//! Every list is ordered by time and then number, and every index ends in the time, so that a page costs the same at any
//! depth. A search without anything selective in it (only a purpose, say) looks at ever longer spans, one after the
//! other, and stops when the next one would take too long: it then says how far it has come.

use std::time::{Duration, Instant};

use ::store::{DbDoing, Gated};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::Institutions;
use kernel::{Reach, Result, Tier};

use crate::account::store::spans;

/// Rows on one page.
pub const PAGE: i64 = 50;
/// How far back a search without a selective condition looks in turn, in days; the last one is everything.
const SPANS: [i64; 7] = [1, 3, 9, 27, 81, 243, 36_500];
/// How long it goes on to the next span, which may take three times as long as all before it.
const PATIENCE: Duration = Duration::from_millis(200);

/// An entry.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Entry {
    /// Number.
    pub id: i64,
    /// What it says.
    #[sqlx(flatten)]
    pub content: ::store::audit::Content,
}

impl Entry {
    /// What stands for it in addresses.
    pub fn key(&self) -> String {
        key(self.content.at, self.id)
    }
}

/// What stands for an entry in addresses: its time in microseconds and its number.
pub fn key(at: DateTime<Utc>, id: i64) -> String {
    format!("{}-{id}", at.timestamp_micros())
}

/// The place that a key names.
pub fn place(key: &str) -> Option<(DateTime<Utc>, i64)> {
    let (at, id) = key.split_once('-')?;
    Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, id.parse().ok()?))
}

/// What is looked for; empty texts and `None` look for everything.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
    /// Beginning of the actor's name.
    pub actor: String,
    /// The actor's account.
    pub account: Option<i64>,
    /// Act code.
    pub act: String,
    /// Beginning of the name of what it was done to.
    pub object: String,
    /// Kind and number of what it was done to.
    pub object_id: Option<(String, i64)>,
    /// Whose data it was.
    pub person: Option<i64>,
    /// The actor's institution is one of these.
    pub institutions: Option<Vec<i32>>,
    /// Beginning of the address.
    pub address: String,
    /// Purpose code.
    pub purpose: String,
    /// `ok` or `failed`.
    pub outcome: String,
    /// Only what comes after this place in the list.
    pub after: Option<(DateTime<Utc>, i64)>,
}

impl Search {
    /// Whether an index leads to few entries.
    fn selective(&self) -> bool {
        self.person.is_some()
            || self.account.is_some()
            || self.object_id.is_some()
            || !self.actor.is_empty()
            || !self.object.is_empty()
            || !self.address.is_empty()
    }
}

/// Whose entries a reach shows.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Everything, without looking.
    pub all: bool,
    /// Entries of nobody known as well: unknown logins, the program itself.
    pub nobody: bool,
    /// Of these institutions.
    pub institutions: Vec<i32>,
    /// Or of callers from these divisions (patterns).
    pub regions: Vec<String>,
}

impl Sight {
    /// An entry is in reach when its institution or its caller's division is, or when it is about an account of the
    /// division (attempts to sign in).
    pub fn of(reach: &Reach, institutions: &dyn Institutions) -> Self {
        let (regions, own) = spans(reach);
        let all = institutions.all();
        let within: Vec<i32> = all
            .iter()
            .filter(|card| reach.covers(card.id, &card.region))
            .filter_map(|card| i32::try_from(card.id.get()).ok())
            .chain(own)
            .collect();
        let nobody = reach.covers_region(&reach.caller().region.at(Tier::City));
        // Who reaches the whole city and every institution in the register reaches every entry there can be.
        let everything = nobody && all.iter().all(|card| reach.covers(card.id, &card.region));
        Self { all: everything, nobody, institutions: within, regions }
    }

    /// Sees everything: what a resident is told of their own record.
    pub fn whole() -> Self {
        Self { all: true, nobody: true, ..Self::default() }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Entries, newest first.
    pub entries: Vec<Entry>,
    /// The search stopped here for want of time; what is older was not looked at.
    pub reached: Option<DateTime<Utc>>,
}

macro_rules! matching {
    ($what:literal, $end:literal) => {
        concat!(
            $what,
            " from audit_entry e
             where ($1::timestamptz is null or e.at >= $1) and ($2::timestamptz is null or e.at < $2)
               and ($3 or e.institution_id = any ($4) or e.region like any ($5)
                    or ($6 and e.institution_id is null and e.account_id is null)
                    or (e.region = '' and exists (
                        select from account a where a.id = e.account_id and a.region like any ($5)))
                    or (e.object_kind = 'account' and exists (
                        select from account a where a.id = e.object_id and a.region like any ($5))))
               and ($7 = '' or e.actor like $7)
               and ($8::bigint is null or e.account_id = $8)
               and ($9 = '' or e.act = $9)
               and ($10 = '' or (e.object_label like $10 and e.object_label <> ''))
               and ($11 = '' or (e.object_kind = $11 and e.object_id = $12 and e.object_kind <> 'person'))
               and ($13::bigint is null or e.person_id = $13)
               and ($14::int[] is null or e.institution_id = any ($14))
               and ($15 = '' or e.address like $15)
               and ($16 = '' or e.purpose = $16)
               and ($17 = '' or ($17 = 'ok' and e.outcome = 'ok') or ($17 = 'failed' and e.outcome <> 'ok'))
               and ($18::timestamptz is null or (e.at <= $18 and (e.at, e.id) < ($18, $19)))",
            $end
        )
    };
}

macro_rules! bound {
    ($query:expr, $search:expr, $sight:expr, $from:expr, $until:expr) => {{
        let (kind, object) = match &$search.object_id {
            Some((kind, id)) => (kind.clone(), *id),
            None => (String::new(), 0),
        };
        $query
            .bind($from)
            .bind($until)
            .bind($sight.all)
            .bind(&$sight.institutions)
            .bind(&$sight.regions)
            .bind($sight.nobody)
            .bind(begins(&$search.actor))
            .bind($search.account)
            .bind($search.act.clone())
            .bind(begins(&$search.object))
            .bind(kind)
            .bind(object)
            .bind($search.person)
            .bind($search.institutions.clone())
            .bind(begins(&$search.address))
            .bind($search.purpose.clone())
            .bind($search.outcome.clone())
            .bind($search.after.map(|(at, _)| at))
            .bind($search.after.map_or(0, |(_, id)| id))
            // Planned anew each time, with the values: conditions that are not asked for vanish.
            .persistent(false)
    }};
}

/// Entries in sight, newest first.
pub async fn search(tx: &mut Gated<'_>, sight: &Sight, search: &Search, limit: i64) -> Result<Found> {
    let newest = match (search.after, search.until) {
        (Some((at, _)), _) => Some(at + TimeDelta::microseconds(1)),
        (None, until) => until,
    };
    let Some(newest) = newest.filter(|_| !search.selective()) else {
        let entries = piece(tx, sight, search, search.from, search.until, limit).await?;
        return Ok(Found { entries, reached: None });
    };
    let began = Instant::now();
    let mut found = Found::default();
    let mut until = newest;
    for days in SPANS {
        let from = Some(newest - TimeDelta::days(days)).filter(|from| search.from.is_none_or(|f| f < *from));
        let from = if days == SPANS[SPANS.len() - 1] { search.from } else { from.or(search.from) };
        let left = limit - found.entries.len() as i64;
        found.entries.extend(piece(tx, sight, search, from, Some(until), left).await?);
        if found.entries.len() as i64 >= limit || from == search.from {
            return Ok(found);
        }
        until = from.unwrap_or(until);
        if began.elapsed() > PATIENCE {
            found.reached = Some(until);
            return Ok(found);
        }
    }
    Ok(found)
}

async fn piece(
    tx: &mut Gated<'_>,
    sight: &Sight,
    search: &Search,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Entry>> {
    bound!(
        sqlx::query_as(matching!(
            "select e.id, e.at, e.account_id, e.staff_id, e.session_id, e.kind, e.assurance, e.actor, e.role,
                e.institution_id, e.institution_name, e.region, e.address, e.agent, e.act, e.object_kind,
                e.object_id, e.object_label, e.person_id, e.row_count, e.purpose, e.note, e.outcome,
                e.before_digest, e.after_digest, e.duration_ms, e.detail::text as detail",
            " order by e.at desc, e.id desc limit $20"
        )),
        search,
        sight,
        from,
        until
    )
    .bind(limit)
    .fetch_all(&mut ***tx)
    .await
    .db("search the audit trail")
}

/// About how many there are, as the planner estimates it: costs nothing, however many they be.
pub async fn estimate(tx: &mut Gated<'_>, sight: &Sight, search: &Search) -> Result<u64> {
    let plan: serde_json::Value = bound!(
        sqlx::query_scalar(matching!("explain (format json) select 1", "")),
        search,
        sight,
        search.from,
        search.until
    )
    .fetch_one(&mut ***tx)
    .await
    .db("estimate the size of the audit trail")?;
    Ok(plan[0]["Plan"]["Plan Rows"].as_f64().unwrap_or(0.0) as u64)
}

/// One entry, if it is in sight, with the others of the same session around it (oldest first).
pub async fn one(
    tx: &mut Gated<'_>,
    sight: &Sight,
    (at, id): (DateTime<Utc>, i64),
) -> Result<Option<(Entry, Vec<Entry>)>> {
    let exactly = Search {
        from: Some(at),
        until: Some(at + TimeDelta::microseconds(1)),
        after: Some((at, id + 1)),
        ..Search::default()
    };
    let found = search(tx, sight, &exactly, 1).await?;
    let Some(entry) = found.entries.into_iter().find(|e| e.id == id) else { return Ok(None) };
    let c = &entry.content;
    let mut around = Vec::new();
    if let Some(account) = c.account_id {
        const BESIDE: TimeDelta = TimeDelta::hours(1);
        let later = Search {
            account: Some(account),
            from: Some(at - BESIDE),
            until: Some(at + BESIDE),
            ..Search::default()
        };
        around = search(tx, sight, &later, 400).await?.entries;
        around.retain(|e| e.content.session_id == c.session_id);
        around.reverse();
        // Ten before and ten after.
        let here = around.iter().position(|e| e.id == id).unwrap_or(0);
        around = around.into_iter().skip(here.saturating_sub(10)).take(21).collect();
    }
    Ok(Some((entry, around)))
}

/// A `like` pattern for the beginning of a text; empty for no text.
fn begins(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    format!("{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_place() {
        let at = DateTime::from_timestamp_micros(1_747_272_600_123_456).unwrap();
        assert_eq!(place(&key(at, 42)), Some((at, 42)));
        for bad in ["", "1", "a-b", "1-", "99999999999999999999-1"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn patterns_are_of_beginnings_and_take_signs_as_they_are() {
        assert_eq!(begins(" 王_% "), "王\\_\\%%");
        assert_eq!(begins("  "), "");
    }
}
