//! "What can this person do, and why?": every right with its source, what is denied and why; giving roles and taking them
//! away.

use ::store::DbDoing;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{AccountId, Error, Id, Line, Need, Purpose, Reach, Refusal, RegionCode};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, badge, card, card_with, empty, notice, page_head, table};
use web::{Frame, Reply};

use super::words;
use crate::account::store::{AccountRow, in_reach, spans};
use crate::grants::acts::NewRole;
use crate::grants::exceptions::Which;
use crate::grants::rules::{self, Gift, Post};
use crate::grants::store::{self, HeldRow};
use crate::row::row;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("账号", "/accounts")];

/// Who holds a role, with what a list shows.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub account_id: i64,
    pub name: String,
    pub login: String,
    pub institution_id: Option<i32>,
    pub region: String,
    pub until: Option<DateTime<Utc>>,
    pub granted_by_name: String,
    pub granted_at: DateTime<Utc>,
}
row!(Holder { account_id, name, login, institution_id, region, until, granted_by_name, granted_at });

/// Who holds a role within a reach, newest account first.
pub(super) async fn holders_of(
    identity: &Identity,
    reach: &Reach,
    role: &str,
    before: Option<i64>,
    limit: i64,
) -> kernel::Result<Vec<Holder>> {
    let (regions, institutions) = spans(reach);
    sqlx::query_as(
        "select distinct on (r.account_id) r.account_id, a.name, a.login, r.institution_id, r.region, r.until,
            r.granted_by_name, r.granted_at
         from account_role r join account a on a.id = r.account_id
         where r.role = $1 and r.withdrawn_at is null and (r.until is null or r.until > $2) and a.state = 'open'
           and (a.region like any ($3) or a.institution_id = any ($4)) and ($5::bigint is null or r.account_id < $5)
         order by r.account_id desc, r.id desc limit $6",
    )
    .bind(role)
    .bind(identity.clock.now())
    .bind(regions)
    .bind(institutions)
    .bind(before)
    .bind(limit)
    .fetch_all(identity.db.pool())
    .await
    .db("list who holds a role")
}

impl Identity {
    /// The unit of a post in words.
    pub(crate) fn unit_in_words(&self, institution: Option<i32>, region: &str) -> String {
        let region = RegionCode::parse(region).unwrap_or(RegionCode::NATION);
        self.gatekeeper.unit_name(institution.map(|id| Id::new(i64::from(id))), &region)
    }
}

async fn found(identity: &Identity, allowed: &Allowed, account: i64) -> kernel::Result<AccountRow> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let row = in_reach(identity.db.pool(), &reach, Id::new(account)).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("account.none", "没有这个账号，或它不在您的辖区内。"))?)
}

struct Source {
    right: Need,
    span: String,
    from: String,
    by: String,
    at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

async fn sources(identity: &Identity, row: &AccountRow, held: &[HeldRow]) -> kernel::Result<Vec<Source>> {
    let now = identity.clock.now();
    let teams = super::teams::of_account(identity, row).await?;
    let team_ids: Vec<kernel::TeamId> = teams.iter().map(|(id, _)| Id::new(*id)).collect();
    let team_name = |id: i64| {
        teams.iter().find(|(t, _)| *t == id).map_or_else(|| "团队".to_owned(), |(_, name)| name.clone())
    };
    let mut out = Vec::new();
    for held in held.iter().filter(|h| h.holds(now)) {
        let Some(role) = identity.role(&held.role) else { continue };
        let unit = identity.unit_in_words(held.institution_id, &held.region);
        for grant in rules::of_role(role, &held.post(), &team_ids) {
            out.push(Source {
                right: Need::new(grant.line, grant.act),
                span: words::span(grant.span, &*identity.institutions, &team_name),
                from: format!("角色“{}”（{unit}）", role.name),
                by: held.granted_by_name.clone(),
                at: held.granted_at,
                until: held.until,
            });
        }
    }
    let own = Which { own: Some(Id::new(row.id)), state: "approved".to_owned(), ..Which::default() };
    for exception in identity.exceptions(&own, 200).await? {
        let right = Line::of_code(&exception.line).zip(kernel::Act::of_code(&exception.act));
        if let (true, Some((line, act))) = (exception.account_id == row.id && exception.holds(now), right) {
            out.push(Source {
                right: Need::new(line, act),
                span: exception.target_label.clone(),
                from: format!("例外授权 {}：{}", exception.id, exception.reason),
                by: exception.decided_by_name.clone(),
                at: exception.decided_at.unwrap_or(exception.since),
                until: Some(exception.until),
            });
        }
    }
    let order = |need: Need| Line::ALL.iter().position(|line| *line == need.line);
    out.sort_by_key(|s| (order(s.right), s.right.act.code(), s.at));
    Ok(out)
}

/// Why a line gives nothing: what somebody who asks can do about it.
fn denied(identity: &Identity, held: &[&catalog::Role], line: Line) -> String {
    let administers = held.iter().any(|r| r.administrator || r.duty().is_some());
    if line.clinical() && administers {
        return "管理岗位不能查看诊疗内容".to_owned();
    }
    if line.is_duty()
        && let Some(other) = held.iter().find(|r| r.duty().is_some_and(|duty| duty != line))
    {
        return format!("三员分立：已任“{}”，不能再有这条线的权限", other.name);
    }
    let giving: Vec<&str> = identity
        .catalog
        .roles
        .iter()
        .filter(|r| r.grants.iter().any(|g| g.line == line && g.act.is_use()))
        .take(3)
        .map(|r| r.name.as_str())
        .collect();
    if giving.is_empty() {
        "没有任何角色开放这条线".to_owned()
    } else {
        format!("没有给予这条线权限的角色（如{}）", giving.join("、"))
    }
}

pub(super) async fn show(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let row = found(&identity, &allowed, account).await?;
    let now = identity.clock.now();
    let held = store::of_account(identity.db.pool(), Id::new(account)).await?;
    let sources = sources(&identity, &row, &held).await?;
    let roles: Vec<&catalog::Role> =
        held.iter().filter(|h| h.holds(now)).filter_map(|h| identity.role(&h.role)).collect();
    let effective = row.state == "open" && !row.must_change;
    let body = html! {
        (page_head(WAY, &format!("{}：权限与来源", row.name), "每一项现行权限从哪里来、由谁授予、到什么时候；没有的权限为什么没有。", html! {
            a.btn.btn-primary href={ "/access/accounts/" (account) "/give" } { "授予角色" }
            a.btn href={ "/accounts/" (account) } { "账号资料" }
        }))
        @if !effective {
            (notice(Tone::Warn, "以下权限现在不生效",
                if row.state == "open" { "初始密码尚未修改，修改前不能使用任何功能。" } else { "账号已停用，不能登录。" }))
        }
        (card_with("任职角色", html! {}, held_table(&identity, &allowed, &row, &held, &here)))
        (card("现行权限", html! {
            @if sources.is_empty() {
                (empty("没有任何权限", "此账号没有角色，也没有生效中的例外授权；可授予一个角色。", Some(("授予角色", &format!("/access/accounts/{account}/give")))))
            } @else {
                (table(&here, &[Column::text("权限"), Column::text("范围"), Column::text("来源"), Column::text("授予人"), Column::text("时间"), Column::text("到期")],
                    &sources.iter().map(|s| Row::plain(vec![
                        html! { (words::need(s.right)) },
                        html! { (s.span) },
                        html! { (s.from) },
                        html! { (s.by) },
                        html! { (page::time(s.at)) },
                        html! { (s.until.map_or_else(|| "长期".to_owned(), page::time)) },
                    ])).collect::<Vec<_>>()))
            }
        }))
        (card("没有权限的条线", table(&here, &[Column::text("条线"), Column::text("原因")],
            &Line::ALL.into_iter().filter(|line| !sources.iter().any(|s| s.right.line == *line && s.right.act.is_use()))
                .map(|line| Row::plain(vec![html! { (line.name()) }, html! { (denied(&identity, &roles, line)) }])).collect::<Vec<_>>())))
        (card("敏感内容", html! { div.mk-card-body {
            @let open: Vec<&str> = identity.catalog.protection.categories.iter().filter(|c| roles.iter().any(|r| r.categories.contains(&c.code))).map(|c| c.name.as_str()).collect();
            p { "可查看的敏感类别：" @if open.is_empty() { span.mk-muted { "无" } } @else { (open.join("、")) } }
            p.mk-muted { "其余类别须由开放该类别的岗位人员查看，或经紧急调阅并接受事后核查。" }
        } }))
    };
    Ok(frame.page(&row.name, body))
}

fn held_table(
    identity: &Identity,
    allowed: &Allowed,
    row: &AccountRow,
    held: &[HeldRow],
    here: &Here,
) -> Markup {
    if held.is_empty() {
        return empty("没有角色", "此账号没有任何角色。", None);
    }
    let now = identity.clock.now();
    let by = allowed.caller();
    let to_oneself = identity.is_oneself(by, row);
    let rows: Vec<Row> = held
        .iter()
        .map(|h| {
            let post = h.post();
            let unit = identity.unit_of(&post);
            let may = h.holds(now)
                && identity.role(&h.role).is_none_or(|role| {
                    let gift = Gift { role, post, unit: &unit, to_oneself, held: Vec::new() };
                    rules::may_withdraw(&by.grants, &gift, |id| identity.region_of(id)).is_ok()
                });
            let state = match (h.holds(now), h.withdrawn_at) {
                (true, _) => badge(Tone::Good, "生效"),
                (false, Some(_)) => badge(Tone::Neutral, "已撤销"),
                (false, None) if h.since > now => badge(Tone::Info, "未开始"),
                _ => badge(Tone::Neutral, "已到期"),
            };
            Row::plain(vec![
                html! { @match identity.role(&h.role) {
                    Some(role) => a href={ "/access/roles/" (role.code) } { (role.name) },
                    None => { (h.role) " " (badge(Tone::Warn, "目录中已没有")) },
                } },
                html! { (identity.unit_in_words(h.institution_id, &h.region)) },
                state,
                html! { (page::time(h.since)) " 至 " (h.until.map_or_else(|| "长期".to_owned(), page::time)) },
                html! { (h.granted_by_name) @if !h.reason.is_empty() { small { (h.reason) } } },
                html! {
                    @if let Some(at) = h.withdrawn_at { (page::time(at)) small { (h.withdrawn_by) " " (h.withdraw_reason) } }
                    @if may {
                        details.mk-inline {
                            summary.btn { "撤销" }
                            form method="post" action={ "/access/accounts/" (row.id) "/roles/" (h.id) "/withdraw" } {
                                input.form-control name="reason" required minlength="2" maxlength="200" placeholder="撤销的理由" aria-label="撤销的理由";
                                button.btn type="submit" { "确认撤销" }
                            }
                        }
                    }
                },
            ])
        })
        .collect();
    let columns = [
        Column::text("角色"),
        Column::text("任职单位"),
        Column::text("状态"),
        Column::text("期限"),
        Column::text("授予"),
        Column::text("撤销"),
    ];
    table(here, &columns, &rows)
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct GiveForm {
    #[serde(default)]
    role: String,
    /// Upload code or exact name of an institution; empty: the account's own unit.
    #[serde(default)]
    unit: String,
    /// Code of the division that the post is responsible for; empty: the unit's own.
    #[serde(default)]
    region: String,
    /// Last day; empty: without end.
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn blank(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
) -> Reply<Markup> {
    let row = found(&identity, &allowed, account).await?;
    Ok(frame.page("授予角色", form(&identity, &allowed, &row, &GiveForm::default(), None).await?))
}

async fn form(
    identity: &Identity,
    allowed: &Allowed,
    row: &AccountRow,
    given: &GiveForm,
    problem: Option<&str>,
) -> kernel::Result<Markup> {
    let by = allowed.caller();
    let now = identity.clock.now();
    let held = store::of_account(identity.db.pool(), Id::new(row.id)).await?;
    let holds: Vec<&catalog::Role> =
        held.iter().filter(|h| h.holds(now)).filter_map(|h| identity.role(&h.role)).collect();
    let post = Post {
        institution: row.institution(),
        region: RegionCode::parse(&row.region).unwrap_or(RegionCode::NATION),
    };
    let unit = identity.unit_of(&post);
    let to_oneself = identity.is_oneself(by, row);
    // What could be given at the own unit, and what could not with the reason.
    let (mut may, mut may_not) = (Vec::new(), Vec::new());
    for role in &identity.catalog.roles {
        let gift = Gift { role, post, unit: &unit, to_oneself, held: holds.clone() };
        match rules::may_assign(&by.grants, &gift, |id| identity.region_of(id)) {
            Ok(()) => may.push(role),
            Err(refusal) => may_not.push((role, refusal.message)),
        }
    }
    let base = format!("/access/accounts/{}", row.id);
    let action = format!("{base}/roles");
    let way: [(&str, &str); 2] = [("账号", "/accounts"), (&row.name, &base)];
    Ok(html! {
        (page_head(&way, "授予角色", "授权须重新验证身份，并记入审计日志。自己不能给自己授权。", html! {}))
        @if let Some(problem) = problem { (notice(Tone::Bad, "没有授予", problem)) }
        @if may.is_empty() { (notice(Tone::Warn, "您不能给此人授予任何角色", may_not.first().map_or("", |(_, why)| why.as_str()))) }
        (card(&format!("授予 {}（{}）", row.name, row.login), html! {
            form method="post" action=(action) {
                div.mk-form-grid {
                    (page::control("角色", "role", "只列出您可以在其本单位授予的角色", &html! {
                        select.form-select id="role" name="role" required {
                            option value="" { "请选择" }
                            @for role in &may { option value=(role.code) title=(role.description) selected[role.code == given.role] { (role.name) } }
                        }
                    }))
                    (page::control("任职单位", "unit", &format!("机构代码或全称；不填为本人单位：{}", identity.unit_in_words(row.institution_id, &row.region)), &html! {
                        input.form-control id="unit" name="unit" value=(given.unit) maxlength="100" autocomplete="off";
                    }))
                    (page::control("任职辖区", "region", "区划代码，如 411503；不填为单位所在区划", &html! {
                        input.form-control id="region" name="region" value=(given.region) maxlength="12" inputmode="numeric" autocomplete="off";
                    }))
                    (page::control("有效期至", "until", "不填为长期有效；到期当天结束时自动失效", &html! {
                        input.form-control id="until" name="until" type="date" value=(given.until);
                    }))
                    (page::control("理由", "reason", "会出现在授权记录和审计日志中", &html! {
                        input.form-control id="reason" name="reason" value=(given.reason) required minlength="2" maxlength="200" autocomplete="off";
                    }))
                }
                div.mk-form-acts { button.btn.btn-primary type="submit" { "授予" } a.btn href=(base) { "取消" } }
            }
        }))
        (card("在其本单位不能授予的角色", html! {
            div.mk-scroll { table.mk-table { tbody {
                @for (role, why) in &may_not { tr { td.mk-nowrap { (role.name) } td { (why) } } }
            } } }
        }))
    })
}

/// The end of a day in China, for a date that a form gave.
pub(super) fn end_of_day(text: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || Refusal::invalid("form.date", "日期应形如 2025-03-04。");
    let day: NaiveDate = text.parse().map_err(|_| bad())?;
    let midnight = day.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0)).ok_or_else(bad)?;
    // China's clock is eight hours ahead of UTC, without summer time.
    Ok(Some((midnight - chrono::Duration::hours(8)).and_utc()))
}

fn wanted(identity: &Identity, row: &AccountRow, given: &GiveForm) -> Result<NewRole, Refusal> {
    let own = Post {
        institution: row.institution(),
        region: RegionCode::parse(&row.region).unwrap_or(RegionCode::NATION),
    };
    let unit = given.unit.trim();
    let mut post = if unit.is_empty() {
        own
    } else {
        let all = identity.institutions.all();
        let card =
            identity.institutions.by_code(unit).or_else(|| all.iter().find(|c| c.name == unit).cloned());
        let card = card
            .ok_or_else(|| Refusal::invalid("grants.unit_unknown", "没有这个机构，请填写机构代码或全称。"))?;
        Post { institution: Some(card.id), region: card.region }
    };
    if !given.region.trim().is_empty() {
        post.region = RegionCode::parse(given.region.trim())
            .ok()
            .filter(|region| *region != RegionCode::NATION)
            .ok_or_else(|| Refusal::invalid("grants.region", "区划代码应为 2、4、6、9 或 12 位数字。"))?;
    }
    Ok(NewRole {
        role: given.role.clone(),
        post,
        until: end_of_day(&given.until)?,
        reason: given.reason.clone(),
    })
}

pub(super) async fn give(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(account): Path<i64>,
    frame: Frame,
    Form(given): Form<GiveForm>,
) -> Reply<Response> {
    let row = found(&identity, &allowed, account).await?;
    let done = match wanted(&identity, &row, &given) {
        Ok(new) => identity.give_role(AccountId::new(account), &new, allowed.caller()).await,
        Err(refusal) => Err(refusal.into()),
    };
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/access/accounts/{account}")).into_response()),
        Err(Error::Refused(refusal)) => {
            let body = form(&identity, &allowed, &row, &given, Some(&refusal.message)).await?;
            Ok((web::failure::status(refusal.kind), frame.page("授予角色", body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct WhyForm {
    #[serde(default)]
    pub reason: String,
}

pub(super) async fn withdraw(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path((account, held)): Path<(i64, i64)>,
    Form(given): Form<WhyForm>,
) -> Reply<Redirect> {
    found(&identity, &allowed, account).await?;
    let all = store::of_account(identity.db.pool(), Id::new(account)).await?;
    let held = all
        .iter()
        .find(|h| h.id == held && h.withdrawn_at.is_none())
        .ok_or_else(|| Refusal::not_found("grants.none", "此人没有这个角色，或它已经撤销。"))?;
    identity.withdraw_role(held, &given.reason, allowed.caller()).await?;
    Ok(Redirect::to(&format!("/access/accounts/{account}")))
}
