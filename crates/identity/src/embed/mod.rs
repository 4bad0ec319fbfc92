//! The record inside a hospital's own workstation: a signed link becomes an embedded session of 20 minutes that may
//! read clinical records in the city of its institution, for care, in the name of the staff member at the workstation.
//!
//! ```text
//! link → signature, time → used for the first time → person found → session → /embed/record/{person}
//! ```

pub mod link;
mod store;

use ::store::{AuditEntry, audit};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Duration;
use contracts::InstitutionCard;
use kernel::{Caller, CallerKind, Id, Purpose, Refusal, Result};
use web::{Access, Reply, Routes};

pub use link::LinkRequest;
pub use store::load_session;

use crate::page::Visitor;
use crate::{Identity, actor, client, cookie, grants, secret};

/// An embedded session ends after so long.
pub const SESSION: Duration = Duration::minutes(20);

/// The route that signed links lead to.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    Routes::new()
        .get("/embed/record", Access::Open("the signature of the link is the credential"), open)
        .with_state(identity.clone())
}

/// Who sits at the workstation, as a caller.
pub(crate) fn caller(staff_no: &str, staff_name: &str, card: &InstitutionCard, address: &str) -> Caller {
    Caller {
        name: staff_name.trim().to_owned(),
        role: format!("医院工作站（工号 {staff_no}）"),
        institution: Some(card.id),
        institution_name: card.name.clone(),
        region: card.region,
        address: address.to_owned(),
        grants: grants::of_embedded(&card.region),
        ..Caller::blank(CallerKind::Embedded)
    }
}

/// An embedded session that was opened.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The token for the cookie.
    pub token: String,
    /// The person whose record was asked for.
    pub person: i64,
}

impl Identity {
    /// Makes a signed link, as a hospital's own program would; for documentation, trials and tests.
    pub async fn make_embed_link(
        &self,
        client_id: &str,
        staff_no: &str,
        staff_name: &str,
        patient: &str,
    ) -> Result<String> {
        let client = client::load_open(self.db.pool(), client_id).await?.ok_or_else(|| {
            Refusal::not_found("client.none", format!("没有客户端“{client_id}”，或它已停用。"))
        })?;
        let request = LinkRequest {
            client: client_id.to_owned(),
            staff_no: staff_no.to_owned(),
            staff_name: staff_name.to_owned(),
            patient: patient.to_owned(),
            at: self.clock.now().timestamp().to_string(),
            nonce: secret::random_suffix(32)?,
            sig: String::new(),
        };
        Ok(format!("{}{}", self.settings.base_url, request.signed(&client.link_key).path()))
    }

    /// Verifies a signed link, uses it up and opens an embedded session.
    pub async fn open_embed_link(&self, request: &LinkRequest, address: &str) -> Result<Embedded> {
        let now = self.clock.now();
        let client = client::load_open(self.db.pool(), &request.client).await?;
        if let Err(refusal) = request.verify(client.as_ref().map(|c| c.link_key.as_slice()), now) {
            // Whoever it was, it was not proven to be the staff member that the link names.
            self.audit_link(&actor::nobody("签名链接", address), request, refusal.code, None).await?;
            return Err(refusal.into());
        }
        let unknown = || Refusal::forbidden("embed.bad_signature", "链接的签名不正确，无法打开健康档案。");
        let client = client.ok_or_else(unknown)?;
        let institution = Id::new(i64::from(client.institution_id));
        let card = self.institutions.by_id(institution).ok_or_else(unknown)?;
        let caller = caller(&request.staff_no, &request.staff_name, &card, address);
        let until = now + Duration::seconds(link::VALID_SECONDS + link::AHEAD_SECONDS + 60);
        let fresh = self
            .db
            .transaction(async |tx| store::use_up(tx, client.id, &request.nonce, until, now).await)
            .await?;
        if !fresh {
            self.audit_link(&caller, request, "embed.used", None).await?;
            return Err(Refusal::forbidden(
                "embed.used",
                "这个链接已经用过，不能再次打开。请从医院工作站重新进入。",
            )
            .into());
        }
        let Some(person) = self.patient(Some(institution), &request.patient).await? else {
            self.audit_link(&caller, request, "not_found", None).await?;
            return Err(Refusal::not_found(
                "embed.no_person",
                "平台上没有找到这位患者。可能贵院尚未上传其登记信息，请核对患者编号，或稍后再试。",
            )
            .into());
        };
        let token = secret::random_token()?;
        let digest = secret::digest(&token);
        self.db
            .transaction(async |tx| {
                let (no, name) = (&request.staff_no, request.staff_name.trim());
                store::open_session(tx, &digest, client.id, no, name, now, now + SESSION).await
            })
            .await?;
        self.audit_link(&caller, request, "ok", Some(person)).await?;
        Ok(Embedded { token, person })
    }

    /// The person that a hospital knows by its own number, or by citizen number.
    pub(crate) async fn patient(
        &self,
        institution: Option<kernel::access::InstitutionId>,
        patient: &str,
    ) -> Result<Option<i64>> {
        let Some(people) = &self.people else { return Ok(None) };
        if let Some(institution) = institution
            && let Some(person) = people.by_local_no(institution, patient).await?
        {
            return Ok(Some(person));
        }
        let upper = patient.to_ascii_uppercase();
        let (digits, last) = upper.split_at_checked(17).unwrap_or((&upper, ""));
        let like_citizen_id = digits.len() == 17
            && digits.bytes().all(|b| b.is_ascii_digit())
            && matches!(last.as_bytes(), [b'0'..=b'9' | b'X']);
        if like_citizen_id { people.by_citizen_id(&upper).await } else { Ok(None) }
    }

    async fn audit_link(
        &self,
        caller: &Caller,
        request: &LinkRequest,
        outcome: &'static str,
        person: Option<i64>,
    ) -> Result<()> {
        let entry = AuditEntry {
            act: "embed.open",
            object_kind: "person",
            object_id: person,
            object_label: String::new(),
            person_id: person,
            outcome,
            detail: Some(serde_json::json!({
                "client": request.client.chars().take(64).collect::<String>(),
                "staff_no": request.staff_no.chars().take(50).collect::<String>(),
            })),
            ..AuditEntry::default()
        };
        let now = self.clock.now();
        self.db
            .transaction(async |tx| audit::record(tx, caller, &Purpose::of("care"), now, &entry).await)
            .await
    }
}

async fn open(
    State(identity): State<Identity>,
    visitor: Visitor,
    Query(request): Query<LinkRequest>,
) -> Reply<Response> {
    let embedded = identity.open_embed_link(&request, &visitor.address).await?;
    let tls = identity.settings.tls;
    let mut response = Redirect::to(&format!("/embed/record/{}", embedded.person)).into_response();
    // One browser, one person at a time: whoever was signed in here before is not whom the link names.
    cookie::clear(response.headers_mut(), cookie::SESSION, tls);
    cookie::set_embed(response.headers_mut(), &embedded.token, SESSION.num_seconds(), tls);
    Ok(response)
}
