//! Evidence as a picture: what each field adds, in bits, to the right for the same person and to the left against.

use maud::{Markup, html};

/// Half the width of the picture, in its own units.
const HALF: f64 = 60.0;
/// Bits at which a bar reaches the edge.
const FULL: f64 = 20.0;

/// A weight with its sign: `+12.3`, `−4.0`.
pub(super) fn signed(weight: f64) -> String {
    if weight < -0.05 {
        format!("−{:.1}", -weight)
    } else if weight > 0.05 {
        format!("+{weight:.1}")
    } else {
        "0".to_owned()
    }
}

/// The bar of one weight, with the number for whoever does not see it.
pub(super) fn bar(weight: f64) -> Markup {
    let length =
        (weight.abs() / FULL * HALF).clamp(0.0, HALF).max(if weight.abs() > 0.05 { 1.0 } else { 0.0 });
    let from = if weight < 0.0 { HALF - length } else { HALF };
    let class = if weight < 0.0 { "mk-bit-against" } else { "mk-bit-for" };
    html! {
        svg.mk-bits viewBox={ "0 0 " (HALF * 2.0) " 12" } width="120" height="12" role="img" aria-label={ (signed(weight)) " 比特" } {
            line x1=(HALF) y1="0" x2=(HALF) y2="12" class="mk-bit-axis" {}
            rect x={ (format!("{from:.1}")) } y="2" width={ (format!("{length:.1}")) } height="8" rx="1" class=(class) {}
        }
    }
}

/// A probability as people read it: `97.3 %`, near certainty not rounded to it.
pub(super) fn percent(probability: f32) -> String {
    match probability {
        p if p >= 0.9999 => "大于 99.99 %".to_owned(),
        p if p < 0.0001 => "小于 0.01 %".to_owned(),
        p if !(0.01..0.99).contains(&p) => format!("{:.2} %", p * 100.0),
        p => format!("{:.0} %", p * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_and_tell_their_sign() {
        for weight in [-80.0, -20.0, -0.2, 0.0, 0.2, 7.0, 95.0] {
            let html = bar(weight).into_string();
            let number = |name: &str| -> f64 {
                let after = html.split(&format!("{name}=\"")).last().unwrap_or_default();
                after.split('"').next().and_then(|t| t.parse().ok()).unwrap_or(-1.0)
            };
            let (x, width) = (
                html.split("rect x=\"").nth(1).and_then(|t| t.split('"').next()).and_then(|t| t.parse().ok()),
                html.split("width=\"").nth(2).and_then(|t| t.split('"').next()).and_then(|t| t.parse().ok()),
            );
            let (x, width): (f64, f64) = (x.unwrap_or(-1.0), width.unwrap_or(-1.0));
            assert!(x >= 0.0 && x + width <= 120.0 + 1e-6, "{weight}: {html} {}", number("x"));
            assert_eq!(html.contains("mk-bit-against"), weight < 0.0, "{weight}");
        }
        assert_eq!(
            (signed(-4.04).as_str(), signed(12.3).as_str(), signed(0.0).as_str()),
            ("−4.0", "+12.3", "0")
        );
        assert_eq!((percent(0.5).as_str(), percent(0.9991).as_str()), ("50 %", "99.91 %"));
    }
}
