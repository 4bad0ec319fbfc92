//! How good a result is, given the truth: pairs and whole clusters.

use std::collections::HashMap;
use std::hash::Hash;

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Right among those found.
    pub precision: f64,
    /// Found among those right.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// The scores of a result.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Of pairs of records.
    pub pairs: Figures,
    /// Of clusters: right only when exactly the same as a true one (single records count as clusters too).
    pub clusters: Figures,
    /// Pairs that belong together.
    pub true_pairs: u64,
    /// Pairs that were put together.
    pub found_pairs: u64,
    /// Pairs put together that belong together.
    pub right_pairs: u64,
}

fn figures(right: u64, found: u64, truth: u64) -> Figures {
    let share = |of: u64| if of == 0 { 1.0 } else { right as f64 / of as f64 };
    let (precision, recall) = (share(found), share(truth));
    let sum = precision + recall;
    Figures { precision, recall, f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
}

/// Compares a result with the truth: by record, the label of its person and of its cluster.
#[must_use]
pub fn evaluate<T: Hash + Eq, C: Hash + Eq>(truth: &[T], found: &[C]) -> Scores {
    let mut persons: HashMap<&T, u64> = HashMap::new();
    let mut clusters: HashMap<&C, u64> = HashMap::new();
    let mut both: HashMap<(&T, &C), u64> = HashMap::new();
    for (t, c) in truth.iter().zip(found) {
        *persons.entry(t).or_default() += 1;
        *clusters.entry(c).or_default() += 1;
        *both.entry((t, c)).or_default() += 1;
    }
    let pairs = |n: u64| n * n.saturating_sub(1) / 2;
    let true_pairs = persons.values().map(|n| pairs(*n)).sum();
    let found_pairs = clusters.values().map(|n| pairs(*n)).sum();
    let right_pairs = both.values().map(|n| pairs(*n)).sum();
    let whole = both.iter().filter(|((t, c), n)| persons[*t] == **n && clusters[*c] == **n).count() as u64;
    Scores {
        pairs: figures(right_pairs, found_pairs, true_pairs),
        clusters: figures(whole, clusters.len() as u64, persons.len() as u64),
        true_pairs,
        found_pairs,
        right_pairs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_result() {
        let truth = ["a", "a", "a", "b", "b", "c"];
        let found = [1, 1, 2, 3, 3, 3];
        let scores = evaluate(&truth, &found);
        assert_eq!((scores.true_pairs, scores.found_pairs, scores.right_pairs), (4, 4, 2));
        assert!((scores.pairs.f1 - 0.5).abs() < 1e-9);
        assert!(scores.clusters.f1.abs() < 1e-9);
        let all = evaluate(&truth, &truth);
        assert!((all.pairs.f1 - 1.0).abs() < 1e-9 && (all.clusters.f1 - 1.0).abs() < 1e-9);
    }
}
