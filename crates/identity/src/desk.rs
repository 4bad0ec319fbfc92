//! The desk (工作台): what waits for whoever signed in, and the way to their work.

use std::sync::Arc;

use ::store::DbDoing;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use catalog::MenuItem;
use chrono::{NaiveDateTime, Timelike};
use contracts::{DeskCard, DeskLine, DeskPanel};
use kernel::{Caller, CallerKind, Id, Result};
use maud::{Markup, html};
use web::ui::{Tone, badge, card, card_with, icon, notice, page_head};
use web::{Access, Frame, Reply, Routes};

use crate::access::Waiting;
use crate::row::row;
use crate::{Identity, account, factor, page};

/// The route of the desk.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    Routes::new()
        .get("/", Access::Open("leads to the desk or to sign-in and shows nothing"), front)
        .get("/desk", Access::SignedIn("everybody has a desk; what lies on it follows their rights"), show)
        .with_state(identity.clone())
}

#[derive(Debug, Clone)]
pub(crate) struct SignIn {
    at: chrono::DateTime<chrono::Utc>,
    address: String,
    outcome: String,
}
row!(SignIn { at, address, outcome });

/// What the account asks of its owner before or beside work.
#[derive(Debug, Clone, Copy, Default)]
struct Asks {
    /// Another password.
    password: bool,
    /// A second factor.
    second: bool,
    /// A look at a browser that was not used before.
    device: bool,
}

async fn asks_of(identity: &Identity, caller: &Caller, id: kernel::AccountId) -> Result<Asks> {
    let Some(row) = account::store::by_id(identity.db.pool(), id).await? else { return Ok(Asks::default()) };
    let device =
        sqlx::query_scalar("select exists (select 1 from session where account_id = $1 and new_device)")
            .bind(id.get())
            .fetch_one(identity.db.pool())
            .await
            .db("look for new browsers")?;
    let wanted = factor::required(&identity.options, &identity.catalog, &caller.roles);
    Ok(Asks { password: row.must_change, second: wanted && !row.has_second, device })
}

async fn front(frame: Frame) -> Redirect {
    Redirect::to(if frame.caller.is_some() { "/desk" } else { "/sign-in" })
}

async fn show(State(identity): State<Identity>, frame: Frame) -> Reply<Response> {
    let Some(caller) = frame.caller.clone() else { return Ok(Redirect::to("/sign-in").into_response()) };
    if caller.kind != CallerKind::Staff {
        return Err(account::no_account().into());
    }
    let waiting = waiting_for(&identity, &caller).await;
    let sign_ins = recent_sign_ins(&identity, &caller, 5).await?;
    let asks = match caller.account {
        Some(id) => asks_of(&identity, &caller, id).await?,
        None => Asks::default(),
    };
    let menu = identity.policy.menu(&identity.catalog.menu, &caller);
    let items: Vec<&MenuItem> = menu.iter().filter(|item| item.path != "/desk").collect();
    let body = view(&caller, identity.clock.local(), asks, &waiting, &items, &sign_ins);
    Ok(frame.page("工作台", body).into_response())
}

/// The panels of other contexts. One that fails leaves a gap, not an error page: the way to work stays open.
async fn waiting_for(identity: &Identity, caller: &Caller) -> Vec<DeskCard> {
    let mut cards = Vec::new();
    let own: Arc<dyn DeskPanel> = Arc::new(Waiting(identity.clone()));
    for panel in std::iter::once(&own).chain(identity.panels.iter()) {
        match panel.card(caller).await {
            Ok(card) => cards.extend(card),
            Err(error) => tracing::warn!(%error, "a panel of the desk failed"),
        }
    }
    cards
}

/// One's own last sign-ins and what others tried with one's login name.
pub(crate) async fn recent_sign_ins(identity: &Identity, caller: &Caller, limit: i64) -> Result<Vec<SignIn>> {
    // Attempts carry the account as the object: who tried is not known.
    sqlx::query_as(
        "select at, address, outcome from audit_entry
         where act = 'sign_in' and object_kind = 'account' and object_id = $1 and at > $2
         order by id desc limit $3",
    )
    .bind(caller.account.map(Id::get))
    .bind(identity.clock.now() - chrono::Duration::days(30))
    .bind(limit)
    .fetch_all(identity.db.pool())
    .await
    .db("read the last sign-ins")
}

fn greeting(now: NaiveDateTime) -> &'static str {
    match now.hour() {
        0..=4 => "夜深了",
        5..=8 => "早上好",
        9..=11 => "上午好",
        12..=13 => "中午好",
        14..=18 => "下午好",
        _ => "晚上好",
    }
}

fn view(
    caller: &Caller,
    now: NaiveDateTime,
    asks: Asks,
    waiting: &[DeskCard],
    items: &[&MenuItem],
    sign_ins: &[SignIn],
) -> Markup {
    html! {
        (page_head(&[], &format!("{}，{}", caller.name, greeting(now)),
            &format!("{} · {} · {}", caller.institution_name, caller.role, now.format("%Y-%m-%d")), html! {}))
        @if asks.password {
            (notice(Tone::Warn, "请先修改密码", "当前密码由管理员设置或已到期，修改后才能使用其他功能。"))
            p { a.btn.btn-primary href="/account" { "修改密码" } }
        } @else if asks.second {
            (notice(Tone::Warn, "请先设置第二因素", "您的岗位登录时除密码外还须使用动态口令或通行密钥，设置后才能使用其他功能。"))
            p { a.btn.btn-primary href="/account#factors" { "去设置" } }
        }
        @if asks.device {
            (notice(Tone::Warn, "有新的设备登录了您的账号", "如果不是您本人，请立即强制退出该设备并修改密码。"))
            p { a.btn href="/account#sessions" { "查看登录设备" } }
        }
        @for panel in waiting { (panel_card(panel)) }
        (card("我的功能", html! {
            @if items.is_empty() {
                p.mk-muted { "您的角色目前没有可用的功能，请联系本单位管理员。" }
            }
            div.mk-doors {
                @for item in items {
                    a href=(item.path) { (icon(&item.icon)) span { b { (item.title) } small { (item.group) } } }
                }
            }
        }))
        (card_with("最近登录", html! { a href="/account" { "我的账号" } }, html! {
            (sign_in_table(sign_ins))
        }))
    }
}

/// Sign-ins, good and bad, newest first.
pub(crate) fn sign_in_table(sign_ins: &[SignIn]) -> Markup {
    html! {
        (page::table(&["时间", "地址", "结果"], &sign_ins.iter().map(|s| vec![
            html! { span.mk-date { (page::time(s.at)) } },
            html! { (s.address) },
            if s.outcome == "ok" { badge(Tone::Neutral, "成功") } else { badge(Tone::Warn, "未成功") },
        ]).collect::<Vec<_>>()))
        @if sign_ins.iter().any(|s| s.outcome != "ok") {
            div.mk-card-body.mk-muted { "如有不是您本人的登录，请立即修改密码并告诉管理员。" }
        }
    }
}

fn panel_card(panel: &DeskCard) -> Markup {
    let line = |line: &DeskLine| {
        html! {
            span { (line.text) }
            @if line.urgent { (badge(Tone::Warn, &line.figure)) } @else { b { (line.figure) } }
        }
    };
    card_with(
        &panel.title,
        html! {},
        html! {
            ul.mk-waiting {
                @for row in &panel.lines {
                    li { @if row.link.is_empty() { div { (line(row)) } } @else { a href=(row.link) { (line(row)) } } }
                }
            }
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_desk_greets_and_shows_what_waits() {
        let caller = Caller::system("王力");
        let now = chrono::NaiveDate::from_ymd_opt(2025, 3, 4).unwrap().and_hms_opt(10, 0, 0).unwrap();
        let panel = DeskCard {
            title: "数据上传".into(),
            lines: vec![DeskLine {
                text: "昨日缺报".into(),
                figure: "3".into(),
                link: "/quality".into(),
                urgent: true,
            }],
        };
        let page = view(&caller, now, Asks::default(), &[panel], &[], &[]).into_string();
        assert!(
            page.contains("王力，上午好") && page.contains("昨日缺报") && page.contains("href=\"/quality\"")
        );
        assert!(!page.contains("请先修改密码"));
        let asks = Asks { password: true, second: false, device: true };
        let page = view(&caller, now, asks, &[], &[], &[]).into_string();
        assert!(page.contains("请先修改密码") && page.contains("有新的设备登录了您的账号"));
    }
}
