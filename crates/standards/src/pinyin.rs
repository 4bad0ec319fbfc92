//! Initials of Chinese names for search: 张伟 → `zw`, 单田芳 → `stf`.

use ::pinyin::ToPinyin;

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
    ('朴', 'p'),
    ('区', 'o'),
    ('區', 'o'),
    ('尹', 'y'),
    ('盖', 'g'),
    ('繁', 'p'),
    ('召', 's'),
    ('种', 'c'),
    ('重', 'c'),
    ('覃', 'q'),
    ('谌', 'c'),
    ('翟', 'z'),
    ('缪', 'm'),
    ('冼', 'x'),
    ('洗', 'x'),
    ('车', 'c'),
    ('乜', 'n'),
    ('员', 'y'),
    ('贠', 'y'),
    ('祭', 'z'),
    ('秘', 'b'),
    ('折', 's'),
    ('黑', 'h'),
    ('逄', 'p'),
    ('晟', 'c'),
    ('瞿', 'q'),
    ('殷', 'y'),
    ('宓', 'm'),
    ('郇', 'x'),
    ('句', 'g'),
    ('长', 'z'),
    ('褚', 'c'),
    ('石', 's'),
    ('纪', 'j'),
    ('俞', 'y'),
    ('柏', 'b'),
    ('臧', 'z'),
    ('隗', 'w'),
    ('过', 'g'),
    ('哈', 'h'),
    ('任', 'r'),
    ('华', 'h'),
    ('应', 'y'),
    ('宁', 'n'),
    ('曲', 'q'),
    ('沈', 's'),
    ('佴', 'n'),
    ('厍', 's'),
    ('燕', 'y'),
    ('訾', 'z'),
    ('行', 'x'),
    ('相', 'x'),
    ('幺', 'y'),
    ('都', 'd'),
    ('丁', 'd'),
];

/// Compound family names with readings of their own.
const COMPOUND: &[(&str, &str)] = &[
    ("单于", "cy"),
    ("尉迟", "yc"),
    ("万俟", "mq"),
    ("长孙", "zs"),
    ("澹台", "tt"),
    ("宰父", "zf"),
    ("亓官", "qg"),
    ("乐正", "yz"),
    ("乐羊", "yy"),
    ("令狐", "lh"),
    ("夏侯", "xh"),
    ("呼延", "hy"),
];

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
    }
    for c in rest.chars() {
        let c = fold_char(c);
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if let Some(reading) = c.to_pinyin() {
            out.extend(reading.first_letter().chars().next().map(plain_letter));
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
}
