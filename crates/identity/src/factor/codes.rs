//! Acts on one-time codes and recovery codes; what tells a person that their ways to sign in changed.

use ::store::{AuditEntry, Tx, audit};
use contracts::{Notice, NoticeTo, Notices};
use kernel::{AccountId, Caller, Id, Purpose, Refusal, RefusalKind, Result};
use web::route::STEP_UP;

use super::store;
use crate::account::no_account;
use crate::{Identity, factor};

/// A change of what proves a person wants a fresh proof: an open screen must not become a second factor of somebody
/// else.
pub(crate) fn fresh(caller: &Caller) -> Result<AccountId, Refusal> {
    let account = caller.account.ok_or_else(no_account)?;
    if caller.assurance.fresh {
        return Ok(account);
    }
    Err(Refusal::forbidden(STEP_UP, "修改登录方式前需要先重新验证您的身份。"))
}

impl Identity {
    /// Begins the enrolment of one-time codes, or goes on with one: the secret.
    pub async fn begin_codes(&self, caller: &Caller) -> Result<Vec<u8>> {
        let account = fresh(caller)?;
        let now = self.clock.now();
        let secret = self.db.transaction(async |tx| store::begin(tx, account, now).await).await?;
        Ok(secret.ok_or_else(|| {
            Refusal::conflict("code.enrolled", "您已在使用动态口令。如需更换手机，请先停用，再重新设置。")
        })?)
    }

    /// Confirms the enrolment by a first code; the recovery codes, shown once.
    pub async fn confirm_codes(&self, caller: &Caller, code: &str) -> Result<Vec<String>> {
        let account = fresh(caller)?;
        let now = self.clock.now();
        let codes = self
            .db
            .transaction(async |tx| {
                if !store::use_code(tx, account, code, true, now).await? {
                    return Err(Refusal::new(
                        RefusalKind::Invalid,
                        "code.wrong",
                        "动态口令不正确，尚未启用。请确认手机时间准确，输入应用中当前显示的 6 位数字。",
                    )
                    .into());
                }
                self.audit_factor(tx, caller, "factor.code.add").await?;
                store::new_recovery(tx, account, now).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(codes)
    }

    /// Takes the one-time codes of one's own account away.
    pub async fn remove_codes(&self, caller: &Caller) -> Result<()> {
        let account = fresh(caller)?;
        self.may_do_without(caller, account, true).await?;
        self.db
            .transaction(async |tx| {
                store::remove(tx, account).await?;
                self.audit_factor(tx, caller, "factor.code.remove").await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }

    /// New recovery codes in place of the former ones.
    pub async fn renew_recovery(&self, caller: &Caller) -> Result<Vec<String>> {
        let account = fresh(caller)?;
        if !store::of(self.db.pool(), account).await?.second() {
            return Err(
                Refusal::conflict("recovery.nothing", "尚未设置动态口令或通行密钥，不需要备用码。").into()
            );
        }
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                self.audit_factor(tx, caller, "factor.recovery.renew").await?;
                store::new_recovery(tx, account, now).await
            })
            .await
    }

    /// Refuses to take away the last second factor where the operator wants one.
    pub(crate) async fn may_do_without(
        &self,
        caller: &Caller,
        account: AccountId,
        codes: bool,
    ) -> Result<()> {
        let has = store::of(self.db.pool(), account).await?;
        let left = if codes { has.passkeys > 0 } else { has.code || has.passkeys > 1 };
        let wanted = factor::required(&self.options, &self.catalog, &caller.roles);
        if wanted && !left {
            return Err(Refusal::conflict(
                "factor.required",
                "您的岗位必须使用第二因素登录，不能停用最后一种。请先添加另一种登录方式。",
            )
            .into());
        }
        Ok(())
    }

    /// Writes down a change of the caller's own factors, and tells the person: whoever else did it is found out.
    pub(crate) async fn audit_factor(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        act: &'static str,
    ) -> Result<()> {
        let told = match act {
            "factor.code.add" => "您的账号已启用动态口令",
            "factor.code.remove" => "您的账号已停用动态口令",
            "factor.recovery.renew" => "您的账号更换了备用码",
            "factor.passkey.add" => "您的账号添加了通行密钥",
            "factor.passkey.remove" => "您的账号删除了通行密钥",
            _ => "",
        };
        if let (false, Some(account)) = (told.is_empty(), caller.account) {
            self.tell_owner(tx, account, told).await?;
        }
        let entry = AuditEntry {
            act,
            object_kind: "account",
            object_id: caller.account.map(Id::get),
            object_label: caller.name.clone(),
            ..AuditEntry::default()
        };
        audit::record(tx, caller, &Purpose::of(""), self.clock.now(), &entry).await
    }

    /// Tells the owner of an account that a way to sign in changed, in the transaction of the change.
    pub(crate) async fn tell_owner(&self, tx: &mut Tx<'_>, account: AccountId, what: &str) -> Result<()> {
        let notice = Notice {
            title: format!("{what}。不是您本人办理的，请立即修改密码并告知本单位管理员。"),
            link: "/account".to_owned(),
            urgent: true,
        };
        crate::notice::Sender.send(tx, NoticeTo::Account(account), &notice, self.clock.now()).await
    }
}
