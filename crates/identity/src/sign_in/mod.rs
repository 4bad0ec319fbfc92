//! Sign-in (登录) and sign-out.
//!
//! ```text
//! form → address not turned away → login not locked, attempt counted → password verified (also for unknown logins)
//!      → has a second factor? ticket of five minutes → code or recovery code, counted as well
//!      → guard cleared, old session of this browser ended, new session → where they wanted to go
//! passkey or certificate → signature over a challenge of ours → new session
//! ```
//! From outside an unknown login, a wrong password and a closed account look the same: same words, same time, same lock.
//! That a second factor is wanted is seen only after the right password.

mod pages;
pub mod rules;
pub(crate) mod store;

use ::store::{AuditEntry, audit};
use kernel::{AccountId, Factor, Id, Purpose, Refusal, RefusalKind, Result};
use web::{Access, Routes};

use self::rules::Limits;
use crate::session::{Lives, Opening};
use crate::{Identity, actor, factor, grants, secret, session};

pub(crate) use pages::{attempt_of, goal, let_in, refused, set_cookies};
pub(crate) use store::{clear_guard, count_attempt};

/// The routes of sign-in and sign-out.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let everybody = Access::Open("signing in comes before any right");
    Routes::new()
        .get("/sign-in", everybody, pages::form)
        .post("/sign-in", everybody, pages::submit)
        .get("/sign-in/code", everybody, pages::code_form)
        .post("/sign-in/code", everybody, pages::code)
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
    /// Login name as typed; empty for a passkey or certificate.
    pub login: &'a str,
    /// Password as typed; empty for a passkey or certificate.
    pub password: &'a str,
    /// Where from.
    pub address: &'a str,
    /// Browser.
    pub agent: &'a str,
    /// Token of the session that this browser had before; it ends.
    pub earlier: Option<&'a str>,
    /// The long-lived cookie that tells this browser from others.
    pub device: Option<&'a str>,
}

/// A session that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The token for the cookie.
    pub token: String,
    /// A cookie for the browser, when it had none that tells it from others.
    pub device: Option<String>,
    /// Whether the password must be changed before anything else.
    pub must_change: bool,
    /// Whether a second factor must be added before anything else.
    pub must_enrol: bool,
}

/// How far a sign-in came.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Signed in.
    Opened(Opened),
    /// The password was right; a second factor is wanted. The token finds the waiting sign-in again.
    Second(String),
}

/// By what somebody proved who they are, for the session and the trail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub factor: Factor,
    pub by: &'static str,
}

impl Identity {
    /// Takes a login name and password: a session, or the wish for a second factor, or a refusal that does not say what
    /// was wrong.
    pub async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Progress> {
        let now = self.clock.now();
        let limits = Limits::of(&self.options);
        let login = rules::normal_login(attempt.login);
        self.turn_away(attempt.address).await?;
        let admitted =
            self.db.transaction(async |tx| store::count_attempt(tx, &login, &limits, now).await).await?;
        let account = store::account_of(self.db.pool(), &login).await?;
        let label = account.as_ref().map_or_else(|| actor::shortened(&login), |_| login.clone());
        let id = account.as_ref().map(|a| a.id);
        let guard = match admitted {
            Ok(guard) => guard,
            Err(until) => {
                self.audit_failure(&label, id, "locked", attempt.address, false).await?;
                return Err(locked(until, now).into());
            }
        };
        let right =
            self.hasher.verify(attempt.password, account.as_ref().map(|a| a.password_hash.as_str())).await?;
        let outcome = match &account {
            None => "unknown_login",
            Some(_) if !right => "wrong_password",
            Some(account) if account.state != "open" => "closed",
            Some(account) if self.first_password_ran_out(account, now) => "first_expired",
            Some(_) => "ok",
        };
        if let Some(account) = account.as_ref().filter(|_| outcome == "ok") {
            if factor::store::of(self.db.pool(), Id::new(account.id)).await?.second() {
                let ticket = self
                    .db
                    .transaction(async |tx| {
                        store::uncount(tx, &login, &guard).await?;
                        store::begin(tx, "second", Some(account.id), now).await
                    })
                    .await?;
                return Ok(Progress::Second(ticket));
            }
            let way = Way { factor: Factor::Single, by: "password" };
            if let Some(opened) = self.open_session(account, way, attempt).await? {
                return Ok(Progress::Opened(opened));
            }
        }
        let outcome = if outcome == "ok" { "changed_meanwhile" } else { outcome };
        self.audit_failure(&label, id, outcome, attempt.address, true).await?;
        if let Some(until) = guard.locked_until {
            tracing::warn!(address = attempt.address, failures = guard.failures, "a login name was locked");
            return Err(locked(until, now).into());
        }
        if outcome == "first_expired" {
            return Err(Refusal::new(
                RefusalKind::Unauthenticated,
                "sign_in.first_expired",
                "初始密码在有效期内没有使用，已经失效。请联系本单位管理员重新发放。",
            )
            .into());
        }
        Err(Refusal::new(
            RefusalKind::Unauthenticated,
            "sign_in.wrong",
            format!(
                "登录名或密码不正确。连续输错 {} 次将暂停登录 {} 分钟；忘记密码请联系本单位管理员重置。",
                limits.failures,
                limits.first_lock.num_minutes()
            ),
        )
        .into())
    }

    /// Whether a password that an administrator gave out lay unused for too long: it may lie in a drawer or a message.
    fn first_password_ran_out(
        &self,
        account: &store::SignInAccount,
        now: chrono::DateTime<chrono::Utc>,
    ) -> bool {
        let days = self.options.whole("password.first_days");
        account.must_change
            && account.last_sign_in_at.is_none_or(|last| last < account.password_changed_at)
            && days > 0
            && now - account.password_changed_at > chrono::Duration::days(days)
    }

    /// Takes the code of a sign-in that waits for its second factor.
    pub async fn sign_in_code(&self, ticket: &str, code: &str, attempt: Attempt<'_>) -> Result<Opened> {
        let now = self.clock.now();
        let limits = Limits::of(&self.options);
        self.turn_away(attempt.address).await?;
        let account = match store::begun(self.db.pool(), "second", ticket, now).await? {
            Some(id) => store::account_by_id(self.db.pool(), id).await?,
            None => None,
        };
        let account = account.filter(|a| a.state == "open").ok_or_else(ticket_gone)?;
        let admitted = self
            .db
            .transaction(async |tx| store::count_attempt(tx, &account.login, &limits, now).await)
            .await?;
        let guard = match admitted {
            Ok(guard) => guard,
            Err(until) => {
                self.audit_failure(&account.login, Some(account.id), "locked", attempt.address, false)
                    .await?;
                return Err(locked(until, now).into());
            }
        };
        if let Some(by) = self.use_second(Id::new(account.id), code).await? {
            let finished =
                self.db.transaction(async |tx| store::finish(tx, "second", ticket, now).await).await?;
            let way = Way { factor: Factor::Second, by };
            if finished.is_some()
                && let Some(opened) = self.open_session(&account, way, attempt).await?
            {
                return Ok(opened);
            }
            return Err(ticket_gone().into());
        }
        self.audit_failure(&account.login, Some(account.id), "wrong_code", attempt.address, true).await?;
        if let Some(until) = guard.locked_until {
            return Err(locked(until, now).into());
        }
        Err(Refusal::new(
            RefusalKind::Unauthenticated,
            "sign_in.wrong_code",
            "口令不正确，或已经用过。请等应用显示下一个口令后再输入，并确认手机时间准确。",
        )
        .into())
    }

    /// Uses up a one-time code or a recovery code; which of them it was, `None` when it was neither.
    pub(crate) async fn use_second(&self, account: AccountId, code: &str) -> Result<Option<&'static str>> {
        let now = self.clock.now();
        let signs = code.chars().filter(char::is_ascii_alphanumeric).count();
        self.db
            .transaction(async |tx| {
                if signs <= 6 {
                    return Ok(factor::store::use_code(tx, account, code, false, now)
                        .await?
                        .then_some("code"));
                }
                Ok(factor::store::use_recovery(tx, account, code, now).await?.then_some("recovery"))
            })
            .await
    }

    /// Refuses an address from which too many sign-ins failed.
    pub(crate) async fn turn_away(&self, address: &str) -> Result<()> {
        if !rules::counts_address(address) {
            return Ok(());
        }
        let (now, limits) = (self.clock.now(), Limits::of(&self.options));
        let counted = rules::counted_address(address);
        let since = now - limits.address_window;
        if store::failures_of_address(self.db.pool(), &counted, since).await? >= limits.address_failures {
            return Err(locked(now + limits.address_window, now).into());
        }
        Ok(())
    }

    /// Opens a session for somebody who has proved who they are; `None` when the account changed meanwhile.
    pub(crate) async fn open_session(
        &self,
        account: &store::SignInAccount,
        way: Way,
        attempt: Attempt<'_>,
    ) -> Result<Option<Opened>> {
        let now = self.clock.now();
        let lives = Lives::of(&self.options);
        let earlier = attempt.earlier.map(secret::digest);
        let id: AccountId = Id::new(account.id);
        let age = self.options.whole("password.age_days");
        let expired = age > 0 && now - account.password_changed_at > chrono::Duration::days(age);
        let must_change = account.must_change || expired;
        let has = factor::store::of(self.db.pool(), id).await?;
        let standing = grants::standing(self.db.pool(), &self.catalog, id, now).await?;
        let wanted = factor::required(&self.options, &self.catalog, &standing.roles);
        let must_enrol = wanted && !has.second() && way.factor != Factor::Certificate;
        let new_cookie = match attempt.device {
            Some(_) => None,
            None => Some(secret::random_token()?),
        };
        let device = attempt.device.or(new_cookie.as_deref()).unwrap_or_default();
        let opened = self
            .db
            .transaction(async |tx| {
                if !store::note_sign_in(tx, account, must_change, now).await? {
                    return Ok(None);
                }
                store::clear_guard(tx, &account.login).await?;
                if let Some(earlier) = &earlier {
                    session::end(tx, earlier).await?;
                }
                session::purge(tx, id, &lives, now).await?;
                let new =
                    store::note_device(tx, account.id, device, attempt.address, attempt.agent, now).await?;
                let opening = Opening {
                    address: attempt.address,
                    agent: attempt.agent,
                    factor: way.factor,
                    new_device: new && self.options.flag("sign_in.new_device_notice"),
                };
                let token = session::create(tx, id, &opening, &lives, now).await?;
                let caller = self.caller_of_account(account, attempt.address);
                let entry = AuditEntry {
                    act: "sign_in",
                    object_kind: "account",
                    object_id: Some(account.id),
                    object_label: account.login.clone(),
                    detail: Some(serde_json::json!({ "by": way.by, "new_device": new })),
                    ..AuditEntry::default()
                };
                audit::record(tx, &caller, &Purpose::of(""), now, &entry).await?;
                Ok(Some(Opened { token, device: new_cookie.clone(), must_change, must_enrol }))
            })
            .await?;
        self.gatekeeper.forget_account(id);
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

    /// Writes down a failed sign-in; with `count`, against its address.
    pub(crate) async fn audit_failure(
        &self,
        label: &str,
        account: Option<i64>,
        outcome: &'static str,
        address: &str,
        count: bool,
    ) -> Result<()> {
        let (now, limits) = (self.clock.now(), Limits::of(&self.options));
        let counted = (count && rules::counts_address(address)).then(|| rules::counted_address(address));
        self.db
            .transaction(async |tx| {
                if let Some(counted) = &counted {
                    store::count_address(tx, counted, now).await?;
                }
                store::forget_old(tx, &limits, now).await?;
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

/// The waiting sign-in is over.
fn ticket_gone() -> Refusal {
    Refusal::new(RefusalKind::Unauthenticated, "sign_in.ticket", "登录已超时，请重新输入登录名和密码。")
}
