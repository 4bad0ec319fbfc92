//! Kinds of fields and the outcomes that comparing two values of a kind can have, the best first.

use serde::{Deserialize, Serialize};

/// What a field holds; decides how values are read, compared and made into blocking keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A short text in Latin letters or any script: place, occupation, title.
    Text,
    /// One part of a Western name: given name or surname, with initials and short forms.
    Name,
    /// Several words whose order may change: full name, street, title of a firm.
    Words,
    /// A date, whole or in part (`1980`, `1980-05`), or an age given as `~45@2026`.
    Date,
    /// A number that is measured or counted: street number, year, price.
    Number,
    /// An identifier issued by someone: almost unique, typed with errors.
    Identifier,
    /// A telephone number.
    Phone,
    /// An address of electronic mail.
    Email,
    /// A postcode: its beginning is the area.
    Postcode,
    /// One of a few values: sex, state, ethnicity.
    Category,
    /// A Chinese personal name (汉族、少数民族、外国人), in characters or pinyin.
    ChineseName,
    /// A citizen number (GB 11643), valid or not, of 18 or 15 signs.
    CitizenId,
    /// A division code of up to 12 digits (GB/T 2260, GB/T 10114).
    Region,
    /// A Chinese address.
    ChineseAddress,
}

impl Kind {
    /// The outcomes of comparing two values, the best first. The last one means that nothing is alike.
    #[must_use]
    pub const fn outcomes(self) -> &'static [&'static str] {
        match self {
            Self::Text | Self::Words => &["exact", "near", "close", "loose", "different"],
            Self::Name => &["exact", "near", "close", "loose", "swapped", "different"],
            Self::Date => &[
                "exact",
                "transposed",
                "digit",
                "default",
                "part",
                "lunar",
                "year",
                "near_year",
                "different",
            ],
            Self::Number => &["exact", "digit", "near", "different"],
            Self::Identifier => &["exact", "digit", "close", "different"],
            Self::Phone => &["exact", "digit", "tail", "different"],
            Self::Email => &["exact", "local", "near", "domain", "different"],
            Self::Postcode => &["exact", "digit", "area", "different"],
            Self::Category => &["exact", "different"],
            Self::ChineseName => &[
                "exact",
                "variant",
                "homophone",
                "shape",
                "accent",
                "near",
                "nickname",
                "part",
                "kin",
                "given",
                "surname",
                "different",
            ],
            Self::CitizenId => &["exact", "same_invalid", "digit", "close", "different", "two_valid"],
            Self::Region => &["exact", "township", "county", "prefecture", "different"],
            Self::ChineseAddress => &["exact", "near", "close", "loose", "different"],
        }
    }

    /// Share of the pairs of one person at each outcome, before anything is learnt: an editor's guess that keeps
    /// the training of small files within reason.
    #[must_use]
    pub const fn guess(self) -> &'static [f64] {
        match self {
            Self::Text | Self::Words => &[0.72, 0.1, 0.06, 0.05, 0.07],
            Self::Name => &[0.74, 0.08, 0.05, 0.05, 0.02, 0.06],
            Self::Date => &[0.86, 0.01, 0.05, 0.01, 0.03, 0.005, 0.01, 0.005, 0.02],
            Self::Number => &[0.8, 0.07, 0.03, 0.1],
            Self::Identifier => &[0.85, 0.06, 0.03, 0.06],
            Self::Phone => &[0.6, 0.03, 0.02, 0.35],
            Self::Email => &[0.7, 0.06, 0.06, 0.03, 0.15],
            Self::Postcode => &[0.75, 0.08, 0.07, 0.1],
            Self::Category => &[0.93, 0.07],
            Self::ChineseName => {
                &[0.88, 0.01, 0.02, 0.015, 0.005, 0.01, 0.005, 0.005, 0.002, 0.005, 0.003, 0.04]
            }
            Self::CitizenId => &[0.93, 0.005, 0.04, 0.01, 0.014, 0.001],
            Self::Region => &[0.75, 0.1, 0.08, 0.04, 0.03],
            Self::ChineseAddress => &[0.5, 0.15, 0.12, 0.08, 0.15],
        }
    }

    /// Share of pairs of two different people at each outcome, before anything is learnt.
    #[must_use]
    pub const fn guess_apart(self) -> &'static [f64] {
        match self {
            Self::Text | Self::Words => &[0.01, 0.002, 0.005, 0.05, 0.933],
            Self::Name => &[0.01, 0.003, 0.01, 0.05, 0.001, 0.926],
            Self::Date => &[0.000_05, 0.000_05, 0.001, 0.000_1, 0.004, 0.002, 0.012, 0.025, 0.955_8],
            Self::Number => &[0.02, 0.05, 0.05, 0.88],
            Self::Identifier => &[0.000_001, 0.000_002, 0.000_02, 0.999_977],
            Self::Phone => &[0.000_003, 0.000_002, 0.000_01, 0.999_985],
            Self::Email => &[0.000_001, 0.000_02, 0.000_2, 0.1, 0.899_779],
            Self::Postcode => &[0.003, 0.01, 0.05, 0.937],
            Self::Category => &[0.5, 0.5],
            Self::ChineseName => &[
                0.000_05, 0.000_001, 0.000_1, 0.000_02, 0.000_3, 0.000_1, 0.000_1, 0.000_1, 0.002, 0.001,
                0.04, 0.956_229,
            ],
            Self::CitizenId => &[0.000_001, 0.000_001, 0.000_001, 0.000_01, 0.1, 0.899_987],
            Self::Region => &[0.002, 0.01, 0.1, 0.3, 0.588],
            Self::ChineseAddress => &[0.000_02, 0.000_2, 0.002, 0.02, 0.977_78],
        }
    }
}
