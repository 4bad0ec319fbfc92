//! The store: PostgreSQL (pool, transactions, local cluster, migrations), facts, objects, outbox, jobs and the
//! gate through which personal data is read and audited.

pub mod audit;
pub mod cache;
pub mod cluster;
pub mod copy;
pub mod crash;
pub mod db;
pub mod fact_schema;
pub mod facts;
pub mod failure;
pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod objects;
pub mod outbox;
pub mod reseal;
pub mod role;
pub mod settings;
pub mod signature;

pub use audit::{AuditEntry, record};
pub use cluster::Cluster;
pub use db::{Db, Gated, Retry, Tx};
pub use failure::{DbDoing, db_error};
pub use jobs::{Job, Jobs};
pub use migrate::{MIGRATIONS, Migration, migrate};
pub use objects::Objects;
pub use settings::Settings;
