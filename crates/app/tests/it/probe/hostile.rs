//! Hostile text: stored in everything that people may write and read back on every page, sent in every parameter of
//! every page, in what says where to go next, and in every form that the pages offer.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};

use super::html::{Form, forms, injected, tags};
use super::world::world;
use super::{Findings, Prober, ask, encode, is_html, probers, who};
use crate::city::Answer;

const SCRIPT: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
const HANDLER: &str = "x' onmouseover='alert(1)' \" onfocus=\"alert(1)";

/// Texts that have broken programs, percent-encoded.
fn nasty() -> Vec<String> {
    let mut all: Vec<String> = [
        SCRIPT,
        HANDLER,
        "' or 1=1 --",
        "%",
        "_",
        "\\",
        "a\0b",
        "\r\nX-Probe: 1",
        "-1",
        "0",
        "9223372036854775808",
        "99999999999999999999999999",
        "1e400",
        "NaN",
        "0001-01-01",
        "9999-12-31",
        "2025-13-45",
        "-262144-01-01",
        "../../etc/passwd",
        "${7*7}",
        "\u{202e}txt",
        "\u{0}",
        "𠮷🦀",
        " ",
        "javascript:alert(1)",
    ]
    .iter()
    .map(encode)
    .collect();
    all.push("%FF%FE%80".to_owned());
    all.push("%".to_owned());
    all.push(String::new());
    all
}

/// Names of parameters that lists of this program know, beside those that its pages show.
const KNOWN: [&str; 24] = [
    "q",
    "page",
    "size",
    "sort",
    "from",
    "to",
    "day",
    "month",
    "year",
    "day_from",
    "day_to",
    "institution",
    "region",
    "role",
    "state",
    "kind",
    "table",
    "code",
    "dataset",
    "person",
    "account",
    "next",
    "back",
    "id",
];

/// The parameters of each page: of its forms, its links and those that every list may have.
fn parameters(pages: &[(String, Answer)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, answer) in pages {
        let here = at.split('?').next().unwrap_or_default();
        let page = answer.text();
        for form in forms(&page).iter().filter(|f| !f.post) {
            let action = if form.action.is_empty() { here } else { form.action.as_str() };
            let action = action.split('?').next().unwrap_or_default().to_owned();
            known.entry(action).or_default().extend(form.fields.iter().map(|f| f.0.clone()));
        }
        for tag in tags(&page) {
            for name in ["href", "hx-get", "src"] {
                if let Some((path, query)) = tag.get(name).and_then(|link| link.split_once('?')) {
                    let path = if path.is_empty() { here } else { path };
                    let names = query.split('&').filter_map(|pair| pair.split('=').next());
                    known.entry(path.to_owned()).or_default().extend(names.map(str::to_owned));
                }
            }
        }
    }
    known
}

/// What an answer must not be, whatever was sent.
fn judge(findings: &mut Findings, at: &str, answer: &Answer) {
    findings.expect(
        !answer.status.is_server_error() || answer.status == StatusCode::SERVICE_UNAVAILABLE,
        format!("{at}: {} {}", answer.status, answer.text().chars().take(200).collect::<String>()),
    );
    findings.expect(answer.headers.get("x-probe").is_none(), format!("{at}: a header was written"));
    if is_html(answer) {
        for what in injected(&answer.text()) {
            findings.expect(false, format!("{at}: {what}"));
        }
    }
    leads_away(findings, at, answer);
}

/// No answer leads to another site.
fn leads_away(findings: &mut Findings, at: &str, answer: &Answer) {
    for name in ["location", "hx-redirect", "hx-location", "hx-push-url", "refresh"] {
        let Some(value) = answer.headers.get(name) else { continue };
        let goal = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let ours = goal.starts_with('/') && !goal.starts_with("//") && !goal.contains('\\')
            || goal.starts_with("http://minkang.test/")
            // What partners' sign-in pages and registered applications are.
            || goal.contains(".invalid");
        findings.expect(ours, format!("{at}: leads to {goal}"));
    }
}

/// Every page of the platform as somebody who may see it, with what is really there.
async fn walk(world: &super::world::World, probers: &mut [Prober]) -> Vec<(String, String, Answer)> {
    let mut pages = Vec::new();
    for route in world.city.platform.routes().list().iter().filter(|r| r.method == Method::GET) {
        let Some((addresses, _)) = world.addresses(&route.path) else { continue };
        let Some(prober) = who(probers, route) else { continue };
        for path in addresses {
            let answer = ask(&prober.browser, &Method::GET, &path, &[]).await;
            pages.push((prober.role.clone(), path, answer));
        }
    }
    pages
}

#[tokio::test]
async fn hostile_text_in_every_parameter_is_text_and_never_a_fault() {
    let world = world().await;
    let mut probers = probers(&world.city, "query", "4115", 0, false).await;
    let mut findings = Findings::default();
    let pages = walk(&world, &mut probers).await;
    let seen: Vec<(String, Answer)> = pages.into_iter().map(|(_, path, answer)| (path, answer)).collect();
    for (path, answer) in &seen {
        judge(&mut findings, path, answer);
    }
    let known = parameters(&seen);
    let nasty = nasty();
    for route in world.city.platform.routes().list().iter().filter(|r| r.method == Method::GET) {
        let Some(prober) = who(&mut probers, route) else { continue };
        let Some((addresses, _)) = world.addresses(&route.path) else { continue };
        let path = &addresses[0];
        let mut names: BTreeSet<&str> = KNOWN.into_iter().collect();
        names.extend(known.get(path).into_iter().flatten().map(String::as_str));
        for text in &nasty {
            // All at once, and alone what the page itself names.
            let all: Vec<String> = names.iter().map(|n| format!("{n}={text}")).collect();
            let mut queries = vec![all.join("&")];
            queries.extend(known.get(path).into_iter().flatten().map(|n| format!("{}={text}", encode(n))));
            for query in queries {
                let at = format!("{path}?{query}");
                let Ok(_) = at.parse::<axum::http::Uri>() else { continue };
                judge(&mut findings, &at, &ask(&prober.browser, &Method::GET, &at, &[]).await);
            }
            if route.path.contains('{') && !text.is_empty() {
                let at = super::filled(&route.path, text);
                if at.parse::<axum::http::Uri>().is_ok() {
                    judge(&mut findings, &at, &ask(&prober.browser, &Method::GET, &at, &[]).await);
                }
            }
        }
        // The same parameter twice, and much more than anybody types.
        for query in ["q=a&q=b&page=1&page=2".to_owned(), format!("q={}", "a".repeat(60_000))] {
            let at = format!("{path}?{query}");
            let answer = ask(&prober.browser, &Method::GET, &at, &[]).await;
            judge(&mut findings, &at.chars().take(80).collect::<String>(), &answer);
        }
    }
    findings.close(5000);
}

const GOALS: [&str; 12] = [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/%0d%0aSet-Cookie:x=1",
    "/\r\nSet-Cookie: x=1",
    "javascript:alert(1)",
    "/\t/evil.example",
    "http:evil.example",
    "https:/evil.example",
    " //evil.example",
    "@evil.example",
];

const WHERE_TO: [&str; 14] = [
    "back",
    "next",
    "return",
    "return_to",
    "return_url",
    "redirect",
    "redirect_uri",
    "redirect_url",
    "url",
    "goto",
    "act",
    "link",
    "post_logout_redirect_uri",
    "iss",
];

#[tokio::test]
async fn nothing_leads_to_another_site() {
    let world = world().await;
    let mut probers = probers(&world.city, "lead", "4115", 0, false).await;
    let mut findings = Findings::default();
    let visitor = world.city.visitor();
    for route in world.city.platform.routes().list() {
        let Some(prober) = who(&mut probers, route) else { continue };
        if route.path == "/sign-out" {
            continue;
        }
        let Some((addresses, _)) = world.addresses(&route.path) else { continue };
        for goal in GOALS {
            let query: Vec<String> = WHERE_TO.iter().map(|n| format!("{n}={}", encode(goal))).collect();
            let query = query.join("&");
            for (whose, browser) in [("signed in", &prober.browser), ("nobody", &visitor)] {
                let at = format!("{} {} with {goal:?} ({whose})", route.method, addresses[0]);
                let answer = if route.method == Method::GET {
                    ask(browser, &Method::GET, &format!("{}?{query}", addresses[0]), &[]).await
                } else {
                    let fields: Vec<(&str, &str)> = WHERE_TO.iter().map(|n| (*n, goal)).collect();
                    browser.clone().form(&addresses[0], &fields).await
                };
                leads_away(&mut findings, &at, &answer);
                let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
                findings.expect(
                    !cookies.iter().any(|c| c.as_bytes().starts_with(b"x=")),
                    format!("{at}: sets a cookie of the intruder's"),
                );
                if is_html(&answer) {
                    for tag in tags(&answer.text()) {
                        for name in ["href", "action", "formaction", "hx-get", "hx-post", "content"] {
                            let value = tag.get(name).unwrap_or_default();
                            findings.expect(
                                !value.contains("//evil.example")
                                    || value.starts_with('/') && !value.starts_with("//"),
                                format!("{at}: {tag:?}"),
                            );
                        }
                    }
                }
            }
        }
    }
    // The sign-in itself, with the right password.
    for goal in GOALS {
        world.city.staff("county").await;
        let fields = [("login", "county"), ("password", crate::city::PASSWORD), ("next", goal)];
        let answer = world.city.visitor().form("/sign-in", &fields).await;
        findings.expect(
            ["/desk", "/%0d%0aSet-Cookie:x=1"].contains(&answer.header("location")),
            format!("sign-in with {goal:?} leads to {:?}", answer.headers.get("location")),
        );
    }
    findings.close(2000);
}

/// Forms that end what the prober needs to go on.
const LEFT_ALONE: [&str; 4] = ["/sign-out", "/oauth/logout", "/account/password", "/account/sessions"];

/// Fills a form as somebody hostile: every text that people type.
fn filled_in(form: &Form, text: &str) -> Vec<(String, String)> {
    form.fields
        .iter()
        .map(|(name, value, typed)| (name.clone(), if *typed { text.to_owned() } else { value.clone() }))
        .collect()
}

#[tokio::test]
async fn hostile_text_that_is_stored_is_shown_as_text() {
    let world = world().await;
    let mut findings = Findings::default();
    // What institutions send: names of patients, diagnoses, complaints.
    let mut his = world.city.program(0).await;
    let quoted = SCRIPT.replace('"', "\"\"");
    let rows = crate::rows::visits(20..24, 4, 90).replace("头晕", &format!("\"{quoted}\"头晕"));
    let rows: String = rows
        .lines()
        .map(|line| {
            let cells: Vec<String> = line
                .split(',')
                .enumerate()
                .map(|(n, cell)| match n {
                    5 | 6 if !line.starts_with("visit_no") => format!("\"{quoted}\""),
                    7 if !line.starts_with("visit_no") => format!("\"{quoted}头晕\""),
                    _ => cell.to_owned(),
                })
                .collect();
            cells.join(",") + "\n"
        })
        .collect();
    his.upload("outpatient_visit", "", rows).await;
    let mut probers = probers(&world.city, "store", "4115", 0, false).await;
    // What is in the database, wherever a column takes it: as if every form and every import had let it pass.
    let stored = spoil(&world).await;
    assert!(stored > 100, "only {stored} columns took the text");
    let pages = walk(&world, &mut probers).await;
    let mut offered: Vec<(String, Form)> = Vec::new();
    let mut shown = 0;
    for (role, path, answer) in &pages {
        judge(&mut findings, &format!("{path} as {role}, from the database"), answer);
        if is_html(answer) {
            shown += usize::from(answer.text().contains("alert(1)"));
            offered.extend(forms(&answer.text()).into_iter().map(|form| (role.clone(), form)));
        }
    }
    assert!(shown > 30, "only {shown} pages show what was stored");
    // What people type into the forms of those pages; what they answer, and what the pages show afterwards.
    offered.sort_by(|a, b| (&a.0, &a.1.action).cmp(&(&b.0, &b.1.action)));
    offered.dedup_by(|a, b| a.0 == b.0 && a.1.action == b.1.action && a.1.fields.len() == b.1.fields.len());
    for (role, form) in offered.iter().filter(|(_, f)| f.post && !f.multipart) {
        // A form without an address goes back to its own page; those pages are walked by their routes.
        if form.action.is_empty() || LEFT_ALONE.iter().any(|path| form.action.starts_with(path)) {
            continue;
        }
        let prober = probers.iter().find(|p| p.role == *role).unwrap();
        for text in [SCRIPT, HANDLER] {
            let fields = filled_in(form, text);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let answer = prober.browser.clone().form(&form.action, &fields).await;
            judge(&mut findings, &format!("the form {} as {role} with {text}", form.action), &answer);
        }
    }
    for (role, path, answer) in walk(&world, &mut probers).await {
        judge(&mut findings, &format!("{path} as {role}, from the forms"), &answer);
    }
    findings.close(500);
}

/// Columns that say what a row is; another value would only hide the row.
const MEANING: [&str; 24] = [
    "serial",
    "authority",
    "code",
    "state",
    "kind",
    "role",
    "line",
    "act",
    "region",
    "login",
    "client_id",
    "table_id",
    "dataset",
    "scope",
    "password_hash",
    "target",
    "stage",
    "rule",
    "severity",
    "factor",
    "auth_method",
    "issuer",
    "link",
    "subject",
];

/// Writes the hostile text into every text column that takes it; says how many did.
async fn spoil(world: &super::world::World) -> usize {
    let owner = world.city.platform.owner.pool();
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text from information_schema.columns c
         join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = current_schema() and t.table_type = 'BASE TABLE' and c.data_type = 'text'
            and c.table_name not like 'audit_%' and c.table_name not in
            ('outbox', 'job', 'setting', 'protect_key', 'region', 'division_year', 'code_edition', 'sso_key', 'trail_cursor')
            and c.column_name not like '%\\_code' and c.column_name not like '%uri'
         order by 1, 2",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    let mut stored = 0;
    for (table, column) in columns {
        if MEANING.contains(&column.as_str()) {
            continue;
        }
        let limit = if table == "code_entry" { " where table_id = 'icd10' and code like 'I10%'" } else { "" };
        let sql = format!("update {table} set {column} = $1{limit}");
        stored +=
            usize::from(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(SCRIPT).execute(owner).await.is_ok());
    }
    stored
}
