//! `deidentify.toml`: what becomes of the fields of an extract. Definitions only; what they do is done elsewhere.

use crate::model::{Dataset, FieldKind, Sensitivity};
use crate::source::Table;

/// The words that rules may use for what becomes of a field.
pub const ACTIONS: [&str; 8] =
    ["delete", "pseudonym", "year", "shift", "county", "top_code", "scrub", "keep"];
const TYPES: [&str; 7] = ["text", "code", "integer", "decimal", "date", "datetime", "boolean"];

/// What a field tells of who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// Says who it is.
    #[default]
    Direct,
    /// Helps to find out; counted for k-anonymity.
    Quasi,
    /// Neither.
    Other,
}

/// The rules of de-identification.
#[derive(Debug, Clone, Default)]
pub struct Deidentify {
    /// Fewest people who must be equal in all quasi-identifiers.
    pub threshold: usize,
    /// Ages from here on are told together.
    pub top_age: i32,
    /// Dates are moved by up to so many days.
    pub shift_days: u32,
    /// Names of sensitive fields; the first that a data set has counts for l-diversity.
    pub sensitive: Vec<String>,
    /// In order; the first that fits decides.
    pub rules: Vec<DeidentifyRule>,
}

/// A rule of de-identification.
#[derive(Debug, Clone, Default)]
pub struct DeidentifyRule {
    /// What it is about, in Chinese.
    pub title: String,
    /// One of [`ACTIONS`].
    pub action: String,
    /// What the fields tell.
    pub identity: Identity,
    person: bool,
    sensitivity: Option<Sensitivity>,
    types: Vec<String>,
    tables: Vec<String>,
    names: Vec<String>,
}

fn type_of(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Text { .. } => "text",
        FieldKind::Code { .. } => "code",
        FieldKind::Integer => "integer",
        FieldKind::Decimal { .. } => "decimal",
        FieldKind::Date => "date",
        FieldKind::DateTime => "datetime",
        FieldKind::Boolean => "boolean",
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

impl DeidentifyRule {
    fn fits(&self, dataset: &Dataset, position: usize) -> bool {
        let field = &dataset.fields[position];
        let named = |list: &[String]| list.iter().any(|p| matches(p, &field.name));
        (!self.person || dataset.person_fields().contains(&position))
            && self.sensitivity.is_none_or(|s| s == field.sensitivity)
            && (self.types.is_empty() || self.types.iter().any(|t| t == type_of(&field.kind)))
            && (self.tables.is_empty()
                || matches!(&field.kind, FieldKind::Code { table, .. } if self.tables.contains(table)))
            && (self.names.is_empty() || named(&self.names))
    }
}

impl Deidentify {
    /// The rule for a field; `None` when none fits: then the field is left out.
    pub fn rule(&self, dataset: &Dataset, position: usize) -> Option<&DeidentifyRule> {
        self.rules.iter().find(|rule| rule.fits(dataset, position))
    }

    /// The sensitive field of a data set.
    pub fn sensitive(&self, dataset: &Dataset) -> Option<usize> {
        self.sensitive.iter().find_map(|name| dataset.field(name))
    }
}

/// Reads `deidentify.toml`.
pub(crate) fn read(root: Table<'_>) -> Deidentify {
    let number = |key, least: usize| {
        let found = root.whole::<usize>(key);
        match found {
            Some(number) if number.value >= least => {}
            _ => root.report(found.map_or(0, |n| n.at), format!("“{key}”应为不小于 {least} 的整数")),
        }
        found.map_or(least, |n| n.value)
    };
    // Fewer than three people hide nobody (GB/T 39725: 3 in a controlled setting, 5 otherwise).
    let (threshold, top_age, shift_days) =
        (number("threshold", 3), number("top_age", 60), number("shift_days", 30));
    let texts = |table: &Table<'_>, key| table.texts(key).iter().map(|t| t.value.to_owned()).collect();
    let mut rules = Vec::new();
    for table in root.tables("rule") {
        let action = table.needed("action");
        if !ACTIONS.contains(&action.value) {
            table.report(
                action.at,
                format!("不认识的 action“{}”：应为 {} 之一", action.value, ACTIONS.join(" ")),
            );
        }
        let class = table.needed("class");
        let identity = match class.value {
            "direct" => Identity::Direct,
            "quasi" => Identity::Quasi,
            "other" => Identity::Other,
            other => {
                table.report(class.at, format!("不认识的 class“{other}”：应为 direct quasi other 之一"));
                Identity::Direct
            }
        };
        if identity == Identity::Direct && !matches!(action.value, "delete" | "pseudonym") {
            table.report(action.at, "直接标识（class = \"direct\"）只能 delete 或 pseudonym");
        }
        let sensitivity = table.text("sensitivity").and_then(|text| match text.value {
            "ordinary" => Some(Sensitivity::Ordinary),
            "identifying" => Some(Sensitivity::Identifying),
            "restricted" => Some(Sensitivity::Restricted),
            other => {
                table.report(text.at, format!("不认识的 sensitivity“{other}”"));
                None
            }
        });
        for kind in table.texts("types").iter().filter(|t| !TYPES.contains(&t.value)) {
            table.report(kind.at, format!("不认识的类型“{}”：应为 {} 之一", kind.value, TYPES.join(" ")));
        }
        rules.push(DeidentifyRule {
            title: table.needed("title").value.to_owned(),
            action: action.value.to_owned(),
            identity,
            person: table.flag("person").unwrap_or(false),
            sensitivity,
            types: texts(&table, "types"),
            tables: texts(&table, "tables"),
            names: texts(&table, "names"),
        });
        table.finish();
    }
    let sensitive = texts(&root, "sensitive");
    root.finish();
    Deidentify { threshold, top_age: top_age as i32, shift_days: shift_days as u32, sensitive, rules }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_shipped_field_that_identifies_is_handed_out() {
        let catalog = crate::shipped().unwrap();
        let rules = &catalog.deidentify;
        assert!(rules.threshold >= 5 && !rules.rules.is_empty());
        let mut checked = 0;
        for dataset in &catalog.datasets {
            for (position, field) in dataset.fields.iter().enumerate() {
                let rule = rules.rule(dataset, position);
                let action = rule.map_or("delete", |r| r.action.as_str());
                let place = format!("{}.{} {action}", dataset.code, field.name);
                checked += 1;
                if field.sensitivity == Sensitivity::Identifying
                    || dataset.person_fields().contains(&position)
                {
                    assert_eq!(action, "delete", "{place}");
                }
                if matches!(field.kind, FieldKind::Text { .. }) {
                    assert!(matches!(action, "delete" | "pseudonym" | "scrub" | "county"), "{place}");
                }
                if matches!(field.kind, FieldKind::Date | FieldKind::DateTime) {
                    assert!(matches!(action, "delete" | "shift" | "year"), "{place}");
                }
            }
        }
        assert!(checked > 500, "{checked}");
        let visit = catalog.dataset("outpatient_visit").unwrap();
        let of = |name| rules.rule(visit, visit.field(name).unwrap()).unwrap().action.clone();
        let told =
            [of("visit_no"), of("patient_name"), of("doctor_name"), of("visit_time"), of("diagnosis_code")];
        assert_eq!(told, ["pseudonym", "delete", "delete", "shift", "keep"]);
        assert_eq!(of("chief_complaint"), "scrub");
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*_no", "visit_no", true),
            ("*_no", "notes", false),
            ("*region*", "household_region", true),
            ("age", "dosage", false),
            ("birth*", "birth_date", true),
            ("*", "x", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
