//! What programs ask of the master index (接口): what changed since they asked last, and acts on it. Which identifiers a
//! person has elsewhere is asked through the door of the record.

mod acts;
mod feed;
mod result;

use std::sync::Arc;

use contracts::Institutions;
use kernel::{Act, Clock, Line, Need};
use store::Db;
use web::{Access, Routes};

use crate::MasterIndex;

/// Changes go to those who exchange data with the platform.
const FOLLOW: Need = Need::new(Line::Exchange, Act::Read);

/// Deciding, as on the review desk.
const DECIDE: Need = Need::new(Line::PersonIndex, Act::Write);

/// What the interfaces work with.
#[derive(Clone)]
pub struct Interface {
    /// The master index, which carries out what is asked.
    pub index: Arc<MasterIndex>,
    /// The database.
    pub db: Db,
    /// Institutions and their codes.
    pub institutions: Arc<dyn Institutions>,
    /// The time, for the audit trail.
    pub clock: Arc<dyn Clock>,
}

/// `/api/v1/identity-changes`, `/api/v1/index/operations`, `/fhir/Patient/$merge`.
pub fn routes(interface: Interface) -> Routes<()> {
    Routes::new()
        .get("/api/v1/identity-changes", Access::Needs(FOLLOW), feed::changes)
        .post("/api/v1/index/operations", Access::Needs(DECIDE), acts::operate)
        .post("/api/v1/index/operations/{id}/undo", Access::Needs(DECIDE), acts::undo)
        .post("/fhir/Patient/$merge", Access::Needs(DECIDE), acts::merge)
        .with_state(interface)
}
