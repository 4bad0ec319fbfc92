//! Every ui piece renders its samples (empty, typical, extreme) without anything the content-security policy forbids,
//! with words from outside escaped; every icon that is named anywhere is in the sprite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../examples/gallery/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn samples_render_within_the_policy() {
    for (name, _, body) in samples::pages() {
        let html = body.into_string();
        assert!(html.len() > 500, "{name} is nearly empty");
        for forbidden in
            [" style=", "<style", " onclick=", " onchange=", " onsubmit=", "javascript:", "NaN", "<script>"]
        {
            assert!(!html.contains(forbidden), "{name} contains {forbidden}");
        }
        for (open, close) in
            [("<table", "</table>"), ("<form", "</form>"), ("<div", "</div>"), ("<svg", "</svg>")]
        {
            assert_eq!(html.matches(open).count(), html.matches(close).count(), "{name}: {open}");
        }
    }
}

#[test]
fn words_from_outside_are_escaped() {
    let html = samples::extremes().into_string();
    assert!(html.contains("&lt;script&gt;"));
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

#[test]
fn every_named_icon_is_in_the_sprite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed: BTreeSet<String> =
        std::fs::read_to_string(root.join("web/icons.txt")).unwrap().lines().map(str::to_owned).collect();
    let mut sources = Vec::new();
    files(&root.join("crates"), "rs", &mut sources);
    files(&root.join("catalog"), "toml", &mut sources);
    let mut missing = BTreeSet::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        let pattern = if path.extension().is_some_and(|e| e == "rs") { "icon(\"" } else { "icon = \"" };
        for (_, rest) in text.match_indices(pattern).map(|(at, _)| text.split_at(at + pattern.len())) {
            let name = rest.split('"').next().unwrap();
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if is_name && !listed.contains(name) {
                missing.insert(format!("{name} ({})", path.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "add to web/icons.txt: {missing:#?}");
}
