//! Sign-in (登录) and sign-out.
//!
//! ```text
//! form → address not turned away → login not locked, attempt counted → password verified (also for unknown logins)
//!      → guard cleared, old session of this browser ended, new session → where they wanted to go
//! ```
//! From outside an unknown login, a wrong password and a closed account look the same: same words, same time, same lock.

mod pages;
pub mod rules;
mod store;

use ::store::{AuditEntry, audit};
use kernel::{AccountId, Id, Purpose, Refusal, RefusalKind, Result};
use web::{Access, Routes};

use crate::{Identity, actor, secret, session};

pub(crate) use store::{clear_guard, count_attempt};

/// The routes of sign-in and sign-out.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let everybody = Access::Open("signing in comes before any right");
    Routes::new()
        .get("/sign-in", everybody, pages::form)
        .post("/sign-in", everybody, pages::submit)
        .post(
            "/sign-out",
            Access::Open("ending one's own session needs no right, nor that it is still alive"),
            pages::out,
        )
        .with_state(identity.clone())
}

/// What a browser sends with the form.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Login name as typed.
    pub login: &'a str,
    /// Password as typed.
    pub password: &'a str,
    /// Where from.
    pub address: &'a str,
    /// Browser.
    pub agent: &'a str,
    /// Token of the session that this browser had before; it ends.
    pub earlier: Option<&'a str>,
}

/// A session that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The token for the cookie.
    pub token: String,
    /// Whether the password must be changed before anything else.
    pub must_change: bool,
}

impl Identity {
    /// Signs somebody in: the token of a new session, or a refusal that does not say what was wrong.
    pub async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Opened> {
        let now = self.clock.now();
        let login = rules::normal_login(attempt.login);
        let counted = rules::counts_address(attempt.address).then(|| rules::counted_address(attempt.address));
        if let Some(address) = &counted {
            let since = now - rules::ADDRESS_WINDOW;
            if store::failures_of_address(self.db.pool(), address, since).await? >= rules::ADDRESS_FAILURES {
                return Err(locked(now + rules::ADDRESS_WINDOW, now).into());
            }
        }
        let admitted = self.db.transaction(async |tx| store::count_attempt(tx, &login, now).await).await?;
        let account = store::account_of(self.db.pool(), &login).await?;
        let label = account.as_ref().map_or_else(|| actor::shortened(&login), |_| login.clone());
        let guard = match admitted {
            Ok(guard) => guard,
            Err(until) => {
                self.audit_failure(&label, account.as_ref().map(|a| a.id), "locked", attempt.address, None)
                    .await?;
                return Err(locked(until, now).into());
            }
        };
        let right =
            self.hasher.verify(attempt.password, account.as_ref().map(|a| a.password_hash.as_str())).await?;
        let outcome = match &account {
            None => "unknown_login",
            Some(_) if !right => "wrong_password",
            Some(account) if account.state != "open" => "closed",
            Some(_) => "ok",
        };
        let opened = match &account {
            Some(account) if outcome == "ok" => self.open(account, &login, attempt).await?,
            _ => None,
        };
        if let Some(opened) = opened {
            return Ok(opened);
        }
        let id = account.as_ref().map(|a| a.id);
        let outcome = if outcome == "ok" { "changed_meanwhile" } else { outcome };
        self.audit_failure(&label, id, outcome, attempt.address, counted.as_deref()).await?;
        if let Some(until) = guard.locked_until {
            tracing::warn!(address = attempt.address, failures = guard.failures, "a login name was locked");
            return Err(locked(until, now).into());
        }
        Err(Refusal::new(
            RefusalKind::Unauthenticated,
            "sign_in.wrong",
            format!(
                "登录名或密码不正确。连续输错 {} 次将暂停登录 {} 分钟；忘记密码请联系本单位管理员重置。",
                rules::FAILURES,
                rules::FIRST_LOCK.num_minutes()
            ),
        )
        .into())
    }

    async fn open(
        &self,
        account: &store::SignInAccount,
        login: &str,
        attempt: Attempt<'_>,
    ) -> Result<Option<Opened>> {
        let now = self.clock.now();
        let earlier = attempt.earlier.map(secret::digest);
        let id: AccountId = Id::new(account.id);
        let opened = self
            .db
            .transaction(async |tx| {
                if !store::note_sign_in(tx, account, now).await? {
                    return Ok(None);
                }
                store::clear_guard(tx, login).await?;
                if let Some(earlier) = &earlier {
                    session::end(tx, earlier).await?;
                }
                session::purge(tx, id, now).await?;
                let token = session::create(tx, id, attempt.address, attempt.agent, now).await?;
                let caller = self.caller_of_account(account, attempt.address);
                let entry = AuditEntry {
                    act: "sign_in",
                    object_kind: "account",
                    object_id: Some(account.id),
                    object_label: login.to_owned(),
                    ..AuditEntry::default()
                };
                audit::record(tx, &caller, &Purpose::of(""), now, &entry).await?;
                Ok(Some(Opened { token, must_change: account.must_change }))
            })
            .await?;
        if let Some(earlier) = &earlier {
            self.gatekeeper.forget_token(earlier);
        }
        Ok(opened)
    }

    /// Ends the session of a token; nothing when it has ended already.
    pub async fn sign_out(&self, token: &str, caller: Option<&kernel::Caller>) -> Result<()> {
        let now = self.clock.now();
        let digest = secret::digest(token);
        self.db
            .transaction(async |tx| {
                session::end(tx, &digest).await?;
                if let Some(caller) = caller {
                    let entry = AuditEntry {
                        act: "sign_out",
                        object_kind: "account",
                        object_id: caller.account.map(Id::get),
                        ..AuditEntry::default()
                    };
                    audit::record(tx, caller, &Purpose::of(""), now, &entry).await?;
                }
                Ok(())
            })
            .await?;
        self.gatekeeper.forget_token(&digest);
        Ok(())
    }

    async fn audit_failure(
        &self,
        label: &str,
        account: Option<i64>,
        outcome: &'static str,
        address: &str,
        counted: Option<&str>,
    ) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                if let Some(counted) = counted {
                    store::count_address(tx, counted, now).await?;
                }
                store::forget_old(tx, now).await?;
                let entry = AuditEntry {
                    act: "sign_in",
                    object_kind: "account",
                    object_id: account,
                    object_label: label.to_owned(),
                    outcome,
                    ..AuditEntry::default()
                };
                audit::record(tx, &actor::nobody(label, address), &Purpose::of(""), now, &entry).await
            })
            .await
    }

    fn caller_of_account(&self, account: &store::SignInAccount, address: &str) -> kernel::Caller {
        let region = kernel::RegionCode::parse(&account.region).unwrap_or(kernel::RegionCode::NATION);
        let institution = account.institution_id.map(|id| Id::new(i64::from(id)));
        kernel::Caller {
            account: Some(Id::new(account.id)),
            name: account.name.clone(),
            role: self.role(&account.role).map_or_else(|| account.role.clone(), |r| r.name.clone()),
            institution,
            institution_name: self.gatekeeper.unit_name(institution, &region),
            region,
            address: address.to_owned(),
            ..kernel::Caller::blank(kernel::CallerKind::Staff)
        }
    }
}

/// The refusal of a locked login or address.
pub(crate) fn locked(until: chrono::DateTime<chrono::Utc>, now: chrono::DateTime<chrono::Utc>) -> Refusal {
    let seconds = u32::try_from((until - now).num_seconds().max(1)).unwrap_or(u32::MAX);
    Refusal::new(
        RefusalKind::Busy { retry_after: seconds },
        "sign_in.locked",
        format!(
            "尝试次数过多，登录已暂停。请于 {} 以后再试；急需使用请联系本单位管理员解锁。",
            kernel::clock::to_china(until).format("%H:%M")
        ),
    )
}
