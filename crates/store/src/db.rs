//! The connection pool and transactions as closures.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use kernel::error::Doing;
use kernel::{Act, Caller, Error, Line, Need, Purpose, Reach, Refusal, RefusalKind, Result};
use protect::Keyring;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres, Transaction};

use crate::audit::{self, AuditEntry, MacKey};
use crate::failure::{DbDoing, is_conflict, settle};

/// How long a request waits for a connection before it is told that the database is unavailable.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// A connection unused for longer is tried before it is handed out; a busy one is known to work.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// Generated statements: a handful for each data set, and those of the pages.
const STATEMENT_CACHE: usize = 400;
/// How often [`Retry`] tries.
const ATTEMPTS: u32 = 5;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    keyring: Keyring,
    trail_key: Option<MacKey>,
}

/// An open transaction. Dereferences to the connection, for `sqlx` queries: `.execute(&mut **tx)`.
#[derive(Debug)]
pub struct Tx<'c> {
    inner: Transaction<'c, Postgres>,
    keyring: Keyring,
    trail_key: Option<MacKey>,
}

/// A transaction that may read personal data: it carries the reach it may use. Only [`Db::personal`] and
/// [`Db::background`] make one, so that what asks for a `Gated` cannot be called without a decision. Dereferences to
/// [`Tx`]; for `sqlx` queries: `.execute(&mut ***tx)`.
#[derive(Debug)]
pub struct Gated<'c> {
    tx: Tx<'c>,
    reach: Reach,
    now: Option<chrono::DateTime<chrono::Utc>>,
}

impl Gated<'_> {
    /// What may be seen.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The moment of the look; `None` for background work, which reaches everything whenever it runs.
    pub fn now(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.now
    }
}

impl Gated<'static> {
    /// Writes the entry of what was looked at and commits.
    async fn conclude(mut self, now: chrono::DateTime<chrono::Utc>, entry: &AuditEntry) -> Result<()> {
        let (caller, purpose) = (self.reach.caller(), self.reach.purpose());
        audit::record(&mut self.tx, caller, purpose, now, entry).await.map_err(settle)?;
        self.tx.inner.commit().await.db("commit a transaction")
    }
}

impl<'c> Deref for Gated<'c> {
    type Target = Tx<'c>;
    fn deref(&self) -> &Tx<'c> {
        &self.tx
    }
}
impl<'c> DerefMut for Gated<'c> {
    fn deref_mut(&mut self) -> &mut Tx<'c> {
        &mut self.tx
    }
}

impl Db {
    /// Wraps a pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, keyring: Keyring::closed(), trail_key: None }
    }

    /// The same database with the keys that open its protected fields. Without them writing such a field is refused.
    #[must_use]
    pub fn with_keyring(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
    }

    /// The keys of protected fields.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// With the key of the MACs that entries of the audit trail get.
    #[must_use]
    pub fn with_trail_key(mut self, key: MacKey) -> Self {
        self.trail_key = Some(key);
        self
    }

    /// Connects with a pool of `size` connections; refuses a server that is too old or not in UTF-8.
    pub async fn connect(options: PgConnectOptions, size: u32) -> Result<Self> {
        let options = options.application_name("minkang").statement_cache_capacity(STATEMENT_CACHE);
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .db("connect to the database")?;
        let db = Self::new(pool);
        db.check_server().await?;
        Ok(db)
    }

    /// Connects to the database of an address `postgres://user:password@host:port/database`.
    pub async fn connect_url(url: &str, size: u32) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
            Refusal::invalid(
                "database.address",
                format!("数据库地址无法识别（应形如 postgres://用户:密码@主机:5432/数据库）：{error}"),
            )
        })?;
        Self::connect(options, size).await
    }

    async fn check_server(&self) -> Result<()> {
        let (version, encoding, ctype): (i32, String, String) = sqlx::query_as(
            "select current_setting('server_version_num')::int, current_setting('server_encoding'),
                    (select datctype::text from pg_database where datname = current_database())",
        )
        .fetch_one(&self.pool)
        .await
        .db("ask the server's version")?;
        if version < 150_000 {
            return Err(Refusal::new(
                RefusalKind::Unavailable,
                "database.too_old",
                format!("数据库服务器的版本是 PostgreSQL {}，需要 15 或更高版本。", version / 10_000),
            )
            .into());
        }
        if encoding != "UTF8" {
            return Err(Refusal::new(
                RefusalKind::Unavailable,
                "database.encoding",
                format!("数据库的编码是 {encoding}，需要 UTF8。请用 create database … encoding 'UTF8' 重新建立数据库。"),
            )
            .into());
        }
        if matches!(ctype.as_str(), "C" | "POSIX") {
            tracing::warn!(ctype, "the database's locale does not know Chinese letters; use C.UTF-8");
        }
        Ok(())
    }

    /// Closes the pool: waits for what is under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool, for reads that need no transaction and touch no personal data.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn begin(&self) -> Result<Tx<'static>> {
        let inner = self.pool.begin().await.db("begin a transaction")?;
        Ok(Tx { inner, keyring: self.keyring.clone(), trail_key: self.trail_key.clone() })
    }

    /// Runs `work` in a transaction: commits on `Ok`, rolls back on `Err`.
    pub async fn transaction<T>(&self, work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let mut tx = self.begin().await?;
        let out = work(&mut tx).await.map_err(settle)?;
        tx.inner.commit().await.db("commit a transaction")?;
        Ok(out)
    }

    /// The gate to personal data: runs `work` with the reach it may use and writes the audit entry that `work`
    /// returns in the same transaction. What is refused inside is audited by nobody because nothing was seen.
    pub async fn personal<T>(
        &self,
        reach: &Reach,
        now: chrono::DateTime<chrono::Utc>,
        work: impl AsyncFnOnce(&mut Gated<'_>, &Reach) -> Result<(T, AuditEntry)>,
    ) -> Result<T> {
        let tx = self.begin().await?;
        let mut gated = Gated { tx, reach: reach.clone(), now: Some(now) };
        let (out, entry) = work(&mut gated, reach).await.map_err(settle)?;
        gated.conclude(now, &entry).await?;
        Ok(out)
    }

    /// As [`Db::personal`], for what is shown: `show` makes a page of what was read while the audit entry is written and
    /// committed, so that the reader does not wait for one after the other. What `show` made is given out only when the
    /// entry stands; otherwise it is dropped and nobody saw it. A reader who goes away meanwhile leaves the entry.
    pub async fn personal_shown<T, U>(
        &self,
        reach: &Reach,
        now: chrono::DateTime<chrono::Utc>,
        work: impl AsyncFnOnce(&mut Gated<'_>, &Reach) -> Result<(T, AuditEntry)>,
        show: impl FnOnce(T) -> U,
    ) -> Result<U> {
        let tx = self.begin().await?;
        let mut gated = Gated { tx, reach: reach.clone(), now: Some(now) };
        let (out, entry) = work(&mut gated, reach).await.map_err(settle)?;
        let written = tokio::spawn(async move { gated.conclude(now, &entry).await });
        // The statement is on its way before `show` takes the thread; another thread hears of it and commits.
        tokio::task::yield_now().await;
        let shown = show(out);
        written.await.doing("write the audit trail")??;
        Ok(shown)
    }

    /// The door of background work that must see everything: jobs, indexing, checks between data sets. `why` names the
    /// work; a test of the house lists every caller with the reason. Nothing that a person asked for goes through it.
    pub async fn background<T>(
        &self,
        why: &'static str,
        work: impl AsyncFnOnce(&mut Gated<'_>) -> Result<T>,
    ) -> Result<T> {
        let reach =
            Caller::system(why).decide(Need::new(Line::System, Act::Manage), Purpose::of("background"))?;
        let tx = self.begin().await?;
        let mut gated = Gated { tx, reach, now: None };
        let out = work(&mut gated).await.map_err(settle)?;
        gated.tx.inner.commit().await.db("commit a transaction")?;
        Ok(out)
    }
}

/// Tries a transaction again when it loses against another one (deadlock, serialization failure):
///
/// ```text
/// let mut retry = Retry::default();
/// let out = loop {
///     match db.transaction(async |tx| { … }).await {
///         Err(error) if retry.again(&error).await => {}
///         out => break out?,
///     }
/// };
/// ```
///
/// A loop rather than a function over a closure: the future of a closure that is called repeatedly is not `Send`.
#[derive(Debug, Default)]
pub struct Retry {
    lost: u32,
}

impl Retry {
    /// Whether to try again after this error; waits a little before it says yes.
    pub async fn again(&mut self, error: &Error) -> bool {
        self.lost += 1;
        if self.lost >= ATTEMPTS || !is_conflict(error) {
            return false;
        }
        tracing::debug!(lost = self.lost, %error, "transaction lost against another one; trying again");
        // The other one has gone on; a growing pause lets a queue of such losers drain.
        tokio::time::sleep(Duration::from_millis(u64::from(self.lost * self.lost) * 10)).await;
        true
    }
}

impl Tx<'_> {
    /// The keys of protected fields, as [`Db::keyring`].
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The key of the MACs that entries of the audit trail get.
    pub(crate) fn trail_key(&self) -> Option<&MacKey> {
        self.trail_key.as_ref()
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
