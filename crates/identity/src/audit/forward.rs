//! Forwarding the trail to a syslog server: IHE ATNA messages over TCP (RFC 6587, counted) or UDP, segment by segment, at
//! least once. Off by default.

use std::time::Duration;

use ::store::audit::{Content, begin_at_end, move_mark, next_segments};
use ::store::jobs::Jobs;
use kernel::error::Doing;
use kernel::{Error, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use super::atna;
use crate::Identity;

/// The kind of job; also the name of the mark in the trail.
pub(super) const JOB: &str = "audit.syslog";
/// Entries sent in one step, and steps of one run.
const AT_ONCE: i64 = 2000;
const STEPS: usize = 100;
/// How long a server may take to take a step.
const PATIENCE: Duration = Duration::from_secs(20);

/// Registers the job.
pub(super) fn register(identity: &Identity, jobs: &mut Jobs) {
    let identity = identity.clone();
    jobs.on(JOB, move |_| {
        let identity = identity.clone();
        async move { run(&identity).await.map(drop) }
    });
}

/// Sends what was sealed since the last run; how many entries.
pub async fn run(identity: &Identity) -> Result<usize> {
    let target = identity.options.text("audit.syslog_target");
    if !identity.options.flag("audit.syslog") || target.trim().is_empty() {
        return Ok(0);
    }
    begin_at_end(&identity.db, JOB).await?;
    let tcp = identity.options.text("audit.syslog_transport") != "udp";
    let source = identity.settings.base_url.as_str();
    let host = source.rsplit('/').next().unwrap_or_default();
    let mut sent = 0;
    for _ in 0..STEPS {
        let read = next_segments(&identity.db, JOB, AT_ONCE).await?;
        let Some(last) = read.last().map(|r| r.segment) else { break };
        let lines: Vec<String> = read
            .iter()
            .flat_map(|r| &r.entries)
            .map(|(id, content): &(i64, Content)| atna::syslog(*id, content, source, host))
            .collect();
        // Outside of any transaction; what was sent twice is recognised by its entry number.
        tokio::time::timeout(PATIENCE, send(target.trim(), tcp, &lines))
            .await
            .map_err(|_| Error::fault("send the audit trail", "the syslog server takes too long"))??;
        identity.db.transaction(async |tx| move_mark(tx, JOB, last).await).await?;
        sent += lines.len();
    }
    Ok(sent)
}

async fn send(target: &str, tcp: bool, lines: &[String]) -> Result<()> {
    if tcp {
        let mut stream = TcpStream::connect(target).await.doing("reach the syslog server")?;
        let mut frames = Vec::new();
        for line in lines {
            frames.extend_from_slice(format!("{} ", line.len()).as_bytes());
            frames.extend_from_slice(line.as_bytes());
        }
        stream.write_all(&frames).await.doing("send the audit trail")?;
        stream.shutdown().await.doing("send the audit trail")
    } else {
        let target = tokio::net::lookup_host(target).await.doing("find the syslog server")?.next();
        let target = target.ok_or_else(|| Error::fault("find the syslog server", "it has no address"))?;
        let own = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await.doing("open a socket")?;
        socket.connect(target).await.doing("reach the syslog server")?;
        for line in lines {
            // A message beyond what UDP carries is cut: its beginning says what happened.
            let mut end = line.len().min(60_000);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            socket.send(&line.as_bytes()[..end]).await.doing("send the audit trail")?;
        }
        Ok(())
    }
}
