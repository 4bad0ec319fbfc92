//! `ValueSet`: read, search, `$expand`, `$validate-code`. Each table is one, whole or below one of its codes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use catalog::CodeTable;
use serde_json::{Value, json};

use super::params::Params;
use super::{
    Done, Outcome, finish, head, paged, resource_id, searched, searchset, table_by_id, table_for, validate,
    validated,
};
use crate::Directory;
use crate::terminology::index::Query;

/// Codes of one expansion at most; more must be asked for by pages.
const MOST: usize = 5_000;

type Server = State<Arc<Directory>>;

/// The address of the value set of all codes of a table.
pub(super) fn url_of(t: &CodeTable) -> String {
    format!("urn:minkang:valueset:{}", t.id)
}

/// A value set: a table, and the code below which it lies.
struct Set {
    table: Arc<CodeTable>,
    below: Option<String>,
    url: String,
}

impl Set {
    fn holds(&self, code: &str) -> bool {
        self.below.as_deref().is_none_or(|below| self.table.subsumes(below, code))
    }
}

/// The set of an address: ours, `{system}?fhir_vs`, or `{system}?fhir_vs=isa/{code}`.
async fn by_url(directory: &Directory, url: &str, version: Option<&str>, date: Option<&str>) -> Done<Set> {
    let unknown = || Outcome::not_found(format!("没有值集“{url}”。"));
    let (address, pinned) = url.split_once('|').map_or((url, None), |(u, v)| (u, Some(v)));
    let version = version.or(pinned);
    if let Some(id) = address.strip_prefix("urn:minkang:valueset:") {
        let table = table_by_id(directory, &resource_id(id), version, date).await.map_err(|_| unknown())?;
        return Ok(Set { table, below: None, url: url.to_owned() });
    }
    let (system, implied) = address.split_once("?fhir_vs").ok_or_else(unknown)?;
    let table = table_for(directory, system, version, date).await?;
    let below = match implied.strip_prefix("=isa/") {
        Some(code) if table.contains(code) || catalog::hierarchy::range(code).is_some() => {
            Some(code.to_owned())
        }
        Some(code) => return Err(Outcome::not_found(format!("“{}”中没有代码“{code}”。", table.name)).into()),
        None if implied.is_empty() => None,
        None => return Err(Outcome::not_supported("隐含值集只支持 ?fhir_vs 和 ?fhir_vs=isa/代码。").into()),
    };
    Ok(Set { table, below, url: url.to_owned() })
}

async fn wanted(directory: &Directory, id: Option<&str>, params: &Params) -> Done<Set> {
    if params.resources.iter().any(|name| name == "valueSet") {
        return Err(Outcome::not_supported("本服务不展开随请求传来的 valueSet，请用 url 指明值集。").into());
    }
    let (version, date) = (params.get("valueSetVersion"), params.get("date"));
    match (id, params.get("url")) {
        (Some(id), _) => {
            let table = table_by_id(directory, id, version, date).await?;
            Ok(Set { url: url_of(&table), table, below: None })
        }
        (None, Some(url)) => by_url(directory, url, version, date).await,
        (None, None) => Err(Outcome::required("请用 url 指明值集。").into()),
    }
}

fn describe(t: &CodeTable) -> Value {
    let mut out = head("ValueSet", &resource_id(&t.id), &url_of(t), t);
    out["immutable"] = json!(false);
    out["compose"] = json!({ "include": [{ "system": t.canonical(), "version": t.edition }] });
    out
}

/// `GET /fhir/ValueSet?url=&name=&title=`
pub(super) async fn search(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    let params = Params::query(query.as_deref());
    let found = searched(&directory, &params, url_of);
    let total = found.len();
    let shown = paged(found, &params).iter().map(|t| describe(t)).collect();
    finish(Ok(searchset("ValueSet", shown, total, &params)))
}

/// `GET /fhir/ValueSet/{id}`
pub(super) async fn read(State(directory): Server, Path(id): Path<String>) -> Response {
    finish(table_by_id(&directory, &id, None, None).await.map(|t| describe(&t).to_string()))
}

async fn expand(directory: &Directory, id: Option<&str>, params: Params) -> Done<String> {
    let set = wanted(directory, id, &params).await?;
    let (offset, count) = (params.number("offset")?.unwrap_or(0), params.number("count")?);
    let active_only = params.flag("activeOnly");
    let t = &set.table;
    let filter = params.get("filter").map(str::trim).filter(|f| !f.is_empty());
    let mut found: Vec<u32> = match filter {
        Some(text) => {
            let folded = standards::width::fold(text).to_lowercase();
            let query =
                Query { limit: t.codes.len().max(1), active_only, slips: false, ..Query::typed(&folded, 0) };
            // A table out of force has no index worth keeping.
            let hits = if directory.tables_now().get(&t.id).is_some_and(|now| Arc::ptr_eq(now, t)) {
                directory.search_codes(t, query)
            } else {
                crate::terminology::index::SearchIndex::new(Arc::clone(t)).search(query)
            };
            hits.iter().map(|hit| hit.position).collect()
        }
        None => (0..t.codes.len() as u32).filter(|at| !active_only || !t.retired.contains_key(at)).collect(),
    };
    if set.below.is_some() {
        found.retain(|at| set.holds(&t.codes[*at as usize].code));
    }
    let total = found.len();
    if count.is_none() && total > MOST {
        return Err(Outcome::too_costly(format!(
            "这个值集有 {total} 个代码，一次不能全部展开。请用 filter 缩小，或用 count（最多 {MOST}）和 offset 分页。"
        ))
        .into());
    }
    let designations = params.flag("includeDesignations");
    let system = t.canonical();
    let contains: Vec<Value> = found
        .into_iter()
        .skip(offset)
        .take(count.unwrap_or(MOST).min(MOST))
        .map(|at| {
            let code = &t.codes[at as usize];
            let mut item = json!({ "system": system, "code": code.code, "display": code.name });
            if t.retired.contains_key(&at) {
                item["inactive"] = json!(true);
            }
            if designations {
                let others: Vec<Value> =
                    t.aliases_of(at).map(|a| json!({ "language": "zh-CN", "value": a })).collect();
                if !others.is_empty() {
                    item["designation"] = json!(others);
                }
            }
            item
        })
        .collect();
    let mut said = vec![json!({ "name": "version", "valueUri": format!("{system}|{}", t.edition) })];
    if let Some(filter) = filter {
        said.push(json!({ "name": "filter", "valueString": filter }));
    }
    if active_only {
        said.push(json!({ "name": "activeOnly", "valueBoolean": true }));
    }
    let number = |name: &str, value: usize| json!({ "name": name, "valueInteger": value });
    if let Some(count) = count {
        said.extend([number("offset", offset), number("count", count)]);
    }
    let mut expansion = json!({
        "identifier": format!("urn:minkang:expansion:{}:{}", t.id, t.edition),
        "timestamp": directory.now().to_rfc3339(),
        "total": total,
        "parameter": said,
        "contains": contains,
    });
    if count.is_some() {
        expansion["offset"] = json!(offset);
    }
    let mut out = head("ValueSet", &resource_id(&t.id), &set.url, t);
    out["expansion"] = expansion;
    Ok(out.to_string())
}

pub(super) async fn expand_get(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    finish(expand(&directory, None, Params::query(query.as_deref())).await)
}
pub(super) async fn expand_post(
    State(directory): Server,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => expand(&directory, None, params).await,
        Err(ended) => Err(ended),
    })
}
pub(super) async fn expand_one_get(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    finish(expand(&directory, Some(&id), Params::query(query.as_deref())).await)
}
pub(super) async fn expand_one_post(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => expand(&directory, Some(&id), params).await,
        Err(ended) => Err(ended),
    })
}

async fn validate_code(directory: &Directory, id: Option<&str>, params: Params) -> Done<String> {
    let set = wanted(directory, id, &params).await?;
    let codings = params.asked("system")?;
    let mut last = None;
    for coding in &codings {
        if coding.system.is_empty() {
            return Err(Outcome::required("给出 code 时还要给出 system。").into());
        }
        // The version says which edition of the code system the code is from.
        let version = params.get("systemVersion").or(Some(coding.version.as_str()).filter(|v| !v.is_empty()));
        let answer = if !set.table.is_called(&coding.system) {
            validated(false, Some(&format!("代码系统“{}”不在值集“{}”中。", coding.system, set.url)), None)
        } else if version.is_some_and(|v| v != set.table.edition) {
            let dated = table_for(directory, &coding.system, version, None).await?;
            validate(&dated, &coding.code, Some(&coding.display), |code| set.holds(code))
        } else {
            validate(&set.table, &coding.code, Some(&coding.display), |code| set.holds(code))
        };
        if answer.contains(r#""valueBoolean":true"#) {
            return Ok(answer);
        }
        last.get_or_insert(answer);
    }
    last.ok_or_else(|| Outcome::required("codeableConcept 中没有 coding。").into())
}

pub(super) async fn validate_get(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    finish(validate_code(&directory, None, Params::query(query.as_deref())).await)
}
pub(super) async fn validate_post(
    State(directory): Server,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => validate_code(&directory, None, params).await,
        Err(ended) => Err(ended),
    })
}
pub(super) async fn validate_one_get(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    finish(validate_code(&directory, Some(&id), Params::query(query.as_deref())).await)
}
pub(super) async fn validate_one_post(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => validate_code(&directory, Some(&id), params).await,
        Err(ended) => Err(ended),
    })
}
