//! Code tables: what is in force, searching, the tree of broader and narrower codes, one code with its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use catalog::hierarchy::range;
use catalog::{CodeTable, Hierarchy};
use kernel::{Refusal, Result};
use maud::{Markup, html};
use serde::Serialize;
use web::download::{self, Download};
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tab, Tone, badge, card, card_with, describe, empty,
    fact, list, notice, page_head, table as plain_table, tabs, thousands,
};
use web::{Frame, Reply};

use super::{LOAD, PAGE, asked, may, page_of, told};
use crate::Directory;
use crate::sheet::{self, SheetDownload};
use crate::terminology::index::{Hit, Query};

/// Codes that the lookup for forms answers with.
const SUGGESTIONS: usize = 20;

/// Most codes that one search of the interface answers with.
const MOST: usize = 100;

fn listed<'t>(now: &'t catalog::CodeTables, text: &str) -> Vec<&'t Arc<CodeTable>> {
    let mut tables: Vec<&Arc<CodeTable>> = now
        .tables
        .values()
        .filter(|t| {
            text.is_empty()
                || t.id.contains(text)
                || t.name.to_lowercase().contains(text)
                || t.standard.to_lowercase().contains(text)
                || standards::pinyin::initials(&t.name).contains(text)
        })
        .collect();
    tables.sort_by(|a, b| {
        (!a.local_codes, &a.standard, &a.name, &a.id).cmp(&(!b.local_codes, &b.standard, &b.name, &b.id))
    });
    tables
}

pub(super) async fn list_page(
    State(directory): State<Arc<Directory>>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let now = directory.tables_now();
    let (page, total, tables) = page_of(&here, listed(&now, &asked(&here)));
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
                    html! { @match t.valid_from { Some(day) => (day), None => "—" } },
                    html! { (thousands(t.codes.len() as u64)) },
                    html! { (completeness(t)) },
                    html! { (t.source) },
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[], "代码表", "本平台现行的代码表。点开可按代码、名称、拼音查询，看层级、历次版本和变化。", html! {
            @if frame.caller.as_ref().is_some_and(|c| may(c, super::LOOK)) {
                a.btn href="/code-maps" { "院内码对照" }
                a.btn href="/code-coverage" { "编码覆盖率" }
            }
        }))
        (list(&here, &List {
            filters: &[Filter::Text { name: "q", label: "查询", hint: "名称、标准号、标识、拼音首字母" }],
            total: Some(total),
            unit: "张代码表",
            columns: &[
                Column::text("名称"),
                Column::text("标识"),
                Column::text("标准"),
                Column::text("版本"),
                Column::text("施行"),
                Column::number("代码数"),
                Column::text("收录"),
                Column::text("来源"),
            ],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/codes.csv" }],
            empty: ("没有符合条件的代码表", "请换一个名称或标准号查询。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("代码表", body))
}

pub(super) async fn list_csv(State(directory): State<Arc<Directory>>, here: Here) -> Reply<Download> {
    let now = directory.tables_now();
    let rows = listed(&now, &asked(&here)).into_iter().map(|t| {
        vec![
            t.id.clone(),
            t.name.clone(),
            t.standard.clone(),
            t.edition.clone(),
            t.codes.len().to_string(),
            t.canonical(),
            t.source.clone(),
        ]
    });
    Ok(download::csv("codes.csv", &["标识", "名称", "标准", "版本", "代码数", "规范地址", "来源"], rows))
}

fn completeness(table: &CodeTable) -> Markup {
    if table.complete {
        html! { "完整" }
    } else {
        html! { span title="只收录了标准的一部分：表中没有的代码只计数，不拒收" { (badge(Tone::Info, "部分")) } }
    }
}

/// A table in force; not found otherwise.
pub(super) fn table(directory: &Directory, id: &str) -> Result<Arc<CodeTable>, Refusal> {
    directory.tables_now().get(id).cloned().ok_or_else(|| {
        Refusal::not_found("codes.unknown_table", format!("没有标识为“{id}”的代码表。请从代码表目录进入。"))
    })
}

/// The table asked for: in force today, or on the day or of the edition that the address names.
async fn asked_table(directory: &Directory, id: &str, here: &Here) -> Result<Arc<CodeTable>> {
    let current = table(directory, id);
    let found = match (here.get("on"), here.get("edition")) {
        (Some(day), _) => match day.parse() {
            Ok(day) => directory.table_on(id, day).await?,
            Err(_) => return Err(Refusal::invalid("codes.bad_day", "日期应形如 2025-01-01。").into()),
        },
        (None, Some(edition)) => directory.table_of_edition(id, edition).await?,
        (None, None) => return Ok(current?),
    };
    Ok(found.ok_or_else(|| {
        Refusal::not_found("codes.unknown_edition", "那一天没有施行的版本，或没有这个版本。")
    })?)
}

/// Positions that match, best first; all of them for an empty text.
fn matching(directory: &Directory, t: &Arc<CodeTable>, text: &str) -> Vec<u32> {
    if text.is_empty() {
        return (0..t.codes.len() as u32).collect();
    }
    let query = Query { limit: t.codes.len().max(1), ..Query::typed(text, 0) };
    directory.search_codes(t, query).iter().map(|hit| hit.position).collect()
}

fn code_href(t: &CodeTable, code: &str) -> String {
    Here::new(&format!("/codes/{}/code", t.id), "").with(&[("code", code)]).href()
}

/// What is said beside a name: other names, retirement.
fn remarks(t: &CodeTable, at: u32) -> Markup {
    html! {
        @if let Some(retired) = t.retired.get(&at) {
            " " (badge(Tone::Warn, "已停用"))
            @if !retired.replaced_by.is_empty() { " 改用 " a href=(code_href(t, &retired.replaced_by)) { (retired.replaced_by) } }
        }
        @let others = t.aliases_of(at).collect::<Vec<_>>();
        @if !others.is_empty() { br; small.mk-muted { "又名 " (others.join("、")) } }
    }
}

pub(super) async fn table_page(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let t = asked_table(&directory, &id, &here).await?;
    let text = asked(&here);
    let as_tree = here.get("view") == Some("tree") && text.is_empty();
    let has_tree = t.hierarchy != Hierarchy::Flat || !t.parents.is_empty() || !t.groups.is_empty();
    let mut views = vec![Tab {
        title: "列表".to_owned(),
        href: here.with(&[("view", ""), ("under", ""), ("page", "")]).href(),
        count: None,
        current: !as_tree,
    }];
    if has_tree {
        views.push(Tab {
            title: "层级".to_owned(),
            href: here.with(&[("view", "tree"), ("q", ""), ("page", "")]).href(),
            count: None,
            current: as_tree,
        });
    }
    views.push(Tab {
        title: "版本".to_owned(),
        href: format!("/codes/{}/editions", t.id),
        count: None,
        current: false,
    });
    let old = here.get("on").is_some() || here.get("edition").is_some();
    let body = html! {
        (page_head(&[("代码表", "/codes")], &t.name, "", html! {
            @if frame.caller.as_ref().is_some_and(|c| may(c, LOAD)) {
                a.btn href={ "/codes/" (t.id) "/import" } { "导入新版本" }
            }
        }))
        (told(&here))
        @if old {
            (notice(Tone::Info, &format!("这是版本“{}”，不一定是现行版本", t.edition), "要看现行的代码，请从代码表目录重新进入。"))
        }
        (card("基本信息", describe(&[
            fact("标识", &t.id),
            fact("标准", &t.standard),
            fact("版本", &t.edition),
            fact("施行", &validity(&t)),
            fact("代码数", &thousands(t.codes.len() as u64)),
            ("收录".to_owned(), completeness(&t)),
            fact("规范地址（FHIR）", &t.canonical()),
            fact("来源", &t.source),
        ])))
        (tabs(&views))
        @if as_tree { (tree(&directory, &t, &here)) } @else { (codes_list(&directory, &t, &here, &text)) }
    };
    Ok(frame.page(&t.name, body))
}

fn validity(t: &CodeTable) -> String {
    match (t.valid_from, t.valid_to) {
        (Some(from), Some(to)) => format!("{from} 起，{to} 停用"),
        (Some(from), None) => format!("{from} 起"),
        _ => "随平台提供".to_owned(),
    }
}

fn codes_list(directory: &Directory, t: &Arc<CodeTable>, here: &Here, text: &str) -> Markup {
    let (page, total, found) = page_of(here, matching(directory, t, text));
    let rows = found
        .into_iter()
        .map(|at| {
            let code = &t.codes[at as usize];
            let cells = vec![html! { (code.code) }, html! { (code.name) (remarks(t, at)) }];
            Row {
                mark: if t.retired.contains_key(&at) { "mk-row-warn" } else { "" },
                ..Row::to(code_href(t, &code.code), cells)
            }
        })
        .collect();
    let (csv, xlsx) = (format!("/codes/{}/export.csv", t.id), format!("/codes/{}/export.xlsx", t.id));
    list(
        here,
        &List {
            filters: &[
                Filter::Text {
                    name: "q", label: "查询", hint: "代码、名称、拼音或首字母，如 gxy"
                },
                Filter::Day { name: "on", label: "施行日" },
            ],
            total: Some(total),
            unit: "个代码",
            columns: &[Column::text("代码"), Column::text("名称")],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: &csv }, Export { label: "导出 XLSX", path: &xlsx }],
            empty: ("没有符合条件的代码", "请换一个代码、名称或拼音首字母查询。"),
            empty_action: None,
        },
    )
}

/// One step of the tree: a heading that is opened, or a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub under: String,
    pub title: String,
    pub codes: usize,
    /// Whether the heading is a code of the table itself.
    pub own: bool,
}

/// What lies directly under a heading: chapters first (ranges of the table of groups), then categories, then codes by
/// their broader code. Categories that a national table does not list are made from its codes.
pub(super) fn steps_under(
    t: &CodeTable,
    groups: Option<&CodeTable>,
    shipped: Option<&CodeTable>,
    under: &str,
) -> Vec<Step> {
    let category = |code: &str| match t.hierarchy {
        Hierarchy::Icd10 | Hierarchy::Icd9 => code.split(['.', '-']).next().unwrap_or(code).to_owned(),
        _ => code.to_owned(),
    };
    let within = |code: &str| {
        range(under).is_none_or(|(from, to)| {
            let own = category(code);
            from <= own.as_str() && own.as_str() <= to
        })
    };
    let grouped = groups.is_some() && matches!(t.hierarchy, Hierarchy::Icd10 | Hierarchy::Icd9);
    if let Some(groups) = groups.filter(|_| grouped && under.is_empty()) {
        let count = |code: &str| {
            t.codes.iter().filter(|c| Hierarchy::Icd10.subsumes(code, &category(&c.code))).count()
        };
        return groups
            .codes
            .iter()
            .filter(|g| range(&g.code).is_some())
            .map(|g| Step {
                under: g.code.to_string(),
                title: g.name.to_string(),
                codes: count(&g.code),
                own: false,
            })
            .collect();
    }
    if matches!(t.hierarchy, Hierarchy::Icd10 | Hierarchy::Icd9)
        && (under.is_empty() || range(under).is_some())
    {
        let mut categories: BTreeMap<String, usize> = BTreeMap::new();
        for code in t.codes.iter().filter(|c| range(&c.code).is_none() && within(&c.code)) {
            *categories.entry(category(&code.code)).or_default() += 1;
        }
        let name = |code: &str| {
            t.name_of(code)
                .or_else(|| shipped?.name_of(code))
                .or_else(|| t.name_of(&format!("{code}.x00")))
                .unwrap_or("")
        };
        return categories
            .into_iter()
            .map(|(code, codes)| Step {
                title: name(&code).to_owned(),
                own: t.contains(&code),
                codes,
                under: code,
            })
            .collect();
    }
    let (mut narrower, mut found) = (vec![0usize; t.codes.len()], Vec::new());
    for at in 0..t.codes.len() as u32 {
        let code = &t.codes[at as usize].code;
        let parent = t.parent(at);
        if let Some(parent) = parent {
            narrower[parent as usize] += 1;
        }
        let here = match parent {
            Some(parent) => &*t.codes[parent as usize].code == under,
            // Without a broader code of its own it lies under its category, or at the top.
            None => under == if category(code) == **code { String::new() } else { category(code) },
        };
        if here && **code != *under {
            found.push(at);
        }
    }
    found
        .into_iter()
        .map(|at| {
            let code = &t.codes[at as usize];
            Step {
                under: code.code.to_string(),
                title: code.name.to_string(),
                codes: narrower[at as usize],
                own: true,
            }
        })
        .collect()
}

fn tree(directory: &Directory, t: &Arc<CodeTable>, here: &Here) -> Markup {
    let now = directory.tables_now();
    let groups = now.get(&t.groups);
    let under = here.get("under").unwrap_or("");
    let found =
        steps_under(t, groups.map(AsRef::as_ref), directory.shipped.get(&t.id).map(AsRef::as_ref), under);
    let up = |step: &str| here.with(&[("under", step), ("page", "")]).href();
    // The way down to here.
    let mut way: Vec<(String, String)> = vec![("全部".to_owned(), up(""))];
    if let Some(chapter) = groups
        .and_then(|g| g.codes.iter().find(|c| Hierarchy::Icd10.subsumes(&c.code, under) && !under.is_empty()))
    {
        way.push((format!("{} {}", chapter.code, chapter.name), up(&chapter.code)));
    }
    let mut broader = Vec::new();
    let mut at = t.position(under);
    while let Some(position) = at
        && broader.len() < 8
    {
        broader.push(position);
        at = t.parent(position);
    }
    for position in broader.into_iter().rev() {
        let code = &t.codes[position as usize];
        way.push((format!("{} {}", code.code, code.name), up(&code.code)));
    }
    let (page, total, shown) = page_of(here, found);
    let rows: Vec<Row> = shown
        .into_iter()
        .map(|step| {
            let href = if step.codes > 0 { up(&step.under) } else { code_href(t, &step.under) };
            Row::to(href, vec![
                html! { (step.under) },
                html! { (step.title) @if step.own && step.codes > 0 { " " a href=(code_href(t, &step.under)) { "详情" } } },
                html! { @if step.codes > 0 { (thousands(step.codes as u64)) } @else { "—" } },
            ])
        })
        .collect();
    html! {
        section.mk-card.mk-list {
            nav aria-label="层级" { ol.mk-crumbs { @for (title, href) in &way { li { a href=(href) { (title) } } } } }
            @if rows.is_empty() {
                (empty("下面没有更细的代码", "请返回上一级。", None))
            } @else {
                (plain_table(here, &[Column::text("代码"), Column::text("名称"), Column::number("下级")], &rows))
            }
            (web::ui::paging(here, &Paging::Numbered { page, per_page: PAGE as u64, total }))
        }
    }
}

/// `GET /codes/{table}/code?code=`
pub(super) async fn code_page(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let t = table(&directory, &id)?;
    let code = here.get("code").unwrap_or("");
    let position = t.position(code);
    let history = directory.code_history(&id, code).await?;
    if position.is_none() && history.is_empty() {
        return Err(Refusal::not_found(
            "codes.unknown_code",
            format!("“{}”中没有代码“{code}”，历次版本中也没有。请核对后再查。", t.name),
        )
        .into());
    }
    let name = position.map_or_else(|| history[0].1.clone(), |at| t.codes[at as usize].name.to_string());
    let parent = position.and_then(|at| t.parent(at)).map(|at| &t.codes[at as usize]);
    let narrower: Vec<u32> = (0..t.codes.len() as u32)
        .filter(|at| position.is_some() && t.parent(*at) == position)
        .take(200)
        .collect();
    let today = directory.today();
    let rows: Vec<Row> = history
        .iter()
        .map(|(edition, name)| {
            Row::plain(vec![
                html! { (edition.edition) @if edition.covers(today) { " " (badge(Tone::Good, "现行")) } },
                html! { (name) },
                html! { (edition.valid_from) },
                html! { @match edition.valid_to { Some(to) => (to), None => "—" } },
            ])
        })
        .collect();
    let below: Vec<Row> = narrower
        .iter()
        .map(|at| {
            let code = &t.codes[*at as usize];
            Row::to(
                code_href(&t, &code.code),
                vec![html! { (code.code) }, html! { (code.name) (remarks(&t, *at)) }],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[("代码表", "/codes"), (&t.name, &format!("/codes/{}", t.id))], &format!("{code} {name}"), "", html! {}))
        @if position.is_none() {
            (notice(Tone::Warn, "现行版本中没有这个代码", "它只出现在下列历史版本中，新上传的数据请改用现行代码。"))
        }
        (card("基本信息", describe(&[
            fact("代码", code),
            fact("名称", &name),
            ("状态".to_owned(), html! {
                @match position {
                    Some(at) if t.retired.contains_key(&at) => (remarks(&t, at)),
                    Some(_) => "在用",
                    None => "不在现行版本中",
                }
            }),
            fact("别名", &position.map(|at| t.aliases_of(at).collect::<Vec<_>>().join("、")).unwrap_or_default()),
            ("上级代码".to_owned(), html! {
                @match parent { Some(p) => a href=(code_href(&t, &p.code)) { (p.code) " " (p.name) }, None => "—" }
            }),
            fact("拼音首字母", &standards::pinyin::initials(&name)),
        ])))
        @if !below.is_empty() {
            (card_with("下级代码", html! {}, plain_table(&here, &[Column::text("代码"), Column::text("名称")], &below)))
        }
        (card_with("历次版本", html! { a href={ "/codes/" (t.id) "/editions" } { "全部版本" } }, html! {
            @if rows.is_empty() { (empty("没有导入过其他版本", "现行版本随平台提供。", None)) }
            @else { (plain_table(&here, &[Column::text("版本"), Column::text("名称"), Column::text("施行"), Column::text("停用")], &rows)) }
        }))
    };
    Ok(frame.page(&format!("{code} {name}"), body))
}

const HEADS: [&str; 6] = ["代码", "名称", "上级编码", "状态", "替代编码", "别名"];

/// Exported rows can be imported again.
fn exported(t: &CodeTable, found: &[u32]) -> Vec<Vec<String>> {
    let row = |at: &u32| {
        let code = &t.codes[*at as usize];
        let parent = t.parent(*at).map(|p| t.codes[p as usize].code.to_string()).unwrap_or_default();
        let retired = t.retired.get(at);
        vec![
            code.code.to_string(),
            code.name.to_string(),
            parent,
            if retired.is_some() { "停用" } else { "" }.to_owned(),
            retired.map(|r| r.replaced_by.to_string()).unwrap_or_default(),
            t.aliases_of(*at).collect::<Vec<_>>().join("|"),
        ]
    };
    found.iter().map(row).collect()
}

pub(super) async fn export(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<Download> {
    let t = asked_table(&directory, &id, &here).await?;
    let found = matching(&directory, &t, &asked(&here));
    Ok(download::csv(&format!("{}.csv", t.id), &HEADS, exported(&t, &found)))
}

pub(super) async fn export_xlsx(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<SheetDownload> {
    let t = asked_table(&directory, &id, &here).await?;
    let found = matching(&directory, &t, &asked(&here));
    Ok(sheet::xlsx(&format!("{}.xlsx", t.id), "代码", &HEADS, &exported(&t, &found))?)
}

/// A code as forms want it.
#[derive(Serialize)]
pub(super) struct CodeJson {
    code: String,
    name: String,
    /// The other name that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
}

fn shown(t: &CodeTable, hit: &Hit) -> CodeJson {
    let code = &t.codes[hit.position as usize];
    CodeJson {
        code: code.code.to_string(),
        name: code.name.to_string(),
        alias: hit.alias.map(|a| t.aliases[a as usize].1.to_string()),
        retired: t.retired.contains_key(&hit.position),
    }
}

/// `GET /api/v1/codes/{table}?q=`: the first codes that match; the first of the table without a text.
pub(super) async fn json(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<Json<Vec<CodeJson>>> {
    let t = table(&directory, &id)?;
    let text = asked(&here);
    if text.is_empty() {
        let first = (0..t.codes.len().min(SUGGESTIONS) as u32).map(|at| Hit {
            position: at,
            rank: crate::terminology::index::Rank::Code,
            alias: None,
        });
        return Ok(Json(first.map(|hit| shown(&t, &hit)).collect()));
    }
    let hits = directory.search_codes(&t, Query::typed(&text, SUGGESTIONS));
    Ok(Json(hits.iter().map(|hit| shown(&t, hit)).collect()))
}

/// `GET /api/v1/codes/{table}/search?q=&limit=&active=1`: as somebody types. What the asker's institution uses most goes
/// first among equals. To htmx it answers with options.
pub(super) async fn search(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    let t = table(&directory, &id)?;
    let text = asked(&here);
    let limit = here.get("limit").and_then(|l| l.parse().ok()).unwrap_or(SUGGESTIONS).clamp(1, MOST);
    let uses = match frame.caller.as_ref().and_then(|c| c.institution) {
        Some(institution) if t.local_codes => Some(directory.uses_of(institution, &t).await?),
        _ => None,
    };
    let hits = directory.search_codes(
        &t,
        Query {
            uses: uses.as_deref(),
            active_only: here.get("active") == Some("1"),
            ..Query::typed(&text, limit)
        },
    );
    if headers.contains_key("hx-request") {
        let options = html! {
            @for hit in &hits {
                @let code = &t.codes[hit.position as usize];
                li role="option" data-code=(code.code) data-name=(code.name) {
                    b { (code.code) } " " (code.name)
                    @if let Some(alias) = hit.alias { small.mk-muted { " " (t.aliases[alias as usize].1) } }
                    @if t.retired.contains_key(&hit.position) { " " (badge(Tone::Warn, "已停用")) }
                }
            }
            @if hits.is_empty() { li.mk-muted { "没有符合的代码，请换一个名称或拼音首字母" } }
        };
        return Ok(options.into_response());
    }
    let found: Vec<CodeJson> = hits.iter().map(|hit| shown(&t, hit)).collect();
    Ok(Json(serde_json::json!({ "table": t.id, "edition": t.edition, "codes": found })).into_response())
}
