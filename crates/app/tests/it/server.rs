//! The real program as a process with a data folder and a local cluster of its own, and a small client for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use kernel::{Caller, SystemClock};
use minkang::platform::Platform;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::city::{register, settings};

/// A data folder with institutions and a client credential; outlives the servers that run on it.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub basic: String,
    pub database: PgPool,
}

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    basic: String,
}

impl Home {
    /// Makes the folder and what is in it.
    pub async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), None);
        let platform = Platform::open(&settings, Arc::new(SystemClock), &|_: &str| {}).await.unwrap();
        let institution = register(&platform).await[0];
        let operator = Caller::system("运维");
        let issued = platform.identity.create_client(institution, "HIS 上传", &operator).await.unwrap();
        let options: PgConnectOptions = PgConnectOptions::clone(&platform.db.pool().connect_options());
        platform.close().await.unwrap();
        // Connections are made when asked for, so that servers may come and go.
        let database = PgPoolOptions::new().max_connections(2).max_lifetime(None).connect_lazy_with(options);
        Self { folder, basic: format!("{}:{}", issued.client_id, issued.secret), database }
    }

    /// Starts the program without waiting for it.
    pub fn launch(&self, environment: &[(&str, &str)]) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let log: PathBuf = self.folder.path().join("program.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_minkang"))
            .args(["serve", "--listen", &address.to_string(), "--data"])
            .arg(self.folder.path())
            .env("RUST_LOG", "warn")
            .env_remove("MINKANG_CRASH_AT")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Server { child, address, basic: self.basic.clone() }
    }

    /// Starts the program and waits until it answers.
    pub async fn start(&self, environment: &[(&str, &str)]) -> Server {
        let mut server = self.launch(environment);
        server.until_answering().await.unwrap_or_else(|why| panic!("{why}\n{}", self.log()));
        server
    }

    /// SIGKILL for the database server.
    pub fn kill_database(&self) {
        let file = self.folder.path().join("postgres/pgdata/postmaster.pid");
        let pid: i32 = std::fs::read_to_string(file).unwrap().lines().next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// The last words of the program.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("program.log")).unwrap_or_default();
        text.lines().rev().take(30).collect::<Vec<_>>().join("\n")
    }

    /// A number out of the database, which must be running.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.database).await.unwrap()
    }

    /// Waits until no batch is under way.
    pub async fn settled(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.count("select count(*) from batch where state in ('accepted', 'processing')").await > 0 {
            assert!(Instant::now() < deadline, "batches are left unfinished\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Server {
    /// Waits until it answers; `Err` when it ended instead.
    pub async fn until_answering(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(format!("the program ended: {status}"));
            }
            if self.get("/sign-in").await.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the program does not answer".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end.
    pub async fn until_dead(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the program lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as an operator does and waits for its end.
    pub async fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.until_dead().await;
    }

    /// The greatest memory it used, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    pub async fn get(&self, path: &str) -> std::io::Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.headers());
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        read_reply(stream).await
    }

    /// Uploads a batch of visits; `key` identifies the request.
    pub async fn upload(&self, query: &str, key: &str, body: &[u8]) -> std::io::Result<Reply> {
        let path = format!("/api/v1/datasets/outpatient_visit/batches?{query}");
        self.post(&path, &format!("idempotency-key: {key}\r\n"), [body]).await
    }

    /// Posts pieces one after the other.
    pub async fn post(
        &self,
        path: &str,
        headers: &str,
        pieces: impl IntoIterator<Item = &[u8], IntoIter: Clone>,
    ) -> std::io::Result<Reply> {
        let pieces = pieces.into_iter();
        let length: usize = pieces.clone().map(<[u8]>::len).sum();
        let head =
            format!("POST {path} HTTP/1.1\r\n{}{headers}content-length: {length}\r\n\r\n", self.headers());
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(head.as_bytes()).await?;
        for piece in pieces {
            stream.write_all(piece).await?;
        }
        read_reply(stream).await
    }

    fn headers(&self) -> String {
        let credential = base64::engine::general_purpose::STANDARD.encode(&self.basic);
        format!("host: minkang.test\r\nconnection: close\r\nauthorization: Basic {credential}\r\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }
}

// Until the end of the connection; an answer that breaks off is an error.
async fn read_reply(mut stream: TcpStream) -> std::io::Result<Reply> {
    let broken = || std::io::Error::other("the answer breaks off");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
    let length =
        head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|l| l.parse::<usize>().ok());
    let mut body = bytes.split_off(end + 4);
    match length {
        Some(length) if body.len() < length => return Err(broken()),
        Some(_) => {}
        None if head.contains("transfer-encoding: chunked") => body = dechunk(&body).ok_or_else(broken)?,
        None => {}
    }
    Ok(Reply { status, body })
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 4 + size..)?;
    }
}
