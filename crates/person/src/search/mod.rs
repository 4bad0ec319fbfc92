//! Finding a person (居民查询): one box for citizen number, telephone, card number, local number, name and pinyin
//! initials. Every search that looks at somebody is written to the audit trail.

mod find;
mod pages;
mod query;
pub mod scraps;
pub mod special;

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

/// `/persons` and its JSON twin, the search by scraps, special registrations, deaths.
pub fn routes(pages: SearchPages) -> Routes<()> {
    Routes::new()
        .get("/persons", Access::Needs(NEED), pages::page)
        .get("/api/v1/persons", Access::Needs(NEED), pages::json)
        .get("/persons/scraps", Access::Needs(scraps::NEED), scraps::pages::page)
        .get("/api/v1/persons/scraps", Access::Needs(scraps::NEED), scraps::pages::json)
        .get("/persons/unknown", Access::Needs(scraps::REGISTER), scraps::unknown::form)
        .post("/persons/unknown", Access::Needs(scraps::REGISTER), scraps::unknown::register)
        .get("/persons/newborn", Access::Needs(scraps::REGISTER), special::newborn::form)
        .post("/persons/newborn", Access::Needs(scraps::REGISTER), special::newborn::register)
        .get("/persons/foreigner", Access::Needs(scraps::REGISTER), special::named::foreigner)
        .post("/persons/foreigner", Access::Needs(scraps::REGISTER), special::named::register_foreigner)
        .get("/persons/undocumented", Access::Needs(scraps::REGISTER), special::named::undocumented)
        .post("/persons/undocumented", Access::Needs(scraps::REGISTER), special::named::register_undocumented)
        .get("/persons/special", Access::Needs(NEED), special::list::page)
        .get("/persons/special.csv", Access::Needs(special::EXPORT), special::list::csv)
        .get("/persons/special/{record}", Access::Needs(NEED), special::one::page)
        .post("/persons/special/{record}/identify", Access::Needs(scraps::REGISTER), special::one::identify)
        .get("/persons/death/{person}", Access::Needs(scraps::REGISTER), special::death::form)
        .post("/persons/death/{person}", Access::Needs(scraps::REGISTER), special::death::record)
        .post("/persons/death/{person}/withdraw", Access::Needs(scraps::REGISTER), special::death::withdraw)
        .get("/index/special", Access::Needs(crate::desk::READ), special::list::page)
        .get("/index/special.csv", Access::Needs(crate::desk::EXPORT), special::list::csv)
        .with_state(pages)
}
