//! The steps of an account's life: who, when, why; and what follows from the registers (moved, left) and from time
//! (dormant).

use ::store::jobs::{self, Job, Jobs};
use ::store::{AuditEntry, DbDoing, Tx, audit};
use chrono::{DateTime, Duration, Utc};
use contracts::StaffMoved;
use kernel::{AccountId, Caller, Id, Purpose, Refusal, Result};
use sqlx::PgPool;

use super::store;
use crate::row::row;
use crate::{Identity, grants, session, sign_in};

/// A step that an administrator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// No more sign-in: left, or not needed any more.
    Close,
    /// Sign-in again, after closing or dormancy.
    Reopen,
    /// No sign-in until unlocked: something is to be looked into.
    Lock,
    /// Ends a lock, and forgets failed sign-ins.
    Unlock,
    /// The new unit takes over somebody who moved there, in this role.
    Confirm {
        /// Role code.
        role: String,
    },
}

impl Change {
    /// Act in the trail, states it starts from, state it leads to.
    fn plan(&self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Change::Close => ("account.close", &["open", "locked", "moved", "dormant"], "closed"),
            Change::Reopen => ("account.reopen", &["closed", "dormant"], "open"),
            Change::Lock => ("account.lock", &["open"], "locked"),
            Change::Unlock => ("account.unlock", &["open", "locked"], "open"),
            Change::Confirm { .. } => ("account.confirm", &["moved"], "open"),
        }
    }
}

/// The Chinese name of a state.
pub fn state_name(state: &str) -> &'static str {
    match state {
        "open" => "正常",
        "locked" => "已锁定",
        "moved" => "待新单位确认",
        "dormant" => "长期未登录停用",
        _ => "已停用",
    }
}

/// The Chinese name of a step.
pub fn step_name(act: &str) -> &'static str {
    match act {
        "open" => "开通",
        "account.close" => "停用",
        "account.reopen" => "恢复使用",
        "account.lock" => "锁定",
        "account.unlock" => "解锁",
        "account.confirm" => "确认调入",
        "moved" => "调动",
        "left" => "离岗停用",
        "dormant" => "长期未登录停用",
        "reset_password" => "重置密码",
        "reset_factors" => "清除第二因素",
        _ => "其他",
    }
}

/// One step, for the account's page.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub act: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by_name: String,
}
row!(Step { at, act, reason, by_name });

/// The steps of an account, newest first.
pub async fn steps(pool: &PgPool, account: AccountId) -> Result<Vec<Step>> {
    sqlx::query_as(
        "select at, act, reason, by_name from account_step where account_id = $1 order by id desc limit 100",
    )
    .bind(account.get())
    .fetch_all(pool)
    .await
    .db("read the steps of an account")
}

/// Writes down a step; an empty state stays what it was.
pub(crate) async fn note(
    tx: &mut Tx<'_>,
    account: AccountId,
    act: &str,
    state: &str,
    reason: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into account_step (account_id, at, act, state, reason, by_name)
         select id, $2, $3, coalesce(nullif($4, ''), state), $5, $6 from account where id = $1",
    )
    .bind(account.get())
    .bind(now)
    .bind(act)
    .bind(state)
    .bind(reason)
    .bind(by)
    .execute(&mut **tx)
    .await
    .db("write down a step of an account")?;
    Ok(())
}

/// A reason as it is kept.
pub(crate) fn reasoned(reason: &str) -> Result<String, Refusal> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 200 {
        return Err(Refusal::invalid(
            "account.reason",
            "请填写原因（200 字以内），会记入账号的变更记录和审计日志。",
        ));
    }
    Ok(reason.to_owned())
}

const STAFF_MOVED: &str = "identity.staff_moved";
const DORMANT: &str = "identity.dormant";

/// Accounts that a round makes dormant at most; more of them go with the next.
const ROUND: i64 = 1000;

/// Registers what follows from events of the register of staff, and from time.
pub(crate) fn register(identity: &Identity, jobs: &mut Jobs) {
    let moving = identity.clone();
    jobs.on(STAFF_MOVED, move |job: Job| {
        let identity = moving.clone();
        async move { identity.staff_moved(&job.read()?).await }
    });
    jobs.subscribe(StaffMoved::TOPIC, STAFF_MOVED);
    let resting = identity.clone();
    jobs.on(DORMANT, move |_| {
        let identity = resting.clone();
        async move { identity.daily().await }
    });
}

impl Identity {
    /// Asks for the daily round, today if it has not been asked for; safe to repeat at every start.
    pub async fn schedule_daily(&self) -> Result<()> {
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                jobs::enqueue_at(tx, DORMANT, "", &serde_json::json!({}), Some("daily"), now).await?;
                Ok(())
            })
            .await
    }

    async fn daily(&self) -> Result<()> {
        self.make_dormant().await?;
        let tomorrow = self.clock.now() + Duration::days(1);
        self.db
            .transaction(async |tx| {
                jobs::enqueue_at(tx, DORMANT, "", &serde_json::json!({}), Some("daily"), tomorrow).await?;
                Ok(())
            })
            .await
    }

    /// Takes a step on behalf of an administrator.
    pub async fn change_account(
        &self,
        account: AccountId,
        change: &Change,
        reason: &str,
        by: &Caller,
    ) -> Result<()> {
        let (act, from, to) = change.plan();
        let reason = reasoned(reason)?;
        if matches!(change, Change::Close | Change::Lock) && by.account == Some(account) {
            return Err(
                Refusal::conflict("account.own", "不能停用或锁定自己的账号，请由其他管理员操作。").into()
            );
        }
        if *change == Change::Reopen {
            self.check_in_post(account).await?;
        }
        let now = self.clock.now();
        self.db
            .transaction(async |tx| {
                let staff = store::staff_of(tx, account).await?;
                if let Some(staff) = staff
                    && let Some(other) = store::login_of_staff(tx, staff, Some(account)).await?
                {
                    return Err(Refusal::conflict(
                        "account.has_one",
                        format!("该人员已有另一个账号“{other}”，不能同时使用两个。"),
                    )
                    .into());
                }
                let Some(login) = store::set_state(tx, account, from, to, &reason, now).await? else {
                    return Err(Refusal::conflict(
                        "account.state",
                        "账号的状态已变化，不能这样做。请刷新页面查看当前状态。",
                    )
                    .into());
                };
                if let Change::Confirm { role } = change {
                    store::set_role(tx, account, role, &by.name, now).await?;
                    self.check_together(tx, account).await?;
                }
                if to == "open" {
                    sign_in::clear_guard(tx, &login).await?;
                } else {
                    session::end_all_of(tx, account).await?;
                }
                note(tx, account, act, to, &reason, &by.name, now).await?;
                let detail = serde_json::json!({ "reason": reason });
                self.audit(tx, by, act, account, &login, Some(detail)).await
            })
            .await?;
        self.gatekeeper.forget_account(account);
        Ok(())
    }

    /// Who has left gets no account back before the register says that they are in post.
    async fn check_in_post(&self, account: AccountId) -> Result<()> {
        let Some(register) = &self.staff else { return Ok(()) };
        let row = store::by_id(self.db.pool(), account).await?.ok_or_else(super::no_account)?;
        let Some(staff) = row.staff_id else { return Ok(()) };
        match register.by_id(Id::new(staff)).await? {
            Some(card) if !card.in_post => Err(Refusal::conflict(
                "account.left",
                format!("{}在人员登记中已离岗，请先在人员登记中恢复在岗。", card.name),
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Somebody changed unit or left: the account follows. Safe to repeat.
    pub async fn staff_moved(&self, moved: &StaffMoved) -> Result<()> {
        let by = Caller::system("人员登记");
        let now = self.clock.now();
        let to = match moved.to_institution {
            Some(id) => match self.institutions.by_id(Id::new(id)) {
                Some(card) => Some(card),
                None => return Err(kernel::Error::fault("move an account", format!("no institution {id}"))),
            },
            None => None,
        };
        let name = |id: i64| {
            self.institutions.by_id(Id::new(id)).map_or_else(|| "原单位".to_owned(), |card| card.name.clone())
        };
        let from = name(moved.from_institution);
        let changed = self
            .db
            .transaction(async |tx| {
                let found = match &to {
                    Some(card) => store::move_to(tx, moved.staff_id, card.id, &card.region, now).await?,
                    None => store::close_of_staff(tx, moved.staff_id, now).await?,
                };
                let Some((account, login)) = found else { return Ok(None) };
                let (act, reason) = match &to {
                    Some(card) => {
                        ("moved", format!("由{from}调入{}，原角色终止，待新单位管理员确认", card.name))
                    }
                    None => ("left", format!("从{from}离岗")),
                };
                session::end_all_of(tx, account).await?;
                sign_in::clear_guard(tx, &login).await?;
                grants::store::withdraw_all(tx, account, &by.name, &reason, now).await?;
                note(tx, account, act, "", &reason, &by.name, now).await?;
                let act = if to.is_some() { "account.moved" } else { "account.left" };
                let detail = serde_json::json!({ "reason": reason });
                self.audit(tx, &by, act, account, &login, Some(detail)).await?;
                Ok(Some(account))
            })
            .await?;
        if let Some(account) = changed {
            self.gatekeeper.forget_account(account);
        }
        Ok(())
    }

    /// Puts accounts out of use that nobody has signed in with for long; how many.
    pub async fn make_dormant(&self) -> Result<usize> {
        let days = self.options.whole("sign_in.dormant_days");
        if days <= 0 {
            return Ok(0);
        }
        let now = self.clock.now();
        let by = Caller::system("长期未登录检查");
        let reason = format!("{days} 天没有登录");
        let gone: Vec<i64> = self
            .db
            .transaction(async |tx| {
                let gone: Vec<i64> = sqlx::query_scalar(
                    "update account set state = 'dormant', state_since = $1, state_reason = $3
                     where id in (select id from account
                        where state = 'open' and coalesce(last_sign_in_at, created_at) < $2
                          and coalesce(state_since, created_at) < $2
                        order by id limit $4 for update)
                     returning id",
                )
                .bind(now)
                .bind(now - Duration::days(days))
                .bind(&reason)
                .bind(ROUND)
                .fetch_all(&mut **tx)
                .await
                .db("find accounts that nobody uses")?;
                if gone.is_empty() {
                    return Ok(gone);
                }
                sqlx::query("delete from session where account_id = any ($1)")
                    .bind(&gone)
                    .execute(&mut **tx)
                    .await
                    .db("end the sessions of dormant accounts")?;
                sqlx::query(
                    "insert into account_step (account_id, at, act, state, reason, by_name)
                     select unnest($1::bigint[]), $2, 'dormant', 'dormant', $3, $4",
                )
                .bind(&gone)
                .bind(now)
                .bind(&reason)
                .bind(&by.name)
                .execute(&mut **tx)
                .await
                .db("write down that accounts are dormant")?;
                let entry = AuditEntry {
                    act: "account.dormant",
                    object_kind: "account",
                    object_label: format!("{} 个账号", gone.len()),
                    detail: Some(serde_json::json!({ "reason": reason, "accounts": gone })),
                    ..AuditEntry::default()
                };
                audit::record(tx, &by, &Purpose::of(""), now, &entry).await?;
                Ok(gone)
            })
            .await?;
        for account in &gone {
            self.gatekeeper.forget_account(Id::new(*account));
        }
        Ok(gone.len())
    }
}
