//! The lifelong record (C1–C4): one index entry for each fact, the record browser, and the FHIR read interface.
//!
//! Facts stay where the intake put them, in the tables generated from the catalogue, on identity records. A person's
//! record is what hangs on the identity records linked to the person at this moment.

pub mod banner;
pub mod browser;
pub mod door;
pub mod entries;
pub mod facts;
pub mod fhir;
pub mod fields;
pub mod guard;
mod index;
pub mod laboratory;
pub mod summary;

use std::sync::Arc;

use catalog::Catalog;
use contracts::{
    CareRelations, DeskPanel, Institutions, Notices, PersonCards, PersonLookup, PersonMatcher, RecordIndex,
    Terminology,
};
use kernel::Clock;
use store::{Db, Migration};
use web::Routes;

pub use index::Index;

/// The migrations of this context.
pub const MIGRATIONS: &[Migration] = &[
    Migration { context: "record", name: "0001_record", sql: include_str!("../migrations/0001_record.sql") },
    Migration {
        context: "record",
        name: "0002_purpose",
        sql: include_str!("../migrations/0002_purpose.sql"),
    },
    Migration { context: "record", name: "0003_guard", sql: include_str!("../migrations/0003_guard.sql") },
    Migration {
        context: "record",
        name: "0004_classified",
        sql: include_str!("../migrations/0004_classified.sql"),
    },
];

/// What the record needs of the rest of the platform; wired in `app`.
#[derive(Clone)]
pub struct Ports {
    /// The database.
    pub db: Db,
    /// Definitions of the data sets.
    pub catalog: Arc<Catalog>,
    /// The time, for ages, purposes and the audit trail.
    pub clock: Arc<dyn Clock>,
    /// Institutions and names of divisions.
    pub institutions: Arc<dyn Institutions>,
    /// Code tables in force.
    pub terminology: Arc<dyn Terminology>,
    /// Who a person is.
    pub persons: Arc<dyn PersonCards>,
    /// Whose an institution's number is.
    pub lookup: Arc<dyn PersonLookup>,
    /// Whom a description means.
    pub matcher: Arc<dyn PersonMatcher>,
    /// Who cares for whom.
    pub care: Arc<dyn CareRelations>,
    /// What an operator changes while the program runs.
    pub options: store::Settings,
    /// Where notices are sent; `None` where there is nobody to read them.
    pub notices: Option<Arc<dyn Notices>>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// The record of a life.
#[derive(Debug, Clone)]
pub struct Record {
    ports: Ports,
}

impl Record {
    /// A record over these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Pages and interfaces.
    pub fn routes(&self) -> Routes<()> {
        browser::routes(browser::Browser::new(self.ports.clone()))
            .merge(fhir::routes(self.ports.clone()))
            .merge(guard::routes(self.ports.clone()))
    }

    /// Registers the background work.
    pub fn register_jobs(&self, jobs: &mut store::Jobs) {
        guard::classify::register(jobs, self.ports.db.clone(), self.ports.catalog.clone());
    }

    /// Asks for what must be done again because definitions changed; at start.
    pub async fn catch_up(&self) -> kernel::Result<()> {
        guard::classify::request(&self.ports.db, &self.ports.catalog).await
    }

    /// What waits for those who watch over broken glass.
    pub fn panel(&self) -> Arc<dyn DeskPanel> {
        guard::panel(&self.ports)
    }

    /// What keeps index entries in step with facts, for the intake.
    pub fn index(&self) -> Arc<dyn RecordIndex> {
        Arc::new(Index::new(self.ports.terminology.clone(), self.ports.care.clone()))
    }
}
