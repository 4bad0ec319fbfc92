//! Divisions (行政区划): loading them by year from the shipped list, and their names in memory.
//!
//! The list holds some 660,000 divisions down to the village. An operator loads the province, prefecture or county
//! that the platform serves; the levels above come along.

use std::io::{BufRead, Read};

use flate2::read::GzDecoder;
use kernel::{Refusal, RegionCode, Result, Tier};
use sqlx::Row;
use standards::pinyin::initials;
use store::copy::CopyRows;
use store::{Db, DbDoing};

use crate::{Directory, Registry};

/// The shipped list among the embedded assets, written by `web/divisions.mjs`.
const SHIPPED: &str = "divisions.tsv.gz";
/// The year of its divisions: those of the National Bureau of Statistics on 30 June 2023.
pub const SHIPPED_YEAR: i16 = 2023;

/// Names of divisions, compact: 16 bytes and the name each, so that a whole country fits in 25 MB.
#[derive(Debug, Default)]
pub(crate) struct RegionNames {
    /// Code as a number, where its name begins, how long it is. Sorted.
    index: Vec<(u64, u32, u16)>,
    text: String,
}

/// Names at the city level that say nothing of the place.
const NAMELESS: [&str; 5] = ["市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划", "直辖县级"];

impl RegionNames {
    pub(crate) async fn read(db: &Db) -> Result<Self> {
        let rows = sqlx::query(
            "select distinct on (code collate \"C\") code, name from region order by code collate \"C\", year desc",
        )
        .fetch_all(db.pool())
        .await
        .db("read divisions")?;
        let mut names = RegionNames::default();
        for row in rows {
            let code: &str = row.try_get(0).db("read divisions")?;
            let name: &str = row.try_get(1).db("read divisions")?;
            names.push(code, name);
        }
        Ok(names)
    }

    /// Adds a name; codes come in ascending order.
    fn push(&mut self, code: &str, name: &str) {
        if let Ok(code) = code.parse() {
            self.index.push((code, self.text.len() as u32, name.len() as u16));
            self.text.push_str(name);
        }
    }

    /// The name of a division alone, e.g. `平桥区`.
    pub(crate) fn own_name(&self, code: &RegionCode) -> Option<&str> {
        let number: u64 = code.as_str().parse().ok()?;
        let found = self.index.binary_search_by_key(&number, |(code, _, _)| *code).ok()?;
        let (_, start, length) = self.index[found];
        self.text.get(start as usize..start as usize + usize::from(length))
    }

    /// The name from the city down, e.g. `信阳市平桥区`; the code where it is unknown.
    pub(crate) fn full_name(&self, code: &RegionCode) -> String {
        let Some(tier) = code.tier() else { return "全国".to_owned() };
        let mut name = String::new();
        for step in [Tier::Province, Tier::City, Tier::County, Tier::Township, Tier::Village] {
            if step > tier {
                break;
            }
            let Some(own) = self.own_name(&code.at(step)) else {
                if step == tier {
                    return code.as_str().to_owned();
                }
                continue;
            };
            match step {
                // Below the province, only a place without a city of its own is named after its province.
                Tier::City if NAMELESS.contains(&own) => {}
                Tier::City => {
                    name.clear();
                    name.push_str(own);
                }
                _ => name.push_str(own),
            }
        }
        name
    }
}

/// What a load of divisions did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionReport {
    /// Divisions in the list under the prefix, levels above included.
    pub found: usize,
    /// New ones.
    pub added: u64,
    /// Those whose name changed.
    pub renamed: u64,
}

impl Directory {
    /// Loads the divisions under `prefix` from the list that is shipped with the program.
    pub async fn load_shipped_regions(&self, prefix: &str) -> Result<RegionReport> {
        let list = web::assets::embedded(SHIPPED).ok_or_else(|| {
            Refusal::invalid(
                "regions.no_list",
                "程序中没有行政区划清单。请运行 scripts/assets.sh 后重新编译程序。",
            )
        })?;
        self.load_regions(&list[..], SHIPPED_YEAR, prefix).await
    }

    /// Loads the divisions under `prefix` (2, 4, 6, 9 or 12 digits) and the levels above from a gzip list of
    /// `code<TAB>name` lines (codes of 2, 4, 6, 9 or 12 digits) in
    /// ascending order. Loading again changes only what differs.
    pub async fn load_regions(&self, list: impl Read, year: i16, prefix: &str) -> Result<RegionReport> {
        let divisions = select(list, prefix)?;
        if divisions.is_empty() {
            return Err(Refusal::invalid(
                "regions.unknown_prefix",
                format!("行政区划清单中没有以 {prefix} 开头的区划。请核对代码，例如河南省信阳市是 4115。"),
            )
            .into());
        }
        let found = divisions.len();
        let (added, renamed) = self
            .db
            .transaction(async |tx| {
                sqlx::query(
                    "create temporary table region_new (like region including defaults) on commit drop",
                )
                .execute(&mut **tx)
                .await
                .db("prepare divisions")?;
                let mut rows = CopyRows::new(6, divisions.len());
                for (code, name) in &divisions {
                    rows.row();
                    rows.int2(year);
                    rows.text(code.as_str());
                    rows.text(name);
                    let tier = code.tier().unwrap_or(Tier::Province);
                    match above(tier) {
                        Some(above) => rows.text(code.at(above).as_str()),
                        None => rows.null(),
                    }
                    rows.int2(tier as i16 + 1);
                    rows.text(&initials(name));
                }
                rows.send(
                    tx,
                    "copy region_new (year, code, name, parent, tier, initials) from stdin (format binary)",
                )
                .await?;
                let renamed = sqlx::query(
                    "update region r set name = n.name, initials = n.initials from region_new n
                     where r.year = n.year and r.code = n.code and r.name <> n.name",
                )
                .execute(&mut **tx)
                .await
                .db("rename divisions")?;
                let added = sqlx::query("insert into region select * from region_new on conflict do nothing")
                    .execute(&mut **tx)
                    .await
                    .db("add divisions")?;
                Ok((added.rows_affected(), renamed.rows_affected()))
            })
            .await?;
        self.reload(Registry::Regions).await?;
        self.announce(Registry::Regions).await?;
        Ok(RegionReport { found, added, renamed })
    }
}

/// The tier above.
const fn above(tier: Tier) -> Option<Tier> {
    match tier {
        Tier::Province => None,
        Tier::City => Some(Tier::Province),
        Tier::County => Some(Tier::City),
        Tier::Township => Some(Tier::County),
        Tier::Village => Some(Tier::Township),
    }
}

/// The divisions of a list that lie under a prefix or above it.
fn select(list: impl Read, prefix: &str) -> Result<Vec<(RegionCode, String)>> {
    let root = RegionCode::parse(prefix).map_err(|_| {
        Refusal::invalid(
            "regions.bad_prefix",
            format!("“{prefix}”不是行政区划代码。请写 2、4、6、9 或 12 位数字，例如 4115。"),
        )
    })?;
    let damaged = |line: &str| {
        Refusal::invalid(
            "regions.bad_list",
            format!("行政区划清单已损坏，读不懂这一行：“{line}”。请重新生成网页资源（scripts/assets.sh）。"),
        )
    };
    let mut divisions: Vec<(RegionCode, String)> = Vec::new();
    for line in std::io::BufReader::new(GzDecoder::new(list)).lines() {
        let line = line.map_err(|error| damaged(&error.to_string()))?;
        let (code, name) = line.split_once('\t').ok_or_else(|| damaged(&line))?;
        let code = RegionCode::parse(code).map_err(|_| damaged(&line))?;
        // A city without districts (东莞) is listed again as its own county: the first stands.
        let again = divisions.last().is_some_and(|(last, _)| *last == code);
        if !again && (root.contains(&code) || code.contains(&root)) {
            divisions.push((code, name.to_owned()));
        }
    }
    // Levels above without the place itself: the prefix is of no division.
    if divisions.iter().any(|(code, _)| root.contains(code)) { Ok(divisions) } else { Ok(Vec::new()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    fn code(text: &str) -> RegionCode {
        RegionCode::parse(text).unwrap()
    }

    #[test]
    fn full_names_begin_with_the_city() {
        let mut names = RegionNames::default();
        for (code, name) in [
            ("110000000000", "北京市"),
            ("110100000000", "市辖区"),
            ("110101000000", "东城区"),
            ("410000000000", "河南省"),
            ("411500000000", "信阳市"),
            ("411503000000", "平桥区"),
            ("411503001000", "五里店街道"),
            ("411503001001", "某某村委会"),
            ("419000000000", "省直辖县级行政区划"),
            ("419001000000", "济源市"),
        ] {
            names.push(code, name);
        }
        for (of, expected) in [
            ("41", "河南省"),
            ("4115", "信阳市"),
            ("411503", "信阳市平桥区"),
            ("411503001001", "信阳市平桥区五里店街道某某村委会"),
            ("110101", "北京市东城区"),
            ("419001", "河南省济源市"),
            ("411599", "411599000000"),
        ] {
            assert_eq!(names.full_name(&code(of)), expected);
        }
        assert_eq!(names.full_name(&RegionCode::NATION), "全国");
    }

    #[test]
    fn a_prefix_selects_what_lies_under_it_and_above_it() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(
            "41\t河南省\n4115\t信阳市\n411500\t信阳市\n411503\t平桥区\n420000000000\t湖北省\n".as_bytes(),
        )
        .unwrap();
        let list = gz.finish().unwrap();
        let codes = |prefix: &str| -> Vec<String> {
            select(&list[..], prefix).unwrap().iter().map(|(c, _)| c.prefix().to_owned()).collect()
        };
        assert_eq!(codes("4115"), ["41", "4115", "411503"]);
        assert_eq!(codes("42"), ["42"]);
        assert!(codes("4116").is_empty());
        assert!(select(&list[..], "4x").is_err());
        assert!(select(&b"not gzip"[..], "41").is_err());
    }
}
