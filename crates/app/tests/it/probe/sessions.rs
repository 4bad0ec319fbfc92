//! Sessions and sign-in as an intruder tries them: planted and ended sessions, cookies' flags, what a refusal tells.

use axum::http::{Method, StatusCode};

use super::{Findings, ask};
use crate::city::{PASSWORD, city};

const SESSION: &str = "minkang_session";

#[tokio::test]
async fn a_planted_or_ended_session_opens_nothing() {
    let city = city().await;
    let mut findings = Findings::default();
    let mut doctor = city.staff("doctor").await;
    let first = doctor.cookies[SESSION].clone();

    // Planted: the intruder's session in the victim's browser is not the victim's after sign-in.
    let mut victim = city.visitor();
    victim.cookies.insert(SESSION.to_owned(), first.clone());
    let answer = victim.form("/sign-in", &[("login", "doctor"), ("password", PASSWORD)]).await;
    findings.expect(victim.cookies[SESSION] != first, "the token stays the same over a sign-in");
    for line in answer.headers.get_all("set-cookie") {
        let line = line.to_str().unwrap();
        let good = ["HttpOnly", "Path=/", "SameSite="].iter().all(|flag| line.contains(flag))
            && !line.contains("Domain=");
        findings.expect(good, format!("flags of {line}"));
    }
    findings.expect(
        ask(&doctor, &Method::GET, "/desk", &[]).await.status != StatusCode::OK,
        "the planted token still opens the desk after the victim signed in over it",
    );
    // A token of one's own making is nobody's, and is not taken over.
    let mut made = city.visitor();
    made.cookies.insert(SESSION.to_owned(), "a".repeat(64));
    findings.expect(ask(&made, &Method::GET, "/desk", &[]).await.status != StatusCode::OK, "a made-up token");
    made.form("/sign-in", &[("login", "doctor"), ("password", PASSWORD)]).await;
    findings.expect(made.cookies[SESSION] != "a".repeat(64), "a made-up token is taken over");

    // Ended: every route that wants somebody refuses the old token.
    doctor = made;
    let old = doctor.clone();
    findings.expect(ask(&old, &Method::GET, "/desk", &[]).await.status == StatusCode::OK, "signed in");
    doctor.form("/sign-out", &[]).await;
    findings.expect(!doctor.cookies.contains_key(SESSION), "sign-out leaves the cookie");
    for route in city.platform.routes().list() {
        if matches!(route.access, web::Access::Open(_)) {
            continue;
        }
        let path = super::filled(&route.path, "1");
        let answer = ask(&old, &route.method, &path, &[]).await;
        let refused = answer.status == StatusCode::UNAUTHORIZED
            || answer.status == StatusCode::SEE_OTHER && answer.header("location").starts_with("/sign-in");
        findings.expect(refused, format!("{} {path} after sign-out: {}", route.method, answer.status));
    }
    // The victim's other session went on: signing out ends one, not all.
    findings.expect(
        ask(&victim, &Method::GET, "/desk", &[]).await.status == StatusCode::OK,
        "another session ended",
    );

    // More at once than allowed: the oldest ends.
    let mut all = vec![victim];
    for _ in 0..6 {
        let mut browser = city.visitor();
        browser.form("/sign-in", &[("login", "doctor"), ("password", PASSWORD)]).await;
        all.push(browser);
    }
    let mut open = 0;
    for browser in &all {
        open += usize::from(ask(browser, &Method::GET, "/desk", &[]).await.status == StatusCode::OK);
    }
    findings.expect(open == 5, format!("{open} sessions at once"));
    findings.close(100);
}

#[tokio::test]
async fn a_refused_sign_in_does_not_tell_whether_the_login_exists() {
    let city = city().await;
    city.staff("doctor").await;
    let mut findings = Findings::default();
    let runs = || city.platform.identity.password_computations();
    for round in 0..3 {
        let mut told = Vec::new();
        for login in ["doctor", "nobody-here"] {
            let before = runs();
            let fields = [("login", login), ("password", "Wrong#Password9"), ("next", "/desk")];
            let answer = city.visitor().form("/sign-in", &fields).await;
            let headers: Vec<String> = answer
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                .collect();
            told.push((answer.status, answer.text().replace(login, "#"), headers.len(), runs() - before));
            findings.tried();
        }
        findings.expect(told[0] == told[1], format!("round {round}: {:?} and {:?}", told[0], told[1]));
        findings.expect(told[0].3 == 1, format!("round {round}: {} computations", told[0].3));
    }
    findings.close(6);
}
