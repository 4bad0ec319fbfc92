//! Time as a parameter. Rules never ask the machine what time it is; they are told.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Utc};

/// China has one legal time, UTC+8, without daylight saving.
pub const CHINA_OFFSET_SECONDS: i32 = 8 * 3600;

/// Where the program learns the present time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> DateTime<Utc>;

    /// The present wall-clock time in China (UTC+8), as records carry it.
    fn local(&self) -> NaiveDateTime {
        to_china(self.now())
    }

    /// Today's date in China.
    fn today(&self) -> NaiveDate {
        self.local().date()
    }
}

/// Converts an instant to wall-clock time in China.
pub fn to_china(instant: DateTime<Utc>) -> NaiveDateTime {
    match FixedOffset::east_opt(CHINA_OFFSET_SECONDS) {
        Some(offset) => instant.with_timezone(&offset).naive_local(),
        None => instant.naive_utc(),
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    // The one place that may ask the machine for the time; clippy.toml bans it elsewhere.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that tests set.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}
