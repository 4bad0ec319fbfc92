//! What can go wrong with a registration, and how often: `catalog/person-index/benchmark.toml`, read.

use serde::Deserialize;

use crate::Fault;

/// The definition that is shipped.
const SHIPPED: &str = include_str!("../../../catalog/person-index/benchmark.toml");

/// How dirty the registrations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// A city whose desks read cards and whose programs check.
    Easy,
    /// An ordinary city.
    Middle,
    /// Every rate at the upper end of what is told.
    Hard,
}

impl Level {
    /// The level of a word of the command line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "easy" => Some(Self::Easy),
            "middle" => Some(Self::Middle),
            "hard" => Some(Self::Hard),
            _ => None,
        }
    }

    /// The word of the command line.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Middle => "middle",
            Self::Hard => "hard",
        }
    }

    /// Share of the registrations with a number whose number, name, birth and sex came from a card reader, at a
    /// hospital, a township health centre and a village clinic. Reasoned, like the rates.
    #[must_use]
    pub fn readers(self) -> [f64; 3] {
        match self {
            Self::Easy => [0.75, 0.55, 0.15],
            Self::Middle => [0.60, 0.40, 0.08],
            Self::Hard => [0.45, 0.25, 0.03],
        }
    }
}

macro_rules! kinds {
    ($($name:ident $code:literal $doc:literal),+ $(,)?) => {
        /// One thing that can be odd about a registration (or a person); the code is that of the definition.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = $doc] $name),+ }

        impl Kind {
            /// Every kind, in the order of the definition.
            pub const ALL: &[Kind] = &[$(Kind::$name),+];

            /// The code in the definition and in truth files.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Kind::$name => $code),+ }
            }
        }
    };
}

kinds! {
    Twin "twin" "双胞胎",
    Namesake "namesake" "同村同名同日生",
    Foreigner "foreigner" "外国人",
    MinorityDotted "minority_dotted" "带间隔号的民族姓名",
    MinorityLong "minority_long" "无姓长名",
    RareName "rare_name" "姓名含生僻字",
    NameChanged "name_changed" "改名、改姓",
    PhoneChanged "phone_changed" "换手机号",
    Moved "moved" "搬家",
    CardChanged "card_changed" "换社保卡",
    CitizenMissing "citizen_missing" "没有身份证号码",
    NewbornRegistered "newborn_registered" "新生儿登记",
    NewbornUnderMother "newborn_under_mother" "新生儿用母亲证件",
    ChildUnderParent "child_under_parent" "儿童用父母证件",
    BorrowedCard "borrowed_card" "借用他人社保卡",
    CitizenOld "citizen_old" "15位旧号码",
    CitizenDigit "citizen_digit" "号码错一位",
    CitizenTransposed "citizen_transposed" "号码相邻两位颠倒",
    CardMissing "card_missing" "没有社保卡号",
    NameHomophone "name_homophone" "同音字",
    NameShape "name_shape" "形近字",
    NamePinyin "name_pinyin" "姓名录成拼音",
    RareCharacter "rare_character" "生僻字录错",
    DotVariant "dot_variant" "间隔号写法不一",
    Transliteration "transliteration" "音译用字不同",
    NameTraditional "name_traditional" "繁体字",
    ChildNickname "child_nickname" "儿童登记小名",
    NameCut "name_cut" "姓名缺字、多字",
    ForeignOrder "foreign_order" "外国人姓名顺序",
    BirthSwapped "birth_swapped" "月日颠倒",
    BirthYear "birth_year" "出生年错",
    BirthDay "birth_day" "出生月日错一位",
    BirthLunar "birth_lunar" "农历生日",
    BirthDefault "birth_default" "1月1日",
    BirthMissing "birth_missing" "没有出生日期",
    SexWrong "sex_wrong" "性别错",
    PhoneShared "phone_shared" "村医或登记处的电话",
    PhoneMissing "phone_missing" "没有电话",
    PhoneDigit "phone_digit" "电话错一位",
    AddressShort "address_short" "地址省略省市县",
    AddressVariant "address_variant" "地址写法不一",
    AddressTownship "address_township" "地址只到乡镇",
    AddressMissing "address_missing" "没有地址",
    ContactMissing "contact_missing" "没有联系人",
    UnknownPatient "unknown_patient" "身份不明的患者",
    Duplicate "duplicate" "同一机构重复建档",
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u64);

impl Kinds {
    /// Adds one.
    pub fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u64;
    }

    /// Whether it is there.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u64 & 1 == 1
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.has(*kind))
    }

    /// Reads codes separated by spaces; unknown ones are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut kinds = Self::default();
        for code in text.split_ascii_whitespace() {
            if let Some(kind) = Kind::ALL.iter().find(|kind| kind.code() == code) {
                kinds.add(*kind);
            }
        }
        kinds
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    rate: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // `of`, `source` and `why` are for the reader of the definition; that they are there is checked
struct Row {
    code: String,
    title: String,
    of: String,
    easy: f64,
    middle: f64,
    hard: f64,
    source: String,
    why: String,
}

/// The rates of one level.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Version of the definition.
    pub version: u32,
    /// The level.
    pub level: Level,
    rates: Vec<f64>,
    titles: Vec<String>,
}

impl Rates {
    /// The shipped rates of a level.
    pub fn shipped(level: Level) -> Result<Self, Fault> {
        Self::read(SHIPPED, level)
    }

    /// Rates of a definition's text.
    pub fn read(text: &str, level: Level) -> Result<Self, Fault> {
        let file: File = toml::from_str(text).map_err(|error| Fault::Rates(error.to_string()))?;
        let mut rates = Vec::with_capacity(Kind::ALL.len());
        let mut titles = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL {
            let mut rows = file.rate.iter().filter(|row| row.code == kind.code());
            let (Some(row), None) = (rows.next(), rows.next()) else {
                return Err(Fault::Rates(format!("每种差错应恰有一项，{} 不是这样", kind.code())));
            };
            let rate = match level {
                Level::Easy => row.easy,
                Level::Middle => row.middle,
                Level::Hard => row.hard,
            };
            if !(0.0..=1.0).contains(&rate) || row.why.is_empty() || row.source.is_empty() {
                return Err(Fault::Rates(format!("{}：比率应在 0 到 1 之间，并写明来源和理由", kind.code())));
            }
            rates.push(rate);
            titles.push(row.title.clone());
        }
        if let Some(row) = file.rate.iter().find(|row| Kind::ALL.iter().all(|kind| kind.code() != row.code)) {
            return Err(Fault::Rates(format!("不认识的差错“{}”", row.code)));
        }
        Ok(Self { version: file.version, level, rates, titles })
    }

    /// The same rates with one changed, for a hunt after one kind of case.
    #[must_use]
    pub fn with(mut self, kind: Kind, rate: f64) -> Self {
        if let Some(slot) = self.rates.get_mut(kind as usize) {
            *slot = rate;
        }
        self
    }

    /// The rate of a kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> f64 {
        self.rates.get(kind as usize).copied().unwrap_or_default()
    }

    /// What a kind is called.
    #[must_use]
    pub fn title(&self, kind: Kind) -> &str {
        self.titles.get(kind as usize).map_or("", String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_rate_that_does_not_fall_with_the_level() {
        let [easy, middle, hard] =
            [Level::Easy, Level::Middle, Level::Hard].map(|l| Rates::shipped(l).unwrap());
        for kind in Kind::ALL {
            assert!(easy.of(*kind) <= middle.of(*kind) && middle.of(*kind) <= hard.of(*kind), "{kind:?}");
            assert!(hard.of(*kind) > 0.0, "{kind:?}");
        }
        // What the brief names as the range of real registrations.
        assert!(easy.of(Kind::CitizenMissing) >= 0.05 && hard.of(Kind::CitizenMissing) <= 0.20);
    }

    #[test]
    fn definitions_that_do_not_serve_are_refused() {
        let unknown = format!(
            "{SHIPPED}\n[[rate]]\ncode=\"x\"\ntitle=\"x\"\nof=\"person\"\neasy=0\nmiddle=0\nhard=0\nsource=\"x\"\nwhy=\"x\"\n"
        );
        assert!(Rates::read(&unknown, Level::Hard).unwrap_err().to_string().contains("不认识的差错"));
        let missing = SHIPPED.replace("code = \"duplicate\"", "code = \"twin\"");
        assert!(Rates::read(&missing, Level::Hard).is_err());
        let wild = SHIPPED.replace("hard = 0.025\n", "hard = 2.5\n");
        assert!(Rates::read(&wild, Level::Hard).is_err());
    }

    #[test]
    fn sets_of_kinds_are_written_and_read() {
        let mut kinds = Kinds::default();
        kinds.add(Kind::Twin);
        kinds.add(Kind::Duplicate);
        let text: Vec<&str> = kinds.iter().map(Kind::code).collect();
        assert_eq!(text, ["twin", "duplicate"]);
        assert_eq!(Kinds::parse(&text.join(" ")), kinds);
        assert!(!kinds.has(Kind::Moved));
    }
}
