//! Reads the first sheet of an XLSX workbook that somebody uploaded, without trusting it: a kilobyte of workbook can
//! claim a sheet of seventeen milliard cells, and two megabytes can unpack to two gigabytes.

use std::io::{Cursor, Read};

use calamine::{Data, Reader, Xlsx};
use kernel::Refusal;

/// The most bytes that a workbook may unpack to.
const UNPACKED: u64 = 256 * 1024 * 1024;
/// The most parts (files inside the workbook).
const PARTS: usize = 1_000;
/// The most columns that are looked at.
const COLUMNS: u32 = 256;
/// The most filled cells.
const CELLS: usize = 5_000_000;

/// What stands in a sheet, without the empty rows above and the empty columns before it. A row ends with its last
/// filled cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Position of the first of the rows in the sheet, from 0.
    pub first: u32,
    /// The cells as texts.
    pub rows: Vec<Vec<String>>,
}

/// The first sheet, at most `most` rows of it.
pub fn first_sheet(bytes: &[u8], most: usize) -> Result<Sheet, Refusal> {
    check_size(bytes)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let Some(name) = book.sheet_names().first().cloned() else { return Ok(Sheet::default()) };
    let mut cells = book.worksheet_cells_reader(&name).map_err(unreadable)?;
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    let mut first_row = None;
    while let Some(cell) = cells.next_cell().map_err(unreadable)? {
        let (row, column) = cell.get_position();
        let text = typed(&Data::from(cell.get_value().clone()));
        if text.is_empty() || column >= COLUMNS {
            continue;
        }
        let first = *first_row.get_or_insert(row);
        if row.saturating_sub(first) as usize >= most {
            break;
        }
        if found.len() >= CELLS {
            return Err(too_large());
        }
        found.push((row as usize, column as usize, text));
    }
    let top = found.iter().map(|c| c.0).min().unwrap_or_default();
    let left = found.iter().map(|c| c.1).min().unwrap_or_default();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (row, column, text) in found {
        let (row, column) = (row - top, column - left);
        if row >= most {
            continue;
        }
        if rows.len() <= row {
            rows.resize_with(row + 1, Vec::new);
        }
        if let Some(cells) = rows.get_mut(row) {
            if cells.len() <= column {
                cells.resize_with(column + 1, String::new);
            }
            if let Some(cell) = cells.get_mut(column) {
                *cell = text;
            }
        }
    }
    Ok(Sheet { first: top as u32, rows })
}

/// A cell as it was typed: whole numbers without a point, days as `2025-03-04`.
fn typed(data: &Data) -> String {
    match data {
        Data::String(text) => text.trim().to_owned(),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
        Data::Float(number) => number.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Bool(yes) => if *yes { "1" } else { "0" }.to_owned(),
        Data::DateTime(time) => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            match (hour, minute, second) {
                (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        _ => String::new(),
    }
}

/// Unpacks everything once into nothing: what the parts say of their size is not believed.
fn check_size(bytes: &[u8]) -> Result<(), Refusal> {
    let mut parts = zip::ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    if parts.len() > PARTS {
        return Err(too_large());
    }
    let mut left = UNPACKED;
    for at in 0..parts.len() {
        let part = parts.by_index(at).map_err(unreadable)?;
        let read = std::io::copy(&mut part.take(left + 1), &mut std::io::sink()).map_err(unreadable)?;
        left = left.checked_sub(read).ok_or_else(too_large)?;
    }
    Ok(())
}

fn unreadable(error: impl std::fmt::Display) -> Refusal {
    tracing::debug!(%error, "a workbook cannot be read");
    Refusal::invalid(
        "workbook.unreadable",
        "Excel 工作簿打不开。请检查文件是否完整、是否加密，或另存为 .xlsx 或 CSV 后重新上传。",
    )
}

fn too_large() -> Refusal {
    Refusal::invalid(
        "workbook.too_large",
        "Excel 工作簿解压后过大或单元格过多。请只保留需要导入的工作表，或另存为 CSV、分成几个文件后重新上传。",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A workbook whose only sheet has this content, and a part of so many zero bytes.
    fn workbook(sheet: &str, zeros: usize) -> Vec<u8> {
        let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let package = "http://schemas.openxmlformats.org/package/2006/relationships";
        let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [
            (
                "_rels/.rels",
                format!(
                    "<Relationships xmlns=\"{package}\"><Relationship Id=\"r1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                format!(
                    "<Relationships xmlns=\"{package}\"><Relationship Id=\"r1\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml",
                format!(
                    "<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"a\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
                ),
            ),
            (
                "xl/worksheets/sheet1.xml",
                format!("<worksheet xmlns=\"{main}\"><sheetData>{sheet}</sheetData></worksheet>"),
            ),
        ] {
            out.start_file(name, options).unwrap();
            out.write_all(text.as_bytes()).unwrap();
        }
        if zeros > 0 {
            out.start_file("xl/media/image1.png", options).unwrap();
            let piece = vec![0u8; 1 << 20];
            for _ in 0..zeros >> 20 {
                out.write_all(&piece).unwrap();
            }
        }
        out.finish().unwrap().into_inner()
    }

    fn cell(at: &str, value: &str) -> String {
        format!("<c r=\"{at}\" t=\"str\"><v>{value}</v></c>")
    }

    #[test]
    fn a_sheet_is_read_as_people_see_it() {
        let sheet = format!(
            "<row r=\"3\">{}{}</row><row r=\"5\"><c r=\"B5\"><v>7</v></c></row>",
            cell("B3", "姓名"),
            cell("D3", "工号")
        );
        let read = first_sheet(&workbook(&sheet, 0), 10).unwrap();
        assert_eq!(read.rows, [vec!["姓名", "", "工号"], vec![], vec!["7"]]);
        assert_eq!(read.first, 2);
        assert_eq!(first_sheet(&workbook(&sheet, 0), 1).unwrap().rows.len(), 1);
    }

    #[test]
    fn two_cells_far_apart_cost_two_cells() {
        let sheet = format!(
            "<row r=\"1\">{}</row><row r=\"1048576\">{}</row>",
            cell("A1", "x"),
            cell("XFD1048576", "y")
        );
        assert_eq!(first_sheet(&workbook(&sheet, 0), 500_000).unwrap().rows, [vec!["x"]]);
    }

    #[test]
    fn a_workbook_that_unpacks_to_too_much_is_refused() {
        let bomb = workbook("", 300 << 20);
        assert!(bomb.len() < 2 << 20, "{}", bomb.len());
        assert_eq!(first_sheet(&bomb, 10).unwrap_err().code, "workbook.too_large");
        assert_eq!(first_sheet(b"PK\x03\x04 no workbook", 10).unwrap_err().code, "workbook.unreadable");
    }
}
