//! Chinese characters: readings, variants and look-alikes, from tables.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The tables of `catalog/person-index/characters.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Traditional and variant characters before the simplified one: `張张`.
    variants: Vec<String>,
    /// Groups of characters that are taken for one another by eye.
    shapes: Vec<String>,
    /// Family names of two characters.
    compound_surnames: Vec<String>,
}

#[derive(Debug, Default)]
struct Tables {
    variants: HashMap<char, char>,
    shapes: HashMap<char, Vec<u16>>,
    compounds: Vec<[char; 2]>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let text = include_str!("../../../../catalog/person-index/characters.toml");
    // A test reads the shipped file; a broken one would leave the tables empty, not stop the program.
    toml::from_str::<File>(text).map(|f| tables(&f)).unwrap_or_default()
});

fn tables(file: &File) -> Tables {
    let mut out = Tables::default();
    for line in &file.variants {
        for pair in line.split_whitespace() {
            let signs: Vec<char> = pair.chars().collect();
            if let Some((plain, others)) = signs.split_last() {
                for other in others.iter().filter(|o| *o != plain) {
                    out.variants.insert(*other, *plain);
                }
            }
        }
    }
    for (group, signs) in file.shapes.iter().flat_map(|l| l.split_whitespace()).enumerate() {
        for c in signs.chars() {
            out.shapes.entry(c).or_default().push(group as u16);
        }
    }
    for name in file.compound_surnames.iter().flat_map(|l| l.split_whitespace()) {
        if let [a, b] = name.chars().collect::<Vec<_>>()[..] {
            out.compounds.push([a, b]);
        }
    }
    out
}

/// The simplified, usual form of a character.
pub(crate) fn folded(c: char) -> char {
    if (c as u32) < 0x2e80 { c } else { TABLES.variants.get(&c).copied().unwrap_or(c) }
}

/// Whether two characters look alike.
pub(crate) fn look_alike(a: char, b: char) -> bool {
    match (TABLES.shapes.get(&a), TABLES.shapes.get(&b)) {
        (Some(x), Some(y)) => x.iter().any(|g| y.contains(g)),
        _ => false,
    }
}

/// How many of the first characters are the family name.
pub(crate) fn surname_length(name: &[char]) -> usize {
    match name {
        [] => 0,
        [a, b, _, ..] if TABLES.compounds.contains(&[*a, *b]) => 2,
        _ => 1,
    }
}

/// Most readings of one character that are kept.
const MOST_READINGS: usize = 4;

/// A syllable without tone: an index into the syllables; 0 is none.
pub(crate) type Syllable = u16;

#[derive(Debug, Default)]
struct Readings {
    /// By character from U+4E00: its syllables, the commonest first.
    of: Vec<[Syllable; MOST_READINGS]>,
    /// By syllable: its letters, and the syllable that stands for all that are mixed up with it by accent.
    letters: Vec<Box<str>>,
    accents: Vec<Syllable>,
}

/// Family names that are read otherwise than the character is mostly read.
const SURNAME_READINGS: &[(char, &str)] = &[
    ('单', "shan"),
    ('曾', "zeng"),
    ('仇', "qiu"),
    ('解', "xie"),
    ('查', "zha"),
    ('乐', "yue"),
    ('区', "ou"),
    ('朴', "piao"),
    ('覃', "qin"),
    ('翟', "zhai"),
    ('盖', "ge"),
    ('尉', "wei"),
    ('员', "yun"),
    ('葛', "ge"),
    ('任', "ren"),
    ('华', "hua"),
    ('宁', "ning"),
    ('缪', "miao"),
    ('种', "chong"),
    ('召', "shao"),
    ('折', "she"),
];

const FIRST: u32 = 0x4e00;
const LAST: u32 = 0x9fff;

static READINGS: LazyLock<Readings> = LazyLock::new(|| {
    let mut out = Readings { of: Vec::new(), letters: vec!["".into()], accents: vec![0] };
    let mut known: HashMap<Box<str>, Syllable> = HashMap::new();
    for code in FIRST..=LAST {
        let mut row = [0; MOST_READINGS];
        let readings = char::from_u32(code).map(standards::pinyin::readings).unwrap_or_default();
        let plain = readings.into_iter().filter(|r| !r.contains('v'));
        for (slot, reading) in row.iter_mut().zip(plain) {
            *slot = *known.entry(reading.clone()).or_insert_with(|| {
                out.letters.push(reading);
                out.letters.len() as Syllable - 1
            });
        }
        out.of.push(row);
    }
    let mut merged: HashMap<String, Syllable> = HashMap::new();
    for (at, letters) in out.letters.iter().enumerate().skip(1) {
        out.accents.push(*merged.entry(accent_folded(letters)).or_insert(at as Syllable));
    }
    out
});

/// The readings of a character; zeros where there are no more.
pub(crate) fn readings(c: char) -> [Syllable; MOST_READINGS] {
    let at = (c as u32).wrapping_sub(FIRST) as usize;
    READINGS.of.get(at).copied().unwrap_or_default()
}

/// The letters of a syllable.
pub(crate) fn letters(syllable: Syllable) -> &'static str {
    READINGS.letters.get(usize::from(syllable)).map_or("", |s| s)
}

/// The syllable that stands for all that accents mix up with this one.
fn accent(syllable: Syllable) -> Syllable {
    READINGS.accents.get(usize::from(syllable)).copied().unwrap_or(0)
}

/// How a family name is read.
pub(crate) fn surname_reading(c: char) -> Option<&'static str> {
    SURNAME_READINGS.iter().find(|(s, _)| *s == c).map(|(_, r)| *r)
}

/// Whether two characters share a reading.
pub(crate) fn sound_alike(a: char, b: char) -> bool {
    let (x, y) = (readings(a), readings(b));
    x.iter().any(|s| *s != 0 && y.contains(s))
}

/// Whether two characters share a reading for somebody who does not tell zh from z, n from l, -ng from -n.
pub(crate) fn accent_alike(a: char, b: char) -> bool {
    let (x, y) = (readings(a), readings(b));
    x.iter().any(|s| *s != 0 && y.iter().any(|t| *t != 0 && accent(*s) == accent(*t)))
}

/// Letters with what accents mix up made one: zh→z, ch→c, sh→s, ng→n, l→n, hu→f before a vowel is left alone.
pub(crate) fn accent_folded(letters: &str) -> String {
    let mut out = String::with_capacity(letters.len());
    let mut chars = letters.chars().peekable();
    let mut last = '\0';
    while let Some(c) = chars.next() {
        match c {
            'h' if matches!(last, 'z' | 'c' | 's') => {}
            'g' if last == 'n' && !matches!(chars.peek(), Some('a' | 'e' | 'i' | 'o' | 'u')) => {}
            'l' => out.push('n'),
            'v' | 'ü' => out.push('u'),
            c => out.push(c),
        }
        last = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tables_are_read() {
        let file: File =
            toml::from_str(include_str!("../../../../catalog/person-index/characters.toml")).unwrap();
        let tables = tables(&file);
        assert!(tables.variants.len() > 300, "{}", tables.variants.len());
        assert!(tables.shapes.len() > 300, "{}", tables.shapes.len());
        assert!(tables.compounds.len() > 30);
        // A simplified form is never a variant of another: folding once is enough.
        let chained: Vec<char> =
            tables.variants.values().copied().filter(|v| tables.variants.contains_key(v)).collect();
        assert_eq!(chained, [' '; 0]);
    }

    #[test]
    fn characters_that_are_alike() {
        assert_eq!(folded('張'), '张');
        assert_eq!(folded('张'), '张');
        assert!(look_alike('末', '未') && look_alike('日', '曰') && !look_alike('张', '李'));
        assert!(sound_alike('伟', '玮') && sound_alike('行', '航') && !sound_alike('伟', '明'));
        assert!(accent_alike('章', '臧') && accent_alike('林', '凌') && accent_alike('宁', '林'));
        assert_eq!(accent_folded("zhangwei"), accent_folded("zanwei"));
        assert_eq!(surname_length(&['欧', '阳', '修']), 2);
        assert_eq!(surname_length(&['欧', '阳']), 1);
    }
}
