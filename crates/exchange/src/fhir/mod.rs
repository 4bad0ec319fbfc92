//! FHIR R4 → rows of the data sets. Pure: a bundle (or single resources) in, rows and kept resources out.
//!
//! Every entry is either mapped into one or more rows or kept as it is with the reason; nothing is dropped. What has
//! no honest place in a data set (goals, survey answers, practitioners) is kept.
//!
//! | resource | data set |
//! |---|---|
//! | Patient | `patient` |
//! | Encounter | `inpatient_stay` for classes IMP, ACUTE, NONACUTE, OBSENC, SS; otherwise `outpatient_visit` |
//! | Condition with an encounter | `visit_diagnosis`; its code only when it is ICD-10 |
//! | Observation, laboratory | `lab_result`, in the `lab_report` of its DiagnosticReport or one per encounter and time |
//! | Observation, vital signs | one `physical_exam` per encounter, for the signs that it has a field for |
//! | DiagnosticReport | `lab_report`; `exam_report` for imaging, cardiology, pathology |
//! | Procedure | `operation`; its code only when it is ICD-9-CM-3 |
//! | MedicationRequest | `prescription` and `prescription_item`; `inpatient_order` within a stay |
//! | Immunization, AllergyIntolerance | `immunization`, `allergy` |
//! | Claim, ExplanationOfBenefit without its claim | `outpatient_fee_item`, `inpatient_fee_item` |
//! | ImagingStudy | `exam_report`, unless a report of the same bundle speaks for it |
//! | DocumentReference | `report_file` |
//! | CarePlan | `report_file`: its activities as the summary of a document |
//!
//! Numbers pass through 64-bit floating point and are written in their shortest form (`1.10` becomes `1.1`).
//! Identifiers: the patient's local number is the identifier of type MR, a visit's the one of type VN, otherwise the
//! resource's id. Status `entered-in-error` becomes a row with the mark of withdrawal.

mod draft;
mod fees;
mod graph;
mod medicines;
mod people;
mod results;
#[cfg(test)]
mod tests;
mod view;
mod visits;

use std::collections::{BTreeMap, HashSet};

use catalog::{Catalog, RawRow};
use serde_json::Value;

use crate::read::ReadError;
use draft::Draft;
use graph::{Entry, Graph};
use view::text;

/// A row out of a resource.
#[derive(Debug, Clone)]
pub struct MappedRow {
    /// Code of the data set.
    pub dataset: &'static str,
    /// Cells in the order of the data set's fields; its number is the position of the resource, from 1.
    pub row: RawRow,
    /// Kind of the resource, e.g. `Observation`.
    pub kind: Box<str>,
    /// Its id.
    pub id: Box<str>,
}

/// A resource that has no place in a data set, as it came.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Position in the bundle, from 1.
    pub position: u64,
    /// Kind of the resource; empty where the entry has none.
    pub kind: String,
    /// Its id, or empty.
    pub id: String,
    /// The resource; the whole entry where it has none.
    pub content: Value,
    /// Why it is kept, in Chinese.
    pub reason: &'static str,
}

/// What became of a bundle.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// Rows in the order of the resources that gave them.
    pub rows: Vec<MappedRow>,
    /// Resources that gave no row.
    pub kept: Vec<Kept>,
    /// What was changed to make it fit (texts cut, dates completed, currencies), each with how often; in Chinese.
    pub problems: Vec<String>,
    /// Entries looked at; those that gave a row and those kept add up to it.
    pub entries: usize,
    /// Entries that gave at least one row.
    pub mapped: usize,
}

/// Reads a bundle or a resource: UTF-8 JSON without NUL, nested no deeper than 128.
pub fn parse(bytes: &[u8]) -> Result<Value, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        let what = if e.to_string().contains("recursion limit") {
            "嵌套超过 128 层"
        } else if e.is_eof() {
            "内容不完整，提前结束"
        } else {
            "语法错误，或不是 UTF-8 编码"
        };
        ReadError::file(
            "fhir_invalid_json",
            format!("不是有效的 JSON：第 {line} 行第 {column} 列，{what}。请检查后重新提交。"),
        )
    })?;
    // The escape may also be an escaped backslash before `u0000`; only then is the whole value searched.
    if memchr::memmem::find(bytes, b"\\u0000").is_some() && has_nul(&value) {
        return Err(ReadError::file(
            "fhir_nul",
            "内容含有空字符（\\u0000），数据库无法保存。请在导出时去掉后重新提交。",
        ));
    }
    Ok(value)
}

/// Whether a text or a name in the value has a NUL. The depth is bounded by the parser.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, v)| name.contains('\0') || has_nul(v)),
        _ => false,
    }
}

/// Maps a bundle of type transaction, batch or collection.
pub fn map_bundle(bundle: &Value, catalog: &Catalog) -> Result<Mapped, ReadError> {
    let kind = text(bundle, "resourceType").unwrap_or_default();
    if kind != "Bundle" {
        return Err(ReadError::file(
            "fhir_not_bundle",
            format!("应提交 Bundle 资源，收到的是“{}”。单个资源请放进 Bundle 的 entry 中。", cut(kind)),
        ));
    }
    let of = text(bundle, "type").unwrap_or_default();
    if !matches!(of, "transaction" | "batch" | "collection") {
        return Err(ReadError::file(
            "fhir_bundle_type",
            format!("Bundle.type 应为 transaction、batch 或 collection，收到的是“{}”。", cut(of)),
        ));
    }
    let entries: &[Value] = match bundle.get("entry") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(ReadError::file("fhir_entry", "Bundle.entry 应为数组。")),
    };
    let entries =
        entries.iter().enumerate().map(|(i, entry)| Entry::of_bundle(i as u64 + 1, entry)).collect();
    Ok(map(Graph::new(entries), catalog))
}

/// Maps single resources, e.g. the lines of an NDJSON file, with their positions. References are resolved among them;
/// where they lead outside, the referenced id stands for the local number.
pub fn map_resources(resources: &[(u64, Value)], catalog: &Catalog) -> Mapped {
    let entries = resources.iter().map(|(position, r)| Entry::single(*position, r)).collect();
    map(Graph::new(entries), catalog)
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The work in progress on one bundle.
struct Mapper<'a> {
    graph: Graph<'a>,
    catalog: &'a Catalog,
    rows: Vec<MappedRow>,
    kept: Vec<Kept>,
    problems: BTreeMap<String, u64>,
    /// Numbers of the reports made for results that came without one.
    made: HashSet<String>,
}

/// Why an entry gives no row.
type Outcome = Result<(), &'static str>;

const NO_PATIENT: &str = "没有指明患者";
const NO_TIME: &str = "没有发生时间";
const NO_VISIT: &str = "没有关联就诊，目标数据集要求就诊流水号";

fn map(graph: Graph<'_>, catalog: &Catalog) -> Mapped {
    let mut mapper = Mapper {
        graph,
        catalog,
        rows: Vec::new(),
        kept: Vec::new(),
        problems: BTreeMap::new(),
        made: HashSet::new(),
    };
    let mut mapped = 0;
    let count = mapper.graph.entries.len();
    mapper.vital_signs();
    for index in 0..count {
        let before = mapper.rows.len();
        let used = mapper.graph.entries[index].used;
        let outcome = if used { Ok(()) } else { mapper.entry(index) };
        match outcome {
            Ok(()) => {
                debug_assert!(used || mapper.rows.len() > before);
                mapped += 1;
            }
            Err(reason) => {
                mapper.rows.truncate(before);
                let entry = &mapper.graph.entries[index];
                mapper.kept.push(Kept {
                    position: entry.position,
                    kind: cut(entry.kind),
                    id: cut(&entry.id),
                    content: entry.content.clone(),
                    reason,
                });
            }
        }
    }
    let mut rows = mapper.rows;
    rows.sort_by_key(|r| r.row.number);
    let problems = mapper.problems.into_iter().map(|(what, n)| format!("{what}（{n} 处）")).collect();
    Mapped { rows, kept: mapper.kept, problems, entries: count, mapped }
}

impl<'a> Mapper<'a> {
    fn entry(&mut self, index: usize) -> Outcome {
        let entry = &self.graph.entries[index];
        if let Some(reason) = entry.refused {
            return Err(reason);
        }
        match entry.kind {
            "Patient" => self.patient(index),
            "Encounter" => self.encounter(index),
            "Condition" => self.condition(index),
            "Procedure" => self.procedure(index),
            "Observation" => self.observation(index),
            "DiagnosticReport" => self.diagnostic_report(index),
            "ImagingStudy" => self.imaging_study(index),
            "DocumentReference" => self.document(index),
            "CarePlan" => self.care_plan(index),
            "MedicationRequest" => self.medication_request(index),
            "Immunization" => self.immunization(index),
            "AllergyIntolerance" => self.allergy(index),
            "Claim" | "ExplanationOfBenefit" => self.fees(index),
            "Practitioner" | "PractitionerRole" | "Organization" | "Location" => {
                Err("机构、科室与人员不是数据集的行；其名称已写入引用它的行")
            }
            "Medication" => Err("药品说明随引用它的医嘱写入，本身不是数据集的行"),
            "Goal" => Err("数据集中没有与健康目标相应的记录"),
            _ => Err("没有与此类资源相应的数据集"),
        }
    }

    /// A row to be filled, or why there can be none.
    fn draft(&self, dataset: &'static str) -> Result<Draft<'a>, &'static str> {
        let dataset = self.catalog.dataset(dataset).map(|d| Draft::new(dataset, d));
        dataset.ok_or("目录中没有启用相应的数据集")
    }

    /// Adds a finished row.
    fn add(&mut self, index: usize, draft: Draft<'_>) {
        let entry = &self.graph.entries[index];
        let (dataset, cells, notes) = draft.finish();
        for note in notes {
            *self.problems.entry(note).or_default() += 1;
        }
        self.rows.push(MappedRow {
            dataset,
            row: RawRow { number: entry.position, cells },
            kind: entry.kind.into(),
            id: entry.id.as_ref().into(),
        });
    }
}
