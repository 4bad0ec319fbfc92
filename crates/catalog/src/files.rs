//! The catalogue files inside the program, and an operator's folder laid over them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::load::load;
use crate::model::Catalog;
use crate::problem::Problem;

/// The files of `catalog/`.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../catalog"]
struct Shipped;

type Files = BTreeMap<String, String>;

/// Whether a path is a definition.
fn is_definition(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with(['.', '_']));
    !hidden && (path.ends_with(".toml") || path.ends_with(".tsv"))
}

fn as_text(path: &str, bytes: Vec<u8>, problems: &mut Vec<Problem>) -> Option<String> {
    String::from_utf8(bytes)
        .map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
            problems.push(Problem::new(path, line, "文件不是 UTF-8 编码"));
        })
        .ok()
}

fn shipped_files(problems: &mut Vec<Problem>) -> Files {
    let mut files = Files::new();
    for path in Shipped::iter().filter(|path| is_definition(path)) {
        if let Some(file) = Shipped::get(&path)
            && let Some(text) = as_text(&path, file.data.into_owned(), problems)
        {
            files.insert(path.into_owned(), text);
        }
    }
    files
}

/// Reads the definitions below a folder into `files`, replacing those of the same path.
fn read_folder(root: &Path, below: &str, files: &mut Files, problems: &mut Vec<Problem>) {
    let unreadable = |what: &str, error: &std::io::Error| Problem::new(what, 1, format!("无法读取：{error}"));
    let entries = match std::fs::read_dir(root.join(below)) {
        Ok(entries) => entries,
        Err(error) => {
            let folder = if below.is_empty() { root.display().to_string() } else { below.to_owned() };
            problems.push(unreadable(&folder, &error));
            return;
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            // Definitions stand at most one folder deep.
            if below.is_empty() && !path.starts_with('.') {
                read_folder(root, &path, files, problems);
            }
        } else if is_definition(&path) {
            match std::fs::read(entry.path()) {
                Ok(bytes) => {
                    if let Some(text) = as_text(&path, bytes, problems) {
                        files.insert(path, text);
                    }
                }
                Err(error) => problems.push(unreadable(&path, &error)),
            }
        }
    }
}

fn finish(files: Files, mut problems: Vec<Problem>) -> Result<Catalog, Vec<Problem>> {
    match load(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))) {
        Ok(catalog) if problems.is_empty() => Ok(catalog),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            problems.sort();
            Err(problems)
        }
    }
}

/// The catalogue that ships with the program.
///
/// # Errors
/// Every problem of every file.
pub fn shipped() -> Result<Catalog, Vec<Problem>> {
    let mut problems = Vec::new();
    let files = shipped_files(&mut problems);
    finish(files, problems)
}

/// The shipped catalogue with an operator's folder laid over it: a file of the same path replaces the shipped one,
/// other files are added.
///
/// # Errors
/// Every problem of every file, also files that cannot be read.
pub fn from_dir(folder: &Path) -> Result<Catalog, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut files = shipped_files(&mut problems);
    read_folder(folder, "", &mut files, &mut problems);
    finish(files, problems)
}
