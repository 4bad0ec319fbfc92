//! The rules against tables of cases and random sequences.
#![allow(clippy::unwrap_used)]

use super::*;

fn by() -> By<'static> {
    By { actor: "李核对", reason: "看过证件", at: DateTime::UNIX_EPOCH }
}

/// Persons by their records; a record's number follows a colon: `1:a 2 | 3:b`.
fn state(text: &str) -> State {
    let mut state = State::default();
    for (n, person) in text.split('|').enumerate() {
        let id = 100 + n as i64;
        state.persons.entry(id).or_default();
        for word in person.split_whitespace() {
            let (record, number) =
                word.split_once(':').map_or((word, None), |(r, n)| (r, Some(n.to_owned())));
            let linked = Linked { person: id, number: number.clone(), any_number: number, disowned: false };
            state.records.insert(record.parse().unwrap(), linked);
        }
    }
    state.settle();
    state
}

fn shape(state: &State) -> String {
    let mut by_person: BTreeMap<PersonId, Vec<String>> = BTreeMap::new();
    for (id, record) in &state.records {
        by_person.entry(record.person).or_default().push(id.to_string());
    }
    by_person
        .iter()
        .map(|(p, r)| format!("{p}{}={}", state.persons[p].number.as_deref().unwrap_or(""), r.join(",")))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn orders_and_their_undo() {
    let table = [
        ("1:a 2 | 3", Order::Merge { into: 100, from: 101 }, Ok("100a=1,2,3")),
        ("1 2 | 3:a", Order::Merge { into: 100, from: 101 }, Ok("100a=1,2,3")),
        ("1:a | 2:a", Order::Merge { into: 101, from: 100 }, Ok("101a=1,2")),
        ("1:a | 2:b", Order::Merge { into: 100, from: 101 }, Err("index.two_numbers")),
        ("1:a | 2", Order::Merge { into: 100, from: 100 }, Err("index.same_person")),
        ("1 2:a 3", Order::Split { person: 100, records: vec![2] }, Ok("100=1,3 900a=2")),
        ("1:a 2:a", Order::Split { person: 100, records: vec![2] }, Ok("100a=1 900=2")),
        ("1 2", Order::Split { person: 100, records: vec![1, 2] }, Err("index.nothing_to_split")),
        ("1 2 | 3", Order::Split { person: 100, records: vec![3] }, Err("index.not_of_person")),
        ("1 2 | 3", Order::Link { record: 2, person: 101 }, Ok("100=1 101=2,3")),
        ("1:a | 3:b", Order::Link { record: 1, person: 101 }, Err("index.two_numbers")),
        ("1 2", Order::Unlink { record: 1 }, Ok("100=2 900=1")),
        ("1", Order::Unlink { record: 1 }, Err("index.alone")),
        ("1 | 2", Order::Apart { a: 2, b: 1 }, Ok("100=1 101=2")),
        ("1 2", Order::Apart { a: 1, b: 2 }, Err("index.still_together")),
        ("1:a 2", Order::Disown { record: 1 }, Ok("100=1,2")),
        ("1:a | 2:a", Order::Disown { record: 1 }, Ok("100=1 101a=2")),
        ("1", Order::Disown { record: 1 }, Err("index.no_number")),
        ("1 2", Order::Pin { record: 1, field: "name".into() }, Ok("100=1,2")),
        ("1 2", Order::Unpin { record: 1, field: "name".into() }, Err("index.not_pinned")),
    ];
    for (text, order, expected) in table {
        let before = state(text);
        match (plan(&before, &order, 900, &by()), expected) {
            (Ok(change), Ok(expected)) => {
                let mut after = before.clone();
                after.apply(&change).unwrap();
                assert_eq!(shape(&after), expected, "{text} {order:?}");
                let mut back = after.clone();
                back.apply(&change.inverse()).unwrap();
                back.persons.remove(&900);
                assert_eq!(back, before, "undo of {order:?} on {text}");
                assert_eq!(before.difference(&after).inverse(), change.inverse());
                let text = serde_json::to_string(&change).unwrap();
                assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
            }
            (Err(refusal), Err(code)) => assert_eq!(refusal.code, code, "{text} {order:?}"),
            (found, expected) => panic!("{text} {order:?}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn what_was_told_apart_is_not_merged_until_that_is_undone() {
    let mut state = state("1 2 | 3");
    let apart = plan(&state, &Order::Apart { a: 1, b: 3 }, 900, &by()).unwrap();
    assert_eq!(apart.pairs.len(), 2, "all records of both persons");
    state.apply(&apart).unwrap();
    let merge = Order::Merge { into: 100, from: 101 };
    // Who says "one person" about what was told apart overrules it; both verdicts are in the change.
    let merged = plan(&state, &merge, 900, &by()).unwrap();
    assert_eq!(merged.pairs.iter().filter(|(_, _, s)| s.before.is_some()).count(), 2);
    state.apply(&merged).unwrap();
    state.apply(&merged.inverse()).unwrap();
    assert!(state.pairs.values().all(|d| d.verdict == Verdict::Apart));
}

#[test]
fn an_undo_that_later_acts_stand_in_the_way_of_is_refused() {
    let mut state = state("1 | 2 | 3");
    let first = plan(&state, &Order::Merge { into: 100, from: 101 }, 900, &by()).unwrap();
    state.apply(&first).unwrap();
    let second = plan(&state, &Order::Merge { into: 102, from: 100 }, 900, &by()).unwrap();
    state.apply(&second).unwrap();
    assert_eq!(state.persons[&101].merged_into, Some(100));
    assert_eq!(state.persons[&100].merged_into, Some(102));
    let kept = state.clone();
    assert_eq!(state.apply(&first.inverse()).unwrap_err().code, "index.moved_on");
    assert_eq!(state, kept, "nothing done");
    state.apply(&second.inverse()).unwrap();
    state.apply(&first.inverse()).unwrap();
    assert_eq!(shape(&state), "100=1 101=2 102=3");
}

#[test]
fn who_only_waits_gets_a_freed_number_last_and_gives_it_back() {
    // 100 waits for what 101 holds; whoever leaves 101 with the record takes it along.
    let mut waits = state("1:a | 2:a 3");
    waits.persons.get_mut(&100).unwrap().number = None;
    waits.persons.get_mut(&101).unwrap().number = Some("a".to_owned());
    waits.waiting.insert(100);
    for (order, left) in [
        (Order::Split { person: 101, records: vec![2] }, "100=1 101=3 900a=2"),
        (Order::Disown { record: 2 }, "100a=1 101=2,3"),
        (Order::Unlink { record: 3 }, "100=1 101a=2 900=3"),
    ] {
        let change = plan(&waits, &order, 900, &by()).unwrap();
        let mut next = waits.clone();
        next.apply(&change).unwrap();
        assert_eq!(shape(&next), left, "{order:?}");
        next.apply(&change.inverse()).unwrap();
        assert_eq!(shape(&next), "100=1 101a=2,3", "undo of {order:?}");
    }
}

#[test]
fn what_comes_back_later_takes_nothing_from_others_and_breaks_no_rule() {
    // Disowned, then somebody else got the number: the record is in dispute again, and its holder keeps the number.
    let mut state = self::state("1:a 2");
    let change = plan(&state, &Order::Disown { record: 1 }, 900, &by()).unwrap();
    state.apply(&change).unwrap();
    state.held_elsewhere.insert("a".to_owned());
    state.apply(&change.inverse()).unwrap();
    assert_eq!(shape(&state), "100=1,2");
    // Disowned, then merged with another number: taking it back would leave two numbers in one person.
    let mut state = self::state("1:a | 2:b");
    let change = plan(&state, &Order::Disown { record: 1 }, 900, &by()).unwrap();
    state.apply(&change).unwrap();
    let merged = plan(&state, &Order::Merge { into: 101, from: 100 }, 900, &by()).unwrap();
    state.apply(&merged).unwrap();
    assert_eq!(state.apply(&change.inverse()).unwrap_err().code, "index.two_numbers");
    assert_eq!(shape(&state), "101b=1,2");
}
