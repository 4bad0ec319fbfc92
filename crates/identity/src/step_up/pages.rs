//! `/step-up`: the page that asks again who it is, and the page that sends on what was being sent.

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use kernel::{Caller, Error, RefusalKind};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use web::{Frame, Reply};

use crate::account::no_account;
use crate::factor::{self, passkey};
use crate::sign_in::rules::destination;
use crate::{Identity, cookie};

/// Where to go on. What a form was sending stays in the page, it is kept nowhere.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Going {
    /// The page to go back to.
    #[serde(default)]
    back: String,
    /// The address that a form was being sent to; empty for none.
    #[serde(default)]
    act: String,
    /// Its fields, as they were sent.
    #[serde(default)]
    held: String,
}

#[derive(Deserialize)]
pub(super) struct Proof {
    #[serde(flatten)]
    going: Going,
    password: Option<String>,
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
pub(super) struct PasskeyProof {
    #[serde(flatten)]
    assertion: passkey::Assertion,
    #[serde(default)]
    next: String,
}

fn caller(frame: &Frame) -> Result<&Caller, kernel::Refusal> {
    frame.caller.as_deref().filter(|c| c.account.is_some()).ok_or_else(no_account)
}

pub(super) async fn show(
    State(identity): State<Identity>,
    Query(going): Query<Going>,
    frame: Frame,
) -> Reply<Response> {
    let body = form(&identity, caller(&frame)?, &going, None).await?;
    Ok(frame.page("验证身份", body).into_response())
}

pub(super) async fn submit(
    State(identity): State<Identity>,
    frame: Frame,
    Form(proof): Form<Proof>,
) -> Reply<Response> {
    let caller = caller(&frame)?;
    let Some(password) = proof.password.as_deref() else {
        // Sent here by a form that wants a fresh proof, or by the passkey script after it has given one.
        if caller.assurance.fresh {
            return Ok(onward(&frame, &proof.going));
        }
        let body = form(&identity, caller, &proof.going, None).await?;
        return Ok(frame.page("验证身份", body).into_response());
    };
    match identity.step_up(caller, password, &proof.code).await {
        Ok(token) => {
            let mut response = onward(&frame, &proof.going);
            cookie::set_session(response.headers_mut(), &token, identity.settings.tls);
            Ok(response)
        }
        Err(Error::Refused(refusal))
            if matches!(refusal.kind, RefusalKind::Invalid | RefusalKind::Busy { .. }) =>
        {
            let body = form(&identity, caller, &proof.going, Some(&refusal.message)).await?;
            let mut response =
                (web::failure::status(refusal.kind), frame.page("验证身份", body)).into_response();
            if let RefusalKind::Busy { retry_after } = refusal.kind {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
            }
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn begin_passkey(State(identity): State<Identity>, frame: Frame) -> Reply<Json<Value>> {
    let party = identity.party()?;
    let challenge = identity.passkey_challenge(passkey::STEP_UP, Some(caller(&frame)?)).await?;
    Ok(Json(json!({ "challenge": challenge, "rpId": party.id })))
}

pub(super) async fn passkey(
    State(identity): State<Identity>,
    frame: Frame,
    Json(given): Json<PasskeyProof>,
) -> Reply<Response> {
    let token = identity.step_up_passkey(caller(&frame)?, &given.assertion).await?;
    let mut response = Json(json!({ "to": destination(&given.next) })).into_response();
    cookie::set_session(response.headers_mut(), &token, identity.settings.tls);
    Ok(response)
}

/// Back to the page, or a page that sends the held form again: by itself where scripts run, by one press otherwise.
fn onward(frame: &Frame, going: &Going) -> Response {
    let act = destination(&going.act);
    if going.act.is_empty() || act != going.act {
        return Redirect::to(destination(&going.back)).into_response();
    }
    let body = html! {
        div.mk-empty {
            strong { "身份已验证" }
            p { "正在继续您刚才的操作。如果页面没有自动跳转，请按“继续”。" }
            form method="post" action=(act) data-go {
                @for (name, value) in form_urlencoded::parse(going.held.as_bytes()) {
                    input type="hidden" name=(name) value=(value);
                }
                button.btn.btn-primary type="submit" { "继续" }
            }
        }
    };
    frame.page("继续操作", body).into_response()
}

async fn form(
    identity: &Identity,
    caller: &Caller,
    going: &Going,
    problem: Option<&str>,
) -> kernel::Result<Markup> {
    let account = caller.account.ok_or_else(no_account)?;
    let has = factor::store::of(identity.db.pool(), account).await?;
    let passkeys = has.passkeys > 0 && identity.party().is_ok();
    let minutes = identity.options.whole("sign_in.step_up_minutes");
    Ok(view(going, has.second(), passkeys, minutes, problem))
}

fn view(going: &Going, code: bool, passkeys: bool, minutes: i64, problem: Option<&str>) -> Markup {
    let held = !going.act.is_empty();
    html! {
        div.mk-prove {
            h1 { "请再次验证身份" }
            p.mk-muted {
                "接下来的操作比较敏感，需要确认是您本人。验证后 " (minutes) " 分钟内不再询问。"
                @if held { "您刚才填写的内容已保留，验证后会继续提交。" }
            }
            @if let Some(problem) = problem { div class="alert alert-danger" role="alert" { (problem) } }
            form method="post" action="/step-up" autocomplete="on" id="step-up" {
                input type="hidden" name="back" value=(going.back);
                @if held {
                    input type="hidden" name="act" value=(going.act);
                    input type="hidden" name="held" value=(going.held);
                }
                (crate::page::control("密码", "password", "", &html! {
                    input.form-control id="password" name="password" type="password" required maxlength="128"
                        autocomplete="current-password" autofocus;
                }))
                @if code {
                    (crate::page::control("动态口令", "code", "身份验证器应用上的 6 位数字，或一个备用码", &html! {
                        input.form-control id="code" name="code" required maxlength="24" autocomplete="one-time-code";
                    }))
                }
                div.mk-form-acts {
                    button.btn.btn-primary type="submit" { "验证" }
                    a.btn href=(destination(&going.back)) { "取消" }
                }
            }
            @if passkeys {
                div data-passkey="/step-up/passkey" data-next=(going.back) data-then=[held.then_some("step-up")] hidden {
                    button.btn type="button" { "用通行密钥验证" }
                    p.mk-error data-passkey-problem role="alert" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_in_the_page_escaped() {
        let going = Going { back: "/accounts".into(), act: "/accounts".into(), held: "name=\"<b>".into() };
        let page = view(&going, true, false, 10, Some("密码不正确，请重新输入。")).into_string();
        assert!(
            page.contains("name=&quot;&lt;b&gt;") && page.contains("动态口令") && page.contains("已保留")
        );
        assert!(!page.contains("<b>") && !page.contains("name=\"password\" value"));
        assert!(!view(&Going::default(), false, false, 10, None).into_string().contains("name=\"code\""));
    }
}
