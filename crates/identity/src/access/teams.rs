//! Teams of staff (团队): family doctor teams and their like, with members as visits and contracts name them.

use ::store::{AuditEntry, DbDoing, audit};
use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use kernel::{Id, Purpose, Reach, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use web::download::{self, Download};
use web::route::Allowed;
use web::ui::{
    Column, Export, Filter, Here, List, Paging, Row, Tone, badge, card, card_with, describe, empty, fact,
    list as ui_list, page_head, table,
};
use web::{Frame, Reply};

use super::words;
use crate::account::MANAGE;
use crate::account::store::{AccountRow, contains, spans};
use crate::row::row;
use crate::{Identity, page};

const WAY: &[(&str, &str)] = &[("权限", "/access"), ("团队", "/access/teams")];
const KINDS: [(&str, &str); 5] = [
    ("family_doctor", "家庭医生团队"),
    ("maternal_child", "妇幼保健团队"),
    ("mental_health", "精神卫生团队"),
    ("public_health", "公共卫生团队"),
    ("other", "其他团队"),
];

fn kind_name(kind: &str) -> &str {
    KINDS.iter().find(|(code, _)| *code == kind).map_or(kind, |(_, name)| name)
}

#[derive(Debug, Clone)]
struct TeamRow {
    id: i64,
    name: String,
    kind: String,
    institution_id: i32,
    region: String,
    state: String,
    created_by: String,
    created_at: DateTime<Utc>,
    members: i64,
}
row!(TeamRow { id, name, kind, institution_id, region, state, created_by, created_at, members });

#[derive(Debug, Clone)]
struct MemberRow {
    institution_id: i32,
    staff_no: String,
    name: String,
    leads: bool,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}
row!(MemberRow { institution_id, staff_no, name, leads, since, until });

async fn teams(identity: &Identity, reach: &Reach, here: &Here, limit: i64) -> Result<Vec<TeamRow>> {
    let (regions, institutions) = spans(reach);
    sqlx::query_as(
        "select t.*, (select count(*) from team_member m where m.team_id = t.id and m.until is null) as members
         from team t where (t.region like any ($1) or t.institution_id = any ($2))
           and ($3 = '' or t.name like $3) and ($4 = '' or t.kind = $4) and ($5 = '' or t.state = $5)
           and ($6::bigint is null or t.id < $6)
         order by t.id desc limit $7",
    )
    .bind(regions)
    .bind(institutions)
    .bind(contains(here.get("q").unwrap_or("")))
    .bind(here.get("kind").unwrap_or(""))
    .bind(here.get("state").unwrap_or(""))
    .bind(here.get("after").and_then(|id| id.parse::<i64>().ok()))
    .bind(limit)
    .fetch_all(identity.db.pool())
    .await
    .db("list teams")
}

async fn found(identity: &Identity, reach: &Reach, id: i64) -> Result<TeamRow> {
    let (regions, institutions) = spans(reach);
    let row: Option<TeamRow> = sqlx::query_as(
        "select t.*, (select count(*) from team_member m where m.team_id = t.id and m.until is null) as members
         from team t where t.id = $3 and (t.region like any ($1) or t.institution_id = any ($2))",
    )
    .bind(regions)
    .bind(institutions)
    .bind(id)
    .fetch_optional(identity.db.pool())
    .await
    .db("read a team")?;
    Ok(row.ok_or_else(|| Refusal::not_found("team.none", "没有这个团队，或它不在您的管理范围内。"))?)
}

/// The open teams that the holder of an account is a member of.
pub(super) async fn of_account(identity: &Identity, row: &AccountRow) -> Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "select t.id, t.name from team_member m join team t on t.id = m.team_id and t.state = 'open'
         where m.institution_id = $1 and m.staff_no = $2 and m.staff_no <> '' and m.until is null order by t.id",
    )
    .bind(row.institution_id)
    .bind(&row.staff_no)
    .fetch_all(identity.db.pool())
    .await
    .db("read the teams of an account")
}

fn unit(identity: &Identity, row: &TeamRow) -> String {
    identity.unit_in_words(Some(row.institution_id), &row.region)
}

pub(super) async fn list(
    State(identity): State<Identity>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let mut rows = teams(&identity, &reach, &here, 51).await?;
    let after = (rows.len() > 50).then(|| rows.get(49).map(|r| r.id.to_string())).flatten();
    rows.truncate(50);
    let cells = rows
        .iter()
        .map(|t| {
            Row::to(
                format!("/access/teams/{}", t.id),
                vec![
                    html! { (t.name) },
                    html! { (kind_name(&t.kind)) },
                    html! { (unit(&identity, t)) },
                    html! { (t.members) },
                    if t.state == "open" {
                        badge(Tone::Good, "在用")
                    } else {
                        badge(Tone::Neutral, "已解散")
                    },
                ],
            )
        })
        .collect();
    let kinds: Vec<(String, String)> =
        KINDS.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let states = [("open".to_owned(), "在用".to_owned()), ("closed".to_owned(), "已解散".to_owned())];
    let body = html! {
        (page_head(&[("权限", "/access")], "团队", "家庭医生团队等：成员可查看与团队签约的居民。", html! {}))
        (words::tabs("/access/teams"))
        (ui_list(&here, &List {
            filters: &[
                Filter::Text { name: "q", label: "名称", hint: "如 明港" },
                Filter::Choice { name: "kind", label: "类型", options: &kinds },
                Filter::Choice { name: "state", label: "状态", options: &states },
            ],
            total: None,
            unit: "个团队",
            columns: &[Column::text("名称"), Column::text("类型"), Column::text("机构"), Column::number("成员"), Column::text("状态")],
            rows: cells,
            paging: Paging::Cursor { before: None, after },
            exports: &[Export { label: "导出 CSV", path: "/access/teams.csv" }],
            empty: ("没有团队", "可在下方为辖区内的机构建立团队，再加入成员。"),
            empty_action: None,
        }))
        @if frame.caller.as_ref().is_some_and(|c| c.may(MANAGE)) {
            (card("建立团队", html! {
                form method="post" action="/access/teams" {
                    div.mk-form-grid {
                        (page::control("名称", "name", "同一机构内不重名", &html! { input.form-control id="name" name="name" required minlength="2" maxlength="50" autocomplete="off"; }))
                        (page::control("类型", "kind", "", &html! { select.form-select id="kind" name="kind" { @for (code, name) in KINDS { option value=(code) { (name) } } } }))
                        (page::control("机构", "unit", "机构代码或全称", &html! { input.form-control id="unit" name="unit" required maxlength="100" autocomplete="off"; }))
                    }
                    div.mk-form-acts { button.btn.btn-primary type="submit" { "建立" } }
                }
            }))
        }
    };
    Ok(frame.page("团队", body))
}

pub(super) async fn export(
    State(identity): State<Identity>,
    allowed: Allowed,
    here: Here,
) -> Reply<Download> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let rows = teams(&identity, &reach, &here, 50_000).await?;
    let heads = ["名称", "类型", "机构", "成员", "状态", "建立人", "建立时间"];
    Ok(download::csv(
        "teams.csv",
        &heads,
        rows.into_iter().map(|t| {
            vec![
                t.name.clone(),
                kind_name(&t.kind).to_owned(),
                unit(&identity, &t),
                t.members.to_string(),
                if t.state == "open" { "在用" } else { "已解散" }.to_owned(),
                t.created_by.clone(),
                page::time(t.created_at),
            ]
        }),
    ))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TeamForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    unit: String,
}

pub(super) async fn create(
    State(identity): State<Identity>,
    allowed: Allowed,
    Form(given): Form<TeamForm>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let name = given.name.trim();
    if !(2..=50).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("team.name", "团队名称须为 2 至 50 个字。").into());
    }
    if !KINDS.iter().any(|(code, _)| *code == given.kind) {
        return Err(Refusal::invalid("team.kind", "请选择团队类型。").into());
    }
    let unit = given.unit.trim();
    let all = identity.institutions.all();
    let card = identity.institutions.by_code(unit).or_else(|| all.iter().find(|c| c.name == unit).cloned());
    let card = card
        .filter(|card| reach.covers(card.id, &card.region))
        .ok_or_else(|| Refusal::invalid("team.unit", "没有这个机构，或它不在您的管理范围内。"))?;
    let (by, now) = (reach.caller(), identity.clock.now());
    let id = identity
        .db
        .transaction(async |tx| {
            let id: Option<i64> = sqlx::query_scalar(
                "insert into team (name, kind, institution_id, region, created_by, created_at)
                 values ($1, $2, $3, $4, $5, $6) on conflict (institution_id, name) do nothing returning id",
            )
            .bind(name)
            .bind(&given.kind)
            .bind(i32::try_from(card.id.get()).unwrap_or(0))
            .bind(card.region.as_str())
            .bind(&by.name)
            .bind(now)
            .fetch_optional(&mut **tx)
            .await
            .db("make a team")?;
            let Some(id) = id else {
                return Err(Refusal::conflict("team.taken", "这个机构已有同名的团队。").into());
            };
            audit::record(tx, by, reach.purpose(), now, &entry("team.create", id, name, None)).await?;
            Ok(id)
        })
        .await?;
    Ok(Redirect::to(&format!("/access/teams/{id}")))
}

fn entry(act: &'static str, id: i64, name: &str, detail: Option<serde_json::Value>) -> AuditEntry {
    AuditEntry {
        act,
        object_kind: "team",
        object_id: Some(id),
        object_label: name.to_owned(),
        detail,
        ..AuditEntry::default()
    }
}

pub(super) async fn show(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let team = found(&identity, &reach, id).await?;
    let members: Vec<MemberRow> = sqlx::query_as(
        "select institution_id, staff_no, name, leads, since, until from team_member where team_id = $1
         order by until desc nulls first, leads desc, since limit 500",
    )
    .bind(id)
    .fetch_all(identity.db.pool())
    .await
    .db("read the members of a team")?;
    let manage = team.state == "open" && frame.caller.as_ref().is_some_and(|c| c.may(MANAGE));
    let base = format!("/access/teams/{id}");
    let rows: Vec<Row> = members
        .iter()
        .map(|m| {
            Row::plain(vec![
                html! { (m.name) @if m.leads { " " (badge(Tone::Info, "负责人")) } },
                html! { (m.staff_no) },
                html! { (identity.unit_in_words(Some(m.institution_id), &team.region)) },
                html! { (page::time(m.since)) " 至 " (m.until.map_or_else(|| "今".to_owned(), page::time)) },
                html! { @if manage && m.until.is_none() {
                    form method="post" action={ (base) "/members/leave" } {
                        input type="hidden" name="institution" value=(m.institution_id);
                        input type="hidden" name="staff_no" value=(m.staff_no);
                        button.btn type="submit" { "移出" }
                    }
                } },
            ])
        })
        .collect();
    let columns = [
        Column::text("姓名"),
        Column::text("工号"),
        Column::text("机构"),
        Column::text("时间"),
        Column::text(""),
    ];
    let body = html! {
        (page_head(WAY, &team.name, kind_name(&team.kind), html! {
            @if manage { (page::act_button(&format!("{base}/close"), "解散团队", "")) }
        }))
        (card("团队", describe(&[
            fact("机构", &unit(&identity, &team)),
            fact("状态", if team.state == "open" { "在用" } else { "已解散：成员不再能查看团队的居民" }),
            fact("建立", &format!("{} {}", team.created_by, page::time(team.created_at))),
        ])))
        (card_with("成员", html! { span.mk-muted { (team.members) " 人" } }, html! {
            @if rows.is_empty() { (empty("还没有成员", "加入成员后，成员即可查看与团队签约的居民。", None)) }
            @else { (table(&here, &columns, &rows)) }
        }))
        @if manage {
            (card("加入成员", html! {
                form method="post" action={ (base) "/members" } {
                    div.mk-form-grid {
                        (page::control("工号", "staff_no", "成员在其机构的工号，与就诊记录中的医师工号一致", &html! { input.form-control id="staff_no" name="staff_no" required maxlength="50" autocomplete="off"; }))
                        (page::control("姓名", "name", "", &html! { input.form-control id="name" name="name" required minlength="2" maxlength="50" autocomplete="off"; }))
                        (page::control("机构", "unit", "机构代码或全称；不填为团队所在机构", &html! { input.form-control id="unit" name="unit" maxlength="100" autocomplete="off"; }))
                        (page::control("负责人", "leads", "", &html! { select.form-select id="leads" name="leads" { option value="" { "否" } option value="yes" { "是" } } }))
                    }
                    div.mk-form-acts { button.btn.btn-primary type="submit" { "加入" } }
                }
            }))
        }
    };
    Ok(frame.page(&team.name, body))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct MemberForm {
    #[serde(default)]
    staff_no: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    leads: String,
    #[serde(default)]
    institution: String,
}

pub(super) async fn join(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(given): Form<MemberForm>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let team = found(&identity, &reach, id).await?;
    let (staff_no, name, unit) = (given.staff_no.trim(), given.name.trim(), given.unit.trim());
    if staff_no.is_empty() || !(2..=50).contains(&name.chars().count()) {
        return Err(Refusal::invalid("team.member", "请填写成员的工号和姓名（2 至 50 个字）。").into());
    }
    let institution = if unit.is_empty() {
        team.institution_id
    } else {
        let all = identity.institutions.all();
        let card =
            identity.institutions.by_code(unit).or_else(|| all.iter().find(|c| c.name == unit).cloned());
        // Whoever joins may see the team's people: the manager must be answerable for the member's unit too.
        let card = card.filter(|card| reach.covers(card.id, &card.region));
        let card =
            card.ok_or_else(|| Refusal::invalid("team.unit", "没有这个机构，或它不在您的管理范围内。"))?;
        i32::try_from(card.id.get()).unwrap_or(0)
    };
    if reach.caller().as_staff() == Some((i64::from(institution), staff_no.to_owned())) {
        return Err(Refusal::forbidden("grants.self", "不能把自己加入团队，请由其他管理员操作。").into());
    }
    let (by, now) = (reach.caller(), identity.clock.now());
    identity
        .db
        .transaction(async |tx| {
            let present: bool = sqlx::query_scalar(
                "select exists (select from team_member where team_id = $1 and institution_id = $2 and staff_no = $3
                    and until is null)",
            )
            .bind(id)
            .bind(institution)
            .bind(staff_no)
            .fetch_one(&mut **tx)
            .await
            .db("look for a member of a team")?;
            if present {
                return Err(Refusal::conflict("team.member_present", "此人已在团队中。").into());
            }
            sqlx::query(
                "insert into team_member (team_id, institution_id, staff_no, name, leads, since)
                 values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id)
            .bind(institution)
            .bind(staff_no)
            .bind(name)
            .bind(given.leads == "yes")
            .bind(now)
            .execute(&mut **tx)
            .await
            .db("add a member to a team")?;
            let detail = serde_json::json!({ "staff_no": staff_no, "name": name, "institution": institution });
            audit::record(tx, by, reach.purpose(), now, &entry("team.join", id, &team.name, Some(detail))).await
        })
        .await?;
    Ok(Redirect::to(&format!("/access/teams/{id}")))
}

pub(super) async fn leave(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
    Form(given): Form<MemberForm>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let team = found(&identity, &reach, id).await?;
    let institution: i32 =
        given.institution.parse().map_err(|_| Refusal::invalid("team.member", "没有这位成员。"))?;
    let (by, now) = (reach.caller(), identity.clock.now());
    let accounts: Vec<i64> = identity
        .db
        .transaction(async |tx| {
            sqlx::query(
                "update team_member set until = $4
                 where team_id = $1 and institution_id = $2 and staff_no = $3 and until is null",
            )
            .bind(id)
            .bind(institution)
            .bind(&given.staff_no)
            .bind(now)
            .execute(&mut **tx)
            .await
            .db("take a member out of a team")?;
            let detail = serde_json::json!({ "staff_no": given.staff_no, "institution": institution });
            audit::record(tx, by, reach.purpose(), now, &entry("team.leave", id, &team.name, Some(detail)))
                .await?;
            sqlx::query_scalar("select id from account where institution_id = $1 and staff_no = $2")
                .bind(institution)
                .bind(&given.staff_no)
                .fetch_all(&mut **tx)
                .await
                .db("find the accounts of a member")
        })
        .await?;
    for account in accounts {
        identity.gatekeeper.forget_account(Id::new(account));
    }
    Ok(Redirect::to(&format!("/access/teams/{id}")))
}

pub(super) async fn close(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(id): Path<i64>,
) -> Reply<Redirect> {
    let reach = allowed.reach(Purpose::of("administration"))?;
    let team = found(&identity, &reach, id).await?;
    let (by, now) = (reach.caller(), identity.clock.now());
    identity
        .db
        .transaction(async |tx| {
            sqlx::query("update team set state = 'closed' where id = $1")
                .bind(id)
                .execute(&mut **tx)
                .await
                .db("close a team")?;
            audit::record(tx, by, reach.purpose(), now, &entry("team.close", id, &team.name, None)).await
        })
        .await?;
    Ok(Redirect::to("/access/teams"))
}
