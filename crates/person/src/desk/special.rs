//! On the page of a person's identity: special registrations with the tie to the mother, a mother's newborns, and deaths
//! that people recorded.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use kernel::Result;
use maud::{Markup, html};
use store::{DbDoing, Gated};
use web::ui::{Tone, badge, card_with};

use super::show::Eyes;
use super::{Desk, words};
use crate::special::death::{self, Recorded, source_name};

/// A special registration of the person.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Own {
    id: i64,
    special: String,
    local_no: String,
    institution_id: i32,
    special_note: String,
    special_by: String,
    special_at: Option<DateTime<Utc>>,
    birth_order: Option<i16>,
    born_at: Option<NaiveDateTime>,
    mother_name: Option<String>,
    mother_person: Option<i64>,
}

/// A newborn that was registered under the person.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Child {
    person_id: i64,
    name: String,
    sex: String,
    local_no: String,
    birth_date: Option<NaiveDate>,
    born_at: Option<NaiveDateTime>,
    birth_order: Option<i16>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ties {
    own: Vec<Own>,
    children: Vec<Child>,
    deaths: Vec<Recorded>,
}

/// Reads it, by the indexes on the person and on the mother.
pub(super) async fn ties(tx: &mut Gated<'_>, person: i64) -> Result<Ties> {
    let own = sqlx::query_as(
        "select i.id, i.special, i.local_no, i.institution_id, i.special_note, i.special_by, i.special_at,
                i.birth_order, i.born_at, m.name as mother_name, m.person_id as mother_person
         from identity_record i left join identity_record m on m.id = i.mother_id
         where i.person_id = $1 and i.special <> '' order by i.id limit 20",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read the special registrations of a person")?;
    let children = sqlx::query_as(
        "select c.person_id, p.name, p.sex, c.local_no, c.birth_date, c.born_at, c.birth_order
         from identity_record m join identity_record c on c.mother_id = m.id join person p on p.id = c.person_id
         where m.person_id = $1 order by c.birth_date desc, c.birth_order limit 40",
    )
    .bind(person)
    .fetch_all(&mut ***tx)
    .await
    .db("read the newborns of a person")?;
    Ok(Ties { own, children, deaths: death::recorded(tx, person).await? })
}

fn born(eyes: &Eyes<'_>, day: Option<NaiveDate>, at: Option<NaiveDateTime>) -> String {
    let hour = at.map(|at| at.format(" %H:%M").to_string()).unwrap_or_default();
    day.map(|day| format!("{}{hour}", eyes.shown("birth_date", &day.to_string()))).unwrap_or_default()
}

/// The card; nothing where there is nothing special.
pub(super) fn card(desk: &Desk, eyes: &Eyes<'_>, ties: &Ties) -> Markup {
    let list = html! {
        ul.mk-asked {
            @for own in &ties.own {
                li {
                    div {
                        (badge(Tone::Info, words::special(&own.special))) " " a href={ "#r" (own.id) } { (eyes.shown("local_no", &own.local_no)) }
                        @if let (Some(mother), Some(person)) = (&own.mother_name, own.mother_person) {
                            " 母亲 " a href={ "/index/persons/" (person) } { (eyes.shown("name", mother)) }
                            @if let Some(order) = own.birth_order { "，本次分娩第 " (order) " 个" }
                            @if let Some(at) = own.born_at { "，" (at.format("%H:%M")) " 出生" }
                        }
                        @if !own.special_note.is_empty() { " " (own.special_note) }
                    }
                    small.mk-muted { (desk.institution(own.institution_id)) " " (own.special_by) " " (own.special_at.map(words::time).unwrap_or_default()) }
                }
            }
            @for child in &ties.children {
                li {
                    div {
                        (badge(Tone::Neutral, "新生儿")) " " a href={ "/index/persons/" (child.person_id) } { (eyes.shown("name", &child.name)) }
                        " " (words::sex(&child.sex)) @if let Some(order) = child.birth_order { "，本次分娩第 " (order) " 个" }
                    }
                    small.mk-muted { (eyes.shown("local_no", &child.local_no)) " " (born(eyes, child.birth_date, child.born_at)) }
                }
            }
            @for death in &ties.deaths {
                li {
                    div {
                        (badge(Tone::Neutral, "登记死亡")) " " (death.died_on) "，" (source_name(&death.source))
                        @if !death.certificate_no.is_empty() { " " (death.certificate_no) }
                        @if let (Some(by), Some(at)) = (&death.withdrawn_by, death.withdrawn_at) {
                            " " (badge(Tone::Warn, "已撤销")) " " small.mk-muted { (by) " " (words::time(at)) "：" (death.withdrawn_why) }
                        }
                    }
                    small.mk-muted { (death.actor) " " (words::time(death.at)) }
                }
            }
        }
    };
    html! {
        @if !(ties.own.is_empty() && ties.children.is_empty() && ties.deaths.is_empty()) {
            (card_with("特殊登记", html! {}, list))
        }
    }
}
