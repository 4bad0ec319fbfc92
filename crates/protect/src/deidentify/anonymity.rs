//! How well people hide among each other: k-anonymity over the quasi-identifiers, l-diversity of a sensitive field.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The report of an extract.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Anonymity {
    /// The smallest class that was asked for.
    pub threshold: usize,
    /// Rows before suppression.
    pub rows: usize,
    /// People before suppression.
    pub people: usize,
    /// Classes of equal quasi-identifiers before suppression.
    pub classes: usize,
    /// People in the smallest class before suppression; 0 where there are no rows.
    pub smallest_before: usize,
    /// People in the smallest class that is handed out; 0 where nothing is.
    pub k: usize,
    /// Rows that were suppressed.
    pub suppressed_rows: usize,
    /// People who were suppressed.
    pub suppressed_people: usize,
    /// Classes by how many people are in them: 1, 2–4, 5–9, 10–19, 20–49, 50 and more (before suppression).
    pub distribution: BTreeMap<&'static str, usize>,
    /// The fewest different values of the sensitive field in a class that is handed out; `None` without such a field.
    pub l: Option<usize>,
    /// Classes that are handed out in which everybody has the same sensitive value: who is known to be in one is known
    /// altogether.
    pub uniform_classes: usize,
    /// Greatest risk of being told apart in what is handed out: 1 / k.
    pub greatest_risk: f64,
}

/// Which rows may be handed out, and the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// For each row, whether its class is large enough.
    pub rows: Vec<bool>,
    /// The report.
    pub report: Anonymity,
}

fn band(people: usize) -> &'static str {
    match people {
        0..=1 => "1",
        2..=4 => "2-4",
        5..=9 => "5-9",
        10..=19 => "10-19",
        20..=49 => "20-49",
        _ => "50+",
    }
}

/// Those who are equal in all quasi-identifiers.
#[derive(Debug, Default)]
struct Class<'a> {
    people: HashSet<&'a str>,
    /// Their sensitive values.
    values: HashSet<&'a str>,
}

/// Counts people, not rows: ten visits of one person hide nobody. A person whose rows fall into several classes counts
/// in each. `rows` holds for each row the person, the quasi-identifiers and the sensitive value.
pub fn measure(rows: &[(&str, Vec<&str>, Option<&str>)], threshold: usize) -> Kept {
    let mut classes: HashMap<&[&str], Class<'_>> = HashMap::new();
    for (person, quasi, sensitive) in rows {
        let class = classes.entry(quasi.as_slice()).or_default();
        class.people.insert(person);
        class.values.extend(sensitive);
    }
    let mut report = Anonymity {
        threshold,
        rows: rows.len(),
        people: rows.iter().map(|r| r.0).collect::<HashSet<_>>().len(),
        classes: classes.len(),
        smallest_before: classes.values().map(|c| c.people.len()).min().unwrap_or(0),
        ..Anonymity::default()
    };
    for class in classes.values() {
        *report.distribution.entry(band(class.people.len())).or_default() += 1;
    }
    let large = |quasi: &[&str]| classes.get(quasi).is_some_and(|c| c.people.len() >= threshold);
    let kept: Vec<bool> = rows.iter().map(|(_, quasi, _)| large(quasi)).collect();
    report.suppressed_rows = kept.iter().filter(|k| !**k).count();
    let out: HashSet<&str> = rows.iter().zip(&kept).filter(|(_, k)| **k).map(|(r, _)| r.0).collect();
    report.suppressed_people = report.people - out.len();
    let handed: Vec<_> = classes.values().filter(|c| c.people.len() >= threshold).collect();
    report.k = handed.iter().map(|c| c.people.len()).min().unwrap_or(0);
    if rows.iter().any(|r| r.2.is_some()) {
        report.l = handed.iter().map(|c| c.values.len()).min();
        report.uniform_classes = handed.iter().filter(|c| c.values.len() <= 1).count();
    }
    report.greatest_risk = if report.k == 0 { 0.0 } else { 1.0 / report.k as f64 };
    Kept { rows: kept, report }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_classes_are_suppressed_and_people_are_counted_not_rows() {
        let row = |person, age, illness| (person, vec!["411503", age], Some(illness));
        let rows = [
            row("a", "1980", "I10"),
            row("a", "1980", "E11"),
            row("b", "1980", "I10"),
            row("c", "1980", "J18"),
            // Three rows, one person: alone.
            row("d", "1935", "I10"),
            row("d", "1935", "I10"),
            row("d", "1935", "I10"),
            row("e", "1970", "B20"),
            row("f", "1970", "B20"),
            row("g", "1970", "B20"),
        ];
        let kept = measure(&rows, 3);
        assert_eq!(kept.rows, [true, true, true, true, false, false, false, true, true, true]);
        let report = kept.report;
        assert_eq!((report.rows, report.people, report.classes, report.smallest_before), (10, 7, 3, 1));
        assert_eq!((report.k, report.suppressed_rows, report.suppressed_people), (3, 3, 1));
        assert_eq!((report.l, report.uniform_classes), (Some(1), 1), "everybody born in 1970 has the same");
        assert_eq!(report.distribution, BTreeMap::from([("1", 1), ("2-4", 2)]));
        assert!((report.greatest_risk - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_fine() {
        let report = measure(&[], 5).report;
        assert_eq!((report.k, report.rows, report.l), (0, 0, None));
    }

    proptest! {
        #[test]
        fn what_is_handed_out_reaches_the_threshold(
            rows in prop::collection::vec(("[a-h]", "[xy]", "[12]"), 0..60), threshold in 1usize..6
        ) {
            let rows: Vec<(&str, Vec<&str>, Option<&str>)> =
                rows.iter().map(|(p, a, b)| (p.as_str(), vec![a.as_str(), b.as_str()], None)).collect();
            let kept = measure(&rows, threshold);
            let out: Vec<_> = rows.iter().zip(&kept.rows).filter(|(_, k)| **k).map(|(r, _)| r.clone()).collect();
            let again = measure(&out, threshold);
            prop_assert_eq!(again.report.suppressed_rows, 0);
            prop_assert!(out.is_empty() || again.report.smallest_before >= threshold);
            prop_assert_eq!(again.report.k, kept.report.k);
        }
    }
}
