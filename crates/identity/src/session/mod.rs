//! Sessions (登录会话) of staff: a random token in a cookie, its digest in the database.
//!
//! A session ends after some time without a request, some hours after sign-in at the latest (settings `sign_in.*`),
//! when its owner signs out or revokes it, when an administrator ends it, when the password changes, when the account
//! changes state or unit, and when newer sessions exceed the number allowed at once. Its token changes at sign-in, at
//! step-up and with the password, so that a planted or stolen one is worth nothing afterwards.

pub mod rules;
mod store;

pub use rules::Lives;
pub use store::{
    LiveSession, Opening, SessionRow, acknowledge, create, end, end_all_of, end_one_of, end_others_of,
    list_of, load, purge, rotate, touch,
};
