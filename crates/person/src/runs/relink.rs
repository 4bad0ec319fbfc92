//! Re-evaluation of the whole registry (批量关联): everybody is clustered anew in memory, what would change is written as a
//! proposal with its statistics, and applied in chunks once somebody has approved it. Each chunk is an operation with its
//! exact inverse, so that a whole run can be taken back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{Reach, Refusal, Result};
use linkage::Linked;
use store::db::Retry;
use store::jobs::enqueue;
use store::{AuditEntry, DbDoing, Tx};

use super::everyone::{Filled, Progress, decisions, everyone, how_many, watched};
use super::{APPLY, UNDO};
use crate::operations::rules::{Change, Holder, State};
use crate::operations::{load_with_waiting, take_back_run, write_run};
use crate::{MasterIndex, recompute, review};

/// Groups of people that are changed in one transaction.
const AT_ONCE: i64 = 100;
/// Doubts of one run that become review tasks.
const MOST_TASKS: usize = 20_000;

/// What re-evaluation came to.
struct Everybody {
    ids: Vec<i64>,
    persons: Vec<i64>,
    linked: Linked,
}

/// A record that should move.
#[derive(Debug, Clone, PartialEq)]
struct Move {
    grp: i64,
    identity: i64,
    from: i64,
    /// The person, or `None` for one that does not exist yet.
    to: Option<i64>,
    target: i64,
}

impl MasterIndex {
    /// Re-evaluates everybody with the model in force and writes the proposal of a run (a row of `index_run` with the
    /// kind `relink`). Nothing is changed yet.
    pub fn propose<'a>(&'a self, run: i64, now: DateTime<Utc>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let engine = self.db.transaction(async |tx| self.engine.get(tx, now).await).await?;
            let decided = decisions(&self.db).await?;
            let progress = Progress::default();
            progress.expect(2 * how_many(&self.db).await?);
            let (own, shared) = (engine.clone(), progress.clone());
            let work = everyone(&self.db, &engine, &progress, move |receiver| {
                let mut filled = Filled::all(&own.model, &receiver);
                let linked = filled.link(&own.model, &decided, &shared);
                Everybody { ids: filled.ids, persons: filled.persons, linked }
            });
            let found = watched(&self.db, run, &progress, work).await?;
            let moves = moves(&found);
            let statistics = statistics(&found, &moves);
            self.db
                .transaction(async |tx| {
                    sqlx::query("delete from index_change where run_id = $1")
                        .bind(run)
                        .execute(&mut **tx)
                        .await
                        .db("write a proposal")?;
                    for chunk in moves.chunks(10_000) {
                        sqlx::query(
                            "insert into index_change (run_id, grp, identity_id, from_person, to_person, target)
                             select $1, t.* from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                                $6::bigint[]) as t",
                        )
                        .bind(run)
                        .bind(chunk.iter().map(|m| m.grp).collect::<Vec<_>>())
                        .bind(chunk.iter().map(|m| m.identity).collect::<Vec<_>>())
                        .bind(chunk.iter().map(|m| m.from).collect::<Vec<_>>())
                        .bind(chunk.iter().map(|m| m.to).collect::<Vec<_>>())
                        .bind(chunk.iter().map(|m| m.target).collect::<Vec<_>>())
                        .execute(&mut **tx)
                        .await
                        .db("write a proposal")?;
                    }
                    sqlx::query(
                        "update index_run set state = 'proposed', model_version = $2, statistics = $3, total = $4,
                            done = 0, finished_at = $5 where id = $1",
                    )
                    .bind(run)
                    .bind(engine.model.version())
                    .bind(&statistics)
                    .bind(moves.len() as i64)
                    .bind(now)
                    .execute(&mut **tx)
                    .await
                    .db("write a proposal")?;
                    self.doubts(tx, &engine, &found, now).await
                })
                .await?;
            Ok(moves.len() as u64)
        })
    }

    /// Opens review tasks for what re-evaluation left in doubt.
    async fn doubts(
        &self,
        tx: &mut Tx<'_>,
        engine: &Arc<crate::engine::Engine>,
        found: &Everybody,
        now: DateTime<Utc>,
    ) -> Result<()> {
        for chunk in found.linked.holds[..found.linked.holds.len().min(MOST_TASKS)].chunks(1_000) {
            let pairs: Vec<(i64, i64)> = chunk
                .iter()
                .filter_map(|h| Some((*found.ids.get(h.a as usize)?, *found.ids.get(h.b as usize)?)))
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect();
            let records: BTreeSet<i64> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
            let near = crate::gather::neighbours(tx, &records, &BTreeSet::new(), &[], 16).await?.records;
            let by_id: HashMap<i64, usize> = near.iter().enumerate().map(|(at, r)| (r.id, at)).collect();
            let mut of_person: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for record in &near {
                of_person.entry(record.person_id).or_default().push(record.id);
            }
            let mut tasks = Vec::new();
            for (a, b) in pairs {
                let (Some(x), Some(y)) = (by_id.get(&a).map(|i| &near[*i]), by_id.get(&b).map(|i| &near[*i]))
                else {
                    continue;
                };
                if x.person_id == y.person_id {
                    continue;
                }
                let comparison = engine
                    .compare(&engine.prepare(&x.known, x.disowned), &engine.prepare(&y.known, y.disowned));
                let two = x.known.own_number().zip(y.known.own_number()).is_some_and(|(m, n)| m != n);
                let kind = if two { "two_numbers" } else { "similar" };
                tasks.push(review::NewTask {
                    kind,
                    a,
                    b,
                    identities: [x, y].iter().flat_map(|r| of_person[&r.person_id].iter().copied()).collect(),
                    weight: comparison.weight,
                    probability: comparison.probability,
                    parts: review::Part::of(&comparison),
                    priority: review::priority(kind, comparison.probability),
                    county: self.county(InstitutionId::new(y.institution), &y.known.region),
                    institutions: vec![x.institution as i32, y.institution as i32],
                });
            }
            review::open(tx, &tasks, engine.model.version(), now).await?;
        }
        Ok(())
    }

    /// Decides about a proposal: it is applied by a job, or put away.
    pub fn decide_run<'a>(
        &'a self,
        reach: &'a Reach,
        run: i64,
        approve: bool,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let why = crate::operations::reason(why)?;
            self.db
                .personal(reach, now, async |tx, reach| {
                    let done = sqlx::query(
                        "update index_run set state = $2, decided_by = $3, reason = $4
                         where id = $1 and state = 'proposed' and kind = 'relink'",
                    )
                    .bind(run)
                    .bind(if approve { "applying" } else { "rejected" })
                    .bind(&reach.caller().name)
                    .bind(why)
                    .execute(&mut ***tx)
                    .await
                    .db("decide about a run")?;
                    if done.rows_affected() == 0 {
                        return Err(Refusal::conflict(
                            "index.run_decided",
                            "这次批量关联已经处理过，请刷新页面。",
                        )
                        .into());
                    }
                    if approve {
                        enqueue(tx, APPLY, &run.to_string(), &run, None).await?;
                    }
                    let word = if approve { "批准" } else { "驳回" };
                    Ok(((), entry(run, &format!("{word}：{why}"))))
                })
                .await
        })
    }

    /// Asks for an applied run to be taken back.
    pub fn undo_run<'a>(
        &'a self,
        reach: &'a Reach,
        run: i64,
        why: &'a str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let why = crate::operations::reason(why)?;
            self.db
                .personal(reach, now, async |tx, _| {
                    let done = sqlx::query(
                        "update index_run set state = 'undoing', reason = $2
                         where id = $1 and state in ('applied', 'applying') and kind = 'relink'",
                    )
                    .bind(run)
                    .bind(why)
                    .execute(&mut ***tx)
                    .await
                    .db("take a run back")?;
                    if done.rows_affected() == 0 {
                        return Err(Refusal::conflict(
                            "index.run_not_applied",
                            "这次批量关联没有执行过，不需要撤销。",
                        )
                        .into());
                    }
                    enqueue(tx, UNDO, &run.to_string(), &run, None).await?;
                    Ok(((), entry(run, &format!("撤销：{why}"))))
                })
                .await
        })
    }

    /// Applies an approved proposal, chunk by chunk; goes on where it ended.
    pub fn apply_run<'a>(&'a self, run: i64, now: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            loop {
                let mut retry = Retry::default();
                let more = loop {
                    match self.db.transaction(async |tx| self.apply_some(tx, run, now).await).await {
                        Err(error) if retry.again(&error).await => {}
                        out => break out?,
                    }
                };
                store::crash::point("person.run_applied");
                if !more {
                    return Ok(());
                }
            }
        })
    }

    async fn apply_some(&self, tx: &mut Tx<'_>, run: i64, now: DateTime<Utc>) -> Result<bool> {
        let state: Option<(String, String, String)> =
            sqlx::query_as("select state, decided_by, reason from index_run where id = $1 for update")
                .bind(run)
                .fetch_optional(&mut **tx)
                .await
                .db("read a run")?;
        let Some((state, actor, why)) = state else { return Ok(false) };
        if state != "applying" {
            return Ok(false);
        }
        let rows: Vec<(i64, i64, i64, Option<i64>, i64)> = sqlx::query_as(
            "select grp, identity_id, from_person, to_person, target from index_change
             where run_id = $1 and grp in (select distinct grp from index_change
                 where run_id = $1 and state = 'proposed' order by grp limit $2) and state = 'proposed'
             order by grp, identity_id",
        )
        .bind(run)
        .bind(AT_ONCE)
        .fetch_all(&mut **tx)
        .await
        .db("read a proposal")?;
        if rows.is_empty() {
            sqlx::query("update index_run set state = 'applied', finished_at = $2 where id = $1")
                .bind(run)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("finish a run")?;
            return Ok(false);
        }
        let moves: Vec<Move> = rows
            .into_iter()
            .map(|(grp, identity, from, to, target)| Move { grp, identity, from, to, target })
            .collect();
        let persons: BTreeSet<i64> = moves.iter().flat_map(|m| [Some(m.from), m.to]).flatten().collect();
        let before = load_with_waiting(tx, &persons).await?;
        let mut state = before.clone();
        let mut stale = BTreeSet::new();
        for group in moves.chunk_by(|a, b| a.grp == b.grp) {
            match self.group(tx, &state, group, now).await? {
                Some(next) => state = next,
                None => {
                    stale.insert(group[0].grp);
                }
            }
        }
        let change = before.difference(&state);
        if !change.is_empty() {
            let trust = |at| self.trust(at);
            write_run(tx, run, &before, &change, &actor, &why, &trust, now).await?;
        }
        let groups: BTreeSet<i64> = moves.iter().map(|m| m.grp).collect();
        sqlx::query(
            "update index_change set state = case when grp = any($3) then 'stale' else 'applied' end
             where run_id = $1 and grp = any($2)",
        )
        .bind(run)
        .bind(groups.iter().copied().collect::<Vec<_>>())
        .bind(stale.iter().copied().collect::<Vec<_>>())
        .execute(&mut **tx)
        .await
        .db("note what was applied")?;
        sqlx::query("update index_run set done = done + $2 where id = $1")
            .bind(run)
            .bind(moves.len() as i64)
            .execute(&mut **tx)
            .await
            .db("note how far a run is")?;
        Ok(true)
    }

    /// A group of moves on a state; `None` when it is not as it was proposed, or a rule is in the way by now.
    async fn group(
        &self,
        tx: &mut Tx<'_>,
        state: &State,
        moves: &[Move],
        now: DateTime<Utc>,
    ) -> Result<Option<State>> {
        if moves.iter().any(|m| state.records.get(&m.identity).is_none_or(|r| r.person != m.from)) {
            return Ok(None);
        }
        let mut targets: BTreeMap<i64, i64> = BTreeMap::new();
        for target in moves.iter().filter(|m| m.to.is_none()).map(|m| m.target) {
            if let Entry::Vacant(slot) = targets.entry(target) {
                slot.insert(recompute::fresh(tx, now).await?);
            }
        }
        let mut change = Change::default();
        for m in moves {
            let after = m.to.or_else(|| targets.get(&m.target).copied()).unwrap_or(m.from);
            change.links.insert(m.identity, crate::operations::rules::Step { before: m.from, after });
        }
        let mut next = state.clone();
        for person in targets.values() {
            next.persons.insert(*person, Holder::default());
        }
        Ok(next.apply(&change).is_ok().then_some(next))
    }

    /// Takes the operations of a run back, the last one first; what has changed since stays and is counted.
    pub fn undo_run_now<'a>(&'a self, run: i64, now: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let operations: Vec<i64> = sqlx::query_scalar(
                "select id from person_operation where run_id = $1 and kind = 'run' and undone_by is null order by id desc",
            )
            .bind(run)
            .fetch_all(self.db.pool())
            .await
            .db("read the operations of a run")?;
            let mut kept = 0;
            for operation in operations {
                let trust = |at| self.trust(at);
                let done = self
                    .db
                    .transaction(async |tx| {
                        take_back_run(tx, operation, run, "撤销批量关联", &trust, now).await
                    })
                    .await;
                match done {
                    Ok(()) => {}
                    Err(kernel::Error::Refused(_)) => kept += 1,
                    Err(error) => return Err(error),
                }
            }
            sqlx::query(
                "update index_change c set state = 'undone' from identity_record i
                 where c.run_id = $1 and c.state = 'applied' and i.id = c.identity_id and i.person_id = c.from_person",
            )
            .bind(run)
            .execute(self.db.pool())
            .await
            .db("note what was taken back")?;
            sqlx::query(
                "update index_run set state = 'undone', finished_at = $2,
                    statistics = statistics || jsonb_build_object('kept', $3::int) where id = $1",
            )
            .bind(run)
            .bind(now)
            .bind(kept)
            .execute(self.db.pool())
            .await
            .db("finish taking a run back")?;
            Ok(())
        })
    }
}

fn entry(run: i64, label: &str) -> AuditEntry {
    AuditEntry {
        act: "index.run",
        object_kind: "index_run",
        object_id: Some(run),
        object_label: label.to_owned(),
        outcome: "ok",
        ..AuditEntry::default()
    }
}

/// Which records should move: a cluster stays with the person of most of its records, each person with one cluster.
fn moves(found: &Everybody) -> Vec<Move> {
    let mut counts: HashMap<(u32, i64), u32> = HashMap::new();
    for (cluster, person) in found.linked.assignment.iter().zip(&found.persons) {
        *counts.entry((*cluster, *person)).or_default() += 1;
    }
    let mut clusters_of: HashMap<i64, u32> = HashMap::new();
    let mut persons_of: HashMap<u32, u32> = HashMap::new();
    for (cluster, person) in counts.keys() {
        *clusters_of.entry(*person).or_default() += 1;
        *persons_of.entry(*cluster).or_default() += 1;
    }
    // Only where something changes.
    let mut wishes: Vec<(std::cmp::Reverse<u32>, i64, u32)> = counts
        .iter()
        .filter(|((cluster, person), _)| clusters_of[person] > 1 || persons_of[cluster] > 1)
        .map(|((cluster, person), n)| (std::cmp::Reverse(*n), *person, *cluster))
        .collect();
    wishes.sort_unstable();
    let mut given: HashMap<u32, i64> = HashMap::new();
    let mut taken: BTreeSet<i64> = BTreeSet::new();
    let mut concerned: BTreeSet<u32> = BTreeSet::new();
    for (_, person, cluster) in wishes {
        concerned.insert(cluster);
        if !given.contains_key(&cluster) && taken.insert(person) {
            given.insert(cluster, person);
        }
    }
    let mut groups: HashMap<i64, i64> = HashMap::new();
    fn root(groups: &mut HashMap<i64, i64>, mut at: i64) -> i64 {
        while let Some(up) = groups.get(&at).copied()
            && up != at
        {
            at = up;
        }
        at
    }
    let mut out = Vec::new();
    for (at, cluster) in found.linked.assignment.iter().enumerate() {
        if !concerned.contains(cluster) {
            continue;
        }
        let (from, to) = (found.persons[at], given.get(cluster).copied());
        if to == Some(from) {
            continue;
        }
        // Clusters that get a new person are told apart from persons by their sign.
        let target = to.unwrap_or(-i64::from(*cluster) - 1);
        let (x, y) = (root(&mut groups, from), root(&mut groups, target));
        groups.insert(x.max(y), x.min(y));
        groups.entry(x.min(y)).or_insert(x.min(y));
        out.push(Move { grp: from, identity: found.ids[at], from, to, target });
    }
    for m in &mut out {
        m.grp = root(&mut groups, m.from);
    }
    out.sort_by_key(|m| (m.grp, m.identity));
    out
}

fn statistics(found: &Everybody, moves: &[Move]) -> serde_json::Value {
    let before: BTreeSet<i64> = found.persons.iter().copied().collect();
    let joined: BTreeSet<i64> = moves.iter().filter(|m| m.to.is_some()).map(|m| m.from).collect();
    let made: BTreeSet<i64> = moves.iter().filter(|m| m.to.is_none()).map(|m| m.target).collect();
    let groups: BTreeSet<i64> = moves.iter().map(|m| m.grp).collect();
    serde_json::json!({
        "records": found.ids.len(),
        "persons_before": before.len(),
        "persons_after": found.linked.report.persons,
        "moves": moves.len(),
        "groups": groups.len(),
        "joined": joined.len(),
        "split_off": made.len(),
        "doubts": found.linked.holds.len(),
        "passed_over": found.linked.report.passed_over,
        "found_by": found.linked.report.found_by,
    })
}
