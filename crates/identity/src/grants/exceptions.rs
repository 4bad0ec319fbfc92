//! Exceptions for a time (例外授权): asked for by one, approved by another, over by itself.

use std::collections::{HashMap, HashSet};

use ::store::{AuditEntry, DbDoing, audit};
use chrono::{DateTime, Duration, Utc};
use contracts::Whereabouts;
use kernel::access::InstitutionId;
use kernel::{AccountId, Act, Caller, Id, Line, Purpose, Refusal, RegionCode, Result};

use super::rules::{self, Target};
use crate::Identity;
use crate::account::store as accounts;
use crate::row::row;

/// The longest that an exception may hold until the setting is read from the catalogue.
const LONGEST: Duration = Duration::days(90);

/// What an exception opens, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opens {
    /// A person.
    Person(i64),
    /// An institution.
    Institution(InstitutionId),
    /// A division.
    Region(RegionCode),
}

/// An exception that is asked for.
#[derive(Debug, Clone)]
pub struct NewException {
    /// Who is to hold it.
    pub account: AccountId,
    /// Line.
    pub line: Line,
    /// Act.
    pub act: Act,
    /// What it opens.
    pub opens: Opens,
    /// Why.
    pub reason: String,
    /// Its end.
    pub until: DateTime<Utc>,
}

/// An exception.
#[derive(Debug, Clone)]
pub struct ExceptionRow {
    /// Names it.
    pub id: i64,
    /// Whose it is to be.
    pub account_id: i64,
    /// Their name.
    pub holder: String,
    /// Account that asked.
    pub asked_by: i64,
    /// Name of who asked.
    pub asked_by_name: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// Line.
    pub line: String,
    /// Act.
    pub act: String,
    /// `person`, `institution`, `region` or `team`.
    pub target: String,
    /// The person.
    pub person_id: Option<i64>,
    /// The institution.
    pub institution_id: Option<i32>,
    /// The division.
    pub region: Option<String>,
    /// As people name what it opens.
    pub target_label: String,
    /// Why.
    pub reason: String,
    /// From when.
    pub since: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// `asked`, `approved`, `refused`, `revoked`, `dropped`.
    pub state: String,
    /// Who decided.
    pub decided_by_name: String,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// With which words.
    pub decision_note: String,
    /// Who ended it early.
    pub ended_by_name: String,
    /// When.
    pub ended_at: Option<DateTime<Utc>>,
}
row!(ExceptionRow {
    id,
    account_id,
    holder,
    asked_by,
    asked_by_name,
    asked_at,
    line,
    act,
    target,
    person_id,
    institution_id,
    region,
    target_label,
    reason,
    since,
    until,
    state,
    decided_by_name,
    decided_at,
    decision_note,
    ended_by_name,
    ended_at
});

impl ExceptionRow {
    /// The state in words at a moment.
    pub fn state_name(&self, now: DateTime<Utc>) -> &'static str {
        match self.state.as_str() {
            "asked" if self.until <= now => "逾期未批",
            "asked" => "待审批",
            "approved" if self.until <= now => "已到期",
            "approved" => "生效中",
            "refused" => "未批准",
            "revoked" => "已撤销",
            _ => "已撤回",
        }
    }
    /// Whether it holds.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.state == "approved" && self.since <= now && now < self.until
    }
    /// Whether it waits for a decision.
    pub fn waits(&self, now: DateTime<Utc>) -> bool {
        self.state == "asked" && now < self.until
    }
    /// Line and act in words.
    pub fn right(&self) -> String {
        let line = Line::of_code(&self.line).map_or(self.line.as_str(), |line| line.name());
        let act = Act::of_code(&self.act).map_or(self.act.as_str(), |act| act.name());
        format!("{line}·{act}")
    }
}

/// Where what an exception opens lies, for whoever decides; `None` when it is not there any more.
fn target_of(row: &ExceptionRow, people: &HashMap<i64, Whereabouts>) -> Option<Target> {
    match row.target.as_str() {
        "person" => {
            let found = people.get(&row.person_id?)?;
            Some(Target::Person { region: found.region, institutions: found.institutions.clone() })
        }
        "institution" => row.institution_id.map(|id| Target::Institution(Id::new(i64::from(id)))),
        "team" => row.institution_id.map(|id| Target::Team(Id::new(i64::from(id)))),
        _ => row.region.as_deref().and_then(|r| RegionCode::parse(r).ok()).map(Target::Region),
    }
}

/// Which exceptions a list shows.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Those that this account asked for or holds.
    pub own: Option<AccountId>,
    /// Those that wait, at this moment.
    pub waiting_at: Option<DateTime<Utc>>,
    /// In this state.
    pub state: String,
    /// With this in holder, target or reason.
    pub text: String,
    /// Older than this one: the next page.
    pub before: Option<i64>,
}

impl Identity {
    /// Exceptions, newest first.
    pub async fn exceptions(&self, which: &Which, limit: i64) -> Result<Vec<ExceptionRow>> {
        sqlx::query_as(
            "select e.*, a.name as holder from access_exception e join account a on a.id = e.account_id
             where ($1::bigint is null or e.account_id = $1 or e.asked_by = $1)
               and ($2::timestamptz is null or (e.state = 'asked' and e.until > $2))
               and ($3 = '' or e.state = $3)
               and ($4 = '' or a.name like $4 or e.target_label like $4 or e.reason like $4)
               and ($5::bigint is null or e.id < $5)
             order by e.id desc limit $6",
        )
        .bind(which.own.map(Id::get))
        .bind(which.waiting_at)
        .bind(&which.state)
        .bind(accounts::contains(&which.text))
        .bind(which.before)
        .bind(limit)
        .fetch_all(self.db.pool())
        .await
        .db("list exceptions")
    }

    /// An exception by its number.
    pub async fn exception(&self, id: i64) -> Result<Option<ExceptionRow>> {
        sqlx::query_as(
            "select e.*, a.name as holder from access_exception e join account a on a.id = e.account_id
             where e.id = $1",
        )
        .bind(id)
        .fetch_optional(self.db.pool())
        .await
        .db("read an exception")
    }

    /// Whether a caller may decide about an exception.
    pub(crate) async fn may_decide(&self, by: &Caller, row: &ExceptionRow) -> Result<Result<(), Refusal>> {
        let said = self.may_decide_all(by, std::slice::from_ref(row)).await?;
        Ok(said.into_iter().next().unwrap_or_else(|| Err(gone())))
    }

    /// Whether a caller may decide about each of these exceptions, with two queries however many there are.
    pub(crate) async fn may_decide_all(
        &self,
        by: &Caller,
        rows: &[ExceptionRow],
    ) -> Result<Vec<Result<(), Refusal>>> {
        let own = by.account.map(Id::get);
        let concerned = |row: &ExceptionRow| own == Some(row.account_id) || own == Some(row.asked_by);
        let persons: Vec<i64> =
            rows.iter().filter(|row| row.target == "person").filter_map(|row| row.person_id).collect();
        let whereabouts = match &self.people {
            Some(people) => people.whereabouts(&persons).await?,
            None => HashMap::new(),
        };
        let others: Vec<i64> = rows.iter().filter(|row| !concerned(row)).map(|row| row.account_id).collect();
        let holders = accounts::by_ids(self.db.pool(), &others).await?;
        // The same person may hold several accounts over time.
        let oneself: HashSet<i64> =
            holders.iter().filter(|holder| self.is_oneself(by, holder)).map(|holder| holder.id).collect();
        let decide = |row: &ExceptionRow| {
            let line = Line::of_code(&row.line).ok_or_else(gone)?;
            let target = target_of(row, &whereabouts).ok_or_else(gone)?;
            let concerned = concerned(row) || oneself.contains(&row.account_id);
            rules::may_decide(&by.grants, line, &target, concerned, |id| self.region_of(id))
        };
        Ok(rows.iter().map(decide).collect())
    }

    /// Asks for an exception.
    pub async fn ask_exception(&self, new: &NewException, by: &Caller) -> Result<i64> {
        let now = self.clock.now();
        let asked_by = by.account.ok_or_else(crate::account::no_account)?;
        let holder = accounts::by_id(self.db.pool(), new.account)
            .await?
            .ok_or_else(|| Refusal::not_found("account.none", "没有这个账号。"))?;
        let holds = super::store::of_account(self.db.pool(), new.account).await?;
        let administers = holds
            .iter()
            .filter(|held| held.holds(now))
            .filter_map(|held| self.role(&held.role))
            .any(|role| role.administrator || role.duty().is_some());
        rules::may_ask(new.line, new.act, administers)?;
        if !(5..=500).contains(&new.reason.trim().chars().count()) {
            return Err(Refusal::invalid(
                "exception.reason",
                "请写明事由（5 至 500 个字）：为什么需要、用来做什么。",
            )
            .into());
        }
        let longest = self.longest_exception();
        if new.until <= now || new.until > now + longest {
            return Err(Refusal::invalid(
                "exception.until",
                format!("截止时间应在今天之后、{} 天之内。", longest.num_days()),
            )
            .into());
        }
        let (target, person, institution, region, label) = self.described(&new.opens).await?;
        self.db
            .transaction(async |tx| {
                let id: i64 = sqlx::query_scalar(
                    "insert into access_exception (account_id, asked_by, asked_by_name, asked_at, line, act, target,
                        person_id, institution_id, region, target_label, reason, since, until)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $4, $13) returning id",
                )
                .bind(new.account.get())
                .bind(asked_by.get())
                .bind(&by.name)
                .bind(now)
                .bind(new.line.code())
                .bind(new.act.code())
                .bind(target)
                .bind(person)
                .bind(institution)
                .bind(&region)
                .bind(&label)
                .bind(new.reason.trim())
                .bind(new.until)
                .fetch_one(&mut **tx)
                .await
                .db("ask for an exception")?;
                let detail = serde_json::json!({
                    "holder": holder.login, "right": format!("{}.{}", new.line.code(), new.act.code()),
                    "target": label, "until": new.until, "reason": new.reason.trim(),
                });
                audit::record(tx, by, &Purpose::of("administration"), now, &entry("exception.ask", id, person, detail))
                    .await?;
                Ok(id)
            })
            .await
    }

    /// The longest that an exception may hold.
    pub(crate) fn longest_exception(&self) -> Duration {
        match self.options.whole("access.exception_days") {
            0 => LONGEST,
            days => Duration::days(days),
        }
    }

    async fn described(
        &self,
        opens: &Opens,
    ) -> Result<(&'static str, Option<i64>, Option<i32>, Option<String>, String)> {
        Ok(match opens {
            Opens::Person(person) => {
                let known = match &self.people {
                    Some(people) => people.whereabouts(&[*person]).await?.remove(person),
                    None => None,
                };
                let name = known
                    .ok_or_else(|| {
                        Refusal::invalid("exception.person", "没有找到这位居民，请核对证件号码。")
                    })?
                    .name;
                let shown = self.catalog.masks.at(catalog::MaskLevel::Part, "name", &name);
                ("person", Some(*person), None, None, format!("居民 {shown}"))
            }
            Opens::Institution(id) => {
                let card = self.institutions.by_id(*id).ok_or_else(|| {
                    Refusal::invalid("exception.institution", "没有这个机构，请从列表中选择。")
                })?;
                ("institution", None, i32::try_from(id.get()).ok(), None, card.name.clone())
            }
            Opens::Region(region) => {
                if *region == RegionCode::NATION {
                    return Err(Refusal::invalid("exception.region", "请选择一个行政区划。").into());
                }
                (
                    "region",
                    None,
                    None,
                    Some(region.as_str().to_owned()),
                    self.institutions.region_name(region),
                )
            }
        })
    }

    /// Approves or refuses an exception.
    pub async fn decide_exception(&self, id: i64, approve: bool, note: &str, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let row = self.exception(id).await?.ok_or_else(gone)?;
        self.may_decide(by, &row).await??;
        if !approve && note.trim().is_empty() {
            return Err(Refusal::invalid("exception.note", "不批准时请写明理由。").into());
        }
        self.db
            .transaction(async |tx| {
                let done = sqlx::query(
                    "update access_exception set state = $2, decided_by = $3, decided_by_name = $4, decided_at = $5,
                        decision_note = $6, since = greatest(since, $5)
                     where id = $1 and state = 'asked' and until > $5",
                )
                .bind(id)
                .bind(if approve { "approved" } else { "refused" })
                .bind(by.account.map(Id::get))
                .bind(&by.name)
                .bind(now)
                .bind(note.trim())
                .execute(&mut **tx)
                .await
                .db("decide about an exception")?;
                if done.rows_affected() == 0 {
                    return Err(Refusal::conflict("exception.decided", "这项申请已经有人处理，或已过期。").into());
                }
                let act = if approve { "exception.approve" } else { "exception.refuse" };
                let detail = serde_json::json!({
                    "holder": row.holder, "right": row.right(), "target": row.target_label, "until": row.until,
                    "note": note.trim(),
                });
                audit::record(tx, by, &Purpose::of("administration"), now, &entry(act, id, row.person_id, detail)).await
            })
            .await?;
        self.gatekeeper.forget_account(Id::new(row.account_id));
        Ok(())
    }

    /// Ends an exception early: who asked takes it back, its holder gives it up, or whoever could decide revokes it.
    pub async fn end_exception(&self, id: i64, note: &str, by: &Caller) -> Result<()> {
        let now = self.clock.now();
        let row = self.exception(id).await?.ok_or_else(gone)?;
        let own = by.account.map(Id::get);
        let concerned = own == Some(row.account_id) || own == Some(row.asked_by);
        let oversees = by.grants.iter().any(|g| {
            g.line == Line::Security
                && g.act == Act::Approve
                && matches!(g.span, kernel::Span::Region(wide) if self.holder_region(&row).is_some_and(|r| wide.contains(&r)))
        });
        if !concerned && !oversees {
            self.may_decide(by, &row).await??;
        }
        let state = if row.state == "asked" { "dropped" } else { "revoked" };
        self.db
            .transaction(async |tx| {
                let done = sqlx::query(
                    "update access_exception set state = $2, ended_by_name = $3, ended_at = $4, end_note = $5
                     where id = $1 and state in ('asked', 'approved') and until > $4",
                )
                .bind(id)
                .bind(state)
                .bind(&by.name)
                .bind(now)
                .bind(note.trim())
                .execute(&mut **tx)
                .await
                .db("end an exception")?;
                if done.rows_affected() == 0 {
                    return Err(Refusal::conflict("exception.over", "这项例外授权已经结束。").into());
                }
                let detail =
                    serde_json::json!({ "holder": row.holder, "right": row.right(), "note": note.trim() });
                audit::record(
                    tx,
                    by,
                    &Purpose::of("administration"),
                    now,
                    &entry("exception.end", id, row.person_id, detail),
                )
                .await
            })
            .await?;
        self.gatekeeper.forget_account(Id::new(row.account_id));
        Ok(())
    }

    /// The division of what an exception opens, for whoever watches over security there.
    fn holder_region(&self, row: &ExceptionRow) -> Option<RegionCode> {
        match (row.institution_id, &row.region) {
            (Some(id), _) => self.institutions.by_id(Id::new(i64::from(id))).map(|card| card.region),
            (None, Some(region)) => RegionCode::parse(region).ok(),
            // A person's place is asked for by `may_decide`.
            (None, None) => None,
        }
    }
}

fn entry(act: &'static str, id: i64, person: Option<i64>, detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        act,
        object_kind: "exception",
        object_id: Some(id),
        object_label: format!("例外授权 {id}"),
        person_id: person,
        detail: Some(detail),
        ..AuditEntry::default()
    }
}

fn gone() -> Refusal {
    Refusal::not_found("exception.none", "没有这项例外授权，或它不在您的权限范围内。")
}
