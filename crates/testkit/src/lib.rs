//! The test bench: a database for each test, cloned from a migrated template on a shared local cluster, and a clock
//! that tests set. What is missing on the machine is a panic with a clear message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod clock;
mod database;

pub use clock::{TestClock, clock};
pub use database::TestDb;
