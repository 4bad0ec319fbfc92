//! Rights in words: spans, needs, tabs. Pure.

use catalog::Role;
use contracts::Institutions;
use kernel::{Grant, Line, Need, Span};
use maud::Markup;
use web::Access;

/// How far a right reaches, as people say it.
pub fn span(span: Span, institutions: &dyn Institutions, team_name: &dyn Fn(i64) -> String) -> String {
    match span {
        Span::Region(region) => institutions.region_name(&region),
        Span::Institution(id) => {
            institutions.by_id(id).map_or_else(|| format!("机构 {id}"), |card| card.name.clone())
        }
        Span::Team(id) => format!("{}的居民", team_name(id.get())),
        Span::OwnPatients => "本人患者".to_owned(),
        Span::Person(_) => "指定的一位居民".to_owned(),
    }
}

/// `医疗服务·查看`.
pub fn need(need: Need) -> String {
    format!("{}·{}", need.line.name(), need.act.name())
}

/// `医疗服务·查看`.
pub fn grant(grant: &Grant) -> String {
    need(Need::new(grant.line, grant.act))
}

/// What a route asks for, in words.
pub fn access(access: Access) -> String {
    match access {
        Access::Needs(n) => need(n),
        Access::Fresh(n) => format!("{}（须重新验证身份）", need(n)),
        Access::SignedIn(_) => "登录即可".to_owned(),
        Access::Open(_) => "无须登录".to_owned(),
    }
}

/// What a role may do on a line, act by act with its spans: `查看（全市）、导出（本机构）`.
pub fn on_line(role: &Role, line: Line) -> String {
    let words: Vec<String> = role
        .grants
        .iter()
        .filter(|g| g.line == line)
        .map(|g| format!("{}（{}）", g.act.name(), g.span.name()))
        .collect();
    words.join("、")
}

/// The tabs above the pages of rights.
pub fn tabs(here: &str) -> Markup {
    const TABS: [(&str, &str); 6] = [
        ("/access", "权限矩阵"),
        ("/access/roles", "角色"),
        ("/access/exceptions", "例外授权"),
        ("/access/teams", "团队"),
        ("/access/pages", "谁能看到页面"),
        ("/access/policy", "页面与菜单设置"),
    ];
    let tabs: Vec<web::ui::Tab> = TABS
        .iter()
        .map(|(path, title)| web::ui::Tab {
            title: (*title).to_owned(),
            href: (*path).to_owned(),
            count: None,
            current: *path == here,
        })
        .collect();
    web::ui::tabs(&tabs)
}
