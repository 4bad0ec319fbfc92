//! Care relations: who reaches whom by them, from when to when, and through the search.

use chrono::NaiveDate;
use contracts::{CareKind, CareRelations, NewCareRelation};
use kernel::{Act, Caller, CallerKind, Clock, Grant, Id, Line, Need, Purpose, Reach, RegionCode, Span};
use person::MasterIndex;
use person::search::{Query, search};
use store::{AuditEntry, Db};
use testkit::TestDb;

use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn visit(identity_id: i64, staff_no: &str, since: &str, until: &str) -> NewCareRelation {
    NewCareRelation {
        identity_id,
        institution: TOWNSHIP,
        staff_no: staff_no.into(),
        team: None,
        kind: CareKind::Visit,
        since: day(since),
        until: Some(day(until)),
    }
}

/// A member of staff of the township whose only right has this span.
fn reach(staff_no: &str, span: Span) -> Reach {
    let caller = Caller {
        institution: Some(TOWNSHIP),
        staff_no: staff_no.into(),
        region: RegionCode::parse("411503102").unwrap(),
        grants: vec![Grant { line: Line::Medical, act: Act::Read, span }],
        ..Caller::blank(CallerKind::Staff)
    };
    caller.decide(Need::new(Line::Medical, Act::Read), Purpose::of("care")).unwrap()
}

async fn looked<T>(
    db: &Db,
    reach: &Reach,
    work: impl AsyncFnOnce(&mut store::Gated<'_>) -> kernel::Result<T>,
) -> T {
    let now = testkit::clock().now();
    db.personal(reach, now, async |tx, _| Ok((work(tx).await?, AuditEntry::default()))).await.unwrap()
}

async fn reaches(db: &Db, index: &MasterIndex, reach: &Reach, person: i64, on: &str) -> bool {
    let on = day(on);
    looked(db, reach, async |tx| index.reaches(tx, person, on).await).await
}

/// 张伟 at the township and at the county hospital, one person; 李四 at the township.
async fn people() -> (TestDb, MasterIndex, Vec<i64>) {
    let (db, index) = city().await;
    let zhang = number("1965-03-08", 1);
    let county = [registration("H1", "张伟", "1", "1965-03-08", &zhang)];
    let township = [
        registration("T1", "张伟", "1", "1965-03-08", &zhang),
        registration("T2", "李四", "2", "1990-01-01", &number("1990-01-01", 2)),
    ];
    let mut ids = link(&db, &index, COUNTY_HOSPITAL, &county).await.unwrap();
    ids.extend(link(&db, &index, TOWNSHIP, &township).await.unwrap());
    (db, index, ids)
}

async fn person_of(db: &Db, identity: i64) -> i64 {
    sqlx::query_scalar("select person_id from identity_record where id = $1")
        .bind(identity)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_visit_makes_a_doctor_reach_a_person_for_a_year() {
    let (db, index, ids) = people().await;
    let zhang = person_of(&db, ids[0]).await;
    let li = person_of(&db, ids[2]).await;
    // Two visits in one batch and a later one in another: one relation that grows; sent again, nothing changes.
    for relations in [
        vec![
            visit(ids[1], "D1", "2024-03-01", "2024-03-01"),
            visit(ids[1], "D1", "2024-01-05", "2024-01-05"),
        ],
        vec![visit(ids[1], "D1", "2024-06-30", "2024-06-30")],
        vec![visit(ids[1], "D1", "2024-01-05", "2024-01-05")],
    ] {
        db.transaction(async |tx| index.note(tx, &relations).await).await.unwrap();
    }
    let own = reach("D1", Span::OwnPatients);
    for (who, person, on, expected) in [
        (&own, zhang, "2024-07-01", true),
        (&own, zhang, "2025-06-30", true),
        (&own, zhang, "2025-07-01", false),
        (&own, li, "2024-07-01", false),
        (&reach("D2", Span::OwnPatients), zhang, "2024-07-01", false),
        (&reach("", Span::OwnPatients), zhang, "2024-07-01", false),
        (&reach("D1", Span::Institution(COUNTY_HOSPITAL)), zhang, "2024-07-01", false),
        (&reach("D2", Span::Person(zhang)), zhang, "2030-01-01", true),
        (&reach("D2", Span::Person(zhang)), li, "2024-07-01", false),
    ] {
        assert_eq!(
            reaches(&db, &index, who, person, on).await,
            expected,
            "{person} on {on} {:?}",
            who.spans()
        );
    }
    let listed = looked(&db, &own, async |tx| index.of_person(tx, zhang).await).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].since, listed[0].until), (day("2024-01-05"), Some(day("2024-06-30"))));
}

#[tokio::test]
async fn a_contract_brings_the_team_until_it_ends() {
    let (db, index, ids) = people().await;
    let zhang = person_of(&db, ids[1]).await;
    let contract = NewCareRelation {
        identity_id: ids[1],
        institution: TOWNSHIP,
        staff_no: String::new(),
        team: Some(Id::new(5)),
        kind: CareKind::Contract,
        since: day("2025-01-01"),
        until: None,
    };
    db.transaction(async |tx| index.note(tx, std::slice::from_ref(&contract)).await).await.unwrap();
    let team = reach("D1", Span::Team(Id::new(5)));
    assert!(!reaches(&db, &index, &team, zhang, "2024-12-31").await, "not before it begins");
    assert!(reaches(&db, &index, &team, zhang, "2025-01-01").await);
    assert!(reaches(&db, &index, &team, zhang, "2035-01-01").await);
    assert!(!reaches(&db, &index, &reach("D1", Span::Team(Id::new(6))), zhang, "2025-02-01").await);
    let ended = db
        .transaction(async |tx| index.end(tx, ids[1], TOWNSHIP, CareKind::Contract, day("2025-03-31")).await)
        .await
        .unwrap();
    assert_eq!(ended, 1);
    assert!(reaches(&db, &index, &team, zhang, "2025-03-31").await, "its last day");
    assert!(!reaches(&db, &index, &team, zhang, "2025-04-01").await);
}

#[tokio::test]
async fn the_search_finds_own_patients_and_nobody_else() {
    let (db, index, ids) = people().await;
    let today = testkit::clock().today().to_string();
    db.transaction(async |tx| index.note(tx, &[visit(ids[1], "D1", &today, &today)]).await).await.unwrap();
    let zhang = person_of(&db, ids[1]).await;
    let number = number("1965-03-08", 1);
    for (who, text, expected) in [
        (reach("D1", Span::OwnPatients), "张伟", 1),
        (reach("D1", Span::OwnPatients), "zw", 1),
        (reach("D1", Span::OwnPatients), number.as_str(), 1),
        (reach("D1", Span::OwnPatients), "李四", 0),
        (reach("D2", Span::OwnPatients), "张伟", 0),
        (reach("D2", Span::OwnPatients), number.as_str(), 0),
        (reach("D2", Span::Person(zhang)), "张伟", 1),
        (reach("D2", Span::Person(zhang)), "李四", 0),
    ] {
        let query = Query::parse(text).unwrap();
        let found = looked(&db, &who, async |tx| search(tx, &who, &Two, &query, 30, 0).await).await;
        assert_eq!(found.people.len(), expected, "{text} {:?}", who.spans());
    }
}
