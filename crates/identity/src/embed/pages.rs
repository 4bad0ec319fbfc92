//! `/workstations`: the hospital workstations that open embedded records, named, registered and revoked by their
//! administrator.

use ::store::{AuditEntry, audit};
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use kernel::{Id, Purpose, Reach, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Filter as Choose, Here, Paging, Tone, badge, filter_form, page_head, paging};
use web::{Frame, Reply};

use super::store::{self, Workstation};
use crate::account::store::contains;
use crate::{Identity, page};

const PAGE: i64 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    state: String,
    after: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Naming {
    name: String,
}

fn within(identity: &Identity, reach: &Reach) -> Vec<i32> {
    identity
        .institutions
        .all()
        .iter()
        .filter(|card| reach.covers(card.id, &card.region))
        .filter_map(|card| i32::try_from(card.id.get()).ok())
        .collect()
}

fn state_name(state: &str) -> (&'static str, Tone) {
    match state {
        "registered" => ("已登记", Tone::Good),
        "revoked" => ("已停用", Tone::Bad),
        _ => ("未登记", Tone::Warn),
    }
}

fn institution(identity: &Identity, row: &Workstation) -> String {
    identity
        .institutions
        .by_id(Id::new(i64::from(row.institution_id)))
        .map_or_else(String::new, |card| card.name.clone())
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let units = within(&identity, &reach);
    let text = contains(&asked.q);
    let before = asked.after.parse().ok();
    let mut rows =
        store::workstations(identity.db.pool(), &units, &text, &asked.state, before, PAGE + 1).await?;
    let more = rows.len() as i64 > PAGE;
    rows.truncate(usize::try_from(PAGE).unwrap_or(50));
    let after = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let states: Vec<(String, String)> = ["new", "registered", "revoked"]
        .iter()
        .map(|state| ((*state).to_owned(), state_name(state).0.to_owned()))
        .collect();
    let only = identity.options.flag("embed.registered_only");
    let export = here.with(&[("after", "")]).at("/workstations.csv").href();
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            let base = format!("/workstations/{}", row.id);
            let (name, tone) = state_name(&row.state);
            vec![
                html! {
                    form.mk-inline method="post" action={ (base) "/register" } {
                        input.form-control name="name" value=(row.name) maxlength="60" required placeholder="如 内科一诊室" aria-label="名称";
                        button.btn.btn-sm type="submit" { @if row.state == "registered" { "改名" } @else { "登记" } }
                    }
                },
                html! { (institution(&identity, row)) },
                badge(tone, name),
                html! { (row.last_staff) },
                html! { (row.address) br; small { (crate::account::device(&row.agent)) } },
                html! { span.mk-date { (page::time(row.last_seen_at)) } },
                html! { @if row.state != "revoked" { (page::asked_button(&format!("{base}/revoke"), "停用", "btn-sm", "停用后这台工作站不能再打开健康档案，确定停用？")) } },
            ]
        })
        .collect();
    let note = if only {
        "只有已登记的工作站能打开健康档案。"
    } else {
        "未登记的工作站也能打开健康档案；可在系统设置中改为只允许已登记的。"
    };
    let body = html! {
        (page_head(&[], "医院工作站", note, html! {}))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Choose::Text { name: "q", label: "名称、使用人或地址", hint: "如 内科" },
                Choose::Choice { name: "state", label: "状态", options: &states },
            ]))
            (page::list_bar("", &html! { a href=(export) { "导出 CSV" } }))
            @if rows.is_empty() {
                (web::ui::empty("没有工作站", "医院工作站第一次通过签名链接打开健康档案后出现在这里。", None))
            } @else {
                (page::table(&["名称", "机构", "状态", "最近使用人", "地址", "最近使用", ""], &cells))
            }
        }
        (paging(&here, &Paging::Cursor { before: None, after }))
    };
    Ok(frame.page("医院工作站", body))
}

pub(super) async fn csv(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<web::download::Download> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let units = within(&identity, &reach);
    let rows = store::workstations(
        identity.db.pool(),
        &units,
        &contains(&asked.q),
        &asked.state,
        None,
        crate::account::store::EXPORT,
    )
    .await?;
    let heads = ["名称", "机构", "状态", "最近使用人", "地址", "首次使用", "最近使用"];
    Ok(web::download::csv(
        "workstations.csv",
        &heads,
        rows.into_iter().map(|row| {
            vec![
                row.name.clone(),
                institution(&identity, &row),
                state_name(&row.state).0.to_owned(),
                row.last_staff.clone(),
                row.address.clone(),
                page::time(row.first_seen_at),
                page::time(row.last_seen_at),
            ]
        }),
    ))
}

pub(super) async fn register(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(workstation): Path<i64>,
    Form(given): Form<Naming>,
) -> Reply<Redirect> {
    let name = given.name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Err(
            Refusal::invalid("workstation.name", "请填写工作站的名称（60 字以内），如科室和位置。").into()
        );
    }
    change(&identity, &allowed, workstation, "registered", Some(name)).await
}

pub(super) async fn revoke(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(workstation): Path<i64>,
) -> Reply<Redirect> {
    change(&identity, &allowed, workstation, "revoked", None).await
}

async fn change(
    identity: &Identity,
    allowed: &Allowed,
    workstation: i64,
    state: &'static str,
    name: Option<&str>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let row = store::workstation(identity.db.pool(), workstation)
        .await?
        .filter(|row| within(identity, &reach).contains(&row.institution_id))
        .ok_or_else(|| Refusal::not_found("workstation.none", "没有这台工作站，或它不在您的辖区内。"))?;
    let name = name.unwrap_or(&row.name).to_owned();
    let now = identity.clock.now();
    let by = allowed.caller();
    identity
        .db
        .transaction(async |tx| {
            store::set_workstation(tx, row.id, state, &name, &by.name, now).await?;
            let entry = AuditEntry {
                act: if state == "revoked" { "workstation.revoke" } else { "workstation.register" },
                object_kind: "workstation",
                object_id: Some(row.id),
                object_label: name.clone(),
                ..AuditEntry::default()
            };
            audit::record(tx, by, &Purpose::of("administration"), now, &entry).await
        })
        .await?;
    identity.gatekeeper.forget_embedded();
    Ok(Redirect::to("/workstations"))
}
