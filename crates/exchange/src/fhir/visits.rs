//! Encounters, conditions and procedures.

use serde_json::Value;

use super::draft::Draft;
use super::people::visit_kind;
use super::view::{ICD9, ICD10, all, code_in, first, has_code, identifier, name_of, text, time};
use super::{Mapper, NO_TIME, NO_VISIT, Outcome};

/// Marks a row as withdrawn when its resource was entered in error.
pub(super) fn withdraw(draft: &mut Draft<'_>, resource: &Value) {
    let wrong = text(resource, "status") == Some("entered-in-error")
        || resource.get("verificationStatus").is_some_and(|s| has_code(s, &["entered-in-error"]));
    if wrong {
        draft.set("revision_mark", Some("2"));
    }
}

impl<'a> Mapper<'a> {
    pub(super) fn encounter(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let encounter = entry.content;
        if matches!(text(encounter, "status"), Some("planned" | "cancelled")) {
            return Err("就诊尚未发生或已取消");
        }
        let whose = self.whose(index)?;
        let period = encounter.get("period");
        let start = period.and_then(|p| text(p, "start")).ok_or(NO_TIME)?;
        let end = period.and_then(|p| text(p, "end"));
        let (inpatient, kind) = visit_kind(encounter);
        let no = identifier(encounter, "VN").unwrap_or(&entry.id).to_owned();
        let mut draft = self.draft(if inpatient { "inpatient_stay" } else { "outpatient_visit" })?;
        self.put_person(&mut draft, &whose);
        let visit = super::people::Visit { no, inpatient, kind, resource: Some((index, encounter)) };
        self.put_staff(&mut draft, index, None, Some(&visit));
        let condition = self
            .graph
            .conditions
            .get(&index)
            .and_then(|c| c.first())
            .and_then(|i| self.graph.entries[*i].content.get("code"));
        draft.code("diagnosis_code", condition.and_then(|c| code_in(c, ICD10)));
        draft.set("diagnosis_name", condition.and_then(name_of));
        let reason = first(encounter, "reasonCode");
        if inpatient {
            draft.set("stay_no", Some(&visit.no));
            draft.when("admitted_at", Some(start));
            draft.when("discharged_at", end);
            draft.code("admission_diagnosis_code", reason.and_then(|r| code_in(r, ICD10)));
            draft.set("admission_diagnosis_name", reason.and_then(name_of));
            let way = encounter.get("hospitalization").and_then(|h| h.get("dischargeDisposition"));
            let code = way.and_then(|w| {
                [("home", "1"), ("other-hcf", "2"), ("aadvice", "4"), ("exp", "5"), ("oth", "9")]
                    .into_iter()
                    .find(|(theirs, _)| has_code(w, &[theirs]))
            });
            draft.set("discharge_way", code.map(|(_, ours)| ours));
        } else {
            draft.set("visit_no", Some(&visit.no));
            draft.set("visit_kind", Some(visit.kind));
            draft.when("visit_time", Some(start));
            draft.when("ended_at", end);
            draft.set("chief_complaint", reason.and_then(name_of));
        }
        withdraw(&mut draft, encounter);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn condition(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let condition = entry.content;
        let verified = condition.get("verificationStatus");
        if verified.is_some_and(|v| has_code(v, &["refuted"])) {
            return Err("诊断已被否定");
        }
        let whose = self.whose(index)?;
        let visit = self.visit_of(index).ok_or(NO_VISIT)?;
        let code = condition.get("code");
        let name = code.and_then(name_of).ok_or("没有诊断名称")?;
        let onset = time(condition, &["onsetDateTime", "onsetPeriod"]);
        let diagnosed =
            time(condition, &["recordedDate"]).or(onset).or_else(|| visit.start()).ok_or(NO_TIME)?;
        let mut draft = self.draft("visit_diagnosis")?;
        self.put_person(&mut draft, &whose);
        self.put_staff(
            &mut draft,
            index,
            condition.get("asserter").or_else(|| condition.get("recorder")),
            Some(&visit),
        );
        draft.set("visit_no", Some(&visit.no));
        draft.set("diagnosis_no", Some(&entry.id));
        draft.code("diagnosis_code", code.and_then(|c| code_in(c, ICD10)));
        draft.set("diagnosis_name", Some(name));
        let certainty = verified.and_then(|v| {
            if has_code(v, &["confirmed"]) {
                Some("1")
            } else if has_code(v, &["provisional", "differential", "unconfirmed"]) {
                Some("2")
            } else {
                None
            }
        });
        draft.set("certainty", certainty);
        draft.when("onset_on", onset);
        draft.when("diagnosed_at", Some(diagnosed));
        draft.when("resolved_on", time(condition, &["abatementDateTime", "abatementPeriod"]));
        withdraw(&mut draft, condition);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn procedure(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let procedure = entry.content;
        if matches!(text(procedure, "status"), Some("preparation" | "not-done" | "on-hold" | "stopped")) {
            return Err("手术或操作没有完成");
        }
        let whose = self.whose(index)?;
        let visit = self.visit_of(index);
        let code = procedure.get("code");
        let name = code.and_then(name_of).ok_or("没有手术或操作名称")?;
        let started = time(procedure, &["performedDateTime", "performedPeriod", "performedString"])
            .or_else(|| visit.as_ref().and_then(|v| v.start()))
            .ok_or(NO_TIME)?;
        let mut draft = self.draft("operation")?;
        self.put_person(&mut draft, &whose);
        let performer = all(procedure, "performer").iter().find_map(|p| p.get("actor"));
        self.put_staff(&mut draft, index, performer, visit.as_ref());
        draft.set("operation_no", Some(&entry.id));
        if let Some(visit) = &visit {
            draft.set(if visit.inpatient { "stay_no" } else { "visit_no" }, Some(&visit.no));
        }
        draft.code("operation_code", code.and_then(|c| code_in(c, ICD9)));
        draft.set("operation_name", Some(name));
        draft.set("site", first(procedure, "bodySite").and_then(name_of));
        let reason = first(procedure, "reasonCode");
        draft.code("diagnosis_code", reason.and_then(|r| code_in(r, ICD10)));
        let indication = first(procedure, "reasonReference").and_then(|r| text(r, "display"));
        draft.set("diagnosis_name", reason.and_then(name_of).or(indication));
        draft.when("started_at", Some(started));
        let end = procedure.get("performedPeriod").and_then(|p| text(p, "end"));
        draft.when("ended_at", end);
        withdraw(&mut draft, procedure);
        self.add(index, draft);
        Ok(())
    }
}
