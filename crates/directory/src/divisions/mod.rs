//! Divisions (行政区划): editions by year down to the village, operations that change them, and the way from the
//! divisions of one year to those of another.
//!
//! An *edition* is the whole list of one year; the one *in force* on a day is the last that had begun. An *operation*
//! (更名 rename, 合并 merge, 拆分 split, 划转 move, 撤销 abolish) is planned on paper ([`plan`]), shown with what it would move,
//! asked for by one person and approved by another, and then carried out:
//!
//! ```text
//! asked ─► approved ─► moving ─► done ─► undoing ─► undone
//!   └► rejected └► failed (the edition had changed meanwhile)
//! ```
//!
//! The edition, the institutions and the record of what became of which code change in one transaction; the event
//! [`contracts::DivisionsMoved`] makes every other context follow, in chunks, each row once. Readers see the old codes of
//! a row until its chunk commits; both editions' names are known at any time. Statistics of earlier years stay: an
//! institution keeps where it lay ([`contracts::Institutions::region_in`]), a figure by code is translated
//! ([`mapping::Mapping`], in SQL `division_in`).

pub(crate) mod api;
pub mod edition;
pub mod import;
pub(crate) mod known;
pub mod load;
pub mod mapping;
pub mod operation;
pub mod pages;
pub mod plan;
mod run;
pub mod upkeep;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::{DivisionHoldings, Notices};
use kernel::{Act, Clock, Line, Need, Refusal, Result};
use store::jobs::Jobs;

pub use known::Edition;

use crate::Directory;

/// Looking at divisions with what they hold.
pub const READ: Need = Need::new(Line::Administration, Act::Read);
/// Keeping one's own divisions, asking for operations.
pub const MANAGE: Need = Need::new(Line::Administration, Act::Manage);
/// Deciding about operations, undoing them.
pub const APPROVE: Need = Need::new(Line::Administration, Act::Approve);

/// The desk of the divisions: what operations and pages need. Cheap to clone.
#[derive(Clone)]
pub struct Divisions {
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) holdings: Vec<Arc<dyn DivisionHoldings>>,
    options: Option<store::Settings>,
    pub(crate) notices: Option<Arc<dyn Notices>>,
}

impl std::fmt::Debug for Divisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.holdings.iter().map(|h| h.part()).collect();
        f.debug_struct("Divisions").field("holdings", &parts).finish_non_exhaustive()
    }
}

impl Divisions {
    /// `holdings`: every other context that keeps something by division; the institutions are the directory's own.
    pub fn new(
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        holdings: Vec<Arc<dyn DivisionHoldings>>,
    ) -> Self {
        Self { directory, clock, holdings, options: None, notices: None }
    }

    /// With the notices that tell approvers and who asked.
    #[must_use]
    pub fn with_notices(mut self, notices: Arc<dyn Notices>) -> Self {
        self.notices = Some(notices);
        self
    }

    /// With the settings that an operator changes while the program runs.
    #[must_use]
    pub fn with_options(mut self, options: store::Settings) -> Self {
        self.options = Some(options);
        self
    }

    /// Figures older than this are counted anew when somebody looks.
    pub(crate) fn stale_after(&self) -> TimeDelta {
        self.options.as_ref().map_or(TimeDelta::hours(1), |o| o.minutes("divisions.count_minutes"))
    }

    pub(crate) fn db(&self) -> &store::Db {
        &self.directory.db
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The editions, by the day from which they are in force.
    pub fn editions(&self) -> Vec<Edition> {
        self.directory.regions_now().editions.clone()
    }

    /// The year of the edition in force today.
    pub fn in_force(&self) -> Result<i16> {
        let known = self.directory.regions_now();
        known.edition_on(self.clock.today()).map(|e| e.year).ok_or_else(|| {
            Refusal::not_found(
                "divisions.none",
                "还没有行政区划。系统管理员可用命令 minkang registry regions --prefix 4115 载入，或在“导入区划”中上传清单。",
            )
            .into()
        })
    }

    /// The year asked for, if there is such an edition; otherwise the one in force (on a day, if one is named).
    pub(crate) fn year_of(&self, year: Option<&str>, on: Option<&str>) -> Result<i16> {
        let known = self.directory.regions_now();
        let asked = year.and_then(|y| y.parse().ok()).filter(|y| known.edition(*y).is_some());
        let day = on.and_then(|d| d.parse::<NaiveDate>().ok());
        match (asked, day) {
            (Some(year), _) => Ok(year),
            (None, Some(day)) => known.edition_on(day).map_or_else(|| self.in_force(), |e| Ok(e.year)),
            (None, None) => self.in_force(),
        }
    }

    /// Registers the jobs that carry operations out and what they are told about it.
    pub fn register_jobs(&self, jobs: &mut Jobs) {
        run::register(self, jobs);
    }
}
