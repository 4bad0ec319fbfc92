//! From the divisions of one year to those of another: any figure can be asked for in the divisions of year Y.
//!
//! Forward, a figure goes to the successors by their recorded shares; backward, to the predecessors by theirs. What is
//! not recorded stays where it is: a division that never changed, and one that ended without a successor.

use std::collections::{BTreeMap, HashMap};

use kernel::{RegionCode, Result, Tier};
use sqlx::Row;
use store::{Db, DbDoing};

use super::plan::Succession;

/// Shares below this are dust of division.
const DUST: f64 = 1e-9;

/// What one operation did to codes.
#[derive(Debug, Clone, Default)]
struct Step {
    forward: HashMap<RegionCode, Vec<(RegionCode, f64)>>,
    backward: HashMap<RegionCode, Vec<(RegionCode, f64)>>,
}

/// Every recorded change, by year and in the order in which the operations of a year were carried out.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    years: BTreeMap<i16, Vec<Step>>,
}

impl Mapping {
    /// Of changes in the order in which they were recorded: year, operation (any number that tells one from the next),
    /// succession.
    pub fn of(rows: impl IntoIterator<Item = (i16, i64, Succession)>) -> Self {
        let mut mapping = Mapping::default();
        let mut last: HashMap<i16, i64> = HashMap::new();
        for (year, operation, change) in rows {
            let steps = mapping.years.entry(year).or_default();
            if last.insert(year, operation) != Some(operation) {
                steps.push(Step::default());
            }
            if let Some(step) = steps.last_mut() {
                step.forward.entry(change.from).or_default().push((change.to, change.share));
                step.backward.entry(change.to).or_default().push((change.from, change.back_share));
            }
        }
        mapping
    }

    pub(crate) async fn read(db: &Db) -> Result<Self> {
        let rows = sqlx::query(
            "select year, coalesce(operation_id, 0), from_code, to_code, share, back_share
             from division_change order by year, operation_id nulls first, id",
        )
        .fetch_all(db.pool())
        .await
        .db("read changes of divisions")?;
        let changes: Vec<_> = rows
            .iter()
            .map(|row| {
                let code = |at: usize| -> Result<RegionCode, sqlx::Error> {
                    Ok(RegionCode::parse(row.try_get(at)?).unwrap_or(RegionCode::NATION))
                };
                let change = Succession {
                    from: code(2)?,
                    to: code(3)?,
                    share: row.try_get(4)?,
                    back_share: row.try_get(5)?,
                };
                Ok((row.try_get(0)?, row.try_get(1)?, change))
            })
            .collect::<Result<_, sqlx::Error>>()
            .db("read changes of divisions")?;
        Ok(Self::of(changes))
    }

    /// Where a code of edition `own` lies in edition `asked`, with shares that sum to one.
    pub fn translate(&self, code: RegionCode, own: i16, asked: i16) -> Vec<(RegionCode, f64)> {
        let figures = self.figures(&BTreeMap::from([(code, 1.0)]), own, asked);
        figures.into_iter().collect()
    }

    /// Figures by division of edition `own`, in the divisions of edition `asked`. The sum stays the same.
    pub fn figures(
        &self,
        figures: &BTreeMap<RegionCode, f64>,
        own: i16,
        asked: i16,
    ) -> BTreeMap<RegionCode, f64> {
        let mut now = figures.clone();
        if own < asked {
            for (_, steps) in self.years.range(own + 1..=asked) {
                for step in steps {
                    now = apply(&now, &step.forward);
                }
            }
        } else {
            for (_, steps) in self.years.range(asked + 1..=own).rev() {
                for step in steps.iter().rev() {
                    now = apply(&now, &step.backward);
                }
            }
        }
        now
    }
}

fn apply(
    figures: &BTreeMap<RegionCode, f64>,
    step: &HashMap<RegionCode, Vec<(RegionCode, f64)>>,
) -> BTreeMap<RegionCode, f64> {
    let mut out = BTreeMap::new();
    let mut add = |code: RegionCode, figure: f64| *out.entry(code).or_insert(0.0) += figure;
    for (code, figure) in figures {
        let Some(targets) = step.get(code) else {
            add(within(code, step).unwrap_or(*code), *figure);
            continue;
        };
        let told: f64 = targets.iter().map(|(_, share)| share).sum();
        for (to, share) in targets {
            add(*to, figure * share);
        }
        if 1.0 - told > DUST {
            add(*code, figure * (1.0 - told));
        }
    }
    out
}

/// A code that the edition never had (an institution's own village number) goes with the nearest division above it
/// that moved whole.
fn within(code: &RegionCode, step: &HashMap<RegionCode, Vec<(RegionCode, f64)>>) -> Option<RegionCode> {
    for tier in [Tier::Township, Tier::County, Tier::City] {
        let above = code.at(tier);
        if code.tier()? <= tier {
            continue;
        }
        if let Some([(to, share)]) = step.get(&above).map(Vec::as_slice) {
            if 1.0 - share > DUST || to.tier() != above.tier() {
                return None;
            }
            let digits = above.prefix().len();
            return RegionCode::parse(&format!("{}{}", to.prefix(), &code.as_str()[digits..])).ok();
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code(text: &str) -> RegionCode {
        RegionCode::parse(text).unwrap()
    }
    fn change(from: &str, to: &str, share: f64, back_share: f64) -> Succession {
        Succession { from: code(from), to: code(to), share, back_share }
    }

    /// 2024: a township moves to another county. 2025: that county splits 3 : 1; then two counties become one.
    fn history() -> Mapping {
        Mapping::of([
            (2024, 1, change("411502001", "411503001", 1.0, 1.0)),
            (2025, 2, change("411503", "411504", 0.25, 1.0)),
            (2025, 2, change("411503001", "411504001", 1.0, 1.0)),
            (2025, 3, change("411521", "411522", 1.0, 0.4)),
        ])
    }

    #[test]
    fn figures_follow_over_several_years_and_back() {
        type Case = (&'static str, i16, i16, &'static [(&'static str, f64)]);
        let table: [Case; 9] = [
            ("411502001", 2023, 2025, &[("411504001", 1.0)]),
            ("411502001", 2023, 2024, &[("411503001", 1.0)]),
            ("411504001", 2025, 2023, &[("411502001", 1.0)]),
            ("411503", 2024, 2025, &[("411503", 0.75), ("411504", 0.25)]),
            ("411504", 2025, 2024, &[("411503", 1.0)]),
            ("411521", 2023, 2025, &[("411522", 1.0)]),
            ("411522", 2025, 2024, &[("411521", 0.4), ("411522", 0.6)]),
            ("411599", 2023, 2025, &[("411599", 1.0)]),
            // A village that no edition has goes with its township.
            ("411502001777", 2023, 2025, &[("411504001777", 1.0)]),
        ];
        for (from, own, asked, expected) in table {
            let expected: Vec<(RegionCode, f64)> = expected.iter().map(|(c, s)| (code(c), *s)).collect();
            assert_eq!(history().translate(code(from), own, asked), expected, "{from} {own}→{asked}");
        }
    }

    #[test]
    fn sums_stay() {
        let figures: BTreeMap<RegionCode, f64> =
            [("411502001", 10.0), ("411503", 400.0), ("411521", 7.0), ("411522", 3.0)]
                .map(|(c, n)| (code(c), n))
                .into();
        let there = history().figures(&figures, 2023, 2025);
        assert!((there.values().sum::<f64>() - 420.0).abs() < 1e-6);
        assert!(
            (there[&code("411522")] - 10.0).abs() < 1e-6 && (there[&code("411504")] - 100.0).abs() < 1e-6
        );
        let back = history().figures(&there, 2025, 2023);
        assert!((back.values().sum::<f64>() - 420.0).abs() < 1e-6);
        assert!((back[&code("411503")] - 400.0).abs() < 1e-6);
    }
}
