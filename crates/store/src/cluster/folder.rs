//! The folder of the local cluster: made once, checked at every start.
//!
//! ```text
//! <folder>/pgdata/        the data; minkang.conf in it is ours, local.conf the operator's
//! <folder>/socket/        the socket (or a short path elsewhere: socket paths are limited to 107 bytes)
//! <folder>/postgres.log   what the server says
//! <folder>/lock           held while a program uses the folder
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kernel::error::Doing;
use kernel::{Refusal, RefusalKind, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::account::{Account, cannot_write};
use super::binaries::{self, Binaries};
use super::settings::{self, Machine, Use};

/// The superuser of our clusters; only the private socket leads to it.
pub const USER: &str = "minkang";
/// The database of the program.
pub const DATABASE: &str = "minkang";
const SOCKET_NAME: &str = ".s.PGSQL.5432";
const LONGEST_SOCKET_PATH: usize = 107;
const LARGEST_LOG: u64 = 16 << 20;

/// A prepared folder: everything that is needed to start, stop and reach its server.
#[derive(Debug)]
pub struct Folder {
    /// The folder itself.
    pub path: PathBuf,
    /// Where the socket is.
    pub socket: PathBuf,
    /// Whom the server runs as.
    pub account: Account,
    /// The programs.
    pub binaries: Binaries,
    // Released by the kernel when this is dropped or the program dies in any way.
    _lock: File,
}

impl Folder {
    /// Makes the folder and its database cluster, or checks those that exist, and writes the settings.
    pub fn prepare(path: &Path, purpose: Use, progress: &dyn Fn(&str)) -> Result<Self> {
        fs::create_dir_all(path).map_err(|e| cannot_write(path, &e))?;
        let path = path.canonicalize().map_err(|e| cannot_write(path, &e))?;
        let data = path.join("pgdata");
        let binaries = binaries::find(existing_version(&data)?)?;
        let account = Account::choose(data.exists().then_some(data.as_path()))?;
        let lock = lock(&path)?;
        for parent in account.open_path_to(&path)? {
            tracing::warn!(folder = %parent.display(), "added search permission for the database account");
            progress(&format!("已允许数据库用户穿过目录 {}（仅可穿过，不可列出）", parent.display()));
        }
        account.private_folder(&path)?;
        if !data.exists() {
            progress("正在建立本地数据库（约需几秒）……");
            init(&path, &data, &account, &binaries)?;
        }
        let socket = socket_folder(&path, &account)?;
        let machine = Machine::here(binaries.has_lz4());
        fs::write(data.join("minkang.conf"), settings::render(machine, purpose, &socket))
            .map_err(|e| cannot_write(&data, &e))?;
        account.own(&data.join("minkang.conf"))?;
        Ok(Self { path, socket, account, binaries, _lock: lock })
    }

    /// The data folder proper.
    pub fn data(&self) -> PathBuf {
        self.path.join("pgdata")
    }

    /// How to connect to one of its databases.
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        // Everything that the environment could set is set here.
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .port(5432)
            .socket(&self.socket)
            .username(USER)
            .password("")
            .ssl_mode(PgSslMode::Disable)
            .database(database)
    }

    /// The same as an address, for other programs.
    pub fn url(&self, database: &str) -> String {
        let mut host = String::new();
        for byte in self.socket.to_string_lossy().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => host.push(char::from(byte)),
                other => host.push_str(&format!("%{other:02X}")),
            }
        }
        format!("postgres://{USER}@{host}:5432/{database}?sslmode=disable")
    }

    /// The server of this folder that is still alive, if any: left behind by a program that was killed. A
    /// `postmaster.pid` that names nobody, or somebody else, is removed so that it cannot hinder the start.
    pub fn leftover(&self) -> Option<u32> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).ok()?;
        let pid = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
        if let Some(pid) = pid.filter(|pid| is_server_of(*pid, &self.data())) {
            return Some(pid);
        }
        tracing::warn!(?pid, "removing a stale postmaster.pid");
        let _ = fs::remove_file(file);
        None
    }

    /// Whether the last server of this folder (none is running) shut down properly.
    pub fn was_stopped_properly(&self) -> bool {
        let out = self.command("pg_controldata").arg("-D").arg(self.data()).env("LC_ALL", "C").output();
        out.is_ok_and(|out| {
            String::from_utf8_lossy(&out.stdout)
                .lines()
                .any(|l| l.starts_with("Database cluster state:") && l.ends_with("shut down"))
        })
    }

    /// Stops a server through `pg_ctl`: quickly, and if that takes longer than a minute, at once.
    pub fn stop_leftover(&self) -> Result<()> {
        for mode in ["fast", "immediate"] {
            let done = self
                .command("pg_ctl")
                .args(["stop", "--silent", "--wait", "--timeout=60", "--mode", mode, "--pgdata"])
                .arg(self.data())
                .stdin(Stdio::null())
                .output()
                .doing("run pg_ctl")?;
            // It may have been on its way out already: then there is nothing to stop, which pg_ctl calls a failure.
            if done.status.success() || self.leftover().is_none() {
                return Ok(());
            }
        }
        Err(Refusal::new(
            RefusalKind::Unavailable,
            "cluster.cannot_stop",
            format!("上次留下的数据库进程停不下来（目录 {}）。请手工结束它后再启动。", self.path.display()),
        )
        .into())
    }

    /// A command of the PostgreSQL programs, run as the account.
    pub fn command(&self, program: &str) -> Command {
        self.account.command(self.binaries.program(program), &self.path)
    }

    /// Opens the server's log for appending; a large one is put aside first.
    pub fn open_log(&self) -> std::io::Result<File> {
        let file = self.log_file();
        if fs::metadata(&file).is_ok_and(|m| m.len() > LARGEST_LOG) {
            fs::rename(&file, self.path.join("postgres.log.1"))?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(file)
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// The last lines of the server's log, for messages.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4000)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

/// The version that an existing data folder was made with.
fn existing_version(data: &Path) -> Result<Option<u32>> {
    if !data.exists() {
        return Ok(None);
    }
    match fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|t| t.trim().parse().ok()) {
        Some(major) => Ok(Some(major)),
        None => Err(Refusal::new(
            RefusalKind::Unavailable,
            "cluster.not_a_cluster",
            format!(
                "目录 {} 不是完整的 PostgreSQL 数据目录（没有可读的 PG_VERSION 文件）。请确认数据目录没有选错；\
                 如有备份，请先恢复备份。",
                data.display()
            ),
        )
        .into()),
    }
}

/// Keeps a second program off the folder.
fn lock(path: &Path) -> Result<File> {
    let file = path.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(|e| cannot_write(&file, &e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => Err(Refusal::new(
            RefusalKind::Unavailable,
            "cluster.in_use",
            format!(
                "另一个民康程序正在使用数据库目录 {}。请先停止它，或用 --database-url 连接同一个数据库。",
                path.display()
            ),
        )
        .into()),
    }
}

/// Makes the cluster beside its place and moves it there when it is complete, so that a kill leaves no half of one.
fn init(path: &Path, data: &Path, account: &Account, binaries: &Binaries) -> Result<()> {
    let fresh = path.join("pgdata.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|e| cannot_write(&fresh, &e))?;
    }
    let done = account
        .command(binaries.program("initdb"), path)
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject"])
        .args(["--data-checksums", "--username", USER, "--pgdata"])
        .arg(&fresh)
        .stdin(Stdio::null())
        .output()
        .doing("run initdb")?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(Refusal::new(
            RefusalKind::Unavailable,
            "cluster.init_failed",
            format!("无法在 {} 建立本地数据库：{text}。请检查磁盘空间和目录权限后重试。", path.display()),
        )
        .into());
    }
    OpenOptions::new()
        .append(true)
        .open(fresh.join("postgresql.conf"))
        .and_then(|mut f| {
            f.write_all(b"\ninclude_if_exists = 'minkang.conf'\ninclude_if_exists = 'local.conf'\n")
        })
        .and_then(|()| fs::rename(&fresh, data))
        .map_err(|e| cannot_write(data, &e))?;
    Ok(())
}

/// The socket's folder: inside, or where that makes too long a path, a private one with a short name.
fn socket_folder(path: &Path, account: &Account) -> Result<PathBuf> {
    let inside = path.join("socket");
    if inside.join(SOCKET_NAME).as_os_str().len() <= LONGEST_SOCKET_PATH {
        account.private_folder(&inside)?;
        return Ok(inside);
    }
    let parent = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if !account.switch && dir.is_dir() => dir,
        _ => PathBuf::from("/tmp"),
    };
    let folder = parent.join(format!("minkang-{}", short_name(path)));
    // In a folder open to all, somebody may have made that name before us: it must be a folder, and ours.
    match fs::create_dir(&folder) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(&folder).map_err(|e| cannot_write(&folder, &e))?;
            if !meta.is_dir() || meta.uid() != account.uid {
                return Err(Refusal::new(
                    RefusalKind::Unavailable,
                    "cluster.socket_taken",
                    format!(
                        "数据库套接字目录 {} 已被其他用户占用。请删除它，或换一个路径较短的数据目录。",
                        folder.display()
                    ),
                )
                .into());
            }
        }
        Err(e) => return Err(cannot_write(&folder, &e).into()),
    }
    account.private_folder(&folder)?;
    Ok(folder)
}

/// A short name that stands for a path, the same in every run.
fn short_name(path: &Path) -> String {
    blake3::hash(path.as_os_str().as_bytes()).to_hex()[..16].to_owned()
}

/// Whether the process is a living PostgreSQL server of this data folder: a server works in its folder, and what is
/// dead but not yet waited for works nowhere.
fn is_server_of(pid: u32, data: &Path) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let at = fs::read_link(format!("/proc/{pid}/cwd"));
    comm.trim() == "postgres" && at.is_ok_and(|at| at == data)
}
