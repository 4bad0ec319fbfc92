//! Code tables: what is in force, and looking codes up by code, name or pinyin initials.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use catalog::{Code, CodeTable};
use kernel::{Refusal, Result};
use maud::{Markup, html};
use serde::Serialize;
use web::download::{self, Download};
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list, page_head,
};
use web::{Frame, Reply};

use super::{PAGE, asked, page_of};
use crate::Directory;

/// Codes that the lookup for forms answers with.
const SUGGESTIONS: usize = 20;

pub(super) async fn list_page(
    State(directory): State<Arc<Directory>>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let text = asked(&here);
    let now = directory.tables_now();
    let mut tables: Vec<&Arc<CodeTable>> = now
        .tables
        .values()
        .filter(|t| {
            text.is_empty()
                || t.id.contains(&text)
                || t.name.to_lowercase().contains(&text)
                || t.standard.to_lowercase().contains(&text)
                || standards::pinyin::initials(&t.name).contains(&text)
        })
        .collect();
    tables.sort_by(|a, b| (&a.standard, &a.name, &a.id).cmp(&(&b.standard, &b.name, &b.id)));
    let (page, total, tables) = page_of(&here, tables);
    let rows = tables
        .into_iter()
        .map(|t| {
            Row::to(
                format!("/codes/{}", t.id),
                vec![
                    html! { (t.name) },
                    html! { (t.id) },
                    html! { (t.standard) },
                    html! { (t.edition) },
                    html! { (t.codes.len()) },
                    html! { (completeness(t)) },
                    html! { (t.source) },
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[], "代码表", "本平台现行的代码表。完整的国家代码表由管理员用发布机构的文件导入（minkang codes import），导入后立即生效。", html! {}))
        (list(&here, &List {
            filters: &[Filter::Text { name: "q", label: "查询", hint: "名称、标准号、标识、拼音首字母" }],
            total: Some(total),
            unit: "张代码表",
            columns: &[
                Column::text("名称"),
                Column::text("标识"),
                Column::text("标准"),
                Column::text("版本"),
                Column::number("代码数"),
                Column::text("收录"),
                Column::text("来源"),
            ],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[],
            empty: ("没有符合条件的代码表", "请换一个名称或标准号查询。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("代码表", body))
}

fn completeness(table: &CodeTable) -> Markup {
    if table.complete {
        html! { "完整" }
    } else {
        html! { span title="只收录了标准的一部分：表中没有的代码只计数，不拒收" { (badge(Tone::Info, "部分")) } }
    }
}

fn table(directory: &Directory, id: &str) -> Result<Arc<CodeTable>, Refusal> {
    directory.tables_now().get(id).cloned().ok_or_else(|| {
        Refusal::not_found("codes.unknown_table", format!("没有标识为“{id}”的代码表。请从代码表目录进入。"))
    })
}

/// Codes whose code begins with the text, whose name contains it or whose initials contain it; exact code first.
fn matching<'t>(directory: &Directory, table: &'t Arc<CodeTable>, text: &str) -> Vec<&'t Code> {
    if text.is_empty() {
        return table.codes.iter().collect();
    }
    let letters = text.chars().all(|c| c.is_ascii_alphanumeric());
    let initials = letters.then(|| directory.initials_of(table));
    let mut found: Vec<(u8, &Code)> = table
        .codes
        .iter()
        .enumerate()
        .filter_map(|(index, code)| {
            let head = code.code.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text));
            let initials = initials.as_ref().and_then(|all| all.get(index)).map_or("", |i| i.as_ref());
            let rank = match () {
                () if head && code.code.len() == text.len() => 0,
                () if head => 1,
                () if initials.starts_with(text) => 2,
                () if code.name.to_lowercase().contains(text) => 3,
                () if letters && initials.contains(text) => 4,
                () => return None,
            };
            Some((rank, code))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, code)| code).collect()
}

pub(super) async fn table_page(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let t = table(&directory, &id)?;
    let text = asked(&here);
    let (page, total, codes) = page_of(&here, matching(&directory, &t, &text));
    let rows = codes.into_iter().map(|c| Row::plain(vec![html! { (c.code) }, html! { (c.name) }])).collect();
    let export = format!("/codes/{}/export.csv", t.id);
    let body = html! {
        (page_head(&[("代码表", "/codes")], &t.name, "", html! {}))
        (card("基本信息", describe(&[
            fact("标识", &t.id),
            fact("标准", &t.standard),
            fact("版本", &t.edition),
            fact("来源", &t.source),
            fact("代码数", &t.codes.len().to_string()),
            ("收录".to_owned(), completeness(&t)),
        ])))
        (list(&here, &List {
            filters: &[Filter::Text { name: "q", label: "查询", hint: "代码、名称、拼音首字母" }],
            total: Some(total),
            unit: "个代码",
            columns: &[Column::text("代码"), Column::text("名称")],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: &export }],
            empty: ("没有符合条件的代码", "请换一个代码、名称或拼音首字母查询。"),
            empty_action: None,
        }))
    };
    Ok(frame.page(&t.name, body))
}

pub(super) async fn export(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<Download> {
    let t = table(&directory, &id)?;
    let text = asked(&here);
    let rows = matching(&directory, &t, &text);
    let rows = rows.into_iter().map(|c| vec![c.code.to_string(), c.name.to_string()]);
    Ok(download::csv(&format!("{}.csv", t.id), &["代码", "名称"], rows))
}

#[derive(Serialize)]
pub(super) struct CodeJson {
    code: String,
    name: String,
}

pub(super) async fn json(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<Json<Vec<CodeJson>>> {
    let t = table(&directory, &id)?;
    let found = matching(&directory, &t, &asked(&here));
    let json = |c: &Code| CodeJson { code: c.code.to_string(), name: c.name.to_string() };
    Ok(Json(found.into_iter().take(SUGGESTIONS).map(json).collect()))
}
