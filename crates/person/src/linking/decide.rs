//! What a local batch comes to, pure: the records of a chunk and all records of the persons they may belong to are
//! clustered anew under the decisions of people, and the difference to how they are linked now is the plan.
//!
//! Because the same clustering decides here and over the whole registry, the order in which registrations arrive matters
//! as little as it can, and evidence that comes later opens earlier links again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use linkage::{Constraints, Edge, Forest, Reason, Record, cluster};

use crate::engine::Engine;
use crate::known::Traits;
use crate::operations::rules::{
    Change, Decision, Holder, Linked, Number, PersonId, RecordId, State, Verdict,
};
use crate::review::Part;

/// A record that takes part: one of the chunk, or one of a person nearby.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number; negative for one that is not written yet.
    pub id: RecordId,
    /// The person it is linked to now; `None` for a new one.
    pub person: Option<PersonId>,
    /// Prepared for comparison.
    pub prepared: Record,
    /// Its own citizen number.
    pub number: Option<Number>,
    /// Name, sex and birth date, for the rule of equal numbers.
    pub traits: (String, String, Option<NaiveDate>),
    /// Whether it was registered under the mother's name for the time being.
    pub newborn: bool,
    /// Whether it is of the chunk: new, or changed.
    pub moving: bool,
}

impl Node {
    fn traits(&self) -> Traits<'_> {
        Traits { name: &self.traits.0, sex: &self.traits.1, birth_date: self.traits.2 }
    }
}

/// The neighbourhood of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Neighbourhood {
    /// Records of the chunk first.
    pub nodes: Vec<Node>,
    /// Persons nearby.
    pub persons: BTreeMap<PersonId, Holder>,
    /// Decisions of people, the latest first.
    pub pairs: Vec<(RecordId, RecordId, Decision)>,
    /// For each record of the chunk (by position) the positions of those it is to be compared with.
    pub candidates: BTreeMap<usize, BTreeSet<usize>>,
}

/// A pair that people should look at.
#[derive(Debug)]
pub(crate) struct Doubt {
    pub kind: &'static str,
    pub a: RecordId,
    pub b: RecordId,
    pub weight: f64,
    pub probability: f64,
    pub parts: Vec<Part>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The state afterwards, of persons and records that are touched.
    pub next: State,
    /// The difference to what is there.
    pub change: Change,
    /// For each record of the chunk: the bits of the best evidence that links it, if it is linked to another record.
    pub evidence: HashMap<RecordId, f32>,
    /// Records of the chunk whose own number is held by another person.
    pub conflicts: BTreeSet<RecordId>,
    /// Persons that do not exist yet; negative numbers.
    pub made: BTreeSet<PersonId>,
    /// What people should look at.
    pub doubts: Vec<Doubt>,
}

/// Bits by which two records that are linked now stay linked when the evidence is a close call: frequencies move a
/// little every day, links should not.
const STAY: f32 = 1.5;
/// Bits of one citizen number in two records that agree in whatever both know, be it nothing.
const CERTAIN: f32 = 20.0;
/// Records of one person that are read.
pub(crate) const OF_PERSON: usize = 64;
/// Records of one neighbourhood that are compared each with each at most.
const MOST: usize = 400;

/// Decides.
pub(crate) fn decide(engine: &Engine, around: &Neighbourhood) -> Plan {
    let scorer = Scorer { engine, around };
    let near = scorer.near();
    let connected = connected(around, &near);
    let mut plan = Plan::default();
    let mut state = State { persons: around.persons.clone(), ..State::default() };
    for node in &around.nodes {
        if let Some(person) = node.person {
            state.records.insert(node.id, linked(node, person));
        }
    }
    let before = state.clone();
    let mut fresh = 0;
    for members in &connected {
        scorer.component(members, &near, &mut state, &mut fresh, &mut plan);
    }
    for node in around.nodes.iter().filter(|n| n.person.is_none()) {
        if let Entry::Vacant(slot) = state.records.entry(node.id) {
            fresh -= 1;
            slot.insert(linked(node, fresh));
            state.persons.insert(fresh, Holder::default());
        }
    }
    forward(&before, &mut state);
    // A record nearby whose number its person does not hold: somebody does who is not near. Holders are read, and claims
    // taken, only for the numbers of the chunk.
    let asked: BTreeSet<&Number> =
        around.nodes.iter().filter(|n| n.moving).filter_map(|n| n.number.as_ref()).collect();
    for node in around.nodes.iter().filter(|n| !n.moving) {
        let held = node.person.and_then(|p| around.persons.get(&p)).and_then(|p| p.number.as_ref());
        if let Some(number) = &node.number
            && held != Some(number)
            && !asked.contains(number)
        {
            state.held_elsewhere.insert(number.clone());
        }
    }
    let unseen = unseen(around);
    for (at, (person, number)) in unseen.iter().enumerate() {
        let number = Some(number.clone());
        let record = Linked { person: *person, number: number.clone(), any_number: number, disowned: false };
        state.records.insert(i64::MIN + at as i64, record);
    }
    state.settle();
    for at in 0..unseen.len() {
        state.records.remove(&(i64::MIN + at as i64));
    }
    for node in around.nodes.iter().filter(|n| n.moving && n.number.is_some()) {
        let person = state.records.get(&node.id).map(|r| r.person);
        if person.and_then(|p| state.persons.get(&p)).is_some_and(|p| p.number != node.number) {
            plan.conflicts.insert(node.id);
            scorer.conflict(node, &state, &mut plan);
        }
    }
    scorer.newborns(&state, &mut plan);
    scorer.two_numbers(&mut plan);
    plan.made = state.persons.keys().copied().filter(|p| *p < 0).collect();
    plan.change = before.difference(&state);
    plan.next = state;
    plan
}

/// Persons nearby whose number none of the records that were read bears: one that was not read does (only so many of a
/// person are). They keep it, unless it was a record of the chunk that has just dropped it.
fn unseen(around: &Neighbourhood) -> Vec<(PersonId, Number)> {
    let mut of: BTreeMap<PersonId, (usize, bool, bool)> = BTreeMap::new();
    for node in &around.nodes {
        if let Some(person) = node.person {
            let held = around.persons.get(&person).and_then(|p| p.number.as_ref());
            let entry = of.entry(person).or_default();
            entry.0 += 1;
            entry.1 |= node.moving;
            entry.2 |= held.is_some() && node.number.as_ref() == held;
        }
    }
    of.into_iter()
        .filter(|(_, (records, moving, borne))| !borne && (!moving || *records >= OF_PERSON))
        .filter_map(|(person, _)| Some((person, around.persons.get(&person)?.number.clone()?)))
        .collect()
}

fn linked(node: &Node, person: PersonId) -> Linked {
    Linked { person, number: node.number.clone(), any_number: node.number.clone(), disowned: false }
}

/// Says of persons that lost all records where most of them went.
fn forward(before: &State, state: &mut State) {
    let mut went: BTreeMap<PersonId, BTreeMap<PersonId, usize>> = BTreeMap::new();
    for (id, was) in &before.records {
        if let Some(now) = state.records.get(id)
            && now.person != was.person
        {
            *went.entry(was.person).or_default().entry(now.person).or_default() += 1;
        }
    }
    for (person, targets) in went {
        if state.records.values().any(|r| r.person == person) {
            continue;
        }
        let target = targets.into_iter().max_by_key(|(id, n)| (*n, -*id)).map(|(id, _)| id);
        state.persons.entry(person).or_default().merged_into = target;
    }
    let alive: BTreeSet<PersonId> = state.records.values().map(|r| r.person).collect();
    for (id, person) in &mut state.persons {
        if alive.contains(id) {
            person.merged_into = None;
        }
    }
}

struct Scorer<'a> {
    engine: &'a Engine,
    around: &'a Neighbourhood,
}

type Edges = BTreeMap<(usize, usize), f32>;

impl Scorer<'_> {
    fn score(&self, a: usize, b: usize) -> f32 {
        let (x, y) = (&self.around.nodes[a], &self.around.nodes[b]);
        let (mut score, other_name) = self.engine.score(&x.prepared, &y.prepared);
        if x.number.is_some() && x.number == y.number {
            if x.traits().agree(&y.traits()) {
                return score.max(CERTAIN);
            }
            // A borrowed card brings its holder's birth date along: only the name tells, and people have to ask.
            if other_name {
                score = score.min(self.engine.link - 0.1);
            }
        }
        // A veto is not softened.
        if score > -50.0 && x.person.is_some() && x.person == y.person && !x.moving && !y.moving {
            return score + STAY;
        }
        score
    }

    /// Pairs of the chunk and its candidates that may be one person.
    fn near(&self) -> Edges {
        let mut edges = Edges::new();
        for (a, others) in &self.around.candidates {
            for b in others {
                let key = (*a.min(b), *a.max(b));
                if a == b || edges.contains_key(&key) {
                    continue;
                }
                let score = self.score(key.0, key.1);
                if score >= self.engine.review {
                    edges.insert(key, score);
                }
            }
        }
        edges
    }

    fn component(
        &self,
        members: &[usize],
        near: &Edges,
        state: &mut State,
        fresh: &mut PersonId,
        plan: &mut Plan,
    ) {
        let nodes = &self.around.nodes;
        let local: HashMap<usize, u32> = members.iter().enumerate().map(|(l, n)| (*n, l as u32)).collect();
        let mut edges: Vec<Edge> = Vec::new();
        for (i, a) in members.iter().enumerate() {
            for (j, b) in members.iter().enumerate().skip(i + 1) {
                let known = near.get(&(*a.min(b), *a.max(b))).copied();
                let together = nodes[*a].person.is_some() && nodes[*a].person == nodes[*b].person;
                if known.is_none() && !together && members.len() > MOST {
                    continue;
                }
                let score = known.unwrap_or_else(|| self.score(*a, *b));
                edges.push(Edge { a: i as u32, b: j as u32, score });
            }
        }
        let by_id: HashMap<RecordId, u32> = members.iter().map(|n| (nodes[*n].id, local[n])).collect();
        let decided = |verdict: Verdict| -> Vec<(u32, u32)> {
            self.around
                .pairs
                .iter()
                .filter(|(_, _, d)| d.verdict == verdict)
                .filter_map(|(a, b, _)| Some((*by_id.get(a)?, *by_id.get(b)?)))
                .collect()
        };
        let (apart, together) = (decided(Verdict::Apart), decided(Verdict::Together));
        let mut numbers: BTreeMap<&Number, u64> = BTreeMap::new();
        let exclusive: Vec<u64> = members
            .iter()
            .map(|n| {
                nodes[*n].number.as_ref().map_or(0, |number| {
                    let next = numbers.len() as u64 + 1;
                    *numbers.entry(number).or_insert(next)
                })
            })
            .collect();
        // Ties go by content, then by who was there first.
        let order: Vec<u64> = members.iter().map(|n| self.engine.order(&nodes[*n].prepared)).collect();
        let constraints = Constraints {
            apart: &apart,
            together: &together,
            exclusive: &exclusive,
            order: &order,
            link: self.engine.link,
            review: self.engine.review,
            prior: self.engine.prior,
        };
        let between = |a: u32, b: u32| self.score(members[a as usize], members[b as usize]);
        let result = cluster(members.len(), &edges, &constraints, &between);
        self.place(members, &result.assignment, state, fresh);
        for edge in edges.iter().filter(|e| e.score >= self.engine.link) {
            let (a, b) = (edge.a as usize, edge.b as usize);
            if result.assignment[a] != result.assignment[b] {
                continue;
            }
            for node in [a, b].map(|l| &nodes[members[l]]).into_iter().filter(|n| n.moving) {
                let best = plan.evidence.entry(node.id).or_insert(edge.score);
                *best = best.max(edge.score);
            }
        }
        for hold in &result.holds {
            let (a, b) = (members[hold.a as usize], members[hold.b as usize]);
            let kind = if hold.reason == Reason::Exclusive { "two_numbers" } else { "similar" };
            plan.doubts.push(self.doubt(kind, a, b));
        }
    }

    /// Two valid numbers with everything else of one person: a number mistyped or borrowed, or namesakes. They are never
    /// linked; people should know.
    fn two_numbers(&self, plan: &mut Plan) {
        for (a, others) in &self.around.candidates {
            let x = &self.around.nodes[*a];
            for y in others.iter().map(|b| &self.around.nodes[*b]) {
                let two = x.number.is_some() && y.number.is_some() && x.number != y.number;
                let pair = (x.id.min(y.id), x.id.max(y.id));
                if !two || self.around.pairs.iter().any(|(p, q, _)| (*p, *q) == pair) {
                    continue;
                }
                let doubt = self.doubt_of("two_numbers", x, y);
                let rest: f64 =
                    doubt.parts.iter().filter(|p| p.field != "citizen_id").map(|p| p.weight).sum();
                if rest as f32 + self.engine.prior >= self.engine.link {
                    plan.doubts.push(doubt);
                }
            }
        }
    }

    /// A child registered under its own name and one registered under the mother's, of one birth date, sex and contact: no
    /// comparison of names can tell, people have to look.
    fn newborns(&self, state: &State, plan: &mut Plan) {
        for (a, others) in &self.around.candidates {
            let x = &self.around.nodes[*a];
            for y in others.iter().map(|b| &self.around.nodes[*b]).filter(|y| y.newborn != x.newborn) {
                let born = x.traits.2.is_some() && x.traits.2 == y.traits.2 && x.traits.1 == y.traits.1;
                let person = |id| state.records.get(&id).map(|r| r.person);
                let pair = (x.id.min(y.id), x.id.max(y.id));
                let decided = self.around.pairs.iter().any(|(p, q, _)| (*p, *q) == pair);
                if born && !decided && person(x.id) != person(y.id) {
                    plan.doubts.insert(0, self.doubt_of("newborn", x, y));
                }
            }
        }
    }

    /// Somebody else holds the record's number: people should look, unless they have.
    fn conflict(&self, node: &Node, state: &State, plan: &mut Plan) {
        let holder = state.persons.iter().find(|(_, p)| p.number == node.number).map(|(id, _)| *id);
        let at = |id: RecordId| self.around.nodes.iter().position(|n| n.id == id);
        let other = state
            .records
            .iter()
            .find(|(_, r)| Some(r.person) == holder && r.number == node.number)
            .and_then(|(id, _)| at(*id));
        if let (Some(a), Some(b)) = (at(node.id), other) {
            let pair = (node.id.min(self.around.nodes[b].id), node.id.max(self.around.nodes[b].id));
            if !self.around.pairs.iter().any(|(x, y, _)| (*x, *y) == pair) {
                plan.doubts.insert(0, self.doubt("number", a, b));
            }
        }
    }

    fn doubt(&self, kind: &'static str, a: usize, b: usize) -> Doubt {
        self.doubt_of(kind, &self.around.nodes[a], &self.around.nodes[b])
    }

    fn doubt_of(&self, kind: &'static str, x: &Node, y: &Node) -> Doubt {
        let comparison = self.engine.compare(&x.prepared, &y.prepared);
        Doubt {
            kind,
            a: x.id,
            b: y.id,
            weight: comparison.weight,
            probability: comparison.probability,
            parts: Part::of(&comparison),
        }
    }

    /// Gives each cluster a person: where most of its records are already, who holds its number first.
    fn place(&self, members: &[usize], assignment: &[u32], state: &mut State, fresh: &mut PersonId) {
        let nodes = &self.around.nodes;
        let mut clusters: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (local, cluster) in assignment.iter().enumerate() {
            clusters.entry(*cluster).or_default().push(members[local]);
        }
        let mut wishes: Vec<(bool, usize, PersonId, u32)> = Vec::new();
        for (cluster, of) in &clusters {
            let mut by_person: BTreeMap<PersonId, usize> = BTreeMap::new();
            for person in of.iter().filter_map(|n| nodes[*n].person) {
                *by_person.entry(person).or_default() += 1;
            }
            for (person, count) in by_person {
                let held = self.around.persons.get(&person).and_then(|p| p.number.as_ref());
                let holds = held.is_some() && of.iter().any(|n| nodes[*n].number.as_ref() == held);
                wishes.push((holds, count, person, *cluster));
            }
        }
        wishes.sort_by_key(|(holds, count, person, cluster)| {
            (std::cmp::Reverse(*holds), std::cmp::Reverse(*count), *person, *cluster)
        });
        let mut given: BTreeMap<u32, PersonId> = BTreeMap::new();
        let mut taken: BTreeSet<PersonId> = BTreeSet::new();
        for (_, _, person, cluster) in wishes {
            if !given.contains_key(&cluster) && taken.insert(person) {
                given.insert(cluster, person);
            }
        }
        for (cluster, of) in clusters {
            let person = given.get(&cluster).copied().unwrap_or_else(|| {
                *fresh -= 1;
                *fresh
            });
            state.persons.entry(person).or_default();
            for node in of {
                state.records.insert(nodes[node].id, linked(&nodes[node], person));
            }
        }
    }
}

/// Components of what must be looked at together: records of the chunk, the persons they are linked to now, and the
/// persons of those they resemble, whole.
fn connected(around: &Neighbourhood, near: &Edges) -> Vec<Vec<usize>> {
    let mut forest = Forest::new(around.nodes.len());
    let mut join = |a: usize, b: usize| forest.join(a as u32, b as u32);
    let mut first_of: BTreeMap<PersonId, usize> = BTreeMap::new();
    for (at, node) in around.nodes.iter().enumerate() {
        if let Some(person) = node.person {
            let first = *first_of.entry(person).or_insert(at);
            join(first, at);
        }
    }
    for (a, b) in near.keys() {
        join(*a, *b);
    }
    let by_id: HashMap<RecordId, usize> = around.nodes.iter().enumerate().map(|(at, n)| (n.id, at)).collect();
    for (a, b, decision) in &around.pairs {
        if decision.verdict == Verdict::Together
            && let (Some(a), Some(b)) = (by_id.get(a), by_id.get(b))
        {
            join(*a, *b);
        }
    }
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for at in 0..around.nodes.len() {
        groups.entry(forest.root(at as u32)).or_default().push(at);
    }
    // Persons nearby that nothing of the chunk resembles stay as they are.
    groups.into_values().filter(|g| g.len() > 1 && g.iter().any(|at| around.nodes[*at].moving)).collect()
}
