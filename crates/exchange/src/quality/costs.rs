//! How a score comes about: what each rule costs in points. Pure.

use catalog::score::{Score, Weighed};
use catalog::{Catalog, Dimension};

/// How often a rule was checked and broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct RuleCount {
    /// Data set.
    pub dataset: i16,
    /// Position of the rule.
    pub rule: i16,
    /// Rows it applied to.
    pub checked: i64,
    /// Rows that broke it.
    pub failed: i64,
}

/// A rule with what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// The counts.
    pub count: RuleCount,
    /// Points of the total score lost by it; all costs and the score add up to 100.
    pub points: f64,
}

/// The costs of all rules, dearest first, and the score that remains.
pub fn costs(catalog: &Catalog, counts: &[RuleCount]) -> (Vec<Cost>, Score) {
    let weight = |c: &RuleCount| -> Option<(Dimension, f64)> {
        let dataset = catalog.dataset_by_number(c.dataset)?;
        let rule = dataset.rules.get(usize::try_from(c.rule).ok()?)?;
        Some((rule.dimension, rule.weight))
    };
    let mut sums = Weighed::default();
    for count in counts {
        if let Some((dimension, weight)) = weight(count) {
            sums.checked[dimension as usize] += weight * count.checked as f64;
            sums.failed[dimension as usize] += weight * count.failed.min(count.checked) as f64;
        }
    }
    let weights = catalog.quality.weights;
    let of: f64 = (0..4).filter(|d| sums.checked[*d] > 0.0).map(|d| weights[d]).sum();
    let mut all: Vec<Cost> = counts
        .iter()
        .filter_map(|count| {
            let (dimension, weight) = weight(count)?;
            let d = dimension as usize;
            let lost = weight * count.failed.min(count.checked) as f64;
            let points = if sums.checked[d] > 0.0 && of > 0.0 {
                100.0 * lost / sums.checked[d] * weights[d] / of
            } else {
                0.0
            };
            Some(Cost { count: *count, points })
        })
        .collect();
    all.sort_by(|a, b| {
        b.points
            .total_cmp(&a.points)
            .then(a.count.dataset.cmp(&b.count.dataset))
            .then(a.count.rule.cmp(&b.count.rule))
    });
    (all, sums.score(&catalog.quality))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_the_score_add_up_to_a_hundred() {
        let catalog = catalog::shipped().expect("the shipped catalogue is good");
        let dataset = catalog.dataset("outpatient_visit").unwrap();
        let counts: Vec<RuleCount> = (0..dataset.rules.len() as i16)
            .map(|rule| RuleCount {
                dataset: dataset.number,
                rule,
                checked: 100 + i64::from(rule),
                failed: i64::from(rule % 7) * 3,
            })
            .collect();
        let (all, score) = costs(&catalog, &counts);
        let lost: f64 = all.iter().map(|c| c.points).sum();
        assert!((lost + score.total.unwrap() - 100.0).abs() < 1e-9);
        assert!(all.windows(2).all(|w| w[0].points >= w[1].points) && all[0].points > 0.0);
        assert_eq!(costs(&catalog, &[]), (vec![], Score::default()));
    }
}
