//! Errors as the asker reads them: a page for people, a notice for htmx, JSON for `/api`, an OperationOutcome for
//! `/fhir`. The one place that does this.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::CallerKind;
use maud::{Markup, html};
use serde_json::json;

use super::gate::{Asked, under, unexplained};
use crate::failure::Explained;
use crate::route::{Held, STEP_UP};
use crate::ui::{Tone, icon, notice_closable};

/// Gives an error response its body. Everything else passes unchanged.
pub(super) fn explain(asked: &Asked, mut response: Response) -> Response {
    let explained = match response.extensions_mut().remove::<Explained>() {
        Some(explained) => explained,
        None if unexplained(&response) => generic(response.status()),
        None => return response,
    };
    let status = response.status();
    let held = response.extensions_mut().remove::<Held>();
    let mut told = tell(asked, status, &explained, held);
    for name in [header::RETRY_AFTER, header::ALLOW, header::SET_COOKIE, header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers().get(&name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    told
}

fn tell(asked: &Asked, status: StatusCode, explained: &Explained, held: Option<Held>) -> Response {
    let headers = &asked.parts.headers;
    if under(asked.path(), "/fhir") {
        return outcome(status, explained);
    }
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("text/html"));
    if under(asked.path(), "/api") || wants_json {
        let mut body = json!({ "error": { "code": explained.code, "message": explained.message } });
        if explained.code == STEP_UP {
            body["error"]["step_up"] = json!("/step-up");
        }
        return (status, axum::Json(body)).into_response();
    }
    if explained.code == STEP_UP {
        return prove(asked, held);
    }
    if headers.contains_key("hx-request") {
        return part(status, explained);
    }
    if status == StatusCode::UNAUTHORIZED
        && asked.parts.method == Method::GET
        && !under(asked.path(), "/embed")
    {
        return Redirect::to(&sign_in(asked)).into_response();
    }
    (status, page(asked, status, explained)).into_response()
}

/// To the page that proves again who it is, and from there back: to the page, or on with the form that was being sent.
fn prove(asked: &Asked, held: Option<Held>) -> Response {
    let headers = &asked.parts.headers;
    let wanted = asked.parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let step_up = |back: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("back", back);
        format!("/step-up?{}", query.finish())
    };
    if headers.contains_key("hx-request") {
        let page = came_from(headers, "hx-current-url");
        return (StatusCode::FORBIDDEN, [("hx-redirect", step_up(&page))]).into_response();
    }
    if asked.parts.method == Method::GET {
        return Redirect::to(&step_up(wanted)).into_response();
    }
    let back = came_from(headers, header::REFERER.as_str());
    let Some(Held(fields)) = held else {
        return Redirect::to(&step_up(&back)).into_response();
    };
    let body = html! {
        div.mk-empty {
            (icon("lock"))
            strong { "需要再次验证身份" }
            p { "这一步涉及敏感操作。您填写的内容已保留，验证后继续提交。" }
            form method="post" action="/step-up" data-go {
                input type="hidden" name="back" value=(back);
                input type="hidden" name="act" value=(wanted);
                input type="hidden" name="held" value=(fields);
                button.btn.btn-primary type="submit" { "去验证" }
            }
        }
    };
    (StatusCode::FORBIDDEN, asked.frame().page("验证身份", body)).into_response()
}

/// The page of ours that a header names, without its host; the desk when it names none.
fn came_from(headers: &axum::http::HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .and_then(|url| url.parse::<axum::http::Uri>().ok())
        .and_then(|uri| uri.path_and_query().map(|p| p.as_str().to_owned()))
        .unwrap_or_else(|| "/desk".to_owned())
}

/// The sign-in page, which leads back to what was asked for.
fn sign_in(asked: &Asked) -> String {
    let wanted = asked.parts.uri.path_and_query().map_or("/", |p| p.as_str());
    if wanted == "/" {
        return "/sign-in".to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", wanted);
    format!("/sign-in?{}", query.finish())
}

fn part(status: StatusCode, explained: &Explained) -> Response {
    if status == StatusCode::UNAUTHORIZED {
        return (status, [("hx-redirect", "/sign-in")]).into_response();
    }
    let body = notice_closable(Tone::Bad, title(status), &explained.message);
    // The notice goes to its own place; what the user was looking at stays.
    (status, [("hx-retarget", "#notices"), ("hx-reswap", "innerHTML")], body).into_response()
}

fn outcome(status: StatusCode, explained: &Explained) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "login",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "not-supported",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "too-long",
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        StatusCode::SERVICE_UNAVAILABLE => "transient",
        s if s.is_server_error() => "exception",
        _ => "invalid",
    };
    let severity = if status.is_server_error() { "fatal" } else { "error" };
    let body = json!({
        "resourceType": "OperationOutcome",
        "issue": [{
            "severity": severity,
            "code": code,
            "details": { "text": explained.code },
            "diagnostics": explained.message,
        }],
    });
    let kind = HeaderValue::from_static("application/fhir+json; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

fn page(asked: &Asked, status: StatusCode, explained: &Explained) -> Markup {
    let frame = asked.frame();
    let title = title(status);
    let body = html! {
        div.mk-empty {
            (icon(if status.is_server_error() { "alert-triangle" } else { "info-circle" }))
            strong { (title) }
            p { (explained.message) }
            @match frame.caller.as_ref().map(|caller| caller.kind) {
                Some(CallerKind::Embedded) => {},
                Some(_) => a.btn href="/desk" { "回到工作台" },
                None => a.btn href="/sign-in" { "去登录" },
            }
        }
    };
    if frame.caller.is_some() { frame.page(title, body) } else { frame.lone(title, body) }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "请先登录",
        StatusCode::FORBIDDEN => "不能这样做",
        StatusCode::NOT_FOUND => "没有找到",
        StatusCode::METHOD_NOT_ALLOWED => "不支持这种访问方式",
        StatusCode::CONFLICT => "现在不能这样做",
        StatusCode::PAYLOAD_TOO_LARGE => "内容太大",
        StatusCode::TOO_MANY_REQUESTS => "请稍后再来",
        StatusCode::SERVICE_UNAVAILABLE => "暂时不能使用",
        s if s.is_server_error() => "系统出错",
        _ => "提交的内容有误",
    }
}

/// Words for the framework's own refusals: a body that is no JSON, a query that cannot be read, a wrong method.
fn generic(status: StatusCode) -> Explained {
    let (code, message) = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            ("request.method", "这个地址不支持这种访问方式。请从页面上的按钮或链接进入，接口请查看接口说明。")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("request.too_large", "提交的内容超过 2 MB。成批数据请用“数据上传”页面或上传接口。")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("request.media_type", "不支持这种内容类型（Content-Type）。请查看接口说明中这个地址接受的类型。")
        }
        StatusCode::NOT_FOUND => ("page.not_found", "没有找到您要的内容。"),
        s if s.is_server_error() => ("fault", "系统出错，您的操作没有完成。请稍后再试。"),
        _ => ("request.malformed", "提交的内容或地址的格式不对，无法读取。请检查后重新提交。"),
    };
    Explained { code: code.to_owned(), message: message.to_owned() }
}
