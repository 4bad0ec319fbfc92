//! The map: the counties of a city with what they hold, the list beside it.

use axum::extract::State;
use kernel::{RegionCode, Tier};
use maud::{Markup, html};
use serde_json::json;
use web::route::Allowed;
use web::ui::{
    Chart, Column, Filter, Height, Here, Row, Tone, chart, empty, filter_form, notice, page_head, table,
};
use web::{Frame, Reply};

use super::super::plan::Unit;
use super::super::{Divisions, edition};
use super::{href, reach, words};

/// `GET /divisions/map`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = reach(&allowed)?;
    let year = desk.year_of(here.get("year"), None)?;
    let own = allowed.caller().region.at(Tier::City);
    let city = here.get("city").and_then(|c| RegionCode::parse(c).ok()).map_or(own, |c| c.at(Tier::City));
    let city = if city.tier() == Some(Tier::City) { city } else { first_city(&desk, &city, year).await? };
    let counties = edition::children(desk.db(), year, &city).await?;
    let shown: Vec<RegionCode> = counties.iter().map(|u| u.code).filter(|c| reach.covers_region(c)).collect();
    let (counts, counted) = desk.counts(&shown).await?;
    let parts: Vec<(String, String)> = desk
        .parts_counted()
        .into_iter()
        .filter(|(part, _)| *part != "accounts")
        .map(|(part, title)| (part.to_owned(), title.to_owned()))
        .collect();
    let part = here.get("part").filter(|p| parts.iter().any(|(part, _)| part == p)).unwrap_or("institutions");
    let title = parts.iter().find(|(p, _)| p == part).map_or("", |(_, t)| t.as_str());
    let value = |u: &Unit| counts.get(&u.code).and_then(|c| c.get(part)).copied().unwrap_or(0);
    let known = desk.directory.regions_now();
    let name = known.full_name_in(&city, year);
    let most = counties.iter().map(value).max().unwrap_or(0).max(1);
    let data: Vec<_> = counties
        .iter()
        .map(
            |u| json!({ "name": u.code.prefix(), "value": value(u), "title": u.name, "href": href(u, year) }),
        )
        .collect();
    let geometry = web::asset_url(&format!("map-{}.json", city.prefix()));
    let drawn = !geometry.ends_with("/missing");
    let option = json!({
        "map": geometry,
        "visualMap": { "min": 0, "max": most, "calculable": false, "left": 12, "bottom": 12, "text": ["多", "少"],
            "inRange": { "color": ["#e6f0f2", "#8fbfca", "#0b6b7d"] } },
        "series": [{ "type": "map", "map": geometry, "nameProperty": "code", "roam": false, "top": 12, "bottom": 12, "data": data,
            "selectedMode": false }],
    });
    let rows: Vec<Row> = counties
        .iter()
        .map(|u| {
            let held = counts.get(&u.code);
            let mut cells = vec![html! { (u.name) }, html! { (u.code.prefix()) }];
            cells.extend(parts.iter().map(|(part, _)| words::count(held.and_then(|h| h.get(part)))));
            Row::to(href(u, year), cells)
        })
        .collect();
    let mut columns = vec![Column::text("县（市、区）"), Column::text("代码")];
    columns.extend(parts.iter().map(|(_, title)| Column::number(title)));
    let listed = table(&Here::default(), &columns, &rows);
    let years = desk.year_options(year);
    let body = html! {
        (page_head(&[("行政区划", "/divisions")], &format!("{name}地图"),
            &counted.map(|at| format!("统计于 {}；点击一个县区打开它。", words::time(at))).unwrap_or_default(), html! {}))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Pick { name: "part", label: "显示", options: &parts },
                Filter::Pick { name: "year", label: "年份", options: &years },
            ]))
        }
        @if counties.is_empty() { (empty("没有县级区划", "请先载入这个城市的区划。", Some(("行政区划", "/divisions")))) }
        @else {
            @if drawn {
                (chart(&Chart { id: "map", title: &format!("各县（市、区）{title}"), option: &option, table: listed.clone(), download: None, height: Height::Tall }))
                (notice(Tone::Info, "", "边界为 2015—2018 年的示意图形，只作统计展示，不作划界依据；之后新设的县区在图上没有图形，请看列表。"))
            }
            section.mk-card { div.mk-card-head { h2 { "各县（市、区）" } } (listed) }
        }
    };
    Ok(frame.page("地图", body))
}

async fn first_city(desk: &Divisions, within: &RegionCode, year: i16) -> kernel::Result<RegionCode> {
    let wanted =
        edition::Wanted { within: Some(*within), tier: Some(Tier::City), ..edition::Wanted::default() };
    let (cities, _) = edition::find(desk.db(), year, &wanted, 1, 0).await?;
    Ok(cities.first().map_or(*within, |u| u.code))
}
