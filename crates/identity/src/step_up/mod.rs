//! Step-up (重新验证): before a sensitive act somebody proves again who they are, and goes on where they were.
//!
//! ```text
//! route wants a fresh proof → /step-up (password and code, or passkey) → session gets a new token and a fresh proof
//!      → back to the page, or the form that was being sent is sent again
//! ```
//! A wrong proof counts as a failed sign-in, so that an open screen is no place to guess.

mod pages;

use ::store::{AuditEntry, audit};
use kernel::{AccountId, Caller, CallerKind, Factor, Id, Purpose, Refusal, RefusalKind, Result};
use web::{Access, Routes};

use crate::factor::{self, passkey};
use crate::sign_in::{self, rules::Limits};
use crate::{Identity, account, session};

/// The routes of step-up.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let own = Access::SignedIn("proving again who one is needs no right");
    Routes::new()
        .get("/step-up", own, pages::show)
        .post("/step-up", own, pages::submit)
        .post("/step-up/passkey/begin", own, pages::begin_passkey)
        .post("/step-up/passkey", own, pages::passkey)
        .with_state(identity.clone())
}

/// The account and session of whoever steps up.
fn own(caller: &Caller) -> Result<(AccountId, i64), Refusal> {
    match (caller.kind, caller.account, caller.session) {
        (CallerKind::Staff, Some(account), Some(session)) => Ok((account, session)),
        _ => Err(account::no_account()),
    }
}

impl Identity {
    /// Proves again by the password, and the code where the account has one: the token that the session has from now on.
    pub async fn step_up(&self, caller: &Caller, password: &str, code: &str) -> Result<String> {
        let (account, session) = own(caller)?;
        let (now, limits) = (self.clock.now(), Limits::of(&self.options));
        let row = account::store::by_id(self.db.pool(), account).await?.ok_or_else(account::no_account)?;
        let has = factor::store::of(self.db.pool(), account).await?;
        let admitted = self
            .db
            .transaction(async |tx| sign_in::count_attempt(tx, &row.login, &limits, now).await)
            .await?;
        if let Err(until) = admitted {
            self.note_step_up(caller, "locked").await?;
            return Err(sign_in::locked(until, now).into());
        }
        if !self.hasher.verify(password, Some(&row.password_hash)).await? {
            self.note_step_up(caller, "wrong_password").await?;
            return Err(wrong("密码不正确，请重新输入。").into());
        }
        let factor = if has.second() {
            // Who has a passkey and no codes may still use a recovery code here.
            if self.use_second(account, code).await?.is_none() {
                self.note_step_up(caller, "wrong_code").await?;
                return Err(wrong("动态口令不正确，或已经用过。请等应用显示下一个口令后再输入。").into());
            }
            Factor::Second
        } else {
            Factor::Single
        };
        self.proved(caller, session, factor, &row.login).await
    }

    /// Proves again by a passkey.
    pub async fn step_up_passkey(&self, caller: &Caller, given: &passkey::Assertion) -> Result<String> {
        let (account, session) = own(caller)?;
        let row = account::store::by_id(self.db.pool(), account).await?.ok_or_else(account::no_account)?;
        match self.passkey_used(passkey::STEP_UP, given).await {
            Ok(used) if used == account.get() => {
                self.proved(caller, session, Factor::Second, &row.login).await
            }
            Ok(_) => {
                self.note_step_up(caller, "wrong_passkey").await?;
                Err(wrong("这不是您本人的通行密钥。").into())
            }
            Err(error) => {
                self.note_step_up(caller, "wrong_passkey").await?;
                Err(error)
            }
        }
    }

    /// The session gets a new token, so that one that was stolen before does not share the fresh proof.
    pub(crate) async fn proved(
        &self,
        caller: &Caller,
        session: i64,
        factor: Factor,
        login: &str,
    ) -> Result<String> {
        let now = self.clock.now();
        let token = self
            .db
            .transaction(async |tx| {
                let token = session::rotate(tx, session, factor, now).await?;
                sign_in::clear_guard(tx, login).await?;
                let entry = AuditEntry {
                    act: "step_up",
                    object_kind: "account",
                    object_id: caller.account.map(Id::get),
                    object_label: login.to_owned(),
                    ..AuditEntry::default()
                };
                audit::record(tx, caller, &Purpose::of(""), now, &entry).await?;
                Ok(token)
            })
            .await?;
        if let Some(account) = caller.account {
            self.gatekeeper.forget_account(account);
        }
        Ok(token.ok_or_else(|| {
            Refusal::new(RefusalKind::Unauthenticated, "access.sign_in", "登录已退出，请重新登录。")
        })?)
    }

    async fn note_step_up(&self, caller: &Caller, outcome: &'static str) -> Result<()> {
        let now = self.clock.now();
        let entry = AuditEntry {
            act: "step_up",
            object_kind: "account",
            object_id: caller.account.map(Id::get),
            object_label: caller.name.clone(),
            outcome,
            ..AuditEntry::default()
        };
        self.db.transaction(async |tx| audit::record(tx, caller, &Purpose::of(""), now, &entry).await).await
    }
}

fn wrong(message: &str) -> Refusal {
    Refusal::invalid("step_up.wrong", message)
}
