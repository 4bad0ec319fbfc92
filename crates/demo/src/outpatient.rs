//! Outpatient visits with all that belongs to them: diagnoses, prescription, charges, reports.

use chrono::{NaiveDateTime, TimeDelta};

use crate::Fault;
use crate::imaging::Image;
use crate::laboratory::{Panel, State};
use crate::life::Scene;
use crate::medicine::{Charge, Drug, total};
use crate::people::Person;
use crate::places::Kind;
use crate::sheet::{At, Fen, On};

/// A visit to come.
pub(crate) struct Visit {
    /// Main diagnosis.
    pub code: &'static str,
    /// Other diagnoses.
    pub others: Vec<&'static str>,
    pub complaint: String,
    pub findings: &'static str,
    pub advice: &'static str,
    pub onset: Option<NaiveDateTime>,
    pub fever: bool,
    pub departments: [&'static str; 2],
    /// Medicines and how many packs.
    pub drugs: Vec<(&'static Drug, i64)>,
    pub panels: Vec<Panel>,
    pub image: Option<Image>,
    pub state: State,
    /// Whether it is a return visit.
    pub again: bool,
}

/// Where a report belongs.
pub(crate) struct Order<'v> {
    /// 1 outpatient, 3 inpatient, 4 check-up.
    pub kind: &'static str,
    pub visit_no: &'v str,
    pub departments: &'v [&'v str],
    pub code: &'static str,
    pub at: NaiveDateTime,
}

/// Blood pressure today: higher with hypertension, lower when controlled.
pub(crate) fn pressure(scene: &mut Scene<'_, '_>, at: NaiveDateTime) -> (i64, i64) {
    let person: &Person = scene.person;
    let age = person.age(at.date()).min(85) as f64;
    let raised = if person.has(0) { 6.0 + 7.0 * f64::from(person.control) } else { 0.0 };
    // Winter is a little higher; treatment helps with the years.
    use chrono::Datelike;
    let winter = if matches!(at.month(), 11 | 12 | 1 | 2) { 3.0 } else { 0.0 };
    let progress =
        (scene.plan.today() - at.date()).num_days() as f64 / 365.0 * if person.has(0) { 2.5 } else { 0.0 };
    let systolic = scene.dice.normal(104.0 + age * 0.33 + raised + winter + progress, 7.5).clamp(84.0, 210.0);
    let diastolic =
        scene.dice.normal(66.0 + age * 0.07 + raised * 0.5, 5.5).clamp(50.0, 118.0).min(systolic - 18.0);
    (systolic as i64, diastolic as i64)
}

impl Scene<'_, '_> {
    /// A visit; its number.
    pub fn visit(&mut self, institution: usize, at: NaiveDateTime, visit: &Visit) -> Result<String, Fault> {
        let number = self.number();
        let visit_no = format!("MZ{}{number:07}", at.format("%y%m%d"));
        let person = self.person;
        let kind = self.institution(institution).kind;
        let (department, doctor) = self.staff(institution, &visit.departments);
        let name = self.name_of("icd10", visit.code);

        let mut charges = vec![match kind {
            Kind::Village => Charge::service("12", 1, "一般诊疗费（村级）", 600, 1, "次"),
            Kind::Township => Charge::service("12", 2, "一般诊疗费", 1_000, 1, "次"),
            _ => Charge::service("02", 3, "普通门诊诊察费", 1_500, 1, "次"),
        }];
        for panel in &visit.panels {
            let (title, _, price) = panel.about();
            charges.push(Charge::service("04", 100 + *panel as u16, title, price, 1, "次"));
        }
        if let Some(image) = visit.image {
            let about = image.about();
            charges.push(Charge::service("03", 200 + image as u16, about.name, about.price, 1, "次"));
        }
        if matches!(visit.code, "T14.100" | "L08.900") {
            charges.push(Charge::service("05", 301, "清创缝合（小）", 4_500, 1, "次"));
            charges.push(Charge::service("08", 302, "一次性换药包", 800, 1, "包"));
        }
        for (drug, packs) in &visit.drugs {
            charges.push(Charge::medicine(drug, self.name_of("drug_common", drug.code), *packs));
        }
        let total = total(&charges);
        let share = if kind == Kind::Hospital { 50 } else { 65 };
        let insurance = Fen(total.0 * share / 100);
        let (systolic, diastolic) = pressure(self, at);

        let mut row = self.full_row("outpatient_visit", institution, at);
        row.put("visit_no", &visit_no)
            .put("outpatient_no", format_args!("M{:08}", person.number))
            .put(
                "visit_kind",
                if visit.departments[0] == "急诊科" && kind == Kind::Hospital { "2" } else { "1" },
            )
            .put("first_visit", if visit.again { "2" } else { "1" })
            .put("visit_time", At(at))
            .put("ended_at", At(at + TimeDelta::minutes(14)))
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("insurance", person.insurance)
            .put_some("onset_at", visit.onset.map(At))
            .put("chief_complaint", &visit.complaint)
            .put("present_illness", format_args!("患者{}，未系统诊治，今来就诊。", visit.complaint))
            .put("physical_findings", visit.findings)
            .put("diagnosis_code", visit.code)
            .put("diagnosis_name", name)
            .put("advice", visit.advice)
            .put("outcome", if visit.again { "3" } else { "2" })
            .put("total_fee", total)
            .put("insurance_fee", insurance)
            .put("personal_fee", Fen(total.0 - insurance.0))
            .put("revision_mark", 0);
        row.put("allergy_history", person.allergy.map_or("否认", |a| a.name));
        let (mean, spread) = if visit.fever { (38.3, 0.5) } else { (36.6, 0.2) };
        row.put("temperature", format_args!("{:.1}", self.dice.normal(mean, spread).clamp(35.9, 40.6)));
        row.put(
            "pulse",
            self.dice.normal(if visit.fever { 92.0 } else { 76.0 }, 7.0).clamp(52.0, 150.0) as i64,
        );
        if person.age(at.date()) >= 14 {
            row.put("systolic", systolic).put("diastolic", diastolic);
        }
        let sent = at + TimeDelta::minutes(14);
        self.send(row, institution, sent)?;

        let diagnoses =
            std::iter::once(visit.code).chain(visit.others.iter().copied().filter(|c| *c != visit.code));
        for (position, code) in diagnoses.enumerate() {
            let mut row = self.row("visit_diagnosis", institution, at);
            row.put("visit_no", &visit_no)
                .put("diagnosis_no", position + 1)
                .put("diagnosis_kind", if position == 0 { "1" } else { "2" })
                .put("certainty", "1")
                .put("diagnosis_code", code)
                .put("diagnosis_name", self.name_of("icd10", code))
                .put_some("onset_on", visit.onset.filter(|_| position == 0).map(|o| On(o.date())))
                .put("diagnosed_at", At(at + TimeDelta::minutes(9)))
                .put("department_code", &department.code)
                .put("department_name", department.name)
                .put("doctor_no", &doctor.no)
                .put("doctor_name", &doctor.name)
                .put("revision_mark", 0);
            self.send(row, institution, sent)?;
        }
        if !visit.drugs.is_empty() {
            self.prescribe(institution, at + TimeDelta::minutes(11), visit, &visit_no)?;
        }
        for (position, charge) in charges.iter().enumerate() {
            let mut row = self.row("outpatient_fee_item", institution, at);
            row.put("fee_no", format_args!("F{number:08}{:02}", position + 1))
                .put("visit_no", &visit_no)
                .put("receipt_no", format_args!("S{number:08}"))
                .put("charged_at", At(at + TimeDelta::minutes(13)));
            fill_charge(&mut row, charge, share);
            row.put("department_code", &department.code)
                .put("department_name", department.name)
                .put("doctor_no", &doctor.no)
                .put("doctor_name", &doctor.name)
                .put("revision_mark", 0);
            self.send(row, institution, sent)?;
        }
        let order = Order {
            kind: "1",
            visit_no: &visit_no,
            departments: &visit.departments,
            code: visit.code,
            at: at + TimeDelta::minutes(10),
        };
        for panel in &visit.panels {
            self.laboratory(institution, *panel, &visit.state, &order)?;
        }
        if let Some(image) = visit.image {
            self.examination(institution, image, visit.state.infection > 0 || visit.again, &order)?;
        }
        Ok(visit_no)
    }

    fn prescribe(
        &mut self,
        institution: usize,
        at: NaiveDateTime,
        visit: &Visit,
        visit_no: &str,
    ) -> Result<(), Fault> {
        let number = self.number();
        let prescription_no = format!("CF{number:08}");
        let (department, doctor) = self.staff(institution, &visit.departments);
        let pharmacist = self.colleague(institution);
        let amount = Fen(visit.drugs.iter().map(|(d, packs)| d.price.0 * packs).sum());
        let mut row = self.row("prescription", institution, at);
        row.put("prescription_no", &prescription_no)
            .put("visit_no", visit_no)
            .put("prescription_kind", "1")
            .put("prescribed_at", At(at))
            .put("valid_days", 3)
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("diagnosis_code", visit.code)
            .put("diagnosis_name", self.name_of("icd10", visit.code))
            .put("reviewer_name", pharmacist)
            .put("dispenser_name", pharmacist)
            .put("amount", amount)
            .put("revision_mark", 0);
        self.send(row, institution, at)?;
        for (position, (drug, packs)) in visit.drugs.iter().enumerate() {
            let mut row = self.row("prescription_item", institution, at);
            row.put("prescription_no", &prescription_no)
                .put("item_no", position + 1)
                .put("visit_no", visit_no)
                .put("prescribed_at", At(at))
                .put("item_code", format_args!("Y{}", &drug.code[1..]))
                .put("drug_code", drug.code)
                .put("drug_name", self.name_of("drug_common", drug.code))
                .put("specification", drug.spec)
                .put("dosage_form", drug.form)
                .put("dose", drug.dose)
                .put("dose_unit", drug.dose_unit)
                .put("frequency", drug.frequency)
                .put("route", drug.route)
                .put("days", (drug.days * packs).clamp(1, 90))
                .put("quantity", packs)
                .put("quantity_unit", drug.unit)
                .put("unit_price", drug.price)
                .put("amount", Fen(drug.price.0 * packs))
                .put("revision_mark", 0);
            self.send(row, institution, at)?;
        }
        Ok(())
    }

    /// A laboratory report with its results; whether something is abnormal.
    pub fn laboratory(
        &mut self,
        institution: usize,
        panel: Panel,
        state: &State,
        order: &Order<'_>,
    ) -> Result<(), Fault> {
        let number = self.number();
        let report_no = format!("JY{number:08}");
        let (title, specimen, _) = panel.about();
        let reported = order.at + TimeDelta::minutes(self.dice.between(55, 130));
        let (department, doctor) = self.staff(institution, order.departments);
        let (reporter, reviewer) = (self.colleague(institution), self.colleague(institution));
        let results: Vec<_> =
            panel.items().iter().map(|item| (item, item.result(state, &mut self.dice))).collect();
        let abnormal: Vec<&str> = results
            .iter()
            .filter(|(_, r)| r.flag != "N")
            .map(|(item, _)| self.name_of("lab_item", item.code))
            .collect();

        let mut row = self.full_row("lab_report", institution, order.at);
        row.put("report_no", &report_no)
            .put("visit_kind", order.kind)
            .put("visit_no", order.visit_no)
            .put("request_no", format_args!("SQ{number:08}"))
            .put("report_name", title)
            .put("report_class", "临床检验")
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("laboratory_name", "检验科")
            .put("specimen_no", format_args!("BB{number:08}"))
            .put("specimen_name", specimen)
            .put("specimen_state", "合格")
            .put("requested_at", At(order.at))
            .put("collected_at", At(order.at + TimeDelta::minutes(15)))
            .put("specimen_received_at", At(order.at + TimeDelta::minutes(32)))
            .put("reported_at", At(reported))
            .put("report_date", On(reported.date()))
            .put("diagnosis_code", order.code)
            .put("diagnosis_name", self.name_of("icd10", order.code))
            .put("result_flag", if abnormal.is_empty() { "1" } else { "2" })
            .put("reporter_name", reporter)
            .put("reviewer_name", reviewer)
            .put("revision_mark", 0);
        if !abnormal.is_empty() {
            row.put("conclusion", format_args!("{}异常，请结合临床。", abnormal.join("、")));
        }
        self.send(row, institution, reported)?;
        for (position, (item, result)) in results.iter().enumerate() {
            let mut row = self.row("lab_result", institution, order.at);
            row.put("report_no", &report_no)
                .put("item_no", position + 1)
                .put("item_code", format_args!("L{}{:02}", panel as u16, position + 1))
                .put("loinc_code", item.code)
                .put("item_name", self.name_of("lab_item", item.code))
                .put("result_text", &result.text)
                .put("abnormal_flag", result.flag)
                .put("tested_at", At(reported - TimeDelta::minutes(12)))
                .put("reported_at", At(reported))
                .put("revision_mark", 0);
            if result.number {
                row.put("result_number", &result.text)
                    .put("reference_low", &result.low)
                    .put("reference_high", &result.high);
                // The acidity and density of urine have no unit.
                row.put("unit", if item.unit.is_empty() { "-" } else { item.unit });
            } else {
                row.put("reference_text", "阴性");
            }
            self.send(row, institution, reported)?;
        }
        Ok(())
    }

    /// An examination with its report.
    pub fn examination(
        &mut self,
        institution: usize,
        image: Image,
        likely: bool,
        order: &Order<'_>,
    ) -> Result<(), Fault> {
        let number = self.number();
        let about = image.about();
        let examined = order.at + TimeDelta::minutes(self.dice.between(20, 70));
        let reported = examined + TimeDelta::minutes(self.dice.between(15, 60));
        let abnormal = self.dice.chance(if likely { 0.62 } else { 0.22 });
        let (findings, conclusion) = if abnormal { *self.dice.pick(about.abnormal) } else { about.normal };
        let (department, doctor) = self.staff(institution, order.departments);
        let (examiner, reporter, reviewer) =
            (self.colleague(institution), self.colleague(institution), self.colleague(institution));
        let report_no = format!("JC{number:08}");
        let mut row = self.full_row("exam_report", institution, order.at);
        row.put("report_no", &report_no)
            .put("visit_kind", order.kind)
            .put("visit_no", order.visit_no)
            .put("request_no", format_args!("SQ{number:08}"))
            .put("exam_kind", about.kind)
            .put("item_code", format_args!("S{:04}", 200 + image as u16))
            .put("report_name", about.name)
            .put("body_part", about.part)
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("exam_department_name", if about.kind == "US" { "超声医学科" } else { "医学影像科" })
            .put("requested_at", At(order.at))
            .put("examined_at", At(examined))
            .put("reported_at", At(reported))
            .put("diagnosis_code", order.code)
            .put("diagnosis_name", self.name_of("icd10", order.code))
            .put("findings", findings)
            .put("conclusion", conclusion)
            .put("result_flag", if abnormal { "2" } else { "1" })
            .put("examiner_name", examiner)
            .put("reporter_name", reporter)
            .put("reviewer_name", reviewer)
            .put("revision_mark", 0);
        self.send(row, institution, reported)?;
        if self.institution(institution).kind == Kind::Hospital && self.dice.chance(0.25) {
            let kind = match image {
                Image::Ecg => "04",
                Image::Gastroscopy => "02",
                _ => "03",
            };
            let text = format!("{}报告\n{findings}\n结论：{conclusion}\n", about.name);
            self.document(institution, kind, about.name, &text, order, Some(&report_no), reported)?;
        }
        Ok(())
    }

    /// A written document. Its digest is that of its text, which is its content.
    #[allow(clippy::too_many_arguments)] // each is a column
    pub fn document(
        &mut self,
        institution: usize,
        kind: &'static str,
        title: &str,
        text: &str,
        order: &Order<'_>,
        report_no: Option<&str>,
        at: NaiveDateTime,
    ) -> Result<(), Fault> {
        use sha2::Digest;
        use std::fmt::Write;
        let number = self.number();
        let mut digest = String::with_capacity(64);
        for byte in sha2::Sha256::digest(text.as_bytes()) {
            let _ = write!(digest, "{byte:02x}");
        }
        let (department, doctor) = self.staff(institution, order.departments);
        let mut row = self.row("report_file", institution, at);
        row.put("file_no", format_args!("WS{number:08}"))
            .put("kind", kind)
            .put("title", title)
            .put("visit_kind", order.kind)
            .put("visit_no", order.visit_no)
            .put_some("report_no", report_no)
            .put("recorded_at", At(at))
            .put("department_code", &department.code)
            .put("department_name", department.name)
            .put("doctor_no", &doctor.no)
            .put("doctor_name", &doctor.name)
            .put("summary", text)
            .put("file_name", format_args!("WS{number:08}.txt"))
            .put("media_type", "text/plain; charset=utf-8")
            .put("file_size", text.len())
            .put("file_digest", digest)
            .put("revision_mark", 0);
        self.send(row, institution, at)
    }
}

/// The columns of a charge, alike for outpatients and inpatients.
pub(crate) fn fill_charge(row: &mut crate::sheet::Row<'_>, charge: &Charge, insured: i64) {
    let amount = charge.amount();
    row.put("charge_kind", "1")
        .put("fee_class", charge.class)
        .put("item_code", &charge.code)
        .put("national_code", &charge.national)
        .put("item_name", &charge.name)
        .put("item_level", if charge.price.0 > 100_000 { "02" } else { "01" })
        .put("specification", charge.spec)
        .put("unit", charge.unit)
        .put("unit_price", charge.price)
        .put("quantity", charge.quantity)
        .put("amount", amount)
        .put("personal_amount", Fen(amount.0 - amount.0 * insured / 100));
}
