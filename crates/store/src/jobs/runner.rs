//! The workers: claim, work, renew, finish; and the dispatcher of the outbox.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Error, Result};
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::{Job, Jobs, describe, queue};
use crate::failure::DbDoing;
use crate::outbox;

/// Workers look for work at least this often, should a notification be lost, and for what has become due.
const POLL: Duration = Duration::from_secs(2);
/// A third of the lease.
const RENEW: Duration = Duration::from_secs(10);
/// How long a job under way may go on when the program stops.
const GRACE: Duration = Duration::from_secs(20);

/// What [`Jobs::run_until_idle`] did and what it could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// Jobs that were started.
    pub ran: usize,
    /// Events and jobs left: not due yet, failed and waiting for another try, of an unknown kind, or in the hands
    /// of another process.
    pub waiting: i64,
    /// Jobs given up.
    pub dead: i64,
}

/// What all tasks of a run share.
#[derive(Debug, Clone, Copy, Default)]
struct Signal {
    /// Grows with every reason to look for work.
    wake: u64,
    stop: bool,
}

/// Jobs under way in this process: number and attempt.
type Held = Arc<Mutex<HashMap<i64, i32>>>;

impl Jobs {
    /// Serves jobs and events with this many workers until `stop` is ready; then lets the jobs under way end, and
    /// gives back those that take too long.
    pub async fn run(self, workers: usize, stop: impl Future<Output = ()> + Send) {
        let jobs = Arc::new(self);
        let (signal, _) = watch::channel(Signal::default());
        let signal = Arc::new(signal);
        let held = Held::default();
        let listener = AbortOnDropHandle::new(tokio::spawn(listen(Arc::clone(&jobs), Arc::clone(&signal))));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&jobs).dispatch_on(Arc::clone(&signal)));
        for _ in 0..workers.max(1) {
            tasks.spawn(Arc::clone(&jobs).work_on(signal.subscribe(), Arc::clone(&held)));
        }
        stop.await;
        signal.send_modify(|s| s.stop = true);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tasks.shutdown().await;
            let under_way = std::mem::take(&mut *held.lock().unwrap_or_else(PoisonError::into_inner));
            for (id, attempt) in under_way {
                tracing::warn!(job = id, "stopped before its end; it will be started again");
                if let Err(error) = queue::release(&jobs.db, id, attempt).await {
                    tracing::warn!(job = id, %error, "could not be given back; its lease will run out");
                }
            }
        }
        drop(listener);
    }

    /// Dispatches events and carries out jobs, one by one, until nothing is due any more. For commands and tests.
    pub async fn run_until_idle(&self) -> Result<Idle> {
        let kinds = self.kinds();
        let mut ran = 0;
        loop {
            queue::bury(&self.db, self.clock.now()).await?;
            let events = outbox::dispatch(&self.db, &self.subscriptions).await?;
            match queue::claim(&self.db, &kinds, self.clock.now()).await? {
                Some(job) => {
                    ran += 1;
                    self.carry_out(job).await?;
                }
                None if events == 0 => break,
                None => {}
            }
        }
        let (waiting, dead) = queue::left(&self.db).await?;
        Ok(Idle { ran, waiting, dead })
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.handlers.keys().copied().collect()
    }

    async fn dispatch_on(self: Arc<Self>, signal: Arc<watch::Sender<Signal>>) {
        let mut seen = signal.subscribe();
        while !seen.borrow_and_update().stop {
            let done = match queue::bury(&self.db, self.clock.now()).await {
                Ok(_) => outbox::dispatch(&self.db, &self.subscriptions).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(0) => wait(&mut seen).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "events could not be dispatched; trying again");
                    wait(&mut seen).await;
                }
            }
        }
    }

    async fn work_on(self: Arc<Self>, mut signal: watch::Receiver<Signal>, held: Held) {
        let kinds = self.kinds();
        while !signal.borrow_and_update().stop {
            match queue::claim(&self.db, &kinds, self.clock.now()).await {
                Ok(Some(job)) => {
                    let (id, attempt) = (job.id, job.attempt);
                    held.lock().unwrap_or_else(PoisonError::into_inner).insert(id, attempt);
                    if let Err(error) = self.carry_out(job).await {
                        tracing::warn!(job = id, %error, "the end of a job could not be noted; its lease will run out");
                    }
                    held.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                }
                Ok(None) => wait(&mut signal).await,
                Err(error) => {
                    tracing::warn!(%error, "no job could be claimed; trying again");
                    wait(&mut signal).await;
                }
            }
        }
    }

    /// Works on a claimed job to its end, good or bad. An error means that the end could not be written down.
    async fn carry_out(&self, job: Job) -> Result<()> {
        let outcome = match self.handlers.get(job.kind.as_str()) {
            Some(handler) => {
                // A task of its own, so that a panic is a failure of the job and not of the worker.
                let mut work = AbortOnDropHandle::new(tokio::spawn(handler(job.clone())));
                loop {
                    tokio::select! {
                        done = &mut work => break match done {
                            Ok(outcome) => outcome,
                            Err(error) => Err(Error::fault("run a job's handler", error)),
                        },
                        () = tokio::time::sleep(RENEW) => match queue::renew(&self.db, &job, self.clock.now()).await {
                            Ok(true) => {}
                            // A handler that finished the job itself may go on for a while.
                            Ok(false) if job.finished.load(Ordering::SeqCst) => {}
                            Ok(false) => {
                                tracing::warn!(job = job.id, kind = job.kind, "lost its lease; abandoned here");
                                return Ok(());
                            }
                            Err(error) => tracing::warn!(job = job.id, %error, "lease not renewed"),
                        },
                    }
                }
            }
            None => Err(Error::fault("find a job's handler", job.kind.clone())),
        };
        match outcome {
            Ok(()) => {
                let mut connection = self.db.pool().acquire().await.db("connect to finish a job")?;
                if !queue::finish(&mut connection, &job).await? && !job.finished.load(Ordering::SeqCst) {
                    tracing::warn!(job = job.id, kind = job.kind, "finished after its lease was lost");
                }
            }
            Err(error) => {
                let dead = queue::fail(&self.db, &job, &describe(&error), self.clock.now()).await?;
                if dead {
                    tracing::error!(job = job.id, kind = job.kind, %error, "a job was given up");
                } else {
                    tracing::warn!(job = job.id, kind = job.kind, attempt = job.attempt, %error, "a job failed");
                }
            }
        }
        Ok(())
    }
}

/// Waits for a reason to look for work.
async fn wait(signal: &mut watch::Receiver<Signal>) {
    let _ = tokio::time::timeout(POLL, signal.changed()).await;
}

/// Passes notifications on to the workers; polling goes on while the connection is away.
async fn listen(jobs: Arc<Jobs>, signal: Arc<watch::Sender<Signal>>) {
    loop {
        let Err(error) = listen_once(&jobs, &signal).await;
        tracing::debug!(%error, "notifications interrupted");
        tokio::time::sleep(POLL).await;
    }
}

async fn listen_once(
    jobs: &Jobs,
    signal: &watch::Sender<Signal>,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(jobs.db.pool()).await?;
    listener.listen("minkang_job").await?;
    loop {
        // What was notified before the connection stood, or while it was lost, is looked for too.
        signal.send_modify(|s| s.wake += 1);
        listener.try_recv().await?;
    }
}
