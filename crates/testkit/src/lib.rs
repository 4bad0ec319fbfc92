//! The test bench: a database for each test, cloned from a migrated template on a shared local cluster, and a clock
//! that tests set. What is missing on the machine is a panic with a clear message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod clock;
mod database;
mod keys;

pub use clock::{TestClock, clock};
pub use database::TestDb;
pub use keys::keyring;

/// Carries out everything that is due and fails the test if an event or a job is left undone or was given up.
pub async fn settle(jobs: &store::Jobs) {
    let idle = jobs.run_until_idle().await.expect("the jobs run");
    assert!(idle.waiting == 0 && idle.dead == 0, "work is left undone: {idle:?}");
}
