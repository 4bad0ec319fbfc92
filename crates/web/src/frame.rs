//! The frame of a page: head, rail, top bar. Handlers ask for a [`Frame`] and give it a title and a body.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Redirect;
use catalog::MenuItem;
use kernel::{Act, Caller, CallerKind, Line, Need, Refusal};
use maud::{DOCTYPE, Markup, html};

use crate::assets::asset_url;
use crate::failure::Reply;
use crate::policy::Policy;
use crate::ui::icon;

/// What every page's frame shows of the platform; set once in [`crate::serve::Site`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// The platform's name, e.g. `全民健康信息平台`.
    pub platform: String,
    /// The city (county, province) that runs it, e.g. `信阳市`.
    pub place: String,
    /// The menu of the desk, in order.
    pub menu: Vec<MenuItem>,
}

impl Default for Face {
    fn default() -> Self {
        Face { platform: "全民健康信息平台".to_owned(), place: String::new(), menu: Vec::new() }
    }
}

/// What the frame of this request's page knows.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Who is looking, if anybody signed in.
    pub caller: Option<Arc<Caller>>,
    /// The path asked for, to mark the menu.
    pub path: String,
    /// Whether htmx asks for a part only (`HX-Request`).
    pub partial: bool,
    /// Whether the user keeps the rail narrow (cookie `rail`).
    pub narrow: bool,
    /// The platform's face.
    pub face: Arc<Face>,
    /// What operators changed of pages and menus.
    pub policy: Arc<Policy>,
}

/// The right that opens the search for a person.
const FIND_PERSONS: Need = Need::new(Line::Medical, Act::Read);

impl Frame {
    /// The frame of a request, from its parts and what the outer layers put into its extensions.
    pub fn of(parts: &Parts) -> Self {
        Frame {
            caller: parts.extensions.get::<Arc<Caller>>().cloned(),
            path: parts.uri.path().to_owned(),
            partial: is_partial(&parts.headers),
            narrow: keeps_rail_narrow(&parts.headers),
            face: parts.extensions.get::<Arc<Face>>().cloned().unwrap_or_default(),
            policy: parts.extensions.get::<Arc<Policy>>().cloned().unwrap_or_default(),
        }
    }

    /// A whole page with rail and top bar; only the body when htmx asks for a part; without rail for who has not
    /// signed in or sees an embedded page.
    pub fn page(&self, title: &str, body: Markup) -> Markup {
        if self.partial {
            return body;
        }
        match &self.caller {
            Some(caller) if caller.kind != CallerKind::Embedded => self.framed(caller, title, &body),
            _ => self.bare(title, body),
        }
    }

    /// A page without rail and top bar: embedded record, print, error before sign-in.
    pub fn bare(&self, title: &str, body: Markup) -> Markup {
        self.document(
            title,
            html! {
                main.mk-bare id="main" { div id="notices" aria-live="polite" {} (body) }
            },
        )
    }

    /// A page with one card under the platform's name and nothing else: sign-in, an error for a visitor.
    pub fn lone(&self, title: &str, body: Markup) -> Markup {
        self.document(
            title,
            html! {
                div.mk-lone {
                    main.mk-lone-card id="main" {
                        div.mk-lone-brand {
                            img src=(asset_url("favicon.svg")) alt="" width="44" height="44";
                            div { h1 { (self.face.platform) } p { (self.face.place) } }
                        }
                        div id="notices" aria-live="polite" {}
                        (body)
                    }
                }
            },
        )
    }

    fn document(&self, title: &str, content: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="zh-CN" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                    meta name="robots" content="noindex";
                    title { (title) " · " (self.face.place) (self.face.platform) }
                    link rel="icon" href=(asset_url("favicon.svg")) type="image/svg+xml";
                    link rel="stylesheet" href=(asset_url("app.css"));
                    script type="module" src=(asset_url("app.js")) {}
                }
                body { (content) }
            }
        }
    }

    /// The menu of a caller, as rights and operators leave it.
    pub fn menu(&self, caller: &Caller) -> Vec<MenuItem> {
        self.policy.menu(&self.face.menu, caller)
    }

    /// Whether whoever looks may use a route, e.g. `POST /accounts`: for showing its button.
    pub fn allows(&self, method: &axum::http::Method, path: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| self.policy.allows(caller, method, path))
    }

    fn framed(&self, caller: &Caller, title: &str, body: &Markup) -> Markup {
        let menu = self.menu(caller);
        let items: Vec<&MenuItem> = menu.iter().collect();
        let here = current(&items, &self.path);
        let class = if self.narrow { "mk-shell mk-narrow" } else { "mk-shell" };
        self.document(
            title,
            html! {
                a.mk-skip href="#main" { "跳到正文" }
                div class=(class) {
                    a.mk-brand href="/desk" title=(self.face.platform) {
                        img src=(asset_url("favicon.svg")) alt="" width="28" height="28";
                        span { (self.face.platform) small { (self.face.place) } }
                    }
                    (top_bar(caller))
                    (rail(&items, here))
                    main.mk-main id="main" tabindex="-1" { div id="notices" aria-live="polite" {} (body) }
                    (bottom_bar(&items, here))
                }
                button.mk-shade type="button" data-act="drawer-close" aria-label="收起菜单" {}
            },
        )
    }
}

/// The handler of a section's root, e.g. `/index`: leads to the first page below it that the menu offers to the reader,
/// and shows nothing itself.
///
/// # Errors
/// Not found when the reader may use none of them.
pub async fn section(frame: Frame) -> Reply<Redirect> {
    let menu = frame.caller.as_ref().map(|caller| frame.menu(caller)).unwrap_or_default();
    let below = |path: &str| path.strip_prefix(&frame.path).is_some_and(|rest| rest.starts_with('/'));
    let first = menu.iter().find(|item| below(&item.path)).ok_or_else(|| {
        Refusal::not_found(
            "access.section",
            "这一部分没有您可以打开的页面。请从左侧菜单选择；如工作需要，请联系安全管理员授权。",
        )
    })?;
    Ok(Redirect::to(&first.path))
}

/// The menu item that a path lies under: the one with the longest matching path.
fn current<'a>(items: &[&'a MenuItem], path: &str) -> Option<&'a MenuItem> {
    items
        .iter()
        .filter(|item| {
            path.strip_prefix(item.path.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'))
        })
        .max_by_key(|item| item.path.len())
        .copied()
}

fn mark(item: &MenuItem, here: Option<&MenuItem>) -> Option<&'static str> {
    here.is_some_and(|h| std::ptr::eq(h, item)).then_some("page")
}

fn rail(items: &[&MenuItem], here: Option<&MenuItem>) -> Markup {
    html! {
        nav.mk-rail aria-label="主菜单" {
            @for group in items.chunk_by(|a, b| a.group == b.group) {
                details open {
                    summary { (group[0].group) (icon("chevron-down")) }
                    @for item in group {
                        a href=(item.path) title=(item.title) aria-current=[mark(item, here)] {
                            (icon(&item.icon)) span { (item.title) }
                        }
                    }
                }
            }
        }
    }
}

/// The first four entries under the thumb, and the whole menu.
fn bottom_bar(items: &[&MenuItem], here: Option<&MenuItem>) -> Markup {
    html! {
        nav.mk-bottom aria-label="常用" {
            @for item in items.iter().take(4) {
                a href=(item.path) aria-current=[mark(item, here)] { (icon(&item.icon)) (item.title) }
            }
            button type="button" data-act="drawer" aria-expanded="false" { (icon("menu-2")) "全部" }
        }
    }
}

fn top_bar(caller: &Caller) -> Markup {
    html! {
        header.mk-top {
            button.mk-tool.mk-only-desk type="button" data-act="rail" title="收起或展开菜单" aria-label="收起或展开菜单" {
                (icon("menu-2"))
            }
            button.mk-tool.mk-only-phone type="button" data-act="drawer" aria-expanded="false" aria-label="打开菜单" {
                (icon("menu-2"))
            }
            @if caller.may(FIND_PERSONS) {
                form.mk-find action="/persons" method="get" role="search" {
                    (icon("search"))
                    input.form-control type="search" name="q" autocomplete="off" aria-label="查找居民"
                        placeholder="查找居民：证件号、姓名、首字母、电话";
                }
            }
            div.mk-who {
                @if caller.account.is_some() {
                    // Comes after the page, so that no page waits for it.
                    span hx-get="/notices/bell" hx-trigger="load" hx-swap="outerHTML" {}
                }
                span.mk-unit title=(caller.institution_name) { (caller.institution_name) }
                details.mk-menu {
                    summary { (icon("user-circle")) span { (caller.name) } span.mk-muted { (caller.role) } }
                    div.mk-menu-body {
                        p.mk-menu-facts {
                            b { (caller.name) }
                            (caller.role)
                            @if !caller.institution_name.is_empty() { br; (caller.institution_name) }
                        }
                        a href="/account" { (icon("key")) "我的账号" }
                        form method="post" action="/sign-out" {
                            button type="submit" { (icon("logout")) "退出登录" }
                        }
                    }
                }
            }
        }
    }
}

/// Whether htmx asks for a part. It says so, except when it restores a page of the history or swaps the whole body.
fn is_partial(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
        && !headers.contains_key("hx-history-restore-request")
        && headers.get("hx-request-type").is_none_or(|kind| kind != "full")
}

fn keeps_rail_narrow(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(';').any(|pair| pair.trim() == "rail=narrow"))
}

impl<S: Send + Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Frame::of(parts))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use kernel::{Grant, RegionCode, Span};

    fn item(title: &str, path: &str, need: Option<Need>) -> MenuItem {
        MenuItem { title: title.into(), icon: "home".into(), path: path.into(), need, group: "组".into() }
    }

    fn frame(grants: &[Need], path: &str) -> Frame {
        let mut caller = Caller::system("测试员");
        caller.kind = CallerKind::Staff;
        caller.grants = grants
            .iter()
            .map(|n| Grant { line: n.line, act: n.act, span: Span::Region(RegionCode::NATION) })
            .collect();
        Frame {
            caller: Some(Arc::new(caller)),
            path: path.into(),
            face: Arc::new(Face {
                menu: vec![
                    item("工作台", "/desk", None),
                    item("质量监测", "/quality", Some(Need::new(Line::Administration, Act::Read))),
                    item("机构排名", "/quality/ranking", Some(Need::new(Line::Administration, Act::Read))),
                    item("审计日志", "/audit", Some(Need::new(Line::Audit, Act::Read))),
                ],
                ..Face::default()
            }),
            ..Frame::default()
        }
    }

    #[test]
    fn the_menu_and_the_search_follow_the_rights() {
        let auditor =
            frame(&[Need::new(Line::Audit, Act::Read)], "/audit").page("审计", html! {}).into_string();
        assert!(auditor.contains("审计日志") && auditor.contains("工作台") && !auditor.contains("质量监测"));
        assert!(!auditor.contains("action=\"/persons\""));
        let doctor = frame(&[FIND_PERSONS], "/desk").page("工作台", html! {}).into_string();
        assert!(doctor.contains("action=\"/persons\"") && !doctor.contains("审计日志"));
    }

    #[test]
    fn the_longest_path_is_the_current_one() {
        let rights = [Need::new(Line::Administration, Act::Read)];
        for (path, title) in
            [("/quality", "质量监测"), ("/quality/ranking", "机构排名"), ("/quality/ranking/7", "机构排名")]
        {
            let frame = frame(&rights, path);
            let items: Vec<&MenuItem> = frame.face.menu.iter().collect();
            assert_eq!(current(&items, path).unwrap().title, title, "{path}");
        }
        let frame = frame(&rights, "/qualityx");
        assert!(current(&frame.face.menu.iter().collect::<Vec<_>>(), "/qualityx").is_none());
    }

    #[test]
    fn htmx_gets_a_part_but_history_gets_the_page() {
        let mut headers = HeaderMap::new();
        assert!(!is_partial(&headers));
        headers.insert("hx-request", "true".parse().unwrap());
        assert!(is_partial(&headers));
        headers.insert("hx-request-type", "full".parse().unwrap());
        assert!(!is_partial(&headers));
        headers.insert("hx-request-type", "partial".parse().unwrap());
        headers.insert("hx-history-restore-request", "true".parse().unwrap());
        assert!(!is_partial(&headers));
    }

    #[test]
    fn pages_have_no_inline_script_style_or_handler() {
        let page = frame(&[FIND_PERSONS], "/desk").page("工作台", html! { p { "正文" } }).into_string();
        assert!(!page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick"));
        assert_eq!(page.matches("<script").count(), 1);
    }
}
