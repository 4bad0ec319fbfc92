//! Exceptions for a time: my own and those that wait for me, asking, deciding, ending.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Act, Caller, Error, Id, Line, Refusal, RegionCode};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use web::download::{self, Download};
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list as ui_list,
    notice, page_head,
};
use web::{Frame, Reply};

use super::person::end_of_day;
use super::words;
use crate::account::no_account;
use crate::grants::exceptions::{ExceptionRow, NewException, Opens, Which};
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("权限", "/access"), ("例外授权", "/access/exceptions")];
const STATES: [(&str, &str); 5] = [
    ("asked", "待审批"),
    ("approved", "已批准"),
    ("refused", "未批准"),
    ("revoked", "已撤销"),
    ("dropped", "已撤回"),
];

fn me(frame: &Frame) -> Result<Arc<Caller>, Refusal> {
    frame.caller.clone().filter(|c| c.account.is_some()).ok_or_else(no_account)
}

/// Whether somebody sees exceptions of others: who may approve on any line, or watches over security.
pub(super) fn oversees(caller: &Caller) -> bool {
    caller.grants.iter().any(|g| g.act == Act::Approve) || caller.may(super::LOOK)
}

/// The exceptions that a caller may see: their own, and those that they could decide about.
async fn visible(
    identity: &Identity,
    caller: &Caller,
    here: &Here,
    limit: i64,
) -> kernel::Result<(Vec<ExceptionRow>, Option<i64>)> {
    let account = caller.account.ok_or_else(no_account)?;
    let others = oversees(caller) && here.get("whose") != Some("own");
    let which = Which {
        own: (!others).then_some(account),
        waiting_at: None,
        state: here.get("state").unwrap_or("").to_owned(),
        text: here.get("q").unwrap_or("").to_owned(),
        before: here.get("after").and_then(|id| id.parse().ok()),
    };
    let mut rows = identity.exceptions(&which, limit + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(50));
    let next = rows.last().filter(|_| more).map(|r| r.id);
    Ok((concerning(identity, caller, rows).await?, next))
}

/// Those exceptions that concern a caller: asked for or held, to be decided, or watched over.
async fn concerning(
    identity: &Identity,
    caller: &Caller,
    rows: Vec<ExceptionRow>,
) -> kernel::Result<Vec<ExceptionRow>> {
    let own = caller.account.map(Id::get);
    let is_own = |row: &ExceptionRow| own == Some(row.account_id) || own == Some(row.asked_by);
    if !oversees(caller) {
        return Ok(rows.into_iter().filter(is_own).collect());
    }
    let watches = |row: &ExceptionRow| {
        caller.grants.iter().any(|g| {
            g.line == Line::Security
                && matches!(g.span, kernel::Span::Region(wide) if row_region(identity, row).is_some_and(|r| wide.contains(&r)))
        })
    };
    let decided = identity.may_decide_all(caller, &rows).await?;
    let shown = rows.into_iter().zip(decided).filter(|(row, may)| is_own(row) || may.is_ok() || watches(row));
    Ok(shown.map(|(row, _)| row).collect())
}

fn row_region(identity: &Identity, row: &ExceptionRow) -> Option<RegionCode> {
    match (row.institution_id, &row.region) {
        (Some(id), _) => identity.institutions.by_id(Id::new(i64::from(id))).map(|card| card.region),
        (None, Some(region)) => RegionCode::parse(region).ok(),
        (None, None) => None,
    }
}

fn state(row: &ExceptionRow, now: chrono::DateTime<chrono::Utc>) -> Markup {
    let tone = match row.state_name(now) {
        "生效中" => Tone::Good,
        "待审批" => Tone::Warn,
        _ => Tone::Neutral,
    };
    badge(tone, row.state_name(now))
}

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let caller = me(&frame)?;
    let now = identity.clock.now();
    let (rows, next) = visible(&identity, &caller, &here, 50).await?;
    let rows = rows
        .iter()
        .map(|row| {
            Row::to(
                format!("/access/exceptions/{}", row.id),
                vec![
                    html! { (row.holder) },
                    html! { (row.right()) },
                    html! { (row.target_label) },
                    html! { (row.reason) },
                    state(row, now),
                    html! { (page::time(row.until)) },
                    html! { (row.asked_by_name) small { (page::time(row.asked_at)) } },
                    html! { (row.decided_by_name) },
                ],
            )
        })
        .collect();
    let states: Vec<(String, String)> =
        STATES.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let whose = [("own".to_owned(), "我的".to_owned())];
    let mut filters = vec![
        Filter::Text { name: "q", label: "查询", hint: "姓名、对象或事由" },
        Filter::Choice { name: "state", label: "状态", options: &states },
    ];
    if oversees(&caller) {
        filters.push(Filter::Choice { name: "whose", label: "谁的", options: &whose });
    }
    let body = html! {
        (page_head(&[("权限", "/access")], "例外授权", "超出岗位权限、只在一段时间内需要的权限：申请，由他人审批，到期自动失效。", html! {
            a.btn.btn-primary href="/access/exceptions/new" { "申请例外授权" }
        }))
        (words::tabs("/access/exceptions"))
        (ui_list(&here, &List {
            filters: &filters,
            total: None,
            unit: "项",
            columns: &[Column::text("使用人"), Column::text("权限"), Column::text("对象"), Column::text("事由"), Column::text("状态"), Column::text("到期"), Column::text("申请"), Column::text("审批人")],
            rows,
            paging: Paging::Cursor { before: None, after: next.map(|id| id.to_string()) },
            exports: &[Export { label: "导出 CSV", path: "/access/exceptions.csv" }],
            empty: ("没有例外授权", "需要超出岗位的权限时，可以申请；您能审批的申请也会出现在这里和工作台。"),
            empty_action: Some(("申请例外授权", "/access/exceptions/new")),
        }))
    };
    Ok(frame.page("例外授权", body))
}

pub(super) async fn export(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Download> {
    let caller = me(&frame)?;
    let now = identity.clock.now();
    let (rows, _) = visible(&identity, &caller, &here, 5_000).await?;
    let heads =
        ["编号", "使用人", "权限", "对象", "事由", "状态", "起", "止", "申请人", "审批人", "审批意见"];
    Ok(download::csv(
        "exceptions.csv",
        &heads,
        rows.into_iter().map(|row| {
            vec![
                row.id.to_string(),
                row.holder.clone(),
                row.right(),
                row.target_label.clone(),
                row.reason.clone(),
                row.state_name(now).to_owned(),
                page::time(row.since),
                page::time(row.until),
                row.asked_by_name.clone(),
                row.decided_by_name.clone(),
                row.decision_note.clone(),
            ]
        }),
    ))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AskForm {
    #[serde(default)]
    line: String,
    #[serde(default)]
    act: String,
    /// `person`, `institution` or `region`.
    #[serde(default)]
    target: String,
    /// Citizen number, institution code or name, division code.
    #[serde(default)]
    what: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn blank(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    me(&frame)?;
    Ok(frame.page("申请例外授权", form(&identity, &AskForm::default(), None)))
}

fn form(identity: &Identity, given: &AskForm, problem: Option<&str>) -> Markup {
    let lines = Line::ALL.into_iter().filter(|line| !line.is_duty());
    let acts = Act::ALL.into_iter().filter(|act| act.is_use());
    const TARGETS: [(&str, &str); 3] =
        [("person", "一位居民"), ("institution", "一个机构"), ("region", "一个行政区划")];
    let longest = identity.longest_exception().num_days();
    html! {
        (page_head(WAY, "申请例外授权", "写清楚需要什么、为什么、到什么时候。须由有审批权的他人批准，自己不能批准自己的申请。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有提交", problem)) }
        (card("申请", html! {
            form method="post" action="/access/exceptions" {
                div.mk-form-grid {
                    (page::control("条线", "line", "", &html! { select.form-select id="line" name="line" required {
                        @for line in lines { option value=(line.code()) selected[given.line == line.code() || (given.line.is_empty() && line == Line::Medical)] { (line.name()) } }
                    } }))
                    (page::control("操作", "act", "", &html! { select.form-select id="act" name="act" required {
                        @for act in acts { option value=(act.code()) selected[given.act == act.code()] { (act.name()) } }
                    } }))
                    (page::control("对象", "target", "", &html! { select.form-select id="target" name="target" required {
                        @for (code, name) in TARGETS { option value=(code) selected[given.target == code] { (name) } }
                    } }))
                    (page::control("对象是", "what", "居民：身份证号；机构：机构代码或全称；区划：区划代码", &html! {
                        input.form-control id="what" name="what" value=(given.what) required maxlength="100" autocomplete="off";
                    }))
                    (page::control("有效期至", "until", &format!("当天结束时自动失效，最长 {longest} 天"), &html! {
                        input.form-control id="until" name="until" type="date" value=(given.until) required;
                    }))
                    (page::control("事由", "reason", "审批人和事后核查都会看到", &html! {
                        textarea.form-control id="reason" name="reason" required minlength="5" maxlength="500" rows="3" { (given.reason) }
                    }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "提交申请" } a.btn href="/access/exceptions" { "取消" } }
            }
        }))
    }
}

async fn wanted(identity: &Identity, caller: &Caller, given: &AskForm) -> kernel::Result<NewException> {
    let invalid = |words: &'static str| Refusal::invalid("exception.form", words);
    let account = caller.account.ok_or_else(no_account)?;
    let line = Line::of_code(&given.line).ok_or_else(|| invalid("请选择条线。"))?;
    let act = Act::of_code(&given.act).ok_or_else(|| invalid("请选择操作。"))?;
    let what = given.what.trim();
    let opens = match given.target.as_str() {
        "person" => {
            let person = match &identity.people {
                Some(people) => people.by_citizen_id(&what.to_ascii_uppercase()).await?,
                None => None,
            };
            Opens::Person(person.ok_or_else(|| invalid("没有找到这位居民，请核对身份证号。"))?)
        }
        "institution" => {
            let all = identity.institutions.all();
            let card =
                identity.institutions.by_code(what).or_else(|| all.iter().find(|c| c.name == what).cloned());
            Opens::Institution(card.ok_or_else(|| invalid("没有这个机构，请填写机构代码或全称。"))?.id)
        }
        "region" => Opens::Region(
            RegionCode::parse(what).map_err(|_| invalid("区划代码应为 2、4、6、9 或 12 位数字。"))?,
        ),
        _ => return Err(invalid("请选择对象。").into()),
    };
    let until = end_of_day(&given.until)?.ok_or_else(|| invalid("请填写有效期。"))?;
    Ok(NewException { account, line, act, opens, reason: given.reason.clone(), until })
}

pub(super) async fn ask(
    State(identity): State<Identity>,
    frame: Frame,
    Form(given): Form<AskForm>,
) -> Reply<Response> {
    let caller = me(&frame)?;
    let asked = match wanted(&identity, &caller, &given).await {
        Ok(new) => identity.ask_exception(&new, &caller).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(id) => Ok(Redirect::to(&format!("/access/exceptions/{id}")).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = form(&identity, &given, Some(&refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page("申请例外授权", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn found(identity: &Identity, caller: &Caller, id: i64) -> kernel::Result<ExceptionRow> {
    if let Some(row) = identity.exception(id).await?
        && let Some(row) = concerning(identity, caller, vec![row]).await?.pop()
    {
        return Ok(row);
    }
    Err(Refusal::not_found("exception.none", "没有这项例外授权，或它不在您的权限范围内。").into())
}

pub(super) async fn show(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let caller = me(&frame)?;
    let row = found(&identity, &caller, id).await?;
    let now = identity.clock.now();
    let decide = row.waits(now) && identity.may_decide(&caller, &row).await?.is_ok();
    let own = caller.account.map(Id::get);
    let concerned = own == Some(row.account_id) || own == Some(row.asked_by);
    let end = (row.waits(now) && concerned)
        || (row.holds(now) && (concerned || identity.may_decide(&caller, &row).await?.is_ok()));
    let base = format!("/access/exceptions/{id}");
    let body = html! {
        (page_head(WAY, &format!("例外授权 {id}"), &format!("{}：{}，{}", row.holder, row.right(), row.target_label), html! { (state(&row, now)) }))
        (card("内容", describe(&[
            fact("使用人", &row.holder),
            fact("权限", &row.right()),
            fact("对象", &row.target_label),
            fact("期限", &format!("{} 至 {}", page::time(row.since), page::time(row.until))),
            fact("事由", &row.reason),
            fact("申请", &format!("{} {}", row.asked_by_name, page::time(row.asked_at))),
            fact("审批", &row.decided_at.map(|at| format!("{} {} {}", row.decided_by_name, page::time(at), row.decision_note)).unwrap_or_default()),
            fact("提前结束", &row.ended_at.map(|at| format!("{} {}", row.ended_by_name, page::time(at))).unwrap_or_default()),
        ])))
        @if decide {
            (card("审批", html! {
                form method="post" action={ (base) "/approve" } {
                    div.mk-form-grid {
                        (page::control("意见", "note", "不批准时必须写明理由", &html! { input.form-control id="note" name="note" maxlength="200" autocomplete="off"; }))
                    }
                    div.mk-form-acts {
                        button.btn.btn-primary type="submit" { "批准" }
                        button.btn type="submit" formaction={ (base) "/refuse" } { "不批准" }
                    }
                }
            }))
        }
        @if end {
            (card(if row.state == "asked" { "撤回申请" } else { "提前结束" }, html! {
                form method="post" action={ (base) "/end" } {
                    div.mk-form-grid {
                        (page::control("说明", "note", "", &html! { input.form-control id="end-note" name="note" maxlength="200" autocomplete="off"; }))
                    }
                    div.mk-form-acts { button.btn type="submit" { (if row.state == "asked" { "撤回" } else { "立即结束" }) } }
                }
            }))
        }
    };
    Ok(frame.page("例外授权", body))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NoteForm {
    #[serde(default)]
    note: String,
}

/// Deciding is a sensitive act: who decides must have proved who they are within the last minutes. The route cannot ask
/// for it, because which right is needed is told by the exception.
fn fresh(caller: &Caller) -> Result<(), Refusal> {
    if caller.assurance.fresh {
        return Ok(());
    }
    Err(Refusal::forbidden(
        web::route::STEP_UP,
        "这一步涉及敏感操作，需要先重新验证您的身份。验证后请再试一次。",
    ))
}

pub(super) async fn approve(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    frame: Frame,
    Form(given): Form<NoteForm>,
) -> Reply<Redirect> {
    decide(&identity, id, &frame, true, &given.note).await
}

pub(super) async fn refuse(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    frame: Frame,
    Form(given): Form<NoteForm>,
) -> Reply<Redirect> {
    decide(&identity, id, &frame, false, &given.note).await
}

async fn decide(identity: &Identity, id: i64, frame: &Frame, approve: bool, note: &str) -> Reply<Redirect> {
    let caller = me(frame)?;
    found(identity, &caller, id).await?;
    if approve {
        fresh(&caller)?;
    }
    identity.decide_exception(id, approve, note, &caller).await?;
    Ok(Redirect::to(&format!("/access/exceptions/{id}")))
}

pub(super) async fn end(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    frame: Frame,
    Form(given): Form<NoteForm>,
) -> Reply<Redirect> {
    let caller = me(&frame)?;
    found(&identity, &caller, id).await?;
    identity.end_exception(id, &given.note, &caller).await?;
    Ok(Redirect::to(&format!("/access/exceptions/{id}")))
}
