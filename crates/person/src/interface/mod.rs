//! What programs of institutions ask the master index (接口): which identifiers a person has elsewhere, as JSON and as
//! FHIR `$ihe-pix` (IHE ITI-83), and what changed since they asked last.

mod cross;
mod feed;

use std::sync::Arc;

use contracts::Institutions;
use kernel::{Act, Clock, Line, Need};
use store::Db;
use web::{Access, Routes};

/// Identifiers of a person are part of the record.
const READ: Need = Need::new(Line::Medical, Act::Read);
/// Changes go to those who exchange data with the platform.
const FOLLOW: Need = Need::new(Line::Exchange, Act::Read);

/// What the interfaces work with.
#[derive(Clone)]
pub struct Interface {
    /// The database.
    pub db: Db,
    /// Institutions and their codes.
    pub institutions: Arc<dyn Institutions>,
    /// The time, for the audit trail.
    pub clock: Arc<dyn Clock>,
}

/// `/api/v1/cross-reference`, `/fhir/Patient/$ihe-pix`, `/api/v1/identity-changes`.
pub fn routes(interface: Interface) -> Routes<()> {
    Routes::new()
        .get("/api/v1/cross-reference", Access::Needs(READ), cross::json)
        .get("/fhir/Patient/$ihe-pix", Access::Needs(READ), cross::fhir)
        .get("/api/v1/identity-changes", Access::Needs(FOLLOW), feed::changes)
        .with_state(interface)
}
