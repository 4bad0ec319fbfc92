//! Registrations that a clerk took down otherwise than they are: by ear, in a hurry, without the card. They stay so at that
//! institution, and whoever keeps the master index has to tell whose they are.

use chrono::{Datelike, NaiveDate};

use crate::random::Random;

/// Share of a person's registrations that are taken down so.
pub const RATE: f64 = 0.03;

/// Characters that sound alike and stand in given names.
const ALIKE: [&str; 36] = [
    "伟玮炜",
    "芳方",
    "军君钧",
    "勇永",
    "磊雷",
    "涛滔",
    "明鸣",
    "华桦",
    "丽莉利",
    "静婧",
    "霞侠",
    "艳燕彦",
    "娟涓",
    "杰洁捷",
    "建健",
    "宏红洪",
    "英瑛",
    "玲铃",
    "平萍",
    "兰岚",
    "志智治",
    "文雯",
    "辉晖",
    "云芸",
    "俊峻",
    "子梓紫",
    "轩萱",
    "涵晗",
    "欣新鑫",
    "雨宇羽",
    "佳嘉家",
    "怡宜",
    "浩皓昊",
    "晨辰宸",
    "琴勤",
    "珍真",
];

/// What stands in the registration instead; no number, address in words, contact or card is known there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slip {
    /// Name as heard.
    pub name: Option<String>,
    /// Date of birth as understood.
    pub birth: Option<NaiveDate>,
    /// The telephone of whoever came along; empty where nobody was asked.
    pub phone: String,
    /// How much of the division was taken down.
    pub place: Place,
}

/// How much of the division of the address is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    #[default]
    Unknown,
    /// The county.
    County,
    /// All of it.
    Village,
}

/// The slip of an institution about a person; `None` for most.
pub(crate) fn slip(seed: u64, person: u64, institution: usize, name: &str, birth: NaiveDate) -> Option<Slip> {
    let mut dice = Random::of(seed, &[0x51e9, person, institution as u64]);
    if !dice.chance(RATE) {
        return None;
    }
    let heard = heard(name, &mut dice);
    let understood = (heard.is_none() || dice.chance(0.15)).then(|| understood(birth, &mut dice));
    let phone =
        if dice.chance(0.2) { format!("139{:08}", dice.between(0, 99_999_999)) } else { String::new() };
    let place = *dice.pick(&[Place::Unknown, Place::County, Place::County, Place::Village]);
    Some(Slip { name: heard, birth: understood, phone, place })
}

/// The name with one character that sounds alike.
fn heard(name: &str, dice: &mut Random) -> Option<String> {
    let letters: Vec<char> = name.chars().collect();
    let (at, group) = letters
        .iter()
        .enumerate()
        .skip(1)
        .find_map(|(at, letter)| Some((at, ALIKE.iter().find(|group| group.contains(*letter))?)))?;
    let others: Vec<char> = group.chars().filter(|c| *c != letters[at]).collect();
    let other = *dice.pick(&others);
    Some(letters.iter().enumerate().map(|(n, c)| if n == at { other } else { *c }).collect())
}

/// Day and month exchanged where that is a date, else a year too early.
fn understood(birth: NaiveDate, dice: &mut Random) -> NaiveDate {
    let exchanged = NaiveDate::from_ymd_opt(birth.year(), birth.day(), birth.month());
    match exchanged.filter(|d| *d != birth && dice.chance(0.5)) {
        Some(date) => date,
        None => birth.with_day(birth.day().min(28)).and_then(|d| d.with_year(d.year() - 1)).unwrap_or(birth),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn some_registrations_say_it_otherwise_and_always_the_same() {
        let birth = NaiveDate::from_ymd_opt(1970, 5, 11).unwrap();
        let all: Vec<Option<Slip>> = (0..5000).map(|p| slip(1, p, 3, "张建伟", birth)).collect();
        let made: Vec<&Slip> = all.iter().flatten().collect();
        assert!((90..220).contains(&made.len()), "{}", made.len());
        assert!(made.iter().all(|s| s.name.is_some() || s.birth.is_some_and(|b| b != birth)));
        for one in &made {
            if let Some(name) = &one.name {
                assert!(name.starts_with('张') && name != "张建伟" && name.chars().count() == 3, "{name}");
            }
            assert!(matches!(one.phone.len(), 0 | 11));
        }
        assert_eq!(all[..200], (0..200).map(|p| slip(1, p, 3, "张建伟", birth)).collect::<Vec<_>>()[..]);
    }
}
