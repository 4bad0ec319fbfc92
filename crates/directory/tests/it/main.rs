//! The registries against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod codes;
mod divisions;
mod divisions_http;
mod institutions;
mod regions;
mod registry;
mod settings;
mod staff_register;
mod terms;
mod terms_fhir;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use catalog::{Code, CodeTable, CodeTables};
use directory::Directory;
use directory::pages::routes;
use kernel::Caller;
use testkit::TestDb;
use tower::ServiceExt;

/// A shipped table of two sexes.
pub fn shipped() -> CodeTables {
    let mut table = CodeTable {
        id: "sex".into(),
        name: "性别代码".into(),
        standard: "GB/T 2261.1-2003".into(),
        edition: "2003".into(),
        source: "written from the standard".into(),
        complete: true,
        codes: [("1", "男性"), ("2", "女性")]
            .map(|(code, name)| Code { code: code.into(), name: name.into() })
            .into(),
        ..CodeTable::default()
    };
    table.index();
    let mut tables = CodeTables::default();
    tables.tables.insert("sex".into(), Arc::new(table));
    tables
}

/// An empty database and the registries over it.
pub async fn registries() -> (TestDb, Arc<Directory>) {
    let migrations: Vec<_> = [store::migrate::MIGRATIONS, directory::MIGRATIONS].concat();
    let db = TestDb::create(&migrations, &[]).await;
    let directory = Directory::open(db.db().clone(), shipped()).await.unwrap();
    (db, Arc::new(directory))
}

/// Asks for a page.
pub async fn get(directory: &Arc<Directory>, path: &str, caller: Option<Caller>) -> (StatusCode, String) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    if let Some(caller) = caller {
        request.extensions_mut().insert(Arc::new(caller));
    }
    let response = routes(Arc::clone(directory)).into_router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
