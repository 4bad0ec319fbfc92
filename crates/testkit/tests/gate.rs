//! The gate to personal data, checked on the sources: SQL that reads tables with personal data stands only in functions
//! that take a gated transaction or a reach, or in a file of [`REVIEWED`] with the reason. So a new query cannot forget
//! the gate without a reviewer seeing it here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Tables whose rows are about a person.
const PERSONAL: [&str; 21] = [
    "person",
    "identity_record",
    "identity_event",
    "identity_pair",
    "person_operation",
    "person_pin",
    "person_death",
    "search_key",
    "search_entry",
    "review_task",
    "index_change",
    "index_difference",
    "index_suspect",
    "care_relation",
    "record_entry",
    "fact_history",
    "cross_finding",
    "batch_issue",
    "kept_resource",
    "record_restriction",
    "record_glass",
];

/// Functions that read such tables without a gated transaction, and why they may. `*`: every function of the file.
const REVIEWED: &[(&str, &str, &str)] = include!("gate_reviewed.in");

/// Who may use the door of background work, and for what.
const BACKGROUND: &[(&str, &str)] = &[
    (
        "crates/exchange/src/intake/stored.rs",
        "writes stored rows anew when a map of an institution's own codes is approved or undone; shows nobody anything",
    ),
    (
        "crates/record/src/guard/classify.rs",
        "classifies entries again when definitions change; shows nobody anything",
    ),
    (
        "crates/person/src/runs/places.rs",
        "the nightly look for stays in two cities; what people read of the list passes the gate",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("src"))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The text without its unit tests, and with comment lines blanked so that words in them count for nothing.
fn code(text: &str) -> String {
    let end =
        text.find("#[cfg(test)]\nmod ").or_else(|| text.find("#[cfg(test)]\n#[allow")).unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether `at` begins a word of SQL in lower case followed by a table of persons; which table.
fn table_read(text: &str, at: usize) -> Option<&'static str> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = ["from ", "join "].iter().find_map(|word| text[at..].strip_prefix(word))?;
    let rest = rest.trim_start();
    PERSONAL.into_iter().find(|table| {
        rest.strip_prefix(table).is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Places where facts are read: tables of facts are named by code. Elsewhere `table()` is something else.
fn facts_read(file: &str, text: &str, at: usize) -> bool {
    !["catalog", "directory", "standards"].iter().any(|c| file.starts_with(&format!("crates/{c}/")))
        && text[at..].starts_with(".table()")
}

/// The name and the signature of the function around a place; `None` outside of one (a constant).
fn function(text: &str, at: usize) -> Option<(String, String)> {
    let mut search = at;
    loop {
        let found = text[..search].rfind("fn ")?;
        let starts_line = {
            let line = text[..found].rfind('\n').map_or(0, |n| n + 1);
            let head = text[line..found].trim();
            head.is_empty()
                || head.split(' ').all(|w| ["pub", "pub(crate)", "pub(super)", "async", "const"].contains(&w))
        };
        if starts_line {
            let rest = &text[found + 3..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let body = rest.find(" {\n").unwrap_or(rest.len());
            // A constant after the function's end is not in it: the function ends with a brace at its own indentation.
            let line = text[..found].rfind('\n').map_or(0, |n| n + 1);
            let indent = text[line..].len() - text[line..].trim_start_matches(' ').len();
            let close = format!("\n{}}}\n", " ".repeat(indent));
            let ends = text[found..].find(&close).map_or(text.len(), |n| found + n);
            return (at < ends).then(|| (name, rest[..body].to_owned()));
        }
        search = found;
    }
}

/// The constant around a place: its name.
fn constant(text: &str, at: usize) -> Option<String> {
    let found = text[..at].rfind("const ")?;
    let name: String = text[found + 6..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn gated(signature: &str) -> bool {
    signature.contains("Gated<") || signature.contains("Reach")
}

/// Every function that reads personal data without being gated: file, function.
fn ungated() -> BTreeSet<(String, String)> {
    let mut wrong = BTreeSet::new();
    for (name, text) in sources() {
        // Migrations and fact tables make the schema and read no rows; the demonstration has no database.
        let text = code(&text);
        for (at, _) in text.char_indices() {
            if table_read(&text, at).is_none() && !facts_read(&name, &text, at) {
                continue;
            }
            let users: Vec<(String, String)> = match function(&text, at) {
                Some(function) => vec![function],
                // A statement kept in a constant: whoever names the constant reads with it.
                None => constant(&text, at)
                    .map(|constant| {
                        text.match_indices(&constant)
                            .filter_map(|(used, _)| function(&text, used))
                            .collect::<Vec<_>>()
                    })
                    .unwrap_or_default(),
            };
            if users.is_empty() {
                wrong.insert((name.clone(), format!("line {}", text[..at].lines().count())));
            }
            wrong.extend(
                users.into_iter().filter(|(_, signature)| !gated(signature)).map(|(f, _)| (name.clone(), f)),
            );
        }
    }
    wrong
}

#[test]
fn personal_tables_are_read_through_the_gate() {
    let wrong = ungated();
    let listed = |(file, function): &(String, String)| {
        REVIEWED.iter().any(|(f, which, _)| f == file && (*which == "*" || which == function))
    };
    let new: Vec<_> = wrong.iter().filter(|found| !listed(found)).collect();
    assert!(
        new.is_empty(),
        "these read personal data without a gated transaction or a reach. Take `&mut store::Gated<'_>`, or list them in \
         crates/testkit/tests/gate_reviewed.in with the reason: {new:#?}"
    );
    let stale: Vec<_> = REVIEWED
        .iter()
        .filter(|(file, which, _)| {
            !wrong.iter().any(|(f, name)| f == file && (*which == "*" || which == name))
        })
        .collect();
    assert!(stale.is_empty(), "these need no exception any more: {stale:#?}");
    assert!(REVIEWED.iter().all(|(_, _, why)| why.len() > 20), "every exception has its reason");
}

#[test]
fn the_door_of_background_work_is_used_where_it_is_listed() {
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in sources() {
        let uses = code(&text).matches(".background(").count();
        if uses > 0 && name != "crates/store/src/db.rs" {
            users.insert(name, uses);
        }
    }
    let listed: BTreeSet<&str> = BACKGROUND.iter().map(|(file, _)| *file).collect();
    let found: BTreeSet<&str> = users.keys().map(String::as_str).collect();
    assert_eq!(found, listed, "whoever uses the door of background work is listed with the reason");
}

#[test]
fn the_scan_sees_what_it_should() {
    let cases = [
        ("fn a(tx: &mut Tx<'_>) {\n    q(\"select 1 from person p\");\n}\n", Some("a")),
        ("fn a(tx: &mut Gated<'_>) {\n    q(\"select 1 from person p\");\n}\n", None),
        ("fn a(tx: &mut Tx<'_>) {\n    q(\"select 1 from personnel\");\n}\n", None),
        (
            "fn a(tx: &mut Tx<'_>) {\n    q(\"select 1 from a join identity_record i on true\");\n}\n",
            Some("a"),
        ),
        ("const Q: &str = \"select 1 from person\";\nfn b(pool: &PgPool) {\n    q(Q);\n}\n", Some("b")),
    ];
    for (text, expected) in cases {
        let found: Vec<String> = text
            .char_indices()
            .filter(|(at, _)| table_read(text, *at).is_some())
            .flat_map(|(at, _)| match function(text, at) {
                Some(f) => vec![f],
                None => {
                    let constant = constant(text, at).unwrap();
                    text.match_indices(&constant).filter_map(|(used, _)| function(text, used)).collect()
                }
            })
            .filter(|(_, signature)| !gated(signature))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found.first().map(String::as_str), expected, "{text}");
    }
}
