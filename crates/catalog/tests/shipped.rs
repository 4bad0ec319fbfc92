//! The catalogue that ships with the program has no problems.
#![allow(clippy::unwrap_used)]

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

#[test]
fn an_operators_folder_is_laid_over_the_shipped_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let dataset = "number = 9001\ncode = \"local_thing\"\nname = \"本地数据集\"\nkey = [\"no\"]\noccurred = \"day\"\nfields = [\n\
        { name = \"no\", title = \"编号\", type = \"text\", max = 20, required = true },\n\
        { name = \"day\", title = \"日期\", type = \"date\", required = true },\n]\n";
    write("datasets/local_thing.toml", dataset.as_bytes());
    write("quality.toml", b"completeness = 10\ncorrectness = 20\ntimeliness = 30\nlogic = 40\n");
    write("README.md", b"not a definition");
    let catalog = catalog::from_dir(folder.path()).unwrap();
    assert_eq!(catalog.dataset("LOCAL_THING").unwrap().number, 9001);
    assert_eq!(catalog.quality.weights, [10.0, 20.0, 30.0, 40.0]);
    assert!(catalog.datasets.len() > 1, "the shipped ones stay");

    write("datasets/gbk.toml", b"number = 1\nname = \"\xc3\xfb\"\n");
    let problems = catalog::from_dir(folder.path()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].file.as_str(), problems[0].line), ("datasets/gbk.toml", 2));
    assert!(catalog::from_dir(&folder.path().join("nowhere")).is_err());
}
