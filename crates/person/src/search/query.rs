//! What somebody typed into the search box, understood. Pure.

use chrono::NaiveDate;
use standards::CitizenId;
use standards::width::fold;

/// Born between two days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BirthSpan {
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A number: of a credential, telephone, card or the institution's own.
    Number {
        /// As typed, without spaces.
        text: String,
        /// The citizen number in 18 characters, if it is one (15 digits are extended).
        citizen_id: Option<String>,
    },
    /// The beginning of a name.
    Name {
        /// As typed.
        prefix: String,
        /// Born then.
        born: Option<BirthSpan>,
    },
    /// The beginning of pinyin initials, or of a name in Latin letters.
    Initials {
        /// Lower case, letters only.
        prefix: String,
        /// Born then.
        born: Option<BirthSpan>,
    },
}

/// Why a text is not searched for: it would find half the city.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooVague {
    /// Nothing was typed.
    Empty,
    /// One character of a name, or one letter.
    TooShort,
}

impl Query {
    /// Understands a text. A year or date of birth may follow a name: `张伟 1965`, `zw 1965-03-08`.
    pub fn parse(text: &str) -> Result<Self, TooVague> {
        let text: String = fold(text).chars().filter(|c| !c.is_control()).take(100).collect();
        let text = text.trim();
        if text.is_empty() {
            return Err(TooVague::Empty);
        }
        let (who, born) = match text.rsplit_once(char::is_whitespace) {
            Some((who, last)) => match birth(last) {
                Some(span) if who.chars().any(char::is_alphabetic) => (who.trim(), Some(span)),
                _ => (text, None),
            },
            None => (text, None),
        };
        let letter = |c: char| c.is_ascii_alphabetic() || matches!(c, ' ' | '.' | '\'' | '-');
        if who.chars().all(letter) {
            let prefix: String =
                who.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
            return if prefix.len() < 2 {
                Err(TooVague::TooShort)
            } else {
                Ok(Query::Initials { prefix, born })
            };
        }
        if who.is_ascii() {
            let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let citizen_id = CitizenId::parse(&text).ok().map(|id| id.as_str().to_owned());
            return Ok(Query::Number { text, citizen_id });
        }
        if who.chars().count() < 2 {
            return Err(TooVague::TooShort);
        }
        Ok(Query::Name { prefix: who.to_owned(), born })
    }

    /// What the audit trail may keep of it: numbers are masked.
    pub fn masked(&self) -> String {
        match self {
            Query::Number { text, .. } => web::mask::credential(text),
            Query::Name { prefix, .. } | Query::Initials { prefix, .. } => prefix.clone(),
        }
    }
}

/// A year, a month or a day of birth.
fn birth(text: &str) -> Option<BirthSpan> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text.chars().any(|c| !(c.is_ascii_digit() || matches!(c, '-' | '/' | '.' | '年' | '月' | '日'))) {
        return None;
    }
    let year: i32 = digits.get(..4)?.parse().ok()?;
    if !(1850..=2200).contains(&year) {
        return None;
    }
    match digits.len() {
        4 => Some(BirthSpan {
            from: NaiveDate::from_ymd_opt(year, 1, 1)?,
            to: NaiveDate::from_ymd_opt(year, 12, 31)?,
        }),
        6 => {
            let from = NaiveDate::from_ymd_opt(year, digits[4..].parse().ok()?, 1)?;
            Some(BirthSpan { from, to: from.checked_add_months(chrono::Months::new(1))?.pred_opt()? })
        }
        8 => {
            let day = NaiveDate::parse_from_str(&digits, "%Y%m%d").ok()?;
            Some(BirthSpan { from: day, to: day })
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn span(from: &str, to: &str) -> Option<BirthSpan> {
        Some(BirthSpan { from: from.parse().unwrap(), to: to.parse().unwrap() })
    }
    fn number(text: &str, citizen_id: Option<&str>) -> Result<Query, TooVague> {
        Ok(Query::Number { text: text.into(), citizen_id: citizen_id.map(str::to_owned) })
    }
    fn name(prefix: &str, born: Option<BirthSpan>) -> Result<Query, TooVague> {
        Ok(Query::Name { prefix: prefix.into(), born })
    }
    fn initials(prefix: &str, born: Option<BirthSpan>) -> Result<Query, TooVague> {
        Ok(Query::Initials { prefix: prefix.into(), born })
    }

    #[test]
    fn one_box_for_everything() {
        let full = "34052419800101001X";
        for (typed, expected) in [
            ("", Err(TooVague::Empty)),
            ("  ", Err(TooVague::Empty)),
            ("张", Err(TooVague::TooShort)),
            ("z", Err(TooVague::TooShort)),
            ("张伟", name("张伟", None)),
            (" 张伟 ", name("张伟", None)),
            ("张伟 1965", name("张伟", span("1965-01-01", "1965-12-31"))),
            ("张伟　１９６５年３月８日", name("张伟 1965年3月8日", None)),
            ("张伟 1965-03", name("张伟", span("1965-03-01", "1965-03-31"))),
            ("张伟 19650308", name("张伟", span("1965-03-08", "1965-03-08"))),
            ("张伟 9999", name("张伟 9999", None)),
            ("阿依古丽·买买提", name("阿依古丽·买买提", None)),
            ("ZW", initials("zw", None)),
            ("ｚｗ", initials("zw", None)),
            ("zw 1965/03/08", initials("zw", span("1965-03-08", "1965-03-08"))),
            ("Tom Lee", initials("tomlee", None)),
            ("138 0013 8000", number("13800138000", None)),
            ("34052419800101001x", number("34052419800101001x", Some(full))),
            ("340524800101001", number("340524800101001", Some(full))),
            ("３４０５２４８００１０１００１", number("340524800101001", Some(full))),
            ("A-0017", number("A-0017", None)),
            ("7", number("7", None)),
        ] {
            assert_eq!(Query::parse(typed), expected, "{typed}");
        }
    }

    #[test]
    fn the_audit_trail_gets_no_whole_number() {
        let masked = Query::parse("34052419800101001X").unwrap().masked();
        assert!(!masked.contains("19800101") && masked.ends_with("001X"), "{masked}");
        assert_eq!(Query::parse("张伟").unwrap().masked(), "张伟");
    }
}
