//! Numbers and days as the quality pages write them.

use catalog::score::Score;
use catalog::{Catalog, Dimension};
use chrono::{Datelike, NaiveDate, Weekday};
use maud::{Markup, html};
use web::ui::{ScorePart, Tone, score_tone, thousands};

/// A count with separators.
pub fn number(count: i64) -> String {
    if count < 0 { format!("-{}", thousands(count.unsigned_abs())) } else { thousands(count.unsigned_abs()) }
}

/// A score with one decimal, cut and not rounded; a dash where there is none.
pub fn score(score: Option<f64>) -> String {
    match score {
        None => "—".to_owned(),
        Some(s) if s >= 100.0 => "100".to_owned(),
        Some(s) => format!("{:.1}", (s.max(0.0) * 10.0 + 1e-9).floor() / 10.0),
    }
}

/// A score in the colour of what it means.
pub fn toned(value: Option<f64>) -> Markup {
    let class = match value.map(score_tone) {
        Some(Tone::Good) => "mk-text-good",
        Some(Tone::Warn) => "mk-text-warn",
        Some(Tone::Bad) => "mk-text-bad",
        _ => "mk-muted",
    };
    html! { span class=(class) { (score(value)) } }
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.1 => "<0.1%".to_owned(),
        s => format!("{s:.1}%"),
    }
}

/// The parts of a score ring.
pub fn parts(score: &Score) -> Vec<ScorePart> {
    Dimension::ALL.iter().map(|d| ScorePart { name: d.name().to_owned(), score: score.of(*d) }).collect()
}

/// The name of a dimension for machines.
pub fn key(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Completeness => "completeness",
        Dimension::Correctness => "correctness",
        Dimension::Timeliness => "timeliness",
        Dimension::Logic => "logic",
    }
}

/// `周六`
pub fn weekday(day: NaiveDate) -> &'static str {
    match day.weekday() {
        Weekday::Mon => "周一",
        Weekday::Tue => "周二",
        Weekday::Wed => "周三",
        Weekday::Thu => "周四",
        Weekday::Fri => "周五",
        Weekday::Sat => "周六",
        Weekday::Sun => "周日",
    }
}

/// Names of data sets, in a row.
pub fn dataset_names(catalog: &Catalog, numbers: &[i16]) -> String {
    let names: Vec<&str> =
        numbers.iter().filter_map(|n| catalog.dataset_by_number(*n)).map(|d| d.name.as_str()).collect();
    names.join("、")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        let scores = [(None, "—"), (Some(100.0), "100"), (Some(99.97), "99.9"), (Some(0.0), "0.0")];
        for (value, text) in scores {
            assert_eq!(score(value), text);
        }
        assert_eq!((number(1_234), number(-5)), ("1,234".to_owned(), "-5".to_owned()));
        assert_eq!(
            (percent(0.0), percent(0.01), percent(12.34)),
            ("0.0%".into(), "<0.1%".into(), "12.3%".into())
        );
    }
}
