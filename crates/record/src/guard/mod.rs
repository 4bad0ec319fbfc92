//! What stands between a viewer and a record beyond reach (D4): seals and refusals, protected content, and the glass
//! that may be broken in an emergency.
//!
//! | term | Chinese | here |
//! |---|---|---|
//! | restriction | 调阅限制 | a seal or a refusal; hangs on an identity record and follows the person |
//! | seal | 封存 | set by an administrator of the medical line, e.g. for staff or persons of public life |
//! | refusal | 拒绝调阅 | the resident's own will, recorded by an institution |
//! | protected content | 受保护内容 | facts of a sensitivity category, see `catalog/sensitivity.toml` |
//! | breaking the glass | 紧急调阅 | opens all of it for some hours, with a reason, a notice and a review |
//!
//! ```text
//! out of reach ─────────────► looks like not found
//! in reach ── in care, no restriction ──► open; protected content counted, not shown
//!          ├─ not in care ──► says why (purpose) ──► open, as above
//!          └─ restricted ───► break the glass ──► open, all of it ──► review: justified / not
//! ```

pub(crate) mod classify;
mod glass;
mod pages;
mod restrictions;
pub mod rules;
pub mod store;

pub(crate) use glass::{Because, form, panel};
pub use glass::{GlassForm, KINDS};
pub use rules::{Barrier, Door, Standing};

use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Ports;

/// Breaking the glass: a right of those who treat emergencies.
pub const BREAK: Need = Need::new(Line::Emergency, Act::Read);
/// Setting and lifting restrictions.
pub const RESTRICT: Need = Need::new(Line::Medical, Act::Manage);
/// Seeing who broke the glass.
pub const WATCH: Need = Need::new(Line::Audit, Act::Read);
/// Saying whether it was justified.
pub const REVIEW: Need = Need::new(Line::Audit, Act::Approve);

/// Review of broken glass, and restrictions. Breaking it is a route of the record browser.
pub(crate) fn routes(ports: Ports) -> Routes<()> {
    Routes::new()
        .get("/glass", Access::Needs(WATCH), pages::list)
        .get("/glass.csv", Access::Needs(WATCH), pages::export)
        .get("/glass/{glass}", Access::Needs(WATCH), pages::detail)
        .post("/glass/{glass}/review", Access::Needs(REVIEW), pages::review)
        .get("/restrictions", Access::Needs(RESTRICT), restrictions::list)
        .get("/restrictions/new", Access::Needs(RESTRICT), restrictions::form)
        .post("/restrictions", Access::Fresh(RESTRICT), restrictions::add)
        .post("/restrictions/{restriction}/lift", Access::Fresh(RESTRICT), restrictions::lift)
        .with_state(ports)
}
