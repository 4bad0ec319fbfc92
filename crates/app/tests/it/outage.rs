//! What the program stands on goes away: the object folder, its disk's space, the database.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use store::Cluster;

use crate::city::{Browser, City, city, city_at, counts, until};
use crate::rows::visits;
use crate::sound::assert_sound;

async fn unfinished(city: &City) -> i64 {
    city.count("select count(*) from batch where state in ('accepted', 'processing')").await
}

/// Writers of this database that wait for another; the view shows those of all databases.
const WAITING_WRITERS: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())";

/// Keeps everything of one institution and data set from being written, until rolled back.
async fn hold_writers(city: &City) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = city.db.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock($1, 2)")
        .bind(city.institutions[0].get() as i32)
        .execute(&mut *held)
        .await
        .unwrap();
    held
}

#[tokio::test]
async fn without_its_object_folder_nothing_is_accepted_and_nothing_is_lost() {
    let city = city().await;
    let mut his = city.program(0).await;
    let (objects, away) = (city.folder.path().join("objects"), city.folder.path().join("unmounted"));

    // Three batches are accepted: two are being written, the third waits for its turn, its file not yet open.
    let held = hold_writers(&city).await;
    for n in 0..3 {
        let answer = his.upload("outpatient_visit", "wait=false", visits(n * 10..n * 10 + 10, 5, 80)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    until("two are being written", async || city.count(WAITING_WRITERS).await == 2).await;
    std::fs::rename(&objects, &away).unwrap();
    held.rollback().await.unwrap();
    until("two are done", async || unfinished(&city).await == 1).await;
    for _ in 0..12 {
        city.platform.exchange.intake.resume().await.unwrap();
    }
    assert_eq!(unfinished(&city).await, 1, "an absent disk is no reason to give a batch up");

    for trouble in ["absent", "a file in its place"] {
        let answer = his.upload("outpatient_visit", "", visits(50..60, 5, 80)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{trouble}: {}", answer.text());
        let (code, message) = answer.error();
        assert_eq!(code, "objects.unavailable");
        assert!(message.contains("原件库") && message.contains("没有保存"), "{trouble}: {message}");
        std::fs::write(&objects, "").ok();
    }
    assert_eq!(city.count("select count(*) from batch").await, 3);

    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&away, &objects).unwrap();
    city.platform.exchange.intake.resume().await.unwrap();
    assert_eq!(
        (unfinished(&city).await, city.count("select count(*) from fact_outpatient_visit").await),
        (0, 30)
    );
    let answer = his.upload("outpatient_visit", "", visits(50..60, 5, 80)).await;
    assert_eq!(counts(&answer.good()), [10, 10, 0, 0, 0, 0]);
    assert_sound(city.db.pool()).await;
}

#[tokio::test]
async fn a_receipt_is_final_even_when_the_clearing_up_took_the_batch_first() {
    let city = city().await;
    let reach = kernel::Caller::system("运维")
        .decide(kernel::Need::new(kernel::Line::Exchange, kernel::Act::Write), kernel::Purpose::of("upload"))
        .unwrap();
    let submission = exchange::intake::Submission {
        institution: city.institutions[0],
        dataset: Some("outpatient_visit".to_owned()),
        door: exchange::intake::Door::Api,
        file_name: String::new(),
        request_key: None,
        atomic: false,
        received_at: None,
    };
    let intake = city.platform.exchange.intake.clone();
    let held = hold_writers(&city).await;
    let file = visits(0..10, 5, 80);
    let accepted = intake.accept(&reach, submission, file.as_bytes()).await.unwrap();
    let clearing = tokio::spawn({
        let intake = intake.clone();
        async move { intake.resume().await }
    });
    until("the batch is being written", async || city.count(WAITING_WRITERS).await == 1).await;
    let finishing = tokio::spawn(intake.finish(accepted));
    // Long enough for an answer that does not wait.
    for _ in 0..50 {
        city.count("select 1::bigint").await;
    }
    assert!(!finishing.is_finished(), "answered before the end: {:?}", finishing.await);
    held.rollback().await.unwrap();
    let id = finishing.await.unwrap().unwrap();
    let receipt = city.platform.exchange.receipt(&reach, id).await.unwrap();
    assert!(receipt.is_final(), "{}", receipt.state);
    clearing.await.unwrap().unwrap();
}

/// A small file system in memory; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        done.is_ok_and(|out| out.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_nothing_is_half_kept() {
    let city = city().await;
    let mut his = city.program(0).await;
    let root = city.folder.path().join("objects");
    let Some(_disk) = SmallDisk::mount(&root) else {
        eprintln!("skipped: this account may not mount a file system");
        return;
    };
    for name in ["objects", "incoming"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    let large = visits(0..20_000, 50, 80);
    assert!(large.len() > 2 << 20);
    let answer = his.upload("outpatient_visit", "", large).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    let (code, message) = answer.error();
    assert_eq!(code, "objects.full");
    assert!(message.contains("磁盘空间不足"), "{message}");
    assert_eq!(std::fs::read_dir(root.join("incoming")).unwrap().count(), 0, "no temporary file stays");
    assert_eq!(city.count("select count(*) from batch").await, 0);
    let answer = his.upload("outpatient_visit", "", visits(0..10, 5, 80)).await;
    assert_eq!(counts(&answer.good()), [10, 10, 0, 0, 0, 0], "what fits is taken");
}

fn rows() -> u32 {
    // Several chunks.
    10_000
}

fn start_upload(program: &Browser, visits: String) -> tokio::task::JoinHandle<crate::city::Answer> {
    let mut program = program.clone();
    tokio::spawn(async move { program.upload("outpatient_visit", "", visits).await })
}

async fn until_half_done(city: &City) {
    until("the first chunk is there", async || {
        city.count("select coalesce(max(rows_done), 0) from batch").await > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_while_costs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("postgres");
    let cluster = Cluster::start(&path, &|_| {}).await.unwrap();
    let city = city_at(Some(cluster.url())).await;
    let (his, mut other) = (city.program(0).await, city.program(2).await);
    let mut doctor = city.staff("doctor").await;
    let loading = start_upload(&his, visits(0..rows(), 500, 80));
    until_half_done(&city).await;

    let gone = Instant::now();
    cluster.stop().await.unwrap();
    let answer = other.upload("outpatient_visit", "", visits(0..10, 5, 80)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert!(answer.error().1.contains("数据库暂时不可用"), "{}", answer.text());
    let page = doctor.get("/persons?q=王").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}", page.text());
    assert!(page.text().contains("数据库暂时不可用"));
    let sign_in = city.visitor().form("/sign-in", &[("login", "doctor"), ("password", "x")]).await;
    assert_eq!(sign_in.status, StatusCode::SERVICE_UNAVAILABLE);
    // Away for eight seconds in all: longer than anybody waits for a connection.
    tokio::time::sleep(Duration::from_secs(8).saturating_sub(gone.elapsed())).await;

    let cluster = Cluster::start(&path, &|_| {}).await.unwrap();
    let receipt = loading.await.unwrap().good();
    assert_eq!(counts(&receipt), [i64::from(rows()), i64::from(rows()), 0, 0, 0, 0], "{receipt}");
    assert_eq!(doctor.get("/persons?q=王").await.status, StatusCode::OK);
    assert_eq!(city.count("select count(*) from batch").await, 1, "what was refused was not accepted");
    let answer = other.upload("outpatient_visit", "", visits(0..10, 5, 80)).await;
    assert_eq!(counts(&answer.good()), [10, 10, 0, 0, 0, 0]);
    assert_sound(city.db.pool()).await;
    city.platform.close().await.unwrap();
    cluster.stop().await.unwrap();
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_server_comes_back_and_the_load_goes_on() {
    let city = city_at(None).await;
    let his = city.program(0).await;
    let server = city.folder.path().join("postgres/pgdata/postmaster.pid");
    for (round, victim) in ["a backend", "the server", "a backend"].into_iter().enumerate() {
        let first = round as u32 * rows();
        let loading = start_upload(&his, visits(first..first + rows(), 500, 80));
        until("rows of this round", async || {
            city.count("select coalesce(max(rows_done), 0) from batch where state = 'processing'").await > 0
        })
        .await;
        let pid: i32 = match victim {
            "the server" => std::fs::read_to_string(&server).unwrap().lines().next().unwrap().parse().unwrap(),
            _ => sqlx::query_scalar(
                "select pid from pg_stat_activity where application_name = 'minkang' and pid <> pg_backend_pid()
                 order by state_change desc limit 1",
            )
            .fetch_one(city.db.pool())
            .await
            .unwrap(),
        };
        kill(pid);
        let answer = loading.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{victim}: {}", answer.text());
        let receipt = answer.json();
        assert_eq!(
            counts(&receipt),
            [i64::from(rows()), i64::from(rows()), 0, 0, 0, 0],
            "{victim}: {receipt}"
        );
    }
    assert_eq!(city.count("select count(*) from fact_outpatient_visit").await, i64::from(3 * rows()));
    assert_sound(city.db.pool()).await;
    city.platform.close().await.unwrap();
}
