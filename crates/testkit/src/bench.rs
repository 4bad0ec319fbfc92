//! The shared cluster: started by the first test process that needs it, used by all, stopped by a small watchdog
//! half a minute after the last one has gone.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use store::cluster::{Folder, Use};

/// The cluster as one test process sees it.
#[derive(Debug)]
pub struct Bench {
    options: PgConnectOptions,
    // Shared by all living test processes; the watchdog stops the cluster when it can take it for itself.
    _in_use: File,
}

static BENCH: OnceLock<Bench> = OnceLock::new();

/// The cluster, started if need be.
pub fn bench() -> &'static Bench {
    BENCH.get_or_init(|| Bench::join(&folder()))
}

impl Bench {
    /// How to connect to a database.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database)
    }

    fn join(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("make the folder of the test database");
        let owner = std::fs::metadata(path).expect("look at the folder of the test database").uid();
        let me = rustix::process::geteuid().as_raw();
        assert_eq!(owner, me, "测试数据库目录 {} 属于别的用户，请删除它", path.display());
        let open = |name: &str| {
            let file = path.join(name);
            OpenOptions::new().create(true).append(true).open(&file).unwrap_or_else(|e| {
                panic!("测试数据库目录 {} 不可写：{e}。可删除该目录后重试。", path.display())
            })
        };
        let in_use = open("in-use.lock");
        in_use.lock_shared().expect("share the test database");
        // One process at a time looks whether the cluster runs and starts it.
        let starting = open("starting.lock");
        starting.lock().expect("wait for another test process to start the database");
        let options = start(&path.join("postgres"), &path.join("in-use.lock"));
        Self { options, _in_use: in_use }
    }
}

/// Where the cluster lives: one for each target folder, so that two checkouts do not share, outside of it, because
/// the account that PostgreSQL runs as must reach it.
fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("the path of the test program");
    let target =
        program.ancestors().find(|p| p.ends_with("deps")).unwrap_or(&program).to_string_lossy().into_owned();
    let user = rustix::process::geteuid().as_raw();
    let name = format!("minkang-test-{user}-{}", &blake3::hash(target.as_bytes()).to_hex()[..12]);
    std::env::temp_dir().join(name)
}

fn start(path: &Path, in_use: &Path) -> PgConnectOptions {
    let prepare = || {
        Folder::prepare(path, Use::Tests, &|_| {})
            .unwrap_or_else(|error| panic!("测试需要 PostgreSQL：{error}"))
    };
    let mut folder = prepare();
    if folder.leftover().is_some() {
        return folder.connect_options("postgres");
    }
    // Without fsync, a cluster that was not stopped properly cannot be trusted.
    if !folder.was_stopped_properly() {
        let data = folder.data();
        drop(folder);
        std::fs::remove_dir_all(data).expect("remove the broken test database");
        folder = prepare();
    }
    let done = folder
        .command("pg_ctl")
        .args(["start", "--silent", "--wait", "--log"])
        .arg(folder.path.join("server.log"))
        .arg("--pgdata")
        .arg(folder.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("run pg_ctl");
    assert!(done.success(), "测试数据库启动失败，见 {}", folder.path.join("server.log").display());
    watch(&folder, in_use);
    let options = folder.connect_options("postgres");
    drop_leftovers(options.clone());
    options
}

/// Drops what killed test processes left. Only whoever started the cluster does that: nobody else is in it yet.
fn drop_leftovers(options: PgConnectOptions) {
    blocking(async move {
        let mut admin = PgConnection::connect_with(&options).await?;
        let names: Vec<String> =
            sqlx::query_scalar("select datname::text from pg_database where datname like 'test\\_%'")
                .fetch_all(&mut admin)
                .await?;
        for name in names {
            sqlx::raw_sql(AssertSqlSafe(format!("drop database {name}"))).execute(&mut admin).await?;
        }
        admin.close().await
    })
    .unwrap_or_else(|error| panic!("the test cluster cannot be tidied: {error}"));
}

/// Runs something on a thread and runtime of its own, whatever runtime the caller is in.
pub fn blocking(work: impl Future<Output = Result<(), sqlx::Error>> + Send) -> Result<(), sqlx::Error> {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work)
        };
        scope.spawn(run).join().unwrap_or(Err(sqlx::Error::WorkerCrashed))
    })
}

/// Starts the watchdog: once nobody shares the lock, it stops the cluster.
fn watch(folder: &Folder, in_use: &Path) {
    use std::os::unix::process::CommandExt;
    let script = r#"(while sleep 30; do
        flock --nonblock --conflict-exit-code 9 "$1" "$2" stop --silent --wait --mode fast --pgdata "$3"
        [ $? -eq 9 ] || exit 0
    done) &"#;
    let mut command: Command = folder.account.command("sh", &folder.path);
    command
        .args(["-c", script, "watchdog"])
        .arg(in_use)
        .arg(folder.binaries.program("pg_ctl"))
        .arg(folder.data())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status()
        .unwrap_or_else(|e| panic!("cannot start the watchdog of the test database: {e}"));
}
