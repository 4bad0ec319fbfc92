//! A clock that stands still until the test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::Clock;

/// The instant at which tests begin: 9:30 in the morning of 15 May 2025, a Thursday, in China.
const BEGIN_MILLIS: i64 = 1_747_272_600_000;

/// A clock that tests set; clones of the `Arc` share the time.
#[derive(Debug)]
pub struct TestClock {
    millis: AtomicI64,
}

/// A clock at the instant at which tests begin.
pub fn clock() -> Arc<TestClock> {
    Arc::new(TestClock { millis: AtomicI64::new(BEGIN_MILLIS) })
}

impl TestClock {
    /// Moves the clock on.
    pub fn advance(&self, by: TimeDelta) {
        self.millis.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, to: DateTime<Utc>) {
        self.millis.store(to.timestamp_millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.millis.load(Ordering::SeqCst)).expect("an instant within range")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told() {
        let clock = clock();
        assert_eq!(clock.local().to_string(), "2025-05-15 09:30:00");
        clock.advance(TimeDelta::minutes(31));
        assert_eq!(clock.local().to_string(), "2025-05-15 10:01:00");
        assert_eq!(clock.today().to_string(), "2025-05-15");
    }
}
