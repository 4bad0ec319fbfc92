//! Asking an institution about its registration, and the institution's page where its engineers answer. Who answers sees
//! the own registration only, never the other side.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use contracts::{Notice, NoticeTo};
use kernel::access::InstitutionId;
use kernel::{AccountId, Id, Refusal, Result};
use maud::{Markup, html};
use serde::Deserialize;
use store::{AuditEntry, DbDoing};
use web::route::Allowed;
use web::ui::{
    Column, Filter, Here, List, Paging, Row, Tone, badge, card, describe, fact, list as ui_list, page_head,
};
use web::{Frame, Reply};

use super::read::{self, Question, Within};
use super::show::Eyes;
use super::{ANSWER, Desk, account, compare, words};

/// Answers: code, name.
const ANSWERS: [(&str, &str); 3] =
    [("right", "登记无误"), ("wrong", "登记有误，已更正或将更正"), ("unknown", "无法核实")];
/// Rows on a page.
const PAGE: u64 = 30;
/// Shortest question, in letters.
const SHORTEST: usize = 4;

/// An answer as a badge.
pub(super) fn answer_badge(code: &str) -> Markup {
    let name = ANSWERS.iter().find(|a| a.0 == code).map_or("", |a| a.1);
    badge(if code == "right" { Tone::Good } else { Tone::Warn }, name)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    identity: String,
    question: String,
}

/// `POST /index/review/{task}/ask`
pub(super) async fn ask(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(task): Path<String>,
    Form(form): Form<Asked>,
) -> Reply<Redirect> {
    let task: i64 = task.parse().map_err(|_| compare::unknown())?;
    let question: String = form.question.trim().chars().take(200).collect();
    if question.chars().count() < SHORTEST {
        return Err(Refusal::invalid("review.question", "请写明要机构核实什么，至少 4 个字。").into());
    }
    let seen = compare::look(&desk, &allowed, task, "person.review_view", false).await?;
    let asked = form.identity.parse::<i64>().ok();
    let record = seen.all.iter().find(|r| Some(r.id) == asked).ok_or_else(compare::unknown)?;
    if !matches!(seen.whole.task.state.as_str(), "open" | "second" | "asked") {
        return Err(Refusal::conflict("review.decided", "这一项已由别人处理，请看下一项。").into());
    }
    let (reach, now, account) = (Desk::reach(&allowed)?, desk.clock.now(), account(&allowed));
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let by = &reach.caller().name;
            let id: i64 = sqlx::query_scalar(
                "insert into review_question (task_id, identity_id, institution_id, question, asked_by, asked_name, asked_at)
                 values ($1, $2, $3, $4, $5, $6, $7) returning id",
            )
            .bind(task)
            .bind(record.id)
            .bind(record.institution)
            .bind(&question)
            .bind(account)
            .bind(by)
            .bind(now)
            .fetch_one(&mut ***tx)
            .await
            .db("ask an institution")?;
            sqlx::query(
                "update review_task set state = 'asked', assignee = null, assignee_name = '', updated_at = $2
                 where id = $1 and state in ('open', 'second', 'asked')",
            )
            .bind(task)
            .bind(now)
            .execute(&mut ***tx)
            .await
            .db("note that an institution was asked")?;
            if let Some(notices) = &desk.notices {
                let notice = Notice {
                    title: format!("{by} 请核实一条患者登记"),
                    link: format!("/index/questions/{id}"),
                    urgent: false,
                };
                let to = NoticeTo::Unit(ANSWER, InstitutionId::new(i64::from(record.institution)));
                notices.send(tx, to, &notice, now).await?;
            }
            let entry = AuditEntry {
                act: "person.ask",
                object_kind: "review_task",
                object_id: Some(task),
                object_label: question.clone(),
                person_id: Some(record.person),
                detail: Some(serde_json::json!({ "question": id, "institution": record.institution })),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to(&format!("/index/review/next?after={task}&from={task}&was=asked")))
}

fn unknown() -> Refusal {
    Refusal::not_found("review.question_unknown", "没有找到这个核实请求，或它不是问您的机构的。")
}

/// `GET /index/questions`: what the institutions within reach were asked.
pub(super) async fn list(
    State(desk): State<Desk>,
    allowed: Allowed,
    here: Here,
    frame: Frame,
) -> Reply<Markup> {
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    let state = here.get("state").unwrap_or("").to_owned();
    let page = super::queue::page_of(&here);
    let (rows, total): (Vec<Question>, i64) = desk
        .db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let rows: Vec<Question> = sqlx::query_as(
                "select id, task_id, identity_id, institution_id, question, asked_name, asked_at, answer, note,
                        answered_name, answered_at
                 from review_question
                 where institution_id = any($1) and ($2 = '' or (answered_at is null) = ($2 = 'open'))
                 order by answered_at is not null, id desc limit $3 offset $4",
            )
            .bind(&within.institutions)
            .bind(&state)
            .bind(PAGE as i64)
            .bind(((page - 1) * PAGE) as i64)
            .fetch_all(&mut ***tx)
            .await
            .db("list questions to institutions")?;
            let total: i64 = sqlx::query_scalar(
                "select count(*) from review_question
                 where institution_id = any($1) and ($2 = '' or (answered_at is null) = ($2 = 'open'))",
            )
            .bind(&within.institutions)
            .bind(&state)
            .fetch_one(&mut ***tx)
            .await
            .db("count questions to institutions")?;
            let entry = AuditEntry { act: "person.question_list", object_kind: "review_question", ..AuditEntry::default() };
            Ok(((rows, total), entry))
        })
        .await?;
    let states = [("open", "待答复"), ("answered", "已答复")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let view = List {
        filters: &[Filter::Choice { name: "state", label: "状态", options: &states }],
        total: Some(total.unsigned_abs()),
        unit: "个核实请求",
        columns: &[Column::text("请核实的事"), Column::text("机构"), Column::text("提出"), Column::text("答复")],
        rows: rows
            .iter()
            .map(|q| {
                Row::to(
                    format!("/index/questions/{}", q.id),
                    vec![
                        html! { (q.question) },
                        html! { (desk.institution(q.institution_id)) },
                        html! { (q.asked_name) " " small { (words::time(q.asked_at)) } },
                        match q.answered_at {
                            Some(at) => html! { (answer_badge(&q.answer)) " " small { (q.answered_name) " " (words::time(at)) } },
                            None => badge(Tone::Warn, "待答复"),
                        },
                    ],
                )
            })
            .collect(),
        paging: Paging::Numbered { page, per_page: PAGE, total: total.unsigned_abs() },
        exports: &[],
        empty: ("没有核实请求", "主索引核对人员对您机构的患者登记有疑问时，请求会出现在这里，并在右上角通知您。"),
        empty_action: None,
    };
    Ok(frame.page("登记核实", html! {
        (page_head(&[], "登记核实", "核对人员请本机构核实的患者登记。请对照原始证件或病历答复；登记有误的，请更正后重新上传。", html! {}))
        (ui_list(&here, &view))
    }))
}

/// A question to an institution within reach, with its registration.
async fn found(
    desk: &Desk,
    allowed: &Allowed,
    id: &str,
    act: &'static str,
) -> Result<(Question, read::Registration)> {
    let id: i64 = id.parse().map_err(|_| unknown())?;
    let (reach, now) = (Desk::reach(allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let within = Within::of(reach, &*desk.institutions);
            let question: Question = sqlx::query_as(
                "select id, task_id, identity_id, institution_id, question, asked_name, asked_at, answer, note,
                        answered_name, answered_at
                 from review_question where id = $1 and institution_id = any($2)",
            )
            .bind(id)
            .bind(&within.institutions)
            .fetch_optional(&mut ***tx)
            .await
            .db("read a question to an institution")?
            .ok_or_else(unknown)?;
            let record = read::one(tx, question.identity_id).await?.ok_or_else(unknown)?;
            let entry = AuditEntry {
                act,
                object_kind: "review_question",
                object_id: Some(id),
                person_id: Some(record.person),
                ..AuditEntry::default()
            };
            Ok(((question, record), entry))
        })
        .await
}

/// `GET /index/questions/{question}`
pub(super) async fn page(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(id): Path<String>,
    frame: Frame,
) -> Reply<Markup> {
    let (question, record) = found(&desk, &allowed, &id, "person.question_view").await?;
    let eyes = Eyes { masks: &desk.masks, caller: allowed.caller(), open: false };
    let body = html! {
        (page_head(&[("登记核实", "/index/questions")], &question.question,
            &format!("{} {} 提出", question.asked_name, words::time(question.asked_at)), html! {
            @match question.answered_at { Some(_) => (answer_badge(&question.answer)), None => (badge(Tone::Warn, "待答复")) }
        }))
        (card("本机构的这条登记", describe(&[
            fact("机构", &desk.institution(record.institution)),
            // The institution's own number: by it the registration is found there.
            fact("院内编号", &record.local_no),
            fact("姓名", &eyes.shown("name", &record.name)),
            fact("性别", words::sex(&record.sex)),
            fact("出生日期", &record.birth_date.map(|d| eyes.shown("birth_date", &d.to_string())).unwrap_or_default()),
            fact("证件号码", &eyes.shown("citizen_id", &record.credential_no)),
            fact("电话", &eyes.shown("phone", &record.phone)),
            fact("住址", &eyes.shown("address", &record.address)),
            fact("最近更新", &words::time(record.updated_at)),
        ])))
        @match question.answered_at {
            Some(at) => (card("答复", describe(&[
                fact("结论", ANSWERS.iter().find(|a| a.0 == question.answer).map_or("", |a| a.1)),
                fact("说明", &question.note),
                fact("答复人", &format!("{}　{}", question.answered_name, words::time(at))),
            ]))),
            None => (card("答复", html! {
                form method="post" action={ "/index/questions/" (question.id) "/answer" } {
                    fieldset.mk-choices {
                        legend.mk-hidden { "结论" }
                        @for (code, name) in ANSWERS { label { input type="radio" name="answer" value=(code) required; " " (name) } }
                    }
                    div.mk-field {
                        label for="note" { "说明" }
                        textarea.form-control id="note" name="note" rows="3" maxlength="300" placeholder="核对了什么，正确的内容是什么；不要写诊疗内容" {}
                    }
                    div.mk-form-acts { button.btn.btn-primary type="submit" { "答复" } a.btn href="/index/questions" { "返回" } }
                }
            })),
        }
    };
    Ok(frame.page("登记核实", body))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    answer: String,
    note: String,
}

/// `POST /index/questions/{question}/answer`: the task waits for people again once nobody else is asked.
pub(super) async fn answer(
    State(desk): State<Desk>,
    allowed: Allowed,
    Path(id): Path<String>,
    Form(form): Form<Answer>,
) -> Reply<Redirect> {
    let Some((_, word)) = ANSWERS.iter().find(|a| a.0 == form.answer) else {
        return Err(Refusal::invalid("review.answer", "请选择核实的结论。").into());
    };
    let (question, record) = found(&desk, &allowed, &id, "person.question_view").await?;
    let note: String = form.note.trim().chars().take(300).collect();
    let (reach, now) = (Desk::reach(&allowed)?, desk.clock.now());
    desk.db
        .personal(&reach, now, async |tx, reach| {
            let asked_by: Option<Option<i64>> = sqlx::query_scalar(
                "update review_question set answer = $2, note = $3, answered_name = $4, answered_at = $5
                 where id = $1 and answered_at is null returning asked_by",
            )
            .bind(question.id)
            .bind(&form.answer)
            .bind(&note)
            .bind(&reach.caller().name)
            .bind(now)
            .fetch_optional(&mut ***tx)
            .await
            .db("answer a question")?;
            let Some(asked_by) = asked_by else {
                return Err(
                    Refusal::conflict("review.answered", "这个核实请求已有人答复，请刷新页面查看。").into()
                );
            };
            let said = format!(
                "{}答复：{word}{}{note}",
                desk.institution(question.institution_id),
                if note.is_empty() { "" } else { "；" }
            );
            sqlx::query(
                "update review_task set state = 'open', note = $2, updated_at = $3
                 where id = $1 and state = 'asked' and not exists (
                     select from review_question q where q.task_id = $1 and q.answered_at is null)",
            )
            .bind(question.task_id)
            .bind(&said)
            .bind(now)
            .execute(&mut ***tx)
            .await
            .db("return a task to the queue")?;
            if let (Some(notices), Some(account)) = (&desk.notices, asked_by) {
                let notice = Notice {
                    title: format!("{}已答复您的核实请求", desk.institution(question.institution_id)),
                    link: format!("/index/review/{}", question.task_id),
                    urgent: false,
                };
                let account: AccountId = Id::new(account);
                notices.send(tx, NoticeTo::Account(account), &notice, now).await?;
            }
            let entry = AuditEntry {
                act: "person.answer",
                object_kind: "review_question",
                object_id: Some(question.id),
                object_label: (*word).to_owned(),
                person_id: Some(record.person),
                ..AuditEntry::default()
            };
            Ok(((), entry))
        })
        .await?;
    Ok(Redirect::to(&format!("/index/questions/{}", question.id)))
}
