//! Observations, diagnostic reports, imaging studies and documents.

use std::collections::HashMap;

use serde_json::Value;

use super::draft::Draft;
use super::people::Visit;
use super::view::{
    LOINC, all, code_in, codings, first, has_code, moment, name_of, quantity, text, time, unit,
};
use super::visits::withdraw;
use super::{Mapper, NO_TIME, Outcome};

/// Vital signs that a physical examination has a field for: LOINC, field, units that it is measured in.
const SIGNS: [(&str, &str, &[&str]); 12] = [
    ("8302-2", "height", &["cm"]),
    ("29463-7", "weight", &["kg"]),
    ("3141-9", "weight", &["kg"]),
    ("39156-5", "bmi", &["kg/m2", "kg/m²"]),
    ("8480-6", "systolic", &["mm[Hg]", "mmHg", "mm Hg"]),
    ("8462-4", "diastolic", &["mm[Hg]", "mmHg", "mm Hg"]),
    ("8310-5", "temperature", &["Cel", "℃", "°C"]),
    ("8331-1", "temperature", &["Cel", "℃", "°C"]),
    ("8867-4", "heart_rate", &["/min", "{beats}/min", "beats/min"]),
    ("9279-1", "respiration", &["/min", "{breaths}/min", "breaths/min"]),
    ("8280-0", "waist", &["cm"]),
    ("56086-2", "waist", &["cm"]),
];

fn category(resource: &Value, codes: &[&str]) -> bool {
    match resource.get("category") {
        Some(Value::Array(items)) => items.iter().any(|c| has_code(c, codes)),
        Some(one) => has_code(one, codes),
        None => false,
    }
}

/// The field of a sign and its value, when code and unit are known.
fn sign(value: &Value) -> Option<(&'static str, &Value)> {
    let code = value.get("code")?;
    let quantity = value.get("valueQuantity")?;
    let written = unit(quantity)?;
    let coded = text(quantity, "code").unwrap_or(written);
    let (_, field, _) = SIGNS.iter().find(|(loinc, _, units)| {
        codings(code).any(|c| c.code == *loinc) && (units.contains(&written) || units.contains(&coded))
    })?;
    Some((field, quantity.get("value").filter(|v| v.is_number())?))
}

/// All signs of an observation; `None` when some part of it has no field.
fn signs(observation: &Value) -> Option<Vec<(&'static str, &Value)>> {
    let components = all(observation, "component");
    if components.is_empty() {
        return sign(observation).map(|s| vec![s]);
    }
    if observation.get("valueQuantity").is_some() {
        return None;
    }
    components.iter().map(sign).collect()
}

fn effective(observation: &Value) -> Option<&str> {
    time(observation, &["effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"])
}

fn interpretation(observation: &Value) -> Option<&'static str> {
    let concept = first(observation, "interpretation")?;
    [
        ("N", "N"),
        ("H", "H"),
        ("HU", "H"),
        ("L", "L"),
        ("LU", "L"),
        ("HH", "HH"),
        ("LL", "LL"),
        ("A", "A"),
        ("AA", "A"),
        ("POS", "A"),
        ("DET", "A"),
        ("NEG", "N"),
        ("ND", "N"),
    ]
    .into_iter()
    .find(|(theirs, _)| has_code(concept, &[theirs]))
    .map(|(_, ours)| ours)
}

/// Whether rounding to the digits of a result would leave nothing of the number.
fn vanishes(quantity: &Value) -> bool {
    quantity.get("value").and_then(Value::as_f64).is_some_and(|v| v != 0.0 && v.abs() < 0.001)
}

/// Writes the value of an observation or component.
fn put_value(draft: &mut Draft<'_>, value: &Value) {
    if let Some(q) = value.get("valueQuantity") {
        let comparator = text(q, "comparator");
        let written = quantity(q);
        match (comparator, &written) {
            (None, Some(n)) if n.len() <= 20 && !vanishes(q) => draft.number("result_number", q.get("value")),
            (comparator, Some(n)) => {
                draft.set("result_text", Some(&format!("{}{n}", comparator.unwrap_or_default())));
            }
            _ => {}
        }
        draft.set("unit", unit(q));
    } else if let Some(concept) = value.get("valueCodeableConcept") {
        draft.set("result_text", name_of(concept));
    } else if let Some(written) = text(value, "valueString").or_else(|| text(value, "valueDateTime")) {
        draft.set("result_text", Some(written));
    } else if let Some(yes) = value.get("valueBoolean").and_then(Value::as_bool) {
        draft.set("result_text", Some(if yes { "是" } else { "否" }));
    } else if let Some(n) = value.get("valueInteger") {
        draft.number("result_number", Some(n));
    } else if let Some(ratio) = value.get("valueRatio") {
        let part = |name| ratio.get(name).and_then(quantity);
        if let (Some(a), Some(b)) = (part("numerator"), part("denominator")) {
            draft.set("result_text", Some(&format!("{a}:{b}")));
        }
    } else if let Some(range) = value.get("valueRange") {
        let part = |name| range.get(name).and_then(quantity).unwrap_or_default();
        draft.set("result_text", Some(&format!("{}～{}", part("low"), part("high"))));
    } else if let Some(reason) = value.get("dataAbsentReason") {
        draft.set("result_text", name_of(reason));
    }
    if let Some(range) = first(value, "referenceRange") {
        draft.number("reference_low", range.get("low").and_then(|q| q.get("value")));
        draft.number("reference_high", range.get("high").and_then(|q| q.get("value")));
        draft.set("reference_text", text(range, "text"));
    }
    draft.set("abnormal_flag", interpretation(value));
}

impl<'a> Mapper<'a> {
    /// Vital signs of one visit become one examination, under the position of the first.
    pub(super) fn vital_signs(&mut self) {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for index in 0..self.graph.entries.len() {
            let entry = &self.graph.entries[index];
            let vital = entry.kind == "Observation"
                && entry.refused.is_none()
                && !matches!(text(entry.content, "status"), Some("cancelled" | "entered-in-error"))
                && category(entry.content, &["vital-signs"])
                && !self.graph.report_of.contains_key(&index);
            if !vital || signs(entry.content).is_none() {
                continue;
            }
            let Some(key) = self.exam_no(index) else { continue };
            match by_key.get(&key) {
                Some(group) => groups[*group].1.push(index),
                None => {
                    by_key.insert(key, groups.len());
                    groups.push((index, vec![index]));
                }
            }
        }
        for (lead, members) in groups {
            let Ok(mut draft) = self.draft("physical_exam") else { return };
            let (Ok(whose), Some(no)) = (self.whose(lead), self.exam_no(lead)) else { continue };
            let visit = self.visit_of(lead);
            self.put_person(&mut draft, &whose);
            self.put_staff(
                &mut draft,
                lead,
                first(self.graph.entries[lead].content, "performer"),
                visit.as_ref(),
            );
            draft.set("exam_no", Some(&no));
            let content = |i: usize| self.graph.entries[i].content;
            let earliest = members.iter().filter_map(|i| effective(content(*i))).min();
            draft.when("exam_date", earliest);
            let mut used = Vec::new();
            for index in members {
                let found = signs(content(index)).unwrap_or_default();
                // A second measurement has no place: it is kept.
                if found.iter().any(|(field, _)| !draft.is_empty(field)) {
                    continue;
                }
                for (field, value) in found {
                    draft.number(field, Some(value));
                }
                used.push(index);
            }
            self.add(lead, draft);
            for index in used {
                self.graph.entries[index].used = true;
            }
        }
    }

    /// The number of the examination that a vital sign belongs to.
    fn exam_no(&self, index: usize) -> Option<String> {
        let observation = self.graph.entries[index].content;
        let at = effective(observation)?;
        let whose = self.whose(index).ok()?;
        Some(match self.visit_of(index) {
            Some(visit) => visit.no,
            None => {
                let day: String = compact(at).chars().take(8).collect();
                format!("{}-{day}", whose.local_no)
            }
        })
    }

    pub(super) fn observation(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let observation = entry.content;
        let id = entry.id.clone();
        if text(observation, "status") == Some("cancelled") {
            return Err("观察已取消");
        }
        let report = self.graph.report_of.get(&index).copied();
        let listed = report.filter(|r| self.is_laboratory(*r));
        if listed.is_none() && !category(observation, &["laboratory"]) {
            return Err(if category(observation, &["vital-signs"]) {
                "生命体征在体检数据集中没有相应字段，或同一次就诊重复测量"
            } else {
                "数据集中没有与此类观察（问卷、生活史、检查测量）相应的记录"
            });
        }
        let whose = self.whose(index)?;
        let at = effective(observation).or_else(|| {
            listed.and_then(|r| time(self.graph.entries[r].content, &["issued", "effectiveDateTime"]))
        });
        let at = at.ok_or(NO_TIME)?;
        let code = observation.get("code").ok_or("没有检验项目")?;
        let name = name_of(code).ok_or("没有检验项目")?;
        let visit = self.visit_of(index);
        let report_no = match listed {
            Some(r) => self.graph.entries[r].id.to_string(),
            None => {
                let of = visit.as_ref().map_or(whose.local_no.as_str(), |v| &v.no);
                let made: String = format!("{of}-{}", compact(at)).chars().take(50).collect();
                if !self.made.contains(&made) {
                    self.loose_report(index, &made, at, visit.as_ref())?;
                }
                made
            }
        };
        let components = all(observation, "component");
        let alone = components.is_empty()
            || observation.as_object().is_some_and(|o| o.keys().any(|k| k.starts_with("value")));
        let mut parts: Vec<(String, &'a Value, &'a Value, String)> = Vec::new();
        if alone {
            parts.push((id.to_string(), observation, code, name.to_owned()));
        }
        for (i, part) in components.iter().enumerate() {
            let own = part.get("code").unwrap_or(code);
            parts.push((format!("{id}-{}", i + 1), part, own, name_of(own).unwrap_or(name).to_owned()));
        }
        for (item_no, value, code, name) in parts {
            let mut draft = self.draft("lab_result")?;
            draft.set("report_no", Some(&report_no));
            draft.set("item_no", Some(&item_no));
            draft.set("patient_no", Some(&whose.local_no));
            let loinc = code_in(code, LOINC);
            draft.code("loinc_code", loinc);
            let own = codings(code).find(|c| Some(c.code) != loinc).map(|c| c.code);
            draft.code("item_code", own.or(loinc));
            draft.set("item_name", Some(&name));
            put_value(&mut draft, value);
            draft.set("method", observation.get("method").and_then(name_of));
            draft.when("tested_at", Some(at));
            draft.when("reported_at", Some(time(observation, &["issued"]).unwrap_or(at)));
            withdraw(&mut draft, observation);
            self.add(index, draft);
        }
        Ok(())
    }

    /// A report for results that come without one.
    fn loose_report(
        &mut self,
        index: usize,
        report_no: &str,
        at: &str,
        visit: Option<&Visit<'a>>,
    ) -> Outcome {
        let whose = self.whose(index)?;
        let mut draft = self.draft("lab_report")?;
        self.put_person(&mut draft, &whose);
        self.put_staff(&mut draft, index, first(self.graph.entries[index].content, "performer"), visit);
        put_visit(&mut draft, visit);
        draft.set("report_no", Some(report_no));
        draft.set("report_name", Some("检验结果（无报告单）"));
        draft.when("collected_at", Some(at));
        draft.when("reported_at", Some(at));
        self.made.insert(report_no.to_owned());
        self.add(index, draft);
        Ok(())
    }

    /// Whether an entry is a report of laboratory results.
    fn is_laboratory(&self, index: usize) -> bool {
        let report = self.graph.entries[index].content;
        exam_kind(report).is_none() && !all(report, "result").is_empty()
    }

    pub(super) fn diagnostic_report(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let report = entry.content;
        let whose = self.whose(index)?;
        let visit = self.visit_of(index);
        let examined = time(report, &["effectiveDateTime", "effectivePeriod"]);
        let reported = time(report, &["issued"]).or(examined).ok_or(NO_TIME)?;
        let name = report.get("code").and_then(name_of).ok_or("没有报告名称")?;
        let performer = first(report, "performer").or_else(|| first(report, "resultsInterpreter"));
        let laboratory = self.is_laboratory(index) || category(report, LABORATORY);
        let kind = exam_kind(report);
        if !laboratory && kind.is_none() && text(report, "conclusion").is_none() {
            // A document without structured content.
            let attachment = first(report, "presentedForm").ok_or("报告没有结果、结论或文件")?;
            return self.file(index, attachment, name, reported, "99");
        }
        let mut draft = self.draft(if laboratory { "lab_report" } else { "exam_report" })?;
        self.put_person(&mut draft, &whose);
        self.put_staff(&mut draft, index, None, visit.as_ref());
        put_visit(&mut draft, visit.as_ref());
        draft.set("report_no", Some(&entry.id));
        draft.set("report_name", Some(name));
        draft.set("reporter_name", self.called(index, performer).as_deref());
        draft.set(
            "conclusion",
            text(report, "conclusion").or_else(|| first(report, "conclusionCode").and_then(name_of)),
        );
        draft.when("reported_at", Some(reported));
        let request = first(report, "basedOn")
            .and_then(|r| text(r, "reference"))
            .and_then(|r| r.rsplit(['/', ':']).next());
        draft.set("request_no", request);
        if laboratory {
            draft.when("collected_at", examined);
        } else {
            draft.set("exam_kind", Some(kind.unwrap_or("OT")));
            draft.when("examined_at", examined);
            let studies = &self.graph.study_report;
            let study = studies.iter().filter(|(_, r)| **r == index).map(|(study, _)| *study).min();
            let uid = study.and_then(|s| study_uid(self.graph.entries[s].content));
            draft.set("study_uid", uid);
        }
        withdraw(&mut draft, report);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn imaging_study(&mut self, index: usize) -> Outcome {
        if self.graph.study_report.contains_key(&index) {
            return Err("检查影像已由同一批的检查报告引用，不另立一行");
        }
        let entry = &self.graph.entries[index];
        let study = entry.content;
        let whose = self.whose(index)?;
        let visit = self.visit_of(index);
        let series = first(study, "series");
        let started = time(study, &["started"])
            .or_else(|| series.and_then(|s| time(s, &["started"])))
            .ok_or(NO_TIME)?;
        let modality = series.and_then(|s| s.get("modality")).or_else(|| first(study, "modality"));
        let part = series.and_then(|s| s.get("bodySite")).and_then(|b| text(b, "display"));
        let shown = modality.and_then(|m| text(m, "display").or_else(|| text(m, "code")));
        let name = first(study, "procedureCode").and_then(name_of).or_else(|| text(study, "description"));
        let made = [shown, part].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = name.unwrap_or(&made);
        let mut draft = self.draft("exam_report")?;
        self.put_person(&mut draft, &whose);
        self.put_staff(&mut draft, index, study.get("referrer"), visit.as_ref());
        put_visit(&mut draft, visit.as_ref());
        draft.set("report_no", Some(&entry.id));
        draft.set("report_name", Some(if name.is_empty() { "影像检查" } else { name }));
        let kind = modality.and_then(|m| text(m, "code")).map_or("OT", modality_kind);
        draft.set("exam_kind", Some(kind));
        draft.set("body_part", part);
        draft.when("examined_at", Some(started));
        draft.when("reported_at", Some(started));
        draft.set("study_uid", study_uid(study));
        draft.set("remark", Some("只有影像，没有诊断报告"));
        withdraw(&mut draft, study);
        self.add(index, draft);
        Ok(())
    }

    pub(super) fn document(&mut self, index: usize) -> Outcome {
        let document = self.graph.entries[index].content;
        let attachment =
            first(document, "content").and_then(|c| c.get("attachment")).ok_or("文书没有文件")?;
        let concept = document.get("type");
        let name = text(document, "description")
            .or_else(|| text(attachment, "title"))
            .or_else(|| concept.and_then(name_of))
            .ok_or("文书没有名称")?;
        let kind = concept.and_then(|t| code_in(t, LOINC)).map_or("99", |code| match code {
            "11502-2" => "01",
            "18748-4" => "03",
            "11524-6" => "04",
            "11526-1" => "05",
            "34117-2" | "11506-3" | "34108-1" => "06",
            "18842-5" => "07",
            "59284-0" => "10",
            _ => "99",
        });
        let period = document.get("context").and_then(|c| time(c, &["period"]));
        let recorded = time(document, &["date"])
            .or_else(|| time(attachment, &["creation"]))
            .or(period)
            .ok_or(NO_TIME)?;
        self.file(index, attachment, name, recorded, kind)
    }

    /// A plan of care as a document of the record: what it is for is its title, its activities are its summary. There is
    /// no data set of plans; goals and progress stay in the original.
    pub(super) fn care_plan(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        let plan = entry.content;
        let recorded = time(plan, &["created"]).or_else(|| time(plan, &["period"])).ok_or(NO_TIME)?;
        let subjects: Vec<&str> =
            text(plan, "title").into_iter().chain(all(plan, "category").iter().filter_map(name_of)).collect();
        let activities: Vec<&str> = all(plan, "activity")
            .iter()
            .filter_map(|a| a.get("detail").and_then(|d| d.get("code")).and_then(name_of))
            .collect();
        if subjects.is_empty() && activities.is_empty() {
            return Err("计划没有名称和内容");
        }
        let title =
            format!("诊疗计划：{}", subjects.first().or(activities.first()).copied().unwrap_or_default());
        let whose = self.whose(index)?;
        let visit = self.visit(index, plan.get("encounter").or_else(|| plan.get("context")));
        let mut draft = self.draft("report_file")?;
        self.put_person(&mut draft, &whose);
        self.put_staff(&mut draft, index, plan.get("author"), visit.as_ref());
        put_visit(&mut draft, visit.as_ref());
        draft.set("file_no", Some(&entry.id));
        draft.set("kind", Some("11"));
        draft.set("title", Some(&title));
        draft.when("recorded_at", Some(recorded));
        draft.set("summary", Some(&activities.join("；")));
        withdraw(&mut draft, plan);
        self.add(index, draft);
        Ok(())
    }

    fn file(
        &mut self,
        index: usize,
        attachment: &'a Value,
        name: &str,
        recorded: &str,
        kind: &str,
    ) -> Outcome {
        let entry = &self.graph.entries[index];
        let resource = entry.content;
        let whose = self.whose(index)?;
        let context = resource.get("context").and_then(|c| first(c, "encounter"));
        let visit = self.visit(index, context.or_else(|| resource.get("encounter")));
        let mut draft = self.draft("report_file")?;
        self.put_person(&mut draft, &whose);
        let author = first(resource, "author").or_else(|| first(resource, "performer"));
        self.put_staff(&mut draft, index, author, visit.as_ref());
        put_visit(&mut draft, visit.as_ref());
        draft.set("file_no", Some(&entry.id));
        draft.set("kind", Some(kind));
        draft.set("title", Some(name));
        draft.when("recorded_at", Some(recorded));
        draft.set("file_name", text(attachment, "title"));
        draft.set("media_type", text(attachment, "contentType"));
        draft.number("file_size", attachment.get("size"));
        match text(attachment, "url") {
            Some(url) if url.chars().count() <= 200 => draft.set("content_ref", Some(url)),
            Some(_) => draft.note("文件地址过长，只在原文中"),
            None => {}
        }
        if attachment.get("data").is_some() {
            draft.note("文件内容内嵌在资源中，随原文保存");
        }
        if text(resource, "status") == Some("superseded") {
            draft.note("文书已被新版本取代");
        }
        withdraw(&mut draft, resource);
        self.add(index, draft);
        Ok(())
    }
}

/// HL7 v2 table 0074 codes of laboratory sections.
const LABORATORY: &[&str] = &[
    "LAB",
    "CH",
    "HM",
    "MB",
    "MCB",
    "MYC",
    "SR",
    "IMM",
    "BLB",
    "VR",
    "TX",
    "URN",
    "CG",
    "GE",
    "PAR",
    "ICU",
    "laboratory",
];

/// The kind of an examination report by its category; `None` for other reports.
fn exam_kind(report: &Value) -> Option<&'static str> {
    [
        ("CT", "CT"),
        ("CTH", "CT"),
        ("NMR", "MR"),
        ("NMS", "NM"),
        ("RAD", "DX"),
        ("RX", "DX"),
        ("RUS", "US"),
        ("OUS", "US"),
        ("VUS", "US"),
        ("CUS", "US"),
        ("EC", "ECG"),
        ("EN", "ES"),
        ("SP", "PA"),
        ("PF", "PF"),
        ("CP", "PA"),
        ("PAT", "PA"),
        ("XRC", "DX"),
        ("IMG", "OT"),
        ("imaging", "OT"),
        ("LP29684-5", "OT"),
        ("LP29708-2", "ECG"),
        ("LP7839-6", "PA"),
    ]
    .into_iter()
    .find(|(theirs, _)| category(report, &[theirs]))
    .map(|(_, ours)| ours)
}

/// The kind of examination of a DICOM modality.
fn modality_kind(code: &str) -> &'static str {
    match code {
        "CT" => "CT",
        "MR" => "MR",
        "DX" | "CR" | "RF" | "XA" | "DR" => "DX",
        "US" | "IVUS" => "US",
        "ECG" => "ECG",
        "ES" => "ES",
        "NM" | "PT" => "NM",
        "MG" => "MG",
        "SM" => "PA",
        _ => "OT",
    }
}

fn study_uid(study: &Value) -> Option<&str> {
    let value = all(study, "identifier")
        .iter()
        .filter(|i| matches!(text(i, "system"), Some("urn:dicom:uid" | "urn:ietf:rfc:3986")))
        .find_map(|i| text(i, "value"))?;
    Some(value.strip_prefix("urn:oid:").unwrap_or(value)).filter(|uid| uid.len() <= 64)
}

fn put_visit(draft: &mut Draft<'_>, visit: Option<&Visit<'_>>) {
    if let Some(visit) = visit {
        draft.set("visit_no", Some(&visit.no));
        draft.set("visit_kind", Some(visit.kind));
    }
}

/// A time as digits only, to the minute.
fn compact(written: &str) -> String {
    let (moment, _) = moment(written);
    moment.chars().filter(char::is_ascii_digit).take(12).collect()
}
