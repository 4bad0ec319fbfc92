//! Every page of the record with its samples: empty, typical, extreme.
#![allow(clippy::unwrap_used)]

use chrono::NaiveDate;
use kernel::Id;
use maud::Markup;
use web::ui::{Alert, Allergies, Here, PersonBanner, Tab, Tone};

use super::event::{Body, EventView, Part, Version, VersionsView};
use super::load::RecordView;
use super::overview::{Line, Lines, Side};
use super::print::PrintedBy;
use super::sections::{Choices, Content, Dose, Order, Trend};
use super::trend::TrendView;
use super::{Place, Section, opened, overview, print, trend};
use crate::fields::Shown;
use crate::laboratory::{ResultRow, by_item};
use crate::summary::{Measure, Medicine, Problem};

/// What must never break out of a page, and a character that few fonts have.
const NASTY: &str =
    "<script>alert(1)</script>\"'&𬭊𠮷超长超长超长超长超长超长超长超长超长超长超长超长超长超长超长超长";

fn day(n: usize) -> NaiveDate {
    NaiveDate::from_ymd_opt(2015 + (n % 11) as i32, (n % 12) as u32 + 1, (n % 28) as u32 + 1).unwrap()
}

fn results(count: usize, text: &str) -> Vec<ResultRow> {
    (0..count)
        .map(|n| ResultRow {
            key: format!("{text}{}", n % 40),
            item: text.to_owned(),
            value: if n % 3 == 0 { text.to_owned() } else { format!("{n}.5") },
            number: (n % 3 != 0).then_some(n as f64),
            unit: "mmol/L".to_owned(),
            flag: ["", "N", "H", "LL", "A", "??"][n % 6].to_owned(),
            reference: "3.9–6.1".to_owned(),
            band: (n % 2 == 0).then_some((3.9, 6.1)),
            at: day(n).and_hms_opt(8, 0, 0).unwrap(),
            institution: Id::new(1),
        })
        .collect()
}

fn lines(count: usize, text: &str) -> Lines {
    let line = |n| Line {
        date: day(n).to_string(),
        time: "08:30".to_owned(),
        icon: "stethoscope".to_owned(),
        kind: "门诊".to_owned(),
        title: text.to_owned(),
        detail: text.to_owned(),
        abnormal: n % 2 == 0,
        institution: text.to_owned(),
        href: format!("/record/7/event/outpatient_visit/{n}"),
    };
    let choice = |n: usize| (n.to_string(), text.to_owned());
    Lines {
        events: (0..count).map(line).collect(),
        next: (count > 1).then(|| Here::new("/record/7", "after=20250304T000000_1")),
        choices: Choices {
            kinds: (0..count).map(|n| (n.to_string(), text.to_owned(), n as u64)).collect(),
            institutions: (0..count).map(choice).collect(),
            departments: (0..count).map(choice).collect(),
            diseases: (0..count).map(choice).collect(),
            years: (0..count as i32).map(|n| 2025 - n).collect(),
            whole: true,
        },
    }
}

fn medicine(n: usize, text: &str) -> Medicine {
    Medicine {
        name: text.to_owned(),
        usage: text.to_owned(),
        first: day(n),
        last: day(n),
        count: n,
        institution: Id::new(1),
    }
}

fn banner(count: usize, text: &str) -> PersonBanner {
    PersonBanner {
        name: text.to_owned(),
        allergies: Allergies::Known(vec![text.to_owned(); count]),
        alerts: vec![Alert { tone: Tone::Warn, text: text.to_owned() }; count],
        ..PersonBanner::default()
    }
}

fn contents(count: usize, text: &str) -> Vec<Content> {
    let trend = Trend {
        id: "t".to_owned(),
        title: text.to_owned(),
        names: vec![text.to_owned(), "舒张压".to_owned()],
        points: (0..count).map(|n| (day(n), vec![Some(n as f64), None], "/record/7".to_owned())).collect(),
        limits: vec![Some(140.0), None],
    };
    let order = |n| Order { name: text.to_owned(), usage: text.to_owned(), from: day(n), ..Order::default() };
    let dose = |n: usize| Dose {
        vaccine: text.to_owned(),
        day: day(n).to_string(),
        reaction: text.to_owned(),
        href: "/x".to_owned(),
        ..Dose::default()
    };
    vec![
        Content::Events { trends: vec![trend], lines: lines(count, text) },
        Content::Laboratory { items: by_item(results(count, text)), reports: lines(count, text) },
        Content::Medication {
            current: 2,
            medicines: (0..count).map(|n| (text.to_owned(), medicine(n, text))).collect(),
            orders: (0..count).map(order).collect(),
        },
        Content::Immunization { doses: (0..count).map(dose).collect() },
    ]
}

fn record(count: usize, text: &str, content: Content) -> RecordView {
    let problem = |n: usize| Problem {
        category: "I10".to_owned(),
        name: text.to_owned(),
        chronic: n.is_multiple_of(2),
        first: day(0),
        last: day(n),
        days: n,
    };
    let measure = |n| {
        (
            "hypertension_followup".to_owned(),
            Measure { text: text.to_owned(), day: day(n), abnormal: true, dataset: 19, fact_id: 1 },
        )
    };
    RecordView {
        title: text.to_owned(),
        banner: banner(count, text),
        tabs: vec![
            Tab { title: text.to_owned(), href: "/record/7".to_owned(), count: Some(1), current: true };
            count.min(8)
        ],
        side: Side {
            problems: (0..count).map(problem).collect(),
            medicines: (0..count).map(|n| medicine(n, text)).collect(),
            allergies: vec![(text.to_owned(), text.to_owned()); count],
            abnormal: results(count, text),
            measures: (0..count).map(measure).collect(),
        },
        content,
        hidden: if count > 1 { format!("有 {count} 条受保护的记录未显示") } else { String::new() },
        may_restrict: count > 1,
        may_record_death: count > 1,
    }
}

fn event(count: usize, text: &str) -> EventView {
    let shown = |n| Shown { field: n, title: text.to_owned(), text: text.to_owned(), restricted: n % 5 == 4 };
    let part = |body| Part { title: text.to_owned(), count, body };
    let cells = vec![(vec![text.to_owned(); 2], true); count];
    let columns = vec![text.to_owned(), "金额".to_owned()];
    EventView {
        title: text.to_owned(),
        banner: Some(banner(count, text)),
        fields: (0..count).map(shown).collect(),
        parts: vec![
            part(Body::Results(results(count, text))),
            part(Body::Table { columns: columns.clone(), rows: cells.clone() }),
            part(Body::Fees {
                classes: vec![(text.to_owned(), 3, "1.00".to_owned())],
                total: "1.00".to_owned(),
                columns,
                rows: cells,
            }),
            part(Body::Links(vec![(text.to_owned(), "/x".to_owned()); count])),
            part(Body::Blocks(vec![((0..count).map(shown).collect(), vec![part(Body::Links(Vec::new()))])])),
        ],
        parent: Some((text.to_owned(), text.to_owned(), "/x".to_owned())),
        same_day: lines(count, text).events,
        version: count as i32,
        ..EventView::default()
    }
}

fn pages(count: usize, text: &str) -> Vec<Markup> {
    let mut place = Place::of(&Here::new("/record/7", "kind=x&disease=I10&institution=3"), 7);
    let mut out = Vec::new();
    let by = PrintedBy { who: text, institution: text, at: day(1).and_hms_opt(8, 0, 0).unwrap() };
    for (content, section) in contents(count, text).into_iter().zip(Section::ALL) {
        place.section = section;
        let view = record(count, text, content);
        out.push(overview::page(&place, &view));
        out.push(print::page(&place, &view, &by));
    }
    out.push(overview::lines(&lines(count, text)));
    out.push(opened::in_place(&event(count, text)));
    out.push(opened::page(&place, &event(count, text)));
    let rows = results(count, text).into_iter().map(|row| (text.to_owned(), row)).collect();
    out.push(trend::page(&place, &TrendView { title: text.to_owned(), banner: banner(count, text), rows }));
    let change = (text.to_owned(), text.to_owned(), String::new());
    let version = Version {
        number: 1,
        ended: text.to_owned(),
        batch: count.is_multiple_of(2).then_some(1),
        reason: text.to_owned(),
        changes: vec![change; count],
    };
    let versions = VersionsView {
        banner: banner(count, text),
        title: text.to_owned(),
        href: "/x".to_owned(),
        now: 9,
        versions: vec![version; count],
    };
    out.push(opened::versions(&place, &versions));
    out
}

#[test]
fn every_page_renders_empty_typical_and_extreme() {
    for (count, text) in [(0, ""), (1, "高血压"), (6, "2型糖尿病"), (300, NASTY)] {
        for page in pages(count, text) {
            let html = page.into_string();
            assert!(
                !html.contains("<script>alert") && !html.contains(" style=") && !html.contains(" onclick"),
                "{html}"
            );
            assert_eq!(html.matches("<div").count(), html.matches("</div>").count());
            assert_eq!(html.matches("<details").count(), html.matches("</details>").count());
        }
    }
}
