//! Editions of a table: the list, loading one with a dry run, what differs between two.

use std::sync::Arc;

use axum::extract::{Multipart, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use catalog::CodeTable;
use kernel::{Refusal, Result};
use maud::{Markup, html};
use web::download::{self, Download};
use web::ui::{
    Column, Export, Field, Figure, Filter, Here, Kind, List, Paging, Row, Tone, badge, card, card_with,
    empty, field, figures, form_acts, list, notice, page_head, table as plain_table, thousands,
};
use web::{Allowed, Frame, Reply};

use super::codes::table;
use super::{LOAD, PAGE, Sent, may, page_of, time, told};
use crate::Directory;
use crate::terminology::editions::{CodeImport, ImportReport, Sample, difference};
use crate::terminology::reader::{Columns, read_codes};

pub(super) async fn page(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let t = table(&directory, &id)?;
    let editions = directory.editions(&id).await?;
    let today = directory.today();
    let manager = frame.caller.as_ref().is_some_and(|c| may(c, LOAD));
    let current = editions.iter().find(|e| e.covers(today)).map(|e| e.id);
    let validity = format!("/codes/{id}/validity");
    let rows: Vec<Row> = editions
        .iter()
        .map(|e| {
            let against = Here::new(&format!("/codes/{id}/compare"), "")
                .with(&[("from", &e.edition), ("to", &t.edition)])
                .href();
            Row::plain(vec![
                html! { a href=(Here::new(&format!("/codes/{id}"), "").with(&[("edition", &e.edition)]).href()) { (e.edition) }
                    @if Some(e.id) == current { " " (badge(Tone::Good, "现行")) }
                    @else if e.valid_from > today { " " (badge(Tone::Info, "未施行")) } },
                html! { (e.valid_from) },
                html! { @match e.valid_to { Some(to) => (to), None => "—" } },
                html! { (thousands(e.code_count.unsigned_abs().into())) },
                html! { @if e.complete { "完整" } @else { "部分" } },
                html! { (time(e.loaded_at)) br; small.mk-muted { (e.loaded_by) } },
                html! { (e.source) },
                html! {
                    @if e.edition != t.edition { a href=(against) { "与现行版比较" } }
                    @if manager {
                        form.mk-form-line method="post" action=(validity) {
                            input type="hidden" name="edition" value=(e.id);
                            input.form-control type="date" name="from" value=(e.valid_from) required aria-label="施行日期";
                            input.form-control type="date" name="to" value=[e.valid_to] aria-label="停用日期";
                            button.btn type="submit" { "改日期" }
                        }
                    }
                },
            ])
        })
        .collect();
    let back = format!("/codes/{id}");
    let body = html! {
        (page_head(&[("代码表", "/codes"), (&t.name, &back)], "版本", "每个版本从施行日起使用，到停用日或下一版本施行为止；历史版本保留，可按日期查询。", html! {
            @if manager { a.btn.btn-primary href={ "/codes/" (id) "/import" } { "导入新版本" } }
        }))
        (told(&here))
        (card_with("导入过的版本", html! {}, html! {
            @if rows.is_empty() {
                (empty("没有导入过其他版本", "现行版本随平台提供；完整的国家代码表由管理员用发布机构的文件导入。", None))
            } @else {
                (plain_table(&here, &[
                    Column::text("版本"), Column::text("施行"), Column::text("停用"), Column::number("代码数"),
                    Column::text("收录"), Column::text("导入"), Column::text("来源"), Column::text(""),
                ], &rows))
            }
        }))
    };
    Ok(frame.page(&format!("{} 版本", t.name), body))
}

pub(super) async fn validity(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    Path(id): Path<String>,
    body: String,
) -> Reply<Redirect> {
    let form = Here::new("", &body);
    let day = |name: &str| {
        form.get(name)
            .map(|d| d.parse())
            .transpose()
            .map_err(|_| Refusal::invalid("codes.bad_day", "日期应形如 2025-01-01。"))
    };
    let edition = form.get("edition").and_then(|e| e.parse().ok()).unwrap_or(0);
    let Some(from) = day("from")? else {
        return Err(Refusal::invalid("codes.bad_day", "请填写施行日期。").into());
    };
    directory.set_validity(&id, edition, (from, day("to")?), allowed.caller(), directory.now()).await?;
    Ok(Redirect::to(&format!("/codes/{id}/editions?done=validity")))
}

/// Two tables by the labels of their editions; without labels, the one before the current one and the current one.
async fn two(directory: &Directory, id: &str, here: &Here) -> Result<(Arc<CodeTable>, Arc<CodeTable>)> {
    let current = table(directory, id)?;
    let editions = directory.editions(id).await?;
    let before = editions.iter().find(|e| e.edition != current.edition).map(|e| e.edition.clone());
    let unknown =
        || Refusal::not_found("codes.unknown_edition", "没有这个版本。请从版本列表中选择两个版本比较。");
    let earlier = match here.get("from").map(str::to_owned).or(before) {
        Some(label) => directory.table_of_edition(id, &label).await?.ok_or_else(unknown)?,
        None => directory.shipped.get(id).cloned().ok_or_else(unknown)?,
    };
    let later = match here.get("to") {
        Some(label) => directory.table_of_edition(id, label).await?.ok_or_else(unknown)?,
        None => current,
    };
    Ok((earlier, later))
}

const KINDS: [(&str, &str); 3] = [("added", "新增"), ("gone", "停用"), ("renamed", "改名")];

fn lines(earlier: &CodeTable, later: &CodeTable, kind: Option<&str>) -> (Vec<[String; 4]>, [usize; 4]) {
    let difference = difference(earlier, later);
    let sums =
        [difference.added.len(), difference.gone.len(), difference.renamed.len(), difference.unchanged];
    let mut out: Vec<[String; 4]> = Vec::new();
    let word = |kind: usize| KINDS[kind].1.to_owned();
    let wanted = |of: usize| kind.is_none_or(|k| k == KINDS[of].0);
    if wanted(0) {
        out.extend(difference.added.into_iter().map(|(code, name)| [word(0), code, String::new(), name]));
    }
    if wanted(1) {
        out.extend(difference.gone.into_iter().map(|(code, name)| [word(1), code, name, String::new()]));
    }
    if wanted(2) {
        out.extend(difference.renamed.into_iter().map(|(code, old, new)| [word(2), code, old, new]));
    }
    (out, sums)
}

pub(super) async fn compare(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (earlier, later) = two(&directory, &id, &here).await?;
    let (found, [added, gone, renamed, unchanged]) = lines(&earlier, &later, here.get("kind"));
    let (page, total, shown) = page_of(&here, found);
    let figure = |label: &str, count: usize, kind: &str| Figure {
        label: label.to_owned(),
        value: thousands(count as u64),
        href: (!kind.is_empty()).then(|| here.with(&[("kind", kind), ("page", "")]).href()),
        ..Figure::default()
    };
    let kinds: Vec<(String, String)> = KINDS.map(|(k, w)| (k.to_owned(), w.to_owned())).to_vec();
    let rows =
        shown.into_iter().map(|cells| Row::plain(cells.map(|cell| html! { (cell) }).to_vec())).collect();
    let (back, editions) = (format!("/codes/{id}"), format!("/codes/{id}/editions"));
    let export = format!("/codes/{id}/compare.csv");
    let body = html! {
        (page_head(&[("代码表", "/codes"), (&later.name, &back), ("版本", &editions)], "两个版本的变化",
            &format!("{} → {}", earlier.edition, later.edition), html! {}))
        (figures(&[figure("新增", added, "added"), figure("停用", gone, "gone"), figure("改名", renamed, "renamed"), figure("未变", unchanged, "")]))
        (list(&here, &List {
            filters: &[Filter::Choice { name: "kind", label: "变化", options: &kinds }],
            total: Some(total),
            unit: "处变化",
            columns: &[Column::text("变化"), Column::text("代码"), Column::text("原名称"), Column::text("新名称")],
            rows,
            paging: Paging::Numbered { page, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: &export }],
            empty: ("两个版本没有变化", "代码和名称都相同。"),
            empty_action: Some(("版本列表", &editions)),
        }))
    };
    Ok(frame.page("版本比较", body))
}

pub(super) async fn compare_csv(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    here: Here,
) -> Reply<Download> {
    let (earlier, later) = two(&directory, &id, &here).await?;
    let (found, _) = lines(&earlier, &later, here.get("kind"));
    let rows = found.into_iter().map(|cells| cells.to_vec());
    Ok(download::csv(&format!("{id}-changes.csv"), &["变化", "代码", "原名称", "新名称"], rows))
}

/// What stands in the form.
#[derive(Default)]
struct Given {
    edition: String,
    source: String,
    valid_from: String,
    partial: bool,
}

fn import_form(t: &CodeTable, given: &Given, told: &Markup) -> Markup {
    let back = format!("/codes/{}", t.id);
    html! {
        (page_head(&[("代码表", "/codes"), (&t.name, &back)], "导入新版本", "先试运行，看会新增、停用、改名多少代码，再正式导入。", html! {}))
        (told)
        (card("文件", html! {
            form.mk-form method="post" action={ "/codes/" (t.id) "/import" } enctype="multipart/form-data" {
                (field(&Field { name: "edition", label: "版本", value: &given.edition, required: true, hint: "如 国家临床版 2.0；与已有版本同名则替换它", ..Field::default() }))
                (field(&Field { name: "valid_from", label: "施行日期", kind: Kind::Date, value: &given.valid_from, hint: "空着表示今天起；可以填将来的日期，到时自动启用", ..Field::default() }))
                (field(&Field { name: "source", label: "来源", value: &given.source, hint: "发布机构和文号", ..Field::default() }))
                label.mk-check { input type="checkbox" name="partial" value="1" checked[given.partial]; " 只是标准的一部分（其余沿用随平台提供的代码）" }
                (field(&Field { name: "file", label: "文件", kind: Kind::File, required: true, hint: "CSV、TSV 或 XLSX；表头要有编码和名称两列，可有上级编码、状态、替代编码、别名", ..Field::default() }))
                label.mk-check { input type="checkbox" name="dry_run" value="1" checked; " 试运行：只看变化，不写入" }
                (form_acts("开始", Some(&back)))
            }
        }))
    }
}

pub(super) async fn form(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let t = table(&directory, &id)?;
    Ok(frame.page("导入新版本", import_form(&t, &Given::default(), &html! {})))
}

fn sample(title: &str, sample: &Sample) -> Markup {
    html! {
        @if sample.count > 0 {
            details { summary { (title) " " b { (thousands(sample.count as u64)) } }
                ul { @for line in &sample.first { li { (line) } } @if sample.count > sample.first.len() { li.mk-muted { "……" } } } }
        }
    }
}

fn told_of(report: &ImportReport) -> Markup {
    let text = format!(
        "新增 {}，停用 {}，改名 {}，未变 {}，未读入 {} 行。",
        report.added.count,
        report.removed.count,
        report.renamed.count,
        report.unchanged,
        report.problems.count
    );
    html! {
        (notice(Tone::Info, "试运行结果：没有写入", &text))
        (card("变化", html! {
            (sample("新增", &report.added)) (sample("停用", &report.removed)) (sample("改名", &report.renamed))
            (sample("未读入", &report.problems))
        }))
    }
}

pub(super) async fn load(
    State(directory): State<Arc<Directory>>,
    allowed: Allowed,
    Path(id): Path<String>,
    frame: Frame,
    parts: Multipart,
) -> Reply<Response> {
    let t = table(&directory, &id)?;
    let sent = Sent::read(parts).await?;
    let rows = read_codes(&sent.bytes, &Columns::default())?;
    let valid_from = match sent.get("valid_from") {
        "" => None,
        day => {
            Some(day.parse().map_err(|_| Refusal::invalid("codes.bad_day", "施行日期应形如 2025-01-01。"))?)
        }
    };
    let dry_run = sent.get("dry_run") == "1";
    let import = CodeImport {
        table_id: id.clone(),
        edition: sent.get("edition").to_owned(),
        source: Some(sent.get("source")).filter(|s| !s.is_empty()).unwrap_or(&sent.file_name).to_owned(),
        complete: sent.get("partial") != "1",
        rows,
        dry_run,
        loaded_by: allowed.caller().name.clone(),
        valid_from,
        ..CodeImport::default()
    };
    let report = directory.import_codes_by(import, allowed.caller(), directory.now()).await?;
    if !dry_run {
        return Ok(Redirect::to(&format!("/codes/{id}/editions?done=loaded")).into_response());
    }
    let given = Given {
        edition: sent.get("edition").to_owned(),
        source: sent.get("source").to_owned(),
        valid_from: sent.get("valid_from").to_owned(),
        partial: sent.get("partial") == "1",
    };
    Ok(frame.page("导入新版本", import_form(&t, &given, &told_of(&report))).into_response())
}
