//! The rules of the house, checked: which crate may use which, licences of what is used, tidy files, ordered migrations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every edge between our crates. A new one is a decision: it is made here, in sight of a reviewer.
/// Contexts (identity … record) never use one another; they meet in `contracts` and are wired in `minkang`.
const EDGES: &[(&str, &str)] = &[
    ("minkang-kernel", ""),
    ("minkang-standards", "kernel"),
    ("minkang-catalog", "kernel standards"),
    ("minkang-protect", "kernel"),
    ("minkang-store", "kernel standards catalog protect"),
    ("minkang-web", "kernel catalog store"),
    ("minkang-contracts", "kernel catalog store"),
    ("minkang-identity", "kernel standards catalog protect store web contracts"),
    ("minkang-directory", "kernel standards catalog protect store web contracts"),
    ("minkang-linkage", "standards"),
    ("minkang-person", "kernel standards linkage catalog protect store web contracts"),
    ("minkang-exchange", "kernel standards catalog protect store web contracts"),
    ("minkang-record", "kernel standards catalog protect store web contracts"),
    ("minkang-demo", "kernel standards catalog"),
    ("minkang-benchmark", "kernel standards linkage demo"),
    ("minkang-testkit", "kernel standards catalog protect store web contracts"),
    (
        "minkang",
        "kernel standards linkage catalog protect store web contracts identity directory person exchange record demo benchmark",
    ),
];

/// What licences of other people's crates may say; the same list as in `deny.toml`.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata(more: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(more)
        .current_dir(root())
        .output()
        .expect("run cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

/// The platform that is built for. Crates for others are not fetched and cannot be looked at offline.
fn platform() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("run rustc");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc tells its host").to_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

#[test]
fn crates_use_only_what_is_listed() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(name, uses)| (*name, uses.split_whitespace().collect())).collect();
    let mut wrong = Vec::new();
    for package in metadata(&["--no-deps"])["packages"].as_array().unwrap() {
        let name = text(package, "name");
        let Some(uses) = allowed.get(name) else {
            wrong.push(format!("{name} is not listed"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|d| d["path"].is_string())
        {
            let other = text(dependency, "name").trim_start_matches("minkang-");
            let test_only = text(dependency, "kind") == "dev";
            let fine = if other == "testkit" { test_only } else { uses.contains(other) };
            if !fine {
                wrong.push(format!("{name} → {other}{}", if test_only { " (tests)" } else { "" }));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that EDGES does not list: {wrong:#?}");
}

/// Whether an SPDX expression can be met from the allow list: `OR` (and the old `/`) needs one, `AND` needs all.
fn permitted(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let fine = any_of(&tokens, &mut at);
    fine && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut fine = all_of(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        fine |= all_of(tokens, at);
    }
    fine
}

fn all_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut fine = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        fine &= one(tokens, at);
    }
    fine
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let fine = any_of(tokens, at);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return fine && closed;
    }
    if tokens.get(*at) == Some(&"WITH") {
        let exception = tokens.get(*at + 1).copied().unwrap_or("");
        *at += 2;
        return LICENCES.contains(&format!("{token} WITH {exception}").as_str()) || LICENCES.contains(token);
    }
    LICENCES.contains(token)
}

#[test]
fn licence_expressions() {
    let table = [
        ("MIT", true),
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MPL-2.0", false),
        ("", false),
        ("MIT )", false),
    ];
    for (expression, fine) in table {
        assert_eq!(permitted(expression), fine, "{expression}");
    }
}

#[test]
fn everything_used_is_permissively_licensed_and_from_the_registry() {
    let mut wrong = Vec::new();
    let used = metadata(&["--locked", "--filter-platform", &platform()]);
    for package in used["packages"].as_array().unwrap() {
        let name = text(package, "name");
        let licence = text(package, "license");
        match package["source"].as_str() {
            None if licence == "Apache-2.0" => {}
            None => wrong.push(format!("{name}: ours, but not Apache-2.0")),
            Some(source) if !source.starts_with("registry+") => wrong.push(format!("{name}: from {source}")),
            Some(_) if permitted(licence) => {}
            Some(_) => wrong.push(format!("{name}: licence {licence:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_two_lists_of_licences_agree() {
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = deny.split_once("\nallow = [").unwrap().1.split_once(']').unwrap().0;
    let listed: Vec<&str> =
        list.split(',').map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty()).collect();
    assert_eq!(listed, LICENCES);
}

/// Files that belong to the project: what git tracks, or, outside a clone, everything but what is built.
fn files() -> Vec<PathBuf> {
    let root = root();
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output();
    if let Ok(output) = listed
        && output.status.success()
        && !output.stdout.is_empty()
    {
        let names = String::from_utf8(output.stdout).unwrap();
        return names
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(|name| root.join(name))
            .filter(|p| p.is_file())
            .collect();
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                let built =
                    name.starts_with("target") || ["node_modules", "dist", ".git", "data"].contains(&&*name);
                if !built {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn sources_are_tidy() {
    let mut wrong = Vec::new();
    for path in files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")) {
        let source = std::fs::read_to_string(&path).unwrap();
        let name = shown(&path);
        if !source.starts_with("//!") {
            wrong.push(format!("{name}: does not begin with a //! line that says what it is"));
        }
        if source.lines().count() > 800 {
            wrong.push(format!("{name}: {} lines; split it", source.lines().count()));
        }
        for unfinished in [concat!("todo", "!("), concat!("unimplemented", "!(")] {
            if source.contains(unfinished) {
                wrong.push(format!("{name}: {unfinished}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_registry_and_no_machine_is_named() {
    // Written in pieces so that this file does not find itself.
    let forbidden = [
        concat!("registry.", "npmjs"),
        concat!("registry.", "npmmirror"),
        concat!("registry.", "yarnpkg"),
        concat!("npm.", "pkg.github"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("pypi.", "org"),
        concat!("files.python", "hosted"),
        concat!("proxy.", "golang"),
        concat!("deb.", "debian.org"),
        concat!("\"reso", "lved\":"),
        concat!("/work", "/main"),
        concat!("/work", "/shared"),
    ];
    let mut wrong = Vec::new();
    for path in files() {
        let Ok(content) = std::fs::read_to_string(&path) else { continue };
        wrong.extend(
            forbidden
                .iter()
                .filter(|host| content.contains(**host))
                .map(|host| format!("{}: {host}", shown(&path))),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for path in files() {
        let folder = path.parent().unwrap();
        if folder.ends_with("migrations") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            folders.entry(folder.to_owned()).or_default().push(name);
        }
    }
    assert!(!folders.is_empty());
    for (folder, mut names) in folders {
        names.sort();
        for (index, name) in names.iter().enumerate() {
            let (number, rest) = name.split_once('_').unwrap_or((name, ""));
            let word = rest.strip_suffix(".sql").unwrap_or("");
            let plain = !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            assert!(
                number == format!("{:04}", index + 1) && plain,
                "{}/{name}: expected {:04}_words.sql",
                shown(&folder),
                index + 1
            );
        }
    }
}
