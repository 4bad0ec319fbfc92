//! `/accounts`: the accounts of an administrator's region or unit, filtered, paged and exported.

use std::sync::Arc;

use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use contracts::InstitutionCard;
use kernel::{AccountId, Id, Purpose, Reach, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Filter as Choose, Here, Paging, Tone, badge, card, filter_form, page_head, paging};
use web::{Frame, Reply};

use super::life::state_name;
use super::store::{self, AccountRow, Filter};
use crate::page::{self, FileOut};
use crate::{Identity, grants};

pub(super) const WAY: &[(&str, &str)] = &[("账号", "/accounts")];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    role: String,
    state: String,
    unit: String,
    second: String,
    seen: String,
    after: String,
}

impl Asked {
    fn filter(&self, identity: &Identity) -> Filter {
        let unit = self.unit.trim();
        let units = (!unit.is_empty()).then(|| {
            identity
                .institutions
                .all()
                .iter()
                .filter(|card| {
                    card.name.contains(unit) || card.short_name.contains(unit) || card.code == unit
                })
                .filter_map(|card| i32::try_from(card.id.get()).ok())
                .collect()
        });
        Filter {
            text: self.q.clone(),
            role: self.role.clone(),
            state: self.state.clone(),
            units,
            second: self.second.clone(),
            seen: self.seen.clone(),
            before: self.after.parse().ok(),
        }
    }
}

fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect()
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let (pool, now, filter) = (identity.db.pool(), identity.clock.now(), asked.filter(&identity));
    let mut rows = store::list(pool, &reach, &filter, now, store::PAGE + 1).await?;
    let total = store::count(pool, &reach, &filter, now).await?;
    let more = rows.len() as i64 > store::PAGE;
    rows.truncate(usize::try_from(store::PAGE).unwrap_or(50));
    let after = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let roles: Vec<(String, String)> =
        identity.catalog.roles.iter().map(|r| (r.code.clone(), r.name.clone())).collect();
    let states = options(&[
        ("open", "正常"),
        ("first", "待改初始密码"),
        ("guarded", "输错密码暂停"),
        ("locked", "已锁定"),
        ("moved", "待新单位确认"),
        ("dormant", "长期未登录停用"),
        ("closed", "已停用"),
    ]);
    let second = options(&[("yes", "已设置"), ("no", "未设置")]);
    let seen = options(&[
        ("7", "7 天内登录过"),
        ("30", "30 天内登录过"),
        ("90", "90 天内登录过"),
        ("never", "从未登录"),
    ]);
    let whole = here.with(&[("after", "")]);
    let (csv, xlsx) = (whole.at("/accounts.csv").href(), whole.at("/accounts.xlsx").href());
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                html! { a href={ "/accounts/" (row.id) } { (row.name) } @if !row.staff_no.is_empty() { " " small { (row.staff_no) } } },
                html! { (row.login) },
                html! { (role_name(&identity, &row.role)) },
                html! { (unit(&identity, row)) },
                state_badge(row, now),
                if row.has_second { badge(Tone::Good, "已设置") } else { html! { span.mk-muted { "未设置" } } },
                html! { span.mk-date { (row.last_sign_in_at.map(page::time).unwrap_or_else(|| "从未登录".to_owned())) } },
            ]
        })
        .collect();
    let body = html! {
        (page_head(&[], "账号", "本辖区工作人员的登录账号。", html! {
            a.btn href="/accounts/import" { "批量开通" }
            a.btn.btn-primary href="/accounts/new" { "开通账号" }
        }))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Choose::Text { name: "q", label: "姓名、登录名或工号", hint: "如 王" },
                Choose::Text { name: "unit", label: "单位", hint: "名称中的几个字" },
                Choose::Choice { name: "role", label: "角色", options: &roles },
                Choose::Choice { name: "state", label: "状态", options: &states },
                Choose::Choice { name: "second", label: "第二因素", options: &second },
                Choose::Choice { name: "seen", label: "最近登录", options: &seen },
            ]))
            (page::list_bar(&format!("共 {total} 个账号"), &html! { a href=(csv) { "导出 CSV" } a href=(xlsx) { "导出 Excel" } }))
            @if rows.is_empty() {
                (web::ui::empty("没有符合条件的账号", "请放宽查询条件，或为工作人员开通账号。", Some(("开通账号", "/accounts/new"))))
            } @else {
                (page::table(&["姓名", "登录名", "角色", "单位", "状态", "第二因素", "最近登录"], &cells))
            }
        }
        (paging(&here, &Paging::Cursor { before: None, after }))
    };
    Ok(frame.page("账号", body))
}

const HEADS: [&str; 10] =
    ["姓名", "工号", "登录名", "角色", "单位", "状态", "状态原因", "第二因素", "最近登录", "开通时间"];

async fn exported(identity: &Identity, reach: &Reach, asked: &Asked) -> kernel::Result<Vec<Vec<String>>> {
    let now = identity.clock.now();
    let filter = Filter { before: None, ..asked.filter(identity) };
    let rows = store::list(identity.db.pool(), reach, &filter, now, store::EXPORT).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.staff_no.clone(),
                row.login.clone(),
                role_name(identity, &row.role),
                unit(identity, &row),
                row_state(&row, now).to_owned(),
                row.state_reason.clone(),
                if row.has_second { "已设置" } else { "未设置" }.to_owned(),
                row.last_sign_in_at.map(page::time).unwrap_or_default(),
                page::time(row.created_at),
            ]
        })
        .collect())
}

pub(super) async fn csv(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<web::download::Download> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let rows = exported(&identity, &reach, &asked).await?;
    Ok(web::download::csv("accounts.csv", &HEADS, rows))
}

pub(super) async fn xlsx(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<FileOut> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let rows = exported(&identity, &reach, &asked).await?;
    Ok(page::xlsx("accounts.xlsx", "账号", &HEADS, &rows)?)
}

pub(super) fn out_of_reach() -> Refusal {
    Refusal::forbidden(
        "account.out_of_reach",
        "您不能为这个机构开通这个角色的账号：机构须在您的辖区内，角色的权限不能超过您自己的管理范围。",
    )
}

/// Roles that the caller may give at some unit of the reach.
pub(super) fn givable<'a>(identity: &'a Identity, reach: &Reach) -> Vec<&'a catalog::Role> {
    let by = reach.caller();
    let institutions = identity.institutions.all();
    let within: Vec<_> = institutions.iter().filter(|card| reach.covers(card.id, &card.region)).collect();
    // What may be given depends on the kind of unit and its tier: one of each stands for all.
    let mut samples: Vec<&Arc<InstitutionCard>> = Vec::new();
    for card in &within {
        if !samples
            .iter()
            .any(|s| s.sender_class == card.sender_class && s.region.tier() == card.region.tier())
        {
            samples.push(card);
        }
    }
    identity
        .catalog
        .roles
        .iter()
        .filter(|role| {
            identity.may_open(by, &role.code, None, &by.region)
                || samples.iter().any(|c| identity.may_open(by, &role.code, Some(c.id), &c.region))
        })
        .collect()
}

pub(super) async fn found(
    identity: &Identity,
    allowed: &Allowed,
    account: i64,
) -> kernel::Result<AccountRow> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let row = store::in_reach(identity.db.pool(), &reach, Id::new(account)).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("account.none", "没有这个账号，或它不在您的辖区内。"))?)
}

/// Whether the caller may manage an account: one that they could have given every role it holds. A county administrator
/// cannot take over the account of somebody above by resetting its password. A role that the catalogue no longer has
/// gives no rights and stands in nobody's way.
pub(super) async fn manages(
    identity: &Identity,
    allowed: &Allowed,
    row: &AccountRow,
) -> kernel::Result<bool> {
    let held = grants::store::of_account(identity.db.pool(), Id::new(row.id)).await?;
    Ok(held.iter().filter(|held| held.withdrawn_at.is_none()).all(|held| {
        identity
            .role(&held.role)
            .is_none_or(|role| identity.may_appoint(allowed.caller(), role, &held.post()).is_ok())
    }))
}

/// An account that the caller may manage.
pub(crate) async fn manageable(
    identity: &Identity,
    allowed: &Allowed,
    account: i64,
) -> kernel::Result<AccountRow> {
    let row = found(identity, allowed, account).await?;
    if manages(identity, allowed, &row).await? {
        return Ok(row);
    }
    Err(Refusal::forbidden("account.above", "这个账号的权限超过您自己的管理范围，请由上级管理员操作。")
        .into())
}

pub(super) fn told_once(account: AccountId, name: &str, title: &str, first: &str) -> Markup {
    let login_hint =
        format!("请当面或通过可靠的方式告诉{name}。离开本页后无法再次查看；本人首次登录须修改。");
    html! {
        (page_head(WAY, title, "", html! {}))
        (card("初始密码（只显示这一次）", html! {
            p { code.mk-secret { (first) } }
            p { (login_hint) }
            div.mk-form-acts { a.btn.btn-primary href={ "/accounts/" (account) } { "查看账号" } a.btn href="/accounts" { "返回列表" } }
        }))
    }
}

pub(super) fn role_name(identity: &Identity, code: &str) -> String {
    identity.role(code).map_or_else(|| code.to_owned(), |r| r.name.clone())
}

pub(super) fn unit(identity: &Identity, row: &AccountRow) -> String {
    identity.gatekeeper.unit_name(row.institution(), &row.region())
}

fn row_state(row: &AccountRow, now: DateTime<Utc>) -> &'static str {
    match row.state.as_str() {
        "open" if row.locked_until.is_some_and(|until| until > now) => "输错密码暂停",
        "open" if row.must_change => "待改初始密码",
        state => state_name(state),
    }
}

pub(super) fn state_badge(row: &AccountRow, now: DateTime<Utc>) -> Markup {
    let name = row_state(row, now);
    let tone = match name {
        "正常" => Tone::Good,
        "已锁定" | "输错密码暂停" | "待新单位确认" => Tone::Warn,
        _ => Tone::Neutral,
    };
    badge(tone, name)
}
