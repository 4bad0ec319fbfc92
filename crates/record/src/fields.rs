//! Which fields of a fact are shown and how: codes by name, units beside numbers, identifying fields left to the
//! banner, restricted ones hidden. Pure.

use catalog::title::display;
use catalog::{CodeTables, Dataset, FieldKind, PersonFields, Sensitivity};

use crate::facts::Fact;

/// What stands where a field needs a special right.
pub const RESTRICTED: &str = "受限";

/// A field as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its position.
    pub field: usize,
    /// Heading, without the words that only matter to programs.
    pub title: String,
    /// Value with unit.
    pub text: String,
    /// Whether it is hidden for want of a right.
    pub restricted: bool,
}

/// The heading of a field: `病情转归代码` is for programs, people see its name under `病情转归`.
pub fn title(dataset: &Dataset, field: usize) -> &str {
    let title = dataset.fields[field].title.as_str();
    title.strip_suffix("代码").filter(|short| !short.is_empty()).unwrap_or(title)
}

/// The value of a field as a person reads it.
pub fn text(dataset: &Dataset, fact: &Fact, field: usize, tables: &CodeTables) -> String {
    let definition = &dataset.fields[field];
    if definition.sensitivity == Sensitivity::Restricted && !fact.values[field].is_null() {
        return RESTRICTED.to_owned();
    }
    if let Some(unit) = unit_beside(dataset, field).and_then(|unit| fact.values[unit].text())
        && let Some(number) = fact.values[field].decimal()
    {
        return format!("{} {unit}", number.normalize());
    }
    let shown = display(&definition.kind, &fact.values[field], tables);
    if definition.unit.is_empty() || shown.is_empty() {
        shown.into_owned()
    } else {
        format!("{shown} {}", definition.unit)
    }
}

// The field with the unit of a number, e.g. `dose_unit` for `dose`.
fn unit_beside(dataset: &Dataset, field: usize) -> Option<usize> {
    dataset.field(&format!("{}_unit", dataset.fields[field].name))
}

// Whether a field is only the unit of a number that has a value too.
fn is_unit(dataset: &Dataset, field: usize, has: impl Fn(usize) -> bool) -> bool {
    let number = dataset.fields[field].name.strip_suffix("_unit").and_then(|stem| dataset.field(stem));
    number.is_some_and(has)
}

fn of_person(person: &PersonFields) -> Vec<usize> {
    let optional = [
        person.name,
        person.sex,
        person.birth_date,
        person.credential_kind,
        person.credential_no,
        person.card_no,
        person.phone,
        person.address,
        person.region,
    ];
    std::iter::once(person.local_no).chain(optional.into_iter().flatten()).collect()
}

// The field that holds the name of what this one holds the code of, e.g. `diagnosis_name` for `diagnosis_code`.
fn named(dataset: &Dataset, field: usize) -> Option<usize> {
    let name = &dataset.fields[field].name;
    let stem = name.strip_suffix("_code").or_else(|| name.strip_suffix("_no"))?;
    dataset.field(&format!("{stem}_name"))
}

/// The fields of a data set that an opened event may list, in order.
pub fn listed(dataset: &Dataset) -> Vec<usize> {
    if let Some(view) = &dataset.record
        && !view.columns.is_empty()
    {
        return view.columns.clone();
    }
    let person = dataset.person.as_ref().map(of_person).unwrap_or_default();
    (0..dataset.fields.len())
        .filter(|field| {
            let definition = &dataset.fields[*field];
            !person.contains(field)
                && Some(*field) != dataset.revision
                && definition.sensitivity != Sensitivity::Identifying
        })
        .collect()
}

/// The fields of a fact that have a value. The code beside a name is joined to it: `高血压（I10.x00）`; numbers of
/// staff and departments are left out where their names are known.
pub fn shown(dataset: &Dataset, fact: &Fact, tables: &CodeTables) -> Vec<Shown> {
    let listed = listed(dataset);
    let mut out: Vec<Shown> = Vec::new();
    for field in &listed {
        if fact.values[*field].is_null() {
            continue;
        }
        if named(dataset, *field).is_some_and(|n| listed.contains(&n) && !fact.values[n].is_null()) {
            continue;
        }
        if is_unit(dataset, *field, |n| listed.contains(&n) && !fact.values[n].is_null()) {
            continue;
        }
        let mut text = text(dataset, fact, *field, tables);
        if let Some(code) = code_beside(dataset, *field, &listed)
            && dataset.fields[code].sensitivity != Sensitivity::Restricted
            && let Some(code) = fact.values[code].text()
        {
            text = format!("{text}（{code}）");
        }
        let restricted = dataset.fields[*field].sensitivity == Sensitivity::Restricted;
        out.push(Shown { field: *field, title: title(dataset, *field).to_owned(), text, restricted });
    }
    out
}

// The code field (of a code table) that belongs to a name field and is listed too.
fn code_beside(dataset: &Dataset, field: usize, listed: &[usize]) -> Option<usize> {
    let stem = dataset.fields[field].name.strip_suffix("_name")?;
    let code = dataset.field(&format!("{stem}_code"))?;
    (listed.contains(&code) && matches!(dataset.fields[code].kind, FieldKind::Code { .. })).then_some(code)
}

/// The columns of a table of facts: listed fields that have a value in some row, without codes whose names are there.
pub fn columns(dataset: &Dataset, facts: &[Fact]) -> Vec<usize> {
    let listed = listed(dataset);
    let has = |field: usize| facts.iter().any(|fact| !fact.values[field].is_null());
    listed
        .iter()
        .copied()
        .filter(|field| has(*field))
        .filter(|field| !is_unit(dataset, *field, |n| listed.contains(&n) && has(n)))
        .filter(|field| named(dataset, *field).is_none_or(|n| !(listed.contains(&n) && has(n))))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use catalog::Value;

    #[test]
    fn nothing_restricted_is_shown_not_even_as_the_code_beside_a_name() {
        let catalog = catalog::shipped().unwrap();
        let mut hidden = 0;
        for dataset in &catalog.datasets {
            let values = dataset
                .fields
                .iter()
                .map(|field| {
                    let word = if field.sensitivity == Sensitivity::Restricted { "SECRET" } else { "plain" };
                    Value::Text(word.into())
                })
                .collect();
            let fact = Fact {
                id: 1,
                identity_id: Some(1),
                batch_id: 1,
                occurred_at: chrono::NaiveDateTime::default(),
                institution: kernel::Id::new(1),
                version: 1,
                values,
            };
            for field in shown(dataset, &fact, &catalog.tables) {
                assert!(!field.text.contains("SECRET"), "{} {}", dataset.code, field.title);
                hidden += usize::from(field.restricted && field.text == RESTRICTED);
            }
        }
        assert!(hidden > 5, "the definitions have restricted fields");
    }
}
