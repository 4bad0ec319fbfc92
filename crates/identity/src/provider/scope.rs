//! Scopes: what an application may ask for in a person's name, and which of the person's rights it opens. Pure.
//!
//! A scope never adds a right. The rights of a token are those of its person whose line and act one of its scopes
//! opens; for a machine client, those of the client. Scopes of single FHIR resources (`patient/Observation.rs`) are
//! not offered, because the record is read as a whole: asking for one gives nothing, and the answer says so.

use kernel::{Act, Grant, Line, Need};

/// What a scope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// As in requests.
    pub name: &'static str,
    /// What it means to an administrator and to the person.
    pub title: &'static str,
    /// The right that it opens.
    pub opens: Option<Need>,
    /// Whether it is for programs without a person.
    pub program: bool,
}

const fn about(name: &'static str, title: &'static str) -> Offered {
    Offered { name, title, opens: None, program: false }
}
const fn opens(name: &'static str, title: &'static str, line: Line, act: Act) -> Offered {
    Offered { name, title, opens: Some(Need::new(line, act)), program: false }
}

/// Every scope that there is.
pub const OFFERED: &[Offered] = &[
    about("openid", "确认是谁在登录"),
    about("profile", "姓名、登录名、单位、工号和角色"),
    about("fhirUser", "以 FHIR 资源表示的用户身份"),
    about("online_access", "登录期间更新令牌"),
    about("offline_access", "退出登录后仍可代表用户访问"),
    about("launch", "从健康档案页面打开应用"),
    about("launch/patient", "由用户选定一位居民"),
    about("launch/encounter", "随打开的就诊"),
    opens("patient/*.rs", "读取选定居民的健康档案", Line::Medical, Act::Read),
    opens("patient/*.read", "读取选定居民的健康档案（SMART 1）", Line::Medical, Act::Read),
    opens("user/*.rs", "读取用户有权查看的健康档案", Line::Medical, Act::Read),
    opens("user/*.read", "读取用户有权查看的健康档案（SMART 1）", Line::Medical, Act::Read),
    opens("api:exchange.read", "查看数据上传", Line::Exchange, Act::Read),
    opens("api:exchange.write", "上传数据", Line::Exchange, Act::Write),
    opens("api:administration.read", "查看数据质量与机构", Line::Administration, Act::Read),
    opens("api:statistics.read", "查看统计数字", Line::Statistics, Act::Read),
    Offered {
        program: true,
        ..opens("system/*.rs", "程序读取本机构患者的健康档案", Line::Medical, Act::Read)
    },
    Offered {
        program: true,
        ..opens("system/*.read", "程序读取本机构患者的健康档案（SMART 1）", Line::Medical, Act::Read)
    },
];

/// The scope of this name.
pub fn offered(name: &str) -> Option<&'static Offered> {
    OFFERED.iter().find(|scope| scope.name == name)
}

/// The scopes of a request that are also allowed, each once, in the order asked.
pub fn narrowed(asked: &str, allowed: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in asked.split_ascii_whitespace() {
        if allowed.iter().any(|a| a == name) && offered(name).is_some() && !out.iter().any(|o| o == name) {
            out.push(name.to_owned());
        }
    }
    out
}

/// Those of `own` rights that the scopes open.
pub fn rights(scopes: &[String], own: &[Grant]) -> Vec<Grant> {
    let open: Vec<Need> = scopes.iter().filter_map(|s| offered(s).and_then(|o| o.opens)).collect();
    own.iter().filter(|g| open.contains(&Need::new(g.line, g.act))).copied().collect()
}

/// Whether a list of scopes has this one.
pub fn has(scopes: &[String], name: &str) -> bool {
    scopes.iter().any(|s| s == name)
}

/// Whether the record may be read of the bound person only.
pub fn of_one_person(scopes: &[String]) -> bool {
    let reads = |start: &str| scopes.iter().any(|s| s.starts_with(start));
    reads("patient/") && !reads("user/")
}

/// Whether a person must be known before a token is issued.
pub fn wants_person(scopes: &[String]) -> bool {
    of_one_person(scopes) || has(scopes, "launch/patient")
}

/// Whether a request that carries a token bound to `person` stays within that person's record.
pub fn within_person(path: &str, person: i64) -> bool {
    if matches!(path, "/fhir/metadata" | "/oauth/userinfo") {
        return true;
    }
    let record = format!("/fhir/Patient/{person}");
    path.strip_prefix(&record).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where access tokens serve: interfaces, never pages.
pub fn serves_tokens(path: &str) -> bool {
    ["/api", "/fhir", "/oauth/userinfo"]
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id, RegionCode, Span};

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_scope_opens_only_what_the_person_holds() {
        let own = [
            Grant { line: Line::Medical, act: Act::Read, span: Span::Institution(Id::new(7)) },
            Grant { line: Line::Medical, act: Act::Write, span: Span::Institution(Id::new(7)) },
            Grant { line: Line::Security, act: Act::Grant, span: Span::Region(RegionCode::NATION) },
        ];
        let cases: [(&[&str], usize); 6] = [
            (&["openid", "profile"], 0),
            (&["patient/*.rs"], 1),
            (&["user/*.read", "patient/*.rs"], 1),
            (&["api:exchange.write"], 0),
            (&["user/*.*", "patient/Observation.rs", "security.grant"], 0),
            (&[], 0),
        ];
        for (scopes, count) in cases {
            let given = rights(&list(scopes), &own);
            assert_eq!(given.len(), count, "{scopes:?}");
            assert!(given.iter().all(|g| own.contains(g)));
        }
        for scope in OFFERED {
            let act = scope.opens.map(|n| n.act);
            assert!(
                matches!(act, None | Some(Act::Read | Act::Write)),
                "{}: no token manages or grants",
                scope.name
            );
        }
    }

    #[test]
    fn asked_and_allowed_and_known() {
        let allowed = list(&["openid", "profile", "invented"]);
        assert_eq!(narrowed("openid user/*.rs openid profile invented", &allowed), ["openid", "profile"]);
        assert!(narrowed("", &allowed).is_empty());
    }

    #[test]
    fn a_token_of_one_person_opens_no_other_record_and_no_search() {
        let cases = [
            ("/fhir/Patient/7", true),
            ("/fhir/Patient/7/$everything", true),
            ("/fhir/metadata", true),
            ("/fhir/Patient/70", false),
            ("/fhir/Patient/8", false),
            ("/fhir/Patient", false),
            ("/fhir", false),
            ("/api/v1/datasets/visit/batches", false),
        ];
        for (path, within) in cases {
            assert_eq!(within_person(path, 7), within, "{path}");
        }
        assert!(
            of_one_person(&list(&["patient/*.rs"])) && !of_one_person(&list(&["patient/*.rs", "user/*.rs"]))
        );
        assert!(serves_tokens("/fhir/Patient") && !serves_tokens("/record/7") && !serves_tokens("/apix"));
    }
}
