//! Upload files: one for each institution, data set and period, in the institution's own manner.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

use crate::mistakes::{CORRECTED, Mistake, rate, spoil};
use crate::places::{City, Headings, Institution};
use crate::random::Random;
use crate::sheet::{Row, Sheet, Sheets};
use crate::{Fault, Plan};

/// Text held in memory before it goes to the files.
const HELD: usize = 32 << 20;

/// Days sent day by day before the present; everything older was sent when the institution joined, by quarter.
pub const DAILY: u64 = 30;

/// One upload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its name in the folder of the uploads.
    pub file: String,
    /// The institution's upload code.
    pub institution: String,
    /// The data set's code.
    pub dataset: String,
    /// When it arrives, China's wall-clock time.
    pub received_at: NaiveDateTime,
    /// Rows, without the heading.
    pub rows: u64,
}

/// Everything that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files in the order in which they arrive.
    pub uploads: Vec<Upload>,
    /// How often each mistake was made.
    pub mistakes: BTreeMap<Mistake, u64>,
    /// Rows in all.
    pub rows: u64,
    /// Residents, the newborn included.
    pub people: u64,
}

/// Lies in every folder of uploads from the beginning, so that nobody else's folder is ever emptied.
const MARK: &str = ".minkang-demo";
/// Written last: the plan and what came of it.
const MANIFEST: &str = "manifest.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    plan: Plan,
    manifest: Manifest,
}

/// What an earlier run wrote into `folder` for the same plan and finished; `None` when there is nothing like it.
#[must_use]
pub fn written(plan: &Plan, folder: &Path) -> Option<Manifest> {
    let stored: Stored = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
    (stored.plan == *plan).then_some(stored.manifest)
}

/// An empty folder of ours.
fn empty(folder: &Path) -> Result<(), Fault> {
    let foreign =
        fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) && !folder.join(MARK).exists();
    if foreign {
        return Err(Fault::Files(format!(
            "{} 不是空的，也不是演示数据的目录，没有写入任何文件。请换一个空目录。",
            folder.display()
        )));
    }
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fault(folder, &e)),
        _ => fs::create_dir_all(folder).map_err(|e| fault(folder, &e))?,
    }
    let mark = folder.join(MARK);
    fs::write(&mark, "").map_err(|e| fault(&mark, &e))
}

/// A stretch of days whose rows travel together.
#[derive(Debug, Clone, Copy)]
struct Period {
    from: NaiveDate,
    daily: bool,
    received_at: NaiveDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    period: u16,
    institution: u16,
    set: u16,
}

#[derive(Debug, Default)]
struct Sheaf {
    text: String,
    rows: u64,
    begun: bool,
}

/// Takes rows and writes files.
#[derive(Debug)]
pub struct Output<'a> {
    plan: &'a Plan,
    sheets: &'a Sheets,
    institutions: &'a [Institution],
    folder: PathBuf,
    periods: Vec<Period>,
    sheaves: HashMap<Key, Sheaf>,
    held: usize,
    dice: Random,
    mistakes: BTreeMap<Mistake, u64>,
    rows: u64,
    unknown: Vec<String>,
}

fn fault(path: &Path, error: &std::io::Error) -> Fault {
    Fault::Files(format!("不能写 {}：{error}", path.display()))
}

/// The periods of a plan: quarters of a year, then days.
fn periods(plan: &Plan) -> Vec<Period> {
    let today = plan.today();
    let back = |days: u64| today.checked_sub_days(Days::new(days)).unwrap_or(today);
    let live = back(DAILY.min(plan.days()) - 1);
    let mut starts = Vec::new();
    let mut start = live;
    while start > plan.first_day() {
        start = start.checked_sub_days(Days::new(91)).unwrap_or(plan.first_day()).max(plan.first_day());
        starts.push((start, false));
    }
    starts.reverse();
    let mut day = live;
    while day <= today {
        starts.push((day, true));
        day = day.succ_opt().unwrap_or(NaiveDate::MAX);
    }
    starts
        .iter()
        .enumerate()
        .map(|(i, (from, daily))| {
            // Files are sent shortly after midnight; the last ones now.
            let received =
                starts.get(i + 1).map(|(next, _)| next.and_time(NaiveTime::MIN) + TimeDelta::minutes(20));
            Period {
                from: *from,
                daily: *daily,
                received_at: received.map_or(plan.until, |r| r.min(plan.until)),
            }
        })
        .collect()
}

impl<'a> Output<'a> {
    /// An output into `folder`, which is emptied; it must be empty already or have been ours.
    pub fn new(plan: &'a Plan, sheets: &'a Sheets, city: &'a City, folder: &Path) -> Result<Self, Fault> {
        empty(folder)?;
        Ok(Self {
            plan,
            sheets,
            institutions: &city.institutions,
            folder: folder.to_owned(),
            periods: periods(plan),
            sheaves: HashMap::new(),
            held: 0,
            dice: Random::of(plan.seed, &[0x0e44]),
            mistakes: BTreeMap::new(),
            rows: 0,
            unknown: Vec::new(),
        })
    }

    /// Writes a row that an institution sends at `sent`; nothing when that has not come yet.
    pub fn write(&mut self, mut row: Row<'_>, institution: usize, sent: NaiveDateTime) -> Result<(), Fault> {
        for (field, what) in row.unknown.drain(..) {
            let set = row.sheet.map_or(what, |s| s.dataset.code.as_str());
            self.unknown.push(format!("{set}.{field}"));
        }
        if sent > self.plan.until {
            return Ok(());
        }
        let sender = &self.institutions[institution];
        if sender.gaps.contains(&sent.date()) {
            return Ok(());
        }
        if !self.plan.mistakes {
            return self.add(&row, institution, sent);
        }
        let care = sender.carelessness;
        let right = row.clone();
        let spoilt = spoil(&mut row, care, &mut self.dice);
        if let Some(mistake) = spoilt {
            self.count(mistake);
        }
        self.add(&row, institution, sent)?;
        if self.happens(Mistake::Duplicate, care) {
            self.add(&row, institution, sent)?;
            self.count(Mistake::Duplicate);
        }
        let later = sent + TimeDelta::days(self.dice.between(2, 9));
        let revision = row.sheet.and_then(|s| s.dataset.revision);
        if let Some(revision) = revision
            && later <= self.plan.until
            && !sender.gaps.contains(&later.date())
        {
            if self.happens(Mistake::Withdrawal, care) {
                row.set_cell(revision, 2);
                self.add(&row, institution, later)?;
                self.count(Mistake::Withdrawal);
            } else if spoilt.is_some_and(|m| m != Mistake::FutureDate) && self.dice.chance(CORRECTED) {
                // Somebody noticed the mistake.
                let mut right = right;
                right.set_cell(revision, 1);
                self.add(&right, institution, later)?;
                self.count(Mistake::Correction);
            }
        }
        Ok(())
    }

    fn happens(&mut self, mistake: Mistake, care: f64) -> bool {
        self.dice.chance(rate(mistake) * care)
    }

    fn count(&mut self, mistake: Mistake) {
        *self.mistakes.entry(mistake).or_default() += 1;
    }

    fn add(&mut self, row: &Row<'_>, institution: usize, sent: NaiveDateTime) -> Result<(), Fault> {
        // What was before the first day came with the first period.
        let period = self.periods.partition_point(|p| p.from <= sent.date()).saturating_sub(1);
        let key = Key { period: period as u16, institution: institution as u16, set: row.set as u16 };
        let sheaf = self.sheaves.entry(key).or_default();
        let before = sheaf.text.len();
        if !sheaf.begun {
            sheaf.begun = true;
            if let Some(sheet) = row.sheet {
                line(&mut sheaf.text, heading(sheet, self.institutions[institution].style.headings));
            }
        }
        line(&mut sheaf.text, (0..row.width()).map(|c| row.cell(c)));
        sheaf.rows += 1;
        self.rows += 1;
        self.held += sheaf.text.len() - before;
        if self.held > HELD {
            self.flush()?;
        }
        Ok(())
    }

    fn path(&self, key: Key) -> PathBuf {
        let sheet = &self.sheets.list[usize::from(key.set)].dataset.code;
        let period = self.periods[usize::from(key.period)];
        let name = format!("{}-i{:03}-{sheet}.csv", period.from.format("%Y%m%d"), key.institution);
        self.folder.join(name)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut sheaves = std::mem::take(&mut self.sheaves);
        for (key, sheaf) in sheaves.iter_mut().filter(|(_, s)| !s.text.is_empty()) {
            let path = self.path(*key);
            let mut file =
                OpenOptions::new().create(true).append(true).open(&path).map_err(|e| fault(&path, &e))?;
            let style = self.institutions[usize::from(key.institution)].style;
            if style.gb18030 {
                let (bytes, _, _) = encoding_rs::GB18030.encode(&sheaf.text);
                file.write_all(&bytes).map_err(|e| fault(&path, &e))?;
            } else {
                file.write_all(sheaf.text.as_bytes()).map_err(|e| fault(&path, &e))?;
            }
            sheaf.text = String::new();
        }
        self.sheaves = sheaves;
        self.held = 0;
        Ok(())
    }

    /// Finishes the files; what was written.
    pub fn finish(mut self, people: u64) -> Result<Manifest, Fault> {
        self.unknown.sort();
        self.unknown.dedup();
        if !self.unknown.is_empty() {
            return Err(Fault::Fields(self.unknown.join("、")));
        }
        self.flush()?;
        let mut keys: Vec<(Key, u64)> = self.sheaves.iter().map(|(k, s)| (*k, s.rows)).collect();
        keys.sort();
        let mut uploads = Vec::with_capacity(keys.len());
        for (key, rows) in keys {
            let mut path = self.path(key);
            let sender = &self.institutions[usize::from(key.institution)];
            if sender.style.gzip {
                path = compress(&path)?;
            }
            let period = self.periods[usize::from(key.period)];
            let mut received_at = period.received_at + TimeDelta::seconds(i64::from(key.set) * 7);
            let mut dice = Random::of(
                self.plan.seed,
                &[0x1a7e, u64::from(key.period), u64::from(key.institution), u64::from(key.set)],
            );
            let late = rate(Mistake::LateFile) * sender.carelessness;
            if self.plan.mistakes && period.daily && dice.chance(late) {
                received_at += TimeDelta::days(dice.between(1, 3));
                self.count(Mistake::LateFile);
            }
            uploads.push(Upload {
                file: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
                institution: sender.code.clone(),
                dataset: self.sheets.list[usize::from(key.set)].dataset.code.clone(),
                received_at: received_at.min(self.plan.until),
                rows,
            });
        }
        uploads.sort_by_key(|u| u.received_at);
        let manifest = Manifest { uploads, mistakes: self.mistakes, rows: self.rows, people };
        let path = self.folder.join(MANIFEST);
        let stored = Stored { plan: self.plan.clone(), manifest };
        let file = File::create(&path).map_err(|e| fault(&path, &e))?;
        serde_json::to_writer(std::io::BufWriter::new(file), &stored)
            .map_err(|e| Fault::Files(format!("不能写 {}：{e}", path.display())))?;
        Ok(stored.manifest)
    }
}

/// Replaces a file by its gzip form, whose bytes depend on nothing but the content.
fn compress(path: &Path) -> Result<PathBuf, Fault> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let packed = PathBuf::from(name);
    let content = fs::read(path).map_err(|e| fault(path, &e))?;
    let file = File::create(&packed).map_err(|e| fault(&packed, &e))?;
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::fast());
    encoder
        .write_all(&content)
        .and_then(|()| encoder.finish().map(|_| ()))
        .map_err(|e| fault(&packed, &e))?;
    fs::remove_file(path).map_err(|e| fault(path, &e))?;
    Ok(packed)
}

/// The headings of a data set in a manner.
fn heading(sheet: &Sheet, headings: Headings) -> impl Iterator<Item = &str> {
    let fields = &sheet.dataset.fields;
    fields.iter().map(move |field| match headings {
        Headings::Names => field.name.as_str(),
        Headings::Titles => field.title.as_str(),
        Headings::Pinyin => field.aliases.first().map_or(field.title.as_str(), String::as_str),
        Headings::Elements => {
            let shared = fields.iter().filter(|other| other.element == field.element).count() > 1;
            if field.element.is_empty() || shared { field.title.as_str() } else { field.element.as_str() }
        }
    })
}

fn line<'c>(text: &mut String, cells: impl Iterator<Item = &'c str>) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push('"');
            for c in cell.chars() {
                if c == '"' {
                    text.push('"');
                }
                text.push(c);
            }
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push('\n');
}
