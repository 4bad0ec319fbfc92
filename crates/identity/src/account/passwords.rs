//! Changing and resetting passwords; former ones are not chosen again.

use ::store::{DbDoing, Tx};
use chrono::{DateTime, Utc};
use kernel::{AccountId, Caller, Refusal, Result};
use sqlx::PgPool;

use super::{no_account, store};
use crate::policy::{Owner, Policy};
use crate::session::{Lives, Opening};
use crate::sign_in::{self, rules::Limits};
use crate::{Identity, factor, secret, session};

/// Hashes of former passwords, newest first.
async fn former(pool: &PgPool, account: AccountId, limit: i64) -> Result<Vec<String>> {
    sqlx::query_scalar("select hash from password_history where account_id = $1 order by id desc limit $2")
        .bind(account.get())
        .bind(limit)
        .fetch_all(pool)
        .await
        .db("read former passwords")
}

/// Keeps a hash among the former ones, and no more of them than can be asked for.
async fn keep(tx: &mut Tx<'_>, account: AccountId, hash: &str, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("insert into password_history (account_id, hash, at) values ($1, $2, $3)")
        .bind(account.get())
        .bind(hash)
        .bind(now)
        .execute(&mut **tx)
        .await
        .db("keep a former password")?;
    sqlx::query(
        "delete from password_history where account_id = $1 and id in
            (select id from password_history where account_id = $1 order by id desc offset 10)",
    )
    .bind(account.get())
    .execute(&mut **tx)
    .await
    .db("forget the oldest passwords")?;
    Ok(())
}

impl Identity {
    /// Sets a new first password that must be changed at the next sign-in; the password, to be told once.
    pub async fn reset_password(&self, account: AccountId, reason: &str, by: &Caller) -> Result<String> {
        let reason = super::life::reasoned(reason)?;
        if by.account == Some(account) {
            return Err(Refusal::conflict("account.own", "请在“我的账号”中用现用密码修改自己的密码。").into());
        }
        let first = secret::random_password()?;
        let hash = self.hasher.hash(&first).await?;
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let login = store::set_password(tx, account, &hash, true, now).await?;
                session::end_all_of(tx, account).await?;
                sign_in::clear_guard(tx, &login).await?;
                super::life::note(tx, account, "reset_password", "", &reason, &by.name, now).await?;
                self.tell_owner(tx, account, "管理员重置了您的登录密码").await?;
                let detail = serde_json::json!({ "reason": reason });
                self.audit(tx, by, "account.reset_password", account, &login, Some(detail)).await
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
        let (now, limits) = (self.clock.now(), Limits::of(&self.options));
        let row = store::by_id(self.db.pool(), account).await?.ok_or_else(no_account)?;
        let admitted = self
            .db
            .transaction(async |tx| sign_in::count_attempt(tx, &row.login, &limits, now).await)
            .await?;
        if let Err(until) = admitted {
            return Err(sign_in::locked(until, now).into());
        }
        if !self.hasher.verify(present, Some(&row.password_hash)).await? {
            return Err(Refusal::invalid("password.wrong", "现用密码不正确，密码没有修改。").into());
        }
        let owner = Owner { login: &row.login, name: &row.name, unit: &caller.institution_name };
        Policy::of(&self.options).check(wanted, &owner)?;
        if wanted == present {
            return Err(Refusal::invalid("password.same", "新密码不能与现用密码相同。").into());
        }
        let remembered = self.options.whole("password.history");
        for hash in former(self.db.pool(), account, remembered).await? {
            if self.hasher.verify(wanted, Some(&hash)).await? {
                return Err(Refusal::invalid(
                    "password.used_before",
                    format!("新密码不能与最近 {remembered} 次用过的密码相同，请换一个。"),
                )
                .into());
            }
        }
        let hash = self.hasher.hash(wanted).await?;
        let lives = Lives::of(&self.options);
        let opening =
            Opening { address: &caller.address, agent, factor: caller.assurance.factor, new_device: false };
        let token = self
            .db
            .transaction(async |tx| {
                store::set_password(tx, account, &hash, false, now).await?;
                keep(tx, account, &row.password_hash, now).await?;
                sign_in::clear_guard(tx, &row.login).await?;
                session::end_all_of(tx, account).await?;
                self.audit(tx, caller, "account.change_password", account, &row.login, None).await?;
                // Who was asked to change it knows.
                if !row.must_change {
                    self.tell_owner(tx, account, "您的登录密码已修改").await?;
                }
                session::create(tx, account, &opening, &lives, now).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(token)
    }

    /// Takes every second factor of an account away: its owner has lost them. They are asked for new ones where the
    /// operator wants one.
    pub async fn reset_factors(&self, account: AccountId, reason: &str, by: &Caller) -> Result<()> {
        let reason = super::life::reasoned(reason)?;
        if by.account == Some(account) {
            return Err(
                Refusal::conflict("account.own", "不能清除自己的登录方式，请由其他管理员操作。").into()
            );
        }
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let login = store::login_of(tx, account).await?;
                factor::store::remove(tx, account).await?;
                factor::passkey::store::remove_all(tx, account).await?;
                session::end_all_of(tx, account).await?;
                super::life::note(tx, account, "reset_factors", "", &reason, &by.name, now).await?;
                self.tell_owner(tx, account, "管理员清除了您的动态口令和通行密钥").await?;
                let detail = serde_json::json!({ "reason": reason });
                self.audit(tx, by, "account.reset_factors", account, &login, Some(detail)).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }
}
