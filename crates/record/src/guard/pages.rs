//! `/glass`: who broke the glass, and what the reviewer found.

use ::store::AuditEntry;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list as ui_list,
    notice, page_head,
};
use web::{Allowed, Frame, Reply};

use super::glass::{kind_name, regions};
use super::store::{self as db, Glass, GlassFilter};
use super::{REVIEW, WATCH};
use crate::Ports;

const PAGE: i64 = 50;
const EXPORTED: i64 = 20_000;

fn time(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() - Duration::seconds(i64::from(CHINA_OFFSET_SECONDS))
}

fn filter(here: &Here, allowed: &Allowed) -> GlassFilter {
    let day = |key: &str| here.get(key).and_then(|d| d.parse::<NaiveDate>().ok());
    GlassFilter {
        regions: regions(allowed.caller(), WATCH),
        state: here
            .get("state")
            .filter(|s| ["waiting", "overdue", "justified", "unjustified"].contains(s))
            .unwrap_or_default()
            .to_owned(),
        who: here.get("who").unwrap_or_default().chars().take(50).collect(),
        from: day("at_from").map(start_of),
        until: day("at_to").map(|d| start_of(d) + Duration::days(1)),
        before: here.get("after").and_then(|a| a.parse().ok()),
    }
}

async fn found(
    ports: &Ports,
    allowed: &Allowed,
    filter: &GlassFilter,
    act: &'static str,
    limit: i64,
) -> Result<Vec<Glass>> {
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("audit"))?;
    ports
        .db
        .personal(&reach, now, async |tx, _| {
            let found = db::glasses(tx, filter, now, limit).await?;
            Ok((found, AuditEntry { act, object_kind: "glass", ..AuditEntry::default() }))
        })
        .await
}

fn state(glass: &Glass, now: DateTime<Utc>) -> (Tone, &'static str) {
    match glass.verdict.as_deref() {
        Some("justified") => (Tone::Good, "理由成立"),
        Some(_) => (Tone::Bad, "理由不成立"),
        None if glass.due_at < now => (Tone::Bad, "逾期未复核"),
        None => (Tone::Warn, "待复核"),
    }
}

pub(super) async fn list(
    State(ports): State<Ports>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let now = ports.clock.now();
    let filter = filter(&here, &allowed);
    let mut glasses = found(&ports, &allowed, &filter, "glass.list", PAGE + 1).await?;
    let more = glasses.len() as i64 > PAGE;
    glasses.truncate(PAGE as usize);
    let after = glasses.last().filter(|_| more).map(|g| g.id.to_string());
    let states = [
        ("waiting", "待复核"),
        ("overdue", "逾期未复核"),
        ("justified", "理由成立"),
        ("unjustified", "理由不成立"),
    ]
    .map(|(code, name)| (code.to_owned(), name.to_owned()));
    let rows = glasses
        .iter()
        .map(|g| {
            let (tone, word) = state(g, now);
            Row::to(
                format!("/glass/{}", g.id),
                vec![
                    html! { span.mk-date { (time(g.at)) } },
                    html! { (g.viewer_name) " " small { (g.viewer_role) } },
                    html! { (g.institution_name) },
                    html! { (g.person_label) },
                    html! { (kind_name(&g.kind)) },
                    html! { (g.reason) },
                    badge(tone, word),
                ],
            )
        })
        .collect();
    let view = List {
        filters: &[
            Filter::Choice { name: "state", label: "状态", options: &states },
            Filter::Days { name: "at", label: "日期" },
            Filter::Text { name: "who", label: "调阅人", hint: "姓名或单位" },
        ],
        total: None,
        unit: "次",
        columns: &[
            Column::text("时间"),
            Column::text("调阅人"),
            Column::text("单位"),
            Column::text("居民"),
            Column::text("情况"),
            Column::text("理由"),
            Column::text("复核"),
        ],
        rows,
        paging: Paging::Cursor { before: None, after },
        exports: &[Export { label: "导出 CSV", path: "/glass.csv" }],
        empty: ("没有紧急调阅", "在您的范围内，没有符合条件的紧急调阅。"),
        empty_action: None,
    };
    Ok(frame.page("紧急调阅复核", html! {
        (page_head(&[], "紧急调阅复核", "医务人员在紧急情况下打开封存档案或受保护内容的每一次记录，逐例复核。", html! {}))
        (ui_list(&here, &view))
    }))
}

pub(super) async fn export(
    State(ports): State<Ports>,
    allowed: Allowed,
    here: Here,
) -> Reply<web::download::Download> {
    let now = ports.clock.now();
    let filter = GlassFilter { before: None, ..filter(&here, &allowed) };
    let glasses = found(&ports, &allowed, &filter, "glass.export", EXPORTED).await?;
    let heads =
        ["时间", "调阅人", "角色", "单位", "居民", "情况", "理由", "复核", "复核人", "复核时间", "复核意见"];
    Ok(web::download::csv(
        "glass.csv",
        &heads,
        glasses.into_iter().map(|g| {
            let word = state(&g, now).1.to_owned();
            vec![
                time(g.at),
                g.viewer_name,
                g.viewer_role,
                g.institution_name,
                g.person_label,
                kind_name(&g.kind).to_owned(),
                g.reason,
                word,
                g.reviewed_by.unwrap_or_default(),
                g.reviewed_at.map(time).unwrap_or_default(),
                g.review_note,
            ]
        }),
    ))
}

fn none() -> Refusal {
    Refusal::not_found("glass.none", "没有这次紧急调阅，或它不在您的范围内。")
}

pub(super) async fn detail(
    State(ports): State<Ports>,
    allowed: Allowed,
    Path(id): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let id: i64 = id.parse().map_err(|_| none())?;
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("audit"))?;
    let within = regions(allowed.caller(), WATCH);
    let glass = ports
        .db
        .personal(&reach, now, async |tx, _| {
            let glass = db::glass(tx, id, &within).await?.ok_or_else(none)?;
            let entry = AuditEntry {
                act: "glass.view",
                object_kind: "glass",
                object_id: Some(id),
                person_id: Some(glass.person_id),
                ..AuditEntry::default()
            };
            Ok((glass, entry))
        })
        .await?;
    let (tone, word) = state(&glass, now);
    let mine = allowed.caller().may(REVIEW) && glass.verdict.is_none() && !own(&allowed, &glass);
    Ok(frame.page("紧急调阅复核", html! {
        (page_head(&[("紧急调阅复核", "/glass")], &format!("{} 的紧急调阅", glass.viewer_name), "", badge(tone, word)))
        (card("经过", describe(&[
            fact("调阅人", &format!("{}（{}）", glass.viewer_name, glass.viewer_role)),
            fact("单位", &glass.institution_name),
            fact("居民", &glass.person_label),
            fact("情况", kind_name(&glass.kind)),
            fact("理由", &glass.reason),
            fact("打开时间", &time(glass.at)),
            fact("关闭时间", &time(glass.expires_at)),
            fact("复核时限", &time(glass.due_at)),
            ("此后查看的内容".to_owned(), html! {
                a href={ "/audit?person=" (glass.person_id) "&actor=" (glass.viewer_name) } { "在审计日志中查看" }
            }),
        ])))
        @match &glass.verdict {
            Some(_) => (card("复核结论", describe(&[
                fact("结论", word),
                fact("复核人", glass.reviewed_by.as_deref().unwrap_or_default()),
                fact("时间", &glass.reviewed_at.map(time).unwrap_or_default()),
                fact("意见", &glass.review_note),
            ]))),
            None if mine => (card("复核", html! {
                form method="post" action={ "/glass/" (glass.id) "/review" } {
                    fieldset.mk-choices {
                        legend.mk-hidden { "结论" }
                        label { input type="radio" name="verdict" value="justified" required; " 理由成立" }
                        label { input type="radio" name="verdict" value="unjustified"; " 理由不成立" }
                    }
                    div.mk-field {
                        label for="note" { "复核意见 " em { "*" } }
                        textarea.form-control id="note" name="note" rows="3" maxlength="500" required minlength="2"
                            placeholder="核对了什么，结论的依据；不成立的写明处理意见" {}
                    }
                    div.mk-form-acts { button.btn.btn-primary type="submit" { "提交复核" } a.btn href="/glass" { "返回" } }
                }
            })),
            None => (notice(Tone::Neutral, "等待复核", "由有审计审批权限的人员复核；调阅人不能复核自己的调阅。")),
        }
    }))
}

fn own(allowed: &Allowed, glass: &Glass) -> bool {
    crate::door::viewer(allowed.caller()) == glass.viewer
}

#[derive(Debug, Deserialize)]
pub(super) struct ReviewForm {
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    note: String,
}

pub(super) async fn review(
    State(ports): State<Ports>,
    allowed: Allowed,
    Path(id): Path<String>,
    axum::Form(form): axum::Form<ReviewForm>,
) -> Reply<Redirect> {
    let id: i64 = id.parse().map_err(|_| none())?;
    if !["justified", "unjustified"].contains(&form.verdict.as_str()) {
        return Err(Refusal::invalid("glass.verdict", "请选择复核结论。").into());
    }
    let note: String = form.note.trim().chars().take(500).collect();
    if note.chars().count() < 2 {
        return Err(Refusal::invalid("glass.note", "请填写复核意见。").into());
    }
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("audit"))?;
    let within = regions(allowed.caller(), REVIEW);
    ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let glass = db::glass(tx, id, &within).await?.ok_or_else(none)?;
            if own(&allowed, &glass) {
                return Err(Refusal::forbidden("glass.own", "不能复核自己的紧急调阅。").into());
            }
            if !db::review(tx, id, &form.verdict, &reach.caller().name, &note, now).await? {
                return Err(Refusal::conflict(
                    "glass.reviewed",
                    "这次紧急调阅已由他人复核，请刷新页面查看结论。",
                )
                .into());
            }
            let entry = AuditEntry {
                act: "glass.review",
                object_kind: "glass",
                object_id: Some(id),
                person_id: Some(glass.person_id),
                detail: Some(serde_json::json!({ "verdict": form.verdict, "note": note })),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to(&format!("/glass/{id}")))
}
