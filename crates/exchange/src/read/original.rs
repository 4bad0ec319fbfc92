//! Reading an original again: the records of chosen rows as they came, for the file that is downloaded for repair.

use std::io::Read;

use super::csv;
use super::error::ReadError;
use super::json::{self, Cell};
use super::reader::{Format, MAX_COLUMNS, Next, Records};

/// Greatest total of cell text that is read back at a time, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// One row as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRow {
    /// Its number, as in issues.
    pub number: u64,
    /// Its cells in the order of [`Originals::headings`]; may be shorter or longer for a row of wrong shape. A row
    /// that cannot be taken apart has its whole text in one cell.
    pub cells: Vec<String>,
}

/// Rows read back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Originals {
    /// The file's own headings. For JSON: the names of all members met in the chosen rows.
    pub headings: Vec<String>,
    /// The rows, in order.
    pub rows: Vec<OriginalRow>,
    /// The rows would have been more than 64 MB: these are the first of them.
    pub truncated: bool,
}

/// Reads the rows with these numbers (ascending) of a file. Numbers that the file does not have are passed over; a
/// file that breaks off gives what stands before the break.
pub fn rows_by_number<'a>(
    source: impl Read + Send + 'a,
    numbers: &[u64],
    hint: Option<Format>,
) -> Result<Originals, ReadError> {
    let mut records = Records::open(source, hint)?;
    let mut out = Originals::default();
    if records.format == Format::Csv {
        out.headings = records.heading()?;
    }
    let (mut wanted, mut size) = (numbers.iter().copied().peekable(), 0);
    while let Some(&number) = wanted.peek() {
        let cells = match records.next() {
            Ok(Next::Record { length, taken }) => {
                let chosen = records.number == number;
                let cells = chosen.then(|| cells(&records, length, &mut out.headings));
                records.window.take(taken);
                cells
            }
            // What it held is not text, or too long to be shown.
            Ok(Next::Bad(error)) => (error.number == number).then(|| vec![error.message]),
            Ok(Next::End) | Err(_) => break,
        };
        if let Some(cells) = cells {
            size += cells.iter().map(String::len).sum::<usize>();
            if size > MOST {
                out.truncated = true;
                break;
            }
            out.rows.push(OriginalRow { number, cells });
        }
        while wanted.next_if(|n| *n <= records.number).is_some() {}
    }
    Ok(out)
}

fn cells(records: &Records<'_>, length: usize, headings: &mut Vec<String>) -> Vec<String> {
    let text = records.text(length);
    let mut out = Vec::new();
    if records.format == Format::Csv {
        let whole = csv::cells(text, records.dialect.delimiter, |_, cell| out.push(cell.to_owned()));
        return if whole.is_ok() { out } else { vec![text.to_owned()] };
    }
    let outcome = json::members(text, |name, cell| {
        let at = headings.iter().position(|h| **h == *name).or_else(|| {
            (headings.len() < MAX_COLUMNS).then(|| {
                headings.push(name.into_owned());
                headings.len() - 1
            })
        });
        let Some(at) = at else { return };
        if out.len() <= at {
            out.resize(at + 1, String::new());
        }
        out[at] = match cell {
            Cell::Null => String::new(),
            Cell::Text(text) => text.into_owned(),
            Cell::Literal(written) | Cell::Nested(written) => written.to_owned(),
        };
    });
    if outcome.is_ok() { out } else { vec![text.to_owned()] }
}
