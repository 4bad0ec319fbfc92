//! `/index/review`: the queue of pairs to look at, the most urgent first.

use axum::extract::State;
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use kernel::access::InstitutionId;
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Result, Tier};
use maud::{Markup, html};
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{Column, Export, Filter as Choose, Here, List, Paging, Row, badge, icon, list, page_head};
use web::{Frame, Reply};

use super::read::{self, Filter, Side, Task, Within};
use super::show::Eyes;
use super::{Desk, EXPORT, WRITE, bits, words};

/// Rows on a page.
const PAGE: u64 = 30;
/// Rows of an export.
const EXPORTED: i64 = 20_000;

/// The start of a day in China.
pub(super) fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() - Duration::seconds(i64::from(CHINA_OFFSET_SECONDS))
}

/// The first and last moment of the filter's days.
pub(super) fn days(here: &Here, name: &str) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let day = |end: &str| here.get(&format!("{name}_{end}")).and_then(|d| d.parse::<NaiveDate>().ok());
    (day("from").map(start_of), day("to").map(|d| start_of(d) + Duration::days(1)))
}

/// The number of the page asked for.
pub(super) fn page_of(here: &Here) -> u64 {
    here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1).clamp(1, 1000)
}

/// Counties within reach, for a filter.
pub(super) fn counties(desk: &Desk, within: &Within) -> Vec<(String, String)> {
    let all = desk.institutions.all();
    let mut codes: Vec<_> = all
        .iter()
        .filter(|card| within.institutions.contains(&(card.id.get() as i32)))
        .filter(|card| card.region.tier() >= Some(Tier::County))
        .map(|card| card.region.at(Tier::County))
        .collect();
    codes.sort();
    codes.dedup();
    codes.iter().map(|c| (c.as_str()[..6].to_owned(), desk.institutions.region_name(c))).collect()
}

fn filter(desk: &Desk, here: &Here) -> Filter {
    let text = |key: &str| here.get(key).unwrap_or("").trim().to_owned();
    let (from, until) = days(here, "day");
    let county = text("county");
    let there =
        |card: &&std::sync::Arc<contracts::InstitutionCard>| card.region.as_str().starts_with(&county);
    let of_county = match county.as_str() {
        "" => Vec::new(),
        _ => desk.institutions.all().iter().filter(there).map(|card| card.id.get() as i32).collect(),
    };
    Filter {
        of_county,
        state: text("state"),
        kind: text("kind"),
        priority: here.get("priority").and_then(|p| p.parse().ok()).unwrap_or(0),
        county,
        name: text("name").chars().take(30).collect(),
        from,
        until,
    }
}

async fn found(
    desk: &Desk,
    allowed: &Allowed,
    filter: &Filter,
    act: &'static str,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Task>, u64, Within)> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let tasks = read::tasks(tx, &within, filter, limit, offset).await?;
            let total = read::count(tx, &within, filter).await?;
            let entry = AuditEntry {
                act,
                object_kind: "review_task",
                object_label: filter.name.clone(),
                rows: i32::try_from(tasks.len()).ok(),
                detail: Some(serde_json::json!({ "state": filter.state, "kind": filter.kind, "county": filter.county })),
                ..AuditEntry::default()
            };
            Ok(((tasks, total, within), entry))
        })
        .await
}

/// The counties of both sides, by the institutions that registered; where the task is looked at if they say nothing.
fn places(desk: &Desk, task: &Task) -> String {
    let mut codes: Vec<_> = [&task.a, &task.b]
        .iter()
        .filter_map(|side| desk.institutions.by_id(InstitutionId::new(i64::from(side.institution))))
        .filter(|card| card.region.tier() >= Some(Tier::County))
        .map(|card| card.region.at(Tier::County))
        .collect();
    codes.dedup();
    if codes.is_empty() {
        return desk.county(&task.county);
    }
    codes.iter().map(|code| desk.institutions.region_name(code)).collect::<Vec<_>>().join("、")
}

fn side(desk: &Desk, eyes: &Eyes<'_>, side: &Side) -> Markup {
    let birth = side.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default();
    html! {
        (eyes.shown("name", &side.name)) @if side.name.is_empty() { span.mk-muted { "（未登记姓名）" } }
        small { (words::sex(&side.sex)) " " (birth) }
        small.mk-muted { (desk.institution(side.institution)) }
    }
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (filter, page) = (filter(&desk, &here), page_of(&here));
    let offset = ((page - 1) * PAGE) as i64;
    let (tasks, total, within) =
        found(&desk, &allowed, &filter, "person.review_list", PAGE as i64, offset).await?;
    let now = desk.clock.now();
    let caller = allowed.caller();
    let eyes = Eyes { masks: &desk.masks, caller, open: false };
    let done = filter.state == "done";
    let rows = tasks
        .iter()
        .map(|t| {
            let ((tone, state), (urgent, priority)) = (words::state(&t.state, &t.outcome), words::priority(t.priority));
            let last = if done {
                html! { (t.decided_name) small.mk-muted { (t.decided_at.map(words::time).unwrap_or_default()) } }
            } else {
                html! { span title=(words::time(t.opened_at)) { (words::since(t.opened_at, now)) } @if !t.first_name.is_empty() { small.mk-muted { (t.first_name) " 初核" } } @else if !t.assignee_name.is_empty() { small.mk-muted { (t.assignee_name) " 看过" } } }
            };
            Row::to(
                format!("/index/review/{}", t.id),
                vec![
                    side(&desk, &eyes, &t.a),
                    side(&desk, &eyes, &t.b),
                    html! { (words::kind(&t.kind)) },
                    html! { (bits::bar(f64::from(t.weight))) " " small { (bits::percent(t.probability)) } },
                    badge(urgent, priority),
                    html! { (places(&desk, t)) },
                    last,
                    badge(tone, state),
                ],
            )
        })
        .collect();
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect()
    };
    let kinds: Vec<(String, String)> =
        words::KINDS.iter().map(|k| (k.0.to_owned(), k.1.to_owned())).collect();
    let priorities: Vec<(String, String)> =
        words::PRIORITIES.iter().map(|p| (p.0.to_string(), p.1.to_owned())).collect();
    let (states, counties) = (pairs(&words::STATES), counties(&desk, &within));
    let exports: &[Export<'_>] =
        if caller.may(EXPORT) { &[Export { label: "导出 CSV", path: "/index/review.csv" }] } else { &[] };
    let view = List {
        filters: &[
            Choose::Choice { name: "state", label: "状态", options: &states },
            Choose::Choice { name: "kind", label: "种类", options: &kinds },
            Choose::Choice { name: "priority", label: "优先级", options: &priorities },
            Choose::Choice { name: "county", label: "县区", options: &counties },
            Choose::Text { name: "name", label: "姓名", hint: "开头几个字" },
            Choose::Days { name: "day", label: "提出日期" },
        ],
        total: Some(total),
        unit: if total >= read::COUNTED as u64 { "项以上" } else { "项" },
        columns: &[
            Column::text("甲"),
            Column::text("乙"),
            Column::text("种类"),
            Column::text("证据"),
            Column::text("优先级"),
            Column::text("县区"),
            Column::text(if done { "处理" } else { "已等" }),
            Column::text("状态"),
        ],
        rows,
        paging: Paging::Numbered { page, per_page: PAGE, total },
        exports,
        empty: (
            "没有待核对的登记",
            "您的辖区内，没有符合条件的待核对登记。新的登记到达或批量重新关联后，拿不准的会出现在这里。",
        ),
        empty_action: None,
    };
    Ok(frame.page("待核对登记", html! {
        (page_head(&[], "待核对登记", "两处登记可能是同一人而系统不能断定的，由人核对。结论长期有效，不会再问。", html! {
            a.btn href="/index/figures" { (icon("chart-bar")) "积压与工效" }
            @if caller.may(WRITE) && total > 0 && !done { a.btn.btn-primary href="/index/review/next" data-key="j" title="快捷键 J" { "开始核对" } }
        }))
        @match here.get("was") {
            Some("empty") => (web::ui::notice(web::ui::Tone::Good, "没有更多需要您核对的了", "正由别人核对的、须他人复核的不在其列。")),
            _ => {},
        }
        (list(&here, &view))
    }))
}

pub(super) async fn csv(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
) -> Reply<web::download::Download> {
    let (tasks, ..) =
        found(&desk, &allowed, &filter(&desk, &here), "person.review_export", EXPORTED, 0).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let heads = [
        "编号",
        "甲姓名",
        "甲性别",
        "甲出生日期",
        "甲机构",
        "乙姓名",
        "乙性别",
        "乙出生日期",
        "乙机构",
        "种类",
        "证据（比特）",
        "可能性",
        "优先级",
        "县区",
        "提出时间",
        "状态",
        "处理人",
        "处理时间",
    ];
    let side = |s: &Side| {
        [
            eyes.shown("name", &s.name),
            words::sex(&s.sex).to_owned(),
            s.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default(),
            desk.institution(s.institution),
        ]
    };
    let rows: Vec<Vec<String>> = tasks
        .iter()
        .map(|t| {
            let mut row = vec![t.id.to_string()];
            row.extend(side(&t.a));
            row.extend(side(&t.b));
            row.extend([
                words::kind(&t.kind).to_owned(),
                format!("{:.1}", t.weight),
                bits::percent(t.probability),
                words::priority(t.priority).1.to_owned(),
                places(&desk, t),
                words::time(t.opened_at),
                words::state(&t.state, &t.outcome).1.to_owned(),
                t.decided_name.clone(),
                t.decided_at.map(words::time).unwrap_or_default(),
            ]);
            row
        })
        .collect();
    Ok(web::download::csv("review.csv", &heads, rows))
}
