//! People follow their divisions, in chunks, and go back exactly.

use std::sync::Arc;

use contracts::{AddressRule, DivisionHoldings, DivisionsFollowed, DivisionsMoved};
use store::jobs::Jobs;
use store::outbox;
use testkit::settle;

use crate::city;

#[tokio::test]
async fn people_move_with_their_divisions_and_go_back_exactly() {
    let (db, index) = city().await;
    let index = Arc::new(index);
    sqlx::raw_sql(
        "insert into person (region, address) select case n % 3 when 0 then '411503001001' when 1 then '411503001002'
             else '411502001001' end, case when n % 2 = 0 then '王岗村三组' else '王岗村一组' end
         from generate_series(1, 12000) n;
         insert into identity_record (institution_id, local_no, person_id, region, address, link_rule, updated_at)
         select 1, id::text, id, region, address, 'new', now() from person;
         create table heard (body jsonb);",
    )
    .execute(db.pool())
    .await
    .unwrap();
    let regions = "select string_agg(r, ' ' order by r) from (
        select region || '=' || count(*) as r from person group by region
        union all select 'record ' || region || '=' || count(*) from identity_record group by region) c";
    let digest = "select md5(string_agg(id || region, '' order by id)) from (
        select id, region from person union all select id, region from identity_record) c";
    let text =
        async |sql: &'static str| sqlx::query_scalar::<_, String>(sql).fetch_one(db.pool()).await.unwrap();
    let (before, places) = (text(digest).await, text(regions).await);
    let mut jobs = Jobs::new(db.db().clone(), testkit::clock());
    index.register_jobs(&mut jobs, &(testkit::clock() as Arc<dyn kernel::Clock>));
    let own = db.db().clone();
    jobs.on("test.heard", move |job| {
        let db = own.clone();
        async move {
            db.transaction(async |tx| {
                sqlx::query("insert into heard values ($1)")
                    .bind(&job.body)
                    .execute(&mut **tx)
                    .await
                    .unwrap();
                job.finish_in(tx).await
            })
            .await
        }
    });
    jobs.subscribe(DivisionsFollowed::TOPIC, "test.heard");
    // 王岗村 (…002) is merged into 李家寨村 (…001) but for its third group, which becomes a village (…003).
    let moved = DivisionsMoved {
        operation_id: 7,
        year: 2025,
        moves: vec![("411503001002".into(), "411503001001".into())],
        addresses: vec![AddressRule {
            from: "411503001002".into(),
            contains: "三组".into(),
            to: "411503001003".into(),
        }],
        ..DivisionsMoved::default()
    };
    let tell = async |event: &DivisionsMoved| {
        db.transaction(async |tx| outbox::emit(tx, DivisionsMoved::TOPIC, "7", event).await).await.unwrap();
        settle(&jobs).await;
        let body: serde_json::Value =
            sqlx::query_scalar("delete from heard returning body").fetch_one(db.pool()).await.unwrap();
        serde_json::from_value::<DivisionsFollowed>(body).unwrap()
    };
    let followed = tell(&moved).await;
    assert_eq!((followed.part.as_str(), followed.moved, followed.undo), ("people", 4000, false));
    let there = "411502001001=4000 411503001001=6000 411503001003=2000 \
                 record 411502001001=4000 record 411503001001=6000 record 411503001003=2000";
    assert_eq!(text(regions).await, there);
    // The same event once more changes nothing.
    assert_eq!(tell(&moved).await.moved, 4000);
    assert_eq!(text(regions).await, there);
    let counted = index.count(&["411503001003".into(), "411503001002".into()]).await.unwrap();
    assert_eq!(counted, [("411503001003".to_owned(), 2000)]);
    assert_eq!(index.count_all().await.unwrap().len(), 3);
    let undo = DivisionsMoved {
        moves: vec![("411503001003".into(), "411503001002".into())],
        undo: true,
        addresses: vec![],
        ..moved
    };
    assert!(tell(&undo).await.undo);
    assert_eq!((text(digest).await, text(regions).await), (before, places));
    let notes: i64 =
        sqlx::query_scalar("select count(*) from person_division_note").fetch_one(db.pool()).await.unwrap();
    assert_eq!(notes, 0);
}
