//! A list as a workbook for spreadsheet programs. Cells are texts or numbers, never formulas.

use axum::http::{HeaderName, header};
use kernel::Result;
use kernel::error::Doing;
use rust_xlsxwriter::{Format, Workbook};

/// What a download of a workbook answers.
pub(crate) type SheetDownload = ([(HeaderName, String); 3], Vec<u8>);

/// Columns whose heading begins so hold numbers.
const NUMBERS: [&str; 3] = ["行数", "数量", "占比"];

/// A workbook with one sheet under a bold, frozen heading. `file` is ASCII.
pub(crate) fn xlsx(
    file: &str,
    sheet_name: &str,
    heads: &[&str],
    rows: &[Vec<String>],
) -> Result<SheetDownload> {
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
            let number = heads.get(column).is_some_and(|h| NUMBERS.iter().any(|n| h.starts_with(n)));
            match cell.parse::<f64>() {
                Ok(value) if number => sheet.write_number(r, c, value).doing("write a workbook")?,
                _ => sheet.write_string(r, c, cell).doing("write a workbook")?,
            };
        }
    }
    sheet.set_freeze_panes(1, 0).doing("write a workbook")?;
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
