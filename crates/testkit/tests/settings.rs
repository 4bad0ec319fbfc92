//! Settings and the sources agree: what is read is defined with that kind, what is defined is read somewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use catalog::SettingKind;

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// Sources of every crate, without their tests.
fn all() -> Vec<(PathBuf, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(crates).unwrap().flatten() {
        let folder = entry.path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut found);
        }
    }
    assert!(found.len() > 100);
    found
}

/// `part.name`, lower case.
fn is_code(text: &str) -> bool {
    text.split_once('.').is_some_and(|(part, name)| {
        [part, name].iter().all(|t| {
            !t.is_empty() && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    })
}

#[test]
fn what_is_read_is_defined_with_that_kind() {
    let catalog = catalog::shipped().unwrap();
    let mut wrong = Vec::new();
    let mut read = 0;
    for (path, text) in all() {
        for call in ["whole", "minutes", "flag", "text"] {
            for (at, _) in text.match_indices(&format!(".{call}(\"")) {
                let code = text[at + call.len() + 3..].split('"').next().unwrap();
                if !is_code(code) {
                    continue;
                }
                read += 1;
                let fits = match catalog.setting(code).map(|s| &s.kind) {
                    Some(SettingKind::Whole { .. }) => matches!(call, "whole" | "minutes"),
                    Some(SettingKind::Flag) => call == "flag",
                    Some(SettingKind::Text { .. } | SettingKind::Choice(_)) => call == "text",
                    None => false,
                };
                if !fits {
                    wrong.push(format!("{}: .{call}(\"{code}\")", path.display()));
                }
            }
        }
    }
    assert!(read > 20 && wrong.is_empty(), "{read} read; not defined, or of another kind: {wrong:#?}");
}

#[test]
fn what_is_defined_is_read() {
    let catalog = catalog::shipped().unwrap();
    let sources = all();
    let unread: Vec<&str> = catalog
        .settings
        .iter()
        .map(|s| s.code.as_str())
        .filter(|code| !sources.iter().any(|(_, text)| text.contains(&format!("\"{code}\""))))
        .collect();
    assert!(!catalog.settings.is_empty() && unread.is_empty(), "no source reads: {unread:?}");
}
