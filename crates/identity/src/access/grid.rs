//! The grid tier × line × act by role, the roles, one role, two roles beside each other, and who holds a role.

use std::collections::HashMap;

use axum::extract::{Path, State};
use catalog::{MaskLevel, Role};
use kernel::{Act, Line, Purpose, Refusal, Tier};
use maud::{Markup, html};
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, card_with, describe, fact,
    filter_form, list, page_head, plain_badge, table,
};
use web::{Frame, Reply};

use super::words;
use crate::grants::rules::{tier_name, unit_name};
use crate::grants::store;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("权限", "/access"), ("角色", "/access/roles")];
const TIERS: [Tier; 5] = [Tier::Province, Tier::City, Tier::County, Tier::Township, Tier::Village];

fn tiers(role: &Role) -> String {
    if role.tiers.is_empty() {
        return "不限".to_owned();
    }
    role.tiers.iter().map(|t| tier_name(*t)).collect::<Vec<_>>().join("、")
}

fn units(role: &Role) -> String {
    if role.units.is_empty() {
        return "不限".to_owned();
    }
    role.units.iter().map(|u| unit_name(u)).collect::<Vec<_>>().join("、")
}

fn pairs<'a>(items: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    items.map(|(code, name)| (code.to_owned(), name.to_owned())).collect()
}

pub(super) async fn show(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let tier = here.get("tier").and_then(|code| TIERS.into_iter().find(|t| tier_code(*t) == code));
    let act = here.get("act").and_then(Act::of_code);
    let roles: Vec<&Role> = identity
        .catalog
        .roles
        .iter()
        .filter(|role| tier.is_none_or(|tier| role.held_at_tier(tier)))
        .filter(|role| act.is_none_or(|act| role.grants.iter().any(|g| g.act == act)))
        .collect();
    let tier_options = pairs(TIERS.into_iter().map(|t| (tier_code(t), tier_name(t))));
    let act_options = pairs(Act::ALL.into_iter().map(|a| (a.code(), a.name())));
    let groups = groups(&roles);
    let body = html! {
        (page_head(&[], "权限矩阵", "每个岗位角色在哪一条线上可以做什么。点角色看详情和范围；字母说明见表下。", html! {}))
        (words::tabs("/access"))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Choice { name: "tier", label: "任职层级", options: &tier_options },
                Filter::Choice { name: "act", label: "操作", options: &act_options },
            ]))
            div.mk-list-bar { span { "共 " b { (roles.len()) } " 个角色" } }
            @if roles.is_empty() {
                (web::ui::empty("没有符合条件的角色", "请放宽条件。", Some(("全部角色", "/access"))))
            } @else {
                div.mk-scroll {
                    table.mk-table.mk-grid-table {
                        thead { tr {
                            th scope="col" { "角色" }
                            @for line in Line::ALL { th scope="col" { (line.name()) } }
                        } }
                        tbody {
                            @for (group, roles) in &groups {
                                tr.mk-group { th scope="rowgroup" colspan=(Line::ALL.len() + 1) { (group) } }
                                @for role in roles {
                                    tr {
                                        td { a href={ "/access/roles/" (role.code) } { (role.name) } }
                                        @for line in Line::ALL {
                                            td title=(words::on_line(role, line)) data-label=(line.name()) { (cell(role, line, act)) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            p.mk-card-body.mk-muted {
                @for act in Act::ALL { b { (letter(act)) } " " (act.name()) "　" }
                "鼠标停在格子上可看范围。授（授权）与使用是分开的：能授予不等于能使用。"
            }
        }
    };
    Ok(frame.page("权限矩阵", body))
}

fn tier_code(tier: Tier) -> &'static str {
    match tier {
        Tier::Province => "province",
        Tier::City => "city",
        Tier::County => "county",
        Tier::Township => "township",
        Tier::Village => "village",
    }
}

/// One character for an act, so that a line of the grid fits a screen.
fn letter(act: Act) -> &'static str {
    match act {
        Act::Read => "看",
        Act::Write => "写",
        Act::Export => "出",
        Act::Manage => "管",
        Act::Approve => "批",
        Act::Grant => "授",
        Act::Reveal => "原",
    }
}

fn cell(role: &Role, line: Line, only: Option<Act>) -> Markup {
    let has = |act: Act| role.grants.iter().any(|g| g.line == line && g.act == act);
    let acts: Vec<Act> =
        Act::ALL.into_iter().filter(|act| has(*act) && only.is_none_or(|only| only == *act)).collect();
    html! {
        @if acts.is_empty() { span.mk-muted { "·" } }
        @for act in acts { span title=(act.name()) { (letter(act)) } }
    }
}

/// Roles under their headings, in the order of the catalogue.
fn groups<'a>(roles: &[&'a Role]) -> Vec<(String, Vec<&'a Role>)> {
    let mut out: Vec<(String, Vec<&Role>)> = Vec::new();
    for role in roles {
        let group = if role.group.is_empty() { "其他" } else { &role.group };
        match out.iter_mut().find(|(known, _)| known == group) {
            Some((_, list)) => list.push(role),
            None => out.push((group.to_owned(), vec![role])),
        }
    }
    out
}

fn filtered<'a>(identity: &'a Identity, here: &Here) -> Vec<&'a Role> {
    let text = here.get("q").unwrap_or("").trim();
    let group = here.get("group");
    let line = here.get("line").and_then(Line::of_code);
    let found = |role: &&Role| {
        (text.is_empty()
            || role.name.contains(text)
            || role.code.contains(text)
            || role.description.contains(text))
            && group.is_none_or(|group| role.group == group)
            && line.is_none_or(|line| role.grants.iter().any(|g| g.line == line))
    };
    let roles: Vec<&Role> = identity.catalog.roles.iter().filter(found).collect();
    groups(&roles).into_iter().flat_map(|(_, roles)| roles).collect()
}

async fn counts(identity: &Identity) -> kernel::Result<HashMap<String, i64>> {
    Ok(store::counts(identity.db.pool(), identity.clock.now()).await?.into_iter().collect())
}

pub(super) async fn roles(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let counts = counts(&identity).await?;
    let roles = filtered(&identity, &here);
    let all: Vec<&Role> = identity.catalog.roles.iter().collect();
    let group_options: Vec<(String, String)> =
        groups(&all).into_iter().map(|(group, _)| (group.clone(), group)).collect();
    let line_options = pairs(Line::ALL.into_iter().map(|l| (l.code(), l.name())));
    let total = roles.len() as u64;
    let rows = roles
        .into_iter()
        .map(|role| {
            Row::to(
                format!("/access/roles/{}", role.code),
                vec![
                    html! { (role.name) @if let Some(duty) = role.duty() { " " (badge(Tone::Info, duty.name())) } },
                    html! { (role.group) },
                    html! { (tiers(role)) },
                    html! { (role.description) },
                    html! { (counts.get(&role.code).copied().unwrap_or(0)) },
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(&[("权限", "/access")], "角色", "岗位角色由目录定义（catalog/roles），在此只能查看；授予和撤销在各人的授权页。",
            html! { a.btn href="/access/roles/compare" { "比较两个角色" } }))
        (words::tabs("/access/roles"))
        (list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "查询", hint: "角色名称或职责" },
                Filter::Choice { name: "group", label: "类别", options: &group_options },
                Filter::Choice { name: "line", label: "条线", options: &line_options },
            ],
            total: Some(total),
            unit: "个角色",
            columns: &[Column::text("角色"), Column::text("类别"), Column::text("任职层级"), Column::text("职责"), Column::number("持有账号")],
            rows,
            paging: Paging::Whole,
            exports: &[Export { label: "导出 CSV", path: "/access/roles.csv" }],
            empty: ("没有符合条件的角色", "请放宽条件。"),
            empty_action: None,
        }))
    };
    Ok(frame.page("角色", body))
}

pub(super) async fn roles_csv(State(identity): State<Identity>, here: Here) -> Reply<Download> {
    let counts = counts(&identity).await?;
    let rows: Vec<Vec<String>> = filtered(&identity, &here)
        .into_iter()
        .flat_map(|role| {
            let held = counts.get(&role.code).copied().unwrap_or(0).to_string();
            role.grants
                .iter()
                .map(|g| {
                    vec![
                        role.code.clone(),
                        role.name.clone(),
                        role.group.clone(),
                        tiers(role),
                        g.line.name().to_owned(),
                        g.act.name().to_owned(),
                        g.span.name().to_owned(),
                        held.clone(),
                    ]
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let heads = ["角色代码", "角色", "类别", "任职层级", "条线", "操作", "范围", "持有账号"];
    Ok(download::csv("roles.csv", &heads, rows))
}

pub(super) async fn role(
    State(identity): State<Identity>,
    Path(code): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let role = identity.role(&code).ok_or_else(no_role)?;
    let count = counts(&identity).await?.get(&role.code).copied().unwrap_or(0);
    let catalog = &identity.catalog;
    let name_of = |code: &str| catalog.role(code).map_or_else(|| code.to_owned(), |r| r.name.clone());
    let conflicts: Vec<&Role> = catalog.roles.iter().filter(|other| role.conflicts(other)).collect();
    let open: Vec<&str> = role
        .categories
        .iter()
        .map(|code| catalog.protection.category(code).map_or(code.as_str(), |c| c.name.as_str()))
        .collect();
    let rows: Vec<Row> = Line::ALL
        .into_iter()
        .filter(|line| role.grants.iter().any(|g| g.line == *line))
        .map(|line| Row::plain(vec![html! { (line.name()) }, html! { (words::on_line(role, line)) }]))
        .collect();
    let masks: Vec<Row> = catalog
        .masks
        .fields
        .iter()
        .map(|field| {
            let level = catalog.masks.level(std::slice::from_ref(&role.code), &field.kind);
            let shown = match level {
                MaskLevel::Whole => badge(Tone::Neutral, "完整显示"),
                MaskLevel::Part => badge(Tone::Info, "部分隐藏"),
                MaskLevel::Hidden => badge(Tone::Warn, "不显示"),
            };
            Row::plain(vec![html! { (field.title) }, shown])
        })
        .collect();
    let holders = frame.caller.as_ref().is_some_and(|c| c.may(crate::account::MANAGE));
    let body = html! {
        (page_head(WAY, &role.name, &role.description, html! {
            @if holders { a.btn href={ "/access/roles/" (role.code) "/accounts" } { "持有此角色的账号（" (count) "）" } }
            a.btn href={ "/access/roles/compare?a=" (role.code) } { "与其他角色比较" }
        }))
        (card("角色", describe(&[
            fact("代码", &role.code),
            fact("类别", &role.group),
            fact("任职层级", &tiers(role)),
            fact("任职单位", &units(role)),
            fact("持有账号", &count.to_string()),
            fact("性质", match (role.duty(), role.administrator) {
                (Some(_), _) => "三员之一：系统、安全、审计须由三人分别担任",
                (None, true) => "管理岗位，不能查看诊疗内容",
                _ => "业务岗位",
            }),
        ])))
        (card_with("权限", html! { span.mk-muted { "范围相对于任职单位和任职辖区" } }, table(&here, &[Column::text("条线"), Column::text("操作（范围）")], &rows)))
        (card("敏感内容与脱敏", html! {
            div.mk-card-body {
                p { "可查看的敏感类别：" @if open.is_empty() { span.mk-muted { "无" } } @for name in &open { (plain_badge(name)) " " } }
            }
            (table(&here, &[Column::text("字段"), Column::text("屏幕显示")], &masks))
        }))
        (card("不能兼任的角色", html! {
            div.mk-card-body {
                @if conflicts.is_empty() { p.mk-muted { "没有规定。" } }
                @for other in &conflicts { a href={ "/access/roles/" (other.code) } { (name_of(&other.code)) } " " }
            }
        }))
    };
    Ok(frame.page(&role.name, body))
}

pub(super) async fn compare(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let roles = &identity.catalog.roles;
    let pick = |key: &str, fallback: usize| {
        here.get(key).and_then(|code| identity.role(code)).or_else(|| roles.get(fallback))
    };
    let (Some(a), Some(b)) = (pick("a", 0), pick("b", 1)) else { return Err(no_role().into()) };
    let options: Vec<(String, String)> = roles.iter().map(|r| (r.code.clone(), r.name.clone())).collect();
    let row = |name: &str, left: String, right: String| {
        let same = left == right;
        let mut row = Row::plain(vec![
            html! { (name) },
            html! { (left) },
            html! { (right) },
            if same {
                html! { span.mk-muted { "相同" } }
            } else {
                badge(Tone::Warn, "不同")
            },
        ]);
        if !same {
            row.mark = "mk-row-warn";
        }
        row
    };
    let categories = |role: &Role| {
        role.categories
            .iter()
            .map(|c| identity.catalog.protection.category(c).map_or(c.as_str(), |k| k.name.as_str()))
            .collect::<Vec<_>>()
            .join("、")
    };
    let mut rows = vec![row("任职层级", tiers(a), tiers(b)), row("任职单位", units(a), units(b))];
    rows.extend(
        Line::ALL
            .into_iter()
            .filter(|line| [a, b].iter().any(|r| r.grants.iter().any(|g| g.line == *line)))
            .map(|line| row(line.name(), words::on_line(a, line), words::on_line(b, line))),
    );
    rows.push(row("敏感类别", categories(a), categories(b)));
    let together = if a.code == b.code {
        html! {}
    } else if a.conflicts(b) {
        badge(Tone::Bad, "两个角色不能由同一人担任")
    } else {
        badge(Tone::Good, "两个角色可以由同一人担任")
    };
    let body = html! {
        (page_head(WAY, "比较两个角色", "逐条线对照权限和范围，不同之处有标记。", html! { (together) }))
        section.mk-card.mk-list {
            (filter_form(&here, &[
                Filter::Pick { name: "a", label: "角色一", options: &chosen_first(&options, &a.code) },
                Filter::Pick { name: "b", label: "角色二", options: &chosen_first(&options, &b.code) },
            ]))
            (table(&here, &[Column::text("项目"), Column::text(&a.name), Column::text(&b.name), Column::text("")], &rows))
        }
    };
    Ok(frame.page("比较两个角色", body))
}

/// The options with the chosen one first: what a pick shows when the address names none.
fn chosen_first(options: &[(String, String)], code: &str) -> Vec<(String, String)> {
    let mut options = options.to_vec();
    options.sort_by_key(|(c, _)| c != code);
    options
}

pub(super) async fn holders(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(code): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let role = identity.role(&code).ok_or_else(no_role)?;
    let reach = allowed.reach(Purpose::of("administration"))?;
    let before = here.get("after").and_then(|id| id.parse().ok());
    let mut rows = super::person::holders_of(&identity, &reach, &code, before, 51).await?;
    let after = (rows.len() > 50).then(|| rows.get(49).map(|r| r.account_id.to_string())).flatten();
    rows.truncate(50);
    let cells = rows
        .iter()
        .map(|held| {
            Row::to(
                format!("/access/accounts/{}", held.account_id),
                vec![
                    html! { (held.name) },
                    html! { (held.login) },
                    html! { (identity.unit_in_words(held.institution_id, &held.region)) },
                    html! { (held.until.map_or_else(|| "长期".to_owned(), page::time)) },
                    html! { (held.granted_by_name) },
                    html! { (page::time(held.granted_at)) },
                ],
            )
        })
        .collect();
    let body = html! {
        (page_head(WAY, &format!("{}：持有账号", role.name), "您的管理范围内持有此角色的账号。", html! {}))
        (list(&here, &List {
            filters: &[],
            total: None,
            unit: "个账号",
            columns: &[Column::text("姓名"), Column::text("登录名"), Column::text("任职单位"), Column::text("有效期至"), Column::text("授予人"), Column::text("授予时间")],
            rows: cells,
            paging: Paging::Cursor { before: None, after },
            exports: &[],
            empty: ("没有账号持有此角色", "在您的管理范围内还没有人担任这个岗位；可在账号的授权页授予。"),
            empty_action: Some(("账号列表", "/accounts")),
        }))
    };
    Ok(frame.page(&role.name, body))
}

fn no_role() -> Refusal {
    Refusal::not_found("role.none", "没有这个角色。请从角色列表进入。")
}
