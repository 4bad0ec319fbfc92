//! The record on paper: what matters and the latest events, without what only a screen needs. Pure view.

use chrono::NaiveDateTime;
use maud::{Markup, html};
use web::ui::{Column, Here, Row, abnormal, card_with, icon, person_banner, table};

use super::Place;
use super::load::RecordView;
use super::sections::Content;

/// Who prints, for the foot of the paper.
#[derive(Debug, Clone, Copy)]
pub struct PrintedBy<'a> {
    /// Name.
    pub who: &'a str,
    /// Institution.
    pub institution: &'a str,
    /// When.
    pub at: NaiveDateTime,
}

/// Renders the paper.
pub fn page(place: &Place, view: &RecordView, by: &PrintedBy) -> Markup {
    let side = &view.side;
    let problems: Vec<Row> = side
        .problems
        .iter()
        .map(|p| {
            let cells = [
                p.name.clone(),
                p.category.clone(),
                p.first.to_string(),
                p.last.to_string(),
                p.days.to_string(),
            ];
            Row::plain(cells.into_iter().map(|c| html! { (c) }).collect())
        })
        .collect();
    let medicines: Vec<Row> = side
        .medicines
        .iter()
        .map(|m| {
            Row::plain(vec![html! { (m.name) }, html! { (m.usage) }, html! { (m.first) }, html! { (m.last) }])
        })
        .collect();
    let results: Vec<Row> = side
        .abnormal
        .iter()
        .map(|r| {
            Row::plain(vec![
                html! { (r.item) },
                abnormal(&r.value, &r.flag),
                html! { (r.unit) },
                html! { (r.reference) },
                html! { (r.at.date()) },
            ])
        })
        .collect();
    let events: &[super::overview::Line] = match &view.content {
        Content::Events { lines, .. } => &lines.events,
        _ => &[],
    };
    let lines: Vec<Row> = events
        .iter()
        .map(|e| {
            Row::plain(vec![
                html! { (e.date) },
                html! { (e.kind) },
                html! { (e.title) @if e.abnormal { "（异常）" } },
                html! { (e.detail) },
                html! { (e.institution) },
            ])
        })
        .collect();
    let some = |title: &str, columns: &[Column], rows: &[Row]| {
        html! { @if !rows.is_empty() { (card_with(title, html! {}, table(&Here::default(), columns, rows))) } }
    };
    html! {
        div.mk-acts.mk-no-print {
            button.btn.btn-primary type="button" data-act="print" { (icon("printer")) "打印" }
            a.btn href=(place.base) { "返回健康档案" }
        }
        h1.mk-paper-title { "居民健康档案摘要" }
        (person_banner(&view.banner))
        (some("主要问题", &[Column::text("诊断"), Column::text("编码"), Column::text("首次"), Column::text("末次"), Column::number("天数")], &problems))
        (some("在用药品", &[Column::text("药品"), Column::text("用法"), Column::text("首次"), Column::text("末次")], &medicines))
        (some("近期异常结果", &[Column::text("项目"), Column::text("结果"), Column::text("单位"), Column::text("参考范围"), Column::text("日期")], &results))
        (some("最近记录", &[Column::text("日期"), Column::text("类别"), Column::text("内容"), Column::text("说明"), Column::text("机构")], &lines))
        p.mk-source {
            "由 " (by.institution) " " (by.who) " 于 " (by.at.format("%Y-%m-%d %H:%M")) " 打印；内容来自各机构上传，仅供诊疗参考，请妥善保管。"
        }
    }
}
