//! Importing code tables, and the tables of the sample data in place.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use contracts::Terminology;
use directory::Directory;
use directory::terminology::editions::{CodeImport, ImportReport};
use directory::terminology::reader::{Columns, read_codes};
use kernel::{Caller, Clock};

use crate::{get, registries, shipped};

fn import(table: &str, edition: &str, text: &str) -> CodeImport {
    CodeImport {
        table_id: table.into(),
        name: String::new(),
        standard: String::new(),
        edition: edition.into(),
        source: "测试".into(),
        complete: true,
        rows: read_codes(text.as_bytes(), &Columns::default()).unwrap(),
        dry_run: false,
        loaded_by: "测试".into(),
        valid_from: None,
    }
}

fn counts(report: &ImportReport) -> (usize, usize, usize, usize, usize, bool) {
    let r = report;
    (r.added.count, r.removed.count, r.renamed.count, r.unchanged, r.problems.count, r.applied)
}

#[tokio::test]
async fn an_edition_is_laid_over_the_shipped_table() {
    let (db, directory) = registries().await;
    let now = testkit::clock().now();
    let text = "code,name\n1,男\n2,女性\n9,未说明\n9,又一次\n";
    let dry = CodeImport { dry_run: true, ..import("sex", "2030", text) };
    let expected = (1, 0, 1, 1, 1, false);
    assert_eq!(counts(&directory.import_codes(dry, now).await.unwrap()), expected);
    assert_eq!(
        directory.tables().get("sex").unwrap().name_of("1"),
        Some("男性"),
        "a dry run changes nothing"
    );

    let before = directory.tables();
    let report = directory.import_codes(import("sex", "2030", text), now).await.unwrap();
    assert_eq!(counts(&report), (1, 0, 1, 1, 1, true));
    assert_eq!(report.renamed.first, ["1 男性 → 男"]);
    let table = directory.tables().get("sex").unwrap().clone();
    assert_eq!((table.name_of("1"), table.name_of("9")), (Some("男"), Some("未说明")));
    assert_eq!((table.name.as_str(), table.edition.as_str()), ("性别代码", "2030"));
    assert_eq!(before.get("sex").unwrap().name_of("1"), Some("男性"), "a snapshot stays as it was taken");

    // The same again writes nothing.
    let editions = "select count(*) || ' ' || max(id) from code_edition";
    let stand: String = sqlx::query_scalar(editions).fetch_one(db.pool()).await.unwrap();
    let again = directory.import_codes(import("sex", "2030", text), now).await.unwrap();
    assert_eq!(counts(&again), (0, 0, 0, 3, 1, false));
    assert_eq!(sqlx::query_scalar::<_, String>(editions).fetch_one(db.pool()).await.unwrap(), stand);

    // A partial edition adds to what is shipped; the earlier edition is kept but no longer in force.
    let partial = CodeImport { complete: false, ..import("sex", "本地", "code,name\n8,本地补充\n") };
    let report = directory.import_codes(partial, now).await.unwrap();
    assert_eq!(counts(&report), (1, 1, 0, 0, 0, true), "only 9 goes: 1 and 2 are shipped");
    let table =
        Directory::open(db.db().clone(), shipped()).await.unwrap().tables().get("sex").unwrap().clone();
    let codes: Vec<&str> = table.codes.iter().map(|c| &*c.code).collect();
    assert_eq!(codes, ["8", "1", "2"]);
    let kept: Vec<(String, bool)> =
        sqlx::query_as("select edition, valid_to is null from code_edition order by id")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(kept, [("2030".to_owned(), false), ("本地".to_owned(), true)]);
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_with_the_reason() {
    let (_db, directory) = registries().await;
    let now = testkit::clock().now();
    for (import, code) in [
        (import("Sex; drop", "1", "code,name\n1,男\n"), "codes.bad_table"),
        (import("sex", " ", "code,name\n1,男\n"), "codes.no_edition"),
        (import("sex", "1", "code,name\n,男\n2,\n"), "codes.empty"),
    ] {
        let error = directory.import_codes(import, now).await.unwrap_err().to_string();
        assert!(error.starts_with(code), "{error}");
    }
}

#[tokio::test]
async fn tables_are_listed_and_searched() {
    let (_db, directory) = registries().await;
    let now = testkit::clock().now();
    let text = "code,name\nI10.x00,特发性高血压\nE11.900,2型糖尿病\nI11.900,高血压性心脏病\n";
    directory.import_codes(import("icd10", "2.0", text), now).await.unwrap();
    let me = || Some(Caller { grants: Vec::new(), ..Caller::system("测试") });
    let (status, page) = get(&directory, "/codes", me()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("/codes/icd10") && page.contains("性别代码") && page.contains("GB/T 2261.1-2003"));
    assert_eq!(get(&directory, "/codes", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&directory, "/codes/nothing", me()).await.0, StatusCode::NOT_FOUND);
    for (q, expected) in [
        ("", "I10.x00 E11.900 I11.900"),
        ("i1", "I10.x00 I11.900"),
        ("I10.X00", "I10.x00"),
        ("高血压", "I11.900 I10.x00"),
        ("gxy", "I11.900 I10.x00"),
        ("2xtnb", "E11.900"),
        ("感冒", ""),
    ] {
        let mut query = form(q);
        query.insert_str(0, "/api/v1/codes/icd10?q=");
        let (_, json) = get(&directory, &query, me()).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let codes: Vec<&str> = json.as_array().unwrap().iter().map(|c| c["code"].as_str().unwrap()).collect();
        assert_eq!(codes.join(" "), expected, "{q}");
    }
    let (_, csv) = get(&directory, &format!("/codes/icd10/export.csv?q={}", form("糖尿病")), me()).await;
    assert!(csv.contains("E11.900") && !csv.contains("I10"));
}

/// Percent-encoded.
fn form(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The folder of sample data, when this machine has it.
fn samples() -> Option<PathBuf> {
    let folder = std::env::var_os("MINKANG_SAMPLE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

#[tokio::test]
async fn the_national_tables_are_imported_in_seconds() {
    let Some(samples) = samples() else {
        eprintln!("skipped: no sample data here (set MINKANG_SAMPLE_DATA to its folder)");
        return;
    };
    let (_db, directory) = registries().await;
    let now = testkit::clock().now();
    for (file, table, at_least) in [
        ("cn-codes-icd/icd10_cn.csv", "icd10", 33_000),
        ("cn-codes-icd/icd9cm3_cn.csv", "icd9cm3", 13_000),
        ("cn-codes-tcm/tcm_disease_A.csv", "tcm_disease", 1_000),
        ("cn-codes-tcm/tcm_syndrome_B.csv", "tcm_syndrome", 1_500),
        ("cn-codes-tcm/tcm_treatment_C.csv", "tcm_treatment", 900),
    ] {
        let started = Instant::now();
        let bytes = std::fs::read(samples.join(file)).unwrap();
        let rows = read_codes(&bytes, &Columns::default()).unwrap();
        let read = rows.len();
        let import = CodeImport { rows, ..import(table, "样例", "code,name\n") };
        let report = directory.import_codes(import, now).await.unwrap();
        let took = started.elapsed();
        eprintln!(
            "{file}: {read} rows, {} added, {} problems, {took:?}",
            report.added.count, report.problems.count
        );
        assert!(report.added.count >= at_least, "{file}: {:?}", report.problems.first);
        assert_eq!(report.added.count + report.problems.count, read, "{file}");
        assert!(took < Duration::from_secs(5), "{file} took {took:?}");
    }
    let tables = directory.tables();
    assert!(tables.display("icd10", "I10.x00").contains("高血压"));
}
