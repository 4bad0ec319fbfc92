//! `/account/code`: setting up one-time codes; recovery codes shown once.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Caller, Error};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use web::ui::{Tone, card, notice, page_head};
use web::{Frame, Reply};

use super::code;
use crate::account::no_account;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("我的账号", "/account")];

#[derive(Deserialize)]
pub(super) struct CodeForm {
    #[serde(default)]
    code: String,
}

fn caller(frame: &Frame) -> Result<&Caller, kernel::Refusal> {
    frame.caller.as_deref().filter(|c| c.account.is_some()).ok_or_else(no_account)
}

pub(super) async fn enrol(State(identity): State<Identity>, frame: Frame) -> Reply<Response> {
    let body = enrolment(&identity, &frame, None).await?;
    Ok(frame.page("设置动态口令", body).into_response())
}

pub(super) async fn confirm(
    State(identity): State<Identity>,
    frame: Frame,
    Form(form): Form<CodeForm>,
) -> Reply<Response> {
    match identity.confirm_codes(caller(&frame)?, &form.code).await {
        Ok(codes) => Ok(frame.page("动态口令已启用", told_once("动态口令已启用", &codes)).into_response()),
        Err(Error::Refused(refusal)) if refusal.code == "code.wrong" => {
            let body = enrolment(&identity, &frame, Some(&refusal.message)).await?;
            Ok((web::failure::status(refusal.kind), frame.page("设置动态口令", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove(State(identity): State<Identity>, frame: Frame) -> Reply<Redirect> {
    identity.remove_codes(caller(&frame)?).await?;
    Ok(Redirect::to("/account#factors"))
}

pub(super) async fn new_recovery(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let codes = identity.renew_recovery(caller(&frame)?).await?;
    Ok(frame.page("新的备用码", told_once("新的备用码", &codes)))
}

async fn enrolment(identity: &Identity, frame: &Frame, problem: Option<&str>) -> kernel::Result<Markup> {
    let caller = caller(frame)?;
    let account = caller.account.ok_or_else(no_account)?;
    let row = crate::account::store::by_id(identity.db.pool(), account).await?.ok_or_else(no_account)?;
    let secret = identity.begin_codes(caller).await?;
    let issuer = format!("{}{}", frame.face.place, frame.face.platform);
    let spelled: Vec<String> = code::base32(&secret)
        .as_bytes()
        .chunks(4)
        .map(|four| String::from_utf8_lossy(four).into_owned())
        .collect();
    Ok(html! {
        (page_head(WAY, "设置动态口令", "登录时除密码外再输入手机上显示的 6 位数字，密码泄露也登录不了。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, problem, "")) }
        (card("第一步：用手机扫描", html! {
            div.mk-enrol {
                (qr(&code::address(&issuer, &row.login, &secret)))
                div {
                    p { "用身份验证器应用扫描（微信小程序“腾讯身份验证器”、华为、Google 或 Microsoft Authenticator 等均可，不需要联网）。" }
                    p.mk-muted { "不能扫描时，在应用中手工输入密钥：" }
                    p { code.mk-secret { (spelled.join(" ")) } }
                }
            }
        }))
        (card("第二步：输入应用显示的数字", html! {
            form method="post" action="/account/code" autocomplete="off" {
                div.mk-form-grid {
                    (page::control("动态口令", "code", "6 位数字，每 30 秒换一个", &html! {
                        input.form-control id="code" name="code" required maxlength="8" inputmode="numeric" autocomplete="one-time-code" autofocus;
                    }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "启用" } a.btn href="/account" { "取消" } }
            }
        }))
    })
}

/// Recovery codes on a page that prints well.
fn told_once(title: &str, codes: &[String]) -> Markup {
    html! {
        (page_head(WAY, title, "", html! {}))
        (card("备用码（只显示这一次）", html! {
            p { "手机丢失或更换时，每个备用码可以代替动态口令登录一次。请打印或抄下来，存放在安全的地方，不要存在同一部手机里。" }
            ol.mk-codes { @for code in codes { li { code.mk-secret { (code) } } } }
            div.mk-form-acts {
                button.btn type="button" data-act="print" { "打印" }
                a.btn.btn-primary href="/account" { "我已保存" }
            }
        }))
    }
}

/// A QR code as a drawing in the page: no request leaves with the secret in its address.
fn qr(text: &str) -> Markup {
    let Ok(code) = fast_qr::QRBuilder::new(text).ecl(fast_qr::ECL::M).build() else {
        return html! { p { "二维码生成失败，请手工输入密钥。" } };
    };
    let size = code.size;
    let mut path = String::new();
    for row in 0..size {
        for column in 0..size {
            if code[row][column].value() {
                path.push_str(&format!("M{} {}h1v1h-1z", column + 4, row + 4));
            }
        }
    }
    let side = size + 8;
    PreEscaped(format!(
        "<svg class=\"mk-qr\" viewBox=\"0 0 {side} {side}\" width=\"220\" height=\"220\" role=\"img\" aria-label=\"二维码\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_qr_code_is_drawn_in_the_page() {
        let drawn = qr("otpauth://totp/x?secret=GEZDGNBV").into_string();
        assert!(drawn.starts_with("<svg") && drawn.contains("M4 4h1v1h-1z"), "{drawn}");
        assert!(!drawn.contains("GEZDGNBV") && !drawn.contains("http"));
    }

    #[test]
    fn recovery_codes_are_all_on_the_page() {
        let page = told_once("备用码", &["aaaa-bbbb".to_owned(), "cccc-dddd".to_owned()]).into_string();
        assert!(page.contains("aaaa-bbbb") && page.contains("cccc-dddd"));
    }
}
