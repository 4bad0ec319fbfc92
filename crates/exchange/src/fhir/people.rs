//! Patients, and the person, visit, practitioner and department that other resources refer to.

use serde_json::Value;

use super::draft::Draft;
use super::graph::Target;
use super::view::{address, all, first, has_code, identifier, identifier_of, person_name, text};
use super::{Mapper, NO_PATIENT, Outcome};

/// Object identifier of the citizen identity card number.
const CITIZEN_ID: &str = "2.16.156.10011.1.3";
/// Object identifier of the resident health card number.
const HEALTH_CARD: &str = "2.16.156.10011.1.19";

/// The patient of a resource.
pub(super) struct Whose<'a> {
    pub(super) local_no: String,
    pub(super) name: Option<String>,
    patient: Option<&'a Value>,
}

/// The visit of a resource.
pub(super) struct Visit<'a> {
    pub(super) no: String,
    pub(super) inpatient: bool,
    /// WS/T 364 CV09.00.404; empty where the visit itself is not at hand.
    pub(super) kind: &'static str,
    /// The Encounter, if it is at hand.
    pub(super) resource: Option<(usize, &'a Value)>,
}

impl Visit<'_> {
    /// When the visit began.
    pub(super) fn start(&self) -> Option<&str> {
        self.resource.and_then(|(_, r)| r.get("period")).and_then(|p| text(p, "start"))
    }
}

/// The institution's own number of a patient.
fn local_no(patient: &Value, id: &str) -> String {
    identifier(patient, "MR").unwrap_or(id).to_owned()
}

/// Whether an Encounter is a stay, and the code of its kind.
pub(super) fn visit_kind(encounter: &Value) -> (bool, &'static str) {
    match encounter.get("class").and_then(|c| text(c, "code")).unwrap_or_default() {
        "IMP" | "ACUTE" | "NONACUTE" | "OBSENC" | "SS" => (true, "3"),
        "EMER" => (false, "2"),
        _ => (false, "1"),
    }
}

fn credential(patient: &Value) -> Option<(&'static str, &str)> {
    let citizen = identifier_of(patient, CITIZEN_ID).or_else(|| identifier(patient, "NNCHN"));
    citizen
        .map(|n| ("01", n))
        .or_else(|| identifier(patient, "PPN").map(|n| ("03", n)))
        .or_else(|| identifier(patient, "SS").map(|n| ("99", n)))
}

fn phone(value: &Value) -> Option<&str> {
    let phones = || all(value, "telecom").iter().filter(|t| text(t, "system") == Some("phone"));
    phones()
        .find(|t| text(t, "use") == Some("mobile"))
        .or_else(|| phones().next())
        .and_then(|t| text(t, "value"))
}

fn sex(patient: &Value) -> Option<&'static str> {
    Some(match text(patient, "gender")? {
        "male" => "1",
        "female" => "2",
        "unknown" => "0",
        _ => "9",
    })
}

impl<'a> Mapper<'a> {
    /// The patient that one of these members refers to.
    pub(super) fn whose(&self, index: usize) -> Result<Whose<'a>, &'static str> {
        let resource = self.graph.entries[index].content;
        let reference = resource.get("subject").or_else(|| resource.get("patient"));
        match self.graph.target(index, reference) {
            Some(Target::Entry(i)) if self.graph.entries[i].kind == "Patient" => {
                let entry = &self.graph.entries[i];
                Ok(Whose {
                    local_no: local_no(entry.content, &entry.id),
                    name: person_name(entry.content),
                    patient: Some(entry.content),
                })
            }
            Some(Target::Contained(patient)) if text(patient, "resourceType") == Some("Patient") => {
                Ok(Whose {
                    local_no: identifier(patient, "MR").ok_or(NO_PATIENT)?.to_owned(),
                    name: person_name(patient),
                    patient: Some(patient),
                })
            }
            Some(Target::Outside(id, display)) => {
                Ok(Whose { local_no: id.to_owned(), name: display.map(str::to_owned), patient: None })
            }
            _ => Err(NO_PATIENT),
        }
    }

    /// Writes what the row's data set wants to know of the patient.
    pub(super) fn put_person(&self, draft: &mut Draft<'_>, whose: &Whose<'_>) {
        draft.set("patient_no", Some(&whose.local_no));
        if draft.has("patient_name") {
            draft.set("patient_name", whose.name.as_deref());
        }
        let Some(patient) = whose.patient else { return };
        if draft.has("sex") {
            draft.set("sex", sex(patient));
        }
        if draft.has("birth_date") {
            draft.when("birth_date", text(patient, "birthDate"));
        }
        if let Some((kind, number)) = credential(patient)
            && draft.has("credential_no")
        {
            draft.set("credential_kind", Some(kind));
            draft.set("credential_no", Some(number));
        }
        if draft.has("card_no") {
            draft.set("card_no", identifier_of(patient, HEALTH_CARD));
        }
        if draft.has("phone") {
            draft.set("phone", phone(patient));
        }
    }

    /// The visit that `reference` leads to.
    pub(super) fn visit(&self, index: usize, reference: Option<&'a Value>) -> Option<Visit<'a>> {
        match self.graph.target(index, reference)? {
            Target::Entry(i) if self.graph.entries[i].kind == "Encounter" => {
                let entry = &self.graph.entries[i];
                let (inpatient, kind) = visit_kind(entry.content);
                let no = identifier(entry.content, "VN").unwrap_or(&entry.id).to_owned();
                Some(Visit { no, inpatient, kind, resource: Some((i, entry.content)) })
            }
            Target::Outside(id, _) => {
                Some(Visit { no: id.to_owned(), inpatient: false, kind: "", resource: None })
            }
            _ => None,
        }
    }

    /// The visit of a resource by its member `encounter`.
    pub(super) fn visit_of(&self, index: usize) -> Option<Visit<'a>> {
        let resource = self.graph.entries[index].content;
        self.visit(index, resource.get("encounter"))
    }

    /// What a reference to a person, organization or place is called.
    pub(super) fn called(&self, index: usize, reference: Option<&'a Value>) -> Option<String> {
        let named = |resource: &'a Value| match resource.get("name") {
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => person_name(resource),
            None => None,
        };
        match self.graph.target(index, reference)? {
            Target::Entry(i) => {
                let entry = &self.graph.entries[i];
                // A role names its practitioner in turn.
                if entry.kind == "PractitionerRole" {
                    let inner = self.graph.target(i, entry.content.get("practitioner"));
                    return match inner {
                        Some(Target::Entry(p)) => named(self.graph.entries[p].content),
                        Some(Target::Outside(_, display)) => display.map(str::to_owned),
                        Some(Target::Named(display)) => Some(display.to_owned()),
                        _ => None,
                    };
                }
                named(entry.content).or_else(|| reference.and_then(|r| text(r, "display")).map(str::to_owned))
            }
            Target::Contained(resource) => named(resource),
            Target::Outside(_, display) => display.map(str::to_owned),
            Target::Named(display) => Some(display.to_owned()),
        }
    }

    /// Writes the doctor and the department: the named one, failing that those of the visit.
    pub(super) fn put_staff(
        &self,
        draft: &mut Draft<'_>,
        index: usize,
        doctor: Option<&'a Value>,
        visit: Option<&Visit<'a>>,
    ) {
        let mut name = self.called(index, doctor);
        let mut department = None;
        if let Some((i, encounter)) = visit.and_then(|v| v.resource) {
            name = name.or_else(|| {
                all(encounter, "participant").iter().find_map(|p| self.called(i, p.get("individual")))
            });
            department = self.called(i, encounter.get("serviceProvider"));
        }
        draft.set("doctor_name", name.as_deref());
        draft.set("department_name", department.as_deref());
    }

    pub(super) fn patient(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let patient = entry.content;
        let mut draft = self.draft("patient")?;
        let whose = Whose {
            local_no: local_no(patient, &entry.id),
            name: person_name(patient),
            patient: Some(patient),
        };
        self.put_person(&mut draft, &whose);
        if let Some(card) = identifier_of(patient, HEALTH_CARD) {
            draft.set("card_kind", Some("1"));
            draft.set("card_no", Some(card));
        }
        if let Some(home) = first(patient, "address") {
            draft.set("address", address(home).as_deref());
            draft.set("postal_code", text(home, "postalCode").filter(|p| p.len() <= 6));
        }
        if let Some(marital) = patient.get("maritalStatus") {
            let code = [("S", "10"), ("U", "10"), ("M", "20"), ("W", "30"), ("D", "40")]
                .into_iter()
                .find(|(theirs, _)| has_code(marital, &[theirs]))
                .map_or("90", |(_, ours)| ours);
            draft.set("marital", Some(code));
        }
        if let Some(contact) = first(patient, "contact") {
            let name = contact.get("name").and_then(|n| text(n, "text").map(str::to_owned));
            let name = name.or_else(|| {
                let family = contact.get("name").and_then(|n| text(n, "family"))?;
                Some(family.to_owned())
            });
            draft.set("contact_name", name.as_deref());
            draft.set("contact_phone", phone(contact));
        }
        // FHIR has no time of registration. What does not change from one sending to the next is taken.
        let updated = patient.get("meta").and_then(|m| text(m, "lastUpdated"));
        let registered = updated.or_else(|| self.graph.first_visit.get(&index).copied());
        if registered.is_none() {
            draft.note("没有建档时间，以出生日期代替");
        }
        let registered = registered.or_else(|| text(patient, "birthDate")).ok_or(super::NO_TIME)?;
        draft.when("registered_at", Some(registered));
        self.add(index, draft);
        Ok(())
    }
}
