//! Pages of the registers: the same for every one, driven by its definition.

pub(super) mod detail;
pub(super) mod form;
mod history;
mod list;
mod overview;
mod statistics;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::RawPathParams;
use catalog::{Owner, Register};
use contracts::Institutions;
use kernel::{Act, Line, Need, Purpose, Reach, Refusal, RegionCode, Result, Tier};
use web::route::Allowed;
use web::{Access, Routes};

pub(super) use history::differences_table;

use super::Registries;

/// Looking at the registers.
pub const READ: Need = Need::new(Line::Administration, Act::Read);
/// Asking for changes in one's own institution.
pub const ASK: Need = Need::new(Line::Administration, Act::Write);
/// Editing directly.
pub const MANAGE: Need = Need::new(Line::Administration, Act::Manage);
/// Deciding about what others ask for.
pub const APPROVE: Need = Need::new(Line::Administration, Act::Approve);
/// Seeing identifying fields in full.
pub const REVEAL: Need = Need::new(Line::Administration, Act::Reveal);

/// Rows on a page.
pub(super) const PAGE: u64 = 50;

/// The registers and which of them a route is about, when its path does not say.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub registries: Registries,
    fixed: Option<&'static str>,
}

impl Place {
    pub fn of(registries: &Registries, fixed: Option<&'static str>) -> Self {
        Self { registries: registries.clone(), fixed }
    }

    pub fn register(&self, params: &RawPathParams) -> Result<Arc<Register>, Refusal> {
        let kind = self.fixed.or_else(|| params.iter().find(|(name, _)| *name == "kind").map(|(_, v)| v));
        self.registries.register(kind.unwrap_or_default()).cloned()
    }
}

/// The number of an entry in the path.
pub(super) fn id(params: &RawPathParams) -> Result<i64, Refusal> {
    params
        .iter()
        .find(|(name, _)| *name == "id")
        .and_then(|(_, v)| v.parse().ok())
        .ok_or_else(|| Refusal::not_found("registry.bad_number", "地址中的编号不是数字。请从列表进入。"))
}

pub(super) fn reach(allowed: &Allowed) -> Result<Reach, Refusal> {
    allowed.reach(Purpose::of("registry"))
}

/// The routes of the pages.
pub fn routes(registries: &Registries) -> Routes<()> {
    let place = |fixed| Place::of(registries, fixed);
    let look = Access::Needs(READ);
    Routes::new()
        .merge(of("/institutions", place(Some("institution"))))
        .merge(of("/staff", place(Some("staff"))))
        .merge(of("/registry/{kind}", place(None)))
        .merge(
            Routes::new()
                .get("/registry", look, overview::page)
                .get("/registry/expiring", look, overview::expiring)
                .get("/registry/map", look, overview::map)
                .get("/registry/pick/institution", look, form::pick_institution)
                .get("/registry/pick/region", look, form::pick_region)
                .with_state(place(None)),
        )
        .merge(super::requests::pages::routes(registries))
        .merge(super::imports::pages::routes(registries))
}

fn of(base: &str, place: Place) -> Routes<()> {
    let (look, manage, ask) = (Access::Needs(READ), Access::Needs(MANAGE), Access::Needs(ASK));
    let at = |rest: &str| format!("{base}{rest}");
    Routes::new()
        .get(base, look, list::page)
        .get(&at("/export.csv"), look, list::csv)
        .get(&at("/export.xlsx"), look, list::xlsx)
        .get(&at("/template.xlsx"), look, list::template)
        .get(&at("/statistics"), look, statistics::page)
        .get(&at("/statistics.csv"), look, statistics::csv)
        .get(&at("/new"), manage, form::blank)
        .post(&at("/new"), manage, form::create)
        .get(&at("/ask"), ask, form::ask_blank)
        .post(&at("/ask"), ask, form::ask_new)
        .get(&at("/{id}"), look, detail::page)
        .get(&at("/{id}/history"), look, history::page)
        .get(&at("/{id}/edit"), manage, form::edit)
        .post(&at("/{id}/edit"), manage, form::save)
        .get(&at("/{id}/ask"), ask, form::ask_edit)
        .post(&at("/{id}/ask"), ask, form::ask_save)
        .post(&at("/{id}/step"), manage, steps::carry_out)
        .post(&at("/{id}/reveal"), Access::Fresh(REVEAL), detail::reveal)
        .with_state(place)
}

/// Counties in reach, with their names, for filters.
pub(super) fn counties(registries: &Registries, reach: &Reach) -> Vec<(String, String)> {
    let all = registries.directory.all();
    let codes: BTreeSet<RegionCode> =
        all.iter().filter(|c| reach.covers(c.id, &c.region)).map(|c| c.region.at(Tier::County)).collect();
    codes.iter().map(|code| (code.as_str().to_owned(), registries.directory.region_name(code))).collect()
}

/// Where an entry's page is.
pub(super) fn address(register: &Register, entry: &super::model::Entry) -> String {
    match register.owner {
        Owner::Itself => format!("{}/{}", register.path(), entry.institution),
        _ => format!("{}/{}", register.path(), entry.id),
    }
}

/// A time as pages show it, in China.
pub(super) fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    let offset = chrono::TimeDelta::seconds(i64::from(kernel::clock::CHINA_OFFSET_SECONDS));
    (at + offset).format("%Y-%m-%d %H:%M").to_string()
}

/// A day in a form or address; today when it is empty.
pub(super) fn day(text: &str, today: chrono::NaiveDate) -> Result<chrono::NaiveDate, Refusal> {
    match text.trim() {
        "" => Ok(today),
        text => catalog::parse::date(text).ok_or_else(|| {
            Refusal::invalid("registry.day", format!("“{text}”不是日期。请写成 2026-03-04 的形式。"))
        }),
    }
}
