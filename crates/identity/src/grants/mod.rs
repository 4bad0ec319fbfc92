//! Rights (授权): which roles an account holds at which posts, exceptions for a time, and what follows from both.
//!
//! ```text
//! role template (catalogue) × post (institution, division, teams) ─► grants ┐
//! exception: asked ─► approved ─► (its end)                       ─► grant  ┴─► standing ─► Caller
//!                  └► refused   └► revoked
//! ```
//! [`rules`] decides who may give what to whom (pure), [`store`] keeps it, [`standing`] turns an account into what its
//! holder may do at this moment. Granting is a right apart from using: `Act::Grant` on the line of the right, or on the
//! line of security. Nobody changes their own rights.

pub mod acts;
pub mod exceptions;
pub mod rules;
pub mod standing;
pub mod store;
#[cfg(test)]
mod tests;

pub use rules::{Post, of_client, of_embedded, of_role, scopes_of_client};
pub use standing::{Standing, standing};
