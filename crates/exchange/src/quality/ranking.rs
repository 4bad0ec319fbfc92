//! The ranking (机构排名): institutions by total score over a period, with how the score comes about.

use axum::extract::State;
use catalog::score::Score;
use catalog::{Catalog, Dimension};
use contracts::InstitutionCard;
use kernel::{Purpose, Result, Tier};
use maud::{Markup, html};
use web::download::{self, Download};
use web::ui::{Column, Export, Filter, Here, List, Paging, Row, card, icon, list, page_head, sparkline};
use web::{Allowed, Frame, Reply};

use super::board::{Board, Line};
use super::counts::{self, Asked};
use super::monitor::Options;
use super::scope::{self, Choice, Expected, Span};
use super::sheet::{self, SheetCell, SheetDownload};
use super::words;
use crate::Exchange;

/// Institutions on a page.
const PER_PAGE: usize = 50;

/// Everything that the page shows.
pub struct Ranking {
    /// The period.
    pub span: Span,
    /// The ranked, best first; who has no score comes last.
    pub ranked: Vec<Ranked>,
    /// Filters.
    pub options: Options,
    /// Editions of divisions that the counties can be told in; the first holds.
    pub years: Vec<(String, String)>,
}

/// An institution in the ranking.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// From 1; institutions with equal scores share a rank. None without a score.
    pub rank: Option<usize>,
    /// Name of the county.
    pub county: String,
    /// The institution over the days.
    pub line: Line,
    /// Its scores.
    pub score: Score,
    /// Its score on each day.
    pub trend: Vec<Option<f64>>,
}

/// Ranks the lines of a board.
pub fn rank(catalog: &Catalog, board: Board, county: impl Fn(&Line) -> String) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = board
        .lines
        .into_iter()
        .map(|line| Ranked {
            rank: None,
            county: county(&line),
            score: line.total.score(catalog),
            trend: line.cells.iter().map(|c| c.count.score(catalog).total).collect(),
            line,
        })
        .collect();
    let key = |r: &Ranked| r.score.total.unwrap_or(-1.0);
    // Among equals, who left fewer days out stands first.
    ranked.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.line.missing().cmp(&b.line.missing())));
    let mut last: Option<(f64, usize)> = None;
    for (position, one) in ranked.iter_mut().enumerate() {
        let Some(total) = one.score.total else { continue };
        let rank = match last {
            Some((score, rank)) if (score - total).abs() < 1e-9 => rank,
            _ => position + 1,
        };
        last = Some((total, rank));
        one.rank = Some(rank);
    }
    ranked
}

pub(super) async fn gather(exchange: &Exchange, allowed: &Allowed, here: &Here) -> Result<Ranking> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let institutions = exchange.institutions();
    let all = scope::in_reach(institutions.as_ref(), &reach);
    let choice = Choice::read(here, exchange.catalog());
    let today = exchange.intake.parts().clock.today();
    let span = Span::read(here, "day", Span::month_to(today));
    // In the divisions of the year asked for, else of the last day looked at: a county that was split since leaves the
    // table of last year as it was.
    let year = here.get("year").and_then(|y| y.parse().ok()).or_else(|| institutions.division_year(span.to));
    let place =
        |c: &InstitutionCard| year.map_or(c.region, |year| institutions.region_in(c, year)).at(Tier::County);
    let cards: Vec<_> = all.iter().filter(|c| choice.holds_at(c, place(c))).cloned().collect();
    let dataset = choice.dataset.as_ref().map(|d| d.number);
    let numbers = scope::numbers(&cards);
    let asked = Asked { institutions: &numbers, dataset, from: span.from, to: span.to };
    let counted = counts::by_day(exchange.db(), exchange.catalog(), asked).await?;
    let board = Board::build(&cards, &counted, span, today, &Expected::of(exchange.catalog(), dataset));
    let county = |line: &Line| {
        let county = place(&line.card);
        year.map_or_else(
            || institutions.region_name(&county),
            |year| institutions.region_name_in(&county, year),
        )
    };
    let mut ranked = rank(exchange.catalog(), board, county);
    sort(&mut ranked, here.get("sort").unwrap_or_default());
    let mut options = Options::of(exchange, &all);
    if let Some(year) = year {
        let mut counties: Vec<_> = all.iter().map(|c| place(c)).collect();
        counties.sort();
        counties.dedup();
        options.counties =
            counties.iter().map(|c| (c.as_str().to_owned(), institutions.region_name_in(c, year))).collect();
    }
    let mut years = institutions.division_years();
    years.sort_unstable_by_key(|y| (Some(*y) != year, std::cmp::Reverse(*y)));
    let years = years.iter().map(|y| (y.to_string(), format!("{y} 年版"))).collect();
    Ok(Ranking { span, ranked, options, years })
}

fn sort(ranked: &mut [Ranked], by: &str) {
    let (by, downwards) = by.strip_prefix('-').map_or((by, false), |b| (b, true));
    let key: fn(&Ranked) -> f64 = match by {
        "score" => |r| r.score.total.unwrap_or(-1.0),
        "completeness" => |r| r.score.of(Dimension::Completeness).unwrap_or(-1.0),
        "correctness" => |r| r.score.of(Dimension::Correctness).unwrap_or(-1.0),
        "timeliness" => |r| r.score.of(Dimension::Timeliness).unwrap_or(-1.0),
        "logic" => |r| r.score.of(Dimension::Logic).unwrap_or(-1.0),
        "received" => |r| r.line.total.received as f64,
        "rejected" => |r| r.line.total.rejected_share().unwrap_or(-1.0),
        "blank" => |r| r.line.blank_days() as f64,
        "missing" => |r| r.line.missing() as f64,
        _ => return,
    };
    ranked.sort_by(|a, b| key(a).total_cmp(&key(b)));
    if downwards {
        ranked.reverse();
    }
}

/// `GET /quality/ranking`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
) -> Reply<Markup> {
    let ranking = gather(&exchange, &allowed, &here).await?;
    Ok(frame.page("机构排名", view(exchange.catalog(), &here, &ranking)))
}

/// The page. Pure.
pub fn view(catalog: &Catalog, here: &Here, ranking: &Ranking) -> Markup {
    let span = ranking.span;
    // The filter shows the days that hold, also when nobody chose them.
    let shown = here.with(&[("day_from", &span.from.to_string()), ("day_to", &span.to.to_string())]);
    let pages = ranking.ranked.len().div_ceil(PER_PAGE).max(1);
    let page = here.get("page").and_then(|p| p.parse::<usize>().ok()).unwrap_or(1).clamp(1, pages);
    let rows =
        ranking.ranked.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE).map(|r| row(span, r)).collect();
    let exports = [
        Export { label: "导出 XLSX", path: "/quality/ranking.xlsx" },
        Export { label: "导出 CSV", path: "/quality/ranking.csv" },
    ];
    let matter = List {
        filters: &[
            Filter::Days { name: "day", label: "业务日期" },
            Filter::Choice { name: "dataset", label: "数据集", options: &ranking.options.datasets },
            Filter::Choice { name: "county", label: "县区", options: &ranking.options.counties },
            Filter::Choice { name: "class", label: "机构类别", options: &ranking.options.classes },
            Filter::Pick { name: "year", label: "区划", options: &ranking.years },
        ],
        total: Some(ranking.ranked.len() as u64),
        unit: "家机构",
        columns: &[
            Column::number("名次"),
            Column::text("机构"),
            Column::number("得分").by("score"),
            Column::number("完整性").by("completeness"),
            Column::number("规范性").by("correctness"),
            Column::number("及时性").by("timeliness"),
            Column::number("逻辑性").by("logic"),
            Column::number("收到行").by("received"),
            Column::number("拒收率").by("rejected"),
            Column::number("未传天").by("blank"),
            Column::number("缺数据集次").by("missing"),
            Column::text("每日得分"),
        ],
        rows,
        paging: Paging::Numbered {
            page: page as u64,
            per_page: PER_PAGE as u64,
            total: ranking.ranked.len() as u64,
        },
        exports: &exports,
        empty: ("没有机构", "条件中没有您权限范围内的机构。请放宽筛选条件。"),
        empty_action: None,
    };
    let line = format!("{} 至 {}，共 {} 天", span.from, span.to, (span.to - span.from).num_days() + 1);
    html! {
        (page_head(&[("质量监测", "/quality")], "机构排名", &line, html! {
            a.btn href="/quality" { (icon("activity")) " 质量监测" }
        }))
        (list(&shown, &matter))
        (how(catalog))
    }
}

fn row(span: Span, ranked: &Ranked) -> Row {
    let line = &ranked.line;
    let mut cells = vec![
        html! { @match ranked.rank { Some(rank) => b { (rank) }, None => span.mk-muted { "无评分" } } },
        html! { (line.card.short_name) br; small.mk-muted { (ranked.county) " · " (scope::class_name(&line.card.sender_class)) } },
        html! { b { (words::toned(ranked.score.total)) } },
    ];
    cells.extend(ranked.score.dimensions.map(words::toned));
    cells.push(html! { (words::number(line.total.received)) });
    cells.push(html! { (line.total.rejected_share().map_or("—".to_owned(), words::percent)) });
    cells.push(html! { span.mk-text-bad[line.blank_days() > 0] { (line.blank_days()) } });
    cells.push(html! { (line.missing()) });
    cells.push(sparkline(&ranked.trend, None));
    let href = format!("/quality/institutions/{}?day_from={}&day_to={}", line.card.code, span.from, span.to);
    Row { href: Some(href), mark: if ranked.rank.is_none() { "mk-row-bad" } else { "" }, cells }
}

/// How a score comes about.
pub fn how(catalog: &Catalog) -> Markup {
    let weights = catalog.quality.weights;
    let sum: f64 = weights.iter().sum();
    card(
        "得分怎么来的",
        html! {
            p {
                @for (n, dimension) in Dimension::ALL.iter().enumerate() {
                    @if n > 0 { " ＋ " }
                    (dimension.name()) " × " b { (format!("{:.0}%", weights[n] * 100.0 / sum.max(1.0))) }
                }
            }
            p.mk-muted {
                "每个维度的得分 = 100 ×（1 − 不合格的规则权重之和 ÷ 检查过的规则权重之和）；一行数据每适用一条规则计一次权重。"
                "没有检查过的维度不参加平均。入库后核对的跨表问题计入逻辑性。权重和规则写在目录中，见"
                a href="/datasets" { "数据集目录" } "；每条规则各扣多少分，见机构的质量页面。"
            }
        },
    )
}

const HEADS: [&str; 17] = [
    "名次",
    "机构编码",
    "机构",
    "县区",
    "机构类别",
    "得分",
    "完整性",
    "规范性",
    "及时性",
    "逻辑性",
    "收到",
    "新入库",
    "更正",
    "拒收",
    "拒收率%",
    "未传天数",
    "缺数据集次数",
];

fn cells(ranked: &Ranked) -> Vec<SheetCell> {
    let line = &ranked.line;
    let mut row: Vec<SheetCell> = vec![
        ranked.rank.map_or(SheetCell::Empty, |r| SheetCell::from(r as i64)),
        line.card.code.as_str().into(),
        line.card.name.as_str().into(),
        ranked.county.as_str().into(),
        scope::class_name(&line.card.sender_class).into(),
        ranked.score.total.into(),
    ];
    row.extend(ranked.score.dimensions.map(SheetCell::from));
    row.extend(
        [line.total.received, line.total.stored, line.total.replaced, line.total.rejected]
            .map(SheetCell::from),
    );
    row.push(line.total.rejected_share().into());
    row.push((line.blank_days() as i64).into());
    row.push((line.missing() as i64).into());
    row
}

/// `GET /quality/ranking.csv`
pub(super) async fn csv(State(exchange): State<Exchange>, allowed: Allowed, here: Here) -> Reply<Download> {
    let ranking = gather(&exchange, &allowed, &here).await?;
    let rows = ranking.ranked.iter().map(|r| sheet::texts(&cells(r)));
    Ok(download::csv("quality-ranking.csv", &HEADS, rows))
}

/// `GET /quality/ranking.xlsx`
pub(super) async fn xlsx(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    here: Here,
) -> Reply<SheetDownload> {
    let ranking = gather(&exchange, &allowed, &here).await?;
    let rows: Vec<Vec<SheetCell>> = ranking.ranked.iter().map(cells).collect();
    Ok(sheet::xlsx("quality-ranking.xlsx", "机构排名", &HEADS, &rows)?)
}
