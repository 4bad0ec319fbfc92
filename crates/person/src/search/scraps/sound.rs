//! How names sound: the syllables of a written name, and the syllables somebody typed in letters. Pure.
//!
//! Sounds are compared without tones, and where much of China hears no difference they are one: `zh`/`z`, `ch`/`c`,
//! `sh`/`s`, `n`/`l` at the beginning, `n`/`ng` at the end.

use standards::pinyin::{initials, readings};
use standards::width::fold_char;

/// Initials and the finals that follow each (Hanyu Pinyin, GB/T 16159; `v` is ü). From memory of the table.
const SYLLABLES: &[(&str, &str)] = &[
    ("", "a ai an ang ao e ei en eng er o ou"),
    ("b", "a ai an ang ao ei en eng i ian iao ie in ing o u"),
    ("p", "a ai an ang ao ei en eng i ian iao ie in ing o ou u"),
    ("m", "a ai an ang ao e ei en eng i ian iao ie in ing iu o ou u"),
    ("f", "a an ang ei en eng o ou u"),
    ("d", "a ai an ang ao e ei en eng i ia ian iao ie ing iu ong ou u uan ui un uo"),
    ("t", "a ai an ang ao e eng i ian iao ie ing ong ou u uan ui un uo"),
    ("n", "a ai an ang ao e ei en eng i ian iang iao ie in ing iu ong ou u uan uo v ve ue"),
    ("l", "a ai an ang ao e ei eng i ia ian iang iao ie in ing iu o ong ou u uan un uo v ve ue"),
    ("g", "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo"),
    ("k", "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo"),
    ("h", "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo"),
    ("j", "i ia ian iang iao ie in ing iong iu u uan ue un"),
    ("q", "i ia ian iang iao ie in ing iong iu u uan ue un"),
    ("x", "i ia ian iang iao ie in ing iong iu u uan ue un"),
    ("zh", "a ai an ang ao e ei en eng i ong ou u ua uai uan uang ui un uo"),
    ("ch", "a ai an ang ao e en eng i ong ou u ua uai uan uang ui un uo"),
    ("sh", "a ai an ang ao e ei en eng i ou u ua uai uan uang ui un uo"),
    ("r", "an ang ao e en eng i ong ou u ua uan ui un uo"),
    ("z", "a ai an ang ao e ei en eng i ong ou u uan ui un uo"),
    ("c", "a ai an ang ao e en eng i ong ou u uan ui un uo"),
    ("s", "a ai an ang ao e en eng i ong ou u uan ui un uo"),
    ("y", "a an ang ao e i in ing o ong ou u uan ue un"),
    ("w", "a ai an ang ao ei en eng o u"),
];

/// A piece of what was typed in letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A whole syllable.
    Whole(String),
    /// The beginning of one: an initial, or a syllable under way.
    Begun(String),
}

/// A family of characters: what is compared.
pub fn is_character(c: char) -> bool {
    !c.is_ascii() && !readings(c).is_empty()
}

/// The syllables of a written name, the commonest reading of each character; of the first, that of a family name.
/// Words in Latin letters count as one syllable each; dots and spaces as none.
pub fn of_name(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    // The letters of the initials tell how the family name is read.
    let letters: Vec<char> = initials(name).chars().collect();
    for (at, c) in name.chars().map(fold_char).enumerate() {
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
            continue;
        }
        if !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        let all = readings(c);
        let family = if at == 0 { letters.first() } else { None };
        let read =
            family.and_then(|letter| all.iter().find(|r| r.starts_with(*letter))).or_else(|| all.first());
        out.extend(read.map(|r| r.to_string()));
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// A syllable as it is compared.
pub fn heard(syllable: &str) -> String {
    let plain = syllable.replace('v', "u");
    let (initial, rest) = match plain.as_str() {
        s if s.starts_with("zh") || s.starts_with("ch") || s.starts_with("sh") => (&s[..1], &s[2..]),
        s if s.starts_with('n') && s.len() > 1 => ("l", &s[1..]),
        s => ("", s),
    };
    let rest = rest.strip_suffix('g').filter(|r| r.ends_with('n')).unwrap_or(rest);
    format!("{initial}{rest}")
}

/// The readings of letters as syllables, the likeliest first, at most `most`; empty where they are none.
pub fn pieces(letters: &str, most: usize) -> Vec<Vec<Piece>> {
    let mut found = Vec::new();
    let mut begun = Vec::new();
    if letters.len() <= 24 && letters.bytes().all(|b| b.is_ascii_lowercase()) {
        split(letters, &mut begun, &mut found, 0);
    }
    let cost = |pieces: &Vec<Piece>| {
        let begun = pieces.iter().filter(|p| matches!(p, Piece::Begun(_))).count();
        (begun, pieces.len())
    };
    found.sort_by_key(cost);
    found.truncate(most);
    found
}

/// Tries what a text may begin with; a piece that is only begun costs, so that few of them are tried.
fn split(rest: &str, before: &mut Vec<Piece>, found: &mut Vec<Vec<Piece>>, begun: usize) {
    if found.len() >= 64 || before.len() > 8 || begun > 4 {
        return;
    }
    if rest.is_empty() {
        found.push(before.clone());
        return;
    }
    for length in (1..=rest.len().min(6)).rev() {
        if is_syllable(&rest[..length]) {
            before.push(Piece::Whole(rest[..length].to_owned()));
            split(&rest[length..], before, found, begun);
            before.pop();
        }
    }
    // An initial alone, anywhere; a syllable under way, at the end.
    let initial = if rest.len() > 1 && ["zh", "ch", "sh"].contains(&&rest[..2]) { 2 } else { 1 };
    let starts = |text: &str| SYLLABLES.iter().any(|(i, _)| !i.is_empty() && *i == text);
    for length in [initial, rest.len()] {
        let piece = &rest[..length];
        let under_way = length == rest.len() && begins_syllable(piece);
        if (starts(piece) || under_way) && !is_syllable(piece) {
            before.push(Piece::Begun(piece.to_owned()));
            split(&rest[length..], before, found, begun + 1);
            before.pop();
        }
        if length == rest.len() {
            break;
        }
    }
}

fn is_syllable(text: &str) -> bool {
    syllables(text, |finals, rest| finals.split(' ').any(|f| f == rest))
}

fn begins_syllable(text: &str) -> bool {
    syllables(text, |finals, rest| finals.split(' ').any(|f| f.starts_with(rest)))
}

fn syllables(text: &str, fits: impl Fn(&str, &str) -> bool) -> bool {
    SYLLABLES
        .iter()
        .any(|(initial, finals)| text.strip_prefix(initial).is_some_and(|rest| fits(finals, rest)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_said() {
        for (name, expected) in [
            ("张建国", "zhang jian guo"),
            ("单田芳", "shan tian fang"),
            ("曾巩", "zeng gong"),
            ("阿依古丽·买买提", "a yi gu li mai mai ti"),
            ("Tom Ｌｅｅ", "tom lee"),
            ("王A1", "wang a1"),
            ("", ""),
            ("🙂", ""),
        ] {
            assert_eq!(of_name(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn what_is_hard_to_hear_apart_is_one() {
        for (a, b) in [("zhang", "zan"), ("shen", "seng"), ("ning", "lin"), ("lv", "nu"), ("chun", "cun")] {
            assert_eq!(heard(a), heard(b), "{a} {b}");
        }
        for (a, b) in [("zhang", "wang"), ("li", "lu"), ("guo", "gu"), ("er", "e"), ("n", "l")] {
            assert_ne!(heard(a), heard(b), "{a} {b}");
        }
    }

    #[test]
    fn letters_are_split_as_people_type_them() {
        let shown = |letters: &str| -> Vec<String> {
            let one = |p: &Piece| match p {
                Piece::Whole(s) => s.clone(),
                Piece::Begun(s) => format!("{s}-"),
            };
            pieces(letters, 3).iter().map(|ps| ps.iter().map(one).collect::<Vec<_>>().join(" ")).collect()
        };
        for (letters, first) in [
            ("zhangjianguo", "zhang jian guo"),
            ("zhangwei", "zhang wei"),
            ("lv", "lv"),
            ("zjg", "z- j- g-"),
            ("zhangjg", "zhang j- g-"),
            ("zhangjiang", "zhang jiang"),
            ("wangzh", "wang zh-"),
            ("zhangyua", "zhang yu a"),
        ] {
            assert_eq!(shown(letters).first().map(String::as_str), Some(first), "{letters}");
        }
        assert!(shown("xian").contains(&"xi an".to_owned()) && shown("xian").contains(&"xian".to_owned()));
        assert!(shown("i").is_empty() && shown("Zhang").is_empty() && shown("").len() == 1);
        assert!(pieces(&"z".repeat(24), 3).is_empty(), "nonsense ends soon");
    }
}
