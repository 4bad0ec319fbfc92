//! Measures over time: one laboratory item with its reference band; blood pressure and glucose of follow-ups; doses
//! of vaccines.

use catalog::{CodeTables, Dataset};
use contracts::PersonCard;
use kernel::Result;
use maud::{Markup, html};
use rust_decimal::prelude::ToPrimitive;
use serde_json::json;
use store::Gated;
use web::ui::{
    Chart, Column, Height, Here, PersonBanner, Row, abnormal, chart, crumbs, empty, person_banner, table,
};

use super::sections::{Dose, Trend};
use super::{Browser, Place, Section};
use crate::facts::{self, Fact};
use crate::laboratory::{self, ResultRow};

/// What the trend of an item shows.
#[derive(Debug, Clone, Default)]
pub struct TrendView {
    /// Title of the page.
    pub title: String,
    /// The banner.
    pub banner: PersonBanner,
    /// Results with the names of their institutions, newest first.
    pub rows: Vec<(String, ResultRow)>,
}

impl Browser {
    pub(super) async fn trend(
        &self,
        tx: &mut Gated<'_>,
        card: &PersonCard,
        place: &Place,
        item: &str,
    ) -> Result<TrendView> {
        let tables = self.ports.terminology.tables();
        let known = self.known(tx, card).await?;
        let banner = self.banner_of(card, place, &known, &tables);
        let mut rows = Vec::new();
        if let Some((dataset, _)) = &self.results {
            let by = facts::positions(dataset, &["loinc_code", "item_name"]);
            let fields = laboratory::fields(dataset);
            let facts = facts::matching(tx, dataset, &fields, &known.identities, &by, item, 500).await?;
            rows.extend(
                facts
                    .iter()
                    .filter_map(|fact| laboratory::row(dataset, fact, &tables))
                    .map(|row| (self.institution(row.institution), row)),
            );
        }
        let title = rows.first().map_or_else(|| "检验趋势".to_owned(), |(_, row)| row.item.clone());
        Ok(TrendView { title, banner, rows })
    }

    /// Blood pressure and fasting glucose out of the data sets of public health services.
    pub(super) async fn measured(
        &self,
        tx: &mut Gated<'_>,
        identities: &[i64],
        at: &Place,
    ) -> Result<Vec<Trend>> {
        let mut out = Vec::new();
        for dataset in
            self.ports.catalog.datasets.iter().filter(|d| {
                d.record.as_ref().is_some_and(|view| view.section == Section::PublicHealth.code())
            })
        {
            let place = |fact: &Fact| at.event(&dataset.code, fact.id);
            for (names, limits, title) in MEASURES {
                let fields = facts::positions(dataset, names);
                if fields.len() != names.len() {
                    continue;
                }
                let facts = facts::latest(tx, dataset, &fields, identities, 200).await?;
                let points: Vec<_> = facts
                    .iter()
                    .rev()
                    .filter(|fact| fields.iter().any(|f| !fact.values[*f].is_null()))
                    .map(|fact| {
                        let values = fields.iter().map(|f| number(fact, *f)).collect();
                        (fact.occurred_at.date(), values, place(fact))
                    })
                    .collect();
                if points.len() < 2 {
                    continue;
                }
                let label = dataset.record.as_ref().map_or("", |view| view.label.as_str());
                out.push(Trend {
                    id: format!("trend-{}-{}", dataset.code, names[0]),
                    title: format!("{title}（{}），{label}", dataset.fields[fields[0]].unit),
                    names: fields.iter().map(|f| dataset.fields[*f].title.clone()).collect(),
                    points,
                    limits: limits.to_vec(),
                });
            }
        }
        Ok(out)
    }

    /// Doses of vaccines, newest first.
    pub(super) async fn doses(
        &self,
        tx: &mut Gated<'_>,
        identities: &[i64],
        place: &Place,
        tables: &CodeTables,
    ) -> Result<Vec<Dose>> {
        let mut out = Vec::new();
        for dataset in self
            .ports
            .catalog
            .datasets
            .iter()
            .filter(|d| d.record.as_ref().is_some_and(|view| view.summary == "immunization"))
        {
            let facts = facts::latest(tx, dataset, &facts::all(dataset), identities, 300).await?;
            out.extend(facts.iter().map(|fact| self.dose(dataset, fact, place, tables)));
        }
        Ok(out)
    }

    fn dose(&self, dataset: &Dataset, fact: &Fact, place: &Place, tables: &CodeTables) -> Dose {
        let text = |name: &str| {
            dataset.field(name).map(|f| crate::fields::text(dataset, fact, f, tables)).unwrap_or_default()
        };
        let number = text("dose_no");
        let unit = text("unit_name");
        let reaction = match (fact.text(dataset, "reaction"), text("reaction_text")) {
            ("2", words) if words.is_empty() => "有".to_owned(),
            ("2", words) => words,
            _ => String::new(),
        };
        Dose {
            vaccine: text("vaccine_name"),
            number: if number.is_empty() { number } else { format!("第 {number} 剂") },
            day: fact.occurred_at.date().to_string(),
            batch: text("batch_no"),
            manufacturer: text("manufacturer"),
            site: text("site"),
            institution: if unit.is_empty() { self.institution(fact.institution) } else { unit },
            reaction,
            href: place.event(&dataset.code, fact.id),
        }
    }
}

/// Fields followed over time together, the upper limits of their targets, and the subject.
type Measured = (&'static [&'static str], &'static [Option<f64>], &'static str);

const MEASURES: [Measured; 2] = [
    (&["systolic", "diastolic"], &[Some(140.0), Some(90.0)], "血压"),
    (&["fasting_glucose"], &[Some(7.0)], "空腹血糖"),
];

fn number(fact: &Fact, field: usize) -> Option<f64> {
    fact.values[field].decimal().and_then(|d| d.to_f64())
}

/// Renders the trend of an item.
pub fn page(place: &Place, view: &TrendView) -> Markup {
    html! {
        (person_banner(&view.banner))
        (crumbs(&[("健康档案", &place.base), ("检验", &place.tab(Section::Laboratory))]))
        @if view.rows.is_empty() {
            (empty("没有这个项目的结果", "结果可能已被上传机构撤销。", Some(("全部检验", &place.tab(Section::Laboratory)))))
        } @else {
            (result_chart(view))
        }
    }
}

fn result_chart(view: &TrendView) -> Markup {
    let Some((_, last)) = view.rows.first() else { return html! {} };
    let title =
        if last.unit.is_empty() { last.item.clone() } else { format!("{}（{}）", last.item, last.unit) };
    let columns = [
        Column::text("日期"),
        Column::text("结果"),
        Column::text("单位"),
        Column::text("参考范围"),
        Column::text("机构"),
    ];
    let rows: Vec<Row> = view
        .rows
        .iter()
        .map(|(institution, row)| {
            Row::plain(vec![
                html! { (row.at.format("%Y-%m-%d %H:%M")) },
                abnormal(&row.value, &row.flag),
                html! { (row.unit) },
                html! { (row.reference) },
                html! { (institution) },
            ])
        })
        .collect();
    // Results in another unit are no points of the same line.
    let points: Vec<serde_json::Value> = view
        .rows
        .iter()
        .rev()
        .filter(|(_, row)| row.unit == last.unit)
        .filter_map(|(_, row)| {
            let color = if row.is_abnormal() { json!({ "color": "#b1221b" }) } else { json!({}) };
            Some(json!({ "value": [row.at.format("%Y-%m-%d %H:%M").to_string(), row.number?], "itemStyle": color }))
        })
        .collect();
    if points.len() < 2 {
        return web::ui::card_with(&title, html! {}, table(&Here::default(), &columns, &rows));
    }
    let mut line = json!({ "type": "line", "name": last.item, "data": points });
    let mut axis = json!({ "type": "value", "scale": true });
    if let Some((low, high)) = last.band {
        line["markArea"] = json!({
            "silent": true,
            "itemStyle": { "color": "rgba(42,157,99,0.14)" },
            "data": [[{ "yAxis": low, "name": format!("参考 {low}–{high}") }, { "yAxis": high }]],
        });
        // The band is seen even when all values lie outside of it.
        let numbers = view.rows.iter().filter(|(_, r)| r.unit == last.unit).filter_map(|(_, r)| r.number);
        let (min, max) = numbers.fold((low, high), |(a, b), v| (a.min(v), b.max(v)));
        let step = 10f64.powf((max - min).log10().floor());
        axis["min"] = json!(round((min / step - 0.2).floor() * step));
        axis["max"] = json!(round((max / step + 0.2).ceil() * step));
    }
    let option = json!({
        "tooltip": { "trigger": "axis" },
        "xAxis": { "type": "time" },
        "yAxis": axis,
        "series": [line],
    });
    html! {
        (chart(&Chart {
            id: "result",
            title: &title,
            option: &option,
            table: html! {},
            download: None,
            height: Height::Middle,
        }))
        (web::ui::card_with("历次结果", html! {}, table(&Here::default(), &columns, &rows)))
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
