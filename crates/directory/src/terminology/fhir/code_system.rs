//! `CodeSystem`: read, search, `$lookup`, `$validate-code`, `$subsumes`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use catalog::{CodeTable, Hierarchy};
use serde_json::{Value, json};

use super::params::{Coding, Params};
use super::{
    Done, Outcome, finish, head, paged, parameters, resource_id, searched, searchset, table_by_id, table_for,
    validate, validated,
};
use crate::Directory;

/// Larger tables are shown without their codes: `$lookup` and `$expand` give those.
const WHOLE: usize = 1_000;

type Server = State<Arc<Directory>>;

fn describe(t: &CodeTable, codes: bool) -> Value {
    let mut out = head("CodeSystem", &resource_id(&t.id), &t.canonical(), t);
    out["caseSensitive"] = json!(true);
    out["valueSet"] = json!(super::value_set::url_of(t));
    out["count"] = json!(t.codes.len());
    out["compositional"] = json!(false);
    out["versionNeeded"] = json!(false);
    if !t.oids.is_empty() {
        let identifiers: Vec<Value> = t
            .oids
            .iter()
            .map(|oid| json!({ "system": "urn:ietf:rfc:3986", "value": format!("urn:oid:{oid}") }))
            .collect();
        out["identifier"] = json!(identifiers);
    }
    if let Some(from) = t.valid_from {
        out["date"] = json!(from);
    }
    if t.hierarchy != Hierarchy::Flat || !t.parents.is_empty() {
        out["hierarchyMeaning"] = json!("is-a");
    }
    out["property"] = json!([
        { "code": "inactive", "uri": "http://hl7.org/fhir/concept-properties#inactive", "type": "boolean" },
        { "code": "parent", "uri": "http://hl7.org/fhir/concept-properties#parent", "type": "code" },
    ]);
    let present = codes && t.codes.len() <= WHOLE;
    out["content"] = json!(match (t.complete, present) {
        (_, false) => "not-present",
        (true, true) => "complete",
        (false, true) => "fragment",
    });
    if present {
        let concept = |at: u32| {
            let code = &t.codes[at as usize];
            let mut concept = json!({ "code": code.code, "display": code.name });
            let designations: Vec<Value> =
                t.aliases_of(at).map(|a| json!({ "language": "zh-CN", "value": a })).collect();
            if !designations.is_empty() {
                concept["designation"] = json!(designations);
            }
            let mut properties = Vec::new();
            if t.retired.contains_key(&at) {
                properties.push(json!({ "code": "inactive", "valueBoolean": true }));
            }
            if let Some(parent) = t.parent(at) {
                properties.push(json!({ "code": "parent", "valueCode": t.codes[parent as usize].code }));
            }
            if !properties.is_empty() {
                concept["property"] = json!(properties);
            }
            concept
        };
        out["concept"] = json!((0..t.codes.len() as u32).map(concept).collect::<Vec<_>>());
    }
    out
}

/// `GET /fhir/CodeSystem?url=&version=&name=&title=&code=&_id=`
pub(super) async fn search(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    let params = Params::query(query.as_deref());
    let found = searched(&directory, &params, CodeTable::canonical);
    let total = found.len();
    let shown = paged(found, &params).iter().map(|t| describe(t, false)).collect();
    finish(Ok(searchset("CodeSystem", shown, total, &params)))
}

/// `GET /fhir/CodeSystem/{id}`
pub(super) async fn read(State(directory): Server, Path(id): Path<String>) -> Response {
    finish(table_by_id(&directory, &id, None, None).await.map(|t| describe(&t, true).to_string()))
}

async fn lookup(directory: &Directory, params: Params) -> Done<String> {
    let coding = params.asked("system")?.remove(0);
    if coding.system.is_empty() {
        return Err(Outcome::required("给出 code 时还要给出 system。").into());
    }
    let version = Some(coding.version.as_str()).filter(|v| !v.is_empty());
    let t = table_for(directory, &coding.system, version, params.get("date")).await?;
    let at = t.position(&coding.code).ok_or_else(|| {
        Outcome::not_found(format!("“{}”（版本 {}）中没有代码“{}”。", t.name, t.edition, coding.code))
    })?;
    let code = &t.codes[at as usize];
    let mut out = vec![
        json!({ "name": "name", "valueString": t.name }),
        json!({ "name": "version", "valueString": t.edition }),
        json!({ "name": "display", "valueString": code.name }),
    ];
    let asked: Vec<&str> = params.all("property").collect();
    let wanted = |name: &str| asked.is_empty() || asked.contains(&name);
    if wanted("designation") {
        out.extend(t.aliases_of(at).map(|alias| {
            json!({ "name": "designation", "part": [
                { "name": "language", "valueCode": "zh-CN" },
                { "name": "value", "valueString": alias },
            ] })
        }));
    }
    let property = |name: &str, key: &str, value: Value| json!({ "name": "property", "part": [{ "name": "code", "valueCode": name }, { "name": "value", key: value }] });
    if wanted("inactive") {
        out.push(property("inactive", "valueBoolean", json!(t.retired.contains_key(&at))));
    }
    if let Some(retired) = t.retired.get(&at).filter(|r| !r.replaced_by.is_empty() && wanted("replacedBy")) {
        out.push(property("replacedBy", "valueCode", json!(retired.replaced_by)));
    }
    if let Some(parent) = t.parent(at).filter(|_| wanted("parent")) {
        out.push(property("parent", "valueCode", json!(t.codes[parent as usize].code)));
    }
    // Narrower codes are looked for only when they are asked for: that reads the whole table.
    if asked.contains(&"child") {
        let children = (0..t.codes.len() as u32).filter(|child| t.parent(*child) == Some(at));
        out.extend(children.map(|child| property("child", "valueCode", json!(t.codes[child as usize].code))));
    }
    Ok(parameters(out))
}

pub(super) async fn lookup_get(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    finish(lookup(&directory, Params::query(query.as_deref())).await)
}
pub(super) async fn lookup_post(
    State(directory): Server,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => lookup(&directory, params).await,
        Err(ended) => Err(ended),
    })
}

async fn validate_code(directory: &Directory, id: Option<&str>, params: Params) -> Done<String> {
    if params.resources.iter().any(|name| name == "codeSystem") {
        return Err(
            Outcome::not_supported("本服务不校验随请求传来的 codeSystem，请用 url 指明代码系统。").into()
        );
    }
    let codings = params.asked("url")?;
    let mut last = None;
    for coding in &codings {
        let version = params.get("version").or(Some(coding.version.as_str())).filter(|v| !v.is_empty());
        let t = match id {
            Some(id) => table_by_id(directory, id, version, params.get("date")).await?,
            None => {
                let system = params.get("url").unwrap_or(&coding.system);
                if system.is_empty() {
                    return Err(Outcome::required("请用 url 指明代码系统。").into());
                }
                table_for(directory, system, version, params.get("date")).await?
            }
        };
        let answer = if !coding.system.is_empty()
            && !t.is_called(coding.system.split('|').next().unwrap_or_default())
        {
            validated(false, Some(&format!("编码的 system“{}”不是“{}”。", coding.system, t.name)), None)
        } else {
            validate(&t, &coding.code, Some(&coding.display), |_| true)
        };
        // One good coding makes a concept valid.
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

async fn subsumes(directory: &Directory, id: Option<&str>, params: Params) -> Done<String> {
    let code = |text: &str, coding: &str| -> Done<Coding> {
        match (params.get(text), params.coding(coding)) {
            (Some(code), _) => Ok(Coding {
                system: params.get("system").unwrap_or_default().to_owned(),
                version: params.get("version").unwrap_or_default().to_owned(),
                code: code.to_owned(),
                ..Coding::default()
            }),
            (None, Some(coding)) => Ok(coding.clone()),
            (None, None) => Err(Outcome::required(format!("请给出 {text} 或 {coding}。")).into()),
        }
    };
    let (a, b) = (code("codeA", "codingA")?, code("codeB", "codingB")?);
    if a.system != b.system {
        return Err(Outcome::invalid("两个编码须属于同一个代码系统。").into());
    }
    let version = Some(a.version.as_str()).filter(|v| !v.is_empty());
    let t = match id {
        Some(id) => table_by_id(directory, id, version, None).await?,
        None if a.system.is_empty() => return Err(Outcome::required("请用 system 指明代码系统。").into()),
        None => table_for(directory, &a.system, version, None).await?,
    };
    for asked in [&a, &b] {
        // A range of chapters is no code of the table, but its rule says what lies in it.
        if !t.contains(&asked.code) && catalog::hierarchy::range(&asked.code).is_none() {
            return Err(Outcome::not_found(format!("“{}”中没有代码“{}”。", t.name, asked.code)).into());
        }
    }
    let outcome = if t.hierarchy.equivalent(&a.code, &b.code) {
        "equivalent"
    } else if t.subsumes(&a.code, &b.code) {
        "subsumes"
    } else if t.subsumes(&b.code, &a.code) {
        "subsumed-by"
    } else {
        "not-subsumed"
    };
    Ok(parameters(vec![json!({ "name": "outcome", "valueCode": outcome })]))
}

pub(super) async fn subsumes_get(State(directory): Server, RawQuery(query): RawQuery) -> Response {
    finish(subsumes(&directory, None, Params::query(query.as_deref())).await)
}
pub(super) async fn subsumes_post(
    State(directory): Server,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => subsumes(&directory, None, params).await,
        Err(ended) => Err(ended),
    })
}
pub(super) async fn subsumes_one_get(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    finish(subsumes(&directory, Some(&id), Params::query(query.as_deref())).await)
}
pub(super) async fn subsumes_one_post(
    State(directory): Server,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    finish(match Params::body(query.as_deref(), &body) {
        Ok(params) => subsumes(&directory, Some(&id), params).await,
        Err(ended) => Err(ended),
    })
}
