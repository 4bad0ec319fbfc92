//! Reading the files in which authorities publish code tables and institutions their maps: CSV or TSV in UTF-8 or
//! GB18030, or a workbook; any column order.

use std::borrow::Cow;
use std::io::Cursor;

use calamine::Reader;
use kernel::{Refusal, Result};

/// Which columns to read; by heading, without regard to case. `None`: found by their headings.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// The column with the code.
    pub code: Option<String>,
    /// The column with the name.
    pub name: Option<String>,
}

/// A row of a code table, with its line for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeRow {
    /// Number of the row, from 1; the heading is not counted.
    pub number: u64,
    /// The code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The broader code, where a column gives it.
    pub parent: String,
    /// Whether it is no longer to be used.
    pub retired: bool,
    /// The code that stands for it now.
    pub replaced_by: String,
    /// Other names.
    pub aliases: Vec<String>,
}

const PARENTS: &[&str] = &["parent", "上级编码", "上级代码", "父编码", "父级编码", "父代码"];
const STATES: &[&str] = &["status", "状态", "使用状态"];
const REPLACED: &[&str] = &["replaced_by", "替代编码", "替代代码", "新编码"];
const ALIASES: &[&str] = &["aliases", "aliases_simplified", "别名", "同义词", "其他名称"];

/// A table as a file holds it: headings in lower case, and rows of trimmed cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    /// Headings, in lower case.
    pub headings: Vec<String>,
    /// Rows; a short row lacks its last cells.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// The column with one of these headings.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.headings.iter().position(|h| h == name))
    }
}

/// Rows that a file may have at most.
const MOST_ROWS: usize = 500_000;

/// The cell of a row; empty without column.
pub fn cell(row: &[String], at: Option<usize>) -> &str {
    at.and_then(|at| row.get(at)).map_or("", String::as_str)
}

const CODES: &[&str] = &[
    "code",
    "编码",
    "代码",
    "值",
    "诊断编码",
    "诊断代码",
    "疾病编码",
    "疾病代码",
    "手术编码",
    "操作编码",
    "主要编码",
];
const NAMES: &[&str] = &[
    "name",
    "名称",
    "值含义",
    "中文名称",
    "诊断名称",
    "疾病名称",
    "手术名称",
    "操作名称",
    "name_simplified",
];

/// Reads a code table.
pub fn read_codes(bytes: &[u8], columns: &Columns) -> Result<Vec<CodeRow>> {
    let grid = read_grid(bytes)?;
    let code = column(&grid.headings, columns.code.as_deref(), CODES, &["编码", "代码", "code"], "编码")?;
    let name = column(&grid.headings, columns.name.as_deref(), NAMES, &["名称", "name"], "名称")?;
    let (parent, status) = (grid.column(PARENTS), grid.column(STATES));
    let (replaced, aliases) = (grid.column(REPLACED), grid.column(ALIASES));
    let row = |(row, number): (&Vec<String>, u64)| CodeRow {
        number,
        code: cell(row, Some(code)).to_owned(),
        name: cell(row, Some(name)).to_owned(),
        parent: cell(row, parent).to_owned(),
        retired: matches!(
            cell(row, status).to_lowercase().as_str(),
            "retired" | "停用" | "废止" | "作废" | "已停用" | "inactive"
        ),
        replaced_by: cell(row, replaced).to_owned(),
        aliases: cell(row, aliases)
            .split(['|', '、', ';', '；'])
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    Ok(grid.rows.iter().zip(1..).map(row).collect())
}

/// Reads a file as a table: a workbook's first sheet, or text with separators.
pub fn read_grid(bytes: &[u8]) -> Result<Grid> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return workbook(bytes);
    }
    let text = decode(bytes)?;
    // Lines that begin with # before the heading are remarks.
    let mut body: &str = &text;
    while body.starts_with('#') {
        body = body.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let heading = body.lines().next().unwrap_or_default();
    let delimiter = if heading.contains('\t') {
        b'\t'
    } else if heading.contains(';') && !heading.contains(',') {
        b';'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(body.as_bytes());
    let headings: Vec<String> = reader
        .headers()
        .map_err(|error| unreadable(&error))?
        .iter()
        .map(|h| h.trim_matches(['"', ' ']).to_lowercase())
        .collect();
    let mut rows = Vec::new();
    for record in reader.records().take(MOST_ROWS) {
        let record = record.map_err(|error| unreadable(&error))?;
        rows.push(record.iter().map(|cell| cell.trim().to_owned()).collect());
    }
    Ok(Grid { headings, rows })
}

fn workbook(bytes: &[u8]) -> Result<Grid> {
    let damaged = |error: calamine::XlsError| {
        Refusal::invalid(
            "codes.not_text",
            format!("Excel 工作簿打不开（{error}）。请检查文件是否完整、是否加密，或另存为 CSV 后再导入。"),
        )
    };
    let sheet = if bytes.starts_with(b"PK") {
        web::workbook::first_sheet(bytes, MOST_ROWS)?.rows
    } else {
        // The older format has at most 65,536 rows of 256 columns.
        let mut book = calamine::Xls::new(Cursor::new(bytes)).map_err(damaged)?;
        let Some(sheet) = book.worksheet_range_at(0) else { return Ok(Grid::default()) };
        let texts =
            |row: &[calamine::Data]| row.iter().map(|cell| cell.to_string().trim().to_owned()).collect();
        sheet.map_err(damaged)?.rows().take(MOST_ROWS).map(texts).collect::<Vec<Vec<String>>>()
    };
    let mut rows = sheet.into_iter().skip_while(|row| {
        row.first().is_none_or(|first| first.starts_with('#') || row.iter().all(String::is_empty))
    });
    let headings = rows.next().unwrap_or_default().iter().map(|h| h.to_lowercase()).collect();
    Ok(Grid { headings, rows: rows.filter(|row| row.iter().any(|cell| !cell.is_empty())).collect() })
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(Refusal::invalid(
            "codes.not_text",
            "这不是文本文件（含有空字节）。请另存为 CSV 或 XLSX 后再导入。",
        )
        .into());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    let (text, damaged) = encoding_rs::GB18030.decode_without_bom_handling(bytes);
    if damaged {
        return Err(Refusal::invalid(
            "codes.encoding",
            "文件既不是 UTF-8 也不是 GB18030 编码。请另存为 UTF-8 的 CSV 后再导入。",
        )
        .into());
    }
    Ok(text)
}

fn unreadable(error: &csv::Error) -> Refusal {
    let place = error.position().map(|p| format!("第 {} 行", p.line())).unwrap_or_default();
    Refusal::invalid("codes.unreadable", format!("代码表文件{place}读不懂：{error}。请检查引号和分隔符。"))
}

/// The chosen column, or the first whose heading is one of `exact`, or the first that ends with one of `endings`.
fn column(
    headings: &[String],
    chosen: Option<&str>,
    exact: &[&str],
    endings: &[&str],
    what: &str,
) -> Result<usize, Refusal> {
    let found = match chosen {
        Some(chosen) => headings.iter().position(|h| *h == chosen.to_lowercase()),
        None => exact
            .iter()
            .find_map(|e| headings.iter().position(|h| h == e))
            .or_else(|| headings.iter().position(|h| endings.iter().any(|e| h.ends_with(e)))),
    };
    found.ok_or_else(|| {
        let wanted = chosen.map(|c| format!("“{c}”")).unwrap_or_else(|| format!("{what}列"));
        Refusal::invalid(
            "codes.no_column",
            format!(
                "文件中找不到{wanted}。表头有：{}。请用 --code-column 和 --name-column 指明是哪一列。",
                headings.join("、")
            ),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
        read_codes(bytes, &Columns::default()).unwrap().into_iter().map(|r| (r.code, r.name)).collect()
    }

    #[test]
    fn finds_columns_delimiter_and_encoding() {
        let wanted = vec![("I10.x00".to_owned(), "特发性高血压".to_owned())];
        for text in [
            "code,name\nI10.x00,特发性高血压\n",
            "\u{feff}名称,编码\r\n特发性高血压,I10.x00\r\n",
            "# 说明\n# 再说明\n序号\t疾病编码\t疾病名称\n1\tI10.x00\t特发性高血压\n",
            "章节,ICD-10诊断编码,ICD-10诊断名称\n9,\"I10.x00\",\" 特发性高血压 \"\n",
            "CODE;NAME\nI10.x00;特发性高血压",
        ] {
            assert_eq!(pairs(text.as_bytes()), wanted, "{text}");
            let (gb, _, _) = encoding_rs::GB18030.encode(text.trim_start_matches('\u{feff}'));
            assert_eq!(pairs(&gb), wanted, "GB18030: {text}");
        }
        let chosen = Columns { code: Some("B".into()), name: Some("a".into()) };
        let rows = read_codes("A,B\n甲,1\n".as_bytes(), &chosen).unwrap();
        assert_eq!((rows[0].code.as_str(), rows[0].name.as_str()), ("1", "甲"));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        for (bytes, code) in [
            (&b"a,b\n1,2\n"[..], "codes.no_column"),
            (b"PK\x03\x04\0\0", "workbook.unreadable"),
            (b"code,name\n1,\xff\xff\n", "codes.encoding"),
            (b"", "codes.no_column"),
        ] {
            let error = read_codes(bytes, &Columns::default()).unwrap_err();
            assert!(error.to_string().starts_with(code), "{error}");
        }
    }
}
