//! `/code-coverage` (编码覆盖率): which share of coded values has no standard code, by institution, table and day; the
//! unknown codes with most rows; the days of one code, from where its rows are reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use chrono::{Days, NaiveDate};
use contracts::InstitutionCard;
use kernel::{Purpose, Reach, Refusal, Result};
use maud::{Markup, html};
use serde_json::json;
use web::download::{self, Download};
use web::ui::{
    Chart, Column, Export, Figure, Filter, Height, Here, List, Paging, Row, Tone, badge, card, card_with,
    chart, describe, empty, fact, figures, list, page_head, sparkline, table as plain_table, thousands,
};
use web::{Allowed, Frame, Reply};

use super::{
    PAGE, PROPOSE, asked, cards, institution_options, may, one, page_number, page_of, table_options,
};
use crate::Directory;
use crate::sheet::{self, SheetDownload};
use crate::terminology::coverage::{Asked, Counted, CoverageLine, Unmapped};
use crate::terminology::maps::STATES;
use crate::terminology::suggest::suggest;

/// Days shown when none are asked for.
const DAYS: u64 = 14;
/// Most days of one look.
const MOST_DAYS: u64 = 366;
/// Unknown codes that an export has at most.
const EXPORT: i64 = 100_000;

/// What the page looks at.
struct Look {
    cards: Vec<Arc<InstitutionCard>>,
    institutions: Vec<i32>,
    from: NaiveDate,
    to: NaiveDate,
}

impl Look {
    fn read(directory: &Directory, reach: &Reach, here: &Here) -> Result<Self, Refusal> {
        let mut shown = cards(directory, reach);
        if let Some(code) = here.get("institution") {
            shown = one(directory, reach, Some(code))?.into_iter().collect();
        }
        let yesterday = directory.today() - Days::new(1);
        let to = here.get("day_to").and_then(|d| d.parse().ok()).unwrap_or(yesterday);
        let from = here.get("day_from").and_then(|d| d.parse().ok()).unwrap_or(to - Days::new(DAYS - 1));
        let from = from.max(to - Days::new(MOST_DAYS)).min(to);
        let institutions = shown.iter().map(|c| c.id.get() as i32).collect();
        Ok(Self { cards: shown, institutions, from, to })
    }
    fn asked<'a>(&'a self, here: &'a Here) -> Asked<'a> {
        Asked { institutions: &self.institutions, table: here.get("table"), from: self.from, to: self.to }
    }
    fn name(&self, id: i32) -> &str {
        self.cards.iter().find(|c| c.id.get() as i32 == id).map_or("", |c| &c.short_name)
    }
    fn code(&self, id: i32) -> &str {
        self.cards.iter().find(|c| c.id.get() as i32 == id).map_or("", |c| &c.code)
    }
    fn days(&self) -> Vec<NaiveDate> {
        self.from.iter_days().take_while(|d| *d <= self.to).collect()
    }
}

fn share(counted: &Counted) -> String {
    counted.percent_unmapped().map_or_else(|| "—".to_owned(), |p| format!("{p:.1}%"))
}

fn toned(counted: &Counted) -> Markup {
    match counted.percent_unmapped() {
        None => html! { "—" },
        Some(p) if p >= 10.0 => badge(Tone::Bad, &share(counted)),
        Some(p) if p >= 3.0 => badge(Tone::Warn, &share(counted)),
        Some(_) => badge(Tone::Good, &share(counted)),
    }
}

fn sorted(mut lines: Vec<CoverageLine>) -> Vec<CoverageLine> {
    lines.sort_by(|a, b| {
        let key = |l: &CoverageLine| (l.total.percent_unmapped().unwrap_or(0.0), l.total.unmapped);
        key(b)
            .partial_cmp(&key(a))
            .unwrap_or(std::cmp::Ordering::Equal)
            .then_with(|| (a.institution, &a.table).cmp(&(b.institution, &b.table)))
    });
    lines
}

/// `GET /code-coverage?institution=&table=&day_from=&day_to=`
pub(super) async fn page(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let look = Look::read(&directory, &reach, &here)?;
    let lines = sorted(directory.coverage(&look.asked(&here)).await?);
    let tables = directory.tables_now();
    let mut total = Counted::default();
    let mut by_day: BTreeMap<NaiveDate, Counted> = BTreeMap::new();
    for line in &lines {
        total.add(line.total);
        for (day, counted) in &line.days {
            by_day.entry(*day).or_default().add(*counted);
        }
    }
    let days = look.days();
    let all = cards(&directory, &reach);
    let (institution_choices, table_choices) = (institution_options(&all), table_options(&directory));
    let mut filters = Vec::new();
    if all.len() > 1 {
        filters.push(Filter::Choice { name: "institution", label: "机构", options: &institution_choices });
    }
    filters.push(Filter::Choice { name: "table", label: "代码表", options: &table_choices });
    filters.push(Filter::Days { name: "day", label: "业务日期" });
    let (page, count, shown) = page_of(&here, lines);
    let codes_of = |line: &CoverageLine| {
        here.at("/code-coverage/codes")
            .with(&[
                ("institution", look.code(line.institution)),
                ("table", &line.table),
                ("page", ""),
                ("day_from", &look.from.to_string()),
                ("day_to", &look.to.to_string()),
            ])
            .href()
    };
    let rows = shown
        .iter()
        .map(|line| {
            let trend: Vec<Option<f64>> =
                days.iter().map(|d| line.days.get(d).and_then(Counted::percent_unmapped)).collect();
            let last = line.days.get(&look.to).copied().unwrap_or_default();
            Row::to(
                codes_of(line),
                vec![
                    html! { (look.name(line.institution)) },
                    html! { (tables.get(&line.table).map_or(line.table.as_str(), |t| &t.name)) },
                    html! { (thousands(line.total.coded.unsigned_abs())) },
                    html! { (thousands(line.total.mapped.unsigned_abs())) },
                    html! { (thousands(line.total.unmapped.unsigned_abs())) },
                    html! { (toned(&line.total)) },
                    html! { (share(&last)) },
                    html! { (sparkline(&trend, None)) },
                ],
            )
        })
        .collect();
    let figure = |label: &str, value: String, note: &str, href: Option<String>| Figure {
        label: label.to_owned(),
        value,
        note: note.to_owned(),
        href,
    };
    let codes = here.at("/code-coverage/codes").with(&[("page", "")]).href();
    let body = html! {
        (page_head(&[("代码表", "/codes")], "编码覆盖率", &format!("{} 至 {}（业务日期）上传的编码中，没有标准编码、也没有对照的占多少。", look.from, look.to), html! {
            a.btn href="/code-maps" { "院内码对照" }
        }))
        (figures(&[
            figure("有编码的值", thousands(total.coded.unsigned_abs()), "", None),
            figure("经对照转换", thousands(total.mapped.unsigned_abs()), "", None),
            figure("没有标准编码", thousands(total.unmapped.unsigned_abs()), "", Some(codes)),
            figure("没有标准编码的占比", share(&total), "", None),
        ]))
        @if days.len() > 1 && total.coded > 0 { (trend_chart(&here, &days, &by_day)) }
        (list(&here, &List {
            filters: &filters,
            total: Some(count),
            unit: "行（机构 × 代码表）",
            columns: &[
                Column::text("机构"), Column::text("代码表"), Column::number("有编码"), Column::number("经对照"),
                Column::number("无标准编码"), Column::text("占比"), Column::number("最后一日"), Column::text("趋势"),
            ],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total: count },
            exports: &[Export { label: "导出 CSV", path: "/code-coverage.csv" }, Export { label: "导出 XLSX", path: "/code-coverage.xlsx" }],
            empty: ("这些天没有带编码的数据", "请换一段日期，或等机构上传数据。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("编码覆盖率", body))
}

fn trend_chart(here: &Here, days: &[NaiveDate], by_day: &BTreeMap<NaiveDate, Counted>) -> Markup {
    let points: Vec<serde_json::Value> = days
        .iter()
        .map(|day| match by_day.get(day).and_then(Counted::percent_unmapped) {
            Some(p) => json!({
                "value": (p * 10.0).round() / 10.0,
                "href": here.at("/code-coverage/codes").with(&[("day_from", &day.to_string()), ("day_to", &day.to_string()), ("page", "")]).href(),
            }),
            None => json!(null),
        })
        .collect();
    let option = json!({
        "tooltip": { "trigger": "axis" },
        "xAxis": { "type": "category", "data": days.iter().map(|d| d.format("%m-%d").to_string()).collect::<Vec<_>>() },
        "yAxis": { "type": "value", "min": 0, "axisLabel": { "formatter": "{value}%" } },
        "series": [{ "type": "line", "name": "没有标准编码（%）", "data": points, "connectNulls": false }],
    });
    let rows: Vec<Row> = days
        .iter()
        .map(|day| {
            let counted = by_day.get(day).copied().unwrap_or_default();
            Row::plain(vec![
                html! { (day) },
                html! { (thousands(counted.coded.unsigned_abs())) },
                html! { (thousands(counted.unmapped.unsigned_abs())) },
                html! { (share(&counted)) },
            ])
        })
        .collect();
    let columns = [
        Column::text("日期"),
        Column::number("有编码"),
        Column::number("无标准编码"),
        Column::number("占比"),
    ];
    chart(&Chart {
        id: "coverage",
        title: "每日没有标准编码的占比（%）",
        option: &option,
        table: plain_table(here, &columns, &rows),
        download: None,
        height: Height::Low,
    })
}

const HEADS: [&str; 7] =
    ["业务日期", "机构", "代码表", "数量：有编码", "数量：经对照", "数量：无标准编码", "占比（%）"];

async fn exported(directory: &Directory, allowed: &Allowed, here: &Here) -> Result<Vec<Vec<String>>> {
    let look = Look::read(directory, &allowed.reach(Purpose::of("quality"))?, here)?;
    let mut rows = Vec::new();
    for line in sorted(directory.coverage(&look.asked(here)).await?) {
        for (day, counted) in &line.days {
            rows.push(vec![
                day.to_string(),
                look.name(line.institution).to_owned(),
                line.table.clone(),
                counted.coded.to_string(),
                counted.mapped.to_string(),
                counted.unmapped.to_string(),
                counted.percent_unmapped().map(|p| format!("{p:.2}")).unwrap_or_default(),
            ]);
        }
    }
    Ok(rows)
}

pub(super) async fn csv(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    Ok(download::csv("code-coverage.csv", &HEADS, exported(&directory, &allowed, &here).await?))
}

pub(super) async fn xlsx(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<SheetDownload> {
    Ok(sheet::xlsx(
        "code-coverage.xlsx",
        "编码覆盖率",
        &HEADS,
        &exported(&directory, &allowed, &here).await?,
    )?)
}

fn state_word(state: Option<&str>) -> Markup {
    match state {
        None => html! { span.mk-muted { "没有对照" } },
        Some("approved") => html! { (badge(Tone::Good, "已有对照")) },
        Some(state) => {
            html! { (badge(Tone::Info, STATES.iter().find(|(s, _)| *s == state).map_or(state, |(_, w)| w))) }
        }
    }
}

/// `GET /code-coverage/codes`: unknown codes, those with most rows first, with the best suggestion beside.
pub(super) async fn codes(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let look = Look::read(&directory, &reach, &here)?;
    let text = asked(&here);
    let page = here.get("page").and_then(|p| p.parse::<u64>().ok()).unwrap_or(1).max(1);
    let offset = (page as i64 - 1) * PAGE as i64;
    let mut found = directory.unmapped(&look.asked(&here), &text, PAGE as i64 + 1, offset).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let suggested = suggestions(&directory, &found).await?;
    let tables = directory.tables_now();
    let rows = found
        .iter()
        .zip(suggested)
        .map(|(code, suggestion)| {
            let href = Here::new("/code-coverage/code", "")
                .with(&[
                    ("institution", look.code(code.institution_id)),
                    ("table", &code.table_id),
                    ("code", &code.code),
                ])
                .href();
            Row::to(
                href,
                vec![
                    html! { (code.code) },
                    html! { (code.name) },
                    html! { (look.name(code.institution_id)) },
                    html! { (tables.get(&code.table_id).map_or(code.table_id.as_str(), |t| &t.name)) },
                    html! { (thousands(code.rows.unsigned_abs())) },
                    html! { (code.last_day) },
                    html! { (suggestion) },
                    html! { (state_word(code.state.as_deref())) },
                ],
            )
        })
        .collect();
    let all = cards(&directory, &reach);
    let (institution_choices, table_choices) = (institution_options(&all), table_options(&directory));
    let mut filters = vec![Filter::Text { name: "q", label: "查询", hint: "院内编码或名称" }];
    if all.len() > 1 {
        filters.push(Filter::Choice { name: "institution", label: "机构", options: &institution_choices });
    }
    filters.push(Filter::Choice { name: "table", label: "代码表", options: &table_choices });
    filters.push(Filter::Days { name: "day", label: "业务日期" });
    let near = if more { (page + 1) * PAGE as u64 } else { offset.unsigned_abs() + found.len() as u64 };
    let body = html! {
        (page_head(&[("编码覆盖率", "/code-coverage")], "没有标准编码的院内编码", &format!("{} 至 {}，按行数从多到少。", look.from, look.to), html! {
            a.btn href="/code-maps?state=open" { "去对照" }
        }))
        (list(&here, &List {
            filters: &filters,
            total: (!more && page == 1).then_some(found.len() as u64),
            unit: "个编码",
            columns: &[
                Column::text("院内编码"), Column::text("名称"), Column::text("机构"), Column::text("代码表"),
                Column::number("行数"), Column::text("最近出现"), Column::text("最接近的标准编码"), Column::text("对照"),
            ],
            rows,
            paging: Paging::Numbered { page: page_number(&here, near), per_page: PAGE as u64, total: near },
            exports: &[Export { label: "导出 CSV", path: "/code-coverage/codes.csv" }],
            empty: ("这些天没有无法识别的编码", "上传的编码都是标准编码，或已按对照转换。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("没有标准编码的院内编码", body))
}

async fn suggestions(directory: &Arc<Directory>, found: &[Unmapped]) -> Result<Vec<String>> {
    let tables = directory.tables_now();
    let asked: Vec<_> = found
        .iter()
        .map(|code| {
            let index = tables.get(&code.table_id).map(|t| directory.search_index(t));
            (index, code.code.clone(), code.name.clone())
        })
        .collect();
    tokio::task::spawn_blocking(move || {
        asked
            .iter()
            .map(|(index, code, name)| {
                let best = index.as_ref().and_then(|index| suggest(index, (code, name), &[], 1).pop());
                best.map(|s| format!("{} {}（{:.0}%）", s.code, s.name, s.score * 100.0)).unwrap_or_default()
            })
            .collect()
    })
    .await
    .map_err(|e| kernel::Error::fault("suggest codes", e))
}

pub(super) async fn codes_csv(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    let look = Look::read(&directory, &allowed.reach(Purpose::of("quality"))?, &here)?;
    let found = directory.unmapped(&look.asked(&here), &asked(&here), EXPORT, 0).await?;
    let rows = found.into_iter().map(|code| {
        vec![
            look.name(code.institution_id).to_owned(),
            code.table_id,
            code.code,
            code.name,
            code.rows.to_string(),
            code.last_day.to_string(),
        ]
    });
    Ok(download::csv(
        "unmapped-codes.csv",
        &["机构", "代码表", "院内编码", "院内名称", "行数", "最近出现"],
        rows,
    ))
}

/// `GET /code-coverage/code?institution=&table=&code=`: one unknown code, its days, and from there its rows.
pub(super) async fn code(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let unknown = || Refusal::not_found("codes.unknown_code", "没有这个院内编码，或不在您的权限范围内。");
    let card_of = one(&directory, &reach, here.get("institution"))?.ok_or_else(unknown)?;
    let (table_id, code) = (here.get("table").unwrap_or(""), here.get("code").unwrap_or(""));
    let days = directory.days_of_code(card_of.id, table_id, code).await?;
    if days.is_empty() {
        return Err(unknown().into());
    }
    let institutions = [card_of.id.get() as i32];
    let span = Asked {
        institutions: &institutions,
        table: Some(table_id),
        from: days.iter().map(|d| d.0).min().unwrap_or_default(),
        to: days.iter().map(|d| d.0).max().unwrap_or_default(),
    };
    let found = directory.unmapped(&span, code, PAGE as i64, 0).await?;
    let name = found.iter().find(|u| u.code == code).map(|u| u.name.clone()).unwrap_or_default();
    let tables = directory.tables_now();
    let suggested = match tables.get(table_id) {
        Some(t) => {
            let (index, code, name) = (directory.search_index(t), code.to_owned(), name.clone());
            tokio::task::spawn_blocking(move || suggest(&index, (&code, &name), &[], 5))
                .await
                .map_err(|e| kernel::Error::fault("suggest codes", e))?
        }
        None => Vec::new(),
    };
    let names = directory.dataset_names();
    let rows: Vec<Row> = days
        .iter()
        .map(|(day, dataset, rows)| {
            let (dataset_code, title) = names.get(dataset).cloned().unwrap_or_default();
            let href = Here::new("/quality/rows", "")
                .with(&[
                    ("institution", &card_of.code),
                    ("dataset", &dataset_code),
                    ("day", &day.to_string()),
                ])
                .href();
            Row::to(
                href,
                vec![html! { (day) }, html! { (title) }, html! { (thousands(rows.unsigned_abs())) }],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[("编码覆盖率", "/code-coverage"), ("没有标准编码的院内编码", "/code-coverage/codes")], &format!("{code} {name}"), "", html! {
            @if may(allowed.caller(), PROPOSE) { a.btn.btn-primary href=(Here::new("/code-maps", "").with(&[("state", "open"), ("table", table_id)]).href()) { "去对照" } }
        }))
        (card("基本信息", describe(&[
            fact("机构", &card_of.name),
            fact("代码表", tables.get(table_id).map_or(table_id, |t| &t.name)),
            fact("院内编码", code),
            fact("院内名称", &name),
        ])))
        (card_with("建议的标准编码", html! {}, html! {
            @if suggested.is_empty() { (empty("没有相近的标准编码", "请在代码表中手工查找。", Some(("代码表", &format!("/codes/{table_id}"))))) }
            @else {
                (plain_table(&here, &[Column::text("标准编码"), Column::text("名称"), Column::number("相似度"), Column::text("依据")],
                    &suggested.iter().map(|s| Row::plain(vec![html! { (s.code) }, html! { (s.name) }, html! { (format!("{:.0}%", s.score * 100.0)) }, html! { (s.basis) }])).collect::<Vec<_>>()))
            }
        }))
        (card_with("出现的日期", html! { span.mk-muted { "点开看当天的数据行" } },
            plain_table(&here, &[Column::text("业务日期"), Column::text("数据集"), Column::number("行数")], &rows)))
    };
    Ok(frame.page(&format!("{code} {name}"), body))
}
