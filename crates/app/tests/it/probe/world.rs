//! A first county full of things with numbers: people with a record, batches, accounts, and one row of every table that
//! an address can name, made from what the database itself says of its columns.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use sqlx::Row;

use crate::city::{City, city};
use crate::rows::{patients, visits};

/// Stands in every text that the first county wrote; nobody of another county may read it.
pub const MARK: &str = "本县机密";

pub struct World {
    pub city: City,
    /// What each parameter of an address is filled with: the key is the template up to the parameter.
    pub ids: BTreeMap<String, Vec<String>>,
}

/// Which table a parameter names: the beginning of the template with the parameter, and the question for its numbers.
/// The longest beginning that fits decides.
const NAMED: &[(&str, &str)] = &[
    ("/account/applications/{application}", "select id::text from application"),
    ("/account/passkeys/{passkey}", "select id::text from passkey"),
    (
        "/account/sessions/{session}",
        "select id::text from session where account_id = (select id from account where login = 'doctor')",
    ),
    ("/accounts/{account}", "select id::text from account where login in ('doctor', 'engineer')"),
    ("/accounts/{account}/certificates/{certificate}", "select id::text from account_certificate"),
    (
        "/accounts/{account}/sessions/{session}",
        "select id::text from session where account_id = (select id from account where login = 'doctor')",
    ),
    ("/accounts/import/{draft}", "select id::text from account_draft"),
    ("/access/accounts/{account}", "select id::text from account where login in ('doctor', 'engineer')"),
    ("/access/accounts/{account}/roles/{held}", "select id::text from account_role"),
    ("/access/exceptions/{exception}", "select id::text from access_exception"),
    ("/access/policy/{change}", "select id::text from access_policy_change"),
    ("/access/teams/{team}", "select id::text from team"),
    ("/api/v1/batches/{batch}", "select id::text from batch"),
    ("/applications/{application}", "select id::text from application"),
    ("/applications/{application}/credential/{credential}", "select id::text from program_credential"),
    ("/audit/alerts/{alert}", "select id::text from audit_alert"),
    ("/audit/persons/{person}", "select id::text from person order by id limit 2"),
    ("/batches/{batch}", "select id::text from batch"),
    ("/certificate-authorities/{authority}", "select id::text from certificate_authority"),
    ("/clients/{client}", "select id::text from client"),
    ("/clients/{client}/credential/{credential}", "select id::text from program_credential"),
    ("/divisions/operations/{id}", "select id::text from division_operation"),
    ("/embed/record/{person}", "select id::text from person order by id limit 2"),
    (
        "/embed/record/{person}/event/{dataset}/{fact}",
        "select id::text from fact_outpatient_visit order by id limit 1",
    ),
    ("/fhir/Patient/{id}", "select id::text from person order by id limit 2"),
    ("/glass/{glass}", "select id::text from record_glass"),
    ("/index/models/{model}", "select id::text from person_model"),
    ("/index/operations/{operation}", "select id::text from person_operation"),
    ("/api/v1/index/operations/{id}", "select id::text from person_operation"),
    ("/index/persons/{person}", "select id::text from person order by id limit 2"),
    ("/index/questions/{question}", "select id::text from review_question"),
    ("/index/records/{record}", "select id::text from identity_record order by id limit 2"),
    ("/index/review/{task}", "select id::text from review_task"),
    ("/index/runs/{run}", "select id::text from index_run"),
    ("/index/runs/{run}/pairs/{pair}", "select no::text from index_difference"),
    ("/index/suspects/{suspect}", "select id::text from index_suspect"),
    ("/launch/{application}", "select id::text from application"),
    ("/notices/{notice}", "select id::text from notice"),
    ("/partners/{partner}", "select id::text from partner"),
    ("/sign-in/partner/{partner}", "select id::text from partner"),
    ("/quality/institutions/{code}", "select code from institution where region like '411503%'"),
    ("/persons/death/{person}", "select id::text from person order by id limit 2"),
    (
        "/persons/special/{record}",
        "select id::text from identity_record where special <> '' order by id limit 2",
    ),
    ("/record/{person}", "select id::text from person order by id limit 2"),
    (
        "/record/{person}/event/{dataset}/{fact}",
        "select id::text from fact_outpatient_visit order by id limit 1",
    ),
    ("/registry/{kind}/{id}", STAFF),
    ("/staff/{id}", STAFF),
    ("/institutions/{id}", HOSPITALS),
    ("/api/v1/institutions/{id}", HOSPITALS),
    ("/api/v1/staff/{id}", STAFF),
    ("/api/v1/registry/{kind}/{id}", STAFF),
    ("/fhir/Organization/{id}", HOSPITALS),
    ("/fhir/Practitioner/{id}", STAFF),
    ("/fhir/PractitionerRole/{id}", STAFF),
    ("/fhir/HealthcareService/{id}", STAFF),
    ("/registry/imports/{id}", "select id::text from registry_import"),
    ("/registry/requests/{id}", "select id::text from registry_request"),
    ("/registry/requests/{request}", "select id::text from registry_request"),
    ("/restrictions/{restriction}", "select id::text from record_restriction"),
    ("/workstations/{workstation}", "select id::text from workstation"),
];

const STAFF: &str = "select id::text from registry_entry where kind = 'staff'";
const HOSPITALS: &str = "select id::text from registry_entry where kind = 'institution'
    and institution_id in (select id from institution where region like '411503%')";

/// Parameters that name something public: codes of the catalogue, divisions, settings, tables.
const PUBLIC: &[(&str, &str)] = &[
    ("{table}", "icd10"),
    ("{kind}", "staff"),
    ("{dataset}", "outpatient_visit"),
    ("/datasets/{code}", "outpatient_visit"),
    ("/divisions/{code}", "411503000000"),
    ("/divisions/below/{code}", "411503000000"),
    ("/api/v1/divisions/{code}", "411503000000"),
    ("/settings/{code}", "sign_in.idle_minutes"),
    ("/access/roles/{role}", "township_doctor"),
    ("/applications/keys/{kid}", "none"),
    ("/fhir/CodeSystem/{id}", "icd10"),
    ("/fhir/ValueSet/{id}", "icd10"),
    ("/fhir/ConceptMap/{id}", "icd10"),
    ("/fhir/Location/{id}", "411503000000"),
    ("/audit/entries/{key}", "none"),
    ("/fhir/AuditEvent/{key}", "none"),
];

impl World {
    /// The values of one parameter of a template: those of the first county, or the public one.
    pub fn values(&self, upto: &str) -> Option<(Vec<String>, bool)> {
        if let Some(ids) = self.ids.get(upto) {
            return Some((ids.clone(), true));
        }
        PUBLIC
            .iter()
            .filter(|(tail, _)| if tail.starts_with('/') { upto == *tail } else { upto.ends_with(tail) })
            .max_by_key(|(tail, _)| tail.len())
            .map(|(_, value)| (vec![(*value).to_owned()], false))
    }

    /// The address of a template with `nothing` for whatever belongs to somebody.
    pub fn nowhere(&self, template: &str, nothing: &str) -> String {
        let mut upto = String::new();
        let mut path = String::new();
        for part in template.split('/').skip(1) {
            upto.push('/');
            upto.push_str(part);
            path.push('/');
            match part.starts_with('{').then(|| self.values(&upto)).flatten() {
                Some((_, true)) => path.push_str(nothing),
                Some((values, false)) => path.push_str(&values[0]),
                None => path.push_str(part),
            }
        }
        path
    }

    /// The addresses of a template with the things of the first county; the flag says whether they are its own and not
    /// public. `None` when nobody has said what a parameter names.
    pub fn addresses(&self, template: &str) -> Option<(Vec<String>, bool)> {
        let mut paths = vec![String::new()];
        let mut upto = String::new();
        let mut own = false;
        for part in template.split('/').skip(1) {
            upto.push('/');
            upto.push_str(part);
            if !part.starts_with('{') {
                for path in &mut paths {
                    path.push('/');
                    path.push_str(part);
                }
                continue;
            }
            let (values, theirs) = self.values(&upto)?;
            own |= theirs;
            paths = paths.iter().flat_map(|p| values.iter().map(move |v| format!("{p}/{v}"))).collect();
        }
        Some((paths, own))
    }
}

/// The city with everything in its first county.
pub async fn world() -> World {
    let city = city().await;
    let mut his = city.program(0).await;
    his.upload("patient", "", patients(0..4)).await.good();
    his.upload("outpatient_visit", "", visits(0..8, 4, 80)).await.good();
    for login in ["doctor", "engineer"] {
        assert_eq!(city.staff(login).await.get("/desk").await.status, StatusCode::OK);
    }
    let owner = city.platform.owner.pool();
    for sql in [
        "update person set region = '411503102000'",
        "update identity_record set region = '411503102000'",
        "update identity_record set special = 'undocumented' where id = (select min(id) from identity_record)",
    ] {
        sqlx::query(sql).execute(owner).await.unwrap();
    }
    let tables: BTreeSet<&str> =
        NAMED.iter().map(|(_, sql)| sql.split_once(" from ").unwrap().1.split(' ').next().unwrap()).collect();
    let mut ids = BTreeMap::new();
    // Those that the others refer to come first.
    for table in ["client", "application", "review_task", "index_run"].into_iter().chain(tables) {
        fill(&city, table).await;
    }
    for (upto, sql) in NAMED {
        let found: Vec<String> = sqlx::query_scalar(*sql).fetch_all(owner).await.unwrap();
        assert!(!found.is_empty(), "nothing that {upto} could name: {sql}");
        ids.insert((*upto).to_owned(), found.into_iter().take(2).collect());
    }
    World { city, ids }
}

/// Makes a row of a table that has none: what a column must hold follows from its name, type, references and checks.
async fn fill(city: &City, table: &str) {
    let owner = city.platform.owner.pool();
    // Institutions have their entries already; members of staff have none.
    let which = if table == "registry_entry" { " where kind = 'staff'" } else { "" };
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}{which}")))
        .fetch_one(owner)
        .await
        .unwrap();
    if rows > 0 {
        return;
    }
    let columns = sqlx::query(
        "select column_name::text, udt_name::text from information_schema.columns
         where table_schema = current_schema() and table_name = $1 and is_nullable = 'NO' and is_identity = 'NO'
            and (column_default is null or data_type in ('text'))
         order by ordinal_position",
    )
    .bind(table)
    .fetch_all(owner)
    .await
    .unwrap();
    let mut names = Vec::new();
    let mut values = Vec::new();
    for column in columns {
        let (name, kind): (String, String) = (column.get(0), column.get(1));
        values.push(value_of(table, &name, &kind));
        names.push(name);
    }
    // What may be empty but says whose the row is.
    for (name, value) in owned(table) {
        if !names.iter().any(|n| n == name) {
            names.push((*name).to_owned());
            values.push((*value).to_owned());
        }
    }
    let sql = format!("insert into {table} ({}) values ({})", names.join(", "), values.join(", "));
    sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
        .execute(owner)
        .await
        .unwrap_or_else(|error| panic!("{table}: say in world.rs what its columns hold: {error}\n{sql}"));
}

const DOCTOR: &str = "(select id from account where login = 'doctor')";
const HOSPITAL: &str = "(select id from institution where code = '12411500MB1A00001X')";

/// Columns that may be empty and must not be here.
fn owned(table: &str) -> &'static [(&'static str, &'static str)] {
    match table {
        "notice" => &[("account_id", DOCTOR)],
        "program_credential" => &[("client_id", "(select min(id) from client)"), ("digest", "'\\x01'")],
        "access_exception" | "application" | "record_glass" | "record_restriction" => {
            &[("institution_id", HOSPITAL)]
        }
        "audit_alert" => &[("institution_id", HOSPITAL), ("account_id", DOCTOR)],
        _ => &[],
    }
}

/// An SQL expression for a column.
fn value_of(table: &str, column: &str, kind: &str) -> String {
    let fixed = match (table, column) {
        ("record_restriction", "kind") => "'seal'",
        ("record_restriction", "scope") => "'all'",
        ("record_restriction", "identity_id") => "(select min(id) from identity_record)",
        ("person_operation", "kind") => "'merge'",
        ("person_operation", "persons") => "array(select id from person order by id limit 2)",
        ("person_operation", "identities") => "array(select id from identity_record order by id limit 2)",
        ("review_task", "kind") => "'similar'",
        ("review_task", "identities") => "array(select id from identity_record order by id limit 2)",
        ("review_task", "a") => "(select min(id) from identity_record)",
        ("review_task", "b") => "(select max(id) from identity_record)",
        ("review_task", "contributions") => "'[]'",
        ("review_task", "county") => "'411503'",
        ("review_task", "institutions") => "array(select distinct institution_id from identity_record)",
        ("review_task", "outcome" | "first_outcome") | ("review_question", "answer") => "''",
        ("review_question", "task_id") => "(select min(id) from review_task)",
        ("review_question", "identity_id") => "(select min(id) from identity_record)",
        ("index_suspect", "kind") => "'two_sexes'",
        ("index_difference", "a") => "(select min(id) from identity_record)",
        ("index_difference", "b") => "(select max(id) from identity_record)",
        ("index_difference", "run_id") => "(select min(id) from index_run)",
        ("index_difference", "evidence") => "'[]'",
        ("index_run", "kind") => "'relink'",
        ("index_run", "state") => "'proposed'",
        ("person_model", "definition") => "'[model]'",
        ("access_exception", "target") => "'institution'",
        ("access_exception", "line") => "'medical'",
        ("access_exception", "act") => "'read'",
        ("access_exception", "state") => "'asked'",
        ("access_exception", "asked_by") => DOCTOR,
        ("team", "kind") => "'family_doctor'",
        ("application", "kind") => "'confidential'",
        ("application", "auth_method") => "'secret'",
        ("application", "factor") => "'single'",
        ("program_credential", "kind") => "'secret'",
        ("division_operation", "kind") => "'rename'",
        ("division_operation", "state") => "'asked'",
        ("division_operation", "year") => "2025",
        ("workstation", "state") => "'new'",
        ("access_policy_change", "kind") => "'page'",
        ("audit_alert", "severity") => "'low'",
        ("audit_alert", "rule") => "'night'",
        ("account_draft", "rows") => "'[]'",
        ("record_glass", "kind") => "'emergency'",
        ("registry_entry" | "registry_request" | "registry_import", "kind") => "'staff'",
        ("registry_entry", "state") => "'active'",
        ("registry_entry", "content" | "guarded") => "'{}'",
        ("registry_request", "stage") => "'unit'",
        ("registry_request", "changed") => "'{}'",
        ("registry_import", "state") => "'checked'",
        ("account_certificate", "serial") => "'0a'",
        ("division_operation", "plan") => {
            "'{\"removed\":[],\"added\":[],\"changed\":[],\"moves\":[],\"successions\":[],\"institutions\":[],\"addresses\":[],\"homes\":[]}'"
        }
        ("partner", "issuer") => "'https://partner.invalid'",
        (_, "state") => "'open'",
        (_, "account_id") => DOCTOR,
        (_, "institution_id") => HOSPITAL,
        (_, "person_id") => "(select min(id) from person)",
        (_, "application_id") => "(select min(id) from application)",
        (_, "region") => "'411503102000'",
        (_, "until" | "expires_at" | "due_at" | "not_after") => "timestamptz '2031-01-01'",
        (_, "link") => "'/account'",
        (_, "backchannel_uri" | "launch_uri" | "authority") => "''",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    match kind {
        "text" => format!("'{MARK}{column}'"),
        "_text" => format!("array['https://{column}.invalid']"),
        "timestamptz" => "timestamptz '2025-05-01'".to_owned(),
        "date" => "date '2025-05-01'".to_owned(),
        "bool" => "false".to_owned(),
        "bytea" => "'\\x01020304'".to_owned(),
        "jsonb" => "'{}'".to_owned(),
        _ => "1".to_owned(),
    }
}
