//! Registries (注册): divisions, institutions and code tables, served to everybody else from memory.
//!
//! What is written goes to PostgreSQL first; then this process changes its snapshot and tells the others, which
//! listen with [`Directory::follow`].

pub mod divisions;
pub mod fhir;
pub mod institutions;
pub mod pages;
pub mod registry;
pub mod settings;
mod sheet;
mod snapshot;
pub mod terminology;

use std::sync::{Arc, PoisonError, RwLock};

use catalog::CodeTables;
use kernel::error::Doing;
use kernel::{Result, SystemClock};
use store::cache::{self, Caches, Declared};
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
    Migration {
        context: "directory",
        name: "0006_code_translation",
        sql: include_str!("../migrations/0006_code_translation.sql"),
    },
];

/// The channel on which processes tell each other that a registry changed.
const CHANNEL: &str = "minkang_directory";

/// Institutions in memory.
const INSTITUTIONS: Declared = Declared {
    name: "directory.institutions",
    title: "机构",
    about: "全部机构的名称、代码、区划，各处显示机构时不再查库",
    lives: None,
    most: 1,
};
/// Divisions in memory.
const REGIONS: Declared = Declared {
    name: "directory.divisions",
    title: "行政区划",
    about: "各年区划的名称、换算关系、机构当年所在",
    lives: None,
    most: 1,
};

/// How often it is looked whether editions of another day hold.
const LOOK_AT_DATES: std::time::Duration = std::time::Duration::from_secs(300);

/// The registries of this process. Share one.
#[derive(Debug)]
pub struct Directory {
    db: Db,
    shipped: CodeTables,
    caches: Caches,
    institutions: cache::Snapshot<Snapshot>,
    regions: cache::Snapshot<Known>,
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
        let (caches, clock) = (Caches::default(), Arc::new(SystemClock));
        let institutions =
            caches.snapshot(INSTITUTIONS, clock.clone(), &db, |db| Box::pin(Snapshot::read(db))).await?;
        let regions = caches.snapshot(REGIONS, clock, &db, |db| Box::pin(Known::read(db))).await?;
        let directory = Self {
            db,
            caches,
            institutions,
            regions,
            tables: RwLock::new(Arc::new(shipped.clone())),
            shipped,
            terms: terminology::Terms::default(),
        };
        directory.reload(Registry::Codes).await?;
        Ok(directory)
    }

    /// The caches of this process: other parts declare theirs here, and the operator sees all of them.
    pub fn caches(&self) -> Caches {
        self.caches.clone()
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
            Registry::Institutions => self.institutions.reload(&self.db).await?,
            Registry::Regions => self.regions.reload(&self.db).await?,
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
        let cached = match registry {
            Registry::Institutions => Some(INSTITUTIONS.name),
            Registry::Regions => Some(REGIONS.name),
            Registry::Codes | Registry::Maps => None,
        };
        if let Some(name) = cached {
            return self.db.transaction(async |tx| Caches::changed(tx, name, None).await).await;
        }
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
        tokio::try_join!(self.caches.follow(&self.db), self.follow_codes())?;
        Ok(())
    }

    async fn follow_codes(&self) -> Result<()> {
        let mut listener =
            sqlx::postgres::PgListener::connect_with(self.db.pool()).await.db("listen for registries")?;
        listener.listen(CHANNEL).await.db("listen for registries")?;
        self.reload(Registry::Codes).await?;
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

    /// Reads the institutions again after a register wrote them, and tells the other processes.
    pub(crate) async fn institutions_changed(&self) -> Result<()> {
        self.reload(Registry::Institutions).await?;
        self.announce(Registry::Institutions).await
    }

    /// Whether a division is in the list that was loaded; everything is while none is.
    pub(crate) fn knows_region(&self, code: &kernel::RegionCode) -> bool {
        let regions = self.regions_now();
        regions.newest().is_none() || regions.own_name(code).is_some()
    }

    pub(crate) fn institutions_now(&self) -> Arc<Snapshot> {
        self.institutions.now()
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
        self.regions.now()
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
