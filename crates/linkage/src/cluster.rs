//! Which records are one person: agglomeration under constraints, the same for a neighbourhood and for a province.
//!
//! Clusters are merged in the order of their evidence. Two clusters are merged when their best pair is good enough
//! after what the other pairs between them say against it has been taken off: so one shared card or one mistyped
//! record cannot chain two people together. A record that could belong to either of two clusters which exclude each
//! other is held for review unless one of them is better by far.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// Evidence that two records are one person, in bits with the prior (log2 of the odds); see
/// [`crate::Model::edge_score`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// One record.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// log2 of the odds.
    pub score: f32,
}

/// What binds the clustering beside the evidence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Constraints<'a> {
    /// Pairs that people have decided to be two persons.
    pub apart: &'a [(u32, u32)],
    /// Pairs that people have decided to be one person; they hold against any evidence but exclusive values. Where
    /// several of them would join two records that are decided to be two persons, the earlier in the list hold.
    pub together: &'a [(u32, u32)],
    /// By record: its exclusive value (valid citizen number) or 0; two different ones never in one cluster. May be
    /// shorter than the records.
    pub exclusive: &'a [u64],
    /// By record: a number made of its content, for ties; makes the result independent of the order of records. May
    /// be shorter than the records.
    pub order: &'a [u64],
    /// Bits from which clusters are merged.
    pub link: f32,
    /// Bits from which what was not merged is reported.
    pub review: f32,
    /// The prior that all scores contain (negative bits).
    pub prior: f32,
}

/// Why a good edge was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Between the two thresholds.
    Unsure,
    /// The record fits two persons who exclude each other.
    Ambiguous,
    /// Other records of the two persons contradict.
    Contradicted,
    /// Two exclusive values: good evidence for one person with two valid numbers.
    Exclusive,
}

/// An edge between two clusters of the result that people should look at: the best between the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hold {
    /// One record.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// log2 of the odds.
    pub score: f32,
    /// Why it was not linked.
    pub reason: Reason,
}

/// The result of [`cluster`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clustering {
    /// By record: the smallest record of its cluster.
    pub assignment: Vec<u32>,
    /// What was held, best first.
    pub holds: Vec<Hold>,
}

/// Which of a number of things belong together: disjoint sets that are joined pair by pair.
#[derive(Debug, Clone)]
pub struct Forest(Vec<u32>);

impl Forest {
    /// So many things, each alone.
    pub fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    /// The smallest of the things that belong to this one. Panics when there are fewer.
    pub fn root(&mut self, mut at: u32) -> u32 {
        while self.0[at as usize] != at {
            let up = self.0[self.0[at as usize] as usize];
            self.0[at as usize] = up;
            at = up;
        }
        at
    }

    /// Joins the sets of two things.
    pub fn join(&mut self, a: u32, b: u32) {
        let (x, y) = (self.root(a), self.root(b));
        let (low, high) = (x.min(y), x.max(y));
        self.0[high as usize] = low;
    }
}

/// Clusters `count` records. `edges` are the scored pairs (vetoed ones with a very small score, or left out);
/// `between` scores a pair that has no edge when a merge depends on it. An edge whose ends are out of range is passed
/// over.
pub fn cluster(
    count: usize,
    edges: &[Edge],
    constraints: &Constraints<'_>,
    between: &(dyn Fn(u32, u32) -> f32 + Sync),
) -> Clustering {
    let inside = |a: u32, b: u32| (a as usize) < count && (b as usize) < count && a != b;
    let mut forest = Forest::new(count);
    for edge in edges.iter().filter(|e| e.score >= constraints.link && inside(e.a, e.b)) {
        forest.join(edge.a, edge.b);
    }
    for (a, b) in constraints.together.iter().filter(|(a, b)| inside(*a, *b)) {
        forest.join(*a, *b);
    }
    // Records and edges of each component side by side.
    let roots: Vec<u32> = (0..count as u32).map(|r| forest.root(r)).collect();
    let mut sizes = vec![0_u32; count];
    for root in &roots {
        sizes[*root as usize] += 1;
    }
    let mut by_root: Vec<u32> =
        (0..count as u32).filter(|r| sizes[roots[*r as usize] as usize] > 1).collect();
    by_root.sort_by_key(|r| (roots[*r as usize], *r));
    let mut within: Vec<&Edge> =
        edges.iter().filter(|e| inside(e.a, e.b) && roots[e.a as usize] == roots[e.b as usize]).collect();
    within.sort_unstable_by_key(|e| roots[e.a as usize]);
    let mut bound: BTreeMap<u32, Bound> = BTreeMap::new();
    for (list, apart) in [(constraints.apart, true), (constraints.together, false)] {
        for (a, b) in list.iter().filter(|(a, b)| inside(*a, *b) && roots[*a as usize] == roots[*b as usize])
        {
            let entry = bound.entry(roots[*a as usize]).or_default();
            if apart { entry.apart.push((*a, *b)) } else { entry.together.push((*a, *b)) }
        }
    }
    let mut assignment: Vec<u32> = (0..count as u32).collect();
    let mut held: HashMap<(u32, u32), Reason> = HashMap::new();
    let nothing = Bound::default();
    let (mut at, mut edge_at) = (0, 0);
    while at < by_root.len() {
        let root = roots[by_root[at] as usize];
        let end = at + sizes[root as usize] as usize;
        while edge_at < within.len() && roots[within[edge_at].a as usize] < root {
            edge_at += 1;
        }
        let edge_end = edge_at + within[edge_at..].partition_point(|e| roots[e.a as usize] == root);
        let members = &by_root[at..end];
        let bound = bound.get(&root).unwrap_or(&nothing);
        let mut component = Component::new(members, &within[edge_at..edge_end], constraints, bound, between);
        component.agglomerate();
        component.write(&mut assignment, &mut held);
        at = end;
        edge_at = edge_end;
    }
    let holds = holds(edges, &assignment, &held, constraints, &inside);
    Clustering { assignment, holds }
}

/// Decisions of people within one component.
#[derive(Debug, Default)]
struct Bound {
    apart: Vec<(u32, u32)>,
    together: Vec<(u32, u32)>,
}

/// The best edge between each two clusters of the result, if it is worth a look.
fn holds(
    edges: &[Edge],
    assignment: &[u32],
    held: &HashMap<(u32, u32), Reason>,
    constraints: &Constraints<'_>,
    inside: &dyn Fn(u32, u32) -> bool,
) -> Vec<Hold> {
    let mut best: HashMap<(u32, u32), Hold> = HashMap::new();
    let pair = |a: u32, b: u32| (a.min(b), a.max(b));
    let mut decided: std::collections::HashSet<(u32, u32)> = std::collections::HashSet::new();
    for (a, b) in constraints.apart.iter().filter(|(a, b)| inside(*a, *b)) {
        decided.insert(pair(assignment[*a as usize], assignment[*b as usize]));
    }
    let values: HashMap<u32, u64> = (assignment.iter().zip(constraints.exclusive))
        .filter(|(_, value)| **value != 0)
        .map(|(person, value)| (*person, *value))
        .collect();
    for edge in edges.iter().filter(|e| e.score >= constraints.review && inside(e.a, e.b)) {
        let (x, y) = (assignment[edge.a as usize], assignment[edge.b as usize]);
        if x == y || decided.contains(&pair(x, y)) {
            continue;
        }
        let two_values = values.get(&x).zip(values.get(&y)).is_some_and(|(p, q)| p != q);
        let reason = held.get(&pair(x, y)).copied().unwrap_or(match edge.score >= constraints.link {
            _ if two_values => Reason::Exclusive,
            true => Reason::Contradicted,
            false => Reason::Unsure,
        });
        let (a, b) = pair(edge.a, edge.b);
        let hold = Hold { a, b, score: edge.score, reason };
        let slot = best.entry(pair(x, y)).or_insert(hold);
        if (hold.score, std::cmp::Reverse((a, b))) > (slot.score, std::cmp::Reverse((slot.a, slot.b))) {
            *slot = hold;
        }
    }
    let mut out: Vec<Hold> = best.into_values().collect();
    out.sort_by(|p, q| q.score.total_cmp(&p.score).then((p.a, p.b).cmp(&(q.a, q.b))));
    out
}

/// Bits by which one of two persons must fit better who are apart by evidence alone.
const RIVAL: f32 = 4.0;
/// Bits that must speak against two persons being one before they count as rivals.
const AGAINST: f32 = 8.0;

/// A merge that may be made.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Merge {
    score: f32,
    order: (u64, u64),
    a: u32,
    b: u32,
    /// Merges that the two clusters had gone through when this was proposed.
    ages: (u32, u32),
}

impl Eq for Merge {}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Merge {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score.total_cmp(&other.score))
            .then_with(|| other.order.cmp(&self.order))
            .then_with(|| (other.a, other.b).cmp(&(self.a, self.b)))
    }
}

struct Component<'c> {
    members: &'c [u32],
    constraints: &'c Constraints<'c>,
    between: &'c (dyn Fn(u32, u32) -> f32 + Sync),
    /// Scores by local pair, filled as they are needed.
    scores: HashMap<(u32, u32), f32>,
    apart: Vec<(u32, u32)>,
    together: Vec<(u32, u32)>,
    /// Local records of each cluster; empty once merged into another.
    clusters: Vec<Vec<u32>>,
    /// By cluster: clusters that an edge good enough leads to.
    near: Vec<Vec<u32>>,
    exclusive: Vec<u64>,
    order: Vec<u64>,
    ages: Vec<u32>,
    held: Vec<(u32, u32, Reason)>,
}

impl<'c> Component<'c> {
    fn new(
        members: &'c [u32],
        edges: &[&Edge],
        constraints: &'c Constraints<'c>,
        bound: &Bound,
        between: &'c (dyn Fn(u32, u32) -> f32 + Sync),
    ) -> Self {
        let local = |r: u32| members.binary_search(&r).unwrap_or(0) as u32;
        let mut scores = HashMap::with_capacity(edges.len());
        let mut near = vec![Vec::new(); members.len()];
        for edge in edges {
            let (a, b) = (local(edge.a), local(edge.b));
            let key = (a.min(b), a.max(b));
            let slot = scores.entry(key).or_insert(edge.score);
            *slot = slot.max(edge.score);
            if edge.score >= constraints.link {
                near[a as usize].push(b);
                near[b as usize].push(a);
            }
        }
        let pairs = |list: &[(u32, u32)]| list.iter().map(|(a, b)| (local(*a), local(*b))).collect();
        let at = |list: &[u64], r: u32| list.get(r as usize).copied();
        Self {
            members,
            constraints,
            between,
            scores,
            apart: pairs(&bound.apart),
            together: pairs(&bound.together),
            clusters: (0..members.len() as u32).map(|r| vec![r]).collect(),
            near,
            exclusive: members.iter().map(|r| at(constraints.exclusive, *r).unwrap_or(0)).collect(),
            order: members.iter().map(|r| at(constraints.order, *r).unwrap_or(u64::from(*r))).collect(),
            ages: vec![0; members.len()],
            held: Vec::new(),
        }
    }

    fn agglomerate(&mut self) {
        let together = std::mem::take(&mut self.together);
        let mut joined = Forest::new(self.members.len());
        for (a, b) in &together {
            let (x, y) = (joined.root(*a), joined.root(*b));
            if x != y && !self.excluded(x, y) && !self.kept_apart(x, y) {
                self.merge(x.min(y), x.max(y));
                joined.join(x, y);
            }
        }
        let mut heap = BinaryHeap::new();
        for a in 0..self.clusters.len() as u32 {
            self.propose(a, false, &mut heap);
        }
        while let Some(best) = heap.pop() {
            let (a, b) = (best.a, best.b);
            if self.clusters[a as usize].is_empty()
                || self.clusters[b as usize].is_empty()
                || best.ages != (self.ages[a as usize], self.ages[b as usize])
            {
                continue;
            }
            if self.excluded(a, b) || self.kept_apart(a, b) {
                self.held.push((a, b, Reason::Exclusive));
                continue;
            }
            if self.rivalled(a, b, best.score) {
                self.held.push((a, b, Reason::Ambiguous));
                continue;
            }
            self.merge(a, b);
            self.propose(a, true, &mut heap);
        }
    }

    /// Puts the possible merges of a cluster on the heap: with all its neighbours, or with later ones only.
    fn propose(&mut self, a: u32, all: bool, heap: &mut BinaryHeap<Merge>) {
        let mut others: Vec<u32> = self.near[a as usize].clone();
        others.sort_unstable();
        others.dedup();
        for b in others {
            if b == a || self.clusters[b as usize].is_empty() || (!all && b < a) {
                continue;
            }
            let score = self.merge_score(a, b);
            if score >= self.constraints.link {
                let (x, y) = (self.first(a), self.first(b));
                heap.push(Merge {
                    score,
                    order: (x.min(y), x.max(y)),
                    a: a.min(b),
                    b: a.max(b),
                    ages: (self.ages[a.min(b) as usize], self.ages[a.max(b) as usize]),
                });
            }
        }
    }

    fn first(&self, cluster: u32) -> u64 {
        self.clusters[cluster as usize].iter().map(|r| self.order[*r as usize]).min().unwrap_or(0)
    }

    /// The best pair less what the pairs say against it on average.
    fn merge_score(&mut self, a: u32, b: u32) -> f32 {
        let prior = self.constraints.prior;
        let (mut best, mut against, mut pairs) = (f32::MIN, 0.0_f32, 0.0_f32);
        let (left, right) = (self.clusters[a as usize].clone(), self.clusters[b as usize].clone());
        for x in &left {
            for y in &right {
                let score = self.score(*x, *y);
                best = best.max(score);
                against += (score - prior).min(0.0);
                pairs += 1.0;
            }
        }
        best + against / pairs.max(1.0)
    }

    fn score(&mut self, a: u32, b: u32) -> f32 {
        let key = (a.min(b), a.max(b));
        let (x, y) = (self.members[key.0 as usize], self.members[key.1 as usize]);
        let between = self.between;
        *self.scores.entry(key).or_insert_with(|| between(x, y))
    }

    fn excluded(&self, a: u32, b: u32) -> bool {
        let value = |c: u32| {
            self.clusters[c as usize]
                .iter()
                .map(|r| self.exclusive[*r as usize])
                .find(|v| *v != 0)
                .unwrap_or(0)
        };
        let (x, y) = (value(a), value(b));
        x != 0 && y != 0 && x != y
    }

    fn kept_apart(&self, a: u32, b: u32) -> bool {
        let (x, y) = (&self.clusters[a as usize], &self.clusters[b as usize]);
        self.apart.iter().any(|(p, q)| (x.contains(p) && y.contains(q)) || (x.contains(q) && y.contains(p)))
    }

    /// Whether another cluster that cannot go with both would take one of them nearly as well. Two clusters cannot
    /// be one person when a constraint says so, or when what is known of them speaks against it.
    fn rivalled(&mut self, a: u32, b: u32, score: f32) -> bool {
        for (one, other) in [(a, b), (b, a)] {
            let mut near = self.near[one as usize].clone();
            near.sort_unstable();
            near.dedup();
            for c in near {
                if c == a
                    || c == b
                    || self.clusters[c as usize].is_empty()
                    || self.excluded(c, one)
                    || self.kept_apart(c, one)
                {
                    continue;
                }
                let bound = self.excluded(c, other) || self.kept_apart(c, other);
                let margin = if bound { self.constraints.link.max(1.0) } else { RIVAL };
                if self.merge_score(one, c) > score - margin
                    && (bound || self.merge_score(c, other) < self.constraints.prior - AGAINST)
                {
                    return true;
                }
            }
        }
        false
    }

    fn merge(&mut self, into: u32, from: u32) {
        let moved = std::mem::take(&mut self.clusters[from as usize]);
        self.clusters[into as usize].extend(moved);
        let near = std::mem::take(&mut self.near[from as usize]);
        for other in &near {
            for n in &mut self.near[*other as usize] {
                if *n == from {
                    *n = into;
                }
            }
        }
        self.near[into as usize].extend(near);
        self.near[into as usize].retain(|n| *n != into && *n != from);
        self.ages[into as usize] += 1;
        self.ages[from as usize] += 1;
    }

    fn write(&self, assignment: &mut [u32], held: &mut HashMap<(u32, u32), Reason>) {
        let mut of = vec![0_u32; self.members.len()];
        for records in self.clusters.iter().filter(|c| !c.is_empty()) {
            let smallest = records.iter().map(|r| self.members[*r as usize]).min().unwrap_or(0);
            for r in records {
                of[*r as usize] = smallest;
                assignment[self.members[*r as usize] as usize] = smallest;
            }
        }
        // A merge that was held went by clusters as they were then: their first records tell where they are now.
        for (a, b, reason) in &self.held {
            let (x, y) = (of[*a as usize], of[*b as usize]);
            if x != y {
                let slot = held.entry((x.min(y), x.max(y))).or_insert(*reason);
                *slot = (*slot).max(*reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: f32 = -40.0;

    fn run(edges: &[(u32, u32, f32)], exclusive: &[u64], apart: &[(u32, u32)]) -> (Vec<u32>, Vec<Reason>) {
        let edges: Vec<Edge> =
            edges.iter().map(|(a, b, score)| Edge { a: *a, b: *b, score: *score }).collect();
        let constraints =
            Constraints { exclusive, apart, link: 6.0, review: 0.0, prior: -20.0, ..Constraints::default() };
        let found = cluster(4, &edges, &constraints, &|_, _| APART);
        (found.assignment, found.holds.iter().map(|h| h.reason).collect())
    }

    #[test]
    fn merges_that_are_made_and_those_that_are_held() {
        for (what, edges, exclusive, apart, expected, reasons) in [
            ("good pairs", vec![(0, 1, 9.0), (2, 3, 9.0)], vec![], vec![], vec![0, 0, 2, 2], vec![]),
            ("nothing", vec![(0, 1, -3.0)], vec![], vec![], vec![0, 1, 2, 3], vec![]),
            ("unsure", vec![(0, 1, 3.0)], vec![], vec![], vec![0, 1, 2, 3], vec![Reason::Unsure]),
            // 1 and 2 share a card; the others of the two persons have nothing in common.
            (
                "a chain through one card",
                vec![(0, 1, 20.0), (2, 3, 20.0), (1, 2, 12.0)],
                vec![],
                vec![],
                vec![0, 0, 2, 2],
                vec![Reason::Contradicted],
            ),
            (
                "two valid numbers",
                vec![(0, 1, 20.0)],
                vec![7, 8],
                vec![],
                vec![0, 1, 2, 3],
                vec![Reason::Exclusive],
            ),
            (
                "one that fits two persons with numbers",
                vec![(0, 1, 12.0), (0, 2, 11.0)],
                vec![0, 7, 8],
                vec![],
                vec![0, 1, 2, 3],
                vec![Reason::Ambiguous, Reason::Ambiguous],
            ),
            (
                "one that fits one of them better by far",
                vec![(0, 1, 25.0), (0, 2, 7.0)],
                vec![0, 7, 8],
                vec![],
                vec![0, 0, 2, 3],
                vec![Reason::Exclusive],
            ),
            ("kept apart by people", vec![(0, 1, 30.0)], vec![], vec![(1, 0)], vec![0, 1, 2, 3], vec![]),
        ] {
            assert_eq!(run(&edges, &exclusive, &apart), (expected, reasons), "{what}");
        }
    }

    #[test]
    fn what_people_put_together_stays_together() {
        let constraints = Constraints {
            together: &[(0, 3)],
            exclusive: &[1, 0, 0, 0],
            link: 6.0,
            ..Constraints::default()
        };
        assert_eq!(cluster(4, &[], &constraints, &|_, _| APART).assignment, [0, 1, 2, 0]);
        let exclusive = Constraints { exclusive: &[1, 0, 0, 2], ..constraints };
        assert_eq!(cluster(4, &[], &exclusive, &|_, _| APART).assignment, [0, 1, 2, 3]);
    }
}
