//! What happens to one person after another.

use catalog::CodeTables;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use kernel::Tier;

use crate::clerk::{Place, Slip, slip};
use crate::illness::{ADMISSIONS, AILMENTS, Ailment, CHRONIC, DELIVERIES, DIABETES, HYPERTENSION};
use crate::laboratory::{Panel, State};
use crate::medicine::{DRUGS, drug};
use crate::outpatient::Visit;
use crate::output::Output;
use crate::people::{ALLERGENS, Household, Person};
use crate::places::{City, Department, Doctor, Institution, Kind, Township};
use crate::random::Random;
use crate::sheet::{At, On, Row, Sheets};
use crate::{Fault, Plan, community, vital};

/// Tells the lives of households.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    plan: &'a Plan,
    city: &'a City,
    tables: &'a CodeTables,
    /// Running number of visits, stays, reports …
    serial: u64,
}

/// One person's life while it is told.
pub(crate) struct Scene<'x, 'o> {
    pub plan: &'x Plan,
    pub city: &'x City,
    pub tables: &'x CodeTables,
    pub sheets: &'x Sheets,
    pub out: &'x mut Output<'o>,
    pub person: &'x Person,
    pub dice: Random,
    serial: &'x mut u64,
    /// First contact with each institution.
    contacts: Vec<(usize, NaiveDateTime)>,
}

impl<'a> Teller<'a> {
    /// A teller; fails when the code tables lack what it tells.
    pub(crate) fn new(plan: &'a Plan, city: &'a City, tables: &'a CodeTables) -> Result<Self, Fault> {
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        wanted.extend(DRUGS.iter().map(|d| ("drug_common", d.code)));
        wanted.extend(ALLERGENS.iter().filter_map(|a| a.drug).map(|d| ("drug_common", d)));
        wanted.extend(AILMENTS.iter().map(|a| ("icd10", a.code)));
        wanted.extend(AILMENTS.iter().filter_map(|a| a.notifiable).map(|n| ("notifiable_disease", n)));
        wanted.extend(CHRONIC.iter().map(|c| ("icd10", c.code)));
        wanted.extend(Panel::ALL.iter().flat_map(|p| p.items()).map(|i| ("lab_item", i.code)));
        for stay in ADMISSIONS.iter().chain(&DELIVERIES) {
            wanted.push(("icd10", stay.code));
            wanted.extend(stay.operation.map(|o| ("icd9cm3", o.0)));
            wanted.extend(stay.drugs.iter().map(|d| ("drug_common", *d)));
        }
        wanted.extend(community::SCHEDULE.iter().map(|v| ("vaccine_national", v.code)));
        let missing: Vec<String> = wanted
            .into_iter()
            .filter(|(table, code)| tables.get(table).is_none_or(|t| t.name_of(code).is_none()))
            .map(|(table, code)| format!("{table}.{code}"))
            .chain(unlisted())
            .collect();
        if missing.is_empty() {
            Ok(Self { plan, city, tables, serial: 0 })
        } else {
            Err(Fault::Codes(missing.join("、")))
        }
    }

    /// Tells what happens to a household.
    pub(crate) fn tell(
        &mut self,
        household: &Household,
        sheets: &Sheets,
        out: &mut Output<'_>,
    ) -> Result<(), Fault> {
        for (position, person) in household.people.iter().enumerate() {
            let mut scene = Scene {
                plan: self.plan,
                city: self.city,
                tables: self.tables,
                sheets,
                out: &mut *out,
                person,
                dice: Random::of(self.plan.seed, &[0x11fe, person.number]),
                serial: &mut self.serial,
                contacts: Vec::new(),
            };
            scene.live()?;
            for birth in &household.births {
                if birth.mother == position {
                    scene.deliver(birth)?;
                } else if birth.child == position {
                    let father = birth.father.and_then(|f| household.people.get(f));
                    vital::born(&mut scene, birth, &household.people[birth.mother], father)?;
                }
            }
            scene.registrations()?;
        }
        Ok(())
    }
}

/// Medicines named by illnesses that are not in our list.
fn unlisted() -> impl Iterator<Item = String> {
    let named = AILMENTS.iter().flat_map(|a| a.drugs).chain(CHRONIC.iter().flat_map(|c| c.drugs));
    named
        .chain(ADMISSIONS.iter().chain(&DELIVERIES).flat_map(|s| s.drugs))
        .filter(|d| drug(d).is_none())
        .map(|d| (*d).to_owned())
}

impl<'x> Scene<'x, '_> {
    /// A number that nobody had before.
    pub fn number(&mut self) -> u64 {
        *self.serial += 1;
        *self.serial
    }

    /// The township where the person lives.
    pub fn town(&self) -> &'x Township {
        let home = self.person.home;
        &self.city.counties[home.county].townships[home.township]
    }

    /// An institution.
    pub fn institution(&self, institution: usize) -> &'x Institution {
        &self.city.institutions[institution]
    }

    /// The name of a code.
    pub fn name_of(&self, table: &str, code: &'static str) -> &'x str {
        let tables: &'x CodeTables = self.tables;
        tables.display(table, code)
    }

    /// A department and one of its doctors.
    pub fn staff(&mut self, institution: usize, departments: &[&str]) -> (&'x Department, &'x Doctor) {
        let department = self.institution(institution).department(departments);
        (department, self.dice.pick(&department.doctors))
    }

    /// Another doctor of the institution.
    pub fn colleague(&mut self, institution: usize) -> &'x str {
        let departments = &self.institution(institution).departments;
        let department = self.dice.below(departments.len());
        &self.dice.pick(&departments[department].doctors).name
    }

    /// A time in opening hours.
    pub fn opening(&mut self, day: NaiveDate) -> NaiveDateTime {
        let minute =
            if self.dice.chance(0.6) { self.dice.between(480, 690) } else { self.dice.between(840, 1_035) };
        day.and_time(NaiveTime::MIN)
            + TimeDelta::minutes(minute)
            + TimeDelta::seconds(self.dice.between(0, 59))
    }

    /// Whether the person lives at a time that is told.
    pub fn present(&self, at: NaiveDateTime) -> bool {
        at <= self.plan.until
            && at.date() >= self.person.birth
            && self.person.death.as_ref().is_none_or(|d| at < d.at)
    }

    /// The institution's own number of the person.
    pub fn local_no(&self, institution: usize) -> String {
        format!("{}{:08}", self.institution(institution).mark, 10_000_000 + self.person.number)
    }

    /// Whether the institution knows the citizen number: not of the newborn, nor of some others.
    fn credential(&self, institution: usize, at: NaiveDateTime) -> Option<&'x str> {
        let person: &'x Person = self.person;
        if self.slip(institution).is_some() {
            return None;
        }
        // Those born before the city's time had their numbers when the history was sent.
        if person.birth >= self.plan.first_day() && (at.date() - person.birth).num_days() < 60 {
            return None;
        }
        let mut dice = Random::of(self.plan.seed, &[0xc4ed, person.number, institution as u64]);
        (!dice.chance(0.03)).then_some(person.citizen.as_str())
    }

    /// What this institution took down otherwise than it is.
    fn slip(&self, institution: usize) -> Option<Slip> {
        // Of children the dates of everything that happened to them would not fit.
        if !self.plan.mistakes || self.person.age(self.plan.first_day()) < 7 {
            return None;
        }
        slip(self.plan.seed, self.person.number, institution, &self.person.name, self.person.birth)
    }

    fn meet(&mut self, institution: usize, at: NaiveDateTime) {
        match self.contacts.iter_mut().find(|(i, _)| *i == institution) {
            Some((_, first)) => *first = at.min(*first),
            None => self.contacts.push((institution, at)),
        }
    }

    /// A row with the person's number and name.
    pub fn row(&mut self, dataset: &'static str, institution: usize, at: NaiveDateTime) -> Row<'x> {
        self.meet(institution, at);
        let sheets: &'x Sheets = self.sheets;
        let mut row = sheets.row(dataset);
        row.put("patient_no", self.local_no(institution));
        if dataset != "lab_result" {
            match self.slip(institution).and_then(|s| s.name) {
                Some(heard) => row.put("patient_name", heard),
                None => row.put("patient_name", &self.person.name),
            };
        }
        row
    }

    /// A row with all that tells who the person is.
    pub fn full_row(&mut self, dataset: &'static str, institution: usize, at: NaiveDateTime) -> Row<'x> {
        let mut row = self.row(dataset, institution, at);
        let slip = self.slip(institution);
        let birth = slip.as_ref().and_then(|s| s.birth).unwrap_or(self.person.birth);
        row.put("sex", self.person.sex()).put("birth_date", On(birth));
        self.credentials(&mut row, institution, at);
        match slip {
            Some(slip) => row.put("phone", slip.phone),
            None => row.put("phone", &self.person.phone),
        };
        row
    }

    /// The credential, where it is known.
    pub fn credentials(&self, row: &mut Row<'_>, institution: usize, at: NaiveDateTime) {
        if let Some(number) = self.credential(institution, at) {
            row.put("credential_kind", "01").put("credential_no", number);
        }
    }

    /// Sends a row.
    pub fn send(&mut self, row: Row<'_>, institution: usize, sent: NaiveDateTime) -> Result<(), Fault> {
        self.out.write(row, institution, sent)
    }

    /// What shifts laboratory results.
    pub fn state(&self, at: NaiveDateTime) -> State {
        let age = self.person.age(at.date());
        State {
            child: age < 14,
            woman: self.person.woman,
            old: age > 60,
            sugar: if self.person.has(DIABETES) { self.person.control } else { 0 },
            lipids: self.person.has(2),
            ..State::default()
        }
    }

    fn live(&mut self) -> Result<(), Fault> {
        let person = self.person;
        let from = self.plan.first_day().max(person.birth);
        let to = person.death.as_ref().map_or(self.plan.today(), |d| d.at.date());
        let days = (to - from).num_days();
        if days >= 1 {
            let years = days as f64 / 365.0;
            self.acute(from, days, years)?;
            self.chronic(from, days, years)?;
            self.stays(from, days, years)?;
            community::followups(self, from, to)?;
            community::check_ups(self, from, to)?;
        }
        community::immunizations(self)?;
        if let Some(allergen) = person.allergy {
            vital::allergic(self, allergen)?;
        }
        if let Some(death) = &person.death {
            vital::died(self, death)?;
        }
        Ok(())
    }

    fn acute(&mut self, from: NaiveDate, days: i64, years: f64) -> Result<(), Fault> {
        let age = self.person.age(self.plan.today());
        let yearly = match age {
            ..2 => 3.6,
            2..6 => 2.8,
            6..15 => 1.4,
            15..45 => 0.8,
            45..65 => 1.1,
            _ => 1.4,
        };
        for _ in 0..self.dice.count(yearly * years) {
            let day = from + TimeDelta::days(self.dice.between(0, days));
            let (month, age, woman) = (day.month(), self.person.age(day), self.person.woman);
            let which = self.dice.weighted(AILMENTS.iter().map(|a| {
                let concerned = a.ages.0 <= age && age <= a.ages.1 && a.woman.is_none_or(|w| w == woman);
                if concerned { a.weight * a.season.weight(month) } else { 0.0 }
            }));
            let ailment = &AILMENTS[which];
            let at = self.opening(day);
            if self.present(at) {
                self.fall_ill(ailment, at)?;
            }
        }
        Ok(())
    }

    /// Where somebody goes with an illness.
    fn choose(&mut self, level: u8, departments: [&str; 2]) -> usize {
        let (home, age) = (self.person.home, self.person.age(self.plan.today()));
        let county = &self.city.counties[home.county];
        let maternal = departments[0] == "妇产科" || (age < 7 && departments[0] != "骨科");
        if maternal && level < 2 && self.dice.chance(0.22) {
            return county.maternal_child;
        }
        let place = self.dice.part();
        match level {
            0 if place < 0.55 => home.clinic.unwrap_or(self.town().centre),
            0 if place < 0.82 => self.town().centre,
            0 if place < 0.95 => county.hospital,
            1 if place < 0.60 => self.town().centre,
            1 if place < 0.90 => county.hospital,
            2 if place < 0.70 => county.hospital,
            _ => self.city.hospital,
        }
    }

    fn fall_ill(&mut self, ailment: &'static Ailment, at: NaiveDateTime) -> Result<(), Fault> {
        let mut level = ailment.level;
        // A centre that cannot tell sends on.
        if ailment.image.is_some_and(|i| !i.about().township) && self.dice.chance(0.2) {
            level = 2;
        }
        let institution = self.choose(level, ailment.departments);
        let kind = self.institution(institution).kind;
        let mut drugs = Vec::new();
        for (position, code) in ailment.drugs.iter().enumerate() {
            if (position == 0 || self.dice.chance(0.5))
                && drugs.len() < 3
                && self.person.tolerates(code)
                && let Some(drug) = drug(code)
            {
                drugs.push((drug, 1 + i64::from(self.dice.chance(0.2))));
            }
        }
        let mut panels = Vec::new();
        if kind != Kind::Village {
            let chance = if kind == Kind::Township { 0.3 } else { 0.5 };
            panels.extend(ailment.panels.iter().filter(|_| self.dice.chance(chance)).copied());
        }
        let image = ailment.image.filter(|i| match kind {
            Kind::Hospital => true,
            Kind::Township => i.about().township,
            _ => false,
        });
        let image = image.filter(|_| self.dice.chance(0.45));
        let mut state = self.state(at);
        state.infection = ailment.fever;
        state.flu = ailment.code == "J11.100";
        state.liver = ailment.code == "B16.900";
        state.urinary = ailment.code == "N39.000";
        let lasted = self.dice.between(1, 5);
        let visit = Visit {
            code: ailment.code,
            others: self.person.chronic.iter().take(1).map(|(c, _)| CHRONIC[*c].code).collect(),
            complaint: ailment.complaint.replace("{}", &format!("{lasted}天")),
            findings: ailment.findings,
            advice: ailment.advice,
            onset: Some(at - TimeDelta::days(lasted)),
            fever: ailment.fever > 0,
            departments: ailment.departments,
            drugs,
            panels,
            image,
            state,
            again: false,
        };
        let visit_no = self.visit(institution, at, &visit)?;
        if let Some(notifiable) = ailment.notifiable
            && kind != Kind::Village
        {
            vital::reported(self, institution, at, ailment, notifiable, &visit_no, lasted)?;
        }
        Ok(())
    }

    fn chronic(&mut self, from: NaiveDate, days: i64, years: f64) -> Result<(), Fault> {
        for (position, since) in self.person.chronic.clone() {
            let disease = &CHRONIC[position];
            for _ in 0..self.dice.count(disease.visits * years) {
                let day = from + TimeDelta::days(self.dice.between(0, days));
                let at = self.opening(day);
                if !self.present(at) {
                    continue;
                }
                let place = self.dice.part();
                let home = self.person.home;
                let institution = if place < 0.35 {
                    home.clinic.unwrap_or(self.town().centre)
                } else if place < 0.75 {
                    self.town().centre
                } else if place < 0.93 {
                    self.city.counties[home.county].hospital
                } else {
                    self.city.hospital
                };
                let kind = self.institution(institution).kind;
                let turn = (self.person.number as usize) % disease.drugs.len().max(1);
                let mut drugs = Vec::new();
                for offset in 0..2usize.min(disease.drugs.len()) {
                    let code = disease.drugs[(turn + offset) % disease.drugs.len()];
                    if let Some(drug) = drug(code)
                        && (offset == 0 || self.person.control > 1)
                    {
                        drugs.push((drug, (30 / drug.days).clamp(1, 4)));
                    }
                }
                let chance = match kind {
                    Kind::Hospital => 0.5,
                    Kind::Township => 0.25,
                    _ => 0.0,
                };
                let panels = disease.panels.iter().filter(|_| self.dice.chance(chance)).copied().collect();
                let image = disease.image.filter(|i| kind == Kind::Hospital || i.about().township);
                let image = image.filter(|_| self.dice.chance(chance * 0.5));
                let others = self
                    .person
                    .chronic
                    .iter()
                    .filter(|(c, _)| *c != position)
                    .take(2)
                    .map(|(c, _)| CHRONIC[*c].code);
                let visit = Visit {
                    code: disease.code,
                    others: others.collect(),
                    complaint: disease.complaint.replace("{}", &(day.year() - since).max(1).to_string()),
                    findings: "神志清，精神可，双肺呼吸音清，心律齐，双下肢无水肿。",
                    advice: "低盐低脂饮食，规律服药，定期监测，不适随诊。",
                    onset: None,
                    fever: false,
                    departments: disease.departments,
                    drugs,
                    panels,
                    image,
                    state: self.state(at),
                    again: true,
                };
                self.visit(institution, at, &visit)?;
            }
        }
        Ok(())
    }

    fn stays(&mut self, from: NaiveDate, days: i64, years: f64) -> Result<(), Fault> {
        let age = self.person.age(self.plan.today());
        let yearly = match age {
            ..6 => 0.06,
            6..45 => 0.03,
            45..65 => 0.07,
            _ => 0.15,
        };
        let sick = 1.0 + 0.3 * self.person.chronic.len().min(3) as f64;
        for _ in 0..self.dice.count(yearly * sick * years) {
            let day = from + TimeDelta::days(self.dice.between(0, days));
            let at = self.opening(day);
            let (age, woman) = (self.person.age(day), self.person.woman);
            let which = self.dice.weighted(ADMISSIONS.iter().map(|a| {
                let concerned = a.ages.0 <= age
                    && age <= a.ages.1
                    && a.woman.is_none_or(|w| w == woman)
                    && a.of.is_none_or(|c| self.person.has(c));
                if concerned { a.weight } else { 0.0 }
            }));
            let admission = &ADMISSIONS[which];
            if !self.present(at) || admission.ages.0 > age || admission.ages.1 < age {
                continue;
            }
            let home = self.person.home;
            let place = self.dice.part();
            let institution = if admission.township && place < 0.4 {
                self.town().centre
            } else if place < 0.8 {
                self.city.counties[home.county].hospital
            } else {
                self.city.hospital
            };
            self.stay(institution, at, admission)?;
        }
        Ok(())
    }

    fn deliver(&mut self, birth: &crate::people::Birth) -> Result<(), Fault> {
        let at = birth.at - TimeDelta::hours(self.dice.between(3, 20));
        let caesarean = usize::from(vital::caesarean(birth));
        let institution = vital::birth_place(self.city, self.person, birth);
        if self.present(at) {
            self.stay(institution, at, &DELIVERIES[caesarean])?;
        }
        Ok(())
    }

    fn registrations(&mut self) -> Result<(), Fault> {
        for (institution, first) in std::mem::take(&mut self.contacts) {
            let at = first - TimeDelta::minutes(6);
            let person = self.person;
            let at = if at.date() < person.birth { person.birth.and_time(NaiveTime::MIN) } else { at };
            let clerk = self.colleague(institution);
            let age = person.age(at.date());
            let mut row = self.full_row("patient", institution, at);
            let slip = self.slip(institution);
            let slipped = slip.is_some();
            let place = slip.map(|s| s.place);
            if place == Some(Place::County) {
                row.put("region", person.region.at(Tier::County));
            } else if place == Some(Place::Village) {
                row.put("region", person.region);
            }
            if !slipped {
                row.put("card_kind", "2")
                    .put("card_no", format_args!("{}{:09}", 60 + institution % 40, card(person.number)))
                    .put("address", &person.address)
                    .put("region", person.region)
                    .put("household_address", &person.address);
            }
            row.put("nationality", "CHN")
                .put("ethnicity", person.ethnicity)
                .put("marital", if age < 20 { "10" } else { person.marital })
                .put("occupation", person.occupation)
                .put("education", person.education)
                .put("insurance", person.insurance)
                .put("registered_at", At(at))
                .put("registrar_name", clerk)
                .put("revision_mark", 0);
            if self.institution(institution).kind != Kind::Village {
                row.put("blood_abo", person.abo).put("blood_rh", person.rh);
            }
            row.put("allergy_history", person.allergy.map_or("否认药物及食物过敏史", |a| a.name));
            let past: Vec<&str> =
                person.chronic.iter().map(|(c, _)| self.name_of("icd10", CHRONIC[*c].code)).collect();
            row.put("past_history", if past.is_empty() { "平素体健".to_owned() } else { past.join("、") });
            if person.has(HYPERTENSION) {
                row.put("family_history", "父亲有高血压病史");
            }
            if let Some(kin) = person.kin.as_ref().filter(|k| !slipped && !k.phone.is_empty()) {
                row.put("contact_name", &kin.name)
                    .put("contact_relation", kin.relation)
                    .put("contact_phone", &kin.phone);
            }
            self.send(row, institution, at)?;
        }
        Ok(())
    }
}

/// The number on the card of the `n`-th person: each another, and those of a family not one after the other.
fn card(n: u64) -> u64 {
    // A prime below ten digits, so that multiplying by anything mixes without meeting.
    n % 999_999_937 * 387_420_489 % 999_999_937
}
