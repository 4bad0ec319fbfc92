//! An institution's quality page (机构质量): score, trend, data sets, and what each rule costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use catalog::Catalog;
use chrono::{Datelike, Days, NaiveDate};
use contracts::InstitutionCard;
use kernel::{Purpose, Result};
use maud::{Markup, html};
use serde_json::json;
use store::{Db, DbDoing};
use web::download::{self, Download};
use web::ui::{
    Chart, Column, Figure, Filter, Height, Here, Row, Tone, badge, card_with, chart, empty, figures,
    filter_form, icon, notice, page_head, score_ring, sparkline, table,
};
use web::{Allowed, Frame, Reply};

use super::board::Cell;
use super::costs::{Cost, RuleCount, costs};
use super::counts::{self, Asked, Count, DayCount};
use super::scope::{self, Expected, Span};
use super::sheet::{self, SheetCell, SheetDownload};
use super::{day, ranking, words};
use crate::Exchange;

/// Days looked at when nobody chose.
const DAYS: u64 = 31;

/// Rules listed at first.
const DEAREST: usize = 20;

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub struct InstitutionQuality {
    /// Whose.
    pub card: Arc<InstitutionCard>,
    /// Name of its division.
    pub division: String,
    /// The period.
    pub span: Span,
    /// The present day.
    pub today: NaiveDate,
    /// By data set and day; each with one data set.
    pub counted: Vec<DayCount>,
    /// Daily data sets of its class.
    pub expected: Vec<i16>,
    /// Rules, dearest first.
    pub rules: Vec<Cost>,
}

impl InstitutionQuality {
    fn total(&self) -> Count {
        let mut total = Count::default();
        self.counted.iter().for_each(|c| total.add(&c.count));
        total
    }

    /// By day, with what did not come.
    fn cells(&self) -> Vec<(NaiveDate, Cell)> {
        let mut by_day: BTreeMap<NaiveDate, (Count, Vec<i16>)> = BTreeMap::new();
        for one in &self.counted {
            let day = by_day.entry(one.day).or_default();
            day.0.add(&one.count);
            if one.count.received > 0 {
                day.1.extend(&one.came);
            }
        }
        self.span
            .days()
            .into_iter()
            .map(|day| {
                let (count, came) = by_day.remove(&day).unwrap_or_default();
                let missing = if day < self.today {
                    self.expected.iter().filter(|d| !came.contains(d)).copied().collect()
                } else {
                    Vec::new()
                };
                (day, Cell { count, missing, expected: self.expected.len() })
            })
            .collect()
    }
}

// Rules by month of receipt, all months that the period touches; those between data sets by their findings.
async fn rule_counts(
    db: &Db,
    catalog: &Catalog,
    institution: i32,
    span: Span,
    counted: &[DayCount],
) -> Result<Vec<RuleCount>> {
    let first = span.from.with_day(1).unwrap_or(span.from);
    let mut all: Vec<RuleCount> = sqlx::query_as(
        "select dataset, rule, sum(checked)::bigint as checked, sum(failed)::bigint as failed
         from quality_rule_month where institution_id = $1 and month between $2 and $3
         group by dataset, rule having sum(checked) > 0",
    )
    .bind(institution)
    .bind(first)
    .bind(span.to)
    .fetch_all(db.pool())
    .await
    .db("read the rules of an institution")?;
    all.retain(|c| day::rule_of(catalog, c.dataset, c.rule).is_some_and(|(_, r)| !r.check.is_cross()));
    let found = day::findings(db, institution, span.from, span.to).await?;
    for dataset in &catalog.datasets {
        let of = |c: &&DayCount| c.came.first() == Some(&dataset.number);
        let stored: i64 =
            counted.iter().filter(of).map(|c| (c.count.stored - c.count.withdrawn).max(0)).sum();
        for (rule, _) in dataset.rules.iter().enumerate().filter(|(_, r)| r.check.is_cross()) {
            let mine =
                found.iter().find(|f| f.dataset == dataset.number && usize::try_from(f.rule) == Ok(rule));
            let failed = mine.map_or(0, |f| f.rows);
            if stored > 0 || failed > 0 {
                let checked = stored.max(failed);
                all.push(RuleCount { dataset: dataset.number, rule: rule as i16, checked, failed });
            }
        }
    }
    Ok(all)
}

async fn gather(
    exchange: &Exchange,
    allowed: &Allowed,
    here: &Here,
    code: &str,
) -> Result<InstitutionQuality> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let catalog = exchange.catalog();
    let card = scope::one(exchange.institutions().as_ref(), &reach, code)?;
    let today = exchange.intake.parts().clock.today();
    let span = Span::read(here, "day", Span::last(DAYS, today));
    let id = card.id.get() as i32;
    let asked = Asked { institutions: &[id], dataset: None, from: span.from, to: span.to };
    let counted = counts::by_dataset(exchange.db(), catalog, asked).await?;
    let rules = rule_counts(exchange.db(), catalog, id, span, &counted).await?;
    Ok(InstitutionQuality {
        division: exchange.institutions().region_name(&card.region),
        span,
        today,
        counted,
        expected: Expected::of(catalog, None).by(&card.sender_class),
        rules: costs(catalog, &rules).0,
        card,
    })
}

/// `GET /quality/institutions/{code}`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
    Path(code): Path<String>,
) -> Reply<Markup> {
    let data = gather(&exchange, &allowed, &here, &code).await?;
    let may_send = day::may(allowed.caller(), day::ROWS, &data.card);
    Ok(frame.page(&data.card.short_name, view(exchange.catalog(), &here, &data, may_send)))
}

/// The page. Pure. `batches`: whether the caller may open batches.
pub fn view(catalog: &Catalog, here: &Here, data: &InstitutionQuality, batches: bool) -> Markup {
    let card = &data.card;
    let total = data.total();
    let score = total.score(catalog);
    let cells = data.cells();
    let blank = cells.iter().filter(|(_, c)| c.is_blank()).count();
    let missing: usize = cells.iter().map(|(_, c)| c.missing.len()).sum();
    let span = data.span;
    let shown = here.with(&[("day_from", &span.from.to_string()), ("day_to", &span.to.to_string())]);
    let rates: Vec<(String, String)> =
        [("day", "按日"), ("week", "按周")].map(|(v, n)| (v.to_owned(), n.to_owned())).to_vec();
    let line = format!("{} · {} · {}", scope::class_name(&card.sender_class), data.division, card.code);
    let figure = |label: &str, value: String, note: String| Figure {
        label: label.to_owned(),
        value,
        note,
        href: None,
    };
    let share = total.rejected_share().map(words::percent).unwrap_or_default();
    html! {
        (page_head(&[("质量监测", "/quality"), ("机构排名", "/quality/ranking")], &card.name, &line, html! {
            @if batches { a.btn href={ "/batches?institution=" (card.code) } { (icon("upload")) " 上传批次" } }
            a.btn href=(shown.at(&format!("/quality/institutions/{}/rules.xlsx", card.code)).href()) download { (icon("download")) " XLSX" }
            a.btn href=(shown.at(&format!("/quality/institutions/{}/rules.csv", card.code)).href()) download { (icon("download")) " CSV" }
        }))
        section.mk-card {
            (filter_form(&shown, &[
                Filter::Days { name: "day", label: "业务日期" },
                Filter::Pick { name: "by", label: "趋势", options: &rates },
            ]))
            div.mk-card-body.mk-receipt {
                (score_ring(score.total, &words::parts(&score)))
                div {
                    (figures(&[
                        figure("收到", words::number(total.received), "行".to_owned()),
                        figure("新入库", words::number(total.stored), "行".to_owned()),
                        figure("更正", words::number(total.replaced), "行".to_owned()),
                        figure("拒收", words::number(total.rejected), share),
                        figure("整日未传", blank.to_string(), "天".to_owned()),
                        figure("缺数据集", words::number(missing as i64), "次".to_owned()),
                    ]))
                    (top(catalog, data))
                }
            }
        }
        (trend(catalog, here, data, &cells))
        (datasets(catalog, data))
        (rules(catalog, here, data))
        (ranking::how(catalog))
    }
}

// The three dearest rules in a sentence each.
fn top(catalog: &Catalog, data: &InstitutionQuality) -> Markup {
    let dearest: Vec<String> = data
        .rules
        .iter()
        .filter(|c| c.points >= 0.05)
        .take(3)
        .filter_map(|c| {
            let (dataset, rule) = day::rule_of(catalog, c.count.dataset, c.count.rule)?;
            Some(format!("{}“{}”扣 {:.1} 分", dataset.name, rule.message, c.points))
        })
        .collect();
    if dearest.is_empty() {
        html! {}
    } else {
        notice(Tone::Warn, "扣分最多的问题", &dearest.join("；"))
    }
}

fn trend(catalog: &Catalog, here: &Here, data: &InstitutionQuality, cells: &[(NaiveDate, Cell)]) -> Markup {
    let weekly = here.get("by") == Some("week");
    let mut points: Vec<(NaiveDate, Count)> = Vec::new();
    for (day, cell) in cells {
        let at =
            if weekly { *day - Days::new(u64::from(day.weekday().num_days_from_monday())) } else { *day };
        match points.last_mut() {
            Some((last, count)) if *last == at => count.add(&cell.count),
            _ => points.push((at, cell.count)),
        }
    }
    let labels: Vec<String> = points.iter().map(|(d, _)| d.format("%m-%d").to_string()).collect();
    let href = |day: &NaiveDate| format!("/quality/day?institution={}&day={day}", data.card.code);
    let scores: Vec<serde_json::Value> = points
        .iter()
        .map(|(d, c)| match c.score(catalog).total {
            Some(s) if weekly => json!((s * 10.0).floor() / 10.0),
            Some(s) => json!({ "value": (s * 10.0).floor() / 10.0, "href": href(d) }),
            None => serde_json::Value::Null,
        })
        .collect();
    let bars = |pick: fn(&Count) -> i64| -> Vec<serde_json::Value> {
        points
            .iter()
            .map(|(d, c)| if weekly { json!(pick(c)) } else { json!({ "value": pick(c), "href": href(d) }) })
            .collect()
    };
    let least = points.iter().filter_map(|(_, c)| c.score(catalog).total).fold(100.0, f64::min);
    let floor = ((least - 2.0) / 5.0).floor().max(0.0) * 5.0;
    let option = json!({
        "legend": { "right": 60 },
        "tooltip": { "trigger": "axis" },
        "xAxis": { "type": "category", "data": labels },
        "yAxis": [
            { "type": "value", "name": "行", "minInterval": 1 },
            { "type": "value", "name": "得分", "min": floor, "max": 100, "splitLine": { "show": false } },
        ],
        "series": [
            { "name": "收到", "type": "bar", "barGap": "-100%", "data": bars(|c| c.received), "itemStyle": { "color": "#b9cdd6" } },
            { "name": "拒收", "type": "bar", "data": bars(|c| c.rejected), "itemStyle": { "color": "#b0503f" } },
            { "name": "得分", "type": "line", "yAxisIndex": 1, "data": scores, "connectNulls": false,
              "itemStyle": { "color": "#0b6b7d" } },
        ],
    });
    let rows: Vec<Row> = points
        .iter()
        .map(|(day, count)| {
            Row::plain(vec![
                html! { @if weekly { (day) " 起一周" } @else { (day) } },
                html! { (words::number(count.received)) },
                html! { (words::number(count.rejected)) },
                html! { (words::score(count.score(catalog).total)) },
            ])
        })
        .collect();
    let columns =
        [Column::text("日期"), Column::number("收到"), Column::number("拒收"), Column::number("得分")];
    chart(&Chart {
        id: "trend",
        title: if weekly { "每周收到行数与得分" } else { "每日收到行数与得分" },
        option: &option,
        table: table(&Here::default(), &columns, &rows),
        download: None,
        height: Height::Middle,
    })
}

fn datasets(catalog: &Catalog, data: &InstitutionQuality) -> Markup {
    let days = data.span.days();
    let over = days.iter().filter(|d| **d < data.today).count();
    let mut rows: Vec<(f64, Row)> = Vec::new();
    for dataset in &catalog.datasets {
        let mine: BTreeMap<NaiveDate, &Count> = data
            .counted
            .iter()
            .filter(|c| c.came.first() == Some(&dataset.number))
            .map(|c| (c.day, &c.count))
            .collect();
        let expected = data.expected.contains(&dataset.number);
        if mine.is_empty() && !expected {
            continue;
        }
        let mut total = Count::default();
        mine.values().for_each(|c| total.add(c));
        let came = mine.iter().filter(|(d, c)| **d < data.today && c.received > 0).count();
        let missing = if expected { over - came } else { 0 };
        let score = total.score(catalog);
        let line: Vec<Option<f64>> =
            days.iter().map(|d| mine.get(d).and_then(|c| c.score(catalog).total)).collect();
        let mut cells =
            vec![html! { (dataset.name) @if expected && came == 0 { " " (badge(Tone::Bad, "没有上传")) } }];
        let counts = [total.received, total.stored, total.replaced];
        cells.extend(counts.map(|n| html! { (words::number(n)) }));
        cells.push(html! { (words::number(total.rejected)) });
        cells.push(html! { @if expected { span.mk-text-bad[missing > 0] { (missing) } " / " (over) } @else { span.mk-muted { "不要求每日" } } });
        cells.extend(score.dimensions.map(words::toned));
        cells.push(html! { b { (words::toned(score.total)) } });
        cells.push(sparkline(&line, None));
        let mark = if expected && came == 0 { "mk-row-bad" } else { "" };
        let href = format!("/datasets/{}", dataset.code);
        rows.push((score.total.unwrap_or(-1.0), Row { href: Some(href), mark, cells }));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rows: Vec<Row> = rows.into_iter().map(|(_, r)| r).collect();
    let columns = [
        Column::text("数据集"),
        Column::number("收到"),
        Column::number("新入库"),
        Column::number("更正"),
        Column::number("拒收"),
        Column::number("未传天数"),
        Column::number("完整性"),
        Column::number("规范性"),
        Column::number("及时性"),
        Column::number("逻辑性"),
        Column::number("得分"),
        Column::text("每日得分"),
    ];
    card_with(
        "按数据集（得分低的在前）",
        html! {},
        html! {
            @if rows.is_empty() { (empty("这段时间没有数据", "请换一段日期。", None)) }
            @else { (table(&Here::default(), &columns, &rows)) }
        },
    )
}

fn rules(catalog: &Catalog, here: &Here, data: &InstitutionQuality) -> Markup {
    let whole = here.get("rules") == Some("all");
    let broken = data.rules.iter().filter(|c| c.count.failed > 0).count();
    let most = if whole { data.rules.len() } else { broken.min(DEAREST) };
    let rows: Vec<Row> = data
        .rules
        .iter()
        .take(most)
        .filter_map(|cost| {
            let (dataset, rule) = day::rule_of(catalog, cost.count.dataset, cost.count.rule)?;
            let share = cost.count.failed as f64 * 100.0 / cost.count.checked.max(1) as f64;
            Some(Row::plain(vec![
                html! { (rule.message) br; small.mk-muted { (dataset.name) " · " (rule.code) } },
                html! { span.mk-nowrap { (rule.dimension.name()) } },
                html! { (rule.weight) },
                html! { (words::number(cost.count.checked)) },
                html! { (words::number(cost.count.failed)) },
                html! { (words::percent(share)) },
                html! { b { (points(cost.points)) } },
                html! { @if rule.reject { (badge(Tone::Bad, "拒收")) } @else { (badge(Tone::Warn, "扣分")) } },
                html! { (rule.hint) },
            ]))
        })
        .collect();
    let columns = [
        Column::text("规则"),
        Column::text("维度"),
        Column::number("权重"),
        Column::number("检查行数"),
        Column::number("不合格"),
        Column::number("占比"),
        Column::number("扣分"),
        Column::text("处理"),
        Column::text("如何改正"),
    ];
    let beside = html! {
        "按接收月份统计 "
        @if whole { a href=(here.with(&[("rules", "")]).href()) { "只看扣分最多的" } }
        @else if data.rules.len() > most { a href=(here.with(&[("rules", "all")]).href()) { "全部 " (data.rules.len()) " 条规则" } }
    };
    card_with(
        "每条规则扣多少分",
        beside,
        html! {
            @if rows.is_empty() { (empty("没有扣分", "这段时间收到的行通过了全部规则，或者没有收到数据。", None)) }
            @else { (table(&Here::default(), &columns, &rows)) }
        },
    )
}

// Two digits; what is less than they can say is not nothing.
fn points(lost: f64) -> String {
    if lost > 0.0 && lost < 0.01 { "<0.01".to_owned() } else { format!("{lost:.2}") }
}

const HEADS: [&str; 12] = [
    "机构编码",
    "机构",
    "数据集",
    "规则",
    "说明",
    "维度",
    "权重",
    "检查行数",
    "不合格",
    "占比%",
    "扣分",
    "处理",
];

fn sheet_rows(catalog: &Catalog, data: &InstitutionQuality) -> Vec<Vec<SheetCell>> {
    let of = |cost: &Cost| -> Option<Vec<SheetCell>> {
        let (dataset, rule) = day::rule_of(catalog, cost.count.dataset, cost.count.rule)?;
        Some(vec![
            data.card.code.as_str().into(),
            data.card.name.as_str().into(),
            dataset.name.as_str().into(),
            rule.code.as_str().into(),
            rule.message.as_str().into(),
            rule.dimension.name().into(),
            SheetCell::Number(rule.weight),
            cost.count.checked.into(),
            cost.count.failed.into(),
            Some(cost.count.failed as f64 * 100.0 / cost.count.checked.max(1) as f64).into(),
            Some(cost.points).into(),
            if rule.reject { "拒收" } else { "扣分" }.into(),
        ])
    };
    data.rules.iter().filter_map(of).collect()
}

/// `GET /quality/institutions/{code}/rules.csv`
pub(super) async fn csv(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    here: Here,
    Path(code): Path<String>,
) -> Reply<Download> {
    let data = gather(&exchange, &allowed, &here, &code).await?;
    let rows = sheet_rows(exchange.catalog(), &data);
    Ok(download::csv("quality-rules.csv", &HEADS, rows.iter().map(|r| sheet::texts(r))))
}

/// `GET /quality/institutions/{code}/rules.xlsx`
pub(super) async fn xlsx(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    here: Here,
    Path(code): Path<String>,
) -> Reply<SheetDownload> {
    let data = gather(&exchange, &allowed, &here, &code).await?;
    let rows = sheet_rows(exchange.catalog(), &data);
    Ok(sheet::xlsx("quality-rules.xlsx", "规则扣分", &HEADS, &rows)?)
}
