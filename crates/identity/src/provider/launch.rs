//! SMART App Launch: an application opened from a person's record (EHR launch), or that asks for a person by itself
//! (standalone launch). What is handed over is a number that serves once and names the person to the token endpoint;
//! whether the record opens is decided where it is read, as for everybody.

use ::store::{AuditEntry, audit};
use axum::extract::{Path, Query, RawForm, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{AccountId, CallerKind, Id, Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, table};
use web::ui::{card, empty, notice, page_head};
use web::{Frame, Reply};

use super::application::{self, Application};
use super::{AUTHORIZE, LAUNCH_LIFE, Parameters, authorize, store, with_query};
use crate::{Identity, secret};

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    person: i64,
    #[serde(default)]
    encounter: String,
}

impl Identity {
    /// A launch of an application for a person, by somebody who signed in; its token.
    async fn launch(
        &self,
        app: &Application,
        account: AccountId,
        person: i64,
        encounter: &str,
        by: &kernel::Caller,
    ) -> Result<String> {
        let token = secret::random_token()?;
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let (digest, end) = (secret::digest(&token), now + LAUNCH_LIFE);
                store::insert_launch(tx, &digest, app.id, account.get(), person, encounter, end).await?;
                let entry = AuditEntry {
                    act: "sso.launch",
                    object_kind: "application",
                    object_id: Some(app.id),
                    object_label: app.name.clone(),
                    person_id: Some(person),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of("care"), now, &entry).await
            })
            .await?;
        Ok(token)
    }
}

/// `/launch?person=…`: the applications that open this person's record.
pub(super) async fn page(
    State(identity): State<Identity>,
    Query(wanted): Query<Wanted>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let apps = application::launchable(identity.db.pool()).await?;
    let rows: Vec<Row> = apps
        .iter()
        .map(|app| {
            let owner = app.institution_id.and_then(|id| identity.institutions.by_id(Id::new(i64::from(id))));
            Row::plain(vec![
                html! { b { (app.name) } },
                html! { (owner.map_or_else(|| "市级".to_owned(), |card| card.name.clone())) },
                html! {
                    form method="post" action={ "/launch/" (app.id) } {
                        input type="hidden" name="person" value=(wanted.person);
                        input type="hidden" name="encounter" value=(wanted.encounter);
                        button class="btn btn-sm btn-primary" type="submit" { "打开" }
                    }
                },
            ])
        })
        .collect();
    let way = format!("/record/{}", wanted.person);
    let columns = [Column::text("应用"), Column::text("提供单位"), Column::text("")];
    let body = html! {
        (page_head(&[("健康档案", &way)], "在应用中打开", "以您的身份打开应用，并把这位居民带过去；应用只能读到您有权查看的内容。", html! {}))
        @if wanted.person <= 0 {
            (notice(Tone::Warn, "没有选定居民", "请从居民的健康档案页面进入。"))
        } @else if rows.is_empty() {
            (empty("还没有可以打开的应用", "平台管理员在“单点登录应用”中登记应用并填写“从档案页打开的地址”后，这里就会列出。", Some(("回到健康档案", &way))))
        } @else {
            (card("可用的应用", table(&here, &columns, &rows)))
        }
    };
    Ok(frame.page("在应用中打开", body))
}

/// `POST /launch/{application}`: goes to the application with a launch.
pub(super) async fn start(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let form = Parameters::read(&body).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let caller = allowed.caller();
    let none = || Refusal::not_found("application.none", "没有这个应用，或它已停用。");
    let app =
        application::by_id(identity.db.pool(), id).await?.filter(|a| a.state == "open").ok_or_else(none)?;
    let account = caller.account.filter(|_| caller.kind == CallerKind::Staff).ok_or_else(none)?;
    let person = form.get("person").and_then(|p| p.parse().ok()).filter(|p: &i64| *p > 0).ok_or_else(none)?;
    if app.launch_uri.is_empty() {
        return Err(none().into());
    }
    let encounter: String = form.get("encounter").unwrap_or_default().chars().take(64).collect();
    let launch = identity.launch(&app, account, person, &encounter, caller).await?;
    let iss = format!("{}/fhir", identity.issuer());
    // The page's policy forbids a form to end at another site.
    Ok(authorize::onward(&frame, &with_query(&app.launch_uri, &[("iss", &iss), ("launch", &launch)])))
}

/// Standalone launch: which person?
pub(super) fn choose_page(app: &Application, query: &str, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem { div class="alert alert-danger" role="alert" { (problem) } }
        p { "应用“" b { (app.name) } "”要打开一位居民的健康档案。" }
        form method="post" action="/oauth/authorize/person" {
            input type="hidden" name="query" value=(query);
            div class="mb-3" {
                label class="form-label" for="patient" { "患者编号（本单位）或身份证号" }
                input class="form-control" id="patient" name="patient" required maxlength="64" autocomplete="off" autofocus;
            }
            button class="btn btn-primary w-100" type="submit" { "选定并继续" }
        }
        p.mk-muted { a href="/desk" { "不打开，回到工作台" } }
    }
}

/// `POST /oauth/authorize/person`: the person of a standalone launch was named.
pub(super) async fn choose(
    State(identity): State<Identity>,
    frame: Frame,
    RawForm(body): RawForm,
) -> Reply<Response> {
    let form = Parameters::read(&body).map_err(|error| Refusal::invalid("sso.form", error.description))?;
    let query = form.get("query").unwrap_or_default();
    let params = Parameters::read(query.as_bytes()).unwrap_or_default();
    let none = || Refusal::not_found("application.none", "没有这个应用，或它已停用。");
    let client_id = params.get("client_id").unwrap_or_default();
    let app = application::load_open(identity.db.pool(), client_id).await?.ok_or_else(none)?;
    let caller = frame.caller.clone().filter(|c| c.kind == CallerKind::Staff).ok_or_else(none)?;
    let account = caller.account.ok_or_else(none)?;
    let patient = form.get("patient").unwrap_or_default().trim();
    let found = identity.patient(caller.institution, patient).await?;
    let Some(person) = found else {
        let problem = "没有找到这位患者。请核对编号；不在本单位就诊的居民请用身份证号。";
        return Ok(frame.lone("选定居民", choose_page(&app, query, Some(problem))).into_response());
    };
    let launch = identity.launch(&app, account, person, "", &caller).await?;
    let to = format!("{AUTHORIZE}?{}&launch={launch}&continued=1", params.without(&["launch"]));
    Ok(Redirect::to(&to).into_response())
}
