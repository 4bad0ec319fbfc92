//! `/account/applications`: where a person is signed in by the platform, and how to end it.

use ::store::{AuditEntry, DbDoing, audit};
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use kernel::{Caller, Id, Purpose, Result};
use maud::{Markup, html};
use serde_json::json;
use web::ui::{Column, Here, Row, card, empty, page_head, table};
use web::{Frame, Reply};

use super::scope;
use crate::account::no_account;
use crate::row::row;
use crate::{Identity, page};

/// An application where somebody signed in.
struct Used {
    id: i64,
    name: String,
    institution_id: Option<i32>,
    scopes: Vec<String>,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    alive: i64,
    offline: bool,
}
row!(Used { id, name, institution_id, scopes, first_at, last_at, alive, offline });

impl Identity {
    async fn applications_of(&self, account: i64) -> Result<Vec<Used>> {
        sqlx::query_as(
            "select p.id, p.name, p.institution_id, p.scopes, min(g.created_at) as first_at,
                    max(g.last_used_at) as last_at,
                    count(*) filter (where g.ended_at is null and g.expires_at > $2) as alive,
                    coalesce(bool_or(not g.online) filter (where g.ended_at is null and g.expires_at > $2), false)
                        as offline
             from sso_grant g join application p on p.id = g.application_id
             where g.account_id = $1 group by p.id order by max(g.last_used_at) desc limit 200",
        )
        .bind(account)
        .bind(self.clock.now())
        .fetch_all(self.db.pool())
        .await
        .db("list the applications of an account")
    }

    /// Ends every sign-in of an account at an application.
    async fn end_at(&self, account: i64, application: i64, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let done = sqlx::query(
                    "with ended as (
                        update sso_grant set ended_at = $3, end_reason = 'person', session_id = null
                        where account_id = $1 and application_id = $2 and ended_at is null returning id)
                     delete from sso_token t using ended where t.grant_id = ended.id and t.kind = 'access'",
                )
                .bind(account)
                .bind(application)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("end the sign-ins at an application")?;
                let entry = AuditEntry {
                    act: "sso.end",
                    object_kind: "application",
                    object_id: Some(application),
                    detail: Some(json!({ "tokens": done.rows_affected() })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await
            })
            .await?;
        self.gatekeeper.forget_tokens();
        self.sso_after_sessions().await
    }
}

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let account = frame.caller.as_ref().and_then(|c| c.account).ok_or_else(no_account)?;
    let used = identity.applications_of(account.get()).await?;
    let rows: Vec<Row> = used
        .iter()
        .map(|app| {
            let owner = app.institution_id.and_then(|id| identity.institutions.by_id(Id::new(i64::from(id))));
            let may: Vec<&str> = app.scopes.iter().filter_map(|s| scope::offered(s)).map(|s| s.title).collect();
            Row::plain(vec![
                html! { b { (app.name) } small { (owner.map_or_else(|| "市级".to_owned(), |c| c.name.clone())) } },
                html! { (may.join("；")) },
                html! { (page::time(app.first_at)) },
                html! { (page::time(app.last_at)) },
                html! { @if app.alive == 0 { "已退出" } @else if app.offline { "已登录（含离线访问）" } @else { "已登录" } },
                html! {
                    @if app.alive > 0 {
                        (page::act_button(&format!("/account/applications/{}/end", app.id), "退出", "btn-sm"))
                    }
                },
            ])
        })
        .collect();
    let columns = ["应用", "可以做什么", "首次登录", "最近使用", "状态", ""].map(Column::text);
    let body = html! {
        (page_head(&[("我的账号", "/account")], "登录过的应用",
            "您用平台账号登录过的应用。退出后，应用不能再以您的身份读取数据；下次使用时重新登录即可。", html! {}))
        @if rows.is_empty() {
            (empty("还没有登录过其他应用", "在医院或卫生健康部门的应用里选择“用平台账号登录”后，这里会列出。", Some(("回到我的账号", "/account"))))
        } @else {
            (card("应用", table(&here, &columns, &rows)))
        }
    };
    Ok(frame.page("登录过的应用", body))
}

pub(super) async fn end(
    State(identity): State<Identity>,
    Path(application): Path<i64>,
    frame: Frame,
) -> Reply<Redirect> {
    let caller = frame.caller.clone().ok_or_else(no_account)?;
    let account = caller.account.ok_or_else(no_account)?;
    identity.end_at(account.get(), application, &caller).await?;
    Ok(Redirect::to("/account/applications"))
}
