//! Pages of rights (授权): the grid, roles, who can see a page, what a person can do and why, giving and taking roles,
//! exceptions, teams, and what operators change of pages and menus.

mod exceptions;
mod grid;
mod pages;
mod panel;
mod person;
pub mod policy;
mod policy_pages;
mod teams;
pub mod words;

use kernel::{Act, Line, Need};
use web::{Access, Routes};

use crate::Identity;
use crate::account::MANAGE;

pub use panel::Waiting;

/// Looking at how rights are set up.
pub(crate) const LOOK: Need = Need::new(Line::Security, Act::Read);
/// Changing rules of pages and menus.
pub(crate) const CHANGE: Need = Need::new(Line::Security, Act::Write);
/// Seeing teams.
const SEE_TEAMS: Need = Need::new(Line::Administration, Act::Read);

/// The routes of rights.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let known = Access::SignedIn("what a post may do is no secret: everybody may know to whom to turn");
    let own =
        Access::SignedIn("everybody may ask for an exception; who may decide is told by what is asked for");
    let manage = Access::Needs(MANAGE);
    let fresh = Access::Fresh(MANAGE);
    Routes::new()
        .get("/access", known, grid::show)
        .get("/access/roles", known, grid::roles)
        .get("/access/roles.csv", known, grid::roles_csv)
        .get("/access/roles/compare", known, grid::compare)
        .get("/access/roles/{role}", known, grid::role)
        .get("/access/roles/{role}/accounts", manage, grid::holders)
        .get("/access/pages", Access::Needs(LOOK), pages::list)
        .get("/access/pages.csv", Access::Needs(LOOK), pages::export)
        .get("/access/pages/one", Access::Needs(LOOK), pages::one)
        .get("/access/accounts/{account}", manage, person::show)
        .get("/access/accounts/{account}/give", manage, person::blank)
        .post("/access/accounts/{account}/roles", fresh, person::give)
        .post("/access/accounts/{account}/roles/{held}/withdraw", fresh, person::withdraw)
        .get("/access/exceptions", own, exceptions::list)
        .get("/access/exceptions.csv", own, exceptions::export)
        .get("/access/exceptions/new", own, exceptions::blank)
        .post("/access/exceptions", own, exceptions::ask)
        .get("/access/exceptions/{exception}", own, exceptions::show)
        .post("/access/exceptions/{exception}/approve", own, exceptions::approve)
        .post("/access/exceptions/{exception}/refuse", own, exceptions::refuse)
        .post("/access/exceptions/{exception}/end", own, exceptions::end)
        .get("/access/teams", Access::Needs(SEE_TEAMS), teams::list)
        .get("/access/teams.csv", Access::Needs(SEE_TEAMS), teams::export)
        .post("/access/teams", manage, teams::create)
        .get("/access/teams/{team}", Access::Needs(SEE_TEAMS), teams::show)
        .post("/access/teams/{team}/members", manage, teams::join)
        .post("/access/teams/{team}/members/leave", manage, teams::leave)
        .post("/access/teams/{team}/close", manage, teams::close)
        .get("/access/policy", Access::Needs(LOOK), policy_pages::show)
        .post("/access/policy/preview", Access::Needs(CHANGE), policy_pages::preview)
        .post("/access/policy", Access::Fresh(CHANGE), policy_pages::change)
        .post("/access/policy/{change}/undo", Access::Fresh(CHANGE), policy_pages::undo)
        .with_state(identity.clone())
}
