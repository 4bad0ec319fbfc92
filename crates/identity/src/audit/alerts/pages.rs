//! `/audit/alerts`: the list of alerts and each with its evidence and what became of it.

use ::store::{AuditEntry, audit};
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use catalog::Severity;
use kernel::{Purpose, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{
    Column, Filter, Here, List, Paging, Row, Tone, badge, card, card_with, describe, empty, fact,
    list as list_of, page_head, table,
};
use web::{Frame, Reply};

use super::store::{self, Alert, Step, Wanted};
use crate::audit::store::{Entry, Sight};
use crate::audit::{APPROVE, pages, parts};
use crate::{Identity, page};

const PAGE: i64 = 50;

/// States: code and name.
const STATES: [(&str, &str); 4] =
    [("open", "待处理"), ("looking", "处理中"), ("handled", "已处理"), ("dismissed", "已排除")];

fn state_name(code: &str) -> &'static str {
    STATES.iter().find(|(known, _)| *known == code).map_or("", |(_, name)| name)
}

fn severity(code: &str) -> Markup {
    match Severity::from_code(code) {
        Some(Severity::High) => badge(Tone::Bad, "高"),
        Some(Severity::Medium) => badge(Tone::Warn, "中"),
        _ => badge(Tone::Neutral, "低"),
    }
}

fn state(code: &str) -> Markup {
    let tone = match code {
        "open" => Tone::Warn,
        "looking" => Tone::Info,
        _ => Tone::Neutral,
    };
    badge(tone, state_name(code))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::audit) struct Asked {
    state: String,
    severity: String,
    rule: String,
    after: String,
}

pub(in crate::audit) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let wanted = Wanted {
        state: asked.state.clone(),
        severity: asked.severity.clone(),
        rule: asked.rule.clone(),
        before: asked.after.parse().ok(),
        id: None,
    };
    let mut alerts = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let alerts = store::alerts(tx, &sight, &wanted, PAGE + 1).await?;
            let entry = AuditEntry {
                act: "audit.view",
                object_kind: "audit_alert",
                rows: i32::try_from(alerts.len()).ok(),
                ..AuditEntry::default()
            };
            Ok((alerts, entry))
        })
        .await?;
    let more = alerts.len() as i64 > PAGE;
    alerts.truncate(PAGE as usize);
    let after = alerts.last().filter(|_| more).map(|a| a.id.to_string());
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect()
    };
    let states = owned(&STATES);
    let grave = owned(&[("high", "高"), ("medium", "中"), ("low", "低")]);
    let rules: Vec<(String, String)> =
        identity.catalog.alerts.iter().map(|r| (r.code.clone(), r.title.clone())).collect();
    let filters = [
        Filter::Choice { name: "state", label: "状态", options: &states },
        Filter::Choice { name: "severity", label: "程度", options: &grave },
        Filter::Choice { name: "rule", label: "规则", options: &rules },
    ];
    let rows = alerts
        .iter()
        .map(|a| {
            let title = identity
                .catalog
                .alerts
                .iter()
                .find(|r| r.code == a.rule)
                .map_or(a.rule.as_str(), |r| &r.title);
            Row::to(
                format!("/audit/alerts/{}", a.id),
                vec![
                    html! { span.mk-date { (page::time(a.raised_at)) } },
                    severity(&a.severity),
                    html! { (title) },
                    html! { (a.title) },
                    state(&a.state),
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[("审计日志", "/audit")], "异常告警", "按目录中的规则（alerts.toml）对新封存的记录逐段评估；同一规则对同一对象一天最多一条。", html! {}))
        (parts("/audit/alerts"))
        (list_of(&here, &List {
            filters: &filters,
            total: None,
            unit: "条",
            columns: &[Column::text("时间"), Column::text("程度"), Column::text("规则"), Column::text("情况"), Column::text("状态")],
            rows,
            paging: Paging::Cursor { before: None, after },
            exports: &[],
            empty: ("没有符合条件的告警", "没有发现异常，或者都已按所选状态处理。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("异常告警", body))
}

fn nothing() -> Refusal {
    Refusal::not_found("audit.no_alert", "没有找到这条告警，或不在您的权限范围内。")
}

pub(in crate::audit) async fn one(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let wanted = Wanted { id: Some(id), ..Wanted::default() };
    let (alert, steps, evidence) = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let alert = store::alerts(tx, &sight, &wanted, 1).await?.pop().ok_or_else(nothing)?;
            let steps = store::steps(tx, id).await?;
            let evidence = store::evidence(tx, &alert).await?;
            let entry = AuditEntry {
                act: "audit.view",
                object_kind: "audit_alert",
                object_id: Some(id),
                object_label: alert.title.clone(),
                person_id: alert.person_id,
                ..AuditEntry::default()
            };
            Ok(((alert, steps, evidence), entry))
        })
        .await?;
    let rule = identity.catalog.alerts.iter().find(|r| r.code == alert.rule);
    let title = rule.map_or_else(|| alert.rule.clone(), |r| r.title.clone());
    let hint = rule.map(|r| r.hint.clone()).unwrap_or_default();
    let handles = allowed.caller().may(APPROVE);
    Ok(frame.page(&title, view(&here, &alert, &title, &hint, &steps, &evidence, handles)))
}

fn view(
    here: &Here,
    alert: &Alert,
    title: &str,
    hint: &str,
    steps: &[Step],
    evidence: &[Entry],
    handles: bool,
) -> Markup {
    let rows: Vec<Row> = evidence.iter().map(pages::row).collect();
    let days = |at| kernel::clock::to_china(at).format("%Y-%m-%d").to_string();
    let span = format!("at_from={}&at_to={}", days(alert.first_at), days(alert.last_at));
    let all = match (alert.account_id, alert.person_id) {
        (Some(account), _) => Some(format!("/audit?account={account}&{span}")),
        (None, Some(person)) => Some(format!("/audit?person={person}&{span}")),
        _ => None,
    };
    html! {
        (page_head(&[("审计日志", "/audit"), ("异常告警", "/audit/alerts")], title, hint, html! {}))
        (card("情况", describe(&[
            fact("情况", &alert.title),
            ("程度".to_owned(), severity(&alert.severity)),
            ("状态".to_owned(), state(&alert.state)),
            fact("发现时间", &page::time(alert.raised_at)),
            fact("涉及时间", &format!("{} 至 {}", page::time(alert.first_at), page::time(alert.last_at))),
            fact("计数", &alert.figure.to_string()),
        ])))
        (card_with("所依据的记录", html! { @if let Some(all) = &all { a href=(all) { "当天的全部相关记录" } } }, html! {
            @if rows.is_empty() { (empty("所依据的记录已归档", "可在归档文件中按时间查找。", None)) }
            @else { (table(here, &pages::COLUMNS, &rows)) }
        }))
        @if !steps.is_empty() {
            (card_with("处理经过", html! {}, page::table(&["时间", "处理人", "状态", "说明"], &steps.iter().map(|s| vec![
                html! { span.mk-date { (page::time(s.at)) } }, html! { (s.by_whom) }, state(&s.state), html! { (s.note) },
            ]).collect::<Vec<_>>())))
        }
        @if handles {
            (card("处理", html! {
                form method="post" action={ "/audit/alerts/" (alert.id) } {
                    (page::control("结论", "state", "", &html! {
                        select #state name="state" required {
                            option value="looking" { "处理中：正在核实" }
                            option value="handled" { "已处理：确有问题，已处置" }
                            option value="dismissed" { "已排除：属正常工作" }
                        }
                    }))
                    (page::control("说明", "note", "写明核实了什么、结论和处置，至少 4 个字", &html! {
                        textarea #note name="note" rows="3" minlength="4" maxlength="1000" required {}
                    }))
                    button.btn.btn-primary type="submit" { "保存" }
                }
            }))
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::audit) struct Handled {
    state: String,
    note: String,
}

pub(in crate::audit) async fn handle(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(form): Form<Handled>,
) -> Reply<Redirect> {
    let note = form.note.trim();
    if !matches!(form.state.as_str(), "looking" | "handled" | "dismissed") {
        return Err(Refusal::invalid("audit.alert_state", "请选择处理结论。").into());
    }
    if note.chars().count() < 4 || note.chars().count() > 1000 {
        return Err(Refusal::invalid("audit.alert_note", "请写明说明，4 到 1000 个字。").into());
    }
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let now = identity.clock.now();
    let wanted = Wanted { id: Some(id), ..Wanted::default() };
    identity
        .db
        .transaction(async |tx| {
            let alert = store::alerts(tx, &sight, &wanted, 1).await?.pop().ok_or_else(nothing)?;
            // Nobody clears what is about themselves.
            if alert.account_id.is_some() && alert.account_id == reach.caller().account.map(kernel::Id::get) {
                return Err(Refusal::forbidden(
                    "audit.own_alert",
                    "这条告警与您本人有关，须由其他审计员处理。",
                )
                .into());
            }
            store::step(tx, id, &form.state, note, reach.caller(), now).await?;
            let entry = AuditEntry {
                act: "audit.alert",
                object_kind: "audit_alert",
                object_id: Some(id),
                object_label: alert.title,
                detail: Some(serde_json::json!({ "before": { "state": state_name(&alert.state) },
                    "after": { "state": state_name(&form.state) }, "reason": note })),
                ..AuditEntry::default()
            };
            audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await
        })
        .await?;
    Ok(Redirect::to(&format!("/audit/alerts/{id}")))
}
