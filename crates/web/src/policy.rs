//! What operators change of pages and menus while the program runs, always within what routes declare: a page may be
//! closed or asked one right more of, never one less; a menu entry may be hidden, renamed and moved.
//!
//! The rules are in memory; whoever keeps them (`identity`) replaces them as a whole when they change.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::http::Method;
use catalog::MenuItem;
use kernel::{Caller, Need, Refusal};

use crate::route::{Access, RouteInfo};

/// For whom a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// Everybody.
    Everybody,
    /// Whoever holds this role, beside whatever others.
    Role(String),
    /// Whoever works at this kind of unit (`authority` or a sender class).
    Unit(String),
}

impl Audience {
    /// As it is kept: ``, `role:<code>`, `unit:<class>`.
    pub fn code(&self) -> String {
        match self {
            Audience::Everybody => String::new(),
            Audience::Role(code) => format!("role:{code}"),
            Audience::Unit(class) => format!("unit:{class}"),
        }
    }

    /// Reads what [`Audience::code`] writes.
    pub fn of_code(code: &str) -> Option<Self> {
        match code.split_once(':') {
            None if code.is_empty() => Some(Audience::Everybody),
            Some(("role", role)) if !role.is_empty() => Some(Audience::Role(role.to_owned())),
            Some(("unit", class)) if !class.is_empty() => Some(Audience::Unit(class.to_owned())),
            _ => None,
        }
    }
}

/// A narrower rule for a page or button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRule {
    /// For whom.
    pub audience: Audience,
    /// A right that is needed beside the declared one.
    pub extra: Option<Need>,
    /// Whether it is closed altogether.
    pub closed: bool,
}

/// A change of a menu entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuRule {
    /// The entry's path.
    pub path: String,
    /// For whom.
    pub audience: Audience,
    /// Whether it is left out.
    pub hidden: bool,
    /// Another title; empty: its own.
    pub title: String,
    /// Where it stands; the shipped entries stand at 10, 20, 30 …
    pub order: Option<i32>,
}

/// All rules at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// By method and path template, e.g. `GET /record/{person}`.
    pub pages: HashMap<String, Vec<PageRule>>,
    /// Of menu entries.
    pub menu: Vec<MenuRule>,
}

type UnitOf = dyn Fn(&Caller) -> String + Send + Sync;

/// The rules in force in this process and the routes that they are about.
pub struct Policy {
    rules: RwLock<Arc<Rules>>,
    routes: OnceLock<Vec<RouteInfo>>,
    unit_of: Box<UnitOf>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("rules", &self.rules()).finish_non_exhaustive()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(|_| String::new())
    }
}

/// The name of a route in the rules.
pub fn key(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

impl Policy {
    /// No rules; `unit_of` tells the kind of unit of a caller.
    pub fn new(unit_of: impl Fn(&Caller) -> String + Send + Sync + 'static) -> Self {
        Self { rules: RwLock::default(), routes: OnceLock::new(), unit_of: Box::new(unit_of) }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other rules in force.
    pub fn replace(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Learns the routes of the program, once, when it is assembled.
    pub fn learn(&self, routes: &[RouteInfo]) {
        let _ = self.routes.set(routes.to_vec());
    }

    /// The routes of the program; none before it is assembled.
    pub fn routes(&self) -> &[RouteInfo] {
        self.routes.get().map_or(&[], Vec::as_slice)
    }

    fn concerns(&self, audience: &Audience, caller: &Caller) -> bool {
        match audience {
            Audience::Everybody => true,
            Audience::Role(code) => caller.roles.contains(code),
            Audience::Unit(class) => (self.unit_of)(caller) == *class,
        }
    }

    /// Whether the rules let a caller pass to a route; what the route itself declares is asked elsewhere.
    pub fn passes(&self, caller: Option<&Caller>, route: &str) -> Result<(), Refusal> {
        let rules = self.rules();
        let Some(of_page) = rules.pages.get(route) else { return Ok(()) };
        for rule in of_page {
            let concerned = match caller {
                Some(caller) => self.concerns(&rule.audience, caller),
                None => rule.audience == Audience::Everybody,
            };
            if !concerned {
                continue;
            }
            if rule.closed {
                return Err(Refusal::forbidden(
                    "access.closed",
                    "没有权限：这个页面或操作已由安全管理员停用。如工作需要，请联系安全管理员。",
                ));
            }
            if let Some(need) = rule.extra
                && !caller.is_some_and(|c| c.may(need))
            {
                return Err(Refusal::forbidden(
                    "access.narrowed",
                    format!(
                        "没有权限：安全管理员规定使用这个页面还须有“{}·{}”的权限。",
                        need.line.name(),
                        need.act.name()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether a caller may use a route: what it declares and the rules together. For buttons.
    pub fn allows(&self, caller: &Caller, method: &Method, path: &str) -> bool {
        let declared =
            self.routes().iter().find(|r| r.method == *method && r.path == path).is_some_and(|r| {
                match r.access {
                    Access::Needs(need) | Access::Fresh(need) => caller.may(need),
                    Access::SignedIn(_) | Access::Open(_) => true,
                }
            });
        declared && self.passes(Some(caller), &key(method, path)).is_ok()
    }

    /// The menu of a caller: entries that their rights and the rules leave, renamed and moved, entries of a group
    /// together.
    pub fn menu(&self, base: &[MenuItem], caller: &Caller) -> Vec<MenuItem> {
        let rules = self.rules();
        let mut items: Vec<(i32, MenuItem)> = Vec::with_capacity(base.len());
        for (index, item) in base.iter().enumerate() {
            if item.need.is_some_and(|need| !caller.may(need))
                || self.passes(Some(caller), &key(&Method::GET, &item.path)).is_err()
            {
                continue;
            }
            let mut order = (index as i32 + 1) * 10;
            let (mut item, mut hidden) = (item.clone(), false);
            for rule in
                rules.menu.iter().filter(|r| r.path == item.path && self.concerns(&r.audience, caller))
            {
                hidden |= rule.hidden;
                if !rule.title.is_empty() {
                    item.title.clone_from(&rule.title);
                }
                order = rule.order.unwrap_or(order);
            }
            if !hidden {
                items.push((order, item));
            }
        }
        items.sort_by_key(|(order, _)| *order);
        let mut groups: Vec<String> = Vec::new();
        for (_, item) in &items {
            if !groups.contains(&item.group) {
                groups.push(item.group.clone());
            }
        }
        let mut out = Vec::with_capacity(items.len());
        for group in groups {
            out.extend(items.iter().filter(|(_, item)| item.group == group).map(|(_, item)| item.clone()));
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kernel::{Act, CallerKind, Grant, Line, RegionCode, Span};

    const READ: Need = Need::new(Line::Administration, Act::Read);

    fn caller(roles: &[&str], needs: &[Need]) -> Caller {
        let span = Span::Region(RegionCode::NATION);
        Caller {
            roles: roles.iter().map(ToString::to_string).collect(),
            grants: needs.iter().map(|n| Grant { line: n.line, act: n.act, span }).collect(),
            ..Caller::blank(CallerKind::Staff)
        }
    }

    fn item(title: &str, path: &str, group: &str, need: Option<Need>) -> MenuItem {
        MenuItem { title: title.into(), icon: String::new(), path: path.into(), need, group: group.into() }
    }

    #[test]
    fn rules_narrow_and_never_widen() {
        let policy =
            Policy::new(|c| if c.institution.is_some() { "hospital".into() } else { "authority".into() });
        let route = |path: &str, access| RouteInfo { method: Method::GET, path: path.into(), access };
        policy.learn(&[
            route("/a", Access::Needs(READ)),
            route("/b", Access::SignedIn("test")),
            route("/c", Access::SignedIn("test")),
        ]);
        let rule = |audience, extra, closed| vec![PageRule { audience, extra, closed }];
        policy.replace(Rules {
            pages: HashMap::from([
                ("GET /a".to_owned(), rule(Audience::Role("inspector".into()), None, true)),
                ("GET /b".to_owned(), rule(Audience::Everybody, Some(READ), false)),
                ("GET /c".to_owned(), rule(Audience::Unit("hospital".into()), None, true)),
            ]),
            menu: Vec::new(),
        });
        let (reader, inspector, nobody) =
            (caller(&["director"], &[READ]), caller(&["inspector"], &[READ]), caller(&[], &[]));
        let mut doctor = caller(&[], &[]);
        doctor.institution = Some(kernel::Id::new(1));
        for (who, path, expected) in [
            (&reader, "/a", true),
            (&inspector, "/a", false),
            (&nobody, "/a", false),
            (&reader, "/b", true),
            (&nobody, "/b", false),
            (&nobody, "/c", true),
            (&doctor, "/c", false),
            (&reader, "/unknown", false),
        ] {
            assert_eq!(policy.allows(who, &Method::GET, path), expected, "{path} {:?}", who.roles);
        }
        assert!(policy.passes(None, "GET /b").is_err() && policy.passes(None, "GET /c").is_ok());
    }

    #[test]
    fn the_menu_is_hidden_renamed_and_moved_within_the_rights() {
        let base = [
            item("工作台", "/desk", "首页", None),
            item("质量", "/quality", "数据", Some(READ)),
            item("排名", "/ranking", "数据", Some(READ)),
            item("目录", "/datasets", "标准", None),
        ];
        let policy = Policy::default();
        let titles = |policy: &Policy, who: &Caller| -> Vec<String> {
            policy.menu(&base, who).into_iter().map(|i| i.title).collect()
        };
        let reader = caller(&["r"], &[READ]);
        assert_eq!(titles(&policy, &reader), ["工作台", "质量", "排名", "目录"]);
        let rule = |path: &str, audience, hidden, title: &str, order| MenuRule {
            path: path.into(),
            audience,
            hidden,
            title: title.into(),
            order,
        };
        policy.replace(Rules {
            pages: HashMap::new(),
            menu: vec![
                rule("/datasets", Audience::Everybody, false, "数据集", Some(15)),
                rule("/ranking", Audience::Role("r".into()), true, "", None),
                rule("/quality", Audience::Role("other".into()), true, "", None),
            ],
        });
        assert_eq!(titles(&policy, &reader), ["工作台", "数据集", "质量"]);
        assert_eq!(
            titles(&policy, &caller(&[], &[])),
            ["工作台", "数据集"],
            "no rule shows what is not a right"
        );
    }

    #[test]
    fn audiences_are_written_and_read() {
        for audience in [Audience::Everybody, Audience::Role("a".into()), Audience::Unit("hospital".into())] {
            assert_eq!(Audience::of_code(&audience.code()), Some(audience));
        }
        for bad in ["x", "role:", "tier:county"] {
            assert_eq!(Audience::of_code(bad), None, "{bad}");
        }
    }
}
