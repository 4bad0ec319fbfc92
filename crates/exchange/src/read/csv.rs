//! CSV: which delimiter and line end a heading line uses, and the cells of a record.
//!
//! A cell that begins with a quote runs to its closing quote and may hold delimiters, line ends and doubled quotes;
//! a quote elsewhere is an ordinary character.

use memchr::{memchr, memchr_iter};

/// The delimiters that are recognised, most usual first.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How a CSV file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between cells.
    pub delimiter: u8,
    /// The byte that ends a record: `\n` (a `\r` before it is dropped), or `\r` in files without any `\n`.
    pub line_end: u8,
}

impl Dialect {
    /// Looks at the beginning of the text: the delimiter is the one seen most often in the first line.
    pub(super) fn detect(sample: &[u8]) -> Self {
        let line_end =
            if memchr(b'\n', sample).is_none() && memchr(b'\r', sample).is_some() { b'\r' } else { b'\n' };
        let mut counts = [0usize; 4];
        let mut quoted = false;
        for byte in sample {
            match byte {
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b if *b == line_end => break,
                b => {
                    if let Some(i) = DELIMITERS.iter().position(|d| d == b) {
                        counts[i] += 1;
                    }
                }
            }
        }
        let mut best = 0;
        for i in 1..DELIMITERS.len() {
            if counts[i] > counts[best] {
                best = i;
            }
        }
        Self { delimiter: DELIMITERS[best], line_end }
    }
}

/// A cell whose closing quote is followed by something other than a delimiter; its number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadQuote(pub usize);

/// Calls `cell` for each cell of a record (without its line end), in order, with its number from 0.
pub(super) fn cells(
    record: &str,
    delimiter: u8,
    mut cell: impl FnMut(usize, &str),
) -> Result<usize, BadQuote> {
    let bytes = record.as_bytes();
    if memchr(b'"', bytes).is_none() {
        let (mut from, mut count) = (0, 0);
        for at in memchr_iter(delimiter, bytes) {
            cell(count, &record[from..at]);
            from = at + 1;
            count += 1;
        }
        cell(count, &record[from..]);
        return Ok(count + 1);
    }
    let (mut from, mut count) = (0, 0);
    loop {
        let end = if bytes.get(from) == Some(&b'"') {
            let (content, after) = quoted(record, from + 1);
            let padding = bytes[after..].iter().take_while(|b| **b == b' ').count();
            let end = after + padding;
            if bytes.get(end).is_some_and(|b| *b != delimiter) {
                return Err(BadQuote(count));
            }
            if memchr(b'"', content.as_bytes()).is_some() {
                cell(count, &content.replace("\"\"", "\""));
            } else {
                cell(count, content);
            }
            end
        } else {
            let end = memchr(delimiter, &bytes[from..]).map_or(bytes.len(), |i| from + i);
            cell(count, &record[from..end]);
            end
        };
        count += 1;
        if end >= bytes.len() {
            return Ok(count);
        }
        from = end + 1;
    }
}

/// The content of a quoted cell that begins at `from`, and the position behind its closing quote.
fn quoted(record: &str, from: usize) -> (&str, usize) {
    let bytes = record.as_bytes();
    let mut at = from;
    while let Some(i) = memchr(b'"', &bytes[at..]) {
        let quote = at + i;
        if bytes.get(quote + 1) != Some(&b'"') {
            return (&record[from..quote], quote + 1);
        }
        at = quote + 2;
    }
    (&record[from..], bytes.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all(record: &str) -> Result<Vec<String>, BadQuote> {
        let mut out = Vec::new();
        cells(record, b',', |_, c| out.push(c.to_owned())).map(|_| out)
    }

    #[test]
    fn cells_of_records() {
        for (record, expected) in [
            ("a,b,c", vec!["a", "b", "c"]),
            ("", vec![""]),
            (",", vec!["", ""]),
            ("\"a,b\",c", vec!["a,b", "c"]),
            ("\"a\"\"b\",", vec!["a\"b", ""]),
            ("\"甲\n乙\"  ,丙", vec!["甲\n乙", "丙"]),
            ("5\" 管,x", vec!["5\" 管", "x"]),
            ("\"\",\"\"", vec!["", ""]),
            ("\"\"\"\"", vec!["\""]),
        ] {
            assert_eq!(all(record).unwrap(), expected, "{record:?}");
        }
        assert_eq!(all("x,\"a\"b,c"), Err(BadQuote(1)));
    }

    #[test]
    fn dialects() {
        for (sample, delimiter, line_end) in [
            ("a,b\n1;2;3;4\n", b',', b'\n'),
            ("a\tb\r\n", b'\t', b'\n'),
            ("a;b;c\n", b';', b'\n'),
            ("a|b\r1|2\r", b'|', b'\r'),
            ("\"a;b;c\",d\n", b',', b'\n'),
            ("only\n", b',', b'\n'),
        ] {
            assert_eq!(Dialect::detect(sample.as_bytes()), Dialect { delimiter, line_end }, "{sample:?}");
        }
    }
}
