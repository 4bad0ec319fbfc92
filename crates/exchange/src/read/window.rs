//! The part of the decoded text that is in memory, and the cutting of it into records.

use memchr::{memchr, memchr2};

use super::bytes::Text;
use super::error::ReadError;

/// Greatest length of one record, in bytes of UTF-8.
pub const MAX_RECORD: usize = 16 * 1024 * 1024;

/// How a search for the end of a record came out. Lengths count from the beginning of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framed {
    /// The record has `length` bytes; `taken` includes what ends it.
    Record {
        /// Bytes of the record itself.
        length: usize,
        /// Bytes to pass over to get behind it.
        taken: usize,
    },
    /// The record was longer than allowed and has been passed over.
    TooLong,
    /// The text ended inside a quoted cell or an unfinished JSON value.
    Unclosed,
    /// No more records.
    End,
}

/// A window over the decoded text.
pub(super) struct Window<'a> {
    pub(super) text: Text<'a>,
    buffer: Vec<u8>,
    start: usize,
    /// Position of `buffer[0]` in the decoded text.
    base: u64,
    ended: bool,
    limit: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(text: Text<'a>) -> Self {
        Self { text, buffer: Vec::new(), start: 0, base: 0, ended: false, limit: MAX_RECORD }
    }

    /// What is in memory from the present position on.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The present position in the decoded text.
    pub(super) fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Passes over `count` bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// Brings in the next piece. Sets `ended` when there is none.
    pub(super) fn more(&mut self) -> Result<(), ReadError> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.base += self.start as u64;
            self.start = 0;
            if self.buffer.capacity() > 1024 * 1024 && self.buffer.len() < 64 * 1024 {
                self.buffer.shrink_to(256 * 1024);
            }
        }
        if !self.text.fill(&mut self.buffer)? {
            self.ended = true;
        }
        Ok(())
    }

    /// Passes over blanks and line ends; the next byte, or `None` at the end of the text.
    pub(super) fn skip_blank(&mut self, also: u8) -> Result<Option<u8>, ReadError> {
        loop {
            let blank = |b: &u8| b.is_ascii_whitespace() || *b == also;
            let skip = self.data().iter().take_while(|b| blank(b)).count();
            self.take(skip);
            if let Some(next) = self.data().first() {
                return Ok(Some(*next));
            }
            if self.ended {
                return Ok(None);
            }
            self.more()?;
        }
    }

    /// Lets go of what has been searched of a record that is too long, all but its last byte.
    fn shed(&mut self, scanned: &mut usize, too_long: &mut bool) {
        if *scanned > self.limit || *too_long && *scanned > 1 {
            *too_long = true;
            let shed = scanned.saturating_sub(1);
            self.take(shed);
            *scanned -= shed;
        }
    }

    /// Finds the end of a line.
    pub(super) fn frame_line(&mut self, line_end: u8) -> Result<Framed, ReadError> {
        let (mut scanned, mut too_long) = (0, false);
        loop {
            if let Some(i) = memchr(line_end, &self.data()[scanned..]) {
                return Ok(self.framed(scanned + i, 1, too_long));
            }
            scanned = self.data().len();
            if self.ended {
                return Ok(self.last(scanned, too_long, false));
            }
            self.shed(&mut scanned, &mut too_long);
            self.more()?;
        }
    }

    /// Finds the end of a CSV record: a line end outside quotes. A quote opens only at the beginning of a cell.
    pub(super) fn frame_csv(&mut self, delimiter: u8, line_end: u8) -> Result<Framed, ReadError> {
        let (mut scanned, mut too_long, mut quoted) = (0, false, false);
        loop {
            let data = self.data();
            while scanned < data.len() {
                if quoted {
                    let Some(i) = memchr(b'"', &data[scanned..]) else {
                        scanned = data.len();
                        break;
                    };
                    let at = scanned + i;
                    match data.get(at + 1) {
                        Some(b'"') => scanned = at + 2,
                        None if !self.ended => {
                            scanned = at;
                            break;
                        }
                        _ => {
                            quoted = false;
                            scanned = at + 1;
                        }
                    }
                } else {
                    let Some(i) = memchr2(line_end, b'"', &data[scanned..]) else {
                        scanned = data.len();
                        break;
                    };
                    let at = scanned + i;
                    if data[at] == line_end {
                        return Ok(self.framed(at, 1, too_long));
                    }
                    quoted = if at == 0 { !too_long } else { data[at - 1] == delimiter };
                    scanned = at + 1;
                }
            }
            if self.ended {
                return Ok(self.last(scanned, too_long, quoted));
            }
            self.shed(&mut scanned, &mut too_long);
            self.more()?;
        }
    }

    /// Finds the end of a JSON value inside an array. Begins at the value's first byte.
    pub(super) fn frame_value(&mut self) -> Result<Framed, ReadError> {
        let (mut scanned, mut too_long) = (0, false);
        let (mut depth, mut in_text, mut escaped) = (0u64, false, false);
        loop {
            let data = self.data();
            while let Some(byte) = data.get(scanned) {
                if in_text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_text = false,
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'{' | b'[' => depth += 1,
                        b']' if depth == 0 => return Ok(self.framed(scanned, 0, too_long)),
                        b',' if depth == 0 => return Ok(self.framed(scanned, 1, too_long)),
                        b'}' | b']' => {
                            depth = depth.saturating_sub(1);
                            if depth == 0 {
                                return Ok(self.framed(scanned + 1, 0, too_long));
                            }
                        }
                        _ => {}
                    }
                }
                scanned += 1;
            }
            if self.ended {
                return Ok(if scanned == 0 { Framed::End } else { Framed::Unclosed });
            }
            self.shed(&mut scanned, &mut too_long);
            self.more()?;
        }
    }

    fn framed(&mut self, length: usize, end: usize, too_long: bool) -> Framed {
        if too_long || length > self.limit {
            self.take(length + end);
            return Framed::TooLong;
        }
        Framed::Record { length, taken: length + end }
    }

    fn last(&mut self, length: usize, too_long: bool, quoted: bool) -> Framed {
        match (quoted, too_long, length) {
            (true, ..) => Framed::Unclosed,
            (_, true, _) => self.framed(length, 0, true),
            (_, _, 0) => Framed::End,
            _ => self.framed(length, 0, false),
        }
    }
}
