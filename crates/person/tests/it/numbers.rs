//! A citizen number that its holder loses goes to who waits for it, in the same transaction: by an act of people and its
//! undo, by a registration that is corrected or withdrawn, and while others register the number.

use contracts::Demographics;
use kernel::{Act, Clock, Line, Purpose, Reach};
use person::MasterIndex;
use person::operations::Order;
use store::Db;
use testkit::TestDb;

use crate::desk::reviewer;
use crate::index::{assert_sound, everywhere};
use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

const BIRTH: &str = "1980-03-14";

/// The holder of the number, and somebody of another name who brought the same one.
fn holder(n: u16) -> Demographics {
    let region = "411503102001".into();
    Demographics {
        region,
        ..registration(&format!("h{n}"), "欧阳建国", "1", BIRTH, &number(BIRTH, 2 * n + 1))
    }
}

fn other(n: u16) -> Demographics {
    let region = "411521102001".into();
    Demographics {
        region, ..registration(&format!("w{n}"), "魏海涛", "1", BIRTH, &number(BIRTH, 2 * n + 1))
    }
}

/// Everything about a record that a number in dispute shows in.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Seen {
    person_id: i64,
    holds: bool,
    claims: bool,
    link_rule: String,
}

async fn seen(db: &Db, record: i64) -> Seen {
    sqlx::query_as(
        "select i.person_id, coalesce(p.citizen_blind = i.own_blind, false) as holds,
                i.claim_blind is not null as claims, i.link_rule
         from identity_record i join person p on p.id = i.person_id where i.id = $1",
    )
    .bind(record)
    .fetch_one(db.pool())
    .await
    .unwrap()
}

async fn version(db: &Db, person: i64) -> i32 {
    sqlx::query_scalar("select version from person where id = $1")
        .bind(person)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

async fn tasks(db: &Db) -> Vec<String> {
    sqlx::query_scalar("select kind || ' ' || state || ' ' || outcome from review_task order by id")
        .fetch_all(db.pool())
        .await
        .unwrap()
}

/// The entries of a record about its number: rule and who.
async fn told(db: &Db, record: i64) -> Vec<String> {
    sqlx::query_scalar("select rule || ' ' || actor from identity_event where kind = 'number' and identity_id = $1 order by id")
        .bind(record)
        .fetch_all(db.pool())
        .await
        .unwrap()
}

/// One who holds a number and one who waits for it: their records.
async fn dispute() -> (TestDb, MasterIndex, i64, i64) {
    let (db, index) = city().await;
    let a = link(&db, &index, COUNTY_HOSPITAL, &[holder(1)]).await.unwrap()[0];
    let b = link(&db, &index, TOWNSHIP, &[other(1)]).await.unwrap()[0];
    let (holds, waits) = (seen(&db, a).await, seen(&db, b).await);
    assert!(holds.holds && holds.claims && holds.person_id != waits.person_id, "{holds:?}");
    assert!(!waits.holds && !waits.claims && waits.link_rule == "citizen_id_conflict", "{waits:?}");
    assert_eq!(tasks(&db).await, ["number open "]);
    (db, index, a, b)
}

fn county(code: &str) -> Reach {
    let need = kernel::Need::new(Line::PersonIndex, Act::Write);
    reviewer(1, "李核对", code).decide(need, Purpose::of("identity")).unwrap()
}

#[tokio::test]
async fn a_number_that_is_disowned_goes_to_who_waits_and_comes_back() {
    let (db, index, a, b) = dispute().await;
    let (before, waited) = (seen(&db, a).await, seen(&db, b).await);
    let counted = version(&db, waited.person_id).await;
    let now = testkit::clock().now();
    // The officer's county is that of the holder; who waits lives in another one.
    let reach = county("411503");
    let done = index.operate(&reach, &Two, &Order::Disown { record: a }, "借用他人证件", now).await.unwrap();
    let after = seen(&db, b).await;
    assert_eq!((after.holds, after.claims, after.link_rule.as_str()), (true, true, "citizen_id"));
    assert!(version(&db, waited.person_id).await > counted);
    assert_eq!(tasks(&db).await, ["number closed gone"]);
    assert_eq!(told(&db, b).await, ["citizen_id 李核对"]);
    assert_sound(&db).await;

    // The other county does not take back what it cannot see.
    let refused = index.undo(&county("411521"), &Two, done.operation, "误操作", now).await.unwrap_err();
    assert!(refused.to_string().contains("没有找到"), "{refused}");
    index.undo(&reach, &Two, done.operation, "误操作", now).await.unwrap();
    assert_eq!((seen(&db, a).await, seen(&db, b).await), (before, waited));
    assert_eq!(tasks(&db).await, ["number open "]);
    assert_eq!(told(&db, b).await, ["citizen_id 李核对", "citizen_id_conflict 李核对"]);
    assert_sound(&db).await;
}

#[tokio::test]
async fn a_number_stays_with_the_record_that_bore_it() {
    let (db, index, a, b) = dispute().await;
    let fact =
        Demographics { name: "欧阳建国".into(), ..registration("x", "欧阳建国", "1", BIRTH, "") };
    let x = link(&db, &index, COUNTY_HOSPITAL, &[fact]).await.unwrap()[0];
    let now = testkit::clock().now();
    let reach = everywhere("测试");
    let (holds, alone) = (seen(&db, a).await.person_id, seen(&db, x).await.person_id);
    if holds != alone {
        let merge = Order::Merge { into: holds, from: alone };
        index.operate(&reach, &Two, &merge, "同一人", now).await.unwrap();
    }
    index.operate(&reach, &Two, &Order::Unlink { record: a }, "两个人", now).await.unwrap();
    assert!(seen(&db, a).await.holds && !seen(&db, b).await.holds);
    assert_sound(&db).await;
}

#[tokio::test]
async fn a_number_that_a_registration_drops_goes_to_who_waits() {
    for correction in [
        Demographics { credential_no: number(BIRTH, 77), ..holder(1) },
        Demographics { credential_kind: String::new(), credential_no: String::new(), ..holder(1) },
        Demographics { withdrawn: true, ..holder(1) },
        // The number contradicts the birth date from now on, and counts for nobody.
        Demographics { birth_date: Some("1954-11-20".parse().unwrap()), sex: "2".into(), ..holder(1) },
    ] {
        let (db, index, a, b) = dispute().await;
        let counted = version(&db, seen(&db, b).await.person_id).await;
        link(&db, &index, COUNTY_HOSPITAL, std::slice::from_ref(&correction)).await.unwrap();
        let after = seen(&db, b).await;
        assert_eq!(
            (after.holds, after.claims, after.link_rule.as_str()),
            (true, true, "citizen_id"),
            "{correction:?}"
        );
        assert!(version(&db, after.person_id).await > counted);
        assert_eq!(tasks(&db).await[0], "number closed gone");
        assert_eq!(told(&db, b).await, ["citizen_id "]);
        assert_ne!(seen(&db, a).await.person_id, after.person_id);
        assert_sound(&db).await;
    }
}

/// A disowned number is remembered while its registration changes otherwise, so that taking the decision back counts.
#[tokio::test]
async fn a_disowned_number_survives_a_correction() {
    let (db, index) = city().await;
    let a = link(&db, &index, COUNTY_HOSPITAL, &[holder(1)]).await.unwrap()[0];
    let now = testkit::clock().now();
    let reach = everywhere("测试");
    let done = index.operate(&reach, &Two, &Order::Disown { record: a }, "借用证件", now).await.unwrap();
    let corrected = Demographics { phone: "13812345678".into(), ..holder(1) };
    link(&db, &index, COUNTY_HOSPITAL, &[corrected]).await.unwrap();
    assert!(!seen(&db, a).await.holds);
    index.undo(&reach, &Two, done.operation, "误操作", now).await.unwrap();
    assert!(seen(&db, a).await.holds);
    assert_sound(&db).await;
}

/// A number is dropped, or disowned, while somebody else registers it: whoever comes first, nobody waits for a number
/// that is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_begins_to_wait_unseen() {
    let (db, index) = city().await;
    let second = MasterIndex::new(db.db().clone());
    let reach = everywhere("测试");
    for n in 0..24 {
        let a = link(&db, &index, COUNTY_HOSPITAL, &[holder(n)]).await.unwrap()[0];
        let lose = async {
            if n % 2 == 0 {
                let row = Demographics {
                    credential_kind: String::new(),
                    credential_no: String::new(),
                    ..holder(n)
                };
                link(&db, &index, COUNTY_HOSPITAL, &[row]).await.unwrap();
            } else {
                let now = testkit::clock().now();
                index.operate(&reach, &Two, &Order::Disown { record: a }, "借用证件", now).await.unwrap();
            }
        };
        let rows = [other(n)];
        let register = async {
            let mut retry = store::db::Retry::default();
            loop {
                match link(&db, &second, TOWNSHIP, &rows).await {
                    Ok(ids) => break ids[0],
                    Err(error) if retry.again(&error).await => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let ((), b) = tokio::join!(lose, register);
        assert!(seen(&db, b).await.holds, "round {n}");
        assert_sound(&db).await;
    }
}
