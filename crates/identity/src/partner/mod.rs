//! Partners (合作认证源): providers that institutions run for their own staff and that the platform trusts for them. The
//! platform is then an application of theirs (OpenID Connect, code and PKCE).
//!
//! ```text
//! /sign-in/partners → /sign-in/partner/{id} ─► the hospital's provider ─► /sign-in/partner-return
//!     state, nonce, verifier kept; state also in a cookie      code → identity token → staff number → account
//! ```
//! A partner says who somebody is, and nothing about rights: the account must exist at the partner's own institution
//! under the staff number, and is never made. Whoever has a second factor here gives it as with a password.

mod flow;
mod pages;
mod store;
mod verify;

use ::store::{AuditEntry, audit};
use kernel::access::InstitutionId;
use kernel::{Caller, Purpose, Refusal, Result};
use protect::Domain;
use serde_json::json;
use web::{Access, Routes};

use crate::Identity;
use crate::provider::MANAGE;
use crate::provider::application::good_address;

pub(crate) use verify::Cache;

/// What a sealed secret is bound to.
const SEALED: &str = "partner.sealed_secret";

/// The routes.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let everybody = Access::Open("signing in comes before any right");
    let (manage, change) = (Access::Needs(MANAGE), Access::Fresh(MANAGE));
    Routes::new()
        .get("/sign-in/partners", everybody, pages::choose)
        .get("/sign-in/partner/{partner}", everybody, flow::begin)
        .get("/sign-in/partner-return", everybody, flow::finish)
        .get("/partners", manage, pages::list)
        .get("/partners.csv", manage, pages::csv)
        .get("/partners/new", manage, pages::blank)
        .post("/partners", change, pages::create)
        .post("/partners/{partner}/close", change, pages::close)
        .with_state(identity.clone())
}

/// What an administrator says of a partner.
#[derive(Debug, Clone)]
pub struct NewPartner {
    /// Whose staff it knows.
    pub institution: InstitutionId,
    /// On the sign-in page, e.g. `市一院统一认证`.
    pub name: String,
    /// Its name in tokens; also where its documents are.
    pub issuer: String,
    /// The platform's name there.
    pub client_id: String,
    /// The platform's secret there; empty for none.
    pub secret: String,
    /// The claim that holds the staff number.
    pub staff_claim: String,
    /// PEM of the authority that signs its server's certificate; empty: the public ones.
    pub authority: String,
}

impl Identity {
    /// Enters a partner.
    pub async fn enter_partner(&self, new: &NewPartner, by: &Caller) -> Result<i64> {
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control)
        };
        if self.institutions.by_id(new.institution).is_none() {
            return Err(Refusal::invalid("partner.institution", "没有这个机构，请从列表中选择。").into());
        }
        for (good, code, message) in [
            (plain(&new.name, 50), "partner.name", "请填写名称，如“市一院统一认证”，最多 50 个字。"),
            (
                good_address(&new.issuer) && !new.issuer.contains('?'),
                "partner.issuer",
                "颁发者须是完整的 https 地址，与对方发现文档里的 issuer 完全一致。",
            ),
            (plain(&new.client_id, 200), "partner.client_id", "请填写对方分配给平台的客户端编号。"),
            (plain(&new.staff_claim, 50), "partner.claim", "请填写存放工号的声明名，如 preferred_username。"),
        ] {
            if !good {
                return Err(Refusal::invalid(code, message).into());
            }
        }
        if !new.authority.trim().is_empty() {
            crate::certificate::of_pem(&new.authority)?;
        }
        let sealed = match new.secret.trim() {
            "" => None,
            secret => Some(self.db.keyring().seal(Domain::Secrets, SEALED, secret.as_bytes())?),
        };
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let id = store::insert(tx, new, sealed.as_deref(), &by.name, now).await?;
                let detail =
                    json!({ "institution": new.institution, "issuer": new.issuer, "claim": new.staff_claim });
                let entry = AuditEntry { detail: Some(detail), ..entry("partner.create", id, &new.name) };
                audit::record(tx, by, &Purpose::of(""), now, &entry).await?;
                Ok(id)
            })
            .await
    }

    /// Closes a partner at once; sessions that came through it go on until they end.
    pub async fn close_partner(&self, partner: i64, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let Some(name) = store::close(tx, partner).await? else { return Ok(()) };
                audit::record(tx, by, &Purpose::of(""), now, &entry("partner.close", partner, &name)).await
            })
            .await
    }
}

fn entry(act: &'static str, partner: i64, name: &str) -> AuditEntry {
    AuditEntry {
        act,
        object_kind: "partner",
        object_id: Some(partner),
        object_label: name.to_owned(),
        ..AuditEntry::default()
    }
}
