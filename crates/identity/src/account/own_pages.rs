//! `/account`: one's own profile, password and sessions.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Caller, Error, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::ui::{Tone, badge, card, card_with, describe, fact, notice, page_head};
use web::{Frame, Reply};

use super::{no_account, store};
use crate::page::{self, Visitor};
use crate::session::SessionRow;
use crate::{Identity, cookie, password, secret, session};

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    present: String,
    #[serde(default)]
    wanted: String,
    #[serde(default)]
    again: String,
}

fn signed_in(frame: &Frame) -> Result<&Caller, Refusal> {
    frame.caller.as_deref().filter(|c| c.account.is_some()).ok_or_else(no_account)
}

pub(super) async fn show(
    State(identity): State<Identity>,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    let body = view(&identity, &headers, signed_in(&frame)?, None).await?;
    Ok(frame.page("我的账号", body).into_response())
}

pub(super) async fn change_password(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    frame: Frame,
    Form(form): Form<PasswordForm>,
) -> Reply<Response> {
    let caller = signed_in(&frame)?;
    let changed = if form.wanted == form.again {
        identity.change_own_password(caller, &form.present, &form.wanted, &visitor.agent).await
    } else {
        Err(Refusal::invalid("password.differ", "两次输入的新密码不一致，密码没有修改。").into())
    };
    match changed {
        Ok(token) => {
            let mut response = Redirect::to("/account").into_response();
            cookie::set_session(response.headers_mut(), &token, identity.settings.tls);
            Ok(response)
        }
        Err(Error::Refused(refusal)) => {
            let body = view(&identity, &headers, caller, Some(&refusal.message)).await?;
            Ok((web::failure::status(refusal.kind), frame.page("我的账号", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn revoke(
    State(identity): State<Identity>,
    Path(number): Path<i64>,
    frame: Frame,
) -> Reply<Response> {
    let caller = signed_in(&frame)?;
    let account = caller.account.ok_or_else(no_account)?;
    identity
        .db
        .transaction(async |tx| {
            if session::end_one_of(tx, account, number).await? {
                identity.audit(tx, caller, "session.revoke", account, &caller.name, None).await?;
            }
            Ok(())
        })
        .await?;
    identity.gatekeeper.forget_account(account);
    Ok((StatusCode::SEE_OTHER, Redirect::to("/account")).into_response())
}

async fn view(
    identity: &Identity,
    headers: &HeaderMap,
    caller: &Caller,
    problem: Option<&str>,
) -> kernel::Result<Markup> {
    let account = caller.account.ok_or_else(no_account)?;
    let row = store::by_id(identity.db.pool(), account).await?.ok_or_else(no_account)?;
    let sessions = session::list_of(identity.db.pool(), account, identity.clock.now()).await?;
    let present = cookie::token(headers, cookie::SESSION).map(secret::digest);
    Ok(html! {
        (page_head(&[], "我的账号", "本人的资料、密码和正在登录的设备。", html! {}))
        @if row.must_change {
            (notice(Tone::Warn, "请先修改初始密码", "当前密码由管理员设置，修改后才能使用其他功能。"))
        }
        (card("资料", describe(&[
            fact("姓名", &row.name),
            fact("登录名", &row.login),
            fact("工号", &row.staff_no),
            fact("角色", &caller.role),
            fact("单位", &caller.institution_name),
            fact("辖区", &identity.institutions.region_name(&caller.region)),
            fact("上次修改密码", &page::time(row.password_changed_at)),
            fact("本次登录", &row.last_sign_in_at.map(page::time).unwrap_or_default()),
        ])))
        (card("修改密码", password_form(problem)))
        (card_with("正在登录的设备", html! { span.mk-muted { "30 分钟无操作或登录满 12 小时自动退出" } },
            sessions_table(&sessions, present.as_ref().map(<[u8; 32]>::as_slice))))
    })
}

fn password_form(problem: Option<&str>) -> Markup {
    let hint = format!(
        "至少 {} 位，含大写字母、小写字母、数字、符号中的三种；或 16 位以上的长句。不能包含姓名和登录名。",
        password::LEAST_LENGTH
    );
    let secret = |id: &str, kind: &str| {
        html! { input.form-control id=(id) name=(id) type="password" required maxlength="128" autocomplete=(kind); }
    };
    html! {
        @if let Some(problem) = problem { (notice(Tone::Bad, problem, "")) }
        form method="post" action="/account/password" {
            div.mk-form-grid {
                (page::control("现用密码", "present", "", &secret("present", "current-password")))
                (page::control("新密码", "wanted", &hint, &secret("wanted", "new-password")))
                (page::control("再输一次新密码", "again", "", &secret("again", "new-password")))
            }
            div.mk-form-acts { button.btn.btn-primary type="submit" { "修改密码" } }
        }
    }
}

fn sessions_table(sessions: &[SessionRow], present: Option<&[u8]>) -> Markup {
    let rows: Vec<Vec<Markup>> = sessions
        .iter()
        .map(|row| {
            let own = present.is_some_and(|digest| secret::same(digest, &row.token_digest));
            vec![
                html! { (device(&row.agent)) " " @if own { (badge(Tone::Info, "本机")) } },
                html! { (row.address) },
                html! { (page::time(row.created_at)) },
                html! { (page::time(row.last_seen_at)) },
                html! {
                    @if !own { (page::act_button(&format!("/account/sessions/{}/revoke", row.id), "强制退出", "btn-sm")) }
                },
            ]
        })
        .collect();
    page::table(&["设备", "地址", "登录时间", "最近操作", ""], &rows)
}

/// What a browser is, in a word or two that its owner recognises.
fn device(agent: &str) -> String {
    let find = |pairs: &[(&str, &'static str)]| {
        pairs.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = find(&[
        ("MicroMessenger", "微信"),
        ("Edg", "Edge"),
        ("Firefox", "Firefox"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
        ("Trident", "IE"),
    ]);
    let system = find(&[
        ("HarmonyOS", "鸿蒙"),
        ("Android", "安卓"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser}（{system}）"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "未知设备".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names_that_people_know() {
        let cases = [
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/126.0 Safari/537.36 Edg/126.0", "Edge（Windows）"),
            ("Mozilla/5.0 (Linux; Android 14) Chrome/126.0 MicroMessenger/8.0", "微信（安卓）"),
            ("curl/8.0", "未知设备"),
        ];
        for (agent, name) in cases {
            assert_eq!(device(agent), name);
        }
    }
}
