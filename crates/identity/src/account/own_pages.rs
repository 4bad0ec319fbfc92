//! `/account`: one's own profile, password, second factors, passkeys, certificates, sessions and recent sign-ins.

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{AccountId, Caller, Error, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::ui::{Tone, badge, card, card_with, describe, fact, notice, page_head};
use web::{Frame, Reply};

use super::{no_account, store};
use crate::factor::passkey::store::PasskeyRow;
use crate::factor::store::Factors;
use crate::page::{self, Visitor};
use crate::policy::{Owner, Policy};
use crate::session::{Lives, SessionRow};
use crate::{Identity, certificates, cookie, desk, factor, secret, session};

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

/// The meter beside the field, as one types.
pub(super) async fn strength(
    State(identity): State<Identity>,
    frame: Frame,
    Form(form): Form<PasswordForm>,
) -> Reply<Markup> {
    let caller = signed_in(&frame)?;
    let account = caller.account.ok_or_else(no_account)?;
    let row = store::by_id(identity.db.pool(), account).await?.ok_or_else(no_account)?;
    let owner = Owner { login: &row.login, name: &row.name, unit: &caller.institution_name };
    let verdict = Policy::of(&identity.options).judge(&form.wanted, &owner);
    Ok(meter(verdict.score, verdict.problem.as_deref(), form.wanted.is_empty()))
}

fn meter(score: u8, problem: Option<&str>, empty: bool) -> Markup {
    let word = match score {
        0 | 1 => "很弱",
        2 => "较弱",
        3 => "较强",
        _ => "很强",
    };
    html! {
        div.mk-strength id="strength" aria-live="polite" {
            @if !empty {
                meter min="0" max="4" low="2" high="3" optimum="4" value=(score) { (word) }
                " 强度：" (word)
                @if let Some(problem) = problem { span.mk-muted { " " (problem) } } @else { span.mk-muted { " 可以使用。" } }
            }
        }
    }
}

/// The owner has seen the notice about new browsers.
pub(super) async fn seen(State(identity): State<Identity>, frame: Frame) -> Reply<Redirect> {
    let account = signed_in(&frame)?.account.ok_or_else(no_account)?;
    identity.db.transaction(async |tx| session::acknowledge(tx, account).await).await?;
    Ok(Redirect::to("/account#sessions"))
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
    Ok((StatusCode::SEE_OTHER, Redirect::to("/account#sessions")).into_response())
}

pub(super) async fn revoke_others(State(identity): State<Identity>, frame: Frame) -> Reply<Redirect> {
    let caller = signed_in(&frame)?;
    let account = caller.account.ok_or_else(no_account)?;
    identity
        .db
        .transaction(async |tx| {
            session::end_others_of(tx, account, caller.session.unwrap_or_default()).await?;
            identity.audit(tx, caller, "session.revoke_others", account, &caller.name, None).await
        })
        .await?;
    identity.gatekeeper.forget_account(account);
    Ok(Redirect::to("/account#sessions"))
}

async fn view(
    identity: &Identity,
    headers: &HeaderMap,
    caller: &Caller,
    problem: Option<&str>,
) -> kernel::Result<Markup> {
    let account: AccountId = caller.account.ok_or_else(no_account)?;
    let pool = identity.db.pool();
    let row = store::by_id(pool, account).await?.ok_or_else(no_account)?;
    let has = factor::store::of(pool, account).await?;
    let passkeys = factor::passkey::store::of(pool, account).await?;
    let bound = certificates::of_account(pool, account).await?;
    let lives = Lives::of(&identity.options);
    let sessions = session::list_of(pool, account, &lives, identity.clock.now()).await?;
    let present = cookie::token(headers, cookie::SESSION, identity.settings.tls).map(secret::digest);
    let wanted = factor::required(&identity.options, &identity.catalog, &caller.roles);
    let recent = desk::recent_sign_ins(identity, caller, 10).await?;
    let endings = format!(
        "{} 分钟无操作或登录满 {} 小时自动退出",
        lives.idle.num_minutes(),
        lives.absolute.num_hours()
    );
    Ok(html! {
        (page_head(&[], "我的账号", "本人的资料、密码、登录方式和正在登录的设备。", html! {}))
        @if row.must_change {
            (notice(Tone::Warn, "请先修改密码", "当前密码由管理员设置或已到期，修改后才能使用其他功能。"))
        } @else if wanted && !has.second() {
            (notice(Tone::Warn, "请先设置第二因素", "您的岗位登录时除密码外还须使用动态口令或通行密钥，设置后才能使用其他功能。"))
        }
        @if sessions.iter().any(|s| s.new_device) {
            (notice(Tone::Warn, "有新的设备登录了您的账号", "见下面“正在登录的设备”中标为“新设备”的一行。不是您本人的，请立即强制退出并修改密码。"))
            (page::act_button("/account/devices/seen", "是我本人，不再提醒", "btn-sm"))
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
        (card("修改密码", password_form(&Policy::of(&identity.options).words(), problem)))
        section id="factors" { (card("动态口令与备用码", codes(&has))) }
        section id="passkeys" {
            (card_with("通行密钥", html! { span.mk-muted { "用手机、电脑的指纹、人脸或 PIN 登录，不用输密码" } },
                passkey_list(&passkeys, identity.party().is_ok())))
        }
        @if !bound.is_empty() { (certificates::certificates_card(&bound, None, identity.clock.now())) }
        section id="sessions" {
            (card_with("正在登录的设备", html! {
                span.mk-muted { (endings) }
                @if sessions.len() > 1 { " " (page::act_button("/account/sessions/revoke-others", "退出其他设备", "btn-sm")) }
            }, sessions_table(&sessions, present.as_ref().map(<[u8; 32]>::as_slice))))
        }
        (card_with("最近登录", html! { span.mk-muted { "30 天内，含别人用您的登录名的尝试" } }, desk::sign_in_table(&recent)))
    })
}

fn password_form(hint: &str, problem: Option<&str>) -> Markup {
    let secret = |id: &str, kind: &str| {
        html! { input.form-control id=(id) name=(id) type="password" required maxlength="128" autocomplete=(kind); }
    };
    html! {
        @if let Some(problem) = problem { (notice(Tone::Bad, problem, "")) }
        form method="post" action="/account/password" {
            div.mk-form-grid {
                (page::control("现用密码", "present", "", &secret("present", "current-password")))
                (page::control("新密码", "wanted", hint, &html! {
                    input.form-control id="wanted" name="wanted" type="password" required maxlength="128" autocomplete="new-password"
                        hx-post="/account/password/strength" hx-trigger="input changed delay:400ms" hx-target="#strength" hx-swap="outerHTML";
                }))
                (page::control("再输一次新密码", "again", "", &secret("again", "new-password")))
            }
            (meter(0, None, true))
            div.mk-form-acts { button.btn.btn-primary type="submit" { "修改密码" } }
        }
    }
}

fn codes(has: &Factors) -> Markup {
    html! {
        @if has.code {
            p { (badge(Tone::Good, "已启用")) " 登录时除密码外须输入身份验证器应用上的 6 位数字。" }
        } @else {
            p { (badge(Tone::Neutral, "未启用")) " 启用后，登录时除密码外须输入手机上的 6 位数字，密码泄露也登录不了。" }
        }
        @if has.second() {
            p.mk-muted {
                "备用码剩 " (has.recovery) " 个。"
                @if has.recovery < 3 { "请重新生成并妥善保存，手机不在身边时用它登录。" }
            }
        }
        div.mk-form-acts {
            @if has.code {
                (page::act_button("/account/recovery", "重新生成备用码", ""))
                (page::asked_button("/account/code/remove", "停用动态口令", "", "停用后登录只需密码或通行密钥，确定停用？"))
            } @else {
                a.btn.btn-primary href="/account/code" { "启用动态口令" }
                @if has.second() { (page::act_button("/account/recovery", "重新生成备用码", "")) }
            }
        }
    }
}

fn passkey_list(rows: &[PasskeyRow], possible: bool) -> Markup {
    let cells: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            let base = format!("/account/passkeys/{}", row.id);
            vec![
                html! {
                    form.mk-inline method="post" action={ (base) "/rename" } {
                        input.form-control name="name" value=(row.name) maxlength="40" aria-label="名称";
                        button.btn.btn-sm type="submit" { "改名" }
                    }
                },
                html! { @if row.synced { "多设备同步" } @else { "仅本设备" } },
                html! { (page::time(row.created_at)) },
                html! { (row.last_used_at.map(page::time).unwrap_or_else(|| "从未使用".to_owned())) },
                page::asked_button(
                    &format!("{base}/remove"),
                    "删除",
                    "btn-sm",
                    "删除后不能再用这个通行密钥登录，确定删除？",
                ),
            ]
        })
        .collect();
    html! {
        @if !rows.is_empty() { (page::table(&["名称", "保存方式", "添加时间", "最近使用", ""], &cells)) }
        div.mk-card-body {
            @if !possible {
                p.mk-muted { "平台目前不是通过 HTTPS 域名访问，浏览器不支持通行密钥。" }
            } @else {
                form.mk-inline data-passkey-new="/account/passkeys" hidden {
                    input.form-control name="name" maxlength="40" placeholder="给它起个名字，如 办公室电脑" aria-label="名称";
                    button.btn.btn-primary type="submit" { "添加通行密钥" }
                    p.mk-error data-passkey-problem role="alert" {}
                }
            }
        }
    }
}

fn sessions_table(sessions: &[SessionRow], present: Option<&[u8]>) -> Markup {
    let rows: Vec<Vec<Markup>> = sessions
        .iter()
        .map(|row| {
            let own = present.is_some_and(|digest| secret::same(digest, &row.token_digest));
            vec![
                html! {
                    (device(&row.agent)) " "
                    @if own { (badge(Tone::Info, "本机")) }
                    @if row.new_device { " " (badge(Tone::Warn, "新设备")) }
                },
                html! {
                    @match row.factor.as_str() {
                        "single" => "密码",
                        "certificate" => "数字证书",
                        _ => "双因素",
                    }
                },
                html! { (row.address) },
                html! { (page::time(row.created_at)) },
                html! { (page::time(row.last_seen_at)) },
                html! {
                    @if !own { (page::act_button(&format!("/account/sessions/{}/revoke", row.id), "强制退出", "btn-sm")) }
                },
            ]
        })
        .collect();
    page::table(&["设备", "登录方式", "地址", "登录时间", "最近操作", ""], &rows)
}

/// What a browser is, in a word or two that its owner recognises.
pub(crate) fn device(agent: &str) -> String {
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
