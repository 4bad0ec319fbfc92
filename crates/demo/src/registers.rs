//! What the registers hold of the city: institutions in full, departments, beds, equipment, vehicles, licences, staff,
//! the county's consortium and practice at a second place. Everything is invented; every row says so by its institution.

use chrono::{Datelike, Days, NaiveDate};
use standards::identifiers::CitizenId;

use crate::Plan;
use crate::names::Names;
use crate::places::{City, Institution, Kind};
use crate::random::Random;

/// A row of a register: its code, and texts by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRow {
    /// Code of the register, e.g. `staff`.
    pub register: &'static str,
    /// Field and text.
    pub fields: Vec<(&'static str, String)>,
}

/// Somebody of whom an account is made and who therefore stands in the register.
#[derive(Debug, Clone)]
pub struct Known {
    /// Position of the institution in the city.
    pub institution: usize,
    /// Number there.
    pub staff_no: String,
    /// Name.
    pub name: String,
    /// Whether a doctor; otherwise somebody of the administration.
    pub doctor: bool,
}

struct Maker<'c> {
    plan: &'c Plan,
    names: &'c Names,
    rows: Vec<RegisterRow>,
    today: NaiveDate,
}

/// Clinical subjects of departments, by words in their names; the first that fits.
const SUBJECTS: [(&str, &str); 27] = [
    ("心血管", "03.04"),
    ("呼吸", "03.01"),
    ("内分泌", "03.07"),
    ("消化", "03.02"),
    ("神经内", "03.03"),
    ("肾内", "03.06"),
    ("普通外", "04.01"),
    ("骨科", "04.03"),
    ("泌尿", "04.04"),
    ("妇产", "05"),
    ("儿童保健", "09"),
    ("孕产", "06.02"),
    ("儿科", "07"),
    ("急诊", "20"),
    ("眼科", "10"),
    ("皮肤", "13"),
    ("口腔", "12"),
    ("耳鼻", "11"),
    ("感染", "16"),
    ("传染", "16"),
    ("肿瘤", "19"),
    ("精神", "15"),
    ("中医", "50"),
    ("全科", "02"),
    ("内科", "03"),
    ("外科", "04"),
    ("", "01"),
];

fn subject(department: &str) -> &'static str {
    SUBJECTS.iter().find(|(word, _)| department.contains(word)).map_or("01", |(_, code)| code)
}

/// The rows of every register in an order in which each finds what it refers to.
#[must_use]
pub fn registers(plan: &Plan, city: &City, known: &[Known]) -> Vec<RegisterRow> {
    let names = Names::new();
    let mut maker = Maker { plan, names: &names, rows: Vec::new(), today: plan.today() };
    for (at, institution) in city.institutions.iter().enumerate() {
        maker.institution(city, at, institution);
    }
    for (at, institution) in city.institutions.iter().enumerate() {
        maker.belongings(at, institution);
        maker.staff(at, institution, known);
    }
    maker.consortia(city);
    maker.rows
}

impl Maker<'_> {
    fn dice(&self, at: usize, what: u64) -> Random {
        Random::of(self.plan.seed, &[0x7e61, at as u64, what])
    }

    fn put(&mut self, register: &'static str, fields: &[(&'static str, String)]) {
        let fields = fields.iter().filter(|(_, text)| !text.is_empty()).cloned().collect();
        self.rows.push(RegisterRow { register, fields });
    }

    fn day(&self, ago: i64) -> String {
        let day = if ago >= 0 {
            self.today.checked_sub_days(Days::new(ago.unsigned_abs()))
        } else {
            self.today.checked_add_days(Days::new(ago.unsigned_abs()))
        };
        day.unwrap_or(self.today).to_string()
    }

    fn institution(&mut self, city: &City, at: usize, unit: &Institution) {
        let mut dice = self.dice(at, 1);
        let parent = city
            .counties
            .iter()
            .find_map(|county| {
                let town = county.townships.iter().find(|t| t.clinics.contains(&at));
                let centre = town.map(|t| t.centre);
                let under = county.townships.iter().any(|t| t.centre == at);
                centre.or(under.then_some(county.hospital))
            })
            .map(|p| city.institutions[p].code.clone())
            .unwrap_or_default();
        let (grade, rank) = match (unit.kind, at == city.hospital) {
            (Kind::Hospital, true) => ("3", "1"),
            (Kind::Hospital, _) | (Kind::MaternalChild, _) => ("2", "1"),
            (Kind::Township, _) => ("1", "1"),
            _ => ("9", "9"),
        };
        // Somewhere in the middle of the country, the same place for the same division.
        let number: u64 = unit.region.as_str().parse().unwrap_or(0);
        let mut place = Random::of(number / 1_000, &[7]);
        let (east, north) = (114.0 + place.part() * 1.6, 31.7 + place.part() * 0.9);
        let phone = format!("0376-6{:06}", dice.below(1_000_000));
        let name = unit.name.trim_start_matches("（演示）");
        let surname = self.names.surname(&mut dice);
        let head = self.names.name(surname, dice.chance(0.3), 1972, &mut dice);
        // One in eight has not filled in everything: the score has something to show.
        let careless = dice.chance(0.125);
        let or = |text: String| if careless { String::new() } else { text };
        let beds = beds_of(unit.kind, at == city.hospital);
        let fields = [
            ("code", unit.code.clone()),
            ("name", unit.name.clone()),
            ("class", unit.class.to_owned()),
            ("sender_class", unit.sender_class().to_owned()),
            ("region", unit.region.as_str().to_owned()),
            ("parent", parent),
            ("grade", grade.to_owned()),
            ("rank", rank.to_owned()),
            ("ownership", if unit.kind == Kind::Village { "12" } else { "11" }.to_owned()),
            ("management", "1".to_owned()),
            ("local_code", format!("YS{at:05}")),
            ("licence_no", format!("YS{}{at:04}", &unit.region.as_str()[..6])),
            ("address", format!("{name}（虚构地址）{}号", 1 + dice.below(300))),
            ("phone", phone),
            ("longitude", or(format!("{:.5}", east + dice.part() * 0.01))),
            ("latitude", or(format!("{:.5}", north + dice.part() * 0.01))),
            ("legal_person", or(head.clone())),
            ("principal", head),
            ("opened_on", format!("{}-07-01", 1952 + dice.below(50))),
            ("beds_planned", if beds == 0 { String::new() } else { beds.to_string() }),
            ("introduction", or(format!("{name}是为演示而虚构的医疗卫生机构，并不存在。"))),
        ];
        self.put("institution", &fields);
    }

    fn belongings(&mut self, at: usize, unit: &Institution) {
        let mut dice = self.dice(at, 2);
        let code = unit.code.clone();
        let hospital = matches!(unit.kind, Kind::Hospital | Kind::MaternalChild);
        let inpatient = hospital || unit.kind == Kind::Township;
        let wards = unit.departments.len().min(if hospital { 16 } else { 3 }).max(1);
        let planned = beds_of(unit.kind, at == 0) / wards;
        for (place, department) in unit.departments.iter().enumerate() {
            let fields = [
                ("institution", code.clone()),
                ("name", department.name.to_owned()),
                ("code", department.code.clone()),
                ("subject", subject(department.name).to_owned()),
                ("head", department.doctors[0].name.clone()),
                ("phone", format!("0376-6{:06}", dice.below(1_000_000))),
            ];
            self.put("department", &fields);
            if inpatient && place < wards {
                let open = planned + dice.below(5);
                let occupied = (open as f64 * (0.55 + dice.part() * 0.45)) as usize;
                let fields = [
                    ("institution", code.clone()),
                    ("department", department.name.to_owned()),
                    ("planned", planned.to_string()),
                    ("open_beds", open.to_string()),
                    ("occupied", occupied.to_string()),
                    ("as_of", self.day(1)),
                ];
                self.put("bed", &fields);
            }
        }
        let equipment: &[&str] = match unit.kind {
            Kind::Hospital => &["CT", "MR", "DSA", "DR", "US", "US", "ES", "HD", "VENT", "LAB", "ECG"],
            Kind::MaternalChild => &["DR", "US", "US", "MG", "LAB", "ECG"],
            Kind::Township => &["DR", "US", "LAB", "ECG"],
            Kind::Village | Kind::Cdc => &[],
        };
        for (turn, kind) in equipment.iter().enumerate() {
            let licensed = matches!(*kind, "CT" | "MR" | "DSA");
            let fields = [
                ("institution", code.clone()),
                ("asset_no", format!("SB{at:04}{turn:02}")),
                ("kind", (*kind).to_owned()),
                ("brand", format!("虚构医疗{}厂", ["一", "二", "三"][dice.below(3)])),
                ("model", format!("YS-{}{}", kind, 100 * (1 + dice.below(9)))),
                ("bought_year", (self.today.year() - dice.between(0, 12) as i32).to_string()),
                (
                    "price",
                    format!("{}", if licensed { dice.between(300, 1800) } else { dice.between(8, 160) }),
                ),
                (
                    "licence_no",
                    if licensed { format!("乙{}{:05}", self.today.year() - 3, at) } else { String::new() },
                ),
                ("state", if dice.chance(0.93) { "1" } else { "2" }.to_owned()),
            ];
            self.put("equipment", &fields);
        }
        let vehicles: &[(&str, &str)] = match unit.kind {
            Kind::Hospital => &[("1", "1"), ("1", "2"), ("2", "1")],
            Kind::MaternalChild => &[("1", "2")],
            Kind::Township => &[("1", "2")],
            Kind::Cdc => &[("5", "5"), ("6", "5"), ("7", "6")],
            Kind::Village => &[],
        };
        for (turn, (kind, purpose)) in vehicles.iter().enumerate() {
            let fields = [
                ("institution", code.clone()),
                ("plate", format!("演S{at:03}{turn}Y")),
                ("kind", (*kind).to_owned()),
                ("purpose", (*purpose).to_owned()),
                ("state", if dice.chance(0.9) { "1" } else { "2" }.to_owned()),
                ("bought_year", (self.today.year() - dice.between(0, 9) as i32).to_string()),
            ];
            self.put("vehicle", &fields);
        }
        if unit.kind != Kind::Cdc {
            // A few have run out or are about to: the reminder has something to show.
            let left = match dice.below(12) {
                0 => -dice.between(1, 40),
                1 => dice.between(1, 80),
                _ => dice.between(200, 1500),
            };
            let fields = [
                ("institution", code.clone()),
                ("kind", "01".to_owned()),
                ("number", format!("YS{}{at:04}", &unit.region.as_str()[..6])),
                ("issued_by", "（演示）卫生健康委员会".to_owned()),
                ("issued_on", self.day(1825 - left)),
                ("valid_until", self.day(-left)),
            ];
            self.put("licence", &fields);
        }
        if unit.kind == Kind::Hospital {
            let department = unit.departments[0].name;
            let fields = [
                ("institution", code.clone()),
                ("name", department.to_owned()),
                ("subject", subject(department).to_owned()),
                ("level", if at == 0 { "2" } else { "3" }.to_owned()),
                ("since", (self.today.year() - 4).to_string()),
                ("head", unit.departments[0].doctors[0].name.clone()),
            ];
            self.put("specialty", &fields);
            let fields = [
                ("institution", code),
                ("name", "（演示）文明单位".to_owned()),
                ("level", "3".to_owned()),
                ("granted_by", "（演示）市人民政府".to_owned()),
                ("year", (self.today.year() - 2).to_string()),
            ];
            self.put("honour", &fields);
        }
    }

    fn staff(&mut self, at: usize, unit: &Institution, known: &[Known]) {
        let mut dice = self.dice(at, 3);
        let mut first = None;
        for department in &unit.departments {
            for (turn, doctor) in department.doctors.iter().enumerate() {
                let category = match unit.kind {
                    Kind::Village => "95",
                    _ if turn > 1 => "12",
                    _ => "11",
                };
                self.person(&mut dice, at, unit, (&doctor.no, &doctor.name, category), department.name);
                first.get_or_insert_with(|| doctor.no.clone());
            }
            let nurses = match unit.kind {
                Kind::Hospital => 3,
                Kind::MaternalChild => 2,
                Kind::Township => 1,
                _ => 0,
            };
            for turn in 0..nurses {
                let surname = self.names.surname(&mut dice);
                let year = dice.between(1972, 2001) as i32;
                let name = self.names.name(surname, dice.chance(0.95), year, &mut dice);
                let no = format!("N{}{turn}", &department.doctors[0].no);
                self.person(&mut dice, at, unit, (&no, &name, "21"), department.name);
            }
        }
        for person in known.iter().filter(|k| k.institution == at) {
            let department = if person.doctor { unit.departments[0].name } else { "" };
            let category = if person.doctor { "11" } else { "70" };
            self.person(&mut dice, at, unit, (&person.staff_no, &person.name, category), department);
        }
    }

    fn person(
        &mut self,
        dice: &mut Random,
        at: usize,
        unit: &Institution,
        (no, name, category): (&str, &str, &str),
        department: &str,
    ) {
        let year = dice.between(1966, 1999) as i32;
        let birth = NaiveDate::from_ymd_opt(year, 1 + dice.below(12) as u32, 1 + dice.below(28) as u32);
        let Some(birth) = birth else { return };
        let woman = if category == "21" { dice.chance(0.95) } else { dice.chance(0.45) };
        // Serials above 990 of a division that no card is issued by: numbers of nobody.
        let serial = 990 + if woman { 2 * dice.below(4) as u16 } else { 1 + 2 * dice.below(4) as u16 };
        let number = CitizenId::compose("419999", birth, serial).map(|id| id.as_str().to_owned());
        let age = self.today.year() - year;
        let step = match age {
            50.. => dice.between(1, 3),
            38..50 => dice.between(2, 3),
            30..38 => dice.between(3, 4),
            _ => dice.between(4, 5),
        };
        let title = match category {
            "11" => format!("23{step}"),
            "12" => format!("23{}", step.max(4)),
            "21" => format!("25{step}"),
            _ => String::new(),
        };
        let education = match (unit.kind, category) {
            (Kind::Village, _) => ["41", "31"][dice.below(2)],
            (Kind::Hospital, "11") => ["14", "21", "21", "11"][dice.below(4)],
            (_, "21") => ["31", "21", "41"][dice.below(3)],
            _ => ["21", "31"][dice.below(2)],
        };
        let (kind, class) = match category {
            "11" | "12" if subject(department) == "50" => ("1", "4"),
            "11" | "12" if department.contains("口腔") => ("1", "2"),
            "11" | "12" if matches!(unit.kind, Kind::Cdc) => ("1", "3"),
            "11" | "12" => ("1", "1"),
            "21" => ("2", ""),
            "95" => ("3", ""),
            _ => ("", ""),
        };
        let licence =
            if kind.is_empty() { String::new() } else { format!("9{at:05}{:09}", dice.below(1_000_000_000)) };
        let left = match dice.below(40) {
            0 => -dice.between(1, 60),
            1 | 2 => dice.between(1, 85),
            _ => dice.between(200, 1800),
        };
        let dated = matches!(kind, "2" | "3");
        let entered = birth.year() + 23 + dice.between(0, 3) as i32;
        let fields = [
            ("institution", unit.code.clone()),
            ("staff_no", no.to_owned()),
            ("name", name.to_owned()),
            ("sex", if woman { "2" } else { "1" }.to_owned()),
            ("birth_date", birth.to_string()),
            ("citizen_no", number.unwrap_or_default()),
            // Numbers of this range are not given out.
            ("phone", format!("1990000{:04}", dice.below(10_000))),
            ("category", category.to_owned()),
            ("employment", if dice.chance(0.7) { "1" } else { "2" }.to_owned()),
            ("department", department.to_owned()),
            ("entered_on", format!("{}-07-01", entered.min(self.today.year() - 1))),
            ("title", title),
            ("education", education.to_owned()),
            ("licence_kind", kind.to_owned()),
            ("licence_no", licence),
            ("practice_class", class.to_owned()),
            ("registered_place", if kind.is_empty() { String::new() } else { unit.name.clone() }),
            ("licence_valid_until", if dated { self.day(-left) } else { String::new() }),
        ];
        self.put("staff", &fields);
    }

    /// Each county's hospital leads a consortium with its township centres, where one of its doctors practises too.
    fn consortia(&mut self, city: &City) {
        for county in &city.counties {
            let lead = &city.institutions[county.hospital];
            let name = format!("（演示）{}县域医共体", county.division.name);
            let members: Vec<usize> = county.townships.iter().map(|t| t.centre).collect();
            for at in std::iter::once(county.hospital).chain(members.iter().copied()) {
                let fields = [
                    ("institution", city.institutions[at].code.clone()),
                    ("consortium", name.clone()),
                    ("kind", "2".to_owned()),
                    ("role", if at == county.hospital { "1" } else { "2" }.to_owned()),
                    ("lead", lead.code.clone()),
                    ("from_date", format!("{}-01-01", self.today.year() - 2)),
                ];
                self.put("membership", &fields);
            }
            for (at, department) in members.iter().zip(lead.departments.iter().cycle()) {
                let fields = [
                    ("institution", lead.code.clone()),
                    ("staff_no", department.doctors[0].no.clone()),
                    ("place", city.institutions[*at].code.clone()),
                    ("scope", department.name.to_owned()),
                    ("from_date", format!("{}-03-01", self.today.year() - 1)),
                    ("to_date", self.day(-400)),
                ];
                self.put("practice", &fields);
            }
        }
    }
}

fn beds_of(kind: Kind, city: bool) -> usize {
    match kind {
        Kind::Hospital if city => 1200,
        Kind::Hospital => 520,
        Kind::MaternalChild => 120,
        Kind::Township => 60,
        Kind::Village | Kind::Cdc => 0,
    }
}
