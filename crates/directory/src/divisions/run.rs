//! Carrying operations out and undoing them: the edition, the institutions and the record of changes in one
//! transaction, the others by event.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use contracts::{DivisionsFollowed, DivisionsMoved, InstitutionChanged};
use kernel::error::Doing;
use kernel::{Caller, RegionCode, Result, Tier};
use sqlx::Row;
use standards::pinyin::initials;
use store::jobs::{Job, Jobs};
use store::{DbDoing, Tx, outbox};

use super::Divisions;
use super::operation::{lock, note};
use super::plan::{Plan, Unit, parent};
use crate::Registry;

/// Job: carries an approved operation out.
pub(crate) const CARRY_OUT: &str = "divisions.carry_out";
/// Job: undoes one.
pub(crate) const UNDO: &str = "divisions.undo";
/// Job: notes that a part has followed.
const FOLLOWED: &str = "divisions.followed";
/// Job: counts what lies in each division.
pub(crate) const COUNT: &str = "divisions.count";
/// The part that is the directory's own.
pub(crate) const INSTITUTIONS: &str = "institutions";

pub(super) fn register(divisions: &Divisions, jobs: &mut Jobs) {
    let (desk, again) = (divisions.clone(), divisions.clone());
    let (parts, counting) = (divisions.clone(), divisions.clone());
    jobs.on(CARRY_OUT, move |job| {
        let desk = desk.clone();
        async move { desk.carry_out(&job).await }
    });
    jobs.on(UNDO, move |job| {
        let desk = again.clone();
        async move { desk.carry_back(&job).await }
    });
    jobs.on(FOLLOWED, move |job| {
        let desk = parts.clone();
        async move { desk.followed(&job).await }
    });
    jobs.on(COUNT, move |job| {
        let desk = counting.clone();
        async move { desk.count(&job).await }
    });
    jobs.subscribe(DivisionsFollowed::TOPIC, FOLLOWED);
}

/// What carrying out reads of an operation, locked.
struct Due {
    year: i16,
    title: String,
    plan: Plan,
    by: String,
}

async fn due(tx: &mut Tx<'_>, id: i64, state: &str) -> Result<Option<Due>> {
    lock(tx).await?;
    let row = sqlx::query(
        "select year, title, plan, decided_by from division_operation where id = $1 and state = $2 for update",
    )
    .bind(id)
    .bind(state)
    .fetch_optional(&mut **tx)
    .await
    .db("read an operation")?;
    let Some(row) = row else { return Ok(None) };
    let plan: serde_json::Value = row.try_get(2).db("read an operation")?;
    Ok(Some(Due {
        year: row.try_get(0).db("read an operation")?,
        title: row.try_get(1).db("read an operation")?,
        plan: serde_json::from_value(plan).doing("read the plan of an operation")?,
        by: row.try_get(3).db("read an operation")?,
    }))
}

fn texts(pairs: &[(RegionCode, RegionCode)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| (a.as_str().to_owned(), b.as_str().to_owned())).collect()
}

impl Divisions {
    async fn carry_out(&self, job: &Job) -> Result<()> {
        let id: i64 = job.read()?;
        let now = self.now();
        self.db()
            .transaction(async |tx| {
                let Some(due) = due(tx, id, "approved").await? else { return job.finish_in(tx).await };
                if let Some(why) = stale(tx, due.year, &due.plan).await? {
                    set_state(tx, id, "failed", Some(now)).await?;
                    sqlx::query("update division_operation set decided_note = $2 where id = $1")
                        .bind(id)
                        .bind(&why)
                        .execute(&mut **tx)
                        .await
                        .db("note why an operation failed")?;
                    note(
                        tx,
                        &Caller::system(&due.by),
                        now,
                        "division.fail",
                        id,
                        &due.title,
                        serde_json::json!({ "why": why }),
                    )
                    .await?;
                    return job.finish_in(tx).await;
                }
                write_edition(tx, due.year, &due.plan.removed, &due.plan.added).await?;
                let after: Vec<Unit> = due.plan.changed.iter().map(|(_, after)| after.clone()).collect();
                rename(tx, due.year, &after).await?;
                record_changes(tx, id, due.year, &due.title, &due.plan).await?;
                let moved = move_institutions(tx, id, due.year, &due.plan).await?;
                let event = DivisionsMoved {
                    operation_id: id,
                    year: due.year,
                    moves: texts(&due.plan.moves),
                    undo: false,
                    addresses: due.plan.addresses.clone(),
                    divided: due.plan.divided.map(|c| c.as_str().to_owned()),
                    institutions: due
                        .plan
                        .institutions
                        .iter()
                        .map(|(i, code)| (*i, code.as_str().to_owned()))
                        .collect(),
                };
                self.tell(
                    tx,
                    id,
                    &event,
                    due.plan.moves.is_empty()
                        && due.plan.addresses.is_empty()
                        && due.plan.institutions.is_empty(),
                    &moved,
                    now,
                )
                .await?;
                note(
                    tx,
                    &Caller::system(&due.by),
                    now,
                    "division.carry_out",
                    id,
                    &due.title,
                    serde_json::json!({ "removed": due.plan.removed.len(), "added": due.plan.added.len(),
                        "renamed": due.plan.changed.len(), "institutions": moved.len() }),
                )
                .await?;
                job.finish_in(tx).await
            })
            .await?;
        self.refresh().await
    }

    async fn carry_back(&self, job: &Job) -> Result<()> {
        let id: i64 = job.read()?;
        let now = self.now();
        self.db()
            .transaction(async |tx| {
                let Some(due) = due(tx, id, "undoing").await? else { return job.finish_in(tx).await };
                write_edition(tx, due.year, &due.plan.added, &due.plan.removed).await?;
                let before: Vec<Unit> = due.plan.changed.iter().map(|(before, _)| before.clone()).collect();
                rename(tx, due.year, &before).await?;
                sqlx::query("delete from division_change where operation_id = $1")
                    .bind(id)
                    .execute(&mut **tx)
                    .await
                    .db("take back what became of codes")?;
                let moved = put_institutions_back(tx, id, &due.plan).await?;
                let event = DivisionsMoved {
                    operation_id: id,
                    year: due.year,
                    moves: texts(&due.plan.homes),
                    undo: true,
                    ..DivisionsMoved::default()
                };
                self.tell(
                    tx,
                    id,
                    &event,
                    due.plan.moves.is_empty()
                        && due.plan.addresses.is_empty()
                        && due.plan.institutions.is_empty(),
                    &moved,
                    now,
                )
                .await?;
                note(
                    tx,
                    &Caller::system(&due.by),
                    now,
                    "division.carry_back",
                    id,
                    &due.title,
                    serde_json::json!({ "institutions": moved.len() }),
                )
                .await?;
                job.finish_in(tx).await
            })
            .await?;
        self.refresh().await
    }

    /// Tells the other parts, notes the directory's own, and sets the state that follows.
    async fn tell(
        &self,
        tx: &mut Tx<'_>,
        id: i64,
        event: &DivisionsMoved,
        alone: bool,
        institutions: &[i32],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let changed: Vec<(String, InstitutionChanged)> = institutions
            .iter()
            .map(|i| {
                let event = InstitutionChanged {
                    institution_id: i64::from(*i),
                    change: "changed".to_owned(),
                    into: None,
                };
                (i.to_string(), event)
            })
            .collect();
        let changed: Vec<(&str, &InstitutionChanged)> =
            changed.iter().map(|(subject, event)| (subject.as_str(), event)).collect();
        outbox::emit_all(tx, InstitutionChanged::TOPIC, &changed).await?;
        set_state(tx, id, if event.undo { "undoing" } else { "moving" }, None).await?;
        part_done(tx, id, INSTITUTIONS, event.undo, institutions.len() as i64, now).await?;
        if alone {
            // Nobody keeps names: a rename is over with the edition itself.
            return set_state(tx, id, if event.undo { "undone" } else { "done" }, Some(now)).await;
        }
        outbox::emit(tx, DivisionsMoved::TOPIC, &id.to_string(), event).await?;
        self.end_if_all(tx, id, event.undo, now).await
    }

    async fn followed(&self, job: &Job) -> Result<()> {
        let event: DivisionsFollowed = job.read()?;
        let now = self.now();
        self.db()
            .transaction(async |tx| {
                part_done(tx, event.operation_id, &event.part, event.undo, event.moved, now).await?;
                self.end_if_all(tx, event.operation_id, event.undo, now).await?;
                job.finish_in(tx).await
            })
            .await
    }

    /// Ends an operation when every part has followed.
    async fn end_if_all(&self, tx: &mut Tx<'_>, id: i64, undo: bool, now: DateTime<Utc>) -> Result<()> {
        let parts: BTreeSet<String> = sqlx::query_scalar(
            "select part from division_operation_part where operation_id = $1 and undo = $2",
        )
        .bind(id)
        .bind(undo)
        .fetch_all(&mut **tx)
        .await
        .db("read what has followed an operation")?
        .into_iter()
        .collect();
        if !self.holdings.iter().all(|h| parts.contains(h.part())) {
            return Ok(());
        }
        set_state(tx, id, if undo { "undone" } else { "done" }, Some(now)).await?;
        store::jobs::enqueue(tx, COUNT, "", &(), Some("all")).await?;
        Ok(())
    }

    /// Counts what lies in each division, for the tree and the map.
    async fn count(&self, job: &Job) -> Result<()> {
        let now = self.now();
        let own: Vec<(String, i64)> =
            sqlx::query_as("select region, count(*) from institution where closed_on is null group by 1")
                .fetch_all(self.db().pool())
                .await
                .db("count institutions by division")?;
        let mut counted = vec![(INSTITUTIONS, own)];
        for part in &self.holdings {
            counted.push((part.part(), part.count_all().await?));
        }
        self.db()
            .transaction(async |tx| {
                sqlx::query("delete from division_count")
                    .execute(&mut **tx)
                    .await
                    .db("count divisions anew")?;
                for (part, by_code) in &counted {
                    let (codes, counts): (Vec<&str>, Vec<i64>) =
                        by_code.iter().map(|(c, n)| (c.as_str(), *n)).unzip();
                    sqlx::query(
                        "insert into division_count (part, code, count, counted_at)
                         select $1, code, n, $4 from unnest($2::text[], $3::bigint[]) as c (code, n)",
                    )
                    .bind(part)
                    .bind(codes)
                    .bind(counts)
                    .bind(now)
                    .execute(&mut **tx)
                    .await
                    .db("count divisions anew")?;
                }
                job.finish_in(tx).await
            })
            .await
    }

    /// Reads the registries again, here and in the other processes.
    pub(crate) async fn refresh(&self) -> Result<()> {
        for registry in [Registry::Regions, Registry::Institutions] {
            self.directory.reload(registry).await?;
            self.directory.announce(registry).await?;
        }
        Ok(())
    }
}

async fn set_state(tx: &mut Tx<'_>, id: i64, state: &str, ended: Option<DateTime<Utc>>) -> Result<()> {
    sqlx::query("update division_operation set state = $2, ended_at = $3 where id = $1")
        .bind(id)
        .bind(state)
        .bind(ended)
        .execute(&mut **tx)
        .await
        .db("note the state of an operation")?;
    Ok(())
}

async fn part_done(
    tx: &mut Tx<'_>,
    id: i64,
    part: &str,
    undo: bool,
    moved: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into division_operation_part (operation_id, part, undo, moved, ended_at) values ($1, $2, $3, $4, $5)
         on conflict (operation_id, part, undo) do nothing",
    )
    .bind(id)
    .bind(part)
    .bind(undo)
    .bind(moved)
    .bind(now)
    .execute(&mut **tx)
    .await
    .db("note what has followed an operation")?;
    Ok(())
}

/// Whether the edition has changed since the plan was made: a sentence that says what.
async fn stale(tx: &mut Tx<'_>, year: i16, plan: &Plan) -> Result<Option<String>> {
    let before: Vec<&Unit> =
        plan.removed.iter().chain(plan.changed.iter().map(|(before, _)| before)).collect();
    let codes: Vec<&str> = before.iter().map(|u| u.code.as_str()).collect();
    let names: Vec<&str> = before.iter().map(|u| u.name.as_str()).collect();
    let removed: Vec<&str> = plan.removed.iter().map(|u| u.code.as_str()).collect();
    let added: Vec<&str> = plan.added.iter().map(|u| u.code.as_str()).collect();
    let row: (Option<String>, Option<String>, Option<String>) = sqlx::query_as(
        "select (select b.name from unnest($2::text[], $3::text[]) as b (code, name)
                 left join region r on r.year = $1 and r.code = b.code
                 where r.name is distinct from b.name limit 1),
                (select name from region where year = $1 and parent = any($4) and code <> all($4) limit 1),
                (select name from region where year = $1 and code = any($5) limit 1)",
    )
    .bind(year)
    .bind(&codes)
    .bind(&names)
    .bind(&removed)
    .bind(&added)
    .fetch_one(&mut **tx)
    .await
    .db("look whether the edition has changed")?;
    Ok(match row {
        (Some(name), _, _) => Some(format!("“{name}”在申请之后已被更名或撤销，请重新申请。")),
        (_, Some(name), _) => Some(format!("申请之后增加了“{name}”，请重新申请并为它选择去向。")),
        (_, _, Some(name)) => Some(format!("新代码已被“{name}”占用，请重新申请。")),
        _ => None,
    })
}

/// Takes rows out of an edition and puts others in.
pub(super) async fn write_edition(tx: &mut Tx<'_>, year: i16, out: &[Unit], into: &[Unit]) -> Result<()> {
    let codes: Vec<&str> = out.iter().map(|u| u.code.as_str()).collect();
    sqlx::query("delete from region where year = $1 and code = any($2)")
        .bind(year)
        .bind(codes)
        .execute(&mut **tx)
        .await
        .db("take divisions out of an edition")?;
    let codes: Vec<&str> = into.iter().map(|u| u.code.as_str()).collect();
    let names: Vec<&str> = into.iter().map(|u| u.name.as_str()).collect();
    let classes: Vec<&str> = into.iter().map(|u| u.class.as_str()).collect();
    let origins: Vec<&str> = into.iter().map(|u| u.origin.as_str()).collect();
    let parents: Vec<Option<String>> =
        into.iter().map(|u| parent(&u.code).map(|p| p.as_str().to_owned())).collect();
    let tiers: Vec<i16> = into.iter().map(|u| u.code.tier().unwrap_or(Tier::Province) as i16 + 1).collect();
    let letters: Vec<String> = into.iter().map(|u| initials(&u.name)).collect();
    sqlx::query(
        "insert into region (year, code, name, parent, tier, initials, class, origin)
         select $1, u.* from unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::text[])
             as u",
    )
    .bind(year)
    .bind(codes)
    .bind(names)
    .bind(parents)
    .bind(tiers)
    .bind(letters)
    .bind(classes)
    .bind(origins)
    .execute(&mut **tx)
    .await
    .db("put divisions into an edition")?;
    Ok(())
}

pub(super) async fn rename(tx: &mut Tx<'_>, year: i16, units: &[Unit]) -> Result<()> {
    let codes: Vec<&str> = units.iter().map(|u| u.code.as_str()).collect();
    let names: Vec<&str> = units.iter().map(|u| u.name.as_str()).collect();
    let classes: Vec<&str> = units.iter().map(|u| u.class.as_str()).collect();
    let letters: Vec<String> = units.iter().map(|u| initials(&u.name)).collect();
    sqlx::query(
        "update region r set name = u.name, initials = u.initials, class = u.class
         from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as u (code, name, initials, class)
         where r.year = $1 and r.code = u.code",
    )
    .bind(year)
    .bind(codes)
    .bind(names)
    .bind(letters)
    .bind(classes)
    .execute(&mut **tx)
    .await
    .db("rename divisions")?;
    Ok(())
}

async fn record_changes(tx: &mut Tx<'_>, id: i64, year: i16, title: &str, plan: &Plan) -> Result<()> {
    let kind = title.split('：').next().unwrap_or_default();
    let from: Vec<&str> = plan.successions.iter().map(|s| s.from.as_str()).collect();
    let to: Vec<&str> = plan.successions.iter().map(|s| s.to.as_str()).collect();
    let shares: Vec<f64> = plan.successions.iter().map(|s| s.share).collect();
    let backs: Vec<f64> = plan.successions.iter().map(|s| s.back_share).collect();
    sqlx::query(
        "insert into division_change (year, operation_id, kind, from_code, to_code, share, back_share)
         select $1, $2, $3, s.* from unnest($4::text[], $5::text[], $6::float8[], $7::float8[]) as s",
    )
    .bind(year)
    .bind(id)
    .bind(kind)
    .bind(from)
    .bind(to)
    .bind(shares)
    .bind(backs)
    .execute(&mut **tx)
    .await
    .db("record what became of codes")?;
    Ok(())
}

/// Moves institutions and keeps where they lay; their numbers.
async fn move_institutions(tx: &mut Tx<'_>, id: i64, year: i16, plan: &Plan) -> Result<Vec<i32>> {
    let from: Vec<&str> = plan.moves.iter().map(|(from, _)| from.as_str()).collect();
    let to: Vec<&str> = plan.moves.iter().map(|(_, to)| to.as_str()).collect();
    let chosen: Vec<i32> = plan.institutions.iter().map(|(i, _)| *i as i32).collect();
    let places: Vec<&str> = plan.institutions.iter().map(|(_, to)| to.as_str()).collect();
    sqlx::query_scalar(
        "with target as (
             select i.id, i.region as before, coalesce(c.region, m.to_code) as after
             from institution i
             left join unnest($3::text[], $4::text[]) as m (from_code, to_code) on m.from_code = i.region
             left join unnest($5::int[], $6::text[]) as c (id, region) on c.id = i.id and i.region = $7
             where m.to_code is not null or c.region is not null
         ), kept as (
             insert into institution_place (institution_id, until_year, region, moved_to, operation_id)
             select id, $2, before, after, $1 from target
         )
         update institution i set region = t.after from target t where t.id = i.id returning i.id",
    )
    .bind(id)
    .bind(year)
    .bind(from)
    .bind(to)
    .bind(chosen)
    .bind(places)
    .bind(plan.divided.map(|c| c.as_str().to_owned()))
    .fetch_all(&mut **tx)
    .await
    .db("move institutions to other divisions")
}

async fn put_institutions_back(tx: &mut Tx<'_>, id: i64, plan: &Plan) -> Result<Vec<i32>> {
    let from: Vec<&str> = plan.homes.iter().map(|(from, _)| from.as_str()).collect();
    let to: Vec<&str> = plan.homes.iter().map(|(_, to)| to.as_str()).collect();
    // Who came since then goes where most of the vanishing division came from.
    let moved = sqlx::query_scalar(
        "update institution i set region = coalesce(p.region, h.to_code)
         from institution j
         left join institution_place p on p.institution_id = j.id and p.operation_id = $1 and p.moved_to = j.region
         left join unnest($2::text[], $3::text[]) as h (from_code, to_code) on h.from_code = j.region
         where j.id = i.id and (p.region is not null or h.to_code is not null) returning i.id",
    )
    .bind(id)
    .bind(from)
    .bind(to)
    .fetch_all(&mut **tx)
    .await
    .db("move institutions back")?;
    sqlx::query("delete from institution_place where operation_id = $1")
        .bind(id)
        .execute(&mut **tx)
        .await
        .db("forget where institutions lay")?;
    Ok(moved)
}
