//! The linker against a real PostgreSQL: who becomes one person, what is written, and two uploads at once.

use chrono::NaiveDate;
use contracts::{Demographics, Linker, PersonCards, PersonLookup};
use kernel::access::InstitutionId;
use kernel::{Clock, Result};
use person::MasterIndex;
use sqlx::Row;
use store::Db;

use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, fact, link, number, registration};

/// The person behind an identity record and why it is there.
async fn person_of(db: &Db, identity: i64) -> (i64, String) {
    let row = sqlx::query("select person_id, link_rule from identity_record where id = $1")
        .bind(identity)
        .fetch_one(db.pool())
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

async fn count(db: &Db, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db.pool()).await.unwrap()
}

#[tokio::test]
async fn who_becomes_one_person() {
    let id = number("1980-01-01", 1);
    let old = format!("{}{}", &id[..6], &id[8..17]);
    let zhang = |local: &str, id: &str| registration(local, "张三", "1", "1980-01-01", id);
    // First at the county hospital, then at the township: one person or two, and by which rule.
    let table = [
        ("the same number", zhang("a", &id), zhang("b", &id), true, "citizen_id"),
        ("the old form of the number", zhang("a", &id), zhang("b", &old), true, "citizen_id"),
        (
            "a name with a space",
            zhang("a", &id),
            registration("b", "张 三", "1", "1980-01-01", &id),
            true,
            "citizen_id",
        ),
        (
            "without birth and sex",
            zhang("a", &id),
            registration("b", "张三", "", "", &id),
            true,
            "citizen_id",
        ),
        ("a number alone", zhang("a", &id), registration("b", "", "9", "", &id), true, "citizen_id"),
        (
            "another name",
            zhang("a", &id),
            registration("b", "李四", "1", "1980-01-01", &id),
            false,
            "citizen_id_conflict",
        ),
        (
            "another name and birth",
            zhang("a", &id),
            registration("b", "李四", "1", "2010-05-06", &id),
            false,
            "citizen_id_conflict",
        ),
        (
            "a sex typed wrong",
            zhang("a", &id),
            registration("b", "张三", "2", "1980-01-01", &id),
            true,
            "citizen_id",
        ),
        ("a wrong check digit", zhang("a", &id), zhang("b", "411503198001010012"), true, "model"),
        ("no number", zhang("a", &id), zhang("b", ""), false, "new"),
        ("the same local number elsewhere", zhang("a", &id), zhang("a", ""), false, "new"),
        ("another number", zhang("a", &id), zhang("b", &number("1980-01-01", 3)), false, "citizen_id"),
    ];
    for (case, first, second, one, rule) in table {
        let (db, index) = city().await;
        let a = link(&db, &index, COUNTY_HOSPITAL, &[first]).await.unwrap()[0];
        let b = link(&db, &index, TOWNSHIP, &[second]).await.unwrap()[0];
        assert_ne!(a, b, "{case}");
        let (a, b) = (person_of(&db, a).await, person_of(&db, b).await);
        assert_eq!(a.0 == b.0, one, "{case}");
        assert_eq!(b.1, rule, "{case}");
        assert_eq!(count(&db, "select count(*) from person").await, if one { 1 } else { 2 }, "{case}");
        assert_eq!(
            count(&db, "select count(*) from identity_event where kind = 'registered'").await,
            2,
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_number_that_contradicts_sex_or_birth_of_its_own_row_is_not_claimed() {
    let (db, index) = city().await;
    let mothers = number("1985-03-04", 2);
    // The child comes first, under the mother's number.
    let child = registration("child", "王小宝", "1", "2024-06-01", &mothers);
    let mother = registration("mother", "刘芳", "2", "1985-03-04", &mothers);
    let ids = link(&db, &index, COUNTY_HOSPITAL, &[child, mother]).await.unwrap();
    let (child, mother) = (person_of(&db, ids[0]).await, person_of(&db, ids[1]).await);
    assert_ne!(child.0, mother.0);
    assert_eq!((child.1.as_str(), mother.1.as_str()), ("citizen_id_conflict", "citizen_id"));
    assert_eq!(index.by_citizen_id(&mothers).await.unwrap(), Some(mother.0));
}

#[tokio::test]
async fn rows_of_one_chunk_share_records_and_persons() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    let rows = [
        fact("a", "张三"),
        registration("b", "张三", "1", "1980-01-01", &id),
        fact("a", ""),
        registration("a", "张三", "1", "1980-01-01", &id),
        fact("c", ""),
    ];
    let ids = link(&db, &index, COUNTY_HOSPITAL, &rows).await.unwrap();
    assert!(ids[0] == ids[2] && ids[2] == ids[3] && ids[0] != ids[1] && ids[4] != ids[0]);
    assert_eq!(person_of(&db, ids[0]).await.0, person_of(&db, ids[1]).await.0);
    assert_ne!(person_of(&db, ids[0]).await.0, person_of(&db, ids[4]).await.0);
    let missing = link(&db, &index, COUNTY_HOSPITAL, &[fact("", "张三")]).await.unwrap_err();
    assert!(missing.to_string().starts_with("link.no_local_no"), "{missing}");
}

#[tokio::test]
async fn the_same_again_writes_nothing() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    let rows = [
        registration("a", "张三", "1", "1980-01-01", &id),
        fact("b", "李四"),
        fact("c", ""),
        fact("a", "另一个名字"),
    ];
    let first = link(&db, &index, COUNTY_HOSPITAL, &rows).await.unwrap();
    let versions = "select coalesce(sum(xmin::text::bigint), 0)::bigint from (
        select xmin from identity_record union all select xmin from person union all select xmin from identity_event
        union all select xmin from outbox) v";
    let before = count(&db, versions).await;
    for _ in 0..3 {
        assert_eq!(link(&db, &index, COUNTY_HOSPITAL, &rows).await.unwrap(), first);
    }
    // A second process has no memory of what was seen.
    let fresh = MasterIndex::new(db.db().clone());
    assert_eq!(link(&db, &fresh, COUNTY_HOSPITAL, &rows).await.unwrap(), first);
    assert_eq!(count(&db, versions).await, before);
    assert_eq!(
        index.by_local_no(COUNTY_HOSPITAL, "a").await.unwrap(),
        Some(person_of(&db, first[0]).await.0)
    );
    assert_eq!(index.by_local_no(TOWNSHIP, "a").await.unwrap(), None);
}

#[tokio::test]
async fn a_placeholder_is_filled_then_registered_then_linked() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    let at_county = link(&db, &index, COUNTY_HOSPITAL, &[registration("a", "张三", "1", "1980-01-01", &id)])
        .await
        .unwrap()[0];
    let known = person_of(&db, at_county).await.0;

    let identity = link(&db, &index, TOWNSHIP, &[fact("x", "")]).await.unwrap()[0];
    let placeholder = person_of(&db, identity).await.0;
    assert_ne!(placeholder, known);
    // A fact fills the name; a second one cannot change it.
    link(&db, &index, TOWNSHIP, &[fact("x", "张三")]).await.unwrap();
    link(&db, &index, TOWNSHIP, &[fact("x", "张三三")]).await.unwrap();
    let mut late = registration("x", "张三", "1", "1980-01-01", &id);
    late.phone = "13800138000".into();
    assert_eq!(link(&db, &index, TOWNSHIP, &[late]).await.unwrap(), [identity]);
    assert_eq!(person_of(&db, identity).await, (known, "citizen_id".to_owned()));

    let trail: Vec<(String, String, Option<i64>, i64)> = sqlx::query_as(
        "select kind, rule, from_person, to_person from identity_event where identity_id = $1 order by id",
    )
    .bind(identity)
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(
        trail,
        [
            ("registered".into(), "new".into(), None, placeholder),
            ("updated".into(), "local_no".into(), None, placeholder),
            ("linked".into(), "citizen_id".into(), Some(placeholder), known),
        ]
    );
    let told: Vec<serde_json::Value> =
        sqlx::query_scalar("select body from outbox where topic = 'person.linked'")
            .fetch_all(db.pool())
            .await
            .unwrap();
    let expected =
        serde_json::json!({ "identity_id": identity, "from_person": placeholder, "to_person": known });
    assert_eq!(told, [expected]);
    // The person's card has the newest values and both records; the left one has none and says where it went.
    let (card, gone, moved) = db
        .background("a test", async |tx| {
            let card = index.card(tx, known).await?.unwrap();
            Ok((card, index.card(tx, placeholder).await?, person::card::moved_to(tx, placeholder).await?))
        })
        .await
        .unwrap();
    assert_eq!((card.phone.as_str(), card.citizen_id), ("13800138000", Some(id)));
    assert_eq!(card.identities.iter().map(|i| i.identity_id).collect::<Vec<_>>(), [at_county, identity]);
    assert_eq!((gone.map(|c| c.person_id), moved), (Some(known), Some(known)), "the old address leads on");
}

#[tokio::test]
async fn a_placeholder_whose_number_is_new_keeps_its_person() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    let identity = link(&db, &index, TOWNSHIP, &[fact("x", "张三")]).await.unwrap()[0];
    let before = person_of(&db, identity).await.0;
    link(&db, &index, TOWNSHIP, &[registration("x", "张三", "1", "1980-01-01", &id)]).await.unwrap();
    assert_eq!(person_of(&db, identity).await, (before, "citizen_id".to_owned()));
    assert_eq!(index.by_citizen_id(&id).await.unwrap(), Some(before));
}

#[tokio::test]
async fn a_corrected_number_moves_the_record_and_frees_the_wrong_one() {
    let (db, index) = city().await;
    let (wrong, right) = (number("1980-01-01", 1), number("1980-01-01", 3));
    let at = |id: &str| registration("a", "张三", "1", "1980-01-01", id);
    let identity = link(&db, &index, COUNTY_HOSPITAL, &[at(&wrong)]).await.unwrap()[0];
    link(&db, &index, COUNTY_HOSPITAL, &[at(&right)]).await.unwrap();
    assert_eq!(index.by_citizen_id(&right).await.unwrap(), Some(person_of(&db, identity).await.0));
    assert_eq!(index.by_citizen_id(&wrong).await.unwrap(), None);
    // The rightful holder can come now.
    let other = registration("z", "赵六", "1", "1980-01-01", &wrong);
    let other = link(&db, &index, TOWNSHIP, &[other]).await.unwrap()[0];
    assert_eq!(person_of(&db, other).await.1, "citizen_id");
}

#[tokio::test]
async fn a_conflict_that_is_corrected_is_linked() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    let right = registration("a", "张三", "1", "1980-01-01", &id);
    let first = link(&db, &index, COUNTY_HOSPITAL, std::slice::from_ref(&right)).await.unwrap()[0];
    let typo = registration("b", "李四", "1", "1980-01-01", &id);
    let second = link(&db, &index, TOWNSHIP, &[typo]).await.unwrap()[0];
    assert_ne!(person_of(&db, first).await.0, person_of(&db, second).await.0);
    link(&db, &index, TOWNSHIP, &[Demographics { local_no: "b".into(), ..right }]).await.unwrap();
    assert_eq!(person_of(&db, first).await.0, person_of(&db, second).await.0);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_remembered() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    let rows = [fact("x", "张三")];
    let failed: Result<()> = db
        .transaction(async |tx| {
            for _ in 0..3 {
                index.link(tx, TOWNSHIP, &rows, 1, now).await?;
            }
            Err(kernel::Error::fault("try", "fails"))
        })
        .await;
    assert!(failed.is_err());
    let id = link(&db, &index, TOWNSHIP, &rows).await.unwrap()[0];
    assert_eq!(count(&db, "select count(*) from identity_record").await, 1);
    person_of(&db, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_of_the_same_new_patients_at_once_give_one_person_each() {
    let (db, _) = city().await;
    let birth: NaiveDate = "1970-01-01".parse().unwrap();
    let patients = |reverse: bool| -> Vec<Demographics> {
        let mut rows: Vec<_> = (0..300u16)
            .map(|n| {
                let day = birth + chrono::Days::new(u64::from(n));
                registration(
                    &format!("p{n}"),
                    &format!("居民{n}"),
                    "1",
                    &day.to_string(),
                    &number(&day.to_string(), 1),
                )
            })
            .collect();
        if reverse {
            rows.reverse();
        }
        rows
    };
    // Four uploads of two institutions, each in its own process, in opposite orders, several times over.
    let mut uploads = tokio::task::JoinSet::new();
    for n in 0..8 {
        let db = db.db().clone();
        let rows = patients(n % 2 == 0);
        uploads.spawn(async move {
            let index = MasterIndex::new(db.clone());
            let institution = InstitutionId::new(1 + n % 2);
            link(&db, &index, institution, &rows).await
        });
    }
    while let Some(done) = uploads.join_next().await {
        assert_eq!(done.unwrap().unwrap().len(), 300);
    }
    assert_eq!(count(&db, "select count(*) from identity_record").await, 600);
    assert_eq!(count(&db, "select count(*) from person").await, 300);
    assert_eq!(count(&db, "select count(distinct person_id) from identity_record").await, 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn placeholders_that_get_the_same_number_at_once_become_one_person() {
    let (db, index) = city().await;
    let id = number("1980-01-01", 1);
    for institution in 1..=6 {
        link(&db, &index, InstitutionId::new(institution), &[fact("x", "")]).await.unwrap();
    }
    let mut uploads = tokio::task::JoinSet::new();
    for institution in 1..=6 {
        let (db, id) = (db.db().clone(), id.clone());
        uploads.spawn(async move {
            let index = MasterIndex::new(db.clone());
            let row = registration("x", "张三", "1", "1980-01-01", &id);
            link(&db, &index, InstitutionId::new(institution), &[row]).await
        });
    }
    while let Some(done) = uploads.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(count(&db, "select count(distinct person_id) from identity_record").await, 1);
}

#[tokio::test]
async fn a_division_that_changes_meanwhile_is_not_written_back() {
    let (db, index) = city().await;
    let row = Demographics {
        region: "411503102001".into(),
        ..registration("a", "张三", "1", "1980-01-01", &number("1980-01-01", 1))
    };
    let id = link(&db, &index, COUNTY_HOSPITAL, &[row]).await.unwrap()[0];
    // The division's rows are moved and not yet committed when the death certificate arrives.
    let mut moving = db.pool().begin().await.unwrap();
    sqlx::query("update identity_record set region = '411503102009'").execute(&mut *moving).await.unwrap();
    let dead = Demographics { died_on: Some("2025-05-01".parse().unwrap()), ..fact("a", "张三") };
    let (other, second) = (db.db().clone(), MasterIndex::new(db.db().clone()));
    let linking = tokio::spawn(async move { link(&other, &second, COUNTY_HOSPITAL, &[dead]).await });
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%identity_record%'";
    while count(&db, waits).await == 0 {
        assert!(!linking.is_finished(), "it waits for the row");
        tokio::task::yield_now().await;
    }
    moving.commit().await.unwrap();
    linking.await.unwrap().unwrap();
    let (region, died): (String, Option<NaiveDate>) =
        sqlx::query_as("select region, died_on from identity_record where id = $1")
            .bind(id)
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!((region.as_str(), died.is_some()), ("411503102009", true));
}
