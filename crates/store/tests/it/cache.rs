//! Declared caches: what they keep, how long, and that every process drops what another one changed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use store::cache::{Caches, Declared};
use testkit::TestDb;

const NAMES: Declared = Declared {
    name: "test.names",
    title: "名称",
    about: "测试",
    lives: Some(TimeDelta::seconds(60)),
    most: 2,
};
const WHOLE: Declared = Declared { name: "test.whole", lives: None, ..NAMES };

async fn database() -> TestDb {
    TestDb::create(
        store::migrate::MIGRATIONS,
        &["create table thing (n int); insert into thing values (1);".to_owned()],
    )
    .await
}

#[tokio::test]
async fn entries_are_loaded_once_live_their_time_and_make_room() {
    let (caches, clock) = (Caches::default(), testkit::clock());
    let names = caches.entries::<i64, String>(NAMES, clock.clone());
    let loads = AtomicI64::new(0);
    let load = async |key: i64| {
        names
            .get_or(&key, async {
                loads.fetch_add(1, Ordering::SeqCst);
                Ok(format!("名{key}"))
            })
            .await
            .unwrap()
            .as_str()
            .to_owned()
    };
    assert_eq!((load(1).await, load(1).await, loads.load(Ordering::SeqCst)), ("名1".into(), "名1".into(), 1));
    clock.advance(TimeDelta::seconds(59));
    load(1).await;
    load(2).await;
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    clock.advance(TimeDelta::seconds(1));
    load(1).await;
    assert_eq!(loads.load(Ordering::SeqCst), 3, "a minute is over");
    load(3).await;
    assert!(names.get(&2).is_none(), "the oldest made room");
    names.forget(&3);
    assert!(names.get(&3).is_none());
    // Changed while it was being read: what was read is given but not kept.
    let value = names
        .get_or(&4, async {
            names.forget(&4);
            Ok("旧".to_owned())
        })
        .await
        .unwrap();
    assert_eq!((value.as_str(), names.get(&4).is_none()), ("旧", true));
    let facts = &caches.facts()[0];
    assert_eq!((facts.name, facts.entries, facts.misses), ("test.names", 1, 5));
}

#[tokio::test]
async fn a_change_is_heard_by_every_process() {
    let db = database().await;
    let clock = testkit::clock();
    let process = async || {
        let caches = Caches::default();
        let names = caches.entries::<i64, i32>(NAMES, clock.clone());
        let whole = caches
            .snapshot(WHOLE, clock.clone(), db.db(), |db| {
                Box::pin(async move {
                    Ok(sqlx::query_scalar::<_, i32>("select n from thing")
                        .fetch_one(db.pool())
                        .await
                        .unwrap())
                })
            })
            .await
            .unwrap();
        (caches, names, whole)
    };
    let (here, there) = (process().await, process().await);
    assert_eq!(*there.2.now(), 1);
    let followed = {
        let (caches, db) = (there.0.clone(), db.db().clone());
        tokio::spawn(async move { caches.follow(&db).await })
    };
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        let waiting = async {
            while !done() {
                tokio::task::yield_now().await;
                sqlx::query("select 1").execute(db.pool()).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{what}"));
    };
    // Listening begins with reading everything anew; a key kept before is gone then.
    until("it listens", &|| there.0.facts().iter().any(|f| f.name == WHOLE.name && f.misses > 1)).await;
    for key in [1, 2] {
        there.1.get_or(&key, async { Ok(7) }).await.unwrap();
    }
    db.transaction(async |tx| {
        sqlx::query("update thing set n = 2").execute(&mut **tx).await.unwrap();
        Caches::changed(tx, NAMES.name, Some("1")).await?;
        Caches::changed(tx, WHOLE.name, None).await
    })
    .await
    .unwrap();
    until("the snapshot is read again", &|| *there.2.now() == 2).await;
    assert_eq!((there.1.get(&1), there.1.get(&2).as_deref()), (None, Some(&7)));
    assert_eq!(*here.2.now(), 1, "who does not follow does not hear");
    here.0.clear(db.db(), NAMES.name).await.unwrap();
    until("the other process cleared too", &|| there.1.get(&2).is_none()).await;
    assert!(here.0.clear(db.db(), "test.none").await.is_err());
    followed.abort();
}
