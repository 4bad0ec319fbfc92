//! Divisions in memory: their names in every edition, the editions, what became of which code, and where institutions
//! lay before.

use std::collections::HashMap;

use chrono::NaiveDate;
use kernel::{RegionCode, Result, Tier};
use sqlx::Row;
use store::{Db, DbDoing};

use super::mapping::Mapping;

/// An edition of the divisions: the list of one year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// The year that names it.
    pub year: i16,
    /// The first day on which it is the one in force.
    pub in_force_from: NaiveDate,
    /// Where it came from.
    pub source: String,
}

/// Everything about divisions that is kept in memory.
#[derive(Debug, Default)]
pub(crate) struct Known {
    names: RegionNames,
    /// Ordered by the day from which they are in force.
    pub editions: Vec<Edition>,
    pub mapping: Mapping,
    /// Of institutions that were moved by an operation: until which year they lay where, oldest first.
    places: HashMap<i64, Vec<(i16, RegionCode)>>,
}

impl Known {
    pub(crate) async fn read(db: &Db) -> Result<Self> {
        let editions =
            sqlx::query("select year, in_force_from, source from division_year order by in_force_from, year")
                .fetch_all(db.pool())
                .await
                .db("read editions of divisions")?
                .iter()
                .map(|row| {
                    Ok(Edition {
                        year: row.try_get(0)?,
                        in_force_from: row.try_get(1)?,
                        source: row.try_get(2)?,
                    })
                })
                .collect::<Result<_, sqlx::Error>>()
                .db("read editions of divisions")?;
        let mut places: HashMap<i64, Vec<(i16, RegionCode)>> = HashMap::new();
        let rows = sqlx::query(
            "select institution_id, until_year, region from institution_place order by until_year, operation_id",
        )
        .fetch_all(db.pool())
        .await
        .db("read earlier places of institutions")?;
        for row in rows {
            let place = || {
                let region = RegionCode::parse(row.try_get(2)?).unwrap_or(RegionCode::NATION);
                Ok::<_, sqlx::Error>((
                    i64::from(row.try_get::<i32, _>(0)?),
                    (row.try_get::<i16, _>(1)?, region),
                ))
            };
            let (institution, place) = place().db("read earlier places of institutions")?;
            places.entry(institution).or_default().push(place);
        }
        Ok(Known { names: RegionNames::read(db).await?, editions, mapping: Mapping::read(db).await?, places })
    }

    /// The edition in force on a day: the last one that had begun; the first one for days before all of them.
    pub(crate) fn edition_on(&self, day: NaiveDate) -> Option<&Edition> {
        self.editions.iter().rev().find(|e| e.in_force_from <= day).or_else(|| self.editions.first())
    }

    pub(crate) fn edition(&self, year: i16) -> Option<&Edition> {
        self.editions.iter().find(|e| e.year == year)
    }

    /// The newest edition, whether it is in force yet or not.
    pub(crate) fn newest(&self) -> Option<i16> {
        self.editions.iter().map(|e| e.year).max()
    }

    pub(crate) fn own_name(&self, code: &RegionCode) -> Option<&str> {
        self.names.own_name(code, None)
    }

    pub(crate) fn own_name_in(&self, code: &RegionCode, year: i16) -> Option<&str> {
        self.names.own_name(code, Some(year))
    }

    pub(crate) fn full_name(&self, code: &RegionCode) -> String {
        self.names.full_name(code, None)
    }

    pub(crate) fn full_name_in(&self, code: &RegionCode, year: i16) -> String {
        self.names.full_name(code, Some(year))
    }

    /// Where an institution that lies in `now` lay in the divisions of a year.
    pub(crate) fn place(&self, institution: i64, now: RegionCode, year: i16) -> RegionCode {
        let moved = self.places.get(&institution).map_or(&[][..], Vec::as_slice);
        moved.iter().find(|(until, _)| *until > year).map_or(now, |(_, region)| *region)
    }
}

/// Names of divisions, compact: 16 bytes and the name each, so that a whole country fits in 25 MB.
#[derive(Debug, Default)]
struct RegionNames {
    /// Code as a number, where its name begins, how long it is. Sorted.
    index: Vec<(u64, u32, u16)>,
    text: String,
    /// Of the few that were renamed: every name with its first year, oldest first.
    renamed: HashMap<u64, Vec<(i16, String)>>,
}

/// Names at the city level that say nothing of the place.
const NAMELESS: [&str; 5] = ["市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划", "直辖县级"];

impl RegionNames {
    async fn read(db: &Db) -> Result<Self> {
        // Each code once for every run of years in which it bore one name.
        let rows = sqlx::query(
            "select code, name, year from (
                 select code, name, year, lag(name) over (partition by code order by year) as earlier from region
             ) r where earlier is distinct from name order by code collate \"C\", year",
        )
        .fetch_all(db.pool())
        .await
        .db("read divisions")?;
        let mut names = RegionNames::default();
        let mut at = 0;
        while at < rows.len() {
            let code: &str = rows[at].try_get(0).db("read divisions")?;
            let end =
                rows[at..].iter().take_while(|r| r.try_get::<&str, _>(0).is_ok_and(|c| c == code)).count();
            let runs = &rows[at..at + end.max(1)];
            let newest: &str = runs[runs.len() - 1].try_get(1).db("read divisions")?;
            names.push(code, newest);
            if runs.len() > 1
                && let Ok(number) = code.parse()
            {
                let all = runs.iter().map(|r| Ok((r.try_get(2)?, r.try_get(1)?)));
                names.renamed.insert(number, all.collect::<Result<_, sqlx::Error>>().db("read divisions")?);
            }
            at += end.max(1);
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

    /// The name of a division alone, e.g. `平桥区`: the newest, or that of a year.
    fn own_name(&self, code: &RegionCode, year: Option<i16>) -> Option<&str> {
        let number: u64 = code.as_str().parse().ok()?;
        if let (Some(year), Some(all)) = (year, self.renamed.get(&number)) {
            let then = all.iter().rev().find(|(first, _)| *first <= year).or(all.first());
            return then.map(|(_, name)| name.as_str());
        }
        let found = self.index.binary_search_by_key(&number, |(code, _, _)| *code).ok()?;
        let (_, start, length) = self.index[found];
        self.text.get(start as usize..start as usize + usize::from(length))
    }

    /// The name from the city down, e.g. `信阳市平桥区`; the code where it is unknown.
    fn full_name(&self, code: &RegionCode, year: Option<i16>) -> String {
        let Some(tier) = code.tier() else { return "全国".to_owned() };
        let mut name = String::new();
        for step in [Tier::Province, Tier::City, Tier::County, Tier::Township, Tier::Village] {
            if step > tier {
                break;
            }
            let Some(own) = self.own_name(&code.at(step), year) else {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
            assert_eq!(names.full_name(&code(of), None), expected);
        }
        names.renamed.insert(411503000000, vec![(2020, "信阳县".into()), (2023, "平桥区".into())]);
        for (year, name) in [(2019, "信阳市信阳县"), (2022, "信阳市信阳县"), (2023, "信阳市平桥区")]
        {
            assert_eq!(names.full_name(&code("411503"), Some(year)), name, "{year}");
        }
        assert_eq!(names.full_name(&RegionCode::NATION, None), "全国");
    }

    #[test]
    fn a_day_picks_its_edition_and_a_year_the_place() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let edition =
            |year: i16, from: &str| Edition { year, in_force_from: day(from), source: String::new() };
        let known = Known {
            editions: vec![edition(2023, "2023-01-01"), edition(2025, "2025-07-01")],
            places: HashMap::from([(7, vec![(2024, code("411502")), (2025, code("411503"))])]),
            ..Known::default()
        };
        for (on, year) in
            [("2020-05-05", 2023), ("2025-06-30", 2023), ("2025-07-01", 2025), ("2030-01-01", 2025)]
        {
            assert_eq!(known.edition_on(day(on)).unwrap().year, year, "{on}");
        }
        for (year, place) in [(2023, "411502"), (2024, "411503"), (2025, "411504"), (2026, "411504")] {
            assert_eq!(known.place(7, code("411504"), year), code(place), "{year}");
        }
        assert_eq!(known.place(8, code("411504"), 2020), code("411504"));
    }
}
