//! What is done at the desk: deciding, taking back, merging, splitting, pinning. Each leads on to the next task or back to
//! where one came from.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use kernel::{Refusal, Result};
use serde::Deserialize;
use store::AuditEntry;
use web::Reply;
use web::route::Allowed;
use web::ui::Here;

use super::read::{self, Within};
use super::{Desk, account, compare};
use crate::operations::Order;
use crate::review::{Decided, Outcome};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    outcome: String,
    why: String,
}

fn task_number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| compare::unknown())
}

fn person_number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| super::person::unknown())
}

/// `GET /index/review/next?after=`: to the next task, or back to the queue when there is none.
pub(super) async fn next(State(desk): State<Desk>, allowed: Allowed, here: Here) -> Reply<Redirect> {
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    let at = |key: &str| here.get(key).and_then(|t| t.parse::<i64>().ok());
    let (place, backward) = match at("before") {
        Some(task) => (task, true),
        None => (at("after").unwrap_or(0), false),
    };
    let account = account(&allowed);
    let found = desk
        .db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let found = read::next(tx, &within, place, account, backward, now).await?;
            let entry = AuditEntry {
                act: "person.review_list",
                object_kind: "review_task",
                object_id: found,
                ..AuditEntry::default()
            };
            Ok((found, entry))
        })
        .await?;
    let mut told = Here::new("", "");
    for key in ["was", "done", "from"] {
        if let Some(value) = here.get(key) {
            told = told.with(&[(key, value)]);
        }
    }
    Ok(Redirect::to(&match found {
        Some(task) => told.at(&format!("/index/review/{task}")).href(),
        None => told.with(&[("was", "empty"), ("done", ""), ("from", "")]).at("/index/review").href(),
    }))
}

/// `POST /index/review/{task}/decide`
pub(super) async fn decide(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(task): Path<String>,
    Form(form): Form<Decision>,
) -> Reply<Redirect> {
    let task = task_number(&task)?;
    let outcome = match form.outcome.as_str() {
        "same" => Outcome::Same,
        "apart" => Outcome::Apart,
        _ => {
            return Err(Refusal::invalid("review.outcome", "请选择“是同一人”或“不是同一人”。").into());
        }
    };
    // Nobody decides about what they may not see: both sides must be within reach, as on the page.
    let seen = compare::look(&desk, &allowed, task, "person.review_decide", false).await?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    let decided =
        desk.index.decide(&reach, &*desk.institutions, seen.whole.task.id, outcome, &form.why, now).await?;
    let (was, done) = match decided {
        Decided::Done(operation) => (outcome.code(), operation.to_string()),
        Decided::Second => ("second", String::new()),
        Decided::Disputed => ("disputed", String::new()),
        Decided::Gone => ("gone", String::new()),
    };
    let task = task.to_string();
    let next = Here::new("/index/review/next", "").with(&[
        ("after", &task),
        ("from", &task),
        ("was", was),
        ("done", &done),
    ]);
    Ok(Redirect::to(&next.href()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reasoned {
    reason: String,
    back: String,
    /// The other person of a merge.
    other: String,
    record: String,
    field: String,
    /// `pin` or `unpin`.
    act: String,
}

/// `POST /index/operations/{operation}/undo`
pub(super) async fn undo(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(operation): Path<String>,
    Form(form): Form<Reasoned>,
) -> Reply<Redirect> {
    let operation = operation
        .parse()
        .map_err(|_| Refusal::not_found("index.unknown", "没有找到这次处理，请从处理记录中选择。"))?;
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    let done = desk.index.undo(&reach, &*desk.institutions, operation, &form.reason, now).await?;
    Ok(Redirect::to(&match form.back.split_once(':') {
        Some(("task", task)) if task.parse::<i64>().is_ok() => format!("/index/review/{task}"),
        Some(("person", person)) if person.parse::<i64>().is_ok() => format!("/index/persons/{person}"),
        _ if form.back == "operations" => "/index/operations".to_owned(),
        _ => format!("/index/persons/{}", done.person),
    }))
}

async fn carry_out(desk: &Desk, allowed: &Allowed, order: &Order, reason: &str) -> Result<i64> {
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    Ok(desk.index.operate(&reach, &*desk.institutions, order, reason, now).await?.person)
}

/// `POST /index/persons/{person}/merge`: the other's registrations come here.
pub(super) async fn merge(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    Form(form): Form<Reasoned>,
) -> Reply<Redirect> {
    let order = Order::Merge { into: person_number(&person)?, from: person_number(&form.other)? };
    let person = carry_out(&desk, &allowed, &order, &form.reason).await?;
    Ok(Redirect::to(&format!("/index/persons/{person}")))
}

/// `POST /index/persons/{person}/split`: the chosen registrations become a person of their own.
pub(super) async fn split(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> Reply<Redirect> {
    let text = |key: &str| form.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    let records: Vec<i64> =
        form.iter().filter(|(k, _)| k == "record").filter_map(|(_, v)| v.parse().ok()).collect();
    if records.is_empty() {
        return Err(Refusal::invalid("index.nothing", "请先勾选要拆出去的登记，再填写理由并提交。").into());
    }
    let order = Order::Split { person: person_number(&person)?, records };
    let person = carry_out(&desk, &allowed, &order, text("reason")).await?;
    Ok(Redirect::to(&format!("/index/persons/{person}")))
}

/// `POST /index/persons/{person}/pin`: which registration's value is shown for a field, or that no one's is fixed.
pub(super) async fn pin(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    Form(form): Form<Reasoned>,
) -> Reply<Redirect> {
    let person = person_number(&person)?;
    let record = person_number(&form.record)?;
    let order = match form.act.as_str() {
        "unpin" => Order::Unpin { record, field: form.field },
        _ => Order::Pin { record, field: form.field },
    };
    carry_out(&desk, &allowed, &order, &form.reason).await?;
    Ok(Redirect::to(&format!("/index/persons/{person}")))
}

/// `POST /index/records/{record}/disown`: the citizen number of a registration is somebody else's.
pub(super) async fn disown(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(record): Path<String>,
    Form(form): Form<Reasoned>,
) -> Reply<Redirect> {
    let order = Order::Disown { record: person_number(&record)? };
    let person = carry_out(&desk, &allowed, &order, &form.reason).await?;
    Ok(Redirect::to(&format!("/index/persons/{person}")))
}
