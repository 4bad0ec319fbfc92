//! Hospital stays: orders, charges, operation, front page, discharge summary.

use chrono::{NaiveDateTime, NaiveTime, TimeDelta};

use crate::Fault;
use crate::illness::{Admission, CHRONIC};
use crate::laboratory::Panel;
use crate::life::Scene;
use crate::medicine::{Charge, drug, total};
use crate::outpatient::{Order, fill_charge};
use crate::places::Kind;
use crate::sheet::{At, Fen, On};

/// Where the charges of a class stand on the front page.
const FRONT_PAGE: &[(&str, &[&str])] = &[
    ("general_fee", &["01", "02", "12", "13"]),
    ("treatment_fee", &["05"]),
    ("nursing_fee", &["07"]),
    ("laboratory_fee", &["04"]),
    ("surgical_fee", &["06"]),
    ("treatment_material_fee", &["08"]),
    ("western_drug_fee", &["09"]),
    ("tcm_patent_fee", &["11"]),
];

struct Stay<'a> {
    institution: usize,
    stay_no: String,
    number: u64,
    admission: &'static Admission,
    admitted: NaiveDateTime,
    discharged: NaiveDateTime,
    days: i64,
    departments: [&'static str; 2],
    charges: Vec<Charge>,
    /// Price of imaging, and of the rest of class 03.
    imaging: Fen,
    diagnosis: &'a str,
    operated: NaiveDateTime,
    surgeon: &'a str,
    insured: i64,
}

impl<'x> Scene<'x, '_> {
    /// A stay from admission to discharge; only the admission when the discharge has not come yet.
    pub fn stay(
        &mut self,
        institution: usize,
        admitted: NaiveDateTime,
        admission: &'static Admission,
    ) -> Result<(), Fault> {
        let days = self.dice.between(admission.days.0, admission.days.1);
        let number = self.number();
        let mut discharged = admitted.date().and_time(NaiveTime::MIN)
            + TimeDelta::days(days)
            + TimeDelta::minutes(self.dice.between(540, 960));
        if let Some(death) = &self.person.death
            && discharged > death.at
        {
            discharged = death.at.max(admitted + TimeDelta::hours(1));
        }
        let days = (discharged.date() - admitted.date()).num_days().max(1);
        let township = self.institution(institution).kind == Kind::Township;
        let small = match admission.department {
            "儿科" => "儿科",
            "妇产科" => "妇产科",
            "普通外科" | "骨科" | "眼科" | "泌尿外科" => "外科",
            _ => "内科",
        };
        let (_, surgeon) = self.staff(institution, &[admission.department, small]);
        let mut stay = Stay {
            institution,
            stay_no: format!("ZY{}{number:07}", admitted.format("%y%m%d")),
            number,
            admission,
            admitted,
            discharged,
            days,
            departments: [admission.department, small],
            charges: Vec::new(),
            imaging: Fen(0),
            diagnosis: self.name_of("icd10", admission.code),
            operated: admitted.date().and_time(NaiveTime::MIN)
                + TimeDelta::days(1.min(days - 1))
                + TimeDelta::minutes(9 * 60 + 10),
            surgeon: &surgeon.name,
            insured: if township { 80 } else { 62 },
        };
        stay.operated = stay.operated.max(admitted + TimeDelta::hours(2));
        let finished = discharged <= self.plan.until;
        self.charge(&mut stay, township);
        let operated = admission.operation.filter(|_| stay.operated + TimeDelta::hours(3) < discharged);
        self.stay_row(&stay, finished)?;
        self.orders(&stay, operated.is_some())?;
        self.reports(&stay)?;
        if finished {
            self.charges(&stay)?;
        }
        if operated.is_some() {
            self.operation(&stay)?;
        }
        if finished {
            self.front_page(&stay, operated.is_some())?;
            self.summary(&stay)?;
        }
        Ok(())
    }

    fn panels(&self, stay: &Stay<'_>) -> Vec<Panel> {
        let mut panels = vec![Panel::Blood, Panel::Liver, Panel::Kidney, Panel::Electrolytes];
        if stay.admission.operation.is_some() {
            panels.push(Panel::Clotting);
        }
        if stay.admission.fever > 0 {
            panels.extend([Panel::Crp, Panel::Blood]);
        }
        if stay.admission.department == "心血管内科" {
            panels.extend([Panel::Heart, Panel::Lipids]);
        }
        if stay.admission.of == Some(1) || stay.admission.code == "I63.900" {
            panels.push(Panel::Sugar);
        }
        panels
    }

    fn charge(&self, stay: &mut Stay<'_>, township: bool) {
        let days = stay.days;
        let mut charges = vec![
            Charge::service("01", 401, "普通病房床位费", if township { 2_000 } else { 3_800 }, days, "床日"),
            Charge::service("02", 402, "住院诊察费", if township { 600 } else { 1_200 }, days, "日"),
            Charge::service("07", 403, "Ⅱ级护理", if township { 500 } else { 900 }, days, "日"),
            Charge::service("05", 404, "静脉输液", 600, days, "组"),
            Charge::service("08", 405, "一次性输液器", 250, days, "套"),
        ];
        for panel in self.panels(stay) {
            let (title, _, price) = panel.about();
            charges.push(Charge::service("04", 100 + panel as u16, title, price, 1, "次"));
        }
        for image in stay.admission.images.iter().filter(|i| !township || i.about().township) {
            let about = image.about();
            charges.push(Charge::service("03", 200 + *image as u16, about.name, about.price, 1, "次"));
            if image.is_imaging() {
                stay.imaging.0 += about.price;
            }
        }
        for code in stay.admission.drugs.iter().filter(|code| self.person.tolerates(code)) {
            if let Some(drug) = drug(code) {
                let packs = if drug.form == "02" { days } else { (days / drug.days).max(1) };
                charges.push(Charge::medicine(drug, self.name_of("drug_common", drug.code), packs));
            }
        }
        if let Some((code, _, _, _, price)) = stay.admission.operation
            && stay.operated + TimeDelta::hours(3) < stay.discharged
        {
            charges.push(Charge::service("06", 501, self.name_of("icd9cm3", code), price, 1, "次"));
            charges.push(Charge::service("06", 502, "麻醉费", 52_000, 1, "次"));
            charges.push(Charge::service("08", 503, "一次性手术包", 9_800, 1, "包"));
        }
        stay.charges = charges;
    }

    fn stay_row(&mut self, stay: &Stay<'_>, finished: bool) -> Result<(), Fault> {
        let person = self.person;
        let (department, doctor) = self.staff(stay.institution, &stay.departments);
        let total = total(&stay.charges);
        let mut row = self.full_row("inpatient_stay", stay.institution, stay.admitted);
        row.put("stay_no", &stay.stay_no)
            .put("inpatient_no", format_args!("Z{:08}", person.number))
            .put("admission_count", 1)
            .put("admission_way", if stay.admission.operation.is_some() { "1" } else { "2" })
            .put("condition", "3")
            .put("admitted_at", At(stay.admitted))
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("ward_name", format_args!("{}病区", department.name))
            .put("bed_no", self.dice.between(1, 60))
            .put("insurance", person.insurance)
            .put("admission_diagnosis_code", stay.admission.code)
            .put("admission_diagnosis_name", stay.diagnosis)
            .put("revision_mark", 0);
        if finished {
            let insurance = Fen(total.0 * stay.insured / 100);
            row.put("discharged_at", At(stay.discharged))
                .put("discharge_department_code", &department.code)
                .put("discharge_department_name", department.name)
                .put("diagnosis_code", stay.admission.code)
                .put("diagnosis_name", stay.diagnosis)
                .put("days", stay.days)
                .put("outcome", self.outcome(stay).0)
                .put("discharge_way", self.outcome(stay).1)
                .put("total_fee", total)
                .put("insurance_fee", insurance)
                .put("personal_fee", Fen(total.0 - insurance.0));
        }
        let sent = if finished { stay.discharged } else { stay.admitted };
        self.send(row, stay.institution, sent)
    }

    /// Outcome and way of leaving.
    fn outcome(&self, stay: &Stay<'_>) -> (&'static str, &'static str) {
        let died = self.person.death.as_ref().is_some_and(|d| d.at == stay.discharged);
        match (died, stay.admission.operation) {
            (true, _) => ("5", "5"),
            (_, Some(_)) => ("1", "1"),
            _ => ("2", "1"),
        }
    }

    fn orders(&mut self, stay: &Stay<'_>, operated: bool) -> Result<(), Fault> {
        let mut orders: Vec<(&str, &str, String, Option<&'static crate::medicine::Drug>)> = vec![
            ("1", "07", format!("{}护理常规", stay.admission.department), None),
            ("1", "05", "Ⅱ级护理".to_owned(), None),
            ("1", "07", "低盐低脂饮食".to_owned(), None),
        ];
        for code in stay.admission.drugs.iter().filter(|code| self.person.tolerates(code)) {
            orders.push(("1", "01", self.name_of("drug_common", code).to_owned(), drug(code)));
        }
        for panel in self.panels(stay).iter().take(4) {
            orders.push(("2", "03", panel.about().0.to_owned(), None));
        }
        for image in stay.admission.images {
            orders.push(("2", "02", image.about().name.to_owned(), None));
        }
        if operated && let Some((code, ..)) = stay.admission.operation {
            orders.push(("2", "04", format!("拟明日行{}", self.name_of("icd9cm3", code)), None));
        }
        for (position, (term, kind, content, drug)) in orders.into_iter().enumerate() {
            let (department, doctor) = self.staff(stay.institution, &stay.departments);
            let nurse = self.colleague(stay.institution);
            let at = stay.admitted + TimeDelta::minutes(20 + position as i64 * 2);
            if at > stay.discharged {
                break;
            }
            let mut row = self.row("inpatient_order", stay.institution, stay.admitted);
            row.put("order_no", format_args!("YZ{:07}{:02}", stay.number, position + 1))
                .put("stay_no", &stay.stay_no)
                .put("order_term", term)
                .put("item_kind", kind)
                .put("content", &content)
                .put("ordered_at", At(at))
                .put("starts_at", At(at))
                .put("executed_at", At(at + TimeDelta::minutes(25)))
                .put("execution_status", "已执行")
                .put("department_code", &department.code)
                .put("department_name", department.name)
                .put("doctor_no", &doctor.no)
                .put("doctor_name", &doctor.name)
                .put("nurse_name", nurse)
                .put("revision_mark", 0);
            if let Some(drug) = drug {
                row.put("drug_code", drug.code)
                    .put("specification", drug.spec)
                    .put("dose", drug.dose)
                    .put("dose_unit", drug.dose_unit)
                    .put("frequency", drug.frequency)
                    .put("route", drug.route);
            }
            self.send(row, stay.institution, at + TimeDelta::minutes(25))?;
        }
        Ok(())
    }

    fn reports(&mut self, stay: &Stay<'_>) -> Result<(), Fault> {
        let mut state = self.state(stay.admitted);
        state.infection = stay.admission.fever;
        state.heart = matches!(stay.admission.code, "I20.000" | "I50.900");
        let kind = self.institution(stay.institution).kind;
        let mut order = Order {
            kind: "3",
            visit_no: &stay.stay_no,
            departments: &stay.departments,
            code: stay.admission.code,
            at: stay.admitted + TimeDelta::minutes(30),
        };
        let mut seen = Vec::new();
        for panel in self.panels(stay) {
            // The second blood count is taken when the treatment has worked.
            if seen.contains(&panel) {
                order.at = stay.discharged - TimeDelta::hours(26);
                state.infection = 0;
            }
            seen.push(panel);
            if order.at >= stay.admitted && order.at + TimeDelta::hours(3) < stay.discharged {
                self.laboratory(stay.institution, panel, &state, &order)?;
            }
            order.at = stay.admitted + TimeDelta::minutes(30);
        }
        for image in stay.admission.images.iter().filter(|i| kind == Kind::Hospital || i.about().township) {
            self.examination(stay.institution, *image, true, &order)?;
        }
        Ok(())
    }

    fn charges(&mut self, stay: &Stay<'_>) -> Result<(), Fault> {
        for (position, charge) in stay.charges.iter().enumerate() {
            let (department, doctor) = self.staff(stay.institution, &stay.departments);
            let daily = charge.quantity > 1;
            let at = if daily {
                stay.discharged - TimeDelta::minutes(30)
            } else {
                stay.admitted + TimeDelta::minutes(40)
            };
            let at = at.max(stay.admitted);
            let mut row = self.row("inpatient_fee_item", stay.institution, stay.admitted);
            row.put("fee_no", format_args!("ZF{:07}{:02}", stay.number, position + 1))
                .put("stay_no", &stay.stay_no)
                .put("receipt_no", format_args!("ZS{:07}", stay.number))
                .put("charged_at", At(at));
            fill_charge(&mut row, charge, stay.insured);
            row.put("department_code", &department.code)
                .put("department_name", department.name)
                .put("doctor_no", &doctor.no)
                .put("doctor_name", &doctor.name)
                .put("revision_mark", 0);
            self.send(row, stay.institution, at)?;
        }
        Ok(())
    }

    fn operation(&mut self, stay: &Stay<'_>) -> Result<(), Fault> {
        let Some((code, level, incision, anaesthesia, _)) = stay.admission.operation else { return Ok(()) };
        let (department, doctor) = self.staff(stay.institution, &stay.departments);
        let (assistant, anaesthetist) = (self.colleague(stay.institution), self.colleague(stay.institution));
        let ended = stay.operated + TimeDelta::minutes(self.dice.between(45, 150));
        let mut row = self.row("operation", stay.institution, stay.admitted);
        row.put("operation_no", format_args!("SS{:07}", stay.number))
            .put("stay_no", &stay.stay_no)
            .put("operation_code", code)
            .put("operation_name", self.name_of("icd9cm3", code))
            .put("operation_level", level)
            .put("main", "是")
            .put("diagnosis_code", stay.admission.code)
            .put("diagnosis_name", stay.diagnosis)
            .put("postoperative_code", stay.admission.code)
            .put("postoperative_name", stay.diagnosis)
            .put("started_at", At(stay.operated))
            .put("ended_at", At(ended))
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", stay.surgeon)
            .put("first_assistant", assistant)
            .put("anaesthesia", anaesthesia)
            .put("anaesthetist_name", anaesthetist)
            .put("asa", "2")
            .put("incision", incision)
            .put("healing", "1")
            .put("blood_loss", self.dice.between(2, 30) * 10)
            .put("transfusion", 0)
            .put(
                "process",
                format_args!(
                    "麻醉成功后，常规消毒铺巾，行{}，手术顺利，术毕安返病房。",
                    self.name_of("icd9cm3", code)
                ),
            )
            .put("revision_mark", 0);
        self.send(row, stay.institution, ended)
    }

    fn front_page(&mut self, stay: &Stay<'_>, operated: bool) -> Result<(), Fault> {
        let person = self.person;
        let sent = stay.discharged + TimeDelta::days(self.dice.between(1, 6));
        let total = total(&stay.charges);
        let (department, doctor) = self.staff(stay.institution, &stay.departments);
        let names: Vec<&str> = (0..5).map(|_| self.colleague(stay.institution)).collect();
        let age = person.age(stay.admitted.date());
        let mut row = self.full_row("case_front_page", stay.institution, stay.admitted);
        row.put("stay_no", &stay.stay_no)
            .put("case_no", format_args!("B{:08}", person.number))
            .put("inpatient_no", format_args!("Z{:08}", person.number))
            .put("admission_count", 1)
            .put("payment", if person.insurance == "01" { "01" } else { "90" })
            .put("age_years", age)
            .put("nationality", "CHN")
            .put("ethnicity", person.ethnicity)
            .put("marital", if age < 20 { "1" } else { marital(person.marital) })
            .put("occupation", person.occupation)
            .put("birth_place", &self.city.above)
            .put("native_place", &self.city.above)
            .put("household_address", &person.address)
            .put("present_address", &person.address)
            .put("admission_way", if stay.admission.operation.is_some() { "2" } else { "1" })
            .put("admitted_at", At(stay.admitted))
            .put("admission_department_code", &department.code)
            .put("admission_department_name", department.name)
            .put("discharged_at", At(stay.discharged))
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("days", stay.days)
            .put("day_surgery", "2")
            .put("outpatient_diagnosis_code", stay.admission.code)
            .put("outpatient_diagnosis_name", stay.diagnosis)
            .put("diagnosis_code", stay.admission.code)
            .put("diagnosis_name", stay.diagnosis)
            .put("diagnosis_poa", "1")
            .put("allergy_flag", if person.allergy.is_some_and(|a| a.drug.is_some()) { "2" } else { "1" })
            .put_some("allergy_drug", person.allergy.filter(|a| a.drug.is_some()).map(|a| a.name))
            .put("blood_abo", person.abo)
            .put("blood_rh", person.rh)
            .put("director_name", names[0])
            .put("chief_doctor_name", names[0])
            .put("attending_doctor_name", names[1])
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("nurse_name", names[2])
            .put("coder_name", names[3])
            .put("quality", "1")
            .put("quality_doctor_name", names[4])
            .put("quality_on", On(stay.discharged.date()))
            .put("discharge_way", self.outcome(stay).1)
            .put("readmission_plan", "1")
            .put("total_fee", total)
            .put("personal_fee", Fen(total.0 - total.0 * stay.insured / 100))
            .put("revision_mark", 0);
        if age == 0 {
            row.put("age_days", (stay.admitted.date() - person.birth).num_days());
        }
        if self.outcome(stay).1 == "5" {
            row.put("autopsy", "2");
        }
        if let Some(kin) = person.kin.as_ref().filter(|k| !k.phone.is_empty()) {
            row.put("contact_name", &kin.name)
                .put("contact_relation", kin.relation)
                .put("contact_phone", &kin.phone)
                .put("contact_address", &person.address);
        }
        const OTHERS: [[&str; 3]; 3] = [
            ["other_diagnosis_1_code", "other_diagnosis_1_name", "other_diagnosis_1_poa"],
            ["other_diagnosis_2_code", "other_diagnosis_2_name", "other_diagnosis_2_poa"],
            ["other_diagnosis_3_code", "other_diagnosis_3_name", "other_diagnosis_3_poa"],
        ];
        let others =
            person.chronic.iter().map(|(c, _)| CHRONIC[*c].code).filter(|c| *c != stay.admission.code);
        for (code, [field, name, poa]) in others.zip(OTHERS) {
            row.put(field, code).put(name, self.name_of("icd10", code)).put(poa, "1");
        }
        if operated && let Some((code, level, _, anaesthesia, price)) = stay.admission.operation {
            row.put("operation_code", code)
                .put("operation_name", self.name_of("icd9cm3", code))
                .put("operation_on", On(stay.operated.date()))
                .put("operation_level", level)
                .put("surgeon_name", stay.surgeon)
                .put("healing", "1")
                .put("anaesthesia", anaesthesia)
                .put("operation_fee", Fen(price))
                .put("anaesthesia_fee", Fen(52_000));
        }
        let of = |classes: &[&str]| {
            Fen(stay.charges.iter().filter(|c| classes.contains(&c.class)).map(|c| c.amount().0).sum())
        };
        for (field, classes) in FRONT_PAGE {
            row.put(field, of(classes));
        }
        row.put("imaging_fee", stay.imaging)
            .put("clinical_diagnosis_fee", Fen(of(&["03"]).0 - stay.imaging.0));
        self.send(row, stay.institution, sent)
    }

    fn summary(&mut self, stay: &Stay<'_>) -> Result<(), Fault> {
        let person = self.person;
        let (department, doctor) = self.staff(stay.institution, &stay.departments);
        let senior = self.colleague(stay.institution);
        let died = self.outcome(stay).0 == "5";
        let condition = if died {
            "经抢救无效，宣布临床死亡。"
        } else {
            "生命体征平稳，症状明显缓解，准予出院。"
        };
        let mut row = self.row("discharge_summary", stay.institution, stay.admitted);
        row.put("stay_no", &stay.stay_no)
            .put("inpatient_no", format_args!("Z{:08}", person.number))
            .put("sex", person.sex())
            .put("birth_date", On(person.birth))
            .put("admitted_at", At(stay.admitted))
            .put("discharged_at", At(stay.discharged))
            .put("days", stay.days)
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("senior_doctor_name", senior)
            .put("admission_diagnosis_code", stay.admission.code)
            .put("admission_diagnosis_name", stay.diagnosis)
            .put("diagnosis_code", stay.admission.code)
            .put("diagnosis_name", stay.diagnosis)
            .put("admission_condition", format_args!("因“{}”入院。", stay.admission.complaint))
            .put("course", stay.admission.course)
            .put("discharge_condition", condition)
            .put("advice", "1. 注意休息，合理饮食。2. 遵医嘱继续服药。3. 2周后门诊复查，不适随诊。")
            .put("outcome", self.outcome(stay).0)
            .put("signed_at", At(stay.discharged))
            .put("revision_mark", 0);
        self.send(row, stay.institution, stay.discharged)?;
        if self.institution(stay.institution).kind == Kind::Hospital && self.dice.chance(0.5) {
            let order = Order {
                kind: "3",
                visit_no: &stay.stay_no,
                departments: &stay.departments,
                code: stay.admission.code,
                at: stay.discharged,
            };
            let text = format!(
                "出院小结\n入院：{}\n诊疗经过：{}\n出院情况：{condition}\n",
                stay.admission.complaint, stay.admission.course
            );
            self.document(stay.institution, "07", "出院小结", &text, &order, None, stay.discharged)?;
        }
        Ok(())
    }
}

/// The front page's own code of marital status.
pub(crate) fn marital(code: &str) -> &'static str {
    match code {
        "10" => "1",
        "20" => "2",
        "30" => "3",
        "40" => "4",
        _ => "9",
    }
}
