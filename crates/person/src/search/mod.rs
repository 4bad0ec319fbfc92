//! Finding a person (居民查询): one box for citizen number, telephone, card number, local number, name and pinyin
//! initials. Every search that looks at somebody is written to the audit trail.

mod find;
mod pages;
mod query;
pub mod scraps;

use std::sync::Arc;

use contracts::Institutions;
use kernel::{Act, Clock, Line, Need};
use store::Db;
use web::{Access, Routes};

use crate::MasterIndex;

pub use find::{Found, PersonFound, search};
pub use query::{BirthSpan, Query, TooVague};

/// Finding a person is the beginning of reading a record.
pub const NEED: Need = Need::new(Line::Medical, Act::Read);

/// What the search pages work with.
#[derive(Clone)]
pub struct SearchPages {
    /// The database.
    pub db: Db,
    /// Institutions and names of divisions.
    pub institutions: Arc<dyn Institutions>,
    /// The time, for ages and the audit trail.
    pub clock: Arc<dyn Clock>,
    /// What is masked for whom.
    pub masks: Arc<catalog::Masks>,
    /// Registers whom nobody knows.
    pub index: Arc<MasterIndex>,
}

/// `/persons` and its JSON twin.
pub fn routes(pages: SearchPages) -> Routes<()> {
    Routes::new()
        .get("/persons", Access::Needs(NEED), pages::page)
        .get("/api/v1/persons", Access::Needs(NEED), pages::json)
        .get("/persons/scraps", Access::Needs(scraps::NEED), scraps::pages::page)
        .get("/api/v1/persons/scraps", Access::Needs(scraps::NEED), scraps::pages::json)
        .get("/persons/unknown", Access::Needs(scraps::REGISTER), scraps::unknown::form)
        .post("/persons/unknown", Access::Needs(scraps::REGISTER), scraps::unknown::register)
        .with_state(pages)
}
