//! What must always hold: symmetry, two valid citizen numbers never in one person, the decisions of people, the same
//! result in any order, no panic on any bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use linkage::{Batch, Clustering, Constraints, Decision, Edge, Frequencies, Kind, Model, Options, cluster};
use proptest::prelude::*;

fn china() -> Model {
    Model::china().expect("the shipped model is read")
}

const FIELDS: [&str; 12] = [
    "citizen_id",
    "name",
    "sex",
    "birth_date",
    "phone",
    "contact_phone",
    "card_no",
    "credential_no",
    "address",
    "region",
    "guardian",
    "ethnicity",
];

/// Values that make records alike often enough to matter.
const POOL: [(&str, &[&str]); 9] = [
    (
        "citizen_id",
        &[
            "",
            "",
            "11010519491231002X",
            "110105194912310021",
            "110105491231002",
            "440524188001010014",
            "34052419800101001X",
        ],
    ),
    (
        "name",
        &[
            "张伟",
            "张玮",
            "張偉",
            "章伟",
            "zhang wei",
            "李丽",
            "李丽之子",
            "买买提·吐尔逊",
            "买买提吐尔逊",
            "",
        ],
    ),
    ("sex", &["1", "2", ""]),
    ("birth_date", &["1949-12-31", "1949-12-13", "1949", "1880-01-01", "1980-01-01", "2020-05-06", ""]),
    ("phone", &["13812345678", "13812345687", "15900000001", ""]),
    ("card_no", &["A1234567", "B7654321", ""]),
    ("address", &["东坝头镇张庄村3组15号", "张庄村三组15号", "中山路88号", ""]),
    ("region", &["410225101203", "410225000000", "110105001001", ""]),
    ("guardian", &["李丽", "张伟", ""]),
];

fn registration() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let fields: Vec<_> = POOL
        .iter()
        .map(|(name, values)| prop::sample::select(values.to_vec()).prop_map(move |v| (*name, v)))
        .collect();
    fields
}

fn number<'a>(registration: &[(&'a str, &'a str)]) -> Option<String> {
    let text = registration.iter().find(|(f, _)| *f == "citizen_id").map_or("", |(_, v)| v);
    standards::identifiers::CitizenId::parse(text).ok().map(|id| id.as_str().to_owned())
}

fn link(model: &Model, registrations: &[Vec<(&'static str, &'static str)>]) -> Vec<u32> {
    let mut batch = Batch::new(model, registrations.len());
    for r in registrations {
        batch.push(model.prepare(r.iter().copied()));
    }
    batch.link(model, &Options { threads: 1, ..Options::default() }).assignment
}

/// Clusters as sets of what the records say.
fn as_sets(assignment: &[u32], labels: &[usize]) -> BTreeSet<Vec<usize>> {
    let mut sets: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (record, group) in assignment.iter().enumerate() {
        sets.entry(*group).or_default().push(labels[record]);
    }
    sets.into_values()
        .map(|mut set| {
            set.sort_unstable();
            set
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn comparison_is_symmetric_and_adds_up(a in registration(), b in registration()) {
        let model = china();
        let (x, y) = (model.prepare(a), model.prepare(b));
        let mut frequencies = Frequencies::default();
        frequencies.add(&model, &x);
        frequencies.add(&model, &y);
        let (there, back) = (model.compare(&x, &y, &frequencies), model.compare(&y, &x, &frequencies));
        prop_assert_eq!(&there, &back);
        prop_assert!((0.0..=1.0).contains(&there.probability));
        let sum: f64 = there.contributions.iter().map(|c| c.weight).sum();
        prop_assert!((sum - there.weight).abs() < 0.1, "{} {}", sum, there.weight);
    }

    #[test]
    fn two_valid_numbers_are_never_linked(registrations in prop::collection::vec(registration(), 2..24)) {
        let model = china();
        let assignment = link(&model, &registrations);
        let mut holder: BTreeMap<u32, u64> = BTreeMap::new();
        for (record, group) in assignment.iter().enumerate() {
            // A number that tells another birth than the registration is somebody else's, and binds nobody.
            if let Some(value) = model.exclusive(&model.prepare(registrations[record].iter().copied())) {
                prop_assert!(number(&registrations[record]).is_some());
                prop_assert_eq!(*holder.entry(*group).or_insert(value), value);
            }
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        registrations in prop::collection::vec(registration(), 2..16),
        seed in any::<u64>(),
    ) {
        let model = china();
        let labels: Vec<usize> = (0..registrations.len()).collect();
        // Registrations that say exactly the same can stand for one another.
        let content = |r: usize| registrations.iter().position(|s| *s == registrations[r]).unwrap();
        let mut shuffled = labels.clone();
        shuffled.sort_by_key(|r| (*r as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        let first = link(&model, &registrations);
        let other: Vec<_> = shuffled.iter().map(|r| registrations[*r].clone()).collect();
        let second = link(&model, &other);
        let named = |order: &[usize]| order.iter().map(|r| content(*r)).collect::<Vec<_>>();
        prop_assert_eq!(as_sets(&first, &named(&labels)), as_sets(&second, &named(&shuffled)));
    }

    #[test]
    fn clusters_respect_what_people_decided(
        scores in prop::collection::vec((0_u32..12, 0_u32..12, -20.0_f32..40.0), 0..60),
        apart in prop::collection::vec((0_u32..12, 0_u32..12), 0..6),
        together in prop::collection::vec((0_u32..12, 0_u32..12), 0..4),
        exclusive in prop::collection::vec(0_u64..4, 12),
    ) {
        let edges: Vec<Edge> = scores.iter().map(|(a, b, score)| Edge { a: *a, b: *b, score: *score }).collect();
        let constraints = Constraints {
            apart: &apart, together: &together, exclusive: &exclusive, link: 5.0, review: 0.0, prior: -10.0,
            ..Constraints::default()
        };
        let Clustering { assignment, holds } = cluster(12, &edges, &constraints, &|_, _| -15.0);
        prop_assert_eq!(assignment.len(), 12);
        for (record, group) in assignment.iter().enumerate() {
            prop_assert!(*group as usize <= record && assignment[*group as usize] == *group);
        }
        let one = |a: u32, b: u32| assignment[a as usize] == assignment[b as usize];
        for a in 0..12 {
            for b in 0..12 {
                let (x, y) = (exclusive[a as usize], exclusive[b as usize]);
                prop_assert!(!one(a, b) || x == 0 || y == 0 || x == y, "{} {}", a, b);
            }
        }
        for (a, b) in &apart {
            prop_assert!(a == b || !one(*a, *b), "{} {}", a, b);
        }
        for hold in holds {
            prop_assert!(hold.score >= 0.0 && !one(hold.a, hold.b));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(values in prop::collection::vec(".{0,60}", 12), others in prop::collection::vec("\\PC{0,20}", 12)) {
        let model = china();
        let pair = |v: &[String]| model.prepare(FIELDS.iter().copied().zip(v.iter().map(String::as_str)));
        let (x, y) = (pair(&values), pair(&others));
        let _ = model.keys(&x);
        let compared = model.compare(&x, &y, &Frequencies::default());
        prop_assert!(compared.weight.is_finite());
    }

    #[test]
    fn every_kind_reads_anything(text in ".{0,80}", other in "[0-9A-Za-z@. /-]{0,24}") {
        for kind in ["text", "name", "words", "date", "number", "identifier", "phone", "email", "postcode", "category",
            "chinese_name", "citizen_id", "region", "chinese_address"]
        {
            let model = Model::parse(&format!(
                "version = \"t\"\n[thresholds]\nlink = 0.9\nreview = 0.1\n[[field]]\nname = \"f\"\nkind = \"{kind}\"\n\
                 [[block]]\nname = \"b\"\non = [\"f\"]"
            )).unwrap();
            let (x, y) = (model.prepare([("f", text.as_str())]), model.prepare([("f", other.as_str())]));
            let _ = (model.keys(&x), model.keys(&y));
            let frequencies = Frequencies::default();
            prop_assert_eq!(model.compare(&x, &y, &frequencies), model.compare(&y, &x, &frequencies));
        }
    }
}

#[test]
fn what_the_shipped_model_decides() {
    let model = china();
    let mut frequencies = Frequencies::default();
    frequencies.set_records(1_000_000);
    let of = |values: &[(&'static str, &'static str)]| model.prepare(values.iter().copied());
    let mother = of(&[
        ("name", "李丽"),
        ("sex", "2"),
        ("birth_date", "1990-03-07"),
        ("citizen_id", "110105199003070020"),
        ("phone", "13812345678"),
    ]);
    let base =
        [("name", "张伟"), ("sex", "1"), ("birth_date", "1949-12-31"), ("citizen_id", "11010519491231002X")];
    let table: [(&str, Vec<(&'static str, &'static str)>, Decision); 6] = [
        (
            "the number in its old form",
            vec![("name", "张伟"), ("citizen_id", "110105491231002")],
            Decision::Link,
        ),
        (
            "traditional characters",
            vec![("name", "張偉"), ("citizen_id", "11010519491231002X")],
            Decision::Link,
        ),
        (
            "one digit wrong",
            vec![
                ("name", "张伟"),
                ("sex", "1"),
                ("birth_date", "1949-12-31"),
                ("citizen_id", "110105194912310021"),
            ],
            Decision::Link,
        ),
        (
            "another valid number",
            vec![
                ("name", "张伟"),
                ("sex", "1"),
                ("birth_date", "1949-12-31"),
                ("citizen_id", "440524194912310035"),
            ],
            Decision::Apart,
        ),
        (
            "somebody else with this number",
            vec![("name", "王芳"), ("birth_date", "1975-06-01"), ("citizen_id", "11010519491231002X")],
            Decision::Apart,
        ),
        ("a name alone", vec![("name", "张伟")], Decision::Apart),
    ];
    for (what, values, expected) in table {
        let comparison = model.compare(&of(&base), &of(&values), &frequencies);
        assert_eq!(model.decide(&comparison), expected, "{what}: {comparison:?}");
    }
    let child = of(&[
        ("name", "李丽之子"),
        ("sex", "1"),
        ("birth_date", "2020-05-06"),
        ("citizen_id", "110105199003070020"),
        ("phone", "13812345678"),
        ("guardian", "李丽"),
    ]);
    let comparison = model.compare(&mother, &child, &frequencies);
    assert_eq!(model.decide(&comparison), Decision::Apart, "{comparison:?}");
    assert!(model.exclusive(&child).is_none(), "a mother's number binds no child");
}

#[test]
fn models_that_are_wrong_say_where() {
    let head = "version = \"x\"\n[thresholds]\nlink = 0.9\nreview = 0.1\n";
    let field = "[[field]]\nname = \"n\"\nkind = \"date\"\n";
    for (text, place) in [
        ("version = 1".to_owned(), "第 1 行"),
        (format!("{head}[[field]]\nname = \"n\"\nkind = \"colour\"\n"), "第 7 行"),
        (format!("{head}{field}levels = [{{ name = \"homophone\" }}]\n"), "field n"),
        (format!("{head}{field}levels = [{{ name = \"year\" }}, {{ name = \"exact\" }}]\n"), "field n"),
        (format!("{head}{field}levels = [{{ name = \"exact\", m = 0.0 }}]\n"), "field n"),
        (format!("{head}{field}{field}"), "field n"),
        (format!("{head}{field}swap = \"other\"\n"), "field n"),
        (format!("{head}{field}[[block]]\nname = \"b\"\non = [\"q\"]\n"), "block b"),
        (format!("{head}{field}[[block]]\nname = \"b\"\non = [\"n.surname\"]\n"), "block b"),
        (format!("{head}{field}[[veto]]\nname = \"v\"\nwhen = {{ n = [\"none\"] }}\n"), "veto v"),
        (format!("{head}{field}[[rule]]\nname = \"r\"\nwhen = {{}}\n"), "rule r"),
        (
            format!("{head}{field}[[relation]]\nname = \"k\"\nper_record = 1.0\nshares = [\"q\"]\n"),
            "relation k",
        ),
        (head.replace("0.1", "0.95") + field, "thresholds"),
    ] {
        let error = Model::parse(&text).expect_err(&text);
        assert_eq!(error.place, place, "{error}");
    }
}

#[test]
fn every_kind_has_guesses_for_all_its_outcomes() {
    for kind in [
        Kind::Text,
        Kind::Name,
        Kind::Words,
        Kind::Date,
        Kind::Number,
        Kind::Identifier,
        Kind::Phone,
        Kind::Email,
        Kind::Postcode,
        Kind::Category,
        Kind::ChineseName,
        Kind::CitizenId,
        Kind::Region,
        Kind::ChineseAddress,
    ] {
        for guess in [kind.guess(), kind.guess_apart()] {
            assert_eq!(guess.len(), kind.outcomes().len(), "{kind:?}");
            assert!((guess.iter().sum::<f64>() - 1.0).abs() < 0.02, "{kind:?} {}", guess.iter().sum::<f64>());
        }
    }
}

#[test]
fn secrets_change_every_hash_and_nothing_else() {
    let values = [("name", "张伟"), ("phone", "13812345678"), ("birth_date", "1949-12-31")];
    let (open, keyed) = (china(), china().with_secret([7; 32]));
    let (a, b) = (open.prepare(values), keyed.prepare(values));
    let (x, y) = (open.keys(&a), keyed.keys(&b));
    assert_eq!(x.len(), y.len());
    assert!(x.iter().zip(&y).all(|(p, q)| p.rule == q.rule && p.hash != q.hash));
    let frequencies = Frequencies::default();
    assert_eq!(open.compare(&a, &a, &frequencies), keyed.compare(&b, &b, &frequencies));
}
