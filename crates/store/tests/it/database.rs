//! Pool, transactions and migrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kernel::{Error, RefusalKind};
use store::cluster::Use;
use store::{Cluster, Db, DbDoing, Migration, Retry, Tx, migrate};
use testkit::TestDb;

const STEPS: &[Migration] = &[
    Migration { context: "one", name: "0001_a", sql: "create table a (n int); insert into a values (1);" },
    Migration { context: "two", name: "0001_b", sql: "create table b (n int primary key, m int)" },
];

fn code(error: &Error) -> &'static str {
    match error {
        Error::Refused(refusal) => refusal.code,
        Error::Fault { doing, .. } => doing,
    }
}

async fn numbers(db: &Db) -> Vec<i32> {
    sqlx::query_scalar("select n from a order by n").fetch_all(db.pool()).await.unwrap()
}

async fn count_up(tx: &mut Tx<'_>, n: i32) -> kernel::Result<()> {
    sqlx::query("update b set m = m + 1 where n = $1").bind(n).execute(&mut **tx).await.db("count")?;
    Ok(())
}

async fn add(tx: &mut Tx<'_>, n: i32) -> kernel::Result<()> {
    sqlx::query("insert into a values ($1)").bind(n).execute(&mut **tx).await.db("add")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_applied_once_in_order_and_never_change() {
    let db = TestDb::create(&[], &[]).await;
    // Two programs that start at once.
    let (first, second) = tokio::join!(migrate(db.pool(), STEPS), migrate(db.pool(), STEPS));
    let mut applied = first.unwrap();
    applied.extend(second.unwrap());
    assert_eq!(applied, ["one/0001_a", "two/0001_b"]);
    assert_eq!(numbers(&db).await, [1]);

    // A changed one is refused and nothing is done, not even what is new.
    let changed = [
        STEPS[0],
        Migration { sql: "create table b (n bigint)", ..STEPS[1] },
        Migration { context: "two", name: "0002_c", sql: "create table c ()" },
    ];
    assert_eq!(code(&migrate(db.pool(), &changed).await.unwrap_err()), "schema.migration_changed");
    // A database of a newer program as well.
    let error = migrate(db.pool(), &STEPS[..1]).await.unwrap_err();
    assert_eq!(code(&error), "schema.newer_database");
    assert!(error.to_string().contains("two/0001_b"), "{error}");

    // A failing one leaves nothing; what came before it stays.
    let failing = [
        STEPS[0],
        STEPS[1],
        Migration { context: "two", name: "0002_c", sql: "create table c ()" },
        Migration {
            context: "two",
            name: "0003_d",
            sql: "create table d (); insert into nowhere values (1)",
        },
    ];
    assert!(migrate(db.pool(), &failing).await.is_err());
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public' order by 1")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(tables, ["a", "b", "c", "schema_migration"]);
    assert_eq!(migrate(db.pool(), &failing[..3]).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_own_migrations_apply() {
    let db = TestDb::create(store::MIGRATIONS, &["create table extra (n int)".to_owned()]).await;
    assert_eq!(migrate(db.pool(), store::MIGRATIONS).await.unwrap(), Vec::<String>::new());
    sqlx::query("insert into extra values (1)").execute(db.pool()).await.unwrap();
    // Another database of the same template does not see it.
    let other = TestDb::create(store::MIGRATIONS, &["create table extra (n int)".to_owned()]).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from extra").fetch_one(other.pool()).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_commits_or_leaves_nothing() {
    let db = TestDb::create(STEPS, &[]).await;
    // In a task of its own, as a web handler: the future must be Send.
    let shared: Db = db.db().clone();
    let text = String::from("seven");
    let out = tokio::spawn(async move {
        shared
            .transaction(async |tx| {
                add(tx, 2).await?;
                Ok(text.len())
            })
            .await
    });
    assert_eq!(out.await.unwrap().unwrap(), 5);
    let refused: kernel::Result<()> = db
        .transaction(async |tx| {
            add(tx, 3).await?;
            Err(kernel::Refusal::conflict("test.no", "不").into())
        })
        .await;
    assert_eq!(code(&refused.unwrap_err()), "test.no");
    assert_eq!(numbers(&db).await, [1, 2]);
}

struct Service {
    db: Db,
}

impl Service {
    /// Borrows from everywhere, as handlers do.
    async fn add_all(&self, name: &str, numbers: &[i32]) -> kernel::Result<usize> {
        let mut done = 0;
        self.db
            .transaction(async |tx| {
                for n in numbers {
                    add(tx, *n).await?;
                    done += 1;
                }
                sqlx::query("select $1").bind(name).execute(&mut **tx).await.db("name")?;
                Ok(name.len())
            })
            .await?;
        Ok(done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_borrows_runs_in_a_task() {
    let db = TestDb::create(STEPS, &[]).await;
    let service = Arc::new(Service { db: db.db().clone() });
    let done = tokio::spawn(async move {
        let (name, numbers) = (String::from("x"), vec![7, 8]);
        service.add_all(&name, &numbers).await
    });
    assert_eq!(done.await.unwrap().unwrap(), 2);
    assert_eq!(numbers(&db).await, [1, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_lose_are_tried_again() {
    let db = TestDb::create(STEPS, &[]).await;
    sqlx::query("insert into b values (1, 0), (2, 0)").execute(db.pool()).await.unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let both = [[1, 2], [2, 1]].map(|order| {
        let (db, tries, barrier) = (db.db().clone(), Arc::clone(&tries), Arc::clone(&barrier));
        tokio::spawn(async move {
            let mut retry = Retry::default();
            loop {
                let done = db
                    .transaction(async |tx| {
                        let first = tries.fetch_add(1, Ordering::SeqCst) < 2;
                        count_up(tx, order[0]).await?;
                        if first {
                            barrier.wait().await;
                        }
                        count_up(tx, order[1]).await
                    })
                    .await;
                match done {
                    Err(error) if retry.again(&error).await => {}
                    done => break done,
                }
            }
        })
    });
    for one in both {
        one.await.unwrap().unwrap();
    }
    assert_eq!(tries.load(Ordering::SeqCst), 3, "the two blocked each other and one tried again");
    let sums: Vec<i32> = sqlx::query_scalar("select m from b order by n").fetch_all(db.pool()).await.unwrap();
    assert_eq!(sums, [2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_a_refusal_and_comes_back_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_for(home.path(), Use::Tests, &|_| {}).await.unwrap();
    let options = cluster.connect_options();
    let db = Db::connect(options, 3).await.unwrap();
    migrate(db.pool(), STEPS).await.unwrap();

    // Lost in the middle of a transaction, even where the code says `.doing`.
    let killed: kernel::Result<()> = db
        .transaction(async |tx| {
            use kernel::error::Doing;
            sqlx::query("select pg_terminate_backend(pg_backend_pid())")
                .execute(&mut **tx)
                .await
                .doing("end")?;
            Ok(())
        })
        .await;
    let Err(Error::Refused(refusal)) = killed else { panic!("{killed:?}") };
    assert_eq!((refusal.kind, refusal.code), (RefusalKind::Unavailable, "database.unavailable"));
    assert!(refusal.message.contains("数据库暂时不可用"));

    // Gone altogether: told so in bounded time.
    cluster.stop().await.unwrap();
    let gone =
        tokio::time::timeout(Duration::from_secs(20), db.transaction(async |tx| add(tx, 5).await)).await;
    assert_eq!(code(&gone.unwrap().unwrap_err()), "database.unavailable");

    // Back: the same pool works.
    let cluster = Cluster::start_for(home.path(), Use::Tests, &|_| {}).await.unwrap();
    db.transaction(async |tx| add(tx, 6).await).await.unwrap();
    assert_eq!(numbers(&db).await, [1, 6]);
    db.close().await;
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unfit_addresses_and_databases_are_refused_with_a_reason() {
    assert_eq!(code(&Db::connect_url("not an address", 1).await.unwrap_err()), "database.address");
    assert_eq!(
        code(&Db::connect_url("postgres://nobody@127.0.0.1:1/none", 1).await.unwrap_err()),
        "database.unavailable"
    );
}
