//! Parameters of operations: from the address, or from a `Parameters` resource.

use axum::body::Bytes;
use serde_json::Value;

use super::{Done, Outcome};

/// A coding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coding {
    pub system: String,
    pub version: String,
    pub code: String,
    pub display: String,
}

impl Coding {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            system: text("system"),
            version: text("version"),
            code: text("code"),
            display: text("display"),
        }
    }
    /// `system|code` or a code alone, as an address writes it.
    fn token(text: &str) -> Self {
        let (system, code) = text.rsplit_once('|').unwrap_or(("", text));
        Self { system: system.to_owned(), code: code.to_owned(), ..Self::default() }
    }
}

/// Parameters by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Params {
    texts: Vec<(String, String)>,
    codings: Vec<(String, Coding)>,
    /// Names of resources that came with the call.
    pub resources: Vec<String>,
}

impl Params {
    /// From the query of an address.
    pub fn query(query: Option<&str>) -> Self {
        let here = web::ui::Here::new("", query.unwrap_or(""));
        let mut params = Self { texts: here.pairs().to_vec(), ..Self::default() };
        for name in ["coding", "codingA", "codingB"] {
            if let Some(text) = here.get(name) {
                params.codings.push((name.to_owned(), Coding::token(text)));
            }
        }
        params
    }

    /// From a body: a `Parameters` resource. Parameters in the address hold as well.
    pub fn body(query: Option<&str>, body: &Bytes) -> Done<Self> {
        let mut params = Self::query(query);
        if body.is_empty() {
            return Ok(params);
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| Outcome::invalid(format!("请求不是有效的 JSON：{e}")))?;
        if value["resourceType"] != "Parameters" {
            return Err(Outcome::invalid("请求应为 Parameters 资源。").into());
        }
        for parameter in value["parameter"].as_array().into_iter().flatten() {
            let Some(name) = parameter["name"].as_str() else {
                return Err(Outcome::invalid("Parameters.parameter 缺少 name。").into());
            };
            if parameter.get("resource").is_some() {
                params.resources.push(name.to_owned());
            }
            if let Some(coding) = parameter.get("valueCoding") {
                params.codings.push((name.to_owned(), Coding::of(coding)));
            }
            if let Some(concept) = parameter.get("valueCodeableConcept") {
                for coding in concept["coding"].as_array().into_iter().flatten() {
                    params.codings.push((name.to_owned(), Coding::of(coding)));
                }
            }
            let simple =
                parameter.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("value"));
            for (_, value) in simple {
                match value {
                    Value::String(text) => params.texts.push((name.to_owned(), text.clone())),
                    Value::Bool(_) | Value::Number(_) => {
                        params.texts.push((name.to_owned(), value.to_string()))
                    }
                    _ => {}
                }
            }
        }
        Ok(params)
    }

    /// A text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str())
    }
    /// Every text of a name.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.texts.iter().filter(move |(own, _)| own == name).map(|(_, text)| text.as_str())
    }
    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
    /// A whole number.
    pub fn number(&self, name: &str) -> Done<Option<usize>> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Outcome::invalid(format!("{name} 应为非负整数，现为“{text}”。")).into())
            })
            .transpose()
    }
    /// A coding.
    pub fn coding(&self, name: &str) -> Option<&Coding> {
        self.codings.iter().find(|(own, _)| own == name).map(|(_, coding)| coding)
    }
    /// What is to be looked at: `code` with `system`, a `coding`, or the codings of a `codeableConcept`.
    pub fn asked(&self, system: &str) -> Done<Vec<Coding>> {
        if let Some(code) = self.get("code") {
            let text = |name: &str| self.get(name).unwrap_or_default().to_owned();
            return Ok(vec![Coding {
                system: text(system),
                version: text("version"),
                code: code.to_owned(),
                display: text("display"),
            }]);
        }
        let codings: Vec<Coding> = self
            .codings
            .iter()
            .filter(|(name, _)| name == "coding" || name == "codeableConcept")
            .map(|(_, coding)| coding.clone())
            .collect();
        if codings.is_empty() {
            return Err(Outcome::required("请给出 code、coding 或 codeableConcept。").into());
        }
        Ok(codings)
    }
    /// The address of a search, for the link to itself.
    pub fn address(&self, kind: &str) -> String {
        let pairs: Vec<(&str, &str)> = self.texts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        web::ui::Here::new(kind, "").with(&pairs).href()
    }
}
