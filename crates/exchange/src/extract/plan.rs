//! What becomes of each field of an extract, and doing it. Pure.

use catalog::deidentify::{Deidentify, Identity};
use catalog::{Dataset, FieldKind};
use chrono::{NaiveDate, NaiveDateTime};
use protect::deidentify::{Action, Cell, Project, measure};

use super::Extract;
use super::read::Case;

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its position in the data set.
    pub field: usize,
    /// What is done.
    pub action: Action,
    /// What it tells.
    pub identity: Identity,
    /// By which rule.
    pub rule: String,
}

/// Columns that stand before those of the data set.
const HEADS: [&str; 4] = ["个案编号", "性别代码", "出生年份", "现住县（区）代码"];

/// What becomes of every field of a data set. A field that no rule knows is left out.
pub fn plan(rules: &Deidentify, dataset: &Dataset) -> Vec<Planned> {
    (0..dataset.fields.len())
        .map(|field| {
            let rule = rules.rule(dataset, field);
            Planned {
                field,
                action: rule.map_or(Action::Delete, |r| action(&r.action)),
                identity: rule.map_or(Identity::Direct, |r| r.identity),
                rule: rule.map_or("没有规则", |r| r.title.as_str()).to_owned(),
            }
        })
        .collect()
}

// The loader of the catalogue knows the same words.
fn action(word: &str) -> Action {
    match word {
        "pseudonym" => Action::Pseudonym,
        "year" => Action::Year,
        "shift" => Action::Shift,
        "county" => Action::County,
        "top_code" => Action::TopCode,
        "scrub" => Action::Scrub,
        "keep" => Action::Keep,
        _ => Action::Delete,
    }
}

fn cell<'a>(kind: &FieldKind, text: Option<&'a str>) -> Cell<'a> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Cell::Empty };
    match kind {
        FieldKind::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d").map_or(Cell::Empty, Cell::Day),
        FieldKind::DateTime => {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map_or(Cell::Empty, Cell::Time)
        }
        FieldKind::Integer => text.parse().map_or(Cell::Empty, Cell::Whole),
        _ => Cell::Text(text),
    }
}

/// De-identifies cases and leaves out those who would stand out.
pub(super) fn carry_out(
    project: &Project,
    dataset: &Dataset,
    plan: Vec<Planned>,
    cases: &[Case],
    threshold: usize,
    truncated: bool,
) -> Extract {
    let kept: Vec<&Planned> = plan.iter().filter(|p| p.action != Action::Delete).collect();
    let mut heads: Vec<String> = HEADS.iter().map(|h| (*h).to_owned()).collect();
    heads.extend(kept.iter().map(|p| dataset.fields[p.field].title.clone()));
    let told: Vec<Vec<String>> = cases
        .iter()
        .map(|case| {
            let known = [case.name.as_str()];
            let tell = |action, kind: &str, cell| project.apply(action, kind, &case.person, &known, cell);
            let mut row = vec![
                project.pseudonym("person", &case.person),
                case.sex.clone(),
                tell(Action::Year, "birth", case.birth.map_or(Cell::Empty, Cell::Day)),
                tell(Action::County, "region", Cell::Text(&case.region)),
            ];
            row.extend(kept.iter().map(|p| {
                let field = &dataset.fields[p.field];
                // Numbers of one kind join between data sets of the project: visit_no here and there.
                tell(p.action, &field.name, cell(&field.kind, case.cells[p.field].as_deref()))
            }));
            row
        })
        .collect();
    let quasi: Vec<usize> = (1..HEADS.len())
        .chain(
            kept.iter()
                .enumerate()
                .filter(|(_, p)| p.identity == Identity::Quasi)
                .map(|(at, _)| HEADS.len() + at),
        )
        .collect();
    let measured: Vec<(&str, Vec<&str>, Option<&str>)> = cases
        .iter()
        .zip(&told)
        .map(|(case, row)| {
            let class = quasi.iter().map(|at| row[*at].as_str()).collect();
            (case.person.as_str(), class, case.sensitive.as_deref())
        })
        .collect();
    let measured = measure(&measured, threshold);
    let rows = told.into_iter().zip(&measured.rows).filter(|(_, keep)| **keep).map(|(row, _)| row).collect();
    Extract { plan, heads, rows, report: measured.report, truncated }
}
