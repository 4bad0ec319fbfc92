//! Exchange (归集与交换): how data comes in, how good it is, and what its senders are told.
//!
//! Capabilities: B1 upload, B2 documents (FHIR), B3 rules, B4 daily monitoring, B5 quality reports.
//! [`intake`] is the one pipeline behind every door; [`read`] and [`fhir`] turn bytes into rows; [`batch`] and
//! [`quality`] are what people see of it.

use std::sync::Arc;

use catalog::Catalog;
use contracts::{Institutions, PersonCards, StoredCodes};
use kernel::{Error, Result};
use protect::Domain;
use store::reseal::{Form, Part, PartColumn};
use store::{Db, Migration};
use web::Routes;

pub mod batch;
pub mod bundle;
pub mod extract;
pub mod fhir;
pub mod folder;
pub mod intake;
mod limits;
pub mod quality;
pub mod read;
pub mod stays;

pub use intake::Intake;
pub use stays::StoredStays;

/// The protected columns of this context.
pub fn protected() -> Vec<Part> {
    let part =
        |table: &str, column| Part { table: table.to_owned(), domain: Domain::Facts, columns: vec![column] };
    vec![
        part("batch_issue", PartColumn::text("value", intake::chunk::ISSUE_VALUE)),
        part(
            "kept_resource",
            PartColumn { form: Form::Json, ..PartColumn::text("content", intake::bundle::KEPT_CONTENT) },
        ),
    ]
}

/// The context's tables.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        context: "exchange",
        name: "0001_exchange",
        sql: include_str!("../migrations/0001_exchange.sql"),
    },
    Migration {
        context: "exchange",
        name: "0002_batch_day",
        sql: include_str!("../migrations/0002_batch_day.sql"),
    },
    Migration {
        context: "exchange",
        name: "0003_batch_received",
        sql: include_str!("../migrations/0003_batch_received.sql"),
    },
];

#[derive(Clone)]
struct People(Arc<dyn PersonCards>);

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("People")
    }
}

#[derive(Clone)]
struct Codes(Arc<dyn StoredCodes>);

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codes")
    }
}

/// The context: state of its handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The pipeline.
    pub intake: Intake,
    people: Option<People>,
    codes: Option<Codes>,
}

impl Exchange {
    /// The context over a pipeline.
    pub fn new(intake: Intake) -> Self {
        Self { intake, people: None, codes: None }
    }

    /// With whoever knows the people, for extracts.
    #[must_use]
    pub fn with_people(self, people: Arc<dyn PersonCards>) -> Self {
        Self { people: Some(People(people)), ..self }
    }

    /// With the register of maps that stored rows follow.
    #[must_use]
    pub fn with_stored_codes(self, codes: Arc<dyn StoredCodes>) -> Self {
        Self { codes: Some(Codes(codes)), ..self }
    }

    fn people(&self) -> Result<Arc<dyn PersonCards>> {
        let people = self.people.as_ref().map(|people| people.0.clone());
        people.ok_or_else(|| Error::fault("make an extract", "nobody knows the people"))
    }

    /// All routes.
    pub fn routes(&self) -> Routes<()> {
        extract::routes(quality::routes(bundle::routes(batch::routes(Routes::new()))))
            .with_state(self.clone())
    }

    /// Registers the jobs of this context.
    pub fn register_jobs(&self, jobs: &mut store::jobs::Jobs) {
        quality::cross::register(jobs, self.clone());
        if let Some(Codes(codes)) = &self.codes {
            intake::stored::register(jobs, self.intake.clone(), codes.clone());
        }
    }

    /// A receipt within reach.
    pub async fn receipt(&self, reach: &kernel::Reach, batch: i64) -> kernel::Result<batch::Receipt> {
        batch::read(self, reach, batch).await
    }

    pub(crate) fn db(&self) -> &Db {
        &self.intake.parts().db
    }
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.intake.parts().catalog
    }
    pub(crate) fn institutions(&self) -> &Arc<dyn Institutions> {
        &self.intake.parts().institutions
    }
}
