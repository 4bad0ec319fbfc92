//! `/index/runs`: evaluations of the whole registry: what each proposes, its statistics, how far it is.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Duration, Utc};
use kernel::{Caller, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use store::{AuditEntry, DbDoing, Gated};
use web::route::Allowed;
use web::ui::{
    Column, Filter, Here, List, Paging, Progress, Row, Tone, badge, card, card_with, describe, fact, list,
    notice, page_head, progress, table, thousands,
};
use web::{Frame, Reply};

use super::read::Within;
use super::show::Eyes;
use super::{APPROVE, Desk, versus, words};
use crate::runs::Asked;

/// A run that has not ended by then was left behind by a process that is gone (a command that was broken off).
const LONGEST: Duration = Duration::hours(6);
/// Rows on a page.
const PAGE: i64 = 30;
/// Proposed moves that are shown as a sample.
const SAMPLE: i64 = 50;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Run {
    id: i64,
    kind: String,
    state: String,
    model_version: String,
    statistics: Value,
    total: i64,
    done: i64,
    actor: String,
    decided_by: String,
    reason: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    failure: String,
}

fn kind(code: &str) -> &'static str {
    match code {
        "relink" => "重新关联",
        "train" => "训练模型",
        "compare" => "比较模型",
        "audit" => "夜间检查",
        _ => "其他",
    }
}

fn state(code: &str) -> (Tone, &'static str) {
    match code {
        "running" => (Tone::Info, "计算中"),
        "proposed" => (Tone::Warn, "待审批"),
        "rejected" => (Tone::Neutral, "已退回"),
        "applying" => (Tone::Info, "执行中"),
        "applied" => (Tone::Good, "已执行"),
        "undoing" => (Tone::Info, "撤回中"),
        "undone" => (Tone::Neutral, "已撤回"),
        "done" => (Tone::Good, "已完成"),
        _ => (Tone::Bad, "失败"),
    }
}

const SELECT: &str = "
    select id, kind, state, model_version, statistics, total, done, actor, decided_by, reason, started_at, finished_at,
           failure
    from index_run where ($1 = '' or kind = $1) and ($2::bigint is null or id < $2) order by id desc limit $3";

pub(super) async fn page(State(desk): State<Desk>, here: Here, frame: Frame) -> Reply<Markup> {
    let asked = here.get("kind").unwrap_or("").to_owned();
    let mut runs: Vec<Run> = sqlx::query_as(SELECT)
        .bind(&asked)
        .bind(here.get("after").and_then(|a| a.parse::<i64>().ok()))
        .bind(PAGE + 1)
        .fetch_all(desk.db.pool())
        .await
        .db("list runs of the index")?;
    let more = runs.len() as i64 > PAGE;
    runs.truncate(PAGE as usize);
    let after = runs.last().filter(|_| more).map(|r| r.id.to_string());
    let kinds = ["relink", "train", "compare", "audit"].map(|k| (k.to_owned(), kind(k).to_owned()));
    let rows = runs
        .iter()
        .map(|r| {
            let (tone, word) = state(&r.state);
            Row::to(
                format!("/index/runs/{}", r.id),
                vec![
                    html! { (kind(&r.kind)) },
                    badge(tone, word),
                    html! { (r.model_version) },
                    html! { @if r.total > 0 { (thousands(r.done.unsigned_abs())) " / " (thousands(r.total.unsigned_abs())) } },
                    html! { (r.actor) small.mk-muted { (words::time(r.started_at)) } },
                    html! { (r.finished_at.map(words::time).unwrap_or_default()) },
                ],
            )
        })
        .collect();
    let view = List {
        filters: &[Filter::Choice { name: "kind", label: "种类", options: &kinds }],
        total: None,
        unit: "次",
        columns: &[
            Column::text("种类"),
            Column::text("状态"),
            Column::text("模型"),
            Column::number("进度"),
            Column::text("发起"),
            Column::text("结束"),
        ],
        rows,
        paging: Paging::Cursor { before: None, after },
        exports: &[],
        empty: (
            "还没有批量关联",
            "用新的模型重新评估全部登记后，提出的变动会列在这里，按统计审批后才执行。从右上角发起，或运行 minkang person relink。",
        ),
        empty_action: None,
    };
    Ok(frame.page("批量关联", html! {
        (page_head(&[], "批量关联", "在内存中重新评估全部登记，得到一组拟议的变动；审批后分批执行，可以撤回。人工作出的结论始终保留。", html! {
            a.btn href="/index/models" { "比对模型" }
            form.mk-inline method="post" action="/index/runs" data-confirm="训练只产生一个新模型，比较后再启用，不改变任何归属。现在开始吗？" { button.btn type="submit" { "训练模型" } input type="hidden" name="kind" value="train"; }
            form.mk-inline method="post" action="/index/runs" data-confirm="重新评估只提出变动，审批后才执行。现在开始吗？" { button.btn.btn-primary type="submit" { "重新评估全部登记" } input type="hidden" name="kind" value="relink"; }
        }))
        (list(&here, &view))
    }))
}

/// What can be done with a run as it stands.
fn acts(run: &Run, caller: &Caller) -> Markup {
    let base = format!("/index/runs/{}", run.id);
    let reason = |hint: &str| {
        html! { input.form-control name="reason" required minlength="2" maxlength="200" placeholder=(hint) aria-label="理由" autocomplete="off"; }
    };
    html! {
        @match run.state.as_str() {
            "proposed" if caller.may(APPROVE) => (card("审批", html! {
                p { "批准后分批执行；执行期间新的登记和人工结论优先，已变动过的不再改动。执行后可以整体撤回。" }
                form.mk-inline method="post" action={ (base) "/decide" } {
                    (reason("理由，例如：抽查 50 组无误"))
                    button.btn.btn-primary type="submit" name="decision" value="approve" { "批准并执行" }
                    button.btn type="submit" name="decision" value="reject" { "退回" }
                }
            })),
            "proposed" => (notice(Tone::Info, "等待审批", "由有“居民主索引·审批”权限的人员审批。")),
            "applied" if caller.may(APPROVE) => (card("撤回", html! {
                form.mk-inline method="post" action={ (base) "/undo" } data-confirm="撤回后，这次批量关联改变的归属全部恢复。确定撤回吗？" {
                    (reason("撤回的理由"))
                    button.btn type="submit" { "撤回这次批量关联" }
                }
            })),
            _ => {},
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    decision: String,
    reason: String,
}

/// `POST /index/runs`: asks for a run by a job.
pub(super) async fn start(
    State(desk): State<Desk>,
    allowed: Allowed,
    Form(form): Form<Vec<(String, String)>>,
) -> Reply<Redirect> {
    let (caller, now) = (allowed.caller(), desk.clock.now());
    let all = |key: &'static str| form.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str());
    let kind = match all("kind").next() {
        Some("train") => "train",
        Some("relink") => "relink",
        Some("compare") => "compare",
        _ => {
            let text = "请选择“重新关联”、“训练模型”或“比较模型”。";
            return Err(Refusal::invalid("index.run_kind", text).into());
        }
    };
    let waiting: bool = sqlx::query_scalar(
        "select exists (select from index_run where kind <> 'audit'
            and (state in ('applying', 'undoing') or state = 'running' and started_at > $1))",
    )
    .bind(now - LONGEST)
    .fetch_one(desk.db.pool())
    .await
    .db("look for runs under way")?;
    if waiting {
        return Err(Refusal::conflict("index.run_busy", "已有一次批量关联或训练在进行，请等它结束。").into());
    }
    let run = if kind == "compare" {
        let models = all("model").filter_map(|m| m.parse().ok()).collect();
        desk.index.request_comparison(&Asked { models, one_in: 0 }, &caller.name, now).await?
    } else {
        desk.index.request_run(kind, &caller.name, now).await?
    };
    let entry = AuditEntry {
        act: "index.run",
        object_kind: "index_run",
        object_id: Some(run),
        object_label: self::kind(kind).to_owned(),
        ..AuditEntry::default()
    };
    let reach = Desk::reach(&allowed)?;
    desk.db
        .transaction(async |tx| {
            store::audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await.map(|_| ())
        })
        .await?;
    Ok(Redirect::to(&format!("/index/runs/{run}")))
}

/// `POST /index/runs/{run}/decide`
pub(super) async fn decide(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(run): Path<String>,
    Form(form): Form<Decision>,
) -> Reply<Redirect> {
    let run: i64 = run.parse().map_err(|_| unknown())?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    desk.index.decide_run(&reach, run, form.decision == "approve", &form.reason, now).await?;
    Ok(Redirect::to(&format!("/index/runs/{run}")))
}

/// `POST /index/runs/{run}/undo`
pub(super) async fn undo(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(run): Path<String>,
    Form(form): Form<Decision>,
) -> Reply<Redirect> {
    let run: i64 = run.parse().map_err(|_| unknown())?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    desk.index.undo_run(&reach, run, &form.reason, now).await?;
    Ok(Redirect::to(&format!("/index/runs/{run}")))
}

/// `GET /index/runs/{run}/progress`: asked again while it works.
pub(super) async fn progress_piece(State(desk): State<Desk>, Path(run): Path<String>) -> Reply<Markup> {
    let id: i64 = run.parse().map_err(|_| unknown())?;
    let (state, total, done): (String, i64, i64) =
        sqlx::query_as("select state, total, done from index_run where id = $1")
            .bind(id)
            .fetch_optional(desk.db.pool())
            .await
            .db("read how far a run is")?
            .ok_or_else(unknown)?;
    Ok(under_way(id, &state, total, done))
}

fn under_way(id: i64, state: &str, total: i64, done: i64) -> Markup {
    html! {
        @if matches!(state, "running" | "applying" | "undoing") {
            (progress(&Progress {
                title: self::state(state).1, done: done.unsigned_abs(), total: (total > 0).then(|| total.unsigned_abs()),
                unit: if state == "running" { "条登记（读取与比对各计一次）" } else { "条登记" }, rate: None, again: Some(&format!("/index/runs/{id}/progress")),
            }))
        } @else { (notice(Tone::Good, "已结束", "请刷新页面查看结果。")) }
    }
}

fn unknown() -> Refusal {
    Refusal::not_found("index.run_unknown", "没有这次批量关联，请从列表中选择。")
}

/// A proposed move, for the sample.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Move {
    from_person: i64,
    to_person: Option<i64>,
    weight: Option<f32>,
    state: String,
    name: String,
    institution_id: i32,
}

pub(super) async fn one(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(run): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let id: i64 = run.parse().map_err(|_| unknown())?;
    let run: Run = sqlx::query_as(
        "select id, kind, state, model_version, statistics, total, done, actor, decided_by, reason, started_at,
                finished_at, failure from index_run where id = $1",
    )
    .bind(id)
    .fetch_optional(desk.db.pool())
    .await
    .db("read a run of the index")?
    .ok_or_else(unknown)?;
    let sample = if run.kind == "relink" { sample(&desk, &allowed, id).await? } else { Vec::new() };
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let (tone, word) = state(&run.state);
    let rows: Vec<Row> = sample
        .iter()
        .map(|m| {
            Row::plain(vec![
                html! { (eyes.shown("name", &m.name)) " " small.mk-muted { (desk.institution(m.institution_id)) } },
                html! { a href={ "/index/persons/" (m.from_person) } { "现归" } },
                html! { @match m.to_person { Some(to) => a href={ "/index/persons/" (to) } { "改归" }, None => "另立一人" } },
                html! { (m.weight.map(|w| super::bits::signed(f64::from(w))).unwrap_or_default()) },
                html! { (match m.state.as_str() { "applied" => "已执行", "stale" => "已失效（登记又变动过）", "undone" => "已撤回", _ => "拟议" }) },
            ])
        })
        .collect();
    let body = html! {
        (page_head(&[("批量关联", "/index/runs")], &format!("{} {}", kind(&run.kind), words::time(run.started_at)), "", badge(tone, word)))
        @if !run.failure.is_empty() { (notice(Tone::Bad, "没有完成", &run.failure)) }
        @if matches!(run.state.as_str(), "running" | "applying" | "undoing") {
            (under_way(run.id, &run.state, run.total, run.done))
        }
        (card("概况", describe(&[
            fact("种类", kind(&run.kind)),
            fact("模型", &run.model_version),
            fact("发起人", &run.actor),
            fact("审批人", &run.decided_by),
            fact("说明", &run.reason),
            fact("结束", &run.finished_at.map(words::time).unwrap_or_default()),
        ])))
        @if run.kind == "compare" {
            @if run.state == "done" { (versus::result(&desk, &allowed, run.id, &run.statistics).await?) }
        } @else { (card("统计", statistics(&run.statistics))) }
        (acts(&run, allowed.caller()))
        @if run.kind == "relink" {
            (card_with("拟议的变动（抽样）", html! { small.mk-muted { "最多列出 " (SAMPLE) " 条" } }, html! {
                @if rows.is_empty() { div.mk-card-body.mk-muted { "没有变动：现有的归属与新的评估一致，或涉及的都在您的辖区以外。" } }
                @else { (table(&Here::default(), &[Column::text("登记"), Column::text("现在"), Column::text("之后"), Column::number("证据（比特）"), Column::text("状态")], &rows)) }
            }))
        }
    };
    Ok(frame.page("批量关联", body))
}

async fn moves(tx: &mut Gated<'_>, within: &Within, run: i64) -> Result<Vec<Move>> {
    sqlx::query_as(
        "select c.from_person, c.to_person, c.weight, c.state, i.name, i.institution_id
         from index_change c join identity_record i on i.id = c.identity_id
         where c.run_id = $1 and (i.institution_id = any($2) or i.region like any($3))
         order by c.run_id, c.grp, c.identity_id limit $4",
    )
    .bind(run)
    .bind(&within.institutions)
    .bind(&within.regions)
    .bind(SAMPLE)
    .fetch_all(&mut ***tx)
    .await
    .db("read proposed changes")
}

async fn sample(desk: &Desk, allowed: &Allowed, run: i64) -> Result<Vec<Move>> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let moves = moves(tx, &within, run).await?;
            let entry = AuditEntry {
                act: "person.run_view",
                object_kind: "index_run",
                object_id: Some(run),
                rows: i32::try_from(moves.len()).ok(),
                ..AuditEntry::default()
            };
            Ok((moves, entry))
        })
        .await
}

/// A value in words; a blocking rule with its figure as both, one after the other. Rules that found nothing are left out.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(rule), Value::Number(n)] => {
                n.as_u64().filter(|n| *n > 0).map(|n| format!("{} {}", words::block(rule), thousands(n)))
            }
            pair => Some(pair.iter().filter_map(plain).collect::<Vec<_>>().join(" ")),
        },
        other => Some(other.to_string()),
    }
}

/// Names of figures that runs and models report.
fn figure(code: &str) -> &str {
    match code {
        "records" => "登记数",
        "persons" | "persons_before" => "人数（现在）",
        "persons_after" => "人数（之后）",
        "pairs" => "比对的登记对",
        "candidates" => "候选对",
        "doubts" => "拿不准、待核对的",
        "edges" => "支持同一人的登记对",
        "found_by" => "由各比对键找到",
        "joined" => "将合并的组",
        "split_off" => "将拆出的组",
        "moves" => "改变归属的登记",
        "passed_over" => "过于常见而跳过的比对键",
        "merged" => "将合并的人",
        "split" => "将拆分的人",
        "moved" => "改变归属的登记",
        "groups" => "变动组",
        "tasks" | "reviews" => "新的待核对项",
        "skipped_keys" | "frequent" => "过于常见而跳过的比对键",
        "seconds" => "用时（秒）",
        "iterations" => "迭代次数",
        "threshold" | "link" => "自动关联门槛",
        "review" => "待核对门槛",
        "kept_apart" => "人工分开而保持的",
        "kept_together" => "人工合并而保持的",
        other => other,
    }
}

/// Statistics as a table of facts; nested ones by their path.
pub(super) fn statistics(value: &Value) -> Markup {
    let mut facts = Vec::new();
    fn walk(path: &str, value: &Value, facts: &mut Vec<(String, Markup)>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let name = if path.is_empty() { figure(key) } else { words::block(figure(key)) };
                    let name = if path.is_empty() { name.to_owned() } else { format!("{path} · {name}") };
                    walk(&name, value, facts);
                }
            }
            Value::Array(all) if all.len() > 20 => facts.push(fact(path, &format!("{} 项", all.len()))),
            Value::Array(all) => {
                let words: Vec<String> = all.iter().filter_map(plain).collect();
                facts.push(fact(path, &words.join("、")));
            }
            Value::Number(n) => match n.as_u64() {
                Some(whole) => facts.push(fact(path, &thousands(whole))),
                None => facts.push(fact(path, &format!("{:.4}", n.as_f64().unwrap_or_default()))),
            },
            Value::String(text) => facts.push(fact(path, text)),
            Value::Bool(yes) => facts.push(fact(path, if *yes { "是" } else { "否" })),
            Value::Null => {}
        }
    }
    walk("", value, &mut facts);
    html! { @if facts.is_empty() { p.mk-muted { "还没有统计。" } } @else { (describe(&facts)) } }
}
