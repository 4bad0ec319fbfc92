//! The thread that starts the server, waits for it and starts it again when it dies.
//!
//! It is a thread of its own, not a task: the kernel ties "die with your parent" to the thread that started the
//! child, and a runtime's threads come and go.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::Result;
use kernel::error::Doing;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::folder::Folder;

/// A server that lived this long counts as having worked.
const SETTLED: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A process has been started; it may still be recovering.
    Started,
    /// The process ended by itself; it will be started again.
    Exited {
        /// How many times in a row.
        failures: u32,
    },
    /// It was asked to stop and has.
    Stopped,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    pid: Option<Pid>,
}

/// Owner of the server process.
#[derive(Debug)]
pub struct Keeper {
    folder: Folder,
    state: Mutex<State>,
    asked: Condvar,
    phase: watch::Sender<Phase>,
}

impl Keeper {
    /// Starts the thread.
    pub fn start(folder: Folder) -> Result<Arc<Self>> {
        let keeper = Arc::new(Self {
            folder,
            state: Mutex::default(),
            asked: Condvar::new(),
            phase: watch::Sender::new(Phase::Started),
        });
        let own = Arc::clone(&keeper);
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || own.keep())
            .doing("start the database's thread")?;
        Ok(keeper)
    }

    /// The folder it serves.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where the server stands, and what becomes of it.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The server's process number.
    pub fn pid(&self) -> Option<u32> {
        self.lock().pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Asks the server to shut down quickly ("fast": sessions are ended, everything committed is written).
    pub fn ask_to_stop(&self) {
        self.signal(Signal::INT);
    }

    /// Makes the server stop without writing what it holds; it recovers from its log at the next start.
    pub fn stop_at_once(&self) {
        self.signal(Signal::QUIT);
    }

    fn signal(&self, signal: Signal) {
        let mut state = self.lock();
        state.stopping = true;
        if let Some(pid) = state.pid {
            // As long as the number stands here the process has not been waited for, so it is still its own.
            let _ = kill_process(pid, signal);
        }
        self.asked.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            if let Some(child) = self.launch() {
                self.await_end(child);
            }
            failures = if began.elapsed() > SETTLED { 1 } else { failures + 1 };
            let mut state = self.lock();
            if !state.stopping {
                tracing::error!(failures, "the database server ended by itself; starting it again");
                self.phase.send_replace(Phase::Exited { failures });
                let pause = (Duration::from_millis(200) * 2u32.pow(failures.min(8) - 1)).min(LONGEST_PAUSE);
                state = self
                    .asked
                    .wait_timeout_while(state, pause, |s| !s.stopping)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            if state.stopping {
                self.phase.send_replace(Phase::Stopped);
                return;
            }
        }
    }

    /// Starts the server unless a stop was asked for meanwhile.
    fn launch(&self) -> Option<Child> {
        // Holding the lock: a stop comes either before the start or finds the process number.
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        match spawn(&self.folder) {
            Ok(child) => {
                state.pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.phase.send_if_modified(|phase| {
                    // The count of failures stays visible until the server has settled.
                    let first = !matches!(phase, Phase::Exited { .. });
                    if first {
                        *phase = Phase::Started;
                    }
                    first
                });
                Some(child)
            }
            Err(error) => {
                tracing::error!(%error, "cannot start the database server");
                None
            }
        }
    }

    fn await_end(&self, mut child: Child) {
        // Waits without reaping first, so that the number cannot go to another process while we might signal it.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            while matches!(
                rustix::process::waitid(rustix::process::WaitId::Pid(pid), options),
                Err(rustix::io::Errno::INTR)
            ) {}
        }
        let mut state = self.lock();
        state.pid = None;
        match child.wait() {
            Ok(status) => tracing::info!(%status, "the database server ended"),
            Err(error) => tracing::error!(%error, "cannot wait for the database server"),
        }
    }
}

/// Starts the server as our child in a process group of its own.
fn spawn(folder: &Folder) -> std::io::Result<Child> {
    use std::os::unix::process::CommandExt;
    let postgres = folder.binaries.program("postgres");
    // setpriv (util-linux) lets the server die with us even when we are killed.
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|p| Path::new(p).is_file());
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = folder.account.command(setpriv, &folder.path);
            command.args(["--pdeathsig", "INT"]).arg(&postgres);
            command
        }
        None => folder.account.command(&postgres, &folder.path),
    };
    let log = folder.open_log()?;
    command
        .arg("-D")
        .arg(folder.data())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}
