//! Every number in every address, tried by people of another county with what the first county really has: it looks
//! exactly as if it did not exist.

use axum::http::{Method, StatusCode};
use web::{Access, RouteInfo};

use super::world::{MARK, World, world};
use super::{Findings, Prober, ask, probers, same, stays_local, who};
use crate::city::Answer;
use crate::rows::name;

/// Addresses whose parameter names something that others may know, with the reason.
const SHARED: &[(&str, &str)] = &[
    (
        "/sign-in/partner/{partner}",
        "the sign-in page offers every partner; it leads to the partner's own sign-in",
    ),
    ("/certificate-authorities/", "the city's own list of authorities, kept by every security administrator"),
    ("/access/policy/", "what the city shows on its pages, kept by every security administrator"),
    ("/index/runs/", "evaluations of the whole city's index, by the supervisors of the city"),
    ("/index/models/", "comparison models of the whole city's index, by the supervisors of the city"),
    ("/account/", "one's own: a number of somebody else changes nothing, and the answer is the same list"),
];

/// A number that nothing has.
const NOTHING: &str = "987654321987";

/// What an answer says, without the address that was asked for.
fn said(answer: &Answer, path: &str) -> String {
    answer.text().replace(path, "#")
}

/// Whether a local right of a prober reaches the route.
fn may(world: &World, prober: &Prober, route: &RouteInfo) -> bool {
    let (Access::Needs(need) | Access::Fresh(need)) = route.access else { return true };
    let role = world.city.platform.catalog.roles.iter().find(|r| r.code == prober.role).unwrap();
    prober.rights.iter().any(|r| same(*r, need))
        && role.grants.iter().any(|g| (g.line, g.act) == (need.line, need.act) && stays_local(g.span))
}

/// Asks for a page, or sends an empty form.
async fn send(stranger: &Prober, route: &RouteInfo, path: &str) -> Answer {
    if route.method == Method::GET {
        return ask(&stranger.browser, &route.method, path, &[]).await;
    }
    // Whatever forms want to know, and nothing that would pass elsewhere.
    let fields = [
        ("reason", "探测"),
        ("note", "探测"),
        ("code", "other"),
        ("kind", "emergency"),
        ("verdict", "justified"),
    ];
    stranger.browser.clone().form(path, &fields).await
}

#[tokio::test]
async fn what_another_county_has_looks_as_if_it_did_not_exist() {
    let world = world().await;
    let mut strangers = probers(&world.city, "far", "411502", 2, true).await;
    let mut findings = Findings::default();
    let names: Vec<String> = (0..4).map(name).chain([MARK.to_owned(), "赵工".to_owned()]).collect();
    let routes = world.city.platform.routes();
    for route in routes.list().iter().filter(|r| r.path.contains('{')) {
        let Some((addresses, own)) = world.addresses(&route.path) else {
            findings.expect(false, format!("{}: say in world.rs what its parameter names", route.path));
            continue;
        };
        if !own || SHARED.iter().any(|(path, _)| route.path.starts_with(path)) {
            continue;
        }
        let Some(stranger) = who(&mut strangers, route) else { continue };
        if !may(&world, stranger, route) {
            continue;
        }
        let nowhere = world.nowhere(&route.path, NOTHING);
        let nothing = send(stranger, route, &nowhere).await;
        for path in addresses {
            let at = format!("{} {path} as {} of another county", route.method, stranger.role);
            let answer = send(stranger, route, &path).await;
            for name in &names {
                findings.expect(!answer.text().contains(name), format!("{at}: shows {name}"));
            }
            findings.expect(!answer.status.is_success(), format!("{at}: {}", answer.status));
            if route.method == Method::GET {
                findings.expect(
                    matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN),
                    format!("{at}: {}", answer.status),
                );
            }
            findings.expect(
                answer.status == nothing.status && said(&answer, &path) == said(&nothing, &nowhere),
                format!("{at}: {} but {} for what does not exist", answer.status, nothing.status),
            );
        }
    }
    findings.close(200);
}
