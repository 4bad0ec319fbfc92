//! `/applications`: the applications of the single sign-on, for the platform's administrators.

use axum::extract::{Path, RawForm, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Error, Id, Refusal, Result};
use maud::{Markup, html};
use web::download::{Download, csv as csv_file};
use web::route::Allowed;
use web::ui::{
    Column, Export, Field, Filter as Choose, Here, Kind, List, Paging, Row, Tone, badge, card, describe,
    fact, field, form_acts, notice, page_head, select_field, table,
};
use web::{Frame, Reply};

use super::application::{self, Application, Filter, NewApplication};
use super::credential::{self, CredentialRow, Owner};
use super::scope::OFFERED;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("单点登录应用", "/applications")];
const PAGE: i64 = 50;
/// The most that an export holds.
const EXPORTED: i64 = 10_000;

const METHODS: &[(&str, &str)] = &[
    ("secret", "服务器应用 · 密钥"),
    ("private_key_jwt", "服务器应用 · 私钥签名（推荐）"),
    ("tls_client_auth", "服务器应用 · 客户端证书"),
    ("none", "公开应用（浏览器、手机、桌面程序，不能保密）"),
];
const FACTORS: &[(&str, &str)] =
    &[("single", "不限"), ("second", "双因素（口令加动态码或通行密钥）"), ("certificate", "数字证书")];

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect()
}

fn name_of<'a>(list: &[(&'a str, &'a str)], code: &str) -> &'a str {
    list.iter().find(|(c, _)| *c == code).map_or("", |(_, name)| name)
}

impl Identity {
    fn owner_name(&self, institution: Option<i32>) -> String {
        institution
            .and_then(|id| self.institutions.by_id(Id::new(i64::from(id))))
            .map_or_else(|| "市级".to_owned(), |card| card.name.clone())
    }

    async fn application(&self, id: i64) -> Result<Application> {
        application::by_id(self.db.pool(), id)
            .await?
            .ok_or_else(|| Refusal::not_found("application.none", "没有这个应用。").into())
    }
}

fn filter(here: &Here) -> Filter {
    Filter {
        text: here.get("q").unwrap_or_default().to_owned(),
        state: here.get("state").unwrap_or_default().to_owned(),
        institution: None,
    }
}

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let number: i64 = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).clamp(1, 10_000);
    let (apps, total) =
        application::list(identity.db.pool(), &filter(&here), (number - 1) * PAGE, PAGE).await?;
    let rows = apps
        .iter()
        .map(|app| {
            let open = app.state == "open";
            Row::to(
                format!("/applications/{}", app.id),
                vec![
                    html! { (app.name) },
                    html! { code { (app.client_id) } },
                    html! { (identity.owner_name(app.institution_id)) },
                    html! { (name_of(METHODS, &app.auth_method)) },
                    badge(
                        if open { Tone::Good } else { Tone::Neutral },
                        if open { "正常" } else { "已停用" },
                    ),
                    html! { (app.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)) },
                    html! { (page::time(app.created_at)) " " (app.created_by) },
                ],
            )
        })
        .collect();
    let states = pairs(&[("open", "正常"), ("closed", "已停用")]);
    let columns = ["应用", "客户端编号", "提供单位", "类型", "状态", "最近登录", "登记"].map(Column::text);
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let body = html! {
        (page_head(&[], "单点登录应用", "在平台登记后，应用的用户可以用平台账号登录；一次登录，处处可用。", html! {
            a.btn href="/applications/keys" { "签名密钥" }
            a.btn.btn-primary href="/applications/new" { "登记应用" }
        }))
        (web::ui::list(&here, &List {
            filters: &[
                Choose::Text { name: "q", label: "查找", hint: "应用名称或客户端编号" },
                Choose::Choice { name: "state", label: "状态", options: &states },
            ],
            total: Some(count(total)),
            unit: "个应用",
            columns: &columns,
            rows,
            paging: Paging::Numbered { page: count(number), per_page: count(PAGE), total: count(total) },
            exports: &[Export { label: "导出 CSV", path: "/applications.csv" }],
            empty: ("没有应用", "登记第一个应用后，它的用户就可以用平台账号登录。"),
            empty_action: Some(("登记应用", "/applications/new")),
        }))
    };
    Ok(frame.page("单点登录应用", body))
}

pub(super) async fn csv(State(identity): State<Identity>, here: Here) -> Reply<Download> {
    let (apps, _) = application::list(identity.db.pool(), &filter(&here), 0, EXPORTED).await?;
    let heads = [
        "应用",
        "客户端编号",
        "提供单位",
        "类型",
        "授权范围",
        "回调地址",
        "状态",
        "最近登录",
        "登记时间",
        "登记人",
    ];
    let rows = apps.into_iter().map(|app| {
        vec![
            app.name,
            app.client_id,
            identity.owner_name(app.institution_id),
            name_of(METHODS, &app.auth_method).to_owned(),
            app.scopes.join(" "),
            app.redirect_uris.join(" "),
            if app.state == "open" { "正常" } else { "已停用" }.to_owned(),
            app.last_used_at.map(page::time).unwrap_or_default(),
            page::time(app.created_at),
            app.created_by,
        ]
    });
    Ok(csv_file("applications.csv", &heads, rows))
}

fn lines(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if !out.iter().any(|o| o == line) {
            out.push(line.to_owned());
        }
    }
    out
}

/// Reads the form. Scopes are several fields of one name.
fn read(body: &[u8]) -> NewApplication {
    let mut new = NewApplication::default();
    for (name, value) in form_urlencoded::parse(body) {
        let value = value.trim();
        match name.as_ref() {
            "name" => new.name = value.to_owned(),
            "institution" => new.institution = value.parse().ok().map(Id::new),
            "auth_method" => new.auth_method = value.to_owned(),
            "redirect_uris" => new.redirect_uris = lines(value),
            "logout_uris" => new.logout_uris = lines(value),
            "backchannel_uri" => new.backchannel_uri = value.to_owned(),
            "launch_uri" => new.launch_uri = value.to_owned(),
            "factor" => new.factor = value.to_owned(),
            "scope" => new.scopes.push(value.to_owned()),
            _ => {}
        }
    }
    new
}

fn form(
    identity: &Identity,
    given: &NewApplication,
    action: &str,
    fresh: bool,
    problem: Option<&str>,
) -> Markup {
    let institutions: Vec<(String, String)> =
        identity.institutions.all().iter().map(|card| (card.id.to_string(), card.name.clone())).collect();
    let institution = given.institution.map(|id| id.to_string()).unwrap_or_default();
    let (redirects, logouts) = (given.redirect_uris.join("\n"), given.logout_uris.join("\n"));
    html! {
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有保存", problem)) }
        form method="post" action=(action) {
            (card("应用", html! { div.mk-form-grid {
                (field(&Field { name: "name", label: "应用名称", value: &given.name, required: true,
                    hint: "用户在登录时看到的名称，如“影像云阅片”", ..Field::default() }))
                @if fresh {
                    (select_field(&Field { name: "institution", label: "提供单位", value: &institution,
                        hint: "不选表示市级应用", ..Field::default() }, &institutions))
                    (select_field(&Field { name: "auth_method", label: "类型和认证方式", value: &given.auth_method,
                        required: true, hint: "公开应用不发密钥，靠 PKCE 保护", ..Field::default() }, &pairs(METHODS)))
                }
                (select_field(&Field { name: "factor", label: "登录强度要求", value: &given.factor, required: true,
                    hint: "达不到的用户不能进入这个应用", ..Field::default() }, &pairs(FACTORS)))
            } }))
            (card("地址", html! { div.mk-form-grid {
                (field(&Field { name: "redirect_uris", label: "回调地址", kind: Kind::Long, value: &redirects, required: true,
                    hint: "每行一个，逐字符比对；须为 https（本机测试可用 http://127.0.0.1）", ..Field::default() }))
                (field(&Field { name: "logout_uris", label: "退出后返回的地址", kind: Kind::Long, value: &logouts,
                    hint: "每行一个，可不填", ..Field::default() }))
                (field(&Field { name: "backchannel_uri", label: "退出通知地址", value: &given.backchannel_uri,
                    hint: "用户在平台退出时，平台通知应用一起退出；可不填", ..Field::default() }))
                (field(&Field { name: "launch_uri", label: "从档案页打开的地址", value: &given.launch_uri,
                    hint: "SMART App Launch；填写后健康档案页可打开此应用", ..Field::default() }))
            } }))
            (card("授权范围", html! {
                @for scope in OFFERED.iter().filter(|s| !s.program) {
                    label.form-check {
                        input.form-check-input type="checkbox" name="scope" value=(scope.name)
                            checked[given.scopes.iter().any(|s| s == scope.name)];
                        span.form-check-label { (scope.title) " " code { (scope.name) } }
                    }
                }
                p.mk-muted { "授权范围只会缩小、不会扩大用户本人的权限。" }
            }))
            (form_acts(if fresh { "登记" } else { "保存" }, Some("/applications")))
        }
    }
}

pub(super) async fn blank(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let given = NewApplication {
        auth_method: "private_key_jwt".to_owned(),
        factor: "single".to_owned(),
        scopes: ["openid", "profile", "online_access"].map(str::to_owned).to_vec(),
        ..NewApplication::default()
    };
    Ok(frame.page("登记应用", blank_view(&identity, &given, None)))
}

fn blank_view(identity: &Identity, given: &NewApplication, problem: Option<&str>) -> Markup {
    html! {
        (page_head(WAY, "登记应用", "登记后把客户端编号交给应用的开发方；接入步骤见 docs/sign-on.md。", html! {}))
        (form(identity, given, "/applications", true, problem))
    }
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let given = read(&body);
    match identity.register_application(&given, allowed.caller()).await {
        Ok(registered) => match &registered.secret {
            Some(secret) => {
                let page = told_once(registered.id, &registered.client_id, secret);
                Ok(frame.page("接入凭据", page).into_response())
            }
            None => Ok(Redirect::to(&format!("/applications/{}", registered.id)).into_response()),
        },
        Err(Error::Refused(refusal)) => {
            let page = frame.page("登记应用", blank_view(&identity, &given, Some(&refusal.message)));
            Ok((web::failure::status(refusal.kind), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let app = identity.application(id).await?;
    Ok(frame.page(&app.name, detail(&identity, &app, &here, None).await?))
}

async fn detail(
    identity: &Identity,
    app: &Application,
    here: &Here,
    problem: Option<&str>,
) -> Result<Markup> {
    let now = identity.clock.now();
    let credentials = credential::of(identity.db.pool(), Owner::Application(app.id), now).await?;
    let open = app.state == "open";
    let given = NewApplication {
        name: app.name.clone(),
        institution: app.institution_id.map(|id| Id::new(i64::from(id))),
        auth_method: app.auth_method.clone(),
        redirect_uris: app.redirect_uris.clone(),
        logout_uris: app.logout_uris.clone(),
        backchannel_uri: app.backchannel_uri.clone(),
        launch_uri: app.launch_uri.clone(),
        scopes: app.scopes.clone(),
        factor: app.factor.clone(),
    };
    let action = format!("/applications/{}", app.id);
    Ok(html! {
        (page_head(WAY, &app.name, if open { "" } else { "已停用：用户不能再登录，令牌全部失效。" }, html! {
            @if open { (page::act_button(&format!("{action}/close"), "停用", "btn-danger")) }
        }))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有保存", problem)) }
        (card("接入信息", describe(&[
            ("客户端编号（client_id）".to_owned(), html! { code { (app.client_id) } }),
            ("发现地址".to_owned(), html! { code { (identity.issuer()) "/.well-known/openid-configuration" } }),
            fact("提供单位", &identity.owner_name(app.institution_id)),
            fact("类型", name_of(METHODS, &app.auth_method)),
            fact("登记", &format!("{} {}", page::time(app.created_at), app.created_by)),
            fact("最近登录", &app.last_used_at.map_or_else(|| "从未使用".to_owned(), page::time)),
        ])))
        @if app.auth_method != "none" {
            (credentials_card(here, &app.auth_method, &credentials, &action, open))
        }
        @if open { (form(identity, &given, &action, false, None)) }
    })
}

/// The credentials of a program with what can be done about them; shared with machine clients.
pub(crate) fn credentials_card(
    here: &Here,
    method: &str,
    credentials: &[CredentialRow],
    action: &str,
    open: bool,
) -> Markup {
    let rows: Vec<Row> = credentials
        .iter()
        .map(|one| {
            let kind = match one.kind.as_str() {
                "key" => "公钥",
                "certificate" => "证书",
                _ => "密钥",
            };
            Row::plain(vec![
                html! { (kind) },
                html! { (one.label) },
                html! { (page::time(one.created_at)) " " (one.created_by) },
                html! { (one.expires_at.map_or_else(|| "长期".to_owned(), page::time)) },
                html! { @if open { (page::act_button(&format!("{action}/credential/{}/end", one.id), "立即作废", "btn-sm")) } },
            ])
        })
        .collect();
    let columns = ["类型", "标识", "登记", "有效期至", ""].map(Column::text);
    card(
        "认证凭据",
        html! {
            @if rows.is_empty() { p { "没有有效的凭据：程序现在不能通过认证。" } } @else { (table(here, &columns, &rows)) }
            @if open {
                @if method == "secret" {
                    form method="post" action={ (action) "/secret" } {
                        div.mk-form-acts { button.btn type="submit" { "更换密钥" } span.mk-muted { "旧密钥继续有效一段时间，便于切换。" } }
                    }
                } @else {
                    form method="post" action={ (action) "/credential" } {
                        (field(&Field { name: "pasted", kind: Kind::Long, value: "", required: true,
                            label: if method == "private_key_jwt" { "新的公钥" } else { "新的证书" },
                            hint: if method == "private_key_jwt" { "粘贴 JWKS 或 PEM 公钥；登记后旧的继续有效一段时间" } else { "粘贴 PEM 证书；登记后旧的继续有效一段时间" },
                            ..Field::default() }))
                        (form_acts("登记", None))
                    }
                }
            }
        },
    )
}

pub(super) async fn change(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let app = identity.application(id).await?;
    let given = NewApplication { auth_method: app.auth_method.clone(), ..read(&body) };
    let outcome = identity.change_application(&app, &given, allowed.caller()).await;
    answered(&identity, &app, &here, &frame, outcome).await
}

async fn answered(
    identity: &Identity,
    app: &Application,
    here: &Here,
    frame: &Frame,
    outcome: Result<()>,
) -> Reply<Response> {
    match outcome {
        Ok(()) => Ok(Redirect::to(&format!("/applications/{}", app.id)).into_response()),
        Err(Error::Refused(refusal)) => {
            let page = frame.page(&app.name, detail(identity, app, here, Some(&refusal.message)).await?);
            Ok((web::failure::status(refusal.kind), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Redirect> {
    let app = identity.application(id).await?;
    identity.close_application(app.id, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/applications/{}", app.id)))
}

pub(super) async fn secret(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let app = identity.application(id).await?;
    let told = identity.renew_application_secret(&app, allowed.caller()).await?;
    Ok(frame.page("接入凭据", told_once(app.id, &app.client_id, &told)))
}

pub(super) async fn credential(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let app = identity.application(id).await?;
    let pasted = form_urlencoded::parse(&body).find(|(n, _)| n == "pasted").map(|(_, v)| v.into_owned());
    let outcome =
        identity.enter_application_credential(&app, &pasted.unwrap_or_default(), allowed.caller()).await;
    answered(&identity, &app, &here, &frame, outcome).await
}

pub(super) async fn end_credential(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path((id, which)): Path<(i64, i64)>,
) -> Reply<Redirect> {
    let app = identity.application(id).await?;
    let now = identity.clock.now();
    identity
        .db
        .transaction(async |tx| {
            if !credential::end(tx, Owner::Application(app.id), which, now).await? {
                return Ok(());
            }
            let detail = serde_json::json!({ "credential": which });
            let act = "application.credential_end";
            identity.audit_application(tx, allowed.caller(), act, app.id, &app.client_id, Some(detail)).await
        })
        .await?;
    Ok(Redirect::to(&format!("/applications/{}", app.id)))
}

fn told_once(id: i64, client_id: &str, secret: &str) -> Markup {
    html! {
        (page_head(WAY, "接入凭据", "", html! {}))
        (notice(Tone::Warn, "密钥只显示这一次", "请现在就通过可靠的方式交给应用的开发方。遗失后只能更换。"))
        (card("凭据", describe(&[
            ("客户端编号（client_id）".to_owned(), html! { code { (client_id) } }),
            ("密钥（client_secret）".to_owned(), html! { code.mk-secret { (secret) } }),
        ])))
        div.mk-form-acts { a.btn.btn-primary href={ "/applications/" (id) } { "已妥善保存，返回" } }
    }
}
