//! A table as a workbook for spreadsheet programs.

use axum::http::{HeaderName, header};
use kernel::Result;
use kernel::error::Doing;
use rust_xlsxwriter::{Format, Workbook};

/// A cell of a workbook.
#[derive(Debug, Clone, PartialEq)]
pub enum SheetCell {
    /// A text; never read as a formula.
    Text(String),
    /// A number.
    Number(f64),
    /// Nothing.
    Empty,
}

impl From<&str> for SheetCell {
    fn from(text: &str) -> Self {
        SheetCell::Text(text.to_owned())
    }
}
impl From<i64> for SheetCell {
    fn from(number: i64) -> Self {
        SheetCell::Number(number as f64)
    }
}
impl From<Option<f64>> for SheetCell {
    fn from(number: Option<f64>) -> Self {
        // As many digits as the page shows.
        number.map_or(SheetCell::Empty, |n| SheetCell::Number((n * 100.0).round() / 100.0))
    }
}

/// What a download of a workbook answers.
pub type SheetDownload = ([(HeaderName, String); 3], Vec<u8>);

/// A workbook with one sheet under a bold, frozen heading. `file` is ASCII.
pub fn xlsx(file: &str, sheet_name: &str, heads: &[&str], rows: &[Vec<SheetCell>]) -> Result<SheetDownload> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.set_name(sheet_name).doing("write a workbook")?;
    let bold = Format::new().set_bold();
    for (column, head) in heads.iter().enumerate() {
        sheet.write_string_with_format(0, column as u16, *head, &bold).doing("write a workbook")?;
    }
    for (at, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let (r, c) = (at as u32 + 1, column as u16);
            match cell {
                SheetCell::Text(text) => sheet.write_string(r, c, text).doing("write a workbook")?,
                SheetCell::Number(number) => sheet.write_number(r, c, *number).doing("write a workbook")?,
                SheetCell::Empty => continue,
            };
        }
    }
    sheet.set_freeze_panes(1, 0).doing("write a workbook")?;
    sheet.autofit();
    let bytes = workbook.save_to_buffer().doing("write a workbook")?;
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".to_owned(),
        ),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes))
}

/// The same cells as texts, for CSV.
pub fn texts(row: &[SheetCell]) -> Vec<String> {
    row.iter()
        .map(|cell| match cell {
            SheetCell::Text(text) => text.clone(),
            SheetCell::Number(number) => number.to_string(),
            SheetCell::Empty => String::new(),
        })
        .collect()
}
