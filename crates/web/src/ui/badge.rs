//! Badges: a status in a word, with a sign, so that colour is never the only signal.

use maud::{Markup, html};

/// How something stands. Red, amber and green mean clinical or quality status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing to say.
    #[default]
    Neutral,
    /// Worth knowing.
    Info,
    /// As it should be.
    Good,
    /// Needs attention.
    Warn,
    /// Wrong, or dangerous.
    Bad,
}

impl Tone {
    /// The class that colours it.
    pub const fn class(self) -> &'static str {
        match self {
            Tone::Neutral => "",
            Tone::Info => "mk-tone-info",
            Tone::Good => "mk-tone-good",
            Tone::Warn => "mk-tone-warn",
            Tone::Bad => "mk-tone-bad",
        }
    }
    /// The sign before the word.
    pub const fn sign(self) -> &'static str {
        match self {
            Tone::Neutral | Tone::Info => "",
            Tone::Good => "✓",
            Tone::Warn => "!",
            Tone::Bad => "✕",
        }
    }
}

/// A status badge.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! {
        span class={ "mk-badge " (tone.class()) } {
            @if !tone.sign().is_empty() { i aria-hidden="true" { (tone.sign()) } }
            (text)
        }
    }
}

/// A neutral badge: a kind, a category.
pub fn plain_badge(text: &str) -> Markup {
    badge(Tone::Neutral, text)
}
