//! Who may call what: every route × every kind of caller, as one reviewed text file, and every route really tried.
//!
//! `MINKANG_BLESS=1 cargo test -p minkang --test it permissions` rewrites the file; read what changed before committing.

use std::fmt::Write;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use kernel::{Act, Line};
use web::Access;

use crate::city::{Browser, City, STAFF, city};
use crate::rows::patients;

const FILE: &str = "tests/it/permissions.txt";

/// Callers in the order of the columns: heading and browser. Nobody comes first.
async fn callers(city: &City) -> Vec<(String, Browser)> {
    let mut callers = vec![("nobody".to_owned(), city.visitor())];
    for (login, _, role, _, _) in STAFF {
        callers.push((role.to_owned(), city.staff(login).await));
    }
    city.program(0).await.upload("patient", "", patients(0..1)).await.good();
    callers.push(("machine client".to_owned(), city.program(0).await));
    callers.push(("embedded".to_owned(), city.workstation(0, "P00000").await));
    callers
}

fn words(access: Access) -> String {
    match access {
        Access::Open(_) => "open".to_owned(),
        Access::SignedIn(_) => "signed in".to_owned(),
        Access::Needs(need) => format!("{:?} {:?}", need.line, need.act).to_lowercase(),
        Access::Fresh(need) => format!("{:?} {:?} fresh", need.line, need.act).to_lowercase(),
    }
}

/// An address of the route that leads to nothing that exists.
fn address(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "999999" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// Routes that ask for a credential in the request itself.
fn own_credential(path: &str) -> bool {
    path.starts_with("/oauth") || path.starts_with("/sign-in")
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    Allowed,
    Refused,
}

/// What the gate says to this caller, seen from outside.
async fn attempt(browser: &Browser, nobody: bool, method: &Method, path: &str) -> Verdict {
    let request = Request::builder().method(method).uri(address(path));
    let answer = browser.clone().send(request, Body::empty()).await;
    let status = answer.status;
    assert!(
        status != StatusCode::INTERNAL_SERVER_ERROR && status != StatusCode::METHOD_NOT_ALLOWED,
        "{method} {path}: {status} {}",
        answer.text()
    );
    let page = method == Method::GET
        && !["/api", "/fhir", "/embed", "/oauth/userinfo"].iter().any(|root| path.starts_with(root));
    if nobody {
        let led_to_sign_in =
            status == StatusCode::SEE_OTHER && answer.header("location").starts_with("/sign-in?");
        assert!(
            !(page && status == StatusCode::UNAUTHORIZED),
            "{method} {path}: people are led to the sign-in page"
        );
        let refused = status == StatusCode::UNAUTHORIZED || (page && led_to_sign_in);
        return if refused { Verdict::Refused } else { Verdict::Allowed };
    }
    // There the protocol's own credential counts, not the session.
    if status == StatusCode::UNAUTHORIZED && own_credential(path) {
        return Verdict::Refused;
    }
    if status != StatusCode::FORBIDDEN {
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {}", answer.text());
        return Verdict::Allowed;
    }
    // Refused for the line, and told so; a handler may refuse for other reasons.
    let text = answer.text();
    if text.contains("没有“") || text.contains("没有权限") {
        Verdict::Refused
    } else {
        Verdict::Allowed
    }
}

#[tokio::test]
async fn every_route_answers_exactly_the_callers_it_should() {
    let city = city().await;
    let callers = callers(&city).await;
    let routes = city.platform.routes();
    let mut routes: Vec<_> = routes.list().iter().collect();
    // Signing out comes last: it really ends the sessions.
    let order = |path: &str| path == "/sign-out";
    routes.sort_by(|a, b| {
        (order(&a.path), &a.path, a.method.as_str()).cmp(&(order(&b.path), &b.path, b.method.as_str()))
    });

    let mut text = String::from(
        "Who may call what. x: answered; a dot: refused. Generated and compared by permissions.rs.\n\n",
    );
    for (n, (name, _)) in callers.iter().enumerate() {
        writeln!(text, "{}: {name}", char::from(b'a' + n as u8)).unwrap();
    }
    let columns: String = (0..callers.len()).map(|n| char::from(b'a' + n as u8)).collect();
    writeln!(text, "\n{columns}  {:<22} route", "needs").unwrap();
    for route in &routes {
        let mut marks = String::new();
        for (n, (name, browser)) in callers.iter().enumerate() {
            let verdict = attempt(browser, n == 0, &route.method, &route.path).await;
            // What is signed out by trying has to be seen as such, not as a verdict on the next route.
            let declared = match route.access {
                // Signing in, and the protocol of single sign-on, refuse by what they are given.
                Access::Open(_) if own_credential(&route.path) => verdict,
                Access::SignedIn(_) if n > 0 && own_credential(&route.path) => verdict,
                Access::Open(_) => Verdict::Allowed,
                _ if n == 0 => Verdict::Refused,
                Access::SignedIn(_) => Verdict::Allowed,
                Access::Needs(_) | Access::Fresh(_) => verdict,
            };
            assert_eq!(verdict, declared, "{name}: {} {}", route.method, route.path);
            marks.push(if verdict == Verdict::Allowed { 'x' } else { '.' });
        }
        writeln!(text, "{marks}  {:<22} {} {}", words(route.access), route.method, route.path).unwrap();
        no_rights_leak(&marks, route.access, &route.path, &callers);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("MINKANG_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    for (now, then) in text.lines().zip(reviewed.lines()) {
        assert_eq!(
            now, then,
            "{FILE} differs; if that is intended, rewrite it with MINKANG_BLESS=1 and review it"
        );
    }
    assert_eq!(text.lines().count(), reviewed.lines().count(), "{FILE}: routes were added or removed");
}

/// What must hold whatever the file says.
fn no_rights_leak(marks: &str, access: Access, path: &str, callers: &[(String, Browser)]) {
    let allowed = |who: &str| {
        let at = callers.iter().position(|(name, _)| name == who).unwrap();
        marks.as_bytes()[at] == b'x'
    };
    let Access::Needs(need) = access else { return };
    assert!(!allowed("nobody"), "{path}");
    if need.line == Line::Medical {
        for who in [
            "city_data_manager",
            "county_administrator",
            "hospital_engineer",
            "auditor",
            "platform_operator",
            "machine client",
        ] {
            assert!(!allowed(who), "{path}: {who} has no clinical role");
        }
    }
    if (need.line, need.act) == (Line::Exchange, Act::Write) {
        for who in ["city_data_manager", "county_administrator", "township_doctor", "auditor", "embedded"] {
            assert!(!allowed(who), "{path}: {who} sends no data");
        }
    }
}

#[tokio::test]
async fn a_credential_that_is_wrong_is_refused_everywhere_but_where_nobody_is_needed() {
    let city = city().await;
    let mut wrong = city.program(0).await;
    wrong.basic = wrong.basic.map(|basic| format!("{}:{}", basic.split(':').next().unwrap(), "0".repeat(64)));
    for route in
        city.platform.routes().list().iter().filter(|r| r.path.starts_with("/api") || r.path == "/fhir")
    {
        let request = Request::builder().method(&route.method).uri(address(&route.path));
        let answer = wrong.clone().send(request, Body::empty()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {}", route.method, route.path);
    }
}

const ROLES: &str = "tests/it/roles.txt";

/// Every role of the catalogue × every route, by what the route declares and the role holds: the grid that a city's
/// security administrator signs. Blessed like the other file.
#[tokio::test]
async fn the_grid_of_all_roles_is_what_was_reviewed() {
    let city = city().await;
    let roles = &city.platform.catalog.roles;
    let routes = city.platform.routes();
    let mut routes: Vec<_> = routes.list().iter().collect();
    routes.sort_by(|a, b| (&a.path, a.method.as_str()).cmp(&(&b.path, b.method.as_str())));
    let mut text = String::from(
        "Which role may call what. One column for each role; a dot: refused. See permissions.rs.\n\n",
    );
    for (n, role) in roles.iter().enumerate() {
        writeln!(text, "{:>2} {}", n + 1, role.code).unwrap();
    }
    writeln!(text).unwrap();
    for route in &routes {
        let marks: String = roles
            .iter()
            .map(|role| match route.access {
                Access::Needs(need) | Access::Fresh(need) => {
                    if role.grants.iter().any(|g| g.line == need.line && g.act == need.act) {
                        'x'
                    } else {
                        '.'
                    }
                }
                Access::SignedIn(_) | Access::Open(_) => 'x',
            })
            .collect();
        writeln!(text, "{marks}  {:<28} {} {}", words(route.access), route.method, route.path).unwrap();
        if let Access::Needs(need) | Access::Fresh(need) = route.access {
            for (role, mark) in roles.iter().zip(marks.chars()) {
                let barred = need.line.clinical()
                    && need.act.is_use()
                    && (role.administrator || role.duty().is_some());
                assert!(mark == '.' || !barred, "{}: {} administers", route.path, role.code);
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(ROLES);
    if std::env::var_os("MINKANG_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    for (now, then) in text.lines().zip(reviewed.lines()) {
        assert_eq!(now, then, "{ROLES} differs; rewrite it with MINKANG_BLESS=1 and review it");
    }
    assert_eq!(
        text.lines().count(),
        reviewed.lines().count(),
        "{ROLES}: routes or roles were added or removed"
    );
}

/// An exception that is over opens nothing: tried on every route that needs the line that it opened.
#[tokio::test]
async fn an_exception_that_is_over_opens_no_route() {
    let city = city().await;
    let mut engineer = city.staff("engineer").await;
    let now = kernel::Clock::now(&*city.clock);
    sqlx::query(
        "insert into access_exception (account_id, asked_by, asked_by_name, asked_at, line, act, target, region,
            target_label, reason, since, until, state, decided_by_name, decided_at)
         select id, id, name, $1, 'medical', 'read', 'region', '411500000000', '全市', '会诊', $1,
            $1 + interval '10 seconds', 'approved', '主任', $1 from account where login = 'engineer'",
    )
    .bind(now)
    .execute(city.db.pool())
    .await
    .unwrap();
    city.clock.advance(chrono::TimeDelta::seconds(6));
    assert_eq!(engineer.get("/persons").await.status, StatusCode::OK, "while it holds");
    city.clock.advance(chrono::TimeDelta::seconds(4));
    let routes = city.platform.routes();
    for route in routes.list() {
        if matches!(route.access, Access::Needs(n) | Access::Fresh(n) if (n.line, n.act) == (Line::Medical, Act::Read))
        {
            let verdict = attempt(&engineer, false, &route.method, &route.path).await;
            assert_eq!(verdict, Verdict::Refused, "{} {}", route.method, route.path);
        }
    }
}
