//! Probing from outside, as a scanner would, but along the platform's own list of routes: a route that is added is
//! probed by itself. Each test collects everything that it finds and reports it at once. See docs/security/probing.md.

mod edges;
mod foreign_ids;
mod hostile;
mod html;
mod names;
mod sessions;
mod world;

use std::fmt::Display;

use axum::body::Body;
use axum::http::{Method, Request};
use catalog::RoleSpan;
use identity::{NewAccount, Persona};
use kernel::{Need, RegionCode};
use web::{Access, RouteInfo};

use crate::city::{Answer, Browser, City, PASSWORD};

/// What was found wrong; reported at once when it is closed.
#[derive(Default)]
pub struct Findings {
    found: Vec<String>,
    tried: usize,
}

impl Findings {
    pub fn tried(&mut self) {
        self.tried += 1;
    }
    pub fn expect(&mut self, good: bool, what: impl Display) {
        self.tried += 1;
        if !good {
            self.found.push(what.to_string());
        }
    }
    /// Fails with everything found. A probe that tried fewer than `least` things did not find its targets.
    pub fn close(self, least: usize) {
        eprintln!("{} probes, {} findings", self.tried, self.found.len());
        assert!(self.found.is_empty(), "{} findings:\n{}", self.found.len(), self.found.join("\n"));
        assert!(self.tried >= least, "only {} probes: the targets were not found", self.tried);
    }
}

/// Somebody who tries: the role and the browser.
pub struct Prober {
    pub role: String,
    pub rights: Vec<Need>,
    pub browser: Browser,
}

/// Signs in as holder of a role at a division, or at an institution of the city.
pub async fn holder(
    city: &City,
    prefix: &str,
    role: &str,
    institution: Option<usize>,
    region: &str,
) -> Browser {
    let login = format!("{prefix}-{role}").replace('_', "-");
    let account = NewAccount {
        name: "探测员".to_owned(),
        staff_no: format!("{login}-1"),
        role: role.to_owned(),
        institution: institution.map(|i| city.institutions[i]),
        region: RegionCode::parse(region).unwrap(),
        login: login.clone(),
    };
    let persona = Persona { account, password: PASSWORD.to_owned() };
    city.platform.identity.ensure_persona(&persona).await.unwrap();
    let mut browser = city.visitor();
    browser.form("/sign-in", &[("login", &login), ("password", PASSWORD)]).await;
    assert!(browser.cookies.contains_key("minkang_session"), "{login} cannot sign in");
    browser
}

/// Whether a right reaches no further than where its holder is posted.
pub fn stays_local(span: RoleSpan) -> bool {
    !matches!(span, RoleSpan::City | RoleSpan::Province)
}

/// As few roles as open every route between them, held at `region` or, where the role wants one, at `institution`.
/// With `local` only rights count that reach no further than that.
pub async fn probers(
    city: &City,
    prefix: &str,
    region: &str,
    institution: usize,
    local: bool,
) -> Vec<Prober> {
    let routes = city.platform.routes();
    let mut open: Vec<Need> = Vec::new();
    for route in routes.list() {
        if let Access::Needs(need) | Access::Fresh(need) = route.access
            && !open.iter().any(|n| same(*n, need))
        {
            open.push(need);
        }
    }
    let mut probers = Vec::new();
    let roles = &city.platform.catalog.roles;
    loop {
        let rights_of = |role: &catalog::Role, open: &[Need]| -> Vec<Need> {
            let held = |need: &Need| {
                role.grants
                    .iter()
                    .any(|g| g.line == need.line && g.act == need.act && (!local || stays_local(g.span)))
            };
            open.iter().copied().filter(held).collect()
        };
        let Some(best) = roles.iter().max_by_key(|role| rights_of(role, &open).len()) else { break };
        let covered = rights_of(best, &open);
        if covered.is_empty() {
            break;
        }
        open.retain(|need| !covered.iter().any(|c| same(*c, *need)));
        let at = best.needs_institution().then_some(institution);
        let region = if at.is_some() { crate::city::INSTITUTIONS[institution][4] } else { region };
        let browser = holder(city, prefix, &best.code, at, region).await;
        probers.push(Prober { role: best.code.clone(), rights: covered, browser });
    }
    if !open.is_empty() {
        eprintln!("no role of the catalogue opens (local rights only: {local}): {open:?}");
    }
    probers
}

pub fn same(a: Need, b: Need) -> bool {
    a.line == b.line && a.act == b.act
}

/// Who of them may call a route.
pub fn who<'a>(probers: &'a mut [Prober], route: &RouteInfo) -> Option<&'a mut Prober> {
    match route.access {
        Access::Needs(need) | Access::Fresh(need) => {
            probers.iter_mut().find(|p| p.rights.iter().any(|r| same(*r, need)))
        }
        Access::SignedIn(_) | Access::Open(_) => probers.first_mut(),
    }
}

/// Percent-encodes what is not a plain letter or digit.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A path of the route with `value` (encoded already) for each parameter.
pub fn filled(path: &str, value: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { value } else { part }).collect::<Vec<_>>().join("/")
}

/// Sends a request without a body.
pub async fn ask(browser: &Browser, method: &Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.clone().send(request, Body::empty()).await
}

/// Whether an answer is an HTML page or a piece of one.
pub fn is_html(answer: &Answer) -> bool {
    answer.header("content-type").starts_with("text/html")
}
