//! De-identified extracts of a data set (去标识化提取): for projects that study cases and must not know whose they are.
//!
//! | page | what |
//! |---|---|
//! | `/extracts` | the form, and the k-anonymity report of what would be handed out |
//! | `/extracts/rows.csv` | the rows; asks who is there once more |
//!
//! Rules stand in `catalog/deidentify.toml`; what they do in `protect::deidentify`. Both looks and downloads are audited.
//! The same person has the same pseudonym in every extract of one project and another in every other.

mod pages;
mod plan;
mod read;

use std::sync::Arc;

use catalog::Dataset;
use chrono::NaiveDate;
use kernel::{Act, Line, Need, Reach, Refusal, Result};
use protect::deidentify::{Anonymity, Limits, Project};
use store::AuditEntry;
use web::{Access, Routes};

use crate::Exchange;
use crate::quality::scope;

pub use plan::{Planned, plan};

/// Taking figures of cases out of the house.
pub const NEED: Need = Need::new(Line::Statistics, Act::Export);
/// Rows of one extract; who needs more asks for shorter periods.
const MOST_ROWS: i64 = 100_000;
/// Days of one extract.
const MOST_DAYS: i64 = 366;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The data set.
    pub dataset: Arc<Dataset>,
    /// The project: extracts of one project can be joined by pseudonym.
    pub project: String,
    /// Why, as the approval says.
    pub reason: String,
    /// First day of occurrence.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
}

/// An extract.
#[derive(Debug, Clone)]
pub struct Extract {
    /// What became of each field.
    pub plan: Vec<Planned>,
    /// Headings of what is handed out.
    pub heads: Vec<String>,
    /// Rows that may be handed out.
    pub rows: Vec<Vec<String>>,
    /// How well people hide.
    pub report: Anonymity,
    /// Whether there were more rows than one extract takes.
    pub truncated: bool,
}

impl Asked {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// Refuses, saying what to change.
    pub fn check(&self) -> Result<(), Refusal> {
        let letters = self.project.chars().count();
        if !(2..=40).contains(&letters) {
            return Err(Refusal::invalid(
                "extract.project",
                "请填写项目名称（2～40 个字）。同一项目的提取可以按假名关联。",
            ));
        }
        if self.reason.trim().chars().count() < 4 {
            return Err(Refusal::invalid(
                "extract.reason",
                "请填写用途和批准文号，至少 4 个字；它会记入审计日志。",
            ));
        }
        if self.to < self.from || (self.to - self.from).num_days() >= MOST_DAYS {
            return Err(Refusal::invalid("extract.days", "日期范围应为 1～366 天；更长的时间请分几次提取。"));
        }
        if self.dataset.person.is_none() {
            return Err(Refusal::invalid(
                "extract.no_person",
                "这个数据集不含个人数据，无需去标识化，请在质量监测或统计页面导出。",
            ));
        }
        Ok(())
    }
}

/// Makes an extract of what lies within reach. `act` says in the audit trail whether it was looked at or taken out.
///
/// # Errors
/// Refused when what is asked for does not fit.
pub async fn make(exchange: &Exchange, reach: &Reach, asked: &Asked, act: &'static str) -> Result<Extract> {
    asked.check()?;
    let rules = &exchange.catalog().deidentify;
    let planned = plan(rules, &asked.dataset);
    let now = exchange.intake.parts().clock.now();
    let key = exchange.db().keyring().project_key(&asked.project)?;
    let limits = Limits { top_age: rules.top_age, shift_days: rules.shift_days };
    let project = Project::new(&key, limits, kernel::clock::to_china(now).date())?;
    let institutions = scope::numbers(&scope::in_reach(exchange.institutions().as_ref(), reach));
    let sensitive = rules.sensitive(&asked.dataset);
    let people = exchange.people()?;
    exchange
        .db()
        .personal(reach, now, async |tx, _| {
            let (cases, truncated) =
                read::cases(tx, people.as_ref(), asked, &institutions, sensitive).await?;
            let extract =
                plan::carry_out(&project, &asked.dataset, planned, &cases, rules.threshold, truncated);
            let entry = AuditEntry {
                act,
                object_kind: "dataset",
                object_label: format!("{} {}～{}", asked.dataset.name, asked.from, asked.to),
                rows: Some(extract.rows.len() as i32),
                detail: Some(serde_json::json!({
                    "project": asked.project, "reason": asked.reason, "dataset": asked.dataset.code,
                    "from": asked.from, "to": asked.to, "report": extract.report,
                })),
                ..AuditEntry::default()
            };
            Ok((extract, entry))
        })
        .await
}

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes.get("/extracts", Access::Needs(NEED), pages::page).get(
        "/extracts/rows.csv",
        Access::Fresh(NEED),
        pages::csv,
    )
}
