//! Chinese addresses: numbers of groups, houses, flats against each other, the rest by pairs of characters.

use crate::compare::characters::folded;

/// An address, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Address {
    /// Without spaces and punctuation, numbers in digits, one word for each unit.
    pub text: Box<str>,
    /// Pairs of neighbouring characters of the part without numbers, hashed, sorted.
    pairs: Box<[u16]>,
    /// The numbers in order, with the unit behind each.
    numbers: Box<[(u16, u8)]>,
    /// Where in `text` the first number begins, in bytes.
    door: u16,
}

/// Units behind numbers, those that mean the same under one code.
const UNITS: &[(&str, u8)] = &[
    ("号楼", 1),
    ("栋", 1),
    ("幢", 1),
    ("座", 1),
    ("单元", 2),
    ("门", 2),
    ("楼", 3),
    ("层", 3),
    ("室", 4),
    ("户", 4),
    ("房", 4),
    ("村民小组", 5),
    ("小组", 5),
    ("组", 5),
    ("队", 5),
    ("社", 5),
    ("弄", 6),
    ("巷", 6),
    ("号", 7),
    ("附", 8),
];

impl Address {
    /// Reads an address; `None` when nothing is left of it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let signs: Vec<char> = text
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == '-')
            .flat_map(char::to_lowercase)
            .map(folded)
            .take(64)
            .collect();
        let mut words: Vec<char> = Vec::with_capacity(signs.len());
        let mut out = String::with_capacity(text.len());
        let mut numbers = Vec::new();
        let mut door = usize::MAX;
        let mut at = 0;
        while at < signs.len() {
            if let Some((number, length)) = number_at(&signs[at..]) {
                let rest = &signs[at + length..];
                let unit =
                    UNITS.iter().find(|(u, _)| rest.iter().copied().take(u.chars().count()).eq(u.chars()));
                // Characters for numbers count only with a unit behind: 三组, but 三里屯.
                if signs[at].is_ascii_digit() || unit.is_some() {
                    door = door.min(out.len());
                    let (word, code) = unit.map_or(("", 0), |(w, c)| (*w, *c));
                    numbers.push((number, code));
                    out.push_str(&number.to_string());
                    out.push(char::from(b'a' + code));
                    at += length + word.chars().count();
                    continue;
                }
            }
            if signs[at] != '-' {
                words.push(signs[at]);
                out.push(signs[at]);
            }
            at += 1;
        }
        if out.chars().count() < 2 {
            return None;
        }
        let mut pairs: Vec<u16> = words
            .windows(2)
            .map(|w| ((w[0] as u32).wrapping_mul(31) ^ (w[1] as u32).wrapping_mul(2027)) as u16)
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        numbers.truncate(8);
        let door = door.min(out.len()) as u16;
        Some(Self { text: out.into(), pairs: pairs.into(), numbers: numbers.into(), door })
    }

    /// The last two characters before the first number and all numbers; empty when there are no numbers.
    pub(crate) fn door_key(&self) -> String {
        let (place, door) = self.text.split_at(usize::from(self.door));
        if door.is_empty() || place.is_empty() {
            return String::new();
        }
        let from = place.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
        let mut key = place[from..].to_owned();
        for (number, _) in &self.numbers {
            key.push_str(&number.to_string());
            key.push('.');
        }
        key
    }
}

/// A number in digits or characters at the beginning: its value and how many signs it takes.
fn number_at(signs: &[char]) -> Option<(u16, usize)> {
    let digits = signs.iter().take_while(|c| c.is_ascii_digit()).count();
    if digits > 0 {
        let value =
            signs[..digits.min(9)].iter().filter_map(|c| c.to_digit(10)).fold(0_u32, |n, d| n * 10 + d);
        return Some(((value % 65_536) as u16, digits));
    }
    let (mut total, mut digit, mut length, mut plain) = (0_u32, 0_u32, 0, true);
    for c in signs {
        match c {
            '零' | '〇' => digit = 0,
            '一' | '二' | '三' | '四' | '五' | '六' | '七' | '八' | '九' => {
                let value = "一二三四五六七八九".chars().position(|d| d == *c).unwrap_or(0) as u32 + 1;
                digit = if plain && length > 0 { digit.min(6000) * 10 + value } else { value };
            }
            '十' => {
                total += digit.max(1) * 10;
                digit = 0;
                plain = false;
            }
            '百' => {
                total += digit.max(1) * 100;
                digit = 0;
                plain = false;
            }
            _ => break,
        }
        length += 1;
    }
    (length > 0).then_some((((total + digit) % 65_536) as u16, length))
}

/// exact, near, close, loose, different. Both have been found to differ as written.
pub(crate) fn outcome(a: &Address, b: &Address) -> u8 {
    if a.text == b.text {
        return 0;
    }
    let shared = shared(&a.pairs, &b.pairs);
    let fewer = a.pairs.len().min(b.pairs.len());
    let more = a.pairs.len().max(b.pairs.len());
    let covered = if fewer == 0 { 0.0 } else { shared as f64 / fewer as f64 };
    let all = if more == 0 { 1.0 } else { shared as f64 / more as f64 };
    let doors = doors(a, b);
    match doors {
        // The same door, the place written longer or shorter.
        Doors::Same if covered >= 0.6 => 1,
        Doors::Same if covered >= 0.3 => 2,
        Doors::Part if covered >= 0.75 => 2,
        Doors::None if covered >= 0.8 => 2,
        Doors::Part | Doors::None if covered >= 0.5 => 3,
        Doors::Other if all >= 0.75 => 3,
        _ => 4,
    }
}

enum Doors {
    /// The same numbers.
    Same,
    /// One has numbers that the other lacks.
    Part,
    /// Neither, or only one, has numbers.
    None,
    /// Other numbers.
    Other,
}

fn doors(a: &Address, b: &Address) -> Doors {
    let (x, y) = (&a.numbers, &b.numbers);
    if x.is_empty() || y.is_empty() {
        return Doors::None;
    }
    if x.iter().map(|n| n.0).eq(y.iter().map(|n| n.0)) {
        return Doors::Same;
    }
    let (short, long) = if x.len() <= y.len() { (x, y) } else { (y, x) };
    let ends = |l: &[(u16, u8)]| l.iter().map(|n| n.0).eq(short.iter().map(|n| n.0));
    if ends(&long[..short.len()]) || ends(&long[long.len() - short.len()..]) {
        Doors::Part
    } else {
        Doors::Other
    }
}

fn shared(a: &[u16], b: &[u16]) -> usize {
    let (mut i, mut j, mut count) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                count += 1;
                i += 1;
                j += 1;
            }
        }
    }
    count
}
