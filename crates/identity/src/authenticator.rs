//! Tells who is calling: session cookie, embedded session cookie or client credential → `Caller`.
//!
//! What was found is remembered for a few seconds, so that a doctor's page does not cost a query for its caller.
//! Signing out, closing, locking and changing a password forget it at once in this process; other processes follow
//! within [`KEEP`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::header;
use base64::Engine;
use catalog::Catalog;
use chrono::{DateTime, Duration, Utc};
use contracts::Institutions;
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{
    AccountId, Assurance, Caller, CallerKind, Clock, Factor, Id, Refusal, RefusalKind, RegionCode, Result,
};
use store::Db;

use crate::provider::credential;
use crate::secret::{self, SecretDigest};
use crate::session::{self, Lives, rules};
use crate::{client, cookie, embed, grants};

mod bearer;

/// How long a caller is remembered without asking the database.
pub const KEEP: Duration = Duration::seconds(5);
/// More callers than this are not remembered: the memory is emptied and filled anew.
const MOST: usize = 20_000;

/// Whose credential it was; what is forgotten when something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Account(AccountId),
    Client(i64),
}

#[derive(Debug, Clone)]
struct Known {
    caller: Arc<Caller>,
    owner: Owner,
    until: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<SecretDigest, Known>,
    /// Counts what was forgotten. A look-up that began before does not enter what it found.
    generation: u64,
}

/// The authenticator.
pub struct Gatekeeper {
    db: Db,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    institutions: Arc<dyn Institutions>,
    options: store::Settings,
    /// Whether people reach the program by TLS: cookies then have guarded names.
    tls: bool,
    memory: Mutex<Memory>,
}

impl Gatekeeper {
    /// An authenticator that remembers nobody yet.
    pub fn new(
        db: Db,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        institutions: Arc<dyn Institutions>,
        options: store::Settings,
        tls: bool,
    ) -> Self {
        Self { db, catalog, clock, institutions, options, tls, memory: Mutex::default() }
    }

    /// Forgets one token, after its session ended.
    pub fn forget_token(&self, token: &SecretDigest) {
        self.forget(|key, _| key == token);
    }

    /// Forgets all of an account, after it changed.
    pub fn forget_account(&self, account: AccountId) {
        self.forget(|_, known| known.owner == Owner::Account(account));
    }

    /// Forgets all of a machine client, after it was closed.
    pub fn forget_client(&self, client: i64) {
        self.forget(|_, known| known.owner == Owner::Client(client));
    }

    /// Forgets all embedded sessions, after a workstation was revoked.
    pub fn forget_embedded(&self) {
        self.forget(|_, known| known.caller.kind == CallerKind::Embedded);
    }

    fn forget(&self, which: impl Fn(&SecretDigest, &Known) -> bool) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.generation += 1;
        memory.known.retain(|key, known| !which(key, known));
    }

    /// The caller of a credential, from memory or by `load`.
    async fn recall(
        &self,
        key: SecretDigest,
        address: &str,
        load: impl AsyncFnOnce(DateTime<Utc>) -> Result<Option<Known>>,
    ) -> Result<Option<Arc<Caller>>> {
        let now = self.clock.now();
        let generation = {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = memory.known.get(&key).filter(|known| now < known.until) {
                return Ok(Some(at_address(&known.caller, address)));
            }
            memory.generation
        };
        let Some(known) = load(now).await? else { return Ok(None) };
        let caller = at_address(&known.caller, address);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.generation == generation {
            if memory.known.len() >= MOST {
                memory.known.retain(|_, known| now < known.until);
                if memory.known.len() >= MOST {
                    memory.known.clear();
                }
            }
            memory.known.insert(key, Known { caller: caller.clone(), ..known });
        }
        Ok(Some(caller))
    }

    async fn by_session(&self, token: &str, address: &str) -> Result<Option<Arc<Caller>>> {
        let key = secret::digest(token);
        self.recall(key, address, async |now| {
            let pool = self.db.pool();
            let Some(live) = session::load(pool, &key).await? else { return Ok(None) };
            let lives = Lives::of(&self.options);
            if !lives.alive(live.last_seen_at, live.expires_at, now) {
                return Ok(None);
            }
            if rules::worth_touching(live.last_seen_at, now) {
                session::touch(pool, &key, now).await?;
            }
            let region = RegionCode::parse(&live.region).unwrap_or(RegionCode::NATION);
            let institution = live.institution_id.map(|id| Id::new(i64::from(id)));
            let standing = grants::standing(pool, &self.catalog, live.account(), now).await?;
            let factor = rules::factor(&live.factor);
            let fresh = lives.fresh_until(live.proved_at, now);
            // Whoever must change the password or add a second factor first may do that and nothing else.
            let must_enrol = !live.has_second
                && factor == Factor::Single
                && crate::factor::required(&self.options, &self.catalog, &standing.roles);
            let idle_hands = live.must_change || must_enrol;
            let caller = Caller {
                account: Some(live.account()),
                name: live.name.clone(),
                role: standing.title,
                institution,
                institution_name: self.unit_name(institution, &region),
                region,
                address: address.to_owned(),
                staff: live.staff_id.map(Id::new),
                staff_no: live.staff_no.clone(),
                grants: if idle_hands { Vec::new() } else { standing.grants },
                roles: standing.roles,
                categories: standing.categories,
                assurance: Assurance { factor, fresh: fresh.is_some() },
                session: Some(live.id),
                ..Caller::blank(CallerKind::Staff)
            };
            // What begins or ends is not remembered beyond that moment: rights, and a fresh proof.
            let until = (now + KEEP)
                .min(live.expires_at)
                .min(standing.until.unwrap_or(live.expires_at))
                .min(fresh.unwrap_or(live.expires_at));
            Ok(Some(Known { caller: Arc::new(caller), owner: Owner::Account(live.account()), until }))
        })
        .await
    }

    async fn by_embed(&self, token: &str, address: &str) -> Result<Option<Arc<Caller>>> {
        let key = secret::digest(token);
        self.recall(key, address, async |now| {
            let Some(live) = embed::load_session(self.db.pool(), &key, now).await? else { return Ok(None) };
            let institution = Id::new(i64::from(live.institution_id));
            let Some(card) = self.institutions.by_id(institution) else { return Ok(None) };
            let caller =
                embed::caller(&live.staff_no, &live.staff_name, Some(live.person_id), &card, address);
            let until = (now + KEEP).min(live.expires_at);
            Ok(Some(Known { caller: Arc::new(caller), owner: Owner::Client(live.client_id), until }))
        })
        .await
    }

    async fn by_basic(&self, credential: &str, address: &str) -> Result<Option<Arc<Caller>>> {
        let wrong = || {
            Refusal::new(
                RefusalKind::Unauthenticated,
                "client.wrong_credential",
                "客户端编号或密钥不正确，或该客户端已停用。请核对平台发给贵单位的接入凭据；遗失密钥请联系平台管理员重新发放。",
            )
        };
        let decoded = base64::engine::general_purpose::STANDARD.decode(credential.trim()).ok();
        let Some((client_id, given)) = decoded
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.split_once(':').map(|(id, given)| (id.to_owned(), given.to_owned())))
        else {
            return Err(wrong().into());
        };
        let key = secret::digest(&format!("{client_id}\0{given}"));
        let found = self
            .recall(key, address, async |now| {
                let live = client::load_open(self.db.pool(), &client_id).await?;
                let known = match &live {
                    Some(live) => {
                        credential::of(self.db.pool(), credential::Owner::Client(live.id), now).await?
                    }
                    None => Vec::new(),
                };
                // Compared for unknown clients as well, so that both take the same way.
                let right = credential::is_secret(&known, &given);
                let Some(live) = live.filter(|live| right && live.auth_method == "secret") else {
                    return Ok(None);
                };
                Ok(Some(self.known_client(&live, address, Factor::Single, now).await?))
            })
            .await?;
        found.map(Some).ok_or_else(|| wrong().into())
    }

    /// The name of a caller's unit: the institution, or the division for those of no institution.
    pub(crate) fn unit_name(&self, institution: Option<InstitutionId>, region: &RegionCode) -> String {
        match institution.and_then(|id| self.institutions.by_id(id)) {
            Some(card) => card.name.clone(),
            None => self.institutions.region_name(region),
        }
    }
}

impl web::Authenticator for Gatekeeper {
    fn authenticate<'a>(&'a self, asking: web::Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        let web::Asking { headers, address, .. } = asking;
        Box::pin(async move {
            if let Some(decided) = self.by_program(asking).await? {
                return Ok(decided);
            }
            let basic = headers
                .get(header::AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
            if let Some((_, credential)) = basic {
                return self.by_basic(credential, address).await;
            }
            // The embedded session first: it has the lesser rights and names the person at the workstation, whoever
            // else may have signed in with the same browser. Cookies that have ended mean nobody, not an error.
            if let Some(token) = cookie::token(headers, cookie::EMBED, self.tls)
                && let Some(caller) = self.by_embed(token, address).await?
            {
                return embed::of_this_person(&caller, asking.path).map(|()| Some(caller));
            }
            match cookie::token(headers, cookie::SESSION, self.tls) {
                Some(token) => self.by_session(token, address).await,
                None => Ok(None),
            }
        })
    }
}

impl std::fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gatekeeper")
    }
}

fn at_address(caller: &Arc<Caller>, address: &str) -> Arc<Caller> {
    if caller.address == address {
        return caller.clone();
    }
    let mut other = Caller::clone(caller);
    address.clone_into(&mut other.address);
    Arc::new(other)
}
