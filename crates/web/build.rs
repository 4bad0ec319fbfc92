//! Sees to it that the assets are there before they are embedded, and says what to do when they are not.

use std::path::Path;

fn main() {
    let dist = Path::new("../../web/dist");
    println!("cargo::rerun-if-changed=../../web/dist/manifest.json");
    if !dist.join("manifest.json").is_file() {
        println!(
            "cargo::error=the style sheet and scripts are not built yet (web/dist is missing): \
             run scripts/assets.sh, or make assets, and build again"
        );
    }
}
