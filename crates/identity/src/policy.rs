//! The password policy (口令策略): length, kinds of signs, what belongs to its owner, what is known to be guessed first,
//! and an estimate of the guesses it withstands. Pure.
//!
//! Lists: `data/common_passwords.txt` with the habits of Chinese offices, and the dictionaries, keyboards, dates,
//! sequences and repetitions of the zxcvbn crate. Nothing is looked up over the network.

use std::sync::LazyLock;

use kernel::Refusal;
use pinyin::ToPinyin;
use store::Settings;
use zxcvbn::{Score, zxcvbn};

/// Greatest length in characters: longer ones only cost time.
pub const GREATEST_LENGTH: usize = 128;
/// From this length on variety does not matter: a long sentence is easier to remember and harder to guess.
pub const SENTENCE: usize = 16;
/// The estimate looks at so many characters; a long password is good by its beginning.
const LOOKED_AT: usize = 64;

static COMMON: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    include_str!("../data/common_passwords.txt").lines().filter(|line| !line.starts_with('#')).collect()
});

/// What the operator wants of passwords (`password.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Least length in characters.
    pub least: usize,
    /// Least kinds of signs: capitals, small letters, digits, others.
    pub classes: usize,
    /// Least estimate, 0 to 4.
    pub strength: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self { least: 10, classes: 3, strength: 3 }
    }
}

/// Whose password it is: none of this may be part of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner<'a> {
    /// Login name.
    pub login: &'a str,
    /// Real name.
    pub name: &'a str,
    /// Name of the unit.
    pub unit: &'a str,
}

/// How good a password is, for the meter beside the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strength {
    /// 0 to 4.
    pub score: u8,
    /// Why it is not accepted; `None` when it is.
    pub problem: Option<String>,
}

impl Policy {
    /// The policy in force.
    pub fn of(options: &Settings) -> Self {
        let number = |code| usize::try_from(options.whole(code)).unwrap_or_default();
        Self {
            least: number("password.least_length").max(8),
            classes: number("password.classes").clamp(1, 4),
            strength: u8::try_from(number("password.strength").min(4)).unwrap_or(3),
        }
    }

    /// In words, for the field.
    pub fn words(&self) -> String {
        format!(
            "至少 {} 位，含大写字母、小写字母、数字、符号中的 {} 种；或 {SENTENCE} 位以上的长句。不能包含姓名、登录名、单位和常见组合。",
            self.least, self.classes
        )
    }

    /// Refuses a password that is not good enough.
    pub fn check(&self, password: &str, owner: &Owner<'_>) -> Result<(), Refusal> {
        match self.judge(password, owner).problem {
            None => Ok(()),
            Some(problem) => Err(Refusal::invalid("password.weak", problem)),
        }
    }

    /// Judges a password.
    pub fn judge(&self, password: &str, owner: &Owner<'_>) -> Strength {
        let own = parts_of(owner);
        let score = estimate(password, &own);
        Strength { score, problem: self.problem(password, &own, score) }
    }

    fn problem(&self, password: &str, own: &[String], score: u8) -> Option<String> {
        let length = password.chars().count();
        if length < self.least {
            return Some(format!("密码太短：只有 {length} 位，至少需要 {} 位。", self.least));
        }
        if length > GREATEST_LENGTH {
            return Some(format!("密码太长：最多 {GREATEST_LENGTH} 位。"));
        }
        if password.chars().any(char::is_control) {
            return Some("密码中有不可见的控制字符，请重新输入。".to_owned());
        }
        let kinds = [
            password.chars().any(|c| c.is_ascii_lowercase()),
            password.chars().any(|c| c.is_ascii_uppercase()),
            password.chars().any(|c| c.is_ascii_digit()),
            password.chars().any(|c| !c.is_ascii_alphanumeric()),
        ];
        if length < SENTENCE && kinds.iter().filter(|k| **k).count() < self.classes {
            return Some(format!(
                "密码太简单：请同时使用大写字母、小写字母、数字、符号中的至少 {} 种，或改用 {SENTENCE} 位以上的长句。",
                self.classes
            ));
        }
        let lower = password.to_lowercase();
        if own.iter().any(|part| lower.contains(part.as_str())) {
            return Some("密码不能包含登录名、姓名（或其拼音）和单位名称。".to_owned());
        }
        let mut different: Vec<char> = lower.chars().collect();
        different.sort_unstable();
        different.dedup();
        if different.len() < 5 {
            return Some("密码太简单：不同的字符太少。".to_owned());
        }
        if outside_runs(&lower) < 6 {
            return Some("密码太简单：不要用 abcdef、123456、aaaaa 这样连续或重复的字符。".to_owned());
        }
        if let Some(piece) = common_core(&lower) {
            return Some(format!("密码太容易猜到：“{piece}”是常见组合，前后加几位数字或符号也不安全。"));
        }
        if score < self.strength {
            return Some(
                "密码太容易猜到：请避免常用单词、生日、键盘上相邻的键和重复，或把几个不相干的词连成长句。"
                    .to_owned(),
            );
        }
        None
    }
}

/// What of its owner may not be part of a password, lower case: login, name, full pinyin of the name, unit.
fn parts_of(owner: &Owner<'_>) -> Vec<String> {
    let mut parts: Vec<String> =
        [owner.login, owner.name, owner.unit].iter().map(|t| t.trim().to_lowercase()).collect();
    parts.push(owner.name.to_pinyin().flatten().map(|sound| sound.plain()).collect());
    parts.retain(|part| part.chars().count() >= 3 || (part.chars().count() == 2 && !part.is_ascii()));
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn estimate(password: &str, own: &[String]) -> u8 {
    let looked_at: String = password.chars().take(LOOKED_AT).collect();
    let mut known: Vec<&str> = own.iter().map(String::as_str).collect();
    known.extend(COMMON.iter());
    match zxcvbn(&looked_at, &known).score() {
        Score::Zero => 0,
        Score::One => 1,
        Score::Two => 2,
        Score::Three => 3,
        _ => 4,
    }
}

/// Characters that stand in no run of four or more in order (`abcd`, `4321`) or the same (`aaaa`).
fn outside_runs(lower: &str) -> usize {
    const RUN: usize = 4;
    let letters: Vec<i64> = lower.chars().map(|c| i64::from(u32::from(c))).collect();
    let (mut outside, mut at) = (0, 0);
    while at < letters.len() {
        let mut end = at + 1;
        if let Some(step) = letters.get(end).map(|next| next - letters[at]).filter(|step| step.abs() <= 1) {
            while letters.get(end).is_some_and(|next| next - letters[end - 1] == step) {
                end += 1;
            }
        }
        if end - at >= RUN {
            at = end;
        } else {
            outside += 1;
            at += 1;
        }
    }
    outside
}

/// The common password that one is at heart: what remains of it beside is a few digits and signs, also when letters are
/// written as digits (`p@ssw0rd`).
fn common_core(lower: &str) -> Option<&'static str> {
    let plain: String = lower
        .chars()
        .map(|c| match c {
            '@' => 'a',
            '$' => 's',
            other => other,
        })
        .collect();
    let letters: String = plain
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' => 'i',
            '3' => 'e',
            '5' => 's',
            other => other,
        })
        .collect();
    COMMON
        .iter()
        .filter(|piece| piece.len() >= 5)
        .filter(|piece| {
            [lower, &plain, &letters].iter().any(|form| {
                form.find(**piece).is_some_and(|at| {
                    let rest = form[..at].chars().chain(form[at + piece.len()..].chars());
                    // A year, a birthday, a few signs: what people put around a word.
                    let (mut count, mut word) = (0, 0);
                    for c in rest {
                        count += 1;
                        word += usize::from(c.is_alphabetic());
                    }
                    count <= 8 && word <= 2
                })
            })
        })
        .max_by_key(|piece| piece.len())
        .copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const WANG: Owner<'_> = Owner { login: "wang.li", name: "李医生", unit: "明港卫生院" };

    #[test]
    fn the_policy_accepts_and_refuses() {
        let cases = [
            ("Xy7#kPq2wL", true),
            ("平桥区的老槐树开花了真好看呀五月天", true),
            ("Tr0ub4dor-zebra-horse", true),
            ("Yanshi@City8", true),
            ("Xy7#kPq2w", false),
            ("abcdefghijkl", false),
            ("AbcdefGhijk", false),
            ("Abcdefghij1", false),
            ("Wang.li2024x", false),
            ("李医生Aa12345678", false),
            ("Liyisheng#88", false),
            ("明港卫生院的大门口有两只石狮子好看", false),
            ("Aa1!Aa1!Aa1!", false),
            ("Password2024!", false),
            ("P@ssw0rd2024", false),
            ("Woaini1314!", false),
            ("5201314Aa!!", false),
            ("1qaz2wsx!QAZ", false),
            ("Qwertyuiop1!", false),
            ("Zhangwei@1990", false),
            ("Renminyiyuan1!", false),
            ("Xy7#kPq2\u{7}wLmn", false),
        ];
        for (password, good) in cases {
            let verdict = Policy::default().check(password, &WANG);
            assert_eq!(verdict.is_ok(), good, "{password}: {verdict:?}");
        }
        assert!(Policy::default().check(&"长句子好记".repeat(30), &WANG).is_err());
        // Generated first passwords satisfy the policy themselves.
        for _ in 0..30 {
            Policy::default().check(&crate::secret::random_password().unwrap(), &WANG).unwrap();
        }
    }

    #[test]
    fn the_operator_may_want_more_or_less() {
        let long = Policy { least: 14, ..Policy::default() };
        assert!(long.check("Xy7#kPq2wLm", &WANG).is_err());
        assert!(long.words().contains("14 位"));
        let lax = Policy { classes: 1, strength: 0, ..Policy::default() };
        assert!(lax.check("zebrahorse", &WANG).is_ok());
        assert!(lax.check("woaini1314", &WANG).is_err(), "the list holds whatever the estimate");
    }

    #[test]
    fn the_meter_grows_with_the_password() {
        let score = |password| Policy::default().judge(password, &WANG).score;
        assert!(
            score("12345678") < score("zebra horse")
                && score("zebra horse") <= score("zebra horse blue lamp")
        );
        assert_eq!(score(&"x7#".repeat(500)), score(&"x7#".repeat(400)), "bounded work");
    }
}
