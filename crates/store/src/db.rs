//! The connection pool and transactions as closures.

use std::ops::{Deref, DerefMut};

use kernel::error::Doing;
use kernel::{Reach, Result};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Transaction};

use crate::audit::{self, AuditEntry};

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
}

/// An open transaction. Dereferences to the connection, for `sqlx` queries: `.execute(&mut **tx)`.
#[derive(Debug)]
pub struct Tx<'c> {
    inner: Transaction<'c, Postgres>,
}

impl Db {
    /// Wraps a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for reads that need no transaction and touch no personal data.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs `work` in a transaction: commits on `Ok`, rolls back on `Err`.
    pub async fn transaction<T>(&self, work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let mut tx = Tx { inner: self.pool.begin().await.doing("begin a transaction")? };
        let out = work(&mut tx).await?;
        tx.inner.commit().await.doing("commit a transaction")?;
        Ok(out)
    }

    /// The gate to personal data: runs `work` with the reach it may use and writes the audit entry that `work`
    /// returns in the same transaction. What is refused inside is audited by nobody because nothing was seen.
    pub async fn personal<T>(
        &self,
        reach: &Reach,
        now: chrono::DateTime<chrono::Utc>,
        work: impl AsyncFnOnce(&mut Tx<'_>, &Reach) -> Result<(T, AuditEntry)>,
    ) -> Result<T> {
        self.transaction(async |tx| {
            let (out, entry) = work(tx, reach).await?;
            audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await?;
            Ok(out)
        })
        .await
    }
}

impl Deref for Tx<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}
impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
