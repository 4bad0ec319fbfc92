//! Sparklines and the marks of abnormal results.

use maud::{Markup, html};

/// A small line of values over time, oldest first; gaps where a value is missing; the reference band behind it; the
/// last value as a dot, red when it lies outside the band. Nothing when there are fewer than two values.
pub fn sparkline(values: &[Option<f64>], band: Option<(f64, f64)>) -> Markup {
    const WIDTH: f64 = 88.0;
    const HEIGHT: f64 = 22.0;
    let known: Vec<f64> = values.iter().flatten().copied().filter(|v| v.is_finite()).collect();
    if known.len() < 2 {
        return html! {};
    }
    let (mut low, mut high) =
        known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if let Some((from, to)) = band {
        (low, high) = (low.min(from), high.max(to));
    }
    let span = if high > low { high - low } else { 1.0 };
    let x = |index: usize| 2.0 + (WIDTH - 4.0) * index as f64 / (values.len() - 1) as f64;
    let y = |value: f64| 2.0 + (HEIGHT - 4.0) * (high - value) / span;
    let lines: Vec<String> = values
        .iter()
        .enumerate()
        .collect::<Vec<_>>()
        .split(|(_, value)| value.is_none_or(|v| !v.is_finite()))
        .filter(|run| run.len() > 1)
        .map(|run| {
            run.iter()
                .filter_map(|(index, value)| value.map(|v| format!("{:.1},{:.1}", x(*index), y(v))))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let last = values.iter().enumerate().rev().find_map(|(index, value)| value.map(|v| (index, v)));
    html! {
        svg.mk-spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
            aria-label={ "历次：" (known.iter().map(|v| v.to_string()).collect::<Vec<_>>().join("，")) } {
            @if let Some((from, to)) = band {
                rect.mk-spark-band x="0" width=(WIDTH) y=(format!("{:.1}", y(to)))
                    height=(format!("{:.1}", (y(from) - y(to)).max(0.5))) {}
            }
            @for points in lines { polyline points=(points) {} }
            @if let Some((index, value)) = last {
                circle.mk-out[band.is_some_and(|(from, to)| value < from || value > to)]
                    cx=(format!("{:.1}", x(index))) cy=(format!("{:.1}", y(value))) r="2" {}
            }
        }
    }
}

/// A result with its mark: `H`, `HH` above, `L`, `LL` below, anything else that is not `N` abnormal.
pub fn abnormal(value: &str, flag: &str) -> Markup {
    match flag {
        "H" | "HH" => html! { span.mk-high { (value) " ↑" } @if flag == "HH" { span.mk-hidden { "危急" } } },
        "L" | "LL" => html! { span.mk-low { (value) " ↓" } @if flag == "LL" { span.mk-hidden { "危急" } } },
        "" | "N" => html! { (value) },
        _ => html! { span.mk-high { (value) " *" } },
    }
}
