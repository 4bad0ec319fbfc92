//! Events and jobs: order, retries, leases, and what happens when workers die.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use kernel::{Clock, Error, Refusal};
use serde_json::json;
use store::jobs::{self, Idle, MAX_ATTEMPTS};
use store::{DbDoing, Jobs, outbox};
use testkit::{TestClock, TestDb, clock, settle};
use tokio::sync::{Notify, Semaphore, oneshot};

async fn fresh() -> (TestDb, Arc<TestClock>, Jobs) {
    let db = TestDb::create(store::MIGRATIONS, &[]).await;
    let clock = clock();
    let jobs = Jobs::new(db.db().clone(), clock.clone());
    (db, clock, jobs)
}

async fn put(db: &TestDb, kind: &str, subject: &str, n: i32) -> i64 {
    db.transaction(async |tx| jobs::enqueue(tx, kind, subject, &json!(n), None).await).await.unwrap()
}

async fn count(db: &TestDb, state: &str) -> i64 {
    let query = sqlx::query_scalar("select count(*) from job where state = $1");
    query.bind(state).fetch_one(db.pool()).await.unwrap()
}

fn fault() -> Error {
    Error::fault("try", "it did not work")
}

/// Remembers in what order jobs ran.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_every_subscriber_in_order_and_only_if_its_cause_is_committed() {
    let (db, _, mut jobs) = fresh().await;
    let log = Log::default();
    for kind in ["first.listener", "second.listener"] {
        let log = log.clone();
        jobs.on(kind, move |job| {
            log.add(format!("{} {} {} {}", job.kind, job.topic, job.subject, job.body));
            async { Ok(()) }
        });
    }
    jobs.subscribe("person.linked", "first.listener").subscribe("person.linked", "second.listener");
    jobs.subscribe("person.split", "first.listener");

    let refused: kernel::Result<()> = db
        .transaction(async |tx| {
            outbox::emit(tx, "person.linked", "9", &json!({})).await?;
            Err(Refusal::conflict("test.no", "不").into())
        })
        .await;
    assert!(refused.is_err());
    db.transaction(async |tx| {
        outbox::emit_all(tx, "person.linked", &[("1", &json!(1)), ("2", &json!(2))]).await?;
        outbox::emit(tx, "person.split", "1", &json!(3)).await?;
        outbox::emit(tx, "nobody.listens", "1", &json!(4)).await
    })
    .await
    .unwrap();
    settle(&jobs).await;
    let mut ran = log.take();
    ran.sort();
    assert_eq!(
        ran,
        [
            "first.listener person.linked 1 1",
            "first.listener person.linked 2 2",
            "first.listener person.split 1 3",
            "second.listener person.linked 1 1",
            "second.listener person.linked 2 2",
        ]
    );
    settle(&jobs).await;
    assert!(log.take().is_empty(), "nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subjects_jobs_run_in_order_even_when_the_first_fails() {
    let (db, clock, mut jobs) = fresh().await;
    let (log, broken) = (Log::default(), Arc::new(AtomicBool::new(true)));
    let (own, own_broken) = (log.clone(), broken.clone());
    jobs.on("k", move |job| {
        own.add(format!("{}{}", job.subject, job.body));
        let fails = job.body == json!(1) && own_broken.load(Ordering::SeqCst);
        async move { if fails { Err(fault()) } else { Ok(()) } }
    });
    for (subject, n) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("", 5)] {
        put(&db, "k", subject, n).await;
    }
    let idle = jobs.run_until_idle().await.unwrap();
    assert_eq!(log.take(), ["a1", "b3", "5"], "what follows the failed one waits, nothing else does");
    assert_eq!(idle, Idle { ran: 3, waiting: 3, dead: 0 });

    broken.store(false, Ordering::SeqCst);
    jobs.run_until_idle().await.unwrap();
    assert!(log.take().is_empty(), "not before the pause is over");
    clock.advance(TimeDelta::seconds(5));
    settle(&jobs).await;
    assert_eq!(log.take(), ["a1", "a2", "a4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_always_fails_is_put_aside_and_can_be_revived() {
    let (db, clock, mut jobs) = fresh().await;
    let (starts, mended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (own, own_mended) = (starts.clone(), mended.clone());
    jobs.on("k", move |job| {
        let n = own.fetch_add(1, Ordering::SeqCst);
        let mended = own_mended.load(Ordering::SeqCst);
        async move {
            assert!(mended || n % 2 == 0, "a panic is a failure too; attempt {}", job.attempt);
            if mended { Ok(()) } else { Err(fault()) }
        }
    });
    let id = put(&db, "k", "s", 1).await;
    put(&db, "k", "s", 2).await;
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(count(&db, "dead").await, 0, "before attempt {attempt}");
        jobs.run_until_idle().await.unwrap();
        clock.advance(TimeDelta::minutes(11));
    }
    let dead = jobs::dead(&db, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].id, dead[0].attempts, &dead[0].body), (id, MAX_ATTEMPTS, &json!(1)));
    assert!(dead[0].last_error.is_some());
    assert_eq!(
        usize::try_from(MAX_ATTEMPTS).unwrap() + 1,
        starts.load(Ordering::SeqCst),
        "the next one had its turn"
    );

    mended.store(true, Ordering::SeqCst);
    assert_eq!(jobs.run_until_idle().await.unwrap(), Idle { ran: 1, waiting: 0, dead: 1 });
    assert!(db.transaction(async |tx| jobs::revive(tx, id).await).await.unwrap());
    assert!(!db.transaction(async |tx| jobs::revive(tx, id).await).await.unwrap());
    settle(&jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_with_the_same_key_takes_the_new_body() {
    let (db, clock, mut jobs) = fresh().await;
    let log = Log::default();
    let own = log.clone();
    jobs.on("k", move |job| {
        own.add(job.body.to_string());
        async { Ok(()) }
    });
    let put = async |n: i32, later: Option<TimeDelta>| {
        let at = later.map(|by| clock.now() + by);
        db.transaction(async |tx| match at {
            None => jobs::enqueue(tx, "k", "", &n, Some("key")).await,
            Some(at) => jobs::enqueue_at(tx, "k", "", &n, Some("key"), at).await,
        })
        .await
        .unwrap()
    };
    let first = put(1, Some(TimeDelta::hours(1))).await;
    jobs.run_until_idle().await.unwrap();
    assert!(log.take().is_empty(), "it is for later");
    assert_eq!(put(2, None).await, first);
    assert_eq!(put(3, Some(TimeDelta::hours(2))).await, first);
    settle(&jobs).await;
    assert_eq!(log.take(), ["3"], "once, at the earliest time, with the latest body");
    assert_ne!(put(4, None).await, first);
    settle(&jobs).await;
    assert_eq!(log.take(), ["4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_job_is_taken_over_and_its_late_finish_has_no_effect() {
    let (db, clock, mut slow) = fresh().await;
    let mut quick = slow.clone();
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let outcome = Arc::new(Mutex::new(None));
    let (own_started, own_go_on, own_outcome, own_db) =
        (started.clone(), go_on.clone(), outcome.clone(), db.db().clone());
    slow.on("k", move |job| {
        let (started, go_on, outcome, db) =
            (own_started.clone(), own_go_on.clone(), own_outcome.clone(), own_db.clone());
        async move {
            started.notify_one();
            let _turn = go_on.acquire().await;
            let late = db.transaction(async |tx| {
                sqlx::query("create table trace_of_the_late ()").execute(&mut **tx).await.db("trace")?;
                job.finish_in(tx).await
            });
            *outcome.lock().unwrap() = Some(late.await.map_err(|e| e.to_string()));
            Ok(())
        }
    });
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let own_attempts = attempts.clone();
    quick.on("k", move |job| {
        own_attempts.lock().unwrap().push(job.attempt);
        async move { job.progress(&json!({ "rows": 7 })).await }
    });

    put(&db, "k", "", 1).await;
    let running = tokio::spawn(async move { slow.run_until_idle().await });
    started.notified().await;
    assert_eq!(quick.run_until_idle().await.unwrap(), Idle { ran: 0, waiting: 1, dead: 0 }, "it is leased");
    clock.advance(jobs::LEASE + TimeDelta::seconds(1));
    settle(&quick).await;
    assert_eq!(*attempts.lock().unwrap(), [2]);

    go_on.add_permits(1);
    running.await.unwrap().unwrap();
    let told = outcome.lock().unwrap().take().unwrap().unwrap_err();
    assert!(told.contains("job.lost"), "{told}");
    let trace: Option<String> = sqlx::query_scalar("select to_regclass('trace_of_the_late')::text")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(trace, None, "what the late one did is rolled back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_each_time_is_put_aside() {
    let (db, clock, mut jobs) = fresh().await;
    jobs.on("k", |_| async { Ok(()) });
    put(&db, "k", "", 1).await;
    // As it looks after the last permitted start ended with the process.
    sqlx::query("update job set state = 'running', attempts = $1, leased_until = $2")
        .bind(MAX_ATTEMPTS)
        .bind(clock.now())
        .execute(db.pool())
        .await
        .unwrap();
    assert_eq!(jobs.run_until_idle().await.unwrap(), Idle { ran: 0, waiting: 0, dead: 1 });
    let dead = jobs::dead(&db, 1).await.unwrap();
    assert!(dead[0].last_error.as_deref().unwrap().contains("进程中断"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_run_each_job_once_and_one_subject_at_a_time() {
    const EVENTS: usize = 120;
    let (db, _, mut jobs) = fresh().await;
    sqlx::query("create table seen (subject text, n int)").execute(db.pool()).await.unwrap();
    let busy: Arc<[AtomicBool; 4]> = Arc::default();
    let (all_done, left) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(EVENTS)));
    let (own_busy, own_all, own_left, own_db) =
        (busy.clone(), all_done.clone(), left.clone(), db.db().clone());
    jobs.on("note", move |job| {
        let (busy, all_done, left, db) =
            (own_busy.clone(), own_all.clone(), own_left.clone(), own_db.clone());
        async move {
            let mine = &busy[job.subject.parse::<usize>().unwrap()];
            assert!(!mine.swap(true, Ordering::SeqCst), "two jobs of one subject at once");
            db.transaction(async |tx| {
                sqlx::query("insert into seen values ($1, $2)")
                    .bind(&job.subject)
                    .bind(job.read::<i32>()?)
                    .execute(&mut **tx)
                    .await
                    .db("note")?;
                // From the commit on, the subject's next job may start.
                mine.store(false, Ordering::SeqCst);
                job.finish_in(tx).await
            })
            .await?;
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                all_done.notify_one();
            }
            Ok(())
        }
    });
    jobs.subscribe("noted", "note");
    // Two processes with three workers each, woken by notifications while events come in.
    let runs: Vec<_> = (0..2)
        .map(|_| {
            let (stop, stopped) = oneshot::channel::<()>();
            let jobs = jobs.clone();
            (stop, tokio::spawn(async move { jobs.run(3, async { _ = stopped.await }).await }))
        })
        .collect();
    for n in 0..EVENTS {
        let subject = (n % 4).to_string();
        db.transaction(async |tx| outbox::emit(tx, "noted", &subject, &n).await).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(60), all_done.notified()).await.expect("all jobs run");
    for (stop, run) in runs {
        stop.send(()).unwrap();
        run.await.unwrap();
    }
    for subject in 0..4 {
        let seen: Vec<i32> = sqlx::query_scalar("select n from seen where subject = $1 order by ctid")
            .bind(subject.to_string())
            .fetch_all(db.pool())
            .await
            .unwrap();
        let expected: Vec<i32> = (0..i32::try_from(EVENTS).unwrap()).filter(|n| n % 4 == subject).collect();
        assert_eq!(seen, expected, "each once, in order");
    }
    settle(&jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_the_job_under_way_end_and_starts_no_other() {
    let (db, _, mut jobs) = fresh().await;
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (own_started, own_go_on) = (started.clone(), go_on.clone());
    jobs.on("k", move |_| {
        let (started, go_on) = (own_started.clone(), own_go_on.clone());
        async move {
            started.notify_one();
            let _turn = go_on.acquire().await;
            Ok(())
        }
    });
    put(&db, "k", "", 1).await;
    put(&db, "k", "", 2).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(jobs.run(1, async { _ = stopped.await }));
    started.notified().await;
    stop.send(()).unwrap();
    // The run has been told before the job may go on.
    tokio::task::yield_now().await;
    assert!(!run.is_finished());
    go_on.add_permits(1);
    run.await.unwrap();
    assert_eq!((count(&db, "ready").await, count(&db, "running").await), (1, 0));
}
