//! Households of invented people.

use std::collections::HashMap;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use kernel::RegionCode;
use standards::identifiers::CitizenId;

use crate::illness::CHRONIC;
use crate::names::Names;
use crate::places::City;
use crate::random::Random;
use crate::{Fault, Plan};

/// Where a household lives.
#[derive(Debug, Clone, Copy)]
pub struct Home {
    /// Position of the county.
    pub county: usize,
    /// Position of the township in it.
    pub township: usize,
    /// Position of the village in it.
    pub village: usize,
    /// The village clinic they go to, if there is one near.
    pub clinic: Option<usize>,
}

/// An allergy.
#[derive(Debug)]
pub struct Allergen {
    /// Code of CV05.01.038.
    pub kind: &'static str,
    /// Name.
    pub name: &'static str,
    /// Medicine of `drug_common`, if it is one.
    pub drug: Option<&'static str>,
    /// Its family: first and last code of `drug_common` that the person must not be given.
    pub family: Option<(&'static str, &'static str)>,
    /// What happens.
    pub reaction: &'static str,
}

impl Allergen {
    /// Whether a medicine is of its family.
    #[must_use]
    pub fn forbids(&self, code: &str) -> bool {
        self.family.is_some_and(|(first, last)| (first..=last).contains(&code))
    }
}

/// The allergies people have, commonest first.
pub const ALLERGENS: &[Allergen] = &[
    Allergen {
        kind: "101",
        name: "青霉素",
        drug: Some("D0005"),
        family: Some(("D0001", "D0008")),
        reaction: "皮疹、瘙痒，皮试阳性",
    },
    Allergen {
        kind: "103",
        name: "头孢类抗生素",
        drug: Some("D0018"),
        family: Some(("D0009", "D0021")),
        reaction: "全身荨麻疹",
    },
    Allergen {
        kind: "102",
        name: "磺胺类药物",
        drug: Some("D0037"),
        family: Some(("D0037", "D0037")),
        reaction: "固定性药疹",
    },
    Allergen { kind: "299", name: "海鲜", drug: None, family: None, reaction: "口唇肿胀、风团" },
    Allergen { kind: "301", name: "花粉", drug: None, family: None, reaction: "喷嚏、流涕、眼痒" },
    Allergen { kind: "105", name: "酒精", drug: None, family: None, reaction: "皮肤潮红、瘙痒" },
];

/// A death to come.
#[derive(Debug, Clone)]
pub struct Death {
    /// When.
    pub at: NaiveDateTime,
    /// Direct cause, then what led to it (the last is the underlying one).
    pub causes: &'static [&'static str],
}

/// A relative to call.
#[derive(Debug, Clone)]
pub struct Kin {
    /// Name.
    pub name: String,
    /// Code of GB/T 4761.
    pub relation: &'static str,
    /// Telephone.
    pub phone: String,
}

/// An invented person.
#[derive(Debug, Clone)]
pub struct Person {
    /// Number in the city, from 0.
    pub number: u64,
    /// Name.
    pub name: String,
    /// A woman.
    pub woman: bool,
    /// Date of birth.
    pub birth: NaiveDate,
    /// Citizen number; given to the newborn some weeks after birth.
    pub citizen: String,
    /// Telephone.
    pub phone: String,
    /// Home.
    pub home: Home,
    /// Village.
    pub region: RegionCode,
    /// Address.
    pub address: String,
    /// GB 3304
    pub ethnicity: &'static str,
    /// GB/T 2261.2
    pub marital: &'static str,
    /// GB/T 2261.4
    pub occupation: &'static str,
    /// GB/T 4658
    pub education: &'static str,
    /// CV02.01.204
    pub insurance: &'static str,
    /// Blood group.
    pub abo: &'static str,
    /// Rh.
    pub rh: &'static str,
    /// Allergy.
    pub allergy: Option<&'static Allergen>,
    /// Positions in [`CHRONIC`], with the year since when.
    pub chronic: Vec<(usize, i32)>,
    /// How badly controlled: 1 well to 3 badly.
    pub control: u8,
    /// Height in cm.
    pub height: f64,
    /// Weight in kg.
    pub weight: f64,
    /// Cigarettes a day.
    pub cigarettes: i64,
    /// Liang of liquor a day.
    pub alcohol: f64,
    /// Relative.
    pub kin: Option<Kin>,
    /// Death within the time of the demonstration.
    pub death: Option<Death>,
}

impl Person {
    /// Whether the person may be given a medicine of `drug_common`.
    #[must_use]
    pub fn tolerates(&self, code: &str) -> bool {
        !self.allergy.is_some_and(|a| a.forbids(code))
    }

    /// Age in years on a day.
    #[must_use]
    pub fn age(&self, on: NaiveDate) -> i64 {
        let years = on.year() - self.birth.year();
        let before = (on.month(), on.day()) < (self.birth.month(), self.birth.day());
        i64::from(years - i32::from(before)).max(0)
    }

    /// Sex code.
    #[must_use]
    pub fn sex(&self) -> &'static str {
        if self.woman { "2" } else { "1" }
    }

    /// Whether the person has a chronic disease.
    #[must_use]
    pub fn has(&self, chronic: usize) -> bool {
        self.chronic.iter().any(|(c, _)| *c == chronic)
    }
}

/// A birth to come in a household.
#[derive(Debug)]
pub struct Birth {
    /// Position of the mother.
    pub mother: usize,
    /// Position of the father, if he lives there.
    pub father: Option<usize>,
    /// Position of the child.
    pub child: usize,
    /// When.
    pub at: NaiveDateTime,
}

/// People who live together.
#[derive(Debug)]
pub struct Household {
    /// The people.
    pub people: Vec<Person>,
    /// Births during the time of the demonstration.
    pub births: Vec<Birth>,
}

/// Makes households one after another.
#[derive(Debug)]
pub struct Population<'a> {
    plan: &'a Plan,
    city: &'a City,
    names: &'a Names,
    serials: HashMap<(u32, NaiveDate, bool), u16>,
    households: u64,
    people: u64,
}

/// What a household is made of: ages of its members as (from, to, woman), and its share.
type Mould = (f64, &'static [(i64, i64, bool)]);

const MOULDS: &[Mould] = &[
    (9.0, &[(66, 84, false), (64, 82, true)]),
    (4.0, &[(68, 90, true)]),
    (2.0, &[(40, 78, false)]),
    (11.0, &[(46, 63, false), (45, 61, true)]),
    (10.0, &[(48, 60, false), (46, 58, true), (20, 29, false)]),
    (8.0, &[(46, 58, false), (45, 57, true), (18, 27, true)]),
    (9.0, &[(26, 40, false), (25, 38, true), (0, 9, false)]),
    (8.0, &[(27, 42, false), (26, 40, true), (1, 12, true), (0, 6, false)]),
    (10.0, &[(34, 47, false), (33, 45, true), (8, 19, false), (5, 16, true)]),
    (9.0, &[(58, 72, false), (57, 70, true), (30, 44, false), (29, 42, true), (1, 15, false)]),
    (6.0, &[(60, 74, true), (31, 44, false), (30, 42, true), (2, 14, true), (0, 8, false)]),
    (4.0, &[(23, 31, false), (22, 29, true)]),
];

const DEATHS: &[(f64, &[&str])] = &[
    (4.0, &["I63.900", "I10.x00x002"]),
    (4.0, &["I21.900", "I25.100"]),
    (3.0, &["J96.900", "J44.900"]),
    (3.0, &["I61.900", "I10.x00x002"]),
    (2.5, &["C34.900"]),
    (1.5, &["C16.900"]),
    (1.5, &["I50.900", "I25.100"]),
    (1.0, &["J18.900", "I69.300"]),
];

impl<'a> Population<'a> {
    /// The population of a city.
    #[must_use]
    pub fn new(plan: &'a Plan, city: &'a City, names: &'a Names) -> Self {
        Self { plan, city, names, serials: HashMap::new(), households: 0, people: 0 }
    }

    /// People made so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.people
    }

    /// The next household.
    pub fn household(&mut self) -> Result<Household, Fault> {
        let mut dice = Random::of(self.plan.seed, &[0x40e, self.households]);
        self.households += 1;
        let home = self.home(&mut dice);
        let mould = MOULDS[dice.weighted(MOULDS.iter().map(|(w, _)| *w))].1;
        let (his, hers) = (self.names.surname(&mut dice), self.names.surname(&mut dice));
        let building = dice.between(1, 260);
        let mut household = Household { people: Vec::with_capacity(mould.len() + 1), births: Vec::new() };
        for (from, to, woman) in mould {
            let age = dice.between(*from, *to);
            let day = self.plan.first_day() - TimeDelta::days(age * 365 + age / 4 + dice.between(0, 364));
            // Wives keep their names; grandmothers have married in too.
            let surname = if *woman && age > 22 { hers } else { his };
            let surname = if *woman && age > 55 { self.names.surname(&mut dice) } else { surname };
            let person = self.person(surname, *woman, day, home, building, &mut dice)?;
            household.people.push(person);
        }
        self.families(&mut household, &mut dice)?;
        for person in &mut household.people {
            person.death = self.death(person, &mut dice);
        }
        Ok(household)
    }

    fn home(&self, dice: &mut Random) -> Home {
        let county = dice.below(self.city.counties.len());
        let township = dice.below(self.city.counties[county].townships.len());
        let place = &self.city.counties[county].townships[township];
        // Most people live in the larger villages near the centre.
        let village = dice.below(place.villages.len()).min(dice.below(place.villages.len()));
        let clinic = (dice.chance(0.75) && !place.clinics.is_empty()).then(|| *dice.pick(&place.clinics));
        Home { county, township, village, clinic }
    }

    fn families(&mut self, household: &mut Household, dice: &mut Random) -> Result<(), Fault> {
        let start = self.plan.first_day();
        let adults: Vec<usize> =
            (0..household.people.len()).filter(|i| household.people[*i].age(start) >= 22).collect();
        for mother in adults.clone() {
            let (age, woman) = (household.people[mother].age(start), household.people[mother].woman);
            let father = adults
                .iter()
                .copied()
                .find(|i| !household.people[*i].woman && (household.people[*i].age(start) - age).abs() <= 8);
            let wanted = if (23..=38).contains(&age) { 0.058 * f64::from(self.plan.years) } else { 0.0 };
            let (Some(father), true) = (father, woman && dice.chance(wanted)) else { continue };
            let day = start + TimeDelta::days(dice.between(0, self.plan.days() as i64 - 1));
            let at = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(dice.between(0, 1439));
            if at >= self.plan.until {
                continue;
            }
            let surname: String = household.people[father].name.chars().take(1).collect();
            let (home, woman) = (household.people[mother].home, dice.chance(0.48));
            let building = dice.between(1, 260);
            let mut child = self.person(&surname, woman, at.date(), home, building, dice)?;
            child.address.clone_from(&household.people[mother].address);
            child.phone.clone_from(&household.people[mother].phone);
            household.births.push(Birth { mother, father: Some(father), child: household.people.len(), at });
            household.people.push(child);
        }
        // Everybody has somebody to call.
        for i in 0..household.people.len() {
            let age = household.people[i].age(start);
            let other = (0..household.people.len())
                .filter(|j| *j != i && household.people[*j].age(start) >= 18)
                .max_by_key(|j| {
                    let other = household.people[*j].age(start);
                    if age >= 18 { -(other - age).abs() } else { -(other - age - 27).abs() }
                });
            let Some(j) = other else { continue };
            let kin = &household.people[j];
            let gap = kin.age(start) - age;
            let relation = match (gap, kin.woman) {
                (16.., _) => "5",
                (-15..=15, true) if !household.people[i].woman => "12",
                (-15..=15, false) if household.people[i].woman => "11",
                (-15..=15, _) => "7",
                (_, true) => "3",
                (_, false) => "2",
            };
            let kin = Kin { name: kin.name.clone(), relation, phone: kin.phone.clone() };
            household.people[i].kin = Some(kin);
        }
        Ok(())
    }

    fn person(
        &mut self,
        surname: &str,
        woman: bool,
        birth: NaiveDate,
        home: Home,
        building: i64,
        dice: &mut Random,
    ) -> Result<Person, Fault> {
        let number = self.people;
        self.people += 1;
        let county = &self.city.counties[home.county];
        let town = &county.townships[home.township];
        let village = &town.villages[home.village];
        let today = self.plan.today();
        let age = i64::from(today.year() - birth.year());
        let citizen = self.citizen(&county.division.code, birth, woman)?;
        let phone = if age < 14 && dice.chance(0.9) {
            String::new()
        } else {
            let front = dice.pick(&[
                "130", "131", "135", "136", "137", "138", "139", "150", "151", "158", "159", "182", "183",
                "187", "188", "199",
            ]);
            format!("{front}{:08}", dice.below(100_000_000))
        };
        let (schooling, job) = (dice.below(10), dice.below(20));
        let education = match age {
            ..=6 => "90",
            7..=12 => "80",
            13..=15 => "70",
            16..=40 => ["21", "21", "21", "31", "31", "31", "61", "61", "61", "61"][schooling],
            41..=62 => ["71", "71", "71", "71", "71", "71", "61", "61", "81", "81"][schooling],
            _ => ["81", "81", "81", "81", "81", "71", "71", "90", "90", "90"][schooling],
        };
        let occupation = match (age, job) {
            (..=6, _) => "90",
            (7..=22, _) => "31",
            (62.., 0..=3) => "80",
            (_, 0 | 1) => "13",
            (_, 2 | 3) => "17",
            (..62, 4..=6) => "24",
            (_, 7 | 8) => "54",
            (_, 9) => "51",
            _ => "27",
        };
        let start = self.plan.first_day();
        let years = i64::from(start.year() - birth.year());
        let band = match years {
            ..35 => 0,
            35..45 => 1,
            45..55 => 2,
            55..65 => 3,
            65..75 => 4,
            _ => 5,
        };
        let mut chronic = Vec::new();
        for (position, disease) in CHRONIC.iter().enumerate() {
            let factor =
                if woman { 2.0 / (1.0 + disease.men) } else { 2.0 * disease.men / (1.0 + disease.men) };
            // Diabetics have high blood pressure more often, and the other way round.
            let burden = if chronic.is_empty() { 0.9 } else { 1.5 };
            if years >= 18 && dice.chance(disease.shares[band] * factor * burden) {
                chronic.push((position, (start.year() - dice.between(1, 14) as i32).max(birth.year() + 18)));
            }
        }
        let height = match years {
            ..1 => 68.0,
            1..18 => 76.0 + 5.6 * years as f64,
            _ if woman => 158.0,
            _ => 169.0,
        };
        let height = dice.normal(height, 4.0).clamp(50.0, 195.0).min(if woman { 178.0 } else { 190.0 });
        let bmi = dice
            .normal(if years < 18 { 17.5 } else { 23.8 + 0.9 * chronic.len().min(3) as f64 }, 2.4)
            .clamp(14.0, 38.0);
        Ok(Person {
            number,
            name: self.names.name(surname, woman, birth.year(), dice),
            woman,
            birth,
            citizen,
            phone,
            home,
            region: village.code,
            address: format!(
                "{}{}{}{}{building}号",
                self.city.above, county.division.name, town.division.name, village.name
            ),
            ethnicity: if dice.chance(0.985) { "01" } else { "03" },
            marital: match (age, dice.below(20)) {
                (..=22, _) => "10",
                (23..=30, 0..=9) => "10",
                (66.., 0..=6) => "30",
                (_, 19) => "40",
                _ => "20",
            },
            occupation,
            education,
            insurance: if matches!(occupation, "13" | "17" | "24" | "80") { "01" } else { "03" },
            abo: ["1", "2", "3", "4"][dice.weighted([0.30, 0.27, 0.34, 0.09].into_iter())],
            rh: if dice.chance(0.996) { "2" } else { "1" },
            allergy: dice
                .chance(0.05)
                .then(|| &ALLERGENS[dice.below(ALLERGENS.len()).min(dice.below(ALLERGENS.len()))]),
            chronic,
            control: [1, 1, 2, 2, 3][dice.below(5)],
            height: (height * 10.0).round() / 10.0,
            weight: (bmi * height * height / 1000.0).round() / 10.0,
            cigarettes: if !woman && years >= 18 && dice.chance(0.45) { dice.between(2, 25) } else { 0 },
            alcohol: if !woman && years >= 18 && dice.chance(0.35) {
                dice.between(1, 5) as f64 / 2.0
            } else {
                0.0
            },
            kin: None,
            death: None,
        })
    }

    /// A citizen number that nobody else of the city has, with a serial number from 999 down.
    fn citizen(&mut self, county: &RegionCode, birth: NaiveDate, woman: bool) -> Result<String, Fault> {
        let division = &county.as_str()[..6];
        let used = self.serials.entry((division.parse().unwrap_or_default(), birth, woman)).or_default();
        let serial = 999u16.checked_sub(*used * 2 + u16::from(woman));
        *used += 1;
        serial
            .and_then(|serial| CitizenId::compose(division, birth, serial))
            .map(|id| id.as_str().to_owned())
            .ok_or_else(|| {
                Fault::Divisions(format!(
                    "不能为区划 {division}、出生日期 {birth} 编出身份证号码。人数是否过多？"
                ))
            })
    }

    fn death(&self, person: &Person, dice: &mut Random) -> Option<Death> {
        let age = person.age(self.plan.first_day());
        let yearly = match age {
            ..40 => 0.000_4,
            40..60 => 0.002,
            60..70 => 0.009,
            70..80 => 0.027,
            _ => 0.09,
        };
        let years = f64::from(self.plan.years);
        if age < 30 || !dice.chance(yearly * years) {
            return None;
        }
        let day = self
            .plan
            .first_day()
            .checked_add_days(Days::new(dice.below(self.plan.days() as usize) as u64))?;
        let at = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(dice.between(0, 1439));
        let causes = DEATHS[dice.weighted(DEATHS.iter().map(|(w, _)| *w))].1;
        (at < self.plan.until).then_some(Death { at, causes })
    }
}
