//! Initials of Chinese names for search: 张伟 → `zw`, 单田芳 → `stf`.

use ::pinyin::{ToPinyin, ToPinyinMulti};

use crate::width::fold_char;

/// Characters whose initial as a family name differs from their commonest reading.
const SURNAMES: &[(char, char)] = &[
    ('单', 's'),
    ('單', 's'),
    ('曾', 'z'),
    ('仇', 'q'),
    ('解', 'x'),
    ('查', 'z'),
    ('乐', 'y'),
    ('樂', 'y'),
    ('区', 'o'),
    ('區', 'o'),
    ('繁', 'p'),
    ('召', 's'),
    ('种', 'c'),
    ('重', 'c'),
    ('覃', 'q'),
    ('翟', 'z'),
    ('乜', 'n'),
    ('祭', 'z'),
    ('秘', 'b'),
    ('折', 's'),
    ('郇', 'x'),
    ('句', 'g'),
    ('隗', 'w'),
    ('佴', 'n'),
];

/// Characters of given names for which the reading table prefers another word: 长春, 晟, 术.
const GIVEN: &[(char, char)] = &[('长', 'c'), ('晟', 's'), ('术', 's')];

/// Compound family names with readings of their own.
const COMPOUND: &[(&str, &str)] =
    &[("单于", "cy"), ("尉迟", "yc"), ("万俟", "mq"), ("澹台", "tt"), ("乐正", "yz"), ("乐羊", "yy")];

/// The initials of a name in lower case: one letter for each Chinese character, Latin letters and digits kept,
/// everything else (spaces, the middle dot of `阿依古丽·买买提`) left out. The first character is read as a
/// family name.
#[must_use]
pub fn initials(name: &str) -> String {
    let name = name.trim();
    let mut out = String::with_capacity(name.len() / 3 + 1);
    let mut rest = name;
    if let Some((surname, letters)) = COMPOUND.iter().find(|(s, _)| name.starts_with(s)) {
        out.push_str(letters);
        rest = &name[surname.len()..];
    } else if let Some(first) = name.chars().next()
        && let Some((_, letter)) = SURNAMES.iter().find(|(c, _)| *c == first)
    {
        out.push(*letter);
        rest = &name[first.len_utf8()..];
    } else if let Some(first) = name.chars().next() {
        push(first, &mut out);
        rest = &name[first.len_utf8()..];
    }
    for c in rest.chars() {
        match GIVEN.iter().find(|(given, _)| *given == c) {
            Some((_, letter)) => out.push(*letter),
            None => push(c, &mut out),
        }
    }
    out
}

/// Adds what one character contributes.
fn push(c: char, out: &mut String) {
    let c = fold_char(c);
    if c.is_ascii_alphanumeric() {
        out.push(c.to_ascii_lowercase());
    } else if let Some(reading) = c.to_pinyin() {
        out.extend(reading.first_letter().chars().next().map(plain_letter));
    }
}

/// Every reading of a Chinese character (多音字), in lower case without tones, the commonest first; empty for other
/// characters. `ü` is written `v` as keyboards do, and also `u`.
#[must_use]
pub fn readings(c: char) -> Vec<Box<str>> {
    let mut out: Vec<Box<str>> = Vec::new();
    let mut add = |reading: String| {
        if !reading.is_empty() && !out.iter().any(|r| **r == *reading) {
            out.push(reading.into_boxed_str());
        }
    };
    // Some characters have a commonest reading only.
    let commonest = c.to_pinyin().map(::pinyin::Pinyin::plain);
    let all = c.to_pinyin_multi().into_iter().flatten().map(::pinyin::Pinyin::plain);
    for plain in commonest.into_iter().chain(all) {
        if plain.contains('ü') {
            add(plain.replace('ü', "v"));
            add(plain.replace('ü', "u"));
        } else {
            add(plain.chars().map(plain_letter).collect());
        }
    }
    out
}

/// A letter without its tone mark: names such as 嗯 begin with an accented letter.
fn plain_letter(c: char) -> char {
    match c {
        'ā' | 'á' | 'ǎ' | 'à' => 'a',
        'ē' | 'é' | 'ě' | 'è' | 'ê' | 'ế' | 'ề' => 'e',
        'ō' | 'ó' | 'ǒ' | 'ò' => 'o',
        'ń' | 'ň' | 'ǹ' => 'n',
        'ḿ' => 'm',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_of_names() {
        for (name, expected) in [
            ("张伟", "zw"),
            ("单田芳", "stf"),
            ("曾国藩", "zgf"),
            ("仇英", "qy"),
            ("解缙", "xj"),
            ("查良镛", "zly"),
            ("区少芬", "osf"),
            ("翟志刚", "zzg"),
            ("尉迟恭", "ycg"),
            ("长孙无忌", "zswj"),
            ("欧阳修", "oyx"),
            ("李长春", "lcc"),
            ("王晟", "ws"),
            ("阿依古丽·买买提", "ayglmmt"),
            ("Tom Ｌｅｅ", "tomlee"),
            ("王A1", "wa1"),
            ("  李四 ", "ls"),
            ("", ""),
            ("🙂", ""),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }

    #[test]
    fn readings_of_characters() {
        for (c, expected) in [('行', "xing hang"), ('绿', "lv lu"), ('高', "gao"), ('A', ""), ('，', "")]
        {
            let found = readings(c);
            for reading in expected.split(' ').filter(|r| !r.is_empty()) {
                assert!(found.iter().any(|f| &**f == reading), "{c}: {found:?}");
            }
            assert_eq!(found.is_empty(), expected.is_empty(), "{c}");
        }
    }

    #[test]
    fn every_surname_listed_needs_its_entry() {
        let needless: String = SURNAMES
            .iter()
            .filter(|(c, letter)| c.to_pinyin().is_some_and(|p| p.first_letter().starts_with(*letter)))
            .map(|(c, _)| c)
            .collect();
        assert_eq!(needless, "");
        let needless: Vec<&str> = COMPOUND
            .iter()
            .filter(|(name, letters)| {
                let plain: String =
                    name.chars().filter_map(|c| c.to_pinyin()).map(|p| p.first_letter()).collect();
                plain == *letters
            })
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(needless, [""; 0]);
    }
}
