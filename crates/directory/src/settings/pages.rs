//! Pages of the configuration: the settings, one setting with its history, all changes, import, start options, caches.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use catalog::{Setting, SettingKind, SettingValue};
use kernel::{Error, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use store::settings::SettingChange;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    Column, Export, Field, Filter, Here, Kind, List, Paging, Row, Tab, Tone, badge, card, card_with,
    describe, fact, field, filter_form, icon, list, notice, page_head, select_field, table, tabs, thousands,
};
use web::{Access, Frame, Reply, Routes};

use super::{Configuration, MANAGE, READ, file, parse, shown, with_unit};

const WAY: &[(&str, &str)] = &[("系统设置", "/settings")];
/// Changes on a page, and in a download.
const PAGE: usize = 50;
const MOST: i64 = 10_000;

/// The routes of the configuration.
pub fn routes(configuration: Configuration) -> Routes<()> {
    Routes::new()
        .get("/settings", Access::Needs(READ), overview)
        .get("/settings/changes", Access::Needs(READ), changes)
        .get("/settings/changes.csv", Access::Needs(READ), changes_csv)
        .get("/settings/start", Access::Needs(READ), start)
        .get("/settings/caches", Access::Needs(READ), caches)
        .post("/settings/caches/clear", Access::Needs(MANAGE), clear)
        .get("/settings/file", Access::Needs(MANAGE), file_page)
        .post("/settings/file", Access::Fresh(MANAGE), import)
        .get("/settings/settings.toml", Access::Needs(MANAGE), export)
        .get("/settings/{code}", Access::Needs(READ), one)
        .post("/settings/{code}", Access::Fresh(MANAGE), change)
        .with_state(configuration)
}

fn parts(path: &str) -> Markup {
    let tab = |title: &str, href: &str| Tab {
        title: title.to_owned(),
        href: href.to_owned(),
        count: None,
        current: path == href,
    };
    tabs(&[
        tab("设置项", "/settings"),
        tab("变更记录", "/settings/changes"),
        tab("导入导出", "/settings/file"),
        tab("启动参数", "/settings/start"),
        tab("缓存", "/settings/caches"),
    ])
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

fn find<'a>(desk: &'a Configuration, code: &str) -> Result<&'a Setting> {
    desk.options
        .definitions()
        .iter()
        .find(|s| s.code == code)
        .ok_or_else(|| Refusal::not_found("setting.none", "没有这个设置项。请从“系统设置”进入。").into())
}

fn limits(setting: &Setting) -> String {
    match &setting.kind {
        SettingKind::Flag => "是或否".to_owned(),
        SettingKind::Whole { min, max } => format!("{min} 到 {max}"),
        SettingKind::Text { max } => format!("不超过 {max} 个字"),
        SettingKind::Choice(words) => {
            words.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("、")
        }
    }
}

/// `GET /settings`
async fn overview(State(desk): State<Configuration>, here: Here, frame: Frame) -> Reply<Markup> {
    let text = here.get("q").unwrap_or_default().trim().to_lowercase();
    let only = here.get("state").unwrap_or_default();
    let mut groups: Vec<&str> = desk.options.definitions().iter().map(|s| s.group.as_str()).collect();
    groups.dedup();
    let latest = desk.options.history(&desk.db, None, MOST).await?;
    let wanted = |s: &&Setting| {
        (text.is_empty()
            || [&s.title, &s.description, &s.code].iter().any(|t| t.to_lowercase().contains(&text))
            || standards::pinyin::initials(&s.title).contains(&text))
            && (only != "set" || desk.options.is_set(&s.code))
            && here.get("group").is_none_or(|g| g == s.group)
    };
    let found: Vec<&Setting> = desk.options.definitions().iter().filter(wanted).collect();
    let states = [("set".to_owned(), "已修改的".to_owned())];
    let choices: Vec<(String, String)> = groups.iter().map(|g| ((*g).to_owned(), (*g).to_owned())).collect();
    let rows = |group: &str| -> Vec<Row> {
        found
            .iter()
            .filter(|s| s.group == group)
            .map(|s| {
                let value = desk.options.value(&s.code).unwrap_or_else(|| s.default.clone());
                let set = desk.options.is_set(&s.code);
                let last = latest.iter().find(|c| c.code == s.code);
                Row::to(
                    format!("/settings/{}", s.code),
                    vec![
                        html! { (s.title) br; small.mk-muted { (s.code) } },
                        html! {
                            span.mk-setting-changed[set] { (with_unit(s, &value)) }
                            @if set { br; small.mk-muted { "默认 " (with_unit(s, &s.default)) } }
                            @if s.restart { " " (badge(Tone::Info, "重启后生效")) }
                        },
                        html! { (s.description) @if !s.source.is_empty() { br; small.mk-muted { "依据：" (s.source) } } },
                        html! { @if let Some(c) = last { (c.by) br; small.mk-muted { (time(c.at)) } } @else { span.mk-muted { "未改过" } } },
                    ],
                )
            })
            .collect()
    };
    let columns =
        [Column::text("设置项"), Column::text("现在的值"), Column::text("说明"), Column::text("最近修改")];
    let body = html! {
        (page_head(&[], "系统设置", "各部分的设置都在这里；修改后立即在所有进程生效，并记入变更记录和审计日志。", html! {}))
        (parts("/settings"))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Text { name: "q", label: "查找", hint: "名称、说明、拼音首字母或代码" },
                Filter::Choice { name: "group", label: "部分", options: &choices },
                Filter::Choice { name: "state", label: "范围", options: &states },
            ]))
            div.mk-list-bar { span { "共 " b { (found.len()) } " 项，已修改 " b { (found.iter().filter(|s| desk.options.is_set(&s.code)).count()) } " 项" } }
            @if found.is_empty() { (web::ui::empty("没有符合条件的设置项", "请换一个词或清除条件。", Some(("全部设置", "/settings")))) }
        }
        @for group in &groups {
            @let rows = rows(group);
            @if !rows.is_empty() { (card_with(group, html! { small { (rows.len()) " 项" } }, table(&Here::default(), &columns, &rows))) }
        }
    };
    Ok(frame.page("系统设置", body))
}

fn control(setting: &Setting, value: &SettingValue) -> Markup {
    let hint = limits(setting);
    let text = match value {
        SettingValue::Flag(on) => on.to_string(),
        SettingValue::Whole(n) => n.to_string(),
        SettingValue::Text(text) => text.clone(),
    };
    let base = Field {
        name: "value",
        label: "值",
        value: &text,
        required: !matches!(setting.kind, SettingKind::Text { .. }),
        hint: &hint,
        unit: &setting.unit,
        focus: true,
        ..Field::default()
    };
    match &setting.kind {
        SettingKind::Flag => select_field(
            &base,
            &[("true".to_owned(), "是".to_owned()), ("false".to_owned(), "否".to_owned())],
        ),
        SettingKind::Choice(words) => select_field(&base, words),
        SettingKind::Whole { .. } => field(&Field { kind: Kind::Number, ..base }),
        SettingKind::Text { .. } => field(&base),
    }
}

fn change_row(
    setting: Option<&Setting>,
    change: &SettingChange,
    before: Option<&SettingChange>,
) -> Vec<Markup> {
    let word = |value: Option<&SettingValue>| match (setting, value) {
        (Some(s), Some(value)) => with_unit(s, value),
        (Some(s), None) => format!("默认（{}）", with_unit(s, &s.default)),
        (None, Some(value)) => serde_json::to_string(value).unwrap_or_default(),
        (None, None) => "默认".to_owned(),
    };
    vec![
        html! { (time(change.at)) },
        html! { (word(before.and_then(|b| b.value.as_ref()))) },
        html! { b { (word(change.value.as_ref())) } },
        html! { (change.reason) },
        html! { (change.by) },
    ]
}

async fn detail(desk: &Configuration, code: &str, may: bool, problem: Option<&str>) -> Result<Markup> {
    let setting = find(desk, code)?;
    let value = desk.options.value(code).unwrap_or_else(|| setting.default.clone());
    let history = desk.options.history(&desk.db, Some(code), MOST).await?;
    let set = desk.options.is_set(code);
    let rows: Vec<Row> = history
        .iter()
        .enumerate()
        .map(|(at, change)| Row::plain(change_row(Some(setting), change, history.get(at + 1))))
        .collect();
    let columns = [
        Column::text("时间"),
        Column::text("原来"),
        Column::text("改为"),
        Column::text("原因"),
        Column::text("修改人"),
    ];
    Ok(html! {
        (page_head(WAY, &setting.title, &setting.description, html! { @if set { (badge(Tone::Info, "已修改")) } }))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有修改", problem)) }
        @if setting.restart { (notice(Tone::Info, "重启后生效", "修改会保存下来，平台下次启动时采用。")) }
        div.mk-columns {
            (card("设置项", describe(&[
                fact("代码", &setting.code),
                fact("部分", &setting.group),
                fact("现在的值", &with_unit(setting, &value)),
                fact("默认值", &with_unit(setting, &setting.default)),
                fact("可以是", &limits(setting)),
                fact("依据", &setting.source),
            ])))
            @if may {
                (card("修改", html! {
                    form method="post" action={ "/settings/" (setting.code) } {
                        (control(setting, &value))
                        (field(&Field { name: "reason", label: "原因", required: true, hint: "会记入变更记录", ..Field::default() }))
                        div.mk-form-acts {
                            button.btn.btn-primary type="submit" name="act" value="set" { "保存" }
                            @if set { button.btn type="submit" name="act" value="default" formnovalidate { "恢复默认值" } }
                            @if !history.is_empty() { button.btn type="submit" name="act" value="undo" formnovalidate { (icon("arrow-back-up")) "撤销最近一次修改" } }
                        }
                    }
                }))
            }
        }
        (card_with("变更记录", html! {}, if rows.is_empty() {
            web::ui::empty("还没有改过", "现在用的是默认值。", None)
        } else {
            table(&Here::default(), &columns, &rows)
        }))
    })
}

/// `GET /settings/{code}`
async fn one(
    State(desk): State<Configuration>,
    allowed: Allowed,
    Path(code): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let body = detail(&desk, &code, allowed.caller().may(MANAGE), None).await?;
    Ok(frame.page("系统设置", body))
}

/// What changing a setting sends.
#[derive(Debug, Default, Deserialize)]
struct Sent {
    #[serde(default)]
    act: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    reason: String,
}

async fn apply(desk: &Configuration, allowed: &Allowed, code: &str, sent: &Sent) -> Result<()> {
    let setting = find(desk, code)?;
    let mut reason = sent.reason.trim().to_owned();
    let value = match sent.act.as_str() {
        "default" => None,
        "undo" => {
            let history = desk.options.history(&desk.db, Some(code), 2).await?;
            let Some(last) = history.first() else {
                return Err(Refusal::invalid("setting.no_change", "没有可以撤销的修改。").into());
            };
            if reason.is_empty() {
                reason = format!("撤销 {} 的修改", time(last.at));
            }
            history.get(1).and_then(|before| before.value.clone())
        }
        _ => Some(parse(setting, &sent.value)?),
    };
    if reason.is_empty() {
        return Err(Refusal::invalid("setting.reason", "请写明修改的原因。").into());
    }
    desk.options.set(&desk.db, allowed.caller(), desk.clock.now(), code, value, &reason).await
}

/// `POST /settings/{code}`
async fn change(
    State(desk): State<Configuration>,
    allowed: Allowed,
    Path(code): Path<String>,
    frame: Frame,
    Form(sent): Form<Sent>,
) -> Reply<Response> {
    match apply(&desk, &allowed, &code, &sent).await {
        Ok(()) => Ok(Redirect::to(&format!("/settings/{code}")).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = detail(&desk, &code, true, Some(&refusal.message)).await?;
            Ok((web::failure::status(refusal.kind), frame.page("系统设置", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Every change with the one before it of the same setting.
fn paired(history: &[SettingChange]) -> Vec<(&SettingChange, Option<&SettingChange>)> {
    history
        .iter()
        .enumerate()
        .map(|(at, change)| (change, history[at + 1..].iter().find(|c| c.code == change.code)))
        .collect()
}

/// `GET /settings/changes`
async fn changes(State(desk): State<Configuration>, here: Here, frame: Frame) -> Reply<Markup> {
    let history = desk.options.history(&desk.db, None, MOST).await?;
    let text = here.get("q").unwrap_or_default().trim();
    let title = |code: &str| desk.options.definitions().iter().find(|s| s.code == code);
    let found: Vec<_> = paired(&history)
        .into_iter()
        .filter(|(c, _)| {
            text.is_empty()
                || c.by.contains(text)
                || c.code.contains(text)
                || c.reason.contains(text)
                || title(&c.code).is_some_and(|s| s.title.contains(text))
        })
        .collect();
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1usize).max(1);
    let total = found.len() as u64;
    let rows = found
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .map(|(change, before)| {
            let setting = title(&change.code);
            let mut cells = change_row(setting, change, *before);
            cells.insert(1, html! { (setting.map_or(change.code.as_str(), |s| s.title.as_str())) });
            Row { href: setting.map(|s| format!("/settings/{}", s.code)), mark: "", cells }
        })
        .collect();
    let body = html! {
        (page_head(WAY, "变更记录", "谁、何时、因何、把什么改成了什么。", html! {}))
        (parts("/settings/changes"))
        (list(&here, &List {
            filters: &[Filter::Text { name: "q", label: "查找", hint: "设置项、修改人或原因" }],
            total: Some(total),
            unit: "次修改",
            columns: &[
                Column::text("时间"),
                Column::text("设置项"),
                Column::text("原来"),
                Column::text("改为"),
                Column::text("原因"),
                Column::text("修改人"),
            ],
            rows,
            paging: Paging::Numbered { page: page as u64, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/settings/changes.csv" }],
            empty: ("还没有修改过设置", "所有设置都是默认值。"),
            empty_action: Some(("查看设置项", "/settings")),
        }))
    };
    Ok(frame.page("变更记录", body))
}

/// `GET /settings/changes.csv`
async fn changes_csv(State(desk): State<Configuration>) -> Reply<Download> {
    let history = desk.options.history(&desk.db, None, MOST).await?;
    let text = |code: &str, value: Option<&SettingValue>| {
        let setting = desk.options.definitions().iter().find(|s| s.code == code);
        match (setting, value) {
            (Some(s), Some(value)) => shown(s, value),
            _ => "默认".to_owned(),
        }
    };
    let rows: Vec<Vec<String>> = paired(&history)
        .into_iter()
        .map(|(c, before)| {
            vec![
                time(c.at),
                c.code.clone(),
                text(&c.code, before.and_then(|b| b.value.as_ref())),
                text(&c.code, c.value.as_ref()),
                c.reason.clone(),
                c.by.clone(),
            ]
        })
        .collect();
    Ok(download::csv("setting-changes.csv", &["时间", "设置项", "原来", "改为", "原因", "修改人"], rows))
}

/// `GET /settings/start`
async fn start(State(desk): State<Configuration>, frame: Frame) -> Reply<Markup> {
    let rows: Vec<Row> = desk
        .start
        .iter()
        .map(|s| Row::plain(vec![html! { (s.title) }, html! { (s.value) }, html! { code { (s.option) } }]))
        .collect();
    let body = html! {
        (page_head(WAY, "启动参数", "平台启动时由命令行或环境变量给出，只能查看；修改后重新启动平台。", html! {}))
        (parts("/settings/start"))
        (card_with("启动参数", html! {}, table(&Here::default(), &[Column::text("参数"), Column::text("现在的值"), Column::text("在哪里设置")], &rows)))
    };
    Ok(frame.page("启动参数", body))
}

/// `GET /settings/caches`
async fn caches(State(desk): State<Configuration>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let may = allowed.caller().may(MANAGE);
    let number = |n: u64| html! { (thousands(n)) };
    let rows: Vec<Row> = desk
        .caches
        .facts()
        .into_iter()
        .map(|f| {
            let share = (f.hits + f.misses > 0).then(|| f.hits as f64 * 100.0 / (f.hits + f.misses) as f64);
            Row::plain(vec![
                html! { (f.title) br; small.mk-muted { (f.name) " · " (f.about) } },
                number(f.entries),
                number(f.hits),
                number(f.misses),
                html! { @match share { Some(share) => { (format!("{share:.1}%")) }, None => span.mk-muted { "—" } } },
                html! { @match f.lives { Some(lives) => { (lives.num_seconds()) " 秒" }, None => "到有变化为止" } },
                html! { @match f.loaded_at { Some(at) => { (time(at)) }, None => span.mk-muted { "—" } } },
                html! {
                    @if may {
                        form method="post" action="/settings/caches/clear" {
                            input type="hidden" name="name" value=(f.name);
                            button.btn type="submit" { "清空" }
                        }
                    }
                },
            ])
        })
        .collect();
    let columns = [
        Column::text("缓存"),
        Column::number("条目"),
        Column::number("命中"),
        Column::number("未命中"),
        Column::number("命中率"),
        Column::text("有效期"),
        Column::text("最近读入"),
        Column::text(""),
    ];
    let body = html! {
        (page_head(WAY, "缓存", "为了快而记在内存里的内容；数据变化时所有进程自动更新。数字是回答本页的这个进程自启动以来的。", html! {}))
        (parts("/settings/caches"))
        (card_with("缓存", html! {}, table(&Here::default(), &columns, &rows)))
    };
    Ok(frame.page("缓存", body))
}

/// Which cache is cleared.
#[derive(Debug, Deserialize)]
struct Clear {
    name: String,
}

/// `POST /settings/caches/clear`: in every process.
async fn clear(State(desk): State<Configuration>, Form(sent): Form<Clear>) -> Reply<Redirect> {
    desk.caches.clear(&desk.db, &sent.name).await?;
    Ok(Redirect::to("/settings/caches"))
}

fn file_body(problem: Option<&str>, text: &str, proposed: Option<Markup>) -> Markup {
    html! {
        (page_head(WAY, "导入导出", "把设置带到另一套平台，或留一份底。", html! {
            a.btn href="/settings/settings.toml" download { (icon("download")) "导出 TOML" }
        }))
        (parts("/settings/file"))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有导入", problem)) }
        @if let Some(proposed) = proposed { (proposed) }
        (card("导入", html! {
            form method="post" action="/settings/file" {
                (field(&Field { name: "text", label: "TOML 内容", kind: Kind::Long, value: text, required: true, hint: "如 [sign_in] 换行 idle_minutes = 20；没有写的设置不变", ..Field::default() }))
                (field(&Field { name: "reason", label: "原因", required: true, ..Field::default() }))
                div.mk-form-acts {
                    button.btn.btn-primary type="submit" name="act" value="try" { "试运行" }
                    button.btn type="submit" name="act" value="apply" { "正式导入" }
                }
            }
        }))
    }
}

/// `GET /settings/file`
async fn file_page(frame: Frame) -> Reply<Markup> {
    Ok(frame.page("导入导出", file_body(None, "", None)))
}

/// What an import sends.
#[derive(Debug, Deserialize)]
struct Import {
    text: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    act: String,
}

/// `POST /settings/file`
async fn import(
    State(desk): State<Configuration>,
    allowed: Allowed,
    frame: Frame,
    Form(sent): Form<Import>,
) -> Reply<Response> {
    let proposed = match file::read(&desk.options, &sent.text) {
        Ok(proposed) => proposed,
        Err(Error::Refused(refusal)) => {
            let body = file_body(Some(&refusal.message), &sent.text, None);
            return Ok((web::failure::status(refusal.kind), frame.page("导入导出", body)).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    if sent.act == "apply" {
        if sent.reason.trim().is_empty() {
            return Err(Refusal::invalid("setting.reason", "请写明导入的原因。").into());
        }
        for one in &proposed {
            desk.options
                .set(
                    &desk.db,
                    allowed.caller(),
                    desk.clock.now(),
                    &one.code,
                    Some(one.value.clone()),
                    sent.reason.trim(),
                )
                .await?;
        }
        return Ok(Redirect::to("/settings/changes").into_response());
    }
    let rows: Vec<Row> = proposed
        .iter()
        .filter_map(|one| {
            let setting = find(&desk, &one.code).ok()?;
            let now = desk.options.value(&one.code).unwrap_or_else(|| setting.default.clone());
            Some(Row::plain(vec![
                html! { (setting.title) br; small.mk-muted { (setting.code) } },
                html! { (with_unit(setting, &now)) },
                html! { b { (with_unit(setting, &one.value)) } },
            ]))
        })
        .collect();
    let shown = card_with(
        &format!("试运行：会改动 {} 项，还没有改动任何设置", rows.len()),
        html! {},
        if rows.is_empty() {
            web::ui::empty("与现在的设置相同", "没有需要改动的设置。", None)
        } else {
            table(
                &Here::default(),
                &[Column::text("设置项"), Column::text("现在"), Column::text("改为")],
                &rows,
            )
        },
    );
    Ok(frame.page("导入导出", file_body(None, &sent.text, Some(shown))).into_response())
}

/// `GET /settings/settings.toml`
async fn export(State(desk): State<Configuration>) -> Response {
    let headers = [
        (axum::http::header::CONTENT_TYPE, "application/toml; charset=utf-8"),
        (axum::http::header::CONTENT_DISPOSITION, "attachment; filename=\"settings.toml\""),
        (axum::http::header::CACHE_CONTROL, "no-store"),
    ];
    (headers, file::export(&desk.options)).into_response()
}
