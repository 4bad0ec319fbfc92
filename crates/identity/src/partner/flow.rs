//! Going to a partner and coming back.

use ::store::{AuditEntry, audit};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Duration;
use kernel::{Factor, Id, Purpose, Refusal, Result};
use serde::Deserialize;
use web::Reply;

use super::entry;
use super::store::{self, Attempt, Partner};
use crate::page::Visitor;
use crate::provider::{Parameters, with_query};
use crate::sign_in::{self, Way, attempt_of, goal, rules, set_cookies};
use crate::{Identity, actor, cookie, factor, jose, secret};

/// A sign-in at a partner must be done within this time.
const LIFE: Duration = Duration::minutes(10);
/// Where partners send people back to.
const BACK: &str = "/sign-in/partner-return";

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

fn none() -> Refusal {
    Refusal::not_found("partner.none", "没有这个登录入口，或它已停用。请用登录名和密码登录。")
}

/// `/sign-in/partner/{id}`: off to the partner.
pub(super) async fn begin(
    State(identity): State<Identity>,
    Path(id): Path<i64>,
    Query(wanted): Query<Wanted>,
) -> Reply<Response> {
    let partner = store::open(identity.db.pool(), id).await?.ok_or_else(none)?;
    let documents = identity.partner_documents(&partner, None).await?;
    let state = secret::random_token()?;
    let attempt = Attempt {
        partner_id: partner.id,
        nonce: secret::random_token()?,
        verifier: secret::random_token()?,
        next: rules::destination(&wanted.next).to_owned(),
    };
    let expires = identity.clock.now() + LIFE;
    store::begin(identity.db.pool(), &secret::digest(&state), &attempt, expires).await?;
    let back = format!("{}{BACK}", identity.issuer());
    let challenge = jose::encode(&secret::digest(&attempt.verifier));
    let to = with_query(
        &documents.authorization,
        &[
            ("response_type", "code"),
            ("client_id", &partner.client_id),
            ("redirect_uri", &back),
            ("scope", "openid profile"),
            ("state", &state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ],
    );
    let mut response = Redirect::to(&to).into_response();
    cookie::set_partner(response.headers_mut(), &state, LIFE.num_seconds(), identity.settings.tls);
    Ok(response)
}

/// `/sign-in/partner-return`: back, with a code or a refusal.
pub(super) async fn finish(
    State(identity): State<Identity>,
    visitor: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Reply<Response> {
    let gone = || {
        Refusal::forbidden(
            "partner.state",
            "这次登录已过期，或不是从这个浏览器开始的。请回到登录页重新开始。",
        )
    };
    let params = Parameters::of(&uri).map_err(|_| gone())?;
    let state = params.get("state").ok_or_else(gone)?;
    // Only the browser that began it may end it: nobody is signed in under somebody else's name by a link.
    if cookie::token(&headers, cookie::PARTNER, identity.settings.tls) != Some(state) {
        return Err(gone().into());
    }
    let now = identity.clock.now();
    let attempt = store::take(identity.db.pool(), &secret::digest(state), now).await?.ok_or_else(gone)?;
    let partner = store::open(identity.db.pool(), attempt.partner_id).await?.ok_or_else(none)?;
    if params.get("iss").is_some_and(|iss| iss != partner.issuer) {
        return Err(gone().into());
    }
    if let Some(error) = params.get("error") {
        let code: String = error.chars().filter(char::is_ascii_graphic).take(60).collect();
        return Err(Refusal::forbidden(
            "partner.refused",
            format!("“{}”没有同意这次登录（{code}）。请重试，或用登录名和密码登录。", partner.name),
        )
        .into());
    }
    let code = params.get("code").ok_or_else(gone)?;
    let back = format!("{}{BACK}", identity.issuer());
    let token = identity.partner_token(&partner, code, &attempt.verifier, &back).await?;
    let claims = identity.partner_claims(&partner, &token, &attempt.nonce).await?;
    let staff_no = claims[&partner.staff_claim].as_str().unwrap_or_default().trim().to_owned();
    let account = identity.partner_account(&partner, &staff_no, &visitor).await?;

    let tls = identity.settings.tls;
    let mut response = if factor::store::of(identity.db.pool(), Id::new(account.id)).await?.second() {
        let begun =
            async |tx: &mut ::store::Tx<'_>| sign_in::store::begin(tx, "second", Some(account.id), now).await;
        let ticket = identity.db.transaction(begun).await?;
        let to = with_query("/sign-in/code", &[("next", &attempt.next)]);
        let mut response = Redirect::to(&to).into_response();
        cookie::set_ticket(response.headers_mut(), &ticket, rules::TICKET.num_seconds(), tls);
        response
    } else {
        let way = Way { factor: Factor::Single, by: "partner" };
        let opened = identity
            .open_session(&account, way, attempt_of(&identity, &visitor, &headers))
            .await?
            .ok_or_else(gone)?;
        let mut response = Redirect::to(goal(&opened, &attempt.next)).into_response();
        set_cookies(&identity, response.headers_mut(), &opened);
        response
    };
    cookie::clear(response.headers_mut(), cookie::PARTNER, tls);
    Ok(response)
}

impl Identity {
    /// The one open account of a staff number at the partner's institution. None is ever made.
    async fn partner_account(
        &self,
        partner: &Partner,
        staff_no: &str,
        visitor: &Visitor,
    ) -> Result<sign_in::store::SignInAccount> {
        let now = self.clock.now();
        let plain = (1..=50).contains(&staff_no.chars().count()) && !staff_no.chars().any(char::is_control);
        let found =
            if plain { store::accounts(self.db.pool(), partner, staff_no, now).await? } else { Vec::new() };
        let account = match found[..] {
            [one] => sign_in::store::account_by_id(self.db.pool(), one).await?,
            _ => None,
        };
        let (outcome, message) = match &account {
            Some(account) if account.state == "open" => ("ok", String::new()),
            Some(_) => {
                ("closed", "您的平台账号现在不能登录（已锁定或停用）。请联系本单位管理员。".to_owned())
            }
            None if found.len() > 1 => (
                "ambiguous",
                "本单位有两个账号用同一个工号，无法确定是哪一个。请联系本单位管理员。".to_owned(),
            ),
            None => (
                "unknown_staff",
                format!(
                    "“{}”已确认您的身份，但平台上没有贵单位工号为“{}”的账号。请联系本单位管理员为您开通。",
                    partner.name,
                    staff_no.chars().filter(|c| !c.is_control()).take(50).collect::<String>()
                ),
            ),
        };
        if let Some(account) = account.filter(|_| outcome == "ok") {
            return Ok(account);
        }
        let entry = AuditEntry { outcome, ..entry("sign_in", partner.id, &partner.name) };
        let who = actor::nobody(&actor::shortened(staff_no), &visitor.address);
        self.db.transaction(async |tx| audit::record(tx, &who, &Purpose::of(""), now, &entry).await).await?;
        Err(Refusal::forbidden("partner.account", message).into())
    }
}
