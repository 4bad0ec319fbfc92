//! From the bytes of a source to UTF-8: gzip by its magic, character set by looking at the content.

use std::collections::VecDeque;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Decoder, DecoderResult, Encoding, GB18030, UTF_16BE, UTF_16LE};

use super::error::ReadError;

/// How much is read at once, and how much is looked at to find the character set.
pub(super) const CHUNK: usize = 64 * 1024;
/// Stands for an undecodable sequence in the decoded text: a byte that no UTF-8 text contains.
const UNDECODABLE: u8 = 0xFF;
/// Positions of undecodable sequences remembered at a time.
const MARKS: usize = 1024;

/// The character set of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, with or without a byte order mark. Also pure ASCII.
    Utf8,
    /// GB18030 and its subsets GBK and GB 2312.
    Gb18030,
    /// UTF-16, least significant byte first.
    Utf16Le,
    /// UTF-16, most significant byte first.
    Utf16Be,
}

impl Charset {
    /// The name as in a media type.
    pub const fn name(self) -> &'static str {
        match self {
            Charset::Utf8 => "utf-8",
            Charset::Gb18030 => "gb18030",
            Charset::Utf16Le => "utf-16le",
            Charset::Utf16Be => "utf-16be",
        }
    }

    const fn encoding(self) -> Option<&'static Encoding> {
        match self {
            Charset::Utf8 => None,
            Charset::Gb18030 => Some(GB18030),
            Charset::Utf16Le => Some(UTF_16LE),
            Charset::Utf16Be => Some(UTF_16BE),
        }
    }
}

/// An error of the source itself (the network, the disk), as opposed to one of decompression.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SourceFailed(io::Error);

/// Counts what is taken from the source and marks its errors as its own.
struct Tap<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(n) => {
                self.taken.fetch_add(n as u64, Ordering::Relaxed);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => Err(io::Error::other(SourceFailed(e))),
        }
    }
}

/// The decoded text of a source, chunk by chunk.
pub(super) struct Text<'a> {
    source: Box<dyn Read + Send + 'a>,
    taken: Arc<AtomicU64>,
    gzip: bool,
    /// Read but not yet decoded.
    raw: Vec<u8>,
    /// Position of `raw` in the uncompressed source.
    offset: u64,
    /// Length of the byte order mark.
    bom: u64,
    ended: bool,
    /// A fault met behind bytes that still had to be delivered.
    pending: Option<io::Error>,
    charset: Charset,
    /// Only ASCII so far: the character set is still open.
    undecided: bool,
    decoder: Option<Decoder>,
    /// Where undecodable sequences stand: (position in the decoded text, position in the source).
    marks: VecDeque<(u64, u64)>,
    /// Length of the decoded text so far.
    decoded: u64,
}

impl<'a> Text<'a> {
    pub(super) fn open(source: impl Read + Send + 'a) -> Result<Self, ReadError> {
        let taken = Arc::new(AtomicU64::new(0));
        let mut tap = Tap { inner: source, taken: taken.clone() };
        let mut magic = Vec::with_capacity(2);
        read_up_to(&mut tap, &mut magic, 2).map_err(|e| failure(&e, false, 0))?;
        let gzip = magic == [0x1f, 0x8b];
        let whole = Cursor::new(magic).chain(tap);
        let source: Box<dyn Read + Send + 'a> = if gzip {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(CHUNK, whole)))
        } else {
            Box::new(whole)
        };
        let mut text = Text {
            source,
            taken,
            gzip,
            raw: Vec::new(),
            offset: 0,
            bom: 0,
            ended: false,
            pending: None,
            charset: Charset::Utf8,
            undecided: true,
            decoder: None,
            marks: VecDeque::new(),
            decoded: 0,
        };
        text.read_raw()?;
        if text.raw.is_empty() {
            if let Some(e) = text.pending.take() {
                return Err(failure(&e, gzip, 0));
            }
            return Err(ReadError::file(
                "empty_file",
                "文件是空的（0 字节）。请检查导出程序，重新生成后再上传。",
            ));
        }
        let bom = byte_order_mark(&text.raw);
        if let Some((charset, length)) = bom {
            text.raw.drain(..length);
            text.offset = length as u64;
            text.bom = length as u64;
            text.decide(charset);
        } else {
            refuse_foreign_formats(&text.raw)?;
            if !text.raw.is_ascii() {
                let charset = sniff(&text.raw, text.ended)?;
                text.decide(charset);
            }
        }
        Ok(text)
    }

    fn decide(&mut self, charset: Charset) {
        self.charset = charset;
        self.undecided = false;
        self.decoder = charset.encoding().map(Encoding::new_decoder_without_bom_handling);
    }

    /// The character set, as far as it is known.
    pub(super) fn charset(&self) -> Charset {
        self.charset
    }

    /// Whether the source was compressed.
    pub(super) fn gzip(&self) -> bool {
        self.gzip
    }

    /// Bytes taken from the source so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// For a row that begins at `from` of the decoded text: the source position (from 0) of its first undecodable
    /// sequence. In UTF-8 files the two texts are the same and `at` is the answer.
    pub(super) fn source_position(&mut self, from: u64, at: u64) -> Option<u64> {
        if self.decoder.is_none() {
            return Some(at + self.bom);
        }
        while self.marks.front().is_some_and(|(decoded, _)| *decoded < from) {
            self.marks.pop_front();
        }
        self.marks.front().map(|(_, source)| *source)
    }

    /// Appends the next piece of text to `out`; `false` at the end.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        loop {
            if self.raw.is_empty() {
                if self.ended {
                    return Ok(self.finish(out));
                }
                self.read_raw()?;
                if self.raw.is_empty() {
                    continue;
                }
            }
            if self.undecided && !self.raw.is_ascii() {
                let charset = sniff(&self.raw, self.ended)?;
                self.decide(charset);
            }
            let before = out.len();
            self.decode(out);
            self.decoded += (out.len() - before) as u64;
            self.offset += self.raw.len() as u64;
            self.raw.clear();
            if out.len() > before {
                return Ok(true);
            }
        }
    }

    /// Reads a whole chunk into `raw`. A fault behind some bytes is kept until they have been delivered.
    fn read_raw(&mut self) -> Result<(), ReadError> {
        if let Some(e) = self.pending.take() {
            self.ended = true;
            return Err(failure(&e, self.gzip, self.offset));
        }
        match read_up_to(&mut self.source, &mut self.raw, CHUNK) {
            Ok(ended) => self.ended = ended,
            Err(e) => self.pending = Some(e),
        }
        Ok(())
    }

    fn decode(&mut self, out: &mut Vec<u8>) {
        let Some(decoder) = &mut self.decoder else {
            out.extend_from_slice(&self.raw);
            return;
        };
        let before = out.len();
        let mut input = &self.raw[..];
        while !input.is_empty() {
            let room = decoder.max_utf8_buffer_length_without_replacement(input.len()).unwrap_or(4 * CHUNK);
            let start = out.len();
            out.resize(start + room, 0);
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(input, &mut out[start..], false);
            out.truncate(start + written);
            input = &input[read..];
            if let DecoderResult::Malformed(length, extra) = result {
                let source = self.offset + (self.raw.len() - input.len()) as u64;
                if self.marks.len() == MARKS {
                    self.marks.pop_front();
                }
                let position = source.saturating_sub(u64::from(length) + u64::from(extra));
                self.marks.push_back((self.decoded + (out.len() - before) as u64, position));
                out.push(UNDECODABLE);
            }
        }
    }

    /// At the end of the source: a character that was cut off counts as undecodable.
    fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut decoder) = self.decoder.take() else { return false };
        let mut rest = [0u8; 16];
        let (result, _, written) = decoder.decode_to_utf8_without_replacement(&[], &mut rest, true);
        out.extend_from_slice(&rest[..written]);
        if matches!(result, DecoderResult::Malformed(..)) {
            out.push(UNDECODABLE);
            return true;
        }
        written > 0
    }
}

/// Reads until `buffer` holds `most` bytes or the source ends (then `true`).
fn read_up_to(source: &mut impl Read, buffer: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let start = buffer.len();
    buffer.resize(start + most, 0);
    let mut filled = start;
    let outcome = loop {
        if filled == buffer.len() {
            break Ok(false);
        }
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break Ok(true),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
    };
    buffer.truncate(filled);
    outcome
}

fn failure(error: &io::Error, gzip: bool, offset: u64) -> ReadError {
    let own = error.get_ref().is_some_and(|inner| inner.is::<SourceFailed>());
    let fault = if own || !gzip {
        ReadError::file("source_failed", format!("读取文件时中断（{error}）。请检查网络或磁盘后重新上传。"))
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        ReadError::file(
            "gzip_truncated",
            format!("gzip 压缩文件不完整：解压到第 {offset} 字节时数据中断。请重新压缩并完整上传。"),
        )
    } else {
        ReadError::file(
            "gzip_corrupt",
            format!("gzip 压缩文件已损坏：解压到第 {offset} 字节之后校验失败。请重新压缩后上传。"),
        )
    };
    fault.at_byte(offset + 1)
}

fn byte_order_mark(bytes: &[u8]) -> Option<(Charset, usize)> {
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        Some((Charset::Utf8, 3))
    } else if bytes.starts_with(&[0xFF, 0xFE]) {
        Some((Charset::Utf16Le, 2))
    } else if bytes.starts_with(&[0xFE, 0xFF]) {
        Some((Charset::Utf16Be, 2))
    } else {
        None
    }
}

/// Formats that people upload by mistake are refused by name.
fn refuse_foreign_formats(bytes: &[u8]) -> Result<(), ReadError> {
    let known: [(&[u8], &str); 8] = [
        (b"PK\x03\x04", "Excel 工作簿（xlsx）或 zip 压缩包"),
        (&[0xD0, 0xCF, 0x11, 0xE0], "旧版 Excel 工作簿（xls）"),
        (&[0x28, 0xB5, 0x2F, 0xFD], "zstd 压缩文件"),
        (b"BZh", "bzip2 压缩文件"),
        (b"Rar!", "rar 压缩包"),
        (b"7z\xBC\xAF", "7z 压缩包"),
        (b"%PDF", "PDF 文件"),
        (&[0x1f, 0x8b], "重复压缩的 gzip 文件"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(ReadError::file(
            "foreign_format",
            format!(
                "这是{name}，不是数据文件。请另存为 CSV（UTF-8 或 GB18030）或 NDJSON，可用 gzip 压缩一次。"
            ),
        ));
    }
    let nul = bytes.iter().filter(|b| **b == 0).count();
    if bytes.len() >= 16 && nul * 4 >= bytes.len() {
        return Err(ReadError::file(
            "charset_unknown",
            "文件中有大量空字节，可能是没有字节序标记的 UTF-16 或二进制文件。请另存为 UTF-8 或 GB18030 编码后上传。",
        ));
    }
    Ok(())
}

/// The character set of a sample that is not pure ASCII. `complete`: the sample is the whole rest of the file.
///
/// Valid UTF-8 is UTF-8. Where some bytes are not, a file that is otherwise full of Chinese in UTF-8 is still UTF-8
/// (its bad rows are refused one by one): GB18030 text hardly ever forms such three-byte sequences by chance.
fn sniff(sample: &[u8], complete: bool) -> Result<Charset, ReadError> {
    let (chinese, invalid, first_invalid) = utf8_shape(sample, complete);
    if invalid == 0 || chinese > 2 * invalid {
        return Ok(Charset::Utf8);
    }
    let (wide, malformed) = gb18030_shape(sample, complete);
    if malformed * 50 <= wide {
        return Ok(Charset::Gb18030);
    }
    Err(ReadError::file(
        "charset_unknown",
        format!(
            "无法识别文件的字符编码：既不是有效的 UTF-8（附近第 {} 字节起无效），也不是 GB18030。请另存为 UTF-8 或 GB18030 后上传。",
            first_invalid + 1
        ),
    )
    .at_byte(first_invalid as u64 + 1))
}

/// Valid three-byte sequences, invalid spots, and the first of these.
fn utf8_shape(sample: &[u8], complete: bool) -> (usize, usize, usize) {
    let (mut chinese, mut invalid, mut first, mut at) = (0, 0, 0, 0);
    for chunk in sample.utf8_chunks() {
        chinese += chunk.valid().bytes().filter(|b| (0xE3..=0xEF).contains(b)).count();
        at += chunk.valid().len();
        let bad = chunk.invalid();
        let cut = !complete && at + bad.len() == sample.len() && is_cut_character(bad);
        if !bad.is_empty() && !cut {
            if invalid == 0 {
                first = at;
            }
            invalid += 1;
        }
        at += bad.len();
    }
    (chinese, invalid, first)
}

/// Whether these bytes may be the beginning of a character whose end was cut off.
fn is_cut_character(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(e) if e.error_len().is_none())
}

/// Characters beyond ASCII and malformed sequences when read as GB18030.
fn gb18030_shape(sample: &[u8], complete: bool) -> (usize, usize) {
    let mut decoder = GB18030.new_decoder_without_bom_handling();
    let mut out = [0u8; 4096];
    let (mut wide, mut malformed) = (0, 0);
    let mut input = sample;
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(input, &mut out, complete);
        wide += out[..written].iter().filter(|b| **b >= 0xC0).count();
        input = &input[read..];
        match result {
            DecoderResult::InputEmpty => return (wide, malformed),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => malformed += 1,
        }
    }
}
