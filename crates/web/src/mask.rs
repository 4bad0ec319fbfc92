//! Masking of personal data on screens. One place, so that every page hides the same digits.

/// A citizen identity number or another credential: the first six and the last four stay
/// (`411503********1234`); of shorter ones only the last four, of very short ones nothing.
pub fn credential(number: &str) -> String {
    let digits: Vec<char> = number.trim().chars().collect();
    match digits.len() {
        0 => String::new(),
        length @ 1..=5 => "*".repeat(length),
        length @ 6..=14 => mask(&digits, 0, length.min(8) / 2),
        _ => mask(&digits, 6, 4),
    }
}

/// A telephone number: mobile numbers keep three and four digits (`138****5678`), others the last four.
pub fn phone(number: &str) -> String {
    let digits: Vec<char> = number.trim().chars().collect();
    match digits.len() {
        0 => String::new(),
        11 if digits[0] == '1' => mask(&digits, 3, 4),
        length @ 1..=5 => "*".repeat(length),
        _ => mask(&digits, 0, 4),
    }
}

/// A person's name: the family name stays (`张*`, `欧阳**`); one character alone is hidden.
pub fn name(name: &str) -> String {
    const DOUBLE: [&str; 12] =
        ["欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "夏侯", "司徒"];
    let letters: Vec<char> = name.trim().chars().collect();
    let kept = match letters.len() {
        0 => return String::new(),
        1 => 0,
        2 => 1,
        _ if DOUBLE.iter().any(|family| name.trim().starts_with(family)) => 2,
        _ => 1,
    };
    mask(&letters, kept, 0)
}

fn mask(letters: &[char], head: usize, tail: usize) -> String {
    let end = letters.len().saturating_sub(tail);
    letters.iter().enumerate().map(|(i, c)| if i < head || i >= end { *c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_and_what_is_hidden() {
        let credentials = [
            ("411503195811071234", "411503********1234"),
            ("41150319581107123X", "411503********123X"),
            ("411503581107123", "411503*****7123"),
            ("E12345678", "*****5678"),
            ("123456", "***456"),
            ("12345", "*****"),
            ("", ""),
        ];
        for (number, masked) in credentials {
            assert_eq!(credential(number), masked, "{number}");
        }
        let phones =
            [("13812345678", "138****5678"), ("0376-6222222", "********2222"), ("110", "***"), ("", "")];
        for (number, masked) in phones {
            assert_eq!(phone(number), masked, "{number}");
        }
        let names = [
            ("张三", "张*"),
            ("王小明", "王**"),
            ("欧阳修文", "欧阳**"),
            ("李", "*"),
            ("买买提·艾力", "买*****"),
            ("", ""),
        ];
        for (full, masked) in names {
            assert_eq!(name(full), masked, "{full}");
        }
    }
}
