//! Every page renders its samples: empty, typical, extreme.

use std::sync::Arc;

use catalog::score::Weighed;
use contracts::InstitutionCard;
use exchange::quality::board::{Board, Order};
use exchange::quality::costs::{self, RuleCount};
use exchange::quality::counts::{Count, DayCount};
use exchange::quality::monitor::{self, Monitor, Options};
use exchange::quality::scope::{Expected, Span};
use exchange::quality::{datasets, day, institution, ranking, rows};
use web::ui::Here;

use crate::city::card;

const LONG: &str = "信阳市平桥区明港镇第二中心卫生院暨𫍯𥔲社区卫生服务中心";

fn today() -> chrono::NaiveDate {
    "2025-05-15".parse().unwrap()
}

fn counted(cards: &[Arc<InstitutionCard>], span: Span) -> Vec<DayCount> {
    let mut all = Vec::new();
    for (n, card) in cards.iter().enumerate() {
        for (d, day) in span.days().into_iter().enumerate() {
            if (n + d) % 17 == 0 {
                continue;
            }
            let failed = ((n * 7 + d * 3) % 40) as f64;
            let weighed = Weighed { checked: [1000.0; 4], failed: [failed, failed / 2.0, failed * 3.0, 0.0] };
            let count = Count {
                received: 1_234_567,
                stored: 1_200_000,
                rejected: 34_567,
                weighed,
                ..Count::default()
            };
            all.push(DayCount { institution: card.id.get(), day, came: vec![1, 2, 3, 4, 5], count });
        }
    }
    all
}

fn sample(institutions: i64, days: u64) -> Monitor {
    let catalog = catalog::shipped().unwrap();
    let cards: Vec<_> = (1..=institutions).map(|id| card(id, LONG, "township", "411503102")).collect();
    let span = Span::last(days, today());
    let expected = Expected::of(&catalog, None);
    let board = Board::build(&cards, &counted(&cards, span), span, today(), &expected);
    Monitor { board, dataset: None, options: Options::default() }
}

fn no_inline(page: &str) {
    assert!(!page.contains(" style=") && !page.contains(" onclick"));
}

#[test]
fn the_matrix_empty_typical_extreme() {
    let catalog = catalog::shipped().unwrap();
    for (institutions, days) in [(0, 14), (1, 1), (12, 14), (300, 31)] {
        let mut monitor = sample(institutions, days);
        for order in [Order::Division, Order::Missing, Order::Worst, Order::Best] {
            monitor.board.sort(order, &catalog);
        }
        let started = std::time::Instant::now();
        let page = monitor::view(&catalog, &Here::new("/quality", "days=31"), &monitor).into_string();
        no_inline(&page);
        assert_eq!(page.contains("没有机构"), institutions == 0);
        // 300 institutions are three pages; one of them must stay light enough for a slow line.
        assert!(
            page.len() < 1_500_000,
            "{institutions} × {days}: {} bytes, {:?}",
            page.len(),
            started.elapsed()
        );
        assert_eq!(page.contains("page=3"), institutions == 300);
    }
}

#[test]
fn the_ranking_gives_equal_scores_one_rank() {
    let catalog = catalog::shipped().unwrap();
    for (institutions, days) in [(0, 1), (3, 31), (300, 31)] {
        let ranked = ranking::rank(&catalog, sample(institutions, days).board, |_| "平桥区".into());
        let data = ranking::Ranking {
            span: Span::last(days, today()),
            ranked,
            options: Options::default(),
            years: Vec::new(),
        };
        no_inline(&ranking::view(&catalog, &Here::new("/quality/ranking", ""), &data).into_string());
    }
    let cards: Vec<_> = (1..=4).map(|id| card(id, LONG, "cdc", "411503")).collect();
    let of = |id: i64, failed: f64| DayCount {
        institution: id,
        day: today(),
        came: vec![2],
        count: Count {
            received: 1,
            weighed: Weighed { checked: [1.0; 4], failed: [failed; 4] },
            ..Count::default()
        },
    };
    let span = Span::last(1, today());
    let board =
        Board::build(&cards, &[of(1, 0.5), of(2, 0.1), of(3, 0.1)], span, today(), &Expected::default());
    let ranks: Vec<Option<usize>> =
        ranking::rank(&catalog, board, |_| String::new()).iter().map(|r| r.rank).collect();
    assert_eq!(ranks, [Some(1), Some(1), Some(3), None]);
}

#[test]
fn an_institution_and_its_day_empty_typical_extreme() {
    let catalog = catalog::shipped().unwrap();
    let card = card(1, LONG, "hospital", "411503");
    let expected = Expected::of(&catalog, None).by("hospital");
    for days in [0u64, 1, 31, 366] {
        let span = Span::last(days.max(1), today());
        let mut of_days = Vec::new();
        if days > 0 {
            for dataset in &catalog.datasets {
                let mut some = counted(std::slice::from_ref(&card), span);
                some.iter_mut().for_each(|c| c.came = vec![dataset.number]);
                of_days.extend(some);
            }
        }
        let counts: Vec<RuleCount> = if days == 0 { vec![] } else { every_rule(&catalog) };
        let data = institution::InstitutionQuality {
            card: card.clone(),
            division: "平桥区".into(),
            span,
            today: today(),
            counted: of_days.clone(),
            expected: expected.clone(),
            rules: costs::costs(&catalog, &counts).0,
        };
        for query in ["", "by=week&rules=all"] {
            let here = Here::new("/quality/institutions/x", query);
            no_inline(&institution::view(&catalog, &here, &data, true).into_string());
        }
        let one = day::InstitutionDay {
            card: card.clone(),
            day: today(),
            today: today(),
            came: of_days.iter().filter(|c| c.day == today()).map(|c| (c.came[0], c.count)).collect(),
            missing: if days == 0 { expected.clone() } else { vec![] },
            findings: vec![day::FindingCount { dataset: 2, rule: 9_999, rows: 3 }],
            batches: vec![],
            may_open: days > 0,
        };
        no_inline(&day::view(&catalog, &Here::new("/quality/day", "day=2025-05-15"), &one).into_string());
    }
}

fn every_rule(catalog: &catalog::Catalog) -> Vec<RuleCount> {
    let of = |d: &Arc<catalog::Dataset>| {
        let dataset = d.number;
        (0..d.rules.len() as i16).map(move |rule| RuleCount {
            dataset,
            rule,
            checked: 1_000_000,
            failed: i64::from(rule) * 977,
        })
    };
    catalog.datasets.iter().flat_map(of).collect()
}

#[test]
fn rows_show_nothing_restricted_and_data_sets_render() {
    let catalog = catalog::shipped().unwrap();
    for dataset in &catalog.datasets {
        no_inline(&datasets::view(&catalog, &catalog.tables, dataset, true).into_string());
        let fields = rows::shown_fields(dataset);
        let restricted: Vec<usize> = (0..dataset.fields.len())
            .filter(|f| dataset.fields[*f].sensitivity == catalog::Sensitivity::Restricted)
            .collect();
        assert_eq!(fields.len() + restricted.len(), dataset.fields.len(), "{}", dataset.code);
        assert!(!restricted.iter().any(|f| fields.contains(f)));
        for sight in [rows::Sight::Whole, rows::Sight::Masked, rows::Sight::Outline] {
            let fact = |id| rows::FactText {
                id,
                batch_id: 3,
                row_no: 1,
                cells: fields.iter().map(|f| (f % 3 > 0).then(|| LONG.to_owned())).collect(),
            };
            let data = rows::DayRows {
                card: card(1, LONG, "hospital", "411503"),
                dataset: dataset.clone(),
                day: today(),
                rule: None,
                sight,
                facts: (1..50).map(fact).collect(),
                findings: vec![rows::Finding { fact_id: 1, rule: 0, value: "V001".into() }],
                next: Some(50),
            };
            let here = Here::new("/quality/rows", "day=2025-05-15");
            no_inline(&rows::view(&catalog, &catalog.tables, &here, &data).into_string());
        }
    }
    assert!(datasets::list_view(&catalog).into_string().contains("门诊就诊记录"));
}
