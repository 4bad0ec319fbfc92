//! Quality scores: from how often each rule was checked and failed to four dimensions and a total.

use crate::model::{Dimension, QualityWeights, Rule};
use crate::row::Checked;

/// How often each rule of a data set was checked and failed, by position in [`crate::Dataset::rules`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Rows in which the rule had something to check.
    pub checked: Vec<u64>,
    /// Rows that broke it.
    pub failed: Vec<u64>,
}

impl RuleCounts {
    /// Zeros for a data set with so many rules.
    #[must_use]
    pub fn new(rules: usize) -> Self {
        Self { checked: vec![0; rules], failed: vec![0; rules] }
    }

    /// Counts one row.
    pub fn add(&mut self, row: &Checked) {
        for rule in row.applicable.iter() {
            if let Some(count) = self.checked.get_mut(usize::from(rule)) {
                *count += 1;
            }
        }
        for issue in &row.issues {
            if let Some(count) = self.failed.get_mut(usize::from(issue.rule)) {
                *count += 1;
            }
        }
    }

    /// Adds what was counted elsewhere, e.g. by a rule that is evaluated after storing.
    pub fn add_counts(&mut self, rule: u16, checked: u64, failed: u64) {
        let rule = usize::from(rule);
        if let (Some(c), Some(f)) = (self.checked.get_mut(rule), self.failed.get_mut(rule)) {
            *c += checked;
            *f += failed;
        }
    }

    /// Adds another count of the same data set.
    pub fn merge(&mut self, other: &RuleCounts) {
        for (into, from) in [(&mut self.checked, &other.checked), (&mut self.failed, &other.failed)] {
            if into.len() < from.len() {
                into.resize(from.len(), 0);
            }
            for (a, b) in into.iter_mut().zip(from) {
                *a += b;
            }
        }
    }
}

/// Scores between 0 and 100.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// In the order of [`Dimension::ALL`]; `None` where nothing was checked.
    pub dimensions: [Option<f64>; 4],
    /// The weighted mean of the dimensions that have a score; `None` where none has.
    pub total: Option<f64>,
}

impl Score {
    /// The score of one dimension.
    #[must_use]
    pub fn of(&self, dimension: Dimension) -> Option<f64> {
        self.dimensions[dimension as usize]
    }
}

/// Sums of rule weights, checked and failed, in the order of [`Dimension::ALL`].
///
/// They simply add up, so rows, days, data sets and institutions join to any total without being read again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weighed {
    /// Weights of the rules that had something to check, once for each row.
    pub checked: [f64; 4],
    /// Weights of those that were broken.
    pub failed: [f64; 4],
}

impl Weighed {
    /// Counts one row.
    pub fn add_row(&mut self, rules: &[Rule], row: &Checked) {
        for rule in row.applicable.iter().filter_map(|r| rules.get(usize::from(r))) {
            self.checked[rule.dimension as usize] += rule.weight;
        }
        for rule in row.issues.iter().filter_map(|i| rules.get(usize::from(i.rule))) {
            self.failed[rule.dimension as usize] += rule.weight;
        }
    }

    /// Counts the rows behind rule counts.
    pub fn add_counts(&mut self, rules: &[Rule], counts: &RuleCounts) {
        for (rule, (checked, failed)) in rules.iter().zip(counts.checked.iter().zip(&counts.failed)) {
            self.checked[rule.dimension as usize] += rule.weight * *checked as f64;
            self.failed[rule.dimension as usize] += rule.weight * *failed as f64;
        }
    }

    /// The score: in each dimension `100 × (1 − Σ weight failed ÷ Σ weight checked)`; the total weights the
    /// dimensions that were checked.
    #[must_use]
    pub fn score(&self, weights: &QualityWeights) -> Score {
        let dimensions: [Option<f64>; 4] = std::array::from_fn(|d| {
            (self.checked[d] > 0.0).then(|| 100.0 * (1.0 - (self.failed[d] / self.checked[d]).min(1.0)))
        });
        let parts =
            dimensions.iter().zip(weights.weights).filter_map(|(score, weight)| Some(((*score)?, weight)));
        let (sum, of) =
            parts.fold((0.0, 0.0), |(sum, of), (score, weight)| (sum + score * weight, of + weight));
        Score { dimensions, total: (of > 0.0).then(|| sum / of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Check;
    use crate::row::Issue;

    fn rule(dimension: Dimension, weight: f64) -> Rule {
        Rule {
            code: String::new(),
            dimension,
            weight,
            reject: false,
            field: None,
            check: Check::Required,
            message: String::new(),
            hint: String::new(),
        }
    }

    #[test]
    fn scores_weigh_rules_and_leave_out_what_was_not_checked() {
        use Dimension::{Completeness, Correctness, Logic, Timeliness};
        let rules =
            [rule(Completeness, 3.0), rule(Completeness, 1.0), rule(Correctness, 1.0), rule(Logic, 1.0)];
        let weights = QualityWeights { weights: [40.0, 20.0, 20.0, 20.0] };
        let mut counts = RuleCounts::new(4);
        assert_eq!(Weighed::default().score(&weights), Score::default());
        counts.add_counts(0, 100, 10);
        counts.add_counts(1, 100, 50);
        counts.add_counts(2, 50, 0);
        let mut weighed = Weighed::default();
        weighed.add_counts(&rules, &counts);
        let result = weighed.score(&weights);
        // 1 − (3·10 + 1·50) / (3·100 + 1·100) = 0.8
        assert_eq!(result.of(Completeness).map(|s| s.round()), Some(80.0));
        assert_eq!(result.of(Correctness), Some(100.0));
        assert_eq!((result.of(Timeliness), result.of(Logic)), (None, None));
        // (80·40 + 100·20) / 60
        assert_eq!(result.total.map(|t| (t * 100.0).round() / 100.0), Some(86.67));
    }

    #[test]
    fn rows_are_counted_by_what_applied() {
        let mut row = Checked::default();
        row.applicable.insert(0);
        row.applicable.insert(70);
        row.issues.push(Issue { rule: 70, field: None, value: String::new() });
        let mut counts = RuleCounts::new(80);
        counts.add(&row);
        counts.add(&row);
        let mut other = RuleCounts::new(80);
        other.merge(&counts);
        assert_eq!((other.checked[0], other.failed[0], other.checked[70], other.failed[70]), (2, 0, 2, 2));
        assert_eq!(row.applicable.iter().collect::<Vec<_>>(), [0, 70]);
        assert_eq!(other.checked.iter().sum::<u64>(), 4);
    }
}
