//! Cells on their way out: what a spreadsheet would run as a formula.

use std::borrow::Cow;

/// A cell as it may be written to a CSV or spreadsheet export.
///
/// Cells are stored as they came. A text that begins with `=`, `+`, `-`, `@`, a tab or a line end would be run as a
/// formula by spreadsheet programs, so an apostrophe is put before it. Plain numbers (`-1.5`, `+3`) stay as they are.
pub fn neutralise(cell: &str) -> Cow<'_, str> {
    let risky = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if !risky || is_number(cell) {
        return Cow::Borrowed(cell);
    }
    Cow::Owned(format!("'{cell}"))
}

fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let mut points = 0;
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| {
            points += u32::from(c == '.');
            c.is_ascii_digit() || c == '.'
        })
        && points <= 1
}

#[cfg(test)]
mod tests {
    use super::neutralise;

    #[test]
    fn formulas_are_made_text() {
        for (cell, out) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("+86 13800000000", "'+86 13800000000"),
            ("-1.5", "-1.5"),
            ("+3", "+3"),
            ("-", "'-"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("张三", "张三"),
            ("", ""),
            ("1-2", "1-2"),
        ] {
            assert_eq!(neutralise(cell), out, "{cell:?}");
        }
    }
}
