//! The record inside a hospital's own workstation: a signed link becomes an embedded session of 20 minutes that may
//! read the record of the one person of the link, for care, in the name of the staff member at the workstation. Another
//! person's record needs another link.
//!
//! ```text
//! link → signature, time → used for the first time → workstation not revoked → person found → session
//!      → /embed/record/{person}
//! ```
//! Workstations are told apart by a long-lived cookie and stand on a list of their institution, where they are named,
//! registered and revoked. Refused links of one address are written down up to a number (setting
//! `embed.refusals_written`), then only counted, and the address has to wait.

pub mod link;
mod pages;
mod store;

use ::store::{AuditEntry, audit};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Duration;
use contracts::InstitutionCard;
use kernel::{Caller, CallerKind, Id, Purpose, Refusal, RefusalKind, Result, Span};
use web::{Access, Reply, Routes};

pub use link::LinkRequest;
pub use store::load_session;

use crate::account::MANAGE;
use crate::page::Visitor;
use crate::{Identity, actor, client, cookie, grants, secret, sign_in};

/// An embedded session ends after so long.
pub const SESSION: Duration = Duration::minutes(20);

/// The route that signed links lead to, and the list of workstations.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    Routes::new()
        .get("/embed/record", Access::Open("the signature of the link is the credential"), open)
        .get("/workstations", Access::Needs(MANAGE), pages::list)
        .get("/workstations.csv", Access::Needs(MANAGE), pages::csv)
        .post("/workstations/{workstation}/register", Access::Needs(MANAGE), pages::register)
        .post("/workstations/{workstation}/revoke", Access::Needs(MANAGE), pages::revoke)
        .with_state(identity.clone())
}

/// Who sits at the workstation, as a caller.
pub(crate) fn caller(
    staff_no: &str,
    staff_name: &str,
    person: Option<i64>,
    card: &InstitutionCard,
    address: &str,
) -> Caller {
    Caller {
        name: staff_name.trim().to_owned(),
        role: format!("医院工作站（工号 {staff_no}）"),
        institution: Some(card.id),
        institution_name: card.name.clone(),
        region: card.region,
        staff_no: staff_no.to_owned(),
        address: address.to_owned(),
        grants: person.map(grants::of_embedded).unwrap_or_default(),
        ..Caller::blank(CallerKind::Embedded)
    }
}

/// Refuses pages about anybody but the person of the link; the store's own gate holds the same.
pub(crate) fn of_this_person(caller: &Caller, path: &str) -> Result<()> {
    let asked = path.strip_prefix("/embed/record/").and_then(|rest| rest.split('/').next());
    let theirs = caller.grants.iter().find_map(|grant| match grant.span {
        Span::Person(person) => Some(person.to_string()),
        _ => None,
    });
    if asked.is_none() || asked == theirs.as_deref() {
        return Ok(());
    }
    Err(Refusal::forbidden(
        "embed.other_person",
        "这个窗口只能查看从医院工作站打开的那位患者。查看其他患者请从医院工作站重新打开。",
    )
    .into())
}

/// An embedded session that was opened.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The token for the cookie.
    pub token: String,
    /// The person whose record was asked for.
    pub person: i64,
    /// A cookie that tells this workstation from others, when it had none.
    pub workstation: Option<String>,
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

    /// Verifies a signed link, uses it up and opens an embedded session. `workstation` is the long-lived cookie that tells
    /// the workstation from others.
    pub async fn open_embed_link(
        &self,
        request: &LinkRequest,
        workstation: Option<&str>,
        address: &str,
        agent: &str,
    ) -> Result<Embedded> {
        let now = self.clock.now();
        self.wait_after_refusals(address).await?;
        let client = client::load_open(self.db.pool(), &request.client).await?;
        if let Err(refusal) = request.verify(client.as_ref().map(|c| c.link_key.as_slice()), now) {
            // Whoever it was, it was not proven to be the staff member that the link names.
            self.audit_refusal(&actor::nobody("签名链接", address), request, refusal.code).await?;
            return Err(refusal.into());
        }
        let unknown = || Refusal::forbidden("embed.bad_signature", "链接的签名不正确，无法打开健康档案。");
        let client = client.ok_or_else(unknown)?;
        let institution = Id::new(i64::from(client.institution_id));
        let card = self.institutions.by_id(institution).ok_or_else(unknown)?;
        let caller = caller(&request.staff_no, &request.staff_name, None, &card, address);
        let until = now + Duration::seconds(link::VALID_SECONDS + link::AHEAD_SECONDS + 60);
        let new_cookie = match workstation {
            Some(_) => None,
            None => Some(secret::random_token()?),
        };
        let key = secret::digest(workstation.or(new_cookie.as_deref()).unwrap_or_default());
        let seat = store::Seat {
            client: client.id,
            institution,
            staff_no: &request.staff_no,
            staff_name: request.staff_name.trim(),
            address,
            agent,
        };
        let (fresh, (place, state)) = self
            .db
            .transaction(async |tx| {
                let fresh = store::use_up(tx, client.id, &request.nonce, until, now).await?;
                Ok((fresh, store::note_workstation(tx, &key, &seat, now).await?))
            })
            .await?;
        if !fresh {
            self.audit_refusal(&caller, request, "embed.used").await?;
            return Err(Refusal::forbidden(
                "embed.used",
                "这个链接已经用过，不能再次打开。请从医院工作站重新进入。",
            )
            .into());
        }
        if state == "revoked" || (state != "registered" && self.options.flag("embed.registered_only")) {
            self.audit_refusal(&caller, request, "embed.workstation").await?;
            return Err(Refusal::forbidden(
                "embed.workstation",
                "这台工作站未登记或已停用，不能打开健康档案。请联系本单位管理员在“医院工作站”中登记。",
            )
            .into());
        }
        let Some(person) = self.patient(Some(institution), &request.patient).await? else {
            self.audit_refusal(&caller, request, "not_found").await?;
            return Err(Refusal::not_found(
                "embed.no_person",
                "平台上没有找到这位患者。可能贵院尚未上传其登记信息，请核对患者编号，或稍后再试。",
            )
            .into());
        };
        let token = secret::random_token()?;
        let digest = secret::digest(&token);
        let entry = link_entry(request, "ok", Some(person));
        self.db
            .transaction(async |tx| {
                store::open_session(tx, &digest, &seat, person, place, now, now + SESSION).await?;
                audit::record(tx, &caller, &Purpose::of("care"), now, &entry).await
            })
            .await?;
        Ok(Embedded { token, person, workstation: new_cookie })
    }

    /// An address with too many refused links has to wait: guessing costs time, and the trail does not grow.
    async fn wait_after_refusals(&self, address: &str) -> Result<()> {
        let now = self.clock.now();
        let most = self.options.whole("embed.refusals_written");
        let counted = sign_in::rules::counted_address(address);
        if i64::from(store::refusals(self.db.pool(), &counted, now).await?) < most {
            return Ok(());
        }
        let seconds = u32::try_from(store::WINDOW.num_seconds()).unwrap_or(900);
        Err(Refusal::new(
            RefusalKind::Busy { retry_after: seconds },
            "embed.too_many",
            "这个地址多次用无效的链接访问，已暂停 15 分钟。请信息科核对接入代码、密钥和服务器时钟。",
        )
        .into())
    }

    /// Writes down a refused link, while there are not too many of its address.
    async fn audit_refusal(
        &self,
        caller: &Caller,
        request: &LinkRequest,
        outcome: &'static str,
    ) -> Result<()> {
        let now = self.clock.now();
        let counted = sign_in::rules::counted_address(&caller.address);
        let most = self.options.whole("embed.refusals_written");
        self.db
            .transaction(async |tx| {
                let (refused, before) = store::count_refusal(tx, &counted, now).await?;
                if i64::from(refused) > most {
                    return Ok(());
                }
                let mut entry = link_entry(request, outcome, None);
                if let (Some(detail), true) = (&mut entry.detail, i64::from(before) >= most) {
                    detail["refused_before"] = before.into();
                }
                audit::record(tx, caller, &Purpose::of("care"), now, &entry).await
            })
            .await
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
}

fn link_entry(request: &LinkRequest, outcome: &'static str, person: Option<i64>) -> AuditEntry {
    AuditEntry {
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
    }
}

async fn open(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(request): Query<LinkRequest>,
) -> Reply<Response> {
    let workstation = cookie::token(&headers, cookie::WORKSTATION, identity.settings.tls);
    let embedded = identity.open_embed_link(&request, workstation, &visitor.address, &visitor.agent).await?;
    let tls = identity.settings.tls;
    let mut response = Redirect::to(&format!("/embed/record/{}", embedded.person)).into_response();
    // One browser, one person at a time: whoever was signed in here before is not whom the link names.
    cookie::clear(response.headers_mut(), cookie::SESSION, tls);
    cookie::set_embed(response.headers_mut(), &embedded.token, SESSION.num_seconds(), tls);
    if let Some(workstation) = &embedded.workstation {
        cookie::set_workstation(response.headers_mut(), workstation, tls);
    }
    Ok(response)
}
