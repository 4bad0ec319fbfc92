//! Operations: list, one with its plan and progress, deciding, undoing.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{Result, Tier};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{
    Column, Field, Filter, Here, List, Paging, Progress, Row, Step, StepState, Tone, card, card_with,
    describe, fact, field, icon, list, notice, page_head, progress, steps, table,
};
use web::{Frame, Reply};

use super::super::Divisions;
use super::super::operation::{Held, Operation, tier_name};
use super::super::plan::{Plan, Unit, kind_name};
use super::{APPROVE, reach, words};

/// Rows of a plan that are shown.
const SHOWN: usize = 200;

/// `GET /divisions/operations`
pub(super) async fn list_page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let found = desk.operations(&reach(&allowed)?, here.get("state").unwrap_or(""), 500).await?;
    let states: Vec<(String, String)> =
        ["asked", "approved", "moving", "done", "undoing", "undone", "rejected", "failed"]
            .map(|s| (s.to_owned(), super::super::operation::state_name(s).to_owned()))
            .into();
    let total = found.len() as u64;
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1usize).max(1);
    let rows = found
        .iter()
        .skip((page - 1) * super::PAGE)
        .take(super::PAGE)
        .map(|o| {
            Row::to(
                format!("/divisions/operations/{}", o.id),
                vec![
                    html! { (o.title) },
                    words::state(&o.state),
                    html! { (o.year) " 年版" },
                    html! { (o.asked_by) br; small.mk-muted { (words::time(o.asked_at)) } },
                    html! { (o.decided_by) @if let Some(at) = o.decided_at { br; small.mk-muted { (words::time(at)) } } },
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[("行政区划", "/divisions")], "区划调整", "更名、合并、拆分、划转、撤销：一人申请，另一人审批，系统执行，可以撤回。", html! {
            @if allowed.caller().may(super::MANAGE) { a.btn.btn-primary href="/divisions" { "选择区划办理调整" } }
        }))
        (list(&here, &List {
            filters: &[Filter::Choice { name: "state", label: "状态", options: &states }],
            total: Some(total),
            unit: "次调整",
            columns: &[
                Column::text("调整"),
                Column::text("状态"),
                Column::text("版本"),
                Column::text("申请"),
                Column::text("审批"),
            ],
            rows,
            paging: Paging::Numbered { page: page as u64, per_page: super::PAGE as u64, total },
            exports: &[],
            empty: ("还没有区划调整", "在区划树中打开一个区划，从它的页面上办理拆分、合并、划转、更名或撤销。"),
            empty_action: Some(("打开区划树", "/divisions")),
        }))
    };
    Ok(frame.page("区划调整", body))
}

/// What moves, by part, with the divisions it moves out of.
pub(super) fn held_card(desk: &Divisions, held: &[Held], year: i16) -> Markup {
    let known = desk.directory.regions_now();
    html! {
        @for part in held {
            @let total = part.total();
            (card_with(&format!("随之变动：{} {total}", part.title), html! {},
                if part.by_code.is_empty() {
                    html! { div.mk-card-body { p.mk-muted { "没有。" } } }
                } else {
                    html! {
                        details {
                            summary.mk-card-body { "按区划查看" }
                            (table(&Here::default(), &[Column::text("所在区划"), Column::text("代码"), Column::number("数量")],
                                &part.by_code.iter().take(SHOWN).map(|(code, n)| Row::plain(vec![
                                    html! { (super::code_of(code).map(|c| known.full_name_in(&c, year)).unwrap_or_default()) },
                                    html! { (code) },
                                    html! { (n) },
                                ])).collect::<Vec<_>>()))
                            @if part.by_code.len() > SHOWN { p.mk-card-body.mk-muted { "其余 " (part.by_code.len() - SHOWN) " 个区划从略。" } }
                        }
                    }
                }))
        }
    }
}

/// What is done to the edition.
pub(super) fn plan_card(plan: &Plan, year: i16) -> Markup {
    let moves: BTreeMap<_, _> = plan.moves.iter().copied().collect();
    let added: BTreeMap<_, &Unit> = plan.added.iter().map(|u| (u.code, u)).collect();
    let mut rows: Vec<Row> = Vec::new();
    let small = |unit: &Unit| html! { (unit.name) br; small.mk-muted { (unit.code) } };
    for (before, after) in &plan.changed {
        rows.push(Row::plain(vec![
            html! { "更名" },
            html! { (tier_name(&before.code)) },
            small(before),
            small(after),
        ]));
    }
    for unit in &plan.removed {
        let to = moves.get(&unit.code);
        let target = match to {
            Some(code) => {
                html! { @match added.get(code) { Some(u) => (small(u)), None => { "并入 " (code) } } }
            }
            None => html! { span.mk-muted { "撤销" } },
        };
        let word = if to.is_some() { "变更代码" } else { "撤销" };
        rows.push(Row::plain(vec![html! { (word) }, html! { (tier_name(&unit.code)) }, small(unit), target]));
    }
    let replaced: std::collections::BTreeSet<_> =
        moves.iter().filter(|(f, _)| plan.removed.iter().any(|u| u.code == **f)).map(|(_, t)| *t).collect();
    for unit in plan.added.iter().filter(|u| !replaced.contains(&u.code)) {
        rows.push(Row::plain(vec![
            html! { "新设" },
            html! { (tier_name(&unit.code)) },
            html! { "—" },
            small(unit),
        ]));
    }
    if plan.removed.is_empty() && plan.added.is_empty() && plan.changed.is_empty() {
        for (from, to) in &plan.moves {
            rows.push(Row::plain(vec![
                html! { "变更代码" },
                html! { (tier_name(from)) },
                html! { (from) },
                html! { (to) },
            ]));
        }
    }
    // The highest first: what happens to the county is read before its villages.
    let total = rows.len();
    rows.truncate(SHOWN);
    let counties = plan.added.iter().filter(|u| u.code.tier() <= Some(Tier::County)).count();
    card_with(
        &format!("区划的变化（{total} 处，{year} 年版）"),
        html! { @if counties > 0 { small { "其中新设县级 " (counties) " 个" } } },
        html! {
            (table(&Here::default(), &[Column::text("变化"), Column::text("级别"), Column::text("现在"), Column::text("调整后")], &rows))
            @if total > SHOWN { p.mk-card-body.mk-muted { "其余 " (total - SHOWN) " 处从略。" } }
        },
    )
}

fn path(operation: &Operation) -> Markup {
    let note = |who: &str, at: Option<chrono::DateTime<chrono::Utc>>| match at {
        Some(at) => format!("{who} {}", words::time(at)),
        None => String::new(),
    };
    let state = operation.state.as_str();
    let step = |title: &str, note: String, state: StepState| Step { title: title.to_owned(), note, state };
    let at = |now: &[&str], done: &[&str]| {
        if now.contains(&state) {
            StepState::Now
        } else if done.contains(&state) {
            StepState::Done
        } else {
            StepState::Next
        }
    };
    let mut all = vec![
        step("申请", note(&operation.asked_by, Some(operation.asked_at)), StepState::Done),
        step(
            if state == "rejected" { "已退回" } else { "审批" },
            note(&operation.decided_by, operation.decided_at),
            at(&["asked"], &["rejected", "approved", "moving", "done", "undoing", "undone", "failed"]),
        ),
        step("执行", String::new(), at(&["approved", "moving"], &["done", "undoing", "undone"])),
        step(
            "完成",
            note("", operation.ended_at.filter(|_| state == "done")),
            at(&[], &["done", "undoing", "undone"]),
        ),
    ];
    if matches!(state, "undoing" | "undone") {
        all.push(step("撤回", note("", operation.ended_at), at(&["undoing"], &["undone"])));
    }
    steps(&all)
}

async fn working(desk: &Divisions, operation: &Operation) -> Result<Markup> {
    let id = operation.id;
    let undo = matches!(operation.state.as_str(), "undoing" | "undone");
    let parts = desk.parts(id).await?;
    let ended: BTreeMap<&str, i64> =
        parts.iter().filter(|(_, u, _, _)| *u == undo).map(|(p, _, n, _)| (p.as_str(), *n)).collect();
    let busy = matches!(operation.state.as_str(), "approved" | "moving" | "undoing");
    let jobs = desk.under_way(id).await?;
    let so_far: i64 = jobs.values().sum::<i64>() + ended.values().sum::<i64>();
    let again = format!("/divisions/operations/{id}/progress");
    let planned = desk.parts_counted();
    Ok(html! {
        div id="progress" {
            @if busy {
                (progress(&Progress {
                    title: if undo { "正在撤回" } else { "正在执行" },
                    done: so_far.cast_unsigned(),
                    total: None,
                    unit: "行已变动",
                    rate: None,
                    again: Some(&again),
                }))
            }
            @if busy || !ended.is_empty() {
                ul.mk-waiting {
                    @for (part, title) in planned {
                        li { span { span { (title) } @match ended.get(part) {
                            Some(n) => { b { (icon("circle-check")) " " (n) } },
                            None => span.mk-muted { "等待" },
                        } } }
                    }
                }
            }
        }
    })
}

/// `GET /divisions/operations/{id}/progress`: asked again while it works.
pub(super) async fn progress_piece(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Markup> {
    let operation = desk.operation(&reach(&allowed)?, id).await?;
    let ended = !matches!(operation.state.as_str(), "approved" | "moving" | "undoing");
    Ok(html! {
        @if ended { (notice(Tone::Good, "已结束", "请刷新页面查看结果。")) }
        @else { (working(&desk, &operation).await?) }
    })
}

/// `GET /divisions/operations/{id}`
pub(super) async fn page(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(id): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let operation = desk.operation(&reach(&allowed)?, id).await?;
    let approves = allowed.caller().may(APPROVE);
    let own = allowed.caller().account.map(kernel::Id::get) == operation.asked_account
        && operation.asked_account.is_some();
    let held =
        if operation.state == "asked" { desk.held(&operation.plan.sources()).await? } else { Vec::new() };
    let why = if operation.state == "done" { desk.why_not_undo(&operation).await? } else { Vec::new() };
    let body = html! {
        (page_head(&[("行政区划", "/divisions"), ("区划调整", "/divisions/operations")], &operation.title, "", words::state(&operation.state)))
        (path(&operation))
        @if operation.state == "failed" { (notice(Tone::Bad, "没有执行，任何数据都没有改动", &operation.decided_note)) }
        (working(&desk, &operation).await?)
        (card("申请内容", describe(&[
            fact("种类", kind_name(&operation.kind)),
            fact("版本", &format!("{} 年版", operation.year)),
            fact("依据", &operation.reason),
            fact("申请人", &format!("{}　{}", operation.asked_by, words::time(operation.asked_at))),
            fact("审批人", &operation.decided_at.map(|at| format!("{}　{}", operation.decided_by, words::time(at))).unwrap_or_default()),
            fact("审批意见", &operation.decided_note),
        ])))
        @if operation.state == "asked" {
            (held_card(&desk, &held, operation.year))
            @if approves && !own {
                (card("审批", html! {
                    form method="post" action={ "/divisions/operations/" (id) "/decide" } {
                        (field(&Field { name: "note", label: "意见", hint: "退回时请写明原因", ..Field::default() }))
                        div.mk-form-acts {
                            button.btn.btn-primary type="submit" name="decision" value="approve" { "同意并执行" }
                            button.btn type="submit" name="decision" value="reject" { "退回" }
                        }
                    }
                }))
            } @else if own {
                (notice(Tone::Info, "等待审批", "申请人不能审批自己的申请，请另一位有“行政管理·审批”权限的人员办理。"))
            }
        }
        (plan_card(&operation.plan, operation.year))
        @if operation.state == "done" && approves {
            (card("撤回", html! {
                @if why.is_empty() {
                    p { "撤回后，区划、机构、居民和账号都回到调整以前的样子；调整后新登记在新区划的，归到它原来的区划。" }
                    form method="post" action={ "/divisions/operations/" (id) "/undo" } data-confirm="确定撤回这次区划调整？" {
                        (field(&Field { name: "reason", label: "撤回的原因", required: true, ..Field::default() }))
                        div.mk-form-acts { button.btn type="submit" { "撤回这次调整" } }
                    }
                } @else {
                    p { "现在不能撤回：" }
                    ul { @for line in &why { li { (line) } } }
                }
            }))
        }
    };
    Ok(frame.page(&operation.title, body))
}

/// What deciding and undoing send.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    decision: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    reason: String,
}

/// `POST /divisions/operations/{id}/decide`
pub(super) async fn decide(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(sent): Form<Sent>,
) -> Reply<Redirect> {
    desk.decide(&reach(&allowed)?, id, sent.decision == "approve", &sent.note).await?;
    Ok(Redirect::to(&format!("/divisions/operations/{id}")))
}

/// `POST /divisions/operations/{id}/undo`
pub(super) async fn undo(
    State(desk): State<Divisions>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(sent): Form<Sent>,
) -> Reply<Redirect> {
    desk.undo(&reach(&allowed)?, id, &sent.reason).await?;
    Ok(Redirect::to(&format!("/divisions/operations/{id}")))
}
