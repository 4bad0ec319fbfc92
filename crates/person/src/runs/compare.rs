//! Models compared by what each would decide: two or more link the same registrations with the engine of re-evaluation,
//! in memory; kept are figures of each, how many pairs only some of them would link, and a random part of those pairs with
//! the evidence of each. Nothing else is changed. A run that is repeated begins anew.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::error::Doing;
use kernel::{Error, Refusal, Result};
use linkage::{Frequencies, Hold};
use serde::{Deserialize, Serialize};
use store::jobs::enqueue;
use store::{DbDoing, Tx};

use super::everyone::{Filled, Progress, decisions, everyone, how_many, watched};
use super::models::SHIPPED;
use super::sample::{Blocks, PASSES, chosen, draw, one_in};
use super::{COMPARE, begin, scramble};
use crate::MasterIndex;
use crate::engine::{self, Engine};
use crate::review::Part;

/// Models that one run compares at most.
pub const MOST: usize = 4;
/// Pairs that are kept for each combination of models.
const KEPT: usize = 1_000;
/// Records of one cluster that are looked at for pairs to keep.
const LOOKED_AT: usize = 60;
/// Pairs whose evidence is made at once.
const AT_ONCE: usize = 500;

/// What a comparison was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Numbers of models, in the order of the bits of a difference.
    pub models: Vec<i64>,
    /// One registration in so many; 0: as the size of the registry wants it.
    #[serde(default)]
    pub one_in: u64,
}

/// What a comparison came to; of a sample, estimates for the whole registry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compared {
    /// Registrations of the registry.
    pub records: u64,
    /// Registrations that were linked: all, or the sample with its neighbours.
    pub linked: u64,
    /// One registration in so many was chosen; 1: every one.
    pub one_in: u64,
    /// Persons there are.
    pub persons: u64,
    /// Pairs of registrations that are of one person.
    pub pairs: u64,
    /// By model.
    pub models: Vec<Would>,
    /// Pairs that some models would link and others not: by the bits of those that would.
    pub differing: BTreeMap<u32, u64>,
}

/// What one model would decide.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Would {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub version: String,
    /// Persons.
    pub persons: u64,
    /// Pairs of registrations linked, directly or through others.
    pub pairs: u64,
    /// Registrations of the largest person that was met.
    pub largest: u64,
    /// Pairs for people to look at.
    pub reviews: u64,
    /// Present persons that would be joined with others.
    pub joined: u64,
    /// Present persons that would be split.
    pub split: u64,
    /// Pairs that would be linked and are not.
    pub new_pairs: u64,
    /// Pairs that are linked and would not be.
    pub lost_pairs: u64,
    /// Linking the registrations that were read, without reading them.
    pub seconds: f64,
}

/// What a model says about a pair.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Says {
    /// Bits.
    pub weight: f64,
    /// Probability of one person.
    pub probability: f64,
    /// By field.
    pub parts: Vec<Part>,
}

/// The result of one model on the registrations.
struct Found {
    assignment: Vec<u32>,
    holds: Vec<Hold>,
    seconds: f64,
}

/// The results of the models that prepare registrations alike.
struct Group {
    ids: Vec<i64>,
    persons: Vec<i64>,
    results: Vec<(usize, Found)>,
    frequencies: Frequencies,
}

/// A pair that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    order: u64,
    a: u32,
    b: u32,
}

impl MasterIndex {
    /// Asks for a comparison by a job; its run.
    pub async fn request_comparison(&self, asked: &Asked, actor: &str, now: DateTime<Utc>) -> Result<i64> {
        self.db
            .transaction(async |tx| {
                let run = ask(tx, asked, actor, now).await?;
                enqueue(tx, COMPARE, &run.to_string(), &run, None).await?;
                Ok(run)
            })
            .await
    }

    /// Begins a comparison whose work the caller does ([`MasterIndex::compare_models`]).
    pub async fn start_comparison(&self, asked: &Asked, actor: &str, now: DateTime<Utc>) -> Result<i64> {
        self.db.transaction(async |tx| ask(tx, asked, actor, now).await).await
    }

    /// Compares the models of a run and writes what came of it.
    pub fn compare_models<'a>(&'a self, run: i64, now: DateTime<Utc>) -> BoxFuture<'a, Result<Compared>> {
        Box::pin(async move {
            let progress = Progress::default();
            let work = self.compared(run, now, &progress);
            watched(&self.db, run, &progress, work).await
        })
    }

    async fn compared(&self, run: i64, now: DateTime<Utc>, progress: &Progress) -> Result<Compared> {
        let asked: sqlx::types::Json<Asked> =
            sqlx::query_scalar("select options from index_run where id = $1 and kind = 'compare'")
                .bind(run)
                .fetch_one(self.db.pool())
                .await
                .db("read what a comparison was asked for")?;
        let (mut engines, mut ways): (Vec<Arc<Engine>>, Vec<(String, Vec<usize>)>) = Default::default();
        let mut versions = Vec::new();
        for (at, model) in asked.models.iter().enumerate() {
            let (engine, (version, definition)) = self
                .db
                .transaction(async |tx| Ok((engine::read(tx, *model).await?, definition(tx, *model).await?)))
                .await?;
            engines.push(Arc::new(engine));
            versions.push(version);
            match ways.iter_mut().find(|(d, _)| *d == definition) {
                Some((_, members)) => members.push(at),
                None => ways.push((definition, vec![at])),
            }
        }
        let records = how_many(&self.db).await?;
        let limit = self.options.as_ref().map_or(2_000_000, |o| o.whole("person_index.compare_records"));
        let one_in = if asked.one_in > 0 { asked.one_in } else { one_in(records, limit.unsigned_abs()) };
        let reads = ways.len() as u64 * if one_in > 1 { PASSES + 1 } else { 1 };
        progress.expect(records * reads + records.div_ceil(one_in) * engines.len() as u64);
        let heads: Vec<Arc<Engine>> = ways.iter().map(|(_, members)| engines[members[0]].clone()).collect();
        let sample = match one_in {
            1 => None,
            _ => Some(draw(&self.db, &heads, one_in, progress).await?),
        };
        let decided = Arc::new(decisions(&self.db).await?);
        let wanted = sample.as_ref().map(|s| Arc::new(s.ids.clone()));
        let mut groups = Vec::new();
        for (at, (_, members)) in ways.iter().enumerate() {
            let blocks = sample.as_ref().map(|s| s.blocks[at].clone());
            let members = members.iter().map(|m| (*m, engines[*m].clone())).collect();
            groups.push(self.linked(&heads[at], members, &decided, wanted.clone(), blocks, progress).await?);
        }
        let models = engines.len();
        let counted = tokio::task::spawn_blocking(move || {
            let met = Met::of(&groups, models, one_in);
            let (compared, kept) = (met.compared(), met.kept());
            (groups, met, compared, kept)
        });
        let (groups, met, mut compared, kept) =
            counted.await.map_err(|e| Error::fault("count what models would decide", e))?;
        compared.records = records;
        for (would, (engine, version)) in compared.models.iter_mut().zip(engines.iter().zip(versions)) {
            would.id = engine.id;
            would.version = version;
        }
        self.write_comparison(run, &compared, &met, &kept, &engines, &groups, now).await?;
        Ok(compared)
    }

    /// Reads the registrations once and links them by each of these models.
    async fn linked(
        &self,
        head: &Arc<Engine>,
        members: Vec<(usize, Arc<Engine>)>,
        decided: &Arc<Vec<(i64, i64, bool)>>,
        wanted: Option<Arc<HashSet<i64>>>,
        blocks: Option<Arc<Blocks>>,
        progress: &Progress,
    ) -> Result<Group> {
        let (own, decided, shared) = (head.clone(), decided.clone(), progress.clone());
        everyone(&self.db, head, progress, move |receiver| {
            let mut filled = Filled::new(&own.model);
            while let Ok(records) = receiver.recv() {
                for sent in records {
                    if wanted.as_ref().is_some_and(|w| !w.contains(&sent.id)) {
                        continue;
                    }
                    let keys = own.model.keys(&sent.prepared);
                    let keys = match &blocks {
                        Some(blocks) => blocks.usable(&own.model, keys),
                        None => keys,
                    };
                    filled.push(sent, &keys);
                }
            }
            let frequencies = match &blocks {
                Some(blocks) => {
                    filled.batch.part_of(blocks.frequencies.clone());
                    blocks.frequencies.clone()
                }
                None => {
                    let mut frequencies = filled.batch.frequencies();
                    frequencies.shrink(2);
                    frequencies
                }
            };
            let results = members
                .into_iter()
                .map(|(at, engine)| {
                    let began = Instant::now();
                    let linked = filled.link(&engine.model, &decided, &shared);
                    let seconds = began.elapsed().as_secs_f64();
                    (at, Found { assignment: linked.assignment, holds: linked.holds, seconds })
                })
                .collect();
            Group { ids: filled.ids, persons: filled.persons, results, frequencies }
        })
        .await
    }

    #[allow(clippy::too_many_arguments)]
    async fn write_comparison(
        &self,
        run: i64,
        compared: &Compared,
        met: &Met,
        kept: &[(u32, Pair)],
        engines: &[Arc<Engine>],
        groups: &[Group],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let frequencies: Vec<&Frequencies> = (0..engines.len())
            .filter_map(|m| groups.iter().find(|g| g.results.iter().any(|(at, _)| *at == m)))
            .map(|g| &g.frequencies)
            .collect();
        let statistics = serde_json::to_value(compared).doing("write figures as JSON")?;
        self.db
            .transaction(async |tx| {
                sqlx::query("delete from index_difference where run_id = $1")
                    .bind(run)
                    .execute(&mut **tx)
                    .await
                    .db("write a comparison")?;
                for (at, chunk) in kept.chunks(AT_ONCE).enumerate() {
                    let known = of_ids(tx, &met.records(chunk)).await?;
                    let mut rows: Vec<(i32, i64, i64, i32, bool, serde_json::Value)> = Vec::new();
                    for (n, (models, pair)) in chunk.iter().enumerate() {
                        let (x, y) = (met.ids[pair.a as usize], met.ids[pair.b as usize]);
                        let (Some(one), Some(other)) = (known.get(&x), known.get(&y)) else { continue };
                        let says: Vec<Says> = engines
                            .iter()
                            .zip(&frequencies)
                            .map(|(engine, frequencies)| {
                                let prepare = |r: &crate::gather::Record| engine.prepare(&r.known, r.disowned);
                                let c = engine.model.compare(&prepare(one), &prepare(other), frequencies);
                                Says { weight: c.weight, probability: c.probability, parts: Part::of(&c) }
                            })
                            .collect();
                        let says = serde_json::to_value(says).doing("write evidence as JSON")?;
                        let no = i32::try_from(at * AT_ONCE + n + 1).unwrap_or(i32::MAX);
                        rows.push((no, x.min(y), x.max(y), *models as i32, met.joined(*pair), says));
                    }
                    sqlx::query(
                        "insert into index_difference (run_id, no, a, b, models, joined, evidence)
                         select $1, t.* from unnest($2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::bool[],
                            $7::jsonb[]) as t",
                    )
                    .bind(run)
                    .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
                    .bind(rows.iter().map(|r| r.1).collect::<Vec<_>>())
                    .bind(rows.iter().map(|r| r.2).collect::<Vec<_>>())
                    .bind(rows.iter().map(|r| r.3).collect::<Vec<_>>())
                    .bind(rows.iter().map(|r| r.4).collect::<Vec<_>>())
                    .bind(rows.iter().map(|r| r.5.clone()).collect::<Vec<_>>())
                    .execute(&mut **tx)
                    .await
                    .db("write a comparison")?;
                }
                let names: Vec<&str> = compared.models.iter().map(|m| m.version.as_str()).collect();
                sqlx::query(
                    "update index_run set state = 'done', model_version = $2, statistics = $3, total = $4, done = $4,
                        finished_at = $5 where id = $1",
                )
                .bind(run)
                .bind(names.join(" / "))
                .bind(&statistics)
                .bind(compared.linked as i64)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("finish a comparison")?;
                Ok(())
            })
            .await
    }
}

/// Writes the run of a comparison, if it can be made.
async fn ask(tx: &mut Tx<'_>, asked: &Asked, actor: &str, now: DateTime<Utc>) -> Result<i64> {
    let mut models = asked.models.clone();
    models.sort_unstable();
    models.dedup();
    if models.len() < 2 || models.len() < asked.models.len() || models.len() > MOST {
        let text = format!("请选择 2 至 {MOST} 个不同的比对模型。");
        return Err(Refusal::invalid("index.compare_models", text).into());
    }
    for model in &models {
        let there: bool =
            sqlx::query_scalar("select $1 = 0 or exists (select from person_model where id = $1)")
                .bind(model)
                .fetch_one(&mut **tx)
                .await
                .db("look for a model")?;
        if !there {
            return Err(Refusal::not_found("index.no_model", "没有这个比对模型。").into());
        }
        engine::read(tx, *model).await.map_err(|error| {
            tracing::warn!(model, %error, "a comparison model cannot be read");
            Refusal::invalid("index.broken_model", "其中一个比对模型无法读取，不能比较。请重新训练一个模型。")
        })?;
    }
    let run = begin(tx, "compare", actor, now).await?;
    let options = serde_json::to_value(asked).doing("write what is asked as JSON")?;
    sqlx::query("update index_run set options = $2 where id = $1")
        .bind(run)
        .bind(options)
        .execute(&mut **tx)
        .await
        .db("begin a comparison")?;
    Ok(run)
}

/// The name of a model, and what it compares and how, as text: models with the same prepare registrations alike.
async fn definition(tx: &mut Tx<'_>, model: i64) -> Result<(String, String)> {
    if model == SHIPPED {
        return Ok((super::shipped_version()?, super::models::DEFINITION.to_owned()));
    }
    sqlx::query_as("select version, definition from person_model where id = $1")
        .bind(model)
        .fetch_one(&mut **tx)
        .await
        .db("read the definition of a model")
}

/// Records by number.
// Also what the sweep of keys reads.
pub(super) async fn of_ids(tx: &mut Tx<'_>, ids: &[i64]) -> Result<HashMap<i64, crate::gather::Record>> {
    let rows = sqlx::query(
        "select i.id, i.local_no, i.person_id, i.institution_id, i.number_disowned, i.special, i.link_rule, false as settled,
            0::bigint as written, i.name, i.sex, i.birth_date, i.credential_kind, i.credential_no, i.citizen_id, i.card_no, i.phone,
            i.address, i.region, i.blood_abo, i.blood_rh, i.ethnicity, i.contact_name, i.contact_relation,
            i.contact_phone, i.died_on, i.registered
         from identity_record i where i.id = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
    .db("read the records of differing pairs")?;
    let opener = tx.keyring().opener();
    rows.iter()
        .map(|row| {
            let record = crate::gather::record(row).db("read an identity record")?;
            Ok((record.id, crate::gather::opened(&opener, record)?))
        })
        .collect()
}

/// All partitions over the registrations that every way of preparing has met.
struct Met {
    ids: Vec<i64>,
    chosen: Vec<bool>,
    one_in: u64,
    /// By model: the cluster of each registration, and the figures that only the clustering knows. The present persons
    /// come last.
    labels: Vec<Vec<u32>>,
    holds: Vec<u64>,
    seconds: Vec<f64>,
}

/// Pairs among so many.
const fn pairs(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

impl Met {
    fn of(groups: &[Group], models: usize, one_in: u64) -> Self {
        // A registration that came in between is left out.
        let places: Vec<Vec<usize>> = groups[0]
            .ids
            .iter()
            .enumerate()
            .filter_map(|(at, id)| {
                let others = groups[1..].iter().map(|g| g.ids.binary_search(id).ok());
                std::iter::once(Some(at)).chain(others).collect()
            })
            .collect();
        let ids: Vec<i64> = places.iter().map(|p| groups[0].ids[p[0]]).collect();
        let chosen: Vec<bool> = ids.iter().map(|id| chosen(*id, one_in)).collect();
        let mut labels = vec![Vec::new(); models + 1];
        let (mut holds, mut seconds) = (vec![0; models], vec![0.0; models]);
        for (g, group) in groups.iter().enumerate() {
            for (model, result) in &group.results {
                labels[*model] = places.iter().map(|p| result.assignment[p[g]]).collect();
                let touches =
                    |at: u32| group.ids.get(at as usize).is_some_and(|id| self::chosen(*id, one_in));
                holds[*model] = result.holds.iter().filter(|h| touches(h.a) || touches(h.b)).count() as u64;
                seconds[*model] = result.seconds;
            }
        }
        let mut first: HashMap<i64, u32> = HashMap::new();
        labels[models] = places
            .iter()
            .enumerate()
            .map(|(at, p)| *first.entry(groups[0].persons[p[0]]).or_insert(at as u32))
            .collect();
        Self { ids, chosen, one_in, labels, holds, seconds }
    }

    const fn models(&self) -> usize {
        self.labels.len() - 1
    }

    /// How many pairs of the registry each pair with a chosen side stands for.
    fn stands_for(&self) -> f64 {
        let share = 1.0 / self.one_in.max(1) as f64;
        1.0 / (1.0 - (1.0 - share) * (1.0 - share))
    }

    fn whole(&self, n: u64) -> u64 {
        (n as f64 * self.stands_for()).round() as u64
    }

    /// Pairs with a chosen side that are together in all partitions of the set.
    fn together(&self, set: u32) -> u64 {
        let mut cells: HashMap<[u32; MOST + 1], (u64, u64)> = HashMap::new();
        for at in 0..self.ids.len() {
            let mut key = [0; MOST + 1];
            for (m, labels) in self.labels.iter().enumerate().filter(|(m, _)| set >> m & 1 == 1) {
                key[m] = labels[at];
            }
            let cell = cells.entry(key).or_default();
            cell.0 += 1;
            cell.1 += u64::from(!self.chosen[at]);
        }
        cells.values().map(|(all, passed)| pairs(*all) - pairs(*passed)).sum()
    }

    /// Persons, each counted through the chosen of its registrations; `which` says which registrations' persons count.
    fn persons(&self, labels: &[u32], which: impl Fn(u32) -> bool) -> u64 {
        let mut sizes: HashMap<u32, u32> = HashMap::new();
        for label in labels {
            *sizes.entry(*label).or_default() += 1;
        }
        let share = |at: usize| 1.0 / f64::from(sizes[&labels[at]]);
        let counted = (0..labels.len()).filter(|at| self.chosen[*at] && which(labels[*at]));
        (counted.map(share).sum::<f64>() * self.one_in as f64).round() as u64
    }

    fn compared(&self) -> Compared {
        let (models, now) = (self.models(), &self.labels[self.models()]);
        let present = 1 << models;
        let every: Vec<u64> =
            (0..1_u32 << models).map(|set| if set == 0 { 0 } else { self.together(set) }).collect();
        let linked_now = self.together(present);
        let mut out = Compared {
            linked: self.ids.len() as u64,
            one_in: self.one_in,
            persons: self.persons(now, |_| true),
            pairs: self.whole(linked_now),
            ..Compared::default()
        };
        for m in 0..models {
            let labels = &self.labels[m];
            // Which clusters have several of the present persons, which persons lie in several clusters.
            let (mut of_cluster, mut of_person): (HashMap<u32, (u32, bool)>, HashMap<u32, (u32, bool)>) =
                Default::default();
            for (cluster, person) in labels.iter().zip(now) {
                let first = of_cluster.entry(*cluster).or_insert((*person, false));
                first.1 |= first.0 != *person;
                let first = of_person.entry(*person).or_insert((*cluster, false));
                first.1 |= first.0 != *cluster;
            }
            let mut joined: HashSet<u32> = HashSet::new();
            let mut sizes: HashMap<u32, u64> = HashMap::new();
            for (cluster, person) in labels.iter().zip(now) {
                *sizes.entry(*cluster).or_default() += 1;
                if of_cluster[cluster].1 {
                    joined.insert(*person);
                }
            }
            let both = self.together(1 << m | present);
            out.models.push(Would {
                persons: self.persons(labels, |_| true),
                pairs: self.whole(every[1 << m]),
                largest: sizes.values().copied().max().unwrap_or(0),
                reviews: self.whole(self.holds[m]),
                joined: self.persons(now, |p| joined.contains(&p)),
                split: self.persons(now, |p| of_person[&p].1),
                new_pairs: self.whole(every[1 << m] - both),
                lost_pairs: self.whole(linked_now - both),
                seconds: self.seconds[m],
                ..Would::default()
            });
        }
        // Linked by these models and no others, from what is linked by these at least.
        let all = (1_u32 << models) - 1;
        for set in 1..all {
            let mut count = 0_i64;
            for wider in (set..=all).filter(|w| w & set == set) {
                let sign = if (wider ^ set).count_ones().is_multiple_of(2) { 1 } else { -1 };
                count += sign * every[wider as usize] as i64;
            }
            out.differing.insert(set, self.whole(count.unsigned_abs()));
        }
        out
    }

    fn joined(&self, pair: Pair) -> bool {
        let now = &self.labels[self.models()];
        now[pair.a as usize] == now[pair.b as usize]
    }

    fn records(&self, kept: &[(u32, Pair)]) -> Vec<i64> {
        kept.iter().flat_map(|(_, p)| [self.ids[p.a as usize], self.ids[p.b as usize]]).collect()
    }

    /// A random part of the differing pairs, by the models that link them.
    fn kept(&self) -> Vec<(u32, Pair)> {
        let models = self.models();
        let all = (1_u32 << models) - 1;
        let mut kept: BTreeMap<u32, BinaryHeap<Pair>> = BTreeMap::new();
        for (model, labels) in self.labels[..models].iter().enumerate() {
            let mut clusters: HashMap<u32, Vec<u32>> = HashMap::new();
            for (at, label) in labels.iter().enumerate() {
                clusters.entry(*label).or_default().push(at as u32);
            }
            for members in clusters.into_values().filter(|m| m.len() > 1) {
                let members = &members[..members.len().min(LOOKED_AT)];
                for (i, a) in members.iter().enumerate() {
                    for b in &members[i + 1..] {
                        let set = (0..models).fold(0, |set, m| {
                            let labels = &self.labels[m];
                            set | u32::from(labels[*a as usize] == labels[*b as usize]) << m
                        });
                        // Each pair is met once: in the first of the models that link it.
                        if set == all
                            || set.trailing_zeros() as usize != model
                            || !(self.chosen[*a as usize] || self.chosen[*b as usize])
                        {
                            continue;
                        }
                        let (x, y) = (self.ids[*a as usize] as u64, self.ids[*b as usize] as u64);
                        let heap = kept.entry(set).or_default();
                        heap.push(Pair { order: scramble(x ^ scramble(y)), a: *a, b: *b });
                        if heap.len() > KEPT {
                            heap.pop();
                        }
                    }
                }
            }
        }
        let mut out: Vec<(u32, Pair)> =
            kept.into_iter().flat_map(|(set, heap)| heap.into_iter().map(move |p| (set, p))).collect();
        // Mixed, so that whoever reads the first pages has read a random part.
        out.sort_unstable_by_key(|(_, pair)| *pair);
        out
    }
}
