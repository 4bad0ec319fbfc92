//! The tabs of a record and what narrows a time line. Pure views of plain data.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate};
use kernel::access::InstitutionId;
use maud::{Markup, html};
use serde_json::json;
use web::ui::{
    Chart, Column, Filter as UiFilter, Height, Here, Row, Tab, abnormal, card_with, chart, empty,
    filter_form, sparkline, table,
};

use super::overview::{Lines, timeline_card};
use super::{Place, Section};
use crate::entries::{Entry, Filter};
use crate::laboratory::{Item, ResultRow};
use crate::summary::Medicine;

/// Values of one item shown side by side.
const BESIDE: usize = 4;

/// A dose of a vaccine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dose {
    /// Vaccine.
    pub vaccine: String,
    /// Which dose.
    pub number: String,
    /// When.
    pub day: String,
    /// Batch.
    pub batch: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Where on the body.
    pub site: String,
    /// Who gave it.
    pub institution: String,
    /// Adverse reaction, or empty.
    pub reaction: String,
    /// The event's page.
    pub href: String,
}

/// An order of a medicine during a stay in hospital.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Name and specification.
    pub name: String,
    /// How it is taken.
    pub usage: String,
    /// Ordered on.
    pub from: NaiveDate,
    /// Stopped on, or empty.
    pub until: String,
    /// Where.
    pub institution: String,
}

/// A measure followed over time, e.g. blood pressure: one line or two.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trend {
    /// Identifier in the page.
    pub id: String,
    /// Subject and unit.
    pub title: String,
    /// Names of the lines.
    pub names: Vec<String>,
    /// Days, oldest first, with a value for each line and the event's page.
    pub points: Vec<(NaiveDate, Vec<Option<f64>>, String)>,
    /// Upper limits to be drawn, one for each line; `None` where there is none.
    pub limits: Vec<Option<f64>>,
}

/// What a tab shows.
#[derive(Debug, Clone)]
pub enum Content {
    /// Events, below charts of what was measured.
    Events {
        /// Charts.
        trends: Vec<Trend>,
        /// Events.
        lines: Lines,
    },
    /// Laboratory results by item, and the reports.
    Laboratory {
        /// Items.
        items: Vec<Item>,
        /// Reports.
        reports: Lines,
    },
    /// Medicines.
    Medication {
        /// How many of the first ones are current.
        current: usize,
        /// Institution that prescribed it last, and the medicine; latest first.
        medicines: Vec<(String, Medicine)>,
        /// Orders during stays in hospital.
        orders: Vec<Order>,
    },
    /// Vaccines.
    Immunization {
        /// Doses, newest first.
        doses: Vec<Dose>,
    },
}

impl Default for Content {
    fn default() -> Self {
        Content::Events { trends: Vec::new(), lines: Lines::default() }
    }
}

/// What a time line can be narrowed to: value, name, count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Kinds of events; the first is all.
    pub kinds: Vec<(String, String, u64)>,
    /// Institutions.
    pub institutions: Vec<(String, String)>,
    /// Departments.
    pub departments: Vec<(String, String)>,
    /// Diseases by category.
    pub diseases: Vec<(String, String)>,
    /// Years with events, newest first.
    pub years: Vec<i32>,
    /// Whether the counts are of everything there is.
    pub whole: bool,
}

impl Choices {
    /// The kinds as chips.
    pub fn kind_chips(&self, place: &Place) -> Vec<Tab> {
        self.kinds
            .iter()
            .map(|(code, title, count)| Tab {
                title: title.clone(),
                href: place.filtered("kind", code),
                count: self.whole.then_some(*count),
                current: *code == place.kind,
            })
            .collect()
    }
}

/// Counts what is there. `entries`: the events of the tab, newest first.
pub fn choices<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    within: &Filter,
    whole: bool,
    label: impl Fn(i16) -> Option<(String, String)>,
    institution: impl Fn(InstitutionId) -> String,
    disease: impl Fn(&str) -> String,
) -> Choices {
    let mut kinds: Vec<(i16, u64)> = Vec::new();
    let mut institutions: HashMap<InstitutionId, u64> = HashMap::new();
    let mut departments: HashMap<&str, u64> = HashMap::new();
    let mut diseases: HashMap<&str, u64> = HashMap::new();
    let mut years: Vec<i32> = Vec::new();
    let mut all = 0;
    for entry in entries {
        all += 1;
        match kinds.iter_mut().find(|(dataset, _)| *dataset == entry.dataset) {
            Some((_, count)) => *count += 1,
            None => kinds.push((entry.dataset, 1)),
        }
        *institutions.entry(entry.institution).or_default() += 1;
        if !entry.department.is_empty() {
            *departments.entry(&entry.department).or_default() += 1;
        }
        if let Some(category) = entry.disease.get(..3) {
            *diseases.entry(category).or_default() += 1;
        }
        if within.passes(entry) && years.last() != Some(&entry.occurred_at.year()) {
            years.push(entry.occurred_at.year());
        }
    }
    kinds.sort_by_key(|(dataset, count)| (std::cmp::Reverse(*count), *dataset));
    let named = kinds.into_iter().filter_map(|(dataset, count)| label(dataset).map(|(c, l)| (c, l, count)));
    let kinds: Vec<_> = std::iter::once((String::new(), "全部".to_owned(), all)).chain(named).collect();
    Choices {
        kinds,
        institutions: most(institutions, |id| (id.get().to_string(), institution(id))),
        departments: most(departments, |name| (name.to_owned(), name.to_owned())),
        diseases: most(diseases, |category| (category.to_owned(), disease(category))),
        years,
        whole,
    }
}

// The commonest first, at most forty, with their counts in the name.
fn most<K: Ord + Copy + std::hash::Hash>(
    counts: HashMap<K, u64>,
    name: impl Fn(K) -> (String, String),
) -> Vec<(String, String)> {
    let mut list: Vec<(K, u64)> = counts.into_iter().collect();
    list.sort_by_key(|(key, count)| (std::cmp::Reverse(*count), *key));
    list.truncate(40);
    list.into_iter()
        .map(|(key, count)| {
            let (value, title) = name(key);
            (value, format!("{title}（{count}）"))
        })
        .collect()
}

/// The choices of institution, department and disease, folded away until one is used.
pub fn narrow(place: &Place, choices: &Choices) -> Markup {
    let mut filters = Vec::new();
    let mut add = |name: &'static str, label: &'static str, options: &'static str| {
        let list = match options {
            "institutions" => &choices.institutions,
            "departments" => &choices.departments,
            _ => &choices.diseases,
        };
        if list.len() > 1 || place.here.get(name).is_some() {
            filters.push(UiFilter::Choice { name, label, options: list });
        }
    };
    add("institution", "机构", "institutions");
    add("department", "科室", "departments");
    add("disease", "疾病", "diseases");
    if filters.is_empty() {
        return html! {};
    }
    let used = place.filter.institution.is_some()
        || place.filter.department.is_some()
        || place.filter.disease.is_some();
    html! {
        details.mk-fold open[used] {
            summary { "按机构、科室、疾病筛选" }
            (filter_form(&place.here.with(&[("after", "")]), &filters))
        }
    }
}

/// Renders a tab.
pub fn content(place: &Place, content: &Content) -> Markup {
    match content {
        Content::Events { trends, lines } => html! {
            @for trend in trends { (trend_chart(trend)) }
            (timeline_card(place, events_title(place.section), lines))
        },
        Content::Laboratory { items, reports } => html! {
            (laboratory(place, items))
            (timeline_card(place, "检验报告", reports))
        },
        Content::Medication { current, medicines, orders } => medication(medicines, *current, orders),
        Content::Immunization { doses } => immunization(doses),
    }
}

fn events_title(section: Section) -> &'static str {
    match section {
        Section::Overview => "时间线",
        Section::Visit => "就诊与手术",
        Section::Examination => "检查与体检",
        Section::PublicHealth => "公共卫生服务",
        Section::Document => "医疗文书",
        Section::Laboratory => "检验报告",
        Section::Medication | Section::Immunization => "记录",
    }
}

fn laboratory(place: &Place, items: &[Item]) -> Markup {
    let columns = [
        Column::text("项目"),
        Column::text("末次"),
        Column::text("前次"),
        Column::text("再前"),
        Column::text("更早"),
        Column::text("参考范围"),
        Column::text("趋势"),
    ];
    let rows: Vec<Row> = items
        .iter()
        .filter_map(|item| {
            let last = item.last()?;
            let mut cells = vec![html! { (last.item) }];
            cells.extend((0..BESIDE).map(|i| item.rows.get(i).map_or(html! {}, |row| value(row, i == 0))));
            cells.push(html! { span.mk-muted { (last.reference) } });
            let numbers: Vec<Option<f64>> = item.rows.iter().take(12).rev().map(|r| r.number).collect();
            cells.push(sparkline(&numbers, last.band));
            Some(Row { mark: "", ..Row::to(place.result(&last.key), cells) })
        })
        .collect();
    card_with(
        "检验结果",
        html! { small { "异常的在前；点项目看趋势" } },
        if rows.is_empty() {
            empty("还没有检验结果", "各机构尚未上传这位居民的检验结果。", None)
        } else {
            table(&Here::default(), &columns, &rows)
        },
    )
}

fn value(row: &ResultRow, with_unit: bool) -> Markup {
    html! {
        (abnormal(&row.value, &row.flag))
        @if with_unit && !row.unit.is_empty() { " " span.mk-muted { (row.unit) } }
        small.mk-when { (row.at.date()) }
    }
}

fn medication(medicines: &[(String, Medicine)], current: usize, orders: &[Order]) -> Markup {
    let columns = [
        Column::text("药品"),
        Column::text("用法"),
        Column::text("首次"),
        Column::text("末次"),
        Column::number("处方次数"),
        Column::text("末次开具机构"),
    ];
    let rows = |part: &[(String, Medicine)]| -> Vec<Row> {
        part.iter()
            .map(|(institution, m)| {
                Row::plain(vec![
                    html! { strong { (m.name) } },
                    html! { (m.usage) },
                    html! { (m.first) },
                    html! { (m.last) },
                    html! { (m.count) },
                    html! { (institution) },
                ])
            })
            .collect()
    };
    let (now, before) = medicines.split_at(current.min(medicines.len()));
    html! {
        (card_with("在用药品", html! { small { "距最近一次记录 90 天内的处方" } }, if now.is_empty() {
            empty("近期没有处方药品", "", None)
        } else {
            table(&Here::default(), &columns, &rows(now))
        }))
        @if !before.is_empty() {
            (card_with("既往药品", html! {}, table(&Here::default(), &columns, &rows(before))))
        }
        @if !orders.is_empty() {
            (card_with("住院用药", html! { small { "最近 300 条药品医嘱" } }, table(
                &Here::default(),
                &[Column::text("药品"), Column::text("用法"), Column::text("开立"), Column::text("停止"), Column::text("机构")],
                &orders.iter().map(|o| Row::plain(vec![
                    html! { strong { (o.name) } },
                    html! { (o.usage) },
                    html! { (o.from) },
                    html! { (o.until) },
                    html! { (o.institution) },
                ])).collect::<Vec<_>>(),
            )))
        }
    }
}

fn immunization(doses: &[Dose]) -> Markup {
    let columns = [
        Column::text("接种日期"),
        Column::text("疫苗"),
        Column::text("剂次"),
        Column::text("部位"),
        Column::text("批号"),
        Column::text("生产企业"),
        Column::text("接种单位"),
        Column::text("不良反应"),
    ];
    let rows: Vec<Row> = doses
        .iter()
        .map(|dose| {
            Row::to(
                dose.href.clone(),
                vec![
                    html! { (dose.day) },
                    html! { strong { (dose.vaccine) } },
                    html! { (dose.number) },
                    html! { (dose.site) },
                    html! { (dose.batch) },
                    html! { (dose.manufacturer) },
                    html! { (dose.institution) },
                    html! { @if !dose.reaction.is_empty() { span.mk-text-bad { (dose.reaction) } } },
                ],
            )
        })
        .collect();
    card_with(
        "预防接种",
        html! { @if !doses.is_empty() { small { "共 " (doses.len()) " 剂" } } },
        if rows.is_empty() {
            empty("还没有接种记录", "各接种单位尚未上传这位居民的接种记录。", None)
        } else {
            table(&Here::default(), &columns, &rows)
        },
    )
}

/// A measure over time with its limits.
pub fn trend_chart(trend: &Trend) -> Markup {
    let series: Vec<serde_json::Value> = trend
        .names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let data: Vec<serde_json::Value> = trend
                .points
                .iter()
                .filter_map(|(day, values, href)| {
                    let value = values.get(i).copied().flatten()?;
                    Some(json!({ "value": [day.to_string(), value], "href": href }))
                })
                .collect();
            let mut line = json!({ "type": "line", "name": name, "data": data });
            if let Some(limit) = trend.limits.get(i).copied().flatten() {
                line["markLine"] = json!({
                    "symbol": "none",
                    "silent": true,
                    "lineStyle": { "type": "dashed" },
                    "data": [{ "yAxis": limit, "label": { "formatter": format!("{name}上限 {limit}"), "position": "insideStartTop" } }],
                });
            }
            line
        })
        .collect();
    let mut option = json!({
        "tooltip": { "trigger": "axis" },
        "xAxis": { "type": "time" },
        "yAxis": { "type": "value", "scale": true },
        "series": series,
    });
    if trend.names.len() > 1 {
        option["legend"] = json!({});
    }
    let mut columns = vec![Column::text("日期")];
    columns.extend(trend.names.iter().map(|name| Column::number(name)));
    let rows: Vec<Row> = trend
        .points
        .iter()
        .rev()
        .map(|(day, values, href)| {
            let mut cells = vec![html! { (day) }];
            cells.extend(values.iter().map(|v| html! { @if let Some(v) = v { (v) } }));
            Row::to(href.clone(), cells)
        })
        .collect();
    chart(&Chart {
        id: &trend.id,
        title: &trend.title,
        option: &option,
        table: table(&Here::default(), &columns, &rows),
        download: None,
        height: Height::Low,
    })
}
