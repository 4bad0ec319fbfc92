//! The monitor (质量监测): institutions × days.

use std::sync::Arc;

use axum::extract::State;
use catalog::Catalog;
use contracts::InstitutionCard;
use kernel::{Purpose, Result};
use maud::{Markup, html};
use web::download::{self, Download};
use web::ui::{
    Figure, Filter, Here, MatrixCell, MatrixRow, Paging, empty, figures, filter_form, icon, matrix,
    page_head, paging,
};
use web::{Allowed, Frame, Reply};

use super::board::{Board, Cell, Line, Order};
use super::counts::{self, Asked};
use super::scope::{self, Choice, Expected, Span};
use super::words;
use crate::Exchange;

/// Institutions on a page.
const PER_PAGE: usize = 100;

/// How many days can be chosen.
const DAYS: [u64; 5] = [28, 14, 7, 31, 62];

/// Everything that the page shows.
pub struct Monitor {
    /// The matter.
    pub board: Board,
    /// The data set looked at.
    pub dataset: Option<Arc<catalog::Dataset>>,
    /// Filters.
    pub options: Options,
}

/// What the filters offer.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Data sets.
    pub datasets: Vec<(String, String)>,
    /// Counties in reach.
    pub counties: Vec<(String, String)>,
    /// Classes in reach.
    pub classes: Vec<(String, String)>,
}

impl Options {
    /// For the institutions in reach.
    pub fn of(exchange: &Exchange, cards: &[Arc<InstitutionCard>]) -> Self {
        Self {
            datasets: scope::datasets(exchange.catalog()),
            counties: scope::counties(exchange.institutions().as_ref(), cards),
            classes: scope::classes(cards),
        }
    }
}

async fn gather(exchange: &Exchange, allowed: &Allowed, here: &Here) -> Result<Monitor> {
    let reach = allowed.reach(Purpose::of("quality"))?;
    let all = scope::in_reach(exchange.institutions().as_ref(), &reach);
    let choice = Choice::read(here, exchange.catalog());
    let cards: Vec<_> = all.iter().filter(|c| choice.holds(c)).cloned().collect();
    let today = exchange.intake.parts().clock.today();
    let days = here.get("days").and_then(|d| d.parse().ok()).filter(|d| DAYS.contains(d)).unwrap_or(DAYS[0]);
    let to = here.get("to").and_then(|d| d.parse().ok()).unwrap_or(today).min(today);
    let span = Span::last(days, to);
    let number = choice.dataset.as_ref().map(|d| d.number);
    let institutions = scope::numbers(&cards);
    let asked = Asked { institutions: &institutions, dataset: number, from: span.from, to: span.to };
    let counted = counts::by_day(exchange.db(), exchange.catalog(), asked).await?;
    let expected = Expected::of(exchange.catalog(), number);
    let mut board = Board::build(&cards, &counted, span, today, &expected);
    board.sort(Order::read(here.get("order")), exchange.catalog());
    Ok(Monitor { board, dataset: choice.dataset, options: Options::of(exchange, &all) })
}

/// `GET /quality`
pub(super) async fn page(
    State(exchange): State<Exchange>,
    allowed: Allowed,
    frame: Frame,
    here: Here,
) -> Reply<Markup> {
    let monitor = gather(&exchange, &allowed, &here).await?;
    Ok(frame.page("质量监测", view(exchange.catalog(), &here, &monitor)))
}

/// The page. Pure.
pub fn view(catalog: &Catalog, here: &Here, monitor: &Monitor) -> Markup {
    let board = &monitor.board;
    let spans: Vec<(String, String)> = DAYS.map(|d| (d.to_string(), format!("{d} 天"))).to_vec();
    let orders: Vec<(String, String)> = [
        ("division", "按区划"),
        ("missing", "缺报多的在前"),
        ("worst", "得分低的在前"),
        ("best", "得分高的在前"),
    ]
    .map(|(v, n)| (v.to_owned(), n.to_owned()))
    .to_vec();
    let filters = [
        Filter::Choice { name: "dataset", label: "数据集", options: &monitor.options.datasets },
        Filter::Choice { name: "county", label: "县区", options: &monitor.options.counties },
        Filter::Choice { name: "class", label: "机构类别", options: &monitor.options.classes },
        Filter::Pick { name: "days", label: "天数", options: &spans },
        Filter::Pick { name: "order", label: "排序", options: &orders },
    ];
    let pages = board.lines.len().div_ceil(PER_PAGE).max(1);
    let page = here.get("page").and_then(|p| p.parse::<usize>().ok()).unwrap_or(1).clamp(1, pages);
    let shown = &board.lines[((page - 1) * PER_PAGE).min(board.lines.len())..];
    let shown = &shown[..shown.len().min(PER_PAGE)];
    let days: Vec<String> = board.days.iter().map(|d| d.format("%m-%d").to_string()).collect();
    let mut rows: Vec<MatrixRow> = Vec::with_capacity(shown.len() + 1);
    if board.lines.len() > 1 {
        rows.push(summary(catalog, here, board));
    }
    rows.extend(shown.iter().map(|line| row(catalog, board, line, monitor.dataset.as_deref())));
    let state =
        Paging::Numbered { page: page as u64, per_page: PER_PAGE as u64, total: board.lines.len() as u64 };
    html! {
        (page_head(&[], "质量监测", "每格是一个机构一天（按业务发生日期）的质量得分；点开看各数据集、批次和问题。", html! {
            a.btn href=(here.at("/quality/ranking").with(&[("page", ""), ("days", ""), ("order", "")]).href()) { (icon("trophy")) " 机构排名" }
            a.btn href=(here.with(&[("page", "")]).at("/quality.csv").href()) download { (icon("download")) " 导出 CSV" }
        }))
        (figures(&head_figures(catalog, here, board)))
        section.mk-card {
            (filter_form(here, &filters))
            @if board.lines.is_empty() {
                (empty("没有机构", "条件中没有您权限范围内的机构。请放宽筛选条件。", None))
            } @else {
                (matrix("机构", &days, &rows))
                (paging(here, &state))
            }
        }
    }
}

fn head_figures(catalog: &Catalog, here: &Here, board: &Board) -> Vec<Figure> {
    let total = board.total();
    let last = board.days.len().saturating_sub(1);
    let figure = |label: &str, value: String, note: String| Figure {
        label: label.to_owned(),
        value,
        note,
        href: None,
    };
    let mut items = Vec::new();
    if board.days.last() == Some(&board.today) {
        let (due, today) = board.reporting(last);
        if last > 0 {
            let (_, before) = board.reporting(last - 1);
            items.push(figure("昨日报送机构", format!("{before} / {due}"), format!("今日已有 {today} 家")));
        } else {
            items.push(figure("今日报送机构", format!("{today} / {due}"), "家".to_owned()));
        }
    } else {
        let (due, came) = board.reporting(last);
        items.push(figure("末日报送机构", format!("{came} / {due}"), "家".to_owned()));
    }
    let share = total.rejected_share().map(words::percent).unwrap_or_default();
    let blank: usize = board.lines.iter().map(Line::blank_days).sum();
    let missing: usize = board.lines.iter().map(Line::missing).sum();
    items.push(figure("收到", words::number(total.received), "行".to_owned()));
    items.push(figure("新入库", words::number(total.stored), "行".to_owned()));
    items.push(figure("拒收", words::number(total.rejected), share));
    items.push(figure("综合得分", words::score(total.score(catalog).total), "分".to_owned()));
    items.push(Figure {
        href: Some(here.with(&[("order", "missing"), ("page", "")]).href()),
        ..figure(
            "整日未传",
            words::number(blank as i64),
            format!("格；缺数据集 {} 次", words::number(missing as i64)),
        )
    });
    items
}

// All institutions by day. Its cells are scores even where somebody is missing: the hover says how many.
fn summary(catalog: &Catalog, here: &Here, board: &Board) -> MatrixRow {
    let cells = board
        .days
        .iter()
        .enumerate()
        .map(|(n, day)| {
            let count = board.day_total(n);
            let (due, came) = board.reporting(n);
            match count.score(catalog).total {
                None => MatrixCell::None,
                Some(score) => MatrixCell::Score {
                    score,
                    explain: format!(
                        "{day} {}\n报送机构 {came} / {due}\n收到 {} 行，拒收 {} 行\n综合得分 {}",
                        words::weekday(*day),
                        words::number(count.received),
                        words::number(count.rejected),
                        words::score(Some(score)),
                    ),
                    href: None,
                },
            }
        })
        .collect();
    MatrixRow {
        name: format!("合计（{} 家）", board.lines.len()),
        href: Some(here.with(&[("order", "worst"), ("page", "")]).href()),
        cells,
    }
}

fn row(catalog: &Catalog, board: &Board, line: &Line, dataset: Option<&catalog::Dataset>) -> MatrixRow {
    let code = &line.card.code;
    let cells = board
        .days
        .iter()
        .zip(&line.cells)
        .map(|(day, cell)| {
            let score = cell.count.score(catalog).total;
            let href = match dataset {
                Some(d) => format!("/quality/day?institution={code}&day={day}&dataset={}", d.code),
                None => format!("/quality/day?institution={code}&day={day}"),
            };
            let href = Some(href);
            if cell.is_blank() {
                MatrixCell::Missing { explain: explain(catalog, day, cell, None), href }
            } else {
                match score {
                    None => MatrixCell::None,
                    Some(score) => {
                        let explain = explain(catalog, day, cell, Some(score));
                        if cell.missing.is_empty() {
                            MatrixCell::Score { score, explain, href }
                        } else {
                            MatrixCell::Partial { score, explain, href }
                        }
                    }
                }
            }
        })
        .collect();
    MatrixRow {
        name: line.card.short_name.clone(),
        href: Some(format!("/quality/institutions/{code}")),
        cells,
    }
}

fn explain(catalog: &Catalog, day: &chrono::NaiveDate, cell: &Cell, score: Option<f64>) -> String {
    let mut text = format!("{day} {}", words::weekday(*day));
    if let Some(score) = score {
        text.push_str(&format!(
            " 得分 {}\n收到 {}，入库 {}，拒收 {}",
            words::score(Some(score)),
            words::number(cell.count.received),
            words::number(cell.count.stored + cell.count.replaced),
            words::number(cell.count.rejected),
        ));
    } else {
        text.push_str("\n当日应传，至今没有收到");
    }
    if !cell.missing.is_empty() {
        // The names of many would only hide the number.
        const NAMED: usize = 4;
        let named = words::dataset_names(catalog, &cell.missing[..cell.missing.len().min(NAMED)]);
        let more = if cell.missing.len() > NAMED { " 等" } else { "" };
        text.push_str(&format!("\n缺 {} / {} 个数据集：{named}{more}", cell.missing.len(), cell.expected));
    }
    text
}

/// `GET /quality.csv`: exactly what is filtered, every institution and day.
pub(super) async fn csv(State(exchange): State<Exchange>, allowed: Allowed, here: Here) -> Reply<Download> {
    let monitor = gather(&exchange, &allowed, &here).await?;
    let heads = [
        "机构编码",
        "机构",
        "机构类别",
        "县区",
        "日期",
        "状态",
        "收到",
        "入库",
        "未变",
        "更正",
        "撤销",
        "拒收",
        "完整性",
        "规范性",
        "及时性",
        "逻辑性",
        "得分",
        "应传数据集数",
        "未传数据集",
    ];
    let catalog = exchange.catalog();
    let mut rows = Vec::new();
    for line in &monitor.board.lines {
        let card = &line.card;
        let county = exchange.institutions().region_name(&card.region.at(kernel::Tier::County));
        for (day, cell) in monitor.board.days.iter().zip(&line.cells) {
            let score = cell.count.score(catalog);
            let state = if cell.is_blank() {
                "整日未传"
            } else if !cell.missing.is_empty() {
                "部分未传"
            } else if cell.count.received > 0 {
                "已传"
            } else {
                "无应传"
            };
            let mut row = vec![
                card.code.clone(),
                card.name.clone(),
                scope::class_name(&card.sender_class).to_owned(),
                county.clone(),
                day.to_string(),
                state.to_owned(),
            ];
            let c = &cell.count;
            row.extend(
                [c.received, c.stored, c.unchanged, c.replaced, c.withdrawn, c.rejected]
                    .map(|n| n.to_string()),
            );
            row.extend(score.dimensions.map(|s| s.map(|_| words::score(s)).unwrap_or_default()));
            row.push(score.total.map(|_| words::score(score.total)).unwrap_or_default());
            row.push(cell.expected.to_string());
            row.push(words::dataset_names(catalog, &cell.missing));
            rows.push(row);
        }
    }
    Ok(download::csv("quality.csv", &heads, rows))
}
