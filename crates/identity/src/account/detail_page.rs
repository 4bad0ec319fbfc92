//! `/accounts/{account}`: one account for its administrator: state and steps, second factors, sessions.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{Id, Purpose};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Tone, badge, card, card_with, describe, fact, notice, page_head};
use web::{Frame, Reply};

use super::admin_pages::{
    WAY, found, givable, manageable, manages, out_of_reach, role_name, state_badge, told_once, unit,
};
use super::life::{self, Change};
use super::own_pages::device;
use super::store::AccountRow;
use crate::session::Lives;
use crate::{Identity, certificates, factor, page, session};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reasoned {
    reason: String,
    role: String,
}

pub(super) async fn show(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let row = found(&identity, &allowed, account).await?;
    let (pool, now) = (identity.db.pool(), identity.clock.now());
    let id = Id::new(row.id);
    let has = factor::store::of(pool, id).await?;
    let steps = life::steps(pool, id).await?;
    let bound = certificates::of_account(pool, id).await?;
    let sessions = session::list_of(pool, id, &Lives::of(&identity.options), now).await?;
    let may = manages(&identity, &allowed, &row).await?;
    let base = format!("/accounts/{account}");
    let guarded = row.locked_until.filter(|until| *until > now);
    let roles: Vec<(String, String)> = if may && row.state == "moved" {
        let reach = allowed.reach(Purpose::of("administration"))?;
        let fits = |code: &str| identity.may_open(allowed.caller(), code, row.institution(), &row.region());
        givable(&identity, &reach)
            .into_iter()
            .filter(|role| fits(&role.code))
            .map(|role| (role.code.clone(), role.name.clone()))
            .collect()
    } else {
        Vec::new()
    };
    let body = html! {
        (page_head(WAY, &row.name, &role_name(&identity, &row.role), html! {}))
        @if row.state == "moved" {
            (notice(Tone::Warn, "该人员调入本单位，等待确认", "原单位的角色已终止。确认后按所选角色恢复使用；不应调入的请停用并联系原单位。"))
        }
        (card("账号资料", describe(&[
            fact("登录名", &row.login),
            fact("工号", &row.staff_no),
            fact("单位", &unit(&identity, &row)),
            ("状态".to_owned(), state_badge(&row, now)),
            fact("状态原因", &row.state_reason),
            fact("暂停登录至", &guarded.map(page::time).unwrap_or_default()),
            fact("最近登录", &row.last_sign_in_at.map(page::time).unwrap_or_default()),
            fact("上次修改密码", &page::time(row.password_changed_at)),
            fact("动态口令", if has.code { "已设置" } else { "未设置" }),
            fact("通行密钥", &format!("{} 个", has.passkeys)),
            fact("数字证书", &format!("{} 张", has.certificates)),
            fact("开通", &format!("{} {}", page::time(row.created_at), row.created_by)),
        ])))
        @if !may {
            (notice(Tone::Info, "您可以查看、不能管理这个账号", "它持有的角色不在您可授予的范围内，锁定、停用、重置密码请由能授予这些角色的管理员操作。"))
        }
        @if may { (acts(&row, &base, guarded.is_some(), has.second(), &roles)) }
        (card_with("正在登录的设备", html! {}, html! {
            @if sessions.is_empty() { div.mk-card-body.mk-muted { "现在没有登录。" } } @else {
                (page::table(&["设备", "地址", "登录时间", "最近操作", ""], &sessions.iter().map(|s| vec![
                    html! { (device(&s.agent)) @if s.factor != "single" { " " (badge(Tone::Good, "双因素")) } },
                    html! { (s.address) },
                    html! { (page::time(s.created_at)) },
                    html! { (page::time(s.last_seen_at)) },
                    html! { @if may { (page::act_button(&format!("{base}/sessions/{}/revoke", s.id), "强制退出", "btn-sm")) } },
                ]).collect::<Vec<_>>()))
            }
        }))
        (certificates::certificates_card(&bound, may.then_some(base.as_str()), now))
        (card_with("变更记录", html! {}, html! {
            @if steps.is_empty() { div.mk-card-body.mk-muted { "没有变更。" } } @else {
                (page::table(&["时间", "变更", "原因", "操作人"], &steps.iter().map(|step| vec![
                    html! { span.mk-date { (page::time(step.at)) } },
                    html! { (life::step_name(&step.act)) },
                    html! { (step.reason) },
                    html! { (step.by_name) },
                ]).collect::<Vec<_>>()))
            }
        }))
    };
    Ok(frame.page(&row.name, body))
}

/// What can be done with an account in its state; each with a reason.
fn acts(row: &AccountRow, base: &str, guarded: bool, second: bool, roles: &[(String, String)]) -> Markup {
    let closed = matches!(row.state.as_str(), "closed" | "dormant");
    html! {
        (card("管理", html! {
            div.mk-acts {
                @match row.state.as_str() {
                    "moved" => {
                        (reasoned(&format!("{base}/confirm"), "确认调入", "btn-primary", &["人员调动"], html! {
                            select.form-select name="role" required aria-label="新角色" {
                                option value="" { "选择新角色" }
                                @for (code, name) in roles { option value=(code) { (name) } }
                            }
                        }))
                    }
                    "locked" => (reasoned(&format!("{base}/unlock"), "解锁", "btn-primary", &["核实无误", "本人申请"], html! {})),
                    "open" => {
                        @if guarded { (reasoned(&format!("{base}/unlock"), "解除暂停", "btn-primary", &["本人输错密码", "核实无误"], html! {})) }
                        (reasoned(&format!("{base}/lock"), "锁定", "", &["异常登录待查", "违规待查", "长期请假"], html! {}))
                    }
                    _ => (reasoned(&format!("{base}/reopen"), "恢复使用", "btn-primary", &["返岗", "误停用"], html! {})),
                }
                @if !closed {
                    (reasoned(&format!("{base}/password"), "重置密码", "", &["忘记密码", "怀疑泄露"], html! {}))
                    @if second {
                        (reasoned(&format!("{base}/factors/reset"), "清除第二因素", "", &["更换手机", "手机或密钥丢失"], html! {}))
                    }
                    (reasoned(&format!("{base}/close"), "停用", "", &["离岗", "岗位不再需要", "开通有误"], html! {}))
                }
            }
        }))
    }
}

/// A folded form that asks for a reason: the usual ones to choose from, or another in words.
fn reasoned(action: &str, label: &str, class: &str, usual: &[&str], more: Markup) -> Markup {
    let list = format!("reasons-{}", action.rsplit('/').next().unwrap_or_default());
    html! {
        details.mk-act {
            summary class={ "btn " (class) } { (label) }
            form method="post" action=(action) {
                (more)
                input.form-control name="reason" required maxlength="200" placeholder="原因（必填）" aria-label="原因" list=(list) autocomplete="off";
                datalist id=(list) { @for reason in usual { option value=(reason) {} } }
                button.btn.btn-primary type="submit" { "确定" (label) }
            }
        }
    }
}

async fn change(
    identity: &Identity,
    allowed: &Allowed,
    account: i64,
    change: Change,
    reason: &str,
) -> Reply<Redirect> {
    let row = manageable(identity, allowed, account).await?;
    identity.change_account(Id::new(row.id), &change, reason, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Close, &given.reason).await
}

pub(super) async fn lock(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Lock, &given.reason).await
}

pub(super) async fn reopen(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Reopen, &given.reason).await
}

pub(super) async fn unlock(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    change(&identity, &allowed, account, Change::Unlock, &given.reason).await
}

pub(super) async fn confirm(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    let row = found(&identity, &allowed, account).await?;
    // Whoever confirms answers for the new role, not for the one of the former unit.
    if !identity.may_open(allowed.caller(), &given.role, row.institution(), &row.region()) {
        return Err(out_of_reach().into());
    }
    identity
        .change_account(
            Id::new(row.id),
            &Change::Confirm { role: given.role },
            &given.reason,
            allowed.caller(),
        )
        .await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn reset_password(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
    Form(given): Form<Reasoned>,
) -> Reply<Markup> {
    let row = manageable(&identity, &allowed, account).await?;
    let first = identity.reset_password(Id::new(row.id), &given.reason, allowed.caller()).await?;
    Ok(frame.page("密码已重置", told_once(Id::new(row.id), &row.name, "密码已重置", &first)))
}

pub(super) async fn reset_factors(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    Form(given): Form<Reasoned>,
) -> Reply<Redirect> {
    let row = manageable(&identity, &allowed, account).await?;
    identity.reset_factors(Id::new(row.id), &given.reason, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/accounts/{account}")))
}

pub(super) async fn revoke(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path((account, number)): Path<(i64, i64)>,
) -> Reply<Redirect> {
    let row = manageable(&identity, &allowed, account).await?;
    let id = Id::new(row.id);
    identity
        .db
        .transaction(async |tx| {
            if session::end_one_of(tx, id, number).await? {
                identity.audit(tx, allowed.caller(), "session.revoke", id, &row.login, None).await?;
            }
            Ok(())
        })
        .await?;
    identity.gatekeeper.forget_account(id);
    Ok(Redirect::to(&format!("/accounts/{account}")))
}
