//! The local cluster: start, stop, kill, and what stands in the way.

use std::path::Path;
use std::time::{Duration, Instant};

use kernel::Error;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use store::Cluster;
use store::cluster::Use;

async fn start(path: &Path) -> kernel::Result<Cluster> {
    // Durable, as for real data: that is part of what is tried here.
    Cluster::start(path, &|_| {}).await
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

async fn run(options: &PgConnectOptions, sql: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}

async fn count(options: &PgConnectOptions) -> Result<i64, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection).await
}

fn refusal(error: &Error) -> (&'static str, String) {
    match error {
        Error::Refused(r) => (r.code, r.message.clone()),
        other => panic!("a fault: {other}"),
    }
}

/// Whether the process lives; one that is dead but not yet waited for by whoever started it has no folder.
fn alive(number: u32) -> bool {
    std::fs::read_link(format!("/proc/{number}/cwd")).is_ok()
}

/// Asks again until the answer is there: for what another process does in its own time.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survive_a_stop_and_every_kind_of_death() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("postgres");
    let cluster = start(&path).await.unwrap();
    let options = cluster.connect_options();
    run(&options, "create table kept (n int); insert into kept values (1)").await.unwrap();
    assert_eq!(count(&cluster.url().parse().unwrap()).await.unwrap(), 1, "the address leads there too");

    // A second program is kept off.
    let (code, message) = refusal(&start(&path).await.unwrap_err());
    assert_eq!(code, "cluster.in_use", "{message}");

    // A clean stop leaves nothing behind.
    let server = cluster.server_pid().unwrap();
    cluster.stop().await.unwrap();
    assert!(!alive(server), "the server is gone");
    assert!(!path.join("pgdata/postmaster.pid").exists(), "and it shut down properly");

    // The server is killed while we run: it comes back by itself.
    let cluster = start(&path).await.unwrap();
    run(&options, "insert into kept values (2)").await.unwrap();
    let server = cluster.server_pid().unwrap();
    kill_process(pid(server), Signal::KILL).unwrap();
    let other = until("a new server", async || cluster.server_pid().filter(|p| *p != server)).await;
    assert_ne!(other, server);
    assert_eq!(until("recovery", async || count(&options).await.ok()).await, 2);
    cluster.stop().await.unwrap();

    // A stale postmaster.pid that names a living stranger (ourselves) does not stand in the way.
    let stale = format!("{}\n{}\n1\n5432\n\n\n", std::process::id(), path.join("pgdata").display());
    std::fs::write(path.join("pgdata/postmaster.pid"), stale).unwrap();
    let cluster = start(&path).await.unwrap();
    assert_eq!(count(&options).await.unwrap(), 2);
    cluster.stop().await.unwrap();

    // An empty one, as a full disk leaves it, neither.
    std::fs::write(path.join("pgdata/postmaster.pid"), "").unwrap();
    let cluster = start(&path).await.unwrap();
    assert_eq!(count(&options).await.unwrap(), 2);
    cluster.stop().await.unwrap();

    // Dropped without a stop, the server goes as well.
    let cluster = start(&path).await.unwrap();
    let server = cluster.server_pid().unwrap();
    drop(cluster);
    until("the end of a dropped server", async || (!alive(server)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_left_behind_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("postgres");
    let cluster = start(&path).await.unwrap();
    let options = cluster.connect_options();
    run(&options, "create table kept (n int); insert into kept values (1)").await.unwrap();
    cluster.stop().await.unwrap();

    // A server started past us, as one that survived its program.
    let folder = store::cluster::Folder::prepare(&path, Use::Production, &|_| {}).unwrap();
    let status = folder
        .command("pg_ctl")
        .args(["start", "-w", "-s", "-l", "left.log", "-D"])
        .arg(folder.data())
        .status()
        .unwrap();
    assert!(status.success());
    let left = folder.leftover().expect("it is found alive");
    drop(folder);

    let cluster = start(&path).await.unwrap();
    assert_ne!(cluster.server_pid(), Some(left));
    assert!(!alive(left), "the old server is gone");
    assert_eq!(count(&options).await.unwrap(), 1);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_not_ours_to_start_are_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("pgdata");
    std::fs::create_dir(&data).unwrap();

    let (code, message) = refusal(&start(home.path()).await.unwrap_err());
    assert_eq!(code, "cluster.not_a_cluster", "{message}");

    std::fs::write(data.join("PG_VERSION"), "9999\n").unwrap();
    let (code, message) = refusal(&start(home.path()).await.unwrap_err());
    assert_eq!(code, "cluster.version_mismatch");
    assert!(message.contains("postgresql-9999") && message.contains("没有被改动"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_why() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("postgres");
    start(&path).await.unwrap().stop().await.unwrap();
    std::fs::write(path.join("pgdata/local.conf"), "shared_buffers = 'nonsense'\n").unwrap();
    let (code, message) = refusal(&start(&path).await.unwrap_err());
    assert_eq!(code, "cluster.start_failed");
    assert!(message.contains("shared_buffers"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("很长的目录名".repeat(6)).join("postgres");
    let cluster = start(&path).await.unwrap();
    run(&cluster.connect_options(), "select 1").await.unwrap();
    run(&cluster.url().parse().unwrap(), "select 1").await.unwrap();
    cluster.stop().await.unwrap();
}
