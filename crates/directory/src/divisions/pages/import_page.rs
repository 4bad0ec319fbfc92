//! Editions: which there are, beginning the next, importing one from lists with a dry run.

use axum::Form;
use axum::extract::{Multipart, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::error::Doing;
use kernel::{Error, Refusal, RegionCode, Result, Tier};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{
    Column, Field, Figure, Here, Kind, Row, Tone, badge, card, card_with, field, figures, form_acts, notice,
    page_head, table,
};
use web::{Frame, Reply};

use super::super::Divisions;
use super::super::edition::difference_name;
use super::super::import::{ImportReport, List, read};
use super::super::operation::{out_of_reach, tier_name};
use super::{MANAGE, operations, reach};

/// The most bytes of the files together.
const MOST: usize = 64 * 1024 * 1024;
/// Differences shown in the report.
const SHOWN: usize = 200;

fn shell(desk: &Divisions, allowed: &Allowed, inner: Markup) -> Markup {
    let known = desk.directory.regions_now();
    let in_force = known.edition_on(desk.clock.today()).map(|e| e.year);
    let rows: Vec<Row> = known
        .editions
        .iter()
        .rev()
        .map(|e| {
            let state = if Some(e.year) == in_force {
                badge(Tone::Good, "现行")
            } else if e.in_force_from > desk.clock.today() {
                badge(Tone::Info, "待执行")
            } else {
                badge(Tone::Neutral, "历史")
            };
            Row::to(
                format!("/divisions?year={}", e.year),
                vec![html! { (e.year) " 年版" }, state, html! { (e.in_force_from) }, html! { (e.source) }],
            )
        })
        .collect();
    let next = known.newest().map_or(desk.clock.today().format("%Y").to_string(), |y| (y + 1).to_string());
    let first = format!("{next}-01-01");
    let own = allowed.caller().region.at(Tier::City);
    html! {
        (page_head(&[("行政区划", "/divisions")], "版本与导入", "每年一版；某一天使用哪一版，由各版的执行日期决定。", html! {}))
        (inner)
        (card_with("各年版本", html! {}, table(&Here::default(), &[Column::text("版本"), Column::text("状态"), Column::text("执行日期"), Column::text("来源")], &rows)))
        div.mk-columns {
            (card("从清单导入一版", html! {
                form method="post" action="/divisions/import" enctype="multipart/form-data" {
                    (field(&Field { name: "year", label: "年份", kind: Kind::Number, value: &next, required: true, ..Field::default() }))
                    (field(&Field { name: "from", label: "执行日期", kind: Kind::Date, value: &first, ..Field::default() }))
                    (field(&Field { name: "prefix", label: "只导入这个区划之下", value: own.prefix(), required: true, hint: "如 4115（信阳市）；须在您的管辖范围内", ..Field::default() }))
                    div.mk-field {
                        label for="files" { "清单文件" em { " *" } }
                        input.form-control type="file" id="files" name="files" multiple required accept=".csv,.tsv,.txt,.gz";
                        small { "CSV（列名 code/区划代码、name/名称，可有城乡分类代码），或每行“代码<TAB>名称”；可为 gzip；可同时选省、市、县、乡、村几个文件。" }
                    }
                    label.mk-check { input type="checkbox" name="real" value="1"; " 正式导入（不勾选则只试运行、出报告）" }
                    (form_acts("上传", None))
                }
            }))
            (card("沿用上一版建立新的一版", html! {
                form method="post" action="/divisions/editions" {
                    (field(&Field { name: "year", label: "年份", kind: Kind::Number, value: &next, required: true, ..Field::default() }))
                    (field(&Field { name: "from", label: "执行日期", kind: Kind::Date, value: &first, required: true, ..Field::default() }))
                    p.mk-muted { "先沿用全部区划，再在新版上办理调整；到执行之日才启用。" }
                    (form_acts("建立", None))
                }
            }))
        }
    }
}

/// `GET /divisions/import`
pub(super) async fn page(State(desk): State<Divisions>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    Ok(frame.page("版本与导入", shell(&desk, &allowed, html! {})))
}

/// What the form of an import sends.
#[derive(Debug, Default)]
struct Sent {
    year: String,
    from: String,
    prefix: String,
    real: bool,
    files: Vec<Vec<u8>>,
}

async fn receive(mut form: Multipart) -> Result<Sent> {
    let broken = || Refusal::invalid("divisions.upload", "文件没有传完整，请重新选择文件后再上传。");
    let mut sent = Sent::default();
    let mut size = 0;
    while let Some(part) = form.next_field().await.map_err(|_| broken())? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|_| broken())?;
        size += bytes.len();
        if size > MOST {
            return Err(Refusal::invalid(
                "divisions.too_large",
                "文件超过 64 MB。请用 gzip 压缩，或按省、市分次导入。",
            )
            .into());
        }
        let text = || String::from_utf8_lossy(&bytes).trim().to_owned();
        match name.as_str() {
            "year" => sent.year = text(),
            "from" => sent.from = text(),
            "prefix" => sent.prefix = text(),
            "real" => sent.real = true,
            "files" if !bytes.is_empty() => sent.files.push(bytes.to_vec()),
            _ => {}
        }
    }
    Ok(sent)
}

async fn run(desk: &Divisions, allowed: &Allowed, sent: Sent) -> Result<ImportReport> {
    let prefix = RegionCode::parse(&sent.prefix).map_err(|_| {
        Refusal::invalid("divisions.prefix", "“只导入这个区划之下”应为 2、4、6、9 或 12 位区划代码。")
    })?;
    if !reach(allowed)?.covers_region(&prefix) {
        return Err(out_of_reach().into());
    }
    let year =
        sent.year.parse().map_err(|_| Refusal::invalid("divisions.year", "年份应是四位数字，例如 2025。"))?;
    let files = sent.files;
    let list: List =
        tokio::task::spawn_blocking(move || read(&files)).await.doing("read lists of divisions")??;
    desk.import(allowed.caller(), year, sent.from.parse().ok(), list, &prefix, !sent.real).await
}

/// `POST /divisions/import`
pub(super) async fn import(
    State(desk): State<Divisions>,
    allowed: Allowed,
    frame: Frame,
    form: Multipart,
) -> Reply<Response> {
    let sent = receive(form).await?;
    let dry = !sent.real;
    match run(&desk, &allowed, sent).await {
        Ok(found) => {
            Ok(frame.page("导入区划", shell(&desk, &allowed, report(&desk, &found, dry))).into_response())
        }
        Err(Error::Refused(refusal)) => {
            let body = shell(&desk, &allowed, notice(Tone::Bad, "没有导入", &refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page("导入区划", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn report(desk: &Divisions, found: &ImportReport, dry: bool) -> Markup {
    let figure = |label: &str, value: usize| Figure {
        label: label.to_owned(),
        value: value.to_string(),
        ..Figure::default()
    };
    let rows: Vec<Row> = found
        .differences
        .iter()
        .take(SHOWN)
        .map(|d| {
            let cell = |unit: Option<&super::super::plan::Unit>| match unit {
                Some(u) => html! { (u.name) br; small.mk-muted { (u.code) } },
                None => html! { "—" },
            };
            let tier = d.after.as_ref().or(d.before.as_ref()).map_or("", |u| tier_name(&u.code));
            Row::plain(vec![
                html! { (difference_name(d.kind)) },
                html! { (tier) },
                cell(d.before.as_ref()),
                cell(d.after.as_ref()),
            ])
        })
        .collect();
    let base = found.base.map_or("没有更早的版本".to_owned(), |b| format!("与 {b} 年版相比"));
    html! {
        @if dry { (notice(Tone::Info, "试运行完成，没有改动任何数据", "核对下面的报告；无误后重新选择文件，勾选“正式导入”。")) }
        @else { (notice(Tone::Good, &format!("{} 年版已导入", found.year), "")) }
        @if let Some(id) = found.operation {
            div.mk-notice.mk-tone-warn data-notice role="status" { div {
                strong { "有区划变更了代码" }
                p { "机构、居民和账号在审批后随新代码走：" a href={ "/divisions/operations/" (id) } { "查看待审批的换版" } }
            } }
        }
        @if !found.left_behind.is_empty() {
            (notice(Tone::Warn, "有内容的区划在新版中被撤销", "系统没有找到它们的去向，请在新版执行前用“撤销”或“合并”为它们选择接收的区划。"))
            (operations::held_card(desk, &found.left_behind, found.base.unwrap_or(found.year)))
        }
        (figures(&[
            figure("区划", found.found), figure("新增", found.count("added")), figure("撤销", found.count("gone")),
            figure("更名", found.count("renamed")), figure("变更代码", found.count("moved")),
            figure("沿用上一版", found.carried), figure("读不懂的行", found.unread_count),
        ]))
        @if !found.unread.is_empty() {
            (card("读不懂的行", html! { ul { @for (line, why) in &found.unread { li { "第 " (line) " 行：" (why) } } } }))
        }
        (card_with(&format!("差异（{base}）"), html! {},
            table(&Here::default(), &[Column::text("变化"), Column::text("级别"), Column::text("原来"), Column::text("新版")], &rows)))
        @if found.differences.len() > SHOWN { p.mk-muted { "其余 " (found.differences.len() - SHOWN) " 处从略；导入后可在“两年对比”中查看和导出全部。" } }
    }
}

/// What beginning an edition sends.
#[derive(Debug, Deserialize)]
pub(super) struct Begin {
    year: i16,
    from: chrono::NaiveDate,
}

/// `POST /divisions/editions`
pub(super) async fn begin(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Form(sent): Form<Begin>,
) -> Reply<Redirect> {
    // An edition is everybody's: whoever begins it must manage the whole city.
    let reach = allowed.caller().decide(MANAGE, kernel::Purpose::of("registry"))?;
    if !reach.covers_region(&allowed.caller().region.at(Tier::City)) {
        return Err(Refusal::forbidden("divisions.city", "建立新的一版由市级管理员办理。").into());
    }
    desk.begin_edition(allowed.caller(), sent.year, sent.from).await?;
    Ok(Redirect::to("/divisions/import"))
}
