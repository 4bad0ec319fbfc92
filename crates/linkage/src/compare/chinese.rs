//! Chinese names: characters, pinyin, look-alikes, minority and foreign names, nicknames, newborns without a name.

use super::characters::{
    accent_alike, accent_folded, folded, letters, look_alike, readings, sound_alike, surname_length,
    surname_reading,
};
use super::strings::jaro_winkler;

/// Longest name that is kept, in characters.
const LONGEST: usize = 32;

/// Signs between the parts of a name.
const DOTS: &[char] = &['·', '•', '・', '．', '.', '‧', '∙', '●', '▪', '-', '－', '—', '、', ',', '，', '\''];

/// Signs typed for a character that the keyboard did not have.
const HOLES: &[char] = &['?', '？', '*', '□', '○', '■', '＊', '�', '_'];

/// What stands behind the mother's name for a newborn without a name of its own.
const NEWBORN: &[&str] = &[
    "之子",
    "之女",
    "之婴",
    "之男",
    "婴儿",
    "新生儿",
    "女婴",
    "男婴",
    "之双",
    "之大",
    "之小",
    "毛毛",
    "宝宝",
];

/// What stands for a person whose name nobody knows.
const NOBODY: &[&str] = &["无名", "未知", "不详", "佚名", "某某", "未命名", "姓名不"];

/// A name, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// Simplified characters and lower-case letters; of Latin names words with one space between.
    signs: Box<[char]>,
    /// How many signs are the family name.
    surname: u8,
    /// Parts between dots.
    parts: u8,
    latin: bool,
    unnamed: bool,
    /// Of the unnamed: whether the name says which of several (张丽之大女).
    ordinal: bool,
}

impl Name {
    /// Reads a name; gives also the name as it was written but for width, case and outer spaces. `None` for names
    /// that stand for nobody.
    pub(crate) fn read(text: &str) -> Option<(Self, String)> {
        let raw: String = text.trim().chars().take(LONGEST).flat_map(char::to_lowercase).collect();
        // What stands in brackets is a remark: 张伟（小）.
        let main = raw.split(['(', '（', '[']).next().filter(|m| !m.trim().is_empty()).unwrap_or(&raw);
        if NOBODY.iter().any(|n| main.starts_with(n)) {
            return None;
        }
        let han = main.chars().filter(|c| (*c as u32) >= 0x2e80).count();
        let latin = han == 0;
        let mut signs: Vec<char> = Vec::with_capacity(main.len());
        let mut parts = 1_u8;
        let mut gap = false;
        for c in main.chars() {
            if DOTS.contains(&c) || c.is_whitespace() {
                gap = !signs.is_empty();
            } else if c.is_alphanumeric() || HOLES.contains(&c) {
                if gap {
                    parts = parts.saturating_add(1);
                    if latin {
                        signs.push(' ');
                    }
                }
                gap = false;
                signs.push(if HOLES.contains(&c) { '?' } else { folded(c) });
            }
        }
        if signs.iter().all(|c| matches!(c, '?' | ' ') || c.is_ascii_digit()) {
            return None;
        }
        if !latin && parts > 1 && signs.len() <= 4 {
            // 张 伟: a space for the looks.
            parts = 1;
        }
        // Behind at least two characters of the mother's name.
        let unnamed = signs.len() >= 4
            && NEWBORN.iter().any(|n| {
                let first = n.chars().next();
                (2..signs.len()).any(|at| {
                    Some(signs[at]) == first
                        && n.chars().eq(signs[at..].iter().copied().take(n.chars().count()))
                })
            });
        let surname = if latin || parts > 1 || signs.len() > 5 { 0 } else { surname_length(&signs) as u8 };
        let ordinal = unnamed && ordinal(&signs[signs.len().min(2)..]);
        Some((Self { signs: signs.into(), surname, parts, latin, unnamed, ordinal }, raw))
    }

    /// The name as that of a child without one: the parent's, with a sign or a few behind it.
    pub(crate) fn named_after(&self, parent: &Self) -> Option<Self> {
        let behind = self.signs.len().saturating_sub(parent.signs.len());
        let after =
            (1..=3).contains(&behind) && parent.signs.len() >= 2 && self.signs.starts_with(&parent.signs);
        let ordinal = after && ordinal(&self.signs[parent.signs.len()..]);
        (after && !self.unnamed && !self.latin).then(|| Self { unnamed: true, ordinal, ..self.clone() })
    }

    /// Whether this is a child without a name.
    pub(crate) const fn is_unnamed(&self) -> bool {
        self.unnamed
    }

    /// The name in the form in which its variants are equal.
    pub(crate) fn folded(&self) -> String {
        if self.latin {
            let text: String = self.signs.iter().collect();
            let mut words: Vec<&str> = text.split(' ').collect();
            words.sort_unstable();
            words.join(" ")
        } else {
            self.signs.iter().collect()
        }
    }

    /// How the name sounds, for blocking; a Latin name in both orders.
    pub(crate) fn sound_keys(&self) -> Vec<String> {
        if self.latin {
            let text: String = self.signs.iter().collect();
            let words: Vec<&str> = text.split(' ').collect();
            let mut sorted = words.clone();
            sorted.sort_unstable();
            let mut keys = vec![accent_folded(&words.concat())];
            let other = accent_folded(&sorted.concat());
            if !keys.contains(&other) {
                keys.push(other);
            }
            return keys;
        }
        vec![accent_folded(&self.pinyin(0, self.signs.len()))]
    }

    /// How the family name sounds; empty for names without one.
    pub(crate) fn surname_key(&self) -> String {
        accent_folded(&self.pinyin(0, usize::from(self.surname)))
    }

    /// How the given name sounds; empty for names without a family name.
    pub(crate) fn given_key(&self) -> String {
        if self.surname == 0 || self.unnamed {
            return String::new();
        }
        accent_folded(&self.pinyin(usize::from(self.surname), self.signs.len()))
    }

    /// The commonest reading of some of the signs; letters stand for themselves.
    fn pinyin(&self, from: usize, to: usize) -> String {
        let mut out = String::new();
        for (at, c) in self.signs[from..to].iter().enumerate() {
            let family = if from + at == 0 && self.surname == 1 { surname_reading(*c) } else { None };
            let reading = family.unwrap_or_else(|| letters(readings(*c)[0]));
            if reading.is_empty() {
                out.push(*c);
            } else {
                out.push_str(reading);
            }
        }
        out
    }

    fn has_letters(&self) -> bool {
        self.signs.iter().any(char::is_ascii_alphabetic)
    }

    fn given(&self) -> &[char] {
        &self.signs[usize::from(self.surname).min(self.signs.len())..]
    }
}

/// Whether what stands behind a mother's name counts children.
fn ordinal(behind: &[char]) -> bool {
    behind
        .iter()
        .any(|c| matches!(c, '大' | '小' | '二' | '长' | '次' | '双' | '甲' | '乙' | 'a' | 'b' | '1' | '2'))
}

/// Whether characters are read as these letters, by any of their readings.
fn read_as(signs: &[char], text: &[u8]) -> bool {
    let Some((first, rest)) = signs.split_first() else { return text.is_empty() };
    if first.is_ascii() {
        return *first == ' ' && read_as(rest, text)
            || text.first().is_some_and(|b| char::from(*b) == *first) && read_as(rest, &text[1..]);
    }
    if surname_reading(*first)
        .is_some_and(|r| text.starts_with(r.as_bytes()) && read_as(rest, &text[r.len()..]))
    {
        return true;
    }
    readings(*first)
        .iter()
        .filter(|s| **s != 0)
        .map(|s| letters(*s).as_bytes())
        .any(|r| text.starts_with(r) && read_as(rest, &text[r.len()..]))
}

const VARIANT: u8 = 1;
const HOMOPHONE: u8 = 2;
const SHAPE: u8 = 3;
const ACCENT: u8 = 4;
const NEAR: u8 = 5;
const NICKNAME: u8 = 6;
const PART: u8 = 7;
/// One character of the given name is quite another: brothers and sisters share the rest.
const KIN: u8 = 8;
const GIVEN: u8 = 9;
const SURNAME: u8 = 10;
const DIFFERENT: u8 = 11;

/// The outcome of two names that are not written alike; `None` when one of them is no name yet (newborns).
pub(crate) fn outcome(a: &Name, b: &Name) -> Option<u8> {
    if a.unnamed != b.unnamed {
        // Of twins nobody knows which one it is.
        return if a.ordinal || b.ordinal { Some(KIN) } else { None };
    }
    if a.unnamed {
        // 之子 and 之女, 之大 and 之小: children that were told apart on purpose. The same name says nothing.
        return if a.signs == b.signs { None } else { Some(DIFFERENT) };
    }
    if a.signs == b.signs {
        return Some(VARIANT);
    }
    Some(match (a.latin, b.latin) {
        (true, true) => latin(a, b),
        (false, false) if !a.has_letters() && !b.has_letters() => han(a, b),
        _ => typed(a, b),
    })
}

/// Two names in Latin letters.
fn latin(a: &Name, b: &Name) -> u8 {
    let (x, y) = (a.folded(), b.folded());
    if x == y {
        return VARIANT;
    }
    let joined = |n: &Name| -> Vec<u8> { n.signs.iter().filter(|c| **c != ' ').map(|c| *c as u8).collect() };
    if joined(a) == joined(b) {
        return VARIANT;
    }
    let (wx, wy): (Vec<&str>, Vec<&str>) = (x.split(' ').collect(), y.split(' ').collect());
    let shared = wx.iter().filter(|w| w.len() > 1 && wy.contains(w)).count();
    if shared >= 2 || (shared == 1 && wx.len().min(wy.len()) == 1 && x.len().min(y.len()) >= 5) {
        return PART;
    }
    if jaro_winkler(x.as_bytes(), y.as_bytes()) >= 0.93 || jaro_winkler(&joined(a), &joined(b)) >= 0.93 {
        return NEAR;
    }
    if shared >= 1 { SURNAME } else { DIFFERENT }
}

/// A name with letters and one with characters: somebody typed pinyin.
fn typed(a: &Name, b: &Name) -> u8 {
    let all = |n: &Name| -> String { n.signs.iter().filter(|c| **c != ' ').collect() };
    let (x, y) = (all(a), all(b));
    let same = (x.is_ascii() && read_as(&b.signs, x.as_bytes()))
        || (y.is_ascii() && read_as(&a.signs, y.as_bytes()))
        || a.pinyin(0, a.signs.len()).replace(' ', "") == b.pinyin(0, b.signs.len()).replace(' ', "");
    if same {
        return HOMOPHONE;
    }
    let mixed = !a.latin && !b.latin;
    if mixed
        && a.signs.len() == b.signs.len()
        && a.signs.iter().zip(&b.signs).filter(|(p, q)| p != q).count() == 1
    {
        return NEAR;
    }
    let (keys_a, keys_b) = (a.sound_keys(), b.sound_keys());
    if keys_a.iter().any(|k| keys_b.contains(k)) {
        return ACCENT;
    }
    DIFFERENT
}

/// Two names in characters.
fn han(a: &Name, b: &Name) -> u8 {
    let (x, y) = (&*a.signs, &*b.signs);
    if a.surname == 0 || b.surname == 0 {
        return long(a, b);
    }
    let family = same_surname(a, b);
    if x.len() == y.len() {
        let differing: Vec<usize> = (0..x.len()).filter(|i| x[*i] != y[*i]).collect();
        let all = |test: fn(char, char) -> bool| differing.iter().all(|i| test(x[*i], y[*i]));
        if all(sound_alike) {
            return HOMOPHONE;
        }
        if differing.len() == 1 && all(look_alike) {
            return SHAPE;
        }
        if all(|p, q| sound_alike(p, q) || look_alike(p, q)) && differing.len() * 2 <= x.len() {
            return SHAPE;
        }
        let holes = differing.iter().filter(|i| x[**i] == '?' || y[**i] == '?').count();
        if holes == differing.len() && holes * 2 <= x.len() {
            return NEAR;
        }
        if all(accent_alike) {
            return ACCENT;
        }
        if let [i, j] = differing[..]
            && x[i] == y[j]
            && x[j] == y[i]
        {
            return NEAR;
        }
        if x.len() >= 3 && differing.len() == 1 {
            return if differing[0] < usize::from(a.surname) { GIVEN } else { KIN };
        }
        if a.given() == b.given() && a.given().len() >= 2 {
            return GIVEN;
        }
        if nickname(a, b) || nickname(b, a) {
            return NICKNAME;
        }
        return if family { SURNAME } else { DIFFERENT };
    }
    let (short, long) = if x.len() < y.len() { (a, b) } else { (b, a) };
    if long.given() == &*short.signs && short.signs.len() >= 2 {
        return PART;
    }
    if nickname(short, long) {
        return NICKNAME;
    }
    if family
        && long.signs.len() - short.signs.len() == 1
        && short.signs.len() >= 2
        && subsequence(&short.signs, &long.signs)
    {
        return NEAR;
    }
    if a.given() == b.given() && a.given().len() >= 2 {
        return GIVEN;
    }
    if family { SURNAME } else { DIFFERENT }
}

fn same_surname(a: &Name, b: &Name) -> bool {
    let (x, y) = (usize::from(a.surname), usize::from(b.surname));
    x == y && (a.signs[..x] == b.signs[..y] || (0..x).all(|i| sound_alike(a.signs[i], b.signs[i])))
}

/// 小明, 阿明, 明明, 明仔 for 张明 or 张小明: what children are called.
fn nickname(short: &Name, full: &Name) -> bool {
    let given = full.given();
    match *short.signs {
        ['小' | '阿' | '老', c] => given.contains(&c),
        [c, d] if c == d => given.contains(&c),
        [c, '仔' | '娃' | '儿' | '妹' | '崽'] => given.contains(&c),
        // 张小宝 for 张宝, 张宝宝 for 张宝.
        [s, '小' | '阿', c] => full.signs.first() == Some(&s) && given.last() == Some(&c),
        [s, c, d] if c == d => full.signs.first() == Some(&s) && given.contains(&c),
        _ => false,
    }
}

fn subsequence(short: &[char], long: &[char]) -> bool {
    let mut rest = long.iter();
    short.iter().all(|c| rest.any(|d| d == c || sound_alike(*c, *d)))
}

/// Names of several parts, as those of Uyghurs, Kazakhs, Tibetans and foreigners in characters.
fn long(a: &Name, b: &Name) -> u8 {
    let (x, y) = (&*a.signs, &*b.signs);
    let (short, long) = if x.len() <= y.len() { (x, y) } else { (y, x) };
    if short.len() >= 3 && short.len() < long.len() && (long.starts_with(short) || long.ends_with(short)) {
        return PART;
    }
    let costly = alike_distance(x, y);
    if costly == 0 {
        return HOMOPHONE;
    }
    // Transliterations leave out or add a sound: 吐尔逊, 吐逊; 穆罕默德, 买买提 remain different.
    if short.len() >= 3 && costly <= 1 + usize::from(short.len() >= 6) {
        return NEAR;
    }
    let first = (0..short.len()).take_while(|i| short[*i] == long[*i]).count();
    if first >= 2 && first * 2 >= short.len() && a.parts.max(b.parts) > 1 { SURNAME } else { DIFFERENT }
}

/// Edit distance in which characters of one sound cost nothing.
fn alike_distance(a: &[char], b: &[char]) -> usize {
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = last[j] + usize::from(x != y && !sound_alike(*x, *y));
            row.push(change.min(last[j + 1] + 1).min(row[j] + 1));
        }
        last = row;
    }
    last.last().copied().unwrap_or(0)
}
