//! The rules: pure functions from what happened to what should be looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use catalog::{AlertKind, AlertRule};
use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use kernel::clock::to_china;

/// Entries that an alert keeps as evidence at most; the rest is found by its link.
const EVIDENCE: usize = 50;

/// A look at a person's record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Number of the entry.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `account:7`, or kind, institution and name of those without an account.
    pub viewer: String,
    /// Their account.
    pub account: Option<i64>,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: String,
    /// Their institution.
    pub institution: Option<i64>,
    /// Their division.
    pub region: String,
    /// Whose record.
    pub person: i64,
    /// The person's name as it was written down.
    pub label: String,
    /// Whether there was a care relation; `None`: not written down.
    pub care: Option<bool>,
}

/// Rows that were taken out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Export {
    /// The entry, without a person.
    pub look: Look,
    /// How many.
    pub rows: i64,
}

/// A sign-in or an attempt at one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignIn {
    /// Number of the entry.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The account.
    pub account: i64,
    /// Login name.
    pub login: String,
    /// Where from.
    pub address: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// The account's institution, where known.
    pub institution: Option<i64>,
    /// Its division, where known.
    pub region: String,
}

/// What is known of a person.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Village: 12 digits; empty where unknown.
    pub village: String,
    /// Numbers that institutions gave: institution and number.
    pub local_nos: Vec<(i64, String)>,
}

/// What the rules look at: what is new, and the past that it belongs to.
#[derive(Debug, Clone, Default)]
pub struct Happened {
    /// Viewers with a new look, each with their looks of the longest window, oldest first.
    pub by_viewer: HashMap<String, Vec<Look>>,
    /// People with a new look, each with all looks at them.
    pub by_person: HashMap<i64, Vec<Look>>,
    /// New exports.
    pub exports: Vec<Export>,
    /// Accounts with a new sign-in, each with their past, oldest first.
    pub sign_ins: HashMap<i64, Vec<SignIn>>,
    /// Entries that are new.
    pub new: HashSet<i64>,
    /// Of people.
    pub known: HashMap<i64, Known>,
    /// Institutions and names of those in post there.
    pub colleagues: HashSet<(i64, String)>,
    /// Mean and deviation of people a day, by role.
    pub baseline: HashMap<String, (f64, f64)>,
}

/// What should be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// Whom it is about.
    pub subject: String,
    /// The day in China.
    pub day: NaiveDate,
    /// What was counted.
    pub figure: i64,
    /// In words.
    pub title: String,
    /// The account.
    pub account: Option<i64>,
    /// The person.
    pub person: Option<i64>,
    /// The viewer's institution.
    pub institution: Option<i64>,
    /// The viewer's division.
    pub region: String,
    /// Entries: time and number, oldest first.
    pub evidence: Vec<(DateTime<Utc>, i64)>,
}

impl Raised {
    fn about(look: &Look, figure: i64, title: String, evidence: Vec<(DateTime<Utc>, i64)>) -> Self {
        Self {
            subject: look.viewer.clone(),
            day: to_china(look.at).date(),
            figure,
            title,
            account: look.account,
            person: None,
            institution: look.institution,
            region: look.region.clone(),
            evidence,
        }
    }
}

/// What one rule finds.
pub fn evaluate(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    let found = match rule.kind {
        AlertKind::PersonByMany => person_by_many(rule, happened),
        AlertKind::LargeExport => large_exports(rule, happened),
        AlertKind::FailedThenIn => failed_then_in(rule, happened),
        AlertKind::NewAddress => new_addresses(rule, happened),
        _ => viewers(rule, happened),
    };
    found
        .into_iter()
        .map(|mut raised| {
            let count = raised.evidence.len();
            raised.evidence.drain(..count.saturating_sub(EVIDENCE));
            raised
        })
        .collect()
}

/// Rules about what one viewer did.
fn viewers(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    let mut found = Vec::new();
    for looks in happened.by_viewer.values() {
        // Each new look ends a window.
        for (n, last) in looks.iter().enumerate().filter(|(_, look)| happened.new.contains(&look.id)) {
            let since = last.at - TimeDelta::minutes(rule.window_minutes);
            let window: Vec<&Look> = looks[..=n].iter().filter(|l| l.at > since).collect();
            found.extend(of_window(rule, happened, last, &window));
        }
    }
    // One about each subject: the greatest.
    let mut best: BTreeMap<(String, NaiveDate, Option<i64>), Raised> = BTreeMap::new();
    for raised in found {
        let key = (raised.subject.clone(), raised.day, raised.person);
        if best.get(&key).is_none_or(|b| b.figure < raised.figure) {
            best.insert(key, raised);
        }
    }
    best.into_values().collect()
}

fn of_window(rule: &AlertRule, happened: &Happened, last: &Look, window: &[&Look]) -> Option<Raised> {
    let name = &last.name;
    // People counted once, with the entry of the first look at each.
    let people = |wanted: &dyn Fn(&Look) -> bool| -> Vec<(DateTime<Utc>, i64)> {
        let mut seen = BTreeSet::new();
        window.iter().filter(|l| wanted(l) && seen.insert(l.person)).map(|l| (l.at, l.id)).collect()
    };
    let beyond = |evidence: Vec<(DateTime<Utc>, i64)>, title: &dyn Fn(usize) -> String| {
        (evidence.len() as i64 >= rule.threshold)
            .then(|| Raised::about(last, evidence.len() as i64, title(evidence.len()), evidence))
    };
    let stranger = |l: &Look| l.care == Some(false);
    match rule.kind {
        AlertKind::Night => {
            let dark = |l: &Look| {
                let hour = to_china(l.at).hour();
                if rule.from_hour > rule.to_hour {
                    hour >= rule.from_hour || hour < rule.to_hour
                } else {
                    (rule.from_hour..rule.to_hour).contains(&hour)
                }
            };
            if !dark(last) {
                return None;
            }
            beyond(people(&dark), &|n| format!("{name}夜间调阅 {n} 位居民的档案"))
        }
        AlertKind::ManyByOne => beyond(people(&|_| true), &|n| {
            format!("{name}在 {} 分钟内调阅 {n} 位居民的档案", rule.window_minutes)
        }),
        AlertKind::ManyByRole => {
            let (mean, deviation) = *happened.baseline.get(&last.role)?;
            let today = to_china(last.at).date();
            let evidence = people(&|l: &Look| to_china(l.at).date() == today);
            let limit = mean + rule.sigma * deviation;
            if (evidence.len() as f64) <= limit {
                return None;
            }
            beyond(evidence, &|n| {
                format!("{name}当日调阅 {n} 位居民，同岗位平均 {mean:.1} 位（标准差 {deviation:.1}）")
            })
        }
        AlertKind::NoCare => beyond(people(&stranger), &|n| format!("{name}调阅 {n} 位没有诊疗关系的居民")),
        AlertKind::SameSurname => {
            let own = surname(name)?;
            beyond(people(&|l: &Look| stranger(l) && surname(&l.label) == Some(own)), &|n| {
                format!("{name}调阅 {n} 位同姓（{own}）且没有诊疗关系的居民")
            })
        }
        AlertKind::SameVillage => {
            let village = |l: &Look| {
                happened.known.get(&l.person).map(|k| k.village.as_str()).filter(|v| !v.is_empty())
            };
            let here = village(last)?;
            beyond(people(&|l: &Look| stranger(l) && village(l) == Some(here)), &|n| {
                format!("{name}调阅同一村（居委会）{n} 位没有诊疗关系的居民")
            })
        }
        AlertKind::Colleague => {
            let colleague = |l: &Look| {
                stranger(l)
                    && l.label != l.name
                    && l.institution.is_some_and(|i| happened.colleagues.contains(&(i, l.label.clone())))
            };
            beyond(people(&colleague), &|n| format!("{name}调阅 {n} 位与本单位在岗人员同名的居民"))
        }
        AlertKind::OwnRecord => beyond(people(&|l: &Look| !l.name.is_empty() && l.name == l.label), &|_| {
            format!("{name}调阅了与本人同名的档案")
        }),
        AlertKind::Sequence => sequence(rule, happened, last, window),
        AlertKind::PersonByMany
        | AlertKind::LargeExport
        | AlertKind::FailedThenIn
        | AlertKind::NewAddress => None,
    }
}

/// Local numbers of one institution that go up or down by one from look to look.
fn sequence(rule: &AlertRule, happened: &Happened, last: &Look, window: &[&Look]) -> Option<Raised> {
    let mut runs: BTreeMap<i64, Vec<(&Look, i64)>> = BTreeMap::new();
    for look in window {
        let Some(known) = happened.known.get(&look.person) else { continue };
        for (institution, number) in &known.local_nos {
            let Some(number) = trailing_number(number) else { continue };
            let run = runs.entry(*institution).or_default();
            match run.last() {
                Some((_, before)) if *before == number => {}
                Some((_, before)) if (number - before).abs() == 1 => run.push((look, number)),
                _ => {
                    run.clear();
                    run.push((look, number));
                }
            }
        }
    }
    let run = runs.into_values().max_by_key(Vec::len)?;
    let ends_now = run.last().is_some_and(|(look, _)| look.id == last.id);
    if !ends_now || (run.len() as i64) < rule.threshold {
        return None;
    }
    let evidence = run.iter().map(|(look, _)| (look.at, look.id)).collect();
    let title = format!("{}按编号顺序逐个调阅 {} 位居民的档案", last.name, run.len());
    Some(Raised::about(last, run.len() as i64, title, evidence))
}

/// The number at the end of a local number.
fn trailing_number(text: &str) -> Option<i64> {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).take(15).count();
    (digits > 0).then(|| text[text.len() - digits..].parse().ok()).flatten()
}

/// A person's surname: compound ones first.
fn surname(name: &str) -> Option<&str> {
    const COMPOUND: [&str; 12] =
        ["欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "令狐", "慕容", "司徒", "夏侯"];
    COMPOUND
        .into_iter()
        .find(|c| name.starts_with(c))
        .or_else(|| name.chars().next().filter(|c| !c.is_ascii()).map(|c| &name[..c.len_utf8()]))
}

fn person_by_many(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    let mut found = Vec::new();
    for (person, looks) in &happened.by_person {
        let Some(last) = looks.iter().rfind(|l| happened.new.contains(&l.id)) else { continue };
        let since = last.at - TimeDelta::minutes(rule.window_minutes);
        let mut seen = BTreeSet::new();
        let evidence: Vec<_> = looks
            .iter()
            .filter(|l| l.at > since && l.at <= last.at && seen.insert(l.viewer.clone()))
            .map(|l| (l.at, l.id))
            .collect();
        if evidence.len() as i64 >= rule.threshold {
            found.push(Raised {
                subject: format!("person:{person}"),
                day: to_china(last.at).date(),
                figure: evidence.len() as i64,
                title: format!("一位居民的档案被 {} 人调阅", evidence.len()),
                account: None,
                person: Some(*person),
                institution: None,
                region: String::new(),
                evidence,
            });
        }
    }
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    found
}

fn large_exports(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    happened
        .exports
        .iter()
        .filter(|export| export.rows >= rule.threshold)
        .map(|export| {
            let title = format!("{}一次导出 {} 行", export.look.name, export.rows);
            Raised::about(&export.look, export.rows, title, vec![(export.look.at, export.look.id)])
        })
        .collect()
}

fn of_sign_in(last: &SignIn, figure: i64, title: String, evidence: Vec<(DateTime<Utc>, i64)>) -> Raised {
    Raised {
        subject: format!("account:{}", last.account),
        day: to_china(last.at).date(),
        figure,
        title,
        account: Some(last.account),
        person: None,
        institution: last.institution,
        region: last.region.clone(),
        evidence,
    }
}

fn failed_then_in(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    let mut found = Vec::new();
    for tries in happened.sign_ins.values() {
        for (n, last) in tries.iter().enumerate().filter(|(_, s)| s.ok && happened.new.contains(&s.id)) {
            let since = last.at - TimeDelta::minutes(rule.window_minutes);
            let failed: Vec<&SignIn> =
                tries[..n].iter().rev().take_while(|s| !s.ok && s.at > since).collect();
            if failed.len() as i64 >= rule.threshold {
                let mut evidence: Vec<_> = failed.iter().rev().map(|s| (s.at, s.id)).collect();
                evidence.push((last.at, last.id));
                let title = format!("账号 {} 登录失败 {} 次后成功", last.login, failed.len());
                found.push(of_sign_in(last, failed.len() as i64, title, evidence));
            }
        }
    }
    found
}

fn new_addresses(rule: &AlertRule, happened: &Happened) -> Vec<Raised> {
    let mut found = Vec::new();
    for tries in happened.sign_ins.values() {
        for (n, last) in tries.iter().enumerate().filter(|(_, s)| s.ok && happened.new.contains(&s.id)) {
            let since = last.at - TimeDelta::minutes(rule.window_minutes);
            let before: Vec<&SignIn> = tries[..n].iter().filter(|s| s.ok && s.at > since).collect();
            let network = network(&last.address);
            if before.len() as i64 >= rule.threshold
                && before.iter().all(|s| self::network(&s.address) != network)
            {
                let title = format!("账号 {} 从未用过的网络 {} 登录", last.login, last.address);
                found.push(of_sign_in(last, before.len() as i64, title, vec![(last.at, last.id)]));
            }
        }
    }
    found
}

/// The part of an address that stays the same in one place: three bytes of IPv4, four groups of IPv6.
fn network(address: &str) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(v4)) => format!("{:?}", &v4.octets()[..3]),
        Ok(std::net::IpAddr::V6(v6)) => format!("{:?}", &v6.segments()[..4]),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
