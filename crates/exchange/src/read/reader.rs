//! The reader: rows of a data set out of a file.

use std::collections::HashMap;
use std::io::Read;

use catalog::{Dataset, HeadingNames, RawRow, map_headings};
use memchr::memchr;

use super::bytes::{Charset, Text};
use super::csv::{self, BadQuote, Dialect};
use super::error::{ReadError, RowError};
use super::json::{self, Cell};
use super::window::{Framed, Window};

/// Greatest number of columns of a file and of members of a JSON object.
pub const MAX_COLUMNS: usize = 2_000;

/// A row as read, or why it could not be.
pub type ReadRow = Result<RawRow, RowError>;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A heading line and records of cells.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    JsonArray,
}

impl Format {
    /// The media type.
    pub const fn media(self) -> &'static str {
        match self {
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
            Format::JsonArray => "application/json",
        }
    }
}

/// A record of the file, before it is known what its cells mean. Shared with the reading back of originals.
pub(super) struct Records<'a> {
    pub(super) window: Window<'a>,
    pub(super) format: Format,
    pub(super) dialect: Dialect,
    /// Number of the latest record; the heading is not counted, blank lines are.
    pub(super) number: u64,
    pub(super) blank: u64,
}

/// What [`Records::next`] met.
pub(super) enum Next {
    /// A record of `length` bytes stands at the window's beginning; pass over `taken` when done with it.
    Record { length: usize, taken: usize },
    /// A record that cannot be used and has been passed over.
    Bad(RowError),
    /// The end.
    End,
}

impl<'a> Records<'a> {
    /// Opens a source and finds out how it is written. `hint` settles what the content leaves open.
    pub(super) fn open(source: impl Read + Send + 'a, hint: Option<Format>) -> Result<Self, ReadError> {
        let mut window = Window::new(Text::open(source)?);
        let Some(first) = window.skip_blank(b'\n')? else {
            return Err(ReadError::file(
                "empty_file",
                "文件中只有空白，没有数据。请检查导出程序，重新生成后再上传。",
            ));
        };
        let format = match (first, hint) {
            (b'{', _) => Format::Ndjson,
            (b'[', Some(Format::Csv)) => Format::Csv,
            (b'[', _) => Format::JsonArray,
            (_, Some(Format::Ndjson)) => Format::Ndjson,
            (_, Some(Format::JsonArray)) => {
                return Err(ReadError::file(
                    "not_json",
                    "按 JSON 提交，但内容不是以“[”或“{”开头。请检查文件内容，或改按 CSV 提交。",
                ));
            }
            (b'<', _) => {
                return Err(ReadError::file(
                    "foreign_format",
                    "这是 XML 或网页文件，不是数据文件。请另存为 CSV（UTF-8 或 GB18030）或 NDJSON。",
                ));
            }
            _ => Format::Csv,
        };
        if format == Format::JsonArray {
            window.take(1);
        }
        let dialect = if format == Format::Csv {
            Dialect::detect(window.data())
        } else {
            Dialect { delimiter: b',', line_end: b'\n' }
        };
        Ok(Self { window, format, dialect, number: 0, blank: 0 })
    }

    /// The next record. It is validated as text: UTF-8 without NUL.
    pub(super) fn next(&mut self) -> Result<Next, ReadError> {
        loop {
            let (length, taken) = match self.frame().map_err(|e| self.locate(e))? {
                Framed::Record { length, taken } => (length, taken),
                Framed::End => return Ok(Next::End),
                Framed::TooLong => {
                    self.number += 1;
                    return Ok(Next::Bad(RowError::new(
                        self.number,
                        "record_too_long",
                        format!(
                            "第 {} 行超过 16 MB，未读取。请检查是否缺少换行或引号不配对，超长内容请按文件上传。",
                            self.number
                        ),
                    )));
                }
                Framed::Unclosed => {
                    let row = self.number + 1;
                    let at = self.window.position() + 1;
                    let (code, message) = if self.format == Format::Csv {
                        (
                            "unclosed_quote",
                            format!(
                                "第 {row} 行有一个双引号直到文件末尾都没有配对，其后的内容无法读取。请补上右引号（单元格内的引号写成两个）。"
                            ),
                        )
                    } else {
                        (
                            "unclosed_json",
                            format!(
                                "第 {row} 条 JSON 直到文件末尾都没有结束，其后的内容无法读取。请检查括号和引号，或文件是否传输完整。"
                            ),
                        )
                    };
                    return Err(ReadError::file(code, message).at_row(row).at_byte(at));
                }
            };
            self.number += 1;
            let bytes = &self.window.data()[..length];
            if bytes.iter().all(u8::is_ascii_whitespace) {
                self.window.take(taken);
                self.blank += 1;
                continue;
            }
            if let Some(bad) = self.fault_of_text(length) {
                self.window.take(taken);
                return Ok(Next::Bad(bad));
            }
            return Ok(Next::Record { length, taken });
        }
    }

    fn frame(&mut self) -> Result<Framed, ReadError> {
        match self.format {
            Format::Csv => self.window.frame_csv(self.dialect.delimiter, self.dialect.line_end),
            Format::Ndjson => self.window.frame_line(b'\n'),
            Format::JsonArray => match self.window.skip_blank(b',')? {
                Some(b']') => {
                    self.window.take(1);
                    match self.window.skip_blank(b' ')? {
                        None => Ok(Framed::End),
                        Some(_) => Err(ReadError::file(
                            "json_trailing",
                            "JSON 数组结束之后还有多余的内容，未读取。请把全部记录放在同一个数组中。",
                        )
                        .at_byte(self.window.position() + 1)),
                    }
                }
                Some(_) => self.window.frame_value(),
                None => Ok(Framed::Unclosed),
            },
        }
    }

    /// A fault of the source, told with the row it stopped at.
    fn locate(&self, mut fault: ReadError) -> ReadError {
        let row = self.number + 1;
        if fault.row.is_none() {
            fault.message = format!("{}出错位置：第 {row} 行（之前的行已读取）。", fault.message);
            fault.row = Some(row);
        }
        fault
    }

    /// What is wrong with the text of the record at the window's beginning.
    fn fault_of_text(&mut self, length: usize) -> Option<RowError> {
        let number = self.number;
        let from = self.window.position();
        let bytes = &self.window.data()[..length];
        if let Some(i) = memchr(0, bytes) {
            let at = from + i as u64 + 1;
            return Some(RowError::new(
                number,
                "nul_byte",
                format!("第 {number} 行（文件第 {at} 字节）含有空字符（NUL，0x00）。请在导出时去掉。"),
            ));
        }
        let at = from + std::str::from_utf8(bytes).err()?.valid_up_to() as u64;
        let place = match self.window.text.source_position(from, at) {
            Some(at) => format!("（文件第 {} 字节）", at + 1),
            None => String::new(),
        };
        let charset = self.window.text.charset().name().to_uppercase();
        Some(RowError::new(
            number,
            "invalid_text",
            format!(
                "第 {number} 行{place}有不属于 {charset} 编码的字节。请检查该行是否混入了其他编码，统一编码后重传该行。"
            ),
        ))
    }

    /// The text of the record at the window's beginning; [`Self::next`] has validated it.
    pub(super) fn text(&self, length: usize) -> &str {
        let text = std::str::from_utf8(&self.window.data()[..length]).unwrap_or_default();
        if self.format == Format::Csv { text.strip_suffix('\r').unwrap_or(text) } else { text }
    }

    /// The heading line of a CSV file.
    pub(super) fn heading(&mut self) -> Result<Vec<String>, ReadError> {
        let next = self.next()?;
        let row = |e: RowError| {
            ReadError::file("heading_invalid", format!("表头无法读取：{}", e.message)).at_row(0)
        };
        let (length, taken) = match next {
            Next::Record { length, taken } => (length, taken),
            Next::Bad(e) => return Err(row(e)),
            Next::End => return Err(ReadError::file("empty_file", "文件中没有数据。")),
        };
        let mut out = Vec::new();
        let cells = csv::cells(self.text(length), self.dialect.delimiter, |i, cell| {
            if i < MAX_COLUMNS {
                out.push(cell.trim().to_owned());
            }
        });
        match cells {
            Ok(n) if n > MAX_COLUMNS => {
                return Err(ReadError::file(
                    "too_many_columns",
                    format!("表头有 {n} 列，超过上限 {MAX_COLUMNS} 列。请检查分隔符或是否行列颠倒。"),
                )
                .at_row(0));
            }
            Ok(_) => {}
            Err(BadQuote(i)) => {
                return Err(ReadError::file(
                    "heading_invalid",
                    format!("表头第 {} 列的双引号不配对。请修正后重传。", i + 1),
                )
                .at_row(0));
            }
        }
        self.window.take(taken);
        self.number = 0;
        self.blank = 0;
        Ok(out)
    }
}

/// Reads rows of one data set.
pub struct RowReader<'a> {
    records: Records<'a>,
    dataset: &'a Dataset,
    headings: HeadingNames,
    /// CSV: the field of each column.
    columns: Vec<Option<usize>>,
    /// JSON: the members of the latest object in order, which the next most likely repeats.
    order: Vec<(Box<str>, Option<usize>)>,
    known: HashMap<Box<str>, Option<usize>>,
    unknown: Vec<String>,
    pending: Option<ReadError>,
    ended: bool,
}

/// Opens a file of a data set: finds compression, character set, format and what its headings mean.
///
/// `hint` is what the sender said (media type, file name); the content outweighs it except where it leaves the
/// question open.
pub fn open<'a>(
    source: impl Read + Send + 'a,
    dataset: &'a Dataset,
    hint: Option<Format>,
) -> Result<RowReader<'a>, ReadError> {
    let mut reader = RowReader {
        records: Records::open(source, hint)?,
        dataset,
        headings: HeadingNames::new(dataset),
        columns: Vec::new(),
        order: Vec::new(),
        known: HashMap::new(),
        unknown: Vec::new(),
        pending: None,
        ended: false,
    };
    if reader.records.format == Format::Csv {
        reader.read_heading()?;
    }
    Ok(reader)
}

impl RowReader<'_> {
    /// Appends at most `max` rows to `out`; how many, 0 at the end of the file. After an error, always the same error.
    pub fn next_rows(&mut self, max: usize, out: &mut Vec<ReadRow>) -> Result<usize, ReadError> {
        if let Some(fault) = &self.pending {
            return Err(fault.clone());
        }
        let mut count = 0;
        while count < max && !self.ended {
            match self.next_row() {
                Ok(Some(row)) => {
                    out.push(row);
                    count += 1;
                }
                Ok(None) => self.ended = true,
                Err(fault) => {
                    self.pending = Some(fault.clone());
                    if count == 0 {
                        return Err(fault);
                    }
                    break;
                }
            }
        }
        Ok(count)
    }

    /// How the file is written.
    pub fn format(&self) -> Format {
        self.records.format
    }

    /// The file's character set, as far as it has been read (a file is ASCII until the first other character).
    pub fn charset(&self) -> Charset {
        self.records.window.text.charset()
    }

    /// Media type, character set and compression, e.g. `text/csv; charset=gb18030; gzip`.
    pub fn media(&self) -> String {
        let gzip = if self.records.window.text.gzip() { "; gzip" } else { "" };
        format!("{}; charset={}{gzip}", self.records.format.media(), self.charset().name())
    }

    /// Headings that no field answers to, in the order met (at most 2,000). Their cells are not stored.
    pub fn unknown_headings(&self) -> &[String] {
        &self.unknown
    }

    /// Blank rows passed over. They count in row numbers.
    pub fn blank_rows(&self) -> u64 {
        self.records.blank
    }

    /// Bytes taken from the source so far (compressed, if it is), for showing progress.
    pub fn source_bytes(&self) -> u64 {
        self.records.window.text.taken()
    }

    /// Remarks for the receipt, in Chinese.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.unknown.is_empty() {
            let more = if self.unknown.len() > 20 { " 等" } else { "" };
            let shown: Vec<&str> = self.unknown.iter().take(20).map(String::as_str).collect();
            notes.push(format!(
                "{} 个列名不属于“{}”，其内容未入库：{}{more}。",
                self.unknown.len(),
                self.dataset.name,
                shown.join("、")
            ));
        }
        if self.records.blank > 0 {
            notes.push(format!("跳过 {} 个空行。", self.records.blank));
        }
        notes
    }

    fn read_heading(&mut self) -> Result<(), ReadError> {
        let headings = self.records.heading()?;
        let mut by_name: HashMap<String, usize> = HashMap::new();
        let mut by_field: HashMap<usize, usize> = HashMap::new();
        for (i, heading) in headings.iter().enumerate() {
            let field = self.headings.field(heading);
            self.columns.push(field);
            if heading.is_empty() {
                continue;
            }
            let earlier = match field {
                Some(f) => by_field.insert(f, i),
                None => by_name.insert(heading.to_lowercase(), i),
            };
            if let Some(earlier) = earlier {
                let meaning = match field {
                    Some(f) => format!("，都表示“{}”", self.dataset.fields[f].title),
                    None => String::new(),
                };
                return Err(ReadError::file(
                    "duplicate_heading",
                    format!(
                        "表头重复：第 {} 列“{}”与第 {} 列“{heading}”{meaning}。请删除或改名其中一列。",
                        earlier + 1,
                        headings[earlier],
                        i + 1
                    ),
                )
                .at_row(0));
            }
            if field.is_none() {
                self.unknown.push(heading.clone());
            }
        }
        if by_field.is_empty() {
            let first: String = headings.join("，").chars().take(60).collect();
            return Err(ReadError::file(
                "heading_missing",
                format!(
                    "第一行不是“{}”的表头（读到：{first}）。请在第一行写上列名：字段名、中文名或数据元标识符均可。",
                    self.dataset.name
                ),
            )
            .at_row(0));
        }
        // The rest of the rules: shared identifiers, columns without which no row can be stored.
        let names: Vec<&str> = headings.iter().map(String::as_str).collect();
        if let Err(error) = map_headings(self.dataset, &names) {
            return Err(ReadError::file(
                "heading_invalid",
                format!("表头不能用于“{}”：{error}。请修改第一行后重传。", self.dataset.name),
            )
            .at_row(0));
        }
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<ReadRow>, ReadError> {
        loop {
            let (length, taken) = match self.records.next()? {
                Next::Record { length, taken } => (length, taken),
                Next::Bad(error) => return Ok(Some(Err(error))),
                Next::End => return Ok(None),
            };
            let row = match self.records.format {
                Format::Csv => self.csv_row(length),
                Format::Ndjson | Format::JsonArray => self.json_row(length).map(Some),
            };
            self.records.window.take(taken);
            match row {
                // A record of nothing but delimiters, as spreadsheets leave at the end.
                Ok(None) => self.records.blank += 1,
                Ok(Some(row)) => return Ok(Some(Ok(row))),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    fn csv_row(&self, length: usize) -> Result<Option<RawRow>, RowError> {
        let number = self.records.number;
        let mut row = RawRow { number, cells: vec![None; self.dataset.fields.len()] };
        let (mut blank, mut surplus) = (true, false);
        let count = csv::cells(self.records.text(length), self.records.dialect.delimiter, |i, cell| {
            if cell.is_empty() {
                return;
            }
            blank = false;
            match self.columns.get(i) {
                Some(Some(field)) => row.cells[*field] = Some(Box::from(cell)),
                Some(None) => {}
                None => surplus = true,
            }
        });
        match count {
            Err(BadQuote(i)) => Err(RowError::new(
                number,
                "bad_quote",
                format!(
                    "第 {number} 行第 {} 列的双引号用法无效：右引号之后还有内容。单元格内的引号应写成两个双引号。",
                    i + 1
                ),
            )),
            Ok(_) if blank => Ok(None),
            Ok(n) if n < self.columns.len() || surplus => Err(RowError::new(
                number,
                "column_count",
                format!(
                    "第 {number} 行有 {n} 列，表头有 {} 列。请检查内容中是否有未加引号的分隔符，或缺少单元格。",
                    self.columns.len()
                ),
            )),
            Ok(_) => Ok(Some(row)),
        }
    }

    fn json_row(&mut self, length: usize) -> Result<RawRow, RowError> {
        let number = self.records.number;
        let mut row = RawRow { number, cells: vec![None; self.dataset.fields.len()] };
        let mut problem: Option<(&'static str, String)> = None;
        let (mut position, mut mapped) = (0usize, false);
        let (order, known, unknown) = (&mut self.order, &mut self.known, &mut self.unknown);
        let outcome = json::members(self.records.text(length), |name, cell| {
            let at = position;
            position += 1;
            if problem.is_some() {
                return;
            }
            if at >= MAX_COLUMNS {
                problem = Some(("too_many_columns", format!("字段超过上限 {MAX_COLUMNS} 个")));
                return;
            }
            let field = match order.get(at) {
                Some((expected, field)) if **expected == *name => *field,
                _ => {
                    let field = match known.get(&*name) {
                        Some(field) => *field,
                        None => {
                            let field = self.headings.field(&name);
                            // Bounded, so that a file of ever new names does not fill the memory.
                            if known.len() < 2 * MAX_COLUMNS {
                                known.insert(Box::from(&*name), field);
                                if field.is_none() && unknown.len() < MAX_COLUMNS {
                                    unknown.push(name.chars().take(100).collect());
                                }
                            }
                            field
                        }
                    };
                    order.truncate(at);
                    if order.len() == at {
                        order.push((Box::from(&*name), field));
                    }
                    field
                }
            };
            let Some(field) = field else { return };
            mapped = true;
            let value: Box<str> = match cell {
                Cell::Null => return,
                Cell::Text(text) if text.is_empty() => return,
                Cell::Text(text) if memchr(0, text.as_bytes()).is_some() => {
                    problem = Some(("nul_byte", format!("字段“{name}”含有空字符（\\u0000）")));
                    return;
                }
                Cell::Text(text) => Box::from(&*text),
                Cell::Literal(written) => Box::from(written),
                Cell::Nested(_) => {
                    problem = Some(("nested_value", format!("字段“{name}”的值是对象或数组，应为文字或数字")));
                    return;
                }
            };
            if row.cells[field].replace(value).is_some() {
                problem = Some(("duplicate_heading", format!("字段“{name}”重复出现")));
            }
        });
        if let Err(fault) = outcome {
            return Err(RowError::new(
                number,
                "invalid_json",
                format!("第 {number} 行不是有效的 JSON：第 {} 字节处，{}。", fault.at + 1, fault.what),
            ));
        }
        if let Some((code, what)) = problem {
            return Err(RowError::new(number, code, format!("第 {number} 行：{what}。请修正后重传该行。")));
        }
        if !mapped {
            return Err(RowError::new(
                number,
                "heading_missing",
                format!(
                    "第 {number} 行没有任何字段属于“{}”。字段名可用字段名、中文名或数据元标识符。",
                    self.dataset.name
                ),
            ));
        }
        Ok(row)
    }
}
