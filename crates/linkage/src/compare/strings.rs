//! Distances between short strings. All work on small slices of anything comparable: bytes or characters.

/// The longest string that is compared sign by sign; what is beyond is cut off.
pub(crate) const LONGEST: usize = 48;

/// Jaro's similarity with Winkler's bonus for a common beginning (0 to 1; 1 for equal strings). Symmetric: the greedy
/// search always runs from the lesser string.
#[must_use]
pub fn jaro_winkler<T: Copy + Ord>(a: &[T], b: &[T]) -> f64 {
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    let jaro = jaro(a, b);
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    if jaro > 0.7 { jaro + prefix as f64 * 0.1 * (1.0 - jaro) } else { jaro }
}

/// Jaro's similarity (0 to 1), searching the signs of `a` in `b`.
#[must_use]
pub fn jaro<T: Copy + PartialEq>(a: &[T], b: &[T]) -> f64 {
    let (a, b) = (cut(a), cut(b));
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 1.0 } else { 0.0 };
    }
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let (mut taken_a, mut taken_b) = (0_u64, 0_u64);
    for (i, x) in a.iter().enumerate() {
        let low = i.saturating_sub(window);
        let high = (i + window + 1).min(b.len());
        for j in low..high {
            if taken_b & (1 << j) == 0 && b.get(j) == Some(x) {
                taken_a |= 1 << i;
                taken_b |= 1 << j;
                break;
            }
        }
    }
    let same = taken_a.count_ones();
    if same == 0 {
        return 0.0;
    }
    let of_a = a.iter().enumerate().filter(|(i, _)| taken_a & (1 << i) != 0).map(|(_, x)| x);
    let of_b = b.iter().enumerate().filter(|(j, _)| taken_b & (1 << j) != 0).map(|(_, y)| y);
    let crossed = of_a.zip(of_b).filter(|(x, y)| x != y).count();
    let same = f64::from(same);
    (same / a.len() as f64 + same / b.len() as f64 + (same - crossed as f64 / 2.0) / same) / 3.0
}

/// Damerau–Levenshtein distance (neighbours exchanged count once), given up beyond `most`: then `most + 1`.
#[must_use]
pub fn damerau<T: Copy + PartialEq>(a: &[T], b: &[T], most: usize) -> usize {
    let (a, b) = (cut(a), cut(b));
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut before = [0_usize; LONGEST + 1];
    let mut last = [0_usize; LONGEST + 1];
    let mut row = [0_usize; LONGEST + 1];
    for (j, cell) in last.iter_mut().enumerate() {
        *cell = j;
    }
    for (i, x) in a.iter().enumerate() {
        row[0] = i + 1;
        let mut least = row[0];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row[j + 1] = cost;
            least = least.min(cost);
        }
        if least > most + 1 {
            return most + 1;
        }
        before = last;
        last = row;
    }
    last[b.len()].min(most + 1)
}

/// Whether one sign was changed, left out, added or exchanged with its neighbour (or nothing).
#[must_use]
pub fn within_one<T: Copy + PartialEq>(a: &[T], b: &[T]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let (rest_short, rest_long) = (&short[same..], &long[same..]);
    if rest_short.len() < rest_long.len() {
        return rest_short == &rest_long[1..];
    }
    match rest_short.len() {
        0 | 1 => true,
        n => {
            rest_short[1..] == rest_long[1..]
                || (rest_short[0] == rest_long[1]
                    && rest_short[1] == rest_long[0]
                    && (n == 2 || rest_short[2..] == rest_long[2..]))
        }
    }
}

fn cut<T>(text: &[T]) -> &[T] {
    &text[..text.len().min(LONGEST)]
}

/// A code for how a Latin word sounds, made for names of any European language: vowels after the first sign are
/// dropped, signs that are easily taken for one another share a code. At most eight signs packed in a number.
#[must_use]
pub fn sound(word: &[u8]) -> u64 {
    let mut out = 0_u64;
    let mut last = 0_u8;
    let mut count = 0;
    let mut at = 0;
    while let Some(c) = word.get(at).map(u8::to_ascii_lowercase) {
        let next = word.get(at + 1).map_or(0, u8::to_ascii_lowercase);
        let (code, used) = match (c, next) {
            (b'p', b'h') => (b'f', 2),
            (b's', b'c') if word.get(at + 2).is_some_and(|c| c.eq_ignore_ascii_case(&b'h')) => (b's', 3),
            (b'c', b'h') | (b's', b'h') | (b's', b'z') | (b't', b'z') => (b's', 2),
            (b'c', b'k') | (b'g', b'h') => (b'k', 2),
            (b'g' | b'k', b'n') if at == 0 => (b'n', 2),
            (b'w', b'r') if at == 0 => (b'r', 2),
            (b't', b'h' | b't') | (b'd', b't') => (b't', 2),
            (b'c', b'e' | b'i' | b'y') => (b's', 1),
            (b'c' | b'q' | b'k' | b'g', _) => (b'k', 1),
            (b'x' | b'z' | b's', _) => (b's', 1),
            (b'd' | b't', _) => (b't', 1),
            (b'b', _) => (b'b', 1),
            (b'p', _) => (b'p', 1),
            (b'f' | b'v' | b'w', _) => (b'f', 1),
            (b'm' | b'n', _) => (b'n', 1),
            (b'j', _) => (b'j', 1),
            (b'l', _) => (b'l', 1),
            (b'r', _) => (b'r', 1),
            (b'h', _) => (0, 1),
            (b'a' | b'e' | b'i' | b'o' | b'u' | b'y', _) if at == 0 => (b'a', 1),
            (b'a' | b'e' | b'i' | b'o' | b'u' | b'y', _) => (1, 1),
            (other, _) => (if other.is_ascii_digit() { other } else { 0 }, 1),
        };
        at += used;
        if code == 0 {
            continue;
        }
        if code > 1 && code != last && count < 8 {
            out = out << 8 | u64::from(code);
            count += 1;
        }
        last = code;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        for (a, b, expected) in [
            ("MARTHA", "MARHTA", 0.961),
            ("DIXON", "DICKSONX", 0.813),
            ("DWAYNE", "DUANE", 0.84),
            ("abc", "xyz", 0.0),
            ("", "", 1.0),
            ("a", "", 0.0),
        ] {
            let found = jaro_winkler(a.as_bytes(), b.as_bytes());
            assert!((found - expected).abs() < 0.001, "{a} {b} {found}");
        }
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "acbd", 1),
            ("abc", "abc", 0),
            ("", "ab", 2),
            ("abcdef", "uvwxyz", 4),
        ] {
            assert_eq!(damerau(a.as_bytes(), b.as_bytes(), 3), expected, "{a} {b}");
            assert_eq!(within_one(a.as_bytes(), b.as_bytes()), expected <= 1, "{a} {b}");
        }
    }

    #[test]
    fn words_that_sound_alike() {
        for (a, b, alike) in [
            ("stephen", "steven", true),
            ("catherine", "kathryn", true),
            ("meier", "mayer", true),
            ("schmidt", "schmitt", true),
            ("philips", "filips", true),
            ("smith", "jones", false),
            ("robert", "rupert", false),
        ] {
            assert_eq!(sound(a.as_bytes()) == sound(b.as_bytes()), alike, "{a} {b}");
        }
    }
}
