//! Requests: the list of what waits, one request with its steps, and a member of staff's own registration.

use std::collections::HashMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Caller, Purpose, Reach, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::Row as _;
use store::DbDoing;
use web::route::Allowed;
use web::ui::{
    self, Column, Field, Filter as Choose, Here, Kind, List, Paging, Row, Tone, badge, card, describe, fact,
    field, form_acts, list, notice, page_head,
};
use web::{Access, Frame, Reply, Routes};

use super::super::Registries;
use super::super::examine::{Finding, Texts};
use super::super::model::{Entry, change_name};
use super::super::pages::{APPROVE, PAGE, READ, detail, differences_table, form, reach, time};
use super::{Request, Verdict, stage_name};

pub(in super::super) fn routes(registries: &Registries) -> Routes<()> {
    let own = Access::SignedIn("一个人的登记和申请只给本人和有权审核的人看，由处理函数判断");
    Routes::new()
        .get("/registry/requests", Access::Needs(READ), page)
        .get("/registry/requests/{id}", own, one)
        .post("/registry/requests/{id}/decide", Access::Needs(APPROVE), decide)
        .post("/registry/requests/{id}/withdraw", own, withdraw)
        .get("/my", own, web::section)
        .get("/my/registration", own, mine)
        .post("/my/registration", own, ask)
        .with_state(registries.clone())
}

fn stage_badge(stage: &str) -> Markup {
    let tone = match stage {
        "approved" => Tone::Good,
        "returned" => Tone::Warn,
        "withdrawn" => Tone::Neutral,
        _ => Tone::Info,
    };
    badge(tone, stage_name(stage))
}

async fn page(
    State(registries): State<Registries>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let scope = reach(&allowed)?.scope();
    let prefixes: Vec<String> = scope.region_prefixes.iter().map(|p| format!("{p}%")).collect();
    let institutions: Vec<i32> = scope.institutions.iter().map(|i| *i as i32).collect();
    let stage = match here.get("stage") {
        Some("all") => "",
        Some(stage) => stage,
        None => "open",
    };
    let at: u64 = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).max(1);
    let rows = sqlx::query(
        "select r.id, r.kind, r.entry_id, r.institution_id, r.parent_id, r.name, r.content, r.guarded, r.changed, r.stage,
            r.reason, r.asked_by, r.account_id, r.asked_at, count(*) over () as n
         from registry_request r join institution i on i.id = r.institution_id
         where (i.region like any($1) or r.institution_id = any($2))
            and ($3 = '' or r.stage = $3 or ($3 = 'open' and r.stage in ('unit', 'commission')))
            and ($4 = '' or r.kind = $4) and ($5 = '' or strpos(r.name, $5) > 0 or strpos(r.asked_by, $5) > 0)
         order by r.id desc limit $6 offset $7",
    )
    .bind(prefixes)
    .bind(institutions)
    .bind(stage)
    .bind(here.get("kind").unwrap_or(""))
    .bind(here.get("q").unwrap_or("").trim())
    .bind(PAGE as i64)
    .bind(((at - 1) * PAGE) as i64)
    .fetch_all(registries.db.pool())
    .await
    .db("read requests")?;
    let total = rows.first().map_or(0, |r| r.get::<i64, _>("n")).unsigned_abs();
    let requests: Vec<Request> =
        rows.iter().map(Request::of).collect::<Result<_, _>>().db("read requests")?;
    let kinds: Vec<(String, String)> =
        registries.catalog.registers.iter().map(|r| (r.code().to_owned(), r.dataset.name.clone())).collect();
    let stages: Vec<(String, String)> = [
        ("open", "待审核"),
        ("unit", "待单位审核"),
        ("commission", "待主管部门审核"),
        ("approved", "已通过"),
        ("returned", "已退回"),
        ("withdrawn", "已撤回"),
        ("all", "全部"),
    ]
    .map(|(c, n)| (c.to_owned(), n.to_owned()))
    .into();
    let shown = requests.iter().map(|r| row(&registries, r)).collect();
    let body = html! {
        (page_head(&[("注册管理", "/registry")], "变更申请", "机构和人员提出的登记变更。审核通过后自动写入登记，并留有版本。", html! {}))
        (list(&here, &List {
            filters: &[
                Choose::Text { name: "q", label: "查询", hint: "对象或申请人" },
                Choose::Pick { name: "stage", label: "状态", options: &stages },
                Choose::Choice { name: "kind", label: "类别", options: &kinds },
            ],
            total: Some(total),
            unit: "份申请",
            columns: &COLUMNS,
            rows: shown,
            paging: Paging::Numbered { page: at, per_page: PAGE, total },
            exports: &[],
            empty: ("没有待审核的申请", "机构或人员提出变更申请后，会出现在这里。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("变更申请", body))
}

const COLUMNS: [Column; 7] = [
    Column::text("对象"),
    Column::text("类别"),
    Column::text("机构"),
    Column::text("改动"),
    Column::text("申请人"),
    Column::text("申请时间"),
    Column::text("状态"),
];

fn row(registries: &Registries, r: &Request) -> Row {
    let register = registries.catalog.register(&r.kind);
    let titles: Vec<&str> = r
        .changed
        .iter()
        .filter_map(|name| register.and_then(|g| g.field(name).map(|at| g.dataset.fields[at].title.as_str())))
        .take(4)
        .collect();
    let more = if r.changed.len() > 4 { format!(" 等 {} 项", r.changed.len()) } else { String::new() };
    Row::to(
        format!("/registry/requests/{}", r.id),
        vec![
            html! { (r.name) },
            html! { (register.map_or(r.kind.as_str(), |g| g.dataset.name.as_str())) },
            html! { (registries.institution_name(r.institution)) },
            html! { @if r.entry.is_none() { "新登记" } @else { (titles.join("、")) (more) } },
            html! { (r.asked_by) },
            html! { (time(r.asked_at)) },
            stage_badge(&r.stage),
        ],
    )
}

fn caller(frame: &Frame) -> Result<&Caller, Refusal> {
    frame
        .caller
        .as_deref()
        .ok_or_else(|| Refusal::new(kernel::RefusalKind::Unauthenticated, "access.sign_in", "请先登录。"))
}

async fn one(State(registries): State<Registries>, Path(id): Path<i64>, frame: Frame) -> Reply<Markup> {
    let request = registries.request(id).await?;
    let caller = caller(&frame)?;
    let own = request.account.is_some() && request.account == caller.account.map(kernel::Id::get);
    let sees = caller
        .decide(READ, Purpose::of("registry"))
        .is_ok_and(|reach| registries.covers(&reach, request.institution));
    if !own && !sees {
        return Err(super::unknown().into());
    }
    let decides = caller
        .decide(APPROVE, Purpose::of("registry"))
        .is_ok_and(|reach| registries.may_decide(caller, &reach, &request));
    let register = registries.register(&request.kind)?.clone();
    let before = match request.entry {
        Some(entry) => registries.by_ids(&[entry]).await?.pop(),
        None => None,
    };
    let all = registries.request_differences(&register, &request, before.as_ref())?;
    let steps: Vec<(String, String, chrono::DateTime<chrono::Utc>, String)> = sqlx::query_as(
        "select act, by_name, at, note from registry_request_step where request_id = $1 order by id",
    )
    .bind(id)
    .fetch_all(registries.db.pool())
    .await
    .db("read the steps of a request")?;
    let facts = [
        fact("类别", &register.dataset.name),
        fact("机构", &registries.institution_name(request.institution)),
        fact("申请人", &request.asked_by),
        fact("申请时间", &time(request.asked_at)),
        fact("原因", &request.reason),
        ("状态".to_owned(), stage_badge(&request.stage)),
    ];
    let body = html! {
        (page_head(&[("注册管理", "/registry"), ("变更申请", "/registry/requests")], &format!("申请 {id}：{}", request.name),
            if request.entry.is_none() { "申请新登记一个条目。" } else { "申请修改登记内容。" },
            html! {
                @if own && request.is_open() {
                    form method="post" action={ "/registry/requests/" (id) "/withdraw" } data-confirm="确定撤回这份申请吗？" {
                        button.btn type="submit" { "撤回申请" }
                    }
                }
            }))
        (card("申请", describe(&facts)))
        (card("改动", differences_table(&all)))
        (card("办理过程", html! {
            ol.mk-steps {
                @for (act, by, at, note) in &steps {
                    li.mk-done { (ui::icon("circle-check")) (step_name(act)) small.mk-muted { (by) " · " (time(*at)) @if !note.is_empty() { " · " (note) } } }
                }
                @if request.is_open() { li.mk-now aria-current="step" { (ui::icon("progress-check")) (stage_name(&request.stage)) } }
            }
        }))
        @if decides {
            (card("审核", html! {
                form method="post" action={ "/registry/requests/" (id) "/decide" } {
                    (field(&Field { name: "note", label: "意见", kind: Kind::Long, hint: "退回时必须写明原因。", ..Field::default() }))
                    div.mk-form-acts {
                        button.btn.btn-primary type="submit" name="verdict" value="approve" { "通过" }
                        button.btn type="submit" name="verdict" value="return" { "退回" }
                    }
                }
            }))
        }
    };
    Ok(frame.page("变更申请", body))
}

fn step_name(act: &str) -> &str {
    match act {
        "asked" => "提出申请",
        "passed" => "单位审核通过",
        "approved" => "审核通过",
        "returned" => "退回",
        "withdrawn" => "撤回",
        other => change_name(other),
    }
}

#[derive(Debug, Deserialize)]
struct DecideForm {
    verdict: String,
    #[serde(default)]
    note: String,
}

async fn decide(
    State(registries): State<Registries>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(form): Form<DecideForm>,
) -> Reply<Response> {
    let verdict = if form.verdict == "approve" { Verdict::Approve } else { Verdict::Return };
    registries.decide(allowed.caller(), &reach(&allowed)?, id, verdict, &form.note).await?;
    Ok(Redirect::to(&format!("/registry/requests/{id}")).into_response())
}

async fn withdraw(
    State(registries): State<Registries>,
    Path(id): Path<i64>,
    frame: Frame,
) -> Reply<Response> {
    registries.withdraw(caller(&frame)?, id).await?;
    Ok(Redirect::to(&format!("/registry/requests/{id}")).into_response())
}

/// The member of staff behind the caller.
async fn own_entry(registries: &Registries, caller: &Caller) -> Result<Entry> {
    let entry = match caller.staff {
        Some(staff) => registries.by_ids(&[staff.get()]).await?.pop().filter(|e| e.kind == "staff"),
        None => None,
    };
    Ok(entry.ok_or_else(|| {
        Refusal::not_found(
            "registry.not_staff",
            "您的账号还没有对应到登记的卫生人员。请联系本单位管理员，在“卫生人员”中登记并关联账号。",
        )
    })?)
}

fn sheet(
    registries: &Registries,
    entry: &Entry,
    texts: &Texts,
    findings: &[Finding],
    reason: &str,
) -> Result<Markup> {
    let register = registries.register("staff")?;
    Ok(html! {
        @if !findings.is_empty() {
            (notice(Tone::Bad, "还没有提交", &format!("有 {} 处需要修改，说明在各项下方。", findings.len())))
        }
        section.mk-card {
            form.mk-form method="post" action="/my/registration" {
                input type="hidden" name="_version" value=(entry.version);
                (form::fields(registries, register, texts, findings, Some(&register.own)))
                (field(&Field { name: "_reason", label: "说明", value: reason, hint: "例如：取得主治医师资格，证书已交人事科核对", ..Field::default() }))
                (form_acts("提交申请", Some("/desk")))
            }
        }
    })
}

async fn own_page(
    registries: &Registries,
    frame: &Frame,
    texts: Option<(Texts, Vec<Finding>, String)>,
) -> Result<Markup> {
    let caller = caller(frame)?;
    let entry = own_entry(registries, caller).await?;
    let register = registries.register("staff")?.clone();
    let masked = registries.texts_of(&register, &entry, false)?;
    let rows = sqlx::query(
        "select id, kind, entry_id, institution_id, parent_id, name, content, guarded, changed, stage, reason, asked_by,
            account_id, asked_at
         from registry_request where entry_id = $1 order by id desc limit 20",
    )
    .bind(entry.id)
    .fetch_all(registries.db.pool())
    .await
    .db("read one's own requests")?;
    let requests: Vec<Request> =
        rows.iter().map(Request::of).collect::<Result<_, _>>().db("read one's own requests")?;
    let waiting = requests.iter().find(|r| r.is_open());
    let (texts, findings, reason) = texts.unwrap_or((masked.clone(), Vec::new(), String::new()));
    let rows: Vec<Row> = requests.iter().map(|r| row(registries, r)).collect();
    Ok(html! {
        (page_head(&[], "我的登记信息", "核对自己的登记内容。需要修改的，提交申请：单位审核后生效，执业注册和职称还要主管部门审核。", html! {}))
        @if let Some(request) = waiting {
            (notice(Tone::Info, "有一份申请正在审核", &format!("{}。审核结束后才能提出新的申请。", stage_name(&request.stage))))
            (detail::sections(registries, &register, &masked))
        } @else {
            (sheet(registries, &entry, &texts, &findings, &reason)?)
        }
        @if !rows.is_empty() { (card("我的申请", ui::table(&Here::default(), &COLUMNS, &rows))) }
    })
}

async fn mine(State(registries): State<Registries>, frame: Frame) -> Reply<Markup> {
    let body = own_page(&registries, &frame, None).await?;
    Ok(frame.page("我的登记信息", body))
}

async fn ask(
    State(registries): State<Registries>,
    frame: Frame,
    Form(form): Form<HashMap<String, String>>,
) -> Reply<Response> {
    let caller = caller(&frame)?.clone();
    let entry = own_entry(&registries, &caller).await?;
    let register = registries.register("staff")?.clone();
    // Only what a member of staff may ask for; anything else in the form is not looked at.
    let own: HashMap<String, String> = form
        .iter()
        .filter(|(name, _)| register.field(name).is_some_and(|at| register.own.contains(&at)))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    let texts = registries.typed(&register, &own, Some(&entry))?;
    let reach = own_reach(&caller)?;
    let examined = registries.examine(&register, &reach, &texts, Some(&entry)).await?;
    let reason = form.get("_reason").cloned().unwrap_or_default();
    match examined.draft {
        Some(draft) => {
            let id = registries.ask(&caller, &draft, Some(&entry), &reason, true).await?;
            Ok(Redirect::to(&format!("/registry/requests/{id}")).into_response())
        }
        None => {
            let findings = examined.findings.into_iter().filter(|f| f.reject).collect();
            let body = own_page(&registries, &frame, Some((texts, findings, reason))).await?;
            Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, frame.page("我的登记信息", body))
                .into_response())
        }
    }
}

/// The reach with which one's own texts are examined: the entry stays where it is, so every institution may be named.
fn own_reach(caller: &Caller) -> Result<Reach, Refusal> {
    Caller::system(&caller.name).decide(READ, Purpose::of("registry"))
}
