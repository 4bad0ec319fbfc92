//! The registries as FHIR R4: one file a resource; bundles and the media type are shared here.

pub mod location;

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use web::ui::Here;

/// The most entries of one page of a search.
pub(crate) const MOST: usize = 500;

/// A resource or bundle as a response.
pub(crate) fn answer(resource: &Value) -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/fhir+json; charset=utf-8")];
    (headers, resource.to_string()).into_response()
}

/// How many are asked for (`_count`) and how many are passed over (`_offset`).
pub(crate) fn window(here: &Here) -> (usize, usize) {
    let number =
        |key: &str, otherwise: usize| here.get(key).and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    (number("_count", 50).clamp(1, MOST), number("_offset", 0).min(10_000_000))
}

/// A page of a search: what was found, how many there are in all, links to this page and the next.
pub(crate) fn searchset(resources: &[Value], total: usize, here: &Here) -> Value {
    let (count, offset) = window(here);
    let mut links = vec![json!({ "relation": "self", "url": here.href() })];
    if offset + resources.len() < total && !resources.is_empty() {
        let next = here.with(&[("_offset", &(offset + count).to_string())]).href();
        links.push(json!({ "relation": "next", "url": next }));
    }
    let entries: Vec<Value> = resources
        .iter()
        .map(|r| {
            let kind = r["resourceType"].as_str().unwrap_or_default();
            let id = r["id"].as_str().unwrap_or_default();
            json!({ "fullUrl": format!("/fhir/{kind}/{id}"), "resource": r, "search": { "mode": "match" } })
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "total": total, "link": links, "entry": entries })
}
