//! The rules of the index, pure: what an operation changes, what may never be, and the exact inverse of every change.
//!
//! [`State`] is a part of the index that an operation touches: persons, all their records, decisions on their pairs,
//! pins. [`plan`] turns an [`Order`] into a [`Change`]; [`State::apply`] carries it out, and [`Change::inverse`] takes
//! it back. The database does the same (`carry.rs`), and tests hold one against the other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kernel::Refusal;
use serde::{Deserialize, Serialize};

/// An identity record's number.
pub type RecordId = i64;
/// A person's number.
pub type PersonId = i64;
/// The blind index of a citizen number, in hexadecimal: equal numbers are equal, nothing else can be told.
pub type Number = String;

/// What somebody decided about two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 不是同一人: never in one person.
    Apart,
    /// 是同一人: always in one person.
    Together,
}

impl Verdict {
    /// The code in the database.
    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Apart => "apart",
            Verdict::Together => "together",
        }
    }
    /// The verdict with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        [Verdict::Apart, Verdict::Together].into_iter().find(|v| v.code() == code)
    }
}

/// A verdict with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A record as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// To whom it is linked.
    pub person: PersonId,
    /// Its citizen number, while nothing says that it is another's.
    pub number: Option<Number>,
    /// The same, also where somebody decided that it is not the patient's.
    pub any_number: Option<Number>,
    /// Whether somebody decided that.
    pub disowned: bool,
}

/// A person as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The citizen number that it holds.
    pub number: Option<Number>,
    /// Where its records went, once it has none.
    pub merged_into: Option<PersonId>,
}

/// A part of the index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Persons.
    pub persons: BTreeMap<PersonId, Holder>,
    /// All records of these persons.
    pub records: BTreeMap<RecordId, Linked>,
    /// Decisions on pairs of these records, the smaller number first.
    pub pairs: BTreeMap<(RecordId, RecordId), Decision>,
    /// Records whose value is shown for a field.
    pub pins: BTreeSet<(RecordId, String)>,
    /// Numbers of these records that are held by persons outside of this part.
    pub held_elsewhere: BTreeSet<Number>,
    /// Persons that are here only because they would get a number that is freed, after all others.
    pub waiting: BTreeSet<PersonId>,
}

/// What somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Order {
    /// 合并: all records of one person go to another.
    Merge {
        /// Who stays.
        into: PersonId,
        /// Whose records move.
        from: PersonId,
    },
    /// 合并, with registrations whose value of a field is shown afterwards.
    #[serde(skip)]
    MergeShowing {
        /// Who stays.
        into: PersonId,
        /// Whose records move.
        from: PersonId,
        /// Records of either, and the field.
        show: Vec<(RecordId, String)>,
    },
    /// 拆分: some records of a person become a person of their own.
    Split {
        /// Whose.
        person: PersonId,
        /// Which.
        records: Vec<RecordId>,
    },
    /// 关联: one record goes to another person.
    Link {
        /// Which.
        record: RecordId,
        /// Where.
        person: PersonId,
    },
    /// 解除关联: one record becomes a person of its own.
    Unlink {
        /// Which.
        record: RecordId,
    },
    /// 不是同一人: the persons of two records are kept apart for good, record by record.
    Apart {
        /// One.
        a: RecordId,
        /// The other.
        b: RecordId,
    },
    /// 证件号码不属本人: the record's citizen number is another's.
    Disown {
        /// Which.
        record: RecordId,
    },
    /// 指定取值: the record's value of a field is shown.
    Pin {
        /// Which.
        record: RecordId,
        /// Field of the best record.
        field: String,
    },
    /// 取消指定.
    Unpin {
        /// Which.
        record: RecordId,
        /// Field.
        field: String,
    },
}

impl Order {
    /// The word in the database.
    pub const fn kind(&self) -> &'static str {
        match self {
            Order::Merge { .. } | Order::MergeShowing { .. } => "merge",
            Order::Split { .. } => "split",
            Order::Link { .. } => "link",
            Order::Unlink { .. } => "unlink",
            Order::Apart { .. } => "apart",
            Order::Disown { .. } => "disown",
            Order::Pin { .. } => "pin",
            Order::Unpin { .. } => "unpin",
        }
    }
}

/// The Chinese word of a kind of operation.
pub fn kind_name(kind: &str) -> &'static str {
    match kind {
        "merge" => "合并",
        "split" => "拆分",
        "link" => "关联",
        "unlink" => "解除关联",
        "apart" => "确认不是同一人",
        "together" => "确认是同一人",
        "disown" => "证件号码不属本人",
        "pin" => "指定取值",
        "unpin" => "取消指定",
        "run" => "批量关联",
        "undo" => "撤销",
        _ => "其他",
    }
}

/// From what to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step<T> {
    /// Before.
    pub before: T,
    /// After.
    pub after: T,
}

/// Everything that an operation changes, with what was there before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Change {
    /// Record → person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<RecordId, Step<PersonId>>,
    /// Person → number it holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<PersonId, Step<Option<Number>>>,
    /// Person → where its records went.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merged: BTreeMap<PersonId, Step<Option<PersonId>>>,
    /// Decisions on pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<(RecordId, RecordId, Step<Option<Decision>>)>,
    /// Pins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<(RecordId, String, Step<bool>)>,
    /// Numbers said not to be the patient's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disowned: BTreeMap<RecordId, Step<bool>>,
}

fn turn<T: Clone>(step: &Step<T>) -> Step<T> {
    Step { before: step.after.clone(), after: step.before.clone() }
}

impl Change {
    /// What takes it back.
    pub fn inverse(&self) -> Change {
        Change {
            links: self.links.iter().map(|(k, s)| (*k, turn(s))).collect(),
            numbers: self.numbers.iter().map(|(k, s)| (*k, turn(s))).collect(),
            merged: self.merged.iter().map(|(k, s)| (*k, turn(s))).collect(),
            pairs: self.pairs.iter().map(|(a, b, s)| (*a, *b, turn(s))).collect(),
            pins: self.pins.iter().map(|(r, f, s)| (*r, f.clone(), turn(s))).collect(),
            disowned: self.disowned.iter().map(|(k, s)| (*k, turn(s))).collect(),
        }
    }

    /// Persons that it touches.
    pub fn persons(&self) -> BTreeSet<PersonId> {
        let mut all = self.moved();
        all.extend(self.numbers.keys());
        all
    }

    /// Persons whose records it moves.
    pub fn moved(&self) -> BTreeSet<PersonId> {
        let mut all: BTreeSet<PersonId> = self.links.values().flat_map(|s| [s.before, s.after]).collect();
        all.extend(self.merged.keys());
        all
    }

    /// Records that it touches.
    pub fn records(&self) -> BTreeSet<RecordId> {
        let mut all: BTreeSet<RecordId> = self.links.keys().chain(self.disowned.keys()).copied().collect();
        all.extend(self.pairs.iter().flat_map(|(a, b, _)| [*a, *b]));
        all.extend(self.pins.iter().map(|(record, ..)| *record));
        all
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }
}

/// Who decides, when and why: what a decision on a pair keeps.
#[derive(Debug, Clone)]
pub struct By<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When.
    pub at: DateTime<Utc>,
}

/// Pairs that one operation writes down at most; beyond, each moved record with one of the others.
const MOST_PAIRS: usize = 400;

/// What an order changes. `fresh` is the number of a person that does not exist yet, for records that get one of
/// their own.
///
/// # Errors
/// Refused when the order makes no sense here or breaks a rule of the index.
pub fn plan(state: &State, order: &Order, fresh: PersonId, by: &By<'_>) -> Result<Change, Refusal> {
    let mut next = state.clone();
    match order {
        Order::Merge { into, from } | Order::MergeShowing { into, from, .. } => {
            if into == from {
                return Err(Refusal::invalid(
                    "index.same_person",
                    "这两份登记已经属于同一个人，不需要合并。",
                ));
            }
            let (staying, moving) = (state.records_of(*into), state.records_of(*from));
            if staying.is_empty() || moving.is_empty() {
                return Err(gone());
            }
            next.move_records(&moving, *into);
            next.decide(&moving, &staying, Verdict::Together, by);
            let show = if let Order::MergeShowing { show, .. } = order { show.as_slice() } else { &[] };
            for (record, field) in show {
                next.pin(*record, field, *into).ok_or_else(gone)?;
            }
        }
        Order::Split { person, records } => {
            let all = state.records_of(*person);
            let moving: Vec<RecordId> = all.iter().copied().filter(|r| records.contains(r)).collect();
            let staying: Vec<RecordId> = all.iter().copied().filter(|r| !records.contains(r)).collect();
            if moving.len() != records.iter().collect::<BTreeSet<_>>().len() {
                return Err(Refusal::conflict(
                    "index.not_of_person",
                    "所选登记中有的已不属于此人，可能别人刚刚改过。请刷新页面后重新选择。",
                ));
            }
            if moving.is_empty() || staying.is_empty() {
                return Err(Refusal::invalid(
                    "index.nothing_to_split",
                    "拆分须选出一部分登记，并至少留下一条。请重新选择要拆出的登记。",
                ));
            }
            next.move_records(&moving, fresh);
            next.decide(&moving, &staying, Verdict::Apart, by);
        }
        Order::Link { record, person } => {
            let linked = state.records.get(record).ok_or_else(gone)?;
            if linked.person == *person {
                return Err(Refusal::invalid("index.same_person", "这条登记已经属于此人。"));
            }
            let (left, staying) = (state.others(*record), state.records_of(*person));
            if staying.is_empty() {
                return Err(gone());
            }
            next.move_records(&[*record], *person);
            next.decide(&[*record], &left, Verdict::Apart, by);
            next.decide(&[*record], &staying, Verdict::Together, by);
        }
        Order::Unlink { record } => {
            let left = state.others(*record);
            if !state.records.contains_key(record) {
                return Err(gone());
            }
            if left.is_empty() {
                return Err(Refusal::invalid("index.alone", "这条登记没有与其他登记关联，无需解除。"));
            }
            next.move_records(&[*record], fresh);
            next.decide(&[*record], &left, Verdict::Apart, by);
        }
        Order::Apart { a, b } => {
            let (one, other) =
                (state.records.get(a).ok_or_else(gone)?, state.records.get(b).ok_or_else(gone)?);
            if one.person == other.person {
                return Err(Refusal::invalid(
                    "index.still_together",
                    "这两条登记现在属于同一个人。请先拆分，拆分时会同时记下“不是同一人”。",
                ));
            }
            let (some, others) = (state.records_of(one.person), state.records_of(other.person));
            next.decide(&some, &others, Verdict::Apart, by);
        }
        Order::Disown { record } => {
            let linked = next.records.get_mut(record).ok_or_else(gone)?;
            if linked.any_number.is_none() || linked.disowned {
                return Err(Refusal::invalid("index.no_number", "这条登记没有可排除的公民身份号码。"));
            }
            linked.disowned = true;
            linked.number = None;
        }
        Order::Pin { record, field } => {
            let person = state.records.get(record).ok_or_else(gone)?.person;
            next.pin(*record, field, person).ok_or_else(gone)?;
        }
        Order::Unpin { record, field } => {
            if !next.pins.remove(&(*record, field.clone())) {
                return Err(Refusal::conflict("index.not_pinned", "这一项没有被指定，或已由别人取消。"));
            }
        }
    }
    next.settle();
    let change = state.difference(&next);
    next.check(&change)?;
    Ok(change)
}

fn gone() -> Refusal {
    Refusal::conflict("index.gone", "登记或人员已有变动，可能别人刚刚处理过。请刷新页面后再看。")
}

fn ordered(a: RecordId, b: RecordId) -> (RecordId, RecordId) {
    (a.min(b), a.max(b))
}

impl State {
    /// The records of a person.
    pub fn records_of(&self, person: PersonId) -> Vec<RecordId> {
        self.records.iter().filter(|(_, r)| r.person == person).map(|(id, _)| *id).collect()
    }

    /// The other records of a record's person.
    fn others(&self, record: RecordId) -> Vec<RecordId> {
        let Some(person) = self.records.get(&record).map(|r| r.person) else { return Vec::new() };
        self.records_of(person).into_iter().filter(|r| *r != record).collect()
    }

    fn move_records(&mut self, records: &[RecordId], to: PersonId) {
        let from: BTreeSet<PersonId> =
            records.iter().filter_map(|r| self.records.get(r)).map(|r| r.person).collect();
        for record in records {
            if let Some(linked) = self.records.get_mut(record) {
                linked.person = to;
            }
        }
        self.persons.entry(to).or_default().merged_into = None;
        for person in from {
            if self.records_of(person).is_empty() {
                self.persons.entry(person).or_default().merged_into = Some(to);
            }
        }
    }

    /// Pins a record's value of a field, instead of another record of the person. `None`: it is not of this person.
    fn pin(&mut self, record: RecordId, field: &str, person: PersonId) -> Option<()> {
        let of = self.records_of(person);
        of.contains(&record).then_some(())?;
        self.pins.retain(|(r, f)| f != field || !of.contains(r));
        self.pins.insert((record, field.to_owned()));
        Some(())
    }

    fn decide(&mut self, some: &[RecordId], others: &[RecordId], verdict: Verdict, by: &By<'_>) {
        let others =
            if some.len() * others.len() > MOST_PAIRS { &others[..others.len().min(1)] } else { others };
        for (a, b) in some.iter().flat_map(|a| others.iter().map(|b| ordered(*a, *b))) {
            let decision =
                Decision { verdict, actor: by.actor.to_owned(), reason: by.reason.to_owned(), at: by.at };
            self.pairs.insert((a, b), decision);
        }
    }

    /// Brings the numbers that persons hold into agreement with their records: who holds a number keeps it while a
    /// record says so, otherwise the first person with such a record gets it, of those who only wait as the last; nobody
    /// gets one that is held elsewhere.
    pub fn settle(&mut self) {
        let mut by_number: BTreeMap<Number, BTreeSet<PersonId>> = BTreeMap::new();
        for record in self.records.values() {
            if let Some(number) = &record.number {
                by_number.entry(number.clone()).or_default().insert(record.person);
            }
        }
        for (id, person) in &mut self.persons {
            if person.number.as_ref().is_some_and(|n| !by_number.get(n).is_some_and(|p| p.contains(id))) {
                person.number = None;
            }
        }
        for (number, persons) in by_number {
            let held = self.held_elsewhere.contains(&number)
                || self.persons.values().any(|p| p.number.as_ref() == Some(&number));
            if held {
                continue;
            }
            let free = persons
                .iter()
                .filter(|id| self.persons.get(id).is_none_or(|p| p.number.is_none()))
                .min_by_key(|id| (self.waiting.contains(id), **id));
            if let Some(id) = free {
                self.persons.entry(*id).or_default().number = Some(number);
            }
        }
    }

    /// What lies between this state and a later one.
    pub fn difference(&self, next: &State) -> Change {
        let mut change = Change::default();
        for (id, after) in &next.records {
            let Some(before) = self.records.get(id) else { continue };
            if before.person != after.person {
                change.links.insert(*id, Step { before: before.person, after: after.person });
            }
            if before.disowned != after.disowned {
                change.disowned.insert(*id, Step { before: before.disowned, after: after.disowned });
            }
        }
        for (id, after) in &next.persons {
            let before = self.persons.get(id).cloned().unwrap_or_default();
            if before.number != after.number {
                change.numbers.insert(*id, Step { before: before.number, after: after.number.clone() });
            }
            if before.merged_into != after.merged_into {
                change.merged.insert(*id, Step { before: before.merged_into, after: after.merged_into });
            }
        }
        let pairs: BTreeSet<_> = self.pairs.keys().chain(next.pairs.keys()).copied().collect();
        for pair in pairs {
            let (before, after) = (self.pairs.get(&pair), next.pairs.get(&pair));
            if before != after {
                change.pairs.push((pair.0, pair.1, Step { before: before.cloned(), after: after.cloned() }));
            }
        }
        for pin in self.pins.symmetric_difference(&next.pins) {
            let before = self.pins.contains(pin);
            change.pins.push((pin.0, pin.1.clone(), Step { before, after: !before }));
        }
        change
    }

    /// Carries a change out.
    ///
    /// # Errors
    /// Refused, and nothing done, when something is not as the change found it.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        let mut next = self.clone();
        for (id, step) in &change.links {
            let record = next.records.get_mut(id).filter(|r| r.person == step.before).ok_or_else(moved_on)?;
            record.person = step.after;
            next.persons.entry(step.after).or_default().merged_into = None;
        }
        for step in change.links.values() {
            if next.records_of(step.before).is_empty() {
                next.persons.entry(step.before).or_default().merged_into = Some(step.after);
            }
        }
        for (id, step) in &change.disowned {
            let record =
                next.records.get_mut(id).filter(|r| r.disowned == step.before).ok_or_else(moved_on)?;
            record.disowned = step.after;
            record.number = if step.after { None } else { record.any_number.clone() };
        }
        for (a, b, step) in &change.pairs {
            let found = next.pairs.get(&(*a, *b)).map(|d| d.verdict);
            if found != step.before.as_ref().map(|d| d.verdict) {
                return Err(moved_on());
            }
            match &step.after {
                Some(decision) => next.pairs.insert((*a, *b), decision.clone()),
                None => next.pairs.remove(&(*a, *b)),
            };
        }
        for (record, field, step) in &change.pins {
            let pin = (*record, field.clone());
            if next.pins.contains(&pin) != step.before {
                return Err(moved_on());
            }
            if step.after {
                next.pins.insert(pin)
            } else {
                next.pins.remove(&pin)
            };
        }
        for id in change.numbers.keys() {
            next.persons.entry(*id).or_default().number = None;
        }
        for (id, step) in &change.numbers {
            let held = step.after.as_ref().is_some_and(|n| {
                next.held_elsewhere.contains(n) || next.persons.values().any(|p| p.number.as_ref() == Some(n))
            });
            if !held {
                next.persons.entry(*id).or_default().number.clone_from(&step.after);
            }
        }
        // A number may have been won or lost since by other records: what they say now holds.
        next.settle();
        let done = self.difference(&next);
        next.check(&done)?;
        *self = next;
        Ok(())
    }

    /// What may never be: two numbers in one person, two records that somebody told apart in one person.
    fn check(&self, change: &Change) -> Result<(), Refusal> {
        let mut persons = change.persons();
        // A number that counts again, or a decision, changes what may be in a person without moving anything.
        persons.extend(change.records().iter().filter_map(|r| self.records.get(r)).map(|r| r.person));
        for person in persons {
            let records = self.records_of(person);
            let numbers: BTreeSet<&Number> =
                records.iter().filter_map(|r| self.records.get(r)?.number.as_ref()).collect();
            if numbers.len() > 1 {
                return Err(Refusal::conflict(
                    "index.two_numbers",
                    "两边有不同的有效公民身份号码，不能属于同一个人。如能确认其中一个号码录入有误或借用，请先在那条登记上标明“证件号码不属本人”。",
                ));
            }
            for (i, a) in records.iter().enumerate() {
                for b in &records[i + 1..] {
                    if self.pairs.get(&(*a, *b)).is_some_and(|d| d.verdict == Verdict::Apart) {
                        return Err(Refusal::conflict(
                            "index.kept_apart",
                            "其中有登记曾被确认为“不是同一人”。请先在那次操作处撤销该结论，再合并。",
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

fn moved_on() -> Refusal {
    Refusal::conflict("index.moved_on", "这次操作之后，有关登记又有变动，不能直接撤销。请先撤销后来的操作。")
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
