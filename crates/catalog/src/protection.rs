//! What must be protected and how: sensitive categories with how content is recognised, the three levels and what each
//! asks for, classes of files, and masks by kind of field and role. Data of `sensitivity.toml` and `masks.toml`.

/// `sensitivity.toml`, compiled.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    /// The three levels: 1 普通, 2 敏感, 3 严格限制.
    pub levels: Vec<ProtectionLevel>,
    /// The categories.
    pub categories: Vec<SensitiveCategory>,
    /// Classes of files.
    pub file_classes: Vec<FileClass>,
    /// By which fields content is recognised.
    pub recognise: Recognise,
}

/// By which fields of the data sets sensitive content is recognised: codes by their tables, texts by the names of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recognise {
    /// Code tables of diagnoses.
    pub diagnosis_tables: Vec<String>,
    /// Code tables of operations.
    pub operation_tables: Vec<String>,
    /// Fields that name a diagnosis.
    pub diagnosis_names: Vec<String>,
    /// Fields that name a drug.
    pub drug_names: Vec<String>,
    /// Fields with the code or name of a laboratory or other item.
    pub items: Vec<String>,
    /// Fields that name a department.
    pub departments: Vec<String>,
    /// Fields with the title of a document.
    pub titles: Vec<String>,
}

/// A level of protection and what it asks of whoever looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtectionLevel {
    /// 1, 2 or 3.
    pub number: u8,
    /// Chinese name.
    pub name: String,
    /// What it means, in Chinese.
    pub description: String,
    /// Whether a purpose must be stated even in care.
    pub needs_purpose: bool,
    /// Whether a role must open the category.
    pub needs_category: bool,
    /// Whether the caller must have signed in with a second factor.
    pub needs_second_factor: bool,
    /// Whether each look is told at once to whoever watches over it.
    pub notifies: bool,
    /// Whether an emergency opening (break-glass) shows it.
    pub break_glass: bool,
}

/// A category of sensitive content.
#[derive(Debug, Clone, Default)]
pub struct SensitiveCategory {
    /// Stable code, e.g. `hiv`.
    pub code: String,
    /// Chinese name.
    pub name: String,
    /// What belongs to it.
    pub description: String,
    /// Level: 1, 2 or 3.
    pub level: u8,
    /// Where the rule comes from.
    pub source: String,
    /// Whether it marks a person (VIP, adopted) rather than content.
    pub marks_person: bool,
    /// Diagnosis codes (ICD-10).
    pub icd10: Vec<CodeSpan>,
    /// Operation codes (ICD-9-CM-3).
    pub operations: Vec<CodeSpan>,
    /// Whole data sets.
    pub datasets: Vec<String>,
    /// Single fields: data set and field.
    pub fields: Vec<(String, String)>,
    /// Words in names of drugs.
    pub drugs: Vec<String>,
    /// Words in names of laboratory items, or LOINC codes.
    pub items: Vec<String>,
    /// Words in names of diagnoses, for rows without a code.
    pub words: Vec<String>,
    /// Departments whose whole visits belong to it.
    pub departments: Vec<String>,
}

/// A span of codes: `B20-B24`, or all that begin with `Z21`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSpan {
    /// First prefix, in capitals.
    pub from: String,
    /// Last prefix; the same as `from` for a single one.
    pub to: String,
}

impl CodeSpan {
    /// Reads `B20-B24` or `Z21`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let good = |code: &str| {
            !code.is_empty()
                && code.len() <= 12
                && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (from.trim().to_ascii_uppercase(), to.trim().to_ascii_uppercase());
        (good(&from) && good(&to) && from.len() == to.len() && from <= to).then_some(Self { from, to })
    }

    /// Whether a code begins with a prefix of the span.
    pub fn contains(&self, code: &str) -> bool {
        let code = code.trim();
        let begins = code.get(..self.from.len()).map(str::to_ascii_uppercase);
        begins.is_some_and(|begins| self.from <= begins && begins <= self.to)
    }
}

/// A class of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileClass {
    /// Stable code, e.g. `genetic_report`.
    pub code: String,
    /// Chinese name.
    pub name: String,
    /// Level: 1, 2 or 3.
    pub level: u8,
    /// Codes of the table `document_kind` that belong to it.
    pub kinds: Vec<String>,
    /// Words in titles that make a file belong to it whatever its kind.
    pub words: Vec<String>,
    /// The sensitive category its content belongs to; empty: none.
    pub category: String,
}

impl Protection {
    /// The category with this code.
    pub fn category(&self, code: &str) -> Option<&SensitiveCategory> {
        self.categories.iter().find(|c| c.code == code)
    }
    /// The level with this number.
    pub fn level(&self, number: u8) -> Option<&ProtectionLevel> {
        self.levels.iter().find(|l| l.number == number)
    }
    /// Categories of a diagnosis, by its code or, without one, by its name.
    pub fn of_diagnosis(&self, code: &str, name: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| {
            c.icd10.iter().any(|span| span.contains(code))
                || c.words.iter().any(|word| name.contains(word.as_str()))
        })
    }
    /// Categories of an operation (ICD-9-CM-3).
    pub fn of_operation(&self, code: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.operations.iter().any(|span| span.contains(code)))
    }
    /// Categories of a drug, by its name.
    pub fn of_drug(&self, name: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.drugs.iter().any(|word| name.contains(word.as_str())))
    }
    /// Categories of a laboratory item, by code or name.
    pub fn of_item(&self, code: &str, name: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.items.iter().any(|word| word == code || name.contains(word.as_str())))
    }
    /// Categories of a visit to a department, by its name.
    pub fn of_department(&self, name: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.departments.iter().any(|word| name.contains(word.as_str())))
    }
    /// Categories of a whole data set.
    pub fn of_dataset(&self, dataset: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.datasets.iter().any(|d| d == dataset))
    }
    /// Categories of one field.
    pub fn of_field(&self, dataset: &str, field: &str) -> Vec<&SensitiveCategory> {
        self.which(|c| c.fields.iter().any(|(d, f)| d == dataset && f == field))
    }
    /// The class of a file: by words of its title first, then by kind; the strictest of several.
    pub fn file_class(&self, kind: &str, title: &str) -> Option<&FileClass> {
        let belongs = |class: &&FileClass| {
            class.words.iter().any(|word| title.contains(word.as_str()))
                || class.kinds.iter().any(|k| k == kind)
        };
        self.file_classes.iter().filter(belongs).max_by_key(|class| class.level)
    }

    fn which(&self, belongs: impl Fn(&SensitiveCategory) -> bool) -> Vec<&SensitiveCategory> {
        self.categories.iter().filter(|c| belongs(c)).collect()
    }
}

/// How much of a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MaskLevel {
    /// Nothing.
    #[default]
    Hidden,
    /// A part, as the field's mask says.
    Part,
    /// All of it.
    Whole,
}

/// Kinds of fields that are masked.
pub const MASKED_KINDS: [&str; 7] =
    ["name", "citizen_id", "phone", "address", "card", "birth_date", "local_no"];

/// Words that stand in a sight's `roles` for callers without roles: a hospital's workstation, a machine client.
pub const WITHOUT_ROLE: [&str; 2] = ["embedded", "client"];

/// `masks.toml`, compiled.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    /// How a part of each kind is shown.
    pub fields: Vec<FieldMask>,
    /// What groups of roles see; the first that names no role holds for everybody else.
    pub sights: Vec<MaskSight>,
}

/// How a part of a kind of field is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMask {
    /// One of [`MASKED_KINDS`].
    pub kind: String,
    /// Chinese name.
    pub title: String,
    /// Leading characters that stay.
    pub first: usize,
    /// Trailing characters that stay.
    pub last: usize,
    /// For addresses: it stays up to and including the last of these words (省 市 县 区 镇 乡 街道); for dates empty.
    pub up_to: Vec<String>,
}

/// What some roles see of each kind of field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaskSight {
    /// Stable code, e.g. `treating`.
    pub code: String,
    /// Chinese name.
    pub name: String,
    /// Roles; empty: everybody else.
    pub roles: Vec<String>,
    /// Kind of field and level; a kind that is not named is hidden.
    pub levels: Vec<(String, MaskLevel)>,
}

impl Masks {
    /// How much a holder of these roles sees of a kind of field: the most that one of the roles sees.
    pub fn level(&self, roles: &[String], kind: &str) -> MaskLevel {
        let of = |sight: &MaskSight| {
            sight.levels.iter().find(|(k, _)| k == kind).map_or(MaskLevel::Hidden, |(_, level)| *level)
        };
        let named = self.sights.iter().filter(|s| s.roles.iter().any(|r| roles.contains(r))).map(of).max();
        named.unwrap_or_else(|| self.sights.iter().find(|s| s.roles.is_empty()).map_or(MaskLevel::Part, of))
    }

    /// A value as this caller sees it. The program itself sees everything; workstations and machine clients, which have
    /// no roles, stand under the words of [`WITHOUT_ROLE`].
    pub fn shown_to(&self, caller: &kernel::Caller, kind: &str, value: &str) -> String {
        use kernel::CallerKind;
        match caller.kind {
            CallerKind::System => value.to_owned(),
            CallerKind::Embedded => self.shown(&["embedded".to_owned()], kind, value),
            CallerKind::Client => self.shown(&["client".to_owned()], kind, value),
            CallerKind::Staff | CallerKind::Resident => self.shown(&caller.roles, kind, value),
        }
    }

    /// A value as a holder of these roles sees it.
    pub fn shown(&self, roles: &[String], kind: &str, value: &str) -> String {
        self.at(self.level(roles, kind), kind, value)
    }

    /// A value at a level.
    pub fn at(&self, level: MaskLevel, kind: &str, value: &str) -> String {
        match (level, self.fields.iter().find(|f| f.kind == kind)) {
            (MaskLevel::Whole, _) => value.to_owned(),
            (MaskLevel::Part, Some(mask)) => mask.part(value),
            _ => stars(value.chars().count().min(8)),
        }
    }
}

impl FieldMask {
    /// The part that stays, the rest as stars.
    pub fn part(&self, value: &str) -> String {
        let letters: Vec<char> = value.chars().collect();
        if !self.up_to.is_empty() {
            let keep = self
                .up_to
                .iter()
                .filter_map(|word| value.rfind(word.as_str()).map(|at| at + word.len()))
                .max()
                .map_or(0, |bytes| value[..bytes].chars().count());
            let rest = letters.len() - keep;
            return letters[..keep].iter().collect::<String>() + &stars(rest.min(4));
        }
        // Of something short, at least half is hidden: a name of two characters shows one.
        let first = self.first.min(letters.len().saturating_sub(1));
        let last = self.last.min(letters.len().saturating_sub(first + 1));
        letters[..first].iter().collect::<String>()
            + &stars(letters.len() - first - last)
            + &letters[letters.len() - last..].iter().collect::<String>()
    }
}

fn stars(count: usize) -> String {
    "*".repeat(count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_codes() {
        let cases = [
            ("B20-B24", "B20", true),
            ("B20-B24", "b24.x01", true),
            ("B20-B24", "B25", false),
            ("B20-B24", "B2", false),
            ("Z21", "Z21.x00", true),
            ("O04", "O04.901", true),
            ("O04", "O05", false),
            ("F11-F19", "", false),
            ("F11-F19", "病", false),
        ];
        for (span, code, expected) in cases {
            assert_eq!(CodeSpan::parse(span).unwrap().contains(code), expected, "{span} {code}");
        }
        for bad in ["", "B24-B20", "B2-B24", "病", "A-"] {
            assert_eq!(CodeSpan::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_hide_more_than_they_show_of_what_is_short() {
        let mask = |first, last, up_to: &[&str]| FieldMask {
            first,
            last,
            up_to: up_to.iter().map(ToString::to_string).collect(),
            ..FieldMask::default()
        };
        let cases = [
            (mask(1, 0, &[]), "王力", "王*"),
            (mask(1, 0, &[]), "王", "*"),
            (mask(1, 0, &[]), "", ""),
            (mask(6, 4, &[]), "34052419800101001X", "340524********001X"),
            (mask(3, 4, &[]), "13800138000", "138****8000"),
            (mask(3, 4, &[]), "120", "12*"),
            (mask(4, 0, &[]), "1980-01-01", "1980******"),
            (
                mask(0, 0, &["区", "镇", "街道"]),
                "河南省信阳市平桥区明港镇新集村 7 号",
                "河南省信阳市平桥区明港镇****",
            ),
            (mask(0, 0, &["区"]), "不知何处", "****"),
        ];
        for (mask, value, expected) in cases {
            assert_eq!(mask.part(value), expected, "{value}");
        }
    }
}
