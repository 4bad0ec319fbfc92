//! The sign-in page, and the page that asks for the second factor.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Error, RefusalKind};
use maud::{Markup, html};
use serde::Deserialize;
use web::{Frame, Reply};

use super::{Attempt, Opened, Progress, rules};
use crate::page::Visitor;
use crate::{Identity, cookie};

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    #[serde(default)]
    login: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(Query(wanted): Query<Wanted>, frame: Frame) -> Reply<Response> {
    if frame.caller.as_ref().is_some_and(|c| c.kind == kernel::CallerKind::Staff) {
        return Ok(Redirect::to(rules::destination(&wanted.next)).into_response());
    }
    Ok(frame.lone("登录", view("", &wanted.next, None)).into_response())
}

pub(super) async fn submit(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    frame: Frame,
    Form(given): Form<Credentials>,
) -> Reply<Response> {
    let attempt = Attempt {
        login: &given.login,
        password: &given.password,
        ..attempt_of(&identity, &visitor, &headers)
    };
    match identity.sign_in(attempt).await {
        Ok(Progress::Opened(opened)) => Ok(let_in(&identity, &opened, &given.next)),
        Ok(Progress::Second(ticket)) => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("next", rules::destination(&given.next));
            let mut response = Redirect::to(&format!("/sign-in/code?{}", query.finish())).into_response();
            let tls = identity.settings.tls;
            cookie::set_ticket(response.headers_mut(), &ticket, rules::TICKET.num_seconds(), tls);
            Ok(response)
        }
        Err(error) => {
            refused(error, &frame, "登录", |problem| view(&given.login, &given.next, Some(problem)))
        }
    }
}

pub(super) async fn code_form(
    State(identity): State<Identity>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    if cookie::token(&headers, cookie::TICKET, identity.settings.tls).is_none() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    Ok(frame.lone("验证身份", code_view(&wanted.next, None)).into_response())
}

pub(super) async fn code(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    frame: Frame,
    Form(given): Form<CodeForm>,
) -> Reply<Response> {
    let ticket = cookie::token(&headers, cookie::TICKET, identity.settings.tls).unwrap_or_default();
    match identity.sign_in_code(ticket, &given.code, attempt_of(&identity, &visitor, &headers)).await {
        Ok(opened) => Ok(let_in(&identity, &opened, &given.next)),
        Err(Error::Refused(refusal)) if refusal.code == "sign_in.ticket" => {
            refused(refusal.into(), &frame, "登录", |problem| view("", &given.next, Some(problem)))
        }
        Err(error) => refused(error, &frame, "验证身份", |problem| code_view(&given.next, Some(problem))),
    }
}

pub(super) async fn out(
    State(identity): State<Identity>,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    if let Some(token) = cookie::token(&headers, cookie::SESSION, identity.settings.tls) {
        identity.sign_out(token, frame.caller.as_deref()).await?;
    }
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")]).into_response();
    // Pages that the back button would still show; the cookie that tells this browser from others stays.
    response
        .headers_mut()
        .insert("clear-site-data", header::HeaderValue::from_static("\"cache\", \"storage\""));
    cookie::clear(response.headers_mut(), cookie::SESSION, identity.settings.tls);
    Ok(response)
}

/// What a request says about the browser that tries to sign in.
pub(crate) fn attempt_of<'a>(
    identity: &Identity,
    visitor: &'a Visitor,
    headers: &'a HeaderMap,
) -> Attempt<'a> {
    let tls = identity.settings.tls;
    Attempt {
        login: "",
        password: "",
        address: &visitor.address,
        agent: &visitor.agent,
        earlier: cookie::token(headers, cookie::SESSION, tls),
        device: cookie::token(headers, cookie::DEVICE, tls),
    }
}

/// Where somebody goes who has just signed in.
pub(crate) fn goal<'a>(opened: &Opened, next: &'a str) -> &'a str {
    match (opened.must_change, opened.must_enrol) {
        (true, _) => "/account",
        (false, true) => "/account/code",
        (false, false) => rules::destination(next),
    }
}

/// The cookies of somebody who has just signed in.
pub(crate) fn set_cookies(identity: &Identity, headers: &mut HeaderMap, opened: &Opened) {
    let tls = identity.settings.tls;
    cookie::set_session(headers, &opened.token, tls);
    if let Some(device) = &opened.device {
        cookie::set_device(headers, device, tls);
    }
    cookie::clear(headers, cookie::TICKET, tls);
    cookie::clear(headers, cookie::EMBED, tls);
}

pub(crate) fn let_in(identity: &Identity, opened: &Opened, next: &str) -> Response {
    let mut response = Redirect::to(goal(opened, next)).into_response();
    set_cookies(identity, response.headers_mut(), opened);
    response
}

/// A refused sign-in: the form again, with the reason.
pub(crate) fn refused(
    error: Error,
    frame: &Frame,
    title: &str,
    view: impl FnOnce(&str) -> Markup,
) -> Reply<Response> {
    match error {
        Error::Refused(refusal)
            if matches!(refusal.kind, RefusalKind::Unauthenticated | RefusalKind::Busy { .. }) =>
        {
            let status = web::failure::status(refusal.kind);
            let mut response = (status, frame.lone(title, view(&refusal.message))).into_response();
            if let RefusalKind::Busy { retry_after } = refusal.kind {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
            }
            Ok(response)
        }
        error => Err(error.into()),
    }
}

fn alert(problem: Option<&str>) -> Markup {
    html! { @if let Some(problem) = problem { div class="alert alert-danger" role="alert" { (problem) } } }
}

/// The two boxes; the frame shows the names of the platform and the city. The other ways to sign in stand below, and
/// only where the browser has them.
fn view(login: &str, next: &str, problem: Option<&str>) -> Markup {
    html! {
        form method="post" action="/sign-in" autocomplete="on" {
            (alert(problem))
            input type="hidden" name="next" value=(next);
            div class="mb-3" {
                label class="form-label" for="login" { "登录名" }
                input class="form-control" id="login" name="login" value=(login) required maxlength="64"
                    autocomplete="username webauthn" autocapitalize="none" spellcheck="false" autofocus[login.is_empty()];
            }
            div class="mb-3" {
                label class="form-label" for="password" { "密码" }
                input class="form-control" id="password" name="password" type="password" required
                    maxlength="128" autocomplete="current-password" autofocus[!login.is_empty()];
            }
            button class="btn btn-primary w-100" type="submit" { "登录" }
        }
        (passkey_door(next))
        p class="mk-lone-more" { a href="/sign-in/certificate" { "用数字证书（UKey）登录" } }
        p class="mk-lone-more" { a href=(crate::provider::with_query("/sign-in/partners", &[("next", next)])) { "用本单位账号登录" } }
    }
}

/// The button that signs in by a passkey; the script shows it where the browser knows passkeys.
fn passkey_door(next: &str) -> Markup {
    html! {
        div.mk-lone-more data-passkey="/sign-in/passkey" data-next=(next) hidden {
            button class="btn w-100" type="button" { "用通行密钥登录" }
            p.mk-error data-passkey-problem role="alert" {}
        }
    }
}

fn code_view(next: &str, problem: Option<&str>) -> Markup {
    html! {
        form method="post" action="/sign-in/code" autocomplete="off" {
            (alert(problem))
            input type="hidden" name="next" value=(next);
            div class="mb-3" {
                label class="form-label" for="code" { "动态口令" }
                input class="form-control" id="code" name="code" required maxlength="24" inputmode="text"
                    autocomplete="one-time-code" autofocus;
                small class="mk-muted" { "打开手机上的身份验证器应用，输入当前 6 位数字。手机不在身边时可输入备用码。" }
            }
            button class="btn btn-primary w-100" type="submit" { "验证" }
        }
        (passkey_door(next))
        p class="mk-lone-more" { a href="/sign-in" { "换一个账号登录" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_never_carries_the_password_and_escapes_what_it_repeats() {
        let page = view("\"><script>", "/record/7?a=\"b", Some("登录名或密码不正确。")).into_string();
        assert!(page.contains("登录名或密码不正确。"));
        assert!(!page.contains("<script>"));
        assert!(!page.contains("name=\"password\" value"));
        assert!(!code_view("\"><script>", None).into_string().contains("<script>"));
    }
}
