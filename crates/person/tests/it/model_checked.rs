//! Random sequences of registrations and acts of people on a real PostgreSQL, held against the in-memory model of the
//! rules: every record is in exactly one person, the database and the model agree after each act, and undo is an exact
//! inverse.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Demographics;
use kernel::access::InstitutionId;
use kernel::{Act, Caller, Clock, Error, Line, Need, Purpose, Reach};
use person::MasterIndex;
use person::operations::rules::{Holder, Linked, State};
use person::operations::{Order, Verdict};
use store::Db;
use testkit::TestDb;

use crate::index::{Nobody, assert_sound, somebody};
use crate::{city, link, number};

/// A small generator of numbers, so that a failure is repeated by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }
    fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.roll(of.len())].clone()) }
    }
}

fn reach() -> Reach {
    Caller::system("测试").decide(Need::new(Line::System, Act::Manage), Purpose::of("background")).unwrap()
}

/// The whole index as the model has it.
async fn read(db: &Db) -> State {
    let mut state = State::default();
    let persons: Vec<(i64, Option<String>, Option<i64>)> =
        sqlx::query_as("select id, encode(citizen_blind, 'hex'), merged_into from person")
            .fetch_all(db.pool())
            .await
            .unwrap();
    for (id, number, merged_into) in persons {
        state.persons.insert(id, Holder { number, merged_into });
    }
    let records: Vec<(i64, i64, Option<String>, bool)> = sqlx::query_as(
        "select id, person_id, encode(own_blind, 'hex'), number_disowned from identity_record",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    for (id, person, any_number, disowned) in records {
        let number = any_number.clone().filter(|_| !disowned);
        state.records.insert(id, Linked { person, number, any_number, disowned });
    }
    let pairs: Vec<(i64, i64, String, String, String, chrono::DateTime<chrono::Utc>)> =
        sqlx::query_as("select a, b, verdict, actor, reason, at from identity_pair")
            .fetch_all(db.pool())
            .await
            .unwrap();
    for (a, b, verdict, actor, reason, at) in pairs {
        let verdict = Verdict::of_code(&verdict).unwrap();
        state.pairs.insert((a, b), person::operations::Decision { verdict, actor, reason, at });
    }
    let pins: Vec<(i64, String)> =
        sqlx::query_as("select identity_id, field from person_pin").fetch_all(db.pool()).await.unwrap();
    state.pins = pins.into_iter().collect();
    state
}

/// Something that may make sense.
fn order(dice: &mut Dice, state: &State) -> Option<Order> {
    let records: Vec<i64> = state.records.keys().copied().collect();
    let alive: BTreeSet<i64> = state.records.values().map(|r| r.person).collect();
    let alive: Vec<i64> = alive.into_iter().collect();
    let fields = ["name", "phone", "address"];
    Some(match dice.roll(9) {
        0 | 1 => Order::Merge { into: dice.one(&alive)?, from: dice.one(&alive)? },
        2 => {
            let person = dice.one(&alive)?;
            let of = state.records_of(person);
            Order::Split { person, records: of.into_iter().filter(|_| dice.roll(2) == 0).collect() }
        }
        3 => Order::Link { record: dice.one(&records)?, person: dice.one(&alive)? },
        4 => Order::Unlink { record: dice.one(&records)? },
        5 => Order::Apart { a: dice.one(&records)?, b: dice.one(&records)? },
        6 => Order::Disown { record: dice.one(&records)? },
        7 => Order::Pin { record: dice.one(&records)?, field: dice.one(&fields)?.into() },
        _ => {
            let (record, field) = dice.one(&state.pins.iter().cloned().collect::<Vec<_>>())?;
            Order::Unpin { record, field }
        }
    })
}

/// A registration: few people, few numbers, so that they meet.
fn registration(dice: &mut Dice) -> (InstitutionId, Demographics) {
    let who = dice.roll(4);
    let base = somebody(who);
    let birth = base.birth_date.unwrap().to_string();
    let serial = if base.sex == "1" { 1 } else { 2 };
    let credential_no = match dice.roll(5) {
        0 | 1 => String::new(),
        2 => number(&birth, serial + 2),
        _ => number(&birth, serial),
    };
    let row = Demographics {
        local_no: format!("p{}", dice.roll(5)),
        credential_kind: if credential_no.is_empty() { String::new() } else { "01".into() },
        credential_no,
        phone: if dice.roll(3) == 0 { String::new() } else { base.phone.clone() },
        withdrawn: dice.roll(12) == 0,
        ..base
    };
    (InstitutionId::new(1 + dice.roll(3) as i64), row)
}

fn refused(error: &Error) -> bool {
    matches!(error, Error::Refused(_))
}

/// What an exact inverse brings back: persons that did not exist before stay behind, empty and leading on.
fn visible(state: &State, persons: &BTreeMap<i64, Holder>) -> State {
    let mut state = state.clone();
    state.persons.retain(|id, _| persons.contains_key(id));
    state
}

/// How many orders were carried out.
async fn one(seed: u64, steps: usize) -> usize {
    let (db, index) = city().await;
    let (db, mut dice) = (db, Dice(seed));
    let mut open: Vec<i64> = Vec::new();
    let mut carried_out = 0;
    for step in 0..steps {
        let at = format!("seed {seed}, step {step}");
        let before = read(&db).await;
        match dice.roll(10) {
            0..4 => {
                let (institution, row) = registration(&mut dice);
                link(&db, &index, institution, &[row]).await.unwrap_or_else(|e| panic!("{at}: {e}"));
            }
            4..8 => {
                let Some(order) = order(&mut dice, &before) else { continue };
                let now = testkit::clock().now();
                match index.operate(&reach(), &Nobody, &order, "随机操作", now).await {
                    Ok(done) => {
                        carried_out += 1;
                        let mut expected = before.clone();
                        for id in done.change.persons() {
                            expected.persons.entry(id).or_default();
                        }
                        expected.apply(&done.change).unwrap_or_else(|e| panic!("{at} {order:?}: {e}"));
                        assert_eq!(read(&db).await, expected, "{at}: {order:?}");
                        if dice.roll(2) == 0 {
                            index.undo(&reach(), &Nobody, done.operation, "马上撤销", now).await.unwrap();
                            let after = read(&db).await;
                            assert_eq!(visible(&after, &before.persons), before, "{at}: undo of {order:?}");
                        } else {
                            open.push(done.operation);
                        }
                    }
                    Err(error) if refused(&error) => {
                        assert_eq!(read(&db).await, before, "{at}: {order:?} was refused");
                    }
                    Err(error) => panic!("{at} {order:?}: {error}"),
                }
            }
            _ => {
                let Some(operation) = dice.one(&open) else { continue };
                match index.undo(&reach(), &Nobody, operation, "后来撤销", testkit::clock().now()).await {
                    Ok(_) => open.retain(|o| *o != operation),
                    Err(error) if refused(&error) => {
                        assert_eq!(read(&db).await, before, "{at}: refused undo")
                    }
                    Err(error) => panic!("{at}: {error}"),
                }
            }
        }
        assert_sound(&db).await;
    }
    carried_out
}

#[tokio::test]
async fn any_sequence_agrees_with_the_model() {
    let mut carried_out = 0;
    // Decisions that contradict each other through a third record come up in long sequences only.
    for (seed, steps) in [(1, 40), (2, 40), (3, 40), (4, 160), (5, 160), (14, 160)] {
        carried_out += one(seed, steps).await;
    }
    assert!(carried_out > 30, "{carried_out} orders were carried out: too few to say anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_acts_at_once_leave_a_sound_index() {
    for seed in [99, 7, 8] {
        at_once(seed).await;
    }
}

/// Six people act and register at once on a few persons.
async fn at_once(seed: u64) {
    let (db, index): (TestDb, MasterIndex) = city().await;
    let mut dice = Dice(seed);
    for _ in 0..25 {
        let (institution, row) = registration(&mut dice);
        link(&db, &index, institution, &[row]).await.unwrap();
    }
    let mut all = tokio::task::JoinSet::new();
    for worker in 0..6_u64 {
        let db = db.db().clone();
        all.spawn(async move {
            let index = MasterIndex::new(db.clone());
            let mut dice = Dice(seed + 1_000 + worker);
            let mut done: Vec<i64> = Vec::new();
            for _ in 0..25 {
                let now = testkit::clock().now();
                let mut retry = store::db::Retry::default();
                let choice = dice.roll(3);
                let (institution, row) = registration(&mut dice);
                let state = read(&db).await;
                let wanted = order(&mut dice, &state);
                let undone = dice.one(&done);
                loop {
                    let outcome = match (choice, &wanted, undone) {
                        (0, ..) => {
                            link(&db, &index, institution, std::slice::from_ref(&row)).await.map(|_| None)
                        }
                        (1, Some(wanted), _) => index
                            .operate(&reach(), &Nobody, wanted, "同时操作", now)
                            .await
                            .map(|d| Some(d.operation)),
                        (_, _, Some(operation)) => {
                            index.undo(&reach(), &Nobody, operation, "同时撤销", now).await.map(|_| None)
                        }
                        _ => Ok(None),
                    };
                    match outcome {
                        Ok(operation) => break done.extend(operation),
                        Err(error) if refused(&error) => break,
                        Err(error) if retry.again(&error).await => {}
                        Err(error) => panic!("seed {seed}, worker {worker}: {error}"),
                    }
                }
            }
        });
    }
    while let Some(worker) = all.join_next().await {
        worker.unwrap();
    }
    assert_sound(&db).await;
    let lost: i64 = sqlx::query_scalar("select count(*) from identity_record where person_id is null")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(lost, 0);
}
