//! Batches as their senders see them: the upload, the receipt (回执), the list of issues and the file for repair.
//!
//! Routes: `POST /api/v1/datasets/{dataset}/batches`, `GET /api/v1/batches/{batch}` and `/issues`, and the pages
//! `/batches`, `/batches/new`, `/batches/{batch}`. An institution sees its own; a data manager those in reach.

mod api;
mod export;
mod pages;
mod receipt;
mod shown;

pub(crate) use api::{request_key, sender};
pub use receipt::{Receipt, RuleCount, SIGNED};
pub(crate) use receipt::{explain, read, rejections, sign, whole};

use web::Routes;

use crate::Exchange;

/// The routes of this capability.
pub fn routes(routes: Routes<Exchange>) -> Routes<Exchange> {
    pages::routes(api::routes(routes))
}
