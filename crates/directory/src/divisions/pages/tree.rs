//! The tree: opens level by level, asks for what is below when it is opened; search over it.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use kernel::{Reach, RegionCode, Result};
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Filter, Here, Tone, card_with, empty, filter_form, icon, notice, page_head, thousands};
use web::{Frame, Reply};

use super::super::Divisions;
use super::super::edition::{self, Wanted};
use super::super::operation::tier_name;
use super::super::plan::Unit;
use super::{Counts, code_of, href, reach, words};

/// The most that a search shows in place of the tree.
const FOUND: i64 = 60;

/// What a level of the tree shows.
struct Level {
    year: i16,
    units: Vec<Unit>,
    parents: BTreeSet<RegionCode>,
    counts: Counts,
    parts: Vec<(&'static str, &'static str)>,
}

async fn level(desk: &Divisions, reach: &Reach, year: i16, units: Vec<Unit>) -> Result<Level> {
    let parents = edition::with_children(desk.db(), year, &units).await?;
    let shown: Vec<RegionCode> = units.iter().map(|u| u.code).filter(|c| reach.covers_region(c)).collect();
    let (counts, _) = desk.counts(&shown).await?;
    Ok(Level { year, units, parents, counts, parts: desk.parts_counted() })
}

fn figures(level: &Level, unit: &Unit) -> Markup {
    let Some(counts) = level.counts.get(&unit.code) else { return html! {} };
    html! {
        span.mk-tree-figures {
            @for (part, title) in level.parts.iter().filter(|(part, _)| *part != "accounts") {
                @if let Some(n) = counts.get(*part).filter(|n| **n > 0) {
                    span title=(title) { (short(title)) " " b { (thousands((*n).cast_unsigned())) } }
                }
            }
        }
    }
}

/// `居民（人）` → `居民`.
fn short(title: &str) -> &str {
    title.split('（').next().unwrap_or(title)
}

fn rows(level: &Level) -> Markup {
    html! {
        @for unit in &level.units {
            @let line = html! {
                a href=(href(unit, level.year)) { (unit.name) }
                small.mk-muted { (unit.code.prefix()) @if !unit.class.is_empty() { " · " (words::class_name(&unit.class)) } }
                (figures(level, unit))
            };
            @if level.parents.contains(&unit.code) {
                li {
                    details hx-get={ "/divisions/below/" (unit.code) "?year=" (level.year) } hx-trigger="toggle once"
                        hx-target="find ul" hx-swap="innerHTML" {
                        summary { (line) }
                        ul.mk-tree { li.mk-muted { "正在读取…" } }
                    }
                }
            } @else {
                li.mk-leaf { (line) }
            }
        }
    }
}

/// `GET /divisions/below/{code}`: one level, for htmx.
pub(super) async fn below(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(code): Path<String>,
    here: Here,
) -> Reply<Markup> {
    let year = desk.year_of(here.get("year"), None)?;
    let units = edition::children(desk.db(), year, &code_of(&code)?).await?;
    Ok(rows(&level(&desk, &reach(&allowed)?, year, units).await?))
}

/// `GET /divisions`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = reach(&allowed)?;
    let year = desk.year_of(here.get("year"), here.get("on"))?;
    let text = standards::width::fold(here.get("q").unwrap_or("")).trim().to_owned();
    let known = desk.directory.regions_now();
    let edition = known.edition(year);
    let (body, note) = if text.is_empty() {
        let roots = roots(&desk, &reach, allowed.caller().region, year).await?;
        let level = level(&desk, &reach, year, roots).await?;
        let (_, counted) = desk.counts(&[]).await?;
        let note = counted.map_or_else(
            || "机构数和居民数正在统计，稍后刷新可见。".to_owned(),
            |at| format!("机构数、居民数统计于 {}。", words::time(at)),
        );
        (html! { div.mk-card-body { ul.mk-tree { (rows(&level)) } } }, note)
    } else {
        let wanted = Wanted { text: text.clone(), ..Wanted::default() };
        let (units, total) = edition::find(desk.db(), year, &wanted, FOUND, 0).await?;
        let note = format!("找到 {total} 个区划");
        let body = html! {
            @if units.is_empty() {
                (empty("没有找到", "可以用名称、拼音首字母（如 pqq）或代码的前几位查找；也可换一个年份。", None))
            } @else {
                div.mk-card-body { ul.mk-tree {
                    @for unit in &units {
                        li.mk-leaf {
                            a href=(href(unit, year)) { (known.full_name_in(&unit.code, year)) }
                            small.mk-muted { (unit.code.prefix()) " · " (tier_name(&unit.code)) }
                        }
                    }
                } }
            }
            @if total > FOUND { div.mk-card-body { a href={ "/divisions/list?year=" (year) "&q=" (text) } { "在列表中查看全部 " (total) " 个" } } }
        };
        (body, note)
    };
    let years = desk.year_options(year);
    let line = edition.map(|e| format!("自 {} 起执行；{}", e.in_force_from, e.source)).unwrap_or_default();
    let body = html! {
        (page_head(&[], &format!("行政区划（{year} 年版）"), &line, html! {
            a.btn href={ "/divisions/list?year=" (year) } { (icon("list")) "列表与导出" }
            a.btn href={ "/divisions/compare?to=" (year) } { (icon("git-compare")) "两年对比" }
            a.btn href={ "/divisions/map?year=" (year) } { (icon("map-2")) "地图" }
            a.btn href="/divisions/operations" { (icon("arrows-exchange")) "区划调整" }
            @if allowed.caller().may(super::MANAGE) { a.btn href="/divisions/import" { (icon("file-import")) "版本与导入" } }
        }))
        @if known.newest().is_some_and(|n| n > year) && here.get("year").is_none() {
            (notice(Tone::Info, "", &format!("{} 年版已经建立，到执行之日自动启用。", known.newest().unwrap_or(year))))
        }
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Text { name: "q", label: "查找", hint: "名称、拼音首字母或代码，如 平桥、pqq、411503" },
                Filter::Pick { name: "year", label: "年份", options: &years },
            ]))
            div.mk-list-bar { span { (note) } }
            (body)
        }
    };
    Ok(frame.page("行政区划", body))
}

/// Where the tree begins: what is in reach, else the division the caller belongs to; a chain of single children is
/// passed over.
async fn roots(desk: &Divisions, reach: &Reach, own: RegionCode, year: i16) -> Result<Vec<Unit>> {
    let mut codes: Vec<RegionCode> =
        reach.scope().region_prefixes.iter().filter_map(|p| RegionCode::parse(p).ok()).collect();
    if reach.covers_region(&RegionCode::NATION) {
        codes = vec![RegionCode::NATION];
    }
    if codes.is_empty() {
        codes.push(own);
    }
    codes.sort();
    codes.dedup();
    let mut units = Vec::new();
    for code in codes.iter().filter(|c| !codes.iter().any(|o| o != *c && o.contains(c))) {
        let mut below = match edition::one(desk.db(), year, code).await? {
            Some(unit) if code.tier() > Some(kernel::Tier::City) => vec![unit],
            _ => edition::children(desk.db(), year, code).await?,
        };
        while let [only] = &below[..] {
            let next = edition::children(desk.db(), year, &only.code).await?;
            if next.is_empty() || only.code.tier() >= Some(kernel::Tier::County) {
                break;
            }
            below = next;
        }
        units.extend(below);
    }
    Ok(units)
}

/// The card of the children on a division's page.
pub(super) async fn children_card(
    desk: &Divisions,
    reach: &Reach,
    year: i16,
    of: &RegionCode,
) -> Result<Markup> {
    let units = edition::children(desk.db(), year, of).await?;
    let level = level(desk, reach, year, units).await?;
    Ok(card_with(
        &format!("下级区划（{} 个）", level.units.len()),
        html! {},
        if level.units.is_empty() {
            empty("没有下级区划", "", None)
        } else {
            html! { div.mk-card-body { ul.mk-tree { (rows(&level)) } } }
        },
    ))
}
