//! How long a session lives. Pure.

use chrono::{DateTime, Duration, Utc};

/// A session ends after so long without a request.
pub const IDLE: Duration = Duration::minutes(30);
/// A session ends so long after sign-in, whatever happens.
pub const ABSOLUTE: Duration = Duration::hours(12);
/// The time of the last request is written down at most so often.
pub const TOUCH_EVERY: Duration = Duration::seconds(60);

/// Whether a session is alive at `now`.
pub fn alive(last_seen: DateTime<Utc>, expires: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now < expires && now - last_seen < IDLE
}

/// Whether the last request is worth writing down.
pub fn worth_touching(last_seen: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - last_seen >= TOUCH_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_idle_or_old() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let expires = start + ABSOLUTE;
        let cases = [
            (0, 0, true),
            (0, 29, true),
            (0, 30, false),
            (700, 719, true),
            (719, 720, false),
            (800, 800, false),
        ];
        for (seen, now, expected) in cases {
            let at = |minutes| start + Duration::minutes(minutes);
            assert_eq!(alive(at(seen), expires, at(now)), expected, "seen {seen}, now {now}");
        }
    }
}
