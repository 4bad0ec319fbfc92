//! Births, deaths, infectious disease cards and allergies.

use chrono::{NaiveDateTime, TimeDelta};

use crate::Fault;
use crate::illness::Ailment;
use crate::inpatient::marital;
use crate::life::Scene;
use crate::people::{Allergen, Birth, Death, Person};
use crate::places::{City, Kind};
use crate::random::Random;
use crate::sheet::{At, On};

/// Whether a child is born by caesarean section: the same answer for mother and child.
pub(crate) fn caesarean(birth: &Birth) -> bool {
    Random::of(birth.at.and_utc().timestamp() as u64, &[birth.child as u64]).chance(0.42)
}

/// Where a child is born.
pub(crate) fn birth_place(city: &City, person: &Person, birth: &Birth) -> usize {
    let county = &city.counties[person.home.county];
    match birth.at.and_utc().timestamp() / 60 % 10 {
        0 => city.hospital,
        _ => county.hospital,
    }
}

/// The record of a birth, sent the next day.
pub(crate) fn born(
    scene: &mut Scene<'_, '_>,
    birth: &Birth,
    mother: &Person,
    father: Option<&Person>,
) -> Result<(), Fault> {
    let institution = birth_place(scene.city, mother, birth);
    let (department, midwife) = scene.staff(institution, &["妇产科"]);
    let number = scene.number();
    let unit = scene.institution(institution);
    let weeks = scene.dice.normal(39.2, 1.1).clamp(33.0, 42.0) as i64;
    let weight =
        scene.dice.normal(3_320.0 + (weeks - 39) as f64 * 110.0, 320.0).clamp(1_600.0, 4_900.0) as i64;
    let certificate = format!("Z{:09}", 990_000_000 + number % 9_999_999);
    let mut row = scene.row("birth", institution, birth.at);
    row.put("birth_no", format_args!("CS{number:08}"))
        .put("certificate_no", certificate)
        .put("sex", scene.person.sex())
        .put("phone", &mother.phone)
        .put("born_at", At(birth.at))
        .put("gestation_weeks", weeks)
        .put("gestation_days", scene.dice.between(0, 6))
        .put("birth_weight", weight)
        .put("birth_length", format_args!("{:.1}", scene.dice.normal(50.0, 1.3).clamp(42.0, 56.0)))
        .put("delivery", if caesarean(birth) { "31" } else { "12" })
        .put("birth_order", 1)
        .put("births", 1)
        .put("apgar_1", scene.dice.between(8, 10))
        .put("apgar_5", 10)
        .put("birth_place_kind", "1")
        .put("birth_place", &unit.name)
        .put("midwife_name", &midwife.name)
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("mother_name", &mother.name)
        .put("mother_credential_kind", "01")
        .put("mother_credential_no", &mother.citizen)
        .put("mother_birth_date", On(mother.birth))
        .put("address", &mother.address)
        .put("issued_on", On(birth.at.date()))
        .put("revision_mark", 0);
    let defect = scene.dice.chance(0.012);
    row.put("defect", if defect { "2" } else { "1" });
    if defect {
        row.put("defect_name", "多指（趾）");
    }
    if let Some(father) = father {
        row.put("father_name", &father.name)
            .put("father_credential_kind", "01")
            .put("father_credential_no", &father.citizen);
    }
    scene.send(row, institution, birth.at + TimeDelta::hours(20))
}

/// The death certificate, by the township centre or the hospital.
pub(crate) fn died(scene: &mut Scene<'_, '_>, death: &Death) -> Result<(), Fault> {
    let person = scene.person;
    let in_hospital = scene.dice.chance(0.3);
    let institution =
        if in_hospital { scene.city.counties[person.home.county].hospital } else { scene.town().centre };
    let (department, doctor) = scene.staff(institution, &["公共卫生科", "急诊科"]);
    let number = scene.number();
    let sent = death.at + TimeDelta::hours(scene.dice.between(12, 90));
    let mut row = scene.full_row("death", institution, death.at);
    row.put("death_no", format_args!("SW{number:08}"))
        .put("ethnicity", person.ethnicity)
        .put("marital", marital(person.marital))
        .put("occupation", person.occupation)
        .put("education", person.education)
        .put("household_address", &person.address)
        .put("address", &person.address)
        .put("region", person.region)
        .put("died_at", At(death.at))
        .put("place", if in_hospital { "1" } else { "3" })
        .put("diagnosis_level", "2")
        .put("diagnosis_basis", "4")
        .put("autopsy", "2")
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("doctor_no", &doctor.no)
        .put("doctor_name", &doctor.name)
        .put("reported_on", On(sent.date()))
        .put("revision_mark", 0);
    if person.woman {
        row.put("pregnancy", "否");
    }
    const CAUSES: [[&str; 2]; 2] = [["cause_a_code", "cause_a_name"], ["cause_b_code", "cause_b_name"]];
    for (code, [field, name]) in death.causes.iter().copied().zip(CAUSES) {
        row.put(field, code).put(name, scene.name_of("icd10", code));
    }
    row.put("cause_a_interval", "3天");
    if let Some(code) = death.causes.last().copied() {
        row.put("underlying_code", code).put("underlying_name", scene.name_of("icd10", code));
    }
    if let Some(kin) = &person.kin {
        row.put("family_name", &kin.name).put("family_phone", &kin.phone);
    }
    scene.send(row, institution, sent)
}

/// The card of an infectious disease.
pub(crate) fn reported(
    scene: &mut Scene<'_, '_>,
    institution: usize,
    at: NaiveDateTime,
    ailment: &Ailment,
    disease: &'static str,
    visit_no: &str,
    lasted: i64,
) -> Result<(), Fault> {
    let person = scene.person;
    let age = person.age(at.date());
    let number = scene.number();
    // The centre for disease control enters some for village clinics that called.
    let cdc = scene.dice.chance(0.06);
    let unit = &scene.institution(institution).name;
    let sender = if cdc { scene.city.cdc } else { institution };
    let (department, doctor) = scene.staff(sender, &["感染性疾病科", "公共卫生科", "传染病防治科", "儿科"]);
    let filled = at + TimeDelta::minutes(scene.dice.between(30, 300));
    let crowd = match age {
        ..3 => "2",
        3..7 => "1",
        7..19 => "3",
        _ => "18",
    };
    let mut row = scene.full_row("infectious_card", sender, at);
    row.put("card_report_no", format_args!("CR{number:08}"))
        .put("report_kind", "1")
        .put("age", age)
        .put("age_unit", "1")
        .put("belong", "1")
        .put("address", &person.address)
        .put("region", person.region)
        .put("crowd", crowd)
        .put("case_class", if matches!(ailment.code, "A15.000" | "B16.900") { "3" } else { "2" })
        .put("case_course", if ailment.code == "B16.900" { "1" } else { "0" })
        .put("onset_on", On((at - TimeDelta::days(lasted)).date()))
        .put("diagnosed_at", At(at + TimeDelta::minutes(9)))
        .put("disease_code", disease)
        .put("disease_name", scene.name_of("notifiable_disease", disease))
        .put("diagnosis_code", ailment.code)
        .put("visit_no", visit_no)
        .put("report_unit", unit)
        .put("report_phone", "0376-6000000")
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("doctor_no", &doctor.no)
        .put("doctor_name", &doctor.name)
        .put("filled_at", At(filled))
        .put("revision_mark", 0);
    if matches!(crowd, "1" | "2") {
        row.put("parent_name", person.kin.as_ref().map_or("家长", |k| k.name.as_str()));
    }
    if matches!(crowd, "1" | "3") {
        let school = if crowd == "1" { "幼儿园" } else { "学校" };
        row.put("employer", format_args!("（演示）{}中心{school}", scene.town().division.name));
    }
    scene.send(row, sender, filled)
}

/// An allergy as somebody wrote it down.
pub(crate) fn allergic(scene: &mut Scene<'_, '_>, allergen: &'static Allergen) -> Result<(), Fault> {
    let first = scene.plan.first_day().max(scene.person.birth);
    let days = (scene.plan.today() - first).num_days();
    let day = first + TimeDelta::days(scene.dice.between(0, days));
    let at = scene.opening(day);
    if !scene.present(at) {
        return Ok(());
    }
    let place = scene.dice.part();
    let institution = if place < 0.5 {
        scene.town().centre
    } else {
        scene.city.counties[scene.person.home.county].hospital
    };
    let village = scene.institution(institution).kind == Kind::Village;
    let (department, doctor) = scene.staff(institution, &["急诊科", "内科"]);
    let number = scene.number();
    let severe = ["1", "1", "2", "3"][scene.dice.below(4)];
    let mut row = scene.row("allergy", institution, at);
    row.put("allergy_no", format_args!("GM{number:08}"))
        .put("allergen_kind", allergen.kind)
        .put("allergen_name", allergen.name)
        .put_some("drug_code", allergen.drug.filter(|_| !village))
        .put("reaction", allergen.reaction)
        .put("severity", severe)
        .put("status", "1")
        .put("recorded_at", At(at))
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("doctor_no", &doctor.no)
        .put("doctor_name", &doctor.name)
        .put("revision_mark", 0);
    scene.send(row, institution, at)
}
