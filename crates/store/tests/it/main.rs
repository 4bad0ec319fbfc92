//! Tests of the store with a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod cache;
mod cluster;
mod database;
mod jobs;
mod keys;
mod objects;
mod reseal;
mod signature;
mod tls;
