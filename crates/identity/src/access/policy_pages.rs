//! What operators change of pages and menus: the rules in force, a form with a preview, the history with undo.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{Act, Line, Refusal};
use maud::{Markup, html};
use serde::Deserialize;
use web::policy::{Audience, PageRule, key};
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, badge, card, card_with, empty, notice, page_head, table};
use web::{Frame, Reply};

use super::policy::{Content, Kind, Wanted, in_words};
use super::words;
use crate::grants::rules::unit_name;
use crate::{Identity, page};

const UNITS: [&str; 9] = [
    "authority",
    "hospital",
    "township",
    "village",
    "maternal_child",
    "cdc",
    "supervision",
    "emergency",
    "blood",
];

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RuleForm {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    audience: String,
    /// `closed`, `extra`, `title`, `declared` (nothing any more).
    #[serde(default)]
    what: String,
    #[serde(default)]
    extra: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    order: String,
    #[serde(default)]
    reason: String,
}

fn wanted(given: &RuleForm) -> Result<Wanted, Refusal> {
    let invalid = |words: &'static str| Refusal::invalid("policy.form", words);
    let kind = Kind::of_code(&given.kind).ok_or_else(|| invalid("请选择要设置的是页面还是菜单。"))?;
    let audience = Audience::of_code(&given.audience).ok_or_else(|| invalid("请选择适用对象。"))?;
    let order = match given.order.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("顺序应为整数，如 15。"))?),
    };
    let content = match (kind, given.what.as_str()) {
        (_, "declared") => None,
        (_, "closed") => Some(Content { closed: true, ..Content::default() }),
        (Kind::Page, "extra") => Some(Content { extra: given.extra.clone(), ..Content::default() }),
        (Kind::Menu, "title") => {
            Some(Content { title: given.title.trim().to_owned(), order, ..Content::default() })
        }
        _ => return Err(invalid("请选择要做的改动。")),
    };
    if content.as_ref().is_some_and(|c| *c == Content::default()) {
        return Err(invalid("没有填写任何改动。"));
    }
    Ok(Wanted {
        kind,
        subject: given.subject.clone(),
        audience,
        content,
        reason: given.reason.clone(),
        undoes: None,
    })
}

fn audience_name(identity: &Identity, code: &str) -> String {
    match Audience::of_code(code) {
        Some(Audience::Everybody) => "所有人".to_owned(),
        Some(Audience::Role(role)) => {
            format!("角色 {}", identity.role(&role).map_or(role.as_str(), |r| r.name.as_str()))
        }
        Some(Audience::Unit(unit)) => unit_name(&unit).to_owned(),
        None => code.to_owned(),
    }
}

fn subject_name(identity: &Identity, kind: &str, subject: &str) -> String {
    let path = if kind == "menu" { subject } else { subject.split_once(' ').map_or(subject, |(_, p)| p) };
    identity
        .catalog
        .menu
        .iter()
        .find(|item| item.path == path)
        .map_or_else(String::new, |item| item.title.clone())
}

fn says(value: Option<&serde_json::Value>, kind: &str) -> String {
    match (value.and_then(|v| serde_json::from_value::<Content>(v.clone()).ok()), Kind::of_code(kind)) {
        (Some(content), Some(kind)) => in_words(&content, kind),
        _ => "按声明".to_owned(),
    }
}

pub(super) async fn show(State(identity): State<Identity>, here: Here, frame: Frame) -> Reply<Markup> {
    let rules = identity.policy_rules().await?;
    let history = identity.policy_history(100).await?;
    let may = frame.caller.as_ref().is_some_and(|c| c.may(super::CHANGE));
    let given = RuleForm {
        kind: here.get("kind").unwrap_or("page").to_owned(),
        subject: here.get("subject").unwrap_or("").to_owned(),
        ..RuleForm::default()
    };
    let rule_rows: Vec<Row> = rules
        .iter()
        .map(|rule| {
            Row::plain(vec![
                html! { (if rule.kind == "menu" { "菜单" } else { "页面" }) },
                html! { (rule.subject) small { (subject_name(&identity, &rule.kind, &rule.subject)) } },
                html! { (audience_name(&identity, &rule.audience)) },
                badge(Tone::Warn, &says(Some(&rule.content), &rule.kind)),
            ])
        })
        .collect();
    let undone: Vec<i64> = history.iter().filter_map(|c| c.undoes).collect();
    let history_rows: Vec<Row> = history
        .iter()
        .map(|change| {
            let newest = history
                .iter()
                .find(|c| c.kind == change.kind && c.subject == change.subject && c.audience == change.audience)
                .is_some_and(|c| c.id == change.id);
            Row::plain(vec![
                html! { (page::time(change.at)) },
                html! { (change.changed_by) },
                html! { (change.subject) small { (audience_name(&identity, &change.audience)) } },
                html! { (says(change.before.as_ref(), &change.kind)) " → " (says(change.after.as_ref(), &change.kind)) },
                html! { (change.reason) },
                html! {
                    @if undone.contains(&change.id) { span.mk-muted { "已撤回" } }
                    @else if may && newest && change.undoes.is_none() { (page::act_button(&format!("/access/policy/{}/undo", change.id), "撤回", "")) }
                },
            ])
        })
        .collect();
    let body = html! {
        (page_head(&[("权限", "/access")], "页面与菜单设置", "只能在页面声明的权限之内收紧：停用、另加一项权限；菜单可以隐藏、改名、调整顺序。立即生效，可撤回。", html! {}))
        (words::tabs("/access/policy"))
        (card_with("现行设置", html! { span.mk-muted { (rules.len()) " 条" } }, html! {
            @if rules.is_empty() { (empty("没有任何改动", "所有页面和菜单都按声明使用。", None)) }
            @else { (table(&here, &[Column::text("类型"), Column::text("对象"), Column::text("适用"), Column::text("设置")], &rule_rows)) }
        }))
        @if may { (form(&identity, &given, None)) }
        (card("改动记录", html! {
            @if history.is_empty() { (empty("还没有改动", "每次改动都会记在这里和审计日志中。", None)) }
            @else { (table(&here, &[Column::text("时间"), Column::text("改动人"), Column::text("对象"), Column::text("改动"), Column::text("理由"), Column::text("")], &history_rows)) }
        }))
    };
    Ok(frame.page("页面与菜单设置", body))
}

fn form(identity: &Identity, given: &RuleForm, problem: Option<&str>) -> Markup {
    let mut pages: Vec<String> = identity.policy.routes().iter().map(|r| key(&r.method, &r.path)).collect();
    pages.sort_by(|a, b| a.split_once(' ').map(|x| x.1).cmp(&b.split_once(' ').map(|x| x.1)));
    let rights = Line::ALL.into_iter().flat_map(|line| Act::ALL.into_iter().map(move |act| (line, act)));
    let chosen = |value: &str, now: &str| value == now;
    html! {
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有改动", problem)) }
        (card("新的设置", html! {
            form method="post" action="/access/policy/preview" {
                div.mk-form-grid {
                    (page::control("类型", "kind", "", &html! { select.form-select id="kind" name="kind" {
                        option value="page" selected[chosen("page", &given.kind)] { "页面或操作" }
                        option value="menu" selected[chosen("menu", &given.kind)] { "菜单项" }
                    } }))
                    (page::control("对象", "subject", "页面：方法和地址，如 GET /quality；菜单：地址，如 /quality", &html! {
                        input.form-control id="subject" name="subject" value=(given.subject) list="subjects" required autocomplete="off";
                        datalist id="subjects" {
                            @for page in &pages { option value=(page) {} }
                            @for item in &identity.catalog.menu { option value=(item.path) { "菜单：" (item.title) } }
                        }
                    }))
                    (page::control("适用", "audience", "", &html! { select.form-select id="audience" name="audience" {
                        option value="" { "所有人" }
                        @for unit in UNITS { option value={ "unit:" (unit) } selected[given.audience == format!("unit:{unit}")] { "单位：" (unit_name(unit)) } }
                        @for role in &identity.catalog.roles { option value={ "role:" (role.code) } selected[given.audience == format!("role:{}", role.code)] { "角色：" (role.name) } }
                    } }))
                    (page::control("改动", "what", "", &html! { select.form-select id="what" name="what" {
                        option value="closed" selected[chosen("closed", &given.what)] { "停用（菜单：隐藏）" }
                        option value="extra" selected[chosen("extra", &given.what)] { "另须一项权限（页面）" }
                        option value="title" selected[chosen("title", &given.what)] { "改名或调整顺序（菜单）" }
                        option value="declared" selected[chosen("declared", &given.what)] { "恢复声明" }
                    } }))
                    (page::control("另须的权限", "extra", "只用于“另须一项权限”", &html! { select.form-select id="extra" name="extra" {
                        option value="" { "—" }
                        @for (line, act) in rights { option value={ (line.code()) "." (act.code()) } selected[given.extra == format!("{}.{}", line.code(), act.code())] { (line.name()) "·" (act.name()) } }
                    } }))
                    (page::control("菜单标题", "title", "不填为原标题", &html! { input.form-control id="title" name="title" value=(given.title) maxlength="12" autocomplete="off"; }))
                    (page::control("菜单顺序", "order", "原有各项依次为 10、20、30 …", &html! { input.form-control id="order" name="order" value=(given.order) inputmode="numeric" autocomplete="off"; }))
                    (page::control("理由", "reason", "", &html! { input.form-control id="reason" name="reason" value=(given.reason) required minlength="2" maxlength="200" autocomplete="off"; }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "预览" } }
            }
        }))
    }
}

pub(super) async fn preview(
    State(identity): State<Identity>,
    here: Here,
    frame: Frame,
    Form(given): Form<RuleForm>,
) -> Reply<Markup> {
    let checked = wanted(&given).and_then(|wanted| identity.check_policy(&wanted).map(|()| wanted));
    let wanted = match checked {
        Ok(wanted) => wanted,
        Err(refusal) => {
            let body = html! {
                (page_head(&[("权限", "/access"), ("页面与菜单设置", "/access/policy")], "预览", "", html! {}))
                (form(&identity, &given, Some(&refusal.message)))
            };
            return Ok(frame.page("页面与菜单设置", body));
        }
    };
    let before = match wanted.kind {
        Kind::Page => identity.policy.rules().pages.get(&wanted.subject).cloned().unwrap_or_default(),
        Kind::Menu => Vec::new(),
    };
    let mut after: Vec<PageRule> = before.iter().filter(|r| r.audience != wanted.audience).cloned().collect();
    if let (Kind::Page, Some(content)) = (wanted.kind, &wanted.content) {
        after.push(PageRule {
            audience: wanted.audience.clone(),
            extra: content.need(),
            closed: content.closed,
        });
    }
    let access =
        identity.policy.routes().iter().find(|r| key(&r.method, &r.path) == wanted.subject).map(|r| r.access);
    let roles = &identity.catalog.roles;
    let rows: Vec<Row> = match access {
        Some(access) => {
            let was = super::pages::passing(roles, access, &before);
            let will = super::pages::passing(roles, access, &after);
            was.iter()
                .filter(|r| !will.iter().any(|w| w.code == r.code))
                .map(|r| Row::plain(vec![html! { (r.name) }, badge(Tone::Bad, "不再能用")]))
                .chain(
                    will.iter()
                        .filter(|r| !was.iter().any(|w| w.code == r.code))
                        .map(|r| Row::plain(vec![html! { (r.name) }, badge(Tone::Good, "恢复使用")])),
                )
                .collect()
        }
        None => Vec::new(),
    };
    let change = wanted.content.as_ref().map_or_else(|| "恢复声明".to_owned(), |c| in_words(c, wanted.kind));
    let fields = [
        ("kind", &given.kind),
        ("subject", &given.subject),
        ("audience", &given.audience),
        ("what", &given.what),
        ("extra", &given.extra),
        ("title", &given.title),
        ("order", &given.order),
        ("reason", &given.reason),
    ];
    let body = html! {
        (page_head(&[("权限", "/access"), ("页面与菜单设置", "/access/policy")], "预览",
            &format!("{}（{}）：{change}", wanted.subject, audience_name(&identity, &wanted.audience.code())), html! {}))
        (card("影响", html! {
            @if rows.is_empty() {
                (empty("不影响任何角色能否使用", if wanted.kind == Kind::Menu { "菜单的隐藏、改名和顺序不改变权限。" } else { "按单位收紧的，只影响在这类单位任职的人员。" }, None))
            } @else { (table(&here, &[Column::text("角色"), Column::text("变化")], &rows)) }
            form method="post" action="/access/policy" {
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "确认，立即生效" } a.btn href="/access/policy" { "取消" } }
            }
        }))
    };
    Ok(frame.page("页面与菜单设置", body))
}

pub(super) async fn change(
    State(identity): State<Identity>,
    allowed: Allowed,
    Form(given): Form<RuleForm>,
) -> Reply<Redirect> {
    let wanted = wanted(&given)?;
    identity.change_policy(&wanted, allowed.caller()).await?;
    Ok(Redirect::to("/access/policy"))
}

pub(super) async fn undo(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(change): Path<i64>,
) -> Reply<Redirect> {
    let change = identity
        .policy_change(change)
        .await?
        .ok_or_else(|| Refusal::not_found("policy.none", "没有这条改动记录。"))?;
    identity.undo_policy(&change, allowed.caller()).await?;
    Ok(Redirect::to("/access/policy"))
}
