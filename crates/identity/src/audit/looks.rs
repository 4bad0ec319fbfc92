//! Who looked at a record (谁看过我的档案): per person, grouped by who, why and day; for the auditor, for panels, and
//! through `contracts::RecordLooks` for the resident.

use ::store::{AuditEntry, Db, DbDoing, Tx, audit};
use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use contracts::{RecordLook, RecordLooks};
use futures::future::BoxFuture;
use kernel::{Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use web::route::Allowed;
use web::ui::{Column, Here, List, Paging, Row, card, list as list_of, page_head};
use web::{Frame, Reply};

use super::store::Sight;
use super::{APPROVE, words};
use crate::{Identity, page};

const PAGE: i64 = 50;

/// The port; wired in `app`.
#[derive(Debug, Clone)]
pub struct Looks {
    db: Db,
}

impl Looks {
    /// Over this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl RecordLooks for Looks {
    fn looks<'a>(
        &'a self,
        person_id: i64,
        before: Option<DateTime<Utc>>,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<RecordLook>>> {
        Box::pin(self.db.transaction(async move |tx| read(tx, person_id, before, limit, None).await))
    }
}

#[derive(sqlx::FromRow)]
struct Grouped {
    actor: String,
    role: String,
    institution_name: String,
    kind: String,
    acts: Vec<String>,
    purpose: String,
    note: String,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    times: i64,
    account_id: Option<i64>,
}

/// Looks at a person's record. With a `sight`, those in it, holds or not; without, all but those on hold.
async fn read(
    tx: &mut Tx<'_>,
    person: i64,
    before: Option<DateTime<Utc>>,
    limit: i64,
    sight: Option<&Sight>,
) -> Result<Vec<RecordLook>> {
    let everything = Sight::whole();
    let seen = sight.unwrap_or(&everything);
    // One index scan of the person's entries; a life has thousands of them, not millions.
    let rows: Vec<Grouped> = sqlx::query_as(
        "select min(e.actor) as actor, min(e.role) as role, min(e.institution_name) as institution_name,
            min(e.kind) as kind, array_agg(distinct e.act) as acts, e.purpose,
            coalesce((array_agg(e.note order by length(e.note) desc))[1], '') as note,
            min(e.at) as first_at, max(e.at) as last_at, count(*) as times, e.account_id
         from audit_entry e
         where e.person_id = $1 and e.outcome = 'ok' and e.object_kind = 'person' and e.act not like 'audit.%'
           and e.act <> 'record.purpose'
           and ($2::timestamptz is null or e.at < $2)
           and ($4 or e.institution_id = any ($5) or e.region like any ($6)
                or ($7 and e.institution_id is null and e.account_id is null))
           and ($8 or e.account_id is null or not exists (
                select from audit_hold h where h.person_id = e.person_id and h.account_id = e.account_id
                    and not exists (select from audit_hold_end d where d.hold_id = h.id)))
         group by (e.at at time zone 'Asia/Shanghai')::date, e.account_id, e.kind, e.actor, e.institution_id, e.purpose
         order by max(e.at) desc limit $3",
    )
    .bind(person)
    .bind(before)
    .bind(limit)
    .bind(seen.all)
    .bind(&seen.institutions)
    .bind(&seen.regions)
    .bind(seen.nobody)
    .bind(sight.is_some())
    .persistent(false)
    .fetch_all(&mut **tx)
    .await
    .db("read who looked at a record")?;
    Ok(rows
        .into_iter()
        .map(|g| RecordLook {
            actor: g.actor,
            role: g.role,
            institution_name: g.institution_name,
            kind: g.kind,
            acts: g.acts,
            purpose: g.purpose,
            note: g.note,
            first_at: g.first_at,
            last_at: g.last_at,
            times: g.times,
            account_id: g.account_id,
        })
        .collect())
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct Hold {
    id: i64,
    account_id: i64,
    reason: String,
    by_whom: String,
    at: DateTime<Utc>,
}

async fn holds(tx: &mut Tx<'_>, person: i64) -> Result<Vec<Hold>> {
    sqlx::query_as(
        "select id, account_id, reason, by_whom, at from audit_hold h
         where person_id = $1 and not exists (select from audit_hold_end d where d.hold_id = h.id) order by id",
    )
    .bind(person)
    .fetch_all(&mut **tx)
    .await
    .db("read what is on hold")
}

pub(super) async fn page(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(person): Path<i64>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let before =
        here.get("after").and_then(|text| text.parse().ok()).and_then(DateTime::from_timestamp_micros);
    let (mut looks, holds, name) = identity
        .db
        .personal(&reach, identity.clock.now(), async |tx, _| {
            let looks = read(tx, person, before, PAGE + 1, Some(&sight)).await?;
            if looks.is_empty() && before.is_none() {
                return Err(nobody().into());
            }
            let holds = holds(tx, person).await?;
            let name: Option<String> = sqlx::query_scalar(
                "select object_label from audit_entry
                 where person_id = $1 and object_kind = 'person' and object_label <> '' order by at desc limit 1",
            )
            .bind(person)
            .fetch_optional(&mut ***tx)
            .await
            .db("read a person's name from the trail")?;
            let entry = AuditEntry {
                act: "audit.looks",
                object_kind: "person",
                object_id: Some(person),
                object_label: name.clone().unwrap_or_default(),
                person_id: Some(person),
                rows: i32::try_from(looks.len()).ok(),
                ..AuditEntry::default()
            };
            Ok(((looks, holds, name.unwrap_or_default()), entry))
        })
        .await?;
    let more = looks.len() as i64 > PAGE;
    looks.truncate(PAGE as usize);
    let after = looks.last().filter(|_| more).map(|l| l.last_at.timestamp_micros().to_string());
    let approves = allowed.caller().may(APPROVE);
    Ok(frame.page("谁看过这份档案", view(&here, person, &name, &looks, &holds, after, approves)))
}

fn nobody() -> Refusal {
    Refusal::not_found("audit.no_looks", "没有人调阅过这位居民的档案，或者调阅的人不在您的权限范围内。")
}

fn view(
    here: &Here,
    person: i64,
    name: &str,
    looks: &[RecordLook],
    holds: &[Hold],
    after: Option<String>,
    approves: bool,
) -> Markup {
    let rows = looks
        .iter()
        .map(|l| {
            let held = l.account_id.is_some_and(|a| holds.iter().any(|h| h.account_id == a));
            let acts: Vec<&str> = l.acts.iter().map(|a| words::act(a)).collect();
            Row {
                mark: if held { "mk-row-warn" } else { "" },
                ..Row::plain(vec![
                    html! { span.mk-date { (page::time(l.last_at)) } @if l.times > 1 { " " small { (l.times) " 次" } } },
                    html! { (l.actor) " " small { (l.role) } @if held { " " small { "（调查中，不向居民显示）" } } },
                    html! { (l.institution_name) },
                    html! { (words::purpose(&l.purpose)) @if !l.note.is_empty() { " " small { (l.note) } } },
                    html! { (acts.join("、")) },
                    html! { @if let Some(account) = l.account_id { a href={ "/audit?account=" (account) "&person=" (person) } { "逐条" } } },
                ])
            }
        })
        .collect();
    let mut choices: Vec<(i64, &str)> =
        looks.iter().filter_map(|l| Some((l.account_id?, l.actor.as_str()))).collect();
    choices.sort_unstable();
    choices.dedup_by_key(|c| c.0);
    choices.retain(|(account, _)| !holds.iter().any(|h| h.account_id == *account));
    html! {
        (page_head(&[("审计日志", "/audit")], &format!("谁看过 {} 的档案", if name.is_empty() { "这位居民" } else { name }),
            "同一人同一天为同一目的的调阅合并为一行。查看本页也会记入日志。", html! { a.btn href={ "/audit?person=" (person) } { "逐条记录" } }))
        (list_of(here, &List {
            filters: &[],
            total: None,
            unit: "行",
            columns: &[Column::text("最近一次"), Column::text("谁"), Column::text("单位"), Column::text("为什么"), Column::text("看了什么"), Column::text("")],
            rows,
            paging: Paging::Cursor { before: None, after },
            exports: &[],
            empty: ("没有更早的调阅", ""),
            empty_action: None,
        }))
        @for hold in holds {
            (card("调查中", html! {
                p { (page::time(hold.at)) " " (hold.by_whom) "：" (hold.reason) }
                @if approves {
                    form method="post" action={ "/audit/persons/" (person) "/release" } {
                        input type="hidden" name="hold" value=(hold.id);
                        (page::control("解除原因", &format!("release{}", hold.id), "解除后，居民能看到这些调阅", &html! {
                            input #{ "release" (hold.id) } name="reason" required minlength="4" maxlength="500";
                        }))
                        button.btn type="submit" { "解除" }
                    }
                }
            }))
        }
        @if approves && !choices.is_empty() {
            (card("标记为调查中", html! {
                form method="post" action={ "/audit/persons/" (person) "/hold" } {
                    (page::control("谁的调阅", "account", "调查期间，此人对这份档案的调阅不向居民显示；其他一概显示", &html! {
                        select #account name="account" required { @for (account, name) in &choices { option value=(account) { (name) } } }
                    }))
                    (page::control("原因", "reason", "至少 4 个字", &html! { input #reason name="reason" required minlength="4" maxlength="500"; }))
                    button.btn type="submit" { "标记" }
                }
            }))
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Held {
    account: i64,
    reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Released {
    hold: i64,
    reason: String,
}

fn reason(text: &str) -> Result<&str, Refusal> {
    let text = text.trim();
    if (4..=500).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Refusal::invalid("audit.reason", "请写明原因，4 到 500 个字。"))
    }
}

pub(super) async fn hold(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(person): Path<i64>,
    Form(form): Form<Held>,
) -> Reply<Redirect> {
    let why = reason(&form.reason)?;
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let now = identity.clock.now();
    identity
        .db
        .transaction(async |tx| {
            let looked = read(tx, person, None, 10_000, Some(&sight)).await?;
            if !looked.iter().any(|l| l.account_id == Some(form.account)) {
                return Err(nobody().into());
            }
            sqlx::query("insert into audit_hold (person_id, account_id, reason, by_whom, at) values ($1, $2, $3, $4, $5)")
                .bind(person)
                .bind(form.account)
                .bind(why)
                .bind(&reach.caller().name)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("put looks on hold")?;
            let entry = AuditEntry {
                act: "audit.hold",
                object_kind: "account",
                object_id: Some(form.account),
                person_id: Some(person),
                detail: Some(serde_json::json!({ "reason": why })),
                ..AuditEntry::default()
            };
            audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await
        })
        .await?;
    Ok(Redirect::to(&format!("/audit/persons/{person}")))
}

pub(super) async fn release(
    State(identity): State<Identity>,
    allowed: Allowed,
    Path(person): Path<i64>,
    Form(form): Form<Released>,
) -> Reply<Redirect> {
    let why = reason(&form.reason)?;
    let reach = allowed.reach(Purpose::of("audit"))?;
    let sight = Sight::of(&reach, &*identity.institutions);
    let now = identity.clock.now();
    identity
        .db
        .transaction(async |tx| {
            let held = holds(tx, person).await?.into_iter().find(|h| h.id == form.hold).ok_or_else(nobody)?;
            let looked = read(tx, person, None, 10_000, Some(&sight)).await?;
            if !looked.iter().any(|l| l.account_id == Some(held.account_id)) {
                return Err(nobody().into());
            }
            sqlx::query("insert into audit_hold_end (hold_id, reason, by_whom, at) values ($1, $2, $3, $4)")
                .bind(form.hold)
                .bind(why)
                .bind(&reach.caller().name)
                .bind(now)
                .execute(&mut **tx)
                .await
                .db("release looks")?;
            let entry = AuditEntry {
                act: "audit.release",
                object_kind: "account",
                object_id: Some(held.account_id),
                person_id: Some(person),
                detail: Some(serde_json::json!({ "reason": why })),
                ..AuditEntry::default()
            };
            audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await
        })
        .await?;
    Ok(Redirect::to(&format!("/audit/persons/{person}")))
}
