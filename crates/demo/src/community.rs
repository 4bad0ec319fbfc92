//! Community health: follow-ups, check-ups of the elderly, immunizations.

use chrono::{Datelike, Months, NaiveDate, TimeDelta};

use crate::Fault;
use crate::illness::{CHRONIC, DIABETES, HYPERTENSION};
use crate::laboratory::Panel;
use crate::life::Scene;
use crate::medicine::drug;
use crate::outpatient::{Order, pressure};
use crate::sheet::{At, On};

/// A dose of the national schedule.
#[derive(Debug)]
pub(crate) struct Dose {
    pub code: &'static str,
    /// Months after birth.
    pub month: u32,
    pub number: u32,
    /// CV06.00.102
    pub route: &'static str,
    /// `vaccine_site`
    pub site: &'static str,
    pub maker: &'static str,
}

const fn dose(
    code: &'static str,
    month: u32,
    number: u32,
    route: &'static str,
    site: &'static str,
    maker: &'static str,
) -> Dose {
    Dose { code, month, number, route, site, maker }
}

/// The national schedule (2021), in order of age.
pub(crate) const SCHEDULE: &[Dose] = &[
    dose("0203", 0, 1, "403", "2", "（演示）疫苗厂甲"),
    dose("0101", 0, 1, "402", "1", "（演示）疫苗厂乙"),
    dose("0203", 1, 2, "403", "2", "（演示）疫苗厂甲"),
    dose("0303", 2, 1, "403", "3", "（演示）疫苗厂丙"),
    dose("0303", 3, 2, "403", "3", "（演示）疫苗厂丙"),
    dose("0402", 3, 1, "403", "1", "（演示）疫苗厂丁"),
    dose("0311", 4, 3, "1", "5", "（演示）疫苗厂丙"),
    dose("0402", 4, 2, "403", "1", "（演示）疫苗厂丁"),
    dose("0402", 5, 3, "403", "1", "（演示）疫苗厂丁"),
    dose("0203", 6, 3, "403", "2", "（演示）疫苗厂甲"),
    dose("1601", 6, 1, "401", "1", "（演示）疫苗厂乙"),
    dose("1201", 8, 1, "401", "1", "（演示）疫苗厂戊"),
    dose("1801", 8, 1, "401", "2", "（演示）疫苗厂戊"),
    dose("1601", 9, 2, "401", "1", "（演示）疫苗厂乙"),
    dose("1201", 18, 2, "401", "1", "（演示）疫苗厂戊"),
    dose("0402", 18, 4, "403", "1", "（演示）疫苗厂丁"),
    dose("1901", 18, 1, "401", "2", "（演示）疫苗厂甲"),
    dose("1801", 24, 2, "401", "2", "（演示）疫苗厂戊"),
    dose("1701", 36, 1, "401", "1", "（演示）疫苗厂乙"),
    dose("0311", 48, 4, "1", "5", "（演示）疫苗厂丙"),
    dose("1701", 72, 2, "401", "1", "（演示）疫苗厂乙"),
    dose("0601", 72, 1, "403", "1", "（演示）疫苗厂丁"),
];

/// Follow-ups of hypertension and diabetes, each quarter.
pub(crate) fn followups(scene: &mut Scene<'_, '_>, from: NaiveDate, to: NaiveDate) -> Result<(), Fault> {
    for (disease, dataset) in [(HYPERTENSION, "hypertension_followup"), (DIABETES, "diabetes_followup")] {
        // Not everybody is under management.
        if !scene.person.has(disease) || scene.dice.chance(0.22) || scene.person.age(from) < 35 {
            continue;
        }
        let home = scene.person.home;
        let at_clinic = scene.dice.chance(0.4);
        let institution = home.clinic.filter(|_| at_clinic).unwrap_or(scene.town().centre);
        let mut day = from + TimeDelta::days(scene.dice.between(2, 88));
        while day < to {
            followup(scene, disease, dataset, institution, day)?;
            day += TimeDelta::days(scene.dice.between(78, 102));
        }
    }
    Ok(())
}

fn followup(
    scene: &mut Scene<'_, '_>,
    disease: usize,
    dataset: &'static str,
    institution: usize,
    day: NaiveDate,
) -> Result<(), Fault> {
    let at = scene.opening(day);
    if !scene.present(at) {
        return Ok(());
    }
    let person = scene.person;
    let (systolic, diastolic) = pressure(scene, at);
    let by_phone = scene.dice.chance(0.08);
    let sugar = scene.dice.normal(5.6 + 1.05 * f64::from(person.control), 0.8).clamp(3.6, 19.0);
    let good = if disease == HYPERTENSION { systolic < 140 && diastolic < 90 } else { sugar < 7.0 };
    let months = (scene.plan.today() - day).num_days() as f64 / 30.0;
    let weight = person.weight + scene.dice.normal(months * 0.04, 0.5);
    let (department, doctor) = scene.staff(institution, &["公共卫生科", "全科医疗科"]);
    let number = scene.number();
    let mut row = scene.full_row(dataset, institution, at);
    row.put("followup_no", format_args!("SF{number:08}"))
        .put("followup_on", On(day))
        .put("way", if by_phone { "3" } else { ["1", "2"][scene.dice.below(2)] })
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("doctor_no", &doctor.no)
        .put("doctor_name", &doctor.name)
        .put("symptoms", if good { "1" } else { "2" })
        .put("systolic", systolic)
        .put("diastolic", diastolic)
        .put("height", person.height)
        .put("weight", format_args!("{weight:.1}"))
        .put("weight_target", format_args!("{:.1}", (weight - 2.0).max(30.0)))
        .put("bmi", format_args!("{:.2}", bmi(weight, person.height)))
        .put("cigarettes", person.cigarettes)
        .put("cigarettes_target", person.cigarettes / 2)
        .put("alcohol", format_args!("{:.1}", person.alcohol))
        .put("alcohol_target", "0.0")
        .put("exercise_weekly", scene.dice.between(1, 7))
        .put("exercise_minutes", scene.dice.between(2, 6) * 10)
        .put("psychology", "1")
        .put("adherence", if good { "1" } else { "2" })
        .put("compliance", if person.control == 3 { "2" } else { "1" })
        .put("adverse_reaction", "1")
        .put("result", if good { "1" } else { "2" })
        .put("next_on", On(day + TimeDelta::days(if good { 90 } else { 14 })))
        .put("revision_mark", 0);
    let very_high = systolic >= 180 || sugar >= 16.7;
    row.put("referral", if very_high { "是" } else { "否" });
    if very_high {
        row.put("referral_reason", "控制不满意，建议上级医院调整方案");
    }
    if disease == HYPERTENSION {
        row.put("heart_rate", scene.dice.normal(74.0, 7.0).clamp(50.0, 110.0) as i64)
            .put("salt", if good { "1" } else { "2" })
            .put("salt_target", "1");
    } else {
        row.put("foot_pulse", "1")
            .put("staple", scene.dice.between(5, 9) * 50)
            .put("staple_target", 250)
            .put("fasting_glucose", format_args!("{sugar:.1}"))
            .put("postprandial_glucose", format_args!("{:.1}", sugar + 2.6))
            .put("hypoglycaemia", "1");
        if scene.dice.chance(0.35) {
            row.put("hba1c", format_args!("{:.1}", 4.0 + sugar * 0.42))
                .put("hba1c_on", On(day - TimeDelta::days(3)));
        }
    }
    const DRUGS: [[&str; 2]; 2] = [["drug_1_name", "drug_1_usage"], ["drug_2_name", "drug_2_usage"]];
    let list = CHRONIC[disease].drugs;
    let turn = person.number as usize % list.len();
    for (offset, [name, usage]) in DRUGS.into_iter().enumerate().take(usize::from(person.control.min(2))) {
        let code = list[(turn + offset) % list.len()];
        if let Some(drug) = drug(code) {
            let often = scene.name_of("cv06_00_228_frequency", drug.frequency);
            row.put(name, scene.name_of("drug_common", code));
            row.put(usage, format_args!("每次{}{}，{often}", drug.dose, drug.dose_unit));
        }
    }
    scene.send(row, institution, at)
}

fn bmi(weight: f64, height: f64) -> f64 {
    (weight * 10_000.0 / (height * height)).clamp(9.0, 60.0)
}

/// A check-up each year for those over 65 and those under management.
pub(crate) fn check_ups(scene: &mut Scene<'_, '_>, from: NaiveDate, to: NaiveDate) -> Result<(), Fault> {
    for year in from.year()..=to.year() {
        let Some(start) = NaiveDate::from_ymd_opt(year, 1, 1) else { continue };
        let day = start + TimeDelta::days(scene.dice.between(60, 330));
        let managed = scene.person.has(HYPERTENSION) || scene.person.has(DIABETES);
        let due = scene.person.age(day) >= 65 || (managed && scene.person.age(day) >= 45);
        let at = scene.opening(day);
        if day < from || day > to || !due || !scene.dice.chance(0.72) || !scene.present(at) {
            continue;
        }
        check_up(scene, day)?;
    }
    Ok(())
}

fn check_up(scene: &mut Scene<'_, '_>, day: NaiveDate) -> Result<(), Fault> {
    let at = scene.opening(day);
    if !scene.present(at) {
        return Ok(());
    }
    let person = scene.person;
    let institution = scene.town().centre;
    let state = scene.state(at);
    let (systolic, diastolic) = pressure(scene, at);
    let number = scene.number();
    let exam_no = format!("TJ{number:08}");
    let (department, doctor) = scene.staff(institution, &["公共卫生科"]);
    let mut findings: Vec<String> =
        person.chronic.iter().map(|(c, _)| scene.name_of("icd10", CHRONIC[*c].code).to_owned()).collect();
    if systolic >= 140 || diastolic >= 90 {
        findings.push(format!("血压偏高（{systolic}/{diastolic}mmHg）"));
    }
    const ITEMS: &[(&str, &str)] = &[
        ("haemoglobin", "718-7"),
        ("leukocytes", "6690-2"),
        ("platelets", "777-3"),
        ("fasting_glucose", "14771-0"),
        ("hba1c", "4548-4"),
        ("alt", "1742-6"),
        ("ast", "1920-8"),
        ("albumin", "1751-7"),
        ("bilirubin", "14631-6"),
        ("creatinine", "14682-9"),
        ("urea", "22664-7"),
        ("cholesterol", "14647-2"),
        ("triglycerides", "14927-8"),
        ("ldl", "39469-2"),
        ("hdl", "14646-4"),
    ];
    let mut row = scene.full_row("physical_exam", institution, at);
    for (field, code) in ITEMS {
        let Some(item) = Panel::ALL.iter().flat_map(|p| p.items()).find(|i| i.code == *code) else {
            continue;
        };
        let result = item.result(&state, &mut scene.dice);
        if result.flag != "N" {
            findings.push(format!("{}{}", scene.name_of("lab_item", item.code), result.text));
        }
        row.put(field, &result.text);
    }
    let old = person.age(day) >= 65;
    row.put("exam_no", &exam_no)
        .put("exam_date", On(day))
        .put("department_code", &department.code)
        .put("department_name", department.name)
        .put("doctor_no", &doctor.no)
        .put("doctor_name", &doctor.name)
        .put("symptoms", "1")
        .put("temperature", format_args!("{:.1}", scene.dice.normal(36.5, 0.2)))
        .put("pulse", scene.dice.normal(74.0, 6.0).clamp(52.0, 110.0) as i64)
        .put("respiration", scene.dice.between(16, 20))
        .put("systolic", systolic)
        .put("diastolic", diastolic)
        .put("systolic_right", systolic + scene.dice.between(-4, 4))
        .put("diastolic_right", diastolic + scene.dice.between(-3, 3))
        .put("height", person.height)
        .put("weight", person.weight)
        .put("waist", format_args!("{:.1}", person.weight * 0.6 + 46.0))
        .put("bmi", format_args!("{:.2}", bmi(person.weight, person.height)))
        .put("activity", ["1", "2", "3", "4"][scene.dice.below(4)])
        .put("smoking", if person.cigarettes > 0 { "3" } else { "1" })
        .put("cigarettes", person.cigarettes)
        .put("drinking", if person.alcohol > 0.0 { "2" } else { "1" })
        .put("diet", "1")
        .put("occupational_exposure", "1")
        .put("vision_left", "4.7")
        .put("vision_right", "4.6")
        .put("heart_rate", scene.dice.normal(74.0, 6.0).clamp(52.0, 110.0) as i64)
        .put("rhythm", "1")
        .put("lung", "1")
        .put("oedema", "1")
        .put("foot_pulse", "2")
        .put("urine_protein", "阴性")
        .put("urine_glucose", if state.sugar > 1 { "+" } else { "阴性" })
        .put("urine_ketone", "阴性")
        .put("urine_blood", "阴性")
        .put("revision_mark", 0);
    if old {
        row.put("elder_health", ["1", "2", "2", "3"][scene.dice.below(4)])
            .put("elder_selfcare", if scene.dice.chance(0.9) { "1" } else { "2" })
            .put("cognition_score", scene.dice.between(24, 30))
            .put("depression_score", scene.dice.between(0, 6));
    }
    let strange = scene.dice.chance(0.25);
    row.put("ecg", if strange { "2" } else { "1" });
    if strange {
        row.put("ecg_text", "窦性心律，ST-T改变");
        findings.push("心电图ST-T改变".to_owned());
    }
    row.put("ultrasound", if scene.dice.chance(0.2) { "2" } else { "1" });
    if row.sheet.and_then(|s| s.column("ultrasound")).is_some_and(|c| row.cell(c) == "2") {
        row.put("ultrasound_text", "脂肪肝");
        findings.push("脂肪肝".to_owned());
    }
    row.put("conclusion", if findings.is_empty() { "1" } else { "2" })
        .put("findings", findings.join("；"))
        .put(
            "guidance",
            if findings.is_empty() {
                "定期复查"
            } else {
                "纳入慢性病患者健康管理；建议复查"
            },
        )
        .put("risk_advice", "低盐饮食，适量运动");
    scene.send(row, institution, at)?;
    // The elderly also have a report of their own from the laboratory.
    if scene.dice.chance(0.3) {
        let order = Order {
            kind: "4",
            visit_no: &exam_no,
            departments: &["公共卫生科"],
            code: if person.has(HYPERTENSION) { CHRONIC[HYPERTENSION].code } else { "E78.500" },
            at: at + TimeDelta::minutes(10),
        };
        scene.laboratory(institution, Panel::Lipids, &state, &order)?;
    }
    Ok(())
}

/// The doses that a child has had by now.
pub(crate) fn immunizations(scene: &mut Scene<'_, '_>) -> Result<(), Fault> {
    let person = scene.person;
    if person.age(scene.plan.today()) > 7 {
        return Ok(());
    }
    let county = &scene.city.counties[person.home.county];
    for (position, dose) in SCHEDULE.iter().enumerate() {
        let Some(due) = person.birth.checked_add_months(Months::new(dose.month)) else { continue };
        let mut day = due + TimeDelta::days(if dose.month == 0 { 1 } else { scene.dice.between(0, 24) });
        // Weekends are closed, except where children are born.
        if dose.month > 0 && day.weekday().num_days_from_monday() > 4 {
            day += TimeDelta::days(2);
        }
        let at = scene.opening(day);
        let missed = scene.dice.chance(0.03);
        if !scene.present(at) || missed {
            continue;
        }
        let institution = if dose.month == 0 { county.maternal_child } else { scene.town().centre };
        let (_, doctor) = scene.staff(institution, &["预防接种门诊", "儿童保健科"]);
        let number = scene.number();
        let unit = &scene.institution(institution).name;
        let batch = format!("{}{:03}", day.format("%Y%m"), (position as u32 * 37 + day.month()) % 500);
        let mut row = scene.full_row("immunization", institution, at);
        row.put("immunization_no", format_args!("JZ{number:08}"))
            .put("card_record_no", format_args!("{:010}", 4_000_000_000u64 + person.number))
            .put("vaccine_code", dose.code)
            .put("vaccine_name", scene.name_of("vaccine_national", dose.code))
            .put("dose_no", dose.number)
            .put("vaccinated_at", At(at))
            .put("site", dose.site)
            .put("route", dose.route)
            .put("dose_amount", if dose.code == "0101" { "0.10" } else { "0.50" })
            .put("dose_unit", "ml")
            .put("batch_no", batch)
            .put("expires_on", On(day + TimeDelta::days(420)))
            .put("manufacturer", dose.maker)
            .put("trace_code", format_args!("8{:019}", 81_000_000_000u64 + number))
            .put("unit_name", unit)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("fee_kind", "1")
            .put("occasion", "1")
            .put("revision_mark", 0);
        let reaction = scene.dice.chance(0.01);
        row.put("reaction", if reaction { "2" } else { "1" });
        if reaction {
            row.put("reaction_text", "接种后6小时发热37.9℃，次日恢复");
        }
        scene.send(row, institution, at + TimeDelta::minutes(30))?;
    }
    Ok(())
}
