//! Pages of imports: choose a file, look at the dry run, carry it out, undo it.

use axum::extract::{Multipart, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Caller, Refusal, Result};
use maud::{Markup, html};
use sqlx::Row as _;
use store::DbDoing;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    self, Column, Export, Field, Figure, Filter as Choose, Here, Kind, List, Paging, Progress, Row, Tone,
    badge, field, figures, form_acts, list, notice, page_head, progress,
};
use web::{Access, Frame, Reply, Routes};

use super::super::Registries;
use super::super::guard::Guard;
use super::super::pages::{MANAGE, PAGE, reach, time};
use super::{Import, Kept, state_name, texts_of_row};

/// The largest file, in bytes.
const LARGEST: usize = 32 << 20;

pub(in super::super) fn routes(registries: &Registries) -> Routes<()> {
    let manage = Access::Needs(MANAGE);
    Routes::new()
        .get("/registry/imports", manage, page)
        .get("/registry/imports/new", manage, blank)
        .post_stream("/registry/imports", manage, send)
        .get("/registry/imports/{id}", manage, one)
        .get("/registry/imports/{id}/progress", manage, how_far)
        .get("/registry/imports/{id}/repair.csv", manage, repair)
        .post("/registry/imports/{id}/apply", manage, apply)
        .post("/registry/imports/{id}/undo", manage, undo)
        .with_state(registries.clone())
}

/// An import that this caller made, or that a commission of the whole span may look at: others' look like not found.
async fn own(registries: &Registries, caller: &Caller, id: i64) -> Result<Import> {
    let import = registries.import(id).await?;
    let account: Option<i64> = sqlx::query_scalar("select account_id from registry_import where id = $1")
        .bind(id)
        .fetch_one(registries.db.pool())
        .await
        .db("read whose an import is")?;
    if account != caller.account.map(kernel::Id::get) {
        return Err(Refusal::not_found("registry.no_import", "没有这次导入。请从导入列表进入。").into());
    }
    Ok(import)
}

fn state_badge(state: &str) -> Markup {
    let tone = match state {
        "applied" => Tone::Good,
        "failed" => Tone::Bad,
        "undone" => Tone::Neutral,
        _ => Tone::Info,
    };
    badge(tone, state_name(state))
}

async fn page(
    State(registries): State<Registries>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let at: u64 = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).max(1);
    let kind = here.get("kind").unwrap_or("");
    let imports: Vec<Import> = sqlx::query_as(
        "select id, kind, file_name, state, made_by, reason, made_at, applied_at, undone_at, added, changed, same, refused,
            done, note
         from registry_import where account_id is not distinct from $1 and ($2 = '' or kind = $2)
         order by id desc limit $3 offset $4",
    )
    .bind(allowed.caller().account.map(kernel::Id::get))
    .bind(kind)
    .bind(PAGE as i64)
    .bind(((at - 1) * PAGE) as i64)
    .fetch_all(registries.db.pool())
    .await
    .db("read imports")?;
    let total: i64 = sqlx::query_scalar(
        "select count(*) from registry_import where account_id is not distinct from $1 and ($2 = '' or kind = $2)",
    )
    .bind(allowed.caller().account.map(kernel::Id::get))
    .bind(kind)
    .fetch_one(registries.db.pool())
    .await
    .db("count imports")?;
    let name =
        |kind: &str| registries.catalog.register(kind).map_or(kind.to_owned(), |r| r.dataset.name.clone());
    let rows = imports
        .iter()
        .map(|i| {
            Row::to(
                format!("/registry/imports/{}", i.id),
                vec![
                    html! { (i.file_name) },
                    html! { (name(&i.kind)) },
                    html! { (i.added) },
                    html! { (i.changed) },
                    html! { (i.refused) },
                    html! { (time(i.made_at)) },
                    state_badge(&i.state),
                ],
            )
        })
        .collect();
    let kinds: Vec<(String, String)> =
        registries.catalog.registers.iter().map(|r| (r.code().to_owned(), r.dataset.name.clone())).collect();
    let total = total.unsigned_abs();
    let body = html! {
        (page_head(&[("注册管理", "/registry")], "成批导入", "您做过的导入。每次导入先预检，确认后执行，执行后可以整批撤销。",
            html! { a.btn.btn-primary href="/registry/imports/new" { (ui::icon("file-import")) "导入文件" } }))
        (list(&here, &List {
            filters: &[Choose::Choice { name: "kind", label: "类别", options: &kinds }],
            total: Some(total),
            unit: "次导入",
            columns: &[Column::text("文件"), Column::text("类别"), Column::number("新登记"), Column::number("修改"),
                Column::number("不能导入"), Column::text("时间"), Column::text("状态")],
            rows,
            paging: Paging::Numbered { page: at, per_page: PAGE, total },
            exports: &[],
            empty: ("还没有导入过", "下载模板，填写后导入。"),
            empty_action: Some(("导入文件", "/registry/imports/new")),
        }))
    };
    Ok(frame.page("成批导入", body))
}

async fn blank(State(registries): State<Registries>, here: Here, frame: Frame) -> Reply<Markup> {
    let chosen = here.get("kind").unwrap_or("staff");
    let body = html! {
        (page_head(&[("注册管理", "/registry"), ("成批导入", "/registry/imports")], "导入文件",
            "先预检：逐行说明会新登记、修改还是不能导入，不改动任何数据。确认后再执行。", html! {}))
        section.mk-card {
            form.mk-form method="post" action="/registry/imports" enctype="multipart/form-data" {
                div.mk-field { label for="kind" { "类别" }
                    div.mk-field-line { select.form-select #kind name="kind" {
                        @for r in &registries.catalog.registers {
                            option value=(r.code()) selected[r.code() == chosen] { (r.dataset.name) }
                        }
                    } }
                    small { "模板："
                        @for r in &registries.catalog.registers { a href={ (r.path()) "/template.xlsx" } download { (r.dataset.name) } " " }
                    }
                }
                (field(&Field { name: "reason", label: "说明、依据", hint: "例如：2026 年度卫生人员年报", ..Field::default() }))
                (field(&Field { name: "file", label: "文件", kind: Kind::File, required: true,
                    hint: "XLSX，或 UTF-8、GB18030 编码的 CSV；第一行是表头。空单元格不改动原来的内容。代码可以写代码或名称。", ..Field::default() }))
                (form_acts("预检", Some("/registry/imports")))
            }
        }
    };
    Ok(frame.page("导入文件", body))
}

async fn send(
    State(registries): State<Registries>,
    allowed: Allowed,
    mut parts: Multipart,
) -> Reply<Response> {
    let reach = reach(&allowed)?;
    let bad = |_| Refusal::invalid("registry.form", "表单没有传完整，没有保存任何数据。请重新选择文件。");
    let (mut kind, mut reason) = (String::new(), String::new());
    while let Some(mut part) = parts.next_field().await.map_err(bad)? {
        match part.name().unwrap_or_default() {
            "kind" => kind = part.text().await.map_err(bad)?,
            "reason" => reason = part.text().await.map_err(bad)?,
            "file" => {
                let name: String = part.file_name().unwrap_or_default().chars().take(200).collect();
                let mut bytes = Vec::new();
                while let Some(piece) = part.chunk().await.map_err(bad)? {
                    if bytes.len() + piece.len() > LARGEST {
                        return Err(Refusal::new(
                            kernel::RefusalKind::TooLarge,
                            "registry.file_large",
                            "文件超过 32 MB。请拆成几个文件导入。",
                        )
                        .into());
                    }
                    bytes.extend_from_slice(&piece);
                }
                let register = registries.register(&kind)?.clone();
                let id =
                    registries.dry_run(allowed.caller(), &reach, &register, &name, &bytes, &reason).await?;
                return Ok(Redirect::to(&format!("/registry/imports/{id}")).into_response());
            }
            _ => {}
        }
    }
    Err(Refusal::invalid("registry.no_file", "没有选择文件。请选择文件后再预检。").into())
}

fn verdict_badge(verdict: &str, outcome: &str) -> Markup {
    match (verdict, outcome) {
        (_, "lost") => badge(Tone::Bad, "没有写入"),
        (_, "kept") => badge(Tone::Warn, "没有撤销"),
        (_, "undone") => badge(Tone::Neutral, "已撤销"),
        ("add", _) => badge(Tone::Good, "新登记"),
        ("change", _) => badge(Tone::Info, "修改"),
        ("same", _) => badge(Tone::Neutral, "没有变化"),
        _ => badge(Tone::Bad, "不能导入"),
    }
}

fn progress_piece(import: &Import) -> Markup {
    let again = format!("/registry/imports/{}/progress", import.id);
    progress(&Progress {
        title: "正在写入，可以离开本页，结果会留在导入列表里",
        done: u64::from(import.done.unsigned_abs()),
        total: Some(u64::from((import.added + import.changed).unsigned_abs())),
        unit: "行",
        rate: None,
        again: Some(&again),
    })
}

async fn how_far(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Response> {
    let import = own(&registries, allowed.caller(), id).await?;
    if matches!(import.state.as_str(), "applying" | "undoing") {
        return Ok(progress_piece(&import).into_response());
    }
    Ok(([("HX-Refresh", "true")], html! {}).into_response())
}

async fn one(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let import = own(&registries, allowed.caller(), id).await?;
    let register = registries.register(&import.kind)?.clone();
    let at: u64 = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).max(1);
    let verdict = here.get("verdict").unwrap_or("");
    let rows = sqlx::query(
        "select row_no, verdict, label, message, outcome, entry_id, institution_id, count(*) over () as n
         from registry_import_row where import_id = $1
            and ($2 = '' or verdict = $2 or outcome = $2)
         order by row_no limit $3 offset $4",
    )
    .bind(id)
    .bind(verdict)
    .bind(PAGE as i64)
    .bind(((at - 1) * PAGE) as i64)
    .fetch_all(registries.db.pool())
    .await
    .db("read rows of an import")?;
    let total = rows.first().map_or(0, |r| r.get::<i64, _>("n")).unsigned_abs();
    let shown = rows
        .iter()
        .map(|row| {
            let outcome: String = row.get("outcome");
            let verdict: String = row.get("verdict");
            let cells = vec![
                html! { (row.get::<i32, _>("row_no")) },
                html! { (row.get::<String, _>("label")) },
                verdict_badge(&verdict, &outcome),
                html! { (row.get::<String, _>("message")) },
            ];
            let number = match register.code() {
                "institution" => row.get::<Option<i32>, _>("institution_id").map(i64::from),
                _ => row.get::<Option<i64>, _>("entry_id"),
            };
            match number {
                Some(number) if outcome != "undone" => {
                    Row::to(format!("{}/{number}", register.path()), cells)
                }
                _ => Row::plain(cells),
            }
        })
        .collect();
    let figure = |label: &str, n: i32, verdict: &str| Figure {
        label: label.to_owned(),
        value: n.to_string(),
        note: String::new(),
        href: Some(format!("/registry/imports/{id}?verdict={verdict}")),
    };
    let busy = matches!(import.state.as_str(), "applying" | "undoing");
    let repair = format!("/registry/imports/{id}/repair.csv");
    let verdicts: Vec<(String, String)> = [
        ("add", "新登记"),
        ("change", "修改"),
        ("same", "没有变化"),
        ("refused", "不能导入"),
        ("lost", "没有写入"),
        ("kept", "没有撤销"),
    ]
    .map(|(c, n)| (c.to_owned(), n.to_owned()))
    .into();
    let to_do = import.added + import.changed;
    let body = html! {
        (page_head(&[("注册管理", "/registry"), ("成批导入", "/registry/imports")],
            &format!("导入{}：{}", register.dataset.name, import.file_name),
            &format!("{} · {}", import.made_by, time(import.made_at)), html! {
                (state_badge(&import.state)) " "
                @if import.state == "checked" && to_do > 0 {
                    form method="post" action={ "/registry/imports/" (id) "/apply" } {
                        button.btn.btn-primary type="submit" { "执行导入（" (to_do) " 行）" }
                    }
                }
                @if import.state == "applied" {
                    form method="post" action={ "/registry/imports/" (id) "/undo" } data-confirm="撤销整批导入：新登记的撤回，修改的恢复原样。继续吗？" {
                        button.btn type="submit" { (ui::icon("arrow-back-up")) "撤销整批导入" }
                    }
                }
            }))
        @if busy { (progress_piece(&import)) }
        @if import.state == "checked" {
            @if to_do == 0 { (notice(Tone::Warn, "没有可以导入的行", "请下载不能导入的行，按说明修改后重新导入。")) }
            @else { (notice(Tone::Info, "这是预检结果", "还没有改动任何数据。不能导入的行会跳过；可以先下载修改，也可以先执行其余的行。")) }
        }
        @if !import.note.is_empty() { p.mk-muted { (import.note) } }
        (figures(&[
            figure("新登记", import.added, "add"),
            figure("修改", import.changed, "change"),
            figure("没有变化", import.same, "same"),
            figure("不能导入", import.refused, "refused"),
        ]))
        (list(&here, &List {
            filters: &[Choose::Choice { name: "verdict", label: "结果", options: &verdicts }],
            total: Some(total),
            unit: "行",
            columns: &[Column::number("行号"), Column::text("对象"), Column::text("结果"), Column::text("说明")],
            rows: shown,
            paging: Paging::Numbered { page: at, per_page: PAGE, total },
            exports: &[Export { label: "下载不能导入的行", path: &repair }],
            empty: ("没有这样的行", "请选择其他结果查看。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("成批导入", body))
}

/// The rows that were refused, as they came, with the reason: to be mended and sent again.
async fn repair(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Download> {
    let import = own(&registries, allowed.caller(), id).await?;
    let register = registries.register(&import.kind)?.clone();
    let rows = sqlx::query(
        "select row_no, verdict, cells, entry_id, base_version, message from registry_import_row
         where import_id = $1 and (verdict = 'refused' or outcome in ('lost', 'kept')) order by row_no",
    )
    .bind(id)
    .fetch_all(registries.db.pool())
    .await
    .db("read refused rows")?;
    let guard = Guard::new(registries.db.keyring());
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let kept = Kept::of(row).db("read refused rows")?;
        let mut cells = texts_of_row(&register, &guard, &kept.cells)?;
        cells.push(row.get("message"));
        cells.push(kept.number.to_string());
        lines.push(cells);
    }
    let mut heads: Vec<&str> = register.dataset.fields.iter().map(|f| f.title.as_str()).collect();
    heads.extend(["不能导入的原因", "原行号"]);
    Ok(download::csv(&format!("{}-repair.csv", register.code()), &heads, lines))
}

async fn apply(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Response> {
    own(&registries, allowed.caller(), id).await?;
    registries.start(allowed.caller(), id, false).await?;
    Ok(Redirect::to(&format!("/registry/imports/{id}")).into_response())
}

async fn undo(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Response> {
    own(&registries, allowed.caller(), id).await?;
    registries.start(allowed.caller(), id, true).await?;
    Ok(Redirect::to(&format!("/registry/imports/{id}")).into_response())
}
