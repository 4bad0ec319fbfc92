//! Quality (数据质量): rules between data sets, daily monitoring, ranking of institutions, each institution's page.
//!
//! | page | what |
//! |---|---|
//! | `/quality` | the matrix (质量监测) institutions × days; `/quality.csv` exports what is filtered |
//! | `/quality/day` | one institution's day: data sets, findings between them, batches |
//! | `/quality/rows` | its rows: needs `exchange/read`, audited, contents by what else the caller may see |
//! | `/quality/ranking` | institutions by score over a period |
//! | `/quality/institutions/{code}` | an institution: trend, data sets, what each rule costs |
//! | `/datasets` | the catalogue of data sets, for everybody who signed in |
//! | `/api/v1/quality/days`, `/api/v1/quality/ranking` | the same for machines |
//!
//! Everything is in the reach of `administration/read`. A day is the day of occurrence (业务发生日期). A score is
//! `100 × (1 − Σ weight broken ÷ Σ weight checked)` in each of four dimensions, and their weighted mean in total;
//! findings between data sets count in the logic dimension. A day is *missing* (应传未传) when it is over, the
//! catalogue expects the data set daily from the institution's class, and no row of that day came.

mod api;
pub mod board;
pub mod costs;
pub mod counts;
pub mod cross;
pub mod datasets;
pub mod day;
pub mod institution;
pub mod monitor;
mod panel;
pub mod ranking;
pub mod rows;
pub mod scope;
pub mod sheet;
mod words;

pub use panel::panel;

use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Exchange;

const LOOK: Access = Access::Needs(Need::new(Line::Administration, Act::Read));

const CATALOGUE: Access =
    Access::SignedIn("definitions of data sets hold no personal data and every sender needs them");

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes
        .get("/quality", LOOK, monitor::page)
        .get("/quality.csv", LOOK, monitor::csv)
        .get("/quality/day", LOOK, day::page)
        .get("/quality/rows", Access::Needs(day::ROWS), rows::page)
        .get("/quality/ranking", LOOK, ranking::page)
        .get("/quality/ranking.csv", LOOK, ranking::csv)
        .get("/quality/ranking.xlsx", LOOK, ranking::xlsx)
        .get("/quality/institutions/{code}", LOOK, institution::page)
        .get("/quality/institutions/{code}/rules.csv", LOOK, institution::csv)
        .get("/quality/institutions/{code}/rules.xlsx", LOOK, institution::xlsx)
        .get("/api/v1/quality/days", LOOK, api::days)
        .get("/api/v1/quality/ranking", LOOK, api::ranking)
        .get("/datasets", CATALOGUE, datasets::list)
        .get("/datasets/{code}", CATALOGUE, datasets::one)
        .get("/datasets/{code}/template.csv", CATALOGUE, datasets::template)
}
