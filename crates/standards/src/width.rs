//! Full-width characters (全角) as half-width ones, for codes, numbers and dates.

use std::borrow::Cow;

/// The half-width form of a character: `Ａ` → `A`, `０` → `0`, ideographic space → space; others as they are.
#[must_use]
pub const fn fold_char(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => match char::from_u32(c as u32 - 0xfee0) {
            Some(folded) => folded,
            None => c,
        },
        _ => c,
    }
}

/// Whether folding would change the text. Only texts beyond ASCII can.
fn needs_folding(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(|c| fold_char(c) != c)
}

/// The text with full-width digits, letters, punctuation and spaces made half-width. Does not allocate when
/// there is nothing to change.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if needs_folding(text) { Cow::Owned(text.chars().map(fold_char).collect()) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_full_width_and_leaves_the_rest() {
        for (from, to) in [
            ("", ""),
            ("abc 12", "abc 12"),
            ("ＡＢＣ１２３", "ABC123"),
            ("２０２５－０３－０４　１４：０５", "2025-03-04 14:05"),
            ("张三", "张三"),
            ("张三（男）", "张三(男)"),
        ] {
            assert_eq!(fold(from), to);
        }
        assert!(matches!(fold("张三"), Cow::Borrowed(_)));
    }
}
