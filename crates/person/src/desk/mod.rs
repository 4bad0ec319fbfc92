//! The review desk (主索引核对台): the queue of pairs that may be one person, the comparison side by side, the page of a
//! person's identity, suspicious people, runs, models and figures. What is done there is [`crate::operations`] and
//! [`crate::review`]; here it is shown and asked for. Every look at registrations is in the audit trail.

mod act;
mod bits;
mod compare;
mod diff;
mod figures;
mod history;
mod merge;
mod models;
mod panel;
mod person;
mod person_read;
mod questions;
mod queue;
mod read;
mod runs;
mod show;
mod special;
mod suspects;
mod versus;
mod versus_pair;
mod words;

use std::sync::Arc;

use catalog::Masks;
use contracts::{DeskPanel, Institutions, Notices, Terminology};
use kernel::access::InstitutionId;
use kernel::{Act, Clock, Id, Line, Need, Purpose, Reach, Result};
use store::Db;
use web::route::Allowed;
use web::{Access, Routes};

use crate::MasterIndex;

/// Looking at tasks, people's registrations and what was done.
pub const READ: Need = Need::new(Line::PersonIndex, Act::Read);
/// Deciding, merging, splitting, taking back.
pub const WRITE: Need = Need::new(Line::PersonIndex, Act::Write);
/// Taking lists out.
pub const EXPORT: Need = Need::new(Line::PersonIndex, Act::Export);
/// Runs and models.
pub const MANAGE: Need = Need::new(Line::PersonIndex, Act::Manage);
/// Deciding about proposed change sets.
pub const APPROVE: Need = Need::new(Line::PersonIndex, Act::Approve);
/// Seeing numbers in full.
pub const REVEAL: Need = Need::new(Line::PersonIndex, Act::Reveal);
/// Answering for an institution's own registrations.
pub const ANSWER: Need = Need::new(Line::Exchange, Act::Write);

/// What the pages work with.
#[derive(Clone)]
pub struct Desk {
    /// The database.
    pub db: Db,
    /// The master index, which carries out what is decided.
    pub index: Arc<MasterIndex>,
    /// Institutions and names of divisions.
    pub institutions: Arc<dyn Institutions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is masked for whom.
    pub masks: Arc<Masks>,
    /// Code tables, for names of codes.
    pub codes: Arc<dyn Terminology>,
    /// Tells an institution's engineers; `None` where nobody is told.
    pub notices: Option<Arc<dyn Notices>>,
}

impl Desk {
    fn reach(allowed: &Allowed) -> Result<Reach> {
        Ok(allowed.reach(Purpose::of("identity"))?)
    }

    fn institution(&self, id: i32) -> String {
        self.institutions
            .by_id(InstitutionId::new(i64::from(id)))
            .map_or_else(|| "（已注销的机构）".to_owned(), |card| card.name.clone())
    }

    /// The name of a code; the code itself where the table does not have it.
    fn code(&self, table: &str, code: &str) -> String {
        let tables = self.codes.tables();
        let name = tables.get(table).and_then(|t| t.name_of(code)).map(ToString::to_string);
        name.unwrap_or_else(|| code.to_owned())
    }

    /// The name of a county by its six digits.
    fn county(&self, code: &str) -> String {
        kernel::RegionCode::parse(code)
            .map_or_else(|_| "未知".to_owned(), |c| self.institutions.region_name(&c))
    }
}

/// The account of whoever asks.
fn account(allowed: &Allowed) -> Option<i64> {
    allowed.caller().account.map(Id::get)
}

/// The pages.
pub fn routes(desk: Desk) -> Routes<()> {
    let section =
        Access::SignedIn("leads to the first page of the section that the reader may see and shows nothing");
    Routes::new()
        .get("/index", section, web::section)
        .get("/index/review", Access::Needs(READ), queue::page)
        .get("/index/review.csv", Access::Needs(EXPORT), queue::csv)
        .get("/index/review/next", Access::Needs(READ), act::next)
        .get("/index/review/{task}", Access::Needs(READ), compare::page)
        .post("/index/review/{task}/reveal", Access::Needs(REVEAL), compare::reveal)
        .post("/index/review/{task}/decide", Access::Needs(WRITE), act::decide)
        .post("/index/review/{task}/ask", Access::Needs(WRITE), questions::ask)
        .get("/index/questions", Access::Needs(ANSWER), questions::list)
        .get("/index/questions/{question}", Access::Needs(ANSWER), questions::page)
        .post("/index/questions/{question}/answer", Access::Needs(ANSWER), questions::answer)
        .get("/index/operations", Access::Needs(READ), history::page)
        .get("/index/operations.csv", Access::Needs(EXPORT), history::csv)
        .post("/index/operations/{operation}/undo", Access::Needs(WRITE), act::undo)
        .get("/index/persons/{person}", Access::Needs(READ), person::page)
        .post("/index/persons/{person}/reveal", Access::Needs(REVEAL), person::reveal)
        .post("/index/persons/{person}/split", Access::Needs(WRITE), act::split)
        .post("/index/persons/{person}/pin", Access::Needs(WRITE), act::pin)
        .get("/index/persons/{person}/merge", Access::Needs(READ), merge::page)
        .post("/index/persons/{person}/merge", Access::Needs(WRITE), act::merge)
        .post("/index/records/{record}/disown", Access::Needs(WRITE), act::disown)
        .get("/index/suspects", Access::Needs(READ), suspects::page)
        .get("/index/suspects.csv", Access::Needs(EXPORT), suspects::csv)
        .post("/index/suspects/{suspect}/explain", Access::Needs(WRITE), suspects::explain)
        .get("/index/figures", Access::Needs(READ), figures::page)
        .get("/index/figures.csv", Access::Needs(EXPORT), figures::csv)
        .get("/index/runs", Access::Needs(MANAGE), runs::page)
        .post("/index/runs", Access::Fresh(MANAGE), runs::start)
        .get("/index/runs/{run}", Access::Needs(MANAGE), runs::one)
        .get("/index/runs/{run}/progress", Access::Needs(MANAGE), runs::progress_piece)
        .post("/index/runs/{run}/decide", Access::Fresh(APPROVE), runs::decide)
        .post("/index/runs/{run}/undo", Access::Fresh(APPROVE), runs::undo)
        .get("/index/runs/{run}/pairs", Access::Needs(MANAGE), versus_pair::page)
        .get("/index/runs/{run}/pairs.csv", Access::Needs(EXPORT), versus_pair::csv)
        .get("/index/runs/{run}/pairs/{pair}", Access::Needs(MANAGE), versus_pair::one)
        .get("/index/models", Access::Needs(MANAGE), models::page)
        .get("/index/models/{model}", Access::Needs(MANAGE), models::one)
        .post("/index/models/{model}/force", Access::Fresh(APPROVE), models::force)
        .with_state(desk)
}

/// What waits for the reviewer, for the desk of the platform.
pub fn panels(desk: &Desk) -> Vec<Arc<dyn DeskPanel>> {
    vec![Arc::new(panel::Waiting(desk.clone()))]
}
