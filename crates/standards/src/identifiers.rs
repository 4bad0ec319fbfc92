//! Identifiers of people, institutions, telephones, divisions and diagnoses: shape and check digits, by hand.

use chrono::{Datelike, NaiveDate};

/// Sex as a citizen number tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gender {
    /// 男
    Male,
    /// 女
    Female,
}

impl Gender {
    /// The code of GB/T 2261.1.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Gender::Male => "1",
            Gender::Female => "2",
        }
    }
}

/// A valid citizen number (公民身份号码, GB 11643-1999), 18 characters with a capital X.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CitizenId([u8; 18]);

/// Why a text is no citizen number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCitizenId {
    /// Neither 18 nor 15 characters, or others than digits (and X at the end).
    #[error("应为 18 位（旧号 15 位）数字，末位可为 X")]
    Shape,
    /// The first two digits name no province.
    #[error("前两位不是有效的省级代码")]
    Province,
    /// Positions 7 to 14 are no date.
    #[error("第 7～14 位不是有效的出生日期")]
    Birth,
    /// The last character does not follow from the others.
    #[error("校验码（末位）不正确")]
    CheckDigit,
}

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: &[u8; 11] = b"10X98765432";

fn citizen_check(first17: &[u8]) -> u8 {
    let sum: u32 = first17.iter().zip(WEIGHTS).map(|(d, w)| u32::from(d.wrapping_sub(b'0')) * w).sum();
    CHECKS[(sum % 11) as usize]
}

/// Whether two digits are a province of GB/T 2260 (83: residence permits of Taiwan; 91: foreign permits).
#[must_use]
pub const fn is_province(code: u8) -> bool {
    matches!(code, 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83 | 91)
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |n, d| n * 10 + u32::from(d.wrapping_sub(b'0')))
}

impl CitizenId {
    /// Reads an 18-digit number (lower-case x accepted) or an old one of 15 digits, which is extended.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, BadCitizenId> {
        let bytes = text.as_bytes();
        let mut id = [0_u8; 18];
        match bytes.len() {
            18 => {
                id.copy_from_slice(bytes);
                id[17] = id[17].to_ascii_uppercase();
                if !id[..17].iter().all(u8::is_ascii_digit) || !(id[17].is_ascii_digit() || id[17] == b'X') {
                    return Err(BadCitizenId::Shape);
                }
            }
            15 => {
                if !bytes.iter().all(u8::is_ascii_digit) {
                    return Err(BadCitizenId::Shape);
                }
                // Serial numbers 996 to 999 marked people born before 1900.
                let century: &[u8; 2] = if number(&bytes[12..15]) >= 996 { b"18" } else { b"19" };
                id[..6].copy_from_slice(&bytes[..6]);
                id[6..8].copy_from_slice(century);
                id[8..17].copy_from_slice(&bytes[6..]);
                id[17] = citizen_check(&id[..17]);
            }
            _ => return Err(BadCitizenId::Shape),
        }
        // Permits of foreigners since 2023 begin with 9, then the province.
        let province = if id[0] == b'9' && id[1] != b'1' { number(&id[1..3]) } else { number(&id[..2]) };
        if !is_province(province as u8) {
            return Err(BadCitizenId::Province);
        }
        let year = number(&id[6..10]);
        if !(1800..=2200).contains(&year)
            || NaiveDate::from_ymd_opt(year as i32, number(&id[10..12]), number(&id[12..14])).is_none()
        {
            return Err(BadCitizenId::Birth);
        }
        if citizen_check(&id[..17]) != id[17] {
            return Err(BadCitizenId::CheckDigit);
        }
        Ok(Self(id))
    }

    /// Makes the number of a division (6 digits), a birth date and a serial number below 1000; used to invent
    /// people for demonstrations and tests. `None` where they make no valid number.
    #[must_use]
    pub fn compose(division: &str, birth: NaiveDate, serial: u16) -> Option<Self> {
        let first17 =
            format!("{division}{:04}{:02}{:02}{serial:03}", birth.year(), birth.month(), birth.day());
        if first17.len() != 17 || !first17.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let check = char::from(citizen_check(first17.as_bytes()));
        Self::parse(&format!("{first17}{check}")).ok()
    }

    /// The 18 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The division of first registration, 6 digits; it may since have been abolished.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.as_str()[..6]
    }

    /// Date of birth.
    #[must_use]
    pub fn birth(&self) -> NaiveDate {
        NaiveDate::from_ymd_opt(
            number(&self.0[6..10]) as i32,
            number(&self.0[10..12]),
            number(&self.0[12..14]),
        )
        .unwrap_or(NaiveDate::MIN)
    }

    /// Sex: an odd 17th digit is a man.
    #[must_use]
    pub fn gender(&self) -> Gender {
        if self.0[16] % 2 == 1 { Gender::Male } else { Gender::Female }
    }
}

impl std::fmt::Display for CitizenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
/// Shows only division and year: citizen numbers do not belong in logs.
impl std::fmt::Debug for CitizenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CitizenId({}********)", &self.as_str()[..10])
    }
}

const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const USCC_WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

/// The check character of the first 17 of a unified social credit code; `None` if one is not of its alphabet.
#[must_use]
pub fn credit_code_check(first17: &str) -> Option<char> {
    if first17.len() != 17 {
        return None;
    }
    let mut sum = 0;
    for (byte, weight) in first17.bytes().zip(USCC_WEIGHTS) {
        sum += USCC_ALPHABET.iter().position(|a| *a == byte)? as u32 * weight;
    }
    Some(char::from(USCC_ALPHABET[((31 - sum % 31) % 31) as usize]))
}

/// Whether it is a unified social credit code (统一社会信用代码, GB 32100-2015) with a correct check character.
#[must_use]
pub fn is_credit_code(text: &str) -> bool {
    text.len() == 18 && text.is_ascii() && text.chars().next_back() == credit_code_check(&text[..17])
}

/// Whether it has the form of a 22-character health institution code (WS 218-2002): organisation code, division, economic
/// type, class, management class. Institutions without organisation code begin with `PDY`.
#[must_use]
pub fn is_health_institution_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 22
        && bytes[..9].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && bytes[9..17].iter().all(u8::is_ascii_digit)
        && bytes[17].is_ascii_uppercase()
        && bytes[18..].iter().all(u8::is_ascii_digit)
}

/// Whether it looks like a telephone in China: mobile, fixed with area code, local fixed, 400/800, with an
/// optional +86, hyphens, spaces and extension.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let mut digits = [0_u8; 20];
    let mut count = 0;
    let main = text.split(['转', 'x', 'X', '#', '*']).next().unwrap_or_default();
    for (index, byte) in main.bytes().enumerate() {
        match byte {
            b'0'..=b'9' if count < digits.len() => {
                digits[count] = byte;
                count += 1;
            }
            b'-' | b' ' | b'(' | b')' if index > 0 || byte == b'(' => {}
            b'+' if index == 0 => {}
            _ => return false,
        }
    }
    let mut rest = &digits[..count];
    for prefix in [&b"0086"[..], &b"86"[..]] {
        if rest.len() > 11 && rest.starts_with(prefix) {
            rest = &rest[prefix.len()..];
            break;
        }
    }
    match rest {
        [b'1', b'3'..=b'9', ..] if rest.len() == 11 => true,
        [b'4' | b'8', b'0', b'0', ..] if rest.len() == 10 => true,
        // Area codes begin with 0 and have 3 or 4 digits; an extension may follow after a hyphen.
        [b'0', b'1'..=b'9', ..] => (10..=16).contains(&rest.len()),
        [b'2'..=b'9', ..] => (7..=8).contains(&rest.len()),
        _ => false,
    }
}

/// Whether it is only ASCII digits, at least one.
#[must_use]
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether it looks like an ICD-10 code: a letter and two digits, optionally a point and a local extension
/// (`I10`, `I10.x00`, `E11.900x001`, `M8000/3` of the morphology, with the marks `*`, `+`, `†`).
#[must_use]
pub fn is_icd10(text: &str) -> bool {
    let bytes = text.trim_end_matches(['*', '+', '†']).as_bytes();
    let [letter, first, second, rest @ ..] = bytes else { return false };
    if !letter.is_ascii_alphabetic() || !first.is_ascii_digit() || !second.is_ascii_digit() {
        return false;
    }
    match rest {
        [] => true,
        [b'.', tail @ ..] => {
            (1..=9).contains(&tail.len()) && tail.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.')
        }
        // Morphology: M80000/3.
        _ if letter.eq_ignore_ascii_case(&b'M') => {
            rest.len() <= 7
                && rest.iter().all(|b| b.is_ascii_digit() || matches!(b, b'/' | b'x' | b'X' | b'.'))
        }
        // Without the point: I109, E1190, as some systems export it.
        _ => rest.len() <= 7 && rest[0].is_ascii_alphanumeric() && rest.iter().all(u8::is_ascii_alphanumeric),
    }
}

/// Whether it looks like an ICD-9-CM-3 procedure code: two digits, optionally a point, one or two digits and a
/// local extension (`47.01`, `81.5100x003`).
#[must_use]
pub fn is_icd9_procedure(text: &str) -> bool {
    let bytes = text.as_bytes();
    let [a, b, rest @ ..] = bytes else { return false };
    if !a.is_ascii_digit() || !b.is_ascii_digit() {
        return false;
    }
    match rest {
        [] => true,
        [b'.', first, tail @ ..] => {
            (first.is_ascii_digit() || first.eq_ignore_ascii_case(&b'x'))
                && tail.len() <= 8
                && tail.iter().all(u8::is_ascii_alphanumeric)
        }
        _ => false,
    }
}

/// Whether it is a division code of 6, 9 or 12 digits in a province that exists.
#[must_use]
pub fn is_region(text: &str) -> bool {
    matches!(text.len(), 6 | 9 | 12) && is_digits(text) && is_province(number(&text.as_bytes()[..2]) as u8)
}

/// Texts that are typed where a name is unknown.
const PLACEHOLDERS: &[&str] = &[
    "不详", "未知", "无名", "测试", "test", "患者", "病人", "匿名", "无", "空", "null", "none", "xxx", "***",
];

/// Whether a text can be a person's name: 2 to 50 characters, letters and middle dots only, no digits, no
/// placeholder. A newborn's `王某之子` passes.
#[must_use]
pub fn is_person_name(text: &str) -> bool {
    let mut count = 0;
    for c in text.chars() {
        count += 1;
        if !(c.is_alphabetic() || matches!(c, '·' | '•' | '．' | '.' | ' ' | '-' | '\'' | '’' | '〇'))
        {
            return false;
        }
    }
    (2..=50).contains(&count)
        && !PLACEHOLDERS.iter().any(|p| text.eq_ignore_ascii_case(p))
        && !["测试", "不详", "无名氏", "未知"].iter().any(|p| text.contains(p))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn citizen_numbers() {
        for (text, canonical, birth, gender) in [
            ("11010519491231002X", "11010519491231002X", (1949, 12, 31), Gender::Female),
            ("11010519491231002x", "11010519491231002X", (1949, 12, 31), Gender::Female),
            ("440524188001010014", "440524188001010014", (1880, 1, 1), Gender::Male),
            ("34052419800101001X", "34052419800101001X", (1980, 1, 1), Gender::Male),
            ("340524800101001", "34052419800101001X", (1980, 1, 1), Gender::Male),
        ] {
            let id = CitizenId::parse(text).unwrap();
            assert_eq!(id.as_str(), canonical);
            assert_eq!(id.birth(), NaiveDate::from_ymd_opt(birth.0, birth.1, birth.2).unwrap());
            assert_eq!(id.gender(), gender);
            assert_eq!(id.region(), &text[..6]);
            assert!(!format!("{id:?}").contains(&canonical[10..]));
        }
        for (text, why) in [
            ("", BadCitizenId::Shape),
            ("123", BadCitizenId::Shape),
            ("1101051949123100２", BadCitizenId::Shape),
            ("张张张张张张", BadCitizenId::Shape),
            ("X1010519491231002X", BadCitizenId::Shape),
            ("11010519491231002Y", BadCitizenId::Shape),
            ("990105194912310021", BadCitizenId::Province),
            ("110105194913310021", BadCitizenId::Birth),
            ("110105194902300021", BadCitizenId::Birth),
            ("110105194912310021", BadCitizenId::CheckDigit),
            ("110105194912310020", BadCitizenId::CheckDigit),
        ] {
            assert_eq!(CitizenId::parse(text), Err(why), "{text}");
        }
        let birth = NaiveDate::from_ymd_opt(1949, 12, 31).unwrap();
        assert_eq!(CitizenId::compose("110105", birth, 2).unwrap().as_str(), "11010519491231002X");
        assert_eq!(CitizenId::compose("1101", birth, 2), None);
        assert_eq!(CitizenId::compose("110105", birth, 1000), None);
    }

    #[test]
    fn every_single_digit_error_in_a_citizen_number_is_found() {
        let good = "11010519491231002X";
        for position in 0..17 {
            for digit in b'0'..=b'9' {
                let mut bytes = good.as_bytes().to_vec();
                if bytes[position] == digit {
                    continue;
                }
                bytes[position] = digit;
                assert!(CitizenId::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
            }
        }
    }

    /// Runs one recogniser over texts that it must accept and texts that it must not.
    fn table(check: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(check(text), "{text} should pass");
        }
        for text in bad {
            assert!(!check(text), "{text} should fail");
        }
    }

    #[test]
    fn shapes() {
        table(
            is_credit_code,
            &["91350100M000100Y43", "12360000491015900T", "12100000400000624D"],
            &["", "91350100M000100Y44", "91350100M000100O43", "9135", "统一社会信用"],
        );
        table(
            is_phone,
            &[
                "13800138000",
                "+86 138-0013-8000",
                "8613800138000",
                "0376-6366666",
                "037663666660",
                "(010)62345678",
                "6366666",
                "63666666",
                "400-810-8888",
                "0376-6366666转802",
            ],
            &["", "1380013800", "12345678901", "电话", "1", "无", "00000000000", "138001380000000000000000"],
        );
        table(
            is_icd10,
            &[
                "I10",
                "I10.x00",
                "E11.900x001",
                "J18.9",
                "i10",
                "I109",
                "A17.0+",
                "G01*",
                "M80000/3",
                "U07.100",
            ],
            &["", "I1", "110", "高血压", "I10.", "I10。9", "I10-J18", "M80000/3；"],
        );
        table(
            is_icd9_procedure,
            &["47.01", "47", "81.5100x003", "00.6x00"],
            &["", "4", "A47.01", "47.", "4701x", "阑尾切除"],
        );
        table(is_digits, &["0", "123"], &["", "12a", "１２", "-1"]);
        table(is_region, &["411503", "411503001", "411503001001"], &["", "4115", "991503", "41150x"]);
        table(
            is_person_name,
            &["张三", "阿依古丽·买买提", "Tom Lee", "王某之子", "李〇"],
            &["", "张", "张3", "不详", "测试", "测试病人", "无名氏", "TEST", "***", "张三\u{0}"],
        );
    }
}
