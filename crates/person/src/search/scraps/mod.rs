//! Finding a patient by scraps (线索查找), for the doctor in the emergency room: part of the name or how it sounds, the
//! age as it looks, sex, county, the last digits of a telephone. Candidates are ranked, with the reasons.
//!
//! ```text
//! registration changes → search_pending → round → search_key (key, year of birth; what filters and ranks within)
//! question → keys, the most telling first → at most some ranges of that index → 200 registrations → 30 people
//! ```
//!
//! How much work a question makes depends on the limits in [`find`], not on the size of the city.

mod find;
mod keep;
mod keys;
pub(super) mod pages;
mod question;
mod sound;
pub(super) mod unknown;

use kernel::{Act, Line, Need};

pub use find::{Candidate, SHOWN, Scrapbook, scraps};
pub use keep::round;
pub use keys::Said;
pub use question::{Fit, Question, Vague};
pub use unknown::REGISTER;

/// Who may look for somebody unknown may also break the glass: doctors, and the dispatcher of ambulances.
pub const NEED: Need = Need::new(Line::Emergency, Act::Read);
