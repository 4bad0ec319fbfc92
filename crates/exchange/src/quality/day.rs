//! One institution's day (机构日明细): what came of each data set, how good it was, in which batches.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use catalog::{Catalog, Dataset, Rule};
use chrono::{DateTime, Days, NaiveDate, Utc};
use contracts::InstitutionCard;
use kernel::{Act, Caller, Line, Need, Purpose, Refusal, Result};
use maud::{Markup, html};
use sqlx::FromRow;
use store::{Db, DbDoing};
use web::ui::{
    self, Column, Figure, Here, Row, Tone, badge, card_with, empty, figures, icon, notice, page_head,
    score_ring, table,
};
use web::{Allowed, Frame, Reply};

use super::counts::{self, Asked, Count};
use super::scope::{self, Expected};
use super::words;
use crate::Exchange;

/// The right that opens the rows themselves.
pub(super) const ROWS: Need = Need::new(Line::Exchange, Act::Read);

/// Batches listed.
const BATCHES: i64 = 100;

/// A batch that brought rows of the day.
#[derive(Debug, Clone, FromRow)]
pub struct DayBatch {
    /// Its number.
    pub id: i64,
    /// Data set of these rows.
    pub dataset: i16,
    /// File name, or empty.
    pub file_name: String,
    /// Door.
    pub door: String,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Rows of the day that it brought.
    pub received: i64,
    /// Of them rejected.
    pub rejected: i64,
}

/// Breaches of one rule between data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct FindingCount {
    /// Data set of the rows.
    pub dataset: i16,
    /// The rule.
    pub rule: i16,
    /// Rows.
    pub rows: i64,
}

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub struct InstitutionDay {
    /// Whose.
    pub card: Arc<InstitutionCard>,
    /// The day.
    pub day: NaiveDate,
    /// The present day.
    pub today: NaiveDate,
    /// What came, by data set.
    pub came: Vec<(i16, Count)>,
    /// Daily data sets that did not come.
    pub missing: Vec<i16>,
    /// Findings between data sets.
    pub findings: Vec<FindingCount>,
    /// Batches, newest first.
    pub batches: Vec<DayBatch>,
    /// Whether the caller may open the rows.
    pub may_open: bool,
}

/// The rule behind a number.
pub(super) fn rule_of(catalog: &Catalog, dataset: i16, rule: i16) -> Option<(&Arc<Dataset>, &Rule)> {
    let dataset = catalog.dataset_by_number(dataset)?;
    Some((dataset, dataset.rules.get(usize::try_from(rule).ok()?)?))
}

/// The day of the address field `day`.
pub(super) fn asked_day(here: &Here) -> Result<NaiveDate> {
    here.get("day").and_then(|d| d.parse().ok()).ok_or_else(|| {
        Refusal::invalid("quality.day", "请在地址中用 day=2025-03-04 的形式给出日期，或从质量监测页面点开。")
            .into()
    })
}

/// Whether a caller's right of this need reaches an institution.
pub(super) fn may(caller: &Caller, need: Need, card: &InstitutionCard) -> bool {
    caller.decide(need, Purpose::of("quality")).is_ok_and(|r| r.covers(card.id, &card.region))
}

async fn batches(db: &Db, institution: i32, day: NaiveDate, dataset: Option<i16>) -> Result<Vec<DayBatch>> {
    sqlx::query_as(
        "select b.id, d.dataset, b.file_name, b.door, b.received_at, d.received, d.rejected
         from batch_day d join batch b on b.id = d.batch_id
         where d.institution_id = $1 and d.day = $2 and ($3::smallint is null or d.dataset = $3)
         order by d.batch_id desc, d.dataset limit $4",
    )
    .bind(institution)
    .bind(day)
    .bind(dataset)
    .bind(BATCHES)
    .fetch_all(db.pool())
    .await
    .db("read the batches of a day")
}

pub(super) async fn findings(
    db: &Db,
    institution: i32,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<FindingCount>> {
    sqlx::query_as(
        "select dataset, rule, count(*) as rows from cross_finding
         where institution_id = $1 and day between $2 and $3 group by dataset, rule order by count(*) desc",
    )
    .bind(institution)
    .bind(from)
    .bind(to)
    .fetch_all(db.pool())
    .await
    .db("count findings between data sets")
}

/// `GET /quality/day?institution=&day=&dataset=`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
) -> Reply<Markup> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let catalog = exchange.catalog();
    let code = here.get("institution").unwrap_or_default();
    let card = scope::one(exchange.institutions().as_ref(), &reach, code)?;
    let day = asked_day(&here)?;
    let today = exchange.intake.parts().clock.today();
    let dataset = here.get("dataset").and_then(|d| catalog.dataset(d)).map(|d| d.number);
    let id = card.id.get() as i32;
    let asked = Asked { institutions: &[id], dataset, from: day, to: day };
    let counted = counts::by_dataset(exchange.db(), catalog, asked).await?;
    let came: Vec<(i16, Count)> = counted.iter().filter_map(|c| Some((*c.came.first()?, c.count))).collect();
    let mut missing = Vec::new();
    if day < today {
        missing = Expected::of(catalog, dataset).by(&card.sender_class);
        missing.retain(|d| !came.iter().any(|(c, count)| c == d && count.received > 0));
    }
    let found = findings(exchange.db(), id, day, day).await?;
    let view_data = InstitutionDay {
        day,
        today,
        came,
        missing,
        findings: found.into_iter().filter(|f| dataset.is_none_or(|d| d == f.dataset)).collect(),
        batches: batches(exchange.db(), id, day, dataset).await?,
        may_open: may(allowed.caller(), ROWS, &card),
        card,
    };
    let title = format!("{} {}", view_data.card.short_name, day);
    Ok(frame.page(&title, view(catalog, &here, &view_data)))
}

/// The page. Pure.
pub fn view(catalog: &Catalog, here: &Here, data: &InstitutionDay) -> Markup {
    let card = &data.card;
    let title = format!("{} · {} {}", card.name, data.day, words::weekday(data.day));
    let own = format!("/quality/institutions/{}", card.code);
    let to = |days: i64| {
        let day = if days < 0 { data.day - Days::new(1) } else { data.day + Days::new(1) };
        here.with(&[("day", &day.to_string())]).href()
    };
    let mut total = Count::default();
    data.came.iter().for_each(|(_, c)| total.add(c));
    let score = total.score(catalog);
    let figure = |label: &str, value: i64, note: &str| Figure {
        label: label.to_owned(),
        value: words::number(value),
        note: note.to_owned(),
        href: None,
    };
    html! {
        (page_head(&[("质量监测", "/quality"), (&card.short_name, &own)], &title,
            "按业务发生日期统计；晚到的数据记在发生的那一天。", html! {
            a.btn href=(to(-1)) { (icon("chevron-left")) "前一天" }
            @if data.day < data.today { a.btn href=(to(1)) { "后一天" (icon("chevron-right")) } }
        }))
        section.mk-card { div.mk-card-body.mk-receipt {
            (score_ring(score.total, &words::parts(&score)))
            div {
                (figures(&[
                    figure("收到", total.received, "行"), figure("新入库", total.stored, "行"),
                    figure("未变", total.unchanged, "行"), figure("更正", total.replaced, "行"),
                    figure("撤销", total.withdrawn, "行"), figure("拒收", total.rejected, "行"),
                ]))
                @if !data.missing.is_empty() {
                    (notice(Tone::Bad, &format!("应传未传 {} 个数据集", data.missing.len()), &words::dataset_names(catalog, &data.missing)))
                } @else if data.day >= data.today {
                    (notice(Tone::Info, "", "这一天还没有结束，不判断缺报。"))
                }
            }
        } }
        (datasets_table(catalog, here, data))
        (findings_table(catalog, data))
        (batches_table(catalog, data))
    }
}

fn rows_link(catalog: &Catalog, data: &InstitutionDay, dataset: i16, only: &str) -> Option<String> {
    let dataset = catalog.dataset_by_number(dataset)?;
    data.may_open.then(|| {
        format!(
            "/quality/rows?institution={}&day={}&dataset={}{only}",
            data.card.code, data.day, dataset.code
        )
    })
}

fn datasets_table(catalog: &Catalog, here: &Here, data: &InstitutionDay) -> Markup {
    let mut by_dataset: HashMap<i16, i64> = HashMap::new();
    for finding in &data.findings {
        *by_dataset.entry(finding.dataset).or_default() += finding.rows;
    }
    let columns = [
        Column::text("数据集"),
        Column::number("收到"),
        Column::number("新入库"),
        Column::number("未变"),
        Column::number("更正"),
        Column::number("撤销"),
        Column::number("拒收"),
        Column::number("跨表问题"),
        Column::number("完整性"),
        Column::number("规范性"),
        Column::number("及时性"),
        Column::number("逻辑性"),
        Column::number("得分"),
        Column::text(""),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for number in &data.missing {
        let Some(dataset) = catalog.dataset_by_number(*number) else { continue };
        let mut cells = vec![html! { (dataset.name) " " (badge(Tone::Bad, "应传未传")) }, html! { "0" }];
        cells.extend((0..11).map(|_| html! { span.mk-muted { "—" } }));
        cells.push(html! {});
        rows.push(Row { href: None, mark: "mk-row-bad", cells });
    }
    for (number, count) in &data.came {
        let Some(dataset) = catalog.dataset_by_number(*number) else { continue };
        let score = count.score(catalog);
        let found = by_dataset.get(number).copied().unwrap_or_default();
        let mut cells = vec![html! { (dataset.name) }];
        let counts = [count.received, count.stored, count.unchanged, count.replaced, count.withdrawn];
        cells.extend(counts.map(|n| html! { (words::number(n)) }));
        cells.push(html! { span.mk-text-bad[count.rejected > 0] { (words::number(count.rejected)) } });
        cells.push(html! { (words::number(found)) });
        cells.extend(score.dimensions.map(words::toned));
        cells.push(html! { b { (words::toned(score.total)) } });
        cells.push(html! {
            @if let Some(href) = rows_link(catalog, data, *number, "") { a href=(href) { "看行" } }
        });
        rows.push(Row { href: None, mark: if count.rejected > 0 { "mk-row-warn" } else { "" }, cells });
    }
    card_with(
        "按数据集",
        html! { @if !data.may_open { "您的权限只看统计数字，不看行" } },
        html! {
            @if rows.is_empty() {
                (empty("这一天没有收到数据", "当日没有应传的数据集，或者这一天还没有结束。", None))
            } @else { (table(here, &columns, &rows)) }
        },
    )
}

fn findings_table(catalog: &Catalog, data: &InstitutionDay) -> Markup {
    let rows: Vec<Row> = data
        .findings
        .iter()
        .filter_map(|f| {
            let (dataset, rule) = rule_of(catalog, f.dataset, f.rule)?;
            let link = rows_link(catalog, data, f.dataset, &format!("&rule={}", f.rule));
            Some(Row::plain(vec![
                html! { (rule.message) br; small.mk-muted { (dataset.name) } },
                html! { (rule.weight) },
                html! { (words::number(f.rows)) },
                html! { (rule.hint) },
                html! { @if let Some(href) = link { a href=(href) { "看行" } } },
            ]))
        })
        .collect();
    if rows.is_empty() {
        return html! {};
    }
    let columns = [
        Column::text("跨表问题"),
        Column::number("权重"),
        Column::number("行数"),
        Column::text("如何改正"),
        Column::text(""),
    ];
    card_with(
        "数据集之间的问题",
        html! { "入库后核对；补传或更正后自动消除" },
        table(&Here::default(), &columns, &rows),
    )
}

fn batches_table(catalog: &Catalog, data: &InstitutionDay) -> Markup {
    let rows: Vec<Row> = data
        .batches
        .iter()
        .map(|b| {
            let name = catalog.dataset_by_number(b.dataset).map(|d| d.name.as_str()).unwrap_or_default();
            let at = kernel::clock::to_china(b.received_at).format("%Y-%m-%d %H:%M").to_string();
            let file = if b.file_name.is_empty() { "—" } else { &b.file_name };
            let cells = vec![
                html! { "批次 " (b.id) },
                html! { (name) },
                html! { (file) },
                html! { (at) },
                html! { (words::number(b.received)) },
                html! { (words::number(b.rejected)) },
            ];
            if data.may_open { Row::to(format!("/batches/{}", b.id), cells) } else { Row::plain(cells) }
        })
        .collect();
    let columns = [
        Column::text("批次"),
        Column::text("数据集"),
        Column::text("文件"),
        Column::text("接收时间"),
        Column::number("本日行数"),
        Column::number("本日拒收"),
    ];
    card_with(
        "带来这一天数据的批次",
        html! { @if rows.len() as i64 == BATCHES { "只列最近 " (BATCHES) " 个" } },
        html! {
            @if rows.is_empty() { (ui::empty("没有批次", "这一天没有收到过数据。", None)) }
            @else { (table(&Here::default(), &columns, &rows)) }
        },
    )
}
