//! Reading an edition: one division, its children, its way from the top, search, filtered lists, two years side by side.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{RegionCode, Result, Tier};
use sqlx::Row;
use sqlx::postgres::PgRow;
use store::{Db, DbDoing};

use super::plan::{Request, Unit, Working, parent};

/// The codes of a division and everything below it, as the bounds of a range: `code between lo and hi`.
pub(crate) fn range(code: &RegionCode) -> (String, String) {
    let prefix = code.prefix();
    (code.as_str().to_owned(), format!("{prefix}{}", "9".repeat(12 - prefix.len())))
}

fn unit(row: &PgRow) -> Result<Unit, sqlx::Error> {
    Ok(Unit {
        code: RegionCode::parse(row.try_get(0)?).unwrap_or(RegionCode::NATION),
        name: row.try_get(1)?,
        class: row.try_get(2)?,
        origin: row.try_get(3)?,
    })
}

fn units(rows: &[PgRow]) -> Result<Vec<Unit>> {
    rows.iter().map(unit).collect::<Result<_, _>>().db("read divisions")
}

/// One division of an edition.
pub async fn one(db: &Db, year: i16, code: &RegionCode) -> Result<Option<Unit>> {
    let row = sqlx::query("select code, name, class, origin from region where year = $1 and code = $2")
        .bind(year)
        .bind(code.as_str())
        .fetch_optional(db.pool())
        .await
        .db("read a division")?;
    row.as_ref().map(unit).transpose().db("read a division")
}

/// Those directly below, in the order of their codes; the provinces for the nation.
pub async fn children(db: &Db, year: i16, of: &RegionCode) -> Result<Vec<Unit>> {
    let rows = sqlx::query(
        "select code, name, class, origin from region
         where year = $1 and parent is not distinct from $2 order by code",
    )
    .bind(year)
    .bind((*of != RegionCode::NATION).then(|| of.as_str().to_owned()))
    .fetch_all(db.pool())
    .await
    .db("read divisions below")?;
    units(&rows)
}

/// Which of these have something below them.
pub async fn with_children(db: &Db, year: i16, of: &[Unit]) -> Result<BTreeSet<RegionCode>> {
    let codes: Vec<&str> = of.iter().map(|u| u.code.as_str()).collect();
    let rows: Vec<String> =
        sqlx::query_scalar("select distinct parent from region where year = $1 and parent = any($2)")
            .bind(year)
            .bind(codes)
            .fetch_all(db.pool())
            .await
            .db("read which divisions have others below")?;
    Ok(rows.iter().filter_map(|c| RegionCode::parse(c).ok()).collect())
}

/// What a list is filtered by.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Part of a name, beginning of initials or of a code.
    pub text: String,
    /// Within this division.
    pub within: Option<RegionCode>,
    /// Of this tier.
    pub tier: Option<Tier>,
    /// Of this urban-rural class.
    pub class: String,
    /// Of this origin.
    pub origin: String,
}

/// Divisions of an edition that are wanted, and how many there are.
pub async fn find(db: &Db, year: i16, wanted: &Wanted, limit: i64, offset: i64) -> Result<(Vec<Unit>, i64)> {
    let (lo, hi) = range(&wanted.within.unwrap_or(RegionCode::NATION));
    let text = wanted.text.trim();
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    let letters = !digits && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    let like = text.replace(['%', '_', '\\'], "");
    let rows = sqlx::query(
        "select code, name, class, origin, count(*) over () from region
         where year = $1 and code between $2 and $3
           and ($4::smallint is null or tier = $4) and ($5 = '' or class = $5) and ($6 = '' or origin = $6)
           and case $7 when 'code' then code like $8 || '%' when 'letters' then initials like $8 || '%'
                       when 'name' then name like '%' || $8 || '%' else true end
         order by tier, code limit $9 offset $10",
    )
    .bind(year)
    .bind(&lo)
    .bind(&hi)
    .bind(wanted.tier.map(|t| t as i16 + 1))
    .bind(&wanted.class)
    .bind(&wanted.origin)
    .bind(if digits {
        "code"
    } else if letters {
        "letters"
    } else if text.is_empty() {
        ""
    } else {
        "name"
    })
    .bind(if letters { like.to_lowercase() } else { like })
    .bind(limit)
    .bind(offset)
    .fetch_all(db.pool())
    .await
    .db("find divisions")?;
    let total = rows.first().map_or(Ok(0), |r| r.try_get(4)).db("find divisions")?;
    Ok((units(&rows)?, total))
}

/// Everything of an edition under a division, itself included.
pub async fn subtree(db: &Db, year: i16, of: &RegionCode) -> Result<Vec<Unit>> {
    let (lo, hi) = range(of);
    let rows = sqlx::query(
        "select code, name, class, origin from region where year = $1 and code between $2 and $3 order by code",
    )
    .bind(year)
    .bind(lo)
    .bind(hi)
    .fetch_all(db.pool())
    .await
    .db("read divisions")?;
    units(&rows)
}

/// The rows that planning a request wants; `weights` are filled in by the caller.
pub(crate) async fn working(db: &Db, year: i16, request: &Request) -> Result<Working> {
    let (mut los, mut his) = (Vec::new(), Vec::new());
    for code in request.subtrees() {
        // A code to come has nothing below it yet, but its parent must be there and its number be free.
        for within in
            [Some(code), parent(&code).filter(|_| code.tier() == Some(Tier::Village))].into_iter().flatten()
        {
            let (lo, hi) = range(&within);
            los.push(lo);
            his.push(hi);
        }
    }
    let rows = sqlx::query(
        "select code, name, class, origin, year from region r
         where exists (select from unnest($1::text[], $2::text[]) as s (lo, hi) where r.code between lo and hi)
         order by code, year",
    )
    .bind(&los)
    .bind(&his)
    .fetch_all(db.pool())
    .await
    .db("read what an operation touches")?;
    let mut work = Working::default();
    for row in &rows {
        let unit = unit(row).db("read what an operation touches")?;
        work.taken.insert(unit.code);
        if row.try_get::<i16, _>(4).db("read what an operation touches")? == year {
            work.units.insert(unit.code, unit);
        }
    }
    Ok(work)
}

/// A difference between two editions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: `added`, `gone`, `renamed`, `moved`.
    pub kind: &'static str,
    /// In the earlier edition.
    pub before: Option<Unit>,
    /// In the later edition.
    pub after: Option<Unit>,
}

/// The Chinese name of a kind of difference.
pub fn difference_name(kind: &str) -> &'static str {
    match kind {
        "added" => "新增",
        "gone" => "撤销",
        "renamed" => "更名",
        _ => "变更代码",
    }
}

/// Compares two lists. A code that went and one that came with the same name under parents that correspond are one
/// division that moved, and so is what `known` says (recorded operations).
pub fn compare(
    before: &[Unit],
    after: &[Unit],
    known: impl Fn(&RegionCode) -> Option<RegionCode>,
) -> Vec<Difference> {
    let old: BTreeMap<RegionCode, &Unit> = before.iter().map(|u| (u.code, u)).collect();
    let new: BTreeMap<RegionCode, &Unit> = after.iter().map(|u| (u.code, u)).collect();
    let mut came: BTreeMap<RegionCode, &Unit> =
        new.iter().filter(|(c, _)| !old.contains_key(c)).map(|(c, u)| (*c, *u)).collect();
    // By name and tier, to find the other end of a move.
    let mut by_name: BTreeMap<(Option<Tier>, &str), Vec<RegionCode>> = BTreeMap::new();
    for (code, unit) in &came {
        by_name.entry((code.tier(), unit.name.as_str())).or_default().push(*code);
    }
    let mut moved: BTreeMap<RegionCode, RegionCode> = BTreeMap::new();
    let mut out = Vec::new();
    for (code, unit) in &old {
        if let Some(now) = new.get(code) {
            if now.name != unit.name {
                out.push(Difference {
                    kind: "renamed",
                    before: Some((*unit).clone()),
                    after: Some((*now).clone()),
                });
            }
            continue;
        }
        // Only where there is one candidate is a name enough; a village follows its township, a township stays in
        // its city.
        let near = |to: &RegionCode| match (parent(code), parent(to)) {
            (Some(was), Some(is)) if code.tier() == Some(Tier::Village) => {
                was == is || moved.get(&was) == Some(&is)
            }
            _ => code.at(Tier::City) == to.at(Tier::City) || code.tier() <= Some(Tier::City),
        };
        let named = by_name.get(&(code.tier(), unit.name.as_str())).map_or(&[][..], Vec::as_slice);
        let candidates: Vec<RegionCode> =
            named.iter().filter(|c| came.contains_key(c) && near(c)).copied().collect();
        let target = known(code).filter(|c| new.contains_key(c)).or(match candidates[..] {
            [only] => Some(only),
            _ => None,
        });
        let after = target.and_then(|c| {
            moved.insert(*code, c);
            came.remove(&c);
            new.get(&c).map(|u| (*u).clone())
        });
        let kind = if after.is_some() { "moved" } else { "gone" };
        out.push(Difference { kind, before: Some((*unit).clone()), after });
    }
    out.extend(came.into_values().map(|u| Difference {
        kind: "added",
        before: None,
        after: Some(u.clone()),
    }));
    let key = |d: &Difference| d.before.as_ref().or(d.after.as_ref()).map(|u| u.code);
    out.sort_by_key(key);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(rows: &[(&str, &str)]) -> Vec<Unit> {
        rows.iter()
            .map(|(code, name)| Unit {
                code: RegionCode::parse(code).unwrap(),
                name: (*name).to_owned(),
                class: String::new(),
                origin: "list".to_owned(),
            })
            .collect()
    }

    #[test]
    fn two_editions_are_compared() {
        let before = list(&[
            ("411502", "浉河区"),
            ("411502001", "老城街道"),
            ("411502001001", "东关居委会"),
            ("411502100", "东双河镇"),
            ("411502101", "某镇"),
        ]);
        let after = list(&[
            ("411502", "浉河新区"),
            ("411503011", "老城街道"),
            ("411503011001", "东关居委会"),
            ("411502101", "某镇"),
            ("411502102", "新镇"),
        ]);
        let found: Vec<(&str, String)> = compare(&before, &after, |_| None)
            .iter()
            .map(|d| (d.kind, d.before.as_ref().or(d.after.as_ref()).unwrap().code.prefix().to_owned()))
            .collect();
        let expected = [
            ("renamed", "411502"),
            ("moved", "411502001"),
            ("moved", "411502001001"),
            ("gone", "411502100"),
            ("added", "411502102"),
        ];
        assert_eq!(found, expected.map(|(k, c)| (k, c.to_owned())));
        assert_eq!(
            range(&RegionCode::parse("411502").unwrap()),
            ("411502000000".into(), "411502999999".into())
        );
        assert!(compare(&before, &before, |_| None).is_empty());
    }
}
