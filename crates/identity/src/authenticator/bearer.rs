//! Callers by access token (RFC 6750) and by client certificate: programs of institutions, and applications that act in
//! a person's name.
//!
//! A token serves under `/api` and `/fhir` only, never for pages. One that is bound to a certificate serves with that
//! certificate only; one that is bound to a person's record opens that record only. What a token opens is the overlap
//! of its scopes with the rights that its person or client holds now.

use std::sync::Arc;

use ::store::DbDoing;
use axum::http::header;
use chrono::{DateTime, Utc};
use kernel::access::{Assurance, Factor};
use kernel::{Caller, CallerKind, Id, Refusal, RefusalKind, RegionCode, Result};
use web::Asking;

use super::{Gatekeeper, KEEP, Known, Owner};
use crate::client::{self, LiveClient};
use crate::provider::scope;
use crate::row::row;
use crate::session::rules;
use crate::{certificate, cookie, grants, secret};

/// A person's token with what it depends on.
#[derive(Debug, Clone)]
struct PersonToken {
    scopes: Vec<String>,
    expires_at: DateTime<Utc>,
    person_id: Option<i64>,
    factor: String,
    application: String,
    account_id: i64,
    name: String,
    staff_id: Option<i64>,
    staff_no: String,
    institution_id: Option<i32>,
    region: String,
    must_change: bool,
}
row!(PersonToken {
    scopes,
    expires_at,
    person_id,
    factor,
    application,
    account_id,
    name,
    staff_id,
    staff_no,
    institution_id,
    region,
    must_change,
});

/// A machine client's token.
#[derive(Debug, Clone)]
struct ProgramToken {
    scopes: Vec<String>,
    expires_at: DateTime<Utc>,
    certificate: Option<Vec<u8>>,
    client_id: i64,
}
row!(ProgramToken { scopes, expires_at, certificate, client_id });

/// How surely a stored factor says.
fn factor(code: &str) -> Factor {
    match code {
        "certificate" => Factor::Certificate,
        "second" => Factor::Second,
        _ => Factor::Single,
    }
}

fn refused() -> Refusal {
    Refusal::new(
        RefusalKind::Unauthenticated,
        "token.invalid",
        "访问令牌不正确、已过期或已被撤销。请重新获取令牌后再试。",
    )
}

impl Gatekeeper {
    /// The caller by what comes before cookies: `Some` when that decides, also that it is nobody.
    pub(super) async fn by_program(&self, asking: Asking<'_>) -> Result<Option<Option<Arc<Caller>>>> {
        let credential = asking.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // At the provider's own addresses programs prove themselves to the handler.
        if asking.path.starts_with("/oauth/") && credential.is_some() {
            return Ok(Some(None));
        }
        let bearer = credential
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let Some((_, token)) = bearer {
            if !scope::serves_tokens(asking.path) {
                return Err(refused().into());
            }
            return self.by_token(token.trim(), asking).await.map(|caller| Some(Some(caller)));
        }
        let cookies = [cookie::SESSION, cookie::EMBED]
            .iter()
            .any(|name| cookie::token(asking.headers, name, self.tls).is_some());
        if let Some(peer) = asking.certificate
            && credential.is_none()
            && !cookies
            && scope::serves_tokens(asking.path)
        {
            let digest = certificate::digest(&peer.der);
            let found = self
                .recall(digest, asking.address, async |now| {
                    let Some(live) = client::load_by_certificate(self.db.pool(), &digest, now).await? else {
                        return Ok(None);
                    };
                    Ok(Some(self.known_client(&live, asking.address, Factor::Certificate, now).await?))
                })
                .await?;
            // An unknown certificate is nobody: what is open stays open to its holder.
            return Ok(found.map(Some));
        }
        Ok(None)
    }

    async fn by_token(&self, token: &str, asking: Asking<'_>) -> Result<Arc<Caller>> {
        let digest = secret::digest(token);
        let peer = asking.certificate.map(|peer| certificate::digest(&peer.der));
        // What is remembered was found with the same certificate.
        let key = match &peer {
            None => digest,
            Some(peer) => secret::digest(&format!("{}\0{}", secret::hex(&digest), secret::hex(peer))),
        };
        let mut bound = None;
        let found = self
            .recall(key, asking.address, async |now| {
                if let Some(live) = person_token(&self.db, &digest, now).await? {
                    bound = live.person_id.filter(|_| scope::of_one_person(&live.scopes));
                    return self.known_person(&live, bound.is_some(), asking.address, now).await.map(Some);
                }
                let Some(live) = program_token(&self.db, &digest, now).await? else { return Ok(None) };
                if live.certificate.is_some()
                    && live.certificate.as_deref() != peer.as_ref().map(<[u8; 32]>::as_slice)
                {
                    return Ok(None);
                }
                let Some(client) = client::load_open_by_id(self.db.pool(), live.client_id).await? else {
                    return Ok(None);
                };
                let factor = if live.certificate.is_some() || client.auth_method == "private_key_jwt" {
                    Factor::Certificate
                } else {
                    Factor::Single
                };
                let mut known = self.known_client(&client, asking.address, factor, now).await?;
                let mut caller = Caller::clone(&known.caller);
                caller.grants = scope::rights(&live.scopes, &caller.grants);
                known.caller = Arc::new(caller);
                known.until = known.until.min(live.expires_at);
                Ok(Some(known))
            })
            .await?
            .ok_or_else(refused)?;
        if bound.is_some_and(|person| !scope::within_person(asking.path, person)) {
            return Err(
                Refusal::forbidden("token.other_person", "这个访问令牌只能读取选定居民的健康档案。").into()
            );
        }
        Ok(found)
    }

    async fn known_person(
        &self,
        live: &PersonToken,
        bound: bool,
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<Known> {
        let account = Id::new(live.account_id);
        let region = RegionCode::parse(&live.region).unwrap_or(RegionCode::NATION);
        let institution = live.institution_id.map(|id| Id::new(i64::from(id)));
        let standing = grants::standing(self.db.pool(), &self.catalog, account, now).await?;
        let own = if live.must_change { Vec::new() } else { standing.grants };
        let caller = Caller {
            account: Some(account),
            name: live.name.clone(),
            role: format!("{}（经应用“{}”）", standing.title, live.application),
            institution,
            institution_name: self.unit_name(institution, &region),
            region,
            address: address.to_owned(),
            staff: live.staff_id.map(Id::new),
            staff_no: live.staff_no.clone(),
            grants: scope::rights(&live.scopes, &own),
            roles: standing.roles,
            categories: standing.categories,
            assurance: Assurance { factor: factor(&live.factor), fresh: false },
            ..Caller::blank(CallerKind::Staff)
        };
        // A token of one person's record is looked up each time: the path decides as well.
        let until = (now + KEEP).min(live.expires_at).min(standing.until.unwrap_or(live.expires_at));
        let until = if bound { now } else { until };
        Ok(Known { caller: Arc::new(caller), owner: Owner::Account(account), until })
    }

    /// A machine client as a caller, with all that it may do.
    pub(super) async fn known_client(
        &self,
        live: &LiveClient,
        address: &str,
        factor: Factor,
        now: DateTime<Utc>,
    ) -> Result<Known> {
        if live.last_used_at.is_none_or(|used| rules::worth_touching(used, now)) {
            client::touch(self.db.pool(), live.id, now).await?;
        }
        let institution = Id::new(i64::from(live.institution_id));
        let card = self.institutions.by_id(institution);
        let caller = Caller {
            name: live.name.clone(),
            role: "接入客户端".to_owned(),
            institution: Some(institution),
            institution_name: card.as_ref().map(|c| c.name.clone()).unwrap_or_default(),
            region: card.as_ref().map_or(RegionCode::NATION, |c| c.region),
            address: address.to_owned(),
            grants: grants::of_client(institution, live.reads_records),
            datasets: live.datasets.clone(),
            assurance: Assurance { factor, fresh: false },
            ..Caller::blank(CallerKind::Client)
        };
        Ok(Known { caller: Arc::new(caller), owner: Owner::Client(live.id), until: now + KEEP })
    }

    /// Forgets everybody, after tokens were revoked: their digests are no longer known then.
    pub fn forget_tokens(&self) {
        self.forget(|_, _| true);
    }
}

async fn person_token(
    db: &::store::Db,
    digest: &secret::SecretDigest,
    now: DateTime<Utc>,
) -> Result<Option<PersonToken>> {
    sqlx::query_as(
        "select t.scopes, least(t.expires_at, g.expires_at) as expires_at, g.person_id, g.factor, p.name as application,
                g.account_id, a.name, a.staff_id, a.staff_no, a.institution_id, a.region, a.must_change
         from sso_token t join sso_grant g on g.id = t.grant_id join application p on p.id = g.application_id
         join account a on a.id = g.account_id left join session s on s.id = g.session_id
         where t.digest = $1 and t.kind = 'access' and t.expires_at > $2 and g.ended_at is null and g.expires_at > $2
           and a.state = 'open' and p.state = 'open' and (not g.online or s.expires_at > $2)",
    )
    .bind(digest.as_slice())
    .bind(now)
    .fetch_optional(db.pool())
    .await
    .db("look up an access token")
}

async fn program_token(
    db: &::store::Db,
    digest: &secret::SecretDigest,
    now: DateTime<Utc>,
) -> Result<Option<ProgramToken>> {
    sqlx::query_as(
        "select scopes, expires_at, certificate, client_id from sso_token
         where digest = $1 and kind = 'access' and expires_at > $2 and client_id is not null",
    )
    .bind(digest.as_slice())
    .bind(now)
    .fetch_optional(db.pool())
    .await
    .db("look up an access token")
}
