//! `/index/models`: comparison models: which is in force, what was learnt, field by field, beside what another learnt. What
//! each would decide is compared by a run ([`super::versus`]).

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use kernel::{Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use store::DbDoing;
use web::route::Allowed;
use web::ui::{
    Column, Here, List, Paging, Row, Tone, badge, card, card_with, describe, fact, list, page_head, table,
    thousands,
};
use web::{Frame, Reply};

use super::{APPROVE, Desk, bits, runs, versus, words};
use crate::runs::{SHIPPED, shipped_version};

#[derive(Debug, Clone, sqlx::FromRow)]
struct Model {
    id: i64,
    version: String,
    parameters: Option<Value>,
    report: Value,
    trained_on: i64,
    trained_at: Option<DateTime<Utc>>,
    actor: String,
    in_force: bool,
    in_force_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "
    select id, version, parameters, report, trained_on, trained_at, actor, in_force, in_force_at
    from person_model where ($1::bigint is null or id = $1) order by in_force desc, id desc limit 200";

async fn models(desk: &Desk, id: Option<i64>) -> Result<Vec<Model>> {
    let mut all: Vec<Model> =
        sqlx::query_as(SELECT).bind(id).fetch_all(desk.db.pool()).await.db("read comparison models")?;
    if id.is_none_or(|id| id == SHIPPED) {
        // The one that comes with the platform decides where no other was put in force.
        let other: bool = sqlx::query_scalar("select exists (select from person_model where in_force)")
            .fetch_one(desk.db.pool())
            .await
            .db("look which model is in force")?;
        let shipped = Model {
            id: SHIPPED,
            version: format!("{}（随平台发布）", shipped_version()?),
            parameters: None,
            report: Value::Null,
            trained_on: 0,
            trained_at: None,
            actor: String::new(),
            in_force: !other,
            in_force_at: None,
        };
        if other { all.push(shipped) } else { all.insert(0, shipped) }
    }
    Ok(all)
}

/// The models that can be compared: number, name, whether it is in force.
pub(super) async fn choices(desk: &Desk) -> Result<Vec<(i64, String, bool)>> {
    Ok(models(desk, None).await?.into_iter().map(|m| (m.id, m.version, m.in_force)).collect())
}

pub(super) async fn page(State(desk): State<Desk>, here: Here, frame: Frame) -> Reply<Markup> {
    let all = models(&desk, None).await?;
    let rows = all
        .iter()
        .map(|m| {
            Row::to(
                format!("/index/models/{}", m.id),
                vec![
                    html! { (m.version) },
                    if m.in_force {
                        badge(Tone::Good, "使用中")
                    } else {
                        badge(Tone::Neutral, "未启用")
                    },
                    html! { @if m.parameters.is_some() { "由登记训练" } @else { "按目录的初始值" } },
                    html! { @if m.trained_on > 0 { (thousands(m.trained_on.unsigned_abs())) } },
                    html! { (m.actor) small.mk-muted { (m.trained_at.map(words::time).unwrap_or_default()) } },
                    html! { (m.in_force_at.map(words::time).unwrap_or_default()) },
                ],
            )
        })
        .collect();
    let view = List {
        filters: &[],
        total: Some(all.len() as u64),
        unit: "个模型",
        columns: &[
            Column::text("版本"),
            Column::text("状态"),
            Column::text("参数"),
            Column::number("训练用登记"),
            Column::text("建立"),
            Column::text("启用"),
        ],
        rows,
        paging: Paging::Whole,
        exports: &[],
        empty: ("没有比对模型", "随平台发布的模型无法读取，请联系运维人员。"),
        empty_action: None,
    };
    Ok(frame.page("比对模型", html! {
        (page_head(&[("批量关联", "/index/runs")], "比对模型", "怎样比较两条登记：比哪些项、每种相同和不同各值多少证据。每个结论都记下所用的版本。", html! {}))
        (list(&here, &view))
        (versus::form(&all.iter().map(|m| (m.id, m.version.clone(), m.in_force)).collect::<Vec<_>>()))
    }))
}

fn unknown() -> Refusal {
    Refusal::not_found("index.model_unknown", "没有这个模型，请从列表中选择。")
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Force {
    reason: String,
}

/// `POST /index/models/{model}/force`
pub(super) async fn force(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(model): Path<String>,
    Form(form): Form<Force>,
) -> Reply<Redirect> {
    let id: i64 = model.parse().map_err(|_| unknown())?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    desk.index.put_in_force(&reach, id, &form.reason, now).await?;
    Ok(Redirect::to(&format!("/index/models/{id}")))
}

/// Levels of a trained field as the parameters hold them: name, m, u.
fn levels(parameters: &Value) -> Vec<(String, String, f64, f64)> {
    let number = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64);
    let mut all = Vec::new();
    let fields: Vec<(String, &Value)> = match parameters.get("fields") {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|f| Some((f.get("name").or_else(|| f.get("field"))?.as_str()?.to_owned(), f)))
            .collect(),
        Some(Value::Object(map)) => map.iter().map(|(name, f)| (name.clone(), f)).collect(),
        _ => Vec::new(),
    };
    for (name, field) in fields {
        let list: Vec<(String, &Value)> = match field.get("levels") {
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|l| Some((l.get("level").or_else(|| l.get("name"))?.as_str()?.to_owned(), l)))
                .collect(),
            Some(Value::Object(map)) => map.iter().map(|(level, l)| (level.clone(), l)).collect(),
            _ => Vec::new(),
        };
        for (level, value) in list {
            if let (Some(m), Some(u)) = (number(value, "m"), number(value, "u")) {
                all.push((name.clone(), level, m, u));
            }
        }
    }
    all
}

pub(super) async fn one(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(model): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let id: i64 = model.parse().map_err(|_| unknown())?;
    let model = models(&desk, Some(id)).await?.pop().ok_or_else(unknown)?;
    let all = models(&desk, None).await?;
    let other = here.get("with").and_then(|w| w.parse::<i64>().ok());
    let other = all.iter().find(|m| Some(m.id) == other || other.is_none() && m.in_force && m.id != model.id);
    let theirs = other.and_then(|m| m.parameters.as_ref()).map(levels).unwrap_or_default();
    let learnt = model.parameters.as_ref().map(levels).unwrap_or_default();
    let weight = |m: f64, u: f64| (m.max(1e-9) / u.max(1e-9)).log2();
    let rows: Vec<Row> = learnt
        .iter()
        .map(|(field, level, m, u)| {
            let before =
                theirs.iter().find(|(f, l, ..)| f == field && l == level).map(|(.., m, u)| weight(*m, *u));
            Row::plain(vec![
                html! { (words::field(field)) },
                html! { (words::level(level)) },
                html! { (format!("{:.4}", m)) },
                html! { (format!("{:.6}", u)) },
                html! { (bits::bar(weight(*m, *u))) " " (bits::signed(weight(*m, *u))) },
                html! { (before.map(bits::signed).unwrap_or_default()) },
            ])
        })
        .collect();
    let body = html! {
        (page_head(&[("比对模型", "/index/models")], &model.version, "", if model.in_force { badge(Tone::Good, "使用中") } else { badge(Tone::Neutral, "未启用") }))
        (card("概况", describe(&[
            fact("训练用登记", &thousands(model.trained_on.unsigned_abs())),
            fact("建立", &format!("{}　{}", model.actor, model.trained_at.map(words::time).unwrap_or_default())),
            fact("启用", &model.in_force_at.map(words::time).unwrap_or_default()),
        ])))
        @if !model.in_force && allowed.caller().may(APPROVE) {
            (card("启用", html! {
                p { "启用后，新到的登记按这个模型比对；已有的归属不变，需要时再发起“重新评估全部登记”。比对键的规则变了的，会在后台重写。" }
                form.mk-inline method="post" action={ "/index/models/" (model.id) "/force" } {
                    input.form-control name="reason" required minlength="2" maxlength="200" placeholder="理由，例如：与现用模型比较，抽查无误" aria-label="理由" autocomplete="off";
                    button.btn.btn-primary type="submit" { "启用这个模型" }
                }
            }))
        }
        @if all.len() > 1 {
            (versus::against(model.id, &all.iter().filter(|m| m.id != model.id).map(|m| (m.id, m.version.clone(), m.in_force)).collect::<Vec<_>>()))
        }
        (card_with("学到的证据", html! { small.mk-muted { "m：同一人的登记中的比例；u：不同的人中的比例；证据为二者之比的对数（比特）" } }, html! {
            @if all.len() > 1 && !rows.is_empty() {
                form.mk-inline.mk-card-body method="get" {
                    label for="with" { "与另一个模型并列：" }
                    select.form-select id="with" name="with" { @for m in all.iter().filter(|m| m.id != model.id) { option value=(m.id) selected[Some(m.id) == other.map(|o| o.id)] { (m.version) @if m.in_force { "（使用中）" } } } }
                    button.btn type="submit" { "并列" }
                }
            }
            @if rows.is_empty() { div.mk-card-body.mk-muted { "这个模型没有训练，使用目录中的初始值。" } }
            @else { (table(&Here::default(), &[Column::text("项目"), Column::text("相同的程度"), Column::number("m"), Column::number("u"), Column::text("证据（比特）"), Column::number(if other.is_some() { "另一个模型" } else { "" })], &rows)) }
        }))
        (card("训练时的统计", runs::statistics(model.report.get("figures").unwrap_or(&Value::Null))))
    };
    Ok(frame.page("比对模型", body))
}
