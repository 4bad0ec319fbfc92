//! `/index/figures`: how much waits and how long, by county and kind; what was decided, by day and by reviewer.

use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate, Utc};
use kernel::Result;
use maud::{Markup, html};
use serde_json::json;
use store::{AuditEntry, DbDoing, Gated};
use web::route::Allowed;
use web::ui::{
    Chart, Column, Figure, Filter, Height, Here, Row, card_with, chart, figures, filter_form, page_head,
    table,
};
use web::{Frame, Reply};

use super::read::Within;
use super::{Desk, EXPORT, words};

/// What waits in one county, of one kind.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Backlog {
    county: String,
    open: i64,
    second: i64,
    asked: i64,
    urgent: i64,
    oldest: Option<DateTime<Utc>>,
}

/// What one reviewer decided.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Reviewer {
    name: String,
    week: i64,
    total: i64,
    same: i64,
    apart: i64,
    undone: i64,
    minutes: Option<f64>,
}

/// Opened and decided on one day.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Day {
    day: NaiveDate,
    opened: i64,
    decided: i64,
}

struct Seen {
    backlog: Vec<Backlog>,
    reviewers: Vec<Reviewer>,
    days: Vec<Day>,
}

// Counties are told by the institutions of both sides, where they say nothing by the task: what lies in two counties waits in
// both. A county's own people see their county, the city all of its counties.
async fn read(tx: &mut Gated<'_>, within: &Within, since: NaiveDate, now: DateTime<Utc>) -> Result<Seen> {
    let from = super::queue::start_of(since);
    let counties: Vec<String> = within.counties.iter().map(|(_, county)| county.clone()).collect();
    let backlog = sqlx::query_as(
        "with lies (id, county) as (
             select distinct t.id, coalesce(m.county, t.county)
             from review_task t left join lateral unnest(t.institutions) as i (id) on true
             left join unnest($2::int[], $3::text[]) as m (id, county) on m.id = i.id
             where t.state in ('open', 'asked', 'second') and (t.county like any($1) or t.institutions && $2)
               and (m.county is not null or t.county like any($1))
         )
         select l.county, count(*) filter (where state = 'open') as open, count(*) filter (where state = 'second') as second,
                count(*) filter (where state = 'asked') as asked, count(*) filter (where priority <= 2) as urgent,
                min(opened_at) as oldest
         from lies l join review_task t on t.id = l.id
         group by l.county order by count(*) desc, l.county",
    )
    .bind(&within.regions)
    .bind(within.counties.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(counties)
    .fetch_all(&mut ***tx)
    .await
    .db("count what waits for review")?;
    let reviewers = sqlx::query_as(
        "select t.decided_name as name, count(*) filter (where t.decided_at >= $3) as week, count(*) as total,
                count(*) filter (where t.outcome = 'same') as same, count(*) filter (where t.outcome = 'apart') as apart,
                count(o.undone_by) as undone,
                percentile_cont(0.5) within group (order by extract(epoch from t.decided_at - t.opened_at)::float8 / 60)
                    as minutes
         from review_task t left join person_operation o on o.id = t.operation_id
         where t.decided_at >= $2 and t.decided_name <> '' and (t.county like any($1) or t.institutions && $4)
         group by t.decided_name order by count(*) desc, t.decided_name limit 200",
    )
    .bind(&within.regions)
    .bind(from)
    .bind(now - chrono::Duration::days(7))
    .bind(&within.institutions)
    .fetch_all(&mut ***tx)
    .await
    .db("count what was decided")?;
    let days = sqlx::query_as(
        "with opened as (
             select (opened_at at time zone 'Asia/Shanghai')::date as day, count(*) as n from review_task
             where opened_at >= $2 and (county like any($1) or institutions && $5) group by 1
         ), decided as (
             select (decided_at at time zone 'Asia/Shanghai')::date as day, count(*) as n from review_task
             where decided_at >= $2 and (county like any($1) or institutions && $5) group by 1
         )
         select d::date as day, coalesce(o.n, 0) as opened, coalesce(c.n, 0) as decided
         from generate_series($3::date, $4::date, interval '1 day') as d
         left join opened o on o.day = d::date left join decided c on c.day = d::date order by 1",
    )
    .bind(&within.regions)
    .bind(from)
    .bind(since)
    .bind(kernel::clock::to_china(now).date())
    .bind(&within.institutions)
    .fetch_all(&mut ***tx)
    .await
    .db("count what was opened and decided by day")?;
    Ok(Seen { backlog, reviewers, days })
}

async fn found(desk: &Desk, allowed: &Allowed, here: &Here, act: &'static str) -> Result<Seen> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    let length = here.get("length").and_then(|d| d.parse::<u64>().ok()).unwrap_or(30).clamp(7, 366);
    let today = kernel::clock::to_china(now).date();
    let since = today.checked_sub_days(Days::new(length - 1)).unwrap_or(today);
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let seen = read(tx, &within, since, now).await?;
            Ok((seen, AuditEntry { act, object_kind: "review_task", ..AuditEntry::default() }))
        })
        .await
}

/// Minutes as people say them.
fn length(minutes: Option<f64>) -> String {
    match minutes {
        None => "—".to_owned(),
        Some(m) if m < 60.0 => format!("{m:.0} 分钟"),
        Some(m) if m < 2880.0 => format!("{:.1} 小时", m / 60.0),
        Some(m) => format!("{:.1} 天", m / 1440.0),
    }
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let seen = found(&desk, &allowed, &here, "person.review_figures").await?;
    let now = desk.clock.now();
    let sum = |get: fn(&Backlog) -> i64| seen.backlog.iter().map(get).sum::<i64>();
    let waiting = sum(|b| b.open + b.second + b.asked);
    let oldest = seen.backlog.iter().filter_map(|b| b.oldest).min();
    let decided: i64 = seen.days.iter().map(|d| d.decided).sum();
    let opened: i64 = seen.days.iter().map(|d| d.opened).sum();
    let span = format!("近 {} 天", seen.days.len());
    let backlog: Vec<Row> = seen
        .backlog
        .iter()
        .map(|b| {
            Row::to(
                format!("/index/review?county={}", b.county),
                vec![
                    html! { (desk.county(&b.county)) },
                    html! { (b.open) },
                    html! { (b.second) },
                    html! { (b.asked) },
                    html! { (b.urgent) },
                    html! { (b.oldest.map(|at| words::since(at, now)).unwrap_or_default()) },
                ],
            )
        })
        .collect();
    let reviewers: Vec<Row> = seen
        .reviewers
        .iter()
        .map(|r| {
            Row::plain(vec![
                html! { (r.name) },
                html! { (r.week) },
                html! { (r.total) },
                html! { (r.same) },
                html! { (r.apart) },
                html! { (r.undone) },
                html! { (length(r.minutes)) },
            ])
        })
        .collect();
    let days: Vec<Row> = seen
        .days
        .iter()
        .map(|d| Row::plain(vec![html! { (d.day) }, html! { (d.opened) }, html! { (d.decided) }]))
        .collect();
    let option = json!({
        "tooltip": { "trigger": "axis" }, "legend": {},
        "xAxis": { "type": "category", "data": seen.days.iter().map(|d| d.day.to_string()).collect::<Vec<_>>() },
        "yAxis": { "type": "value", "minInterval": 1 },
        "series": [
            { "name": "提出", "type": "bar", "data": seen.days.iter().map(|d| d.opened).collect::<Vec<_>>() },
            { "name": "处理", "type": "bar", "data": seen.days.iter().map(|d| d.decided).collect::<Vec<_>>() },
        ],
    });
    let lengths = [("30", "近 30 天"), ("7", "近 7 天"), ("90", "近 90 天"), ("366", "近一年")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()));
    let download = here.at("/index/figures.csv").href();
    let figure = |label: &str, value: String, note: &str, href: Option<&str>| Figure {
        label: label.to_owned(),
        value,
        note: note.to_owned(),
        href: href.map(str::to_owned),
    };
    let body = html! {
        (page_head(&[("待核对登记", "/index/review")], "积压与工效", "有多少待核对、等了多久；谁处理了多少、要多久。", html! {
            @if allowed.caller().may(EXPORT) { a.btn href=(download) download { "导出 CSV" } }
        }))
        (figures(&[
            figure("待处理", waiting.to_string(), "项", Some("/index/review")),
            figure("其中紧急", sum(|b| b.urgent).to_string(), "项", None),
            figure("等得最久", oldest.map_or_else(|| "—".to_owned(), |at| words::since(at, now)), "", None),
            figure("新提出", opened.to_string(), &span, None),
            figure("已处理", decided.to_string(), &span, Some("/index/review?state=done")),
        ]))
        section.mk-card { (filter_form(&here, &[Filter::Pick { name: "length", label: "时间", options: &lengths }])) }
        (chart(&Chart {
            id: "by-day",
            title: "每天提出与处理（项）",
            option: &option,
            table: table(&Here::default(), &[Column::text("日期"), Column::number("提出"), Column::number("处理")], &days),
            download: None,
            height: Height::Low,
        }))
        (card_with("积压（按县区）", html! { small.mk-muted { "含另一方在外县、由上级核对的" } }, html! {
            @if backlog.is_empty() { div.mk-card-body.mk-muted { "您的辖区内没有待处理的。" } }
            @else { (table(&here, &[Column::text("县区"), Column::number("待核对"), Column::number("待复核"), Column::number("待机构答复"), Column::number("其中紧急"), Column::number("等得最久")], &backlog)) }
        }))
        (card_with("工效（按人）", html! { small.mk-muted { (span) } }, html! {
            @if reviewers.is_empty() { div.mk-card-body.mk-muted { "这段时间还没有人处理。" } }
            @else { (table(&here, &[Column::text("核对人"), Column::number("近 7 天"), Column::number("合计"), Column::number("是同一人"), Column::number("不是同一人"), Column::number("后被撤销"), Column::number("从提出到处理（中位）")], &reviewers)) }
        }))
    };
    Ok(frame.page("积压与工效", body))
}

pub(super) async fn csv(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
) -> Reply<web::download::Download> {
    let seen = found(&desk, &allowed, &here, "person.review_export").await?;
    let heads = [
        "类别",
        "县区、核对人或日期",
        "待核对或提出",
        "待复核或处理",
        "待机构答复",
        "紧急",
        "合计",
        "是同一人",
        "不是同一人",
        "后被撤销",
        "中位分钟",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    let blank = String::new;
    for b in &seen.backlog {
        rows.push(vec![
            "积压".into(),
            desk.county(&b.county),
            b.open.to_string(),
            b.second.to_string(),
            b.asked.to_string(),
            b.urgent.to_string(),
            (b.open + b.second + b.asked).to_string(),
            blank(),
            blank(),
            blank(),
            blank(),
        ]);
    }
    for r in &seen.reviewers {
        rows.push(vec![
            "工效".into(),
            r.name.clone(),
            blank(),
            blank(),
            blank(),
            blank(),
            r.total.to_string(),
            r.same.to_string(),
            r.apart.to_string(),
            r.undone.to_string(),
            r.minutes.map(|m| format!("{m:.0}")).unwrap_or_default(),
        ]);
    }
    for d in &seen.days {
        rows.push(vec![
            "每天".into(),
            d.day.to_string(),
            d.opened.to_string(),
            d.decided.to_string(),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
        ]);
    }
    Ok(web::download::csv("figures.csv", &heads, rows))
}
