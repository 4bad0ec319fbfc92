//! What a registration can be found by, as 64-bit keys, and the keys that a question looks under. Pure.
//!
//! | key | of | found by |
//! |---|---|---|
//! | written | two characters of the name that stand together | part of the name |
//! | sound | two syllables that stand together | the same, as it is heard |
//! | county name | the first two syllables, county | a name of somebody who lives in a county |
//! | family name | the first syllable, county | a family name and a county |
//! | initials | all of them | letters of a name |
//! | telephone | the last four digits, keyed | digits of a telephone |

use super::sound::{Piece, heard, is_character, of_name, pieces};

/// Pairs of one name that are kept; longer names are found by their beginning.
const PAIRS: usize = 8;
/// Sequences of syllables that one question is looked up by: characters have several readings.
const READINGS: usize = 4;

const WRITTEN: u8 = 1;
const SOUND: u8 = 2;
const COUNTY_NAME: u8 = 3;
const FAMILY: u8 = 4;
const INITIALS: u8 = 5;
const TELEPHONE: u8 = 6;

/// A key of its kind: FNV-1a with a finish that spreads it (splitmix64). Not secret: names are plain in the database.
fn key(kind: u8, parts: &[&str]) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(kind);
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)).cast_signed()
}

/// The key of the last digits of a telephone, from their keyed hash.
pub fn telephone(blind: &[u8]) -> i64 {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(blind) {
        *to = *from;
    }
    i64::from_le_bytes(eight) ^ i64::from(TELEPHONE)
}

/// The digits of a telephone that count.
pub fn tail(phone: &str) -> Option<String> {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= 7).then(|| digits[digits.len() - 4..].iter().collect())
}

/// The county of a division code; `None` above the county.
fn county(region: &str) -> Option<&str> {
    region.get(..6).filter(|c| !c.ends_with("00"))
}

/// The characters of a name that are written in Chinese.
pub fn characters(name: &str) -> Vec<char> {
    name.chars().filter(|c| is_character(*c)).collect()
}

/// The keys of a registration's name and division.
pub fn of_record(name: &str, region: &str) -> Vec<i64> {
    let mut keys = Vec::new();
    let mut text = [0; 8];
    for pair in characters(name).windows(2).take(PAIRS) {
        let mut other = [0; 4];
        keys.push(key(WRITTEN, &[pair[0].encode_utf8(&mut text), pair[1].encode_utf8(&mut other)]));
    }
    let sounds: Vec<String> = of_name(name).iter().map(|s| heard(s)).collect();
    for pair in sounds.windows(2).take(PAIRS) {
        keys.push(key(SOUND, &[&pair[0], &pair[1]]));
    }
    if let (Some(first), Some(county)) = (sounds.first(), county(region)) {
        keys.push(key(FAMILY, &[first, county]));
        if let Some(second) = sounds.get(1) {
            keys.push(key(COUNTY_NAME, &[first, second, county]));
        }
    }
    let letters = standards::pinyin::initials(name);
    if letters.chars().count() >= 2 {
        keys.push(key(INITIALS, &[&letters]));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A name, or a part of one, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// As typed, width folded.
    pub text: String,
    /// Its Chinese characters.
    pub characters: Vec<char>,
    /// How it may sound: sequences of syllables as they are compared.
    pub sounds: Vec<Vec<String>>,
    /// The initials, where letters were typed that are no syllables.
    pub initials: String,
    /// A last syllable that was only begun.
    pub begun: String,
}

impl Said {
    /// Understands a text; `None` where nothing in it can be a name.
    pub fn of(text: &str) -> Option<Self> {
        let text: String =
            standards::width::fold(text).chars().filter(|c| !c.is_control()).take(40).collect();
        let text = text.trim().to_owned();
        let mut said = Said { characters: characters(&text), ..Self::default() };
        // Characters first, then letters, as input methods leave them: 张jianguo.
        let mut sounds: Vec<Vec<String>> = vec![Vec::new()];
        for (at, c) in said.characters.iter().enumerate() {
            let mut all: Vec<String> = standards::pinyin::readings(*c).iter().map(|r| heard(r)).collect();
            if at == 0
                && let Some(family) = of_name(&text).first().map(|s| heard(s))
            {
                all.insert(0, family);
            }
            all.dedup();
            let long: Vec<Vec<String>> = sounds
                .iter()
                .flat_map(|before| {
                    all.iter().map(|next| before.iter().cloned().chain([next.clone()]).collect())
                })
                .collect();
            sounds = long;
            let mut seen = std::collections::HashSet::new();
            sounds.retain(|s| seen.insert(s.clone()));
            sounds.truncate(READINGS);
        }
        let words: Vec<String> = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        if !words.is_empty() {
            said.letters(&words, &mut sounds);
        }
        said.sounds = sounds.into_iter().filter(|s| !s.is_empty()).collect();
        said.text = text;
        let nothing = said.characters.is_empty() && said.sounds.is_empty() && said.initials.is_empty();
        (!nothing).then_some(said)
    }

    fn letters(&mut self, words: &[String], sounds: &mut Vec<Vec<String>>) {
        let run: String = words.concat();
        let mut long = Vec::new();
        let begun_of = |split: &[Piece]| split.iter().filter(|p| matches!(p, Piece::Begun(_))).count();
        let splits = pieces(&run, READINGS);
        let fewest = splits.first().map_or(0, |split| begun_of(split));
        for split in splits.into_iter().filter(|split| begun_of(split) == fewest) {
            let begun = fewest;
            let whole: Vec<String> = split
                .iter()
                .filter_map(|p| if let Piece::Whole(s) = p { Some(heard(s)) } else { None })
                .collect();
            match (begun, split.last()) {
                (0, _) => long.push(whole),
                (1, Some(Piece::Begun(b))) if !whole.is_empty() => {
                    self.begun.clone_from(b);
                    long.push(whole);
                }
                _ if self.initials.is_empty() => {
                    let first = |p: &Piece| match p {
                        Piece::Whole(s) | Piece::Begun(s) => s.chars().next(),
                    };
                    let before: String =
                        standards::pinyin::initials(&self.characters.iter().collect::<String>());
                    self.initials = before + &split.iter().filter_map(first).collect::<String>();
                }
                _ => {}
            }
        }
        // A name of two or three letters is more often initials than a syllable; words of a foreign name are kept whole.
        if run.len() <= 4 && self.initials.is_empty() && self.characters.is_empty() && run.len() >= 2 {
            self.initials.clone_from(&run);
        }
        if words.len() > 1 || long.is_empty() {
            long.insert(0, words.iter().map(|word| heard(word)).collect());
        }
        if !long.is_empty() {
            *sounds = sounds
                .iter()
                .flat_map(|before| long.iter().map(|next| before.iter().chain(next).cloned().collect()))
                .collect();
            sounds.truncate(READINGS);
        }
    }

    /// The keys to look under, the most telling first, in steps: the next step is taken when too few were found.
    pub fn steps(&self, region: &str) -> Vec<Vec<i64>> {
        let mut written = Vec::new();
        for pair in self.characters.windows(2).take(PAIRS) {
            let (mut a, mut b) = ([0; 4], [0; 4]);
            written.push(key(WRITTEN, &[pair[0].encode_utf8(&mut a), pair[1].encode_utf8(&mut b)]));
        }
        let (mut near, mut sound) = (Vec::new(), Vec::new());
        for sounds in &self.sounds {
            let county = county(region);
            match (sounds.as_slice(), county) {
                ([first, second, ..], Some(county)) => near.push(key(COUNTY_NAME, &[first, second, county])),
                ([first], Some(county)) => near.push(key(FAMILY, &[first, county])),
                _ => {}
            }
            sound.extend(sounds.windows(2).take(PAIRS).map(|pair| key(SOUND, &[&pair[0], &pair[1]])));
        }
        if self.initials.len() >= 2 {
            sound.push(key(INITIALS, &[&self.initials]));
        }
        let mut steps = Vec::new();
        for mut step in [written, near, sound] {
            step.sort_unstable();
            step.dedup();
            step.truncate(6);
            if !step.is_empty() {
                steps.push(step);
            }
        }
        steps
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn finds(typed: &str, at: &str, name: &str, region: &str) -> bool {
        let keys = of_record(name, region);
        Said::of(typed).unwrap().steps(at).concat().iter().any(|key| keys.contains(key))
    }

    #[test]
    fn a_name_is_found_by_its_scraps() {
        for (typed, at, name, expected) in [
            ("张建国", "", "张建国", true),
            ("建国", "", "张建国", true),
            ("张健国", "", "张建国", true),
            ("章建", "", "张建国", true),
            ("zhangjianguo", "", "张建国", true),
            ("jianguo", "", "张建国", true),
            ("zhang jian guo", "", "张建国", true),
            ("zanjianguo", "", "张建国", true),
            ("张jianguo", "", "张建国", true),
            ("zhangjiang", "", "张建国", true),
            ("zhang jian gu", "", "张建国", true),
            ("zjg", "", "张建国", true),
            ("ZhangJG", "", "张建国", true),
            ("zw", "", "张伟", true),
            ("张", "411503", "张建国", true),
            ("zhang", "411503", "张建国", true),
            ("张", "", "张建国", false),
            ("张", "411521", "张建国", false),
            ("张建", "411503", "张建国", true),
            ("国建", "", "张建国", false),
            ("王", "411503", "张建国", false),
            ("shan tianfang", "", "单田芳", true),
            ("单田", "", "单田芳", true),
            ("古丽", "", "阿依古丽·买买提", true),
            ("Tom", "411503", "Tom Lee", true),
            ("tom lee", "", "Tom Lee", true),
        ] {
            assert_eq!(finds(typed, at, name, "411503102001"), expected, "{typed} @{at} {name}");
        }
        assert!(Said::of("").is_none() && Said::of("🙂").is_none() && Said::of("…").is_none());
    }

    #[test]
    fn telephones_end_with_four_digits() {
        for (phone, expected) in
            [("13800138000", Some("8000")), ("0376-6221234", Some("1234")), ("120", None), ("", None)]
        {
            assert_eq!(tail(phone).as_deref(), expected, "{phone}");
        }
        assert_ne!(telephone(&[1; 16]), telephone(&[2; 16]));
    }

    #[test]
    fn a_long_name_has_few_keys() {
        assert!(of_record(&"买".repeat(60), "411503102001").len() <= 20);
        assert!(of_record("", "411503102001").is_empty());
        assert_eq!(of_record("张建国", "411503102001").len(), 7);
    }
}
