//! `result-patient` of `$merge` (FHIR R5): how the target shall be afterwards. What the platform cannot honour is refused.

use chrono::NaiveDate;
use kernel::Refusal;
use serde_json::Value;

use super::acts::invalid;
use crate::best::Field;
use crate::operations::Wished;

/// Elements of a `Patient` that a merge takes into account, or that say nothing of the patient.
const KNOWN: [&str; 14] = [
    "resourceType",
    "id",
    "meta",
    "text",
    "language",
    "active",
    "link",
    "identifier",
    "name",
    "gender",
    "birthDate",
    "deceasedDateTime",
    "telecom",
    "address",
];

fn at_most_one<'v>(patient: &'v Value, element: &str) -> Result<Option<&'v Value>, Refusal> {
    match &patient[element] {
        Value::Null => Ok(None),
        Value::Array(list) if list.len() <= 1 => Ok(list.first()),
        _ => Err(invalid(format!(
            "result-patient 的 {element} 应是最多含一个值的数组：平台对每一项只显示一个值。"
        ))),
    }
}

fn day(element: &str, value: &Value) -> Result<Option<String>, Refusal> {
    let wrong = || invalid(format!("result-patient 的 {element} 应是完整的日期，形如 1980-03-14。"));
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let date: NaiveDate = text.get(..10).and_then(|d| d.parse().ok()).ok_or_else(wrong)?;
            Ok(Some(date.to_string()))
        }
        _ => Err(wrong()),
    }
}

/// Understands a `result-patient`.
pub(super) fn wished(patient: &Value, into: i64, from: i64) -> Result<Wished, Refusal> {
    let Some(elements) = patient.as_object().filter(|_| patient["resourceType"] == "Patient") else {
        return Err(invalid("参数 result-patient 应是 resource，内容为一个 Patient。"));
    };
    if patient["id"].as_str() != Some(&into.to_string()) {
        return Err(invalid("result-patient 的 id 应与 target-patient 相同。"));
    }
    let source = |link: &Value| {
        let reference = link["other"]["reference"].as_str().and_then(|r| r.rsplit('/').next());
        link["type"] == "replaces" && reference == Some(&from.to_string())
    };
    if !matches!(patient["link"].as_array().map(Vec::as_slice), Some([link]) if source(link)) {
        return Err(invalid("result-patient 须有且只有一个 link，type 为 replaces，指向 source-patient。"));
    }
    let foreign: Vec<&str> = elements.keys().map(String::as_str).filter(|k| !KNOWN.contains(k)).collect();
    if !foreign.is_empty() {
        return Err(invalid(format!(
            "合并时不能设定 result-patient 的这些内容：{}。请去掉后重试。",
            foreign.join("、")
        )));
    }
    if !matches!(patient["active"], Value::Null | Value::Bool(true)) {
        return Err(invalid("result-patient 的 active 只能是 true：合并后保留的是 target-patient。"));
    }
    let mut wished = Wished::default();
    let mut wish = |field, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            wished.values.insert(field, value);
        }
    };
    if let Some(name) = at_most_one(patient, "name")? {
        let given = name["given"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let parts: String = name["family"].as_str().into_iter().chain(given).collect();
        let text = name["text"].as_str().map_or(parts, str::to_owned);
        if text.trim().is_empty() {
            return Err(invalid("result-patient 的 name 应有 text，或 family 和 given。"));
        }
        wish(Field::Name, Some(text.trim().to_owned()));
    }
    let sex = match &patient["gender"] {
        Value::Null => None,
        Value::String(code) => Some(match code.as_str() {
            "male" => "1",
            "female" => "2",
            _ => return Err(invalid("result-patient 的 gender 应是 male 或 female；不明的请不要填写。")),
        }),
        _ => return Err(invalid("result-patient 的 gender 应是 male 或 female。")),
    };
    wish(Field::Sex, sex.map(str::to_owned));
    wish(Field::BirthDate, day("birthDate", &patient["birthDate"])?);
    wish(Field::DiedOn, day("deceasedDateTime", &patient["deceasedDateTime"])?);
    if let Some(telecom) = at_most_one(patient, "telecom")? {
        let number = telecom["value"].as_str().filter(|_| telecom["system"] == "phone");
        let number =
            number.ok_or_else(|| invalid("result-patient 的 telecom 只能是一个电话（system 为 phone）。"))?;
        wish(Field::Phone, Some(number.to_owned()));
    }
    if let Some(address) = at_most_one(patient, "address")? {
        let text =
            address["text"].as_str().ok_or_else(|| invalid("result-patient 的 address 应有 text。"))?;
        wish(Field::Address, Some(text.to_owned()));
    }
    let numbers = match &patient["identifier"] {
        Value::Null => &[][..],
        Value::Array(list) => list,
        _ => return Err(invalid("result-patient 的 identifier 应是数组。")),
    };
    for number in numbers {
        let (Some(system), Some(value)) = (number["system"].as_str(), number["value"].as_str()) else {
            return Err(invalid("result-patient 的每个 identifier 都应有 system 和 value。"));
        };
        wished.numbers.push((system.to_owned(), value.to_owned()));
    }
    Ok(wished)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patient(more: &Value) -> Value {
        let mut patient = json!({
            "resourceType": "Patient", "id": "1",
            "link": [{ "type": "replaces", "other": { "reference": "Patient/2" } }],
        });
        patient.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        patient
    }

    #[test]
    fn what_can_be_wished() {
        let given = patient(&json!({
            "active": true,
            "name": [{ "family": "张", "given": ["小伟"] }],
            "gender": "male",
            "birthDate": "2015-03-08",
            "deceasedDateTime": "2025-01-02T10:00:00+08:00",
            "telecom": [{ "system": "phone", "value": "13812345678" }],
            "address": [{ "text": "某街一号" }],
            "identifier": [{ "system": "s", "value": "v" }],
        }));
        let wished = wished(&given, 1, 2).unwrap();
        let values: Vec<(Field, &str)> = wished.values.iter().map(|(f, v)| (*f, v.as_str())).collect();
        let expected = [
            (Field::Name, "张小伟"),
            (Field::Sex, "1"),
            (Field::BirthDate, "2015-03-08"),
            (Field::Phone, "13812345678"),
            (Field::Address, "某街一号"),
            (Field::DiedOn, "2025-01-02"),
        ];
        assert_eq!(values, expected);
        assert_eq!(wished.numbers, [("s".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_and_named() {
        for (more, words) in [
            (json!({ "resourceType": "Person" }), "一个 Patient"),
            (json!({ "id": "3" }), "与 target-patient 相同"),
            (json!({ "link": [] }), "replaces"),
            (json!({ "link": [{ "type": "seealso", "other": { "reference": "Patient/2" } }] }), "replaces"),
            (json!({ "link": [{ "type": "replaces", "other": { "reference": "Patient/9" } }] }), "replaces"),
            (json!({ "active": false }), "active"),
            (json!({ "maritalStatus": {}, "photo": [] }), "maritalStatus、photo"),
            (json!({ "name": [{ "text": "甲" }, { "text": "乙" }] }), "name"),
            (json!({ "name": [{}] }), "name"),
            (json!({ "name": "甲" }), "name"),
            (json!({ "gender": "other" }), "gender"),
            (json!({ "birthDate": "2015" }), "birthDate"),
            (json!({ "birthDate": "二〇一五年三月八日" }), "birthDate"),
            (json!({ "deceasedDateTime": true }), "deceasedDateTime"),
            (json!({ "telecom": [{ "system": "email", "value": "a@b" }] }), "telecom"),
            (json!({ "address": [{ "city": "信阳" }] }), "address"),
            (json!({ "identifier": [{ "value": "1" }] }), "identifier"),
        ] {
            let refused = wished(&patient(&more), 1, 2).unwrap_err();
            assert!(refused.message.contains(words), "{more}: {}", refused.message);
        }
    }
}
