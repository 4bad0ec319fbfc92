//! What each fuzz target does with its bytes. Shared by the libFuzzer targets and by the tests of the exchange crate;
//! whoever includes it has `exchange` in its own module.
#![allow(dead_code, clippy::panic)]

use std::sync::OnceLock;

use catalog::{Catalog, Dataset};

use super::exchange::fhir;
use super::exchange::read::{self, Format};

fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| match catalog::shipped() {
        Ok(catalog) => catalog,
        Err(problems) => panic!("{problems:?}"),
    })
}

/// CSV, whatever the content says it is.
pub fn csv(data: &[u8]) {
    rows(data, Some(Format::Csv));
}

/// NDJSON, or what the content says it is.
pub fn ndjson(data: &[u8]) {
    rows(data, Some(Format::Ndjson));
}

fn rows(data: &[u8], hint: Option<Format>) {
    let Some(dataset) = catalog().dataset("outpatient_visit") else { panic!("no such data set") };
    let dataset: &Dataset = dataset;
    let Ok(mut reader) = read::open(data, dataset, hint) else { return };
    let (mut rows, mut last, mut all) = (Vec::new(), 0, Vec::new());
    loop {
        rows.clear();
        let outcome = reader.next_rows(5, &mut rows);
        for row in &rows {
            let number = match row {
                Ok(row) => {
                    assert_eq!(row.cells.len(), dataset.fields.len());
                    assert!(row.cells.iter().flatten().all(|c| !c.contains('\0') && !c.is_empty()));
                    row.number
                }
                Err(error) => error.number,
            };
            assert!(number > last, "row numbers rise");
            last = number;
            all.push(number);
        }
        match outcome {
            Ok(0) | Err(_) => break,
            Ok(n) => assert_eq!(n, rows.len()),
        }
    }
    assert!(!reader.media().is_empty());
    let _ = reader.notes();
    // The file for repair finds every row that was told of.
    if let Ok(originals) = read::rows_by_number(data, &all, hint) {
        assert!(originals.truncated || originals.rows.iter().map(|r| r.number).eq(all));
        for cell in originals.rows.iter().flat_map(|r| &r.cells) {
            let safe = read::neutralise(cell);
            assert!(!safe.starts_with(['=', '@']));
        }
    }
}

/// A FHIR bundle or resource.
pub fn fhir(data: &[u8]) {
    let Ok(value) = fhir::parse(data) else { return };
    let mapped = match fhir::map_bundle(&value, catalog()) {
        Ok(mapped) => mapped,
        Err(_) => fhir::map_resources(&[(1, value)], catalog()),
    };
    assert_eq!(mapped.mapped + mapped.kept.len(), mapped.entries, "mapped or kept, never dropped");
    for row in &mapped.rows {
        let Some(dataset) = catalog().dataset(row.dataset) else { panic!("no such data set") };
        assert_eq!(row.row.cells.len(), dataset.fields.len());
        assert!(row.row.number >= 1 && row.row.number <= mapped.entries as u64);
    }
}
