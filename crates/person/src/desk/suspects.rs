//! `/index/suspects`: people that look wrong, found by the nightly look; explained here, or taken apart on their page.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use store::{AuditEntry, DbDoing, Gated};
use web::route::Allowed;
use web::ui::{Column, Export, Filter as Choose, Here, List, Paging, Row, Tone, badge, list, page_head};
use web::{Frame, Reply};

use super::read::Within;
use super::show::Eyes;
use super::{Desk, EXPORT, WRITE, words};
use crate::runs::places::TWO_PLACES;

/// Rows on a page.
const PAGE: i64 = 30;
/// Rows of an export.
const EXPORTED: i64 = 20_000;

#[derive(Debug, Clone, sqlx::FromRow)]
struct Suspect {
    id: i64,
    person_id: i64,
    kind: String,
    detail: Value,
    state: String,
    note: String,
    decided_name: String,
    decided_at: Option<DateTime<Utc>>,
    found_at: DateTime<Utc>,
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
}

const LIST: &str = "
    select s.id, s.person_id, s.kind, s.detail, s.state, s.note, s.decided_name, s.decided_at, s.found_at, p.name, p.sex,
           p.birth_date
    from index_suspect s join person p on p.id = s.person_id
    where s.state = $3 and ($4 = '' or s.kind = $4) and ($5 = '' or starts_with(p.name, $5))
      and ($6::bigint is null or s.id < $6)
      and (p.region like any($2) or exists (
          select from identity_record i where i.person_id = p.id
            and (i.institution_id = any($1) or i.region like any($2))))
    order by s.id desc limit $7";

async fn read(tx: &mut Gated<'_>, within: &Within, here: &Here, limit: i64) -> Result<Vec<Suspect>> {
    let state = match here.get("state") {
        Some(state @ ("explained" | "gone")) => state.to_owned(),
        _ => "open".to_owned(),
    };
    let text = |key: &str| here.get(key).unwrap_or("").trim().to_owned();
    sqlx::query_as(LIST)
        .bind(&within.institutions)
        .bind(&within.regions)
        .bind(&state)
        .bind(text("kind"))
        .bind(text("name"))
        .bind(here.get("after").and_then(|a| a.parse::<i64>().ok()))
        .bind(limit)
        .fetch_all(&mut ***tx)
        .await
        .db("list suspicious people")
}

async fn found(
    desk: &Desk,
    allowed: &Allowed,
    here: &Here,
    act: &'static str,
    limit: i64,
) -> Result<Vec<Suspect>> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let found = read(tx, &within, here, limit).await?;
            let entry = AuditEntry {
                act,
                object_kind: "index_suspect",
                rows: i32::try_from(found.len()).ok(),
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await
}

/// What the nightly look noted, in a few words.
fn evidence(desk: &Desk, suspect: &Suspect) -> String {
    if suspect.kind == TWO_PLACES { overlaps(desk, &suspect.detail) } else { detail(&suspect.detail) }
}

/// Stays that share nights: `甲医院 2025-05-01 至 2025-05-08，乙医院 …`.
fn overlaps(desk: &Desk, value: &Value) -> String {
    let stay = |s: &Value| {
        let at =
            desk.institution(s["institution"].as_i64().and_then(|id| i32::try_from(id).ok()).unwrap_or(0));
        let from = s["from"].as_str().unwrap_or_default();
        match s["until"].as_str() {
            Some(until) => format!("{at} {from} 至 {until}"),
            None => format!("{at} {from} 起（未报出院）"),
        }
    };
    let pairs = value["overlaps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut said: Vec<String> =
        pairs.iter().map(|pair| format!("{}，{}", stay(&pair[0]), stay(&pair[1]))).collect();
    let more = value["count"].as_u64().unwrap_or(0).saturating_sub(pairs.len() as u64);
    if more > 0 {
        said.push(format!("另有 {more} 处"));
    }
    said.join("；")
}

fn detail(value: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all
            .iter()
            .take(4)
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join("、"),
        other => other.to_string(),
    };
    match value {
        Value::Object(fields) => fields.values().map(word).collect::<Vec<_>>().join("；"),
        Value::Null => String::new(),
        other => word(other),
    }
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let mut all = found(&desk, &allowed, &here, "person.suspect_list", PAGE + 1).await?;
    let more = all.len() as i64 > PAGE;
    all.truncate(PAGE as usize);
    let after = all.last().filter(|_| more).map(|s| s.id.to_string());
    let caller = allowed.caller();
    let eyes = Eyes { masks: &desk.masks, caller, open: false };
    let rows = all
        .iter()
        .map(|s| {
            let (kind, meaning) = words::suspicion(&s.kind);
            Row::to(
                format!("/index/persons/{}", s.person_id),
                vec![
                    html! { (eyes.shown("name", &s.name)) " " small { (words::sex(&s.sex)) " " (s.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default()) } },
                    html! { (badge(Tone::Warn, kind)) small.mk-muted { (meaning) } },
                    html! { (evidence(&desk, s)) },
                    html! { span.mk-date { (words::time(s.found_at)) } },
                    html! {
                        @match (s.state.as_str(), s.decided_at) {
                            ("explained", at) => { (badge(Tone::Good, "已说明")) " " (s.note) small.mk-muted { (s.decided_name) " " (at.map(words::time).unwrap_or_default()) } },
                            ("gone", _) => (badge(Tone::Neutral, "已消除")),
                            _ if caller.may(WRITE) => details.mk-undo { summary.mk-link { "情况属实，说明原因" }
                                form method="post" action={ "/index/suspects/" (s.id) "/explain" } {
                                    input.form-control name="note" required minlength="2" maxlength="200" placeholder="原因，例如：同日多胎、户籍重报已核实" aria-label="原因" autocomplete="off";
                                    button.btn.btn-sm type="submit" { "提交" }
                                } },
                            _ => {},
                        }
                    },
                ],
            )
        })
        .collect();
    let kinds: Vec<(String, String)> =
        words::SUSPICIONS.iter().map(|k| (k.0.to_owned(), k.1.to_owned())).collect();
    let states = [("open", "待处理"), ("explained", "已说明"), ("gone", "已消除")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
    let exports: &[Export<'_>] =
        if caller.may(EXPORT) { &[Export { label: "导出 CSV", path: "/index/suspects.csv" }] } else { &[] };
    let view = List {
        filters: &[
            Choose::Pick { name: "state", label: "状态", options: &states },
            Choose::Choice { name: "kind", label: "疑点", options: &kinds },
            Choose::Text { name: "name", label: "姓名", hint: "开头几个字" },
        ],
        total: None,
        unit: "人",
        columns: &[
            Column::text("居民"),
            Column::text("疑点"),
            Column::text("依据"),
            Column::text("发现"),
            Column::text("处理"),
        ],
        rows,
        paging: Paging::Cursor { before: None, after },
        exports,
        empty: (
            "没有可疑的人员",
            "每天夜间检查全部人员：死亡、性别、出生日期、住院有矛盾的，或名下登记过多的，会列在这里。",
        ),
        empty_action: None,
    };
    Ok(frame.page("可疑人员", html! {
        (page_head(&[], "可疑人员", "名下登记互相矛盾、可能把两个人并成一人的。打开身份页核对，该拆的拆分，属实的说明原因。", html! {}))
        (list(&here, &view))
    }))
}

pub(super) async fn csv(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
) -> Reply<web::download::Download> {
    let all = found(&desk, &allowed, &here, "person.suspect_export", EXPORTED).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let heads = ["姓名", "性别", "出生日期", "疑点", "依据", "发现时间", "状态", "说明", "处理人"];
    let rows = all.iter().map(|s| {
        vec![
            eyes.shown("name", &s.name),
            words::sex(&s.sex).to_owned(),
            s.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default(),
            words::suspicion(&s.kind).0.to_owned(),
            evidence(&desk, s),
            words::time(s.found_at),
            match s.state.as_str() {
                "explained" => "已说明",
                "gone" => "已消除",
                _ => "待处理",
            }
            .to_owned(),
            s.note.clone(),
            s.decided_name.clone(),
        ]
    });
    Ok(web::download::csv("suspects.csv", &heads, rows.collect::<Vec<_>>()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Explained {
    note: String,
}

fn unknown() -> Refusal {
    Refusal::not_found("index.suspect_unknown", "没有找到这一项，或已由别人处理。请刷新列表。")
}

/// Notes why it is so; the person, when it is within reach and nobody was faster.
async fn mark(
    tx: &mut Gated<'_>,
    within: &Within,
    id: i64,
    note: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<i64>> {
    sqlx::query_scalar(
        "update index_suspect s set state = 'explained', note = $4, decided_name = $5, decided_at = $6
         from person p
         where s.id = $1 and s.state = 'open' and p.id = s.person_id and (p.region like any($3) or exists (
             select from identity_record i where i.person_id = p.id
               and (i.institution_id = any($2) or i.region like any($3))))
         returning s.person_id",
    )
    .bind(id)
    .bind(&within.institutions)
    .bind(&within.regions)
    .bind(note)
    .bind(by)
    .bind(now)
    .fetch_optional(&mut ***tx)
    .await
    .db("explain a suspicious person")
}

/// `POST /index/suspects/{suspect}/explain`: it is so, and why.
pub(super) async fn explain(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(id): Path<String>,
    Form(form): Form<Explained>,
) -> Reply<Redirect> {
    let id: i64 = id.parse().map_err(|_| unknown())?;
    let note = crate::operations::reason(&form.note)?.to_owned();
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let person =
                mark(tx, &within, id, &note, &reach.caller().name, now).await?.ok_or_else(unknown)?;
            let entry = AuditEntry {
                act: "person.explain",
                object_kind: "index_suspect",
                object_id: Some(id),
                object_label: note.clone(),
                person_id: Some(person),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to("/index/suspects"))
}
