//! Loading divisions of a year from the shipped list.
//!
//! The list holds some 660,000 divisions down to the village. An operator loads the province, prefecture or county
//! that the platform serves; the levels above come along.

use std::io::{BufRead, Read};

use flate2::read::GzDecoder;
use kernel::{Refusal, RegionCode, Result, Tier};
use standards::pinyin::initials;
use store::DbDoing;
use store::copy::CopyRows;

use super::plan::above;
use crate::{Directory, Registry};

/// The shipped list among the embedded assets, written by `web/divisions.mjs`.
const SHIPPED: &str = "divisions.tsv.gz";
/// The year of its divisions: those of the National Bureau of Statistics on 30 June 2023.
pub const SHIPPED_YEAR: i16 = 2023;

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
                let added = sqlx::query(
                    "insert into region (year, code, name, parent, tier, initials)
                     select year, code, name, parent, tier, initials from region_new on conflict do nothing",
                )
                .execute(&mut **tx)
                .await
                .db("add divisions")?;
                sqlx::query(
                    "insert into division_year (year, in_force_from, source)
                     values ($1, make_date($1::int, 1, 1), $2) on conflict do nothing",
                )
                .bind(year)
                .bind("随程序发布的清单")
                .execute(&mut **tx)
                .await
                .db("file an edition of divisions")?;
                Ok((added.rows_affected(), renamed.rows_affected()))
            })
            .await?;
        self.reload(Registry::Regions).await?;
        self.announce(Registry::Regions).await?;
        Ok(RegionReport { found, added, renamed })
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
