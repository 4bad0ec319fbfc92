//! A demonstration city: invented people and what happens to them, written as upload files of invented institutions.
//!
//! Pure: reads divisions and the catalogue, writes files into a folder. The same [`Plan`] gives the same bytes, on any
//! machine. Household follows household, so memory does not grow with the city (but for a few bytes for each person,
//! which keep citizen numbers unique).
//!
//! Nothing in it is anybody's: institutions are named `（演示）…` and have credit codes of a registration authority
//! that does not exist; people have invented names, telephones and citizen numbers with serial numbers from 999 down.
//!
//! # Mistakes
//!
//! Uploads have the mistakes that real ones have, so that quality pages have something to show. For an institution of
//! usual care, of all rows (see [`mistakes::RATES`]); careful institutions make a quarter of them, careless ones three
//! and a half times as many:
//!
//! | mistake | rate |
//! |---|---|
//! | a recommended field is empty | 2 % |
//! | a code that its table does not have | 0.5 % |
//! | begin and end exchanged | 0.2 % |
//! | an amount that does not add up | 0.4 % |
//! | wrong check digit of a citizen number | 0.4 % |
//! | date in the future (rejected) | 0.04 % |
//! | the same row twice in a file | 0.3 % |
//! | sent again, corrected, some days later | 12 % of the rows with one of the first five |
//! | withdrawn some days later | 0.08 % |
//! | a day's file comes 1 to 3 days late | 3 % of the files |
//!
//! A mistake falls away where a data set has no place for it. One institution in five misses two to four whole days
//! of the last month. 3 % of the registrations are without a citizen number.

mod clerk;
mod community;
pub mod illness;
pub mod imaging;
mod inpatient;
pub mod laboratory;
mod life;
pub mod medicine;
pub mod mistakes;
pub mod names;
mod outpatient;
pub mod output;
pub mod people;
pub mod places;
pub mod random;
pub mod registers;
pub mod sheet;
mod vital;

use std::path::Path;

use catalog::Catalog;
use chrono::{Days, NaiveDate, NaiveDateTime};

pub use output::{Manifest, Upload, written};
pub use places::{City, Division, read_divisions};

use life::Teller;
use names::Names;
use output::Output;
use people::Population;
use sheet::Sheets;

/// What the city is to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Residents.
    pub people: usize,
    /// Years that are told.
    pub years: u32,
    /// Seed of the dice.
    pub seed: u64,
    /// Division code of a city (4 digits) or county (6).
    pub prefix: String,
    /// The present, China's wall-clock time: nothing happens after it.
    pub until: NaiveDateTime,
    /// Whether uploads have mistakes.
    pub mistakes: bool,
}

impl Plan {
    /// The last day.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.until.date()
    }

    /// Days that are told, today included.
    #[must_use]
    pub fn days(&self) -> u64 {
        u64::from(self.years.max(1)) * 365
    }

    /// The first day.
    #[must_use]
    pub fn first_day(&self) -> NaiveDate {
        self.today().checked_sub_days(Days::new(self.days() - 1)).unwrap_or(self.today())
    }
}

/// Why a city cannot be made. The text is for the user.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The divisions do not serve.
    #[error("{0}")]
    Divisions(String),
    /// The files cannot be written.
    #[error("{0}")]
    Files(String),
    /// The catalogue has no such fields.
    #[error("目录定义中没有演示数据要写的字段：{0}")]
    Fields(String),
    /// The catalogue has no such codes.
    #[error("代码表中没有演示数据要用的代码：{0}")]
    Codes(String),
}

/// Lays out the city of a plan: counties, institutions, staff.
pub fn lay_out(plan: &Plan, divisions: &[Division]) -> Result<City, Fault> {
    City::new(plan, divisions, &Names::new())
}

/// Writes the upload files of a city into `folder`, which must be empty or ours and is emptied first. `progress` hears
/// how many people are done.
pub fn generate(
    plan: &Plan,
    city: &City,
    catalog: &Catalog,
    folder: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Manifest, Fault> {
    let names = Names::new();
    let sheets = Sheets::new(catalog);
    let mut output = Output::new(plan, &sheets, city, folder)?;
    let mut population = Population::new(plan, city, &names);
    let mut teller = Teller::new(plan, city, &catalog.tables)?;
    while population.count() < plan.people as u64 {
        let household = population.household()?;
        teller.tell(&household, &sheets, &mut output)?;
        progress(population.count());
    }
    output.finish(population.count())
}
