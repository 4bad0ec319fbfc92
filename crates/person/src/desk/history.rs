//! `/index/operations`: what people did to the index, newest first; each can be taken back.

use axum::extract::State;
use chrono::{DateTime, Utc};
use kernel::Result;
use maud::{Markup, html};
use store::{AuditEntry, DbDoing, Gated};
use web::route::Allowed;
use web::ui::{Column, Export, Filter as Choose, Here, List, Paging, Row, Tone, badge, list, page_head};
use web::{Frame, Reply};

use super::read::Within;
use super::show::Eyes;
use super::{Desk, EXPORT, WRITE, words};
use crate::operations::kind_name;

/// Rows on a page.
const PAGE: i64 = 30;
/// Rows of an export.
const EXPORTED: i64 = 20_000;
/// Kinds of the filter.
const KINDS: [&str; 9] = ["merge", "split", "link", "unlink", "apart", "disown", "pin", "run", "undo"];

/// An operation in the list.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Operation {
    id: i64,
    kind: String,
    actor: String,
    reason: String,
    at: DateTime<Utc>,
    undone: bool,
    records: i32,
    name: String,
    person: Option<i64>,
    task_id: Option<i64>,
}

// The first of its records that is within reach stands for it.
const LIST: &str = "
    select o.id, o.kind, o.actor, o.reason, o.at, o.undone_by is not null as undone, cardinality(o.identities) as records,
           i.name, i.person_id as person, o.task_id
    from person_operation o cross join lateral (
        select r.name, r.person_id from identity_record r
        where r.id = any(o.identities) and (r.institution_id = any($1) or r.region like any($2)) order by r.id limit 1) i
    where ($3 = '' or o.kind = $3) and ($4 = '' or strpos(o.actor, $4) > 0)
      and ($5::timestamptz is null or o.at >= $5) and ($6::timestamptz is null or o.at < $6)
      and ($7::bigint is null or o.id < $7)
    order by o.id desc limit $8";

async fn read(tx: &mut Gated<'_>, within: &Within, here: &Here, limit: i64) -> Result<Vec<Operation>> {
    let (from, until) = super::queue::days(here, "day");
    let text = |key: &str| here.get(key).unwrap_or("").trim().to_owned();
    sqlx::query_as(LIST)
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(text("kind"))
        .bind(text("actor"))
        .bind(from)
        .bind(until)
        .bind(here.get("after").and_then(|a| a.parse::<i64>().ok()))
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("list operations")
}

async fn found(
    desk: &Desk,
    allowed: &Allowed,
    here: &Here,
    act: &'static str,
    limit: i64,
) -> Result<Vec<Operation>> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let found = read(tx, &within, here, limit).await?;
            let entry = AuditEntry {
                act,
                object_kind: "person_operation",
                rows: i32::try_from(found.len()).ok(),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await
}

/// The form that takes an operation back.
pub(super) fn undo_form(operation: i64, back: &str) -> Markup {
    html! {
        details.mk-undo {
            summary.mk-link { "撤销" }
            form method="post" action={ "/index/operations/" (operation) "/undo" } {
                input type="hidden" name="back" value=(back);
                input.form-control name="reason" required minlength="2" maxlength="200" placeholder="撤销的理由" aria-label="撤销的理由" autocomplete="off";
                button.btn.btn-sm type="submit" { "确定撤销" }
            }
        }
    }
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let mut all = found(&desk, &allowed, &here, "person.operation_list", PAGE + 1).await?;
    let more = all.len() as i64 > PAGE;
    all.truncate(PAGE as usize);
    let after = all.last().filter(|_| more).map(|o| o.id.to_string());
    let caller = allowed.caller();
    let eyes = Eyes { masks: &desk.masks, caller, open: false };
    let kinds: Vec<(String, String)> =
        KINDS.iter().map(|k| ((*k).to_owned(), kind_name(k).to_owned())).collect();
    let rows = all
        .iter()
        .map(|o| {
            Row::plain(vec![
                html! { span.mk-date { (words::time(o.at)) } },
                html! { (kind_name(&o.kind)) @if let Some(task) = o.task_id { " " a href={ "/index/review/" (task) } { small { "核对项" } } } },
                html! { @if let Some(person) = o.person { a href={ "/index/persons/" (person) } { (eyes.shown("name", &o.name)) @if o.name.is_empty() { "（未登记姓名）" } } } },
                html! { (o.records) },
                html! { (o.actor) },
                html! { (o.reason) },
                html! {
                    @if o.undone { (badge(Tone::Neutral, "已撤销")) }
                    @else if caller.may(WRITE) && o.kind != "undo" && o.kind != "run" { (undo_form(o.id, "operations")) }
                },
            ])
        })
        .collect();
    let exports: &[Export<'_>] = if caller.may(EXPORT) {
        &[Export { label: "导出 CSV", path: "/index/operations.csv" }]
    } else {
        &[]
    };
    let view = List {
        filters: &[
            Choose::Choice { name: "kind", label: "处理", options: &kinds },
            Choose::Text { name: "actor", label: "处理人", hint: "姓名" },
            Choose::Days { name: "day", label: "日期" },
        ],
        total: None,
        unit: "次处理",
        columns: &[
            Column::text("时间"),
            Column::text("处理"),
            Column::text("居民"),
            Column::number("登记数"),
            Column::text("处理人"),
            Column::text("理由"),
            Column::text("撤销"),
        ],
        rows,
        paging: Paging::Cursor { before: None, after },
        exports,
        empty: ("没有处理记录", "合并、拆分、确认不是同一人等处理之后，会记在这里，随时可以撤销。"),
        empty_action: None,
    };
    Ok(frame.page("处理记录", html! {
        (page_head(&[], "处理记录", "对居民主索引的每一次人工处理，都有理由，都可以撤销；撤销后恢复原状。", html! {}))
        (list(&here, &view))
    }))
}

pub(super) async fn csv(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
) -> Reply<web::download::Download> {
    let all = found(&desk, &allowed, &here, "person.operation_export", EXPORTED).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let heads = ["编号", "时间", "处理", "居民", "登记数", "处理人", "理由", "已撤销"];
    let rows = all.iter().map(|o| {
        vec![
            o.id.to_string(),
            words::time(o.at),
            kind_name(&o.kind).to_owned(),
            eyes.shown("name", &o.name),
            o.records.to_string(),
            o.actor.clone(),
            o.reason.clone(),
            if o.undone { "是" } else { "" }.to_owned(),
        ]
    });
    Ok(web::download::csv("operations.csv", &heads, rows.collect::<Vec<_>>()))
}
