//! A model for a file that nobody described: kinds are inferred from the names and contents of its columns, blocking
//! rules from how often their values occur.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::keys::mix;
use crate::kind::Kind;
use crate::model::MOST_FIELDS;
use crate::value::{Hasher, plain};
use crate::{Model, ModelError};

/// A column of a file: its name and its values.
#[derive(Debug, Clone)]
pub struct Column<'a> {
    /// The name at its head.
    pub name: &'a str,
    /// Values as they stand, in the order of the records.
    pub values: Vec<&'a str>,
}

/// Files of so few records are compared pair by pair.
const ALL_PAIRS: usize = 2000;
/// Blocking rules at most.
const MOST_RULES: usize = 28;
/// Records that are looked at at most to choose blocking rules.
const SAMPLE: usize = 150_000;
/// Values that are looked at to tell the kind.
const LOOK: usize = 20_000;

/// Words in the names of columns and what they say.
const HINTS: &[(&[&str], Kind)] = &[
    (&["email", "mail", "邮箱"], Kind::Email),
    (&["phone", "tel", "telephone", "mobile", "cell", "fax", "电话", "手机"], Kind::Phone),
    (&["postcode", "zip", "zipcode", "postal", "plz", "邮编"], Kind::Postcode),
    (&["dob", "birth", "birthdate", "birthday", "date", "出生", "生日", "日期"], Kind::Date),
    (
        &[
            "ssn",
            "soc",
            "nin",
            "nhs",
            "passport",
            "id",
            "identifier",
            "no",
            "number",
            "nr",
            "code",
            "证件",
            "卡号",
        ],
        Kind::Identifier,
    ),
    (&["sex", "gender", "性别", "民族"], Kind::Category),
    (
        &[
            "given",
            "first",
            "fname",
            "forename",
            "middle",
            "surname",
            "last",
            "lname",
            "family",
            "firstname",
            "lastname",
            "givenname",
            "mname",
            "vorname",
            "nachname",
            "christian",
            "maiden",
            "nick",
            "alias",
        ],
        Kind::Name,
    ),
    (&["name", "姓名"], Kind::Words),
    (&["street", "address", "addr", "road", "title", "description", "地址", "住址"], Kind::Words),
];

/// What a column's contents are like.
#[derive(Debug, Default)]
struct Look {
    filled: f64,
    distinct: f64,
    /// Means and shares over the filled values.
    length: f64,
    words: f64,
    digits: f64,
    all_digits: f64,
    han: f64,
    at_sign: f64,
    dates: f64,
    citizen: f64,
    one_length: f64,
    integers: f64,
    greatest: f64,
    parsed: HashMap<usize, usize>,
}

fn look(values: &[&str]) -> Look {
    let mut out = Look::default();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    let step = values.len().div_ceil(LOOK).max(1);
    for value in values
        .iter()
        .step_by(step)
        .map(|v| v.trim())
        .filter(|v| !crate::value::is_nothing(v) && !v.is_empty())
    {
        out.filled += 1.0;
        *seen.entry(value).or_default() += 1;
        let length = value.chars().count();
        *lengths.entry(length).or_default() += 1;
        out.length += length as f64;
        out.words += value.split_whitespace().count() as f64;
        let digits = value.chars().filter(char::is_ascii_digit).count();
        out.digits += digits as f64 / length as f64;
        out.all_digits += f64::from(u8::from(digits == length));
        out.han += f64::from(u8::from(value.chars().any(|c| (0x3400..0xa000).contains(&(c as u32)))));
        out.at_sign += f64::from(u8::from(value.contains('@')));
        out.dates += f64::from(u8::from(is_date(value)));
        out.citizen += f64::from(u8::from(standards::identifiers::CitizenId::parse(value).is_ok()));
        if let Ok(number) = value.parse::<f64>() {
            out.integers += 1.0;
            out.greatest = out.greatest.max(number.abs());
        }
    }
    out.distinct = seen.len() as f64;
    let n = out.filled.max(1.0);
    for mean in [
        &mut out.length,
        &mut out.words,
        &mut out.digits,
        &mut out.all_digits,
        &mut out.han,
        &mut out.at_sign,
        &mut out.dates,
        &mut out.citizen,
        &mut out.integers,
    ] {
        *mean /= n;
    }
    out.one_length = lengths.values().copied().max().unwrap_or(0) as f64 / n;
    out.parsed = lengths;
    out
}

/// A whole date: three groups of digits with a year, or eight digits that make one.
fn is_date(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let eight = |t: &str| {
        let number = |r: std::ops::Range<usize>| t.get(r).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
        (1000..2200).contains(&number(0..4))
            && (1..=12).contains(&number(4..6))
            && (1..=31).contains(&number(6..8))
    };
    if digits.len() == text.len() {
        return digits.len() == 8 && eight(&digits);
    }
    let groups = text.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).count();
    (3..=6).contains(&groups)
        && text.len() <= 30
        && crate::compare::date::Date::parse(text).is_some_and(|d| {
            d.month_day().is_some_and(|[m, d]| (1..=31).contains(&m) && (1..=31).contains(&d))
                && digits.len() >= 5
        })
        && text.chars().filter(|c| c.is_alphabetic()).count() <= 3
}

fn hint(name: &str) -> Option<Kind> {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    HINTS
        .iter()
        .find(|(hints, _)| {
            hints.iter().any(|h| {
                words.iter().any(|w| w == h || w.trim_end_matches(|c: char| c.is_ascii_digit()) == *h)
                    || (!h.is_ascii() && lower.contains(h))
                    || (h.len() >= 5 && lower.contains(h))
            })
        })
        .map(|(_, kind)| *kind)
}

/// The kind of a column; `None` when it says nothing about who a record is.
fn kind(name: &str, look: &Look) -> Option<Kind> {
    if look.filled < 2.0 || look.distinct < 2.0 {
        return None;
    }
    let hint = hint(name);
    let unique = look.distinct / look.filled;
    if look.at_sign > 0.6 {
        return Some(Kind::Email);
    }
    if look.citizen > 0.5 {
        return Some(Kind::CitizenId);
    }
    if look.dates > 0.7 {
        return Some(Kind::Date);
    }
    if look.han > 0.5 {
        return Some(match hint {
            Some(Kind::Category) => Kind::Category,
            _ if look.distinct <= 60.0 && unique < 0.05 && look.length < 6.0 => Kind::Category,
            _ if look.length > 7.0 => Kind::ChineseAddress,
            _ => Kind::ChineseName,
        });
    }
    if look.length <= 2.0
        && (look.distinct <= 4.0 || (hint == Some(Kind::Category) && look.distinct <= 100.0))
    {
        return Some(Kind::Category);
    }
    if look.digits > 0.7 {
        if look.integers > 0.9
            && unique > 0.999
            && look.greatest < 20.0 * look.filled
            && look.length < 8.0
            && hint.is_none_or(|h| h == Kind::Identifier)
            && look.filled > 50.0
        {
            // A running number.
            return None;
        }
        if hint == Some(Kind::Phone)
            || (hint.is_none() && look.length >= 10.0 && look.length <= 16.0 && unique > 0.2)
        {
            return Some(Kind::Phone);
        }
        if hint == Some(Kind::Postcode)
            || (hint.is_none()
                && look.one_length > 0.9
                && (4.0..=6.0).contains(&look.length)
                && look.greatest > 2100.0)
        {
            return Some(Kind::Postcode);
        }
        if hint == Some(Kind::Date) && look.integers > 0.9 {
            return Some(Kind::Number);
        }
        if look.length >= 6.0 && unique > 0.1 {
            return Some(Kind::Identifier);
        }
        if look.integers > 0.7 {
            return Some(Kind::Number);
        }
    }
    if hint == Some(Kind::Phone) && look.digits > 0.5 {
        return Some(Kind::Phone);
    }
    if hint == Some(Kind::Postcode) {
        return Some(Kind::Postcode);
    }
    if look.length <= 2.0 && look.distinct <= 60.0 || look.distinct <= 4.0 {
        return Some(Kind::Category);
    }
    if look.words >= 1.5 || (hint == Some(Kind::Words) && look.words >= 1.2) {
        return Some(Kind::Words);
    }
    if hint == Some(Kind::Name) || hint == Some(Kind::Words) {
        return Some(Kind::Name);
    }
    if hint == Some(Kind::Identifier) && look.digits > 0.3 && unique > 0.1 {
        return Some(Kind::Identifier);
    }
    Some(Kind::Text)
}

/// Makes a model for a file from its columns, all with values for the same records.
///
/// # Errors
/// When no column says anything about who a record is.
pub fn guess_model(columns: &[Column<'_>]) -> Result<Model, ModelError> {
    Model::parse(&guess_text(columns))
}

struct Chosen<'c, 'a> {
    column: &'c Column<'a>,
    kind: Kind,
    /// Bits that the value of a random record tells.
    entropy: f64,
}

/// The threshold is lower than for a registry: such files want as many right pairs as wrong ones are few (F1), which a
/// calibrated probability reaches between a half and three quarters.
fn guess_text(columns: &[Column<'_>]) -> String {
    let records = columns.iter().map(|c| c.values.len()).max().unwrap_or(0);
    let mut chosen: Vec<Chosen<'_, '_>> = Vec::new();
    for column in columns {
        let look = look(&column.values);
        if let Some(kind) = kind(column.name, &look) {
            let hashes = hashes(&column.values);
            chosen.push(Chosen {
                column,
                kind,
                entropy: entropy(&hashes) * look.filled / records.max(1) as f64,
            });
        }
    }
    drop_composites(&mut chosen);
    if chosen.len() > MOST_FIELDS {
        let mut ranked: Vec<f64> = chosen.iter().map(|c| c.entropy).collect();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let least = ranked[MOST_FIELDS - 1];
        let mut room = MOST_FIELDS;
        chosen.retain(|c| {
            let keep = c.entropy >= least && room > 0;
            room -= usize::from(keep);
            keep
        });
    }
    let mut out = String::from(
        "version = \"general\"\nmatches_per_record = 0.5\n[thresholds]\nlink = 0.7\nreview = 0.3\n",
    );
    for (at, field) in chosen.iter().enumerate() {
        let kind = quoted(&snake(&format!("{:?}", field.kind)));
        let frequency = !matches!(field.kind, Kind::Number | Kind::CitizenId | Kind::Region);
        let _ = writeln!(
            out,
            "[[field]]\nname = {}\nkind = {kind}\nfrequency = {frequency}",
            quoted(field.column.name)
        );
        if field.kind == Kind::CitizenId {
            out.push_str("exclusive = true\n");
        }
        if field.kind == Kind::Name
            && let Some(other) = partner(&chosen, at)
        {
            let _ = writeln!(out, "swap = {}", quoted(chosen[other].column.name));
        }
    }
    household(&chosen, &mut out);
    blocks(&chosen, records, &mut out);
    out
}

/// Words in the names of columns that hold what people of one house share.
const SHARED: &[&str] = &[
    "address", "addr", "street", "suburb", "city", "town", "place", "state", "county", "region", "contact",
    "guardian", "house",
];

/// For files of persons: who lives together shares address and telephone, and is not one person for that.
fn household(chosen: &[Chosen<'_, '_>], out: &mut String) {
    let named = |c: &Chosen<'_, '_>, words: &[&str]| {
        let lower = c.column.name.to_lowercase();
        words.iter().any(|w| lower.contains(w))
    };
    let persons = chosen.iter().any(|c| {
        matches!(c.kind, Kind::CitizenId)
            || (c.kind == Kind::Date && named(c, &["birth", "dob", "born", "出生"]))
            || named(c, &["sex", "gender", "性别"])
    });
    let shares: Vec<String> = (chosen.iter())
        .filter(|c| {
            matches!(c.kind, Kind::Phone | Kind::Postcode | Kind::ChineseAddress | Kind::Region)
                || (matches!(
                    c.kind,
                    Kind::Words | Kind::Text | Kind::Number | Kind::ChineseName | Kind::Category
                ) && named(c, SHARED))
        })
        .map(|c| quoted(c.column.name))
        .collect();
    if !persons || shares.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "[[relation]]\nname = \"household\"\nper_record = 0.3\nshares = [{}]",
        shares.join(", ")
    );
    for c in chosen.iter().filter(|c| !shares.contains(&quoted(c.column.name))) {
        let levels = match c.kind {
            Kind::Name if named(c, &["surname", "last", "family", "lname", "nachname"]) => "exact = 0.6",
            Kind::ChineseName => "surname = 0.45, kin = 0.03",
            _ => continue,
        };
        let _ = writeln!(out, "levels.{} = {{ {levels} }}", quoted(c.column.name));
    }
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04x}", c as u32).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `ChineseName` → `chinese_name`, as models write kinds.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The other of two name columns that share many values: given name and surname are exchanged at times.
fn partner(chosen: &[Chosen<'_, '_>], at: usize) -> Option<usize> {
    let names: Vec<usize> = (0..chosen.len()).filter(|i| chosen[*i].kind == Kind::Name).collect();
    match names[..] {
        [a, b] if a == at => Some(b),
        [a, b] if b == at => Some(a),
        _ => None,
    }
}

/// Columns that only repeat others: a full name beside its parts counts the same evidence twice.
fn drop_composites(chosen: &mut Vec<Chosen<'_, '_>>) {
    let mut drop = Vec::new();
    for (at, whole) in chosen.iter().enumerate() {
        if !matches!(whole.kind, Kind::Words | Kind::Text | Kind::Name) {
            continue;
        }
        let parts = (chosen.iter().enumerate())
            .filter(|(i, part)| {
                *i != at && !drop.contains(i) && matches!(part.kind, Kind::Name | Kind::Text | Kind::Words)
            })
            .filter(|(_, part)| {
                let (mut both, mut inside) = (0, 0);
                for (w, p) in whole.column.values.iter().zip(&part.column.values).take(LOOK) {
                    let (w, p) = (plain(w, false), plain(p, false));
                    if !w.is_empty() && !p.is_empty() {
                        both += 1;
                        inside +=
                            usize::from(w != p && w.split(' ').any(|word| p.split(' ').any(|q| q == word)));
                    }
                }
                both > 20 && inside * 10 >= both * 6
            })
            .count();
        if parts >= 2 {
            drop.push(at);
        }
    }
    let mut at = 0;
    chosen.retain(|_| {
        at += 1;
        !drop.contains(&(at - 1))
    });
}

/// Hash of each value, 0 where there is none.
fn hashes(values: &[&str]) -> Vec<u64> {
    let hasher = Hasher::default();
    values
        .iter()
        .map(|v| {
            let plain = plain(v, false);
            if plain.is_empty() || crate::value::is_nothing(v.trim()) {
                0
            } else {
                hasher.hash(plain.as_bytes())
            }
        })
        .collect()
}

fn entropy(hashes: &[u64]) -> f64 {
    let mut counts: HashMap<u64, u32> = HashMap::new();
    for h in hashes.iter().filter(|h| **h != 0) {
        *counts.entry(*h).or_default() += 1;
    }
    let n: f64 = counts.values().map(|c| f64::from(*c)).sum();
    counts.values().map(|c| f64::from(*c) / n).map(|p| -p * p.log2()).sum()
}

/// Pairs that a key makes, blocks above a cap left out, and the share of records that have it.
fn pairs(keys: &[Vec<u64>], cap: usize) -> (u64, u64) {
    let mut all: Vec<u64> = keys.iter().flatten().copied().collect();
    all.sort_unstable();
    let (mut pairs, mut kept) = (0_u64, 0_u64);
    for block in all.chunk_by(|a, b| a == b) {
        if block.len() <= cap {
            pairs += (block.len() * (block.len() - 1) / 2) as u64;
            kept += block.len() as u64;
        }
    }
    (pairs, kept)
}

/// Blocking rules: every key that is narrow enough by itself, and pairs of those that are not.
fn blocks(chosen: &[Chosen<'_, '_>], records: usize, out: &mut String) {
    if records <= ALL_PAIRS {
        let _ = writeln!(out, "[[block]]\nname = \"all\"\non = []\ncap = 100000");
        return;
    }
    let budget = 12 * records as u64 + 60_000;
    let cap = 300;
    // Of a large file every so many-th record is looked at: pairs grow with the square, blocks with the share.
    let step = records.div_ceil(SAMPLE).max(1);
    let looked_at = (cap / step).max(2);
    let all_pairs = |made: u64| made * (step * step) as u64;
    let hasher = Hasher::default();
    let mut narrow: Vec<(String, u64)> = Vec::new();
    let mut wide: Vec<(usize, String, Vec<Vec<u64>>)> = Vec::new();
    for (at, field) in chosen.iter().enumerate() {
        let parts: &[&str] = match field.kind {
            Kind::Name => &["", "sound", "first3", "last4"],
            Kind::Text => &["", "sound", "first4"],
            Kind::Words => &["", "sound", "word", "first5"],
            Kind::Date => &["", "year", "month_day"],
            Kind::Identifier => &["", "first4", "last4"],
            Kind::Phone => &["", "last6"],
            Kind::Email => &["", "first5"],
            Kind::ChineseName => &["", "sound"],
            Kind::ChineseAddress => &["", "door"],
            Kind::CitizenId => &["", "year", "month_day"],
            Kind::Number | Kind::Postcode | Kind::Category | Kind::Region => &[""],
        };
        for part in parts {
            let on = if part.is_empty() {
                field.column.name.to_owned()
            } else {
                format!("{}.{part}", field.column.name)
            };
            let Ok(part) = crate::keys::Part::parse(part, field.kind) else { continue };
            let keys: Vec<Vec<u64>> = (field.column.values.iter().step_by(step))
                .map(|v| {
                    let mut found = Vec::new();
                    if let Some(value) = crate::value::prepare(field.kind, v, &hasher) {
                        crate::keys::part(&hasher, &value, part, &mut found);
                    }
                    found.sort_unstable();
                    found.dedup();
                    found
                })
                .collect();
            let (made, kept) = pairs(&keys, looked_at);
            let all: u64 = keys.iter().map(|k| k.len() as u64).sum();
            let made = all_pairs(made);
            if made <= budget && kept * 10 >= all * 9 {
                narrow.push((on, made));
            } else if keys.iter().all(|k| k.len() <= 1) {
                wide.push((at, on, keys));
            }
        }
    }
    let mut rules: Vec<(Vec<String>, u64)> = narrow.into_iter().map(|(on, made)| (vec![on], made)).collect();
    let mut both: Vec<(Vec<String>, u64)> = Vec::new();
    for (i, (field, on, keys)) in wide.iter().enumerate() {
        for (other, also, more) in &wide[i + 1..] {
            if field == other {
                continue;
            }
            let joined: Vec<Vec<u64>> = (keys.iter().zip(more))
                .map(|(x, y)| match (x.first(), y.first()) {
                    (Some(a), Some(b)) => vec![mix(*a, *b)],
                    _ => Vec::new(),
                })
                .collect();
            let (made, kept) = pairs(&joined, looked_at);
            let all: u64 = joined.iter().map(|k| k.len() as u64).sum();
            let made = all_pairs(made);
            if made > 0 && made <= budget && kept * 10 >= all * 9 {
                both.push((vec![on.clone(), also.clone()], made));
            }
        }
    }
    // Wider keys find more; each field should have its turn.
    both.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rules.extend(both);
    rules.truncate(MOST_RULES);
    for (at, (on, _)) in rules.iter().enumerate() {
        let on: Vec<String> = on.iter().map(|o| quoted(o)).collect();
        let _ = writeln!(out, "[[block]]\nname = \"block{at}\"\non = [{}]\ncap = {cap}", on.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind of a column made of `count` values.
    fn of(name: &str, count: usize, value: impl Fn(usize) -> String) -> Option<Kind> {
        let values: Vec<String> = (0..count).map(value).collect();
        kind(name, &look(&values.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    #[test]
    fn kinds_by_name_and_contents() {
        let word =
            |i: usize| format!("{}a{}", ["wal", "ber", "han", "kor"][i % 4], ["ton", "lin", "mer"][i % 3]);
        assert_eq!(of("given_name", 90, word), Some(Kind::Name));
        assert_eq!(of("occupation", 90, word), Some(Kind::Text));
        assert_eq!(of("full_name", 90, |i| format!("{} {}", word(i), word(i + 1))), Some(Kind::Words));
        assert_eq!(of("dob", 90, |i| format!("19{:02}-0{}-1{}", i % 90, 1 + i % 9, i % 9)), Some(Kind::Date));
        assert_eq!(
            of("date_of_birth", 90, |i| format!("19{:02}0{}1{}", i % 90, 1 + i % 9, i % 9)),
            Some(Kind::Date)
        );
        assert_eq!(of("by", 90, |i| (1930 + i % 70).to_string()), Some(Kind::Number));
        assert_eq!(of("soc_sec_id", 90, |i| (6_000_000 + i * 7919).to_string()), Some(Kind::Identifier));
        assert_eq!(of("postcode", 90, |i| (2000 + i % 40).to_string()), Some(Kind::Postcode));
        assert_eq!(of("contact", 90, |i| format!("{}@x.org", word(i))), Some(Kind::Email));
        assert_eq!(of("mobile", 90, |i| (13_800_000_000_usize + i * 7919).to_string()), Some(Kind::Phone));
        assert_eq!(of("sex", 90, |i| (1 + i % 2).to_string()), Some(Kind::Category));
        assert_eq!(of("gender", 90, |i| ["male", "female"][i % 2].to_owned()), Some(Kind::Category));
        assert_eq!(
            of("姓名", 90, |i| format!(
                "{}{}",
                ["张", "李", "王"][i % 3],
                ["伟", "丽", "建国", "芳"][i % 4]
            )),
            Some(Kind::ChineseName)
        );
        assert_eq!(of("住址", 90, |i| format!("东坝头镇张庄村{i}组{i}号")), Some(Kind::ChineseAddress));
        // What says nothing: a running number, one value everywhere, words that stand for nothing.
        assert_eq!(of("row", 90, |i| i.to_string()), None);
        assert_eq!(of("country", 90, |_| "cn".to_owned()), None);
        assert_eq!(of("middle_name", 90, |_| "NA".to_owned()), None);
    }

    #[test]
    fn a_whole_beside_its_parts_is_dropped_and_odd_names_are_quoted() {
        let first: Vec<String> = (0..60).map(|i| format!("first{i}")).collect();
        let last: Vec<String> = (0..60).map(|i| format!("last{}", i % 20)).collect();
        let full: Vec<String> = first.iter().zip(&last).map(|(f, l)| format!("{f} {l}")).collect();
        let column = |name, values: &'static [String]| Column {
            name,
            values: values.iter().map(String::as_str).collect(),
        };
        let (first, last, full): (&'static [String], &'static [String], &'static [String]) =
            (first.leak(), last.leak(), full.leak());
        let model = guess_model(&[
            column("full.name \"x\"", full),
            column("first.name", first),
            column("last\\name", last),
        ])
        .unwrap();
        assert_eq!(model.fields().map(|f| f.0).collect::<Vec<_>>(), ["first.name", "last\\name"]);
        assert!(guess_model(&[]).is_err());
    }
}
