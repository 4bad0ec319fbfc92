//! The resources of a bundle and what they say of each other.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::view::{all, text};

/// One entry.
pub(super) struct Entry<'a> {
    /// From 1.
    pub(super) position: u64,
    /// Kind of the resource; empty without one.
    pub(super) kind: &'a str,
    /// The resource's id; failing that the one in its address, failing that a digest of its content.
    pub(super) id: Cow<'a, str>,
    /// The resource, or the whole entry where it has none.
    pub(super) content: &'a Value,
    address: Option<&'a str>,
    /// Why it is kept without being looked at.
    pub(super) refused: Option<&'static str>,
    /// Its content is in a row of another entry.
    pub(super) used: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn of_bundle(position: u64, entry: &'a Value) -> Self {
        let address = text(entry, "fullUrl");
        let method = entry.get("request").and_then(|r| text(r, "method"));
        let Some(resource) = entry.get("resource").filter(|r| r.is_object()) else {
            return Self {
                position,
                kind: "",
                id: Cow::Borrowed(""),
                content: entry,
                address,
                refused: Some("条目中没有资源（删除与查询请求不执行）"),
                used: false,
            };
        };
        let mut out = Self::single(position, resource);
        out.address = address;
        if text(resource, "id").is_none()
            && let Some(address) = address
        {
            let id = address.strip_prefix("urn:uuid:").or_else(|| address.rsplit('/').next());
            out.id = Cow::Borrowed(id.unwrap_or(address));
        }
        if !matches!(method, None | Some("POST" | "PUT")) {
            out.refused = Some("只执行新增与更新（POST、PUT），其他请求不执行");
        }
        out
    }

    pub(super) fn single(position: u64, resource: &'a Value) -> Self {
        let kind = text(resource, "resourceType").unwrap_or_default();
        let id = match text(resource, "id") {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("{:032x}", xxh3_128(resource.to_string().as_bytes()))),
        };
        let refused = kind.is_empty().then_some("没有 resourceType");
        Self { position, kind, id, content: resource, address: None, refused, used: false }
    }
}

/// Where a reference leads.
#[derive(Debug, Clone)]
pub(super) enum Target<'a> {
    /// To another entry.
    Entry(usize),
    /// Into the resource itself.
    Contained(&'a Value),
    /// Outside: the id (or identifier) it names, and the display text.
    Outside(&'a str, Option<&'a str>),
    /// Nowhere but to a display text.
    Named(&'a str),
}

/// The entries, found by address, kind and id, and identifier.
pub(super) struct Graph<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    by_address: HashMap<&'a str, usize>,
    by_id: HashMap<(&'a str, String), usize>,
    /// Kind, system, value. Only of kinds that are referred to so.
    by_identifier: HashMap<(&'a str, &'a str, &'a str), usize>,
    /// From the entry of a visit to its conditions, in order.
    pub(super) conditions: HashMap<usize, Vec<usize>>,
    /// From an observation to the laboratory report that lists it.
    pub(super) report_of: HashMap<usize, usize>,
    /// From an imaging study to the report that lists it.
    pub(super) study_report: HashMap<usize, usize>,
    /// From a patient to the earliest start of a visit.
    pub(super) first_visit: HashMap<usize, &'a str>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Self {
        let mut graph = Graph {
            by_address: HashMap::with_capacity(entries.len()),
            by_id: HashMap::with_capacity(entries.len()),
            by_identifier: HashMap::new(),
            conditions: HashMap::new(),
            report_of: HashMap::new(),
            study_report: HashMap::new(),
            first_visit: HashMap::new(),
            entries,
        };
        for (i, entry) in graph.entries.iter().enumerate() {
            if let Some(address) = entry.address {
                graph.by_address.entry(address).or_insert(i);
            }
            graph.by_id.entry((entry.kind, entry.id.to_string())).or_insert(i);
            if matches!(
                entry.kind,
                "Patient" | "Practitioner" | "Organization" | "Location" | "Encounter" | "Medication"
            ) {
                for identifier in all(entry.content, "identifier") {
                    let system = text(identifier, "system").unwrap_or_default();
                    if let Some(value) = text(identifier, "value") {
                        graph.by_identifier.entry((entry.kind, system, value)).or_insert(i);
                    }
                }
            }
        }
        graph.relate();
        graph
    }

    /// Relations that are read against their direction.
    fn relate(&mut self) {
        let (mut conditions, mut reports, mut studies, mut first) =
            (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        for (i, entry) in self.entries.iter().enumerate() {
            match entry.kind {
                "Condition" => {
                    if let Some(Target::Entry(visit)) = self.target(i, entry.content.get("encounter")) {
                        conditions.entry(visit).or_insert_with(Vec::new).push(i);
                    }
                }
                "DiagnosticReport" => {
                    for (name, map) in [("result", &mut reports), ("imagingStudy", &mut studies)] {
                        for reference in all(entry.content, name) {
                            if let Some(Target::Entry(part)) = self.target(i, Some(reference)) {
                                map.entry(part).or_insert(i);
                            }
                        }
                    }
                }
                "Encounter" => {
                    let start = entry.content.get("period").and_then(|p| text(p, "start"));
                    if let (Some(Target::Entry(patient)), Some(start)) =
                        (self.target(i, entry.content.get("subject")), start)
                    {
                        let earliest: &mut &'a str = first.entry(patient).or_insert(start);
                        if start < *earliest {
                            *earliest = start;
                        }
                    }
                }
                _ => {}
            }
        }
        self.conditions = conditions;
        self.report_of = reports;
        self.study_report = studies;
        self.first_visit = first;
    }

    /// Where a Reference leads that stands in the resource of entry `from`.
    pub(super) fn target(&self, from: usize, reference: Option<&'a Value>) -> Option<Target<'a>> {
        let reference = reference?;
        let display = text(reference, "display");
        let Some(written) = text(reference, "reference") else {
            // A logical reference: by identifier alone.
            if let Some(identifier) = reference.get("identifier")
                && let Some(value) = text(identifier, "value")
            {
                let system = text(identifier, "system").unwrap_or_default();
                let kind = text(reference, "type").unwrap_or_default();
                return Some(match self.by_identifier.get(&(kind, system, value)) {
                    Some(i) => Target::Entry(*i),
                    None => Target::Outside(value, display),
                });
            }
            return display.map(Target::Named);
        };
        if let Some(inner) = written.strip_prefix('#') {
            let contained = all(self.entries[from].content, "contained");
            return match contained.iter().find(|c| text(c, "id") == Some(inner)) {
                Some(resource) => Some(Target::Contained(resource)),
                None => display.map(Target::Named),
            };
        }
        if let Some(i) = self.by_address.get(written) {
            return Some(Target::Entry(*i));
        }
        if let Some(uuid) = written.strip_prefix("urn:uuid:").or_else(|| written.strip_prefix("urn:oid:")) {
            return Some(Target::Outside(uuid, display));
        }
        if let Some((kind, query)) = written.split_once("?identifier=") {
            let kind = kind.rsplit('/').next().unwrap_or(kind);
            let (system, value) = query.split_once('|').unwrap_or(("", query));
            let known = self.entries.iter().find(|e| e.kind == kind).map_or("", |e| e.kind);
            return Some(match self.by_identifier.get(&(known, system, value)) {
                Some(i) => Target::Entry(*i),
                None => Target::Outside(value, display),
            });
        }
        let plain = written.split("/_history/").next().unwrap_or(written);
        let mut parts = plain.rsplit('/');
        let id = parts.next().unwrap_or(plain);
        let kind = parts.next().unwrap_or_default();
        Some(match self.by_id.get(&(kind, id.to_owned())) {
            Some(i) => Target::Entry(*i),
            None => Target::Outside(id, display),
        })
    }
}
