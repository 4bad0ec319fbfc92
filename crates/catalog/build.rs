//! Rebuilds the embedded catalogue when a definition is added or removed. Debug builds read the folder at run time.

fn main() {
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let watched = if release { "../../catalog" } else { "build.rs" };
    // Cargo reads this from the standard output.
    #[allow(clippy::print_stdout)]
    {
        println!("cargo::rerun-if-changed={watched}");
    }
}
