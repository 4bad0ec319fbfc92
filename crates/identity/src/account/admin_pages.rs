//! `/accounts`: the accounts of an administrator's region.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use contracts::InstitutionCard;
use kernel::access::InstitutionId;
use kernel::{AccountId, Error, Id, Purpose, Reach, Refusal, RegionCode};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{
    Filter as Choose, Here, Paging, Tone, badge, card, describe, fact, filter_form, notice, page_head, paging,
};
use web::{Frame, Reply};

use super::store::{self, AccountRow, Filter};
use super::{Change, NewAccount};
use crate::page;
use crate::{Identity, secret};

const WAY: &[(&str, &str)] = &[("账号", "/accounts")];

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    after: String,
}

impl Asked {
    fn filter(&self) -> Filter {
        Filter {
            text: self.q.clone(),
            role: self.role.clone(),
            state: self.state.clone(),
            before: self.after.parse().ok(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct AccountForm {
    #[serde(default)]
    login: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    staff_no: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    institution: String,
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let (pool, now, filter) = (identity.db.pool(), identity.clock.now(), asked.filter());
    let mut rows = store::list(pool, &reach, &filter, now, store::PAGE + 1).await?;
    let total = store::count(pool, &reach, &filter, now).await?;
    let more = rows.len() as i64 > store::PAGE;
    rows.truncate(usize::try_from(store::PAGE).unwrap_or(50));
    let after = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let roles: Vec<(String, String)> =
        identity.catalog.roles.iter().map(|r| (r.code.clone(), r.name.clone())).collect();
    let states: Vec<(String, String)> = [("open", "正常"), ("locked", "已锁定"), ("closed", "已停用")]
        .into_iter()
        .map(|(code, name)| (code.to_owned(), name.to_owned()))
        .collect();
    let export = here.with(&[("after", "")]).at("/accounts.csv").href();
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                html! { a href={ "/accounts/" (row.id) } { (row.name) } @if !row.staff_no.is_empty() { " " small { (row.staff_no) } } },
                html! { (row.login) },
                html! { (role_name(&identity, &row.role)) },
                html! { (unit(&identity, row)) },
                state_badge(row, now),
                html! { span.mk-date { (row.last_sign_in_at.map(page::time).unwrap_or_else(|| "从未登录".to_owned())) } },
            ]
        })
        .collect();
    let body = html! {
        (page_head(&[], "账号", "本辖区工作人员的登录账号。", html! { a.btn.btn-primary href="/accounts/new" { "开通账号" } }))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Choose::Text { name: "q", label: "姓名、登录名或工号", hint: "如 王" },
                Choose::Choice { name: "role", label: "角色", options: &roles },
                Choose::Choice { name: "state", label: "状态", options: &states },
            ]))
            (page::list_bar(&format!("共 {total} 个账号"), &html! { a href=(export) { "导出 CSV" } }))
            @if rows.is_empty() {
                (web::ui::empty("没有符合条件的账号", "请放宽查询条件，或为工作人员开通账号。", Some(("开通账号", "/accounts/new"))))
            } @else {
                (page::table(&["姓名", "登录名", "角色", "单位", "状态", "最近登录"], &cells))
            }
        }
        (paging(&here, &Paging::Cursor { before: None, after }))
    };
    Ok(frame.page("账号", body))
}

pub(super) async fn export(
    State(identity): State<Identity>,
    allowed: Allowed,
    Query(asked): Query<Asked>,
) -> Reply<page::Download> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let now = identity.clock.now();
    let filter = Filter { before: None, ..asked.filter() };
    let rows = store::list(identity.db.pool(), &reach, &filter, now, store::EXPORT).await?;
    let heads = ["姓名", "工号", "登录名", "角色", "单位", "状态", "最近登录", "开通时间"];
    Ok(page::csv(
        "accounts.csv",
        &heads,
        rows.into_iter().map(|row| {
            vec![
                row.name.clone(),
                row.staff_no.clone(),
                row.login.clone(),
                role_name(&identity, &row.role),
                unit(&identity, &row),
                state_name(&row, now).to_owned(),
                row.last_sign_in_at.map(page::time).unwrap_or_default(),
                page::time(row.created_at),
            ]
        }),
    ))
}

pub(super) async fn blank(State(identity): State<Identity>, allowed: Allowed, frame: Frame) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    Ok(frame.page("开通账号", form(&identity, &reach, &AccountForm::default(), None)))
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    Form(given): Form<AccountForm>,
) -> Reply<Response> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    match open(&identity, &reach, &given).await {
        Ok((account, first)) => Ok(frame
            .page("账号已开通", told_once(account, &given.name, "账号已开通", &first))
            .into_response()),
        Err(Error::Refused(refusal)) => {
            let body = form(&identity, &reach, &given, Some(&refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page("开通账号", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(
    identity: &Identity,
    reach: &Reach,
    given: &AccountForm,
) -> kernel::Result<(AccountId, String)> {
    let by = reach.caller();
    let institution: Option<InstitutionId> = match given.institution.as_str() {
        "" => None,
        text => Some(Id::new(text.parse().map_err(|_| out_of_reach())?)),
    };
    let region = match institution {
        Some(id) => identity.institutions.by_id(id).ok_or_else(out_of_reach)?.region,
        None => by.region,
    };
    if !identity.may_open(by, &given.role, institution, &region) {
        return Err(out_of_reach().into());
    }
    let new = NewAccount {
        login: given.login.clone(),
        name: given.name.clone(),
        staff_no: given.staff_no.clone(),
        role: given.role.clone(),
        institution,
        region,
    };
    let first = secret::random_password()?;
    let account = identity.create_account(&new, &first, true, by).await?;
    Ok((account, first))
}

fn out_of_reach() -> Refusal {
    Refusal::forbidden(
        "account.out_of_reach",
        "您不能为这个机构开通这个角色的账号：机构须在您的辖区内，角色的权限不能超过您自己的管理范围。",
    )
}

fn form(identity: &Identity, reach: &Reach, given: &AccountForm, problem: Option<&str>) -> Markup {
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
    let roles: Vec<_> = identity
        .catalog
        .roles
        .iter()
        .filter(|role| {
            identity.may_open(by, &role.code, None, &by.region)
                || samples.iter().any(|c| identity.may_open(by, &role.code, Some(c.id), &c.region))
        })
        .collect();
    let text = |id: &str, value: &str, required: bool| {
        html! { input.form-control id=(id) name=(id) value=(value) required[required] maxlength="64" autocomplete="off"; }
    };
    html! {
        (page_head(WAY, "开通账号", "初始密码由系统生成，只显示一次；本人首次登录须修改。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "账号没有开通", problem)) }
        (card("账号资料", html! {
            form method="post" action="/accounts" {
                div.mk-form-grid {
                    (page::control("姓名", "name", "真实姓名，会出现在审计日志中", &text("name", &given.name, true)))
                    (page::control("登录名", "login", "3 位以上字母、数字、点、横线、下划线", &text("login", &given.login, true)))
                    (page::control("工号", "staff_no", "", &text("staff_no", &given.staff_no, false)))
                    (page::control("角色", "role", "", &html! {
                        select.form-select id="role" name="role" required {
                            option value="" { "请选择" }
                            @for role in roles {
                                option value=(role.code) selected[role.code == given.role] title=(role.description) { (role.name) }
                            }
                        }
                    }))
                    (page::control("机构", "institution", "卫生健康行政部门的人员不选机构", &html! {
                        select.form-select id="institution" name="institution" {
                            option value="" { "（无，" (identity.institutions.region_name(&by.region)) "）" }
                            @for card in within {
                                option value=(card.id) selected[card.id.to_string() == given.institution] { (card.name) }
                            }
                        }
                    }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "开通" } a.btn href="/accounts" { "取消" } }
            }
        }))
    }
}

pub(super) async fn show(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let row = found(&identity, &allowed, account).await?;
    let now = identity.clock.now();
    let base = format!("/accounts/{account}");
    let body = html! {
        (page_head(WAY, &row.name, &role_name(&identity, &row.role), html! {
            @if row.state == "open" {
                @if row.locked_until.is_some_and(|until| until > now) {
                    (page::act_button(&format!("{base}/unlock"), "解锁", "btn-primary"))
                }
                (page::act_button(&format!("{base}/password"), "重置密码", ""))
                (page::act_button(&format!("{base}/close"), "停用", ""))
            } @else {
                (page::act_button(&format!("{base}/reopen"), "恢复使用", "btn-primary"))
            }
        }))
        (card("账号资料", describe(&[
            fact("登录名", &row.login),
            fact("工号", &row.staff_no),
            fact("单位", &unit(&identity, &row)),
            ("状态".to_owned(), state_badge(&row, now)),
            fact("锁定至", &row.locked_until.filter(|until| *until > now).map(page::time).unwrap_or_default()),
            fact("最近登录", &row.last_sign_in_at.map(page::time).unwrap_or_default()),
            fact("上次修改密码", &page::time(row.password_changed_at)),
            fact("开通", &format!("{} {}", page::time(row.created_at), row.created_by)),
        ])))
    };
    Ok(frame.page(&row.name, body))
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Close).await
}

pub(super) async fn reopen(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Reopen).await
}

pub(super) async fn unlock(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Unlock).await
}

async fn change(identity: &Identity, allowed: &Allowed, account: i64, change: Change) -> Reply<Redirect> {
    let row = manageable(identity, allowed, account).await?;
    identity.change_account(Id::new(row.id), change, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn reset_password(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let row = manageable(&identity, &allowed, account).await?;
    let first = identity.reset_password(Id::new(row.id), allowed.caller()).await?;
    Ok(frame.page("密码已重置", told_once(Id::new(row.id), &row.name, "密码已重置", &first)))
}

async fn found(identity: &Identity, allowed: &Allowed, account: i64) -> kernel::Result<AccountRow> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let row = store::in_reach(identity.db.pool(), &reach, Id::new(account)).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("account.none", "没有这个账号，或它不在您的辖区内。"))?)
}

/// An account that the caller could have opened may be managed by the caller: a county administrator cannot take over
/// the account of somebody above by resetting its password.
async fn manageable(identity: &Identity, allowed: &Allowed, account: i64) -> kernel::Result<AccountRow> {
    let row = found(identity, allowed, account).await?;
    let region = RegionCode::parse(&row.region).unwrap_or(RegionCode::NATION);
    // A role that the catalogue no longer has gives no rights: whoever has it in reach may close it.
    let known = identity.role(&row.role).is_some();
    if known && !identity.may_open(allowed.caller(), &row.role, row.institution(), &region) {
        return Err(Refusal::forbidden(
            "account.above",
            "这个账号的权限超过您自己的管理范围，请由上级管理员操作。",
        )
        .into());
    }
    Ok(row)
}

fn told_once(account: AccountId, name: &str, title: &str, first: &str) -> Markup {
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

fn role_name(identity: &Identity, code: &str) -> String {
    identity.role(code).map_or_else(|| code.to_owned(), |r| r.name.clone())
}

fn unit(identity: &Identity, row: &AccountRow) -> String {
    let region = RegionCode::parse(&row.region).unwrap_or(RegionCode::NATION);
    identity.gatekeeper.unit_name(row.institution(), &region)
}

fn state_name(row: &AccountRow, now: chrono::DateTime<chrono::Utc>) -> &'static str {
    match row.state.as_str() {
        "open" if row.locked_until.is_some_and(|until| until > now) => "已锁定",
        "open" if row.must_change => "待改初始密码",
        "open" => "正常",
        _ => "已停用",
    }
}

fn state_badge(row: &AccountRow, now: chrono::DateTime<chrono::Utc>) -> Markup {
    let name = state_name(row, now);
    let tone = match name {
        "正常" => Tone::Good,
        "已锁定" => Tone::Warn,
        _ => Tone::Neutral,
    };
    badge(tone, name)
}
