//! Comparators: two different values of a kind give one outcome of [`Kind::outcomes`].

pub(crate) mod address;
pub(crate) mod characters;
pub(crate) mod chinese;
pub(crate) mod date;
pub mod strings;

use crate::kind::Kind;
use crate::value::{More, Value};
use strings::{damerau, jaro_winkler, sound, within_one};

/// The outcome of two values that are not equal: an index into the kind's outcomes, `None` when they cannot be
/// compared (a newborn without a name). Symmetric.
pub(crate) fn outcome(kind: Kind, a: &Value, b: &Value) -> Option<u8> {
    let worst = (kind.outcomes().len() - 1) as u8;
    Some(match (&a.more, &b.more) {
        (More::Text(x), More::Text(y)) => match kind {
            Kind::Email => email(x, y),
            Kind::Name => name(x, y),
            _ => text(x, y),
        },
        (More::Words(x), More::Words(y)) => words(x, y),
        (More::Date(x), More::Date(y)) => x.outcome(y),
        (More::Number(x), More::Number(y)) => number(*x, *y),
        (More::Signs(x), More::Signs(y)) => match kind {
            Kind::Phone => phone(x.as_slice(), y.as_slice()),
            Kind::Postcode => postcode(x.as_slice(), y.as_slice()),
            _ => identifier(x.as_slice(), y.as_slice()),
        },
        (More::Citizen(x, valid_x), More::Citizen(y, valid_y)) => citizen(x, *valid_x, y, *valid_y),
        (More::Chinese(x), More::Chinese(y)) => return chinese::outcome(x, y),
        (More::Region(x), More::Region(y)) => region(x, y),
        (More::Address(x), More::Address(y)) => address::outcome(x, y),
        _ => worst,
    })
}

/// Runs a comparison on bytes where both are ASCII, on characters else.
fn on_signs<R>(
    a: &str,
    b: &str,
    ascii: impl Fn(&[u8], &[u8]) -> R,
    other: impl Fn(&[char], &[char]) -> R,
) -> R {
    if a.is_ascii() && b.is_ascii() {
        return ascii(a.as_bytes(), b.as_bytes());
    }
    let (mut left, mut right) = (['\0'; strings::LONGEST], ['\0'; strings::LONGEST]);
    let fill = |into: &mut [char], text: &str| {
        let mut n = 0;
        for (slot, c) in into.iter_mut().zip(text.chars()) {
            *slot = c;
            n += 1;
        }
        n
    };
    let (n, m) = (fill(&mut left, a), fill(&mut right, b));
    other(&left[..n], &right[..m])
}

fn similarity(a: &str, b: &str) -> f64 {
    on_signs(a, b, jaro_winkler, jaro_winkler)
}

fn one_off(a: &str, b: &str) -> bool {
    on_signs(a, b, within_one, within_one)
}

fn at_most(a: &str, b: &str, most: usize) -> bool {
    on_signs(a, b, |x, y| damerau(x, y, most), |x, y| damerau(x, y, most)) <= most
}

/// exact, near, close, loose, different.
fn text(a: &str, b: &str) -> u8 {
    let shorter = a.len().min(b.len());
    if shorter >= 3 && one_off(a, b) {
        return 1;
    }
    let alike = similarity(a, b);
    if alike >= 0.92 || (shorter >= 6 && at_most(a, b, 2)) {
        2
    } else if alike >= 0.8 || (shorter >= 4 && (a.starts_with(b) || b.starts_with(a))) {
        3
    } else {
        4
    }
}

/// exact, near, close, loose, (swapped,) different. Initials and short forms are loose: Rob and Robert, J and John.
fn name(a: &str, b: &str) -> u8 {
    let shorter = a.len().min(b.len());
    if shorter >= 3 && one_off(a, b) {
        return 1;
    }
    let alike = similarity(a, b);
    let ascii = a.is_ascii() && b.is_ascii();
    if alike >= 0.92
        || (shorter >= 6 && at_most(a, b, 2))
        || (ascii && shorter >= 4 && sound(a.as_bytes()) == sound(b.as_bytes()) && alike >= 0.7)
    {
        2
    } else if alike >= 0.82 || a.starts_with(b) || b.starts_with(a) {
        3
    } else {
        5
    }
}

/// exact, near (the same words, or all but a slip), close, loose, different.
fn words(a: &crate::value::Words, b: &crate::value::Words) -> u8 {
    if a.words == b.words || (a.text.len().min(b.text.len()) >= 4 && one_off(&a.text, &b.text)) {
        return 1;
    }
    // Each word of the shorter finds its best in the longer; long words weigh more.
    let size = |w: &crate::value::Words| (w.words.len(), w.text.len());
    let (short, long) = if (size(a), &a.text) <= (size(b), &b.text) { (a, b) } else { (b, a) };
    let mut taken = 0_u32;
    let (mut found, mut all) = (0.0, 0.0);
    for word in &short.words {
        let weight = (word.len().min(8) as f64).sqrt();
        all += weight;
        let mut best = (0.0, 32);
        for (at, other) in long.words.iter().enumerate().take(24) {
            if taken >> at & 1 == 1 {
                continue;
            }
            let alike = if word == other {
                1.0
            } else if word.len().min(other.len()) >= 3 && one_off(word, other) {
                0.85
            } else if (other.starts_with(&**word) || word.starts_with(&**other))
                && (word.len().min(other.len()) >= 3 || word.len() == 1)
            {
                0.6
            } else {
                0.0
            };
            if alike > best.0 {
                best = (alike, at);
            }
        }
        if best.1 < 32 {
            taken |= 1 << best.1;
            found += weight * best.0;
        }
    }
    let rest: f64 = (long.words.iter().enumerate().take(24))
        .filter(|(at, _)| taken >> at & 1 == 0)
        .map(|(_, w)| (w.len().min(8) as f64).sqrt())
        .sum();
    let share = found / (all + rest).max(0.1);
    let covered = found / all.max(0.1);
    let alike = similarity(&a.text, &b.text);
    if share >= 0.75 || alike >= 0.94 || (covered >= 0.95 && short.words.len() >= 2) {
        2
    } else if share >= 0.45 || alike >= 0.85 || (covered >= 0.9 && short.text.len() >= 4) {
        3
    } else {
        4
    }
}

/// exact, digit, near, different.
fn number(a: f64, b: f64) -> u8 {
    let (x, y) = (format_number(a), format_number(b));
    if x.len().max(y.len()) >= 2 && within_one(x.as_bytes(), y.as_bytes()) {
        1
    } else if (a - b).abs() <= 1.0 || ((a - b).abs() <= 0.02 * a.abs().max(b.abs()) && !year(a) && !year(b)) {
        2
    } else {
        3
    }
}

/// Whether a number may be a year: two per cent of one are forty years.
fn year(number: f64) -> bool {
    (1000.0..2200.0).contains(&number) && number.fract() == 0.0
}

fn format_number(number: f64) -> String {
    format!("{number}")
}

/// exact, digit, close, different.
fn identifier(a: &[u8], b: &[u8]) -> u8 {
    let shorter = a.len().min(b.len());
    if shorter >= 3 && within_one(a, b) {
        1
    } else if shorter >= 5 && (damerau(a, b, 2) <= 2 || a.ends_with(b) || b.ends_with(a)) {
        2
    } else {
        3
    }
}

/// exact, digit, tail, different.
fn phone(a: &[u8], b: &[u8]) -> u8 {
    if a.len().min(b.len()) >= 7 {
        if within_one(a, b) {
            return 1;
        }
        // The area code left out.
        if a.len() != b.len() && (a.ends_with(b) || b.ends_with(a)) {
            return 2;
        }
        if a.len() == b.len() && damerau(a, b, 2) <= 2 {
            return 2;
        }
    }
    3
}

/// exact, local, near, domain, different.
fn email(a: &str, b: &str) -> u8 {
    let part = |t: &str| -> (String, String) {
        let (l, d) = t.rsplit_once('@').unwrap_or((t, ""));
        (l.to_owned(), d.to_owned())
    };
    let ((local_a, domain_a), (local_b, domain_b)) = (part(a), part(b));
    if !local_a.is_empty() && local_a == local_b {
        1
    } else if one_off(a, b) || (local_a.len().min(local_b.len()) >= 5 && at_most(&local_a, &local_b, 2)) {
        2
    } else if !domain_a.is_empty() && domain_a == domain_b {
        3
    } else {
        4
    }
}

/// exact, digit, area, different.
fn postcode(a: &[u8], b: &[u8]) -> u8 {
    let shorter = a.len().min(b.len());
    if shorter >= 3 && within_one(a, b) {
        1
    } else if shorter >= 3 && a[..shorter.div_ceil(2)] == b[..shorter.div_ceil(2)] {
        2
    } else {
        3
    }
}

/// exact, same_invalid, digit, close, different, two_valid.
fn citizen(a: &[u8; 18], valid_a: bool, b: &[u8; 18], valid_b: bool) -> u8 {
    if valid_a && valid_b {
        return 5;
    }
    if a == b {
        return 1;
    }
    let known = |id: &[u8; 18]| id.iter().rposition(|s| *s != b'-').map_or(0, |last| last + 1);
    let (x, y) = (&a[..known(a)], &b[..known(b)]);
    // Between an old number with an error and a new one the last place says nothing.
    let old = (x.len() == 17) != (y.len() == 17) && within_one(&a[..17], &b[..17]);
    if old || within_one(x, y) {
        2
    } else if damerau(x, y, 2) <= 2 || (a[6..17] == b[6..17] && a[6] != b'-') {
        3
    } else {
        4
    }
}

/// exact, township, county, prefecture, different. A code known less finely agrees as far as it goes.
fn region(a: &[u8; 12], b: &[u8; 12]) -> u8 {
    let same = |n: usize| a[..n] == b[..n];
    let known = |r: &[u8; 12], from: usize| r[from..].iter().any(|c| *c != b'0');
    if same(9) && (!known(a, 9) || !known(b, 9)) || same(9) {
        1
    } else if same(6) {
        2
    } else if same(4) {
        3
    } else {
        4
    }
}

#[cfg(test)]
mod tests;
