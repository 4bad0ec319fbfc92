//! Names of files that no file should have, and files that claim to be something else.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::Findings;
use super::html::injected;
use crate::city::city;
use crate::rows::visits;

const BOUNDARY: &str = "probe-boundary-7f3a";

/// The upload form with this file.
fn multipart(name: &str, kind: &str, content: &str) -> Body {
    let mut text = String::new();
    for (field, value) in
        [("institution", "12411500MB1A00001X"), ("dataset", "outpatient_visit"), ("mode", "rows")]
    {
        text.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
        ));
    }
    text.push_str(&format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n"
    ));
    Body::from(text)
}

/// Every file under the data folder, without the objects' own.
fn outside(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if !path.starts_with(folder.join("objects")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_name_of_a_file_is_only_ever_shown() {
    let city = city().await;
    let mut engineer = city.staff("engineer").await;
    let mut findings = Findings::default();
    let folder = city.folder.path();
    let before = outside(folder);
    let beside = std::fs::read_dir(folder.parent().unwrap()).unwrap().count();
    let long = "长".repeat(5_000) + ".csv";
    let names = [
        "../../../../etc/cron.d/x.csv",
        "..\\..\\x.csv",
        "/etc/passwd",
        "a%00.csv",
        "a\u{0}b.csv",
        "a\u{202e}vsc.exe",
        "<script>alert(1)</script>.csv",
        "' onmouseover='alert(1)' x='.csv",
        "CON",
        ".",
        "x.csv; filename=y.exe",
        &long,
    ];
    let kinds =
        ["text/csv", "text/html", "application/zip", "image/svg+xml", "no type at all", "application/json"];
    let mut stored = 0;
    for (n, name) in names.iter().enumerate() {
        let content = visits(n as u32 * 10..n as u32 * 10 + 3, 3, 80);
        let request = Request::post("/batches")
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        let answer = engineer.send(request, multipart(name, kinds[n % kinds.len()], &content)).await;
        let at = format!("{name:.40}");
        findings
            .expect(!answer.status.is_server_error(), format!("{at}: {} {}", answer.status, answer.text()));
        findings.expect(injected(&answer.text()).is_empty(), format!("{at}: {:?}", injected(&answer.text())));
        stored += usize::from(answer.status == StatusCode::SEE_OTHER);
    }
    assert!(stored > 6, "only {stored} of the files were taken");
    findings.expect(outside(folder) == before, "a file was written outside of the objects");
    findings.expect(
        std::fs::read_dir(folder.parent().unwrap()).unwrap().count() <= beside + 40,
        "files were written beside the data folder",
    );
    let batches: Vec<i64> =
        sqlx::query_scalar("select id from batch order by id").fetch_all(city.db.pool()).await.unwrap();
    for batch in batches {
        for path in [format!("/batches/{batch}"), format!("/batches/{batch}/issues"), "/batches".to_owned()] {
            let answer = engineer.get(&path).await;
            findings.expect(answer.status == StatusCode::OK, format!("{path}: {}", answer.status));
            findings.expect(
                injected(&answer.text()).is_empty(),
                format!("{path}: {:?}", injected(&answer.text())),
            );
        }
        for path in ["original", "issues.csv", "issues.xlsx", "repair.csv"] {
            let answer = engineer.get(&format!("/api/v1/batches/{batch}/{path}")).await;
            let told = answer.header("content-disposition");
            // A browser must not show what somebody sent as a page of ours.
            findings.expect(
                !answer.status.is_success()
                    || told.starts_with("attachment")
                        && !told.contains(['\\', '<', '\u{202e}'])
                        && !told.contains(".."),
                format!("{path} of {batch}: {told}"),
            );
            findings.expect(
                !answer.header("content-type").contains("html") || !answer.status.is_success(),
                format!("{path} of {batch} is a page"),
            );
        }
    }
    findings.close(50);
}
