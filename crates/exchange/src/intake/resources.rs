//! Reading a FHIR batch: one bundle, or NDJSON of resources and bundles, plain or gzip.

use std::io::{BufRead, BufReader, Read};

use catalog::Catalog;
use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use crate::fhir::{self, Kept, Mapped};

/// Largest bundle, in bytes of JSON.
const LARGEST: u64 = 64 * 1024 * 1024;

/// NDJSON resources that are mapped and stored together.
const RUN: usize = 2_000;

/// Bad lines named in the receipt one by one.
const NAMED: usize = 100;

/// Why a batch cannot be read further.
#[derive(Debug)]
pub enum Trouble {
    /// The file is at fault; the sentence is for its sender.
    File(String),
    /// Our own storage is.
    Storage(std::io::Error),
}

/// Kind under which a line that is no resource is kept in the receipt.
pub const NO_RESOURCE: &str = "无法读取";

/// What was read: rows and kept resources of one bundle, or of a run of NDJSON resources.
#[derive(Debug)]
pub struct Run {
    /// Rows, kept resources, remarks.
    pub mapped: Mapped,
    /// How many resources it covers, bad lines included.
    pub resources: u64,
}

/// A FHIR batch being read.
pub struct Resources {
    input: Box<dyn BufRead + Send>,
    gzip: bool,
    lines: bool,
    position: u64,
    bad: usize,
    /// A resource read in advance that belongs to the next run.
    ahead: Option<Value>,
    started: bool,
}

impl Resources {
    /// Opens a batch.
    pub fn open(file: impl Read + Send + 'static) -> Result<Self, Trouble> {
        let mut input = BufReader::with_capacity(256 * 1024, file);
        let gzip = input.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::new(MultiGzDecoder::new(input))) } else { Box::new(input) };
        Ok(Self { input, gzip, lines: false, position: 0, bad: 0, ahead: None, started: false })
    }

    /// Media type as the receipt shows it.
    pub fn media(&self) -> String {
        let kind = if self.lines { "application/fhir+ndjson" } else { "application/fhir+json" };
        format!("{kind}{}", if self.gzip { "; gzip" } else { "" })
    }

    /// The next run; `None` at the end.
    pub fn next(&mut self, catalog: &Catalog) -> Result<Option<Run>, Trouble> {
        let mut resources: Vec<(u64, Value)> = Vec::new();
        let (mut problems, mut bad) = (Vec::new(), Vec::new());
        let first = self.position;
        while resources.len() < RUN {
            let value = match self.ahead.take() {
                Some(value) => value,
                None => match self.value(&mut problems, &mut bad)? {
                    Some(value) => value,
                    None => break,
                },
            };
            if value.get("resourceType").and_then(Value::as_str) == Some("Bundle") {
                if !resources.is_empty() {
                    self.ahead = Some(value);
                    break;
                }
                let mut mapped = fhir::map_bundle(&value, catalog).map_err(|e| Trouble::File(e.message))?;
                for row in &mut mapped.rows {
                    row.row.number += first;
                }
                for kept in &mut mapped.kept {
                    kept.position += first;
                }
                mapped.problems.append(&mut problems);
                mapped.kept.append(&mut bad);
                self.position += mapped.entries as u64;
                return Ok(Some(Run { resources: self.position - first, mapped }));
            }
            self.position += 1;
            resources.push((self.position, value));
        }
        if self.position == first {
            return Ok(None);
        }
        let mut mapped = fhir::map_resources(&resources, catalog);
        mapped.problems.append(&mut problems);
        mapped.kept.append(&mut bad);
        Ok(Some(Run { resources: self.position - first, mapped }))
    }

    // The next JSON value. The first line decides: a whole value means NDJSON (or one bundle on one line); otherwise
    // the file is one pretty-printed value.
    fn value(&mut self, problems: &mut Vec<String>, bad: &mut Vec<Kept>) -> Result<Option<Value>, Trouble> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.input).take(LARGEST).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                return if self.started {
                    Ok(None)
                } else {
                    Err(Trouble::File("文件是空的，没有任何资源。".to_owned()))
                };
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if read as u64 == LARGEST {
                return Err(too_large());
            }
            let first = !self.started;
            self.started = true;
            match fhir::parse(&line) {
                Ok(value) => {
                    self.lines = !first || self.lines;
                    return Ok(Some(value));
                }
                Err(_) if first => {
                    let room = LARGEST - line.len() as u64;
                    let more = (&mut self.input).take(room).read_to_end(&mut line).map_err(unreadable)?;
                    if more as u64 == room {
                        return Err(too_large());
                    }
                    return fhir::parse(&line).map(Some).map_err(|e| Trouble::File(e.message));
                }
                Err(error) => {
                    self.position += 1;
                    self.bad += 1;
                    bad.push(Kept {
                        position: self.position,
                        kind: NO_RESOURCE.to_owned(),
                        id: String::new(),
                        content: Value::Null,
                        reason: "这一行不是有效的 JSON 资源，没有读入",
                    });
                    if self.bad <= NAMED {
                        problems.push(format!("第 {} 个资源没有读入：{}", self.position, error.message));
                    }
                }
            }
        }
    }
}

fn unreadable(error: std::io::Error) -> Trouble {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof => {
            Trouble::File("压缩文件不完整，提前结束。此前的资源已处理，请重新导出后再传一次。".to_owned())
        }
        InvalidData | InvalidInput => {
            Trouble::File("压缩文件已损坏。此前的资源已处理，请重新压缩后再传一次。".to_owned())
        }
        _ => Trouble::Storage(error),
    }
}

fn too_large() -> Trouble {
    Trouble::File("单个 Bundle 超过 64 MB。请拆成较小的 Bundle，或改用 NDJSON（每行一个资源）。".to_owned())
}
