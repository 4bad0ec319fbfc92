//! The audit trail (审计日志) for people: searching it, an entry in full, the state of its chain, alerts, who looked at a
//! person's record, and the forms in which others want it. Reading any of it is audited too.

pub mod alerts;
pub mod atna;
mod chain;
mod detail;
mod export;
mod fhir;
mod forward;
mod looks;
mod outgoing;
mod pages;
pub mod store;
mod words;

use std::sync::Arc;

use ::store::audit::Sealer;
use ::store::jobs::Jobs;
use contracts::{PersonTraits, StaffNames};
use kernel::{Act, Line, Need};
use maud::Markup;
use web::ui::{Tab, tabs};
use web::{Access, Routes};

use crate::Identity;

pub use looks::Looks;
pub use outgoing::watched;

/// Reading the audit trail.
pub(crate) const READ: Need = Need::new(Line::Audit, Act::Read);
/// Taking it out of the platform.
pub(crate) const EXPORT: Need = Need::new(Line::Audit, Act::Export);
/// Deciding what an alert was; setting entries aside while something is looked into.
pub(crate) const APPROVE: Need = Need::new(Line::Audit, Act::Approve);

/// What the trail needs beyond the database: the sealer, and what other contexts know of people and staff. Without
/// one of them, what depends on it is left out.
#[derive(Clone, Default)]
pub struct Trail {
    /// Seals and verifies.
    pub sealer: Option<Sealer>,
    /// Where people live and which numbers institutions gave them.
    pub people: Option<Arc<dyn PersonTraits>>,
    /// Who works where.
    pub staff: Option<Arc<dyn StaffNames>>,
}

/// The routes of the audit trail.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    Routes::new()
        .get("/audit", Access::Needs(READ), pages::list)
        .get("/audit.csv", Access::Needs(EXPORT), export::csv)
        .get("/audit.xlsx", Access::Needs(EXPORT), export::xlsx)
        .get("/audit.xml", Access::Needs(EXPORT), export::atna)
        .get("/audit/entries/{key}", Access::Needs(READ), detail::page)
        .get("/audit/chain", Access::Needs(READ), chain::page)
        .post("/audit/chain/verify", Access::Needs(READ), chain::verify)
        .get("/audit/chain/progress", Access::Needs(READ), chain::progress_piece)
        .get("/audit/alerts", Access::Needs(READ), alerts::pages::list)
        .get("/audit/alerts/{alert}", Access::Needs(READ), alerts::pages::one)
        .post("/audit/alerts/{alert}", Access::Needs(APPROVE), alerts::pages::handle)
        .get("/audit/persons/{person}", Access::Needs(READ), looks::page)
        .post("/audit/persons/{person}/hold", Access::Needs(APPROVE), looks::hold)
        .post("/audit/persons/{person}/release", Access::Needs(APPROVE), looks::release)
        .get("/fhir/AuditEvent", Access::Needs(READ), fhir::search)
        .get("/fhir/AuditEvent/{key}", Access::Needs(READ), fhir::read)
        .with_state(identity.clone())
}

/// Registers verification, evaluation of alerts and forwarding.
pub fn register_jobs(identity: &Identity, jobs: &mut Jobs) {
    chain::register(identity, jobs);
    alerts::register(identity, jobs);
    forward::register(identity, jobs);
}

/// Asks for what is to be done again and again; to be called about once a minute.
pub async fn tick(identity: &Identity) -> kernel::Result<()> {
    identity
        .db
        .transaction(async |tx| {
            ::store::jobs::enqueue(tx, alerts::JOB, alerts::JOB, &(), Some("tick")).await?;
            if identity.options.flag("audit.syslog") {
                ::store::jobs::enqueue(tx, forward::JOB, forward::JOB, &(), Some("tick")).await?;
            }
            Ok(())
        })
        .await
}

/// The parts of the trail, above each page.
fn parts(current: &str) -> Markup {
    let tab = |title: &str, href: &str| Tab {
        title: title.to_owned(),
        href: href.to_owned(),
        count: None,
        current: href == current,
    };
    tabs(&[tab("日志查询", "/audit"), tab("异常告警", "/audit/alerts"), tab("日志链", "/audit/chain")])
}
