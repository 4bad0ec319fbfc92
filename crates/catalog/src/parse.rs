//! Reading one cell: dates, times, numbers and booleans as institutions write them. By hand, for speed.
//!
//! All functions take a trimmed text and fold full-width characters themselves.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use rust_decimal::Decimal;
use standards::width;

/// China's offset from UTC in minutes.
const CHINA_OFFSET: i64 = 8 * 60;

/// Longest text that can be a date or time.
const LONGEST: usize = 48;

/// The text as ASCII with `年月日时分秒` turned into separators, in `buffer`; `None` if it has anything else.
fn ascii<'a>(text: &'a str, buffer: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    if text.is_ascii() {
        return (text.len() <= LONGEST).then_some(text.as_bytes());
    }
    let mut length = 0;
    for c in text.chars() {
        let byte = match width::fold_char(c) {
            '年' | '月' => b'-',
            '日' => b' ',
            '时' | '点' | '分' => b':',
            '秒' => continue,
            c if c.is_ascii() => c as u8,
            _ => return None,
        };
        *buffer.get_mut(length)? = byte;
        length += 1;
    }
    while length > 0 && matches!(buffer[length - 1], b' ' | b':' | b'-') {
        length -= 1;
    }
    Some(&buffer[..length])
}

/// Takes between `least` and `most` digits off the front.
fn digits(text: &mut &[u8], least: usize, most: usize) -> Option<u32> {
    let mut number = 0;
    let mut count = 0;
    while count < most {
        match text.get(count) {
            Some(d @ b'0'..=b'9') => number = number * 10 + u32::from(d - b'0'),
            _ => break,
        }
        count += 1;
    }
    *text = &text[count..];
    (count >= least).then_some(number)
}

/// Takes a byte off the front if it is there.
fn take(text: &mut &[u8], byte: u8) -> bool {
    match text.split_first() {
        Some((first, rest)) if *first == byte => {
            *text = rest;
            true
        }
        _ => false,
    }
}

/// The date at the front, and whether it was written without separators.
fn leading_date(text: &mut &[u8]) -> Option<(NaiveDate, bool)> {
    let year = digits(text, 4, 4)?;
    let separator = *text.first()?;
    let compact = separator.is_ascii_digit();
    let (month, day) = if compact {
        (digits(text, 2, 2)?, digits(text, 2, 2)?)
    } else {
        if !matches!(separator, b'-' | b'/' | b'.') {
            return None;
        }
        *text = &text[1..];
        let month = digits(text, 1, 2)?;
        if !take(text, separator) {
            return None;
        }
        (month, digits(text, 1, 2)?)
    };
    // Years before 1800 are system defaults (0001-01-01), not dates of anybody's life.
    if year < 1800 {
        return None;
    }
    NaiveDate::from_ymd_opt(year as i32, month, day).map(|date| (date, compact))
}

/// The zone at the front in minutes east of UTC: `Z`, `+08`, `+0800`, `+08:00`.
fn zone(text: &mut &[u8]) -> Option<i64> {
    let (first, rest) = text.split_first()?;
    *text = rest;
    let sign = match first {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(text, 2, 2)?;
    take(text, b':');
    let minutes = if text.is_empty() { 0 } else { digits(text, 2, 2)? };
    (hours <= 14 && minutes < 60).then_some(sign * i64::from(hours * 60 + minutes))
}

/// The time of day at the front; `compact` is the form without colons.
fn leading_time(text: &mut &[u8], compact: bool) -> Option<(u32, u32, u32, u32)> {
    let hour = digits(text, if compact { 2 } else { 1 }, 2)?;
    let colons = take(text, b':');
    if !(colons || compact || text.first().is_some_and(u8::is_ascii_digit)) {
        return None;
    }
    let minute = digits(text, if colons { 1 } else { 2 }, 2)?;
    let seconds = if colons { take(text, b':') } else { text.first().is_some_and(u8::is_ascii_digit) };
    let second = if seconds { digits(text, if colons { 1 } else { 2 }, 2)? } else { 0 };
    let mut micros = 0;
    if seconds && take(text, b'.') {
        let mut unit = 100_000;
        let mut count = 0;
        while let Some(d @ b'0'..=b'9') = text.first() {
            micros += u32::from(d - b'0') * unit;
            unit /= 10;
            count += 1;
            *text = &text[1..];
        }
        if !(1..=9).contains(&count) {
            return None;
        }
    }
    Some((hour, minute, second, micros))
}

/// Reads a time: `2025-03-04 14:05[:06[.5]]`, `20250304T140506`, `20250304140506`, ISO 8601 with zone (converted to
/// China's clock), `2025年3月4日 14时5分`; a date alone means its midnight.
#[must_use]
pub fn datetime(text: &str) -> Option<NaiveDateTime> {
    let mut buffer = [0; LONGEST];
    let mut rest = ascii(text, &mut buffer)?;
    let (date, compact) = leading_date(&mut rest)?;
    let midnight = date.and_time(chrono::NaiveTime::MIN);
    let gap = rest.first().copied();
    match gap {
        None => return Some(midnight),
        Some(b'T' | b't') => rest = &rest[1..],
        Some(b' ') => while take(&mut rest, b' ') {},
        Some(b'0'..=b'9') if compact => {}
        // A date with a zone (XML) is a day of the calendar; the zone says nothing about it.
        Some(b'Z' | b'z' | b'+') => {
            zone(&mut rest)?;
            return rest.is_empty().then_some(midnight);
        }
        Some(_) => return None,
    }
    let (hour, minute, second, micros) = leading_time(&mut rest, compact && gap != Some(b' '))?;
    let time =
        midnight.with_hour(hour)?.with_minute(minute)?.with_second(second)?.with_nanosecond(micros * 1000)?;
    if rest.is_empty() {
        return Some(time);
    }
    while take(&mut rest, b' ') {}
    let offset = zone(&mut rest)?;
    if !rest.is_empty() {
        return None;
    }
    time.checked_add_signed(TimeDelta::minutes(CHINA_OFFSET - offset))
}

/// Reads a date: `2025-03-04`, `20250304`, `2025/3/4`, `2025.3.4`, `2025年3月4日`; a time gives its day.
#[must_use]
pub fn date(text: &str) -> Option<NaiveDate> {
    let mut rest = text.as_bytes();
    if let Some((date, _)) = leading_date(&mut rest)
        && rest.is_empty()
    {
        return Some(date);
    }
    datetime(text).map(|time| time.date())
}

/// A decimal number as sign, digits without point, and how many of them stand after the point.
struct Digits {
    negative: bool,
    mantissa: u128,
    scale: u32,
    /// Whether digits beyond the wanted scale were other than zero.
    rounded: bool,
}

/// Reads the digits of a number with thousands separators, rounding half up beyond `scale`.
fn number(text: &[u8], scale: u32) -> Option<Digits> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if (whole.is_empty() && fraction.is_empty()) || (point < text.len() && fraction.is_empty()) {
        return None;
    }
    let mut mantissa: u128 = 0;
    let mut count = 0_u32;
    let mut group = 0;
    let mut commas = false;
    for byte in whole {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u128::from(byte - b'0');
                group += 1;
                if mantissa > 0 {
                    count += 1;
                }
            }
            b',' if (commas && group == 3) || (!commas && (1..=3).contains(&group)) => {
                commas = true;
                group = 0;
            }
            _ => return None,
        }
        if count > 20 {
            return None;
        }
    }
    if commas && group != 3 {
        return None;
    }
    let mut written = 0;
    let mut round_up = false;
    let mut rounded = false;
    for (index, byte) in fraction.iter().enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        if (index as u32) < scale {
            mantissa = mantissa * 10 + u128::from(byte - b'0');
            written += 1;
        } else {
            round_up |= index as u32 == scale && *byte >= b'5';
            rounded |= *byte != b'0';
        }
    }
    while written < scale {
        mantissa *= 10;
        written += 1;
    }
    if round_up {
        mantissa += 1;
    }
    Some(Digits { negative: negative && mantissa > 0, mantissa, scale, rounded })
}

/// Runs `read` over the folded bytes of a text.
fn folded<T>(text: &str, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    if text.is_ascii() { read(text.as_bytes()) } else { read(width::fold(text).as_bytes()) }
}

/// Reads a decimal number with exactly `scale` (at most 8) digits after the point; more are rounded half up. At most
/// 20 digits before the point.
#[must_use]
pub fn decimal(text: &str, scale: u32) -> Option<Decimal> {
    folded(text, |bytes| {
        let n = number(bytes, scale.min(8))?;
        if n.mantissa >> 96 != 0 {
            return None;
        }
        Some(Decimal::from_parts(
            n.mantissa as u32,
            (n.mantissa >> 32) as u32,
            (n.mantissa >> 64) as u32,
            n.negative,
            n.scale,
        ))
    })
}

/// Reads a whole number; `3.0` is one, `3.5` is not.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    folded(text, |bytes| {
        let n = number(bytes, 0)?;
        let magnitude = i64::try_from(n.mantissa).ok().filter(|_| !n.rounded)?;
        Some(if n.negative { -magnitude } else { magnitude })
    })
}

/// Reads yes or no: `1 0 T F true false Y N yes no 是 否`, in any case.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    let text = width::fold(text);
    let is = |words: &[&str]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(&["1", "t", "true", "y", "yes", "是"]) {
        Some(true)
    } else if is(&["0", "f", "false", "n", "no", "否"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("2025-03-04", Some("2025-03-04")),
            ("20250304", Some("2025-03-04")),
            ("2025/3/4", Some("2025-03-04")),
            ("2025.03.04", Some("2025-03-04")),
            ("2025年3月4日", Some("2025-03-04")),
            ("２０２５－０３－０４", Some("2025-03-04")),
            ("2025-03-04 00:00:00", Some("2025-03-04")),
            ("2025-03-04T23:30:00Z", Some("2025-03-05")),
            ("2025-03-04Z", Some("2025-03-04")),
            ("2025-03-04+08:00", Some("2025-03-04")),
            ("2024-02-29", Some("2024-02-29")),
            ("9999-12-31", Some("9999-12-31")),
            ("2025-02-29", None),
            ("2025-13-01", None),
            ("0001-01-01", None),
            ("2025-03", None),
            ("2025-03/04", None),
            ("25-03-04", None),
            ("2025年3月", None),
            ("202503041", None),
            ("2025-03-04-", None),
            ("", None),
            ("不详", None),
        ] {
            assert_eq!(date(text).map(|d| d.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("2025-03-04 14:05", Some("2025-03-04 14:05:00")),
            ("2025-03-04 14:05:06", Some("2025-03-04 14:05:06")),
            ("2025-03-04  9:05", Some("2025-03-04 09:05:00")),
            ("2025-03-04 14:05:06.120", Some("2025-03-04 14:05:06.120")),
            ("2025-03-04 14:05:06.1234567", Some("2025-03-04 14:05:06.123456")),
            ("2025/3/4 14:05", Some("2025-03-04 14:05:00")),
            ("20250304T140506", Some("2025-03-04 14:05:06")),
            ("20250304140506", Some("2025-03-04 14:05:06")),
            ("202503041405", Some("2025-03-04 14:05:00")),
            ("20250304 140506", Some("2025-03-04 14:05:06")),
            ("20250304 14:05:06", Some("2025-03-04 14:05:06")),
            ("20250304140506+0800", Some("2025-03-04 14:05:06")),
            ("20250304140506.000+0000", Some("2025-03-04 22:05:06")),
            ("2025-03-04T14:05:06+08:00", Some("2025-03-04 14:05:06")),
            ("2025-03-04T14:05:06Z", Some("2025-03-04 22:05:06")),
            ("2025-03-04T14:05:06.5-05:00", Some("2025-03-05 03:05:06.500")),
            ("2025年3月4日14时05分", Some("2025-03-04 14:05:00")),
            ("2025年3月4日 14时5分6秒", Some("2025-03-04 14:05:06")),
            ("2025年3月4日 14:05:06", Some("2025-03-04 14:05:06")),
            ("2025-03-04", Some("2025-03-04 00:00:00")),
            ("20250304", Some("2025-03-04 00:00:00")),
            ("2025-03-04 24:00:00", None),
            ("2025-03-04 14:60", None),
            ("2025-03-04 14", None),
            ("2025-03-04 下午2:05", None),
            ("2025030414", None),
            ("2025-03-04T", None),
            ("2025-03-04 14:05:06 北京", None),
            ("2025-03-04 14:05:06+25:00", None),
        ] {
            assert_eq!(datetime(text).map(|d| d.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, scale, expected) in [
            ("12", 2, Some("12.00")),
            ("12.5", 2, Some("12.50")),
            ("12.345", 2, Some("12.35")),
            ("-12.345", 2, Some("-12.35")),
            ("0.994999", 2, Some("0.99")),
            ("1,234.56", 2, Some("1234.56")),
            ("1,234,567", 0, Some("1234567")),
            ("１２．５", 1, Some("12.5")),
            ("+7", 0, Some("7")),
            ("-0.00", 2, Some("0.00")),
            (".5", 1, Some("0.5")),
            ("00012", 0, Some("12")),
            ("12345678901234567890", 2, Some("12345678901234567890.00")),
            ("123456789012345678901", 0, None),
            ("12,34", 2, None),
            ("1234,567", 0, None),
            (",123", 0, None),
            ("1,2345", 0, None),
            ("5.", 1, None),
            (".", 1, None),
            ("-", 1, None),
            ("1.2.3", 2, None),
            ("1e3", 2, None),
            ("12mg", 2, None),
            ("", 2, None),
            ("<0.5", 1, None),
        ] {
            assert_eq!(decimal(text, scale).map(|d| d.to_string()).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("3", Some(3)),
            ("3.0", Some(3)),
            ("-3", Some(-3)),
            ("1,000", Some(1000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("3.5", None),
            ("3.05", None),
            ("三", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn booleans() {
        for (text, expected) in [
            ("1", Some(true)),
            ("T", Some(true)),
            ("True", Some(true)),
            ("是", Some(true)),
            ("Ｙ", Some(true)),
            ("0", Some(false)),
            ("false", Some(false)),
            ("否", Some(false)),
            ("n", Some(false)),
            ("2", None),
            ("有", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), expected, "{text}");
        }
    }
}
