//! The frame of a page: head, rail, top bar. Handlers ask for a [`Frame`] and give it a title and a body.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kernel::Caller;
use maud::{DOCTYPE, Markup, html};

/// What the frame of this request's page knows.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Who is looking, if anybody signed in.
    pub caller: Option<Arc<Caller>>,
    /// The path asked for, to mark the menu.
    pub path: String,
    /// Whether htmx asks for a part only (`HX-Request`).
    pub partial: bool,
}

impl Frame {
    /// A whole page with rail and top bar; only the body when htmx asks for a part.
    pub fn page(&self, title: &str, body: Markup) -> Markup {
        if self.partial {
            return body;
        }
        self.bare(title, body)
    }

    /// A page without rail and top bar: sign-in, embedded record, print.
    pub fn bare(&self, title: &str, body: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="zh-CN" {
                head { meta charset="utf-8"; title { (title) } }
                body { (body) }
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Frame {
            caller: parts.extensions.get::<Arc<Caller>>().cloned(),
            path: parts.uri.path().to_owned(),
            partial: parts.headers.contains_key("hx-request"),
        })
    }
}
