//! The bell of the top bar, and `/notices`.

use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{AccountId, Refusal};
use maud::{Markup, html};
use web::ui::{Here, Paging, Tone, badge, empty, icon, page_head, paging};
use web::{Frame, Reply};

use super::store::{self, Seen};
use crate::account::no_account;
use crate::{Identity, page};

/// Notices on a page.
const PAGE: i64 = 50;
/// The bell counts no further.
const COUNTED: i64 = 100;

fn own(frame: &Frame) -> Result<(AccountId, &kernel::Caller), Refusal> {
    let caller = frame.caller.as_deref().ok_or_else(no_account)?;
    Ok((caller.account.ok_or_else(no_account)?, caller))
}

pub(super) async fn bell(State(identity): State<Identity>, frame: Frame) -> Reply<Markup> {
    let Ok((account, caller)) = own(&frame) else { return Ok(html! {}) };
    let seen = store::mine(identity.db.pool(), account, caller, identity.clock.now(), COUNTED, 0).await?;
    let unread: Vec<&Seen> = seen.iter().filter(|n| !n.read).collect();
    let urgent = unread.iter().any(|n| n.urgent);
    Ok(html! {
        a.mk-tool.mk-bell.mk-bell-urgent[urgent] href="/notices" title="通知"
            aria-label={ "通知，" (unread.len()) " 条未读" } {
            (icon("bell"))
            @if !unread.is_empty() {
                span.mk-bell-count { @if unread.len() as i64 >= COUNTED { "99+" } @else { (unread.len()) } }
            }
        }
    })
}

pub(super) async fn list(State(identity): State<Identity>, frame: Frame, here: Here) -> Reply<Markup> {
    let (account, caller) = own(&frame)?;
    let offset = here.get("after").and_then(|a| a.parse::<i64>().ok()).filter(|n| *n > 0).unwrap_or(0);
    let now = identity.clock.now();
    let mut seen = store::mine(identity.db.pool(), account, caller, now, PAGE + 1, offset).await?;
    let more = seen.len() as i64 > PAGE;
    seen.truncate(PAGE as usize);
    let unread = seen.iter().any(|n| !n.read);
    let acts = html! { @if unread { (page::act_button("/notices/read", "全部标为已读", "")) } };
    let after = more.then(|| (offset + PAGE).to_string());
    Ok(frame.page(
        "通知",
        html! {
            (page_head(&[], "通知", "保留 90 天。点开一条即到处理它的页面。", acts))
            section.mk-card.mk-list {
                @if seen.is_empty() {
                    (empty("没有通知", "需要您知道或处理的事情会出现在这里。", None))
                } @else {
                    ul.mk-notices {
                        @for notice in &seen { (line(notice)) }
                    }
                }
            }
            (paging(&here, &Paging::Cursor { before: None, after }))
        },
    ))
}

fn line(notice: &Seen) -> Markup {
    html! {
        li.mk-unread[!notice.read] {
            form method="post" action={ "/notices/" (notice.id) "/open" } {
                button.mk-linklike type="submit" { (notice.title) }
            }
            @if notice.urgent { (badge(Tone::Bad, "尽快")) }
            @if !notice.read { (badge(Tone::Neutral, "未读")) }
            small.mk-date { (page::time(notice.at)) }
        }
    }
}

pub(super) async fn open(
    State(identity): State<Identity>,
    frame: Frame,
    Path(notice): Path<String>,
) -> Reply<Redirect> {
    let (account, caller) = own(&frame)?;
    let now = identity.clock.now();
    let id: i64 = notice.parse().map_err(|_| none())?;
    // Only what the caller sees may be opened, so a guessed number tells nothing.
    let seen = store::mine(identity.db.pool(), account, caller, now, 1000, 0).await?;
    let found = seen.iter().find(|n| n.id == id).ok_or_else(none)?;
    identity.db.transaction(async |tx| store::mark(tx, account, &[id], now).await).await?;
    Ok(Redirect::to(&found.link))
}

pub(super) async fn read_all(State(identity): State<Identity>, frame: Frame) -> Reply<Redirect> {
    let (account, caller) = own(&frame)?;
    let now = identity.clock.now();
    let seen = store::mine(identity.db.pool(), account, caller, now, 1000, 0).await?;
    let ids: Vec<i64> = seen.iter().filter(|n| !n.read).map(|n| n.id).collect();
    identity.db.transaction(async |tx| store::mark(tx, account, &ids, now).await).await?;
    Ok(Redirect::to("/notices"))
}

fn none() -> Refusal {
    Refusal::not_found("notice.none", "没有这条通知，可能已过期。")
}
