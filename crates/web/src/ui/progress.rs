//! Progress of a long job: share, count, rate, remaining time; asks again by itself until it is done.

use maud::{Markup, html};

use super::list::thousands;

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub title: &'a str,
    /// Done so far.
    pub done: u64,
    /// To do in all, when it is known.
    pub total: Option<u64>,
    /// What is counted, e.g. `行`.
    pub unit: &'a str,
    /// Per second.
    pub rate: Option<u64>,
    /// Where this piece is fetched again (every two seconds); `None` when the job has ended.
    pub again: Option<&'a str>,
}

fn remaining(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("约剩 {seconds} 秒"),
        60..=3599 => format!("约剩 {} 分钟", seconds.div_ceil(60)),
        _ => format!("约剩 {} 小时 {} 分钟", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Renders it; htmx replaces it with what `again` returns.
pub fn progress(state: &Progress) -> Markup {
    let left = match (state.total, state.rate, state.again) {
        (Some(total), Some(rate), Some(_)) if rate > 0 => Some(total.saturating_sub(state.done) / rate),
        _ => None,
    };
    html! {
        div.mk-progress role="status" hx-get=[state.again] hx-trigger=[state.again.map(|_| "load delay:2s")]
            hx-swap=[state.again.map(|_| "outerHTML")] {
            div {
                strong { (state.title) }
                @if let Some(total) = state.total.filter(|t| *t > 0) { span { (state.done.min(total) * 100 / total) "%" } }
            }
            progress max=[state.total] value=[state.total.map(|t| state.done.min(t))] {}
            div.mk-muted {
                span {
                    (thousands(state.done))
                    @if let Some(total) = state.total { " / " (thousands(total)) }
                    " " (state.unit)
                }
                @if let Some(rate) = state.rate { span { (thousands(rate)) " " (state.unit) "/秒" } }
                @if let Some(left) = left { span { (remaining(left)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn remaining_time_in_words() {
        let table = [
            (0, "约剩 0 秒"),
            (59, "约剩 59 秒"),
            (60, "约剩 1 分钟"),
            (61, "约剩 2 分钟"),
            (7260, "约剩 2 小时 1 分钟"),
        ];
        for (seconds, words) in table {
            assert_eq!(remaining(seconds), words);
        }
    }
}
