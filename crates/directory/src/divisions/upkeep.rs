//! What a county keeps by itself: townships and villages added, renamed, classed, or struck off when nothing is left in
//! them. Filed as operations that are done at once, so that they have a history and an undo.

use kernel::error::Doing;
use kernel::{Reach, Refusal, RegionCode, Result, Tier};
use store::{DbDoing, Tx};

use super::operation::{lock, note, out_of_reach};
use super::plan::{self, Plan, Request, Unit, good_name, kind_name};
use super::{Divisions, edition, run};

/// What a county changes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upkeep {
    /// A new division under another; its number there, or the next free one.
    Add {
        /// Under which.
        under: RegionCode,
        /// Its own digits, e.g. `205`; empty for the next free ones.
        number: String,
        /// Its name.
        name: String,
        /// Its urban-rural class, or empty.
        class: String,
    },
    /// Another name or class.
    Change {
        /// Which.
        code: RegionCode,
        /// Its name.
        name: String,
        /// Its urban-rural class, or empty.
        class: String,
    },
    /// Struck off; nothing may be left in it.
    Abolish {
        /// Which.
        code: RegionCode,
    },
}

fn good_class(class: &str) -> Result<String, Refusal> {
    let class = class.trim();
    if class.is_empty() || class.len() == 3 && class.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(class.to_owned());
    }
    Err(Refusal::invalid("divisions.class", "城乡分类代码应为三位数字，例如 220（村庄）。"))
}

impl Divisions {
    /// Changes the newest edition at once; the division that was changed.
    ///
    /// # Errors
    /// Refuses what is above the township, outside the reach, or still holds something.
    pub async fn keep(&self, reach: &Reach, what: &Upkeep, reason: &str) -> Result<RegionCode> {
        let known = self.directory.regions_now();
        let Some(year) = known.newest() else { return self.in_force().map(|_| RegionCode::NATION) };
        let (kind, code, plan) = match what {
            Upkeep::Add { under, number, name, class } => {
                let unit = self.new_unit(reach, year, under, number, name, class).await?;
                ("add", unit.code, Plan { added: vec![unit], ..Plan::default() })
            }
            Upkeep::Change { code, name, class } => {
                let before = self.kept(reach, year, code).await?;
                let after = Unit { name: good_name(name)?, class: good_class(class)?, ..before.clone() };
                if before == after {
                    return Ok(*code);
                }
                ("rename", *code, Plan { changed: vec![(before, after)], ..Plan::default() })
            }
            Upkeep::Abolish { code } => {
                self.kept(reach, year, code).await?;
                let preview =
                    self.preview(reach, year, &Request::Abolish { code: *code, into: None }).await?;
                ("abolish", *code, preview.plan)
            }
        };
        let named =
            plan.added.first().or(plan.removed.first()).or(plan.changed.first().map(|(_, after)| after));
        let title = format!("{}：{}", kind_name(kind), named.map_or("", |u| u.name.as_str()));
        let (caller, now) = (reach.caller(), self.now());
        self.db()
            .transaction(async |tx| {
                lock(tx).await?;
                run::write_edition(tx, year, &plan.removed, &plan.added).await?;
                let after: Vec<Unit> = plan.changed.iter().map(|(_, after)| after.clone()).collect();
                run::rename(tx, year, &after).await?;
                let id = file(tx, self, reach, year, kind, &title, reason, &code, &plan).await?;
                let detail = serde_json::json!({ "code": code, "reason": reason,
                    "before": plan.changed.first().map(|(before, _)| before), "after": named });
                note(tx, caller, now, "division.keep", id, &title, detail).await
            })
            .await?;
        self.refresh().await?;
        Ok(code)
    }

    /// A township or village of the newest edition in reach.
    async fn kept(&self, reach: &Reach, year: i16, code: &RegionCode) -> Result<Unit> {
        if code.tier() < Some(Tier::Township) {
            return Err(Refusal::forbidden(
                "divisions.above_township",
                "县级以上区划的调整须经审批，请用“区划调整”办理。",
            )
            .into());
        }
        let unit = edition::one(self.db(), year, code).await?.filter(|_| reach.covers_region(code));
        unit.ok_or_else(|| out_of_reach().into())
    }

    async fn new_unit(
        &self,
        reach: &Reach,
        year: i16,
        under: &RegionCode,
        number: &str,
        name: &str,
        class: &str,
    ) -> Result<Unit> {
        let tier = under.tier().and_then(plan::below).filter(|t| *t >= Tier::Township);
        let (Some(tier), true) = (tier, reach.covers_region(under)) else {
            return Err(out_of_reach().into());
        };
        if edition::one(self.db(), year, under).await?.is_none() {
            return Err(out_of_reach().into());
        }
        let (name, class) = (good_name(name)?, good_class(class)?);
        let digits = tier.significant_digits() - under.prefix().len();
        let (lo, hi) = edition::range(under);
        // A number that was ever used is not given again.
        let taken: Vec<String> = sqlx::query_scalar(
            "select distinct code from region where code between $1 and $2 and tier = $3 order by code",
        )
        .bind(lo)
        .bind(hi)
        .bind(tier as i16 + 1)
        .fetch_all(self.db().pool())
        .await
        .db("read the codes below a division")?;
        let start = under.prefix().len();
        let number = number.trim();
        let chosen: u32 = if number.is_empty() {
            taken.last().and_then(|c| c[start..start + digits].parse::<u32>().ok()).map_or(1, |last| last + 1)
        } else {
            number.parse().ok().filter(|_| number.len() == digits).ok_or_else(|| {
                Refusal::invalid(
                    "divisions.number",
                    format!("本级顺序码应为 {digits} 位数字，或留空由系统编排。"),
                )
            })?
        };
        let text = format!("{}{chosen:0digits$}", under.prefix());
        let code = RegionCode::parse(&text).ok().filter(|c| c.tier() == Some(tier)).ok_or_else(|| {
            Refusal::invalid("divisions.number", "顺序码已用完或不能全为零，请填写一个没有用过的顺序码。")
        })?;
        if taken.iter().any(|c| c == code.as_str()) {
            return Err(Refusal::conflict(
                "divisions.taken",
                format!("代码 {code} 已用过。区划代码不重复使用，请换一个顺序码。"),
            )
            .into());
        }
        Ok(Unit { code, name, class, origin: "local".to_owned() })
    }
}

#[allow(clippy::too_many_arguments)] // the columns of one row
async fn file(
    tx: &mut Tx<'_>,
    desk: &Divisions,
    reach: &Reach,
    year: i16,
    kind: &str,
    title: &str,
    reason: &str,
    region: &RegionCode,
    plan: &Plan,
) -> Result<i64> {
    let caller = reach.caller();
    sqlx::query_scalar(
        "insert into division_operation (year, kind, title, reason, region, request, plan, state, asked_by,
             asked_account, asked_at, decided_by, decided_at, decided_note, ended_at)
         values ($1, $2, $3, $4, $5, $6, $7, 'done', $8, $9, $10, $8, $10, '本级日常维护', $10) returning id",
    )
    .bind(year)
    .bind(kind)
    .bind(title)
    .bind(reason.trim())
    .bind(region.as_str())
    .bind(serde_json::json!({ "kind": kind }))
    .bind(serde_json::to_value(plan).doing("write the plan of an operation")?)
    .bind(&caller.name)
    .bind(caller.account.map(kernel::Id::get))
    .bind(desk.now())
    .fetch_one(&mut **tx)
    .await
    .db("file an operation")
}
