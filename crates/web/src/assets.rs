//! Assets (style sheets, scripts, icons) built from npm packages and embedded in the program.
//!
//! `scripts/assets.sh` writes `web/dist/`: files whose names carry a hash of their content, a manifest from plain to
//! hashed names, and a `.br` and `.gz` beside each. Because the name changes with the content, browsers may keep a
//! file for ever.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

#[derive(rust_embed::RustEmbed)]
#[folder = "../../web/dist"]
struct Dist;

struct Asset {
    plain: Bytes,
    gzip: Option<Bytes>,
    brotli: Option<Bytes>,
    kind: &'static str,
}

struct Shelf {
    files: HashMap<String, Asset>,
    urls: HashMap<String, String>,
}

static SHELF: LazyLock<Shelf> = LazyLock::new(fill);

fn bytes(name: &str) -> Option<Bytes> {
    Dist::get(name).map(|file| match file.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    })
}

fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        "json" => Some("application/json"),
        "wasm" => Some("application/wasm"),
        _ => None,
    }
}

fn fill() -> Shelf {
    let mut files = HashMap::new();
    for name in Dist::iter() {
        let (Some(kind), Some(plain)) = (kind(&name), bytes(&name)) else { continue };
        let (gzip, brotli) = (bytes(&format!("{name}.gz")), bytes(&format!("{name}.br")));
        files.insert(name.into_owned(), Asset { plain, gzip, brotli, kind });
    }
    let manifest: HashMap<String, String> =
        bytes("manifest.json").and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let urls = manifest.into_iter().map(|(name, file)| (name, format!("/assets/{file}"))).collect();
    Shelf { files, urls }
}

/// The address of an asset by its plain name, e.g. `app.css` → `/assets/app-35OKMK2X.css`. An unknown name gives an
/// address that is not found; a test sees to it that there is none.
pub fn asset_url(name: &str) -> &'static str {
    SHELF.urls.get(name).map_or("/assets/missing", String::as_str)
}

/// An embedded file that is for the program and not for browsers, e.g. `divisions.tsv.gz`.
pub fn data(name: &str) -> Option<Vec<u8>> {
    Dist::get(name).map(|file| file.data.into_owned())
}

/// A file of `web/dist/` that is embedded for the program itself and not served, e.g. `divisions.tsv.gz`.
pub fn embedded(name: &str) -> Option<Bytes> {
    bytes(name)
}

/// Serves `/assets/{name}`: immutable, in the smallest encoding that the browser takes.
pub async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = SHELF.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let takes = |coding: &str| accepted.split(',').any(|part| part.trim() == coding);
    let (body, coding) = match (&asset.brotli, &asset.gzip) {
        (Some(brotli), _) if takes("br") => (brotli, Some("br")),
        (_, Some(gzip)) if takes("gzip") => (gzip, Some("gzip")),
        _ => (&asset.plain, None),
    };
    let mut response = body.clone().into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

    #[tokio::test]
    async fn every_named_asset_is_served_whole_and_compressed() {
        for name in ["app.css", "app.js", "icons.svg", "favicon.svg"] {
            let file = asset_url(name).strip_prefix("/assets/").unwrap().to_owned();
            assert_ne!(file, "missing", "{name}");
            let plain = serve(Path(file.clone()), HeaderMap::new()).await;
            assert_eq!(plain.status(), StatusCode::OK);
            assert!(plain.headers().get(CONTENT_ENCODING).is_none());
            let mut browser = HeaderMap::new();
            browser.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
            let packed = serve(Path(file), browser).await;
            if name != "favicon.svg" {
                assert_eq!(packed.headers()[CONTENT_ENCODING], "br", "{name}");
            }
        }
        assert_eq!(
            serve(Path("../Cargo.toml".into()), HeaderMap::new()).await.status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn nothing_embedded_fetches_from_elsewhere() {
        let css = String::from_utf8_lossy(&SHELF.files[&asset_url("app.css")["/assets/".len()..]].plain)
            .into_owned();
        assert!(!css.contains("url(http") && !css.contains("url(//") && !css.contains("@import"));
    }
}
