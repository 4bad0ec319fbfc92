//! What programs of institutions ask the master index (接口): what changed since they asked last. Which identifiers a
//! person has elsewhere is asked through the door of the record.

mod feed;

use std::sync::Arc;

use contracts::Institutions;
use kernel::{Act, Clock, Line, Need};
use store::Db;
use web::{Access, Routes};

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

/// `/api/v1/identity-changes`.
pub fn routes(interface: Interface) -> Routes<()> {
    Routes::new().get("/api/v1/identity-changes", Access::Needs(FOLLOW), feed::changes).with_state(interface)
}
