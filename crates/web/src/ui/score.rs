//! The score ring with its parts (completeness, correctness, timeliness, logic).

use maud::{Markup, html};

use super::badge::Tone;

/// One part of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScorePart {
    /// E.g. `完整性`.
    pub name: String,
    /// From 0 to 100; `None` when nothing could be judged.
    pub score: Option<f64>,
}

/// What a score means: from 95 good, from 80 to be mended, below that bad.
pub fn score_tone(score: f64) -> Tone {
    match score {
        s if s >= 95.0 => Tone::Good,
        s if s >= 80.0 => Tone::Warn,
        _ => Tone::Bad,
    }
}

/// One decimal, never rounded up: 99.96 is not 100.
pub fn score_number(score: f64) -> String {
    let cut = (score.clamp(0.0, 100.0) * 10.0 + 1e-9).floor() / 10.0;
    if cut >= 100.0 { "100".to_owned() } else { format!("{cut:.1}") }
}

/// The ring and, beside it, one meter per part. `None` where there is nothing to judge.
pub fn score_ring(score: Option<f64>, parts: &[ScorePart]) -> Markup {
    // A circle of radius 46 is this long.
    const LENGTH: f64 = 2.0 * std::f64::consts::PI * 46.0;
    let (class, word) = match score.map(score_tone) {
        None => ("", "无评分"),
        Some(Tone::Good) => ("mk-ring-good", "良好"),
        Some(Tone::Warn) => ("mk-ring-warn", "待改进"),
        Some(_) => ("mk-ring-bad", "不合格"),
    };
    let number = score.map_or("—".to_owned(), score_number);
    let arc = score.unwrap_or(0.0).clamp(0.0, 100.0) / 100.0 * LENGTH;
    html! {
        div.mk-score {
            svg class={ "mk-ring " (class) } viewBox="0 0 108 108" role="img" aria-label={ "评分 " (number) "，" (word) } {
                circle.mk-ring-track cx="54" cy="54" r="46" {}
                @if arc > 0.0 {
                    circle.mk-ring-value cx="54" cy="54" r="46" transform="rotate(-90 54 54)"
                        stroke-dasharray={ (format!("{arc:.1}")) " " (format!("{LENGTH:.1}")) } {}
                }
                text.mk-ring-number x="54" y="59" { (number) }
                text.mk-ring-word x="54" y="77" { (word) }
            }
            @if !parts.is_empty() {
                dl.mk-score-parts {
                    @for part in parts {
                        div {
                            dt { (part.name) }
                            dd {
                                svg.mk-meter viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                                    rect width=(format!("{:.1}", part.score.unwrap_or(0.0).clamp(0.0, 100.0))) height="6" {}
                                }
                            }
                            dd.mk-num { (part.score.map_or("—".to_owned(), score_number)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_cut_not_rounded() {
        for (score, text) in
            [(100.0, "100"), (99.96, "99.9"), (95.3, "95.3"), (0.0, "0.0"), (-3.0, "0.0"), (104.0, "100")]
        {
            assert_eq!(score_number(score), text);
        }
    }
}
