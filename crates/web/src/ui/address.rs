//! The address of the page being shown, to build links that change one thing and keep the rest.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Path and query of this page. An extractor; lists, filters and paging keep their state in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    path: String,
    pairs: Vec<(String, String)>,
}

/// No list has more pages.
const LAST_PAGE: u64 = 10_000_000;

impl Here {
    /// From a path and a query text (without `?`).
    pub fn new(path: &str, query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes())
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        Here { path: path.to_owned(), pairs }
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a query field, if it is there and not empty. A `page` that no list has is none, so that no caller
    /// multiplies it beyond its numbers.
    pub fn get(&self, key: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())?;
        let beyond = key == "page" && value.parse::<u64>().is_ok_and(|page| page > LAST_PAGE);
        (!beyond).then_some(value)
    }

    /// All query fields.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The same page with some fields set; an empty value takes the field away.
    #[must_use]
    pub fn with(&self, changes: &[(&str, &str)]) -> Here {
        let mut pairs: Vec<(String, String)> =
            self.pairs.iter().filter(|(k, _)| !changes.iter().any(|(c, _)| c == k)).cloned().collect();
        pairs.extend(
            changes.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        Here { path: self.path.clone(), pairs }
    }

    /// The same query under another path, e.g. an export of what is filtered.
    #[must_use]
    pub fn at(&self, path: &str) -> Here {
        Here { path: path.to_owned(), pairs: self.pairs.clone() }
    }

    /// As a link.
    pub fn href(&self) -> String {
        if self.pairs.is_empty() {
            return self.path.clone();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter());
        format!("{}?{}", self.path, query.finish())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Here {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Here::new(parts.uri.path(), parts.uri.query().unwrap_or("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_one_thing_and_keeps_the_rest() {
        let here = Here::new("/batches", "dataset=visit&q=%E5%BC%A0&page=3&empty=");
        assert_eq!(here.get("q"), Some("张"));
        assert_eq!(here.get("empty"), None);
        assert_eq!(here.with(&[("page", "")]).href(), "/batches?dataset=visit&q=%E5%BC%A0");
        assert_eq!(here.with(&[("page", "4")]).get("dataset"), Some("visit"));
        assert_eq!(here.at("/batches.csv").href(), "/batches.csv?dataset=visit&q=%E5%BC%A0&page=3");
        assert_eq!(Here::new("/a", "").href(), "/a");
        assert_eq!(here.get("page"), Some("3"));
        assert_eq!(Here::new("/a", "page=9223372036854775808").get("page"), None, "no list has that page");
    }
}
