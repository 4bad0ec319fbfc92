//! Keys of blocking rules that are gone are taken away, a part at a time, and nothing else is.

use std::collections::BTreeSet;

use contracts::Demographics;
use kernel::Clock;
use person::runs::SHIPPED;
use store::Db;

use crate::index::{everywhere, somebody};
use crate::{COUNTY_HOSPITAL, TOWNSHIP, city, link};

const DEFINITION: &str = include_str!("../../../../catalog/person-index/china.toml");

async fn keys(db: &Db) -> BTreeSet<(i64, i64)> {
    sqlx::query_as::<_, (i64, i64)>("select key, identity_id from link_key")
        .fetch_all(db.pool())
        .await
        .unwrap()
        .into_iter()
        .collect()
}

/// A model without the rule on the birth in one township, so that all rules behind it move up.
async fn fewer(db: &Db) -> i64 {
    let rule =
        "[[block]]\nname = \"birth_township\"\non = [\"birth_date\", \"sex\", \"region.first9\"]\ncap = 60\n";
    let definition = DEFINITION.replace(rule, "");
    assert_ne!(definition, DEFINITION);
    sqlx::query_scalar(
        "insert into person_model (version, definition, blocking, trained_at, actor)
         values ('fewer', $1, '', now(), '测试') returning id",
    )
    .bind(definition)
    .fetch_one(db.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn keys_of_rules_that_are_gone_go_and_come_back_with_them() {
    let (db, index) = city().await;
    let (now, reach) = (testkit::clock().now(), everywhere("测试"));
    for n in 0..40 {
        let row = Demographics { local_no: format!("a{n}"), ..somebody(n) };
        link(db.db(), &index, COUNTY_HOSPITAL, &[row]).await.unwrap();
    }
    let shipped = keys(db.db()).await;
    assert_eq!(index.sweep_keys(now).await.unwrap(), 0, "not before everybody has the keys in force");
    index.write_keys(now).await.unwrap();
    assert_eq!(index.sweep_keys(now).await.unwrap(), 0);
    assert_eq!(keys(db.db()).await, shipped, "what is made stays");

    let fewer = fewer(db.db()).await;
    index.put_in_force(&reach, fewer, "试用", now).await.unwrap();
    assert_eq!(index.write_keys(now).await.unwrap(), 40);
    let both = keys(db.db()).await;
    assert!(both.is_superset(&shipped) && both.len() > shipped.len());
    // One changes while the other model is in force: what its old values made by the former rules stays behind.
    let moved = Demographics { local_no: "a7".into(), phone: "13900009999".into(), ..somebody(7) };
    link(db.db(), &index, COUNTY_HOSPITAL, &[moved]).await.unwrap();
    sqlx::query("insert into link_frequent (key, rule, found_at) values (5, 'phone', now())")
        .execute(db.pool())
        .await
        .unwrap();
    let gone = index.sweep_keys(now).await.unwrap();
    let left = keys(db.db()).await;
    assert!(gone > 40 && left.len() < both.len(), "{gone}");
    assert_eq!(index.sweep_keys(now).await.unwrap(), 0, "once");
    let frequent: i64 =
        sqlx::query_scalar("select count(*) from link_frequent").fetch_one(db.pool()).await.unwrap();
    assert_eq!(frequent, 0);
    // Exactly what the rules in force make: written anew from nothing it is the same.
    sqlx::query("truncate link_key, link_keyed").execute(db.pool()).await.unwrap();
    index.write_keys(now).await.unwrap();
    assert_eq!(keys(db.db()).await, left);

    // The former model again: everybody has its keys, those who came in between too.
    let late = Demographics { local_no: "late".into(), ..somebody(41) };
    link(db.db(), &index, TOWNSHIP, &[late]).await.unwrap();
    index.put_in_force(&reach, SHIPPED, "换回", now).await.unwrap();
    assert_eq!(index.write_keys(now).await.unwrap(), 41);
    index.sweep_keys(now).await.unwrap();
    let back = keys(db.db()).await;
    let of = |keys: &BTreeSet<(i64, i64)>| {
        keys.iter().filter(|(_, id)| *id != 8).copied().collect::<BTreeSet<_>>()
    };
    assert!(of(&back).is_superset(&of(&shipped)), "as before, but for the one that changed");
    let holders: BTreeSet<i64> = back.iter().map(|(_, id)| *id).collect();
    assert_eq!(holders.len(), 41);
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_ended() {
    let (db, index) = city().await;
    let now = testkit::clock().now();
    let row = Demographics { local_no: "a".into(), ..somebody(1) };
    let id = link(db.db(), &index, COUNTY_HOSPITAL, &[row]).await.unwrap()[0];
    index.write_keys(now).await.unwrap();
    let made = keys(db.db()).await;
    // Enough that nobody makes to fill several parts.
    sqlx::query("insert into link_key select n, $1 from generate_series(1, 60000) as n")
        .bind(id)
        .execute(db.pool())
        .await
        .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select key, identity_id from link_key
         where ctid >= ('(' || 0::text || ',0)')::tid and ctid < ('(' || 128::text || ',0)')::tid",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("Tid Range Scan")), "{plan:?}");
    // As a process left it that died after some parts.
    sqlx::query("update link_keyed set swept = 128").execute(db.pool()).await.unwrap();
    let first = index.sweep_keys(now).await.unwrap();
    assert!(first > 0 && first < 60_000, "{first}");
    let clean: bool = sqlx::query_scalar("select clean from link_keyed").fetch_one(db.pool()).await.unwrap();
    assert!(clean);
    sqlx::query("update link_keyed set swept = 0, clean = false").execute(db.pool()).await.unwrap();
    assert_eq!(first + index.sweep_keys(now).await.unwrap(), 60_000);
    assert_eq!(keys(db.db()).await, made);
}
