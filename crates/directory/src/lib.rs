//! Registries (注册): divisions, institutions and code tables, served to everybody else from memory.
//!
//! What is written goes to PostgreSQL first; then this process changes its snapshot and tells the others, which
//! listen with [`Directory::follow`].

pub mod divisions;
pub mod institutions;
pub mod pages;
pub mod registry;
pub mod settings;
mod sheet;
mod snapshot;
pub mod terminology;

use std::sync::{Arc, PoisonError, RwLock};

use catalog::CodeTables;
use kernel::Result;
use kernel::error::Doing;
use store::{Db, DbDoing, Migration};

use crate::divisions::known::Known;
use crate::snapshot::Snapshot;

/// The migrations of this context.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        context: "directory",
        name: "0001_directory",
        sql: include_str!("../migrations/0001_directory.sql"),
    },
    Migration {
        context: "directory",
        name: "0002_registry",
        sql: include_str!("../migrations/0002_registry.sql"),
    },
    Migration {
        context: "directory",
        name: "0003_divisions",
        sql: include_str!("../migrations/0003_divisions.sql"),
    },
    Migration {
        context: "directory",
        name: "0004_terminology",
        sql: include_str!("../migrations/0004_terminology.sql"),
    },
    Migration {
        context: "directory",
        name: "0005_divisions_upkeep",
        sql: include_str!("../migrations/0005_divisions_upkeep.sql"),
    },
];

/// The channel on which processes tell each other that a registry changed.
const CHANNEL: &str = "minkang_directory";

/// How often it is looked whether editions of another day hold.
const LOOK_AT_DATES: std::time::Duration = std::time::Duration::from_secs(300);

/// The registries of this process. Share one.
#[derive(Debug)]
pub struct Directory {
    db: Db,
    shipped: CodeTables,
    institutions: RwLock<Arc<Snapshot>>,
    regions: RwLock<Arc<Known>>,
    tables: RwLock<Arc<CodeTables>>,
    terms: terminology::Terms,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registry {
    Institutions,
    Regions,
    Codes,
    Maps,
}

impl Registry {
    const ALL: [Registry; 4] = [Registry::Institutions, Registry::Regions, Registry::Codes, Registry::Maps];

    const fn word(self) -> &'static str {
        match self {
            Registry::Institutions => "institutions",
            Registry::Regions => "regions",
            Registry::Codes => "codes",
            Registry::Maps => "code_maps",
        }
    }
}

impl Directory {
    /// Reads the registries. `shipped` are the code tables of the catalogue; editions in force are laid over them.
    pub async fn open(db: Db, shipped: CodeTables) -> Result<Self> {
        let directory = Self {
            db,
            institutions: RwLock::default(),
            regions: RwLock::default(),
            tables: RwLock::new(Arc::new(shipped.clone())),
            shipped,
            terms: terminology::Terms::default(),
        };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Reads everything again.
    pub async fn refresh(&self) -> Result<()> {
        for registry in Registry::ALL {
            self.reload(registry).await?;
        }
        Ok(())
    }

    async fn reload(&self, registry: Registry) -> Result<()> {
        match registry {
            Registry::Institutions => put(&self.institutions, Snapshot::read(&self.db).await?),
            Registry::Regions => put(&self.regions, Known::read(&self.db).await?),
            Registry::Codes => {
                put(&self.tables, self.tables_of_today().await?);
                // A map to a code that is gone no longer holds.
                self.reload_maps().await?;
            }
            Registry::Maps => self.reload_maps().await?,
        }
        Ok(())
    }

    /// Tells the other processes on this database.
    async fn announce(&self, registry: Registry) -> Result<()> {
        sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(registry.word())
            .execute(self.db.pool())
            .await
            .db("announce a change of the registries")?;
        Ok(())
    }

    /// Keeps this process's snapshots in step with what other processes (a command of the operator, another server)
    /// write. Runs until the database is lost; the caller starts it again.
    pub async fn follow(&self) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(self.db.pool()).await.db("listen for registries")?;
        listener.listen(CHANNEL).await.db("listen for registries")?;
        self.refresh().await?;
        loop {
            let Ok(notice) = tokio::time::timeout(LOOK_AT_DATES, listener.recv()).await else {
                if self.editions_are_due() {
                    self.reload(Registry::Codes).await?;
                }
                continue;
            };
            let notice = notice.doing("wait for changes of the registries")?;
            if let Some(registry) = Registry::ALL.into_iter().find(|r| r.word() == notice.payload()) {
                self.reload(registry).await?;
            }
        }
    }

    pub(crate) fn institutions_now(&self) -> Arc<Snapshot> {
        get(&self.institutions)
    }
    /// Where a code of the divisions of year `own` lies in those of year `asked`, with shares that sum to one.
    pub fn translate_division(
        &self,
        code: kernel::RegionCode,
        own: i16,
        asked: i16,
    ) -> Vec<(kernel::RegionCode, f64)> {
        self.regions_now().mapping.translate(code, own, asked)
    }

    pub(crate) fn regions_now(&self) -> Arc<Known> {
        get(&self.regions)
    }
    pub(crate) fn tables_now(&self) -> Arc<CodeTables> {
        get(&self.tables)
    }
}

fn get<T>(lock: &RwLock<Arc<T>>) -> Arc<T> {
    Arc::clone(&lock.read().unwrap_or_else(PoisonError::into_inner))
}

fn put<T>(lock: &RwLock<Arc<T>>, value: T) {
    *lock.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
}
