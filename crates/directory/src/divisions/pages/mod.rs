//! Pages of the divisions: tree, one division, list, comparison, map, operations, import. Everybody who may look at
//! registries sees the names; figures and acts only within reach.

mod compare;
mod detail;
mod import_page;
mod listing;
mod map;
mod operations;
mod tree;
mod wizard;
mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kernel::{Purpose, Reach, Refusal, RegionCode, Result};
use store::{DbDoing, jobs};
use web::route::Allowed;
use web::{Access, Routes};

use super::plan::Unit;
use super::{APPROVE, Divisions, MANAGE, READ, edition, run};

/// Rows on a page.
const PAGE: usize = 50;

/// The routes of the divisions.
pub fn routes(divisions: Divisions) -> Routes<()> {
    let public = Access::SignedIn("行政区划是公开标准，任何登录用户填报、核对数据时都要查阅");
    Routes::new()
        .get("/divisions", Access::Needs(READ), tree::page)
        .get("/divisions/below/{code}", Access::Needs(READ), tree::below)
        .get("/divisions/list", Access::Needs(READ), listing::page)
        .get("/divisions/list.csv", Access::Needs(READ), listing::csv)
        .get("/divisions/list.xlsx", Access::Needs(READ), listing::xlsx)
        .get("/divisions/compare", Access::Needs(READ), compare::page)
        .get("/divisions/compare.csv", Access::Needs(READ), compare::csv)
        .get("/divisions/map", Access::Needs(READ), map::page)
        .get("/divisions/operations", Access::Needs(READ), operations::list_page)
        .get("/divisions/operations/new", Access::Needs(MANAGE), wizard::page)
        .post("/divisions/operations/preview", Access::Needs(MANAGE), wizard::preview)
        .post("/divisions/operations", Access::Fresh(MANAGE), wizard::ask)
        .get("/divisions/operations/{id}", Access::Needs(READ), operations::page)
        .get("/divisions/operations/{id}/progress", Access::Needs(READ), operations::progress_piece)
        .post("/divisions/operations/{id}/decide", Access::Fresh(APPROVE), operations::decide)
        .post("/divisions/operations/{id}/undo", Access::Fresh(APPROVE), operations::undo)
        .get("/divisions/import", Access::Needs(MANAGE), import_page::page)
        .post_stream("/divisions/import", Access::Fresh(MANAGE), import_page::import)
        .post("/divisions/editions", Access::Fresh(MANAGE), import_page::begin)
        .get("/divisions/{code}", Access::Needs(READ), detail::page)
        .post("/divisions/{code}/add", Access::Needs(MANAGE), detail::add)
        .post("/divisions/{code}/change", Access::Needs(MANAGE), detail::change)
        .post("/divisions/{code}/abolish", Access::Needs(MANAGE), detail::abolish)
        .get("/api/v1/divisions", public, super::api::list)
        .get("/api/v1/divisions/years", public, super::api::years)
        .get("/api/v1/divisions/changes", public, super::api::changes)
        .get("/api/v1/divisions/mapping", public, super::api::mapping)
        .get("/api/v1/divisions/{code}", public, super::api::one)
        .with_state(divisions)
}

pub(crate) fn reach(allowed: &Allowed) -> Result<Reach> {
    Ok(allowed.reach(Purpose::of("registry"))?)
}

/// A code from an address; not found when it is none.
pub(crate) fn code_of(text: &str) -> Result<RegionCode> {
    RegionCode::parse(text.trim()).map_err(|_| unknown().into())
}

pub(crate) fn unknown() -> Refusal {
    Refusal::not_found("divisions.unknown", "没有这个区划。请核对代码和年份，或从区划树中选择。")
}

/// How much lies in divisions and below, by part.
pub(crate) type Counts = BTreeMap<RegionCode, BTreeMap<String, i64>>;

impl Divisions {
    /// The parts that are counted: word and Chinese name.
    pub(crate) fn parts_counted(&self) -> Vec<(&'static str, &'static str)> {
        let own = (run::INSTITUTIONS, "机构（家）");
        std::iter::once(own).chain(self.holdings.iter().map(|h| (h.part(), h.title()))).collect()
    }

    /// What was counted in these divisions and below, and when. Asks for a new count when it is old or was never made.
    pub(crate) async fn counts(&self, codes: &[RegionCode]) -> Result<(Counts, Option<DateTime<Utc>>)> {
        let (los, his): (Vec<String>, Vec<String>) = codes.iter().map(edition::range).unzip();
        let parts: Vec<&str> = self.parts_counted().into_iter().map(|(part, _)| part).collect();
        let rows: Vec<(String, String, i64, DateTime<Utc>)> = sqlx::query_as(
            "select d.lo, p.part, sum(c.count)::bigint, max(c.counted_at)
             from unnest($1::text[], $2::text[]) as d (lo, hi) cross join unnest($3::text[]) as p (part)
             join division_count c on c.part = p.part and c.code between d.lo and d.hi group by 1, 2",
        )
        .bind(&los)
        .bind(&his)
        .bind(&parts)
        .fetch_all(self.db().pool())
        .await
        .db("read how much lies in divisions")?;
        let counted: Option<DateTime<Utc>> = sqlx::query_scalar("select max(counted_at) from division_count")
            .fetch_one(self.db().pool())
            .await
            .db("read how much lies in divisions")?;
        if counted.is_none_or(|at| self.now() - at > self.stale_after()) {
            self.db()
                .transaction(async |tx| jobs::enqueue(tx, run::COUNT, "", &(), Some("all")).await.map(|_| ()))
                .await?;
        }
        let mut counts = Counts::new();
        for (code, part, count, _) in rows {
            if let Ok(code) = RegionCode::parse(&code) {
                counts.entry(code).or_default().insert(part, count);
            }
        }
        Ok((counts, counted))
    }

    /// Years as the options of a filter, newest first; the one in force is marked.
    pub(crate) fn year_options(&self, chosen: i16) -> Vec<(String, String)> {
        let known = self.directory.regions_now();
        let in_force = known.edition_on(self.clock.today()).map(|e| e.year);
        let mut years: Vec<i16> = known.editions.iter().map(|e| e.year).collect();
        years.sort_unstable_by(|a, b| (*b == chosen, b).cmp(&(*a == chosen, a)));
        let name = |year: i16| {
            if Some(year) == in_force {
                format!("{year} 年版（现行）")
            } else {
                format!("{year} 年版")
            }
        };
        years.into_iter().map(|year| (year.to_string(), name(year))).collect()
    }

    /// The way from the top to a division as links, itself not among them.
    pub(crate) fn way(&self, code: &RegionCode, year: i16) -> Vec<(String, String)> {
        let known = self.directory.regions_now();
        let mut way = Vec::new();
        let mut at = super::plan::parent(code);
        while let Some(above) = at {
            if let Some(name) = known.own_name_in(&above, year) {
                way.push((name.to_owned(), format!("/divisions/{above}?year={year}")));
            }
            at = super::plan::parent(&above);
        }
        way.push(("行政区划".to_owned(), format!("/divisions?year={year}")));
        way.reverse();
        way
    }
}

/// The link to a division's page.
pub(crate) fn href(unit: &Unit, year: i16) -> String {
    format!("/divisions/{}?year={year}", unit.code)
}
