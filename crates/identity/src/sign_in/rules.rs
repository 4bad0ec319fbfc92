//! Decisions of sign-in: back-off after failures and where to go afterwards. Pure.

use chrono::{DateTime, Duration, Utc};
use store::Settings;

/// Failures older than this count no more.
pub const FORGET_AFTER: Duration = Duration::hours(24);
/// A sign-in that waits for its second factor, or a challenge, serves for so long.
pub const TICKET: Duration = Duration::minutes(5);

/// The limits that the operator sets (`sign_in.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many failures in a row lock a login name.
    pub failures: i32,
    /// The first lock lasts so long; each further one twice as long.
    pub first_lock: Duration,
    /// No lock lasts longer.
    pub longest_lock: Duration,
    /// So many failures from one address, whatever the login names, turn it away. A hospital shares one address:
    /// generous.
    pub address_failures: i64,
    /// The window for failures of an address.
    pub address_window: Duration,
}

impl Limits {
    /// The limits in force.
    pub fn of(options: &Settings) -> Self {
        Self {
            failures: i32::try_from(options.whole("sign_in.failures")).unwrap_or(5).max(1),
            first_lock: options.minutes("sign_in.first_lock_minutes"),
            longest_lock: Duration::hours(options.whole("sign_in.longest_lock_hours")),
            address_failures: options.whole("sign_in.address_failures").max(1),
            address_window: options.minutes("sign_in.address_minutes"),
        }
    }
}

/// What is known of a login name's failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Failures since the last success.
    pub failures: i32,
    /// The last one.
    pub last_at: DateTime<Utc>,
    /// Locked until then.
    pub locked_until: Option<DateTime<Utc>>,
}

/// The guard after one more attempt, counted as a failure *before* the password is looked at, so that attempts at
/// once cannot outrun the count; success clears the guard. `Err`: locked until then, no attempt is made.
pub fn attempt(before: Option<Guard>, limits: &Limits, now: DateTime<Utc>) -> Result<Guard, DateTime<Utc>> {
    if let Some(until) = before.and_then(|g| g.locked_until).filter(|until| now < *until) {
        return Err(until);
    }
    let earlier = before.filter(|g| now - g.last_at < FORGET_AFTER).map_or(0, |g| g.failures);
    let failures = earlier.saturating_add(1);
    let locked_until = (failures % limits.failures == 0).then(|| {
        let doublings = (failures / limits.failures - 1).clamp(0, 10);
        now + (limits.first_lock * 2i32.pow(doublings.unsigned_abs())).min(limits.longest_lock)
    });
    Ok(Guard { failures, last_at: now, locked_until })
}

/// The page after sign-in: `next` when it is a path of this program, the desk otherwise.
pub fn destination(next: &str) -> &str {
    const DESK: &str = "/desk";
    let local = next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= 2000
        // Browsers read a backslash as a slash and drop tabs and line ends: both can hide a second slash.
        && !next.contains('\\')
        && next.bytes().all(|b| b.is_ascii_graphic());
    let path = next.split(['?', '#']).next().unwrap_or_default();
    if local && path != "/" && !path.starts_with("/sign-") && !path.starts_with("/step-up") {
        next
    } else {
        DESK
    }
}

/// Login names are lower case, without spaces around.
pub fn normal_login(login: &str) -> String {
    login.trim().to_lowercase().chars().take(64).collect()
}

/// An address for counting: an IPv6 subscriber has a whole /64 to choose from.
pub fn counted_address(address: &str) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => {
                let s = v6.segments();
                format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
            }
        },
        _ => address.to_owned(),
    }
}

/// Whether failures of an address are counted: not for the machine itself, behind which a proxy may put everybody.
pub fn counts_address(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 5,
        first_lock: Duration::minutes(15),
        longest_lock: Duration::hours(4),
        address_failures: 30,
        address_window: Duration::minutes(15),
    };

    fn attempt(before: Option<Guard>, now: DateTime<Utc>) -> Result<Guard, DateTime<Utc>> {
        super::attempt(before, &LIMITS, now)
    }

    fn minute(n: i64) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH + Duration::minutes(n)
    }

    #[test]
    fn five_failures_lock_and_the_lock_grows() {
        let mut guard = None;
        for _ in 0..4 {
            guard = attempt(guard, minute(0)).ok();
            assert!(guard.is_some_and(|g| g.locked_until.is_none()));
        }
        guard = attempt(guard, minute(0)).ok();
        assert_eq!(guard.and_then(|g| g.locked_until), Some(minute(15)));
        assert_eq!(attempt(guard, minute(14)), Err(minute(15)));
        for _ in 0..5 {
            guard = attempt(guard, minute(15)).ok();
        }
        assert_eq!(
            guard.and_then(|g| g.locked_until),
            Some(minute(15 + 30)),
            "the second lock is twice as long"
        );
        let worn = Guard { failures: 499, last_at: minute(0), locked_until: None };
        assert_eq!(attempt(Some(worn), minute(0)).ok().and_then(|g| g.locked_until), Some(minute(240)));
        assert_eq!(attempt(Some(worn), minute(24 * 60)).map(|g| g.failures), Ok(1), "forgotten after a day");
    }

    #[test]
    fn only_local_paths_are_destinations() {
        let cases = [
            ("/record/7", true),
            ("/persons?q=%E5%BC%A0", true),
            ("", false),
            ("/", false),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("/\t/evil.example", false),
            ("/ok\\..\\", false),
            ("https://evil.example", false),
            ("javascript:alert(1)", false),
            ("evil", false),
            ("/sign-in?next=/sign-in", false),
            ("/sign-out", false),
            ("/step-up?back=/step-up", false),
            ("/张", false),
        ];
        for (next, stays) in cases {
            assert_eq!(destination(next), if stays { next } else { "/desk" }, "{next:?}");
        }
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        assert_eq!(counted_address("2001:db8:1:2:3:4:5:6"), counted_address("2001:db8:1:2::1"));
        assert_eq!(counted_address("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(counted_address("10.0.0.1"), "10.0.0.1");
        assert!(counts_address("10.0.0.1") && !counts_address("127.0.0.1") && !counts_address(""));
    }
}
