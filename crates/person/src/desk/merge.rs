//! `/index/persons/{person}/merge`: finding the other person by hand, both side by side, and the reason.

use axum::extract::{Path, State};
use kernel::Result;
use maud::{Markup, html};
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{Column, Filter, Here, List, Paging, Row, Tone, icon, list, notice, page_head};
use web::{Frame, Reply};

use super::person_read::{self, Person};
use super::read::{self, Registration, Within};
use super::show::Eyes;
use super::{Desk, WRITE, compare, words};
use crate::search::{PersonFound, Query, search};

/// People that are offered.
const OFFERED: i64 = 20;
/// Registrations of each side.
const EACH: i64 = 3;

struct Seen {
    person: Person,
    found: Vec<PersonFound>,
    vague: bool,
    other: Option<(Person, Vec<Registration>)>,
}

async fn look(desk: &Desk, allowed: &Allowed, id: &str, here: &Here) -> Result<Seen> {
    let id: i64 = id.parse().map_err(|_| super::person::unknown())?;
    let other = here.get("other").and_then(|o| o.parse::<i64>().ok()).filter(|o| *o != id);
    let asked = here.get("q").unwrap_or("").trim().to_owned();
    let query = Query::parse(&asked);
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let person = person_read::person(tx, &within, id).await?.ok_or_else(super::person::unknown)?;
            let mut seen =
                Seen { person, found: Vec::new(), vague: !asked.is_empty() && query.is_err(), other: None };
            if let Some(other) = other {
                let person =
                    person_read::person(tx, &within, other).await?.ok_or_else(super::person::unknown)?;
                let mut both = read::of_person(tx, id, EACH).await?;
                both.extend(read::of_person(tx, other, EACH).await?);
                seen.other = Some((person, both));
            } else if let Ok(query) = &query {
                let found = search(tx, reach, &*desk.institutions, query, OFFERED, 0).await?;
                seen.found = found.people.into_iter().filter(|p| p.person_id != id).collect();
            }
            if let Some((other, _)) = &seen.other {
                let entry = AuditEntry {
                    act: "person.identity_view",
                    object_kind: "person",
                    object_id: Some(other.id),
                    object_label: other.name.clone(),
                    person_id: Some(other.id),
                    ..AuditEntry::default()
                };
                store::audit::record(tx, reach.caller(), reach.purpose(), now, &entry).await?;
            }
            let entry = AuditEntry {
                act: "person.search",
                object_kind: "person",
                object_id: Some(id),
                object_label: query.as_ref().map(Query::masked).unwrap_or_default(),
                person_id: Some(id),
                detail: Some(serde_json::json!({ "found": seen.found.len(), "for": "merge" })),
                ..AuditEntry::default()
            };
            Ok((seen, entry))
        })
        .await
}

pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(person): Path<String>,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let seen = look(&desk, &allowed, &person, &here).await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let base = format!("/index/persons/{}", seen.person.id);
    let name = eyes.shown("name", &seen.person.name);
    let body = html! {
        (page_head(&[("待核对登记", "/index/review"), (&name, &base)], "与另一人合并", "合并后两人的登记归于一人，诊疗记录随登记走；可以撤销，恢复原状。", html! {}))
        @match &seen.other {
            Some((other, both)) => (confirm(&desk, &eyes, &allowed, &seen.person, other, both)),
            None => (choose(&desk, &eyes, &seen, &here, &base)),
        }
    };
    Ok(frame.page("与另一人合并", body))
}

fn choose(desk: &Desk, eyes: &Eyes<'_>, seen: &Seen, here: &Here, base: &str) -> Markup {
    let rows = seen
        .found
        .iter()
        .map(|p| {
            Row::to(
                format!("{base}/merge?other={}", p.person_id),
                vec![
                    html! { (eyes.shown("name", &p.name)) },
                    html! { (words::sex(&p.sex)) },
                    html! { (p.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default()) },
                    html! { (eyes.shown("citizen_id", p.citizen_id.as_deref().unwrap_or_default())) },
                    html! { (eyes.shown("phone", &p.phone)) },
                    html! { (desk.institutions.region_name(&p.region)) },
                    html! { (p.records) },
                ],
            )
        })
        .collect();
    let asked = here.get("q").is_some_and(|q| !q.trim().is_empty());
    let empty = if seen.vague {
        ("条件太短", "姓名至少两个字，拼音首字母至少两个字母；也可以输入证件号码、电话、卡号或院内编号。")
    } else if asked {
        ("没有找到别的人", "请换一个条件：证件号码、电话、卡号、院内编号、姓名或拼音首字母。")
    } else {
        ("先找到另一个人", "输入证件号码、姓名、拼音首字母、电话、卡号或院内编号。")
    };
    list(
        here,
        &List {
            filters: &[Filter::Text {
                name: "q", label: "另一个人", hint: "证件号、姓名、首字母、电话"
            }],
            total: asked.then_some(seen.found.len() as u64),
            unit: "人",
            columns: &[
                Column::text("姓名"),
                Column::text("性别"),
                Column::text("出生日期"),
                Column::text("证件号"),
                Column::text("电话"),
                Column::text("现住地"),
                Column::number("登记数"),
            ],
            rows,
            paging: Paging::Whole,
            exports: &[],
            empty,
            empty_action: None,
        },
    )
}

fn confirm(
    desk: &Desk,
    eyes: &Eyes<'_>,
    allowed: &Allowed,
    person: &Person,
    other: &Person,
    both: &[Registration],
) -> Markup {
    let two_numbers = !person.citizen_id.is_empty()
        && !other.citizen_id.is_empty()
        && person.citizen_id != other.citizen_id;
    html! {
        section.mk-card {
            div.mk-card-head { h2 { "登记对照" } div { small.mk-muted { "每人最多列出 " (EACH) " 条" } } }
            (compare::side_by_side(desk, eyes, both, None, None, None))
        }
        @if two_numbers {
            (notice(Tone::Bad, "两人有不同的有效公民身份号码，不能合并", "确认其中一个号码登记错误的，先在那个人的身份页把该登记的证件标为“不属本人”，再合并。"))
        } @else if allowed.caller().may(WRITE) {
            section.mk-card.mk-decide {
                form method="post" action={ "/index/persons/" (person.id) "/merge" } {
                    input type="hidden" name="other" value=(other.id);
                    label.mk-hidden for="reason" { "理由" }
                    input.form-control id="reason" name="reason" required minlength="2" maxlength="200" autocomplete="off" placeholder="合并的理由，例如：已与本人电话核实";
                    button.btn.btn-primary type="submit" { (icon("git-merge")) "合并为一人" }
                    a.btn href={ "/index/persons/" (person.id) } { "取消" }
                }
            }
        }
    }
}
