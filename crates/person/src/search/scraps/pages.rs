//! `/persons/scraps` and its JSON twin.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use kernel::{Purpose, Reach, RegionCode, Tier};
use maud::{Markup, html};
use serde::Serialize;
use store::AuditEntry;
use web::route::Allowed;
use web::ui::{Column, Here, Row, Tone, age, badge, empty, page_head, plain_badge, table};
use web::{Frame, Reply};

use super::find::{Candidate, Scrapbook, scraps};
use super::question::{GUESSED, Question, Vague};
use crate::search::SearchPages;
use crate::search::pages::{masked, region_name, sex};

/// Where who is not found is registered.
const UNKNOWN: (&str, &str) = ("登记身份不明患者", "/persons/unknown");

struct Answer {
    outcome: Result<Scrapbook, Vague>,
    counties: Vec<(String, String)>,
}

/// Searches and writes the audit entry; nothing is looked at, and nothing written, when too little is known.
async fn answer(pages: &SearchPages, allowed: &Allowed, here: &Here) -> Reply<Answer> {
    let said = |name: &str| here.get(name).unwrap_or("");
    let question =
        Question::of(said("name"), said("age"), said("around"), said("sex"), said("region"), said("phone"));
    let reach = allowed.reach(Purpose::of("emergency"))?;
    let counties = counties(pages, &reach);
    let question = match question {
        Ok(question) => question,
        Err(vague) => return Ok(Answer { outcome: Err(vague), counties }),
    };
    let today = pages.clock.today();
    let mut book = pages
        .db
        .personal(&reach, pages.clock.now(), async |tx, reach| {
            let book = scraps(tx, reach, &*pages.institutions, &question, today).await?;
            let entry = AuditEntry {
                act: "person.search",
                object_kind: "search",
                object_label: question.label(),
                detail: Some(serde_json::json!({ "found": book.candidates.len(), "by": "scraps" })),
                ..AuditEntry::default()
            };
            Ok((book, entry))
        })
        .await?;
    for candidate in &mut book.candidates {
        candidate.person = masked(candidate.person.clone(), &pages.masks, allowed.caller());
    }
    Ok(Answer { outcome: Ok(book), counties })
}

/// Counties with institutions in reach, for the box.
fn counties(pages: &SearchPages, reach: &Reach) -> Vec<(String, String)> {
    let all = pages.institutions.all();
    let codes: BTreeSet<RegionCode> = all
        .iter()
        .filter(|card| reach.covers(card.id, &card.region))
        .map(|card| card.region.at(Tier::County))
        .filter(|code| code.tier() == Some(Tier::County))
        .collect();
    codes.iter().map(|code| (code.as_str().to_owned(), pages.institutions.region_name(code))).collect()
}

pub(crate) async fn page(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
    headers: HeaderMap,
    frame: Frame,
) -> Reply<Response> {
    let answer = answer(&pages, &allowed, &here).await?;
    let opens = allowed.caller().may(crate::search::NEED);
    let registers = allowed.caller().may(super::REGISTER);
    let name_of = |region: &RegionCode| pages.institutions.region_name(region);
    let found = results(&answer.outcome, (opens, registers), pages.clock.today(), &name_of);
    // Typing ahead asks for the list alone.
    if headers.contains_key("hx-request") {
        return Ok(found.into_response());
    }
    let body = html! {
        (page_head(&[("居民查询", "/persons")], "线索查找", "急诊、救护车上身份不明的患者：知道多少填多少，边填边找。按符合程度排列，并写明依据；每次查找都会记入审计日志。", html! {}))
        section.mk-card.mk-list {
            (form(&here, &answer.counties))
            div id="scraps" aria-live="polite" { (found) }
        }
    };
    Ok(frame.page("线索查找", body).into_response())
}

fn form(here: &Here, counties: &[(String, String)]) -> Markup {
    let said = |name: &str| here.get(name).unwrap_or("");
    let chosen = |name: &str, value: &str| said(name) == value;
    let around = GUESSED.to_string();
    html! {
        form.mk-filters method="get" action="/persons/scraps" role="search" hx-get="/persons/scraps"
            hx-trigger="input delay:500ms, submit" hx-target="#scraps" hx-swap="innerHTML"
            hx-push-url="false" {
            label.mk-filter-wide {
                "姓名或其中几个字、拼音、首字母"
                input.form-control name="name" value=(said("name")) maxlength="40" placeholder="如 建国、zhangjg、章jianguo"
                    autocomplete="off" autofocus;
            }
            label {
                "看上去约几岁"
                input.form-control.mk-short name="age" value=(said("age")) inputmode="numeric" maxlength="3" autocomplete="off";
            }
            label {
                "上下几岁"
                select.form-select name="around" {
                    @for years in ["2", "5", "10", "15"] {
                        option value=(years) selected[chosen("around", years) || (said("around").is_empty() && years == around)] {
                            "±" (years)
                        }
                    }
                }
            }
            label {
                "性别"
                select.form-select name="sex" {
                    @for (code, word) in [("", "不详"), ("1", "男"), ("2", "女")] {
                        option value=(code) selected[chosen("sex", code)] { (word) }
                    }
                }
            }
            label {
                "住在"
                select.form-select name="region" {
                    option value="" { "不详" }
                    @for (code, name) in counties { option value=(code) selected[chosen("region", code)] { (name) } }
                }
            }
            label {
                "电话尾号（本人或亲属）"
                input.form-control.mk-short name="phone" value=(said("phone")) inputmode="numeric" maxlength="11"
                    placeholder="后四位" autocomplete="off";
            }
            button.btn.btn-primary type="submit" { "查找" }
        }
    }
}

fn results(
    outcome: &Result<Scrapbook, Vague>,
    (opens, registers): (bool, bool),
    today: NaiveDate,
    name_of: &dyn Fn(&RegionCode) -> String,
) -> Markup {
    let book = match outcome {
        Ok(book) => book,
        Err(vague) => {
            let (title, words) = vague.words();
            return empty(title, words, None);
        }
    };
    if book.candidates.is_empty() {
        return html! {
            (empty(
                "没有找到符合的居民",
                "请减少或放宽线索再试：只填姓名中的两个字，年龄上下放宽到 ±15，或只填电话尾号。超出您权限范围的居民不会显示。",
                registers.then_some(UNKNOWN),
            ))
            (still(book))
        };
    }
    let columns = [
        Column::text("姓名"),
        Column::text("符合的线索"),
        Column::text("性别"),
        Column::text("年龄"),
        Column::text("出生日期"),
        Column::text("证件号"),
        Column::text("电话"),
        Column::text("现住地"),
    ];
    let rows: Vec<Row> = book.candidates.iter().map(|c| row(c, opens, today, name_of)).collect();
    html! {
        div.mk-list-bar {
            span {
                "最符合的 " b { (book.candidates.len()) } " 位居民"
                @if book.capped { "；符合的人很多，可能还有没列出的，请补充年龄、区县或电话尾号" }
            }
        }
        (still(book))
        (table(&Here::default(), &columns, &rows))
        @if registers {
            p.mk-card-body.mk-muted {
                "都不是？" a href=(UNKNOWN.1) { (UNKNOWN.0) }
                "；新生儿、境外人员、无证件者到" a href="/persons/special" { "特殊登记" }
            }
        }
    }
}

/// While older registrations are still being indexed, an empty list proves nothing.
fn still(book: &Scrapbook) -> Markup {
    html! {
        @if book.filling {
            p.mk-card-body.mk-muted role="status" { "线索索引正在建立，较早登记的居民可能暂时找不到；可先用居民查询按证件号、姓名查找。" }
        }
    }
}

fn row(c: &Candidate, opens: bool, today: NaiveDate, name_of: &dyn Fn(&RegionCode) -> String) -> Row {
    let p = &c.person;
    let name = if p.name.is_empty() { "（未登记姓名）" } else { &p.name };
    let region = region_name(&p.region, name_of);
    let lives = if region.is_empty() { p.address.clone() } else { region };
    let cells = vec![
        html! { (name) @if p.died_on.is_some() { " " (badge(Tone::Neutral, "已故")) } },
        html! {
            @for (at, reason) in c.fit.reasons.iter().enumerate() { @if at > 0 { " · " } (reason) }
            @for words in &c.fit.against { " " (plain_badge(words)) }
        },
        html! { (sex(&p.sex)) },
        html! { (p.birth_date.map(|b| age(b, p.died_on.unwrap_or(today))).unwrap_or_default()) },
        html! { (p.birth_date.map(|b| b.to_string()).unwrap_or_default()) },
        html! { (p.citizen_id.as_deref().unwrap_or_default()) },
        html! { (p.phone) },
        html! { (lives) },
    ];
    if opens { Row::to(format!("/record/{}", p.person_id), cells) } else { Row::plain(cells) }
}

#[derive(Serialize)]
pub(crate) struct CandidateJson {
    /// For `/record/{id}`.
    id: i64,
    name: String,
    sex: String,
    birth_date: Option<NaiveDate>,
    /// Masked.
    citizen_id: String,
    /// Masked.
    phone: String,
    region: String,
    region_name: String,
    died_on: Option<NaiveDate>,
    /// The more the better; comparable within one answer.
    score: i32,
    reasons: Vec<String>,
    against: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct ScrapsJson {
    /// Whether somebody who fits may be missing, because a limit was reached.
    capped: bool,
    /// Whether older registrations are still being indexed.
    filling: bool,
    candidates: Vec<CandidateJson>,
}

pub(crate) async fn json(
    State(pages): State<SearchPages>,
    allowed: Allowed,
    here: Here,
) -> Reply<Json<ScrapsJson>> {
    let answer = answer(&pages, &allowed, &here).await?;
    let book = answer.outcome.map_err(|vague| {
        let (_, words) = vague.words();
        kernel::Refusal::invalid("person.scraps_too_vague", words)
    })?;
    let candidates = book
        .candidates
        .into_iter()
        .map(|Candidate { person, fit }| CandidateJson {
            id: person.person_id,
            sex: person.sex,
            birth_date: person.birth_date,
            citizen_id: person.citizen_id.unwrap_or_default(),
            phone: person.phone,
            region_name: region_name(&person.region, &|r| pages.institutions.region_name(r)),
            region: person.region.as_str().to_owned(),
            died_on: person.died_on,
            name: person.name,
            score: fit.score,
            reasons: fit.reasons,
            against: fit.against,
        })
        .collect();
    Ok(Json(ScrapsJson { capped: book.capped, filling: book.filling, candidates }))
}
