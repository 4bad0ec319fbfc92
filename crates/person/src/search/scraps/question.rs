//! What somebody in a hurry knows of a patient, and how well a registration fits it. Pure.

use chrono::{Datelike, NaiveDate};
use kernel::RegionCode;

use super::keys::{Said, characters};
use super::sound::{heard, of_name};

/// Years around the age that was guessed, unless somebody says otherwise.
pub const GUESSED: i32 = 5;

/// What is known of a patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The name or a part of it, in characters or letters.
    pub name: Option<Said>,
    /// The age as it looks, and the years that it may be wrong by.
    pub age: Option<(i32, i32)>,
    /// `1` or `2` (GB/T 2261.1).
    pub sex: Option<String>,
    /// Where the patient lives, as far as it is known.
    pub region: Option<RegionCode>,
    /// Digits at the end of a telephone, the patient's or a relative's: four or more.
    pub phone: Option<String>,
}

/// Why nothing is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vague {
    /// Nothing was said.
    Empty,
    /// Neither a name nor a telephone: half the city would fit.
    NoAnchor,
    /// A family name alone, without a county.
    FamilyOnly,
    /// Fewer than four digits of a telephone, and nothing else to look by.
    FewDigits,
}

impl Vague {
    /// What to tell, and what to do.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Empty => (
                "请输入已知的线索",
                "姓名（或其中几个字、拼音、首字母）、大致年龄、性别、住址所在区县、电话尾号，知道多少填多少；至少要有姓名的两个字或电话后四位。",
            ),
            Self::NoAnchor => (
                "线索不够",
                "只有年龄、性别或住址会找出太多人。请再填姓名中的两个字（或拼音）、或电话后四位。",
            ),
            Self::FamilyOnly => ("线索不够", "只有一个字（或一个音节）时，请再选择区县，或填电话后四位。"),
            Self::FewDigits => ("电话位数不够", "电话请至少填最后四位数字。"),
        }
    }
}

impl Question {
    /// Understands what was typed into the boxes.
    pub fn of(
        name: &str,
        age: &str,
        around: &str,
        sex: &str,
        region: &str,
        phone: &str,
    ) -> Result<Self, Vague> {
        let digits = |text: &str| -> String {
            standards::width::fold(text).chars().filter(char::is_ascii_digit).collect()
        };
        let phone = digits(phone);
        let years = digits(age).parse::<i32>().ok().filter(|a| (0..=130).contains(a));
        let around = digits(around).parse::<i32>().ok().unwrap_or(GUESSED).clamp(0, 20);
        let question = Self {
            name: Said::of(name),
            age: years.map(|years| (years, around)),
            sex: matches!(sex, "1" | "2").then(|| sex.to_owned()),
            region: RegionCode::parse(region).ok().filter(|r| *r != RegionCode::NATION),
            phone: (phone.len() >= 4).then(|| phone.clone()),
        };
        if question.phone.is_some() || !question.steps().is_empty() {
            return Ok(question);
        }
        Err(match &question.name {
            Some(_) => Vague::FamilyOnly,
            None if !phone.is_empty() => Vague::FewDigits,
            None if question.age.is_some() || question.sex.is_some() || question.region.is_some() => {
                Vague::NoAnchor
            }
            None => Vague::Empty,
        })
    }

    /// The keys of its name, in steps.
    pub fn steps(&self) -> Vec<Vec<i64>> {
        let region = self.region.as_ref().map_or("", RegionCode::as_str);
        self.name.as_ref().map(|said| said.steps(region)).unwrap_or_default()
    }

    /// The years of birth that fit the age on a day: first and last.
    pub fn births(&self, today: NaiveDate) -> Option<(i16, i16)> {
        let (age, around) = self.age?;
        let year = |age: i32| i16::try_from(today.year() - age).unwrap_or(i16::MAX);
        Some((year(age + around + 1), year((age - around).max(0))))
    }

    /// What the audit trail keeps of it: telephones are masked.
    pub fn label(&self) -> String {
        let mut parts = Vec::new();
        if let Some(said) = &self.name {
            parts.push(said.text.clone());
        }
        if let Some((age, around)) = self.age {
            parts.push(format!("约 {age} 岁（±{around}）"));
        }
        parts.extend(
            self.sex.as_deref().map(|sex| if sex == "1" { "男".to_owned() } else { "女".to_owned() }),
        );
        parts.extend(self.region.map(|region| region.as_str().to_owned()));
        parts.extend(self.phone.as_ref().map(|_| "电话尾号".to_owned()));
        parts.join(" ")
    }
}

/// What of a registration is compared.
#[derive(Debug, Clone, Default)]
pub struct Seen<'a> {
    /// Name.
    pub name: &'a str,
    /// Sex code.
    pub sex: &'a str,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// Division of the address.
    pub region: &'a str,
    /// Telephone.
    pub phone: &'a str,
    /// Telephone of the contact.
    pub contact_phone: &'a str,
}

/// How well a registration fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// The more the better.
    pub score: i32,
    /// What fits, in words.
    pub reasons: Vec<String>,
    /// What speaks against it, in words.
    pub against: Vec<String>,
}

impl Fit {
    fn says(&mut self, score: i32, words: impl Into<String>) {
        self.score += score;
        if score > 0 { self.reasons.push(words.into()) } else { self.against.push(words.into()) }
    }
}

/// Compares a registration with the question; `None` where neither name nor telephone fits.
pub fn fit(question: &Question, seen: &Seen<'_>, today: NaiveDate) -> Option<Fit> {
    let mut fit = Fit::default();
    if let Some(said) = &question.name {
        match by_name(said, seen.name) {
            Some((score, words)) => fit.says(score, words),
            None => fit.says(-20, "姓名不符"),
        }
    }
    if let Some(phone) = &question.phone {
        let ends = |number: &str| {
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            digits.len() >= phone.len() && digits.ends_with(phone.as_str())
        };
        if ends(seen.phone) {
            fit.says(30, "电话尾号相同");
        } else if ends(seen.contact_phone) {
            fit.says(26, "联系人电话尾号相同");
        } else if question.name.is_none() {
            return None;
        }
    }
    if fit.reasons.is_empty() {
        return None;
    }
    if let Some((age, around)) = question.age {
        match seen.birth_date.and_then(|born| today.years_since(born)).and_then(|y| i32::try_from(y).ok()) {
            None => fit.against.push("出生日期未登记".to_owned()),
            Some(years) => {
                let apart = (years - age).abs();
                match apart {
                    0 => fit.says(15, "年龄相符"),
                    n if n <= around.max(1) => fit.says(15 - 2 * n.min(6), format!("年龄相差 {n} 岁")),
                    n => fit.says(-4 - n.min(10), format!("年龄相差 {n} 岁")),
                }
            }
        }
    }
    if let Some(sex) = &question.sex {
        match seen.sex {
            own if own == sex => fit.says(6, "性别相符"),
            "1" | "2" => fit.says(-14, "性别不符"),
            _ => {}
        }
    }
    if let Some(region) = &question.region {
        let wanted = region.prefix();
        if seen.region.starts_with(wanted) {
            fit.says(8, "住在所选地区");
        } else if wanted.len() > 6 && seen.region.starts_with(&wanted[..6]) {
            fit.says(4, "住在同一区县");
        } else if seen.region.starts_with("000000") {
            fit.against.push("住址未登记".to_owned());
        } else {
            fit.says(-3, "住在别处");
        }
    }
    Some(fit)
}

/// How a name fits what was said of it.
fn by_name(said: &Said, name: &str) -> Option<(i32, String)> {
    let own = characters(name);
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    if !said.text.is_empty() && plain(&said.text) == plain(name) {
        return Some((40, "姓名相同".to_owned()));
    }
    let typed: String = said.characters.iter().collect();
    // Characters only: what letters follow them is compared by sound.
    let letters = said.text.chars().any(|c| c.is_ascii_alphabetic());
    if !letters
        && !said.characters.is_empty()
        && own.windows(said.characters.len()).any(|w| w == said.characters)
    {
        let first = own.starts_with(&said.characters);
        return Some((if first { 34 } else { 32 }, format!("姓名含“{typed}”")));
    }
    let syllables = of_name(name);
    let sounds: Vec<String> = syllables.iter().map(|s| heard(s)).collect();
    let mut best = None;
    for wanted in said.sounds.iter().filter(|w| !w.is_empty()) {
        let Some((at, short)) = said_at(wanted, &sounds, letters) else { continue };
        let after = syllables.get(at + wanted.len());
        if !said.begun.is_empty() && !after.is_some_and(|s| s.starts_with(&said.begun)) {
            continue;
        }
        let whole = !short && said.begun.is_empty() && wanted.len() == sounds.len();
        let exact = exactly(said, &syllables[at..at + wanted.len()]);
        let (score, words) = match (whole, exact) {
            (true, true) => (28, "姓名同音"),
            (true, false) => (20, "姓名近音"),
            (false, true) => (24, "姓名中有同音的字"),
            (false, false) => (16, "姓名中有近音的字"),
        };
        if best.as_ref().is_none_or(|(b, _)| *b < score) {
            best = Some((score, words.to_owned()));
        }
    }
    if best.is_none() && said.initials.len() >= 2 && standards::pinyin::initials(name) == said.initials {
        best = Some((16, "拼音首字母相符".to_owned()));
    }
    best
}

/// Where a name has the syllables that were said, and whether the last of them was typed in part: `gu` on the way to
/// `guo`.
fn said_at(wanted: &[String], sounds: &[String], letters: bool) -> Option<(usize, bool)> {
    let whole = sounds.windows(wanted.len()).position(|w| w == wanted);
    let (last, before) = wanted.split_last()?;
    let part = || {
        let fits = |w: &[String]| w.split_last().is_some_and(|(l, b)| b == before && l.starts_with(last));
        sounds.windows(wanted.len()).position(fits).filter(|_| letters && !before.is_empty())
    };
    whole.map(|at| (at, false)).or_else(|| part().map(|at| (at, true)))
}

/// Whether the syllables are those that were said, not only much alike.
fn exactly(said: &Said, syllables: &[String]) -> bool {
    let letters: String =
        said.text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let written = syllables.get(..said.characters.len()).is_some_and(|own| {
        said.characters
            .iter()
            .zip(own)
            .all(|(c, s)| standards::pinyin::readings(*c).iter().any(|r| **r == **s))
    });
    let spelt: String = syllables.get(said.characters.len()..).unwrap_or_default().concat();
    written && (letters.starts_with(&spelt) || spelt.starts_with(&letters) && !letters.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn today() -> NaiveDate {
        "2025-05-15".parse().unwrap()
    }

    fn zhang() -> Seen<'static> {
        Seen {
            name: "张建国",
            sex: "1",
            birth_date: "1962-03-08".parse().ok(),
            region: "411503102001",
            phone: "13800138000",
            contact_phone: "13900001234",
        }
    }

    #[test]
    fn reasons_are_told() {
        for (boxes, expected) in [
            (["张建国", "", "", "", ""], "姓名相同"),
            (["建国", "", "", "", ""], "姓名含“建国”"),
            (["张健国", "64", "1", "", ""], "姓名同音 年龄相差 1 岁 性别相符"),
            (["zhangjianguo", "63", "", "", ""], "姓名同音 年龄相符"),
            (["zanjianguo", "", "", "", ""], "姓名近音"),
            (["jianguo", "", "", "", ""], "姓名中有同音的字"),
            (["zhang jian gu", "", "", "", ""], "姓名中有同音的字"),
            (["张jianguo", "", "", "", ""], "姓名同音"),
            (["zjg", "", "", "", "8000"], "拼音首字母相符 电话尾号相同"),
            (["", "", "", "", "38000"], "电话尾号相同"),
            (["", "", "", "411503102", "1234"], "联系人电话尾号相同 住在所选地区"),
            (["建国", "80", "2", "411521", ""], "姓名含“建国” | 年龄相差 17 岁 性别不符 住在别处"),
            (["李四", "", "", "", "8000"], "电话尾号相同 | 姓名不符"),
        ] {
            let [name, age, sex, region, phone] = boxes;
            let question = Question::of(name, age, "", sex, region, phone).unwrap();
            let fit = fit(&question, &zhang(), today()).unwrap();
            let against =
                if fit.against.is_empty() { String::new() } else { format!(" | {}", fit.against.join(" ")) };
            assert_eq!(format!("{}{against}", fit.reasons.join(" ")), expected, "{boxes:?}");
        }
    }

    #[test]
    fn who_fits_better_comes_first() {
        let question = Question::of("张建国", "60", "", "1", "411503", "").unwrap();
        let score = |change: fn(&mut Seen<'static>)| {
            let mut seen = zhang();
            change(&mut seen);
            fit(&question, &seen, today()).unwrap().score
        };
        let same = score(|_| {});
        for (what, other) in [
            ("a namesake by sound", score(|s| s.name = "张健国")),
            ("older", score(|s| s.birth_date = "1958-01-01".parse().ok())),
            ("a woman", score(|s| s.sex = "2")),
            ("elsewhere", score(|s| s.region = "411521001")),
            ("no birth", score(|s| s.birth_date = None)),
        ] {
            assert!(other < same, "{what}: {other} {same}");
        }
    }

    #[test]
    fn what_is_too_vague_is_not_looked_for() {
        for (boxes, expected) in [
            (["", "", "", "", ""], Vague::Empty),
            (["", "60", "1", "", ""], Vague::NoAnchor),
            (["张", "60", "1", "", ""], Vague::FamilyOnly),
            (["zhang", "", "", "4115", ""], Vague::FamilyOnly),
            (["", "", "", "", "123"], Vague::FewDigits),
        ] {
            let [name, age, sex, region, phone] = boxes;
            assert_eq!(Question::of(name, age, "", sex, region, phone), Err(expected), "{boxes:?}");
        }
        assert!(Question::of("张", "", "", "", "411503", "").is_ok());
        assert!(Question::of("张", "", "", "", "", "1234").is_ok());
        let question = Question::of("zjg", "60", "3", "", "", "13800138000").unwrap();
        assert_eq!(question.births(today()), Some((1961, 1968)));
        assert_eq!(question.label(), "zjg 约 60 岁（±3） 电话尾号");
    }
}
