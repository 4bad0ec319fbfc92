//! Tables to and from spreadsheet programs: XLSX, and CSV in UTF-8 or GB18030.

use axum::http::{HeaderName, header};
use kernel::error::Doing;
use kernel::{Refusal, Result};
use rust_xlsxwriter::{Format, Workbook};

use crate::terminology::reader::decode;

/// Rows that one file may bring.
pub const ROWS: usize = 100_000;

/// What a download of a workbook answers.
pub type SheetDownload = ([(HeaderName, String); 3], Vec<u8>);

/// A workbook with one sheet of texts under a bold, frozen heading. Texts are never read as formulas. `file` is ASCII.
pub fn xlsx(
    file: &str,
    name: &str,
    heads: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<SheetDownload> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.set_name(name).doing("write a workbook")?;
    let bold = Format::new().set_bold();
    let text = Format::new().set_num_format("@");
    for (column, head) in heads.iter().enumerate() {
        sheet.set_column_format(column as u16, &text).doing("write a workbook")?;
        sheet.set_column_width(column as u16, 16).doing("write a workbook")?;
        sheet.write_string_with_format(0, column as u16, *head, &bold).doing("write a workbook")?;
    }
    for (at, row) in rows.into_iter().enumerate() {
        for (column, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            sheet.write_string(at as u32 + 1, column as u16, cell).doing("write a workbook")?;
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

/// A table as a file brought it: headings, and rows with their number in the file (the heading is row 1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub heads: Vec<String>,
    /// Number and cells.
    pub rows: Vec<(u32, Vec<String>)>,
}

/// Reads a spreadsheet; which kind it is, its first bytes tell.
///
/// # Errors
/// Refuses what is neither, with what to do.
pub fn read(bytes: &[u8]) -> Result<Table> {
    let table = if bytes.starts_with(b"PK") { read_xlsx(bytes)? } else { read_csv(bytes)? };
    if table.heads.iter().all(String::is_empty) {
        return Err(
            Refusal::invalid("sheet.empty", "文件第一行应是表头，但它是空的。请用下载的模板填写。").into()
        );
    }
    if table.rows.is_empty() {
        return Err(Refusal::invalid("sheet.no_rows", "文件里只有表头，没有数据行。").into());
    }
    if table.rows.len() > ROWS {
        return Err(Refusal::invalid(
            "sheet.too_long",
            format!("文件有 {} 行，一次最多导入 {ROWS} 行。请拆成几个文件。", table.rows.len()),
        )
        .into());
    }
    Ok(table)
}

fn read_xlsx(bytes: &[u8]) -> Result<Table> {
    // One row more than allowed, so that a sheet that is too long is told so.
    let sheet = web::workbook::first_sheet(bytes, ROWS + 2)?;
    let mut rows = sheet.rows.into_iter();
    let heads = rows.next().unwrap_or_default();
    let width = heads.len();
    let rows = (sheet.first + 2..)
        .zip(rows)
        .filter(|(_, row)| row.iter().any(|cell| !cell.is_empty()))
        .map(|(number, mut row)| {
            row.resize(width.max(row.len()), String::new());
            (number, row)
        })
        .collect();
    Ok(Table { heads, rows })
}

fn read_csv(bytes: &[u8]) -> Result<Table> {
    let text = decode(bytes)?;
    let heading = text.lines().next().unwrap_or_default();
    let delimiter = if heading.contains('\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut table = Table::default();
    for (at, record) in reader.records().enumerate() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            Refusal::invalid("sheet.unreadable", format!("第 {line} 行读不懂：{error}。请检查引号是否成对。"))
        })?;
        // An apostrophe before a sign is what our own downloads write against formulas.
        let cells: Vec<String> = record
            .iter()
            .map(|cell| match cell.strip_prefix('\'') {
                Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest.to_owned(),
                _ => cell.to_owned(),
            })
            .collect();
        if at == 0 {
            table.heads = cells;
        } else if cells.iter().any(|cell| !cell.is_empty()) {
            table.rows.push((at as u32 + 1, cells));
        }
    }
    Ok(table)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let rows = vec![vec!["张三".to_owned(), "007".to_owned()], vec!["=cmd()".to_owned(), String::new()]];
        let (_, bytes) = xlsx("x.xlsx", "表", &["姓名", "工号"], rows).unwrap();
        let table = read(&bytes).unwrap();
        assert_eq!(table.heads, ["姓名", "工号"]);
        assert_eq!(table.rows[0], (2, vec!["张三".to_owned(), "007".to_owned()]));
        assert_eq!(table.rows[1].1[0], "=cmd()");
    }

    #[test]
    fn csv_in_both_encodings_and_what_is_no_table() {
        let text = "姓名,工号\n张三,007\n\n,\n李四,'-1\n";
        let (gb, _, _) = encoding_rs::GB18030.encode(text);
        for bytes in [text.as_bytes(), &gb] {
            let table = read(bytes).unwrap();
            let rows: Vec<&str> = table.rows.iter().map(|(_, row)| row[1].as_str()).collect();
            assert_eq!(rows, ["007", "-1"]);
        }
        for (bytes, code) in [
            (&b"PK\x03\x04broken"[..], "workbook.unreadable"),
            (b"a,b\n", "sheet.no_rows"),
            (b"", "sheet.empty"),
            (b"\0\0", "codes.not_text"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.to_string().starts_with(code), "{error}");
        }
    }
}
