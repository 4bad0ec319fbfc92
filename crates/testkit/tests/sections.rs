//! The menu and the sources agree: where pages of the menu lie below an address, that address leads somewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

/// Texts of all sources, without tests.
fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_root_of_every_section_of_the_menu_leads_somewhere() {
    let mut all = String::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap().flatten() {
        let folder = entry.path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut all);
        }
    }
    let menu = &catalog::shipped().unwrap().menu;
    let mut roots = BTreeSet::new();
    for item in menu {
        let parts: Vec<&str> = item.path.trim_start_matches('/').split('/').collect();
        roots.extend((1..parts.len()).map(|n| format!("/{}", parts[..n].join("/"))));
    }
    assert!(roots.len() > 5, "{roots:?}");
    let missing: Vec<&String> =
        roots.iter().filter(|root| !all.contains(&format!(".get(\"{root}\""))).collect();
    assert!(missing.is_empty(), "pages lie below these, and nothing answers there: {missing:?}");
}
