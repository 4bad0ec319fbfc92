//! The local PostgreSQL cluster: made on first use, started with the program, watched, stopped with it.
//!
//! The server is a child in a process group of its own, so that Ctrl-C on the terminal reaches the program first. It
//! dies with the program even when that is killed; should one be left over all the same, the next start stops it
//! properly and starts its own. When the server dies by itself it is started again and recovers.

mod account;
mod binaries;
mod folder;
mod keeper;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::error::Doing;
use kernel::{Refusal, RefusalKind, Result};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

pub use account::Account;
pub use binaries::{Binaries, OLDEST};
pub use folder::{DATABASE, Folder, USER};
use keeper::{Keeper, Phase};
pub use settings::Use;

/// Crash recovery after a long bulk load takes minutes, not more.
const START_LIMIT: Duration = Duration::from_secs(15 * 60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often a first start may fail before we give up. Backends of a killed server need a moment to go away.
const START_ATTEMPTS: u32 = 5;

/// Where to tell a person what takes time.
pub type Progress = dyn Fn(&str) + Send + Sync;

/// A running cluster. Stop it with [`Cluster::stop`]; dropping it only asks the server to go.
#[derive(Debug)]
pub struct Cluster {
    keeper: Arc<Keeper>,
}

impl Cluster {
    /// Starts the cluster in `path` (made if absent) and waits until the program's database is reachable.
    pub async fn start(path: &Path, progress: &Progress) -> Result<Self> {
        Self::start_for(path, Use::Production, progress).await
    }

    /// The same for another use.
    pub async fn start_for(path: &Path, purpose: Use, progress: &Progress) -> Result<Self> {
        let folder = Folder::prepare(path, purpose, progress)?;
        if let Some(pid) = folder.leftover() {
            tracing::warn!(pid, "stopping the server that an earlier run left behind");
            progress("上次运行留下的数据库进程仍在，正在安全停止它……");
            folder.stop_leftover()?;
        }
        let cluster = Self { keeper: Keeper::start(folder)? };
        cluster.wait_until_ready(progress).await?;
        cluster.create_database().await?;
        Ok(cluster)
    }

    /// How to connect to the program's database.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.keeper.folder().connect_options(DATABASE)
    }

    /// The same as the role that serves: it owns nothing and cannot touch the audit trail (`store::role`).
    pub fn serving_options(&self) -> PgConnectOptions {
        self.connect_options().username(crate::role::SERVING)
    }

    /// The address of the program's database, for other programs such as `psql`.
    pub fn url(&self) -> String {
        self.keeper.folder().url(DATABASE)
    }

    /// The process number of the server, while there is one.
    pub fn server_pid(&self) -> Option<u32> {
        self.keeper.pid()
    }

    /// Stops the server: open transactions are rolled back, everything committed is on disk.
    pub async fn stop(self) -> Result<()> {
        self.keeper.ask_to_stop();
        let mut phase = self.keeper.phase();
        let gone = |p: &Phase| matches!(p, Phase::Stopped);
        if tokio::time::timeout(STOP_LIMIT, phase.wait_for(gone)).await.is_err() {
            tracing::warn!(
                "the server did not stop in time; stopping it at once (it will recover at the next start)"
            );
            self.keeper.stop_at_once();
            let _ = tokio::time::timeout(STOP_LIMIT, phase.wait_for(gone)).await;
        }
        Ok(())
    }

    /// Waits until the server accepts connections.
    async fn wait_until_ready(&self, progress: &Progress) -> Result<()> {
        let options = self.keeper.folder().connect_options("postgres");
        let began = Instant::now();
        let mut told = began;
        loop {
            let attempt =
                tokio::time::timeout(Duration::from_secs(5), PgConnection::connect_with(&options)).await;
            if let Ok(Ok(connection)) = attempt {
                let _ = connection.close().await;
                return Ok(());
            }
            let failures = match &*self.keeper.phase().borrow() {
                Phase::Exited { failures } => *failures,
                _ => 0,
            };
            if failures >= START_ATTEMPTS || began.elapsed() > START_LIMIT {
                self.keeper.ask_to_stop();
                return Err(Refusal::new(
                    RefusalKind::Unavailable,
                    "cluster.start_failed",
                    format!(
                        "本地数据库启动失败。请检查磁盘空间和目录权限；日志在 {}，最后几行是：\n{}",
                        self.keeper.folder().log_file().display(),
                        self.keeper.folder().log_tail()
                    ),
                )
                .into());
            }
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                progress(&format!(
                    "正在等待本地数据库就绪（已 {} 秒，可能在做崩溃恢复）……",
                    began.elapsed().as_secs()
                ));
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    async fn create_database(&self) -> Result<()> {
        let options = self.keeper.folder().connect_options("postgres");
        let mut connection =
            PgConnection::connect_with(&options).await.doing("connect to the local cluster")?;
        let present: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = 'minkang')")
                .fetch_one(&mut connection)
                .await
                .doing("look for the program's database")?;
        if !present {
            sqlx::query("create database minkang")
                .execute(&mut connection)
                .await
                .doing("create the program's database")?;
        }
        let _ = connection.close().await;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.ask_to_stop();
    }
}
