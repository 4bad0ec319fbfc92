//! The audit trail's pages (审计日志): who, from where, what, to whom, why, with what result. Reading it is audited too.

mod pages;
mod store;
mod words;

use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Identity;

/// Reading the audit trail.
pub(crate) const READ: Need = Need::new(Line::Audit, Act::Read);
/// Taking it out of the platform.
pub(crate) const EXPORT: Need = Need::new(Line::Audit, Act::Export);

/// The routes of the audit trail.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    Routes::new()
        .get("/audit", Access::Needs(READ), pages::list)
        .get("/audit.csv", Access::Needs(EXPORT), pages::export)
        .with_state(identity.clone())
}
