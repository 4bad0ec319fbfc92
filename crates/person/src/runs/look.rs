//! The nightly look: people who look wrong are listed, once each, until somebody has explained them or they are right
//! again.

use chrono::{DateTime, Utc};
use kernel::Result;
use store::DbDoing;

use super::begin;
use crate::MasterIndex;

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// People who look wrong for the first time.
    pub new: i64,
    /// People listed before who look right by now.
    pub gone: i64,
}

macro_rules! look {
    ($kind:literal, $find:literal) => {
        (
            $kind,
            concat!(
                "with found as (",
                $find,
                ") insert into index_suspect (person_id, kind, detail, found_at, seen_at)
                 select person_id, $1, detail, $2, $2 from found where $3::bigint is not null
                 on conflict (person_id, kind) do update set detail = excluded.detail, seen_at = excluded.seen_at,
                    state = case when index_suspect.state = 'gone' then 'open' else index_suspect.state end
                 returning (xmax = 0)"
            ),
        )
    };
}

/// Each kind with the statement that finds and lists it; each goes through the table once. Stays in two cities are looked
/// for by what changed: `places.rs`.
const LOOKS: [(&str, &str); 6] = [
    look!(
        "two_deaths",
        "select person_id, jsonb_build_object('days', jsonb_agg(distinct died_on)) as detail from identity_record
         where died_on is not null group by person_id having count(distinct died_on) > 1"
    ),
    look!(
        "two_sexes",
        "select person_id, jsonb_build_object('sexes', jsonb_agg(distinct sex)) as detail from identity_record
         where sex in ('1', '2') group by person_id having count(distinct sex) > 1"
    ),
    look!(
        "two_births",
        "select person_id, jsonb_build_object('births', jsonb_agg(distinct birth_date)) as detail
         from identity_record where birth_date is not null group by person_id
         having max(birth_date) - min(birth_date) > 366"
    ),
    look!(
        "birth_after_death",
        "select person_id, jsonb_build_object('birth', max(birth_date), 'death', min(died_on)) as detail
         from identity_record group by person_id having max(birth_date) > min(died_on)"
    ),
    look!(
        "after_death",
        "select i.person_id, jsonb_build_object('death', min(d.died_on), 'seen', max(c.until)) as detail
         from (select person_id, min(died_on) as died_on from identity_record where died_on is not null
               group by person_id) d
         join identity_record i on i.person_id = d.person_id
         join care_relation c on c.identity_id = i.id and c.kind = 'visit' and c.until > d.died_on + 1
         group by i.person_id"
    ),
    look!(
        "many_records",
        "select person_id, jsonb_build_object('records', count(*)) as detail from identity_record
         group by person_id having count(*) > $3"
    ),
];

impl MasterIndex {
    /// Looks through everybody.
    pub async fn look(&self, now: DateTime<Utc>) -> Result<Found> {
        let places = self.look_for_two_places(now).await?;
        let many = self.options.as_ref().map_or(40, |o| o.whole("person_index.many_records"));
        self.db
            .transaction(async |tx| {
                let run = begin(tx, "audit", "系统", now).await?;
                let mut found = Found::default();
                for (kind, statement) in LOOKS {
                    let new: Vec<bool> = sqlx::query_scalar(statement)
                        .bind(kind)
                        .bind(now)
                        .bind(many)
                        .fetch_all(&mut **tx)
                        .await
                        .db("look for people who look wrong")?;
                    found.new += new.into_iter().filter(|new| *new).count() as i64;
                }
                let gone = sqlx::query(
                    "update index_suspect set state = 'gone'
                     where seen_at < $1 and state = 'open' and kind <> 'two_places'",
                )
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("take suspects off the list")?;
                found.gone = gone.rows_affected() as i64 + places.gone;
                found.new += places.new;
                sqlx::query(
                    "update index_run set state = 'done', finished_at = $2,
                        statistics = jsonb_build_object('new', $3::bigint, 'gone', $4::bigint) where id = $1",
                )
                .bind(run)
                .bind(now)
                .bind(found.new)
                .bind(found.gone)
                .execute(&mut **tx)
                .await
                .db("finish a look")?;
                Ok(found)
            })
            .await
    }
}
