//! `/persons/death/{person}`: records that somebody died, and takes it back.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::{Error, Purpose, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{
    Column, Field, Here, Kind, Row, Tone, badge, card, card_with, describe, fact, field, form_acts, notice,
    page_head, select_field, table,
};
use web::{Frame, Reply};

use super::{day, time};
use crate::search::SearchPages;
use crate::search::pages::sex;
use crate::special::death::{Death, Mortal, SOURCES, mortal, source_name};

const TITLE: &str = "登记死亡";

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    died_on: String,
    source: String,
    certificate_no: String,
    note: String,
}

/// Why it is taken back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Why {
    reason: String,
}

impl Said {
    fn death(&self) -> Result<Death, Refusal> {
        let died_on = day(&self.died_on, "死亡日期")?
            .ok_or_else(|| Refusal::invalid("death.day", "请填写死亡日期。"))?;
        Ok(Death {
            died_on,
            source: self.source.clone(),
            certificate_no: self.certificate_no.trim().chars().take(40).collect(),
            note: self.note.trim().chars().take(200).collect(),
        })
    }
}

fn number(person: &str) -> Result<i64, Refusal> {
    person.parse().map_err(|_| {
        Refusal::not_found("death.unknown", "没有找到这位居民，或不在您的管辖范围内。请从居民查询进入。")
    })
}

async fn seen(pages: &SearchPages, allowed: &Allowed, person: i64) -> Result<Mortal> {
    let reach = allowed.reach(Purpose::of("care"))?;
    let today = pages.clock.today();
    pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, _| {
            let mortal = mortal(tx, &*pages.institutions, person, today).await?;
            let entry = AuditEntry {
                act: "person.death_view",
                object_kind: "person",
                object_id: Some(person),
                person_id: Some(person),
                ..AuditEntry::default()
            };
            Ok((mortal, entry))
        })
        .await
}

pub(crate) async fn form(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    Path(person): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let mortal = seen(&pages, &allowed, number(&person)?).await?;
    Ok(frame.page(TITLE, view(&pages, &allowed, &mortal, &Said::default(), None)))
}

/// `POST /persons/death/{person}`.
pub(crate) async fn record(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    Path(person): Path<String>,
    frame: Frame,
    Form(said): Form<Said>,
) -> Reply<Response> {
    let person = number(&person)?;
    let asked = async {
        let death = said.death()?;
        let reach = allowed.reach(Purpose::of("care"))?;
        pages.index.record_death(&reach, &*pages.institutions, person, &death, pages.clock.now()).await
    };
    let asked = asked.await;
    back(&pages, &allowed, person, &frame, asked.map(drop), &said).await
}

/// `POST /persons/death/{person}/withdraw`.
pub(crate) async fn withdraw(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    Path(person): Path<String>,
    frame: Frame,
    Form(why): Form<Why>,
) -> Reply<Response> {
    let person = number(&person)?;
    let reach = allowed.reach(Purpose::of("care"))?;
    let asked = pages
        .index
        .withdraw_death(&reach, &*pages.institutions, person, &why.reason, pages.clock.now())
        .await;
    back(&pages, &allowed, person, &frame, asked, &Said::default()).await
}

/// To the page, which shows what holds now; or the page with what was wrong.
async fn back(
    pages: &SearchPages,
    allowed: &Allowed,
    person: i64,
    frame: &Frame,
    asked: Result<()>,
    said: &Said,
) -> Reply<Response> {
    match asked {
        Ok(()) => Ok(Redirect::to(&format!("/persons/death/{person}")).into_response()),
        Err(Error::Refused(refusal)) => {
            let mortal = seen(pages, allowed, person).await?;
            let body = view(pages, allowed, &mortal, said, Some(&refusal.message));
            Ok((web::failure::status(refusal.kind), frame.page(TITLE, body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn view(pages: &SearchPages, allowed: &Allowed, m: &Mortal, said: &Said, wrong: Option<&str>) -> Markup {
    let shown = |kind: &str, value: &str| pages.masks.shown_to(allowed.caller(), kind, value);
    let birth = m.birth_date.map(|b| shown("birth_date", &b.to_string())).unwrap_or_default();
    let record = format!("/record/{}", m.person_id);
    let name = if m.name.is_empty() { "（未登记姓名）".to_owned() } else { shown("name", &m.name) };
    html! {
        (page_head(&[("居民查询", "/persons"), ("健康档案", &record)], TITLE, "登记后档案立即标明已故，年龄停在死亡当日；死亡医学证明仍由机构按规定上报。", html! {
            a.btn href=(record) { "打开健康档案" }
        }))
        @if let Some(wrong) = wrong { (notice(Tone::Bad, "没有办成", wrong)) }
        (card("居民", describe(&[
            fact("姓名", &name),
            fact("性别", sex(&m.sex)),
            fact("出生日期", &birth),
            fact("死亡日期", &m.died_on.map(|d| d.to_string()).unwrap_or_default()),
        ])))
        @match (m.died_on, m.in_force()) {
            (Some(_), Some(death)) => (card("撤销登记", html! {
                p.mk-muted { (death.died_on) "，" (source_name(&death.source)) "，" (death.actor) "登记。登记错了人或日期有误的，撤销后可以重新登记；原登记会保留。" }
                form.mk-form method="post" action={ "/persons/death/" (m.person_id) "/withdraw" } data-confirm="撤销后健康档案不再标明已故。确定撤销吗？" {
                    (field(&Field { name: "reason", label: "撤销的理由", required: true, hint: "例如：登记错了人", ..Field::default() }))
                    (form_acts("撤销死亡登记", Some(&record)))
                }
            })),
            (Some(_), None) => (notice(Tone::Info, "已标明死亡", "由机构上传的死亡登记标明；有误的，请由上传机构更正或撤回。")),
            (None, _) => (card("死亡", html! {
                form.mk-form method="post" action={ "/persons/death/" (m.person_id) } {
                    (field(&Field { name: "died_on", label: "死亡日期", kind: Kind::Date, value: &said.died_on, required: true, ..Field::default() }))
                    (select_field(&Field { name: "source", label: "信息来源", value: &said.source, required: true, ..Field::default() },
                        &SOURCES.map(|(a, b)| (a.to_owned(), b.to_owned()))))
                    (field(&Field { name: "certificate_no", label: "死亡医学证明编号", value: &said.certificate_no, hint: "来源为死亡医学证明的必填", ..Field::default() }))
                    (field(&Field { name: "note", label: "说明", kind: Kind::Long, value: &said.note, ..Field::default() }))
                    (form_acts("登记死亡", Some(&record)))
                }
            })),
        }
        @if !m.recorded.is_empty() { (card_with("登记经过", html! {}, past(m))) }
    }
}

/// What was recorded and taken back.
pub(crate) fn past(m: &Mortal) -> Markup {
    let columns = [
        Column::text("死亡日期"),
        Column::text("来源"),
        Column::text("证明编号"),
        Column::text("说明"),
        Column::text("登记"),
        Column::text("状态"),
    ];
    let rows: Vec<Row> = m
        .recorded
        .iter()
        .map(|d| {
            Row::plain(vec![
                html! { (d.died_on) },
                html! { (source_name(&d.source)) },
                html! { (d.certificate_no) },
                html! { (d.note) },
                html! { (d.actor) " " span.mk-date { (time(d.at)) } },
                html! {
                    @match (&d.withdrawn_by, d.withdrawn_at) {
                        (Some(by), Some(at)) => { (badge(Tone::Neutral, "已撤销")) " " small.mk-muted { (by) " " (time(at)) "：" (d.withdrawn_why) } },
                        _ => (badge(Tone::Info, "有效")),
                    }
                },
            ])
        })
        .collect();
    table(&Here::default(), &columns, &rows)
}
