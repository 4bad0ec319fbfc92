//! What a program found, held against the truth: pairs, people, each kind of mistake, and who was taken for whom.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::Read;

use crate::Fault;
use crate::rates::{Kind, Kinds, Rates};
use crate::register::Registration;

/// The truth about one registration.
#[derive(Debug, Clone, Copy)]
struct Row {
    person: u32,
    household: u32,
    /// Hash of the true name.
    name: u64,
    /// Hash of the true birth date.
    birth: u64,
    kinds: Kinds,
}

/// The truth about a benchmark.
#[derive(Debug, Default)]
pub struct Truth {
    ids: HashMap<Box<str>, u32>,
    rows: Vec<Row>,
}

fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

fn reader(file: impl Read) -> csv::Reader<impl Read> {
    csv::ReaderBuilder::new().flexible(false).from_reader(file)
}

fn unreadable(what: &str) -> impl Fn(csv::Error) -> Fault + '_ {
    move |error| Fault::Content(format!("{what}不能读取：{error}"))
}

impl Truth {
    /// Reads a truth file (`record_id,person,household,true_name,true_birth_date,errors`).
    pub fn read(file: impl Read) -> Result<Self, Fault> {
        let mut truth = Self::default();
        let mut reader = reader(file);
        let headings = reader.headers().map_err(unreadable("真值文件"))?.clone();
        let column = |name: &str| {
            headings.iter().position(|h| h == name).ok_or_else(|| {
                Fault::Content(format!(
                    "真值文件缺少列 {name}。请用 minkang person benchmark 生成的 .truth.csv 文件。"
                ))
            })
        };
        let places = [
            column("record_id")?,
            column("person")?,
            column("household")?,
            column("true_name")?,
            column("true_birth_date")?,
            column("errors")?,
        ];
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(unreadable("真值文件"))? {
            let cell = |at: usize| record.get(places[at]).unwrap_or_default();
            let number = |at: usize| {
                cell(at).parse::<u32>().map_err(|_| {
                    Fault::Content(format!(
                        "真值文件第 {} 行的编号“{}”不是数字",
                        truth.rows.len() + 2,
                        cell(at)
                    ))
                })
            };
            let row = Row {
                person: number(1)?,
                household: number(2)?,
                name: hash(cell(3)),
                birth: hash(cell(4)),
                kinds: Kinds::parse(cell(5)),
            };
            if truth.ids.insert(cell(0).into(), truth.rows.len() as u32).is_some() {
                return Err(Fault::Content(format!("真值文件中编号 {} 出现两次", cell(0))));
            }
            truth.rows.push(row);
        }
        Ok(truth)
    }

    /// Adds the truth about a registration that is in memory.
    pub fn add(&mut self, row: &Registration, name: &str, birth: &str) {
        self.ids.insert(self.rows.len().to_string().into(), self.rows.len() as u32);
        self.rows.push(Row {
            person: row.person,
            household: row.household,
            name: hash(name),
            birth: hash(birth),
            kinds: row.kinds,
        });
    }

    /// Reads the first two columns of a file as numbers of registrations and words.
    fn two_columns(
        &self,
        file: impl Read,
        what: &str,
        mut take: impl FnMut(u32, &str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut reader = reader(file);
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(unreadable(what))? {
            let (Some(id), Some(other)) = (record.get(0), record.get(1)) else {
                return Err(Fault::Content(format!("{what}应有两列：登记编号、分组编号")));
            };
            let row = self.row(id, what)?;
            take(row, other)?;
        }
        Ok(())
    }

    fn row(&self, id: &str, what: &str) -> Result<u32, Fault> {
        self.ids.get(id).copied().ok_or_else(|| {
            Fault::Content(format!(
                "{what}中的登记编号“{id}”不在真值文件中。两个文件是否属于同一份基准数据？"
            ))
        })
    }
}

/// Three figures of agreement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Agreement {
    /// Found and true.
    pub right: u64,
    /// Found.
    pub found: u64,
    /// True.
    pub truth: u64,
}

impl Agreement {
    /// Share of what was found that is true; 1 if nothing was found.
    #[must_use]
    pub fn precision(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.right as f64 / self.found as f64 }
    }

    /// Share of what is true that was found; 1 if there is nothing.
    #[must_use]
    pub fn recall(&self) -> f64 {
        if self.truth == 0 { 1.0 } else { self.right as f64 / self.truth as f64 }
    }

    /// Harmonic mean of both.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }
}

/// True pairs of which at least one, or both, registrations have a kind; and how many of them were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfKind {
    /// Pairs with it in one registration or both.
    pub either: u64,
    /// Of those, found.
    pub either_found: u64,
    /// Pairs with it in both registrations.
    pub both: u64,
    /// Of those, found.
    pub both_found: u64,
}

/// Who was taken for whom, in falling danger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mistaken {
    /// Twins: one household, born the same day.
    Twins,
    /// A child under a parent's number, with somebody of the household.
    UnderParent,
    /// A card was borrowed, one household.
    Borrowed,
    /// Others of one household.
    Household,
    /// Different households, same name and birth date.
    Namesakes,
    /// A patient of whom nothing was known.
    Unknown,
    /// Anybody else.
    Strangers,
}

impl Mistaken {
    /// What it is called.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Twins => "双胞胎",
            Self::UnderParent => "用父母证件的儿童与家人",
            Self::Borrowed => "借卡人与家人",
            Self::Household => "其他同户家人",
            Self::Namesakes => "同名同日生",
            Self::Unknown => "身份不明的患者与他人",
            Self::Strangers => "其他",
        }
    }
}

/// The queue for people to look at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Review {
    /// Pairs in it.
    pub pairs: u64,
    /// Registrations in it.
    pub registrations: u64,
    /// True pairs that were not found and that it brings together.
    pub held: u64,
}

/// Everything that was counted.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Registrations.
    pub records: u64,
    /// Pairs of registrations in one group.
    pub pairs: Agreement,
    /// Groups that are exactly the registrations of a person, those of one registration too.
    pub people: Agreement,
    /// By kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<OfKind>,
    /// True pairs without any mistake of the desk.
    pub clean: OfKind,
    /// False pairs by who was taken for whom.
    pub mistaken: Vec<(Mistaken, u64)>,
    /// Persons that share a group with somebody else.
    pub merged_people: u64,
    /// The queue, if one was given.
    pub review: Option<Review>,
}

const DESK_IS_NOT_TO_BLAME: [Kind; 10] = [
    Kind::Twin,
    Kind::Namesake,
    Kind::Foreigner,
    Kind::MinorityDotted,
    Kind::MinorityLong,
    Kind::RareName,
    Kind::AddressShort,
    Kind::CardMissing,
    Kind::ContactMissing,
    Kind::Duplicate,
];

fn groups(keys: &[u32]) -> HashMap<u32, Vec<u32>> {
    let mut groups: HashMap<u32, Vec<u32>> = HashMap::new();
    for (row, key) in keys.iter().enumerate() {
        groups.entry(*key).or_default().push(row as u32);
    }
    groups
}

fn pairs_of(count: usize) -> u64 {
    count as u64 * (count as u64).saturating_sub(1) / 2
}

impl Score {
    /// Scores groups (`record_id,cluster`) and a review queue (`record_id,record_id`). A registration that has no group is
    /// one by itself.
    pub fn of(truth: &Truth, clusters: impl Read, review: Option<impl Read>) -> Result<Self, Fault> {
        let count = truth.rows.len();
        let mut names: HashMap<Box<str>, u32> = HashMap::new();
        let mut found: Vec<u32> = vec![u32::MAX; count];
        truth.two_columns(clusters, "分组文件", |row, cluster| {
            let next = names.len() as u32;
            let slot = &mut found[row as usize];
            if *slot != u32::MAX {
                return Err(Fault::Content("分组文件中同一登记编号出现两次".to_owned()));
            }
            *slot = *names.entry(cluster.into()).or_insert(next);
            Ok(())
        })?;
        let alone = names.len() as u32..;
        for (next, group) in alone.zip(found.iter_mut().filter(|group| **group == u32::MAX)) {
            *group = next;
        }
        let mut score = Self::count(truth, &found);
        if let Some(file) = review {
            score.review = Some(queue(truth, &found, file)?);
        }
        Ok(score)
    }

    /// Scores groups that are in memory: by registration in the order of the truth, the number of its group.
    #[must_use]
    pub fn of_groups(truth: &Truth, found: &[u32]) -> Self {
        Self::count(truth, found)
    }

    fn count(truth: &Truth, found: &[u32]) -> Self {
        let people: Vec<u32> = truth.rows.iter().map(|row| row.person).collect();
        let (by_person, by_group) = (groups(&people), groups(found));
        let mut score = Self {
            records: truth.rows.len() as u64,
            kinds: vec![OfKind::default(); Kind::ALL.len()],
            ..Self::default()
        };
        score.people.truth = by_person.len() as u64;
        score.people.found = by_group.len() as u64;
        for rows in by_person.values() {
            score.pairs.truth += pairs_of(rows.len());
            let group = found[rows[0] as usize];
            let whole = rows.iter().all(|row| found[*row as usize] == group);
            score.people.right += u64::from(whole && by_group[&group].len() == rows.len());
            for (at, one) in rows.iter().enumerate() {
                for other in &rows[at + 1..] {
                    let linked = found[*one as usize] == found[*other as usize];
                    score.pairs.right += u64::from(linked);
                    score.kinds_of(&truth.rows[*one as usize], &truth.rows[*other as usize], linked);
                }
            }
        }
        let mut mistaken: HashMap<Mistaken, u64> = HashMap::new();
        for rows in by_group.values() {
            score.pairs.found += pairs_of(rows.len());
            let mut merged: Vec<u32> = rows.iter().map(|row| people[*row as usize]).collect();
            merged.sort_unstable();
            merged.dedup();
            if merged.len() < 2 {
                continue;
            }
            score.merged_people += merged.len() as u64;
            for (at, one) in rows.iter().enumerate() {
                for other in &rows[at + 1..] {
                    let (one, other) = (&truth.rows[*one as usize], &truth.rows[*other as usize]);
                    if one.person != other.person {
                        *mistaken.entry(taken_for(one, other)).or_default() += 1;
                    }
                }
            }
        }
        score.mistaken = mistaken.into_iter().collect();
        score.mistaken.sort_unstable();
        score
    }

    fn kinds_of(&mut self, one: &Row, other: &Row, linked: bool) {
        let add = |of: &mut OfKind, both: bool| {
            of.either += 1;
            of.either_found += u64::from(linked);
            of.both += u64::from(both);
            of.both_found += u64::from(both && linked);
        };
        let mut clean = true;
        for kind in Kind::ALL {
            let (a, b) = (one.kinds.has(*kind), other.kinds.has(*kind));
            if a || b {
                add(&mut self.kinds[*kind as usize], a && b);
                clean &= DESK_IS_NOT_TO_BLAME.contains(kind);
            }
        }
        if clean {
            add(&mut self.clean, true);
        }
    }

    /// The tables for the console, with the titles of a definition.
    #[must_use]
    pub fn report<'s>(&'s self, rates: &'s Rates) -> impl fmt::Display + 's {
        Report { score: self, rates }
    }
}

fn taken_for(one: &Row, other: &Row) -> Mistaken {
    let either = |kind: Kind| one.kinds.has(kind) || other.kinds.has(kind);
    let same_birth = one.birth == other.birth;
    if one.household == other.household {
        if same_birth && one.kinds.has(Kind::Twin) {
            Mistaken::Twins
        } else if either(Kind::NewbornUnderMother) || either(Kind::ChildUnderParent) {
            Mistaken::UnderParent
        } else if either(Kind::BorrowedCard) {
            Mistaken::Borrowed
        } else {
            Mistaken::Household
        }
    } else if either(Kind::UnknownPatient) {
        Mistaken::Unknown
    } else if same_birth && one.name == other.name {
        Mistaken::Namesakes
    } else {
        Mistaken::Strangers
    }
}

fn queue(truth: &Truth, found: &[u32], file: impl Read) -> Result<Review, Fault> {
    let mut review = Review::default();
    let mut seen = vec![false; truth.rows.len()];
    // Confirming one pair joins two groups: every pair between them is settled by it.
    let mut held: std::collections::HashSet<(u32, u32)> = std::collections::HashSet::new();
    let mut confirmed: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
    truth.two_columns(file, "复核文件", |one, other| {
        let other = truth.row(other, "复核文件")?;
        review.pairs += 1;
        for row in [one, other] {
            if !std::mem::replace(&mut seen[row as usize], true) {
                review.registrations += 1;
            }
        }
        let (a, b) = (&truth.rows[one as usize], &truth.rows[other as usize]);
        if a.person == b.person && found[one as usize] != found[other as usize] {
            let edge = (found[one as usize], found[other as usize]);
            if held.insert((edge.0.min(edge.1), edge.0.max(edge.1))) {
                confirmed.entry(a.person).or_default().push(edge);
            }
        }
        Ok(())
    })?;
    let people: Vec<u32> = truth.rows.iter().map(|row| row.person).collect();
    let by_person = groups(&people);
    for (person, edges) in confirmed {
        let Some(rows) = by_person.get(&person) else { continue };
        let mut own: Vec<u32> = rows.iter().map(|row| found[*row as usize]).collect();
        let before = same(&own);
        for (from, to) in edges {
            let (from, to) = (joined(&own, rows, found, from), joined(&own, rows, found, to));
            own.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
        review.held += same(&own) - before;
    }
    Ok(review)
}

/// The group that a group of the file has become by joining.
fn joined(own: &[u32], rows: &[u32], found: &[u32], group: u32) -> u32 {
    rows.iter().position(|row| found[*row as usize] == group).map_or(group, |at| own[at])
}

fn same(groups: &[u32]) -> u64 {
    let pairs =
        groups.iter().enumerate().map(|(at, one)| groups[at + 1..].iter().filter(|o| *o == one).count());
    pairs.sum::<usize>() as u64
}

struct Report<'s> {
    score: &'s Score,
    rates: &'s Rates,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.score;
        writeln!(
            out,
            "登记 {} 条，真实人数 {}，得到 {} 人",
            score.records, score.people.truth, score.people.found
        )?;
        for (what, of) in [("登记对", score.pairs), ("人（分组完全一致）", score.people)] {
            writeln!(
                out,
                "{what}：精确率 {:.5}  召回率 {:.5}  F1 {:.5}  （正确 {}，得到 {}，真实 {}）",
                of.precision(),
                of.recall(),
                of.f1(),
                of.right,
                of.found,
                of.truth
            )?;
        }
        writeln!(out, "与他人合在一起的人：{}", score.merged_people)?;
        for (who, count) in &score.mistaken {
            writeln!(out, "  误并 {:<12} {count:>8} 对", who.title())?;
        }
        if let Some(review) = score.review {
            let left = score.pairs.truth - score.pairs.right;
            writeln!(
                out,
                "待复核：{} 对，涉及登记 {} 条（{:.2}%），含漏并的登记对 {}（占漏并 {} 对的 {:.1}%）",
                review.pairs,
                review.registrations,
                100.0 * review.registrations as f64 / score.records.max(1) as f64,
                review.held,
                left,
                100.0 * review.held as f64 / left.max(1) as f64
            )?;
        }
        writeln!(out, "\n差错\t任一条登记有：对数\t召回率\t两条登记都有：对数\t召回率")?;
        let rate = |found: u64, of: u64| {
            if of == 0 { "—".to_owned() } else { format!("{:.4}", found as f64 / of as f64) }
        };
        let rows = Kind::ALL.iter().map(|kind| (self.rates.title(*kind), score.kinds[*kind as usize]));
        for (title, of) in std::iter::once(("无差错", score.clean)).chain(rows) {
            writeln!(
                out,
                "{title}\t{}\t{}\t{}\t{}",
                of.either,
                rate(of.either_found, of.either),
                of.both,
                rate(of.both_found, of.both)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TRUTH: &str = "record_id,person,household,true_name,true_birth_date,errors\n\
        1,1,1,张伟,1980-01-01,\n2,1,1,张伟,1980-01-01,name_shape\n3,1,1,张伟,1980-01-01,name_shape citizen_missing\n\
        4,2,1,张三,2001-02-03,twin\n5,3,1,张四,2001-02-03,twin\n6,4,2,张伟,1980-01-01,\n";

    #[test]
    fn pairs_people_kinds_and_confusions_are_counted() {
        let truth = Truth::read(TRUTH.as_bytes()).unwrap();
        // 1 and 2 together, 3 alone; the twins together; 6 has no line.
        let clusters = "id,cluster\n1,a\n2,a\n3,b\n4,c\n5,c\n";
        let score = Score::of(&truth, clusters.as_bytes(), Some("a,b\n1,3\n6,1\n".as_bytes())).unwrap();
        assert_eq!(score.pairs, Agreement { right: 1, found: 2, truth: 3 });
        assert_eq!(score.people, Agreement { right: 1, found: 4, truth: 4 });
        assert_eq!(score.mistaken, [(Mistaken::Twins, 1)]);
        assert_eq!(score.merged_people, 2);
        let shape = score.kinds[Kind::NameShape as usize];
        assert_eq!((shape.either, shape.either_found, shape.both, shape.both_found), (3, 1, 1, 0));
        // The one true pair in the queue joins 3 with 1 and 2: both missing pairs.
        assert_eq!(score.review, Some(Review { pairs: 2, registrations: 3, held: 2 }));
        let rates = Rates::shipped(crate::Level::Hard).unwrap();
        let report = score.report(&rates).to_string();
        assert!(
            report.contains("误并 双胞胎") && report.contains("形近字\t3\t0.3333\t1\t0.0000"),
            "{report}"
        );
    }

    #[test]
    fn perfect_and_foreign_files() {
        let truth = Truth::read(TRUTH.as_bytes()).unwrap();
        let perfect = "id,c\n1,1\n2,1\n3,1\n4,2\n5,3\n6,4\n";
        let score = Score::of(&truth, perfect.as_bytes(), None::<&[u8]>).unwrap();
        assert_eq!((score.pairs.f1(), score.people.f1(), score.merged_people), (1.0, 1.0, 0));
        let all = "id,c\n1,1\n2,1\n3,1\n4,1\n5,1\n6,1\n";
        let score = Score::of(&truth, all.as_bytes(), None::<&[u8]>).unwrap();
        assert_eq!(score.pairs.recall(), 1.0);
        assert!(score.mistaken.iter().any(|(m, n)| *m == Mistaken::Namesakes && *n == 3));
        assert!(Score::of(&truth, "id,c\n77,1\n".as_bytes(), None::<&[u8]>).is_err());
        assert!(Truth::read("a,b\n1,2\n".as_bytes()).is_err());
    }
}
