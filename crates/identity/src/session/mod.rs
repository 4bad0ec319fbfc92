//! Sessions (登录会话) of staff: a random token in a cookie, its digest in the database.
//!
//! A session ends after 30 minutes without a request, 12 hours after sign-in at the latest, when its owner signs
//! out or revokes it, when the password changes, and when the account is closed.

pub mod rules;
mod store;

pub use store::{LiveSession, SessionRow, create, end, end_all_of, end_one_of, list_of, load, purge, touch};
