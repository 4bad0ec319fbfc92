//! Giving roles and taking them away.

use ::store::{AuditEntry, Tx, audit};
use catalog::Role;
use chrono::{DateTime, Utc};
use kernel::access::InstitutionId;
use kernel::{AccountId, Caller, Purpose, Refusal, RegionCode, Result};

use super::rules::{self, Gift, Post};
use super::store::{self, Giving, HeldRow};
use crate::Identity;
use crate::account::store as accounts;

/// A role to be given.
#[derive(Debug, Clone)]
pub struct NewRole {
    /// Role code.
    pub role: String,
    /// Where.
    pub post: Post,
    /// Its end; `None`: without.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
}

impl Identity {
    /// The division of an institution; the nation for one that is not known, which nobody's right covers.
    pub(crate) fn region_of(&self, institution: InstitutionId) -> RegionCode {
        self.institutions.by_id(institution).map_or(RegionCode::NATION, |card| card.region)
    }

    /// The kind of unit of a post.
    pub(crate) fn unit_of(&self, post: &Post) -> String {
        match post.institution {
            None => "authority".to_owned(),
            Some(id) => {
                self.institutions.by_id(id).map_or_else(String::new, |card| card.sender_class.clone())
            }
        }
    }

    /// Whether `by` may give this role at this post to somebody who holds nothing yet; otherwise why not.
    pub fn may_appoint(&self, by: &Caller, role: &Role, post: &Post) -> Result<(), Refusal> {
        let unit = self.unit_of(post);
        let gift = Gift { role, post: *post, unit: &unit, to_oneself: false, held: Vec::new() };
        rules::may_assign(&by.grants, &gift, |id| self.region_of(id))
    }

    /// Gives a role to the holder of an account; refuses with the reason what `by` may not give.
    pub async fn give_role(&self, account: AccountId, new: &NewRole, by: &Caller) -> Result<i64> {
        let now = self.clock.now();
        let role = self
            .role(&new.role)
            .ok_or_else(|| Refusal::invalid("grants.unknown_role", "没有这个角色，请从列表中选择。"))?;
        if new.reason.trim().chars().count() < 2 || new.reason.chars().count() > 200 {
            return Err(Refusal::invalid("grants.reason", "请写明授权的理由（2 至 200 个字）。").into());
        }
        if new.until.is_some_and(|until| until <= now) {
            return Err(Refusal::invalid("grants.until", "截止时间应在今天之后。").into());
        }
        if role.needs_institution() && new.post.institution.is_none() {
            return Err(Refusal::invalid(
                "account.needs_institution",
                format!("角色“{}”须在一个机构任职，请选择机构。", role.name),
            )
            .into());
        }
        let row = accounts::by_id(self.db.pool(), account).await?.ok_or_else(no_account)?;
        let unit = self.unit_of(&new.post);
        let to_oneself = self.is_oneself(by, &row);
        let id = self
            .db
            .transaction(async |tx| {
                let codes = store::of_same_person(tx, account, now).await?;
                let held: Vec<&Role> = codes.iter().filter_map(|code| self.role(code)).collect();
                let gift = Gift { role, post: new.post, unit: &unit, to_oneself, held };
                rules::may_assign(&by.grants, &gift, |id| self.region_of(id))?;
                let giving = Giving {
                    by: by.account,
                    by_name: &by.name,
                    reason: new.reason.trim(),
                    now,
                    until: new.until,
                };
                let Some(id) = store::give(tx, account, &role.code, &new.post, giving).await? else {
                    return Err(Refusal::conflict(
                        "grants.held",
                        format!("此人在该单位已有角色“{}”。", role.name),
                    )
                    .into());
                };
                let entry = AuditEntry {
                    act: "role.give",
                    object_kind: "account",
                    object_id: Some(account.get()),
                    object_label: row.login.clone(),
                    detail: Some(serde_json::json!({
                        "role": role.code, "institution": new.post.institution, "region": new.post.region.as_str(),
                        "until": new.until, "reason": new.reason.trim(),
                    })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of("administration"), now, &entry).await?;
                Ok(id)
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(id)
    }

    /// Takes a role away.
    pub async fn withdraw_role(&self, held: &HeldRow, reason: &str, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let account = AccountId::new(held.account_id);
        let row = accounts::by_id(self.db.pool(), account).await?.ok_or_else(no_account)?;
        let post = held.post();
        // A role that the catalogue no longer has gives nothing: whoever manages the account may clear it away.
        let blank = Role { code: held.role.clone(), name: held.role.clone(), ..Role::default() };
        let role = self.role(&held.role).unwrap_or(&blank);
        let unit = self.unit_of(&post);
        let gift = Gift { role, post, unit: &unit, to_oneself: self.is_oneself(by, &row), held: Vec::new() };
        rules::may_withdraw(&by.grants, &gift, |id| self.region_of(id))?;
        self.db
            .transaction(async |tx| {
                if !store::withdraw(tx, held.id, &by.name, reason.trim(), now).await? {
                    return Err(Refusal::conflict("grants.gone", "这个角色已经撤销。").into());
                }
                let entry = AuditEntry {
                    act: "role.withdraw",
                    object_kind: "account",
                    object_id: Some(account.get()),
                    object_label: row.login.clone(),
                    detail: Some(serde_json::json!({ "role": held.role, "reason": reason.trim() })),
                    ..AuditEntry::default()
                };
                audit::record(tx, by, &Purpose::of("administration"), now, &entry).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }

    /// Refuses an account whose holder would hold roles that exclude each other, by this account or another of theirs.
    /// Called in the transaction that opens an account or changes its role.
    pub(crate) async fn check_together(&self, tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
        let codes = store::of_same_person(tx, account, self.clock.now()).await?;
        let held: Vec<&Role> = codes.iter().filter_map(|code| self.role(code)).collect();
        for (index, role) in held.iter().enumerate() {
            rules::compatible(role, &held[..index])?;
        }
        Ok(())
    }

    /// Whether an account is the caller's own, or another one of the same member of staff.
    pub(crate) fn is_oneself(&self, by: &Caller, row: &accounts::AccountRow) -> bool {
        let same_number = !row.staff_no.is_empty()
            && row.staff_no == by.staff_no
            && row.institution() == by.institution
            && row.region == by.region.as_str();
        let same_staff = same_number || by.staff.is_some_and(|staff| row.staff_id == Some(staff.get()));
        by.account.is_some_and(|own| own.get() == row.id) || same_staff
    }
}

fn no_account() -> Refusal {
    Refusal::not_found("account.none", "没有这个账号，或它不在您的辖区内。")
}
