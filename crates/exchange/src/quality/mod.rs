//! Quality: rules between data sets, daily monitoring, ranking of institutions, each institution's page.

pub mod cross;

use web::Routes;

use crate::Exchange;

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    routes
}
