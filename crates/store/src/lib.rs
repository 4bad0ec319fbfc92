//! The store: PostgreSQL (pool, transactions, local cluster, migrations), facts, objects, outbox, jobs and the
//! gate through which personal data is read and audited.

pub mod audit;
pub mod db;

pub use audit::{AuditEntry, record};
pub use db::{Db, Tx};
