//! Words that every crate uses: identifiers, division codes, tiers, lines, acts, rights and errors.
//!
//! This crate does no IO and knows no database, no web and no catalogue. What stands here may be named in
//! any signature of the workspace; anything that only one context needs belongs to that context.

pub mod access;
pub mod clock;
pub mod error;
pub mod id;
pub mod region;

pub use access::{
    AccountId, Act, Assurance, Caller, CallerKind, Factor, Grant, Line, Need, Purpose, Reach, Scope, Span,
    StaffId, TeamId,
};
pub use clock::{Clock, FixedClock, SystemClock};
pub use error::{Error, Refusal, RefusalKind, Result};
pub use id::Id;
pub use region::{RegionCode, Tier};
