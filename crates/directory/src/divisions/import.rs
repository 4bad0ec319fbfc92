//! Editions from files: reading lists of several shapes, comparing with the edition before, and filing them. And a new
//! edition that takes over the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use chrono::{DateTime, NaiveDate, Utc};
use flate2::read::GzDecoder;
use kernel::error::Doing;
use kernel::{Caller, Refusal, RegionCode, Result, Tier};
use store::{DbDoing, Tx};

use super::edition::{self, Difference};
use super::operation::{Held, lock, note};
use super::plan::{Plan, Succession, Unit};
use super::{Divisions, run};

/// The most bytes of a list after unpacking: the whole country to the village is some 40 MB.
const MOST: u64 = 256 * 1024 * 1024;
/// Rows written by one statement.
const AT_ONCE: usize = 20_000;
/// Lines that are reported as unreadable, at most.
const UNREAD: usize = 20;

/// A list as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Divisions, by code, each once.
    pub units: BTreeMap<RegionCode, Unit>,
    /// Lines that could not be read: number and why; at most a few.
    pub unread: Vec<(usize, String)>,
    /// How many lines could not be read.
    pub unread_count: usize,
}

/// What an import does, or has done.
#[derive(Debug, Clone, Default)]
pub struct ImportReport {
    /// The edition.
    pub year: i16,
    /// The edition that it is compared with.
    pub base: Option<i16>,
    /// Divisions of the edition within the prefix.
    pub found: usize,
    /// Divisions that the list does not reach down to and that were taken over from the edition before.
    pub carried: usize,
    /// Differences from the base, in the order of codes.
    pub differences: Vec<Difference>,
    /// What still lies in codes that went without a successor.
    pub left_behind: Vec<Held>,
    /// Lines that could not be read.
    pub unread: Vec<(usize, String)>,
    /// How many of them.
    pub unread_count: usize,
    /// The operation that was filed so that what lies in codes that changed follows, once approved.
    pub operation: Option<i64>,
}

impl ImportReport {
    /// How many differences of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.differences.iter().filter(|d| d.kind == kind).count()
    }
}

/// Columns by their headings, the best first.
const CODE: [&str; 6] = ["ext_id", "code", "统计用区划代码", "区划代码", "行政区划代码", "代码"];
const NAME: [&str; 5] = ["ext_name", "name", "区划名称", "名称", "行政区划名称"];
const CLASS: [&str; 3] = ["class", "城乡分类代码", "城乡分类"];

/// Reads lists: CSV with headings (code and name; urban-rural class if there), or `code<TAB>name` lines; gzip or plain;
/// UTF-8 or GB 18030. Later files add to earlier ones.
///
/// # Errors
/// Refuses a file without a division in it.
pub fn read(files: &[Vec<u8>]) -> Result<List> {
    let mut list = List::default();
    for bytes in files {
        let before = list.units.len();
        let text = decode(bytes)?;
        let first = text.lines().next().unwrap_or("");
        if first.contains('\t') && !first.contains(',') {
            for (at, line) in text.lines().enumerate() {
                let mut cells = line.split('\t');
                let (code, name) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
                list.take(at + 1, code, name, cells.next().unwrap_or(""));
            }
        } else {
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
            let heads = reader.headers().doing("read the headings of a list of divisions")?.clone();
            let column = |names: &[&str]| {
                names.iter().find_map(|n| heads.iter().position(|h| h.trim().eq_ignore_ascii_case(n)))
            };
            let (Some(code), Some(name)) = (column(&CODE), column(&NAME)) else {
                return Err(Refusal::invalid(
                    "divisions.headings",
                    "清单第一行应有列名，其中要有“区划代码”（code）和“名称”（name）两列。请补上列名后再导入。",
                )
                .into());
            };
            let class = column(&CLASS);
            for (at, row) in reader.records().enumerate() {
                match row {
                    Ok(row) => {
                        let cell = |at: usize| row.get(at).unwrap_or("").trim();
                        list.take(at + 2, cell(code), cell(name), class.map_or("", cell));
                    }
                    Err(_) => list.skip(at + 2, "这一行不是完整的 CSV".to_owned()),
                }
            }
        }
        if list.units.len() == before {
            return Err(Refusal::invalid(
                "divisions.empty_list",
                "清单中没有读到任何区划。请核对文件：第一行是列名，每行一个区划代码（2、4、6、9 或 12 位）和名称。",
            )
            .into());
        }
    }
    Ok(list)
}

impl List {
    fn skip(&mut self, line: usize, why: String) {
        self.unread_count += 1;
        if self.unread.len() < UNREAD {
            self.unread.push((line, why));
        }
    }

    fn take(&mut self, line: usize, code: &str, name: &str, class: &str) {
        let (code, name, class) = (code.trim(), name.trim(), class.trim());
        if code.is_empty() && name.is_empty() {
            return;
        }
        let Ok(parsed) = RegionCode::parse(code) else {
            return self.skip(line, format!("“{code}”不是区划代码"));
        };
        if parsed.tier().is_none() {
            return self.skip(line, format!("“{code}”不是某一级的区划"));
        }
        if name.is_empty() || name.chars().count() > 60 {
            return self.skip(line, format!("{code} 的名称为空或过长"));
        }
        let three_digits = class.len() == 3 && class.bytes().all(|b| b.is_ascii_digit());
        if !class.is_empty() && !three_digits {
            return self.skip(line, format!("{code} 的城乡分类代码“{class}”不是三位数字"));
        }
        // A city without districts is listed again as its own county: the first stands.
        self.units.entry(parsed).or_insert_with(|| Unit {
            code: parsed,
            name: name.to_owned(),
            class: class.to_owned(),
            origin: "list".to_owned(),
        });
    }
}

fn decode(bytes: &[u8]) -> Result<String> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(bytes).take(MOST).read_to_end(&mut plain).map_err(|_| {
            Refusal::invalid("divisions.damaged", "压缩文件已损坏，不能读取。请重新下载后再导入。")
        })?;
    } else {
        plain.extend_from_slice(bytes);
    }
    let text = match String::from_utf8(plain) {
        Ok(text) => text,
        Err(error) => {
            let (text, _, bad) = encoding_rs::GB18030.decode(error.as_bytes());
            if bad {
                return Err(Refusal::invalid(
                    "divisions.letters",
                    "文件的编码不是 UTF-8，也不是 GB 18030。请另存为 UTF-8 的 CSV 后再导入。",
                )
                .into());
            }
            text.into_owned()
        }
    };
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// The edition that a list makes: itself, and below the tiers that it has, what the base has under divisions that
/// are still there or have moved.
fn complete(list: Vec<Unit>, base: &[Unit], moved: &BTreeMap<RegionCode, RegionCode>) -> (Vec<Unit>, usize) {
    let tiers: BTreeSet<Tier> = list.iter().filter_map(|u| u.code.tier()).collect();
    let deepest = tiers.iter().next_back().copied().unwrap_or(Tier::Village);
    let mut units: BTreeMap<RegionCode, Unit> = list.into_iter().map(|u| (u.code, u)).collect();
    let there: BTreeSet<RegionCode> = units.keys().copied().collect();
    let mut carried = 0;
    for unit in base {
        match unit.code.tier() {
            Some(tier) if tier > deepest => {
                let holder = unit.code.at(deepest);
                let now = if there.contains(&holder) { Some(holder) } else { moved.get(&holder).copied() };
                let Some(now) = now else { continue };
                let digits = deepest.significant_digits();
                let text = format!("{}{}", &now.as_str()[..digits], &unit.code.as_str()[digits..]);
                if let Ok(code) = RegionCode::parse(&text)
                    && let std::collections::btree_map::Entry::Vacant(place) = units.entry(code)
                {
                    place.insert(Unit { code, ..unit.clone() });
                    carried += 1;
                }
            }
            // What a list does not say of a division it has, the edition before says.
            Some(_) => {
                let now = moved.get(&unit.code).unwrap_or(&unit.code);
                if let Some(there) = units.get_mut(now)
                    && there.class.is_empty()
                {
                    there.class.clone_from(&unit.class);
                }
            }
            None => {}
        }
    }
    (units.into_values().collect(), carried)
}

impl Divisions {
    /// Imports an edition from a list, or with `dry` only says what it would do. `from` is the day from which it is in
    /// force (1 January of the year when not given).
    ///
    /// What the list moves to other codes is filed as an operation that waits for approval.
    ///
    /// # Errors
    /// Refuses a prefix without divisions in the list and an edition older than the one that operations were done on.
    pub async fn import(
        &self,
        caller: &Caller,
        year: i16,
        from: Option<NaiveDate>,
        list: List,
        prefix: &RegionCode,
        dry: bool,
    ) -> Result<ImportReport> {
        let List { units, unread, unread_count } = list;
        let within: Vec<Unit> =
            units.into_values().filter(|u| prefix.contains(&u.code) || u.code.contains(prefix)).collect();
        if !within.iter().any(|u| prefix.contains(&u.code)) {
            return Err(Refusal::invalid(
                "divisions.prefix",
                format!("清单中没有以 {} 开头的区划。请核对前缀和文件。", prefix.prefix()),
            )
            .into());
        }
        let begins = from
            .or_else(|| NaiveDate::from_ymd_opt(i32::from(year), 1, 1))
            .filter(|_| (1980..2200).contains(&year));
        let Some(begins) = begins else {
            return Err(Refusal::invalid("divisions.year", "年份应是四位数字，例如 2025。").into());
        };
        let known = self.directory.regions_now();
        let again = known.edition(year).is_some();
        let base = if again {
            Some(year)
        } else {
            known.editions.iter().map(|e| e.year).filter(|y| *y < year).max()
        };
        let before = match base {
            Some(base) => edition::subtree(self.db(), base, prefix).await?,
            None => Vec::new(),
        };
        // Levels above the prefix are only added or renamed, never compared.
        let (inside, above): (Vec<Unit>, Vec<Unit>) =
            within.into_iter().partition(|u| prefix.contains(&u.code));
        let follows = |code: &RegionCode| match known.mapping.translate(*code, base.unwrap_or(year), year)[..]
        {
            [(to, share)] if share > 0.999 && to != *code => Some(to),
            _ => None,
        };
        let tiers: BTreeSet<Option<Tier>> = inside.iter().map(|u| u.code.tier()).collect();
        let comparable: Vec<Unit> =
            before.iter().filter(|u| tiers.contains(&u.code.tier())).cloned().collect();
        let first = edition::compare(&comparable, &inside, follows);
        let moved = moves(&first);
        let (after, carried) = complete(inside, &before, &moved);
        let differences =
            edition::compare(&before, &after, |c| moved.get(c).copied().or_else(|| carried_to(c, &moved)));
        let gone: Vec<String> = differences
            .iter()
            .filter(|d| d.kind == "gone")
            .filter_map(|d| d.before.as_ref())
            .map(|u| u.code.as_str().to_owned())
            .collect();
        let mut left_behind = self.held(&gone).await?;
        left_behind.retain(|h| !h.by_code.is_empty());
        let mut report = ImportReport {
            year,
            base,
            found: after.len(),
            carried,
            differences,
            left_behind,
            unread,
            unread_count,
            operation: None,
        };
        if dry {
            return Ok(report);
        }
        let pairs = if again { BTreeMap::new() } else { moves(&report.differences) };
        let now = self.now();
        let detail = serde_json::json!({ "year": year, "found": report.found, "added": report.count("added"),
            "gone": report.count("gone"), "renamed": report.count("renamed"), "moved": report.count("moved") });
        let label = format!("{year} 年版区划");
        let source = format!("导入清单（{}）", prefix.prefix());
        report.operation = self
            .db()
            .transaction(async |tx| {
                lock(tx).await?;
                put_edition(tx, year, begins, &source, caller, now).await?;
                let stale: Vec<Unit> = if again { before.clone() } else { Vec::new() };
                run::write_edition(tx, year, &stale, &[]).await?;
                for chunk in after.chunks(AT_ONCE) {
                    run::write_edition(tx, year, &[], chunk).await?;
                }
                run::write_edition(tx, year, &above, &above).await?;
                note(tx, caller, now, "division.import", i64::from(year), &label, detail).await?;
                if pairs.is_empty() {
                    return Ok(None);
                }
                file_adoption(tx, year, &pairs, prefix, caller, now).await.map(Some)
            })
            .await?;
        self.refresh().await?;
        Ok(report)
    }

    /// Begins the edition of a year with everything of the newest one.
    ///
    /// # Errors
    /// Refuses a year that is there already or lies before the newest edition.
    pub async fn begin_edition(&self, caller: &Caller, year: i16, from: NaiveDate) -> Result<()> {
        let known = self.directory.regions_now();
        let newest = known
            .newest()
            .filter(|newest| *newest < year)
            .ok_or_else(|| Refusal::invalid("divisions.year", "新的一版应晚于已有的各版。"))?;
        let now = self.now();
        self.db()
            .transaction(async |tx| {
                lock(tx).await?;
                put_edition(tx, year, from, &format!("沿用 {newest} 年版"), caller, now).await?;
                sqlx::query(
                    "insert into region (year, code, name, parent, tier, initials, class, origin)
                     select $1, code, name, parent, tier, initials, class, origin from region where year = $2",
                )
                .bind(year)
                .bind(newest)
                .execute(&mut **tx)
                .await
                .db("begin an edition of divisions")?;
                let detail = serde_json::json!({ "year": year, "base": newest, "from": from });
                note(tx, caller, now, "division.begin", i64::from(year), &format!("{year} 年版区划"), detail).await
            })
            .await?;
        self.refresh().await
    }
}

/// A village under a township that moved.
fn carried_to(code: &RegionCode, moved: &BTreeMap<RegionCode, RegionCode>) -> Option<RegionCode> {
    [Tier::Township, Tier::County].into_iter().find_map(|tier| {
        let to = moved.get(&code.at(tier)).filter(|_| code.tier() > Some(tier))?;
        let digits = tier.significant_digits();
        RegionCode::parse(&format!("{}{}", &to.as_str()[..digits], &code.as_str()[digits..])).ok()
    })
}

fn moves(differences: &[Difference]) -> BTreeMap<RegionCode, RegionCode> {
    differences
        .iter()
        .filter(|d| d.kind == "moved")
        .filter_map(|d| Some((d.before.as_ref()?.code, d.after.as_ref()?.code)))
        .collect()
}

/// Files or updates the edition itself.
pub(super) async fn put_edition(
    tx: &mut Tx<'_>,
    year: i16,
    from: NaiveDate,
    source: &str,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into division_year (year, in_force_from, source, changed_at, changed_by) values ($1, $2, $3, $4, $5)
         on conflict (year) do update
         set source = excluded.source, changed_at = excluded.changed_at, changed_by = excluded.changed_by",
    )
    .bind(year)
    .bind(from)
    .bind(source)
    .bind(now)
    .bind(&caller.name)
    .execute(&mut **tx)
    .await
    .db("file an edition of divisions")?;
    Ok(())
}

/// Files the operation that lets what lies in codes that changed follow.
async fn file_adoption(
    tx: &mut Tx<'_>,
    year: i16,
    pairs: &BTreeMap<RegionCode, RegionCode>,
    prefix: &RegionCode,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<i64> {
    let plan = Plan {
        moves: pairs.iter().map(|(f, t)| (*f, *t)).collect(),
        homes: pairs.iter().map(|(f, t)| (*t, *f)).collect(),
        successions: pairs
            .iter()
            .map(|(from, to)| Succession { from: *from, to: *to, share: 1.0, back_share: 1.0 })
            .collect(),
        ..Plan::default()
    };
    let title = format!("换版：{year} 年版中 {} 个区划变更了代码", pairs.len());
    sqlx::query_scalar(
        "insert into division_operation (year, kind, title, reason, region, request, plan, asked_by, asked_account,
             asked_at)
         values ($1, 'adopt', $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(year)
    .bind(&title)
    .bind(format!("导入 {year} 年版区划清单"))
    .bind(prefix.as_str())
    .bind(serde_json::json!({ "kind": "adopt" }))
    .bind(serde_json::to_value(&plan).doing("write the plan of an operation")?)
    .bind(&caller.name)
    .bind(caller.account.map(kernel::Id::get))
    .bind(now)
    .fetch_one(&mut **tx)
    .await
    .db("file an operation")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lists_of_several_shapes_are_read() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all("41\t河南省\n411503001\t五里店街道\t\n".as_bytes()).unwrap();
        let files = [
            ("\u{feff}id,pid,deep,name,ext_id,ext_name\n4115,41,1,\"信阳\",\"411500000000\",\"信阳市\"\n")
                .as_bytes()
                .to_vec(),
            encoding_rs::GB18030
                .encode("区划代码,名称,城乡分类代码\n411503001001,某村,220\nx,y,\n,,\n")
                .0
                .into_owned(),
            gz.finish().unwrap(),
        ];
        let list = read(&files).unwrap();
        let names: Vec<&str> = list.units.values().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["河南省", "信阳市", "五里店街道", "某村"]);
        assert_eq!(list.units.values().last().unwrap().class, "220");
        assert_eq!((list.unread_count, list.unread[0].0), (1, 3));
        assert!(read(&[b"a,b\n1,2\n".to_vec()]).is_err());
        assert!(read(&[b"code,name\nx,y\n".to_vec()]).is_err());
    }

    #[test]
    fn a_list_of_townships_keeps_the_villages() {
        let unit = |code: &str, class: &str| Unit {
            code: RegionCode::parse(code).unwrap(),
            name: code.to_owned(),
            class: class.to_owned(),
            origin: "list".into(),
        };
        let base = [
            unit("411503001", ""),
            unit("411503001001", "220"),
            unit("411503002", ""),
            unit("411503002001", ""),
        ];
        let moved = BTreeMap::from([(base[0].code, RegionCode::parse("411504009").unwrap())]);
        let (after, carried) = complete(vec![unit("411504009", "")], &base, &moved);
        let codes: Vec<&str> = after.iter().map(|u| u.code.prefix()).collect();
        assert_eq!((codes, carried), (vec!["411504009", "411504009001"], 1));
        assert_eq!(after[1].class, "220");
    }
}
