//! Registrations: which institutions somebody comes to, and what each writes down, with its mistakes.

use chrono::{Datelike, NaiveDate, TimeDelta};
use demo::City;
use demo::places::Kind as Place;
use demo::random::Random;

use crate::names::Origin;
use crate::people::{DAYS, Home, Household, Papers, Person, Spot, at, first_day};
use crate::rates::{Kind, Kinds, Rates};
use crate::spelling::Spelling;

/// A registration as it stands in the file.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Code of the institution.
    pub institution: String,
    /// The institution's own number of the patient.
    pub local_no: String,
    /// Name as registered.
    pub name: String,
    /// GB/T 2261.1
    pub sex: &'static str,
    /// Birth date, `2020-01-31` or empty.
    pub birth_date: String,
    /// CV02.01.101
    pub credential_kind: &'static str,
    /// Citizen number as registered, valid or not; empty if the credential is another.
    pub citizen_id: String,
    /// Number of another credential.
    pub credential_no: String,
    /// Insurance card.
    pub card_no: String,
    /// Telephone.
    pub phone: String,
    /// Address in one line.
    pub address: String,
    /// Division, 12 digits, as far as it was registered.
    pub region: String,
    /// GB 3304
    pub ethnicity: &'static str,
    /// Name of the contact.
    pub contact_name: String,
    /// GB/T 4761
    pub contact_relation: &'static str,
    /// Telephone of the contact.
    pub contact_phone: String,
    /// Day of registration.
    pub registered_on: String,
    /// Truth: number of the person.
    pub person: u32,
    /// Truth: number of the household.
    pub household: u32,
    /// Truth: what is odd about it.
    pub kinds: Kinds,
}

impl Registration {
    /// Mother's or father's name of a child: the contact's, where the relation says so.
    #[must_use]
    pub fn guardian(&self) -> &str {
        if matches!(self.contact_relation, "51" | "52") { &self.contact_name } else { "" }
    }
}

/// Days after birth until which a child has no number of its own.
const NEWBORN_DAYS: i32 = 28;

/// Chances of 1, 2, 3 … institutions; their mean is 1.66.
const INSTITUTIONS: [f64; 8] = [0.600, 0.240, 0.095, 0.040, 0.015, 0.006, 0.003, 0.001];

/// The mean of the demonstration city's carelessness, by which it is measured.
const USUAL_CARE: f64 = 1.306;

/// Writes registrations.
#[derive(Debug)]
pub struct Desk<'a> {
    rates: &'a Rates,
    city: &'a City,
    spelling: Spelling,
    seed: u64,
    numbers: Vec<u32>,
}

/// One visit to a desk.
struct Visit<'v> {
    household: &'v Household,
    who: usize,
    person: &'v Person,
    institution: usize,
    day: i32,
    care: f64,
    read: bool,
}

impl<'a> Desk<'a> {
    /// The desks of a city.
    #[must_use]
    pub fn new(rates: &'a Rates, city: &'a City, seed: u64) -> Self {
        let numbers = vec![0; city.institutions.len()];
        Self { rates, city, spelling: Spelling::new(), seed, numbers }
    }

    /// Every registration of a household's people, into `out`.
    pub fn registrations(&mut self, household: &Household, out: &mut Vec<Registration>) {
        for who in 0..household.people.len() {
            let mut dice = Random::of(self.seed, &[0x4e9, u64::from(household.people[who].number)]);
            self.person(household, who, &mut dice, out);
        }
    }

    fn person(&mut self, household: &Household, who: usize, dice: &mut Random, out: &mut Vec<Registration>) {
        let person = &household.people[who];
        let born = person.born();
        let mut seen: Vec<usize> = Vec::new();
        if born >= 0 && dice.chance(self.rates.of(Kind::NewbornRegistered)) {
            let day = (born + dice.between(0, 3) as i32).min(DAYS);
            let county = at(&person.homes, day).map_or(0, |home| home.county);
            let county = &self.city.counties[county];
            let institution = if dice.chance(0.6) { county.maternal_child } else { county.hospital };
            seen.push(institution);
            let registration = self.newborn(household, who, institution, day, dice);
            out.push(registration);
        }
        let count = 1 + dice.weighted(INSTITUTIONS.iter().copied());
        let from = (born + NEWBORN_DAYS + 30).max(0);
        for _ in 0..count {
            if from >= DAYS {
                break;
            }
            let day = dice.between(i64::from(from), i64::from(DAYS)) as i32;
            let institution = self.institution(person, day, dice);
            if seen.contains(&institution) && seen.len() < 6 {
                // Known there: the registration is found and used again, somebody else is visited.
                let other = self.institution(person, day, dice);
                if seen.contains(&other) {
                    continue;
                }
                seen.push(other);
                out.push(self.register(household, who, other, day, dice));
            } else {
                seen.push(institution);
                out.push(self.register(household, who, institution, day, dice));
            }
            if dice.chance(self.rates.of(Kind::Duplicate)) {
                let later = (day + dice.between(0, 400) as i32).min(DAYS);
                let again = *seen.last().unwrap_or(&0);
                let mut registration = self.register(household, who, again, later, dice);
                registration.kinds.add(Kind::Duplicate);
                out.push(registration);
            }
        }
    }

    fn institution(&self, person: &Person, day: i32, dice: &mut Random) -> usize {
        let Some(home) = at(&person.homes, day) else { return self.city.hospital };
        let county = &self.city.counties[home.county];
        let town = &county.townships[home.township];
        let age = person.age(day);
        let mother_child = if age < 7 || (person.woman && (20..40).contains(&age)) { 22.0 } else { 1.0 };
        let clinics = if town.clinics.is_empty() { 0.0 } else { 16.0 };
        let weights = [clinics, 32.0, 24.0, mother_child, 12.0, 6.0, 3.0];
        match dice.weighted(weights.into_iter()) {
            0 => town.clinics[dice.below(town.clinics.len())],
            1 => town.centre,
            2 => county.hospital,
            3 => county.maternal_child,
            4 => self.city.hospital,
            5 => self.city.counties[dice.below(self.city.counties.len())].hospital,
            _ => self.city.cdc,
        }
    }

    fn blank(&mut self, visit: &Visit<'_>) -> Registration {
        let institution = &self.city.institutions[visit.institution];
        let number = &mut self.numbers[visit.institution];
        *number += 1;
        Registration {
            institution: institution.code.clone(),
            local_no: format!("{}{:07}", institution.mark, *number),
            registered_on: (first_day() + TimeDelta::days(i64::from(visit.day))).to_string(),
            person: visit.person.number,
            household: visit.household.number,
            ..Registration::default()
        }
    }

    /// A newborn's own registration, before it has a name or a number.
    fn newborn(
        &mut self,
        household: &Household,
        who: usize,
        institution: usize,
        day: i32,
        dice: &mut Random,
    ) -> Registration {
        let person = &household.people[who];
        let visit = Visit { household, who, person, institution, day, care: 1.0, read: false };
        let mut row = self.blank(&visit);
        row.kinds.add(Kind::NewbornRegistered);
        let mother = person.mother.map(|at| &household.people[at]);
        let called = mother.map_or("", |m| m.name.as_str());
        let twins: Vec<usize> = (0..household.people.len())
            .filter(|i| {
                household.people[*i].birth == person.birth && household.people[*i].mother == person.mother
            })
            .collect();
        let order = if twins.len() > 1 {
            ["大", "小", "三"][twins.iter().position(|i| *i == who).unwrap_or(0).min(2)]
        } else {
            ""
        };
        row.name = match (dice.below(4), person.woman) {
            (0, _) => format!("{called}之{order}婴"),
            (1, _) => format!("{called}{order}宝"),
            (_, true) => format!("{called}之{order}女"),
            (_, false) => format!("{called}之{order}子"),
        };
        row.sex = if person.woman { "2" } else { "1" };
        row.birth_date = person.birth.to_string();
        row.ethnicity = person.people;
        if dice.chance(self.rates.of(Kind::NewbornUnderMother))
            && let Some(mother) = mother.filter(|m| !m.citizen.is_empty())
        {
            row.kinds.add(Kind::NewbornUnderMother);
            row.credential_kind = "01";
            row.citizen_id.clone_from(&mother.citizen);
        } else {
            row.kinds.add(Kind::CitizenMissing);
        }
        row.kinds.add(Kind::CardMissing);
        if let Some(mother) = mother {
            row.contact_name.clone_from(&mother.name);
            row.contact_relation = "52";
            row.contact_phone = at(&mother.phones, day).cloned().unwrap_or_default();
            row.phone.clone_from(&row.contact_phone);
        }
        self.address(&visit, &mut row, dice);
        self.traits(&visit, &mut row);
        row
    }

    /// What a desk writes of somebody.
    fn register(
        &mut self,
        household: &Household,
        who: usize,
        institution: usize,
        day: i32,
        dice: &mut Random,
    ) -> Registration {
        let person = &household.people[who];
        let unit = &self.city.institutions[institution];
        let care = unit.carelessness / USUAL_CARE;
        let place = match unit.kind {
            Place::Village => 2,
            Place::Township | Place::Cdc => 1,
            _ => 0,
        };
        let reader = self.rates.level.readers()[place];
        let mut visit = Visit { household, who, person, institution, day, care, read: false };
        let mut row = self.blank(&visit);
        if dice.chance(self.rates.of(Kind::UnknownPatient)) && person.age(day) >= 14 {
            return self.unknown(&visit, row, dice);
        }
        let age = person.age(day);
        // Children have no number at hand twice as often; weighed so that the whole keeps the rate.
        let missing = self.rates.of(Kind::CitizenMissing)
            * if age < 14 { 1.8 } else { 0.85 }
            * if place == 2 { 1.5 } else { 0.93 };
        let without = person.papers == Papers::Citizen && dice.chance(missing);
        visit.read = !without && person.papers == Papers::Citizen && age >= 6 && dice.chance(reader);
        self.credentials(&visit, &mut row, without, dice);
        self.name(&visit, &mut row, dice);
        self.birth_and_sex(&visit, &mut row, dice);
        self.contact(&visit, &mut row, dice);
        self.phone(&visit, &mut row, place == 2, dice);
        self.address(&visit, &mut row, dice);
        row.ethnicity = person.people;
        self.traits(&visit, &mut row);
        row
    }

    /// Nothing is known but sex and about the age.
    fn unknown(&self, visit: &Visit<'_>, mut row: Registration, dice: &mut Random) -> Registration {
        row.kinds.add(Kind::UnknownPatient);
        let woman = visit.person.woman;
        row.name = match dice.below(3) {
            0 => "无名氏".to_owned(),
            1 => format!("无名{}", if woman { "女" } else { "男" }),
            _ => format!("无名氏{:03}", dice.below(1_000)),
        };
        row.sex = if woman { "2" } else { "1" };
        let year = i64::from(visit.person.birth.year()) + dice.between(-6, 6);
        row.birth_date = format!("{year}-01-01");
        for kind in [Kind::CitizenMissing, Kind::CardMissing, Kind::PhoneMissing, Kind::AddressMissing] {
            row.kinds.add(kind);
        }
        self.traits(visit, &mut row);
        row
    }

    fn traits(&self, visit: &Visit<'_>, row: &mut Registration) {
        let special = [
            Kind::Twin,
            Kind::Namesake,
            Kind::Foreigner,
            Kind::MinorityDotted,
            Kind::MinorityLong,
            Kind::RareName,
            Kind::NameChanged,
        ];
        for kind in special {
            if visit.person.traits.has(kind) {
                row.kinds.add(kind);
            }
        }
        if visit.person.homes.first().map(|(_, home)| home) != at(&visit.person.homes, visit.day) {
            row.kinds.add(Kind::Moved);
        }
    }

    /// Whether this mistake is made here; `share` weighs its rate.
    fn slips(&self, visit: &Visit<'_>, kind: Kind, share: f64, dice: &mut Random) -> bool {
        dice.chance(self.rates.of(kind) * visit.care * share)
    }

    fn credentials(&self, visit: &Visit<'_>, row: &mut Registration, without: bool, dice: &mut Random) {
        let (person, day) = (visit.person, visit.day);
        match &person.papers {
            Papers::Passport(passports) => {
                row.credential_kind = "03";
                row.credential_no = at(passports, day).cloned().unwrap_or_default();
            }
            Papers::HongKong(number) => {
                row.credential_kind = "06";
                row.credential_no.clone_from(number);
            }
            Papers::Citizen if without => row.kinds.add(Kind::CitizenMissing),
            Papers::Citizen => {
                row.credential_kind = "01";
                row.citizen_id.clone_from(&person.citizen);
                let child = person.age(day) < 14;
                let parents = [person.mother, person.father];
                if child && self.slips(visit, Kind::ChildUnderParent, 1.0, dice) && !visit.read {
                    if let Some(parent) = parents[dice.below(2)].or(person.mother) {
                        row.kinds.add(Kind::ChildUnderParent);
                        row.citizen_id.clone_from(&visit.household.people[parent].citizen);
                    }
                } else if !visit.read {
                    self.mistype_number(visit, row, dice);
                }
            }
        }
        let card = if dice.chance(self.rates.of(Kind::CardMissing)) { None } else { at(&person.cards, day) };
        match card {
            None => row.kinds.add(Kind::CardMissing),
            Some(card) => {
                row.card_no.clone_from(card);
                if person.cards.first().map(|(_, c)| c) != Some(card) {
                    row.kinds.add(Kind::CardChanged);
                }
            }
        }
        let others = visit.household.people.len();
        if others > 1 && dice.chance(self.rates.of(Kind::BorrowedCard)) {
            let lender = &visit.household.people[(visit.who + 1 + dice.below(others - 1)) % others];
            if let Some(card) = at(&lender.cards, day) {
                row.kinds.add(Kind::BorrowedCard);
                row.card_no.clone_from(card);
                if dice.chance(0.33) && !lender.citizen.is_empty() && lender.born() < day - 60 {
                    row.credential_kind = "01";
                    row.citizen_id.clone_from(&lender.citizen);
                }
            }
        }
    }

    fn mistype_number(&self, visit: &Visit<'_>, row: &mut Registration, dice: &mut Random) {
        if row.citizen_id.len() != 18 {
            return;
        }
        let digits = row.citizen_id.as_bytes();
        if self.slips(visit, Kind::CitizenDigit, 1.0, dice) {
            let place = dice.below(17);
            let old = digits[place] - b'0';
            let new = (old + 1 + dice.below(9) as u8) % 10;
            row.citizen_id = format!("{}{new}{}", &row.citizen_id[..place], &row.citizen_id[place + 1..]);
            row.kinds.add(Kind::CitizenDigit);
        } else if self.slips(visit, Kind::CitizenTransposed, 1.0, dice) {
            let start = dice.below(16);
            let places = (0..16).map(|turn| (start + turn) % 16);
            if let Some(place) = places.into_iter().find(|p| digits[*p] != digits[*p + 1]) {
                let (one, other) = (digits[place] as char, digits[place + 1] as char);
                row.citizen_id =
                    format!("{}{other}{one}{}", &row.citizen_id[..place], &row.citizen_id[place + 2..]);
                row.kinds.add(Kind::CitizenTransposed);
            }
        } else if visit.person.birth.year() < 2000 && self.slips(visit, Kind::CitizenOld, 1.0, dice) {
            row.citizen_id = format!("{}{}", &row.citizen_id[..6], &row.citizen_id[8..17]);
            row.kinds.add(Kind::CitizenOld);
        }
    }

    fn name(&self, visit: &Visit<'_>, row: &mut Registration, dice: &mut Random) {
        let (person, day) = (visit.person, visit.day);
        let true_name = match &person.former {
            Some((changed, former)) if day < *changed => former,
            _ => &person.name,
        };
        row.name.clone_from(true_name);
        let spelt = |row: &mut Registration, kind: Kind, name: Option<String>| {
            if let Some(name) = name {
                row.name = name;
                row.kinds.add(kind);
            }
        };
        match person.origin {
            Origin::Foreign => {
                if dice.chance(self.rates.of(Kind::ForeignOrder)) {
                    let name = self.spelling.foreign(&row.name, dice);
                    spelt(row, Kind::ForeignOrder, Some(name));
                }
                return;
            }
            Origin::Dotted => {
                if !visit.read && self.slips(visit, Kind::Transliteration, 1.0, dice) {
                    let name = self.spelling.transliterate(&row.name, dice);
                    spelt(row, Kind::Transliteration, name);
                }
                if dice.chance(self.rates.of(Kind::DotVariant)) {
                    let name = self.spelling.dot(&row.name, dice);
                    spelt(row, Kind::DotVariant, name);
                }
            }
            _ => {}
        }
        if visit.read {
            return;
        }
        if person.traits.has(Kind::RareName) && dice.chance(self.rates.of(Kind::RareCharacter)) {
            let name = self.spelling.without_rare(&row.name, dice);
            spelt(row, Kind::RareCharacter, name);
        }
        // One misspelling at most, the commonest first.
        if person.age(day) < 7 && self.slips(visit, Kind::ChildNickname, 1.0, dice) {
            let name = self.spelling.nickname(&row.name, dice);
            spelt(row, Kind::ChildNickname, name);
        } else if self.slips(visit, Kind::NameHomophone, 1.0, dice) {
            let name = self.spelling.homophone(&row.name, dice);
            spelt(row, Kind::NameHomophone, name);
        } else if self.slips(visit, Kind::NameShape, 1.0, dice) {
            let name = self.spelling.look_alike(&row.name, dice);
            spelt(row, Kind::NameShape, name);
        } else if self.slips(visit, Kind::NameCut, 1.0, dice) {
            let name = self.spelling.cut(&row.name, person.woman, dice);
            spelt(row, Kind::NameCut, Some(name));
        } else if self.slips(visit, Kind::NamePinyin, 1.0, dice) {
            let name = self.spelling.pinyin(&row.name, dice);
            spelt(row, Kind::NamePinyin, name);
        } else if self.slips(visit, Kind::NameTraditional, 1.0, dice) {
            let name = self.spelling.traditional(&row.name);
            spelt(row, Kind::NameTraditional, name);
        }
    }

    fn birth_and_sex(&self, visit: &Visit<'_>, row: &mut Registration, dice: &mut Random) {
        let person = visit.person;
        let birth = person.birth;
        row.birth_date = birth.to_string();
        row.sex = if person.woman { "2" } else { "1" };
        if visit.read {
            return;
        }
        // Most programs take the date and the sex from the number where there is one of the right length.
        let share = if row.citizen_id == person.citizen && !person.citizen.is_empty() { 0.25 } else { 1.0 };
        let made = if birth.year() < 1975 && self.slips(visit, Kind::BirthLunar, share, dice) {
            let (month, day) = crate::lunar::lunar(birth);
            NaiveDate::from_ymd_opt(birth.year(), month, day).map(|date| (Kind::BirthLunar, date))
        } else if self.slips(visit, Kind::BirthDefault, share, dice) {
            NaiveDate::from_ymd_opt(birth.year(), 1, 1).map(|date| (Kind::BirthDefault, date))
        } else if self.slips(visit, Kind::BirthYear, share, dice) {
            let off = [-1, 1, -1, -10, 10, -2, 2, 1][dice.below(8)];
            birth.with_year(birth.year() + off).map(|date| (Kind::BirthYear, date))
        } else if self.slips(visit, Kind::BirthDay, share, dice) {
            let (month, day) = (birth.month(), birth.day());
            let other = match dice.below(3) {
                0 => birth.with_month((month + 9) % 12 + 1),
                1 => birth.with_day((day + 9) % 28 + 1),
                _ => birth.with_day(if day > 1 { day - 1 } else { 2 }),
            };
            other.map(|date| (Kind::BirthDay, date))
        } else if self.slips(visit, Kind::BirthSwapped, share, dice) {
            NaiveDate::from_ymd_opt(birth.year(), birth.day(), birth.month())
                .map(|date| (Kind::BirthSwapped, date))
        } else {
            None
        };
        let today = first_day() + TimeDelta::days(i64::from(visit.day));
        if let Some((kind, date)) = made.filter(|(_, date)| *date != birth && *date <= today) {
            row.birth_date = date.to_string();
            row.kinds.add(kind);
        } else if self.slips(visit, Kind::BirthMissing, share, dice) {
            row.birth_date.clear();
            row.kinds.add(Kind::BirthMissing);
        }
        if self.slips(visit, Kind::SexWrong, share, dice) {
            row.sex = if person.woman { "1" } else { "2" };
            row.kinds.add(Kind::SexWrong);
        }
    }

    fn contact(&self, visit: &Visit<'_>, row: &mut Registration, dice: &mut Random) {
        let (person, people, day) = (visit.person, &visit.household.people, visit.day);
        let child = person.age(day) < 14;
        let missing = self.rates.of(Kind::ContactMissing) * if child { 0.5 } else { 1.08 };
        let relative = if child {
            // Children left in the village come with a grandparent.
            let grandparent = person.father.and_then(|f| people[f].mother.or(people[f].father));
            match (person.mother, person.father, grandparent) {
                (_, _, Some(old)) if dice.chance(0.15) => Some((old, "61")),
                (Some(mother), father, _) if father.is_none() || dice.chance(0.62) => Some((mother, "52")),
                (mother, Some(father), _) => Some((father, "51")).or(mother.map(|m| (m, "52"))),
                _ => None,
            }
        } else if let Some(spouse) = person.spouse.filter(|_| dice.chance(0.7)) {
            Some((spouse, if people[spouse].woman { "12" } else { "11" }))
        } else {
            let me = visit.who;
            let child = people
                .iter()
                .position(|p| (p.mother == Some(me) || p.father == Some(me)) && p.age(day) >= 18)
                .map(|at| (at, if people[at].woman { "30" } else { "20" }));
            child.or(person.mother.map(|m| (m, "52"))).or(person.father.map(|f| (f, "51")))
        };
        match relative {
            Some((other, relation)) if !dice.chance(missing) => {
                row.contact_name.clone_from(&people[other].name);
                row.contact_relation = relation;
                row.contact_phone = at(&people[other].phones, day).cloned().unwrap_or_default();
            }
            _ => row.kinds.add(Kind::ContactMissing),
        }
    }

    fn phone(&self, visit: &Visit<'_>, row: &mut Registration, village: bool, dice: &mut Random) {
        let (person, people, day) = (visit.person, &visit.household.people, visit.day);
        if dice.chance(self.rates.of(Kind::PhoneMissing)) {
            row.kinds.add(Kind::PhoneMissing);
            return;
        }
        if dice.chance(self.rates.of(Kind::PhoneShared) * if village { 3.0 } else { 0.62 }) {
            // The desk's own, one of two.
            let mut desk = Random::of(self.seed, &[0xde5c, visit.institution as u64, dice.below(2) as u64]);
            row.phone = format!("13{:09}", desk.below(1_000_000_000));
            row.kinds.add(Kind::PhoneShared);
            return;
        }
        if let Some(own) = at(&person.phones, day) {
            row.phone.clone_from(own);
            if person.phones.first().map(|(_, p)| p) != Some(own) {
                row.kinds.add(Kind::PhoneChanged);
            }
        } else if !row.contact_phone.is_empty() {
            row.phone.clone_from(&row.contact_phone);
        } else {
            let family = people.iter().filter(|p| p.age(day) >= 18).find_map(|p| at(&p.phones, day));
            row.phone = family.cloned().unwrap_or_default();
        }
        if row.phone.len() == 11 && self.slips(visit, Kind::PhoneDigit, 1.0, dice) {
            let place = 3 + dice.below(8);
            let old = row.phone.as_bytes()[place] - b'0';
            let new = (old + 1 + dice.below(9) as u8) % 10;
            row.phone = format!("{}{new}{}", &row.phone[..place], &row.phone[place + 1..]);
            row.kinds.add(Kind::PhoneDigit);
        }
    }

    fn address(&self, visit: &Visit<'_>, row: &mut Registration, dice: &mut Random) {
        let Some(home) = at(&visit.person.homes, visit.day) else { return };
        let county = &self.city.counties[home.county];
        let town = &county.townships[home.township];
        let village = &town.villages[home.village];
        village.code.as_str().clone_into(&mut row.region);
        if dice.chance(self.rates.of(Kind::AddressMissing)) {
            row.kinds.add(Kind::AddressMissing);
            row.region = format!("{}000000", &row.region[..6]);
            return;
        }
        let short = dice.chance(self.rates.of(Kind::AddressShort));
        let mut text = String::with_capacity(96);
        if short {
            row.kinds.add(Kind::AddressShort);
            if dice.chance(0.4) {
                text.push_str(&county.division.name);
            }
        } else {
            text.push_str(&self.city.above);
            text.push_str(&county.division.name);
        }
        text.push_str(&town.division.name);
        if dice.chance(self.rates.of(Kind::AddressTownship)) {
            row.kinds.add(Kind::AddressTownship);
            row.region = format!("{}000", &row.region[..9]);
        } else {
            let variant = dice.chance(self.rates.of(Kind::AddressVariant));
            if variant {
                row.kinds.add(Kind::AddressVariant);
            }
            spot_text(home, &village.name, variant, &mut text, dice);
        }
        row.address = text;
    }
}

fn spot_text(home: &Home, village: &str, variant: bool, text: &mut String, dice: &mut Random) {
    use std::fmt::Write;
    let way = if variant { dice.below(5) } else { 9 };
    // Writing to a string cannot fail.
    let _ = match (&home.spot, way) {
        (Spot::Village(group, number), 0) => write!(text, "{village}委会{group}组{number}号"),
        (Spot::Village(group, _), 1) => write!(text, "{village}{group}组"),
        (Spot::Village(group, number), 2) => write!(text, "{village}{group}队{number}号"),
        (Spot::Village(group, number), 3) => write!(text, "{village}第{}组{number}", chinese(*group)),
        (Spot::Village(..), 4) => write!(text, "{village}"),
        (Spot::Village(group, number), _) => write!(text, "{village}{group}组{number}号"),
        (Spot::Estate(name, building, unit, room), 0) => write!(text, "{name}{building}-{unit}-{room}"),
        (Spot::Estate(name, building, _, room), 1) => write!(text, "{name}{building}号楼{room}"),
        (Spot::Estate(name, building, unit, room), 2) => {
            write!(text, "{village}{name}{}栋{unit}单元{room}", chinese(*building))
        }
        (Spot::Estate(name, building, ..), 3) => write!(text, "{name}{building}栋"),
        (Spot::Estate(name, ..), 4) => write!(text, "{name}"),
        (Spot::Estate(name, building, unit, room), _) => {
            write!(text, "{village}{name}{building}栋{unit}单元{room}室")
        }
    };
}

/// A number below 100 in Chinese.
fn chinese(number: u32) -> String {
    let digits: Vec<char> = "零一二三四五六七八九".chars().collect();
    let digit = |n: u32| digits.get(n as usize).copied().unwrap_or('零');
    match (number / 10, number % 10) {
        (0, ones) => digit(ones).to_string(),
        (1, 0) => "十".to_owned(),
        (1, ones) => format!("十{}", digit(ones)),
        (tens, 0) => format!("{}十", digit(tens)),
        (tens, ones) => format!("{}十{}", digit(tens), digit(ones)),
    }
}
