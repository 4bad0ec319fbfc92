//! Two editions side by side: what came, went, was renamed, has another code.

use axum::extract::State;
use kernel::{Refusal, RegionCode, Result, Tier};
use maud::{Markup, html};
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{Column, Export, Filter, Here, List, Paging, Row, Tab, Tone, badge, chips, list, page_head};
use web::{Frame, Reply};

use super::super::Divisions;
use super::super::edition::{self, Difference, difference_name};
use super::super::operation::tier_name;
use super::super::plan::Unit;
use super::{PAGE, href, listing};

/// What is compared.
struct Comparison {
    from: i16,
    to: i16,
    within: RegionCode,
    differences: Vec<Difference>,
}

async fn gather(desk: &Divisions, here: &Here, own: RegionCode) -> Result<Comparison> {
    let to = desk.year_of(here.get("to"), None)?;
    let known = desk.directory.regions_now();
    let earlier = known.editions.iter().map(|e| e.year).filter(|y| *y < to).max();
    let from = match here.get("from").and_then(|y| y.parse().ok()).filter(|y| known.edition(*y).is_some()) {
        Some(from) => from,
        None => earlier.unwrap_or(to),
    };
    let city = own.at(Tier::City);
    let within = here.get("within").and_then(|c| RegionCode::parse(c).ok()).unwrap_or(city);
    if within == RegionCode::NATION && known.editions.is_empty() {
        return Err(Refusal::not_found("divisions.none", "还没有可以对比的区划版本。").into());
    }
    let (before, after) =
        (edition::subtree(desk.db(), from, &within).await?, edition::subtree(desk.db(), to, &within).await?);
    let follows = |code: &RegionCode| match known.mapping.translate(*code, from, to)[..] {
        [(there, share)] if share > 0.999 && there != *code => Some(there),
        _ => None,
    };
    Ok(Comparison { from, to, within, differences: edition::compare(&before, &after, follows) })
}

fn mark(kind: &str) -> Markup {
    let tone = match kind {
        "added" => Tone::Good,
        "gone" => Tone::Bad,
        "renamed" => Tone::Warn,
        _ => Tone::Info,
    };
    badge(tone, difference_name(kind))
}

/// One side of a row; what differs from the other side is marked.
fn side(unit: Option<&Unit>, other: Option<&Unit>, year: i16) -> Markup {
    let Some(unit) = unit else { return html! { span.mk-muted { "—" } } };
    let differs = |a: bool| if a { "mk-differs" } else { "" };
    html! {
        a href=(href(unit, year)) class=(differs(other.is_some_and(|o| o.name != unit.name))) { (unit.name) }
        br; small class={ "mk-muted " (differs(other.is_some_and(|o| o.code != unit.code))) } { (unit.code) }
    }
}

/// `GET /divisions/compare`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let Comparison { from, to, within, differences } = gather(&desk, &here, allowed.caller().region).await?;
    let kinds = ["added", "gone", "renamed", "moved"];
    let chosen = here.get("kind").filter(|k| kinds.contains(k));
    let count = |kind: &str| differences.iter().filter(|d| d.kind == kind).count() as u64;
    let mut tabs = vec![Tab {
        title: "全部差异".to_owned(),
        href: here.with(&[("kind", ""), ("page", "")]).href(),
        count: Some(differences.len() as u64),
        current: chosen.is_none(),
    }];
    tabs.extend(kinds.iter().map(|kind| Tab {
        title: difference_name(kind).to_owned(),
        href: here.with(&[("kind", kind), ("page", "")]).href(),
        count: Some(count(kind)),
        current: chosen == Some(kind),
    }));
    let known = desk.directory.regions_now();
    let wanted: Vec<&Difference> =
        differences.iter().filter(|d| chosen.is_none_or(|kind| d.kind == kind)).collect();
    let pages = wanted.len().div_ceil(PAGE).max(1);
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1usize).clamp(1, pages);
    let rows = wanted
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .map(|d| {
            let (unit, year) = match (&d.after, &d.before) {
                (Some(after), _) => (Some(after), to),
                (None, before) => (before.as_ref(), from),
            };
            let above = unit.and_then(|u| super::super::plan::parent(&u.code));
            Row::plain(vec![
                mark(d.kind),
                html! { (unit.map_or("", |u| tier_name(&u.code))) },
                html! { (above.map(|c| known.full_name_in(&c, year)).unwrap_or_default()) },
                side(d.before.as_ref(), d.after.as_ref(), from),
                side(d.after.as_ref(), d.before.as_ref(), to),
            ])
        })
        .collect();
    let counties = listing::counties(&desk, allowed.caller().region, to).await?;
    let (before, after) = (format!("{from} 年版"), format!("{to} 年版"));
    let body = html! {
        (page_head(&[("行政区划", "/divisions")], &format!("{from} 年与 {to} 年对比"),
            &format!("{}：不同之处 {} 处，其余相同。", known.full_name_in(&within, to), differences.len()), html! {}))
        (chips(&tabs))
        (list(&here, &List {
            filters: &[
                Filter::Pick { name: "from", label: "较早的版本", options: &desk.year_options(from) },
                Filter::Pick { name: "to", label: "较晚的版本", options: &desk.year_options(to) },
                Filter::Choice { name: "within", label: "所在县（市、区）", options: &counties },
            ],
            total: Some(wanted.len() as u64),
            unit: "处差异",
            columns: &[
                Column::text("变化"),
                Column::text("级别"),
                Column::text("所在"),
                Column::text(&before),
                Column::text(&after),
            ],
            rows,
            paging: Paging::Numbered { page: page as u64, per_page: PAGE as u64, total: wanted.len() as u64 },
            exports: &[Export { label: "导出 CSV", path: "/divisions/compare.csv" }],
            empty: ("两个版本没有差异", "换一个年份或范围再对比。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("两年对比", body))
}

/// `GET /divisions/compare.csv`
pub(super) async fn csv(State(desk): State<Divisions>, allowed: Allowed, here: Here) -> Reply<Download> {
    let found = gather(&desk, &here, allowed.caller().region).await?;
    let cell = |unit: Option<&Unit>| match unit {
        Some(u) => [u.code.as_str().to_owned(), u.name.clone()],
        None => [String::new(), String::new()],
    };
    let rows = found.differences.iter().map(|d| {
        let mut row = vec![difference_name(d.kind).to_owned()];
        row.extend(cell(d.before.as_ref()));
        row.extend(cell(d.after.as_ref()));
        row
    });
    let (a, b, c, e) = (
        format!("{} 年代码", found.from),
        format!("{} 年名称", found.from),
        format!("{} 年代码", found.to),
        format!("{} 年名称", found.to),
    );
    Ok(download::csv(&format!("divisions-{}-{}.csv", found.from, found.to), &["变化", &a, &b, &c, &e], rows))
}
