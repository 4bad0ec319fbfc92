//! A browser: asks for pages as a caller and reads them.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::city::City;

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub body: String,
}

impl Answer {
    /// Whether every one of these texts is in the page.
    #[track_caller]
    pub fn has(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(
                self.body.contains(text),
                "“{text}” is not in the page ({}):\n{}",
                self.status,
                self.text()
            );
        }
        self
    }
    /// Whether none of these texts is in the page.
    #[track_caller]
    pub fn lacks(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(!self.body.contains(text), "“{text}” is in the page:\n{}", self.text());
        }
        self
    }
    /// The page without its marks.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut inside = false;
        for c in self.body.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    out.push(' ');
                }
                c if !inside => out.push(c),
                _ => {}
            }
        }
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    }
    /// The first value of an attribute that begins so.
    pub fn link(&self, attribute: &str, begins: &str) -> Option<String> {
        let mark = format!("{attribute}=\"{begins}");
        let start = self.body.find(&mark)? + attribute.len() + 2;
        let rest = &self.body[start..];
        Some(rest[..rest.find('"')?].replace("&amp;", "&"))
    }
}

pub async fn get(city: &City, who: &str, path: &str) -> Answer {
    ask(city, who, path, false).await
}

/// As htmx asks for a part.
pub async fn part(city: &City, who: &str, path: &str) -> Answer {
    ask(city, who, path, true).await
}

async fn ask(city: &City, who: &str, path: &str, partial: bool) -> Answer {
    let mut request = Request::get(path).header("x-caller", who).header(header::ACCEPT, "text/html");
    if partial {
        request = request.header("hx-request", "true");
    }
    send(city, request.body(Body::empty()).unwrap()).await
}

pub async fn post(city: &City, who: &str, path: &str, form: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(path)
        .header("x-caller", who)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::HOST, "localhost")
        .header(header::ORIGIN, "http://localhost")
        .header("sec-fetch-site", "same-origin")
        .body(Body::from(body))
        .unwrap();
    send(city, request).await
}

async fn send(city: &City, request: Request<Body>) -> Answer {
    let response = city.app().oneshot(request).await.unwrap();
    let status = response.status();
    let location = response.headers().get(header::LOCATION).map(|v| v.to_str().unwrap().to_owned());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer {
        status,
        location: location.unwrap_or_default(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
