//! What no handler writes down by itself: files that leave the platform, and what was refused for lack of right. One
//! layer around all routes, so that a list with an export cannot forget it.

use std::sync::Arc;

use ::store::{AuditEntry, audit};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use kernel::{Caller, Purpose};
use web::failure::Explained;

use crate::Identity;

/// Routes whose handlers write their own entry, with the number of rows, in the transaction that reads them.
const OWN: [&str; 4] = ["/audit.", "/api/v1/batches/", "/glass.csv", "/fhir/"];
/// The longest query that is kept.
const QUERY: usize = 500;

/// Puts the layer around all routes.
pub fn watched(identity: &Identity, router: Router) -> Router {
    router.layer(from_fn_with_state(identity.clone(), watch))
}

async fn watch(State(identity): State<Identity>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    let Some(caller) = caller else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let query: String = request.uri().query().unwrap_or_default().chars().take(QUERY).collect();
    let response = next.run(request).await;
    let code = response.extensions().get::<Explained>().map(|e| e.code.clone()).unwrap_or_default();
    let file = response
        .headers()
        .get(header::CONTENT_DISPOSITION)
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.starts_with("attachment"));
    let entry = if response.status() == StatusCode::FORBIDDEN && code == "access.no_right" {
        AuditEntry {
            act: "access.refused",
            object_kind: "page",
            object_label: format!("{method} {route}"),
            outcome: "refused",
            ..AuditEntry::default()
        }
    } else if response.status().is_success()
        && let Some(file) = file
        && !OWN.iter().any(|own| route.starts_with(own))
    {
        AuditEntry {
            act: "page.export",
            object_kind: "page",
            object_label: route.clone(),
            detail: Some(serde_json::json!({ "file": file_name(file), "query": query })),
            ..AuditEntry::default()
        }
    } else {
        return response;
    };
    let now = identity.clock.now();
    let written = identity
        .db
        .transaction(async |tx| audit::record(tx, &caller, &Purpose::of(""), now, &entry).await)
        .await;
    match written {
        Ok(()) => response,
        // No file leaves without an entry.
        Err(error) => web::Failure(error).into_response(),
    }
}

fn file_name(disposition: &str) -> &str {
    disposition.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_of_a_file() {
        assert_eq!(super::file_name("attachment; filename=\"a.csv\""), "a.csv");
        assert_eq!(super::file_name("attachment"), "");
    }
}
