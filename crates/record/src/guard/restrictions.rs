//! `/restrictions`: seals and refusals, recorded and lifted by those who manage the medical line.

use std::collections::HashMap;

use ::store::AuditEntry;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use contracts::PersonCard;
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Purpose, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::ui::{
    Column, Filter, Here, List, Paging, Row, Tone, badge, card, list as ui_list, notice, page_head,
};
use web::{Allowed, Frame, Reply, mask};

use super::rules::within;
use super::store::{self as db, NewRestriction, Restriction};
use crate::Ports;
use crate::banner::sex;
use crate::door::nobody;

const PAGE: i64 = 50;

/// Kinds: code and name.
const KINDS: [(&str, &str); 2] = [("seal", "封存"), ("refusal", "本人拒绝调阅")];
/// Scopes: code and name.
const SCOPES: [(&str, &str); 2] =
    [("others", "未在本机构就诊、建档的机构不能查看"), ("all", "所有机构都不能查看（只能紧急调阅）")];

fn name(list: &[(&'static str, &'static str)], code: &str) -> &'static str {
    list.iter().find(|(c, _)| *c == code).map_or("", |(_, name)| name)
}

fn time(at: DateTime<Utc>) -> String {
    kernel::clock::to_china(at).format("%Y-%m-%d %H:%M").to_string()
}

fn none() -> Refusal {
    Refusal::not_found("restriction.none", "没有这条调阅限制，或它不在您的范围内。")
}

fn state(r: &Restriction, now: DateTime<Utc>) -> (Tone, &'static str) {
    if r.lifted_at.is_some() {
        (Tone::Neutral, "已解除")
    } else if r.until.is_some_and(|until| until <= now) {
        (Tone::Neutral, "已到期")
    } else {
        (Tone::Warn, "生效中")
    }
}

pub(super) async fn list(
    State(ports): State<Ports>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("quality"))?;
    let open = here.get("state") != Some("all");
    let before = here.get("after").and_then(|a| a.parse().ok());
    let (restrictions, whose) = ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let found = db::list_restrictions(tx, open, None, before, now, PAGE + 1).await?;
            let ids: Vec<i64> = found.iter().map(|r| r.identity_id).collect();
            let mut whose: HashMap<i64, PersonCard> = HashMap::new();
            for card in ports.persons.cards_of(tx, &ids).await? {
                let place = ports.place_of(tx, reach, &card).await?;
                if place.care || place.within {
                    for identity in &card.identities {
                        whose.insert(identity.identity_id, card.clone());
                    }
                }
            }
            let entry =
                AuditEntry { act: "restriction.list", object_kind: "restriction", ..AuditEntry::default() };
            Ok(((found, whose), entry))
        })
        .await?;
    let more = restrictions.len() as i64 > PAGE;
    let after = restrictions.get(PAGE as usize - 1).filter(|_| more).map(|r| r.id.to_string());
    let rows = restrictions
        .iter()
        .take(PAGE as usize)
        .filter_map(|r| Some((r, whose.get(&r.identity_id)?)))
        .map(|(r, card)| {
            let (tone, word) = state(r, now);
            Row::plain(vec![
                html! { (mask::name(&card.name)) " " small { (sex(&card.sex)) } },
                html! { (name(&KINDS, &r.kind)) },
                html! { (name(&SCOPES, &r.scope)) },
                html! { (r.reason) },
                html! { (r.recorded_by) " " small.mk-date { (time(r.recorded_at)) } },
                html! { span.mk-date { (r.until.map_or_else(|| "长期".to_owned(), time)) } },
                html! {
                    (badge(tone, word))
                    @if let Some(by) = &r.lifted_by { small { (by) "：" (r.lift_reason) } }
                },
                html! {
                    @if r.lifted_at.is_none() {
                        form.mk-inline method="post" action={ "/restrictions/" (r.id) "/lift" } {
                            input.form-control name="reason" required maxlength="200" placeholder="解除原因" aria-label="解除原因";
                            button.btn type="submit" { "解除" }
                        }
                    }
                },
            ])
        })
        .collect();
    let states = [("all".to_owned(), "含已解除和到期的".to_owned())];
    let view = List {
        filters: &[Filter::Choice { name: "state", label: "状态", options: &states }],
        total: None,
        unit: "条",
        columns: &["居民", "种类", "范围", "原因", "登记", "有效期", "状态", "解除"].map(Column::text),
        rows,
        paging: Paging::Cursor { before: None, after },
        exports: &[],
        empty: ("没有调阅限制", "需要封存档案，或居民本人要求不被其他机构调阅时，从该居民的健康档案页登记。"),
        empty_action: Some(("查找居民", "/persons")),
    };
    Ok(frame.page("调阅限制", html! {
        (page_head(&[], "调阅限制", "封存的档案，和居民本人拒绝调阅的档案。限制跟随居民，合并或拆分后仍有效。", html! {}))
        (ui_list(&here, &view))
    }))
}

pub(super) async fn form(
    State(ports): State<Ports>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let person: i64 = here.get("person").and_then(|p| p.parse().ok()).ok_or_else(nobody)?;
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("quality"))?;
    let card_of = ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let found =
                ports.persons.card(tx, person).await?.filter(|c| within(reach, c, &*ports.institutions));
            let card = found.ok_or_else(nobody)?;
            let entry = AuditEntry {
                act: "restriction.form",
                object_kind: "person",
                object_id: Some(person),
                object_label: card.name.clone(),
                person_id: Some(person),
                ..AuditEntry::default()
            };
            Ok((card, entry))
        })
        .await?;
    Ok(frame.page("登记调阅限制", html! {
        (page_head(&[("调阅限制", "/restrictions")], "登记调阅限制", "登记后立即生效；紧急调阅仍可打开，但每次都会通知并复核。", html! {}))
        (notice(Tone::Neutral, "居民", &format!("{} {}", mask::name(&card_of.name), sex(&card_of.sex))))
        (card("限制", html! {
            form method="post" action="/restrictions" {
                input type="hidden" name="person" value=(person);
                fieldset.mk-choices {
                    legend { "种类" }
                    @for (code, title) in KINDS { label { input type="radio" name="kind" value=(code) required; " " (title) } }
                }
                fieldset.mk-choices {
                    legend { "范围" }
                    @for (code, title) in SCOPES { label { input type="radio" name="scope" value=(code) required; " " (title) } }
                }
                div.mk-field {
                    label for="until" { "有效期至" }
                    input.form-control type="date" id="until" name="until";
                    small { "留空为长期有效。" }
                }
                div.mk-field {
                    label for="reason" { "原因 " em { "*" } }
                    input.form-control id="reason" name="reason" required minlength="2" maxlength="200"
                        placeholder="例如：本人书面申请，编号 2025-013";
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "登记" } a.btn href={ "/record/" (person) } { "返回" } }
            }
        }))
    }))
}

#[derive(Debug, Deserialize)]
pub(super) struct RestrictionForm {
    #[serde(default)]
    person: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn add(
    State(ports): State<Ports>,
    allowed: Allowed,
    axum::Form(form): axum::Form<RestrictionForm>,
) -> Reply<Redirect> {
    let person: i64 = form.person.parse().map_err(|_| nobody())?;
    let reason: String = form.reason.trim().chars().take(200).collect();
    if name(&KINDS, &form.kind).is_empty()
        || name(&SCOPES, &form.scope).is_empty()
        || reason.chars().count() < 2
    {
        return Err(Refusal::invalid("restriction.incomplete", "请选择种类和范围，并填写原因。").into());
    }
    let now = ports.clock.now();
    let until = match form.until.trim() {
        "" => None,
        text => {
            let day: NaiveDate = text
                .parse()
                .map_err(|_| Refusal::invalid("restriction.until", "有效期应为日期，例如 2026-12-31。"))?;
            // Through the whole of that day in China.
            let end = day.and_time(NaiveTime::MIN).and_utc()
                - Duration::seconds(i64::from(CHINA_OFFSET_SECONDS))
                + Duration::days(1);
            if end <= now {
                return Err(Refusal::invalid("restriction.until", "有效期不能早于今天。").into());
            }
            Some(end)
        }
    };
    let reach = allowed.reach(Purpose::of("quality"))?;
    ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let found = ports.persons.card(tx, person).await?.filter(|c| within(reach, c, &*ports.institutions));
            let card = found.ok_or_else(nobody)?;
            let identity = card.identities.first().map(|i| i.identity_id).ok_or_else(nobody)?;
            let new = NewRestriction { identity, kind: &form.kind, scope: &form.scope, reason: &reason, until };
            let id = db::restrict(tx, reach.caller(), &new, now).await?;
            let entry = AuditEntry {
                act: "restriction.add",
                object_kind: "person",
                object_id: Some(person),
                object_label: card.name,
                person_id: Some(person),
                detail: Some(serde_json::json!({
                    "restriction": id, "kind": form.kind, "scope": form.scope, "reason": reason, "until": until,
                })),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to("/restrictions"))
}

#[derive(Debug, Deserialize)]
pub(super) struct LiftForm {
    #[serde(default)]
    reason: String,
}

pub(super) async fn lift(
    State(ports): State<Ports>,
    allowed: Allowed,
    Path(id): Path<String>,
    axum::Form(form): axum::Form<LiftForm>,
) -> Reply<Redirect> {
    let id: i64 = id.parse().map_err(|_| none())?;
    let reason: String = form.reason.trim().chars().take(200).collect();
    if reason.chars().count() < 2 {
        return Err(Refusal::invalid("restriction.reason", "请填写解除原因。").into());
    }
    let now = ports.clock.now();
    let reach = allowed.reach(Purpose::of("quality"))?;
    ports
        .db
        .personal(&reach, now, async |tx, reach| {
            let restriction = db::restriction(tx, id).await?.ok_or_else(none)?;
            let cards = ports.persons.cards_of(tx, &[restriction.identity_id]).await?;
            let card = cards.into_iter().find(|c| within(reach, c, &*ports.institutions)).ok_or_else(none)?;
            if !db::lift(tx, id, &reach.caller().name, &reason, now).await? {
                return Err(
                    Refusal::conflict("restriction.lifted", "这条限制已由他人解除，请刷新页面。").into()
                );
            }
            let entry = AuditEntry {
                act: "restriction.lift",
                object_kind: "person",
                object_id: Some(card.person_id),
                object_label: card.name,
                person_id: Some(card.person_id),
                detail: Some(serde_json::json!({ "restriction": id, "reason": reason })),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to("/restrictions"))
}
