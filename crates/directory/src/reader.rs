//! Reading the files in which authorities publish code tables: CSV or TSV, UTF-8 or GB18030, any column order.

use std::borrow::Cow;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// Number of the row, from 1; the heading is not counted.
    pub number: u64,
    /// The code.
    pub code: String,
    /// Its name.
    pub name: String,
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
    let code = column(&headings, columns.code.as_deref(), CODES, &["编码", "代码", "code"], "编码")?;
    let name = column(&headings, columns.name.as_deref(), NAMES, &["名称", "name"], "名称")?;
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| unreadable(&error))?;
        let cell = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
        rows.push(CodeRow { number: index as u64 + 1, code: cell(code), name: cell(name) });
    }
    Ok(rows)
}

fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(Refusal::invalid(
            "codes.not_text",
            "这不是文本文件（含有空字节，可能是 Excel 工作簿）。请另存为 CSV 后再导入。",
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
            (b"PK\x03\x04\0\0", "codes.not_text"),
            (b"code,name\n1,\xff\xff\n", "codes.encoding"),
            (b"", "codes.no_column"),
        ] {
            let error = read_codes(bytes, &Columns::default()).unwrap_err();
            assert!(error.to_string().starts_with(code), "{error}");
        }
    }
}
