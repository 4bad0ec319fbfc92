//! From the texts of the catalogue files to one [`Catalog`], or every problem at once.

mod alert;
mod cross;
mod dataset;
mod messages;
mod protection;
mod register;
mod role;
mod rules;
mod setting;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::codes::{self, CodeTables};
use crate::model::{Catalog, Dataset, QualityWeights};
use crate::problem::Problem;
use crate::source::{Source, Table};

/// A data set as read from its own file, with what must be compared with other files.
struct Draft {
    source: Source,
    dataset: Dataset,
    links: Vec<Link>,
    /// Where number, code and aliases stand.
    number_at: usize,
    code_at: usize,
    alias_at: Vec<usize>,
}

/// A reference to another data set and where it stands.
enum Link {
    /// The `[parent]` table.
    Parent { at: usize },
    /// A `sum_of_children` rule.
    Child { at: usize, child: String, child_field: String },
    /// A `belongs_to` rule.
    BelongsTo { at: usize },
}

/// Reads the files of a catalogue: pairs of path below the catalogue folder and text, in any order.
///
/// # Errors
/// Every problem of every file, in the order of file and line.
pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Catalog, Vec<Problem>> {
    let mut files: Vec<(&str, &str)> = files.into_iter().collect();
    files.sort_unstable();
    let mut problems = Vec::new();
    let tables = load_tables(&files, &mut problems);

    let mut drafts = Vec::new();
    let mut roles = Vec::new();
    let mut menu = Vec::new();
    let mut alerts = Vec::new();
    let mut definitions = Vec::new();
    let mut registers = Vec::new();
    let mut quality = QualityWeights { weights: [40.0, 20.0, 20.0, 20.0] };
    let mut sensitivity = None;
    let mut masks = None;
    let mut deidentify = crate::deidentify::Deidentify::default();
    for (path, text) in &files {
        let source = Source::new(path, text);
        let folder = path.split_once('/').map_or("", |(folder, _)| folder);
        match (folder, *path) {
            // Models and the benchmark of the person index are read by their own crates.
            ("codes" | "person-index", _) => continue,
            ("datasets" | "registry" | "roles" | "settings", _)
            | (
                _,
                "menu.toml" | "quality.toml" | "sensitivity.toml" | "masks.toml" | "alerts.toml"
                | "deidentify.toml",
            ) if path.ends_with(".toml") => {}
            _ => {
                source.report(
                    0,
                    "不认识的文件：应为 datasets/*.toml、registry/*.toml、codes/*.tsv、roles/*.toml、settings/*.toml、menu.toml、quality.toml、sensitivity.toml、masks.toml、alerts.toml 或 deidentify.toml",
                );
                problems.extend(source.into_problems());
                continue;
            }
        }
        let parsed = source.parse(text);
        let root = Table::new(&source, parsed.get_ref(), 0);
        match (folder, *path) {
            ("datasets", _) => {
                let (dataset, links, places) = dataset::read(root, &tables);
                drafts.push(Draft {
                    source,
                    dataset,
                    links,
                    number_at: places.number,
                    code_at: places.code,
                    alias_at: places.aliases,
                });
                continue;
            }
            ("registry", _) => registers.push(register::read(root, &tables)),
            // What they name in other files can be compared only when all have been read.
            ("roles", _) => {
                roles.extend(role::read(root).map(|draft| (source, draft)));
                continue;
            }
            (_, "sensitivity.toml") => {
                let draft = protection::sensitivity(root);
                sensitivity = Some((source, draft));
                continue;
            }
            (_, "masks.toml") => {
                let draft = protection::masks(root);
                masks = Some((source, draft));
                continue;
            }
            (_, "deidentify.toml") => deidentify = crate::deidentify::read(root),
            ("settings", _) => definitions.extend(setting::read(root)),
            (_, "menu.toml") => menu = settings::menu(root),
            (_, "alerts.toml") => alerts = alert::read(root),
            _ => quality = settings::quality(root),
        }
        problems.extend(source.into_problems());
    }

    let mut protection = crate::Protection::default();
    if let Some((source, draft)) = sensitivity {
        protection = draft.check(&source, &drafts);
        problems.extend(source.into_problems());
    }
    let known_categories: Vec<&str> = protection.categories.iter().map(|c| c.code.as_str()).collect();
    role::check(&roles, &known_categories);
    let codes: Vec<String> = roles.iter().map(|(_, draft)| draft.role.code.clone()).collect();
    let mut screen = crate::Masks::default();
    if let Some((source, draft)) = masks {
        screen = draft.check(&source, &codes);
        problems.extend(source.into_problems());
    }
    let roles: Vec<crate::Role> = roles
        .into_iter()
        .map(|(source, draft)| {
            problems.extend(source.into_problems());
            draft.role
        })
        .collect();
    setting::check(&definitions, &mut problems);
    register::check(&registers, &mut problems);
    let by_code = cross::check(&drafts);
    let protection = Arc::new(protection);
    let mut datasets = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        problems.extend(draft.source.into_problems());
        draft.dataset.probe = crate::probe::Probe::of(&protection, &draft.dataset);
        datasets.push(Arc::new(draft.dataset));
    }
    if problems.is_empty() {
        let settings = definitions.into_iter().map(|(_, setting)| setting).collect();
        registers.sort_by_key(|(_, register)| register.order);
        let registers = registers.into_iter().map(|(_, register)| Arc::new(register)).collect();
        Ok(Catalog {
            alerts,
            datasets,
            by_code,
            tables,
            roles,
            quality,
            menu,
            settings,
            protection,
            masks: Arc::new(screen),
            registers,
            deidentify,
        })
    } else {
        problems.sort();
        problems.dedup();
        Err(problems)
    }
}

fn load_tables(files: &[(&str, &str)], problems: &mut Vec<Problem>) -> CodeTables {
    let mut tables = HashMap::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("codes/")) {
        let Some(stem) = path.strip_prefix("codes/").and_then(|name| name.strip_suffix(".tsv")) else {
            problems.push(Problem::new(path, 1, "代码表文件应为 .tsv"));
            continue;
        };
        match codes::parse_table(path, text) {
            Ok(table) => {
                if table.id != stem {
                    let message = format!("# id 为“{}”，应与文件名“{stem}”相同", table.id);
                    problems.push(Problem::new(path, 1, message));
                }
                tables.insert(stem.to_owned(), Arc::new(table));
            }
            Err(more) => {
                problems.extend(more);
                // Present though broken: data sets that use it are not to blame.
                tables.insert(stem.to_owned(), Arc::default());
            }
        }
    }
    CodeTables { tables }
}
