//! The search index of one code table, in memory: code prefixes, parts of names, pinyin in full, by initials or mixed,
//! with every reading of a character, and a second pass that forgives one or two slips.
//!
//! Names are kept as two-byte numbers of their characters; each distinct character knows its readings. A search is
//! one pass over those numbers, so that no index of pinyin texts is needed and polyphones cost nothing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use catalog::CodeTable;
use standards::pinyin::readings;
use standards::width::fold_char;

/// How well a code matches; the lower the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The code itself.
    Code,
    /// The whole name.
    Name,
    /// The code begins so.
    CodePrefix,
    /// The name begins so.
    NamePrefix,
    /// The whole name in pinyin.
    Pinyin,
    /// The name begins so in pinyin.
    PinyinPrefix,
    /// Within the name.
    NamePart,
    /// Within the name, in pinyin.
    PinyinPart,
    /// With a slip or two.
    Slip,
}

/// A code that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Position in the table.
    pub position: u32,
    /// How well.
    pub rank: Rank,
    /// The other name that matched, as a position in the table's `aliases`.
    pub alias: Option<u32>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Query<'q> {
    /// Text as typed; words apart by spaces must all match.
    pub text: &'q str,
    /// Most hits.
    pub limit: usize,
    /// How often each code is used where the asker works, by position.
    pub uses: Option<&'q HashMap<u32, u32>>,
    /// Leave retired codes out.
    pub active_only: bool,
    /// Whether slips may be forgiven when little is found.
    pub slips: bool,
}

impl<'q> Query<'q> {
    /// A text, as a form asks while somebody types.
    pub fn typed(text: &'q str, limit: usize) -> Self {
        Self { text, limit, uses: None, active_only: false, slips: true }
    }
}

/// A distinct character.
#[derive(Debug, Clone)]
struct Letter {
    c: char,
    /// Which letters and digits its readings begin with: `a`–`z`, then `0`–`9`.
    begins: u64,
    readings: Box<[Box<str>]>,
}

/// The index of one table.
#[derive(Debug)]
pub struct SearchIndex {
    table: Arc<CodeTable>,
    letters: Vec<Letter>,
    numbers: HashMap<char, u16>,
    /// The characters of every name and then every alias, one after the other.
    text: Vec<u16>,
    /// Where each ends.
    ends: Vec<u32>,
    /// Positions in the order of [`plain_code`].
    by_code: Vec<u32>,
}

/// The longest text that is searched for, in characters.
const LONGEST: usize = 40;
/// Attempts of the matcher at one place before it gives up there.
const STEPS: u32 = 400;
/// Fewer hits than this, and slips are forgiven.
const FEW: usize = 3;

/// What a word must match.
#[derive(Debug)]
struct Word {
    chars: Vec<char>,
    numbers: Vec<Option<u16>>,
    begin: u64,
    code: String,
}

impl SearchIndex {
    /// Builds the index of a table.
    pub fn new(table: Arc<CodeTable>) -> Self {
        let mut index = Self {
            letters: Vec::new(),
            numbers: HashMap::new(),
            text: Vec::with_capacity(table.codes.len() * 12),
            ends: Vec::with_capacity(table.codes.len() + table.aliases.len()),
            by_code: Vec::new(),
            table: Arc::clone(&table),
        };
        for name in table.codes.iter().map(|c| &c.name).chain(table.aliases.iter().map(|(_, a)| a)) {
            for c in name.chars().filter_map(searched) {
                let number = index.number(c);
                index.text.push(number);
            }
            index.ends.push(index.text.len() as u32);
        }
        index.text.shrink_to_fit();
        let mut keyed: Vec<(String, u32)> =
            table.codes.iter().zip(0..).map(|(code, at)| (plain_code(&code.code), at)).collect();
        keyed.sort_unstable();
        index.by_code = keyed.into_iter().map(|(_, at)| at).collect();
        index
    }

    /// The table.
    pub fn table(&self) -> &Arc<CodeTable> {
        &self.table
    }

    /// Bytes that the index takes beside the table.
    pub fn bytes(&self) -> usize {
        self.text.capacity() * 2
            + self.ends.capacity() * 4
            + self.by_code.capacity() * 4
            + self.numbers.capacity() * 8
            + self.letters.iter().map(|l| size_of::<Letter>() + l.readings.len() * 32).sum::<usize>()
    }

    fn number(&mut self, c: char) -> u16 {
        if let Some(number) = self.numbers.get(&c) {
            return *number;
        }
        // Beyond 65,000 distinct characters (no table has them) the rest share the last number and match nothing.
        let Ok(number) = u16::try_from(self.letters.len()) else { return u16::MAX };
        let readings: Box<[Box<str>]> = if c.is_ascii() { [].into() } else { readings(c).into() };
        let begins = if c.is_ascii() {
            bit(c)
        } else {
            readings.iter().filter_map(|r| r.chars().next()).map(bit).sum_bits()
        };
        self.letters.push(Letter { c, begins, readings });
        self.numbers.insert(c, number);
        number
    }

    fn span(&self, entry: usize) -> std::ops::Range<usize> {
        let from = if entry == 0 { 0 } else { self.ends[entry - 1] as usize };
        from..self.ends[entry] as usize
    }

    /// Codes that match, best first.
    pub fn search(&self, query: Query<'_>) -> Vec<Hit> {
        let words: Vec<Word> = query
            .text
            .split_whitespace()
            .map(|word| self.word(word))
            .filter(|word| !word.chars.is_empty() || !word.code.is_empty())
            .take(6)
            .collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut hits = self.pass(&words, 0);
        if hits.len() < FEW.min(query.limit) && query.slips && words.iter().any(|w| w.chars.len() >= 3) {
            let slips = if words.iter().any(|w| w.chars.len() >= 8) { 2 } else { 1 };
            hits.extend(self.pass(&words, slips).into_iter().map(|hit| Hit { rank: Rank::Slip, ..hit }));
        }
        if query.active_only {
            hits.retain(|hit| !self.table.retired.contains_key(&hit.position));
        }
        self.order(hits, query)
    }

    fn word(&self, word: &str) -> Word {
        let chars: Vec<char> = word.chars().filter_map(searched).take(LONGEST).collect();
        let folded: String = word.chars().map(fold_char).collect();
        Word {
            numbers: chars.iter().map(|c| self.numbers.get(c).copied()).collect(),
            begin: chars.first().map_or(0, |c| bit(*c)),
            code: if folded.is_ascii() { plain_code(&folded) } else { String::new() },
            chars,
        }
    }

    /// Best hit of each code, first by rank, then by use, then the shorter name.
    fn order(&self, hits: Vec<Hit>, query: Query<'_>) -> Vec<Hit> {
        let uses = |at: u32| query.uses.and_then(|u| u.get(&at)).copied().unwrap_or(0);
        let key = |hit: &Hit| {
            let entry = hit.alias.map_or(hit.position as usize, |a| self.table.codes.len() + a as usize);
            let by_code = matches!(hit.rank, Rank::Code | Rank::CodePrefix);
            (
                hit.rank,
                self.table.retired.contains_key(&hit.position),
                Reverse(uses(hit.position)),
                // Codes below a prefix stay in their order; names, the shorter first.
                if by_code { 0 } else { self.span(entry).len() },
                hit.position,
            )
        };
        let mut best: HashMap<u32, Hit> = HashMap::with_capacity(hits.len());
        for hit in hits {
            let kept = best.entry(hit.position).or_insert(hit);
            if key(&hit) < key(kept) {
                *kept = hit;
            }
        }
        let mut keyed: Vec<_> = best.into_values().map(|hit| (key(&hit), hit)).collect();
        if keyed.len() > query.limit && query.limit > 0 {
            keyed.select_nth_unstable_by(query.limit - 1, |a, b| a.0.cmp(&b.0));
            keyed.truncate(query.limit);
        }
        keyed.sort_unstable_by_key(|(key, _)| *key);
        keyed.into_iter().take(query.limit).map(|(_, hit)| hit).collect()
    }

    /// One pass for the first word over everything, the other words over what it found.
    fn pass(&self, words: &[Word], slips: u8) -> Vec<Hit> {
        let Some((first, others)) = words.split_first() else { return Vec::new() };
        let mut hits = if slips == 0 { self.codes_from(&first.code) } else { Vec::new() };
        if !first.chars.is_empty() {
            self.names(first, slips, &mut hits);
        }
        for word in others {
            hits.retain_mut(|hit| {
                let entry = hit.alias.map_or(hit.position as usize, |a| self.table.codes.len() + a as usize);
                let code = plain_code(&self.table.codes[hit.position as usize].code);
                if !word.code.is_empty() && code.starts_with(&word.code) {
                    return true;
                }
                match self.name(entry, word, slips) {
                    Some(rank) => {
                        hit.rank = hit.rank.max(rank);
                        true
                    }
                    None => false,
                }
            });
        }
        hits
    }

    /// Codes that begin so.
    fn codes_from(&self, code: &str) -> Vec<Hit> {
        if code.is_empty() {
            return Vec::new();
        }
        let own = |at: &u32| plain_code(&self.table.codes[*at as usize].code);
        let from = self.by_code.partition_point(|at| own(at).as_str() < code);
        self.by_code[from..]
            .iter()
            .map(|at| (*at, own(at)))
            .take_while(|(_, own)| own.starts_with(code))
            .map(|(position, own)| Hit {
                position,
                rank: if own.len() == code.len() { Rank::Code } else { Rank::CodePrefix },
                alias: None,
            })
            .collect()
    }

    fn names(&self, word: &Word, slips: u8, hits: &mut Vec<Hit>) {
        let codes = self.table.codes.len();
        for entry in 0..self.ends.len() {
            if let Some(rank) = self.name(entry, word, slips) {
                let (position, alias) = match entry.checked_sub(codes) {
                    None => (entry as u32, None),
                    Some(alias) => (self.table.aliases[alias].0, Some(alias as u32)),
                };
                hits.push(Hit { position, rank, alias });
            }
        }
    }

    /// How a name or alias matches a word, best place first.
    fn name(&self, entry: usize, word: &Word, slips: u8) -> Option<Rank> {
        let span = self.span(entry);
        let text = &self.text[span];
        let mut found: Option<Rank> = None;
        for (at, number) in text.iter().enumerate() {
            let letter = self.letters.get(usize::from(*number))?;
            // With slips the first character may be the wrong one only at the beginning of the name.
            let begins = if word.begin == 0 {
                word.numbers.first() == Some(&Some(*number))
            } else {
                letter.begins & word.begin != 0
            };
            if !begins && (slips == 0 || at > 0) {
                continue;
            }
            let mut walk = Walk { index: self, word, text, left: STEPS, pinyin: false };
            let Some(end) = walk.on(0, at, slips) else { continue };
            let rank = match (at == 0, end == text.len(), walk.pinyin) {
                (true, true, false) => Rank::Name,
                (true, true, true) => Rank::Pinyin,
                (true, false, false) => Rank::NamePrefix,
                (true, false, true) => Rank::PinyinPrefix,
                (false, _, false) => Rank::NamePart,
                (false, _, true) => Rank::PinyinPart,
            };
            if found.is_none_or(|f| rank < f) {
                found = Some(rank);
            }
            if at == 0 || found <= Some(Rank::NamePart) {
                break;
            }
        }
        found
    }

    /// Codes whose names share most characters with a text, with the share (Dice) of characters: candidates for a
    /// closer look, in one pass.
    pub fn alike(&self, text: &str, limit: usize) -> Vec<(u32, Option<u32>, f32)> {
        let mut wanted = vec![0u8; self.letters.len()];
        let mut length = 0usize;
        for c in text.chars().filter_map(searched) {
            length += 1;
            if let Some(number) = self.numbers.get(&c) {
                wanted[usize::from(*number)] = wanted[usize::from(*number)].saturating_add(1);
            }
        }
        if length == 0 {
            return Vec::new();
        }
        let codes = self.table.codes.len();
        let mut found: Vec<(u32, Option<u32>, f32)> = Vec::new();
        for entry in 0..self.ends.len() {
            let own = &self.text[self.span(entry)];
            if own.is_empty() {
                continue;
            }
            let shared = own.iter().filter(|n| wanted.get(usize::from(**n)).is_some_and(|w| *w > 0)).count();
            let dice = 2.0 * shared as f32 / (own.len() + length) as f32;
            if dice >= 0.4 {
                let alias = entry.checked_sub(codes);
                let position = alias.map_or(entry as u32, |a| self.table.aliases[a].0);
                found.push((position, alias.map(|a| a as u32), dice));
            }
        }
        if found.len() > limit {
            found.select_nth_unstable_by(limit, |a, b| b.2.total_cmp(&a.2));
            found.truncate(limit);
        }
        found.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        found
    }
}

/// The matcher at one place of one name.
struct Walk<'w> {
    index: &'w SearchIndex,
    word: &'w Word,
    text: &'w [u16],
    left: u32,
    pinyin: bool,
}

impl Walk<'_> {
    /// Matches the word from `i` on against the name from `j` on; where in the name it ends.
    fn on(&mut self, i: usize, j: usize, slips: u8) -> Option<usize> {
        let chars = &self.word.chars;
        if i == chars.len() {
            return Some(j);
        }
        self.left = self.left.checked_sub(1)?;
        if let Some(number) = self.text.get(j) {
            let letter = self.index.letters.get(usize::from(*number))?;
            let c = chars[i];
            if letter.c == c {
                if let Some(end) = self.on(i + 1, j + 1, slips) {
                    return Some(end);
                }
            } else if c.is_ascii_lowercase() && letter.begins & bit(c) != 0 {
                // A literal match reached later in this walk stays a match in pinyin.
                if let Some(end) = self.read(letter, i, j, slips) {
                    self.pinyin = true;
                    return Some(end);
                }
            }
        }
        if slips == 0 || i == 0 && j > 0 {
            return None;
        }
        // One too many typed, one left out, one wrong.
        if self.text.get(j).is_none() {
            return self.on(i + 1, j, slips - 1);
        }
        self.on(i + 1, j + 1, slips - 1)
            .or_else(|| self.on(i, j + 1, slips - 1))
            .or_else(|| self.on(i + 1, j, slips - 1))
    }

    /// A character by one of its readings: the whole syllable, its beginning at the end of the word, its first
    /// letter, or `zh`, `ch`, `sh`.
    fn read(&mut self, letter: &Letter, i: usize, j: usize, slips: u8) -> Option<usize> {
        let rest = &self.word.chars[i..];
        for reading in &letter.readings {
            let same = reading.chars().zip(rest).take_while(|(a, b)| a == *b).count();
            if same == rest.len() {
                return Some(j + 1);
            }
            if same == reading.len()
                && let Some(end) = self.on(i + same, j + 1, slips)
            {
                return Some(end);
            }
            if same >= 2
                && same < reading.len()
                && reading.as_bytes().get(1) == Some(&b'h')
                && let Some(end) = self.on(i + 2, j + 1, slips)
            {
                return Some(end);
            }
            if same >= 1
                && let Some(end) = self.on(i + 1, j + 1, slips)
            {
                return Some(end);
            }
        }
        None
    }
}

/// The characters that are searched: letters, digits and Chinese characters, half-width and in lower case.
fn searched(c: char) -> Option<char> {
    let c = fold_char(c);
    c.is_alphanumeric().then(|| c.to_lowercase().next().unwrap_or(c))
}

/// A code as it is searched: capitals, without points and spaces.
fn plain_code(code: &str) -> String {
    code.chars().filter(|c| !matches!(c, '.' | ' ')).flat_map(char::to_uppercase).collect()
}

/// The bit of a letter or digit; none for other characters.
fn bit(c: char) -> u64 {
    match c {
        'a'..='z' => 1 << (c as u32 - 'a' as u32),
        '0'..='9' => 1 << (26 + c as u32 - '0' as u32),
        _ => 0,
    }
}

trait SumBits {
    fn sum_bits(self) -> u64;
}

impl<I: Iterator<Item = u64>> SumBits for I {
    fn sum_bits(self) -> u64 {
        self.fold(0, |sum, bit| sum | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Code, Retired};

    fn index(codes: &[(&str, &str)], aliases: &[(u32, &str)]) -> SearchIndex {
        let mut table = CodeTable {
            codes: codes.iter().map(|(c, n)| Code { code: (*c).into(), name: (*n).into() }).collect(),
            aliases: aliases.iter().map(|(at, a)| (*at, (*a).into())).collect(),
            ..CodeTable::default()
        };
        table.retired.insert(6, Retired { replaced_by: "I10.x00".into() });
        table.index();
        SearchIndex::new(Arc::new(table))
    }

    fn sample() -> SearchIndex {
        index(
            &[
                ("I10.x00", "特发性（原发性）高血压"),
                ("I10.x00x002", "高血压"),
                ("I11.900", "高血压性心脏病"),
                ("E11.900", "2型糖尿病"),
                ("M81.900", "骨质疏松"),
                ("S72.000", "股骨颈骨折"),
                ("I10.x01", "高血压旧码"),
                ("K29.500", "慢性胃炎"),
                ("N19.x00", "肾衰竭"),
                ("R33.x00", "尿潴留"),
                ("J20.900", "急性支气管炎"),
            ],
            &[(1, "血压高"), (3, "非胰岛素依赖型糖尿病")],
        )
    }

    fn found(index: &SearchIndex, text: &str) -> String {
        let hits = index.search(Query { slips: false, ..Query::typed(text, 20) });
        hits.iter().map(|h| &*index.table.codes[h.position as usize].code).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_found_and_in_which_order() {
        let index = sample();
        for (text, expected) in [
            ("I10.x00", "I10.x00 I10.x00x002"),
            ("i10", "I10.x00 I10.x00x002 I10.x01"),
            ("I10X", "I10.x00 I10.x00x002 I10.x01"),
            ("高血压", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("gxy", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("gaoxueya", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("gaoxy", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("gxueya", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("高xy", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("gaox", "I10.x00x002 I11.900 I10.x01 I10.x00"),
            ("血压高", "I10.x00x002"),
            ("2xtnb", "E11.900"),
            ("tnb", "E11.900"),
            ("ＴＮＢ", "E11.900"),
            ("feiyidaosu", "E11.900"),
            ("心脏 高血压", "I11.900"),
            ("i11 xzb", "I11.900"),
            ("zhiqiguan", "J20.900"),
            ("jxzhqg", "J20.900"),
            ("感冒", ""),
            ("  ", ""),
            ("（）", ""),
        ] {
            assert_eq!(found(&index, text), expected, "{text}");
        }
    }

    #[test]
    fn every_reading_of_a_polyphone_is_found() {
        let index = index(
            &[
                ("1", "会厌炎"),
                ("2", "重度贫血"),
                ("3", "重复肾"),
                ("4", "行走困难"),
                ("5", "横纹肌溶解"),
                ("6", "尿潴留"),
                ("7", "长期卧床"),
                ("8", "女性不孕"),
                ("9", "绿色瘤"),
            ],
            &[],
        );
        for (text, expected) in [
            ("huiyan", "1"),
            ("kuaiyan", "1"),
            ("zd", "2"),
            ("chongfu", "3"),
            ("cf", "3"),
            ("zhongfu", "3"),
            ("xingzou", "4"),
            ("hangzou", "4"),
            ("xz", "4"),
            ("changqi", "7"),
            ("zhangqi", "7"),
            ("nvxing", "8"),
            ("lvse", "9"),
            ("luse", "9"),
        ] {
            assert_eq!(found(&index, text), expected, "{text}");
        }
    }

    #[test]
    fn slips_are_forgiven_in_a_second_pass() {
        let index = sample();
        for (text, expected) in [
            ("骨质舒松", "M81.900"),
            ("慢性未炎", "K29.500"),
            ("guzhishusong", "M81.900"),
            ("mangxingweiyan", "K29.500"),
            ("急性枝气管炎", "J20.900"),
            ("肾衰", "N19.x00"),
        ] {
            let hits = index.search(Query::typed(text, 5));
            let first = hits.first().map(|h| &*index.table.codes[h.position as usize].code);
            assert_eq!(first, Some(expected), "{text}");
        }
        assert!(index.search(Query::typed("完全不相干的词", 5)).is_empty());
    }

    #[test]
    fn use_and_retirement_order_equals() {
        let index = sample();
        let uses = HashMap::from([(2u32, 900u32)]);
        let hits = index.search(Query { uses: Some(&uses), ..Query::typed("高血", 3) });
        assert_eq!(hits.iter().map(|h| h.position).collect::<Vec<_>>(), [2, 1, 6]);
        let active = index.search(Query { active_only: true, ..Query::typed("高血", 9) });
        assert!(active.iter().all(|h| h.position != 6));
    }

    #[test]
    fn any_text_is_taken() {
        let index = sample();
        for text in
            ["", "𠮷", "%_\\", "a b c d e f g h", &"高".repeat(500), &"n".repeat(500), "zhshch", "\u{0}"]
        {
            let _ = index.search(Query::typed(text, 3));
            let _ = index.alike(text, 3);
        }
        assert_eq!(index.alike("高血压病", 3).first().map(|(at, _, _)| *at), Some(1));
    }
}
