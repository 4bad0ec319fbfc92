//! Blocking: under which keys the candidates of a registration are found.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher as StdHasher};

use crate::compare::strings::sound;
use crate::kind::Kind;
use crate::model::{Field, Model};
use crate::value::{Hasher, More, Record, Value};

/// A blocking key of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Hash of the values together with the rule: two registrations with an equal hash are candidates.
    pub hash: u64,
    /// Which of the model's rules made it (index into [`Model::blocks`]).
    pub rule: u16,
}

/// Keys that one rule gives one registration at most.
const MOST_KEYS: usize = 16;

/// A map whose keys are hashes already.
pub(crate) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// Takes a 64-bit hash as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AsIs(u64);

impl StdHasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// One rule: all parts together make a key; without parts all records are one block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BlockRule {
    pub name: String,
    pub parts: Vec<(usize, Part)>,
    pub cap: u32,
}

/// What of a field goes into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The value.
    Whole,
    /// How it sounds: pinyin without tones and regional differences, or the sound of a Latin word.
    Sound,
    /// The first signs.
    First(u8),
    /// The last signs.
    Last(u8),
    /// Family name.
    Surname,
    /// Given name as it sounds.
    Given,
    Year,
    MonthDay,
    /// Words in any order; every word is a key of its own.
    EachWord,
    /// House number and village of an address.
    Door,
}

impl Part {
    pub(crate) fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let numbered = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse::<u8>().ok());
        let part = match text {
            "" => Self::Whole,
            "sound" | "pinyin" => Self::Sound,
            "surname" => Self::Surname,
            "given" => Self::Given,
            "year" => Self::Year,
            "month_day" => Self::MonthDay,
            "word" => Self::EachWord,
            "door" => Self::Door,
            _ => match (numbered("first"), numbered("last")) {
                (Some(n), _) => Self::First(n),
                (_, Some(n)) => Self::Last(n),
                _ => return Err(format!("不认识取值方式“{text}”")),
            },
        };
        let fits = match part {
            Self::Whole | Self::First(_) | Self::Last(_) => true,
            Self::Sound => matches!(kind, Kind::ChineseName | Kind::Name | Kind::Text | Kind::Words),
            Self::Surname | Self::Given => kind == Kind::ChineseName,
            Self::Year | Self::MonthDay => matches!(kind, Kind::Date | Kind::CitizenId),
            Self::EachWord => matches!(kind, Kind::Words | Kind::Text | Kind::Name),
            Self::Door => kind == Kind::ChineseAddress,
        };
        if fits { Ok(part) } else { Err(format!("取值方式“{text}”不适用于这一类字段")) }
    }
}

impl BlockRule {
    pub(crate) fn parse(name: &str, on: &[String], cap: u32, fields: &[Field]) -> Result<Self, String> {
        let parts = on
            .iter()
            .map(|item| {
                // The name of a column may itself have a dot.
                let whole = fields.iter().any(|f| f.name == *item);
                let (field, part) = item.rsplit_once('.').filter(|_| !whole).unwrap_or((item, ""));
                let at = fields.iter().position(|f| f.name == field).ok_or(format!("没有字段“{field}”"))?;
                Ok((at, Part::parse(part, fields[at].kind)?))
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok(Self { name: name.to_owned(), parts, cap })
    }
}

impl Model {
    /// The blocking keys of a registration, each once. Registrations that share one are candidates.
    #[must_use]
    pub fn keys(&self, record: &Record) -> Vec<Key> {
        let mut out: Vec<Key> = Vec::with_capacity(self.blocks.len() + 2);
        // Rules share parts: each is made once. Where the hashes of a part lie in `hashes`.
        let mut made: Vec<(usize, Part, usize, usize)> = Vec::with_capacity(16);
        let mut hashes: Vec<u64> = Vec::with_capacity(24);
        for (rule, block) in self.blocks.iter().enumerate() {
            let mut keys = [0_u64; MOST_KEYS];
            let mut count = 1;
            for (field, part) in &block.parts {
                let known = made.iter().find(|m| m.0 == *field && m.1 == *part).map(|m| (m.2, m.3));
                let (from, to) = known.unwrap_or_else(|| {
                    let from = hashes.len();
                    if let Some(value) = record.value(*field) {
                        crate::keys::part(&self.hasher, value, *part, &mut hashes);
                    }
                    made.push((*field, *part, from, hashes.len()));
                    (from, hashes.len())
                });
                let before = keys;
                let combined = (before[..count].iter())
                    .flat_map(|key| hashes[from..to].iter().map(move |hash| mix(*key, *hash)));
                let mut made_now = 0;
                for (slot, key) in keys.iter_mut().zip(combined) {
                    *slot = key;
                    made_now += 1;
                }
                count = made_now;
                if count == 0 {
                    break;
                }
            }
            for key in &keys[..count] {
                // The rule stands in front, so that keys of one rule lie side by side.
                let hash = (rule as u64) << 56 | key >> 8;
                if !out.iter().any(|k| k.hash == hash) {
                    out.push(Key { hash, rule: rule as u16 });
                }
            }
        }
        out
    }
}

/// The hashes of a part of a value: none when it has no such part.
pub(crate) fn part(hasher: &Hasher, value: &Value, part: Part, out: &mut Vec<u64>) {
    let mut bytes = |b: &[u8]| {
        if !b.is_empty() {
            out.push(hasher.hash(b));
        }
    };
    match (part, &value.more) {
        (Part::Whole, _) => out.push(value.group),
        (Part::Sound, More::Chinese(name)) => {
            for key in name.sound_keys() {
                bytes(key.as_bytes());
            }
        }
        (Part::Surname, More::Chinese(name)) => bytes(name.surname_key().as_bytes()),
        (Part::Given, More::Chinese(name)) => bytes(name.given_key().as_bytes()),
        (Part::Sound, More::Text(text)) => {
            let code = sound(text.as_bytes());
            bytes(if code == 0 { text.as_bytes() } else { &[] });
            if code != 0 {
                bytes(&code.to_le_bytes());
            }
        }
        (Part::Sound, More::Words(words)) => {
            let mut sounds: Vec<u64> = words.words.iter().map(|w| sound(w.as_bytes())).collect();
            sounds.sort_unstable();
            let all: Vec<u8> = sounds.iter().flat_map(|s| s.to_le_bytes()).collect();
            bytes(&all);
        }
        (Part::EachWord, More::Words(words)) => {
            for word in words.words.iter().filter(|w| w.len() > 2) {
                bytes(word.as_bytes());
            }
        }
        (Part::EachWord, More::Text(text)) => {
            for word in text.split(' ').filter(|w| w.len() > 2) {
                bytes(word.as_bytes());
            }
        }
        (Part::Year, More::Date(date)) => bytes(&date.year().to_le_bytes()),
        (Part::MonthDay, More::Date(date)) => bytes(&date.month_day().unwrap_or_default()),
        (Part::Year, More::Citizen(id, _)) => bytes(&id[6..10]),
        (Part::MonthDay, More::Citizen(id, _)) => bytes(&id[10..14]),
        (Part::Door, More::Address(address)) => bytes(address.door_key().as_bytes()),
        (Part::First(n), More::Region(region)) => {
            // A code that is known less finely has no such part: the last division of it is zeros.
            let n = usize::from(n).min(12);
            let from = n.saturating_sub(if n > 6 { 3 } else { 2 });
            if region[from..n].iter().any(|d| *d != b'0') {
                bytes(&region[..n]);
            }
        }
        (Part::First(n), More::Signs(signs)) => {
            bytes(signs.as_slice().get(..usize::from(n)).unwrap_or_default())
        }
        (Part::First(n), More::Citizen(signs, _)) => {
            bytes(signs.get(..usize::from(n)).unwrap_or_default());
        }
        (Part::Last(n), More::Signs(signs)) => bytes(last(signs.as_slice(), n)),
        (Part::Last(n), More::Citizen(signs, _)) => bytes(last(signs, n)),
        (Part::First(n), More::Text(text)) => bytes(first_chars(text, n).as_bytes()),
        (Part::First(n), More::Words(words)) => bytes(first_chars(&words.text, n).as_bytes()),
        (Part::Last(n), More::Text(text)) => bytes(last_chars(text, n).as_bytes()),
        (Part::Last(n), More::Words(words)) => bytes(last_chars(&words.text, n).as_bytes()),
        _ => {}
    }
}

fn last(signs: &[u8], n: u8) -> &[u8] {
    signs.len().checked_sub(usize::from(n)).and_then(|from| signs.get(from..)).unwrap_or_default()
}

fn first_chars(text: &str, n: u8) -> &str {
    text.char_indices().nth(usize::from(n)).map_or(text, |(end, _)| &text[..end])
}

fn last_chars(text: &str, n: u8) -> &str {
    text.char_indices().rev().nth(usize::from(n).saturating_sub(1)).map_or(text, |(from, _)| &text[from..])
}

/// Puts a hash to others so that order counts.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let x = (a.rotate_left(23) ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}
