//! What operators change of pages and menus, kept in `access_policy` with its history; each process has a copy in memory
//! ([`web::Policy`]) that follows changes made by any of them.

use std::collections::HashMap;

use ::store::{AuditEntry, DbDoing, audit};
use chrono::{DateTime, Utc};
use kernel::error::Doing;
use kernel::{Act, Caller, Line, Need, Purpose, Refusal, Result};
use serde::{Deserialize, Serialize};
use web::Access;
use web::policy::{Audience, MenuRule, PageRule, Rules, key};

use crate::Identity;
use crate::row::row;

/// The channel on which processes tell each other that a rule changed.
const CHANNEL: &str = "minkang_access_policy";

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page or button, by route.
    Page,
    /// A menu entry, by path.
    Menu,
}

impl Kind {
    /// The word in the database.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::Page => "page",
            Kind::Menu => "menu",
        }
    }
    /// Reads [`Kind::code`].
    pub fn of_code(code: &str) -> Option<Self> {
        [Kind::Page, Kind::Menu].into_iter().find(|kind| kind.code() == code)
    }
}

/// What a rule says, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Page: closed. Menu: hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Page: line and act that are needed beside what is declared, e.g. `security.read`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub extra: String,
    /// Menu: another title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Menu: where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
}

impl Content {
    /// The further need of a page; `None` when there is none or it cannot be read.
    pub fn need(&self) -> Option<Need> {
        let (line, act) = self.extra.split_once('.')?;
        Some(Need::new(Line::of_code(line)?, Act::of_code(act)?))
    }
}

/// A rule in force.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// `page` or `menu`.
    pub kind: String,
    /// Route or path.
    pub subject: String,
    /// Code of the audience.
    pub audience: String,
    /// What it says.
    pub content: serde_json::Value,
}
row!(RuleRow { kind, subject, audience, content });

impl RuleRow {
    /// What it says; empty when it cannot be read.
    pub fn says(&self) -> Content {
        serde_json::from_value(self.content.clone()).unwrap_or_default()
    }
}

/// A change, for the history.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    /// Names it.
    pub id: i64,
    /// `page` or `menu`.
    pub kind: String,
    /// Route or path.
    pub subject: String,
    /// Code of the audience.
    pub audience: String,
    /// What was said before; `None`: nothing.
    pub before: Option<serde_json::Value>,
    /// What is said after; `None`: nothing.
    pub after: Option<serde_json::Value>,
    /// Why.
    pub reason: String,
    /// Who.
    pub changed_by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The change that it takes back.
    pub undoes: Option<i64>,
}
row!(ChangeRow { id, kind, subject, audience, before, after, reason, changed_by, at, undoes });

/// A change that is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What about.
    pub kind: Kind,
    /// Route (`GET /x`) or path.
    pub subject: String,
    /// For whom.
    pub audience: Audience,
    /// What to say; `None`: nothing any more.
    pub content: Option<Content>,
    /// Why.
    pub reason: String,
    /// The change that it takes back.
    pub undoes: Option<i64>,
}

/// Pages that nobody may close, or nobody could open them again or sign in at all.
fn indispensable(route: &str) -> bool {
    let path = route.split_once(' ').map_or(route, |(_, path)| path);
    let under =
        |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    path == "/"
        || ["/access/policy", "/sign-in", "/sign-out", "/step-up", "/desk", "/account"].into_iter().any(under)
}

impl Identity {
    /// The rules in memory, for the web layer.
    pub fn policy(&self) -> std::sync::Arc<web::Policy> {
        self.policy.clone()
    }

    /// Reads the rules again.
    pub async fn refresh_policy(&self) -> Result<()> {
        let mut rules = Rules::default();
        for row in self.policy_rules().await? {
            let Some(audience) = Audience::of_code(&row.audience) else { continue };
            let says = row.says();
            match Kind::of_code(&row.kind) {
                Some(Kind::Page) => {
                    // A need that cannot be read any more closes the page rather than opening it.
                    let closed = says.closed || (!says.extra.is_empty() && says.need().is_none());
                    let rule = PageRule { audience, extra: says.need(), closed };
                    rules.pages.entry(row.subject).or_insert_with(Vec::new).push(rule);
                }
                Some(Kind::Menu) => rules.menu.push(MenuRule {
                    path: row.subject,
                    audience,
                    hidden: says.closed,
                    title: says.title,
                    order: says.order,
                }),
                None => {}
            }
        }
        self.policy.replace(rules);
        Ok(())
    }

    /// Keeps this process in step with changes made by others. Runs until the database is lost; the caller starts it
    /// again.
    pub async fn follow_policy(&self) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(self.db.pool()).await.db("listen for rules of pages")?;
        listener.listen(CHANNEL).await.db("listen for rules of pages")?;
        self.refresh_policy().await?;
        loop {
            listener.recv().await.doing("wait for changes of rules of pages")?;
            self.refresh_policy().await?;
        }
    }

    /// The rules in force.
    pub async fn policy_rules(&self) -> Result<Vec<RuleRow>> {
        sqlx::query_as(
            "select kind, subject, audience, content from access_policy order by kind, subject, audience",
        )
        .fetch_all(self.db.pool())
        .await
        .db("read the rules of pages")
    }

    /// What was changed, newest first.
    pub async fn policy_history(&self, limit: i64) -> Result<Vec<ChangeRow>> {
        sqlx::query_as("select * from access_policy_change order by id desc limit $1")
            .bind(limit)
            .fetch_all(self.db.pool())
            .await
            .db("read the history of rules of pages")
    }

    /// A change by its number.
    pub async fn policy_change(&self, id: i64) -> Result<Option<ChangeRow>> {
        sqlx::query_as("select * from access_policy_change where id = $1")
            .bind(id)
            .fetch_optional(self.db.pool())
            .await
            .db("read a change of rules of pages")
    }

    /// Whether a change makes sense: what it is about exists, and it narrows.
    pub fn check_policy(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let invalid = |code, words: &str| Err(Refusal::invalid(code, words.to_owned()));
        match wanted.kind {
            Kind::Page => {
                let routes = self.policy.routes();
                if !routes.iter().any(|r| key(&r.method, &r.path) == wanted.subject) {
                    return invalid("policy.no_route", "没有这个页面，请从列表中选择。");
                }
                if indispensable(&wanted.subject)
                    && wanted.content.as_ref().is_some_and(|c| c.closed || !c.extra.is_empty())
                {
                    return invalid(
                        "policy.indispensable",
                        "登录、工作台、个人账号和本页不能停用或加限制，否则无法恢复。",
                    );
                }
                if let Some(content) = &wanted.content
                    && !content.extra.is_empty()
                {
                    let Some(need) = content.need() else {
                        return invalid("policy.need", "不认识的权限，请从列表中选择。");
                    };
                    let declared = routes.iter().find(|r| key(&r.method, &r.path) == wanted.subject);
                    if declared
                        .is_some_and(|r| matches!(r.access, Access::Needs(n) | Access::Fresh(n) if n == need))
                    {
                        return invalid("policy.same", "这个页面本来就需要这项权限。");
                    }
                }
            }
            Kind::Menu => {
                if !self.catalog.menu.iter().any(|item| item.path == wanted.subject) {
                    return invalid("policy.no_entry", "没有这个菜单项，请从列表中选择。");
                }
                if wanted.subject == "/desk" && wanted.content.as_ref().is_some_and(|c| c.closed) {
                    return invalid("policy.indispensable", "工作台不能隐藏。");
                }
                if wanted.content.as_ref().is_some_and(|c| c.title.chars().count() > 12) {
                    return invalid("policy.title", "菜单标题最多 12 个字。");
                }
            }
        }
        if let Audience::Role(code) = &wanted.audience
            && self.role(code).is_none()
        {
            return invalid("policy.role", "没有这个角色，请从列表中选择。");
        }
        if wanted.reason.trim().chars().count() < 2 || wanted.reason.chars().count() > 200 {
            return invalid("policy.reason", "请写明理由（2 至 200 个字）。");
        }
        Ok(())
    }

    /// Changes a rule, with its history and audit entry. Takes effect in every process within moments.
    pub async fn change_policy(&self, wanted: &Wanted, by: &Caller) -> Result<()> {
        self.check_policy(wanted)?;
        let now = self.clock.now();
        let (kind, audience) = (wanted.kind.code(), wanted.audience.code());
        let after = wanted.content.as_ref().map(serde_json::to_value).transpose().doing("write a rule")?;
        self.db
            .transaction(async |tx| {
                let before: Option<serde_json::Value> = sqlx::query_scalar(
                    "select content from access_policy where kind = $1 and subject = $2 and audience = $3 for update",
                )
                .bind(kind)
                .bind(&wanted.subject)
                .bind(&audience)
                .fetch_optional(&mut **tx)
                .await
                .db("read a rule of a page")?;
                if before == after {
                    return Err(Refusal::conflict("policy.unchanged", "与现行设置相同，没有改动。").into());
                }
                match &after {
                    Some(content) => {
                        sqlx::query(
                            "insert into access_policy (kind, subject, audience, content) values ($1, $2, $3, $4)
                             on conflict (kind, subject, audience) do update set content = excluded.content",
                        )
                        .bind(kind)
                        .bind(&wanted.subject)
                        .bind(&audience)
                        .bind(content)
                        .execute(&mut **tx)
                        .await
                    }
                    None => {
                        sqlx::query("delete from access_policy where kind = $1 and subject = $2 and audience = $3")
                            .bind(kind)
                            .bind(&wanted.subject)
                            .bind(&audience)
                            .execute(&mut **tx)
                            .await
                    }
                }
                .db("change a rule of a page")?;
                sqlx::query(
                    "insert into access_policy_change (kind, subject, audience, before, after, reason, changed_by, at, undoes)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(kind)
                .bind(&wanted.subject)
                .bind(&audience)
                .bind(&before)
                .bind(&after)
                .bind(wanted.reason.trim())
                .bind(&by.name)
                .bind(now)
                .bind(wanted.undoes)
                .execute(&mut **tx)
                .await
                .db("write the history of a rule")?;
                sqlx::query("select pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(&wanted.subject)
                    .execute(&mut **tx)
                    .await
                    .db("announce a change of rules")?;
                let entry = AuditEntry {
                    act: "policy.change",
                    object_kind: kind,
                    object_label: format!("{} {audience}", wanted.subject),
                    detail: Some(serde_json::json!({
                        "before": before, "after": after, "reason": wanted.reason.trim(), "undoes": wanted.undoes,
                    })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of("administration"), now, &entry).await
            })
            .await?;
        self.refresh_policy().await
    }

    /// Takes a change back: what was said before it is said again.
    pub async fn undo_policy(&self, change: &ChangeRow, by: &Caller) -> Result<()> {
        let kind = Kind::of_code(&change.kind);
        let audience = Audience::of_code(&change.audience);
        let (Some(kind), Some(audience)) = (kind, audience) else {
            return Err(Refusal::invalid("policy.unknown", "这条记录已不能识别，无法撤回。").into());
        };
        let before = change.before.clone().map(serde_json::from_value).transpose().doing("read a rule")?;
        let wanted = Wanted {
            kind,
            subject: change.subject.clone(),
            audience,
            content: before,
            reason: format!("撤回第 {} 号改动", change.id),
            undoes: Some(change.id),
        };
        self.change_policy(&wanted, by).await
    }
}

/// The rules of a page in words.
pub fn in_words(content: &Content, kind: Kind) -> String {
    let mut words = Vec::with_capacity(3);
    match (kind, content.closed) {
        (Kind::Page, true) => words.push("停用".to_owned()),
        (Kind::Menu, true) => words.push("隐藏".to_owned()),
        _ => {}
    }
    if let Some(need) = content.need() {
        words.push(format!("另须“{}·{}”", need.line.name(), need.act.name()));
    }
    if !content.title.is_empty() {
        words.push(format!("标题改为“{}”", content.title));
    }
    if let Some(order) = content.order {
        words.push(format!("顺序 {order}"));
    }
    if words.is_empty() { "无变化".to_owned() } else { words.join("，") }
}

/// Rules by subject, for lists.
pub fn by_subject(rules: &[RuleRow], kind: Kind) -> HashMap<&str, Vec<&RuleRow>> {
    let mut out: HashMap<&str, Vec<&RuleRow>> = HashMap::new();
    for rule in rules.iter().filter(|r| r.kind == kind.code()) {
        out.entry(rule.subject.as_str()).or_default().push(rule);
    }
    out
}
