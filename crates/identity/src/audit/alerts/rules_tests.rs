//! Each rule with a case that it raises and one that it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// The shipped rule with another threshold.
fn rule(code: &str, threshold: i64) -> AlertRule {
    let catalog = catalog::shipped().unwrap();
    let found = catalog.alerts.iter().find(|r| r.code == code).unwrap();
    AlertRule { threshold, ..found.clone() }
}

/// An instant on 15 May 2025 in China.
fn at(hour: i64, minute: i64) -> DateTime<Utc> {
    // Midnight of that day in China.
    DateTime::from_timestamp(1_747_238_400, 0).unwrap() + TimeDelta::minutes(hour * 60 + minute)
}

fn look(id: i64, at: DateTime<Utc>, person: i64) -> Look {
    Look {
        id,
        at,
        viewer: "account:7".into(),
        account: Some(7),
        name: "王丽华".into(),
        role: "医生".into(),
        institution: Some(3),
        region: "411503102000".into(),
        person,
        label: format!("李{person}"),
        care: Some(true),
    }
}

/// The looks of one viewer, all of them new.
fn one(looks: Vec<Look>) -> Happened {
    let mut happened = Happened { new: looks.iter().map(|l| l.id).collect(), ..Happened::default() };
    for look in &looks {
        happened.by_person.entry(look.person).or_default().push(look.clone());
    }
    for look in looks {
        happened.by_viewer.entry(look.viewer.clone()).or_default().push(look);
    }
    happened
}

fn looks(times: impl Iterator<Item = DateTime<Utc>>, change: impl Fn(&mut Look)) -> Happened {
    one(times
        .enumerate()
        .map(|(n, at)| {
            let mut look = look(n as i64 + 1, at, n as i64 + 100);
            change(&mut look);
            look
        })
        .collect())
}

fn figures(rule: &AlertRule, happened: &Happened) -> Vec<(String, i64)> {
    evaluate(rule, happened).into_iter().map(|r| (r.subject, r.figure)).collect()
}

#[track_caller]
fn raises(rule: &AlertRule, happened: &Happened, figure: i64) {
    assert_eq!(figures(rule, happened), [("account:7".to_owned(), figure)]);
}

#[track_caller]
fn silent(rule: &AlertRule, happened: &Happened) {
    assert_eq!(figures(rule, happened), []);
}

#[test]
fn night_browsing() {
    let rule = rule("night_browsing", 3);
    raises(&rule, &looks([at(22, 0), at(23, 30), at(24, 10)].into_iter(), |_| {}), 3);
    silent(&rule, &looks([at(21, 58), at(21, 59), at(22, 0)].into_iter(), |_| {}));
    silent(&rule, &looks([at(22, 0), at(22, 1), at(22, 2)].into_iter(), |l| l.person = 1));
}

#[test]
fn many_by_one_counts_people_within_the_window() {
    let rule = rule("many_by_one", 4);
    let happened = looks((0..6).map(|n| at(9, n)), |_| {});
    raises(&rule, &happened, 6);
    let evidence = &evaluate(&rule, &happened)[0].evidence;
    assert_eq!((evidence.len(), evidence[0].1), (6, 1));
    silent(&rule, &looks((0..6).map(|n| at(9 + n, 0)), |_| {}));
}

#[test]
fn many_by_role_is_against_the_role() {
    let rule = rule("many_by_role", 5);
    let mut happened = looks((0..10).map(|n| at(9, n)), |_| {});
    silent(&rule, &happened);
    happened.baseline.insert("医生".into(), (4.0, 1.0));
    raises(&rule, &happened, 10);
    happened.baseline.insert("医生".into(), (4.0, 2.0));
    silent(&rule, &happened);
}

#[test]
fn one_person_by_many() {
    let rule = rule("person_by_many", 3);
    let by = |viewers: [&str; 3]| {
        looks([at(9, 0), at(10, 0), at(11, 0)].into_iter(), |l| {
            l.person = 42;
            l.viewer = viewers[l.id as usize - 1].to_owned();
        })
    };
    assert_eq!(
        figures(&rule, &by(["account:1", "account:2", "embedded:3:李"])),
        [("person:42".to_owned(), 3)]
    );
    silent(&rule, &by(["account:1", "account:2", "account:1"]));
}

#[test]
fn no_care_relation() {
    let rule = rule("no_care", 2);
    raises(&rule, &looks((0..2).map(|n| at(9, n)), |l| l.care = Some(false)), 2);
    silent(&rule, &looks((0..5).map(|n| at(9, n)), |l| l.care = (l.id % 2 == 0).then_some(true)));
}

#[test]
fn the_same_surname() {
    let rule = rule("same_surname", 2);
    let named = |name: &str| {
        looks((0..2).map(|n| at(9, n)), |l| {
            l.care = Some(false);
            l.label = name.to_owned();
        })
    };
    raises(&rule, &named("王五"), 2);
    silent(&rule, &named("汪五"));
    silent(&rule, &looks((0..2).map(|n| at(9, n)), |l| l.label = "王五".into()));
    assert_eq!(
        (surname("欧阳修"), surname("欧洋"), surname("Li"), surname("")),
        (Some("欧阳"), Some("欧"), None, None)
    );
}

#[test]
fn the_same_village() {
    let rule = rule("same_village", 3);
    let mut happened = looks((0..3).map(|n| at(9, n)), |l| l.care = Some(false));
    silent(&rule, &happened);
    for person in 100..103 {
        happened.known.insert(person, Known { village: "411503102003".into(), ..Known::default() });
    }
    raises(&rule, &happened, 3);
    happened.known.insert(101, Known { village: "411503102004".into(), ..Known::default() });
    silent(&rule, &happened);
}

#[test]
fn colleagues() {
    let rule = rule("colleague", 1);
    let mut happened = looks([at(9, 0)].into_iter(), |l| {
        l.care = Some(false);
        l.label = "陈同事".into();
    });
    silent(&rule, &happened);
    happened.colleagues.insert((3, "陈同事".into()));
    raises(&rule, &happened, 1);
    let mut treated = looks([at(9, 0)].into_iter(), |l| l.label = "陈同事".into());
    treated.colleagues.insert((3, "陈同事".into()));
    silent(&rule, &treated);
}

#[test]
fn the_own_record() {
    let rule = rule("own_record", 1);
    raises(&rule, &looks([at(9, 0)].into_iter(), |l| l.label = "王丽华".into()), 1);
    silent(&rule, &looks([at(9, 0)].into_iter(), |l| l.label = "王丽".into()));
}

#[test]
fn numbers_in_sequence() {
    let rule = rule("sequence", 4);
    let numbered = |numbers: &[&str]| {
        let mut happened = looks((0..numbers.len() as i64).map(|n| at(9, n)), |_| {});
        for (n, number) in numbers.iter().enumerate() {
            let known = Known { local_nos: vec![(3, (*number).to_owned())], ..Known::default() };
            happened.known.insert(100 + n as i64, known);
        }
        happened
    };
    raises(&rule, &numbered(&["P007", "P100", "P101", "P102", "P103"]), 4);
    raises(&rule, &numbered(&["9", "8", "7", "6"]), 4);
    silent(&rule, &numbered(&["P1", "P2", "P3", "P5", "P6", "P7"]));
    silent(&rule, &numbered(&["A", "B", "C", "D"]));
}

#[test]
fn large_exports_are_told() {
    let rule = rule("large_export", 5000);
    let export =
        |rows| Happened { exports: vec![Export { look: look(1, at(9, 0), 0), rows }], ..Happened::default() };
    raises(&rule, &export(5000), 5000);
    silent(&rule, &export(4999));
}

fn sign_ins(tries: &[(i64, &str, bool)]) -> Happened {
    let mut happened = Happened::default();
    for (n, (minute, address, ok)) in tries.iter().enumerate() {
        let id = n as i64 + 1;
        happened.new.insert(id);
        happened.sign_ins.entry(7).or_default().push(SignIn {
            id,
            at: at(9, *minute),
            account: 7,
            login: "wang".into(),
            address: (*address).to_owned(),
            ok: *ok,
            ..SignIn::default()
        });
    }
    happened
}

#[test]
fn failed_sign_ins_before_a_good_one() {
    let rule = rule("failed_then_in", 3);
    let a = "10.1.1.1";
    raises(&rule, &sign_ins(&[(0, a, false), (1, a, false), (2, a, false), (3, a, true)]), 3);
    silent(&rule, &sign_ins(&[(0, a, false), (1, a, false), (2, a, true), (3, a, false), (4, a, true)]));
    silent(&rule, &sign_ins(&[(0, a, false), (1, a, false), (2, a, false), (90, a, true)]));
    silent(&rule, &sign_ins(&[(0, a, false), (1, a, false), (2, a, false)]));
}

#[test]
fn an_address_never_seen() {
    let rule = rule("new_address", 2);
    let tries =
        |last: &'static str| sign_ins(&[(0, "10.1.1.1", true), (1, "10.1.1.9", true), (2, last, true)]);
    raises(&rule, &tries("172.16.0.1"), 2);
    silent(&rule, &tries("10.1.1.200"));
    silent(&rule, &sign_ins(&[(0, "10.1.1.1", true), (2, "172.16.0.1", true)]));
}

#[test]
fn what_is_not_new_raises_nothing() {
    let mut happened = looks((0..6).map(|n| at(9, n)), |_| {});
    happened.new.clear();
    silent(&rule("many_by_one", 4), &happened);
}
