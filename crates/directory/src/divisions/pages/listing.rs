//! The list of an edition with filters, and its export.

use axum::extract::State;
use kernel::{RegionCode, Result};
use maud::{Markup, html};
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{Column, Export, Filter, Here, List, Paging, Row, list, page_head};
use web::{Frame, Reply};

use super::super::Divisions;
use super::super::edition::{self, Wanted};
use super::super::operation::tier_name;
use super::super::plan::Unit;
use super::{PAGE, href, reach, words};
use crate::sheet::{self, SheetDownload};

/// The most rows of a workbook or file.
const EXPORT: i64 = 1_000_000;
const HEADS: [&str; 7] = ["区划代码", "名称", "级别", "上级代码", "全称", "城乡分类代码", "来源"];

fn wanted(here: &Here) -> Wanted {
    Wanted {
        text: standards::width::fold(here.get("q").unwrap_or("")).into_owned(),
        within: here.get("within").and_then(|c| RegionCode::parse(c).ok()),
        tier: here.get("tier").and_then(words::tier),
        class: here.get("class").unwrap_or_default().to_owned(),
        origin: here.get("origin").unwrap_or_default().to_owned(),
    }
}

/// `GET /divisions/list`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = reach(&allowed)?;
    let year = desk.year_of(here.get("year"), None)?;
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1_i64).clamp(1, 100_000);
    let (units, total) =
        edition::find(desk.db(), year, &wanted(&here), PAGE as i64, (page - 1) * PAGE as i64).await?;
    let shown: Vec<RegionCode> = units.iter().map(|u| u.code).filter(|c| reach.covers_region(c)).collect();
    let (counts, _) = desk.counts(&shown).await?;
    let known = desk.directory.regions_now();
    let rows = units
        .iter()
        .map(|u| {
            let held = counts.get(&u.code);
            Row::to(
                href(u, year),
                vec![
                    html! { (u.code) },
                    html! { (u.name) },
                    html! { (known.full_name_in(&u.code, year)) },
                    html! { (tier_name(&u.code)) },
                    html! { (words::class_name(&u.class)) },
                    html! { (words::origin_name(&u.origin)) },
                    words::count(held.and_then(|h| h.get("institutions"))),
                    words::count(held.and_then(|h| h.get("people"))),
                ],
            )
        })
        .collect();
    let (years, tiers, classes) = (desk.year_options(year), words::tiers(), words::classes());
    let origins: Vec<(String, String)> =
        ["list", "local", "operation"].map(|o| (o.to_owned(), words::origin_name(o).to_owned())).into();
    let counties: Vec<(String, String)> = counties(&desk, allowed.caller().region, year).await?;
    let body = html! {
        (page_head(&[("行政区划", "/divisions")], &format!("区划列表（{year} 年版）"), "点击一行查看这个区划的沿革和下级。", html! {}))
        (list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "查找", hint: "名称、拼音首字母或代码" },
                Filter::Pick { name: "year", label: "年份", options: &years },
                Filter::Choice { name: "within", label: "所在县（市、区）", options: &counties },
                Filter::Choice { name: "tier", label: "级别", options: &tiers },
                Filter::Choice { name: "class", label: "城乡分类", options: &classes },
                Filter::Choice { name: "origin", label: "来源", options: &origins },
            ],
            total: Some(total.cast_unsigned()),
            unit: "个区划",
            columns: &[
                Column::text("区划代码"),
                Column::text("名称"),
                Column::text("全称"),
                Column::text("级别"),
                Column::text("城乡分类"),
                Column::text("来源"),
                Column::number("机构"),
                Column::number("居民"),
            ],
            rows,
            paging: Paging::Numbered { page: page.cast_unsigned(), per_page: PAGE as u64, total: total.cast_unsigned() },
            exports: &[
                Export { label: "导出 XLSX", path: "/divisions/list.xlsx" },
                Export { label: "导出 CSV", path: "/divisions/list.csv" },
            ],
            empty: ("没有符合条件的区划", "请放宽条件，或换一个年份。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("区划列表", body))
}

/// Counties of the caller's city, for a filter.
pub(super) async fn counties(desk: &Divisions, own: RegionCode, year: i16) -> Result<Vec<(String, String)>> {
    let city = own.at(kernel::Tier::City);
    if city == RegionCode::NATION {
        return Ok(Vec::new());
    }
    let units = edition::children(desk.db(), year, &city).await?;
    Ok(units.into_iter().map(|u| (u.code.as_str().to_owned(), u.name)).collect())
}

fn cells(desk: &Divisions, year: i16, unit: &Unit) -> Vec<String> {
    let above = super::super::plan::parent(&unit.code);
    vec![
        unit.code.as_str().to_owned(),
        unit.name.clone(),
        tier_name(&unit.code).to_owned(),
        above.map(|c| c.as_str().to_owned()).unwrap_or_default(),
        desk.directory.regions_now().full_name_in(&unit.code, year),
        unit.class.clone(),
        words::origin_name(&unit.origin).to_owned(),
    ]
}

async fn rows(desk: &Divisions, here: &Here) -> Result<(i16, Vec<Vec<String>>)> {
    let year = desk.year_of(here.get("year"), None)?;
    let (units, _) = edition::find(desk.db(), year, &wanted(here), EXPORT, 0).await?;
    Ok((year, units.iter().map(|u| cells(desk, year, u)).collect()))
}

/// `GET /divisions/list.csv`
pub(super) async fn csv(State(desk): State<Divisions>, here: Here) -> Reply<Download> {
    let (year, rows) = rows(&desk, &here).await?;
    Ok(download::csv(&format!("divisions-{year}.csv"), &HEADS, rows))
}

/// `GET /divisions/list.xlsx`
pub(super) async fn xlsx(State(desk): State<Divisions>, here: Here) -> Reply<SheetDownload> {
    let (year, rows) = rows(&desk, &here).await?;
    Ok(sheet::xlsx(&format!("divisions-{year}.xlsx"), "行政区划", &HEADS, &rows)?)
}
