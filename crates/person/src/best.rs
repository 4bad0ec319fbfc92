//! The best record (最佳记录), pure: which value is shown for each field of a person, and from which registration.
//!
//! A pinned value wins. What hardly changes (name, sex, birth, blood group, death) is decided by agreement: each record
//! speaks for its value with the trust of its institution, and the value with most behind it is shown. What changes as
//! people move (telephone, address, contact) is decided by the newest registration, of institutions equally trusted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

/// A field of the best record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// 姓名
    Name,
    /// 性别
    Sex,
    /// 出生日期
    BirthDate,
    /// 联系电话
    Phone,
    /// 现住址
    Address,
    /// 现住址行政区划
    Region,
    /// ABO 血型
    BloodAbo,
    /// Rh 血型
    BloodRh,
    /// 死亡日期
    DiedOn,
}

impl Field {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Field; 9] = [
        Field::Name,
        Field::Sex,
        Field::BirthDate,
        Field::Phone,
        Field::Address,
        Field::Region,
        Field::BloodAbo,
        Field::BloodRh,
        Field::DiedOn,
    ];

    /// The code in the database and in addresses.
    pub const fn code(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::Sex => "sex",
            Field::BirthDate => "birth_date",
            Field::Phone => "phone",
            Field::Address => "address",
            Field::Region => "region",
            Field::BloodAbo => "blood_abo",
            Field::BloodRh => "blood_rh",
            Field::DiedOn => "died_on",
        }
    }

    /// The Chinese name.
    pub const fn title(self) -> &'static str {
        match self {
            Field::Name => "姓名",
            Field::Sex => "性别",
            Field::BirthDate => "出生日期",
            Field::Phone => "联系电话",
            Field::Address => "现住址",
            Field::Region => "现住址行政区划",
            Field::BloodAbo => "ABO血型",
            Field::BloodRh => "Rh血型",
            Field::DiedOn => "死亡日期",
        }
    }

    /// The field with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.code() == code)
    }

    /// Whether the newest value is likelier right than the one most agree upon.
    const fn moves(self) -> bool {
        matches!(self, Field::Phone | Field::Address | Field::Region)
    }
}

/// A registration as the choice sees it.
#[derive(Debug, Clone)]
pub struct Source {
    /// The identity record.
    pub identity_id: i64,
    /// How far its institution is trusted, 1 to 9.
    pub trust: i64,
    /// A registration proper; otherwise known from facts only, which counts a quarter.
    pub registered: bool,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
    /// What it says, by field; what it does not say is left out. Equal texts are equal values: of encrypted fields
    /// their blind index stands here.
    pub values: BTreeMap<Field, String>,
    /// Fields whose value here is pinned.
    pub pinned: BTreeSet<Field>,
    /// Sex and birth date that the person's own citizen number tells, when this record has that number.
    pub vouched: BTreeSet<Field>,
}

/// From which record each field comes; fields that nobody knows are left out.
pub type Choice = BTreeMap<Field, i64>;

/// Chooses.
pub fn choose(sources: &[Source]) -> Choice {
    Field::ALL.into_iter().filter_map(|field| Some((field, one(sources, field)?))).collect()
}

fn one(sources: &[Source], field: Field) -> Option<i64> {
    let having = || sources.iter().filter(move |s| s.values.contains_key(&field));
    let newest = |s: &&Source| (s.registered, s.updated_at, s.identity_id);
    if let Some(pinned) = having().filter(|s| s.pinned.contains(&field)).max_by_key(newest) {
        return Some(pinned.identity_id);
    }
    if field.moves() {
        return having()
            .max_by_key(|s| (s.registered, s.updated_at, s.trust, s.identity_id))
            .map(|s| s.identity_id);
    }
    let mut behind: BTreeMap<&str, i64> = BTreeMap::new();
    for source in having() {
        let weight = source.trust * if source.registered { 4 } else { 1 };
        let vouched = if source.vouched.contains(&field) { 4 * 9 } else { 0 };
        *behind.entry(source.values[&field].as_str()).or_default() += weight + vouched;
    }
    having()
        .max_by_key(|s| (behind[s.values[&field].as_str()], s.registered, s.updated_at, s.identity_id))
        .map(|s| s.identity_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(id: i64, trust: i64, day: i64, values: &[(Field, &str)]) -> Source {
        Source {
            identity_id: id,
            trust,
            registered: true,
            updated_at: DateTime::from_timestamp(day * 86_400, 0).unwrap(),
            values: values.iter().map(|(f, v)| (*f, (*v).to_owned())).collect(),
            pinned: BTreeSet::new(),
            vouched: BTreeSet::new(),
        }
    }

    #[test]
    fn agreement_trust_recency_and_pins() {
        let a = source(1, 5, 1, &[(Field::Name, "张三"), (Field::Phone, "p1")]);
        let b = source(2, 5, 2, &[(Field::Name, "张三"), (Field::Phone, "p2")]);
        let c = source(3, 5, 3, &[(Field::Name, "张山")]);
        let all = [a.clone(), b.clone(), c.clone()];
        let choice = choose(&all);
        assert_eq!((choice[&Field::Name], choice[&Field::Phone]), (2, 2), "two agree; the newest telephone");
        assert!(!choice.contains_key(&Field::Address));
        // A much trusted institution outweighs two others.
        assert_eq!(choose(&[a.clone(), b.clone(), Source { trust: 9, ..c.clone() }])[&Field::Name], 2);
        let weak = |s: &Source| Source { trust: 2, ..s.clone() };
        assert_eq!(choose(&[weak(&a), weak(&b), Source { trust: 9, ..c.clone() }])[&Field::Name], 3);
        // Of two that disagree the newer; facts count less than registrations.
        assert_eq!(choose(&[a.clone(), c.clone()])[&Field::Name], 3);
        assert_eq!(choose(&[a.clone(), Source { registered: false, ..c.clone() }])[&Field::Name], 1);
        // The number vouches; a pin beats everything.
        assert_eq!(
            choose(&[Source { vouched: [Field::Name].into(), ..a.clone() }, c.clone()])[&Field::Name],
            1
        );
        assert_eq!(choose(&[Source { pinned: [Field::Phone].into(), ..a }, b, c])[&Field::Phone], 1);
    }
}
