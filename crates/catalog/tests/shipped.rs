//! The catalogue that ships with the program has no problems.

#[test]
fn the_shipped_catalogue_loads() {
    match catalog::shipped() {
        Ok(catalog) => {
            assert!(!catalog.datasets.is_empty());
            assert!(!catalog.tables.tables.is_empty());
        }
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(lines.is_empty(), "{} problems:\n{}", lines.len(), lines.join("\n"));
        }
    }
}
