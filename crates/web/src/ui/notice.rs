//! Notices: something happened, where, what to do.

use maud::{Markup, html};

use super::badge::Tone;
use super::icon::icon;

fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral | Tone::Info => "info-circle",
        Tone::Good => "circle-check",
        Tone::Warn => "alert-triangle",
        Tone::Bad => "alert-circle",
    }
}

fn render(tone: Tone, title: &str, text: &str, closable: bool) -> Markup {
    let tone = if tone == Tone::Neutral { Tone::Info } else { tone };
    html! {
        div class={ "mk-notice " (tone.class()) } data-notice role=(if tone == Tone::Bad { "alert" } else { "status" }) {
            (icon(sign(tone)))
            div { @if !title.is_empty() { strong { (title) } } @if !text.is_empty() { p { (text) } } }
            @if closable {
                button.mk-tool type="button" data-act="dismiss" aria-label="关闭" { (icon("x")) }
            }
        }
    }
}

/// A notice that stays.
pub fn notice(tone: Tone, title: &str, text: &str) -> Markup {
    render(tone, title, text, false)
}

/// A notice that can be closed.
pub fn notice_closable(tone: Tone, title: &str, text: &str) -> Markup {
    render(tone, title, text, true)
}
