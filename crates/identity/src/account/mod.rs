//! Accounts (账号): opening, closing, passwords, and the pages of their owners and administrators.
//!
//! ```text
//! open ⇄ closed          closed: cannot sign in, its sessions end at once
//! ```
//! An administrator sees and manages the accounts of the own region (`administration·manage`) and gives only roles
//! that [`crate::grants::may_assign`] allows. A password set by somebody else must be changed before anything else.

mod admin_pages;
mod own_pages;
pub mod store;

use ::store::{AuditEntry, Tx, audit};
use kernel::access::InstitutionId;
use kernel::{AccountId, Act, Caller, Id, Line, Need, Purpose, Refusal, RegionCode, Result};
use web::{Access, Routes};

use crate::{Identity, grants, password, secret, session, sign_in};

/// Managing accounts and clients.
pub(crate) const MANAGE: Need = Need::new(Line::Administration, Act::Manage);

/// The routes of accounts.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let own = Access::SignedIn("everybody looks after their own account");
    let manage = Access::Needs(MANAGE);
    Routes::new()
        .get("/account", own, own_pages::show)
        .post("/account/password", own, own_pages::change_password)
        .post("/account/sessions/{session}/revoke", own, own_pages::revoke)
        .get("/accounts", manage, admin_pages::list)
        .get("/accounts.csv", manage, admin_pages::export)
        .get("/accounts/new", manage, admin_pages::blank)
        .post("/accounts", manage, admin_pages::create)
        .get("/accounts/{account}", manage, admin_pages::show)
        .post("/accounts/{account}/close", manage, admin_pages::close)
        .post("/accounts/{account}/reopen", manage, admin_pages::reopen)
        .post("/accounts/{account}/unlock", manage, admin_pages::unlock)
        .post("/accounts/{account}/password", manage, admin_pages::reset_password)
        .with_state(identity.clone())
}

/// What is needed to open an account.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Login name; made lower case.
    pub login: String,
    /// Real name.
    pub name: String,
    /// Staff number in the institution; may be empty.
    pub staff_no: String,
    /// Role code of the catalogue.
    pub role: String,
    /// Institution, if any.
    pub institution: Option<InstitutionId>,
    /// Division: the institution's, or the one that an authority is responsible for.
    pub region: RegionCode,
}

/// A demonstration account.
#[derive(Debug, Clone)]
pub struct Persona {
    /// The account.
    pub account: NewAccount,
    /// Its password, shown to whoever tries the demonstration city.
    pub password: String,
}

/// The change of an account that an administrator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// No more sign-in.
    Close,
    /// Sign-in again.
    Reopen,
    /// Forget failed sign-ins.
    Unlock,
}

impl Identity {
    /// Opens an account on behalf of `by`. With `must_change` the holder must choose another password first.
    ///
    /// Checks the form of the account and the password policy; [`Self::may_open`] checks the right to it.
    pub async fn create_account(
        &self,
        new: &NewAccount,
        password: &str,
        must_change: bool,
        by: &Caller,
    ) -> Result<AccountId> {
        let login = sign_in::rules::normal_login(&new.login);
        self.check_form(&login, new)?;
        password::check(password, &login, &new.name)?;
        let hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let Some(id) = store::insert(tx, &login, new, &hash, must_change, &by.name, now).await?
                else {
                    return Err(Refusal::conflict(
                        "account.login_taken",
                        format!("登录名“{login}”已被使用，请换一个。"),
                    )
                    .into());
                };
                self.audit(
                    tx,
                    by,
                    "account.create",
                    id,
                    &login,
                    Some(serde_json::json!({ "role": new.role })),
                )
                .await?;
                Ok(id)
            })
            .await
    }

    /// Opens the account of a persona, or sets it to what the persona says when there is one by that login: safe to
    /// repeat.
    pub async fn ensure_persona(&self, persona: &Persona) -> Result<AccountId> {
        let new = &persona.account;
        let login = sign_in::rules::normal_login(&new.login);
        let by = Caller::system("系统");
        if store::id_of(self.db.pool(), &login).await?.is_none() {
            return self.create_account(new, &persona.password, false, &by).await;
        }
        self.check_form(&login, new)?;
        password::check(&persona.password, &login, &new.name)?;
        let hash = self.hasher.hash(&persona.password).await?;
        let now = self.clock.now();
        let id = self
            .db
            .transaction(async |tx| {
                let id = store::overwrite(tx, &login, new, &hash, now).await?;
                sign_in::clear_guard(tx, &login).await?;
                session::end_all_of(tx, id).await?;
                self.audit(tx, &by, "account.reset", id, &login, None).await?;
                Ok(id)
            })
            .await?;
        self.gatekeeper.forget_account(id);
        Ok(id)
    }

    fn check_form(&self, login: &str, new: &NewAccount) -> Result<(), Refusal> {
        let good_login = login.chars().count() >= 3
            && login
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
        if !good_login {
            return Err(Refusal::invalid(
                "account.bad_login",
                "登录名须为 3 至 64 位的字母、数字、点、横线或下划线。",
            ));
        }
        let length = new.name.trim().chars().count();
        if !(2..=50).contains(&length) || new.name.chars().any(char::is_control) {
            return Err(Refusal::invalid("account.bad_name", "姓名须为 2 至 50 个字，请填写真实姓名。"));
        }
        if new.staff_no.chars().count() > 50 {
            return Err(Refusal::invalid("account.bad_staff_no", "工号最多 50 位。"));
        }
        let Some(role) = self.role(&new.role) else {
            return Err(Refusal::invalid("account.unknown_role", "没有这个角色，请从列表中选择。"));
        };
        if role.needs_institution() && new.institution.is_none() {
            return Err(Refusal::invalid(
                "account.needs_institution",
                format!("角色“{}”须属于一个机构，请选择机构。", role.name),
            ));
        }
        if new.institution.is_some_and(|id| self.institutions.by_id(id).is_none()) {
            return Err(Refusal::invalid("account.unknown_institution", "没有这个机构，请从列表中选择。"));
        }
        Ok(())
    }

    /// Whether `by` may give this role at this unit.
    pub fn may_open(
        &self,
        by: &Caller,
        role: &str,
        institution: Option<InstitutionId>,
        region: &RegionCode,
    ) -> bool {
        let Some(role) = self.role(role) else { return false };
        let covered = by.decide(MANAGE, Purpose::of("")).is_ok_and(|reach| match institution {
            Some(id) => reach.covers(id, region),
            None => reach.covers_region(region),
        });
        covered && self.may_appoint(by, role, &grants::Post { institution, region: *region }).is_ok()
    }

    /// Closes, reopens or unlocks an account.
    pub async fn change_account(&self, account: AccountId, change: Change, by: &Caller) -> Result<()> {
        let act = match change {
            Change::Close => "account.close",
            Change::Reopen => "account.reopen",
            Change::Unlock => "account.unlock",
        };
        if change == Change::Close && by.account == Some(account) {
            return Err(Refusal::conflict("account.own", "不能停用自己的账号，请由其他管理员操作。").into());
        }
        self.db
            .transaction(async |tx| {
                let login = match change {
                    Change::Close => {
                        session::end_all_of(tx, account).await?;
                        store::set_state(tx, account, "closed").await?
                    }
                    Change::Reopen => store::set_state(tx, account, "open").await?,
                    Change::Unlock => store::login_of(tx, account).await?,
                };
                if change != Change::Close {
                    sign_in::clear_guard(tx, &login).await?;
                }
                self.audit(tx, by, act, account, &login, None).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }

    /// Sets a new first password that must be changed at the next sign-in; the password, to be told once.
    pub async fn reset_password(&self, account: AccountId, by: &Caller) -> Result<String> {
        let first = secret::random_password()?;
        let hash = self.hasher.hash(&first).await?;
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let login = store::set_password(tx, account, &hash, true, now).await?;
                session::end_all_of(tx, account).await?;
                sign_in::clear_guard(tx, &login).await?;
                self.audit(tx, by, "account.reset_password", account, &login, None).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(first)
    }

    /// Changes the caller's own password; all sessions end and the token of a new one comes back. Wrong present
    /// passwords count as failed sign-ins, so that an open screen is no place to guess.
    pub async fn change_own_password(
        &self,
        caller: &Caller,
        present: &str,
        wanted: &str,
        agent: &str,
    ) -> Result<String> {
        let account = caller.account.ok_or_else(no_account)?;
        let now = self.clock.now();
        let row = store::by_id(self.db.pool(), account).await?.ok_or_else(no_account)?;
        let admitted =
            self.db.transaction(async |tx| sign_in::count_attempt(tx, &row.login, now).await).await?;
        if let Err(until) = admitted {
            return Err(sign_in::locked(until, now).into());
        }
        if !self.hasher.verify(present, Some(&row.password_hash)).await? {
            return Err(Refusal::invalid("password.wrong", "现用密码不正确，密码没有修改。").into());
        }
        password::check(wanted, &row.login, &row.name)?;
        if wanted == present {
            return Err(Refusal::invalid("password.same", "新密码不能与现用密码相同。").into());
        }
        let hash = self.hasher.hash(wanted).await?;
        let token = self
            .db
            .transaction(async |tx| {
                store::set_password(tx, account, &hash, false, now).await?;
                sign_in::clear_guard(tx, &row.login).await?;
                session::end_all_of(tx, account).await?;
                self.audit(tx, caller, "account.change_password", account, &row.login, None).await?;
                session::create(tx, account, &caller.address, agent, now).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(token)
    }

    async fn audit(
        &self,
        tx: &mut Tx<'_>,
        by: &Caller,
        act: &'static str,
        account: AccountId,
        login: &str,
        detail: Option<serde_json::Value>,
    ) -> Result<()> {
        let entry = AuditEntry {
            act,
            object_kind: "account",
            object_id: Some(Id::get(account)),
            object_label: login.to_owned(),
            detail,
            ..AuditEntry::default()
        };
        audit::record(tx, by, &Purpose::of(""), self.clock.now(), &entry).await
    }
}

/// Machine clients and embedded workstations have no account.
pub(crate) fn no_account() -> Refusal {
    Refusal::not_found("account.none", "当前登录方式没有个人账号。")
}
