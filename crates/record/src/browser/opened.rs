//! Views of an opened event, in place and as a page, and of its earlier versions. Pure.

use contracts::PersonCard;
use maud::{Markup, html};
use web::ui::{
    Column, Here, Row, Tone, abnormal, badge, card_with, describe, icon, page_head, person_banner, table,
};

use super::Place;
use super::event::{Body, EventView, Part, Version, VersionsView};
use crate::fields::Shown;
use crate::laboratory::ResultRow;

/// A part with more fields than this is folded away.
const MANY: usize = 12;

fn body(view: &EventView) -> Markup {
    html! {
        div.mk-opened {
            (described(&view.fields))
            @for part in &view.parts { (part_view(part)) }
        }
    }
}

fn source(view: &EventView) -> Markup {
    html! {
        "来源：" (view.institution) "，批次 " (view.batch) "，第 " (view.version) " 版"
        @if view.version > 1 { "（" a href={ (view.href) "/history" } { "查看历史版本" } "）" }
    }
}

fn described(shown: &[Shown]) -> Markup {
    let facts: Vec<(String, Markup)> = shown
        .iter()
        .map(|s| {
            let value = if s.restricted {
                html! { span.mk-muted { (s.text) } }
            } else {
                html! { (s.text) }
            };
            (s.title.clone(), value)
        })
        .collect();
    describe(&facts)
}

fn part_view(part: &Part) -> Markup {
    let inner = html! {
        @match &part.body {
            Body::Results(rows) => (results(rows)),
            Body::Table { columns, rows } => (plain_table(columns, rows)),
            Body::Fees { classes, total, columns, rows } => {
                (plain_table(
                    &["费用类别".to_owned(), "项数".to_owned(), "金额（元）".to_owned()],
                    &classes.iter().map(|(n, c, s)| (vec![n.clone(), c.to_string(), s.clone()], false)).collect::<Vec<_>>(),
                ))
                p.mk-source { "合计 " b { (total) } " 元" }
                details.mk-fold { summary { "费用明细 " (rows.len()) " 项" } (plain_table(columns, rows)) }
            },
            Body::Links(links) => ul.mk-points { @for (title, href) in links { li { a href=(href) { (title) } } } },
            Body::Blocks(blocks) => @for (shown, parts) in blocks {
                div.mk-block {
                    @if shown.len() > MANY {
                        details.mk-fold { summary { "全部 " (shown.len()) " 项内容" } (described(shown)) }
                    } @else {
                        (described(shown))
                    }
                    @for part in parts { (part_view(part)) }
                }
            },
        }
    };
    html! {
        section.mk-part {
            h3 { (part.title) @if part.count > 1 { small { (part.count) " 条" } } }
            (inner)
        }
    }
}

fn plain_table(columns: &[String], rows: &[(Vec<String>, bool)]) -> Markup {
    let columns: Vec<Column> = columns.iter().map(|c| Column::text(c)).collect();
    let rows: Vec<Row> = rows
        .iter()
        .map(|(cells, bad)| Row {
            href: None,
            mark: if *bad { "mk-row-warn" } else { "" },
            cells: cells.iter().map(|c| html! { (c) }).collect(),
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}

fn results(rows: &[ResultRow]) -> Markup {
    let columns =
        [Column::text("项目"), Column::text("结果"), Column::text("单位"), Column::text("参考范围")];
    let rows: Vec<Row> = rows
        .iter()
        .map(|r| {
            Row::plain(vec![
                html! { (r.item) },
                abnormal(&r.value, &r.flag),
                html! { (r.unit) },
                html! { span.mk-muted { (r.reference) } },
            ])
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}

/// The event as a part of a page, for the time line.
pub fn in_place(view: &EventView) -> Markup {
    html! {
        (body(view))
        p.mk-source { (source(view)) " " a href=(view.href) { "单独打开" } }
    }
}

/// The event as a page of its own.
pub fn page(place: &Place, view: &EventView) -> Markup {
    html! {
        @if let Some(banner) = &view.banner { (person_banner(banner)) }
        (page_head(&[("健康档案", &place.base)], &view.title, &format!("{} · {} · {}", view.kind, view.when, view.institution), html! {
            button.btn type="button" data-act="print" { (icon("printer")) "打印" }
        }))
        @if let Some((kind, title, href)) = &view.parent {
            p { "所属" (kind) "：" a href=(href) { (title) } }
        }
        (card_with(&view.kind, html! { (icon(&view.icon)) }, html! { div.mk-card-body { (body(view)) } }))
        @if !view.same_day.is_empty() {
            (card_with("同日在该机构的其他记录", html! {}, html! {
                ul.mk-points {
                    @for line in &view.same_day {
                        li {
                            a href=(line.href) { (line.kind) " " (line.title) }
                            small { (line.time) @if line.abnormal { " " (badge(Tone::Warn, "异常")) } }
                        }
                    }
                }
            }))
        }
        p.mk-source { (source(view)) }
    }
}

/// The earlier versions of a fact.
pub fn versions(place: &Place, view: &VersionsView) -> Markup {
    html! {
        (person_banner(&view.banner))
        (page_head(&[("健康档案", &place.base), (&view.title, &view.href)], "历史版本",
            &format!("现行为第 {} 版；更正前的内容都保留在这里。", view.now), html! {}))
        @if view.versions.is_empty() {
            (web::ui::empty("没有更早的版本", "这条记录自上传以来没有更正过。", Some(("返回记录", &view.href))))
        }
        @for version in &view.versions {
            (card_with(&format!("第 {} 版", version.number), ended(version), html! {
                @if version.changes.is_empty() {
                    div.mk-card-body { p.mk-muted { "与其后一版内容相同。" } }
                } @else {
                    (plain_table(
                        &["字段".to_owned(), "当时".to_owned(), "更正后".to_owned()],
                        &version.changes.iter().map(|(t, a, b)| (vec![t.clone(), a.clone(), b.clone()], false)).collect::<Vec<_>>(),
                    ))
                }
            }))
        }
    }
}

/// When and by what a version was replaced.
fn ended(version: &Version) -> Markup {
    html! {
        small {
            (version.ended)
            @match version.batch {
                Some(batch) => { " 被批次 " (batch) " 更正" }
                None => { " 由平台更正：" (version.reason) }
            }
        }
    }
}

/// The demographics of a person in full, in the place of the masked ones.
pub fn whole(card: &PersonCard, region: &str) -> Markup {
    let facts = [
        ("姓名", card.name.as_str()),
        ("证件", card.citizen_id.as_deref().unwrap_or_default()),
        ("出生", &card.birth_date.map(|b| b.to_string()).unwrap_or_default()),
        ("电话", &card.phone),
        ("住址", &format!("{region} {}", card.address)),
    ];
    html! {
        dl {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.trim().is_empty()) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}
