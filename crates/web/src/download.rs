//! Downloads for spreadsheet programs.

use axum::http::{HeaderName, header};

/// What a download answers.
pub type Download = ([(HeaderName, String); 3], String);

/// A CSV download: UTF-8 with byte-order mark. A cell that a spreadsheet would take for a formula gets an apostrophe
/// before it. `file` is ASCII.
pub fn csv(file: &str, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Download {
    let mut text = String::from("\u{feff}");
    line(&mut text, heads.iter().copied());
    for row in rows {
        line(&mut text, row.iter().map(String::as_str));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, text)
}

fn line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push('"');
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            text.push('\'');
        }
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_in_a_cell_stays_a_text() {
        let (_, text) = csv("x.csv", &["a", "b"], [vec!["=cmd()".to_owned(), "他说\"好\"".to_owned()]]);
        assert_eq!(text, "\u{feff}\"a\",\"b\"\r\n\"'=cmd()\",\"他说\"\"好\"\"\"\r\n");
    }
}
