//! The sign-in page.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Error, RefusalKind};
use maud::{Markup, html};
use serde::Deserialize;
use web::{Frame, Reply};

use super::{Attempt, rules};
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
        address: &visitor.address,
        agent: &visitor.agent,
        earlier: cookie::token(&headers, cookie::SESSION),
    };
    let tls = identity.settings.tls;
    match identity.sign_in(attempt).await {
        Ok(opened) => {
            let to = if opened.must_change { "/account" } else { rules::destination(&given.next) };
            let mut response = Redirect::to(to).into_response();
            cookie::set_session(response.headers_mut(), &opened.token, tls);
            cookie::clear(response.headers_mut(), cookie::EMBED, tls);
            Ok(response)
        }
        Err(Error::Refused(refusal))
            if matches!(refusal.kind, RefusalKind::Unauthenticated | RefusalKind::Busy { .. }) =>
        {
            let body = view(&given.login, &given.next, Some(&refusal.message));
            let status = web::failure::status(refusal.kind);
            let mut response = (status, frame.lone("登录", body)).into_response();
            if let RefusalKind::Busy { retry_after } = refusal.kind {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
            }
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn out(
    State(identity): State<Identity>,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    if let Some(token) = cookie::token(&headers, cookie::SESSION) {
        identity.sign_out(token, frame.caller.as_deref()).await?;
    }
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")]).into_response();
    cookie::clear(response.headers_mut(), cookie::SESSION, identity.settings.tls);
    Ok(response)
}

/// The two boxes; the frame shows the names of the platform and the city, and there is nothing else.
fn view(login: &str, next: &str, problem: Option<&str>) -> Markup {
    html! {
        form method="post" action="/sign-in" autocomplete="on" {
            @if let Some(problem) = problem {
                div class="alert alert-danger" role="alert" { (problem) }
            }
            input type="hidden" name="next" value=(next);
            div class="mb-3" {
                label class="form-label" for="login" { "登录名" }
                input class="form-control" id="login" name="login" value=(login) required maxlength="64"
                    autocomplete="username" autocapitalize="none" spellcheck="false" autofocus[login.is_empty()];
            }
            div class="mb-3" {
                label class="form-label" for="password" { "密码" }
                input class="form-control" id="password" name="password" type="password" required
                    maxlength="128" autocomplete="current-password" autofocus[!login.is_empty()];
            }
            button class="btn btn-primary w-100" type="submit" { "登录" }
        }
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
    }
}
