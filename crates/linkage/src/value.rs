//! Values read once into a compact form that compares fast.

use crate::compare::{address, chinese, date};
use crate::kind::Kind;

/// Longest text of a value in signs; what is beyond is cut off.
const LONGEST: usize = 160;

/// Words that stand for nothing.
const NOTHING: &[&str] = &[
    "na",
    "n/a",
    "nan",
    "null",
    "none",
    "nil",
    "unknown",
    "unk",
    "missing",
    "?",
    "-",
    "--",
    "/",
    "\\n",
    "无",
    "不详",
    "未知",
    "不明",
    "未提供",
    "无名",
    "拒绝提供",
    "暂无",
    "其他",
    "空",
    "没有",
];

/// Makes the hashes of values and keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher {
    secret: Option<[u8; 32]>,
}

impl Hasher {
    pub(crate) const fn keyed(secret: [u8; 32]) -> Self {
        Self { secret: Some(secret) }
    }

    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        match &self.secret {
            None => xxhash_rust::xxh3::xxh3_64(bytes),
            Some(secret) => {
                let hash = blake3::keyed_hash(secret, bytes);
                let mut first = [0; 8];
                first.copy_from_slice(&hash.as_bytes()[..8]);
                u64::from_le_bytes(first)
            }
        }
    }
}

/// A registration prepared for comparison. Belongs to the model that prepared it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    values: Box<[Option<Value>]>,
}

/// One prepared value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    /// Equal for equal values.
    pub hash: u64,
    /// Equal for values that count as one when frequencies are taken: traditional and simplified names.
    pub group: u64,
    pub more: More,
}

/// What the kinds of values need beyond their hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum More {
    /// Lower-case text without accents and punctuation.
    Text(Box<str>),
    /// The same with its words, sorted.
    Words(Box<Words>),
    Date(date::Date),
    Number(f64),
    /// Signs of an identifier, telephone number, postcode: letters and digits only.
    Signs(Signs),
    /// Nothing: equal or not is all there is.
    Whole,
    /// The 18 signs and whether they make a valid number that may be the person's own.
    Citizen([u8; 18], bool),
    Chinese(Box<chinese::Name>),
    Region([u8; 12]),
    Address(Box<address::Address>),
}

/// At most twenty letters and digits in place; longer ones are cut off here, not in their hash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Signs([u8; 20], u8);

impl Signs {
    fn new(signs: &[u8]) -> Self {
        let length = signs.len().min(20);
        let mut kept = [0; 20];
        kept[..length].copy_from_slice(&signs[..length]);
        Self(kept, length as u8)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.get(..usize::from(self.1)).unwrap_or_default()
    }
}

/// A text of several words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    pub text: Box<str>,
    pub words: Box<[Box<str>]>,
}

impl Value {
    /// Whether the value may be exclusive: a citizen number must be valid for that.
    pub(crate) const fn is_valid(&self) -> bool {
        match self.more {
            More::Citizen(_, valid) => valid,
            _ => true,
        }
    }

    /// Whether a citizen number tells a birth that this date cannot be, slips of the pen allowed for.
    pub(crate) fn tells_another_birth(&self, date: &Self) -> bool {
        let (More::Citizen(id, true), More::Date(date)) = (&self.more, &date.more) else { return false };
        let told = std::str::from_utf8(&id[6..14]).ok().and_then(date::Date::parse);
        told.is_some_and(|told| told.is_other(date))
    }

    /// The name as that of a child without one, when it is the parent's with something behind it.
    pub(crate) fn without_name(&self, parent: &Self) -> Option<Self> {
        let (More::Chinese(name), More::Chinese(parent)) = (&self.more, &parent.more) else { return None };
        let unnamed = name.named_after(parent)?;
        let mark = |hash| crate::keys::mix(hash, 1);
        Some(Self { hash: mark(self.hash), group: mark(self.group), more: More::Chinese(Box::new(unnamed)) })
    }

    /// The outcome of comparing the value with its equal.
    pub(crate) fn equal_outcome(&self) -> Option<u8> {
        match &self.more {
            More::Citizen(_, false) => Some(1),
            // Two children of one mother are both called 张丽之子.
            More::Chinese(name) if name.is_unnamed() => None,
            _ => Some(0),
        }
    }
}

impl Record {
    pub(crate) fn empty(fields: usize) -> Self {
        Self { values: vec![None; fields].into_boxed_slice() }
    }

    pub(crate) fn set(&mut self, at: usize, kind: Kind, text: &str, hasher: &Hasher) {
        self.values[at] = prepare(kind, text, hasher);
    }

    /// Marks a citizen number as somebody else's: it is compared, but binds nothing.
    pub(crate) fn doubt(&mut self, at: usize) {
        if let Some(value) = self.values.get_mut(at).and_then(Option::as_mut)
            && let More::Citizen(id, true) = value.more
        {
            value.hash = crate::keys::mix(value.hash, 1);
            value.more = More::Citizen(id, false);
        }
    }

    pub(crate) fn replace(&mut self, at: usize, value: Value) {
        if let Some(slot) = self.values.get_mut(at) {
            *slot = Some(value);
        }
    }

    pub(crate) fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at).and_then(Option::as_ref)
    }

    pub(crate) fn values(&self) -> &[Option<Value>] {
        &self.values
    }

    pub(crate) fn into_values(self) -> Box<[Option<Value>]> {
        self.values
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

/// Reads one value; `None` when it says nothing.
pub(crate) fn prepare(kind: Kind, text: &str, hasher: &Hasher) -> Option<Value> {
    let folded = standards::width::fold(text.trim());
    let text = match folded.char_indices().nth(LONGEST) {
        Some((end, _)) => &folded[..end],
        None => &*folded,
    };
    if text.is_empty() || is_nothing(text) {
        return None;
    }
    let one = |hash: u64, more: More| Some(Value { hash, group: hash, more });
    match kind {
        Kind::Text | Kind::Name | Kind::Category | Kind::Email => {
            let plain = plain(text, kind == Kind::Email);
            if plain.is_empty() {
                return None;
            }
            let hash = hasher.hash(plain.as_bytes());
            one(hash, if kind == Kind::Category { More::Whole } else { More::Text(plain.into_boxed_str()) })
        }
        Kind::Words => {
            let plain = plain(text, false);
            if plain.is_empty() {
                return None;
            }
            let mut words: Vec<Box<str>> = plain.split(' ').map(Box::from).collect();
            // Scripts without spaces are taken sign by sign.
            if words.len() == 1 && !plain.is_ascii() {
                words = plain.chars().map(|c| c.to_string().into_boxed_str()).collect();
            }
            words.sort_unstable();
            words.truncate(24);
            let hash = hasher.hash(plain.as_bytes());
            one(hash, More::Words(Box::new(Words { text: plain.into(), words: words.into() })))
        }
        Kind::Date => {
            let date = date::Date::parse(text)?;
            one(hasher.hash(&date.bytes()), More::Date(date))
        }
        Kind::Number => {
            let kept: String =
                text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
            match kept.parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    // Compared with any sign that stood beside it: 12a is not 12.
                    let rest: String = text.chars().filter(|c| c.is_alphabetic()).collect();
                    let shown = format!("{number}{}", rest.to_lowercase());
                    one(hasher.hash(shown.as_bytes()), More::Number(number))
                }
                _ => {
                    let plain = plain(text, false);
                    one(hasher.hash(plain.as_bytes()), More::Text(plain.into()))
                }
            }
        }
        Kind::Identifier | Kind::Postcode => {
            let signs: Vec<u8> = signs(text);
            if signs.is_empty() || all_one(&signs) && signs.len() > 3 {
                return None;
            }
            one(hasher.hash(&signs), More::Signs(Signs::new(&signs)))
        }
        Kind::Phone => {
            let signs = phone(text)?;
            one(hasher.hash(&signs), More::Signs(Signs::new(&signs)))
        }
        Kind::CitizenId => citizen(text, hasher),
        Kind::Region => {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).take(12).collect();
            if digits.len() < 2 {
                return None;
            }
            let mut region = [b'0'; 12];
            region[..digits.len()].copy_from_slice(&digits);
            one(hasher.hash(&region), More::Region(region))
        }
        Kind::ChineseName => {
            let (name, raw) = chinese::Name::read(text)?;
            let group = hasher.hash(name.folded().as_bytes());
            let hash = if raw == name.folded() { group } else { hasher.hash(raw.as_bytes()) };
            Some(Value { hash, group, more: More::Chinese(Box::new(name)) })
        }
        Kind::ChineseAddress => {
            let address = address::Address::read(text)?;
            one(hasher.hash(address.text.as_bytes()), More::Address(Box::new(address)))
        }
    }
}

pub(crate) fn is_nothing(text: &str) -> bool {
    text.len() <= 12 && NOTHING.iter().any(|n| n.eq_ignore_ascii_case(text))
}

fn all_one(signs: &[u8]) -> bool {
    signs.first().is_some_and(|first| signs.iter().all(|s| s == first))
}

/// Upper-case letters and digits.
fn signs(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).take(40).collect()
}

/// The digits of a telephone number without the country code of China; `None` for what cannot be one.
fn phone(text: &str) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).take(20).collect();
    if digits.len() == 13 && digits.starts_with(b"861") {
        digits.drain(..2);
    } else if digits.len() == 15 && digits.starts_with(b"00861") {
        digits.drain(..4);
    }
    (digits.len() >= 5 && !all_one(&digits)).then_some(digits)
}

fn citizen(text: &str, hasher: &Hasher) -> Option<Value> {
    let signs = signs(text);
    if signs.len() < 6 || all_one(&signs) {
        return None;
    }
    let mut id = [b'-'; 18];
    let parsed =
        std::str::from_utf8(&signs).ok().and_then(|t| standards::identifiers::CitizenId::parse(t).ok());
    if let Some(valid) = &parsed {
        id.copy_from_slice(valid.as_str().as_bytes());
    } else if signs.len() == 15 {
        // An old number with an error: the same places as in a new one, so that they compare.
        id[..6].copy_from_slice(&signs[..6]);
        id[6..8].copy_from_slice(b"19");
        id[8..17].copy_from_slice(&signs[6..]);
    } else {
        let length = signs.len().min(18);
        id[..length].copy_from_slice(&signs[..length]);
    }
    let hash = hasher.hash(&id);
    Some(Value { hash, group: hash, more: More::Citizen(id, parsed.is_some()) })
}

/// Lower case, Latin accents dropped, everything but letters and digits made one space. Electronic mail keeps its
/// signs.
pub(crate) fn plain(text: &str, mail: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars().flat_map(char::to_lowercase) {
        let kept = c.is_alphanumeric() || (mail && matches!(c, '@' | '.' | '_' | '-' | '+'));
        if kept {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            push_plain(c, &mut out);
        } else if !matches!(c, '\'' | '’' | '`') {
            gap = true;
        }
    }
    out
}

/// A letter without its accent.
fn push_plain(c: char, out: &mut String) {
    let plain = match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => 'a',
        'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è'..='ë' | 'ē' | 'ę' | 'ě' | 'ė' => 'e',
        'ğ' | 'ģ' => 'g',
        'ì'..='ï' | 'ī' | 'ı' | 'į' => 'i',
        'ł' | 'ľ' | 'ĺ' | 'ļ' => 'l',
        'ñ' | 'ń' | 'ň' | 'ņ' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => 'o',
        'ř' | 'ŕ' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ž' | 'ż' => 'z',
        'ß' => {
            out.push_str("ss");
            return;
        }
        'æ' => {
            out.push_str("ae");
            return;
        }
        'œ' => {
            out.push_str("oe");
            return;
        }
        other => other,
    };
    out.push(plain);
}
