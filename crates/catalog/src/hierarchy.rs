//! How broader codes are told from a code itself: the structure of ICD-10, ICD-9-CM-3 and the GB tables.

/// The structure of a table's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hierarchy {
    /// None that the codes show; explicit broader codes may still be given.
    #[default]
    Flat,
    /// ICD-10 with the Chinese extension: `I21`, `I21.4`, `I21.400`, `I21.401`, `I21.400x001`; ranges `I20-I25`.
    Icd10,
    /// ICD-9-CM-3 with the Chinese extension: `36`, `36.0`, `36.06`, `36.0600`, `36.0601`, `36.0600x001`.
    Icd9,
    /// Digits from left to right, zeros at the end for "all of it": `20` is broader than `21` (GB/T 4658, GB/T 2260).
    Decimal,
    /// Parts separated by points, the broader code being the beginning: `A01.03.02` (GB/T 16751).
    Dotted,
}

impl Hierarchy {
    /// The words by which a table says it.
    pub const NAMES: [&str; 5] = ["flat", "icd10", "icd9", "decimal", "dotted"];

    /// The structure of a word.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "flat" => Self::Flat,
            "icd10" => Self::Icd10,
            "icd9" => Self::Icd9,
            "decimal" => Self::Decimal,
            "dotted" => Self::Dotted,
            _ => return None,
        })
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Icd10 => "icd10",
            Self::Icd9 => "icd9",
            Self::Decimal => "decimal",
            Self::Dotted => "dotted",
        }
    }

    /// The codes that may be the next broader one, nearest first. A table need not have all of them, and may write
    /// one of them with fillers (`I21.400` for `I21.4`).
    pub fn broader(self, code: &str) -> Vec<String> {
        match self {
            Self::Flat => Vec::new(),
            Self::Icd10 | Self::Icd9 => {
                let mut chain = self.chain(code);
                chain.pop_if(|last| last == code);
                chain.reverse();
                let filled = |stem: &String| self.filled(stem).into_iter().filter(|f| f != code);
                chain.iter().flat_map(|stem| std::iter::once(stem.clone()).chain(filled(stem))).collect()
            }
            Self::Decimal => {
                let kept = code.trim_end_matches('0');
                let mut out = Vec::new();
                for length in (1..kept.len()).rev() {
                    if let Some(head) = kept.get(..length) {
                        out.push(format!("{head:0<width$}", width = code.len()));
                    }
                }
                out.dedup();
                out
            }
            Self::Dotted => {
                let mut out = Vec::new();
                let mut rest = code.trim_end_matches('.');
                while let Some((head, _)) = rest.rsplit_once('.') {
                    out.push(head.to_owned());
                    out.push(format!("{head}."));
                    rest = head;
                }
                out
            }
        }
    }

    /// Whether `broad` is the same as `narrow` or broader, as far as the codes themselves show.
    pub fn subsumes(self, broad: &str, narrow: &str) -> bool {
        match self {
            Self::Flat => broad == narrow,
            Self::Icd10 | Self::Icd9 => {
                let chain = self.chain(narrow);
                if let Some((from, to)) = range(broad) {
                    let (from_n, to_n) = range(narrow).unwrap_or_else(|| {
                        let head = chain.first().map_or("", String::as_str);
                        (head, head)
                    });
                    return !from_n.is_empty() && from <= from_n && to_n <= to;
                }
                let own = self.chain(broad);
                own.last().is_some_and(|last| chain.contains(last))
            }
            Self::Decimal | Self::Dotted => {
                broad == narrow || self.broader(narrow).iter().any(|b| b == broad)
            }
        }
    }

    /// Whether two codes mean the same: equal but for fillers (`I10`, `I10.x00`).
    pub fn equivalent(self, a: &str, b: &str) -> bool {
        a == b
            || (matches!(self, Self::Icd10 | Self::Icd9)
                && range(a).is_none()
                && range(b).is_none()
                && self.chain(a).last().is_some_and(|last| self.chain(b).last() == Some(last)))
    }

    /// A code and the broader ones before it, without fillers: `I21.401x002` → `I21`, `I21.4`, `I21.401`,
    /// `I21.401x002`; `I10.x00` → `I10`.
    fn chain(self, code: &str) -> Vec<String> {
        let digits_before = if self == Self::Icd10 { 3 } else { 2 };
        // Dagger and asterisk say how a code is used, not which one it is.
        let code = code.trim_end_matches(['*', '+', '†']);
        let Some((head, tail)) = code.split_once('.') else { return vec![code.to_owned()] };
        if head.len() != digits_before {
            return vec![code.to_owned()];
        }
        let mut chain = vec![head.to_owned()];
        let (digits, extension) = match tail.char_indices().skip(1).find(|(_, c)| *c == 'x') {
            Some((at, _)) => tail.split_at(at),
            None => (tail, ""),
        };
        // `x` stands where a category has no subdivision; zeros fill up to the length of the national form.
        let levels: &[usize] = if self == Self::Icd10 { &[1, 3] } else { &[1, 2, 4] };
        for (number, length) in levels.iter().enumerate() {
            let from = if number == 0 { 0 } else { levels[number - 1] };
            let end = digits.len().min(*length);
            let Some(part) = digits.get(from..end).filter(|part| !part.is_empty()) else { break };
            let filler = match (self, number) {
                (Self::Icd10, 0) => part == "x",
                (Self::Icd10, _) => part == "00",
                (_, 2) => part == "00",
                _ => false,
            };
            if let Some(digits) = digits.get(..end).filter(|_| !filler) {
                chain.push(format!("{head}.{digits}"));
            }
        }
        if !extension.is_empty() {
            chain.push(format!("{head}.{tail}"));
        }
        chain
    }

    /// The forms in which a table may write a code of [`Self::chain`].
    fn filled(self, stem: &str) -> Vec<String> {
        match (self, stem.split_once('.')) {
            (Self::Icd10, None) => vec![format!("{stem}.x00")],
            (Self::Icd10, Some((_, tail))) if tail.len() == 1 => vec![format!("{stem}00")],
            (Self::Icd9, Some((_, tail))) if tail.len() == 2 => vec![format!("{stem}00")],
            _ => Vec::new(),
        }
    }
}

/// The ends of a range such as `A00-B99`.
pub fn range(code: &str) -> Option<(&str, &str)> {
    let (from, to) = code.split_once('-')?;
    let (from, to) = (from.trim(), to.trim());
    (!from.is_empty() && !to.is_empty()).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broader_codes_of_icd10_with_extension() {
        let table = [
            ("I21", ""),
            ("I21.4", "I21 I21.x00"),
            ("I21.400", "I21.4 I21 I21.x00"),
            ("I21.401", "I21.4 I21.400 I21 I21.x00"),
            ("I21.401x002", "I21.401 I21.4 I21.400 I21 I21.x00"),
            ("I21.400x001", "I21.4 I21.400 I21 I21.x00"),
            ("I10.x00", "I10"),
            ("I10.x00x002", "I10 I10.x00"),
            ("G63.2*", "G63.2 G63.200 G63 G63.x00"),
            ("A00-B99", ""),
        ];
        for (code, broader) in table {
            assert_eq!(Hierarchy::Icd10.broader(code).join(" "), broader, "{code}");
        }
        assert_eq!(Hierarchy::Icd9.broader("36.0601x001").join(" "), "36.0601 36.06 36.0600 36.0 36");
        assert_eq!(Hierarchy::Decimal.broader("411503").join(" "), "411500 411000 410000 400000");
        assert_eq!(Hierarchy::Dotted.broader("A01.03.02").join(" "), "A01.03 A01.03. A01 A01.");
    }

    #[test]
    fn subsumption_by_the_rules_of_the_codes() {
        use Hierarchy::{Decimal, Dotted, Flat, Icd9, Icd10};
        let table = [
            (Icd10, "I21", "I21.401x002", true),
            (Icd10, "I21.4", "I21.401", true),
            (Icd10, "I21.400", "I21.401", true),
            (Icd10, "I21.400", "I21.4", true),
            (Icd10, "I10", "I10.x00x002", true),
            (Icd10, "I10.x00", "I10", true),
            (Icd10, "I21.401", "I21.4", false),
            (Icd10, "I2", "I21.4", false),
            (Icd10, "I21.1", "I21.401", false),
            (Icd10, "I20-I25", "I21.401", true),
            (Icd10, "I00-I99", "I20-I25", true),
            (Icd10, "A00-B99", "C00.900", false),
            (Icd9, "36.0", "36.0601", true),
            (Icd9, "36.06", "36.0600", true),
            (Icd9, "36.0600", "36.0601", true),
            (Icd9, "36.07", "36.0601", false),
            (Decimal, "20", "21", true),
            (Decimal, "21", "20", false),
            (Decimal, "410000", "411503", true),
            (Dotted, "A01.", "A01.03.02", true),
            (Dotted, "A01.03.", "A01.04", false),
            (Flat, "1", "11", false),
        ];
        for (hierarchy, broad, narrow, expected) in table {
            assert_eq!(hierarchy.subsumes(broad, narrow), expected, "{broad} ⊇ {narrow}");
        }
        assert!(Icd10.equivalent("I10", "I10.x00") && Icd10.equivalent("I21.4", "I21.400"));
        assert!(!Icd10.equivalent("I21.4", "I21.401") && !Flat.equivalent("1", "01"));
    }

    #[test]
    fn any_text_is_taken() {
        for code in ["", ".", "x", "中.文", "I21.é", "A00.000xé", "-", "....", "１２.３"] {
            for hierarchy in Hierarchy::NAMES.iter().filter_map(|n| Hierarchy::named(n)) {
                let _ = hierarchy.broader(code);
                assert!(hierarchy.equivalent(code, code));
                assert!(hierarchy.subsumes(code, code), "{code}");
            }
        }
    }
}
