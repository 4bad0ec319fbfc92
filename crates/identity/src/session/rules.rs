//! How long a session lives and how long a proof of identity counts as fresh. Pure.

use chrono::{DateTime, Duration, Utc};
use kernel::Factor;
use store::Settings;

/// The time of the last request is written down at most so often.
pub const TOUCH_EVERY: Duration = Duration::seconds(60);

/// The limits that the operator sets (`sign_in.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// A session ends after so long without a request.
    pub idle: Duration,
    /// A session ends so long after sign-in, whatever happens.
    pub absolute: Duration,
    /// A proof of identity counts as fresh for so long.
    pub step_up: Duration,
    /// Sessions that an account may have at once.
    pub at_once: i64,
}

impl Lives {
    /// The limits in force.
    pub fn of(options: &Settings) -> Self {
        Self {
            idle: options.minutes("sign_in.idle_minutes"),
            absolute: Duration::hours(options.whole("sign_in.session_hours")),
            step_up: options.minutes("sign_in.step_up_minutes"),
            at_once: options.whole("sign_in.sessions_at_once").max(1),
        }
    }

    /// Whether a session is alive at `now`.
    pub fn alive(&self, last_seen: DateTime<Utc>, expires: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now < expires && now - last_seen < self.idle
    }

    /// Until when a proof of identity counts as fresh; `None` when it does no more.
    pub fn fresh_until(&self, proved: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        proved.map(|at| at + self.step_up).filter(|until| now < *until)
    }
}

/// Whether the last request is worth writing down.
pub fn worth_touching(last_seen: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - last_seen >= TOUCH_EVERY
}

/// How a factor is written in the database.
pub fn word(factor: Factor) -> &'static str {
    match factor {
        Factor::Single => "single",
        Factor::Second => "second",
        Factor::Certificate => "certificate",
    }
}

/// The factor of a word of the database.
pub fn factor(word: &str) -> Factor {
    match word {
        "second" => Factor::Second,
        "certificate" => Factor::Certificate,
        _ => Factor::Single,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: Lives = Lives {
        idle: Duration::minutes(30),
        absolute: Duration::hours(12),
        step_up: Duration::minutes(10),
        at_once: 5,
    };

    #[test]
    fn a_session_ends_when_idle_or_old() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let expires = start + LIVES.absolute;
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
            assert_eq!(LIVES.alive(at(seen), expires, at(now)), expected, "seen {seen}, now {now}");
        }
    }

    #[test]
    fn a_proof_is_fresh_for_ten_minutes_and_no_proof_never() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let ten = start + Duration::minutes(10);
        assert_eq!(LIVES.fresh_until(Some(start), start + Duration::minutes(9)), Some(ten));
        assert_eq!(LIVES.fresh_until(Some(start), ten), None);
        assert_eq!(LIVES.fresh_until(None, start), None);
    }

    #[test]
    fn factors_go_there_and_back() {
        for one in [Factor::Single, Factor::Second, Factor::Certificate] {
            assert_eq!(factor(word(one)), one);
        }
    }
}
