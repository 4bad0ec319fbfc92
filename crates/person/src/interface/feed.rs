//! `GET /api/v1/identity-changes`: registered, linked, moved, in the order of commits, each once. A program keeps the
//! place it was given (`next`) and asks from there the next time; nothing is lost when it asks late or twice.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{Purpose, Refusal, Result};
use serde::Serialize;
use serde_json::json;
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{AuditEntry, DbDoing, Gated};
use web::ui::Here;
use web::{Allowed, Reply};

use super::Interface;

/// Events looked at for one answer; most of them may concern others.
const LOOKED_AT: i64 = 5000;
/// Events of an answer when `limit` does not say, and at most.
const USUAL: i64 = 500;
const MOST: i64 = 5000;

/// A place in the order of commits: transaction and event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    transaction: u64,
    event: i64,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (transaction, event) = text.split_once('-')?;
        Some(Self { transaction: transaction.parse().ok()?, event: event.parse().ok()? })
    }
    fn text(self) -> String {
        format!("{}-{}", self.transaction, self.event)
    }
}

#[derive(Debug, Serialize)]
struct ChangeJson {
    /// What happened: `registered`, `linked`, `merged`, `split`, `unlinked`, `undone` …
    kind: String,
    at: DateTime<Utc>,
    /// Upload code of the institution whose record it is.
    institution: String,
    local_no: String,
    /// The platform's number of the person to whom it belongs now.
    person: i64,
    /// To whom it belonged before, where that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_person: Option<i64>,
    /// Why: `citizen_id`, `score`, `manual` …
    rule: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FeedJson {
    changes: Vec<ChangeJson>,
    /// Where to go on: the parameter `after` of the next question.
    next: String,
    /// Whether there is more already.
    more: bool,
}

pub(super) async fn changes(
    State(interface): State<Interface>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<FeedJson>> {
    let after = match here.get("after").filter(|text| !text.is_empty()) {
        None => Place::default(),
        Some(text) => Place::parse(text).ok_or_else(|| {
            Refusal::invalid(
                "index.feed_place",
                "参数 after 应是上一次应答中 next 的值；第一次查询时不填，从最早的变化开始。",
            )
        })?,
    };
    let limit = here.get("limit").and_then(|n| n.parse().ok()).unwrap_or(USUAL).clamp(1, MOST);
    let reach = allowed.reach(Purpose::of("care"))?;
    let within: Vec<i32> = interface
        .institutions
        .all()
        .iter()
        .filter(|card| reach.covers(card.id, &card.region))
        .filter_map(|card| i32::try_from(card.id.get()).ok())
        .collect();
    let feed = interface
        .db
        .personal(&reach, interface.clock.now(), async |tx, _| {
            let feed = read(tx, &interface, &within, after, limit).await?;
            let entry = AuditEntry {
                act: "index.feed",
                object_kind: "search",
                object_label: after.text(),
                rows: i32::try_from(feed.changes.len()).ok(),
                detail: Some(json!({ "next": feed.next })),
                ..AuditEntry::default()
            };
            Ok((feed, entry))
        })
        .await?;
    Ok(Json(feed))
}

// What commits later has a number that is not below the oldest transaction still running, so nothing can slip in before
// a place that was given out. An event concerns an institution when the record is its own, or belongs or belonged to a
// person of whom it has a record.
const FEED: &str = "
    with looked as materialized (
        select e.id, e.xid, e.identity_id, e.from_person, e.to_person, e.kind, e.rule, e.at
        from identity_event e
        where (e.xid, e.id) > ($1::text::xid8, $2) and e.xid < pg_snapshot_xmin(pg_current_snapshot())
        order by e.xid, e.id limit $3
    )
    select l.id, l.xid::text as xid, l.from_person, l.to_person, l.kind, l.rule, l.at, i.institution_id, i.local_no,
           l.kind <> 'updated' and (i.institution_id = any($4) or exists (
               select from identity_record o
               where o.person_id in (l.to_person, l.from_person) and o.institution_id = any($4))) as concerns
    from looked l join identity_record i on i.id = l.identity_id
    order by l.xid, l.id";

async fn read(
    tx: &mut Gated<'_>,
    interface: &Interface,
    within: &[i32],
    after: Place,
    limit: i64,
) -> Result<FeedJson> {
    let rows = sqlx::query(FEED)
        .bind(after.transaction.to_string())
        .bind(after.event)
        .bind(LOOKED_AT)
        .bind(within)
        .fetch_all(&mut ***tx)
        .await
        .db("read the changes of the index")?;
    let mut feed = FeedJson { changes: Vec::new(), next: after.text(), more: rows.len() as i64 == LOOKED_AT };
    for row in &rows {
        if feed.changes.len() as i64 == limit {
            feed.more = true;
            break;
        }
        let (place, change) = change(row, interface).db("read a change of the index")?;
        feed.next = place.text();
        feed.changes.extend(change);
    }
    Ok(feed)
}

fn change(row: &PgRow, interface: &Interface) -> Result<(Place, Option<ChangeJson>), sqlx::Error> {
    let transaction: String = row.try_get("xid")?;
    let place = Place { transaction: transaction.parse().unwrap_or(u64::MAX), event: row.try_get("id")? };
    if !row.try_get::<bool, _>("concerns")? {
        return Ok((place, None));
    }
    let institution: i32 = row.try_get("institution_id")?;
    let card = interface.institutions.by_id(InstitutionId::new(institution.into()));
    let change = ChangeJson {
        kind: row.try_get("kind")?,
        at: row.try_get("at")?,
        institution: card.map(|card| card.code.clone()).unwrap_or_default(),
        local_no: row.try_get("local_no")?,
        person: row.try_get("to_person")?,
        from_person: row.try_get("from_person")?,
        rule: row.try_get("rule")?,
    };
    Ok((place, Some(change)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_address() {
        let place = Place { transaction: 77, event: 5 };
        assert_eq!(Place::parse(&place.text()), Some(place));
        for text in ["", "77", "77-", "-5", "a-b", "77-5-3", "99999999999999999999999-1"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
