//! Medication requests, immunizations and allergies.

use serde_json::Value;

use super::draft::Draft;
use super::graph::Target;
use super::view::{ICD10, all, code_in, codings, first, has_code, name_of, quantity, text, time, unit};
use super::visits::withdraw;
use super::{Mapper, NO_TIME, NO_VISIT, Outcome};

/// Marks of the national drug code and of the medical-insurance drug code.
const DRUG: &[&str] = &["nhsa", "nmpa", "2.16.156.10011.2.3.3.9"];
/// Marks of the national vaccine code.
const VACCINE: &[&str] = &["2.16.156.10011.2.3.3.13", "cn-vaccine"];

/// Dosage in words: the text as written, failing that out of its timing.
fn usage(dosage: &Value) -> Option<String> {
    if let Some(written) = text(dosage, "text") {
        return Some(written.to_owned());
    }
    let mut words = Vec::new();
    if let Some(repeat) = dosage.get("timing").and_then(|t| t.get("repeat")) {
        let frequency = repeat.get("frequency").and_then(Value::as_f64).unwrap_or(1.0);
        let period = repeat.get("period").and_then(Value::as_f64).unwrap_or(1.0);
        let unit = match text(repeat, "periodUnit") {
            Some("s") => "秒",
            Some("min") => "分钟",
            Some("h") => "小时",
            Some("d") => "天",
            Some("wk") => "周",
            Some("mo") => "月",
            Some("a") => "年",
            _ => "",
        };
        if !unit.is_empty() {
            words.push(format!("每 {period} {unit} {frequency} 次"));
        }
    }
    if dosage.get("asNeededBoolean").and_then(Value::as_bool) == Some(true) {
        words.push("必要时".to_owned());
    }
    let more = all(dosage, "additionalInstruction").iter().filter_map(name_of).map(str::to_owned);
    words.extend(more);
    Some(words.join("，")).filter(|w| !w.is_empty())
}

/// Writes dose and route of a dosage.
fn put_dosage(draft: &mut Draft<'_>, request: &Value) {
    let Some(dosage) = first(request, "dosageInstruction") else { return };
    if let Some(dose) = first(dosage, "doseAndRate").and_then(|d| d.get("doseQuantity")) {
        draft.number("dose", dose.get("value"));
        draft.set("dose_unit", unit(dose));
    }
    let national = dosage.get("route").and_then(|r| code_in(r, &["2.16.156.10011.2.3.1.158"]));
    draft.code("route", national);
    if let Some(amount) = request.get("dispenseRequest").and_then(|d| d.get("quantity")) {
        draft.number("quantity", amount.get("value"));
        draft.set("quantity_unit", unit(amount));
    }
}

impl<'a> Mapper<'a> {
    /// The concept that names the medicine of a request, also by way of a Medication.
    fn medicine(&self, index: usize) -> Option<&'a Value> {
        let request = self.graph.entries[index].content;
        if let Some(concept) = request.get("medicationCodeableConcept") {
            return Some(concept);
        }
        match self.graph.target(index, request.get("medicationReference"))? {
            Target::Entry(i) => self.graph.entries[i].content.get("code"),
            Target::Contained(medication) => medication.get("code"),
            _ => None,
        }
    }

    pub(super) fn medication_request(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let request = entry.content;
        let id = entry.id.clone();
        if matches!(text(request, "intent"), Some("proposal" | "plan" | "option")) {
            return Err("只是用药建议或计划，不是医嘱");
        }
        if matches!(text(request, "status"), Some("draft")) {
            return Err("医嘱尚未开立");
        }
        let whose = self.whose(index)?;
        let visit = self.visit_of(index).ok_or(NO_VISIT)?;
        let medicine = self.medicine(index);
        let name = medicine
            .and_then(name_of)
            .or_else(|| request.get("medicationReference").and_then(|r| text(r, "display")))
            .ok_or("没有药品名称")?;
        let ordered = time(request, &["authoredOn"]).or_else(|| visit.start()).ok_or(NO_TIME)?;
        let national = medicine.and_then(|m| code_in(m, DRUG));
        let own = medicine.and_then(|m| codings(m).map(|c| c.code).find(|c| !c.is_empty()));
        let dosage = first(request, "dosageInstruction").and_then(usage);
        let requester = request.get("requester");
        if visit.inpatient {
            let mut draft = self.draft("inpatient_order")?;
            self.put_person(&mut draft, &whose);
            self.put_staff(&mut draft, index, requester, Some(&visit));
            draft.set("order_no", Some(&id));
            draft.set("stay_no", Some(&visit.no));
            draft.code("item_code", own);
            draft.code("drug_code", national);
            draft.set("content", Some(name));
            draft.when("ordered_at", Some(ordered));
            draft.set("execution_status", text(request, "status"));
            draft.set("remark", dosage.as_deref());
            put_dosage(&mut draft, request);
            withdraw(&mut draft, request);
            self.add(index, draft);
            return Ok(());
        }
        let group = request.get("groupIdentifier").and_then(|g| text(g, "value"));
        let no = group.unwrap_or(&id).to_owned();
        // One prescription for all requests of a group.
        if self.made.insert(format!("prescription {no}")) {
            let mut draft = self.draft("prescription")?;
            self.put_person(&mut draft, &whose);
            self.put_staff(&mut draft, index, requester, Some(&visit));
            draft.set("prescription_no", Some(&no));
            draft.set("visit_no", Some(&visit.no));
            draft.when("prescribed_at", Some(ordered));
            let reason = first(request, "reasonCode");
            let cited = match self.graph.target(index, first(request, "reasonReference")) {
                Some(Target::Entry(i)) => self.graph.entries[i].content.get("code"),
                _ => None,
            };
            let reason = reason.or(cited);
            draft.code("diagnosis_code", reason.and_then(|r| code_in(r, ICD10)));
            draft.set("diagnosis_name", reason.and_then(name_of));
            if group.is_none() {
                withdraw(&mut draft, request);
            }
            self.add(index, draft);
        }
        let mut draft = self.draft("prescription_item")?;
        self.put_person(&mut draft, &whose);
        draft.set("prescription_no", Some(&no));
        draft.set("item_no", Some(&id));
        draft.set("visit_no", Some(&visit.no));
        draft.when("prescribed_at", Some(ordered));
        draft.code("item_code", own);
        draft.code("drug_code", national);
        draft.set("drug_name", Some(name));
        draft.set("usage", dosage.as_deref());
        put_dosage(&mut draft, request);
        let supply = request.get("dispenseRequest").and_then(|d| d.get("expectedSupplyDuration"));
        if supply.and_then(unit).is_some_and(|u| matches!(u, "d" | "day" | "days" | "天")) {
            draft.number("days", supply.and_then(|s| s.get("value")));
        }
        withdraw(&mut draft, request);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn immunization(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let given = entry.content;
        if text(given, "status") == Some("not-done") {
            return Err("没有接种");
        }
        let whose = self.whose(index)?;
        let visit = self.visit_of(index);
        let vaccine = given.get("vaccineCode").ok_or("没有疫苗名称")?;
        let at =
            time(given, &["occurrenceDateTime"]).or_else(|| time(given, &["recorded"])).ok_or(NO_TIME)?;
        let mut draft = self.draft("immunization")?;
        self.put_person(&mut draft, &whose);
        draft.set("immunization_no", Some(&entry.id));
        draft.code("vaccine_code", code_in(vaccine, VACCINE));
        draft.set("vaccine_name", Some(name_of(vaccine).ok_or("没有疫苗名称")?));
        draft.when("vaccinated_at", Some(at));
        let protocol = first(given, "protocolApplied");
        draft.number("dose_no", protocol.and_then(|p| p.get("doseNumberPositiveInt")));
        draft.set("batch_no", text(given, "lotNumber"));
        draft.when("expires_on", text(given, "expirationDate"));
        draft.set("manufacturer", self.called(index, given.get("manufacturer")).as_deref());
        if let Some(dose) = given.get("doseQuantity").filter(|d| quantity(d).is_some()) {
            draft.number("dose_amount", dose.get("value"));
            draft.set("dose_unit", unit(dose));
        }
        let performer = all(given, "performer").iter().find_map(|p| p.get("actor"));
        draft.set("doctor_name", self.called(index, performer).as_deref());
        let place = self.called(index, given.get("location")).or_else(|| {
            let (i, encounter) = visit.as_ref()?.resource?;
            self.called(i, encounter.get("serviceProvider"))
        });
        draft.set("unit_name", place.as_deref());
        withdraw(&mut draft, given);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn allergy(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let allergy = entry.content;
        let whose = self.whose(index)?;
        let visit = self.visit_of(index);
        let name = allergy.get("code").and_then(name_of).ok_or("没有过敏源名称")?;
        let onset = time(allergy, &["onsetDateTime", "onsetPeriod"]);
        let updated = allergy.get("meta").and_then(|m| text(m, "lastUpdated"));
        let recorded = time(allergy, &["recordedDate"]).or(onset).or(updated).ok_or(NO_TIME)?;
        let mut draft = self.draft("allergy")?;
        self.put_person(&mut draft, &whose);
        self.put_staff(
            &mut draft,
            index,
            allergy.get("recorder").or_else(|| allergy.get("asserter")),
            visit.as_ref(),
        );
        draft.set("allergy_no", Some(&entry.id));
        draft.set("visit_no", visit.as_ref().map(|v| v.no.as_str()));
        let kinds = all(allergy, "category");
        let kind = match kinds {
            [one] => match one.as_str() {
                Some("medication") => Some("1"),
                Some("food") => Some("2"),
                Some("environment") => Some("3"),
                _ => Some("9"),
            },
            [] => None,
            _ => Some("4"),
        };
        draft.set("allergen_kind", kind);
        draft.set("allergen_name", Some(name));
        let reactions = all(allergy, "reaction");
        let shown: Vec<&str> = reactions
            .iter()
            .flat_map(|r| all(r, "manifestation").iter().filter_map(name_of).chain(text(r, "description")))
            .collect();
        draft.set("reaction", Some(&shown.join("；")));
        let severity = reactions.iter().filter_map(|r| text(r, "severity")).map(|s| match s {
            "mild" => "1",
            "moderate" => "2",
            _ => "3",
        });
        draft.set("severity", severity.max());
        let refuted = allergy.get("verificationStatus").is_some_and(|s| has_code(s, &["refuted"]));
        let active = allergy.get("clinicalStatus").is_some_and(|s| has_code(s, &["active"]));
        draft.set("status", if refuted { Some("2") } else { active.then_some("1") });
        draft.when("onset_on", onset);
        draft.when("recorded_at", Some(recorded));
        withdraw(&mut draft, allergy);
        self.add(index, draft);
        Ok(())
    }
}
