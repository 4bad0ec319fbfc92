//! De-identification (去标识化) after GB/T 37964-2019 and GB/T 39725-2020: what becomes of each field, and how well the
//! people of an extract hide among each other. Pure: keys and the day are parameters.

mod anonymity;
mod scrub;

pub use anonymity::{Anonymity, Kept, measure};
pub use scrub::scrub;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime};
use kernel::Result;
use zeroize::Zeroizing;

use crate::hash::{HMAC_SM3, Keyed, normal};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Left out.
    Delete,
    /// Replaced by a pseudonym that is the same within a project and nowhere else.
    Pseudonym,
    /// A date's year; of those who are very old, "or earlier".
    Year,
    /// A date moved by a number of days that is the same for everything of one person.
    Shift,
    /// A division's county.
    County,
    /// An age: those of 90 and above together.
    TopCode,
    /// A text without what identifies.
    Scrub,
    /// As it is.
    Keep,
}

impl Action {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Action::Delete => "删除",
            Action::Pseudonym => "假名（项目密钥）",
            Action::Year => "只留年份",
            Action::Shift => "日期整体平移",
            Action::County => "归并到县（区）",
            Action::TopCode => "高龄归并",
            Action::Scrub => "清洗标识",
            Action::Keep => "保留",
        }
    }
}

/// A value to be de-identified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Empty,
    /// A text, code or number as text.
    Text(&'a str),
    /// A whole number.
    Whole(i64),
    /// A date.
    Day(NaiveDate),
    /// A time.
    Time(NaiveDateTime),
}

impl Cell<'_> {
    fn day(&self) -> Option<NaiveDate> {
        match self {
            Cell::Day(day) => Some(*day),
            Cell::Time(time) => Some(time.date()),
            _ => None,
        }
    }
    fn plain(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) => (*text).to_owned(),
            Cell::Whole(number) => number.to_string(),
            Cell::Day(day) => day.to_string(),
            Cell::Time(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }
}

/// Limits that the catalogue sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Ages from here on are told together.
    pub top_age: i32,
    /// Dates are moved by up to so many days, forwards or backwards, never by none.
    pub shift_days: u32,
}

/// The hand that de-identifies the data of one project.
pub struct Project {
    hash: Keyed,
    limits: Limits,
    today: NaiveDate,
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Letters of a pseudonym: 80 bits, which a city does not fill.
const LETTERS: usize = 20;

impl Project {
    /// With the project's key (see [`crate::Keyring::project_key`]); `today` is the day ages are counted to.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(key: &Zeroizing<[u8; 32]>, limits: Limits, today: NaiveDate) -> Result<Self> {
        Ok(Self { hash: Keyed::new(HMAC_SM3, &**key)?, limits, today })
    }

    /// The pseudonym of a value of a kind. Equal values of one kind have one pseudonym in the project.
    pub fn pseudonym(&self, kind: &str, value: &str) -> String {
        let value = normal(value);
        let digest = self.hash.digest(&[b"pseudonym", &[0], kind.as_bytes(), &[0], value.as_bytes()]);
        hex::encode(&digest[..LETTERS / 2])
    }

    /// By how many days everything of a person is moved: never 0, so that no date is a true one.
    pub fn shift(&self, person: &str) -> i64 {
        let digest = self.hash.digest(&[b"shift", &[0], person.as_bytes()]);
        let number = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        let span = u64::from(self.limits.shift_days.max(1));
        let days = (number % (2 * span)) as i64 - span as i64;
        if days >= 0 { days + 1 } else { days }
    }

    /// What becomes of a value. `kind` is the field, `person` whose it is, `known` texts that name the person and
    /// must not stand in free text.
    pub fn apply(&self, action: Action, kind: &str, person: &str, known: &[&str], cell: Cell<'_>) -> String {
        if cell == Cell::Empty {
            return String::new();
        }
        match action {
            Action::Delete => String::new(),
            Action::Keep => cell.plain(),
            Action::Pseudonym => self.pseudonym(kind, &cell.plain()),
            Action::Scrub => scrub(&cell.plain(), known),
            Action::Year => cell.day().map(|day| self.year(day)).unwrap_or_default(),
            Action::Shift => {
                let days = self.shift(person);
                match cell {
                    Cell::Day(day) => moved(day, days).map(|d| d.to_string()).unwrap_or_default(),
                    Cell::Time(time) => moved(time.date(), days)
                        .map(|d| d.and_time(time.time()).format("%Y-%m-%d %H:%M:%S").to_string())
                        .unwrap_or_default(),
                    _ => String::new(),
                }
            }
            Action::County => match cell {
                Cell::Text(code) if code.len() >= 6 && code.bytes().all(|b| b.is_ascii_digit()) => {
                    code[..6].to_owned()
                }
                _ => String::new(),
            },
            Action::TopCode => match cell {
                Cell::Whole(age) if age >= i64::from(self.limits.top_age) => {
                    format!("{}及以上", self.limits.top_age)
                }
                Cell::Whole(age) => age.to_string(),
                _ => String::new(),
            },
        }
    }

    // A date of birth: those who are very old are few in a year.
    fn year(&self, day: NaiveDate) -> String {
        let oldest = self.today.year() - self.limits.top_age;
        if day.year() <= oldest { format!("{oldest}及以前") } else { day.year().to_string() }
    }
}

fn moved(day: NaiveDate, days: i64) -> Option<NaiveDate> {
    if days < 0 {
        day.checked_sub_days(Days::new(days.unsigned_abs()))
    } else {
        day.checked_add_days(Days::new(days.unsigned_abs()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn project(key: u8) -> Project {
        let limits = Limits { top_age: 90, shift_days: 180 };
        Project::new(&Zeroizing::new([key; 32]), limits, "2025-05-15".parse().unwrap()).unwrap()
    }
    fn day(text: &str) -> Cell<'static> {
        Cell::Day(text.parse().unwrap())
    }

    #[test]
    fn what_becomes_of_values() {
        let own = project(1);
        for (action, cell, expected) in [
            (Action::Delete, Cell::Text("张三"), ""),
            (Action::Keep, Cell::Text("I10.x00"), "I10.x00"),
            (Action::Keep, Cell::Empty, ""),
            (Action::Pseudonym, Cell::Empty, ""),
            (Action::Year, day("1980-03-08"), "1980"),
            (Action::Year, day("1935-12-31"), "1935及以前"),
            (Action::Year, day("1936-01-01"), "1936"),
            (Action::Year, day("1899-01-01"), "1935及以前"),
            (Action::Year, Cell::Text("1980-03-08"), ""),
            (Action::County, Cell::Text("411503102001"), "411503"),
            (Action::County, Cell::Text("411503"), "411503"),
            (Action::County, Cell::Text("平桥区明港镇"), ""),
            (Action::TopCode, Cell::Whole(89), "89"),
            (Action::TopCode, Cell::Whole(90), "90及以上"),
            (Action::TopCode, Cell::Whole(117), "90及以上"),
            (Action::TopCode, Cell::Text("九十"), ""),
            (Action::Shift, Cell::Text("2025-01-01"), ""),
        ] {
            assert_eq!(own.apply(action, "f", "p", &[], cell), expected, "{action:?} {cell:?}");
        }
    }

    #[test]
    fn pseudonyms_join_within_a_project_and_not_between_two() {
        let (one, two) = (project(1), project(2));
        assert_eq!(one.pseudonym("id", "A-1"), one.pseudonym("id", "Ａ１"));
        assert_ne!(one.pseudonym("id", "A1"), two.pseudonym("id", "A1"));
        assert_ne!(one.pseudonym("id", "A1"), one.pseudonym("card", "A1"));
        assert_eq!(one.pseudonym("id", "A1").len(), LETTERS);
    }

    proptest! {
        #[test]
        fn shifting_keeps_the_distance_of_a_persons_dates_and_no_date(
            person in "[a-z0-9]{1,12}", first in 0u64..20_000, gap in 0u64..4_000, key in 0u8..255
        ) {
            let own = project(key);
            let epoch: NaiveDate = "1970-01-01".parse().unwrap();
            let (a, b) = (epoch + Days::new(first), epoch + Days::new(first + gap));
            let read = |d: NaiveDate| -> NaiveDate {
                own.apply(Action::Shift, "f", &person, &[], Cell::Day(d)).parse().unwrap()
            };
            let (x, y) = (read(a), read(b));
            prop_assert_eq!(y - x, b - a);
            prop_assert_ne!(x, a);
            prop_assert!((x - a).num_days().abs() <= 180);
        }

        #[test]
        fn what_is_pseudonymised_does_not_show(value in "[0-9]{11,18}", key in 0u8..255) {
            let told = project(key).apply(Action::Pseudonym, "f", "p", &[], Cell::Text(&value));
            prop_assert!(!told.contains(&value) && told.len() == LETTERS);
        }

        #[test]
        fn no_long_number_and_no_name_is_left_in_a_text(
            before in "[\\u{4e00}-\\u{4fff} ,，0-9a-zA-Z]{0,30}", number in "[0-9]{7,18}",
            after in "[\\u{4e00}-\\u{4fff} ,，]{0,20}"
        ) {
            let text = format!("{before}张三丰{number}{after}");
            let told = scrub(&text, &["张三丰"]);
            prop_assert!(!told.contains("张三丰"));
            let longest = told.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            prop_assert!(longest < 7, "{told}");
        }
    }
}
