//! Values as the reader may see them, with what differs marked. Differences are found in what was registered and marked
//! in what is shown, so that a digit that differs stands out even where it is masked.

use catalog::Masks;
use kernel::Caller;
use maud::{Markup, html};

use super::diff::marks;

/// Who looks, and whether numbers were asked for in full.
#[derive(Clone, Copy)]
pub(super) struct Eyes<'a> {
    pub masks: &'a Masks,
    pub caller: &'a Caller,
    /// Numbers in full: an audited act.
    pub open: bool,
}

impl Eyes<'_> {
    /// A value of this kind (of `catalog/masks.toml`; empty for what is never masked).
    pub(super) fn shown(&self, kind: &str, value: &str) -> String {
        if self.open || kind.is_empty() {
            value.to_owned()
        } else {
            self.masks.shown_to(self.caller, kind, value)
        }
    }

    /// The value with what is not in `other` marked.
    pub(super) fn compared(&self, kind: &str, other: Option<&str>, value: &str) -> Markup {
        let shown = self.shown(kind, value);
        if value.is_empty() {
            return html! { span.mk-muted { "—" } };
        }
        let marks = other.map(|other| marks(other, value)).unwrap_or_default();
        if !marks.iter().any(|marked| *marked) {
            return html! { (shown) };
        }
        let letters: Vec<char> = shown.chars().collect();
        if letters.len() != marks.len() {
            return html! { mark.mk-char { (shown) } };
        }
        let mut runs: Vec<(bool, String)> = Vec::new();
        for (letter, marked) in letters.into_iter().zip(marks) {
            match runs.last_mut() {
                Some((last, text)) if *last == marked => text.push(letter),
                _ => runs.push((marked, letter.to_string())),
            }
        }
        html! {
            @for (marked, text) in runs { @if marked { mark.mk-char { (text) } } @else { (text) } }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_digit_that_differs_is_marked_and_stays_masked() {
        let masks = catalog::shipped().unwrap().masks;
        let reviewer =
            Caller { roles: vec!["index_reviewer".into()], ..Caller::blank(kernel::CallerKind::Staff) };
        let eyes = Eyes { masks: &masks, caller: &reviewer, open: false };
        let number =
            eyes.compared("citizen_id", Some("411503195811071234"), "411503195811701234").into_string();
        assert_eq!(number, "411503******<mark class=\"mk-char\">**</mark>1234");
        assert_eq!(
            eyes.compared("name", Some("张伟"), "张玮").into_string(),
            "张<mark class=\"mk-char\">玮</mark>"
        );
        let others = Caller { roles: vec!["auditor".into()], ..Caller::blank(kernel::CallerKind::Staff) };
        let eyes = Eyes { caller: &others, ..eyes };
        assert!(!eyes.compared("name", Some("张伟"), "张玮").into_string().contains('玮'));
        let eyes = Eyes { open: true, ..eyes };
        assert!(eyes.compared("name", None, "张玮").into_string().contains('玮'));
    }
}
