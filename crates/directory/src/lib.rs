//! Registries (注册): divisions, institutions and code tables, served to everybody else from memory.
//!
//! What is written goes to PostgreSQL first; then this process changes its snapshot and tells the others, which
//! listen with [`Directory::follow`].

pub mod codes;
pub mod divisions;
pub mod institutions;
pub mod pages;
pub mod reader;
pub mod registry;
mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use catalog::{CodeTable, CodeTables};
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
];

/// The channel on which processes tell each other that a registry changed.
const CHANNEL: &str = "minkang_directory";

/// The registries of this process. Share one.
#[derive(Debug)]
pub struct Directory {
    db: Db,
    shipped: CodeTables,
    institutions: RwLock<Arc<Snapshot>>,
    regions: RwLock<Arc<Known>>,
    tables: RwLock<Arc<CodeTables>>,
    /// Pinyin initials of the names of tables that were looked things up in, with the table they were made of.
    initials: Mutex<HashMap<String, (Arc<CodeTable>, Initials)>>,
}

/// The initials of each code's name, in the order of the table.
type Initials = Arc<Vec<Box<str>>>;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registry {
    Institutions,
    Regions,
    Codes,
}

impl Registry {
    const ALL: [Registry; 3] = [Registry::Institutions, Registry::Regions, Registry::Codes];

    const fn word(self) -> &'static str {
        match self {
            Registry::Institutions => "institutions",
            Registry::Regions => "regions",
            Registry::Codes => "codes",
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
            initials: Mutex::default(),
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
            Registry::Codes => put(&self.tables, codes::in_force(&self.db, &self.shipped).await?),
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
            let notice = listener.recv().await.doing("wait for changes of the registries")?;
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

    /// The pinyin initials of a table's names, made on first use.
    pub(crate) fn initials_of(&self, table: &Arc<CodeTable>) -> Initials {
        let mut made = self.initials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, initials)) = made.get(&table.id)
            && Arc::ptr_eq(of, table)
        {
            return Arc::clone(initials);
        }
        let initials: Initials = Arc::new(
            table.codes.iter().map(|c| standards::pinyin::initials(&c.name).into_boxed_str()).collect(),
        );
        made.insert(table.id.clone(), (Arc::clone(table), Arc::clone(&initials)));
        initials
    }
}

fn get<T>(lock: &RwLock<Arc<T>>) -> Arc<T> {
    Arc::clone(&lock.read().unwrap_or_else(PoisonError::into_inner))
}

fn put<T>(lock: &RwLock<Arc<T>>, value: T) {
    *lock.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
}

impl contracts::Terminology for Directory {
    fn tables(&self) -> Arc<CodeTables> {
        self.tables_now()
    }
}
