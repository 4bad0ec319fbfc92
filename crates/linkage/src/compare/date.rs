//! Dates as they are written down: whole, in part, transposed, by the lunar calendar, or guessed from an age.

/// A date or a part of one; days and months are kept as written, even where no calendar has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// 0 when unknown.
    year: u16,
    /// 0 when unknown.
    month: u8,
    /// 0 when unknown.
    day: u8,
    /// The year was counted back from an age, and may be off by one.
    about: bool,
}

impl Date {
    /// Reads `1980-03-04`, `19800304`, `1980/3/4`, `1980年3月4日`, `4/3/1980` (day first unless it cannot be),
    /// `1980-03`, `1980`, `~1980` (from an age), each with or without a time of day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (about, text) = match text.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut groups: [(u32, usize); 3] = [(0, 0); 3];
        let mut count = 0;
        let mut inside = false;
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                if !inside {
                    if count == 3 {
                        break;
                    }
                    count += 1;
                    inside = true;
                }
                let group = &mut groups[count - 1];
                if group.1 < 9 {
                    *group = (group.0 * 10 + digit, group.1 + 1);
                }
            } else {
                if count > 0 && matches!(c, 'T' | 't' | ':') {
                    break;
                }
                // `1980-03-04 12:00`: a blank after three groups ends the date.
                inside = false;
            }
        }
        let date = |year: u32, month: u32, day: u32| {
            (year <= 9999 && month <= 99 && day <= 99).then_some(Self {
                year: year as u16,
                month: month as u8,
                day: day as u8,
                about,
            })
        };
        match (count, groups) {
            (1, [(n, 8), ..]) => date(n / 10_000, n / 100 % 100, n % 100),
            (1, [(n, 6), ..]) if (1800..2100).contains(&(n / 100)) && n % 100 <= 12 => {
                date(n / 100, n % 100, 0)
            }
            (1, [(n, 6), ..]) => date(1900 + n / 10_000, n / 100 % 100, n % 100),
            (1, [(n, 4), ..]) => date(n, 0, 0),
            (2, [(y, 4), (m, _), _]) => date(y, m, 0),
            (2, [(m, _), (y, 4), _]) => date(y, m, 0),
            (3, [(y, 3..), (m, _), (d, _)]) => date(y, m, d),
            (3, [(d, _), (m, _), (y, 4)]) if m <= 12 => date(y, m, d),
            (3, [(m, _), (d, _), (y, 4)]) => date(y, m, d),
            (3, [(d, _), (m, _), (y, 2)]) if m <= 12 => date(1900 + y, m, d),
            _ => None,
        }
        .filter(|d| d.year > 0)
    }

    /// Whether two dates are of different people whatever slip one may be.
    pub(crate) fn is_other(&self, other: &Self) -> bool {
        let years = self.year.abs_diff(other.year);
        // A child born on its mother's birthday.
        let birthday = self.month_day() == other.month_day() && (13..=70).contains(&years);
        match self.outcome(other) {
            8 => years >= 2,
            4 => birthday,
            _ => false,
        }
    }

    pub(crate) const fn year(&self) -> u16 {
        self.year
    }

    pub(crate) const fn month_day(&self) -> Option<[u8; 2]> {
        if self.month == 0 || self.day == 0 { None } else { Some([self.month, self.day]) }
    }

    pub(crate) const fn bytes(&self) -> [u8; 5] {
        let year = self.year.to_be_bytes();
        [year[0], year[1], self.month, self.day, self.about as u8]
    }

    fn digits(&self) -> [u8; 8] {
        let mut out = [0; 8];
        let mut rest = u32::from(self.year) * 10_000 + u32::from(self.month) * 100 + u32::from(self.day);
        for slot in out.iter_mut().rev() {
            *slot = (rest % 10) as u8;
            rest /= 10;
        }
        out
    }

    /// A day number that is good enough for differences of a few weeks.
    const fn ordinal(&self) -> i32 {
        let (y, m) = if self.month <= 2 {
            (self.year as i32 - 1, self.month as i32 + 12)
        } else {
            (self.year as i32, self.month as i32)
        };
        365 * y + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + self.day as i32
    }

    /// exact, transposed, digit, default, part, lunar, year, near_year, different.
    pub(crate) fn outcome(&self, other: &Self) -> u8 {
        let same_year = self.year == other.year;
        let years = self.year.abs_diff(other.year);
        if self.month_day().is_none() || other.month_day().is_none() || self.about || other.about {
            let months = same_year && self.month == other.month && self.month != 0;
            return match (months, years) {
                (true, _) => 4,
                (_, 0) => 6,
                (_, 1) => 7,
                _ => 8,
            };
        }
        if *self == *other {
            return 0;
        }
        if same_year && self.month == other.day && self.day == other.month {
            return 1;
        }
        let (a, b) = (self.digits(), other.digits());
        if super::strings::within_one(&a, &b) || (a[2..] == b[2..]) {
            return 2;
        }
        // 1 January stands for a day nobody knew.
        let default = |d: &Self| d.month == 1 && d.day == 1;
        if same_year && (default(self) || default(other)) {
            return 3;
        }
        let same =
            u8::from(same_year) + u8::from(self.month == other.month) + u8::from(self.day == other.day);
        if same == 2 {
            return 4;
        }
        // A lunar date written as a solar one is 17 to 53 days early; a lunar month has no 31st.
        let apart = (self.ordinal() - other.ordinal()).abs();
        if (17..=53).contains(&apart) && years <= 1 {
            let earlier = if self.ordinal() < other.ordinal() { self } else { other };
            if earlier.day <= 30 && earlier.month <= 12 {
                return 5;
            }
        }
        match years {
            0 => 6,
            1 => 7,
            _ => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_they_are_written() {
        for (text, expected) in [
            ("1980-03-04", Some((1980, 3, 4))),
            ("19800304", Some((1980, 3, 4))),
            ("1980/3/4", Some((1980, 3, 4))),
            ("1980年3月4日", Some((1980, 3, 4))),
            ("1980.03.04", Some((1980, 3, 4))),
            ("4/3/1980", Some((1980, 3, 4))),
            ("3/14/1980", Some((1980, 3, 14))),
            ("1980-03-04T12:30:00", Some((1980, 3, 4))),
            ("1980-03-04 12:30:00", Some((1980, 3, 4))),
            ("1980-03", Some((1980, 3, 0))),
            ("198003", Some((1980, 3, 0))),
            ("800304", Some((1980, 3, 4))),
            ("1980", Some((1980, 0, 0))),
            ("~1980", Some((1980, 0, 0))),
            ("", None),
            ("不详", None),
            ("0", None),
            ("99999999999999999999", None),
        ] {
            let found = Date::parse(text).map(|d| (d.year, d.month, d.day));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn how_two_dates_differ() {
        let names = crate::Kind::Date.outcomes();
        for (a, b, expected) in [
            ("1980-03-04", "1980-04-03", "transposed"),
            ("1980-03-04", "1980-03-05", "digit"),
            ("1980-03-04", "1981-03-04", "digit"),
            ("1908-03-04", "1980-03-04", "digit"),
            ("1912-03-04", "2012-03-04", "digit"),
            ("1935-03-04", "2035-03-04", "digit"),
            ("1980-01-01", "1980-07-29", "default"),
            ("1980-03-04", "1980-03-29", "part"),
            ("1980-03-04", "1957-03-04", "part"),
            ("1980-02-11", "1980-03-27", "lunar"),
            ("1979-12-20", "1980-02-06", "lunar"),
            ("1980-03", "1980-03-04", "part"),
            ("1980", "1980-03-04", "year"),
            ("1980-03-04", "1980-11-26", "year"),
            ("~1979", "1980-11-26", "near_year"),
            ("1980-03-04", "1957-11-26", "different"),
        ] {
            let (x, y) = (Date::parse(a).unwrap(), Date::parse(b).unwrap());
            assert_eq!(names[usize::from(x.outcome(&y))], expected, "{a} {b}");
            assert_eq!(x.outcome(&y), y.outcome(&x), "{a} {b}");
        }
    }
}
