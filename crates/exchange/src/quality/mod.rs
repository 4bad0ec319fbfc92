//! Quality (数据质量): rules between data sets, daily monitoring, ranking of institutions, each institution's page.
//!
//! | page | what |
//! |---|---|
//! | `/quality` | the matrix (质量监测) institutions × days; `/quality.csv` exports what is filtered |
//!
//! Everything is in the reach of `administration/read`. A day is the day of occurrence (业务发生日期). A score is
//! `100 × (1 − Σ weight broken ÷ Σ weight checked)` in each of four dimensions, and their weighted mean in total;
//! findings between data sets count in the logic dimension. A day is *missing* (应传未传) when it is over, the
//! catalogue expects the data set daily from the institution's class, and no row of that day came.

pub mod board;
pub mod counts;
pub mod cross;
pub mod monitor;
pub mod scope;
mod words;

use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Exchange;

const LOOK: Access = Access::Needs(Need::new(Line::Administration, Act::Read));

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes.get("/quality", LOOK, monitor::page).get("/quality.csv", LOOK, monitor::csv)
}
