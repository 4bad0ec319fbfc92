//! Part of the nightly look: people who lie in hospital in two cities at once are two people, or somebody lent a card.
//!
//! How it grows: once, the whole registry is gone through in the order of its records, in chunks that each commit. From
//! then on a night reads what changed its person since the last place, whose stays came in the batches since, and
//! whoever is listed: work in proportion to a day's changes and admissions, not to the registry. Of these only persons
//! with registrations in more than one city have their stays read, by the index on identity record and time. The
//! identifiers of one night's new stays are in memory together: 8 bytes each.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, NaiveDate, Utc};
use contracts::{Institutions, Stay, Stays};
use kernel::access::InstitutionId;
use kernel::{RegionCode, Result};
use serde_json::{Value, json};
use store::{DbDoing, Gated};

use super::Found;
use crate::MasterIndex;

/// The kind in the list.
pub(crate) const TWO_PLACES: &str = "two_places";
/// Identity records of a chunk.
const CHUNK: usize = 20_000;
/// Days that a stay without a discharge is believed to last: discharges are often reported late or never, and a stay of
/// last year that nobody ended must not overlap everything that came after it.
const UNREPORTED: Duration = Duration::days(7);
/// Overlaps of one person that are noted.
const NOTED: usize = 5;

/// The city of a division: four digits; of a municipality the municipality, of a county that the province administers
/// itself (第五、六位以 90 开头的省直辖县) the county. Empty where the division is above cities.
pub(crate) fn city(region: &RegionCode) -> &str {
    let code = region.as_str();
    let part = |n: usize| code.get(..n).unwrap_or_default();
    match (part(2), code.get(2..4).unwrap_or_default()) {
        (_, "00" | "") => "",
        ("11" | "12" | "31" | "50", _) => part(2),
        (_, "90") => part(6),
        _ => part(4),
    }
}

/// The nights of a stay: from the day of admission to the day of discharge.
fn nights(stay: &Stay, today: NaiveDate) -> (NaiveDate, NaiveDate) {
    let from = stay.admitted_at.date();
    let until = stay.discharged_at.map_or_else(|| (from + UNREPORTED).min(today), |at| at.date());
    (from, until)
}

/// Pairs of stays in different cities that share a night, the earlier admission first. Who is moved from one hospital to
/// another on one day shares none.
pub(crate) fn overlaps<'a>(
    stays: &mut [Stay],
    city_of: &dyn Fn(InstitutionId) -> &'a str,
    today: NaiveDate,
) -> Vec<(Stay, Stay)> {
    stays.sort_by_key(|s| (s.admitted_at, s.institution, s.identity_id));
    let mut found = Vec::new();
    for (at, one) in stays.iter().enumerate() {
        let (_, until) = nights(one, today);
        let here = city_of(one.institution);
        for other in &stays[at + 1..] {
            let (from, end) = nights(other, today);
            if from >= until {
                break;
            }
            let there = city_of(other.institution);
            if end > from && !here.is_empty() && !there.is_empty() && here != there {
                found.push((*one, *other));
            }
        }
    }
    found
}

/// What is noted of a person's overlaps; `keys` tells whether an overlap is new to whoever explained the others.
fn detail(found: &[(Stay, Stay)]) -> Value {
    let day = |at: Option<chrono::NaiveDateTime>| at.map(|at| at.date().to_string());
    let stay = |s: &Stay| json!({ "institution": s.institution.get(), "from": s.admitted_at.date().to_string(), "until": day(s.discharged_at) });
    let key = |s: &Stay| format!("{}@{}", s.institution.get(), s.admitted_at.date());
    let noted = &found[..found.len().min(NOTED)];
    json!({
        "overlaps": noted.iter().map(|(a, b)| json!([stay(a), stay(b)])).collect::<Vec<_>>(),
        "keys": noted.iter().map(|(a, b)| format!("{} {}", key(a), key(b))).collect::<Vec<_>>(),
        "count": found.len(),
    })
}

/// Cities of institutions, as parameters and for looking up.
struct Cities {
    institutions: Vec<i32>,
    cities: Vec<String>,
    of: BTreeMap<i64, String>,
}

impl Cities {
    fn read(institutions: &dyn Institutions) -> Self {
        let all = institutions.all();
        let of: BTreeMap<i64, String> = all
            .iter()
            .map(|card| (card.id.get(), city(&card.region).to_owned()))
            .filter(|(_, city)| !city.is_empty())
            .collect();
        let pairs: Vec<(i32, String)> =
            of.iter().filter_map(|(id, city)| Some((i32::try_from(*id).ok()?, city.clone()))).collect();
        let (institutions, cities) = pairs.into_iter().unzip();
        Self { institutions, cities, of }
    }
    fn several(&self) -> bool {
        self.cities.iter().collect::<BTreeSet<_>>().len() > 1
    }
    fn city(&self, institution: InstitutionId) -> &str {
        self.of.get(&institution.get()).map_or("", String::as_str)
    }
}

/// Where the last look came to.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Place {
    walked: i64,
    walked_all: bool,
    /// `None`: there was no look yet.
    xid: Option<String>,
    event_id: i64,
    batch: Option<i64>,
}

async fn place(tx: &mut Gated<'_>) -> Result<Place> {
    sqlx::query_as(
        "select walked, walked_all, xid::text as xid, event_id, batch from index_stay_place for update",
    )
    .fetch_one(&mut ***tx)
    .await
    .db("read how far stays were compared")
}

async fn keep(tx: &mut Gated<'_>, place: &Place) -> Result<()> {
    sqlx::query(
        "update index_stay_place set walked = $1, walked_all = $2, xid = $3::text::xid8, event_id = $4, batch = $5",
    )
    .bind(place.walked)
    .bind(place.walked_all)
    .bind(&place.xid)
    .bind(place.event_id)
    .bind(place.batch)
    .execute(&mut ***tx)
    .await
    .db("note how far stays were compared")?;
    Ok(())
}

// Whose records these are, where they have registrations in more than one city: person and all their records there.
const IN_SEVERAL_CITIES: &str = "
    select i.person_id, array_agg(i.id)
    from identity_record i
    join unnest($2::int[], $3::text[]) as c (institution_id, city) on c.institution_id = i.institution_id
    where i.person_id in (select person_id from identity_record where id = any($1))
    group by i.person_id having count(distinct c.city) > 1";

// Whoever explained some overlaps is asked again when there is another one.
const LIST: &str = "
    insert into index_suspect (person_id, kind, detail, found_at, seen_at)
    select t.person_id, 'two_places', t.detail, $3, $3 from unnest($1::bigint[], $2::jsonb[]) as t (person_id, detail)
    on conflict (person_id, kind) do update set detail = excluded.detail, seen_at = excluded.seen_at,
        found_at = case when index_suspect.state = 'open'
            or (index_suspect.state = 'explained' and (index_suspect.detail -> 'keys') @> (excluded.detail -> 'keys'))
            then index_suspect.found_at else excluded.found_at end,
        state = case when index_suspect.state = 'explained' and (index_suspect.detail -> 'keys') @> (excluded.detail -> 'keys')
            then 'explained' else 'open' end
    returning (xmax = 0)";

// What changed its person since a place, in the order of commits, as the change feed reads it. Ordered by the column, not
// by the text of the same name.
const CHANGED: &str = "
    select e.identity_id, e.xid::text, e.id from identity_event e
    where (e.xid, e.id) > ($1::text::xid8, $2) and e.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by e.xid, e.id limit $3";

struct Look<'a> {
    stays: &'a dyn Stays,
    cities: Cities,
    now: DateTime<Utc>,
}

impl Look<'_> {
    /// Compares the stays of the persons of these records and lists who overlaps: who, and how many for the first time.
    async fn examine(&self, tx: &mut Gated<'_>, identities: &[i64]) -> Result<(Vec<i64>, i64)> {
        if identities.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let persons: Vec<(i64, Vec<i64>)> = sqlx::query_as(IN_SEVERAL_CITIES)
            .bind(identities)
            .bind(&self.cities.institutions)
            .bind(&self.cities.cities)
            .fetch_all(&mut ***tx)
            .await
            .db("find who is known in several cities")?;
        let owner: BTreeMap<i64, i64> =
            persons.iter().flat_map(|(person, records)| records.iter().map(|r| (*r, *person))).collect();
        let records: Vec<i64> = owner.keys().copied().collect();
        if records.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut of_person: BTreeMap<i64, Vec<Stay>> = BTreeMap::new();
        for stay in self.stays.of(tx, &records).await? {
            if let Some(person) = owner.get(&stay.identity_id) {
                of_person.entry(*person).or_default().push(stay);
            }
        }
        let today = kernel::clock::to_china(self.now).date();
        let mut listed: Vec<i64> = Vec::new();
        let mut details: Vec<Value> = Vec::new();
        for (person, stays) in &mut of_person {
            let found = overlaps(stays, &|at| self.cities.city(at), today);
            if !found.is_empty() {
                listed.push(*person);
                details.push(detail(&found));
            }
        }
        if listed.is_empty() {
            return Ok((listed, 0));
        }
        let new: Vec<bool> = sqlx::query_scalar(LIST)
            .bind(&listed)
            .bind(&details)
            .bind(self.now)
            .fetch_all(&mut ***tx)
            .await
            .db("list who lies in two cities")?;
        Ok((listed, new.into_iter().filter(|new| *new).count() as i64))
    }

    async fn examine_all(&self, tx: &mut Gated<'_>, identities: &[i64]) -> Result<i64> {
        let mut new = 0;
        for chunk in identities.chunks(CHUNK) {
            new += self.examine(tx, chunk).await?.1;
        }
        Ok(new)
    }

    /// The next step of the first walk or of the changes; how many are new, and whether there is more.
    async fn step(&self, tx: &mut Gated<'_>) -> Result<(i64, bool)> {
        let mut place = place(tx).await?;
        if place.xid.is_none() {
            // Whatever changes from here on is found as a change, so the walk needs no second one.
            place.xid = Some(
                sqlx::query_scalar("select pg_snapshot_xmin(pg_current_snapshot())::text")
                    .fetch_one(&mut ***tx)
                    .await
                    .db("read the place of now")?,
            );
            place.batch = Some(self.stays.stored_after(tx, None).await?.1);
        }
        let (identities, more) = if place.walked_all {
            let events: Vec<(i64, String, i64)> = sqlx::query_as(CHANGED)
                .bind(&place.xid)
                .bind(place.event_id)
                .bind(CHUNK as i64)
                .fetch_all(&mut ***tx)
                .await
                .db("read what changed its person")?;
            if let Some((_, xid, id)) = events.last() {
                (place.xid, place.event_id) = (Some(xid.clone()), *id);
            }
            let more = events.len() == CHUNK;
            let ids: BTreeSet<i64> = events.into_iter().map(|e| e.0).collect();
            (ids.into_iter().collect::<Vec<i64>>(), more)
        } else {
            let ids: Vec<i64> =
                sqlx::query_scalar("select id from identity_record where id > $1 order by id limit $2")
                    .bind(place.walked)
                    .bind(CHUNK as i64)
                    .fetch_all(&mut ***tx)
                    .await
                    .db("go through identity records")?;
            place.walked = ids.last().copied().unwrap_or(place.walked);
            place.walked_all = ids.len() < CHUNK;
            // After the walk come the changes since it began.
            (ids, true)
        };
        let new = self.examine(tx, &identities).await?.1;
        keep(tx, &place).await?;
        Ok((new, more))
    }

    /// Whose stays came in later batches.
    async fn admitted(&self, tx: &mut Gated<'_>) -> Result<i64> {
        let mut place = place(tx).await?;
        let (identities, next) = self.stays.stored_after(tx, place.batch).await?;
        let new = self.examine_all(tx, &identities).await?;
        place.batch = Some(next);
        keep(tx, &place).await?;
        Ok(new)
    }

    /// Looks again at who is listed, and takes off who is right by now.
    async fn settle(&self, tx: &mut Gated<'_>) -> Result<i64> {
        let listed: Vec<i64> = sqlx::query_scalar(
            "select person_id from index_suspect where kind = 'two_places' and state = 'open'",
        )
        .fetch_all(&mut ***tx)
        .await
        .db("read who is listed")?;
        if listed.is_empty() {
            return Ok(0);
        }
        let identities: Vec<i64> =
            sqlx::query_scalar("select id from identity_record where person_id = any($1)")
                .bind(&listed)
                .fetch_all(&mut ***tx)
                .await
                .db("read the records of who is listed")?;
        let mut still: BTreeSet<i64> = BTreeSet::new();
        for chunk in identities.chunks(CHUNK) {
            still.extend(self.examine(tx, chunk).await?.0);
        }
        let gone: Vec<i64> = listed.into_iter().filter(|person| !still.contains(person)).collect();
        let done = sqlx::query(
            "update index_suspect set state = 'gone', seen_at = $2
             where kind = 'two_places' and state = 'open' and person_id = any($1)",
        )
        .bind(&gone)
        .bind(self.now)
        .execute(&mut ***tx)
        .await
        .db("take off the list who is right by now")?;
        Ok(done.rows_affected() as i64)
    }
}

impl MasterIndex {
    /// Looks for people who lie in hospital in two cities at once.
    pub(super) async fn look_for_two_places(&self, now: DateTime<Utc>) -> Result<Found> {
        let (Some(stays), Some(institutions)) = (&self.stays, &self.institutions) else {
            return Ok(Found::default());
        };
        let cities = Cities::read(&**institutions);
        // A platform of one city: nobody can be in two. Nothing is noted, so that a second city begins with everybody.
        if !cities.several() {
            return Ok(Found::default());
        }
        let look = Look { stays: &**stays, cities, now };
        const WHY: &str = "look for in-patient stays in two cities";
        let mut found = Found::default();
        loop {
            let (new, more) = self.db.background(WHY, async |tx| look.step(tx).await).await?;
            found.new += new;
            if !more {
                break;
            }
        }
        found.new += self.db.background(WHY, async |tx| look.admitted(tx).await).await?;
        found.gone = self.db.background(WHY, async |tx| look.settle(tx).await).await?;
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stay(institution: i64, from: &str, until: &str) -> Stay {
        let at = |text: &str| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        Stay {
            identity_id: institution,
            institution: InstitutionId::new(institution),
            admitted_at: at(from),
            discharged_at: (!until.is_empty()).then(|| at(until)),
        }
    }

    #[test]
    fn a_city_is_told_by_the_division() {
        for (code, expected) in [
            ("411503102001", "4115"),
            ("4115", "4115"),
            ("41", ""),
            ("500112", "50"),
            ("500235", "50"),
            ("110105", "11"),
            ("429004", "429004"),
            ("429005", "429005"),
            ("419001", "419001"),
        ] {
            assert_eq!(city(&RegionCode::parse(code).unwrap()), expected, "{code}");
        }
    }

    #[test]
    fn a_shared_night_in_two_cities_is_an_overlap() {
        let city_of = |at: InstitutionId| if at.get() < 10 { "4115" } else { "4101" };
        let today = "2025-05-20".parse().unwrap();
        for (stays, expected) in [
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-08 10:00"),
                    stay(10, "2025-05-05 09:00", "2025-05-09 10:00"),
                ],
                1,
            ),
            // The same city, and the same hospital twice.
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-08 10:00"),
                    stay(2, "2025-05-05 09:00", "2025-05-09 10:00"),
                ],
                0,
            ),
            // Discharged and admitted on one day: a transfer, also where the papers are late.
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-05 16:00"),
                    stay(10, "2025-05-05 11:00", "2025-05-09 10:00"),
                ],
                0,
            ),
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-05 09:00"),
                    stay(10, "2025-05-06 09:00", "2025-05-09 10:00"),
                ],
                0,
            ),
            // A day case during a stay elsewhere shares no night.
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-08 09:00"),
                    stay(10, "2025-05-05 08:00", "2025-05-05 17:00"),
                ],
                0,
            ),
            // An old stay that nobody ended is believed for a week.
            (vec![stay(1, "2025-01-01 09:00", ""), stay(10, "2025-05-05 09:00", "2025-05-09 10:00")], 0),
            (vec![stay(1, "2025-05-02 09:00", ""), stay(10, "2025-05-05 09:00", "2025-05-09 10:00")], 1),
            (vec![stay(1, "2025-05-19 09:00", ""), stay(10, "2025-05-20 09:00", "")], 0),
            // A long stay overlaps each of two short ones.
            (
                vec![
                    stay(1, "2025-05-01 09:00", "2025-05-18 09:00"),
                    stay(10, "2025-05-03 09:00", "2025-05-05 09:00"),
                    stay(10, "2025-05-08 09:00", "2025-05-10 09:00"),
                ],
                2,
            ),
        ] {
            let mut stays = stays;
            assert_eq!(overlaps(&mut stays, &city_of, today).len(), expected, "{stays:?}");
        }
    }
}
