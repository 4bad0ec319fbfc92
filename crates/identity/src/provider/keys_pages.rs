//! `/applications/keys`: the keys that sign identity tokens.

use axum::extract::{Path, RawForm, State};
use axum::response::Redirect;
use kernel::Refusal;
use maud::{Markup, html};
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, badge, card, notice, page_head, table};
use web::{Frame, Reply};

use super::Parameters;
use super::keys::Turn;
use crate::{Identity, page};

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let now = identity.clock.now();
    let keys = identity.sso_keys().await?;
    let in_use = keys.iter().find(|key| key.signs_from <= now).map(|key| key.kid.clone());
    let rows: Vec<Row> = keys
        .iter()
        .map(|key| {
            let (tone, state) = if Some(&key.kid) == in_use.as_ref() {
                (Tone::Good, "正在使用")
            } else if key.signs_from > now {
                (Tone::Info, "已公布，待启用")
            } else {
                (Tone::Neutral, "已停用，仍公布")
            };
            Row::plain(vec![
                html! { code { (key.kid) } },
                badge(tone, state),
                html! { (page::time(key.created_at)) " " (key.created_by) },
                html! { (page::time(key.signs_from)) },
                html! { @if let Some(until) = key.shown_until { (page::time(until)) } },
                html! {
                    @if Some(&key.kid) != in_use.as_ref() && key.signs_from <= now {
                        (page::act_button(&format!("/applications/keys/{}/withdraw", key.kid), "立即撤下", "btn-sm"))
                    }
                },
            ])
        })
        .collect();
    let days = identity.options.whole("sso.key_days");
    let columns = ["密钥", "状态", "生成", "开始使用", "公布到", ""].map(Column::text);
    let body = html! {
        (page_head(&[("单点登录应用", "/applications")], "签名密钥",
            "平台用它为身份令牌签名；各应用从公钥集取得公钥核验。", html! {}))
        (notice(Tone::Info, "自动轮换", &format!("每 {days} 天自动生成新密钥，提前公布后启用。周期和提前量在系统设置“单点登录”中修改。")))
        @if rows.is_empty() {
            (notice(Tone::Info, "还没有密钥", "第一个应用取用公钥集或登录时自动生成。"))
        } @else {
            (card("密钥", table(&here, &columns, &rows)))
        }
        (card("更换", html! {
            p { "例行更换：生成新密钥，先公布，到时启用，旧密钥继续公布到它签发的令牌失效。怀疑密钥泄露：立即更换，再把旧密钥撤下。" }
            div.mk-form-acts {
                form method="post" action="/applications/keys/rotate" {
                    input type="hidden" name="turn" value="announced";
                    button.btn type="submit" { "例行更换" }
                }
                form method="post" action="/applications/keys/rotate" {
                    input type="hidden" name="turn" value="at_once";
                    button.btn.btn-danger type="submit" { "立即更换" }
                }
            }
        }))
    };
    Ok(frame.page("签名密钥", body))
}

pub(super) async fn rotate(
    State(identity): State<Identity>,
    allowed: Allowed,
    RawForm(body): RawForm,
) -> Reply<Redirect> {
    let form = Parameters::read(&body).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let turn = if form.get("turn") == Some("at_once") { Turn::AtOnce } else { Turn::Announced };
    identity.sso_rotate(allowed.caller(), turn).await?;
    Ok(Redirect::to("/applications/keys"))
}

pub(super) async fn withdraw(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(kid): Path<String>,
) -> Reply<Redirect> {
    identity.sso_withdraw(&kid, allowed.caller()).await?;
    Ok(Redirect::to("/applications/keys"))
}
