//! Accounts (账号) of registered staff: opening, the steps of their life, passwords, and the pages of their owners and
//! administrators.
//!
//! ```text
//!            ┌── locked ◀─────▶┐            by an administrator, with a reason
//! opened ──▶ open ─────────────┤
//!            ├── dormant ─────▶┤ reopened   nobody signed in for long (setting sign_in.dormant_days)
//!            ├── moved ───────▶┘ confirmed  changed unit: roles and sessions end, the new unit's administrator confirms
//!            └── closed  ─────▶ reopened    left, or closed by an administrator
//! ```
//! Whatever is not `open` cannot sign in and its sessions end at once. An administrator sees and manages the accounts of
//! the own region or unit (`administration·manage`) and gives only roles that [`crate::grants::may_assign`] allows: the
//! administrator of a unit is opened by the one above, village rooms belong to their township's region. A password set by
//! somebody else must be changed before anything else.

mod admin_pages;
mod bulk;
mod bulk_pages;
mod detail_page;
mod form_pages;
pub mod life;
mod own_pages;
mod passwords;
pub mod store;

use ::store::{AuditEntry, Tx, audit};
use contracts::NewStaff;
use kernel::access::InstitutionId;
use kernel::{AccountId, Act, Caller, Id, Line, Need, Purpose, Refusal, RegionCode, Result, StaffId};
use web::{Access, Routes};

use crate::policy::{Owner, Policy};
use crate::{Identity, grants, session, sign_in};

pub(crate) use admin_pages::manageable;
pub use life::Change;
pub(crate) use own_pages::device;

/// Managing accounts and clients.
pub(crate) const MANAGE: Need = Need::new(Line::Administration, Act::Manage);

/// The routes of accounts.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let own = Access::SignedIn("everybody looks after their own account");
    let manage = Access::Needs(MANAGE);
    Routes::new()
        .get("/account", own, own_pages::show)
        .post("/account/password", own, own_pages::change_password)
        .post("/account/password/strength", own, own_pages::strength)
        .post("/account/devices/seen", own, own_pages::seen)
        .post("/account/sessions/{session}/revoke", own, own_pages::revoke)
        .post("/account/sessions/revoke-others", own, own_pages::revoke_others)
        .get("/accounts", manage, admin_pages::list)
        .get("/accounts.csv", manage, admin_pages::csv)
        .get("/accounts.xlsx", manage, admin_pages::xlsx)
        .get("/accounts/new", manage, form_pages::blank)
        .post("/accounts", manage, form_pages::create)
        .get("/accounts/import", manage, bulk_pages::blank)
        .get("/accounts/import/template.xlsx", manage, bulk_pages::template)
        .post("/accounts/import", manage, bulk_pages::dry_run)
        .post("/accounts/import/{draft}/open", manage, bulk_pages::open)
        .get("/accounts/{account}", manage, detail_page::show)
        .post("/accounts/{account}/close", manage, detail_page::close)
        .post("/accounts/{account}/lock", manage, detail_page::lock)
        .post("/accounts/{account}/reopen", manage, detail_page::reopen)
        .post("/accounts/{account}/unlock", manage, detail_page::unlock)
        .post("/accounts/{account}/confirm", manage, detail_page::confirm)
        .post("/accounts/{account}/password", manage, detail_page::reset_password)
        .post("/accounts/{account}/factors/reset", manage, detail_page::reset_factors)
        .post("/accounts/{account}/sessions/{session}/revoke", manage, detail_page::revoke)
        .with_state(identity.clone())
}

/// What is needed to open an account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewAccount {
    /// Login name; made lower case.
    pub login: String,
    /// Real name.
    pub name: String,
    /// Staff number in the institution; the login name stands for it where the institution gives none.
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

impl Identity {
    /// Opens an account on behalf of `by`. With `must_change` the holder must choose another password first.
    ///
    /// Checks the form of the account and the password policy; [`Self::may_open`] checks the right to it. Whoever is not
    /// in the register of staff yet is registered there in the same transaction.
    pub async fn create_account(
        &self,
        new: &NewAccount,
        password: &str,
        must_change: bool,
        by: &Caller,
    ) -> Result<AccountId> {
        let login = sign_in::rules::normal_login(&new.login);
        self.check_form(&login, new)?;
        self.check_staff(&login, new).await?;
        let unit = self.gatekeeper.unit_name(new.institution, &new.region);
        Policy::of(&self.options).check(password, &Owner { login: &login, name: &new.name, unit: &unit })?;
        let hash = self.hasher.hash(password).await?;
        self.db.transaction(async |tx| self.open_account(tx, new, &login, &hash, must_change, by).await).await
    }

    /// Opens an account whose form has been checked, in the caller's transaction.
    pub(crate) async fn open_account(
        &self,
        tx: &mut Tx<'_>,
        new: &NewAccount,
        login: &str,
        hash: &str,
        must_change: bool,
        by: &Caller,
    ) -> Result<AccountId> {
        let now = self.clock.now();
        let staff = self.staff_in(tx, login, new).await?;
        let Some(id) = store::insert(tx, login, new, staff, hash, must_change, &by.name, now).await? else {
            return Err(login_taken(login).into());
        };
        self.check_together(tx, id).await?;
        life::note(tx, id, "open", "open", "开通", &by.name, now).await?;
        let detail = serde_json::json!({ "role": new.role, "staff": staff.map(Id::get) });
        self.audit(tx, by, "account.create", id, login, Some(detail)).await?;
        Ok(id)
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
        Policy::of(&self.options)
            .check(&persona.password, &Owner { login: &login, name: &new.name, unit: "" })?;
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

    pub(crate) fn check_form(&self, login: &str, new: &NewAccount) -> Result<(), Refusal> {
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
        if new.staff_no.chars().count() > 50 || new.staff_no.chars().any(char::is_control) {
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

    /// Refuses an account for somebody whom the register knows by another name or as having left.
    pub(crate) async fn check_staff(&self, login: &str, new: &NewAccount) -> Result<()> {
        let (Some(register), Some(institution)) = (&self.staff, new.institution) else { return Ok(()) };
        let number = staff_number(login, new);
        let Some(card) = register.by_number(institution, number).await? else { return Ok(()) };
        if card.name != new.name.trim() {
            return Err(Refusal::conflict(
                "account.other_name",
                format!("工号 {number} 在人员登记中是“{}”，与填写的姓名不同，请核对。", card.name),
            )
            .into());
        }
        if !card.in_post {
            return Err(Refusal::conflict(
                "account.left",
                format!("{}（工号 {number}）在人员登记中已离岗，请先在人员登记中恢复在岗。", card.name),
            )
            .into());
        }
        Ok(())
    }

    /// The member of staff behind a new account, registered if need be. Nobody without an institution is on a register.
    async fn staff_in(&self, tx: &mut Tx<'_>, login: &str, new: &NewAccount) -> Result<Option<StaffId>> {
        let (Some(register), Some(institution)) = (&self.staff, new.institution) else { return Ok(None) };
        let staff = NewStaff {
            name: new.name.trim().to_owned(),
            staff_no: staff_number(login, new).to_owned(),
            institution,
            department: String::new(),
            title: String::new(),
        };
        let id = register.register(tx, &staff, self.clock.now()).await?;
        if let Some(other) = store::login_of_staff(tx, id, None).await? {
            return Err(Refusal::conflict(
                "account.has_one",
                format!("{}已有账号“{other}”，一人一个账号。如忘记密码请重置，如已停用请恢复。", new.name),
            )
            .into());
        }
        Ok(Some(id))
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

    pub(crate) async fn audit(
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

/// The number in the register: the institution's, or the login name where it gives none.
fn staff_number<'a>(login: &'a str, new: &'a NewAccount) -> &'a str {
    match new.staff_no.trim() {
        "" => login,
        number => number,
    }
}

pub(crate) fn login_taken(login: &str) -> Refusal {
    Refusal::conflict("account.login_taken", format!("登录名“{login}”已被使用，请换一个。"))
}

/// Machine clients and embedded workstations have no account.
pub(crate) fn no_account() -> Refusal {
    Refusal::not_found("account.none", "当前登录方式没有个人账号。")
}
