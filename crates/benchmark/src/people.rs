//! Households of invented people with what changes in their lives: births, moves, telephones, cards, names.

use std::collections::HashSet;

use chrono::{Datelike, NaiveDate, TimeDelta};
use demo::City;
use demo::random::Random;
use standards::identifiers::CitizenId;

use crate::names::{Given, Origin};
use crate::rates::{Kind, Kinds, Rates};

/// Days that are told: from 1 January 2018, eight and a half years.
pub const DAYS: i32 = 3_102;

/// The first day.
#[must_use]
pub fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2018, 1, 1).unwrap_or_default()
}

/// Where a household lives; positions in the city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// County.
    pub county: usize,
    /// Township in it.
    pub township: usize,
    /// Village in it.
    pub village: usize,
    /// What is behind the village: group and number, or estate, building, unit, room.
    pub spot: Spot,
}

/// The last part of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// 组, 号
    Village(u32, u32),
    /// 小区, 栋, 单元, 室
    Estate(&'static str, u32, u32, u32),
}

/// What somebody proves their identity with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Papers {
    /// Citizen number.
    Citizen,
    /// Passports: until which day, number.
    Passport(Vec<(i32, String)>),
    /// 港澳居民来往内地通行证
    HongKong(String),
}

/// An invented person. Days are counted from [`first_day`]; lists of values tell from which day each holds.
#[derive(Debug, Clone)]
pub struct Person {
    /// Number in the whole benchmark.
    pub number: u32,
    /// Name now.
    pub name: String,
    /// Name before a change, and the day of the change.
    pub former: Option<(i32, String)>,
    /// A woman.
    pub woman: bool,
    /// Birth.
    pub birth: NaiveDate,
    /// Citizen number; empty for foreigners.
    pub citizen: String,
    /// Papers.
    pub papers: Papers,
    /// GB 3304
    pub people: &'static str,
    /// What sort of name.
    pub origin: Origin,
    /// Mother, father, husband or wife in the household.
    pub mother: Option<usize>,
    /// Father.
    pub father: Option<usize>,
    /// Husband or wife.
    pub spouse: Option<usize>,
    /// Own telephones; empty for children and for elders without one.
    pub phones: Vec<(i32, String)>,
    /// Homes.
    pub homes: Vec<(i32, Home)>,
    /// Insurance cards; empty for those without.
    pub cards: Vec<(i32, String)>,
    /// What is special: twin, namesake, rare character and so on.
    pub traits: Kinds,
}

impl Person {
    /// Age in years on a day.
    #[must_use]
    pub fn age(&self, day: i32) -> i32 {
        let date = first_day() + TimeDelta::days(i64::from(day));
        let before = (date.month(), date.day()) < (self.birth.month(), self.birth.day());
        date.year() - self.birth.year() - i32::from(before)
    }

    /// Day of birth, counted from the first day; negative for most.
    #[must_use]
    pub fn born(&self) -> i32 {
        (self.birth - first_day()).num_days() as i32
    }
}

/// The value that holds on a day.
pub(crate) fn at<T>(list: &[(i32, T)], day: i32) -> Option<&T> {
    list.iter().rev().find(|(from, _)| *from <= day).or_else(|| list.first()).map(|(_, value)| value)
}

/// People who live together.
#[derive(Debug, Clone, Default)]
pub struct Household {
    /// Number.
    pub number: u32,
    /// The people.
    pub people: Vec<Person>,
}

/// Somebody whose name and birth another of the same village shall have.
#[derive(Debug)]
struct Double {
    surname: String,
    name: String,
    woman: bool,
    birth: NaiveDate,
    home: Home,
}

/// Makes households one after another.
#[derive(Debug)]
pub struct Population<'a> {
    rates: &'a Rates,
    city: &'a City,
    names: &'a Given,
    seed: u64,
    households: u32,
    people: u32,
    numbers: HashSet<u64>,
    double: Option<Double>,
}

/// Age (from, to) of husband and wife, of the children's births before the first day (none, or the mother's age then),
/// whether the husband's parents live there too, and the share of such households.
struct Mould {
    share: f64,
    ages: (i32, i32),
    single: f64,
    children: &'static [f64],
    parents: f64,
}

const MOULDS: &[Mould] = &[
    Mould { share: 16.0, ages: (64, 84), single: 0.35, children: &[], parents: 0.0 },
    Mould { share: 13.0, ages: (46, 63), single: 0.08, children: &[], parents: 0.12 },
    Mould { share: 17.0, ages: (43, 60), single: 0.06, children: &[0.9, 0.25], parents: 0.20 },
    Mould { share: 24.0, ages: (26, 44), single: 0.05, children: &[0.92, 0.55, 0.10], parents: 0.38 },
    Mould { share: 8.0, ages: (20, 30), single: 0.55, children: &[0.15], parents: 0.10 },
];

const FRONTS: &[&str] = &[
    "130", "131", "135", "136", "137", "138", "139", "150", "151", "152", "155", "158", "159", "166", "173",
    "175", "176", "177", "178", "180", "182", "183", "186", "187", "188", "189", "191", "198", "199",
];
const ESTATES: &[&str] = &[
    "阳光花园",
    "锦绣家园",
    "幸福小区",
    "东方明珠",
    "翠湖名苑",
    "金桂苑",
    "和谐家园",
    "书香门第",
    "清水湾",
    "丽景城",
    "新华小区",
    "建设小区",
    "滨河花园",
    "天润城",
    "凤凰城",
    "龙湖小区",
    "御景苑",
    "福星花园",
];
/// Counties elsewhere whose number migrants keep.
const ELSEWHERE: &[&str] = &[
    "412825", "413026", "341221", "341522", "421181", "420621", "510922", "500234", "430522", "360730",
    "411627", "412728", "320123", "330327", "440981", "450821", "522401", "532128", "610423", "370832",
];

impl<'a> Population<'a> {
    /// The population of a city.
    #[must_use]
    pub fn new(rates: &'a Rates, city: &'a City, names: &'a Given, seed: u64) -> Self {
        Self { rates, city, names, seed, households: 0, people: 0, numbers: HashSet::new(), double: None }
    }

    /// People made so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.people
    }

    /// The next household.
    pub fn household(&mut self) -> Household {
        let mut dice = Random::of(self.seed, &[0x4a, u64::from(self.households)]);
        let mut household = Household { number: self.households, people: Vec::with_capacity(6) };
        self.households += 1;
        let double = self.double.take();
        let home = match &double {
            Some(double) => {
                let mut home = double.home.clone();
                home.spot = spot(&mut dice, matches!(home.spot, Spot::Estate(..)));
                home
            }
            None => self.home(&mut dice),
        };
        let village = (home.county * 1_000_000 + home.township * 1_000 + home.village) as u64;
        let mould = &MOULDS[dice.weighted(MOULDS.iter().map(|mould| mould.share))];
        // Three clans have half of the men of a village.
        let clan = Random::of(self.seed, &[0xc1a, village, dice.below(3) as u64]);
        let his = if dice.chance(0.55) {
            self.names.surname(&mut clan.clone())
        } else {
            self.names.surname(&mut dice)
        };
        let origin = self.origin(&mut dice);
        let age = dice.between(i64::from(mould.ages.0), i64::from(mould.ages.1)) as i32;
        let single = dice.chance(mould.single);
        let mut parent = |this: &mut Self, woman: bool, age: i32, surname: &str, dice: &mut Random| {
            let birth = first_day()
                - TimeDelta::days(i64::from(age) * 365 + i64::from(age) / 4 + dice.between(0, 364));
            this.person(&mut household, origin, surname, woman, birth, Some(village), dice)
        };
        let (mut man, mut woman) = (None, None);
        if !single || dice.chance(0.5) {
            man = Some(parent(self, false, age, his, &mut dice));
        }
        if man.is_none() || !single {
            let younger = dice.between(-1, 4) as i32;
            let hers = self.names.surname(&mut dice);
            woman = Some(parent(self, true, (age - younger).max(19), hers, &mut dice));
        }
        let old = dice.chance(mould.parents);
        let (grandfather, grandmother) = if old {
            let older = age + dice.between(21, 29) as i32;
            let hers = self.names.surname(&mut dice);
            let first = dice.chance(0.75).then(|| parent(self, false, older, his, &mut dice));
            let second = dice.chance(0.85).then(|| parent(self, true, older - 1, hers, &mut dice));
            (first, second)
        } else {
            (None, None)
        };
        couple(&mut household, man, woman);
        couple(&mut household, grandfather, grandmother);
        if let Some(son) = man {
            household.people[son].father = grandfather;
            household.people[son].mother = grandmother;
        }
        self.children(&mut household, mould, (man, woman), his, origin, village, &mut dice);
        if let Some(double) = double {
            self.make_double(&mut household, double);
        }
        self.lives(&mut household, home, &mut dice);
        if self.double.is_none() {
            self.choose_double(&mut household, &mut dice);
        }
        household
    }

    fn origin(&self, dice: &mut Random) -> Origin {
        // Households are of one origin: shares of people are shares of households.
        let part = dice.part();
        let dotted = self.rates.of(Kind::MinorityDotted);
        let long = dotted + self.rates.of(Kind::MinorityLong);
        let foreign = long + self.rates.of(Kind::Foreigner);
        match part {
            p if p < dotted => Origin::Dotted,
            p if p < long => Origin::Long,
            p if p < foreign => Origin::Foreign,
            _ => Origin::Han,
        }
    }

    fn home(&self, dice: &mut Random) -> Home {
        let county = dice.below(self.city.counties.len());
        let township = dice.below(self.city.counties[county].townships.len());
        let villages = self.city.counties[county].townships[township].villages.len();
        let village = dice.below(villages).min(dice.below(villages));
        let town = dice.chance(0.35);
        Home { county, township, village, spot: spot(dice, town) }
    }

    fn children(
        &mut self,
        household: &mut Household,
        mould: &Mould,
        (man, woman): (Option<usize>, Option<usize>),
        surname: &str,
        origin: Origin,
        village: u64,
        dice: &mut Random,
    ) {
        let Some(mother) = woman else { return };
        let (young, now) = (household.people[mother].birth, first_day() + TimeDelta::days(i64::from(DAYS)));
        let mut last = young + TimeDelta::days(365 * 20);
        for chance in mould.children {
            if !dice.chance(*chance) {
                break;
            }
            let birth = last + TimeDelta::days(dice.between(400, 2_900));
            last = birth;
            if birth >= now - TimeDelta::days(2) || (birth - young).num_days() > 365 * 43 {
                break;
            }
            // Few children took the mother's surname.
            let hers: String = household.people[mother].name.chars().take(1).collect();
            let surname = if dice.chance(0.04) || man.is_none() { hers.as_str() } else { surname };
            let child_woman = dice.chance(0.47);
            let child = self.person(household, origin, surname, child_woman, birth, Some(village), dice);
            household.people[child].mother = woman;
            household.people[child].father = man;
            if dice.chance(self.rates.of(Kind::Twin)) {
                // Two thirds of twins are of the same sex; most are named alike.
                let alike = dice.chance(0.66);
                let sister = if alike { child_woman } else { !child_woman };
                let other = self.person(household, origin, surname, sister, birth, Some(village), dice);
                household.people[other].mother = woman;
                household.people[other].father = man;
                if origin == Origin::Han {
                    self.name_twins(household, child, other, surname, dice);
                }
                self.neighbouring(household, child, other);
                for twin in [child, other] {
                    household.people[twin].traits.add(Kind::Twin);
                }
            }
        }
    }

    /// Most twins are named alike, but so that they can be called apart: never by names that sound the same.
    fn name_twins(
        &self,
        household: &mut Household,
        first: usize,
        second: usize,
        surname: &str,
        dice: &mut Random,
    ) {
        let sound = |name: &str| -> Vec<Box<str>> {
            name.chars().filter_map(|c| standards::pinyin::readings(c).into_iter().next()).collect()
        };
        let elder = household.people[first].name.clone();
        let (woman, year) = (household.people[second].woman, household.people[second].birth.year());
        let shared: Vec<char> = elder.chars().collect();
        let alike = shared.len() == 3 && dice.chance(0.7);
        let mut name = household.people[second].name.clone();
        for _ in 0..8 {
            if alike && let Some(own) = name.chars().last() {
                name = [shared[0], shared[1], own].iter().collect();
            }
            if sound(&name) != sound(&elder) {
                break;
            }
            name = format!("{surname}{}", self.names.given(woman, year, None, dice));
        }
        household.people[second].name = name;
    }

    /// Twins are registered one after the other: their numbers follow one another.
    fn neighbouring(&mut self, household: &mut Household, first: usize, second: usize) {
        let number = household.people[first].citizen.clone();
        let (Some(division), Some(Ok(serial))) = (number.get(..6), number.get(14..17).map(str::parse::<u16>))
        else {
            return;
        };
        let step = if household.people[first].woman == household.people[second].woman { 2 } else { 1 };
        let birth = household.people[first].birth;
        if let Some(id) = CitizenId::compose(division, birth, serial + step)
            && self.numbers.insert(id.as_str()[..17].parse().unwrap_or_default())
        {
            household.people[second].citizen = id.as_str().to_owned();
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn person(
        &mut self,
        household: &mut Household,
        origin: Origin,
        surname: &str,
        woman: bool,
        birth: NaiveDate,
        village: Option<u64>,
        dice: &mut Random,
    ) -> usize {
        let number = self.people;
        self.people += 1;
        let mut traits = Kinds::default();
        let (name, people) = match origin {
            Origin::Dotted => {
                traits.add(Kind::MinorityDotted);
                let father = household
                    .people
                    .iter()
                    .find(|p| !p.woman && (birth - p.birth).num_days() > 365 * 18)
                    .map(|p| p.name.split('·').next().unwrap_or_default().to_owned());
                let father = father.unwrap_or_else(|| self.names.dotted(false, dice).to_owned());
                (format!("{}·{father}", self.names.dotted(woman, dice)), "05")
            }
            Origin::Long => {
                traits.add(Kind::MinorityLong);
                self.names.long(dice)
            }
            Origin::Foreign => {
                traits.add(Kind::Foreigner);
                (self.names.foreign(woman, dice), "99")
            }
            Origin::Han => {
                let given = self.names.given(woman, birth.year(), village, dice);
                let people = match dice.below(1000) {
                    0..20 => "03",
                    20..30 => "15",
                    30..38 => "11",
                    38..44 => "08",
                    44..50 => "06",
                    _ => "01",
                };
                (format!("{surname}{given}"), people)
            }
        };
        let mut name = name;
        if origin == Origin::Han && dice.chance(self.rates.of(Kind::RareName)) {
            name = self.names.with_rare(&name, dice);
            traits.add(Kind::RareName);
        }
        let (citizen, papers) = if origin == Origin::Foreign {
            let mut passports = vec![(-9_999, passport(dice))];
            if dice.chance(0.3) {
                passports.push((dice.between(0, i64::from(DAYS)) as i32, passport(dice)));
            }
            (String::new(), Papers::Passport(passports))
        } else if origin == Origin::Han && dice.chance(self.rates.of(Kind::Foreigner) / 2.0) {
            (
                String::new(),
                Papers::HongKong(format!("{}{:08}", dice.pick(&["H", "M"]), dice.below(100_000_000))),
            )
        } else {
            (self.citizen(birth, woman, dice), Papers::Citizen)
        };
        household.people.push(Person {
            number,
            name,
            former: None,
            woman,
            birth,
            citizen,
            papers,
            people,
            origin,
            mother: None,
            father: None,
            spouse: None,
            phones: Vec::new(),
            homes: Vec::new(),
            cards: Vec::new(),
            traits,
        });
        household.people.len() - 1
    }

    /// A citizen number that nobody else of the benchmark has. Serials are drawn from 500 up: real ones are given from 1 up
    /// within a county and day and seldom come so far.
    fn citizen(&mut self, birth: NaiveDate, woman: bool, dice: &mut Random) -> String {
        for _ in 0..2_000 {
            let division = if dice.chance(0.12) {
                (*dice.pick(ELSEWHERE)).to_owned()
            } else {
                let county = dice.below(self.city.counties.len());
                self.city.counties[county].division.code.as_str()[..6].to_owned()
            };
            let serial = 500 + dice.below(249) as u16 * 2 + u16::from(!woman);
            let Some(id) = CitizenId::compose(&division, birth, serial) else { continue };
            if self.numbers.insert(id.as_str()[..17].parse().unwrap_or_default()) {
                return id.as_str().to_owned();
            }
        }
        String::new()
    }

    fn make_double(&mut self, household: &mut Household, double: Double) {
        let near =
            |p: &Person| p.woman == double.woman && (p.birth - double.birth).num_days().abs() < 365 * 8;
        let Some(at) = (0..household.people.len())
            .find(|i| household.people[*i].origin == Origin::Han && near(&household.people[*i]))
        else {
            // Nobody here is of that age: the next household of the village may have somebody.
            self.double = Some(double);
            return;
        };
        let children = household.people.iter().any(|p| p.mother == Some(at) || p.father == Some(at));
        let mut dice = Random::of(self.seed, &[0xd0b, u64::from(household.number)]);
        let citizen = self.citizen(double.birth, double.woman, &mut dice);
        let person = &mut household.people[at];
        person.birth = double.birth;
        person.name.clone_from(&double.name);
        person.traits = Kinds::default();
        person.traits.add(Kind::Namesake);
        if person.papers == Papers::Citizen {
            person.citizen = citizen;
        }
        // Children keep the father's surname, whoever he is now.
        if !double.woman && children {
            for child in household.people.iter_mut().filter(|p| p.father == Some(at)) {
                let rest: String = child.name.chars().skip(1).collect();
                child.name = format!("{}{rest}", double.surname);
            }
        }
    }

    fn choose_double(&mut self, household: &mut Household, dice: &mut Random) {
        for person in &mut household.people {
            if person.origin == Origin::Han
                && person.age(0) >= 20
                && !person.traits.has(Kind::Namesake)
                && dice.chance(self.rates.of(Kind::Namesake) / 2.0)
                && let Some((_, home)) = person.homes.first()
            {
                person.traits.add(Kind::Namesake);
                self.double = Some(Double {
                    surname: person.name.chars().take(1).collect(),
                    name: person.name.clone(),
                    woman: person.woman,
                    birth: person.birth,
                    home: home.clone(),
                });
                return;
            }
        }
    }

    /// Telephones, cards, homes and names through the years.
    fn lives(&mut self, household: &mut Household, home: Home, dice: &mut Random) {
        let mut homes = vec![(-99_999, home)];
        for year in 0..9 {
            if dice.chance(self.rates.of(Kind::Moved)) {
                let day = year * 365 + dice.between(0, 364) as i32;
                let mut next = self.home(dice);
                if dice.chance(0.6) {
                    // Most move within the county, to an estate.
                    next.county = homes[0].1.county;
                    let towns = &self.city.counties[next.county].townships;
                    next.township = dice.below(towns.len());
                    next.village = dice.below(towns[next.township].villages.len());
                    let town = dice.chance(0.8);
                    next.spot = spot(dice, town);
                }
                homes.push((day, next));
            }
        }
        for i in 0..household.people.len() {
            let age = household.people[i].age(0);
            let own_phone = match age {
                ..6 => false,
                6..14 => dice.chance(0.12),
                14..70 => true,
                _ => dice.chance(0.6),
            };
            let changes = |kind: Kind, dice: &mut Random, make: &mut dyn FnMut(&mut Random) -> String| {
                let mut list = vec![(-99_999, make(dice))];
                for year in 0..9 {
                    if dice.chance(self.rates.of(kind)) {
                        list.push((year * 365 + dice.between(0, 364) as i32, make(dice)));
                    }
                }
                list
            };
            let phones = if own_phone {
                changes(Kind::PhoneChanged, dice, &mut |dice| phone(dice))
            } else {
                Vec::new()
            };
            let cards = if dice.chance(0.93) {
                changes(Kind::CardChanged, dice, &mut |dice| {
                    format!("{}{:08}", (b'A' + dice.below(8) as u8) as char, dice.below(100_000_000))
                })
            } else {
                Vec::new()
            };
            let changed = household.people[i].origin == Origin::Han
                && dice.chance(self.rates.of(Kind::NameChanged) * if age < 14 { 3.0 } else { 0.6 });
            let fresh = changed.then(|| {
                let person = &household.people[i];
                let surname: String = if dice.chance(0.3) {
                    self.names.surname(dice).to_owned()
                } else {
                    person.name.chars().take(1).collect()
                };
                let given = self.names.given(person.woman, person.birth.year(), None, dice);
                (dice.between(1, i64::from(DAYS) - 1) as i32, format!("{surname}{given}"))
            });
            let person = &mut household.people[i];
            person.phones = phones;
            person.cards = cards;
            person.homes.clone_from(&homes);
            if let Some((day, name)) = fresh {
                person.former = Some((day, std::mem::replace(&mut person.name, name)));
                person.traits.add(Kind::NameChanged);
            }
        }
    }
}

fn couple(household: &mut Household, one: Option<usize>, other: Option<usize>) {
    if let (Some(one), Some(other)) = (one, other) {
        household.people[one].spouse = Some(other);
        household.people[other].spouse = Some(one);
    }
}

fn spot(dice: &mut Random, town: bool) -> Spot {
    if town {
        let floor = dice.between(1, 18) as u32;
        let room = floor * 100 + dice.between(1, 4) as u32;
        let estate = ESTATES[dice.below(ESTATES.len())];
        Spot::Estate(estate, dice.between(1, 24) as u32, dice.between(1, 4) as u32, room)
    } else {
        Spot::Village(dice.between(1, 16) as u32, dice.between(1, 90) as u32)
    }
}

fn phone(dice: &mut Random) -> String {
    format!("{}{:08}", dice.pick(FRONTS), dice.below(100_000_000))
}

fn passport(dice: &mut Random) -> String {
    format!("{}{:08}", (b'A' + dice.below(26) as u8) as char, dice.below(100_000_000))
}
