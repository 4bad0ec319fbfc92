//! Pages of the registries: `/institutions`; those of terminology are with it.

mod institutions;

use std::sync::Arc;

use kernel::{Act, Line, Need};
use web::ui::Here;
use web::{Access, Routes};

use crate::Directory;

/// Reading the registry of institutions.
pub const INSTITUTIONS: Need = Need::new(Line::Administration, Act::Read);

/// Rows on a page.
const PAGE: usize = 50;

/// The routes of the registries.
pub fn routes(directory: Arc<Directory>) -> Routes<()> {
    Routes::new()
        .get("/institutions", Access::Needs(INSTITUTIONS), institutions::list_page)
        .get("/institutions.csv", Access::Needs(INSTITUTIONS), institutions::export)
        .get("/institutions/{id}", Access::Needs(INSTITUTIONS), institutions::detail_page)
        .with_state(Arc::clone(&directory))
        .merge(crate::terminology::pages::routes(directory))
}

/// The page asked for, from 1, and the rows that it shows.
fn page_of<T>(here: &Here, rows: Vec<T>) -> (u64, u64, Vec<T>) {
    let total = rows.len();
    let last = total.div_ceil(PAGE).max(1);
    let page = here.get("page").and_then(|p| p.parse().ok()).unwrap_or(1usize).clamp(1, last);
    let rows = rows.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
    (page as u64, total as u64, rows)
}

/// What was typed to search by, in lower case and half width.
fn asked(here: &Here) -> String {
    standards::width::fold(here.get("q").unwrap_or("")).trim().to_lowercase()
}
