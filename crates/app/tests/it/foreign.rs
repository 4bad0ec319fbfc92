//! Nothing of a person is seen under a foreign scope: every store function that takes a gated transaction is listed with
//! how it is tried, the list is compared with the sources, and every route that names a person, a batch or an account is
//! asked from another county.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::http::{Method, Request, StatusCode};
use identity::{NewAccount, Persona};
use kernel::RegionCode;

use crate::city::{Browser, City, PASSWORD, city};
use crate::rows::patients;

/// Files whose functions take a gated transaction, and how they are tried here under a foreign scope: `asks`: the
/// function compares with the reach itself; `door`: it is called only after the door or the scope of its page has let
/// the person, batch or reviewer pass, and is tried through every route that leads to it.
const READERS: &[(&str, &str)] = include!("foreign_readers.in");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Files under `crates/*/src` with a function that takes a gated transaction.
fn readers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root().join("crates")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            if path.is_dir() {
                open.push(path);
            } else if name.contains("/src/")
                && name.ends_with(".rs")
                && !name.starts_with("crates/store/")
                && !name.starts_with("crates/contracts/")
                && std::fs::read_to_string(&path).unwrap().contains(": &mut Gated<'")
            {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn every_reader_of_personal_data_is_listed() {
    let listed: BTreeSet<String> = READERS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(
        readers(),
        listed,
        "a file that reads personal data is tried here; add how to foreign_readers.in"
    );
    assert!(READERS.iter().all(|(_, how)| matches!(*how, "asks" | "door")));
}

async fn stranger(city: &City, login: &str, role: &str) -> Browser {
    let account = NewAccount {
        login: login.to_owned(),
        name: "外县人".to_owned(),
        staff_no: format!("{login}-1"),
        role: role.to_owned(),
        institution: (role != "county_administrator").then(|| city.institutions[2]),
        region: RegionCode::parse("411502").unwrap(),
    };
    let persona = Persona { account, password: PASSWORD.to_owned() };
    city.platform.identity.ensure_persona(&persona).await.unwrap();
    let mut browser = city.visitor();
    let answer = browser.form("/sign-in", &[("login", login), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    browser
}

#[tokio::test]
async fn nothing_is_seen_from_another_county() {
    let city = city().await;
    let sent = city.program(0).await.upload("patient", "", patients(0..3)).await;
    let receipt = sent.good();
    let batch =
        receipt["batch"].as_i64().or_else(|| receipt["id"].as_i64()).expect("the receipt names its batch");
    let (person, name): (i64, String) = sqlx::query_as("select id, name from person order by id limit 1")
        .fetch_one(city.db.pool())
        .await
        .unwrap();
    sqlx::query("update person set region = '411503102000'").execute(city.db.pool()).await.unwrap();
    sqlx::query("update identity_record set region = '411503102000'").execute(city.db.pool()).await.unwrap();
    let account: i64 = {
        city.staff("doctor").await;
        sqlx::query_scalar("select id from account where login = 'doctor'")
            .fetch_one(city.db.pool())
            .await
            .unwrap()
    };
    // At home the same name is found: what is not seen below is hidden, not absent.
    let at_home = city.staff("doctor").await.get(&escape(&format!("/persons?q={name}"))).await.text();
    assert!(at_home.contains("/record/"), "{at_home}");
    let mut callers = vec![
        ("a doctor", stranger(&city, "w-doctor", "hospital_doctor").await),
        ("an engineer", stranger(&city, "w-engineer", "hospital_engineer").await),
        ("an administrator", stranger(&city, "w-admin", "county_administrator").await),
        ("a program", city.program(2).await),
    ];
    let mut tried = 0;
    let routes = city.platform.routes();
    for route in routes.list().iter().filter(|r| r.method == Method::GET) {
        let path: String = route
            .path
            .split('/')
            .map(|part| match part {
                "{person}" => person.to_string(),
                "{id}" if route.path.starts_with("/fhir/Patient") => person.to_string(),
                "{batch}" => batch.to_string(),
                "{account}" => account.to_string(),
                part if part.starts_with('{') => "1".to_owned(),
                part => part.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("/");
        if !route.path.contains('{') || path.starts_with("/assets") {
            continue;
        }
        for (who, browser) in &mut callers {
            let answer = browser.send(Request::get(&path), axum::body::Body::empty()).await;
            assert!(!answer.text().contains(&name), "{who} sees {name} at {path}: {}", answer.text());
            if path.contains(&format!("/{person}")) && route.path.contains("{person}") {
                assert_ne!(answer.status, StatusCode::OK, "{who} opens {path}");
            }
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried} only: the routes with identifiers were not found");
    for path in [
        format!("/persons?q={name}"),
        format!("/fhir/Patient?name={name}"),
        format!("/api/v1/persons?q={name}"),
    ] {
        let path = escape(&path);
        for (who, browser) in &mut callers {
            let answer = browser.get(&path).await;
            let shown = answer.text().replace(&format!("value=\"{name}\""), "");
            assert!(
                !shown.contains("/record/") && !shown.contains("\"id\":"),
                "{who} finds {name} by {path}: {shown}"
            );
        }
    }
}

/// A path whose Chinese is percent-encoded.
fn escape(path: &str) -> String {
    path.bytes().map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
