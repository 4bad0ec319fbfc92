//! One death is recorded once: people who record it by hand at the same instant, and data from before that was so.

use contracts::Demographics;
use kernel::{Clock, Error};
use person::MasterIndex;
use person::special::death::Death;
use store::Db;

use crate::index::{assert_sound, everywhere};
use crate::search::Two;
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link, number, registration};

fn death(day: &str, note: &str) -> Death {
    Death {
        died_on: day.parse().unwrap(),
        source: "family".into(),
        certificate_no: String::new(),
        note: note.into(),
    }
}

async fn record(index: &MasterIndex, person: i64, day: &str, note: &str) -> Result<i64, Error> {
    let now = testkit::clock().now();
    index.record_death(&everywhere("测试"), &Two, person, &death(day, note), now).await
}

async fn withdraw(index: &MasterIndex, person: i64) -> Result<(), Error> {
    index.withdraw_death(&everywhere("测试"), &Two, person, "登记错了人", testkit::clock().now()).await
}

/// A person whom two institutions have registered.
async fn somebody(db: &Db, index: &MasterIndex, n: u16) -> i64 {
    let row = Demographics {
        phone: format!("138{n:08}"),
        ..registration(&format!("d{n}"), "欧阳建国", "1", "1950-03-14", &number("1950-03-14", 2 * n + 1))
    };
    let a = link(db, index, COUNTY_HOSPITAL, std::slice::from_ref(&row)).await.unwrap()[0];
    let b = link(db, index, TOWNSHIP, &[row]).await.unwrap()[0];
    let persons: Vec<i64> =
        sqlx::query_scalar("select distinct person_id from identity_record where id = any($1)")
            .bind([a, b])
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(persons.len(), 1);
    persons[0]
}

async fn open(db: &Db, person: i64) -> i64 {
    sqlx::query_scalar(
        "select count(*) from person_death d join identity_record i on i.id = d.identity_id
         where i.person_id = $1 and d.withdrawn_at is null",
    )
    .bind(person)
    .fetch_one(db.pool())
    .await
    .unwrap()
}

fn refused_with(result: Result<impl std::fmt::Debug, Error>, words: &str) {
    match result {
        Err(Error::Refused(refusal)) => assert!(refusal.message.contains(words), "{}", refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_record_one_death_at_once_leave_one() {
    let (db, index) = city().await;
    let second = MasterIndex::new(db.db().clone());
    for n in 0..12 {
        let person = somebody(&db, &index, n).await;
        // The same day, and another one.
        let days = ["2025-05-10", if n % 2 == 0 { "2025-05-10" } else { "2025-05-09" }];
        let (a, b) = tokio::join!(
            record(&index, person, days[0], "第一位"),
            record(&second, person, days[1], "第二位")
        );
        let (done, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        done.unwrap();
        refused_with(lost, "已登记死亡");
        assert_eq!(open(&db, person).await, 1);
        // Taken back once by two at once, it leaves nothing.
        let (a, b) = tokio::join!(withdraw(&index, person), withdraw(&second, person));
        let (done, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        done.unwrap();
        refused_with(lost, "没有可撤销");
        let died: Option<chrono::NaiveDate> = sqlx::query_scalar("select died_on from person where id = $1")
            .bind(person)
            .fetch_one(db.pool())
            .await
            .unwrap();
        assert_eq!((open(&db, person).await, died), (0, None));
        record(&index, person, "2025-05-11", "更正后重新登记").await.unwrap();
        assert_eq!(open(&db, person).await, 1);
    }
    assert_sound(&db).await;
}

/// Another record of the same person: an institution that has registered the patient too writes into its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_institutions_that_record_one_death_at_once_leave_one() {
    let (db, index) = city().await;
    let second = MasterIndex::new(db.db().clone());
    for n in 0..12 {
        let person = somebody(&db, &index, n).await;
        let [a, b] = [(&index, COUNTY_HOSPITAL), (&second, TOWNSHIP)].map(|(index, at)| async move {
            let mut caller = kernel::Caller::system("测试");
            caller.institution = Some(at);
            let need = kernel::Need::new(kernel::Line::System, kernel::Act::Manage);
            let reach = caller.decide(need, kernel::Purpose::of("background")).unwrap();
            let now = testkit::clock().now();
            index.record_death(&reach, &Two, person, &death("2025-05-10", ""), now).await
        });
        let (a, b) = tokio::join!(a, b);
        let (done, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        done.unwrap();
        refused_with(lost, "已登记死亡");
        assert_eq!(open(&db, person).await, 1);
        withdraw(&index, person).await.unwrap();
        assert_eq!(open(&db, person).await, 0);
    }
    assert_sound(&db).await;
}

/// A database from before, in which two people had recorded one death: one of them is kept, with the day that is shown.
#[tokio::test]
async fn doubles_from_before_become_one() {
    let upto = person::MIGRATIONS.iter().position(|m| m.name == "0016_one_death").unwrap();
    let before = [store::migrate::MIGRATIONS, &person::MIGRATIONS[..upto]].concat();
    let db = testkit::TestDb::create(&before, &[]).await;
    for statement in [
        "insert into person (id, died_on, created_at) overriding system value values (1, '2025-05-09', now())",
        "insert into identity_record (id, institution_id, local_no, person_id, link_rule, updated_at, died_on)
         overriding system value
         values (1, 1, 'a', 1, 'new', now(), '2025-05-09'), (2, 2, 'b', 1, 'new', now(), '2025-05-10')",
        "insert into person_death (identity_id, died_on, source, actor, at, withdrawn_at) values
            (1, '2025-05-09', 'family', '甲', now(), null), (1, '2025-05-10', 'family', '乙', now(), null),
            (1, '2025-05-09', 'police', '丙', now(), null), (2, '2025-05-10', 'family', '丁', now(), null),
            (2, '2025-05-11', 'family', '戊', now(), now())",
    ] {
        sqlx::query(statement).execute(db.pool()).await.unwrap();
    }
    store::migrate::migrate(db.pool(), &[store::migrate::MIGRATIONS, person::MIGRATIONS].concat())
        .await
        .unwrap();
    let rows: Vec<(String, Option<String>, bool)> =
        sqlx::query_as("select actor, withdrawn_by, withdrawn_at is null from person_death order by id")
            .fetch_all(db.pool())
            .await
            .unwrap();
    let open: Vec<&str> = rows.iter().filter(|r| r.2).map(|r| r.0.as_str()).collect();
    assert_eq!(open, ["丙", "丁"]);
    let doubles: Vec<&str> =
        rows.iter().filter(|r| r.1.as_deref() == Some("平台")).map(|r| r.0.as_str()).collect();
    assert_eq!(doubles, ["甲", "乙"]);
    let again = sqlx::query(
        "insert into person_death (identity_id, died_on, source, actor, at) values (1, '2025-05-09', 'family', '己', now())",
    )
    .execute(db.pool())
    .await;
    assert!(again.is_err(), "a second one in force");
}
