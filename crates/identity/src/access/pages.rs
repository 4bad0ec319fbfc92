//! "Who can see this page?": every route with what it declares, what operators ask beside it, which roles pass, and how
//! many accounts hold one of them.

use std::collections::HashSet;

use axum::extract::State;
use catalog::Role;
use kernel::{Line, Need, Refusal};
use maud::{Markup, html};
use web::download::{self, Download};
use web::policy::{Audience, PageRule, key};
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list as ui_list,
    page_head, table,
};
use web::{Access, Frame, Reply, RouteInfo};

use super::words;
use crate::Identity;
use crate::grants::store;

const PAGE: usize = 50;

fn holds(role: &Role, need: Need) -> bool {
    role.grants.iter().any(|g| g.line == need.line && g.act == need.act)
}

/// The roles that pass to a route, by what it declares and by the rules for everybody and for the role.
pub(super) fn passing<'a>(roles: &'a [Role], access: Access, rules: &[PageRule]) -> Vec<&'a Role> {
    roles
        .iter()
        .filter(|role| match access {
            Access::Needs(need) | Access::Fresh(need) => holds(role, need),
            Access::SignedIn(_) | Access::Open(_) => true,
        })
        .filter(|role| {
            rules.iter().all(|rule| {
                let concerned = match &rule.audience {
                    Audience::Everybody => true,
                    Audience::Role(code) => *code == role.code,
                    // Whether somebody works there is told by their post, not by the role.
                    Audience::Unit(_) => false,
                };
                !concerned || (!rule.closed && rule.extra.is_none_or(|need| holds(role, need)))
            })
        })
        .collect()
}

fn effective(access: Access, rules: &[PageRule]) -> String {
    let mut words = vec![words::access(access)];
    for rule in rules {
        let whom = match &rule.audience {
            Audience::Everybody => String::new(),
            Audience::Role(code) => format!("（角色 {code}）"),
            Audience::Unit(class) => format!("（{}）", crate::grants::rules::unit_name(class)),
        };
        if rule.closed {
            words.push(format!("已停用{whom}"));
        } else if let Some(need) = rule.extra {
            words.push(format!("另须{}{whom}", words::need(need)));
        }
    }
    words.join("；")
}

struct Known<'a> {
    route: &'a RouteInfo,
    rules: Vec<PageRule>,
    roles: Vec<&'a Role>,
}

fn known<'a>(identity: &'a Identity, here: &Here) -> Vec<Known<'a>> {
    let text = here.get("q").unwrap_or("").trim();
    let line = here.get("line").and_then(Line::of_code);
    let only_role = here.get("role");
    let changed = here.get("state") == Some("changed");
    let rules = identity.policy.rules();
    let mut out: Vec<Known<'_>> = identity
        .policy
        .routes()
        .iter()
        .filter(|route| {
            text.is_empty() || route.path.contains(text) || title(identity, &route.path).contains(text)
        })
        .filter(|route| {
            line.is_none_or(
                |line| matches!(route.access, Access::Needs(n) | Access::Fresh(n) if n.line == line),
            )
        })
        .map(|route| {
            let rules = rules.pages.get(&key(&route.method, &route.path)).cloned().unwrap_or_default();
            let roles = passing(&identity.catalog.roles, route.access, &rules);
            Known { route, rules, roles }
        })
        .filter(|known| !changed || !known.rules.is_empty())
        .filter(|known| only_role.is_none_or(|code| known.roles.iter().any(|r| r.code == code)))
        .collect();
    out.sort_by(|a, b| {
        (&a.route.path, a.route.method.as_str()).cmp(&(&b.route.path, b.route.method.as_str()))
    });
    out
}

/// The title of the menu entry of a path; empty where there is none.
fn title<'a>(identity: &'a Identity, path: &str) -> &'a str {
    identity.catalog.menu.iter().find(|item| item.path == path).map_or("", |item| item.title.as_str())
}

fn how_many(roles: &[&Role], all: usize, access: Access) -> String {
    match access {
        Access::Open(_) => "任何人".to_owned(),
        _ if roles.len() == all => "全部角色".to_owned(),
        _ => format!("{} 个角色", roles.len()),
    }
}

pub(super) async fn list(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let (identity, here) = (&identity, &here);
    let all = identity.catalog.roles.len();
    let found = known(identity, here);
    let total = found.len() as u64;
    let page: usize = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).max(1);
    let rows = found
        .iter()
        .skip((page - 1) * PAGE)
        .take(PAGE)
        .map(|k| {
            let link = here
                .at("/access/pages/one")
                .with(&[("route", &key(&k.route.method, &k.route.path)), ("page", "")])
                .href();
            let names: Vec<&str> = k.roles.iter().take(3).map(|r| r.name.as_str()).collect();
            Row::to(
                link,
                vec![
                    html! { (k.route.path) @let name = title(identity, &k.route.path); @if !name.is_empty() { small { (name) } } },
                    html! { (if k.route.method == axum::http::Method::GET { "查看" } else { "操作" }) " " small { (k.route.method) } },
                    html! { (words::access(k.route.access)) },
                    html! { @if k.rules.is_empty() { span.mk-muted { "同左" } } @else { (badge(Tone::Warn, &effective(k.route.access, &k.rules))) } },
                    html! { (how_many(&k.roles, all, k.route.access)) @if k.roles.len() < all && !names.is_empty() { small { (names.join("、")) @if k.roles.len() > 3 { "…" } } } },
                ],
            )
        })
        .collect();
    let line_options: Vec<(String, String)> =
        Line::ALL.into_iter().map(|l| (l.code().to_owned(), l.name().to_owned())).collect();
    let role_options: Vec<(String, String)> =
        identity.catalog.roles.iter().map(|r| (r.code.clone(), r.name.clone())).collect();
    let states = [("changed".to_owned(), "已加限制".to_owned())];
    let body = html! {
        (page_head(&[("权限", "/access")], "谁能看到页面", "平台的每一个页面和操作：声明需要什么权限，现在实际需要什么，哪些角色能用。", html! {}))
        (words::tabs("/access/pages"))
        (ui_list(here, &List {
            filters: &[
                Filter::Text { name: "q", label: "页面", hint: "名称或地址，如 质量、/record" },
                Filter::Choice { name: "line", label: "条线", options: &line_options },
                Filter::Choice { name: "role", label: "角色能用", options: &role_options },
                Filter::Choice { name: "state", label: "状态", options: &states },
            ],
            total: Some(total),
            unit: "个页面和操作",
            columns: &[Column::text("地址"), Column::text("类型"), Column::text("声明的权限"), Column::text("现行要求"), Column::text("能用的角色")],
            rows,
            paging: Paging::Numbered { page: page as u64, per_page: PAGE as u64, total },
            exports: &[Export { label: "导出 CSV", path: "/access/pages.csv" }],
            empty: ("没有符合条件的页面", "请放宽条件。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("谁能看到页面", body))
}

pub(super) async fn export(State(identity): State<Identity>, here: Here) -> Reply<Download> {
    let rows = known(&identity, &here).into_iter().map(|k| {
        vec![
            k.route.method.to_string(),
            k.route.path.clone(),
            title(&identity, &k.route.path).to_owned(),
            words::access(k.route.access),
            effective(k.route.access, &k.rules),
            k.roles.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join("、"),
        ]
    });
    Ok(download::csv("pages.csv", &["方法", "地址", "名称", "声明的权限", "现行要求", "能用的角色"], rows))
}

pub(super) async fn one(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let name = here.get("route").unwrap_or("");
    let route = identity
        .policy
        .routes()
        .iter()
        .find(|r| key(&r.method, &r.path) == name)
        .ok_or_else(|| Refusal::not_found("page.none", "没有这个页面。请从列表进入。"))?;
    let rules = identity.policy.rules().pages.get(name).cloned().unwrap_or_default();
    let passing = passing(&identity.catalog.roles, route.access, &rules);
    let counts: std::collections::HashMap<String, i64> =
        store::counts(identity.db.pool(), identity.clock.now()).await?.into_iter().collect();
    let codes: HashSet<&str> = passing.iter().map(|r| r.code.as_str()).collect();
    let rows: Vec<Row> = identity
        .catalog
        .roles
        .iter()
        .map(|role| {
            let passes = codes.contains(role.code.as_str());
            let accounts = counts.get(&role.code).copied().unwrap_or(0);
            Row::plain(vec![
                html! { a href={ "/access/roles/" (role.code) } { (role.name) } },
                if passes { badge(Tone::Good, "能用") } else { html! { span.mk-muted { "不能" } } },
                html! { @if passes && accounts > 0 { a href={ "/access/roles/" (role.code) "/accounts" } { (accounts) " 个账号" } } @else if passes { "0" } },
            ])
        })
        .collect();
    let reason = match route.access {
        Access::SignedIn(why) | Access::Open(why) => why,
        _ => "",
    };
    let heading = title(&identity, &route.path);
    let heading = if heading.is_empty() { route.path.as_str() } else { heading };
    let exceptions = "另有生效中的例外授权的人员，见“例外授权”。";
    let body = html! {
        (page_head(&[("权限", "/access"), ("谁能看到页面", "/access/pages")], heading, exceptions, html! {
            @if frame.caller.as_ref().is_some_and(|c| c.may(super::CHANGE)) {
                a.btn href=(Here::new("/access/policy", "").with(&[("subject", name), ("kind", "page")]).href()) { "加限制" }
            }
        }))
        (card("页面", describe(&[
            fact("地址", &route.path),
            fact("方法", route.method.as_str()),
            fact("声明的权限", &words::access(route.access)),
            fact("现行要求", &effective(route.access, &rules)),
            fact("说明", reason),
        ])))
        (card("角色", table(&here, &[Column::text("角色"), Column::text("能否使用"), Column::text("持有账号")], &rows)))
    };
    Ok(frame.page(heading, body))
}
